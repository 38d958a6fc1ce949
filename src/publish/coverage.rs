//! The ledger over there, so that its readers see what is complete. It is written in a pass's last
//! transaction: a window is never shown complete before its rows are.

use sha2::{Digest, Sha256};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use crate::model::{Error, hexadecimal};
use crate::store::{LedgerRow, Reader};

use super::copy::{BATCH_ROWS, Failed, by_column};
use super::row::Cells;
use super::value::own_instant;

/// Columns behind the archive, the stream and the number.
const COLUMNS: [(&str, &str); 11] = [
    ("partition", "text"),
    ("start_at", "timestamptz"),
    ("end_at", "timestamptz"),
    ("state", "text"),
    ("read_to", "timestamptz"),
    ("completed_at", "timestamptz"),
    ("received", "bigint"),
    ("distinct_keys", "bigint"),
    ("source_total", "bigint"),
    ("out_of_window", "bigint"),
    ("error", "text"),
];

/// SHA-256 of what would be shown.
pub(crate) fn digest(reader: &Reader, stream: &str) -> Result<String, Error> {
    let mut hasher = Sha256::new();
    let mut skip = 0;
    loop {
        let page = reader.ledger_page(stream, skip, BATCH_ROWS as u64)?;
        if page.is_empty() {
            return Ok(hexadecimal(&hasher.finalize()));
        }
        skip += page.len() as u64;
        for row in &page {
            hasher.update(format!("{:?}\n", cells(row)));
        }
    }
}

/// Puts the stream's ledger in the place of what was shown before.
pub(crate) async fn replace(
    on: &Transaction<'_>,
    reader: &Reader,
    table: &str,
    archive: &str,
    stream: &str,
) -> Result<(), Failed> {
    let forget = format!("DELETE FROM {table} WHERE archive_id = $1 AND stream = $2");
    on.execute(&forget, &[&archive, &stream]).await?;
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let cast = COLUMNS.iter().enumerate().map(|(n, (_, kind))| format!("c{n}::{kind}"));
    let parameters: Vec<String> =
        (0..=COLUMNS.len()).map(|n| format!("${}::text[]", n + 3)).collect();
    let cells_named: Vec<String> = (0..COLUMNS.len()).map(|n| format!("c{n}")).collect();
    let insert = format!(
        "INSERT INTO {table} (archive_id, stream, number, {}) SELECT $1::text, $2::text,
            number::bigint, {} FROM unnest({}) AS n (number, {})",
        names.join(", "),
        cast.collect::<Vec<_>>().join(", "),
        parameters.join(", "),
        cells_named.join(", ")
    );
    let mut skip = 0;
    loop {
        let page = reader.ledger_page(stream, skip, BATCH_ROWS as u64)?;
        if page.is_empty() {
            return Ok(());
        }
        let numbered = |(at, row): (usize, &LedgerRow)| {
            let number = Some((skip + at as u64 + 1).to_string());
            [number].into_iter().chain(cells(row)).collect::<Vec<_>>()
        };
        let rows: Vec<Cells> = page.iter().enumerate().map(numbered).collect();
        let columns = by_column(&rows, COLUMNS.len() + 1);
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&archive, &stream];
        values.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
        on.execute(&insert, &values).await?;
        skip += page.len() as u64;
    }
}

fn cells(row: &LedgerRow) -> Cells {
    let text = |text: &str| Some(text.replace('\0', "\u{2400}"));
    let bound = |at: &str| Some(own_instant(at)).filter(|at| !at.is_empty());
    let instant = |at: &Option<String>| at.as_deref().map(own_instant);
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    vec![
        text(&row.partition),
        bound(&row.start_at),
        bound(&row.end_at),
        Some(row.state.to_string()),
        instant(&row.read_to),
        instant(&row.completed_at),
        number(Some(row.received)),
        number(row.distinct_keys),
        number(row.source_total),
        number(Some(row.out_of_window)),
        row.error.as_deref().and_then(text),
    ]
}

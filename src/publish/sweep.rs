//! Rows that this archive has sent and no longer holds, without a trace of their going: an
//! adoption that was undone, a table that was made again. They are marked, never deleted.

use tokio_postgres::Transaction;

use crate::publish::{OutTable, Phase};
use crate::store::Reader;

use super::copy::{BATCH_ROWS, Failed, copy_rows, key_list};
use super::row::cells_of;
use super::statement::Table;
use super::value::own_instant;

/// Marks rows over there that `archive` has sent and that are not here, as gone since `now`. The
/// keys that are here go into a table of the connection's own: the comparison is made over there.
pub(crate) async fn sweep(
    on: &Transaction<'_>,
    reader: &Reader,
    table: &Table,
    out: &OutTable,
    (archive, now): (&str, &str),
) -> Result<(), Failed> {
    let here = "_windrow_keys_here";
    let key = &table.columns[..out.key];
    let columns: Vec<String> = key
        .iter()
        .map(|(name, kind)| format!("{} {}", super::statement::quote(name), kind.as_str()))
        .collect();
    on.batch_execute(&format!(
        "CREATE TEMPORARY TABLE {here} ({}, PRIMARY KEY ({})) ON COMMIT DROP",
        columns.join(", "),
        key_list(table, "")
    ))
    .await?;
    let copy = format!("COPY {here} ({}) FROM STDIN", key_list(table, ""));
    let mut after = None;
    loop {
        // A run of -1 is before every run; the order of the key needs no sorting.
        let limits = (BATCH_ROWS, u64::MAX);
        let rows = reader.rows_out(out, Phase::Rows, -1, after.as_deref(), limits)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.values[..out.key].to_vec());
        let keys = rows.iter().filter_map(|row| {
            let mut cells = cells_of(table, row, archive).ok()?.0;
            cells.truncate(out.key);
            Some(cells)
        });
        copy_rows(on, &copy, &keys.collect::<Vec<_>>()).await?;
    }
    let same: Vec<String> = key
        .iter()
        .map(|(name, _)| format!("k.{0} = t.{0}", super::statement::quote(name)))
        .collect();
    let sql = format!(
        "UPDATE {} AS t SET \"_deleted_at\" = $2::text::timestamptz,
            \"_changed_at\" = $2::text::timestamptz, \"_revision\" = t.\"_revision\" + 1
         WHERE t.\"_publisher\" = $1 AND t.\"_deleted_at\" IS NULL
            AND NOT EXISTS (SELECT 1 FROM {here} AS k WHERE {})",
        table.place(),
        same.join(" AND ")
    );
    on.execute(&sql, &[&archive, &own_instant(now)]).await?;
    Ok(())
}

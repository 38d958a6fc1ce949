//! Rows on their way into a table over there.

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::Transaction;

use crate::model::Error;

use super::row::Cells;
use super::statement::{Table, copy_line, list};

/// Rows of one transaction: fewer spend the time on commits, more are sent again after a lost
/// connection.
pub const BATCH_ROWS: usize = 5_000;

/// Why a transaction came to nothing.
pub(crate) enum Failed {
    Database(tokio_postgres::Error),
    Refused(Error),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Failed::Database(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Refused(error)
    }
}

/// The most that one message of COPY holds, bytes.
const COPY_CHUNK: usize = 64 << 10;

/// Runs a COPY with these rows. Fails where a key is there.
pub(crate) async fn copy_rows(
    on: &Transaction<'_>,
    sql: &str,
    rows: &[Cells],
) -> Result<u64, Failed> {
    let sink = on.copy_in::<_, Bytes>(sql).await?;
    let mut sink = std::pin::pin!(sink);
    let mut chunk = Vec::new();
    for row in rows {
        copy_line(row, &mut chunk);
        if chunk.len() >= COPY_CHUNK {
            sink.send(Bytes::from(std::mem::take(&mut chunk))).await?;
        }
    }
    if !chunk.is_empty() {
        sink.send(Bytes::from(chunk)).await?;
    }
    Ok(sink.finish().await?)
}

/// The cells of each column, for statements that take arrays; `width` is the number of columns.
pub(crate) fn by_column(rows: &[Cells], width: usize) -> Vec<Vec<Option<&str>>> {
    (0..width).map(|at| rows.iter().map(|row| row[at].as_deref()).collect()).collect()
}

/// Keys of a table in quotes.
pub(crate) fn key_list(table: &Table, before: &str) -> String {
    list(table.key.iter().map(String::as_str), before)
}

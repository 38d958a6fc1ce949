//! A pass over one stream: rows and the mark of how far they go, in one transaction over there.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Transaction};

use crate::model::{Error, ErrorKind};
use crate::publish::{OutRow, OutTable, PUBLISH_BYTES_MAX};
use crate::store::Reader;

use super::PublishEvent;
use super::copy::{BATCH_ROWS, Failed, by_column, copy_rows};
use super::error::{explain, is_of_a_row, sql_state, state};
use super::mark::{Pass, PublishedMark, key_from_json, key_to_json};
use super::row::{Cells, cells_of, key_shown};
use super::statement::{Table, quote};
use super::value::PgType;

/// How often a transaction is tried that lost against another one: several publishers take turns,
/// and a database in which it loses for ever is reported.
const ATTEMPTS: usize = 5;

/// What a pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassCounts {
    /// Rows that went over.
    pub sent: u64,
    /// Rows of them that were inserted or replaced there.
    pub written: u64,
    /// Rows of them that were deleted here, and are marked there.
    pub gone: u64,
    /// Values that are kept exactly in `_rest` alone.
    pub beside: u64,
}

/// What one stream is sent by.
pub(crate) struct StreamSender<'a> {
    pub client: &'a mut Client,
    pub reader: &'a Reader,
    pub table: &'a Table,
    pub out: &'a OutTable,
    pub archive: &'a str,
    pub version: &'a str,
    /// The database for people.
    pub place: &'a str,
    pub now: &'a dyn Fn() -> String,
    pub notice: &'a dyn Fn(&PublishEvent<'_>),
}

/// Rows on their way, as text, row by row.
struct SendBatch {
    rows: Vec<Cells>,
    keys: Vec<String>,
}

impl StreamSender<'_> {
    fn own(&self, name: &str) -> String {
        format!("{}.{}", self.table.schema, quote(name))
    }

    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        explain(error, &format!("cannot send stream `{}`", self.table.name), self.place)
    }

    /// Sends what a pass takes, and moves the mark with each batch.
    pub async fn send(
        &mut self,
        mark: &mut PublishedMark,
        pass: &Pass,
        counts: &mut PassCounts,
    ) -> Result<(), Error> {
        let mut pass = pass.clone();
        let columns = self.table.columns_json();
        loop {
            let phase = pass.phase();
            let after = pass.after.as_deref().and_then(key_from_json);
            let rest = self.reader.count_out(self.out, phase, pass.from, after.as_deref())?;
            let name = &self.table.name;
            (self.notice)(&PublishEvent::Begins { stream: name, rows: rest });
            loop {
                let after = pass.after.as_deref().and_then(key_from_json);
                let limits = (BATCH_ROWS, rest);
                let rows =
                    self.reader.rows_out(self.out, phase, pass.from, after.as_deref(), limits)?;
                let Some(last) = rows.last() else { break };
                let bytes: usize = rows.iter().map(OutRow::size).sum();
                let ended = rows.len() < BATCH_ROWS && bytes <= PUBLISH_BYTES_MAX;
                pass.after = Some(key_to_json(&last.values[..self.out.key]));
                let batch = self.encode(&rows, counts)?;
                drop(rows);
                let next = PublishedMark {
                    pass: Some(pass.clone()),
                    columns: columns.clone(),
                    ..mark.clone()
                };
                let written = self.send_batch(&batch, &mut pass, next, mark).await?;
                let sent = batch.rows.len() as u64;
                counts.sent += sent;
                counts.written += written;
                counts.gone += if pass.gone { sent } else { 0 };
                (self.notice)(&PublishEvent::Sent { rows: sent });
                if ended {
                    break;
                }
            }
            if pass.gone {
                return Ok(());
            }
            pass.gone = true;
            pass.after = None;
        }
    }

    fn encode(&self, rows: &[OutRow], counts: &mut PassCounts) -> Result<SendBatch, Error> {
        let mut batch = SendBatch { rows: Vec::new(), keys: Vec::new() };
        for row in rows {
            let key = key_shown(&row.values[..self.out.key]);
            let (cells, beside) = cells_of(self.table, row, self.archive).map_err(|unfit| {
                let (column, stream) = (unfit.column, &self.table.name);
                let message =
                    format!("`{column}` of row ({key}) of stream `{stream}` {}", unfit.why);
                Error::usage(message).help(help_of(stream, unfit.kind, self.kept_pages()))
            })?;
            counts.beside += beside;
            batch.rows.push(cells);
            batch.keys.push(key);
        }
        Ok(batch)
    }

    /// Pages of which the stream's table could be made again.
    fn kept_pages(&self) -> u64 {
        self.reader.kept(&self.table.name).map_or(0, |kept| kept.pages)
    }

    /// Sends a batch in a transaction; tries again where another transaction was in the way, and
    /// names the row that the database does not take.
    async fn send_batch(
        &mut self,
        batch: &SendBatch,
        pass: &mut Pass,
        mut next: PublishedMark,
        mark: &mut PublishedMark,
    ) -> Result<u64, Error> {
        let mut attempt = 1;
        loop {
            let copy = pass.copy && !pass.gone;
            let how = if copy { SendMode::Copy } else { SendMode::Upsert { own: pass.own } };
            match self.transact(Some((&batch.rows, how)), None, &next).await {
                Ok(written) => {
                    next.step += 1;
                    *mark = next;
                    return Ok(written);
                }
                Err(Failed::Refused(error)) => return Err(error),
                Err(Failed::Database(error)) => match sql_state(&error) {
                    // Another archive has sent a row of a key that comes here.
                    Some(state::UNIQUE) if copy => {
                        pass.copy = false;
                        next.pass = Some(pass.clone());
                    }
                    Some(state::SERIALIZATION | state::DEADLOCK) if attempt < ATTEMPTS => {
                        attempt += 1;
                    }
                    _ if is_of_a_row(&error) => {
                        return Err(self.name_row(batch, pass.own, &error).await);
                    }
                    _ => return Err(self.failed(&error)),
                },
            }
        }
    }

    /// Ends a pass: coverage and mark.
    pub async fn finish(
        &mut self,
        mark: &mut PublishedMark,
        pass: &Pass,
        coverage: bool,
    ) -> Result<(), Error> {
        let digest = match coverage {
            true => Some(self.coverage_digest()?),
            false => mark.coverage.clone(),
        };
        let changed = coverage && digest != mark.coverage;
        let same = mark.pass.is_none()
            && mark.sent.as_ref() == Some(&pass.to)
            && mark.columns == self.table.columns_json();
        if same && !changed && !pass.sweep {
            return Ok(());
        }
        let mut next = PublishedMark {
            sent: Some(pass.to.clone()),
            pass: None,
            columns: self.table.columns_json(),
            coverage: digest,
            step: mark.step,
        };
        let ends = Ends { coverage: changed, sweep: pass.sweep };
        let mut attempt = 1;
        loop {
            match self.transact(None, Some(&ends), &next).await {
                Ok(_) => break,
                Err(Failed::Refused(error)) => return Err(error),
                Err(Failed::Database(error)) => match sql_state(&error) {
                    Some(state::SERIALIZATION | state::DEADLOCK) if attempt < ATTEMPTS => {
                        attempt += 1;
                    }
                    _ => return Err(self.failed(&error)),
                },
            }
        }
        next.step += 1;
        *mark = next;
        Ok(())
    }

    /// One transaction over there: nobody else moved the mark, the rows, the mark.
    async fn transact(
        &mut self,
        rows: Option<(&[Cells], SendMode)>,
        ends: Option<&Ends>,
        next: &PublishedMark,
    ) -> Result<u64, Failed> {
        let published = self.own("_windrow_published");
        let (archive, stream) = (self.archive, self.table.name.as_str());
        let (table, version, now) = (self.table, self.version, (self.now)());
        let coverage = self.own("_windrow_coverage");
        let (reader, out) = (self.reader, self.out);
        let transaction = self.client.transaction().await?;
        let sql = format!(
            "SELECT step FROM {published} WHERE archive_id = $1 AND stream = $2 FOR UPDATE"
        );
        let step = transaction.query_opt(&sql, &[&archive, &stream]).await?;
        if step.is_none_or(|row| row.get::<_, i64>(0) != next.step) {
            return Err(Failed::Refused(held(stream)));
        }
        let written = match rows {
            Some((rows, SendMode::Copy)) => copy_rows(&transaction, &table.copy(), rows).await?,
            Some((rows, SendMode::Upsert { own })) => {
                upsert(&transaction, table, rows, own).await?
            }
            None => 0,
        };
        if ends.is_some_and(|ends| ends.sweep) {
            super::sweep::sweep(&transaction, reader, table, out, (archive, &now)).await?;
        }
        if ends.is_some_and(|ends| ends.coverage) {
            super::coverage::replace(&transaction, reader, &coverage, archive, stream).await?;
        }
        let pass = next.pass.as_ref().map(|pass| serde_json::json!(pass).to_string());
        let count = i64::try_from(written).unwrap_or(i64::MAX);
        let sql = format!(
            "UPDATE {published} SET step = step + 1, sent_run = $3, sent_uid = $4, pass = $5,
                columns = $6, coverage_sha256 = $7, rows_written = rows_written + $8,
                published_at = $9::text::timestamptz, windrow_version = $10
             WHERE archive_id = $1 AND stream = $2"
        );
        let sent = next.sent.as_ref();
        let values: [&(dyn ToSql + Sync); 10] = [
            &archive,
            &stream,
            &sent.map(|sent| sent.run),
            &sent.map(|sent| sent.uid.as_str()),
            &pass,
            &next.columns,
            &next.coverage,
            &count,
            &now,
            &version,
        ];
        transaction.execute(&sql, &values).await?;
        transaction.commit().await?;
        Ok(written)
    }

    fn coverage_digest(&self) -> Result<String, Error> {
        super::coverage::digest(self.reader, &self.table.name)
    }

    /// Looks for the row that the database does not take, by halves; nothing of that stays.
    async fn name_row(
        &mut self,
        batch: &SendBatch,
        own: bool,
        error: &tokio_postgres::Error,
    ) -> Error {
        let (mut low, mut high) = (0, batch.rows.len());
        let table = self.table;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let Ok(transaction) = self.client.transaction().await else { break };
            let tried = upsert(&transaction, table, &batch.rows[low..middle], own).await;
            if tried.is_ok() {
                low = middle;
            } else {
                high = middle;
            }
            if transaction.rollback().await.is_err() {
                break;
            }
        }
        let key = batch.keys.get(low).cloned().unwrap_or_default();
        let what = format!("the database does not take row ({key}) of stream `{}`", table.name);
        explain(error, &what, self.place)
    }
}

/// What makes a value that cannot be kept over there one that can.
fn help_of(stream: &str, kind: PgType, pages: u64) -> String {
    let leave = "leave the stream out by naming the others with `--stream`";
    match (kind, pages) {
        (PgType::Text, _) => leave.to_owned(),
        (_, 0) => format!(
            "declare the column as `text` in a stream of another name, which is read anew; or \
             {leave}"
        ),
        (..) => format!(
            "declare the column as `text`, then `windrow rebuild {stream}` makes the table again \
             from its kept pages; or {leave}"
        ),
    }
}

/// How rows go into their table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendMode {
    /// By COPY: the table held nothing.
    Copy,
    /// By INSERT … ON CONFLICT.
    Upsert { own: bool },
}

/// What else happens in a pass's last transaction.
struct Ends {
    coverage: bool,
    sweep: bool,
}

fn held(stream: &str) -> Error {
    let message = format!("another windrow publishes stream `{stream}` of this archive");
    Error::new(ErrorKind::Held, message).help("wait until it is done, then run it again")
}

/// Inserts rows, or puts them in the place of those that they beat. Tells how many that were.
async fn upsert(
    on: &Transaction<'_>,
    table: &Table,
    rows: &[Cells],
    own: bool,
) -> Result<u64, tokio_postgres::Error> {
    let columns = by_column(rows, table.sent().len());
    let values: Vec<&(dyn ToSql + Sync)> =
        columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
    on.execute(&table.upsert(own), &values).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_to_do_about_a_value_can_be_done() {
        assert!(!help_of("usage", PgType::Text, 3).contains("declare"), "it is text already");
        assert!(!help_of("usage", PgType::Timestamp, 0).contains("rebuild"), "no page is kept");
        assert!(help_of("usage", PgType::Timestamp, 3).contains("`windrow rebuild usage`"));
    }
}

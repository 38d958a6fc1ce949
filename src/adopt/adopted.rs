//! Rows that came from a file: keeping what did not become one, marking their time as adopted and
//! unverified, and taking all of it back.
//!
//! What is adopted is never coverage. It is confirmed by what completes a fetch of its time in
//! a later run, which the runs' numbers tell; nobody has to remember to say so.

use rusqlite::{Connection, named_params};
use serde::Serialize;
use strum::IntoStaticStr;

use crate::definition::ColumnType;
use crate::model::{Error, Outcomes, RowSet, TableShape, Timestamp, Window, instant_from_text};

use crate::store::error::at;
use crate::store::ledger::bounds_text;
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::runs::{NewRun, RunStart, RunStreamRow, definition_id};
use crate::store::sql::quote;
use crate::store::transaction::Tx;
use crate::store::write::{bind, difference_statement};

/// How an archive stands to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdoptedStanding {
    /// It has no row of this key.
    Absent,
    /// Its row says the same.
    Equal,
    /// Its row says something else.
    Different,
}

/// Asks an archive how it stands to rows.
#[derive(Clone, Debug)]
pub struct StandingQuery {
    shape: TableShape,
    sql: String,
}

impl StandingQuery {
    /// Of a table's columns those count that `counts` says yes to.
    pub fn new(shape: TableShape, counts: &dyn Fn(&str) -> bool) -> Self {
        let sql = difference_statement(&shape, counts, false);
        Self { shape, sql }
    }

    fn ask(
        &self,
        connection: &Connection,
        rows: &RowSet,
    ) -> rusqlite::Result<Vec<AdoptedStanding>> {
        if crate::store::table::stored_table(connection, &self.shape.name)?.is_none() {
            return Ok(vec![AdoptedStanding::Absent; rows.len()]);
        }
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut standings = Vec::with_capacity(rows.len());
        for at in 0..rows.len() {
            bind(&mut statement, rows, at)?;
            let mut found = statement.raw_query();
            let mut standing = AdoptedStanding::Absent;
            while let Some(row) = found.next()? {
                let differs = only::<Option<bool>>(row)?.unwrap_or(false);
                standing =
                    if differs { AdoptedStanding::Different } else { AdoptedStanding::Equal };
            }
            standings.push(standing);
        }
        Ok(standings)
    }
}

/// An adoption as it is noted.
#[derive(Clone, Debug, Serialize)]
pub struct AdoptionRow {
    /// The run of the adoption: `_windrow_runs.run_id`.
    pub run: i64,
    pub stream: String,
    /// The file's name without its folder.
    pub file: String,
    /// The table in it.
    pub source_table: Option<String>,
    /// What decided between records of one key.
    pub rule: String,
    /// SHA-256 of the records in their order, hexadecimal.
    pub sha256: String,
    /// Whether the stream had no table before.
    pub made_table: bool,
}

/// A stretch of time that holds adopted rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdoptedSpan {
    pub run: i64,
    /// Whole days; none for rows without a time.
    pub window: Option<Window>,
    /// Rows of the adoption in this stretch.
    pub rows: u64,
}

/// A row of the ledger, as far as it can confirm what a run adopted.
#[derive(Clone, Debug)]
pub struct FetchSince {
    /// The parent's key, or empty.
    pub partition: String,
    /// Whether a later run has completed it.
    pub complete: bool,
    /// As far as it counts; none for a snapshot or a mark.
    pub window: Option<Window>,
}

/// Why a record of a file did not become a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum RemovedReason {
    /// Another record of its key says the same.
    Copy,
    /// Another record of its key was chosen.
    Duplicate,
    /// The archive's own row was chosen.
    Archived,
    /// Nothing chooses between the records of its key.
    Undecided,
}

impl RemovedReason {
    /// As it stands in the archive.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A record of a file that did not become a row.
#[derive(Clone, Copy, Debug)]
pub struct Removed<'a> {
    /// Its line or row.
    pub place: i64,
    /// That of the record that stands for it.
    pub kept: Option<i64>,
    /// Why it is no row.
    pub reason: RemovedReason,
    /// The record as the file has it.
    pub record: &'a str,
}

impl Reader {
    /// How the archive stands to these rows.
    pub fn standings(
        &self,
        query: &StandingQuery,
        rows: &RowSet,
    ) -> Result<Vec<AdoptedStanding>, Error> {
        query.ask(&self.connection, rows).map_err(at(&self.path))
    }

    /// The adoptions that were not undone, newest first.
    pub fn adoptions(&self) -> Result<Vec<AdoptionRow>, Error> {
        adoptions(&self.connection).map_err(at(&self.path))
    }

    /// The time that adopted rows of a stream lie in, whether confirmed since or not.
    pub fn adopted_spans(&self, stream: &str) -> Result<Vec<AdoptedSpan>, Error> {
        spans(&self.connection, stream).map_err(at(&self.path))
    }

    /// What the ledger says of a stream's partitions since a run.
    pub fn fetches_since(&self, stream: &str, run: i64) -> Result<Vec<FetchSince>, Error> {
        fetches_since(&self.connection, stream, run).map_err(at(&self.path))
    }
}

impl Reader {
    /// Whether a stream has a table.
    pub fn has_table(&self, stream: &str) -> Result<bool, Error> {
        let stored = crate::store::table::stored_table(&self.connection, stream);
        stored.map(|stored| stored.is_some()).map_err(at(&self.path))
    }

    /// The rows of a stream that are as a run left them.
    pub fn count_of_run(&self, stream: &str, run: i64) -> Result<u64, Error> {
        let sql = format!("SELECT count(*) FROM {} WHERE \"_run\" = :run", quote(stream));
        self.connection.query_row(&sql, named_params! { ":run": run }, only).map_err(at(&self.path))
    }

    /// The type that a column of a stream's table was made with.
    pub fn column_type(&self, stream: &str, column: &str) -> Result<Option<ColumnType>, Error> {
        let stored =
            crate::store::table::stored_table(&self.connection, stream).map_err(at(&self.path))?;
        let columns = stored.map(|(_, columns)| columns).unwrap_or_default();
        Ok(columns.iter().find(|have| have.name == column).map(|have| have.kind))
    }

    /// How many keys stand more than once, by the query that proves it, which is given too.
    pub fn prove_unique(&self, shape: &TableShape) -> Result<(String, u64), Error> {
        let sql = duplicates_query(&shape.name, &shape.key.columns());
        let count = count_of(&self.connection, &sql).map_err(at(&self.path))?;
        Ok((sql, count))
    }
}

impl Tx<'_> {
    /// Notes a run that is done within the caller's transaction, and so never seen running.
    pub fn note_run(&self, start: &RunStart<'_>, message: &str) -> Result<i64, Error> {
        let note = || -> rusqlite::Result<i64> {
            let now = crate::model::instant_to_text(start.now);
            let definition = definition_id(self, start.definition, &now)?;
            let done = NewRun::done(start, definition, &now);
            NewRun { message: Some(message), ..done }.insert(self)
        };
        note().map_err(at(&self.path))
    }

    /// Notes an adoption, before its rows.
    pub fn note_adoption(&self, row: &AdoptionRow) -> Result<(), Error> {
        let sql = "INSERT INTO _windrow_adoptions
            (run_id, stream, file, source_table, rule, sha256, made_table)
            VALUES (:run, :stream, :file, :source_table, :rule, :sha256, :made_table)";
        let values = named_params! {
            ":run": row.run,
            ":stream": row.stream,
            ":file": row.file,
            ":source_table": row.source_table,
            ":rule": row.rule,
            ":sha256": row.sha256,
            ":made_table": row.made_table,
        };
        self.connection.execute(sql, values).map(|_| ()).map_err(at(&self.path))
    }

    /// Keeps a record that did not become a row.
    pub fn keep_removed(&self, run: i64, removed: Removed<'_>) -> Result<(), Error> {
        let sql = "INSERT INTO _windrow_adopted_removed (run_id, place, kept, reason, record)
            VALUES (:run, :place, :kept, :reason, :record)";
        let Removed { place, kept, reason, record } = removed;
        let keep = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.execute(named_params! {
                ":run": run,
                ":place": place,
                ":kept": kept,
                ":reason": reason.as_str(),
                ":record": record,
            })
        };
        keep().map(|_| ()).map_err(at(&self.path))
    }

    /// Marks a stretch of time as adopted and unverified.
    pub fn mark_adopted(&self, stream: &str, span: AdoptedSpan) -> Result<(), Error> {
        let (start, end) = bounds_text(span.window);
        let sql = "INSERT INTO _windrow_adopted (stream, start_at, end_at, run_id, rows)
            VALUES (:stream, :start, :end, :run, :rows)";
        let values = named_params! {
            ":stream": stream,
            ":start": start,
            ":end": end,
            ":run": span.run,
            ":rows": span.rows,
        };
        self.connection.execute(sql, values).map(|_| ()).map_err(at(&self.path))
    }

    /// Takes back the rows of an adoption that lie in these stretches of `field` (first text and
    /// the one after the last), or all of them, and those without a time. Gives their number.
    pub fn take_back(
        &self,
        adoption: &AdoptionRow,
        field: Option<&str>,
        stretches: &[(String, String)],
    ) -> Result<u64, Error> {
        let table = quote(&adoption.stream);
        let take = || -> rusqlite::Result<usize> {
            let Some(field) = field.map(quote) else {
                let sql = format!("DELETE FROM {table} WHERE \"_run\" = :run");
                return self.connection.execute(&sql, named_params! { ":run": adoption.run });
            };
            let sql = format!("DELETE FROM {table} WHERE \"_run\" = :run AND {field} IS NULL");
            let mut taken =
                self.connection.execute(&sql, named_params! { ":run": adoption.run })?;
            let sql = format!(
                "DELETE FROM {table} WHERE \"_run\" = :run AND {field} >= :first AND
                    {field} < :after"
            );
            let mut statement = self.connection.prepare(&sql)?;
            for (first, after) in stretches {
                taken += statement.execute(
                    named_params! { ":run": adoption.run, ":first": first, ":after": after },
                )?;
            }
            Ok(taken)
        };
        take().map(|taken| taken as u64).map_err(at(&self.path))
    }

    /// Forgets an adoption: what was kept of it, its rejects, and the table that was made for it
    /// and is empty and unread.
    pub fn forget_adoption(&self, adoption: &AdoptionRow) -> Result<(), Error> {
        let forget = || -> rusqlite::Result<()> {
            let run = adoption.run;
            for table in ["_windrow_adopted_removed", "_windrow_adopted", "_windrow_rejects"] {
                self.connection.execute(
                    &format!(
                        "DELETE FROM {table} WHERE
                        run_id = :run"
                    ),
                    named_params! { ":run": run },
                )?;
            }
            self.connection.execute(
                "DELETE FROM _windrow_adoptions WHERE
                run_id = :run",
                named_params! { ":run": run },
            )?;
            let table = quote(&adoption.stream);
            let used = format!(
                "SELECT EXISTS (SELECT 1 FROM {table}) OR EXISTS (SELECT 1 FROM _windrow_ledger
                    WHERE stream = :stream)
                 OR EXISTS (SELECT 1 FROM _windrow_adoptions WHERE stream = :stream)"
            );
            let stream = &adoption.stream;
            let used: bool =
                self.connection.query_row(&used, named_params! { ":stream": stream }, only)?;
            if adoption.made_table && !used {
                self.connection.execute_batch(&format!("DROP TABLE {table}"))?;
                let sql = "DELETE FROM _windrow_streams WHERE stream = :stream";
                self.connection.execute(sql, named_params! { ":stream": stream })?;
            }
            Ok(())
        };
        forget().map_err(at(&self.path))
    }

    /// Notes what an adoption did to its stream, in its transaction.
    pub fn note_outcomes(&self, run: i64, stream: &str, outcomes: Outcomes) -> Result<(), Error> {
        let stream = stream.to_owned();
        self.add_to_run(run, &RunStreamRow { stream, outcomes, ..RunStreamRow::default() })
    }
}

/// The query of the field for keys that stand more than once. A key that is NULL in a column is
/// unknown, and equal to no other.
pub(crate) fn duplicates_query(table: &str, key: &[String]) -> String {
    let key: Vec<String> = key.iter().map(|name| quote(name)).collect();
    let known: Vec<String> = key.iter().map(|name| format!("{name} IS NOT NULL")).collect();
    let (key, table) = (key.join(", "), quote(table));
    format!(
        "SELECT {key}, count(*) FROM {table} WHERE {} GROUP BY {key} HAVING count(*) > 1",
        known.join(" AND ")
    )
}

pub(crate) fn count_of(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    connection.query_row(&format!("SELECT count(*) FROM ({sql})"), [], only)
}

fn adoptions(connection: &Connection) -> rusqlite::Result<Vec<AdoptionRow>> {
    let sql = "SELECT run_id, stream, file, source_table, rule, sha256, made_table
        FROM _windrow_adoptions ORDER BY run_id DESC";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(AdoptionRow {
            run: row.get("run_id")?,
            stream: row.get("stream")?,
            file: row.get("file")?,
            source_table: row.get("source_table")?,
            rule: row.get("rule")?,
            sha256: row.get("sha256")?,
            made_table: row.get("made_table")?,
        })
    })?;
    rows.collect()
}

fn window_at(row: &rusqlite::Row<'_>, start: usize) -> rusqlite::Result<Option<Window>> {
    let instant = |at: usize| -> rusqlite::Result<Option<Timestamp>> {
        Ok(instant_from_text(&row.get::<_, String>(at)?))
    };
    Ok(instant(start)?.zip(instant(start + 1)?).and_then(|(start, end)| Window::new(start, end)))
}

fn spans(connection: &Connection, stream: &str) -> rusqlite::Result<Vec<AdoptedSpan>> {
    let sql = "SELECT run_id, rows, start_at, end_at FROM _windrow_adopted
        WHERE stream = :stream ORDER BY start_at, run_id";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(named_params! { ":stream": stream }, |row| {
        Ok(AdoptedSpan {
            run: row.get("run_id")?,
            rows: row.get("rows")?,
            window: window_at(row, 2)?,
        })
    })?;
    rows.collect()
}

fn fetches_since(
    connection: &Connection,
    stream: &str,
    run: i64,
) -> rusqlite::Result<Vec<FetchSince>> {
    let sql = "SELECT partition, run_id > :run AND state IN ('complete', 'settled') AS complete,
        start_at,
            coalesce(read_to, end_at)
        FROM _windrow_ledger WHERE stream = :stream ORDER BY partition, start_at";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(named_params! { ":stream": stream, ":run": run }, |row| {
        let window = window_at(row, 2)?;
        Ok(FetchSince { partition: row.get("partition")?, complete: row.get("complete")?, window })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Cell;
    use crate::store::TableWriter;
    use crate::store::table::tests::{archive_with, usage_shape};

    #[test]
    fn an_archive_is_asked_by_key_and_only_the_columns_that_count() {
        let shape = usage_shape();
        let (_folder, archive) = archive_with(&shape);
        let row = |key: &str, gb: f64| {
            let mut rows = RowSet::new(5);
            let cells = [
                rows.push_text(key),
                rows.push_text("2026-01-01"),
                Cell::Real(gb),
                Cell::Null,
                Cell::Null,
            ];
            rows.cells.extend(cells);
            rows
        };
        let table = TableWriter::new(shape.clone());
        archive.transaction(|tx| tx.write_rows(&table, &row("a", 1.0), 1, "now")).expect("a row");
        let ask = |rows: &RowSet, counts: &dyn Fn(&str) -> bool| {
            let query = StandingQuery::new(shape.clone(), counts);
            archive.standings(&query, rows).expect("an answer")
        };
        assert_eq!(ask(&row("a", 1.0), &|_| true), [AdoptedStanding::Equal]);
        assert_eq!(ask(&row("a", 2.0), &|_| true), [AdoptedStanding::Different]);
        assert_eq!(ask(&row("a", 2.0), &|name| name != "gb"), [AdoptedStanding::Equal]);
        assert_eq!(ask(&row("b", 1.0), &|_| true), [AdoptedStanding::Absent]);
    }
}

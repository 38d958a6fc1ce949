//! Reads the facts that `windrow check` judges, a row at a time, so that memory does not grow
//! with the archive.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use crate::check::evidence::list;
use crate::model::{Error, ErrorKind, State, Window, instant_from_text};
use crate::store::LedgerRow;
use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::sql::quote;
use crate::store::stops::end_when;
use crate::store::value::{Value, owned};

/// The window of a ledger entry, where that was read to its end.
pub fn complete_window(row: &LedgerRow) -> Option<Window> {
    let complete = matches!(row.state, State::Complete | State::Settled)
        && row.read_to.as_ref() == Some(&row.end_at);
    let bounds = (instant_from_text(&row.start_at)?, instant_from_text(&row.end_at)?);
    complete.then(|| Window::new(bounds.0, bounds.1)).flatten()
}

/// Rows of one date that first came at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrivals {
    /// The date, as it stands.
    pub date: String,
    pub first_seen_at: String,
    /// How many they are.
    pub rows: u64,
    /// Those of them that are gone at their source.
    pub gone: u64,
}

/// What a run has to say of a stream's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    /// The parent's key; none where the stream has no `for_each`.
    pub partition: Option<String>,
    /// The window, as text.
    pub window: Option<String>,
    pub message: String,
}

/// Keys that stand more than once in a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DuplicateFact {
    /// Keys that stand in several rows.
    pub keys: u64,
    /// Rows beyond the first of each key.
    pub extra: u64,
    /// Some of them: the key, and how often it stands.
    pub examples: Vec<(Vec<Value>, u64)>,
}

/// Rows that are equal in every column but the key.
#[derive(Clone, Debug, PartialEq)]
pub struct TwinFact {
    /// What they share, in the order of the columns that were asked for.
    pub content: Vec<Value>,
    /// How many they are.
    pub times: u64,
    /// Two of their row numbers.
    pub rows: (i64, i64),
}

/// A row of a series: the group, the date as it stands, the values.
pub struct SeriesRow {
    /// The values of the group's columns.
    pub group: Vec<Value>,
    /// The date or timestamp.
    pub date: String,
    /// The numbers of the judged columns, in their order; none where the value is no number.
    pub values: Vec<Option<f64>>,
}

type Each<'a, T> = &'a mut dyn FnMut(T) -> ControlFlow<()>;

impl Reader {
    /// Has every statement end as soon as `enough` says so, with [`ErrorKind::Interrupted`].
    pub fn end_when(&mut self, enough: impl FnMut() -> bool + Send + 'static) -> Result<(), Error> {
        end_when(&mut self.connection, enough).map_err(at(&self.path))
    }

    fn scan<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
        each: Each<'_, T>,
    ) -> Result<(), Error> {
        let scan = |connection: &Connection| -> rusqlite::Result<()> {
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query(values)?;
            while let Some(row) = rows.next()? {
                if each(read(row)?).is_break() {
                    break;
                }
            }
            Ok(())
        };
        scan(&self.connection).map_err(at(&self.path))
    }

    /// The ledger of a stream, by partition and oldest first.
    pub fn each_ledger_row(&self, stream: &str, each: Each<'_, LedgerRow>) -> Result<(), Error> {
        self.scan(LedgerRow::SELECT, named_params! { ":stream": stream }, LedgerRow::of, each)
    }

    /// The rows of a table, group by group and by date.
    pub fn series(
        &self,
        table: &str,
        group: &[String],
        date: &str,
        values: &[String],
        each: Each<'_, SeriesRow>,
    ) -> Result<(), Error> {
        let ordered: Vec<String> = group.iter().cloned().chain([date.to_owned()]).collect();
        let all: Vec<String> = ordered.iter().chain(values).cloned().collect();
        let sql = format!(
            "SELECT {} FROM {}{} {} IS NOT NULL ORDER BY {}",
            list(&all),
            quote(table),
            self.where_living(table)?,
            quote(date),
            list(&ordered)
        );
        let read = |row: &Row<'_>| {
            let value = |at| row.get_ref(at).map(owned);
            let group = (0..ordered.len() - 1).map(value).collect::<rusqlite::Result<_>>()?;
            let numbers = (ordered.len()..all.len()).map(|at| Ok(number(&value(at)?)));
            Ok(SeriesRow {
                group,
                date: row.get(ordered.len() - 1)?,
                values: numbers.collect::<rusqlite::Result<_>>()?,
            })
        };
        self.scan(&sql, [], read, each)
    }

    /// The date of each row that has one, in no order.
    pub fn dates(&self, table: &str, date: &str, take: &mut dyn FnMut(&str)) -> Result<(), Error> {
        let (date, living) = (quote(date), self.where_living(table)?);
        let sql = format!("SELECT {date} AS date FROM {}{living} {date} IS NOT NULL", quote(table));
        let mut scan = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                // A text that is no UTF-8 is no date either.
                take(row.get_ref("date")?.as_str_or_null().ok().flatten().unwrap_or_default());
            }
            Ok(())
        };
        scan().map_err(at(&self.path))
    }

    /// How many rows of each date first came when, by date.
    pub fn arrivals(&self, table: &str, date: &str, each: Each<'_, Arrivals>) -> Result<(), Error> {
        let date = quote(date);
        let gone = if self.has_marks(table)? { "count(\"_deleted_at\")" } else { "0" };
        let sql = format!(
            "SELECT {date} AS date, \"_first_seen_at\" AS first_seen_at, count(*) AS rows,
                {gone} AS gone FROM {}
                WHERE {date} IS NOT NULL
             GROUP BY 1, 2 ORDER BY 1, 2",
            quote(table)
        );
        let read = |row: &Row<'_>| {
            Ok(Arrivals {
                date: row.get("date")?,
                first_seen_at: row.get("first_seen_at")?,
                rows: row.get("rows")?,
                gone: row.get("gone")?,
            })
        };
        self.scan(&sql, [], read, each)
    }

    /// The beginning of a condition for rows that are not gone.
    fn where_living(&self, table: &str) -> Result<String, Error> {
        Ok(match self.living(table)? {
            "" => " WHERE".to_owned(),
            living => format!("{living} AND"),
        })
    }

    /// Whether SQLite itself keeps two rows from having the same key.
    pub fn has_unique_key(&self, table: &str, key: &[String]) -> Result<bool, Error> {
        let look = |connection: &Connection| -> rusqlite::Result<bool> {
            let sql = "SELECT (SELECT group_concat(name, char(10))
                    FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY name))
                FROM pragma_index_list(:table) AS i WHERE i.\"unique\" AND NOT i.partial";
            let mut wanted = key.to_vec();
            wanted.sort();
            let wanted = wanted.join("\n");
            let mut statement = connection.prepare(sql)?;
            let found =
                statement.query_map(named_params! { ":table": table }, only::<Option<String>>)?;
            let found: Vec<Option<String>> = found.collect::<rusqlite::Result<_>>()?;
            Ok(found.contains(&Some(wanted)))
        };
        look(&self.connection).map_err(at(&self.path))
    }

    /// The latest remark on a stream, of a run whose fetch is still the last one of some window.
    pub fn last_remark(&self, stream: &str) -> Result<Option<Remark>, Error> {
        self.run(|connection| {
            let sql = "SELECT partition, window, message FROM _windrow_run_events AS e
                WHERE kind = 'remark' AND stream = :stream AND EXISTS
                    (SELECT 1 FROM _windrow_ledger AS l WHERE l.stream = e.stream
                        AND l.run_id = e.run_id AND l.state IN ('complete', 'settled'))
                ORDER BY run_id DESC, number DESC LIMIT 1";
            let read = |row: &Row<'_>| {
                Ok(Remark {
                    partition: row.get("partition")?,
                    window: row.get("window")?,
                    message: row.get("message")?,
                })
            };
            let values = named_params! { ":stream": stream };
            connection.prepare_cached(sql)?.query_row(values, read).optional()
        })
    }

    /// How many different values some columns have together, among the rows that are not gone.
    pub fn count_distinct(&self, table: &str, columns: &[String]) -> Result<u64, Error> {
        let living = self.living(table)?;
        let sql = format!(
            "SELECT count(*) FROM (SELECT DISTINCT {} FROM {}{living})",
            list(columns),
            quote(table)
        );
        self.run(|connection| connection.query_row(&sql, [], only))
    }

    /// Whether anything of a stream and partition was read.
    pub fn is_begun(&self, stream: &str, partition: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM _windrow_ledger WHERE stream = :stream AND partition = :partition";
        let found = self.connection.prepare_cached(sql);
        let found = found.and_then(|mut statement| {
            statement.exists(named_params! { ":stream": stream, ":partition": partition })
        });
        found.map_err(at(&self.path))
    }

    /// The names of a table's or view's columns; none when there is no such table.
    pub fn columns_of(&self, table: &str) -> Result<Vec<String>, Error> {
        let look = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
            let sql = "SELECT name FROM pragma_table_info(:table) ORDER BY cid";
            let mut statement = connection.prepare(sql)?;
            statement.query_map(named_params! { ":table": table }, only)?.collect()
        };
        look(&self.connection).map_err(at(&self.path))
    }

    /// The keys that stand more than once, with `examples` of them.
    pub fn duplicates(
        &self,
        table: &str,
        key: &[String],
        examples: usize,
    ) -> Result<DuplicateFact, Error> {
        let names = list(key);
        let sql = format!(
            "SELECT {names}, count(*) AS times FROM {} GROUP BY {names} HAVING count(*) > 1",
            quote(table)
        );
        let read = |row: &Row<'_>| {
            let values = (0..key.len()).map(|at| row.get_ref(at).map(owned));
            Ok((values.collect::<rusqlite::Result<_>>()?, row.get(key.len())?))
        };
        let mut fact = DuplicateFact::default();
        self.scan(&sql, [], read, &mut |(values, times): (Vec<Value>, u64)| {
            fact.keys += 1;
            fact.extra += times - 1;
            if fact.examples.len() < examples {
                fact.examples.push((values, times));
            }
            ControlFlow::Continue(())
        })?;
        Ok(fact)
    }

    /// The rows of a table that share all these columns with another one. SQLite sorts: the time
    /// grows as n log n.
    pub fn twins(
        &self,
        table: &str,
        columns: &[String],
        since: &str,
        each: Each<'_, TwinFact>,
    ) -> Result<(), Error> {
        let names = list(columns);
        let sql = format!(
            "SELECT {names}, count(*), min(_rowid_), max(_rowid_) FROM {}{} GROUP BY {names}
             HAVING count(*) > 1 AND max(\"_first_seen_at\") >= :since",
            quote(table),
            self.living(table)?
        );
        let width = columns.len();
        let read = |row: &Row<'_>| {
            let content = (0..width).map(|at| row.get_ref(at).map(owned));
            Ok(TwinFact {
                content: content.collect::<rusqlite::Result<_>>()?,
                times: row.get(width)?,
                rows: (row.get(width + 1)?, row.get(width + 2)?),
            })
        };
        self.scan(&sql, named_params! { ":since": since }, read, each)
    }

    /// The number of rows of a table, and of the different values of each of these columns.
    pub fn variety(&self, table: &str, columns: &[String]) -> Result<(u64, Vec<u64>), Error> {
        let counts: Vec<String> =
            columns.iter().map(|name| format!(", count(DISTINCT {})", quote(name))).collect();
        let (counts, living) = (counts.concat(), self.living(table)?);
        let sql = format!("SELECT count(*) AS rows{counts} FROM {}{living}", quote(table));
        let read = |row: &Row<'_>| {
            let each = (1..=columns.len()).map(|at| row.get(at));
            Ok((row.get("rows")?, each.collect::<rusqlite::Result<_>>()?))
        };
        self.connection.query_row(&sql, [], read).map_err(at(&self.path))
    }

    /// Some columns of one row.
    pub fn row_at(&self, table: &str, columns: &[String], row: i64) -> Result<Vec<Value>, Error> {
        let sql = format!("SELECT {} FROM {} WHERE _rowid_ = :row", list(columns), quote(table));
        let read = |row: &Row<'_>| {
            (0..columns.len()).map(|at| row.get_ref(at).map(owned)).collect::<rusqlite::Result<_>>()
        };
        let found = self.connection.query_row(&sql, named_params! { ":row": row }, read).optional();
        Ok(found.map_err(at(&self.path))?.unwrap_or_default())
    }

    /// Rejects that were first seen at some time or later: stream, kind, number, and the reason of
    /// the latest.
    pub fn rejects_since(&self, since: &str) -> Result<Vec<(String, String, u64, String)>, Error> {
        let read = |connection: &Connection| -> rusqlite::Result<Vec<_>> {
            // A bare column beside max() is that of the row with the maximum.
            let sql = "SELECT stream, kind, count(*) AS number, reason, max(reject_id)
                FROM _windrow_rejects
                WHERE first_seen_at >= :since AND closed_at IS NULL
                GROUP BY stream, kind ORDER BY stream, kind";
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map(named_params! { ":since": since }, |row| {
                Ok((row.get("stream")?, row.get("kind")?, row.get("number")?, row.get("reason")?))
            })?;
            rows.collect()
        };
        read(&self.connection).map_err(at(&self.path))
    }

    /// By how many milliseconds each source's clock was ahead of this machine's, and when.
    pub fn clocks(&self) -> Result<Vec<(String, i64, String)>, Error> {
        let mut clocks = Vec::new();
        let sql = "SELECT source, skew_ms, seen_at FROM _windrow_clocks ORDER BY source";
        let read =
            |row: &Row<'_>| Ok((row.get("source")?, row.get("skew_ms")?, row.get("seen_at")?));
        self.scan(sql, [], read, &mut |clock| {
            clocks.push(clock);
            ControlFlow::Continue(())
        })?;
        Ok(clocks)
    }

    /// Refuses what is not one statement that reads.
    pub fn refuse_writing(&self, sql: &str) -> Result<(), Error> {
        let quiet = |error: Error| match error.kind {
            ErrorKind::Query => error,
            _ => Error { kind: ErrorKind::Query, ..error },
        };
        self.statement_that_reads(sql).map(|_| ()).map_err(quiet)
    }
}

/// A number, also where it stands as exact text.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        #[expect(clippy::cast_precision_loss, reason = "a spike is not told by the 17th digit")]
        Value::Integer(number) => *number as f64,
        Value::Real(number) => *number,
        Value::Text(text) => text.parse().ok()?,
        Value::Null | Value::Blob(_) => return None,
    };
    number.is_finite().then_some(number)
}

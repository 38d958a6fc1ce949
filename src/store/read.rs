//! What is read of an archive: streams, ledger, runs, rejects, definitions.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, named_params};
use serde::Serialize;

use crate::definition::{Column, OnDrift, Scalar, Stream};
use crate::model::{Entry, Error, KeyShape, State, TableColumn, Timestamp, instant_from_text};

use crate::store::error::at;
use crate::store::ledger::LEDGER_STATE;
use crate::store::reader::Reader;
use crate::store::row::{from_json, named, only};
use crate::store::runs::{RunRow, runs};
use crate::store::sql::quote;

/// A stream as it stands in the archive.
#[derive(Clone, Debug)]
pub struct StreamRow {
    /// Its name and its table's.
    pub stream: String,
    /// The key that its table was made with.
    pub key: KeyShape,
    /// The columns of its table.
    pub columns: Vec<TableColumn>,
    /// Whether they were inferred.
    pub inferred: bool,
    /// Where its grid starts, resolved at the first sync.
    pub start_at: Option<Timestamp>,
}

impl StreamRow {
    /// The columns of a stream, if they are known before its first page.
    pub fn columns_of(stream: &Stream, stored: Option<&StreamRow>) -> Option<Vec<Column>> {
        let plain = |column: &TableColumn| Column::plain(&column.name, column.kind);
        let stored = stored.map(|row| row.columns.iter().map(plain));
        let Some(defined) = &stream.columns else { return stored.map(Iterator::collect) };
        let mut columns = defined.clone();
        if stream.on_drift == OnDrift::AddColumn {
            // Columns that earlier runs added are the definition's as well.
            let is_defined = |c: &Column| defined.iter().any(|have| have.name == c.name);
            columns.extend(stored.into_iter().flatten().filter(|column| !is_defined(column)));
        }
        Some(columns)
    }
}

/// A row of the ledger as it stands, for whoever shows it, judges it or copies it. What the planner
/// makes of it is an [`Entry`].
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerRow {
    /// The parent's key, or empty.
    pub partition: String,
    /// The window's start, or empty.
    pub start_at: String,
    /// The window's end, or empty.
    pub end_at: String,
    /// `partial`, `complete`, `settled` or `truncated`.
    pub state: State,
    /// Up to where the fetch counts.
    pub read_to: Option<String>,
    /// As of when the last fetch speaks.
    pub requested_at: String,
    /// When it was last complete.
    pub completed_at: Option<String>,
    /// The high-water mark of a cursor stream; none for other kinds.
    pub cursor: Option<String>,
    /// Records that the last fetch received.
    pub received: u64,
    /// Records that it rejected.
    pub rejected: u64,
    /// Distinct keys, where counted.
    pub distinct_keys: Option<u64>,
    /// The source's own total.
    pub source_total: Option<u64>,
    /// Records outside the range.
    pub out_of_window: u64,
    /// Why it is not complete.
    pub error: Option<String>,
    /// Where the range of the last complete fetch begins.
    pub asked_from: Option<String>,
    /// Records of the last complete fetch, where it was made in one piece.
    pub last_records: Option<u64>,
    /// Records of the complete fetch before.
    pub previous_records: Option<u64>,
    /// When the window was first read up to its end.
    pub first_complete_at: Option<String>,
    /// When it was first settled.
    pub settled_at: Option<String>,
}

/// Rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableRows {
    /// Those that are there.
    pub living: u64,
    /// Those that are marked as gone at their source.
    pub gone: u64,
}

impl TableRows {
    /// All rows of the table.
    pub fn all(self) -> u64 {
        self.living + self.gone
    }
}

/// A definition as a run used it.
#[derive(Clone, Debug)]
pub struct StoredDefinition {
    pub run: i64,
    pub started_at: String,
    /// TOML without comments and secrets.
    pub text: String,
}

/// A row of a parent stream.
#[derive(Clone, Debug)]
pub struct ParentRow {
    /// Where to go on after it.
    pub rowid: i64,
    /// Its key as JSON: the partition's name.
    pub partition: String,
    /// Its columns to their values.
    pub values: BTreeMap<String, Scalar>,
}

/// Open rejects of one stream and kind.
#[derive(Clone, Debug, Serialize)]
pub struct RejectRow {
    pub stream: String,
    /// The name of the kind of fault.
    pub kind: String,
    pub count: u64,
    /// The reason of the latest one.
    pub example: String,
}

impl LedgerRow {
    /// One that says nothing but its state.
    #[cfg(test)]
    pub(crate) fn plain(state: State) -> LedgerRow {
        LedgerRow {
            partition: String::new(),
            start_at: String::new(),
            end_at: String::new(),
            state,
            read_to: None,
            requested_at: String::new(),
            completed_at: None,
            cursor: None,
            received: 0,
            rejected: 0,
            distinct_keys: None,
            source_total: None,
            out_of_window: 0,
            error: None,
            asked_from: None,
            last_records: None,
            previous_records: None,
            first_complete_at: None,
            settled_at: None,
        }
    }

    /// The rows of a stream, oldest first.
    pub(crate) const SELECT: &str = "SELECT partition, start_at, end_at, state, read_to,
            requested_at, completed_at, cursor, received, rejected, distinct_keys, source_total,
            out_of_window, error, asked_from, last_records, previous_records, first_complete_at,
            settled_at
        FROM _windrow_ledger WHERE stream = :stream ORDER BY partition, start_at, end_at";

    /// A row of [`Self::SELECT`].
    pub(crate) fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<LedgerRow> {
        Ok(LedgerRow {
            partition: row.get("partition")?,
            start_at: row.get("start_at")?,
            end_at: row.get("end_at")?,
            state: named(row, "state", LEDGER_STATE)?,
            read_to: row.get("read_to")?,
            requested_at: row.get("requested_at")?,
            completed_at: row.get("completed_at")?,
            cursor: row.get("cursor")?,
            received: row.get("received")?,
            rejected: row.get("rejected")?,
            distinct_keys: row.get("distinct_keys")?,
            source_total: row.get("source_total")?,
            out_of_window: row.get("out_of_window")?,
            error: row.get("error")?,
            asked_from: row.get("asked_from")?,
            last_records: row.get("last_records")?,
            previous_records: row.get("previous_records")?,
            first_complete_at: row.get("first_complete_at")?,
            settled_at: row.get("settled_at")?,
        })
    }
}

impl Reader {
    /// The triggers of the archive, which windrow does not run: their names and their tables'.
    pub fn idle_triggers(&self) -> Result<Vec<(String, String)>, Error> {
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let sql = "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger'
                ORDER BY name LIMIT 100";
            let mut statement = self.connection.prepare(sql)?;
            statement.query_map([], |row| Ok((row.get("name")?, row.get("tbl_name")?)))?.collect()
        };
        read().map_err(at(&self.path))
    }

    /// The entries of a stream and partition, oldest first.
    pub fn ledger(&self, stream: &str, partition: &str) -> Result<Vec<Entry>, Error> {
        self.run(|connection| crate::store::ledger::entries(connection, stream, partition))
    }

    /// The streams that have a table.
    pub fn streams(&self) -> Result<Vec<StreamRow>, Error> {
        self.run(|connection| {
            let sql = "SELECT stream, key, columns, inferred, start_at
                FROM _windrow_streams ORDER BY stream";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                let start: Option<String> = row.get("start_at")?;
                Ok(StreamRow {
                    stream: row.get("stream")?,
                    key: from_json(&row.get::<_, String>("key")?, 1)?,
                    columns: from_json(&row.get::<_, String>("columns")?, 2)?,
                    inferred: row.get("inferred")?,
                    start_at: start.as_deref().and_then(instant_from_text),
                })
            })?;
            rows.collect()
        })
    }

    /// The streams that the ledger knows, by name, whether or not they have a table.
    pub fn read_streams(&self) -> Result<Vec<String>, Error> {
        self.run(|connection| {
            let sql = "SELECT DISTINCT stream FROM _windrow_ledger ORDER BY stream";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([], only)?.collect()
        })
    }

    /// The row of the stream with this name, if the archive has it.
    pub fn stream(&self, name: &str) -> Result<Option<StreamRow>, Error> {
        Ok(self.streams()?.into_iter().find(|row| row.stream == name))
    }

    /// The ledger of a stream for people, oldest first.
    pub fn ledger_rows(&self, stream: &str) -> Result<Vec<LedgerRow>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(LedgerRow::SELECT)?;
            let rows = statement.query_map(named_params! { ":stream": stream }, LedgerRow::of)?;
            rows.collect()
        })
    }

    /// Up to `limit` rows of a parent's table after `after`, in the order of their arrival, so
    /// that memory does not grow with the number of parents. Rows that are gone are no parents.
    pub fn parents(
        &self,
        parent: &StreamRow,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ParentRow>, Error> {
        let key = parent.key.columns();
        let names: Vec<String> =
            parent.columns.iter().map(|column| column.name.clone()).chain(key.clone()).collect();
        let list: Vec<String> = names.iter().map(|name| quote(name)).collect();
        let living = match self.living(&parent.stream)? {
            "" => String::from(" WHERE"),
            living => format!("{living} AND"),
        };
        let sql = format!(
            "SELECT _rowid_ AS \"_rowid_\", {} FROM {}{living} _rowid_ > :after ORDER BY _rowid_
                LIMIT :limit",
            list.join(", "),
            quote(&parent.stream)
        );
        self.run(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows =
                statement.query_map(named_params! { ":after": after, ":limit": limit }, |row| {
                    let mut values = BTreeMap::new();
                    for (at, name) in names.iter().enumerate() {
                        values.insert(name.clone(), scalar(row.get_ref(at + 1)?));
                    }
                    let partition = partition_name(&key, &values);
                    Ok(ParentRow { rowid: row.get("_rowid_")?, partition, values })
                })?;
            rows.collect()
        })
    }

    /// The partitions of parents that are marked as gone: nothing of them is asked for any more.
    pub fn gone_partitions(&self, parent: &StreamRow) -> Result<BTreeSet<String>, Error> {
        if !self.has_marks(&parent.stream)? {
            return Ok(BTreeSet::new());
        }
        let key = parent.key.columns();
        let list: Vec<String> = key.iter().map(|name| quote(name)).collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE \"_deleted_at\" IS NOT NULL",
            list.join(", "),
            quote(&parent.stream)
        );
        self.run(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([], |row| {
                let mut values = BTreeMap::new();
                for (at, name) in key.iter().enumerate() {
                    values.insert(name.clone(), scalar(row.get_ref(at)?));
                }
                Ok(partition_name(&key, &values))
            })?;
            rows.collect()
        })
    }

    /// The condition for rows that are not gone, where the table can mark some as gone.
    pub(crate) fn living(&self, table: &str) -> Result<&'static str, Error> {
        let marks = self.has_marks(table)?;
        Ok(if marks { " WHERE \"_deleted_at\" IS NULL" } else { "" })
    }

    /// The number of rows in a stream's table.
    pub fn count(&self, stream: &str) -> Result<TableRows, Error> {
        let gone = if self.has_marks(stream)? { "count(\"_deleted_at\")" } else { "0" };
        let sql = format!("SELECT count(*) AS rows, {gone} AS gone FROM {}", quote(stream));
        self.run(|connection| {
            connection.query_row(&sql, [], |row| {
                let (rows, gone): (u64, u64) = (row.get("rows")?, row.get("gone")?);
                Ok(TableRows { living: rows - gone, gone })
            })
        })
    }

    /// The last `limit` runs, newest first.
    pub fn runs(&self, limit: u32) -> Result<Vec<RunRow>, Error> {
        self.run(|connection| runs(connection, None, limit))
    }

    /// The run with this number, if the archive has it.
    pub fn run_row(&self, run: i64) -> Result<Option<RunRow>, Error> {
        Ok(self.run(|connection| runs(connection, Some(run), 1))?.into_iter().next())
    }

    /// Open rejects by stream and kind.
    pub fn rejects(&self) -> Result<Vec<RejectRow>, Error> {
        self.run(|connection| {
            let sql = "SELECT stream, kind, count(*) AS count, reason
                FROM (SELECT * FROM _windrow_rejects
                 WHERE discarded_at IS NULL AND closed_at IS NULL
                 ORDER BY reject_id DESC)
                GROUP BY stream, kind ORDER BY stream, kind";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                Ok(RejectRow {
                    stream: row.get("stream")?,
                    kind: row.get("kind")?,
                    count: row.get("count")?,
                    example: row.get("reason")?,
                })
            })?;
            rows.collect()
        })
    }

    /// The archive's name among all archives: 32 hexadecimal digits. A hand-off has one of its own.
    pub fn archive_id(&self) -> Result<String, Error> {
        self.run(|connection| {
            let sql = "SELECT value FROM _windrow_meta WHERE name = 'archive_id'";
            let id = connection.query_row(sql, [], only).optional()?;
            Ok(id.unwrap_or_default())
        })
    }

    /// The definition that was used last.
    pub fn definition(&self) -> Result<Option<String>, Error> {
        Ok(self.stored_definition(None)?.map(|stored| stored.text))
    }

    /// The definition that a run used, or the latest run that had one.
    pub fn stored_definition(&self, run: Option<i64>) -> Result<Option<StoredDefinition>, Error> {
        self.run(|connection| {
            let sql = "SELECT r.run_id, r.started_at, d.text
                FROM _windrow_runs r JOIN _windrow_definitions d USING (definition_id)
                WHERE :run IS NULL OR r.run_id = :run ORDER BY r.run_id DESC LIMIT 1";
            let stored = connection.query_row(sql, named_params! { ":run": run }, |row| {
                let (run, started_at) = (row.get("run_id")?, row.get("started_at")?);
                Ok(StoredDefinition { run, started_at, text: row.get("text")? })
            });
            stored.optional()
        })
    }
}

pub(crate) fn scalar(value: rusqlite::types::ValueRef<'_>) -> Scalar {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Null | ValueRef::Blob(_) => Scalar::Null,
        ValueRef::Integer(number) => Scalar::Integer(number),
        ValueRef::Real(number) => Scalar::Real(number),
        ValueRef::Text(text) => Scalar::Text(String::from_utf8_lossy(text).into_owned()),
    }
}

/// A parent's key as JSON: a value, or a list of values.
fn partition_name(key: &[String], values: &BTreeMap<String, Scalar>) -> String {
    let json = |name: &String| match values.get(name) {
        Some(Scalar::Integer(number)) => serde_json::Value::from(*number),
        Some(Scalar::Real(number)) => serde_json::Value::from(*number),
        Some(Scalar::Text(text)) => serde_json::Value::from(text.as_str()),
        Some(Scalar::Null) | None => serde_json::Value::Null,
    };
    match key {
        [one] => json(one).to_string(),
        many => serde_json::Value::from(many.iter().map(json).collect::<Vec<_>>()).to_string(),
    }
}

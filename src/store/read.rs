//! Reading an archive without ever changing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::definition::{Column, OnDrift, Scalar, Stream};
use crate::model::{Entry, Error, ErrorKind, KeyShape, TableColumn, Timestamp, instant_from_text};

use crate::store::error::at;
use crate::store::ledger::known_state;
use crate::store::open::{SCHEMA_VERSION, open_reader};
use crate::store::runs::{RunRow, runs};
use crate::store::table::{from_json, quote};

/// A connection that only reads.
pub struct Reader {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
}

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
            let is_defined =
                |c: &Column| defined.iter().any(|have| have.name.eq_ignore_ascii_case(&c.name));
            columns.extend(stored.into_iter().flatten().filter(|column| !is_defined(column)));
        }
        Some(columns)
    }
}

/// A row of the ledger for people.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerRow {
    /// The parent's key, or empty.
    pub partition: String,
    /// The window's start, or empty.
    pub start_at: String,
    /// The window's end, or empty.
    pub end_at: String,
    /// `partial`, `complete`, `settled` or `truncated`.
    pub state: String,
    /// Up to where the fetch counts.
    pub read_to: Option<String>,
    /// When it was last complete.
    pub completed_at: Option<String>,
    /// The mark.
    pub cursor: Option<String>,
    /// Records that came.
    pub received: u64,
    /// Distinct keys, where counted.
    pub distinct_keys: Option<u64>,
    /// The source's own total.
    pub source_total: Option<u64>,
    /// Records outside the range.
    pub out_of_window: u64,
    /// Why it is not complete.
    pub error: Option<String>,
}

/// A definition as a run used it.
#[derive(Clone, Debug)]
pub struct StoredDefinition {
    /// The run's number.
    pub run: i64,
    /// When it began.
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
    /// Its columns.
    pub values: BTreeMap<String, Scalar>,
}

/// Open rejects of one stream and kind.
#[derive(Clone, Debug, Serialize)]
pub struct RejectRow {
    /// The stream.
    pub stream: String,
    /// Why.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The reason of the latest one.
    pub example: String,
}

impl LedgerRow {
    /// The rows of a stream, oldest first.
    pub(crate) const SELECT: &str = "SELECT partition, start_at, end_at, state, read_to,
            completed_at, cursor, received, distinct_keys, source_total, out_of_window, error
        FROM _windrow_ledger WHERE stream = ?1 ORDER BY partition, start_at, end_at";

    /// A row of [`Self::SELECT`].
    pub(crate) fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<LedgerRow> {
        Ok(LedgerRow {
            partition: row.get(0)?,
            start_at: row.get(1)?,
            end_at: row.get(2)?,
            state: known_state(row.get(3)?)?,
            read_to: row.get(4)?,
            completed_at: row.get(5)?,
            cursor: row.get(6)?,
            received: row.get(7)?,
            distinct_keys: row.get(8)?,
            source_total: row.get(9)?,
            out_of_window: row.get(10)?,
            error: row.get(11)?,
        })
    }
}

impl Reader {
    /// Opens the archive at `path` for reading.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { connection: open_reader(path)?, path: path.to_owned() })
    }

    /// The archive's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn run<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        read(&self.connection).map_err(|error| {
            let sql = "PRAGMA user_version";
            let version = self.connection.query_row(sql, [], |row| row.get::<_, i32>(0));
            let lacks = error.to_string().starts_with("no such ");
            match version {
                Ok(version) if lacks && version < SCHEMA_VERSION => older(&self.path, version),
                _ => at(&self.path)(error),
            }
        })
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
                let start: Option<String> = row.get(4)?;
                Ok(StreamRow {
                    stream: row.get(0)?,
                    key: from_json(&row.get::<_, String>(1)?, 1)?,
                    columns: from_json(&row.get::<_, String>(2)?, 2)?,
                    inferred: row.get(3)?,
                    start_at: start.as_deref().and_then(instant_from_text),
                })
            })?;
            rows.collect()
        })
    }

    /// One stream's row.
    pub fn stream(&self, name: &str) -> Result<Option<StreamRow>, Error> {
        Ok(self.streams()?.into_iter().find(|row| row.stream == name))
    }

    /// The ledger of a stream for people, oldest first.
    pub fn ledger_rows(&self, stream: &str) -> Result<Vec<LedgerRow>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(LedgerRow::SELECT)?;
            let rows = statement.query_map([stream], LedgerRow::of)?;
            rows.collect()
        })
    }

    /// Up to `limit` rows of a parent's table after `after`, in the order of their arrival, so
    /// that memory does not grow with the number of parents.
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
        let sql = format!(
            "SELECT _rowid_, {} FROM {} WHERE _rowid_ > ?1 ORDER BY _rowid_ LIMIT ?2",
            list.join(", "),
            quote(&parent.stream)
        );
        self.run(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![after, limit], |row| {
                let mut values = BTreeMap::new();
                for (at, name) in names.iter().enumerate() {
                    values.insert(name.clone(), scalar(row.get_ref(at + 1)?));
                }
                let partition = partition_name(&key, &values);
                Ok(ParentRow { rowid: row.get(0)?, partition, values })
            })?;
            rows.collect()
        })
    }

    /// The number of rows in a stream's table.
    pub fn count(&self, stream: &str) -> Result<u64, Error> {
        let sql = format!("SELECT count(*) FROM {}", quote(stream));
        self.run(|connection| connection.query_row(&sql, [], |row| row.get(0)))
    }

    /// The last `limit` runs, newest first.
    pub fn runs(&self, limit: u32) -> Result<Vec<RunRow>, Error> {
        self.run(|connection| runs(connection, None, limit))
    }

    /// One run.
    pub fn run_row(&self, run: i64) -> Result<Option<RunRow>, Error> {
        Ok(self.run(|connection| runs(connection, Some(run), 1))?.into_iter().next())
    }

    /// Open rejects by stream and kind.
    pub fn rejects(&self) -> Result<Vec<RejectRow>, Error> {
        self.run(|connection| {
            let sql = "SELECT stream, kind, count(*), reason FROM
                (SELECT * FROM _windrow_rejects WHERE discarded_at IS NULL
                 ORDER BY reject_id DESC)
                GROUP BY stream, kind ORDER BY stream, kind";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                Ok(RejectRow {
                    stream: row.get(0)?,
                    kind: row.get(1)?,
                    count: row.get(2)?,
                    example: row.get(3)?,
                })
            })?;
            rows.collect()
        })
    }

    /// The archive's name among all archives: 32 hexadecimal digits. A hand-off has one of its own.
    pub fn archive_id(&self) -> Result<String, Error> {
        self.run(|connection| {
            let sql = "SELECT value FROM _windrow_meta WHERE name = 'archive_id'";
            let id = connection.query_row(sql, [], |row| row.get(0)).optional()?;
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
                WHERE ?1 IS NULL OR r.run_id = ?1 ORDER BY r.run_id DESC LIMIT 1";
            let stored = connection.query_row(sql, [run], |row| {
                let (run, started_at) = (row.get(0)?, row.get(1)?);
                Ok(StoredDefinition { run, started_at, text: row.get(2)? })
            });
            stored.optional()
        })
    }
}

/// What this program looks for came with a later format.
fn older(path: &Path, version: i32) -> Error {
    let message =
        format!("{} has format {version}, and this needs {SCHEMA_VERSION}", path.display());
    let help = "`windrow sync --offline` brings it up to date, after a copy was set aside";
    Error::new(ErrorKind::Unusable, message).help(help)
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

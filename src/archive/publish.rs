//! What is published elsewhere: rows since a run in the order of their keys, rows that were
//! deleted, and the ledger, batch by batch from one snapshot.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use sha2::{Digest, Sha256};

use super::digest::hash_value;
use super::error::ArchiveError;
use super::history::{history_name, live_columns};
use super::query::{Value, owned};
use super::read::{LedgerRow, Reader, StreamRow};
use super::table::quote;
use super::vanished::key_text;

/// How many bytes of values a batch takes before it ends.
pub const PUBLISH_BYTES_MAX: usize = 8 << 20;
/// Up to how many rows are sorted rather than looked up in the order of the key.
const SORTED_ROWS_MAX: u64 = 5_000;

/// A stream's table on its way out.
#[derive(Clone, Debug)]
pub struct OutTable {
    /// The stream.
    pub stream: StreamRow,
    /// The columns that a row brings, the key first, then the others; `_rest` is not among them.
    pub columns: Vec<String>,
    /// How many of the columns are the key.
    pub key: usize,
    marks: bool,
    deletes: bool,
}

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Those that are in the table.
    Rows,
    /// Those that were deleted from it, as they last were.
    Gone,
}

/// A row on its way out.
#[derive(Clone, Debug, PartialEq)]
pub struct OutRow {
    /// The values of the table's columns, the key first.
    pub values: Vec<Value>,
    /// Fields that no column claims, as JSON.
    pub rest: Option<String>,
    /// When it was first seen.
    pub first_seen_at: String,
    /// When it last changed.
    pub changed_at: String,
    /// How often it was written.
    pub revision: i64,
    /// Since when it is gone.
    pub deleted_at: Option<String>,
    /// The archive whose run brought it.
    pub archive: Option<String>,
    /// That run's name.
    pub run_uid: Option<String>,
    /// As of when that run's readings speak; empty where it read no source.
    pub read_at: String,
    /// SHA-256 of what it says.
    pub sha256: [u8; 32],
}

impl Reader {
    /// From here on everything that is read is of one time, also while a sync runs.
    pub fn begin_snapshot(&self) -> Result<(), ArchiveError> {
        self.run(|connection| {
            connection.execute_batch("BEGIN")?;
            // The snapshot is taken by the first reading, not by BEGIN.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        })
    }

    /// Ends what [`Reader::begin_snapshot`] began.
    pub fn end_snapshot(&self) -> Result<(), ArchiveError> {
        self.run(|connection| connection.execute_batch("COMMIT"))
    }

    /// The newest run up to which none is still at work, and its name; 0 before the first. What a
    /// later reading of the archive finds beside this snapshot was written by a later run.
    pub fn settled_run(&self) -> Result<(i64, String), ArchiveError> {
        let sql = "SELECT run_id, coalesce(uid, '') FROM _windrow_runs WHERE run_id <
                coalesce((SELECT min(run_id) FROM _windrow_runs WHERE state = 'running'),
                         9223372036854775807)
            ORDER BY run_id DESC LIMIT 1";
        self.run(|connection| {
            let found = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
            Ok(found.optional()?.unwrap_or_default())
        })
    }

    /// The name of a run in every archive that holds it; none where there is no such run.
    pub fn run_uid(&self, run: i64) -> Result<Option<String>, ArchiveError> {
        let sql = "SELECT coalesce(uid, '') FROM _windrow_runs WHERE run_id = ?1";
        self.run(|connection| connection.query_row(sql, [run], |row| row.get(0)).optional())
    }

    /// Whether a run after this one may have taken rows out of a stream's table without a trace.
    pub fn has_undone_since(&self, run: i64) -> Result<bool, ArchiveError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM _windrow_runs WHERE run_id > ?1
            AND (command LIKE 'adopt%' OR command LIKE 'rebuild%'))";
        self.run(|connection| connection.query_row(sql, [run], |row| row.get(0)))
    }

    /// How a stream's table is read on its way out.
    pub fn out_table(&self, stream: &StreamRow) -> Result<OutTable, ArchiveError> {
        let key = stream.key.columns();
        let others = stream.columns.iter().map(|column| column.name.clone());
        let others = others.filter(|name| !key.contains(name));
        let columns: Vec<String> = key.iter().cloned().chain(others).collect();
        let name = &stream.stream;
        self.run(|connection| {
            let live = live_columns(connection, name)?;
            let kept = live_columns(connection, &history_name(name))?;
            Ok(OutTable {
                stream: stream.clone(),
                columns,
                key: key.len(),
                marks: live.iter().any(|column| column.name == "_deleted_at"),
                deletes: kept.iter().any(|column| column.name == "_replaced_run"),
            })
        })
    }

    /// How many rows of a phase were written by runs after `since`.
    pub fn count_out(
        &self,
        table: &OutTable,
        phase: Phase,
        since: i64,
    ) -> Result<u64, ArchiveError> {
        let Some(from) = table.from(phase) else { return Ok(0) };
        let sql = format!("SELECT count(*) {from}");
        self.run(|connection| connection.query_row(&sql, [since], |row| row.get(0)))
    }

    /// Up to `limit` rows of a phase that were written by runs after `since`, in the order of
    /// their keys, behind the key `after`. `expected` is how many there are in all.
    pub fn rows_out(
        &self,
        table: &OutTable,
        phase: Phase,
        since: i64,
        after: Option<&[Value]>,
        (limit, expected): (usize, u64),
    ) -> Result<Vec<OutRow>, ArchiveError> {
        let Some(sql) = table.statement(phase, after.is_some(), limit, expected) else {
            return Ok(Vec::new());
        };
        let key = after.unwrap_or_default().iter().map(stored);
        let values: Vec<Sql> = [Sql::Integer(since)].into_iter().chain(key).collect();
        self.run(|connection| read_rows(connection, &sql, &values, table))
    }

    /// Whether the stream's table holds a row of this key.
    pub fn has_key(&self, table: &OutTable, key: &[Value]) -> Result<bool, ArchiveError> {
        let same = table.key_columns().iter().map(|name| format!("{} = ?", quote(name)));
        let same = same.collect::<Vec<_>>().join(" AND ");
        let sql = format!("SELECT 1 FROM main.{} WHERE {same}", quote(&table.stream.stream));
        self.run(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            statement.exists(params_from_iter(key.iter().map(stored)))
        })
    }

    /// Up to `limit` rows of a stream's ledger behind the first `skip`.
    pub fn ledger_page(
        &self,
        stream: &str,
        skip: u64,
        limit: u64,
    ) -> Result<Vec<LedgerRow>, ArchiveError> {
        let sql = "SELECT partition, start_at, end_at, state, read_to, completed_at, cursor,
                received, distinct_keys, source_total, strays, error
            FROM _windrow_ledger WHERE stream = ?1 ORDER BY partition, start_at, end_at
            LIMIT ?3 OFFSET ?2";
        self.run(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map((stream, skip, limit), |row| {
                Ok(LedgerRow {
                    partition: row.get(0)?,
                    start_at: row.get(1)?,
                    end_at: row.get(2)?,
                    state: row.get(3)?,
                    read_to: row.get(4)?,
                    completed_at: row.get(5)?,
                    cursor: row.get(6)?,
                    received: row.get(7)?,
                    distinct_keys: row.get(8)?,
                    source_total: row.get(9)?,
                    strays: row.get(10)?,
                    error: row.get(11)?,
                })
            })?;
            rows.collect()
        })
    }
}

impl OutTable {
    /// The columns of the key.
    pub fn key_columns(&self) -> &[String] {
        &self.columns[..self.key]
    }

    /// Where the rows of a phase stand, and which they are; `?1` is the run after which.
    fn from(&self, phase: Phase) -> Option<String> {
        let name = &self.stream.stream;
        let runs = "LEFT JOIN main._windrow_runs AS r ON r.run_id";
        match phase {
            Phase::Rows => {
                Some(format!("FROM main.{} AS t {runs} = t._run WHERE t._run > ?1", quote(name)))
            }
            Phase::Gone if !self.deletes => None,
            Phase::Gone => {
                let same =
                    self.key_columns().iter().map(|name| format!("x.{0} = t.{0}", quote(name)));
                let same = same.collect::<Vec<_>>().join(" AND ");
                let history = quote(&history_name(name));
                // A row may have been replaced before it was deleted: its last version counts.
                Some(format!(
                    "FROM main.{history} AS t JOIN main._windrow_vanished AS v
                        ON v.stream = '{name}' AND v.key = {} AND v.state = 'deleted'
                        AND v.run_id = t._replaced_run
                     {runs} = v.run_id
                     WHERE t._replaced_run > ?1 AND t._rowid_ =
                        (SELECT max(x._rowid_) FROM main.{history} AS x WHERE {same})",
                    key_text(self.key_columns(), "t")
                ))
            }
        }
    }

    fn statement(&self, phase: Phase, behind: bool, limit: usize, expected: u64) -> Option<String> {
        let list = |names: &[String]| {
            names.iter().map(|name| format!("t.{}", quote(name))).collect::<Vec<_>>().join(", ")
        };
        let key = list(self.key_columns());
        let (changed, deleted) = match phase {
            Phase::Rows if self.marks => ("t._changed_at", "t._deleted_at"),
            Phase::Rows => ("t._changed_at", "NULL"),
            Phase::Gone => ("v.changed_at", "v.changed_at"),
        };
        let behind = if behind {
            let holes: Vec<String> = (0..self.key).map(|n| format!("?{}", n + 2)).collect();
            format!(" AND ({key}) > ({})", holes.join(", "))
        } else {
            String::new()
        };
        // A few rows are found by one reading of the table from its beginning to its end, and
        // sorted; many by way of the key's index, which needs no place to sort.
        let order = if expected <= SORTED_ROWS_MAX {
            key.split(", ").map(|name| format!("+{name}")).collect::<Vec<_>>().join(", ")
        } else {
            key
        };
        Some(format!(
            "SELECT {}, t._rest, t._first_seen_at, {changed}, t._revision, {deleted}, r.archive_id,
                r.uid, coalesce(r.read_at, '')
             {}{behind} ORDER BY {order} LIMIT {limit}",
            list(&self.columns),
            self.from(phase)?
        ))
    }
}

fn read_rows(
    connection: &Connection,
    sql: &str,
    values: &[Sql],
    table: &OutTable,
) -> rusqlite::Result<Vec<OutRow>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        let row = out_row(row, table)?;
        bytes += row.size();
        rows.push(row);
        if bytes > PUBLISH_BYTES_MAX {
            break;
        }
    }
    Ok(rows)
}

fn out_row(row: &Row<'_>, table: &OutTable) -> rusqlite::Result<OutRow> {
    let width = table.columns.len();
    let values = (0..width).map(|at| Ok(owned(row.get_ref(at)?)));
    let mut out = OutRow {
        values: values.collect::<rusqlite::Result<_>>()?,
        rest: row.get(width)?,
        first_seen_at: row.get(width + 1)?,
        changed_at: row.get(width + 2)?,
        revision: row.get(width + 3)?,
        deleted_at: row.get(width + 4)?,
        archive: row.get(width + 5)?,
        run_uid: row.get(width + 6)?,
        read_at: row.get(width + 7)?,
        sha256: [0; 32],
    };
    out.sha256 = out.digest(&table.columns);
    Ok(out)
}

impl OutRow {
    /// SHA-256 of what the row says: names and values in the order of the names without those that
    /// say nothing, so that a column more that is empty is no difference; then `_rest` and
    /// `_deleted_at`.
    fn digest(&self, columns: &[String]) -> [u8; 32] {
        let mut said: Vec<(&String, &Value)> = columns.iter().zip(&self.values).collect();
        said.retain(|(_, value)| **value != Value::Null);
        said.sort_by_key(|(name, _)| *name);
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
        let mut hasher = Sha256::new();
        for (name, value) in said {
            hash_value(&mut hasher, rusqlite::types::ValueRef::Text(name.as_bytes()));
            hash_value(&mut hasher, value.as_ref());
        }
        for own in [&self.rest, &self.deleted_at] {
            hash_value(&mut hasher, text(own).as_ref());
        }
        hasher.finalize().into()
    }

    /// About how many bytes it takes up.
    pub fn size(&self) -> usize {
        let value = |value: &Value| match value {
            Value::Text(text) => text.len() + 32,
            Value::Blob(bytes) => 2 * bytes.len() + 32,
            _ => 32,
        };
        let rest = self.rest.as_ref().map_or(0, String::len);
        self.values.iter().map(value).sum::<usize>() + rest + 256
    }
}

fn stored(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Integer(number) => Sql::Integer(*number),
        Value::Real(number) => Sql::Real(*number),
        Value::Text(text) => Sql::Text(text.clone()),
        Value::Blob(bytes) => Sql::Blob(bytes.clone()),
    }
}

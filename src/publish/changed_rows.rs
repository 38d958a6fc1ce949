//! What is published elsewhere: rows since a run in the order of their keys, rows that were
//! deleted, and the ledger, batch by batch from one snapshot.

use rusqlite::named_params;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use sha2::{Digest, Sha256};

use crate::digest::hash_value;
use crate::model::{Command, Error};
use crate::store::DISBELIEVED;
use crate::store::read::{LedgerRow, StreamRow};
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::sql::key_text;
use crate::store::sql::{history_name, live_columns, quote};
use crate::store::value::{Value, owned};

/// How many bytes of values a batch takes before it ends: a batch is held in memory, and wide rows
/// would fill it.
pub const PUBLISH_BYTES_MAX: usize = 8 << 20;
/// Up to how many rows are sorted rather than looked up in the order of the key: sorting holds them
/// in memory, and the key's index is read whole for however few.
const SORTED_ROWS_MAX: u64 = 5_000;

/// A stream's table on its way out.
#[derive(Clone, Debug)]
pub struct OutTable {
    pub stream: StreamRow,
    /// The columns that a row brings, the key first, then the others; `_rest` is not among them.
    pub columns: Vec<String>,
    /// How many of the columns are the key.
    pub key: usize,
    /// Up to when readings are believed.
    believed_until: String,
    marks: bool,
    deletes: bool,
}

/// The rows that a pass sends.
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
    /// The name of that run in every archive that holds it.
    pub run_uid: Option<String>,
    /// As of when that run's fetches speak; empty where it read no source.
    pub read_at: String,
    /// SHA-256 of what it says.
    pub sha256: [u8; 32],
}

impl Reader {
    /// The newest run up to which none is still at work, and its name; 0 before the first. What a
    /// later look into the archive finds beside this snapshot was written by a later run.
    pub fn settled_run(&self) -> Result<(i64, String), Error> {
        let sql = "SELECT run_id, uid FROM _windrow_runs WHERE
                run_id < coalesce((SELECT min(run_id) FROM _windrow_runs WHERE state = 'running'),
                         9223372036854775807)
            ORDER BY run_id DESC LIMIT 1";
        self.run(|connection| {
            let found =
                connection.query_row(sql, [], |row| Ok((row.get("run_id")?, row.get("uid")?)));
            Ok(found.optional()?.unwrap_or_default())
        })
    }

    /// Whether a run after this one may have taken rows out of a stream's table without a trace.
    pub fn has_undone_since(&self, run: i64) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM _windrow_runs WHERE run_id > :run
            AND command IN (SELECT value FROM json_each(:removing)))";
        let removing = Command::names_where(Command::removes_untraced);
        let values = named_params! { ":run": run, ":removing": removing };
        self.run(|connection| connection.query_row(sql, values, only))
    }

    /// How a stream's table is read on its way out. Readings after `believed_until` are of a time
    /// that has not come, and beat no others over there.
    pub fn out_table(&self, stream: &StreamRow, believed_until: &str) -> Result<OutTable, Error> {
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
                believed_until: believed_until.to_owned(),
                marks: live.iter().any(|column| column.name == "_deleted_at"),
                deletes: kept.iter().any(|column| column.name == "_replaced_run"),
            })
        })
    }

    /// How many rows of a phase, behind the key `after`, were written by runs after `since`.
    pub fn count_out(
        &self,
        table: &OutTable,
        phase: Phase,
        since: i64,
        after: Option<&[Value]>,
    ) -> Result<u64, Error> {
        let Some(from) = table.from(phase) else { return Ok(0) };
        let sql = format!("SELECT count(*) {from}{}", table.behind(after.is_some()));
        let values = bound(since, after);
        self.run(|connection| connection.query_row(&sql, params_from_iter(values), only))
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
    ) -> Result<Vec<OutRow>, Error> {
        let Some(sql) = table.statement(phase, after.is_some(), limit, expected) else {
            return Ok(Vec::new());
        };
        let values = bound(since, after);
        self.run(|connection| read_rows(connection, &sql, &values, table))
    }

    /// Up to `limit` rows of a stream's ledger behind the first `skip`.
    pub fn ledger_page(
        &self,
        stream: &str,
        skip: u64,
        limit: u64,
    ) -> Result<Vec<LedgerRow>, Error> {
        let sql = format!("{} LIMIT :limit OFFSET :skip", LedgerRow::SELECT);
        self.run(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(
                named_params! { ":stream": stream, ":skip": skip, ":limit": limit },
                LedgerRow::of,
            )?;
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

    /// Leaves out what does not lie behind a key; `?2` and so on are its values.
    fn behind(&self, behind: bool) -> String {
        if !behind {
            return String::new();
        }
        let parameters: Vec<String> = (0..self.key).map(|n| format!("?{}", n + 2)).collect();
        format!(" AND ({}) > ({})", qualified(self.key_columns()), parameters.join(", "))
    }

    fn statement(&self, phase: Phase, behind: bool, limit: usize, expected: u64) -> Option<String> {
        let key = qualified(self.key_columns());
        let (changed, deleted) = match phase {
            Phase::Rows if self.marks => ("t._changed_at", "t._deleted_at"),
            Phase::Rows => ("t._changed_at", "NULL"),
            Phase::Gone => ("v.changed_at", "v.changed_at"),
        };
        let behind = self.behind(behind);
        // A few rows are found by one pass over the table from its beginning to its end, and
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
            qualified(&self.columns),
            self.from(phase)?
        ))
    }
}

fn qualified(names: &[String]) -> String {
    names.iter().map(|name| format!("t.{}", quote(name))).collect::<Vec<_>>().join(", ")
}

fn bound(since: i64, after: Option<&[Value]>) -> Vec<Value> {
    let key = after.unwrap_or_default().iter().cloned();
    [Value::Integer(since)].into_iter().chain(key).collect()
}

fn read_rows(
    connection: &Connection,
    sql: &str,
    values: &[Value],
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
    if out.read_at > table.believed_until {
        DISBELIEVED.clone_into(&mut out.read_at);
    }
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
            hash_value(&mut hasher, ValueRef::Text(name.as_bytes()));
            hash_value(&mut hasher, ValueRef::from(value));
        }
        for own in [&self.rest, &self.deleted_at] {
            hash_value(&mut hasher, ValueRef::from(&text(own)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TableShape;
    use crate::store::table::tests::{archive_with, usage_shape};

    /// An archive of 40 rows that runs 1 to 4 brought, its reader, and the table.
    fn forty_rows(shape: &TableShape) -> (tempfile::TempDir, crate::store::Archive, Reader) {
        let (folder, archive) = archive_with(shape);
        archive
            .connection
            .execute_batch(
                "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 3)
                 INSERT INTO _windrow_runs (run_id, command, windrow_version, started_at, state,
                    uid, archive_id, read_at)
                 SELECT n + 1, 'sync', '0', 'now', 'complete', 'u' || (n + 1), 'A', 'now' FROM n;
                 WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 39)
                 INSERT INTO usage SELECT 'SL-' || (n % 7), printf('%02d', n), n, NULL, NULL, 'a',
                    'b', 1, 1 + n % 4 FROM n;",
            )
            .expect("rows");
        let reader = Reader::open(&folder.path().join("a.db")).expect("a reader");
        (folder, archive, reader)
    }

    fn table(reader: &Reader) -> OutTable {
        believed_until(reader, "~")
    }

    fn believed_until(reader: &Reader, until: &str) -> OutTable {
        let stream = reader.stream("usage").expect("read").expect("there");
        reader.out_table(&stream, until).expect("a table")
    }

    #[test]
    fn a_reading_whose_time_has_not_come_goes_out_as_the_earliest() {
        let (_folder, archive, reader) = forty_rows(&usage_shape());
        let sql = "UPDATE _windrow_runs SET read_at = '2026-01-0' || run_id";
        archive.connection.execute(sql, []).expect("an update");
        let read = |until| {
            let table = believed_until(&reader, until);
            let rows = reader.rows_out(&table, Phase::Rows, 0, None, (40, 40)).expect("rows");
            rows.into_iter().map(|row| row.read_at).collect::<std::collections::BTreeSet<_>>()
        };
        let all = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"].map(str::to_owned);
        assert_eq!(read("2026-01-04"), all.clone().into());
        let [one, two, ..] = all;
        assert_eq!(read("2026-01-02"), [DISBELIEVED.to_owned(), one, two].into());
    }

    #[test]
    fn rows_since_a_run_come_once_in_the_order_of_their_keys_in_any_batches() {
        let (_folder, _archive, reader) = forty_rows(&usage_shape());
        let table = table(&reader);
        for expected in [0, SORTED_ROWS_MAX + 1] {
            for limit in [1, 3, 40, 100] {
                let (mut after, mut keys): (Option<Vec<Value>>, Vec<String>) = (None, Vec::new());
                loop {
                    let limits = (limit, expected);
                    let left = reader.count_out(&table, Phase::Rows, 2, after.as_deref());
                    assert_eq!(left.expect("counted"), 20 - keys.len() as u64);
                    let rows = reader.rows_out(&table, Phase::Rows, 2, after.as_deref(), limits);
                    let rows = rows.expect("read");
                    let Some(last) = rows.last() else { break };
                    assert!(rows.len() <= limit);
                    after = Some(last.values[..table.key].to_vec());
                    keys.extend(rows.iter().map(|row| {
                        assert!(matches!(row.run_uid.as_deref(), Some("u3" | "u4")));
                        format!("{:?}", &row.values[..2])
                    }));
                }
                assert_eq!(keys.len(), 20);
                assert!(keys.is_sorted(), "{keys:?}");
            }
        }
    }

    #[test]
    fn a_row_s_digest_is_of_what_it_says_and_not_of_how_it_came() {
        let (_folder, archive, reader) = forty_rows(&usage_shape());
        let digest = |column: &str| {
            if !column.is_empty() {
                let sql = format!("UPDATE usage SET {column}");
                archive.connection.execute(&sql, []).expect("an update");
            }
            let rows = reader.rows_out(&table(&reader), Phase::Rows, 0, None, (1, 40));
            rows.expect("read")[0].sha256
        };
        let before = digest("");
        assert_eq!(digest("_run = 1, _revision = 7, _changed_at = 'x'"), before);
        assert_ne!(digest("gb = 99"), before);
        assert_ne!(digest("_rest = '{}'"), digest("_rest = NULL"));
        let columns = ["id".to_owned(), "more".to_owned()];
        let row = |more: Value| OutRow {
            values: vec![Value::Text("a".into()), more],
            rest: None,
            first_seen_at: String::new(),
            changed_at: String::new(),
            revision: 1,
            deleted_at: None,
            archive: None,
            run_uid: None,
            read_at: String::new(),
            sha256: [0; 32],
        };
        let less = row(Value::Null).digest(&columns[..1]);
        assert_eq!(row(Value::Null).digest(&columns), less, "an empty column more");
        assert_ne!(row(Value::Text(String::new())).digest(&columns), less);
    }

    #[test]
    fn a_run_that_is_at_work_is_not_counted_as_sent() {
        let (_folder, archive, reader) = forty_rows(&usage_shape());
        assert_eq!(reader.settled_run().expect("read"), (4, "u4".into()));
        let sql = "UPDATE _windrow_runs SET state = 'running' WHERE run_id = 3";
        archive.connection.execute(sql, []).expect("an update");
        assert_eq!(reader.settled_run().expect("read"), (2, "u2".into()));
        assert_eq!(reader.run_uid(2).expect("read").as_deref(), Some("u2"));
        assert_eq!(reader.run_uid(9).expect("read"), None);
        archive.connection.execute("DELETE FROM _windrow_runs", []).expect("a delete");
        assert_eq!(reader.settled_run().expect("read"), (0, String::new()));
    }

    #[test]
    fn a_deleted_row_goes_out_once_as_it_last_was() {
        let mut shape = usage_shape();
        shape.retention.deletes = true;
        let (_folder, archive, reader) = forty_rows(&shape);
        let gone = |gb: f64| {
            format!(
                "INSERT INTO usage_history SELECT id, day, {gb}, at, _rest, _first_seen_at,
                    _changed_at, _revision, _run, 'c', 4 FROM usage WHERE day = '06';"
            )
        };
        archive
            .connection
            .execute_batch(&format!(
                "{}{}DELETE FROM usage WHERE day = '06';
                 INSERT INTO _windrow_vanished VALUES ('usage', '{}', '', '', '', 'deleted', 'c', 3,
                    'd', 4);",
                gone(1.0),
                gone(2.0),
                "''SL-6'',''06''"
            ))
            .expect("a deleted row");
        let table = table(&reader);
        assert_eq!(reader.count_out(&table, Phase::Gone, 3, None).expect("counted"), 1);
        assert_eq!(reader.count_out(&table, Phase::Gone, 4, None).expect("counted"), 0);
        let rows = reader.rows_out(&table, Phase::Gone, 3, None, (10, 1)).expect("read");
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].values[2], Value::Real(2.0));
        assert_eq!(rows[0].deleted_at.as_deref(), Some("d"));
        assert_eq!(rows[0].run_uid.as_deref(), Some("u4"));
    }
}

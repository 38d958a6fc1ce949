//! Rows that their source no longer returns: noticed, marked or deleted, and brought back.
//!
//! Nothing is done before two complete fetches in a row have missed a row, never to more of a
//! window at once than the definition allows, and all of it can be taken back.

use rusqlite::types::ToSqlOutput;
use rusqlite::{ToSql, named_params, params_from_iter};

use crate::definition::Scalar;
use crate::model::{Error, GoneScope, RowSet, VanishedState, WindowKey};

use crate::store::error::at;
use crate::store::ledger::bounds_text;
use crate::store::reader::Reader;
use crate::store::row::{named, only};
use crate::store::sql::{history_name, key_text, live_columns, quote};
use crate::store::table::stored_table;
use crate::store::transaction::Tx;
use crate::store::write::{Bound, TableWriter};

/// The column of the state: its table and its name.
const STATE: (&str, &str) = ("_windrow_vanished", "state");
/// The rows that the fetch in hand has missed: a table of this connection alone.
const GONE: &str = "temp._windrow_gone";
/// Rows that one fetch missed already, of those that this one misses too.
const MISSED_BEFORE: &str = "FROM temp._windrow_gone AS g JOIN main._windrow_vanished AS v
    ON v.stream = :stream AND v.key = g.key WHERE v.state IN ('missed', 'held')";

/// A row that a fetch missed.
#[derive(Clone, Debug, serde::Serialize)]
pub struct VanishedRow {
    pub stream: String,
    /// The values of its key, as SQL literals.
    pub key: String,
    pub state: VanishedState,
    /// The parent's key, or empty.
    pub partition: String,
    /// The start of the window that it was missed in, or empty.
    pub start_at: String,
    /// That window's end, or empty.
    pub end_at: String,
    /// When it was first missed.
    pub first_missed_at: String,
    /// When it came into its state.
    pub changed_at: String,
    /// The run that put it there.
    pub run: i64,
}

/// How many rows of a stream a run found missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VanishedCount {
    pub stream: String,
    /// The state that the run left them in.
    pub state: VanishedState,
    pub count: u64,
}

/// A value of a parent's row on its way into a condition.
struct OfParent<'s>(&'s Scalar);

impl ToSql for OfParent<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self.0 {
            Scalar::Null => Ok(ToSqlOutput::from(rusqlite::types::Null)),
            Scalar::Integer(number) => Ok(ToSqlOutput::from(*number)),
            Scalar::Real(number) => Ok(ToSqlOutput::from(*number)),
            Scalar::Text(text) => Ok(ToSqlOutput::from(text.as_str())),
        }
    }
}

fn seen_table(stream: &str) -> String {
    format!("temp.{}", quote(&format!("_windrow_seen_{stream}")))
}

fn same_key(key: &[String], one: &str, other: &str) -> String {
    let same = key.iter().map(|name| format!("{one}.{0} = {other}.{0}", quote(name)));
    same.collect::<Vec<_>>().join(" AND ")
}

impl Reader {
    /// Where a source returns records outside the range that was asked for, the field does not
    /// tell which fetch would return a row.
    fn has_out_of_window(&self, window_key: &WindowKey) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM _windrow_ledger
            WHERE stream = :stream AND partition = :partition AND out_of_window > 0 LIMIT 1";
        self.connection.prepare_cached(sql)?.exists(
            named_params! { ":stream": &window_key.stream, ":partition": &window_key.partition },
        )
    }

    /// What a run found missing and did about it.
    pub fn vanished_of_run(&self, run: i64) -> Result<Vec<VanishedCount>, Error> {
        counts(&self.connection, run).map_err(at(&self.path))
    }
}

impl Tx<'_> {
    /// A fetch begins: nothing of it has been seen.
    pub fn begin_seen(&self, table: &TableWriter) -> Result<(), Error> {
        let key = table.shape.key.columns();
        let stream = &table.shape.name;
        let begin = || -> rusqlite::Result<()> {
            let columns = live_columns(&self.connection, stream)?;
            let typed = columns.iter().filter(|column| key.contains(&column.name));
            let typed =
                typed.map(|column| format!("{} {} NOT NULL", quote(&column.name), column.sql_type));
            let names: Vec<String> = key.iter().map(|name| quote(name)).collect();
            let seen = seen_table(stream);
            self.connection.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {seen} ({}, PRIMARY KEY ({})) STRICT, WITHOUT ROWID;
                 DELETE FROM {seen};",
                typed.collect::<Vec<_>>().join(", "),
                names.join(", ")
            ))
        };
        begin().map_err(at(&self.path))
    }

    /// Notes which rows a page of the fetch held.
    pub fn note_seen(&self, table: &TableWriter, rows: &RowSet) -> Result<(), Error> {
        let key = table.shape.key.columns();
        let columns = table.shape.row_columns();
        let cells: Vec<usize> =
            key.iter().filter_map(|name| columns.iter().position(|have| have == name)).collect();
        let names: Vec<String> = key.iter().map(|name| quote(name)).collect();
        let parameters: Vec<String> = (1..=key.len()).map(|n| format!("?{n}")).collect();
        let sql = format!(
            "INSERT OR IGNORE INTO {} ({}) VALUES ({})",
            seen_table(&table.shape.name),
            names.join(", "),
            parameters.join(", ")
        );
        let note = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            for at in 0..rows.len() {
                let row = rows.row(at);
                statement.execute(params_from_iter(cells.iter().map(|c| Bound(rows, row[*c]))))?;
            }
            Ok(())
        };
        note().map_err(at(&self.path))
    }

    /// A fetch is complete: rows that came back live again; rows of its scope that it and the
    /// reading before have missed are marked or deleted. In the transaction that completes it,
    /// once its row of the ledger is written. Without a scope it can tell of no row that it is
    /// gone.
    pub fn settle_missing(
        &self,
        table: &TableWriter,
        window_key: &WindowKey,
        scope: Option<&GoneScope>,
        run: i64,
        now: &str,
    ) -> Result<(), Error> {
        let settle = || -> rusqlite::Result<()> {
            self.take_back_seen(table)?;
            match scope {
                Some(scope) if !self.has_out_of_window(window_key)? => {
                    self.judge(table, window_key, scope, run, now)
                }
                _ => Ok(()),
            }
        };
        settle().map_err(at(&self.path))
    }

    fn take_back_seen(&self, table: &TableWriter) -> rusqlite::Result<()> {
        let stream = &table.shape.name;
        let any = "SELECT 1 FROM _windrow_vanished WHERE stream = :stream LIMIT 1";
        if !self.connection.prepare_cached(any)?.exists(named_params! { ":stream": stream })? {
            return Ok(());
        }
        let sql = format!(
            "DELETE FROM _windrow_vanished WHERE stream = :stream
                AND key IN (SELECT {} FROM {} AS s)",
            key_text(&table.shape.key.columns(), "s"),
            seen_table(stream)
        );
        self.connection
            .prepare_cached(&sql)?
            .execute(named_params! { ":stream": stream })
            .map(|_| ())
    }

    fn judge(
        &self,
        table: &TableWriter,
        window_key: &WindowKey,
        scope: &GoneScope,
        run: i64,
        now: &str,
    ) -> rusqlite::Result<()> {
        let stream = &window_key.stream;
        let rows = self.find_gone(table, scope)?;
        let (start, end) = bounds_text(window_key.window);
        let missed_before: u64 = self
            .connection
            .prepare_cached(&format!("SELECT count(*) {MISSED_BEFORE}"))?
            .query_row(named_params! { ":stream": stream }, only)?;
        let state = if missed_before == 0 {
            None
        } else if exceeds(missed_before, rows, scope) {
            tracing::warn!(stream, missed_before, rows, "too many rows are missing at once");
            Some(VanishedState::Held)
        } else if scope.delete {
            self.delete_gone(stream, run, now)?;
            Some(VanishedState::Deleted)
        } else {
            self.mark_gone(stream, run, now)?;
            Some(VanishedState::Marked)
        };
        if let Some(state) = state {
            let sql = format!(
                "UPDATE _windrow_vanished SET state = :state, changed_at = :now, run_id = :run
                 WHERE stream = :stream AND key IN (SELECT g.key {MISSED_BEFORE})"
            );
            self.connection.prepare_cached(&sql)?.execute(named_params! {
                ":stream": stream,
                ":state": state.as_str(),
                ":now": now,
                ":run": run,
            })?;
        }
        // A row that is there and was noted as gone has come back unseen by any watch.
        let sql = format!(
            "INSERT INTO _windrow_vanished (stream, key, partition, start_at, end_at, state,
                first_missed_at, first_missed_by, changed_at, run_id)
             SELECT :stream, key, :partition, :start, :end, 'missed', :now, :run, :now, :run
             FROM {GONE} AS g
             WHERE NOT EXISTS (SELECT 1 FROM _windrow_vanished AS v WHERE v.stream = :stream
                AND v.key = g.key AND v.run_id = :run AND v.state IN ('marked', 'deleted'))
             ON CONFLICT (stream, key) DO UPDATE SET state = 'missed',
                first_missed_at = excluded.first_missed_at,
                first_missed_by = excluded.first_missed_by,
                changed_at = excluded.changed_at, run_id = excluded.run_id
             WHERE state IN ('marked', 'deleted')"
        );
        let values = named_params! {
            ":stream": stream,
            ":partition": window_key.partition,
            ":start": start,
            ":end": end,
            ":now": now,
            ":run": run,
        };
        self.connection.prepare_cached(&sql)?.execute(values)?;
        Ok(())
    }

    /// Gathers the rows of the scope that were not seen; tells how many rows the scope holds.
    fn find_gone(&self, table: &TableWriter, scope: &GoneScope) -> rusqlite::Result<u64> {
        let key = table.shape.key.columns();
        let stream = &table.shape.name;
        self.connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {GONE} (row INTEGER PRIMARY KEY, key TEXT NOT NULL) STRICT;
             DELETE FROM {GONE};"
        ))?;
        let mut values: Vec<Box<dyn ToSql + '_>> = Vec::new();
        let mut conditions = vec!["1".to_owned()];
        if table.shape.retention.marks {
            conditions.push("t.\"_deleted_at\" IS NULL".to_owned());
        }
        if let Some((field, first, after)) = &scope.field {
            let field = quote(field);
            values.push(Box::new(first));
            conditions.push(format!("t.{field} >= ?{}", values.len()));
            values.push(Box::new(after));
            conditions.push(format!("t.{field} < ?{}", values.len()));
        }
        for (column, value) in &scope.parent {
            values.push(Box::new(OfParent(value)));
            conditions.push(format!("t.{} = ?{}", quote(column), values.len()));
        }
        let inside = format!("main.{} AS t WHERE {}", quote(stream), conditions.join(" AND "));
        let insert = format!(
            "INSERT INTO {GONE} SELECT t._rowid_, {} FROM {inside} AND NOT EXISTS
                (SELECT 1 FROM {} AS s WHERE {})",
            key_text(&key, "t"),
            seen_table(stream),
            same_key(&key, "s", "t")
        );
        let mut insert = self.connection.prepare_cached(&insert)?;
        insert.execute(params_from_iter(values.iter()))?;
        let mut count =
            self.connection.prepare_cached(&format!("SELECT count(*) FROM {inside}"))?;
        count.query_row(params_from_iter(values.iter()), only)
    }

    fn mark_gone(&self, stream: &str, run: i64, now: &str) -> rusqlite::Result<()> {
        let sql = format!(
            "UPDATE main.{} SET \"_deleted_at\" = :now, \"_changed_at\" = max(\"_changed_at\",
                :now),
                \"_revision\" = \"_revision\" + 1, \"_run\" = :run
             WHERE _rowid_ IN (SELECT g.row {MISSED_BEFORE})",
            quote(stream)
        );
        let values = named_params! { ":stream": stream, ":now": now, ":run": run };
        self.connection.prepare_cached(&sql)?.execute(values).map(|_| ())
    }

    /// A deleted row is not lost: its last version stays in the stream's history.
    fn delete_gone(&self, stream: &str, run: i64, now: &str) -> rusqlite::Result<()> {
        let columns = live_columns(&self.connection, stream)?;
        let names: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
        let names = names.join(", ");
        let (table, history) = (quote(stream), quote(&history_name(stream)));
        let keep = format!(
            "INSERT INTO main.{history} ({names}, \"_replaced_at\", \"_replaced_run\")
             SELECT {names}, max(\"_changed_at\", :now), :run FROM main.{table}
             WHERE _rowid_ IN (SELECT g.row {MISSED_BEFORE})"
        );
        let values = named_params! { ":stream": stream, ":now": now, ":run": run };
        self.connection.prepare_cached(&keep)?.execute(values)?;
        let delete =
            format!("DELETE FROM main.{table} WHERE _rowid_ IN (SELECT g.row {MISSED_BEFORE})");
        let values = named_params! { ":stream": stream };
        self.connection.prepare_cached(&delete)?.execute(values).map(|_| ())
    }

    /// Brings back what a run marked or deleted; tells how many rows of each stream that were. No
    /// later fetch takes them away again before it has seen them.
    pub fn undo_vanished(
        &self,
        undone: i64,
        run: i64,
        now: &str,
    ) -> Result<Vec<VanishedCount>, Error> {
        let undo = || -> rusqlite::Result<Vec<VanishedCount>> {
            let counts = counts(&self.connection, undone)?;
            let counts: Vec<VanishedCount> =
                counts.into_iter().filter(|count| count.state.is_taken_away()).collect();
            for count in &counts {
                self.bring_back(count, undone, run, now)?;
            }
            let sql =
                "UPDATE _windrow_vanished SET state = 'kept', changed_at = :now, run_id = :run
                WHERE run_id = :undone AND state IN ('marked', 'deleted')";
            self.connection
                .execute(sql, named_params! { ":undone": undone, ":now": now, ":run": run })?;
            Ok(counts)
        };
        undo().map_err(at(&self.path))
    }

    fn bring_back(
        &self,
        count: &VanishedCount,
        undone: i64,
        run: i64,
        now: &str,
    ) -> rusqlite::Result<()> {
        let Some((key, _)) = stored_table(&self.connection, &count.stream)? else { return Ok(()) };
        let key = key.columns();
        let table = quote(&count.stream);
        let noted = "SELECT key FROM _windrow_vanished WHERE stream = :stream AND run_id = :undone";
        let sql = if count.state == VanishedState::Marked {
            format!(
                "UPDATE main.{table} AS t SET \"_deleted_at\" = NULL,
                    \"_changed_at\" = max(\"_changed_at\", :now), \"_revision\" = \"_revision\" + 1,
                    \"_run\" = :run
                 WHERE \"_deleted_at\" IS NOT NULL
                   AND {} IN ({noted} AND state = 'marked')",
                key_text(&key, "t")
            )
        } else {
            let columns = live_columns(&self.connection, &count.stream)?;
            let names: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
            let values = columns.iter().map(|column| match column.name.as_str() {
                "_changed_at" => "max(h.\"_replaced_at\", :now)".to_owned(),
                "_revision" => "h.\"_revision\" + 1".to_owned(),
                "_run" => ":run".to_owned(),
                name => format!("h.{}", quote(name)),
            });
            let history = quote(&history_name(&count.stream));
            format!(
                "INSERT INTO main.{table} ({}) SELECT {} FROM main.{history} AS h
                 WHERE h.\"_replaced_run\" = :undone AND {} IN ({noted} AND state = 'deleted')
                   AND h._rowid_ = (SELECT max(x._rowid_) FROM main.{history} AS x
                        WHERE {} AND x.\"_replaced_run\" = :undone)
                 ON CONFLICT DO NOTHING",
                names.join(", "),
                values.collect::<Vec<_>>().join(", "),
                key_text(&key, "h"),
                same_key(&key, "x", "h")
            )
        };
        self.connection
            .execute(
                &sql,
                named_params! {
                    ":stream": count.stream,
                    ":undone": undone,
                    ":now": now,
                    ":run": run,
                },
            )
            .map(|_| ())
    }
}

/// Whether so many of so many rows are too many at once: more than their share, and more than the
/// few that a small window may lose, or all that there are.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn exceeds(missing: u64, rows: u64, scope: &GoneScope) -> bool {
    let few = missing <= scope.min && missing < rows;
    !few && missing as f64 > scope.ratio_max * rows as f64
}

fn counts(connection: &rusqlite::Connection, run: i64) -> rusqlite::Result<Vec<VanishedCount>> {
    let sql = "SELECT stream, state, count(*) AS count FROM _windrow_vanished WHERE run_id = :run
        GROUP BY stream, state ORDER BY stream, state";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(named_params! { ":run": run }, |row| {
        Ok(VanishedCount {
            stream: row.get("stream")?,
            state: named(row, "state", STATE)?,
            count: row.get("count")?,
        })
    })?;
    rows.collect()
}

impl Reader {
    /// Rows that fetches missed, by stream and key, one call for each. An error of the caller's
    /// ends it.
    pub fn vanished(
        &self,
        take: &mut dyn FnMut(VanishedRow) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let sql = "SELECT stream, key, state, partition, start_at, end_at, first_missed_at,
                changed_at, run_id FROM _windrow_vanished ORDER BY stream, key";
        let mut read = || -> rusqlite::Result<std::io::Result<()>> {
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let told = take(VanishedRow {
                    stream: row.get("stream")?,
                    key: row.get("key")?,
                    state: named(row, "state", STATE)?,
                    partition: row.get("partition")?,
                    start_at: row.get("start_at")?,
                    end_at: row.get("end_at")?,
                    first_missed_at: row.get("first_missed_at")?,
                    changed_at: row.get("changed_at")?,
                    run: row.get("run_id")?,
                });
                if told.is_err() {
                    return Ok(told);
                }
            }
            Ok(Ok(()))
        };
        let told = read().map_err(at(&self.path))?;
        told.map_err(|error| Error::output("write the answer", &error))
    }

    /// Rows of a stream that are missing and were left alone, since they are too many at once.
    pub fn held_back(&self, stream: &str) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM _windrow_vanished WHERE stream = :stream AND
            state = 'held'";
        let count = || -> rusqlite::Result<u64> {
            self.connection.query_row(sql, named_params! { ":stream": stream }, only)
        };
        count().map_err(at(&self.path))
    }
}

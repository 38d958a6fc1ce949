//! Columns that were corrected, carried out on the rows that are there: in place, in one
//! transaction of the caller's.
//!
//! It is a change like a rebuild: a row that says the same keeps its stamps, one that says
//! something else has changed now, and the history keeps what was said until then, as it was said.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{OptionalExtension, named_params, params_from_iter};

use crate::model::{Cell, Error, ErrorKind, RowSet, TableColumn};

use crate::store::content::value_of;
use crate::store::error::at;
use crate::store::history::{history_from, unwatch_updates, watch_updates};
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::sql::{history_name, live_columns, quote, sql_type};
use crate::store::table::stored_table;
use crate::store::transaction::Tx;

/// What a column of another SQL type is called until it takes the old one's place.
fn draft(name: &str) -> String {
    format!("_windrow_draft_{name}")
}

/// A column as it was and as it is.
#[derive(Clone, Debug)]
pub struct CorrectedColumn {
    /// As the table has it.
    pub before: TableColumn,
    /// As it is to be.
    pub now: TableColumn,
    /// Whether the table's key is made of it.
    pub is_key: bool,
}

/// What became of a corrected column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecastCount {
    /// Rows that there are.
    pub rows: u64,
    /// Rows that have a value now.
    pub filled: u64,
    /// Rows of which what is kept does not tell the value.
    pub unknown: u64,
    /// Of a column of the key: rows that would get another key. They are left as they are.
    pub rekeyed: u64,
}

/// What a row says by the corrected columns, from what was left over of it and from their old
/// values: their new values and what is left over now; and which of them are not known.
pub type RecastRow<'f> = &'f dyn Fn(Option<&str>, &RowSet) -> (RowSet, Vec<bool>);

impl Reader {
    /// The definition by which the stream's rows are read: the one that is noted, or that of the
    /// last run that did anything to them.
    pub fn last_definition(&self, stream: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT text FROM _windrow_definitions WHERE definition_id = coalesce(
                (SELECT definition_id FROM _windrow_streams WHERE stream = :stream),
                (SELECT definition_id FROM _windrow_run_streams JOIN _windrow_runs USING (run_id)
                 WHERE stream = :stream AND definition_id IS NOT NULL
                 ORDER BY run_id DESC LIMIT 1))";
        let read = || -> rusqlite::Result<Option<String>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_row(named_params! { ":stream": stream }, only).optional()
        };
        read().map_err(at(&self.path))
    }

    /// Whether the stream's table has a row.
    pub fn has_any_row(&self, stream: &str) -> Result<bool, Error> {
        let look = || -> rusqlite::Result<bool> {
            if stored_table(&self.connection, stream)?.is_none() {
                return Ok(false);
            }
            let sql = format!("SELECT 1 FROM {} LIMIT 1", quote(stream));
            self.connection.prepare(&sql)?.exists([])
        };
        look().map_err(at(&self.path))
    }
}

impl Tx<'_> {
    /// Notes that the stream's rows are read by the definition of a run.
    pub fn note_table_definition(&self, stream: &str, run: i64) -> Result<(), Error> {
        let sql = "UPDATE _windrow_streams SET definition_id = r.definition_id
            FROM (SELECT definition_id FROM _windrow_runs WHERE run_id = :run) AS r
            WHERE stream = :stream AND _windrow_streams.definition_id IS NOT r.definition_id";
        let values = named_params! { ":stream": stream, ":run": run };
        self.connection.execute(sql, values).map(|_| ()).map_err(at(&self.path))
    }

    /// Gives every row its values in columns that were corrected. `run` is the run that the rows
    /// change by.
    pub fn recast_columns(
        &self,
        stream: &str,
        columns: &[CorrectedColumn],
        recast: RecastRow<'_>,
        run: i64,
        now: &str,
    ) -> Result<Vec<RecastCount>, Error> {
        let write = || -> rusqlite::Result<Vec<RecastCount>> {
            unwatch_updates(&self.connection, stream)?;
            let retyped: Vec<&CorrectedColumn> = (columns.iter())
                .filter(|it| sql_type(it.before.kind) != sql_type(it.now.kind))
                .collect();
            self.draft_columns(stream, &retyped)?;
            let counts = self.recast_rows(stream, columns, recast, (run, now))?;
            self.place_drafts(stream, &retyped)?;
            self.note_columns(stream, columns)?;
            if history_from(&self.connection, stream)?.is_some() {
                watch_updates(&self.connection, stream)?;
            }
            Ok(counts)
        };
        write().map_err(|error| {
            if error.sqlite_error_code() != Some(rusqlite::ErrorCode::Unknown) {
                return at(&self.path)(error);
            }
            // An index, a trigger or a view of the analyst's stands on a column.
            let names: Vec<&str> = columns.iter().map(|it| it.now.name.as_str()).collect();
            let names = names.join("`, `");
            let message =
                format!("the type of `{names}` of stream `{stream}` cannot be changed: {error}");
            let help = "drop what stands on the column, and make it again after the sync";
            Error::new(ErrorKind::Definition, message).help(help)
        })
    }

    /// Makes room for values of other SQL types. A history takes values of both.
    fn draft_columns(&self, stream: &str, retyped: &[&CorrectedColumn]) -> rusqlite::Result<()> {
        let table = quote(stream);
        let history = history_name(stream);
        let kept = self.keeps_history(stream)?;
        for CorrectedColumn { before, now, .. } in retyped {
            let (name, new) = (quote(&before.name), quote(&draft(&now.name)));
            let kind = sql_type(now.kind);
            self.connection
                .execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {new} {kind}"))?;
            let is_any = |kind: &str| kind.eq_ignore_ascii_case("ANY");
            let live = live_columns(&self.connection, &history)?;
            let is_there = live.iter().any(|it| it.name == before.name && !is_any(&it.sql_type));
            if kept && is_there {
                let history = quote(&history);
                self.connection.execute_batch(&format!(
                    "ALTER TABLE {history} ADD COLUMN {new} ANY;
                     UPDATE {history} SET {new} = {name};
                     ALTER TABLE {history} DROP COLUMN {name};
                     ALTER TABLE {history} RENAME COLUMN {new} TO {name}"
                ))?;
            }
        }
        Ok(())
    }

    fn place_drafts(&self, stream: &str, retyped: &[&CorrectedColumn]) -> rusqlite::Result<()> {
        let table = quote(stream);
        for CorrectedColumn { before, now, .. } in retyped {
            let (name, new) = (quote(&before.name), quote(&draft(&now.name)));
            self.connection.execute_batch(&format!(
                "ALTER TABLE {table} DROP COLUMN {name};
                 ALTER TABLE {table} RENAME COLUMN {new} TO {name}"
            ))?;
        }
        Ok(())
    }

    fn note_columns(&self, stream: &str, columns: &[CorrectedColumn]) -> rusqlite::Result<()> {
        let Some((_, mut stored)) = stored_table(&self.connection, stream)? else { return Ok(()) };
        for CorrectedColumn { before, now, .. } in columns {
            if let Some(column) = stored.iter_mut().find(|it| it.name == before.name) {
                column.kind = now.kind;
                column.tolerance = now.tolerance;
            }
        }
        let text = serde_json::to_string(&stored).expect("columns can be written as JSON");
        let sql = "UPDATE _windrow_streams SET columns = :columns WHERE stream = :stream";
        let values = named_params! { ":columns": text, ":stream": stream };
        self.connection.execute(sql, values).map(|_| ())
    }

    fn recast_rows(
        &self,
        stream: &str,
        columns: &[CorrectedColumn],
        recast: RecastRow<'_>,
        (run, now): (i64, &str),
    ) -> rusqlite::Result<Vec<RecastCount>> {
        let table = quote(stream);
        let old: Vec<String> = columns.iter().map(|it| quote(&it.before.name)).collect();
        let next = format!(
            "SELECT _rowid_ AS rowid, _rest, {} FROM main.{table} WHERE _rowid_ > :after
             ORDER BY _rowid_ LIMIT 1",
            old.join(", ")
        );
        let sets = columns.iter().map(|it| {
            let retyped = sql_type(it.before.kind) != sql_type(it.now.kind);
            let into = if retyped { draft(&it.now.name) } else { it.before.name.clone() };
            format!("{} = ?", quote(&into))
        });
        let update = format!(
            "UPDATE main.{table} SET {}, _rest = ?, _revision = _revision + 1,
                _changed_at = max(_changed_at, ?), _run = ? WHERE _rowid_ = ?",
            sets.collect::<Vec<_>>().join(", ")
        );
        let keep = self.keep_version(stream)?;
        let mut next = self.connection.prepare(&next)?;
        let mut update = self.connection.prepare(&update)?;
        let mut counts = vec![RecastCount::default(); columns.len()];
        let mut after = i64::MIN;
        loop {
            let mut rows = next.query(named_params! { ":after": after })?;
            let Some(row) = rows.next()? else { return Ok(counts) };
            after = row.get("rowid")?;
            let rest: Option<String> = row.get("_rest")?;
            let mut cells = RowSet::new(columns.len());
            for place in 0..columns.len() {
                let cell = cell_of(row.get_ref(place + 2)?, &mut cells);
                cells.cells.push(cell);
            }
            drop(rows);
            let (read, unknown) = recast(rest.as_deref(), &cells);
            let (left, values) = read.row(0).split_last().expect("what is left over is a cell");
            for (place, count) in counts.iter_mut().enumerate() {
                count.rows += 1;
                count.filled += u64::from(values[place] != Cell::Null);
                count.unknown += u64::from(unknown[place]);
            }
            let said = |set: &RowSet, cells: &[Cell]| -> Vec<Value> {
                cells.iter().map(|cell| value_of(set, *cell)).collect()
            };
            let mut bound = said(&read, values);
            let old = said(&cells, cells.row(0));
            let keys = counts.iter_mut().enumerate().filter(|(place, _)| columns[*place].is_key);
            let mut rekeys = false;
            for (place, count) in keys {
                let rekeyed = bound[place] != old[place] || unknown[place];
                count.rekeyed += u64::from(rekeyed);
                rekeys |= rekeyed;
            }
            if rekeys {
                continue;
            }
            let same = bound == old && read.text_of(*left) == rest.as_deref();
            let moves = columns.iter().any(|it| sql_type(it.before.kind) != sql_type(it.now.kind));
            if same && !moves {
                continue;
            }
            if let Some(keep) = keep.as_ref().filter(|_| !same) {
                self.connection
                    .prepare_cached(keep)?
                    .execute(named_params! { ":row": after, ":now": now, ":run": run })?;
            }
            bound.push(value_of(&read, *left));
            bound.extend([Value::Text(now.to_owned()), Value::Integer(run), Value::Integer(after)]);
            update.execute(params_from_iter(bound))?;
        }
    }

    /// The statement that keeps a row's version as it is, where the stream has a history.
    fn keep_version(&self, stream: &str) -> rusqlite::Result<Option<String>> {
        if history_from(&self.connection, stream)?.is_none() {
            return Ok(None);
        }
        let history = history_name(stream);
        let kept = live_columns(&self.connection, &history)?;
        let names = live_columns(&self.connection, stream)?.into_iter();
        let names = names.filter(|it| kept.iter().any(|kept| kept.name == it.name));
        let names: Vec<String> = names.map(|it| quote(&it.name)).collect();
        let names = names.join(", ");
        Ok(Some(format!(
            "INSERT INTO main.{} ({names}, _replaced_at, _replaced_run)
             SELECT {names}, max(_changed_at, :now), :run FROM main.{} WHERE _rowid_ = :row",
            quote(&history),
            quote(stream)
        )))
    }
}

/// A value of a row as a cell of a set.
fn cell_of(value: ValueRef<'_>, into: &mut RowSet) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(text) => into.push_text(&String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => into.push_bytes(bytes),
    }
}

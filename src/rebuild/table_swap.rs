//! Making a stream's table again: setting the old one aside, putting the new one in its place,
//! and the way back.
//!
//! Everything happens in one transaction of the caller's; a dry run is one that is taken back.

use rusqlite::{ErrorCode, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::model::{Error, KeyShape, Outcomes, Retention, TableShape, WindowKey};

use crate::store::error::at;
use crate::store::history::{history_indexes, history_name, live_columns};
use crate::store::ledger::bounds_text;
use crate::store::open::Archive;
use crate::store::table::{create_statement, quote, stored_table, stored_text};

/// The name of a stream's table that was set aside.
pub(crate) fn before(stream: &str) -> String {
    format!("_windrow_before_{stream}")
}

/// windrow's tables with rows of a stream that a rebuild makes anew.
pub(crate) const PARTS: [&str; 3] = ["_windrow_rejects", "_windrow_ledger", "_windrow_vanished"];

/// The name of a stream's history that was set aside.
pub(crate) fn history_before(stream: &str) -> String {
    format!("_windrow_before_{stream}_history")
}

/// The name of the table that pages are tried on.
pub(crate) fn trial(stream: &str) -> String {
    format!("_windrow_trial_{stream}")
}

/// The name of the copy of a stream's rows of one of [`PARTS`].
pub(crate) fn part_before(part: &str, stream: &str) -> String {
    format!("{part}_before_{stream}")
}

/// An index or a trigger on a stream's table. windrow makes none: it is the analyst's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableObject {
    /// `index` or `trigger`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The statement that makes it.
    pub sql: String,
}

/// Runs that brought a stream records and kept no page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnkeptRuns {
    /// Their command; empty where a row names a run that is not there.
    pub command: String,
    /// The first and the last of them.
    pub runs: (i64, i64),
    /// The definition that they ran by.
    pub definition: Option<String>,
}

/// What a fetch that was made again counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recount {
    /// Pages.
    pub pages: u64,
    /// What became of its records.
    pub outcomes: Outcomes,
    /// Records outside the range.
    pub out_of_window: u64,
    /// Distinct keys, where the source's total is held against them.
    pub distinct_keys: Option<u64>,
    /// Whether the stream has references: rejects of then may be rows since their parents
    /// last_records.
    pub refers: bool,
}

impl Archive {
    /// Begins a rebuild. Views, triggers and references of other tables keep the names that they
    /// have while tables are renamed under them.
    pub fn begin_rebuild(&self) -> Result<(), Error> {
        let settings = "PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON";
        self.connection.execute_batch(settings).map_err(at(&self.path))?;
        self.begin()
    }

    /// The key, the columns and the rebuild that is not confirmed yet, of a stream that is there.
    pub fn standing(&self, stream: &str) -> Result<Option<(TableShape, bool)>, Error> {
        let read = || -> rusqlite::Result<Option<(TableShape, bool)>> {
            let Some((key, columns)) = stored_table(&self.connection, stream)? else {
                return Ok(None);
            };
            let sql = "SELECT 1 FROM _windrow_rebuilds WHERE stream = ?1";
            let open = self.connection.prepare_cached(sql)?.exists([stream])?;
            let live = live_columns(&self.connection, stream)?;
            let marks = live.iter().any(|column| column.name == "_deleted_at");
            let shape = TableShape {
                name: stream.to_owned(),
                columns,
                key,
                version: None,
                on_conflict: crate::definition::OnConflict::Update,
                references: Vec::new(),
                inferred: false,
                retention: Retention { marks, ..Retention::default() },
            };
            Ok(Some((shape, open)))
        };
        read().map_err(at(&self.path))
    }

    /// Runs that brought the stream records without keeping their pages, or that its rows name.
    pub fn unkept_runs(&self, stream: &str) -> Result<Vec<UnkeptRuns>, Error> {
        let sql = format!(
            "SELECT coalesce(r.command, ''), min(run), max(run), d.text
             FROM (SELECT run_id AS run FROM _windrow_run_streams
                   WHERE stream = ?1 AND received > 0 UNION SELECT _run FROM {})
             LEFT JOIN _windrow_runs AS r ON r.run_id = run
             LEFT JOIN _windrow_definitions AS d USING (definition_id)
             WHERE run NOT IN (SELECT run_id FROM _windrow_raw_pages WHERE stream = ?1)
                AND coalesce(r.command, '') <> 'merge'
             GROUP BY r.command, d.definition_id ORDER BY min(run)",
            quote(stream)
        );
        let read = || -> rusqlite::Result<Vec<UnkeptRuns>> {
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map([stream], |row| {
                let runs = (row.get(1)?, row.get(2)?);
                Ok(UnkeptRuns { command: row.get(0)?, runs, definition: row.get(3)? })
            })?;
            rows.collect()
        };
        read().map_err(at(&self.path))
    }

    /// Keeps the stream's table and history under other names, and copies of its rejects, ledger
    /// and vanished rows. Gives the analyst's indexes and triggers, which are taken off. Rejects
    /// that a person has set aside stay, so that they are not taken up by themselves.
    pub fn set_aside(&self, stream: &str) -> Result<Vec<TableObject>, Error> {
        let write = || -> rusqlite::Result<Vec<TableObject>> {
            self.unwatch_updates(stream)?;
            let mut objects = self.take_objects(stream)?;
            self.rename_table(stream, &before(stream))?;
            if self.keeps_history(stream)? {
                objects.extend(self.take_objects(&history_name(stream))?);
                self.rename_table(&history_name(stream), &history_before(stream))?;
            }
            for part in PARTS {
                let copy = quote(&part_before(part, stream));
                self.connection.execute_batch(&format!(
                    "CREATE TABLE {copy} AS SELECT * FROM {part} WHERE stream = '{stream}'"
                ))?;
            }
            self.take_rejects_off(stream)?;
            Ok(objects)
        };
        write().map_err(at(&self.path))
    }

    pub(crate) fn rename_table(&self, from: &str, to: &str) -> rusqlite::Result<()> {
        let sql = format!("ALTER TABLE {} RENAME TO {}", quote(from), quote(to));
        self.connection.execute_batch(&sql)
    }

    pub(crate) fn take_objects(&self, stream: &str) -> rusqlite::Result<Vec<TableObject>> {
        let sql = "SELECT type, name, sql FROM sqlite_schema WHERE lower(tbl_name) = ?1
            AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid";
        let mut statement = self.connection.prepare(sql)?;
        let objects = statement.query_map([stream], |row| {
            Ok(TableObject { kind: row.get(0)?, name: row.get(1)?, sql: row.get(2)? })
        })?;
        let objects: Vec<TableObject> = objects.collect::<rusqlite::Result<_>>()?;
        for object in &objects {
            let name = quote(&object.name);
            self.connection.execute_batch(&format!("DROP {} {name}", object.kind))?;
        }
        Ok(objects)
    }

    /// Puts the analyst's indexes and triggers on the new table. Gives those that do not fit it,
    /// and why.
    pub fn put_objects(
        &self,
        stream: &str,
        objects: &[TableObject],
    ) -> Result<Vec<(TableObject, String)>, Error> {
        let ours = history_indexes(&history_name(stream));
        let mut unfit = Vec::new();
        for object in objects.iter().filter(|object| !ours.contains(&object.name)) {
            match self.connection.execute_batch(&object.sql) {
                Ok(()) => {}
                // An index on a column that is gone, or a UNIQUE one that the rows do not meet.
                Err(error)
                    if matches!(
                        error.sqlite_error_code(),
                        None | Some(ErrorCode::Unknown | ErrorCode::ConstraintViolation)
                    ) =>
                {
                    unfit.push((object.clone(), error.to_string()));
                }
                Err(error) => return Err(at(&self.path)(error)),
            }
        }
        Ok(unfit)
    }

    /// Makes the stream's new table, empty.
    pub fn remake_table(&self, shape: &TableShape) -> Result<(), Error> {
        let write = || -> rusqlite::Result<()> {
            self.connection.execute_batch(&create_statement(shape))?;
            let (key, columns) = stored_text(shape);
            let sql = "UPDATE _windrow_streams SET key = ?1, columns = ?2, inferred = ?3
                WHERE stream = ?4";
            self.connection.execute(sql, params![key, columns, shape.inferred, shape.name])?;
            Ok(())
        };
        write().map_err(at(&self.path))
    }

    /// Corrects what the ledger counts of a fetch. A window whose source counts other records
    /// than there are now is no longer complete; tells whether it is such a one.
    pub fn recount(&self, window_key: &WindowKey, run: i64, to: &Recount) -> Result<bool, Error> {
        let (start, end) = bounds_text(window_key.window);
        let outcomes = &to.outcomes;
        let sql = "UPDATE _windrow_ledger SET received = ?7, inserted = ?8, updated = ?9,
                unchanged = ?10, skipped = ?11, rejected = ?12, out_of_window = ?13,
                distinct_keys = coalesce(?14, distinct_keys),
                last_records = iif(last_records IS NULL, NULL, ?7),
                previous_records = iif(last_records = ?7, previous_records, NULL)
            WHERE stream = ?1 AND partition = ?2 AND start_at = ?3 AND end_at = ?4
              AND run_id = ?5 AND pages = ?6
              AND (received, iif(?15, ?12, rejected), out_of_window, coalesce(?14, distinct_keys))
                IS NOT (?7, ?12, ?13, distinct_keys)";
        let doubt = "UPDATE _windrow_ledger SET state = 'partial', token = NULL,
                error = 'the source counts ' || source_total || ' records, ' || distinct_keys
                    || ' different ones are there since the rebuild'
            WHERE stream = ?1 AND partition = ?2 AND start_at = ?3 AND end_at = ?4
              AND run_id = ?5 AND pages = ?6
              AND state IN ('complete', 'settled') AND source_total <> distinct_keys";
        let write = || -> rusqlite::Result<bool> {
            self.connection.prepare_cached(sql)?.execute(params![
                window_key.stream,
                window_key.partition,
                start,
                end,
                run,
                to.pages,
                outcomes.received,
                outcomes.inserted,
                outcomes.updated,
                outcomes.unchanged,
                outcomes.skipped,
                outcomes.rejected,
                to.out_of_window,
                to.distinct_keys,
                to.refers,
            ])?;
            if to.distinct_keys.is_none() {
                return Ok(false);
            }
            let mut doubt = self.connection.prepare_cached(doubt)?;
            let window_key =
                params![window_key.stream, window_key.partition, start, end, run, to.pages];
            Ok(doubt.execute(window_key)? > 0)
        };
        write().map_err(at(&self.path))
    }

    /// Remembers what the table was, so that it can be put back.
    pub fn note_rebuild(
        &self,
        old: &TableShape,
        inferred: bool,
        objects: &[TableObject],
        run: i64,
    ) -> Result<(), Error> {
        let (key, columns) = stored_text(old);
        let objects = serde_json::to_string(objects).expect("texts can be written as JSON");
        let sql = "INSERT INTO _windrow_rebuilds
                (stream, run_id, key, columns, inferred, objects, history_from)
            SELECT ?1, ?2, ?3, ?4, ?5, ?6, history_from FROM _windrow_streams WHERE stream = ?1";
        let values = params![old.name, run, key, columns, inferred, objects];
        self.connection.execute(sql, values).map(|_| ()).map_err(at(&self.path))
    }

    /// The definition that the pages of a run made rows by: the run's own, or that of the last
    /// rebuild since, before run `before`.
    pub fn definition_of_page(
        &self,
        stream: &str,
        run: i64,
        before: i64,
    ) -> Result<Option<String>, Error> {
        let sql = "SELECT d.text FROM _windrow_runs JOIN _windrow_definitions AS d
                USING (definition_id)
            WHERE run_id = max(?2, coalesce((SELECT max(run_id) FROM _windrow_run_streams
                JOIN _windrow_runs AS r USING (run_id)
                WHERE stream = ?1 AND r.command = 'rebuild' AND r.merged_by IS NULL
                    AND run_id < ?3), 0))";
        let mut statement = self.connection.prepare_cached(sql).map_err(at(&self.path))?;
        let found = statement.query_row(params![stream, run, before], |row| row.get(0)).optional();
        found.map_err(at(&self.path))
    }

    /// Makes a table to try the kept pages on, as the one that was set aside. Gives its name.
    pub fn make_trial(&self, old: &TableShape) -> Result<String, Error> {
        let name = trial(&old.name);
        let mut shape = TableShape { name: name.clone(), ..old.clone() };
        shape.retention.marks = true;
        let sql = create_statement(&shape);
        self.connection.execute_batch(&sql).map_err(at(&self.path))?;
        Ok(name)
    }

    /// Drops that table.
    pub fn drop_trial(&self, stream: &str) -> Result<(), Error> {
        let sql = format!("DROP TABLE {}", quote(&trial(stream)));
        self.connection.execute_batch(&sql).map_err(at(&self.path))
    }

    /// Whether the stream's columns were inferred when its table was made.
    pub fn was_inferred(&self, stream: &str) -> Result<bool, Error> {
        let sql = "SELECT inferred FROM _windrow_streams WHERE stream = ?1";
        let found = self.connection.query_row(sql, [stream], |row| row.get(0)).optional();
        found.map(|inferred| inferred.unwrap_or(false)).map_err(at(&self.path))
    }
}

/// The condition under which a row of `new` and one of `old` have the same key; none where the two
/// tables' keys cannot be compared.
pub(crate) fn same_key(old: &TableShape, new: &TableShape) -> Option<String> {
    if old.key != new.key {
        return None;
    }
    let kind = |shape: &TableShape, name: &String| {
        shape.columns.iter().find(|column| column.name == *name).map(|column| column.kind)
    };
    let names = new.key.columns();
    let hashed = matches!(new.key, KeyShape::Hash(_));
    let alike = hashed || names.iter().all(|name| kind(old, name) == kind(new, name));
    let pairs = names.iter().map(|name| format!("new.{0} = old.{0}", quote(name)));
    alike.then(|| pairs.collect::<Vec<_>>().join(" AND "))
}

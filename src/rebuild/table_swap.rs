//! Making a stream's table again: setting the old one aside, putting the new one in its place,
//! and the way back.
//!
//! Everything happens in one transaction of the caller's; a dry run is one that is taken back.

use rusqlite::{ErrorCode, OptionalExtension, named_params};
use serde::{Deserialize, Serialize};

use crate::model::{Command, ErrorKind};
use crate::model::{Error, KeyShape, Outcomes, Retention, TableShape, WindowKey};

use crate::store::error::at;
use crate::store::history::{history_indexes, unwatch_updates};
use crate::store::ledger::bounds_text;
use crate::store::reader::Reader;
use crate::store::row::{named_or_none, only};
use crate::store::sql::{history_name, live_columns, quote};
use crate::store::table::{create_statement, stored_table, stored_text};
use crate::store::transaction::Tx;

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
    /// `index` or `trigger`, as `sqlite_schema` has it.
    pub kind: String,
    pub name: String,
    /// The statement that makes it.
    pub sql: String,
}

/// Runs that brought a stream records and kept no page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnkeptRuns {
    /// Their command; none where a row names a run that is not there.
    pub command: Option<Command>,
    /// The first and the last of them.
    pub runs: (i64, i64),
    /// The definition that they ran by.
    pub definition: Option<String>,
}

/// What a fetch that was made again counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recount {
    /// The number of its pages.
    pub pages: u64,
    /// What became of its records.
    pub outcomes: Outcomes,
    /// Records outside the range.
    pub out_of_window: u64,
    /// Distinct keys, where the source's total is held against them.
    pub distinct_keys: Option<u64>,
    /// Whether the stream has references: records that were rejects then may have become rows
    /// since, because their parents came.
    pub refers: bool,
}

/// The settings of a connection while tables are renamed, until it is dropped: views, triggers and
/// references of other tables keep the names that they have.
pub(crate) struct RenameSettings<'a> {
    archive: &'a Reader,
    foreign_keys: bool,
    legacy_alter_table: bool,
}

impl<'a> RenameSettings<'a> {
    /// Sets them, before a transaction begins.
    pub(crate) fn set(archive: &'a Reader) -> Result<Self, Error> {
        archive.run(|connection| {
            let is_on = |sql: &str| connection.query_row(sql, [], only);
            let foreign_keys = is_on("SELECT foreign_keys FROM pragma_foreign_keys")?;
            let legacy = "SELECT legacy_alter_table FROM pragma_legacy_alter_table";
            let settings = Self { archive, foreign_keys, legacy_alter_table: is_on(legacy)? };
            settings.put(false, true)?;
            Ok(settings)
        })
    }

    fn put(&self, foreign_keys: bool, legacy_alter_table: bool) -> rusqlite::Result<()> {
        self.archive.connection.execute_batch(&format!(
            "PRAGMA foreign_keys = {foreign_keys}; PRAGMA legacy_alter_table = {legacy_alter_table}"
        ))
    }
}

impl Drop for RenameSettings<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.put(self.foreign_keys, self.legacy_alter_table) {
            tracing::warn!(%error, "the settings of the archive could not be put back");
        }
    }
}

impl Reader {
    /// The key, the columns and the rebuild that is not confirmed yet, of a stream that is there.
    pub fn standing(&self, stream: &str) -> Result<Option<(TableShape, bool)>, Error> {
        let read = || -> rusqlite::Result<Option<(TableShape, bool)>> {
            let Some((key, columns)) = stored_table(&self.connection, stream)? else {
                return Ok(None);
            };
            let sql = "SELECT 1 FROM _windrow_rebuilds WHERE stream = :stream";
            let open =
                self.connection.prepare_cached(sql)?.exists(named_params! { ":stream": stream })?;
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
            "SELECT r.command, min(run) AS first, max(run) AS last, d.text
             FROM (SELECT run_id AS run FROM _windrow_run_streams
                   WHERE stream = :stream AND received > 0 UNION SELECT _run FROM {})
             LEFT JOIN _windrow_runs AS r ON r.run_id = run
             LEFT JOIN _windrow_definitions AS d USING (definition_id)
             WHERE run NOT IN (SELECT run_id FROM _windrow_raw_pages WHERE stream = :stream)
                AND (r.command IS NULL
                    OR r.command NOT IN (SELECT value FROM json_each(:of_one_archive)))
             GROUP BY r.command, d.definition_id ORDER BY min(run)",
            quote(stream)
        );
        let read = || -> rusqlite::Result<Vec<UnkeptRuns>> {
            let mut statement = self.connection.prepare(&sql)?;
            let of_one_archive = Command::names_where(Command::is_of_one_archive);
            let values = named_params! { ":stream": stream, ":of_one_archive": of_one_archive };
            let rows = statement.query_map(values, |row| {
                let runs = (row.get("first")?, row.get("last")?);
                let command = named_or_none(row, "command", ("_windrow_runs", "command"))?;
                Ok(UnkeptRuns { command, runs, definition: row.get("text")? })
            })?;
            rows.collect()
        };
        read().map_err(at(&self.path))
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
            WHERE run_id = max(:run, coalesce((SELECT max(run_id) FROM _windrow_run_streams
                JOIN _windrow_runs AS r USING (run_id)
                WHERE stream = :stream AND r.command = :rebuild AND r.merged_by IS NULL
                    AND run_id < :before), 0))";
        let mut statement = self.connection.prepare_cached(sql).map_err(at(&self.path))?;
        let found = statement
            .query_row(
                named_params! {
                    ":stream": stream,
                    ":run": run,
                    ":before": before,
                    ":rebuild": Command::Rebuild.as_str(),
                },
                only,
            )
            .optional();
        found.map_err(at(&self.path))
    }

    /// Whether the stream's columns were inferred when its table was made.
    pub fn was_inferred(&self, stream: &str) -> Result<bool, Error> {
        let sql = "SELECT inferred FROM _windrow_streams WHERE stream = :stream";
        let found =
            self.connection.query_row(sql, named_params! { ":stream": stream }, only).optional();
        found.map(|inferred| inferred.unwrap_or(false)).map_err(at(&self.path))
    }
}

impl Tx<'_> {
    /// Keeps the stream's table and history under other names, and copies of its rejects, ledger
    /// and vanished rows. Gives the analyst's indexes and triggers, which are taken off. Rejects
    /// that a person has set aside stay, so that they are not taken up by themselves.
    pub fn set_aside(&self, stream: &str) -> Result<Vec<TableObject>, Error> {
        let write = || -> rusqlite::Result<Vec<TableObject>> {
            unwatch_updates(&self.connection, stream)?;
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
        let sql = "SELECT type, name, sql FROM sqlite_schema WHERE lower(tbl_name) = :stream
            AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid";
        let mut statement = self.connection.prepare(sql)?;
        let objects = statement.query_map(named_params! { ":stream": stream }, |row| {
            Ok(TableObject { kind: row.get("type")?, name: row.get("name")?, sql: row.get("sql")? })
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
            let sql = "UPDATE _windrow_streams SET key = :key, columns = :columns,
                inferred = :inferred
                WHERE stream = :name";
            self.connection.execute(
                sql,
                named_params! {
                    ":key": key,
                    ":columns": columns,
                    ":inferred": shape.inferred,
                    ":name": shape.name,
                },
            )?;
            Ok(())
        };
        write().map_err(at(&self.path))
    }

    /// Corrects what the ledger counts of a fetch. A window whose source counts other records
    /// than there are now is no longer complete; tells whether it is such a one.
    pub fn recount(&self, window_key: &WindowKey, run: i64, to: &Recount) -> Result<bool, Error> {
        let (start, end) = bounds_text(window_key.window);
        let outcomes = &to.outcomes;
        let sql = "UPDATE _windrow_ledger SET received = :received, inserted = :inserted,
            updated = :updated,
                unchanged = :unchanged, skipped = :skipped, rejected = :rejected,
                out_of_window = :out_of_window,
                distinct_keys = coalesce(:distinct_keys, distinct_keys),
                last_records = iif(last_records IS NULL, NULL, :received),
                previous_records = iif(last_records = :received, previous_records, NULL)
            WHERE stream = :stream AND partition = :partition AND start_at = :start AND
            end_at = :end
              AND run_id = :run AND pages = :pages
              AND (received, iif(:refers, :rejected, rejected), out_of_window,
              coalesce(:distinct_keys, distinct_keys))
                IS NOT (:received, :rejected, :out_of_window, distinct_keys)";
        let doubt = "UPDATE _windrow_ledger SET state = 'partial', token = NULL,
                error = 'the source counts ' || source_total || ' records, ' || distinct_keys
                    || ' different ones are there since the rebuild'
            WHERE stream = :stream AND partition = :partition AND start_at = :start AND
            end_at = :end
              AND run_id = :run AND pages = :pages
              AND state IN ('complete', 'settled') AND source_total <> distinct_keys";
        let write = || -> rusqlite::Result<bool> {
            self.connection.prepare_cached(sql)?.execute(named_params! {
                ":stream": window_key.stream,
                ":partition": window_key.partition,
                ":start": start,
                ":end": end,
                ":run": run,
                ":pages": to.pages,
                ":received": outcomes.received,
                ":inserted": outcomes.inserted,
                ":updated": outcomes.updated,
                ":unchanged": outcomes.unchanged,
                ":skipped": outcomes.skipped,
                ":rejected": outcomes.rejected,
                ":out_of_window": to.out_of_window,
                ":distinct_keys": to.distinct_keys,
                ":refers": to.refers,
            })?;
            if to.distinct_keys.is_none() {
                return Ok(false);
            }
            let mut doubt = self.connection.prepare_cached(doubt)?;
            let values = named_params! {
                ":stream": window_key.stream,
                ":partition": window_key.partition,
                ":start": start,
                ":end": end,
                ":run": run,
                ":pages": to.pages,
            };
            Ok(doubt.execute(values)? > 0)
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
                (stream, run_id, key, columns, inferred, objects, history_from, definition_id)
            SELECT :name, :run, :key, :columns, :inferred, :objects, history_from, definition_id
            FROM _windrow_streams WHERE stream = :name";
        let values = named_params! {
            ":name": old.name,
            ":run": run,
            ":key": key,
            ":columns": columns,
            ":inferred": inferred,
            ":objects": objects,
        };
        self.connection.execute(sql, values).map(|_| ()).map_err(at(&self.path))
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

    /// Drops the table that [`Tx::make_trial`] made.
    pub fn drop_trial(&self, stream: &str) -> Result<(), Error> {
        let sql = format!("DROP TABLE {}", quote(&trial(stream)));
        self.connection.execute_batch(&sql).map_err(at(&self.path))
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

/// What the definition asks for cannot be.
pub(crate) fn refuse(message: String, help: impl Into<String>) -> Error {
    Error::new(ErrorKind::Definition, message).help(help)
}

//! A copy of an archive that is given away: made whole from the running archive, then freed of
//! what stays at home, then told what it holds.

use std::path::Path;

use rusqlite::limits::Limit;
use rusqlite::{Connection, OptionalExtension, named_params};

use crate::host::Stop;

use crate::history::condition::Staying;
use crate::model::{Command, Error, ErrorKind, HandoffDirection};
use crate::outbox::store::given_outbox::{cut_outbox, going_with};
use crate::store::error::at;
use crate::store::formats::{ArchiveFormat, FORMATS, objects};
use crate::store::history::keeps_versions;
use crate::store::open::{check_identity, open_writer, take_lock};
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::schema::altered;
use crate::store::schema::{drop_statement, foreign_objects};
use crate::store::sql::{history_name, quote};
use crate::store::stops::{end_when, end_with_process};
use crate::store::transaction::Tx;

/// A copy that is being made ready.
pub struct Draft {
    reader: Reader,
}

/// Which part of an archive is given away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// What was written after this run.
    pub since: Option<i64>,
    /// These streams alone; all when empty.
    pub streams: Vec<String>,
    /// Rows that meet this condition in SQL.
    pub condition: Option<String>,
}

impl Part {
    /// Whether rows are left out of streams that are given: then it is no archive to go on from.
    pub fn cuts_streams(&self) -> bool {
        self.since.is_some() || self.condition.is_some()
    }
}

/// What a copy is called and where it comes from.
#[derive(Clone, Debug)]
pub struct Naming<'a> {
    /// The copy's own id.
    pub archive_id: &'a str,
    /// The id of the hand-off.
    pub handoff_id: &'a str,
    /// When the copy was made, as an instant in text.
    pub at: &'a str,
}

/// What is noted of a hand-off in the archive that it was made from.
#[derive(Clone, Debug)]
pub struct GivenNote<'a> {
    /// The names of the copy.
    pub naming: Naming<'a>,
    /// The name of its file, without the folder.
    pub file: &'a str,
    /// The SHA-256 of its manifest.
    pub sha256: &'a str,
    /// What was given, in words.
    pub summary: &'a str,
}

/// Tables that stay at home: what waits to be sent, who was told of what, whom to ask not before
/// when, which clock goes wrong. `_windrow_rebuilds` speaks of tables that are left out.
const AT_HOME: [&str; 5] = [
    "_windrow_outbox_senders",
    "_windrow_alerts",
    "_windrow_waits",
    "_windrow_clocks",
    "_windrow_rebuilds",
];

impl Reader {
    /// Copies the archive as it is now into a new file, beside whoever writes to it. What is
    /// written last is not on the disk for sure.
    pub fn copy_into(&mut self, draft: &Path, stop: &Stop) -> Result<(), Error> {
        let text = draft.to_str().ok_or_else(|| {
            Error::new(ErrorKind::Storage, "the target's path is not Unicode text")
        })?;
        let connection = &mut self.connection;
        let mut copy = || -> rusqlite::Result<()> {
            let stop = stop.clone();
            end_when(connection, move || stop.cause().is_some())?;
            // VACUUM INTO attaches the copy while it writes it; nothing else may attach anything.
            connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
            let copied = connection.execute("VACUUM INTO :text", named_params! { ":text": text });
            connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
            end_with_process(connection)?;
            copied.map(|_| ())
        };
        copy().map_err(at(draft))
    }
}

impl Tx<'_> {
    /// Puts away the marks of a stream's rows.
    pub fn put_marks(&self, stream: &str, chunk: i64, marks: &[u8]) -> Result<(), Error> {
        let sql = "INSERT INTO _windrow_manifest_marks (stream, chunk, marks) VALUES (:stream,
            :chunk, :marks)";
        self.run(|connection| {
            connection
                .prepare_cached(sql)?
                .execute(named_params! { ":stream": stream, ":chunk": chunk, ":marks": marks })
                .map(|_| ())
        })
    }
}

impl Draft {
    /// Opens a copy that nobody else has; whatever is done with it ends when `stop` says so.
    pub fn open(path: &Path, stop: &Stop) -> Result<Self, Error> {
        let (mut connection, format) = open_writer(path, FORMATS)?;
        let stop = stop.clone();
        end_when(&mut connection, move || stop.cause().is_some()).map_err(at(path))?;
        if !format.is_newest() {
            return Err(refuse_older(path, format));
        }
        let set = "PRAGMA journal_mode = DELETE; PRAGMA secure_delete = ON;
            PRAGMA foreign_keys = OFF; PRAGMA temp_store = FILE";
        connection.execute_batch(set).map_err(at(path))?;
        Ok(Self { reader: Reader::over(connection, path, FORMATS) })
    }

    fn run<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        act(&self.reader.connection).map_err(at(&self.reader.path))
    }

    /// Makes all that `act` writes one transaction.
    pub fn transaction<'a, T>(
        &'a self,
        act: impl FnOnce(&Tx<'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        Tx::within(&self.reader, act)
    }

    /// Takes out what stays at home and what is not in the part, and gives the copy its names.
    /// Says what of the analyst's own was left out.
    /// With the outbox goes what waits in it, and belongs to nobody until somebody claims it.
    pub fn strip(
        &self,
        part: &Part,
        naming: &Naming<'_>,
        with_outbox: bool,
    ) -> Result<Vec<String>, Error> {
        let dropped = self.transaction(|tx| {
            let staying = self.decide(part)?;
            let strip = || {
                let connection = &tx.connection;
                for table in AT_HOME {
                    connection.execute_batch(&format!("DELETE FROM {table}"))?;
                }
                connection.execute(
                    "DELETE FROM _windrow_handoffs WHERE direction = :given",
                    named_params! { ":given": HandoffDirection::Given.as_str() },
                )?;
                connection.execute_batch(
                    "DELETE FROM _windrow_manifest;
                     DELETE FROM _windrow_manifest_marks",
                )?;
                cut_outbox(tx, with_outbox.then_some(naming.handoff_id))?;
                drop_set_aside(tx)?;
                let dropped = drop_foreign(tx)?;
                cut(tx, part, &staying)?;
                rename(tx, naming)?;
                Ok(dropped)
            };
            strip().map_err(at(tx.path()))
        })?;
        // What was taken out was overwritten; now its room goes as well.
        self.run(|connection| {
            connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
            let done = connection.execute_batch("VACUUM");
            connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
            done
        })?;
        Ok(dropped)
    }

    /// Which rows stay, where a condition says so.
    fn decide(&self, part: &Part) -> Result<Vec<Staying>, Error> {
        let Some(condition) = &part.condition else { return Ok(Vec::new()) };
        let (given, _) = self.run(|connection| given_and_left(connection, part))?;
        self.reader.decide_rows(&given, condition)
    }

    /// The requests of the outbox that go along.
    pub fn going(&self) -> Result<Vec<i64>, Error> {
        self.run(going_with)
    }

    /// Writes what the copy says of itself, and closes it: it is one file then.
    pub fn finish(self, manifest: &str) -> Result<(), Error> {
        let write = "INSERT INTO _windrow_manifest (manifest) VALUES (:manifest)";
        self.transaction(|tx| {
            tx.run(|connection| connection.execute(write, named_params! { ":manifest": manifest }))
        })?;
        let Reader { connection, path, .. } = self.reader;
        connection.close().map_err(|(_, error)| at(&path)(error))
    }

    /// The copy, for reading.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}

/// Takes out of a copy what windrow did not make, and says what it was.
fn drop_foreign(tx: &Tx<'_>) -> rusqlite::Result<Vec<String>> {
    let mut dropped = Vec::new();
    for object in foreign_objects(&tx.connection, FORMATS.newest())? {
        tx.connection.execute_batch(&drop_statement(&object))?;
        dropped.push(format!("{} `{}`", object.kind, object.name));
    }
    Ok(dropped)
}

/// Tables that a rebuild has set aside and that nobody has confirmed.
fn drop_set_aside(tx: &Tx<'_>) -> rusqlite::Result<()> {
    for object in objects(&tx.connection)? {
        if object.kind == "table" && object.name.starts_with("_windrow_before_") {
            tx.connection.execute_batch(&format!("DROP TABLE {}", quote(&object.name)))?;
        }
    }
    Ok(())
}

fn names(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], only)?;
    rows.collect()
}

/// windrow's own tables with a column of this name.
fn tables_with(connection: &Connection, column: &str) -> rusqlite::Result<Vec<String>> {
    let sql = format!(
        "SELECT t.name FROM pragma_table_list AS t JOIN pragma_table_info(t.name) AS c
         WHERE t.schema = 'main' AND t.type = 'table' AND t.name GLOB '_windrow_*'
            AND c.name = '{column}' ORDER BY t.name"
    );
    names(connection, &sql)
}

/// The streams that are given, and the others.
fn given_and_left(
    connection: &Connection,
    part: &Part,
) -> rusqlite::Result<(Vec<String>, Vec<String>)> {
    let all = names(connection, "SELECT stream FROM _windrow_streams ORDER BY stream")?;
    let is_given = |name: &String| part.streams.is_empty() || part.streams.contains(name);
    Ok(all.into_iter().partition(is_given))
}

fn cut(tx: &Tx<'_>, part: &Part, staying: &[Staying]) -> rusqlite::Result<()> {
    let (given, left) = given_and_left(&tx.connection, part)?;
    for stream in &left {
        leave_out(tx, stream)?;
    }
    if let Some(run) = part.since {
        cut_before(tx, &given, run)?;
    }
    for Staying { table, rows } in staying {
        tx.connection.execute_batch(&format!(
            "DELETE FROM {} WHERE _rowid_ NOT IN (SELECT row FROM temp.{rows});
             DROP TABLE temp.{rows}",
            quote(table)
        ))?;
    }
    if part.condition.is_some() {
        for stream in &given {
            forget_others(tx, stream)?;
        }
    }
    if part.cuts_streams() {
        tx.connection.execute_batch(
            "INSERT INTO _windrow_part_ledger SELECT * FROM _windrow_ledger;
             DELETE FROM _windrow_ledger",
        )?;
    }
    tx.connection.execute_batch(
        "DELETE FROM _windrow_adopted_removed
            WHERE run_id NOT IN (SELECT run_id FROM _windrow_adoptions);
         DELETE FROM _windrow_raw_bodies WHERE body_id NOT IN
            (SELECT body_id FROM _windrow_raw_pages UNION ALL
             SELECT parent_id FROM _windrow_raw_pages WHERE parent_id IS NOT NULL)",
    )
}

/// Nothing of this stream is given, and it is said which runs' work on it is lacking.
fn leave_out(tx: &Tx<'_>, stream: &str) -> rusqlite::Result<()> {
    // What reads no source keeps no sums by stream, or not all of them.
    let runs = "SELECT run_id FROM _windrow_run_streams WHERE stream = :stream
        UNION SELECT run_id FROM _windrow_runs
            WHERE read_at = ''
                AND command NOT IN (SELECT value FROM json_each(:of_one_archive))";
    let of_one_archive = Command::names_where(Command::is_of_one_archive);
    let runs: Vec<i64> = tx
        .connection
        .prepare(runs)?
        .query_map(named_params! { ":stream": stream, ":of_one_archive": of_one_archive }, only)?
        .collect::<rusqlite::Result<_>>()?;
    for table in tables_with(&tx.connection, "stream")? {
        tx.connection.execute(
            &format!(
                "DELETE FROM {table} WHERE
            stream = :stream"
            ),
            named_params! { ":stream": stream },
        )?;
    }
    for run in runs {
        lack(tx, stream, run)?;
    }
    let history = history_name(stream);
    let until = format!("{history}_until_");
    for object in objects(&tx.connection)? {
        let name = object.name.as_str();
        if object.kind == "table" && (name == stream || name == history || name.starts_with(&until))
        {
            tx.connection.execute_batch(&format!("DROP TABLE {}", quote(name)))?;
        }
    }
    Ok(())
}

fn lack(tx: &Tx<'_>, stream: &str, run: i64) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO _windrow_missing_runs (stream, run_id) VALUES (:stream, :run)";
    tx.connection.execute(sql, named_params! { ":stream": stream, ":run": run }).map(|_| ())
}

/// Runs of which a merge has brought something after a run: they are given as a whole.
const BROUGHT_SINCE: &str = "(SELECT run_id FROM _windrow_runs WHERE merged_by > :run)";

/// Only what was written after the run is given, and what a merge has brought after it.
fn cut_before(tx: &Tx<'_>, streams: &[String], run: i64) -> rusqlite::Result<()> {
    let before = |column: &str| format!("{column} <= :run AND {column} NOT IN {BROUGHT_SINCE}");
    for stream in streams {
        let sql = format!("DELETE FROM {} WHERE {}", quote(stream), before("\"_run\""));
        tx.connection.execute(&sql, named_params! { ":run": run })?;
        let history = history_name(stream);
        if keeps_versions(&tx.connection, stream)? {
            let sql = format!(
                "DELETE FROM {} WHERE \"_replaced_run\" <= :run AND {}",
                quote(&history),
                before("\"_run\"")
            );
            tx.connection.execute(&sql, named_params! { ":run": run })?;
        }
        let sql = format!(
            "INSERT OR IGNORE INTO _windrow_missing_runs (stream, run_id)
             SELECT :stream, run_id FROM _windrow_runs WHERE {}",
            before("run_id")
        );
        tx.connection.execute(&sql, named_params! { ":run": run, ":stream": stream })?;
    }
    for (table, column) in [
        ("_windrow_rejects", "last_run_id"),
        ("_windrow_vanished", "run_id"),
        ("_windrow_superseded", "merged_by"),
        ("_windrow_schema_log", "run_id"),
        ("_windrow_adopted", "run_id"),
        ("_windrow_adoptions", "run_id"),
        ("_windrow_raw_pages", "run_id"),
        ("_windrow_run_fetches", "run_id"),
        ("_windrow_run_events", "run_id"),
    ] {
        tx.connection.execute(&format!("DELETE FROM {table} WHERE {}", before(column)), [run])?;
    }
    Ok(())
}

/// Where only some rows are given, nothing is that may speak of others.
fn forget_others(tx: &Tx<'_>, stream: &str) -> rusqlite::Result<()> {
    for table in [
        "_windrow_rejects",
        "_windrow_vanished",
        "_windrow_superseded",
        "_windrow_adopted",
        "_windrow_adoptions",
        "_windrow_raw_pages",
    ] {
        tx.connection.execute(
            &format!(
                "DELETE FROM {table} WHERE
            stream = :stream"
            ),
            named_params! { ":stream": stream },
        )?;
    }
    let sql = "INSERT OR IGNORE INTO _windrow_missing_runs (stream, run_id)
        SELECT :stream, run_id FROM _windrow_runs";
    tx.connection.execute(sql, named_params! { ":stream": stream })?;
    Ok(())
}

fn rename(tx: &Tx<'_>, naming: &Naming<'_>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO _windrow_lineage (archive_id, parent_id, handoff_id, at)
        SELECT :archive_id, value, :handoff_id, :at FROM _windrow_meta WHERE name = 'archive_id'";
    tx.connection.execute(
        sql,
        named_params! {
            ":archive_id": naming.archive_id,
            ":handoff_id": naming.handoff_id,
            ":at": naming.at,
        },
    )?;
    let sql = "UPDATE _windrow_meta SET value = :archive_id WHERE name = 'archive_id'";
    tx.connection.execute(sql, named_params! { ":archive_id": naming.archive_id }).map(|_| ())
}

impl Reader {
    /// Refuses an archive one of whose own tables somebody has altered: it would be taken for a
    /// table of theirs, and left out. `given` are the streams that matter.
    pub fn refuse_altered(&self, given: &[String]) -> Result<(), Error> {
        let format = check_identity(&self.connection, &self.path, self.formats())?;
        let altered = self.run(|connection| altered(connection, format, given))?;
        let Some((table, what)) = altered else { return Ok(()) };
        let message = format!("{}: the table `{table}` {what}", self.path.display());
        Err(Error::new(ErrorKind::Unusable, message).help(
            "make it again as it was (`ALTER TABLE … DROP COLUMN …` in the `sqlite3` shell), or \
             go back to a copy; your own columns have their place in a table of your own",
        ))
    }

    /// What a hand-off says of itself; none in an archive that is none, or was written to since.
    pub fn manifest(&self) -> Result<Option<String>, Error> {
        self.run(|connection| {
            let sql = "SELECT manifest FROM _windrow_manifest";
            connection.query_row(sql, [], only).optional()
        })
    }

    /// The marks of a stream's rows, as they were given: four bytes for each.
    pub fn manifest_marks(&self, stream: &str) -> Result<Vec<u8>, Error> {
        self.run(|connection| {
            let sql = "SELECT marks FROM _windrow_manifest_marks WHERE stream = :stream ORDER BY
                chunk";
            let mut statement = connection.prepare(sql)?;
            let chunks =
                statement.query_map(named_params! { ":stream": stream }, only::<Vec<u8>>)?;
            let chunks: Vec<Vec<u8>> = chunks.collect::<rusqlite::Result<_>>()?;
            Ok(chunks.concat())
        })
    }

    /// The run's name in every archive.
    pub fn run_uid(&self, run: i64) -> Result<Option<String>, Error> {
        self.run(|connection| {
            let sql = "SELECT uid FROM _windrow_runs WHERE run_id = :run";
            connection.query_row(sql, named_params! { ":run": run }, only).optional()
        })
    }

    /// What each copy that this one comes from was made of: its own id and its parent's, the
    /// latest first.
    pub fn lineage(&self) -> Result<Vec<(String, String)>, Error> {
        self.run(|connection| {
            let sql = "SELECT archive_id, parent_id FROM _windrow_lineage ORDER BY at DESC";
            let mut statement = connection.prepare(sql)?;
            let rows = statement
                .query_map([], |row| Ok((row.get("archive_id")?, row.get("parent_id")?)))?;
            rows.collect()
        })
    }

    /// Streams with the number of runs of whose work on them something is lacking.
    pub fn lacks(&self) -> Result<Vec<(String, u64)>, Error> {
        self.run(|connection| {
            let sql = "SELECT stream, count(*) AS rows FROM _windrow_missing_runs
                GROUP BY stream ORDER BY stream";
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get("stream")?, row.get("rows")?)))?;
            rows.collect()
        })
    }

    /// All tables but the streams' own and the manifest, each with the order in which its rows
    /// are told apart.
    pub fn other_tables(&self) -> Result<Vec<(String, Vec<String>)>, Error> {
        self.run(|connection| {
            let streams = names(connection, "SELECT stream FROM _windrow_streams")?;
            let mut all = Vec::new();
            for object in objects(connection)? {
                let name = object.name;
                let own = streams.contains(&name) || name.starts_with("_windrow_manifest");
                if object.kind != "table" || own {
                    continue;
                }
                let sql = "SELECT name FROM pragma_table_info(:name) WHERE pk > 0 ORDER BY pk";
                let mut statement = connection.prepare(sql)?;
                let mut order: Vec<String> = statement
                    .query_map(named_params! { ":name": &name }, only)?
                    .collect::<rusqlite::Result<_>>()?;
                if let Some(stream) = streams.iter().find(|s| history_name(s) == name) {
                    // The index of a history is in this order.
                    let stored = crate::store::table::stored_table(connection, stream)?;
                    order = stored.map(|(key, _)| key.columns()).unwrap_or_default();
                    order.push("_revision".to_owned());
                }
                all.push((name, order));
            }
            Ok(all)
        })
    }
}

/// What is given away is of the newest format.
fn refuse_older(path: &Path, format: ArchiveFormat) -> Error {
    let (version, newest) = (format.version(), FORMATS.newest().version());
    let message = format!("{} has format {version}, and this needs {newest}", path.display());
    let help = "`windrow sync --offline` brings it up to date, after a copy was set aside";
    Error::new(ErrorKind::Unusable, message).help(help)
}

/// Notes in an archive what was given away, beside whoever has it open: a short transaction.
pub fn note_given(path: &Path, given: &GivenNote<'_>, note: &str) -> Result<(), Error> {
    let (connection, format) = open_writer(path, FORMATS)?;
    if !format.is_newest() {
        return Err(refuse_older(path, format));
    }
    // An archive that was made one file has no log to share; then nobody else may have it.
    let mode: String = connection.query_row("PRAGMA journal_mode", [], only).map_err(at(path))?;
    let lock = match mode.eq_ignore_ascii_case("wal") {
        true => None,
        false => Some(take_lock(path, note)?),
    };
    let sql = "INSERT INTO _windrow_handoffs
        (direction, handoff_id, archive_id, at, file, sha256, summary)
        VALUES (:direction, :handoff_id, :archive_id, :at, :file, :sha256, :summary)";
    let naming = &given.naming;
    let values = named_params! {
        ":direction": HandoffDirection::Given.as_str(),
        ":handoff_id": naming.handoff_id,
        ":archive_id": naming.archive_id,
        ":at": naming.at,
        ":file": given.file,
        ":sha256": given.sha256,
        ":summary": given.summary,
    };
    let reader = Reader::over(connection, path, FORMATS);
    Tx::within(&reader, |tx| tx.run(|connection| connection.execute(sql, values)))?;
    drop(lock);
    Ok(())
}

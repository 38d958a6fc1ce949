//! Is an archive whole, and can it be made one file? What `doctor` asks and `eject` does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, named_params};

use crate::host::Files;
use crate::model::{Error, ErrorKind, Timestamp, instant_to_text};

use crate::store::error::at;
use crate::store::formats::{FORMATS, Formats};
use crate::store::open::{copy_log, open_writer, refuse_missing, take_lock};
use crate::store::place::refuse_directory;
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::sql::quote;

/// Damage that is told; one page that is gone can break thousands of references to it.
const DAMAGE_MAX: usize = 3;
/// How long `eject` lets a reader finish, milliseconds: a query of a person is done within that,
/// and who waits longer says so with `--wait`.
const READERS_WAIT_MS: u64 = 1000;

/// What SQLite says of an archive that it can open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// The version of its newest migration.
    pub format: i32,
    /// Streams that have a table.
    pub streams: u64,
    /// `wal`, or `delete` once it was ejected.
    pub journal_mode: String,
    /// What `PRAGMA quick_check` complains of.
    pub damage: Vec<String>,
    /// Rows whose `REFERENCES` lead nowhere.
    pub broken_references: u64,
    /// Fetches of the ledger that were asked for later than now.
    pub future_fetches: u64,
    /// The latest of those.
    pub latest_fetch: Option<String>,
}

/// An archive that is one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejected {
    /// Rows in the tables of its streams.
    pub rows: u64,
    /// Streams that have a table.
    pub streams: u64,
    /// The size of the file, bytes.
    pub bytes: u64,
}

impl Reader {
    /// Looks through the whole archive, which takes as long as reading it does.
    pub fn health(&self, now: Timestamp) -> Result<Health, Error> {
        examine(&self.connection, now).map_err(at(&self.path))
    }
}

fn examine(connection: &Connection, now: Timestamp) -> rusqlite::Result<Health> {
    let (future_fetches, latest_fetch) = connection.query_row(
        "SELECT count(*) AS number, max(requested_at) AS requested_at FROM _windrow_ledger WHERE
            requested_at > :now",
        named_params! { ":now": instant_to_text(now) },
        |row| Ok((row.get("number")?, row.get("requested_at")?)),
    )?;
    Ok(Health {
        format: connection.query_row("PRAGMA user_version", [], only)?,
        streams: connection.query_row("SELECT count(*) FROM _windrow_streams", [], only)?,
        journal_mode: connection.query_row("PRAGMA journal_mode", [], only)?,
        damage: damage(connection)?,
        broken_references: broken_references(connection)?,
        future_fetches,
        latest_fetch,
    })
}

fn damage(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA quick_check({DAMAGE_MAX})"))?;
    let rows = statement.query_map([], only::<String>)?;
    let mut damage: Vec<String> = rows.collect::<rusqlite::Result<_>>()?;
    damage.retain(|line| line != "ok");
    Ok(damage)
}

/// `quick_check` does not look at references.
fn broken_references(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    let mut number = 0;
    while rows.next()?.is_some() {
        number += 1;
    }
    Ok(number)
}

/// Makes the archive at `path` one file without a log beside it, on the disk and not only in the
/// system's memory. It stays an archive like any other: the next sync begins a new log.
pub fn eject(path: &Path, note: &str, names: &dyn Files) -> Result<Ejected, Error> {
    eject_with(path, note, names, FORMATS)
}

/// The same for a program that knows these formats.
pub fn eject_with(
    path: &Path,
    note: &str,
    names: &dyn Files,
    formats: Formats,
) -> Result<Ejected, Error> {
    refuse_directory(path)?;
    refuse_missing(path)?;
    let lock = take_lock(path, note)?;
    let (connection, _) = open_writer(path, formats)?;
    connection.busy_timeout(Duration::from_millis(READERS_WAIT_MS)).map_err(at(path))?;
    let (rows, streams) = count_rows(&connection).map_err(at(path))?;
    copy_log(&connection).map_err(|error| refused(path, error))?;
    leave_log(&connection, path)?;
    connection.close().map_err(|(_, error)| at(path)(error))?;
    refuse_companions(path)?;
    // Not before SQLite has let go: closing a handle of our own would drop its locks.
    names.make_durable(path).map_err(|error| Error::io(path, "flush", &error))?;
    let metadata = path.metadata().map_err(|error| Error::io(path, "look at", &error))?;
    drop(lock);
    Ok(Ejected { rows, streams, bytes: metadata.len() })
}

fn count_rows(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let mut statement = connection.prepare("SELECT stream FROM _windrow_streams")?;
    let names = statement.query_map([], only::<String>)?;
    let names: Vec<String> = names.collect::<rusqlite::Result<_>>()?;
    let mut rows = 0;
    for name in &names {
        let sql = format!("SELECT count(*) FROM {}", quote(name));
        rows += connection.query_row(&sql, [], only::<u64>)?;
    }
    Ok((rows, names.len() as u64))
}

fn leave_log(connection: &Connection, path: &Path) -> Result<(), Error> {
    let mode = connection
        .query_row("PRAGMA journal_mode = DELETE", [], only::<String>)
        .map_err(|error| refused(path, error))?;
    // SQLite may keep the old mode without an error where it cannot change it.
    if mode.eq_ignore_ascii_case("delete") { Ok(()) } else { Err(in_the_way(path)) }
}

fn refused(path: &Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => in_the_way(path),
        _ => at(path)(error),
    }
}

fn in_the_way(path: &Path) -> Error {
    let message = format!("another program has the archive {} open", path.display());
    let help = "close it (an `sqlite3` shell, a notebook, a viewer), or wait with `--wait 1m`";
    Error::new(ErrorKind::Held, message).help(help)
}

/// Trusts nobody that the file is alone.
fn refuse_companions(path: &Path) -> Result<(), Error> {
    for ending in ["-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        let companion = PathBuf::from(name);
        if companion.exists() {
            let message = format!("{} is still there", companion.display());
            return Err(Error::new(ErrorKind::Held, message)
                .help("another program has the archive open: close it and run this again"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SystemFiles;
    use crate::store::Archive;
    use crate::store::open::Opening;

    fn new_archive() -> (tempfile::TempDir, PathBuf, Archive) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let files = &SystemFiles;
        let opening = Opening { note: "test", now: "now", allow_network_fs: false, files };
        let archive = Archive::open(&path, &opening).expect("a new archive");
        (folder, path, archive)
    }

    fn now() -> Timestamp {
        crate::model::instant_from_text("2026-01-10T12:00:00Z").expect("an instant")
    }

    #[test]
    fn a_new_archive_is_healthy_and_what_is_wrong_with_it_is_counted() {
        let (_folder, path, archive) = new_archive();
        let reader = Reader::open(&path).expect("a reader");
        let expected = Health { format: 1, journal_mode: "wal".to_owned(), ..Health::default() };
        assert_eq!(reader.health(now()).expect("it can be looked at"), expected);
        let wrong = "PRAGMA foreign_keys = OFF;
            INSERT INTO _windrow_run_streams (run_id, stream, windows_completed, received, inserted,
                updated, unchanged, skipped, rejected, out_of_window)
             VALUES (99, 's', 0, 0, 0, 0, 0, 0, 0, 0);";
        archive.connection.execute_batch(wrong).expect(wrong);
        let health = reader.health(now()).expect("it can be looked at");
        assert_eq!((health.broken_references, health.damage.len()), (1, 0));
    }

    #[test]
    fn an_ejected_archive_is_one_file_and_goes_back_to_a_log() {
        let (folder, path, archive) = new_archive();
        let files = &SystemFiles;
        let held = eject(&path, "test", files).expect_err("it is held");
        assert_eq!(held.kind, ErrorKind::Held);
        archive.close().expect("closed");
        let reader = Reader::open(&path).expect("a reader");
        let error = eject(&path, "test", files).expect_err("a reader is in the way");
        assert_eq!(error.kind, ErrorKind::Held, "{error}");
        drop(reader);
        let ejected = eject(&path, "test", files).expect("nobody is in the way");
        assert_eq!((ejected.rows, ejected.streams), (0, 0));
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("the folder")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["a.db", "a.db-lock"]);
        let mode = || Reader::open(&path).expect("a reader").health(now()).map(|h| h.journal_mode);
        assert_eq!(mode().expect("a mode"), "delete");
        eject(&path, "test", files).expect("twice is no harm");
        let opening = Opening { note: "test", now: "now", allow_network_fs: false, files };
        let _archive = Archive::open(&path, &opening).expect("an archive like any other");
        assert_eq!(mode().expect("a mode"), "wal");
    }
}

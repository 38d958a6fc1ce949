//! Opening an archive: what is refused, and with which settings the rest is opened.
//!
//! The settings are those of docs/contract.md, section 10: `synchronous=EXTRA` before WAL, so that
//! what was called complete survives a power cut even on a stick that reorders its writes.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, OptionalExtension, named_params};

use crate::host::Files;
use crate::host::files::{self, FileLock, LockError, lock_path};

use crate::model::{Command, Error, ErrorKind, Timestamp, instant_to_text};
use crate::store::error::{at, classify};
use crate::store::formats::{ArchiveFormat, Formats};
use crate::store::place::{look_at, refuse_left_log};
use crate::store::row::only;
use crate::store::stops::end_with_process;

/// "WROW": tells windrow's archives from other programs' SQLite files.
pub const APPLICATION_ID: i32 = 0x5752_4f57;
/// SQLite's page cache, KiB. Bounds windrow's memory whatever the archive's size.
const CACHE_KIB: i64 = 24 * 1024;
/// Pages in the log before it is copied into the file: 32 MiB, so that a page that many rows
/// change is copied once.
const CHECKPOINT_PAGES: i64 = 8192;
/// 3.51.3 is the first release without the WAL-reset corruption.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// What the next one is told about who holds an archive, or may send for it.
pub fn holder_note(command: Command, now: Timestamp) -> String {
    let now = instant_to_text(now);
    format!("process {} (windrow {command}) since {now}", std::process::id())
}

/// How an archive is opened for writing.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// What the next one is told about who holds it.
    pub note: &'a str,
    /// The time that is written into a new archive.
    pub now: &'a str,
    /// Whether a network file system is taken all the same.
    pub allow_network_fs: bool,
    /// Names and removals, made durable.
    pub files: &'a dyn Files,
}

/// Whether the SQLite in this program is free of known corruption bugs.
pub fn sqlite_is_sound() -> bool {
    rusqlite::version_number() >= SQLITE_VERSION_MIN
}

/// Opens the archive at `path` for writing, or makes it; with the lock, which one writer holds.
pub(super) fn open_or_make(
    path: &Path,
    opening: &Opening<'_>,
    formats: Formats,
) -> Result<(Connection, FileLock), Error> {
    let Opening { note, now, allow_network_fs, files: names } = *opening;
    if !sqlite_is_sound() {
        let message = format!("SQLite {} can damage archives", rusqlite::version());
        return Err(Error::new(ErrorKind::Bug, message).help("build windrow with its own"));
    }
    look_at(path)?;
    if let Some(kind) = files::network_file_system(path).filter(|_| !allow_network_fs) {
        let message = format!("{} is on a network file system ({kind})", path.display());
        let help = "keep the archive on a local disk, or set `allow_network_fs = true`";
        return Err(Error::new(ErrorKind::Storage, message).help(help));
    }
    let lock = take_lock(path, note)?;
    remove_drafts(path, names);
    if !path.exists() {
        refuse_left_log(path)?;
        create(path, now, names, formats.newest())?;
    } else if let Err(error) = names.keep_name(path) {
        return Err(Error::io(path, "keep the name of", &error));
    }
    let (mut connection, format) = open_writer(path, formats)?;
    set_wal(&connection, path)?;
    remove_dead_journal(path, names);
    if !format.is_newest() {
        set_copy_aside(&connection, path, format, names)?;
        formats.newest().bring(&mut connection, path)?;
    }
    Ok((connection, lock))
}

/// Opens an archive that is there for writing, and says which format it has. The caller holds the
/// lock.
pub(crate) fn open_writer(
    path: &Path,
    formats: Formats,
) -> Result<(Connection, ArchiveFormat), Error> {
    look_at(path)?;
    refuse_empty(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(at(path))?;
    configure(&mut connection).map_err(at(path))?;
    if connection.is_readonly("main").map_err(at(path))? {
        let message = format!("the archive is read-only: {}", path.display());
        let help = "make the file writable, or copy it elsewhere";
        return Err(Error::new(ErrorKind::Storage, message).help(help));
    }
    let format = check_identity(&connection, path, formats)?;
    refuse_impostors(&connection, path)?;
    Ok((connection, format))
}

pub(crate) fn refuse_missing(path: &Path) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    let message = format!("there is no archive at {}", path.display());
    let help = "run `windrow sync` first, or name the archive with --archive";
    Err(Error::new(ErrorKind::Unusable, message).help(help))
}

/// Opens the archive at `path` for reading; never changes anything.
pub(crate) fn open_reader(path: &Path, formats: Formats) -> Result<Connection, Error> {
    look_at(path)?;
    refuse_missing(path)?;
    refuse_empty(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(at(path))?;
    let connection = match look_in(&mut connection) {
        Ok(()) => connection,
        // A crash in the middle of a change of journal mode: what was begun is first taken back,
        // as any program does that opens the file for writing.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly) => {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut healing = Connection::open_with_flags(path, flags).map_err(at(path))?;
            look_in(&mut healing).map_err(at(path))?;
            drop(healing);
            look_in(&mut connection).map_err(at(path))?;
            connection
        }
        // On read-only media there is no place for the log's index; the file itself is whole.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) => {
            open_immutable(path)?
        }
        Err(error) => return Err(at(path)(error)),
    };
    check_identity(&connection, path, formats)?;
    refuse_impostors(&connection, path)?;
    Ok(connection)
}

fn look_in(connection: &mut Connection) -> rusqlite::Result<()> {
    configure(connection)?;
    let sql = "SELECT count(*) FROM sqlite_schema";
    connection.query_row(sql, [], only::<i64>).map(|_| ())
}

/// The address of a file, for what SQLite takes only there.
pub(crate) fn sqlite_address(path: &Path) -> Result<url::Url, Error> {
    let full = path.canonicalize().map_err(|e| Error::io(path, "open", &e))?;
    url::Url::from_file_path(&full)
        .map_err(|()| Error::new(ErrorKind::Storage, format!("cannot open {}", path.display())))
}

fn open_immutable(path: &Path) -> Result<Connection, Error> {
    let address = sqlite_address(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let uri = format!("{address}?immutable=1");
    let mut connection = Connection::open_with_flags(uri, flags).map_err(at(path))?;
    configure(&mut connection).map_err(at(path))?;
    Ok(connection)
}

pub(crate) fn take_lock(path: &Path, note: &str) -> Result<FileLock, Error> {
    look_at(path)?;
    files::try_lock(&lock_path(path), note).map_err(|error| match error {
        LockError::Held { note } => {
            let holder = if note.is_empty() { "another process".to_owned() } else { note };
            let message = format!("the archive {} is held by {holder}", path.display());
            Error::new(ErrorKind::Held, message)
                .help("wait until it is done (`--wait 5m` does), or stop it")
        }
        LockError::Io(error) => {
            let error = Error::io(&lock_path(path), "lock", &error);
            match error.kind {
                ErrorKind::Unsafe => error,
                _ => error.help("the archive's folder must exist and be writable"),
            }
        }
    })
}

fn draft_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-new");
    PathBuf::from(name)
}

/// What a killed run left of its draft is no archive; nothing else has this name.
fn remove_drafts(path: &Path, names: &dyn Files) {
    for rest in ["", "-wal", "-shm", "-journal"] {
        let mut name = draft_path(path).into_os_string();
        name.push(rest);
        let left = PathBuf::from(name);
        if left.symlink_metadata().is_ok() {
            // One that cannot be removed is in the way of a new archive alone, which says so.
            let _ = names.remove(&left);
        }
    }
}

/// A change to or from WAL that was cut off may leave a rollback journal without a valid header.
/// SQLite takes nothing back from it, and does not remove it either. With the archive open in WAL
/// mode nobody else can be at such a change, and a journal that matters was taken back already.
fn remove_dead_journal(path: &Path, names: &dyn Files) {
    let mut name = path.as_os_str().to_owned();
    name.push("-journal");
    let left = PathBuf::from(name);
    if left.exists() {
        // It does no harm where it cannot be removed.
        let _ = names.remove(&left);
    }
}

/// Makes the file itself, for its owner alone: SQLite takes an empty one, and would follow a link.
fn make_draft(draft: &Path) -> Result<(), Error> {
    let made = files::create_private(draft).map(drop);
    made.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let message = format!("{} is in the way and cannot be removed", draft.display());
            let help = "find out who made it, and remove it, or use a folder of your own";
            Error::new(ErrorKind::Unsafe, message).help(help)
        }
        _ => Error::io(draft, "make", &error),
    })
}

/// Makes a new archive under another name and moves it into place whole, so that a crash leaves
/// an archive or none, and never half of one.
fn create(path: &Path, now: &str, names: &dyn Files, format: ArchiveFormat) -> Result<(), Error> {
    let draft = draft_path(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    make_draft(&draft)?;
    let mut connection = Connection::open_with_flags(&draft, flags).map_err(at(path))?;
    configure(&mut connection).map_err(at(path))?;
    set_wal(&connection, path)?;
    format.bring(&mut connection, path)?;
    connection
        .execute(
            "INSERT INTO _windrow_meta (name, value) VALUES ('created_at',
            :now)",
            named_params! { ":now": now },
        )
        .map_err(at(path))?;
    // Closing copies the log into the file too, but is silent when that fails; only the file gets
    // the final name.
    copy_log(&connection).map_err(at(path))?;
    connection.close().map_err(|(_, error)| at(path)(error))?;
    names.publish(&draft, path).map_err(|e| Error::io(path, "make", &e))
}

/// SQLite takes an empty file for a new database.
///
/// The file is not opened here: closing a handle of our own would drop the POSIX locks that another
/// connection of this process holds on it, and the next program to close the file would take the
/// log away under a running sync.
pub(crate) fn refuse_empty(path: &Path) -> Result<(), Error> {
    let length = path.metadata().map_err(|e| Error::io(path, "read", &e))?.len();
    if length > 0 {
        return Ok(());
    }
    let message =
        format!("{} is empty: an archive was cut off here, or never was one", path.display());
    let help = "go back to a copy, or remove the file to start a new archive";
    Err(Error::new(ErrorKind::Unusable, message).help(help))
}

/// Refuses what is no archive, and one of a format that is none of these. Gives its format.
pub(crate) fn check_identity(
    connection: &Connection,
    path: &Path,
    formats: Formats,
) -> Result<ArchiveFormat, Error> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], only::<i32>);
    let id = pragma("application_id").map_err(at(path))?;
    let version = pragma("user_version").map_err(at(path))?;
    let name = path.display();
    if id != APPLICATION_ID {
        let message = format!("{name} is another program's SQLite file, not a windrow archive");
        return Err(Error::new(ErrorKind::Unusable, message).help("name another archive path"));
    }
    formats.known(version).ok_or_else(|| {
        let message = format!(
            "{name} is from a newer windrow: its format is {version}, this program knows up to {}",
            formats.newest().version()
        );
        Error::new(ErrorKind::Unusable, message).help("use the newer windrow")
    })
}

/// Refuses an archive in which something else has the place of a table of windrow's.
fn refuse_impostors(connection: &Connection, path: &Path) -> Result<(), Error> {
    let name = path.display();
    if let Some((kind, impostor)) = impostor(connection).map_err(at(path))? {
        let message = format!("{name}: `{impostor}` is a {kind} where windrow's own table must be");
        let help = "somebody has altered the archive: go back to a copy, or ask for a hand-off";
        return Err(Error::new(ErrorKind::Unsafe, message).help(help));
    }
    Ok(())
}

/// The first view or virtual table that has the name of a table of windrow's: reading it would run
/// what somebody else wrote. Its kind and its name.
fn impostor(connection: &Connection) -> rusqlite::Result<Option<(String, String)>> {
    const KIND: &str = "CASE WHEN type = 'view' THEN 'view'
        WHEN type = 'table' AND sql LIKE 'CREATE VIRTUAL%' THEN 'virtual table' END";
    let first = |sql: String| {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get("kind")?, row.get("name")?));
        connection.query_row(&sql, [], row).optional()
    };
    let own = first(format!(
        "SELECT {KIND} AS kind, name FROM sqlite_schema
         WHERE lower(name) GLOB '_windrow_*' AND kind IS NOT NULL ORDER BY name"
    ))?;
    if own.is_some() {
        return Ok(own);
    }
    let listed = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_windrow_streams'";
    if !connection.prepare(listed)?.exists([])? {
        return Ok(None);
    }
    first(format!(
        "SELECT {KIND} AS kind, name FROM sqlite_schema
         WHERE kind IS NOT NULL AND EXISTS (SELECT 1 FROM _windrow_streams
           WHERE lower(name) IN (lower(stream), lower(stream || '_history')))
         ORDER BY name"
    ))
}

/// The settings of every connection to an archive.
fn configure(connection: &mut Connection) -> rusqlite::Result<()> {
    end_with_process(connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Nothing in the file runs: what windrow writes is what the source said, and a trigger or a
    // view of somebody else's could make it something else. windrow's own triggers are temporary
    // ones, which this does not concern.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(&format!(
        "PRAGMA synchronous = EXTRA;
         PRAGMA cell_size_check = ON;
         PRAGMA mmap_size = 0;
         PRAGMA cache_size = -{CACHE_KIB};
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;"
    ))
}

fn set_wal(connection: &Connection, path: &Path) -> Result<(), Error> {
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], only).map_err(at(path))?;
    // SQLite keeps the old mode without an error where it cannot change it.
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    let message = format!("SQLite cannot keep a write-ahead log beside {}", path.display());
    Err(Error::new(ErrorKind::Storage, message).help("move the archive to a local disk"))
}

/// Copies the whole log into the file and empties it.
pub(crate) fn copy_log(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let (busy, left): (i64, i64) =
        connection.query_row(sql, [], |row| Ok((row.get("busy")?, row.get("log")?)))?;
    if busy == 0 && left <= 0 {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    Err(rusqlite::Error::SqliteFailure(code, Some("a reader is in the way".to_owned())))
}

impl ArchiveFormat {
    /// Brings an archive to this format, in one transaction.
    pub(crate) fn bring(self, connection: &mut Connection, path: &Path) -> Result<(), Error> {
        self.run(connection).map_err(|error| {
            if let refinery_core::error::Kind::Connection(_, cause) = error.kind()
                && let Some(cause) = cause.downcast_ref()
            {
                return classify(path, cause);
            }
            let name = path.display();
            let message = format!("cannot bring {name} to this version's format: {error}");
            Error::new(ErrorKind::Bug, message).help("keep the file as it is, and tell us")
        })
    }
}

/// Keeps a copy of an older archive before it is migrated.
fn set_copy_aside(
    connection: &Connection,
    path: &Path,
    format: ArchiveFormat,
    names: &dyn Files,
) -> Result<PathBuf, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-before-format-{}", format.version() + 1));
    let copy = PathBuf::from(name);
    let text = copy
        .to_str()
        .ok_or_else(|| Error::new(ErrorKind::Storage, "the archive's path is not Unicode text"))?;
    if !copy.exists() {
        let mut draft = copy.as_os_str().to_owned();
        draft.push("-new");
        let draft = PathBuf::from(draft);
        let _ = names.remove(&draft);
        make_draft(&draft)?;
        // VACUUM INTO attaches the copy while it writes it; nothing else may attach anything.
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1).map_err(at(path))?;
        let copied = connection
            .execute("VACUUM INTO :format", named_params! { ":format": format!("{text}-new") });
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0).map_err(at(path))?;
        copied.map_err(at(path))?;
        names.publish(&draft, &copy).map_err(|e| Error::io(&copy, "make", &e))?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SystemFiles;
    use crate::store::formats::tests::LATER;
    use crate::store::formats::{FORMATS, Migration};
    use crate::store::{Archive, Reader};

    const TEST: Opening<'_> =
        Opening { note: "test", now: "now", allow_network_fs: false, files: &SystemFiles };

    #[test]
    fn the_bundled_sqlite_is_free_of_the_wal_reset_corruption() {
        assert!(sqlite_is_sound());
    }

    #[test]
    fn a_new_archive_is_durable_private_and_windrows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let archive = Archive::open(&path, &TEST).expect("a new archive");
        let text = |sql: &str| -> String {
            archive.connection.query_row(sql, [], |row| row.get(0)).expect(sql)
        };
        let number = |sql: &str| -> i64 {
            archive.connection.query_row(sql, [], |row| row.get(0)).expect(sql)
        };
        assert_eq!(text("PRAGMA journal_mode"), "wal");
        assert_eq!(number("PRAGMA synchronous"), 3, "EXTRA");
        assert_eq!(number("PRAGMA application_id"), i64::from(APPLICATION_ID));
        assert_eq!(number("PRAGMA user_version"), i64::from(FORMATS.newest().version()));
        let strict = "SELECT count(*) FROM pragma_table_list
            WHERE name LIKE '\\_windrow\\_%' ESCAPE '\\' AND strict = 0
              AND name <> '_windrow_migrations'";
        assert_eq!(number(strict), 0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).expect("the file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_draft_that_a_killed_run_left_does_not_hinder_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        std::fs::write(folder.path().join("a.db-new"), b"half").expect("a draft");
        Archive::open(&path, &TEST).expect("a new archive").close().expect("closed");
        let names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("the folder")
            .flatten()
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .collect();
        assert!(!names.iter().any(|name| name.contains("-new")), "{names:?}");
    }

    /// An archive of this windrow's format, for a later windrow to open, and its path.
    fn older() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        Archive::open(&path, &TEST).expect("a new archive").close().expect("closed");
        (folder, path)
    }

    fn format(connection: &Connection) -> String {
        let sql = "SELECT value FROM _windrow_meta WHERE name = 'format'";
        connection.query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    #[test]
    fn an_older_archive_is_copied_and_then_migrated() {
        let (folder, path) = older();
        let was = Reader::open(&path).expect("a reader").archive_id().expect("a name");
        let archive = Archive::open_with(&path, &TEST, LATER).expect("an older archive");
        assert_eq!(format(&archive.connection), "2");
        let now = archive.reopen().expect("a reader").archive_id().expect("a name");
        assert_eq!((now.len(), now), (32, was));
        let copy = folder.path().join("a.db-before-format-2");
        let copy = open_reader(&copy, FORMATS).expect("a copy");
        assert_eq!(format(&copy), "1", "the copy is what was there");
        archive.close().expect("closed");
        let again = Archive::open_with(&path, &TEST, LATER).expect("it is of this format now");
        assert_eq!(format(&again.connection), "2");
        again.close().expect("closed");
        for refused in [Archive::open(&path, &TEST).err(), Reader::open(&path).err()] {
            let error = refused.expect("it is of a newer format");
            assert_eq!(error.kind, ErrorKind::Unusable, "{error}");
            let end = "its format is 2, this program knows up to 1";
            assert!(error.message.ends_with(end), "{error}");
        }
    }

    #[test]
    fn a_migration_that_fails_leaves_the_archive_and_the_copy_as_they_were() {
        const BROKEN: Formats = Formats(&[
            FORMATS.0[0],
            Migration {
                name: "V2__broken",
                sql: "PRAGMA user_version = 2; CREATE TABLE _windrow_half (a TEXT) STRICT;
                    UPDATE _windrow_meta SET value = '2' WHERE name = 'format';
                    INSERT INTO _windrow_nowhere VALUES (1)",
            },
        ]);
        let (folder, path) = older();
        let error = Archive::open_with(&path, &TEST, BROKEN).err().expect("it cannot be brought");
        assert!(error.message.contains("cannot bring") || error.kind == ErrorKind::Bug, "{error}");
        for name in ["a.db", "a.db-before-format-2"] {
            let connection = open_reader(&folder.path().join(name), FORMATS).expect(name);
            assert_eq!(format(&connection), "1", "{name}");
            let sql = "SELECT count(*) FROM sqlite_schema WHERE name = '_windrow_half'";
            let made: i64 = connection.query_row(sql, [], |row| row.get(0)).expect(sql);
            assert_eq!(made, 0, "{name}");
        }
        Archive::open_with(&path, &TEST, LATER).expect("it can still be brought");
    }

    #[test]
    fn a_reader_takes_an_older_archive_as_it_is_and_says_what_it_lacks() {
        let (folder, path) = older();
        let before = std::fs::read(&path).expect("the file");
        let reader = Reader::open_with(&path, LATER).expect("an older archive is read");
        assert_eq!(reader.runs(9).expect("runs").len(), 0);
        let later = |connection: &Connection| {
            let sql = "SELECT count(*) FROM _windrow_later";
            connection.query_row(sql, [], |row| row.get::<_, i64>(0))
        };
        let error = reader.run(later).expect_err("what came later is not there");
        assert_eq!(error.kind, ErrorKind::Unusable, "{error}");
        assert!(error.message.ends_with("has format 1, and this needs 2"), "{error}");
        drop(reader);
        assert_eq!(std::fs::read(&path).expect("the file"), before);
        assert!(!folder.path().join("a.db-before-format-2").exists());
    }
}

//! Opening an archive: what is refused, and with which settings the rest is opened.
//!
//! The settings are those of SPEC.md, section 10: `synchronous=EXTRA` before WAL, so that what
//! was called complete survives a power cut even on a stick that reorders its writes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::host::files::{self, FileLock, LockError, lock_path};

use super::error::{ArchiveError, Cause, at};

/// "WROW": tells windrow's archives from other programs' SQLite files.
pub const APPLICATION_ID: i32 = 0x5752_4f57;
/// The version of the newest migration.
pub const SCHEMA_VERSION: i32 = 1;
/// How long a statement waits for another program's lock, seconds: a person at an `sqlite3`
/// shell commits within that.
const BUSY_SECONDS: u64 = 10;
/// SQLite's page cache, KiB. Bounds windrow's memory whatever the archive's size.
const CACHE_KIB: i64 = 24 * 1024;
/// Pages in the log before it is copied into the file: 32 MiB, so that a page that many rows
/// change is copied once.
const CHECKPOINT_PAGES: i64 = 8192;
/// 3.51.3 is the first release without the WAL-reset corruption.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// An archive that is open for writing. Holds the lock: there is one writer.
pub struct Archive {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    _lock: FileLock,
}

/// Whether the SQLite in this program is free of known corruption bugs.
pub fn sqlite_is_sound() -> bool {
    rusqlite::version_number() >= SQLITE_VERSION_MIN
}

impl Archive {
    /// Opens the archive at `path` for writing, or makes it. `note` tells the next one who holds
    /// it; `now` is written into a new archive.
    pub fn open(
        path: &Path,
        note: &str,
        now: &str,
        allow_network_fs: bool,
    ) -> Result<Self, ArchiveError> {
        if !sqlite_is_sound() {
            let message = format!("SQLite {} can damage archives", rusqlite::version());
            return Err(ArchiveError::new(Cause::Bug, message).cure("build windrow with its own"));
        }
        refuse_directory(path)?;
        if let Some(kind) = files::network_file_system(path).filter(|_| !allow_network_fs) {
            let message = format!("{} is on a network file system ({kind})", path.display());
            let cure = "keep the archive on a local disk, or set `allow_network_fs = true`";
            return Err(ArchiveError::new(Cause::Storage, message).cure(cure));
        }
        let lock = take_lock(path, note)?;
        if !path.exists() {
            create(path, now)?;
        }
        inspect_header(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(at(path))?;
        configure(&connection).map_err(at(path))?;
        if connection.is_readonly("main").map_err(at(path))? {
            let message = format!("the archive is read-only: {}", path.display());
            let cure = "make the file writable, or copy it elsewhere";
            return Err(ArchiveError::new(Cause::Storage, message).cure(cure));
        }
        let version = check_identity(&connection, path)?;
        set_wal(&connection, path)?;
        if version < SCHEMA_VERSION {
            set_copy_aside(&connection, path, version)?;
            migrate(&mut connection, path)?;
        }
        Ok(Self { connection, path: path.to_owned(), _lock: lock })
    }

    /// The archive's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the log into the file, so that it is one file again.
    pub fn close(self) -> Result<(), ArchiveError> {
        self.connection.close().map_err(|(_, error)| at(&self.path)(error))
    }
}

/// Opens the archive at `path` for reading; never changes anything.
pub(super) fn open_reader(path: &Path) -> Result<Connection, ArchiveError> {
    refuse_directory(path)?;
    if !path.exists() {
        let message = format!("there is no archive at {}", path.display());
        let cure = "run `windrow sync` first, or name the archive with --archive";
        return Err(ArchiveError::new(Cause::Unusable, message).cure(cure));
    }
    inspect_header(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(at(path))?;
    let readable = configure(&connection).and_then(|()| {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    });
    let connection = match readable {
        Ok(_) => connection,
        // On read-only media there is no place for the log's index; the file itself is whole.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) => {
            open_immutable(path)?
        }
        Err(error) => return Err(at(path)(error)),
    };
    check_identity(&connection, path)?;
    Ok(connection)
}

fn open_immutable(path: &Path) -> Result<Connection, ArchiveError> {
    let full = path.canonicalize().map_err(|e| ArchiveError::io(path, "open", &e))?;
    let address = url::Url::from_file_path(&full).map_err(|()| {
        ArchiveError::new(Cause::Storage, format!("cannot open {}", path.display()))
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let uri = format!("{address}?immutable=1");
    let connection = Connection::open_with_flags(uri, flags).map_err(at(path))?;
    configure(&connection).map_err(at(path))?;
    Ok(connection)
}

fn refuse_directory(path: &Path) -> Result<(), ArchiveError> {
    if path.is_dir() {
        let message = format!("the archive's path is a directory: {}", path.display());
        return Err(ArchiveError::new(Cause::Unusable, message).cure("name a file in it"));
    }
    Ok(())
}

fn take_lock(path: &Path, note: &str) -> Result<FileLock, ArchiveError> {
    files::try_lock(&lock_path(path), note).map_err(|error| match error {
        LockError::Held { note } => {
            let holder = if note.is_empty() { "another process".to_owned() } else { note };
            let message = format!("the archive {} is held by {holder}", path.display());
            ArchiveError::new(Cause::Held, message)
                .cure("wait until it is done (`--wait 5m` does), or stop it")
        }
        LockError::Io(error) => ArchiveError::io(&lock_path(path), "lock", &error)
            .cure("the archive's folder must exist and be writable"),
    })
}

/// Makes a new archive under another name and moves it into place whole, so that a crash leaves
/// an archive or none, and never half of one.
fn create(path: &Path, now: &str) -> Result<(), ArchiveError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-new");
    let draft = PathBuf::from(name);
    for rest in ["", "-wal", "-shm", "-journal"] {
        let mut name = draft.as_os_str().to_owned();
        name.push(rest);
        // What a killed run left of its draft is no archive; nothing else has this name.
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&draft, flags).map_err(at(path))?;
    files::make_private(&draft).map_err(|e| ArchiveError::io(&draft, "protect", &e))?;
    configure(&connection).map_err(at(path))?;
    set_wal(&connection, path)?;
    migrate(&mut connection, path)?;
    connection
        .execute("INSERT INTO _windrow_meta (name, value) VALUES ('created_at', ?1)", [now])
        .map_err(at(path))?;
    connection.close().map_err(|(_, error)| at(path)(error))?;
    files::publish(&draft, path).map_err(|e| ArchiveError::io(path, "make", &e))
}

/// Looks at the first bytes before SQLite does: SQLite takes an empty file for a new database.
fn inspect_header(path: &Path) -> Result<(), ArchiveError> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(16).read_to_end(&mut head))
        .map_err(|error| ArchiveError::io(path, "read", &error))?;
    let name = path.display();
    if head.is_empty() {
        let message = format!("{name} is empty: an archive was cut off here, or never was one");
        let cure = "go back to a copy, or remove the file to start a new archive";
        return Err(ArchiveError::new(Cause::Unusable, message).cure(cure));
    }
    if head != b"SQLite format 3\0" {
        let message = format!("{name} is not an SQLite file");
        return Err(ArchiveError::new(Cause::Unusable, message).cure("name another archive path"));
    }
    Ok(())
}

fn check_identity(connection: &Connection, path: &Path) -> Result<i32, ArchiveError> {
    let pragma = |name: &str| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0))
    };
    let id = pragma("application_id").map_err(at(path))?;
    let version = pragma("user_version").map_err(at(path))?;
    let name = path.display();
    if id != APPLICATION_ID {
        let message = format!("{name} is another program's SQLite file, not a windrow archive");
        return Err(ArchiveError::new(Cause::Unusable, message).cure("name another archive path"));
    }
    if version > SCHEMA_VERSION {
        let message = format!(
            "{name} is from a newer windrow: its format is {version}, this program knows up to \
             {SCHEMA_VERSION}"
        );
        return Err(ArchiveError::new(Cause::Unusable, message).cure("use the newer windrow"));
    }
    Ok(version)
}

/// The settings of every connection to an archive.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(BUSY_SECONDS))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
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

fn set_wal(connection: &Connection, path: &Path) -> Result<(), ArchiveError> {
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(at(path))?;
    // SQLite keeps the old mode without an error where it cannot change it.
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    let message = format!("SQLite cannot keep a write-ahead log beside {}", path.display());
    Err(ArchiveError::new(Cause::Storage, message).cure("move the archive to a local disk"))
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), ArchiveError> {
    let mut runner = embedded::migrations::runner().set_grouped(true);
    runner.set_migration_table_name("_windrow_migrations");
    runner.run(connection).map(|_| ()).map_err(|error| {
        let message = format!("cannot bring {} to this version's format: {error}", path.display());
        ArchiveError::new(Cause::Storage, message)
    })
}

/// Keeps a copy of an older archive before it is migrated.
fn set_copy_aside(
    connection: &Connection,
    path: &Path,
    version: i32,
) -> Result<PathBuf, ArchiveError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-before-format-{}", version + 1));
    let copy = PathBuf::from(name);
    let text = copy.to_str().ok_or_else(|| {
        ArchiveError::new(Cause::Storage, "the archive's path is not Unicode text")
    })?;
    if !copy.exists() {
        let mut draft = copy.as_os_str().to_owned();
        draft.push("-new");
        let draft = PathBuf::from(draft);
        let _ = std::fs::remove_file(&draft);
        // VACUUM INTO attaches the copy while it writes it; nothing else may attach anything.
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1).map_err(at(path))?;
        let copied = connection.execute("VACUUM INTO ?1", [format!("{text}-new")]);
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0).map_err(at(path))?;
        copied.map_err(at(path))?;
        files::publish(&draft, &copy).map_err(|e| ArchiveError::io(&copy, "make", &e))?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_sqlite_is_free_of_the_wal_reset_corruption() {
        assert!(sqlite_is_sound());
    }

    #[test]
    fn a_new_archive_is_durable_private_and_windrows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let archive = Archive::open(&path, "test", "now", false).expect("a new archive");
        let text = |sql: &str| -> String {
            archive.connection.query_row(sql, [], |row| row.get(0)).expect(sql)
        };
        let number = |sql: &str| -> i64 {
            archive.connection.query_row(sql, [], |row| row.get(0)).expect(sql)
        };
        assert_eq!(text("PRAGMA journal_mode"), "wal");
        assert_eq!(number("PRAGMA synchronous"), 3, "EXTRA");
        assert_eq!(number("PRAGMA application_id"), i64::from(APPLICATION_ID));
        assert_eq!(number("PRAGMA user_version"), i64::from(SCHEMA_VERSION));
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
        Archive::open(&path, "test", "now", false).expect("a new archive").close().expect("closed");
        let names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("the folder")
            .flatten()
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .collect();
        assert!(!names.iter().any(|name| name.contains("-new")), "{names:?}");
    }

    #[test]
    fn an_older_archive_is_copied_before_it_is_migrated() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let archive = Archive::open(&path, "test", "now", false).expect("a new archive");
        let copy = set_copy_aside(&archive.connection, &path, 0).expect("a copy");
        assert_eq!(copy, folder.path().join("a.db-before-format-1"));
        let reader = open_reader(&copy).expect("the copy is an archive");
        let format = "SELECT value FROM _windrow_meta WHERE name = 'format'";
        let format: String = reader.query_row(format, [], |row| row.get(0)).expect("its format");
        assert_eq!(format, "1");
    }
}

//! What can be wrong with an archive, told apart by what a person does about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::model::{Error, ErrorKind};

use crate::store::diagnosis::{DAMAGED_HELP, not_as_made, oddity};
use crate::store::refused::refused_operation;
use crate::store::stops::was_ended;

/// Turns an SQLite error on the archive at `path` into one that a person can act on.
pub(crate) fn at(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |error| classify(&path, &error)
}

/// The error that [`at`] makes of an SQLite error.
pub(crate) fn classify(path: &Path, error: &rusqlite::Error) -> Error {
    if was_ended(error) {
        return Error::ended();
    }
    let name = path.display();
    let code = error.sqlite_error_code();
    let error_of = |kind, what: &str| Error::new(kind, format!("{what}: {name} ({error})"));
    match code {
        Some(ErrorCode::DiskFull) => error_of(ErrorKind::Storage, "the disk is full")
            .help("free some space and run the command again: nothing that was complete is lost"),
        Some(ErrorCode::ReadOnly) => error_of(ErrorKind::Storage, "the archive cannot be written")
            .help("make the file and its folder writable, or copy the archive elsewhere"),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            error_of(
                ErrorKind::Storage,
                &format!("the archive cannot be {}", refused_operation(error)),
            )
            .help("look at the disk, the cable and the permissions, then run it again")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            error_of(ErrorKind::Held, "another program is writing to the archive")
                .help("close it, or wait until it is done")
        }
        Some(ErrorCode::DatabaseCorrupt) => error_of(ErrorKind::Unusable, "the archive is damaged")
            .help("keep the file as it is and go back to a copy; `sqlite3 FILE .recover` may help"),
        Some(ErrorCode::NotADatabase) => {
            error_of(ErrorKind::Unusable, "this is not an SQLite file")
                .help("name another archive path")
        }
        Some(ErrorCode::OutOfMemory) => error_of(ErrorKind::Storage, "there is not enough memory")
            .help("close other programs, and run it again"),
        Some(ErrorCode::TooBig) => {
            error_of(ErrorKind::Unusable, "a value in the archive is too large").help(DAMAGED_HELP)
        }
        Some(ErrorCode::FileLockingProtocolFailed) => {
            error_of(ErrorKind::Held, "other programs have the archive").help("run it again")
        }
        _ => of_contents(path, error),
    }
}

/// A statement of windrow's works on every archive that windrow made. Where one fails, the archive
/// is not as windrow makes it, or windrow is wrong.
fn of_contents(path: &Path, error: &rusqlite::Error) -> Error {
    let name = path.display();
    let unusable = |what: &str| not_as_made(path, &format!("{what} ({error})"));
    if let Some(found) = oddity(path) {
        return unusable(&found);
    }
    match error {
        rusqlite::Error::InvalidColumnType(_, column, kind) => {
            unusable(&format!("a value of `{column}` is {kind}"))
        }
        rusqlite::Error::FromSqlConversionFailure(_, _, what) => {
            not_as_made(path, &what.to_string())
        }
        rusqlite::Error::IntegralValueOutOfRange(..) | rusqlite::Error::Utf8Error(..) => {
            unusable("a value is none of its column's")
        }
        rusqlite::Error::QueryReturnedNoRows => unusable("a row is missing"),
        _ => {
            let message = format!("an SQL statement failed on the archive: {name} ({error})");
            Error::new(ErrorKind::Bug, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_has_refused_is_told() {
        let cases = [
            (rusqlite::ffi::SQLITE_IOERR_READ, "the archive cannot be read: a.db"),
            (rusqlite::ffi::SQLITE_IOERR_SHORT_READ, "the archive cannot be read: a.db"),
            (rusqlite::ffi::SQLITE_IOERR_WRITE, "the archive cannot be written: a.db"),
            (rusqlite::ffi::SQLITE_IOERR_FSYNC, "the archive cannot be written: a.db"),
            (rusqlite::ffi::SQLITE_CANTOPEN, "the archive cannot be opened: a.db"),
            (rusqlite::ffi::SQLITE_IOERR, "the archive cannot be used: a.db"),
        ];
        for (code, told) in cases {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let message = classify(Path::new("a.db"), &error).message;
            assert!(message.starts_with(told), "{code}: {message}");
        }
    }

    #[test]
    fn each_error_of_sqlite_is_told_apart_by_its_help() {
        let cases = [
            (rusqlite::ffi::SQLITE_FULL, ErrorKind::Storage),
            (rusqlite::ffi::SQLITE_READONLY, ErrorKind::Storage),
            (rusqlite::ffi::SQLITE_IOERR, ErrorKind::Storage),
            (rusqlite::ffi::SQLITE_CORRUPT, ErrorKind::Unusable),
            (rusqlite::ffi::SQLITE_NOTADB, ErrorKind::Unusable),
            (rusqlite::ffi::SQLITE_BUSY, ErrorKind::Held),
            (rusqlite::ffi::SQLITE_ERROR, ErrorKind::Bug),
        ];
        for (code, cause) in cases {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            assert_eq!(classify(Path::new("a.db"), &error).kind, cause, "{code}");
        }
    }
}

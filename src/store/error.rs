//! What can be wrong with an archive, told apart by what a person does about it.

use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::host::Stop;
use crate::host::files::refusal;
use crate::model::ExitCode;

use crate::store::diagnosis::oddity;
use crate::store::stops::was_ended;

/// Which kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Damaged, not SQLite, not windrow's, or from a newer version.
    Unusable,
    /// It holds what might do harm, or lies where it might.
    Unsafe,
    /// Another process has it.
    Held,
    /// Full disk, read-only, I/O error.
    Storage,
    /// The definition asks for what the archive cannot become.
    Definition,
    /// A person's SQL is wrong.
    Query,
    /// A statement was told to end before it was done.
    Interrupted,
    /// windrow's own SQL is wrong.
    Bug,
}

impl Cause {
    /// The exit code of a command that this has ended (docs/contract.md, section 9).
    pub fn exit_code(self) -> ExitCode {
        match self {
            Cause::Definition | Cause::Query => ExitCode::Usage,
            Cause::Unusable => ExitCode::Unusable,
            Cause::Held => ExitCode::Held,
            Cause::Storage => ExitCode::Storage,
            Cause::Unsafe => ExitCode::Unsafe,
            Cause::Interrupted => {
                let cause = Stop::of_process().and_then(Stop::cause);
                cause.map_or(ExitCode::Interrupted, ExitCode::from)
            }
            Cause::Bug => ExitCode::Bug,
        }
    }
}

/// An error of an archive.
#[derive(Clone, Debug)]
pub struct ArchiveError {
    /// Which kind.
    pub cause: Cause,
    /// What happened, to what.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl ArchiveError {
    /// An error of a kind.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), help: None }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A statement was ended before it was done, by somebody who wanted that.
    pub(crate) fn ended() -> Self {
        Self::new(Cause::Interrupted, "stopped before the end")
            .help("run the command again: what was complete is kept")
    }

    /// An operating system's error on a file, or a refusal to open it.
    pub fn io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        if let Some(refusal) = refusal(error) {
            return Self::new(Cause::Unsafe, refusal.message()).help(refusal.help());
        }
        let message = format!("cannot {doing} {}: {error}", path.display());
        Self::new(Cause::Storage, message)
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for ArchiveError {}

/// Turns an SQLite error on the archive at `path` into one that a person can act on.
pub(crate) fn at(path: &Path) -> impl Fn(rusqlite::Error) -> ArchiveError {
    let path: PathBuf = path.to_owned();
    move |error| classify(&path, &error)
}

/// See [`at`].
pub(crate) fn classify(path: &Path, error: &rusqlite::Error) -> ArchiveError {
    if was_ended(error) {
        return ArchiveError::ended();
    }
    let name = path.display();
    let code = error.sqlite_error_code();
    let source_error =
        |cause, what: &str| ArchiveError::new(cause, format!("{what}: {name} ({error})"));
    match code {
        Some(ErrorCode::DiskFull) => source_error(Cause::Storage, "the disk is full")
            .help("free some space and run the command again: nothing that was complete is lost"),
        Some(ErrorCode::ReadOnly) => source_error(Cause::Storage, "the archive cannot be written")
            .help("make the file and its folder writable, or copy the archive elsewhere"),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            source_error(Cause::Storage, "the archive cannot be read or written")
                .help("look at the disk, the cable and the permissions, then run it again")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            source_error(Cause::Held, "another program is writing to the archive")
                .help("close it, or wait until it is done")
        }
        Some(ErrorCode::DatabaseCorrupt) => source_error(Cause::Unusable, "the archive is damaged")
            .help("keep the file as it is and go back to a copy; `sqlite3 FILE .recover` may help"),
        Some(ErrorCode::NotADatabase) => {
            source_error(Cause::Unusable, "this is not an SQLite file")
                .help("name another archive path")
        }
        Some(ErrorCode::OutOfMemory) => source_error(Cause::Storage, "there is not enough memory")
            .help("close other programs, and run it again"),
        Some(ErrorCode::TooBig) => {
            source_error(Cause::Unusable, "a value in the archive is too large").help(DAMAGED_HELP)
        }
        Some(ErrorCode::FileLockingProtocolFailed) => {
            source_error(Cause::Held, "other programs have the archive").help("run it again")
        }
        _ => of_contents(path, error),
    }
}

const DAMAGED_HELP: &str =
    "keep the file as it is and go back to a copy; `windrow verify` tells more of a copy of it";

/// An archive with something in it that windrow does not make.
pub(crate) fn not_as_made(path: &Path, what: &str) -> ArchiveError {
    let message = format!("{} is not as windrow makes it: {what}", path.display());
    ArchiveError::new(Cause::Unusable, message).help(DAMAGED_HELP)
}

/// A statement of windrow's works on every archive that windrow made. Where one fails, the archive
/// is not as windrow makes it, or windrow is wrong.
fn of_contents(path: &Path, error: &rusqlite::Error) -> ArchiveError {
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
            ArchiveError::new(Cause::Bug, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_sqlite_is_told_apart_by_its_help() {
        let cases = [
            (rusqlite::ffi::SQLITE_FULL, Cause::Storage),
            (rusqlite::ffi::SQLITE_READONLY, Cause::Storage),
            (rusqlite::ffi::SQLITE_IOERR, Cause::Storage),
            (rusqlite::ffi::SQLITE_CORRUPT, Cause::Unusable),
            (rusqlite::ffi::SQLITE_NOTADB, Cause::Unusable),
            (rusqlite::ffi::SQLITE_BUSY, Cause::Held),
            (rusqlite::ffi::SQLITE_ERROR, Cause::Bug),
        ];
        for (code, cause) in cases {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            assert_eq!(classify(Path::new("a.db"), &error).cause, cause, "{code}");
        }
    }
}

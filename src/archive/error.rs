//! What can be wrong with an archive, told apart by what a person does about it.

use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::host::files::refusal;

/// Which kind of trouble it is.
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

/// Trouble with an archive.
#[derive(Debug)]
pub struct ArchiveError {
    /// Which kind.
    pub cause: Cause,
    /// What happened, to what.
    pub message: String,
    /// What to do about it.
    pub cure: Option<String>,
}

impl ArchiveError {
    /// Trouble of a kind.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), cure: None }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    /// An operating system's error on a file, or a refusal to open it.
    pub fn io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        if let Some(refusal) = refusal(error) {
            return Self::new(Cause::Unsafe, refusal.message()).cure(refusal.help());
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
pub(super) fn at(path: &Path) -> impl Fn(rusqlite::Error) -> ArchiveError {
    let path: PathBuf = path.to_owned();
    move |error| classify(&path, &error)
}

/// See [`at`].
pub(super) fn classify(path: &Path, error: &rusqlite::Error) -> ArchiveError {
    let name = path.display();
    let code = error.sqlite_error_code();
    let trouble = |cause, what: &str| ArchiveError::new(cause, format!("{what}: {name} ({error})"));
    match code {
        Some(ErrorCode::DiskFull) => trouble(Cause::Storage, "the disk is full")
            .cure("free some space and run the command again: nothing that was complete is lost"),
        Some(ErrorCode::ReadOnly) => trouble(Cause::Storage, "the archive cannot be written")
            .cure("make the file and its folder writable, or copy the archive elsewhere"),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            trouble(Cause::Storage, "the archive cannot be read or written")
                .cure("look at the disk, the cable and the permissions, then run it again")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            trouble(Cause::Held, "another program is writing to the archive")
                .cure("close it, or wait until it is done")
        }
        Some(ErrorCode::DatabaseCorrupt) => trouble(Cause::Unusable, "the archive is damaged")
            .cure("keep the file as it is and go back to a copy; `sqlite3 FILE .recover` may help"),
        Some(ErrorCode::OperationInterrupted) => {
            ArchiveError::new(Cause::Interrupted, "a statement was ended before it was done")
        }
        Some(ErrorCode::NotADatabase) => {
            trouble(Cause::Unusable, "this is not an SQLite file").cure("name another archive path")
        }
        _ => trouble(Cause::Bug, "an SQL statement failed on the archive"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_of_sqlite_is_told_apart_by_its_cure() {
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

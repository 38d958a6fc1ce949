//! Reading an archive: the one type that every query is a method of.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::store::error::{ArchiveError, Cause, at};
use crate::store::open::{SCHEMA_VERSION, open_reader};
use crate::store::row::only;

/// An archive that is read. [`Reader::open`] gives a connection that only reads; an archive that is
/// open for writing, and its transactions, read through this type too.
pub struct Reader {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
}

impl Reader {
    /// Opens the archive at `path` for reading.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        Ok(Self { connection: open_reader(path)?, path: path.to_owned() })
    }

    /// The archive's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn run<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ArchiveError> {
        read(&self.connection).map_err(|error| {
            let sql = "PRAGMA user_version";
            let version = self.connection.query_row(sql, [], only::<i32>);
            let lacks = error.to_string().starts_with("no such ");
            match version {
                Ok(version) if lacks && version < SCHEMA_VERSION => older(&self.path, version),
                _ => at(&self.path)(error),
            }
        })
    }
}

/// What this program looks for came with a later format.
fn older(path: &Path, version: i32) -> ArchiveError {
    let message =
        format!("{} has format {version}, and this needs {SCHEMA_VERSION}", path.display());
    let help = "`windrow sync --offline` brings it up to date, after a copy was set aside";
    ArchiveError::new(Cause::Unusable, message).help(help)
}

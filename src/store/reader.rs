//! Reading an archive: the one type that every query is a method of.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::model::{Error, ErrorKind};
use crate::store::error::at;
use crate::store::formats::{FORMATS, Formats};
use crate::store::open::open_reader;
use crate::store::row::only;

/// An archive that is read. [`Reader::open`] gives a connection that only reads; an archive that is
/// open for writing, and its transactions, read through this type too.
pub struct Reader {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) formats: Formats,
}

impl Reader {
    /// Opens the archive at `path` for reading.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, FORMATS)
    }

    /// The same for a program that knows these formats. An archive of an older one than the newest
    /// of them is read as it is.
    pub fn open_with(path: &Path, formats: Formats) -> Result<Self, Error> {
        Ok(Self::over(open_reader(path, formats)?, path, formats))
    }

    /// A reader over a connection that is open.
    pub(crate) fn over(connection: Connection, path: &Path, formats: Formats) -> Self {
        Self { connection, path: path.to_owned(), formats }
    }

    /// Opens the same archive a second time, for reading.
    pub fn reopen(&self) -> Result<Self, Error> {
        Self::open_with(&self.path, self.formats)
    }

    /// The formats that this program knows.
    pub(crate) fn formats(&self) -> Formats {
        self.formats
    }

    /// The number of the archive's format.
    pub fn format(&self) -> Result<i32, Error> {
        self.connection.query_row("PRAGMA user_version", [], only).map_err(at(&self.path))
    }

    /// The path of the archive, as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn run<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        read(&self.connection).map_err(|error| {
            let sql = "PRAGMA user_version";
            let version = self.connection.query_row(sql, [], only::<i32>);
            let lacks = error.to_string().starts_with("no such ");
            let newest = self.formats.newest().version();
            match version {
                Ok(version) if lacks && version < newest => older(&self.path, version, newest),
                _ => at(&self.path)(error),
            }
        })
    }
}

/// What this program looks for came with a later format.
fn older(path: &Path, version: i32, newest: i32) -> Error {
    let message = format!("{} has format {version}, and this needs {newest}", path.display());
    let help = "`windrow sync --offline` brings it up to date, after a copy was set aside";
    Error::new(ErrorKind::Unusable, message).help(help)
}

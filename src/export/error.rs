//! What can go wrong while rows are written elsewhere.

use std::path::Path;

use crate::host::files::refusal;
use crate::store::ArchiveError;

/// Why an export ended early. Nothing of it has its final name then.
#[derive(Debug)]
pub enum ExportError {
    /// The archive.
    Archive(ArchiveError),
    /// Whoever was to take the rows on a pipe has gone.
    Gone,
    /// A file, or standard output.
    Io {
        /// What was being done, such as `write usage.parquet`.
        doing: String,
        /// Why not.
        error: std::io::Error,
    },
    /// A value that cannot be written as what it should be.
    Value {
        /// Which one and why.
        message: String,
    },
    /// What was asked for cannot be, or would overwrite something.
    Refused {
        /// Why.
        message: String,
        /// What to do.
        help: String,
    },
}

impl ExportError {
    pub(super) fn io(doing: &str, path: &Path, error: std::io::Error) -> ExportError {
        if refusal(&error).is_some() {
            return ArchiveError::io(path, doing, &error).into();
        }
        ExportError::Io { doing: format!("{doing} {}", path.display()), error }
    }

    pub(super) fn refused(message: impl Into<String>, help: impl Into<String>) -> ExportError {
        ExportError::Refused { message: message.into(), help: help.into() }
    }
}

impl From<ArchiveError> for ExportError {
    fn from(error: ArchiveError) -> Self {
        ExportError::Archive(error)
    }
}

/// Why a row was not taken.
#[derive(Debug)]
pub enum RowFault {
    /// It could not be written.
    Io(std::io::Error),
    /// The value of this column is not one.
    Value {
        /// The column's place.
        column: usize,
        /// What is wrong with it.
        what: String,
    },
}

impl From<std::io::Error> for RowFault {
    fn from(error: std::io::Error) -> Self {
        RowFault::Io(error)
    }
}

//! What can go wrong while rows are written elsewhere. Nothing has its final name then.

use std::path::Path;

use crate::model::{Error, ErrorKind};

/// A file that could not be written, or was refused.
pub(super) fn not_written(doing: &str, path: &Path, error: &std::io::Error) -> Error {
    with_help(Error::io(path, doing, error))
}

/// Rows that standard output did not take.
pub(super) fn not_taken(error: &std::io::Error) -> Error {
    with_help(Error::output("write the rows", error))
}

fn with_help(error: Error) -> Error {
    match error.kind {
        ErrorKind::Storage => {
            error.help("look at the space, the permissions and the cable; no file was made")
        }
        _ => error,
    }
}

/// Why a row was not taken.
#[derive(Debug)]
pub enum RowFault {
    /// It could not be written.
    Io(std::io::Error),
    /// The value of this column is not one.
    Value {
        /// The number of the column, from 0.
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

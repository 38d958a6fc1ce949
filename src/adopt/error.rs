//! Why a file was not adopted.

use std::path::Path;

use crate::host::StopCause;
use crate::host::files::refusal;
use crate::store::ArchiveError;

/// An error of an adoption. Whatever it is, nothing was changed.
#[derive(Debug)]
pub enum AdoptError {
    /// The file, or what was asked of it.
    Input {
        /// What is wrong, and where.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// The file cannot be read.
    Reading(String),
    /// The archive, the scratch, or an SQLite file.
    Archive(ArchiveError),
    /// Somebody wants it to end.
    Stopped(StopCause),
}

impl AdoptError {
    /// An error of the file or with what was asked.
    pub fn input(message: impl Into<String>) -> Self {
        AdoptError::Input { message: message.into(), help: None }
    }

    /// The file cannot be read, or is refused.
    pub fn reading(path: &Path, error: &std::io::Error) -> Self {
        match refusal(error) {
            Some(_) => AdoptError::Archive(ArchiveError::io(path, "read", error)),
            None => AdoptError::Reading(format!("cannot read {}: {error}", path.display())),
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        match self {
            AdoptError::Input { message, .. } => {
                AdoptError::Input { message, help: Some(help.into()) }
            }
            other => other,
        }
    }
}

impl From<ArchiveError> for AdoptError {
    fn from(error: ArchiveError) -> Self {
        AdoptError::Archive(error)
    }
}

impl From<StopCause> for AdoptError {
    fn from(cause: StopCause) -> Self {
        AdoptError::Stopped(cause)
    }
}

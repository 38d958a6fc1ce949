//! What can go wrong when an archive is given or taken.

use std::path::Path;

use crate::handoff::envelope::EnvelopeError;
use crate::host::files::refusal;
use crate::store::{ArchiveError, Cause};

/// Why a hand-off failed.
#[derive(Debug)]
pub enum HandoffError {
    /// An error of an archive.
    Archive(ArchiveError),
    /// An error of what was put around it, or with a key.
    Seal(EnvelopeError),
    /// What was asked for makes no sense; nothing was done.
    Asked {
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: String,
    },
}

impl HandoffError {
    /// What was asked for makes no sense.
    pub fn asked(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Asked { message: message.into(), help: help.into() }
    }

    /// An operating system's error on a file.
    pub fn io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self::Archive(ArchiveError::io(path, doing, error))
    }

    /// A file cannot be made where it is wanted.
    pub fn cannot_make(path: &Path, error: &std::io::Error) -> Self {
        if refusal(error).is_some() {
            return Self::io(path, "make", error);
        }
        let help = "look at the space and the permissions there, or name another place";
        Self::storage(format!("cannot make {}: {error}", path.display()), help)
    }

    /// An error of storage.
    pub fn storage(message: impl Into<String>, help: &str) -> Self {
        Self::Archive(ArchiveError::new(Cause::Storage, message).help(help))
    }
}

impl From<ArchiveError> for HandoffError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl From<EnvelopeError> for HandoffError {
    fn from(error: EnvelopeError) -> Self {
        Self::Seal(error)
    }
}

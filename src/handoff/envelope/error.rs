//! What can be wrong with a sealed file or a key, told apart by what a person does about it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::host::files::refusal;
use crate::model::{Error, ErrorKind};

/// Which kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeFault {
    /// There is no signature.
    NoSignature,
    /// The signature's own text is wrong.
    Malformed,
    /// Signed by a key that nobody here has said to trust.
    UnknownSigner,
    /// The file is not what was signed.
    Changed,
    /// More comes out than may.
    TooBig,
    /// Cut short, altered, or with something behind its end.
    Damaged,
    /// Encrypted, and to none of the identities at hand.
    NotForUs,
    /// More layers than one encryption over one compression.
    Nested,
    /// What is inside is no SQLite file.
    NotAnArchive,
    /// A key is missing, wrong, locked, or there already.
    Key,
    /// What is there is not opened: it might do harm, or be waited for.
    Refused,
    /// Full disk, no rights, I/O error.
    Storage,
}

/// An error of a sealed file or a key. Never holds a secret, nor text that might be one.
#[derive(Debug)]
pub struct EnvelopeError {
    pub fault: EnvelopeFault,
    /// What happened, to what.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl EnvelopeError {
    /// An error of a kind.
    pub fn new(fault: EnvelopeFault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into(), help: None }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// An operating system's error on a file, or a refusal to open it.
    pub fn io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        if let Some(refusal) = refusal(error) {
            return Self::new(EnvelopeFault::Refused, refusal.message()).help(refusal.help());
        }
        let message = format!("cannot {doing} {}: {error}", path.display());
        Self::new(EnvelopeFault::Storage, message)
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for EnvelopeError {}

impl EnvelopeFault {
    fn kind(self) -> ErrorKind {
        match self {
            Self::NoSignature
            | Self::Malformed
            | Self::UnknownSigner
            | Self::Changed
            | Self::TooBig
            | Self::NotForUs
            | Self::Nested
            | Self::Refused => ErrorKind::Unsafe,
            Self::Damaged | Self::NotAnArchive => ErrorKind::Unusable,
            Self::Key => ErrorKind::Usage,
            Self::Storage => ErrorKind::Storage,
        }
    }
}

impl From<EnvelopeError> for Error {
    fn from(error: EnvelopeError) -> Self {
        let (kind, help) = (error.fault.kind(), error.help.clone());
        Self { kind, message: error.message.clone(), help, source: Some(Arc::new(error)) }
    }
}

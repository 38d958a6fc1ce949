//! Every error and its exit code.

use crate::definition::Problems;
use crate::handoff::HandoffError;
use crate::handoff::envelope::{EnvelopeError, EnvelopeFault};
use crate::host::files::refusal;
use crate::store::ArchiveError;

/// The command line or the definition is wrong.
pub const USAGE: u8 = 2;
/// The archive is damaged, not SQLite, or not windrow's.
pub const UNUSABLE: u8 = 6;
/// Refused for safety.
pub const UNSAFE: u8 = 9;
/// Full disk, read-only, I/O error.
pub const STORAGE: u8 = 8;
/// windrow itself failed.
pub const BUG: u8 = 70;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Problems of a definition, which are shown with their places.
    pub problems: Option<Box<Problems>>,
}

impl Failure {
    /// A failure with an exit code.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, problems: None }
    }

    /// An operating system's error on a file, with this exit code, or a refusal to open it.
    pub fn file(code: u8, doing: &str, error: &std::io::Error) -> Self {
        match refusal(error) {
            Some(refusal) => Self::new(UNSAFE, refusal.message()).help(refusal.help()),
            None => Self::new(code, format!("cannot {doing}: {error}")),
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self {
            code: error.cause.exit_code(),
            message: error.message,
            help: error.help,
            problems: None,
        }
    }
}

impl From<HandoffError> for Failure {
    fn from(error: HandoffError) -> Self {
        match error {
            HandoffError::Archive(error) => error.into(),
            HandoffError::Seal(error) => error.into(),
            HandoffError::Asked { message, help } => Self::new(USAGE, message).help(help),
        }
    }
}

impl From<EnvelopeError> for Failure {
    fn from(error: EnvelopeError) -> Self {
        let code = match error.fault {
            EnvelopeFault::NoSignature
            | EnvelopeFault::Malformed
            | EnvelopeFault::UnknownSigner
            | EnvelopeFault::Changed
            | EnvelopeFault::TooBig
            | EnvelopeFault::NotForUs
            | EnvelopeFault::Nested
            | EnvelopeFault::Refused => UNSAFE,
            EnvelopeFault::Damaged | EnvelopeFault::NotAnArchive => UNUSABLE,
            EnvelopeFault::Key => USAGE,
            EnvelopeFault::Storage => STORAGE,
        };
        Self { code, message: error.message, help: error.help, problems: None }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let message = problems.to_string();
        Self { code: USAGE, message, help: None, problems: Some(Box::new(problems)) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(STORAGE, format!("cannot write the result: {error}"))
    }
}

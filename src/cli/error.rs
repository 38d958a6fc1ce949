//! Every error and its exit code.

use crate::definition::Problems;
use crate::handoff::HandoffError;
use crate::handoff::envelope::{EnvelopeError, EnvelopeFault};
use crate::host::files::refusal;
use crate::model::ExitCode;
use crate::store::ArchiveError;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Problems of a definition, which are shown with their places.
    pub problems: Option<Box<Problems>>,
}

impl Failure {
    /// A failure with an exit code.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, problems: None }
    }

    /// An operating system's error on a file, with this exit code, or a refusal to open it.
    pub fn file(code: ExitCode, doing: &str, error: &std::io::Error) -> Self {
        match refusal(error) {
            Some(refusal) => Self::new(ExitCode::Unsafe, refusal.message()).help(refusal.help()),
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
            HandoffError::Asked { message, help } => Self::new(ExitCode::Usage, message).help(help),
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
            | EnvelopeFault::Refused => ExitCode::Unsafe,
            EnvelopeFault::Damaged | EnvelopeFault::NotAnArchive => ExitCode::Unusable,
            EnvelopeFault::Key => ExitCode::Usage,
            EnvelopeFault::Storage => ExitCode::Storage,
        };
        Self { code, message: error.message, help: error.help, problems: None }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let message = problems.to_string();
        Self { code: ExitCode::Usage, message, help: None, problems: Some(Box::new(problems)) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(ExitCode::Storage, format!("cannot write the result: {error}"))
    }
}

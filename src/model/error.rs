//! The error of every room: what happened, to what, and what a person does about it.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::definition::Problems;
use crate::host::files::refusal;
use crate::host::{Stop, StopCause};
use crate::model::ExitCode;

/// What went wrong, told apart by what a person does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked for is wrong, or does not fit what is there.
    Usage,
    /// The definition asks for what the archive cannot become.
    Definition,
    /// A person's SQL is wrong.
    Query,
    /// A database elsewhere is not reached, or went away.
    Offline,
    /// A database elsewhere refuses who asks, or what they may do.
    Credentials,
    /// Damaged, not SQLite, not windrow's, from a newer version, or with a value that cannot be
    /// what it should be.
    Unusable,
    /// It holds what might do harm, or lies where it might.
    Unsafe,
    /// Another process has it.
    Held,
    /// Full disk, read-only, I/O error.
    Storage,
    /// Whoever was to take the output has gone, as `| head` does.
    Gone,
    /// Told to end before it was done.
    Interrupted,
    /// windrow itself is wrong.
    Bug,
}

impl ErrorKind {
    /// The exit code of a command that this has ended.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Usage | Self::Definition | Self::Query => ExitCode::Usage,
            Self::Offline => ExitCode::Incomplete,
            Self::Credentials => ExitCode::Credentials,
            Self::Unusable => ExitCode::Unusable,
            Self::Unsafe => ExitCode::Unsafe,
            Self::Held => ExitCode::Held,
            Self::Storage | Self::Gone => ExitCode::Storage,
            Self::Interrupted => {
                let cause = Stop::of_process().and_then(Stop::cause);
                cause.unwrap_or(StopCause::Interrupt).into()
            }
            Self::Bug => ExitCode::Bug,
        }
    }
}

/// An error that a person meets.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// What happened, to what.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// What it came from, where somebody looks into that.
    pub source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, source: None }
    }

    /// What was asked for is wrong, or does not fit what is there.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A statement was ended before it was done, by somebody who wanted that.
    pub(crate) fn ended() -> Self {
        Self::new(ErrorKind::Interrupted, "stopped before the end")
            .help("run the command again: what was complete is kept")
    }

    /// An operating system's error on the file at `path`, or a refusal to open it.
    pub fn io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self::file(ErrorKind::Storage, &format!("{doing} {}", path.display()), error)
    }

    /// An operating system's error on a file that is of this kind, or a refusal to open it.
    pub fn file(kind: ErrorKind, doing: &str, error: &std::io::Error) -> Self {
        match refusal(error) {
            Some(refusal) => Self::new(ErrorKind::Unsafe, refusal.message()).help(refusal.help()),
            None => Self::new(kind, format!("cannot {doing}: {error}")),
        }
    }

    /// Output that was not taken.
    pub fn output(doing: &str, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::BrokenPipe => ErrorKind::Gone,
            _ => ErrorKind::Storage,
        };
        Self::new(kind, format!("cannot {doing}: {error}"))
    }

    /// The exit code of a command that this has ended.
    pub fn exit_code(&self) -> ExitCode {
        self.kind.exit_code()
    }

    /// The problems of a definition that it is about, to be shown with their places.
    pub fn problems(&self) -> Option<&Problems> {
        self.source.as_ref()?.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        let error = Self::new(ErrorKind::Usage, problems.to_string());
        Self { source: Some(Arc::new(problems)), ..error }
    }
}

impl From<StopCause> for Error {
    fn from(_: StopCause) -> Self {
        Self::ended()
    }
}

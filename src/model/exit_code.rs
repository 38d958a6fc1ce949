//! The exit codes of every command.

use std::fmt;

use serde::{Serialize, Serializer};
use strum::VariantArray;

use crate::host::StopCause;

/// How a command ended, as the process says it, in the order of the numbers. `docs/exit-codes.md`
/// has a row for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, VariantArray)]
#[repr(u8)]
pub enum ExitCode {
    /// Nothing is left to do.
    #[default]
    Done = 0,
    /// A comparison or a check found something.
    Found = 1,
    /// The command line or the definition is wrong.
    Usage = 2,
    /// There is more to do, which a later run can do.
    Incomplete = 3,
    /// Who asks is refused.
    Credentials = 4,
    /// The answer is not what the definition says.
    InvalidResponse = 5,
    /// The archive cannot be used as it is.
    Unusable = 6,
    /// Another process has the archive.
    Held = 7,
    /// The disk, or the operating system below it.
    Storage = 8,
    /// Something might do harm.
    Unsafe = 9,
    /// A person must decide.
    NeedsPerson = 10,
    /// windrow itself failed: a bug.
    Bug = 70,
    /// A SIGINT ended it: 130.
    Interrupted = StopCause::Interrupt.exit_number(),
    /// By SIGTERM or SIGHUP: 143.
    Terminated = StopCause::Terminate.exit_number(),
}

impl ExitCode {
    /// What the process returns.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The meaning in one sentence, word for word as `docs/exit-codes.md` has it.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done; everything that was requested is complete",
            Self::Found => {
                "`check` or `diff` found something (`diff A B`: the two archives differ), or \
                 `prove` or `verify` found a difference"
            }
            Self::Usage => "the command line or the definition is wrong; nothing was changed",
            Self::Incomplete => {
                "incomplete, run again later: offline, a limit of the run, a wait that the source \
                 imposed, a source that keeps failing"
            }
            Self::Credentials => "the source refused the credentials",
            Self::InvalidResponse => {
                "the response is invalid: not JSON, records not where the definition says, counts \
                 that do not agree, a page loop"
            }
            Self::Unusable => {
                "the archive is not usable: damaged, empty, not SQLite, not windrow's, from a \
                 newer version, with tables or values that windrow does not make; or it holds a \
                 value that no export can write"
            }
            Self::Held => {
                "another process holds the archive; the message names it and the time since when"
            }
            Self::Storage => "storage: full disk, read-only, I/O error",
            Self::Unsafe => {
                "refused for safety: credentials or data would have gone where they do not \
                 belong, the certificate is not trusted, or a file cannot be trusted (below)"
            }
            Self::NeedsPerson => {
                "an entry of the outbox needs a person; `windrow outbox list` shows it"
            }
            Self::Bug => "windrow itself failed: a bug",
            Self::Interrupted => {
                "interrupted (Ctrl-C): the current page was rolled back, everything before it is \
                 kept"
            }
            Self::Terminated => {
                "terminated (SIGTERM, SIGHUP): the current page was rolled back, everything \
                 before it is kept"
            }
        }
    }
}

impl From<StopCause> for ExitCode {
    fn from(cause: StopCause) -> Self {
        match cause {
            StopCause::Interrupt => Self::Interrupted,
            StopCause::Terminate => Self::Terminated,
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(out)
    }
}

impl Serialize for ExitCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_exit_codes_has_a_row_for_each() {
        let page = include_str!("../../docs/exit-codes.md");
        let rows = page.lines().filter(|line| line.starts_with('|')).skip(2);
        let rows: Vec<String> = rows.map(str::to_owned).collect();
        let codes = ExitCode::VARIANTS.iter();
        let of_enum = codes.map(|code| format!("| {} | {} |", code.number(), code.meaning()));
        let of_enum: Vec<String> = of_enum.collect();
        assert_eq!(rows, of_enum);
        assert!(ExitCode::VARIANTS.is_sorted());
    }
}

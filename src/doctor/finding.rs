//! What a check found: how bad it is, and what to do about it.

use serde::{Serialize, Serializer};

use crate::model::ExitCode;

/// What is at fault when a check is bad, the gravest last: the archive is the only copy there is,
/// while a network comes back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultArea {
    /// There is no network, or not the one that leads to the source.
    Offline,
    /// The definition is wrong, or a secret is missing.
    Definition,
    /// The far end is not who it says it is, or the clock is too wrong to tell.
    Trust,
    /// The disk or the folder does not take what is written.
    Storage,
    /// The archive is not usable.
    Archive,
}

impl FaultArea {
    /// The exit code of the command (docs/exit-codes.md).
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Definition => ExitCode::Usage,
            Self::Offline => ExitCode::Incomplete,
            Self::Archive => ExitCode::Unusable,
            Self::Storage => ExitCode::Storage,
            Self::Trust => ExitCode::Unsafe,
        }
    }
}

/// How a check came out, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DoctorVerdict {
    /// Nothing could be looked at, or nobody wanted it.
    Skip,
    /// As it should be.
    Ok,
    /// A sync works all the same, but a person should know.
    Warn,
    /// A sync cannot work, or not as it should.
    Bad(FaultArea),
}

impl DoctorVerdict {
    /// `skip`, `ok`, `warn` or `bad`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad(_) => "bad",
        }
    }

    /// The exit code of the command: only what is bad has one.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Bad(fault) => fault.exit_code(),
            Self::Skip | Self::Ok | Self::Warn => ExitCode::Done,
        }
    }
}

impl Serialize for DoctorVerdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// One check and its outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DoctorFinding {
    /// What was looked at.
    pub name: String,
    /// How it came out.
    pub state: DoctorVerdict,
    pub found: String,
    /// What to do about it; always there when it is a warning or bad.
    pub help: Option<String>,
}

impl DoctorFinding {
    fn new(name: impl Into<String>, state: DoctorVerdict, found: impl Into<String>) -> Self {
        Self { name: name.into(), state, found: found.into(), help: None }
    }

    /// It is as it should be.
    pub fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, DoctorVerdict::Ok, found)
    }

    /// It was not looked at, and why.
    pub fn skip(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, DoctorVerdict::Skip, found)
    }

    /// It works, but a person should know.
    pub fn warn(
        name: impl Into<String>,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { help: Some(help.into()), ..Self::new(name, DoctorVerdict::Warn, found) }
    }

    /// It does not work.
    pub fn bad(
        name: impl Into<String>,
        fault: FaultArea,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { help: Some(help.into()), ..Self::new(name, DoctorVerdict::Bad(fault), found) }
    }
}

/// The worst of all; `Ok` when nothing was looked at.
pub fn worst(findings: &[DoctorFinding]) -> DoctorVerdict {
    findings.iter().map(|finding| finding.state).fold(DoctorVerdict::Ok, DoctorVerdict::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_bad_check_decides_and_a_warning_is_no_failure() {
        let bad = |fault| DoctorFinding::bad("x", fault, "found", "help");
        let warn = DoctorFinding::warn("x", "found", "help");
        assert_eq!(worst(&[]).exit_code(), ExitCode::Done);
        assert_eq!(worst(&[DoctorFinding::skip("x", "found")]).word(), "ok");
        assert_eq!(
            (
                worst(std::slice::from_ref(&warn)).word(),
                worst(std::slice::from_ref(&warn)).exit_code()
            ),
            ("warn", ExitCode::Done)
        );
        assert_eq!(worst(&[bad(FaultArea::Offline), warn]).exit_code(), ExitCode::Incomplete);
        assert_eq!(
            worst(&[bad(FaultArea::Trust), bad(FaultArea::Definition)]).exit_code(),
            ExitCode::Unsafe
        );
        assert_eq!(
            worst(&[bad(FaultArea::Archive), bad(FaultArea::Storage)]).exit_code(),
            ExitCode::Unusable
        );
    }
}

//! The detail of a run: how its fetches ended, and the kinds of its events.

use serde::Serialize;
use strum::{Display, EnumString, IntoStaticStr};

use super::State;

/// How a fetch ended, as its run remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FetchResult {
    /// Every page was received and committed.
    Complete,
    /// Complete, by a request after the window's lateness.
    Settled,
    /// The next run continues it.
    Partial,
    /// It cannot be read as a whole and cannot be cut further.
    Truncated,
    /// The parent has no data in the stream.
    Absent,
    /// It failed; the ledger keeps the complete fetch before it.
    Kept,
    /// Its halves are read in its place.
    Split,
    /// It was a second fetch of the time before a window.
    Second,
    /// The source has not reached the window's start yet.
    TooEarly,
    /// It failed, and the ledger has nothing of it.
    Failed,
}

impl FetchResult {
    /// As it stands in the archive.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl From<State> for FetchResult {
    fn from(state: State) -> Self {
        match state {
            State::Partial => FetchResult::Partial,
            State::Complete => FetchResult::Complete,
            State::Settled => FetchResult::Settled,
            State::Truncated => FetchResult::Truncated,
            State::Absent => FetchResult::Absent,
        }
    }
}

/// The kind of an event of a run.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RunEventKind {
    /// An error of a source.
    #[default]
    Error,
    /// A wait that a source imposed.
    Wait,
    /// Something in the answers against what the definition says of them.
    Remark,
}

impl RunEventKind {
    /// As it stands in the archive.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

//! The words about writes that wait: the states of an entry of the outbox.

use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// How far an entry of the outbox has come.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EntryState {
    /// It waits: for the network, its time, its lane, or another attempt.
    Queued,
    /// It is on the wire, or was when its sender died.
    Sending,
    /// The API took it, or a person or a lookup says so.
    Done,
    /// The API refused it: it has had no effect.
    Rejected,
    /// It may have had its effect, and nothing that windrow may do by itself can tell.
    Unknown,
    /// Its time ran out before it was sent.
    Expired,
    /// A person took it back before it was sent.
    Cancelled,
}

impl EntryState {
    /// Its name in the archive.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether something is still to come of it.
    pub fn is_open(self) -> bool {
        matches!(self, EntryState::Queued | EntryState::Sending | EntryState::Unknown)
    }
}

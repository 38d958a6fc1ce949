//! Rows that their source no longer returns: the states in which the archive has them.

use serde::Serialize;
use strum::{Display, EnumString, IntoStaticStr};

/// The state of a row that a fetch missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum VanishedState {
    /// One fetch has missed it.
    Missed,
    /// It would have been marked or deleted, had there not been too many at once.
    Held,
    /// It has the time at which it was missed.
    Marked,
    /// It is in the history alone.
    Deleted,
    /// A person brought it back: no fetch takes it away again.
    Kept,
}

impl VanishedState {
    /// As it stands in the archive.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether the row is no longer among the rows that the source has.
    pub fn is_taken_away(self) -> bool {
        use VanishedState::*;
        match self {
            Marked | Deleted => true,
            Missed | Held | Kept => false,
        }
    }
}

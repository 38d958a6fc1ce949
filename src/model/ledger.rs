//! What the ledger says of a window, a snapshot or a mark.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

use super::{Timestamp, Window};

/// How far a fetch has come.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum State {
    /// Pages are committed, the end of the data is not proven.
    Partial,
    /// Every page was received, parsed and committed, and counts agree.
    Complete,
    /// Complete, by a request made after the window's end and its lateness.
    Settled,
    /// It cannot be read as a whole and cannot be cut further.
    Truncated,
    /// The source has no such partition: the parent has no data in the stream.
    Absent,
}

impl State {
    /// As it stands in the ledger.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A place in a stream for people: the parent's key and the window, as far as there are any.
pub fn place_of(partition: &str, window: Option<Window>) -> String {
    let partition = (!partition.is_empty()).then(|| partition.to_owned());
    let parts = partition.into_iter().chain(window.map(|window| window.to_string()));
    parts.collect::<Vec<_>>().join(" ")
}

/// What is wrong with a row of the ledger, in the words of `status`, `check` and `report`; none
/// where nothing is.
pub fn problem_of(
    place: &str,
    state: State,
    completed_at: Option<&str>,
    error: Option<&str>,
) -> Option<String> {
    let problem = match (state, error) {
        (State::Complete | State::Settled, Some(why)) => {
            let at = completed_at.unwrap_or_default();
            format!("it was complete on {at}, and cannot be read now: {why}")
        }
        (State::Partial, why) => format!("{state}: {}", why.unwrap_or("the fetch was broken off")),
        (State::Truncated, why) => {
            format!("{state}: {}", why.unwrap_or("it cannot be read as a whole"))
        }
        (State::Absent, Some(why)) => format!("{state}: {why}"),
        (State::Complete | State::Settled | State::Absent, None) => return None,
    };
    Some(if place.is_empty() { problem } else { format!("{place}: {problem}") })
}

/// How a run stands or ended, as its table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RunState {
    /// It has not ended, or was killed.
    Running,
    /// All that was asked for is complete.
    Complete,
    /// Something is left for another run.
    Incomplete,
    /// An error ended it.
    Failed,
    /// A signal ended it.
    Interrupted,
}

impl RunState {
    /// As it stands in the table.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Which row of the ledger: a stream, a parent's share of it, and a window where it has any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowKey {
    pub stream: String,
    /// The parent's key as JSON, empty for a stream without a parent.
    pub partition: String,
    /// None for a snapshot or a mark.
    pub window: Option<Window>,
}

/// What the planner needs to know of a row of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// None for a snapshot or a mark.
    pub window: Option<Window>,
    /// How far the fetch has come.
    pub state: State,
    /// Up to where a complete fetch counts: the window's end, or the time of the request where
    /// that was earlier. Of a partial one: up to where it asked.
    pub read_to: Option<Timestamp>,
    /// As of when the fetch that is kept speaks.
    pub requested_at: Timestamp,
    /// Whether that is the source's own time, and not this machine's.
    pub dated_by_source: bool,
    /// When it was complete.
    pub completed_at: Option<Timestamp>,
    /// Where a partial fetch goes on.
    pub token: Option<String>,
    /// The mark of a cursor stream.
    pub cursor: Option<String>,
    /// The source's total as of the first page, where it gives one.
    pub source_total: Option<u64>,
    /// Whether the last fetch failed.
    pub failed: bool,
    /// Whether it was made by the definition of the latest run: only then is its token of use.
    pub same_definition: bool,
    /// Whether rows were adopted into it since, which no fetch has confirmed.
    pub adopted_since: bool,
    /// Whether another archive has disagreed with it since.
    pub disputed: bool,
    /// The run that wrote it.
    pub run: i64,
    /// Whether it is complete, by another request than that of the definition at hand. The
    /// ledger does not know: who plans by it notes it (`RequestChanges::mark`).
    pub outdated: bool,
}

/// What became of received records. The five add up to `received`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// The sum of the other five.
    pub received: u64,
    pub inserted: u64,
    /// Rows that were changed.
    pub updated: u64,
    /// Rows that were equal and not touched.
    pub unchanged: u64,
    /// Duplicates in a page, older versions, and rows that `on_conflict = "keep"` protects.
    pub skipped: u64,
    /// Records that could not become a row, kept verbatim.
    pub rejected: u64,
}

impl Outcomes {
    /// Whether every received record is counted once.
    pub fn add_up(&self) -> bool {
        self.received
            == self.inserted + self.updated + self.unchanged + self.skipped + self.rejected
    }
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, more: Outcomes) {
        self.received += more.received;
        self.inserted += more.inserted;
        self.updated += more.updated;
        self.unchanged += more.unchanged;
        self.skipped += more.skipped;
        self.rejected += more.rejected;
    }
}

/// What is written to the ledger together with the rows that it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The row of the ledger.
    pub window_key: WindowKey,
    /// How far the fetch has come.
    pub state: State,
    /// Up to where it counts when it is complete.
    pub read_to: Option<Timestamp>,
    /// As of when the fetch speaks: the time of its first request.
    pub requested_at: Timestamp,
    /// Whether that is the source's own time, and not this machine's.
    pub dated_by_source: bool,
    /// Where the range that was asked for begins.
    pub asked_from: Option<Timestamp>,
    /// Records that came, where the fetch was made in one piece.
    pub last_records: Option<u64>,
    /// When this was written.
    pub at: Timestamp,
    /// Where to go on.
    pub token: Option<String>,
    /// The high-water mark of a cursor stream; none for other kinds.
    pub cursor: Option<String>,
    /// Pages of this fetch so far.
    pub pages: u64,
    /// What became of the records of this fetch so far.
    pub outcomes: Outcomes,
    /// Records outside the range that was asked for.
    pub out_of_window: u64,
    /// Distinct keys, where they were counted.
    pub distinct_keys: Option<u64>,
    /// The source's own total.
    pub source_total: Option<u64>,
    /// Why it is not complete.
    pub error: Option<String>,
}

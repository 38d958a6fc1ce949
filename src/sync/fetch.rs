//! A fetch as values: what is fixed when it begins, and what came of it.

use crate::http::SourceError;
use crate::model::{FetchResult, GoneScope, State, Timestamp, WindowKey};

/// What is fixed when a fetch begins. The fetch lane hands it over once, before the first page.
#[derive(Clone, Debug)]
pub struct FetchFacts {
    /// Its row in the ledger.
    pub window_key: WindowKey,
    /// As of when it speaks: the time of its first request.
    pub requested_at: Timestamp,
    /// Whether that is the source's own time, and not this machine's.
    pub dated_by_source: bool,
    /// Where the range that was asked for begins.
    pub asked_from: Option<Timestamp>,
    /// The end of that range; none for a snapshot.
    pub asked_to: Option<Timestamp>,
    /// Whether it begins with its first page in this run; not where it carries on another one.
    pub in_one_piece: bool,
    /// Milliseconds by which the source's clock is ahead of this machine's, where it tells.
    pub skew_ms: Option<i64>,
}

/// What came of a fetch.
#[derive(Debug)]
pub enum FetchOutcome {
    /// The end of the data is proven.
    Complete(Box<Completion>),
    /// The source has not reached the window's start yet: nothing is known of it.
    TooEarly,
    /// The source cuts the result: smaller windows may help.
    Truncated(SourceError),
    /// The source took too long: smaller windows may help.
    TooSlow(SourceError),
    /// The source's total and the records disagree, or the total moved.
    Disagreement {
        /// The error that tells both numbers.
        error: SourceError,
        total: u64,
        /// Different records that came.
        distinct: u64,
    },
    /// Pages have shifted, or may have: read again until two fetches agree.
    Unconfirmed {
        /// The error that tells what has shifted.
        error: SourceError,
        /// A hash of the keys that came, where the fetch is fit to be compared.
        seen: Option<u64>,
        /// Keys that came with two contents, by their hashes.
        suspects: Vec<u64>,
    },
    /// The source has no such partition, as the definition understands its answer.
    Absent,
    /// It cannot go on.
    Failed(SourceError),
}

/// What a complete fetch has proven.
#[derive(Debug)]
pub struct Completion {
    /// Either `Complete` or `Settled`.
    pub state: State,
    /// Up to where it counts.
    pub read_to: Option<Timestamp>,
    /// The new high-water mark.
    pub cursor: Option<String>,
    /// Distinct keys, where they were counted.
    pub distinct_keys: Option<u64>,
    pub source_total: Option<u64>,
    /// The rows of which the fetch can tell that they are gone.
    pub scope: Option<GoneScope>,
    /// What contradicts a definition that says that one page is all.
    pub remark: Option<String>,
}

/// What the ledger is told of the end of a fetch.
pub enum FetchEnd {
    /// The window is complete.
    Complete(Box<Completion>),
    /// It cannot go on: its whole pages are kept.
    Broken {
        /// Why; none when the run was asked to stop.
        error: Option<String>,
        /// Whether it can never be read as it is.
        truncated: bool,
        /// The source's total and the different records that came, where they disagree.
        counts: Option<(u64, u64)>,
    },
    /// The parent has no data in the stream.
    Absent,
    /// Nothing of it is kept in the ledger.
    Forgotten {
        reason: ForgetReason,
        /// The error of the fetch; none where there was none.
        error: Option<String>,
    },
}

/// Why a fetch is not kept in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgetReason {
    /// Its halves are read in its place.
    Split,
    /// It was a second fetch of what lies before a window.
    Second,
    /// The source has not reached the window's start yet.
    TooEarly,
    /// It failed, and nothing of it can be carried on.
    Failed,
}

impl From<ForgetReason> for FetchResult {
    fn from(reason: ForgetReason) -> Self {
        match reason {
            ForgetReason::Split => FetchResult::Split,
            ForgetReason::Second => FetchResult::Second,
            ForgetReason::TooEarly => FetchResult::TooEarly,
            ForgetReason::Failed => FetchResult::Failed,
        }
    }
}

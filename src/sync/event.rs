//! What the pulling lane tells the writing lane, and what both tell whoever watches.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::model::{
    GoneScope, Outcomes, Reject, RowSet, Spent, State, TableShape, Timestamp, Wait, WindowKey,
};
use crate::record::{KeptRecord, RecordReader};
use crate::store::{PlanPart, RawPage};
use crate::window::Reason;

use super::drift::Noticed;
use super::report::RunError;

/// From the pulling lane to the writing lane, in order.
pub enum LaneEvent {
    /// A stream's table must be there.
    Table {
        /// Its shape.
        shape: Box<TableShape>,
        /// Where its grid starts.
        start_at: Option<Timestamp>,
        /// What its records are read by.
        reader: Arc<RecordReader>,
    },
    /// A whole page.
    Page(Box<PageEvent>),
    /// More fetches of the stream in hand are due.
    Planned(Vec<PlanPart>),
    /// The end of the data is proven.
    Done {
        /// What is proven.
        done: Box<DoneEvent>,
        /// What it took.
        trace: Trace,
    },
    /// The fetch cannot go on.
    Broken {
        /// Which fetch.
        window_key: WindowKey,
        /// When it began.
        requested_at: Timestamp,
        /// Why; none when the run was asked to stop.
        error: Option<String>,
        /// Whether it can never be read as it is.
        truncated: bool,
        /// The numbers that do not agree.
        counts: Option<(u64, u64)>,
        /// What it took.
        trace: Trace,
    },
    /// The fetch is not kept in the ledger.
    Forget {
        /// Which fetch.
        window_key: WindowKey,
        /// Why not: `split`, `second`, `too_early` or `failed`.
        outcome: &'static str,
        /// Why it failed.
        error: Option<String>,
        /// What it took.
        trace: Trace,
    },
    /// Something went wrong.
    Error(Box<RunError>),
    /// A source asked not to be asked.
    Wait {
        /// The source.
        source: String,
        /// Until when, and what it said.
        wait: Wait,
    },
    /// Everything of a stream was sent; answer when it is on the disk.
    StreamEnd {
        /// The stream.
        stream: String,
        /// Where the answer goes.
        ack: oneshot::Sender<()>,
    },
}

/// What a fetch took.
#[derive(Clone, Copy)]
pub struct Trace {
    /// Why it was due.
    pub reason: Reason,
    /// When it began, by this machine's clock.
    pub began_at: Timestamp,
    /// What it cost.
    pub spent: Spent,
}

/// A whole page.
pub struct PageEvent {
    /// Which fetch.
    pub window_key: WindowKey,
    /// Whether it is the fetch's first page.
    pub first: bool,
    /// As of when the fetch speaks.
    pub requested_at: Timestamp,
    /// Whether that is the source's own time.
    pub dated_by_source: bool,
    /// Milliseconds by which the source's clock is ahead of this machine's, where it tells.
    pub skew_ms: Option<i64>,
    /// Where the range that was asked for begins.
    pub asked_from: Option<Timestamp>,
    /// Up to where the fetch was asked for.
    pub asked_to: Option<Timestamp>,
    /// Its rows.
    pub rows: RowSet,
    /// Records that cannot be rows.
    pub rejects: Vec<Reject>,
    /// Records that came twice in the page.
    pub duplicates: u64,
    /// Records outside the range.
    pub out_of_window: u64,
    /// The record of each row, where the stream has references.
    pub records: Vec<KeptRecord>,
    /// Whether another page follows.
    pub more: bool,
    /// Where to go on after it, if that may be kept.
    pub next: Option<String>,
    /// What it changes in what is known of the stream's fields.
    pub noticed: Noticed,
    /// The source's total, as of the fetch's first page.
    pub source_total: Option<u64>,
    /// The page as it came, where the stream keeps it.
    pub raw: Option<RawPage>,
}

/// The end of a fetch.
pub struct DoneEvent {
    /// Which fetch.
    pub window_key: WindowKey,
    /// `Complete` or `Settled`.
    pub state: State,
    /// Up to where it counts.
    pub read_to: Option<Timestamp>,
    /// When it began.
    pub requested_at: Timestamp,
    /// The new mark.
    pub cursor: Option<String>,
    /// Distinct keys, where they were counted.
    pub distinct_keys: Option<u64>,
    /// The source's total.
    pub source_total: Option<u64>,
    /// The rows of which the fetch can tell that they are gone.
    pub scope: Option<GoneScope>,
}

/// What whoever watches is told.
#[derive(Clone, Debug)]
pub enum ProgressEvent {
    /// A stream begins; so many fetches are due in its first partition.
    StreamBegins {
        /// The stream.
        stream: String,
        /// Fetches that are due.
        due: u64,
    },
    /// More fetches are due.
    MoreDue {
        /// How many more.
        due: u64,
    },
    /// Rows of a page are in the batch.
    PageWritten {
        /// The stream.
        stream: String,
        /// What became of its records.
        outcomes: Outcomes,
    },
    /// A fetch is complete and on the disk.
    FetchDone {
        /// Which fetch.
        window_key: WindowKey,
    },
    /// A fetch is broken off.
    FetchBroken {
        /// Which fetch.
        window_key: WindowKey,
        /// Why.
        message: String,
    },
}

/// Whoever watches. Called from both lanes.
pub trait ProgressSink: Sync {
    /// Something happened.
    fn notice(&self, happening: &ProgressEvent);
}

/// Nobody watches.
pub struct Silent;

impl ProgressSink for Silent {
    fn notice(&self, _happening: &ProgressEvent) {}
}

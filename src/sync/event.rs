//! What the fetch lane tells the write lane, and what both report as progress.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::drift::Noticed;
use crate::http::{SourceError, SourceErrorKind};
use crate::kept_pages::RawPage;
use crate::model::{
    Outcomes, Reject, RowSet, SeenColumn, Spent, TableShape, Timestamp, Wait, WindowKey,
};
use crate::record::{KeptRecord, RecordReader};
use crate::store::PlanPart;
use crate::window::Reason;

use super::fetch::{FetchEnd, FetchFacts};
use super::report::RunError;

/// From the fetch lane to the write lane, in order.
pub enum LaneEvent {
    /// A stream's table must be there.
    Table {
        shape: Box<TableShape>,
        /// Where its grid starts.
        start_at: Option<Timestamp>,
        /// What its records are read by.
        reader: Arc<RecordReader>,
        /// Where the answer goes once it is there.
        ack: oneshot::Sender<()>,
    },
    /// A fetch begins: its pages follow.
    FetchBegins(Box<FetchFacts>),
    /// A whole page of the fetch in hand.
    Page(Box<PageEvent>),
    /// More fetches of the stream in hand are due.
    Planned(Vec<PlanPart>),
    /// A fetch has ended.
    FetchEnds {
        window_key: WindowKey,
        /// When it began; for a fetch that gave no page.
        requested_at: Timestamp,
        /// What came of it.
        end: FetchEnd,
        trace: Trace,
    },
    /// What the run has seen of a stream's columns.
    SeenColumns { stream: String, columns: Vec<SeenColumn> },
    /// A fetch failed, or a source could not be read.
    Error(Box<RunError>),
    /// A source asked not to be asked.
    Wait {
        source: String,
        /// The end of the wait, and the source's words.
        wait: Wait,
    },
    /// Everything of a stream was sent; answer when it is on the disk.
    StreamEnd {
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
    pub spent: Spent,
}

/// A whole page of the fetch in hand.
pub struct PageEvent {
    /// The rows of the page, one for each key.
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

/// What a watcher is told of.
#[derive(Clone, Debug)]
pub enum ProgressEvent {
    /// A stream begins; so many fetches are due in its first partition.
    StreamBegins {
        stream: String,
        /// Fetches that are due.
        due: u64,
    },
    /// More fetches are due.
    MoreDue {
        /// The number of the fetches, beside those announced before.
        due: u64,
    },
    /// Rows of a page are in the batch.
    PageWritten {
        stream: String,
        /// What became of its records.
        outcomes: Outcomes,
    },
    /// A fetch is complete and on the disk.
    FetchDone { window_key: WindowKey },
    /// A fetch is broken off.
    FetchBroken { window_key: WindowKey, message: String },
}

/// Takes the progress of a run. Called from both lanes.
pub trait ProgressSink: Sync {
    /// Takes an event; it must return soon, because both lanes call it.
    fn notice(&self, event: &ProgressEvent);
}

/// A sink that ignores every event.
pub struct Silent;

impl ProgressSink for Silent {
    fn notice(&self, _event: &ProgressEvent) {}
}

/// The writing lane has ended: its error is the one that is reported.
pub(super) fn stopped_writing() -> SourceError {
    SourceError::new(SourceErrorKind::Stopped, "the archive could not be written")
}

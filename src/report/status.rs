//! How a stream stands: what is read of it, what is due, what is wrong.

use serde::Serialize;

use crate::model::{Outdated, State, Window};

/// What is known of a stream: its rows, coverage, next fetches and problems.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamStatus {
    pub stream: String,
    /// `window`, `snapshot` or `cursor`; empty when the definition no longer names the stream.
    pub kind: String,
    /// Rows in its table that are not gone.
    pub rows: u64,
    /// Rows that are marked as gone at their source.
    pub gone: u64,
    /// The parents that it has been read for; 0 for a stream without parents.
    pub partitions: u64,
    /// Where its grid starts.
    pub start: Option<String>,
    /// The end of the longest unbroken run of complete windows; the earliest one of all
    /// partitions.
    pub watermark: Option<String>,
    /// When it was last complete.
    pub last_complete_at: Option<String>,
    /// The mark of a cursor stream.
    pub cursor: Option<String>,
    /// Rows of the ledger, by state.
    pub settled: u64,
    /// Complete, and may still change.
    pub complete: u64,
    /// Begun, and not complete yet.
    pub partial: u64,
    /// Cut by the source, or too large for it.
    pub truncated: u64,
    /// Of parents that have no data in the stream.
    pub absent: u64,
    /// Fetches that the next sync would make.
    pub due: u64,
    /// What was fetched by another request than the definition makes now.
    #[serde(flatten)]
    pub outdated: Outdated,
    /// Records outside the range that was asked for.
    pub out_of_window: u64,
    /// The time that rows were adopted into and no sync has confirmed.
    pub adopted_unverified: Vec<String>,
    /// Pages that are kept as they came.
    pub raw_pages: u64,
    /// Bytes that their bodies take up in the archive: packed, each once.
    pub raw_bytes: u64,
    /// Whether a rebuild has set its table aside and is not confirmed.
    pub table_aside: bool,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
    /// The coverage, for the bar.
    #[serde(skip)]
    pub windows: Vec<(Window, State)>,
}

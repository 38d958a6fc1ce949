//! What two archives say of the same thing, as values: what a merge decides by.

use crate::definition::Scalar;

/// As of when something was read, and the name of the run that read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadBy {
    /// In the source's time, as the archive writes instants; empty where no source was read.
    pub read_at: String,
    /// The run's name, the same in every archive.
    pub uid: String,
}

/// What one archive says of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowClaim {
    /// The value of the stream's version column; null without one.
    pub version: Scalar,
    /// The latest fetch that said it, as far as it is known.
    pub read: ReadBy,
    /// Hexadecimal SHA-256 of what it says.
    pub digest: String,
}

/// A version of a row with the time for which it stood.
#[derive(Clone, Debug, PartialEq)]
pub struct RowVersion {
    pub claim: RowClaim,
    /// Since when it stood, as an instant in text.
    pub from: String,
    /// Until when; none for the one that stands now.
    pub until: Option<String>,
    /// The number of the run that brought it.
    pub from_run: i64,
    /// The number of the run that replaced it; none for the one that stands now.
    pub until_run: Option<i64>,
}

/// Until when a version stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionEnd {
    pub at: String,
    pub run: i64,
}

/// A complete fetch of the ledger: bounds and times as the archive writes instants, which sort
/// as they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerSpan {
    pub start: String,
    /// The first instant after the span.
    pub end: String,
    /// Up to where it counts: `end`, or earlier.
    pub read_to: String,
    /// Whether it can no longer change.
    pub settled: bool,
    /// As of when it speaks.
    pub requested_at: String,
    /// Whether that is the source's own time.
    pub dated_by_source: bool,
}

/// Whose entry of the ledger it is, by its place among those that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LedgerOrigin {
    Ours(usize),
    Theirs(usize),
}

/// A piece of the union of two ledgers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitedSpan {
    /// What it is now.
    pub span: LedgerSpan,
    /// The entry that it is, or is a piece of.
    pub of: LedgerOrigin,
}

impl LedgerSpan {
    /// The first instant that it does not cover.
    pub fn covered_to(&self) -> &str {
        self.read_to.as_str().min(self.end.as_str()).max(self.start.as_str())
    }
}

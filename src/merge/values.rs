//! What two archives say of the same thing, as values: what a merge decides by.

use std::cmp::Ordering;

use crate::definition::Scalar;
use crate::store::DISBELIEVED;

/// The length of `2026-01-01T00:00:00.123456`.
const MICROSECOND_CHARS: usize = 26;

/// As of when something was read, and the name of the run that read it. In order by the
/// microsecond, which is as much as PostgreSQL tells apart, and then by the run: `windrow publish`
/// decides alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReadBy {
    /// In the source's time, as the archive writes instants; empty where no source was read.
    pub read_at: String,
    /// The run's name, the same in every archive.
    pub uid: String,
}

impl ReadBy {
    /// Whether its time is believed.
    pub fn is_believed(&self) -> bool {
        self.read_at != DISBELIEVED
    }
}

impl Ord for ReadBy {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = to_the_microsecond(&self.read_at).cmp(to_the_microsecond(&other.read_at));
        order.then_with(|| self.uid.cmp(&other.uid)).then_with(|| self.read_at.cmp(&other.read_at))
    }
}

impl PartialOrd for ReadBy {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An instant as the archive writes it without what is beyond six digits of the second; these
/// texts sort as the instants do.
fn to_the_microsecond(text: &str) -> &str {
    let digits = text.strip_suffix("+00:00").unwrap_or(text);
    let digits = digits.get(..MICROSECOND_CHARS).unwrap_or(digits);
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(at: &str, uid: &str) -> ReadBy {
        ReadBy { read_at: at.to_owned(), uid: uid.to_owned() }
    }

    #[test]
    fn fetches_of_one_microsecond_are_told_apart_by_their_runs() {
        let at = |fraction: &str, uid| read(&format!("2026-01-01T00:00:00{fraction}+00:00"), uid);
        assert!(at(".0000019", "a") < at(".000001", "b"));
        assert!(at(".000001", "b") < at(".0000021", "a"));
        assert!(at("", "a") < at(".0000009", "b") && at(".0000009", "b") < at(".000001", "a"));
        assert!(at(".0000009", "a") < at("", "b"), "less than a microsecond is nothing");
        assert!(at(".12", "a") < at(".1200001", "b") && at(".12", "b") < at(".121", "a"));
        assert!(read("", "z") < at("", "a"), "what no source said is least");
    }
}

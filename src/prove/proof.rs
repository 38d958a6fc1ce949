//! What a proof found.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::host::StopCause;
use crate::model::{ExitCode, Spent};
use crate::prove::Stamp;
use crate::sync::RunError;

/// Differences that are told one by one; all are counted: nobody reads more, and each is held in
/// memory.
pub const DIFFERENCES_MAX: usize = 1000;

/// What became of a second fetch.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Proof {
    pub stream: String,
    /// What the sample was drawn by.
    pub seed: u64,
    /// Places that could be read again: settled windows, snapshots, marks.
    pub candidates: u64,
    /// The places that were picked.
    pub places: Vec<ProvenPlace>,
    /// How many rows there are of each kind.
    #[serde(flatten)]
    pub counts: VerdictCounts,
    /// The first of the differences.
    pub differences: Vec<ProofDifference>,
    /// How many more there are.
    pub differences_left_out: u64,
    /// What of the comparison could not be made, a line each.
    pub notes: Vec<String>,
    /// An error of the source.
    pub errors: Vec<RunError>,
    /// What the fetches spent.
    #[serde(skip)]
    pub stats: Spent,
    /// Who ended it early.
    #[serde(skip)]
    pub stop: Option<StopCause>,
    /// The exit code that the fetches stand for.
    #[serde(skip)]
    pub fetch_code: ExitCode,
}

/// Rows by what the second fetch says of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerdictCounts {
    /// Rows that both sides have alike.
    pub equal: u64,
    /// Rows of which the source has other values.
    pub changed: u64,
    /// The source has them, the archive does not.
    pub missing: u64,
    /// The archive has them, the source does not any more.
    pub no_longer_served: u64,
    /// Records that cannot be rows, and that the archive does not keep either.
    pub rejected: u64,
    /// Something else that a sync would not write: an older version, or a row that
    /// `on_conflict = "keep"` protects.
    pub protected: u64,
    /// Rows that wait for their parents among the rejects.
    pub orphans: u64,
    /// Rows of the archive that are gone at the source and were left out.
    pub gone: u64,
    /// Changed since the last mark: the next sync brings them.
    pub newer: u64,
}

impl VerdictCounts {
    /// Rows and records that differ.
    pub fn differing(&self) -> u64 {
        self.changed + self.missing + self.no_longer_served + self.rejected
    }
}

/// A place that was picked.
#[derive(Clone, Debug, Serialize)]
pub struct ProvenPlace {
    /// The window; none for a snapshot or a mark.
    pub window: Option<String>,
    /// The parent's key, or empty.
    pub partition: String,
    /// When the archive read it last.
    pub completed_at: String,
    /// The run that did.
    pub run: i64,
    pub outcome: PlaceOutcome,
    /// Its rows in the archive.
    pub archive: RowsDigest,
    /// Its rows at the source; what counts as equal is taken as the archive has it.
    pub source: RowsDigest,
}

/// What came out for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceOutcome {
    /// Every row is the same.
    Equal,
    /// Some row is not.
    Differs,
    /// It could not be read to its end.
    Unread,
    /// A sync read it meanwhile.
    Overtaken,
    /// Its parent is not in the archive any more.
    ParentGone,
    /// No row can be told to be of it: a piece of a day where rows have dates, or a mark that a
    /// next sync begins before.
    Unjudged,
}

/// Rows and their digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowsDigest {
    pub rows: u64,
    /// Hexadecimal SHA-256 over the rows in the order of their keys; empty where none was made.
    pub sha256: String,
}

/// A row that is not the same.
#[derive(Clone, Debug, Serialize)]
pub struct ProofDifference {
    pub kind: DifferenceKind,
    pub window: Option<String>,
    /// The parent's key, or empty.
    pub partition: String,
    /// Its key: columns to values.
    pub key: Map<String, Json>,
    /// Since when the archive has what it has.
    pub in_archive: Option<Stamp>,
    /// The values that differ.
    pub columns: Vec<ColumnDifference>,
    /// Of a record that cannot be a row: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// In which way a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// It says something else.
    Changed,
    /// The archive does not have it.
    Missing,
    /// The source does not have it any more.
    NoLongerServed,
    /// The source's record cannot be a row.
    Rejected,
}

/// A value that differs.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnDifference {
    pub column: String,
    /// What the archive has.
    pub archive: Json,
    /// What the source has.
    pub source: Json,
}

impl Proof {
    /// How many places came out so.
    pub fn places_with(&self, outcome: PlaceOutcome) -> u64 {
        self.places.iter().filter(|place| place.outcome == outcome).count() as u64
    }

    /// Whether everything that was picked was read and compared.
    pub fn is_whole(&self) -> bool {
        let none = |outcome| self.places_with(outcome) == 0;
        let judged = !none(PlaceOutcome::Equal) || !none(PlaceOutcome::Differs);
        judged && none(PlaceOutcome::Unread) && none(PlaceOutcome::Overtaken)
    }

    /// Adds a difference; the first ones are kept.
    pub fn add(&mut self, difference: impl FnOnce() -> ProofDifference) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(difference());
        } else {
            self.differences_left_out += 1;
        }
    }

    /// The exit code: 1 where something differs, also where something else could not be read.
    pub fn exit_code(&self) -> ExitCode {
        match self.stop {
            Some(cause) => cause.into(),
            None if self.counts.differing() > 0 => ExitCode::Found,
            None if self.is_whole() => ExitCode::Done,
            None if self.fetch_code == ExitCode::Done => ExitCode::Incomplete,
            None => self.fetch_code,
        }
    }
}

//! What an archive said at another time, and what changed.
//!
//! As-of reading, differences since a run or a time, differences between two archives, and the rows
//! that exports and hand-offs take.

pub(crate) mod compare;
pub(crate) mod condition;
pub(crate) mod diff;
pub(crate) mod moment;
pub(crate) mod moment_text;
pub(crate) mod past;
pub(crate) mod rows;
pub(crate) mod two_archives;

pub use compare::{Owner, TakeUnlike, Unlike, compare_archives, coverage_differences};
pub use diff::{Change, Known, NamedValues, RowDifference};
pub use moment::Moment;
pub use moment_text::{as_of, since};
pub use past::Past;
pub use rows::{ReadStretch, RowSource, Selection, Stored};
pub use two_archives::PartitionCoverage;

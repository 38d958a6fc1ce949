//! What an archive said at another time, and what changed.
//!
//! As-of reading, differences since a run or a time, differences between two archives, and the rows
//! that exports and hand-offs take.

pub(crate) mod condition;
pub(crate) mod diff;
pub(crate) mod moment;
pub(crate) mod past;
pub(crate) mod rows;
pub(crate) mod two_archives;

pub use diff::{Change, Known, NamedValues, RowDifference};
pub use moment::Moment;
pub use past::Past;
pub use rows::{ReadStretch, RowSource, Selection, Stored};
pub use two_archives::PartitionCoverage;

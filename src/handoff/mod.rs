//! Archives that go from one laptop to another and come back.

pub mod decide;
mod differences;
mod laws;
mod merge;

pub use crate::archive::canonical_dump;
pub use merge::{FileReport, GainedSpan, MergeError, MergeOrder, MergeReport, StreamMerge, merge};

//! A definition that changes: by which requests the ledger's entries were fetched, corrected
//! columns that are carried out on the rows that are there, and columns that no record has had.

mod recast;
mod requests;
mod seen;

pub use recast::{CorrectedColumn, RecastCount, RecastRow};
pub use requests::{RequestChanges, RequestHistory};

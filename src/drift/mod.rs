//! Schema drift: fields of records that appear, vanish or change their type, noticed page by page.
//!
//! What is noticed is decided by a pure function; the fields as they have been so far and the log
//! of their changes are two tables.

mod notice;
mod stored;

pub use notice::{Drift, Fields, Noticed};

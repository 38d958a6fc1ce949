//! Makers of what a stranger could hand over or put in the way: one file for each kind.

pub mod archives;
#[cfg(unix)]
pub mod places;

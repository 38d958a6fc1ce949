//! Evidence: what an answer says of its own completeness, and whether that contradicts the end that
//! the declared paging has found (docs/contract.md, section 11).
//!
//! All functions are pure: a page goes in as it came, and signs and contradictions come out.
//! `signs.rs` reads the signs of one answer, `names.rs` knows the names that APIs give them, and
//! `judge.rs` holds the signs of a fetch against what came.

#[cfg(test)]
mod cases;
mod judge;
mod keys;
mod names;
mod signs;

pub use judge::{
    Came, Contradiction, FetchSigns, contradiction_of_end, contradiction_of_page, one_page_is_all,
};
pub use keys::{KeySeen, KeyTable};
pub use signs::{JudgedAnswer, Sign, SignKind, Signs, signs_of};

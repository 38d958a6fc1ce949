//! A windrow after today's, which knows one format more, so that bringing an archive of today's to
//! it can be cut off everywhere.

use windrow::store::{FORMATS, Formats, Migration};

/// Today's formats, and one that only tests know.
pub const LATER: Formats = Formats(&[
    FORMATS.0[0],
    Migration { name: "V2__later", sql: include_str!("later_format.sql") },
]);

/// The copy that such a windrow sets aside of an archive of today's.
pub const ASIDE: &str = "a.db-before-format-2";

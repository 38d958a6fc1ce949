//! The types of columns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The type of a column in the definition; `store/sql.rs` has its SQLite type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Text in Unicode, kept as it came.
    Text,
    /// A 64-bit signed integer.
    Integer,
    /// A double; digits that a double cannot hold are kept beside it in `_rest`.
    Real,
    /// An exact decimal number, kept as the text that came.
    Decimal,
    /// An exact number: an integer or a double where that is exact, else the text that came.
    Number,
    /// True or false, kept as 1 or 0.
    Boolean,
    /// A date without a time: `YYYY-MM-DD`.
    Date,
    /// UTC, RFC 3339 with `+00:00`, so that it sorts.
    Timestamp,
    /// Any JSON value, as it came.
    Json,
    /// Bytes, which records hold as base64.
    Blob,
}

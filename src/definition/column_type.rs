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

/// How SQLite stores the values of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnStorage {
    Integer,
    Real,
    /// Integers, doubles and texts, each as it is.
    Any,
    Text,
    Blob,
}

/// Types whose values mean the same kind of thing. Code that is not about one type matches on its
/// family, so that a new type of a family needs no arm there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeFamily {
    Text,
    Number,
    Boolean,
    Date,
    Timestamp,
    Json,
    Bytes,
}

impl ColumnType {
    /// How SQLite stores its values.
    pub const fn storage(self) -> ColumnStorage {
        match self {
            ColumnType::Integer | ColumnType::Boolean => ColumnStorage::Integer,
            ColumnType::Real => ColumnStorage::Real,
            ColumnType::Number => ColumnStorage::Any,
            ColumnType::Blob => ColumnStorage::Blob,
            ColumnType::Text
            | ColumnType::Decimal
            | ColumnType::Date
            | ColumnType::Timestamp
            | ColumnType::Json => ColumnStorage::Text,
        }
    }

    /// What its values mean.
    pub const fn family(self) -> TypeFamily {
        match self {
            ColumnType::Text => TypeFamily::Text,
            ColumnType::Integer | ColumnType::Real | ColumnType::Decimal | ColumnType::Number => {
                TypeFamily::Number
            }
            ColumnType::Boolean => TypeFamily::Boolean,
            ColumnType::Date => TypeFamily::Date,
            ColumnType::Timestamp => TypeFamily::Timestamp,
            ColumnType::Json => TypeFamily::Json,
            ColumnType::Blob => TypeFamily::Bytes,
        }
    }

    /// Whether its values are numbers.
    pub fn is_number(self) -> bool {
        self.family() == TypeFamily::Number
    }

    /// Whether its values are days or instants.
    pub fn is_time(self) -> bool {
        matches!(self.family(), TypeFamily::Date | TypeFamily::Timestamp)
    }

    /// Whether its values are numbers that may be stored as the digits that came.
    pub fn may_store_digits(self) -> bool {
        self.is_number() && matches!(self.storage(), ColumnStorage::Text | ColumnStorage::Any)
    }

    /// Whether SQLite sorts its values by their meaning. Texts of decimals and of JSON are not
    /// sorted so.
    pub fn sorts_by_meaning(self) -> bool {
        match self.family() {
            TypeFamily::Text | TypeFamily::Date | TypeFamily::Timestamp => true,
            TypeFamily::Number => self.storage() != ColumnStorage::Text,
            TypeFamily::Boolean | TypeFamily::Json | TypeFamily::Bytes => false,
        }
    }
}

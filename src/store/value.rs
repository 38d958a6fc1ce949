//! A value of a column, as SQLite has it, that outlives its row.

use rusqlite::types::ValueRef;

pub use rusqlite::types::Value;

/// What is stored, kept beyond its row. Bytes that SQLite takes for text and that are not UTF-8
/// have U+FFFD for what is wrong.
pub(crate) fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_owned()),
    }
}

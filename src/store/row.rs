//! Reading the rows of a statement.
//!
//! Columns are read by their names and parameters are bound by theirs. Positions are for statements
//! whose columns are made at run time, those of streams' tables, and for what is bound row by row.

use rusqlite::Row;
use rusqlite::types::FromSql;

/// The value of a row of one column.
pub(crate) fn only<T: FromSql>(row: &Row<'_>) -> rusqlite::Result<T> {
    row.get(0)
}

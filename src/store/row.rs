//! Reading the rows of a statement.
//!
//! Columns are read by their names and parameters are bound by theirs. Positions are for statements
//! whose columns are made at run time, those of streams' tables, and for what is bound row by row.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::RowIndex;
use rusqlite::types::FromSql;

/// The value of a row of one column.
pub(crate) fn only<T: FromSql>(row: &Row<'_>) -> rusqlite::Result<T> {
    row.get(0)
}

/// A text that must be one of an enum's names: any other one is an error and never a default.
/// `at` is where it stands in the row, `column` the table and the column that it is from.
pub(crate) fn named<T: FromStr>(
    row: &Row<'_>,
    at: impl RowIndex,
    column: (&str, &str),
) -> rusqlite::Result<T> {
    let text: String = row.get(at)?;
    name_of(&text, column)
}

/// The same, where there may be none.
pub(crate) fn named_or_none<T: FromStr>(
    row: &Row<'_>,
    at: impl RowIndex,
    column: (&str, &str),
) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(at)?;
    text.map(|text| name_of(&text, column)).transpose()
}

/// The value that a text names; another text is an error that names the column (see [`named`]).
pub(crate) fn name_of<T: FromStr>(text: &str, column: (&str, &str)) -> rusqlite::Result<T> {
    text.parse().map_err(|_| unknown(text, column))
}

/// The error of a text that is none of those that a column of a table may hold.
pub(crate) fn unknown(text: &str, (table, column): (&str, &str)) -> rusqlite::Error {
    let text = crate::model::excerpt(text, TEXT_SHOWN_MAX);
    let message = format!("`{text}` is no value of `{column}` in `{table}`");
    let kind = rusqlite::types::Type::Text;
    rusqlite::Error::FromSqlConversionFailure(0, kind, message.into())
}

/// Letters of a wrong text that are shown: enough to find it, and a message stays on one line.
const TEXT_SHOWN_MAX: usize = 60;

pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    text: &str,
    column: usize,
) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}

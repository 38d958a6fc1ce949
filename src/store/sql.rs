//! Names, types and columns of tables, as SQL has them.

use rusqlite::{Connection, named_params};

use crate::definition::{ColumnStorage, ColumnType};

/// An SQL identifier in quotes. Names come from checked definitions; quoting makes a mistake
/// there harmless.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn sql_type(kind: ColumnType) -> &'static str {
    match kind.storage() {
        ColumnStorage::Integer => "INTEGER",
        ColumnStorage::Real => "REAL",
        ColumnStorage::Any => "ANY",
        ColumnStorage::Text => "TEXT",
        ColumnStorage::Blob => "BLOB",
    }
}

/// The key of a row as one text that tells every value and type.
pub(crate) fn key_text(key: &[String], row: &str) -> String {
    let parts: Vec<String> =
        key.iter().map(|name| format!("quote({row}.{})", quote(name))).collect();
    parts.join(" || ',' || ")
}

/// The table that holds a stream's history.
pub(crate) fn history_name(stream: &str) -> String {
    format!("{stream}_history")
}

/// A column of a table that is there.
pub(crate) struct LiveColumn {
    pub name: String,
    pub sql_type: String,
    pub required: bool,
}

/// The columns of a table of the file, in its order; none where it is not there.
pub(crate) fn live_columns(
    connection: &Connection,
    table: &str,
) -> rusqlite::Result<Vec<LiveColumn>> {
    let sql = "SELECT name, type, \"notnull\" AS required FROM pragma_table_info(:table, 'main')
        ORDER BY cid";
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.query_map(named_params! { ":table": table }, |row| {
        Ok(LiveColumn {
            name: row.get("name")?,
            sql_type: row.get("type")?,
            required: row.get("required")?,
        })
    })?;
    columns.collect()
}

//! Why a statement of windrow's failed on an archive: the archive is not as windrow makes it, or
//! windrow is wrong. It looks only once something has failed, and changes nothing.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, named_params};

use crate::host::Stop;

use crate::model::{Error, ErrorKind};
use crate::store::foreign::open_guarded;
use crate::store::formats::objects;
use crate::store::formats::{ArchiveFormat, FORMATS};
use crate::store::row::only;
use crate::store::schema::compare;
use crate::store::sql::quote;
use crate::store::stops::end_when;

/// Looks at the clock of SQLite's instructions that a diagnosis may take: some seconds of work. A
/// large archive is then not looked at to its end.
const LOOKS_MAX: u32 = 30_000;

/// Columns of windrow's own tables that hold JSON, without a check of SQLite's.
const JSON: [(&str, &str); 8] = [
    ("_windrow_streams", "key"),
    ("_windrow_streams", "columns"),
    ("_windrow_rebuilds", "key"),
    ("_windrow_rebuilds", "columns"),
    ("_windrow_rebuilds", "objects"),
    ("_windrow_run_streams", "plan"),
    ("_windrow_outbox", "key_rule"),
    ("_windrow_outbox", "answer_headers"),
];

/// Columns of numbers that may be below zero.
const SIGNED: [&str; 2] = ["skew_ms", "exit_code"];

/// The first thing about the archive at `path` that is not as windrow makes it, by its table and
/// column.
pub(crate) fn oddity(path: &Path) -> Option<String> {
    if !path.is_file() {
        return None;
    }
    let opened = open_guarded(path, OpenFlags::SQLITE_OPEN_READ_ONLY, &Stop::never());
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(error) => return Some(error.message),
    };
    let mut looks = 0;
    let enough = move || {
        looks += 1;
        looks > LOOKS_MAX
    };
    end_when(&mut connection, enough).ok()?;
    let version = connection.query_row("PRAGMA user_version", [], only).ok()?;
    let Some(format) = FORMATS.known(version).filter(|format| format.version() > 0) else {
        return Some(format!("its format is {version}"));
    };
    own_tables(&connection, format)
        .or_else(|| own_values(&connection, format))
        .or_else(|| other_objects(&connection, format))
}

/// Refuses an archive of a format in which a table of windrow's is missing or another.
pub(crate) fn refuse_other_tables(
    connection: &Connection,
    path: &Path,
    format: ArchiveFormat,
) -> Result<(), Error> {
    match own_tables(connection, format) {
        Some(found) => Err(not_as_made(path, &found)),
        None => Ok(()),
    }
}

/// A table of windrow's that is missing or another.
fn own_tables(connection: &Connection, format: ArchiveFormat) -> Option<String> {
    let all = objects(connection).ok()?;
    for ours in format.schema().ok()?.iter().filter(|object| object.kind == "table") {
        if all.contains(ours) {
            continue;
        }
        let (there, name) = (all.iter().find(|it| it.name == ours.name), &ours.name);
        return Some(match there {
            None => format!("it has no table `{name}`"),
            Some(other) if other.kind != "table" => format!("`{name}` is a {}", other.kind),
            Some(_) => format!("the table `{name}` has other columns or rules"),
        });
    }
    None
}

/// A value that is none of its column's.
fn own_values(connection: &Connection, format: ArchiveFormat) -> Option<String> {
    for ours in format.schema().ok()?.iter().filter(|object| object.kind == "table") {
        let found = odd_value(connection, &ours.name);
        // What cannot be read at all is told by whoever reads it.
        if let Ok(Some(found)) = found {
            return Some(found);
        }
    }
    // Types, NULL and CHECK: SQLite knows these rules itself.
    let mut statement = connection.prepare("PRAGMA quick_check(1)").ok()?;
    let line: String = statement.query_row([], only).ok()?;
    (line != "ok").then_some(line)
}

fn odd_value(connection: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare("SELECT name, type FROM pragma_table_info(:table)")?;
    let columns = statement.query_map(named_params! { ":table": table }, |row| {
        Ok((row.get("name")?, row.get("type")?))
    })?;
    let columns: Vec<(String, String)> = columns.collect::<rusqlite::Result<_>>()?;
    let list: Vec<String> = columns.iter().map(|(name, _)| quote(name)).collect();
    let sql = format!("SELECT {} FROM {}", list.join(", "), quote(table));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for (at, (column, kind)) in columns.iter().enumerate() {
            let is_json = JSON.contains(&(table, column));
            let what = match (kind.as_str(), row.get_ref(at)?) {
                ("TEXT", ValueRef::Text(bytes)) => match std::str::from_utf8(bytes) {
                    Err(_) => "is no Unicode text",
                    Ok(text) if is_json && !is_json_text(text) => "is no JSON",
                    Ok(_) => continue,
                },
                ("INTEGER", ValueRef::Integer(number)) => {
                    if number >= 0 || SIGNED.contains(&column.as_str()) {
                        continue;
                    }
                    "is below zero"
                }
                ("TEXT", ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_)) => {
                    "is no text"
                }
                ("INTEGER", ValueRef::Text(_) | ValueRef::Real(_) | ValueRef::Blob(_)) => {
                    "is no whole number"
                }
                ("BLOB", ValueRef::Text(_) | ValueRef::Integer(_) | ValueRef::Real(_)) => {
                    "is no bytes"
                }
                // What may be NULL, and what the columns without such a type may hold, SQLite
                // knows.
                _ => continue,
            };
            return Ok(Some(format!("a value of `{column}` in `{table}` {what}")));
        }
    }
    Ok(None)
}

fn is_json_text(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// A stream's table that is missing, and what stands in the schema that windrow did not make.
fn other_objects(connection: &Connection, format: ArchiveFormat) -> Option<String> {
    let (foreign, missing) = match compare(connection, format) {
        Ok(found) => found,
        Err(error) => return Some(format!("`_windrow_streams` cannot be read: {error}")),
    };
    if let Some(name) = missing.first() {
        return Some(format!("it has no table `{name}`"));
    }
    let ours = |table: &str| {
        let sql = "SELECT 1 FROM _windrow_streams WHERE lower(stream) = lower(:table)";
        let is_stream = connection
            .prepare(sql)
            .and_then(|mut found| found.exists(named_params! { ":table": table }));
        table.to_ascii_lowercase().starts_with("_windrow_") || is_stream.unwrap_or(false)
    };
    let found = foreign.iter().find(|object| ours(&object.table) || ours(&object.name))?;
    let (kind, name, table) = (&found.kind, &found.name, &found.table);
    Some(match name == table {
        true => format!("the {kind} `{name}` is not as windrow makes it"),
        false => format!("the {kind} `{name}` on `{table}` is not windrow's"),
    })
}

pub(super) const DAMAGED_HELP: &str =
    "keep the file as it is and go back to a copy; `windrow verify` tells more of a copy of it";

/// An archive with something in it that windrow does not make.
pub(crate) fn not_as_made(path: &Path, what: &str) -> Error {
    let message = format!("{} is not as windrow makes it: {what}", path.display());
    Error::new(ErrorKind::Unusable, message).help(DAMAGED_HELP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::tests::{archive_with, usage_shape};

    /// Else windrow's own bugs would be called the archive's.
    #[test]
    fn nothing_is_odd_about_an_archive_that_windrow_made() {
        let (_folder, archive) = archive_with(&usage_shape());
        assert_eq!(oddity(archive.path()), None);
    }
}

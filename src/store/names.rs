//! The names in an archive that somebody else made: those that a definition could have made.
//!
//! Names become SQL, names of files, commands to paste and lines on a terminal. What a definition
//! would not take is refused with the archive, wherever in it such a name stands.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::named_params;

use crate::definition::{is_column_name, is_given_name};
use crate::model::{Command, Error, ErrorKind, KeyShape, TableColumn, printable};

use crate::store::foreign::at_file;
use crate::store::row::only;
use crate::store::sql::{history_name, live_columns, quote};

/// Columns of windrow's own in the tables of streams.
const OWN: [&str; 9] = [
    "_key",
    "_rest",
    "_first_seen_at",
    "_changed_at",
    "_revision",
    "_run",
    "_deleted_at",
    "_replaced_at",
    "_replaced_run",
];
/// The longest text that a run says of itself: a version, a time, an identity of 32 digits.
const TEXT_CHARS_MAX: usize = 200;

/// What a name must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grammar {
    /// What a definition calls a source, a stream or an alert.
    Given,
    /// The same, or nothing.
    GivenOrNone,
    /// A command that writes runs.
    Command,
    /// A version, a time or an identity: letters of ASCII that can be seen.
    Plain,
}

impl Grammar {
    fn takes(self, name: &str) -> bool {
        let short = name.len() <= TEXT_CHARS_MAX;
        match self {
            Grammar::Given => is_given_name(name),
            Grammar::GivenOrNone => name.is_empty() || is_given_name(name),
            Grammar::Command => name.parse::<Command>().is_ok(),
            Grammar::Plain => short && name.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        }
    }
}

/// The columns of windrow's own tables that hold a name, by what they are called in each of them.
const NAMES: [(&str, Grammar, &str); 12] = [
    ("stream", Grammar::GivenOrNone, "a stream"),
    ("source", Grammar::GivenOrNone, "a source"),
    ("alert", Grammar::Given, "an alert"),
    ("command", Grammar::Command, "a command"),
    ("windrow_version", Grammar::Plain, "a version"),
    ("uid", Grammar::Plain, "a run"),
    ("archive_id", Grammar::Plain, "an archive"),
    ("parent_id", Grammar::Plain, "an archive"),
    ("handoff_id", Grammar::Plain, "a hand-off"),
    ("sender", Grammar::Plain, "a sender"),
    ("started_at", Grammar::Plain, "a time"),
    ("finished_at", Grammar::Plain, "a time"),
];

/// A name that no definition could have made, and of what.
#[derive(Debug, PartialEq, Eq)]
struct Odd {
    of: String,
    name: String,
}

/// Refuses an archive with a name that no definition could have made.
pub(crate) fn check_names(connection: &Connection, path: &Path) -> Result<(), Error> {
    let Some(odd) = odd_name(connection).map_err(at_file(path))? else { return Ok(()) };
    let (file, name) = (path.display(), printable(&odd.name));
    let message = format!("{file} calls {} `{name}`, which no definition can", odd.of);
    let help = "somebody has altered it: ask for a hand-off from somebody whom you trust";
    Err(Error::new(ErrorKind::Unsafe, message).help(help))
}

fn odd_name(connection: &Connection) -> rusqlite::Result<Option<Odd>> {
    let sql = "SELECT m.name AS \"table\", c.name AS \"column\" FROM sqlite_schema AS m,
        pragma_table_info(m.name) AS c
        WHERE m.type = 'table' AND m.name LIKE '\\_windrow\\_%' ESCAPE '\\' AND c.type = 'TEXT'";
    let mut statement = connection.prepare(sql)?;
    let all = statement.query_map([], |row| Ok((row.get("table")?, row.get("column")?)))?;
    for each in all {
        let (table, column): (String, String) = each?;
        // What an alert is about may be any table.
        let alerts = table == "_windrow_alerts" && column == "stream";
        let known = NAMES.iter().find(|(name, ..)| *name == column && !alerts);
        let Some((_, grammar, of)) = known else { continue };
        if let Some(name) = odd_in(connection, &table, &column, *grammar)? {
            return Ok(Some(Odd { of: (*of).to_owned(), name }));
        }
    }
    odd_column(connection)
}

/// The first value of a column that its grammar does not take.
fn odd_in(
    connection: &Connection,
    table: &str,
    column: &str,
    grammar: Grammar,
) -> rusqlite::Result<Option<String>> {
    let (table, column) = (quote(table), quote(column));
    let sql = format!("SELECT {column} AS name FROM {table} WHERE {column} IS NOT NULL");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref("name")?.as_bytes_or_null().ok().flatten().unwrap_or_default();
        let name = String::from_utf8_lossy(bytes);
        if !grammar.takes(&name) {
            return Ok(Some(name.into_owned()));
        }
    }
    Ok(None)
}

/// The first column of a stream, or of what is kept of it, that no definition could have named.
fn odd_column(connection: &Connection) -> rusqlite::Result<Option<Odd>> {
    let sql = "SELECT stream, key, columns FROM _windrow_streams
        UNION ALL SELECT stream, key, columns FROM _windrow_rebuilds";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let stream: String = row.get("stream")?;
        let key: KeyShape = crate::store::row::from_json(&row.get::<_, String>("key")?, 1)?;
        let columns: Vec<TableColumn> =
            crate::store::row::from_json(&row.get::<_, String>("columns")?, 2)?;
        let mut names: Vec<String> = columns.into_iter().map(|column| column.name).collect();
        names.extend(key.columns().into_iter().filter(|name| name != "_key"));
        if let Some(name) = names.into_iter().find(|name| !is_column_name(name)) {
            return Ok(Some(Odd { of: format!("a column of the stream {stream}"), name }));
        }
        for table in histories(connection, &stream)? {
            let live = live_columns(connection, &table)?.into_iter().map(|column| column.name);
            let mut odd =
                live.filter(|name| !OWN.contains(&name.as_str()) && !is_column_name(name));
            if let Some(name) = odd.next() {
                return Ok(Some(Odd { of: format!("a column of {table}"), name }));
            }
        }
    }
    Ok(None)
}

/// The tables that keep what the stream once said.
fn histories(connection: &Connection, stream: &str) -> rusqlite::Result<Vec<String>> {
    let history = history_name(stream);
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table'
        AND (name = :history OR substr(name, 1, length(:history) + 7) = :history || '_until_')";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map(named_params! { ":history": &history }, only)?;
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::tests::{archive_with, usage_shape};

    #[test]
    fn names_are_held_against_the_grammar_of_definitions() {
        for (grammar, good, bad) in [
            (
                Grammar::Given,
                &["usage", "a", "service_lines_2"][..],
                &[
                    "",
                    "Usage",
                    "2a",
                    "_x",
                    "a b",
                    "a-b",
                    "a\u{1b}[2J",
                    "é",
                    "a\n",
                    "a\"",
                    "sqlite_x",
                ][..],
            ),
            (Grammar::GivenOrNone, &["", "usage"], &[" ", "a;b", "a\u{202e}", "../a", "a'"]),
            (
                Grammar::Command,
                &["sync", "rejects retry", "vanished --undo"],
                &[
                    "",
                    "-x",
                    "sync\n",
                    "a\u{9b}31m",
                    "sync; rm",
                    "Sync",
                    "sync\u{200b}",
                    "vanished --undo 12",
                ],
            ),
            (
                Grammar::Plain,
                &["0.1.0", "2026-01-10T12:00:00+00:00", "a1b2/3/x", ""],
                &["\u{1b}]0;x\u{7}", "a\tb", "\u{7f}", "é", "a\u{2066}"],
            ),
        ] {
            good.iter().for_each(|name| assert!(grammar.takes(name), "{grammar:?} {name:?}"));
            bad.iter().for_each(|name| assert!(!grammar.takes(name), "{grammar:?} {name:?}"));
        }
        assert!(!Grammar::Given.takes(&"a".repeat(64)) && !Grammar::Plain.takes(&"a".repeat(201)));
    }

    #[test]
    fn a_name_that_no_definition_makes_is_found_wherever_it_stands() {
        let evil = "a\u{1b}]0;x\u{7}";
        let run = "INSERT INTO _windrow_runs (run_id, uid, archive_id, read_at, command,
            windrow_version, started_at, state)";
        let statements = [
            format!("{run} VALUES (1, 'u', 'a', '', '{evil}', '0', 'now', 'complete')"),
            format!("{run} VALUES (1, 'u', 'a', '', 'sync', '{evil}', 'now', 'complete')"),
            format!("{run} VALUES (1, 'u', 'a', '', 'sync', '0', '{evil}', 'complete')"),
            format!("INSERT INTO _windrow_waits VALUES ('{evil}', 'now', 'x', 'now')"),
            format!("INSERT INTO _windrow_clocks VALUES ('{evil}', 1, 'now')"),
            format!("INSERT INTO _windrow_fields VALUES ('{evil}', 'f', 'text', 'always')"),
            format!("INSERT INTO _windrow_disputed VALUES ('{evil}', '', '', '', '')"),
            format!("INSERT INTO _windrow_lineage VALUES ('a', '{evil}', 'b', 'now')"),
            format!("INSERT INTO _windrow_manifest_marks VALUES ('{evil}', 1, x'00')"),
            format!(
                "UPDATE _windrow_streams SET stream = '{evil}'; ALTER TABLE usage RENAME TO \
                 \"{evil}\""
            ),
            format!(
                "UPDATE _windrow_streams SET columns = replace(columns, '\"gb\"', \
                 '\"g{}\"')",
                "\\u001b"
            ),
            "UPDATE _windrow_streams SET columns = replace(columns, '\"gb\"', '\"g b\"')"
                .to_owned(),
            "ALTER TABLE usage_history ADD COLUMN \"x\u{202e}\" TEXT".to_owned(),
        ];
        for sql in statements {
            let mut shape = usage_shape();
            shape.retention.history = true;
            let (_folder, archive) = archive_with(&shape);
            check_names(&archive.connection, Path::new("a.db")).expect("as windrow makes it");
            archive.connection.execute_batch("PRAGMA foreign_keys = OFF").expect("a setting");
            archive.connection.execute_batch(&sql).expect(&sql);
            let refused = check_names(&archive.connection, Path::new("a.db")).expect_err(&sql);
            assert_eq!(refused.kind, ErrorKind::Unsafe, "{sql}");
            assert_eq!(printable(&refused.message), refused.message, "{sql}");
        }
    }
}

//! What an archive's schema must be: what windrow makes, and nothing else.
//!
//! windrow's own tables are compared word for word with those that its migrations make. A stream's
//! table may have got its columns one after the other, so it is read by its words: typed columns,
//! one UNIQUE key, STRICT, and no word besides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::named_params;

use crate::model::{Error, ErrorKind, KeyShape, TableColumn};

use crate::store::foreign::at_file;
use crate::store::formats::{ArchiveFormat, SchemaObject, objects};
use crate::store::row::from_json;
use crate::store::sql::{history_name, live_columns, quote, sql_type};

/// What a table is made of.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    /// Name, type, and whether it must hold something.
    columns: BTreeSet<(String, String, bool)>,
    key: Option<Vec<String>>,
}

/// Refuses a schema with anything that windrow does not make.
pub(crate) fn check_schema(
    connection: &Connection,
    path: &Path,
    format: ArchiveFormat,
) -> Result<(), Error> {
    check(connection, path, format, &|_, _| true)
}

/// Refuses what stands where a table of windrow's must be. What an analyst has made besides stays
/// unread.
pub(crate) fn check_own_tables(
    connection: &Connection,
    path: &Path,
    format: ArchiveFormat,
) -> Result<(), Error> {
    check(connection, path, format, &|object, streams| {
        let named = |name: &String| name.eq_ignore_ascii_case(&object.name);
        object.name.to_ascii_lowercase().starts_with("_windrow_") || streams.iter().any(named)
    })
}

/// Refuses, beside what [`check_own_tables`] does, whatever acts on a table of windrow's when it is
/// written: triggers, and indexes that are more than a list of columns.
pub(crate) fn check_nothing_acts(
    connection: &Connection,
    path: &Path,
    format: ArchiveFormat,
) -> Result<(), Error> {
    check(connection, path, format, &|object, streams| {
        let own = |name: &str| {
            let listed = |stream: &String| {
                name.eq_ignore_ascii_case(stream)
                    || name.eq_ignore_ascii_case(&history_name(stream))
            };
            name.to_ascii_lowercase().starts_with("_windrow_") || streams.iter().any(listed)
        };
        own(&object.name) || own(&object.table) && !is_plain_index(object)
    })
}

/// Whether an object that windrow did not make is in the way of the streams of these names.
type IsOdd<'o> = dyn Fn(&SchemaObject, &[String]) -> bool + 'o;

fn check(
    connection: &Connection,
    path: &Path,
    format: ArchiveFormat,
    odd: &IsOdd<'_>,
) -> Result<(), Error> {
    let name = path.display();
    let (mut foreign, missing) = compare(connection, format).map_err(|error| match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, error) => {
            let message = format!("{name} is damaged: its list of streams is none ({error})");
            Error::new(ErrorKind::Unusable, message).help("ask for it again")
        }
        error => at_file(path)(error),
    })?;
    let names = streams(connection).map(|streams| streams.into_keys().collect());
    let names: Vec<String> = names.unwrap_or_default();
    foreign.retain(|object| odd(object, &names));
    if let Some(object) = foreign.first() {
        let more = match foreign.len() {
            1 => String::new(),
            2 => ", and one thing more".to_owned(),
            more => format!(", and {} things more", more - 1),
        };
        let article = if object.kind == "index" { "an" } else { "a" };
        let message = format!(
            "{name} holds {article} {} `{}` that windrow did not make{more}",
            object.kind, object.name
        );
        return Err(Error::new(ErrorKind::Unsafe, message).help(
            "take it only as a hand-off (`windrow handoff` leaves out what is not windrow's), from \
             somebody whom you trust",
        ));
    }
    if let Some(lacking) = missing.first() {
        let message = format!("{name} is damaged: it has no table `{lacking}` as windrow makes it");
        return Err(Error::new(ErrorKind::Unusable, message).help("ask for it again"));
    }
    crate::store::names::check_names(connection, path)
}

/// Objects that windrow does not make, and tables that must be there and are not.
pub(crate) fn compare(
    connection: &Connection,
    format: ArchiveFormat,
) -> rusqlite::Result<(Vec<SchemaObject>, Vec<String>)> {
    let mut foreign = Vec::new();
    let ours: BTreeSet<SchemaObject> = format.schema()?.into_iter().collect();
    let all = objects(connection)?;
    let missing: Vec<String> = ours
        .iter()
        .filter(|object| object.kind == "table" && !all.contains(object))
        .map(|object| object.name.clone())
        .collect();
    if !missing.is_empty() {
        // Nothing can be asked of it; what stands in the place of a table is named.
        let odd = all.into_iter().filter(|object| missing.contains(&object.name));
        return Ok((odd.collect(), missing));
    }
    let streams = streams(connection)?;
    for object in all {
        let known = ours.contains(&object)
            || match object.kind.as_str() {
                "table" => is_streams_table(&object, &streams),
                "index" => is_historys_index(&object, &streams),
                _ => false,
            };
        if !known {
            foreign.push(object);
        }
    }
    let gone = streams.keys().filter(|name| {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = :name";
        !connection
            .prepare(sql)
            .and_then(|mut s| s.exists(named_params! { ":name": name }))
            .unwrap_or(false)
    });
    Ok((foreign, gone.cloned().collect()))
}

type StreamShapes = BTreeMap<String, (KeyShape, Vec<TableColumn>)>;

fn streams(connection: &Connection) -> rusqlite::Result<StreamShapes> {
    let mut statement = connection.prepare("SELECT stream, key, columns FROM _windrow_streams")?;
    let rows = statement.query_map([], |row| {
        let key = from_json(&row.get::<_, String>("key")?, 1)?;
        Ok((row.get("stream")?, (key, from_json(&row.get::<_, String>("columns")?, 2)?)))
    })?;
    rows.collect()
}

/// The name of the stream whose history a table is, if it is one's.
fn stream_of_history<'s>(table: &str, streams: &'s StreamShapes) -> Option<&'s String> {
    streams.keys().find(|stream| {
        let Some(rest) = table.strip_prefix(&history_name(stream)) else { return false };
        let run = rest.strip_prefix("_until_");
        rest.is_empty() || run.is_some_and(|run| run.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn is_streams_table(object: &SchemaObject, streams: &StreamShapes) -> bool {
    let Some(made) = read_table(&object.sql, &object.name) else { return false };
    if let Some((key, columns)) = streams.get(&object.name) {
        let key = key.columns();
        let own = own_columns(&key, columns);
        let mark = ("_deleted_at".to_owned(), "TEXT".to_owned(), false);
        let mut have = made.columns;
        have.remove(&mark);
        return made.key.as_ref() == Some(&key) && have == own;
    }
    // A history has the columns that its stream has or had, and says when each was replaced.
    let replaced = [("_replaced_at", "TEXT"), ("_replaced_run", "INTEGER")];
    let has = |(name, kind): &(&str, &str)| {
        made.columns.contains(&((*name).to_owned(), (*kind).to_owned(), true))
    };
    made.key.is_none()
        && replaced.iter().all(has)
        && stream_of_history(&object.name, streams).is_some()
}

/// The columns that a stream's table has.
fn own_columns(key: &[String], columns: &[TableColumn]) -> BTreeSet<(String, String, bool)> {
    let mut all = BTreeSet::new();
    let mut put = |name: &str, kind: &str, required: bool| {
        all.insert((name.to_owned(), kind.to_owned(), required));
    };
    if key == ["_key"] {
        put("_key", "TEXT", true);
    }
    for column in columns {
        put(&column.name, sql_type(column.kind), key.contains(&column.name));
    }
    put("_rest", "TEXT", false);
    put("_first_seen_at", "TEXT", true);
    put("_changed_at", "TEXT", true);
    put("_revision", "INTEGER", true);
    put("_run", "INTEGER", true);
    all
}

/// An index on columns of a history, and no more than that.
fn is_historys_index(object: &SchemaObject, streams: &StreamShapes) -> bool {
    // windrow writes names in quotes; a bare one is an analyst's.
    let ours = object.sql.starts_with("CREATE INDEX \"");
    ours && stream_of_history(&object.table, streams).is_some() && is_plain_index(object)
}

/// Whether an object is an index on a list of columns, with nothing that SQLite would evaluate.
fn is_plain_index(object: &SchemaObject) -> bool {
    let Some(words) = words(&object.sql) else { return false };
    let head = ["CREATE", "INDEX"].map(|word| Word::Plain(word.to_owned()));
    let Some(rest) = words.strip_prefix(head.as_slice()) else { return false };
    let [name, Word::Plain(on), table, Word::Mark('('), list @ ..] = rest else { return false };
    let Some(list) = list.strip_suffix(&[Word::Mark(')')]) else { return false };
    let plain = list.iter().enumerate().all(|(at, word)| match word {
        Word::Mark(',') => at % 2 == 1,
        Word::Mark(_) => false,
        _ => at % 2 == 0,
    });
    name.is(&object.name) && on == "ON" && table.is(&object.table) && plain
}

/// A word of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// `"in quotes"`, without them.
    Name(String),
    /// A bare word, in capitals.
    Plain(String),
    /// One of `(`, `)` and `,`.
    Mark(char),
}

impl Word {
    /// Whether it is this name, in quotes or bare.
    fn is(&self, name: &str) -> bool {
        match self {
            Word::Name(own) => own == name,
            Word::Plain(own) => own.eq_ignore_ascii_case(name),
            Word::Mark(_) => false,
        }
    }
}

/// The words of a statement; none where it has anything besides names, words, brackets, commas.
fn words(sql: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = sql.chars().peekable();
    while let Some(&next) = rest.peek() {
        match next {
            ' ' | '\n' => drop(rest.next()),
            '(' | ')' | ',' => {
                words.push(Word::Mark(next));
                rest.next();
            }
            '"' => {
                rest.next();
                let mut name = String::new();
                loop {
                    match (rest.next()?, rest.peek()) {
                        ('"', Some('"')) => {
                            rest.next();
                            name.push('"');
                        }
                        ('"', _) => break,
                        (other, _) => name.push(other),
                    }
                }
                words.push(Word::Name(name));
            }
            letter if letter.is_ascii_alphabetic() || letter == '_' => {
                let mut word = String::new();
                while let Some(letter) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    word.push(letter.to_ascii_uppercase());
                }
                words.push(Word::Plain(word));
            }
            _ => return None,
        }
    }
    Some(words)
}

const TYPES: [&str; 5] = ["TEXT", "INTEGER", "REAL", "BLOB", "ANY"];

/// Reads the statement of a table that is made of typed columns and at most one UNIQUE key; none
/// for any other.
fn read_table(sql: &str, name: &str) -> Option<Made> {
    let words = words(sql)?;
    let mut head = Vec::new();
    head.extend(["CREATE", "TABLE"].map(|word| Word::Plain(word.to_owned())));
    head.extend([Word::Name(name.to_owned()), Word::Mark('(')]);
    let tail = [Word::Mark(')'), Word::Plain("STRICT".to_owned())];
    let mut body = words.strip_prefix(head.as_slice())?.strip_suffix(&tail)?;
    let mut made = Made { columns: BTreeSet::new(), key: None };
    loop {
        body = read_item(body, &mut made)?;
        match body {
            [] => return Some(made),
            [Word::Mark(','), rest @ ..] => body = rest,
            _ => return None,
        }
    }
}

/// Reads one column or the key; gives what follows.
fn read_item<'w>(words: &'w [Word], made: &mut Made) -> Option<&'w [Word]> {
    match words {
        [Word::Name(name), Word::Plain(kind), rest @ ..] if TYPES.contains(&kind.as_str()) => {
            let not_null = ["NOT", "NULL"].map(|word| Word::Plain(word.to_owned()));
            let after = rest.strip_prefix(&not_null);
            let column = (name.clone(), kind.clone(), after.is_some());
            made.columns.insert(column).then(|| after.unwrap_or(rest))
        }
        [Word::Plain(unique), Word::Mark('('), rest @ ..]
            if unique == "UNIQUE" && made.key.is_none() =>
        {
            let end = rest.iter().position(|word| *word == Word::Mark(')'))?;
            let mut key = Vec::new();
            for (at, word) in rest[..end].iter().enumerate() {
                match word {
                    Word::Name(name) if at % 2 == 0 => key.push(name.clone()),
                    Word::Mark(',') if at % 2 == 1 => {}
                    _ => return None,
                }
            }
            made.key = Some(key);
            Some(&rest[end + 1..])
        }
        _ => None,
    }
}

/// The first of windrow's tables that is not as windrow makes it, and what is odd with it.
pub(crate) fn altered(
    connection: &Connection,
    format: ArchiveFormat,
    given: &[String],
) -> rusqlite::Result<Option<(String, String)>> {
    let (foreign, missing) = compare(connection, format)?;
    if let Some(table) = missing.into_iter().find(|name| !is_left(connection, name, given)) {
        return Ok(Some((table, "is not there as windrow makes it".to_owned())));
    }
    let is_ours = |object: &&SchemaObject| object.kind == "table" && given.contains(&object.name);
    let Some(table) = foreign.iter().find(is_ours).map(|object| &object.name) else {
        return Ok(None);
    };
    let streams = streams(connection)?;
    let own = streams.get(table).map(|(key, columns)| own_columns(&key.columns(), columns));
    let mut own: BTreeSet<String> = own.into_iter().flatten().map(|(name, _, _)| name).collect();
    own.insert("_deleted_at".to_owned());
    let all = live_columns(connection, table)?;
    let odd = all.into_iter().find(|column| !own.contains(&column.name));
    let what = match odd {
        Some(column) => {
            format!("has the column `{}`, which windrow did not make", column.name)
        }
        None => "is not made as windrow makes it".to_owned(),
    };
    Ok(Some((table.clone(), what)))
}

/// Whether a table is that of a stream that does not matter.
fn is_left(connection: &Connection, table: &str, given: &[String]) -> bool {
    !given.iter().any(|stream| stream == table)
        && streams(connection).is_ok_and(|streams| streams.contains_key(table))
}

/// What windrow did not make, in an order in which it can be dropped: views and triggers first,
/// since they may hang on tables.
pub(crate) fn foreign_objects(
    connection: &Connection,
    format: ArchiveFormat,
) -> rusqlite::Result<Vec<SchemaObject>> {
    const ORDER: [&str; 4] = ["trigger", "view", "index", "table"];
    let (mut foreign, _) = compare(connection, format)?;
    foreign.retain(|object| ORDER.contains(&object.kind.as_str()));
    foreign.sort_by_key(|object| ORDER.iter().position(|kind| *kind == object.kind));
    Ok(foreign)
}

/// The statement that drops it. What belongs to a table that has gone has gone with it.
pub(crate) fn drop_statement(object: &SchemaObject) -> String {
    format!("DROP {} IF EXISTS {}", object.kind, quote(&object.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::formats::tests::LATER;
    use crate::store::table::tests::{archive_with, usage_shape};

    #[test]
    fn the_schema_that_windrow_makes_is_taken_however_it_grew() {
        let mut shape = usage_shape();
        shape.retention.history = true;
        shape.retention.marks = true;
        let (_folder, archive) = archive_with(&shape);
        let row = "INSERT INTO usage VALUES ('a', '1', 1.0, NULL, NULL, 'now', 'now', 1, 1, NULL)";
        archive.connection.execute(row, []).expect("a row");
        let plan = TableColumn {
            name: "plan".into(),
            kind: crate::definition::ColumnType::Number,
            tolerance: None,
        };
        shape.columns.push(plan);
        archive.transaction(|tx| tx.ensure_table(&shape, None, "now")).expect("a column more");
        let format = crate::store::FORMATS.newest();
        assert_eq!(compare(&archive.connection, format).expect("read"), (vec![], vec![]));
    }

    #[test]
    fn whatever_windrow_does_not_make_is_found() {
        let cases = [
            "CREATE VIEW v AS SELECT 1",
            "CREATE TABLE mine (a)",
            "CREATE INDEX i ON usage (gb)",
            "CREATE TRIGGER t AFTER INSERT ON usage BEGIN SELECT 1; END",
            "CREATE TABLE usage_history (a TEXT) STRICT",
            "CREATE VIRTUAL TABLE f USING fts5(a)",
            "ALTER TABLE usage ADD COLUMN x TEXT DEFAULT (hex(1))",
            "ALTER TABLE _windrow_meta ADD COLUMN x TEXT",
        ];
        for sql in cases {
            let (_folder, archive) = archive_with(&usage_shape());
            archive.connection.execute_batch(sql).expect(sql);
            let format = crate::store::FORMATS.newest();
            let (foreign, missing) = compare(&archive.connection, format).expect("read");
            assert!(!foreign.is_empty() || !missing.is_empty(), "{sql}");
            if sql.starts_with("CREATE") && !sql.contains("VIRTUAL") {
                let foreign = foreign_objects(&archive.connection, format).expect("read");
                assert_eq!(foreign.len(), 1);
                archive.connection.execute_batch(&drop_statement(&foreign[0])).expect(sql);
                let left = compare(&archive.connection, format).expect("read");
                assert_eq!(left, (vec![], vec![]), "{sql}");
            }
        }
    }

    #[test]
    fn an_archive_that_says_that_it_is_older_than_it_is_is_refused() {
        let (folder, archive) = archive_with(&usage_shape());
        let path = archive.path().to_owned();
        archive.close().expect("closed");
        let files = &crate::host::SystemFiles;
        let opening =
            crate::store::Opening { note: "test", now: "now", allow_network_fs: false, files };
        let archive = crate::store::Archive::open_with(&path, &opening, LATER).expect("later");
        archive.connection.execute_batch("PRAGMA user_version = 1").expect("a lie");
        let format = crate::store::open::check_identity(&archive.connection, &path, LATER)
            .expect("an archive");
        let refused = check_schema(&archive.connection, folder.path(), format);
        assert_eq!(refused.expect_err("it holds more").kind, ErrorKind::Unsafe);
    }

    #[test]
    fn what_acts_on_a_table_when_it_is_written_is_found() {
        let cases = [
            ("CREATE TABLE mine (a)", true),
            ("CREATE VIEW v AS SELECT * FROM usage", true),
            ("CREATE INDEX i ON usage (gb)", true),
            ("CREATE INDEX \"i\" ON \"usage\" (\"gb\", _run)", true),
            ("CREATE INDEX m ON mine_too (hex(a))", true),
            ("CREATE INDEX i ON usage (hex(zeroblob(gb)))", false),
            ("CREATE INDEX i ON usage (gb) WHERE gb > 1", false),
            ("CREATE UNIQUE INDEX i ON usage (gb)", false),
            ("CREATE INDEX i ON _windrow_meta (lower(value))", false),
            ("CREATE TRIGGER t AFTER INSERT ON usage BEGIN SELECT 1; END", false),
            ("CREATE TRIGGER t AFTER UPDATE ON _windrow_runs BEGIN SELECT 1; END", false),
            ("CREATE TRIGGER t AFTER INSERT ON mine_too BEGIN DELETE FROM usage; END", true),
            ("ALTER TABLE usage ADD COLUMN x TEXT DEFAULT (hex(1))", false),
        ];
        for (sql, taken) in cases {
            let (folder, archive) = archive_with(&usage_shape());
            let batch = format!("CREATE TABLE mine_too (a); {sql}");
            archive.connection.execute_batch(&batch).expect(sql);
            let format = crate::store::FORMATS.newest();
            let found = check_nothing_acts(&archive.connection, folder.path(), format);
            assert_eq!(found.is_ok(), taken, "{sql}: {found:?}");
        }
    }

    #[test]
    fn only_typed_columns_and_one_key_are_a_table() {
        let good =
            "CREATE TABLE \"a\" (\n \"x\" TEXT NOT NULL, \"y\"\"z\" ANY,\n UNIQUE (\"x\")) STRICT";
        assert!(read_table(good, "a").is_some());
        let bad = [
            "CREATE TABLE \"a\" (\"x\" TEXT)",
            "CREATE TABLE \"a\" (\"x\" TEXT DEFAULT 1) STRICT",
            "CREATE TABLE \"a\" (\"x\" TEXT CHECK (load(\"x\"))) STRICT",
            "CREATE TABLE \"a\" (\"x\" TEXT GENERATED ALWAYS AS (1)) STRICT",
            "CREATE TABLE \"a\" (\"x\" TEXT COLLATE NOCASE) STRICT",
            "CREATE TABLE \"a\" (\"x\" TEXT, \"x\" TEXT) STRICT",
            "CREATE TABLE \"b\" (\"x\" TEXT) STRICT",
            "CREATE TABLE \"a\" (\"x\" TEXT) STRICT -- more",
            "CREATE TABLE \"a\" (\"x\" TEXT, UNIQUE (\"x\") ON CONFLICT REPLACE) STRICT",
        ];
        for sql in bad {
            assert_eq!(read_table(sql, "a"), None, "{sql}");
        }
    }
}

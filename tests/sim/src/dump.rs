//! An archive as one text that depends on its contents alone, and not on who wrote them when.
//!
//! It holds: streams with their keys and columns; rows in the order of their keys, with when they
//! were first seen and the latest fetch that speaks for them; all other contents of each key that
//! are kept; rows that are gone; what the ledger covers, how fresh and whether settled, with
//! touching stretches joined; marks; runs by name; rejects; fields and their changes;
//! adoptions; raw pages by hash, in order. It leaves out what is each archive's own: numbers of
//! runs and rows, revisions, when a row was written and replaced here, merges and hand-offs,
//! fetches that were broken off, doubts (who met whom first decides
//! what is asked again), clocks, waits, the outbox, alerts, lineage.
//!
//! The simulator and the laws of merges (`tests/merge_laws.rs`) compare archives by it. It reads
//! the file as any user does, by SQL.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};
use windrow::model::{Error, KeyShape, hexadecimal};
use windrow::store::{AnswerPart, Reader, StreamRow, Value};

/// Lists of windrow's own that are the same in every archive that has been told the same.
const LISTS: [(&str, &str); 7] = [
    (
        "run",
        "SELECT uid, command, archive_id, read_at, started_at, finished_at FROM _windrow_runs
         WHERE command NOT IN ('merge', 'handoff') ORDER BY uid",
    ),
    (
        "reject",
        "SELECT stream, partition, kind, record_sha256, first_seen_at, discarded_at, discarded_by,
            discard_note, closed_at FROM _windrow_rejects ORDER BY 1, 2, 3, 4",
    ),
    ("field", "SELECT stream, field, kinds, usage FROM _windrow_fields ORDER BY 1, 2"),
    (
        "change",
        "SELECT l.stream, l.change, l.field, l.detail, l.at, r.uid FROM _windrow_schema_log AS l
         JOIN _windrow_runs AS r USING (run_id) ORDER BY 1, 2, 3, 4, 5, 6",
    ),
    (
        "adoption",
        "SELECT a.stream, r.uid, a.file, a.sha256 FROM _windrow_adoptions AS a
         JOIN _windrow_runs AS r USING (run_id) ORDER BY 1, 2",
    ),
    (
        "page",
        "SELECT p.stream, p.partition, p.start_at, r.uid, p.written_at, b.sha256
         FROM _windrow_raw_pages AS p JOIN _windrow_runs AS r USING (run_id)
         JOIN _windrow_raw_bodies AS b USING (body_id) ORDER BY p.page_id",
    ),
    (
        "mark",
        "SELECT stream, partition, requested_at, dated_by_source, cursor FROM _windrow_ledger
         WHERE start_at = '' AND state IN ('complete', 'settled') ORDER BY 1, 2",
    ),
];

/// Columns of a stream's table and history that say nothing of the row itself.
const OWN_COLUMNS: [&str; 6] =
    ["_first_seen_at", "_changed_at", "_revision", "_run", "_replaced_at", "_replaced_run"];

/// The name under which a row says that it is marked as gone.
const MARK: &str = "_deleted_at";

/// The archive as a text; see above for its contents. It is in memory as a whole.
pub fn canonical_dump(reader: &Reader) -> Result<String, Error> {
    let mut out = String::new();
    for stream in &reader.streams()? {
        dump_stream(reader, stream, &mut out)?;
    }
    for (name, sql) in LISTS {
        for row in ask(reader, sql)?.rows {
            line(&mut out, &format!("{name} {}", cells(&row)));
        }
    }
    Ok(out)
}

/// The answer to a query.
#[derive(Default)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

fn ask(reader: &Reader, sql: &str) -> Result<Table, Error> {
    let mut table = Table::default();
    reader.query(sql, &mut |part| {
        match part {
            AnswerPart::Columns(names) => table.columns = names.to_vec(),
            AnswerPart::Row(values) => table.rows.push(values),
        }
        Ok(())
    })?;
    Ok(table)
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn cells(row: &[Value]) -> String {
    row.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ")
}

fn text(value: &Value) -> &str {
    if let Value::Text(text) = value { text } else { "" }
}

fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn dump_stream(reader: &Reader, stream: &StreamRow, out: &mut String) -> Result<(), Error> {
    let key = match &stream.key {
        KeyShape::Columns(columns) => columns.join(", "),
        KeyShape::Hash(fields) => format!("hash of {}", fields.join(", ")),
    };
    line(out, &format!("stream {} ({key})", stream.stream));
    let types: BTreeMap<String, String> = stream
        .columns
        .iter()
        .map(|c| (c.name.to_ascii_lowercase(), format!("{:?}", c.kind).to_lowercase()))
        .collect();
    for (name, kind) in types {
        line(out, &format!("column {name} {kind}"));
    }
    let mut current = BTreeMap::new();
    for row in contents(reader, stream, &stream.stream)? {
        let Content { key, text, first_seen_at, read } = row;
        line(out, &format!("row {key} {text} first {first_seen_at} read {read:?}"));
        current.insert(key, text);
    }
    for (key, text) in other_contents(reader, stream)? {
        if current.get(&key) != Some(&text) {
            line(out, &format!("other {key} {text}"));
        }
    }
    let gone = format!(
        "SELECT v.key, r.uid FROM _windrow_vanished AS v JOIN _windrow_runs AS r
         USING (run_id) WHERE v.stream = {} AND v.state = 'deleted' ORDER BY 1",
        literal(&stream.stream)
    );
    for row in ask(reader, &gone)?.rows {
        line(out, &format!("gone {}", cells(&row)));
    }
    dump_coverage(reader, &stream.stream, out)
}

/// Contents of keys beside the standing ones: in the history, and those that lost in a merge.
fn other_contents(
    reader: &Reader,
    stream: &StreamRow,
) -> Result<BTreeSet<(String, String)>, Error> {
    let mut others = BTreeSet::new();
    let history = format!("{}_history", stream.stream);
    let kept = format!("SELECT 1 FROM sqlite_schema WHERE name = {}", literal(&history));
    if !ask(reader, &kept)?.rows.is_empty() {
        let rows = contents(reader, stream, &history)?.into_iter();
        others.extend(rows.map(|content| (content.key, content.text)));
    }
    let sql = format!(
        "SELECT key, row FROM _windrow_superseded WHERE stream = {}",
        literal(&stream.stream)
    );
    let rows = ask(reader, &sql)?.rows;
    others.extend(rows.iter().map(|row| (text(&row[0]).to_owned(), text(&row[1]).to_owned())));
    Ok(others)
}

/// What a row of a stream's table or history says.
struct Content {
    /// The values of its key, as SQL literals.
    key: String,
    text: String,
    first_seen_at: String,
    /// As of when it is known to say so, and by which run.
    read: (String, String),
}

/// The contents of a stream's table or history, by key.
fn contents(reader: &Reader, stream: &StreamRow, table: &str) -> Result<Vec<Content>, Error> {
    let columns = ask(reader, &format!("SELECT * FROM main.{} LIMIT 0", name(table)))?.columns;
    let columns: Vec<String> =
        columns.into_iter().filter(|name| !OWN_COLUMNS.contains(&name.as_str())).collect();
    let names: Vec<String> = columns.iter().map(|column| format!("t.{}", name(column))).collect();
    let key = stream.key.columns();
    let literals: Vec<String> = key.iter().map(|part| format!("quote(t.{})", name(part))).collect();
    let order: Vec<String> = key.iter().map(|part| format!("t.{}", name(part))).collect();
    let sql = format!(
        "SELECT {key}, t.\"_first_seen_at\", coalesce(r.read_at, ''), coalesce(r.uid, ''), {names}
         FROM main.{table} AS t
         LEFT JOIN _windrow_confirmed AS c
            ON c.stream = {stream} AND c.key = {key} AND c.row_run = t.\"_run\"
         LEFT JOIN _windrow_runs AS r ON r.run_id = coalesce(c.run_id, t.\"_run\")
         ORDER BY {order}",
        key = literals.join(" || ',' || "),
        names = names.join(", "),
        table = name(table),
        stream = literal(&stream.stream),
        order = order.join(", ")
    );
    let rows = ask(reader, &sql)?.rows.into_iter().map(|row| Content {
        key: text(&row[0]).to_owned(),
        text: content_text(&columns, &row[4..]),
        first_seen_at: text(&row[1]).to_owned(),
        read: (text(&row[2]).to_owned(), text(&row[3]).to_owned()),
    });
    Ok(rows.collect())
}

/// A JSON object of the columns that are not null, by name: as windrow writes it for a row that
/// has lost in a merge.
fn content_text(columns: &[String], values: &[Value]) -> String {
    let mut members = BTreeMap::new();
    for (name, value) in columns.iter().zip(values) {
        let said = match value {
            Value::Null => continue,
            _ if name == MARK => Json::Bool(true),
            Value::Integer(number) => Json::from(*number),
            // Both zeros are equal, and must say the same.
            Value::Real(0.0) => Json::from(0.0),
            Value::Real(number) if number.is_finite() => Json::from(*number),
            Value::Real(number) => json!({ "real": number.to_string() }),
            Value::Text(text) => Json::from(text.as_str()),
            Value::Blob(bytes) => json!({ "blob": hexadecimal(bytes) }),
        };
        members.insert(name.to_ascii_lowercase(), said);
    }
    Json::Object(Map::from_iter(members)).to_string()
}

/// Stretches that touch and are known alike are one, however they were cut.
fn dump_coverage(reader: &Reader, stream: &str, out: &mut String) -> Result<(), Error> {
    let sql = format!(
        "SELECT start_at, min(coalesce(read_to, end_at), end_at), partition, state, requested_at,
            dated_by_source
         FROM _windrow_ledger WHERE stream = {} AND start_at <> ''
            AND state IN ('complete', 'settled') AND coalesce(read_to, end_at) > start_at
         ORDER BY partition, start_at",
        literal(stream)
    );
    let mut joined: Vec<(Vec<Value>, String, String)> = Vec::new();
    for mut row in ask(reader, &sql)?.rows {
        let known = row.split_off(2);
        let (start, end) = (text(&row[0]).to_owned(), text(&row[1]).to_owned());
        match joined.last_mut() {
            Some((before, _, to)) if *before == known && *to == start => *to = end,
            _ => joined.push((known, start, end)),
        }
    }
    for (known, start, end) in joined {
        line(out, &format!("covered {start}..{end} {}", cells(&known)));
    }
    Ok(())
}

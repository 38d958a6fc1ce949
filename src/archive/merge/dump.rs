//! An archive as one text that depends on what it holds alone, and not on who brought it when.
//!
//! It holds: streams with their keys and columns; rows in the order of their keys, with when they
//! were first seen and the latest reading that speaks for them; all other contents of each key that
//! are kept; rows that are gone; what the ledger covers, how fresh and whether settled, with
//! touching stretches joined; marks; runs by name; rejects; fields and their changes;
//! adoptions; raw pages by hash, in order. It leaves out what is each archive's own: numbers of
//! runs and rows, revisions, when a row was written and replaced here, merges and hand-offs,
//! readings that were broken off, doubts (who met whom first decides
//! what is asked again), clocks, waits, the outbox, alerts, lineage.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use crate::archive::error::ArchiveError;
use crate::archive::history::{history_name, live_columns};
use crate::archive::read::{Reader, StreamRow};
use crate::archive::table::{key_text as key_name, quote, type_text};
use crate::archive::vanished::key_text;

use super::content::Content;
use super::reading_of;
use super::rows::Found;

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
            discard_note FROM _windrow_rejects ORDER BY 1, 2, 3, 4",
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
        "SELECT stream, partition, requested_at, by_source, cursor FROM _windrow_ledger
         WHERE start_at = '' AND state IN ('complete', 'settled') ORDER BY 1, 2",
    ),
];

/// The archive as a text; see above for what it holds. In memory as a whole: for tests and for
/// people who look for a difference between archives of moderate size.
pub fn canonical_dump(reader: &Reader) -> Result<String, ArchiveError> {
    let streams = reader.streams()?;
    reader.run(|connection| {
        let mut out = String::new();
        for stream in &streams {
            dump_stream(connection, stream, &mut out)?;
        }
        for (name, sql) in LISTS {
            let mut statement = connection.prepare(sql)?;
            let width = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                out.push_str(&format!("{name} {}\n", cells(row, width)?));
            }
        }
        Ok(out)
    })
}

fn cells(row: &Row<'_>, width: usize) -> rusqlite::Result<String> {
    let cell = |n| row.get::<_, Value>(n).map(|value| format!("{value:?}"));
    Ok((0..width).map(cell).collect::<rusqlite::Result<Vec<_>>>()?.join(" "))
}

fn dump_stream(
    connection: &Connection,
    stream: &StreamRow,
    out: &mut String,
) -> rusqlite::Result<()> {
    out.push_str(&format!("stream {} ({})\n", stream.stream, key_name(&stream.key)));
    let types: BTreeMap<String, String> = stream
        .columns
        .iter()
        .map(|column| (column.name.to_ascii_lowercase(), type_text(column.kind)))
        .collect();
    for (name, kind) in types {
        out.push_str(&format!("column {name} {kind}\n"));
    }
    let mut current = BTreeMap::new();
    each_content(connection, stream, &stream.stream, &mut |key, content, row| {
        let read = read_last(connection, &stream.stream, key, row.run)?;
        let first = &row.first_seen_at;
        out.push_str(&format!("row {key} {} first {first} read {read:?}\n", content.text));
        current.insert(key.to_owned(), content.digest);
        Ok(())
    })?;
    let mut others: BTreeSet<(String, String)> = BTreeSet::new();
    let history = history_name(&stream.stream);
    if !live_columns(connection, &history)?.is_empty() {
        each_content(connection, stream, &history, &mut |key, content, _| {
            others.insert((key.to_owned(), content.text));
            Ok(())
        })?;
    }
    let sql = "SELECT key, row FROM _windrow_superseded WHERE stream = ?1";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([&stream.stream])?;
    while let Some(row) = rows.next()? {
        others.insert((row.get(0)?, row.get(1)?));
    }
    for (key, text) in others {
        if current.get(&key) != Some(&crate::archive::digest::sha256_of(&text)) {
            out.push_str(&format!("other {key} {text}\n"));
        }
    }
    let sql = "SELECT v.key, r.uid FROM _windrow_vanished AS v JOIN _windrow_runs AS r
        USING (run_id) WHERE v.stream = ?1 AND v.state = 'deleted' ORDER BY 1";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([&stream.stream])?;
    while let Some(row) = rows.next()? {
        out.push_str(&format!("gone {}\n", cells(row, 2)?));
    }
    dump_coverage(connection, &stream.stream, out)
}

type Take<'t> = dyn FnMut(&str, Content, &Found) -> rusqlite::Result<()> + 't;

/// The contents of a stream's table or history, by key.
fn each_content(
    connection: &Connection,
    stream: &StreamRow,
    table: &str,
    take: &mut Take<'_>,
) -> rusqlite::Result<()> {
    let own = ["_first_seen_at", "_changed_at", "_revision", "_run", "_replaced_at"];
    let columns = live_columns(connection, table)?.into_iter().map(|column| column.name);
    let columns: Vec<String> =
        columns.filter(|name| !own.contains(&name.as_str()) && name != "_replaced_run").collect();
    let names: Vec<String> = columns.iter().map(|name| quote(name)).collect();
    let key = stream.key.columns();
    let order: Vec<String> = key.iter().map(|name| quote(name)).collect();
    let sql = format!(
        "SELECT {}, \"_first_seen_at\", \"_changed_at\", \"_revision\", \"_run\", _rowid_, {}
         FROM main.{} AS t ORDER BY {}",
        names.join(", "),
        key_text(&key, "t"),
        quote(table),
        order.join(", ")
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let found = Found::of(row, columns.len())?;
        let key: String = row.get(columns.len() + 5)?;
        take(&key, Content::of(&columns, &found.values), &found)?;
    }
    Ok(())
}

/// As of when a row is known to say what it says, and by which run.
fn read_last(
    connection: &Connection,
    stream: &str,
    key: &str,
    run: i64,
) -> rusqlite::Result<(String, String)> {
    let sql = "SELECT coalesce((SELECT run_id FROM _windrow_confirmed
        WHERE stream = ?1 AND key = ?2 AND row_run = ?3), ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    let run = statement.query_row((stream, key, run), |row| row.get(0))?;
    let read = reading_of(connection, run)?;
    Ok((read.read_at, read.uid))
}

/// Stretches that touch and are known alike are one, however they were cut.
fn dump_coverage(connection: &Connection, stream: &str, out: &mut String) -> rusqlite::Result<()> {
    let sql = "SELECT partition, start_at, min(coalesce(read_to, end_at), end_at), state,
            requested_at, by_source
        FROM _windrow_ledger WHERE stream = ?1 AND start_at <> ''
            AND state IN ('complete', 'settled') AND coalesce(read_to, end_at) > start_at
        ORDER BY 1, 2";
    type Known = (String, String, String, bool);
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([stream])?;
    let mut last: Option<(Known, String, String)> = None;
    let mut put = |last: &Option<(Known, String, String)>| {
        if let Some((known, start, end)) = last {
            out.push_str(&format!("covered {start}..{end} {known:?}\n"));
        }
    };
    while let Some(row) = rows.next()? {
        let known: Known = (row.get(0)?, row.get(3)?, row.get(4)?, row.get(5)?);
        let (start, end): (String, String) = (row.get(1)?, row.get(2)?);
        match &mut last {
            Some((before, _, to)) if *before == known && *to == start => *to = end,
            _ => {
                put(&last);
                last = Some((known, start, end));
            }
        }
    }
    put(&last);
    Ok(())
}

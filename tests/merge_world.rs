//! Archives for the laws of merges: generated, of streams of all kinds, by runs that overlap,
//! conflict and break off, under definitions that have a column more or less.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::Value as Json;

use windrow::definition::{Column, Definition, Key, parse_definition};
use windrow::host::SystemFiles;
use windrow::merge::merge;
use windrow::merge::{MergeOrder, MergeReport};
use windrow::model::{
    Cell, Checkpoint, Command, Filled, GoneScope, Outcomes, Reject, RejectKind, RowSet, State,
    TableShape, Timestamp, Window, WindowKey, instant_to_text,
};
use windrow::record::{Filler, RecordReader};
use windrow::store::{Archive, Opening, Reader, RunEnd, RunStart, TableWriter, Value};

use crate::dump::canonical_dump;

/// So many cases, after those of a file that once failed.
pub fn cases(count: u32, failed: &'static str) -> ProptestConfig {
    let kept = FileFailurePersistence::Direct(failed);
    ProptestConfig {
        failure_persistence: Some(Box::new(kept)),
        ..ProptestConfig::with_cases(count)
    }
}

/// Streams of all kinds, which differ in what decides between rows and in what is kept of them.
const STREAMS: [(&str, &str); 6] = [
    ("plain", "key = \"id\""),
    ("versioned", "key = \"id\"\nversion = \"v\"\nhistory = true"),
    ("hashed", "key = { hash = [\"id\"] }\nhistory = true"),
    ("firstcome", "key = \"id\"\non_conflict = \"keep\""),
    ("leaving", "key = \"id\"\nmissing = \"delete\"\nmissing_ratio_max = 1.0"),
    ("tombs", "key = \"id\"\nversion = \"v\"\ndeleted = \"$.gone\""),
];
const DAYS: i64 = 5;
/// Columns that a definition may have or lack; bit by bit.
const EXTRAS: [(&str, &str); 2] =
    [("plan", "plan = \"text\""), ("tag", "tag = { type = \"integer\", path = \"$.deep.tag\" }")];
/// What records hold beside the columns that all definitions have.
const RESTS: [&str; 7] = [
    "{}",
    r#"{"deep":{"more":1,"tag":1},"plan":"x"}"#,
    r#"{"deep":{"more":1,"tag":"1"},"plan":"x"}"#,
    r#"{"deep":{"tag":"no"},"plan":"y"}"#,
    r#"{"deep":{"tag":2.0}}"#,
    r#"{"more":true,"plan":null}"#,
    r#"{"deep":5,"plan":"x"}"#,
];

fn definition(extras: usize) -> Definition {
    let mut text = "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"http://a\"\n".to_owned();
    for (name, more) in STREAMS {
        text.push_str(&format!(
            "[streams.{name}]\npath = \"/{name}\"\n\
             query = {{ from = \"{{{{ window.start }}}}\" }}\nrecords = \"$[*]\"\n{more}\n\
             window = {{ field = \"day\", start = \"2026-01-01\", step = \"1 day\", \
             format = \"%Y-%m-%d\" }}\n\
             columns = {{ id = \"text\", day = \"date\", gb = \"real\", v = \"integer\"{} }}\n",
            extra_columns(extras)
        ));
    }
    parse_definition("windrow.toml", &text).expect("a definition")
}

fn extra_columns(extras: usize) -> String {
    let has = |n: &usize| extras & (1 << n) != 0;
    (0..EXTRAS.len()).filter(has).map(|n| format!(", {}", EXTRAS[n].1)).collect()
}

/// A run: it reads a day of a stream.
#[derive(Clone, Debug)]
pub struct Sync {
    pub stream: usize,
    /// Key, content, version, and what is left over.
    pub rows: Vec<(u8, u8, Option<u8>, usize)>,
    /// The columns that its definition has besides.
    pub extras: usize,
    pub day: i64,
    pub days: i64,
    pub state: State,
    /// When it was, and as of when it speaks.
    pub at: i64,
    pub partition: bool,
    /// It read no source.
    pub adopts: bool,
    pub reject: Option<u8>,
}

fn sync() -> impl Strategy<Value = Sync> {
    let row = (0_u8..4, 0_u8..3, prop::option::of(0_u8..3), 0..RESTS.len());
    let rows = prop::collection::vec(row, 0..4);
    let extras = prop_oneof![3 => Just(0), 2 => 1_usize..4];
    let state = prop::sample::select(vec![State::Complete, State::Settled, State::Partial]);
    (
        (0..STREAMS.len(), rows, 0..DAYS, 1_i64..3, state),
        (0_i64..6, prop::bool::weighted(0.2), prop::bool::weighted(0.1), prop::option::of(0_u8..3)),
        extras,
    )
        .prop_map(
            |((stream, rows, day, days, state), (at, partition, adopts, reject), extras)| Sync {
                stream,
                rows,
                extras,
                day,
                days,
                state,
                at,
                partition,
                adopts,
                reject,
            },
        )
}

/// Seconds from the usual time of runs to one that has not come when archives are merged; odd, so
/// that no source dates the fetch.
const AHEAD_SECONDS: i64 = 40 * 86_400 + 1;

/// The same runs, those that are picked by a clock that ran ahead.
pub fn ahead(mut syncs: Vec<Sync>, picked: &[bool]) -> Vec<Sync> {
    for (sync, _) in syncs.iter_mut().zip(picked).filter(|(_, picked)| **picked) {
        sync.at = AHEAD_SECONDS + 2 * sync.at;
    }
    syncs
}

pub fn syncs(most: usize) -> impl Strategy<Value = Vec<Sync>> {
    prop::collection::vec(sync(), 0..most)
}

pub fn day(n: i64) -> Timestamp {
    chrono::DateTime::from_timestamp(1_767_225_600 + n * 86_400, 0).expect("in range")
}

pub fn open(path: &Path) -> Archive {
    let files = &SystemFiles;
    let opening = Opening { note: "test", now: "now", allow_network_fs: true, files };
    Archive::open(path, &opening).expect("an archive")
}

fn columns(definition: &Definition, stream: usize) -> &[Column] {
    definition.streams[stream].columns.as_deref().expect("columns")
}

fn shape(definition: &Definition, stream: usize) -> TableShape {
    TableShape::of(&definition.streams[stream], columns(definition, stream), false)
}

/// What fills those of the definition's columns, and nothing where there are none of them.
fn filler(definition: &Definition, stream: usize, wanted: &[String]) -> Option<Filler> {
    let reader = RecordReader::new(columns(definition, stream).to_vec(), Key::Columns(Vec::new()));
    Filler::new(&reader, wanted)
}

/// The rows, and what they leave over, as reading the records gives them. A record that does not
/// fit is none.
fn row_set(definition: &Definition, shape: &TableShape, of: &Sync) -> RowSet {
    let mut rows = RowSet::new(shape.row_width());
    let extras: Vec<String> = EXTRAS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let filler = filler(definition, of.stream, &extras);
    for (key, content, version, rest) in &of.rows {
        let filled = filler.as_ref().map(|filler| filler.fill(RESTS[*rest]));
        let filled = filled.map(|filled| filled.filter(|filled| filled.fits));
        if filled.as_ref().is_some_and(Option::is_none) {
            continue;
        }
        let id = format!("SL-{key}");
        let mut cells = Vec::new();
        if shape.row_columns()[0] == "_key" {
            cells.push(rows.push_text(&format!("hash of {id}")));
        }
        cells.push(rows.push_text(&id));
        cells.push(rows.push_text(&format!("2026-01-0{}", of.day + 1)));
        cells.push(Cell::Real(f64::from(*content)));
        cells.push(version.map_or(Cell::Null, |version| Cell::Integer(i64::from(version))));
        if let Some(filled) = filled.flatten() {
            for cell in filled.row.row(0) {
                cells.push(match *cell {
                    Cell::Text(..) => rows.push_text(filled.row.text_of(*cell).expect("text")),
                    plain => plain,
                });
            }
        } else {
            cells.push(match RESTS[*rest] {
                "{}" => Cell::Null,
                rest => rows.push_text(rest),
            });
        }
        if shape.retention.tombstones {
            cells.push(Cell::Integer(i64::from(*content == 2)));
        }
        rows.cells.extend(cells);
    }
    rows
}

fn apply(archive: &Archive, of: &Sync) {
    let definition = &definition(of.extras);
    let shape = shape(definition, of.stream);
    let now = day(31) + chrono::TimeDelta::seconds(of.at);
    let text = instant_to_text(now);
    let command = if of.adopts { Command::Adopt } else { Command::Sync };
    let start = RunStart { command, version: "0", definition: &definition.text, now };
    let run = archive.transaction(|tx| tx.start_run(&start)).expect("a run");
    let tx = archive.begin().expect("begun");
    let added = tx.ensure_table(&shape, None, &text).expect("a table");
    if let Some(filler) = filler(definition, of.stream, &added) {
        let fill = |rest: &str| filler.fill(rest);
        tx.fill_columns(&shape.name, filler.columns(), &fill, Some(run), &text).expect("filled");
    }
    let writer = TableWriter::new(shape.clone());
    let rows = row_set(definition, &shape, of);
    let partition = if of.partition { "\"p\"".to_owned() } else { String::new() };
    let window = Window::new(day(of.day), day(of.day + of.days));
    let place = WindowKey { stream: shape.name.clone(), partition, window };
    if shape.retention.watched {
        tx.begin_seen(&writer).expect("begun");
    }
    tx.write_rows(&writer, &rows, run, &text).expect("written");
    if let Some(reject) = of.reject {
        let reject = Reject {
            kind: RejectKind::Type,
            reason: "wrong".to_owned(),
            pointer: None,
            record: format!("{{\"n\":{reject}}}"),
            ancestors: None,
            position: 0,
        };
        tx.write_rejects(&place, &[reject], run, &text).expect("written");
    }
    // A fetch that is broken off leaves what an earlier one has proven.
    let proven = of.state == State::Partial && archive.is_complete(&place).expect("known");
    if !of.adopts && !proven {
        tx.write_progress(&progress(place.clone(), of.state, of.at % 2 == 0, now), run)
            .expect("written");
    }
    if shape.retention.watched {
        tx.note_seen(&writer, &rows).expect("noted");
        let scope =
            GoneScope { field: None, parent: Vec::new(), delete: true, ratio_max: 1.0, min: 0 };
        tx.settle_missing(&writer, &place, Some(&scope), run, &text).expect("settled");
    }
    tx.commit().expect("committed");
    let end = RunEnd::nothing_asked(now);
    archive.transaction(|tx| tx.end_run(run, &end)).expect("ended");
}

/// A fetch of a place that came to this.
pub fn progress(
    place: WindowKey,
    state: State,
    dated_by_source: bool,
    now: Timestamp,
) -> Checkpoint {
    Checkpoint {
        read_to: place.window.map(Window::end),
        window_key: place,
        state,
        requested_at: now,
        dated_by_source,
        asked_from: None,
        last_records: Some(1),
        at: now,
        token: None,
        cursor: None,
        pages: 1,
        outcomes: Outcomes::default(),
        out_of_window: 0,
        distinct_keys: None,
        source_total: None,
        error: None,
    }
}

/// Archives in a folder, by name.
pub struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// Three copies of one archive that have gone their own ways.
    pub fn new(shared: &[Sync], own: &[Vec<Sync>]) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let world = World { folder };
        world.work("base", shared);
        for (name, own) in ["a", "b", "c"].iter().zip(own) {
            world.copy("base", name);
            world.work(name, own);
        }
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.db"))
    }

    pub fn work(&self, name: &str, syncs: &[Sync]) {
        let archive = open(&self.path(name));
        syncs.iter().for_each(|sync| apply(&archive, sync));
        archive.close().expect("closed");
    }

    pub fn copy(&self, from: &str, to: &str) {
        std::fs::copy(self.path(from), self.path(to)).expect("a copy");
    }

    pub fn reader(&self, name: &str) -> Reader {
        Reader::open(&self.path(name)).expect("a reader")
    }

    pub fn take(&self, into: &str, from: &[&str]) -> MergeReport {
        let archive = open(&self.path(into));
        let now = day(60);
        let others: Vec<(String, Reader)> =
            from.iter().map(|name| ((*name).to_owned(), self.reader(name))).collect();
        let others: Vec<(String, &Reader)> =
            others.iter().map(|(name, reader)| (name.clone(), reader)).collect();
        let report = merge(&archive, &others, &MergeOrder { now, version: "0", dry_run: false });
        archive.close().expect("closed");
        report.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// A copy of `into` that has taken the others, one after another.
    pub fn merged(&self, into: &str, from: &[&str]) -> String {
        let name = format!("({into}+{})", from.join("+"));
        self.copy(into, &name);
        from.iter().for_each(|other| drop(self.take(&name, &[other])));
        name
    }

    pub fn dump(&self, name: &str) -> String {
        canonical_dump(&self.reader(name)).expect("a dump")
    }

    /// Everything that is in the file.
    pub fn everything(&self, name: &str) -> Vec<String> {
        let reader = self.reader(name);
        let mut all = Vec::new();
        for row in ask(&reader, "SELECT name FROM sqlite_schema WHERE type = 'table'") {
            let Value::Text(table) = &row[0] else { continue };
            let rows = ask(&reader, &format!("SELECT * FROM \"{table}\""));
            all.extend(rows.iter().map(|row| format!("{table} {row:?}")));
        }
        all
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("the file")
    }
}

/// All contents of each key of each stream, standing or not.
pub fn contents(dump: &str) -> BTreeSet<(String, String)> {
    let mut stream = String::new();
    let mut all = BTreeSet::new();
    for line in dump.lines() {
        if let Some(name) = line.strip_prefix("stream ") {
            name.clone_into(&mut stream);
        }
        let row = line.strip_prefix("row ").or_else(|| line.strip_prefix("other "));
        if let Some(row) = row {
            let said = row.split(" first ").next().unwrap_or_default();
            all.insert((stream.clone(), said.to_owned()));
        }
    }
    all
}

/// Stream and name of all columns.
fn columns_of(dump: &str) -> BTreeSet<(String, String)> {
    let mut stream = String::new();
    let mut all = BTreeSet::new();
    for line in dump.lines() {
        if let Some(name) = line.strip_prefix("stream ") {
            name.clone_into(&mut stream);
        } else if let Some(column) = line.strip_prefix("column ") {
            let name = column.split(' ').next().unwrap_or_default();
            all.insert((stream.clone(), name.to_owned()));
        }
    }
    all
}

/// What an archive says, in the columns that it gets where it is merged to `merged`.
pub fn contents_in(dump: &str, merged: &str) -> BTreeSet<(String, String)> {
    let (have, wanted) = (columns_of(dump), columns_of(merged));
    let fill = |(stream, said): (String, String)| {
        let new: Vec<String> = EXTRAS
            .iter()
            .map(|(name, _)| (stream.clone(), (*name).to_owned()))
            .filter(|column| wanted.contains(column) && !have.contains(column))
            .map(|(_, name)| name)
            .collect();
        let Some(filler) = filler(&definition(3), 0, &new) else { return (stream, said) };
        let (key, row) = said.split_once(" {").expect("a key and a row");
        let mut row: BTreeMap<String, Json> =
            serde_json::from_str(&format!("{{{row}")).expect("a row");
        let filled = row.get("_rest").and_then(|rest| filler.fill(rest.as_str()?));
        if let Some(Filled { row: filled, .. }) = filled {
            row.remove("_rest");
            let names = filler.columns().iter().map(String::as_str).chain(["_rest"]);
            for (name, cell) in names.zip(filled.row(0)) {
                let said = match *cell {
                    Cell::Null => continue,
                    Cell::Integer(number) => Json::from(number),
                    other => Json::from(filled.text_of(other).expect("text")),
                };
                row.insert(name.to_owned(), said);
            }
        }
        (stream, format!("{key} {}", serde_json::to_string(&row).expect("JSON")))
    };
    contents(dump).into_iter().map(fill).collect()
}

pub fn ask(reader: &Reader, sql: &str) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    reader
        .query(sql, &mut |part| {
            rows.extend(part.row());
            Ok(())
        })
        .expect(sql);
    rows
}

/// The days of each stream and partition that the ledger covers.
pub fn covered(reader: &Reader) -> BTreeSet<(String, i64)> {
    let sql = "SELECT stream || ' ' || partition, start_at, end_at FROM _windrow_ledger
        WHERE state IN ('complete', 'settled')";
    let mut days = BTreeSet::new();
    for row in ask(reader, sql) {
        let [Value::Text(place), Value::Text(start), Value::Text(end)] = &row[..] else {
            panic!("{row:?}")
        };
        for n in 0..DAYS + 2 {
            let day = instant_to_text(day(n));
            if *start <= day && day < *end {
                days.insert((place.clone(), n));
            }
        }
    }
    days
}

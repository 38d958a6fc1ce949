//! What holds of merges, whatever the archives hold and in whatever order they meet.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::archive::{
    Answer, Archive, Moment, Opening, Past, Reader, RunEnd, RunStart, TableWriter, Value,
};
use crate::definition::{Column, ColumnType, Definition, parse_definition};
use crate::host::SystemFiles;
use crate::model::{
    Cell, Instant, Outcomes, Place, Progress, Reject, RejectKind, RowSet, Scope, State, TableShape,
    Window, instant_to_text,
};

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

fn definition() -> Definition {
    let mut text = "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"http://a\"\n".to_owned();
    for (name, more) in STREAMS {
        text.push_str(&format!(
            "[streams.{name}]\npath = \"/{name}\"\n\
             query = {{ from = \"{{{{ window.start }}}}\" }}\nrecords = \"$[*]\"\n{more}\n\
             window = {{ field = \"day\", start = \"2026-01-01\", step = \"1 day\", \
             format = \"%Y-%m-%d\" }}\n\
             columns = {{ id = \"text\", day = \"date\", gb = \"real\", v = \"integer\" }}\n"
        ));
    }
    parse_definition("windrow.toml", &text).expect("a definition")
}

/// A run: it reads a day of a stream.
#[derive(Clone, Debug)]
struct Sync {
    stream: usize,
    /// Key, content, version.
    rows: Vec<(u8, u8, Option<u8>)>,
    day: i64,
    days: i64,
    state: State,
    /// When it was, and as of when it speaks.
    at: i64,
    partition: bool,
    /// It read no source.
    adopts: bool,
    reject: Option<u8>,
}

fn sync() -> impl Strategy<Value = Sync> {
    let rows = prop::collection::vec((0_u8..4, 0_u8..3, prop::option::of(0_u8..3)), 0..4);
    let state = prop::sample::select(vec![State::Complete, State::Settled, State::Partial]);
    (
        (0..STREAMS.len(), rows, 0..DAYS, 1_i64..3, state),
        (0_i64..6, prop::bool::weighted(0.2), prop::bool::weighted(0.1), prop::option::of(0_u8..3)),
    )
        .prop_map(|((stream, rows, day, days, state), (at, partition, adopts, reject))| Sync {
            stream,
            rows,
            day,
            days,
            state,
            at,
            partition,
            adopts,
            reject,
        })
}

fn syncs(most: usize) -> impl Strategy<Value = Vec<Sync>> {
    prop::collection::vec(sync(), 0..most)
}

pub(super) fn day(n: i64) -> Instant {
    chrono::DateTime::from_timestamp(1_767_225_600 + n * 86_400, 0).expect("in range")
}

pub(super) fn open(path: &Path) -> Archive {
    let files = &SystemFiles;
    let opening = Opening { note: "test", now: "now", allow_network_fs: true, files };
    Archive::open(path, &opening).expect("an archive")
}

fn shape(definition: &Definition, stream: usize) -> TableShape {
    let columns = [
        ("id", ColumnType::Text),
        ("day", ColumnType::Date),
        ("gb", ColumnType::Real),
        ("v", ColumnType::Integer),
    ];
    let columns: Vec<Column> =
        columns.iter().map(|(name, kind)| Column::plain(name, *kind)).collect();
    TableShape::of(&definition.streams[stream], &columns, false)
}

fn row_set(shape: &TableShape, of: &Sync) -> RowSet {
    let mut rows = RowSet::new(shape.row_width());
    for (key, content, version) in &of.rows {
        let id = format!("SL-{key}");
        let mut cells = Vec::new();
        if shape.row_columns()[0] == "_key" {
            cells.push(rows.push_text(&format!("hash of {id}")));
        }
        cells.push(rows.push_text(&id));
        cells.push(rows.push_text(&format!("2026-01-0{}", of.day + 1)));
        cells.push(Cell::Real(f64::from(*content)));
        cells.push(version.map_or(Cell::Null, |version| Cell::Integer(i64::from(version))));
        cells.push(Cell::Null);
        if shape.retention.tombstones {
            cells.push(Cell::Integer(i64::from(*content == 2)));
        }
        rows.cells.extend(cells);
    }
    rows
}

fn apply(archive: &Archive, definition: &Definition, of: &Sync) {
    let shape = shape(definition, of.stream);
    let now = day(31) + chrono::TimeDelta::seconds(of.at);
    let text = instant_to_text(now);
    let command = if of.adopts { "adopt" } else { "sync" };
    let start = RunStart { command, version: "0", definition: &definition.text, now };
    let run = archive.start_run(&start).expect("a run");
    archive.begin().expect("begun");
    archive.ensure_table(&shape, None, &text).expect("a table");
    let writer = TableWriter::new(shape.clone());
    let rows = row_set(&shape, of);
    let partition = if of.partition { "\"p\"".to_owned() } else { String::new() };
    let window = Window::new(day(of.day), day(of.day + of.days));
    let place = Place { stream: shape.name.clone(), partition, window };
    if shape.retention.watched {
        archive.begin_seen(&writer).expect("begun");
    }
    archive.write_rows(&writer, &rows, run, &text).expect("written");
    if let Some(reject) = of.reject {
        let reject = Reject {
            kind: RejectKind::Type,
            reason: "wrong".to_owned(),
            pointer: None,
            record: format!("{{\"n\":{reject}}}"),
            above: None,
            position: 0,
        };
        archive.write_rejects(&place, &[reject], run, &text).expect("written");
    }
    // A reading that is broken off leaves what an earlier one has proven.
    let proven = of.state == State::Partial && archive.is_complete(&place).expect("known");
    if !of.adopts && !proven {
        archive.write_progress(&progress(place.clone(), of, now), run).expect("written");
    }
    if shape.retention.watched {
        archive.note_seen(&writer, &rows).expect("noted");
        let scope = Scope { field: None, parent: Vec::new(), delete: true, ratio_max: 1.0 };
        archive.settle_missing(&writer, &place, Some(&scope), run, &text).expect("settled");
    }
    archive.commit().expect("committed");
    archive.end_run(run, &RunEnd::nothing_asked(now)).expect("ended");
}

fn progress(place: Place, of: &Sync, now: Instant) -> Progress {
    Progress {
        read_to: place.window.map(Window::end),
        place,
        state: of.state,
        requested_at: now,
        by_source: of.at % 2 == 0,
        asked_from: None,
        came: Some(1),
        at: now,
        token: None,
        cursor: None,
        pages: 1,
        outcomes: Outcomes::default(),
        strays: 0,
        distinct_keys: None,
        source_total: None,
        error: None,
    }
}

/// Archives in a folder, by name.
struct World {
    folder: tempfile::TempDir,
    definition: Definition,
}

impl World {
    /// Three copies of one archive that have gone their own ways.
    fn new(shared: &[Sync], own: &[Vec<Sync>]) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let world = World { folder, definition: definition() };
        world.work("base", shared);
        for (name, own) in ["a", "b", "c"].iter().zip(own) {
            world.copy("base", name);
            world.work(name, own);
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.db"))
    }

    fn work(&self, name: &str, syncs: &[Sync]) {
        let archive = open(&self.path(name));
        syncs.iter().for_each(|sync| apply(&archive, &self.definition, sync));
        archive.close().expect("closed");
    }

    fn copy(&self, from: &str, to: &str) {
        std::fs::copy(self.path(from), self.path(to)).expect("a copy");
    }

    fn reader(&self, name: &str) -> Reader {
        Reader::open(&self.path(name)).expect("a reader")
    }

    fn take(&self, into: &str, from: &[&str]) -> MergeReport {
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
    fn merged(&self, into: &str, from: &[&str]) -> String {
        let name = format!("({into}+{})", from.join("+"));
        self.copy(into, &name);
        from.iter().for_each(|other| drop(self.take(&name, &[other])));
        name
    }

    fn dump(&self, name: &str) -> String {
        canonical_dump(&self.reader(name)).expect("a dump")
    }

    /// Everything that is in the file.
    fn everything(&self, name: &str) -> Vec<String> {
        let reader = self.reader(name);
        let mut all = Vec::new();
        for row in ask(&reader, "SELECT name FROM sqlite_schema WHERE type = 'table'") {
            let Value::Text(table) = &row[0] else { continue };
            let rows = ask(&reader, &format!("SELECT * FROM \"{table}\""));
            all.extend(rows.iter().map(|row| format!("{table} {row:?}")));
        }
        all
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("the file")
    }
}

/// All contents of each key of each stream, standing or not.
fn contents(dump: &str) -> BTreeSet<(String, String)> {
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

struct Rows(Vec<Vec<Value>>);

impl Answer for Rows {
    fn columns(&mut self, _names: &[String]) -> std::io::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: Vec<Value>) -> std::io::Result<()> {
        self.0.push(values);
        Ok(())
    }
}

pub(super) fn ask(reader: &Reader, sql: &str) -> Vec<Vec<Value>> {
    let mut rows = Rows(Vec::new());
    reader.query(sql, &mut rows).expect(sql);
    rows.0
}

/// The days of each stream and partition that the ledger covers.
fn covered(reader: &Reader) -> BTreeSet<(String, i64)> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        shared in syncs(5), own in prop::collection::vec(syncs(6), 3..=3),
    ) {
        let world = World::new(&shared, &own);
        let ab = world.merged("a", &["b"]);
        let ba = world.merged("b", &["a"]);
        prop_assert_eq!(world.dump(&ab), world.dump(&ba), "commutative");
        let bc = world.merged("b", &["c"]);
        let left = world.merged(&ab, &["c"]);
        let right = world.merged("a", &[&bc]);
        let all = world.dump(&left);
        prop_assert_eq!(&all, &world.dump(&right), "associative");
        let other = world.merged("c", &[&ba]);
        prop_assert_eq!(&all, &world.dump(&other), "in any order");
        world.copy("c", "at_once");
        world.take("at_once", &["a", "b"]);
        prop_assert_eq!(&all, &world.dump("at_once"), "also of several at once");
        for (into, from) in [(&left, "a"), (&left, "b"), (&left, "c"), (&other, &*left)] {
            let before = world.bytes(into);
            let was = world.everything(into);
            let report = world.take(into, &[from]);
            let mut is = world.everything(into);
            is.retain(|line| !was.contains(line));
            prop_assert!(!report.changed, "{into} knows {from} already: {is:#?}");
            prop_assert!(before == world.bytes(into), "not a byte of {into} was touched");
        }
    }

    #[test]
    fn nothing_is_lost_and_coverage_is_exactly_the_union(
        shared in syncs(4), own in prop::collection::vec(syncs(8), 2..=2),
    ) {
        let world = World::new(&shared, &own);
        let ab = world.merged("a", &["b"]);
        let sides = ["a", "b"];
        let mut said = BTreeSet::new();
        let mut days = BTreeSet::new();
        for side in sides {
            said.extend(contents(&world.dump(side)));
            days.extend(covered(&world.reader(side)));
        }
        prop_assert_eq!(contents(&world.dump(&ab)), said);
        prop_assert_eq!(covered(&world.reader(&ab)), days);
    }

    #[test]
    fn at_no_moment_of_the_past_do_two_versions_of_a_row_stand(
        shared in syncs(6), own in prop::collection::vec(syncs(10), 2..=2),
    ) {
        let world = World::new(&shared, &own);
        let ab = world.merged("a", &["b"]);
        let last = ask(&world.reader(&ab), "SELECT coalesce(max(run_id), 0) FROM _windrow_runs");
        let [Value::Integer(last)] = last[0][..] else { panic!("{last:?}") };
        let at = |second| day(31) + chrono::TimeDelta::seconds(second);
        let moments = (0..7).map(|n| Moment::After(at(n))).chain((0..=last).map(Moment::Run));
        for stream in ["versioned", "hashed"] {
            if world.reader(&ab).stream(stream).expect("streams").is_none() {
                continue;
            }
            let once: BTreeMap<&str, BTreeSet<String>> = ["a", "b"]
                .map(|side| (side, keys(&world.reader(side), stream)))
                .into();
            for moment in moments.clone() {
                let then = as_of(&world, &ab, stream, &moment);
                let ids: BTreeSet<&String> = then.iter().map(|(id, _)| id).collect();
                prop_assert_eq!(ids.len(), then.len(), "{:?} {}: {:?}", &moment, stream, &then);
                if let Moment::After(_) = moment {
                    for (side, other) in [("a", "b"), ("b", "a")] {
                        let alone =
                            |id: &String| once[side].contains(id) && !once[other].contains(id);
                        let was: Vec<(String, String)> = if once[side].is_empty() {
                            Vec::new()
                        } else {
                            as_of(&world, side, stream, &moment)
                        };
                        let was: Vec<_> = was.into_iter().filter(|(id, _)| alone(id)).collect();
                        let is: Vec<_> =
                            then.iter().filter(|(id, _)| alone(id)).cloned().collect();
                        prop_assert_eq!(was, is, "{:?} {} alone in {}", &moment, stream, side);
                    }
                }
            }
        }
    }
}

/// The keys that a stream has ever had.
fn keys(reader: &Reader, stream: &str) -> BTreeSet<String> {
    if reader.stream(stream).expect("streams").is_none() {
        return BTreeSet::new();
    }
    let sql = format!("SELECT id FROM {stream} UNION SELECT id FROM {stream}_history");
    ask(reader, &sql).into_iter().map(|row| format!("{:?}", row[0])).collect()
}

fn as_of(world: &World, name: &str, stream: &str, moment: &Moment) -> Vec<(String, String)> {
    let past = Past::of(world.reader(name), moment).expect("a past");
    let mut rows = Rows(Vec::new());
    let sql = format!("SELECT id, gb, v FROM {stream} ORDER BY id");
    past.query(&sql, &mut rows).expect("rows");
    let text = |row: &Vec<Value>| (format!("{:?}", row[0]), format!("{:?}", &row[1..]));
    rows.0.iter().map(text).collect()
}

/// What a merge of two archives loses or claims too much, if anything.
#[cfg(feature = "planted")]
fn is_broken(world: &World) -> bool {
    let ab = world.merged("a", &["b"]);
    let sides = ["a", "b"].map(|side| world.dump(side));
    let said: BTreeSet<_> = sides.iter().flat_map(|dump| contents(dump)).collect();
    contents(&world.dump(&ab)) != said
}

#[cfg(feature = "planted")]
#[test]
fn every_planted_bug_of_a_merge_is_caught() {
    use crate::host::planted::{BUGS_OF_MERGE, plant};
    let one = |gb, at| Sync {
        stream: 0,
        rows: vec![(1, gb, None)],
        day: 1,
        days: 1,
        state: State::Settled,
        at,
        partition: false,
        adopts: false,
        reject: None,
    };
    let world = World::new(&[], &[vec![one(0, 1)], vec![one(1, 2)]]);
    assert!(!is_broken(&world));
    for bug in BUGS_OF_MERGE {
        plant(Some(bug));
        let caught = is_broken(&world);
        plant(None);
        assert!(caught, "{bug:?}");
    }
}

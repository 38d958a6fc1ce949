//! What holds of parts, whenever they were made and in whatever order they are taken: a day that is
//! called complete has all of its rows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use windrow::definition::{Column, ColumnType, Definition, parse_definition};
use windrow::handoff::{Draft, Naming, Part};
use windrow::host::Stop;
use windrow::merge::MergeOrder;
use windrow::merge::merge;
use windrow::model::{
    Cell, Command, RowSet, State, TableShape, Window, WindowKey, instant_to_text,
};
use windrow::store::{Archive, Reader, RunEnd, RunStart, RunStreamRow, TableWriter, Value};

use crate::dump::canonical_dump;
use crate::merge_world::{ask, cases, day, open, progress};

const STREAMS: [&str; 2] = ["one", "two"];
const LAPTOPS: usize = 3;
const DAYS: i64 = 4;

/// A day of a stream.
type StreamDay = (usize, i64);

/// What somebody does next.
#[derive(Clone, Debug)]
enum Act {
    /// A page of a day is read, the first of two or the last, in the run in hand or a new one.
    Read { stream: usize, day: i64, last: bool },
    /// The run in hand ends.
    End,
    /// It is killed.
    Kill,
    /// A file is made, whatever goes on; since so many runs before the latest.
    Give { since: Option<i64>, only: bool, some: bool },
    /// The file that was made so many files ago, or another's archive, is taken in, once and again.
    Take(usize),
}

/// Who does what next. The first laptop reads and gives most of the time, runs in hand or not, and
/// the others take what was given last: else a part seldom meets what it is based on.
fn act() -> impl Strategy<Value = (usize, Act)> {
    let read = (0..STREAMS.len(), 0..DAYS, prop::bool::weighted(0.8))
        .prop_map(|(stream, day, last)| Act::Read { stream, day, last });
    let part = (prop::option::weighted(0.6, 0_i64..3), any::<u8>());
    let give = part.prop_map(|(since, n)| Act::Give { since, only: n % 8 == 0, some: n % 6 == 0 });
    let (giver, taker) = (prop::sample::select(vec![0, 0, 0, 1]), 1..LAPTOPS);
    prop_oneof![
        6 => (giver.clone(), read),
        2 => (0..LAPTOPS).prop_map(|who| (who, Act::End)),
        1 => giver.clone().prop_map(|who| (who, Act::Kill)),
        4 => (giver, give),
        6 => (taker, 0_usize..3).prop_map(|(who, back)| (who, Act::Take(back))),
        1 => (0..LAPTOPS, 0_usize..100).prop_map(|(who, back)| (who, Act::Take(back))),
    ]
}

/// A file that was made in the middle of a run, then a part since about that run, then both again.
fn relay() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let days = (0..STREAMS.len(), 0..DAYS, 0..DAYS);
    (days, any::<bool>(), 0_i64..3, 1..LAPTOPS).prop_map(|(days, kill, back, taker)| {
        let (stream, day, later) = days;
        let read = |day| (0, Act::Read { stream, day, last: true });
        let give = |since| (0, Act::Give { since, only: false, some: false });
        let end = (0, if kill { Act::Kill } else { Act::End });
        let first = vec![(0, Act::End), (taker, Act::End), read(day), give(None)];
        let then = vec![(taker, Act::Take(0)), read(later), end, give(Some(back))];
        let takes = [0, 1, 0].map(|back| (taker, Act::Take(back)));
        [first, then, takes.to_vec()].concat()
    })
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let any = || prop::collection::vec(act(), 0..15);
    (any(), relay(), any(), relay(), any()).prop_map(|(a, b, c, d, e)| [a, b, c, d, e].concat())
}

struct Laptop {
    archive: Archive,
    run: Option<i64>,
}

struct World {
    folder: tempfile::TempDir,
    definition: Definition,
    laptops: Vec<Laptop>,
    files: usize,
    now: i64,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let mut text =
            "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"http://a\"\n".to_owned();
        for name in STREAMS {
            text.push_str(&format!(
                "[streams.{name}]\npath = \"/{name}\"\nrecords = \"$[*]\"\nkey = \"id\"\n\
                 query = {{ from = \"{{{{ window.start }}}}\" }}\n\
                 window = {{ field = \"day\", start = \"2026-01-01\", step = \"1 day\", \
                 format = \"%Y-%m-%d\" }}\ncolumns = {{ id = \"text\", day = \"date\" }}\n"
            ));
        }
        let definition = parse_definition("windrow.toml", &text).expect("a definition");
        let path = |n: usize| folder.path().join(format!("laptop{n}.db"));
        let laptops = (0..LAPTOPS).map(|n| Laptop { archive: open(&path(n)), run: None }).collect();
        World { folder, definition, laptops, files: 0, now: 0 }
    }

    fn laptop(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("laptop{n}.db"))
    }

    fn file(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("file{n}.db"))
    }

    fn act(&mut self, who: usize, act: &Act) {
        self.now += 1;
        match act {
            Act::Read { stream, day, last } => self.read(who, *stream, *day, *last),
            Act::End => self.end(who),
            Act::Kill => self.laptops[who].run = None,
            Act::Give { since, only, some } => {
                let latest = "SELECT coalesce(max(run_id), 0) FROM _windrow_runs";
                let reader = Reader::open(&self.laptop(who)).expect("a reader");
                let latest = match ask(&reader, latest)[0][0] {
                    Value::Integer(run) => run,
                    _ => 0,
                };
                let part = Part {
                    since: since.map(|back| (latest - back).max(0)),
                    streams: if *only { vec![STREAMS[0].to_owned()] } else { Vec::new() },
                    condition: some.then(|| "id LIKE '%first'".to_owned()),
                };
                give(&self.laptop(who), &self.file(self.files), &part);
                self.files += 1;
            }
            Act::Take(n) => match n % (self.files + LAPTOPS) {
                n if n < self.files => self.take(who, &self.file(self.files - 1 - n)),
                n => self.take(who, &self.laptop(n - self.files)),
            },
        }
    }

    fn read(&mut self, who: usize, stream: usize, on: i64, last: bool) {
        let now = day(31) + chrono::TimeDelta::seconds(self.now);
        let text = instant_to_text(now);
        let start = RunStart {
            command: Command::Sync,
            version: "0",
            definition: &self.definition.text,
            now,
        };
        let laptop = &mut self.laptops[who];
        let archive = &laptop.archive;
        let run = *laptop
            .run
            .get_or_insert_with(|| archive.transaction(|tx| tx.start_run(&start)).expect("a run"));
        let columns = [("id", ColumnType::Text), ("day", ColumnType::Date)];
        let columns = columns.map(|(name, kind)| Column::plain(name, kind));
        let shape = TableShape::of(&self.definition.streams[stream], &columns, false);
        let window = Window::new(day(on), day(on + 1));
        let name = STREAMS[stream].to_owned();
        let place = WindowKey { stream: name.clone(), partition: String::new(), window };
        let tx = archive.begin().expect("begun");
        tx.ensure_table(&shape, None, &text).expect("a table");
        // A fetch that was broken off goes on from its last page.
        let sql = format!(
            "SELECT 1 FROM _windrow_ledger WHERE stream = '{name}' AND state = 'partial'
                AND start_at = '{}'",
            instant_to_text(day(on))
        );
        let reader = Reader::open(archive.path()).expect("a reader");
        let goes_on = last && !ask(&reader, &sql).is_empty();
        let pages: &[&str] = match (goes_on, last) {
            (true, _) => &["last"],
            (false, true) => &["first", "last"],
            (false, false) => &["first"],
        };
        let mut rows = RowSet::new(shape.row_width());
        for page in pages {
            let id = rows.push_text(&format!("{on} {page}"));
            let at = rows.push_text(&format!("2026-01-0{}", on + 1));
            rows.cells.extend([id, at, Cell::Null]);
        }
        let outcomes = tx.write_rows(&TableWriter::new(shape), &rows, run, &text).expect("written");
        if last || !archive.is_complete(&place).expect("known") {
            let state = if last { State::Complete } else { State::Partial };
            tx.write_progress(&progress(place, state, false, now), run).expect("written");
        }
        let row = RunStreamRow { stream: name, outcomes, ..RunStreamRow::default() };
        tx.add_to_run(run, &row).expect("added");
        tx.commit().expect("committed");
    }

    fn end(&mut self, who: usize) {
        let now = day(31) + chrono::TimeDelta::seconds(self.now);
        let Laptop { archive, run } = &mut self.laptops[who];
        if let Some(run) = run.take() {
            let end = RunEnd::nothing_asked(now);
            archive.transaction(|tx| tx.end_run(run, &end)).expect("ended");
        }
    }

    /// The archive is held while a run is in hand.
    fn take(&self, who: usize, from: &Path) {
        if self.laptops[who].run.is_some() || from == self.laptop(who) {
            return;
        }
        let archive = &self.laptops[who].archive;
        for changes in [true, false] {
            let other = Reader::open(from).expect("a reader");
            let order = MergeOrder { now: day(60), version: "0", dry_run: false };
            let report = merge(archive, &[("it".to_owned(), &other)], &order);
            let report = report.unwrap_or_else(|error| panic!("{error:?}"));
            assert!(changes || !report.changed, "{report:?}");
        }
    }

    /// Days that are called complete, and those of them that lack a row.
    fn complete(&self, who: usize) -> (BTreeSet<StreamDay>, Vec<StreamDay>) {
        let reader = Reader::open(&self.laptop(who)).expect("a reader");
        let (mut complete, mut empty) = (BTreeSet::new(), Vec::new());
        for (n, stream) in STREAMS.iter().enumerate() {
            let sql = format!(
                "SELECT start_at, end_at FROM _windrow_ledger
                 WHERE stream = '{stream}' AND state IN ('complete', 'settled')"
            );
            for span in ask(&reader, &sql) {
                let [Value::Text(start), Value::Text(end)] = &span[..] else { panic!("{span:?}") };
                let days = (0..DAYS).filter(|on| {
                    let on = instant_to_text(day(*on));
                    *start <= on && on < *end
                });
                complete.extend(days.map(|on| (n, on)));
            }
            for on in (0..DAYS).filter(|on| complete.contains(&(n, *on))) {
                let sql = format!("SELECT 1 FROM {stream} WHERE id LIKE '{on} %'");
                if ask(&reader, &sql).len() < 2 {
                    empty.push((n, on));
                }
            }
        }
        (complete, empty)
    }
}

fn give(from: &Path, to: &Path, part: &Part) {
    let mut reader = Reader::open(from).expect("a reader");
    reader.copy_into(to, &Stop::never()).expect("a copy");
    let name = to.display().to_string();
    let naming = Naming { archive_id: &name, handoff_id: &name, at: "now" };
    let draft = Draft::open(to, &Stop::never()).expect("a draft");
    let streams = draft.reader().streams().expect("streams");
    let known = |name: &String| streams.iter().any(|row| row.stream == *name);
    // Only streams that are there can be named.
    let part = Part {
        streams: part.streams.iter().filter(|name| known(name)).cloned().collect(),
        ..part.clone()
    };
    draft.strip(&part, &naming, false).expect("stripped");
    draft.finish("{}").expect("finished");
}

proptest! {
    #![proptest_config(cases(12, "proptest-regressions/merge_part_laws.txt"))]

    #[test]
    fn a_day_that_is_called_complete_has_its_rows_whatever_was_taken_when(
        acts in acts(),
    ) {
        let mut world = World::new();
        for (n, (who, act)) in acts.iter().enumerate() {
            world.act(*who, act);
            let (_, empty) = world.complete(*who);
            prop_assert!(empty.is_empty(), "{n}: {who} {act:?} lacks rows of {empty:?}");
        }
        // Whole archives heal everything.
        (0..LAPTOPS).for_each(|who| world.end(who));
        for _ in 0..2 {
            for (who, from) in (0..LAPTOPS * LAPTOPS).map(|n| (n / LAPTOPS, n % LAPTOPS)) {
                world.take(who, &world.laptop(from));
            }
        }
        let first = canonical_dump(&Reader::open(&world.laptop(0)).expect("a reader")).expect("it");
        for who in 0..LAPTOPS {
            let reader = Reader::open(&world.laptop(who)).expect("a reader");
            let lacks = ask(&reader, "SELECT * FROM _windrow_missing_runs");
            prop_assert!(lacks.is_empty(), "{who} lacks {lacks:?}");
            prop_assert_eq!(world.complete(who), world.complete(0));
            prop_assert_eq!(&canonical_dump(&reader).expect("a dump"), &first);
        }
    }
}

//! Reading an archive as it was: a person's SQL over views that are named like the streams.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::history::moment::Moment;
use crate::model::{Error, ErrorKind};
use crate::store::error::at;
use crate::store::history::history_from;
use crate::store::query::TakeAnswer;
use crate::store::reader::Reader;
use crate::store::sql::{history_name, live_columns, quote};

/// An archive as it was at a moment.
pub struct Past {
    reader: Reader,
    refused: Arc<Mutex<Option<String>>>,
}

/// What may be read, and why the rest may not.
struct ReadRules {
    /// Streams whose history reaches back that far.
    known: BTreeSet<String>,
    /// Streams that cannot be told of, and why.
    unknown: BTreeMap<String, String>,
}

impl Past {
    /// Puts a view of each stream as it was in the place of its table. A stream whose history does
    /// not reach back that far cannot be read: a clear refusal, never a wrong answer.
    pub fn of(mut reader: Reader, moment: &Moment) -> Result<Past, Error> {
        let mut rules = ReadRules { known: BTreeSet::new(), unknown: BTreeMap::new() };
        for stream in reader.streams()? {
            let name = stream.stream;
            match make_view(&reader, &name, moment).map_err(at(&reader.path))? {
                None => drop(rules.known.insert(name)),
                Some(why) => drop(rules.unknown.insert(name, why)),
            }
        }
        let refused = Arc::new(Mutex::new(None));
        let told = Arc::clone(&refused);
        let judge = move |context: AuthContext<'_>| match rules.judge(&context) {
            None => Authorization::Allow,
            Some(why) => {
                if let Ok(mut told) = told.lock() {
                    told.get_or_insert(why);
                }
                Authorization::Deny
            }
        };
        reader.connection.authorizer(Some(judge)).map_err(at(&reader.path))?;
        Ok(Past { reader, refused })
    }

    /// Runs one statement that reads, and hands its rows on as they come.
    pub fn query(&self, sql: &str, take: &mut TakeAnswer<'_>) -> Result<(), Error> {
        self.reader.query(sql, take).map_err(|error| self.explained(error))
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The reason why something may not be read, where that is what went wrong.
    pub(crate) fn explained(&self, error: Error) -> Error {
        let why = self.refused.lock().ok().and_then(|mut why| why.take());
        match why {
            Some(why) => Error::new(ErrorKind::Query, why)
                .help("ask without `--as-of`, or about streams with `history = true`"),
            None => error,
        }
    }
}

/// Makes the view of a stream; says why not where its history does not reach back that far.
fn make_view(reader: &Reader, stream: &str, moment: &Moment) -> rusqlite::Result<Option<String>> {
    let connection = &reader.connection;
    let Some(from) = history_from(connection, stream)? else {
        return Ok(Some(format!(
            "the stream `{stream}` has no history: only what it says now is known"
        )));
    };
    if !moment.is_in(&from, connection)? {
        return Ok(Some(format!("the history of the stream `{stream}` begins at {from}")));
    }
    let names: Vec<String> =
        live_columns(connection, stream)?.iter().map(|column| quote(&column.name)).collect();
    let names = names.join(", ");
    connection.execute_batch(&format!(
        "CREATE TEMP VIEW {0} AS
         SELECT {names} FROM main.{0} AS t WHERE {1}
         UNION ALL SELECT {names} FROM main.{2} AS t WHERE {3}",
        quote(stream),
        moment.still("t"),
        quote(&history_name(stream)),
        moment.was("t"),
    ))?;
    Ok(None)
}

impl ReadRules {
    /// Why this table may not be read, if it may not.
    fn judge(&self, context: &AuthContext<'_>) -> Option<String> {
        let AuthAction::Read { table_name: table, .. } = context.action else { return None };
        match (context.database_name, context.accessor) {
            (Some("main"), _) => {}
            (Some(_), _) => return None,
            // `count(*)` names no column and no database: a plain name leads to the view.
            (None, None) if self.known.contains(table) => return None,
            (None, _) => {}
        }
        let view = context.accessor.filter(|view| self.known.contains(*view));
        if view.is_some_and(|view| table == view || table == history_name(view)) {
            return None;
        }
        let of_today = || match context.accessor {
            Some(view) => format!("the view `{view}` reads `{table}` as it is now"),
            None => format!("`main.{table}` is the table as it is now"),
        };
        if let Some(why) = self.unknown.get(table) {
            return Some(why.clone());
        }
        if self.known.contains(table) {
            return Some(of_today());
        }
        table.starts_with("_windrow_").then(|| format!("`{table}` says only what is known now"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::history::{Change, Known, RowDifference};
    use crate::model::{
        Cell, Command, GoneScope, Retention, RowSet, TableShape, Timestamp, WindowKey,
        instant_to_text,
    };
    use crate::store::table::tests::{archive_with, usage_shape};
    use crate::store::{Archive, RunEnd, RunStart, TableWriter, Value};

    /// What a table says: by key, its columns.
    type ColumnsByKey = BTreeMap<Vec<String>, Vec<(String, String)>>;

    fn kept() -> TableShape {
        let retention =
            Retention { history: true, marks: true, watched: true, ..Retention::default() };
        TableShape { retention, ..usage_shape() }
    }

    fn at(second: i64) -> Timestamp {
        chrono::DateTime::from_timestamp(1_767_225_600 + second, 0).expect("in range")
    }

    /// A run that reads the whole collection: `id` and `gb` of one day, row by row. What two runs
    /// in a row do not return is gone.
    fn write(archive: &Archive, rows: &[(u8, u8)], now: Timestamp) -> i64 {
        write_and(archive, rows, now, false)
    }

    fn write_and(archive: &Archive, rows: &[(u8, u8)], now: Timestamp, delete: bool) -> i64 {
        let start = RunStart { command: Command::Sync, version: "0", definition: "", now };
        let run = archive.transaction(|tx| tx.start_run(&start)).expect("a run");
        let writer = TableWriter::new(kept());
        let tx = archive.begin().expect("begun");
        tx.begin_seen(&writer).expect("begun");
        for (id, gb) in rows {
            let mut set = RowSet::new(5);
            let cells = [
                set.push_text(&format!("SL-{id}")),
                set.push_text("2026-01-01"),
                Cell::Real(f64::from(*gb)),
                Cell::Null,
                Cell::Null,
            ];
            set.cells.extend(cells);
            tx.write_rows(&writer, &set, run, &instant_to_text(now)).expect("written");
            tx.note_seen(&writer, &set).expect("noted");
        }
        let window_key =
            WindowKey { stream: "usage".to_owned(), partition: String::new(), window: None };
        let scope = GoneScope { field: None, parent: Vec::new(), delete, ratio_max: 1.0, min: 0 };
        let settled =
            tx.settle_missing(&writer, &window_key, Some(&scope), run, &instant_to_text(now));
        settled.expect("settled");
        tx.commit().expect("committed");
        let end = RunEnd::nothing_asked(now);
        archive.transaction(|tx| tx.end_run(run, &end)).expect("ended");
        run
    }

    const ALL: &str = "SELECT id, day, gb, at, _rest FROM usage WHERE _deleted_at IS NULL";

    fn said(rows: &[Vec<Value>]) -> ColumnsByKey {
        let text = |value: &Value| format!("{value:?}");
        let names = ["gb", "at", "_rest"];
        let row = |row: &Vec<Value>| {
            let others = names.iter().zip(&row[2..]);
            let others = others.map(|(name, value)| ((*name).to_owned(), text(value)));
            (row[..2].iter().map(text).collect(), others.collect())
        };
        rows.iter().map(row).collect()
    }

    fn now_says(archive: &Archive) -> ColumnsByKey {
        let mut rows = Vec::new();
        let reader = Reader::open(archive.path()).expect("a reader");
        reader
            .query(ALL, &mut |part| {
                rows.extend(part.row());
                Ok(())
            })
            .expect("rows");
        said(&rows)
    }

    fn then_said(archive: &Archive, moment: &Moment) -> ColumnsByKey {
        let reader = Reader::open(archive.path()).expect("a reader");
        let mut rows = Vec::new();
        let past = Past::of(reader, moment).expect("a past");
        past.query(ALL, &mut |part| {
            rows.extend(part.row());
            Ok(())
        })
        .expect("rows");
        assert_eq!(rows.len(), said(&rows).len(), "a key stands once");
        said(&rows)
    }

    fn differences(archive: &Archive, moment: &Moment) -> Vec<RowDifference> {
        let reader = Reader::open(archive.path()).expect("a reader");
        let stream = reader.stream("usage").expect("streams").expect("usage");
        let mut all = Vec::new();
        let known = reader.diff(&stream, moment, &mut |difference| {
            all.push(difference);
            Ok(())
        });
        assert_eq!(known.expect("a diff"), Known::All);
        all
    }

    /// Does to `said` what the differences say.
    fn apply(said: &mut ColumnsByKey, differences: Vec<RowDifference>) {
        for RowDifference { key, change } in differences {
            let key: Vec<String> = key.iter().map(|(_, value)| format!("{value:?}")).collect();
            match change {
                Change::Inserted(values) => {
                    let values = values.into_iter().map(|(n, value)| (n, format!("{value:?}")));
                    assert!(said.insert(key, values.collect()).is_none(), "it was not there");
                }
                Change::Vanished(_) => assert!(said.remove(&key).is_some(), "it was there"),
                Change::Changed(columns) => {
                    let row = said.get_mut(&key).expect("it was there");
                    for (name, old, new) in columns.expect("a history") {
                        let cell = row.iter_mut().find(|(n, _)| *n == name).expect("a column");
                        assert_eq!(cell.1, format!("{old:?}"));
                        assert_ne!(old, new);
                        cell.1 = format!("{new:?}");
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn as_of_now_equals_now_and_a_diff_leads_from_any_moment_to_now(
            runs in prop::collection::vec(
                (prop::collection::vec((0_u8..4, 0_u8..3), 0..6), -2_i64..4), 1..7),
            delete in any::<bool>(),
        ) {
            let (_folder, archive) = archive_with(&kept());
            let mut clock = 100;
            let mut then = vec![(Moment::Run(0), ColumnsByKey::new())];
            let mut latest = clock;
            for (rows, passed) in &runs {
                // A clock that is set back now and then.
                clock += passed;
                let run = write_and(&archive, rows, at(clock), delete);
                then.push((Moment::Run(run), now_says(&archive)));
                if clock > latest {
                    // Only what came after everything else can be told by the clock alone.
                    let before = then[then.len() - 2].1.clone();
                    then.push((Moment::Before(at(clock)), before));
                    then.push((Moment::After(at(clock)), now_says(&archive)));
                }
                latest = latest.max(clock);
            }
            let now = now_says(&archive);
            prop_assert_eq!(&then_said(&archive, &Moment::After(at(1_000_000))), &now);
            for (moment, said) in then {
                // What was written at or after this instant by a clock set back is not before it.
                let by_clock = !matches!(moment, Moment::Run(_));
                if by_clock && runs.iter().any(|(_, passed)| *passed <= 0) {
                    continue;
                }
                prop_assert_eq!(&then_said(&archive, &moment), &said, "{:?}", &moment);
                let mut became = said;
                apply(&mut became, differences(&archive, &moment));
                prop_assert_eq!(&became, &now, "{:?}", moment);
            }
        }
    }

    #[test]
    fn a_version_is_kept_in_the_transaction_that_replaces_it_and_equal_rows_cost_nothing() {
        let (_folder, archive) = archive_with(&kept());
        let versions = || -> i64 {
            let sql = "SELECT count(*) FROM usage_history";
            archive.connection.query_row(sql, [], |row| row.get(0)).expect("a history")
        };
        write(&archive, &[(1, 1), (2, 1)], at(0));
        let changes = archive.connection.total_changes();
        write(&archive, &[(1, 1), (2, 1)], at(1));
        let runs_only = archive.connection.total_changes() - changes;
        // The run begins and ends, and the two rows that were seen are noted anew: nothing else.
        assert_eq!((versions(), runs_only), (0, 6));
        let tx = archive.begin().expect("begun");
        let update = "UPDATE usage SET gb = 9, _changed_at = 'x', _run = 1";
        assert_eq!(archive.connection.execute(update, []).expect("updated"), 2);
        assert_eq!(versions(), 2);
        drop(tx);
        assert_eq!(versions(), 0);
    }

    #[test]
    fn whoever_opens_the_archive_keeps_its_histories() {
        let (folder, archive) = archive_with(&kept());
        write(&archive, &[(1, 1)], at(0));
        let path = archive.path().to_owned();
        archive.close().expect("closed");
        let files = &crate::host::SystemFiles;
        let opening =
            crate::store::Opening { note: "test", now: "now", allow_network_fs: false, files };
        let archive = Archive::open(&path, &opening).expect("the archive");
        write(&archive, &[(1, 2)], at(1));
        assert_eq!(then_said(&archive, &Moment::Run(1)).len(), 1);
        assert_eq!(differences(&archive, &Moment::Run(1)).len(), 1);
        drop(folder);
    }
}

//! Runs of the other archive: under new numbers, by the names that hold everywhere.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use rusqlite::{Connection, OptionalExtension, Row, named_params, params_from_iter};

use crate::merge::ReadBy;
use crate::model::{Command, Error, instant_from_text, instant_to_text};
use crate::store::DISBELIEVED;
use crate::store::archive::Archive;
use crate::store::diagnosis::refuse_other_tables;
use crate::store::error::at;
use crate::store::future::believed_until;
use crate::store::history::unwatch_updates;
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::run_detail::forget_details;
use crate::store::runs::{NewRun, RunStart, definition_id};
use crate::store::sql::quote;
use crate::store::value::Value;

use crate::merge::copy::{Copy, number, text};
use crate::merge::tables::{KnownRun, Merge, Taking};
use crate::store::transaction::Tx;

/// How many runs were brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// Runs that were not known.
    pub new: u64,
    /// Runs that had not ended when they were last seen.
    pub ended: u64,
    /// Runs of the other's whose readings are from the future.
    pub future: u64,
    /// Runs of this archive's own that are found to be so.
    pub own_future: u64,
}

/// Runs that a merge takes along.
const TAKEN: &str = "command NOT IN (SELECT value FROM json_each(:of_one_archive))";
/// What is kept of a run beside its row; first the sums by stream.
const DETAILS: [&str; 3] = ["_windrow_run_streams", "_windrow_run_fetches", "_windrow_run_events"];

impl<'m> Merge<'m> {
    /// Begins a merge of these archives. Until [`Merge::commit`] nothing is changed; dropping it
    /// takes everything back.
    pub fn begin(
        archive: &'m Archive,
        start: &RunStart<'_>,
        others: &[&Reader],
    ) -> Result<Self, Error> {
        // What is copied into a table is placed by the columns that the format gives it.
        refuse_other_tables(&archive.connection, archive.path(), archive.formats().newest())?;
        let tx = archive.begin()?;
        let last = tx.run(|ours| {
            let last = "SELECT coalesce(max(run_id), 0) AS last FROM _windrow_runs";
            ours.query_row(last, [], |row| row.get::<_, i64>("last"))
        })?;
        let now = instant_to_text(start.now);
        let run = tx.run(|_| note_merge(&tx, start, &now, last, others))?;
        Ok(Self {
            run,
            now,
            next_run: Cell::new(last + 1),
            changes: tx.connection.total_changes(),
            grown: Cell::new(false),
            fetches: RefCell::default(),
            brought: RefCell::default(),
            tx,
        })
    }

    /// Takes in an archive's runs; what else is taken refers to them. Readings from the future are
    /// not believed, here and there, so that they beat no others; a hand-off's are those that lie
    /// behind the time when it was made.
    pub fn take<'t>(&'t self, theirs: &'t Reader) -> Result<(Taking<'t>, RunCounts), Error> {
        let made_at = theirs.manifest()?.and_then(|text| {
            let manifest: serde_json::Value = serde_json::from_str(&text).ok()?;
            instant_from_text(manifest.get("made_at")?.as_str()?)
        });
        let take = || -> rusqlite::Result<_> {
            let now = instant_from_text(&self.now).unwrap_or_default();
            let until = believed_until(&[self.ours(), &theirs.connection], now)?;
            let made = made_at.map(|at| believed_until(&[&theirs.connection], at)).transpose()?;
            let theirs_until = made.map_or(until.clone(), |made| made.min(until.clone()));
            let own_future = disbelieve_future(self, &until)?;
            let (runs, counts) = take_runs(self, &theirs.connection, &theirs_until)?;
            Ok((runs, RunCounts { own_future, ..counts }))
        };
        let (runs, counts) = take().map_err(at(&self.tx.path))?;
        Ok((Taking { merge: self, theirs: &theirs.connection, runs }, counts))
    }
}

/// Disbelieves the readings of this archive that are from the future. Tells of how many runs.
fn disbelieve_future(merge: &Merge<'_>, until: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT run_id FROM _windrow_runs WHERE read_at > :until ORDER BY run_id";
    let mut statement = merge.ours().prepare_cached(sql)?;
    let runs = statement.query_map(named_params! { ":until": until }, only::<i64>)?;
    let runs = runs.collect::<rusqlite::Result<Vec<_>>>()?;
    for run in &runs {
        disbelieve(merge, *run)?;
    }
    Ok(runs.len() as u64)
}

/// Disbelieves the time of a run's readings. Windows that it read may have been read too early:
/// they can still change, and are read again.
fn disbelieve(merge: &Merge<'_>, run: i64) -> rusqlite::Result<()> {
    let which = named_params! { ":run": run, ":at": DISBELIEVED };
    let runs = "UPDATE _windrow_runs SET read_at = :at WHERE run_id = :run";
    merge.ours().prepare_cached(runs)?.execute(which)?;
    let ledger = "UPDATE _windrow_ledger SET requested_at = :at,
            state = iif(state = 'settled', 'complete', state)
        WHERE run_id = :run AND NOT dated_by_source";
    merge.ours().prepare_cached(ledger)?.execute(which)?;
    merge.fetches.borrow_mut().remove(&run);
    Ok(())
}

/// Notes the run of a merge, whose number leaves room for those of the runs that it may bring.
fn note_merge(
    tx: &Tx<'_>,
    start: &RunStart<'_>,
    now: &str,
    last: i64,
    others: &[&Reader],
) -> rusqlite::Result<i64> {
    let ours = &tx.connection;
    let mut unknown = 0;
    for other in others {
        unknown += count_unknown(ours, &other.connection)?;
    }
    let run = last + unknown + 1;
    let definition = definition_id(tx, start.definition, now)?;
    let new = NewRun { number: Some(run), ..NewRun::done(start, definition, now) };
    new.insert(tx)?;
    // What a merge replaces it keeps itself, with the time for which it stood.
    let sql = "SELECT stream FROM _windrow_streams WHERE history_from IS NOT NULL";
    let mut statement = ours.prepare(sql)?;
    let streams = statement.query_map([], only::<String>)?;
    for stream in streams.collect::<rusqlite::Result<Vec<_>>>()? {
        unwatch_updates(ours, &stream)?;
    }
    Ok(run)
}

pub(crate) fn count_unknown(ours: &Connection, theirs: &Connection) -> rusqlite::Result<i64> {
    let sql = format!("SELECT uid FROM _windrow_runs WHERE {TAKEN}");
    let mut statement = theirs.prepare(&sql)?;
    let of_one_archive = Command::names_where(Command::is_of_one_archive);
    let mut rows = statement.query(named_params! { ":of_one_archive": of_one_archive })?;
    let mut known = ours.prepare("SELECT 1 FROM _windrow_runs WHERE uid = :uid")?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        if !known.exists(named_params! { ":uid": row.get::<_, String>("uid")? })? {
            count += 1;
        }
    }
    Ok(count)
}

/// Brings the runs that are not known, in their order, and what is known better of others.
pub(crate) fn take_runs(
    merge: &Merge<'_>,
    theirs: &Connection,
    until: &str,
) -> rusqlite::Result<(HashMap<i64, KnownRun>, RunCounts)> {
    let (tx, ours) = (&merge.tx, merge.ours());
    let copy = Copy::of(ours, "_windrow_runs", &format!("{TAKEN} ORDER BY run_id"))?;
    let column = |name: &str| copy.place(name);
    let (id, uid, read_at) = (column("run_id"), column("uid"), column("read_at"));
    let (state, finished) = (column("state"), column("finished_at"));
    let (definition, merged_by) = (column("definition_id"), column("merged_by"));
    let mut all = HashMap::new();
    let mut counts = RunCounts::default();
    let of_one_archive = Command::names_where(Command::is_of_one_archive);
    copy.each(theirs, named_params! { ":of_one_archive": of_one_archive }, &mut |mut row| {
        let their = number(&row[id]);
        let name = text(&row[uid]).to_owned();
        let known = known_run(ours, &name)?;
        let is_doubted = known.as_ref().is_some_and(|(.., read_at)| read_at == DISBELIEVED);
        if is_doubted || text(&row[read_at]) > until || text(&row[read_at]) == DISBELIEVED {
            row[read_at] = Value::Text(DISBELIEVED.to_owned());
            counts.future += 1;
        }
        let is_news = !is_doubted && text(&row[read_at]) == DISBELIEVED;
        if let Some((run, ..)) = known.as_ref().filter(|_| is_news) {
            disbelieve(merge, *run)?;
        }
        let read = ReadBy { read_at: text(&row[read_at]).to_owned(), uid: name };
        row[definition] = match row[definition] {
            Value::Integer(id) => Value::Integer(take_definition(tx, theirs, id)?),
            _ => Value::Null,
        };
        let ended_there = row[finished] != Value::Null;
        let (run, new, ended_here) = match known {
            None => {
                let run = merge.next_run.replace(merge.next_run.get() + 1);
                row[id] = Value::Integer(run);
                row[merged_by] = Value::Integer(merge.run);
                if text(&row[state]) == "running" {
                    // It is nobody's here to end.
                    row[state] = Value::Text("interrupted".to_owned());
                }
                copy.put(tx, &row)?;
                for table in DETAILS {
                    take_detail(tx, theirs, table, their, &row[id])?;
                }
                counts.new += 1;
                (run, true, false)
            }
            Some((run, true, _)) if ended_there => {
                row[id] = Value::Integer(run);
                end_run(tx, theirs, &copy, their, &row)?;
                merge.fetches.borrow_mut().remove(&run);
                counts.ended += 1;
                (run, false, false)
            }
            Some((run, unfinished, _)) => (run, false, !unfinished),
        };
        let read = Rc::new(read);
        all.insert(their, KnownRun { run, read, new, ended_here, ended_there });
        Ok(())
    })?;
    if counts.new > 0 {
        forget_details(tx, merge.run)?;
    }
    for known in all.values_mut() {
        known.read = merge.fetch(known.run)?;
    }
    Ok((all, counts))
}

/// A run by its name: its number here, whether it has not ended, and as of when it speaks.
fn known_run(ours: &Connection, name: &str) -> rusqlite::Result<Option<(i64, bool, String)>> {
    let sql = "SELECT run_id, finished_at IS NULL AS is_open, read_at FROM _windrow_runs
        WHERE uid = :name";
    let read = |row: &Row<'_>| Ok((row.get("run_id")?, row.get("is_open")?, row.get("read_at")?));
    ours.prepare_cached(sql)?.query_row(named_params! { ":name": name }, read).optional()
}

fn take_definition(tx: &Tx<'_>, theirs: &Connection, id: i64) -> rusqlite::Result<i64> {
    let sql = "SELECT text, first_used_at FROM _windrow_definitions WHERE definition_id = :id";
    let mut statement = theirs.prepare_cached(sql)?;
    let (text, used): (String, String) = statement
        .query_row(named_params! { ":id": id }, |row| {
            Ok((row.get("text")?, row.get("first_used_at")?))
        })?;
    let known = definition_id(tx, &text, &used)?;
    // The same in whatever order archives meet: which of several is the newest may matter.
    let sql = "UPDATE _windrow_definitions SET first_used_at = :used
        WHERE definition_id = :known AND first_used_at > :used";
    tx.connection.prepare_cached(sql)?.execute(named_params! { ":known": known, ":used": used })?;
    Ok(known)
}

/// A copy that was made while the run went on says less than one that was made later. The sums by
/// stream are taken with the streams.
fn end_run(
    tx: &Tx<'_>,
    theirs: &Connection,
    copy: &Copy,
    their: i64,
    row: &[Value],
) -> rusqlite::Result<()> {
    let kept = ["run_id", "merged_by"];
    let changed: Vec<usize> =
        (0..row.len()).filter(|n| !kept.contains(&copy.columns[*n].as_str())).collect();
    let sets: Vec<String> =
        changed.iter().map(|n| format!("{} = ?", quote(&copy.columns[*n]))).collect();
    let sql = format!("UPDATE _windrow_runs SET {} WHERE run_id = ?", sets.join(", "));
    let run_id = &row[copy.place("run_id")];
    let values = changed.iter().map(|n| &row[*n]).chain(std::iter::once(run_id));
    tx.connection.execute(&sql, params_from_iter(values))?;
    for table in &DETAILS[1..] {
        // A part may have left them out.
        let there = format!("SELECT 1 FROM {table} WHERE run_id = :their");
        if theirs.prepare_cached(&there)?.exists(named_params! { ":their": their })? {
            tx.connection.execute(
                &format!("DELETE FROM {table} WHERE run_id = :run_id"),
                named_params! { ":run_id": run_id },
            )?;
            take_detail(tx, theirs, table, their, run_id)?;
        }
    }
    Ok(())
}

fn take_detail(
    tx: &Tx<'_>,
    theirs: &Connection,
    table: &str,
    their: i64,
    run: &Value,
) -> rusqlite::Result<()> {
    let copy = Copy::of(&tx.connection, table, "run_id = :run")?;
    let id = copy.place("run_id");
    copy.each(theirs, named_params! { ":run": their }, &mut |mut row| {
        row[id] = run.clone();
        copy.put(tx, &row).map(|_| ())
    })
}

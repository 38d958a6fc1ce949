//! What each run did.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, named_params};
use serde::Serialize;

use crate::model::{
    Command, Error, ExitCode, Outcomes, RunState, Spent, Timestamp, instant_from_text,
    instant_to_text,
};

use crate::model::sha256_of;
use crate::store::error::at;
use crate::store::row::{from_json, named, only};
use crate::store::run_detail::{PlanPart, forget_details};
use crate::store::transaction::Tx;

/// The beginning of a run.
#[derive(Clone, Debug)]
pub struct RunStart<'a> {
    pub command: Command,
    pub version: &'a str,
    /// The definition's text, without secrets.
    pub definition: &'a str,
    pub now: Timestamp,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct RunEnd {
    pub state: RunState,
    /// The exit code of the command.
    pub exit_code: ExitCode,
    pub now: Timestamp,
    /// Windows that were due.
    pub windows_planned: u64,
    /// Windows that were completed.
    pub windows_completed: u64,
    pub spent: Spent,
    /// How many errors there were.
    pub errors: u64,
    /// The gravest error; none where there was none.
    pub message: Option<String>,
    /// Milliseconds by which each source's clock is ahead of this machine's, where it was told.
    pub clocks: BTreeMap<String, i64>,
}

/// A run as it stands in the archive.
#[derive(Clone, Debug, Serialize)]
pub struct RunRow {
    pub run: i64,
    pub command: Command,
    /// How it stands or ended.
    pub state: RunState,
    pub started_at: String,
    /// When it ended; none while it runs, and when it was killed.
    pub finished_at: Option<String>,
    /// The exit code of its command.
    pub exit_code: Option<i64>,
    /// Windows that were due.
    pub windows_planned: u64,
    /// Windows that were completed.
    pub windows_completed: u64,
    #[serde(flatten)]
    pub spent: Spent,
    /// How many errors there were.
    pub errors: u64,
    /// The gravest error; none where there was none.
    pub message: Option<String>,
    /// The archive that it ran in.
    pub archive_id: String,
    /// The last merge that brought something of it; none where it is this archive's own alone.
    pub merged_by: Option<i64>,
    /// What became of all records.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    pub streams: Vec<RunStreamRow>,
}

/// What a run did to a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunStreamRow {
    pub stream: String,
    /// Windows that were due.
    pub windows_planned: u64,
    /// Windows that were completed.
    pub windows_completed: u64,
    /// What was due, by reason.
    pub plan: Vec<PlanPart>,
    /// Fetches that ended, one way or another.
    pub fetches: u64,
    /// What became of its records.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Records outside the range that was asked for.
    pub out_of_window: u64,
    /// Rejects of earlier fetches that became rows.
    pub late_rejects: u64,
    #[serde(flatten)]
    pub spent: Spent,
}

impl RunEnd {
    /// The end of a run that asked no source for anything.
    pub fn nothing_asked(now: Timestamp) -> Self {
        Self {
            state: RunState::Complete,
            exit_code: ExitCode::Done,
            now,
            windows_planned: 0,
            windows_completed: 0,
            spent: Spent::default(),
            errors: 0,
            message: None,
            clocks: BTreeMap::new(),
        }
    }
}

impl Tx<'_> {
    /// Notes that a run begins; runs that were killed are marked so.
    pub fn start_run(&self, start: &RunStart<'_>) -> Result<i64, Error> {
        let write = || -> rusqlite::Result<i64> {
            let now = instant_to_text(start.now);
            let connection = &self.connection;
            connection.execute(
                "UPDATE _windrow_runs SET state = 'interrupted', message = 'the process was killed'
                 WHERE state = 'running'",
                [],
            )?;
            let definition = definition_id(self, start.definition, &now)?;
            let run = NewRun::begun(start, definition, &now).insert(self)?;
            forget_details(self, run)?;
            Ok(run)
        };
        write().map_err(at(&self.path))
    }

    /// Adds to what a run did to a stream, in the transaction of the rows. The plan is the one of
    /// the whole run so far.
    pub fn add_to_run(&self, run: i64, more: &RunStreamRow) -> Result<(), Error> {
        let sql = "INSERT INTO _windrow_run_streams
            (run_id, stream, windows_completed, received, inserted, updated, unchanged, skipped,
             rejected, out_of_window, late_rejects, windows_planned, plan, fetches, requests,
             retries, bytes,
             waited_ms)
            VALUES (:run, :stream, :windows_completed, :received, :inserted, :updated, :unchanged,
            :skipped, :rejected, :out_of_window, :late_rejects, :windows_planned, :plan, :fetches,
            :requests, :retries, :bytes,
                    :waited_ms)
            ON CONFLICT (run_id, stream) DO UPDATE SET
              windows_completed = windows_completed + excluded.windows_completed,
              received = received + excluded.received, inserted = inserted + excluded.inserted,
              updated = updated + excluded.updated, unchanged = unchanged + excluded.unchanged,
              skipped = skipped + excluded.skipped, rejected = rejected + excluded.rejected,
              out_of_window = out_of_window + excluded.out_of_window,
              late_rejects = late_rejects + excluded.late_rejects,
              windows_planned = windows_planned + excluded.windows_planned,
              plan = coalesce(excluded.plan, plan), fetches = fetches + excluded.fetches,
              requests = requests + excluded.requests, retries = retries + excluded.retries,
              bytes = bytes + excluded.bytes, waited_ms = waited_ms + excluded.waited_ms";
        let plan = serde_json::to_string(&more.plan).expect("a plan can be written as JSON");
        let outcomes = &more.outcomes;
        let write = || -> rusqlite::Result<usize> {
            self.connection.prepare_cached(sql)?.execute(named_params! {
                ":run": run,
                ":stream": more.stream,
                ":windows_completed": more.windows_completed,
                ":received": outcomes.received,
                ":inserted": outcomes.inserted,
                ":updated": outcomes.updated,
                ":unchanged": outcomes.unchanged,
                ":skipped": outcomes.skipped,
                ":rejected": outcomes.rejected,
                ":out_of_window": more.out_of_window,
                ":late_rejects": more.late_rejects,
                ":windows_planned": more.windows_planned,
                ":plan": (!more.plan.is_empty()).then_some(plan),
                ":fetches": more.fetches,
                ":requests": more.spent.requests,
                ":retries": more.spent.retries,
                ":bytes": more.spent.bytes,
                ":waited_ms": more.spent.waited_ms,
            })
        };
        write().map(|_| ()).map_err(at(&self.path))
    }

    /// Dates a run's fetches by the clocks of its sources so far: milliseconds by which each is
    /// ahead.
    pub fn date_run(&self, run: i64, clocks: &BTreeMap<String, i64>) -> Result<(), Error> {
        date_fetches(self, run, clocks).map_err(at(&self.path))
    }

    /// Notes that a run has ended.
    pub fn end_run(&self, run: i64, end: &RunEnd) -> Result<(), Error> {
        let sql = "UPDATE _windrow_runs SET finished_at = :now, state = :state,
            exit_code = :exit_code,
            windows_planned = :windows_planned, windows_completed = :windows_completed,
                requests = :requests, retries = :retries,
                bytes = :bytes, message = :message, waited_ms = :waited_ms, errors = :errors WHERE
                run_id = :run";
        let values = named_params! {
            ":run": run,
            ":now": instant_to_text(end.now),
            ":state": end.state.as_str(),
            ":exit_code": end.exit_code.number(),
            ":windows_planned": end.windows_planned,
            ":windows_completed": end.windows_completed,
            ":requests": end.spent.requests,
            ":retries": end.spent.retries,
            ":bytes": end.spent.bytes,
            ":message": end.message,
            ":waited_ms": end.spent.waited_ms,
            ":errors": end.errors,
        };
        let write = || -> rusqlite::Result<()> {
            let connection = &self.connection;
            connection.execute(sql, values)?;
            date_fetches(self, run, &end.clocks)?;
            for (source, skew_ms) in &end.clocks {
                let sql = "INSERT INTO _windrow_clocks (source, skew_ms, seen_at)
                    VALUES (:source, :skew_ms, :now) ON CONFLICT (source)
                    DO UPDATE SET skew_ms = excluded.skew_ms, seen_at = excluded.seen_at";
                connection.execute(
                    sql,
                    named_params! {
                        ":source": source,
                        ":skew_ms": skew_ms,
                        ":now": instant_to_text(end.now),
                    },
                )?;
            }
            Ok(())
        };
        write().map_err(at(&self.path))
    }
}

/// The row of a run as it is first written.
pub(crate) struct NewRun<'a> {
    /// Its number; the next one where none is given.
    pub number: Option<i64>,
    pub start: &'a RunStart<'a>,
    pub definition: i64,
    /// When it begins, as a text.
    pub now: &'a str,
    /// Whether all of it is in the caller's transaction.
    pub done: bool,
    /// What is said of it.
    pub message: Option<&'a str>,
}

impl<'a> NewRun<'a> {
    /// A run that goes on until [`Tx::end_run`](crate::store::Tx::end_run).
    fn begun(start: &'a RunStart<'a>, definition: i64, now: &'a str) -> Self {
        Self { number: None, start, definition, now, done: false, message: None }
    }

    /// A run that ends with the caller's transaction, and so is never seen running.
    pub fn done(start: &'a RunStart<'a>, definition: i64, now: &'a str) -> Self {
        Self { done: true, ..Self::begun(start, definition, now) }
    }

    /// Writes it, with a name that it has in every archive that will ever hold it, and its fetches
    /// dated by this machine's clock for now. What the archive's manifest said is no longer true.
    /// Gives its number.
    pub fn insert(&self, tx: &Tx<'_>) -> rusqlite::Result<i64> {
        let connection = &tx.connection;
        let sql = "INSERT INTO _windrow_runs (run_id, uid, archive_id, command, windrow_version,
                definition_id, started_at, read_at, finished_at, state, exit_code, message)
            SELECT :run, lower(hex(randomblob(16))),
                coalesce((SELECT value FROM _windrow_meta WHERE name = 'archive_id'), ''),
                :command, :version, :definition, :now, iif(:reads, :now, ''),
                iif(:done, :now, NULL), iif(:done, 'complete', 'running'), iif(:done, 0, NULL),
                :message";
        let RunStart { command, version, .. } = self.start;
        connection.execute(
            sql,
            named_params! {
                ":run": self.number,
                ":command": command.as_str(),
                ":version": version,
                ":definition": self.definition,
                ":now": self.now,
                ":reads": command.reads_source(),
                ":done": self.done,
                ":message": self.message,
            },
        )?;
        let run = connection.last_insert_rowid();
        forget_manifest(connection)?;
        Ok(run)
    }
}

/// Forgets what a hand-off says of itself, with the first thing that is written to it.
pub(crate) fn forget_manifest(connection: &Connection) -> rusqlite::Result<()> {
    let forget = "DELETE FROM _windrow_manifest; DELETE FROM _windrow_manifest_marks";
    connection.execute_batch(forget)
}

/// By how much this machine's clock must be off before fetches are dated by their sources', in
/// milliseconds: a `Date` has whole seconds, and an answer takes its time.
const SKEW_MS_MIN: u64 = 5_000;

/// Dates a run's fetches by the clocks of the sources that it has read: those of all laptops that
/// read them.
fn date_fetches(tx: &Tx<'_>, run: i64, clocks: &BTreeMap<String, i64>) -> rusqlite::Result<()> {
    let mut skews: Vec<i64> = clocks.values().copied().collect();
    skews.sort_unstable();
    let Some(skew) = skews.get(skews.len() / 2).filter(|skew| skew.unsigned_abs() >= SKEW_MS_MIN)
    else {
        return Ok(());
    };
    let sql = "SELECT started_at FROM _windrow_runs WHERE run_id = :run";
    let started: String = tx.connection.query_row(sql, named_params! { ":run": run }, only)?;
    let Some(started) = instant_from_text(&started) else { return Ok(()) };
    let at = started.checked_add_signed(chrono::TimeDelta::milliseconds(*skew)).unwrap_or(started);
    let sql = "UPDATE _windrow_runs SET read_at = :at WHERE run_id = :run AND read_at <> ''";
    tx.connection.execute(sql, named_params! { ":run": run, ":at": instant_to_text(at) })?;
    Ok(())
}

pub(crate) fn definition_id(tx: &Tx<'_>, text: &str, now: &str) -> rusqlite::Result<i64> {
    let digest = sha256_of(text);
    let sql = "SELECT definition_id FROM _windrow_definitions WHERE sha256 = :digest";
    if let Some(id) =
        tx.connection.query_row(sql, named_params! { ":digest": &digest }, only).optional()?
    {
        return Ok(id);
    }
    let sql = "INSERT INTO _windrow_definitions (sha256, text, first_used_at) VALUES (:digest,
        :text, :now)";
    tx.connection.execute(sql, named_params! { ":digest": &digest, ":text": text, ":now": now })?;
    Ok(tx.connection.last_insert_rowid())
}

/// The last `limit` runs, newest first; or one of them.
pub(crate) fn runs(
    connection: &Connection,
    only: Option<i64>,
    limit: u32,
) -> rusqlite::Result<Vec<RunRow>> {
    let sql = "SELECT run_id, command, state, started_at, finished_at, exit_code, windows_planned,
            windows_completed, requests, retries, bytes, message, waited_ms, errors, archive_id,
            merged_by
        FROM _windrow_runs WHERE :only IS NULL OR run_id = :only ORDER BY run_id DESC LIMIT :limit";
    let mut statement = connection.prepare_cached(sql)?;
    let mut all: Vec<RunRow> = statement
        .query_map(named_params! { ":only": only, ":limit": limit }, |row| {
            Ok(RunRow {
                run: row.get("run_id")?,
                command: named(row, "command", ("_windrow_runs", "command"))?,
                state: named(row, "state", ("_windrow_runs", "state"))?,
                started_at: row.get("started_at")?,
                finished_at: row.get("finished_at")?,
                exit_code: row.get("exit_code")?,
                windows_planned: row.get("windows_planned")?,
                windows_completed: row.get("windows_completed")?,
                spent: Spent {
                    requests: row.get("requests")?,
                    retries: row.get("retries")?,
                    bytes: row.get("bytes")?,
                    waited_ms: row.get("waited_ms")?,
                },
                message: row.get("message")?,
                errors: row.get("errors")?,
                archive_id: row.get("archive_id")?,
                merged_by: row.get("merged_by")?,
                outcomes: Outcomes::default(),
                streams: Vec::new(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    for run in &mut all {
        run.streams = run_streams(connection, run.run)?;
        for stream in &run.streams {
            run.outcomes += stream.outcomes;
            if run.finished_at.is_none() {
                // It was killed, or has not ended: what its transactions hold is known.
                run.windows_planned += stream.windows_planned;
                run.windows_completed += stream.windows_completed;
                run.spent += stream.spent;
            }
        }
    }
    Ok(all)
}

fn run_streams(connection: &Connection, run: i64) -> rusqlite::Result<Vec<RunStreamRow>> {
    let sql = "SELECT stream, windows_completed, received, inserted, updated, unchanged, skipped,
            rejected, out_of_window, late_rejects, windows_planned, plan, fetches, requests,
            retries, bytes,
            waited_ms FROM _windrow_run_streams WHERE run_id = :run ORDER BY stream";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(named_params! { ":run": run }, |row| {
        let outcomes = Outcomes {
            received: row.get("received")?,
            inserted: row.get("inserted")?,
            updated: row.get("updated")?,
            unchanged: row.get("unchanged")?,
            skipped: row.get("skipped")?,
            rejected: row.get("rejected")?,
        };
        let plan: Option<String> = row.get("plan")?;
        let plan = plan.map(|plan| from_json(&plan, 11)).transpose()?;
        Ok(RunStreamRow {
            stream: row.get("stream")?,
            windows_planned: row.get("windows_planned")?,
            windows_completed: row.get("windows_completed")?,
            plan: plan.unwrap_or_default(),
            fetches: row.get("fetches")?,
            outcomes,
            out_of_window: row.get("out_of_window")?,
            late_rejects: row.get("late_rejects")?,
            spent: Spent {
                requests: row.get("requests")?,
                retries: row.get("retries")?,
                bytes: row.get("bytes")?,
                waited_ms: row.get("waited_ms")?,
            },
        })
    })?;
    rows.collect()
}

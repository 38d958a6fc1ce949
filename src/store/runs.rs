//! What each run did.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::model::{
    Error, ExitCode, Outcomes, Spent, Timestamp, instant_from_text, instant_to_text,
};

use crate::store::digest::sha256_of;
use crate::store::error::at;
use crate::store::open::Archive;
use crate::store::run_detail::{PlanPart, forget_details};
use crate::store::table::{from_json, known};

/// The beginning of a run.
#[derive(Clone, Debug)]
pub struct RunStart<'a> {
    /// `sync`, `demo`, …
    pub command: &'a str,
    /// windrow's version.
    pub version: &'a str,
    /// The definition's text, without secrets.
    pub definition: &'a str,
    /// When.
    pub now: Timestamp,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// `complete`, `incomplete`, `failed` or `interrupted`.
    pub state: &'static str,
    /// The exit code of the command.
    pub exit_code: ExitCode,
    /// When.
    pub now: Timestamp,
    /// Windows that were due.
    pub windows_planned: u64,
    /// Windows that were completed.
    pub windows_completed: u64,
    /// What it cost.
    pub spent: Spent,
    /// How many errors there were.
    pub errors: u64,
    /// The gravest error.
    pub message: Option<String>,
    /// Milliseconds by which each source's clock is ahead of this machine's, where it was told.
    pub clocks: BTreeMap<String, i64>,
}

/// A run as it stands in the archive.
#[derive(Clone, Debug, Serialize)]
pub struct RunRow {
    /// Its number.
    pub run: i64,
    /// `sync`, `demo`, …
    pub command: String,
    /// `running`, `complete`, `incomplete`, `failed` or `interrupted`.
    pub state: String,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// The exit code of its command.
    pub exit_code: Option<i64>,
    /// Windows that were due.
    pub windows_planned: u64,
    /// Windows that were completed.
    pub windows_completed: u64,
    /// What it cost.
    #[serde(flatten)]
    pub spent: Spent,
    /// How many errors there were.
    pub errors: u64,
    /// The gravest error.
    pub message: Option<String>,
    /// The archive that it ran in.
    pub archive_id: Option<String>,
    /// The last merge that brought something of it; none where it is this archive's own alone.
    pub merged_by: Option<i64>,
    /// What became of all records.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// By stream.
    pub streams: Vec<RunStreamRow>,
}

/// What a run did to a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunStreamRow {
    /// The stream.
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
    /// What it cost.
    #[serde(flatten)]
    pub spent: Spent,
}

impl RunEnd {
    /// The end of a run that asked no source for anything.
    pub fn nothing_asked(now: Timestamp) -> Self {
        Self {
            state: "complete",
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

impl Archive {
    /// Notes that a run begins; runs that were killed are marked so.
    pub fn start_run(&self, start: &RunStart<'_>) -> Result<i64, Error> {
        let write = || -> rusqlite::Result<i64> {
            let now = instant_to_text(start.now);
            let immediate = rusqlite::TransactionBehavior::Immediate;
            let transaction = rusqlite::Transaction::new_unchecked(&self.connection, immediate)?;
            transaction.execute(
                "UPDATE _windrow_runs SET state = 'interrupted', message = 'the process was killed'
                 WHERE state = 'running'",
                [],
            )?;
            let definition = definition_id(&transaction, start.definition, &now)?;
            transaction.execute(
                "INSERT INTO _windrow_runs
                    (command, windrow_version, definition_id, started_at, state)
                 VALUES (?1, ?2, ?3, ?4, 'running')",
                params![start.command, start.version, definition, now],
            )?;
            let run = transaction.last_insert_rowid();
            name_run(&transaction, run)?;
            forget_details(&transaction, run)?;
            transaction.commit()?;
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
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                    ?18)
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
            self.connection.prepare_cached(sql)?.execute(params![
                run,
                more.stream,
                more.windows_completed,
                outcomes.received,
                outcomes.inserted,
                outcomes.updated,
                outcomes.unchanged,
                outcomes.skipped,
                outcomes.rejected,
                more.out_of_window,
                more.late_rejects,
                more.windows_planned,
                (!more.plan.is_empty()).then_some(plan),
                more.fetches,
                more.spent.requests,
                more.spent.retries,
                more.spent.bytes,
                more.spent.waited_ms,
            ])
        };
        write().map(|_| ()).map_err(at(&self.path))
    }

    /// Dates a run's fetches by the clocks of its sources so far: milliseconds by which each is
    /// ahead. In a transaction of the caller's.
    pub fn date_run(&self, run: i64, clocks: &BTreeMap<String, i64>) -> Result<(), Error> {
        date_fetches(&self.connection, run, clocks).map_err(at(&self.path))
    }

    /// Notes that a run has ended.
    pub fn end_run(&self, run: i64, end: &RunEnd) -> Result<(), Error> {
        let sql = "UPDATE _windrow_runs SET finished_at = ?2, state = ?3, exit_code = ?4,
                windows_planned = ?5, windows_completed = ?6, requests = ?7, retries = ?8,
                bytes = ?9, message = ?10, waited_ms = ?11, errors = ?12 WHERE run_id = ?1";
        let values = params![
            run,
            instant_to_text(end.now),
            end.state,
            end.exit_code.number(),
            end.windows_planned,
            end.windows_completed,
            end.spent.requests,
            end.spent.retries,
            end.spent.bytes,
            end.message,
            end.spent.waited_ms,
            end.errors,
        ];
        let write = || -> rusqlite::Result<()> {
            let immediate = rusqlite::TransactionBehavior::Immediate;
            let transaction = rusqlite::Transaction::new_unchecked(&self.connection, immediate)?;
            transaction.execute(sql, values)?;
            date_fetches(&transaction, run, &end.clocks)?;
            for (source, skew_ms) in &end.clocks {
                let sql = "INSERT INTO _windrow_clocks (source, skew_ms, seen_at)
                    VALUES (?1, ?2, ?3) ON CONFLICT (source)
                    DO UPDATE SET skew_ms = excluded.skew_ms, seen_at = excluded.seen_at";
                transaction.execute(sql, params![source, skew_ms, instant_to_text(end.now)])?;
            }
            transaction.commit()
        };
        write().map_err(at(&self.path))
    }
}

/// Gives a run its name in every archive that will ever hold it, and dates its fetches by this
/// machine's clock for now. What the archive's manifest said is no longer true.
pub(crate) fn name_run(connection: &Connection, run: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE _windrow_runs SET uid = lower(hex(randomblob(16))),
            archive_id = (SELECT value FROM _windrow_meta WHERE name = 'archive_id'),
            read_at = iif(?2, started_at, '')
        WHERE run_id = ?1";
    let command = "SELECT command FROM _windrow_runs WHERE run_id = ?1";
    let command: String = connection.query_row(command, [run], |row| row.get(0))?;
    let command = command.split(' ').next().unwrap_or_default();
    connection.execute(sql, params![run, !COMMANDS_THAT_READ_NO_SOURCE.contains(&command)])?;
    connection.execute_batch("DELETE FROM _windrow_manifest; DELETE FROM _windrow_manifest_marks")
}

/// What they write does not say what a source says at that time.
const COMMANDS_THAT_READ_NO_SOURCE: [&str; 6] =
    ["adopt", "rejects", "rebuild", "vanished", "merge", "handoff"];

/// By how much this machine's clock must be off before fetches are dated by their sources', in
/// milliseconds: a `Date` has whole seconds, and an answer takes its time.
const SKEW_MS_MIN: u64 = 5_000;

/// Dates a run's fetches by the clocks of the sources that it has read: those of all laptops that
/// read them.
fn date_fetches(
    connection: &Connection,
    run: i64,
    clocks: &BTreeMap<String, i64>,
) -> rusqlite::Result<()> {
    let mut skews: Vec<i64> = clocks.values().copied().collect();
    skews.sort_unstable();
    let Some(skew) = skews.get(skews.len() / 2).filter(|skew| skew.unsigned_abs() >= SKEW_MS_MIN)
    else {
        return Ok(());
    };
    let sql = "SELECT started_at FROM _windrow_runs WHERE run_id = ?1";
    let started: String = connection.query_row(sql, [run], |row| row.get(0))?;
    let Some(started) = instant_from_text(&started) else { return Ok(()) };
    let at = started.checked_add_signed(chrono::TimeDelta::milliseconds(*skew)).unwrap_or(started);
    let sql = "UPDATE _windrow_runs SET read_at = ?2 WHERE run_id = ?1 AND read_at <> ''";
    connection.execute(sql, params![run, instant_to_text(at)])?;
    Ok(())
}

pub(crate) fn definition_id(
    connection: &Connection,
    text: &str,
    now: &str,
) -> rusqlite::Result<i64> {
    let digest = sha256_of(text);
    let sql = "SELECT definition_id FROM _windrow_definitions WHERE sha256 = ?1";
    if let Some(id) = connection.query_row(sql, [&digest], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    let sql = "INSERT INTO _windrow_definitions (sha256, text, first_used_at) VALUES (?1, ?2, ?3)";
    connection.execute(sql, [&digest, text, now])?;
    Ok(connection.last_insert_rowid())
}

/// The states of a run, as its table has them.
const STATES: [&str; 5] = ["running", "complete", "incomplete", "failed", "interrupted"];

fn known_state(text: String) -> rusqlite::Result<String> {
    known(text, ("_windrow_runs", "state"), |text| STATES.contains(&text))
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
        FROM _windrow_runs WHERE ?1 IS NULL OR run_id = ?1 ORDER BY run_id DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut all: Vec<RunRow> = statement
        .query_map(params![only, limit], |row| {
            Ok(RunRow {
                run: row.get(0)?,
                command: row.get(1)?,
                state: known_state(row.get(2)?)?,
                started_at: row.get(3)?,
                finished_at: row.get(4)?,
                exit_code: row.get(5)?,
                windows_planned: row.get(6)?,
                windows_completed: row.get(7)?,
                spent: Spent {
                    requests: row.get(8)?,
                    retries: row.get(9)?,
                    bytes: row.get(10)?,
                    waited_ms: row.get(12)?,
                },
                message: row.get(11)?,
                errors: row.get(13)?,
                archive_id: row.get(14)?,
                merged_by: row.get(15)?,
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
            waited_ms FROM _windrow_run_streams WHERE run_id = ?1 ORDER BY stream";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([run], |row| {
        let outcomes = Outcomes {
            received: row.get(2)?,
            inserted: row.get(3)?,
            updated: row.get(4)?,
            unchanged: row.get(5)?,
            skipped: row.get(6)?,
            rejected: row.get(7)?,
        };
        let plan: Option<String> = row.get(11)?;
        let plan = plan.map(|plan| from_json(&plan, 11)).transpose()?;
        Ok(RunStreamRow {
            stream: row.get(0)?,
            windows_planned: row.get(10)?,
            windows_completed: row.get(1)?,
            plan: plan.unwrap_or_default(),
            fetches: row.get(12)?,
            outcomes,
            out_of_window: row.get(8)?,
            late_rejects: row.get(9)?,
            spent: Spent {
                requests: row.get(13)?,
                retries: row.get(14)?,
                bytes: row.get(15)?,
                waited_ms: row.get(16)?,
            },
        })
    })?;
    rows.collect()
}

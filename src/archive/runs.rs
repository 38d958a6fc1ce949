//! What each run did.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::model::{Instant, Outcomes, instant_to_text};

use super::digest::sha256_of;
use super::error::{ArchiveError, at};
use super::open::Archive;

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
    pub now: Instant,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// `complete`, `incomplete`, `failed` or `interrupted`.
    pub state: &'static str,
    /// The exit code of the command.
    pub exit_code: u8,
    /// When.
    pub now: Instant,
    /// Windows that were due.
    pub windows_planned: u64,
    /// Windows that were completed.
    pub windows_completed: u64,
    /// Requests that were sent, repetitions included.
    pub requests: u64,
    /// Repetitions.
    pub retries: u64,
    /// Bytes of decoded bodies.
    pub bytes: u64,
    /// The gravest trouble.
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
    /// Requests that were sent.
    pub requests: u64,
    /// Repetitions among them.
    pub retries: u64,
    /// Bytes of decoded bodies.
    pub bytes: u64,
    /// The gravest trouble.
    pub message: Option<String>,
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
    /// Windows that were completed.
    pub windows_completed: u64,
    /// What became of its records.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Records outside the range that was asked for.
    pub strays: u64,
    /// Rejects of earlier readings that became rows.
    pub taken_up: u64,
}

impl RunEnd {
    /// The end of a run that asked no source for anything.
    pub fn nothing_asked(now: Instant) -> Self {
        Self {
            state: "complete",
            exit_code: 0,
            now,
            windows_planned: 0,
            windows_completed: 0,
            requests: 0,
            retries: 0,
            bytes: 0,
            message: None,
            clocks: BTreeMap::new(),
        }
    }
}

impl Archive {
    /// Notes that a run begins; runs that were killed are marked so.
    pub fn start_run(&self, start: &RunStart<'_>) -> Result<i64, ArchiveError> {
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
            transaction.commit()?;
            Ok(run)
        };
        write().map_err(at(&self.path))
    }

    /// Adds to what a run did to a stream, in the transaction of the rows.
    pub fn add_to_run(&self, run: i64, more: &RunStreamRow) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO _windrow_run_streams
            (run_id, stream, windows_completed, received, inserted, updated, unchanged, skipped,
             rejected, strays, taken_up)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            ON CONFLICT (run_id, stream) DO UPDATE SET
              windows_completed = windows_completed + excluded.windows_completed,
              received = received + excluded.received, inserted = inserted + excluded.inserted,
              updated = updated + excluded.updated, unchanged = unchanged + excluded.unchanged,
              skipped = skipped + excluded.skipped, rejected = rejected + excluded.rejected,
              strays = strays + excluded.strays, taken_up = taken_up + excluded.taken_up";
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
                more.strays,
                more.taken_up,
            ])
        };
        write().map(|_| ()).map_err(at(&self.path))
    }

    /// Notes that a run has ended.
    pub fn end_run(&self, run: i64, end: &RunEnd) -> Result<(), ArchiveError> {
        let sql = "UPDATE _windrow_runs SET finished_at = ?2, state = ?3, exit_code = ?4,
                windows_planned = ?5, windows_completed = ?6, requests = ?7, retries = ?8,
                bytes = ?9, message = ?10 WHERE run_id = ?1";
        let values = params![
            run,
            instant_to_text(end.now),
            end.state,
            end.exit_code,
            end.windows_planned,
            end.windows_completed,
            end.requests,
            end.retries,
            end.bytes,
            end.message,
        ];
        let write = || -> rusqlite::Result<()> {
            let immediate = rusqlite::TransactionBehavior::Immediate;
            let transaction = rusqlite::Transaction::new_unchecked(&self.connection, immediate)?;
            transaction.execute(sql, values)?;
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

fn definition_id(connection: &Connection, text: &str, now: &str) -> rusqlite::Result<i64> {
    let digest = sha256_of(text);
    let sql = "SELECT definition_id FROM _windrow_definitions WHERE sha256 = ?1";
    if let Some(id) = connection.query_row(sql, [&digest], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    let sql = "INSERT INTO _windrow_definitions (sha256, text, first_used_at) VALUES (?1, ?2, ?3)";
    connection.execute(sql, [&digest, text, now])?;
    Ok(connection.last_insert_rowid())
}

/// The last `limit` runs, newest first; or one of them.
pub(super) fn runs(
    connection: &Connection,
    only: Option<i64>,
    limit: u32,
) -> rusqlite::Result<Vec<RunRow>> {
    let sql = "SELECT run_id, command, state, started_at, finished_at, exit_code, windows_planned,
            windows_completed, requests, retries, bytes, message
        FROM _windrow_runs WHERE ?1 IS NULL OR run_id = ?1 ORDER BY run_id DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut all: Vec<RunRow> = statement
        .query_map(params![only, limit], |row| {
            Ok(RunRow {
                run: row.get(0)?,
                command: row.get(1)?,
                state: row.get(2)?,
                started_at: row.get(3)?,
                finished_at: row.get(4)?,
                exit_code: row.get(5)?,
                windows_planned: row.get(6)?,
                windows_completed: row.get(7)?,
                requests: row.get(8)?,
                retries: row.get(9)?,
                bytes: row.get(10)?,
                message: row.get(11)?,
                outcomes: Outcomes::default(),
                streams: Vec::new(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    for run in &mut all {
        run.streams = run_streams(connection, run.run)?;
        for stream in &run.streams {
            run.outcomes += stream.outcomes;
        }
    }
    Ok(all)
}

fn run_streams(connection: &Connection, run: i64) -> rusqlite::Result<Vec<RunStreamRow>> {
    let sql = "SELECT stream, windows_completed, received, inserted, updated, unchanged, skipped,
            rejected, strays, taken_up FROM _windrow_run_streams WHERE run_id = ?1 ORDER BY stream";
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
        let (stream, windows_completed) = (row.get(0)?, row.get(1)?);
        let (strays, taken_up) = (row.get(8)?, row.get(9)?);
        Ok(RunStreamRow { stream, windows_completed, outcomes, strays, taken_up })
    })?;
    rows.collect()
}

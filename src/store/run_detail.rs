//! What a run did in detail: each fetch with what it cost, errors and waits. Bounded for each
//! run, and kept for the latest runs alone; the sums by stream stay.

use rusqlite::{Row, named_params};
use serde::{Deserialize, Serialize};

use crate::model::{Error, FetchResult, Outcomes, RunEventKind, Spent};
use crate::store::row::named;

use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::transaction::Tx;

/// Fetches of one run that are kept one by one; of the others the sums remain. A run over three
/// years of days fits.
pub const FETCHES_PER_RUN_MAX: u64 = 1_000;
/// Errors and waits of one run that are kept one by one: with `RUNS_IN_DETAIL_MAX` runs that is
/// 200,000 rows at most, and a run of more has one cause.
pub const EVENTS_PER_RUN_MAX: u64 = 200;
/// Runs whose fetches and events are kept: ten days of a watch that syncs each quarter of an hour.
pub const RUNS_IN_DETAIL_MAX: i64 = 1_000;

/// What was due in a stream for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPart {
    /// The reason for which they were due, in one word.
    pub reason: String,
    pub windows: u64,
    /// The start of the earliest window, for windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The end of the latest window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// One fetch of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FetchRow {
    pub stream: String,
    /// The parent's key, or empty.
    pub partition: String,
    /// The window's start, or empty.
    pub start_at: String,
    /// The window's end, or empty.
    pub end_at: String,
    /// Why it was due.
    pub reason: String,
    pub outcome: FetchResult,
    pub began_at: String,
    pub ended_at: String,
    /// Pages that came, of its last attempt.
    pub pages: u64,
    /// What became of the records of its last attempt.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Records outside the range that was asked for.
    pub out_of_window: u64,
    /// What all its attempts cost.
    #[serde(flatten)]
    pub spent: Spent,
    /// Why it is not complete.
    pub error: Option<String>,
}

/// An error of a run, or a wait that a source imposed on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunEvent {
    pub at: String,
    /// An error or a wait.
    pub kind: RunEventKind,
    /// The source, of a wait.
    pub source: Option<String>,
    /// The stream of an error; none for a wait.
    pub stream: Option<String>,
    /// The parent's key; none where it was about no parent.
    pub partition: Option<String>,
    /// The window as text; none where it was about no window.
    pub window: Option<String>,
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Until when, of a wait.
    pub until: Option<String>,
    /// The exit code that an error stands for; none for a wait.
    pub exit_code: Option<u8>,
}

/// What a run did, one by one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunDetail {
    /// In the order of their ends.
    pub fetches: Vec<FetchRow>,
    /// In the order in which they came.
    pub events: Vec<RunEvent>,
}

impl Tx<'_> {
    /// Notes a fetch, in the transaction of its checkpoint. Beyond the limit nothing is noted.
    pub fn write_fetch(&self, run: i64, number: u64, row: &FetchRow) -> Result<(), Error> {
        if number > FETCHES_PER_RUN_MAX {
            return Ok(());
        }
        let sql = "INSERT INTO _windrow_run_fetches VALUES (:run, :number, :stream, :partition,
            :start_at, :end_at, :reason, :outcome, :began_at,
            :ended_at, :pages, :received, :inserted, :updated, :unchanged, :skipped, :rejected,
            :out_of_window, :requests, :retries, :bytes, :waited_ms, :error)";
        let (outcomes, spent) = (&row.outcomes, &row.spent);
        let write = || -> rusqlite::Result<usize> {
            self.connection.prepare_cached(sql)?.execute(named_params! {
                ":run": run,
                ":number": number,
                ":stream": row.stream,
                ":partition": row.partition,
                ":start_at": row.start_at,
                ":end_at": row.end_at,
                ":reason": row.reason,
                ":outcome": row.outcome.as_str(),
                ":began_at": row.began_at,
                ":ended_at": row.ended_at,
                ":pages": row.pages,
                ":received": outcomes.received,
                ":inserted": outcomes.inserted,
                ":updated": outcomes.updated,
                ":unchanged": outcomes.unchanged,
                ":skipped": outcomes.skipped,
                ":rejected": outcomes.rejected,
                ":out_of_window": row.out_of_window,
                ":requests": spent.requests,
                ":retries": spent.retries,
                ":bytes": spent.bytes,
                ":waited_ms": spent.waited_ms,
                ":error": row.error,
            })
        };
        write().map(|_| ()).map_err(at(&self.path))
    }

    /// Notes an error or a wait. Beyond the limit nothing is noted.
    pub fn write_run_event(&self, run: i64, number: u64, event: &RunEvent) -> Result<(), Error> {
        if number > EVENTS_PER_RUN_MAX {
            return Ok(());
        }
        let sql = "INSERT INTO _windrow_run_events
            VALUES (:run, :number, :at, :kind, :source, :stream, :partition, :window, :message,
            :help, :until, :exit_code)";
        let write = || -> rusqlite::Result<usize> {
            self.connection.prepare_cached(sql)?.execute(named_params! {
                ":run": run,
                ":number": number,
                ":at": event.at,
                ":kind": event.kind.as_str(),
                ":source": event.source,
                ":stream": event.stream,
                ":partition": event.partition,
                ":window": event.window,
                ":message": event.message,
                ":help": event.help,
                ":until": event.until,
                ":exit_code": event.exit_code,
            })
        };
        write().map(|_| ()).map_err(at(&self.path))
    }
}

/// Forgets the details of runs that are long past.
pub(crate) fn forget_details(tx: &Tx<'_>, run: i64) -> rusqlite::Result<()> {
    for table in ["_windrow_run_fetches", "_windrow_run_events"] {
        let sql = format!("DELETE FROM {table} WHERE run_id <= :_");
        tx.connection.execute(&sql, named_params! { ":_": run - RUNS_IN_DETAIL_MAX })?;
    }
    Ok(())
}

impl Reader {
    /// What a run did, one by one.
    pub fn run_detail(&self, run: i64) -> Result<RunDetail, Error> {
        self.run(|connection| {
            let sql = "SELECT * FROM _windrow_run_fetches WHERE run_id = :run ORDER BY number";
            let mut statement = connection.prepare(sql)?;
            let fetches = statement
                .query_map(named_params! { ":run": run }, fetch)?
                .collect::<rusqlite::Result<_>>()?;
            let sql = "SELECT * FROM _windrow_run_events WHERE run_id = :run ORDER BY number";
            let mut statement = connection.prepare(sql)?;
            let events = statement
                .query_map(named_params! { ":run": run }, event)?
                .collect::<rusqlite::Result<_>>()?;
            Ok(RunDetail { fetches, events })
        })
    }
}

fn fetch(row: &Row<'_>) -> rusqlite::Result<FetchRow> {
    Ok(FetchRow {
        stream: row.get("stream")?,
        partition: row.get("partition")?,
        start_at: row.get("start_at")?,
        end_at: row.get("end_at")?,
        reason: row.get("reason")?,
        outcome: named(row, "outcome", ("_windrow_run_fetches", "outcome"))?,
        began_at: row.get("began_at")?,
        ended_at: row.get("ended_at")?,
        pages: row.get("pages")?,
        outcomes: Outcomes {
            received: row.get("received")?,
            inserted: row.get("inserted")?,
            updated: row.get("updated")?,
            unchanged: row.get("unchanged")?,
            skipped: row.get("skipped")?,
            rejected: row.get("rejected")?,
        },
        out_of_window: row.get("out_of_window")?,
        spent: Spent {
            requests: row.get("requests")?,
            retries: row.get("retries")?,
            bytes: row.get("bytes")?,
            waited_ms: row.get("waited_ms")?,
        },
        error: row.get("error")?,
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<RunEvent> {
    Ok(RunEvent {
        at: row.get("at")?,
        kind: named(row, "kind", ("_windrow_run_events", "kind"))?,
        source: row.get("source")?,
        stream: row.get("stream")?,
        partition: row.get("partition")?,
        window: row.get("window")?,
        message: row.get("message")?,
        help: row.get("help")?,
        until: row.get("until")?,
        exit_code: row.get("exit_code")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Command;
    use crate::store::RunStart;
    use crate::store::table::tests::{archive_with, usage_shape};

    #[test]
    fn what_is_kept_of_a_run_is_bounded_and_so_are_the_runs() {
        let (_folder, archive) = archive_with(&usage_shape());
        let now = crate::model::instant_from_text("2026-01-01T00:00:00Z").expect("an instant");
        let start = RunStart { command: Command::Sync, version: "0", definition: "", now };
        let run = archive.transaction(|tx| tx.start_run(&start)).expect("a run");
        let row = FetchRow {
            stream: "usage".into(),
            partition: String::new(),
            start_at: String::new(),
            end_at: String::new(),
            reason: "pending".into(),
            outcome: FetchResult::Complete,
            began_at: "then".into(),
            ended_at: "now".into(),
            pages: 1,
            outcomes: Outcomes::default(),
            out_of_window: 0,
            spent: Spent { requests: 2, retries: 1, bytes: 3, waited_ms: 4 },
            error: None,
        };
        let event = RunEvent { kind: RunEventKind::Wait, at: "now".into(), ..RunEvent::default() };
        for number in 1..=FETCHES_PER_RUN_MAX + 5 {
            archive.transaction(|tx| tx.write_fetch(run, number, &row)).expect("noted");
            archive.transaction(|tx| tx.write_run_event(run, number, &event)).expect("noted");
        }
        let reader = Reader::open(archive.path()).expect("a reader");
        let detail = reader.run_detail(run).expect("its detail");
        assert_eq!(detail.fetches.len() as u64, FETCHES_PER_RUN_MAX);
        assert_eq!(detail.events.len() as u64, EVENTS_PER_RUN_MAX);
        assert_eq!((&detail.fetches[0], &detail.events[0]), (&row, &event));
        let later = "INSERT INTO _windrow_runs
                (run_id, uid, archive_id, read_at, command, windrow_version, started_at, state)
            VALUES (?1, 'u', 'a', 'now', 'sync', '0', 'now', 'complete')";
        archive.connection.execute(later, [run + RUNS_IN_DETAIL_MAX - 1]).expect("a later run");
        archive.transaction(|tx| tx.start_run(&start)).expect("and the next");
        let detail = reader.run_detail(run).expect("its detail");
        assert_eq!((detail.fetches.len(), detail.events.len()), (0, 0));
        assert!(reader.run_row(run).expect("read").is_some(), "the run itself stays");
    }
}

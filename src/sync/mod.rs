//! The spine: plan windows -> pull pages -> records -> archive.
//!
//! Two lanes run side by side: one pulls and reads pages, the other writes them; a channel of
//! bounded length lies between. Every decision is made in the rooms below; this room connects
//! them, and says what happened.

mod columns;
mod drift;
mod event;
mod fetch;
mod fetch_job;
mod fetch_lane;
pub(crate) mod fetch_window;
mod notes;
mod one_page;
pub(crate) mod page;
mod picked_fetches;
pub(crate) mod records;
mod report;
pub(crate) mod retry_rejects;
mod run_keys;
mod scope;
pub(crate) mod seen;
mod tally;
mod waits;
mod write_lane;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::definition::{Definition, Source};
use crate::host::Host;
use crate::http::{Budget, HttpFetcher, SecretValues, Transport};
use crate::model::{Command, Error, ErrorKind, RunState, Timestamp, Window};
use crate::store::{Archive, Reader, RunEnd, RunStart};

pub use event::{ProgressEvent, ProgressSink, Silent};
pub use fetch_job::{PlannedJob, plan_run, resolve_start, time_mark};
pub use one_page::{OnePage, pull_one_page};
pub use picked_fetches::PickedFetches;
pub use report::{RunError, StreamReport, SyncReport};
pub use retry_rejects::{LateReport, RetryReport, StillRejected, retry};

/// Pages between the two lanes. Two are enough to keep both busy; more would only hold memory.
const PAGES_IN_FLIGHT: usize = 2;

/// Which streams a run reads, from where on, and what it may spend.
#[derive(Clone, Debug, Default)]
pub struct SyncOptions {
    /// These streams; all when empty.
    pub streams: Vec<String>,
    /// Read from here on, whatever is known.
    pub from: Option<SyncFrom>,
    /// Make these fetches and no others, with what another archive knows.
    pub picked: Option<PickedFetches>,
    /// What the run may spend.
    pub budget: Budget,
    /// The command, as the archive will remember it.
    pub command: Command,
}

/// From where a run reads again, whatever is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFrom {
    /// From a time on: windows up to the end, or up to now; marks that are times, and snapshots.
    Time {
        /// The start of what is read again.
        start: Timestamp,
        /// Where the windows end.
        end: Option<Timestamp>,
    },
    /// From a number on: marks that are numbers, and snapshots.
    Number(i64),
}

impl SyncFrom {
    /// The stretch of windows that is read.
    pub fn window(&self, now: Timestamp) -> Option<Window> {
        match self {
            SyncFrom::Time { start, end } => Window::new(*start, end.unwrap_or(now)),
            SyncFrom::Number(_) => None,
        }
    }

    /// The time, where it is one.
    pub fn time(&self) -> Option<Timestamp> {
        match self {
            SyncFrom::Time { start, .. } => Some(*start),
            SyncFrom::Number(_) => None,
        }
    }

    /// The number, where it is one.
    pub fn number(&self) -> Option<i64> {
        match self {
            SyncFrom::Time { .. } => None,
            SyncFrom::Number(number) => Some(*number),
        }
    }
}

/// How the two lanes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// Each on a thread of its own.
    Overlapped,
    /// In turns on one thread, so that a run can be repeated exactly.
    Interleaved,
}

/// What a run works with.
pub struct SyncParts<'a> {
    pub definition: &'a Definition,
    pub host: &'a Host,
    /// The way to each source.
    pub transports: BTreeMap<String, Arc<dyn Transport>>,
    /// The values of the definition's secrets.
    pub secrets: SecretValues,
    /// Who is told what happens.
    pub observer: &'a dyn ProgressSink,
}

/// A transport for every source of a definition.
pub fn transports<E>(
    definition: &Definition,
    make: impl Fn(&Source) -> Result<Arc<dyn Transport>, E>,
) -> Result<BTreeMap<String, Arc<dyn Transport>>, E> {
    let sources = definition.sources.values();
    sources.map(|source| Ok((source.name.clone(), make(source)?))).collect()
}

/// Brings the archive up to date, once. An error of a source is in the report; an error is
/// an error of the archive itself.
pub fn sync(
    archive: &Archive,
    parts: SyncParts<'_>,
    options: &SyncOptions,
    lanes: Lanes,
) -> Result<SyncReport, Error> {
    let SyncParts { definition, host, transports, secrets, observer } = parts;
    let reader = match &options.picked {
        Some(picked) => Reader::open(&picked.known)?,
        None => archive.reopen()?,
    };
    let start = RunStart {
        command: options.command,
        version: env!("CARGO_PKG_VERSION"),
        definition: &definition.text,
        now: host.clock.now(),
    };
    let run = archive.transaction(|tx| tx.start_run(&start))?;
    let path = archive.path().display();
    tracing::info!(run, command = options.command.as_str(), archive = %path, "run begins");
    let fetcher = HttpFetcher::new(host.clone(), definition, transports, secrets, options.budget);
    let (sender, receiver) = mpsc::channel(PAGES_IN_FLIGHT);
    let pulling =
        fetch_lane::FetchLane::new(definition, options, host, reader, fetcher, sender, observer);
    let writing = write_lane::WriteLane::new(archive, run, host, observer, definition);
    let (mut report, written) = match lanes {
        Lanes::Interleaved => {
            runtime().block_on(async { tokio::join!(pulling.run(), writing.run(receiver)) })
        }
        Lanes::Overlapped => std::thread::scope(|scope| {
            let pulled = scope.spawn(|| runtime().block_on(pulling.run()));
            let written = runtime().block_on(writing.run(receiver));
            (pulled.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), written)
        }),
    };
    report.run = run;
    let result = result_of(archive, run, written, host, &mut report);
    let end = RunEnd {
        state: if result.is_err() { RunState::Failed } else { report.state() },
        exit_code: match &result {
            Err(error) => error.exit_code(),
            Ok(()) => report.exit_code(),
        },
        now: host.clock.now(),
        windows_planned: report.windows_planned(),
        windows_completed: report.windows_completed(),
        spent: report.stats,
        errors: report.errors.len() as u64,
        clocks: report.clocks.clone(),
        message: match &result {
            Err(error) => Some(error.message.clone()),
            Ok(()) => report.gravest().map(|error| error.message.clone()),
        },
    };
    log_end(run, &end);
    let ended = archive.transaction(|tx| tx.end_run(run, &end));
    result?;
    ended?;
    Ok(report)
}

/// Adds to the report what was written, or gives the error of the archive that ends the run.
fn result_of(
    archive: &Archive,
    run: i64,
    written: Result<report::Written, Error>,
    host: &Host,
    report: &mut SyncReport,
) -> Result<(), Error> {
    let result = match written {
        Ok(totals) => {
            report.add_written(totals);
            archive.vanished_of_run(run).map(|counts| report.add_vanished(&counts))
        }
        // The page in hand was rolled back in the midst of a statement.
        Err(error) if error.kind == ErrorKind::Interrupted && host.stop.cause().is_some() => {
            report.stop = host.stop.cause();
            Ok(())
        }
        Err(error) => Err(error),
    };
    // Once somebody asked for the end, a fetch that was broken off is no fault.
    match report.fault.take().filter(|_| report.stop.is_none()) {
        Some(fault) => result.and(Err(fault)),
        None => result,
    }
}

fn log_end(run: i64, end: &RunEnd) {
    tracing::info!(
        run,
        state = end.state.as_str(),
        exit_code = end.exit_code.number(),
        windows_planned = end.windows_planned,
        windows_completed = end.windows_completed,
        requests = end.spent.requests,
        retries = end.spent.retries,
        bytes = end.spent.bytes,
        waited_ms = end.spent.waited_ms,
        error = end.message,
        "run ended"
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the operating system gives a thread and an event queue")
}

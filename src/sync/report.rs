//! What a run did, for the commands to tell.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::definition::{Stream, StreamKind};
use crate::host::StopCause;
use crate::http::{SourceError, SourceErrorKind};
use crate::model::{
    Error, ExitCode, Outcomes, Outdated, Reject, RunState, Spent, VanishedState, WindowKey,
};
use crate::store::RunStreamRow;
use crate::vanished::VanishedCount;

/// Why records were rejected: a kind of fault at one place of the record is one reason.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct RejectReasons(Vec<RejectReason>);

/// One reason, and how many records had it.
#[derive(Clone, Debug, Serialize)]
pub struct RejectReason {
    /// The kind of fault.
    pub kind: &'static str,
    /// Where in the record, as a JSON Pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The fault of the first of them, in words.
    pub reason: String,
    /// The number of records with this reason.
    pub count: u64,
}

/// The most reasons that are told apart in one run and stream; what is beyond counts to the last.
/// Each is held in memory, and one that quotes its value is another for each record.
const REASONS_MAX: usize = 20;

/// Reasons that a message names: they stand in one line for each stream; JSON has up to
/// [`REASONS_MAX`].
const REASONS_SHOWN_MAX: usize = 3;

impl RejectReasons {
    /// Takes in the rejects of a page.
    pub fn take(&mut self, rejects: &[Reject]) {
        for reject in rejects {
            let kind = reject.kind.as_str();
            let known = |reason: &&mut RejectReason| {
                reason.kind == kind && reason.pointer == reject.pointer
            };
            let full = self.0.len() >= REASONS_MAX;
            match self.0.iter_mut().find(known) {
                Some(reason) => reason.count += 1,
                None if full => self.0.last_mut().expect("it is full").count += 1,
                None => self.0.push(RejectReason {
                    kind,
                    pointer: reject.pointer.clone(),
                    reason: reject.reason.clone(),
                    count: 1,
                }),
            }
        }
    }

    /// How many records were rejected.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|reason| reason.count).sum()
    }

    /// The most frequent reasons in words.
    pub fn spoken(&self) -> String {
        let mut reasons: Vec<&RejectReason> = self.0.iter().collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        let shown = reasons.iter().take(REASONS_SHOWN_MAX).map(|it| match it.count {
            1 => it.reason.clone(),
            count => format!("{} ({count} times)", it.reason),
        });
        let mut text = shown.collect::<Vec<_>>().join("; ");
        if reasons.len() > REASONS_SHOWN_MAX {
            text.push_str("; …");
        }
        text
    }
}

/// What a run did to a stream.
#[derive(Clone, Debug, Serialize)]
pub struct StreamReport {
    pub stream: String,
    /// Fetches that were due.
    pub windows_planned: u64,
    /// Fetches that are complete now.
    pub windows_completed: u64,
    /// What became of the records.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Records outside the range that was asked for.
    pub out_of_window: u64,
    /// Why records were rejected, those aside whose parent is not there.
    pub reject_reasons: RejectReasons,
    /// Rejects of earlier fetches that became rows: they are not received again.
    pub late_rejects: u64,
    /// Rows that their source no longer returns and that were marked or deleted.
    pub vanished: u64,
    /// Rows that their source no longer returns, left alone since they are too many at once.
    pub held_back: u64,
    /// Whether fetches were left for another run without being tried.
    pub left_out: bool,
    /// What another request had fetched when the run began, and is due again.
    #[serde(flatten)]
    pub outdated: Outdated,
    /// Declared columns that no record has had so far, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never_found: Vec<String>,
    /// Whether its fetches are windows.
    #[serde(skip)]
    pub is_window: bool,
}

impl StreamReport {
    /// Nothing has happened yet.
    pub fn new(stream: &Stream) -> Self {
        Self {
            stream: stream.name.clone(),
            is_window: matches!(stream.kind, StreamKind::Window(_)),
            windows_planned: 0,
            windows_completed: 0,
            outcomes: Outcomes::default(),
            out_of_window: 0,
            reject_reasons: RejectReasons::default(),
            late_rejects: 0,
            vanished: 0,
            held_back: 0,
            left_out: false,
            outdated: Outdated::default(),
            never_found: Vec::new(),
        }
    }
}

/// An error of a source.
#[derive(Clone, Debug, Serialize)]
pub struct RunError {
    pub stream: String,
    /// The window, where it was about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The parent's key, where there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partition: String,
    /// What happened, without secrets.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The exit code that it stands for.
    pub exit_code: ExitCode,
    /// Whose error it is.
    #[serde(skip)]
    pub kind: SourceErrorKind,
}

impl RunError {
    /// Error of a stream, or of one of its fetches.
    pub fn new(
        stream: &str,
        window_key: Option<&WindowKey>,
        error: &SourceError,
        message: String,
    ) -> Self {
        Self {
            stream: stream.to_owned(),
            window: window_key
                .and_then(|window_key| window_key.window)
                .map(|window| window.to_string()),
            partition: window_key
                .map(|window_key| window_key.partition.clone())
                .unwrap_or_default(),
            message,
            help: error.help.clone(),
            exit_code: exit_code_of(error.kind),
            kind: error.kind,
        }
    }
}

/// The exit code that a kind of source error stands for (docs/exit-codes.md).
fn exit_code_of(kind: SourceErrorKind) -> ExitCode {
    match kind {
        SourceErrorKind::Definition => ExitCode::Usage,
        SourceErrorKind::Offline
        | SourceErrorKind::Waiting
        | SourceErrorKind::Failing
        | SourceErrorKind::Budget
        | SourceErrorKind::Stopped => ExitCode::Incomplete,
        SourceErrorKind::Credentials | SourceErrorKind::Forbidden => ExitCode::Credentials,
        SourceErrorKind::InvalidResponse => ExitCode::InvalidResponse,
        SourceErrorKind::Unsafe => ExitCode::Unsafe,
    }
}

/// What the write lane did.
#[derive(Default)]
pub struct Written {
    pub streams: Vec<RunStreamRow>,
    /// What it found wrong with fetches that seemed complete.
    pub errors: Vec<RunError>,
}

/// What a run did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SyncReport {
    pub run: i64,
    /// By stream, in the order in which they were read.
    pub streams: Vec<StreamReport>,
    /// All errors, in the order in which they came.
    pub errors: Vec<RunError>,
    /// What the run spent.
    #[serde(skip)]
    pub stats: Spent,
    /// Milliseconds by which each source's clock is ahead of this machine's, where it was told.
    #[serde(skip)]
    pub clocks: BTreeMap<String, i64>,
    /// Who ended it early.
    #[serde(skip)]
    pub stop: Option<StopCause>,
    /// The first error with reading the archive itself, which the run ends with.
    #[serde(skip)]
    pub fault: Option<Error>,
}

impl SyncReport {
    /// Adds what the writing lane did.
    pub fn add_written(&mut self, written: Written) {
        self.errors.extend(written.errors);
        for row in written.streams {
            if let Some(stream) = self.streams.iter_mut().find(|s| s.stream == row.stream) {
                stream.windows_completed += row.windows_completed;
                stream.outcomes += row.outcomes;
                stream.out_of_window += row.out_of_window;
                stream.late_rejects += row.late_rejects;
            }
        }
    }

    /// Adds what the run found missing.
    pub fn add_vanished(&mut self, counts: &[VanishedCount]) {
        for count in counts {
            let Some(stream) = self.streams.iter_mut().find(|s| s.stream == count.stream) else {
                continue;
            };
            match count.state {
                VanishedState::Marked | VanishedState::Deleted => stream.vanished += count.count,
                VanishedState::Held => stream.held_back += count.count,
                // Missed once, or brought back: the rows are there.
                VanishedState::Missed | VanishedState::Kept => {}
            }
        }
    }

    /// What became of all records.
    pub fn outcomes(&self) -> Outcomes {
        let mut all = Outcomes::default();
        self.streams.iter().for_each(|stream| all += stream.outcomes);
        all
    }

    /// Fetches that were due.
    pub fn windows_planned(&self) -> u64 {
        self.streams.iter().map(|stream| stream.windows_planned).sum()
    }

    /// Fetches that were completed.
    pub fn windows_completed(&self) -> u64 {
        self.streams.iter().map(|stream| stream.windows_completed).sum()
    }

    /// The error that decides the exit code.
    pub fn gravest(&self) -> Option<&RunError> {
        let gravity = |kind| match kind {
            SourceErrorKind::Stopped | SourceErrorKind::Budget => 0,
            SourceErrorKind::Offline | SourceErrorKind::Waiting => 1,
            SourceErrorKind::Failing => 2,
            SourceErrorKind::InvalidResponse => 3,
            SourceErrorKind::Definition => 4,
            SourceErrorKind::Credentials | SourceErrorKind::Forbidden => 5,
            SourceErrorKind::Unsafe => 6,
        };
        // The first of the gravest: `max_by_key` gives the last.
        self.errors.iter().rev().max_by_key(|error| gravity(error.kind))
    }

    /// The exit code of the command (docs/exit-codes.md).
    pub fn exit_code(&self) -> ExitCode {
        match self.stop {
            Some(cause) => cause.into(),
            None => self.gravest().map_or(ExitCode::Done, |error| error.exit_code),
        }
    }

    /// The state that the archive remembers.
    pub fn state(&self) -> RunState {
        match (self.stop, self.exit_code()) {
            (Some(_), _) => RunState::Interrupted,
            (None, ExitCode::Done) => RunState::Complete,
            (None, ExitCode::Incomplete) => RunState::Incomplete,
            (None, _) => RunState::Failed,
        }
    }
}

//! What a run did, for the commands to tell.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::host::StopCause;
use crate::http::{SourceError, SourceErrorKind};
use crate::model::{Outcomes, Spent, WindowKey};
use crate::store::{ArchiveError, RunStreamRow, VanishedCount};

/// What a run did to a stream.
#[derive(Clone, Debug, Serialize)]
pub struct StreamReport {
    /// The stream.
    pub stream: String,
    /// Readings that were due.
    pub windows_planned: u64,
    /// Readings that are complete now.
    pub windows_completed: u64,
    /// What became of the records.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Records outside the range that was asked for.
    pub strays: u64,
    /// Rejects of earlier readings that became rows: they are not received again.
    pub taken_up: u64,
    /// Rows that their source no longer returns and that were marked or deleted.
    pub vanished: u64,
    /// Rows that their source no longer returns, left alone since they are too many at once.
    pub held_back: u64,
    /// Whether readings were left for another run without being tried.
    pub left_out: bool,
}

impl StreamReport {
    /// Nothing has happened yet.
    pub fn new(stream: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            windows_planned: 0,
            windows_completed: 0,
            outcomes: Outcomes::default(),
            strays: 0,
            taken_up: 0,
            vanished: 0,
            held_back: 0,
            left_out: false,
        }
    }
}

/// Trouble with a source.
#[derive(Clone, Debug, Serialize)]
pub struct TroubleReport {
    /// The stream.
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
    pub cure: Option<String>,
    /// The exit code that it stands for.
    pub exit_code: u8,
    /// Whose trouble it is.
    #[serde(skip)]
    pub kind: SourceErrorKind,
}

impl TroubleReport {
    /// Trouble of a stream, or of one of its readings.
    pub fn new(
        stream: &str,
        place: Option<&WindowKey>,
        trouble: &SourceError,
        message: String,
    ) -> Self {
        Self {
            stream: stream.to_owned(),
            window: place.and_then(|place| place.window).map(|window| window.to_string()),
            partition: place.map(|place| place.partition.clone()).unwrap_or_default(),
            message,
            cure: trouble.cure.clone(),
            exit_code: exit_code_of(trouble.kind),
            kind: trouble.kind,
        }
    }
}

/// docs/contract.md, section 9.
fn exit_code_of(kind: SourceErrorKind) -> u8 {
    match kind {
        SourceErrorKind::Definition => 2,
        SourceErrorKind::Offline | SourceErrorKind::Waiting | SourceErrorKind::Failing => 3,
        SourceErrorKind::Budget | SourceErrorKind::Stopped => 3,
        SourceErrorKind::Credentials => 4,
        SourceErrorKind::BrokenWord => 5,
        SourceErrorKind::Unsafe => 9,
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SyncReport {
    /// The run's number.
    pub run: i64,
    /// By stream, in the order in which they were read.
    pub streams: Vec<StreamReport>,
    /// All trouble, in the order in which it came.
    pub troubles: Vec<TroubleReport>,
    /// What the run spent.
    #[serde(skip)]
    pub stats: Spent,
    /// Milliseconds by which each source's clock is ahead of this machine's, where it was told.
    #[serde(skip)]
    pub clocks: BTreeMap<String, i64>,
    /// Who ended it early.
    #[serde(skip)]
    pub stop: Option<StopCause>,
    /// The first trouble with reading the archive itself, which the run ends with.
    #[serde(skip)]
    pub fault: Option<ArchiveError>,
}

impl SyncReport {
    /// Adds what the writing lane did.
    pub fn add_written(&mut self, written: Vec<RunStreamRow>) {
        for row in written {
            if let Some(stream) = self.streams.iter_mut().find(|s| s.stream == row.stream) {
                stream.windows_completed += row.windows_completed;
                stream.outcomes += row.outcomes;
                stream.strays += row.strays;
                stream.taken_up += row.taken_up;
            }
        }
    }

    /// Adds what the run found missing.
    pub fn add_vanished(&mut self, counts: &[VanishedCount]) {
        for count in counts {
            let Some(stream) = self.streams.iter_mut().find(|s| s.stream == count.stream) else {
                continue;
            };
            match count.state.as_str() {
                "marked" | "deleted" => stream.vanished += count.count,
                "held" => stream.held_back += count.count,
                _ => {}
            }
        }
    }

    /// What became of all records.
    pub fn outcomes(&self) -> Outcomes {
        let mut all = Outcomes::default();
        self.streams.iter().for_each(|stream| all += stream.outcomes);
        all
    }

    /// Readings that were due.
    pub fn windows_planned(&self) -> u64 {
        self.streams.iter().map(|stream| stream.windows_planned).sum()
    }

    /// Readings that were completed.
    pub fn windows_completed(&self) -> u64 {
        self.streams.iter().map(|stream| stream.windows_completed).sum()
    }

    /// The trouble that decides the exit code.
    pub fn gravest(&self) -> Option<&TroubleReport> {
        let gravity = |kind| match kind {
            SourceErrorKind::Stopped | SourceErrorKind::Budget => 0,
            SourceErrorKind::Offline | SourceErrorKind::Waiting => 1,
            SourceErrorKind::Failing => 2,
            SourceErrorKind::BrokenWord => 3,
            SourceErrorKind::Definition => 4,
            SourceErrorKind::Credentials => 5,
            SourceErrorKind::Unsafe => 6,
        };
        // The first of the gravest: `max_by_key` gives the last.
        self.troubles.iter().rev().max_by_key(|trouble| gravity(trouble.kind))
    }

    /// The exit code of the command (docs/contract.md, section 9).
    pub fn exit_code(&self) -> u8 {
        match self.stop {
            Some(cause) => cause.exit_code(),
            None => self.gravest().map_or(0, |trouble| trouble.exit_code),
        }
    }

    /// The state that the archive remembers.
    pub fn state(&self) -> &'static str {
        match (self.stop, self.exit_code()) {
            (Some(_), _) => "interrupted",
            (None, 0) => "complete",
            (None, 3) => "incomplete",
            (None, _) => "failed",
        }
    }
}

//! What a round of sending did, for the commands to tell.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::host::StopCause;
use crate::http::{HttpResponse, SourceError, SourceErrorKind, looks_like_html};
use crate::model::{EntryState, ExitCode, Timestamp, excerpt};
use crate::outbox::{KeptAnswer, OutboxBrief, Settlement};

use super::plan::{Doing, Planned, WaitReason};

/// Headers of an answer that are kept: they say what it is, and hold no credentials.
const KEPT_HEADERS: [&str; 14] = [
    "content-language",
    "content-type",
    "date",
    "etag",
    "idempotency-replayed",
    "idempotent-replayed",
    "last-modified",
    "link",
    "location",
    "original-request",
    "request-id",
    "retry-after",
    "x-correlation-id",
    "x-request-id",
];
/// How much of a refusal is told, characters: two or three lines of the API's own words; `outbox
/// show` has the answer.
const SAID_CHARS_MAX: usize = 200;

/// An entry that came to its end.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    pub entry: i64,
    pub source: String,
    pub key: String,
    pub state: EntryState,
    /// The status of the last answer; none where none came.
    pub status: Option<u16>,
    /// The error in words.
    pub note: Option<String>,
}

impl Sent {
    /// How the entry ended.
    pub(crate) fn of(brief: &OutboxBrief, end: &Settlement) -> Self {
        Self {
            entry: brief.entry,
            source: brief.source.clone(),
            key: brief.key.clone(),
            state: end.state,
            status: end.status,
            note: end.note.clone(),
        }
    }
}

/// What a round of sending did.
#[derive(Clone, Debug, Default)]
pub struct SendReport {
    /// Attempts that were made.
    pub attempts: u64,
    /// Entries that came to an end, or to where a lookup or a person has to help.
    pub sent: Vec<Sent>,
    /// What is still to be sent, and why not now.
    pub waiting: Vec<Planned>,
    /// Sources that were not asked any more.
    pub errors: BTreeMap<String, SourceError>,
    /// What the process that sends instead says of itself.
    pub held_by: Option<String>,
    /// Who asked for the end.
    pub stopped: Option<StopCause>,
}

impl SendReport {
    /// Both, where another round was made before.
    #[must_use]
    pub fn following(mut self, before: Option<SendReport>) -> Self {
        if let Some(before) = before {
            self.attempts += before.attempts;
            self.sent.splice(0..0, before.sent);
        }
        self
    }

    /// How many entries came to this state.
    pub fn count(&self, state: EntryState) -> u64 {
        self.sent.iter().filter(|sent| sent.state == state).count() as u64
    }

    /// When the next entry is due that waits for a time of its own.
    pub fn next_at(&self) -> Option<Timestamp> {
        let times = self.waiting.iter().filter_map(|planned| match &planned.doing {
            Doing::Wait(
                WaitReason::NotBefore(at) | WaitReason::NextAttempt(at) | WaitReason::LookAt(at),
            ) => Some(*at),
            _ => None,
        });
        times.min()
    }

    /// Whether somebody has to do something.
    pub fn needs_person(&self) -> bool {
        self.sent.iter().any(|sent| sent.state == EntryState::Rejected)
            || self.waiting.iter().any(|planned| matches!(planned.doing, Doing::Person(_)))
    }

    /// Whether something was tried and has to be tried again.
    pub fn is_behind(&self) -> bool {
        !self.errors.is_empty()
            || self.waiting.iter().any(|planned| {
                !matches!(planned.doing, Doing::Person(_)) && !planned.doing.is_elsewhere()
            })
    }

    /// The exit code of `windrow outbox send` (docs/exit-codes.md).
    pub fn exit_code(&self) -> ExitCode {
        if let Some(cause) = self.stopped {
            return cause.into();
        }
        let has = |kind| self.errors.values().any(|error| error.kind == kind);
        if has(SourceErrorKind::Unsafe) {
            ExitCode::Unsafe
        } else if has(SourceErrorKind::Credentials) {
            ExitCode::Credentials
        } else if has(SourceErrorKind::Definition) {
            ExitCode::Usage
        } else if self.needs_person() {
            ExitCode::NeedsPerson
        } else if self.is_behind() {
            ExitCode::Incomplete
        } else {
            ExitCode::Done
        }
    }

    /// The same for a command that did something else as well, which ended with `code`: an entry
    /// whose time has simply not come is no reason for it to end as incomplete.
    pub fn exit_code_beside(&self, code: ExitCode) -> ExitCode {
        let own = match self.exit_code() {
            ExitCode::Incomplete if self.errors.is_empty() => ExitCode::Done,
            own => own,
        };
        match code {
            ExitCode::Done => own,
            ExitCode::Incomplete if own != ExitCode::Done => own,
            code => code,
        }
    }
}

/// Whether nothing goes on by itself at once.
pub(crate) fn is_over(state: EntryState) -> bool {
    !matches!(state, EntryState::Queued | EntryState::Sending)
}

/// What may be kept of an answer: its harmless headers, and its body without secrets.
pub(crate) fn kept(response: &HttpResponse, redact: &dyn Fn(&str) -> String) -> KeptAnswer {
    let headers = response.headers.iter().filter(|(name, _)| KEPT_HEADERS.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.clone(), redact(value))).collect();
    let text = String::from_utf8_lossy(&response.body);
    let clean = redact(&text);
    let body = if clean == text { response.body.clone() } else { clean.into_bytes() };
    KeptAnswer { headers, body }
}

/// What an answer that is no success says, for a person.
pub(crate) fn said(response: &HttpResponse) -> String {
    let body = match looks_like_html(response) {
        true => "a web page".to_owned(),
        false => excerpt(&String::from_utf8_lossy(&response.body), SAID_CHARS_MAX),
    };
    let space = if body.is_empty() { "" } else { " " };
    format!("HTTP {}{space}{body}", response.status)
}

/// The source takes nothing from us.
pub(crate) fn refused_credentials(status: u16) -> SourceError {
    let message = format!("the source refused the credentials: HTTP {status}");
    SourceError::new(SourceErrorKind::Credentials, message)
        .help("check the source's `auth` and the variables that it names; the entries wait")
}

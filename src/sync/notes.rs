//! What a run will be remembered by: its plan, its fetches, its errors, waits and remarks. Kept
//! until the next transaction, which they are part of.

use std::collections::{HashMap, HashSet};

use crate::model::{Error, RunEventKind, Timestamp, WindowKey, instant_to_text};
use crate::store::{
    EVENTS_PER_RUN_MAX, FETCHES_PER_RUN_MAX, FetchRow, PlanPart, RunEvent, RunStreamRow, Tx,
};

use super::fetch_job::FetchJob;
use super::report::RunError;

/// The longest message that is kept, characters: an answer may be quoted in it.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Notes that are not on the disk yet.
#[derive(Default)]
pub struct RunNotes {
    /// The plan of the stream in hand, whole.
    plan: Vec<PlanPart>,
    /// What is to be added to the stream.
    counts: RunStreamRow,
    fetches: Vec<FetchRow>,
    events: Vec<RunEvent>,
    /// Of the whole run.
    fetches_noted: u64,
    events_noted: u64,
    /// Streams of which the run has a remark.
    remarked: HashSet<String>,
    /// Until when each source was last said to wait.
    waits: HashMap<String, Option<String>>,
}

impl RunNotes {
    /// Whether there is nothing to be written.
    pub fn is_empty(&self) -> bool {
        self.counts.windows_planned == 0
            && self.counts.fetches == 0
            && self.fetches.is_empty()
            && self.events.is_empty()
    }

    /// More fetches of the stream in hand are due.
    pub fn plan(&mut self, parts: Vec<PlanPart>) {
        for part in parts {
            self.counts.windows_planned += part.windows;
            let Some(known) = self.plan.iter_mut().find(|known| known.reason == part.reason) else {
                self.plan.push(part);
                continue;
            };
            known.windows += part.windows;
            known.from = [known.from.take(), part.from].into_iter().flatten().min();
            known.to = [known.to.take(), part.to].into_iter().flatten().max();
        }
    }

    /// A fetch has ended.
    pub fn fetch(&mut self, mut row: FetchRow) {
        self.counts.fetches += 1;
        self.counts.spent += row.spent;
        let (outcomes, spent) = (row.outcomes, row.spent);
        tracing::info!(
            stream = row.stream,
            partition = row.partition,
            start_at = row.start_at,
            end_at = row.end_at,
            reason = row.reason,
            outcome = row.outcome.as_str(),
            pages = row.pages,
            received = outcomes.received,
            inserted = outcomes.inserted,
            updated = outcomes.updated,
            unchanged = outcomes.unchanged,
            skipped = outcomes.skipped,
            rejected = outcomes.rejected,
            requests = spent.requests,
            retries = spent.retries,
            bytes = spent.bytes,
            waited_ms = spent.waited_ms,
            error = row.error,
            "fetch ended"
        );
        row.error = row.error.as_deref().map(clip);
        if self.fetches_noted + (self.fetches.len() as u64) < FETCHES_PER_RUN_MAX {
            self.fetches.push(row);
        }
    }

    /// Something befell the run. A wait that was told before is not told again.
    pub fn event(&mut self, mut event: RunEvent) {
        if let Some(source) = event.source.clone() {
            let told = self.waits.insert(source, event.until.clone());
            if told.is_some_and(|told| told == event.until) {
                return;
            }
        }
        event.message = clip(&event.message);
        event.help = event.help.as_deref().map(clip);
        if self.events_noted + (self.events.len() as u64) < EVENTS_PER_RUN_MAX {
            self.events.push(event);
        }
    }

    /// The answers of a window that is complete said something against the definition. The first
    /// remark of a stream is kept: the others say the same.
    pub fn remark(&mut self, window_key: &WindowKey, message: String, now: Timestamp) {
        if !self.remarked.insert(window_key.stream.clone()) {
            return;
        }
        let partition = window_key.partition.clone();
        self.event(RunEvent {
            at: instant_to_text(now),
            kind: RunEventKind::Remark,
            stream: Some(window_key.stream.clone()),
            partition: Some(partition).filter(|partition| !partition.is_empty()),
            window: window_key.window.map(|window| window.to_string()),
            message,
            ..RunEvent::default()
        });
    }

    /// Writes them, and adds what they sum up to to `counts`.
    pub fn write(&mut self, tx: &Tx<'_>, run: i64, counts: &mut RunStreamRow) -> Result<(), Error> {
        for row in self.fetches.drain(..) {
            self.fetches_noted += 1;
            tx.write_fetch(run, self.fetches_noted, &row)?;
        }
        self.write_events(tx, run)?;
        let more = std::mem::take(&mut self.counts);
        counts.windows_planned += more.windows_planned;
        counts.fetches += more.fetches;
        counts.spent += more.spent;
        counts.plan.clone_from(&self.plan);
        Ok(())
    }

    /// Writes what befell the run alone.
    pub fn write_events(&mut self, tx: &Tx<'_>, run: i64) -> Result<(), Error> {
        for event in self.events.drain(..) {
            self.events_noted += 1;
            tx.write_run_event(run, self.events_noted, &event)?;
        }
        Ok(())
    }

    /// The stream in hand has ended.
    pub fn end_stream(&mut self) {
        self.plan.clear();
    }
}

/// What is due, by reason.
pub fn plan_parts(jobs: &[FetchJob]) -> Vec<PlanPart> {
    let mut parts: Vec<PlanPart> = Vec::new();
    for job in jobs {
        let reason = job.reason.as_str();
        let at = parts.iter().position(|part| part.reason == reason).unwrap_or_else(|| {
            parts.push(PlanPart { reason: reason.to_owned(), windows: 0, from: None, to: None });
            parts.len() - 1
        });
        let (part, window) = (&mut parts[at], job.window_key.window);
        part.windows += 1;
        let start = window.map(|window| instant_to_text(window.start()));
        part.from = [part.from.take(), start].into_iter().flatten().min();
        part.to = part.to.take().max(window.map(|window| instant_to_text(window.end())));
    }
    parts
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An error as the run keeps it.
pub fn error_event(error: RunError, now: Timestamp) -> RunEvent {
    RunEvent {
        at: instant_to_text(now),
        kind: RunEventKind::Error,
        source: None,
        stream: Some(error.stream),
        partition: Some(error.partition).filter(|partition| !partition.is_empty()),
        window: error.window,
        message: error.message,
        help: error.help,
        until: None,
        exit_code: Some(error.exit_code.number()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_sums_up_its_parts_by_reason() {
        let part = |reason: &str, windows, from: &str, to: &str| PlanPart {
            reason: reason.to_owned(),
            windows,
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
        };
        let mut notes = RunNotes::default();
        notes.plan(vec![part("pending", 2, "b", "d"), part("open", 1, "d", "e")]);
        notes.plan(vec![part("pending", 3, "a", "c")]);
        assert_eq!(notes.plan, [part("pending", 5, "a", "d"), part("open", 1, "d", "e")]);
        assert_eq!(notes.counts.windows_planned, 6);
    }

    #[test]
    fn a_wait_is_told_once_and_a_message_is_bounded() {
        let wait = |until: &str| RunEvent {
            kind: RunEventKind::Wait,
            source: Some("s".to_owned()),
            until: Some(until.to_owned()),
            message: "\u{e9}".repeat(5_000),
            ..RunEvent::default()
        };
        let mut notes = RunNotes::default();
        ["a", "a", "b"].into_iter().for_each(|until| notes.event(wait(until)));
        assert_eq!(notes.events.len(), 2);
        assert_eq!(notes.events[0].message.chars().count(), MESSAGE_CHARS_MAX + 1);
    }
}

//! What the ledger says is not read: pending windows, broken fetches, truncated windows, totals
//! that do not agree; and what is known, for whoever asks whether something is missing. Pure.

use chrono::DateTime;
use chrono_tz::Tz;

use crate::check::evidence::{sql_of_fetch, sql_of_ledger};
use crate::definition::Severity;
use crate::model::numbers::many;
use crate::model::{State, Timestamp, Window, instant_from_text, place_of, problem_of};
use crate::store::LedgerRow;
use crate::window::Coverage;

use super::finding::{Finding, identity};
use crate::check::help_commands::HelpCommands;

/// What a stream's ledger is judged by.
pub struct LedgerView<'a> {
    pub stream: &'a str,
    /// Where its grid starts; none for a snapshot or a mark.
    pub start: Option<Timestamp>,
    /// The zone of its days.
    pub zone: Tz,
    pub now: Timestamp,
    pub help_commands: &'a HelpCommands,
}

/// What the ledger says of one partition.
#[derive(Debug, Default)]
pub struct PartitionView {
    /// The complete stretches, settled ones included.
    pub known: Coverage,
    /// What of it is settled.
    pub settled: Coverage,
    /// What was begun and not finished, or cannot be read.
    pub broken: Vec<Window>,
    /// Up to where it was read: the end of the last complete stretch, or of a snapshot's fetch.
    pub newest: Option<Timestamp>,
    /// Records outside the range that was asked for.
    pub out_of_window: u64,
    /// The stretch of the windows that held them.
    pub out_of_window_span: Option<Window>,
}

fn window_of(fact: &LedgerRow) -> Option<Window> {
    Window::new(instant_from_text(&fact.start_at)?, instant_from_text(&fact.end_at)?)
}

/// All instants that can be written down.
pub fn always() -> Window {
    let edge = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    // From year 1 to year 9999.
    Window::new(edge(-62_135_596_800), edge(253_402_300_799)).expect("not empty")
}

/// Judges the rows of one partition, oldest first.
pub fn examine_partition(
    view: &LedgerView<'_>,
    partition: &str,
    facts: &[LedgerRow],
) -> (Vec<Finding>, PartitionView) {
    let mut findings = Vec::new();
    let mut found = PartitionView::default();
    let (mut complete, mut settled) = (Vec::new(), Vec::new());
    for fact in facts {
        let window = window_of(fact);
        if window.is_some() != view.start.is_some() {
            // The stream was of another kind then.
            continue;
        }
        found.out_of_window += fact.out_of_window;
        if let Some(window) = window.filter(|_| fact.out_of_window > 0) {
            let sofar = found.out_of_window_span.unwrap_or(window);
            let (start, end) = (sofar.start().min(window.start()), sofar.end().max(window.end()));
            found.out_of_window_span = Window::new(start, end);
        }
        match fact.state {
            State::Complete | State::Settled => {
                let read_to = fact.read_to.as_deref().and_then(instant_from_text);
                let until = match window {
                    Some(window) => read_to.map(|to| to.min(window.end())),
                    None => fact.completed_at.as_deref().and_then(instant_from_text),
                };
                found.newest = found.newest.max(until);
                let part = window.zip(until).and_then(|(w, to)| Window::new(w.start(), to));
                if fact.error.is_some() {
                    findings.push(stale_finding(view, partition, fact, window));
                }
                complete.extend(part);
                settled.extend(part.filter(|_| fact.state == State::Settled));
            }
            // A parent without a part in the stream lacks nothing.
            State::Absent => complete.extend(window),
            State::Partial | State::Truncated => {
                findings.push(broken_finding(view, partition, fact, window));
                found.broken.extend(window);
            }
        }
    }
    found.known = Coverage::of(complete);
    found.settled = Coverage::of(settled);
    let is_begun = !findings.is_empty();
    findings.extend(pending(view, partition, &found, is_begun));
    (findings, found)
}

fn place(window: Option<Window>, partition: &str) -> Vec<String> {
    let partition = (!partition.is_empty()).then(|| partition.to_owned());
    partition.into_iter().chain(window.map(|window| window.to_string())).collect()
}

/// What was complete stays so, and can no longer be read.
fn stale_finding(
    view: &LedgerView<'_>,
    partition: &str,
    fact: &LedgerRow,
    window: Option<Window>,
) -> Finding {
    let sql = match window {
        Some(window) => sql_of_ledger(view.stream, partition, window.start(), window.end()),
        None => sql_of_fetch(view.stream, partition),
    };
    let place = place(window, partition);
    Finding {
        id: id_of("stale_window", view.stream, &place),
        check: "stale_window",
        severity: Severity::Warning,
        stream: view.stream.to_owned(),
        expected: "a window that can be read again".to_owned(),
        found: problem(fact, window),
        sql,
        help: view.help_commands.sync_due(view.stream),
        first: None,
        until: None,
    }
}

fn broken_finding(
    view: &LedgerView<'_>,
    partition: &str,
    fact: &LedgerRow,
    window: Option<Window>,
) -> Finding {
    let (check, severity, expected) = match (fact.state, fact.source_total, fact.distinct_keys) {
        (State::Truncated, ..) => (
            "truncated",
            Severity::Error,
            "a window whose result the source does not cut".to_owned(),
        ),
        (_, Some(total), Some(distinct)) if total != distinct => (
            "count_mismatch",
            Severity::Error,
            format!("{}, as the source counts them", many(total, "record")),
        ),
        _ => ("partial", Severity::Warning, "every page of the fetch".to_owned()),
    };
    let sql = match window {
        Some(window) => sql_of_ledger(view.stream, partition, window.start(), window.end()),
        None => sql_of_fetch(view.stream, partition),
    };
    let place = place(window, partition);
    Finding {
        id: id_of(check, view.stream, &place),
        check,
        severity,
        stream: view.stream.to_owned(),
        expected,
        found: problem(fact, window),
        sql,
        help: view.help_commands.sync_due(view.stream),
        first: (check == "truncated").then(|| {
            "find a parameter of the API that narrows the request, and give it to the stream"
                .to_owned()
        }),
        until: window.map(Window::end),
    }
}

/// What is wrong, as `status` says it too.
fn problem(fact: &LedgerRow, window: Option<Window>) -> String {
    let place = place_of(&fact.partition, window);
    let (at, error) = (fact.completed_at.as_deref(), fact.error.as_deref());
    problem_of(&place, fact.state, at, error).unwrap_or_default()
}

fn with_place(place: &[String], found: &str) -> String {
    if place.is_empty() { found.to_owned() } else { format!("{}: {found}", place.join(" ")) }
}

fn id_of(check: &str, stream: &str, place: &[String]) -> String {
    let parts = [check, stream].into_iter().chain(place.iter().map(String::as_str));
    identity(&parts.collect::<Vec<_>>())
}

/// What was never read, before what was read last: the rest is a matter of age.
fn pending(
    view: &LedgerView<'_>,
    partition: &str,
    found: &PartitionView,
    is_begun: bool,
) -> Vec<Finding> {
    let unread = |window: Option<Window>, expected: &str, found: &str| {
        let mut place = place(window, partition);
        if let Some((last, window)) = place.last_mut().zip(window)
            && window.end() == view.now
        {
            // An identity does not move with the time.
            *last = format!("{}..", last.split("..").next().unwrap_or_default());
        }
        let span = window.unwrap_or_else(always);
        Finding {
            id: id_of("pending", view.stream, &place),
            check: "pending",
            severity: Severity::Warning,
            stream: view.stream.to_owned(),
            expected: expected.to_owned(),
            found: with_place(&place, found),
            sql: match window {
                Some(_) => sql_of_ledger(view.stream, partition, span.start(), span.end()),
                None => sql_of_fetch(view.stream, partition),
            },
            help: match window {
                Some(window) => {
                    view.help_commands.sync(view.stream, view.zone, window.start(), window.end())
                }
                None => view.help_commands.sync_due(view.stream),
            },
            first: None,
            until: window.map(Window::end),
        }
    };
    let Some(start) = view.start else {
        let never = found.newest.is_none() && !is_begun;
        return never.then(|| unread(None, "a fetch", "it was never read")).into_iter().collect();
    };
    // Of what was never read at all, the open window may wait for the next sync.
    let to = found.newest.unwrap_or(view.now);
    let Some(line) = Window::new(start, to) else { return Vec::new() };
    let claimed =
        Coverage::of(found.known.parts().iter().copied().chain(found.broken.iter().copied()));
    let gaps = claimed.gaps(line);
    gaps.map(|gap| {
        let expected = format!("every window from {} on is read", start.date_naive());
        unread(Some(gap), &expected, "it was never read")
    })
    .collect()
}

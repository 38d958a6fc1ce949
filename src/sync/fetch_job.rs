//! What is due, as fetches: a window, a snapshot or a mark of one stream and partition.

use std::collections::BTreeMap;

use crate::definition::{
    CursorMark, CursorRules, Definition, Scalar, Span, Start, Stream, StreamKind, TemplateValues,
    WindowRules, doubled_stretch,
};
use crate::http::{PageToken, Pager, RequestPlan, show_request};
use crate::model::{Entry, Error, Timestamp, Window, WindowKey, instant_from_text};
use crate::store::{ParentRow, Reader, StreamRow};
use crate::window::{
    Reason, Task, WindowPlan, fetch_is_old, grid_start, plan_windows, render_bounds,
};

use super::{SyncFrom, SyncOptions};

/// What the finest bound shows.
const A_LITTLE: chrono::TimeDelta = chrono::TimeDelta::milliseconds(1);

/// Parents that are read at a time.
pub const PARENTS_AT_A_TIME: u32 = 500;

/// One fetch that is due.
#[derive(Clone, Debug)]
pub struct FetchJob {
    /// Its row in the ledger.
    pub window_key: WindowKey,
    /// What is asked for, for a window.
    pub asked: Option<Window>,
    /// Why it is due.
    pub reason: Reason,
    /// The broken-off fetch that may be carried on.
    pub resume: Option<Entry>,
    /// What the request's placeholders are filled with.
    pub values: TemplateValues,
    /// The mark that the fetch starts from.
    pub mark: Option<String>,
    /// Whether it is a second fetch of what lies before a window, which is never coverage.
    pub second: bool,
    /// How often its window was halved in this run because the source was too slow.
    pub slow_halvings: u32,
}

/// A fetch that is due, for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PlannedJob {
    pub stream: String,
    /// The parent's key, or empty.
    pub partition: String,
    /// The window, or none.
    pub window: Option<String>,
    /// The range that is asked for.
    pub asked: Option<String>,
    /// Why it is due.
    pub reason: Reason,
    /// Where another request has fetched it: what has changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// The first request, without credentials.
    pub request: String,
}

/// Where a stream's grid starts: what the definition says, or what the first sync made of "90
/// days ago". On a tick that the API can tell.
pub fn resolve_start(rules: &WindowRules, stored: Option<&StreamRow>, now: Timestamp) -> Timestamp {
    grid_start(rules, stored.and_then(|row| row.start_at), now)
}

/// The fetches of one stream and partition that are due.
pub fn plan_jobs(
    stream: &Stream,
    start: Option<Timestamp>,
    parent: Option<&ParentRow>,
    ledger: &[Entry],
    options: &SyncOptions,
    now: Timestamp,
) -> Vec<FetchJob> {
    let partition = parent.map(|row| row.partition.clone()).unwrap_or_default();
    let window_key =
        |window| WindowKey { stream: stream.name.clone(), partition: partition.clone(), window };
    let parent = parent.map(|row| row.values.clone()).unwrap_or_default();
    match &stream.kind {
        StreamKind::Window(rules) => {
            let start = start.unwrap_or(now);
            let range = options.from.as_ref().and_then(|from| from.window(now));
            let plan = WindowPlan { rules, start, now, range };
            let tasks = plan_windows(&plan, ledger).into_iter();
            tasks
                .filter_map(|task| window_job(rules, window_key(Some(task.window)), task, &parent))
                .collect()
        }
        StreamKind::Snapshot { refresh } => {
            let entry = ledger.iter().find(|entry| entry.window.is_none());
            let due = due_fetch(entry, *refresh, options.from.is_some(), now);
            let job = due.map(|reason| FetchJob {
                window_key: window_key(None),
                asked: None,
                reason,
                resume: entry.filter(|_| reason == Reason::Resume).cloned(),
                values: TemplateValues { parent, ..TemplateValues::default() },
                mark: None,
                second: false,
                slow_halvings: 0,
            });
            job.into_iter().collect()
        }
        StreamKind::Cursor(rules) => {
            let entry = ledger.iter().find(|entry| entry.window.is_none());
            let due = due_fetch(entry, rules.refresh, options.from.is_some(), now);
            // The mark stays the highest, also where a fetch begins before it.
            let mark = entry.and_then(|entry| entry.cursor.clone());
            let job = due.map(|reason| FetchJob {
                window_key: window_key(None),
                asked: None,
                reason,
                resume: entry.filter(|_| reason == Reason::Resume).cloned(),
                values: TemplateValues {
                    cursor: Some(match reason {
                        Reason::Outdated => cursor_text(rules, None, now),
                        _ => {
                            let from = options.from.as_ref();
                            cursor_text_from(rules, from, mark.as_deref(), now)
                        }
                    }),
                    parent,
                    ..TemplateValues::default()
                },
                mark,
                second: false,
                slow_halvings: 0,
            });
            job.into_iter().collect()
        }
    }
}

/// Values for the request of a window, and of one that was cut out of it.
pub fn window_job(
    rules: &WindowRules,
    window_key: WindowKey,
    task: Task,
    parent: &BTreeMap<String, Scalar>,
) -> Option<FetchJob> {
    let bounds = render_bounds(task.asked, rules)?;
    Some(FetchJob {
        window_key,
        asked: Some(task.asked),
        reason: task.reason,
        resume: task.resume,
        values: TemplateValues {
            window: Some((bounds.start, bounds.end)),
            parent: parent.clone(),
            ..TemplateValues::default()
        },
        mark: None,
        second: false,
        slow_halvings: 0,
    })
}

/// Why a snapshot or a mark is due, if it is. `asked`: somebody wants it whatever its age.
fn due_fetch(
    entry: Option<&Entry>,
    refresh: Option<Span>,
    asked: bool,
    now: Timestamp,
) -> Option<Reason> {
    let Some(entry) = entry else { return Some(Reason::Pending) };
    if entry.state == crate::model::State::Partial {
        return Some(Reason::Resume);
    }
    if entry.outdated {
        return Some(Reason::Outdated);
    }
    if asked {
        return Some(Reason::Asked);
    }
    if entry.adopted_since && entry.state != crate::model::State::Absent {
        return Some(Reason::Adopted);
    }
    fetch_is_old(entry, refresh, now).then_some(Reason::Refresh)
}

/// The mark as the API wants it: the last one, or the first, moved back by the overlap.
pub fn cursor_text(rules: &CursorRules, mark: Option<&str>, now: Timestamp) -> String {
    cursor_text_from(rules, None, mark, now)
}

/// The same, further back where somebody has asked for it. Never further on: what lies between the
/// mark and the beginning of a fetch would be left out for ever.
fn cursor_text_from(
    rules: &CursorRules,
    asked: Option<&SyncFrom>,
    mark: Option<&str>,
    now: Timestamp,
) -> String {
    match &rules.mark {
        CursorMark::Integer { start, overlap } => {
            let last = mark.and_then(|mark| mark.parse::<i64>().ok());
            let from = last.map_or(*start, |last| last.saturating_sub(*overlap).max(*start));
            from.min(asked.and_then(SyncFrom::number).unwrap_or(from)).to_string()
        }
        CursorMark::Time { start, overlap } => {
            let first = match start {
                Start::At(at) => *at,
                Start::Ago(span) => span.before(now, rules.zone).unwrap_or(now),
            };
            let last = mark.and_then(time_mark);
            let from = match last {
                Some(last) => {
                    let back = overlap.before(last, rules.zone).unwrap_or(last);
                    // A start that counts back moves with now and must not cut the overlap off.
                    if matches!(start, Start::At(_)) { back.max(first.min(last)) } else { back }
                }
                None => first,
            };
            let from = from.min(asked.and_then(SyncFrom::time).unwrap_or(from));
            // Without an offset the hour that comes twice may be read as the later one.
            let doubled = rules.format.is_local().then(|| doubled_stretch(from, rules.zone));
            let from = doubled.flatten().map_or(from, |(first, _)| first - A_LITTLE);
            rules.format.render(from, rules.zone)
        }
    }
}

/// The instant of a mark: a stored timestamp, or a date.
pub fn time_mark(mark: &str) -> Option<Timestamp> {
    instant_from_text(mark).or_else(|| {
        let date = chrono::NaiveDate::parse_from_str(mark, "%Y-%m-%d").ok()?;
        Some(date.and_hms_opt(0, 0, 0)?.and_utc())
    })
}

/// The next mark: the largest value seen, but never in the future, and never back.
pub fn next_mark(
    rules: &CursorRules,
    before: Option<&str>,
    seen: Option<String>,
    requested_at: Timestamp,
) -> Option<String> {
    let Some(seen) = seen else {
        return before.map(str::to_owned).or_else(|| first_mark(rules, requested_at));
    };
    match rules.mark {
        CursorMark::Integer { .. } => {
            let number = |text: &str| text.parse::<i64>().ok();
            let most = before.and_then(number).max(number(&seen));
            most.map(|most| most.to_string())
        }
        CursorMark::Time { .. } => {
            let seen_at = time_mark(&seen)?;
            let clamped = if seen_at > requested_at {
                crate::model::instant_to_text(requested_at)
            } else {
                seen
            };
            match before {
                Some(before) if time_mark(before) > time_mark(&clamped) => Some(before.to_owned()),
                _ => Some(clamped),
            }
        }
    }
}

/// The mark of a stream that has been read and is empty: where the fetch began, so that a start
/// that counts back does not move on over what comes later.
fn first_mark(rules: &CursorRules, requested_at: Timestamp) -> Option<String> {
    match &rules.mark {
        CursorMark::Time { start: Start::Ago(span), .. } => {
            span.before(requested_at, rules.zone).map(crate::model::instant_to_text)
        }
        _ => None,
    }
}

/// Everything that is due, without asking anybody. `reader` is none before the first sync.
pub fn plan_run(
    definition: &Definition,
    reader: Option<&Reader>,
    options: &SyncOptions,
    now: Timestamp,
) -> Result<Vec<PlannedJob>, Error> {
    let mut planned = Vec::new();
    let history = reader.map(Reader::request_history).transpose()?;
    for stream in selected(definition, options) {
        let changes = history.as_ref().map(|it| it.changes(&definition.text, &stream.name));
        let changes = changes.unwrap_or_default();
        let row = reader.map(|reader| reader.stream(&stream.name)).transpose()?.flatten();
        let start = match &stream.kind {
            StreamKind::Window(rules) => Some(resolve_start(rules, row.as_ref(), now)),
            _ => None,
        };
        let source = &definition.sources[&stream.source];
        let mut add = |parent: Option<&ParentRow>| -> Result<(), Error> {
            let partition = parent.map(|row| row.partition.as_str()).unwrap_or_default();
            let mut ledger = match reader {
                Some(reader) => reader.ledger(&stream.name, partition)?,
                None => Vec::new(),
            };
            let outdated = changes.mark(&mut ledger);
            for job in plan_jobs(stream, start, parent, &ledger, options, now) {
                let token = first_token(stream, &job);
                let plan = RequestPlan {
                    source,
                    template: &stream.request,
                    paginate: &stream.paginate,
                    values: &job.values,
                    token: &token,
                };
                planned.push(PlannedJob {
                    stream: stream.name.clone(),
                    partition: job.window_key.partition.clone(),
                    window: job.window_key.window.map(|window| window.to_string()),
                    asked: job.asked.map(|asked| asked.to_string()),
                    reason: job.reason,
                    changed: match job.reason {
                        Reason::Outdated => outdated.changed.iter().cloned().collect(),
                        _ => Vec::new(),
                    },
                    request: show_request(&plan),
                });
            }
            Ok(())
        };
        match (&stream.for_each, reader) {
            (None, _) => add(None)?,
            (Some(parent), Some(reader)) => {
                let Some(parent) = reader.stream(parent)? else { continue };
                let mut after = i64::MIN;
                loop {
                    let rows = reader.parents(&parent, after, PARENTS_AT_A_TIME)?;
                    let Some(last) = rows.last() else { break };
                    after = last.rowid;
                    rows.iter().try_for_each(|row| add(Some(row)))?;
                }
            }
            (Some(_), None) => {}
        }
    }
    Ok(planned)
}

/// The page at which a fetch begins or goes on.
pub fn first_token(stream: &Stream, job: &FetchJob) -> PageToken {
    let resumed = job.resume.as_ref().and_then(|entry| entry.token.as_deref());
    let resumed = resumed.and_then(PageToken::from_text);
    resumed.unwrap_or_else(|| Pager::new(&stream.paginate, &stream.ends, false).first())
}

/// The streams that a run is about, parents first. A stream's parents are not added: what is in
/// the archive of them is used.
pub fn selected<'d>(
    definition: &'d Definition,
    options: &'d SyncOptions,
) -> impl Iterator<Item = &'d Stream> {
    definition
        .streams
        .iter()
        .filter(|stream| options.streams.is_empty() || options.streams.contains(&stream.name))
}

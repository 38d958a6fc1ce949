//! What runs did, for people.

use crate::model::{Outcomes, RunEventKind, Window, excerpt, instant_from_text, printable};
use crate::store::{FetchRow, PlanPart, RunDetail, RunEvent, RunRow, RunStreamRow};

use crate::cli::text::sync::{outcome_table, retried_line};
use crate::cli::text::table::plain_table;
use crate::model::numbers::{bytes, count, duration, many};

/// Fetches and events that are shown one by one: about a screen; JSON has all that are kept.
const ROWS_SHOWN_MAX: usize = 50;
/// The longest error in a table, characters: longer ones would wrap each row; JSON has all of it.
const ERROR_CHARS_MAX: usize = 120;

/// A line for each run. A terminal has 80 columns: what came and changed nothing, and the seconds,
/// are on each run's own page.
pub fn runs_table(runs: &[RunRow]) -> String {
    let header = ["run", "started", "state", "complete", "inserted", "updated", "rejected"];
    let header = header.map(str::to_owned);
    let row = |run: &RunRow| {
        let windows = format!("{}/{}", run.windows_completed, run.windows_planned);
        let Outcomes { inserted, updated, rejected, .. } = run.outcomes;
        let numbers = [inserted, updated, rejected].map(count);
        let first = [run.run.to_string(), minute(&run.started_at), run.state.to_string(), windows];
        first.into_iter().chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    plain_table(&header, &rows, &[true, false, false, true, true, true, true])
}

/// An instant to the minute, as `2026-01-10 12:00Z`; a text that is none stays as it is.
fn minute(instant: &str) -> String {
    let at = instant_from_text(instant);
    at.map_or_else(|| printable(instant), |at| at.format("%Y-%m-%d %H:%MZ").to_string())
}

/// One run in full.
pub fn run_page(run: &RunRow, detail: &RunDetail) -> String {
    let mut out = format!("run {} ({}): {}\n", run.run, run.command, run.state);
    let mut line = |name: &str, value: &str| out.push_str(&format!("  {name:<10} {value}\n"));
    line("started", &run.started_at);
    line("finished", run.finished_at.as_deref().unwrap_or("never: the process was killed"));
    if let Some(merge) = run.merged_by {
        let archive = printable(&run.archive_id);
        line("ran in", &format!("archive {archive}; run {merge} merged it"));
    }
    if let Some(code) = run.exit_code {
        line("exit code", &code.to_string());
    }
    line("complete", &format!("{} of {} due", run.windows_completed, run.windows_planned));
    let (spent, repeated) = (run.spent, count(run.spent.retries));
    line(
        "requests",
        &format!("{} ({repeated} repeated), {}", count(spent.requests), bytes(spent.bytes)),
    );
    if spent.waited_ms > 0 {
        line("waited", &duration(spent.waited_ms));
    }
    if let Some(message) = &run.message {
        line("error", &printable(message));
    }
    let rows: Vec<(Vec<String>, Outcomes)> = run
        .streams
        .iter()
        .map(|stream| {
            let windows = format!("{}/{}", stream.windows_completed, stream.windows_planned);
            (vec![printable(&stream.stream), windows], stream.outcomes)
        })
        .collect();
    out.push('\n');
    out.push_str(&outcome_table(&["stream", "complete"], &rows));
    for stream in &run.streams {
        out.push_str(&stream_lines(stream));
    }
    let all = run.streams.iter().map(|stream| stream.fetches).sum();
    out.push_str(&fetches_table(&detail.fetches, all));
    out.push_str(&events_lines(&detail.events, run.errors));
    out
}

/// What was due in a stream, and what it took up.
fn stream_lines(stream: &RunStreamRow) -> String {
    let name = printable(&stream.stream);
    let mut out = String::new();
    if !stream.plan.is_empty() {
        let parts: Vec<String> = stream.plan.iter().map(plan_text).collect();
        out.push_str(&format!("{name} was due: {}\n", parts.join("; ")));
    }
    if stream.late_rejects > 0 {
        out.push_str(&retried_line(stream.late_rejects, &name));
    }
    out
}

/// The fetches that were due for one reason, as `3 pending, 2026-01-01..2026-01-04`.
fn plan_text(part: &PlanPart) -> String {
    let text = format!("{} {}", count(part.windows), part.reason);
    match (&part.from, &part.to) {
        (Some(from), Some(to)) => format!("{text}, {}", window_text(from, to)),
        _ => text,
    }
}

fn window_text(start: &str, end: &str) -> String {
    let ends = instant_from_text(start).zip(instant_from_text(end));
    let window = ends.and_then(|(start, end)| Window::new(start, end));
    window.map_or_else(|| "all".to_owned(), |window| window.to_string())
}

fn fetches_table(fetches: &[FetchRow], all: u64) -> String {
    if fetches.is_empty() {
        return String::new();
    }
    let names = ["stream", "window", "reason", "outcome", "pages", "received", "requests", "bytes"];
    let header: Vec<String> = names.into_iter().chain(["waited"]).map(str::to_owned).collect();
    let row = |fetch: &FetchRow| {
        let window = window_text(&fetch.start_at, &fetch.end_at);
        let window = match fetch.partition.as_str() {
            "" => window,
            partition => format!("{window} of {}", excerpt(partition, ERROR_CHARS_MAX)),
        };
        vec![
            printable(&fetch.stream),
            window,
            fetch.reason.clone(),
            fetch.outcome.to_string(),
            count(fetch.pages),
            count(fetch.outcomes.received),
            count(fetch.spent.requests),
            bytes(fetch.spent.bytes),
            duration(fetch.spent.waited_ms),
        ]
    };
    let shown = &fetches[..fetches.len().min(ROWS_SHOWN_MAX)];
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    let numeric: Vec<bool> = (0..header.len()).map(|at| at > 3).collect();
    let mut out = format!("\n{}", plain_table(&header, &rows, &numeric));
    for fetch in shown {
        let Some(error) = &fetch.error else { continue };
        let window = window_text(&fetch.start_at, &fetch.end_at);
        let error = excerpt(error, ERROR_CHARS_MAX);
        out.push_str(&format!("{} {window}: {error}\n", printable(&fetch.stream)));
    }
    out.push_str(&left_out(all.saturating_sub(shown.len() as u64), "fetch"));
    out
}

fn events_lines(events: &[RunEvent], errors: u64) -> String {
    if events.is_empty() {
        return String::new();
    }
    let mut out = "\n".to_owned();
    for event in events.iter().take(ROWS_SHOWN_MAX) {
        let place: Vec<&str> = [&event.source, &event.stream, &event.partition, &event.window]
            .into_iter()
            .filter_map(|part| part.as_deref())
            .collect();
        let message = printable(&event.message);
        out.push_str(&format!(
            "{} {} {}: {message}\n",
            event.at,
            event.kind,
            printable(&place.join(" "))
        ));
        if let Some(help) = &event.help {
            out.push_str(&format!("  help: {}\n", printable(help)));
        }
    }
    let waits = events.iter().filter(|event| event.kind == RunEventKind::Wait).count() as u64;
    let all = (errors + waits).max(events.len() as u64);
    let shown = events.len().min(ROWS_SHOWN_MAX) as u64;
    out.push_str(&left_out(all - shown, "error"));
    out
}

fn left_out(more: u64, what: &str) -> String {
    match more {
        0 => String::new(),
        more => {
            format!("and {}; --json has all that are kept\n", many(more, &format!("more {what}")))
        }
    }
}

//! Rejects, for people.

use crate::model::{excerpt, instant_from_text, printable};
use crate::record::Pretty;
use crate::store::{RejectEntry, RejectRecord};
use crate::sync::RetryReport;

use crate::cli::text::table::plain_table;
use crate::model::numbers::{bytes, count};

/// The longest reason in a table, characters: longer ones would wrap each row; `show` has all of
/// it.
const REASON_CHARS_MAX: usize = 100;

/// A line for each reject.
pub fn rejects_table(rejects: &[RejectEntry]) -> String {
    let header = ["reject", "stream", "window", "run", "kind", "at", "reason"].map(str::to_owned);
    let row = |reject: &RejectEntry| {
        vec![
            reject.reject.to_string(),
            printable(&reject.stream),
            window_of(reject),
            reject.run.to_string(),
            reject.kind.clone(),
            excerpt(&place_of(reject), REASON_CHARS_MAX),
            excerpt(&reject.reason, REASON_CHARS_MAX),
        ]
    };
    let rows: Vec<Vec<String>> = rejects.iter().map(row).collect();
    plain_table(&header, &rows, &[true, false, false, true])
}

/// The window, and the parent's key where there is one.
fn window_of(reject: &RejectEntry) -> String {
    let ends = [&reject.start_at, &reject.end_at].map(|text| instant_from_text(text));
    let window = match ends {
        [Some(start), Some(end)] => crate::model::Window::new(start, end).map(|w| w.to_string()),
        _ => None,
    };
    let window = window.unwrap_or_else(|| "all".to_owned());
    match reject.partition.as_str() {
        "" => window,
        partition => format!("{window} of {}", printable(partition)),
    }
}

fn place_of(reject: &RejectEntry) -> String {
    match reject.pointer.as_deref() {
        Some("") => "the whole record".to_owned(),
        Some(pointer) => pointer.to_owned(),
        None => "not in the record itself".to_owned(),
    }
}

/// One reject with its record, the fault marked in it.
pub fn reject_page(reject: &RejectRecord, record: &Pretty) -> String {
    let entry = &reject.entry;
    let state = entry.state().as_str();
    let mut out = format!(
        "reject {} of {}: {}, {state}\n",
        entry.reject,
        printable(&entry.stream),
        entry.kind
    );
    let mut line = |name: &str, value: &str| out.push_str(&format!("  {name:<9} {value}\n"));
    line("window", &window_of(entry));
    let last = match entry.last_run == entry.run {
        true => String::new(),
        false => format!(", last by run {}", entry.last_run),
    };
    line("seen", &format!("{}, by run {}{last}", entry.first_seen_at, entry.run));
    if let Some(at) = &entry.discarded_at {
        let by = entry.discarded_by.as_deref().unwrap_or_default();
        let note = entry.discard_note.as_deref().unwrap_or_default();
        line("discarded", &format!("{at} by {}: {}", printable(by), printable(note)));
    }
    if let Some(at) = &entry.closed_at {
        line("closed", &format!("{at}: a complete fetch of its window did not bring it again"));
    }
    line("at", &printable(&place_of(entry)));
    line("reason", &printable(&entry.reason));
    line("record", &format!("{}, verbatim with --json", bytes(entry.bytes)));
    out.push('\n');
    out.push_str(&record_lines(record, &entry.reason));
    if let Some(pointer) = entry.pointer.as_deref().filter(|_| !record.found) {
        out.push_str(&format!("\n{} is not there\n", printable(pointer)));
    }
    out
}

/// The lines of a record: `>` before each that is at fault, `^` under what is.
fn record_lines(record: &Pretty, reason: &str) -> String {
    let left_out = |lines: usize| match lines {
        0 => String::new(),
        lines => format!("  … {} lines\n", count(lines as u64)),
    };
    let mut out = left_out(record.before);
    let mut told = false;
    for line in &record.lines {
        let Some(marked) = &line.marked else {
            out.push_str(&format!("  {}\n", line.text));
            continue;
        };
        let why =
            if std::mem::replace(&mut told, true) { String::new() } else { printable(reason) };
        let under = format!("{}{} {why}", " ".repeat(marked.start), "^".repeat(marked.len()));
        out.push_str(&format!("> {}\n  {}\n", line.text, under.trim_end()));
    }
    out.push_str(&left_out(record.after));
    out
}

/// What became of rejects that were read again.
pub fn retry_page(report: &RetryReport) -> String {
    let names = ["stream", "tried", "inserted", "updated", "unchanged", "skipped", "stay"];
    let header = names.map(str::to_owned);
    let mut rows = Vec::new();
    let mut stay = String::new();
    for stream in &report.streams {
        let o = stream.outcomes;
        let counts = [o.received, o.inserted, o.updated, o.unchanged, o.skipped, o.rejected];
        let cells = counts.map(count);
        rows.push(std::iter::once(printable(&stream.stream)).chain(cells).collect());
        for still in &stream.stay {
            let reason = excerpt(&still.reason, 200);
            stay.push_str(&format!("reject {} stays: {reason}\n", still.reject));
        }
        let more = o.rejected.saturating_sub(stream.stay.len() as u64);
        if more > 0 {
            stay.push_str(&format!("and {} more of {}\n", count(more), printable(&stream.stream)));
        }
    }
    let numeric: Vec<bool> = (0..header.len()).map(|at| at > 0).collect();
    format!("{}{stay}", plain_table(&header, &rows, &numeric))
}

//! What a sync did, for people.

use crate::model::{Outcomes, printable_page};
use crate::sync::{StreamReport, SyncReport};

use crate::cli::text::table::plain_table;
use crate::model::numbers::{bytes, count, many};

const OUTCOMES: [&str; 6] = ["received", "inserted", "updated", "unchanged", "skipped", "rejected"];

fn outcome_cells(outcomes: &Outcomes) -> Vec<String> {
    [
        outcomes.received,
        outcomes.inserted,
        outcomes.updated,
        outcomes.unchanged,
        outcomes.skipped,
        outcomes.rejected,
    ]
    .map(count)
    .to_vec()
}

/// A table of outcomes: first columns of the caller's, then the six counts.
pub fn outcome_table(first: &[&str], rows: &[(Vec<String>, Outcomes)]) -> String {
    let header: Vec<String> =
        first.iter().chain(&OUTCOMES).map(|name| (*name).to_owned()).collect();
    let cells = |(own, outcomes): &(Vec<String>, Outcomes)| {
        own.iter().cloned().chain(outcome_cells(outcomes)).collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let numeric: Vec<bool> = (0..header.len()).map(|at| at > 0).collect();
    plain_table(&header, &rows, &numeric)
}

/// The result of a run: a line for each stream and one for the whole.
pub fn sync_page(report: &SyncReport) -> String {
    let rows: Vec<(Vec<String>, Outcomes)> = report
        .streams
        .iter()
        .map(|stream| {
            let windows = format!("{}/{}", stream.windows_completed, stream.windows_planned);
            (vec![stream.stream.clone(), windows], stream.outcomes)
        })
        .collect();
    let mut out = outcome_table(&["stream", "complete"], &rows);
    for stream in report.streams.iter().filter(|stream| stream.out_of_window > 0) {
        let records = many(stream.out_of_window, "out-of-window record");
        out.push_str(&format!(
            "{records} in {}: outside of the range that was asked for, kept\n",
            stream.stream
        ));
    }
    for stream in &report.streams {
        let spoken = stream.outdated.spoken(stream.is_window);
        out.extend(spoken.map(|spoken| format!("{}: {spoken}\n", stream.stream)));
        for line in &stream.never_found {
            out.push_str(&format!("{}: {line}\n", stream.stream));
        }
    }
    for stream in report.streams.iter().filter(|stream| stream.outcomes.rejected > 0) {
        out.push_str(&rejects_line(stream));
    }
    for stream in report.streams.iter().filter(|stream| stream.late_rejects > 0) {
        out.push_str(&retried_line(stream.late_rejects, &stream.stream));
    }
    for stream in &report.streams {
        let (name, run) = (&stream.stream, report.run);
        let vanished = many(stream.vanished, "row");
        let held = many(stream.held_back, "row");
        let [gone, missing] = [stream.vanished, stream.held_back].map(|n| match n {
            1 => "is",
            _ => "are",
        });
        if stream.vanished > 0 {
            out.push_str(&format!(
                "{vanished} of {name} {gone} gone at the source; `windrow vanished --undo \
                 {run}` brings them back\n"
            ));
        }
        if stream.held_back > 0 {
            out.push_str(&format!(
                "{held} of {name} {missing} missing at the source, more than `missing_ratio_max` \
                 and `missing_min` allow: nothing was done\n"
            ));
        }
    }
    let stats = report.stats;
    out.push_str(&format!(
        "run {}: {}, {} ({} repeated), {}\n",
        report.run,
        report.state(),
        many(stats.requests, "request"),
        count(stats.retries),
        bytes(stats.bytes)
    ));
    printable_page(&out)
}

/// Records of a stream that were rejected, and why.
fn rejects_line(stream: &StreamReport) -> String {
    let rejected = stream.outcomes.rejected;
    let mut why: Vec<String> = Vec::new();
    // A fetch that was repeated gives its reasons twice, and its rejects once.
    let known = stream.reject_reasons.count().min(rejected);
    if known > 0 {
        why.push(stream.reject_reasons.spoken());
    }
    if rejected > known {
        why.push(match rejected - known {
            1 => "1 refers to a row that is not there".to_owned(),
            more => format!("{} refer to rows that are not there", count(more)),
        });
    }
    format!(
        "{} of {} rejected: {}; `windrow rejects` shows them\n",
        many(rejected, "record"),
        stream.stream,
        why.join("; ")
    )
}

/// Records that a stream rejected before and that became rows.
pub(super) fn retried_line(number: u64, stream: &str) -> String {
    let rows = if number == 1 { "a row" } else { "rows" };
    let rejects = many(number, "reject");
    format!("{rejects} of earlier fetches became {rows} of {stream}\n")
}

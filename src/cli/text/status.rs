//! What an archive knows and what it does not, for people.

use crate::report::{ArchiveStatus, StreamStatus};

use crate::model::{
    FieldChange, FieldChangeKind, State, Timestamp, Window, instant_from_text, printable,
};

use crate::model::numbers::{ago, bytes, count, many};

use super::outbox::outbox_line;

/// Adopted stretches that are told one by one: they stand below their stream, and JSON has all.
const SPANS_SHOWN_MAX: usize = 8;

/// What a bar is drawn with: settled, complete, broken, pending.
const MARKS: [char; 4] = ['█', '▓', '!', '·'];

/// A line of `width` marks from `start` to `end`: the worst state inside each.
pub fn coverage_bar(windows: &[(Window, State)], line: Window, width: usize) -> String {
    let length = (line.end() - line.start()).num_milliseconds().max(1);
    let steps = i64::try_from(width).unwrap_or(40).max(1);
    let edge = |n: i64| line.start() + chrono::TimeDelta::milliseconds(length / steps * n);
    let mark = |n: i64| {
        let last = if n + 1 == steps { line.end() } else { edge(n + 1) };
        let Some(piece) = Window::new(edge(n), last) else { return MARKS[3] };
        let inside = |states: &[State]| {
            windows.iter().any(|(w, state)| states.contains(state) && w.overlaps(piece))
        };
        let covered = crate::window::Coverage::of(windows.iter().filter_map(|(window, state)| {
            matches!(state, State::Complete | State::Settled).then_some(*window)
        }));
        if inside(&[State::Partial, State::Truncated]) {
            MARKS[2]
        } else if !covered.covers(piece) {
            MARKS[3]
        } else if inside(&[State::Complete]) {
            MARKS[1]
        } else {
            MARKS[0]
        }
    };
    (0..steps).map(mark).collect()
}

/// The whole output of `windrow status`, without colours.
pub fn status_page(status: &ArchiveStatus, now: Timestamp) -> String {
    let ArchiveStatus { archive, streams, last_run, rejects, waits, digests, drift, outbox } =
        status;
    let rows: u64 = streams.iter().map(|stream| stream.rows).sum();
    let all = many(streams.len() as u64, "stream");
    let mut out = format!("{}: {all}, {}", printable(archive), many(rows, "row"));
    match last_run {
        Some(run) => {
            let began = instant_from_text(&run.started_at).map(|at| ago(now - at));
            let began = began.unwrap_or_default();
            out.push_str(&format!(", last run {} {} ({began})\n", run.run, run.state));
        }
        None => out.push_str(", never synced\n"),
    }
    for stream in streams {
        out.push('\n');
        out.push_str(&stream_lines(stream, now));
    }
    let mut wrong = String::new();
    for reject in rejects {
        let number = many(reject.count, "reject");
        let (stream, kind) = (&reject.stream, &reject.kind);
        let line = format!("{number} in {stream} ({kind}), such as: {}", reject.example);
        wrong.push_str(&format!("  {}\n", printable(&line)));
    }
    if !rejects.is_empty() {
        wrong.push_str("  `windrow rejects` lists them\n");
    }
    for wait in waits {
        wrong.push_str(&format!("  {}\n", printable(&wait.reason)));
        let help = format!("`windrow sync --now {}` asks at once", wait.source);
        wrong.push_str(&format!("    {}\n", printable(&help)));
    }
    if !wrong.is_empty() {
        out.push_str("\nto look at:\n");
        out.push_str(&wrong);
    }
    if !drift.is_empty() {
        out.push_str("\nfields that changed, newest first:\n");
    }
    for change in drift {
        out.push_str(&format!("  {} (run {})\n", drift_line(change), change.run));
    }
    if !digests.is_empty() {
        out.push_str("\ndigests:\n");
    }
    for digest in digests {
        let rows = many(digest.rows, "row");
        out.push_str(&format!("  {} {} ({rows})\n", digest.sha256, printable(&digest.stream)));
    }
    if !outbox.is_empty() {
        out.push_str(&format!("outbox: {}\n", outbox_line(outbox)));
    }
    out
}

/// A change of a stream's fields in one line.
pub fn drift_line(change: &FieldChange) -> String {
    let FieldChange { stream, change, field, detail, .. } = change;
    if *change == FieldChangeKind::Corrected {
        return printable(&format!("{stream}: column `{field}`: {detail}"));
    }
    printable(&format!("drift in {stream}: {change} `{field}`: {detail}"))
}

fn stream_lines(stream: &StreamStatus, now: Timestamp) -> String {
    let mut rows = many(stream.rows, "row");
    if stream.gone > 0 {
        rows.push_str(&format!(", {} gone", count(stream.gone)));
    }
    let mut head = format!("{}  {}, {rows}", stream.stream, stream.kind);
    if stream.kind.is_empty() {
        head = format!("{}  {rows}, not in the definition", stream.stream);
    }
    if stream.partitions > 0 {
        head.push_str(&format!(", {}", many(stream.partitions, "partition")));
    }
    let mut out = format!("{}\n", printable(&head));
    let start = stream.start.as_deref().and_then(instant_from_text);
    if let Some(line) = start.and_then(|start| Window::new(start, now)) {
        let bar = coverage_bar(&stream.windows, line, 50);
        let (from, to) = (line.start().date_naive(), line.end().date_naive());
        out.push_str(&format!("  {from} {bar} {to}\n"));
        let watermark = stream.watermark.as_deref().unwrap_or("none yet");
        let (settled, complete) = (count(stream.settled), count(stream.complete));
        out.push_str(&format!(
            "  watermark {watermark}, {settled} settled, {complete} may still change\n"
        ));
    }
    if let Some(cursor) = &stream.cursor {
        out.push_str(&format!("  mark {}\n", printable(cursor)));
    }
    if let Some(at) = stream.last_complete_at.as_deref().and_then(instant_from_text) {
        out.push_str(&format!("  last complete {}\n", ago(now - at)));
    }
    if stream.due > 0 {
        out.push_str(&format!("  {} due at the next sync\n", count(stream.due)));
    }
    let is_window = stream.start.is_some();
    out.extend(stream.outdated.spoken(is_window).map(|spoken| format!("  {spoken}\n")));
    if stream.out_of_window > 0 {
        let records = many(stream.out_of_window, "out-of-window record");
        out.push_str(&format!("  {records}: outside of the requested range, kept\n"));
    }
    for span in stream.adopted_unverified.iter().take(SPANS_SHOWN_MAX) {
        out.push_str(&format!("  adopted, unverified: {span}\n"));
    }
    let more = stream.adopted_unverified.len().saturating_sub(SPANS_SHOWN_MAX);
    if more > 0 {
        let more = if more == 1 { "1 stretch".into() } else { format!("{more} stretches") };
        out.push_str(&format!("  adopted, unverified: {more} more\n"));
    }
    if stream.raw_pages > 0 {
        let (pages, size) = (many(stream.raw_pages, "page"), bytes(stream.raw_bytes));
        out.push_str(&format!("  {pages} kept as they came, {size}\n"));
    }
    if stream.table_aside {
        out.push_str(
            "  made again; `windrow rebuild --confirm` lets the old table go, `--undo` puts it \
             back\n",
        );
    }
    for problem in &stream.problems {
        out.push_str(&format!("  ! {}\n", printable(problem)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_the_worst_of_each_stretch() {
        let at = |day: i64| chrono::DateTime::from_timestamp(day * 86_400, 0).expect("in range");
        let window = |from, to| Window::new(at(from), at(to)).expect("a window");
        let windows = [
            (window(0, 4), State::Settled),
            (window(4, 6), State::Complete),
            (window(6, 7), State::Partial),
        ];
        assert_eq!(coverage_bar(&windows, window(0, 10), 10), "████▓▓!···");
        assert_eq!(coverage_bar(&windows, window(0, 10), 5), "██▓!·");
    }
}

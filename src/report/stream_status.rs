//! How streams stand: what their ledgers prove, and what is due.

use crate::adopt::unverified;
use crate::definition::{Definition, StreamKind};
use crate::model::{
    Error, State, Timestamp, Window, instant_from_text, instant_to_text, many, many_are,
};
use crate::report::status::StreamStatus;
use crate::store::{LedgerRow, Reader, StreamRow};
use crate::sync::{SyncOptions, plan_run};
use crate::window::Coverage;

/// How each of these streams stands, or all: what is due included.
pub fn stream_statuses(
    reader: &Reader,
    definition: Option<&Definition>,
    streams: &[String],
    now: Timestamp,
) -> Result<Vec<(StreamRow, StreamStatus)>, Error> {
    let mut rows = reader.streams()?;
    rows.retain(|row| streams.is_empty() || streams.contains(&row.stream));
    let options = SyncOptions { streams: streams.to_vec(), ..SyncOptions::default() };
    let due = match definition {
        Some(definition) => plan_run(definition, Some(reader), &options, now)?,
        None => Vec::new(),
    };
    let mut all = Vec::new();
    let history = definition.map(|_| reader.request_history()).transpose()?;
    for row in rows {
        let mut status = stream_status(reader, &row, definition, now)?;
        if let Some((definition, history)) = definition.zip(history.as_ref()) {
            let changes = history.changes(&definition.text, &row.stream);
            status.outdated = reader.outdated(&row.stream, &changes)?;
        }
        status.due = due.iter().filter(|job| job.stream == row.stream).count() as u64;
        all.push((row, status));
    }
    Ok(all)
}

fn stream_status(
    reader: &Reader,
    row: &StreamRow,
    definition: Option<&Definition>,
    now: Timestamp,
) -> Result<StreamStatus, Error> {
    let stream = definition.and_then(|definition| definition.stream(&row.stream));
    let ledger = reader.ledger_rows(&row.stream)?;
    let kept = reader.kept(&row.stream)?;
    let mut status = StreamStatus {
        stream: row.stream.clone(),
        rows: reader.count(&row.stream)?,
        raw_pages: kept.pages,
        raw_bytes: kept.bytes,
        table_aside: kept.table_aside,
        ..StreamStatus::default()
    };
    let start = match stream.map(|stream| &stream.kind) {
        Some(StreamKind::Window(rules)) => {
            status.kind = format!("windows of {}", rules.step);
            Some(crate::sync::resolve_start(rules, Some(row), now))
        }
        Some(StreamKind::Snapshot { .. }) => {
            status.kind = "snapshot".to_owned();
            None
        }
        Some(StreamKind::Cursor(_)) => {
            status.kind = "cursor".to_owned();
            None
        }
        None => row.start_at,
    };
    status.start = start.map(instant_to_text);
    let mut partitions: Vec<&str> = ledger.iter().map(|entry| entry.partition.as_str()).collect();
    partitions.dedup();
    status.partitions = partitions.iter().filter(|name| !name.is_empty()).count() as u64;
    for entry in &ledger {
        match entry.state {
            State::Settled => status.settled += 1,
            State::Complete => status.complete += 1,
            State::Partial => status.partial += 1,
            State::Truncated => status.truncated += 1,
            State::Absent => status.absent += 1,
        }
        status.out_of_window += entry.out_of_window;
        status.last_complete_at = status.last_complete_at.max(entry.completed_at.clone());
        status.cursor = status.cursor.max(entry.cursor.clone());
        if let Some(error) = &entry.error {
            let place = match (entry.start_at.as_str(), entry.partition.as_str()) {
                ("", "") => String::new(),
                ("", partition) => format!("{partition} "),
                (start, _) => format!("{start}..{} ", entry.end_at),
            };
            status.problems.push(format!("{place}{}: {error}", entry.state));
        }
    }
    for entry in &ledger {
        let (start, end) = (instant_from_text(&entry.start_at), instant_from_text(&entry.end_at));
        let end = entry.read_to.as_deref().and_then(instant_from_text).or(end);
        if let Some(window) = start.zip(end).and_then(|(start, end)| Window::new(start, end)) {
            status.windows.push((window, entry.state));
        }
    }
    status.problems.extend(held_back(reader, &row.stream)?);
    status.watermark = watermark(&ledger, &partitions, start);
    status.adopted_unverified = adopted_unverified(reader, &row.stream)?;
    Ok(status)
}

/// The time that rows were adopted into and no later run has confirmed.
fn adopted_unverified(reader: &Reader, stream: &str) -> Result<Vec<String>, Error> {
    let mut told = Vec::new();
    for span in reader.adopted_spans(stream)? {
        let open = unverified(&span, &reader.fetches_since(stream, span.run)?);
        told.extend(open.into_iter().filter_map(|window| match window {
            Some(window) => Some(window.to_string()),
            None if span.rows == 0 => None,
            None => Some(format!("{} of run {}", many(span.rows, "row"), span.run)),
        }));
    }
    Ok(told)
}

/// Rows that are missing at the source and were left alone.
fn held_back(reader: &Reader, stream: &str) -> Result<Option<String>, Error> {
    let held = reader.held_back(stream)?;
    Ok((held > 0).then(|| {
        format!(
            "{} missing at the source, too many at once: nothing was done; `windrow vanished` \
             lists them",
            many_are(held, "row")
        )
    }))
}

/// The earliest watermark of all partitions: what holds for every parent.
fn watermark(
    ledger: &[LedgerRow],
    partitions: &[&str],
    start: Option<Timestamp>,
) -> Option<String> {
    let start = start?;
    let mut earliest: Option<Timestamp> = None;
    for partition in partitions {
        let windows = ledger.iter().filter(|entry| {
            entry.partition == *partition && matches!(entry.state, State::Complete | State::Settled)
        });
        let windows = windows.filter_map(|entry| {
            let end = entry.read_to.as_deref().and_then(instant_from_text)?;
            Window::new(instant_from_text(&entry.start_at)?, end)
        });
        let mark = Coverage::of(windows).watermark(start)?;
        earliest = Some(earliest.map_or(mark, |earliest| earliest.min(mark)));
    }
    earliest.map(instant_to_text)
}

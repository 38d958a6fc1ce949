//! How an archive and its streams stand: what their ledgers prove, what is due, what is wrong.

use serde::Serialize;

use crate::adopt::unverified;
use crate::definition::{Definition, StreamKind};
use crate::digest::{TableDigest, digest_tables};
use crate::model::{
    Error, FieldChange, Outdated, State, Timestamp, Window, instant_from_text, instant_to_text,
    many, many_are, place_of, problem_of,
};
use crate::outbox::OutboxCount;
use crate::store::{LedgerRow, Reader, RejectRow, RunRow, StreamRow};
use crate::sync::{SyncOptions, plan_run};
use crate::waits::WaitRow;
use crate::window::Coverage;

/// The newest changes of fields that are told; `_windrow_schema_log` has all.
const DRIFT_MAX: u32 = 10;

/// What an archive knows and what it does not: as `windrow status --json` has it.
#[derive(Debug, Serialize)]
pub struct ArchiveStatus {
    pub archive: String,
    /// Its streams, by name.
    pub streams: Vec<StreamStatus>,
    pub last_run: Option<RunRow>,
    pub rejects: Vec<RejectRow>,
    /// Sources that imposed a wait which is not over.
    pub waits: Vec<WaitRow>,
    /// The digest of each stream, where they were asked for.
    pub digests: Vec<TableDigest>,
    /// The latest changes of fields, newest first.
    pub drift: Vec<FieldChange>,
    /// Entries of the outbox, by state.
    pub outbox: Vec<OutboxCount>,
}

/// How the archive stands; of these streams, or of all.
pub fn archive_status(
    reader: &Reader,
    archive: String,
    definition: Option<&Definition>,
    streams: &[String],
    with_digests: bool,
    now: Timestamp,
) -> Result<ArchiveStatus, Error> {
    let streams = stream_statuses(reader, definition, streams, now)?;
    Ok(ArchiveStatus {
        archive,
        streams: streams.into_iter().map(|(_, status)| status).collect(),
        last_run: reader.runs(1)?.into_iter().next(),
        rejects: reader.rejects()?,
        waits: reader.waits_held(now)?,
        digests: if with_digests { digest_tables(reader)? } else { Vec::new() },
        drift: reader.field_changes(None, None, DRIFT_MAX)?,
        outbox: reader.outbox_counts()?,
    })
}

/// What is known of a stream: its rows, coverage, next fetches and problems.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamStatus {
    pub stream: String,
    /// `window`, `snapshot` or `cursor`; empty when the definition no longer names the stream.
    pub kind: String,
    /// Rows in its table that are not gone.
    pub rows: u64,
    /// Rows that are marked as gone at their source.
    pub gone: u64,
    /// The parents that it has been read for; 0 for a stream without parents.
    pub partitions: u64,
    /// Where its grid starts.
    pub start: Option<String>,
    /// The end of the longest unbroken run of complete windows; the earliest one of all
    /// partitions.
    pub watermark: Option<String>,
    /// When it was last complete.
    pub last_complete_at: Option<String>,
    /// The mark of a cursor stream.
    pub cursor: Option<String>,
    /// Rows of the ledger, by state.
    pub settled: u64,
    /// Complete, and may still change.
    pub complete: u64,
    /// Begun, and not complete yet.
    pub partial: u64,
    /// Cut by the source, or too large for it.
    pub truncated: u64,
    /// Of parents that have no data in the stream.
    pub absent: u64,
    /// Fetches that the next sync would make.
    pub due: u64,
    /// What was fetched by another request than the definition makes now.
    #[serde(flatten)]
    pub outdated: Outdated,
    /// Records outside the range that was asked for.
    pub out_of_window: u64,
    /// The time that rows were adopted into and no sync has confirmed.
    pub adopted_unverified: Vec<String>,
    /// Pages that are kept as they came.
    pub raw_pages: u64,
    /// Bytes that their bodies take up in the archive: packed, each once.
    pub raw_bytes: u64,
    /// Whether a rebuild has set its table aside and is not confirmed.
    pub table_aside: bool,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
    /// The coverage, for the bar.
    #[serde(skip)]
    pub windows: Vec<(Window, State)>,
}

/// How each of these streams stands, or all: what is due included.
pub fn stream_statuses(
    reader: &Reader,
    definition: Option<&Definition>,
    streams: &[String],
    now: Timestamp,
) -> Result<Vec<(Option<StreamRow>, StreamStatus)>, Error> {
    let tables = reader.streams()?;
    // A stream that was read and held no record has a ledger and no table.
    let mut names = reader.read_streams()?;
    names.extend(tables.iter().map(|row| row.stream.clone()));
    names.sort();
    names.dedup();
    names.retain(|name| streams.is_empty() || streams.contains(name));
    let options = SyncOptions { streams: streams.to_vec(), ..SyncOptions::default() };
    let due = match definition {
        Some(definition) => plan_run(definition, Some(reader), &options, now)?,
        None => Vec::new(),
    };
    let mut all = Vec::new();
    let history = definition.map(|_| reader.request_history()).transpose()?;
    for name in names {
        let row = tables.iter().find(|row| row.stream == name).cloned();
        let mut status = stream_status(reader, &name, row.as_ref(), definition, now)?;
        if let Some((definition, history)) = definition.zip(history.as_ref()) {
            let changes = history.changes(&definition.text, &name);
            status.outdated = reader.outdated(&name, &changes)?;
        }
        status.due = due.iter().filter(|job| job.stream == name).count() as u64;
        all.push((row, status));
    }
    Ok(all)
}

fn stream_status(
    reader: &Reader,
    name: &str,
    row: Option<&StreamRow>,
    definition: Option<&Definition>,
    now: Timestamp,
) -> Result<StreamStatus, Error> {
    let stream = definition.and_then(|definition| definition.stream(name));
    let mut ledger = reader.ledger_rows(name)?;
    if let Some(parent) = stream.and_then(|stream| stream.for_each.as_ref())
        && let Some(parent) = reader.stream(parent)?
    {
        let gone = reader.gone_partitions(&parent)?;
        ledger.retain(|entry| !gone.contains(&entry.partition));
    }
    let kept = reader.kept(name)?;
    let rows = row.map(|row| reader.count(&row.stream)).transpose()?.unwrap_or_default();
    let mut status = StreamStatus {
        stream: name.to_owned(),
        rows: rows.living,
        gone: rows.gone,
        raw_pages: kept.pages,
        raw_bytes: kept.bytes,
        table_aside: kept.table_aside,
        ..StreamStatus::default()
    };
    let start = match stream.map(|stream| &stream.kind) {
        Some(StreamKind::Window(rules)) => {
            status.kind = format!("windows of {}", rules.step);
            Some(crate::sync::resolve_start(rules, row, now))
        }
        Some(StreamKind::Snapshot { .. }) => {
            status.kind = "snapshot".to_owned();
            None
        }
        Some(StreamKind::Cursor(_)) => {
            status.kind = "cursor".to_owned();
            None
        }
        None => row.and_then(|row| row.start_at),
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
        let bounds = [&entry.start_at, &entry.end_at].map(|at| instant_from_text(at));
        let window = bounds[0].zip(bounds[1]).and_then(|(start, end)| Window::new(start, end));
        let place = place_of(&entry.partition, window);
        let (at, error) = (entry.completed_at.as_deref(), entry.error.as_deref());
        status.problems.extend(problem_of(&place, entry.state, at, error));
    }
    for entry in &ledger {
        let (start, end) = (instant_from_text(&entry.start_at), instant_from_text(&entry.end_at));
        let end = entry.read_to.as_deref().and_then(instant_from_text).or(end);
        if let Some(window) = start.zip(end).and_then(|(start, end)| Window::new(start, end)) {
            status.windows.push((window, entry.state));
        }
    }
    status.problems.extend(held_back(reader, name)?);
    status.watermark = watermark(&ledger, &partitions, start);
    status.adopted_unverified = adopted_unverified(reader, name)?;
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

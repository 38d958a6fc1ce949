//! The writing lane: rows, rejects and the checkpoint that covers them, in one transaction.
//!
//! A transaction holds one or more whole pages. It ends when a bound of rows, bytes or time is
//! met, and at the latest with the fetch's last page, whose transaction also marks the fetch
//! complete. What is told to be complete is on the disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::definition::{Definition, StreamKind};
use crate::drift::Noticed;
use crate::host::Host;
use crate::http::invalid_response;
use crate::kept_pages::RawPage;
use crate::model::{
    Cell, Checkpoint, Error, FetchResult, FieldChange, Outcomes, RowSet, RunEventKind, State,
    TableShape, Timestamp, Wait, Window, WindowKey, excerpt, instant_to_text,
};
use crate::store::{Archive, FetchRow, RunEvent, RunStreamRow, TableWriter, Tx};

use crate::record::RecordReader;

use super::columns::FitTable;
use super::event::{LaneEvent, PageEvent, ProgressEvent, ProgressSink, Trace};
use super::fetch::{Completion, FetchEnd, FetchFacts, ForgetReason};
use super::notes::{RunNotes, error_event};
use super::records::{Records, write_records};
use super::report::{RunError, Written};
use super::run_keys::{KnownRow, RunKeys, changed_row, is_at_risk};
use crate::sync::retry_rejects::{Late, open_orphans, open_rejects};

/// Rows in a transaction: enough that the log is written in long runs, few enough that little is
/// read twice after a power cut.
const BATCH_ROWS_MAX: u64 = 50_000;
/// Bytes of rows in a transaction: as many as the largest answer by default, so that wide rows do
/// not let the log grow without an end.
const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Time in a transaction: what a lid that is closed in the middle may cost.
const BATCH_TIME_MAX: Duration = Duration::from_secs(5);

/// How long the other lane may be silent before what has come is committed: no transaction is open
/// while the network is waited for, so that other processes can write, and a run that is killed
/// loses at most the page in hand.
const QUIET_MAX: Duration = Duration::from_millis(200);

/// The write lane: writes pages and checkpoints in transactions.
pub struct WriteLane<'a> {
    archive: &'a Archive,
    run: i64,
    host: &'a Host,
    observer: &'a dyn ProgressSink,
    definition: &'a Definition,
    tables: HashMap<String, (TableWriter, Arc<RecordReader>)>,
    fetch: Option<WindowFetch>,
    /// The fetch whose rows are being noted as seen.
    watched: Option<WindowKey>,
    /// Milliseconds by which the clocks of sources are ahead, as of their first pages.
    clocks: BTreeMap<String, i64>,
    batch: Option<Batch<'a>>,
    notes: RunNotes,
    written: Written,
    /// The keys of the stream in hand, where several of its fetches may give one key.
    keys: Option<(String, RunKeys)>,
}

/// The fetch in hand.
struct WindowFetch {
    facts: FetchFacts,
    pages: u64,
    outcomes: Outcomes,
    out_of_window: u64,
    next: Option<String>,
    source_total: Option<u64>,
    /// A key that another partition or window of this run has given with other content.
    shared: Option<String>,
}

impl WindowFetch {
    fn new(facts: FetchFacts) -> Self {
        let (outcomes, next, source_total) = (Outcomes::default(), None, None);
        Self { facts, pages: 0, outcomes, out_of_window: 0, next, source_total, shared: None }
    }

    /// Whether the page in hand is the first of the window's data.
    fn is_at_first_page(&self) -> bool {
        self.facts.in_one_piece && self.pages == 0
    }
}

/// The transaction in hand.
struct Batch<'a> {
    tx: Tx<'a>,
    rows: u64,
    bytes: usize,
    since: Duration,
    /// What it adds to the run, by stream.
    counts: RunStreamRow,
}

impl<'a> WriteLane<'a> {
    /// A lane that has not begun.
    pub fn new(
        archive: &'a Archive,
        run: i64,
        host: &'a Host,
        observer: &'a dyn ProgressSink,
        definition: &'a Definition,
    ) -> Self {
        Self {
            archive,
            run,
            host,
            observer,
            definition,
            tables: HashMap::new(),
            fetch: None,
            watched: None,
            clocks: BTreeMap::new(),
            batch: None,
            notes: RunNotes::default(),
            written: Written::default(),
            keys: None,
        }
    }

    /// Writes until the other lane has nothing more.
    pub async fn run(mut self, mut events: mpsc::Receiver<LaneEvent>) -> Result<Written, Error> {
        loop {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = self.host.clock.pause(QUIET_MAX), if self.batch.is_some() => {
                    self.finish_batch()?;
                    continue;
                }
            };
            let Some(event) = event else { break };
            self.take(event)?;
        }
        // The other lane has died: whole pages that it sent are kept.
        self.finish_batch()?;
        Ok(self.written)
    }

    fn take(&mut self, event: LaneEvent) -> Result<(), Error> {
        match event {
            LaneEvent::Table { shape, start_at, reader, ack } => {
                self.make_table(*shape, start_at, reader)?;
                // If the other lane has ended, nobody needs the answer.
                let _ = ack.send(());
                Ok(())
            }
            LaneEvent::FetchBegins(facts) => {
                if let Some((stream, mut keys)) = self.keys_of(&facts.window_key.stream) {
                    keys.begin(&facts.window_key);
                    self.keys = Some((stream, keys));
                }
                self.fetch = Some(WindowFetch::new(*facts));
                Ok(())
            }
            LaneEvent::Page(page) => self.write_page(*page),
            LaneEvent::Planned(parts) => {
                self.notes.plan(parts);
                Ok(())
            }
            LaneEvent::FetchEnds { window_key, requested_at, end, trace } => match end {
                FetchEnd::Complete(done) => self.complete(window_key, requested_at, *done, trace),
                FetchEnd::Broken { error, truncated, counts } => {
                    let state = if truncated { State::Truncated } else { State::Partial };
                    self.break_off(window_key, requested_at, (state, error, counts), trace)
                }
                FetchEnd::Absent => self.note_absent(window_key, requested_at, trace),
                FetchEnd::Forgotten { reason, error } => {
                    self.finish_batch()?;
                    self.note_fetch(&window_key, trace, reason.into(), error.clone());
                    self.fetch = None;
                    let batch = self.take_batch(&window_key.stream)?;
                    batch.tx.forget_partial(&window_key)?;
                    // What is complete stays so, and cannot be read now.
                    if let (ForgetReason::Failed, Some(error)) = (reason, &error) {
                        batch.tx.note_error(&window_key, error)?;
                    }
                    self.commit_batch(batch)
                }
            },
            LaneEvent::SeenColumns { stream, columns } => {
                self.finish_batch()?;
                self.archive.transaction(|tx| tx.note_seen_columns(&stream, &columns))
            }
            LaneEvent::Error(error) => {
                self.notes.event(error_event(*error, self.host.clock.now()));
                Ok(())
            }
            LaneEvent::Wait { source, wait } => self.keep_wait(source, wait),
            LaneEvent::StreamEnd { stream, ack } => {
                self.finish_batch()?;
                if !self.notes.is_empty() {
                    let batch = self.take_batch(&stream)?;
                    self.commit_batch(batch)?;
                }
                self.keys = None;
                self.notes.end_stream();
                // If the other lane has ended, nobody needs the answer.
                let _ = ack.send(());
                Ok(())
            }
        }
    }

    fn keep_wait(&mut self, source: String, wait: Wait) -> Result<(), Error> {
        self.finish_batch()?;
        let until = instant_to_text(wait.until);
        tracing::info!(source, until, "the source asked to wait");
        let now = self.host.clock.now();
        let tx = self.archive.begin()?;
        tx.write_wait(&source, &wait, now)?;
        self.notes.event(RunEvent {
            at: instant_to_text(now),
            kind: RunEventKind::Wait,
            source: Some(source),
            message: wait.reason,
            until: Some(until),
            ..RunEvent::default()
        });
        self.notes.write_events(&tx, self.run)?;
        tx.commit()
    }

    /// Notes that a fetch has ended, with what is known of it; before it is forgotten.
    fn note_fetch(
        &mut self,
        window_key: &WindowKey,
        trace: Trace,
        outcome: FetchResult,
        error: Option<String>,
    ) {
        let known = self.fetch.as_ref().filter(|fetch| fetch.facts.window_key == *window_key);
        let bound = |at: Option<Timestamp>| at.map(instant_to_text).unwrap_or_default();
        let row = FetchRow {
            stream: window_key.stream.clone(),
            partition: window_key.partition.clone(),
            start_at: bound(window_key.window.map(Window::start)),
            end_at: bound(window_key.window.map(Window::end)),
            reason: trace.reason.as_str().to_owned(),
            outcome,
            began_at: instant_to_text(trace.began_at),
            ended_at: instant_to_text(self.host.clock.now()),
            pages: known.map_or(0, |fetch| fetch.pages),
            outcomes: known.map_or_else(Outcomes::default, |fetch| fetch.outcomes),
            out_of_window: known.map_or(0, |fetch| fetch.out_of_window),
            spent: trace.spent,
            error,
        };
        self.notes.fetch(row);
    }

    fn make_table(
        &mut self,
        mut shape: TableShape,
        start_at: Option<Timestamp>,
        reader: Arc<RecordReader>,
    ) -> Result<(), Error> {
        self.finish_batch()?;
        let now = self.host.clock.now();
        let (definition, name) = (self.definition, shape.name.clone());
        let stream = definition.stream(&name).expect("a stream of this definition");
        let fit = FitTable {
            definition,
            stream,
            reader: &reader,
            shape: &shape,
            start_at,
            run: Some(self.run),
            now,
        };
        let corrected = self.archive.transaction(|tx| fit.fit(tx))?;
        // What was marked under an earlier definition lives again all the same.
        shape.retention.marks |= self.archive.has_marks(&shape.name)?;
        if corrected || !stream.references.is_empty() {
            let mut batch = self.take_batch(&name)?;
            let now = instant_to_text(now);
            let late = Late::new(&batch.tx, stream, &reader, shape.clone(), self.run, &now);
            // What did not fit a column may fit the corrected one.
            let rejects = if corrected { open_rejects() } else { open_orphans() };
            batch.counts.late_rejects += late.take_up(&rejects)?.late_rejects();
            self.commit_batch(batch)?;
        }
        self.tables.insert(name, (TableWriter::new(shape), reader));
        Ok(())
    }

    /// Takes the batch in hand, or a new one. Dropping it takes it back.
    fn take_batch(&mut self, stream: &str) -> Result<Batch<'a>, Error> {
        if let Some(batch) = self.batch.take() {
            return Ok(batch);
        }
        let tx = self.archive.begin()?;
        let counts = RunStreamRow { stream: stream.to_owned(), ..RunStreamRow::default() };
        Ok(Batch { tx, rows: 0, bytes: 0, since: self.host.clock.monotonic(), counts })
    }

    /// Dates the run's fetches by its sources' clocks no later than their first rows: a run that
    /// is killed does not come to its end.
    fn date_run(&mut self, tx: &Tx<'_>, facts: &FetchFacts) -> Result<(), Error> {
        let stream = self.definition.stream(&facts.window_key.stream);
        let Some((stream, skew_ms)) = stream.zip(facts.skew_ms) else { return Ok(()) };
        if self.clocks.contains_key(&stream.source) {
            return Ok(());
        }
        self.clocks.insert(stream.source.clone(), skew_ms);
        tx.date_run(self.run, &self.clocks)
    }

    /// Notes which rows the fetch has seen, where it matters.
    fn watch_rows(
        &mut self,
        tx: &Tx<'_>,
        key: &WindowKey,
        first: bool,
        rows: &RowSet,
    ) -> Result<(), Error> {
        let table = self.tables.get(&key.stream);
        let Some((table, _)) = table.filter(|(table, _)| table.shape().retention.watched) else {
            return Ok(());
        };
        if first || self.watched.as_ref() != Some(key) {
            tx.begin_seen(table)?;
            self.watched = Some(key.clone());
        }
        tx.note_seen(table, rows)
    }

    fn write_page(&mut self, mut page: PageEvent) -> Result<(), Error> {
        let fetch = self.fetch.as_ref().expect("a fetch begins before its pages");
        let (facts, first) = (fetch.facts.clone(), fetch.is_at_first_page());
        let key = &facts.window_key;
        let mut batch = self.take_batch(&key.stream)?;
        let known = self.known_rows(&batch.tx, key, &page.rows)?;
        if !known.is_empty() {
            // The page may have to be taken back, and nothing else with it.
            self.batch = Some(batch);
            self.finish_batch()?;
            batch = self.take_batch(&key.stream)?;
        }
        self.date_run(&batch.tx, &facts)?;
        self.watch_rows(&batch.tx, key, first, &page.rows)?;
        let now = instant_to_text(self.host.clock.now());
        let table = self.tables.get(&key.stream);
        let table = table.map(|(table, reader)| (table, reader.as_ref()));
        let records = Records {
            rows: &mut page.rows,
            rejects: &mut page.rejects,
            records: &mut page.records,
            duplicates: page.duplicates,
        };
        let outcomes = write_records(&batch.tx, table, key, records, self.run, &now)?;
        if let Some((table, _)) = table
            && let Some(row) = changed_row(&batch.tx, table, &page.rows, &known)?
        {
            // The row stays as the other one gave it: that one's fetch is complete.
            let shared = shown_key(table, &page.rows, row);
            drop(batch);
            // What was noted in the transaction of the page is gone with it.
            self.watched = None;
            let fetch = self.fetch.as_mut().expect("it is in hand");
            fetch.shared.get_or_insert(shared);
            return Ok(());
        }
        if let Some(raw) = &page.raw {
            let at = instant_to_text(facts.requested_at);
            batch.tx.keep_page(key, raw, first, &at, self.run, &now)?;
        }
        self.write_drift(&batch.tx, &key.stream, &mut page.noticed, &now)?;
        let fetch = self.fetch.as_mut().expect("it is in hand");
        fetch.pages += 1;
        fetch.outcomes += outcomes;
        fetch.out_of_window += page.out_of_window;
        fetch.next = page.next;
        fetch.source_total = page.source_total;
        batch.rows += page.rows.len() as u64;
        batch.bytes += page.rows.size() + page.raw.as_ref().map_or(0, RawPage::size);
        batch.counts.outcomes += outcomes;
        batch.counts.out_of_window += page.out_of_window;
        let full = batch.rows >= BATCH_ROWS_MAX
            || batch.bytes >= BATCH_BYTES_MAX
            || self.host.clock.monotonic().saturating_sub(batch.since) >= BATCH_TIME_MAX;
        self.batch = Some(batch);
        let stream = facts.window_key.stream;
        self.observer.notice(&ProgressEvent::PageWritten { stream, outcomes });
        if full && page.more { self.finish_batch() } else { Ok(()) }
    }

    fn write_drift(
        &self,
        tx: &Tx<'_>,
        stream: &str,
        noticed: &mut Noticed,
        now: &str,
    ) -> Result<(), Error> {
        tx.write_fields(stream, &noticed.fields)?;
        for drift in std::mem::take(&mut noticed.drift) {
            tx.log_field_change(&FieldChange {
                stream: stream.to_owned(),
                change: drift.change,
                field: drift.field,
                detail: drift.detail,
                at: now.to_owned(),
                run: self.run,
            })?;
        }
        Ok(())
    }

    fn complete(
        &mut self,
        window_key: WindowKey,
        requested_at: Timestamp,
        done: Completion,
        trace: Trace,
    ) -> Result<(), Error> {
        if let Some(key) = self.fetch.as_ref().and_then(|fetch| fetch.shared.clone()) {
            return self.refuse_shared(window_key, requested_at, &key, trace);
        }
        let mut batch = self.take_batch(&window_key.stream)?;
        batch.counts.windows_completed += 1;
        let mut progress = self.progress(&window_key, requested_at);
        progress.state = done.state;
        progress.read_to = done.read_to;
        progress.cursor = done.cursor;
        progress.token = None;
        progress.distinct_keys = done.distinct_keys;
        progress.source_total = done.source_total;
        batch.tx.write_progress(&progress, self.run)?;
        if let Some(remark) = done.remark {
            self.notes.remark(&window_key, remark, self.host.clock.now());
        }
        self.note_fetch(&window_key, trace, done.state.into(), None);
        if self.watched.as_ref() == Some(&window_key)
            && let Some((table, _)) = self.tables.get(&window_key.stream)
        {
            let now = instant_to_text(self.host.clock.now());
            let scope = done.scope.as_ref();
            batch.tx.settle_missing(table, &window_key, scope, self.run, &now)?;
        }
        // A mark is only told what changed: what it does not bring again is as it was.
        let kind = self.definition.stream(&window_key.stream).map(|stream| &stream.kind);
        let brings_all = !matches!(kind, Some(StreamKind::Cursor(_)));
        if brings_all && self.fetch.as_ref().is_some_and(|fetch| fetch.facts.in_one_piece) {
            let now = instant_to_text(self.host.clock.now());
            batch.tx.close_rejects(&window_key, self.run, &now)?;
        }
        self.watched = None;
        self.fetch = None;
        self.commit_batch(batch)?;
        self.observer.notice(&ProgressEvent::FetchDone { window_key });
        Ok(())
    }

    /// A fetch is not complete whose key another one of this run has given with other content.
    fn refuse_shared(
        &mut self,
        window_key: WindowKey,
        requested_at: Timestamp,
        key: &str,
        trace: Trace,
    ) -> Result<(), Error> {
        let by = match window_key.partition.is_empty() {
            true => "window",
            false => "parent or window",
        };
        let message =
            format!("the key {key} came from another {by} of this run too, with different content");
        let error = invalid_response(message.clone()).help(
            "the key is not unique: add to `key` the field that tells such records apart (a column \
             `{ parent = \"…\" }`, or the day); if it is one record, write `shared_key = true`, or \
             name with `version` the field that says which is newer; if it has changed or moved \
             while it was read, run it again",
        );
        let report = RunError::new(&window_key.stream, Some(&window_key), &error, message.clone());
        self.notes.event(error_event(report.clone(), self.host.clock.now()));
        self.written.errors.push(report);
        self.watched = None;
        let notice =
            ProgressEvent::FetchBroken { window_key: window_key.clone(), message: message.clone() };
        self.observer.notice(&notice);
        self.break_off(window_key, requested_at, (State::Partial, Some(message), None), trace)
    }

    /// Which rows of a page another partition or window of this run has given already.
    fn known_rows(
        &mut self,
        tx: &Tx<'_>,
        key: &WindowKey,
        rows: &RowSet,
    ) -> Result<Vec<KnownRow>, Error> {
        let Some((stream, mut keys)) = self.keys_of(&key.stream) else { return Ok(Vec::new()) };
        let known = match self.tables.get(&key.stream) {
            Some((table, _)) => keys.known_rows(tx, table, rows, self.run)?,
            None => Vec::new(),
        };
        self.keys = Some((stream, keys));
        Ok(known)
    }

    /// The keys of a stream in this run, where they have to be known.
    fn keys_of(&mut self, stream: &str) -> Option<(String, RunKeys)> {
        if let Some(keys) = self.keys.take().filter(|(name, _)| name == stream) {
            return Some(keys);
        }
        let at_risk = self.definition.stream(stream).is_some_and(is_at_risk);
        at_risk.then(|| (stream.to_owned(), RunKeys::default()))
    }

    /// Notes that a parent has no data in the stream. What an earlier fetch proved stays proven.
    fn note_absent(
        &mut self,
        window_key: WindowKey,
        requested_at: Timestamp,
        trace: Trace,
    ) -> Result<(), Error> {
        self.finish_batch()?;
        self.fetch = None;
        self.note_fetch(&window_key, trace, State::Absent.into(), None);
        let complete_before = self.archive.is_complete(&window_key)?;
        let mut batch = self.take_batch(&window_key.stream)?;
        batch.counts.windows_completed += 1;
        if !complete_before {
            let mut progress = self.progress(&window_key, requested_at);
            progress.state = State::Absent;
            batch.tx.write_progress(&progress, self.run)?;
        }
        self.commit_batch(batch)?;
        self.observer.notice(&ProgressEvent::FetchDone { window_key });
        Ok(())
    }

    /// Keeps the whole pages of a fetch that cannot go on, and why.
    fn break_off(
        &mut self,
        window_key: WindowKey,
        requested_at: Timestamp,
        (state, error, counts): (State, Option<String>, Option<(u64, u64)>),
        trace: Trace,
    ) -> Result<(), Error> {
        self.finish_batch()?;
        let known = self.fetch.as_ref().is_some_and(|fetch| fetch.facts.window_key == window_key);
        let complete_before = self.archive.is_complete(&window_key)?;
        let outcome = if complete_before { FetchResult::Kept } else { state.into() };
        self.note_fetch(&window_key, trace, outcome, error.clone());
        if !known && error.is_none() {
            return Ok(());
        }
        let mut progress = self.progress(&window_key, requested_at);
        self.fetch = None;
        if complete_before {
            // What an earlier fetch proved stays proven; that it cannot be read now stands beside.
            let Some(error) = error else { return Ok(()) };
            let batch = self.take_batch(&window_key.stream)?;
            batch.tx.note_error(&window_key, &error)?;
            return self.commit_batch(batch);
        }
        progress.state = state;
        progress.error = error;
        if let Some((total, distinct)) = counts {
            progress.source_total = Some(total);
            progress.distinct_keys = Some(distinct);
            progress.token = None;
        }
        let batch = self.take_batch(&window_key.stream)?;
        batch.tx.write_progress(&progress, self.run)?;
        self.commit_batch(batch)
    }

    /// Ends the transaction in hand; a fetch that goes on is noted with its next page.
    fn finish_batch(&mut self) -> Result<(), Error> {
        let Some(batch) = self.batch.take() else { return Ok(()) };
        if let Some(fetch) = &self.fetch {
            let facts = fetch.facts.clone();
            if !batch.tx.is_complete(&facts.window_key)? {
                let progress = self.progress(&facts.window_key, facts.requested_at);
                batch.tx.write_progress(&progress, self.run)?;
            }
        }
        self.commit_batch(batch)
    }

    fn commit_batch(&mut self, batch: Batch<'a>) -> Result<(), Error> {
        let Batch { tx, mut counts, .. } = batch;
        self.notes.write(&tx, self.run, &mut counts)?;
        tx.add_to_run(self.run, &counts)?;
        tx.commit()?;
        let stream = &counts.stream;
        let at = self.written.streams.iter().position(|row| row.stream == *stream);
        let at = at.unwrap_or_else(|| {
            let row = RunStreamRow { stream: stream.clone(), ..RunStreamRow::default() };
            self.written.streams.push(row);
            self.written.streams.len() - 1
        });
        let row = &mut self.written.streams[at];
        row.windows_completed += counts.windows_completed;
        row.late_rejects += counts.late_rejects;
        row.out_of_window += counts.out_of_window;
        row.outcomes += counts.outcomes;
        Ok(())
    }

    /// How far the fetch of a window has come, as far as this lane knows.
    fn progress(&self, window_key: &WindowKey, requested_at: Timestamp) -> Checkpoint {
        let fetch = self.fetch.as_ref().filter(|fetch| fetch.facts.window_key == *window_key);
        Checkpoint {
            window_key: window_key.clone(),
            state: State::Partial,
            // Whoever carries on must know what was asked for, which may be less than now.
            read_to: fetch.and_then(|fetch| fetch.facts.asked_to),
            requested_at: fetch.map_or(requested_at, |fetch| fetch.facts.requested_at),
            dated_by_source: fetch.is_some_and(|fetch| fetch.facts.dated_by_source),
            asked_from: fetch.and_then(|fetch| fetch.facts.asked_from),
            last_records: fetch.filter(|it| it.facts.in_one_piece).map(|it| it.outcomes.received),
            at: self.host.clock.now(),
            // A page that was taken back has to come again.
            token: fetch.filter(|it| it.shared.is_none()).and_then(|it| it.next.clone()),
            cursor: None,
            pages: fetch.map_or(0, |fetch| fetch.pages),
            outcomes: fetch.map_or_else(Outcomes::default, |fetch| fetch.outcomes),
            out_of_window: fetch.map_or(0, |fetch| fetch.out_of_window),
            distinct_keys: None,
            source_total: fetch.and_then(|fetch| fetch.source_total),
            error: None,
        }
    }
}

/// The key of a row, for a message.
fn shown_key(table: &TableWriter, rows: &RowSet, row: usize) -> String {
    let shape = table.shape();
    let columns = shape.row_columns();
    let parts = shape.key.columns().into_iter().map(|name| {
        let cell = columns.iter().position(|column| *column == name).map(|at| rows.row(row)[at]);
        let value = match cell {
            Some(Cell::Integer(number)) => number.to_string(),
            Some(Cell::Real(number)) => number.to_string(),
            Some(cell) => rows.text_of(cell).map(|text| excerpt(text, 80)).unwrap_or_default(),
            None => String::new(),
        };
        format!("{name} = {value}")
    });
    parts.collect::<Vec<_>>().join(", ")
}

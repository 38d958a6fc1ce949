//! The pulling lane: streams in order, partitions, fetches; what to do when one fails.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::changes::{RequestChanges, RequestHistory};
use crate::definition::{Column, Definition, Source, Stream, StreamKind};
use crate::drift::Fields;
use crate::host::Host;
use crate::http::{HttpFetcher, SourceError, SourceErrorKind, invalid_response};
use crate::model::{Error, SeenColumn, Spent, TableShape, Timestamp, Window, WindowKey};
use crate::record::RecordReader;
use crate::store::{ParentRow, PlanPart, Reader, StreamRow};
use crate::window::{Reason, Task, WindowPlan, asked_range, halve};

use super::SyncOptions;
use super::event::{LaneEvent, ProgressEvent, ProgressSink, Trace, stopped_writing};
use super::fetch::{FetchEnd, FetchOutcome, ForgetReason};
use super::fetch_job::{
    FetchJob, PARENTS_AT_A_TIME, plan_jobs, resolve_start, selected, window_job,
};
use super::notes::plan_parts;
use super::report::{RunError, StreamReport, SyncReport};
use super::seen::{Unseen, never_found};
use super::tally::{Attempt, Suspects};
use super::waits::Waits;

/// How many fetches of a stream may fail one after another before the rest is left for another
/// run: a source that is down is not asked four hundred times.
const FAILURES_IN_A_ROW_MAX: u32 = 3;
/// How many fetches of one partition may be invalid responses in a row before its rest is left for
/// another run, which begins with what has not failed before.
const BROKEN_IN_A_ROW_MAX: u32 = 10;
/// How often a window is halved in one run because the source was too slow: a source that is down
/// is as slow for the smallest one.
const SLOW_HALVINGS_MAX: u32 = 3;
/// How many windows in a row may be too slow, however often they are halved, before the source is
/// left for another run.
const SLOW_IN_A_ROW_MAX: u32 = 3;

/// How often a window is read again whose answer was cut off within its JSON: a cut is seldom
/// repeated, and a source that cuts each answer must fail.
const CUT_ANSWERS_MAX: u32 = 2;

/// A difference between two clocks that is one: the `Date` of an answer has whole seconds.
const SKEW_MIN: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// The fetch lane: plans fetches, sends their requests, and hands pages to the write lane.
pub struct FetchLane<'a> {
    pub(super) definition: &'a Definition,
    pub(super) options: &'a SyncOptions,
    pub(super) host: &'a Host,
    reader: Reader,
    pub(super) fetcher: HttpFetcher,
    pub(super) sender: mpsc::Sender<LaneEvent>,
    observer: &'a dyn ProgressSink,
    pub(super) record_reader: Option<Arc<RecordReader>>,
    pub(super) full_page_seen: bool,
    /// Records on the stream's largest page so far.
    pub(super) largest_page: u64,
    pub(super) start: Option<Timestamp>,
    pub(super) fields: Fields,
    /// Partitions of the stream in a row in which the source failed and nothing was read.
    failures: u32,
    /// When the fetch in hand began, and what the run had spent by then.
    begun: (Timestamp, Spent),
    /// Fetches in a row that were too slow.
    slow: u32,
    /// Parents of the stream that are absent.
    absent: u64,
    /// The definitions of the archive's runs, once a stream is planned.
    history: Option<RequestHistory>,
    /// What of the stream another request has fetched.
    changes: RequestChanges,
    /// Columns of the stream that no record has had so far.
    pub(super) unseen: Unseen,
    report: SyncReport,
    /// The first error of the archive itself.
    fault: RefCell<Option<Error>>,
}

impl<'a> FetchLane<'a> {
    /// A lane that has not begun.
    pub fn new(
        definition: &'a Definition,
        options: &'a SyncOptions,
        host: &'a Host,
        reader: Reader,
        fetcher: HttpFetcher,
        sender: mpsc::Sender<LaneEvent>,
        observer: &'a dyn ProgressSink,
    ) -> Self {
        Self {
            definition,
            options,
            host,
            reader,
            fetcher,
            sender,
            observer,
            record_reader: None,
            full_page_seen: false,
            largest_page: 0,
            start: None,
            fields: Fields::default(),
            failures: 0,
            begun: (host.clock.now(), Spent::default()),
            slow: 0,
            absent: 0,
            history: None,
            changes: RequestChanges::default(),
            unseen: Unseen::default(),
            report: SyncReport::default(),
            fault: RefCell::default(),
        }
    }

    /// Runs to the end; error is in the report.
    pub async fn run(mut self) -> SyncReport {
        if let Ok(waits) = self.reader.waits() {
            for wait in waits {
                if let Some(held) = wait.held(self.host.clock.now()) {
                    self.fetcher.hold(&wait.source, held);
                }
            }
        }
        self.fetcher.keep_waits_with(Arc::new(Waits { sender: self.sender.clone() }));
        let mut down: Vec<String> = Vec::new();
        let definition = self.definition;
        for stream in selected(definition, self.options) {
            self.report.streams.push(StreamReport::new(stream));
            if down.contains(&stream.source) {
                self.current().left_out = true;
                continue;
            }
            if let Err(error) = self.pull_stream(stream).await {
                let source_is_down = error.ends_source();
                self.error(&stream.name, None, &error).await;
                if source_is_down && error.kind != SourceErrorKind::Definition {
                    down.push(stream.source.clone());
                }
            }
            if self.end_stream(stream).await.is_err() {
                break;
            }
            if self.stop_cause().is_some() {
                break;
            }
        }
        for source in definition.sources.values() {
            if let Some(wait) = self.fetcher.held(&source.name).cloned() {
                let source = source.name.clone();
                // If the writing lane has ended, its error is the one that is reported.
                let _ = self.send(LaneEvent::Wait { source, wait }).await;
            }
        }
        for name in definition.sources.keys() {
            let skew = self.fetcher.skew_of(name).map(|skew| skew.num_milliseconds());
            self.report.clocks.extend(skew.map(|skew| (name.clone(), skew)));
        }
        self.report.stop = self.stop_cause();
        self.report.fault = self.fault.take();
        self.report.stats = self.fetcher.stats;
        self.report
    }

    /// Has what is known of a stream written, and waits until it is.
    async fn end_stream(&mut self, stream: &Stream) -> Result<(), SourceError> {
        let columns = std::mem::take(&mut self.unseen).finish();
        let look = columns.iter().any(|column| !column.found);
        let name = &stream.name;
        if !columns.is_empty() {
            self.send(LaneEvent::SeenColumns { stream: name.clone(), columns }).await?;
        }
        let (ack, written) = oneshot::channel();
        self.send(LaneEvent::StreamEnd { stream: name.clone(), ack }).await?;
        written.await.map_err(|_| stopped_writing())?;
        if look {
            let known = self.archive(|reader| reader.seen_columns(name))?;
            let never = never_found(stream, known);
            self.current().never_found = never.iter().map(SeenColumn::spoken).collect();
        }
        Ok(())
    }

    /// The time by the earlier of two clocks: the source's, as far as that is known, and this
    /// machine's. A window that has not ended by one of them is not read to its end.
    pub(super) fn now_at(&self, source: &Source) -> Timestamp {
        let now = self.host.clock.now();
        let skew = self.fetcher.skew_of(&source.name).filter(|skew| *skew < -SKEW_MIN);
        skew.and_then(|skew| now.checked_add_signed(skew)).unwrap_or(now)
    }

    fn source_of(&self, stream: &str) -> &'a Source {
        let stream = self.definition.stream(stream).expect("a stream of this definition");
        &self.definition.sources[&stream.source]
    }

    pub(super) fn current(&mut self) -> &mut StreamReport {
        self.report.streams.last_mut().expect("a stream is in hand")
    }

    async fn error(&mut self, stream: &str, window_key: Option<&WindowKey>, error: &SourceError) {
        let message = self.fetcher.redact(&error.message);
        let report = RunError::new(stream, window_key, error, message);
        let (why, window) = (&report.message, report.window.as_deref());
        tracing::warn!(stream, window, why, exit_code = report.exit_code.number(), "error");
        if error.kind != SourceErrorKind::Stopped {
            // If the writing lane has ended, its error is the one that is reported.
            let _ = self.send(LaneEvent::Error(Box::new(report.clone()))).await;
        }
        self.report.errors.push(report);
    }

    /// What the fetch in hand has taken so far.
    fn trace(&self, job: &FetchJob) -> Trace {
        let (began_at, before) = self.begun;
        Trace { reason: job.reason, began_at, spent: self.fetcher.stats - before }
    }

    /// Tells the write lane what came of a fetch.
    async fn end_fetch(
        &mut self,
        job: &FetchJob,
        requested_at: Timestamp,
        end: FetchEnd,
    ) -> Result<(), SourceError> {
        let (window_key, trace) = (job.window_key.clone(), self.trace(job));
        self.send(LaneEvent::FetchEnds { window_key, requested_at, end, trace }).await
    }

    async fn forget(
        &mut self,
        job: &FetchJob,
        reason: ForgetReason,
        error: Option<String>,
    ) -> Result<(), SourceError> {
        let requested_at = self.begun.0;
        self.end_fetch(job, requested_at, FetchEnd::Forgotten { reason, error }).await
    }

    async fn pull_stream(&mut self, stream: &Stream) -> Result<(), SourceError> {
        let stored = self.archive(|reader| reader.stream(&stream.name))?;
        self.full_page_seen = false;
        self.largest_page = 0;
        self.failures = 0;
        self.absent = 0;
        self.record_reader = None;
        self.fields = Fields::new(self.archive(|reader| reader.fields(&stream.name))?);
        self.start = match &stream.kind {
            StreamKind::Window(rules) => {
                Some(resolve_start(rules, stored.as_ref(), self.host.clock.now()))
            }
            _ => None,
        };
        if let Some(columns) = StreamRow::columns_of(stream, stored.as_ref()) {
            let inferred = stream.columns.is_none();
            self.use_columns(stream, columns, inferred).await?;
        }
        self.compare_requests(stream)?;
        if self.options.picked.is_none() {
            let seen = self.archive(|reader| reader.seen_columns(&stream.name))?;
            self.unseen = Unseen::new(stream, &seen);
        }
        let source = &self.definition.sources[&stream.source];
        let Some(parent) = &stream.for_each else {
            return self.pull_partition(stream, source, None).await;
        };
        let Some(parent) = self.archive(|reader| reader.stream(parent))? else { return Ok(()) };
        let mut after = i64::MIN;
        loop {
            let rows = self.archive(|reader| reader.parents(&parent, after, PARENTS_AT_A_TIME))?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.rowid;
            for row in &rows {
                self.pull_partition(stream, source, Some(row)).await?;
            }
        }
    }

    /// Holds the requests of earlier runs against the stream's. A second look has no ledger.
    fn compare_requests(&mut self, stream: &Stream) -> Result<(), SourceError> {
        if self.options.picked.is_some() {
            return Ok(());
        }
        let of = |history: &RequestHistory| history.changes(&self.definition.text, &stream.name);
        let known = self.history.as_ref().map(of);
        // What was corrected a moment ago is in the archive alone.
        let known = known.filter(RequestChanges::is_empty);
        self.changes = match known {
            Some(changes) => changes,
            None => {
                let history = self.archive(Reader::request_history)?;
                let changes = of(&history);
                self.history = Some(history);
                changes
            }
        };
        Ok(())
    }

    /// Reads the archive beside the writing lane.
    fn archive<T>(&self, read: impl FnOnce(&Reader) -> Result<T, Error>) -> Result<T, SourceError> {
        read(&self.reader).map_err(|error| {
            let message = format!("cannot read the archive: {error}");
            self.fault.borrow_mut().get_or_insert_with(|| error.clone());
            SourceError::new(SourceErrorKind::Stopped, message).from_error(error)
        })
    }

    /// From here on, records of the stream are read into these columns.
    pub(super) async fn use_columns(
        &mut self,
        stream: &Stream,
        columns: Vec<Column>,
        inferred: bool,
    ) -> Result<Arc<RecordReader>, SourceError> {
        let mut shape = Box::new(TableShape::of(stream, &columns, inferred));
        if self.options.picked.is_some() {
            // The archive that is written to holds no parents.
            shape.references.clear();
        }
        let reader = RecordReader::new(columns, stream.key.clone());
        let reader = Arc::new(reader.with_tombstones(stream.deleted.clone()));
        self.record_reader = Some(Arc::clone(&reader));
        let (ack, made) = oneshot::channel();
        let table =
            LaneEvent::Table { shape, start_at: self.start, reader: Arc::clone(&reader), ack };
        self.send(table).await?;
        made.await.map_err(|_| stopped_writing())?;
        Ok(reader)
    }

    async fn pull_partition(
        &mut self,
        stream: &Stream,
        source: &Source,
        parent: Option<&ParentRow>,
    ) -> Result<(), SourceError> {
        let partition = parent.map(|row| row.partition.as_str()).unwrap_or_default();
        let picked = self.options.picked.as_ref();
        if picked.is_some_and(|picked| !picked.places.contains_key(partition)) {
            return Ok(());
        }
        let mut ledger = self.archive(|reader| reader.ledger(&stream.name, partition))?;
        let outdated = self.changes.mark(&mut ledger);
        self.current().outdated.extend(outdated);
        // A clock that was set back does not undo what the source has dated.
        let dated =
            ledger.iter().filter(|entry| entry.dated_by_source).map(|entry| entry.requested_at);
        let now = dated.fold(self.now_at(source), std::cmp::max);
        let jobs = match picked {
            Some(picked) => picked.jobs(stream, self.start, parent, now),
            None => plan_jobs(stream, self.start, parent, &ledger, self.options, now),
        };
        let due = jobs.len() as u64;
        if self.current().windows_planned == 0 {
            let stream = stream.name.clone();
            self.observer.notice(&ProgressEvent::StreamBegins { stream, due });
        } else {
            self.observer.notice(&ProgressEvent::MoreDue { due });
        }
        self.current().windows_planned += due;
        if due > 0 {
            self.send(LaneEvent::Planned(plan_parts(&jobs))).await?;
        }
        let (mut failing, mut broken, mut read) = (0, 0, 0);
        let mut refreshes_broken = 0;
        let mut is_absent = false;
        for job in jobs {
            if is_absent {
                // The answer was about the parent, and so about all of its windows.
                let now = self.now_at(source);
                self.begun = (self.host.clock.now(), self.fetcher.stats);
                self.end_fetch(&job, now, FetchEnd::Absent).await?;
                continue;
            }
            // What fails never keeps what is known from being refreshed.
            let refreshes = job.reason == Reason::Refresh;
            let given_up = self.failures >= FAILURES_IN_A_ROW_MAX;
            let of_its_kind = if refreshes { refreshes_broken } else { broken };
            if given_up || failing >= FAILURES_IN_A_ROW_MAX || of_its_kind >= BROKEN_IN_A_ROW_MAX {
                self.current().left_out = true;
                continue;
            }
            match self.read_job(stream, source, &job).await {
                Ok(end) => {
                    (failing, broken, refreshes_broken) = (0, 0, 0);
                    read += 1;
                    is_absent = end == JobEnd::Absent;
                }
                Err(error) if error.ends_source() => return Err(error),
                Err(error) => {
                    let fails = error.kind == SourceErrorKind::Failing;
                    failing += u32::from(fails);
                    broken += u32::from(!fails && !refreshes);
                    refreshes_broken += u32::from(!fails && refreshes);
                    self.error(&stream.name, Some(&job.window_key), &error).await;
                    if error.kind == SourceErrorKind::Forbidden && parent.is_some() {
                        // Its other windows would be refused too.
                        self.current().left_out = true;
                        break;
                    }
                }
            }
        }
        if read > 0 {
            self.failures = 0;
        } else if failing > 0 {
            self.failures += 1;
        }
        Ok(())
    }

    /// Reads a job, cutting it into smaller windows as often as the source makes it necessary.
    async fn read_job(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
    ) -> Result<JobEnd, SourceError> {
        let mut stack = vec![job.clone()];
        let mut first_error = None;
        while let Some(job) = stack.pop() {
            let requested_at = self.now_at(source);
            self.begun = (self.host.clock.now(), self.fetcher.stats);
            let broken = match self.read_whole(stream, source, &job).await {
                FetchOutcome::Complete(_) if job.second => {
                    self.forget(&job, ForgetReason::Second, None).await?;
                    continue;
                }
                FetchOutcome::Complete(done) => {
                    self.slow = 0;
                    self.end_fetch(&job, requested_at, FetchEnd::Complete(done)).await?;
                    continue;
                }
                FetchOutcome::Absent => {
                    self.allow_absent(stream).await?;
                    self.end_fetch(&job, requested_at, FetchEnd::Absent).await?;
                    return Ok(JobEnd::Absent);
                }
                FetchOutcome::TooEarly => {
                    self.forget(&job, ForgetReason::TooEarly, None).await?;
                    continue;
                }
                FetchOutcome::Truncated(error) => {
                    if self.split(stream, &job, &mut stack).await? {
                        tracing::info!(why = error.message, "halving the window");
                        continue;
                    }
                    BrokenFetch::smaller(error, true)
                }
                FetchOutcome::TooSlow(error) => {
                    if job.slow_halvings < SLOW_HALVINGS_MAX
                        && self.split(stream, &job, &mut stack).await?
                    {
                        stack.iter_mut().rev().take(2).for_each(|half| {
                            half.slow_halvings = job.slow_halvings + 1;
                        });
                        tracing::warn!(why = error.message, "too slow: halving the window");
                        continue;
                    } else {
                        self.slow += 1;
                        match self.slow >= SLOW_IN_A_ROW_MAX {
                            true => BrokenFetch::failed(error),
                            false => BrokenFetch::smaller(error, false),
                        }
                    }
                }
                FetchOutcome::Disagreement { error, total, distinct } => {
                    BrokenFetch { counts: Some((total, distinct)), ..BrokenFetch::failed(error) }
                }
                FetchOutcome::Unconfirmed { error, .. } | FetchOutcome::Failed(error) => {
                    BrokenFetch::failed(error)
                }
            };
            if job.second && broken.failed {
                // Without it the window would be complete and lack what came late.
                stack.clear();
            }
            self.break_off(&job, requested_at, &broken).await?;
            if broken.failed && broken.error.ends_source() {
                return Err(broken.error);
            }
            first_error.get_or_insert(broken.error);
        }
        first_error.map_or(Ok(JobEnd::Read), Err)
    }

    /// Takes one more parent of the stream for absent, as far as the definition lets it.
    async fn allow_absent(&mut self, stream: &Stream) -> Result<(), SourceError> {
        let (Some(rules), Some(parent)) = (&stream.absent, &stream.for_each) else { return Ok(()) };
        let parents = self.archive(|reader| match reader.stream(parent)? {
            Some(parent) => reader.count(&parent.stream).map(|rows| rows.living),
            None => Ok(0),
        })?;
        self.absent += 1;
        #[expect(clippy::cast_precision_loss, reason = "a share of parents")]
        let share = self.absent as f64 / (parents.max(1)) as f64;
        if share <= rules.ratio_max {
            return Ok(());
        }
        let message = format!(
            "{} of {parents} parents are absent, more than `absent_ratio_max` allows",
            self.absent
        );
        Err(invalid_response(message).help(
            "check the stream's `path`; if so many parents have no data in the stream, raise \
             `absent_ratio_max`",
        ))
    }

    /// Reads until the fetch is complete and its numbers agree, as often as the stream allows.
    async fn read_whole(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
    ) -> FetchOutcome {
        let mut resume = self.may_resume(stream, job);
        let mut disagreements = 0;
        let mut cuts = 0;
        let mut seen = None;
        let mut suspects = Suspects::new();
        for attempt in 0.. {
            let again = Attempt { resume, confirms: seen, number: attempt, suspects: &suspects };
            match self.read_once(stream, source, job, again).await {
                FetchOutcome::Failed(error) if error.page_gone && resume => {}
                FetchOutcome::Failed(error) if error.cut && cuts < CUT_ANSWERS_MAX => cuts += 1,
                FetchOutcome::Failed(error)
                    if error.too_slow && job.window_key.window.is_some() =>
                {
                    return FetchOutcome::TooSlow(error);
                }
                outcome
                @ (FetchOutcome::Disagreement { .. } | FetchOutcome::Unconfirmed { .. }) => {
                    disagreements += 1;
                    if disagreements >= stream.reconcile_attempts {
                        return outcome;
                    }
                    if let FetchOutcome::Unconfirmed { seen: now, suspects: keys, .. } = outcome {
                        seen = now;
                        suspects.extend(keys.into_iter().map(|key| (key, None)));
                    }
                }
                outcome => return outcome,
            }
            resume = false;
        }
        unreachable!("the attempts are bounded by `reconcile_attempts` and by the slow ones")
    }

    /// Puts the halves of a job on the stack; false where it cannot be halved.
    async fn split(
        &mut self,
        stream: &Stream,
        job: &FetchJob,
        stack: &mut Vec<FetchJob>,
    ) -> Result<bool, SourceError> {
        let (StreamKind::Window(rules), Some(window)) = (&stream.kind, job.window_key.window)
        else {
            return Ok(false);
        };
        let plan = WindowPlan {
            rules,
            start: self.start.unwrap_or(window.start()),
            now: self.now_at(&self.definition.sources[&stream.source]),
            range: None,
        };
        // The halves are read without overlap: a second fetch must not keep them too large.
        let task = |window| {
            let asked = asked_range(&plan, window, crate::definition::Span::ZERO)?;
            Some(Task { window, asked, reason: job.reason, resume: None, read_at: None })
        };
        let plain = asked_range(&plan, window, crate::definition::Span::ZERO);
        // Not by its end, which moves with now where the window is open.
        let start_of = |asked: Option<Window>| asked.map(|asked| asked.start());
        let overlapped = plain.is_some() && start_of(job.asked) != start_of(plain);
        let pieces = if overlapped {
            // The second fetch of what lies before is a fetch of its own and comes first, so
            // that the cap does not take it away.
            let before = job.asked.and_then(|asked| Window::new(asked.start(), window.start()));
            [Some((window, false)), before.map(|before| (before, true))]
                .into_iter()
                .flatten()
                .collect()
        } else {
            match halve(window, rules) {
                Some((first, second)) => vec![(second, job.second), (first, job.second)],
                None => return Ok(false),
            }
        };
        self.forget(job, ForgetReason::Split, None).await?;
        for (piece, second) in pieces {
            let window_key = WindowKey { window: Some(piece), ..job.window_key.clone() };
            // A half that lies wholly after now has nothing to be asked for yet.
            let half =
                task(piece).and_then(|t| window_job(rules, window_key, t, &job.values.parent));
            stack.extend(half.map(|half| FetchJob { second, ..half }));
        }
        if !overlapped {
            self.current().windows_planned += 1;
            let more = PlanPart { reason: "split".to_owned(), windows: 1, from: None, to: None };
            self.send(LaneEvent::Planned(vec![more])).await?;
        }
        Ok(true)
    }

    async fn break_off(
        &mut self,
        job: &FetchJob,
        requested_at: Timestamp,
        broken: &BrokenFetch,
    ) -> Result<(), SourceError> {
        let message = self.fetcher.redact(&broken.error.message);
        let window_key = job.window_key.clone();
        let notice = ProgressEvent::FetchBroken { window_key, message: message.clone() };
        self.observer.notice(&notice);
        let now = self.now_at(self.source_of(&job.window_key.stream));
        if job.second || job.window_key.window.is_some_and(|window| window.start() > now) {
            // A clock that runs ahead asked for what has not begun: that is nothing to go on with.
            return self.forget(job, ForgetReason::Failed, Some(message)).await;
        }
        let stopped = broken.error.kind == SourceErrorKind::Stopped;
        let error = (!stopped).then_some(message);
        let BrokenFetch { truncated, counts, .. } = *broken;
        self.end_fetch(job, requested_at, FetchEnd::Broken { error, truncated, counts }).await
    }
}

/// How a job ended that met no error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JobEnd {
    /// The fetch was read to its end.
    Read,
    /// The parent has no data in the stream.
    Absent,
}

/// A fetch that did not come to the proven end of its data.
struct BrokenFetch {
    error: SourceError,
    /// Whether it can never be read as it is.
    truncated: bool,
    /// The source's total and the different records that came, where they disagree.
    counts: Option<(u64, u64)>,
    /// Whether it failed; else its window is too large, and cannot be made smaller.
    failed: bool,
}

impl BrokenFetch {
    fn failed(error: SourceError) -> Self {
        Self { error, truncated: false, counts: None, failed: true }
    }

    fn smaller(error: SourceError, truncated: bool) -> Self {
        Self { error, truncated, counts: None, failed: false }
    }
}

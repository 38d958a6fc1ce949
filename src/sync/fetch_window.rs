//! One fetch: from its first page to the proven end of its data, or to why there is none.
//!
//! A fetch is only called complete when every page came, no page repeated another, the number
//! of distinct records agrees with the source's total, and the total did not move meanwhile.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::definition::{Paginate, Scalar, Source, Stream, StreamKind, Total};
use crate::host::StopCause;
use crate::http::{
    Fetched, Next, PageToken, Pager, RequestPlan, SourceError, SourceErrorKind, judge_content,
};
use crate::model::{State, Timestamp, Window};
use crate::record::{PageContext, PageMark, PageRows, RecordReader, hash_text};
use crate::store::RawPage;
use crate::window::is_settled;

use super::event::{DoneEvent, LaneEvent, PageEvent};
use super::fetch_job::{FetchJob, first_token, next_mark};
use super::fetch_lane::FetchLane;
use super::page::{broken, check_hash_fields, infer_from, number_at, read_answer, read_kept};
use super::scope::scope_of;

/// The most distinct keys that are counted for one window: 8 bytes each, 32 MiB in all. A window
/// with more records than that cannot be held against a total, and needs a shorter step.
const DISTINCT_KEYS_MAX: usize = 2_000_000;

/// How long the token of a broken-off fetch is believed, minutes. Counted pages shift as soon as
/// records come or go, tokens of the API's own usually live for a day.
const COUNTED_TOKEN_MINUTES: i64 = 15;
const API_TOKEN_MINUTES: i64 = 24 * 60;

/// How a fetch ended.
pub enum Ending {
    /// The end of the data is proven.
    Complete(Box<DoneEvent>),
    /// The source cut the result, or is too slow: smaller windows may help.
    Split(SourceError),
    /// The numbers do not agree, or moved.
    Disagree(SourceError, (u64, u64)),
    /// The source has not lived up to the window's start yet: nothing is known of it.
    TooEarly,
    /// Pages have shifted, or may have: read again until they have not. What this fetch saw, if
    /// it is fit to be compared.
    Unconfirmed(SourceError, Option<u64>),
}

/// What is known of a fetch on its way.
struct FetchSoFar {
    requested_at: Timestamp,
    dated_by_source: bool,
    /// Up to where was asked, by the request whose pages these are.
    asked_to: Option<Timestamp>,
    first: bool,
    resumed: bool,
    /// Pages of this attempt that held records.
    pages: u64,
    received: u64,
    rejects: u64,
    keys: HashSet<u64>,
    /// Whether a record of an earlier page came again.
    moved: bool,
    total: Option<u64>,
    last_total: Option<u64>,
    mark: Option<PageMark>,
}

impl FetchSoFar {
    /// Counts the keys of a page, and sees whether one came before.
    fn take_keys(&mut self, rows: &PageRows) -> Result<(), SourceError> {
        let before = self.keys.len();
        let rejects = rows.rejects.iter().map(|reject| hash_text(&reject.record));
        self.keys.extend(rows.rows.key_hashes.iter().copied().chain(rejects));
        let came = rows.rows.len() + rows.rejects.len();
        self.moved |= self.keys.len() - before < came;
        if self.keys.len() > DISTINCT_KEYS_MAX {
            let message = format!("the window holds more than {DISTINCT_KEYS_MAX} records");
            return Err(broken(message).help("give the stream a shorter `step`"));
        }
        Ok(())
    }
}

impl FetchLane<'_> {
    /// Reads a job once, from its first page or from where an earlier fetch broke off.
    pub(super) async fn read_once(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
        resume: bool,
        confirms: Option<u64>,
    ) -> Result<Ending, SourceError> {
        let now = self.now_at(source);
        let resumed = job.resume.as_ref().filter(|_| resume);
        let mut sofar = FetchSoFar {
            requested_at: resumed.map_or(now, |entry| entry.requested_at),
            dated_by_source: resumed.is_some_and(|entry| entry.dated_by_source),
            asked_to: match resumed {
                Some(entry) => entry.read_to,
                None => job.asked.map(|asked| asked.end()),
            },
            first: resumed.is_none(),
            resumed: resumed.is_some(),
            pages: 0,
            received: 0,
            rejects: 0,
            keys: HashSet::new(),
            moved: false,
            total: resumed.and_then(|entry| entry.source_total),
            last_total: None,
            mark: None,
        };
        if let Some((fetched, total)) = self.count(stream, source, job).await? {
            sofar.date_by(&fetched);
            sofar.total = Some(total);
        }
        let mut pager = Pager::new(&stream.paginate, self.full_page_seen);
        let mut token = if resumed.is_some() { first_token(stream, job) } else { pager.first() };
        loop {
            let plan = RequestPlan {
                source,
                template: &stream.request,
                paginate: &stream.paginate,
                values: &job.values,
                token: &token,
            };
            let fetched = self.fetcher.fetch(&plan).await?;
            if sofar.first && !sofar.dated_by_source {
                sofar.date_by(&fetched);
            }
            let next = self.read_one(stream, source, job, &fetched, &mut pager, &token, &mut sofar);
            let next = next.await?;
            self.full_page_seen = pager.full_page_seen;
            if let Some(most) = stream.max_records.filter(|most| sofar.received >= *most) {
                let message = format!("the source cuts results at {most} records");
                return Ok(Ending::Split(broken(message)));
            }
            match next {
                Some(next) => token = next,
                None => {
                    if is_counted(stream) && sofar.pages > 1 {
                        sofar.last_total = self.count_again(stream, source, job, &sofar).await?;
                    }
                    return Ok(self.conclude(stream, job, sofar, confirms));
                }
            }
        }
    }

    /// Asks the address that counts, where the source has one.
    async fn count(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
    ) -> Result<Option<(Fetched, u64)>, SourceError> {
        let Some(Total::Endpoint { request, value }) = &stream.total else { return Ok(None) };
        let (paginate, token) = (Paginate::None, PageToken::Start);
        let plan = RequestPlan {
            source,
            template: request,
            paginate: &paginate,
            values: &job.values,
            token: &token,
        };
        let fetched = self.fetcher.fetch(&plan).await?;
        let total = number_at(judge_content(&fetched.response)?, value)?;
        Ok(Some((fetched, total)))
    }

    /// The total as of a fetch's last page: what the page said, or what the address that counts
    /// says now.
    async fn count_again(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
        sofar: &FetchSoFar,
    ) -> Result<Option<u64>, SourceError> {
        let counted = self.count(stream, source, job).await?;
        Ok(counted.map(|(_, total)| total).or(sofar.last_total))
    }

    /// Reads one page, sends it to be written, and tells where the next one is.
    #[expect(clippy::too_many_arguments, reason = "the parts of a fetch, each used once")]
    async fn read_one(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
        fetched: &Fetched,
        pager: &mut Pager<'_>,
        token: &PageToken,
        sofar: &mut FetchSoFar,
    ) -> Result<Option<PageToken>, SourceError> {
        let reader = self.reader_of(stream, fetched).await?;
        let context = page_context(stream, job.asked, &job.values.parent);
        let page = read_answer(stream, &reader, &context, fetched, &self.fetcher, source)?;
        let (page, noticed) = self.heed_drift(stream, page, fetched, &context).await?;
        // A field that became a column is read by another reader than before.
        let reader = self.record_reader.clone().unwrap_or(reader);
        let (rows, facts) = (page.rows, page.facts);
        if sofar.received == 0 {
            check_hash_fields(stream, &rows, judge_content(&fetched.response)?)?;
        }
        sofar.pages += u64::from(rows.received > 0);
        self.largest_page = self.largest_page.max(rows.received);
        sofar.received += rows.received;
        sofar.rejects += rows.rejects.len() as u64;
        sofar.mark = sofar.mark.take().max(rows.mark.clone());
        if let Some(total) = facts.total {
            sofar.total.get_or_insert(total);
            sofar.last_total = Some(total);
        }
        if stream.total.is_some() || is_counted(stream) {
            sofar.take_keys(&rows)?;
        }
        if let Some(most) = stream.max_rejects.filter(|most| sofar.rejects > *most) {
            let message = format!("more than {most} records of the window were rejected");
            return Err(broken(message).help("`windrow status` shows the reasons"));
        }
        let next = match pager.next(token, &facts) {
            Next::Broken(why) => return Err(broken(why)),
            Next::Page(next) => Some(next),
            Next::End => None,
        };
        // A second look is only compared.
        let raw = (stream.raw && self.options.again.is_none())
            .then(|| self.raw_page(stream, &reader, &context, (job, fetched), &rows));
        let event = PageEvent {
            window_key: job.window_key.clone(),
            first: std::mem::take(&mut sofar.first),
            requested_at: sofar.requested_at,
            dated_by_source: sofar.dated_by_source,
            skew_ms: self.fetcher.skew_of(&stream.source).map(|skew| skew.num_milliseconds()),
            asked_from: job.asked.map(|asked| asked.start()),
            asked_to: sofar.asked_to,
            rows: rows.rows,
            rejects: rows.rejects,
            duplicates: rows.duplicates,
            out_of_window: rows.out_of_window,
            records: rows.records,
            more: next.is_some(),
            next: next.as_ref().and_then(|next| self.token_to_keep(next)),
            noticed,
            source_total: sofar.total,
            raw,
        };
        self.send(LaneEvent::Page(Box::new(event))).await?;
        Ok(next)
    }

    /// The reader of the stream's columns; makes it from the first page where they are inferred.
    async fn reader_of(
        &mut self,
        stream: &Stream,
        fetched: &Fetched,
    ) -> Result<Arc<RecordReader>, SourceError> {
        if let Some(reader) = &self.record_reader {
            return Ok(Arc::clone(reader));
        }
        match infer_from(stream, judge_content(&fetched.response)?)? {
            Some(columns) => self.use_columns(stream, columns, true).await,
            // A page without records tells nothing about columns.
            None => Ok(Arc::new(RecordReader::new(Vec::new(), stream.key.clone()))),
        }
    }

    /// The end of the data is reached: do the numbers agree?
    fn conclude(
        &self,
        stream: &Stream,
        job: &FetchJob,
        sofar: FetchSoFar,
        confirms: Option<u64>,
    ) -> Ending {
        let distinct = stream.total.is_some().then_some(sofar.keys.len() as u64);
        let counted = is_counted(stream);
        if let (Some(first), Some(last)) = (sofar.total, sofar.last_total)
            && counted
            && first != last
        {
            let message = format!("the total moved from {first} to {last} while pages were read");
            return Ending::Disagree(broken(message), (last, distinct.unwrap_or(0)));
        }
        if let (Some(total), Some(distinct)) = (sofar.last_total.or(sofar.total), distinct)
            && total != distinct
        {
            let message =
                format!("the source counts {total} records, {distinct} different ones came");
            return Ending::Disagree(broken(message), (total, distinct));
        }
        let (state, read_to) = state_of(stream, job, &sofar, self.start);
        if job.window_key.window.is_some_and(|window| read_to == Some(window.start())) {
            return Ending::TooEarly;
        }
        // All that there is came with one page, and the source gives longer ones.
        let alone = !sofar.resumed && sofar.pages <= 1 && sofar.received < self.largest_page;
        if !alone && let Some(ending) = shifted(stream, state, &sofar, confirms) {
            return ending;
        }
        let cursor = match &stream.kind {
            StreamKind::Cursor(rules) => {
                let seen = sofar.mark.map(|mark| match mark {
                    PageMark::Integer(number) => number.to_string(),
                    PageMark::Text(text) => text,
                });
                next_mark(rules, job.mark.as_deref(), seen, sofar.requested_at)
            }
            _ => None,
        };
        // What became of a rejected record's row, or of one between shifted pages, is not known.
        let whole = !sofar.resumed && sofar.rejects == 0 && !(counted && sofar.moved);
        let columns = self.record_reader.as_ref().map(|reader| reader.columns());
        let scope = columns.filter(|_| whole).and_then(|columns| {
            scope_of(stream, columns, &job.window_key, &job.values.parent, read_to)
        });
        Ending::Complete(Box::new(DoneEvent {
            window_key: job.window_key.clone(),
            state,
            read_to,
            requested_at: sofar.requested_at,
            cursor,
            distinct_keys: distinct,
            source_total: sofar.total,
            scope,
        }))
    }

    /// The page as it is kept: an answer may repeat a secret, and that is not kept.
    fn raw_page(
        &self,
        stream: &Stream,
        reader: &RecordReader,
        context: &PageContext,
        (job, fetched): (&FetchJob, &Fetched),
        rows: &PageRows,
    ) -> RawPage {
        let body = judge_content(&fetched.response).unwrap_or_default();
        let clean = self.fetcher.redact(body);
        let altered = clean != body
            && read_kept(stream, reader, context, &clean)
                .map_or(true, |again| again.rows.text != rows.rows.text);
        RawPage::pack(&clean, altered, job.asked, &job.values.parent)
    }

    /// The token as it is kept in the ledger. A source may repeat a secret in it; such a token is
    /// not kept, and a broken-off fetch begins anew.
    fn token_to_keep(&self, token: &PageToken) -> Option<String> {
        let text = token.to_text();
        (self.fetcher.redact(&text) == text).then_some(text)
    }

    /// Whether a broken-off fetch may be carried on: its token is fresh enough, and nothing has
    /// to be counted from the beginning.
    pub(super) fn may_resume(&self, stream: &Stream, job: &FetchJob) -> bool {
        let Some(entry) = &job.resume else { return false };
        let counted = is_counted(stream);
        let minutes = if counted { COUNTED_TOKEN_MINUTES } else { API_TOKEN_MINUTES };
        let now = self.now_at(&self.definition.sources[&stream.source]);
        let age = now.signed_duration_since(entry.requested_at);
        entry.token.is_some()
            && entry.same_definition
            && stream.total.is_none()
            && stream.max_records.is_none()
            && stream.max_rejects.is_none()
            && age >= chrono::TimeDelta::zero()
            && age <= chrono::TimeDelta::minutes(minutes)
            // The mark of a resumed fetch is that of its later pages: lower at worst, and then
            // more is read again. Counted pages would shift with a start that counts back.
            && !(counted && matches!(stream.kind, StreamKind::Cursor(_)))
    }

    /// Sends an event to the writing lane. When that lane has ended, so does this one.
    pub(super) async fn send(&mut self, event: LaneEvent) -> Result<(), SourceError> {
        self.sender.send(event).await.map_err(|_| {
            SourceError::new(SourceErrorKind::Stopped, "the archive could not be written")
        })
    }

    /// Why the run is to end, if it is.
    pub(super) fn stop_cause(&self) -> Option<StopCause> {
        self.host.stop.cause()
    }
}

/// Whether pages are found by counting, so that they shift when a record comes or goes.
fn is_counted(stream: &Stream) -> bool {
    matches!(stream.paginate, Paginate::Page { .. } | Paginate::Offset { .. })
}

impl FetchSoFar {
    /// Dates the fetch by the source's own clock: what the source has not lived through yet it
    /// cannot have told, whatever this machine's clock says.
    fn date_by(&mut self, fetched: &Fetched) {
        if let Some(at) = fetched.as_of {
            self.requested_at = at;
            self.dated_by_source = true;
        }
    }
}

/// A record that goes while counted pages are read pulls another one over the edge between two
/// pages, unseen. Where no later fetch would bring that one, none of the records may have come
/// twice, which gives such a move away; and without a total two fetches in a row must have seen
/// the same records.
fn shifted(
    stream: &Stream,
    state: State,
    sofar: &FetchSoFar,
    confirms: Option<u64>,
) -> Option<Ending> {
    let once = stream.reconcile_attempts <= 1;
    if !is_counted(stream) || once {
        return None;
    }
    let seen = sofar.keys.iter().fold(0_u64, |sum, key| sum.wrapping_add(*key));
    let seen = (!sofar.resumed).then_some(seen);
    let message = "records moved between the pages while they were read";
    let error = broken(message).help("give the stream a `total`, if the source has one");
    let last_word = state == State::Settled || matches!(stream.kind, StreamKind::Cursor(_));
    let unconfirmed = stream.total.is_none() && (seen.is_none() || seen != confirms);
    (last_word && (sofar.moved || unconfirmed)).then_some(Ending::Unconfirmed(error, seen))
}

/// What the pages of a fetch are judged by.
pub(crate) fn page_context(
    stream: &Stream,
    asked: Option<Window>,
    parent: &BTreeMap<String, Scalar>,
) -> PageContext {
    let (field, zone) = match &stream.kind {
        StreamKind::Window(rules) => (Some(rules.field.clone()), rules.zone),
        _ => (None, chrono_tz::UTC),
    };
    let cursor = match &stream.kind {
        StreamKind::Cursor(rules) => Some(rules.field.clone()),
        _ => None,
    };
    PageContext {
        asked: asked.map(|asked| (asked, zone)),
        field,
        version: stream.version.clone(),
        cursor,
        on_conflict: Some(stream.on_conflict),
        parent: parent.clone(),
        keep_records: !stream.references.is_empty(),
    }
}

/// Complete or settled, and up to where: a window that is still open counts up to the request.
fn state_of(
    stream: &Stream,
    job: &FetchJob,
    sofar: &FetchSoFar,
    start: Option<Timestamp>,
) -> (State, Option<Timestamp>) {
    let (StreamKind::Window(rules), Some(window)) = (&stream.kind, job.window_key.window) else {
        return (State::Complete, None);
    };
    // Never beyond what was asked for: a window may have closed while the run was on its way, or
    // since the fetch began that this one carries on.
    let asked_to = sofar.asked_to.unwrap_or(window.end());
    let requested_at = sofar.requested_at;
    let read_to = window.end().min(requested_at).min(asked_to).max(window.start());
    let entry = crate::model::Entry {
        window: Some(window),
        state: State::Complete,
        read_to: Some(read_to),
        requested_at,
        completed_at: None,
        token: None,
        cursor: None,
        source_total: None,
        failed: false,
        same_definition: true,
        dated_by_source: true,
        adopted_since: false,
        doubted: false,
    };
    let settled = is_settled(&entry, rules, start.unwrap_or(window.start()));
    (if settled { State::Settled } else { State::Complete }, Some(read_to))
}

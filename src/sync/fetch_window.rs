//! One fetch: from its first page to the proven end of its data, or to why there is none.
//!
//! A fetch is only called complete when every page came, no page repeated another, the number
//! of distinct records agrees with the source's total, and the total did not move meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::definition::{Paginate, Scalar, Source, Stream, StreamKind, Total};
use crate::drift::Noticed;
use crate::host::StopCause;
use crate::http::{
    Next, Page, PageFacts, PageToken, Pager, RequestPlan, SourceError, help_for_walk,
    invalid_response, no_total, number_at,
};
use crate::kept_pages::RawPage;
use crate::model::numbers::many;
use crate::model::{State, Timestamp, Window};
use crate::record::{Body, PageContext, PageMark, PageRows, RecordReader};
use crate::window::{is_settled, reach_of, upper_is_included};

use super::event::{LaneEvent, PageEvent, stopped_writing};
use super::fetch::{Completion, FetchOutcome};
use super::fetch_job::{FetchJob, first_token, next_mark};
use super::fetch_lane::FetchLane;
use super::page::{ReadPage, check_hash_fields, infer_from, read_answer, read_kept};
use super::scope::scope_of;
use super::tally::{Attempt, FetchTally, takes_any_order};

/// How long the token of a broken-off fetch is believed, minutes. Counted pages shift as soon as
/// records come or go, tokens of the API's own usually live for a day.
const COUNTED_TOKEN_MINUTES: i64 = 15;
const API_TOKEN_MINUTES: i64 = 24 * 60;

/// A page whose records are read and counted.
struct TakenPage {
    rows: PageRows,
    facts: PageFacts,
    noticed: Noticed,
    reader: Arc<RecordReader>,
    context: PageContext,
}

impl FetchLane<'_> {
    /// Reads a job once, from its first page or from where an earlier fetch broke off.
    pub(super) async fn read_once(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
        attempt: Attempt<'_>,
    ) -> FetchOutcome {
        let read = self.read_pages(stream, source, job, attempt);
        read.await.unwrap_or_else(FetchOutcome::Failed)
    }

    async fn read_pages(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
        attempt: Attempt<'_>,
    ) -> Result<FetchOutcome, SourceError> {
        let resumed = job.resume.as_ref().filter(|_| attempt.resume);
        let (now, confirms) = (self.now_at(source), attempt.confirms);
        let mut tally =
            FetchTally::new(job, resumed, now, attempt.number, attempt.suspects.clone());
        if let Some((page, total)) = self.count(stream, source, job).await? {
            tally.date_by(&page);
            tally.total = Some(total);
        }
        let mut pager = Pager::new(&stream.paginate, &stream.ends, self.full_page_seen);
        let mut token = if resumed.is_some() { first_token(stream, job) } else { pager.first() };
        loop {
            let plan = RequestPlan {
                source,
                template: &stream.request,
                paginate: &stream.paginate,
                values: &job.values,
                token: &token,
            };
            let mut page = self.fetcher.fetch(&plan).await?;
            if tally.asked == 0 && says_absent(stream, &page) {
                // Once may be a slip of the source.
                let again = self.fetcher.fetch(&plan).await?;
                if says_absent(stream, &again) {
                    return Ok(FetchOutcome::Absent);
                }
                page = again;
            }
            page.means_nothing = says_nothing(stream, &page);
            if pager.ends_with(page.response.status) {
                tally.ended_as_declared = true;
                return self.end_of_pages(stream, source, job, tally, confirms).await;
            }
            if !tally.begun && tally.facts.in_one_piece && !tally.facts.dated_by_source {
                tally.date_by(&page);
            }
            let taken = self.take_page(stream, source, job, &page, &pager, &mut tally).await?;
            tally.ended_as_declared = pager.ended_as_declared(&taken.facts);
            let next = match pager.next(&token, &taken.facts) {
                Next::Broken(why) => {
                    return Err(invalid_response(why).help(help_for_walk(stream)));
                }
                Next::Page(next) => Some(next),
                Next::End => None,
                // The page is known: nothing of it is written again.
                Next::Repeated => {
                    return self.end_of_pages(stream, source, job, tally, confirms).await;
                }
            };
            let (received, rejected) = (taken.rows.received, taken.rows.rejects.len() as u64);
            self.hand_over(stream, job, &page, taken, next.as_ref(), &mut tally).await?;
            tally.rejected_page(stream, received, rejected)?;
            self.full_page_seen = pager.full_page_seen;
            if let Some(most) = stream.max_records.filter(|most| tally.received >= *most) {
                let message = format!("the source cuts results at {}", many(most, "record"));
                let error = invalid_response(message).help(help_for_cap(stream));
                return Ok(FetchOutcome::Truncated(error));
            }
            match next {
                Some(next) => token = next,
                None => return self.end_of_pages(stream, source, job, tally, confirms).await,
            }
        }
    }

    /// The declared rule has found the end of the data: is it one?
    async fn end_of_pages(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
        mut tally: FetchTally,
        confirms: Option<u64>,
    ) -> Result<FetchOutcome, SourceError> {
        if stream.paginate.is_counted() && tally.pages > 1 {
            tally.last_total = self.count_again(stream, source, job, &tally).await?;
        }
        if let Some(outcome) = tally.contradiction(stream)? {
            return Ok(outcome);
        }
        Ok(self.conclude(stream, job, tally, confirms))
    }

    /// Asks the address that counts, where the source has one.
    async fn count(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
    ) -> Result<Option<(Page, u64)>, SourceError> {
        let Some(Total::Endpoint { request, value }) = &stream.total else { return Ok(None) };
        let (paginate, token) = (Paginate::None, PageToken::Start);
        let plan = RequestPlan {
            source,
            template: request,
            paginate: &paginate,
            values: &job.values,
            token: &token,
        };
        let page = self.fetcher.fetch(&plan).await?;
        // What has no data has no count either: the pages are held against that.
        let nothing = says_absent(stream, &page) || says_nothing(stream, &page);
        let total = if nothing { 0 } else { number_at(&page.body()?, value)? };
        Ok(Some((page, total)))
    }

    /// The total as of a fetch's last page: what the page said, or what the address that counts
    /// says now.
    async fn count_again(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
        tally: &FetchTally,
    ) -> Result<Option<u64>, SourceError> {
        let counted = self.count(stream, source, job).await?;
        Ok(counted.map(|(_, total)| total).or(tally.last_total))
    }

    /// Reads the records of a page and counts them.
    async fn take_page(
        &mut self,
        stream: &Stream,
        source: &Source,
        job: &FetchJob,
        page: &Page,
        pager: &Pager<'_>,
        tally: &mut FetchTally,
    ) -> Result<TakenPage, SourceError> {
        let reader = self.reader_of(stream, page).await?;
        let mut context = page_context(stream, job.asked, &job.values.parent);
        context.keep_records |= !tally.suspects.is_empty();
        let redact = |text: &str| self.fetcher.redact(text);
        let read = read_answer(stream, source, &reader, &context, page, &redact)?;
        let (read, noticed) = self.heed_drift(stream, source, read, page, &context).await?;
        // A field that became a column is read by another reader than before.
        let reader = self.record_reader.clone().unwrap_or(reader);
        let ReadPage { rows, facts, signs } = read;
        self.unseen.look(stream, &reader, &rows, page);
        if pager.repeats(&facts) {
            return Ok(TakenPage { rows, facts, noticed, reader, context });
        }
        if tally.received == 0 {
            check_hash_fields(stream, &rows, &page.body()?)?;
        }
        self.largest_page = self.largest_page.max(rows.received);
        if tally.asked == 0 && tally.facts.in_one_piece && facts.total.is_none() {
            let said_on_pages = matches!(stream.total, Some(Total::Body(_) | Total::Header(_)));
            if said_on_pages && !page.means_nothing {
                return Err(no_total(stream, page.response.status));
            }
        }
        tally.take(stream, &rows, facts.total, signs)?;
        self.current().reject_reasons.take(&rows.rejects);
        Ok(TakenPage { rows, facts, noticed, reader, context })
    }

    /// Hands a page to the write lane, with its first one the facts of the fetch.
    async fn hand_over(
        &mut self,
        stream: &Stream,
        job: &FetchJob,
        page: &Page,
        taken: TakenPage,
        next: Option<&PageToken>,
        tally: &mut FetchTally,
    ) -> Result<(), SourceError> {
        // A second look is only compared.
        let raw = (stream.raw && self.options.picked.is_none())
            .then(|| self.raw_page(stream, job, page, &taken));
        if !std::mem::replace(&mut tally.begun, true) {
            let skew = self.fetcher.skew_of(&stream.source);
            tally.facts.skew_ms = skew.map(|skew| skew.num_milliseconds());
            self.send(LaneEvent::FetchBegins(Box::new(tally.facts.clone()))).await?;
        }
        // Who looks for keys that came twice has to see all pages.
        let next_kept = next.filter(|_| tally.suspects.is_empty());
        let rows = taken.rows;
        let event = PageEvent {
            rows: rows.rows,
            rejects: rows.rejects,
            duplicates: rows.duplicates,
            out_of_window: rows.out_of_window,
            records: rows.records,
            more: next.is_some(),
            next: next_kept.and_then(|next| self.token_to_keep(next)),
            noticed: taken.noticed,
            source_total: tally.total,
            raw,
        };
        self.send(LaneEvent::Page(Box::new(event))).await
    }

    /// The reader of the stream's columns; makes it from the first page where they are inferred.
    async fn reader_of(
        &mut self,
        stream: &Stream,
        page: &Page,
    ) -> Result<Arc<RecordReader>, SourceError> {
        if let Some(reader) = &self.record_reader {
            return Ok(Arc::clone(reader));
        }
        match infer_from(stream, &page.body()?)? {
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
        tally: FetchTally,
        confirms: Option<u64>,
    ) -> FetchOutcome {
        let distinct = stream.total.is_some().then_some(tally.keys.len() as u64);
        let counted = stream.paginate.is_counted();
        if let Some(disagreement) = tally.disagreement(stream) {
            return disagreement;
        }
        let (state, read_to) = state_of(stream, job, &tally, self.start);
        if job.window_key.window.is_some_and(|window| read_to == Some(window.start())) {
            return FetchOutcome::TooEarly;
        }
        // All that there is came with one page, and the source gives longer ones.
        let alone =
            tally.facts.in_one_piece && tally.pages <= 1 && tally.received < self.largest_page;
        if let Some(outcome) = tally.shifted(stream, state, confirms, alone) {
            return outcome;
        }
        let cursor = match &stream.kind {
            StreamKind::Cursor(rules) => {
                let seen = tally.mark.map(|mark| match mark {
                    PageMark::Integer(number) => number.to_string(),
                    PageMark::Text(text) => text,
                });
                next_mark(rules, job.mark.as_deref(), seen, tally.facts.requested_at)
            }
            _ => None,
        };
        // What became of a rejected record's row, or of one between shifted pages, is not known.
        let whole = tally.facts.in_one_piece && tally.rejects == 0 && !(counted && tally.moved);
        let columns = self.record_reader.as_ref().map(|reader| reader.columns());
        let scope = columns.filter(|_| whole).and_then(|columns| {
            scope_of(stream, columns, &job.window_key, &job.values.parent, read_to)
        });
        FetchOutcome::Complete(Box::new(Completion {
            state,
            read_to,
            cursor,
            distinct_keys: distinct,
            source_total: tally.total,
            scope,
            remark: tally.remark,
        }))
    }

    /// The page as it is kept: an answer may repeat a secret, and that is not kept.
    fn raw_page(&self, stream: &Stream, job: &FetchJob, page: &Page, taken: &TakenPage) -> RawPage {
        let body = page.text().unwrap_or_default();
        let clean = self.fetcher.redact(body);
        let altered = clean != body
            && read_kept(
                stream,
                &taken.reader,
                &taken.context,
                &Body::of_kept(&clean, page.format),
            )
            .map_or(true, |again| again.rows.text != taken.rows.rows.text);
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
        let counted = stream.paginate.is_counted();
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
        self.sender.send(event).await.map_err(|_| stopped_writing())
    }

    /// Why the run is to end, if it is.
    pub(super) fn stop_cause(&self) -> Option<StopCause> {
        self.host.stop.cause()
    }
}

/// What helps where the source cuts the result of a fetch that cannot be made smaller.
fn help_for_cap(stream: &Stream) -> String {
    let StreamKind::Window(rules) = &stream.kind else {
        return "only a stream with a `window` can be read in smaller pieces; if the source cuts \
                later, correct `max_records`"
            .to_owned();
    };
    let precision = rules.precision;
    let beside = match upper_is_included(rules) && rules.asks_for_end {
        true => format!(
            " together with the tick at its end, which the included bound asks for too; if \
             records have no times in between, write `precision = \"{precision}\"`"
        ),
        false => String::new(),
    };
    format!(
        "the smallest window that can be asked for is {precision}, and it reaches `max_records`\
         {beside}; else give a finer `format`, or a filter in `query`"
    )
}

/// Whether an answer means that the parent has no data in the stream.
fn says_absent(stream: &Stream, page: &Page) -> bool {
    let response = &page.response;
    stream.absent.as_ref().is_some_and(|it| it.rule.holds(response.status, &response.body))
}

/// Whether an answer means that there are no records.
fn says_nothing(stream: &Stream, page: &Page) -> bool {
    let response = &page.response;
    stream.empty.as_ref().is_some_and(|it| it.rule.holds(response.status, &response.body))
}

/// What the pages of a fetch are judged by.
pub(crate) fn page_context(
    stream: &Stream,
    asked: Option<Window>,
    parent: &BTreeMap<String, Scalar>,
) -> PageContext {
    let (field, asked) = match &stream.kind {
        StreamKind::Window(rules) => {
            let reach = asked.map(|asked| (reach_of(asked, rules), rules.zone));
            (Some(rules.field.clone()), reach)
        }
        _ => (None, asked.map(|asked| (asked, chrono_tz::UTC))),
    };
    let cursor = match &stream.kind {
        StreamKind::Cursor(rules) => Some(rules.field.clone()),
        _ => None,
    };
    PageContext {
        asked,
        field,
        version: stream.version.clone(),
        cursor,
        on_conflict: Some(stream.on_conflict),
        parent: parent.clone(),
        keep_records: !stream.references.is_empty(),
        one_content: !takes_any_order(stream),
    }
}

/// Complete or settled, and up to where: a window that is still open counts up to the request.
fn state_of(
    stream: &Stream,
    job: &FetchJob,
    tally: &FetchTally,
    start: Option<Timestamp>,
) -> (State, Option<Timestamp>) {
    let (StreamKind::Window(rules), Some(window)) = (&stream.kind, job.window_key.window) else {
        return (State::Complete, None);
    };
    // Never beyond what was asked for: a window may have closed while the run was on its way, or
    // since the fetch began that this one carries on.
    let asked_to = tally.facts.asked_to.unwrap_or(window.end());
    let requested_at = tally.facts.requested_at;
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
        disputed: false,
        run: 0,
        outdated: false,
    };
    let settled = is_settled(&entry, rules, start.unwrap_or(window.start()));
    (if settled { State::Settled } else { State::Complete }, Some(read_to))
}

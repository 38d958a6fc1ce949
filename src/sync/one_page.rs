//! One page of a stream, without an archive: asked, judged and read as a sync does it, and shown.

use crate::definition::{Column, Source, Stream, StreamKind};
use crate::evidence::Signs;
use crate::http::{
    HttpFetcher, Next, Page, PageFacts, PageToken, Pager, RequestPlan, SourceError,
    SourceErrorKind, show_request,
};
use crate::model::{Timestamp, Window};
use crate::record::{PageRows, RecordReader};
use crate::store::ParentRow;

use super::fetch_job::{FetchJob, plan_jobs, resolve_start};
use super::fetch_window::page_context;
use super::page::{ReadPage, infer_from, read_answer};
use super::{SyncFrom, SyncOptions};

/// A page that was asked for and read, and not written.
#[derive(Debug)]
pub struct OnePage {
    /// The request, without credentials.
    pub request: String,
    /// The range that was asked for.
    pub asked: Option<Window>,
    /// The answer as it came.
    pub page: Page,
    /// The columns that its records are read into: the stream's, or those that fit them.
    pub columns: Vec<Column>,
    pub rows: PageRows,
    /// What the answer says about paging and totals.
    pub facts: PageFacts,
    /// What it says of its completeness.
    pub signs: Signs,
    /// Where the next page is, or why there is none.
    pub next: Next,
}

/// Asks for the first page of the newest window of a stream, or of what `range` says. `parent` is
/// the parent's row of a stream that has one. Nothing is written anywhere.
pub async fn pull_one_page(
    fetcher: &mut HttpFetcher,
    (stream, source): (&Stream, &Source),
    parent: Option<&ParentRow>,
    range: Option<Window>,
    now: Timestamp,
) -> Result<OnePage, SourceError> {
    let start = match &stream.kind {
        StreamKind::Window(rules) => Some(resolve_start(rules, None, now)),
        _ => None,
    };
    let from = range.map(|it| SyncFrom::Time { start: it.start(), end: Some(it.end()) });
    let options = SyncOptions { from, ..SyncOptions::default() };
    let jobs = plan_jobs(stream, start, parent, &[], &options, now);
    let Some(job) = jobs.into_iter().max_by_key(|job| job.asked.map(Window::end)) else {
        let message = "no window of the stream lies in the range that was asked for";
        return Err(SourceError::new(SourceErrorKind::Definition, message)
            .help("name a range after the stream's `start` and before now"));
    };
    pull(fetcher, stream, source, &job).await
}

async fn pull(
    fetcher: &mut HttpFetcher,
    stream: &Stream,
    source: &Source,
    job: &FetchJob,
) -> Result<OnePage, SourceError> {
    let mut pager = Pager::new(&stream.paginate, &stream.ends, false);
    let token: PageToken = pager.first();
    let plan = RequestPlan {
        source,
        template: &stream.request,
        paginate: &stream.paginate,
        values: &job.values,
        token: &token,
    };
    let request = show_request(&plan);
    let page = fetcher.fetch(&plan).await?;
    let columns = match &stream.columns {
        Some(columns) => columns.clone(),
        None => infer_from(stream, &page.body()?)?.unwrap_or_default(),
    };
    let reader = RecordReader::new(columns.clone(), stream.key.clone())
        .with_tombstones(stream.deleted.clone());
    let context = page_context(stream, job.asked, &job.values.parent);
    let redact = |text: &str| fetcher.redact(text);
    let read = read_answer(stream, source, &reader, &context, &page, &redact)?;
    let ReadPage { rows, facts, signs } = read;
    let next = pager.next(&token, &facts);
    Ok(OnePage { request, asked: job.asked, page, columns, rows, facts, signs, next })
}

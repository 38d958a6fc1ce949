//! One page for people who have no windrow: what was archived, which days were read, how many rows
//! each has, and what is wrong.
//!
//! The page is whole in itself: no script, no font and no picture from anywhere, and a policy in
//! its head that forbids them. What comes from an API is escaped twice: controls as everywhere,
//! then for HTML.

mod days;
mod status;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context, escape_formatter};
use serde::Serialize;

use crate::check::{CheckReport, Finding};
use crate::definition::Severity;
use crate::model::{FieldChange, Timestamp, instant_from_text, printable};
use crate::store::{RejectRow, RunRow};
use crate::waits::WaitRow;

use crate::model::numbers::{ago, bytes, count, duration, many};

pub use days::{DayCalendar, calendar_of};
pub use status::{ArchiveStatus, StreamStatus, archive_status, stream_statuses};

const PAGE: &str = include_str!("page.html");

/// All that the page says.
#[derive(Debug, Serialize)]
pub struct ReportFacts {
    pub archive: String,
    /// The identity of the archive.
    pub archive_id: String,
    pub windrow: &'static str,
    /// When the archive was looked at.
    pub at: String,
    /// In a few words, whether the numbers can be relied on.
    pub verdict: PageVerdict,
    /// Sorted by their names.
    pub streams: Vec<ReportStream>,
    /// What a check found.
    pub check: CheckReport,
    /// The latest runs, newest first.
    pub runs: Vec<RunRow>,
    /// The open rejects, by stream and kind.
    pub rejects: Vec<RejectRow>,
    /// Sources that said "not before", and it is before.
    pub waits: Vec<WaitRow>,
    /// The latest changes of fields, newest first.
    pub drift: Vec<FieldChange>,
}

/// What the page says of one stream.
#[derive(Debug, Serialize)]
pub struct ReportStream {
    #[serde(flatten)]
    pub status: StreamStatus,
    /// Its days; none when nobody knows its definition any more.
    pub calendar: Option<DayCalendar>,
}

/// Whether the numbers can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PageStanding {
    /// Nothing was found that somebody should look at.
    Whole,
    /// Data may be missing or wrong.
    Open,
    /// Numbers that are made from this are wrong.
    Wrong,
    /// Without a definition nobody knows what should be there.
    Unknown,
}

/// The first sentence of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageVerdict {
    /// The verdict in one word, by which the page is coloured.
    pub standing: PageStanding,
    pub text: String,
}

impl PageVerdict {
    /// By what a check has found; `defined` when there is a definition to check by.
    pub fn of(check: &CheckReport, defined: bool) -> Self {
        let (errors, warnings) = (check.count(Severity::Error), check.count(Severity::Warning));
        let warned = many(warnings, "warning");
        let (standing, text) = match (errors, warnings, defined) {
            (1.., 0, _) => (PageStanding::Wrong, format!("Not to be relied on: {}", wrong(errors))),
            (1.., 1.., _) => {
                let text = format!("Not to be relied on: {} and {warned}", wrong(errors));
                (PageStanding::Wrong, text)
            }
            (0, 1.., _) => (PageStanding::Open, format!("To be looked at: {warned}")),
            (0, 0, false) => {
                let text = "No definition says what should be here: what is here is shown";
                (PageStanding::Unknown, text.to_owned())
            }
            (0, 0, true) => {
                let text = "Nothing is known to be missing, doubled or odd";
                (PageStanding::Whole, text.to_owned())
            }
        };
        Self { standing, text }
    }
}

fn wrong(errors: u64) -> String {
    many(errors, "error")
}

/// The page.
///
/// # Errors
/// Never for the template that is built in; the tests fill it.
pub fn report_page(facts: &ReportFacts, now: Timestamp) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    environment.set_syntax(syntax);
    environment.set_formatter(|out, state, value| match value.as_str() {
        Some(text) if !value.is_safe() => {
            escape_formatter(out, state, &Value::from(printable(text)))
        }
        _ => escape_formatter(out, state, value),
    });
    environment.add_filter("count", count);
    environment.add_filter("many", |number: u64, noun: &str| many(number, noun));
    environment.add_filter("bytes", bytes);
    environment.add_filter("duration", |ms: i64| duration(u64::try_from(ms).unwrap_or(0)));
    environment.add_filter("ago", move |text: &str| {
        instant_from_text(text).map(|at| ago(now - at)).unwrap_or_default()
    });
    environment.add_filter("time", time);
    environment.add_template("page", PAGE)?;
    let streams: Vec<Value> = facts.streams.iter().map(|stream| section(stream, facts)).collect();
    let rows: u64 = facts.streams.iter().map(|stream| stream.status.rows).sum();
    let others = facts.check.findings.iter().filter(|finding| {
        !facts.streams.iter().any(|stream| stream.status.stream == finding.stream)
    });
    environment.get_template("page")?.render(context! {
        facts => Value::from(Serde(facts)),
        streams,
        rows,
        others => others.map(|finding| Value::from(Serde(finding))).collect::<Vec<_>>(),
        more => Value::from(Serde(&facts.check.more)),
    })
}

/// An instant to the minute, as `2026-01-10 12:00 UTC`; a text that is none stays as it is.
fn time(text: &str) -> String {
    match instant_from_text(text) {
        Some(at) => at.format("%F %R UTC").to_string(),
        None => text.to_owned(),
    }
}

fn section(stream: &ReportStream, facts: &ReportFacts) -> Value {
    let days = stream.calendar.iter().flat_map(|calendar| calendar.days.as_slice());
    let days: Vec<days::Day> = days.cloned().collect();
    let of_stream = |finding: &&Finding| finding.stream == stream.status.stream;
    let findings: Vec<&Finding> = facts.check.findings.iter().filter(of_stream).collect();
    let windowed = stream.status.start.is_some();
    context! {
        status => Value::from(Serde(&stream.status)),
        calendar => Value::from(Serde(&stream.calendar)),
        months => Value::from(Serde(if windowed { days::months_of(&days) } else { Vec::new() })),
        chart => Value::from(Serde(days::chart_of(&days))),
        findings => Value::from(Serde(findings)),
    }
}

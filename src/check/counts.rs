//! The archive against the source, window by window, and how late records came: what `sweep`
//! counts becomes findings here.

use std::ops::ControlFlow;

use crate::check::evidence::{sql_of_arrivals, sql_of_count};
use crate::definition::{Severity, WindowRules};
use crate::store::LedgerRow;
use crate::store::{Reader, StreamRow};
use crate::window::reach_of;

use super::finding::{Collector, Finding, identity};
use super::sweep::{Counted, Dates, Lateness, Sweep, as_span};
use crate::check::help_commands::HelpCommands;
use crate::model::Error;
use crate::model::numbers::many;

/// What the counts of a stream are judged by.
pub struct CountRules<'a> {
    pub row: &'a StreamRow,
    /// The grid of the stream's windows.
    pub window: &'a WindowRules,
    /// How its dates stand.
    pub dates: Dates,
    /// Whether records came outside the ranges that were asked for: then nobody can say which
    /// reading a row is from.
    pub out_of_window: bool,
    /// Whether the source sends tombstones.
    pub tombstones: bool,
    /// Whether rows of the table can be marked as gone.
    pub marks: bool,
    pub help_commands: &'a HelpCommands,
}

/// Compares the rows of each window with what came.
pub fn check_counts(
    reader: &Reader,
    rules: &CountRules<'_>,
    facts: Vec<LedgerRow>,
    collector: &mut Collector,
) -> Result<(), Error> {
    let since = collector.since_text();
    let reach = |asked| reach_of(asked, rules.window);
    let mut sweep = Sweep::new(facts, rules.dates, rules.window.lateness, &since, &reach);
    let stream = &rules.row.stream;
    reader.arrivals(stream, &rules.window.field, &mut |arrivals| {
        sweep.take(&arrivals);
        ControlFlow::Continue(())
    })?;
    let (windows, lateness) = sweep.done();
    for window in &windows {
        if let Some(finding) = more_rows(rules, window).filter(|_| !rules.out_of_window) {
            collector.add(finding);
        }
        if let Some(finding) = fewer_rows(rules, window) {
            collector.add(finding);
        }
    }
    if let Some(finding) = late(rules, &lateness) {
        collector.add(finding);
    }
    Ok(())
}

/// More rows than the source has: it gives records new keys, or no longer has some of them.
fn more_rows(rules: &CountRules<'_>, counted: &Counted) -> Option<Finding> {
    let came = counted.fact.last_records.filter(|came| counted.rows_then > *came)?;
    let before = counted.fact.previous_records;
    let before = before.map(|before| format!(" and {before} at the one before"));
    let by = counted.fact.completed_at.as_deref();
    let stretch =
        (rules.window.field.as_str(), counted.asked_from.as_str(), counted.asked_to.as_str());
    Some(Finding {
        expected: format!(
            "no more rows than records: {came} came at the last fetch{}",
            before.unwrap_or_default()
        ),
        found: format!("{}: {}", counted.window, many(counted.rows_then, "row")),
        sql: sql_of_count(&rules.row.stream, Some(stretch), by, rules.marks),
        first: Some(format!(
            "see whether the source gives the same record another key; if so, name as the `key` \
             of `{}` what stays the same",
            rules.row.stream
        )),
        ..finding("more_rows", Severity::Warning, rules, counted)
    })
}

/// Fewer rows than different records came and were taken.
fn fewer_rows(rules: &CountRules<'_>, counted: &Counted) -> Option<Finding> {
    let fact = &counted.fact;
    let distinct = fact.distinct_keys?;
    let taken = distinct.saturating_sub(fact.rejected).saturating_sub(fact.out_of_window);
    // A tombstone comes as a record, and its row is gone.
    let rows = counted.rows + if rules.tombstones { counted.gone } else { 0 };
    if rows >= taken {
        return None;
    }
    let total = fact.source_total.unwrap_or(distinct);
    let stretch =
        (rules.window.field.as_str(), counted.asked_from.as_str(), counted.asked_to.as_str());
    Some(Finding {
        expected: format!(
            "{}: the source counted {}, and they came",
            many(taken, "row"),
            many(total, "record")
        ),
        found: format!("{}: {}", counted.window, many(rows, "row")),
        sql: sql_of_count(&rules.row.stream, Some(stretch), None, rules.marks && !rules.tombstones),
        ..finding("fewer_rows", Severity::Error, rules, counted)
    })
}

fn finding(
    check: &'static str,
    severity: Severity,
    rules: &CountRules<'_>,
    counted: &Counted,
) -> Finding {
    let (stream, window) = (&rules.row.stream, counted.window);
    Finding {
        id: identity(&[check, stream, &window.to_string()]),
        check,
        severity,
        stream: stream.clone(),
        expected: String::new(),
        found: String::new(),
        sql: String::new(),
        help: rules.help_commands.sync(stream, rules.window.zone, window.start(), window.end()),
        first: None,
        until: Some(window.end()),
    }
}

/// How late records came. That is only wrong where some came after nobody would have looked.
fn late(rules: &CountRules<'_>, lateness: &Lateness) -> Option<Finding> {
    let records = lateness.records();
    let (window, after) = lateness.worst.as_ref()?;
    let stream = &rules.row.stream;
    let needed = as_span(lateness.would_catch());
    let declared = rules.window.lateness;
    let missed = lateness.missed;
    let severity = if missed > 0 { Severity::Warning } else { Severity::Info };
    let (from, to) = (rules.dates.edge(window.start()), rules.dates.edge(window.end()));
    let stretch = (rules.window.field.as_str(), from.as_str(), to.as_str());
    Some(Finding {
        id: identity(&["lateness", stream]),
        check: "lateness",
        severity,
        stream: stream.clone(),
        expected: format!("no record later than the declared lateness of {declared}"),
        found: format!(
            "{} came after the window had been read to its end, {missed} of them after it was \
             settled; a lateness of {needed} would have caught 99.9 % of them",
            many(records, "record")
        ),
        sql: sql_of_arrivals(stream, &rules.row.key.columns(), stretch, after),
        help: match lateness.missed_in {
            Some(missed) => {
                rules.help_commands.sync(stream, rules.window.zone, missed.start(), missed.end())
            }
            None => rules.help_commands.sync_due(stream),
        },
        first: (missed > 0)
            .then(|| format!("set `lateness = \"{needed}\"` in the `window` of `{stream}`")),
        until: None,
    })
}

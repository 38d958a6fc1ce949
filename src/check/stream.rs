//! One stream: its ledger, its rows, its series, its counts.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use chrono_tz::Tz;

use crate::check::evidence::{sql_of_gone, sql_of_newest, sql_of_out_of_window};
use crate::check::facts::complete_window;
use crate::definition::{
    Severity, Stream, StreamCheck, StreamKind, TOLERANCE, TypeFamily, WindowRules,
};
use crate::model::numbers::many;
use crate::model::{Error, KeyShape, Timestamp, Window, instant_to_text, many_are};
use crate::store::LedgerRow;
use crate::store::{Reader, StreamRow};
use crate::window::Coverage;

use super::counts::{CountRules, check_counts};
use super::drift::check_drift;
use super::edges::{EdgeRules, check_edges};
use super::finding::{Collector, Finding, identity};
use super::ledger::{LedgerView, PartitionView, always, examine_partition};
use super::options::CheckOptions;
use super::series::{SeriesRules, check_series};
use super::sweep::{Dates, as_span};
use super::tables::{check_duplicates, check_twins};
use super::weak::{Fullest, check_cap, check_remarks};
use crate::check::help_commands::HelpCommands;

/// Parents that are read at a time.
const PARENTS_AT_A_TIME: u32 = 500;
/// Parts of what is not known before they are put together: with thousands of partitions each
/// window is there once for each, and memory must not grow with them.
const PARTS_MAX: usize = 10_000;

/// What the ledger says of all partitions of a stream.
#[derive(Debug, Default)]
pub struct LedgerSum {
    partitions: u64,
    /// What not every partition has read.
    pub unknown: Vec<Window>,
    /// What in some partition may still change.
    pub unsettled: Vec<Window>,
    /// What in some partition was begun and not finished, or cannot be read.
    pub broken: Vec<Window>,
    /// The oldest of what each partition was read up to.
    newest: Option<Timestamp>,
    out_of_window: u64,
    out_of_window_span: Option<Window>,
    /// The windows that some partition has read to their ends.
    complete: BTreeSet<Window>,
    /// The windows with the most records.
    fullest: Fullest,
    /// The rows of a stream without parents.
    facts: Vec<LedgerRow>,
}

impl LedgerSum {
    fn add(&mut self, view: PartitionView) {
        self.partitions += 1;
        self.unknown.extend(view.known.gaps(always()));
        self.unsettled.extend(view.settled.gaps(always()));
        self.broken.extend(view.broken);
        for parts in [&mut self.unknown, &mut self.unsettled, &mut self.broken] {
            if parts.len() > PARTS_MAX {
                *parts = Coverage::of(parts.drain(..)).parts().to_vec();
            }
        }
        self.newest = match (self.newest, view.newest) {
            (Some(sofar), Some(newest)) => Some(sofar.min(newest)),
            (sofar, newest) => sofar.or(newest),
        };
        self.out_of_window += view.out_of_window;
        self.out_of_window_span = match (self.out_of_window_span, view.out_of_window_span) {
            (Some(a), Some(b)) => Window::new(a.start().min(b.start()), a.end().max(b.end())),
            (a, b) => a.or(b),
        };
    }
}

/// Looks through one stream; it may be defined and not archived yet, or archived and no longer
/// defined.
pub fn check_stream(
    reader: &Reader,
    options: &CheckOptions<'_>,
    stream: Option<&Stream>,
    row: Option<&StreamRow>,
    collector: &mut Collector,
) -> Result<(), Error> {
    let sum = match stream {
        Some(stream) => {
            let sum = check_ledger(reader, options, stream, collector)?;
            check_age(options, stream, &sum, collector);
            check_out_of_window(options.help_commands, stream, &sum, collector);
            check_remarks(reader, stream, options.help_commands, collector)?;
            sum
        }
        None => LedgerSum::default(),
    };
    let Some(row) = row else { return Ok(()) };
    if let Some(stream) = stream {
        check_drift(reader, options, stream, row, collector)?;
    }
    check_gone(reader, options.help_commands, row, collector)?;
    if check_rows(reader, options.help_commands, row, collector)? {
        // Sums and counts over doubled rows say nothing that the doubles do not.
        return Ok(());
    }
    let Some(stream) = stream else { return Ok(()) };
    let things = || match date_column(stream, row) {
        Some((date, _)) => {
            let group = group_columns(&StreamCheck::default(), row, &date);
            // A hash tells nothing of what a record is about.
            let known = matches!(row.key, KeyShape::Columns(_)) && !group.is_empty();
            known.then(|| reader.count_distinct(&row.stream, &group)).transpose()
        }
        None => Ok(None),
    };
    check_cap(stream, &sum.fullest, options.help_commands, things, collector)?;
    let Some((date, dates)) = date_column(stream, row) else { return Ok(()) };
    let windowed = matches!(stream.kind, StreamKind::Window(_));
    // A snapshot or a mark knows no windows: what it has is all that there is.
    let of = |parts: &[Window]| match windowed {
        true => Coverage::of(parts.iter().copied()),
        false => Coverage::default(),
    };
    let (unknown, unsettled) = (of(&sum.unknown), of(&sum.unsettled));
    let group = group_columns(&stream.check, row, &date);
    let rules = SeriesRules {
        stream: &stream.name,
        values: value_columns(stream, row, &group, &date),
        group,
        date: date.clone(),
        dates,
        calendar: stream.check.calendar,
        unknown: &unknown,
        unsettled: &unsettled,
        tolerance: options.tolerance.or(stream.check.tolerance).unwrap_or(TOLERANCE),
        is_window: windowed,
        help_commands: options.help_commands,
    };
    check_series(reader, &rules, collector)?;
    if let StreamKind::Window(window) = &stream.kind
        && window.field == date
        && !dates.whole_days
    {
        let (stream, help_commands) = (stream.name.as_str(), options.help_commands);
        let edges = EdgeRules { stream, window, complete: &sum.complete, help_commands };
        check_edges(reader, &edges, collector)?;
    }
    if let (StreamKind::Window(window), true) = (&stream.kind, stream.for_each.is_none()) {
        let is_field = window.field == date;
        if is_field && is_countable(window, dates) {
            let help_commands = options.help_commands;
            let counts = CountRules {
                row,
                window,
                dates,
                out_of_window: sum.out_of_window > 0,
                tombstones: stream.deleted.is_some(),
                marks: reader.has_marks(&row.stream)?,
                help_commands,
            };
            check_counts(reader, &counts, sum.facts, collector)?;
        }
    }
    Ok(())
}

/// A date says nothing about windows that are shorter than a day.
fn is_countable(window: &WindowRules, dates: Dates) -> bool {
    !dates.whole_days || window.step.millis == 0
}

/// Whose days a stream's are.
pub fn zone_of(stream: &Stream) -> Tz {
    match &stream.kind {
        StreamKind::Window(rules) => rules.zone,
        StreamKind::Cursor(rules) => rules.zone,
        StreamKind::Snapshot { .. } => Tz::UTC,
    }
}

/// Judges the ledger, partition by partition.
pub fn check_ledger(
    reader: &Reader,
    options: &CheckOptions<'_>,
    stream: &Stream,
    collector: &mut Collector,
) -> Result<LedgerSum, Error> {
    let view = LedgerView {
        stream: &stream.name,
        start: options.starts.get(&stream.name).copied(),
        zone: zone_of(stream),
        now: options.now,
        help_commands: options.help_commands,
    };
    let mut sum = LedgerSum::default();
    let mut partition: Vec<LedgerRow> = Vec::new();
    let mut fullest = Fullest::default();
    let parent = match &stream.for_each {
        Some(parent) => reader.stream(parent)?,
        None => None,
    };
    let gone = parent.as_ref().map(|parent| reader.gone_partitions(parent)).transpose()?;
    let gone = gone.unwrap_or_default();
    let mut end = |facts: &mut Vec<LedgerRow>, sum: &mut LedgerSum| {
        let facts = std::mem::take(facts);
        let Some(name) = facts.first().map(|fact| fact.partition.clone()) else { return };
        if gone.contains(&name) {
            return;
        }
        let (findings, found) = examine_partition(&view, &name, &facts);
        findings.into_iter().for_each(|finding| collector.add(finding));
        sum.add(found);
        sum.complete.extend(facts.iter().filter_map(complete_window));
        if name.is_empty() {
            sum.facts = facts;
        }
    };
    reader.each_ledger_row(&stream.name, &mut |fact| {
        if partition.first().is_some_and(|first| first.partition != fact.partition) {
            end(&mut partition, &mut sum);
        }
        fullest.take(&fact);
        partition.push(fact);
        ControlFlow::Continue(())
    })?;
    end(&mut partition, &mut sum);
    sum.fullest = fullest;
    let mut unread = |name: &str, sum: &mut LedgerSum| {
        let (findings, found) = examine_partition(&view, name, &[]);
        findings.into_iter().for_each(|finding| collector.add(finding));
        sum.add(found);
    };
    if stream.for_each.is_none() {
        if sum.partitions == 0 {
            unread("", &mut sum);
        }
        return Ok(sum);
    }
    let Some(parent) = parent else { return Ok(sum) };
    let mut after = i64::MIN;
    loop {
        let rows = reader.parents(&parent, after, PARENTS_AT_A_TIME)?;
        let Some(last) = rows.last() else { return Ok(sum) };
        after = last.rowid;
        for row in &rows {
            if !reader.is_begun(&stream.name, &row.partition)? {
                unread(&row.partition, &mut sum);
            }
        }
    }
}

fn check_age(
    options: &CheckOptions<'_>,
    stream: &Stream,
    sum: &LedgerSum,
    collector: &mut Collector,
) {
    let Some(newest) = sum.newest else { return };
    let (step, what) = match &stream.kind {
        StreamKind::Window(rules) => (Some(rules.step), "read up to"),
        StreamKind::Snapshot { refresh } => (*refresh, "last read at"),
        StreamKind::Cursor(rules) => (rules.refresh, "last read at"),
    };
    let most = stream.check.age_max(step);
    let zone = zone_of(stream);
    if most.after(newest, zone).is_none_or(|until| until >= options.now) {
        return;
    }
    let age = options.now - newest;
    collector.add(Finding {
        id: identity(&["stale", &stream.name]),
        check: "stale",
        severity: Severity::Warning,
        stream: stream.name.clone(),
        expected: format!("no more than {most} behind now"),
        found: format!("{what} {}, {} ago", instant_to_text(newest), as_span(age)),
        sql: sql_of_newest(&stream.name),
        help: options.help_commands.sync_due(&stream.name),
        first: None,
        until: None,
    });
}

fn check_out_of_window(
    help_commands: &HelpCommands,
    stream: &Stream,
    sum: &LedgerSum,
    collector: &mut Collector,
) {
    let Some(span) = sum.out_of_window_span else { return };
    collector.add(Finding {
        id: identity(&["out_of_window", &stream.name]),
        check: "out_of_window",
        severity: Severity::Warning,
        stream: stream.name.clone(),
        expected: "records inside of the requested range".to_owned(),
        found: format!("{} outside of it, in windows of {span}", many(sum.out_of_window, "record")),
        sql: sql_of_out_of_window(&stream.name),
        help: help_commands.sync(&stream.name, zone_of(stream), span.start(), span.end()),
        first: Some(
            "see whether `window.field`, `timezone` and `bounds` are those of the API".to_owned(),
        ),
        until: Some(span.end()),
    });
}

/// How many rows are gone at their source, and no part of what follows.
fn check_gone(
    reader: &Reader,
    help_commands: &HelpCommands,
    row: &StreamRow,
    collector: &mut Collector,
) -> Result<(), Error> {
    let gone = reader.count(&row.stream)?.gone;
    if gone == 0 {
        return Ok(());
    }
    collector.add(Finding {
        id: identity(&["gone", &row.stream]),
        check: "gone",
        severity: Severity::Info,
        stream: row.stream.clone(),
        expected: "rows that the source still has".to_owned(),
        found: format!("{} marked as gone: no check counts them", many_are(gone, "row")),
        sql: sql_of_gone(&row.stream, &row.key.columns()),
        help: help_commands.command("vanished", &[]),
        first: None,
        until: None,
    });
    Ok(())
}

/// Rows that stand twice, by their key or under another one. Tells whether any do by their key.
fn check_rows(
    reader: &Reader,
    help_commands: &HelpCommands,
    row: &StreamRow,
    collector: &mut Collector,
) -> Result<bool, Error> {
    let key = row.key.columns();
    let severity = Severity::Error;
    if !reader.has_unique_key(&row.stream, &key)?
        && check_duplicates(reader, &row.stream, &key, severity, help_commands, collector)?
    {
        return Ok(true);
    }
    // A hash is made of all that tells records apart: what differs in nothing else is one row.
    let KeyShape::Columns(_) = &row.key else { return Ok(false) };
    let others = row.columns.iter().map(|column| column.name.clone());
    let mut content: Vec<String> = others.filter(|name| !key.contains(name)).collect();
    if content.is_empty() {
        return Ok(false);
    }
    content.push("_rest".to_owned());
    check_twins(reader, &row.stream, &key, &content, help_commands, collector)?;
    Ok(false)
}

/// The column that tells the day of a row, and how it has it: what is declared, the windows'
/// field, or a date of the key.
pub fn date_column(stream: &Stream, row: &StreamRow) -> Option<(String, Dates)> {
    let of_window = match &stream.kind {
        StreamKind::Window(rules) => Some(rules.field.clone()),
        _ => None,
    };
    let key = row.key.columns();
    let mut of_key =
        row.columns.iter().filter(|column| key.contains(&column.name) && column.kind.is_time());
    let name = stream.check.date.clone().or(of_window);
    let name = name.or_else(|| of_key.next().map(|column| column.name.clone()))?;
    let column = row.columns.iter().find(|column| column.name == name)?;
    let whole_days = column.kind.family() == TypeFamily::Date;
    column.kind.is_time().then(|| (name, Dates { whole_days, zone: zone_of(stream) }))
}

/// What is declared, or the key without the date.
fn group_columns(check: &StreamCheck, row: &StreamRow, date: &str) -> Vec<String> {
    let key = match &row.key {
        KeyShape::Columns(columns) | KeyShape::Hash(columns) => columns.clone(),
    };
    let is_there = |name: &String| row.columns.iter().any(|column| column.name == *name);
    let group = check.group.clone().unwrap_or(key).into_iter();
    group.filter(|name| *name != date && is_there(name)).collect()
}

/// What is declared, or all numbers that are no part of a key, a version or a reference.
fn value_columns(stream: &Stream, row: &StreamRow, group: &[String], date: &str) -> Vec<String> {
    let columns = row.columns.iter();
    if let Some(declared) = &stream.check.values {
        let declared = columns.filter(|column| declared.contains(&column.name));
        return declared.map(|column| column.name.clone()).collect();
    }
    let key = row.key.columns();
    let other = |name: &String| {
        !key.contains(name)
            && !group.contains(name)
            && name != date
            && stream.version.as_ref() != Some(name)
            && !stream.references.contains_key(name)
    };
    let numbers = columns.filter(|column| column.kind.is_number() && other(&column.name));
    numbers.map(|column| column.name.clone()).collect()
}

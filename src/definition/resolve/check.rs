//! What is expected of a stream, and what a definition asks of its own.

use std::collections::BTreeSet;

use crate::definition::check::CHECK_TIME_MS;
use crate::definition::context::Context;
use crate::definition::raw::RawStream;
use crate::definition::raw_check::RawCheck;
use crate::definition::{Check, CheckQuestion, Column, ExpectedDates, Severity, StreamCheck};

/// What `windrow check` expects of the stream.
pub(super) fn resolve_stream_check(
    stream: &str,
    raw: &RawStream,
    columns: Option<&[Column]>,
    context: &mut Context<'_>,
) -> StreamCheck {
    let Some(check) = &raw.check else { return StreamCheck::default() };
    let at = |key: &'static str| ["streams", stream, "check", key];
    let calendar = check
        .calendar
        .as_deref()
        .and_then(|text| context.take(&at("calendar"), ExpectedDates::parse(text)));
    if let Some(columns) = columns {
        let known: BTreeSet<String> = columns.iter().map(|column| column.name.clone()).collect();
        let date = check.date.iter().map(|name| ("date", name));
        let group = check.group.iter().flatten().map(|name| ("group", name));
        let values = check.values.iter().flatten().map(|name| ("values", name));
        for (key, name) in date.chain(group).chain(values) {
            match columns.iter().find(|column| column.name == *name) {
                None => context.unknown(&at(key), "the column", name, &known),
                Some(column) => check_kind(&at(key), key, column, context),
            }
        }
    }
    if check.date.is_none() && raw.window.is_none() && check.calendar.is_some() {
        let message = "a calendar needs to know the `date` column of a stream without a `window`";
        context.report(&at("calendar"), message);
    }
    let good = |tolerance: f64| tolerance.is_finite() && tolerance > 0.0;
    if check.tolerance.is_some_and(|tolerance| !good(tolerance)) {
        context.report(&at("tolerance"), "a tolerance is more than 0");
    }
    StreamCheck {
        calendar,
        date: check.date.clone(),
        group: check.group.clone(),
        values: check.values.clone(),
        tolerance: check.tolerance,
        max_age: context.duration(&at("max_age"), check.max_age.as_deref()),
    }
}

fn check_kind(place: &[&str], key: &str, column: &Column, context: &mut Context<'_>) {
    let (fits, what) = match key {
        "date" => (column.kind.is_time(), "date or timestamp"),
        "values" => (column.kind.is_number(), "number"),
        _ => (true, ""),
    };
    if !fits {
        context.report(place, format!("the column `{}` is not a {what}", column.name));
    }
}

/// A question of the definition's own.
pub(super) fn resolve_check(
    name: &str,
    raw: &RawCheck,
    context: &mut Context<'_>,
) -> Option<Check> {
    let place = ["checks", name];
    let question = match (&raw.sql, &raw.table, &raw.key) {
        (Some(sql), None, None) => Some(CheckQuestion::Sql(sql.clone())),
        (None, Some(table), Some(key)) if !key.is_empty() => {
            Some(CheckQuestion::Unique { table: table.clone(), key: key.clone() })
        }
        _ => {
            let message = format!("the check `{name}` needs `sql`, or `table` and `key`");
            context.report(&place, message);
            None
        }
    };
    let usual = if raw.table.is_some() { Severity::Error } else { Severity::Warning };
    let place = ["checks", name, "max_time"];
    Some(Check {
        name: name.to_owned(),
        question: question?,
        severity: raw.severity.unwrap_or(usual),
        help: raw.help.clone(),
        time_ms_max: context.millis(&place, raw.max_time.as_deref(), CHECK_TIME_MS),
    })
}

//! Rows that stand more than once: by their key, and under another key.

use std::ops::ControlFlow;

use crate::check::TwinFact;
use crate::check::evidence::{sql_of_duplicates, sql_of_rows};
use crate::definition::Severity;
use crate::model::numbers::{many, many_are};
use crate::model::{Error, excerpt, printable};
use crate::store::{Reader, Value};

use super::finding::{Collector, Finding, identity};
use super::twins::are_one_record;
use crate::check::help_commands::HelpCommands;

/// Keys that are named.
const EXAMPLES: usize = 3;
/// Groups of equal rows that are looked at closely; in a table where there are more, most are
/// chance, and the others are told by those that come first.
const TWINS_MAX: usize = 10_000;
/// Letters of a value that are shown: enough to find the row, and a finding stays readable.
const VALUE_CHARS_MAX: usize = 60;

/// A value for a person.
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => excerpt(text, VALUE_CHARS_MAX),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

/// Values for a person.
pub fn show_all(values: &[Value]) -> String {
    values.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// Looks for keys that stand more than once, and tells whether there are any.
pub fn check_duplicates(
    reader: &Reader,
    table: &str,
    key: &[String],
    severity: Severity,
    help_commands: &HelpCommands,
    collector: &mut Collector,
) -> Result<bool, Error> {
    let fact = reader.duplicates(table, key, EXAMPLES)?;
    if fact.keys == 0 {
        return Ok(false);
    }
    let mut examples: Vec<String> = fact
        .examples
        .iter()
        .map(|(values, times)| format!("{} ({})", show_all(values), many(*times, "time")))
        .collect();
    if fact.keys > examples.len() as u64 {
        examples.push("…".to_owned());
    }
    collector.add(Finding {
        id: identity(&["duplicates", table]),
        check: "duplicates",
        severity,
        stream: table.to_owned(),
        expected: format!("one row for each ({})", key.join(", ")),
        found: format!(
            "{} more than once, {} too many: {}",
            many(fact.keys, "key"),
            many(fact.extra, "row"),
            examples.join("; ")
        ),
        sql: sql_of_duplicates(table, key),
        help: help_commands.adopt(table, key),
        first: None,
        until: None,
    });
    Ok(true)
}

/// Looks for records that stand under two keys. `content` are all other columns.
pub fn check_twins(
    reader: &Reader,
    table: &str,
    key: &[String],
    content: &[String],
    help_commands: &HelpCommands,
    collector: &mut Collector,
) -> Result<(), Error> {
    let mut twins: Vec<TwinFact> = Vec::new();
    reader.twins(table, content, &collector.since_text(), &mut |twin| {
        twins.push(twin);
        if twins.len() < TWINS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if twins.is_empty() {
        return Ok(());
    }
    let (rows, distinct) = reader.variety(table, content)?;
    twins.retain(|twin| are_one_record(&twin.content, &distinct, rows));
    let pages = reader.kept(table)?.pages;
    for twin in twins {
        let one = reader.row_at(table, key, twin.rows.0)?;
        let other = reader.row_at(table, key, twin.rows.1)?;
        let pairs: Vec<(&str, &Value)> =
            content.iter().map(String::as_str).zip(&twin.content).collect();
        let places: Vec<String> = one.iter().map(show).collect();
        let parts: Vec<&str> = ["near_duplicates", table]
            .into_iter()
            .chain(places.iter().map(String::as_str))
            .collect();
        collector.add(Finding {
            id: identity(&parts),
            check: "near_duplicates",
            severity: Severity::Warning,
            stream: table.to_owned(),
            expected: "one record under one key".to_owned(),
            found: format!(
                "{} equal in every column but the key, such as ({}) and ({})",
                many_are(twin.times, "row"),
                show_all(&one),
                show_all(&other)
            ),
            sql: sql_of_rows(table, &pairs),
            help: match pages {
                0 => help_commands.command("sync", &[]),
                _ => help_commands.command("rebuild", &[table]),
            },
            first: Some(format!(
                "name as the `key` of `{}` the columns that identify its records{}",
                printable(table),
                if pages == 0 { ", and give it another name: no pages of it are kept" } else { "" }
            )),
            until: None,
        });
    }
    Ok(())
}

//! The questions of the definition's own: SQL that should return nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::definition::{Check, CheckQuestion, Definition, DefinitionOrigin, Severity};
use crate::store::{AnswerPart, Reader, Value};

use super::finding::{Collector, Finding, identity};
use super::options::Limit;
use super::tables::{check_duplicates, show};
use crate::check::help_commands::HelpCommands;
use crate::model::{Error, ErrorKind};

/// Rows of an answer that are looked at: a question that has more answers has been answered.
const ROWS_MAX: usize = 1000;
/// Bytes of an answer that are looked at, for the same reason.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a question of a definition that only an archive holds may take, whatever it says of
/// itself, milliseconds. Whoever made the archive decides what is asked, and not how long it takes.
const GIVEN_TIME_MS_MAX: i64 = 5_000;
/// How long all of them may take together, milliseconds: as long as a person waits for an answer.
const GIVEN_TIME_MS_TOTAL: u64 = 30_000;

/// Refuses questions that would write, that are no SQL, or that are about columns which are not
/// there, before anything is looked at.
///
/// Those of a definition that only the archive holds are not refused: what is wrong with one is a
/// finding, so that it does not keep its receiver from the rest.
pub fn refuse_questions(reader: &Reader, definition: &Definition) -> Result<(), Error> {
    if is_given(definition) {
        return Ok(());
    }
    for check in &definition.checks {
        let refused = |error| named(check, error);
        match &check.question {
            CheckQuestion::Sql(sql) => reader.refuse_writing(sql).map_err(refused)?,
            CheckQuestion::Unique { table, key } => {
                refuse_columns(reader, table, key).map_err(refused)?;
            }
        }
    }
    Ok(())
}

/// Says which question an error is about.
fn named(check: &Check, error: Error) -> Error {
    Error { message: format!("the check `{}`: {}", check.name, error.message), ..error }
}

/// Refuses a table that is not there, or has no such column.
pub fn refuse_columns(reader: &Reader, table: &str, key: &[String]) -> Result<(), Error> {
    let columns = reader.columns_of(table)?;
    if columns.is_empty() {
        let message = format!("the archive has no table `{table}`");
        return Err(Error::new(ErrorKind::Query, message)
            .help("`windrow query \"SELECT name FROM sqlite_schema\"` lists the tables"));
    }
    let missing = key.iter().find(|name| !columns.iter().any(|it| it.eq_ignore_ascii_case(name)));
    let Some(missing) = missing else { return Ok(()) };
    let message = format!("the table `{table}` has no column `{missing}`");
    let help = crate::definition::suggest(missing, columns.iter().map(String::as_str));
    let known = format!("its columns are: {}", columns.join(", "));
    Err(Error::new(ErrorKind::Query, message).help(help.unwrap_or(known)))
}

fn is_given(definition: &Definition) -> bool {
    definition.origin != DefinitionOrigin::File
}

/// Asks the questions of a definition. Those of one that only the archive holds are asked on a
/// connection of their own, with limits on what they may do, take and return.
pub fn ask_all(
    reader: &Reader,
    definition: &Definition,
    help_commands: &HelpCommands,
    limit: &Limit,
    collector: &mut Collector,
) -> Result<(), Error> {
    if definition.checks.is_empty() {
        return Ok(());
    }
    if !is_given(definition) {
        reader.allow_views()?;
        let mut each = definition.checks.iter();
        return each.try_for_each(|check| ask(reader, check, help_commands, limit, collector));
    }
    let mut apart = reader.reopen()?;
    limit.also_on(&mut apart)?;
    apart.confine()?;
    let end = limit.millis().saturating_add(GIVEN_TIME_MS_TOTAL);
    for check in &definition.checks {
        let left = i64::try_from(end.saturating_sub(limit.millis())).unwrap_or(i64::MAX);
        let time_ms_max = check.time_ms_max.min(GIVEN_TIME_MS_MAX).min(left);
        let limited = Check { time_ms_max, ..check.clone() };
        // A statement watches its own time; a key of a table has none besides this one.
        let unique = matches!(check.question, CheckQuestion::Unique { .. });
        let time = if unique { time_ms_max } else { i64::MAX };
        let time = Duration::from_millis(u64::try_from(time).unwrap_or(0));
        let asked = limit.within(time, || ask(&apart, &limited, help_commands, limit, collector));
        match asked {
            (Err(error), _) if error.kind == ErrorKind::Query => {
                let found = format!("it could not be run: {}", error.message);
                collector.add(unanswered(check, help_commands, found));
            }
            (Err(error), true) if error.kind == ErrorKind::Interrupted => {
                let found = format!("it did not end within {} seconds", time.as_secs_f64());
                collector.add(unanswered(check, help_commands, found));
            }
            (asked, _) => asked?,
        }
    }
    Ok(())
}

/// The finding that a question of the archive's own got no answer.
fn unanswered(check: &Check, help_commands: &HelpCommands, found: String) -> Finding {
    Finding {
        id: identity(&["sql", &check.name]),
        check: "sql",
        severity: Severity::Warning,
        stream: check.name.clone(),
        expected: "a question that ends within its limits".to_owned(),
        found,
        sql: match &check.question {
            CheckQuestion::Sql(sql) => one_line(sql),
            CheckQuestion::Unique { table, .. } => format!("the table {table}"),
        },
        help: help_commands.command("trust", &[]),
        first: Some("only the archive holds this check; read it before you run it".to_owned()),
        until: None,
    }
}

/// Runs the statement of one question within `limit`, and makes a finding of each row.
fn ask(
    reader: &Reader,
    check: &Check,
    help_commands: &HelpCommands,
    limit: &Limit,
    collector: &mut Collector,
) -> Result<(), Error> {
    let time = Duration::from_millis(u64::try_from(check.time_ms_max).unwrap_or(0));
    let sql = match &check.question {
        CheckQuestion::Unique { table, key } => {
            let severity = check.severity;
            check_duplicates(reader, table, key, severity, help_commands, collector)?;
            return Ok(());
        }
        CheckQuestion::Sql(sql) => sql,
    };
    let mut rows = FirstRows::default();
    let (asked, over) = limit.within(time, || reader.query(sql, &mut |part| rows.take(part)));
    let finding = |part: Option<&str>, severity, found| Finding {
        id: identity(&["sql", &check.name].into_iter().chain(part).collect::<Vec<_>>()),
        check: "sql",
        severity,
        stream: check.name.clone(),
        expected: "a statement that returns no row".to_owned(),
        found,
        sql: one_line(sql),
        help: check
            .help
            .clone()
            .unwrap_or_else(|| help_commands.command("query", &[&one_line(sql)])),
        first: None,
        until: None,
    };
    match asked {
        Err(error) if error.kind == ErrorKind::Interrupted && over => {
            let seconds = time.as_secs_f64();
            let found = format!("it did not end within {seconds} seconds and was interrupted");
            collector.add(finding(None, Severity::Error, found));
        }
        Err(_) if rows.is_full() => {}
        other => other.map_err(|error| named(check, error))?,
    }
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for row in &rows.rows {
        let place = row.first().map(show).unwrap_or_default();
        let times = seen.entry(place.clone()).or_default();
        *times += 1;
        let part = if *times == 1 { place } else { format!("{place} {times}") };
        let cells = rows.names.iter().zip(row).map(|(name, it)| format!("{name} {}", show(it)));
        let found = cells.collect::<Vec<_>>().join(", ");
        collector.add(finding(Some(&part), check.severity, found));
    }
    Ok(())
}

/// A statement on one line. What stands in quotes stays as it is; comments go.
fn one_line(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut quote: Option<char> = None;
    let mut letters = sql.trim().trim_end_matches(';').trim_end().chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(end), _) => {
                out.push(letter);
                quote = quote.filter(|_| letter != end);
            }
            (None, '\'' | '"' | '`' | '[') => {
                out.push(letter);
                quote = Some(if letter == '[' { ']' } else { letter });
            }
            (None, '-') if letters.peek() == Some(&'-') => {
                letters.by_ref().find(|letter| *letter == '\n');
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            (None, letter) if letter.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            (None, _) => out.push(letter),
        }
    }
    out.trim_end().to_owned()
}

#[derive(Default)]
struct FirstRows {
    names: Vec<String>,
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl FirstRows {
    fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX || self.bytes >= ANSWER_BYTES_MAX
    }

    fn take(&mut self, part: AnswerPart<'_>) -> std::io::Result<()> {
        let values = match part {
            AnswerPart::Columns(names) => {
                names.clone_into(&mut self.names);
                return Ok(());
            }
            AnswerPart::Row(values) => values,
        };
        let sizes = values.iter().map(|value| match value {
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
            _ => size_of::<Value>(),
        });
        self.bytes += sizes.sum::<usize>();
        self.rows.push(values);
        if self.is_full() { Err(std::io::Error::other("enough")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_on_one_line_and_says_the_same() {
        let cases = [
            ("SELECT 1;\n", "SELECT 1"),
            ("SELECT a, -- all of it\n   b\nFROM t", "SELECT a, b FROM t"),
            ("SELECT 'two  --\nlines', \"a  b\"", "SELECT 'two  --\nlines', \"a  b\""),
            ("SELECT 'it''s' - -1", "SELECT 'it''s' - -1"),
        ];
        for (sql, shown) in cases {
            assert_eq!(one_line(sql), shown);
        }
    }
}

//! The questions of the definition's own: SQL that should return nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::archive::{Answer, ArchiveError, Cause, Reader, Value};
use crate::definition::{Check, Question, Severity};

use super::finding::{Collector, Finding, identity};
use super::gather::Limit;
use super::mend::Mender;
use super::tables::{check_duplicates, show};

/// Rows of an answer that are looked at: a question that has more answers has been answered.
const ROWS_MAX: usize = 1000;

/// Refuses questions that would write, that are no SQL, or that are about columns which are not
/// there, before anything is looked at.
pub fn refuse_questions(reader: &Reader, checks: &[Check]) -> Result<(), ArchiveError> {
    for check in checks {
        let refused = |error| named(check, error);
        match &check.question {
            Question::Sql(sql) => reader.refuse_writing(sql).map_err(refused)?,
            Question::Unique { table, key } => {
                refuse_columns(reader, table, key).map_err(refused)?;
            }
        }
    }
    Ok(())
}

/// Says which question an error is about.
fn named(check: &Check, error: ArchiveError) -> ArchiveError {
    ArchiveError { message: format!("the check `{}`: {}", check.name, error.message), ..error }
}

/// Refuses a table that is not there, or has no such column.
pub fn refuse_columns(reader: &Reader, table: &str, key: &[String]) -> Result<(), ArchiveError> {
    let columns = reader.columns_of(table)?;
    if columns.is_empty() {
        let message = format!("the archive has no table `{table}`");
        return Err(ArchiveError::new(Cause::Query, message)
            .cure("`windrow query \"SELECT name FROM sqlite_schema\"` lists the tables"));
    }
    let missing = key.iter().find(|name| !columns.iter().any(|it| it.eq_ignore_ascii_case(name)));
    let Some(missing) = missing else { return Ok(()) };
    let message = format!("the table `{table}` has no column `{missing}`");
    let cure = crate::definition::suggest(missing, columns.iter().map(String::as_str));
    let known = format!("its columns are: {}", columns.join(", "));
    Err(ArchiveError::new(Cause::Query, message).cure(cure.unwrap_or(known)))
}

/// Asks one question.
pub fn ask(
    reader: &Reader,
    check: &Check,
    mender: &Mender,
    limit: &Limit,
    collector: &mut Collector,
) -> Result<(), ArchiveError> {
    let time = Duration::from_millis(u64::try_from(check.time_ms_max).unwrap_or(0));
    let sql = match &check.question {
        Question::Unique { table, key } => {
            let severity = check.severity;
            check_duplicates(reader, table, key, severity, mender, collector)?;
            return Ok(());
        }
        Question::Sql(sql) => sql,
    };
    let mut rows = FirstRows::default();
    let (asked, over) = limit.within(time, || reader.query(sql, &mut rows));
    let finding = |part: Option<&str>, severity, found| Finding {
        id: identity(&["sql", &check.name].into_iter().chain(part).collect::<Vec<_>>()),
        check: "sql",
        severity,
        stream: check.name.clone(),
        expected: "a statement that returns no row".to_owned(),
        found,
        sql: one_line(sql),
        mend: check.mend.clone().unwrap_or_else(|| mender.command("query", &[&one_line(sql)])),
        first: None,
        until: None,
    };
    match asked {
        Err(error) if error.cause == Cause::Interrupted && over => {
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
}

impl FirstRows {
    fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX
    }
}

impl Answer for FirstRows {
    fn columns(&mut self, names: &[String]) -> std::io::Result<()> {
        names.clone_into(&mut self.names);
        Ok(())
    }

    fn row(&mut self, values: Vec<Value>) -> std::io::Result<()> {
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

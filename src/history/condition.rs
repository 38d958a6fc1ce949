//! A person's own condition on the rows of streams: one expression in SQL, and nothing else.

use rusqlite::Connection;

use crate::history::rows::{RowSource, in_brackets};
use crate::model::{Error, ErrorKind};
use crate::store::error::at;
use crate::store::history::keeps_versions;
use crate::store::query::is_of_the_query;
use crate::store::reader::Reader;
use crate::store::sql::{history_name, quote};

/// The rows of a table that meet a condition: a temporary table of their numbers.
pub(crate) struct Staying {
    /// The stream's table or its history.
    pub table: String,
    /// The table with the numbers, in the column `row`.
    pub rows: String,
}

impl RowSource {
    /// Whether `condition` is one condition on the rows of this stream; says why not.
    pub fn check_condition(&self, stream: &str, condition: &str) -> Result<(), Error> {
        match self {
            RowSource::Now(reader) => reader.check_condition_on(stream, stream, condition),
            RowSource::Then(past) => past
                .reader()
                .check_condition_on(stream, stream, condition)
                .map_err(|error| past.explained(error)),
        }
    }
}

impl Reader {
    /// Whether `condition` is one condition on the rows of these streams, and of their histories;
    /// says why not.
    pub fn check_condition(&self, streams: &[String], condition: &str) -> Result<(), Error> {
        for stream in streams {
            for table in tables_of(&self.connection, stream).map_err(at(&self.path))? {
                self.check_condition_on(stream, &table, condition)?;
            }
        }
        Ok(())
    }

    /// Where it stands bare, its brackets are balanced and it is no SELECT of its own; where it
    /// stands in brackets, nothing follows it, no clause and no comment. What is right in both
    /// places is one expression.
    fn check_condition_on(&self, stream: &str, table: &str, condition: &str) -> Result<(), Error> {
        let refuse = |why: &str| Err(wrong_condition(stream, condition, why));
        let from = format!("SELECT 1 FROM {} AS {} WHERE", quote(table), quote(stream));
        for place in [format!("\n{condition}\n"), in_brackets(condition)] {
            let sql = format!("{from} {place}");
            let statement = match self.statement_that_reads(&sql) {
                Err(error) if error.kind == ErrorKind::Query => return refuse(&error.message),
                other => other?,
            };
            if statement.parameter_count() > 0 {
                return refuse("it has a parameter, and nothing is given for it");
            }
        }
        // It is refused when it runs, which it may not do where there are no rows.
        let sql = format!("EXPLAIN {from} {}", in_brackets(condition));
        let loads = self.run(|connection| {
            let mut statement = connection.prepare(&sql)?;
            let mut steps = statement.raw_query();
            while let Some(step) = steps.next()? {
                let operand = step.get_ref("p4")?.as_str_or_null().unwrap_or_default();
                if operand.is_some_and(|called| called.starts_with("load_extension(")) {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        if loads { refuse("it may not load anything") } else { Ok(()) }
    }

    /// Tells a condition that fails as it runs from an error of the archive.
    pub(crate) fn condition_failed(
        &self,
        stream: &str,
        condition: &str,
        error: rusqlite::Error,
    ) -> Error {
        match is_of_the_query(&error) {
            true => wrong_condition(stream, condition, &error.to_string()),
            false => at(&self.path)(error),
        }
    }

    /// Notes which rows of each stream and of its history meet the condition, before any of them
    /// is taken out: a condition may ask other tables.
    pub(crate) fn decide_rows(
        &self,
        streams: &[String],
        condition: &str,
    ) -> Result<Vec<Staying>, Error> {
        let mut decided = Vec::new();
        for stream in streams {
            for table in tables_of(&self.connection, stream).map_err(at(&self.path))? {
                let rows = format!("_windrow_staying_{}", decided.len());
                let make = format!("CREATE TEMP TABLE {rows} (row INTEGER PRIMARY KEY)");
                self.run(|connection| connection.execute_batch(&make))?;
                let sql = format!(
                    "INSERT INTO temp.{rows} SELECT {alias}._rowid_ FROM main.{} AS {alias}
                     WHERE {}",
                    quote(&table),
                    in_brackets(condition),
                    alias = quote(stream),
                );
                let noted = self.connection.execute(&sql, []);
                noted.map_err(|error| self.condition_failed(stream, condition, error))?;
                decided.push(Staying { table, rows });
            }
        }
        Ok(decided)
    }
}

fn wrong_condition(stream: &str, condition: &str, why: &str) -> Error {
    let why = why.strip_prefix("the query is wrong: ").unwrap_or(why);
    // Where in a statement of ours it is says nothing to whoever wrote the condition.
    let why = why.split(" in SELECT 1 FROM ").next().unwrap_or(why);
    let message = format!("the condition `{condition}` cannot be asked of `{stream}`: {why}");
    Error::new(ErrorKind::Query, message).help(
        "give one expression in SQL, such as \"usage_date >= '2026-03-01'\", and name streams \
         that have its columns",
    )
}

fn tables_of(connection: &Connection, stream: &str) -> rusqlite::Result<Vec<String>> {
    let mut tables = vec![stream.to_owned()];
    if keeps_versions(connection, stream)? {
        tables.push(history_name(stream));
    }
    Ok(tables)
}

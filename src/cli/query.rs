//! `windrow query`: SQL that reads.

use std::io::{Read, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::cli::text::{markdown, plain_table};
use crate::export::{AnswerCsv, AnswerJson, TextRules, value_text};
use crate::history::{Past, as_of};
use crate::host::{Host, Stop};
use crate::model::{Error, ErrorKind, ExitCode, printable};
use crate::store::{AnswerPart, Reader, TakeAnswer, Value};

use super::args::{Format, QueryArguments};
use super::global::Global;
use super::output::{Output, OutputWriter, taken};
use super::workspace::load_for_reading;

/// Where SQL is run.
enum QueriedArchive {
    Now(Reader),
    Then(Past),
}

impl QueriedArchive {
    fn query(&self, sql: &str, take: &mut TakeAnswer<'_>) -> Result<(), Error> {
        match self {
            QueriedArchive::Now(reader) => reader.query(sql, take),
            QueriedArchive::Then(past) => past.query(sql, take),
        }
    }
}

pub fn run(
    args: &QueryArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (definition, path) = load_for_reading(global, host)?;
    let mut reader = Reader::open(&path)?;
    if global.definition.exists() && definition.is_some() {
        reader.allow_views()?;
    }
    let stop = host.stop.clone();
    reader.end_when(move || stop.cause().is_some())?;
    let reader = match &args.as_of {
        None => QueriedArchive::Now(reader),
        Some(when) => {
            let moment = as_of(when, &reader, host.clock.now())?;
            QueriedArchive::Then(Past::of(reader, &moment)?)
        }
    };
    let sql = match args.sql.as_str() {
        "-" => match from_stdin(&host.stop)? {
            Some(sql) => sql,
            None => return Ok(host.stop.cause().map_or(ExitCode::Done, ExitCode::from)),
        },
        sql => sql.to_owned(),
    };
    let format = if output.json() { Format::Json } else { args.format };
    if args.excel_safe && format != Format::Csv {
        let failure = Error::usage("--excel-safe is for CSV");
        return Err(failure.help("add `--format csv`, or leave it out"));
    }
    let mut out = output.rows(written(format));
    let result = match format {
        Format::Csv => {
            let rules = TextRules { guard: args.excel_safe, terminal: output.shown() };
            let mut csv = AnswerCsv::new(&mut out, rules);
            reader.query(&sql, &mut |part| csv.take(part))
        }
        Format::Ndjson => {
            let mut json = AnswerJson::new(&mut out, false);
            reader.query(&sql, &mut |part| json.take(part))
        }
        Format::Json => {
            let mut json = AnswerJson::new(&mut out, true);
            let result = reader.query(&sql, &mut |part| json.take(part));
            if result.is_ok() {
                taken(json.end())?;
            }
            result
        }
        Format::Table | Format::Markdown => {
            let mut table = TableAnswer::default();
            let result = reader.query(&sql, &mut |part| {
                table.take(part);
                Ok(())
            });
            if result.is_ok() {
                taken(out.write_all(table.text(format).as_bytes()))?;
            }
            result
        }
    };
    taken(out.flush())?;
    match result {
        Err(error) if error.kind == ErrorKind::Interrupted => match host.stop.cause() {
            Some(stop) => Ok(stop.into()),
            None => Err(error),
        },
        // A reader that has gone away, as `| head` does, has seen what it wanted.
        Err(error) if error.kind == ErrorKind::Gone => Ok(ExitCode::Done),
        other => {
            other?;
            Ok(ExitCode::Done)
        }
    }
}

fn written(format: Format) -> OutputWriter {
    match format {
        Format::Csv => OutputWriter::Text,
        Format::Json | Format::Ndjson => OutputWriter::Json,
        Format::Table | Format::Markdown => OutputWriter::Page,
    }
}

/// How often it is looked whether somebody wants the end while nothing comes in, milliseconds.
const LOOK_MS: u64 = 50;

/// The whole of standard input; none where somebody wanted the end before it came.
fn from_stdin(stop: &Stop) -> Result<Option<String>, Error> {
    // Nothing ends a read that waits; the process ends without it.
    let (put, take) = mpsc::channel();
    std::thread::spawn(move || {
        let mut sql = String::new();
        // Whoever has gone wants it no more.
        let _ = put.send(std::io::stdin().read_to_string(&mut sql).map(|_| sql));
    });
    loop {
        match take.recv_timeout(Duration::from_millis(LOOK_MS)) {
            Err(RecvTimeoutError::Timeout) if stop.cause().is_some() => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(Some(String::new())),
            Ok(read) => {
                return read.map(Some).map_err(|error| {
                    let message = format!("cannot read the query from standard input: {error}");
                    Error::usage(message)
                });
            }
        }
    }
}

#[derive(Default)]
struct TableAnswer {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    numeric: Vec<bool>,
}

impl TableAnswer {
    fn text(&self, format: Format) -> String {
        match format {
            Format::Markdown => markdown(&self.names, &self.rows),
            _ => plain_table(&self.names, &self.rows, &self.numeric),
        }
    }

    fn take(&mut self, part: AnswerPart<'_>) {
        match part {
            AnswerPart::Columns(names) => {
                self.names = names.iter().map(|name| printable(name)).collect();
                self.numeric = vec![true; names.len()];
            }
            AnswerPart::Row(values) => {
                for (numeric, value) in self.numeric.iter_mut().zip(&values) {
                    *numeric &= matches!(value, Value::Integer(_) | Value::Real(_) | Value::Null);
                }
                self.rows.push(values.iter().map(|value| printable(&value_text(value))).collect());
            }
        }
    }
}

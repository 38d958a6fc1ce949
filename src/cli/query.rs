//! `windrow query`: SQL that reads.

use std::io::{Read, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cli::text::{markdown, plain_table};
use crate::export::TextRules;
use crate::history::Past;
use crate::host::{Host, Stop};
use crate::model::{Error, ErrorKind, ExitCode, printable};
use crate::store::{QuerySink, Reader, Value};

use super::args::{Format, Global, QueryArguments};
use super::moment::as_of;
use super::output::{Output, OutputWriter, taken};
use super::workspace::load_for_reading;

/// Where SQL is run.
enum Asked {
    Now(Reader),
    Then(Past),
}

impl Asked {
    fn query(&self, sql: &str, answer: &mut dyn QuerySink) -> Result<(), Error> {
        match self {
            Asked::Now(reader) => reader.query(sql, answer),
            Asked::Then(past) => past.query(sql, answer),
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
        None => Asked::Now(reader),
        Some(when) => {
            let moment = as_of(when, &reader, host.clock.now())?;
            Asked::Then(Past::of(reader, &moment)?)
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
            reader.query(&sql, &mut Csv { out: csv::Writer::from_writer(&mut out), rules })
        }
        Format::Ndjson => reader.query(&sql, &mut Json::new(&mut out, false)),
        Format::Json => {
            let mut json = Json::new(&mut out, true);
            let result = reader.query(&sql, &mut json);
            if result.is_ok() {
                json.end()?;
            }
            result
        }
        Format::Table | Format::Markdown => {
            let mut table = TableAnswer::default();
            let result = reader.query(&sql, &mut table);
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
    // Nothing ends a fetch that waits; the process ends without it.
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

/// A value as JSON; blobs in base64.
pub fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        other => text(other).into(),
    }
}

/// A value as text; NULL is empty.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => real(*number),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => STANDARD.encode(bytes),
    }
}

/// From here on the digits before the point are no longer all the number's own.
const PLAIN_BELOW: f64 = 1e16;
/// Below it more zeros than digits follow the point.
const PLAIN_FROM: f64 = 1e-5;

/// The shortest text that is this number and no other, with an exponent where it is shorter so.
fn real(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (PLAIN_FROM..PLAIN_BELOW).contains(&size) || !size.is_finite() {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

/// The operating system's error in an error of the CSV writer, with its kind.
fn io_of(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}

struct Csv<W: Write> {
    out: csv::Writer<W>,
    rules: TextRules,
}

impl<W: Write> QuerySink for Csv<W> {
    fn columns(&mut self, names: &[String]) -> std::io::Result<()> {
        let names = names.iter().map(|name| self.rules.text(name, false).into_owned());
        self.out.write_record(names).map_err(io_of)
    }

    fn row(&mut self, values: Vec<Value>) -> std::io::Result<()> {
        let cells = values.iter().map(|value| {
            let number = matches!(value, Value::Integer(_) | Value::Real(_));
            self.rules.text(&text(value), number).into_owned()
        });
        self.out.write_record(cells).map_err(io_of)
    }
}

/// Objects, one a line; with `array` in brackets.
struct Json<'w, W: Write> {
    out: &'w mut W,
    names: Vec<String>,
    array: bool,
    any: bool,
}

impl<'w, W: Write> Json<'w, W> {
    fn new(out: &'w mut W, array: bool) -> Self {
        Self { out, names: Vec::new(), array, any: false }
    }

    fn end(&mut self) -> Result<(), Error> {
        let close: &[u8] = if self.any { b"\n]\n" } else { b"[]\n" };
        taken(self.out.write_all(close))
    }
}

impl<W: Write> QuerySink for Json<'_, W> {
    fn columns(&mut self, names: &[String]) -> std::io::Result<()> {
        // An object has each name once: the second `a` becomes `a_2`.
        for name in names {
            let mut unique = name.clone();
            let mut number = 1;
            while self.names.contains(&unique) {
                number += 1;
                unique = format!("{name}_{number}");
            }
            self.names.push(unique);
        }
        Ok(())
    }

    fn row(&mut self, values: Vec<Value>) -> std::io::Result<()> {
        let mut object = serde_json::Map::new();
        for (name, value) in self.names.iter().zip(values) {
            object.insert(name.clone(), json_value(&value));
        }
        if self.array {
            self.out.write_all(if self.any { b",\n" } else { b"[\n" })?;
        }
        self.any = true;
        serde_json::to_writer(&mut *self.out, &object)?;
        if self.array { Ok(()) } else { self.out.write_all(b"\n") }
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
}

impl QuerySink for TableAnswer {
    fn columns(&mut self, names: &[String]) -> std::io::Result<()> {
        self.names = names.iter().map(|name| printable(name)).collect();
        self.numeric = vec![true; names.len()];
        Ok(())
    }

    fn row(&mut self, values: Vec<Value>) -> std::io::Result<()> {
        for (numeric, value) in self.numeric.iter_mut().zip(&values) {
            *numeric &= matches!(value, Value::Integer(_) | Value::Real(_) | Value::Null);
        }
        self.rows.push(values.iter().map(|value| printable(&text(value))).collect());
        Ok(())
    }
}

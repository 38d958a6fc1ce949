//! The answer to a query as CSV and as JSON.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::store::{AnswerPart, Value};

use super::text::TextRules;

/// A value as JSON; blobs in base64.
pub fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        other => value_text(other).into(),
    }
}

/// A value as text; NULL is empty.
pub fn value_text(value: &Value) -> String {
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

/// Writes the answer of a query as CSV.
pub struct AnswerCsv<W: Write> {
    out: csv::Writer<W>,
    rules: TextRules,
}

impl<W: Write> AnswerCsv<W> {
    /// Takes the writer and the rules; nothing is written before the first row.
    pub fn new(out: W, rules: TextRules) -> Self {
        Self { out: csv::Writer::from_writer(out), rules }
    }

    /// Writes the header or a row as one line.
    pub fn take(&mut self, part: AnswerPart<'_>) -> std::io::Result<()> {
        let rules = self.rules;
        match part {
            AnswerPart::Columns(names) => {
                let names = names.iter().map(|name| rules.text(name, false).into_owned());
                self.out.write_record(names).map_err(io_of)
            }
            AnswerPart::Row(values) => {
                let cells = values.iter().map(|value| {
                    let number = matches!(value, Value::Integer(_) | Value::Real(_));
                    rules.text(&value_text(value), number).into_owned()
                });
                self.out.write_record(cells).map_err(io_of)
            }
        }
    }
}

/// Rows as JSON objects, one a line; with `array` in brackets.
pub struct AnswerJson<W> {
    out: W,
    names: Vec<String>,
    array: bool,
    any: bool,
}

impl<W: Write> AnswerJson<W> {
    /// Takes the writer; nothing is written before the first part. `array` puts the rows into one.
    pub fn new(out: W, array: bool) -> Self {
        Self { out, names: Vec::new(), array, any: false }
    }

    /// Writes the bracket that closes an array.
    pub fn end(&mut self) -> std::io::Result<()> {
        let close: &[u8] = if self.any { b"\n]\n" } else { b"[]\n" };
        self.out.write_all(close)
    }

    /// Writes a row as one object; the columns come first and name its members.
    pub fn take(&mut self, part: AnswerPart<'_>) -> std::io::Result<()> {
        match part {
            AnswerPart::Columns(names) => {
                self.name(names);
                Ok(())
            }
            AnswerPart::Row(values) => self.row(&values),
        }
    }

    /// An object has each name once: the second `a` becomes `a_2`.
    fn name(&mut self, names: &[String]) {
        for name in names {
            let mut unique = name.clone();
            let mut number = 1;
            while self.names.contains(&unique) {
                number += 1;
                unique = format!("{name}_{number}");
            }
            self.names.push(unique);
        }
    }

    fn row(&mut self, values: &[Value]) -> std::io::Result<()> {
        let mut object = serde_json::Map::new();
        for (name, value) in self.names.iter().zip(values) {
            object.insert(name.clone(), json_value(value));
        }
        if self.array {
            self.out.write_all(if self.any { b",\n" } else { b"[\n" })?;
        }
        self.any = true;
        serde_json::to_writer(&mut self.out, &object)?;
        if self.array { Ok(()) } else { self.out.write_all(b"\n") }
    }
}

//! Rows as CSV (RFC 4180) and as NDJSON.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::definition::{ColumnType, TypeFamily};
use crate::history::Stored;
use crate::model::{printable, printable_json};

use super::column::{ExportColumn, boolean, is_json, number, real_text, shown};
use super::error::RowFault;
use super::formula::without_formulas;

/// A writer of rows in one format.
pub trait RowWriter {
    /// Takes a row, a value for each column.
    fn row(&mut self, row: &[Stored<'_>]) -> Result<(), RowFault>;
    /// Writes what is left.
    fn finish(&mut self) -> std::io::Result<()>;
}

/// How text is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextRules {
    /// Put `'` before what a spreadsheet would run as a formula.
    pub guard: bool,
    /// A person looks: escape what steers a terminal.
    pub terminal: bool,
}

impl TextRules {
    /// Text as it stands in a field of CSV; `number` says that it is one by its type.
    pub fn text<'t>(&self, text: &'t str, number: bool) -> Cow<'t, str> {
        let text = match self.guard && !number {
            true => without_formulas(text),
            false => Cow::Borrowed(text),
        };
        if self.terminal { Cow::Owned(printable(&text)) } else { text }
    }
}

/// Writes rows as comma-separated values (RFC 4180).
pub struct Csv<W> {
    out: W,
    kinds: Vec<ColumnType>,
    rules: TextRules,
    line: String,
}

impl<W: Write> Csv<W> {
    /// Writes the line of names.
    pub fn new(mut out: W, columns: &[ExportColumn], rules: TextRules) -> std::io::Result<Self> {
        let mut line = String::new();
        for (at, column) in columns.iter().enumerate() {
            line.push_str(if at > 0 { "," } else { "" });
            push_field(&rules.text(&column.name, false), &mut line);
        }
        line.push_str("\r\n");
        out.write_all(line.as_bytes())?;
        Ok(Self { out, kinds: columns.iter().map(|column| column.kind).collect(), rules, line })
    }

    fn push_text(&mut self, text: &str, kind: ColumnType) {
        let numeric = kind.may_store_digits() && number(Stored::Text(text)).is_some();
        push_field(&self.rules.text(text, numeric), &mut self.line);
    }
}

impl<W: Write> RowWriter for Csv<W> {
    fn row(&mut self, row: &[Stored<'_>]) -> Result<(), RowFault> {
        self.line.clear();
        for (at, value) in row.iter().enumerate() {
            self.line.push_str(if at > 0 { "," } else { "" });
            let kind = self.kinds[at];
            match *value {
                Stored::Null => {}
                Stored::Integer(number) => self.line.push_str(&integer(number, kind)),
                Stored::Real(number) => self.line.push_str(&real_text(number)),
                Stored::Text(text) => self.push_text(text, kind),
                Stored::Blob(bytes) => push_field(&STANDARD.encode(bytes), &mut self.line),
                Stored::NotText(_) => return Err(not_utf8(at, *value)),
            }
        }
        self.line.push_str("\r\n");
        Ok(self.out.write_all(self.line.as_bytes())?)
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A field, in quotes where it needs them. An empty text has them, so that it is not NULL.
fn push_field(text: &str, out: &mut String) {
    if !text.is_empty() && !text.contains([',', '"', '\r', '\n']) {
        out.push_str(text);
        return;
    }
    out.push('"');
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

fn integer(number: i64, kind: ColumnType) -> String {
    match (kind.family(), boolean(Stored::Integer(number))) {
        (TypeFamily::Boolean, Some(value)) => value.to_string(),
        _ => number.to_string(),
    }
}

fn not_utf8(column: usize, value: Stored<'_>) -> RowFault {
    RowFault::Value { column, what: shown(value) }
}

/// One JSON object a line.
pub struct Ndjson<W> {
    out: W,
    kinds: Vec<ColumnType>,
    /// What stands before each value.
    heads: Vec<String>,
    rules: TextRules,
    line: String,
}

impl<W: Write> Ndjson<W> {
    /// Takes the writer and the columns; nothing is written before the first row.
    pub fn new(out: W, columns: &[ExportColumn], rules: TextRules) -> Self {
        let head = |(at, column): (usize, &ExportColumn)| {
            format!("{}{}:", if at > 0 { "," } else { "{" }, json_text(&column.name))
        };
        let heads = columns.iter().enumerate().map(head).collect();
        let kinds = columns.iter().map(|column| column.kind).collect();
        Self { out, kinds, heads, rules, line: String::new() }
    }

    fn push(&mut self, at: usize, value: Stored<'_>) -> Result<(), RowFault> {
        let kind = self.kinds[at];
        let numeric = kind.may_store_digits();
        match value {
            Stored::Null => self.line.push_str("null"),
            Stored::Integer(number) => self.line.push_str(&integer(number, kind)),
            Stored::Real(number) if number.is_finite() => self.line.push_str(&real_text(number)),
            Stored::Real(number) => {
                let what = format!("{number}, which JSON has no number for");
                return Err(RowFault::Value { column: at, what });
            }
            Stored::Text(text) if numeric && number(value).is_some() => self.line.push_str(text),
            Stored::Text(text) if kind.family() == TypeFamily::Json && is_json(value) => {
                // A line end inside JSON is only white space; one inside a string is escaped.
                self.line
                    .extend(text.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
            }
            Stored::Text(text) => self.line.push_str(&json_text(text)),
            Stored::Blob(bytes) => self.line.push_str(&json_text(&STANDARD.encode(bytes))),
            Stored::NotText(_) => return Err(not_utf8(at, value)),
        }
        Ok(())
    }
}

impl<W: Write> RowWriter for Ndjson<W> {
    fn row(&mut self, row: &[Stored<'_>]) -> Result<(), RowFault> {
        self.line.clear();
        for (at, value) in row.iter().enumerate() {
            self.line.push_str(&self.heads[at]);
            self.push(at, *value)?;
        }
        if self.rules.terminal {
            self.line = printable_json(&self.line);
        }
        self.line.push_str("}\n");
        Ok(self.out.write_all(self.line.as_bytes())?)
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn json_text(text: &str) -> String {
    serde_json::to_string(text).expect("text can always be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_shown_on_one() {
        let column = |name: &str| ExportColumn {
            name: name.to_owned(),
            kind: ColumnType::Text,
            required: false,
        };
        let columns = [column("a"), column("b")];
        let rules = TextRules { guard: false, terminal: true };
        let row = [Stored::Text("\u{1b}[2J"), Stored::Text("x\u{202e}")];
        let (mut csv, mut ndjson) = (Vec::new(), Vec::new());
        Csv::new(&mut csv, &columns, rules).expect("a head").row(&row).expect("a row");
        Ndjson::new(&mut ndjson, &columns, rules).row(&row).expect("a row");
        let csv = String::from_utf8(csv).expect("text");
        assert_eq!(csv, "a,b\r\n\\u{1b}[2J,x\\u{202e}\r\n");
        let ndjson = String::from_utf8(ndjson).expect("text");
        assert_eq!(ndjson, "{\"a\":\"\\u001b[2J\",\"b\":\"x\\u202e\"}\n");
    }
}

//! Which of several records of one key is kept, and what they are ranked by.

use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;

use crate::definition::{ColumnType, OnConflict, Segment, Stream, TimeFormat};
use crate::model::{Cell, Error, RowSet, excerpt, instant_to_text};
use crate::record::{RecordReader, text_at};
use crate::store::Value;

use super::file::FileRecord;
use super::matching::ColumnMatching;

/// Which record of a key is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The first of the file.
    First,
    /// The last of the file.
    Last,
    /// The one with the latest time in this column or field.
    Newest(String),
    /// The one with the highest number or text in this column or field.
    Highest(String),
    /// The one that agrees with what the API has said; none where it has not said anything and
    /// the records differ.
    Api,
}

impl Keep {
    /// The rule by which the stream itself decides between two records of a page.
    pub fn of(stream: &Stream) -> Keep {
        match (&stream.version, stream.on_conflict) {
            (Some(version), _) => Keep::Highest(version.clone()),
            (None, OnConflict::Keep) => Keep::First,
            (None, OnConflict::Update) => Keep::Last,
        }
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Keep, String> {
        match text.split_once(':') {
            None if text == "first" => Ok(Keep::First),
            None if text == "last" => Ok(Keep::Last),
            None if text == "api" => Ok(Keep::Api),
            Some(("newest", column)) if !column.is_empty() => Ok(Keep::Newest(column.to_owned())),
            Some(("highest", column)) if !column.is_empty() => Ok(Keep::Highest(column.to_owned())),
            _ => Err("expected newest:COLUMN, highest:COLUMN, first, last or api".to_owned()),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::First => out.write_str("first"),
            Keep::Last => out.write_str("last"),
            Keep::Newest(column) => write!(out, "newest:{column}"),
            Keep::Highest(column) => write!(out, "highest:{column}"),
            Keep::Api => out.write_str("api"),
        }
    }
}

/// Where a rank comes from.
#[derive(Clone, Debug)]
enum RankSource {
    None,
    /// A cell of the row, of a column of this type.
    Cell(usize, ColumnType),
    /// A field of the file that is no column: its place, and its name.
    Field(Option<usize>, String),
}

/// Ranks records, and sees to it that all of them can be compared.
#[derive(Clone, Debug)]
pub struct Ranking {
    source: RankSource,
    column: String,
    newest: bool,
    zone: Tz,
    seen: Option<(&'static str, i64)>,
}

impl Ranking {
    /// Makes a ranking by a rule. The column may be one of the stream's, or a field of the file.
    pub fn new(
        keep: &Keep,
        matching: &ColumnMatching,
        reader: &RecordReader,
        tabular: bool,
        zone: Option<Tz>,
    ) -> Result<Self, Error> {
        let zone = zone.unwrap_or(Tz::UTC);
        let (Keep::Newest(column) | Keep::Highest(column)) = keep else {
            let column = String::new();
            return Ok(Self { source: RankSource::None, column, newest: false, zone, seen: None });
        };
        let of_stream = matching
            .columns
            .iter()
            .find(|have| have.name == *column && !matching.absent.contains(column));
        let source = match (of_stream, reader.cell_of(column)) {
            (Some(have), Some(cell)) => RankSource::Cell(cell, have.kind),
            _ => RankSource::Field(matching.field(column), column.clone()),
        };
        if tabular && matches!(source, RankSource::Field(None, _)) {
            let message = format!("the file has no column `{column}` to choose by");
            return Err(Error::usage(message).help("name another, or keep `first` or `last`"));
        }
        let newest = matches!(keep, Keep::Newest(_));
        Ok(Self { source, column: column.clone(), newest, zone, seen: None })
    }

    /// The rank of the record whose row is `at`; the larger one is kept.
    pub fn rank(
        &mut self,
        place: i64,
        record: &FileRecord<'_>,
        rows: &RowSet,
        at: usize,
    ) -> Result<Value, Error> {
        let value = match &self.source {
            RankSource::None => return Ok(Value::Null),
            RankSource::Cell(cell, kind) => cell_value(rows, rows.row(at)[*cell], *kind),
            RankSource::Field(field, name) => match (record, field) {
                (FileRecord::Fields(values), Some(field)) => number_or_text(values.get(*field)),
                (FileRecord::Json(raw), _) => member_value(raw, name),
                (FileRecord::Fields(_), None) => Value::Null,
            },
        };
        let (form, rank) = match value {
            Value::Null => return Ok(Value::Null),
            Value::Text(text) => match self.newest.then(|| self.time(&text)).flatten() {
                Some(time) => ("a time", Value::Text(time)),
                None if self.newest => return Err(self.no_time(place, &text)),
                None => ("a text", Value::Text(text)),
            },
            Value::Blob(_) => return Err(self.no_time(place, "bytes")),
            number => ("a number", number),
        };
        match self.seen {
            Some((other, where_)) if other != form => {
                let column = &self.column;
                let message = format!(
                    "`{column}` is {other} in record {where_} and {form} in record {place}"
                );
                Err(Error::usage(message).help(CHOOSE))
            }
            Some(_) => Ok(rank),
            None => {
                self.seen = Some((form, place));
                Ok(rank)
            }
        }
    }

    fn time(&self, text: &str) -> Option<String> {
        let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        if let Some(midnight) = date.and_then(|date| date.and_hms_opt(0, 0, 0)) {
            return crate::definition::resolve_local(midnight, self.zone).map(instant_to_text);
        }
        TimeFormat::Rfc3339.read(text, Some(self.zone)).map(instant_to_text)
    }

    fn no_time(&self, place: i64, text: &str) -> Error {
        let (column, text) = (&self.column, excerpt(text, 40));
        let message = format!("`{column}` of record {place} cannot be put in order: {text}");
        Error::usage(message).help(CHOOSE)
    }
}

const CHOOSE: &str = "name another column, or keep the `first` or the `last` record";

fn cell_value(rows: &RowSet, cell: Cell, kind: ColumnType) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => Value::Integer(number),
        Cell::Real(number) => Value::Real(number),
        Cell::Text(..) => {
            let text = rows.text_of(cell).unwrap_or_default();
            let digits = kind.may_store_digits();
            match text.parse::<f64>() {
                Ok(number) if digits => Value::Real(number),
                _ => Value::Text(text.to_owned()),
            }
        }
        Cell::Blob(..) => Value::Blob(rows.bytes_of(cell).unwrap_or_default().to_owned()),
    }
}

/// A CSV does not tell a number from a text: what reads as one is one.
fn number_or_text(value: Option<&Value>) -> Value {
    match value {
        None => Value::Null,
        Some(Value::Text(text)) if crate::record::is_json_number(text) => number(text),
        Some(value) => value.clone(),
    }
}

fn number(digits: &str) -> Value {
    match (digits.parse::<i64>(), digits.parse::<f64>()) {
        (Ok(number), _) => Value::Integer(number),
        (_, Ok(number)) => Value::Real(number),
        _ => Value::Text(digits.to_owned()),
    }
}

fn member_value(raw: &str, name: &str) -> Value {
    let path = [Segment::Name(name.to_owned())];
    let Some(value) = text_at(raw, &path) else { return Value::Null };
    match serde_json::from_str::<serde_json::Value>(value) {
        Ok(serde_json::Value::String(text)) => Value::Text(text),
        Ok(serde_json::Value::Number(_)) => number(value),
        Ok(serde_json::Value::Null) | Err(_) => Value::Null,
        Ok(other) => Value::Text(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in ["first", "last", "api", "newest:created_at", "highest:version"] {
            assert_eq!(text.parse::<Keep>().map(|keep| keep.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "newest", "newest:", "oldest:a", "first:a"] {
            assert!(text.parse::<Keep>().is_err(), "{text}");
        }
    }
}

//! What a file calls the values that columns take, and how it writes them. Kept beside records of a
//! file that did not become rows: with it they can be read again, though the API speaks otherwise.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::definition::{Column, ColumnOrigin, Segment, TimeFormat};
use crate::model::{RecordRefusal, RowSet};

use super::canonical::write_string;
use super::extract::RecordStep;
use super::json::Members;
use super::reader::RecordReader;

/// The fields of a file, and which columns take them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFields {
    /// Columns, and what the file calls them.
    pub columns: BTreeMap<String, String>,
    /// Columns whose dates or timestamps the file writes in a way of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub formats: BTreeMap<String, TimeFormat>,
    /// The zone of times without an offset, where the definition has none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "zone_name")]
    pub zone: Option<Tz>,
    /// The fields that are read; none where the whole record is, as of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Vec<String>>,
}

/// As it stands beside a record, told from what lies above one of a page.
#[derive(Serialize, Deserialize)]
struct Beside<F> {
    file: F,
}

impl FileFields {
    /// What is kept beside a record, as JSON.
    pub fn beside(&self) -> String {
        serde_json::to_string(&Beside { file: self }).expect("names can be written as JSON")
    }

    /// Reads what [`FileFields::beside`] wrote; none beside a record that came from an API.
    pub fn of(beside: Option<&str>) -> Option<FileFields> {
        serde_json::from_str(beside?).ok().map(|beside: Beside<FileFields>| beside.file)
    }

    /// A stream's columns, each of which takes its value from the file.
    pub fn columns_of(&self, columns: &[Column]) -> Vec<Column> {
        let own = |column: &Column| {
            let member = |name: &str| ColumnOrigin::Record(vec![Segment::Name(name.to_owned())]);
            let origin = match (self.columns.get(&column.name), &column.origin) {
                (Some(field), _) => member(field),
                (None, ColumnOrigin::Record(path)) if self.taken.is_none() => {
                    ColumnOrigin::Record(path.clone())
                }
                (None, _) => member(&column.name),
            };
            let format = self.formats.get(&column.name).or(column.format.as_ref()).cloned();
            Column { origin, format, zone: column.zone.or(self.zone), ..column.clone() }
        };
        columns.iter().map(own).collect()
    }

    /// The stream's reader, for records of the file.
    pub fn reader(&self, of_stream: &RecordReader) -> RecordReader {
        of_stream.with_columns(self.columns_of(of_stream.columns()))
    }

    /// Appends the row of a record that was kept, by [`FileFields::reader`].
    pub fn read_kept(
        &self,
        reader: &RecordReader,
        record: &str,
        out: &mut RowSet,
    ) -> Result<(), RecordRefusal> {
        let taken = self.taken.as_ref().and_then(|taken| only(record, taken));
        let steps = [RecordStep::new(None, taken.as_deref().unwrap_or(record))];
        reader.read(&steps, &BTreeMap::new(), out)
    }
}

/// The record of these members alone; none where it is no object.
fn only(record: &str, names: &[String]) -> Option<String> {
    let mut out = String::from("{");
    for (name, raw) in Members::parse(record).ok()?.0 {
        if names.iter().any(|taken| *taken == name) {
            if out.len() > 1 {
                out.push(',');
            }
            write_string(&name, &mut out);
            out.push(':');
            out.push_str(raw);
        }
    }
    out.push('}');
    Some(out)
}

mod zone_name {
    use super::{Deserialize, Tz};
    use serde::{Deserializer, Serializer, de::Error};

    /// Writes the name of the zone in the IANA database, or null.
    pub fn serialize<S: Serializer>(zone: &Option<Tz>, to: S) -> Result<S::Ok, S::Error> {
        match zone {
            Some(zone) => to.serialize_str(zone.name()),
            None => to.serialize_none(),
        }
    }

    /// Reads such a name; one that is no zone is an error.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Tz>, D::Error> {
        let name: Option<String> = Option::deserialize(from)?;
        name.map(|name| name.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{ColumnType, Key};

    fn of_stream() -> RecordReader {
        let mut day = Column::plain("day", ColumnType::Date);
        day.origin = ColumnOrigin::Member { depth: 1 };
        let mut at = Column::plain("at", ColumnType::Timestamp);
        at.origin =
            ColumnOrigin::Record(vec![Segment::Name("cycle".into()), Segment::Name("at".into())]);
        let columns = vec![Column::plain("id", ColumnType::Text), day, at];
        RecordReader::new(columns, Key::Columns(vec!["id".into(), "day".into()]))
    }

    fn fields() -> FileFields {
        let name = |column: &str, field: &str| (column.to_owned(), field.to_owned());
        FileFields {
            columns: [name("id", "line"), name("day", "usage_day"), name("at", "at")].into(),
            formats: [("day".to_owned(), TimeFormat::parse("%d.%m.%Y").expect("a format"))].into(),
            zone: Some(Tz::Europe__Berlin),
            taken: Some(["line", "usage_day", "at"].map(str::to_owned).to_vec()),
        }
    }

    #[test]
    fn what_is_kept_beside_a_record_is_read_as_it_was_written() {
        for fields in [fields(), FileFields::default()] {
            assert_eq!(FileFields::of(Some(&fields.beside())), Some(fields));
        }
        for other in [None, Some(""), Some(r#"{"records":"$[*]","names":[null]}"#)] {
            assert_eq!(FileFields::of(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_record_of_a_file_becomes_the_row_of_the_apis_columns() {
        let (fields, of_stream) = (fields(), of_stream());
        let reader = fields.reader(&of_stream);
        let record = r#"{"n":1,"line":"a","usage_day":"02.01.2026","at":"2026-01-02 08:00:00"}"#;
        let mut out = RowSet::new(of_stream.width());
        fields.read_kept(&reader, record, &mut out).expect("a row");
        let cells: Vec<_> = out.row(0).iter().map(|cell| out.text_of(*cell)).collect();
        let expected = [Some("a"), Some("2026-01-02"), Some("2026-01-02T07:00:00+00:00"), None];
        assert_eq!(cells, expected, "and what is not taken is no part of it");
        assert_eq!(reader.pointer_of("id").as_deref(), Some("/line"));
    }
}

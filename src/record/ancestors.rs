//! What a record takes from above it, kept beside a record that did not become a row: with it the
//! record can be read again as it was read on its page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::definition::{ColumnOrigin, Scalar, Segment};
use crate::model::{RecordRefusal, RowSet};

use crate::record::extract::RecordStep;
use crate::record::pointer;
use crate::record::reader::RecordReader;

/// The longest value from above that is kept, bytes. Columns take ids and names from there; a whole
/// list would be kept once for each of its records.
const VALUE_BYTES_MAX: usize = 4096;

/// A record that did not become a row, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptRecord {
    pub record: String,
    /// What lay above it, as JSON.
    pub ancestors: String,
}

/// Why a kept record is still not a row.
#[derive(Debug)]
pub enum NotRead {
    /// It cannot be one.
    Refused(RecordRefusal),
    /// What was kept of it is not enough to tell.
    Unknown(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Ancestors {
    /// The stream's `records`, which the depths of columns are counted by.
    records: String,
    /// The member's name that each step went through.
    names: Vec<Option<String>>,
    /// What columns took from steps above the record.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    values: BTreeMap<String, Option<Box<RawValue>>>,
}

fn value_name(depth: usize, path: &[Segment]) -> String {
    let mut name = depth.to_string();
    for segment in path {
        match segment {
            Segment::Name(member) => name = pointer::under(&name, member),
            Segment::Index(index) => name = format!("{name}/{index}"),
            Segment::Wildcard => name.push_str("/*"),
        }
    }
    name
}

/// What lies above a record, as JSON.
pub fn ancestors(steps: &[RecordStep<'_>], records: &str, reader: &RecordReader) -> String {
    let mut values = BTreeMap::new();
    for column in reader.columns() {
        let ColumnOrigin::Ancestor { depth, path } = &column.origin else { continue };
        let Some(step) = steps.get(*depth) else { continue };
        let raw = step.value_at(path);
        if raw.is_none_or(|raw| raw.len() <= VALUE_BYTES_MAX) {
            let raw = raw.and_then(|raw| RawValue::from_string(raw.to_owned()).ok());
            values.insert(value_name(*depth, path), raw);
        }
    }
    let names = steps.iter().map(|step| step.name.as_ref().map(ToString::to_string)).collect();
    let ancestors = Ancestors { records: records.to_owned(), names, values };
    serde_json::to_string(&ancestors).expect("names and JSON can be written as JSON")
}

/// Appends the row of a record that was kept, as if it had just come.
pub fn read_kept(
    reader: &RecordReader,
    record: &str,
    kept: Option<&str>,
    records: &str,
    parent: &BTreeMap<String, Scalar>,
    out: &mut RowSet,
) -> Result<(), NotRead> {
    let looks_up = |origin: &ColumnOrigin| {
        matches!(origin, ColumnOrigin::Ancestor { .. } | ColumnOrigin::Member { .. })
    };
    if !reader.columns().iter().any(|column| looks_up(&column.origin)) {
        let steps = [RecordStep::new(None, record)];
        return reader.read(&steps, parent, out).map_err(NotRead::Refused);
    }
    let ancestors: Option<Ancestors> = kept.and_then(|kept| serde_json::from_str(kept).ok());
    let ancestors = ancestors.ok_or(NotRead::Unknown("what lay above the record was not kept"))?;
    if ancestors.records != records {
        return Err(NotRead::Unknown("the stream's `records` was another one when it came"));
    }
    let last = ancestors.names.len().saturating_sub(1);
    let step = |(at, name): (usize, &Option<String>)| {
        RecordStep::new(name.clone().map(Into::into), if at == last { record } else { "null" })
    };
    let steps: Vec<RecordStep<'_>> = ancestors.names.iter().enumerate().map(step).collect();
    if steps.is_empty() {
        return Err(NotRead::Unknown("what lay above the record was not kept"));
    }
    for column in reader.columns() {
        let ColumnOrigin::Ancestor { depth, path } = &column.origin else { continue };
        let value = ancestors.values.get(&value_name(*depth, path));
        let (Some(value), Some(step)) = (value, steps.get(*depth)) else {
            return Err(NotRead::Unknown("what a column takes from above the record was not kept"));
        };
        step.know(path, value.as_ref().map(|raw| raw.get()));
    }
    reader.read(&steps, parent, out).map_err(NotRead::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Column, ColumnType, Key, Path};
    use crate::model::RowSet;
    use crate::record::extract;

    fn reader() -> RecordReader {
        let mut line = Column::plain("line", ColumnType::Text);
        line.origin = ColumnOrigin::Member { depth: 1 };
        let mut plan = Column::plain("plan", ColumnType::Text);
        plan.origin = ColumnOrigin::Ancestor { depth: 1, path: vec![Segment::Name("plan".into())] };
        let columns = vec![line, plan, Column::plain("day", ColumnType::Date)];
        RecordReader::new(columns, Key::Columns(vec!["line".into(), "day".into()]))
    }

    #[test]
    fn a_record_is_read_again_without_its_page_as_it_was_read_on_it() {
        let body = r#"{"SL/1":{"plan":"gold","daily":[{"day":"2026-01-01","n":[1.10]}]},
            "b":{"plan":null,"daily":[{"day":"2026-01-02"}]},"c":{"daily":[{"day":"x"}]}}"#;
        let path = Path::parse("$.*.daily[*]").expect("a path");
        let (reader, none) = (reader(), BTreeMap::new());
        let mut records = 0;
        extract(body, &path, &mut |steps| {
            let (mut on_page, mut again) = (RowSet::new(4), RowSet::new(4));
            let first = reader.read(steps, &none, &mut on_page);
            let kept = ancestors(steps, path.text(), &reader);
            let record = steps.last().expect("a record").raw;
            let second = read_kept(&reader, record, Some(&kept), path.text(), &none, &mut again);
            match (first, second) {
                (Ok(()), Ok(())) => {}
                (Err(first), Err(NotRead::Refused(second))) => assert_eq!(first, second),
                other => panic!("{other:?}"),
            }
            assert_eq!((on_page.cells, on_page.text), (again.cells, again.text));
            records += 1;
        })
        .expect("records");
        assert_eq!(records, 3);
    }

    #[test]
    fn what_was_not_kept_is_never_made_up() {
        let (reader, none) = (reader(), BTreeMap::new());
        let record = r#"{"day":"2026-01-01"}"#;
        let cases = [
            None,
            Some("{}"),
            Some(r#"{"records":"$.*","names":[null,"a"]}"#),
            Some(r#"{"records":"$.*.daily[*]","names":[null,"a","daily",null]}"#),
            Some(r#"{"records":"$.*.daily[*]","names":[]}"#),
        ];
        for kept in cases {
            let mut out = RowSet::new(4);
            let read = read_kept(&reader, record, kept, "$.*.daily[*]", &none, &mut out);
            assert!(matches!(read, Err(NotRead::Unknown(_))), "{kept:?}: {read:?}");
            assert!(out.is_empty());
        }
    }
}

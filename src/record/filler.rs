//! A column that is added later: its values from what was left over of each row.

use std::collections::BTreeMap;

use super::extract::extract;
use super::reader::RecordReader;
use crate::definition::{Column, Key, Origin, Path};
use crate::model::RowSet;

/// Reads what was left over of a row as if it were a record, into columns that are new.
pub struct Filler {
    reader: RecordReader,
    columns: Vec<String>,
    root: Path,
}

impl Filler {
    /// For those of the added columns of a reader that come from the record itself; none where no
    /// such column was added.
    pub fn new(reader: &RecordReader, added: &[String]) -> Option<Self> {
        let columns = reader.columns().iter();
        let columns: Vec<Column> = columns
            .filter(|c| added.contains(&c.name) && matches!(c.origin, Origin::Record(_)))
            .cloned()
            .collect();
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let reader = RecordReader::new(columns, Key::Columns(Vec::new()));
        let root = Path::parse("$").ok()?;
        (!names.is_empty()).then_some(Self { reader, columns: names, root })
    }

    /// The columns that are filled.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The values of the columns, then what is still left over; none where a value does not fit.
    pub fn fill(&self, rest: &str) -> Option<RowSet> {
        let mut rows = RowSet::new(self.reader.width());
        let mut fits = true;
        let read = extract(rest, &self.root, &mut |steps| {
            fits = self.reader.read(steps, &BTreeMap::new(), &mut rows).is_ok();
        });
        (read.is_ok() && fits && rows.len() == 1).then_some(rows)
    }
}

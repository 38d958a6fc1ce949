//! A column that is added later: its values from what was left over of each row.

use std::collections::BTreeMap;

use super::extract::extract;
use super::reader::RecordReader;
use crate::definition::{Column, ColumnOrigin, Key, Path};
use crate::model::{Cell, Filled, RowSet};

/// Reads what was left over of a row as if it were a record, into columns that are new.
pub struct Filler {
    reader: RecordReader,
    /// Readers of one column each, where there are several.
    singles: Vec<RecordReader>,
    columns: Vec<String>,
    root: Path,
}

impl Filler {
    /// For those of the added columns of a reader that come from the record itself; none where no
    /// such column was added.
    pub fn new(reader: &RecordReader, added: &[String]) -> Option<Self> {
        let columns = reader.columns().iter();
        let columns: Vec<Column> = columns
            .filter(|c| added.contains(&c.name) && matches!(c.origin, ColumnOrigin::Record(_)))
            .cloned()
            .collect();
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let reader = |columns| RecordReader::new(columns, Key::Columns(Vec::new()));
        let each = columns.iter().filter(|_| columns.len() > 1);
        let singles = each.map(|column| reader(vec![column.clone()])).collect();
        let root = Path::parse("$").ok()?;
        (!names.is_empty()).then(|| Self { reader: reader(columns), singles, columns: names, root })
    }

    /// The columns that are filled.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The values of the columns, then what is still left over. Each column for itself: it says the
    /// same in the end whichever of them was added first, and whoever added it. None where nothing
    /// of it can be read.
    pub fn fill(&self, rest: &str) -> Option<Filled> {
        if let Some(row) = self.read(&self.reader, rest) {
            return Some(Filled { row, fits: true });
        }
        let mut row = RowSet::new(self.columns.len() + 1);
        let mut left = Some(rest.to_owned());
        let mut any = false;
        for reader in &self.singles {
            let found = left.as_ref().and_then(|left| self.read(reader, left));
            let Some(found) = found else {
                row.cells.push(Cell::Null);
                continue;
            };
            any = true;
            row.push_cell(&found, found.cells[0]);
            left = found.text_of(found.cells[1]).map(str::to_owned);
        }
        let last = left.map_or(Cell::Null, |left| row.push_text(&left));
        row.cells.push(last);
        any.then_some(Filled { row, fits: false })
    }

    fn read(&self, reader: &RecordReader, rest: &str) -> Option<RowSet> {
        let mut rows = RowSet::new(reader.width());
        let mut fits = true;
        let read = extract(rest, &self.root, &mut |steps| {
            fits = reader.read(steps, &BTreeMap::new(), &mut rows).is_ok();
        });
        (read.is_ok() && fits && rows.len() == 1).then_some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::ColumnType;

    fn filled(columns: &[(&str, ColumnType)], rest: &str) -> (Vec<String>, String, bool) {
        let columns: Vec<Column> =
            columns.iter().map(|(name, kind)| Column::plain(name, *kind)).collect();
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let reader = RecordReader::new(columns, Key::Columns(Vec::new()));
        let filler = Filler::new(&reader, &names).expect("columns");
        let filled = filler.fill(rest).expect("an object");
        let row = &filled.row;
        let said = |cell: Cell| match cell {
            Cell::Text(..) => row.text_of(cell).expect("text").to_owned(),
            other => format!("{other:?}"),
        };
        let cells: Vec<String> = row.row(0).iter().map(|cell| said(*cell)).collect();
        let (last, cells) = cells.split_last().expect("a cell");
        (cells.to_vec(), last.clone(), filled.fits)
    }

    #[test]
    fn a_value_that_does_not_fit_stays_and_the_others_are_taken_in_any_order() {
        let (n, t) = (("n", ColumnType::Integer), ("t", ColumnType::Text));
        let rest = r#"{"m":1,"n":"x","t":"y"}"#;
        let left = r#"{"m":1,"n":"x"}"#;
        assert_eq!(filled(&[n, t], rest), (vec!["Null".into(), "y".into()], left.into(), false));
        assert_eq!(filled(&[t, n], rest), (vec!["y".into(), "Null".into()], left.into(), false));
        let all = filled(&[n, t], r#"{"n":5,"t":"y"}"#);
        assert_eq!(all, (vec!["Integer(5)".into(), "y".into()], "Null".into(), true));
    }
}

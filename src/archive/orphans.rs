//! Orphans: rows that refer to a parent which is not there. They are kept as rejects, and taken up
//! by themselves once the parent has arrived.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use crate::model::{Cell, Outcomes, RowSet};

use super::error::{ArchiveError, at};
use super::open::Archive;
use super::table::quote;
use super::write::{Bound, TableWriter};

impl Archive {
    /// Which of these rows refer to a row that is not there: their numbers and why.
    pub fn find_orphans(
        &self,
        table: &TableWriter,
        rows: &RowSet,
    ) -> Result<HashMap<usize, String>, ArchiveError> {
        let mut orphans = HashMap::new();
        let columns = table.shape.row_columns();
        for (column, parent) in &table.shape.references {
            let Some(cell) = columns.iter().position(|name| name == column) else { continue };
            let found = self.missing_parents(parent, rows, cell).map_err(at(&self.path))?;
            for row in found {
                let reason = format!("column {column}: no row of `{parent}` has this key");
                orphans.entry(row).or_insert(reason);
            }
        }
        Ok(orphans)
    }

    fn missing_parents(
        &self,
        parent: &str,
        rows: &RowSet,
        cell: usize,
    ) -> rusqlite::Result<Vec<usize>> {
        let stored = super::table::stored_table(&self.connection, parent)?;
        let Some((key, _)) = stored else {
            let referring = (0..rows.len()).filter(|at| rows.row(*at)[cell] != Cell::Null);
            return Ok(referring.collect());
        };
        let key = key.columns();
        let Some(key) = key.first() else { return Ok(Vec::new()) };
        let sql = format!("SELECT 1 FROM {} WHERE {} = ?1", quote(parent), quote(key));
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut missing = Vec::new();
        for at in 0..rows.len() {
            let value = rows.row(at)[cell];
            if value == Cell::Null {
                continue;
            }
            let found = statement.query_row([Bound(rows, value)], |_| Ok(())).optional()?;
            if found.is_none() {
                missing.push(at);
            }
        }
        Ok(missing)
    }

    /// Makes rows of the orphans whose parents are there now. In a transaction of the caller's.
    pub fn take_up_orphans(
        &self,
        table: &TableWriter,
        run: i64,
        now: &str,
    ) -> Result<Outcomes, ArchiveError> {
        let mut outcomes = Outcomes::default();
        // A version decides between an orphan and a row that is there. Without one the row stays,
        // and of several orphans of one key the last to come becomes it.
        let mut shape = table.shape.clone();
        if shape.version.is_none() {
            shape.on_conflict = crate::definition::OnConflict::Keep;
        }
        let writer = TableWriter::new(shape);
        let sql = "SELECT reject_id, row FROM _windrow_rejects
            WHERE stream = ?1 AND kind = 'orphan' AND row IS NOT NULL AND reject_id < ?2
            ORDER BY reject_id DESC LIMIT 500";
        let mut after = i64::MAX;
        loop {
            let batch =
                self.orphans_after(sql, &table.shape.name, after).map_err(at(&self.path))?;
            let Some((last, _)) = batch.last() else { return Ok(outcomes) };
            after = *last;
            let mut rows = RowSet::new(table.shape.row_columns().len());
            let mut ids = Vec::new();
            for (id, text) in &batch {
                if read_cells(text, &mut rows).is_some() {
                    ids.push(*id);
                }
            }
            let still = self.find_orphans(table, &rows)?;
            rows.take_out(&|row| still.contains_key(&row));
            let free = ids.iter().enumerate().filter(|(row, _)| !still.contains_key(row));
            for (_, id) in free {
                let sql = "DELETE FROM _windrow_rejects WHERE reject_id = ?1";
                self.connection.execute(sql, [id]).map_err(at(&self.path))?;
            }
            outcomes += self.write_rows(&writer, &rows, run, now)?;
        }
    }

    fn orphans_after(
        &self,
        sql: &str,
        stream: &str,
        after: i64,
    ) -> rusqlite::Result<Vec<(i64, String)>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows =
            statement.query_map(params![stream, after], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }
}

/// A row's cells as JSON, exactly: doubles as text, blobs in base64.
pub fn write_cells(rows: &RowSet, at: usize) -> String {
    let cells = rows.row(at).iter().map(|cell| match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => Value::from(*number),
        Cell::Real(number) => serde_json::json!({ "real": format!("{number:e}") }),
        Cell::Text(..) => Value::from(rows.text_of(*cell).unwrap_or_default()),
        Cell::Blob(..) => {
            serde_json::json!({ "blob": STANDARD.encode(rows.bytes_of(*cell).unwrap_or_default()) })
        }
    });
    Value::from(cells.collect::<Vec<_>>()).to_string()
}

/// Appends the row that [`write_cells`] wrote. `None` when it is not as wide as the table is now.
fn read_cells(text: &str, rows: &mut RowSet) -> Option<()> {
    let values: Vec<Value> = serde_json::from_str(text).ok()?;
    if values.len() != rows.width {
        return None;
    }
    for value in values {
        let cell = match &value {
            Value::Null => Cell::Null,
            Value::Number(number) => Cell::Integer(number.as_i64()?),
            Value::String(text) => rows.push_text(text),
            Value::Object(object) => match (object.get("real"), object.get("blob")) {
                (Some(real), _) => Cell::Real(real.as_str()?.parse().ok()?),
                (_, Some(blob)) => rows.push_bytes(&STANDARD.decode(blob.as_str()?).ok()?),
                _ => return None,
            },
            _ => return None,
        };
        rows.cells.push(cell);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_its_time_as_an_orphan_exactly() {
        let mut rows = RowSet::new(5);
        let cells = [
            Cell::Null,
            Cell::Integer(i64::MAX),
            Cell::Real(0.1 + 0.2),
            rows.push_text("a\0\u{e9}"),
            rows.push_bytes(&[0, 255]),
        ];
        rows.cells.extend(cells);
        let text = write_cells(&rows, 0);
        let mut back = RowSet::new(5);
        read_cells(&text, &mut back).expect("as wide");
        assert_eq!(write_cells(&back, 0), text);
        assert_eq!(back.row(0)[2], Cell::Real(0.1 + 0.2));
        assert!(read_cells(&text, &mut RowSet::new(4)).is_none());
    }
}

//! The records of a page on their way into the archive: the path that a page takes when it comes,
//! and again when it is read anew.

use crate::model::{Error, ErrorKind, Outcomes, Reject, RowSet, WindowKey};
use crate::record::{KeptRecord, RecordReader};
use crate::store::{TableWriter, Tx};

/// The records of a page.
pub struct Records<'p> {
    pub rows: &'p mut RowSet,
    /// What cannot be a row.
    pub rejects: &'p mut Vec<Reject>,
    /// The record of each row, where the stream has references.
    pub records: &'p mut Vec<KeptRecord>,
    /// Records that came twice in the page.
    pub duplicates: u64,
}

/// Writes the rows and rejects of a page. Counts what became of its records.
pub fn write_records(
    tx: &Tx<'_>,
    table: Option<(&TableWriter, &RecordReader)>,
    window_key: &WindowKey,
    mut page: Records<'_>,
    run: i64,
    now: &str,
) -> Result<Outcomes, Error> {
    if let Some((table, reader)) = table {
        set_orphans_aside(tx, table, reader, &mut page)?;
    }
    let mut outcomes = Outcomes {
        received: page.duplicates + page.rejects.len() as u64,
        skipped: page.duplicates,
        rejected: page.rejects.len() as u64,
        ..Outcomes::default()
    };
    if !page.rows.is_empty() {
        let (table, _) = table.ok_or_else(|| {
            Error::new(ErrorKind::Bug, format!("no table for {}", window_key.stream))
        })?;
        outcomes += tx.write_rows(table, page.rows, run, now)?;
    }
    tx.write_rejects(window_key, page.rejects, run, now)?;
    debug_assert!(outcomes.add_up(), "each record is counted once: {outcomes:?}");
    Ok(outcomes)
}

/// Turns rows whose parents are not there into rejects.
fn set_orphans_aside(
    tx: &Tx<'_>,
    table: &TableWriter,
    reader: &RecordReader,
    page: &mut Records<'_>,
) -> Result<(), Error> {
    if page.records.is_empty() || table.shape().references.is_empty() {
        return Ok(());
    }
    let orphans = tx.find_orphans(table.shape(), page.rows)?;
    for (row, orphan) in &orphans {
        let KeptRecord { record, ancestors } =
            page.records.get_mut(*row).map(std::mem::take).unwrap_or_default();
        let refusal = reader.orphan(&orphan.column, orphan.reason.clone());
        page.rejects.push(refusal.reject(record, Some(ancestors), *row));
    }
    page.rows.take_out(&|row| orphans.contains_key(&row));
    Ok(())
}

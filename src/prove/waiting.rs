//! Rows that the archive keeps aside until their parents are there: they are not missing.

use std::collections::{BTreeMap, HashSet};

use crate::definition::{Column, Stream};
use crate::model::{Error, KeyShape, RowSet};
use crate::record::{RecordReader, read_kept};
use crate::store::content::value_of;
use crate::store::{Reader, StreamRow, Value};

/// The most keys that are held, some ten megabytes; rows beyond count as missing.
const KEYS_MAX: usize = 100_000;

/// The keys of a stream's rows that wait for their parents.
pub fn waiting_keys(
    archive: &Reader,
    stream: &Stream,
    row: &StreamRow,
) -> Result<HashSet<String>, Error> {
    let mut keys = HashSet::new();
    let inferred = row.columns.iter().map(|column| Column::plain(&column.name, column.kind));
    let columns = stream.columns.clone().unwrap_or_else(|| inferred.collect());
    // The hash of a key is a row's first cell.
    let cells: Vec<usize> = match &row.key {
        KeyShape::Hash(_) => vec![0],
        KeyShape::Columns(names) => {
            let place = |name: &String| columns.iter().position(|column| column.name == *name);
            names.iter().filter_map(place).collect()
        }
    };
    let reader = RecordReader::new(columns, stream.key.clone());
    let nobody = BTreeMap::new();
    archive.waiting_records(&stream.name, &mut |record, ancestors| {
        let mut rows = RowSet::new(reader.width());
        let records = stream.records.text();
        let read = read_kept(&reader, record, ancestors, records, &nobody, &mut rows);
        if read.is_ok() && keys.len() < KEYS_MAX {
            let key: Vec<Value> =
                cells.iter().map(|cell| value_of(&rows, rows.row(0)[*cell])).collect();
            keys.insert(name_of_key(&key));
        }
    })?;
    Ok(keys)
}

/// A key as text that no other key has.
pub fn name_of_key(key: &[Value]) -> String {
    format!("{key:?}")
}

//! The logical digest: what the archive says, and nothing of how or when it came to say it.
//!
//! SHA-256 over the streams' rows in the order of their keys, without windrow's own columns. Two
//! archives of the same data have the same digest, whatever runs and windows led there.

use rusqlite::types::ValueRef;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::hexadecimal;

use super::error::{ArchiveError, at};
use super::read::{Reader, StreamRow};
use super::table::quote;

/// The digest of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableDigest {
    /// The stream.
    pub stream: String,
    /// Its rows.
    pub rows: u64,
    /// Hexadecimal SHA-256.
    pub sha256: String,
}

/// The digest of every stream, by name.
pub fn digest_tables(reader: &Reader) -> Result<Vec<TableDigest>, ArchiveError> {
    reader.streams()?.iter().map(|stream| digest_table(reader, stream)).collect()
}

/// The hexadecimal SHA-256 of a text.
pub(super) fn sha256_of(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

fn digest_table(reader: &Reader, stream: &StreamRow) -> Result<TableDigest, ArchiveError> {
    let key = stream.key.columns();
    let mut names: Vec<&str> = key.iter().map(String::as_str).collect();
    let mut others: Vec<&str> = stream
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .filter(|name| !key.iter().any(|have| have == name))
        .collect();
    others.sort_unstable();
    names.extend(others);
    names.push("_rest");
    let list: Vec<String> = names.iter().map(|name| quote(name)).collect();
    let order: Vec<String> = key.iter().map(|name| quote(name)).collect();
    let sql = format!(
        "SELECT {} FROM {} ORDER BY {}",
        list.join(", "),
        quote(&stream.stream),
        order.join(", ")
    );
    let read = || -> rusqlite::Result<TableDigest> {
        let mut hasher = Sha256::new();
        // The names are part of what a row says.
        hasher.update(names.join("\0").as_bytes());
        let mut statement = reader.connection.prepare(&sql)?;
        let mut found = statement.query([])?;
        let mut rows = 0;
        while let Some(row) = found.next()? {
            rows += 1;
            for at in 0..names.len() {
                hash_value(&mut hasher, row.get_ref(at)?);
            }
        }
        let sha256 = hexadecimal(&hasher.finalize());
        Ok(TableDigest { stream: stream.stream.clone(), rows, sha256 })
    };
    read().map_err(at(&reader.path))
}

/// Type, length and bytes, so that no two rows run into each other.
pub(super) fn hash_value(hasher: &mut Sha256, value: ValueRef<'_>) {
    let mut put = |tag: u8, bytes: &[u8]| {
        hasher.update([tag]);
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    match value {
        ValueRef::Null => put(0, &[]),
        ValueRef::Integer(number) => put(1, &number.to_be_bytes()),
        ValueRef::Real(number) => put(2, &number.to_be_bytes()),
        ValueRef::Text(text) => put(3, text),
        ValueRef::Blob(bytes) => put(4, bytes),
    }
}

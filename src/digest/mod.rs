//! The logical digest: what the archive says, and nothing of how or when it came to say it.
//!
//! SHA-256 over a text with one line for each row in the order of the key. Two archives of the
//! same data have the same digest, whatever pages, row numbers, runs and windows led there, and
//! anybody can compute it with `sqlite3` and `sha256sum`: [`digest_statement`] gives the statement.
//!
//! The first line holds the names of the columns: the key's in its order, the others sorted, and
//! `_rest`. A value is its type and what it is, so that no two look alike: `n`, `i12`,
//! `r3FF8000000000000` (the bytes of a double), `t4142` and `b4142` (the bytes of a text and of a
//! blob). `|` stands between two values. Of windrow's own columns nothing is said.

use std::io::Write as _;

use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Error, hexadecimal};

use crate::store::error::at;
use crate::store::read::StreamRow;
use crate::store::reader::Reader;
use crate::store::sql::quote;

/// The digest of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableDigest {
    pub stream: String,
    pub rows: u64,
    /// The logical digest: hexadecimal SHA-256 (see [`digest_statement`]).
    pub sha256: String,
}

/// The digest of every value of a table, windrow's own columns among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeDigest {
    pub table: String,
    pub rows: u64,
    /// Hexadecimal SHA-256 over all values of the table.
    pub sha256: String,
}

/// The digest of every stream, by name.
pub fn digest_tables(reader: &Reader) -> Result<Vec<TableDigest>, Error> {
    let digest = |stream| Ok(digest_stream(reader, stream, &mut |_| {})?.0);
    reader.streams()?.iter().map(digest).collect()
}

/// The columns that a stream's digest speaks of, in its order.
pub fn digested_columns(stream: &StreamRow) -> Vec<String> {
    let mut names = stream.key.columns();
    let keys = names.len();
    for column in &stream.columns {
        if !names.contains(&column.name) {
            names.push(column.name.clone());
        }
    }
    names[keys..].sort_unstable();
    names.push("_rest".to_owned());
    names
}

/// The statement whose lines, in the `sqlite3` shell's list mode without headers, have the
/// stream's digest as their SHA-256.
pub fn digest_statement(stream: &StreamRow) -> String {
    let names = digested_columns(stream);
    let texts: Vec<String> = names
        .iter()
        .map(|name| {
            let c = quote(name);
            format!(
                "CASE typeof({c}) WHEN 'null' THEN 'n' WHEN 'integer' THEN 'i' || {c} \
                 WHEN 'real' THEN 'r' || hex(ieee754_to_blob({c})) \
                 WHEN 'text' THEN 't' || hex({c}) ELSE 'b' || hex({c}) END"
            )
        })
        .collect();
    let order: Vec<String> = stream.key.columns().iter().map(|name| quote(name)).collect();
    format!(
        "SELECT '{}';\nSELECT {}\nFROM {} ORDER BY {};",
        names.join("|"),
        texts.join("\n    || '|' || "),
        quote(&stream.stream),
        order.join(", ")
    )
}

/// The logical digest of a stream, and that of all values of its table, in one fetch. Hands on
/// the line of each row that holds all its values.
pub fn digest_stream(
    reader: &Reader,
    stream: &StreamRow,
    on_line: &mut dyn FnMut(&[u8]),
) -> Result<(TableDigest, WholeDigest), Error> {
    let (names, said) = all_columns(reader, stream)?;
    let (mut logical, mut whole) = (Sha256::new(), Sha256::new());
    logical.update(names[..said].join("|"));
    logical.update("\n");
    whole.update(names.join("|"));
    whole.update("\n");
    let mut line = Vec::new();
    let rows = each_row(reader, &stream.stream, &names, &stream.key.columns(), None, &mut |row| {
        line.clear();
        write_values(&mut line, row, 0..said)?;
        logical.update(&line);
        logical.update("\n");
        line.push(b'|');
        write_values(&mut line, row, said..names.len())?;
        line.push(b'\n');
        whole.update(&line);
        on_line(&line);
        Ok(())
    })?;
    let name = stream.stream.clone();
    let sha256 = hexadecimal(&logical.finalize());
    let logical = TableDigest { stream: name.clone(), rows, sha256 };
    let sha256 = hexadecimal(&whole.finalize());
    Ok((logical, WholeDigest { table: name, rows, sha256 }))
}

/// Hands on the line of each row of a stream that holds all its values, with its key as SQL
/// literals.
pub fn each_line(
    reader: &Reader,
    stream: &StreamRow,
    take: &mut dyn FnMut(&[u8], String),
) -> Result<(), Error> {
    let (names, _) = all_columns(reader, stream)?;
    let key = stream.key.columns();
    let literal = crate::store::sql::key_text(&key, &quote(&stream.stream));
    let mut line = Vec::new();
    each_row(reader, &stream.stream, &names, &key, Some(&literal), &mut |row| {
        line.clear();
        write_values(&mut line, row, 0..names.len())?;
        line.push(b'\n');
        take(&line, row.get(names.len())?);
        Ok(())
    })?;
    Ok(())
}

/// All columns of a stream's table, those that its digest speaks of first, and how many those are.
fn all_columns(reader: &Reader, stream: &StreamRow) -> Result<(Vec<String>, usize), Error> {
    let mut names = digested_columns(stream);
    let said = names.len();
    let all = crate::store::sql::live_columns(&reader.connection, &stream.stream);
    let mut own: Vec<String> =
        all.map_err(at(&reader.path))?.into_iter().map(|column| column.name).collect();
    own.retain(|name| !names.contains(name));
    own.sort_unstable();
    names.extend(own);
    Ok((names, said))
}

/// The digest of all values of a table that is no stream's, in the order of its primary key; a
/// history's in the order of its stream's key and versions.
pub fn digest_whole(reader: &Reader, table: &str, order: &[String]) -> Result<WholeDigest, Error> {
    let columns = crate::store::sql::live_columns(&reader.connection, table);
    let mut names: Vec<String> =
        columns.map_err(at(&reader.path))?.into_iter().map(|column| column.name).collect();
    names.sort_unstable();
    let mut all: Vec<String> = order.to_vec();
    all.extend(names.iter().filter(|name| !order.contains(name)).cloned());
    let mut hasher = Sha256::new();
    hasher.update(names.join("|"));
    hasher.update("\n");
    let mut line = Vec::new();
    let rows = each_row(reader, table, &names, &all, None, &mut |row| {
        line.clear();
        write_values(&mut line, row, 0..names.len())?;
        line.push(b'\n');
        hasher.update(&line);
        Ok(())
    })?;
    Ok(WholeDigest { table: table.to_owned(), rows, sha256: hexadecimal(&hasher.finalize()) })
}

fn each_row(
    reader: &Reader,
    table: &str,
    names: &[String],
    order: &[String],
    more: Option<&str>,
    take: &mut dyn FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> Result<u64, Error> {
    let list = |names: &[String]| names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ");
    let more = more.map(|more| format!(", {more}")).unwrap_or_default();
    let (columns, order, table) = (list(names), list(order), quote(table));
    let sql = format!("SELECT {columns}{more} FROM {table} ORDER BY {order}");
    let mut read = || -> rusqlite::Result<u64> {
        let mut statement = reader.connection.prepare(&sql)?;
        let mut found = statement.query([])?;
        let mut rows = 0;
        while let Some(row) = found.next()? {
            rows += 1;
            take(row)?;
        }
        Ok(rows)
    };
    read().map_err(at(&reader.path))
}

fn write_values(
    line: &mut Vec<u8>,
    row: &Row<'_>,
    columns: std::ops::Range<usize>,
) -> rusqlite::Result<()> {
    let first = columns.start;
    for at in columns {
        if at > first {
            line.push(b'|');
        }
        write_value(line, row.get_ref(at)?);
    }
    Ok(())
}

/// A value as the lines of a digest have it.
pub(crate) fn write_value(line: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => line.push(b'n'),
        ValueRef::Integer(number) => {
            // Nothing can go wrong in memory.
            let _ = write!(line, "i{number}");
        }
        ValueRef::Real(number) => write_bytes(line, b'r', &number.to_be_bytes()),
        ValueRef::Text(text) => write_bytes(line, b't', text),
        ValueRef::Blob(bytes) => write_bytes(line, b'b', bytes),
    }
}

fn write_bytes(line: &mut Vec<u8>, mark: u8, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    line.reserve(1 + 2 * bytes.len());
    line.push(mark);
    for byte in bytes {
        line.push(DIGITS[usize::from(byte >> 4)]);
        line.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Type, length and bytes, so that no two rows run into each other.
pub(crate) fn hash_value(hasher: &mut Sha256, value: ValueRef<'_>) {
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

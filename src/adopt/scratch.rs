//! A scratch database for records that do not fit into memory and must be brought together by
//! their key. It has no name, lies among the system's temporary files and goes with its handle,
//! also where the process is killed. It knows nothing of archives.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, named_params};

use crate::host::Stop;
use crate::model::{Cell, Error, ErrorKind, Reject, RowSet};

use crate::store::error::at;
use crate::store::row::named;
use crate::store::stops::end_when;
use crate::store::value::Value;
use crate::store::write::Bound;

/// The page cache, KiB: what the scratch takes of memory, however large it grows.
const CACHE_KIB: i64 = 16 * 1024;

/// Records on their way to a table, and those that cannot become rows.
pub struct Scratch {
    connection: Connection,
    width: usize,
    keys: Vec<usize>,
}

/// Where a record came from, and what it came as.
#[derive(Clone, Copy, Debug)]
pub struct RecordOrigin<'a> {
    /// Its line or row in the file.
    pub place: i64,
    /// What decides between records of one key: the largest stays.
    pub rank: &'a Value,
    /// The record as the file has it.
    pub record: &'a str,
}

/// A record among those of its key.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its line or row in the file.
    pub place: i64,
    /// The place of the one that stays; it comes first.
    pub head: i64,
    /// The record as the file has it.
    pub record: String,
}

impl Scratch {
    /// An empty scratch for rows that are `width` cells wide; `keys` are the cells of the key. Its
    /// work is broken off when somebody asks for the end.
    pub fn new(width: usize, keys: Vec<usize>, stop: &Stop) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> rusqlite::Result<Connection> {
            let mut connection = Connection::open_with_flags("", flags)?;
            let stop = stop.clone();
            end_when(&mut connection, move || stop.cause().is_some())?;
            let cells: Vec<String> = (0..width).map(|at| format!("c{at}")).collect();
            // Nothing in it outlives the process, so nothing of it is ever rolled back: there is no
            // journal. One transaction spans its life, since each insert would be one of its own
            // otherwise. `Tx` is for files that are kept: it rolls back when it is dropped, which a
            // database without a journal cannot.
            connection.execute_batch(&format!(
                "PRAGMA journal_mode = OFF;
                 PRAGMA synchronous = OFF;
                 PRAGMA temp_store = FILE;
                 PRAGMA cache_size = -{CACHE_KIB};
                 CREATE TABLE records (place INTEGER PRIMARY KEY, rank, record TEXT, {});
                 CREATE TABLE rejects (place INTEGER PRIMARY KEY, kind, reason, pointer, record,
                    ancestors);
                 BEGIN",
                cells.join(", ")
            ))?;
            Ok(connection)
        };
        Ok(Self { connection: open().map_err(scratch_error)?, width, keys })
    }

    /// Keeps row `at` of `rows`.
    pub fn add(&self, origin: RecordOrigin<'_>, rows: &RowSet, at: usize) -> Result<(), Error> {
        let add = || -> rusqlite::Result<()> {
            let marks = vec!["?"; self.width + 3].join(", ");
            let sql = format!("INSERT INTO records VALUES ({marks})");
            let mut statement = self.connection.prepare_cached(&sql)?;
            statement.raw_bind_parameter(1, origin.place)?;
            statement.raw_bind_parameter(2, origin.rank)?;
            statement.raw_bind_parameter(3, origin.record)?;
            for (number, cell) in rows.row(at).iter().enumerate() {
                statement.raw_bind_parameter(number + 4, Bound(rows, *cell))?;
            }
            statement.raw_execute().map(|_| ())
        };
        add().map_err(scratch_error)
    }

    /// Keeps a record that cannot become a row.
    pub fn reject(&self, place: i64, reject: &Reject) -> Result<(), Error> {
        let sql = "INSERT INTO rejects VALUES (:place, :kind, :reason, :pointer, :record,
            :ancestors)";
        let add = || {
            let Reject { kind, reason, pointer, record, ancestors, .. } = reject;
            let values = named_params! {
                ":place": place,
                ":kind": kind.as_str(),
                ":reason": reason,
                ":pointer": pointer,
                ":record": record,
                ":ancestors": ancestors,
            };
            self.connection.prepare_cached(sql)?.execute(values)
        };
        add().map(|_| ()).map_err(scratch_error)
    }

    /// Hands on each record, key by key: first the one that stays, which is the one of the largest
    /// rank, and of those the last, or the first if `first_wins`. The row set holds that one row.
    pub fn each_member<E: From<Error>>(
        &self,
        first_wins: bool,
        on: &mut dyn FnMut(Member, &RowSet) -> Result<(), E>,
    ) -> Result<(), E> {
        let keys: Vec<String> = self.keys.iter().map(|cell| format!("c{cell}")).collect();
        let cells: Vec<String> = (0..self.width).map(|cell| format!("c{cell}")).collect();
        let sql = format!(
            "SELECT place, first_value(place) OVER (PARTITION BY {} ORDER BY rank DESC, place {})
                AS head,
                    record, {} FROM records",
            keys.join(", "),
            if first_wins { "ASC" } else { "DESC" },
            cells.join(", ")
        );
        let mut statement = self.connection.prepare(&sql).map_err(scratch_error)?;
        let mut found = statement.query([]).map_err(scratch_error)?;
        let mut rows = RowSet::new(self.width);
        while let Some(row) = found.next().map_err(scratch_error)? {
            rows.cells.clear();
            rows.text.clear();
            rows.bytes.clear();
            let mut read = || -> rusqlite::Result<Member> {
                for cell in 0..self.width {
                    let cell = match row.get_ref(cell + 3)? {
                        ValueRef::Null => Cell::Null,
                        ValueRef::Integer(number) => Cell::Integer(number),
                        ValueRef::Real(number) => Cell::Real(number),
                        ValueRef::Text(text) => rows.push_text(&String::from_utf8_lossy(text)),
                        ValueRef::Blob(bytes) => rows.push_bytes(bytes),
                    };
                    rows.cells.push(cell);
                }
                Ok(Member {
                    place: row.get("place")?,
                    head: row.get("head")?,
                    record: row.get("record")?,
                })
            };
            let member = read().map_err(scratch_error)?;
            on(member, &rows)?;
        }
        Ok(())
    }

    /// Hands on each record that cannot become a row, in the file's order.
    pub fn each_reject<E: From<Error>>(
        &self,
        on: &mut dyn FnMut(Reject) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = "SELECT kind, reason, pointer, record, ancestors FROM rejects ORDER BY place";
        let mut statement = self.connection.prepare(sql).map_err(scratch_error)?;
        let mut found = statement.query([]).map_err(scratch_error)?;
        while let Some(row) = found.next().map_err(scratch_error)? {
            let read = || -> rusqlite::Result<Reject> {
                let kind = named(row, "kind", ("rejects", "kind"))?;
                let (reason, pointer) = (row.get("reason")?, row.get("pointer")?);
                let (record, ancestors) = (row.get("record")?, row.get("ancestors")?);
                Ok(Reject { kind, reason, pointer, record, ancestors, position: 0 })
            };
            on(read().map_err(scratch_error)?)?;
        }
        Ok(())
    }
}

/// The scratch has no file that a person could look at: what is wrong is the folder it lies in.
fn scratch_error(error: rusqlite::Error) -> Error {
    let known = at(Path::new("a scratch file"))(error);
    if known.kind != ErrorKind::Storage {
        return known;
    }
    let help = "free some space, or set TMPDIR to a folder that has more; nothing was changed";
    Error::new(known.kind, "there is no room for a scratch file of the records").help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(scratch: &Scratch, first_wins: bool) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        let mut on = |member: Member, _: &RowSet| -> Result<(), Error> {
            found.push((member.place, member.head));
            Ok(())
        };
        scratch.each_member(first_wins, &mut on).expect("members");
        found
    }

    #[test]
    fn members_of_a_key_come_together_and_the_one_that_stays_comes_first() {
        let scratch = Scratch::new(2, vec![0], &Stop::never()).expect("a scratch");
        let add = |place: i64, key: i64, rank: Value| {
            let mut rows = RowSet::new(2);
            rows.cells.extend([Cell::Integer(key), Cell::Real(0.5)]);
            scratch.add(RecordOrigin { place, rank: &rank, record: "{}" }, &rows, 0).expect("kept");
        };
        add(1, 7, Value::Null);
        add(2, 8, Value::Null);
        add(3, 7, Value::Integer(5));
        add(4, 7, Value::Integer(5));
        add(5, 7, Value::Integer(4));
        assert_eq!(places(&scratch, false), [(4, 4), (3, 4), (5, 4), (1, 4), (2, 2)]);
        assert_eq!(places(&scratch, true), [(3, 3), (4, 3), (5, 3), (1, 3), (2, 2)]);
    }
}

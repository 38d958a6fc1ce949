//! Somebody's own SQLite file, which may say anything: read, and nothing in it is run.
//!
//! On a connection of its own that never writes: no triggers, no views, no functions with effects
//! from its schema, nothing attached. Only ordinary tables are read.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, named_params};

use crate::host::Stop;

use crate::model::{Error, ErrorKind};
use crate::store::place::look_at_foreign;
use crate::store::refused::refused_operation;
use crate::store::row::only;
use crate::store::sql::quote;
use crate::store::stops::{end_when, wait_for_locks, was_ended};
use crate::store::value::Value;

/// The largest value that is read of somebody's file, bytes: as large as the largest answer.
const VALUE_BYTES_MAX: i32 = 64 * 1024 * 1024;

/// Somebody's SQLite file, open for reading.
pub struct Foreign {
    connection: Connection,
    path: PathBuf,
}

/// An ordinary table of somebody's file.
#[derive(Clone, Debug)]
pub struct ForeignTable {
    pub name: String,
    /// Its columns that hold something of their own.
    pub columns: Vec<String>,
    /// A name under which each row's number can be had; none for a table without.
    pub(crate) rowid: Option<&'static str>,
}

/// What is handed on of a row: its number, and the values of the columns in their order.
pub type OnRow<'f, E> = &'f mut dyn FnMut(i64, &[Value]) -> Result<(), E>;

impl Foreign {
    /// Opens the file at `path`.
    pub fn open(path: &Path, stop: &Stop) -> Result<Self, Error> {
        let connection = open_guarded(path, OpenFlags::SQLITE_OPEN_READ_ONLY, stop)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// The names of its ordinary tables, without SQLite's and windrow's own.
    pub fn tables(&self) -> Result<Vec<String>, Error> {
        table_names(&self.connection).map_err(at_file(&self.path))
    }

    /// One of its tables.
    pub fn table(&self, name: &str) -> Result<ForeignTable, Error> {
        ordinary_table(&self.connection, &self.path, name)
    }

    /// Hands on each row of a table, in the order of the table.
    pub fn each_row<E: From<Error>>(
        &self,
        table: &ForeignTable,
        on: OnRow<'_, E>,
    ) -> Result<(), E> {
        let columns: Vec<String> = table.columns.iter().map(|name| quote(name)).collect();
        let (number, order) = match table.rowid {
            Some(rowid) => (rowid, format!(" ORDER BY {rowid}")),
            None => ("NULL", String::new()),
        };
        let (columns, name) = (columns.join(", "), quote(&table.name));
        let sql = format!(
            "SELECT {number} AS \"_windrow_number\", {columns} FROM {name} NOT INDEXED{order}"
        );
        let error = at_file(&self.path);
        let mut statement = self.connection.prepare(&sql).map_err(&error)?;
        let mut found = statement.query([]).map_err(&error)?;
        let mut values: Vec<Value> = Vec::with_capacity(table.columns.len());
        let mut count = 0_i64;
        while let Some(row) = found.next().map_err(&error)? {
            count += 1;
            values.clear();
            for at in 0..table.columns.len() {
                values.push(strictly(row.get_ref(at + 1).map_err(&error)?));
            }
            let number: Option<i64> = row.get("_windrow_number").map_err(&error)?;
            on(number.unwrap_or(count), &values)?;
        }
        Ok(())
    }
}

/// A text that is no Unicode is handed on as the bytes that it is.
fn strictly(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_owned()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.to_owned()),
        },
    }
}

/// Opens somebody's file so that nothing in it is run. The path is made absolute: SQLite takes a
/// relative one that begins with `file:` for an address.
pub(crate) fn open_guarded(path: &Path, way: OpenFlags, stop: &Stop) -> Result<Connection, Error> {
    look_at_foreign(path)?;
    let full = path.canonicalize().map_err(|error| Error::io(path, "open", &error))?;
    let flags = way | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let guarded = || -> rusqlite::Result<Connection> {
        let mut connection = Connection::open_with_flags(full, flags)?;
        guard(&mut connection, stop)?;
        Ok(connection)
    };
    guarded().map_err(at_file(path))
}

/// Sees to it that nothing in the file of a connection is run, and takes the first look at it.
pub(crate) fn guard(connection: &mut Connection, stop: &Stop) -> rusqlite::Result<()> {
    let stop = stop.clone();
    end_when(connection, move || stop.cause().is_some())?;
    wait_for_locks(connection)?;
    let (yes, no) = (true, false);
    for (setting, value) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, yes),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, no),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, no),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, no),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, no),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, no),
    ] {
        connection.set_db_config(setting, value)?;
    }
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
    connection.execute_batch(
        "PRAGMA cell_size_check = ON;
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = FILE;
         PRAGMA cache_size = -16384;",
    )?;
    // The first look at the file: is it one?
    let sql = "SELECT count(*) FROM sqlite_schema";
    connection.query_row(sql, [], only::<i64>)?;
    Ok(())
}

/// An error of somebody's file: it is no archive, and a damaged one is left as it is.
pub(crate) fn at_file(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
    let path = path.to_owned();
    move |error| {
        if was_ended(&error) {
            return Error::ended();
        }
        let name = path.display();
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                let message = format!("{name} is damaged ({error})");
                let help = "`sqlite3 FILE .recover` saves what can be read; adopt that";
                Error::new(ErrorKind::Unusable, message).help(help)
            }
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                let message = format!("another program is writing to {name}");
                Error::new(ErrorKind::Held, message).help("close it, or wait until it is done")
            }
            Some(rusqlite::ErrorCode::DiskFull) => {
                let message = format!("the disk is full: {name} ({error})");
                let help = "free some space and run it again: nothing was changed";
                Error::new(ErrorKind::Storage, message).help(help)
            }
            Some(
                rusqlite::ErrorCode::SystemIoFailure
                | rusqlite::ErrorCode::CannotOpen
                | rusqlite::ErrorCode::PermissionDenied
                | rusqlite::ErrorCode::ReadOnly,
            ) => {
                let message = format!("{name} cannot be {} ({error})", refused_operation(&error));
                let help = "look at the disk and the permissions; nothing was changed";
                Error::new(ErrorKind::Storage, message).help(help)
            }
            _ => {
                let message = format!("{name} cannot be used: {error}");
                let help = "its schema may need something that this SQLite does not have";
                Error::new(ErrorKind::Definition, message).help(help)
            }
        }
    }
}

pub(crate) fn table_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
          AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_windrow\\_%' ESCAPE '\\'
        ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([], only)?;
    names.collect()
}

pub(crate) fn ordinary_table(
    connection: &Connection,
    path: &Path,
    name: &str,
) -> Result<ForeignTable, Error> {
    let error = at_file(path);
    let names = table_names(connection).map_err(&error)?;
    let file = path.display();
    let Some(name) = names.iter().find(|have| have.eq_ignore_ascii_case(name)) else {
        let kind = "SELECT type FROM sqlite_schema WHERE lower(name) = lower(:name)";
        let kind: Option<String> =
            connection.query_row(kind, named_params! { ":name": name }, only).ok();
        let message = match kind.as_deref() {
            Some("view") => format!("`{name}` of {file} is a view, which is not run"),
            Some(_) => format!("`{name}` of {file} is not an ordinary table"),
            None => format!("there is no table `{name}` in {file}"),
        };
        let help = match names.is_empty() {
            true => "the file has no tables".to_owned(),
            false => format!("it has: {}", names.join(", ")),
        };
        return Err(Error::new(ErrorKind::Definition, message).help(help));
    };
    let read = || -> rusqlite::Result<ForeignTable> {
        let sql = "SELECT name FROM pragma_table_xinfo(:name) WHERE hidden = 0 ORDER BY cid";
        let mut statement = connection.prepare(sql)?;
        let columns: Vec<String> = statement
            .query_map(named_params! { ":name": name }, only)?
            .collect::<rusqlite::Result<_>>()?;
        let sql = "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = :name";
        let without: bool = connection.query_row(sql, named_params! { ":name": name }, only)?;
        let all = "SELECT count(*) FROM pragma_table_xinfo(:name) WHERE lower(name) = :alias";
        let mut rowid = None;
        for alias in ["_rowid_", "rowid", "oid"] {
            let taken: i64 = connection.query_row(
                all,
                named_params! { ":name": name, ":alias": alias },
                only,
            )?;
            if taken == 0 && rowid.is_none() && !without {
                rowid = Some(alias);
            }
        }
        Ok(ForeignTable { name: name.clone(), columns, rowid })
    };
    read().map_err(error)
}

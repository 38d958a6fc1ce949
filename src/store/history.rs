//! Histories: the versions of rows that were replaced, with the time each was true.
//!
//! A trigger of the writing connection, which is no part of the file, copies the old version in
//! the very statement that replaces it. A row that is equal is not written and costs nothing.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::model::{Error, ErrorKind, TableShape};

use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::sql::LiveColumn;
use crate::store::sql::history_name;
use crate::store::sql::live_columns;
use crate::store::sql::quote;
use crate::store::transaction::Tx;

/// What a history adds to the columns of its stream's table.
const REPLACED: [&str; 2] = ["_replaced_at", "_replaced_run"];

/// Since when a stream's history is whole: empty where from its first row on, none where it is not
/// kept.
pub(crate) fn history_from(
    connection: &Connection,
    stream: &str,
) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT history_from FROM _windrow_streams WHERE stream = :stream";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(named_params! { ":stream": stream }, only).optional()?.flatten())
}

impl Reader {
    /// Whether the stream has a history, as windrow makes it.
    pub(crate) fn keeps_history(&self, stream: &str) -> rusqlite::Result<bool> {
        keeps_versions(&self.connection, stream)
    }

    /// Whether the stream has a history that holds anything.
    pub(crate) fn has_history(&self, stream: &str) -> rusqlite::Result<bool> {
        let history = history_name(stream);
        if !self.keeps_history(stream)? {
            return Ok(false);
        }
        let sql = format!("SELECT 1 FROM main.{} LIMIT 1", quote(&history));
        self.connection.prepare(&sql)?.exists([])
    }
}

impl Tx<'_> {
    /// Makes the table's history, brings it up to the table, or ends it. `new` says that the table
    /// has just been made.
    pub(crate) fn settle_history(
        &self,
        shape: &TableShape,
        new: bool,
        now: &str,
    ) -> Result<(), Error> {
        let stream = &shape.name;
        let from = history_from(&self.connection, stream).map_err(at(&self.path))?;
        if shape.retention.history || shape.retention.deletes {
            self.make_history(stream)?;
        }
        let settle = || -> rusqlite::Result<()> {
            let note = "UPDATE _windrow_streams SET history_from = :since WHERE stream = :stream";
            match (shape.retention.history, from) {
                (true, None) => {
                    let since = if new { "" } else { now };
                    self.connection
                        .execute(note, named_params! { ":since": since, ":stream": stream })?;
                    watch_updates(&self.connection, stream)
                }
                (true, Some(_)) => watch_updates(&self.connection, stream),
                (false, Some(_)) => {
                    let none = None::<&str>;
                    self.connection
                        .execute(note, named_params! { ":since": none, ":stream": stream })?;
                    self.connection
                        .execute_batch(&format!("DROP TRIGGER IF EXISTS {}", trigger(stream)))
                }
                (false, None) => Ok(()),
            }
        };
        settle().map_err(at(&self.path))
    }

    /// Makes the table of a history, or gives it the columns that its stream's table has got.
    pub(crate) fn make_history(&self, stream: &str) -> Result<(), Error> {
        let history = history_name(stream);
        let columns = |table: &str| live_columns(&self.connection, table).map_err(at(&self.path));
        let (wanted, have) = (columns(stream)?, columns(&history)?);
        let taken = "SELECT count(*) FROM sqlite_schema WHERE lower(name) = :history";
        let taken: i64 = self
            .connection
            .query_row(taken, named_params! { ":history": &history }, only)
            .map_err(at(&self.path))?;
        let ours = REPLACED.iter().all(|own| have.iter().any(|column| column.name == *own));
        if taken > 0 && !ours {
            let message =
                format!("the archive already has a table `{history}` that windrow did not make");
            let help = "rename the table: that name is needed for the stream's history";
            return Err(Error::new(ErrorKind::Definition, message).help(help));
        }
        let sql = if have.is_empty() {
            create_history(
                &history,
                &wanted,
                &key_of(&self.connection, stream).map_err(at(&self.path))?,
            )
        } else {
            let missing = wanted.iter().filter(|w| !have.iter().any(|h| h.name == w.name));
            let add = missing.map(|column| {
                let (table, name) = (quote(&history), quote(&column.name));
                format!("ALTER TABLE {table} ADD COLUMN {name} {};", column.sql_type)
            });
            add.collect()
        };
        self.connection.execute_batch(&sql).map_err(at(&self.path))
    }

    /// Does what says nothing new of the source: no version is kept of what it replaces.
    pub(crate) fn beside_history<T>(
        &self,
        stream: &str,
        act: impl FnOnce() -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", trigger(stream)))?;
        let done = act()?;
        if history_from(&self.connection, stream)?.is_some() {
            watch_updates(&self.connection, stream)?;
        }
        Ok(done)
    }

    /// Drops the history of a table that never held a row.
    pub(crate) fn drop_empty_history(&self, stream: &str) -> rusqlite::Result<()> {
        let history = history_name(stream);
        if self.keeps_history(stream)? {
            self.connection.execute_batch(&format!("DROP TABLE {}", quote(&history)))?;
        }
        Ok(())
    }
}

/// From here on, whoever writes by this connection keeps the histories that are kept.
pub(crate) fn keep_histories(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT stream FROM _windrow_streams WHERE history_from IS NOT NULL";
    let mut statement = connection.prepare(sql)?;
    let streams = statement.query_map([], |row| row.get::<_, String>("stream"))?;
    let streams: Vec<String> = streams.collect::<rusqlite::Result<_>>()?;
    streams.iter().try_for_each(|stream| watch_updates(connection, stream))
}

/// The trigger is temporary: it belongs to the connection, no file has it, and so it needs no
/// transaction.
pub(crate) fn watch_updates(connection: &Connection, stream: &str) -> rusqlite::Result<()> {
    let columns = live_columns(connection, stream)?;
    let names: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
    let old: Vec<String> = names.iter().map(|name| format!("OLD.{name}")).collect();
    let trigger = trigger(stream);
    connection.execute_batch(&format!(
        "DROP TRIGGER IF EXISTS {trigger};
         CREATE TEMP TRIGGER {trigger} AFTER UPDATE ON main.{} BEGIN
             INSERT INTO {} ({}, \"_replaced_at\", \"_replaced_run\")
             VALUES ({}, NEW.\"_changed_at\", NEW.\"_run\");
         END",
        quote(stream),
        quote(&history_name(stream)),
        names.join(", "),
        old.join(", ")
    ))
}

/// Replaced versions of the stream's rows are not kept until [`watch_updates`].
pub(crate) fn unwatch_updates(connection: &Connection, stream: &str) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("DROP TRIGGER IF EXISTS temp.{}", trigger(stream)))
}

/// Whether a stream has a history, as windrow makes it.
pub(crate) fn keeps_versions(connection: &Connection, stream: &str) -> rusqlite::Result<bool> {
    let columns = live_columns(connection, &history_name(stream))?;
    Ok(columns.iter().any(|column| column.name == REPLACED[0]))
}

fn trigger(stream: &str) -> String {
    quote(&format!("_windrow_history_of_{stream}"))
}

fn key_of(connection: &Connection, stream: &str) -> rusqlite::Result<Vec<String>> {
    let stored = crate::store::table::stored_table(connection, stream)?;
    Ok(stored.map(|(key, _)| key.columns()).unwrap_or_default())
}

/// The indexes of a history.
pub(crate) fn history_indexes(history: &str) -> [String; 2] {
    [format!("{history}_by_key"), format!("{history}_by_time")]
}

/// The statements that make a history: the table's own columns, and when and by which run each
/// version was replaced.
pub(crate) fn create_history(history: &str, columns: &[LiveColumn], key: &[String]) -> String {
    let [by_key, by_time] = history_indexes(history);
    let mut lines: Vec<String> = columns
        .iter()
        .map(|column| {
            let required = if column.required { " NOT NULL" } else { "" };
            format!("{} {}{required}", quote(&column.name), column.sql_type)
        })
        .collect();
    lines.push("\"_replaced_at\" TEXT NOT NULL".to_owned());
    lines.push("\"_replaced_run\" INTEGER NOT NULL".to_owned());
    let key: Vec<String> = key.iter().map(|name| quote(name)).collect();
    format!(
        "CREATE TABLE {0} (\n    {1}\n) STRICT;
         CREATE INDEX {2} ON {0} ({3}, \"_revision\");
         CREATE INDEX {4} ON {0} (\"_replaced_at\");",
        quote(history),
        lines.join(",\n    "),
        quote(&by_key),
        key.join(", "),
        quote(&by_time),
    )
}

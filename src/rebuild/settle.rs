//! The end of a rebuild: the table that was set aside is let go, or put back.

use rusqlite::{OptionalExtension, named_params};

use crate::model::{Command, Error, ErrorKind};
use crate::rebuild::carry::ended_history;
use crate::rebuild::table_swap::{PARTS, TableObject, before, history_before, part_before};
use crate::store::error::at;
use crate::store::history::{unwatch_updates, watch_updates};
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::row::{from_json, named};
use crate::store::sql::{history_name, live_columns, quote};
use crate::store::transaction::Tx;

/// What the table was, as it was noted.
struct Was {
    run: i64,
    key: String,
    columns: String,
    inferred: bool,
    objects: Vec<TableObject>,
    history_from: Option<String>,
}

impl Reader {
    /// The streams whose rebuild is not confirmed yet.
    pub fn open_rebuilds(&self) -> Result<Vec<String>, Error> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let sql = "SELECT stream FROM _windrow_rebuilds ORDER BY stream";
            let mut statement = self.connection.prepare(sql)?;
            statement.query_map([], only)?.collect()
        };
        read().map_err(at(&self.path))
    }
}

impl Tx<'_> {
    /// Lets go of what a rebuild set aside. Gives the number of rows of the old table.
    pub fn confirm_rebuild(&self, stream: &str) -> Result<u64, Error> {
        let write = || -> rusqlite::Result<u64> {
            let old = quote(&before(stream));
            let count = format!("SELECT count(*) FROM {old}");
            let rows = self.connection.query_row(&count, [], only)?;
            let history = quote(&history_before(stream));
            let drop = format!("DROP TABLE {old}; DROP TABLE IF EXISTS {history}");
            self.connection.execute_batch(&drop)?;
            for part in PARTS {
                let copy = quote(&part_before(part, stream));
                self.connection.execute_batch(&format!("DROP TABLE {copy}"))?;
            }
            self.forget_rebuild(stream)?;
            Ok(rows)
        };
        write().map_err(at(&self.path))
    }

    fn forget_rebuild(&self, stream: &str) -> rusqlite::Result<()> {
        let sql = "DELETE FROM _windrow_rebuilds WHERE stream = :stream";
        self.connection.execute(sql, named_params! { ":stream": stream }).map(|_| ())
    }

    /// Puts back what a rebuild set aside. Gives the number of rows of the table that is there
    /// again. Refused once anything has come to the stream since.
    pub fn undo_rebuild(&self, stream: &str) -> Result<u64, Error> {
        let sql = "SELECT r.run_id, r.command FROM _windrow_runs AS r JOIN _windrow_rebuilds AS b
                ON b.stream = :stream AND r.run_id > b.run_id
            WHERE r.command IN (SELECT value FROM json_each(:uncounted)) OR EXISTS
                (SELECT 1 FROM _windrow_run_streams AS s
                 WHERE s.run_id = r.run_id AND s.stream = :stream
                   AND (s.received > 0 OR s.windows_completed > 0 OR s.late_rejects > 0))
            ORDER BY r.run_id DESC LIMIT 1";
        let uncounted = Command::names_where(Command::changes_uncounted);
        let values = named_params! { ":stream": stream, ":uncounted": uncounted };
        let since: Option<(i64, Command)> = self
            .connection
            .query_row(sql, values, |row| {
                Ok((row.get("run_id")?, named(row, "command", ("_windrow_runs", "command"))?))
            })
            .optional()
            .map_err(at(&self.path))?;
        if let Some((run, command)) = since {
            let message = format!(
                "the archive was written to since stream `{stream}` was made again (last by run \
                 {run}, {command}): to put the old table back would lose that"
            );
            let help = "confirm it, go back to the old definition, and rebuild: the kept pages \
                        hold everything";
            return Err(Error::new(ErrorKind::Definition, message).help(help));
        }
        self.put_back(stream).map_err(at(&self.path))
    }

    fn put_back(&self, stream: &str) -> rusqlite::Result<u64> {
        let was = self.noted(stream)?;
        unwatch_updates(&self.connection, stream)?;
        self.take_objects(stream)?;
        self.connection.execute_batch(&format!("DROP TABLE {}", quote(stream)))?;
        self.drop_empty_history(stream)?;
        let ended = quote(&ended_history(stream, was.run));
        self.connection.execute_batch(&format!("DROP TABLE IF EXISTS {ended}"))?;
        self.rename_table(&before(stream), stream)?;
        if !live_columns(&self.connection, &history_before(stream))?.is_empty() {
            self.rename_table(&history_before(stream), &history_name(stream))?;
        }
        for object in &was.objects {
            self.connection.execute_batch(&object.sql)?;
        }
        self.keep_new_discards(stream)?;
        for part in PARTS {
            let copy = part_before(part, stream);
            let columns = live_columns(&self.connection, &copy)?;
            let names: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
            let names = names.join(", ");
            self.connection.execute(
                &format!(
                    "DELETE FROM {part} WHERE
                stream = :stream"
                ),
                named_params! { ":stream": stream },
            )?;
            self.connection.execute_batch(&format!(
                "INSERT INTO {part} ({names}) SELECT {names} FROM {0}; DROP TABLE {0}",
                quote(&copy)
            ))?;
        }
        let sql =
            "UPDATE _windrow_streams SET key = :key, columns = :columns, inferred = :inferred,
                history_from = :history_from, definition_id =
                (SELECT definition_id FROM _windrow_rebuilds WHERE stream = :stream)
                WHERE stream = :stream";
        let values = named_params! {
            ":key": was.key,
            ":columns": was.columns,
            ":inferred": was.inferred,
            ":history_from": was.history_from,
            ":stream": stream,
        };
        self.connection.execute(sql, values)?;
        let sql = "DELETE FROM _windrow_run_streams WHERE run_id = :run AND stream = :stream";
        self.connection.execute(sql, named_params! { ":run": was.run, ":stream": stream })?;
        if was.history_from.is_some() {
            watch_updates(&self.connection, stream)?;
        }
        self.forget_rebuild(stream)?;
        let count = format!("SELECT count(*) FROM {}", quote(stream));
        self.connection.query_row(&count, [], only)
    }

    fn noted(&self, stream: &str) -> rusqlite::Result<Was> {
        let sql = "SELECT run_id, key, columns, inferred, objects, history_from
            FROM _windrow_rebuilds WHERE stream = :stream";
        self.connection.query_row(sql, named_params! { ":stream": stream }, |row| {
            let objects: String = row.get("objects")?;
            Ok(Was {
                run: row.get("run_id")?,
                key: row.get("key")?,
                columns: row.get("columns")?,
                inferred: row.get("inferred")?,
                objects: from_json(&objects, 4)?,
                history_from: row.get("history_from")?,
            })
        })
    }

    /// What a person has set aside meanwhile stays so.
    fn keep_new_discards(&self, stream: &str) -> rusqlite::Result<()> {
        self.connection.execute_batch(&format!(
            "UPDATE {} AS old SET discarded_at = new.discarded_at,
                discarded_by = new.discarded_by, discard_note = new.discard_note
             FROM _windrow_rejects AS new WHERE new.stream = '{stream}'
                AND old.discarded_at IS NULL AND new.discarded_at IS NOT NULL
                AND new.partition = old.partition AND new.record_sha256 = old.record_sha256",
            quote(&part_before("_windrow_rejects", stream))
        ))
    }
}

//! What a rebuild carries over from the table that was set aside: rows that no kept page gives,
//! marks of rows that are gone, the stamps of what says the same, and the history.
//!
//! A rebuild is a change like any other: what says the same keeps its stamps, what says something
//! else has changed now, and the history keeps what was said until then, as it was said.

use chrono::TimeDelta;
use rusqlite::named_params;
use serde::Serialize;

use crate::definition::TypeFamily;
use crate::model::{Command, Error, TableColumn, TableShape, instant_from_text, instant_to_text};

use crate::rebuild::table_swap::{before, history_before, same_key, trial};
use crate::store::error::at;
use crate::store::history::create_history;
use crate::store::row::{named_or_none, only};
use crate::store::sql::key_text;
use crate::store::sql::{LiveColumn, history_name, live_columns, quote};
use crate::store::transaction::Tx;

/// Rows of the table that was set aside that are carried over, by their place in it.
const CARRIED: &str = "temp._windrow_carried";

/// A table that was made again, and the one that was set aside.
#[derive(Clone, Copy, Debug)]
pub struct Remade<'a> {
    /// The table as it was.
    pub old: &'a TableShape,
    /// The table as it is.
    pub new: &'a TableShape,
    pub run: i64,
    pub now: &'a str,
}

/// Rows that no kept page gives, by the command that brought them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// The command; none where a row names a run that is not there.
    pub command: Option<Command>,
    /// The first run of them.
    pub first_run: i64,
    /// The last run of them.
    pub last_run: i64,
    pub rows: u64,
}

impl std::fmt::Display for Carried {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let command = self.command.map_or("unknown", Command::as_str);
        match (self.first_run, self.last_run) {
            (one, last) if one == last => write!(out, "{} of run {one} ({command})", self.rows),
            (one, last) => write!(out, "{} of runs {one} to {last} ({command})", self.rows),
        }
    }
}

/// What ends where a key is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndedHistory {
    /// Rows that were marked or deleted as gone at the source and are there again.
    pub alive: u64,
    /// The table that the history until now stays in.
    pub history: Option<String>,
}

/// Columns of the two tables, side by side.
struct CarriedColumns<'a> {
    /// Of the same name and type, without the key.
    shared: Vec<&'a str>,
    /// Of the same name and another type.
    retyped: Vec<&'a str>,
    added: Vec<&'a str>,
    dropped: Vec<&'a TableColumn>,
    key: Vec<String>,
}

impl<'a> CarriedColumns<'a> {
    fn of(old: &'a TableShape, new: &'a TableShape) -> Self {
        let key = new.key.columns();
        let kind = |shape: &TableShape, name: &str| {
            shape.columns.iter().find(|column| column.name == name).map(|column| column.kind)
        };
        let (mut shared, mut retyped, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for column in new.columns.iter().filter(|column| !key.contains(&column.name)) {
            let list = match kind(old, &column.name) {
                None => &mut added,
                Some(was) if was == column.kind => &mut shared,
                Some(_) => &mut retyped,
            };
            list.push(column.name.as_str());
        }
        let dropped = old.columns.iter().filter(|column| kind(new, &column.name).is_none());
        Self { shared, retyped, added, dropped: dropped.collect(), key }
    }

    /// The condition under which the new row says what the old one said, in the same columns.
    fn agree(&self) -> String {
        let mut same: Vec<String> = self.shared.iter().map(|name| is_same(name)).collect();
        if self.retyped.is_empty() && self.added.is_empty() && self.dropped.is_empty() {
            same.push(is_same("_rest"));
        }
        all_of(same)
    }

    /// The condition under which it says that and nothing more.
    fn unchanged(&self, remade: &Remade<'_>) -> String {
        let mut same = vec![is_same("_rest")];
        same.extend(self.shared.iter().chain(&self.retyped).map(|name| is_same(name)));
        same.extend(self.added.iter().map(|name| format!("new.{} IS NULL", quote(name))));
        let dropped = self.dropped.iter().map(|column| quote(&column.name));
        same.extend(dropped.map(|name| format!("old.{name} IS NULL")));
        match (remade.old.retention.marks, remade.new.retention.marks) {
            (true, true) => same
                .push("(new.\"_deleted_at\" IS NULL) = (old.\"_deleted_at\" IS NULL)".to_owned()),
            (false, true) => same.push("new.\"_deleted_at\" IS NULL".to_owned()),
            (_, false) => {}
        }
        all_of(same)
    }
}

fn is_same(name: &str) -> String {
    format!("new.{0} IS old.{0}", quote(name))
}

fn all_of(conditions: Vec<String>) -> String {
    if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") }
}

impl Tx<'_> {
    /// Finds the rows of the table that was set aside that no kept page gives: those that the trial
    /// table, which holds what the pages gave then, does not hold as they are, and that the new
    /// table does not say either. Without a trial there are none. Gives their number.
    pub fn find_carried(&self, remade: &Remade<'_>, tried: bool) -> Result<u64, Error> {
        let Remade { old, new, .. } = remade;
        let find = || -> rusqlite::Result<u64> {
            self.connection.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {CARRIED} (row INTEGER PRIMARY KEY) STRICT;
                 DELETE FROM {CARRIED};"
            ))?;
            let Some(join) = same_key(old, old).filter(|_| tried) else { return Ok(0) };
            let (aside, tried) = (quote(&before(&old.name)), quote(&trial(&old.name)));
            let same = old.row_columns();
            let same: Vec<String> = same.iter().map(|name| is_same(name)).collect();
            self.connection.execute_batch(&format!(
                "INSERT INTO {CARRIED} SELECT old._rowid_ FROM main.{aside} AS old
                 WHERE NOT EXISTS (SELECT 1 FROM main.{tried} AS new WHERE {join} AND {})",
                same.join(" AND ")
            ))?;
            if let Some(join) = same_key(old, new) {
                self.connection.execute_batch(&format!(
                    "DELETE FROM {CARRIED} WHERE row IN (SELECT old._rowid_ FROM main.{aside}
                        AS old JOIN main.{} AS new ON {join} WHERE {})",
                    quote(&new.name),
                    CarriedColumns::of(old, new).agree()
                ))?;
            }
            let count = format!("SELECT count(*) FROM {CARRIED}");
            self.connection.query_row(&count, [], only)
        };
        find().map_err(at(&self.path))
    }

    /// The rows that are carried over, by where they came from.
    pub fn carried(&self, stream: &str) -> Result<Vec<Carried>, Error> {
        let sql = format!(
            "SELECT r.command, min(old._run) AS first_run, max(old._run)
                AS last_run, count(*) AS rows
             FROM {CARRIED} AS c JOIN main.{} AS old ON old._rowid_ = c.row
             LEFT JOIN _windrow_runs AS r ON r.run_id = old._run
             GROUP BY 1 ORDER BY 2",
            quote(&before(stream))
        );
        let read = || -> rusqlite::Result<Vec<Carried>> {
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map([], |row| {
                Ok(Carried {
                    command: named_or_none(row, "command", ("_windrow_runs", "command"))?,
                    first_run: row.get("first_run")?,
                    last_run: row.get("last_run")?,
                    rows: row.get("rows")?,
                })
            })?;
            rows.collect()
        };
        read().map_err(at(&self.path))
    }

    /// Why rows that are to be carried over do not fit the new table, if they do not: the first
    /// column that stands in the way, or the key.
    pub fn unfit(&self, remade: &Remade<'_>) -> Result<Option<String>, Error> {
        let Remade { old, new, .. } = remade;
        if same_key(old, new).is_none() {
            return Ok(Some("under another key".to_owned()));
        }
        let columns = CarriedColumns::of(old, new);
        let blobs =
            columns.dropped.iter().filter(|column| column.kind.family() == TypeFamily::Bytes);
        let blobs = blobs.map(|column| column.name.as_str());
        for name in columns.retyped.iter().copied().chain(blobs) {
            let sql = format!(
                "SELECT 1 FROM {CARRIED} AS c JOIN main.{} AS old ON old._rowid_ = c.row
                 WHERE old.{} IS NOT NULL LIMIT 1",
                quote(&before(&old.name)),
                quote(name)
            );
            let found = self.connection.prepare(&sql).and_then(|mut s| s.exists([]));
            if found.map_err(at(&self.path))? {
                return Ok(Some(format!("with another type of `{name}`")));
            }
        }
        Ok(None)
    }

    /// Brings the new table together with what is carried over.
    pub fn carry_over(&self, remade: &Remade<'_>) -> Result<EndedHistory, Error> {
        let carry = || match same_key(remade.old, remade.new) {
            Some(join) => self.carry_all(remade, &join).map(|()| EndedHistory::default()),
            None => self.begin_anew(remade),
        };
        carry().map_err(at(&self.path))
    }

    /// Another key: every row is new, and what was known of the old keys ends.
    fn begin_anew(&self, remade: &Remade<'_>) -> rusqlite::Result<EndedHistory> {
        let Remade { new, run, now, .. } = *remade;
        let stamps = format!(
            "UPDATE main.{} SET _changed_at = :now, _revision = 1, _run = :run",
            quote(&new.name)
        );
        self.connection.execute(&stamps, named_params! { ":now": now, ":run": run })?;
        let history = self.end_history(remade)?;
        let sql = "SELECT count(*) FROM _windrow_vanished WHERE stream = :name
            AND state IN ('marked', 'deleted')";
        let alive = self.connection.query_row(sql, named_params! { ":name": &new.name }, only)?;
        let sql = "DELETE FROM _windrow_vanished WHERE stream = :name";
        self.connection.execute(sql, named_params! { ":name": &new.name })?;
        Ok(EndedHistory { alive, history })
    }

    fn carry_all(&self, remade: &Remade<'_>, join: &str) -> rusqlite::Result<()> {
        let Remade { old, new, run, now } = *remade;
        let table = quote(&new.name);
        let aside = quote(&before(&new.name));
        let columns = CarriedColumns::of(old, new);
        if old.retention.marks {
            self.keep_marks(remade, join, &columns)?;
        }
        let unchanged = columns.unchanged(remade);
        self.go_on_with_history(remade, join, &unchanged)?;
        let deleted_at = match (old.retention.marks, new.retention.marks) {
            (true, true) => ", _deleted_at = old._deleted_at",
            _ => "",
        };
        self.connection.execute_batch(&format!(
            "UPDATE main.{table} AS new SET _first_seen_at = old._first_seen_at,
                _changed_at = old._changed_at, _revision = old._revision,
                _run = old._run{deleted_at}
             FROM main.{aside} AS old WHERE {join} AND {unchanged}"
        ))?;
        let sql = format!(
            "UPDATE main.{table} AS new SET
                _first_seen_at = min(old._first_seen_at, new._first_seen_at),
                _changed_at = max(old._changed_at, :now), _revision = old._revision + 1, _run = :run
             FROM main.{aside} AS old WHERE {join} AND NOT ({unchanged})"
        );
        self.connection.execute(&sql, named_params! { ":now": now, ":run": run })?;
        let key = key_text(&columns.key, "new");
        let fresh = format!("NOT EXISTS (SELECT 1 FROM main.{aside} AS old WHERE {join})");
        let sql = format!(
            "DELETE FROM main.{table} AS new WHERE {fresh} AND {key} IN
                (SELECT key FROM _windrow_vanished WHERE stream = :name AND state = 'deleted')"
        );
        self.connection.execute(&sql, named_params! { ":name": &new.name })?;
        let sql = format!(
            "UPDATE main.{table} AS new SET _changed_at = :now, _revision = 1, _run = :run
             WHERE {fresh}"
        );
        self.connection.execute(&sql, named_params! { ":now": now, ":run": run })?;
        self.carry_rows(remade, join, &columns)?;
        let sql = format!(
            "DELETE FROM _windrow_vanished WHERE stream = :name AND state <> 'deleted'
                AND key NOT IN (SELECT {key} FROM main.{table} AS new)"
        );
        self.connection.execute(&sql, named_params! { ":name": &new.name }).map(|_| ())
    }

    /// Rows that were marked since their source no longer returns them stay marked: no page says
    /// so. What a tombstone said is in the pages.
    fn keep_marks(
        &self,
        remade: &Remade<'_>,
        join: &str,
        columns: &CarriedColumns<'_>,
    ) -> rusqlite::Result<()> {
        let stream = &remade.new.name;
        let sql = format!(
            "UPDATE main.{} AS new SET _deleted_at = old._deleted_at FROM main.{} AS old
             WHERE {join} AND old._deleted_at IS NOT NULL AND {} IN
                (SELECT key FROM _windrow_vanished WHERE stream = :stream AND state = 'marked')",
            quote(stream),
            quote(&before(stream)),
            key_text(&columns.key, "old")
        );
        self.connection.execute(&sql, named_params! { ":stream": stream }).map(|_| ())
    }

    /// Puts the rows that no page gives into the new table, with the stamps that they have.
    fn carry_rows(
        &self,
        remade: &Remade<'_>,
        join: &str,
        columns: &CarriedColumns<'_>,
    ) -> rusqlite::Result<()> {
        let Remade { old, new, .. } = remade;
        let (table, aside) = (quote(&new.name), quote(&before(&new.name)));
        let mut names: Vec<&str> = columns.key.iter().map(String::as_str).collect();
        names.extend(columns.shared.iter().copied());
        names.extend(["_first_seen_at", "_changed_at", "_revision", "_run"]);
        if old.retention.marks && new.retention.marks {
            names.push("_deleted_at");
        }
        let list: Vec<String> = names.iter().map(|name| quote(name)).collect();
        let from: Vec<String> = list.iter().map(|name| format!("old.{name}")).collect();
        self.connection.execute_batch(&format!(
            "DELETE FROM main.{table} WHERE _rowid_ IN (SELECT new._rowid_
                FROM {CARRIED} AS c JOIN main.{aside} AS old ON old._rowid_ = c.row
                JOIN main.{table} AS new ON {join});
             INSERT INTO main.{table} ({}, _rest) SELECT {}, {}
             FROM {CARRIED} AS c JOIN main.{aside} AS old ON old._rowid_ = c.row ORDER BY c.row",
            list.join(", "),
            from.join(", "),
            rest_with(&columns.dropped)
        ))
    }

    /// The history of the same key goes on: the last versions of rows that say something else now,
    /// or are gone, join it. Versions stay as they were said, in the columns of then.
    fn go_on_with_history(
        &self,
        remade: &Remade<'_>,
        join: &str,
        unchanged: &str,
    ) -> rusqlite::Result<()> {
        let Remade { new, .. } = remade;
        let wanted = live_columns(&self.connection, &new.name)?;
        let history = history_name(&new.name);
        if !self.copy_history(remade, &history, &wanted)? {
            return Ok(());
        }
        let aside = quote(&before(&new.name));
        let replaced = format!(
            "NOT EXISTS (SELECT 1 FROM main.{} AS new WHERE {join} AND {unchanged})
             AND old._rowid_ NOT IN (SELECT row FROM {CARRIED})",
            quote(&new.name)
        );
        self.add_last_versions(remade, &history, &aside, &replaced)
    }

    /// The history of another key ends: versions of different keys do not follow each other. It
    /// stays, with the last version of each row, as a table of its own.
    fn end_history(&self, remade: &Remade<'_>) -> rusqlite::Result<Option<String>> {
        let Remade { new, run, .. } = remade;
        let ended = ended_history(&new.name, *run);
        if !self.copy_history(remade, &ended, &[])? {
            return Ok(None);
        }
        let aside = quote(&before(&new.name));
        self.add_last_versions(remade, &ended, &aside, "TRUE")?;
        let sql = "UPDATE _windrow_streams SET history_from = NULL WHERE stream = :name";
        self.connection.execute(sql, named_params! { ":name": &new.name })?;
        Ok(Some(ended))
    }

    /// Makes a history as table `into`, of the old one's columns and these, with all versions. A
    /// column whose type changes takes any. False where there is none.
    fn copy_history(
        &self,
        remade: &Remade<'_>,
        into: &str,
        wanted: &[LiveColumn],
    ) -> rusqlite::Result<bool> {
        let had = live_columns(&self.connection, &history_before(&remade.new.name))?;
        if had.is_empty() {
            return Ok(false);
        }
        let own = ["_replaced_at", "_replaced_run"];
        let names: Vec<String> = had.iter().map(|column| quote(&column.name)).collect();
        let mut columns: Vec<LiveColumn> =
            had.into_iter().filter(|column| !own.contains(&column.name.as_str())).collect();
        for column in &mut columns {
            let now = wanted.iter().find(|now| now.name == column.name);
            column.required &= now.is_some_and(|now| now.required);
            if now.is_some_and(|now| now.sql_type != column.sql_type) {
                column.sql_type = "ANY".to_owned();
            }
        }
        for column in wanted.iter().filter(|now| !names.contains(&quote(&now.name))) {
            let (name, sql_type) = (column.name.clone(), column.sql_type.clone());
            columns.push(LiveColumn { name, sql_type, required: false });
        }
        let key = if wanted.is_empty() { &remade.old.key } else { &remade.new.key };
        let names = names.join(", ");
        self.connection.execute_batch(&format!(
            "{} INSERT INTO main.{} ({names}) SELECT {names} FROM main.{} ORDER BY _rowid_;",
            create_history(into, &columns, &key.columns()),
            quote(into),
            quote(&history_before(&remade.new.name))
        ))?;
        Ok(true)
    }

    fn add_last_versions(
        &self,
        remade: &Remade<'_>,
        history: &str,
        aside: &str,
        which: &str,
    ) -> rusqlite::Result<()> {
        let Remade { new, run, now, .. } = *remade;
        if crate::store::history::history_from(&self.connection, &new.name)?.is_none() {
            return Ok(());
        }
        let names = live_columns(&self.connection, &before(&new.name))?;
        let names: Vec<String> = names.iter().map(|column| quote(&column.name)).collect();
        let from: Vec<String> = names.iter().map(|name| format!("old.{name}")).collect();
        let sql = format!(
            "INSERT INTO main.{} ({}, _replaced_at, _replaced_run)
             SELECT {}, max(old._changed_at, :now), :run FROM main.{aside} AS old WHERE {which}",
            quote(history),
            names.join(", "),
            from.join(", ")
        );
        self.connection.execute(&sql, named_params! { ":now": now, ":run": run }).map(|_| ())
    }

    /// The rebuild is done: the stream is watched for its history as the definition says, and the
    /// rebuild is among what happened to it.
    ///
    /// A history that begins with a rebuild does not reach back to what was before it.
    pub fn end_rebuild(&self, remade: &Remade<'_>) -> Result<(), Error> {
        let after = instant_from_text(remade.now).map(|at| at + TimeDelta::milliseconds(1));
        let after = after.map_or_else(|| remade.now.to_owned(), instant_to_text);
        self.settle_history(remade.new, false, &after)?;
        let stream = remade.new.name.clone();
        let row = crate::store::runs::RunStreamRow {
            stream,
            ..crate::store::runs::RunStreamRow::default()
        };
        self.add_to_run(remade.run, &row)?;
        self.note_table_definition(&remade.new.name, remade.run)
    }
}

/// The name of the table that holds the history of a key that a rebuild has changed.
pub(crate) fn ended_history(stream: &str, run: i64) -> String {
    format!("{stream}_history_until_{run}")
}

/// The rest of a row whose dropped columns go into it; those that are NULL do not.
fn rest_with(dropped: &[&TableColumn]) -> String {
    let dropped: Vec<_> =
        dropped.iter().filter(|column| column.kind.family() != TypeFamily::Bytes).collect();
    if dropped.is_empty() {
        return "old._rest".to_owned();
    }
    let (mut sets, mut removals, mut nulls) = (String::new(), String::new(), Vec::new());
    for column in dropped {
        let (name, path) = (quote(&column.name), format!("'$.\"{}\"'", column.name));
        let value = match column.kind.family() {
            TypeFamily::Boolean => format!("json(iif(old.{name}, 'true', 'false'))"),
            TypeFamily::Json => format!("json(old.{name})"),
            _ => format!("old.{name}"),
        };
        sets.push_str(&format!(", {path}, {value}"));
        removals.push_str(&format!(", iif(old.{name} IS NULL, {path}, '$.\"\"')"));
        nulls.push(format!("old.{name} IS NULL"));
    }
    format!(
        "iif({}, old._rest, json_remove(json_set(coalesce(old._rest, '{{}}'){sets}){removals}))",
        nulls.join(" AND ")
    )
}

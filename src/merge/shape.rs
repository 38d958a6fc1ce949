//! The tables of one stream in two archives: what cannot be united, and their common columns.

use rusqlite::Connection;
use rusqlite::named_params;

use crate::merge::stream_policy::MergePolicy;
use crate::model::{Error, KeyShape, Retention, TableColumn, TableShape};
use crate::store::error::at;
use crate::store::history::{history_from, keeps_versions, unwatch_updates};
use crate::store::read::StreamRow;
use crate::store::reader::Reader;
use crate::store::sql::{history_name, live_columns, quote};
use crate::store::table::{key_text, stored_table, type_text};
use crate::store::value::Value;

use crate::merge::fill::Fills;
use crate::merge::tables::{Merge, Taking};
use crate::store::content::MARK;
use crate::store::row::only;

/// What the tables of one stream differ in, so that their rows are no rows of one stream.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TableDifference {
    pub stream: String,
    /// What differs: `key`, or a column.
    pub what: String,
    /// What it is in this archive.
    pub ours: String,
    /// What it is in the other.
    pub theirs: String,
}

/// Columns that the definition gives a meaning.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamedColumns<'n> {
    /// Tells older from newer.
    pub version: Option<&'n str>,
    /// Holds a row's own time.
    pub field: Option<&'n str>,
}

/// The tables of one stream in the two archives.
#[derive(Clone, Debug)]
pub struct Pair {
    pub(crate) stream: String,
    /// The columns of the key.
    pub(crate) key: Vec<String>,
    /// All columns that say something, by this archive's names: the key's, the others, `_rest`
    /// and, where rows are marked as gone, `_deleted_at`.
    pub(crate) columns: Vec<String>,
    /// What the other archive calls each of them, where it has them.
    pub(crate) theirs: Vec<Option<String>>,
    /// The place of the version among the columns.
    pub(crate) version: Option<usize>,
    /// The place of the column that holds a row's time.
    pub(crate) field: Option<usize>,
    /// Whether this archive keeps what is replaced in the stream's history.
    pub(crate) history: bool,
    /// Whether the stream was not here before.
    pub(crate) new: bool,
    /// The columns of the stream, with their types.
    pub(crate) typed: Vec<TableColumn>,
    /// Columns that this archive has got from the other.
    pub(crate) added: Vec<String>,
}

impl StreamRow {
    /// What keeps the rows of two tables from being rows of one stream.
    pub fn differences(&self, theirs: &StreamRow) -> Vec<TableDifference> {
        let difference = |what: String, ours: String, theirs: String| TableDifference {
            stream: self.stream.clone(),
            what,
            ours,
            theirs,
        };
        let mut all = Vec::new();
        if self.key != theirs.key {
            all.push(difference("key".to_owned(), key_text(&self.key), key_text(&theirs.key)));
        }
        for column in &self.columns {
            if let Some(other) = TableColumn::other_case(&theirs.columns, &column.name) {
                let mut names = [column.name.as_str(), other.name.as_str()];
                names.sort_unstable();
                let what =
                    format!("column for one of the members `{}` and `{}`", names[0], names[1]);
                let quoted = |name: &str| format!("`{name}`");
                all.push(difference(what, quoted(&column.name), quoted(&other.name)));
            }
            let other = theirs.columns.iter().find(|have| have.name == column.name);
            if let Some(other) = other.filter(|other| other.kind != column.kind) {
                let what = format!("column `{}`", column.name);
                all.push(difference(what, type_text(column.kind), type_text(other.kind)));
            }
        }
        all
    }
}

impl Merge<'_> {
    /// Makes the stream's table, or gives it the columns that only the other archive has.
    pub fn pair(
        &self,
        theirs: &Reader,
        stream: &StreamRow,
        named: NamedColumns<'_>,
        judge: &MergePolicy<'_>,
    ) -> Result<Pair, Error> {
        let wrong = at(&self.tx.path);
        let name = &stream.stream;
        let new = !self.tx.has_table(name)?;
        let before = live_columns(self.ours(), name).map_err(&wrong)?.len();
        let their_from = history_from(&theirs.connection, name).map_err(&wrong)?;
        let marks = has_column(&theirs.connection, name, MARK).map_err(&wrong)?;
        let kept = has_column(&theirs.connection, &history_name(name), "_replaced_at");
        let kept = kept.map_err(&wrong)?;
        let our_from = history_from(self.ours(), name).map_err(&wrong)?;
        let history = if new { their_from.is_some() } else { our_from.is_some() };
        let shape = TableShape {
            name: name.clone(),
            columns: stream.columns.clone(),
            key: stream.key.clone(),
            version: None,
            on_conflict: crate::definition::OnConflict::Update,
            references: Vec::new(),
            inferred: stream.inferred,
            retention: Retention { history, marks, deletes: kept, ..Retention::default() },
        };
        let start = stream.start_at.map(crate::model::instant_to_text);
        let mut added = self.tx.ensure_table(&shape, start.as_deref(), &self.now)?;
        if new {
            added.clear();
        }
        self.fill_added(name, &added, judge)?;
        if new && let Some(from) = &their_from {
            let sql = "UPDATE _windrow_streams SET history_from = :from WHERE stream = :name";
            self.ours()
                .execute(sql, named_params! { ":name": name, ":from": from })
                .map_err(&wrong)?;
        }
        let live = live_columns(self.ours(), name).map_err(&wrong)?;
        // One that has ended has not got the columns with its table.
        if history || keeps_versions(self.ours(), name).map_err(&wrong)? {
            self.tx.make_history(name)?;
        }
        unwatch_updates(self.ours(), name).map_err(&wrong)?;
        if new || live.len() > before {
            self.grown.set(true);
        }
        let pair = self.describe(&theirs.connection, stream, named, (new, history));
        Ok(Pair { added, ..pair.map_err(&wrong)? })
    }

    fn describe(
        &self,
        theirs: &Connection,
        stream: &StreamRow,
        named: NamedColumns<'_>,
        (new, history): (bool, bool),
    ) -> rusqlite::Result<Pair> {
        let own = ["_first_seen_at", "_changed_at", "_revision", "_run"];
        let names = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
            let columns = live_columns(connection, &stream.stream)?;
            let names = columns.into_iter().map(|column| column.name);
            Ok(names.filter(|name| !own.contains(&name.as_str())).collect())
        };
        let (columns, others) = (names(self.ours())?, names(theirs)?);
        let find = |name: &String| others.iter().find(|have| *have == name).cloned();
        let place =
            |wanted: Option<&str>| columns.iter().position(|name| wanted == Some(name.as_str()));
        let stored = stored_table(self.ours(), &stream.stream)?;
        let (key, typed) = stored.unwrap_or((KeyShape::Columns(Vec::new()), Vec::new()));
        Ok(Pair {
            stream: stream.stream.clone(),
            theirs: columns.iter().map(find).collect(),
            version: place(named.version),
            field: place(named.field),
            key: key.columns(),
            columns,
            history,
            new,
            typed,
            added: Vec::new(),
        })
    }
}

pub(crate) fn has_column(
    connection: &Connection,
    table: &str,
    column: &str,
) -> rusqlite::Result<bool> {
    Ok(live_columns(connection, table)?.iter().any(|have| have.name == column))
}

/// The columns in which windrow says when and how a row came.
const OWN: &str = "\"_first_seen_at\", \"_changed_at\", \"_revision\", \"_run\"";

impl Pair {
    /// What is read of this archive's table or history: the columns, windrow's own, the row's
    /// number.
    pub(crate) fn our_list(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|name| quote(name)).collect();
        format!("{}, {OWN}, _rowid_", names.join(", "))
    }

    /// The same of the other's table or history, and how what it lacks is filled. A table that
    /// cannot mark rows has none that is marked; a history may lack columns that its table has got
    /// since.
    pub(crate) fn their_side<'j>(
        &self,
        theirs: &Connection,
        table: &str,
        judge: &'j MergePolicy<'j>,
    ) -> rusqlite::Result<(String, Option<Fills<'j>>)> {
        let live = live_columns(theirs, table)?;
        let known = |name: &String| live.iter().any(|column| column.name == *name);
        let have: Vec<Option<String>> =
            self.theirs.iter().map(|name| name.clone().filter(|name| known(name))).collect();
        let name = |name: &Option<String>| name.as_deref().map_or("NULL".to_owned(), quote);
        let names: Vec<String> = have.iter().map(name).collect();
        let list = format!("{}, {OWN}, _rowid_", names.join(", "));
        Ok((list, Fills::new(&self.columns, &self.typed, &have, judge)))
    }

    /// Names in this archive's statements.
    pub(crate) fn names(&self) -> String {
        self.columns.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
    }

    /// The condition of a row by its key, from placeholder `from` on.
    pub(crate) fn by_key(&self, from: usize) -> String {
        let same = self.key.iter().enumerate();
        let same = same.map(|(n, name)| format!("{} = ?{}", quote(name), from + n));
        same.collect::<Vec<_>>().join(" AND ")
    }

    /// The places of the key's columns.
    pub(crate) fn key_places(&self) -> Vec<usize> {
        let place = |name: &String| self.columns.iter().position(|have| have == name);
        self.key.iter().filter_map(place).collect()
    }

    pub(crate) fn key_values<'v>(&self, values: &'v [Value]) -> Vec<&'v Value> {
        self.key_places().into_iter().map(|at| &values[at]).collect()
    }

    /// Columns that this archive has got from the other.
    pub fn added(&self) -> &[String] {
        &self.added
    }

    /// Whether the stream was not here before.
    pub fn is_new(&self) -> bool {
        self.new
    }
}

impl Taking<'_> {
    /// The key of a row as one text.
    pub(crate) fn key_text(&self, pair: &Pair, values: &[Value]) -> rusqlite::Result<String> {
        let key = pair.key_values(values);
        let parameters: Vec<String> = (1..=key.len()).map(|n| format!("quote(?{n})")).collect();
        let sql = format!("SELECT {}", parameters.join(" || ',' || "));
        let mut statement = self.ours().prepare_cached(&sql)?;
        statement.query_row(rusqlite::params_from_iter(key), only)
    }
}

//! What differs between a moment of the past and now, row by row.
//!
//! Rows go to the caller as SQLite finds them; nothing is gathered here.

use rusqlite::{Connection, Row, named_params};

use crate::history::moment::Moment;
use crate::model::Error;
use crate::store::history::history_from;
use crate::store::read::StreamRow;
use crate::store::reader::Reader;
use crate::store::sql::{history_name, live_columns, quote};
use crate::store::value::{Value, owned};

/// Names and values of a row, or of some of it.
pub type NamedValues = Vec<(String, Value)>;

/// What became of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It was not there, and is there with these values (its key is not among them).
    Inserted(NamedValues),
    /// These columns are not what they were: name, old, new. None where the old is not known.
    Changed(Option<Vec<(String, Value, Value)>>),
    /// It was there with these values.
    Vanished(NamedValues),
}

/// One row that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct RowDifference {
    /// The values of its key.
    pub key: NamedValues,
    /// What became of it.
    pub change: Change,
}

/// How much can be said of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// All changes, with the earlier values.
    All,
    /// Which rows were inserted or changed, not what they were; which vanished only as far as
    /// `missing` and `deleted` took note of them; and why.
    Partly(String),
}

/// Takes each difference; gives an error to stop.
pub type Taker<'t> = dyn FnMut(RowDifference) -> std::io::Result<()> + 't;

/// The names that the statements are made of.
struct Parts {
    table: String,
    history: String,
    key: Vec<String>,
    others: Vec<String>,
    /// Whether rows can be marked as gone.
    marks: bool,
}

impl Reader {
    /// What differs in a stream between `moment` and now, in the order of its keys: first rows that
    /// changed or vanished, then new ones.
    pub fn diff(
        &self,
        stream: &StreamRow,
        moment: &Moment,
        take: &mut Taker<'_>,
    ) -> Result<Known, Error> {
        let mut stopped = None;
        let mut put = |difference| match take(difference) {
            Ok(()) => true,
            Err(error) => {
                stopped = Some(error);
                false
            }
        };
        // All statements see the archive as it is at one time, also while a sync runs.
        let known = self.snapshot(|snapshot| {
            snapshot.run(|connection| diff(connection, stream, moment, &mut put))
        })?;
        match stopped {
            Some(error) => Err(Error::output("write the answer", &error)),
            None => Ok(known),
        }
    }
}

fn diff(
    connection: &Connection,
    stream: &StreamRow,
    moment: &Moment,
    put: &mut dyn FnMut(RowDifference) -> bool,
) -> rusqlite::Result<Known> {
    let columns = live_columns(connection, &stream.stream)?;
    let key = stream.key.columns();
    let told = |name: &&str| !name.starts_with('_') || *name == "_rest";
    let names = columns.iter().map(|column| column.name.as_str());
    let others = names.filter(told).filter(|name| !key.iter().any(|have| have == name));
    let parts = Parts {
        table: quote(&stream.stream),
        history: quote(&history_name(&stream.stream)),
        others: others.map(str::to_owned).collect(),
        key,
        marks: columns.iter().any(|column| column.name == "_deleted_at"),
    };
    let why = match history_from(connection, &stream.stream)? {
        None => format!("`{}` has no history", stream.stream),
        Some(from) if moment.is_in(&from, connection)? => {
            if changed_or_vanished(connection, &parts, moment, put)? {
                inserted(connection, &parts, moment, put)?;
            }
            return Ok(Known::All);
        }
        Some(from) => format!("the history of `{}` begins at {from}", stream.stream),
    };
    if without_history(connection, &parts, moment, put)? {
        let history = live_columns(connection, &history_name(&stream.stream))?;
        if history.iter().any(|column| column.name == "_replaced_at") {
            deleted(connection, &parts, moment, put)?;
        }
    }
    Ok(Known::Partly(why))
}

impl Parts {
    fn list(&self, names: &[String], row: &str) -> String {
        names.iter().map(|name| format!("{row}.{}", quote(name))).collect::<Vec<_>>().join(", ")
    }

    fn all(&self, row: &str) -> String {
        let list = [&self.key, &self.others].map(|names| self.list(names, row));
        list.iter().filter(|list| !list.is_empty()).cloned().collect::<Vec<_>>().join(", ")
    }

    fn same_key(&self) -> String {
        let same = self.key.iter().map(|name| format!("n.{0} = h.{0}", quote(name)));
        same.collect::<Vec<_>>().join(" AND ")
    }

    /// Whether a row that is in the table is there for its source.
    fn alive(&self, row: &str) -> String {
        if self.marks { format!("{row}.\"_deleted_at\" IS NULL") } else { "1".to_owned() }
    }

    fn key_of(&self, row: &Row<'_>) -> rusqlite::Result<NamedValues> {
        named(row, &self.key, 0)
    }
}

fn named(row: &Row<'_>, names: &[String], from: usize) -> rusqlite::Result<NamedValues> {
    let value = |(at, name): (usize, &String)| Ok((name.clone(), owned(row.get_ref(from + at)?)));
    names.iter().enumerate().map(value).collect()
}

/// Rows whose version of then was replaced.
fn changed_or_vanished(
    connection: &Connection,
    parts: &Parts,
    moment: &Moment,
    put: &mut dyn FnMut(RowDifference) -> bool,
) -> rusqlite::Result<bool> {
    let news = parts.list(&parts.others, "n");
    let news = if news.is_empty() { "NULL".to_owned() } else { news };
    let sql = format!(
        "SELECT {}, {news}, n.\"_run\" IS NOT NULL AND {}, {}
         FROM main.{} AS h LEFT JOIN main.{} AS n ON {} WHERE {} ORDER BY {}",
        parts.all("h"),
        parts.alive("n"),
        parts.alive("h"),
        parts.history,
        parts.table,
        parts.same_key(),
        moment.was("h"),
        parts.list(&parts.key, "h"),
    );
    let mut statement = connection.prepare(&sql)?;
    let (old_at, new_at) = (parts.key.len(), parts.key.len() + parts.others.len());
    let flags = new_at + parts.others.len().max(1);
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (is, was): (bool, bool) = (row.get(flags)?, row.get(flags + 1)?);
        let change = match (was, is) {
            (false, false) => continue,
            (true, false) => Change::Vanished(named(row, &parts.others, old_at)?),
            (false, true) => Change::Inserted(named(row, &parts.others, new_at)?),
            (true, true) => {
                let old = named(row, &parts.others, old_at)?;
                let new = named(row, &parts.others, new_at)?;
                let pairs = old.into_iter().zip(new);
                let pairs = pairs.map(|((name, old), (_, new))| (name, old, new));
                let differing: Vec<_> = pairs.filter(|(_, old, new)| old != new).collect();
                if differing.is_empty() {
                    continue;
                }
                Change::Changed(Some(differing))
            }
        };
        if !put(RowDifference { key: parts.key_of(row)?, change }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Rows that have no version of then.
fn inserted(
    connection: &Connection,
    parts: &Parts,
    moment: &Moment,
    put: &mut dyn FnMut(RowDifference) -> bool,
) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT {} FROM main.{} AS n WHERE NOT ({}) AND {} AND NOT EXISTS
            (SELECT 1 FROM main.{} AS h WHERE {} AND {}) ORDER BY {}",
        parts.all("n"),
        parts.table,
        moment.still("n"),
        parts.alive("n"),
        parts.history,
        parts.same_key(),
        moment.was("h"),
        parts.list(&parts.key, "n"),
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let change = Change::Inserted(named(row, &parts.others, parts.key.len())?);
        if !put(RowDifference { key: parts.key_of(row)?, change }) {
            break;
        }
    }
    Ok(())
}

/// What the rows themselves tell: when each was first seen and last changed.
fn without_history(
    connection: &Connection,
    parts: &Parts,
    moment: &Moment,
    put: &mut dyn FnMut(RowDifference) -> bool,
) -> rusqlite::Result<bool> {
    let sql = format!(
        "SELECT {}, n.\"_revision\" = 1 OR n.\"_first_seen_at\" >= :begins, {} FROM main.{} AS n
         WHERE NOT ({}) ORDER BY {}",
        parts.all("n"),
        parts.alive("n"),
        parts.table,
        moment.still("n"),
        parts.list(&parts.key, "n"),
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(named_params! { ":begins": moment.begins(connection)? })?;
    while let Some(row) = rows.next()? {
        let flags = parts.key.len() + parts.others.len();
        let values = named(row, &parts.others, parts.key.len())?;
        let change = match (row.get(flags)?, row.get(flags + 1)?) {
            (true, true) => Change::Inserted(values),
            (false, true) => Change::Changed(None),
            (false, false) => Change::Vanished(values),
            (true, false) => continue,
        };
        if !put(RowDifference { key: parts.key_of(row)?, change }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Rows that were there and have left the table since, where `missing` deletes them.
fn deleted(
    connection: &Connection,
    parts: &Parts,
    moment: &Moment,
    put: &mut dyn FnMut(RowDifference) -> bool,
) -> rusqlite::Result<()> {
    let newest = parts.key.iter().map(|name| format!("x.{0} = h.{0}", quote(name)));
    let sql = format!(
        "SELECT {0} FROM main.{1} AS h WHERE {2} AND h.\"_first_seen_at\" < :begins
            AND NOT EXISTS (SELECT 1 FROM main.{3} AS n WHERE {4})
            AND h._rowid_ = (SELECT max(x._rowid_) FROM main.{1} AS x WHERE {5}) ORDER BY {6}",
        parts.all("h"),
        parts.history,
        moment.ended_since("h"),
        parts.table,
        parts.same_key(),
        newest.collect::<Vec<_>>().join(" AND "),
        parts.list(&parts.key, "h"),
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(named_params! { ":begins": moment.begins(connection)? })?;
    while let Some(row) = rows.next()? {
        let change = Change::Vanished(named(row, &parts.others, parts.key.len())?);
        if !put(RowDifference { key: parts.key_of(row)?, change }) {
            break;
        }
    }
    Ok(())
}

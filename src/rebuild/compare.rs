//! What a rebuild changes: the table that was set aside against the one in its place.

use rusqlite::Connection;
use rusqlite::named_params;
use serde::Serialize;

use crate::model::{Error, KeyShape, TableShape};

use crate::rebuild::table_swap::{before, part_before, same_key};
use crate::store::error::at;
use crate::store::row::only;
use crate::store::sql::quote;
use crate::store::table::{key_text, type_text};
use crate::store::transaction::Tx;

/// What becomes of a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnChange {
    pub column: String,
    /// Its type as it was; none for a new one.
    pub was: Option<String>,
    /// Its type as it is; none for one that goes. What it held is in `_rest` then.
    pub is: Option<String>,
    /// Rows that have a value in it now.
    pub filled: u64,
}

/// Rows that a new key makes one of several, or several of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Regrouped {
    /// Rows as they were.
    pub were: u64,
    /// Rows as they are.
    pub are: u64,
}

/// Rejects of a kind that there were none of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewRejects {
    /// Why, in a word.
    pub kind: String,
    pub count: u64,
    /// The reason of one of them.
    pub example: String,
}

/// What a rebuild changes in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RebuildComparison {
    /// Rows as they were.
    pub rows_before: u64,
    /// Rows as they are.
    pub rows_after: u64,
    /// The key as it was, where it changes.
    pub key_before: Option<String>,
    /// The key as it is, where it changes.
    pub key_after: Option<String>,
    /// Columns that come, go or change their type.
    pub columns: Vec<ColumnChange>,
    /// Keys that there were not; none where keys cannot be compared.
    pub added: Option<u64>,
    /// Keys that are gone.
    pub gone: Option<u64>,
    /// Rows of the same key that differ in a column that both tables have.
    pub changed: Option<u64>,
    /// Rows that become one under a new key.
    pub merged: Option<Regrouped>,
    /// Rows that become several under a new key.
    pub split: Option<Regrouped>,
    /// Rejects as they were.
    pub rejects_before: u64,
    /// Rejects as they are.
    pub rejects_after: u64,
    /// Rejects that there were not.
    pub new_rejects: Vec<NewRejects>,
}

impl Tx<'_> {
    /// Compares the stream's table and rejects with those that were set aside.
    pub fn compare(&self, old: &TableShape, new: &TableShape) -> Result<RebuildComparison, Error> {
        compare(&self.connection, old, new).map_err(at(&self.path))
    }
}

fn compare(
    connection: &Connection,
    old: &TableShape,
    new: &TableShape,
) -> rusqlite::Result<RebuildComparison> {
    let stream = &new.name;
    let number = |sql: &str| connection.query_row(sql, [], only::<u64>);
    let (table, aside) = (quote(stream), quote(&before(stream)));
    let rejects = quote(&part_before("_windrow_rejects", stream));
    let join = same_key(old, new);
    let missing = |of: &str, from: &str, alias: (&str, &str)| {
        let (one, other) = alias;
        let sql = |join: &String| {
            format!(
                "SELECT count(*) FROM {of} AS {one}
                 WHERE NOT EXISTS (SELECT 1 FROM {from} AS {other} WHERE {join})"
            )
        };
        join.as_ref().map(|join| number(&sql(join))).transpose()
    };
    let changed = join.as_ref().map(|join| {
        number(&format!(
            "SELECT count(*) FROM {table} AS new JOIN {aside} AS old ON {join} WHERE {}",
            differences(old, new)
        ))
    });
    let rekeyed = old.key != new.key;
    Ok(RebuildComparison {
        rows_before: number(&format!("SELECT count(*) FROM {aside}"))?,
        rows_after: number(&format!("SELECT count(*) FROM {table}"))?,
        key_before: rekeyed.then(|| key_text(&old.key)),
        key_after: rekeyed.then(|| key_text(&new.key)),
        columns: column_changes(old, new, &|name| {
            number(&format!("SELECT count({}) FROM {table}", quote(name)))
        })?,
        added: missing(&table, &aside, ("new", "old"))?,
        gone: missing(&aside, &table, ("old", "new"))?,
        changed: changed.transpose()?,
        merged: regrouped(connection, rekeyed, (&aside, old), &new.key)?
            .map(|(rows, groups)| Regrouped { were: rows, are: groups }),
        split: regrouped(connection, rekeyed, (&table, new), &old.key)?
            .map(|(rows, groups)| Regrouped { were: groups, are: rows }),
        rejects_before: number(&format!("SELECT count(*) FROM {rejects}"))?,
        rejects_after: number(&format!(
            "SELECT count(*) FROM _windrow_rejects WHERE stream = '{stream}'"
        ))?,
        new_rejects: new_rejects(connection, stream, &rejects)?,
    })
}

/// The condition under which two rows of one key say different things.
fn differences(old: &TableShape, new: &TableShape) -> String {
    let shared = new.columns.iter().filter(|column| {
        old.columns.iter().any(|have| have.name == column.name && have.kind == column.kind)
    });
    let mut names: Vec<String> = shared.map(|column| column.name.clone()).collect();
    if names.len() == old.columns.len() && names.len() == new.columns.len() {
        names.push("_rest".to_owned());
    }
    let pairs = names.iter().map(|name| format!("new.{0} IS NOT old.{0}", quote(name)));
    pairs.reduce(|all, one| format!("{all} OR {one}")).unwrap_or_else(|| "FALSE".to_owned())
}

fn column_changes(
    old: &TableShape,
    new: &TableShape,
    filled: &dyn Fn(&str) -> rusqlite::Result<u64>,
) -> rusqlite::Result<Vec<ColumnChange>> {
    let kind = |shape: &TableShape, name: &str| {
        let found = shape.columns.iter().find(|column| column.name == name);
        found.map(|column| type_text(column.kind))
    };
    let gone = old.columns.iter().filter(|column| kind(new, &column.name).is_none());
    let all = new.columns.iter().chain(gone).map(|column| column.name.as_str());
    let changes = all.map(|name| (name, kind(old, name), kind(new, name)));
    changes
        .filter(|(_, was, is)| was != is)
        .map(|(name, was, is)| {
            let filled = if is.is_some() { filled(name)? } else { 0 };
            Ok(ColumnChange { column: name.to_owned(), was, is, filled })
        })
        .collect()
}

/// Rows and groups of a table where several rows have one value of another key. What is no column
/// of the table is looked for in its `_rest`.
fn regrouped(
    connection: &Connection,
    rekeyed: bool,
    (table, shape): (&str, &TableShape),
    key: &KeyShape,
) -> rusqlite::Result<Option<(u64, u64)>> {
    let (KeyShape::Columns(fields) | KeyShape::Hash(fields)) = key;
    let plain = |field: &String| !field.contains(['"', '\\', '\'']);
    if !rekeyed || !fields.iter().all(plain) {
        return Ok(None);
    }
    let value = |field: &String| match shape.columns.iter().any(|have| have.name == *field) {
        true => quote(field),
        false => format!("json_extract(_rest, '$.\"{field}\"')"),
    };
    let values: Vec<String> = fields.iter().map(value).collect();
    let glue = if matches!(key, KeyShape::Hash(_)) { " OR " } else { " AND " };
    let there: Vec<String> = values.iter().map(|value| format!("{value} IS NOT NULL")).collect();
    let sql = format!(
        "SELECT coalesce(sum(n), 0) AS sum, count(*) AS number FROM (SELECT count(*) AS n
            FROM {table}
         WHERE {} GROUP BY {} HAVING n > 1)",
        there.join(glue),
        values.join(", ")
    );
    connection.query_row(&sql, [], |row| Ok(Some((row.get("sum")?, row.get("number")?))))
}

fn new_rejects(
    connection: &Connection,
    stream: &str,
    old: &str,
) -> rusqlite::Result<Vec<NewRejects>> {
    let sql = format!(
        "SELECT kind, count(*) AS count, min(reason) AS example FROM _windrow_rejects AS new
         WHERE stream = :stream AND discarded_at IS NULL AND NOT EXISTS
            (SELECT 1 FROM {old} AS old WHERE old.reject_id = new.reject_id)
         GROUP BY kind ORDER BY kind"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(named_params! { ":stream": stream }, |row| {
        Ok(NewRejects {
            kind: row.get("kind")?,
            count: row.get("count")?,
            example: row.get("example")?,
        })
    })?;
    rows.collect()
}

//! Parents: which rows refer to one that is not there, and what is known of one that is.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::definition::Scalar;
use crate::model::{Cell, Error, RowSet, TableShape};

use crate::store::error::at;
use crate::store::read::scalar;
use crate::store::reader::Reader;
use crate::store::sql::quote;
use crate::store::table::stored_table;
use crate::store::value::Value;
use crate::store::write::Bound;

/// The column through which a row is an orphan, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The column that refers to a parent.
    pub column: String,
    /// Which parent is not there, in words.
    pub reason: String,
}

/// Which of these rows refer to a row that is not there, by their numbers.
fn orphans_among(
    connection: &Connection,
    shape: &TableShape,
    rows: &RowSet,
) -> rusqlite::Result<BTreeMap<usize, Orphan>> {
    let mut orphans = BTreeMap::new();
    let columns = shape.row_columns();
    for (column, parent) in &shape.references {
        let Some(cell) = columns.iter().position(|name| name == column) else { continue };
        for row in missing_parents(connection, parent, rows, cell)? {
            let reason = format!("column {column}: no row of `{parent}` has this key");
            orphans.entry(row).or_insert(Orphan { column: column.clone(), reason });
        }
    }
    Ok(orphans)
}

fn missing_parents(
    connection: &Connection,
    parent: &str,
    rows: &RowSet,
    cell: usize,
) -> rusqlite::Result<Vec<usize>> {
    let Some((key, _)) = stored_table(connection, parent)? else {
        let referring = (0..rows.len()).filter(|at| rows.row(*at)[cell] != Cell::Null);
        return Ok(referring.collect());
    };
    let key = key.columns();
    let Some(key) = key.first() else { return Ok(Vec::new()) };
    let sql = format!("SELECT 1 FROM {} WHERE {} = :value", quote(parent), quote(key));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut missing = Vec::new();
    for at in 0..rows.len() {
        let value = rows.row(at)[cell];
        if value == Cell::Null {
            continue;
        }
        let found = statement
            .query_row(named_params! { ":value": Bound(rows, value) }, |_| Ok(()))
            .optional()?;
        if found.is_none() {
            missing.push(at);
        }
    }
    Ok(missing)
}

impl Reader {
    /// Which of these rows refer to a row that is not there, by their numbers.
    pub fn find_orphans(
        &self,
        shape: &TableShape,
        rows: &RowSet,
    ) -> Result<BTreeMap<usize, Orphan>, Error> {
        orphans_among(&self.connection, shape, rows).map_err(at(&self.path))
    }

    /// The columns of the row of `parent` that a partition is named after; none where it is gone.
    pub fn parent_values(
        &self,
        parent: &str,
        partition: &str,
    ) -> Result<Option<BTreeMap<String, Scalar>>, Error> {
        self.read_parent(parent, partition).map_err(at(&self.path))
    }

    fn read_parent(
        &self,
        parent: &str,
        partition: &str,
    ) -> rusqlite::Result<Option<BTreeMap<String, Scalar>>> {
        let Some((key, columns)) = stored_table(&self.connection, parent)? else { return Ok(None) };
        let key = key.columns();
        let Ok(named) = serde_json::from_str::<serde_json::Value>(partition) else {
            return Ok(None);
        };
        let values: Vec<Value> = match named {
            serde_json::Value::Array(values) if key.len() > 1 => values.iter().map(value).collect(),
            one => vec![value(&one)],
        };
        if values.len() != key.len() {
            return Ok(None);
        }
        let names: Vec<String> =
            columns.into_iter().map(|column| column.name).chain(key.iter().cloned()).collect();
        let list: Vec<String> = names.iter().map(|name| quote(name)).collect();
        let same: Vec<String> = key
            .iter()
            .enumerate()
            .map(|(n, name)| format!("{} IS ?{}", quote(name), n + 1))
            .collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {}",
            list.join(", "),
            quote(parent),
            same.join(" AND ")
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let read = |row: &rusqlite::Row<'_>| {
            let cell = |(at, name): (usize, &String)| Ok((name.clone(), scalar(row.get_ref(at)?)));
            names.iter().enumerate().map(cell).collect()
        };
        statement.query_row(rusqlite::params_from_iter(values), read).optional()
    }
}

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => number.as_f64().map_or(Value::Null, Value::Real),
        },
        serde_json::Value::String(text) => Value::Text(text.clone()),
        _ => Value::Null,
    }
}

//! Copying rows of windrow's own tables from one archive into another.

use crate::store::sql::{live_columns, quote};
use crate::store::transaction::Tx;
use crate::store::value::Value;
use rusqlite::{Connection, Params, params_from_iter};

/// A table that both archives have, in the same format.
pub(crate) struct Copy {
    pub columns: Vec<String>,
    select: String,
    insert: String,
}

impl Copy {
    /// Of the rows of `table` for which `condition` holds. What is there stays as it is.
    pub fn of(ours: &Connection, table: &str, condition: &str) -> rusqlite::Result<Self> {
        let columns: Vec<String> =
            live_columns(ours, table)?.into_iter().map(|column| column.name).collect();
        let names: Vec<String> = columns.iter().map(|name| quote(name)).collect();
        let names = names.join(", ");
        let parameters: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        Ok(Self {
            select: format!("SELECT {names} FROM {table} WHERE {condition}"),
            insert: format!(
                "INSERT OR IGNORE INTO {table} ({names}) VALUES ({})",
                parameters.join(", ")
            ),
            columns,
        })
    }

    /// Where a column stands among a row's values.
    pub fn place(&self, name: &str) -> usize {
        let found = self.columns.iter().position(|column| column == name);
        found.expect("it is a column of the format")
    }

    /// Reads row by row and hands each on.
    pub fn each(
        &self,
        theirs: &Connection,
        values: impl Params,
        take: &mut dyn FnMut(Vec<Value>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut statement = theirs.prepare_cached(&self.select)?;
        let mut rows = statement.query(values)?;
        while let Some(row) = rows.next()? {
            let cells = (0..self.columns.len()).map(|n| row.get::<_, Value>(n));
            take(cells.collect::<rusqlite::Result<_>>()?)?;
        }
        Ok(())
    }

    /// Writes a row; tells whether it was not there.
    pub fn put(&self, ours: &Tx<'_>, values: &[Value]) -> rusqlite::Result<bool> {
        Ok(ours.connection.prepare_cached(&self.insert)?.execute(params_from_iter(values))? > 0)
    }
}

/// A number of a row, 0 where there is none.
pub(crate) fn number(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        _ => 0,
    }
}

/// A text of a row, empty where there is none.
pub(crate) fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

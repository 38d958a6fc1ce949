//! Rows as they are stored, for whoever writes them elsewhere: borrowed, never bent,
//! and all of one moment.

use rusqlite::named_params;
use rusqlite::types::ValueRef;

use crate::history::past::Past;
use crate::model::Error;
use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::sql::{live_columns, quote};

/// The mark of rows that are gone at their source.
const GONE: &str = "_deleted_at";

/// A value as it is stored, borrowed from its row. Unlike an owned value it tells text that is not
/// UTF-8, which an export refuses and does not mend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stored<'r> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'r str),
    Blob(&'r [u8]),
    /// Bytes that SQLite takes for text and that are not UTF-8.
    NotText(&'r [u8]),
}

impl<'r> From<ValueRef<'r>> for Stored<'r> {
    fn from(value: ValueRef<'r>) -> Self {
        match value {
            ValueRef::Null => Stored::Null,
            ValueRef::Integer(number) => Stored::Integer(number),
            ValueRef::Real(number) => Stored::Real(number),
            ValueRef::Text(bytes) => {
                std::str::from_utf8(bytes).map_or(Stored::NotText(bytes), Stored::Text)
            }
            ValueRef::Blob(bytes) => Stored::Blob(bytes),
        }
    }
}

/// Which rows of a stream, and in which order.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'s> {
    pub stream: &'s str,
    /// The columns of its table that are wanted.
    pub columns: &'s [String],
    /// A person's own condition, in SQL.
    pub condition: Option<&'s str>,
    /// Leave out rows that are marked as gone.
    pub alive: bool,
    /// First by so many letters of this column.
    pub prefix: Option<(&'s str, usize)>,
    /// Then by these columns; in the order of the file if there are none.
    pub order: &'s [String],
}

impl Selection<'_> {
    fn sql(&self) -> String {
        let list = |names: &[String]| names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ");
        let mut sql = format!("SELECT {} FROM {}", list(self.columns), quote(self.stream));
        let gone = self.alive.then(|| format!("{} IS NULL", quote(GONE)));
        let own = self.condition.map(in_brackets);
        let conditions: Vec<String> = gone.into_iter().chain(own).collect();
        if !conditions.is_empty() {
            sql.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        let prefix = self.prefix.map(|(name, most)| format!("substr({}, 1, {most})", quote(name)));
        let order: Vec<String> =
            prefix.into_iter().chain(self.order.iter().map(|name| quote(name))).collect();
        if !order.is_empty() {
            sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
        }
        sql
    }
}

impl Selection<'_> {
    fn sql_of_gone(&self) -> String {
        let own = self.condition.map(|own| format!(" AND {}", in_brackets(own)));
        let (stream, gone) = (quote(self.stream), quote(GONE));
        let own = own.unwrap_or_default();
        format!("SELECT count(*) FROM {stream} WHERE {gone} IS NOT NULL{own}")
    }
}

/// Where rows are read: as they are, or as they were.
pub enum RowSource {
    Now(Reader),
    Then(Past),
}

impl RowSource {
    /// Hands on each row of the selection as SQLite finds it, until `take` gives an error.
    pub fn scan<E: From<Error>>(
        &self,
        selection: &Selection<'_>,
        take: impl FnMut(&[Stored<'_>]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.scan_sql(&selection.sql(), selection, take)
    }

    /// How many rows of the selection are left out because they are marked as gone.
    pub fn count_gone(&self, selection: &Selection<'_>) -> Result<u64, Error> {
        let mut gone = 0;
        if selection.alive {
            self.scan_sql::<Error>(&selection.sql_of_gone(), selection, |row| {
                if let [Stored::Integer(number)] = row {
                    gone = u64::try_from(*number).unwrap_or_default();
                }
                Ok(())
            })?;
        }
        Ok(gone)
    }

    fn scan_sql<E: From<Error>>(
        &self,
        sql: &str,
        selection: &Selection<'_>,
        take: impl FnMut(&[Stored<'_>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let reader = match self {
            RowSource::Now(reader) => reader,
            RowSource::Then(past) => {
                // Preparing is what is refused; the caller's own errors pass as they are.
                let prepared = past.reader().statement_that_reads(sql).map(drop);
                prepared.map_err(|error| past.explained(error))?;
                past.reader()
            }
        };
        let statement = match selection.condition {
            Some(_) => reader.statement_that_reads(sql)?,
            None => reader.connection.prepare(sql).map_err(at(&reader.path))?,
        };
        each_row(statement, take, |error| match selection.condition {
            Some(condition) => reader.condition_failed(selection.stream, condition, error),
            // The statement is windrow's own.
            None => at(&reader.path)(error),
        })
    }
}

/// A row of the ledger, as far as it tells what is covered.
#[derive(Clone, Debug)]
pub struct ReadStretch {
    /// The parent's key, or empty.
    pub partition: String,
    /// The window's start and end, empty for a snapshot or a mark.
    pub window: (String, String),
    /// Whether it is complete.
    pub complete: bool,
    /// Up to where a complete fetch counts.
    pub read_to: Option<String>,
    /// When it was last complete.
    pub completed_at: Option<String>,
}

impl Reader {
    /// windrow's own columns of a stream's table: when, how often and by which run a row was
    /// written.
    pub fn own_columns(&self, stream: &str) -> Result<Vec<String>, Error> {
        let columns = live_columns(&self.connection, stream).map_err(at(&self.path))?;
        let names = columns.into_iter().map(|column| column.name);
        let own =
            |name: &String| name.starts_with('_') && !["_key", "_rest"].contains(&name.as_str());
        Ok(names.filter(own).collect())
    }

    /// Hands on the ledger of a stream by partition, in each the oldest first.
    pub fn stretches(&self, stream: &str, mut take: impl FnMut(ReadStretch)) -> Result<(), Error> {
        let sql = "SELECT partition, start_at, end_at, state IN ('complete',
            'settled') AS complete, read_to,
                completed_at
            FROM _windrow_ledger WHERE stream = :stream ORDER BY partition, start_at, end_at";
        self.run(|connection| {
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query(named_params! { ":stream": stream })?;
            while let Some(row) = rows.next()? {
                take(ReadStretch {
                    partition: row.get("partition")?,
                    window: (row.get("start_at")?, row.get("end_at")?),
                    complete: row.get("complete")?,
                    read_to: row.get("read_to")?,
                    completed_at: row.get("completed_at")?,
                });
            }
            Ok(())
        })
    }
}

fn each_row<E: From<Error>>(
    mut statement: rusqlite::Statement<'_>,
    mut take: impl FnMut(&[Stored<'_>]) -> Result<(), E>,
    wrong: impl Fn(rusqlite::Error) -> Error,
) -> Result<(), E> {
    let wrong = |error| E::from(wrong(error));
    let width = statement.column_count();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(wrong)? {
        let values = (0..width).map(|at| row.get_ref(at).map(Stored::from));
        let values: Vec<Stored<'_>> = values.collect::<rusqlite::Result<_>>().map_err(wrong)?;
        take(&values)?;
    }
    Ok(())
}

/// The line ends keep a comment of the person's own inside the brackets.
pub(crate) fn in_brackets(condition: &str) -> String {
    format!("(\n{condition}\n)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_one_statement_whatever_its_condition_says() {
        let columns = ["id".to_owned(), "od\"d".to_owned()];
        let plain = Selection {
            stream: "usage",
            columns: &columns,
            condition: None,
            alive: false,
            prefix: None,
            order: &[],
        };
        assert_eq!(plain.sql(), "SELECT \"id\", \"od\"\"d\" FROM \"usage\"");
        let order = ["id".to_owned()];
        let full = Selection {
            condition: Some("gb > 1 -- more"),
            alive: true,
            prefix: Some(("day", 7)),
            order: &order,
            ..plain
        };
        assert_eq!(
            full.sql(),
            "SELECT \"id\", \"od\"\"d\" FROM \"usage\" WHERE \"_deleted_at\" IS NULL AND \
             (\ngb > 1 -- more\n) ORDER BY substr(\"day\", 1, 7), \"id\""
        );
    }
}

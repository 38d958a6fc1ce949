//! Which declared columns were ever found in a record.

use rusqlite::named_params;

use crate::model::{Error, SeenColumn};

use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::sql::{live_columns, quote};
use crate::store::transaction::Tx;

impl Reader {
    /// What is known of a stream's columns, by column and place.
    pub fn seen_columns(&self, stream: &str) -> Result<Vec<SeenColumn>, Error> {
        let sql = "SELECT \"column\", place, found, records, nearest FROM _windrow_seen_columns
            WHERE stream = :stream ORDER BY \"column\", place";
        let read = || -> rusqlite::Result<Vec<SeenColumn>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(named_params! { ":stream": stream }, |row| {
                Ok(SeenColumn {
                    column: row.get("column")?,
                    place: row.get("place")?,
                    found: row.get("found")?,
                    records: row.get("records")?,
                    nearest: row.get("nearest")?,
                })
            })?;
            rows.collect()
        };
        read().map_err(at(&self.path))
    }

    /// Whether any row of the stream has a value in the column; none where there is no row.
    pub fn has_value(&self, stream: &str, column: &str) -> Result<Option<bool>, Error> {
        let look = || -> rusqlite::Result<Option<bool>> {
            let live = live_columns(&self.connection, stream)?;
            if !live.iter().any(|it| it.name == column) {
                return Ok(None);
            }
            let any = |condition: &str| {
                let sql = format!("SELECT 1 FROM main.{} {condition} LIMIT 1", quote(stream));
                self.connection.prepare(&sql)?.exists([])
            };
            if !any("")? {
                return Ok(None);
            }
            any(&format!("WHERE {} IS NOT NULL", quote(column))).map(Some)
        };
        look().map_err(at(&self.path))
    }
}

impl Tx<'_> {
    /// Keeps what a run has seen of columns. A column that has a value in a row was found before.
    pub fn note_seen_columns(&self, stream: &str, columns: &[SeenColumn]) -> Result<(), Error> {
        let sql = "INSERT INTO _windrow_seen_columns
                (stream, \"column\", place, found, records, nearest)
            VALUES (:stream, :column, :place, :found, :records, :nearest)
            ON CONFLICT (stream, \"column\", place) DO UPDATE SET
                found = max(found, excluded.found), records = records + excluded.records,
                nearest = excluded.nearest";
        for seen in columns {
            let found = seen.found || self.has_value(stream, &seen.column)? == Some(true);
            let write = || -> rusqlite::Result<usize> {
                self.connection.prepare_cached(sql)?.execute(named_params! {
                    ":stream": stream,
                    ":column": seen.column,
                    ":place": seen.place,
                    ":found": found,
                    ":records": seen.records,
                    ":nearest": seen.nearest,
                })
            };
            write().map_err(at(&self.path))?;
        }
        Ok(())
    }
}

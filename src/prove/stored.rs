//! What a proof reads of an archive and of its copy: places that are done, and rows one by one.

use rusqlite::{OptionalExtension, Row, ToSql, named_params};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::{Error, Window, hexadecimal, instant_from_text, instant_to_text};

use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::sql::quote;
use crate::store::value::{Value, owned};

/// A place of the ledger whose reading was complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DonePlace {
    /// The parent's key as JSON, or empty.
    pub partition: String,
    /// None for a snapshot or a mark.
    pub window: Option<Window>,
    /// When it was last complete.
    pub completed_at: String,
    /// The run that did it.
    pub run: i64,
    /// The mark of a cursor stream.
    pub cursor: Option<String>,
}

/// What is read of a table.
#[derive(Clone, Debug)]
pub struct TableView {
    pub table: String,
    /// The columns of its key.
    pub key: Vec<String>,
    /// The columns outside the key that are compared, in their order.
    pub others: Vec<String>,
    /// Whether rows of the table can be marked as gone.
    pub marks: bool,
}

/// A row of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewRow {
    /// The values of the key, then of the other columns.
    pub values: Vec<Value>,
    /// When and by which run it was written last.
    pub stamp: Stamp,
    /// When it was marked as gone.
    pub gone_at: Option<String>,
}

/// When a row came to say what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stamp {
    /// When it was seen first.
    pub first_seen_at: String,
    /// When it was changed last.
    pub changed_at: String,
    /// How often it was written.
    pub revision: i64,
    /// The run that wrote it last.
    pub run: i64,
}

/// The digest of rows that come one by one.
#[derive(Clone, Debug, Default)]
pub struct RowDigest(Sha256);

impl RowDigest {
    /// Adds the values of a row, in the order of the columns.
    pub fn add(&mut self, values: &[Value]) {
        for value in values {
            crate::digest::hash_value(&mut self.0, value.into());
        }
    }

    /// The digest of the rows so far, hexadecimal SHA-256.
    pub fn finish(self) -> String {
        hexadecimal(&self.0.finalize())
    }
}

impl TableView {
    fn names(&self) -> String {
        let own = ["_first_seen_at", "_changed_at", "_revision", "_run"].map(str::to_owned);
        let all = self.key.iter().chain(&self.others).chain(&own);
        let names = all.map(|name| quote(name)).collect::<Vec<_>>().join(", ");
        let gone = if self.marks { "\"_deleted_at\"" } else { "NULL" };
        format!("{names}, {gone} AS gone_at")
    }

    fn read(&self, row: &Row<'_>) -> rusqlite::Result<ViewRow> {
        let width = self.key.len() + self.others.len();
        let values = (0..width).map(|at| row.get_ref(at).map(owned));
        Ok(ViewRow {
            values: values.collect::<rusqlite::Result<_>>()?,
            stamp: Stamp {
                first_seen_at: row.get(width)?,
                changed_at: row.get(width + 1)?,
                revision: row.get(width + 2)?,
                run: row.get(width + 3)?,
            },
            gone_at: row.get("gone_at")?,
        })
    }
}

impl Reader {
    /// Hands on the places of a stream that are done, in order: settled windows that share an
    /// instant with `range`, or complete snapshots and marks.
    pub fn done_places(
        &self,
        stream: &str,
        range: Option<Window>,
        take: &mut dyn FnMut(DonePlace),
    ) -> Result<(), Error> {
        let sql = "SELECT partition, start_at, end_at, completed_at, run_id, cursor
            FROM _windrow_ledger WHERE stream = :stream AND completed_at IS NOT NULL
              AND (state = 'settled' OR state = 'complete' AND start_at = '')
              AND (:from IS NULL OR end_at > :from) AND (:to IS NULL OR start_at < :to)
            ORDER BY partition, start_at, end_at";
        let from = range.map(|range| instant_to_text(range.start()));
        let to = range.map(|range| instant_to_text(range.end()));
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows =
                statement.query(named_params! { ":stream": stream, ":from": from, ":to": to })?;
            while let Some(row) = rows.next()? {
                let (start, end): (String, String) = (row.get("start_at")?, row.get("end_at")?);
                let ends = instant_from_text(&start).zip(instant_from_text(&end));
                take(DonePlace {
                    partition: row.get("partition")?,
                    window: ends.and_then(|(start, end)| Window::new(start, end)),
                    completed_at: row.get("completed_at")?,
                    run: row.get("run_id")?,
                    cursor: row.get("cursor")?,
                });
            }
            Ok(())
        };
        read().map_err(at(&self.path))
    }

    /// Hands on the rows of a view in the order of their keys: those whose `field` is at least
    /// the first value and less than the second, or all.
    pub fn view_rows(
        &self,
        view: &TableView,
        bounds: Option<(&str, &Value, &Value)>,
        take: &mut dyn FnMut(ViewRow) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let chosen = bounds.map_or_else(String::new, |(field, _, _)| {
            format!("WHERE {0} >= :from AND {0} < :to", quote(field))
        });
        // Sorted on the side: along the key's index each row would be fetched from another end of
        // the table, also the many that are not chosen.
        let order: Vec<String> = view.key.iter().map(|name| format!("+{}", quote(name))).collect();
        let sql = format!(
            "SELECT {} FROM {} {chosen} ORDER BY {}",
            view.names(),
            quote(&view.table),
            order.join(", ")
        );
        let values: Vec<(&str, &dyn ToSql)> = bounds
            .iter()
            .flat_map(|(_, from, to)| [(":from", *from as &dyn ToSql), (":to", *to as &dyn ToSql)])
            .collect();
        let wrong = at(&self.path);
        let mut statement = self.connection.prepare(&sql).map_err(&wrong)?;
        let mut rows = statement.query(&*values).map_err(&wrong)?;
        while let Some(row) = rows.next().map_err(&wrong)? {
            take(view.read(row).map_err(&wrong)?)?;
        }
        Ok(())
    }

    /// The row of a key.
    pub fn look_up(&self, view: &TableView, key: &[Value]) -> Result<Option<ViewRow>, Error> {
        let each = view.key.iter().enumerate();
        let each = each.map(|(at, name)| format!("{} = ?{}", quote(name), at + 1));
        let sql = format!(
            "SELECT {} FROM {} WHERE {}",
            view.names(),
            quote(&view.table),
            each.collect::<Vec<_>>().join(" AND ")
        );
        let read = || -> rusqlite::Result<Option<ViewRow>> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let key = rusqlite::params_from_iter(key);
            statement.query_row(key, |row| view.read(row)).optional()
        };
        read().map_err(at(&self.path))
    }

    /// Hands on the record of each row of a stream that waits for its parent, and what lay above.
    pub fn waiting_records(
        &self,
        stream: &str,
        take: &mut dyn FnMut(&str, Option<&str>),
    ) -> Result<(), Error> {
        self.run(|connection| {
            let sql = "SELECT record, ancestors FROM _windrow_rejects
                WHERE stream = :stream AND kind = 'orphan' AND discarded_at IS NULL
                  AND closed_at IS NULL";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(named_params! { ":stream": stream })?;
            while let Some(row) = rows.next()? {
                let ancestors: Option<String> = row.get("ancestors")?;
                take(row.get_ref("record")?.as_str()?, ancestors.as_deref());
            }
            Ok(())
        })
    }

    /// Hands on kind, reason and SHA-256 of a stream's rejects.
    pub fn refused_digests(
        &self,
        stream: &str,
        take: &mut dyn FnMut(&str, &str, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let sql = "SELECT kind, reason, record_sha256 FROM _windrow_rejects WHERE stream = :stream
            ORDER BY reject_id";
        let wrong = at(&self.path);
        let mut statement = self.connection.prepare_cached(sql).map_err(&wrong)?;
        let mut rows = statement.query(named_params! { ":stream": stream }).map_err(&wrong)?;
        while let Some(row) = rows.next().map_err(&wrong)? {
            let text = |at: usize| row.get::<_, String>(at).map_err(&wrong);
            take(&text(0)?, &text(1)?, &text(2)?)?;
        }
        Ok(())
    }

    /// Whether this very record is kept as a reject.
    pub fn has_reject(&self, stream: &str, sha256: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM _windrow_rejects WHERE stream = :stream AND
            record_sha256 = :sha256";
        let read = || -> rusqlite::Result<bool> {
            self.connection
                .prepare_cached(sql)?
                .exists(named_params! { ":stream": stream, ":sha256": sha256 })
        };
        read().map_err(at(&self.path))
    }
}

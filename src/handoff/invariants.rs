//! What must hold of every archive, whoever wrote it: SQLite's own checks, and the ledger against
//! the rows.

use rusqlite::Connection;
use rusqlite::named_params;

use crate::model::Error;
use crate::model::numbers::{count, inflect, many, many_are};
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::sql::quote;

/// Faults of one sort that are told; one page that is gone can break thousands of things.
const TOLD_MAX: usize = 10;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Broken {
    /// The stream or table; empty for the file as a whole.
    pub place: String,
    /// What does not hold.
    pub what: String,
}

impl Reader {
    /// Looks at everything: pages, indexes, types, keys, references, the ledger. Takes as long as
    /// reading the file does.
    pub fn broken(&self) -> Result<Vec<Broken>, Error> {
        self.run(|connection| {
            let mut broken = integrity(connection)?;
            if broken.is_empty() {
                broken.extend(references(connection)?);
                broken.extend(ledger(connection)?);
                broken.extend(rows(connection)?);
            }
            Ok(broken)
        })
    }
}

fn broken(place: &str, what: impl Into<String>) -> Broken {
    Broken { place: place.to_owned(), what: what.into() }
}

fn integrity(connection: &Connection) -> rusqlite::Result<Vec<Broken>> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({TOLD_MAX})"))?;
    let lines = statement.query_map([], only::<String>)?;
    let lines: Vec<String> = lines.collect::<rusqlite::Result<_>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").map(|line| broken("", line)).collect())
}

fn references(connection: &Connection) -> rusqlite::Result<Vec<Broken>> {
    let sql = "SELECT \"table\", parent, count(*) AS rows FROM pragma_foreign_key_check
        GROUP BY \"table\", parent ORDER BY \"table\", parent";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let (table, parent, count): (String, String, u64) =
            (row.get("table")?, row.get("parent")?, row.get("rows")?);
        let refer = if count == 1 { "refers" } else { "refer" };
        let what = format!("{count} of its rows {refer} to rows of {parent} that are not there");
        Ok(broken(&table, what))
    })?;
    rows.collect()
}

/// Complete windows of one stream and partition never overlap; what it says of a time makes sense.
fn ledger(connection: &Connection) -> rusqlite::Result<Vec<Broken>> {
    let checks = [
        (
            "SELECT stream, start_at || '..' || end_at AS place FROM _windrow_ledger
             WHERE (start_at = '') <> (end_at = '') OR start_at <> '' AND start_at >= end_at
                OR read_to > end_at AND end_at <> '' OR read_to < start_at",
            "the ledger has a window that is none",
        ),
        (
            "SELECT stream, before || ' overlaps ' || start_at || '..' || end_at AS place
                FROM (SELECT stream, start_at, end_at,
                    lag(start_at || '..' || end_at) OVER w AS before, lag(end_at) OVER w AS last
                 FROM _windrow_ledger WHERE state IN ('complete', 'settled') AND start_at <> ''
                 WINDOW w AS (PARTITION BY stream, partition ORDER BY start_at))
             WHERE last > start_at",
            "two complete windows overlap in the ledger",
        ),
        (
            "SELECT stream, start_at || '..' || end_at AS place FROM _windrow_ledger
             WHERE state IN ('complete', 'settled')
                AND (completed_at IS NULL OR start_at <> '' AND read_to IS NULL)",
            "the ledger calls a window complete and not when",
        ),
        (
            "SELECT stream, start_at || '..' || end_at AS place FROM _windrow_ledger AS l
             WHERE state IN ('complete', 'settled') AND received > 0
                AND NOT EXISTS (SELECT 1 FROM _windrow_streams AS s WHERE s.stream = l.stream)",
            "the ledger speaks of a stream that is not there",
        ),
    ];
    let mut all = Vec::new();
    for (sql, what) in checks {
        let mut statement = connection.prepare(&format!("{sql} LIMIT {TOLD_MAX}"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (stream, which): (String, String) = (row.get("stream")?, row.get("place")?);
            all.push(broken(&stream, format!("{what}: {which}")));
        }
    }
    Ok(all)
}

/// The rows of each stream were brought by runs that are known, and are no fewer than a single
/// reading has found.
fn rows(connection: &Connection) -> rusqlite::Result<Vec<Broken>> {
    let mut statement =
        connection.prepare("SELECT stream FROM _windrow_streams ORDER BY stream")?;
    let streams = statement.query_map([], only::<String>)?;
    let streams: Vec<String> = streams.collect::<rusqlite::Result<_>>()?;
    let mut all = Vec::new();
    for stream in streams {
        let table = quote(&stream);
        let sql = format!(
            "SELECT count(*) AS rows, count(*) FILTER (WHERE \"_run\" NOT IN
                (SELECT run_id FROM _windrow_runs)) AS unknown FROM {table}"
        );
        let (rows, unknown): (u64, u64) =
            connection.query_row(&sql, [], |row| Ok((row.get("rows")?, row.get("unknown")?)))?;
        if unknown > 0 {
            all.push(broken(
                &stream,
                format!(
                    "{} {} brought by no run that is known",
                    many(unknown, "row"),
                    inflect(unknown, "was", "were")
                ),
            ));
        }
        let sql = "SELECT coalesce(max(distinct_keys), 0) AS keys,
                (SELECT count(*) FROM _windrow_vanished WHERE stream = :stream AND state =
                'deleted')
                    AS deleted
            FROM _windrow_ledger WHERE stream = :stream AND state IN ('complete', 'settled')";
        let (keys, deleted): (u64, u64) =
            connection.query_row(sql, named_params! { ":stream": &stream }, |row| {
                Ok((row.get("keys")?, row.get("deleted")?))
            })?;
        if rows + deleted < keys {
            let there = many_are(rows, "row");
            let what = format!("{there} there, and one fetch alone found {}", count(keys));
            all.push(broken(&stream, what));
        }
    }
    Ok(all)
}

//! Rejects: records that could not become rows, kept verbatim until they can, or until a person
//! sets them aside. Nothing here reads a record; `sync` does.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use crate::model::{Error, Reject, Timestamp, WindowKey, instant_to_text};

use crate::store::digest::sha256_of;
use crate::store::error::at;
use crate::store::ledger::bounds_text;
use crate::store::open::Archive;
use crate::store::read::Reader;

/// Rejects that are held in memory at a time: so many, or so many bytes of records.
const BATCH_MAX: u32 = 500;
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Which rejects; everything that is not said is left open.
#[derive(Clone, Debug, Default)]
pub struct RejectSelection {
    /// These alone.
    pub ids: Vec<i64>,
    /// Of this stream.
    pub stream: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// That this run saw first or last.
    pub run: Option<i64>,
    /// Of windows that hold this instant.
    pub at: Option<Timestamp>,
    /// Set aside, or not.
    pub discarded: Option<bool>,
}

/// `?1` to `?6` of every statement that chooses rejects.
const CHOSEN: &str = "(?1 IS NULL OR stream = ?1) AND (?2 IS NULL OR kind = ?2)
    AND (?3 IS NULL OR ?3 IN (run_id, last_run_id))
    AND (?4 IS NULL OR start_at <= ?4 AND end_at > ?4)
    AND (?5 IS NULL OR reject_id IN (SELECT value FROM json_each(?5)))
    AND (?6 IS NULL OR (discarded_at IS NOT NULL) = ?6)";

impl RejectSelection {
    fn bind(&self, statement: &mut rusqlite::Statement<'_>) -> rusqlite::Result<()> {
        let ids = serde_json::to_string(&self.ids).expect("numbers can be written as JSON");
        statement.raw_bind_parameter(1, &self.stream)?;
        statement.raw_bind_parameter(2, &self.kind)?;
        statement.raw_bind_parameter(3, self.run)?;
        statement.raw_bind_parameter(4, self.at.map(instant_to_text))?;
        statement.raw_bind_parameter(5, (!self.ids.is_empty()).then_some(ids))?;
        statement.raw_bind_parameter(6, self.discarded)
    }
}

/// A reject as it stands in the archive.
#[derive(Clone, Debug, Serialize)]
pub struct RejectEntry {
    /// Its number.
    pub reject: i64,
    /// The stream.
    pub stream: String,
    /// The parent's key, or empty.
    pub partition: String,
    /// The window's start, or empty.
    pub start_at: String,
    /// The window's end, or empty.
    pub end_at: String,
    /// Which kind of fault.
    pub kind: String,
    /// The fault in words.
    pub reason: String,
    /// Where in the record, as a JSON Pointer.
    pub pointer: Option<String>,
    /// The record's length, bytes.
    pub bytes: u64,
    /// The run that saw it first.
    pub run: i64,
    /// The run that saw it last.
    pub last_run: i64,
    /// When it first came.
    pub first_seen_at: String,
    /// When it was set aside.
    pub discarded_at: Option<String>,
    /// By whom.
    pub discarded_by: Option<String>,
    /// Why.
    pub discard_note: Option<String>,
}

/// A reject with its record.
#[derive(Clone, Debug, Serialize)]
pub struct RejectRecord {
    /// What is known of it.
    #[serde(flatten)]
    pub entry: RejectEntry,
    /// The record, verbatim.
    pub record: String,
}

const ENTRY: &str = "reject_id, stream, partition, start_at, end_at, kind, reason, pointer,
    octet_length(record), run_id, coalesce(last_run_id, run_id), first_seen_at, discarded_at,
    discarded_by, discard_note";

fn entry(row: &Row<'_>) -> rusqlite::Result<RejectEntry> {
    Ok(RejectEntry {
        reject: row.get(0)?,
        stream: row.get(1)?,
        partition: row.get(2)?,
        start_at: row.get(3)?,
        end_at: row.get(4)?,
        kind: row.get(5)?,
        reason: row.get(6)?,
        pointer: row.get(7)?,
        bytes: row.get(8)?,
        run: row.get(9)?,
        last_run: row.get(10)?,
        first_seen_at: row.get(11)?,
        discarded_at: row.get(12)?,
        discarded_by: row.get(13)?,
        discard_note: row.get(14)?,
    })
}

/// A reject that is to be read again.
#[derive(Clone, Debug)]
pub struct KeptReject {
    /// Its number.
    pub id: i64,
    /// The run that saw it first.
    pub run: i64,
    /// The run that saw it last.
    pub last_run: i64,
    /// The parent's key, or empty.
    pub partition: String,
    /// The record, verbatim.
    pub record: String,
    /// What lay above it, or the fields of the file that it came from.
    pub ancestors: Option<String>,
    /// It is newer than rows that were last changed by an earlier run than this one. Rows that
    /// are there stay where a later fetch of its window did not bring it again.
    pub as_of: i64,
}

impl Archive {
    /// Keeps records that cannot become rows; each once, however often it comes.
    pub fn write_rejects(
        &self,
        window_key: &WindowKey,
        rejects: &[Reject],
        run: i64,
        now: &str,
    ) -> Result<(), Error> {
        let again = "UPDATE SET last_run_id = excluded.last_run_id
            WHERE last_run_id IS NOT excluded.last_run_id";
        self.put_rejects(window_key, rejects, (run, now), again)
    }

    /// Keeps a record of a file that cannot become a row. One that is kept already was said by the
    /// source or by an earlier file, and stays as it is.
    pub fn adopt_reject(
        &self,
        window_key: &WindowKey,
        reject: Reject,
        run: i64,
        now: &str,
    ) -> Result<(), Error> {
        self.put_rejects(window_key, &[reject], (run, now), "NOTHING")
    }

    fn put_rejects(
        &self,
        window_key: &WindowKey,
        rejects: &[Reject],
        (run, now): (i64, &str),
        again: &str,
    ) -> Result<(), Error> {
        let sql = format!(
            "INSERT INTO _windrow_rejects
             (stream, partition, start_at, end_at, kind, reason, record, record_sha256,
              first_seen_at, run_id, last_run_id, pointer, ancestors)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?12)
             ON CONFLICT (stream, partition, record_sha256, kind) DO {again}"
        );
        let (start, end) = bounds_text(window_key.window);
        let write = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            for reject in rejects {
                statement.execute(params![
                    window_key.stream,
                    window_key.partition,
                    start,
                    end,
                    reject.kind.as_str(),
                    reject.reason,
                    reject.record,
                    sha256_of(&reject.record),
                    now,
                    run,
                    reject.pointer,
                    reject.ancestors,
                ])?;
            }
            Ok(())
        };
        write().map_err(at(&self.path))
    }

    /// The next rejects of a stream after the one that was last seen by run `after.0` and has the
    /// number `after.1`; the latest come first.
    pub fn next_rejects(
        &self,
        stream: &str,
        selection: &RejectSelection,
        after: (i64, i64),
    ) -> Result<Vec<KeptReject>, Error> {
        let open = if selection.discarded == Some(false) { "AND discarded_at IS NULL" } else { "" };
        let sql = format!(
            "SELECT reject_id, last_run_id, partition, record, ancestors,
                CASE WHEN EXISTS (SELECT 1 FROM _windrow_ledger AS l
                    WHERE l.stream = r.stream AND l.partition = r.partition
                      AND l.state IN ('complete', 'settled') AND l.run_id > r.last_run_id
                      AND l.start_at <= r.start_at AND l.end_at >= r.end_at AND l.cursor IS NULL)
                THEN -1 ELSE last_run_id END, run_id
             FROM _windrow_rejects AS r
             WHERE stream = ?7 AND (last_run_id, reject_id) < (?8, ?9) {open} AND {CHOSEN}
             ORDER BY last_run_id DESC, reject_id DESC LIMIT ?10"
        );
        let read = || -> rusqlite::Result<Vec<KeptReject>> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            selection.bind(&mut statement)?;
            statement.raw_bind_parameter(7, stream)?;
            statement.raw_bind_parameter(8, after.0)?;
            statement.raw_bind_parameter(9, after.1)?;
            statement.raw_bind_parameter(10, BATCH_MAX)?;
            let mut rows = statement.raw_query();
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let record: String = row.get(3)?;
                bytes += record.len();
                batch.push(KeptReject {
                    id: row.get(0)?,
                    last_run: row.get(1)?,
                    partition: row.get(2)?,
                    record,
                    ancestors: row.get(4)?,
                    as_of: row.get(5)?,
                    run: row.get(6)?,
                });
                if bytes >= BATCH_BYTES_MAX {
                    break;
                }
            }
            Ok(batch)
        };
        read().map_err(at(&self.path))
    }

    /// Forgets a reject that has become a row.
    pub fn remove_reject(&self, id: i64) -> Result<(), Error> {
        let sql = "DELETE FROM _windrow_rejects WHERE reject_id = ?1";
        let statement = self.connection.prepare_cached(sql);
        statement.and_then(|mut s| s.execute([id])).map(|_| ()).map_err(at(&self.path))
    }

    /// Says anew why a record is no row. The old reason stays where the same record is also kept
    /// for the new one.
    pub fn explain_reject(
        &self,
        id: i64,
        kind: &str,
        reason: &str,
        pointer: Option<&str>,
    ) -> Result<(), Error> {
        let sql = "UPDATE OR IGNORE _windrow_rejects SET kind = ?2, reason = ?3, pointer = ?4
            WHERE reject_id = ?1
              AND (kind, reason, coalesce(pointer, '-')) <> (?2, ?3, coalesce(?4, '-'))";
        let statement = self.connection.prepare_cached(sql);
        let write = statement.and_then(|mut s| s.execute(params![id, kind, reason, pointer]));
        write.map(|_| ()).map_err(at(&self.path))
    }

    /// Sets rejects aside: they stay, with who did it and why, and are open no longer. Those that
    /// were set aside before keep their note. Gives how many were open.
    pub fn discard_rejects(
        &self,
        selection: &RejectSelection,
        who: &str,
        note: &str,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let sql = format!(
            "UPDATE _windrow_rejects SET discarded_at = ?7, discarded_by = ?8, discard_note = ?9
             WHERE discarded_at IS NULL AND {CHOSEN}"
        );
        let write = || -> rusqlite::Result<u64> {
            let mut statement = self.connection.prepare(&sql)?;
            selection.bind(&mut statement)?;
            statement.raw_bind_parameter(7, instant_to_text(now))?;
            statement.raw_bind_parameter(8, who)?;
            statement.raw_bind_parameter(9, note)?;
            Ok(statement.raw_execute()? as u64)
        };
        write().map_err(at(&self.path))
    }
}

impl Reader {
    /// Calls `on` for each of the last `limit` rejects that are chosen, the newest first.
    pub fn each_reject(
        &self,
        selection: &RejectSelection,
        limit: u32,
        mut on: impl FnMut(RejectEntry),
    ) -> Result<(), Error> {
        self.run(|connection| {
            let sql = format!(
                "SELECT {ENTRY} FROM _windrow_rejects WHERE {CHOSEN}
                 ORDER BY reject_id DESC LIMIT ?7"
            );
            let mut statement = connection.prepare(&sql)?;
            selection.bind(&mut statement)?;
            statement.raw_bind_parameter(7, limit)?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                on(entry(row)?);
            }
            Ok(())
        })
    }

    /// How many rejects are chosen.
    pub fn count_rejects(&self, selection: &RejectSelection) -> Result<u64, Error> {
        self.run(|connection| {
            let sql = format!("SELECT count(*) FROM _windrow_rejects WHERE {CHOSEN}");
            let mut statement = connection.prepare(&sql)?;
            selection.bind(&mut statement)?;
            let mut rows = statement.raw_query();
            rows.next()?.map_or(Ok(0), |row| row.get(0))
        })
    }

    /// One reject with its record.
    pub fn reject(&self, id: i64) -> Result<Option<RejectRecord>, Error> {
        self.run(|connection| one_reject(connection, id))
    }
}

fn one_reject(connection: &Connection, id: i64) -> rusqlite::Result<Option<RejectRecord>> {
    let sql = format!("SELECT {ENTRY}, record FROM _windrow_rejects WHERE reject_id = ?1");
    let read = |row: &Row<'_>| Ok(RejectRecord { entry: entry(row)?, record: row.get(15)? });
    connection.query_row(&sql, [id], read).optional()
}

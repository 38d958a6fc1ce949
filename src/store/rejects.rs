//! Rejects: records that could not become rows, kept verbatim until they can, or until a person
//! sets them aside. Nothing here reads a record; `sync` does.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::Serialize;
use strum::IntoStaticStr;

use crate::model::{Error, Reject, Timestamp, WindowKey, instant_to_text};

use crate::model::sha256_of;
use crate::store::error::at;
use crate::store::ledger::bounds_text;
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::transaction::Tx;

/// Rejects that are held in memory at a time: so many, or so many bytes of records.
const BATCH_MAX: u32 = 500;
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Which rejects; everything that is not said is left open.
#[derive(Clone, Debug, Default)]
pub struct RejectSelection {
    /// The rejects of these numbers; any when empty.
    pub ids: Vec<i64>,
    pub stream: Option<String>,
    pub kind: Option<String>,
    /// Rejects that this run saw first or last; none for any run.
    pub run: Option<i64>,
    /// Rejects of windows that hold this instant.
    pub at: Option<Timestamp>,
    pub state: Option<RejectState>,
}

/// How a reject stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum RejectState {
    /// Somebody should look at it.
    Open,
    /// A person has set it aside.
    Discarded,
    /// A complete fetch of its window no longer brought it.
    Closed,
}

impl RejectState {
    /// The name of the state, in lower case.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The condition of every statement that chooses rejects.
const CHOSEN: &str = "(:of_stream IS NULL OR stream = :of_stream)
    AND (:kind IS NULL OR kind = :kind)
    AND (:run IS NULL OR :run IN (run_id, last_run_id))
    AND (:at IS NULL OR start_at <= :at AND end_at > :at)
    AND (:ids IS NULL OR reject_id IN (SELECT value FROM json_each(:ids)))
    AND (:state IS NULL OR :state = CASE WHEN discarded_at IS NOT NULL THEN 'discarded'
        WHEN closed_at IS NOT NULL THEN 'closed' ELSE 'open' END)";

impl RejectSelection {
    fn bind(&self, statement: &mut rusqlite::Statement<'_>) -> rusqlite::Result<()> {
        let ids = serde_json::to_string(&self.ids).expect("numbers can be written as JSON");
        statement.raw_bind_parameter(":of_stream", &self.stream)?;
        statement.raw_bind_parameter(":kind", &self.kind)?;
        statement.raw_bind_parameter(":run", self.run)?;
        statement.raw_bind_parameter(":at", self.at.map(instant_to_text))?;
        statement.raw_bind_parameter(":ids", (!self.ids.is_empty()).then_some(ids))?;
        statement.raw_bind_parameter(":state", self.state.map(RejectState::as_str))
    }
}

/// A reject as it stands in the archive.
#[derive(Clone, Debug, Serialize)]
pub struct RejectEntry {
    pub reject: i64,
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
    /// The name of the person who set it aside.
    pub discarded_by: Option<String>,
    /// The reason that the person gave.
    pub discard_note: Option<String>,
    /// When a complete fetch of its window no longer brought it.
    pub closed_at: Option<String>,
}

impl RejectEntry {
    /// The state that the times in the entry stand for.
    pub fn state(&self) -> RejectState {
        match (&self.discarded_at, &self.closed_at) {
            (Some(_), _) => RejectState::Discarded,
            (None, Some(_)) => RejectState::Closed,
            (None, None) => RejectState::Open,
        }
    }
}

/// A reject with its record.
#[derive(Clone, Debug, Serialize)]
pub struct RejectRecord {
    /// What is known of it.
    #[serde(flatten)]
    pub entry: RejectEntry,
    /// The record verbatim, as it came.
    pub record: String,
}

const ENTRY: &str = "reject_id, stream, partition, start_at, end_at, kind, reason, pointer,
    octet_length(record) AS bytes, run_id, last_run_id AS last_run,
    first_seen_at, discarded_at, discarded_by, discard_note, closed_at";

fn entry(row: &Row<'_>) -> rusqlite::Result<RejectEntry> {
    Ok(RejectEntry {
        reject: row.get("reject_id")?,
        stream: row.get("stream")?,
        partition: row.get("partition")?,
        start_at: row.get("start_at")?,
        end_at: row.get("end_at")?,
        kind: row.get("kind")?,
        reason: row.get("reason")?,
        pointer: row.get("pointer")?,
        bytes: row.get("bytes")?,
        run: row.get("run_id")?,
        last_run: row.get("last_run")?,
        first_seen_at: row.get("first_seen_at")?,
        discarded_at: row.get("discarded_at")?,
        discarded_by: row.get("discarded_by")?,
        discard_note: row.get("discard_note")?,
        closed_at: row.get("closed_at")?,
    })
}

/// A reject that is to be read again.
#[derive(Clone, Debug)]
pub struct KeptReject {
    pub id: i64,
    /// The run that saw it first.
    pub run: i64,
    /// The run that saw it last.
    pub last_run: i64,
    /// The parent's key, or empty.
    pub partition: String,
    /// The record verbatim, as it came.
    pub record: String,
    /// What lay above it, or the fields of the file that it came from.
    pub ancestors: Option<String>,
    /// It is newer than rows that were last changed by an earlier run than this one. Rows that
    /// are there stay where a later fetch of its window did not bring it again.
    pub as_of: i64,
}

impl Reader {
    /// The next rejects of a stream after the one that was last seen by run `after.0` and has the
    /// number `after.1`; the latest come first.
    pub fn next_rejects(
        &self,
        stream: &str,
        selection: &RejectSelection,
        after: (i64, i64),
    ) -> Result<Vec<KeptReject>, Error> {
        let open = match selection.state {
            Some(RejectState::Open) => "AND discarded_at IS NULL AND closed_at IS NULL",
            _ => "",
        };
        let sql = format!(
            "SELECT reject_id, last_run_id, partition, record, ancestors,
                CASE WHEN EXISTS (SELECT 1 FROM _windrow_ledger AS l
                    WHERE l.stream = r.stream AND l.partition = r.partition
                      AND l.state IN ('complete', 'settled') AND l.run_id > r.last_run_id
                      AND l.start_at <= r.start_at AND l.end_at >= r.end_at AND l.cursor IS NULL)
                THEN -1 ELSE last_run_id END AS as_of, run_id
             FROM _windrow_rejects AS r
             WHERE stream = :stream AND (last_run_id, reject_id) < (:last_run, :reject) {open} AND
             {CHOSEN}
             ORDER BY last_run_id DESC, reject_id DESC LIMIT :limit"
        );
        let read = || -> rusqlite::Result<Vec<KeptReject>> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            selection.bind(&mut statement)?;
            statement.raw_bind_parameter(":stream", stream)?;
            statement.raw_bind_parameter(":last_run", after.0)?;
            statement.raw_bind_parameter(":reject", after.1)?;
            statement.raw_bind_parameter(":limit", BATCH_MAX)?;
            let mut rows = statement.raw_query();
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let record: String = row.get("record")?;
                bytes += record.len();
                batch.push(KeptReject {
                    id: row.get("reject_id")?,
                    last_run: row.get("last_run_id")?,
                    partition: row.get("partition")?,
                    record,
                    ancestors: row.get("ancestors")?,
                    as_of: row.get("as_of")?,
                    run: row.get("run_id")?,
                });
                if bytes >= BATCH_BYTES_MAX {
                    break;
                }
            }
            Ok(batch)
        };
        read().map_err(at(&self.path))
    }
}

impl Tx<'_> {
    /// Keeps records that cannot become rows; each once, however often it comes.
    pub fn write_rejects(
        &self,
        window_key: &WindowKey,
        rejects: &[Reject],
        run: i64,
        now: &str,
    ) -> Result<(), Error> {
        let again = "UPDATE SET last_run_id = excluded.last_run_id, closed_at = NULL
            WHERE last_run_id <> excluded.last_run_id OR closed_at IS NOT NULL";
        self.put_rejects(window_key, rejects, (run, now), again)
    }

    /// Closes the rejects of a window that its complete fetch no longer brought: the source has
    /// corrected them, or has them no longer. Gives how many they are.
    pub fn close_rejects(&self, window_key: &WindowKey, run: i64, now: &str) -> Result<u64, Error> {
        let (start, end) = bounds_text(window_key.window);
        let sql = "UPDATE _windrow_rejects SET closed_at = :now
            WHERE stream = :stream AND partition = :partition AND last_run_id < :run
              AND start_at >= :start AND end_at <= :end
              AND discarded_at IS NULL AND closed_at IS NULL
              -- An orphan waits for its parent, whatever the source says of it meanwhile.
              AND kind <> 'orphan'";
        let write = || -> rusqlite::Result<usize> {
            self.connection.prepare_cached(sql)?.execute(named_params! {
                ":now": now,
                ":stream": window_key.stream,
                ":partition": window_key.partition,
                ":run": run,
                ":start": start,
                ":end": end,
            })
        };
        write().map(|closed| closed as u64).map_err(at(&self.path))
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
             VALUES (:stream, :partition, :start, :end, :kind, :reason, :record, :record_sha256,
             :now,
             :run, :run, :pointer, :ancestors)
             ON CONFLICT (stream, partition, record_sha256, kind) DO {again}"
        );
        let (start, end) = bounds_text(window_key.window);
        let write = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(&sql)?;
            for reject in rejects {
                statement.execute(named_params! {
                    ":stream": window_key.stream,
                    ":partition": window_key.partition,
                    ":start": start,
                    ":end": end,
                    ":kind": reject.kind.as_str(),
                    ":reason": reject.reason,
                    ":record": reject.record,
                    ":record_sha256": sha256_of(&reject.record),
                    ":now": now,
                    ":run": run,
                    ":pointer": reject.pointer,
                    ":ancestors": reject.ancestors,
                })?;
            }
            Ok(())
        };
        write().map_err(at(&self.path))
    }

    /// Forgets a reject that has become a row.
    pub fn remove_reject(&self, id: i64) -> Result<(), Error> {
        let sql = "DELETE FROM _windrow_rejects WHERE reject_id = :id";
        let statement = self.connection.prepare_cached(sql);
        statement
            .and_then(|mut s| s.execute(named_params! { ":id": id }))
            .map(|_| ())
            .map_err(at(&self.path))
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
        let sql = "UPDATE OR IGNORE _windrow_rejects SET kind = :kind, reason = :reason,
            pointer = :pointer
            WHERE reject_id = :id
              AND (kind, reason, coalesce(pointer, '-')) <> (:kind, :reason, coalesce(:pointer,
              '-'))";
        let statement = self.connection.prepare_cached(sql);
        let write = statement.and_then(|mut s| {
            s.execute(
                named_params! { ":id": id, ":kind": kind, ":reason": reason, ":pointer": pointer },
            )
        });
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
            "UPDATE _windrow_rejects SET discarded_at = :now, discarded_by = :who, discard_note =
                :note
             WHERE discarded_at IS NULL AND {CHOSEN}"
        );
        let write = || -> rusqlite::Result<u64> {
            let mut statement = self.connection.prepare(&sql)?;
            selection.bind(&mut statement)?;
            statement.raw_bind_parameter(":now", instant_to_text(now))?;
            statement.raw_bind_parameter(":who", who)?;
            statement.raw_bind_parameter(":note", note)?;
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
                 ORDER BY reject_id DESC LIMIT :limit"
            );
            let mut statement = connection.prepare(&sql)?;
            selection.bind(&mut statement)?;
            statement.raw_bind_parameter(":limit", limit)?;
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
            rows.next()?.map_or(Ok(0), only)
        })
    }

    /// One reject with its record.
    pub fn reject(&self, id: i64) -> Result<Option<RejectRecord>, Error> {
        self.run(|connection| one_reject(connection, id))
    }
}

fn one_reject(connection: &Connection, id: i64) -> rusqlite::Result<Option<RejectRecord>> {
    let sql = format!("SELECT {ENTRY}, record FROM _windrow_rejects WHERE reject_id = :id");
    let read = |row: &Row<'_>| Ok(RejectRecord { entry: entry(row)?, record: row.get("record")? });
    connection.query_row(&sql, named_params! { ":id": id }, read).optional()
}

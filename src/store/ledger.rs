//! The ledger: how far each window has been read.
//!
//! Complete windows of one stream and partition never overlap: whoever completes a window trims
//! what it covers of others, so that the union stays what it was and nothing is counted twice.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::model::{
    Checkpoint, Entry, Error, State, Timestamp, Window, WindowKey, instant_from_text,
    instant_to_text,
};

use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::row::{name_of, unknown};
use crate::store::transaction::Tx;

/// The bounds of a row of the ledger as texts; empty for a snapshot or a mark.
pub(crate) fn bounds_text(window: Option<Window>) -> (String, String) {
    window.map_or_else(Default::default, |window| {
        (instant_to_text(window.start()), instant_to_text(window.end()))
    })
}

pub(crate) fn window_of(start: &str, end: &str) -> Option<Window> {
    Window::new(instant_from_text(start)?, instant_from_text(end)?)
}

/// Where the state of a fetch stands.
pub(crate) const LEDGER_STATE: (&str, &str) = ("_windrow_ledger", "state");

/// A fetch as a row of the ledger.
///
/// Two fetches that the source has dated can only add to each other: what an earlier one proved
/// stays proven where a later one was answered from a cache.
const ENTRY: &str = "INSERT INTO _windrow_ledger
    (stream, partition, start_at, end_at, state, read_to, requested_at, completed_at,
     token, cursor, pages, received, inserted, updated, unchanged, skipped, rejected,
     out_of_window, distinct_keys, source_total, fetches, error, run_id, dated_by_source,
     asked_from,
     last_records, first_complete_at, settled_at)
    VALUES (:stream, :partition, :start_at, :end_at, :state, :read_to, :requested_at,
            :completed_at, :token, :cursor, :pages, :received, :inserted, :updated, :unchanged,
            :skipped, :rejected, :out_of_window, :distinct_keys, :source_total, :fetches,
            :error, :run_id, :dated_by_source, :asked_from, :last_records, :first_complete_at,
            :settled_at)
    ON CONFLICT (stream, partition, start_at, end_at) DO UPDATE SET
     state = CASE WHEN dated_by_source AND excluded.dated_by_source AND state = 'settled'
             AND excluded.state = 'complete' THEN state ELSE excluded.state END,
     read_to = CASE WHEN dated_by_source AND excluded.dated_by_source
             AND state IN ('complete', 'settled') AND read_to > excluded.read_to
             THEN read_to ELSE excluded.read_to END,
     requested_at = CASE WHEN dated_by_source AND excluded.dated_by_source
             AND state IN ('complete', 'settled') AND requested_at > excluded.requested_at
             THEN requested_at ELSE excluded.requested_at END,
     completed_at = coalesce(excluded.completed_at, completed_at),
     token = excluded.token, cursor = coalesce(excluded.cursor, cursor),
     pages = excluded.pages, received = excluded.received,
     inserted = excluded.inserted, updated = excluded.updated,
     unchanged = excluded.unchanged, skipped = excluded.skipped,
     rejected = excluded.rejected, out_of_window = excluded.out_of_window,
     distinct_keys = excluded.distinct_keys, source_total = excluded.source_total,
     fetches = fetches + excluded.fetches, error = excluded.error,
     run_id = excluded.run_id, dated_by_source = excluded.dated_by_source,
     asked_from = coalesce(excluded.asked_from, asked_from),
     previous_records = CASE WHEN excluded.fetches > 0 THEN last_records ELSE previous_records END,
     last_records = CASE WHEN excluded.fetches > 0 THEN excluded.last_records ELSE last_records END,
     first_complete_at = coalesce(first_complete_at, excluded.first_complete_at),
     settled_at = coalesce(settled_at, excluded.settled_at)";

impl Reader {
    /// Whether this very window has been completed before, or others have proven all of it.
    pub fn is_complete(&self, window_key: &WindowKey) -> Result<bool, Error> {
        self.is_covered(window_key).map_err(at(&self.path))
    }

    fn is_covered(&self, window_key: &WindowKey) -> rusqlite::Result<bool> {
        let (start, end) = bounds_text(window_key.window);
        let sql = "SELECT start_at, end_at, coalesce(read_to, end_at) AS read_to
            FROM _windrow_ledger
            WHERE stream = :stream AND partition = :partition AND start_at <= :end AND
            end_at >= :start
              AND state IN ('complete', 'settled') ORDER BY start_at";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(named_params! {
            ":stream": &window_key.stream,
            ":partition": &window_key.partition,
            ":start": &start,
            ":end": &end,
        })?;
        let mut covered_to = start.clone();
        while let Some(row) = rows.next()? {
            let (from, to): (String, String) = (row.get("start_at")?, row.get("end_at")?);
            if from == start && to == end {
                return Ok(true);
            }
            let read_to: String = row.get("read_to")?;
            if from <= covered_to && read_to > covered_to {
                covered_to = read_to;
            }
        }
        Ok(window_key.window.is_some() && covered_to >= end)
    }
}

impl Tx<'_> {
    /// Writes how far a fetch has come, in the transaction of its rows.
    pub fn write_progress(&self, progress: &Checkpoint, run: i64) -> Result<(), Error> {
        self.write_entry(progress, run).map_err(at(&self.path))
    }

    fn write_entry(&self, progress: &Checkpoint, run: i64) -> rusqlite::Result<()> {
        let complete = matches!(progress.state, State::Complete | State::Settled);
        let ended = complete || progress.state == State::Absent;
        if complete && let Some(window) = progress.window_key.window {
            self.trim_others(&progress.window_key, window)?;
        }
        let window = progress.window_key.window;
        let settled = progress.state == State::Settled;
        let whole = complete && window.is_some_and(|w| progress.read_to >= Some(w.end()));
        let (start, end) = bounds_text(window);
        let outcomes = &progress.outcomes;
        let mut statement = self.connection.prepare_cached(ENTRY)?;
        statement.execute(named_params! {
            ":stream": progress.window_key.stream,
            ":partition": progress.window_key.partition,
            ":start_at": start,
            ":end_at": end,
            ":state": progress.state.as_str(),
            ":read_to": progress.read_to.map(instant_to_text),
            ":requested_at": instant_to_text(progress.requested_at),
            ":completed_at": ended.then(|| instant_to_text(progress.at)),
            ":token": progress.token,
            ":cursor": progress.cursor,
            ":pages": progress.pages,
            ":received": outcomes.received,
            ":inserted": outcomes.inserted,
            ":updated": outcomes.updated,
            ":unchanged": outcomes.unchanged,
            ":skipped": outcomes.skipped,
            ":rejected": outcomes.rejected,
            ":out_of_window": progress.out_of_window,
            ":distinct_keys": progress.distinct_keys,
            ":source_total": progress.source_total,
            ":fetches": u64::from(complete),
            ":error": progress.error,
            ":run_id": run,
            ":dated_by_source": progress.dated_by_source,
            ":asked_from": progress.asked_from.filter(|_| complete).map(instant_to_text),
            ":last_records": progress.last_records.filter(|_| complete),
            ":first_complete_at": whole.then(|| instant_to_text(progress.at)),
            ":settled_at": settled.then(|| instant_to_text(progress.at)),
        })?;
        Ok(())
    }

    /// Writes why a window that is complete could not be read again, whichever rows of the ledger
    /// prove it. A complete fetch takes it away.
    pub fn note_error(&self, window_key: &WindowKey, error: &str) -> Result<(), Error> {
        let (start, end) = bounds_text(window_key.window);
        let sql = "UPDATE _windrow_ledger SET error = :error
            WHERE stream = :stream AND partition = :partition AND error IS NOT :error
              AND (start_at = :start AND end_at = :end
                OR start_at < :end AND end_at > :start AND state IN ('complete', 'settled'))";
        let write = || -> rusqlite::Result<usize> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.execute(named_params! {
                ":stream": &window_key.stream,
                ":partition": &window_key.partition,
                ":start": &start,
                ":end": &end,
                ":error": error,
            })
        };
        write().map(|_| ()).map_err(at(&self.path))
    }

    /// Leaves of every other window only what `window` does not cover.
    fn trim_others(&self, window_key: &WindowKey, window: Window) -> rusqlite::Result<()> {
        let (start, end) = bounds_text(Some(window));
        let sql = "SELECT start_at, end_at, read_to, state IN ('complete', 'settled') AS complete
            FROM _windrow_ledger
            WHERE stream = :stream AND partition = :partition AND start_at < :end AND
            end_at > :start
              AND NOT (start_at = :start AND end_at = :end)";
        let mut statement = self.connection.prepare_cached(sql)?;
        let others: Vec<(String, String, Option<String>, bool)> = statement
            .query_map(
                named_params! {
                    ":stream": &window_key.stream,
                    ":partition": &window_key.partition,
                    ":start": &start,
                    ":end": &end,
                },
                |row| {
                    let bounds = (row.get("start_at")?, row.get("end_at")?);
                    Ok((bounds.0, bounds.1, row.get("read_to")?, row.get("complete")?))
                },
            )?
            .collect::<rusqlite::Result<_>>()?;
        for (other_start, other_end, read_to, complete) in others {
            if complete {
                let other = (other_start.as_str(), other_end.as_str());
                let read_to = read_to.as_deref();
                self.keep_piece(window_key, other, (&other_start, &start), read_to)?;
                self.keep_piece(window_key, other, (&end, &other_end), read_to)?;
            }
            self.forget(window_key, &other_start, &other_end)?;
        }
        Ok(())
    }

    /// Writes what is left of a complete window as a window of its own, with the error of the fetch
    /// of this very piece where that has failed: it must not stand in the way of what an earlier
    /// fetch proved, and is told beside it.
    fn keep_piece(
        &self,
        window_key: &WindowKey,
        (other_start, other_end): (&str, &str),
        (from, to): (&str, &str),
        read_to: Option<&str>,
    ) -> rusqlite::Result<()> {
        let reaches = read_to.is_none_or(|read_to| read_to > from);
        if from >= to || !reaches {
            return Ok(());
        }
        let clear = "DELETE FROM _windrow_ledger
            WHERE stream = :stream AND partition = :partition AND start_at = :from AND
            end_at = :to
              AND state IN ('partial', 'truncated')
            RETURNING error";
        let mut clear = self.connection.prepare_cached(clear)?;
        let cleared = clear
            .query_row(
                named_params! {
                    ":stream": &window_key.stream,
                    ":partition": &window_key.partition,
                    ":from": from,
                    ":to": to,
                },
                |row| row.get::<_, Option<String>>("error"),
            )
            .optional()?;
        // What came was of the whole window, and is not known of its piece.
        let copy = "INSERT OR IGNORE INTO _windrow_ledger
            (stream, partition, start_at, end_at, state, read_to, requested_at,
             completed_at, token, cursor, pages, received, inserted, updated, unchanged,
             skipped, rejected, out_of_window, fetches, error, run_id, dated_by_source,
             first_complete_at,
             settled_at)
            SELECT stream, partition, :from, :to, state, :read_to, requested_at,
            completed_at, NULL,
                   cursor, pages, received, inserted, updated, unchanged, skipped,
                   rejected, out_of_window, fetches, coalesce(:error, error), run_id,
                   dated_by_source, first_complete_at,
                   settled_at
            FROM _windrow_ledger
            WHERE stream = :stream AND partition = :partition AND start_at = :other_start
            AND end_at = :other_end";
        self.connection.prepare_cached(copy)?.execute(named_params! {
            ":stream": &window_key.stream,
            ":partition": &window_key.partition,
            ":other_start": other_start,
            ":other_end": other_end,
            ":from": from,
            ":to": to,
            ":read_to": read_to.map(|read_to| read_to.min(to)),
            ":error": cleared.flatten(),
        })?;
        Ok(())
    }

    fn forget(&self, window_key: &WindowKey, start: &str, end: &str) -> rusqlite::Result<()> {
        let sql = "DELETE FROM _windrow_ledger
            WHERE stream = :stream AND partition = :partition AND start_at = :start AND
            end_at = :end";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(named_params! {
            ":stream": &window_key.stream,
            ":partition": &window_key.partition,
            ":start": start,
            ":end": end,
        })?;
        Ok(())
    }

    /// Forgets a fetch that was broken off and is replaced by fetches of its parts.
    pub fn forget_partial(&self, window_key: &WindowKey) -> Result<(), Error> {
        let (start, end) = bounds_text(window_key.window);
        let sql = "DELETE FROM _windrow_ledger
            WHERE stream = :stream AND partition = :partition AND start_at = :start AND
            end_at = :end
              AND state IN ('partial', 'truncated')";
        let write = || -> rusqlite::Result<usize> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.execute(named_params! {
                ":stream": &window_key.stream,
                ":partition": &window_key.partition,
                ":start": &start,
                ":end": &end,
            })
        };
        write().map(|_| ()).map_err(at(&self.path))
    }
}

/// The entries of a stream and partition, oldest first.
pub(crate) fn entries(
    connection: &Connection,
    stream: &str,
    partition: &str,
) -> rusqlite::Result<Vec<Entry>> {
    let sql = "SELECT start_at, end_at, state, read_to, requested_at, completed_at, token, cursor,
                      source_total, error IS NOT NULL AS failed, run_id,
                      (SELECT definition_id FROM _windrow_runs AS r WHERE r.run_id = l.run_id)
                        IS (SELECT definition_id FROM _windrow_runs ORDER BY run_id DESC LIMIT 1)
                        AS same_definition,
                      dated_by_source,
                      EXISTS (SELECT 1 FROM _windrow_adopted AS a WHERE a.stream = l.stream
                        AND a.run_id > l.run_id
                        AND (l.start_at = '' OR a.start_at < l.end_at AND a.end_at > l.start_at))
                        AS adopted_since,
                      EXISTS (SELECT 1 FROM _windrow_disputed AS d WHERE d.stream = l.stream
                        AND d.partition = l.partition AND d.read_at >= l.requested_at
                        AND d.start_at < l.end_at AND d.end_at > l.start_at) AS disputed
        FROM _windrow_ledger AS l WHERE stream = :stream AND partition = :partition ORDER BY
        start_at, end_at";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(
        named_params! { ":stream": stream, ":partition": partition },
        |row| {
            let text = |at: usize| row.get::<_, Option<String>>(at);
            let wrong = |text: &str, column: &str| unknown(text, ("_windrow_ledger", column));
            let instant = |at: usize, name: &str| -> rusqlite::Result<Option<Timestamp>> {
                let read =
                    |text: String| instant_from_text(&text).ok_or_else(|| wrong(&text, name));
                text(at)?.map(read).transpose()
            };
            let (start, end) = (text(0)?.unwrap_or_default(), text(1)?.unwrap_or_default());
            let window = window_of(&start, &end);
            if window.is_none() && !(start.is_empty() && end.is_empty()) {
                return Err(wrong(&format!("{start}..{end}"), "start_at"));
            }
            let state = text(2)?.unwrap_or_default();
            Ok(Entry {
                window,
                state: name_of(&state, LEDGER_STATE)?,
                read_to: instant(3, "read_to")?,
                requested_at: instant(4, "requested_at")?.unwrap_or_default(),
                completed_at: instant(5, "completed_at")?,
                token: text(6)?,
                cursor: text(7)?,
                source_total: row.get("source_total")?,
                failed: row.get("failed")?,
                same_definition: row.get("same_definition")?,
                dated_by_source: row.get("dated_by_source")?,
                adopted_since: row.get("adopted_since")?,
                disputed: row.get("disputed")?,
                run: row.get("run_id")?,
                outdated: false,
            })
        },
    )?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Command, Outcomes};
    use crate::store::Archive;
    use crate::store::runs::RunStart;
    use crate::store::table::tests::{archive_with, usage_shape};

    fn day(n: i64) -> Timestamp {
        chrono::DateTime::from_timestamp(1_767_225_600 + n * 86_400, 0).expect("in range")
    }

    fn progress(from: i64, to: i64, state: State) -> Checkpoint {
        let window = Window::new(day(from), day(to));
        Checkpoint {
            window_key: WindowKey { stream: "usage".into(), partition: String::new(), window },
            state,
            read_to: Some(day(to)),
            requested_at: day(40),
            dated_by_source: false,
            asked_from: Some(day(from)),
            last_records: Some(1),
            at: day(40),
            token: None,
            cursor: None,
            pages: 1,
            outcomes: Outcomes::default(),
            out_of_window: 0,
            distinct_keys: None,
            source_total: None,
            error: None,
        }
    }

    fn ledger(archive: &Archive) -> Vec<String> {
        let entries = entries(&archive.connection, "usage", "").expect("entries");
        let shown =
            entries.iter().filter_map(|entry| Some(format!("{} {}", entry.window?, entry.state)));
        shown.collect()
    }

    #[test]
    fn completing_a_window_trims_what_it_covers_of_others_and_loses_no_coverage() {
        let (_folder, archive) = archive_with(&usage_shape());
        let start = RunStart { command: Command::Sync, version: "0", definition: "", now: day(0) };
        let run = archive.transaction(|tx| tx.start_run(&start)).expect("a run");
        let write = |from, to, state| {
            archive
                .transaction(|tx| tx.write_progress(&progress(from, to, state), run))
                .expect("written");
        };
        write(0, 30, State::Complete);
        write(10, 20, State::Settled);
        assert_eq!(
            ledger(&archive),
            [
                "2026-01-01..2026-01-11 complete",
                "2026-01-11..2026-01-21 settled",
                "2026-01-21..2026-01-31 complete"
            ]
        );
        write(5, 25, State::Complete);
        assert_eq!(
            ledger(&archive),
            [
                "2026-01-01..2026-01-06 complete",
                "2026-01-06..2026-01-26 complete",
                "2026-01-26..2026-01-31 complete"
            ]
        );
        write(0, 30, State::Complete);
        assert_eq!(ledger(&archive), ["2026-01-01..2026-01-31 complete"]);
    }

    #[test]
    fn a_piece_that_could_not_be_read_again_keeps_its_error_when_the_rest_is() {
        let (_folder, archive) = archive_with(&usage_shape());
        let start = RunStart { command: Command::Sync, version: "0", definition: "", now: day(0) };
        let run = archive.transaction(|tx| tx.start_run(&start)).expect("a run");
        let write = |it: Checkpoint| {
            archive.transaction(|tx| tx.write_progress(&it, run)).expect("written");
        };
        // A window that was open: only its first part was read.
        write(Checkpoint { read_to: Some(day(12)), ..progress(0, 30, State::Complete) });
        let why = Some("a key came twice".to_owned());
        write(Checkpoint { error: why, ..progress(0, 20, State::Partial) });
        write(progress(20, 30, State::Complete));
        assert_eq!(
            ledger(&archive),
            ["2026-01-01..2026-01-21 complete", "2026-01-21..2026-01-31 complete"]
        );
        let entries = entries(&archive.connection, "usage", "").expect("entries");
        assert_eq!(entries.iter().map(|entry| entry.failed).collect::<Vec<_>>(), [true, false]);
        write(progress(0, 20, State::Complete));
        let entries = super::entries(&archive.connection, "usage", "").expect("entries");
        assert!(entries.iter().all(|entry| !entry.failed), "a complete fetch takes it away");
    }

    #[test]
    fn a_partial_fetch_trims_nothing_and_is_trimmed_away() {
        let (_folder, archive) = archive_with(&usage_shape());
        let start = RunStart { command: Command::Sync, version: "0", definition: "", now: day(0) };
        let run = archive.transaction(|tx| tx.start_run(&start)).expect("a run");
        let write = |from, to, state| {
            archive
                .transaction(|tx| tx.write_progress(&progress(from, to, state), run))
                .expect("written");
        };
        write(0, 10, State::Complete);
        write(5, 20, State::Partial);
        assert_eq!(
            ledger(&archive),
            ["2026-01-01..2026-01-11 complete", "2026-01-06..2026-01-21 partial"]
        );
        write(0, 30, State::Complete);
        assert_eq!(ledger(&archive), ["2026-01-01..2026-01-31 complete"]);
    }
}

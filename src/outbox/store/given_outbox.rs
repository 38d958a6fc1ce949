//! An outbox that is given away with its archive: moved, never copied. What became of an entry over
//! there comes back with a merge.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, named_params, params_from_iter};

use crate::model::{EntryState, Error, ErrorKind};
use crate::store::error::at;
use crate::store::formats::FORMATS;
use crate::store::open::open_writer;
use crate::store::reader::Reader;
use crate::store::row::{named, only};
use crate::store::transaction::Tx;
use crate::store::value::Value;

/// Entries that go along: they wait to be sent, or may have been sent. What has gone along once
/// goes with no other copy, nor does what waits for its answer, which comes nowhere else.
const GOING: &str = "
    WITH RECURSIVE open AS (
        SELECT entry, after_entry, owner GLOB 'moved:*' AS is_moved FROM _windrow_outbox
        WHERE state IN ('queued', 'sending', 'unknown')),
    gone (entry) AS (
        SELECT entry FROM open WHERE is_moved
        UNION SELECT o.entry FROM open AS o JOIN gone AS g ON o.after_entry = g.entry)
    SELECT entry FROM open WHERE entry NOT IN (SELECT entry FROM gone)";

/// How the owner of entries begins that were moved: no archive is the home of it.
pub const MOVED: &str = "moved:";

/// Whom entries belong to that a hand-off has taken along.
fn moved_owner(handoff_id: &str) -> String {
    format!("{MOVED}{handoff_id}")
}

/// Leaves of the outbox what waits, with the answers that it waits for; or nothing.
pub(crate) fn cut_outbox(tx: &Tx<'_>, moved_by: Option<&str>) -> rusqlite::Result<()> {
    let keep = match moved_by {
        None => "SELECT 0 WHERE 0".to_owned(),
        Some(_) => format!(
            "WITH RECURSIVE kept (entry) AS (
                SELECT entry FROM ({GOING})
                UNION SELECT o.after_entry FROM _windrow_outbox AS o JOIN kept USING (entry)
                WHERE o.after_entry IS NOT NULL)
             SELECT entry FROM kept"
        ),
    };
    tx.connection.execute_batch(&format!(
        "CREATE TEMP TABLE kept AS {keep};
         DELETE FROM _windrow_outbox_attempts WHERE entry NOT IN (SELECT entry FROM kept);
         DELETE FROM _windrow_outbox WHERE entry NOT IN (SELECT entry FROM kept);
         DROP TABLE kept;"
    ))?;
    if let Some(handoff_id) = moved_by {
        let sql = "UPDATE _windrow_outbox SET owner = :handoff_id";
        tx.connection.execute(sql, named_params! { ":handoff_id": moved_owner(handoff_id) })?;
    }
    Ok(())
}

/// The entries of a copy that wait to be sent from it.
pub(crate) fn going_with(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let open = "SELECT entry FROM _windrow_outbox WHERE state IN ('queued', 'sending', 'unknown')";
    entries_of(connection, open)
}

fn entries_of(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare(sql)?;
    let entries = statement.query_map([], only)?;
    entries.collect()
}

/// From here on these entries of the archive's outbox are the copy's: nothing here sends them,
/// until a person says so. All of them, or none where one has changed since the copy was made.
pub fn move_outbox(
    path: &Path,
    handoff_id: &str,
    note: &str,
    entries: &[i64],
) -> Result<(), Error> {
    let (connection, _) = open_writer(path, FORMATS)?;
    let reader = Reader::over(connection, path, FORMATS);
    let owner = moved_owner(handoff_id);
    let sql = "UPDATE _windrow_outbox SET owner = :owner, note = :note WHERE entry = :entry";
    Tx::within(&reader, |tx| {
        let going = tx.run(|connection| entries_of(connection, GOING))?;
        let going: BTreeSet<i64> = going.into_iter().collect();
        if !entries.iter().all(|entry| going.contains(entry)) {
            let message = "the outbox was changed while the copy was made; nothing was moved";
            return Err(Error::new(ErrorKind::Held, message).help("run it again"));
        }
        tx.run(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            entries.iter().try_for_each(|entry| {
                statement
                    .execute(named_params! { ":owner": owner, ":note": note, ":entry": entry })
                    .map(drop)
            })
        })
    })
}

/// What the outbox of an archive that is merged has for this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenEntries {
    /// Keys of entries that went from here with a hand-off, and what became of them there.
    pub results: Vec<(String, EntryState)>,
    /// Keys of entries that wait there for somebody to take them over.
    pub waiting: Vec<String>,
    /// How many entries of its own it has besides these.
    pub others: u64,
}

/// What an entry is over with, beside its state.
const ENDED: [&str; 13] = [
    "state",
    "sent_key",
    "in_doubt",
    "attempts",
    "first_sent_at",
    "last_seen_at",
    "valid_until",
    "next_at",
    "finished_at",
    "status",
    "answer_headers",
    "answer",
    "note",
];

/// Takes from another archive what became of entries that went there, or to an archive that it was
/// made from, with a hand-off of this one: the same request, under the same key. Nothing is queued.
pub fn take_entries(tx: &Tx<'_>, theirs: &Connection) -> Result<GivenEntries, Error> {
    let mut given = GivenEntries::default();
    for away in tx.run(entries_away)? {
        let found = ended_there(theirs, &away).map_err(at(&tx.path))?;
        if let Some((there, state)) = found {
            tx.run(|connection| take_end(connection, theirs, away.entry, there))?;
            given.results.push((away.key, state));
        }
    }
    left_there(&tx.connection, theirs, &mut given).map_err(at(&tx.path))?;
    Ok(given)
}

/// An entry that went along with a hand-off.
struct EntryAway {
    entry: i64,
    source: String,
    key: String,
    digest: String,
    handoff_id: String,
}

fn entries_away(ours: &Connection) -> rusqlite::Result<Vec<EntryAway>> {
    let sql = "SELECT entry, source, key, digest, substr(owner, 7) AS handoff_id
        FROM _windrow_outbox
        WHERE owner GLOB 'moved:*' AND state IN ('queued', 'sending', 'unknown') ORDER BY entry";
    let mut statement = ours.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(EntryAway {
            entry: row.get("entry")?,
            source: row.get("source")?,
            key: row.get("key")?,
            digest: row.get("digest")?,
            handoff_id: row.get("handoff_id")?,
        })
    })?;
    rows.collect()
}

/// The same request in an archive that was made by that hand-off, where it is over.
fn ended_there(
    theirs: &Connection,
    away: &EntryAway,
) -> rusqlite::Result<Option<(i64, EntryState)>> {
    let sql = "SELECT entry, state FROM _windrow_outbox
        WHERE source = :source AND key = :key AND digest = :digest
            AND state IN ('done', 'rejected', 'expired', 'cancelled')
            AND EXISTS (SELECT 1 FROM _windrow_lineage WHERE handoff_id = :handoff_id)";
    let values = named_params! {
        ":source": away.source, ":key": away.key, ":digest": away.digest,
        ":handoff_id": away.handoff_id,
    };
    theirs
        .prepare_cached(sql)?
        .query_row(values, |row| {
            Ok((row.get("entry")?, named(row, "state", ("_windrow_outbox", "state"))?))
        })
        .optional()
}

/// Takes how an entry ended, and its attempts there.
fn take_end(
    ours: &Connection,
    theirs: &Connection,
    entry: i64,
    there: i64,
) -> rusqlite::Result<()> {
    let read = format!("SELECT {} FROM _windrow_outbox WHERE entry = :entry", ENDED.join(", "));
    let mut values: Vec<Value> =
        theirs.query_row(&read, named_params! { ":entry": there }, |row| {
            (0..ENDED.len()).map(|at| row.get(at)).collect()
        })?;
    values.push(Value::Integer(entry));
    let set = ENDED.map(|column| format!("{column} = ?")).join(", ");
    let write = format!("UPDATE _windrow_outbox SET {set} WHERE entry = ?");
    ours.execute(&write, params_from_iter(values))?;
    let columns = "attempt, sent_key, started_at, ended_at, status, error";
    let read = format!("SELECT {columns} FROM _windrow_outbox_attempts WHERE entry = :entry");
    let write = format!(
        "INSERT INTO _windrow_outbox_attempts (entry, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING"
    );
    let mut attempts = theirs.prepare(&read)?;
    let mut rows = attempts.query(named_params! { ":entry": there })?;
    while let Some(row) = rows.next()? {
        let mut values = vec![Value::Integer(entry)];
        for at in 0..6 {
            values.push(row.get(at)?);
        }
        ours.execute(&write, params_from_iter(values))?;
    }
    Ok(())
}

/// Finds the entries of the other archive that are unknown here: those that came with a hand-off
/// and that nobody there has taken over, and the others.
fn left_there(
    ours: &Connection,
    theirs: &Connection,
    given: &mut GivenEntries,
) -> rusqlite::Result<()> {
    let sql = "SELECT source, key, owner GLOB 'moved:*'
            AND state IN ('queued', 'sending', 'unknown')
            AND EXISTS (SELECT 1 FROM _windrow_lineage WHERE handoff_id = substr(owner, 7))
            AS is_waiting
        FROM _windrow_outbox ORDER BY entry";
    let mut statement = theirs.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (source, key): (String, String) = (row.get("source")?, row.get("key")?);
        if is_here(ours, &source, &key)? {
            continue;
        }
        match row.get("is_waiting")? {
            true => given.waiting.push(key),
            false => given.others += 1,
        }
    }
    Ok(())
}

fn is_here(ours: &Connection, source: &str, key: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM _windrow_outbox WHERE source = :source AND key = :key";
    ours.prepare_cached(sql)?.exists(named_params! { ":source": source, ":key": key })
}

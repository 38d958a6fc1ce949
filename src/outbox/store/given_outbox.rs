//! An outbox that is given away with its archive: moved, never copied.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, named_params};

use crate::model::{Error, ErrorKind};
use crate::store::formats::FORMATS;
use crate::store::open::open_writer;
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::transaction::Tx;

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

/// Whom entries belong to that were moved: no archive is the home of it.
fn moved_owner(handoff_id: &str) -> String {
    format!("moved:{handoff_id}")
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

//! An outbox that is given away with its archive: moved, never copied.

use std::path::Path;

use rusqlite::Connection;

use super::error::{ArchiveError, at};
use super::open::open_writer;

/// Entries that wait to be sent, or may have been sent.
const OPEN: &str = "state IN ('queued', 'sending', 'unknown')";

/// Whom entries belong to that were moved: no archive is the home of it.
fn moved_owner(handoff_id: &str) -> String {
    format!("moved:{handoff_id}")
}

/// Leaves of the outbox what waits, with the answers that it waits for; or nothing.
pub(super) fn cut_outbox(connection: &Connection, moved_by: Option<&str>) -> rusqlite::Result<()> {
    let keep = match moved_by {
        None => "SELECT 0 WHERE 0".to_owned(),
        Some(_) => format!(
            "WITH RECURSIVE kept (entry) AS (
                SELECT entry FROM _windrow_outbox WHERE {OPEN}
                UNION SELECT o.after_entry FROM _windrow_outbox AS o JOIN kept USING (entry)
                WHERE o.after_entry IS NOT NULL)
             SELECT entry FROM kept"
        ),
    };
    connection.execute_batch(&format!(
        "CREATE TEMP TABLE kept AS {keep};
         DELETE FROM _windrow_outbox_attempts WHERE entry NOT IN (SELECT entry FROM kept);
         DELETE FROM _windrow_outbox WHERE entry NOT IN (SELECT entry FROM kept);
         DROP TABLE kept;"
    ))?;
    if let Some(handoff_id) = moved_by {
        let sql = "UPDATE _windrow_outbox SET owner = ?1";
        connection.execute(sql, [moved_owner(handoff_id)])?;
    }
    Ok(())
}

/// From here on, what waits in the archive's outbox is the copy's: nothing here sends it, until a
/// person says so. Tells how many requests those are.
pub fn move_outbox(path: &Path, handoff_id: &str, note: &str) -> Result<u64, ArchiveError> {
    let (connection, _) = open_writer(path)?;
    let sql = format!("UPDATE _windrow_outbox SET owner = ?1, note = ?2 WHERE {OPEN}");
    let write = || -> rusqlite::Result<usize> {
        let immediate = rusqlite::TransactionBehavior::Immediate;
        let transaction = rusqlite::Transaction::new_unchecked(&connection, immediate)?;
        let moved = transaction.execute(&sql, [moved_owner(handoff_id).as_str(), note])?;
        transaction.commit()?;
        Ok(moved)
    };
    write().map(|moved| moved as u64).map_err(at(path))
}

//! Waits that a person lifts: those of the sources, and those of their entries in the outbox.

use rusqlite::{Connection, named_params};

use crate::model::{Error, Timestamp};
use crate::store::Tx;
use crate::waits::lift_wait;

impl Tx<'_> {
    /// Forgets the waits of these sources, those of their entries in the outbox as well, and gives
    /// the sources that had one.
    pub fn lift_waits(&self, sources: &[String], now: Timestamp) -> Result<Vec<String>, Error> {
        self.run(|connection| {
            let mut lifted = Vec::new();
            for source in sources {
                let waited = lift_wait(connection, source, now)?;
                let rested = lift_entries(connection, source)?;
                if (waited || rested) && !lifted.contains(source) {
                    lifted.push(source.clone());
                }
            }
            Ok(lifted)
        })
    }
}

fn lift_entries(connection: &Connection, source: &str) -> rusqlite::Result<bool> {
    let sql = "UPDATE _windrow_outbox SET next_at = NULL
        WHERE source = :source AND next_at IS NOT NULL AND state IN ('queued', 'unknown')";
    let rested = connection.prepare_cached(sql)?.execute(named_params! { ":source": source })?;
    Ok(rested > 0)
}

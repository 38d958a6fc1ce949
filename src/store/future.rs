//! Readings from the future: fetches whose time a clock noted that ran ahead.
//!
//! Between two archives the later fetch wins, so such a reading would beat true ones until its
//! time has come. Its time is not believed: a merge writes [`DISBELIEVED`] in its place.

use chrono::TimeDelta;
use rusqlite::{Connection, named_params};

use crate::model::{Error, Timestamp, instant_from_text, instant_to_text};

use crate::store::error::at;
use crate::store::reader::Reader;

/// How far two clocks may differ before a reading is from the future: clocks that the network sets
/// differ by less, and a laptop that sleeps is corrected within this time.
pub const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// As of when a fetch speaks whose time is not believed: earlier than any fetch, and later than
/// what no source said. PostgreSQL has it too.
pub const DISBELIEVED: &str = "0001-01-01T00:00:01+00:00";

/// Readings from the future.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FutureReadings {
    /// The runs that made them.
    pub runs: u64,
    /// The latest of the times that these runs noted.
    pub latest: String,
}

/// Up to when readings are believed at a time: a little longer, and as long as a source has given
/// its own time in one of these archives, in the ledger or as the last clock that was compared.
pub(crate) fn believed_until(archives: &[&Connection], now: Timestamp) -> rusqlite::Result<String> {
    let dated = "SELECT max(requested_at) AS at, 0 AS skew_ms FROM _windrow_ledger
            WHERE dated_by_source
        UNION ALL SELECT seen_at, skew_ms FROM _windrow_clocks";
    let mut until = now;
    for archive in archives {
        let mut statement = archive.prepare_cached(dated)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let at: Option<String> = row.get("at")?;
            let skew = TimeDelta::milliseconds(row.get("skew_ms")?);
            let at = at.as_deref().and_then(instant_from_text);
            let at = at.and_then(|at| at.checked_add_signed(skew));
            until = at.map_or(until, |at| until.max(at));
        }
    }
    Ok(instant_to_text(until.checked_add_signed(CLOCK_TOLERANCE).unwrap_or(until)))
}

impl Reader {
    /// Up to when this archive's readings are believed at a time.
    pub fn believed_until(&self, now: Timestamp) -> Result<String, Error> {
        believed_until(&[&self.connection], now).map_err(at(&self.path))
    }

    /// Its readings that are later than they are believed.
    pub fn future_readings(&self, until: &str) -> Result<Option<FutureReadings>, Error> {
        let sql = "SELECT count(*) AS runs, coalesce(max(read_at), '') AS latest
            FROM _windrow_runs WHERE read_at > :until";
        let found = self.connection.query_row(sql, named_params! { ":until": until }, |row| {
            Ok(FutureReadings { runs: row.get("runs")?, latest: row.get("latest")? })
        });
        Ok(Some(found.map_err(at(&self.path))?).filter(|found| found.runs > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::tests::{archive_with, usage_shape};

    #[test]
    fn a_source_that_dates_its_answers_is_believed_more_than_this_machine() {
        let (_folder, archive) = archive_with(&usage_shape());
        archive.connection.execute_batch("PRAGMA foreign_keys = OFF").expect("a setting");
        let now = instant_from_text("2026-01-10T12:00:00Z").expect("an instant");
        let until = || archive.believed_until(now).expect("a time");
        assert_eq!(until(), "2026-01-10T12:05:00+00:00");
        let entry = |at: &str, dated: u8| {
            let sql = format!(
                "INSERT INTO _windrow_ledger (stream, partition, start_at, end_at, state,
                    requested_at, pages, received, inserted, updated, unchanged, skipped,
                    rejected, out_of_window, fetches, run_id, dated_by_source)
                 VALUES ('usage', '', '{at}', '', 'complete', '{at}', 1, 0, 0, 0, 0, 0, 0, 0, 1,
                    1, {dated})"
            );
            archive.connection.execute_batch(&sql).expect("an entry");
        };
        entry("2026-01-12T12:00:00+00:00", 0);
        assert_eq!(until(), "2026-01-10T12:05:00+00:00", "by a laptop's clock");
        entry("2026-01-11T12:00:00+00:00", 1);
        assert_eq!(until(), "2026-01-11T12:05:00+00:00", "by the source's");
        let clock = "INSERT INTO _windrow_clocks VALUES ('s', 86400000,
            '2026-01-11T00:00:00+00:00')";
        archive.connection.execute_batch(clock).expect("a clock");
        assert_eq!(until(), "2026-01-12T00:05:00+00:00", "as it stood when it was last compared");
        assert!(["", DISBELIEVED, "1970-01-01T00:00:00+00:00"].is_sorted());
    }
}

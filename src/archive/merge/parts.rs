//! Parts of archives: what they lack, and when what they prove counts.

use rusqlite::{OptionalExtension, params};

use crate::archive::error::ArchiveError;
use crate::host::planted::{self, Bug};

use super::Taking;

impl Taking<'_> {
    /// Whether the other archive holds only a part of a stream, and what that part is based on is
    /// not all here: then its rows are taken, and what its ledger says is not.
    ///
    /// A part's ledger lies apart in it, so that nobody goes on from it alone. From here on it is
    /// read in the place of the other's ledger.
    pub fn is_part(&self, stream: &str) -> Result<bool, ArchiveError> {
        let look = || -> rusqlite::Result<bool> {
            let cut = "SELECT EXISTS (SELECT 1 FROM main._windrow_part_ledger WHERE stream = ?1)";
            if !self.theirs.query_row(cut, [stream], |row| row.get::<_, bool>(0))? {
                // What a whole archive's ledger says, its own rows prove, whatever else it lacks.
                return Ok(false);
            }
            self.theirs.execute_batch(
                "CREATE TEMP VIEW IF NOT EXISTS _windrow_ledger AS
                 SELECT * FROM main._windrow_part_ledger",
            )?;
            if planted::is(Bug::PartIsWhole) {
                return Ok(false);
            }
            let sql = "SELECT run_id FROM _windrow_lacks WHERE stream = ?1";
            let mut statement = self.theirs.prepare(sql)?;
            let mut rows = statement.query([stream])?;
            while let Some(row) = rows.next()? {
                if !self.holds(stream, row.get(0)?)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        look().map_err(self.wrong())
    }

    /// Whether everything that one of the other's runs did to a stream was here before. A run that
    /// moves no rows of a source (a merge, a hand-off) has no name here and is no matter.
    fn holds(&self, stream: &str, their_run: i64) -> rusqlite::Result<bool> {
        let Some(known) = self.runs.get(&their_run) else { return Ok(true) };
        if known.new {
            return Ok(false);
        }
        let sql = "SELECT 1 FROM _windrow_lacks WHERE stream = ?1 AND run_id = ?2";
        Ok(!self.ours().prepare_cached(sql)?.exists(params![stream, known.run])?)
    }

    /// Notes what is lacking of the runs that were brought, and what no longer is. After the rows.
    pub fn take_lacks(&self) -> Result<(), ArchiveError> {
        let take = || -> rusqlite::Result<()> {
            let sql = "SELECT stream, run_id FROM _windrow_lacks";
            let mut statement = self.theirs.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (stream, run): (String, i64) = (row.get(0)?, row.get(1)?);
                if let Some(known) = self.runs.get(&run).filter(|known| known.new) {
                    let sql = "INSERT OR IGNORE INTO _windrow_lacks (stream, run_id)
                        VALUES (?1, ?2)";
                    self.ours().prepare_cached(sql)?.execute(params![stream, known.run])?;
                }
            }
            self.fill_lacks()
        };
        take().map_err(self.wrong())
    }

    /// What was lacking here and came with the other.
    fn fill_lacks(&self) -> rusqlite::Result<()> {
        let any = "SELECT EXISTS (SELECT 1 FROM _windrow_lacks)";
        if !self.ours().query_row(any, [], |row| row.get::<_, bool>(0))? {
            return Ok(());
        }
        let mut streams = self.theirs.prepare("SELECT stream FROM _windrow_streams")?;
        let streams = streams.query_map([], |row| row.get::<_, String>(0))?;
        for stream in streams.collect::<rusqlite::Result<Vec<_>>>()? {
            for (their_run, known) in &self.runs {
                let lacks = "SELECT 1 FROM _windrow_lacks WHERE stream = ?1 AND run_id = ?2";
                let found: Option<i64> = self
                    .theirs
                    .prepare_cached(lacks)?
                    .query_row(params![stream, their_run], |row| row.get(0))
                    .optional()?;
                if found.is_none() {
                    let sql = "DELETE FROM _windrow_lacks WHERE stream = ?1 AND run_id = ?2";
                    self.ours().prepare_cached(sql)?.execute(params![stream, known.run])?;
                }
            }
        }
        Ok(())
    }
}

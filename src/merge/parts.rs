//! Parts of archives: what they are based on, and when what they prove counts.
//!
//! What one run has done to one stream is a row of transactions, and every copy of it that was ever
//! handed on is a beginning of that row. How long it is, the run's sums say, which are written with
//! the rows: they only grow. Once the run has ended it is all there. Of each run's work on each
//! stream an archive therefore holds
//!
//! - all of it, where the run has ended here and nothing is noted in `_windrow_missing_runs`;
//! - as much as the sums say, where it was seen going on, or was killed;
//! - nobody knows what, where a lack is noted: a part has brought the run without all of its rows.
//!
//! A part lists, as lacks, the runs whose rows it leaves out; it is based on them. Its ledger
//! counts where this archive held the work of each of them before, as far as the part's own archive
//! did: no lack, and no less of it. A run that has ended there and had not ended here is never
//! held, since it may have gone on.
//!
//! A merge takes the better copy of a run's row and sums. Where a part is ahead with a run that it
//! is based on, that is a lack from then on, so that this archive's own parts say so as well.
//! A lack ends when an archive that does not lack that work brings it, no less of it than this
//! archive has heard of. So no order of merging, and no repetition, proves more than the rows do:
//! a lack comes back with whatever knows more, and goes with the rows alone.
//!
//! What a merge brings of a run that was known bears the run's old number. `merged_by` of the run
//! leads to that merge then, and a part since an earlier run holds the run as a whole.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, named_params, params_from_iter};

use crate::store::row::only;
use crate::store::sql::quote;
use crate::store::value::Value;

use crate::merge::copy::Copy;
use crate::merge::tables::{KnownRun, Taking};
use crate::model::{Command, Error};

/// What a run's sums hold beside numbers that only grow.
const NO_SUMS: [&str; 3] = ["run_id", "stream", "plan"];

/// How two copies of one run's work on one stream compare.
struct RunReach {
    /// The other's holds something that this archive's does not.
    further: bool,
    /// The other's holds whatever this archive's does.
    covers: bool,
}

impl Taking<'_> {
    /// Whether the other archive holds only a part of a stream, and what that part is based on is
    /// not all here: then its rows are taken, and what its ledger says is not. Before anything of
    /// the stream is taken.
    ///
    /// A part's ledger lies apart in it, so that nobody goes on from it alone. From here on it is
    /// read in the place of the other's ledger.
    pub fn is_part(&self, stream: &str) -> Result<bool, Error> {
        let look = || -> rusqlite::Result<bool> {
            let cut = "SELECT EXISTS (SELECT 1 FROM main._windrow_part_ledger WHERE
                stream = :stream)";
            if !self.theirs.query_row(cut, named_params! { ":stream": stream }, only::<bool>)? {
                // What a whole archive's ledger says, its own rows prove, whatever else it lacks.
                return Ok(false);
            }
            self.theirs.execute_batch(
                "CREATE TEMP VIEW IF NOT EXISTS
                 _windrow_ledger AS SELECT * FROM main._windrow_part_ledger",
            )?;
            let here = lacks(self.ours(), stream)?;
            for run in lacks(self.theirs, stream)? {
                if !self.holds(stream, run, &here)? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        look().map_err(self.wrong())
    }

    /// Whether this archive holds as much of what a run did to a stream as the other does.
    fn holds(&self, stream: &str, their_run: i64, here: &HashSet<i64>) -> rusqlite::Result<bool> {
        let Some(known) = self.runs.get(&their_run) else {
            // A merge or a hand-off has written no row under its own number.
            let sql = "SELECT 1 FROM _windrow_runs
                WHERE run_id = :their_run
                    AND command IN (SELECT value FROM json_each(:of_one_archive))";
            let of_one_archive = Command::names_where(Command::is_of_one_archive);
            let values =
                named_params! { ":their_run": their_run, ":of_one_archive": of_one_archive };
            return self.theirs.prepare_cached(sql)?.exists(values);
        };
        Ok(!here.contains(&known.run) && !self.reach(stream, their_run, known)?.further)
    }

    fn reach(&self, stream: &str, their_run: i64, known: &KnownRun) -> rusqlite::Result<RunReach> {
        let (further, covers) = match (known.ended_here, known.ended_there) {
            _ if known.new => (true, true),
            (true, there) => (false, there),
            (false, true) => (true, true),
            (false, false) => {
                let ours = sums(self.ours(), stream, known.run)?;
                let theirs = sums(self.theirs, stream, their_run)?;
                let any = |one: &[i64], other: &[i64]| {
                    one.iter().enumerate().any(|(at, n)| *n > other.get(at).copied().unwrap_or(0))
                };
                (any(&theirs, &ours), !any(&ours, &theirs))
            }
        };
        Ok(RunReach { further, covers })
    }

    /// Notes what is lacking of the runs that the other knows, and what no longer is. After the
    /// rows.
    pub fn take_lacks(&self) -> Result<(), Error> {
        let take = || -> rusqlite::Result<()> {
            let sql =
                "SELECT stream FROM _windrow_streams UNION SELECT stream FROM _windrow_missing_runs
                UNION SELECT stream FROM _windrow_run_streams";
            let mut statement = self.theirs.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                self.take_work(&row.get::<_, String>("stream")?)?;
            }
            Ok(())
        };
        take().map_err(self.wrong())
    }

    /// Every run's work on one stream.
    fn take_work(&self, stream: &str) -> rusqlite::Result<()> {
        let (here, there) = (lacks(self.ours(), stream)?, lacks(self.theirs, stream)?);
        let sql = "SELECT 1 FROM _windrow_streams WHERE stream = :stream";
        let given = self.theirs.prepare_cached(sql)?.exists(named_params! { ":stream": stream })?;
        for (their_run, known) in &self.runs {
            if known.ended_here && !here.contains(&known.run) {
                continue;
            }
            let reach = self.reach(stream, *their_run, known)?;
            let lacks_there = there.contains(their_run);
            let lacks_here = here.contains(&known.run);
            let fills = lacks_here && given && !lacks_there && reach.covers;
            if fills {
                let sql = "DELETE FROM _windrow_missing_runs WHERE stream = :stream AND
                    run_id = :run";
                self.ours()
                    .prepare_cached(sql)?
                    .execute(named_params! { ":stream": stream, ":run": known.run })?;
            } else if !reach.further || (lacks_here && !reach.covers) {
                continue;
            } else if !lacks_here && (lacks_there || !reach.covers) {
                // Of two copies that differ both ways none can be told to be whole.
                let sql = "INSERT INTO _windrow_missing_runs (stream, run_id) VALUES (:stream,
                    :run)";
                self.ours()
                    .prepare_cached(sql)?
                    .execute(named_params! { ":stream": stream, ":run": known.run })?;
            }
            self.bring(known.run)?;
            if reach.covers && !known.new {
                self.take_sums(stream, *their_run, known.run)?;
            }
        }
        Ok(())
    }

    /// The other's runs of whose work on a stream it brings more than was here. After the rows.
    pub(crate) fn brought(&self, stream: &str) -> rusqlite::Result<HashSet<i64>> {
        let (here, there) = (lacks(self.ours(), stream)?, lacks(self.theirs, stream)?);
        let mut brought = HashSet::new();
        for (their_run, known) in &self.runs {
            let lacks_here = here.contains(&known.run);
            if known.new {
                brought.insert(*their_run);
            } else if !there.contains(their_run) && (lacks_here || !known.ended_here) {
                let reach = self.reach(stream, *their_run, known)?;
                if reach.covers && (reach.further || lacks_here) {
                    brought.insert(*their_run);
                }
            }
        }
        Ok(brought)
    }

    /// Notes that something came that bears the number of a run that was here before. What is
    /// based on an earlier run than this merge need not hold it.
    pub(crate) fn bring(&self, run: i64) -> rusqlite::Result<()> {
        if !self.merge.brought.borrow_mut().insert(run) {
            return Ok(());
        }
        // What rebuilds are this archive's own is told by this column.
        let sql = "UPDATE _windrow_runs SET merged_by = :merge
            WHERE run_id = :run AND run_id <> :merge AND merged_by IS NOT :merge
                AND command <> :rebuild";
        self.ours()
            .prepare_cached(sql)?
            .execute(named_params! {
                ":run": run,
                ":merge": self.merge.run,
                ":rebuild": Command::Rebuild.as_str(),
            })
            .map(|_| ())
    }

    /// Takes the sums of a run's work where they are not the same.
    fn take_sums(&self, stream: &str, their_run: i64, run: i64) -> rusqlite::Result<()> {
        let copy =
            Copy::of(self.ours(), "_windrow_run_streams", "stream = :stream AND run_id = :run")?;
        let sets = copy.columns.iter().map(|name| quote(name));
        let sets: Vec<String> = sets.map(|name| format!("{name} = excluded.{name}")).collect();
        let parameters: Vec<String> = (1..=sets.len()).map(|n| format!("?{n}")).collect();
        let names: Vec<String> = copy.columns.iter().map(|name| quote(name)).collect();
        let sql = format!(
            "INSERT INTO _windrow_run_streams ({0}) VALUES ({1}) ON CONFLICT (run_id, stream)
             DO UPDATE SET {2}",
            names.join(", "),
            parameters.join(", "),
            sets.join(", ")
        );
        let mut ours = None;
        let which = named_params! { ":stream": stream, ":run": run };
        copy.each(self.ours(), which, &mut |row| {
            ours = Some(row);
            Ok(())
        })?;
        let which = named_params! { ":stream": stream, ":run": their_run };
        copy.each(self.theirs, which, &mut |mut row| {
            row[copy.place("run_id")] = Value::Integer(run);
            if ours.as_ref() == Some(&row) {
                return Ok(());
            }
            self.ours().prepare_cached(&sql)?.execute(params_from_iter(&row)).map(|_| ())
        })
    }
}

/// The runs of whose work on a stream something is lacking.
fn lacks(connection: &Connection, stream: &str) -> rusqlite::Result<HashSet<i64>> {
    let sql = "SELECT run_id FROM _windrow_missing_runs WHERE stream = :stream";
    let mut statement = connection.prepare_cached(sql)?;
    let runs = statement.query_map(named_params! { ":stream": stream }, only)?;
    runs.collect()
}

/// What a run's sums on a stream are, in the order of the table; nothing where it has none.
fn sums(connection: &Connection, stream: &str, run: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT * FROM _windrow_run_streams WHERE stream = :stream AND run_id = :run";
    let mut statement = connection.prepare_cached(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let read = statement.query_row(named_params! { ":stream": stream, ":run": run }, |row| {
        let sums = names.iter().filter(|name| !NO_SUMS.contains(&name.as_str()));
        sums.map(|name| row.get(name.as_str())).collect()
    });
    Ok(read.optional()?.unwrap_or_default())
}

//! Taking in another archive: the SQL of a merge.
//!
//! The other archive is read by a connection of its own and never attached. Conflicts between two
//! versions of a row are resolved by a `MergePolicy`, by values alone; here they are found and
//! written. All of it is one transaction of this archive's.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::merge::ReadBy;
use crate::model::Error;
use crate::model::Filled;

use crate::store::error::at;
use crate::store::history::keep_histories;
use crate::store::transaction::Tx;

/// Makes of the left-over members of a row its values, then what is still left over; none where
/// nothing of it can be read.
pub type FillBox<'f> = Box<dyn Fn(&str) -> Option<Filled> + 'f>;

/// How rows are filled.
pub struct Filling<'f> {
    /// The columns, in the order in which their values come.
    pub columns: Vec<String>,
    pub fill: FillBox<'f>,
}

/// A merge that is going on: one transaction and one run.
pub struct Merge<'m> {
    pub(crate) tx: Tx<'m>,
    /// The merge's own run; the runs that it brings have smaller numbers.
    pub(super) run: i64,
    pub(super) now: String,
    /// The number of the next run that is brought.
    pub(super) next_run: Cell<i64>,
    /// What the connection had changed before.
    pub(super) changes: u64,
    /// Whether a table was made or has got columns.
    pub(super) grown: Cell<bool>,
    pub(super) fetches: RefCell<HashMap<i64, Rc<ReadBy>>>,
    /// Runs that something came of.
    pub(super) brought: RefCell<HashSet<i64>>,
}

/// A run of the other archive, as it stands here.
#[derive(Clone, Debug)]
pub(crate) struct KnownRun {
    pub(super) run: i64,
    pub(super) read: Rc<ReadBy>,
    /// Whether it was not known here.
    pub(super) new: bool,
    /// Whether it had ended before, as far as was known here.
    pub(super) ended_here: bool,
    /// Whether it has ended, as far as the other knows.
    pub(super) ended_there: bool,
}

/// One archive that is being taken in.
pub struct Taking<'m> {
    pub(super) merge: &'m Merge<'m>,
    pub(super) theirs: &'m Connection,
    pub(super) runs: HashMap<i64, KnownRun>,
}

impl<'m> Merge<'m> {
    /// The merge's own run.
    pub fn run(&self) -> i64 {
        self.run
    }

    /// Whether anything was changed so far.
    pub fn has_changed(&self) -> bool {
        self.grown.get() || self.ours().total_changes() > self.changes
    }

    /// Makes it all durable, with what the run says of it.
    pub fn commit(self, message: &str) -> Result<(), Error> {
        let sql = "UPDATE _windrow_runs SET message = :message WHERE run_id = :run";
        let note =
            self.ours().execute(sql, named_params! { ":run": self.run, ":message": message });
        note.map_err(at(&self.tx.path))?;
        keep_histories(self.ours()).map_err(at(&self.tx.path))?;
        self.tx.commit()
    }

    pub(crate) fn ours(&self) -> &Connection {
        &self.tx.connection
    }

    /// As of when a run of this archive speaks.
    pub(super) fn fetch(&self, run: i64) -> rusqlite::Result<Rc<ReadBy>> {
        if let Some(read) = self.fetches.borrow().get(&run) {
            return Ok(Rc::clone(read));
        }
        let read = Rc::new(fetch_of(self.ours(), run)?);
        self.fetches.borrow_mut().insert(run, Rc::clone(&read));
        Ok(read)
    }
}

/// As of when a run speaks, and its name.
pub(super) fn fetch_of(connection: &Connection, run: i64) -> rusqlite::Result<ReadBy> {
    let sql = "SELECT read_at, uid FROM _windrow_runs WHERE run_id = :run";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement
        .query_row(named_params! { ":run": run }, |row| {
            Ok(ReadBy { read_at: row.get("read_at")?, uid: row.get("uid")? })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

impl Taking<'_> {
    /// The transaction that writes to this archive.
    pub(super) fn tx(&self) -> &Tx<'_> {
        &self.merge.tx
    }

    pub(super) fn ours(&self) -> &Connection {
        self.merge.ours()
    }

    /// The number here of a run of theirs, and as of when it speaks. What refers to no run is the
    /// merge's.
    pub(super) fn known(&self, run: i64) -> KnownRun {
        let unknown = || KnownRun {
            run: self.merge.run,
            read: Rc::default(),
            new: false,
            ended_here: true,
            ended_there: true,
        };
        self.runs.get(&run).cloned().unwrap_or_else(unknown)
    }

    pub(super) fn wrong(&self) -> impl Fn(rusqlite::Error) -> Error {
        at(&self.merge.tx.path)
    }
}

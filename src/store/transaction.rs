//! Transactions: one that writes, and one that reads everything as of one moment. Nothing else in
//! windrow begins or ends one.

use std::ops::Deref;

use rusqlite::Connection;

use crate::model::Error;
use crate::store::error::at;
use crate::store::reader::Reader;

/// A transaction that writes. It is rolled back when it is dropped before [`Tx::commit`]. Whatever
/// writes to an archive is a method of it, and it reads as a [`Reader`] does.
pub struct Tx<'a> {
    reader: &'a Reader,
    open: bool,
}

impl<'a> Tx<'a> {
    /// Begins one. Never a deferred one: the upgrade from reading to writing fails at once when
    /// another program has written.
    pub(crate) fn begin(reader: &'a Reader) -> Result<Self, Error> {
        Self::begin_on_file(reader).map_err(at(&reader.path))
    }

    /// The same for a file that may be somebody else's, whose errors are told in other words.
    pub(crate) fn begin_on_file(reader: &'a Reader) -> rusqlite::Result<Self> {
        reader.connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Self { reader, open: true })
    }

    /// Does `work` in one: committed where it succeeds, rolled back where it fails.
    pub(crate) fn within<T, E: From<Error>>(
        reader: &'a Reader,
        work: impl FnOnce(&Tx<'a>) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = Self::begin(reader)?;
        let done = work(&tx)?;
        tx.commit()?;
        Ok(done)
    }

    /// Commits the transaction: afterwards all of it is on the disk.
    pub fn commit(self) -> Result<(), Error> {
        let wrong = at(&self.reader.path);
        self.commit_on_file().map_err(wrong)
    }

    /// The same for a file that may be somebody else's.
    pub(crate) fn commit_on_file(mut self) -> rusqlite::Result<()> {
        let committed = self.reader.connection.execute_batch("COMMIT");
        // What could not be committed is rolled back by the drop.
        self.open = committed.is_err();
        committed
    }
}

impl Deref for Tx<'_> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.reader
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        if self.open {
            roll_back(&self.reader.connection);
        }
    }
}

/// A view of an archive as it was at one moment, whatever is written meanwhile; until it is
/// dropped, which lets the log be copied into the file again.
pub struct Snapshot<'a> {
    reader: &'a Reader,
    open: bool,
}

impl Reader {
    /// Begins a snapshot. Inside another one the moment of that one holds.
    pub fn begin_snapshot(&self) -> Result<Snapshot<'_>, Error> {
        if !self.connection.is_autocommit() {
            return Ok(Snapshot { reader: self, open: false });
        }
        self.connection.execute_batch("BEGIN").map_err(at(&self.path))?;
        let snapshot = Snapshot { reader: self, open: true };
        // SQLite takes the snapshot at the first read, and not at BEGIN.
        self.run(|connection| {
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        })?;
        Ok(snapshot)
    }

    /// Keeps a snapshot until the connection is closed, for whoever hands the reader on.
    pub fn hold_snapshot(&self) -> Result<(), Error> {
        self.begin_snapshot().map(std::mem::forget)
    }

    /// Reads as of one moment.
    pub fn snapshot<T, E: From<Error>>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, E>,
    ) -> Result<T, E> {
        let snapshot = self.begin_snapshot()?;
        read(&snapshot)
    }
}

impl Deref for Snapshot<'_> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.reader
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if self.open {
            roll_back(&self.reader.connection);
        }
    }
}

fn roll_back(connection: &Connection) {
    // After a failed statement SQLite may have done it already.
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(%error, "the transaction could not be rolled back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::tests::{archive_with, usage_shape};

    const ADD: &str = "INSERT INTO _windrow_meta (name, value) VALUES ('test', '1')";

    fn is_there(reader: &Reader) -> bool {
        let sql = "SELECT count(*) FROM _windrow_meta WHERE name = 'test'";
        reader.connection.query_row(sql, [], |row| row.get(0)).expect("a number")
    }

    #[test]
    fn a_transaction_that_fails_or_is_dropped_changes_nothing() {
        let (_folder, archive) = archive_with(&usage_shape());
        let fails = archive.transaction(|tx| {
            tx.connection.execute_batch(ADD).expect("written");
            assert!(is_there(tx));
            Err::<(), _>(Error::new(crate::model::ErrorKind::Storage, "full"))
        });
        fails.expect_err("it fails");
        assert!(!is_there(&archive));
        let tx = archive.begin().expect("begun");
        tx.connection.execute_batch(ADD).expect("written");
        drop(tx);
        assert!(!is_there(&archive));
        let add = |tx: &Tx<'_>| tx.run(|connection| connection.execute_batch(ADD));
        archive.transaction(add).expect("committed");
        assert!(is_there(&archive));
    }

    #[test]
    fn a_snapshot_does_not_see_what_is_written_after_it_began() {
        let (_folder, archive) = archive_with(&usage_shape());
        let reader = Reader::open(archive.path()).expect("a reader");
        let snapshot = reader.begin_snapshot().expect("a snapshot");
        let add = |tx: &Tx<'_>| tx.run(|connection| connection.execute_batch(ADD));
        archive.transaction(add).expect("committed");
        let inner = reader.snapshot(|inner| Ok::<_, Error>(is_there(inner)));
        assert!(!inner.expect("read") && !is_there(&snapshot));
        drop(snapshot);
        assert!(is_there(&reader));
    }
}

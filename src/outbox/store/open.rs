//! Opening an archive for its outbox: beside whoever else has it.
//!
//! A write of the outbox is a short transaction of its own, so it needs SQLite's lock and not
//! windrow's: `add` works while a `sync` has the archive. Only what changes the archive as a whole
//! (making it, a new format, another journal mode) waits for windrow's lock.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

use crate::model::Error;
use crate::store::error::at;
use crate::store::open::{Archive, Opening, SCHEMA_VERSION, open_writer, refuse_directory};

/// An archive that is open for its outbox. Others may have it open too.
pub struct Outbox {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
}

impl Outbox {
    /// Opens the archive at `path` beside whoever has it, or makes it or brings it to this
    /// version's format, for which nobody else may have it.
    pub fn open(path: &Path, opening: &Opening<'_>) -> Result<Self, Error> {
        if let Some(outbox) = Self::open_beside(path)? {
            return Ok(outbox);
        }
        Archive::open(path, opening)?.close()?;
        // Between the two somebody may have made it one file again; the next attempt mends that.
        match Self::open_beside(path)? {
            Some(outbox) => Ok(outbox),
            None => {
                let archive = Archive::open(path, opening)?;
                Ok(Self { connection: archive.connection, path: path.to_owned() })
            }
        }
    }

    /// Opens it if it is there, of this format, and has a log already.
    pub fn open_beside(path: &Path) -> Result<Option<Self>, Error> {
        refuse_directory(path)?;
        if !path.exists() {
            return Ok(None);
        }
        let (connection, version) = open_writer(path)?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(at(path))?;
        let fits = version == SCHEMA_VERSION && mode.eq_ignore_ascii_case("wal");
        Ok(fits.then(|| Self { connection, path: path.to_owned() }))
    }

    /// How many pages of the log are not in the file yet.
    pub fn log_pages(&self) -> Result<u64, Error> {
        let pages = |row: &Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let counted = self
            .connection
            .query_row("PRAGMA wal_checkpoint(NOOP)", [], pages)
            .map_err(at(&self.path));
        let (log, copied) = counted?;
        Ok(u64::try_from(log - copied).unwrap_or(0))
    }

    /// Copies what can be copied of the log into the file, and keeps nobody from writing. Once all
    /// of it is there, the next write begins the log anew.
    pub fn copy_log(&self) -> Result<(), Error> {
        let copied = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        copied.map_err(at(&self.path))
    }

    /// The archive's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes all changes in `work` one transaction: they are on the disk together, or none is.
    pub fn together<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let behavior = TransactionBehavior::Immediate;
        let transaction =
            Transaction::new_unchecked(&self.connection, behavior).map_err(at(&self.path))?;
        let result = work()?;
        transaction.commit().map_err(at(&self.path))?;
        Ok(result)
    }

    /// Runs one transaction, or a part of one: all of it is on the disk, or nothing.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        if !self.connection.is_autocommit() {
            return work(&self.connection).map_err(at(&self.path));
        }
        let whole = || {
            let behavior = TransactionBehavior::Immediate;
            let transaction = Transaction::new_unchecked(&self.connection, behavior)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        whole().map_err(at(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SystemFiles;
    use crate::model::ErrorKind;

    #[test]
    fn changes_made_together_are_there_together_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let files = &SystemFiles;
        let opening = Opening { note: "test", now: "now", allow_network_fs: false, files };
        let outbox = Outbox::open(&path, &opening).expect("a new archive");
        let other = Outbox::open_beside(&path).expect("an archive").expect("of this format");
        let now = chrono::DateTime::from_timestamp(0, 0).expect("in range");
        let keep = |fails: bool| {
            outbox.together(|| {
                outbox.keep_sender("a", now)?;
                outbox.keep_sender("b", now)?;
                assert_eq!(other.outbox_senders()?, [], "nothing is there before the end");
                if fails { Err(Error::new(ErrorKind::Storage, "full")) } else { Ok(()) }
            })
        };
        let before = other.changes().expect("a number");
        keep(true).expect_err("it fails");
        assert_eq!(outbox.outbox_senders().expect("senders"), []);
        assert_eq!(other.changes().expect("a number"), before);
        keep(false).expect("it is kept");
        assert_eq!(other.outbox_senders().expect("senders").len(), 2);
        assert_ne!(other.changes().expect("a number"), before);
    }
}

//! Opening an archive for its outbox: beside whoever else has it.
//!
//! A write of the outbox is a short transaction of its own, so it needs SQLite's lock and not
//! windrow's: `add` works while a `sync` has the archive. Only what changes the archive as a whole
//! (making it, a new format, another journal mode) waits for windrow's lock.

use std::ops::Deref;
use std::path::Path;

use rusqlite::Row;

use crate::model::Error;
use crate::store::archive::Archive;
use crate::store::error::at;
use crate::store::formats::{FORMATS, Formats};
use crate::store::open::{Opening, open_writer};
use crate::store::place::refuse_directory;
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::transaction::Tx;

/// An archive that is open for its outbox. Others may have it open too. It reads as a [`Reader`]
/// does; whatever writes to it is a method of a transaction.
pub struct Outbox {
    reader: Reader,
}

impl Outbox {
    /// Opens the archive at `path` beside whoever has it, or makes it or brings it to this
    /// version's format, for which nobody else may have it.
    pub fn open(path: &Path, opening: &Opening<'_>) -> Result<Self, Error> {
        Self::open_with(path, opening, FORMATS)
    }

    /// The same for a program that knows these formats.
    pub fn open_with(path: &Path, opening: &Opening<'_>, formats: Formats) -> Result<Self, Error> {
        if let Some(outbox) = Self::open_beside_with(path, formats)? {
            // Whoever made the archive may have failed to sync its folder: an entry is queued only
            // in a file whose name survives a power cut.
            let kept = opening.files.keep_name(path);
            kept.map_err(|error| Error::io(path, "keep the name of", &error))?;
            return Ok(outbox);
        }
        Archive::open_with(path, opening, formats)?.close()?;
        // Between the two somebody may have made it one file again; the next attempt mends that.
        match Self::open_beside_with(path, formats)? {
            Some(outbox) => Ok(outbox),
            None => {
                let reader = Archive::open_with(path, opening, formats)?.into_reader();
                Ok(Self { reader })
            }
        }
    }

    /// Opens it if it is there, of this format, and has a log already.
    pub fn open_beside(path: &Path) -> Result<Option<Self>, Error> {
        Self::open_beside_with(path, FORMATS)
    }

    fn open_beside_with(path: &Path, formats: Formats) -> Result<Option<Self>, Error> {
        refuse_directory(path)?;
        if !path.exists() {
            return Ok(None);
        }
        let (connection, format) = open_writer(path, formats)?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode", [], only).map_err(at(path))?;
        let fits = format.is_newest() && mode.eq_ignore_ascii_case("wal");
        Ok(fits.then(|| Self { reader: Reader::over(connection, path, formats) }))
    }

    /// How many pages of the log are not in the file yet.
    pub fn log_pages(&self) -> Result<u64, Error> {
        let pages =
            |row: &Row<'_>| Ok((row.get::<_, i64>("log")?, row.get::<_, i64>("checkpointed")?));
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

    /// Does `work` in one transaction: all of it is on the disk, or nothing.
    pub fn transaction<'a, T, E: From<Error>>(
        &'a self,
        work: impl FnOnce(&Tx<'a>) -> Result<T, E>,
    ) -> Result<T, E> {
        Tx::within(&self.reader, work)
    }
}

impl Deref for Outbox {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Files, SystemFiles};
    use crate::model::ErrorKind;
    use crate::store::formats::tests::LATER;

    #[test]
    fn an_older_archive_is_brought_to_the_newest_format_when_its_outbox_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let files = &SystemFiles;
        let opening = Opening { note: "test", now: "now", allow_network_fs: false, files };
        let outbox = Outbox::open(&path, &opening).expect("a new archive");
        let now = chrono::DateTime::from_timestamp(0, 0).expect("in range");
        outbox.transaction(|tx| tx.keep_sender("a", now)).expect("it is kept");
        drop(outbox);
        let beside = Outbox::open_beside_with(&path, LATER).expect("an archive");
        assert!(beside.is_none(), "it is of an older format");
        let outbox = Outbox::open_with(&path, &opening, LATER).expect("it is brought up to date");
        assert_eq!(outbox.outbox_senders().expect("senders").len(), 1);
        let sql = "SELECT count(*) FROM _windrow_later";
        let later = outbox.run(|it| it.query_row(sql, [], only::<i64>));
        assert_eq!(later.expect("a table of the later format"), 0);
        assert!(folder.path().join("a.db-before-format-2").exists());
    }

    /// A disk whose folders cannot be synced.
    struct NoFolderSync;

    impl Files for NoFolderSync {
        fn publish(&self, from: &Path, to: &Path) -> std::io::Result<()> {
            std::fs::rename(from, to)?;
            self.keep_name(to)
        }

        fn keep_name(&self, _path: &Path) -> std::io::Result<()> {
            Err(std::io::Error::other("injected"))
        }

        fn remove(&self, path: &Path) -> std::io::Result<()> {
            std::fs::remove_file(path)
        }

        fn make_durable(&self, path: &Path) -> std::io::Result<()> {
            self.keep_name(path)
        }
    }

    #[test]
    fn nothing_is_queued_in_an_archive_whose_name_may_not_survive_a_power_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let on = |files| Opening { note: "test", now: "now", allow_network_fs: false, files };
        Outbox::open(&path, &on(&NoFolderSync)).map(|_| ()).expect_err("it is not made");
        assert!(path.exists(), "the file has its name, which is not durable");
        // As an interrupted maker leaves it: with a log, so that it is opened beside others.
        let outbox = Outbox::open(&path, &on(&SystemFiles)).expect("it is there");
        let again = Outbox::open(&path, &on(&NoFolderSync)).map(|_| ());
        let error = again.expect_err("its name is made durable first");
        assert!(error.message.contains("cannot keep the name of"), "{}", error.message);
        drop(outbox);
    }

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
            outbox.transaction(|tx| {
                tx.keep_sender("a", now)?;
                tx.keep_sender("b", now)?;
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

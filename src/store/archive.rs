//! An archive that is open for writing: it holds the lock, and begins the transactions.

use std::io::Read;
use std::ops::Deref;
use std::path::Path;

use crate::host::files::{FileLock, open_named};

use crate::model::Error;
use crate::store::error::at;
use crate::store::formats::{FORMATS, Formats};
use crate::store::history::keep_histories;
use crate::store::open::{Opening, open_or_make};
use crate::store::reader::Reader;
use crate::store::transaction::Tx;
use crate::store::untrusted::log_beside;

/// An archive that is open for writing. Holds the lock: there is one writer. It reads as a
/// [`Reader`] does; whatever writes to it is a method of a transaction.
pub struct Archive {
    reader: Reader,
    _lock: FileLock,
}

impl Archive {
    /// Opens the archive at `path` for writing, or makes it.
    pub fn open(path: &Path, opening: &Opening<'_>) -> Result<Self, Error> {
        Self::open_with(path, opening, FORMATS)
    }

    /// The same for a program that knows these formats: an archive of an older one than the newest
    /// of them is brought to that, after a copy of it was set aside.
    pub fn open_with(path: &Path, opening: &Opening<'_>, formats: Formats) -> Result<Self, Error> {
        let (connection, lock) = open_or_make(path, opening, formats)?;
        keep_histories(&connection).map_err(at(path))?;
        Ok(Self { reader: Reader::over(connection, path, formats), _lock: lock })
    }

    /// Begins a transaction that writes, for whoever ends it elsewhere than it began.
    pub fn begin(&self) -> Result<Tx<'_>, Error> {
        Tx::begin(&self.reader)
    }

    /// Does `work` in one transaction: committed where it succeeds, rolled back where it fails.
    pub fn transaction<'a, T, E: From<Error>>(
        &'a self,
        work: impl FnOnce(&Tx<'a>) -> Result<T, E>,
    ) -> Result<T, E> {
        Tx::within(&self.reader, work)
    }

    /// Copies the log into the file, so that it is one file again.
    pub fn close(self) -> Result<(), Error> {
        let Reader { connection, path, .. } = self.reader;
        connection.close().map_err(|(_, error)| at(&path)(error))
    }

    /// Lets go of the lock and keeps the connection.
    pub(crate) fn into_reader(self) -> Reader {
        self.reader
    }

    /// Whether opening the archive at `path` for writing and closing it leaves every byte as it
    /// is: it is of the newest of these formats, keeps a log, and the log is empty.
    pub fn opens_untouched(path: &Path, formats: Formats) -> bool {
        let header = || -> std::io::Result<[u8; 100]> {
            let mut header = [0; 100];
            open_named(path)?.read_exact(&mut header)?;
            Ok(header)
        };
        let version = formats.newest().version().to_be_bytes();
        header().is_ok_and(|header| header[18..20] == [2, 2] && header[60..64] == version)
            && log_beside(path).is_none()
    }
}

impl Deref for Archive {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

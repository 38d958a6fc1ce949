//! Whose entries these are: an archive's own, or those of an archive that it is a copy of.
//!
//! A sender is known in two places: in the archive, and in a record in its owner's state folder
//! that says where that archive lies and how many attempts it has begun. A copy of the archive has
//! the one and not the other. The record counts each attempt before it is on the wire, so that an
//! archive that has counted fewer is an older copy of itself, put back.

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::files::{
    FileLock, LockError, Whereabouts, make_private_folder, open_own, read_own, refusal, replace,
    try_lock, whereabouts,
};
use crate::host::{Files, Host};
use crate::model::{Error, ErrorKind, Timestamp};
use crate::outbox::{Outbox, SenderIdentity};

/// What a state folder knows of a sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where the archive lies.
    #[serde(flatten)]
    pub at: Whereabouts,
    /// Attempts that it has begun.
    pub sends: u64,
}

/// How an archive stands to a sender in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// It is the sender's archive.
    Here,
    /// The sender is of another machine or another person, or its record was lost.
    Elsewhere,
    /// The sender's archive is another file.
    Copy,
    /// This is the sender's archive as it was before.
    Older,
}

/// Whether the archive that lies `here` and has begun `sends` attempts is the sender's.
pub fn home_of(record: Option<&Record>, here: &Whereabouts, sends: u64) -> Home {
    let Some(record) = record else { return Home::Elsewhere };
    if record.at.machine != here.machine {
        return Home::Elsewhere;
    }
    let same_path = record.at.path == here.path;
    let same_file = record.at.file.is_some() && record.at.file == here.file;
    match (same_path || same_file, record.sends > sends) {
        (false, _) => Home::Copy,
        (true, true) => Home::Older,
        (true, false) => Home::Here,
    }
}

/// The senders of one archive, as one state folder knows them.
pub struct Senders<'a> {
    folder: PathBuf,
    here: Whereabouts,
    files: &'a dyn Files,
    counters: RefCell<BTreeMap<String, File>>,
}

/// The digits of a count, so that a greater one never leaves a part of the one before.
const COUNT_DIGITS: usize = 20;
/// The most bytes of a record: the longest path has 4096.
const RECORD_BYTES_MAX: u64 = 64 * 1024;

impl<'a> Senders<'a> {
    /// Looks where the archive at `path` lies.
    pub fn of(path: &Path, host: &'a Host) -> Result<Self, Error> {
        let folder = host.environment.state_folder().ok_or_else(|| {
            let message = "there is no state folder to tell this archive from a copy of it by";
            Error::new(ErrorKind::Storage, message)
                .help("set WINDROW_STATE_DIR to a folder that stays on this machine")
        })?;
        let here = whereabouts(path).map_err(|error| Error::io(path, "look at", &error))?;
        let (folder, counters) = (folder.join("outbox"), RefCell::default());
        Ok(Self { folder, here, files: &*host.files, counters })
    }

    fn record_path(&self, sender: &str) -> PathBuf {
        self.folder.join(format!("{sender}.json"))
    }

    fn record(&self, sender: &str) -> Result<Option<Record>, Error> {
        let text = read_state(&self.record_path(sender))?;
        let counted = read_state(&self.counter_path(sender))?;
        // A record that cannot be read proves nothing.
        let record: Option<Record> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let Some(mut record) = record else { return Ok(None) };
        let counted = counted.filter(|text| text.len() == COUNT_DIGITS);
        let counted = counted.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        record.sends = record.sends.max(counted.unwrap_or(0));
        Ok(Some(record))
    }

    fn counter_path(&self, sender: &str) -> PathBuf {
        self.folder.join(format!("{sender}.sends"))
    }

    /// Notes how many attempts the sender has begun; durable. The first time it notes where its
    /// archive is as well. After that the count is written over the last one in its place, which
    /// costs a tenth of a new file: each attempt waits for it.
    pub fn count(&self, sender: &str, sends: u64) -> Result<(), Error> {
        let path = self.counter_path(sender);
        let write_error = |error: std::io::Error| Error::io(&path, "write", &error);
        let mut counters = self.counters.borrow_mut();
        let counter = match counters.entry(sender.to_owned()) {
            Entry::Occupied(counter) => counter.into_mut(),
            Entry::Vacant(place) => {
                self.note(sender, sends)?;
                let counter = open_own(&path).map_err(write_error)?;
                self.files.keep_name(&path).map_err(write_error)?;
                place.insert(counter)
            }
        };
        let digits = format!("{sends:0COUNT_DIGITS$}");
        counter
            .seek(SeekFrom::Start(0))
            .and_then(|_| counter.write_all(digits.as_bytes()))
            .and_then(|()| counter.sync_data())
            .map_err(write_error)
    }

    /// How the archive stands to a sender of its own.
    pub fn home(&self, sender: &SenderIdentity) -> Result<Home, Error> {
        let record = self.record(&sender.sender)?;
        Ok(home_of(record.as_ref(), &self.here, sender.sends))
    }

    /// The senders that the archive is the home of. `read` gives the archive's senders.
    ///
    /// Another process may be sending. An attempt is counted in the archive before it is counted
    /// in the record, so the archive is read once more after the record: an archive that has gone
    /// on meanwhile would look like an older copy of itself.
    pub fn homes(
        &self,
        read: impl Fn() -> Result<Vec<SenderIdentity>, Error>,
    ) -> Result<BTreeSet<String>, Error> {
        let mut records = BTreeMap::new();
        for SenderIdentity { sender, .. } in read()? {
            let record = self.record(&sender)?;
            records.insert(sender, record);
        }
        let is_home = |sender: &SenderIdentity| {
            let record = records.get(&sender.sender).and_then(Option::as_ref);
            home_of(record, &self.here, sender.sends) == Home::Here
        };
        Ok(read()?.into_iter().filter(is_home).map(|sender| sender.sender).collect())
    }

    /// Notes where the sender's archive is and how many attempts it has begun; durable.
    pub fn note(&self, sender: &str, sends: u64) -> Result<(), Error> {
        let path = self.record_path(sender);
        let write_error = |error: std::io::Error| Error::io(&path, "write", &error);
        make_private_folder(&self.folder).map_err(write_error)?;
        let record = Record { at: self.here.clone(), sends };
        let text = serde_json::to_vec(&record).unwrap_or_default();
        replace(&path, &text, self.files).map_err(write_error)
    }

    /// Takes the right to send a sender's entries, until the lock is dropped; none when another
    /// process has it, with what that says of itself.
    pub fn lock(&self, sender: &str, note: &str) -> Result<Result<FileLock, String>, Error> {
        let path = self.folder.join(format!("{sender}.lock"));
        match try_lock(&path, note) {
            Ok(lock) => Ok(Ok(lock)),
            Err(LockError::Held { note }) => Ok(Err(note)),
            Err(LockError::Io(error)) => Err(Error::io(&path, "lock", &error)),
        }
    }

    /// Takes the right to send for as many of these senders as can be had.
    pub fn take(&self, senders: BTreeSet<String>, note: &str) -> Result<Taken, Error> {
        let mut taken = Taken::default();
        for sender in senders {
            match self.lock(&sender, note)? {
                Ok(lock) => {
                    taken.locks.push(lock);
                    taken.senders.insert(sender);
                }
                Err(holder) => taken.held_by = Some(holder),
            }
        }
        Ok(taken)
    }
}

/// A file of the state folder; none where it is missing, too long or cannot be read.
fn read_state(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match read_own(path, RECORD_BYTES_MAX) {
        Err(error) if refusal(&error).is_some() => Err(Error::io(path, "read", &error)),
        read => Ok(read.ok()),
    }
}

/// The senders that one process may send for.
#[derive(Debug, Default)]
pub struct Taken {
    /// What keeps others from sending.
    pub locks: Vec<FileLock>,
    /// The ids of the senders.
    pub senders: BTreeSet<String>,
    /// Who has another one of them.
    pub held_by: Option<String>,
}

/// The sender that queues entries of this archive; a new one where the archive has none here.
pub fn sender_for(outbox: &Outbox, host: &Host) -> Result<String, Error> {
    let senders = Senders::of(outbox.path(), host)?;
    if let Some(sender) = senders.homes(|| outbox.outbox_senders())?.into_iter().next() {
        return Ok(sender);
    }
    let sender = format!("{:032x}", host.random.bits());
    senders.note(&sender, 0)?;
    Ok(sender)
}

/// Makes an entry one of this archive's own, because a person says so.
pub fn claim_entry(
    outbox: &Outbox,
    host: &Host,
    entry: i64,
    base_url: Option<&str>,
    now: Timestamp,
) -> Result<bool, Error> {
    let sender = sender_for(outbox, host)?;
    outbox.transaction(|tx| tx.claim_for(entry, &sender, base_url, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_goes_on_while_it_is_looked_at_is_no_older_copy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        std::fs::write(&path, "").expect("a file");
        let senders = Senders {
            folder: folder.path().join("senders"),
            here: whereabouts(&path).expect("a place"),
            files: &crate::host::SystemFiles,
            counters: RefCell::default(),
        };
        senders.note("s", 5).expect("a record");
        let homes = |counts: [u64; 2]| {
            let calls = std::cell::Cell::new(0);
            let read = || {
                let sends = counts[calls.replace(calls.get() + 1)];
                Ok(vec![SenderIdentity { sender: "s".to_owned(), sends }])
            };
            senders.homes(read).expect("read").len()
        };
        assert_eq!(homes([4, 5]), 1, "another process has sent in between");
        assert_eq!(homes([4, 4]), 0, "an older copy");
        assert_eq!(homes([5, 5]), 1);
    }

    #[test]
    fn an_archive_is_its_senders_home_only_where_and_as_the_record_says() {
        let at = |machine: &str, path: &str, inode: u64| Whereabouts {
            machine: Some(machine.to_owned()),
            path: path.to_owned(),
            file: Some((1, inode)),
        };
        let record = Record { at: at("m", "/a.db", 7), sends: 5 };
        let cases = [
            (at("m", "/a.db", 7), 5, Home::Here, "as it was"),
            (at("m", "/a.db", 7), 6, Home::Here, "killed before the record was written"),
            (at("m", "/b.db", 7), 5, Home::Here, "renamed"),
            (at("m", "/a.db", 8), 5, Home::Here, "put back as it was"),
            (at("m", "/a.db", 8), 4, Home::Older, "put back from before an attempt"),
            (at("m", "/a.db", 7), 4, Home::Older, "the same, in its old place on the disk"),
            (at("m", "/b.db", 8), 5, Home::Copy, "a copy"),
            (at("n", "/a.db", 7), 5, Home::Elsewhere, "another machine with the same home"),
        ];
        for (here, sends, expected, case) in cases {
            assert_eq!(home_of(Some(&record), &here, sends), expected, "{case}");
            assert_eq!(home_of(None, &here, sends), Home::Elsewhere, "{case}");
        }
    }
}

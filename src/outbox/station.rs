//! Whose entries these are: an archive's own, or those of an archive that it is a copy of.
//!
//! A station is known in two places: in the archive, and in a record in its owner's state folder
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
use crate::model::Timestamp;
use crate::outbox::{Outbox, SenderIdentity};
use crate::store::{ArchiveError, Cause};

/// What a state folder knows of a station.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where the archive lies.
    #[serde(flatten)]
    pub at: Whereabouts,
    /// Attempts that it has begun.
    pub sends: u64,
}

/// How an archive stands to a station in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// It is the station's archive.
    Here,
    /// The station is of another machine or another person, or its record was lost.
    Elsewhere,
    /// The station's archive is another file.
    Copy,
    /// This is the station's archive as it was before.
    Older,
}

/// Whether the archive that lies `here` and has begun `sends` attempts is the station's.
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

/// The stations of one archive, as one state folder knows them.
pub struct Stations<'a> {
    folder: PathBuf,
    here: Whereabouts,
    files: &'a dyn Files,
    counters: RefCell<BTreeMap<String, File>>,
}

/// The digits of a count, so that a greater one never leaves a part of the one before.
const COUNT_DIGITS: usize = 20;
/// The most bytes of a record: the longest path has 4096.
const RECORD_BYTES_MAX: u64 = 64 * 1024;

impl<'a> Stations<'a> {
    /// Looks where the archive at `path` lies.
    pub fn of(path: &Path, host: &'a Host) -> Result<Self, ArchiveError> {
        let folder = host.environment.state_folder().ok_or_else(|| {
            let message = "there is no state folder to tell this archive from a copy of it by";
            ArchiveError::new(Cause::Storage, message)
                .cure("set WINDROW_STATE_DIR to a folder that stays on this machine")
        })?;
        let here = whereabouts(path).map_err(|error| ArchiveError::io(path, "look at", &error))?;
        let (folder, counters) = (folder.join("outbox"), RefCell::default());
        Ok(Self { folder, here, files: &*host.files, counters })
    }

    fn record_path(&self, station: &str) -> PathBuf {
        self.folder.join(format!("{station}.json"))
    }

    fn record(&self, station: &str) -> Result<Option<Record>, ArchiveError> {
        let text = read_state(&self.record_path(station))?;
        let counted = read_state(&self.counter_path(station))?;
        // A record that cannot be read proves nothing.
        let record: Option<Record> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let Some(mut record) = record else { return Ok(None) };
        let counted = counted.filter(|text| text.len() == COUNT_DIGITS);
        let counted = counted.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        record.sends = record.sends.max(counted.unwrap_or(0));
        Ok(Some(record))
    }

    fn counter_path(&self, station: &str) -> PathBuf {
        self.folder.join(format!("{station}.sends"))
    }

    /// Notes how many attempts the station has begun; durable. The first time it notes where its
    /// archive is as well. After that the count is written over the last one in its place, which
    /// costs a tenth of a new file: each attempt waits for it.
    pub fn count(&self, station: &str, sends: u64) -> Result<(), ArchiveError> {
        let path = self.counter_path(station);
        let trouble = |error: std::io::Error| ArchiveError::io(&path, "write", &error);
        let mut counters = self.counters.borrow_mut();
        let counter = match counters.entry(station.to_owned()) {
            Entry::Occupied(counter) => counter.into_mut(),
            Entry::Vacant(place) => {
                self.note(station, sends)?;
                let counter = open_own(&path).map_err(trouble)?;
                self.files.keep_name(&path).map_err(trouble)?;
                place.insert(counter)
            }
        };
        let digits = format!("{sends:0COUNT_DIGITS$}");
        counter
            .seek(SeekFrom::Start(0))
            .and_then(|_| counter.write_all(digits.as_bytes()))
            .and_then(|()| counter.sync_data())
            .map_err(trouble)
    }

    /// How the archive stands to a station of its own.
    pub fn home(&self, station: &SenderIdentity) -> Result<Home, ArchiveError> {
        let record = self.record(&station.station)?;
        Ok(home_of(record.as_ref(), &self.here, station.sends))
    }

    /// The stations that the archive is the home of.
    pub fn homes(&self, stations: &[SenderIdentity]) -> Result<BTreeSet<String>, ArchiveError> {
        let mut here = BTreeSet::new();
        for station in stations {
            if self.home(station)? == Home::Here {
                here.insert(station.station.clone());
            }
        }
        Ok(here)
    }

    /// Notes where the station's archive is and how many attempts it has begun; durable.
    pub fn note(&self, station: &str, sends: u64) -> Result<(), ArchiveError> {
        let path = self.record_path(station);
        let trouble = |error: std::io::Error| ArchiveError::io(&path, "write", &error);
        make_private_folder(&self.folder).map_err(trouble)?;
        let record = Record { at: self.here.clone(), sends };
        let text = serde_json::to_vec(&record).unwrap_or_default();
        replace(&path, &text, self.files).map_err(trouble)
    }

    /// Takes the right to send a station's entries, until the lock is dropped; none when another
    /// process has it, with what that says of itself.
    pub fn lock(
        &self,
        station: &str,
        note: &str,
    ) -> Result<Result<FileLock, String>, ArchiveError> {
        let path = self.folder.join(format!("{station}.lock"));
        match try_lock(&path, note) {
            Ok(lock) => Ok(Ok(lock)),
            Err(LockError::Held { note }) => Ok(Err(note)),
            Err(LockError::Io(error)) => Err(ArchiveError::io(&path, "lock", &error)),
        }
    }

    /// Takes the right to send for as many of these stations as can be had.
    pub fn take(&self, stations: BTreeSet<String>, note: &str) -> Result<Taken, ArchiveError> {
        let mut taken = Taken::default();
        for station in stations {
            match self.lock(&station, note)? {
                Ok(lock) => {
                    taken.locks.push(lock);
                    taken.stations.insert(station);
                }
                Err(holder) => taken.held_by = Some(holder),
            }
        }
        Ok(taken)
    }
}

/// A file of the state folder; none where it is missing, too long or cannot be read.
fn read_state(path: &Path) -> Result<Option<Vec<u8>>, ArchiveError> {
    match read_own(path, RECORD_BYTES_MAX) {
        Err(error) if refusal(&error).is_some() => Err(ArchiveError::io(path, "read", &error)),
        read => Ok(read.ok()),
    }
}

/// The stations that one process may send for.
#[derive(Debug, Default)]
pub struct Taken {
    /// What keeps others from sending.
    pub locks: Vec<FileLock>,
    /// The stations.
    pub stations: BTreeSet<String>,
    /// Who has another one of them.
    pub held_by: Option<String>,
}

/// The station that queues entries of this archive; a new one where the archive has none here.
pub fn station_for(outbox: &Outbox, host: &Host) -> Result<String, ArchiveError> {
    let stations = Stations::of(outbox.path(), host)?;
    if let Some(station) = stations.homes(&outbox.outbox_stations()?)?.into_iter().next() {
        return Ok(station);
    }
    let station = format!("{:032x}", host.random.bits());
    stations.note(&station, 0)?;
    Ok(station)
}

/// Makes an entry one of this archive's own, because a person says so.
pub fn claim_entry(
    outbox: &Outbox,
    host: &Host,
    entry: i64,
    base_url: Option<&str>,
    now: Timestamp,
) -> Result<bool, ArchiveError> {
    let station = station_for(outbox, host)?;
    outbox.claim_for(entry, &station, base_url, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_its_stations_home_only_where_and_as_the_record_says() {
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

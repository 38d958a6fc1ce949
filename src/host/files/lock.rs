//! The lock beside the archive: one writer at a time.
//!
//! The lock is the operating system's own advisory lock on a file of its own, so a dead process
//! cannot leave it behind. It is never taken on the archive itself: closing a second handle on
//! a file drops the POSIX locks that SQLite holds on it.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::open::{open_beside, open_own};

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

/// Why the lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Somebody else holds it; the note that the holder left.
    Held {
        /// What the holder wrote about itself, or an empty text.
        note: String,
    },
    /// The lock file cannot be made or read.
    Io(std::io::Error),
}

/// The lock file's path: the archive's own with `-lock` after it.
pub fn lock_path(archive: &Path) -> PathBuf {
    let mut name = archive.as_os_str().to_owned();
    name.push("-lock");
    PathBuf::from(name)
}

/// Takes the lock at `path` or says who holds it. `note` is what the next one will be told.
pub fn try_lock(path: &Path, note: &str) -> Result<FileLock, LockError> {
    let mut file = open_own(path).map_err(LockError::Io)?;
    match file.try_lock() {
        Ok(()) => {
            write_note(&mut file, note).map_err(LockError::Io)?;
            Ok(FileLock { file })
        }
        Err(TryLockError::WouldBlock) => Err(LockError::Held { note: read_note(&mut file) }),
        Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
    }
}

fn write_note(file: &mut File, note: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(note.as_bytes())?;
    file.write_all(b"\n")?;
    file.flush()
}

/// The most bytes of a note that are read: forty times what any holder writes.
const NOTE_BYTES_MAX: u64 = 4096;
/// How often a holder that has only just taken the lock is given time to write its note.
const NOTE_LOOKS_MAX: u32 = 50;
/// The time between two looks, milliseconds: half a second in all.
const NOTE_LOOK_MS: u64 = 10;

/// What the holder says of itself; empty where it says nothing, or more than any holder says.
#[expect(clippy::disallowed_methods, reason = "shorter than any clock that is put in its place")]
fn read_note(file: &mut File) -> String {
    for _ in 0..NOTE_LOOKS_MAX {
        let mut note = Vec::new();
        let from = file.seek(SeekFrom::Start(0));
        let read = from.and_then(|_| file.take(NOTE_BYTES_MAX + 1).read_to_end(&mut note));
        if read.is_ok_and(|read| read as u64 > NOTE_BYTES_MAX) {
            return String::new();
        }
        if let Some(line) = note.strip_suffix(b"\n") {
            return escaped(line);
        }
        std::thread::sleep(std::time::Duration::from_millis(NOTE_LOOK_MS));
    }
    String::new()
}

/// A note without anything that a terminal would obey: windrow's own notes are plain ASCII, and
/// others may have written this one.
fn escaped(note: &[u8]) -> String {
    let text = String::from_utf8_lossy(note);
    let plain = |letter: char| matches!(letter, ' '..='~');
    let escape = |letter: char| match plain(letter) {
        true => letter.to_string(),
        false => letter.escape_unicode().to_string(),
    };
    text.trim().chars().map(escape).collect()
}

impl FileLock {
    /// Whether the lock is still that of the file with this name: its holder before may have
    /// removed it.
    pub fn is_at(&self, path: &Path) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let place = |found: std::fs::Metadata| (found.dev(), found.ino());
            let own = self.file.metadata().map(place).ok();
            own.is_some() && own == path.symlink_metadata().map(place).ok()
        }
        #[cfg(not(unix))]
        {
            // What is open cannot be removed here.
            path.exists()
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Nobody is told of a holder that has gone. The lock itself ends with the handle.
        let _ = self.file.set_len(0);
    }
}

/// The note of whoever holds the lock at `path`, or `None` when nobody does. Changes nothing; a
/// process that tries the lock in this very moment is told that it is held. A link, and what is no
/// regular file, is an error.
pub fn lock_holder(path: &Path) -> std::io::Result<Option<String>> {
    let mut file = match open_beside(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_note(&mut file))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_lock_is_told_without_taking_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = lock_path(&folder.path().join("a.db"));
        assert_eq!(lock_holder(&path).expect("no lock file, no holder"), None);
        let held = try_lock(&path, "process 1").expect("the lock is free");
        assert_eq!(lock_holder(&path).expect("held").as_deref(), Some("process 1"));
        drop(held);
        assert_eq!(lock_holder(&path).expect("free"), None);
    }

    #[test]
    fn a_second_taker_learns_who_holds_the_lock_and_a_dropped_lock_is_free() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = lock_path(&folder.path().join("a.db"));
        let held = try_lock(&path, "process 1").expect("the lock is free");
        match try_lock(&path, "process 2") {
            Err(LockError::Held { note }) => assert_eq!(note, "process 1"),
            other => panic!("expected Held, got {other:?}"),
        }
        drop(held);
        try_lock(&path, "process 2").expect("the lock is free again");
    }
}

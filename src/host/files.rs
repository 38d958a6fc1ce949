//! The lock beside the archive, and what kind of place a file lies in.
//!
//! The lock is the operating system's own advisory lock on a file of its own, so a dead process
//! cannot leave it behind. It is never taken on the archive itself: closing a second handle on
//! a file drops the POSIX locks that SQLite holds on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    private(&mut options);
    let mut file = options.open(path).map_err(LockError::Io)?;
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

/// How often a holder that has only just taken the lock is given time to write its note.
const NOTE_LOOKS_MAX: u32 = 50;
/// The time between two looks, milliseconds: half a second in all.
const NOTE_LOOK_MS: u64 = 10;

/// What the holder says of itself; empty where it says nothing.
#[expect(clippy::disallowed_methods, reason = "shorter than any clock that is put in its place")]
fn read_note(file: &mut File) -> String {
    for _ in 0..NOTE_LOOKS_MAX {
        let mut note = String::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut note));
        if read.is_ok() && note.ends_with('\n') {
            return note.trim().to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(NOTE_LOOK_MS));
    }
    String::new()
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

/// Makes new files readable by their owner alone.
#[cfg(unix)]
pub(super) fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
pub(super) fn private(_options: &mut OpenOptions) {}

/// Opens a file for writing, one that only its owner may read where it is not there yet.
pub fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    private(&mut options);
    options.open(path)
}

/// Makes an empty file that only its owner may read; one that is there is an error, and so is a
/// link, wherever it leads.
pub fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private(&mut options);
    options.open(path)
}

/// Makes a file that only its owner may read, with this text; one that is there is an error.
pub fn make_private_file(path: &Path, text: &str) -> std::io::Result<()> {
    make_private_bytes(path, text.as_bytes())
}

/// The same with bytes.
pub fn make_private_bytes(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = create_private(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_directory(path)
}

/// Makes an existing file readable by its owner alone; no effect where there are no such modes.
pub fn make_private(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    let _ = path;
    Ok(())
}

/// Makes a folder, and those above it, for its owner alone; one that is there stays as it is.
pub fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Where a file lies, as far as that tells it from its copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// The machine, where it has a name of its own.
    pub machine: Option<String>,
    /// The path, without links.
    pub path: String,
    /// Device and number of the file, where the system has such.
    pub file: Option<(u64, u64)>,
}

/// Looks where a file lies, without opening it.
pub fn whereabouts(path: &Path) -> std::io::Result<Whereabouts> {
    let full = path.canonicalize()?;
    #[cfg(unix)]
    let file = {
        use std::os::unix::fs::MetadataExt;
        let metadata = full.metadata()?;
        Some((metadata.dev(), metadata.ino()))
    };
    #[cfg(not(unix))]
    let file = None;
    let machine = std::fs::read_to_string("/etc/machine-id").ok();
    let machine = machine.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    Ok(Whereabouts { machine, path: full.to_string_lossy().into_owned(), file })
}

/// What is done to files as a whole beside SQLite, so that a power cut can be simulated in it.
pub trait Files: Send + Sync {
    /// Puts a finished file under its final name and makes the name durable.
    fn publish(&self, from: &Path, to: &Path) -> std::io::Result<()>;
    /// Makes a file's name durable, also where an earlier run could not.
    fn keep_name(&self, path: &Path) -> std::io::Result<()>;
    /// Removes a file; that it is not there is an error.
    fn remove(&self, path: &Path) -> std::io::Result<()>;
    /// Makes a file and its name durable. Never while this process has it open with SQLite.
    fn make_durable(&self, path: &Path) -> std::io::Result<()>;
}

/// The real file system.
pub struct SystemFiles;

impl Files for SystemFiles {
    fn publish(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        File::open(from)?.sync_all()?;
        std::fs::rename(from, to)?;
        sync_directory(to)
    }

    fn keep_name(&self, path: &Path) -> std::io::Result<()> {
        sync_directory(path)
    }

    fn remove(&self, path: &Path) -> std::io::Result<()> {
        std::fs::remove_file(path)
    }

    fn make_durable(&self, path: &Path) -> std::io::Result<()> {
        // Windows flushes only what was opened for writing.
        OpenOptions::new().read(true).write(true).open(path)?.sync_all()?;
        sync_directory(path)
    }
}

#[cfg(unix)]
fn sync_directory(of: &Path) -> std::io::Result<()> {
    File::open(folder_of(of))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_of: &Path) -> std::io::Result<()> {
    Ok(())
}

/// What kind of place a file lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name, as the mount table has it.
    pub name: String,
    /// What that means for an archive.
    pub sort: FileSystemSort,
}

/// What a file system means for an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystemSort {
    /// A disk of this machine.
    Local,
    /// Another machine's: there is no memory shared with the processes there.
    Network,
    /// FAT in one of its forms: no journal, no modes, and mostly a stick.
    Fat,
    /// Memory: gone when the machine stops.
    Memory,
}

/// The file system that `path` lies on, or `None` where nobody can tell.
///
/// The mount table is read because it names the kind without any unsafe call.
pub fn file_system(path: &Path) -> Option<FileSystem> {
    let table = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let full = path.canonicalize().or_else(|_| folder_of(path).canonicalize()).ok()?;
    file_system_in(&table, &full)
}

/// The network file system that `path` lies on, by name, or `None` for a local one.
///
/// SQLite's write-ahead log needs memory shared between processes, which no network file
/// system gives.
pub fn network_file_system(path: &Path) -> Option<String> {
    let found = file_system(path)?;
    (found.sort == FileSystemSort::Network).then_some(found.name)
}

/// The folder that a file is in or will be in.
fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

const NETWORK_KINDS: [&str; 10] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.rclone"];
const FAT_KINDS: [&str; 5] = ["vfat", "msdos", "exfat", "fuse.exfat", "fuse.exfat-fuse"];
const MEMORY_KINDS: [&str; 2] = ["tmpfs", "ramfs"];

fn file_system_in(table: &str, path: &Path) -> Option<FileSystem> {
    let mounts = table.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?.replace("\\040", " ");
        Some((point, fields.next()?.to_owned()))
    });
    let (_, name) =
        mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.len())?;
    let is = |kinds: &[&str]| kinds.contains(&name.as_str());
    let sort = if is(&NETWORK_KINDS) {
        FileSystemSort::Network
    } else if is(&FAT_KINDS) {
        FileSystemSort::Fat
    } else if is(&MEMORY_KINDS) {
        FileSystemSort::Memory
    } else {
        FileSystemSort::Local
    };
    Some(FileSystem { name, sort })
}

/// The note of whoever holds the lock at `path`, or `None` when nobody does. Changes nothing; a
/// process that tries the lock in this very moment is told that it is held.
pub fn lock_holder(path: &Path) -> std::io::Result<Option<String>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_note(&mut file))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the file at `path` can be opened for writing; writes nothing. Never while this process
/// has it open with SQLite: the closing of this handle would drop SQLite's locks.
pub fn try_appending(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().append(true).open(path).map(drop)
}

/// Whether a file can be made and written beside `path`, by doing it and taking it away again:
/// modes, read-only mounts, quotas and full disks all have their say in that.
pub fn try_making(path: &Path) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-try-{}", std::process::id()));
    let trial = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private(&mut options);
    let written = options.open(&trial)?.write_all(b"windrow doctor");
    std::fs::remove_file(&trial)?;
    written
}

/// Bytes that an ordinary user may still write where `path` lies or will lie.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    fs4::available_space(folder_of(path))
}

/// What the names of the files beside `path` add to its own: `-wal`, `-lock` and the like.
pub fn endings_beside(path: &Path) -> Vec<String> {
    let Some(own) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(folder_of(path)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut endings: Vec<String> = names
        .filter_map(|name| name.strip_prefix(&own).map(str::to_owned))
        .filter(|ending| ending.starts_with('-'))
        .collect();
    endings.sort();
    endings
}

/// The permission bits of a file that others than its owner may read, write or run; `None` where
/// they may not, and where there are no such modes.
#[cfg(unix)]
pub fn mode_for_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = path.metadata().ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// The permission bits of a file that others may read; there are none here.
#[cfg(not(unix))]
pub fn mode_for_others(_path: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_decides_what_kind_of_place_it_is() {
        let table = "/dev/a / ext4 rw 0 0\nsrv:/x /mnt nfs4 rw 0 0\n/dev/b /mnt/local ext4 rw 0 0\n\
            /dev/c /media/my\\040stick vfat rw 0 0\nx /tmp tmpfs rw 0 0";
        let cases = [
            ("/home/a.db", "ext4", FileSystemSort::Local),
            ("/mnt/a.db", "nfs4", FileSystemSort::Network),
            ("/mnt/local/a.db", "ext4", FileSystemSort::Local),
            ("/media/my stick/a.db", "vfat", FileSystemSort::Fat),
            ("/tmp/a.db", "tmpfs", FileSystemSort::Memory),
        ];
        for (path, name, sort) in cases {
            let expected = FileSystem { name: name.to_owned(), sort };
            assert_eq!(file_system_in(table, Path::new(path)), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_folder_says_what_lies_beside_a_file_and_whether_more_may() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        for name in ["a.db", "a.db-wal", "a.db-new", "b.db-wal", "a.dbx"] {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        try_making(&path).expect("the folder is writable");
        assert_eq!(endings_beside(&path), ["-new", "-wal"]);
        assert!(try_making(&folder.path().join("no/such/a.db")).is_err());
        assert!(free_bytes(&path).is_ok());
    }

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

//! The lock beside the archive, and what kind of place a file lies in.
//!
//! The lock is the operating system's own advisory lock on a file of its own, so a dead process
//! cannot leave it behind. It is never taken on the archive itself: closing a second handle on
//! a file drops the POSIX locks that SQLite holds on it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
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
            Ok(FileLock { _file: file })
        }
        Err(TryLockError::WouldBlock) => {
            let mut note = String::new();
            // The holder may be writing its note just now; an unreadable note is an empty one.
            let _ = file.read_to_string(&mut note);
            Err(LockError::Held { note: note.trim().to_owned() })
        }
        Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
    }
}

fn write_note(file: &mut File, note: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(note.as_bytes())?;
    file.flush()
}

/// Makes new files readable by their owner alone.
#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private(_options: &mut OpenOptions) {}

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

/// What is done to files as a whole beside SQLite, so that a power cut can be simulated in it.
pub trait Files: Send + Sync {
    /// Puts a finished file under its final name and makes the name durable.
    fn publish(&self, from: &Path, to: &Path) -> std::io::Result<()>;
    /// Makes a file's name durable, also where an earlier run could not.
    fn keep_name(&self, path: &Path) -> std::io::Result<()>;
    /// Removes a file; that it is not there is an error.
    fn remove(&self, path: &Path) -> std::io::Result<()>;
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
}

#[cfg(unix)]
fn sync_directory(of: &Path) -> std::io::Result<()> {
    let parent = of.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_of: &Path) -> std::io::Result<()> {
    Ok(())
}

/// The network file system that `path` lies on, by name, or `None` for a local one.
///
/// SQLite's write-ahead log needs memory shared between processes, which no network file
/// system gives. The mount table is read because it names the kind without any unsafe call.
pub fn network_file_system(path: &Path) -> Option<String> {
    let table = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let full = path.canonicalize().or_else(|_| canonical_parent(path)).ok()?;
    network_mount(&table, &full)
}

fn canonical_parent(path: &Path) -> std::io::Result<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).canonicalize()
}

const NETWORK_KINDS: [&str; 10] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.rclone"];

fn network_mount(table: &str, path: &Path) -> Option<String> {
    let mounts = table.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?.replace("\\040", " ");
        Some((point, fields.next()?.to_owned()))
    });
    let (_, kind) =
        mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.len())?;
    NETWORK_KINDS.contains(&kind.as_str()).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_decides_whether_a_path_is_on_the_network() {
        let table = "/dev/a / ext4 rw 0 0\nsrv:/x /mnt nfs4 rw 0 0\n/dev/b /mnt/local ext4 rw 0 0";
        assert_eq!(network_mount(table, Path::new("/home/a.db")), None);
        assert_eq!(network_mount(table, Path::new("/mnt/a.db")).as_deref(), Some("nfs4"));
        assert_eq!(network_mount(table, Path::new("/mnt/local/a.db")), None);
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

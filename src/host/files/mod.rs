//! Files: how they are opened, locked, replaced and made durable, and where they lie.

mod lock;
mod open;
mod place;

use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use lock::{FileLock, LockError, lock_holder, lock_path, try_lock};
pub use open::{
    FileRefusal, append_own, create_draft, create_private, fresh_word, look, look_own,
    make_private, make_private_bytes, make_private_file, names_beside, open_given, open_named,
    open_own, open_own_left, read_named, read_named_text, read_own, refusal, replace, try_making,
    try_writing,
};
pub use place::{
    FileSystem, FileSystemSort, endings_beside, file_system, free_bytes, mode_for_others,
    network_file_system,
};

use open::write_named;

/// Makes a folder, and those above it, for its owner alone; one that is there stays as it is.
pub fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes a folder for its owner alone; one that is there is an error, and so is a link.
pub fn make_new_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
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

/// The size of a file and the time of its last change: they differ once it was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    size: u64,
    /// Absent where the file system has no such times.
    changed: Option<std::time::SystemTime>,
}

/// The stamp of a file; `None` where there is no such file, or it cannot be looked at.
pub fn stamp_of(path: &Path) -> Option<FileStamp> {
    let metadata = path.symlink_metadata().ok()?;
    Some(FileStamp { size: metadata.len(), changed: metadata.modified().ok() })
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
        open_given(from)?.sync_all()?;
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
        write_named(path)?.sync_all()?;
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

/// The folder that a file is in or will be in.
fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

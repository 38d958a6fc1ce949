//! Folders for the length of one piece of work, for nobody else's eyes.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use super::Leftover;
use super::files::{
    FileLock, LockError, fresh_word, lock_path, make_new_private_folder, make_private_folder,
    try_lock,
};

/// How many unpredictable names are tried: two are never alike by chance.
const NAMES_MAX: u32 = 10;

/// The folder and everything in it go when this is dropped.
#[derive(Debug)]
pub struct PrivateFolder {
    path: PathBuf,
    _leftover: Leftover,
}

impl PrivateFolder {
    /// Makes a new folder inside another. That it is new is what keeps others out: nobody else can
    /// have made it before, or lead it elsewhere.
    pub fn make(inside: &Path, name: &str) -> std::io::Result<Self> {
        for _ in 0..NAMES_MAX {
            let path = inside.join(format!("{name}-{}", fresh_word()));
            match make_new_private_folder(&path) {
                Ok(()) => return Ok(Self { _leftover: Leftover::note(&path), path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::from(ErrorKind::AlreadyExists))
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, folder = %self.path.display(), "cannot remove the folder");
        }
    }
}

/// A folder whose process holds a lock beside it for as long as it lives: what a killed one has
/// left is known by that, and goes when the next one comes.
#[derive(Debug)]
pub struct HeldFolder {
    path: PathBuf,
    // Goes after the folder.
    _lock: FileLock,
    _leftovers: [Leftover; 2],
}

impl HeldFolder {
    /// Makes a folder, and those above it; the name must be nobody else's.
    pub fn make(path: &Path) -> std::io::Result<Self> {
        if let Some(parent) = path.parent() {
            make_private_folder(parent)?;
        }
        // The lock comes first: a folder is never without while its process lives.
        let note = format!("process {}", std::process::id());
        let lock = try_lock(&lock_path(path), &note).map_err(|error| match error {
            LockError::Held { .. } => Error::from(ErrorKind::AlreadyExists),
            LockError::Io(error) => error,
        })?;
        make_new_private_folder(path)?;
        let leftovers = [path, &lock_path(path)].map(Leftover::note);
        Ok(Self { path: path.to_owned(), _lock: lock, _leftovers: leftovers })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folders of this kind, by their names, whose processes have ended.
    pub fn clear(inside: &Path, is_one: impl Fn(&str) -> bool) {
        for entry in std::fs::read_dir(inside).into_iter().flatten().flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_folder || !entry.file_name().to_str().is_some_and(&is_one) {
                continue;
            }
            // While we hold it nobody else clears up here.
            if let Ok(lock) = try_lock(&lock_path(&entry.path()), "process that clears up") {
                remove(&entry.path());
                drop(lock);
            }
        }
    }
}

impl Drop for HeldFolder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            // The next one tries again.
            tracing::warn!(%error, folder = %path.display(), "cannot remove the folder");
        }
        _ => drop(std::fs::remove_file(lock_path(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_when_its_process_has_gone_and_not_before() {
        let outside = tempfile::tempdir().expect("a folder");
        let inside = outside.path().join("unpacked");
        let held = HeldFolder::make(&inside.join("own")).expect("a folder");
        assert!(HeldFolder::make(&inside.join("own")).is_err());
        for name in ["left", "other"] {
            std::fs::create_dir(inside.join(name)).expect("a folder");
            std::fs::write(inside.join(name).join("a"), "b").expect("a file");
        }
        std::fs::write(lock_path(&inside.join("left")), "process 1\n").expect("a file");
        HeldFolder::clear(&inside, |name| name != "other");
        let names = || {
            let entries = std::fs::read_dir(&inside).expect("the folder").flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(names().into_iter().collect::<Vec<_>>(), ["other", "own", "own-lock"]);
        drop(held);
        assert_eq!(names().into_iter().collect::<Vec<_>>(), ["other"]);
        HeldFolder::clear(&outside.path().join("none"), |_| true);
    }

    #[test]
    fn a_private_folder_is_new_its_owners_alone_and_gone_afterwards() {
        let outside = tempfile::tempdir().expect("a folder");
        let first = PrivateFolder::make(outside.path(), "work").expect("a folder");
        let second = PrivateFolder::make(outside.path(), "work").expect("another");
        assert_ne!(first.path(), second.path());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = first.path().metadata().expect("the folder").permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        std::fs::write(first.path().join("a"), "b").expect("a file");
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().exists());
    }
}

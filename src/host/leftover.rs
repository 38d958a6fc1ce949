//! Files and folders of a piece of work that go with it, also where the process is ended by force.
//!
//! An orderly end takes them away by `Drop`; an end by force runs no `Drop`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

static LEFT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A path that [`remove_leftovers`] takes away while this lives. Dropping it removes nothing.
#[derive(Debug)]
pub struct Leftover {
    path: PathBuf,
}

impl Leftover {
    /// Notes a path that is nobody else's.
    pub fn note(path: &Path) -> Self {
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        Self { path: path.to_owned() }
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

/// Takes away what pieces of work would have taken away at their end. Only right before the end of
/// the process. What cannot be removed is left to the next run, as after a `kill -9`.
pub fn remove_leftovers() {
    let paths = LEFT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for path in paths {
        let Ok(found) = path.symlink_metadata() else { continue };
        let _ = match found.is_dir() {
            true => std::fs::remove_dir_all(&path),
            false => std::fs::remove_file(&path),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_goes_and_what_is_done_with_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let [room, file, kept] = ["room", "file", "kept"].map(|name| folder.path().join(name));
        std::fs::create_dir(&room).expect("a room");
        for path in [&room.join("inside"), &file, &kept] {
            std::fs::write(path, b"x").expect("a file");
        }
        let noted = [Leftover::note(&room), Leftover::note(&file)];
        drop(Leftover::note(&kept));
        remove_leftovers();
        assert_eq!([room.exists(), file.exists(), kept.exists()], [false, false, true]);
        drop(noted);
    }
}

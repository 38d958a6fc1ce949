//! Where files come to lie: under a name of their own while they are written, under the final one
//! once they are whole and on the disk.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::host::files::{
    create_private, make_new_private_folder, make_private_folder, open_own_left,
};
use crate::host::{Files, Leftover};
use crate::model::Error;

use super::error::not_written;

/// What a file of a partition is called.
const PART: &str = "part-0";
/// The endings of what an export makes.
pub const ENDINGS: [&str; 4] = ["csv", "ndjson", "jsonl", "parquet"];

/// What to do about a place that is taken.
const HELP: &str = "name another place with --out, or move it away";

/// A target that this process writes and nobody else does. What is not published is taken away.
#[derive(Debug)]
pub struct TargetClaim {
    target: PathBuf,
    /// The file itself until it is whole; of a folder only the sign that it is taken.
    partial: PathBuf,
    /// The open file, which holds the lock until it is dropped.
    file: File,
    /// The folder until it is whole.
    parts: Option<PathBuf>,
    leftovers: Vec<Leftover>,
    force: bool,
}

impl TargetClaim {
    /// Claims the name of a file; what is there is refused without `force`.
    pub fn file(target: &Path, force: bool) -> Result<TargetClaim, Error> {
        TargetClaim::take(target, force, false)
    }

    /// Claims a folder of partitions.
    pub fn folder(target: &Path, force: bool) -> Result<TargetClaim, Error> {
        let mut claim = TargetClaim::take(target, force, true)?;
        let parts = beside(target, "parts")?;
        // What a killed export has left.
        remove_folder(&parts)?;
        make_new_private_folder(&parts).map_err(|error| not_written("make", &parts, &error))?;
        claim.leftovers.push(Leftover::note(&parts));
        claim.parts = Some(parts);
        Ok(claim)
    }

    fn take(target: &Path, force: bool, folder: bool) -> Result<TargetClaim, Error> {
        let partial = beside(target, "partial")?;
        refuse_taken(target, force, folder)?;
        let file = claim(&partial, target)?;
        let leftovers = vec![Leftover::note(&partial)];
        Ok(TargetClaim { target: target.to_owned(), partial, file, parts: None, leftovers, force })
    }

    /// The name that the file or folder gets when it is published.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The file to write.
    pub fn writer(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(|error| not_written("write", &self.partial, &error))
    }

    /// Makes the file of a partition, such as `day_month=2026-01`.
    pub fn part(&self, name: &str, ending: &str) -> Result<(File, PathBuf), Error> {
        let folder = self.parts.as_ref().unwrap_or(&self.target).join(name);
        let path = folder.join(format!("{PART}.{ending}"));
        let file = make_private_folder(&folder).and_then(|()| create_private(&path));
        Ok((file.map_err(|error| not_written("make", &path, &error))?, path))
    }

    /// Puts what is whole under its final name and makes that durable.
    pub fn publish(mut self, files: &dyn Files) -> Result<PathBuf, Error> {
        let target = self.target.clone();
        let io = |error| not_written("write", &target, &error);
        refuse_taken(&target, self.force, self.parts.is_some())?;
        // What is whole stays, also where the process is ended in the midst of the renaming.
        self.leftovers.clear();
        let Some(parts) = self.parts.clone() else {
            files.publish(&self.partial, &target).map_err(io)?;
            self.partial = PathBuf::new();
            return Ok(target);
        };
        let old = beside(&target, "old")?;
        remove_folder(&old)?;
        if target.exists() {
            std::fs::rename(&target, &old).map_err(io)?;
        }
        if let Err(error) = std::fs::rename(&parts, &target) {
            // The error is told; what was there is put back as far as that goes.
            let _ = std::fs::rename(&old, &target);
            return Err(io(error));
        }
        self.parts = None;
        files.keep_name(&target).map_err(io)?;
        remove_folder(&old)?;
        Ok(target)
    }
}

impl Drop for TargetClaim {
    fn drop(&mut self) {
        // What cannot be taken away now is taken away by the next export to the same place.
        if let Some(parts) = &self.parts {
            let _ = remove_folder(parts);
        }
        if !self.partial.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// A hidden name beside the target: readers of a folder pass by what begins with a dot.
fn beside(target: &Path, what: &str) -> Result<PathBuf, Error> {
    let Some(name) = target.file_name() else {
        let message = format!("{} is no name for a file", target.display());
        return Err(Error::usage(message).help("name a file or a folder with --out"));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(what);
    Ok(target.with_file_name(hidden))
}

/// Makes the file and locks it. One that is there and not locked was left by a killed process.
fn claim(partial: &Path, target: &Path) -> Result<File, Error> {
    let io = |error| not_written("make", partial, &error);
    match open_own_left(partial) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        left => match left.map_err(io)?.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(busy(target)),
            _ => match std::fs::remove_file(partial) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
                _ => {}
            },
        },
    }
    let file = match create_private(partial) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(busy(target)),
        made => made.map_err(io)?,
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(busy(target)),
        // A file system without locks is no reason not to write a file.
        _ => Ok(file),
    }
}

/// Makes the folder that files go into, for its owner alone where it is new.
pub fn make_folder(folder: &Path) -> Result<(), Error> {
    if folder.exists() && !folder.is_dir() {
        return Err(other_kind(folder, true));
    }
    make_private_folder(folder).map_err(|error| not_written("make", folder, &error))
}

/// What is there is a file where a folder is to be, or the other way about.
fn other_kind(path: &Path, folder: bool) -> Error {
    let (is, wanted) = if folder { ("file", "folder") } else { ("folder", "file") };
    let message = format!("{} is a {is}, where a {wanted} is to be", path.display());
    Error::usage(message).help(HELP)
}

fn busy(target: &Path) -> Error {
    let message = format!("another export is writing {}", target.display());
    Error::usage(message).help("wait until it is done, or name another place with --out")
}

/// Refuses a target that is there, unless it may be replaced and is of the same kind.
fn refuse_taken(target: &Path, force: bool, folder: bool) -> Result<(), Error> {
    let Ok(found) = target.symlink_metadata() else { return Ok(()) };
    let name = target.display();
    if found.is_dir() != folder {
        return Err(other_kind(target, folder));
    }
    if !folder && !found.is_file() {
        return Err(Error::usage(format!("{name} is no plain file")).help(HELP));
    }
    if !force {
        let message = format!("{name} is there already");
        return Err(Error::usage(message).help("--force replaces it once the new one is whole"));
    }
    if folder && !holds_only_parts(target) {
        let message = format!("{name} holds other things than the partitions of an export");
        return Err(Error::usage(message).help(HELP));
    }
    Ok(())
}

/// Whether a folder holds nothing that an export would not have made.
fn holds_only_parts(folder: &Path) -> bool {
    let is_part = |path: &Path| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        path.file_stem().is_some_and(|stem| stem == PART)
            && ending.is_some_and(|ending| ENDINGS.contains(&ending))
            && path.symlink_metadata().is_ok_and(|found| found.is_file())
    };
    let is_partition = |path: &Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().contains('='))
            && path.symlink_metadata().is_ok_and(|found| found.is_dir())
            && all_in(path, &is_part)
    };
    all_in(folder, &is_partition)
}

fn all_in(folder: &Path, is: &dyn Fn(&Path) -> bool) -> bool {
    let Ok(mut entries) = std::fs::read_dir(folder) else { return false };
    entries.all(|entry| entry.is_ok_and(|entry| is(&entry.path())))
}

/// Removes a folder that an export made; that it is not there is no error.
fn remove_folder(folder: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(not_written("remove", folder, &error))
        }
        _ => Ok(()),
    }
}

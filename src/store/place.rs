//! What lies at an archive's name and beside it, looked at before SQLite opens it by name.
//!
//! SQLite opens the archive, `-wal`, `-shm` and `-journal` itself, waits for a FIFO and writes
//! into a second name of somebody's file; a log that belongs to no archive it takes for the log of
//! the next one of that name.

use std::path::{Path, PathBuf};

use crate::host::files::look;

use crate::model::{Error, ErrorKind};

/// What SQLite opens beside a database.
const OF_SQLITE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// What SQLite and windrow open beside an archive.
const OF_ARCHIVE: [&str; 4] = ["-wal", "-shm", "-journal", "-lock"];

/// Refuses an archive that is no regular file, and one beside which something else than windrow's
/// and SQLite's own files lies under their names. The archive itself may be a link, or missing.
///
/// # Errors
///
/// `Unusable` for a folder; `Unsafe` for a FIFO, a device or a socket, and for a file beside it
/// that is one, or a folder, a link or another file's second name; `Storage`.
pub(crate) fn look_at(path: &Path) -> Result<(), Error> {
    refuse_directory(path)?;
    look_beside(path, &OF_ARCHIVE)
}

/// The same for any program's SQLite file.
pub(crate) fn look_at_foreign(path: &Path) -> Result<(), Error> {
    refuse_directory(path)?;
    look_beside(path, &OF_SQLITE)
}

fn look_beside(path: &Path, endings: &[&str]) -> Result<(), Error> {
    let checked = |path: &Path, beside: bool| {
        look(path, beside).map_err(|error| Error::io(path, "look at", &error))
    };
    checked(path, false)?;
    // SQLite's files lie beside the file that a link leads to, and windrow's lock beside the link.
    let real = path.canonicalize().ok().filter(|real| real != path);
    for base in std::iter::once(path).chain(real.as_deref()) {
        for ending in endings {
            checked(&beside(base, ending), true)?;
        }
    }
    Ok(())
}

/// Refuses to make an archive where the log of another one is left: SQLite would take it for the
/// new one's.
pub(crate) fn refuse_left_log(path: &Path) -> Result<(), Error> {
    for ending in ["-wal", "-journal"] {
        let left = beside(path, ending);
        if left.metadata().is_ok_and(|found| found.len() > 0) {
            let message = format!("{} is the log of an archive that is not there", left.display());
            let help = format!(
                "put the archive {} back beside it; if it is gone for good, remove {}",
                path.display(),
                left.display()
            );
            return Err(Error::new(ErrorKind::Unsafe, message).help(help));
        }
    }
    Ok(())
}

pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

pub(crate) fn refuse_directory(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        let message = format!("the archive's path is a directory: {}", path.display());
        return Err(Error::new(ErrorKind::Unusable, message).help("name a file in it"));
    }
    Ok(())
}

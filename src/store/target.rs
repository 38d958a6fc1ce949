//! Where a command may put a file: anywhere but over the archive and what belongs to it.

use std::path::{Path, PathBuf};

use crate::host::files::whereabouts;
use crate::model::Error;

/// What the files beside an archive add to its name: SQLite's own, the lock, a draft of it.
const BESIDE: [&str; 5] = ["-wal", "-shm", "-journal", "-lock", "-new"];

/// Refuses a target that is the archive, belongs to it, or is the definition, whether something is
/// there or not: what lies under such a name is taken for a part of the archive.
pub fn refuse_own(out: &Path, archive: &Path, definition: Option<&Path>) -> Result<(), Error> {
    let refuse = |what: String| {
        let message = format!("{} {what}", out.display());
        Err(Error::usage(message).help("name another file"))
    };
    if same_place(out, archive) {
        return refuse("is the archive itself".to_owned());
    }
    // A log lies beside the file itself, wherever the name that was given leads from.
    let real = archive.canonicalize().unwrap_or_else(|_| archive.to_owned());
    for home in [archive, &real] {
        for ending in BESIDE {
            let mut name = home.as_os_str().to_owned();
            name.push(ending);
            if same_place(out, &PathBuf::from(name)) {
                return refuse(format!("belongs to the archive {}", archive.display()));
            }
        }
    }
    match definition {
        Some(definition) if same_place(out, definition) => refuse("is the definition".to_owned()),
        _ => Ok(()),
    }
}

/// Whether two names are of one file, or would be.
fn same_place(one: &Path, other: &Path) -> bool {
    if let (Ok(one), Ok(other)) = (whereabouts(one), whereabouts(other)) {
        return one.path == other.path || (one.file.is_some() && one.file == other.file);
    }
    let full = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    full(one).is_some_and(|one| full(other) == Some(one))
}

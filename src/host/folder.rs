//! A folder for the length of one piece of work, for nobody else's eyes.

use std::fs::DirBuilder;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// How many names are tried: leftovers of killed processes have some of them.
const NAMES_MAX: u32 = 1000;

/// The folder and everything in it go when this is dropped.
#[derive(Debug)]
pub struct PrivateFolder {
    path: PathBuf,
}

impl PrivateFolder {
    /// Makes a new folder inside another. That it is new is what keeps others out: nobody else can
    /// have made it before, or lead it elsewhere.
    pub fn make(inside: &Path, name: &str) -> std::io::Result<Self> {
        for number in 0..NAMES_MAX {
            let path = inside.join(format!("{name}-{}-{number}", std::process::id()));
            let mut builder = DirBuilder::new();
            private(&mut builder);
            match builder.create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::from(ErrorKind::AlreadyExists))
    }

    /// Where it is.
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

#[cfg(unix)]
fn private(builder: &mut DirBuilder) {
    use std::os::unix::fs::DirBuilderExt;
    builder.mode(0o700);
}

#[cfg(not(unix))]
fn private(_builder: &mut DirBuilder) {}

#[cfg(test)]
mod tests {
    use super::*;

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

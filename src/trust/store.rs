//! The definitions of archives that the user has trusted, one file each in the state folder.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use crate::host::files::{look_own, make_private_file, make_private_folder};

/// Characters of a digest that name a definition: 48 bits, which nobody makes by trying while the
/// receiver looks at what was shown.
pub const DIGEST_CHARS_MIN: usize = 12;

/// Where trusted definitions are remembered.
#[derive(Clone, Debug)]
pub struct TrustStore {
    folder: PathBuf,
}

impl TrustStore {
    /// The store in a state folder.
    pub fn in_folder(state: &Path) -> Self {
        Self { folder: state.join("trusted-definitions") }
    }

    /// Whether the definition of this digest is trusted.
    pub fn holds(&self, digest: &str) -> bool {
        let file = self.file(digest);
        look_own(&file).is_ok() && file.symlink_metadata().is_ok_and(|found| found.is_file())
    }

    /// Trusts the definition of this digest; `note` says what for, for people. One that is trusted
    /// already stays as it is.
    pub fn accept(&self, digest: &str, note: &str) -> std::io::Result<()> {
        if !is_digest(digest) {
            return Err(Error::from(ErrorKind::InvalidInput));
        }
        make_private_folder(&self.folder)?;
        match make_private_file(&self.file(digest), note) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && self.holds(digest) => Ok(()),
            other => other,
        }
    }

    /// Trusts the definition of this digest no longer; whether it was trusted.
    pub fn forget(&self, digest: &str) -> std::io::Result<bool> {
        match std::fs::remove_file(self.file(digest)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The digests of all trusted definitions, in order.
    pub fn all(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut digests: Vec<String> = names.filter(|name| is_digest(name)).collect();
        digests.sort();
        digests
    }

    fn file(&self, digest: &str) -> PathBuf {
        self.folder.join(digest)
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_held_once_accepted_until_it_is_forgotten() {
        let state = tempfile::tempdir().expect("a folder");
        let store = TrustStore::in_folder(state.path());
        let (one, other) = ("a".repeat(64), "b".repeat(64));
        assert!(!store.holds(&one) && store.all().is_empty());
        store.accept(&one, "{}").expect("kept");
        store.accept(&one, "again").expect("kept already");
        assert!(store.holds(&one) && !store.holds(&other));
        assert_eq!(store.all(), std::slice::from_ref(&one));
        assert!(store.forget(&one).expect("gone") && !store.forget(&one).expect("gone before"));
        assert!(!store.holds(&one));
    }

    #[test]
    fn what_is_no_digest_names_no_file() {
        let state = tempfile::tempdir().expect("a folder");
        let store = TrustStore::in_folder(state.path());
        for text in ["", "..", "../../x", &"A".repeat(64), &"a".repeat(63)] {
            assert!(store.accept(text, "").is_err(), "{text}");
        }
        assert!(std::fs::read_dir(state.path()).expect("the folder").next().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_trust() {
        let state = tempfile::tempdir().expect("a folder");
        let store = TrustStore::in_folder(state.path());
        let digest = "c".repeat(64);
        store.accept(&"d".repeat(64), "").expect("kept");
        let link = state.path().join("trusted-definitions").join(&digest);
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
        assert!(!store.holds(&digest));
        assert!(store.accept(&digest, "").is_err());
        let second = link.with_file_name("e".repeat(64));
        std::fs::hard_link(link.with_file_name("d".repeat(64)), second).expect("a link");
        assert!(!store.holds(&"e".repeat(64)));
    }
}

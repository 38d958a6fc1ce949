//! Giving an archive away, proving that it is whole, taking somebody's in.
//!
//! A hand-off is a copy of an archive, one plain file, with a manifest that says what it holds. It
//! decides nothing about the network, and knows no SQL.

pub(crate) mod claims;
pub mod envelope;
pub(crate) mod give;
pub(crate) mod invariants;
pub(crate) mod manifest;
pub(crate) mod marks;
pub(crate) mod snapshot;
pub(crate) mod traces;
pub(crate) mod verify;

use std::path::{Path, PathBuf};

pub use claims::VerifyDifference;
pub use give::{Gave, Giving, give, summary};
pub use manifest::{Covers, Manifest, ManifestRun, ManifestStream, PartMade, covers};
pub use marks::Altered;
pub use snapshot::{Draft, GivenNote, Naming, Part, note_given};
pub use traces::{Copied, MarksOf, Traces};
pub use verify::{GivenOpening, Opened, Room, Verified, open_given, verify};

/// Files beside an archive that belong to it while a program has it open.
pub(crate) fn companions(path: &Path) -> impl Iterator<Item = PathBuf> {
    ["-wal", "-shm", "-journal"].into_iter().filter_map(move |ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        let beside = PathBuf::from(name);
        beside.symlink_metadata().is_ok().then_some(beside)
    })
}

//! Whether somebody has queued a request while a watch rests.
//!
//! The archive is closed between two rounds, so that a stick can be pulled out. Sizes and times of
//! its files are looked at, and the archive is opened only when they have changed.

use std::path::{Path, PathBuf};

use crate::host::files::{FileStamp, stamp_of};
use crate::outbox::QueueMark;
use crate::store::Reader;
use crate::store::place::beside;

/// Looks at the outbox of an archive that others may write to.
pub struct QueueWatch {
    archive: PathBuf,
    files: [Option<FileStamp>; 2],
    mark: Option<QueueMark>,
}

impl QueueWatch {
    /// Remembers how the outbox stands. An archive that cannot be read is looked at again later.
    pub fn begin(archive: &Path) -> Self {
        let files = stamps(archive);
        Self { archive: archive.to_owned(), files, mark: mark_of(archive) }
    }

    /// Whether something has been queued since the last look, or is to be sent again.
    pub fn has_more(&mut self) -> bool {
        let files = stamps(&self.archive);
        if files == self.files {
            return false;
        }
        // Somebody may be writing just now: then it is looked at again.
        let Some(mark) = mark_of(&self.archive) else { return false };
        // Stamps from before the look: what is written after it changes them.
        self.files = files;
        let changed = self.mark != Some(mark);
        self.mark = Some(mark);
        changed && mark.queued > 0
    }
}

/// The archive and its log.
fn stamps(archive: &Path) -> [Option<FileStamp>; 2] {
    [stamp_of(archive), stamp_of(&beside(archive, "-wal"))]
}

fn mark_of(archive: &Path) -> Option<QueueMark> {
    Reader::open(archive).and_then(|reader| reader.queue_mark()).ok()
}

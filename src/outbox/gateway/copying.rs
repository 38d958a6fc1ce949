//! Copying the archive's log into its file beside the lane, which would else stop for it now and
//! then: tens of milliseconds for whatever thousands of pages have gathered.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::model::Error;
use crate::outbox::Outbox;

/// How often somebody looks how long the log is, milliseconds: a longer pause lets the log grow
/// further, a shorter one costs more looks.
const LOOK_MS: u64 = 100;
/// Pages in the log that are worth a copy: 4 MiB, an eighth of what makes a writer copy it itself.
const PAGES_MIN: u64 = 1024;

/// Copies until it is dropped.
pub(crate) struct Copying {
    /// Whether most of the log is copied, so that the rest, what was written meanwhile, is little:
    /// with that the log begins anew. Only who writes knows a moment between two writes.
    nearly: Arc<AtomicBool>,
    _end: SyncSender<()>,
}

impl Copying {
    /// Copies on a thread and a connection of its own.
    pub(crate) fn start(path: &Path) -> Result<Self, Error> {
        let nearly = Arc::new(AtomicBool::new(false));
        let (end, ended) = sync_channel(0);
        if let Some(outbox) = Outbox::open_beside(path)? {
            let said = Arc::clone(&nearly);
            let thread = std::thread::Builder::new().name("log".to_owned());
            let started = thread.spawn(move || copy(&outbox, &said, &ended));
            started.map_err(|error| Error::io(path, "start a copier of", &error))?;
        }
        Ok(Self { nearly, _end: end })
    }

    /// Whether the rest of the log is to be copied now; said once.
    pub(crate) fn is_nearly_done(&self) -> bool {
        self.nearly.swap(false, Ordering::Relaxed)
    }
}

fn copy(outbox: &Outbox, nearly: &AtomicBool, ended: &Receiver<()>) {
    let look = Duration::from_millis(LOOK_MS);
    while ended.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
        let pages = outbox.log_pages().unwrap_or(0);
        if pages < PAGES_MIN {
            continue;
        }
        match outbox.copy_log() {
            Ok(()) => nearly.store(true, Ordering::Relaxed),
            // The log only grows, and whoever writes next says what is wrong.
            Err(error) => tracing::warn!(error = error.message, "the log was not copied"),
        }
    }
}

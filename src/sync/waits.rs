//! Waits that a source imposes: kept for later runs, and heeded from earlier ones.

use tokio::sync::mpsc;

use crate::definition::Source;
use crate::http::{KeepingWait, WaitKeeper};
use crate::model::Wait;

use super::event::LaneEvent;

/// Has waits written down by the writing lane.
pub struct Waits {
    /// To the writing lane.
    pub sender: mpsc::Sender<LaneEvent>,
}

impl WaitKeeper for Waits {
    fn keep<'a>(&'a self, source: &'a Source, wait: Wait) -> KeepingWait<'a> {
        let source = source.name.clone();
        Box::pin(async move {
            // If the writing lane has ended, its error is the one that is reported.
            let _ = self.sender.send(LaneEvent::Wait { source, wait }).await;
        })
    }
}

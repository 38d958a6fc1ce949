//! Waits that a source imposes: kept for later runs, and heeded from earlier ones.

use tokio::sync::mpsc;

use crate::archive::WaitRow;
use crate::definition::Source;
use crate::model::Instant;
use crate::pull::{Noting, WaitKeeper, waiting};

use super::event::Event;

/// Until when a wait of an earlier run holds. Where the clock has been set back since it was noted,
/// as much of it is left as there was.
pub fn wait_until(wait: &WaitRow, now: Instant) -> Option<Instant> {
    let until = crate::model::instant_from_text(&wait.not_before)?;
    let set_at = wait.set_at.as_deref().and_then(crate::model::instant_from_text);
    match set_at.filter(|set_at| *set_at > now) {
        Some(set_at) => Some(now + until.signed_duration_since(set_at)),
        None => Some(until),
    }
}

/// Has waits written down by the writing lane.
pub struct Waits {
    /// To the writing lane.
    pub sender: mpsc::Sender<Event>,
}

impl WaitKeeper for Waits {
    fn keep<'a>(&'a self, source: &'a Source, until: Instant) -> Noting<'a> {
        let (why, source) = (waiting(source, until).message, source.name.clone());
        Box::pin(async move {
            // If the writing lane has ended, its error is the one that is reported.
            let _ = self.sender.send(Event::Wait { source, until, why }).await;
        })
    }
}

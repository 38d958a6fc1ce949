//! Noting in the senders' records how many attempts have begun, beside the lane.
//!
//! An attempt must not be on the wire before its sender's record counts it, so requests wait for
//! that here, and not the lane: it is at the next transaction meanwhile.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::watch;

use crate::http::{NetError, NetKind};

use super::super::send::{AttemptOutcome, DueAttempts};
use super::super::sender::Senders;

/// Counts of senders, and who hears whether they are on the disk.
type Note = (BTreeMap<String, u64>, watch::Sender<Option<Result<(), String>>>);

/// Where notes are handed in.
pub(crate) struct NoteSender(Sender<Note>);

/// Where they come from.
pub(crate) struct NoteReceiver(Receiver<Note>);

/// The two ends of a channel of notes.
pub(crate) fn noting() -> (NoteSender, NoteReceiver) {
    let (sender, receiver) = channel();
    (NoteSender(sender), NoteReceiver(receiver))
}

impl NoteSender {
    /// Has requests go once these counts are on the disk.
    pub(crate) fn after(
        &self,
        begun: BTreeMap<String, u64>,
        departures: DueAttempts,
    ) -> impl Iterator<Item = impl Future<Output = AttemptOutcome> + Send + 'static> {
        let noted = (!begun.is_empty()).then(|| {
            let (teller, noted) = watch::channel(None);
            // Where nobody notes any more the teller is dropped, and nothing goes.
            let _ = self.0.send((begun, teller));
            noted
        });
        departures.into_iter().map(move |(entry, purpose, departure)| {
            let noted = noted.clone();
            async move {
                let why = match noted {
                    None => None,
                    Some(mut noted) => match noted.wait_for(Option::is_some).await {
                        Ok(said) => said.clone().and_then(Result::err),
                        Err(_) => Some("the gateway is ending".to_owned()),
                    },
                };
                match why {
                    None => departure.await,
                    // It never was on the wire.
                    Some(detail) => {
                        let error = NetError { kind: NetKind::Forbidden, detail };
                        (entry, purpose, Err(error))
                    }
                }
            }
        })
    }
}

impl NoteReceiver {
    /// Notes what comes until nobody hands in any more.
    pub(crate) fn keep(self, senders: &Senders<'_>) {
        while let Ok(first) = self.0.recv() {
            // The count of a later note holds those of all before it.
            let notes: Vec<Note> = std::iter::once(first).chain(self.0.try_iter()).collect();
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            for (sender, count) in notes.iter().flat_map(|(begun, _)| begun) {
                let most = counts.entry(sender).or_default();
                *most = (*most).max(*count);
            }
            let kept = counts.iter().try_for_each(|(sender, count)| senders.count(sender, *count));
            let said = kept.map_err(|error| error.message);
            for (_, teller) in &notes {
                teller.send_replace(Some(said.clone()));
            }
        }
    }
}

//! Requests that are claimed and not gone yet, and entries that come up one by one.
//!
//! Between the claim of an attempt and its first byte on the wire stands the disk: the archive's
//! transaction, then the station's record. Several attempts may share both.

use crate::archive::{ArchiveError, OutboxBrief};
use crate::pull::{NetError, Response};

use super::plan::{Planned, plan};
use super::send::{Departure, Errand, Sender};

impl Sender<'_> {
    /// Has a request go with the next departures.
    pub(super) fn go(
        &mut self,
        entry: i64,
        errand: Errand,
        carried: impl Future<Output = Result<Response, NetError>> + Send + 'static,
    ) {
        let departure = Box::pin(async move { (entry, errand, carried.await) });
        self.departing.push((entry, departure));
    }

    /// How many requests are claimed and not gone.
    pub(super) fn departing(&self) -> usize {
        self.departing.len()
    }

    /// Takes back what was claimed in a transaction that failed.
    pub(super) fn stay(&mut self) {
        for (entry, _) in self.departing.drain(..) {
            self.looking.remove(&entry);
        }
        self.begun.clear();
    }

    /// The requests whose claims are on the disk, once their stations' records say so too.
    pub(super) fn departures(&mut self) -> Result<Vec<Departure>, ArchiveError> {
        for (station, sends) in std::mem::take(&mut self.begun) {
            self.stations.count(&station, sends)?;
        }
        Ok(self.departing.drain(..).map(|(_, departure)| departure).collect())
    }

    /// Takes an entry up that was queued since the last look.
    pub(super) fn take_up(&mut self, brief: OutboxBrief) {
        match self.entries.binary_search_by_key(&brief.entry, |have| have.entry) {
            Ok(at) => self.entries[at] = brief,
            Err(at) => self.entries.insert(at, brief),
        }
    }

    /// Leaves an entry alone that holds up no other one.
    pub(super) fn forget(&mut self, entry: i64) {
        if let Ok(at) = self.entries.binary_search_by_key(&entry, |have| have.entry) {
            self.entries.remove(at);
        }
        self.tries.remove(&entry);
        self.rested.remove(&entry);
        self.attempts.remove(&entry);
    }

    /// What is done with one entry that is in no lane and waits for no other.
    pub(super) fn plan_one(&self, brief: &OutboxBrief) -> Option<Planned> {
        plan(std::slice::from_ref(brief), &self.scene()).pop()
    }
}

//! Requests that are claimed and not gone yet, and entries that come up one by one.
//!
//! Between the claim of an attempt and its first byte on the wire stands the disk: the archive's
//! transaction, then the sender's record. Several attempts may share both.

use std::collections::BTreeMap;

use crate::definition::Source;
use crate::http::{HttpResponse, NetError};
use crate::model::{EntryState, Error, Timestamp};
use crate::outbox::{AttemptClaim, OutboxBrief, OutboxEntry};
use crate::store::Tx;

use super::fill::filled;
use super::plan::{Planned, plan};
use super::send::{AttemptPurpose, DueAttempts, ReadyAttempt, SendRound};

impl SendRound<'_> {
    /// The entry with every placeholder filled, or why that cannot be.
    pub(crate) fn fill(&self, entry: &OutboxEntry) -> Result<Result<OutboxEntry, String>, Error> {
        let Some((after, _)) = entry.brief.after.filter(|_| entry.templated) else {
            return Ok(Ok(entry.clone()));
        };
        let Some(before) = self.outbox.outbox_entry(after)? else {
            return Ok(Err(format!("entry {after} is gone")));
        };
        Ok(filled(entry, &before))
    }

    /// Puts the attempt on the disk.
    pub(crate) fn claim(
        &mut self,
        within: Option<&Tx<'_>>,
        entry: &OutboxEntry,
        filled: &OutboxEntry,
        source: &Source,
    ) -> Result<bool, Error> {
        let now = self.host.clock.now();
        let lifetime = chrono::TimeDelta::milliseconds(source.idempotency.lifetime_ms);
        let until = |first: Timestamp| first.checked_add_signed(lifetime).unwrap_or(first);
        // Without a doubt nothing has come of earlier attempts, and a new lifetime may begin.
        let first = entry.brief.first_sent_at.filter(|at| entry.brief.in_doubt || now < until(*at));
        let first = first.unwrap_or(now);
        let claim = AttemptClaim {
            entry: entry.brief.entry,
            sender: &entry.brief.owner,
            filled: entry.templated.then_some(filled),
            first_sent_at: first,
            valid_until: until(first),
            now,
        };
        let claimed = self.write(within, |tx| tx.claim(&claim))?;
        let Some((_, sends)) = claimed else { return Ok(false) };
        self.begun.insert(entry.brief.owner.clone(), sends);
        if let Some(brief) = self.brief(entry.brief.entry) {
            brief.state = EntryState::Sending;
            brief.first_sent_at = Some(first);
            brief.last_seen_at = brief.last_seen_at.max(Some(now));
        }
        self.report.attempts += 1;
        Ok(true)
    }

    /// Has a request go with the next departures.
    pub(crate) fn go(
        &mut self,
        entry: i64,
        purpose: AttemptPurpose,
        carried: impl Future<Output = Result<HttpResponse, NetError>> + Send + 'static,
    ) {
        let departure = Box::pin(async move { (entry, purpose, carried.await) });
        self.due.push((entry, purpose, departure));
    }

    /// How many requests are claimed and not gone.
    pub(crate) fn due(&self) -> usize {
        self.due.len()
    }

    /// Takes back what was claimed in a transaction that failed.
    pub(crate) fn stay(&mut self) {
        for (entry, _, _) in self.due.drain(..) {
            self.looking.remove(&entry);
        }
        self.begun.clear();
    }

    /// The requests whose claims are on the disk, once their senders' records say so too.
    pub(crate) fn departures(&mut self) -> Result<Vec<ReadyAttempt>, Error> {
        let (begun, due) = self.claimed();
        for (sender, sends) in begun {
            self.senders.count(&sender, sends)?;
        }
        Ok(due.into_iter().map(|(_, _, departure)| departure).collect())
    }

    /// The same before any record says so: what has to be in there first.
    pub(crate) fn claimed(&mut self) -> (BTreeMap<String, u64>, DueAttempts) {
        (std::mem::take(&mut self.begun), std::mem::take(&mut self.due))
    }

    /// Takes an entry up that was queued since the last look.
    pub(crate) fn take_up(&mut self, brief: OutboxBrief) {
        match self.entries.binary_search_by_key(&brief.entry, |have| have.entry) {
            Ok(at) => self.entries[at] = brief,
            Err(at) => self.entries.insert(at, brief),
        }
    }

    /// Leaves an entry alone that holds up no other one.
    pub(crate) fn forget(&mut self, entry: i64) {
        if let Ok(at) = self.entries.binary_search_by_key(&entry, |have| have.entry) {
            self.entries.remove(at);
        }
        self.tries.remove(&entry);
        self.rested.remove(&entry);
        self.attempts.remove(&entry);
    }

    /// What is done with one entry that is in no lane and waits for no other.
    pub(crate) fn plan_one(&self, brief: &OutboxBrief) -> Option<Planned> {
        plan(std::slice::from_ref(brief), &self.scene()).pop()
    }
}

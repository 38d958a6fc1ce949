//! The shell that sends: claims an entry, lets it go, writes down what came of it.
//!
//! Each attempt is on the disk before its first byte is on the wire, in the archive and then in its
//! sender's record; the outcome is one transaction more. What it means is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::definition::{Definition, Source};
use crate::host::Host;
use crate::http::{
    HttpResponse, Method, NetError, SecretValues, SourceError, Transport, WriteClient, WriteRequest,
};
use crate::model::{EntryState, Error, Timestamp};
use crate::outbox::{Outbox, OutboxBrief, OutboxEntry, Settlement};
use crate::store::Tx;

use super::decide::{Reply, ResendRule, judge, settle};
use super::plan::{Doing, Planned, SendScene, WaitReason, plan};
use super::report::{SendReport, Sent, is_over};
use super::sender::{Senders, Taken};
use super::wire::wire_of;

/// Requests on the wire at once, so that a lane whose API is slow does not hold up the others.
const SENDS_AT_ONCE: usize = 4;
/// How long a sender that is told to end waits for the answers that are on their way, milliseconds:
/// an entry that is cut off here is in doubt, and the whole command has two seconds to end.
const STOP_GRACE_MS: u64 = 900;

/// What a sender works with.
pub struct SendParts<'a> {
    pub definition: &'a Definition,
    /// Clock, jitter, stop, state folder.
    pub host: &'a Host,
    /// The way to each source.
    pub transports: BTreeMap<String, Arc<dyn Transport>>,
    /// The values of the definition's secrets.
    pub secrets: SecretValues,
}

/// Which entries a round sends, and what others are told meanwhile.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// These entries; all that may go when empty.
    pub entries: Vec<i64>,
    /// What another process is told about this one.
    pub note: String,
}

/// Sends what may be sent now. An error of a source is in the report; an error is error with the
/// archive itself.
pub fn send(
    outbox: &Outbox,
    parts: SendParts<'_>,
    options: &SendOptions,
) -> Result<SendReport, Error> {
    let senders = Senders::of(outbox.path(), parts.host)?;
    let candidates = senders.homes(|| outbox.outbox_senders())?;
    let Taken { locks, senders: taken, held_by } = senders.take(candidates, &options.note)?;
    let report = SendReport { held_by, ..SendReport::default() };
    // Before the locks were had, another process may have sent from a copy.
    let home = senders.homes(|| outbox.outbox_senders())?;
    let home: BTreeSet<String> = home.intersection(&taken).cloned().collect();
    if report.held_by.is_some() && home.is_empty() {
        return Ok(report);
    }
    let mut sender = SendRound::new(outbox, parts, senders, home);
    sender.only = options.entries.iter().copied().collect();
    sender.report = report;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the operating system gives an event queue");
    let report = runtime.block_on(sender.run());
    drop(locks);
    report
}

/// What is on the wire.
#[derive(Clone, Copy)]
pub(crate) enum AttemptPurpose {
    Write,
    Look,
}

/// What came back: the entry, what it was about, the answer.
pub(crate) type AttemptOutcome = (i64, AttemptPurpose, Result<HttpResponse, NetError>);

/// A request that is ready to go on the wire, once what it needs is on the disk.
pub(crate) type ReadyAttempt = Pin<Box<dyn Future<Output = AttemptOutcome> + Send>>;

/// Those that wait for the disk: the entry, what it is about, the request.
pub(crate) type DueAttempts = Vec<(i64, AttemptPurpose, ReadyAttempt)>;

/// One round of sending.
pub(crate) struct SendRound<'a> {
    pub(crate) outbox: &'a Outbox,
    pub(crate) definition: &'a Definition,
    pub(crate) host: &'a Host,
    pub(crate) client: WriteClient,
    pub(crate) senders: Senders<'a>,
    pub(crate) home: BTreeSet<String>,
    pub(crate) only: HashSet<i64>,
    pub(crate) entries: Vec<OutboxBrief>,
    pub(crate) waits: BTreeMap<String, Timestamp>,
    /// Entries whose pause this run has sat out, whatever the wall clock says.
    pub(crate) rested: HashSet<i64>,
    /// Entries whose source's rate keeps them for another run.
    pub(crate) left: HashSet<i64>,
    /// Attempts of this run, and of all runs.
    pub(crate) tries: HashMap<i64, u32>,
    pub(crate) attempts: HashMap<i64, u32>,
    /// Whether there is no end to the tries of an entry, as in a run that itself has none.
    pub(crate) endless: bool,
    /// Entries whose lookup is on the wire, which no archive says.
    pub(crate) looking: HashSet<i64>,
    /// Requests whose attempts are claimed.
    pub(crate) due: DueAttempts,
    /// How many attempts each sender has begun by those.
    pub(crate) begun: BTreeMap<String, u64>,
    /// Entries that were told about since somebody last looked.
    pub(crate) changed: Vec<i64>,
    /// Sources that are not asked any more in this run.
    pub(crate) errors: BTreeMap<String, SourceError>,
    pub(crate) report: SendReport,
}

impl<'a> SendRound<'a> {
    /// A sender that has looked at nothing yet, for the senders whose locks are held.
    pub(crate) fn new(
        outbox: &'a Outbox,
        parts: SendParts<'a>,
        senders: Senders<'a>,
        home: BTreeSet<String>,
    ) -> Self {
        Self {
            outbox,
            definition: parts.definition,
            host: parts.host,
            client: WriteClient::new(
                parts.host.clone(),
                parts.definition,
                parts.transports,
                parts.secrets,
            ),
            senders,
            home,
            only: HashSet::new(),
            entries: Vec::new(),
            waits: BTreeMap::new(),
            rested: HashSet::new(),
            left: HashSet::new(),
            tries: HashMap::new(),
            attempts: HashMap::new(),
            endless: false,
            looking: HashSet::new(),
            due: Vec::new(),
            begun: BTreeMap::new(),
            changed: Vec::new(),
            errors: BTreeMap::new(),
            report: SendReport::default(),
        }
    }
}

impl SendRound<'_> {
    async fn run(mut self) -> Result<SendReport, Error> {
        self.load()?;
        self.recover()?;
        let mut wire: JoinSet<AttemptOutcome> = JoinSet::new();
        let mut ready: VecDeque<Planned> = VecDeque::new();
        loop {
            if self.host.stop.cause().is_some() {
                break;
            }
            if ready.is_empty() {
                ready = self.next_ready(None)?;
            }
            while wire.len() < SENDS_AT_ONCE
                && let Some(planned) = self.take_ready(&mut ready)
            {
                self.prepare(&planned.source).await;
                self.start(None, &planned)?;
                self.departures()?.into_iter().for_each(|departure| drop(wire.spawn(departure)));
            }
            if wire.is_empty() && !ready.is_empty() {
                self.sit_out_rate(&mut ready).await;
                continue;
            }
            if wire.is_empty() && ready.is_empty() {
                self.load()?;
                ready = self.next_ready(None)?;
                if ready.is_empty() && !self.pause().await? {
                    break;
                }
                continue;
            }
            let landed = tokio::select! {
                biased;
                _ = self.host.stop.requested() => break,
                landed = wire.join_next() => landed,
            };
            if let Some(landed) = landed {
                self.record_outcome(
                    None,
                    &landed.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())),
                )?;
            }
        }
        self.end(wire).await?;
        self.load()?;
        self.report.stopped = self.host.stop.cause();
        self.report.waiting = self.plan();
        self.report.errors = self.errors;
        Ok(self.report)
    }

    /// Gets the credentials that requests to a source need, before an attempt is claimed. A source
    /// that gives none is asked nothing in this round.
    pub(crate) async fn prepare(&mut self, name: &str) {
        let Some(source) = self.definition.sources.get(name) else { return };
        if !self.errors.contains_key(name)
            && let Err(error) = self.client.prepare(source).await
        {
            self.errors.insert(name.to_owned(), error);
        }
    }

    /// Writes in the transaction in hand, or in one of its own.
    pub(crate) fn write<T>(
        &self,
        within: Option<&Tx<'_>>,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match within {
            Some(tx) => work(tx),
            None => self.outbox.transaction(work),
        }
    }

    pub(crate) fn load(&mut self) -> Result<(), Error> {
        self.entries = self.outbox.outbox_open()?;
        let now = self.host.clock.now();
        self.waits = self.outbox.take_waits(now)?;
        for brief in &mut self.entries {
            if self.rested.contains(&brief.entry) {
                brief.next_at = None;
            }
            if self.looking.contains(&brief.entry) {
                brief.state = EntryState::Sending;
            }
        }
        Ok(())
    }

    pub(crate) fn scene(&self) -> SendScene<'_> {
        SendScene {
            sources: &self.definition.sources,
            home: &self.home,
            waits: &self.waits,
            now: self.host.clock.now(),
        }
    }

    pub(crate) fn plan(&self) -> Vec<Planned> {
        plan(&self.entries, &self.scene())
    }

    pub(crate) fn brief(&mut self, entry: i64) -> Option<&mut OutboxBrief> {
        let at = self.entries.binary_search_by_key(&entry, |brief| brief.entry).ok()?;
        self.entries.get_mut(at)
    }

    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.definition.sources.get(name)
    }

    /// What a sender that died left on the wire. Its lock is ours, so nobody waits for the answer.
    pub(crate) fn recover(&mut self) -> Result<(), Error> {
        let left = |brief: &&OutboxBrief| {
            brief.state == EntryState::Sending && self.home.contains(&brief.owner)
        };
        let left: Vec<OutboxBrief> = self.entries.iter().filter(left).cloned().collect();
        for brief in left {
            let Some(source) = self.source(&brief.source) else { continue };
            let verdict = judge(&Reply::Interrupted, source);
            let mut end = settle(&brief, verdict, &source.idempotency, 0, self.host.clock.now());
            end.note = Some("its sender ended before there was an answer".to_owned());
            self.put(None, brief.entry, &end)?;
        }
        Ok(())
    }

    /// Entries that go now. Those whose time is over are marked on the way.
    pub(crate) fn next_ready(
        &mut self,
        within: Option<&Tx<'_>>,
    ) -> Result<VecDeque<Planned>, Error> {
        let mut ready = VecDeque::new();
        for planned in self.plan() {
            if !self.only.is_empty() && !self.only.contains(&planned.entry) {
                continue;
            }
            match planned.doing {
                Doing::Expire => self.close(within, &planned, EntryState::Expired, None)?,
                Doing::GiveUp(why) => {
                    let note = match why {
                        ResendRule::NoKey => "its source honours no keys",
                        ResendRule::ClockBack => "the clock was set back since its last attempt",
                        _ => "its source may have forgotten its key",
                    };
                    self.close(within, &planned, EntryState::Unknown, Some(note))?;
                }
                Doing::Send | Doing::Look => {
                    let most = self.source(&planned.source).map_or(0, |s| s.retry.attempts);
                    let tries = self.tries.get(&planned.entry).copied().unwrap_or(0);
                    let open = !self.errors.contains_key(&planned.source);
                    let goes = self.endless || tries < most;
                    if open && goes && !self.left.contains(&planned.entry) {
                        ready.push_back(planned);
                    }
                }
                Doing::Wait(_) | Doing::Person(_) => {}
            }
        }
        Ok(ready)
    }

    /// The first entry whose source may be asked now by its rate.
    pub(crate) fn take_ready(&self, ready: &mut VecDeque<Planned>) -> Option<Planned> {
        let at = ready.iter().position(|planned| self.turn_in(planned).is_zero())?;
        ready.remove(at)
    }

    pub(crate) fn turn_in(&self, planned: &Planned) -> Duration {
        self.source(&planned.source).map_or(Duration::ZERO, |source| self.client.turn_in(source))
    }

    /// Waits for the source whose turn is next; what would wait too long is left to another run.
    async fn sit_out_rate(&mut self, ready: &mut VecDeque<Planned>) {
        for planned in std::mem::take(ready) {
            let most = self.source(&planned.source).map_or(0, |source| source.retry.wait_ms_max);
            if self.turn_in(&planned).as_millis() <= most.unsigned_abs().into() {
                ready.push_back(planned);
            } else {
                self.left.insert(planned.entry);
            }
        }
        let Some(wait) = ready.iter().map(|planned| self.turn_in(planned)).min() else { return };
        tokio::select! {
            biased;
            _ = self.host.stop.requested() => {}
            () = self.host.clock.pause(wait) => {}
        }
    }

    fn close(
        &mut self,
        within: Option<&Tx<'_>>,
        planned: &Planned,
        state: EntryState,
        note: Option<&str>,
    ) -> Result<(), Error> {
        let Some(brief) = self.brief(planned.entry) else { return Ok(()) };
        let (in_doubt, from) = (brief.in_doubt, brief.state);
        let note = match (note, &brief.note) {
            (Some(note), Some(last)) => Some(format!("{last}; {note}")),
            (note, last) => note.map(str::to_owned).or_else(|| last.clone()),
        };
        let now = self.host.clock.now();
        let end = Settlement { state, in_doubt, note, ..Settlement::nothing(now) };
        if self.write(within, |tx| tx.change(planned.entry, from, &end))? {
            self.told(planned.entry, &end);
        }
        Ok(())
    }

    /// Notes in memory what was written, and in the report what has come to its end.
    pub(crate) fn told(&mut self, entry: i64, end: &Settlement) {
        let Some(brief) = self.brief(entry) else { return };
        (brief.state, brief.in_doubt, brief.next_at) = (end.state, end.in_doubt, end.next_at);
        brief.note.clone_from(&end.note);
        brief.last_seen_at = brief.last_seen_at.max(Some(end.now));
        if end.afresh {
            (brief.first_sent_at, brief.last_seen_at) = (None, None);
        }
        let brief = brief.clone();
        for (after, state) in self.entries.iter_mut().filter_map(|other| other.after.as_mut()) {
            if *after == entry {
                *state = Some(end.state);
            }
        }
        tracing::info!(
            entry,
            source = brief.source,
            key = brief.key,
            state = end.state.as_str(),
            status = end.status,
            note = end.note,
            "outbox"
        );
        self.changed.push(entry);
        if is_over(end.state) {
            self.report.sent.push(Sent::of(&brief, end));
        }
    }

    pub(crate) fn put(
        &mut self,
        within: Option<&Tx<'_>>,
        entry: i64,
        end: &Settlement,
    ) -> Result<(), Error> {
        if self.write(within, |tx| tx.settle(entry, end))? {
            self.told(entry, end);
        }
        Ok(())
    }

    /// Claims an attempt and makes its request; [`SendRound::departures`] lets it go.
    pub(crate) fn start(
        &mut self,
        within: Option<&Tx<'_>>,
        planned: &Planned,
    ) -> Result<(), Error> {
        // Another one of its source may have found that nobody is there.
        if self.errors.contains_key(&planned.source) {
            return Ok(());
        }
        match self.outbox.outbox_entry(planned.entry)? {
            Some(entry) => self.start_entry(within, planned, &entry),
            None => Ok(()),
        }
    }

    /// The same for an entry that was read already.
    pub(crate) fn start_entry(
        &mut self,
        within: Option<&Tx<'_>>,
        planned: &Planned,
        entry: &OutboxEntry,
    ) -> Result<(), Error> {
        // It may have asked for a pause since this was planned.
        let now = self.host.clock.now();
        if self.waits.get(&planned.source).is_some_and(|until| *until > now) {
            return Ok(());
        }
        let Some(source) = self.source(&planned.source).cloned() else { return Ok(()) };
        *self.tries.entry(planned.entry).or_default() += 1;
        self.attempts.insert(planned.entry, entry.attempts.saturating_add(1));
        if planned.doing == Doing::Look {
            return self.look(entry, &source);
        }
        if entry.brief.state != EntryState::Queued {
            return Ok(());
        }
        let filled = match self.fill(entry)? {
            Ok(filled) => filled,
            Err(message) => {
                let note = format!("it cannot be filled: {message}");
                return self.close(within, planned, EntryState::Rejected, Some(&note));
            }
        };
        let wired = wire_of(&filled);
        let write = WriteRequest {
            method: Method::from(wired.method),
            path: &wired.path,
            headers: &wired.headers,
            body: wired.body.as_deref(),
        };
        let request = match self.client.write(&source, &write) {
            Ok(request) => request,
            Err(error) => {
                self.errors.insert(source.name.clone(), error);
                return Ok(());
            }
        };
        if !self.claim(within, entry, &filled, &source)? {
            return Ok(());
        }
        self.client.take_turn(&source);
        let carried = self.client.carry(&source, request);
        self.go(planned.entry, AttemptPurpose::Write, carried);
        Ok(())
    }

    /// Sits out the shortest pause that a run may sit out; false when there is none.
    async fn pause(&mut self) -> Result<bool, Error> {
        let now = self.host.clock.now();
        let mut shortest: Option<(Duration, i64)> = None;
        for planned in self.plan() {
            let Doing::Wait(WaitReason::NextAttempt(at) | WaitReason::Source(at)) = planned.doing
            else {
                continue;
            };
            let Some(source) = self.source(&planned.source) else { continue };
            let tries = self.tries.get(&planned.entry).copied().unwrap_or(0);
            let wait_ms = (at - now).num_milliseconds();
            let open = !self.errors.contains_key(&planned.source);
            // What an earlier run left to wait is due in its time; only one's own is sat out.
            if !open || tries == 0 || tries >= source.retry.attempts {
                continue;
            }
            let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
            if wait_ms <= source.retry.wait_ms_max && shortest.is_none_or(|(have, _)| wait < have) {
                shortest = Some((wait, planned.entry));
            }
        }
        let Some((wait, entry)) = shortest else { return Ok(false) };
        tokio::select! {
            biased;
            _ = self.host.stop.requested() => return Ok(false),
            () = self.host.clock.pause(wait) => {}
        }
        self.rested.insert(entry);
        Ok(true)
    }

    /// Lets what is on the wire land, for a while.
    pub(crate) async fn end(&mut self, mut wire: JoinSet<AttemptOutcome>) -> Result<(), Error> {
        let grace = self.host.clock.pause(Duration::from_millis(STOP_GRACE_MS));
        tokio::pin!(grace);
        loop {
            let landed = tokio::select! {
                biased;
                landed = wire.join_next() => landed,
                () = &mut grace => None,
            };
            match landed {
                Some(Ok(landed)) => self.record_outcome(None, &landed)?,
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => break,
            }
        }
        drop(wire);
        self.recover()
    }
}

//! The writing lane: one thread that owns the archive's connection and the right to send.
//!
//! It takes what has gathered, requests that are new and answers that have landed, and makes it
//! one transaction: the price of a durable commit is shared by all that wait for it. Only then
//! does anything go on the wire, and only then is anybody told. What is decided about an entry is
//! decided by the outbox's own sender; this is one more way to drive it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::model::{EntryState, Error, ErrorKind, Timestamp};
use crate::outbox::{Added, NewEntry, OutboxBrief, OutboxEntry};
use crate::store::Tx;

use super::super::plan::{Doing, Planned};
use super::super::report::is_over;
use super::super::send::{AttemptOutcome, SendRound};
use super::answer::How;
use super::copying::Copying;
use super::noting::NoteSender;

/// Requests on the wire at once: one for each connection of a busy program.
const SENDS_AT_ONCE: usize = 64;
/// Requests and answers that one transaction takes: more would make the first of them wait.
const BATCH_MAX: usize = 256;
/// How often the lane looks for what other processes have queued and whose time has come,
/// milliseconds: a person who queues an entry sees it go at once, and a look costs one statement.
const LOOK_MS: u64 = 1_000;
/// How long a source in error is left alone, milliseconds: at first, and at most after more and
/// more errors.
const REST_MS: u64 = 1_000;
const REST_MS_MAX: u64 = 30_000;
/// How long the lane rests after the disk took nothing, milliseconds: a full disk is not tried for
/// each request, and one with room again is used soon.
const STORAGE_REST_MS: u64 = 1_000;

/// What a program hears of its entry.
#[derive(Clone, Debug)]
pub(crate) enum EntryNews {
    /// Nothing is on the disk yet.
    Waiting,
    /// It is on the disk, and something is still to come.
    Open { how: How, state: EntryState, why: Option<String> },
    /// Nothing more comes by itself at once.
    Over { how: How, entry: Arc<OutboxEntry> },
    /// The key belongs to another request.
    Different,
    /// The outbox is full.
    Full,
    /// It is not on the disk.
    Failed(String),
    /// There is no such entry.
    Gone,
}

/// What is asked of the lane.
pub(crate) enum Work {
    /// To keep a request.
    Keep(Box<NewEntry>),
    /// To tell about an entry that is there.
    Follow(i64),
}

/// Work, and who hears of it.
pub(crate) struct Order {
    pub work: Work,
    pub teller: watch::Sender<EntryNews>,
}

/// How long a source in error is left alone.
#[derive(Default)]
struct SourceRest {
    until: Duration,
    /// How often in a row.
    times: u32,
    /// Whether it is being left alone.
    lasts: bool,
}

/// The state of the gateway's sending lane.
pub(crate) struct Lane<'a> {
    pub(crate) sender: SendRound<'a>,
    /// Where requests are carried.
    pub(crate) handle: tokio::runtime::Handle,
    noting: NoteSender,
    copying: Copying,
    wire: JoinSet<AttemptOutcome>,
    /// What came back and is not on the disk.
    landed: Vec<AttemptOutcome>,
    ready: VecDeque<Planned>,
    listeners: HashMap<i64, Vec<(How, watch::Sender<EntryNews>)>>,
    /// Entries that rest after an attempt, and until when.
    resting: BinaryHeap<Reverse<(Duration, i64)>>,
    /// Sources that were in error last.
    failed: BTreeMap<String, SourceRest>,
    /// When the lane looks around next, and what it last saw.
    look_at: Duration,
    seen: Option<i64>,
    /// Whether something may have become due.
    due: bool,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(
        mut sender: SendRound<'a>,
        handle: tokio::runtime::Handle,
        noting: NoteSender,
    ) -> Result<Self, Error> {
        sender.endless = true;
        Ok(Self {
            copying: Copying::start(sender.outbox.path())?,
            sender,
            handle,
            noting,
            wire: JoinSet::new(),
            landed: Vec::new(),
            ready: VecDeque::new(),
            listeners: HashMap::new(),
            resting: BinaryHeap::new(),
            failed: BTreeMap::new(),
            look_at: Duration::ZERO,
            seen: None,
            due: true,
        })
    }

    /// Works until somebody asks for the end, or nobody can order anything any more.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Result<(), Error> {
        self.sender.load()?;
        self.sender.recover()?;
        loop {
            let mut batch = Vec::new();
            let host = self.sender.host;
            let idle = host.clock.pause(self.idle());
            tokio::select! {
                biased;
                _ = host.stop.requested() => break,
                Some(landed) = self.wire.join_next(), if !self.wire.is_empty() => {
                    self.landed.push(arrived(landed));
                }
                order = orders.recv() => match order {
                    Some(order) => batch.push(order),
                    None => break,
                },
                () = idle => {}
            }
            while self.landed.len() < BATCH_MAX
                && let Some(landed) = self.wire.try_join_next()
            {
                self.landed.push(arrived(landed));
            }
            while batch.len() < BATCH_MAX
                && let Ok(order) = orders.try_recv()
            {
                batch.push(order);
            }
            self.look()?;
            self.turn(batch).await?;
            if self.copying.is_nearly_done()
                && let Err(error) = self.sender.outbox.copy_log()
            {
                // The log only grows, and the next write says what is wrong.
                tracing::warn!(error = error.message, "the log was not copied");
            }
        }
        orders.close();
        self.end().await
    }

    fn now(&self) -> Duration {
        self.sender.host.clock.monotonic()
    }

    /// How long there is nothing to do.
    fn idle(&self) -> Duration {
        let free = self.free() > 0;
        if free && self.due && self.ready.is_empty() {
            return Duration::ZERO;
        }
        let rested = self.resting.peek().map(|Reverse((at, _))| *at);
        let next = rested.map_or(self.look_at, |at| at.min(self.look_at));
        let next = next.saturating_sub(self.now());
        // Only a source's rate leaves something ready while there is room on the wire.
        let turns = self.ready.iter().filter(|_| free).map(|planned| self.sender.turn_in(planned));
        turns.min().map_or(next, |turn| turn.min(next))
    }

    /// How many requests may still go on the wire.
    fn free(&self) -> usize {
        SENDS_AT_ONCE.saturating_sub(self.wire.len() + self.sender.due())
    }

    /// Sees what others have queued, and whose rest is over.
    fn look(&mut self) -> Result<(), Error> {
        let now = self.now();
        while let Some(Reverse((at, entry))) = self.resting.peek().copied()
            && at <= now
        {
            self.resting.pop();
            if let Some(brief) = self.sender.brief(entry) {
                brief.next_at = None;
                self.sender.rested.insert(entry);
                self.due = true;
            }
        }
        if now < self.look_at {
            return Ok(());
        }
        self.look_at = now + Duration::from_millis(LOOK_MS);
        for (source, rest) in &mut self.failed {
            if rest.lasts && rest.until <= now {
                rest.lasts = false;
                self.sender.errors.remove(source);
            }
        }
        for listeners in self.listeners.values_mut() {
            listeners.retain(|(_, teller)| !teller.is_closed());
        }
        self.listeners.retain(|_, listeners| !listeners.is_empty());
        let changes = self.sender.outbox.changes()?;
        if self.seen != Some(changes) {
            self.reload()?;
            self.seen = Some(changes);
        }
        self.due = true;
        Ok(())
    }

    /// Reads the open entries anew; what is only in memory about them stays.
    fn reload(&mut self) -> Result<(), Error> {
        self.sender.load()?;
        self.ready.clear();
        // Another process may have settled what is listened for.
        let open: Vec<i64> = self.listeners.keys().copied().collect();
        self.sender.changed.extend(open);
        self.tell()
    }

    /// The sources to which requests may go in this turn.
    fn sources_of(&self, orders: &[Order]) -> Vec<String> {
        let is_kept = |name: &str, order: &Order| match &order.work {
            Work::Keep(entry) => entry.source == name,
            Work::Follow(_) => false,
        };
        let may_go = |name: &&String| {
            orders.iter().any(|order| is_kept(name, order))
                || self.ready.iter().any(|planned| planned.source == **name)
                || self.sender.entries.iter().any(|brief| brief.source == **name)
        };
        self.sender.definition.sources.keys().filter(may_go).cloned().collect()
    }

    /// One transaction of what has gathered, and what follows from it.
    async fn turn(&mut self, orders: Vec<Order>) -> Result<(), Error> {
        let landed = std::mem::take(&mut self.landed);
        if orders.is_empty() && landed.is_empty() && !self.due && self.ready.is_empty() {
            return Ok(());
        }
        for source in self.sources_of(&orders) {
            self.sender.prepare(&source).await;
        }
        let outbox = self.sender.outbox;
        let mut heard = Vec::new();
        let done = outbox.transaction(|tx| {
            let record = |landed| self.sender.record_outcome(Some(tx), landed);
            landed.iter().try_for_each(record)?;
            heard = orders.iter().map(|order| self.take(tx, order)).collect::<Result<_, _>>()?;
            self.refill(tx)
        });
        match done {
            Ok(()) => {}
            Err(error) => return self.failed(error, orders, landed).await,
        }
        let (begun, departures) = self.sender.claimed();
        for departure in self.noting.after(begun, departures) {
            self.wire.spawn_on(departure, &self.handle);
        }
        for (order, (entry, progress)) in orders.into_iter().zip(heard) {
            if let (Some(entry), EntryNews::Open { how, .. }) = (entry, &progress) {
                self.listeners.entry(entry).or_default().push((*how, order.teller.clone()));
            }
            order.teller.send_replace(progress);
        }
        self.rest();
        self.hold_back();
        self.tell()
    }

    /// Takes back what is ready and may not go any more, and has its programs told.
    fn hold_back(&mut self) {
        let (now, sender) = (self.sender.host.clock.now(), &mut self.sender);
        let waits = sender.waits.iter().filter(|(_, until)| **until > now);
        let held: BTreeSet<&String> =
            waits.map(|(source, _)| source).chain(sender.errors.keys()).collect();
        if held.is_empty() {
            return;
        }
        let ready = std::mem::take(&mut self.ready).into_iter();
        let (back, ready): (VecDeque<Planned>, VecDeque<Planned>) =
            ready.partition(|planned| held.contains(&planned.source));
        self.ready = ready;
        sender.changed.extend(back.iter().map(|planned| planned.entry));
    }

    /// Nothing of the batch is on the disk. What landed is kept for the next one.
    async fn failed(
        &mut self,
        error: Error,
        orders: Vec<Order>,
        landed: Vec<AttemptOutcome>,
    ) -> Result<(), Error> {
        if !matches!(error.kind, ErrorKind::Storage | ErrorKind::Held) {
            return Err(error);
        }
        tracing::error!(error = error.message, "the outbox could not be written");
        for order in orders {
            order.teller.send_replace(EntryNews::Failed(error.message.clone()));
        }
        self.landed = landed;
        self.sender.stay();
        self.sender.changed.clear();
        self.sender.report.sent.clear();
        self.sender.load()?;
        self.ready.clear();
        let pause = Duration::from_millis(STORAGE_REST_MS);
        self.sender.host.clock.pause(pause).await;
        Ok(())
    }

    /// Keeps a request and, where nothing stands in its way, claims its first attempt.
    fn take(&mut self, tx: &Tx<'_>, order: &Order) -> Result<(Option<i64>, EntryNews), Error> {
        let new = match &order.work {
            Work::Follow(entry) => return self.follow(*entry),
            Work::Keep(new) => new,
        };
        let added = tx.add_all(std::slice::from_ref(&**new))?.pop();
        let number = match added {
            Some(Added::New(number)) => number,
            Some(Added::Same(entry)) => {
                return Ok((Some(entry.brief.entry), heard(How::Known, *entry)));
            }
            Some(Added::Different(_)) => return Ok((None, EntryNews::Different)),
            Some(Added::Full) | None => return Ok((None, EntryNews::Full)),
        };
        let Some(entry) = tx.outbox_entry(number)? else { return Ok((None, EntryNews::Gone)) };
        self.sender.take_up(entry.brief.clone());
        let planned = self.sender.plan_one(&entry.brief);
        let error = |lane: &Self| {
            let error = lane.sender.errors.get(&entry.brief.source);
            error.map(|error| error.message.clone())
        };
        let mut why = error(self);
        match planned {
            Some(planned) if planned.doing == Doing::Send && why.is_none() => {
                if self.free() > 0 && self.sender.turn_in(&planned).is_zero() {
                    self.sender.start_entry(Some(tx), &planned, &entry)?;
                    why = error(self);
                } else {
                    // Nothing but the requests before it is in its way: that is no reason to send
                    // its program away.
                    self.ready.push_back(planned);
                    let state = EntryState::Sending;
                    return Ok((Some(number), EntryNews::Open { how: How::New, state, why: None }));
                }
            }
            Some(Planned { doing: Doing::Wait(reason) | Doing::Person(reason), .. }) => {
                why = Some(reason.text());
            }
            _ => self.due = true,
        }
        let state = self.sender.brief(number).map_or(EntryState::Queued, |brief| brief.state);
        Ok((Some(number), EntryNews::Open { how: How::New, state, why }))
    }

    fn follow(&mut self, number: i64) -> Result<(Option<i64>, EntryNews), Error> {
        Ok(match self.sender.outbox.outbox_entry(number)? {
            Some(entry) => (Some(number), heard(How::Known, entry)),
            None => (None, EntryNews::Gone),
        })
    }

    /// Claims attempts of what else is due.
    fn refill(&mut self, tx: &Tx<'_>) -> Result<(), Error> {
        if self.due && self.ready.is_empty() && self.free() > 0 {
            self.due = false;
            self.ready = self.sender.next_ready(Some(tx))?;
        }
        while self.free() > 0
            && let Some(planned) = self.sender.take_ready(&mut self.ready)
        {
            self.sender.start(Some(tx), &planned)?;
        }
        Ok(())
    }

    /// Has sources in error left alone for a while, longer each time.
    fn rest(&mut self) {
        let now = self.now();
        for (source, error) in &self.sender.errors {
            let rest = self.failed.entry(source.clone()).or_default();
            if rest.lasts {
                continue;
            }
            let rest_ms = (REST_MS << rest.times.min(16)).min(REST_MS_MAX);
            let until = now + Duration::from_millis(rest_ms);
            *rest = SourceRest { until, times: rest.times.saturating_add(1), lasts: true };
            tracing::warn!(source, error = error.message, rest_ms, "left alone");
        }
    }

    /// Tells whoever listens what has come of the entries that were settled.
    fn tell(&mut self) -> Result<(), Error> {
        self.sender.report.sent.clear();
        for number in std::mem::take(&mut self.sender.changed) {
            let brief = self.sender.brief(number).cloned();
            if let Some(listeners) = self.listeners.remove(&number) {
                self.tell_about(number, brief.as_ref(), listeners)?;
            }
            let Some(brief) = brief else { continue };
            if closed(brief.state) {
                self.failed.remove(&brief.source);
            }
            match brief.next_at {
                Some(at) if brief.state == EntryState::Queued => self.rests(number, at),
                _ if brief.state == EntryState::Queued => self.due = true,
                _ if closed(brief.state) => self.over(&brief),
                _ => self.due = true,
            }
        }
        Ok(())
    }

    /// Leaves an entry behind of which nothing more comes, and sees whom it held up.
    fn over(&mut self, brief: &OutboxBrief) {
        let waits = |other: &OutboxBrief| other.after.is_some_and(|(it, _)| it == brief.entry);
        self.due |= brief.lane.is_some() || self.sender.entries.iter().any(waits);
        // A lane may stop at what was rejected.
        if brief.lane.is_none() || brief.state != EntryState::Rejected {
            self.sender.forget(brief.entry);
        }
    }

    fn rests(&mut self, entry: i64, at: Timestamp) {
        let wait = (at - self.sender.host.clock.now()).num_milliseconds();
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
        self.resting.push(Reverse((self.now() + wait, entry)));
    }

    fn tell_about(
        &mut self,
        number: i64,
        brief: Option<&OutboxBrief>,
        listeners: Vec<(How, watch::Sender<EntryNews>)>,
    ) -> Result<(), Error> {
        if let Some(brief) = brief.filter(|brief| !is_over(brief.state)) {
            let errors = &self.sender.errors;
            let error = errors.get(&brief.source).map(|error| error.message.clone());
            let why = brief.note.clone().or(error);
            for (how, teller) in &listeners {
                let why = why.clone();
                teller.send_replace(EntryNews::Open { how: *how, state: brief.state, why });
            }
            self.listeners.insert(number, listeners);
            return Ok(());
        }
        let entry = self.sender.outbox.outbox_entry(number)?.map(Arc::new);
        for (how, teller) in listeners {
            teller.send_replace(match &entry {
                Some(entry) => EntryNews::Over { how, entry: Arc::clone(entry) },
                None => EntryNews::Gone,
            });
        }
        Ok(())
    }

    /// Lets what is on the wire land, and tells the last ones.
    async fn end(mut self) -> Result<(), Error> {
        for landed in std::mem::take(&mut self.landed) {
            self.sender.record_outcome(None, &landed)?;
        }
        self.sender.end(std::mem::take(&mut self.wire)).await?;
        self.tell()
    }
}

/// Whether nothing ever comes of an entry any more, so that it need not be planned for.
fn closed(state: EntryState) -> bool {
    !state.is_open()
}

fn arrived(landed: Result<AttemptOutcome, tokio::task::JoinError>) -> AttemptOutcome {
    landed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn heard(how: How, entry: OutboxEntry) -> EntryNews {
    if is_over(entry.brief.state) {
        return EntryNews::Over { how, entry: Arc::new(entry) };
    }
    EntryNews::Open { how, state: entry.brief.state, why: entry.brief.note }
}

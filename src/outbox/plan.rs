//! What is sent now, and why everything else waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::archive::OutboxBrief;
use crate::definition::{OnRejected, Source};
use crate::model::{EntryState, Instant};

use super::decide::{Again, may_send};

/// What a plan is made by.
pub struct Scene<'a> {
    /// The APIs of the definition.
    pub sources: &'a BTreeMap<String, Source>,
    /// The stations that this archive is the home of.
    pub home: &'a BTreeSet<String>,
    /// Sources that asked not to be asked before some time.
    pub waits: &'a BTreeMap<String, Instant>,
    /// The time.
    pub now: Instant,
}

/// What is done with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It is sent.
    Send,
    /// Its source is asked whether it has taken effect.
    Look,
    /// Its time ran out before it was sent.
    Expire,
    /// Nothing by itself can tell any more whether it has taken effect.
    GiveUp(Again),
    /// It waits, and goes on by itself.
    Wait(Why),
    /// It waits for a person.
    Person(Why),
}

/// Why an entry waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// For its time.
    NotBefore(Instant),
    /// After a failed attempt.
    NextAttempt(Instant),
    /// Its source asked for a pause.
    Source(Instant),
    /// For an earlier entry of its lane.
    Lane(String),
    /// An entry of its lane was rejected, and the source stops lanes for that.
    LaneStopped(String),
    /// For the success of an entry.
    After(i64),
    /// The entry that it waits for will not succeed.
    AfterFailed(i64),
    /// Somebody is sending it.
    BeingSent,
    /// Its definition has gone.
    SourceGone,
    /// Its source has another address than when it was queued.
    AddressChanged,
    /// Another archive queued it.
    Foreign,
    /// Nobody knows whether it has taken effect.
    Unknown,
    /// A lookup is believed from then on.
    LookAt(Instant),
}

/// An entry of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its number.
    pub entry: i64,
    /// Its key.
    pub key: String,
    /// Its source.
    pub source: String,
    /// Its lane.
    pub lane: Option<String>,
    /// What is done with it.
    pub doing: Doing,
}

/// Plans over entries that are sorted by number; rejected ones that hold nothing up are left out.
pub fn plan(entries: &[OutboxBrief], scene: &Scene<'_>) -> Vec<Planned> {
    let mut lanes: HashMap<&str, Why> = HashMap::new();
    let mut planned = Vec::new();
    for entry in entries {
        let ours = scene.home.contains(&entry.owner);
        let in_front = entry.lane.as_deref().and_then(|lane| lanes.get(lane)).cloned();
        let doing = match one(entry, ours, in_front, scene) {
            Some(doing) => doing,
            None => continue,
        };
        if let (Some(lane), true) = (entry.lane.as_deref(), ours)
            && doing != Doing::Expire
        {
            let why = match entry.state {
                EntryState::Rejected => Why::LaneStopped(entry.key.clone()),
                _ => Why::Lane(entry.key.clone()),
            };
            lanes.entry(lane).or_insert(why);
        }
        planned.push(Planned {
            entry: entry.entry,
            key: entry.key.clone(),
            source: entry.source.clone(),
            lane: entry.lane.clone(),
            doing,
        });
    }
    planned
}

fn one(entry: &OutboxBrief, ours: bool, in_front: Option<Why>, scene: &Scene<'_>) -> Option<Doing> {
    let source = scene.sources.get(&entry.source);
    match entry.state {
        EntryState::Rejected => {
            let stops = source.is_some_and(|s| s.idempotency.on_rejected == OnRejected::Stop);
            let stops = stops && ours && entry.lane.is_some();
            return stops.then(|| Doing::Person(Why::LaneStopped(entry.key.clone())));
        }
        EntryState::Done | EntryState::Expired | EntryState::Cancelled => return None,
        _ if !ours => return Some(Doing::Person(Why::Foreign)),
        EntryState::Sending => return Some(Doing::Wait(Why::BeingSent)),
        EntryState::Queued | EntryState::Unknown => {}
    }
    let Some(source) = source else { return Some(Doing::Person(Why::SourceGone)) };
    if source.base_url.as_str() != entry.base_url {
        return Some(Doing::Person(Why::AddressChanged));
    }
    if entry.state == EntryState::Unknown {
        return Some(unknown(entry, source, scene));
    }
    if !entry.doubt && entry.expires_at.is_some_and(|expires| expires <= scene.now) {
        return Some(Doing::Expire);
    }
    match may_send(entry, &source.idempotency, scene.now) {
        Again::May => {}
        why => return Some(Doing::GiveUp(why)),
    }
    Some(queued(entry, in_front, scene))
}

fn unknown(entry: &OutboxBrief, source: &Source, scene: &Scene<'_>) -> Doing {
    let Some(lookup) = &source.idempotency.lookup else { return Doing::Person(Why::Unknown) };
    let wait = chrono::TimeDelta::milliseconds(lookup.wait_ms);
    let seen = entry.last_seen_at.or(entry.first_sent_at);
    let believed = seen.and_then(|seen| seen.checked_add_signed(wait)).unwrap_or(scene.now);
    let held = scene.waits.get(&entry.source).filter(|until| **until > scene.now);
    let next = entry.next_at.filter(|at| *at > scene.now);
    match (held, next) {
        (Some(until), _) => Doing::Wait(Why::Source(*until)),
        (None, Some(at)) => Doing::Wait(Why::NextAttempt(at)),
        (None, None) if believed > scene.now => Doing::Wait(Why::LookAt(believed)),
        (None, None) => Doing::Look,
    }
}

fn queued(entry: &OutboxBrief, in_front: Option<Why>, scene: &Scene<'_>) -> Doing {
    let ahead = |at: Option<Instant>| at.filter(|at| *at > scene.now);
    match entry.after {
        None | Some((_, Some(EntryState::Done))) => {}
        Some((after, Some(EntryState::Queued | EntryState::Sending | EntryState::Unknown))) => {
            return Doing::Wait(Why::After(after));
        }
        Some((after, _)) => return Doing::Person(Why::AfterFailed(after)),
    }
    if let Some(why) = in_front {
        return match why {
            Why::LaneStopped(_) => Doing::Person(why),
            why => Doing::Wait(why),
        };
    }
    if let Some(at) = ahead(entry.not_before) {
        return Doing::Wait(Why::NotBefore(at));
    }
    if let Some(at) = ahead(entry.next_at) {
        return Doing::Wait(Why::NextAttempt(at));
    }
    match ahead(scene.waits.get(&entry.source).copied()) {
        Some(at) => Doing::Wait(Why::Source(at)),
        None => Doing::Send,
    }
}

impl Why {
    /// In words.
    pub fn text(&self) -> String {
        let when = |at: &Instant| at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        match self {
            Why::NotBefore(at) => format!("not before {}", when(at)),
            Why::NextAttempt(at) => format!("the next attempt is at {}", when(at)),
            Why::Source(at) => format!("its source asks not to be asked before {}", when(at)),
            Why::Lane(key) => format!("{key} of its lane comes first"),
            Why::LaneStopped(key) => format!("{key} was rejected, which stops its lane"),
            Why::After(entry) => format!("waits for entry {entry}"),
            Why::AfterFailed(entry) => {
                format!("entry {entry}, which it waits for, did not succeed")
            }
            Why::BeingSent => "is being sent, or its sender died".to_owned(),
            Why::SourceGone => "its source is not in the definition".to_owned(),
            Why::AddressChanged => "its source has another address than when it was queued".into(),
            Why::Foreign => "another archive queued it, of which this may be a copy".to_owned(),
            Why::Unknown => "nobody knows whether it has taken effect".to_owned(),
            Why::LookAt(at) => format!("its source is asked at {}", when(at)),
        }
    }
}

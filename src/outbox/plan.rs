//! What is sent now, and why everything else waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::definition::{OnRejected, Source};
use crate::model::{EntryState, Timestamp, bounded};
use crate::outbox::{MOVED, MovedEntry, OutboxBrief};

use super::decide::{ResendRule, may_send};

/// What a plan is made by.
pub struct SendScene<'a> {
    /// The APIs of the definition.
    pub sources: &'a BTreeMap<String, Source>,
    /// The senders that this archive is the home of.
    pub home: &'a BTreeSet<String>,
    /// Sources that asked not to be asked before some time.
    pub waits: &'a BTreeMap<String, Timestamp>,
    pub now: Timestamp,
}

/// What is done with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    Send,
    /// Its source is asked whether it has taken effect.
    Look,
    /// Its time ran out before it was sent.
    Expire,
    /// Nothing by itself can tell any more whether it has taken effect.
    GiveUp(ResendRule),
    /// It waits, and goes on by itself.
    Wait(WaitReason),
    /// It waits for a person.
    Person(WaitReason),
}

impl Doing {
    /// Whether it is somebody else's to do: a hand-off took the entry along.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Doing::Wait(WaitReason::Moved(_)))
    }
}

/// Why an entry waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// Its own `not_before` is still to come.
    NotBefore(Timestamp),
    /// After a failed attempt.
    NextAttempt(Timestamp),
    /// Its source asked for a pause.
    Source(Timestamp),
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
    /// It went along with a hand-off: whoever has that file sends it.
    Moved(MovedEntry),
    /// It came with the hand-off that this archive is, and nobody has taken it over.
    Came,
    /// Another archive queued it.
    Foreign,
    /// Nobody knows whether it has taken effect.
    Unknown,
    /// A lookup is believed from then on.
    LookAt(Timestamp),
}

/// An entry of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub entry: i64,
    pub key: String,
    pub source: String,
    /// None where it waits for no other entry.
    pub lane: Option<String>,
    /// What is done with it.
    pub doing: Doing,
}

/// Plans over entries that are sorted by number; rejected ones that hold nothing up are left out.
pub fn plan(entries: &[OutboxBrief], scene: &SendScene<'_>) -> Vec<Planned> {
    let mut lanes: HashMap<&str, WaitReason> = HashMap::new();
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
                EntryState::Rejected => WaitReason::LaneStopped(entry.key.clone()),
                _ => WaitReason::Lane(entry.key.clone()),
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

fn one(
    entry: &OutboxBrief,
    ours: bool,
    in_front: Option<WaitReason>,
    scene: &SendScene<'_>,
) -> Option<Doing> {
    let source = scene.sources.get(&entry.source);
    match entry.state {
        EntryState::Rejected => {
            let stops = source.is_some_and(|s| s.idempotency.on_rejected == OnRejected::Stop);
            let stops = stops && ours && entry.lane.is_some();
            return stops.then(|| Doing::Person(WaitReason::LaneStopped(entry.key.clone())));
        }
        EntryState::Done | EntryState::Expired | EntryState::Cancelled => return None,
        _ if !ours => return Some(not_ours(entry)),
        EntryState::Sending => return Some(Doing::Wait(WaitReason::BeingSent)),
        EntryState::Queued | EntryState::Unknown => {}
    }
    let Some(source) = source else { return Some(Doing::Person(WaitReason::SourceGone)) };
    if source.base_url.as_str() != entry.base_url {
        return Some(Doing::Person(WaitReason::AddressChanged));
    }
    if entry.state == EntryState::Unknown {
        return Some(unknown(entry, source, scene));
    }
    if !entry.in_doubt && entry.expires_at.is_some_and(|expires| expires <= scene.now) {
        return Some(Doing::Expire);
    }
    match may_send(entry, &source.idempotency, scene.now) {
        ResendRule::May => {}
        why => return Some(Doing::GiveUp(why)),
    }
    Some(queued(entry, in_front, scene))
}

/// Why an entry of another sender is not sent from here.
fn not_ours(entry: &OutboxBrief) -> Doing {
    match &entry.moved {
        Some(moved) => Doing::Wait(WaitReason::Moved(moved.clone())),
        None if entry.owner.starts_with(MOVED) => Doing::Person(WaitReason::Came),
        None => Doing::Person(WaitReason::Foreign),
    }
}

fn unknown(entry: &OutboxBrief, source: &Source, scene: &SendScene<'_>) -> Doing {
    let Some(lookup) = &source.idempotency.lookup else {
        return Doing::Person(WaitReason::Unknown);
    };
    let wait = chrono::TimeDelta::milliseconds(lookup.wait_ms);
    // By a clock that was set back since, nobody knows how long ago that was: until it is past that
    // time again, what is not found there may still take effect.
    let seen = entry.last_seen_at.or(entry.first_sent_at);
    let believed = seen.and_then(|seen| seen.checked_add_signed(wait)).unwrap_or(scene.now);
    let held = scene.waits.get(&entry.source).filter(|until| **until > scene.now);
    match (held, next_attempt(entry, scene.now)) {
        (Some(until), _) => Doing::Wait(WaitReason::Source(*until)),
        (None, Some(at)) => Doing::Wait(WaitReason::NextAttempt(at)),
        (None, None) if believed > scene.now => Doing::Wait(WaitReason::LookAt(believed)),
        (None, None) => Doing::Look,
    }
}

/// When the rest of an entry is over, if that is still to come. It is no longer than the longest
/// wait that a source may impose, whatever the archive says.
fn next_attempt(entry: &OutboxBrief, now: Timestamp) -> Option<Timestamp> {
    // What a clock said that was set back since is no time to wait for.
    let by_this_clock = entry.last_seen_at.is_none_or(|seen| seen <= now);
    let next = entry.next_at.filter(|_| by_this_clock);
    next.and_then(|next| bounded(next, entry.last_seen_at, now)).filter(|at| *at > now)
}

fn queued(entry: &OutboxBrief, in_front: Option<WaitReason>, scene: &SendScene<'_>) -> Doing {
    let ahead = |at: Option<Timestamp>| at.filter(|at| *at > scene.now);
    match entry.after {
        None | Some((_, Some(EntryState::Done))) => {}
        Some((after, Some(EntryState::Queued | EntryState::Sending | EntryState::Unknown))) => {
            return Doing::Wait(WaitReason::After(after));
        }
        Some((after, _)) => return Doing::Person(WaitReason::AfterFailed(after)),
    }
    if let Some(why) = in_front {
        return match why {
            WaitReason::LaneStopped(_) => Doing::Person(why),
            why => Doing::Wait(why),
        };
    }
    if let Some(at) = ahead(entry.not_before) {
        return Doing::Wait(WaitReason::NotBefore(at));
    }
    if let Some(at) = next_attempt(entry, scene.now) {
        return Doing::Wait(WaitReason::NextAttempt(at));
    }
    match ahead(scene.waits.get(&entry.source).copied()) {
        Some(at) => Doing::Wait(WaitReason::Source(at)),
        None => Doing::Send,
    }
}

impl MovedEntry {
    /// In words: to whom, and when.
    pub fn text(&self) -> String {
        let to = self.file.as_deref().unwrap_or("a file whose name was not noted");
        let at = self.at.map(|at| at.format(" on %Y-%m-%d at %H:%M UTC").to_string());
        format!("moved to {to}{}: whoever has that file sends it", at.unwrap_or_default())
    }
}

impl WaitReason {
    /// The reason in words for people.
    pub fn text(&self) -> String {
        let when = |at: &Timestamp| at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        match self {
            WaitReason::NotBefore(at) => format!("not before {}", when(at)),
            WaitReason::NextAttempt(at) => format!("the next attempt is at {}", when(at)),
            WaitReason::Source(at) => {
                format!("its source asks not to be asked before {}", when(at))
            }
            WaitReason::Lane(key) => format!("{key} of its lane comes first"),
            WaitReason::LaneStopped(key) => format!("{key} was rejected, which stops its lane"),
            WaitReason::After(entry) => format!("waits for entry {entry}"),
            WaitReason::AfterFailed(entry) => {
                format!("entry {entry}, which it waits for, did not succeed")
            }
            WaitReason::BeingSent => "is being sent, or its sender died".to_owned(),
            WaitReason::SourceGone => "its source is not in the definition".to_owned(),
            WaitReason::AddressChanged => {
                "its source has another address than when it was queued".into()
            }
            WaitReason::Moved(moved) => moved.text(),
            WaitReason::Came => "it came with this hand-off, and nobody has taken it over".into(),
            WaitReason::Foreign => {
                "another archive queued it, of which this may be a copy".to_owned()
            }
            WaitReason::Unknown => "it is not known whether it has taken effect".to_owned(),
            WaitReason::LookAt(at) => format!("its source is asked at {}", when(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use strum::VariantArray;

    use super::*;
    use crate::definition::{WriteMethod, parse_definition};

    fn sources(rule: &str) -> BTreeMap<String, Source> {
        let text = format!(
            "[archive]\npath = 'a.db'\n[sources.s]\nbase_url = 'https://a.example/'\n\
             [sources.s.idempotency]\non_rejected = '{rule}'"
        );
        parse_definition("w.toml", &text).expect("a definition").sources
    }

    fn now() -> Timestamp {
        chrono::DateTime::from_timestamp(1_767_225_600, 0).expect("in range")
    }

    fn brief(entry: i64, lane: Option<&str>, state: EntryState) -> OutboxBrief {
        OutboxBrief {
            entry,
            source: "s".to_owned(),
            key: format!("k{entry}"),
            base_url: "https://a.example/".to_owned(),
            method: WriteMethod::Post,
            path_start: "/".to_owned(),
            keyed: true,
            lane: lane.map(str::to_owned),
            after: None,
            not_before: None,
            expires_at: None,
            owner: "home".to_owned(),
            state,
            in_doubt: false,
            first_sent_at: None,
            last_seen_at: None,
            next_at: None,
            note: None,
            moved: None,
        }
    }

    fn doings(entries: &[OutboxBrief], rule: &str) -> Vec<(i64, Doing)> {
        let (sources, home) = (sources(rule), BTreeSet::from(["home".to_owned()]));
        let waits = BTreeMap::new();
        let scene = SendScene { sources: &sources, home: &home, waits: &waits, now: now() };
        plan(entries, &scene).into_iter().map(|planned| (planned.entry, planned.doing)).collect()
    }

    #[test]
    fn each_entry_goes_or_waits_for_its_reason() {
        use EntryState::{Done, Queued, Rejected, Sending, Unknown};
        let soon = now() + chrono::TimeDelta::hours(1);
        let one = |change: &dyn Fn(&mut OutboxBrief)| {
            let mut entry = brief(1, None, Queued);
            change(&mut entry);
            doings(&[entry], "continue").remove(0).1
        };
        assert_eq!(one(&|_| {}), Doing::Send);
        assert_eq!(one(&|e| e.not_before = Some(soon)), Doing::Wait(WaitReason::NotBefore(soon)));
        assert_eq!(one(&|e| e.next_at = Some(soon)), Doing::Wait(WaitReason::NextAttempt(soon)));
        assert_eq!(one(&|e| e.expires_at = Some(now())), Doing::Expire);
        assert_eq!(one(&|e| e.owner = "other".into()), Doing::Person(WaitReason::Foreign));
        assert_eq!(one(&|e| e.owner = "moved:1".into()), Doing::Person(WaitReason::Came));
        let moved = MovedEntry { file: Some("visit.db".into()), at: Some(now()) };
        let away = |e: &mut OutboxBrief| {
            (e.owner, e.moved) = ("moved:1".into(), Some(moved.clone()));
        };
        assert_eq!(one(&away), Doing::Wait(WaitReason::Moved(moved.clone())));
        assert_eq!(
            moved.text(),
            "moved to visit.db on 2026-01-01 at 00:00 UTC: whoever has that file sends it"
        );
        assert_eq!(one(&|e| e.source = "gone".into()), Doing::Person(WaitReason::SourceGone));
        assert_eq!(
            one(&|e| e.base_url = "https://b/".into()),
            Doing::Person(WaitReason::AddressChanged)
        );
        assert_eq!(one(&|e| e.state = Unknown), Doing::Person(WaitReason::Unknown));
        assert_eq!(one(&|e| e.state = Sending), Doing::Wait(WaitReason::BeingSent));
        assert_eq!(one(&|e| e.after = Some((9, Some(Done)))), Doing::Send);
        assert_eq!(one(&|e| e.after = Some((9, Some(Queued)))), Doing::Wait(WaitReason::After(9)));
        assert_eq!(
            one(&|e| e.after = Some((9, Some(Rejected)))),
            Doing::Person(WaitReason::AfterFailed(9))
        );
        assert_eq!(one(&|e| e.after = Some((9, None))), Doing::Person(WaitReason::AfterFailed(9)));
        // What may have had its effect does not expire: it has to be found out.
        let in_doubt = |e: &mut OutboxBrief| {
            (e.in_doubt, e.first_sent_at, e.expires_at) = (true, Some(now()), Some(now()));
        };
        assert_eq!(one(&in_doubt), Doing::Send);
    }

    #[test]
    fn no_entry_rests_longer_than_a_source_may_impose_whatever_the_archive_says() {
        let at = |days: i64| now() + chrono::TimeDelta::days(days);
        let text = "[archive]\npath = 'a.db'\n[sources.s]\nbase_url = 'https://a.example/'\n\
            [sources.s.idempotency]\nlookup = { path = '/x/{{ key }}' }";
        let sources = parse_definition("w.toml", text).expect("a definition").sources;
        let (home, waits) = (BTreeSet::from(["home".to_owned()]), BTreeMap::new());
        let scene = SendScene { sources: &sources, home: &home, waits: &waits, now: now() };
        for state in [EntryState::Queued, EntryState::Unknown] {
            // When it goes again, when it was last seen, until when it rests.
            let cases = [
                (at(3650), Some(at(0)), Some(at(1))),
                (at(3650), Some(at(-1)), None),
                (at(3650), None, None),
                (at(1), None, Some(at(1))),
                (at(3651), Some(at(3650)), None),
            ];
            for (next, seen, rests) in cases {
                let mut entry = brief(1, None, state);
                (entry.next_at, entry.last_seen_at) = (Some(next), seen);
                let doing = plan(&[entry], &scene).remove(0).doing;
                let expected = rests.map(|at| Doing::Wait(WaitReason::NextAttempt(at)));
                match expected {
                    Some(expected) => assert_eq!(doing, expected, "{next} {seen:?}"),
                    None => assert!(
                        matches!(
                            doing,
                            Doing::Send | Doing::Look | Doing::Wait(WaitReason::LookAt(_))
                        ),
                        "{next} {seen:?} {doing:?}"
                    ),
                }
            }
        }
    }

    #[test]
    fn a_rejected_entry_holds_its_lane_where_the_source_says_so() {
        use EntryState::{Queued, Rejected};
        let entries = [
            brief(1, Some("a"), Rejected),
            brief(2, Some("a"), Queued),
            brief(3, None, Rejected),
            brief(4, Some("b"), Queued),
        ];
        assert_eq!(doings(&entries, "continue"), [(2, Doing::Send), (4, Doing::Send)]);
        let stopped = Doing::Person(WaitReason::LaneStopped("k1".to_owned()));
        let expected = [(1, stopped.clone()), (2, stopped), (4, Doing::Send)];
        assert_eq!(doings(&entries, "stop"), expected);
    }

    proptest! {
        /// Of each lane at most one entry goes, and nothing of it is open before that one.
        #[test]
        fn a_lane_sends_its_oldest_open_entry_or_none(
            entries in prop::collection::vec((0..3_usize, 0..7_usize, any::<bool>()), 0..20),
        ) {
            let lanes = [None, Some("a"), Some("b")];
            let made: Vec<OutboxBrief> = (1..).zip(&entries).map(|(number, (lane, state, ours))| {
                let mut entry = brief(number, lanes[*lane], EntryState::VARIANTS[*state]);
                entry.owner = if *ours { "home" } else { "other" }.to_owned();
                entry
            }).collect();
            let going: Vec<i64> = doings(&made, "continue").into_iter()
                .filter(|(_, doing)| *doing == Doing::Send).map(|(entry, _)| entry).collect();
            for entry in &made {
                let open = entry.state.is_open() && entry.owner == "home";
                let sent = going.contains(&entry.entry);
                prop_assert!(!sent || open && entry.state == EntryState::Queued);
                let first = |lane: &String| made.iter().find(|other| {
                    other.lane.as_ref() == Some(lane) && other.state.is_open()
                        && other.owner == "home"
                }).map(|other| other.entry);
                match &entry.lane {
                    None => prop_assert_eq!(sent, open && entry.state == EntryState::Queued),
                    Some(lane) if sent => prop_assert_eq!(first(lane), Some(entry.entry)),
                    Some(_) => {}
                }
            }
        }
    }
}

//! The life of an outbox: orders are queued and sent through faults and crashes; then rest.
//!
//! S16: no order takes effect twice, at any moment; each attempt of a key has the same bytes; lanes
//! keep their order; what is called done has had its effect. S17: once the faults are over, every
//! valid order has had its effect, and every other one is known to have had none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use windrow::definition::{Definition, SecretReference, WriteMethod, parse_definition};
use windrow::host::{Environment, Files, Host, SeededRandom, Stop};
use windrow::http::{SecretValues, Transport};
use windrow::model::{EntryState, Error, ExitCode, instant_to_text};
use windrow::outbox::{Added, Outbox, OutboxBrief, Settlement};
use windrow::outbox::{
    Doing, GivenRequest, Planned, SendOptions, SendParts, SendReport, WaitReason, prepare, send,
    sender_for,
};
use windrow::store::Opening;

use crate::disk::{Disk, Failing, Kept, Policy, lay_down};
use crate::life::Outcome;
use crate::orders::{Orders, OrdersTransport};
use crate::scenario::{CANARY, DAY, HOUR, SECOND, instant, once_in};
use crate::seams::{SimClock, SimFiles, SimNetwork};
use crate::vfs::{self, SharedDisk};

/// When every life begins, milliseconds since 1970.
const BEGAN: i64 = 1_767_225_600_000;
/// Rounds without faults that an outbox may need to come to rest: the ones that lanes, waits and
/// lookups ask for.
const QUIET_ROUNDS_MAX: usize = 60;

/// An order that a person wants.
#[derive(Clone, Debug)]
struct Order {
    number: u64,
    bad: bool,
    lane: Option<&'static str>,
    after: Option<u64>,
    expires_in: Option<i64>,
    /// Whether it is known to be on the disk.
    queued: bool,
}

/// The state folder is the laptop's own, beside the disk that is simulated.
struct SimEnvironment {
    state: PathBuf,
}

impl Environment for SimEnvironment {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn secret_file(&self, path: &Path) -> std::io::Result<String> {
        Err(std::io::Error::other(path.display().to_string()))
    }

    fn state_folder(&self) -> Option<PathBuf> {
        Some(self.state.clone())
    }
}

/// Files of the simulated disk, and real ones in the state folder.
struct TwoDisks {
    simulated: SimFiles,
    state: PathBuf,
}

impl TwoDisks {
    fn is_state(&self, path: &Path) -> bool {
        path.starts_with(&self.state)
    }

    fn refuse_when_off(&self) -> std::io::Result<()> {
        let off = self.simulated.disk.lock().expect("no holder panics").is_cut();
        if off { Err(std::io::Error::other("the laptop is off")) } else { Ok(()) }
    }
}

impl Files for TwoDisks {
    fn publish(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        if self.is_state(to) {
            self.refuse_when_off()?;
            return std::fs::rename(from, to);
        }
        self.simulated.publish(from, to)
    }

    fn make_durable(&self, path: &Path) -> std::io::Result<()> {
        if self.is_state(path) { self.refuse_when_off() } else { self.simulated.make_durable(path) }
    }

    fn keep_name(&self, path: &Path) -> std::io::Result<()> {
        if self.is_state(path) { self.refuse_when_off() } else { self.simulated.keep_name(path) }
    }

    fn remove(&self, path: &Path) -> std::io::Result<()> {
        if self.is_state(path) {
            self.refuse_when_off()?;
            return std::fs::remove_file(path);
        }
        self.simulated.remove(path)
    }
}

/// One laptop with an outbox.
struct Life {
    folder: PathBuf,
    archive: PathBuf,
    state: tempfile::TempDir,
    definition: Definition,
    orders: Arc<Mutex<Orders>>,
    clock: Arc<SimClock>,
    disk: SharedDisk,
    random: fastrand::Rng,
    wanted: Vec<Order>,
    rounds: usize,
    crashes: usize,
}

/// Where a key goes, as the definition says it; none where the API does not honour keys.
const PLACES: [&str; 4] = ["", "format = \"plain\"\n", "in = \"body\"\n", "in = \"query\"\n"];

fn definition_of(random: &mut fastrand::Rng, honours: bool, hours: i64, lookup: bool) -> String {
    let rules = if honours {
        format!("{}lifetime = \"{hours} hours\"\n", PLACES[random.usize(..PLACES.len())])
    } else {
        "honoured = false\n".to_owned()
    };
    let lookup = if lookup {
        "\n[sources.s.idempotency.lookup]\npath = \"/orders\"\n\
         query = { reference = \"{{ key }}\" }\nfound = \"$.data[*]\"\n"
    } else {
        ""
    };
    format!(
        "[archive]\npath = \"a.db\"\n\n[sources.s]\nbase_url = \"https://api.example.com/v1\"\n\
         auth = {{ kind = \"bearer\", token = \"${{env:TOKEN}}\" }}\n\n\
         [sources.s.idempotency]\n{rules}{lookup}\n\
         [streams.orders]\npath = \"/orders\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n"
    )
}

/// Lives the outbox of a seed in `folder`, which is its own.
pub fn live(seed: u64, folder: &Path, verbose: bool) -> Outcome {
    let mut life = begin(seed, folder, verbose);
    let rounds = life.random.usize(3..9);
    for _ in 0..rounds {
        life.storm();
        if !life.clean() {
            break;
        }
    }
    if life.clean() {
        life.rest();
    }
    vfs::detach(folder);
    let mut orders = life.orders.lock().expect("no holder panics");
    Outcome {
        violations: std::mem::take(&mut orders.violations),
        digest: orders.log.digest(),
        lines: orders.log.lines.take().unwrap_or_default(),
        runs: life.rounds,
        crashes: life.crashes,
        requests: orders.requests,
        merges: 0,
    }
}

fn begin(seed: u64, folder: &Path, verbose: bool) -> Life {
    vfs::register();
    let mut random = fastrand::Rng::with_seed(seed ^ 0x0b0e_50f7);
    let policy = if random.bool() { Policy::Plain } else { Policy::Journalled };
    let disk: SharedDisk = Arc::new(Mutex::new(Disk::new(policy)));
    vfs::attach(folder, &disk);
    let honours = !once_in(&mut random, 3);
    let hours = [2, 24][random.usize(..2)];
    let has_lookup = random.bool();
    let toml = definition_of(&mut random, honours, hours, has_lookup);
    let mut definition = match parse_definition("windrow.toml", &toml) {
        Ok(definition) => definition,
        Err(problems) => panic!("seed {seed}: {problems}\n{toml}"),
    };
    let archive = folder.join("a.db");
    definition.archive.clone_from(&archive);
    let mut orders = Orders::new(seed, honours, hours * HOUR, Arc::clone(&disk));
    orders.log.lines = verbose.then(Vec::new);
    orders.log.note(toml);
    Life {
        folder: folder.to_owned(),
        archive,
        state: tempfile::tempdir().expect("a folder"),
        definition,
        orders: Arc::new(Mutex::new(orders)),
        clock: Arc::new(SimClock::new(BEGAN)),
        disk,
        random,
        wanted: Vec::new(),
        rounds: 0,
        crashes: 0,
    }
}

impl Life {
    fn orders(&self) -> std::sync::MutexGuard<'_, Orders> {
        self.orders.lock().expect("no holder panics")
    }

    fn clean(&self) -> bool {
        self.orders().violations.is_empty()
    }

    fn violated(&self, invariant: &str, what: &str) {
        self.orders().violated(invariant, what);
    }

    fn note(&self, line: String) {
        // The folders' names are others each time.
        let line = line.replace(&self.folder.display().to_string(), "");
        let line = line.replace(&self.state.path().display().to_string(), "");
        self.orders().log.note(line);
    }

    fn is_hurt(&self) -> bool {
        let disk = self.disk.lock().expect("no holder panics");
        disk.is_cut() || disk.has_failed()
    }

    fn host(&self, stop: Stop, seed: u64) -> Host {
        let state = self.state.path().to_owned();
        let simulated = SimFiles { disk: Arc::clone(&self.disk) };
        Host {
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(Some(seed))),
            files: Arc::new(TwoDisks { simulated, state: state.clone() }),
            network: Arc::new(SimNetwork),
            environment: Arc::new(SimEnvironment { state }),
            ..Host::system(stop)
        }
    }

    fn open(&self, host: &Host) -> Result<Outbox, Error> {
        let now = instant_to_text(host.clock.now());
        let opening =
            Opening { note: "the first", now: &now, allow_network_fs: true, files: &*host.files };
        Outbox::open(&self.archive, &opening)
    }

    /// A round of faults: a person queues orders, and what waits is sent.
    fn storm(&mut self) {
        self.orders().faulty = true;
        self.turn_clock();
        self.arm();
        for _ in 0..self.random.usize(0..5) {
            self.want();
        }
        self.queue();
        self.send_round();
        self.recover();
        if once_in(&mut self.random, 3) {
            self.decide();
        }
        let pause = match self.random.u32(..4) {
            0 => self.random.i64(0..10 * SECOND),
            1 => self.random.i64(0..HOUR),
            2 => self.random.i64(0..8 * HOUR),
            _ => self.random.i64(0..3 * DAY),
        };
        self.clock.pass(pause);
        self.inspect();
    }

    /// The wall clock jumps past the lifetime of keys, or comes back from there.
    fn turn_clock(&mut self) {
        // What is set back by less than has passed since cannot be noticed by anybody.
        let skew = if once_in(&mut self.random, 4) { 60 * DAY } else { 0 };
        if skew != self.clock.skew() {
            // A jump hides for how long the API has been at work.
            self.clock.pass(HOUR);
            // A wait is kept in the laptop's own time.
            self.orders().not_before = i64::MIN;
        }
        self.clock.set_skew(skew);
    }

    fn arm(&mut self) {
        let mut disk = self.disk.lock().expect("no holder panics");
        match self.random.u32(..4) {
            0 => disk.cut_after(self.random.u64(1..400)),
            1 => disk.fail(Some(Failing {
                at: self.random.u64(1..300),
                sticky: self.random.bool(),
                full: self.random.bool(),
            })),
            _ => {}
        }
    }

    /// A person wants one more order.
    fn want(&mut self) {
        let number = self.wanted.len() as u64 + 1;
        let lane = [None, None, Some("a"), Some("b")][self.random.usize(..4)];
        let sound: Vec<u64> = self
            .wanted
            .iter()
            .filter(|order| order.queued && !order.bad && order.expires_in.is_none())
            .map(|order| order.number)
            .collect();
        let after = (!sound.is_empty() && once_in(&mut self.random, 4))
            .then(|| sound[self.random.usize(..sound.len())]);
        let expires = once_in(&mut self.random, 8).then(|| self.random.i64(HOUR..2 * DAY));
        self.wanted.push(Order {
            number,
            bad: once_in(&mut self.random, 10),
            lane,
            after,
            expires_in: expires,
            queued: false,
        });
    }

    /// Queues what is not known to be queued, in order, as a person does who saw an error: again,
    /// under the same key.
    fn queue(&mut self) {
        let host = self.host(Stop::never(), self.rounds as u64);
        for at in 0..self.wanted.len() {
            if self.wanted[at].queued {
                continue;
            }
            match self.add(&self.wanted[at], &host) {
                Ok(Added::New(_) | Added::Same(_)) => self.wanted[at].queued = true,
                Ok(other) => {
                    let number = self.wanted[at].number;
                    self.violated("add", &format!("order {number} is refused: {other:?}"));
                }
                Err(error) if self.is_hurt() => {
                    self.note(format!("not queued: {error}"));
                    // Later ones of the lane may not come first.
                    return;
                }
                Err(error) => self.violated("add", &format!("an error without a fault: {error}")),
            }
        }
    }

    fn add(&self, order: &Order, host: &Host) -> Result<Added, Error> {
        let outbox = self.open(host)?;
        let sender = sender_for(&outbox, host)?;
        let wall = self.clock.truth() + self.clock.skew();
        let mut body = format!("{{\"ref\":{},\"bad\":{}", order.number, order.bad);
        if let Some(lane) = order.lane {
            body.push_str(&format!(",\"lane\":\"{lane}\""));
        }
        let key = format!("order-{}", order.number);
        let parent = order.after.map(|number| format!("order-{number}"));
        let mut after = None;
        if let Some(parent) = &parent {
            body.push_str(&format!(",\"parent\":\"{{{{ result.{parent}.id }}}}\""));
            after = outbox.outbox_find(parent, Some("s"))?.first().copied();
        }
        body.push('}');
        let given = GivenRequest {
            source: &self.definition.sources["s"],
            method: WriteMethod::Post,
            path: "/orders",
            headers: &[],
            body: Some(body.into_bytes()),
            key: &key,
            lane: order.lane,
            after: parent.as_deref().map(|key| (after.unwrap_or_default(), key)),
            not_before: None,
            expires_at: order.expires_in.map(|later| instant(wall + later)),
        };
        let entry = prepare(given, &secrets(), &sender, host.clock.now());
        let entry = entry.unwrap_or_else(|refusal| panic!("it is sound: {refusal:?}"));
        let added = outbox.transaction(|tx| tx.add_all(&[entry]))?;
        Ok(added.into_iter().next().expect("one for one"))
    }

    fn send_round(&mut self) -> Option<SendReport> {
        self.rounds += 1;
        let (switch, stop) = Stop::new();
        self.orders().switch = Some(switch);
        let host = self.host(stop, 1_000 + self.rounds as u64);
        let now = self.clock.truth();
        self.note(format!("round {} at {now}, skew {}", self.rounds, self.clock.skew()));
        let sent = self.open(&host).and_then(|outbox| self.send(&outbox, &host, true));
        match sent {
            Ok(report) => {
                self.note(format!("exit {}, {} attempts", report.exit_code(), report.attempts));
                Some(report)
            }
            Err(error) => {
                self.note(format!("archive error: {error}"));
                if !self.is_hurt() {
                    self.violated("archive", &format!("an error without a fault: {error}"));
                }
                None
            }
        }
    }

    fn send(&self, outbox: &Outbox, host: &Host, first: bool) -> Result<SendReport, Error> {
        let beside: Arc<dyn Fn() -> Option<String> + Send + Sync> = match first {
            true => self.second_sender(),
            false => Arc::new(|| Some("it sends too".to_owned())),
        };
        let (orders, clock) = (Arc::clone(&self.orders), Arc::clone(&self.clock));
        let transport: Arc<dyn Transport> = Arc::new(OrdersTransport { orders, clock, beside });
        let parts = SendParts {
            definition: &self.definition,
            host,
            transports: BTreeMap::from([("s".to_owned(), transport)]),
            secrets: secrets(),
        };
        send(outbox, parts, &SendOptions { note: "the first".to_owned(), ..Default::default() })
    }

    /// Another process that would like to send, while the first one is at it.
    fn second_sender(&self) -> Arc<dyn Fn() -> Option<String> + Send + Sync> {
        let (archive, definition) = (self.archive.clone(), self.definition.clone());
        let host = self.host(Stop::never(), 7);
        let disk = Arc::clone(&self.disk);
        Arc::new(move || {
            let hurt = || {
                let disk = disk.lock().expect("no holder panics");
                disk.is_cut() || disk.has_failed()
            };
            let sends = || -> Result<SendReport, Error> {
                let now = instant_to_text(host.clock.now());
                let files = &*host.files;
                let opening =
                    Opening { note: "a second", now: &now, allow_network_fs: true, files };
                let outbox = Outbox::open(&archive, &opening)?;
                let parts = SendParts {
                    definition: &definition,
                    host: &host,
                    transports: BTreeMap::new(),
                    secrets: secrets(),
                };
                send(&outbox, parts, &SendOptions::default())
            };
            // A thread of its own: there cannot be two runtimes in one.
            let sent = std::thread::scope(|scope| scope.spawn(sends).join());
            match sent {
                Ok(Ok(report)) if report.attempts > 0 => Some("a second one sent".to_owned()),
                Ok(Ok(report)) if report.held_by.is_none() && !hurt() => {
                    Some("a second one was let in".to_owned())
                }
                Ok(Err(error)) if !hurt() => Some(format!("a second one fails: {error}")),
                Err(_) => Some("a second one sent, and found no way".to_owned()),
                _ => None,
            }
        })
    }

    /// The power is back, or the process is started again.
    fn recover(&mut self) {
        let mut disk = self.disk.lock().expect("no holder panics");
        let (cut, failed) = (disk.is_cut(), disk.has_failed());
        if cut {
            self.crashes += 1;
            let kept =
                [Kept::None, Kept::All, Kept::All, Kept::Some, Kept::Torn][self.random.usize(..5)];
            let image = disk.after_power_cut(kept, &mut self.random);
            lay_down(&self.folder, &image).expect("the scratch folder can be written");
            disk.restart(image);
        }
        disk.fail(None);
        disk.spare();
        drop(disk);
        let mut orders = self.orders();
        orders.kill_after = None;
        if cut || failed {
            // The wait may have been on its way to the disk.
            orders.not_before = i64::MIN;
        }
    }

    /// A person looks at the API and says what became of an order.
    fn decide(&mut self) {
        if self.clock.truth() < self.orders().busy_until || !self.archive.exists() {
            return;
        }
        let host = self.host(Stop::never(), 3);
        let Ok(outbox) = self.open(&host) else { return };
        let entries = outbox.outbox_list(Some(EntryState::Unknown), 1_000);
        for brief in entries.unwrap_or_default() {
            let taken = self.orders().effects.contains_key(&number_of(&brief));
            let mut end = Settlement::nothing(host.clock.now());
            if taken {
                end.state = EntryState::Done;
            } else {
                end.afresh = true;
            }
            self.note(format!("a person says of {}: {taken}", brief.key));
            if let Err(error) =
                outbox.transaction(|tx| tx.change(brief.entry, EntryState::Unknown, &end))
            {
                self.violated("archive", &format!("an error without a fault: {error}"));
            }
        }
    }

    /// A person takes back what waits for an order that will not be.
    fn cancel_lost(&self, waiting: &[Planned]) {
        let host = self.host(Stop::never(), 2);
        for planned in waiting {
            if !matches!(planned.doing, Doing::Person(WaitReason::AfterFailed(_))) {
                continue;
            }
            let state = EntryState::Cancelled;
            let end = Settlement { state, ..Settlement::nothing(host.clock.now()) };
            let cancelled = self.open(&host).and_then(|outbox| {
                outbox.transaction(|tx| tx.change(planned.entry, EntryState::Queued, &end))
            });
            if let Err(error) = cancelled {
                self.violated("archive", &format!("an error without a fault: {error}"));
            }
        }
    }

    /// Everything that must hold whatever has happened.
    fn inspect(&self) {
        if !self.archive.exists() {
            if self.wanted.iter().any(|order| order.queued) {
                self.violated("S4", "orders were queued and the archive is gone");
            }
            return;
        }
        let host = self.host(Stop::never(), 4);
        let entries = self.open(&host).and_then(|outbox| outbox.outbox_list(None, 10_000));
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.violated("archive", &format!("cannot be read: {error}")),
        };
        for order in self.wanted.iter().filter(|order| order.queued) {
            if !entries.iter().any(|brief| number_of(brief) == order.number) {
                self.violated("S4", &format!("order {} was queued and is gone", order.number));
            }
        }
        for brief in &entries {
            let number = number_of(brief);
            let effects = self.orders().effects.get(&number).copied().unwrap_or_default();
            let right = match brief.state {
                EntryState::Done => effects == 1,
                EntryState::Rejected | EntryState::Expired | EntryState::Cancelled => effects == 0,
                EntryState::Queued if !brief.in_doubt => effects == 0,
                _ => effects <= 1,
            };
            if !right {
                let state = brief.state.as_str();
                self.violated("S16", &format!("order {number} is {state}: {effects} effects"));
            }
        }
    }

    /// Faults are over: what is valid takes effect, once.
    fn rest(&mut self) {
        self.orders().faulty = false;
        if self.clock.skew() != 0 {
            self.orders().not_before = i64::MIN;
        }
        self.clock.set_skew(0);
        self.queue();
        let mut quiet = false;
        for _ in 0..QUIET_ROUNDS_MAX {
            let report = self.send_round();
            self.recover();
            quiet = report.as_ref().is_some_and(|report| report.waiting.is_empty());
            self.cancel_lost(&report.map(|report| report.waiting).unwrap_or_default());
            if quiet || !self.clean() {
                break;
            }
            self.clock.pass(HOUR);
            self.decide();
        }
        self.inspect();
        if !self.clean() {
            return;
        }
        if !quiet {
            return self.violated("S17", "faults are over, and it does not come to rest");
        }
        self.check_rest();
        self.copy();
    }

    fn check_rest(&self) {
        let host = self.host(Stop::never(), 5);
        let outbox = match self.open(&host) {
            Ok(outbox) => outbox,
            Err(error) => return self.violated("archive", &format!("cannot be read: {error}")),
        };
        for order in &self.wanted {
            let key = format!("order-{}", order.number);
            let found = outbox.outbox_find(&key, Some("s")).unwrap_or_default();
            let entry = found.first().and_then(|entry| outbox.outbox_entry(*entry).ok().flatten());
            let state = entry.map(|entry| entry.brief.state);
            let right = match (order.bad, order.expires_in) {
                (_, Some(_)) if state == Some(EntryState::Expired) => true,
                // Of what only a person or a lookup knows, there is no answer to fill in.
                _ if order.after.is_some_and(|parent| self.lacks_answer(&outbox, parent)) => {
                    matches!(state, Some(EntryState::Rejected | EntryState::Cancelled))
                }
                (true, _) => state == Some(EntryState::Rejected),
                (false, _) => state == Some(EntryState::Done),
            };
            if !right {
                let what = format!("order {} is {state:?} at rest: {order:?}", order.number);
                self.violated("S17", &what);
            }
        }
    }

    fn lacks_answer(&self, outbox: &Outbox, number: u64) -> bool {
        let found = outbox.outbox_find(&format!("order-{number}"), Some("s")).unwrap_or_default();
        let entry = found.first().and_then(|entry| outbox.outbox_entry(*entry).ok().flatten());
        let answer = entry.and_then(|entry| entry.answer).unwrap_or_default();
        !answer.starts_with(b"{\"id\":")
    }

    /// A copy of the archive never sends what this one has queued.
    fn copy(&mut self) {
        self.want();
        if let Some(order) = self.wanted.last_mut() {
            (order.bad, order.after, order.expires_in) = (false, None, None);
        }
        self.queue();
        let elsewhere = tempfile::tempdir().expect("a folder");
        let copied = elsewhere.path().join("a.db");
        let files = SimFiles { disk: Arc::clone(&self.disk) };
        if let Err(error) = windrow::doctor::eject(&self.archive, "the first", &files) {
            return self.violated("archive", &format!("it cannot be ejected: {error}"));
        }
        std::fs::copy(&self.archive, &copied).expect("a copy");
        let host = self.host(Stop::never(), 6);
        let now = instant_to_text(host.clock.now());
        let opening =
            Opening { note: "a copy", now: &now, allow_network_fs: true, files: &*host.files };
        let before = self.orders().requests;
        match Outbox::open(&copied, &opening).and_then(|copy| self.send(&copy, &host, false)) {
            Ok(report) if report.exit_code() != ExitCode::NeedsPerson => {
                self.violated("copy", &format!("exit {} and not 10", report.exit_code()));
            }
            Ok(_) => {}
            Err(error) => self.violated("copy", &format!("an error without a fault: {error}")),
        }
        if self.orders().requests > before {
            self.violated("copy", "a copy sent what is not its own");
        }
        self.clock.pass(HOUR);
        self.send_round();
        self.check_rest();
    }
}

fn number_of(brief: &OutboxBrief) -> u64 {
    brief.key.strip_prefix("order-").and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn secrets() -> SecretValues {
    let mut secrets = SecretValues::default();
    secrets.insert(SecretReference::Environment("TOKEN".to_owned()), CANARY.to_owned());
    secrets
}

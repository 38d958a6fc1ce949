//! The life of one simulated archive: runs with faults and crashes, then rest.
//!
//! The engine is the one that users run: `Archive::open`, `sync`, `close`. Around it everything
//! is simulated. After every run the file is held against the model's truth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use windrow::adopt::{AdoptRequest, FieldRules, prepare};
use windrow::definition::{Definition, SecretReference, parse_definition};
use windrow::doctor::eject_with;
use windrow::handoff::Part;
use windrow::handoff::envelope::Packing;
use windrow::handoff::{Giving, give};
use windrow::host::{Host, SeededRandom, Stop, StopCause};
use windrow::http::{Budget, SecretValues, Transport};
use windrow::model::{Command, Error, ExitCode};
use windrow::store::{Archive, FORMATS, Formats, Opening, RunStart};
use windrow::sync::{Lanes, ProgressEvent, ProgressSink, SyncOptions, SyncParts, SyncReport, sync};

use crate::check::{
    Complete, Row, check_file, check_noted, check_records, check_told, check_truth, check_versions,
    compare, look, open,
};
use crate::disk::{Disk, Failing, Image, Kept, Op, Policy, lay_down};
use crate::later::LATER;
use crate::net::{EventLog, Shared, SimTransport};
use crate::scenario::{CANARY, Classes, DAY, HOUR, SECOND, Scenario, once_in};
use crate::seams::{SimClock, SimFiles, SimNetwork};
use crate::vfs::{self, SharedDisk};
use crate::world::World;

/// How many runs without faults an archive may need to come to rest: the ones that a source's
/// waits ask for, and one more.
const QUIET_RUNS_MAX: usize = 4;

/// The name of a hand-off that is recorded.
pub(crate) const GIVEN: &str = "given.db";

/// How often an archive must come to rest until it is the truth.
pub(crate) const STAGES: usize = 3;

/// How a life went.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What must not have happened; empty when all is well.
    pub violations: Vec<String>,
    /// The hash of everything that happened.
    pub digest: String,
    /// What happened, if it was asked for.
    pub lines: Vec<String>,
    /// Syncs.
    pub runs: usize,
    /// Crashes.
    pub crashes: usize,
    /// Requests.
    pub requests: u64,
    /// Merges.
    pub merges: usize,
}

/// What whoever wants less of a scenario switches off, so that a failing seed can be shrunk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// At most so many runs with faults.
    pub runs: Option<usize>,
    /// Classes that stay off, by name.
    pub without: &'static [&'static str],
}

/// One simulated laptop.
pub(crate) struct Life {
    folder: PathBuf,
    pub(crate) archive: PathBuf,
    definition: Definition,
    pub(crate) shared: Arc<Mutex<Shared>>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) disk: SharedDisk,
    pub(crate) random: fastrand::Rng,
    /// What its engine's chance begins with.
    own: u64,
    /// The formats that its engine knows.
    formats: Formats,
    rows: BTreeMap<i64, Row>,
    told: Vec<Complete>,
    pub(crate) runs: usize,
    pub(crate) crashes: usize,
    /// Whether the last crash was not looked at.
    stale: bool,
    /// What the ledger said at each mark in the disk's log, where that is wanted.
    marks: Mutex<Vec<Vec<Complete>>>,
    marked: bool,
    /// Whether the power may go, so that what is told in the middle of a run counts.
    power: bool,
    /// Whether the disk failed in the last run.
    hurt: bool,
}

/// A recorded life, to be cut off anywhere.
pub struct Recording {
    /// What was on the disk before.
    pub base: Image,
    /// Everything that was done to the disk.
    pub log: Vec<Op>,
    /// How many records were adopted before the first sync.
    pub adopted: u64,
    /// What the ledger said at each mark; the first is what it said before, if it was there.
    pub marks: Vec<Vec<Complete>>,
    /// The truth at the end.
    pub world: World,
    /// When that was.
    pub now: i64,
}

/// How a recorded life begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// With nothing.
    Fresh,
    /// A later windrow meets an archive of today's format.
    Older,
    /// What an old script has doubled is adopted.
    Adopted,
    /// After a first sync the archive is handed off, and that is recorded.
    Given,
}

/// Lives a calm life with `runs` syncs and an eject, and records its disk.
pub fn record(scenario: &Scenario, folder: &Path, runs: usize, beginning: Beginning) -> Recording {
    let mut life = begin(scenario, folder, false);
    life.marked = true;
    let base = match beginning {
        Beginning::Older => life.grow_older(),
        Beginning::Given => life.grow(),
        _ => Image::new(),
    };
    life.disk.lock().expect("no holder panics").record();
    let adopted = if beginning == Beginning::Adopted { life.adopt() } else { 0 };
    for _ in 0..runs {
        life.run(Budget::default());
        life.clock.pass(7 * HOUR);
    }
    if beginning == Beginning::Given {
        life.give();
    } else {
        life.eject();
    }
    assert!(life.clean(), "a life without faults breaks nothing: {:?}", life.finish().violations);
    vfs::detach(folder);
    let log = life.disk.lock().expect("no holder panics").take_log();
    let marks = std::mem::take(&mut *life.marks.lock().expect("no holder panics"));
    let now = life.clock.truth();
    let mut shared = life.shared.lock().expect("no holder panics");
    let world = World::new(scenario.clone());
    let world = std::mem::replace(&mut shared.world, world);
    Recording { base, log, adopted, marks, world, now }
}

/// Goes on from whatever files are in `folder`: a crash image, say. Gives what was wrong.
pub fn carry_on(scenario: &Scenario, folder: &Path, now: i64, formats: Formats) -> Vec<String> {
    let mut life = begin(scenario, folder, false);
    life.formats = formats;
    life.clock.pass(now - life.clock.truth());
    life.stale = true;
    life.rest();
    vfs::detach(folder);
    life.finish().violations
}

/// Lives a life in whose first run an operation fails, or in the run that meets an archive of an
/// older format. Gives what was wrong, or none where the run ended before.
pub fn fail_one(
    scenario: &Scenario,
    folder: &Path,
    failing: Failing,
    older: bool,
) -> Option<Vec<String>> {
    let mut life = begin(scenario, folder, false);
    if older {
        life.grow_older();
    }
    life.shared.lock().expect("no holder panics").watched = false;
    life.disk.lock().expect("no holder panics").fail(Some(failing));
    life.run(Budget::default());
    let happened = life.hurt;
    if life.clean() {
        life.rest();
    }
    vfs::detach(folder);
    happened.then(|| life.finish().violations)
}

/// How a run ended.
enum Ended {
    Report(Box<SyncReport>),
    Failed(Error),
}

impl Ended {
    fn report(&self) -> Option<&SyncReport> {
        match self {
            Ended::Report(report) => Some(report),
            Ended::Failed(_) => None,
        }
    }
}

/// Watches what is told to be complete, and notes in the disk's log what the ledger says then.
struct Told<'a> {
    archive: &'a Path,
    disk: &'a SharedDisk,
    marks: &'a Mutex<Vec<Vec<Complete>>>,
    wanted: bool,
}

impl ProgressSink for Told<'_> {
    fn notice(&self, happening: &ProgressEvent) {
        let ProgressEvent::FetchDone { .. } = happening else { return };
        if !self.wanted || self.disk.lock().expect("no holder panics").is_cut() {
            return;
        }
        let seen = open(self.archive).and_then(|connection| look(&connection));
        // Where the disk has just been made to fail, nobody can look.
        let Ok(seen) = seen else { return };
        let mut marks = self.marks.lock().expect("no holder panics");
        marks.push(seen.complete);
        let mark = Op::Mark(marks.len() as u64 - 1);
        self.disk.lock().expect("no holder panics").log(mark);
    }
}

/// Lives the life of a seed in `folder`, which is its own.
pub fn live(scenario: &Scenario, folder: &Path, verbose: bool) -> Outcome {
    let mut life = begin(scenario, folder, verbose);
    life.storm(scenario);
    if life.clean() {
        life.rest();
    }
    vfs::detach(folder);
    life.finish()
}

pub(crate) fn begin(scenario: &Scenario, folder: &Path, verbose: bool) -> Life {
    let mut log = EventLog::default();
    log.lines = verbose.then(Vec::new);
    log.note(scenario.toml("a.db"));
    log.note(format!("{:?}", scenario.classes));
    let disk: SharedDisk = Arc::new(Mutex::new(Disk::new(Policy::Journalled)));
    let shared = Shared {
        world: World::new(scenario.clone()),
        faults: Classes::default(),
        random: fastrand::Rng::with_seed(scenario.seed ^ 0xbad_11e7),
        violations: Vec::new(),
        not_before: i64::MIN,
        requests: 0,
        log,
        watched: true,
        offline: false,
        switch: None,
        archive: folder.join("a.db"),
        disk,
    };
    let clock = Arc::new(SimClock::new(scenario.edges[scenario.past] + 7 * SECOND));
    let shared = Arc::new(Mutex::new(shared));
    let life = laptop(scenario, folder, 0, &shared, &clock);
    shared.lock().expect("no holder panics").disk = Arc::clone(&life.disk);
    life
}

/// A laptop with nothing on it. What is shared and the true time may be those of others.
pub(crate) fn laptop(
    scenario: &Scenario,
    folder: &Path,
    own: u64,
    shared: &Arc<Mutex<Shared>>,
    clock: &Arc<SimClock>,
) -> Life {
    vfs::register();
    let policy = if scenario.plain_disk { Policy::Plain } else { Policy::Journalled };
    let disk: SharedDisk = Arc::new(Mutex::new(Disk::new(policy)));
    vfs::attach(folder, &disk);
    let archive = folder.join("a.db");
    let toml = scenario.toml("a.db");
    let definition = match parse_definition("windrow.toml", &toml) {
        Ok(definition) => definition,
        Err(problems) => panic!("seed {}: {problems}\n{toml}", scenario.seed),
    };
    Life {
        folder: folder.to_owned(),
        archive,
        definition,
        shared: Arc::clone(shared),
        clock: Arc::clone(clock),
        disk,
        random: fastrand::Rng::with_seed(scenario.seed ^ 0x11fe ^ own),
        own,
        formats: FORMATS,
        rows: BTreeMap::new(),
        told: Vec::new(),
        runs: 0,
        crashes: 0,
        stale: false,
        marks: Mutex::new(Vec::new()),
        marked: false,
        power: scenario.classes.power,
        hurt: false,
    }
}

impl Life {
    pub(crate) fn clean(&self) -> bool {
        self.shared.lock().expect("no holder panics").violations.is_empty()
    }

    pub(crate) fn violated(&self, invariant: &str, what: &str) {
        self.shared.lock().expect("no holder panics").violated(invariant, what);
    }

    pub(crate) fn note(&self, line: String) {
        // The folder's name is another one each time.
        let line = line.replace(&self.folder.display().to_string(), "");
        self.shared.lock().expect("no holder panics").log.note(line);
    }

    fn finish(self) -> Outcome {
        let mut shared = self.shared.lock().expect("no holder panics");
        Outcome {
            violations: std::mem::take(&mut shared.violations),
            digest: shared.log.digest(),
            lines: shared.log.lines.take().unwrap_or_default(),
            runs: self.runs,
            crashes: self.crashes,
            requests: shared.requests,
            merges: 0,
        }
    }

    /// A first sync by a windrow of today; from here on it is a later one. Gives what is on the
    /// disk.
    fn grow_older(&mut self) -> Image {
        self.run(Budget::default());
        self.clock.pass(7 * HOUR);
        self.formats = LATER;
        self.begin_with(&self.archive.clone())
    }

    /// A first sync. Gives what is on the disk.
    fn grow(&mut self) -> Image {
        self.run(Budget::default());
        self.clock.pass(7 * HOUR);
        self.eject();
        self.begin_with(&self.archive.clone())
    }

    /// From here on this is the archive, and all that is on the disk.
    fn begin_with(&mut self, archive: &Path) -> Image {
        let bytes = std::fs::read(archive).expect("it was just written");
        let base = Image::from([(Arc::from("a.db"), bytes)]);
        lay_down(&self.folder, &base).expect("the scratch folder can be written");
        self.disk.lock().expect("no holder panics").restart(base.clone());
        *self.marks.lock().expect("no holder panics") = vec![self.told.clone()];
        base
    }

    /// Hands the archive off, onto the same disk.
    fn give(&self) {
        let giving = Giving {
            archive: &self.archive,
            out: &self.folder.join(GIVEN),
            part: Part::default(),
            packing: Packing { compress: false, recipients: Vec::new() },
            with_outbox: false,
            secrets: Vec::new(),
            signing: None,
            force: false,
            note: "the first",
        };
        let gave = give(&giving, &self.host(Stop::never()));
        if let Some(error) = gave.err() {
            self.violated("hand-off", &format!("{error:?}"));
        }
    }

    /// Adopts what a script that only inserts has of the source. Gives the number of records.
    fn adopt(&mut self) -> u64 {
        let now = self.clock.truth();
        let (said, records) = self.shared.lock().expect("no holder panics").world.said_until(now);
        if records == 0 {
            return 0;
        }
        let elsewhere = tempfile::tempdir().expect("a folder");
        let path = elsewhere.path().join("script.ndjson");
        std::fs::write(&path, said.join("\n")).expect("a file");
        let stream = self.definition.streams.iter().find(|stream| stream.name == "records");
        let request = AdoptRequest {
            path: &path,
            table: None,
            stream: stream.expect("the definition has it"),
            stored: None,
            keep: None,
            fields: FieldRules::default(),
        };
        let files = SimFiles { disk: Arc::clone(&self.disk) };
        let now = windrow::host::Clock::now(&*self.clock);
        let text = windrow::model::instant_to_text(now);
        let opening =
            Opening { note: "the first", now: &text, allow_network_fs: true, files: &files };
        let archive = Archive::open(&self.archive, &opening).expect("a new archive");
        let definition = &self.definition.text;
        let start = RunStart { command: Command::Adopt, version: "0", definition, now };
        let prepared = prepare(request, &Stop::never()).expect("the file can be read");
        prepared.apply(&archive, &start).expect("it is adopted");
        archive.close().expect("it is closed");
        let connection = open(&self.archive).expect("it was opened a moment ago");
        self.rows = look(&connection).expect("it can be read").rows;
        records
    }

    /// Makes the archive safe to unplug, as `windrow eject` does.
    pub(crate) fn eject(&self) {
        let files = SimFiles { disk: Arc::clone(&self.disk) };
        let ejected = eject_with(&self.archive, "the first", &files, self.formats);
        if let Err(error) = ejected {
            self.violated("archive", &format!("it cannot be ejected: {error}"));
        }
    }

    /// Phase 1: faults and crashes.
    fn storm(&mut self, scenario: &Scenario) {
        for _ in 0..scenario.runs {
            self.stormy_run(scenario);
            if !self.clean() {
                return;
            }
            let pause = match self.random.u32(..4) {
                0 => self.random.i64(0..10 * SECOND),
                1 => self.random.i64(0..HOUR),
                2 => self.random.i64(0..8 * HOUR),
                _ => self.random.i64(0..2 * DAY),
            };
            self.clock.pass(pause);
        }
    }

    /// A sync to which anything may happen.
    pub(crate) fn stormy_run(&mut self, scenario: &Scenario) {
        let classes = scenario.classes;
        if classes.clocks {
            self.turn_clock(scenario);
        }
        self.shared.lock().expect("no holder panics").faults = classes;
        self.arm(classes);
        let budget = self.budget(classes);
        self.run(budget);
    }

    fn turn_clock(&mut self, scenario: &Scenario) {
        let ahead = if scenario.dated { [HOUR, DAY, 30 * DAY] } else { [0, 0, 0] };
        let skew = match self.random.u32(..5) {
            0 => ahead[self.random.usize(..3)],
            1 => -HOUR,
            2 => -DAY,
            _ => 0,
        };
        if skew != self.clock.skew() {
            // A wait is kept in the laptop's own time.
            self.shared.lock().expect("no holder panics").not_before = i64::MIN;
        }
        self.clock.set_skew(skew);
    }

    /// Prepares what will happen to the disk during the next run.
    pub(crate) fn arm(&mut self, classes: Classes) {
        let mut disk = self.disk.lock().expect("no holder panics");
        disk.fail(None);
        if (classes.power || classes.kills) && self.random.bool() {
            let changes = if once_in(&mut self.random, 3) {
                self.random.u64(1..40)
            } else {
                self.random.u64(1..900)
            };
            disk.cut_after(changes);
        } else if classes.disk && self.random.bool() {
            let failing = Failing {
                at: self.random.u64(1..600),
                sticky: self.random.bool(),
                full: self.random.bool(),
            };
            disk.fail(Some(failing));
        }
        let armed = disk.armed();
        self.note(format!("armed: {armed}"));
        let hook = classes.neighbours.then(|| neighbour(&self.archive, self.random.fork()));
        disk.set_hook(hook);
    }

    fn budget(&mut self, classes: Classes) -> Budget {
        if !classes.budgets || self.random.bool() {
            return Budget::default();
        }
        match self.random.u32(..3) {
            0 => Budget { requests_max: Some(self.random.u64(1..20)), ..Budget::default() },
            1 => Budget { bytes_max: Some(self.random.u64(100..5_000)), ..Budget::default() },
            _ => {
                let time = Duration::from_millis(self.random.u64(100..60_000));
                Budget { time_max: Some(time), ..Budget::default() }
            }
        }
    }

    /// One sync, and whatever becomes of it.
    fn run(&mut self, budget: Budget) {
        self.runs += 1;
        let began = self.clock.truth();
        self.note(format!("run {} at {began}, skew {}", self.runs, self.clock.skew()));
        if !self.marked {
            self.marks.lock().expect("no holder panics").clear();
        }
        let ended = self.sync(budget);
        let (cut, failed) = {
            let disk = self.disk.lock().expect("no holder panics");
            (disk.is_cut(), disk.has_failed())
        };
        match &ended {
            Ended::Report(report) => {
                let streams = report
                    .streams
                    .iter()
                    .map(|stream| format!("{} {:?}", stream.stream, stream.outcomes));
                let streams: Vec<String> = streams.collect();
                self.note(format!("exit {} {}", report.exit_code(), streams.join("; ")));
                for error in &report.errors {
                    self.note(format!("  {:?} {}", error.window, error.message));
                    if error.message.contains(CANARY) {
                        self.violated("S15", "a message holds the secret");
                    }
                }
            }
            Ended::Failed(error) => {
                self.note(format!("archive error: {error}"));
                if !cut && !failed {
                    self.violated("archive", &format!("an error without a fault: {error}"));
                }
            }
        }
        self.hurt = failed;
        if failed {
            // What could not be written down cannot be obeyed later.
            self.shared.lock().expect("no holder panics").not_before = i64::MIN;
        }
        if cut {
            self.crash();
        }
        self.heal_disk();
        if cut && self.random.bool() {
            // Looking would recover the file, which the next run must be able to do by itself.
            self.stale = true;
            return;
        }
        self.inspect(ended.report(), cut || failed);
    }

    /// What surrounds its engine.
    pub(crate) fn host(&self, stop: Stop) -> Host {
        Host {
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(Some(self.own ^ self.runs as u64))),
            files: Arc::new(SimFiles { disk: Arc::clone(&self.disk) }),
            network: Arc::new(SimNetwork),
            ..Host::system(stop)
        }
    }

    fn sync(&self, budget: Budget) -> Ended {
        let (switch, stop) = Stop::new();
        self.shared.lock().expect("no holder panics").switch = Some(switch.clone());
        let host = self.host(stop);
        let files = Arc::clone(&host.files);
        let now = windrow::model::instant_to_text(host.clock.now());
        let opening =
            Opening { note: "the first", now: &now, allow_network_fs: true, files: &*files };
        let archive = match Archive::open_with(&self.archive, &opening, self.formats) {
            Ok(archive) => archive,
            Err(error) => return Ended::Failed(error),
        };
        let mut secrets = SecretValues::default();
        secrets.insert(SecretReference::Environment("TOKEN".to_owned()), CANARY.to_owned());
        let transport =
            SimTransport { shared: Arc::clone(&self.shared), clock: Arc::clone(&self.clock) };
        let transport: Arc<dyn Transport> = Arc::new(transport);
        let observer = Told {
            archive: &self.archive,
            disk: &self.disk,
            marks: &self.marks,
            wanted: self.marked || self.power,
        };
        let parts = SyncParts {
            definition: &self.definition,
            host: &host,
            transports: BTreeMap::from([("s".to_owned(), transport)]),
            secrets,
            observer: &observer,
        };
        let options = SyncOptions { budget, command: Command::Sync, ..SyncOptions::default() };
        let beside = Arc::clone(&self.shared);
        let probe = move || beside.lock().expect("no holder panics").let_writer_in();
        self.clock.on_wait(Some(Arc::new(probe)));
        let synced = sync(&archive, parts, &options, Lanes::Interleaved);
        self.clock.on_wait(None);
        let ended = match synced {
            Ok(report) => match archive.close() {
                Ok(()) => {
                    self.look_for_leftovers();
                    Ended::Report(Box::new(report))
                }
                Err(error) => Ended::Failed(error),
            },
            Err(error) => Ended::Failed(error),
        };
        if host.stop.cause() == Some(StopCause::Interrupt)
            && let Ended::Report(report) = &ended
            && report.exit_code() != ExitCode::Interrupted
        {
            self.violated("S22", "Ctrl-C was pressed and the exit code is not 130");
        }
        ended
    }

    /// S25: beside a closed archive there is nothing but its lock.
    fn look_for_leftovers(&self) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let disk = self.disk.lock().expect("no holder panics");
            let hurt = disk.is_cut() || disk.has_failed();
            let kept = name.starts_with("a.db-before-format-") && !name.ends_with("-new");
            // What is left of a hand-off goes with the next one of that name.
            let kept = kept || name.starts_with(GIVEN);
            if !hurt && !kept && !matches!(name.as_str(), "a.db" | "a.db-lock") {
                drop(disk);
                self.violated("S25", &format!("{name} is left over"));
            }
        }
    }

    /// The power is back, or the process is started again.
    pub(crate) fn crash(&mut self) {
        self.crashes += 1;
        let scenario = self.shared.lock().expect("no holder panics").world.scenario.clone();
        let power = scenario.classes.power && (!scenario.classes.kills || self.random.bool());
        let kept = if power {
            [Kept::None, Kept::All, Kept::Some, Kept::Torn][self.random.usize(..4)]
        } else {
            Kept::All
        };
        self.note(format!("crash, kept {kept:?}"));
        if let Some(told) = self.marks.lock().expect("no holder panics").pop() {
            self.told = told;
        }
        let mut disk = self.disk.lock().expect("no holder panics");
        let image = disk.after_power_cut(kept, &mut self.random);
        lay_down(&self.folder, &image).expect("the scratch folder can be written");
        disk.restart(image);
        drop(disk);
        // The wait may have been on its way to the disk.
        self.shared.lock().expect("no holder panics").not_before = i64::MIN;
    }

    pub(crate) fn heal_disk(&self) {
        let mut disk = self.disk.lock().expect("no holder panics");
        disk.fail(None);
        disk.spare();
        disk.set_hook(None);
    }

    /// Holds the file against the truth.
    pub(crate) fn inspect(&mut self, report: Option<&SyncReport>, hurt: bool) {
        if !self.archive.exists() {
            return;
        }
        let connection = match open(&self.archive) {
            Ok(connection) => connection,
            Err(error) => return self.violated("S26", &format!("cannot be opened: {error}")),
        };
        let found = look(&connection).and_then(|seen| Ok((seen, check_file(&connection)?)));
        let (seen, mut wrong) = match found {
            Ok(found) => found,
            Err(error) => return self.violated("S26", &format!("cannot be read: {error}")),
        };
        let now = self.clock.truth();
        let shared = Arc::clone(&self.shared);
        let shared = shared.lock().expect("no holder panics");
        wrong.extend(compare(&seen, &shared.world, now));
        if shared.world.scenario.version {
            wrong.extend(check_versions(&self.rows, &seen.rows));
        }
        drop(shared);
        // Without the source's word a clock that was set back takes back what it had dated.
        let scenario = &self.shared.lock().expect("no holder panics").world.scenario.clone();
        if scenario.dated || !scenario.classes.clocks {
            wrong.extend(check_told(&self.told, &seen.complete));
        }
        let hurt = std::mem::take(&mut self.stale) || hurt;
        if let (Some(report), false) = (report, hurt) {
            wrong.extend(self.check_report(report, &seen.rows));
            wrong.extend(check_noted(&seen, &report.errors));
        }
        for what in wrong {
            self.violated("after a run", &what);
        }
        self.rows = seen.rows;
        self.told = seen.complete;
    }

    /// S22: what a run says that it did is what changed, and 0 means that all is done.
    fn check_report(&self, report: &SyncReport, rows: &BTreeMap<i64, Row>) -> Vec<String> {
        let mut wrong = Vec::new();
        let said = report.streams.iter().find(|stream| stream.stream == "records");
        let Some(said) = said else { return wrong };
        let inserted = rows.keys().filter(|id| !self.rows.contains_key(id)).count() as u64;
        if said.outcomes.inserted != inserted {
            let (said, is) = (said.outcomes.inserted, inserted);
            wrong.push(format!("S22: {said} rows are said to be new and {is} are"));
        }
        let changed = rows
            .iter()
            .filter(|(id, row)| self.rows.get(id).is_some_and(|old| old != *row))
            .count() as u64;
        if said.outcomes.updated < changed {
            wrong.push(format!("S22: {changed} rows changed"));
        }
        wrong
    }

    /// Phase 2: no faults; the archive comes to rest, is the truth, and stays as it is.
    fn rest(&mut self) {
        calm_down(&self.shared);
        if self.clock.skew() != 0 {
            self.shared.lock().expect("no holder panics").not_before = i64::MIN;
        }
        self.clock.set_skew(0);
        let mut at_rest = false;
        for stage in 0..STAGES {
            await_stage(&self.shared, &self.clock, stage);
            at_rest = self.settle();
        }
        if !self.clean() || !self.archive.exists() {
            return;
        }
        if !at_rest {
            return self.compare_refused();
        }
        self.compare_at_rest();
        self.run_again();
    }

    /// Runs until all is done. False where it is not: the API and the definition contradict each
    /// other, and that is told.
    pub(crate) fn settle(&mut self) -> bool {
        let mut ended = None;
        for _ in 0..QUIET_RUNS_MAX {
            ended = self.quiet_run();
            if !self.clean() || ended == Some(ExitCode::Done) {
                return true;
            }
            self.clock.pass(2 * HOUR);
        }
        let contradicted = self.shared.lock().expect("no holder panics").world.contradicted;
        let refused = [ExitCode::Incomplete, ExitCode::Credentials, ExitCode::InvalidResponse];
        if contradicted && ended.is_some_and(|code| refused.contains(&code)) {
            return false;
        }
        self.violated("S18", "faults are over, and it does not come to rest");
        true
    }

    /// What holds where the API contradicts the definition: one parent that is refused keeps no
    /// other from being read.
    fn compare_refused(&mut self) {
        let connection = open(&self.archive).expect("it was opened a moment ago");
        let seen = look(&connection).expect("it was read a moment ago");
        let now = self.clock.truth();
        let wrong = {
            let world = &self.shared.lock().expect("no holder panics").world;
            let one_parent = world.scenario.missing_parent().is_some();
            if one_parent { check_records(&seen, world, now) } else { Vec::new() }
        };
        for what in wrong {
            self.violated("beside what is refused", &what);
        }
    }

    fn quiet_run(&mut self) -> Option<ExitCode> {
        let before = self.shared.lock().expect("no holder panics").requests;
        self.runs += 1;
        self.note(format!("quiet run {} at {}", self.runs, self.clock.truth()));
        let ended = self.sync(Budget::default());
        let code = match &ended {
            Ended::Report(report) => {
                for error in &report.errors {
                    self.note(format!("  {:?} {}", error.window, error.message));
                }
                Some(report.exit_code())
            }
            Ended::Failed(error) => {
                self.violated("archive", &format!("an error without a fault: {error}"));
                None
            }
        };
        let after = self.shared.lock().expect("no holder panics").requests;
        self.note(format!("exit {code:?} after {} requests", after - before));
        self.inspect(ended.report(), false);
        code
    }

    pub(crate) fn compare_at_rest(&mut self) {
        let connection = open(&self.archive).expect("it was opened a moment ago");
        let seen = look(&connection).expect("it was read a moment ago");
        let now = self.clock.truth();
        let mut wrong = {
            let shared = self.shared.lock().expect("no holder panics");
            check_truth(&seen, &shared.world, now)
        };
        drop(connection);
        let bytes = std::fs::read(&self.archive).unwrap_or_default();
        if bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
            wrong.push("S15: the secret is in the file".to_owned());
        }
        for what in wrong {
            self.violated("at rest", &what);
        }
    }

    /// S7: a run over an unchanged source changes nothing.
    pub(crate) fn run_again(&mut self) {
        let rows = self.rows.clone();
        let ended = self.sync(Budget::default());
        if let Ended::Report(report) = &ended {
            let outcomes = report.outcomes();
            if outcomes.inserted + outcomes.updated > 0 {
                self.violated("S7", &format!("a second run did {outcomes:?}"));
            }
        }
        self.inspect(ended.report(), false);
        if self.rows != rows {
            self.violated("S7", "a second run changed rows");
        }
    }
}

/// Faults are over; an API that sends old versions again goes on to do so.
pub(crate) fn calm_down(shared: &Mutex<Shared>) {
    let mut shared = shared.lock().expect("no holder panics");
    shared.faults = Classes::default();
    shared.world.calm = true;
    let resends = shared.world.scenario.classes.resends;
    shared.world.scenario.classes = Classes { resends, ..Classes::default() };
}

/// Passes the time until an archive is to come to rest for the first, second or last time.
pub(crate) fn await_stage(shared: &Mutex<Shared>, clock: &SimClock, stage: usize) {
    let world = &shared.lock().expect("no holder panics").world;
    let scenario = &world.scenario;
    match stage {
        0 => {}
        // Everything that was to come has come, and every window of the past is settled.
        1 => {
            let last = *scenario.edges.last().expect("there are edges") - HOUR;
            clock.pass(last - clock.truth());
        }
        _ => {
            clock.pass(scenario.lateness_hours * HOUR + scenario.overlap_hours * HOUR + DAY);
            // What is read again at every sync may change for ever: the truth is that of a calm
            // API.
            clock.pass(world.calm_at() - clock.truth());
        }
    }
}

/// Another program that writes a table of its own at a delicate moment, if nobody is writing.
fn neighbour(archive: &Path, mut random: fastrand::Rng) -> crate::disk::Hook {
    let path = archive.to_owned();
    Box::new(move || {
        if !once_in(&mut random, 30) {
            return;
        }
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let Ok(connection) = rusqlite::Connection::open_with_flags(&path, flags) else { return };
        let _ = connection.busy_timeout(Duration::ZERO);
        // Refused while windrow writes, which is right.
        let _ = connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS analyst (n INTEGER); INSERT INTO analyst VALUES (1);",
        );
    })
}

impl Scenario {
    /// The scenario with less in it.
    pub fn limited(mut self, limits: &Limits) -> Scenario {
        if let Some(runs) = limits.runs {
            self.runs = self.runs.min(runs);
        }
        for name in limits.without {
            let classes = &mut self.classes;
            let class = match *name {
                "network" => &mut classes.network,
                "throttling" => &mut classes.throttling,
                "portals" => &mut classes.portals,
                "tokens" => &mut classes.tokens,
                "strangers" => &mut classes.strangers,
                "churn" => &mut classes.churn,
                "deletions" => &mut classes.deletions,
                "ties" => &mut classes.ties,
                "resends" => &mut classes.resends,
                "empty_pages" => &mut classes.empty_pages,
                "power" => &mut classes.power,
                "kills" => &mut classes.kills,
                "disk" => &mut classes.disk,
                "stops" => &mut classes.stops,
                "budgets" => &mut classes.budgets,
                "clocks" => &mut classes.clocks,
                "neighbours" => &mut classes.neighbours,
                other => panic!("no class {other}"),
            };
            *class = false;
        }
        self
    }
}

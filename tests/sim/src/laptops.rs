//! Three laptops, one source and one memory stick: each syncs what the network lets it, they swap
//! files in any order, and all of them end with the same archive, which is the truth.
//!
//! After every step each archive is held against the truth as in [`crate::life`]. Besides: S19, a
//! merge loses nothing, done again changes nothing, and at the end all canonical dumps are one;
//! S20, a merge that was cut off has happened as a whole or not at all; S21, a damaged file is
//! refused, or its damage was nowhere.
//!
//! Files are whole archives or parts of them, plain or sealed. A part never makes complete what is
//! not there (S1), and a sealed file with any damage, by an unknown hand or for somebody else is
//! refused with not a byte of the archive changed (S21).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use windrow::handoff::Part;
use windrow::handoff::envelope::{Keyring, signature_path};
use windrow::handoff::{Opened, Verified, verify};
use windrow::host::{Host, SeededRandom, Stop, SystemFiles};
use windrow::merge::merge;
use windrow::merge::{MergeOrder, MergeReport};
use windrow::store::{Archive, Opening, Reader};

use crate::check::open;
use crate::disk::Failing;
use crate::dump::canonical_dump;
use crate::life::{Life, Outcome, STAGES, await_stage, begin, calm_down, laptop};
use crate::net::Shared;
use crate::scenario::{HOUR, SECOND, Scenario, once_in};
use crate::seams::SimClock;
use crate::stick::{Keys, OnStick, damage, open_with};
use crate::vfs;

const LAPTOPS: usize = 3;

/// A laptop, and what is its own of what all share while it is used.
struct Laptop {
    life: Life,
    skew: i64,
    not_before: i64,
}

struct Trio {
    laptops: Vec<Laptop>,
    /// Whose turn it is.
    at: usize,
    shared: Arc<Mutex<Shared>>,
    clock: Arc<SimClock>,
    stick: PathBuf,
    /// What lies on the stick.
    files: Vec<OnStick>,
    keys: Keys,
    random: fastrand::Rng,
    /// Surroundings that were drawn.
    drawn: Cell<u64>,
    /// Whether what is not windrow's may be in an archive: then only a hand-off is taken.
    foreign: bool,
    pause_max: i64,
    merges: usize,
    requests: u64,
}

/// Lives three laptops of a seed in `folder`, which is theirs.
pub fn live(seed: u64, rounds: Option<usize>, folder: &Path, verbose: bool) -> Outcome {
    let scenario = Scenario::draw_for_laptops(seed);
    let mut trio = Trio::new(&scenario, folder, rounds, verbose);
    let rounds = rounds.unwrap_or_else(|| trio.random.usize(8..16));
    for _ in 0..rounds {
        trio.round(&scenario);
        if !trio.clean() {
            break;
        }
    }
    if trio.clean() {
        trio.rest();
    }
    trio.finish(folder)
}

impl Trio {
    fn new(scenario: &Scenario, folder: &Path, rounds: Option<usize>, verbose: bool) -> Trio {
        let place = |name: &str| {
            let place = folder.join(name);
            std::fs::create_dir(&place).expect("the scratch folder can be written");
            place
        };
        let first = begin(scenario, &place("0"), verbose);
        let (shared, clock) = (Arc::clone(&first.shared), Arc::clone(&first.clock));
        let mut lives = vec![first];
        let mut random = fastrand::Rng::with_seed(scenario.seed ^ 0x3_1a9);
        let noted = once_in(&mut random, 3).then(|| random.usize(1..LAPTOPS));
        for n in 1..LAPTOPS {
            let own = (n as u64) << 32;
            let scenario = Scenario { noted: noted == Some(n), ..scenario.clone() };
            lives.push(laptop(&scenario, &place(&n.to_string()), own, &shared, &clock));
        }
        let laptop = |life| Laptop { life, skew: 0, not_before: i64::MIN };
        let span = scenario.edges.last().expect("there are edges") - clock.truth();
        let rounds = rounds.unwrap_or(12).max(1);
        Trio {
            laptops: lives.into_iter().map(laptop).collect(),
            at: 0,
            shared,
            clock,
            stick: place("stick"),
            files: Vec::new(),
            keys: Keys::make(folder, LAPTOPS),
            random,
            drawn: Cell::new(0),
            foreign: scenario.classes.neighbours,
            pause_max: 2 * span / rounds as i64,
            merges: 0,
            requests: 0,
        }
    }

    fn finish(mut self, folder: &Path) -> Outcome {
        (0..LAPTOPS).for_each(|n| vfs::detach(&folder.join(n.to_string())));
        self.turn(0);
        let lives = || self.laptops.iter().map(|laptop| &laptop.life);
        let mut shared = self.shared.lock().expect("no holder panics");
        Outcome {
            violations: std::mem::take(&mut shared.violations),
            digest: shared.log.digest(),
            lines: shared.log.lines.take().unwrap_or_default(),
            runs: lives().map(|life| life.runs).sum(),
            crashes: lives().map(|life| life.crashes).sum(),
            requests: self.requests,
            merges: self.merges,
        }
    }

    fn clean(&self) -> bool {
        self.laptops[0].life.clean()
    }

    fn life(&mut self) -> &mut Life {
        &mut self.laptops[self.at].life
    }

    fn violated(&self, invariant: &str, what: &str) {
        self.laptops[self.at].life.violated(invariant, what);
    }

    /// Another laptop is used: its disk, its clock, and what it was told by the source.
    fn turn(&mut self, to: usize) {
        let mut shared = self.shared.lock().expect("no holder panics");
        let used = &mut self.laptops[self.at];
        used.skew = self.clock.skew();
        used.not_before = shared.not_before;
        self.requests += std::mem::take(&mut shared.requests);
        self.at = to;
        let next = &self.laptops[to];
        self.clock.set_skew(next.skew);
        shared.not_before = next.not_before;
        shared.archive = next.life.archive.clone();
        shared.disk = Arc::clone(&next.life.disk);
        shared.offline = false;
        shared.log.note(format!("laptop {to}"));
    }

    fn round(&mut self, scenario: &Scenario) {
        let to = self.random.usize(..LAPTOPS);
        self.turn(to);
        match self.random.u32(..12) {
            0..3 => self.life().stormy_run(scenario),
            3 => {
                self.shared.lock().expect("no holder panics").offline = true;
                self.life().stormy_run(scenario);
            }
            4..7 if self.has_archive() => self.give(),
            7..10 if !self.files.is_empty() => self.take_any(),
            10..12 if !self.files.is_empty() => self.take_damaged(),
            // There is nothing to give or to take yet.
            _ => self.life().stormy_run(scenario),
        }
        if self.keys.leaves_anything() {
            self.violated("S25", "what was unpacked of a sealed file is left over");
        }
        let pause = match self.random.u32(..4) {
            0 => self.random.i64(0..10 * SECOND),
            1 => self.random.i64(0..HOUR),
            _ => self.random.i64(0..self.pause_max.max(1)),
        };
        self.clock.pass(pause);
    }

    /// Whether this laptop has an archive; one whose making was cut off is none.
    fn has_archive(&self) -> bool {
        let path = &self.laptops[self.at].life.archive;
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = '_windrow_handoffs'";
        let count = |connection: rusqlite::Connection| {
            connection.query_row(sql, [], |row| row.get::<_, i64>(0))
        };
        path.exists() && open(path).and_then(count).is_ok_and(|tables| tables > 0)
    }

    fn dump(&self) -> String {
        if !self.has_archive() {
            return String::new();
        }
        let reader = Reader::open(&self.laptops[self.at].life.archive);
        match reader.and_then(|reader| canonical_dump(&reader)) {
            Ok(dump) => dump,
            Err(error) => {
                self.violated("archive", &format!("it cannot be told: {error}"));
                String::new()
            }
        }
    }

    /// The power may go, or an operation fail. Gives whether anything was prepared.
    fn arm(&mut self) -> bool {
        let at = self.random.u64(1..120);
        let mut disk = self.laptops[self.at].life.disk.lock().expect("no holder panics");
        match self.random.u32(..4) {
            0 => disk.cut_after(at),
            1 => {
                let (sticky, full) = (self.random.bool(), self.random.bool());
                disk.fail(Some(Failing { at, sticky, full }));
            }
            _ => return false,
        }
        true
    }

    /// What came of it. Gives whether anything went wrong with the disk.
    fn disarm(&mut self) -> bool {
        let life = self.life();
        let (cut, failed) = {
            let disk = life.disk.lock().expect("no holder panics");
            (disk.is_cut(), disk.has_failed())
        };
        if cut {
            life.crash();
        }
        life.heal_disk();
        cut || failed
    }

    /// The archive is put on the stick, or a part of it.
    fn give(&mut self) {
        let before = self.dump();
        let out = self.stick.join(format!("{}.db", self.files.len()));
        let copied = once_in(&mut self.random, 4) && !self.foreign;
        let mut part = Part::default();
        let file = if copied {
            self.life().eject();
            std::fs::copy(&self.laptops[self.at].life.archive, &out).expect("the stick has room");
            OnStick::copied(out)
        } else {
            part = self.draw_part();
            let file = OnStick::drawn(out, self.at, LAPTOPS, &mut self.random);
            self.arm();
            let gave = self.hand_off(&file, part.clone());
            let hurt = self.disarm();
            if let (Err(error), false) = (&gave, hurt) {
                self.violated("hand-off", error);
            }
            file
        };
        if before != self.dump() {
            self.violated("hand-off", "the archive is another one");
        }
        if !file.path.exists() {
            return self.laptops[self.at].life.note("nothing was given".to_owned());
        }
        match self.verified(&file) {
            Ok((verified, dump)) => self.check_given(&verified, &dump, &before, &part),
            Err(why) => self.violated("hand-off", &format!("the file does not verify: {why}")),
        }
        self.laptops[self.at].life.note(format!("gave {}, {part:?}", file.told()));
        self.files.push(file);
        self.life().inspect(None, true);
    }

    /// Half of what is given are parts.
    fn draw_part(&mut self) -> Part {
        let drawn = self.random.u32(..6);
        let archive = &self.laptops[self.at].life.archive;
        let streams = Reader::open(archive).and_then(|reader| reader.streams());
        let streams = streams.expect("it was read a moment ago");
        let streams: Vec<String> = streams.into_iter().map(|stream| stream.stream).collect();
        let last = "SELECT coalesce(max(run_id), 0) FROM _windrow_runs";
        let last = open(archive).and_then(|c| c.query_row(last, [], |row| row.get::<_, i64>(0)));
        let last = last.expect("it was read a moment ago");
        if drawn > 2 || last == 0 || !streams.iter().any(|stream| stream == "records") {
            return Part::default();
        }
        let records = vec!["records".to_owned()];
        match drawn {
            0 => Part { since: Some(self.random.i64(1..=last)), ..Part::default() },
            1 => {
                Part { streams: vec![self.random.choice(streams).expect("one")], ..Part::default() }
            }
            _ => {
                let condition = format!("id % 3 <> {}", self.random.u32(..3));
                let since = once_in(&mut self.random, 4).then(|| self.random.i64(1..=last));
                Part { since, streams: records, condition: Some(condition) }
            }
        }
    }

    /// What was given is what it was given as.
    fn check_given(&self, verified: &Verified, dump: &str, before: &str, part: &Part) {
        let is_part = *part != Part::default();
        let manifest = verified.manifest.as_ref();
        if manifest.is_some_and(|manifest| manifest.part.is_some() != is_part) {
            self.violated("hand-off", "it does not tell whether it is a part");
        }
        let more = contents(dump).into_iter().find(|held| !contents(before).contains(held));
        if let Some(more) = more.filter(|_| is_part) {
            self.violated("hand-off", &format!("the part holds {more:?}"));
        }
        let proves = |line: &str| line.starts_with("covered ") || line.starts_with("mark ");
        if part.cuts_streams() && dump.lines().any(proves) {
            self.violated("hand-off", "a part of a stream proves something by itself");
        }
        if !is_part && dump != before {
            self.violated("hand-off", "the file holds something else");
        }
    }

    fn hand_off(&self, file: &OnStick, part: Part) -> Result<(), String> {
        let archive = &self.laptops[self.at].life.archive;
        let host = Host { files: Arc::new(SystemFiles), ..self.host() };
        let gave = self.keys.give(archive, file, part, &host);
        gave.map(drop).map_err(|error| format!("{error:?}"))
    }

    fn host(&self) -> Host {
        // Names are drawn: no two may be the same.
        self.drawn.set(self.drawn.get() + 1);
        let random = Arc::new(SeededRandom::new(Some(self.drawn.get() << 40)));
        let environment = self.keys.environment();
        Host { random, environment, ..self.laptops[self.at].life.host(Stop::never()) }
    }

    /// As this laptop opens it, not proven yet.
    fn opened(&self, file: &OnStick) -> Result<Opened, String> {
        let opened = self.keys.open(file, self.at, &self.host());
        opened.map_err(|error| format!("{error:?}"))
    }

    fn proven(&self, file: &OnStick) -> Result<(Opened, Verified), String> {
        prove(self.opened(file)?, &self.host())
    }

    fn verified(&self, file: &OnStick) -> Result<(Verified, String), String> {
        let (opened, verified) = self.proven(file)?;
        let around = (verified.signed_by.is_some(), verified.encrypted, verified.compressed);
        if around != (file.signer.is_some(), file.encrypted, file.compressed) {
            return Err(format!("what is around it is told as {around:?}"));
        }
        Ok((verified, dump_of(&opened)?))
    }

    /// As `windrow merge` does it: nothing is taken of what is not proven.
    fn take(&self, file: &OnStick, dry_run: bool) -> Result<MergeReport, String> {
        let (opened, _) = self.proven(file)?;
        self.unite(&opened, dry_run)
    }

    fn unite(&self, opened: &Opened, dry_run: bool) -> Result<MergeReport, String> {
        let host = self.host();
        let now = host.clock.now();
        let opening = Opening {
            note: "the first",
            now: &windrow::model::instant_to_text(now),
            allow_network_fs: true,
            files: &*host.files,
        };
        let path = &self.laptops[self.at].life.archive;
        let archive = Archive::open(path, &opening).map_err(|error| error.to_string())?;
        let others = [("a file".to_owned(), &opened.reader)];
        let order = MergeOrder { now, version: "0", dry_run };
        let report = merge(&archive, &others, &order).map_err(|error| format!("{error:?}"));
        archive.close().map_err(|error| error.to_string())?;
        report
    }

    /// Any file that lies around, also an old one, or one that came from here.
    fn take_any(&mut self) {
        let file = self.files[self.random.usize(..self.files.len())].clone();
        if file.shut_out == Some(self.at) {
            return self.refuse(&file, "a file that is encrypted to others");
        }
        let armed = self.arm();
        self.laptops[self.at].life.note(format!("takes {}, armed {armed}", file.told()));
        if armed {
            self.take_hurt(&file);
        } else {
            self.take_whole(&file);
        }
    }

    /// S21: what must not be taken is refused, and not a byte of the archive is changed.
    fn refuse(&mut self, file: &OnStick, what: &str) {
        self.laptops[self.at].life.note(format!("refuses {}: {what}", file.told()));
        let before = self.bytes();
        if self.take(file, false).is_ok() {
            self.violated("S21", &format!("{what} was taken"));
        }
        if self.bytes() != before {
            self.violated("S21", &format!("{what} has changed the archive"));
        }
    }

    /// The archive's own bytes, its log's among them.
    fn bytes(&self) -> [Option<Vec<u8>>; 3] {
        let archive = &self.laptops[self.at].life.archive;
        ["", "-wal", "-journal"].map(|ending| {
            let mut path = archive.as_os_str().to_owned();
            path.push(ending);
            std::fs::read(path).ok()
        })
    }

    /// S20: what is cut off has happened as a whole or not at all.
    fn take_hurt(&mut self, file: &OnStick) {
        self.life().heal_disk();
        let before = self.dump();
        self.arm();
        let taken = self.take(file, false);
        let hurt = self.disarm();
        if let (Err(error), false) = (&taken, hurt) {
            self.violated("S20", &format!("an error without a fault: {error}"));
        }
        let between = self.dump();
        let Some(report) = self.take_whole(file) else { return };
        if between != before && (report.changed || between != self.dump()) {
            self.violated("S20", "a merge that was cut off has happened in part");
        }
        if taken.is_ok() && report.changed {
            self.violated("S20", "a merge that was told to be done was not");
        }
    }

    /// S19: nothing of either side is lost, and once is enough.
    fn take_whole(&mut self, file: &OnStick) -> Option<MergeReport> {
        let before = self.dump();
        let theirs = match self.opened(file).and_then(|opened| dump_of(&opened)) {
            Ok(dump) => dump,
            Err(error) => {
                self.violated("S19", &format!("the file cannot be opened: {error}"));
                return None;
            }
        };
        let told = once_in(&mut self.random, 4).then(|| self.take(file, true));
        if told.is_some() && self.dump() != before {
            self.violated("S19", "a dry run has changed the archive");
        }
        self.merges += 1;
        let report = match self.take(file, false) {
            Ok(report) => report,
            Err(error) => {
                self.violated("S19", &format!("cannot be merged: {error}"));
                return None;
            }
        };
        if told.is_some_and(|told| told.is_ok_and(|told| told.summary() != report.summary())) {
            self.violated("S22", "a dry run told something else");
        }
        let mut counts = Vec::new();
        for stream in report.files.iter().flat_map(|file| &file.streams) {
            let complete = stream.complete.len();
            let counted = (stream.versions, complete, stream.fetches);
            counts.push(format!("{} {:?} {counted:?}", stream.stream, stream.rows));
        }
        self.laptops[self.at].life.note(format!("changed {}, {counts:?}", report.changed));
        let after = self.dump();
        let held = contents(&after);
        if let Some(lost) = contents(&before).union(&contents(&theirs)).find(|c| !held.contains(*c))
        {
            self.violated("S19", &format!("lost: {lost:?}"));
        }
        match self.take(file, false) {
            Ok(again) if !again.changed && self.dump() == after => {}
            Ok(again) => self.violated("S19", &format!("merged again: {}", again.summary())),
            Err(error) => self.violated("S19", &format!("cannot be merged again: {error}")),
        }
        self.life().inspect(None, true);
        Some(report)
    }

    /// S21: a file with damage is refused, or is as good as the one without.
    fn take_damaged(&mut self) {
        let at = self.at;
        let for_us = |file: &&OnStick| file.made && file.shut_out != Some(at);
        let given: Vec<OnStick> = self.files.iter().filter(for_us).cloned().collect();
        let Some(file) = self.random.choice(given) else { return };
        let damaged = OnStick { path: self.stick.join("damaged.db"), ..file.clone() };
        damaged.remove();
        std::fs::copy(&file.path, &damaged.path).expect("the stick has room");
        let signature = signature_path(&damaged.path);
        if file.signer.is_some() {
            let _ = std::fs::copy(signature_path(&file.path), &signature);
        }
        match self.random.u32(..4) {
            0 if file.signer.is_some() => {
                std::fs::remove_file(&signature).expect("it was just copied");
                if Keys::names_signers(at) {
                    self.refuse(&damaged, "a file without its signature");
                }
            }
            1 if file.signer.is_some() => {
                std::fs::remove_file(&signature).expect("it was just copied");
                self.keys.sign_as_stranger(&damaged.path);
                self.refuse(&damaged, "a file that a stranger signed");
            }
            _ if damage(&damaged.path, &mut self.random) && file.is_sealed() => {
                if file.signer.is_some() && self.opened(&damaged).is_ok() {
                    self.violated("S21", "a signed file with damage was opened");
                }
                self.refuse(&damaged, "damage of a sealed file");
            }
            _ => self.take_doubtful(&damaged, &file),
        }
        self.life().inspect(None, true);
    }

    /// Where nothing is sealed, damage may be nowhere.
    fn take_doubtful(&mut self, damaged: &OnStick, file: &OnStick) {
        let Ok((_, dump)) = self.verified(damaged) else {
            self.refuse(damaged, "damage that was seen");
            let before = self.dump();
            // Whoever does not look at what `verify` says is told what would be done.
            if let Ok(opened) = self.opened(damaged) {
                let _ = self.unite(&opened, true);
            }
            if self.dump() != before {
                self.violated("S21", "a damaged file has changed the archive");
            }
            return;
        };
        self.laptops[self.at].life.note("damaged, and verified".to_owned());
        let (_, whole) = self.verified(file).expect("it was verified before");
        if dump != whole {
            self.violated("S21", "the damage was not seen");
        }
        self.take_whole(damaged);
        if self.take_whole(file).is_some_and(|report| report.changed) {
            self.violated("S21", "the damage was not seen, and merged");
        }
    }

    /// No faults any more: each syncs, all swap, and all are the truth.
    fn rest(&mut self) {
        calm_down(&self.shared);
        for n in 0..LAPTOPS {
            if self.laptops[n].skew != 0 || self.at == n {
                self.laptops[n].not_before = i64::MIN;
            }
            self.laptops[n].skew = 0;
        }
        self.clock.set_skew(0);
        self.shared.lock().expect("no holder panics").not_before = i64::MIN;
        for stage in 0..STAGES {
            await_stage(&self.shared, &self.clock, stage);
            for n in 0..LAPTOPS {
                self.turn(n);
                self.life().settle();
            }
        }
        let mut pairs: Vec<(usize, usize)> = (0..LAPTOPS)
            .flat_map(|to| (0..LAPTOPS).map(move |from| (to, from)))
            .filter(|(to, from)| to != from)
            .collect();
        self.random.shuffle(&mut pairs);
        for (to, from) in pairs {
            if !self.clean() {
                return;
            }
            self.turn(from);
            let path = self.stick.join("last.db");
            let mut last = OnStick::drawn(path, from, LAPTOPS, &mut self.random);
            last.shut_out = None;
            last.remove();
            if let Err(error) = self.hand_off(&last, Part::default()) {
                return self.violated("hand-off", &error);
            }
            self.turn(to);
            self.take_whole(&last);
        }
        self.compare();
    }

    fn compare(&mut self) {
        let mut dumps = Vec::new();
        for n in 0..LAPTOPS {
            self.turn(n);
            self.life().compare_at_rest();
            dumps.push(self.dump());
        }
        for n in 1..LAPTOPS {
            if let Some(line) = first_difference(&dumps[0], &dumps[n]) {
                self.violated("S19", &format!("laptops 0 and {n} differ: {line}"));
            }
        }
        for n in 0..LAPTOPS {
            self.turn(n);
            if self.clean() {
                self.life().run_again();
            }
        }
    }
}

/// What a file holds, if it is what it was given as.
pub(crate) fn verified(file: &Path, host: &Host) -> Result<(Opened, String), String> {
    let opened = open_with(file, &Keyring::at("no keys"), None, host);
    let (opened, _) = prove(opened.map_err(|error| format!("{error:?}"))?, host)?;
    let dump = dump_of(&opened)?;
    Ok((opened, dump))
}

fn prove(opened: Opened, host: &Host) -> Result<(Opened, Verified), String> {
    let verified = verify(&opened, host).map_err(|error| format!("{error:?}"))?;
    match verified.differences.is_empty() {
        true => Ok((opened, verified)),
        false => Err(format!("{:?}", verified.differences)),
    }
}

fn dump_of(opened: &Opened) -> Result<String, String> {
    canonical_dump(&opened.reader).map_err(|error| error.to_string())
}

/// All contents of each key of each stream, standing or not.
fn contents(dump: &str) -> BTreeSet<(String, String)> {
    let mut stream = String::new();
    let mut all = BTreeSet::new();
    for line in dump.lines() {
        if let Some(name) = line.strip_prefix("stream ") {
            name.clone_into(&mut stream);
        }
        let row = line.strip_prefix("row ").or_else(|| line.strip_prefix("other "));
        if let Some(row) = row {
            let said = row.split(" first ").next().unwrap_or_default();
            all.insert((stream.clone(), said.to_owned()));
        }
    }
    all
}

fn first_difference(one: &str, other: &str) -> Option<String> {
    let lines = |dump: &str| dump.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (ours, theirs) = (lines(one), lines(other));
    let mut differing = ours.symmetric_difference(&theirs).take(4).cloned();
    let first = differing.next().or_else(|| (one != other).then(|| "the order".to_owned()))?;
    Some(differing.fold(first, |all, line| format!("{all}\n  {line}")))
}

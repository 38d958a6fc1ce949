//! Power cuts at every point of a recorded life, and I/O that fails at every point of one.
//!
//! Each prefix of the log of writes is a moment at which the power may go. What the disk then
//! holds is drawn by the model in [`crate::disk`]: none, all, some or torn pieces of what was not
//! synced, on two kinds of file system. SQLite recovers the file, which is held against the truth
//! and against everything that had been told to be complete; some images are crashed once more
//! while they recover, and some are handed to windrow, which must come to rest on them.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use windrow::host::{Host, Stop};
use windrow::store::{FORMATS, Formats};

use crate::check::{check_adopted, check_file, check_told, compare, look, open};
use crate::disk::{Disk, Failing, Image, Kept, Op, Policy, image_of, lay_down, take_in};
use crate::laptops::verified;
use crate::later::{ASIDE, LATER};
use crate::life::{Beginning, GIVEN, Recording, carry_on, fail_one, record};
use crate::scenario::{Classes, Scenario, once_in};
use crate::swarm::scratch;
use crate::vfs;

/// What a campaign of power cuts did.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    /// Images that were looked at.
    pub states: u64,
    /// Of these, crashed again while they recovered.
    pub twice: u64,
    /// Of these, in the life of an archive that is brought to a later format.
    pub older: u64,
    /// Of these, in a life that begins with an adoption.
    pub adopted: u64,
    /// Of these, while a hand-off is made on the same disk.
    pub given: u64,
    /// Of these, with a hand-off under its final name, which was verified.
    pub verified: u64,
    /// Of these, handed to windrow to go on with.
    pub carried_on: u64,
    /// What was wrong.
    pub violations: Vec<String>,
}

/// Lives begin with nothing, with an older archive, with an adoption, or end with a hand-off, in
/// turns.
const BEGINNINGS: u64 = 4;

/// A life without faults, small enough to be cut off everywhere.
pub fn calm(seed: u64) -> Scenario {
    let mut scenario = Scenario::draw(seed);
    scenario.classes = Classes::default();
    scenario.parents = scenario.parents.min(1);
    scenario.past = scenario.past.min(4);
    scenario
}

/// Cuts the power at every point of a recorded life, `per_point` times each, on both kinds of
/// file system, until `most` images were looked at.
pub fn cut_everywhere(seed: u64, per_point: u64, most: u64) -> Cuts {
    let scenario = calm(seed);
    let folder = scratch();
    let beginning = match seed % BEGINNINGS {
        0 => Beginning::Older,
        1 if scenario.parents == 0 => Beginning::Adopted,
        2 => Beginning::Given,
        _ => Beginning::Fresh,
    };
    let told_before = matches!(beginning, Beginning::Older | Beginning::Given);
    let runs = match beginning {
        Beginning::Fresh => 3,
        Beginning::Given => 0,
        Beginning::Older | Beginning::Adopted => 1,
    };
    let recording = record(&scenario, folder.path(), runs, beginning);
    let mut cuts = Cuts::default();
    for policy in [Policy::Journalled, Policy::Plain] {
        let mut random = fastrand::Rng::with_seed(seed ^ 0xc07);
        let (mut durable, mut pending) = (recording.base.clone(), Vec::new());
        let mut told = told_before.then_some(0);
        let mut known: Vec<Arc<str>> = recording.base.keys().cloned().collect();
        for (at, op) in recording.log.iter().enumerate() {
            create(op, &mut durable, &mut known);
            if let Op::Mark(mark) = op {
                told = usize::try_from(*mark).ok();
            }
            take_in(&mut durable, &mut pending, op.clone(), policy);
            for n in 0..per_point {
                if cuts.states >= most || !cuts.violations.is_empty() {
                    return cuts;
                }
                let kept = [Kept::None, Kept::All, Kept::Some, Kept::Torn][(n % 4) as usize];
                let image = image_of(&durable, &pending, kept, &mut random);
                let place = format!("seed {seed}, {policy:?}, after {at} changes, {kept:?}");
                let cut =
                    Cut { scenario: &scenario, recording: &recording, told, policy, beginning };
                cut.look_at(image, &mut random, &mut cuts, &place);
            }
        }
    }
    cuts
}

/// New files are there at once.
fn create(op: &Op, durable: &mut Image, known: &mut Vec<Arc<str>>) {
    let (Op::Write { file, .. } | Op::Truncate { file, .. }) = op else { return };
    if !known.contains(file) {
        known.push(Arc::clone(file));
        durable.entry(Arc::clone(file)).or_default();
    }
}

struct Cut<'a> {
    scenario: &'a Scenario,
    recording: &'a Recording,
    told: Option<usize>,
    policy: Policy,
    beginning: Beginning,
}

impl Cut<'_> {
    /// What the windrow of this life knows.
    fn formats(&self) -> Formats {
        if self.beginning == Beginning::Older { LATER } else { FORMATS }
    }

    fn look_at(&self, image: Image, random: &mut fastrand::Rng, cuts: &mut Cuts, place: &str) {
        let folder = scratch();
        let mut image = image;
        if once_in(random, 5) {
            cuts.twice += 1;
            image = crash_again(folder.path(), image, self.policy, random);
        }
        lay_down(folder.path(), &image).expect("the scratch folder can be written");
        cuts.states += 1;
        cuts.older += u64::from(self.beginning == Beginning::Older);
        cuts.given += u64::from(self.beginning == Beginning::Given);
        cuts.adopted += u64::from(self.recording.adopted > 0);
        let (verified, mut wrong) = inspect_given(folder.path());
        cuts.verified += u64::from(verified);
        wrong.extend(if once_in(random, 60) {
            cuts.carried_on += 1;
            carry_on(self.scenario, folder.path(), self.recording.now, self.formats())
        } else {
            self.inspect(folder.path())
        });
        cuts.violations.extend(wrong.into_iter().map(|what| format!("{place}: {what}")));
    }

    /// What is wrong with the file as stock SQLite recovers it.
    fn inspect(&self, folder: &Path) -> Vec<String> {
        let path = folder.join("a.db");
        let told = self.told.map(|mark| &self.recording.marks[mark]);
        if !path.exists() {
            return match told {
                Some(told) => check_told(told, &[]),
                None => Vec::new(),
            };
        }
        let found = open(&path).and_then(|connection| {
            let mut wrong = check_file(&connection)?;
            wrong.extend(check_format(&connection, 1..=self.formats().newest().version())?);
            let seen = look(&connection)?;
            if self.recording.adopted > 0 {
                wrong.extend(check_adopted(&connection, seen.rows.len(), self.recording.adopted)?);
            }
            Ok((seen, wrong))
        });
        match found {
            Err(error) => vec![format!("S26: {error}")],
            Ok((seen, mut wrong)) => {
                wrong.extend(compare(&seen, &self.recording.world, self.recording.now));
                wrong.extend(told.map(|told| check_told(told, &seen.complete)).unwrap_or_default());
                wrong.extend(self.inspect_aside(folder));
                wrong
            }
        }
    }

    /// What is wrong with the copy that is set aside before an archive of today's format is
    /// changed.
    fn inspect_aside(&self, folder: &Path) -> Vec<String> {
        let path = folder.join(ASIDE);
        if !path.exists() {
            return Vec::new();
        }
        let found = open(&path).and_then(|connection| {
            let mut wrong = check_file(&connection)?;
            wrong.extend(check_format(&connection, 1..=1)?);
            Ok((look(&connection)?, wrong))
        });
        match found {
            Err(error) => vec![format!("S26: the copy set aside: {error}")],
            Ok((seen, mut wrong)) => {
                wrong.extend(check_told(&self.recording.marks[0], &seen.complete));
                wrong
            }
        }
    }
}

/// A format that is there is there as a whole, and one of these.
fn check_format(
    connection: &Connection,
    known: RangeInclusive<i32>,
) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT user_version, CAST((SELECT value FROM _windrow_meta WHERE name = 'format') AS
            INTEGER), (SELECT max(version) FROM _windrow_migrations),
            1 + (SELECT count(*) FROM sqlite_schema WHERE name = '_windrow_later')
        FROM pragma_user_version";
    let said: [i32; 4] = connection
        .query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    let whole = said.iter().all(|number| *number == said[0] && known.contains(number));
    Ok(if whole { Vec::new() } else { vec![format!("S26: half a format: {said:?}")] })
}

/// A hand-off under its final name is whole; gives whether there is one.
fn inspect_given(folder: &Path) -> (bool, Vec<String>) {
    let path = folder.join(GIVEN);
    if !path.exists() {
        return (false, Vec::new());
    }
    let wrong = verified(&path, &Host::system(Stop::never())).err();
    (true, wrong.map(|why| format!("hand-off: {why}")).into_iter().collect())
}

/// The power goes again while SQLite recovers the file.
fn crash_again(folder: &Path, image: Image, policy: Policy, random: &mut fastrand::Rng) -> Image {
    lay_down(folder, &image).expect("the scratch folder can be written");
    let mut disk = Disk::new(policy);
    disk.restart(image);
    disk.cut_after(random.u64(1..12));
    let disk = Arc::new(Mutex::new(disk));
    vfs::attach(folder, &disk);
    let path = folder.join("a.db");
    if path.exists()
        && let Ok(connection) = open(&path)
    {
        // Reading recovers the log, closing copies it into the file; both may be cut off.
        let _ = look(&connection);
        let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    vfs::detach(folder);
    let disk = disk.lock().expect("no holder panics");
    let kept = [Kept::None, Kept::All, Kept::Some, Kept::Torn][random.usize(..4)];
    disk.after_power_cut(kept, random)
}

/// Lets every `step`-th operation of a life fail, once and from then on, with an I/O error and
/// with a full disk. Gives the number of lives and what was wrong.
pub fn fail_everywhere(seed: u64, step: u64) -> (u64, Vec<String>) {
    let scenario = calm(seed);
    let ways = [(false, false), (true, false), (false, true), (true, true)];
    let scenario = &scenario;
    let found: Vec<(u64, Vec<String>)> = std::thread::scope(|scope| {
        let each = ways.map(|way| scope.spawn(move || fail_in_one_way(scenario, way, step)));
        each.into_iter().map(|thread| thread.join().expect("a life does not panic")).collect()
    });
    found.into_iter().fold((0, Vec::new()), |(lives, mut wrong), (more, found)| {
        wrong.extend(found);
        (lives + more, wrong)
    })
}

/// Lets each operation of a life fail: once or from then on, as an error or as a full disk.
fn fail_in_one_way(
    scenario: &Scenario,
    (sticky, full): (bool, bool),
    step: u64,
) -> (u64, Vec<String>) {
    let older = scenario.seed.is_multiple_of(2);
    let mut lives = 0;
    for at in (1..).step_by(usize::try_from(step).expect("a small step")) {
        let folder = scratch();
        let failing = Failing { at, sticky, full };
        let Some(violations) = fail_one(scenario, folder.path(), failing, older) else { break };
        lives += 1;
        if !violations.is_empty() {
            let told = violations.into_iter().map(|what| format!("{failing:?}: {what}"));
            return (lives, told.collect());
        }
    }
    (lives, Vec::new())
}

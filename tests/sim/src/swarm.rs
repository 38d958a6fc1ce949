//! Many seeds, and what to do with one that fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::laptops;
use crate::life::{Limits, Outcome, live};
use crate::outbox;
use crate::scenario::Scenario;

/// Names of all classes of fault.
pub const CLASSES: [&str; 17] = [
    "network",
    "throttling",
    "portals",
    "tokens",
    "strangers",
    "churn",
    "deletions",
    "ties",
    "resends",
    "empty_pages",
    "power",
    "kills",
    "disk",
    "stops",
    "budgets",
    "clocks",
    "neighbours",
];

/// What many seeds did.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// Seeds.
    pub seeds: u64,
    /// Syncs.
    pub runs: u64,
    /// Crashes.
    pub crashes: u64,
    /// Requests.
    pub requests: u64,
    /// Merges.
    pub merges: u64,
    /// Seeds that failed, and what was wrong.
    pub failures: Vec<(u64, Vec<String>)>,
    /// The seed and the violation that ended the search, if one was asked for and found.
    pub found: Option<(u64, String)>,
}

/// The seeds of a search.
pub struct Seeds {
    /// From the first on, as far as this goes.
    pub range: std::ops::Range<u64>,
    /// How far each seed lies from the one before.
    pub step: u64,
    /// Invariants; the search ends when one of them is broken. Without any it goes through the
    /// whole range.
    pub until: Vec<String>,
}

impl From<std::ops::Range<u64>> for Seeds {
    fn from(range: std::ops::Range<u64>) -> Seeds {
        Seeds { range, step: 1, until: Vec::new() }
    }
}

impl Seeds {
    /// The first violation of one of the invariants that end the search. An invariant's name
    /// stands before the first colon, or before a later one where a place goes before it.
    fn sought<'v>(&self, violations: &'v [String]) -> Option<&'v String> {
        let is_of = |violation: &str, name: &str| {
            let named = format!("{name}:");
            violation.starts_with(&named) || violation.contains(&format!(" {named}"))
        };
        violations.iter().find(|violation| self.until.iter().any(|name| is_of(violation, name)))
    }
}

/// A folder in memory where there is one, since nothing in it outlives the run.
pub fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a scratch folder")
}

/// Lives one seed.
pub fn one(seed: u64, limits: &Limits, verbose: bool) -> Outcome {
    let scenario = Scenario::draw_with_quirk(seed).limited(limits);
    guarded(|folder| live(&scenario, folder, verbose))
}

/// Lives the outbox of one seed.
pub fn one_outbox(seed: u64, verbose: bool) -> Outcome {
    guarded(|folder| outbox::live(seed, folder, verbose))
}

/// Lives three laptops of one seed, for so many rounds or as many as the seed draws.
pub fn one_trio(seed: u64, rounds: Option<usize>, verbose: bool) -> Outcome {
    guarded(|folder| laptops::live(seed, rounds, folder, verbose))
}

fn guarded(life: impl FnOnce(&std::path::Path) -> Outcome) -> Outcome {
    let folder = scratch();
    let life = std::panic::AssertUnwindSafe(|| life(folder.path()));
    std::panic::catch_unwind(life).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        Outcome {
            violations: vec![format!("panic: {text}")],
            digest: String::new(),
            lines: vec![text.to_owned()],
            runs: 0,
            crashes: 0,
            requests: 0,
            merges: 0,
        }
    })
}

/// Lives these seeds on so many threads.
pub fn many(seeds: impl Into<Seeds>, threads: usize) -> Sum {
    each(&seeds.into(), threads, &|seed| one(seed, &Limits::default(), false))
}

/// Lives the outboxes of these seeds on so many threads.
pub fn many_outboxes(seeds: impl Into<Seeds>, threads: usize) -> Sum {
    each(&seeds.into(), threads, &|seed| one_outbox(seed, false))
}

/// Lives the three laptops of each of these seeds on so many threads.
pub fn many_trios(seeds: impl Into<Seeds>, rounds: Option<usize>, threads: usize) -> Sum {
    each(&seeds.into(), threads, &|seed| one_trio(seed, rounds, false))
}

fn each(seeds: &Seeds, threads: usize, life: &(dyn Fn(u64) -> Outcome + Sync)) -> Sum {
    let next = AtomicU64::new(seeds.range.start);
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(seeds.step, Ordering::Relaxed);
                    if seed >= seeds.range.end {
                        return;
                    }
                    let outcome = life(seed);
                    let mut sum = sum.lock().expect("no holder panics");
                    sum.seeds += 1;
                    sum.runs += outcome.runs as u64;
                    sum.crashes += outcome.crashes as u64;
                    sum.requests += outcome.requests;
                    sum.merges += outcome.merges as u64;
                    if let Some(violation) = seeds.sought(&outcome.violations) {
                        next.fetch_max(seeds.range.end, Ordering::Relaxed);
                        sum.found.get_or_insert_with(|| (seed, violation.clone()));
                    }
                    if !outcome.violations.is_empty() {
                        sum.failures.push((seed, outcome.violations));
                    }
                }
            });
        }
    });
    sum.into_inner().expect("no holder panics")
}

/// The fewest classes and runs with which a seed still fails.
pub fn shrink(seed: u64) -> (Vec<&'static str>, usize) {
    let mut without: Vec<&'static str> = Vec::new();
    let fails = |without: &[&'static str], runs: Option<usize>| {
        let limits = Limits { runs, without: Vec::leak(without.to_vec()) };
        !one(seed, &limits, false).violations.is_empty()
    };
    for class in CLASSES {
        without.push(class);
        if !fails(&without, None) {
            without.pop();
        }
    }
    let runs = (0..).find(|runs| fails(&without, Some(*runs)) || *runs > 10).unwrap_or(10);
    (without, runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_ends_at_a_violation_of_an_invariant_that_it_names() {
        let until = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let violations = ["S12: a".to_owned(), "cut 5: S1: b".to_owned()];
        let cases: [(&[&str], Option<&str>); 5] = [
            (&[], None),
            (&["S2"], None),
            (&["S12"], Some("S12: a")),
            (&["S1"], Some("cut 5: S1: b")),
            (&["one writer", "S1"], Some("cut 5: S1: b")),
        ];
        for (names, found) in cases {
            let seeds = Seeds { range: 0..1, step: 1, until: until(names) };
            assert_eq!(seeds.sought(&violations).map(String::as_str), found, "{names:?}");
        }
    }
}

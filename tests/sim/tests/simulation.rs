//! The simulator as a test: many lives, the same one twice, and bugs that must be caught.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use windrow::host::planted::{BUGS, BUGS_OF_LAPTOPS, BUGS_OF_MERGE, Bug, plant};
use windrow_sim::life::Limits;
use windrow_sim::power::{cut_everywhere, fail_everywhere};
use windrow_sim::swarm::{many, many_outboxes, many_trios, one, one_outbox, one_trio};

/// Lives in an ordinary test run; `SIM_SEEDS` asks for more.
const SEEDS: u64 = 2_000;
/// Lives that are given to a planted bug.
const SEEDS_FOR_A_BUG: u64 = 1_500;

#[allow(clippy::disallowed_methods)]
fn seeds() -> u64 {
    std::env::var("SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[test]
fn no_seed_breaks_an_invariant() {
    let sum = many(1..1 + seeds(), threads());
    let told = sum.failures.iter().take(5);
    let told: Vec<String> = told.map(|(seed, what)| format!("seed {seed}: {}", what[0])).collect();
    assert!(sum.failures.is_empty(), "run `sim --seed N`\n{}", told.join("\n"));
    assert!(sum.crashes > seeds() / 4, "{} crashes are too few to tell anything", sum.crashes);
}

#[test]
fn no_outbox_has_an_effect_twice_or_never() {
    let outboxes = seeds() / 5;
    let sum = many_outboxes(1..1 + outboxes, threads());
    let told = sum.failures.iter().take(5);
    let told: Vec<String> = told.map(|(seed, what)| format!("seed {seed}: {}", what[0])).collect();
    assert!(sum.failures.is_empty(), "run `sim --outbox-seed N`\n{}", told.join("\n"));
    assert!(sum.crashes > outboxes / 2, "{} crashes are too few to tell anything", sum.crashes);
}

#[test]
fn three_laptops_that_swap_files_end_with_the_same_truth() {
    let trios = seeds() / 100;
    let sum = many_trios(1..1 + trios, None, threads());
    let told = sum.failures.iter().take(5);
    let told: Vec<String> = told.map(|(seed, what)| format!("seed {seed}: {}", what[0])).collect();
    assert!(sum.failures.is_empty(), "run `sim --laptop-seed N`\n{}", told.join("\n"));
    assert!(sum.merges > 6 * trios, "{} merges are too few to tell anything", sum.merges);
    assert!(sum.crashes > trios / 2, "{} crashes are too few to tell anything", sum.crashes);
}

#[test]
fn seeds_that_once_failed_do_not_fail_again() {
    let kept = include_str!("../../../fixtures/seeds/failed.txt");
    let seeds = kept.lines().filter(|line| !line.starts_with('#'));
    for seed in seeds.filter_map(|line| line.split_whitespace().next()) {
        let seed = seed.parse().expect("a number stands first on each line");
        let outcome = one(seed, &Limits::default(), false);
        assert_eq!(outcome.violations, [""; 0], "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_life_event_for_event() {
    for seed in 1..=40 {
        let (a, b) = (one(seed, &Limits::default(), false), one(seed, &Limits::default(), false));
        assert_eq!(a.digest, b.digest, "seed {seed}");
    }
    for seed in 1..=20 {
        let (a, b) = (one_outbox(seed, false), one_outbox(seed, false));
        assert_eq!(a.digest, b.digest, "outbox {seed}");
    }
    for seed in 1..=6 {
        let (a, b) = (one_trio(seed, None, false), one_trio(seed, None, false));
        assert_eq!(a.digest, b.digest, "three laptops {seed}");
    }
    let other = one(41, &Limits::default(), false);
    assert_ne!(one(40, &Limits::default(), false).digest, other.digest);
}

/// The invariant that must catch a bug, as it stands at the beginning of the violation's number.
fn catcher(bug: Bug) -> &'static [&'static str] {
    match bug {
        Bug::CheckpointBeforeRows => &["S1"],
        Bug::NormalSync => &["S4"],
        Bug::DeferredTransaction => &["archive"],
        Bug::OpenLowerBound => &["S1", "S10"],
        Bug::OverlapIgnored => &["S10", "S9"],
        Bug::LatenessIgnored => &["S10", "S9"],
        Bug::VersionIgnored => &["S1", "S6"],
        Bug::RetryAfterIgnored => &["S13"],
        Bug::OtherHostFollowed => &["S14"],
        Bug::EmptyPageIsTheEnd => &["S1"],
        Bug::ShortPageIsTheEnd => &["S1"],
        Bug::ErrorPageIsEmpty => &["S1"],
        Bug::TotalIgnored => &["S1"],
        Bug::LockSkipped => &["one writer"],
        Bug::OpenWindowIsWhole => &["S1", "S12"],
        Bug::SourceTimeIgnored => &["S1", "S12"],
        Bug::ShiftIgnored => &["S1"],
        Bug::HistorySkipped => &["history"],
        Bug::ParentsConfused | Bug::GoneUnnoticed => &["missing"],
        Bug::SentInDoubt | Bug::LaneOvertaken => &["S16"],
        Bug::CopySends => &["copy"],
        Bug::LoserDropped => &["S19"],
        Bug::LedgerWithoutRows => &["S19", "S1"],
        Bug::PartIsWhole => &["S1"],
        Bug::DeletionForgotten | Bug::ColumnForgotten => &["S19"],
        Bug::PartProvesItself => &["hand-off"],
        Bug::StrangerBelieved | Bug::ChangedBelieved => &["S21"],
        Bug::UnpackedStays => &["S25"],
        Bug::KeyOfWholeRecord => &["S5"],
    }
}

/// A seed near one that shows the bug: where the search begins, before it looks everywhere. Bugs that
/// nearly every life shows need none.
fn begins_at(bug: Bug) -> u64 {
    match bug {
        Bug::NormalSync => 136,
        Bug::ShortPageIsTheEnd => 301,
        Bug::TotalIgnored => 762,
        Bug::ShiftIgnored => 207,
        Bug::ParentsConfused => 53,
        Bug::LoserDropped => 40,
        Bug::PartIsWhole => 43,
        Bug::DeletionForgotten => 48,
        Bug::ChangedBelieved => 123,
        _ => 0,
    }
}

/// The first violation of a planted bug, and the seed that shows it.
fn hunt(bug: Bug) -> Option<(u64, String)> {
    let of_merges: Vec<Bug> = BUGS_OF_MERGE.into_iter().chain(BUGS_OF_LAPTOPS).collect();
    let next = AtomicU64::new(1);
    let found = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                plant(Some(bug));
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let done = found.lock().expect("no holder panics").is_some();
                    if seed > SEEDS_FOR_A_BUG || done {
                        return;
                    }
                    let seed = 1 + (begins_at(bug) + seed - 1) % SEEDS_FOR_A_BUG;
                    let outcome = match bug {
                        Bug::SentInDoubt | Bug::LaneOvertaken | Bug::CopySends => {
                            one_outbox(seed, false)
                        }
                        _ if of_merges.contains(&bug) => one_trio(seed, None, false),
                        _ => one(seed, &Limits::default(), false),
                    };
                    let by = outcome.violations.iter().find(|violation| {
                        catcher(bug).iter().any(|name| violation.contains(&format!("{name}:")))
                    });
                    if let Some(violation) = by {
                        let mut found = found.lock().expect("no holder panics");
                        found.get_or_insert((seed, violation.clone()));
                        return;
                    }
                }
            });
        }
    });
    found.into_inner().expect("no holder panics")
}

#[test]
fn every_planted_bug_is_caught_by_its_invariant() {
    let mut missed = Vec::new();
    #[allow(clippy::disallowed_methods)]
    let only = std::env::var("SIM_BUG").ok();
    let wanted = |bug: &Bug| only.as_ref().is_none_or(|only| format!("{bug:?}") == *only);
    for bug in BUGS.into_iter().chain(BUGS_OF_MERGE).chain(BUGS_OF_LAPTOPS).filter(wanted) {
        if hunt(bug).is_none() {
            missed.push(bug);
        }
    }
    assert_eq!(missed, []);
}

#[test]
fn no_power_cut_loses_or_damages_anything() {
    for seed in 1..=4 {
        let cuts = cut_everywhere(seed, 4, 1_000);
        assert_eq!(cuts.violations, [""; 0]);
        assert!(cuts.states >= 900 && cuts.twice > 50 && cuts.carried_on > 0, "{cuts:?}");
    }
}

#[test]
fn a_power_cut_that_loses_what_was_told_is_noticed() {
    plant(Some(Bug::NormalSync));
    let lost = (1..40).map(|seed| cut_everywhere(seed, 4, 3_000).violations);
    let lost: Vec<String> = lost.flatten().take(1).collect();
    plant(None);
    assert!(lost.first().is_some_and(|what| what.contains("S4:")), "{lost:?}");
}

#[test]
fn an_operation_that_fails_loses_or_damages_nothing() {
    let (lives, wrong) = fail_everywhere(1, 23);
    assert_eq!(wrong, [""; 0]);
    assert!(lives > 30, "{lives}");
}

//! The simulator as a test: many lives, and the same one twice. `tests/mutants` holds the bugs that
//! it must catch.

use windrow_sim::life::Limits;
use windrow_sim::power::{cut_everywhere, fail_everywhere};
use windrow_sim::swarm::{many, many_outboxes, many_trios, one, one_outbox, one_trio};

/// Lives in an ordinary test run, which has no optimised build; `.ci/run` has more of them in one.
/// `SIM_SEEDS` asks for more here.
const SEEDS: u64 = 600;

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

#[test]
fn no_power_cut_loses_or_damages_anything() {
    for seed in 1..=4 {
        let cuts = cut_everywhere(seed, 4, 1_000);
        assert_eq!(cuts.violations, [""; 0]);
        assert!(cuts.states >= 900 && cuts.twice > 50 && cuts.carried_on > 0, "{cuts:?}");
    }
}

#[test]
fn an_operation_that_fails_loses_or_damages_nothing() {
    let (lives, wrong) = fail_everywhere(1, 23);
    assert_eq!(wrong, [""; 0]);
    assert!(lives > 30, "{lives}");
}

//! `cargo run --release --bin sim -- --seeds 10000`: lives many simulated archives.
//!
//! `--outboxes 10000` lives as many outboxes, `--laptops 1000` as many times three laptops that
//! swap files (`--rounds N` of it each); `--seed N`, `--outbox-seed N` and `--laptop-seed N` live
//! one and print what happened. `--from N` begins at that seed, `--step N` lives every so-manyth one,
//! `--until S1,S10` ends at the first seed that breaks one of these invariants. Exit 1 when an
//! invariant was broken.

use std::process::ExitCode;
use std::time::Instant;

use windrow_sim::kill::kill_everywhere;
use windrow_sim::life::Limits;
use windrow_sim::power::{Cuts, cut_everywhere, fail_everywhere};
use windrow_sim::swarm::{
    Seeds, Sum, many, many_outboxes, many_trios, one, one_outbox, one_trio, shrink,
};

/// Images of one life; then another one is recorded.
const STATES_PER_LIFE: u64 = 10_000;

/// Cuts the power until so many images were looked at.
#[allow(clippy::disallowed_macros, clippy::disallowed_methods)]
fn cut_power(states: u64, from: u64) -> ExitCode {
    let began = Instant::now();
    let mut sum = Cuts::default();
    let mut lives = 0;
    for seed in from.. {
        if sum.states >= states || !sum.violations.is_empty() {
            break;
        }
        let most = STATES_PER_LIFE.min(states - sum.states);
        let cuts = cut_everywhere(seed, 4, most);
        lives += 1;
        sum.states += cuts.states;
        sum.twice += cuts.twice;
        sum.older += cuts.older;
        sum.adopted += cuts.adopted;
        sum.given += cuts.given;
        sum.verified += cuts.verified;
        sum.carried_on += cuts.carried_on;
        sum.violations.extend(cuts.violations);
    }
    println!(
        "{} power cuts in {lives} lives, {} of them twice, {} while an archive is brought to a \
         later format, {} around an adoption, {} while a file is made to be handed off (it was \
         there {} times), {} carried on by windrow, in {:.0} s: {} violations",
        sum.states,
        sum.twice,
        sum.older,
        sum.adopted,
        sum.given,
        sum.verified,
        sum.carried_on,
        began.elapsed().as_secs_f64(),
        sum.violations.len()
    );
    sum.violations.iter().take(10).for_each(|what| println!("{what}"));
    ExitCode::from(u8::from(!sum.violations.is_empty()))
}

/// Kills the `windrow` that lies beside this program.
#[allow(clippy::disallowed_macros, clippy::disallowed_methods)]
fn kill(kills: u64, from: u64) -> ExitCode {
    let began = Instant::now();
    let own = std::env::current_exe().expect("the system says where this program is");
    let sum = kill_everywhere(&own.with_file_name("windrow"), kills, from);
    println!(
        "{} kills ({} of them of a sync that waited, {} left a log to recover, {} came too late), \
         {} archives brought to their end, in {:.0} s: {} violations",
        sum.kills,
        sum.waiting,
        sum.logs,
        sum.late,
        sum.archives,
        began.elapsed().as_secs_f64(),
        sum.violations.len()
    );
    sum.violations.iter().take(10).for_each(|what| println!("{what}"));
    ExitCode::from(u8::from(!sum.violations.is_empty()))
}

/// Lets every operation of so many lives fail.
#[allow(clippy::disallowed_macros, clippy::disallowed_methods)]
fn fail_io(lives: u64) -> ExitCode {
    let began = Instant::now();
    let (mut failures, mut violations) = (0, Vec::new());
    for seed in 1..=lives {
        let (count, wrong) = fail_everywhere(seed, 1);
        failures += count;
        violations.extend(wrong.into_iter().map(|what| format!("seed {seed}: {what}")));
    }
    println!(
        "{failures} operations failed in {lives} lives, in {:.0} s: {} violations",
        began.elapsed().as_secs_f64(),
        violations.len()
    );
    violations.iter().take(10).for_each(|what| println!("{what}"));
    ExitCode::from(u8::from(!violations.is_empty()))
}

fn text<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}

fn number(arguments: &[String], name: &str) -> Option<u64> {
    text(arguments, name)?.parse().ok()
}

/// So many seeds, from the one and up to the violation that the arguments ask for.
fn seeds(arguments: &[String], count: u64) -> Seeds {
    let from = number(arguments, "--from").unwrap_or(1);
    let until = text(arguments, "--until").map(|names| names.split(',').map(str::to_owned));
    let step = number(arguments, "--step").unwrap_or(1).max(1);
    let until = until.into_iter().flatten().collect();
    Seeds { range: from..from + count * step, step, until }
}

#[allow(clippy::disallowed_macros, clippy::disallowed_methods)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(seed) = number(&arguments, "--seed") {
        let outcome = one(seed, &Limits::default(), true);
        let again = one(seed, &Limits::default(), false);
        println!("hash {} and again {}", outcome.digest, again.digest);
        let fails = !outcome.violations.is_empty() || outcome.digest != again.digest;
        if fails {
            let (without, runs) = shrink(seed);
            println!("still fails with {runs} runs and without {without:?}");
        }
        return ExitCode::from(u8::from(fails));
    }
    if let Some(states) = number(&arguments, "--power-cuts") {
        return cut_power(states, number(&arguments, "--from").unwrap_or(1));
    }
    if let Some(kills) = number(&arguments, "--kills") {
        return kill(kills, number(&arguments, "--from").unwrap_or(1));
    }
    if let Some(lives) = number(&arguments, "--fail-io") {
        return fail_io(lives);
    }
    let rounds = number(&arguments, "--rounds").and_then(|n| usize::try_from(n).ok());
    if let Some(seed) = number(&arguments, "--laptop-seed") {
        let outcome = one_trio(seed, rounds, true);
        println!("{} merges, {} crashes", outcome.merges, outcome.crashes);
        return ExitCode::from(u8::from(!outcome.violations.is_empty()));
    }
    if let Some(seed) = number(&arguments, "--outbox-seed") {
        let outcome = one_outbox(seed, true);
        return ExitCode::from(u8::from(!outcome.violations.is_empty()));
    }
    let threads = number(&arguments, "--threads").and_then(|n| usize::try_from(n).ok());
    let threads = threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let began = Instant::now();
    if let Some(count) = number(&arguments, "--outboxes") {
        let sum = many_outboxes(seeds(&arguments, count), threads);
        return told(&sum, "rounds of sending", began);
    }
    if let Some(count) = number(&arguments, "--laptops") {
        let sum = many_trios(seeds(&arguments, count), rounds, threads);
        println!("{} merges", sum.merges);
        return told(&sum, "syncs on three laptops", began);
    }
    let count = number(&arguments, "--seeds").unwrap_or(1_000);
    told(&many(seeds(&arguments, count), threads), "syncs", began)
}

#[allow(clippy::disallowed_macros, clippy::disallowed_methods)]
fn told(sum: &Sum, runs: &str, began: Instant) -> ExitCode {
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} seeds, {} {runs}, {} crashes, {} requests in {seconds:.1} s: {:.0} seeds a second; {} \
         failed",
        sum.seeds,
        sum.runs,
        sum.crashes,
        sum.requests,
        sum.seeds as f64 / seconds,
        sum.failures.len()
    );
    for (seed, violations) in sum.failures.iter().take(20) {
        println!("seed {seed}: {}", violations[0]);
    }
    if let Some((seed, violation)) = &sum.found {
        println!("the search ended at seed {seed}: {violation}");
    }
    ExitCode::from(u8::from(!sum.failures.is_empty()))
}

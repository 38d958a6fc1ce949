//! `windrow watch`: keep the archive up to date whenever there is a network.
//!
//! The archive is held during a round and free between two, so that it can be handed on or
//! ejected; each round reads the definition and the secrets anew.

use std::time::Duration;

use serde_json::json;

use crate::archive::{ArchiveError, Reader};
use crate::definition::Definition;
use crate::host::{Host, StopCause};
use crate::model::{Instant, instant_from_text, instant_to_text, printable};
use crate::report::count;
use crate::sync::{Rest, Round, SyncOptions, SyncReport, rest_after};

use super::args::{Global, UnitKind, WatchArguments};
use super::error::{Failure, USAGE};
use super::output::Output;
use super::sync::sync_once;
use super::unit::unit_text;
use super::workspace::{check_streams, load_for_sync, parse_duration};

/// The pause after a round that went well, where the arguments say nothing.
const EVERY: &str = "15 minutes";
/// How long the clock is left alone during a rest, milliseconds: after a night with the lid closed
/// the next round begins within this.
const LOOK_MS: u64 = 2_000;
/// A network that has just come has no name server yet, milliseconds.
const SETTLE_MS: u64 = 1_000;

/// What is told of a round.
struct Told {
    state: &'static str,
    message: String,
    run: Option<i64>,
}

pub fn run(
    args: &WatchArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<u8, Failure> {
    if let Some(kind) = args.print_unit {
        return print_unit(kind, global, host, output);
    }
    let every = parse_duration(args.every.as_deref().unwrap_or(EVERY))?;
    if every < Duration::from_secs(1) {
        return Err(Failure::new(USAGE, "--every must be at least a second"));
    }
    let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    let mut definition = load_for_sync(global)?;
    check_streams(&definition, &args.streams)?;
    let (mut last, mut row) = (None, 0);
    let mut said = String::new();
    loop {
        let result = round(args, global, &definition, host)?;
        if let Some(code) = stopped(host) {
            return Ok(code);
        }
        let now = host.clock.now();
        let round = Round::of(&result);
        row = if last == Some(round) { row + 1 } else { 0 };
        last = Some(round);
        let not_before = next_permission(&definition);
        let rest = rest_after(round, row, every_ms, not_before, now, host.random.unit());
        tell(&told_of(round, &result), rest, now, &mut said, output)?;
        if !pause(rest, host) {
            return Ok(stopped(host).unwrap_or(0));
        }
        match load_for_sync(global) {
            Ok(anew) => definition = anew,
            // Somebody is just editing it: the last good one is used until it is whole again.
            Err(failure) => output.fail(&failure),
        }
    }
}

fn stopped(host: &Host) -> Option<u8> {
    match host.stop.cause()? {
        StopCause::Interrupt => Some(130),
        StopCause::Terminate => Some(143),
    }
}

fn round(
    args: &WatchArguments,
    global: &Global,
    definition: &Definition,
    host: &Host,
) -> Result<Result<SyncReport, ArchiveError>, Failure> {
    let options = SyncOptions {
        streams: args.streams.clone(),
        command: "watch".to_owned(),
        ..SyncOptions::default()
    };
    sync_once(definition, global, &options, host)
}

/// The earliest time at which a source that asked for a pause may be asked again.
fn next_permission(definition: &Definition) -> Option<Instant> {
    let waits = Reader::open(&definition.archive).and_then(|reader| reader.waits()).ok()?;
    waits.iter().filter_map(|wait| instant_from_text(&wait.not_before)).max()
}

fn told_of(round: Round, result: &Result<SyncReport, ArchiveError>) -> Told {
    let state = match round {
        Round::Complete => "synced",
        Round::Offline => "offline",
        Round::Waiting => "waiting",
        Round::Failing => "failing",
        Round::Broken => "broken",
        Round::Held => "held",
        Round::Storage => "storage",
    };
    match result {
        Err(error) => Told { state, message: error.message.clone(), run: None },
        Ok(report) => {
            let message = match report.gravest() {
                Some(trouble) => {
                    let left = report.windows_planned() - report.windows_completed();
                    let cure = trouble.cure.as_deref().unwrap_or("look at `windrow status`");
                    format!("{} ({} readings wait; {cure})", trouble.message, count(left))
                }
                None => {
                    let outcomes = report.outcomes();
                    let (new, changed) = (count(outcomes.inserted), count(outcomes.updated));
                    format!("{new} new, {changed} changed")
                }
            };
            Told { state, message, run: Some(report.run) }
        }
    }
}

/// Says how a round ended: always what was synced, other states when they change.
fn tell(
    told: &Told,
    rest: Rest,
    now: Instant,
    said: &mut String,
    output: &Output,
) -> Result<(), Failure> {
    let text = format!("{}: {}", told.state, told.message);
    let next = now + chrono::TimeDelta::milliseconds(rest.millis);
    if output.json() {
        output.json_line(&json!({
            "at": instant_to_text(now), "state": told.state, "message": told.message,
            "run": told.run, "next_at": instant_to_text(next),
            "until_network": rest.until_network,
        }))?;
    } else if told.state == "synced" || *said != text {
        let seconds = rest.millis / 1_000;
        let early = if rest.until_network { " or when the network comes back" } else { "" };
        output.say(&format!(
            "{} {}; again in {seconds} s{early}\n",
            now.format("%Y-%m-%d %H:%M:%S UTC"),
            printable(&text)
        ));
    }
    *said = text;
    Ok(())
}

/// Rests, and is false when the watch is to end. A lid that was closed counts by the wall clock, a
/// clock that was set back does not count at all.
fn pause(rest: Rest, host: &Host) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return false };
    runtime.block_on(async {
        let wake_at = host.clock.now() + chrono::TimeDelta::milliseconds(rest.millis);
        let began = host.clock.monotonic();
        let whole = Duration::from_millis(u64::try_from(rest.millis).unwrap_or(0));
        let mut network = host.network.comes_back();
        loop {
            let left = whole.saturating_sub(host.clock.monotonic().saturating_sub(began));
            if left.is_zero() || host.clock.now() >= wake_at {
                return true;
            }
            tokio::select! {
                biased;
                _ = host.stop.requested() => return false,
                () = &mut network, if rest.until_network => {
                    host.clock.pause(Duration::from_millis(SETTLE_MS)).await;
                    return host.stop.cause().is_none();
                }
                () = host.clock.pause(left.min(Duration::from_millis(LOOK_MS))) => {}
            }
        }
    })
}

fn print_unit(
    kind: UnitKind,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<u8, Failure> {
    let program = host.environment.program().ok_or_else(|| {
        Failure::new(super::error::BUG, "the system does not say where this program is")
    })?;
    let definition = global.definition.canonicalize().map_err(|error| {
        let name = global.definition.display();
        Failure::new(USAGE, format!("cannot find the definition {name}: {error}"))
            .cure("name it with --definition")
    })?;
    output.result(&unit_text(kind, &program, &definition))?;
    Ok(0)
}

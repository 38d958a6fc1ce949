//! `windrow watch`: keep the archive up to date whenever there is a network.
//!
//! The archive is held during a round and free between two, so that it can be handed on or
//! ejected; each round reads the definition and the secrets anew.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::definition::Definition;
use crate::host::Host;
use crate::model::numbers::{inflect, many};
use crate::model::{Command, Error, ErrorKind, ExitCode, count};
use crate::model::{Timestamp, instant_to_text, printable};
use crate::outbox::SendReport;
use crate::store::Reader;
use crate::sync::{SyncOptions, SyncReport};
use crate::watch::{
    QueueWatch, Rest, Round, UnitPaths, launchd_unit, rest_after, systemd_unit, task_unit,
};

use super::args::{UnitKind, WatchArguments};
use super::check::tell_after_round;
use super::global::Global;
use super::outbox::{folder_of, send_beside, tell_beside};
use super::output::Output;
use super::sync::sync_once;
use super::workspace::{check_streams, load_for_sync, load_secrets, network, parse_duration};

/// The pause after a round that went well, where the arguments say nothing.
const EVERY: &str = "15 minutes";
/// How long clock and outbox are left alone during a rest, milliseconds: after a night with the lid
/// closed the next round begins within this, and so does the sending of what was queued.
const LOOK_MS: u64 = 1_000;
/// A network that has just come has no name server yet, milliseconds.
const SETTLE_MS: u64 = 1_000;

/// What is told of a round.
struct RoundSummary {
    state: &'static str,
    message: String,
    run: Option<i64>,
}

pub fn run(
    args: &WatchArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    if let Some(kind) = args.print_unit {
        return print_unit(kind, global, host, output);
    }
    let every = parse_duration(args.every.as_deref().unwrap_or(EVERY))?;
    if every < Duration::from_secs(1) {
        return Err(Error::usage("--every must be at least a second"));
    }
    let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    let mut definition = load_for_sync(global, host)?;
    check_streams(&definition, &args.streams)?;
    let (mut last, mut row) = (None, 0);
    let (mut said, mut woken_by) = (String::new(), "start");
    // Where the archive was seen: one that is gone is not begun anew.
    let mut seen = None;
    loop {
        let gone = gone(seen.as_deref(), &definition.archive);
        let is_gone = gone.is_some();
        let (result, beside) = match gone {
            Some(error) => (Err(error), BesideFetch::default()),
            None => round(args, global, &definition, host)?,
        };
        let sent = &beside.sent;
        if let Some(code) = stopped(host) {
            return Ok(code);
        }
        if let Err(error) = &result
            && matches!(error.kind, ErrorKind::Unusable | ErrorKind::Unsafe | ErrorKind::Bug)
        {
            // No later round can be better, and a file that is not sound is not tried again.
            return result.map(|_| ExitCode::Done);
        }
        if definition.archive.exists() {
            seen = Some(definition.archive.clone());
        }
        let now = host.clock.now();
        let round = if is_gone { Round::Gone } else { Round::of(&result) };
        let round = if round == Round::Complete { after_sending(sent.as_ref()) } else { round };
        row = if last == Some(round) { row + 1 } else { 0 };
        last = Some(round);
        let not_before = next_permission(&definition, every_ms, now);
        let rest = rest_after(round, row, every_ms, not_before, now, host.random.unit());
        let rest = match sent.as_ref().and_then(|sent| sent.next_at()) {
            Some(at) => rest.no_later_than(at, now),
            None => rest,
        };
        let mut told = told_of(round, &result);
        told.message.push_str(&beside.message());
        tell(&told, rest, (now, woken_by), &mut said, output)?;
        let mut resting = Resting { definition: &definition, global, rest, said: &mut said };
        woken_by = match resting.rest(host, output)? {
            Woken::Network => "network",
            Woken::Stop => return Ok(stopped(host).unwrap_or(ExitCode::Done)),
            Woken::Time | Woken::Queue => "time",
        };
        match load_for_sync(global, host) {
            Ok(anew) => definition = anew,
            // Somebody is just editing it: the last good one is used until it is whole again.
            Err(failure) => output.fail(&failure),
        }
    }
}

/// An archive that was here before and is not now: a stick was pulled out, a folder is not mounted.
fn gone(seen: Option<&Path>, archive: &Path) -> Option<Error> {
    if seen != Some(archive) || archive.exists() {
        return None;
    }
    let message = format!("the archive {} is no longer there", archive.display());
    let help = "put the stick back in or mount the folder; to begin anew, end this watch first";
    Some(Error::new(ErrorKind::Storage, message).help(help))
}

fn stopped(host: &Host) -> Option<ExitCode> {
    host.stop.cause().map(ExitCode::from)
}

fn round(
    args: &WatchArguments,
    global: &Global,
    definition: &Definition,
    host: &Host,
) -> Result<(Result<SyncReport, Error>, BesideFetch), Error> {
    let options = SyncOptions {
        streams: args.streams.clone(),
        command: Command::Watch,
        ..SyncOptions::default()
    };
    let (report, sent) = match sync_once(definition, global, &options, host)? {
        Ok(once) => once,
        Err(error) => return Ok((Err(error), BesideFetch::default())),
    };
    Ok((Ok(report), after_fetch(sent, definition, global, host)?))
}

/// Queues what alerts say of what the round has read, and sends that at once.
fn after_fetch(
    sent: Option<SendReport>,
    definition: &Definition,
    global: &Global,
    host: &Host,
) -> Result<BesideFetch, Error> {
    let queued = match tell_after_round(definition, global, host) {
        Ok(queued) if queued.is_nothing() => return Ok(BesideFetch { sent, alerts: None }),
        Ok(queued) => queued,
        Err(failure) => {
            let alerts = Some(format!("alerts: {}", failure.message));
            return Ok(BesideFetch { sent, alerts });
        }
    };
    let mut alerts = queued.line();
    let secrets = load_secrets(definition, folder_of(global), host)?;
    let sent = match send_beside(
        definition,
        Command::Watch,
        &secrets,
        network(definition, false)?,
        host,
    ) {
        Ok(Some(after)) => Some(after.following(sent)),
        Ok(None) => sent,
        Err(error) => {
            alerts.push_str(&format!("; {}", error.message));
            sent
        }
    };
    Ok(BesideFetch { sent, alerts: Some(alerts) })
}

/// What a round did besides reading.
#[derive(Default)]
struct BesideFetch {
    sent: Option<SendReport>,
    alerts: Option<String>,
}

impl BesideFetch {
    fn message(&self) -> String {
        let sent = self.sent.as_ref().map(|sent| tell_beside(sent).trim_end().to_owned());
        let parts = [sent, self.alerts.clone()].into_iter().flatten();
        parts.map(|part| format!("; {part}")).collect()
    }
}

/// How a round ended that read everything, by what it sent.
fn after_sending(sent: Option<&SendReport>) -> Round {
    let error = sent.and_then(|sent| sent.errors.values().next());
    Round::after(error.map(|error| error.kind))
}

/// The earliest time at which a source that asked for a pause may be asked again; no later than
/// the next round would be, since other sources have asked for none, and somebody may lift it.
fn next_permission(definition: &Definition, every_ms: i64, now: Timestamp) -> Option<Timestamp> {
    let waits = Reader::open(&definition.archive).and_then(|reader| reader.waits()).ok()?;
    let waits = waits.iter().filter(|wait| definition.sources.contains_key(&wait.source));
    let earliest = waits.filter_map(|wait| wait.held(now)).map(|wait| wait.until).min()?;
    let round = now.checked_add_signed(chrono::TimeDelta::milliseconds(every_ms));
    Some(round.map_or(earliest, |round| round.min(earliest)))
}

fn told_of(round: Round, result: &Result<SyncReport, Error>) -> RoundSummary {
    let state = match round {
        Round::Complete => "synced",
        Round::Offline => "offline",
        Round::Waiting => "waiting",
        Round::Failing => "failing",
        Round::Broken => "broken",
        Round::Held => "held",
        Round::Gone => "gone",
        Round::Storage => "storage",
    };
    match result {
        Err(error) => RoundSummary { state, message: error.message.clone(), run: None },
        Ok(report) => {
            let message = match report.gravest() {
                Some(error) => {
                    let left = report.windows_planned() - report.windows_completed();
                    let help = error.help.as_deref().unwrap_or("look at `windrow status`");
                    let waiting = many(left, "fetch");
                    let wait = inflect(left, "waits", "wait");
                    format!("{} ({waiting} {wait}; {help})", error.message)
                }
                None => {
                    let outcomes = report.outcomes();
                    let (new, changed) = (count(outcomes.inserted), count(outcomes.updated));
                    format!("{new} new, {changed} changed")
                }
            };
            RoundSummary { state, message, run: Some(report.run) }
        }
    }
}

/// Says how a round ended: always what was synced, other states when they change.
fn tell(
    told: &RoundSummary,
    rest: Rest,
    (now, woken_by): (Timestamp, &str),
    said: &mut String,
    output: &Output,
) -> Result<(), Error> {
    let text = format!("{}: {}", told.state, told.message);
    let next = now + chrono::TimeDelta::milliseconds(rest.millis);
    if output.json() {
        output.json_line(&json!({
            "at": instant_to_text(now), "state": told.state, "message": told.message,
            "run": told.run, "next_at": instant_to_text(next),
            "until_network": rest.until_network, "woken_by": woken_by,
        }))?;
    } else if matches!(told.state, "synced" | "sent") || *said != text {
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

/// The rest between two rounds. What is queued meanwhile is sent at once; nothing else is read.
struct Resting<'a> {
    definition: &'a Definition,
    global: &'a Global,
    rest: Rest,
    said: &'a mut String,
}

impl Resting<'_> {
    fn rest(&mut self, host: &Host, output: &Output) -> Result<Woken, Error> {
        let ends = host.clock.monotonic() + self.rest.whole();
        loop {
            let mut queue = QueueWatch::begin(&self.definition.archive);
            match pause(self.rest, &mut || queue.has_more(), host) {
                Woken::Queue => self.send_queued(ends, host, output)?,
                woken => return Ok(woken),
            }
        }
    }

    fn send_queued(&mut self, ends: Duration, host: &Host, output: &Output) -> Result<(), Error> {
        let sent =
            load_secrets(self.definition, folder_of(self.global), host).and_then(|secrets| {
                let transports = network(self.definition, false)?;
                send_beside(self.definition, Command::Watch, &secrets, transports, host)
            });
        let now = host.clock.now();
        let left = ends.saturating_sub(host.clock.monotonic());
        self.rest.millis = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
        let message = match sent {
            Ok(None) => return Ok(()),
            Ok(Some(sent)) => {
                if let Some(at) = sent.next_at() {
                    self.rest = self.rest.no_later_than(at, now);
                }
                tell_beside(&sent).trim_end().to_owned()
            }
            Err(error) => error.message,
        };
        let told = RoundSummary { state: "sent", message, run: None };
        tell(&told, self.rest, (now, "outbox"), self.said, output)
    }
}

/// What ended a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    Time,
    Network,
    /// Somebody has queued a request.
    Queue,
    Stop,
}

/// Rests. A lid that was closed counts by the wall clock, a clock that was set back does not count
/// at all.
fn pause(rest: Rest, is_queued: &mut dyn FnMut() -> bool, host: &Host) -> Woken {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Woken::Stop };
    runtime.block_on(async {
        let wake_at = host.clock.now() + chrono::TimeDelta::milliseconds(rest.millis);
        let began = host.clock.monotonic();
        let whole = rest.whole();
        let mut network = host.network.comes_back();
        loop {
            let left = whole.saturating_sub(host.clock.monotonic().saturating_sub(began));
            if left.is_zero() || host.clock.now() >= wake_at {
                return Woken::Time;
            }
            tokio::select! {
                biased;
                _ = host.stop.requested() => return Woken::Stop,
                () = &mut network, if rest.until_network => {
                    host.clock.pause(Duration::from_millis(SETTLE_MS)).await;
                    return match host.stop.cause() {
                        None => Woken::Network,
                        Some(_) => Woken::Stop,
                    };
                }
                () = host.clock.pause(left.min(Duration::from_millis(LOOK_MS))) => {
                    if is_queued() {
                        return Woken::Queue;
                    }
                }
            }
        }
    })
}

fn print_unit(
    kind: UnitKind,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let program = host.environment.program().ok_or_else(|| {
        Error::new(ErrorKind::Bug, "the system does not say where this program is")
    })?;
    let definition = global.definition.canonicalize().map_err(|error| {
        let name = global.definition.display();
        Error::usage(format!("cannot find the definition {name}: {error}"))
            .help("name it with --definition")
    })?;
    let paths = UnitPaths::new(&program, &definition)?;
    let unit = match kind {
        UnitKind::Systemd => systemd_unit(&paths),
        UnitKind::Launchd => launchd_unit(&paths),
        UnitKind::TaskScheduler => task_unit(&paths),
    };
    output.exact(&unit?)?;
    Ok(ExitCode::Done)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::host::{Clock, Network, Pause, Stop, StopCause};

    /// A clock in which a pause passes at once, and in which the wall clock may leap meanwhile.
    struct Leaping {
        times: Mutex<(Timestamp, Duration)>,
        /// What the wall clock gains over the time that passes, at each pause, milliseconds.
        leap_ms: i64,
        pauses: Mutex<Vec<Duration>>,
    }

    impl Clock for Leaping {
        fn now(&self) -> Timestamp {
            self.times.lock().expect("no test panics in here").0
        }

        fn monotonic(&self) -> Duration {
            self.times.lock().expect("no test panics in here").1
        }

        fn pause(&self, duration: Duration) -> Pause<'_> {
            Box::pin(async move {
                // Others that are ready at the same moment have their turn first.
                tokio::task::yield_now().await;
                let mut times = self.times.lock().expect("no test panics in here");
                times.0 = times.0 + duration + chrono::TimeDelta::milliseconds(self.leap_ms);
                times.1 += duration;
                self.pauses.lock().expect("no test panics in here").push(duration);
            })
        }
    }

    /// A network that comes back at once, or never.
    struct Coming(bool);

    impl Network for Coming {
        fn link_is_up(&self) -> Option<bool> {
            None
        }

        fn comes_back(&self) -> Pause<'_> {
            let comes = self.0;
            Box::pin(async move {
                if !comes {
                    std::future::pending::<()>().await;
                }
            })
        }
    }

    const REST: Rest = Rest { millis: 600_000, until_network: true };

    /// How a rest of ten minutes ends, and the pauses that it took.
    fn rested(leap_ms: i64, comes: bool, rest: Rest, stop: Stop) -> (Woken, Vec<Duration>) {
        let start = chrono::DateTime::from_timestamp(1_767_225_600, 0).expect("in range");
        let clock = Arc::new(Leaping {
            times: Mutex::new((start, Duration::ZERO)),
            leap_ms,
            pauses: Mutex::default(),
        });
        let network = Arc::new(Coming(comes));
        let host = Host { clock: clock.clone(), network, ..Host::system(stop) };
        let woken = pause(rest, &mut || false, &host);
        let pauses = clock.pauses.lock().expect("no test panics in here").clone();
        (woken, pauses)
    }

    #[test]
    fn a_rest_passes_in_short_looks_at_the_clock() {
        let (woken, pauses) = rested(0, false, REST, Stop::never());
        assert_eq!((woken, pauses.len()), (Woken::Time, 600));
    }

    #[test]
    fn a_night_with_the_lid_closed_ends_the_rest() {
        let (woken, pauses) = rested(8 * 3_600_000, false, REST, Stop::never());
        assert_eq!((woken, pauses.len()), (Woken::Time, 1));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_prolong_the_rest() {
        let (woken, pauses) = rested(-30 * 86_400_000, false, REST, Stop::never());
        assert_eq!((woken, pauses.len()), (Woken::Time, 600));
    }

    #[test]
    fn the_network_wakes_whoever_waits_for_it_and_nobody_else() {
        let (woken, pauses) = rested(0, true, REST, Stop::never());
        assert_eq!((woken, pauses), (Woken::Network, vec![Duration::from_millis(SETTLE_MS)]));
        let rest = Rest { until_network: false, ..REST };
        assert_eq!(rested(0, true, rest, Stop::never()).0, Woken::Time);
    }

    #[test]
    fn a_signal_ends_the_rest_at_once() {
        let (switch, stop) = Stop::new();
        switch.ask(StopCause::Terminate);
        assert_eq!(rested(0, true, REST, stop), (Woken::Stop, Vec::new()));
    }
}

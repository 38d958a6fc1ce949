//! `windrow sync`: bring the archive up to date, once.

use std::path::Path;

use crate::cli::text::{drift_line, plain_table, sync_page};
use chrono_tz::Tz;

use crate::definition::{CursorMark, Definition, Start, StreamKind, parse_start};
use crate::host::Host;
use crate::http::{Budget, SourceErrorKind};
use crate::model::numbers::count;
use crate::model::{Command, Error, ExitCode, FieldChange, Timestamp, Window, printable};
use crate::model::{many, many_are};
use crate::outbox::SendReport;
use crate::store::{Archive, Reader};
use crate::sync::{
    Lanes, RunError, Silent, SyncFrom, SyncOptions, SyncParts, SyncReport, plan_run, sync,
};

use super::args::SyncArguments;
use super::global::Global;
use super::outbox::{beside_json, send_beside, tell_beside};
use super::output::Output;
use super::progress::SyncProgressBar;
use super::workspace::{
    check_sources, check_streams, load_for_sync, load_secrets, network, open_archive,
    parse_duration, tell_lifted,
};

/// Changes of fields that are told after a run: a source that renames everything fills no more than
/// a few screens; `_windrow_schema_log` has all.
const DRIFT_MAX: u32 = 100;
/// Errors that are told one by one: more would push the counts off the screen; `windrow status` has
/// the others.
const ERRORS_SHOWN_MAX: usize = 10;

pub fn run(
    args: &SyncArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let definition = load_for_sync(global, host)?;
    check_streams(&definition, &args.streams)?;
    check_sources(&definition, &args.now)?;
    let options = options(args, &definition, host.clock.now())?;
    if args.dry_run {
        return dry_run(&definition, &options, host, output);
    }
    let folder = global.definition.parent().unwrap_or(Path::new("."));
    let secrets = load_secrets(&definition, folder, host)?;
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    let archive = open_archive(&definition, Command::Sync, wait, host)?;
    for (trigger, table) in archive.idle_triggers()? {
        let idle = format!("the trigger `{trigger}` on `{table}` is not run by windrow");
        output.say(&format!("{}: see docs/ledger.md\n", printable(&idle)));
    }
    if args.accept_definition {
        accept_definition(&archive, &definition, &args.streams, output)?;
    }
    let lifted = archive.transaction(|tx| tx.lift_waits(&args.now, host.clock.now()))?;
    tell_lifted(&args.now, &lifted, output);
    let sent = match args.offline {
        true => Ok(None),
        false => {
            send_beside(&definition, Command::Sync, &secrets, network(&definition, false)?, host)
        }
    };
    let progress = SyncProgressBar::new(output);
    let parts = SyncParts {
        definition: &definition,
        host,
        transports: network(&definition, args.offline)?,
        secrets: secrets.clone(),
        observer: &progress,
    };
    let result = sync(&archive, parts, &options, Lanes::Overlapped);
    progress.finish();
    let report = result?;
    archive.close()?;
    let drift =
        Reader::open(&definition.archive)?.field_changes(None, Some(report.run), DRIFT_MAX)?;
    let sent = sent.inspect_err(|failure| output.fail(failure));
    show(&report, sent.as_ref().ok().and_then(Option::as_ref), &drift, output)?;
    Ok(exit_code(&report, &sent))
}

/// Notes for these streams, or for all, that what another request has fetched counts as before.
fn accept_definition(
    archive: &Archive,
    definition: &Definition,
    streams: &[String],
    output: &Output,
) -> Result<(), Error> {
    let history = archive.request_history()?;
    for stream in definition.streams.iter().map(|stream| &stream.name) {
        if !streams.is_empty() && !streams.contains(stream) {
            continue;
        }
        let changes = history.changes(&definition.text, stream);
        let accepted = archive.transaction(|tx| tx.accept_requests(stream, &changes, |_| true))?;
        let changed: Vec<&str> = accepted.changed.iter().map(String::as_str).collect();
        if !changed.is_empty() {
            let changed = changed.join(", ");
            output.say(&format!("{stream}: the change of {changed} does not matter\n"));
        }
    }
    Ok(())
}

/// The exit code of a sync that sent before it read; what could not be sent waits.
fn exit_code(report: &SyncReport, sent: &Result<Option<SendReport>, Error>) -> ExitCode {
    match (sent, report.exit_code()) {
        (Err(failure), ExitCode::Done | ExitCode::Incomplete) => failure.exit_code(),
        (Ok(Some(sent)), code) => sent.exit_code_beside(code),
        (_, code) => code,
    }
}

/// What one sync of a watch did, and what it sent before.
pub type Once = (SyncReport, Option<SendReport>);

/// One sync of a watch: nothing is shown, and what befalls the archive is not the end.
pub fn sync_once(
    definition: &Definition,
    global: &Global,
    options: &SyncOptions,
    host: &Host,
) -> Result<Result<Once, Error>, Error> {
    let folder = global.definition.parent().unwrap_or(Path::new("."));
    let secrets = load_secrets(definition, folder, host)?;
    let parts = SyncParts {
        definition,
        host,
        transports: network(definition, false)?,
        secrets: secrets.clone(),
        observer: &Silent,
    };
    let transports = network(definition, false)?;
    let round = || {
        let archive = open_archive(definition, options.command, None, host)?;
        let sent = send_beside(definition, options.command, &secrets, transports, host);
        let report = sync(&archive, parts, options, Lanes::Overlapped)?;
        archive.close()?;
        Ok((report, sent?))
    };
    Ok(round())
}

fn options(
    args: &SyncArguments,
    definition: &Definition,
    now: Timestamp,
) -> Result<SyncOptions, Error> {
    let time_max = args.max_time.as_deref().map(parse_duration).transpose()?;
    Ok(SyncOptions {
        streams: args.streams.clone(),
        from: from_of(args, definition, now)?,
        budget: Budget { requests_max: args.max_requests, bytes_max: args.max_bytes, time_max },
        command: Command::Sync,
        ..SyncOptions::default()
    })
}

/// From where the run reads again: a time, or a number for marks that are numbers.
fn from_of(
    args: &SyncArguments,
    definition: &Definition,
    now: Timestamp,
) -> Result<Option<SyncFrom>, Error> {
    let Some(from) = &args.from else { return Ok(None) };
    let (mut windows, mut zone, mut timed, mut counted) = (false, None, None, None);
    let streams = definition.streams.iter();
    for stream in streams.filter(|it| args.streams.is_empty() || args.streams.contains(&it.name)) {
        match &stream.kind {
            StreamKind::Window(rules) => {
                windows = true;
                zone.get_or_insert(rules.zone);
                timed.get_or_insert(&stream.name);
            }
            StreamKind::Cursor(rules) => match rules.mark {
                CursorMark::Integer { .. } => {
                    counted.get_or_insert(&stream.name);
                }
                CursorMark::Time { .. } => {
                    zone.get_or_insert(rules.zone);
                    timed.get_or_insert(&stream.name);
                }
            },
            StreamKind::Snapshot { .. } => {}
        }
    }
    if let (Some(timed), Some(counted)) = (timed, counted) {
        let message =
            format!("--from is a time for stream `{timed}` and a number for stream `{counted}`");
        return Err(Error::usage(message).help("name the streams that are read again"));
    }
    if args.to.is_some() && !windows {
        let message = "--to is for window streams, and none is selected";
        let help = "leave it out: a cursor and a snapshot are read up to their end";
        return Err(Error::usage(message).help(help));
    }
    if let Some(counted) = counted {
        let number = from.parse().map_err(|_| {
            let message =
                format!("--from {from}: the mark of stream `{counted}` is a whole number");
            Error::usage(message).help("for example `--from 1000`")
        })?;
        return Ok(Some(SyncFrom::Number(number)));
    }
    let zone = zone.unwrap_or(chrono_tz::UTC);
    let start = instant_of(from, zone, now)?;
    let end = args.to.as_deref().map(|to| instant_of(to, zone, now)).transpose()?;
    if end.is_some_and(|end| end <= start) || windows && start >= end.unwrap_or(now) {
        return Err(Error::usage("--to must be after --from"));
    }
    Ok(Some(SyncFrom::Time { start, end }))
}

/// A time as somebody writes it: a date, a timestamp, or so long before now.
fn instant_of(text: &str, zone: Tz, now: Timestamp) -> Result<Timestamp, Error> {
    match parse_start(text, zone, true) {
        Ok(Start::At(at)) => Ok(at),
        Ok(Start::Ago(span)) => Ok(span.before(now, zone).unwrap_or(now)),
        Err(message) => Err(Error::usage(message)),
    }
}

/// The stretch of window streams that a command is about, in their zone.
pub fn range(
    (from, to): (Option<&str>, Option<&str>),
    streams: &[String],
    definition: &Definition,
    now: Timestamp,
) -> Result<Option<Window>, Error> {
    let Some(from) = from else { return Ok(None) };
    let wanted = definition
        .streams
        .iter()
        .filter(|stream| streams.is_empty() || streams.contains(&stream.name));
    let zone = wanted.clone().find_map(|stream| match &stream.kind {
        StreamKind::Window(rules) => Some(rules.zone),
        _ => None,
    });
    let zone =
        zone.ok_or_else(|| Error::usage("--from is for window streams, and none is selected"))?;
    let instant = |text: &str| instant_of(text, zone, now);
    let start = instant(from)?;
    let end = to.map(instant).transpose()?.unwrap_or(now);
    let range = Window::new(start, end);
    range.map(Some).ok_or_else(|| Error::usage("--to must be after --from"))
}

fn dry_run(
    definition: &Definition,
    options: &SyncOptions,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let reader = match definition.archive.exists() {
        true => Some(Reader::open(&definition.archive)?),
        false => None,
    };
    let planned = plan_run(definition, reader.as_ref(), options, host.clock.now())?;
    if output.json() {
        planned.iter().try_for_each(|job| output.json_line(job))?;
        return Ok(ExitCode::Done);
    }
    let header = ["stream", "window", "asked", "why", "first request"].map(str::to_owned);
    let rows: Vec<Vec<String>> = planned
        .iter()
        .map(|job| {
            let name = match job.partition.as_str() {
                "" => job.stream.clone(),
                partition => format!("{} {partition}", job.stream),
            };
            let reason = serde_json::to_value(job.reason).expect("a reason is text");
            vec![
                printable(&name),
                job.window.clone().unwrap_or_else(|| "all".to_owned()),
                job.asked.clone().unwrap_or_else(|| "all".to_owned()),
                reason.as_str().unwrap_or_default().to_owned(),
                printable(&job.request),
            ]
        })
        .collect();
    output.result(&plain_table(&header, &rows, &[]))?;
    if let Some(reader) = &reader {
        for line in outdated_lines(reader, definition, options)? {
            output.say(&format!("{line}\n"));
        }
    }
    let waiting = definition.streams.iter().filter(|stream| {
        stream.for_each.is_some() && !planned.iter().any(|job| job.stream == stream.name)
    });
    for stream in waiting {
        output.say(&format!("{}: is planned once its parent has rows\n", stream.name));
    }
    output.say(&format!("{} due; nothing was asked\n", many_are(planned.len() as u64, "fetch")));
    Ok(ExitCode::Done)
}

/// What another request has fetched, a line for each stream that has any.
fn outdated_lines(
    reader: &Reader,
    definition: &Definition,
    options: &SyncOptions,
) -> Result<Vec<String>, Error> {
    let history = reader.request_history()?;
    let mut lines = Vec::new();
    for stream in &definition.streams {
        let name = &stream.name;
        if options.streams.is_empty() || options.streams.contains(name) {
            let changes = history.changes(&definition.text, name);
            let outdated = reader.outdated(name, &changes)?;
            let spoken = outdated.spoken(matches!(stream.kind, StreamKind::Window(_)));
            lines.extend(spoken.map(|spoken| format!("{name}: {spoken}")));
        }
    }
    Ok(lines)
}

fn show(
    report: &SyncReport,
    sent: Option<&SendReport>,
    drift: &[FieldChange],
    output: &Output,
) -> Result<(), Error> {
    if output.json() {
        let mut value = serde_json::to_value(report).expect("a report can be written as JSON");
        value["state"] = report.state().as_str().into();
        value["exit_code"] = report.exit_code().number().into();
        value["requests"] = report.stats.requests.into();
        value["retries"] = report.stats.retries.into();
        value["bytes"] = report.stats.bytes.into();
        value["outbox"] = sent.map(beside_json).into();
        value["drift"] = serde_json::to_value(drift).expect("a change can be written as JSON");
        output.json_line(&value)?;
    } else {
        output.result(&sync_page(report))?;
        output.result(&sent.map(tell_beside).unwrap_or_default())?;
    }
    for change in drift.iter().rev() {
        output.say(&format!("{}\n", drift_line(change)));
    }
    let told = report
        .errors
        .iter()
        .filter(|error| error.kind != SourceErrorKind::Stopped || report.stop.is_none());
    let mut causes: Vec<(&RunError, u64)> = Vec::new();
    for error in told {
        let same = |(first, _): &&mut (&RunError, u64)| {
            first.stream == error.stream
                && first.message == error.message
                && first.help == error.help
        };
        match causes.iter_mut().find(same) {
            Some((_, times)) => *times += 1,
            None => causes.push((error, 1)),
        }
    }
    let more = causes.len().saturating_sub(ERRORS_SHOWN_MAX);
    for (error, times) in causes.iter().take(ERRORS_SHOWN_MAX) {
        let parent = match error.partition.as_str() {
            "" => String::new(),
            partition => format!(" {partition}"),
        };
        let window = error.window.as_ref().map(|window| format!(" {window}")).unwrap_or_default();
        let others = match times {
            1 => String::new(),
            times => format!(" and {} more", count(times - 1)),
        };
        let place = format!("stream {}{parent}{window}{others}", error.stream);
        output.error(&format!("{place}: {}", error.message), error.help.as_deref());
    }
    if more > 0 {
        let causes = many(more as u64, "more cause");
        output.say(&format!("and {causes}; `windrow status` shows them\n"));
    }
    let waiting = report.windows_planned().saturating_sub(report.windows_completed());
    if report.stop.is_some() {
        output.say("stopped: the current page was rolled back, everything before it is kept\n");
    }
    let left_out = report.streams.iter().filter(|stream| stream.left_out);
    let left_out: Vec<&str> = left_out.map(|stream| stream.stream.as_str()).collect();
    if !left_out.is_empty() {
        output.say(&format!("left for the next sync: {}\n", left_out.join(", ")));
    }
    if waiting > 0 {
        let wait = if waiting == 1 { "waits" } else { "wait" };
        output.say(&format!("{} {wait} for the next sync\n", many(waiting, "fetch")));
    }
    Ok(())
}

//! `windrow rejects`: records that could not become rows.

use crate::cli::text::{reject_page, rejects_table, retry_page};
use crate::definition::{Start, parse_start};
use crate::host::Host;
use crate::model::{Command, Error, ExitCode, count};
use crate::record::pretty;
use crate::store::{Archive, Reader, RejectSelection, RejectState};
use crate::sync::{RetryReport, retry};

use super::args_rejects::{
    RejectChoice, RejectsArguments, RejectsCommand, RejectsDiscard, RejectsList, RejectsRetry,
    RejectsShow,
};
use super::global::Global;
use super::output::Output;
use super::workspace::{load_for_reading, load_for_sync, open_archive, parse_duration};

/// Lines of a record that are shown: about what a terminal shows at once; `--json` has the whole
/// record.
const LINES_SHOWN_MAX: usize = 60;

pub fn run(
    args: &RejectsArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    match &args.command {
        None => list(&args.list, global, host, output),
        Some(RejectsCommand::List(args)) => list(args, global, host, output),
        Some(RejectsCommand::Show(args)) => show(args, global, host, output),
        Some(RejectsCommand::Retry(args)) => try_again(args, global, host, output),
        Some(RejectsCommand::Discard(args)) => discard(args, global, host, output),
    }
}

fn selection(
    choice: &RejectChoice,
    ids: &[i64],
    state: Option<RejectState>,
) -> Result<RejectSelection, Error> {
    let at = choice.window.as_deref().map(|text| match parse_start(text, chrono_tz::UTC, false) {
        Ok(Start::At(at)) => Ok(at),
        Ok(Start::Ago(_)) => Err(Error::usage("--window is a date or a timestamp")),
        Err(message) => Err(Error::usage(message)),
    });
    Ok(RejectSelection {
        ids: ids.to_vec(),
        stream: choice.stream.clone(),
        kind: choice.kind.clone(),
        run: choice.run,
        at: at.transpose()?,
        state,
    })
}

fn list(
    args: &RejectsList,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let state = match (args.discarded, args.closed) {
        (true, _) => RejectState::Discarded,
        (false, true) => RejectState::Closed,
        (false, false) => RejectState::Open,
    };
    let selection = selection(&args.choice, &[], Some(state))?;
    let (_, path) = load_for_reading(global, host)?;
    let reader = Reader::open(&path)?;
    if output.json() {
        let mut told = Ok(());
        reader.each_reject(&selection, args.limit, |entry| {
            if told.is_ok() {
                told = output.json_line(&entry);
            }
        })?;
        return told.map(|()| ExitCode::Done);
    }
    let mut listed = Vec::new();
    reader.each_reject(&selection, args.limit, |entry| listed.push(entry))?;
    if listed.is_empty() {
        output.say(&format!("there is no {} reject\n", state.as_str()));
        return Ok(ExitCode::Done);
    }
    output.result(&rejects_table(&listed))?;
    let all = reader.count_rejects(&selection)?;
    let shown = listed.len() as u64;
    if shown < all {
        output.say(&format!("{} of {} are listed; `-n` lists more\n", count(shown), count(all)));
    }
    Ok(ExitCode::Done)
}

fn show(
    args: &RejectsShow,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (_, path) = load_for_reading(global, host)?;
    let reject = Reader::open(&path)?.reject(args.reject)?;
    let reject = reject.ok_or_else(|| no_reject(args.reject))?;
    if output.json() {
        output.json_line(&reject)?;
        return Ok(ExitCode::Done);
    }
    let lines = pretty(&reject.record, reject.entry.pointer.as_deref(), LINES_SHOWN_MAX);
    output.result(&reject_page(&reject, &lines))?;
    Ok(ExitCode::Done)
}

fn no_reject(id: i64) -> Error {
    Error::usage(format!("there is no reject {id}")).help("`windrow rejects` lists them")
}

/// Refuses numbers that are no rejects, before anything is changed.
fn check_ids(archive: &Archive, ids: &[i64]) -> Result<Reader, Error> {
    let reader = archive.reopen()?;
    for id in ids {
        reader.reject(*id)?.ok_or_else(|| no_reject(*id))?;
    }
    Ok(reader)
}

fn try_again(
    args: &RejectsRetry,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    // What a person names is meant, also where it is open no longer.
    let state = args.rejects.is_empty().then_some(RejectState::Open);
    let selection = selection(&args.choice, &args.rejects, state)?;
    let definition = load_for_sync(global, host)?;
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    Reader::open(&definition.archive)?;
    let archive = open_archive(&definition, Command::RejectsRetry, wait, host)?;
    let chosen = check_ids(&archive, &args.rejects)?.count_rejects(&selection)?;
    let report = match chosen {
        0 => RetryReport::default(),
        _ => retry(&archive, &definition, host, &selection, args.dry_run)?,
    };
    archive.close()?;
    if output.json() {
        let (run, streams) = (report.run, &report.streams);
        output.json_line(&serde_json::json!({
            "dry_run": args.dry_run, "run": run, "streams": streams,
        }))?;
        return Ok(ExitCode::Done);
    }
    if chosen == 0 {
        output.say("there is no such open reject\n");
        return Ok(ExitCode::Done);
    }
    output.result(&retry_page(&report))?;
    let tried: u64 = report.streams.iter().map(|stream| stream.outcomes.received).sum();
    if tried < chosen {
        let left = count(chosen - tried);
        output.say(&format!(
            "{left} were not tried: the definition has no such stream, or it has no table yet\n"
        ));
    }
    if args.dry_run {
        output.say("nothing was changed\n");
    }
    Ok(ExitCode::Done)
}

fn discard(
    args: &RejectsDiscard,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let choice = &args.choice;
    let none = choice.stream.is_none() && choice.kind.is_none() && choice.run.is_none();
    if none && choice.window.is_none() && args.rejects.is_empty() {
        let help = "name rejects by their numbers, or by --stream, --kind, --run or --window";
        return Err(Error::usage("no reject to discard was named").help(help));
    }
    if args.note.trim().is_empty() {
        let help = "give the reason why these records are not needed";
        return Err(Error::usage("the note is empty").help(help));
    }
    let selection = selection(choice, &args.rejects, None)?;
    let definition = load_for_sync(global, host)?;
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    Reader::open(&definition.archive)?;
    let archive = open_archive(&definition, Command::RejectsDiscard, wait, host)?;
    let chosen = check_ids(&archive, &args.rejects)?.count_rejects(&selection)?;
    let names = ["USER", "LOGNAME", "USERNAME"];
    let login = || names.iter().find_map(|name| host.environment.variable(name));
    let who = args.by.clone().or_else(login).unwrap_or_else(|| "unknown".to_owned());
    let now = host.clock.now();
    let discarded =
        archive.transaction(|tx| tx.discard_rejects(&selection, &who, &args.note, now))?;
    archive.close()?;
    tracing::info!(discarded, who, note = args.note, "rejects were set aside");
    let before = chosen - discarded;
    if output.json() {
        output.json_line(&serde_json::json!({ "discarded": discarded, "before": before }))?;
        return Ok(ExitCode::Done);
    }
    output.result(&format!("{} set aside\n", count(discarded)))?;
    if before > 0 {
        output.say(&format!("{} had been set aside before and keep their note\n", count(before)));
    }
    Ok(ExitCode::Done)
}

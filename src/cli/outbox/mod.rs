//! `windrow outbox`: queue writes while offline and have each take effect once.

mod add;
mod change;
mod send;
mod serve;

use std::path::Path;

use serde_json::json;

use crate::cli::text::{outbox_json, outbox_page, outbox_row_json, outbox_table};
use crate::definition::Definition;
use crate::host::Host;
use crate::model::{Command, EntryState, Error, instant_to_text};
use crate::model::{ExitCode, count};
use crate::outbox::{Outbox, OutboxEntry};
use crate::store::{Opening, Reader, holder_note};

use super::args_outbox::{OutboxArguments, OutboxChoice, OutboxCommand, OutboxList};
use super::global::Global;
use super::output::Output;
use super::workspace::{load_for_reading, waiting_for};

pub use send::{beside_json, send_beside, tell_beside};

pub fn run(
    args: &OutboxArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    match &args.command {
        None => list(&args.list, global, host, output),
        Some(OutboxCommand::List(args)) => list(args, global, host, output),
        Some(OutboxCommand::Show(args)) => show(args, global, host, output),
        Some(OutboxCommand::Add(args)) => add::run(args, global, host, output),
        Some(OutboxCommand::Send(args)) => send::run(args, global, host, output),
        Some(OutboxCommand::Serve(args)) => serve::run(args, global, host, output),
        Some(OutboxCommand::Cancel(args)) => change::cancel(args, global, host, output),
        Some(OutboxCommand::Resolve(args)) => change::resolve(args, global, host, output),
        Some(OutboxCommand::Retry(args)) => change::retry(args, global, host, output),
        Some(OutboxCommand::Prune(args)) => change::prune(args, global, host, output),
    }
}

fn list(
    args: &OutboxList,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (_, path) = load_for_reading(global, host)?;
    let reader = Reader::open(&path)?;
    let state = args.state.as_deref().and_then(|state| state.parse::<EntryState>().ok());
    let rows = reader.outbox_list(state, args.limit)?;
    if output.json() {
        rows.iter().try_for_each(|row| output.json_line(&outbox_row_json(row)))?;
        return Ok(ExitCode::Done);
    }
    if rows.is_empty() {
        output.say(&match state {
            Some(state) => format!("the outbox has no entry that is {}\n", state.as_str()),
            None => "the outbox is empty\n".to_owned(),
        });
        return Ok(ExitCode::Done);
    }
    output.result(&outbox_table(&rows))?;
    let counts = reader.outbox_counts()?.into_iter();
    let all: u64 = counts.filter(|c| state.is_none_or(|s| s == c.state)).map(|c| c.entries).sum();
    if (rows.len() as u64) < all {
        let shown = count(rows.len() as u64);
        output.say(&format!("{shown} of {} are listed; `-n` lists more\n", count(all)));
    }
    Ok(ExitCode::Done)
}

fn show(
    args: &OutboxChoice,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (_, path) = load_for_reading(global, host)?;
    let reader = Reader::open(&path)?;
    let number = one_of(&reader.outbox_find(&args.key, args.source.as_deref())?, &args.key)?;
    let entry = reader.outbox_entry(number)?.ok_or_else(|| no_entry(&args.key))?;
    let attempts = reader.outbox_attempts(number)?;
    if output.json() {
        output.json_line(&outbox_json(&entry, &attempts))?;
    } else {
        output.result(&outbox_page(&entry, &attempts))?;
    }
    Ok(ExitCode::Done)
}

/// The one entry of a key.
fn one_of(numbers: &[i64], key: &str) -> Result<i64, Error> {
    match numbers {
        [number] => Ok(*number),
        [] => Err(no_entry(key)),
        _ => Err(Error::usage(format!("two sources have an entry of the key {key:?}"))
            .help("say which one with --source")),
    }
}

fn no_entry(key: &str) -> Error {
    Error::usage(format!("there is no entry with the key {key:?}"))
        .help("`windrow outbox list` shows them")
}

/// Opens the archive beside whoever has it.
pub fn open_outbox(
    definition: &Definition,
    wait: Option<std::time::Duration>,
    host: &Host,
) -> Result<Outbox, Error> {
    let opening = Opening {
        note: &holder_note(Command::Outbox, host.clock.now()),
        now: &instant_to_text(host.clock.now()),
        allow_network_fs: definition.allow_network_fs,
        files: &*host.files,
    };
    waiting_for(wait, host, || Outbox::open(&definition.archive, &opening))
}

/// Opens the archive, which must be there, and finds an entry in it.
fn find(
    definition: &Definition,
    choice: &OutboxChoice,
    host: &Host,
) -> Result<(Outbox, OutboxEntry), Error> {
    Reader::open(&definition.archive)?;
    let outbox = open_outbox(definition, None, host)?;
    let number = one_of(&outbox.outbox_find(&choice.key, choice.source.as_deref())?, &choice.key)?;
    let entry = outbox.outbox_entry(number)?.ok_or_else(|| no_entry(&choice.key))?;
    Ok((outbox, entry))
}

/// Tells how an entry stands after it was changed.
fn tell(outbox: &Outbox, entry: i64, output: &Output) -> Result<(), Error> {
    let Some(now) = outbox.outbox_entry(entry)? else { return Ok(()) };
    if output.json() {
        return output.json_line(&outbox_json(&now, &outbox.outbox_attempts(entry)?));
    }
    output.result(&format!("{}: {}\n", now.brief.key, now.brief.state.as_str()))
}

/// What was counted, as JSON or in words.
fn tell_count(name: &str, number: u64, output: &Output) -> Result<(), Error> {
    if output.json() {
        return output.json_line(&json!({ name: number }));
    }
    output.result(&format!("{} {name}\n", count(number)))
}

/// The folder of the definition, from which secret files are named.
pub fn folder_of(global: &Global) -> &Path {
    global.definition.parent().unwrap_or(Path::new("."))
}

//! `windrow outbox send`, and the sending that `sync` and `watch` do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::cli::args_outbox::OutboxSend;
use crate::cli::global::Global;
use crate::cli::output::Output;
use crate::cli::text::{outbox_plan_table, planned_json};
use crate::cli::workspace::{check_sources, load_for_sync, load_secrets, network, tell_lifted};
use crate::definition::Definition;
use crate::host::Host;
use crate::http::{SecretValues, Transport};
use crate::model::{Command, EntryState, Error, printable};
use crate::model::{ExitCode, count};
use crate::outbox::{
    Doing, Outbox, OutboxCount, SendOptions, SendParts, SendReport, SendScene, Senders, plan, send,
};
use crate::store::{Reader, holder_note};
use crate::waits::WaitRow;

use super::{folder_of, one_of, open_outbox};

/// Entries and errors that are told one by one: about a screen; `outbox list` has all entries.
const TOLD_MAX: usize = 20;

pub fn run(
    args: &OutboxSend,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let definition = load_for_sync(global, host)?;
    check_sources(&definition, &args.now)?;
    Reader::open(&definition.archive)?;
    let outbox = open_outbox(&definition, None, host)?;
    if args.dry_run {
        return dry_run(&definition, &outbox, host, output);
    }
    let entries = args.keys.iter().map(|key| one_of(&outbox.outbox_find(key, None)?, key));
    let entries = entries.collect::<Result<Vec<i64>, Error>>()?;
    let options = SendOptions { entries, note: holder_note(Command::OutboxSend, host.clock.now()) };
    if !args.now.is_empty() {
        let lifted = outbox.transaction(|tx| tx.lift_waits(&args.now, host.clock.now()))?;
        tell_lifted(&args.now, &lifted, output);
    }
    let parts = SendParts {
        definition: &definition,
        host,
        transports: network(&definition, false)?,
        secrets: load_secrets(&definition, folder_of(global), host)?,
    };
    let report = send(&outbox, parts, &options)?;
    if output.json() {
        output.json_line(&report_json(&report))?;
    } else {
        tell(&report, output)?;
        tell_waits(&definition, host, output)?;
    }
    Ok(match &report.held_by {
        Some(_) if report.sent.is_empty() => ExitCode::Held,
        _ => report.exit_code(),
    })
}

fn dry_run(
    definition: &Definition,
    outbox: &Outbox,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let home = Senders::of(outbox.path(), host)?.homes(|| outbox.outbox_senders())?;
    let now = host.clock.now();
    let waits = outbox.waits_to_come(now)?;
    let scene = SendScene { sources: &definition.sources, home: &home, waits: &waits, now };
    let planned = plan(&outbox.outbox_open()?, &scene);
    if output.json() {
        planned.iter().try_for_each(|planned| output.json_line(&planned_json(planned)))?;
        return Ok(ExitCode::Done);
    }
    output.result(&outbox_plan_table(&planned))?;
    tell_waits(definition, host, output)?;
    let going = planned.iter().filter(|planned| planned.doing == Doing::Send).count();
    output.say(&format!("{} would be sent; nothing was\n", count(going as u64)));
    Ok(ExitCode::Done)
}

/// What a round of sending did, as JSON.
fn report_json(report: &SendReport) -> Value {
    let errors: BTreeMap<&String, &String> =
        report.errors.iter().map(|(source, error)| (source, &error.message)).collect();
    let waiting: Vec<Value> = report.waiting.iter().map(planned_json).collect();
    json!({
        "attempts": report.attempts, "entries": report.sent, "waiting": waiting,
        "errors": errors, "held_by": report.held_by, "exit_code": report.exit_code(),
    })
}

/// What a round of sending did, in words: what ended to stdout, the rest to stderr.
fn tell(report: &SendReport, output: &Output) -> Result<(), Error> {
    let mut text = String::new();
    for sent in &report.sent {
        let status = sent.status.map(|status| format!(" HTTP {status}")).unwrap_or_default();
        text.push_str(&format!("{}: {}{status}\n", sent.key, sent.state.as_str()));
    }
    output.result(&text)?;
    for (source, error) in &report.errors {
        let message = format!("source {source}: {}", error.message);
        output.error(&message, error.help.as_deref());
    }
    if let Some(holder) = &report.held_by {
        let holder = if holder.is_empty() { "another process" } else { holder };
        output.say(&format!("{holder} is sending\n"));
    }
    let shown = &report.waiting[..report.waiting.len().min(TOLD_MAX)];
    if !shown.is_empty() {
        output.say(&outbox_plan_table(shown));
    }
    let more = report.waiting.len() - shown.len();
    if more > 0 {
        output.say(&format!("and {} more; `windrow outbox list` shows them\n", count(more as u64)));
    }
    if report.sent.is_empty() && report.waiting.is_empty() && report.held_by.is_none() {
        output.say("nothing waits to be sent\n");
    }
    Ok(())
}

/// What sources have asked for, and how not to heed it.
fn tell_waits(definition: &Definition, host: &Host, output: &Output) -> Result<(), Error> {
    for wait in Reader::open(&definition.archive)?.waits_held(host.clock.now())? {
        let WaitRow { source, reason, .. } = wait;
        if definition.sources.contains_key(&source) {
            let help = format!("`windrow outbox send --now {source}` asks at once");
            output.say(&format!("{}; {help}\n", printable(&reason)));
        }
    }
    Ok(())
}

/// Sends what waits, for a command that does something else as well; nothing is opened and nobody
/// is asked when nothing waits.
pub fn send_beside(
    definition: &Definition,
    command: Command,
    secrets: &SecretValues,
    transports: BTreeMap<String, Arc<dyn Transport>>,
    host: &Host,
) -> Result<Option<SendReport>, Error> {
    let reader = Reader::open(&definition.archive)?;
    let is_ours = |counted: &OutboxCount| counted.state.is_open() && !counted.moved;
    if !reader.outbox_counts()?.iter().any(is_ours) {
        return Ok(None);
    }
    let outbox = open_outbox(definition, None, host)?;
    let parts = SendParts { definition, host, transports, secrets: secrets.clone() };
    let options =
        SendOptions { note: holder_note(command, host.clock.now()), ..SendOptions::default() };
    Ok(Some(send(&outbox, parts, &options)?))
}

/// One line of a command that sent beside what else it did.
pub fn tell_beside(report: &SendReport) -> String {
    let states = [EntryState::Done, EntryState::Rejected, EntryState::Unknown, EntryState::Expired];
    let ended = states.iter().filter(|state| report.count(**state) > 0);
    let ended = ended.map(|state| format!("{} {}", count(report.count(*state)), state.as_str()));
    let mut parts: Vec<String> = ended.collect();
    let waiting = report.waiting.iter().filter(|planned| !planned.doing.is_elsewhere());
    let waiting = waiting.count() as u64;
    if waiting > 0 {
        parts.push(format!("{} waiting", count(waiting)));
    }
    if report.held_by.is_some() {
        parts.push("another process is sending".to_owned());
    }
    if report.needs_person() {
        parts.push("a person has to decide: `windrow outbox list`".to_owned());
    }
    if parts.is_empty() {
        parts.push("nothing to send".to_owned());
    }
    format!("outbox: {}\n", parts.join(", "))
}

/// The same as JSON.
pub fn beside_json(report: &SendReport) -> Value {
    report_json(report)
}

//! What a person decides about entries: `cancel`, `resolve`, `retry`, `prune`.

use crate::cli::args_outbox::{OutboxChoice, OutboxPrune, OutboxResolve};
use crate::cli::global::Global;
use crate::cli::output::Output;
use crate::cli::workspace::load_for_sync;
use crate::definition::{Definition, Start, parse_start};
use crate::host::Host;
use crate::model::{EntryState, Error, ExitCode};
use crate::outbox::{Outbox, OutboxEntry, Settlement};
use crate::outbox::{Senders, claim_entry, fresh_key, sender_for};
use crate::store::Reader;

use super::{find, open_outbox, tell, tell_count};

/// Cancels an entry that cannot have had an effect.
pub fn cancel(
    args: &OutboxChoice,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let definition = load_for_sync(global, host)?;
    let (outbox, entry) = find(&definition, args, host)?;
    let brief = &entry.brief;
    let refuse = |message: String, help: &str| Err(Error::usage(message).help(help));
    let key = &brief.key;
    match brief.state {
        EntryState::Queued if !brief.in_doubt => {}
        EntryState::Cancelled => {
            tell(&outbox, brief.entry, output)?;
            return Ok(ExitCode::Done);
        }
        EntryState::Queued | EntryState::Sending | EntryState::Unknown => {
            let message = format!("{key} has been sent, and may have taken effect");
            return refuse(message, "look at the API, then decide with `windrow outbox resolve`");
        }
        state => {
            let message = format!("{key} is {}: there is nothing to cancel", state.as_str());
            return refuse(message, "an effect is undone by another request");
        }
    }
    let end = Settlement {
        state: EntryState::Cancelled,
        note: Some("a person took it back".to_owned()),
        ..Settlement::nothing(host.clock.now())
    };
    if !outbox.transaction(|tx| tx.change(brief.entry, EntryState::Queued, &end))? {
        return refuse(format!("{key} is just being sent"), "look again in a moment");
    }
    log(&entry, "cancelled");
    tell(&outbox, brief.entry, output)?;
    Ok(ExitCode::Done)
}

/// Settles an entry in doubt by what a person says of it.
pub fn resolve(
    args: &OutboxResolve,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let definition = load_for_sync(global, host)?;
    let (outbox, entry) = find(&definition, &args.choice, host)?;
    let (number, key) = (entry.brief.entry, &entry.brief.key);
    let senders = Senders::of(outbox.path(), host)?;
    let ours = senders.homes(|| outbox.outbox_senders())?.contains(&entry.brief.owner);
    let doubtful = entry.brief.state == EntryState::Unknown || entry.brief.in_doubt;
    let moved = is_moved(&entry, &definition);
    // Only this archive's own sender can be at it; a copy's was left as it is.
    let busy = ours && entry.brief.state == EntryState::Sending;
    if busy || !(entry.brief.state.is_open() && (doubtful || !ours || moved)) {
        let state = entry.brief.state.as_str();
        let message = format!("{key} is {state}: there is nothing to resolve");
        let help = "`resolve` is for entries that are unknown, in doubt, or of another archive";
        return Err(Error::usage(message).help(help));
    }
    if let Some(moved) = entry.brief.moved.as_ref().filter(|_| args.resend && !args.even_if_moved) {
        let message = format!("{key} was {}, and it may be sent there", moved.text());
        let help = "sent from both, it takes effect twice: ask whoever has that file. If nobody \
            sends it there, add `--even-if-moved`; `windrow merge` of that file brings its result";
        return Err(Error::usage(message).help(help));
    }
    let now = host.clock.now();
    let mut end = Settlement::nothing(now);
    if args.done {
        end.state = EntryState::Done;
        end.note = Some("a person says that it has taken effect".to_owned());
    } else if args.cancel {
        end.state = EntryState::Cancelled;
        end.note = Some("a person says that it has not taken effect".to_owned());
    } else {
        let address = definition.sources.get(&entry.brief.source).map(|s| s.base_url.to_string());
        claim_entry(&outbox, host, number, address.as_deref(), now)?;
        end.afresh = true;
        end.note = Some("a person had it sent again".to_owned());
    }
    if !outbox.transaction(|tx| tx.change(number, entry.brief.state, &end))? {
        let message = format!("{key} has just been changed by another process");
        return Err(Error::usage(message).help("look at it again"));
    }
    log(&entry, end.state.as_str());
    tell(&outbox, number, output)?;
    Ok(ExitCode::Done)
}

/// Whether the entry's source has another address by now.
fn is_moved(entry: &OutboxEntry, definition: &Definition) -> bool {
    let source = definition.sources.get(&entry.brief.source);
    source.is_none_or(|source| source.base_url.as_str() != entry.brief.base_url)
}

/// Queues a rejected or expired entry again, under a new key.
pub fn retry(
    args: &OutboxChoice,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let definition = load_for_sync(global, host)?;
    let (outbox, entry) = find(&definition, args, host)?;
    let sender = sender_for(&outbox, host)?;
    let key = fresh_key(host.random.bits());
    let now = host.clock.now();
    if !outbox.transaction(|tx| tx.retry(entry.brief.entry, &key, &sender, now))? {
        let (key, state) = (&entry.brief.key, entry.brief.state.as_str());
        let message = format!("{key} is {state}: only a rejected or expired entry is retried");
        let help = "`windrow outbox resolve` decides an unknown one; a queued one is sent anyway";
        return Err(Error::usage(message).help(help));
    }
    log(&entry, "queued");
    tell(&outbox, entry.brief.entry, output)?;
    Ok(ExitCode::Done)
}

/// Removes entries that ended before a time and whose keys no API remembers.
pub fn prune(
    args: &OutboxPrune,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let definition = load_for_sync(global, host)?;
    Reader::open(&definition.archive)?;
    let now = host.clock.now();
    let before = match parse_start(&args.before, chrono_tz::UTC, false) {
        Ok(Start::At(at)) => at,
        Ok(Start::Ago(span)) => span.before(now, chrono_tz::UTC).unwrap_or(now),
        Err(message) => return Err(Error::usage(message)),
    };
    let outbox: Outbox = open_outbox(&definition, None, host)?;
    let removed = outbox.transaction(|tx| tx.prune(before, now, args.done))?;
    tracing::info!(removed, "entries of the outbox were removed");
    tell_count("removed", removed, output)?;
    Ok(ExitCode::Done)
}

fn log(entry: &OutboxEntry, state: &str) {
    let (number, key) = (entry.brief.entry, &entry.brief.key);
    tracing::info!(entry = number, key, state, "a person changed an entry of the outbox");
}

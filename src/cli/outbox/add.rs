//! `windrow outbox add`: queue a request.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::cli::args_outbox::OutboxAdd;
use crate::cli::global::Global;
use crate::cli::output::Output;
use crate::cli::text::{outbox_json, outbox_page};
use crate::cli::workspace::{known_secrets, load_for_sync, parse_duration};
use crate::definition::{Definition, Source, Span, Start, WriteMethod, parse_start, suggest};
use crate::host::Host;
use crate::host::files::open_named;
use crate::model::{Error, ErrorKind, ExitCode, Timestamp};
use crate::outbox::{Added, NewEntry, OPEN_ENTRIES_MAX, Outbox};
use crate::outbox::{BODY_BYTES_MAX, GivenRequest, QueueRefusal, fresh_key, prepare, sender_for};

use super::{folder_of, no_entry, one_of, open_outbox};

pub fn run(
    args: &OutboxAdd,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let definition = load_for_sync(global, host)?;
    let source = source_of(&definition, args.source.as_deref())?;
    let now = host.clock.now();
    let new = NewRequest {
        source,
        method: method_of(&args.method)?,
        headers: headers_of(args)?,
        body: body_of(args)?,
        key: args.key.clone().unwrap_or_else(|| fresh_key(host.random.bits())),
        not_before: args.not_before.as_deref().map(|text| when(text, now)).transpose()?,
        expires_at: args.expires.as_deref().map(|text| when(text, now)).transpose()?,
    };
    let secrets = known_secrets(&definition, folder_of(global), host);
    // What is wrong with the request itself is told before an archive is made for it.
    new.entry(args, None, &secrets, "", now)?;
    let wait = parse_duration(&args.wait)?;
    let outbox = open_outbox(&definition, Some(wait), host)?;
    let after = args.after.as_deref().map(|key| number_of(&outbox, key, source)).transpose()?;
    let sender = sender_for(&outbox, host)?;
    let entry = new.entry(args, after, &secrets, &sender, now)?;
    let added = outbox.transaction(|tx| tx.add_all(std::slice::from_ref(&entry)))?;
    let added = added.into_iter().next();
    tell(added.unwrap_or(Added::Full), &entry, &outbox, output)
}

struct NewRequest<'a> {
    source: &'a Source,
    method: WriteMethod,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    key: String,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl NewRequest<'_> {
    fn entry(
        &self,
        args: &OutboxAdd,
        after: Option<i64>,
        secrets: &crate::http::SecretValues,
        sender: &str,
        now: Timestamp,
    ) -> Result<NewEntry, Error> {
        let given = GivenRequest {
            source: self.source,
            method: self.method,
            path: &args.path,
            headers: &self.headers,
            body: self.body.clone(),
            key: &self.key,
            lane: args.lane.as_deref(),
            after: args.after.as_deref().map(|key| (after.unwrap_or_default(), key)),
            not_before: self.not_before,
            expires_at: self.expires_at,
        };
        prepare(given, secrets, sender, now).map_err(refused)
    }
}

fn refused(refusal: QueueRefusal) -> Error {
    let kind = if refusal.is_secret { ErrorKind::Unsafe } else { ErrorKind::Usage };
    Error { help: refusal.help, ..Error::new(kind, refusal.message) }
}

fn source_of<'a>(definition: &'a Definition, name: Option<&str>) -> Result<&'a Source, Error> {
    let known = || definition.sources.keys().map(String::as_str);
    let Some(name) = name else {
        let mut sources = definition.sources.values();
        return match (sources.next(), sources.next()) {
            (Some(source), None) => Ok(source),
            _ => {
                let names: Vec<&str> = known().collect();
                let help = format!("name one with --source: {}", names.join(", "));
                Err(Error::usage("the definition has more than one source").help(help))
            }
        };
    };
    definition.sources.get(name).ok_or_else(|| {
        let mut failure = Error::usage(format!("there is no source `{name}`"));
        failure.help = suggest(name, known());
        failure
    })
}

fn method_of(text: &str) -> Result<WriteMethod, Error> {
    text.parse().map_err(|_| {
        Error::usage(format!("{text:?} is not a method that writes"))
            .help("the outbox takes POST, PUT, PATCH and DELETE")
    })
}

fn headers_of(args: &OutboxAdd) -> Result<Vec<(String, String)>, Error> {
    let mut headers = Vec::new();
    for header in &args.headers {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            Error::usage(format!("{header:?} is not a header such as `Prefer: minimal`"))
        })?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let content_type = args.content_type.iter();
    headers.extend(content_type.map(|kind| ("content-type".to_owned(), kind.clone())));
    Ok(headers)
}

fn body_of(args: &OutboxAdd) -> Result<Option<Vec<u8>>, Error> {
    if let Some(text) = &args.body {
        return Ok(Some(text.clone().into_bytes()));
    }
    let Some(path) = &args.body_file else { return Ok(None) };
    let body_error = |error: std::io::Error| {
        let failure = Error::file(
            ErrorKind::Usage,
            &format!("read the body from {}", path.display()),
            &error,
        );
        match failure.kind {
            ErrorKind::Unsafe => {
                failure.help("write it into a file, or give it on stdin: `--body-file -`")
            }
            _ => failure,
        }
    };
    let read = |from: &mut dyn Read| {
        let mut body = Vec::new();
        // One byte more tells that it is too large.
        from.take(BODY_BYTES_MAX as u64 + 1).read_to_end(&mut body).map(|_| body)
    };
    let body = if path == Path::new("-") {
        read(&mut std::io::stdin().lock())
    } else {
        open_named(path).and_then(|mut file| read(&mut file))
    };
    body.map(Some).map_err(body_error)
}

/// A time that may lie ahead: a date, a timestamp, or so long from now.
fn when(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    if let Ok(span) = Span::parse(text) {
        let at = span.after(now, chrono_tz::UTC);
        return at.ok_or_else(|| Error::usage(format!("`{text}` is out of range")));
    }
    match parse_start(text, chrono_tz::UTC, false) {
        Ok(Start::At(at)) => Ok(at),
        Ok(Start::Ago(_)) | Err(_) => {
            let message = format!("`{text}` is not a time");
            let help = "write a date (`2026-03-03`), a timestamp (`2026-03-03T12:00:00Z`), or a \
                time from now (`2 hours`)";
            Err(Error::usage(message).help(help))
        }
    }
}

/// The entry that another one waits for; of the same source, where two have the key.
fn number_of(outbox: &Outbox, key: &str, source: &Source) -> Result<i64, Error> {
    let own = outbox.outbox_find(key, Some(&source.name))?;
    let numbers = if own.is_empty() { outbox.outbox_find(key, None)? } else { own };
    if numbers.is_empty() { Err(no_entry(key)) } else { one_of(&numbers, key) }
}

fn tell(added: Added, new: &NewEntry, outbox: &Outbox, output: &Output) -> Result<ExitCode, Error> {
    match added {
        Added::New(number) => {
            if output.json() {
                let entry = outbox.outbox_entry(number)?.ok_or_else(|| no_entry(&new.key))?;
                output.json_line(&with_added(outbox_json(&entry, &[]), true))?;
            } else {
                output.result(&format!("{}\n", new.key))?;
                output.say(&format!("queued as entry {number}\n"));
            }
            Ok(ExitCode::Done)
        }
        Added::Same(entry) => {
            let attempts = outbox.outbox_attempts(entry.brief.entry)?;
            if output.json() {
                output.json_line(&with_added(outbox_json(&entry, &attempts), false))?;
            } else {
                output.result(&outbox_page(&entry, &attempts))?;
                output.say("this request was queued before under this key\n");
            }
            Ok(ExitCode::Done)
        }
        Added::Different(entry) => {
            let (key, number) = (&new.key, entry.brief.entry);
            let message = format!("the key {key:?} belongs to another request, entry {number}");
            let help = "a new request needs a key of its own: leave --key out to be given one";
            Err(Error::usage(message).help(help))
        }
        Added::Full => {
            let message = format!("the outbox has {OPEN_ENTRIES_MAX} open entries, the most");
            let help = "send them (`windrow outbox send`), or cancel those that nobody needs";
            Err(Error::new(ErrorKind::Storage, message).help(help))
        }
    }
}

fn with_added(mut entry: Value, added: bool) -> Value {
    entry["added"] = added.into();
    entry
}

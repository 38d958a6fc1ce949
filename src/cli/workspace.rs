//! What most commands start from: the definition, the archive's path, the secrets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::definition::{Definition, Span, parse_definition, suggest};
use crate::host::Host;
use crate::host::files::read_named_text;
use crate::http::{HttpTransport, NoTransport, SecretValues, Transport};
use crate::model::{Command, Error, ErrorKind, instant_to_text};
use crate::store::{Archive, Opening, Reader, StreamRow, holder_note, look_at_given};

use crate::trust::{FoundSecrets, archived_definition, refuse_untrusted};

use super::global::Global;
use super::output::Output;

/// How often a process that waits for the archive tries it, milliseconds.
const LOCK_POLL_MS: u64 = 100;
/// The most bytes of a definition: ten thousand streams have fewer.
const DEFINITION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A length of time on the command line.
pub fn parse_duration(text: &str) -> Result<Duration, Error> {
    let span = Span::parse(text).map_err(Error::usage)?;
    Ok(Duration::from_millis(u64::try_from(span.approximate_millis()).unwrap_or(0)))
}

/// Tries until nobody else has the archive, or the wait is over.
pub fn waiting_for<T>(
    wait: Option<Duration>,
    host: &Host,
    attempt: impl Fn() -> Result<T, Error>,
) -> Result<T, Error> {
    let began = host.clock.monotonic();
    loop {
        match attempt() {
            Err(error) if error.kind == ErrorKind::Held => {
                let waited = host.clock.monotonic().saturating_sub(began);
                if wait.is_none_or(|wait| waited >= wait) || host.stop.cause().is_some() {
                    return Err(error);
                }
                pause(host, Duration::from_millis(LOCK_POLL_MS));
            }
            other => return other,
        }
    }
}

/// Opens the archive for writing, or waits for whoever has it; `command` is what the next one is
/// told about us.
pub fn open_archive(
    definition: &Definition,
    command: Command,
    wait: Option<Duration>,
    host: &Host,
) -> Result<Archive, Error> {
    let opening = Opening {
        note: &holder_note(command, host.clock.now()),
        now: &instant_to_text(host.clock.now()),
        allow_network_fs: definition.allow_network_fs,
        files: &*host.files,
    };
    waiting_for(wait, host, || Archive::open(&definition.archive, &opening))
}

fn pause(host: &Host, duration: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    if let Ok(runtime) = runtime {
        runtime.block_on(host.clock.pause(duration));
    }
}

/// Reads the definition that the arguments name.
pub fn load_definition(global: &Global) -> Result<Definition, Error> {
    let file = &global.definition;
    let text = read_named_text(file, DEFINITION_BYTES_MAX).map_err(|error| {
        let doing = format!("read the definition {}", file.display());
        let failure = Error::file(ErrorKind::Usage, &doing, &error);
        if failure.kind == ErrorKind::Unsafe {
            return failure;
        }
        failure.help("name it with --definition, or start from the example in README.md")
    })?;
    let mut definition = parse_definition(&file.display().to_string(), &text)?;
    if definition.archive.is_relative()
        && let Some(folder) = file.parent()
    {
        definition.archive = folder.join(&definition.archive);
    }
    if let Some(archive) = &global.archive {
        definition.archive.clone_from(archive);
    }
    Ok(definition)
}

/// The definition where there is one, and the archive's path either way: a colleague who was
/// given only the archive can still look into it.
pub fn load_for_reading(
    global: &Global,
    host: &Host,
) -> Result<(Option<Definition>, PathBuf), Error> {
    if let Some(archive) = given_archive(global) {
        let definition = match look_at_given(archive, false, &host.stop)?.definition()? {
            // One that this program cannot read is no reason not to look at the rows.
            Some(text) => archived_definition(&text, archive, host).ok(),
            None => None,
        };
        return Ok((definition, archive.to_owned()));
    }
    let definition = load_definition(global)?;
    let archive = definition.archive.clone();
    Ok((Some(definition), archive))
}

/// As [`load_for_reading`], for a command that then writes to the archive.
pub fn load_for_writing(
    global: &Global,
    host: &Host,
) -> Result<(Option<Definition>, PathBuf), Error> {
    if let Some(archive) = given_archive(global) {
        look_at_given(archive, true, &host.stop)?;
    }
    load_for_reading(global, host)
}

/// The definition for a sync: the file, or what the archive was made by.
pub fn load_for_sync(global: &Global, host: &Host) -> Result<Definition, Error> {
    if let Some(archive) = given_archive(global).filter(|archive| archive.exists())
        && let Some(text) = look_at_given(archive, true, &host.stop)?.definition()?
    {
        return Ok(archived_definition(&text, archive, host)?);
    }
    load_definition(global)
}

/// The archive that was named, where no definition of the user's own says what it holds.
fn given_archive(global: &Global) -> Option<&Path> {
    let archive = global.archive.as_deref()?;
    (!global.definition.exists()).then_some(archive)
}

/// Refuses names that are no streams.
pub fn check_streams(definition: &Definition, names: &[String]) -> Result<(), Error> {
    for name in names {
        if definition.stream(name).is_none() {
            let known = definition.streams.iter().map(|stream| stream.name.as_str());
            let mut failure = Error::usage(format!("there is no stream `{name}`"));
            failure.help = suggest(name, known);
            return Err(failure);
        }
    }
    Ok(())
}

/// Refuses names that are no sources.
pub fn check_sources(definition: &Definition, names: &[String]) -> Result<(), Error> {
    for name in names {
        if !definition.sources.contains_key(name) {
            let known = definition.sources.keys().map(String::as_str);
            let mut failure = Error::usage(format!("there is no source `{name}`"));
            failure.help = suggest(name, known);
            return Err(failure);
        }
    }
    Ok(())
}

/// Says which of the sources that are to be asked at once had asked for a wait.
pub fn tell_lifted(wanted: &[String], lifted: &[String], output: &Output) {
    for source in wanted {
        let what = match lifted.contains(source) {
            true => "its wait is lifted",
            false => "it has not asked for a wait",
        };
        output.say(&format!("source {source}: {what}\n"));
    }
}

/// The archive's streams of these names, or all; refuses names that it has no stream of.
pub fn archived_streams(reader: &Reader, names: &[String]) -> Result<Vec<StreamRow>, Error> {
    let mut streams = reader.streams()?;
    for name in names {
        if !streams.iter().any(|stream| stream.stream == *name) {
            let known = streams.iter().map(|stream| stream.stream.as_str());
            let mut failure = Error::usage(format!("the archive has no stream `{name}`"));
            failure.help = suggest(name, known);
            return Err(failure);
        }
    }
    streams.retain(|stream| names.is_empty() || names.contains(&stream.stream));
    Ok(streams)
}

/// The values of the definition's secrets; all that are missing are told at once.
pub fn load_secrets(
    definition: &Definition,
    folder: &Path,
    host: &Host,
) -> Result<SecretValues, Error> {
    refuse_untrusted(definition)?;
    let found = FoundSecrets::of(definition, folder, host);
    super::log::keep_out(&found.values);
    found.complete(definition)
}

/// The values of those of the definition's secrets that are there: enough to keep them out.
pub fn known_secrets(definition: &Definition, folder: &Path, host: &Host) -> SecretValues {
    let found = FoundSecrets::of(definition, folder, host);
    if definition.is_trusted() {
        super::log::keep_out(&found.values);
    }
    found.values
}

/// The network, for each source.
pub fn network(
    definition: &Definition,
    offline: bool,
) -> Result<std::collections::BTreeMap<String, Arc<dyn Transport>>, Error> {
    if !offline {
        refuse_untrusted(definition)?;
    }
    crate::sync::transports(definition, |source| {
        if offline {
            return Ok(Arc::new(NoTransport) as Arc<dyn Transport>);
        }
        let transport = HttpTransport::to(source);
        let transport = transport.map_err(|error| {
            Error::new(ErrorKind::Bug, format!("cannot start an HTTP client: {error}"))
        })?;
        Ok(Arc::new(transport) as Arc<dyn Transport>)
    })
}

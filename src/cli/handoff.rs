//! `windrow handoff`: gives the archive to somebody as one file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::text::gave_page;
use crate::definition::{Definition, SecretReference};
use crate::handoff::Part;
use crate::handoff::envelope::{Packing, SigningKey};
use crate::handoff::{Gave, Giving, give};
use crate::host::Host;
use crate::http::{SEARCHED_BYTES_MIN, secrets_of};
use crate::model::{Command, Error, ErrorKind, printable, wrapped};
use crate::model::{ExitCode, many};
use crate::store::holder_note;

use super::global::Global;
use super::keys::{key_password, keyring};
use super::output::Output;
use super::workspace::{known_secrets, load_for_writing};
use crate::store::refuse_own;

#[derive(Debug, Args)]
pub struct HandoffArguments {
    /// The file to make
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
    /// A part: only what was written after this run
    #[arg(long, value_name = "RUN")]
    pub since: Option<i64>,
    /// A part: only these streams
    #[arg(long, value_name = "STREAM", value_delimiter = ',')]
    pub streams: Vec<String>,
    /// A part: only rows that meet this condition in SQL
    #[arg(long, value_name = "SQL")]
    pub r#where: Option<String>,
    /// Sign it: OUT.minisig, with your only key or the one of this name
    #[arg(long, value_name = "KEY", num_args = 0..=1, require_equals = true)]
    pub sign: Option<Option<String>>,
    /// Encrypt it to a trusted key's name, or to an age recipient
    #[arg(long, value_name = "RECIPIENT", value_delimiter = ',')]
    pub encrypt: Vec<String>,
    /// Compress it with zstd
    #[arg(long)]
    pub compress: bool,
    /// Move the waiting entries of the outbox into the copy; they are no longer sent from here
    #[arg(long)]
    pub with_outbox: bool,
    /// Make the copy although it holds the value of one of the definition's secrets
    #[arg(long)]
    pub allow_secrets: bool,
    /// Replace a file of that name
    #[arg(long)]
    pub force: bool,
}

pub fn run(
    args: &HandoffArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (definition, archive) = load_for_writing(global, host)?;
    refuse_own(&args.out, &archive, Some(&global.definition))?;
    let mut recipients = Vec::new();
    for named in &args.encrypt {
        recipients.push(keyring(host)?.recipient(named)?);
    }
    let (secrets, unsearched) = secrets(args, definition.as_ref(), global, host);
    let mut streams: Vec<String> = Vec::new();
    for name in &args.streams {
        if !streams.contains(name) {
            streams.push(name.clone());
        }
    }
    let giving = Giving {
        archive: &archive,
        out: &args.out,
        part: Part { since: args.since, streams, condition: args.r#where.clone() },
        packing: Packing { compress: args.compress, recipients },
        with_outbox: args.with_outbox,
        secrets,
        signing: signing(args, host)?,
        force: args.force,
        note: &holder_note(Command::Handoff, host.clock.now()),
    };
    let gave = match (give(&giving, host), host.stop.cause()) {
        (Err(error), Some(stop)) if error.kind == ErrorKind::Interrupted => {
            output.say("stopped: no file was made\n");
            return Ok(stop.into());
        }
        (gave, _) => gave?,
    };
    for why in &unsearched {
        output.say(&wrapped(0, &printable(&format!("note: {why}: its value was not looked for"))));
    }
    let out = args.out.display().to_string();
    if output.json() {
        output.json_line(&gave_json(&gave, &out))?;
        return Ok(ExitCode::Done);
    }
    for what in &gave.left_out {
        let what = printable(what);
        output.say(&wrapped(0, &format!("left out, since windrow did not make it: {what}")));
    }
    if gave.moved > 0 {
        let (wait, each) = if gave.moved == 1 { ("waits", "it") } else { ("wait", "each") };
        let requests = many(gave.moved, "request");
        output.say(&wrapped(
            0,
            &format!(
                "moved {requests} that {wait}: there, `windrow outbox resolve KEY --resend` takes \
             {each} over"
            ),
        ));
    }
    if let Some(why) = &gave.not_noted {
        output.say(&wrapped(0, &format!("not noted in the archive's own log: {}", printable(why))));
    }
    output.result(&gave_page(&gave, &out))?;
    Ok(ExitCode::Done)
}

/// The secrets that are set here, in every form, and why others are not looked for.
fn secrets(
    args: &HandoffArguments,
    definition: Option<&Definition>,
    global: &Global,
    host: &Host,
) -> (Vec<(String, String)>, Vec<String>) {
    let Some(definition) = definition.filter(|_| !args.allow_secrets) else {
        return Default::default();
    };
    let folder = global.definition.parent().unwrap_or(Path::new("."));
    let values = known_secrets(definition, folder, host);
    let mut named: Vec<SecretReference> = Vec::new();
    for (_, reference) in secrets_of(definition) {
        if !named.contains(&reference) {
            named.push(reference);
        }
    }
    let why = |reference: &SecretReference| match (values.value(reference), reference) {
        (Ok(value), _) if value.len() >= SEARCHED_BYTES_MIN => None,
        (Ok(_), _) => Some(format!("{reference} has fewer than {SEARCHED_BYTES_MIN} characters")),
        (Err(_), _) if !definition.is_trusted() => {
            Some(format!("{reference} is named by the archive alone, which is not trusted"))
        }
        (Err(_), SecretReference::Environment(name)) => {
            Some(format!("the variable {name} is not set"))
        }
        (Err(_), SecretReference::File(path)) => {
            Some(format!("the secret file {path} cannot be read"))
        }
    };
    (values.forms(), named.iter().filter_map(why).collect())
}

fn signing(args: &HandoffArguments, host: &Host) -> Result<Option<SigningKey>, Error> {
    let Some(name) = &args.sign else { return Ok(None) };
    if name.as_deref() == Some("") {
        let help = "say --sign for your only key, or name one (`windrow keys list`)";
        return Err(Error::usage("--sign= names no key").help(help));
    }
    let password = key_password(host);
    Ok(Some(keyring(host)?.signing_key(name.as_deref(), password.as_deref())?))
}

fn gave_json(gave: &Gave, out: &str) -> serde_json::Value {
    json!({
        "file": out,
        "bytes": gave.bytes,
        "sha256": gave.sha256,
        "signed_by": gave.signed_by,
        "left_out": gave.left_out,
        "moved": gave.moved,
        "noted": gave.not_noted.is_none(),
        "manifest": gave.manifest,
    })
}

//! `windrow handoff`: gives the archive to somebody as one file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::archive::Part;
use crate::definition::Definition;
use crate::handoff::{Gave, Giving, give};
use crate::host::Host;
use crate::model::printable;
use crate::report::{gave_page, many};
use crate::seal::{Packing, SigningKey};

use super::args::Global;
use super::error::Failure;
use super::keys::{key_password, keyring};
use super::output::Output;
use super::workspace::{holder_note, known_secrets, load_for_reading};

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
    /// Move what waits in the outbox: it goes along, and is not sent from here any more
    #[arg(long)]
    pub with_outbox: bool,
    /// Give it away although it holds the value of one of the definition's secrets
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
) -> Result<u8, Failure> {
    let (definition, archive) = load_for_reading(global)?;
    let mut recipients = Vec::new();
    for named in &args.encrypt {
        recipients.push(keyring(host)?.recipient(named)?);
    }
    let giving = Giving {
        archive: &archive,
        out: &args.out,
        part: Part {
            since: args.since,
            streams: args.streams.clone(),
            condition: args.r#where.clone(),
        },
        packing: Packing { compress: args.compress, recipients },
        with_outbox: args.with_outbox,
        secrets: secrets(args, definition.as_ref(), global, host),
        signing: signing(args, host)?,
        force: args.force,
        note: &holder_note("handoff", host),
    };
    let gave = give(&giving, host)?;
    let out = args.out.display().to_string();
    if output.json() {
        output.json_line(&gave_json(&gave, &out))?;
        return Ok(0);
    }
    for what in &gave.left_out {
        output.say(&format!("left out, since windrow did not make it: {}\n", printable(what)));
    }
    if gave.moved > 0 {
        output.say(&format!(
            "moved {} that wait: there, `windrow outbox resolve KEY --resend` takes each over\n",
            many(gave.moved, "request")
        ));
    }
    if let Some(why) = &gave.not_noted {
        output.say(&format!("not noted in the archive's own log: {}\n", printable(why)));
    }
    output.result(&gave_page(&gave, &out))?;
    Ok(0)
}

/// The secrets that are set here, in every form.
fn secrets(
    args: &HandoffArguments,
    definition: Option<&Definition>,
    global: &Global,
    host: &Host,
) -> Vec<(String, String)> {
    // An archive's own definition may not have files read.
    let trusted = definition.filter(|definition| !definition.from_archive && !args.allow_secrets);
    let folder = global.definition.parent().unwrap_or(Path::new("."));
    trusted.map(|definition| known_secrets(definition, folder, host).forms()).unwrap_or_default()
}

fn signing(args: &HandoffArguments, host: &Host) -> Result<Option<SigningKey>, Failure> {
    let Some(name) = &args.sign else { return Ok(None) };
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

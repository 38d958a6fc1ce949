//! `windrow keys`: keys that sign and open hand-offs, and whose are believed.

use std::io::Read;
use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::handoff::envelope::{Keyring, KnownKey, OWN_NAME, PublicKeys, read_key_text};
use crate::host::Host;
use crate::model::{Error, ExitCode};

use super::global::Global;
use super::output::Output;

/// The variable with the password of our own keys.
const PASSWORD: &str = "WINDROW_KEY_PASSWORD";
/// The most bytes of a key on standard input: a key has less than one KiB, and a wrong file is
/// refused before it fills the memory.
const INPUT_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub struct KeysArguments {
    #[command(subcommand)]
    pub command: Option<KeysCommand>,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List your own keys and those that you trust
    List,
    /// Make a key that signs and an identity that opens what is encrypted to you
    New {
        /// What you call it
        #[arg(long, value_name = "NAME", default_value = OWN_NAME)]
        name: String,
    },
    /// Print the public parts, to hand to others
    Show {
        /// Which of your keys, or of those that you trust; default: your only one
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Accept signatures by somebody's key
    Trust {
        /// The name of its owner
        #[arg(value_name = "NAME")]
        name: String,
        /// The public key, or a file that holds it, or `-` for standard input; an age recipient may
        /// follow
        #[arg(value_name = "KEY", required = true)]
        key: Vec<String>,
    },
    /// Accept signatures by this key no longer
    Forget {
        /// The name of its owner
        #[arg(value_name = "NAME")]
        name: String,
    },
}

pub fn run(
    args: &KeysArguments,
    _global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let keyring = keyring(host)?;
    match args.command.as_ref().unwrap_or(&KeysCommand::List) {
        KeysCommand::List => list(&keyring, output)?,
        KeysCommand::New { name } => new(&keyring, name, host, output)?,
        KeysCommand::Show { name } => show(&keyring, name.as_deref(), output)?,
        KeysCommand::Trust { name, key } => trust(&keyring, name, key, output)?,
        KeysCommand::Forget { name } => {
            let known = keyring.forget(name)?;
            tell(&known, &format!("{} is trusted no longer\n", known.name), output)?;
        }
    }
    Ok(ExitCode::Done)
}

/// The keys of whoever runs this.
pub fn keyring(host: &Host) -> Result<Keyring, Error> {
    let folder = host.environment.keys_folder().ok_or_else(|| {
        Error::usage("there is no folder for keys: no home directory is known")
            .help("name one with the variable WINDROW_KEYS_DIR")
    })?;
    Ok(Keyring::at(folder))
}

/// The password of our own keys, where they have one.
pub fn key_password(host: &Host) -> Option<String> {
    host.environment.variable(PASSWORD).filter(|password| !password.is_empty())
}

fn list(keyring: &Keyring, output: &Output) -> Result<(), Error> {
    let keys = keyring.list()?;
    if output.json() {
        return keys.iter().try_for_each(|key| output.json_line(key));
    }
    if keys.is_empty() {
        output.say("there are no keys; `windrow keys new` makes one\n");
    }
    let wide = keys.iter().map(|key| key.name.len()).max().unwrap_or(0);
    let lines = keys.iter().map(|key| {
        let whose = if key.own { "own    " } else { "trusted" };
        let recipient = key.public.recipient.as_deref().unwrap_or("-");
        format!("{:wide$}  {whose}  {}  {recipient}\n", key.name, key.public.key_id())
    });
    output.result(&lines.collect::<String>())
}

fn new(keyring: &Keyring, name: &str, host: &Host, output: &Output) -> Result<(), Error> {
    let password = key_password(host);
    let made = keyring.make(name, password.as_deref())?;
    let folder = keyring.folder().display().to_string();
    let how = match password {
        Some(_) => "encrypted with the password in WINDROW_KEY_PASSWORD",
        None => "readable by you alone, and not encrypted",
    };
    output.say(&format!(
        "made {name}.key, {name}.age and {name}.pub in {}, {how}\nthe first two are secret: keep a \
         copy where nobody else comes; the other is for others:\n",
        crate::model::printable(&folder)
    ));
    tell(&made, &public_lines(&made), output)
}

fn show(keyring: &Keyring, name: Option<&str>, output: &Output) -> Result<(), Error> {
    let known = match name {
        Some(name) => keyring.named(name)?,
        None => keyring.own(None)?,
    };
    tell(&known, &public_lines(&known), output)
}

fn trust(keyring: &Keyring, name: &str, key: &[String], output: &Output) -> Result<(), Error> {
    let mut text = String::new();
    for part in key {
        text.push_str(&key_text(part)?);
        text.push('\n');
    }
    let (known, added) = keyring.trust(name, PublicKeys::parse(&text)?)?;
    let now = if added { "now" } else { "already" };
    let line = format!("{} ({}) is trusted {now}\n", known.name, known.public.key_id());
    if output.json() {
        let mut value = json!(known);
        value["added"] = json!(added);
        return output.json_line(&value);
    }
    output.result(&line)
}

/// What a person gave as a key: its text, or where that is. Never repeated: it may be a secret.
fn key_text(part: &str) -> Result<String, Error> {
    if part == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|_| Error::usage("standard input is no text"))?;
        return Ok(text);
    }
    let path = Path::new(part);
    if path.is_file() { Ok(read_key_text(path)?) } else { Ok(part.to_owned()) }
}

/// What others are given: a line each.
fn public_lines(known: &KnownKey) -> String {
    let recipient = known.public.recipient.iter().map(|text| format!("{text}\n"));
    format!("{}\n{}", known.public.signing, recipient.collect::<String>())
}

fn tell(known: &KnownKey, text: &str, output: &Output) -> Result<(), Error> {
    if output.json() { output.json_line(known) } else { output.result(text) }
}

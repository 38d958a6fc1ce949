//! The arguments of `windrow outbox`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use strum::VariantArray;

use crate::model::EntryState;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct OutboxArguments {
    #[command(subcommand)]
    pub command: Option<OutboxCommand>,
    #[command(flatten)]
    pub list: OutboxList,
}

#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// Queue a request; it is on the disk when this ends
    Add(Box<OutboxAdd>),
    /// Send the entries that are due
    Send(OutboxSend),
    /// List entries, the newest first
    List(OutboxList),
    /// Show one with its attempts and the exact bytes
    Show(OutboxChoice),
    /// Cancel an entry that was never sent
    Cancel(OutboxChoice),
    /// Decide about an entry of unknown outcome, or take over an entry of another archive
    Resolve(OutboxResolve),
    /// Accept requests from other programs as the API would, and send each once
    Serve(OutboxServe),
    /// Queue one again that was rejected or expired, under a new key
    Retry(OutboxChoice),
    /// Remove entries that are over and that no API remembers
    Prune(OutboxPrune),
}

impl OutboxCommand {
    /// Whether the log keeps what it does.
    pub fn changes_something(&self) -> bool {
        !matches!(self, OutboxCommand::List(_) | OutboxCommand::Show(_))
    }
}

#[derive(Debug, Args)]
pub struct OutboxAdd {
    /// POST, PUT, PATCH or DELETE
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// Path and query, appended to the source's `base_url`
    #[arg(value_name = "PATH")]
    pub path: String,
    /// The API; may be left out when there is one
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// The body, JSON unless --content-type says otherwise
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    pub body: Option<String>,
    /// A file that holds the body; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub body_file: Option<PathBuf>,
    /// The content type of the body [default: application/json]
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// A header, `Name: value`; may be given several times
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// The idempotency key of this request [default: a new UUID, which is printed]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Entries of one lane are sent one after another
    #[arg(long, value_name = "LANE")]
    pub lane: Option<String>,
    /// Wait for the success of this entry; `{{ result.KEY.id }}` uses its answer
    #[arg(long, value_name = "KEY")]
    pub after: Option<String>,
    /// Not sent before: a date, a timestamp, or a time from now such as "2 hours"
    #[arg(long, value_name = "WHEN")]
    pub not_before: Option<String>,
    /// Not sent for the first time at or after this time
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
    /// Wait this long when the archive has to be made or migrated and another process holds it
    #[arg(long, value_name = "DURATION", default_value = "10 seconds")]
    pub wait: String,
}

#[derive(Debug, Args)]
pub struct OutboxSend {
    /// Send the entries of these keys only; default: all that are due
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
    /// Print the entries that would be sent and the reasons of those that wait, and send none
    #[arg(long)]
    pub dry_run: bool,
    /// Ask this source at once, even if it imposed a wait; may be given several times
    #[arg(long, value_name = "SOURCE", conflicts_with = "dry_run")]
    pub now: Vec<String>,
}

#[derive(Debug, Args)]
pub struct OutboxServe {
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8347")]
    pub listen: SocketAddr,
    /// Listen for other machines too: the token and all that is sent go over the wire unencrypted
    #[arg(long)]
    pub allow_remote: bool,
    /// The file that holds the token; made where it is not there [default: in the state folder]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Wait this long when another process is sending
    #[arg(long, value_name = "DURATION", default_value = "10 seconds")]
    pub wait: String,
}

#[derive(Debug, Args)]
pub struct OutboxList {
    /// Of this state only
    #[arg(long, value_name = "STATE",
          value_parser = PossibleValuesParser::new(
              EntryState::VARIANTS.iter().map(|name| name.as_str())))]
    pub state: Option<String>,
    /// How many to list
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
}

#[derive(Debug, Args)]
pub struct OutboxChoice {
    /// The key of the entry
    #[arg(value_name = "KEY")]
    pub key: String,
    /// Its source, where two have an entry of that key
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct OutboxResolve {
    #[command(flatten)]
    pub choice: OutboxChoice,
    /// It has taken effect
    #[arg(long, group = "what")]
    pub done: bool,
    /// It has not: send it, under its own key
    #[arg(long, group = "what")]
    pub resend: bool,
    /// It has not, and is not to be sent
    #[arg(long, group = "what")]
    pub cancel: bool,
    /// Send it from here although a hand-off took it along; whoever has that file may send it too,
    /// and then it takes effect twice
    #[arg(long, requires = "resend")]
    pub even_if_moved: bool,
}

#[derive(Debug, Args)]
pub struct OutboxPrune {
    /// Those that were over before: a date, a timestamp, or a time back
    #[arg(long, value_name = "WHEN", default_value = "-30 days", allow_hyphen_values = true)]
    pub before: String,
    /// Only those that were done
    #[arg(long)]
    pub done: bool,
}

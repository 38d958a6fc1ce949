//! The arguments of `windrow rejects`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use strum::VariantArray;

use crate::model::RejectKind;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RejectsArguments {
    #[command(subcommand)]
    pub command: Option<RejectsCommand>,
    #[command(flatten)]
    pub list: RejectsList,
}

#[derive(Debug, Subcommand)]
pub enum RejectsCommand {
    /// List rejects, the newest first
    List(RejectsList),
    /// Show one, with its fault marked in the record
    Show(RejectsShow),
    /// Make rows of those that fit the definition as it is now
    Retry(RejectsRetry),
    /// Discard rejects: they stay in the archive and are no longer open
    Discard(RejectsDiscard),
}

/// The rejects that a command works on; conditions are combined.
#[derive(Debug, Args)]
pub struct RejectChoice {
    /// Rejects of this stream only
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// Rejects of this kind only
    #[arg(long, value_name = "KIND", alias = "reason",
          value_parser = PossibleValuesParser::new(
              RejectKind::VARIANTS.iter().map(|name| name.as_str())))]
    pub kind: Option<String>,
    /// Rejects that this run saw first or last
    #[arg(long, value_name = "RUN")]
    pub run: Option<i64>,
    /// Rejects of windows that hold this date or timestamp
    #[arg(long, value_name = "WHEN")]
    pub window: Option<String>,
}

#[derive(Debug, Args)]
pub struct RejectsList {
    #[command(flatten)]
    pub choice: RejectChoice,
    /// Those that were set aside, instead of the open ones
    #[arg(long)]
    pub discarded: bool,
    /// Those that a later fetch of their window no longer brought, instead of the open ones
    #[arg(long, conflicts_with = "discarded")]
    pub closed: bool,
    /// How many to list
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    pub limit: u32,
}

#[derive(Debug, Args)]
pub struct RejectsShow {
    /// The number of the reject, as `windrow rejects` lists it
    #[arg(value_name = "REJECT")]
    pub reject: i64,
}

#[derive(Debug, Args)]
pub struct RejectsRetry {
    /// Only these; a discarded or closed one is tried when it is named
    #[arg(value_name = "REJECT")]
    pub rejects: Vec<i64>,
    #[command(flatten)]
    pub choice: RejectChoice,
    /// Print the result of a retry, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait this long for another process that holds the archive
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}

#[derive(Debug, Args)]
pub struct RejectsDiscard {
    /// The numbers of these rejects
    #[arg(value_name = "REJECT")]
    pub rejects: Vec<i64>,
    #[command(flatten)]
    pub choice: RejectChoice,
    /// The reason, kept with the reject
    #[arg(long, value_name = "TEXT")]
    pub note: String,
    /// Who; default: the name that you are logged in by
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Wait this long for another process that holds the archive
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}

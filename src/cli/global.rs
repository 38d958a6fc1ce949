//! The arguments that every command takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Arguments that every command takes. Their help stands below the command's own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options", next_display_order = 1000)]
pub struct Global {
    /// The definition to work by
    #[arg(short, long, global = true, value_name = "FILE", default_value = "windrow.toml")]
    pub definition: PathBuf,
    /// The archive, instead of the one that the definition names
    #[arg(short, long, global = true, value_name = "FILE")]
    pub archive: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// When messages have colours
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
    /// Log each request with its reason on stderr; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How lines of the log are written on stderr
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines of text for people
    Text,
    /// One JSON object a line
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Also into a file or a pipe
    Always,
    /// Not even on a terminal
    Never,
}

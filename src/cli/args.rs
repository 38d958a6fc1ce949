//! The arguments of commands whose file does not have them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// The folder for the archive of the demo; default: a new one among the temporary
    /// files
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
    /// Do not pause between the chapters
    #[arg(long)]
    pub fast: bool,
}

#[derive(Debug, Args)]
pub struct SyncArguments {
    /// Sync these streams only; default: all
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Print the windows and requests that are due, and send none
    #[arg(long)]
    pub dry_run: bool,
    /// Read again from here on, whatever the ledger holds: a date, a timestamp, "-7 days", or the
    /// number of a cursor that counts
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Read again up to this time; default: now
    #[arg(long, value_name = "WHEN", requires = "from", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Keep what another request has fetched: the change of the definition does not matter
    #[arg(long, conflicts_with_all = ["dry_run", "from"])]
    pub accept_definition: bool,
    /// Ask this source at once, even if it imposed a wait; may be given several times
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["dry_run", "offline"])]
    pub now: Vec<String>,
    /// Wait this long for another process that holds the archive
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
    /// Open no socket; print what waits
    #[arg(long)]
    pub offline: bool,
    /// Stop after this time; the next run continues
    #[arg(long, value_name = "DURATION")]
    pub max_time: Option<String>,
    /// Stop after this number of requests; the next run continues
    #[arg(long, value_name = "N")]
    pub max_requests: Option<u64>,
    /// Stop after this number of bytes received; the next run continues
    #[arg(long, value_name = "BYTES")]
    pub max_bytes: Option<u64>,
}

#[derive(Debug, Args)]
pub struct WatchArguments {
    /// Sync these streams only; default: all
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    /// The pause after a successful round [default: 15 minutes]
    #[arg(long, value_name = "DURATION")]
    pub every: Option<String>,
    /// Print the unit with which the system runs this command, and end
    #[arg(long, value_enum, value_name = "KIND", num_args = 0..=1, require_equals = true,
          default_missing_value = OWN_UNIT)]
    pub print_unit: Option<UnitKind>,
}

/// The kind of unit of the system that this was built for.
const OWN_UNIT: &str = if cfg!(target_os = "macos") {
    "launchd"
} else if cfg!(windows) {
    "task-scheduler"
} else {
    "systemd"
};

/// Who runs a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnitKind {
    /// A user unit of systemd
    Systemd,
    /// A launch agent of macOS
    Launchd,
    /// A task of Windows' Task Scheduler
    TaskScheduler,
}

#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Show these streams only; default: all
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Print the logical digest of each stream: two archives of the same data have the same
    #[arg(long)]
    pub digest: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RunsArguments {
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
    /// One run in full, as `show` does
    #[arg(value_name = "RUN")]
    pub run: Option<i64>,
    /// How many to list
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    pub limit: u32,
}

#[derive(Debug, clap::Subcommand)]
pub enum RunsCommand {
    /// One run in full: plan, fetches, requests, waits, errors
    Show {
        /// The number of the run, as `windrow runs` lists it
        #[arg(value_name = "RUN")]
        run: i64,
    },
}

#[derive(Debug, Args)]
pub struct QueryArguments {
    /// One statement that reads; `-` reads it from standard input
    #[arg(value_name = "SQL")]
    pub sql: String,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub format: Format,
    /// In CSV, put ' before text that a spreadsheet would run as a formula
    #[arg(long)]
    pub excel_safe: bool,
    /// Query the state of the archive at the end of this day, at this time, or after this run
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub as_of: Option<String>,
}

#[derive(Debug, Args)]
pub struct AdoptArguments {
    /// An SQLite file, a CSV or an NDJSON
    #[arg(value_name = "FILE", required_unless_present = "undo")]
    pub file: Option<PathBuf>,
    /// The stream that the records are of; default: the only one
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// The table of an SQLite file; default: the only one, or the one of the stream's name
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Which record of a key is kept: newest:COLUMN, highest:COLUMN, first, last, or api (the one
    /// that agrees with what the API has said); default: what the stream's own rules say
    #[arg(long, value_name = "RULE")]
    pub keep: Option<String>,
    /// The name of a column in the file
    #[arg(long, value_name = "COLUMN=FIELD")]
    pub map: Vec<String>,
    /// How the file writes a date or timestamp, where the API writes it otherwise
    #[arg(long, value_name = "COLUMN=FORMAT")]
    pub format: Vec<String>,
    /// The zone of the file's times without an offset
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Write the rows; without it they are only shown
    #[arg(long, conflicts_with = "undo")]
    pub apply: bool,
    /// Take the latest adoption back
    #[arg(long)]
    pub undo: bool,
    /// Take the adoption of this run back
    #[arg(long, value_name = "RUN", requires = "undo", conflicts_with = "in_place")]
    pub run: Option<i64>,
    /// Remove duplicates from the file's own table: move them aside in it, and prevent new ones
    #[arg(long, requires = "file")]
    pub in_place: bool,
    /// With --in-place: the columns that tell one record from all others; default: the stream's
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "in_place")]
    pub key: Vec<String>,
    /// Wait this long for another process that holds the archive
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}

#[derive(Debug, Args)]
pub struct VanishedArguments {
    /// List rows of these streams only; default: all
    #[arg(value_name = "STREAM", conflicts_with = "undo")]
    pub streams: Vec<String>,
    /// Bring back what this run marked or deleted
    #[arg(long, value_name = "RUN")]
    pub undo: Option<i64>,
}

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Open no socket; skip what needs one
    #[arg(long)]
    pub offline: bool,
}

#[derive(Debug, Args)]
pub struct ProveArguments {
    /// The stream whose windows are read again
    #[arg(value_name = "STREAM")]
    pub stream: String,
    /// The number of settled windows that are read again, picked at random
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub sample: u32,
    /// Read all settled windows again
    #[arg(long, conflicts_with = "sample")]
    pub all: bool,
    /// Pick the same windows as a proof that printed this seed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Windows from here on only: a date, a timestamp, or "-7 days"
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Windows up to here only; default: now
    #[arg(long, value_name = "WHEN", requires = "from", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Stop after this time
    #[arg(long, value_name = "DURATION")]
    pub max_time: Option<String>,
    /// Stop after this number of requests
    #[arg(long, value_name = "N")]
    pub max_requests: Option<u64>,
    /// Stop after this number of bytes received
    #[arg(long, value_name = "BYTES")]
    pub max_bytes: Option<u64>,
}

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell that the completions are for
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns that are aligned by spaces
    Table,
    /// Comma-separated values (RFC 4180)
    Csv,
    /// One JSON array of objects
    Json,
    /// One JSON object a line
    Ndjson,
    /// A table in Markdown
    Markdown,
}

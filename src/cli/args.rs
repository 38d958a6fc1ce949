//! The arguments of every command.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::args_outbox::OutboxArguments;
use super::args_rejects::RejectsArguments;
use super::completions::CompletionsArguments;
use super::definition::DefinitionArguments;
use super::diff::DiffArguments;
use super::eject::EjectArguments;
use super::export::ExportArguments;
use super::keys::KeysArguments;
use super::merge::MergeArguments;
use super::publish::PublishArguments;
use super::rebuild::RebuildArguments;
use super::report::ReportArguments;
use super::trust::TrustArguments;

/// Keeps a local SQLite archive of what HTTP APIs say, with nothing missing and nothing doubled.
#[derive(Debug, Parser)]
#[command(name = "windrow", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Arguments that every command takes. Their help stands below the command's own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options", next_display_order = 1000)]
pub struct Global {
    /// The definition
    #[arg(short, long, global = true, value_name = "FILE", default_value = "windrow.toml")]
    pub definition: PathBuf,
    /// The archive, instead of the one that the definition names
    #[arg(short, long, global = true, value_name = "FILE")]
    pub archive: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours in messages
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
    /// Say on stderr what is asked and why; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How lines of the log are written on stderr
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell the whole story in under a minute, without a network
    Demo(DemoArguments),
    /// Bring the archive up to date, once
    Sync(SyncArguments),
    /// Keep the archive up to date whenever there is a network
    Watch(WatchArguments),
    /// Coverage, watermark, freshness, what is due, what is wrong
    Status(StatusArguments),
    /// What each run did
    Runs(RunsArguments),
    /// Records that could not become rows: list, show, retry, discard
    Rejects(RejectsArguments),
    /// Run SQL that reads
    Query(QueryArguments),
    /// Write rows to CSV, NDJSON or Parquet files
    Export(ExportArguments),
    /// Tell what is missing, doubled, late, odd or not as the source counts it
    Check(CheckArguments),
    /// Write one page for people: each day, read or not, its rows, and what is wrong
    Report(ReportArguments),
    /// What changed since a run or a time, or what two archives hold differently
    Diff(DiffArguments),
    /// Bring in a table, CSV or NDJSON that may hold records twice, or heal a table where it is
    Adopt(AdoptArguments),
    /// Rows that their source no longer returns, and bringing them back
    Vanished(VanishedArguments),
    /// Make streams' tables again from their kept pages, without a network
    Rebuild(RebuildArguments),
    /// Tell what is wrong with network, clock, proxy, TLS, disk, archive and definition
    Doctor(DoctorArguments),
    /// Queue writes while offline and have each take effect once
    Outbox(OutboxArguments),
    /// Read settled windows a second time and compare
    Prove(ProveArguments),
    /// Carry changes on to PostgreSQL or whatever speaks its protocol
    Publish(PublishArguments),
    /// Take other archives in: their rows, and what they have read
    Merge(MergeArguments),
    /// Make the archive one file that is safe to unplug
    Eject(EjectArguments),
    /// Write the definition back out of the archive
    Definition(DefinitionArguments),
    /// What a definition that only an archive holds asks for, and granting it
    Trust(TrustArguments),
    /// Keys that sign and open what is handed over, and whose are trusted
    Keys(KeysArguments),
    /// Give the archive to somebody as one file that proves itself
    Handoff(super::handoff::HandoffArguments),
    /// Prove what a file is that somebody gave
    Verify(super::verify::VerifyArguments),
    /// Print the JSON Schema of windrow.toml
    Schema,
    /// Print completions for a shell
    Completions(CompletionsArguments),
}

impl Command {
    /// Whether the log keeps what it does. The demo has a world of its own.
    pub fn changes_something(&self) -> bool {
        match self {
            Command::Sync(_) | Command::Watch(_) | Command::Rejects(_) => true,
            Command::Adopt(_) | Command::Eject(_) | Command::Rebuild(_) => true,
            Command::Vanished(args) => args.undo.is_some(),
            Command::Handoff(_) | Command::Merge(_) | Command::Publish(_) => true,
            Command::Outbox(args) => args.command.as_ref().is_some_and(|c| c.changes_something()),
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// The folder that the demo leaves its archive in; default: a new one among the temporary
    /// files
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
    /// Do not pause between the chapters
    #[arg(long)]
    pub fast: bool,
}

#[derive(Debug, Args)]
pub struct SyncArguments {
    /// These streams only
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Print what would be asked, and ask nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Read from here on again, whatever is known: a date, a timestamp, or "-7 days"
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// Read again up to here; default: now
    #[arg(long, value_name = "WHEN", requires = "from", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Ask this source at once, also if it asked for a wait; may be given again
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["dry_run", "offline"])]
    pub now: Vec<String>,
    /// Wait so long for another process that has the archive
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
    /// Open no socket: say what waits
    #[arg(long)]
    pub offline: bool,
    /// Stop after so long; the next run carries on
    #[arg(long, value_name = "DURATION")]
    pub max_time: Option<String>,
    /// Stop after so many requests; the next run carries on
    #[arg(long, value_name = "N")]
    pub max_requests: Option<u64>,
    /// Stop after so many bytes of answers; the next run carries on
    #[arg(long, value_name = "BYTES")]
    pub max_bytes: Option<u64>,
}

#[derive(Debug, Args)]
pub struct WatchArguments {
    /// These streams only
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    /// The pause after a round that went well [default: 15 minutes]
    #[arg(long, value_name = "DURATION")]
    pub every: Option<String>,
    /// Print what the system needs to run this by itself, and end
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
    /// These streams only
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

#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// One run in full: plan, fetches, requests, waits, errors
    Show {
        /// Its number
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
    /// Answer as the archive would have at the end of this day, at this time, or after this run
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub as_of: Option<String>,
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// These streams only, and none of the definition's own questions
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Leave out what lies before: a date, a timestamp, or "-7 days"
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Exit with 1 from this severity on, and do not print what is less
    #[arg(long, value_enum, default_value_t = FailOn::Warning, value_name = "SEVERITY")]
    pub fail_on: FailOn,
    /// Robust deviations that make a value a spike or a drop [default: 8, or what the definition
    /// says]
    #[arg(long, value_name = "NUMBER")]
    pub tolerance: Option<f64>,
    /// Look only for doubles in this table, also one that windrow did not make
    #[arg(long, value_name = "TABLE", requires = "key", conflicts_with = "streams")]
    pub table: Option<String>,
    /// The columns of the table that no two rows may share, separated by commas
    #[arg(long, value_name = "COLUMNS", requires = "table", value_delimiter = ',')]
    pub key: Vec<String>,
    /// Look without telling anybody: queue no alert
    #[arg(long)]
    pub no_alerts: bool,
}

/// How grave a finding must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Worth knowing; there is nothing to do
    Info,
    /// Somebody should look
    Warning,
    /// Numbers that are made from this are wrong
    Error,
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
    /// What the file calls a column of the stream
    #[arg(long, value_name = "COLUMN=FIELD")]
    pub map: Vec<String>,
    /// How the file writes a date or timestamp, where the API writes it otherwise
    #[arg(long, value_name = "COLUMN=FORMAT")]
    pub format: Vec<String>,
    /// The zone of the file's times without an offset
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Do it; without, it is only shown
    #[arg(long, conflicts_with = "undo")]
    pub apply: bool,
    /// Take the latest adoption back
    #[arg(long)]
    pub undo: bool,
    /// Take the adoption of this run back
    #[arg(long, value_name = "RUN", requires = "undo", conflicts_with = "in_place")]
    pub run: Option<i64>,
    /// Heal the file's own table: set the rows too many aside in it, and keep new ones out
    #[arg(long, requires = "file")]
    pub in_place: bool,
    /// With --in-place: the columns that tell one record from all others; default: the stream's
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "in_place")]
    pub key: Vec<String>,
    /// Wait so long for another process that has the archive
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}

#[derive(Debug, Args)]
pub struct VanishedArguments {
    /// These streams only
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
    /// The stream
    #[arg(value_name = "STREAM")]
    pub stream: String,
    /// How many settled windows are read again, picked by chance
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
    /// Stop after so long
    #[arg(long, value_name = "DURATION")]
    pub max_time: Option<String>,
    /// Stop after so many requests
    #[arg(long, value_name = "N")]
    pub max_requests: Option<u64>,
    /// Stop after so many bytes of answers
    #[arg(long, value_name = "BYTES")]
    pub max_bytes: Option<u64>,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns
    Table,
    /// Comma-separated values (RFC 4180)
    Csv,
    /// One JSON array of objects
    Json,
    /// One JSON object a line
    Ndjson,
    /// A Markdown table
    Markdown,
}

/// The command line, for completions and documentation.
pub fn command() -> clap::Command {
    Arguments::command()
}

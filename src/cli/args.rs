//! The arguments of every command.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, ValueEnum};

use super::args_outbox::OutboxArguments;
use super::args_rejects::RejectsArguments;
use super::check::CheckArguments;
use super::definition::DefinitionArguments;
use super::diff::DiffArguments;
use super::eject::EjectArguments;
use super::export::ExportArguments;
use super::global::Global;
use super::keys::KeysArguments;
use super::merge::MergeArguments;
use super::publish::PublishArguments;
use super::rebuild::RebuildArguments;
use super::report::ReportArguments;
use super::trust::TrustArguments;

/// Keeps the records of HTTP APIs in one SQLite archive: nothing missing, nothing doubled
#[derive(Debug, Parser)]
#[command(name = "windrow", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Subcommand,
}

/// The commands of windrow, in the order of `windrow --help`.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
    /// Run a demonstration of under a minute, without a network
    Demo(DemoArguments),
    /// Bring the archive up to date, once
    Sync(SyncArguments),
    /// Keep the archive up to date whenever there is a network
    Watch(WatchArguments),
    /// Show coverage, watermark, freshness, due windows and errors
    Status(StatusArguments),
    /// List runs, or show one with its fetches, errors and costs
    Runs(RunsArguments),
    /// List, show, retry or discard records that could not become rows
    Rejects(RejectsArguments),
    /// Run SQL that reads
    Query(QueryArguments),
    /// Write rows to CSV, NDJSON or Parquet files
    Export(ExportArguments),
    /// Find data that is missing, doubled, late, unusual or counted differently by the source
    Check(CheckArguments),
    /// Write one HTML page: each day, whether it was read, its rows, and the findings
    Report(ReportArguments),
    /// Show changes since a run or a time, or differences between two archives
    Diff(DiffArguments),
    /// Bring in a table, CSV or NDJSON with duplicates, or remove them from a table in place
    Adopt(AdoptArguments),
    /// List rows that their source no longer returns, or bring them back
    Vanished(VanishedArguments),
    /// Make streams' tables again from their kept pages, without a network
    Rebuild(RebuildArguments),
    /// Find faults of network, clock, proxy, TLS, disk, archive and definition
    Doctor(DoctorArguments),
    /// Queue writes while offline; each takes effect once
    Outbox(OutboxArguments),
    /// Read settled windows a second time and compare
    Prove(ProveArguments),
    /// Copy changes to PostgreSQL or an engine that speaks its protocol
    Publish(PublishArguments),
    /// Add other archives to this one: their rows and their coverage
    Merge(MergeArguments),
    /// Make the archive one file that is safe to unplug
    Eject(EjectArguments),
    /// Write the definition out of the archive
    Definition(DefinitionArguments),
    /// Show the permissions that a definition in an archive needs, or grant them
    Trust(TrustArguments),
    /// Manage the keys that sign and decrypt hand-offs, and the trusted keys of others
    Keys(KeysArguments),
    /// Make a copy of the archive to give away, with a manifest that verifies it
    Handoff(super::handoff::HandoffArguments),
    /// Verify a received archive: signature, integrity, coverage
    Verify(super::verify::VerifyArguments),
    /// Print the JSON Schema of windrow.toml
    Schema,
    /// Print completions for a shell
    Completions(CompletionsArguments),
}

impl Subcommand {
    /// Whether the log keeps what it does. The demo has a world of its own.
    pub fn changes_something(&self) -> bool {
        match self {
            Subcommand::Sync(_) | Subcommand::Watch(_) | Subcommand::Rejects(_) => true,
            Subcommand::Adopt(_) | Subcommand::Eject(_) | Subcommand::Rebuild(_) => true,
            Subcommand::Handoff(_) | Subcommand::Merge(_) | Subcommand::Publish(_) => true,
            Subcommand::Vanished(args) => args.undo.is_some(),
            Subcommand::Outbox(args) => {
                args.command.as_ref().is_some_and(|command| command.changes_something())
            }
            Subcommand::Demo(_) | Subcommand::Prove(_) | Subcommand::Doctor(_) => false,
            Subcommand::Status(_) | Subcommand::Runs(_) | Subcommand::Query(_) => false,
            Subcommand::Export(_) | Subcommand::Check(_) | Subcommand::Report(_) => false,
            Subcommand::Diff(_) | Subcommand::Definition(_) | Subcommand::Verify(_) => false,
            Subcommand::Trust(_) | Subcommand::Keys(_) => false,
            Subcommand::Schema | Subcommand::Completions(_) => false,
        }
    }
}

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

/// The command line, for completions and documentation.
pub fn command() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Each command with arguments that it takes, and whether the log keeps what it does.
    const CASES: [(&[&str], bool); 29] = [
        (&["demo"], false),
        (&["sync"], true),
        (&["watch"], true),
        (&["status"], false),
        (&["runs"], false),
        (&["rejects"], true),
        (&["query", "SELECT 1"], false),
        (&["export", "--out", "x"], false),
        (&["check"], false),
        (&["report"], false),
        (&["diff"], false),
        (&["adopt", "x.csv"], true),
        (&["vanished"], false),
        (&["vanished", "--undo", "1"], true),
        (&["rebuild"], true),
        (&["doctor"], false),
        (&["outbox", "list"], false),
        (&["outbox", "send"], true),
        (&["prove", "x"], false),
        (&["publish", "postgresql://x"], true),
        (&["merge", "x.db"], true),
        (&["eject"], true),
        (&["definition"], false),
        (&["trust"], false),
        (&["keys", "list"], false),
        (&["handoff", "x.db"], true),
        (&["verify", "x.db"], false),
        (&["schema"], false),
        (&["completions", "bash"], false),
    ];

    #[test]
    fn the_page_of_logs_names_each_command_that_keeps_one() {
        let page = include_str!("../../docs/logs.md");
        let list = page.split("**In a file**: ").nth(1).expect("the list");
        let list = list.split("append").next().expect("its end");
        let named: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
        let mut kept = BTreeSet::from(["list", "show"]);
        let mut seen = BTreeSet::new();
        for (arguments, keeps) in CASES {
            let all = std::iter::once(&"windrow").chain(arguments);
            let parsed = Arguments::try_parse_from(all).expect("arguments that it takes");
            assert_eq!(parsed.command.changes_something(), keeps, "{arguments:?}");
            seen.insert(arguments[0]);
            if keeps {
                let is_undo = arguments.contains(&"--undo");
                kept.insert(if is_undo { "vanished --undo" } else { arguments[0] });
            }
        }
        assert_eq!(named, kept);
        let clap = command();
        assert_eq!(seen, clap.get_subcommands().map(clap::Command::get_name).collect());
    }
}

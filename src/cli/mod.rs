//! The face: arguments in, one call into a room below, text or JSON out.
//!
//! Results go to stdout, everything else to stderr. Only this room knows all errors; it maps each
//! to its exit code (docs/exit-codes.md).

mod adopt;
mod alerts;
mod args;
mod args_outbox;
mod args_rejects;
mod check;
mod completions;
mod definition;
mod demo;
mod diff;
mod diff_files;
mod doctor;
mod eject;
mod export;
mod global;
mod handoff;
mod keys;
mod log;
mod merge;
mod outbox;
mod output;
mod progress;
mod prove;
mod publish;
mod query;
mod rebuild;
mod rejects;
mod report;
mod runs;
mod schema;
mod status;
mod sync;
pub(crate) mod text;
mod trust;
mod vanished;
mod verify;
mod watch;
mod workspace;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use crate::host::{Host, Stop, listen_for_signals};
use crate::model::ExitCode;

/// Keeps the records of HTTP APIs in one SQLite archive: nothing missing, nothing doubled
#[derive(Debug, Parser)]
#[command(name = "windrow", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    global: global::Global,
    #[command(subcommand)]
    command: Subcommand,
}

/// The commands of windrow, in the order of `windrow --help`.
#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Run a demonstration of under a minute, without a network
    Demo(args::DemoArguments),
    /// Bring the archive up to date, once
    Sync(args::SyncArguments),
    /// Keep the archive up to date whenever there is a network
    Watch(args::WatchArguments),
    /// Show coverage, watermark, freshness, due windows and errors
    Status(args::StatusArguments),
    /// List runs, or show one with its fetches, errors and costs
    Runs(args::RunsArguments),
    /// List, show, retry or discard records that could not become rows
    Rejects(args_rejects::RejectsArguments),
    /// Run SQL that reads
    Query(args::QueryArguments),
    /// Write rows to CSV, NDJSON or Parquet files
    Export(export::ExportArguments),
    /// Find data that is missing, doubled, late, unusual or counted differently by the source
    Check(check::CheckArguments),
    /// Write one HTML page: each day, whether it was read, its rows, and the findings
    Report(report::ReportArguments),
    /// Show changes since a run or a time, or differences between two archives
    Diff(diff::DiffArguments),
    /// Bring in a table, CSV or NDJSON with duplicates, or remove them from a table in place
    Adopt(args::AdoptArguments),
    /// List rows that their source no longer returns, or bring them back
    Vanished(args::VanishedArguments),
    /// Make streams' tables again from their kept pages, without a network
    Rebuild(rebuild::RebuildArguments),
    /// Find faults of network, clock, proxy, TLS, disk, archive and definition
    Doctor(args::DoctorArguments),
    /// Queue writes while offline; each takes effect once
    Outbox(args_outbox::OutboxArguments),
    /// Read settled windows a second time and compare
    Prove(args::ProveArguments),
    /// Copy changes to PostgreSQL or an engine that speaks its protocol
    Publish(publish::PublishArguments),
    /// Add other archives to this one: their rows and their coverage
    Merge(merge::MergeArguments),
    /// Make the archive one file that is safe to unplug
    Eject(eject::EjectArguments),
    /// Write the definition out of the archive
    Definition(definition::DefinitionArguments),
    /// Show the permissions that a definition in an archive needs, or grant them
    Trust(trust::TrustArguments),
    /// Manage the keys that sign and decrypt hand-offs, and the trusted keys of others
    Keys(keys::KeysArguments),
    /// Make a copy of the archive to give away, with a manifest that verifies it
    Handoff(handoff::HandoffArguments),
    /// Verify a received archive: signature, integrity, coverage
    Verify(verify::VerifyArguments),
    /// Print the JSON Schema of windrow.toml
    Schema,
    /// Print completions for a shell
    Completions(args::CompletionsArguments),
}

impl Subcommand {
    /// Whether the log keeps what it does. The demo has a world of its own.
    fn changes_something(&self) -> bool {
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

/// The command line, for completions and documentation.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs windrow with these arguments, the program's name first. Gives the exit code.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    output::tell_panics();
    guarded(|| run_command(arguments))
}

/// A panic is a bug, and has an exit code of its own.
fn guarded(work: impl FnOnce() -> ExitCode + std::panic::UnwindSafe) -> ExitCode {
    let outcome = std::panic::catch_unwind(work);
    outcome.unwrap_or_else(|_| {
        output::complain(
            "error: windrow itself failed; this is a bug\n  help: complete windows are kept; \
             please report the text above\n",
        );
        ExitCode::Bug
    })
}

fn run_command(arguments: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(&arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let again = |shown| Arguments::try_parse_from::<_, String>(shown).err();
            return output::show_clap(error, &arguments, again);
        }
    };
    let (switch, stop) = Stop::new();
    stop.hear_signals();
    let host = Host::system(stop);
    listen_for_signals(switch);
    let output = output::Output::new(&arguments.global, &*host.environment);
    let keeps_file = arguments.command.changes_something();
    if let Err(failure) = log::start(&arguments.global, keeps_file, &host) {
        output.fail(&failure);
        return failure.exit_code();
    }
    let result = match &arguments.command {
        Subcommand::Demo(args) => demo::run(args, &host, &output),
        Subcommand::Sync(args) => sync::run(args, &arguments.global, &host, &output),
        Subcommand::Watch(args) => watch::run(args, &arguments.global, &host, &output),
        Subcommand::Status(args) => status::run(args, &arguments.global, &host, &output),
        Subcommand::Runs(args) => runs::run(args, &arguments.global, &host, &output),
        Subcommand::Rejects(args) => rejects::run(args, &arguments.global, &host, &output),
        Subcommand::Report(args) => report::run(args, &arguments.global, &host, &output),
        Subcommand::Check(args) => check::run(args, &arguments.global, &host, &output),
        Subcommand::Query(args) => query::run(args, &arguments.global, &host, &output),
        Subcommand::Export(args) => export::run(args, &arguments.global, &host, &output),
        Subcommand::Diff(args) => diff::run(args, &arguments.global, &host, &output),
        Subcommand::Adopt(args) => adopt::run(args, &arguments.global, &host, &output),
        Subcommand::Vanished(args) => vanished::run(args, &arguments.global, &host, &output),
        Subcommand::Rebuild(args) => rebuild::run(args, &arguments.global, &host, &output),
        Subcommand::Doctor(args) => doctor::run(args, &arguments.global, &host, &output),
        Subcommand::Outbox(args) => outbox::run(args, &arguments.global, &host, &output),
        Subcommand::Prove(args) => prove::run(args, &arguments.global, &host, &output),
        Subcommand::Publish(args) => publish::run(args, &arguments.global, &host, &output),
        Subcommand::Merge(args) => merge::run(args, &arguments.global, &host, &output),
        Subcommand::Eject(args) => eject::run(args, &arguments.global, &host, &output),
        Subcommand::Definition(args) => definition::run(args, &arguments.global, &host, &output),
        Subcommand::Trust(args) => trust::run(args, &arguments.global, &host, &output),
        Subcommand::Keys(args) => keys::run(args, &arguments.global, &host, &output),
        Subcommand::Handoff(args) => handoff::run(args, &arguments.global, &host, &output),
        Subcommand::Verify(args) => verify::run(args, &arguments.global, &host, &output),
        Subcommand::Schema => schema::run(&output),
        Subcommand::Completions(args) => completions::run(args, command(), &output),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            output.fail(&failure);
            // What was broken off fails in one way or another; why is known here.
            host.stop.cause().map_or(failure.exit_code(), ExitCode::from)
        }
    }
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

    #[test]
    fn a_bug_has_an_exit_code_of_its_own() {
        assert_eq!(guarded(|| panic!("a bug, on purpose")), ExitCode::Bug);
        assert_eq!(guarded(|| ExitCode::Incomplete), ExitCode::Incomplete);
    }
}

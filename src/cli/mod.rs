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

use clap::Parser;

use crate::host::{Host, Stop, listen_for_signals};
use crate::model::ExitCode;

pub use args::command;

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
    let arguments = match args::Arguments::try_parse_from(&arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let again = |shown| args::Arguments::try_parse_from::<_, String>(shown).err();
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
        args::Subcommand::Demo(args) => demo::run(args, &host, &output),
        args::Subcommand::Sync(args) => sync::run(args, &arguments.global, &host, &output),
        args::Subcommand::Watch(args) => watch::run(args, &arguments.global, &host, &output),
        args::Subcommand::Status(args) => status::run(args, &arguments.global, &host, &output),
        args::Subcommand::Runs(args) => runs::run(args, &arguments.global, &host, &output),
        args::Subcommand::Rejects(args) => rejects::run(args, &arguments.global, &host, &output),
        args::Subcommand::Report(args) => report::run(args, &arguments.global, &host, &output),
        args::Subcommand::Check(args) => check::run(args, &arguments.global, &host, &output),
        args::Subcommand::Query(args) => query::run(args, &arguments.global, &host, &output),
        args::Subcommand::Export(args) => export::run(args, &arguments.global, &host, &output),
        args::Subcommand::Diff(args) => diff::run(args, &arguments.global, &host, &output),
        args::Subcommand::Adopt(args) => adopt::run(args, &arguments.global, &host, &output),
        args::Subcommand::Vanished(args) => vanished::run(args, &arguments.global, &host, &output),
        args::Subcommand::Rebuild(args) => rebuild::run(args, &arguments.global, &host, &output),
        args::Subcommand::Doctor(args) => doctor::run(args, &arguments.global, &host, &output),
        args::Subcommand::Outbox(args) => outbox::run(args, &arguments.global, &host, &output),
        args::Subcommand::Prove(args) => prove::run(args, &arguments.global, &host, &output),
        args::Subcommand::Publish(args) => publish::run(args, &arguments.global, &host, &output),
        args::Subcommand::Merge(args) => merge::run(args, &arguments.global, &host, &output),
        args::Subcommand::Eject(args) => eject::run(args, &arguments.global, &host, &output),
        args::Subcommand::Definition(args) => {
            definition::run(args, &arguments.global, &host, &output)
        }
        args::Subcommand::Trust(args) => trust::run(args, &arguments.global, &host, &output),
        args::Subcommand::Keys(args) => keys::run(args, &arguments.global, &host, &output),
        args::Subcommand::Handoff(args) => handoff::run(args, &arguments.global, &host, &output),
        args::Subcommand::Verify(args) => verify::run(args, &arguments.global, &host, &output),
        args::Subcommand::Schema => schema::run(&output),
        args::Subcommand::Completions(args) => completions::run(args, &output),
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
    use super::*;

    #[test]
    fn a_bug_has_an_exit_code_of_its_own() {
        assert_eq!(guarded(|| panic!("a bug, on purpose")), ExitCode::Bug);
        assert_eq!(guarded(|| ExitCode::Incomplete), ExitCode::Incomplete);
    }
}

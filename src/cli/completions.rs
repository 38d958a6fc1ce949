//! `windrow completions`: for bash, zsh, fish, elvish and PowerShell.

use crate::model::{Error, ExitCode};

use super::args::CompletionsArguments;
use super::output::Output;

/// Writes the completions of the `command`.
pub fn run(
    args: &CompletionsArguments,
    mut command: clap::Command,
    output: &Output,
) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "windrow", &mut script);
    output.exact(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Done)
}

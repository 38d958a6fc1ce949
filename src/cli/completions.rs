//! `windrow completions`: for bash, zsh, fish, elvish and PowerShell.

use crate::model::{Error, ExitCode};

use clap::Args;

use super::args::command;
use super::output::Output;

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

pub fn run(args: &CompletionsArguments, output: &Output) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "windrow", &mut script);
    output.exact(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Done)
}

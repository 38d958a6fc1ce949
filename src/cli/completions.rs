//! `windrow completions`: for bash, zsh, fish, elvish and PowerShell.

use crate::model::{Error, ExitCode};

use super::args::{CompletionsArguments, command};
use super::output::Output;

pub fn run(args: &CompletionsArguments, output: &Output) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "windrow", &mut script);
    output.exact(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Done)
}

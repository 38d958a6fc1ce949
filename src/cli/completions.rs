//! `windrow completions`: for bash, zsh, fish, elvish and PowerShell.

use super::args::{CompletionsArguments, command};
use super::error::Failure;
use super::output::Output;

pub fn run(args: &CompletionsArguments, output: &Output) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "windrow", &mut script);
    output.result(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

//! windrow: builds the real host, runs, and returns the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    windrow::cli::run(std::env::args_os().collect()).number().into()
}

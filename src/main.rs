//! windrow: builds the real host, runs, and returns the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(windrow::cli::run(std::env::args_os().collect()))
}

//! `windrow status`: what the archive knows and what it does not.

use crate::cli::text::status_page;
use crate::host::Host;
use crate::model::{Error, ExitCode};
use crate::report::archive_status;
use crate::store::Reader;

use super::args::StatusArguments;
use super::global::Global;
use super::output::Output;
use super::workspace::{check_streams, load_for_reading};

pub fn run(
    args: &StatusArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (definition, path) = load_for_reading(global, host)?;
    let definition = definition.as_ref();
    if let Some(definition) = definition {
        check_streams(definition, &args.streams)?;
    }
    let reader = Reader::open(&path)?;
    let now = host.clock.now();
    let archive = path.display().to_string();
    let status = archive_status(&reader, archive, definition, &args.streams, args.digest, now)?;
    if output.json() {
        output.json_line(&status)?;
    } else {
        output.result(&status_page(&status, now))?;
    }
    Ok(ExitCode::Done)
}

//! `windrow eject`: makes the archive one file that is safe to unplug.

use clap::Args;

use crate::doctor::eject;
use crate::host::Host;
use crate::model::{Command, Error, ExitCode, printable};
use crate::model::{bytes, many};
use crate::store::holder_note;

use super::global::Global;
use super::output::Output;
use super::workspace::{load_for_writing, parse_duration, waiting_for};

#[derive(Debug, Args)]
pub struct EjectArguments {
    /// Wait so long for other programs that have the archive
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}

pub fn run(
    args: &EjectArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    let (_, path) = load_for_writing(global, host)?;
    let note = holder_note(Command::Eject, host.clock.now());
    let ejected = waiting_for(wait, host, || eject(&path, &note, &*host.files))?;
    let archive = path.display().to_string();
    if output.json() {
        output.json_line(&serde_json::json!({
            "archive": archive, "rows": ejected.rows, "streams": ejected.streams,
            "bytes": ejected.bytes,
        }))?;
        return Ok(ExitCode::Done);
    }
    output.result(&format!(
        "{} is one file now and safe to unplug ({} in {}, {})\n",
        printable(&archive),
        many(ejected.rows, "row"),
        many(ejected.streams, "stream"),
        bytes(ejected.bytes)
    ))?;
    Ok(ExitCode::Done)
}

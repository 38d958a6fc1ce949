//! `windrow rebuild`: makes streams' tables again from their kept pages.

use clap::Args;

use crate::cli::text::rebuilt_page;
use crate::definition::Definition;
use crate::host::Host;
use crate::model::numbers::many;
use crate::model::{Command, Error, ExitCode};
use crate::rebuild::rebuild;
use crate::rebuild::{Rebuilding, settle_rebuilds};
use crate::store::Reader;

use super::global::Global;
use super::output::Output;
use super::workspace::{check_streams, load_for_sync, open_archive, parse_duration};

#[derive(Debug, Args)]
pub struct RebuildArguments {
    /// These streams only; default: all that have kept pages
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Do it; without this, what it would change is shown and nothing is changed
    #[arg(long)]
    pub apply: bool,
    /// Let the old tables go that a rebuild has set aside
    #[arg(long, conflicts_with_all = ["apply", "undo"])]
    pub confirm: bool,
    /// Put the old tables back
    #[arg(long, conflicts_with = "apply")]
    pub undo: bool,
    /// Wait this long for another process that holds the archive
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}

pub fn run(
    args: &RebuildArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let definition = load_for_sync(global, host)?;
    // Nothing is made where there is no archive.
    drop(Reader::open(&definition.archive)?);
    if args.confirm || args.undo {
        return settle(args, &definition, host, output);
    }
    check_streams(&definition, &args.streams)?;
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    let archive = open_archive(&definition, Command::Rebuild, wait, host)?;
    let rebuilding =
        Rebuilding { definition: &definition, streams: &args.streams, apply: args.apply };
    let rebuilt = rebuild(&archive, host, &rebuilding)?;
    archive.close()?;
    let Some(rebuilt) = rebuilt else {
        output.say("stopped: nothing was changed\n");
        return Ok(host.stop.cause().map_or(ExitCode::Interrupted, ExitCode::from));
    };
    if rebuilt.is_empty() {
        let help = "set `raw = true` in a stream: from then on its pages are kept";
        return Err(Error::usage("no stream has kept pages").help(help));
    }
    if output.json() {
        output.json_line(&serde_json::json!({ "applied": args.apply, "streams": rebuilt }))?;
        return Ok(ExitCode::Done);
    }
    output.result(&rebuilt_page(&rebuilt))?;
    output.say(match args.apply {
        true => {
            "the old tables are kept: `windrow rebuild --confirm` removes them, `--undo` puts them \
             back\n"
        }
        false => "nothing was changed: `--apply` does it\n",
    });
    Ok(ExitCode::Done)
}

/// Lets the old tables go, or puts them back.
fn settle(
    args: &RebuildArguments,
    definition: &Definition,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    let command = if args.undo { Command::RebuildUndo } else { Command::RebuildConfirm };
    let archive = open_archive(definition, command, wait, host)?;
    let settled = settle_rebuilds(&archive, host, definition, &args.streams, args.undo)?;
    archive.close()?;
    if output.json() {
        output.json_line(&serde_json::json!({ "undone": args.undo, "streams": settled }))?;
        return Ok(ExitCode::Done);
    }
    for one in &settled {
        let (stream, rows) = (&one.stream, many(one.rows, "row"));
        let said = if args.undo { "is back" } else { "is let go" };
        output.result(&format!("{stream}: the old table of {rows} {said}\n"))?;
    }
    if settled.is_empty() {
        output.say("no rebuild waits to be confirmed or undone\n");
    }
    Ok(ExitCode::Done)
}

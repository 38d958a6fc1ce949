//! `windrow vanished`: rows that their source no longer returns, and bringing them back.

use std::io::Write;

use crate::host::Host;
use crate::model::{Command, Error, ErrorKind, ExitCode, RunState, count};
use crate::model::{instant_to_text, printable};
use crate::store::{Archive, Opening, Reader, RunEnd, RunStart, holder_note};
use crate::vanished::VanishedRow;

use super::args::VanishedArguments;
use super::global::Global;
use super::output::{Output, taken};
use super::workspace::{archived_streams, load_for_writing};

pub fn run(
    args: &VanishedArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (definition, path) = load_for_writing(global, host)?;
    let reader = Reader::open(&path)?;
    let Some(undone) = args.undo else { return list(args, &reader, output) };
    if reader.run_row(undone)?.is_none() {
        let failure = Error::usage(format!("there is no run {undone}"));
        return Err(failure.help("`windrow vanished` lists the rows with their runs"));
    }
    let stored = reader.definition()?.unwrap_or_default();
    drop(reader);
    let now = host.clock.now();
    let text = instant_to_text(now);
    let note = holder_note(Command::VanishedUndo, host.clock.now());
    let opening = Opening {
        note: &note,
        now: &text,
        allow_network_fs: definition.is_some_and(|definition| definition.allow_network_fs),
        files: &*host.files,
    };
    let archive = Archive::open(&path, &opening)?;
    if !archive.vanished_of_run(undone)?.iter().any(|count| count.state.is_taken_away()) {
        let message = format!("run {undone} took no row away, or all of them are back");
        return Err(Error::usage(message).help("`windrow vanished` lists the rows"));
    }
    let (command, version) = (Command::VanishedUndo, env!("CARGO_PKG_VERSION"));
    let start = RunStart { command, version, definition: &stored, now };
    let run = archive.transaction(|tx| tx.start_run(&start))?;
    let undo = archive.transaction(|tx| tx.undo_vanished(undone, run, &text));
    let end = match &undo {
        Ok(_) => RunEnd {
            message: Some(format!("brought back the rows that run {undone} took away")),
            ..RunEnd::nothing_asked(host.clock.now())
        },
        Err(error) => RunEnd {
            state: RunState::Failed,
            exit_code: error.exit_code(),
            message: Some(error.message.clone()),
            ..RunEnd::nothing_asked(host.clock.now())
        },
    };
    let ended = archive.transaction(|tx| tx.end_run(run, &end));
    let counts = undo?;
    ended?;
    archive.close()?;
    for back in &counts {
        if output.json() {
            output.json_line(&serde_json::json!({
                "run": run, "undone": undone, "stream": back.stream, "rows": back.count,
            }))?;
        } else {
            let rows = if back.count == 1 { "row" } else { "rows" };
            let (stream, number) = (&back.stream, count(back.count));
            output.result(&format!("{number} {rows} of {stream} brought back (run {run})\n"))?;
        }
    }
    Ok(ExitCode::Done)
}

fn list(args: &VanishedArguments, reader: &Reader, output: &Output) -> Result<ExitCode, Error> {
    archived_streams(reader, &args.streams)?;
    let mut out = output.rows(output.written());
    let listed = reader.vanished(&mut |row| {
        if !args.streams.is_empty() && !args.streams.contains(&row.stream) {
            return Ok(());
        }
        if output.json() {
            serde_json::to_writer(&mut out, &row)?;
            out.write_all(b"\n")
        } else {
            out.write_all(line(&row).as_bytes())
        }
    });
    match listed {
        // Whoever has gone away, as `| head` does, has seen what they wanted.
        Err(error) if error.kind == ErrorKind::Gone => return Ok(ExitCode::Done),
        other => other?,
    }
    taken(out.flush())?;
    Ok(ExitCode::Done)
}

fn line(row: &VanishedRow) -> String {
    let day = |text: &str| text.get(..10).unwrap_or(text).to_owned();
    let (stream, key) = (&row.stream, printable(&row.key));
    let since = day(&row.first_missed_at);
    format!("{:<7} {stream} {key}  first missed {since}, run {}\n", row.state.as_str(), row.run)
}

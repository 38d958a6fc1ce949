//! `windrow adopt`: bring in what an older script has gathered, or heal it where it is.

use std::path::{Path, PathBuf};

use crate::adopt::{AdoptRequest, FieldRules, Keep, Undone, prepare, undo};
use crate::adopt::{Deduplication, KeepRule, heal, restore, survey_in_place};
use crate::cli::text::{adopted_page, healed_page};
use crate::definition::{Definition, Stream, TimeFormat};
use crate::host::Host;
use crate::model::numbers::{inflect, many, many_are};
use crate::model::{Command, Error, ExitCode};
use crate::model::{instant_to_text, printable};
use crate::store::{Reader, RunStart, holder_note};

use super::args::AdoptArguments;
use super::global::Global;
use super::output::Output;
use super::workspace::{check_streams, load_for_sync, open_archive, parse_duration, waiting_for};

pub fn run(
    args: &AdoptArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let result = match (args.in_place, args.undo) {
        (true, true) => restore_in_place(args, host, output),
        (true, false) => heal_in_place(args, global, host, output),
        (false, true) => take_back(args, global, host, output),
        (false, false) => adopt(args, global, host, output),
    };
    match (result, host.stop.cause()) {
        // What was broken off fails in one way or another; why is known here.
        (Err(_), Some(cause)) => Ok(cause.into()),
        (result, _) => result.map(|()| ExitCode::Done),
    }
}

fn adopt(
    args: &AdoptArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<(), Error> {
    let path = file_of(args)?;
    let definition = load_for_sync(global, host)?;
    let stream = stream_of(&definition, args.stream.as_deref())?;
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    let stored = match definition.archive.exists() {
        true => Reader::open(&definition.archive)?.stream(&stream.name)?,
        false => None,
    };
    let request = AdoptRequest {
        path: &path,
        table: args.table.as_deref(),
        stream,
        stored: stored.as_ref(),
        keep: keep_of(args)?,
        fields: fields_of(args)?,
    };
    let prepared = prepare(request, &host.stop)?;
    let report = if args.apply {
        let archive = open_archive(&definition, Command::Adopt, wait, host)?;
        let report = prepared.apply(&archive, &start_of(&definition, host))?;
        archive.close()?;
        report
    } else {
        let reader = match definition.archive.exists() {
            true => Some(Reader::open(&definition.archive)?),
            false => None,
        };
        prepared.survey(reader.as_ref())?
    };
    let applied = args.apply && !report.already;
    if output.json() {
        let mut value = serde_json::to_value(&report).expect("a report can be written as JSON");
        value["applied"] = applied.into();
        output.json_line(&value)?;
    } else {
        output.result(&adopted_page(&report))?;
    }
    if applied {
        let run = report.run.unwrap_or_default();
        output.say(&format!("adopted in run {run}; `windrow adopt --undo` takes it back\n"));
    } else if !report.already {
        output.say("nothing was changed; --apply adopts it\n");
    }
    Ok(())
}

fn file_of(args: &AdoptArguments) -> Result<PathBuf, Error> {
    args.file.clone().ok_or_else(|| Error::usage("name the file that is to be adopted"))
}

/// The stream that was named, or the only one.
fn stream_of<'d>(definition: &'d Definition, name: Option<&str>) -> Result<&'d Stream, Error> {
    if let Some(name) = name {
        check_streams(definition, &[name.to_owned()])?;
    }
    let found = match (name, definition.streams.as_slice()) {
        (Some(name), _) => definition.stream(name),
        (None, [one]) => Some(one),
        (None, _) => None,
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = definition.streams.iter().map(|each| each.name.as_str()).collect();
        let message = "the stream of the records is not named";
        Error::usage(message).help(format!("say --stream; there are: {}", names.join(", ")))
    })
}

fn keep_of(args: &AdoptArguments) -> Result<Option<Keep>, Error> {
    let keep = args.keep.as_deref().map(str::parse::<Keep>).transpose();
    keep.map_err(|message| Error::usage(format!("--keep: {message}")))
}

fn fields_of(args: &AdoptArguments) -> Result<FieldRules, Error> {
    let pair = |text: &String, option: &str| match text.split_once('=') {
        Some((column, rest)) if !column.is_empty() && !rest.is_empty() => {
            Ok((column.to_owned(), rest.to_owned()))
        }
        _ => Err(Error::usage(format!("{option}: expected COLUMN=…, found {text}"))),
    };
    let map = args.map.iter().map(|text| pair(text, "--map")).collect::<Result<_, _>>()?;
    let mut formats = Vec::new();
    for text in &args.format {
        let (column, format) = pair(text, "--format")?;
        let format = TimeFormat::parse(&format).map_err(Error::usage)?;
        formats.push((column, format));
    }
    let zone = args.timezone.as_deref().map(str::parse::<chrono_tz::Tz>).transpose();
    let zone = zone.map_err(|error| Error::usage(format!("--timezone: {error}")))?;
    Ok(FieldRules { map, formats, zone })
}

fn start_of<'d>(definition: &'d Definition, host: &Host) -> RunStart<'d> {
    let (version, definition) = (env!("CARGO_PKG_VERSION"), definition.text.as_str());
    RunStart { command: Command::Adopt, version, definition, now: host.clock.now() }
}

fn take_back(
    args: &AdoptArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<(), Error> {
    let definition = load_for_sync(global, host)?;
    if !definition.archive.exists() {
        // Opening it for writing would make it.
        Reader::open(&definition.archive)?;
    }
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    let archive = open_archive(&definition, Command::Adopt, wait, host)?;
    let file = args.file.as_deref().and_then(Path::file_name);
    let file = file.map(|name| name.to_string_lossy().into_owned());
    let wanted = archive.adoptions()?.into_iter().find(|row| {
        args.run.is_none_or(|run| run == row.run)
            && args.stream.as_ref().is_none_or(|stream| *stream == row.stream)
            && file.as_ref().is_none_or(|file| *file == row.file)
    });
    let adoption = wanted.ok_or_else(|| {
        let help = "`windrow runs` lists what was adopted; --in-place is for a deduplicated file";
        Error::usage("there is no such adoption to undo").help(help)
    })?;
    let stream = definition.stream(&adoption.stream);
    let undone = undo(&archive, &adoption, stream, &start_of(&definition, host))?;
    archive.close()?;
    if output.json() {
        output.json_line(&undone)?;
    } else {
        output.result(&undone_page(&undone))?;
    }
    Ok(())
}

fn undone_page(undone: &Undone) -> String {
    let Undone { run, stream, file, removed, confirmed } = undone;
    let mut out = format!(
        "run {run} is undone: {} of {} that came from {} {} gone\n",
        many(*removed, "row"),
        printable(stream),
        printable(file),
        inflect(*removed, "is", "are")
    );
    if *confirmed > 0 {
        out.push_str(&format!(
            "{} {}: a sync has confirmed {} since\n",
            many(*confirmed, "row"),
            inflect(*confirmed, "stays", "stay"),
            inflect(*confirmed, "it", "them")
        ));
    }
    out
}

fn heal_in_place(
    args: &AdoptArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<(), Error> {
    let path = file_of(args)?;
    let unfit = |option: &str| {
        let message = format!("{option} does not go with --in-place");
        Error::usage(message).help("without it the file is adopted into the archive")
    };
    if !args.map.is_empty() || !args.format.is_empty() || args.timezone.is_some() {
        return Err(unfit("--map, --format or --timezone"));
    }
    let keep = keep_of(args)?.unwrap_or(Keep::Last);
    let rule_text = keep.to_string();
    let rule = match keep {
        Keep::Api => return Err(unfit("--keep api")),
        Keep::First => KeepRule::First,
        Keep::Last => KeepRule::Last,
        Keep::Newest(column) => KeepRule::Newest(column),
        Keep::Highest(column) => KeepRule::Highest(column),
    };
    let key = in_place_key(args, global, host)?;
    let table = args.table.as_deref().or(args.stream.as_deref());
    let table = table.ok_or_else(|| Error::usage("name the table with --table"))?;
    let now = instant_to_text(host.clock.now());
    let (path, key) = (path.as_path(), key.as_slice());
    let (rule_text, now, stop) = (rule_text.as_str(), now.as_str(), &host.stop);
    let healing = Deduplication { path, table, key, rule, rule_text, now, stop };
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    let note = holder_note(Command::Adopt, host.clock.now());
    let healed = match args.apply {
        true => waiting_for(wait, host, || heal(&healing, &note))?,
        false => survey_in_place(&healing)?,
    };
    if output.json() {
        output.json_line(&healed)?;
    } else {
        output.result(&healed_page(&path.display().to_string(), &healed))?;
    }
    match (args.apply, healed.applied) {
        (true, true) => output.say(
            "the removed rows are kept beside the table; `--in-place --undo` puts them back\n",
        ),
        (true, false) => output.say("it holds no duplicates; nothing was changed\n"),
        (false, _) => output.say("nothing was changed; --apply removes them\n"),
    }
    Ok(())
}

/// The key that was named, or the stream's.
fn in_place_key(args: &AdoptArguments, global: &Global, host: &Host) -> Result<Vec<String>, Error> {
    if !args.key.is_empty() {
        return Ok(args.key.clone());
    }
    let Some(stream) = &args.stream else {
        let message = "the key of the table is not known";
        return Err(Error::usage(message).help("name them: --key COLUMN,COLUMN"));
    };
    let definition = load_for_sync(global, host)?;
    match &stream_of(&definition, Some(stream))?.key {
        crate::definition::Key::Columns(names) => Ok(names.clone()),
        crate::definition::Key::Hash(_) => {
            let message = format!("the key of stream `{stream}` is a hash, which no table holds");
            Err(Error::usage(message).help("name the columns: --key COLUMN,COLUMN"))
        }
    }
}

fn restore_in_place(args: &AdoptArguments, host: &Host, output: &Output) -> Result<(), Error> {
    let path = file_of(args)?;
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    let note = holder_note(Command::Adopt, host.clock.now());
    let restored =
        waiting_for(wait, host, || restore(&path, args.table.as_deref(), &note, &host.stop))?;
    if output.json() {
        output.json_line(&restored)?;
    } else {
        let rows = many_are(restored.rows, "row");
        let table = printable(&restored.table);
        output.result(&format!("{rows} back in {table}, which is as it was\n"))?;
    }
    Ok(())
}

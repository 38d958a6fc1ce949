//! `windrow export`: rows as CSV, NDJSON or Parquet.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::export::{
    Destination, ENDINGS, Export, ExportOrigin, Exported, FileFormat, Out, Outside, PartitionBy,
    Share, TextRules, covered, export_columns,
};
use crate::history::{Past, RowSource, as_of};
use crate::host::Host;
use crate::model::{Error, ErrorKind, ExitCode, bytes, many, many_are};
use crate::model::{instant_to_text, printable};
use crate::store::{Reader, StreamRow, refuse_own};

use super::global::Global;
use super::output::{Output, OutputWriter};
use super::workspace::{archived_streams, load_for_reading};

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// Export these streams only; default: all
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    /// The kind of file; default: what the ending of --out says, else parquet
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub format: Option<ExportFormat>,
    /// A file that ends in .csv, .ndjson, .jsonl or .parquet, for one stream; any other name is a
    /// folder; `-` is standard output
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// A folder for each day, month or year (UTC) of a date or timestamp; default: month
    #[arg(long, value_name = "COLUMN[:UNIT]", value_parser = PartitionBy::parse)]
    pub partition_by: Option<PartitionBy>,
    /// Rows that meet this condition only
    #[arg(long = "where", value_name = "SQL")]
    pub condition: Option<String>,
    /// The state of the archive at the end of this day, at this time, or after this run
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub as_of: Option<String>,
    /// With windrow's own columns: when, how often and by which run a row was written; and with
    /// rows that are marked as gone
    #[arg(long)]
    pub own_columns: bool,
    /// With rows that are marked as gone, and a column `_deleted_at` that tells them
    #[arg(long)]
    pub with_gone: bool,
    /// In CSV, put ' before text that a spreadsheet would run as a formula
    #[arg(long)]
    pub excel_safe: bool,
    /// Replace an existing file, once the new one is complete
    #[arg(long)]
    pub force: bool,
}

/// The kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Comma-separated values (RFC 4180)
    Csv,
    /// One JSON object a line
    Ndjson,
    /// Typed columns, packed with zstd, for DuckDB, Polars, Spark, pandas
    Parquet,
}

impl From<ExportFormat> for FileFormat {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Csv => FileFormat::Csv,
            ExportFormat::Ndjson => FileFormat::Ndjson,
            ExportFormat::Parquet => FileFormat::Parquet,
        }
    }
}

pub fn run(
    args: &ExportArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (_, path) = load_for_reading(global, host)?;
    let (format, place) = place(args, &path, output)?;
    if let Destination::File(out) | Destination::Folder(out) = &place {
        refuse_own(out, &path, Some(&global.definition))?;
    }
    let mut reader = Reader::open(&path)?;
    let stop = host.stop.clone();
    reader.end_when(move || stop.cause().is_some())?;
    reader.hold_snapshot()?;
    let streams = archived_streams(&reader, &args.streams)?;
    if streams.is_empty() {
        let failure = Error::usage(format!("{} has no streams yet", path.display()));
        return Err(failure.help("`windrow sync` brings them"));
    }
    if let Destination::Folder(folder) = &place {
        for (stream, ending) in streams.iter().flat_map(|s| ENDINGS.map(|ending| (s, ending))) {
            let file = folder.join(format!("{}.{ending}", stream.stream));
            refuse_own(&file, &path, Some(&global.definition))?;
        }
    }
    let export = Export {
        format,
        partition: args.partition_by.clone(),
        text: TextRules {
            guard: args.excel_safe,
            terminal: place == Destination::Output && output.shown(),
        },
        force: args.force,
        origin: ExportOrigin {
            archive_id: Some(reader.archive_id()?),
            exported_at: instant_to_text(host.clock.now()),
            last_run: reader.runs(1)?.first().map(|run| run.run),
            condition: args.condition.clone(),
            as_of: args.as_of.clone(),
        },
        place,
    };
    let shares = streams.into_iter().map(|stream| share(&reader, stream, args));
    let shares = shares.collect::<Result<Vec<_>, Error>>()?;
    let rows = match &args.as_of {
        None => RowSource::Now(reader),
        Some(when) => {
            let moment = as_of(when, &reader, host.clock.now())?;
            RowSource::Then(Past::of(reader, &moment)?)
        }
    };
    if let Some(condition) = &args.condition {
        for share in &shares {
            rows.check_condition(&share.stream.stream, condition)?;
        }
    }
    let standard = || Box::new(output.rows(written(format))) as Out;
    let outside = Outside { files: &*host.files, standard: &standard };
    match (export.write(&rows, &shares, outside), host.stop.cause()) {
        (Ok(done), _) => show(&done, &path, output),
        // A reader that has gone away, as `| head` does, has seen what it wanted.
        (Err(error), _) if error.kind == ErrorKind::Gone => Ok(ExitCode::Done),
        (Err(error), Some(cause)) if error.kind == ErrorKind::Interrupted => {
            output.say("stopped: no file was made\n");
            Ok(cause.into())
        }
        (Err(error), _) => Err(error),
    }
}

fn written(format: FileFormat) -> OutputWriter {
    match format {
        FileFormat::Ndjson => OutputWriter::Json,
        FileFormat::Csv | FileFormat::Parquet => OutputWriter::Text,
    }
}

fn share(reader: &Reader, stream: StreamRow, args: &ExportArguments) -> Result<Share, Error> {
    let own = reader.own_columns(&stream.stream)?;
    let is_told = |name: &str| args.own_columns || args.with_gone && name == "_deleted_at";
    let told: Vec<String> = own.iter().filter(|name| is_told(name)).cloned().collect();
    Ok(Share {
        columns: export_columns(&stream, &told),
        alive: !args.own_columns && !args.with_gone && own.iter().any(|name| name == "_deleted_at"),
        // What was covered then is not known now.
        covered: args.as_of.is_none().then(|| covered(reader, &stream)).transpose()?,
        stream,
    })
}

/// The kind of file, and where to.
fn place(
    args: &ExportArguments,
    archive: &Path,
    output: &Output,
) -> Result<(FileFormat, Destination), Error> {
    let usage = |message: &str, help: &str| Err(Error::usage(message).help(help));
    let wanted = args.format.map(FileFormat::from);
    let by_name = args.out.as_deref().and_then(FileFormat::of);
    let format = wanted.or(by_name).unwrap_or(FileFormat::Parquet);
    let one = args.streams.len() == 1 && args.partition_by.is_none();
    if args.excel_safe && format != FileFormat::Csv {
        return usage("--excel-safe is for CSV", "add `--format csv`, or leave it out");
    }
    let place = match &args.out {
        Some(out) if out.as_os_str() == "-" => Destination::Output,
        Some(_) if by_name.is_some_and(|by_name| by_name != format) => {
            return usage("--format and the ending of --out disagree", "leave one of them out");
        }
        Some(out) if by_name.is_some() && one => Destination::File(out.clone()),
        Some(_) if by_name.is_some() => {
            let endings = ENDINGS.join(", .");
            let help = format!("name a folder: anything that does not end in .{endings}");
            return usage("one file takes one stream, named and without partitions", &help);
        }
        Some(out) => Destination::Folder(out.clone()),
        None if one && format != FileFormat::Parquet => Destination::Output,
        None => {
            let stem = archive.file_stem().unwrap_or_default().to_string_lossy();
            Destination::Folder(PathBuf::from(format!("{stem}-export")))
        }
    };
    if place == Destination::Output {
        if !one || format == FileFormat::Parquet {
            let message = "standard output takes one stream, named, as csv or ndjson";
            return usage(message, "name a folder with --out");
        }
        if output.json() {
            let message = "--json tells what was written, and standard output is full of rows";
            return usage(message, "name a file with --out, or leave --json out");
        }
    }
    Ok((format, place))
}

fn show(done: &[Exported], archive: &Path, output: &Output) -> Result<ExitCode, Error> {
    for each in done {
        for column in &each.columns {
            let Some(because) = &column.because else { continue };
            let (stream, name, kind) = (&each.stream, &column.name, &column.kind);
            let note = format!("note: `{stream}.{name}` is written as {kind}: {because}");
            output.say(&format!("{}\n", printable(&note)));
        }
    }
    for each in done.iter().filter(|each| each.gone > 0) {
        let gone = many_are(each.gone, "row");
        let note = format!("note: {gone} gone from `{}`; `--with-gone` exports them", each.stream);
        output.say(&format!("{}\n", printable(&note)));
    }
    if output.json() {
        let archive = archive.display().to_string();
        output.json_line(&serde_json::json!({ "archive": archive, "streams": done }))?;
        return Ok(ExitCode::Done);
    }
    let line = |each: &Exported| {
        let path = each.path.as_ref()?;
        let (rows, files) = (many(each.rows, "row"), many(each.files, "file"));
        let files = if path.is_dir() { format!(" in {files}") } else { String::new() };
        let line = format!("{}: {rows}{files}, {}", path.display(), bytes(each.bytes));
        Some(format!("{}\n", printable(&line)))
    };
    output.result(&done.iter().filter_map(line).collect::<String>())?;
    Ok(ExitCode::Done)
}

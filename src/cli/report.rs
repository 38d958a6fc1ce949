//! `windrow report`: one page for people who have no windrow.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::check::{HelpCommands, Limit, check, days_of};
use crate::definition::Definition;
use crate::host::Host;
use crate::model::{Error, ErrorKind, ExitCode, Timestamp, instant_to_text, printable};
use crate::report::{
    PageVerdict, ReportFacts, ReportStream, calendar_of, report_page, stream_statuses,
};
use crate::store::{Reader, refuse_own};

use super::check::{Wanted, check_options, options_of};
use super::global::Global;
use super::output::{Output, write_file};
use super::workspace::{archived_streams, check_streams, load_for_reading};

/// The runs that are shown; `windrow runs` has all.
const RUNS_MAX: u32 = 20;
/// The changes of fields that are shown; `_windrow_schema_log` has all.
const DRIFT_MAX: u32 = 20;
/// Ten years of days: more of them no screen can show.
const DAYS_MAX: i64 = 3_660;

#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Report on these streams only; default: all
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Write the page to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "out")]
    pub force: bool,
    /// How many days are shown, the latest ones
    #[arg(long, value_name = "N", default_value_t = 400,
          value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX))]
    pub days: u32,
}

pub fn run(
    args: &ReportArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    if args.out.is_none() && !output.json() && output.shown() {
        let help = "name a file with `--out report.html`, or send it on with `>`";
        return Err(Error::usage("the report is a page of HTML").help(help));
    }
    let (definition, path) = load_for_reading(global, host)?;
    let now = host.clock.now();
    let mut reader = Reader::open(&path)?;
    match &definition {
        Some(definition) => check_streams(definition, &args.streams)?,
        None => drop(archived_streams(&reader, &args.streams)?),
    }
    let limit = Limit::on(&mut reader, host.clock.clone(), host.stop.clone())?;
    let looking = Looking { args, definition: definition.as_ref(), path: &path, global, now };
    // One moment for all of it: what a sync writes meanwhile comes into the next report.
    let gathered = reader.snapshot(|reader| Ok::<_, Error>(looking.gather(reader, &limit)))?;
    let facts = match (gathered, host.stop.cause()) {
        (Err(error), Some(cause)) if error.kind == ErrorKind::Interrupted => {
            return Ok(cause.into());
        }
        (Err(error), _) => return Err(error),
        (Ok(facts), _) => facts,
    };
    let page = report_page(&facts, now)
        .map_err(|error| Error::new(ErrorKind::Bug, format!("cannot fill the page: {error:#}")))?;
    if let Some(out) = &args.out {
        refuse_own(out, &path, Some(&global.definition))?;
        write_file(out, &page, args.force, host)?;
    }
    match (&args.out, output.json()) {
        (_, true) => output.json_line(&facts)?,
        (None, false) => output.exact(&page)?,
        (Some(out), false) => {
            let out = printable(&out.display().to_string());
            output.say(&format!("{out}: {}\n", facts.verdict.text));
        }
    }
    Ok(ExitCode::Done)
}

struct Looking<'a> {
    args: &'a ReportArguments,
    definition: Option<&'a Definition>,
    path: &'a Path,
    global: &'a Global,
    now: Timestamp,
}

impl Looking<'_> {
    fn gather(&self, reader: &Reader, limit: &Limit) -> Result<ReportFacts, Error> {
        let Looking { args, definition, now, .. } = *self;
        let is_wanted =
            |name: &str| args.streams.is_empty() || args.streams.iter().any(|n| n == name);
        let help_commands =
            HelpCommands::new(options_of(self.global), self.path.display().to_string());
        let wanted = Wanted { streams: &args.streams, since: None, tolerance: None, now };
        let options = check_options(reader, definition, &wanted, &help_commands)?;
        let found = check(reader, &options, limit)?;
        let mut streams = Vec::new();
        for (row, status) in stream_statuses(reader, definition, &args.streams, now)? {
            let stream = definition.and_then(|definition| definition.stream(&status.stream));
            let days = stream.map(|stream| days_of(reader, &options, stream, row.as_ref()));
            let days = days.transpose()?;
            let calendar = days.map(|days| calendar_of(&days, now, args.days));
            streams.push(ReportStream { status, calendar });
        }
        let waits = reader.waits_held(now)?;
        let mut rejects = reader.rejects()?;
        rejects.retain(|reject| is_wanted(&reject.stream));
        let mut drift = reader.field_changes(None, None, DRIFT_MAX)?;
        drift.retain(|change| is_wanted(&change.stream));
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        Ok(ReportFacts {
            archive: name.to_string_lossy().into_owned(),
            archive_id: reader.archive_id()?,
            windrow: env!("CARGO_PKG_VERSION"),
            at: instant_to_text(now),
            verdict: PageVerdict::of(&found, definition.is_some()),
            streams,
            check: found,
            runs: reader.runs(RUNS_MAX)?,
            rejects,
            waits,
            drift,
        })
    }
}

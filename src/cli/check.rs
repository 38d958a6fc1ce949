//! `windrow check`: what is missing, doubled, late, odd or not as the source counts it.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use crate::check::{
    AlertScope, CheckOptions, CheckReport, Finding, HelpCommands, Limit, QueuedAlerts, check,
    check_table, refuse_columns, refuse_questions,
};
use crate::definition::{Definition, Severity, Start, StreamKind, parse_start};
use crate::host::Host;
use crate::model::{Error, ErrorKind, ExitCode, count};
use crate::model::{Timestamp, printable};
use crate::store::Reader;

use super::alerts::{alerts_of, tell_of};
use super::global::Global;
use super::output::Output;
use super::workspace::{check_streams, load_for_reading};

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// These streams only, and none of the definition's own questions
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Leave out findings before this time: a date, a timestamp, or "-7 days"
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// The lowest severity that is printed and makes the exit code 1
    #[arg(long, value_enum, default_value_t = FailOn::Warning, value_name = "SEVERITY")]
    pub fail_on: FailOn,
    /// Robust deviations that make a value a spike or a drop [default: 8, or what the definition
    /// says]
    #[arg(long, value_name = "NUMBER")]
    pub tolerance: Option<f64>,
    /// Search only for duplicates in this table, which windrow need not have made
    #[arg(long, value_name = "TABLE", requires = "key", conflicts_with = "streams")]
    pub table: Option<String>,
    /// The columns of the table that no two rows may share, separated by commas
    #[arg(long, value_name = "COLUMNS", requires = "table", value_delimiter = ',')]
    pub key: Vec<String>,
    /// Check without reporting: queue no alert
    #[arg(long)]
    pub no_alerts: bool,
}

/// How grave a finding must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Worth knowing; there is nothing to do
    Info,
    /// Data may be missing or wrong
    Warning,
    /// Numbers that are made from this are wrong
    Error,
}

pub fn run(
    args: &CheckArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (definition, path) = load_for_reading(global, host)?;
    if let Some(definition) = &definition {
        check_streams(definition, &args.streams)?;
    }
    let now = host.clock.now();
    let since = args.since.as_deref().map(|text| instant(text, now)).transpose()?;
    if args.tolerance.is_some_and(|tolerance| !tolerance.is_finite() || tolerance <= 0.0) {
        return Err(Error::usage("--tolerance must be more than 0"));
    }
    let mut reader = Reader::open(&path)?;
    let scope = AlertScope {
        whole: args.streams.is_empty() && since.is_none(),
        as_of: reader.alert_changes()?,
    };
    let limit = Limit::on(&mut reader, host.clock.clone(), host.stop.clone())?;
    let help_commands = HelpCommands::new(options_of(global), path.display().to_string());
    let looked = match &args.table {
        Some(table) => refuse_columns(&reader, table, &args.key)
            .and_then(|()| check_table(&reader, table, &args.key, &help_commands)),
        None => {
            let (streams, tolerance) = (args.streams.as_slice(), args.tolerance);
            let wanted = Wanted { streams, since, tolerance, now };
            look(&reader, definition.as_ref(), &wanted, &help_commands, &limit)
        }
    };
    let report = match (looked, host.stop.cause()) {
        (Err(error), Some(cause)) if error.kind == ErrorKind::Interrupted => {
            return Ok(cause.into());
        }
        (looked, _) => looked?,
    };
    drop(reader);
    let has_alerts = !alerts_of(definition.as_ref(), global).is_empty();
    // What is asked out of curiosity, of one table or by another measure, is nobody's news.
    let quiet = args.no_alerts || args.table.is_some() || args.tolerance.is_some();
    let told = definition
        .filter(|_| has_alerts && !quiet)
        .map(|definition| tell_of(&report, scope, &definition, global, host));
    let queued = told.as_ref().and_then(|told| told.as_ref().ok()).copied();
    let code = show(&report, severity(args.fail_on), queued, output)?;
    told.transpose().map(|_| code)
}

/// Looks through the archive after a round of a watch, and queues what alerts say.
pub fn tell_after_round(
    definition: &Definition,
    global: &Global,
    host: &Host,
) -> Result<QueuedAlerts, Error> {
    if alerts_of(Some(definition), global).is_empty() {
        return Ok(QueuedAlerts::default());
    }
    let mut reader = Reader::open(&definition.archive)?;
    let scope = AlertScope { whole: true, as_of: reader.alert_changes()? };
    let limit = Limit::on(&mut reader, host.clock.clone(), host.stop.clone())?;
    let help_commands =
        HelpCommands::new(options_of(global), definition.archive.display().to_string());
    let all = Wanted { streams: &[], since: None, tolerance: None, now: host.clock.now() };
    let report = look(&reader, Some(definition), &all, &help_commands, &limit)?;
    drop(reader);
    tell_of(&report, scope, definition, global, host)
}

/// What is looked for.
pub struct Wanted<'a> {
    pub streams: &'a [String],
    pub since: Option<Timestamp>,
    pub tolerance: Option<f64>,
    pub now: Timestamp,
}

fn look(
    reader: &Reader,
    definition: Option<&Definition>,
    wanted: &Wanted<'_>,
    help_commands: &HelpCommands,
    limit: &Limit,
) -> Result<CheckReport, Error> {
    check(reader, &check_options(reader, definition, wanted, help_commands)?, limit)
}

/// What a check of the archive has to know.
pub fn check_options<'a>(
    reader: &Reader,
    definition: Option<&'a Definition>,
    wanted: &Wanted<'a>,
    help_commands: &'a HelpCommands,
) -> Result<CheckOptions<'a>, Error> {
    let mut starts = BTreeMap::new();
    for stream in definition.map(|it| it.streams.as_slice()).unwrap_or_default() {
        if let StreamKind::Window(rules) = &stream.kind {
            let row = reader.stream(&stream.name)?;
            let start = crate::sync::resolve_start(rules, row.as_ref(), wanted.now);
            starts.insert(stream.name.clone(), start);
        }
    }
    if wanted.streams.is_empty() {
        definition.map_or(Ok(()), |definition| refuse_questions(reader, definition))?;
    }
    Ok(CheckOptions {
        definition,
        streams: wanted.streams,
        starts,
        since: wanted.since,
        tolerance: wanted.tolerance,
        now: wanted.now,
        help_commands,
    })
}

fn instant(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    match parse_start(text, chrono_tz::UTC, true) {
        Ok(Start::At(at)) => Ok(at),
        Ok(Start::Ago(span)) => Ok(span.before(now, chrono_tz::UTC).unwrap_or(now)),
        Err(message) => Err(Error::usage(message)),
    }
}

fn severity(of: FailOn) -> Severity {
    match of {
        FailOn::Info => Severity::Info,
        FailOn::Warning => Severity::Warning,
        FailOn::Error => Severity::Error,
    }
}

/// What another command needs to be about the same archive.
pub fn options_of(global: &Global) -> Vec<String> {
    let mut options = Vec::new();
    if global.definition != std::path::Path::new("windrow.toml") {
        options.extend(["-d".to_owned(), global.definition.display().to_string()]);
    }
    if let Some(archive) = &global.archive {
        options.extend(["-a".to_owned(), archive.display().to_string()]);
    }
    options
}

fn show(
    report: &CheckReport,
    least: Severity,
    queued: Option<QueuedAlerts>,
    output: &Output,
) -> Result<ExitCode, Error> {
    let worst = report.worst();
    let code = if worst >= Some(least) { ExitCode::Found } else { ExitCode::Done };
    if output.json() {
        let mut value = serde_json::to_value(report).expect("a report can be written as JSON");
        value["worst"] = serde_json::json!(worst);
        if let Some(queued) = queued {
            value["alerts"] = serde_json::json!(queued);
        }
        output.json_line(&value)?;
        return Ok(code);
    }
    let shown = report.findings.iter().filter(|finding| finding.severity >= least);
    output.result(&shown.map(paragraph).collect::<String>())?;
    for (name, more) in &report.more {
        output.say(&format!("and {} more of {}\n", count(*more), printable(name)));
    }
    if let Some(queued) = queued.filter(|queued| !queued.is_nothing()) {
        let next = "`windrow outbox send`, `sync` and `watch` send them";
        output.say(&format!("{}; {next}\n", queued.line()));
    }
    Ok(code)
}

fn paragraph(finding: &Finding) -> String {
    let word = finding.severity.as_str();
    let mut out = format!("{word:<8} {}\n", printable(&finding.id));
    let mut line = |name: &str, text: &str| {
        out.push_str(&format!("  {name:<8} {}\n", printable(text)));
    };
    line("expected", &finding.expected);
    line("found", &finding.found);
    line("see", &finding.sql);
    if let Some(first) = &finding.first {
        line("first", first);
    }
    line("help", &finding.help);
    out
}

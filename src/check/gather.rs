//! Goes through the archive, stream by stream.

use crate::check::evidence::{sql_of_clock, sql_of_future, sql_of_rejects};
use crate::definition::Severity;
use crate::model::numbers::many;
use crate::model::{Error, RejectKind};
use crate::store::{FutureReadings, Reader, StreamRow};

use super::columns::check_columns;
use super::finding::{CheckReport, Collector, Finding, identity};
use super::options::{CheckOptions, Limit};
use super::questions::ask_all;
use super::requests::check_requests;
use super::stream::check_stream;
use super::tables::check_duplicates;
use crate::check::help_commands::HelpCommands;

/// Between two clocks, seconds: less than this moves no window of any sane step.
const SKEW_SECONDS_MAX: i64 = 300;

/// Looks through the archive.
pub fn check(
    reader: &Reader,
    options: &CheckOptions<'_>,
    limit: &Limit,
) -> Result<CheckReport, Error> {
    let mut collector = Collector::new(options.since);
    let wanted =
        |name: &str| options.streams.is_empty() || options.streams.iter().any(|s| s == name);
    let rows: Vec<StreamRow> =
        reader.streams()?.into_iter().filter(|row| wanted(&row.stream)).collect();
    let history = reader.request_history()?;
    let defined = options.definition.map(|it| it.streams.as_slice()).unwrap_or_default();
    for stream in defined.iter().filter(|stream| wanted(&stream.name)) {
        let row = rows.iter().find(|row| row.stream == stream.name);
        // One moment for the ledger and the rows that it speaks of, and no longer than one stream
        // takes: the log of a sync cannot be emptied meanwhile.
        reader
            .snapshot(|reader| check_stream(reader, options, Some(stream), row, &mut collector))?;
        check_requests(reader, options, &history, stream, &mut collector)?;
        check_columns(reader, options, stream, &mut collector)?;
    }
    let left = rows.iter().filter(|row| !defined.iter().any(|it| it.name == row.stream));
    for row in left {
        reader.snapshot(|reader| check_stream(reader, options, None, Some(row), &mut collector))?;
    }
    rejects(reader, options, &wanted, &mut collector)?;
    if options.streams.is_empty() {
        clocks(reader, options, &mut collector)?;
        future(reader, options, &mut collector)?;
        if let Some(definition) = options.definition {
            ask_all(reader, definition, options.help_commands, limit, &mut collector)?;
        }
    }
    Ok(collector.report())
}

/// Looks for keys that stand more than once in one table.
pub fn check_table(
    reader: &Reader,
    table: &str,
    key: &[String],
    help_commands: &HelpCommands,
) -> Result<CheckReport, Error> {
    let mut collector = Collector::default();
    check_duplicates(reader, table, key, Severity::Error, help_commands, &mut collector)?;
    Ok(collector.report())
}

fn rejects(
    reader: &Reader,
    options: &CheckOptions<'_>,
    wanted: &dyn Fn(&str) -> bool,
    collector: &mut Collector,
) -> Result<(), Error> {
    for (stream, kind, count, example) in reader.rejects_since(&collector.since_text())? {
        if !wanted(&stream) {
            continue;
        }
        let orphan = kind == RejectKind::Orphan.as_str();
        let check = if orphan { "orphans" } else { "rejects" };
        let defined = options.definition.and_then(|it| it.stream(&stream));
        let parents = defined.map(|it| it.references.values().cloned().collect::<Vec<_>>());
        let mut words: Vec<&str> = parents.iter().flatten().map(String::as_str).collect();
        words.push(&stream);
        let help_commands = options.help_commands;
        collector.add(Finding {
            id: identity(&[check, &stream, &kind]),
            check,
            severity: Severity::Warning,
            stream: stream.clone(),
            expected: match orphan {
                true => "each record's parent is in the archive".to_owned(),
                false => "each record becomes a row".to_owned(),
            },
            found: format!("{count} of kind {kind} did not, the last because: {example}"),
            sql: sql_of_rejects(&stream, &kind),
            help: match orphan {
                true => help_commands.command("sync", &words),
                false => help_commands.command("rejects", &[]),
            },
            first: (!orphan)
                .then(|| format!("correct the columns of `{stream}` in the definition")),
            until: None,
        });
    }
    Ok(())
}

/// What to do about two clocks that differ.
fn first_of_clock(source_is_ahead: bool) -> &'static str {
    if source_is_ahead {
        "set this machine's clock, or have it set by the network; if it is right, the source's is \
         ahead or its local time is labelled GMT: windows settle by the earlier of the two clocks"
    } else {
        "set this machine's clock, or have it set by the network"
    }
}

/// Readings of a time that has not come.
fn future(
    reader: &Reader,
    options: &CheckOptions<'_>,
    collector: &mut Collector,
) -> Result<(), Error> {
    let until = reader.believed_until(options.now)?;
    let Some(FutureReadings { runs, latest }) = reader.future_readings(&until)? else {
        return Ok(());
    };
    collector.add(Finding {
        id: identity(&["future"]),
        check: "future",
        severity: Severity::Warning,
        stream: String::new(),
        expected: "no reading is later than now".to_owned(),
        found: format!("{} noted times that have not come, the latest {latest}", many(runs, "run")),
        sql: sql_of_future(&until),
        help: options.help_commands.command("sync", &[]),
        first: Some(
            "set this machine's clock, or have it set by the network: a clock ran ahead, or this \
             one is behind. In a merge these readings beat no others"
                .to_owned(),
        ),
        until: None,
    });
    Ok(())
}

fn clocks(
    reader: &Reader,
    options: &CheckOptions<'_>,
    collector: &mut Collector,
) -> Result<(), Error> {
    for (source, skew_ms, seen_at) in reader.clocks()? {
        let seconds = skew_ms.abs() / 1000;
        if seconds <= SKEW_SECONDS_MAX {
            continue;
        }
        let way = if skew_ms > 0 { "behind" } else { "ahead of" };
        collector.add(Finding {
            id: identity(&["clock", &source]),
            check: "clock",
            severity: Severity::Warning,
            stream: source.clone(),
            expected: format!("two clocks within {} minutes of each other", SKEW_SECONDS_MAX / 60),
            found: format!("this machine's was {seconds} seconds {way} the source's at {seen_at}"),
            sql: sql_of_clock(&source),
            help: options.help_commands.command("doctor", &[]),
            first: Some(first_of_clock(skew_ms > 0).to_owned()),
            until: crate::model::instant_from_text(&seen_at),
        });
    }
    Ok(())
}

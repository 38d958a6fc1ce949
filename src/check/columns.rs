//! Declared columns that hold nothing: their place was in no record, or every row is NULL.

use crate::check::evidence::{sql_of_seen_columns, sql_of_values};
use crate::definition::{Severity, Stream};
use crate::model::{Error, SeenColumn};
use crate::record::spoken_origin;
use crate::store::Reader;

use super::finding::{Collector, Finding, identity};
use super::options::CheckOptions;

/// The columns of a stream that hold nothing.
pub fn check_columns(
    reader: &Reader,
    options: &CheckOptions<'_>,
    stream: &Stream,
    collector: &mut Collector,
) -> Result<(), Error> {
    let known = reader.seen_columns(&stream.name)?;
    for column in stream.columns.iter().flatten().filter(|column| !column.optional) {
        let name = &column.name;
        let place = spoken_origin(&column.origin);
        let never = known.iter().find(|it| {
            !it.found && it.column == *name && place.as_ref().is_some_and(|at| *at == it.place)
        });
        if let Some(never) = never {
            collector.add(never_found(options, stream, never));
        } else if reader.has_value(&stream.name, name)? == Some(false) {
            collector.add(Finding {
                id: identity(&["null_column", &stream.name, name]),
                check: "null_column",
                severity: Severity::Info,
                stream: stream.name.clone(),
                expected: format!("a value of `{name}` in some row"),
                found: format!("`{name}` is NULL in every row"),
                sql: sql_of_values(&stream.name, name),
                help: options.help_commands.sync_due(&stream.name),
                first: Some(format!(
                    "see whether the `path` of `{name}` is right; `optional = true` says that no \
                     record need have it"
                )),
                until: None,
            });
        }
    }
    Ok(())
}

fn never_found(options: &CheckOptions<'_>, stream: &Stream, never: &SeenColumn) -> Finding {
    let SeenColumn { column, place, .. } = never;
    Finding {
        id: identity(&["never_found", &stream.name, column]),
        check: "never_found",
        severity: Severity::Warning,
        stream: stream.name.clone(),
        expected: format!("`{place}` in some record"),
        found: never.spoken(),
        sql: sql_of_seen_columns(&stream.name),
        help: options.help_commands.sync_due(&stream.name),
        first: Some(format!(
            "correct the `path` of `{column}`, or say `optional = true`: no record need have it"
        )),
        until: None,
    }
}

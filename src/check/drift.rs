//! Fields that the source has changed: what the log says of them and nothing mends by itself.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::finding::{Collector, Finding, identity};
use super::options::CheckOptions;
use crate::check::evidence::sql_of_drift;
use crate::definition::{Column, Severity, Stream, TypeFamily};
use crate::model::{Error, FieldChange, FieldChangeKind, instant_from_text};
use crate::store::{Reader, StreamRow};

/// Changes that are looked through, the newest first: no source has more fields that matter.
const CHANGES_MAX: u32 = 1_000;
/// How long a change is news. A field that is gone and has a column is one for as long as it is.
const NEWS_DAYS: i64 = 30;

/// The last change of each field.
pub fn check_drift(
    reader: &Reader,
    options: &CheckOptions<'_>,
    stream: &Stream,
    row: &StreamRow,
    collector: &mut Collector,
) -> Result<(), Error> {
    let columns = StreamRow::columns_of(stream, Some(row)).unwrap_or_default();
    let mut seen = BTreeSet::new();
    for change in reader.field_changes(Some(&stream.name), None, CHANGES_MAX)? {
        let is_own = matches!(change.change, FieldChangeKind::Filled | FieldChangeKind::Corrected);
        if is_own || !seen.insert(change.field.clone()) {
            continue;
        }
        let column = columns.iter().find(|column| column.takes(&change.field));
        // A JSON column takes whatever comes.
        let fits = |column: &&Column| {
            change.change != FieldChangeKind::Retyped || column.kind.family() != TypeFamily::Json
        };
        let column = column.filter(fits);
        let at = instant_from_text(&change.at);
        let is_news = at.is_none_or(|at| options.now - at < TimeDelta::days(NEWS_DAYS));
        let lasts = change.change == FieldChangeKind::Vanished && column.is_some();
        let meant = change.change == FieldChangeKind::New && column.is_some()
            || change.change == FieldChangeKind::Returned;
        if (is_news || lasts) && !meant {
            let mut finding = finding_of(options, &change, column);
            finding.until = at.filter(|_| !lasts);
            collector.add(finding);
        }
    }
    Ok(())
}

fn finding_of(
    options: &CheckOptions<'_>,
    change: &FieldChange,
    column: Option<&Column>,
) -> Finding {
    let FieldChange { stream, change: what, field, detail, at, run } = change;
    let severity = if column.is_some() { Severity::Warning } else { Severity::Info };
    let first = match (what, column) {
        (FieldChangeKind::New, _) => {
            "give it a column in `columns`: it is then filled from `_rest`".to_owned()
        }
        (FieldChangeKind::Vanished, Some(column)) => format!(
            "ask the source; if it is gone for good, take `{}` out of `columns`: the table keeps \
             what it has",
            column.name
        ),
        (_, Some(column)) => format!(
            "see whether `{}` still has the right type; `windrow rejects` lists what did not fit",
            column.name
        ),
        _ => "ask the provider whether the change is intended".to_owned(),
    };
    Finding {
        id: identity(&["drift", stream, what.as_str(), field]),
        check: "drift",
        severity,
        stream: stream.clone(),
        expected: format!("`{field}` as it was before"),
        found: format!("{what}: {detail} (run {run}, {at})"),
        sql: sql_of_drift(stream),
        help: options.help_commands.sync_due(stream),
        first: Some(first),
        until: None,
    }
}

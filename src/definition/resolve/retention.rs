//! What stays of what a stream once said.

use crate::definition::context::Context;
use crate::definition::raw::{RawColumn, RawDefinition, RawKey, RawMissing, RawStream};
use crate::definition::{MISSING_MIN, MISSING_RATIO_MAX, MissingRules, Segment};

/// Whether a history is kept; its table has a name of its own.
pub(super) fn history_of(
    stream: &str,
    raw: &RawStream,
    all: &RawDefinition,
    context: &mut Context<'_>,
) -> bool {
    let history = format!("{stream}_history");
    if raw.history && all.streams.contains_key(&history) {
        let message =
            format!("the history of `{stream}` would be kept in the table of `{history}`");
        context.report(&["streams", stream, "history"], message);
    }
    raw.history
}

/// What becomes of rows that the source no longer returns, if anything does.
pub(super) fn missing_of(
    stream: &str,
    raw: &RawStream,
    all: &RawDefinition,
    context: &mut Context<'_>,
) -> Option<MissingRules> {
    let at = |key: &'static str| ["streams", stream, key];
    let ratio_max = raw.missing_ratio_max.unwrap_or(MISSING_RATIO_MAX);
    if !(0.0..=1.0).contains(&ratio_max) {
        context.report(&at("missing_ratio_max"), "a share lies between 0 and 1: 5 % is `0.05`");
    }
    let min = raw.missing_min.unwrap_or(MISSING_MIN);
    let delete = match raw.missing {
        Some(RawMissing::Mark) => false,
        Some(RawMissing::Delete) => true,
        Some(RawMissing::Keep) | None => {
            let given = [
                ("missing_ratio_max", raw.missing_ratio_max.is_some()),
                ("missing_min", raw.missing_min.is_some()),
            ];
            for (key, _) in given.into_iter().filter(|(_, given)| *given) {
                let message = format!("`{key}` needs `missing = \"mark\"` or `\"delete\"`");
                context.report(&at(key), message);
            }
            return None;
        }
    };
    if raw.cursor.is_some() {
        let message = "a `cursor` stream is told what changed and not what is there, so that no \
            row can be missing";
        let help = "if its records say that they are deleted, name that member with `deleted`";
        context.report_help(&at("missing"), message.to_owned(), Some(help.to_owned()));
        return None;
    }
    let parent = match &raw.for_each {
        Some(parent) => parent_columns(stream, raw, all.streams.get(parent)?, context)?,
        None => Vec::new(),
    };
    Some(MissingRules { delete, ratio_max, min, parent })
}

/// Which columns say for which parent a row was read.
fn parent_columns(
    stream: &str,
    raw: &RawStream,
    parent: &RawStream,
    context: &mut Context<'_>,
) -> Option<Vec<(String, String)>> {
    let key = match &parent.key {
        RawKey::Column(name) => vec![name.clone()],
        RawKey::Columns(names) => names.clone(),
        RawKey::Hash(_) => vec!["_key".to_owned()],
    };
    let column_of = |part: &String| {
        let mut columns = raw.columns.iter().flatten();
        columns.find_map(|(name, column)| match column {
            RawColumn::Full(table) if table.parent.as_ref() == Some(part) => Some(name.clone()),
            _ => None,
        })
    };
    let mut found = Vec::new();
    for part in &key {
        let Some(column) = column_of(part) else {
            let message = format!(
                "`missing` must know for which parent a row was read, and no column holds its \
                 `{part}`"
            );
            let help = format!("for example `{part} = {{ type = \"text\", parent = \"{part}\" }}`");
            context.report_help(&["streams", stream, "missing"], message, Some(help));
            return None;
        };
        found.push((column, part.clone()));
    }
    Some(found)
}

/// Where a record says that it is a tombstone.
pub(super) fn deleted_of(
    stream: &str,
    raw: &RawStream,
    context: &mut Context<'_>,
) -> Option<Vec<Segment>> {
    let place = ["streams", stream, "deleted"];
    let path = context.path(&place, raw.deleted.as_deref()?)?;
    match path.singular() {
        Some(segments) if !segments.is_empty() => Some(segments.to_vec()),
        _ => {
            let message = "this leads to one member of a record: names and indexes only";
            context.report(&place, message);
            None
        }
    }
}

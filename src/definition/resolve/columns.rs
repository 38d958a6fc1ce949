//! Whether the columns that a stream names are there.

use crate::definition::Column;
use crate::definition::context::Context;
use crate::definition::raw::{RawDefinition, RawKey, RawStream};

pub(super) fn check_column(
    place: &[&str],
    name: Option<&str>,
    columns: Option<&[Column]>,
    context: &mut Context<'_>,
) {
    let (Some(name), Some(columns)) = (name, columns) else { return };
    if !columns.iter().any(|column| column.name == name) {
        let known = columns.iter().map(|column| column.name.clone()).collect();
        context.unknown(place, "the column", name, &known);
    }
}

pub(super) fn check_references(
    stream: &str,
    raw: &RawStream,
    all: &RawDefinition,
    columns: Option<&[Column]>,
    context: &mut Context<'_>,
) {
    for (column, target) in &raw.references {
        let place = ["streams", stream, "references", column];
        check_column(&place, Some(column), columns, context);
        let Some(other) = all.streams.get(target) else {
            let known = all.streams.keys().cloned().collect();
            context.unknown(&place, "the stream", target, &known);
            continue;
        };
        if !matches!(other.key, RawKey::Column(_)) {
            let message = format!("`{target}` has no key of one column that could be referred to");
            context.report(&place, message);
        }
    }
}

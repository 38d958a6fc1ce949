//! What stays of what a stream once said.

use super::Context;
use crate::definition::raw::{RawDefinition, RawStream};

/// The table of a history has a name of its own.
pub(super) fn check_history(
    stream: &str,
    raw: &RawStream,
    all: &RawDefinition,
    context: &mut Context<'_>,
) {
    let history = format!("{stream}_history");
    if raw.history && all.streams.contains_key(&history) {
        let message =
            format!("the history of `{stream}` would be kept in the table of `{history}`");
        context.report(&["streams", stream, "history"], message);
    }
}

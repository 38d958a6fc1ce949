//! What was fetched by another request than the definition makes now.

use crate::changes::RequestHistory;
use crate::check::evidence::sql_of_requests;
use crate::definition::{Severity, Stream, StreamKind};
use crate::model::Error;
use crate::store::Reader;

use super::finding::{Collector, Finding, identity};
use super::options::CheckOptions;

/// The entries of a stream's ledger that are outdated.
pub fn check_requests(
    reader: &Reader,
    options: &CheckOptions<'_>,
    history: &RequestHistory,
    stream: &Stream,
    collector: &mut Collector,
) -> Result<(), Error> {
    let Some(definition) = options.definition else { return Ok(()) };
    let changes = history.changes(&definition.text, &stream.name);
    let outdated = reader.outdated(&stream.name, &changes)?;
    let is_window = matches!(stream.kind, StreamKind::Window(_));
    let Some(found) = outdated.spoken(is_window) else { return Ok(()) };
    let accept =
        options.help_commands.command("sync", &["--accept-definition", stream.name.as_str()]);
    collector.add(Finding {
        id: identity(&["outdated", &stream.name]),
        check: "outdated",
        severity: Severity::Warning,
        stream: stream.name.clone(),
        expected: "what is archived was fetched by the request of the definition".to_owned(),
        found,
        sql: sql_of_requests(&stream.name),
        help: options.help_commands.sync_due(&stream.name),
        first: Some(format!("where the change does not matter: `{accept}`")),
        until: None,
    });
    Ok(())
}

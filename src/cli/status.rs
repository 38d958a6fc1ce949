//! `windrow status`: what the archive knows and what it does not.

use crate::cli::text::{outbox_line, status_page};
use crate::digest::digest_tables;
use crate::host::Host;
use crate::model::{Error, ExitCode};
use crate::report::{StreamStatus, stream_statuses};
use crate::store::Reader;

use super::args::StatusArguments;
use super::global::Global;
use super::output::Output;
use super::workspace::{check_streams, load_for_reading};

/// The newest changes of fields that are shown; `_windrow_schema_log` has all.
const DRIFT_MAX: u32 = 10;

pub fn run(
    args: &StatusArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (definition, path) = load_for_reading(global, host)?;
    if let Some(definition) = &definition {
        check_streams(definition, &args.streams)?;
    }
    let reader = Reader::open(&path)?;
    let now = host.clock.now();
    let streams = stream_statuses(&reader, definition.as_ref(), &args.streams, now)?;
    let streams: Vec<StreamStatus> = streams.into_iter().map(|(_, status)| status).collect();
    let last_run = reader.runs(1)?.into_iter().next();
    let (rejects, waits) = (reader.rejects()?, reader.waits_held(now)?);
    let outbox = reader.outbox_counts()?;
    let digests = if args.digest { digest_tables(&reader)? } else { Vec::new() };
    let drift = reader.field_changes(None, None, DRIFT_MAX)?;
    let archive = path.display().to_string();
    if output.json() {
        output.json_line(&serde_json::json!({
            "archive": archive, "streams": streams, "last_run": last_run,
            "rejects": rejects, "waits": waits, "digests": digests, "drift": drift,
            "outbox": outbox,
        }))?;
    } else {
        let page = status_page(
            &archive,
            &streams,
            last_run.as_ref(),
            &rejects,
            &waits,
            &digests,
            &drift,
            now,
        );
        output.result(&page)?;
        if !outbox.is_empty() {
            output.result(&format!("outbox: {}\n", outbox_line(&outbox)))?;
        }
    }
    Ok(ExitCode::Done)
}

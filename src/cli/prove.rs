//! `windrow prove`: reads settled windows a second time and compares.

use std::path::Path;

use crate::cli::text::proof_page;
use crate::definition::StreamKind;
use crate::host::Host;
use crate::http::Budget;
use crate::model::{Error, ExitCode};
use crate::prove::{Pick, Proof, ProveOptions, prove};
use crate::sync::SyncParts;

use super::args::ProveArguments;
use super::global::Global;
use super::output::Output;
use super::progress::SyncProgressBar;
use super::sync::range;
use super::workspace::{check_streams, load_for_sync, load_secrets, network, parse_duration};

/// Seeds are short enough to be typed.
const SEEDS: f64 = 1e9;

pub fn run(
    args: &ProveArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let definition = load_for_sync(global, host)?;
    let streams = std::slice::from_ref(&args.stream);
    check_streams(&definition, streams)?;
    let bounds = (args.from.as_deref(), args.to.as_deref());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below SEEDS")]
    let by_chance = || (host.random.unit() * SEEDS) as u64;
    let options = ProveOptions {
        stream: args.stream.clone(),
        pick: match (args.all, args.sample) {
            (true, _) => Pick::All,
            (false, 0) => return Err(Error::usage("--sample must be at least 1")),
            (false, sample) => Pick::Sample(usize::try_from(sample).unwrap_or(usize::MAX)),
        },
        seed: args.seed.unwrap_or_else(by_chance),
        range: range(bounds, streams, &definition, host.clock.now())?,
        budget: Budget {
            requests_max: args.max_requests,
            bytes_max: args.max_bytes,
            time_max: args.max_time.as_deref().map(parse_duration).transpose()?,
        },
        temporary: std::env::temp_dir(),
    };
    let folder = global.definition.parent().unwrap_or(Path::new("."));
    let progress = SyncProgressBar::new(output);
    let parts = SyncParts {
        definition: &definition,
        host,
        transports: network(&definition, false)?,
        secrets: load_secrets(&definition, folder, host)?,
        observer: &progress,
    };
    let result = prove(parts, &options);
    progress.finish();
    let proof = result?;
    let windows = definition
        .stream(&args.stream)
        .is_some_and(|stream| matches!(stream.kind, StreamKind::Window(_)));
    show(&proof, windows, output)?;
    Ok(proof.exit_code())
}

fn show(proof: &Proof, windows: bool, output: &Output) -> Result<(), Error> {
    if output.json() {
        let mut value = serde_json::to_value(proof).expect("a proof can be written as JSON");
        value["requests"] = proof.stats.requests.into();
        value["retries"] = proof.stats.retries.into();
        value["bytes"] = proof.stats.bytes.into();
        value["exit_code"] = proof.exit_code().number().into();
        output.json_line(&value)?;
    } else {
        output.result(&proof_page(proof, windows))?;
    }
    for error in &proof.errors {
        let window = error.window.as_ref().map(|window| format!(" {window}")).unwrap_or_default();
        let place = format!("stream {}{window}", error.stream);
        output.error(&format!("{place}: {}", error.message), error.help.as_deref());
    }
    Ok(())
}

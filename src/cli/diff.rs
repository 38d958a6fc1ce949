//! `windrow diff`: what changed in the archive since a run or a time, or between two archives.

use std::io::Write;
use std::path::Path;

use clap::Args;
use serde_json::{Map, json};

use crate::cli::text::{DiffCounts, difference_line};
use crate::export::json_value;
use crate::history::{Change, Known, NamedValues, RowDifference, since};
use crate::host::Host;
use crate::model::{Error, ErrorKind, ExitCode};
use crate::store::Reader;

use super::diff_files;
use super::global::Global;
use super::output::{Output, taken};
use super::workspace::{archived_streams, load_for_reading};

#[derive(Debug, Args)]
pub struct DiffArguments {
    /// Two archives; or with --since these streams only
    #[arg(value_name = "FILE_OR_STREAM")]
    pub names: Vec<String>,
    /// What changed in the archive since the run of this number, a date, a timestamp, or "-7 days"
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Between two archives: these streams only
    #[arg(long = "stream", value_name = "STREAM")]
    pub streams: Vec<String>,
}

pub fn run(
    args: &DiffArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let Some(moment) = &args.since else {
        let [a, b] = args.names.as_slice() else {
            return Err(Error::usage("nothing to compare was named").help(
                "name two archives (`windrow diff a.db b.db`), or say since when \
                 (`windrow diff --since \"-7 days\"`)",
            ));
        };
        return diff_files::run([Path::new(a), Path::new(b)], &args.streams, host, output);
    };
    let (_, path) = load_for_reading(global, host)?;
    let reader = Reader::open(&path)?;
    let moment = since(moment, &reader, host.clock.now())?;
    let names: Vec<String> = args.names.iter().chain(&args.streams).cloned().collect();
    let streams = archived_streams(&reader, &names)?;
    let mut out = output.rows(output.written());
    let mut counts = DiffCounts::default();
    for stream in &streams {
        let name = &stream.stream;
        let known = reader.diff(stream, &moment, &mut |difference| {
            counts.add(&difference.change);
            if output.json() {
                serde_json::to_writer(&mut out, &as_json(name, &difference))?;
                out.write_all(b"\n")
            } else {
                out.write_all(difference_line(name, &difference).as_bytes())
            }
        });
        match known {
            // Whoever has gone away, as `| head` does, has seen that something differs.
            Err(error) if error.kind == ErrorKind::Gone => return Ok(ExitCode::Found),
            Err(error) => return Err(error),
            Ok(Known::All) => {}
            Ok(Known::Partly(why)) => output.say(&format!(
                "{why}: its changed rows are shown without what they were, and no rows that \
                 vanished but those that `missing` or `deleted` took away \
                 (`history = true` keeps all)\n"
            )),
        }
    }
    if !output.json() {
        taken(out.write_all(counts.line().as_bytes()))?;
    }
    taken(out.flush())?;
    Ok(if counts.any() { ExitCode::Found } else { ExitCode::Done })
}

fn as_json(stream: &str, difference: &RowDifference) -> serde_json::Value {
    let object = |named: &NamedValues| -> Map<String, serde_json::Value> {
        named.iter().map(|(name, value)| (name.clone(), json_value(value))).collect()
    };
    let key = object(&difference.key);
    match &difference.change {
        Change::Inserted(values) => {
            json!({"stream": stream, "change": "inserted", "key": key, "values": object(values)})
        }
        Change::Vanished(values) => {
            json!({"stream": stream, "change": "vanished", "key": key, "values": object(values)})
        }
        Change::Changed(columns) => {
            let columns = columns.as_ref().map(|columns| {
                let each = columns.iter().map(|(name, old, new)| {
                    let pair = json!({"old": json_value(old), "new": json_value(new)});
                    (name.clone(), pair)
                });
                each.collect::<Map<_, _>>()
            });
            json!({"stream": stream, "change": "changed", "key": key, "columns": columns})
        }
    }
}

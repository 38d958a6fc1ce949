//! `windrow runs`: what each run did.

use crate::cli::text::{run_page, runs_table};
use crate::host::Host;
use crate::model::{Error, ExitCode};
use crate::store::Reader;

use super::args::{RunsArguments, RunsCommand};
use super::global::Global;
use super::output::Output;
use super::workspace::load_for_reading;

pub fn run(
    args: &RunsArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let (_, path) = load_for_reading(global, host)?;
    let reader = Reader::open(&path)?;
    let shown = match args.command {
        Some(RunsCommand::Show { run }) => Some(run),
        None => args.run,
    };
    if let Some(number) = shown {
        let run = reader.run_row(number)?.ok_or_else(|| {
            Error::usage(format!("there is no run {number}")).help("`windrow runs` lists them")
        })?;
        let detail = reader.run_detail(number)?;
        if output.json() {
            let mut value = serde_json::to_value(&run).expect("a run can be written as JSON");
            value["fetches"] = serde_json::json!(detail.fetches);
            value["events"] = serde_json::json!(detail.events);
            output.json_line(&value)?;
        } else {
            output.result(&run_page(&run, &detail))?;
        }
        return Ok(ExitCode::Done);
    }
    let runs = reader.runs(args.limit)?;
    if output.json() {
        runs.iter().try_for_each(|run| output.json_line(run))?;
    } else {
        output.result(&runs_table(&runs))?;
    }
    Ok(ExitCode::Done)
}

//! What runs did, for people.

use crate::archive::RunRow;
use crate::model::{Outcomes, printable};

use super::numbers::{bytes, count};
use super::synced::outcome_table;

/// A line for each run.
pub fn runs_table(runs: &[RunRow]) -> String {
    let rows: Vec<(Vec<String>, Outcomes)> = runs
        .iter()
        .map(|run| {
            let windows = format!("{}/{}", run.windows_completed, run.windows_planned);
            let started = run.started_at.replace('T', " ").replace("+00:00", "Z");
            (vec![run.run.to_string(), started, run.state.clone(), windows], run.outcomes)
        })
        .collect();
    outcome_table(&["run", "started", "state", "complete"], &rows)
}

/// One run in full.
pub fn run_page(run: &RunRow) -> String {
    let mut out = format!("run {} ({}): {}\n", run.run, run.command, run.state);
    let mut line = |name: &str, value: &str| out.push_str(&format!("  {name:<10} {value}\n"));
    line("started", &run.started_at);
    line("finished", run.finished_at.as_deref().unwrap_or("never: the process was killed"));
    if let Some(code) = run.exit_code {
        line("exit code", &code.to_string());
    }
    line("complete", &format!("{} of {} due", run.windows_completed, run.windows_planned));
    let repeated = count(run.retries);
    line(
        "requests",
        &format!("{} ({repeated} repeated), {}", count(run.requests), bytes(run.bytes)),
    );
    if let Some(message) = &run.message {
        line("trouble", &printable(message));
    }
    let rows: Vec<(Vec<String>, Outcomes)> = run
        .streams
        .iter()
        .map(|stream| {
            let windows = stream.windows_completed.to_string();
            (vec![stream.stream.clone(), windows], stream.outcomes)
        })
        .collect();
    out.push('\n');
    out.push_str(&outcome_table(&["stream", "complete"], &rows));
    for stream in run.streams.iter().filter(|stream| stream.taken_up > 0) {
        let (taken_up, name) = (count(stream.taken_up), printable(&stream.stream));
        out.push_str(&format!("{taken_up} rejects of earlier readings were taken up in {name}\n"));
    }
    out
}

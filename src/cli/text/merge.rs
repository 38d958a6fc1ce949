//! What a merge came to, for people.

use crate::merge::{FileReport, MergeReport, StreamMerge};
use crate::model::printable;

use crate::cli::text::table::plain_table;
use crate::model::numbers::{count, many};

/// A table of streams for each file, what is complete now, and three lines at the end.
pub fn merged_page(report: &MergeReport) -> String {
    let mut out: String = report.files.iter().map(file_page).collect();
    out.push_str(&closing(report));
    out
}

fn file_page(file: &FileReport) -> String {
    let known = match file.runs {
        0 => "all its runs are known here".to_owned(),
        1 => "1 run that was not known here".to_owned(),
        runs => format!("{} that were not known here", many(runs, "run")),
    };
    let mut out = format!("{}: {known}\n", printable(&file.file));
    let header = ["stream", "inserted", "replaced", "kept", "equal", "deleted", "in conflict"];
    let header: Vec<String> = header.map(str::to_owned).into();
    let row = |stream: &StreamMerge| {
        let rows = &stream.rows;
        let numbers = [rows.inserted, rows.replaced, rows.kept, rows.equal, rows.deleted];
        let numbers = numbers.into_iter().chain([rows.conflicts]).map(count);
        std::iter::once(printable(&stream.stream)).chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = file.streams.iter().map(row).collect();
    let numeric: Vec<bool> = (0..header.len()).map(|at| at > 0).collect();
    out.push_str(&plain_table(&header, &rows, &numeric));
    for stream in &file.streams {
        out.push_str(&stream_lines(stream));
    }
    for result in &file.results {
        let (key, state) = (printable(&result.key), result.state.as_str());
        out.push_str(&format!("{key}, which a hand-off took along, is {state} there\n"));
    }
    for warning in &file.warnings {
        out.push_str(&format!("note: {}\n", printable(warning)));
    }
    for left in &file.left {
        out.push_str(&format!("not taken: {}\n", printable(left)));
    }
    out.push('\n');
    out
}

fn stream_lines(stream: &StreamMerge) -> String {
    let name = printable(&stream.stream);
    let mut out = String::new();
    let spans: Vec<String> = stream
        .complete
        .iter()
        .map(|span| {
            let window = span.window().map(|window| window.to_string()).unwrap_or_default();
            match span.partition.as_str() {
                "" => window,
                partition => format!("{window} of {}", printable(partition)),
            }
        })
        .collect();
    if !stream.columns.is_empty() {
        let columns: Vec<String> = stream.columns.iter().map(|name| printable(name)).collect();
        out.push_str(&format!("{name} has the column {} now\n", columns.join(", ")));
    }
    if !spans.is_empty() {
        let more = match stream.complete_more {
            0 => String::new(),
            more => format!(" and {} more", count(more)),
        };
        out.push_str(&format!("{name} is complete now in {}{more}\n", spans.join(", ")));
    }
    if stream.fetches > 0 {
        let what = match stream.new {
            true => "is complete now, by its snapshot or mark",
            false => "has a later snapshot or mark now",
        };
        out.push_str(&format!("{name} {what}\n"));
    }
    if !stream.rows.conflict_keys.is_empty() {
        let keys: Vec<String> =
            stream.rows.conflict_keys.iter().map(|key| printable(key)).collect();
        out.push_str(&format!("{name} is in conflict for example at {}\n", keys.join("; ")));
    }
    out
}

fn closing(report: &MergeReport) -> String {
    if !report.changed {
        return "Nothing changed: all that these files hold is here already.\n".to_owned();
    }
    let streams = || report.files.iter().flat_map(|file| &file.streams);
    let sum = |of: &dyn Fn(&StreamMerge) -> u64| streams().map(of).sum::<u64>();
    let (inserted, replaced) = (sum(&|s| s.rows.inserted), sum(&|s| s.rows.replaced));
    let kept = sum(&|s| s.rows.kept);
    let complete = sum(&|s| s.complete.len() as u64 + s.complete_more);
    let last = match report.run {
        Some(run) => format!("It is in the archive as run {run}."),
        None => "Nothing was changed; without --dry-run it is done.".to_owned(),
    };
    format!(
        "{} came, {} replaced, {} kept against the other's.\n{}.\n{last}\n",
        many(inserted, "row"),
        count(replaced),
        count(kept),
        proven(complete, sum(&|s| s.fetches)),
    )
}

/// What is proven that was not: time, and snapshots and marks, which have none.
fn proven(stretches: u64, fetches: u64) -> String {
    let mut said = Vec::new();
    if stretches > 0 || fetches == 0 {
        said.push(match stretches {
            1 => "1 stretch of time is newly complete".to_owned(),
            _ => format!("{} stretches of time are newly complete", count(stretches)),
        });
    }
    if fetches > 0 {
        said.push(match fetches {
            1 => "1 snapshot or mark is new or later".to_owned(),
            _ => format!("{} snapshots or marks are new or later", count(fetches)),
        });
    }
    said.join("; ")
}

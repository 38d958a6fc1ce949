//! What a file holds twice and what became of it, for people.

use crate::adopt::AdoptReport;
use crate::adopt::{Deduplicated, Inflation};
use crate::model::printable;

use crate::cli::text::table::plain_table;
use crate::model::numbers::{count, inflect, many, many_are};

/// The page of a file that is or would be adopted.
pub fn adopted_page(report: &AdoptReport) -> String {
    let found = &report.found;
    let source = match &report.table {
        Some(table) => format!("{table} of {}", report.file),
        None => report.file.clone(),
    };
    let mut out = printable(&format!("{source} -> stream {}", report.stream)) + "\n";
    let mut line = |text: String| out.push_str(&format!("  {}\n", printable(&text)));
    if report.already {
        let run = report.run.unwrap_or_default();
        line(format!("run {run} has adopted these records already; nothing to do"));
        return out;
    }
    let (records, keys) = (many(report.records, "record"), many(found.keys, "different key"));
    line(format!("{records}, {keys} ({})", report.key.join(", ")));
    if found.groups > 0 {
        line(doubled(found.groups, found.duplicates, "record"));
        line(format!("{} of those are copies of the one that is kept", count(found.copies)));
        if !found.differing.is_empty() {
            let each = found.differing.iter().map(|(name, rows)| format!("{name} ({rows})"));
            line(format!("the others differ in {}", each.collect::<Vec<_>>().join(", ")));
        }
        line(format!("kept of each key: {}", report.keep));
    }
    for reject in &found.rejects {
        let (number, kind) = (count(reject.count), reject.kind);
        line(format!("{number} cannot be rows ({kind}), such as {}", reject.example));
    }
    let known = found.agreed + found.archived;
    if known > 0 {
        let known = many_are(known, "key");
        let agreed = inflect(found.agreed, "agrees", "agree");
        let other = inflect(found.archived, "differs", "differ");
        line(format!(
            "{known} in the archive: {} {agreed}, {} {other} and its rows stay",
            count(found.agreed),
            count(found.archived)
        ));
    }
    if found.undecided > 0 {
        let undecided = many_are(found.undecided, "key");
        line(format!("{undecided} undecided: no sync has read them, none is kept"));
    }
    line(many(found.new, "new row"));
    if !report.left_out.is_empty() {
        line(format!("not in the stream, left in the file: {}", report.left_out.join(", ")));
    }
    if !report.absent.is_empty() {
        line(format!("not in the file, NULL: {}", report.absent.join(", ")));
    }
    for span in &report.spans {
        line(format!("adopted, unverified until a sync has read it: {span}"));
    }
    let worst = found.worst.iter();
    let worst = worst.map(|group| (group.key.clone(), group.records, group.kept));
    let mut page = out;
    page.push_str(&tables(&found.inflation, found.duplicates, worst.collect()));
    if let Some((sql, remaining)) = &report.proof {
        page.push_str(&proof(sql, *remaining));
    }
    page
}

/// The page of a table that is or would be healed where it is.
pub fn healed_page(file: &str, healed: &Deduplicated) -> String {
    let mut out = printable(&format!("{} of {file}, in place", healed.table)) + "\n";
    let mut line = |text: String| out.push_str(&format!("  {}\n", printable(&text)));
    line(format!("{}, the key is ({})", many(healed.rows, "row"), healed.key.join(", ")));
    if healed.duplicates == 0 {
        line("no key stands more than once".to_owned());
    } else {
        line(doubled(healed.groups, healed.duplicates, "row"));
    }
    if healed.null_keys > 0 {
        let null = many(healed.null_keys, "row");
        let (have, stay) = match healed.null_keys {
            1 => ("has", "stays"),
            _ => ("have", "stay"),
        };
        line(format!("{null} {have} NULL in the key and {stay}"));
    }
    if !healed.differing.is_empty() {
        let each = healed.differing.iter().map(|(name, rows)| format!("{name} ({rows})"));
        let each = each.collect::<Vec<_>>().join(", ");
        line(format!("they differ from the ones that stay in {each}"));
    }
    let mut page = out;
    page.push_str(&tables(&healed.inflation, healed.duplicates, healed.worst.clone()));
    page.push_str(&proof(&healed.proof, healed.remaining));
    page
}

fn proof(sql: &str, remaining: u64) -> String {
    format!("\nproof: {}; -- {}\n", printable(sql), many(remaining, "row"))
}

/// Keys that stand more than once, and what is too many there.
fn doubled(keys: u64, more: u64, what: &str) -> String {
    let stand = inflect(keys, "stands", "stand");
    format!("{} {stand} more than once: {} too many", many(keys, "key"), many(more, what))
}

/// What the records too many do to the sums, and the keys that stand most often.
fn tables(changes: &[Inflation], duplicates: u64, worst: Vec<(String, u64, i64)>) -> String {
    if duplicates == 0 {
        return String::new();
    }
    let mut out = String::new();
    if !changes.is_empty() {
        let header = ["sum of", "as it is", "without them", "inflated by"].map(str::to_owned);
        let rows: Vec<Vec<String>> = changes.iter().map(change_cells).collect();
        out.push_str(&format!("\n{}", plain_table(&header, &rows, &[false, true, true, true])));
    }
    let header = ["key", "records", "kept is"].map(str::to_owned);
    let rows: Vec<Vec<String>> = worst
        .into_iter()
        .map(|(key, records, kept)| vec![printable(&key), count(records), kept.to_string()])
        .collect();
    out.push_str(&format!("\n{}", plain_table(&header, &rows, &[false, true, true])));
    out
}

fn change_cells(change: &Inflation) -> Vec<String> {
    let factor = match change.without == 0.0 {
        true => "-".to_owned(),
        false => format!("{:.1} %", (change.with / change.without - 1.0) * 100.0),
    };
    let sum = |number: f64| {
        let text = format!("{number:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    vec![printable(&change.column), sum(change.with), sum(change.without), factor]
}

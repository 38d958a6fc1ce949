//! What a rebuild changes, for people.

use crate::model::printable;
use crate::rebuild::Rebuilt;
use crate::rebuild::{Carried, ColumnChange};

use crate::model::numbers::count;

/// All streams of a rebuild.
pub fn rebuilt_page(streams: &[Rebuilt]) -> String {
    streams.iter().map(stream_lines).collect::<Vec<_>>().join("\n")
}

fn stream_lines(rebuilt: &Rebuilt) -> String {
    let what = &rebuilt.comparison;
    let (before, after) = (count(what.rows_before), count(what.rows_after));
    let (stream, pages) = (&rebuilt.stream, count(rebuilt.pages));
    let mut lines = Vec::new();
    if let (Some(was), Some(is)) = (&what.key_before, &what.key_after) {
        lines.push(format!("key ({was}) -> ({is})"));
    }
    lines.extend(what.columns.iter().map(column_line));
    if let (Some(added), Some(gone), Some(changed)) = (what.added, what.gone, what.changed)
        && added + gone + changed > 0
    {
        let [added, gone, changed] = [added, gone, changed].map(count);
        lines.push(format!("rows: {changed} change, {added} come, {gone} go"));
    }
    let groups = [(&what.merged, "merge"), (&what.split, "split")];
    for (group, verb) in
        groups.into_iter().filter_map(|(group, verb)| Some((group.as_ref()?, verb)))
    {
        if group.were > 0 {
            let (were, are) = (count(group.were), count(group.are));
            lines.push(format!("under the new key {were} rows {verb} into {are}"));
        }
    }
    if what.rejects_before != what.rejects_after || !what.new_rejects.is_empty() {
        let (before, after) = (count(what.rejects_before), count(what.rejects_after));
        lines.push(format!("rejects: {before} -> {after}"));
    }
    for new in &what.new_rejects {
        let (number, kind, example) = (count(new.count), &new.kind, printable(&new.example));
        lines.push(format!("  {number} new ({kind}), such as: {example}"));
    }
    if rebuilt.windows_reopened > 0 {
        let windows = count(rebuilt.windows_reopened);
        lines.push(format!(
            "{windows} windows no longer agree with the source's count, and are read again"
        ));
    }
    if lines.is_empty() {
        lines.push("nothing changes".to_owned());
    }
    lines.extend(carried_line(&rebuilt.carried));
    lines.extend(rebuilt.notes.iter().map(|note| format!("! {}", printable(note))));
    let mut out = format!("{stream}: {before} rows -> {after}, from {pages} kept pages\n");
    lines.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    out
}

/// Rows that stay as they are, and where they came from.
fn carried_line(carried: &[Carried]) -> Option<String> {
    let rows: u64 = carried.iter().map(|some| some.rows).sum();
    let spans = carried.iter().map(Carried::to_string).collect::<Vec<_>>().join(", ");
    let rows = count(rows);
    (!carried.is_empty())
        .then(|| format!("{rows} rows are in no kept page and stay as they are: {spans}"))
}

fn column_line(change: &ColumnChange) -> String {
    let name = printable(&change.column);
    let filled = count(change.filled);
    match (&change.was, &change.is) {
        (Some(was), Some(is)) => format!("~ {name} {was} -> {is}, with a value in {filled} rows"),
        (None, Some(is)) => format!("+ {name} {is}, with a value in {filled} rows"),
        (Some(was), None) => format!("- {name} {was} (goes into `_rest`)"),
        (None, None) => name,
    }
}

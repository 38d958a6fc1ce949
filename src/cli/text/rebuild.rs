//! What a rebuild changes, for people.

use crate::model::printable;
use crate::rebuild::Rebuilt;
use crate::rebuild::{Carried, ColumnChange};

use crate::model::numbers::{count, inflect, many, many_are};

/// All streams of a rebuild.
pub fn rebuilt_page(streams: &[Rebuilt]) -> String {
    streams.iter().map(stream_lines).collect::<Vec<_>>().join("\n")
}

fn stream_lines(rebuilt: &Rebuilt) -> String {
    let what = &rebuilt.comparison;
    let (before, after) = (many(what.rows_before, "row"), count(what.rows_after));
    let (stream, pages) = (&rebuilt.stream, many(rebuilt.pages, "kept page"));
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
            let (were, are) = (many(group.were, "row"), count(group.are));
            let ending = inflect(group.were, "s", "");
            lines.push(format!("under the new key {were} {verb}{ending} into {are}"));
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
        let number = rebuilt.windows_reopened;
        lines.push(format!(
            "{} no longer {} with the source's count, and {} read again",
            many(number, "window"),
            inflect(number, "agrees", "agree"),
            inflect(number, "is", "are")
        ));
    }
    if lines.is_empty() {
        lines.push("nothing changes".to_owned());
    }
    lines.extend(carried_line(&rebuilt.carried));
    lines.extend(rebuilt.notes.iter().map(|note| format!("! {}", printable(note))));
    let mut out = format!("{stream}: {before} -> {after}, from {pages}\n");
    lines.iter().for_each(|line| out.push_str(&format!("  {line}\n")));
    out
}

/// Rows that stay as they are, and where they came from.
fn carried_line(carried: &[Carried]) -> Option<String> {
    let rows: u64 = carried.iter().map(|some| some.rows).sum();
    let spans = carried.iter().map(Carried::to_string).collect::<Vec<_>>().join(", ");
    let stay = inflect(rows, "stays as it is", "stay as they are");
    let rows = many_are(rows, "row");
    (!carried.is_empty()).then(|| format!("{rows} in no kept page and {stay}: {spans}"))
}

fn column_line(change: &ColumnChange) -> String {
    let name = printable(&change.column);
    let filled = many(change.filled, "row");
    match (&change.was, &change.is) {
        (Some(was), Some(is)) => format!("~ {name} {was} -> {is}, with a value in {filled}"),
        (None, Some(is)) => format!("+ {name} {is}, with a value in {filled}"),
        (Some(was), None) => format!("- {name} {was} (goes into `_rest`)"),
        (None, None) => name,
    }
}

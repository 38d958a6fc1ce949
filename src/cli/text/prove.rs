//! What a proof found, for people.

use serde_json::Value;

use crate::model::{excerpt, printable};
use crate::prove::{DifferenceKind, PlaceOutcome, Proof, ProofDifference};

use crate::model::numbers::{bytes, count, inflect, many};

/// Differences that are shown; `--json` has more.
const SHOWN_MAX: usize = 20;
/// Characters of a value that are shown: a difference has two values, which should stand on two
/// lines at most.
const VALUE_CHARS_MAX: usize = 60;

/// The whole page. `windows` says whether the stream is read by windows.
pub fn proof_page(proof: &Proof, windows: bool) -> String {
    let noun = if windows { "settled windows" } else { "complete fetches" };
    let picked = proof.places.len() as u64;
    let mut out = format!("{}: ", proof.stream);
    if proof.places.is_empty() {
        out.push_str(&format!("there are no {noun}, so there is nothing to prove yet\n"));
        out.push_str(&notes(proof));
        return out;
    }
    out.push_str(&format!(
        "{} of {} {noun} (seed {}), {}, {}\n",
        count(picked),
        count(proof.candidates),
        proof.seed,
        many(proof.stats.requests, "request"),
        bytes(proof.stats.bytes)
    ));
    for difference in proof.differences.iter().take(SHOWN_MAX) {
        out.push_str(&difference_lines(difference));
    }
    let more = proof.counts.differing().saturating_sub(SHOWN_MAX as u64);
    if more > 0 {
        out.push_str(&format!("and {} more; --json has the first 1,000\n", count(more)));
    }
    let differing = proof.places.iter().filter(|p| p.outcome == PlaceOutcome::Differs);
    for place in differing.clone().take(SHOWN_MAX) {
        let name = place_name(place.window.as_deref(), &place.partition);
        out.push_str(&format!(
            "{name}: read last at {} (run {})\n  archive {} ({})\n  source  {} ({})\n",
            place.completed_at,
            place.run,
            place.archive.sha256,
            many(place.archive.rows, "row"),
            place.source.sha256,
            many(place.source.rows, "row")
        ));
    }
    out.push_str(&verdict(proof));
    out.push_str(&notes(proof));
    if let Some(place) = differing.clone().next()
        && let Some((from, to)) = place.window.as_deref().and_then(|text| text.split_once(".."))
    {
        // Without a time it would be a date in the stream's own zone.
        let whole = |at: &str| if at.contains('T') { at.into() } else { format!("{at}T00:00:00Z") };
        let (stream, from, to) = (&proof.stream, whole(from), whole(to));
        out.push_str(&format!("`windrow sync {stream} --from {from} --to {to}` reads it again\n"));
    }
    out
}

fn verdict(proof: &Proof) -> String {
    let counts = proof.counts;
    let all = [
        (counts.missing, "missing"),
        (counts.changed, "changed"),
        (counts.no_longer_served, "no longer served"),
        (counts.rejected, "rejected"),
        (counts.equal, "equal"),
        (counts.protected, "older than the archive's, or protected"),
        (counts.newer, "changed since the mark"),
        (counts.orphans, "waiting for their parents"),
        (counts.gone, "gone, and left out"),
    ];
    let told: Vec<String> = all
        .iter()
        .filter(|(number, name)| *number > 0 || *name == "equal")
        .map(|(number, name)| format!("{} {name}", count(*number)))
        .collect();
    let head = match (counts.differing() > 0, proof.is_whole()) {
        (true, _) => "not the same",
        (false, true) => "the same",
        (false, false) => "not proven",
    };
    let rows = inflect(all.iter().map(|(number, _)| number).sum(), "row", "rows");
    let mut out = format!("{head}: {} {rows}\n", told.join(", "));
    let left = [
        (PlaceOutcome::Unread, "could not be read to the end"),
        (PlaceOutcome::Overtaken, "read by a sync meanwhile, and not compared"),
        (PlaceOutcome::ParentGone, "not read: the parent is not in the archive any more"),
        (PlaceOutcome::Unjudged, "not compared: no column names the parent"),
    ];
    for (outcome, name) in left {
        let number = proof.places_with(outcome);
        if number > 0 {
            out.push_str(&format!("{} {name}\n", count(number)));
        }
    }
    out
}

fn notes(proof: &Proof) -> String {
    proof.notes.iter().map(|note| format!("note: {}\n", printable(note))).collect()
}

fn place_name(window: Option<&str>, partition: &str) -> String {
    let parts = [window.unwrap_or_default(), partition].map(printable);
    let parts: Vec<&str> =
        parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(" ") }
}

fn difference_lines(difference: &ProofDifference) -> String {
    let place = place_name(difference.window.as_deref(), &difference.partition);
    let key: Vec<String> =
        difference.key.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect();
    let key = key.join(", ");
    let since = difference.in_archive.as_ref().map_or_else(String::new, |stamp| {
        format!("since {} (run {})", stamp.changed_at, stamp.run)
    });
    match difference.kind {
        DifferenceKind::Missing => {
            format!("missing           {place}  {key}: the source has it, the archive does not\n")
        }
        DifferenceKind::NoLongerServed => {
            format!("no longer served  {place}  {key}: in the archive {since}\n")
        }
        DifferenceKind::Rejected => {
            let reason = difference.reason.as_deref().unwrap_or_default();
            format!("rejected          {}\n", excerpt(reason, 200))
        }
        DifferenceKind::Changed => {
            let mut out = format!("changed           {place}  {key}: in the archive {since}\n");
            for column in &difference.columns {
                let (old, new) = (shown(&column.archive), shown(&column.source));
                let name = printable(&column.column);
                out.push_str(&format!("  {name}: {old}, the source has {new}\n"));
            }
            out
        }
    }
}

/// A value on a terminal.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => excerpt(text, VALUE_CHARS_MAX),
        value => excerpt(&value.to_string(), VALUE_CHARS_MAX),
    }
}

//! What was given, and what a given file proved to be.

use crate::handoff::{
    Covers, Gave, Manifest, ManifestStream, PartMade, Verified, VerifyDifference,
};
use crate::model::{instant_from_text, printable, shell_word, wrapped};

use crate::model::numbers::{bytes, many};

/// Gaps that are told one by one: they stand in the line of their stream; the manifest has all.
const GAPS_TOLD_MAX: usize = 3;
/// Characters of a manifest's SHA-256 that people read to each other: 64 bits, for which nobody can
/// make a second manifest by trying.
const NUMBER_CHARS: usize = 16;

/// What was given, what it covers, and how to prove it.
pub fn gave_page(gave: &Gave, out: &str) -> String {
    let manifest = &gave.manifest;
    let rows: u64 = manifest.streams.iter().map(|stream| stream.rows).sum();
    let (rows, streams) = (many(rows, "row"), many(manifest.streams.len() as u64, "stream"));
    let (name, size) = (printable(out), bytes(gave.bytes));
    let mut page = wrapped(0, &format!("gave {rows} of {streams} to {name} ({size})"));
    if let Some(part) = &manifest.part {
        page.push_str(&wrapped(0, &part_text(part)));
    }
    if let Some(id) = &gave.signed_by {
        page.push_str(&wrapped(0, &format!("signed by the key {id}")));
    }
    page.push_str(&covers_all(manifest));
    let digest = gave.sha256.get(..16).unwrap_or_default();
    let command = format!("windrow verify {}", printable(&shell_word(out)));
    page.push_str(&wrapped(0, &format!("its manifest is {digest}: `{command}`")));
    page
}

fn part_text(part: &PartMade) -> String {
    let mut said = Vec::new();
    if let Some(run) = &part.since {
        said.push(format!("what was written after run {}", run.run));
    }
    if !part.streams.is_empty() {
        let noun = if part.streams.len() == 1 { "stream" } else { "streams" };
        said.push(format!("the {noun} {}", printable(&part.streams.join(", "))));
    }
    if let Some(condition) = &part.condition {
        said.push(format!("rows where {}", printable(condition)));
    }
    format!("a part: {}", said.join("; "))
}

fn covers_all(manifest: &Manifest) -> String {
    let cut = manifest.part.as_ref().is_some_and(|p| p.since.is_some() || p.condition.is_some());
    if cut {
        let nothing = "it covers nothing by itself: its coverage counts where its base is";
        return wrapped(0, nothing);
    }
    let each = manifest
        .streams
        .iter()
        .map(|stream| format!("{} {}", printable(&stream.stream), covers_text(&stream.covers)));
    match each.collect::<Vec<_>>().as_slice() {
        [] => "it covers nothing\n".to_owned(),
        [one] => wrapped(0, &format!("it covers {one}")),
        more => more.iter().fold("it covers\n".to_owned(), |page, one| page + &wrapped(2, one)),
    }
}

/// A day where it is one, else the instant.
fn short(instant: &str) -> String {
    let day = instant.strip_suffix("T00:00:00+00:00");
    match (day, instant_from_text(instant)) {
        (Some(day), Some(_)) => day.to_owned(),
        (None, Some(at)) => at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        _ => printable(instant),
    }
}

/// What is proven of a stream, in words.
pub fn covers_text(covers: &Covers) -> String {
    let mut said = match (covers.spans.first(), covers.spans.last(), &covers.as_of) {
        (Some((from, _)), Some((_, to)), _) => format!("{}..{}", short(from), short(to)),
        (_, _, Some(at)) => format!("as of {}", short(at)),
        _ => "nothing yet".to_owned(),
    };
    if covers.parents > 0 {
        said.push_str(&format!(" for each of {}", many(covers.parents, "parent")));
    }
    match covers.gaps.len() {
        0 if covers.spans.is_empty() => {}
        0 => said.push_str(" without a gap"),
        gaps => {
            let told = covers.gaps.iter().take(GAPS_TOLD_MAX);
            let told = told.map(|(from, to)| format!("{}..{}", short(from), short(to)));
            let more = if gaps > GAPS_TOLD_MAX { ", …" } else { "" };
            let told = told.collect::<Vec<_>>().join(", ");
            said.push_str(&format!(" but for {}: {told}{more}", many(gaps as u64, "gap")));
        }
    }
    said
}

/// What a file proved to be.
pub fn verified_page(verified: &Verified, file: &str) -> String {
    let mut out = format!("{}: {}", printable(file), what_it_is(verified));
    let width = verified.streams.iter().map(|stream| stream.stream.len()).max().unwrap_or(0);
    for stream in &verified.streams {
        out.push_str(&stream_line(stream, width));
    }
    for (stream, runs) in &verified.lacks {
        let runs = many(*runs, "run");
        out.push_str(&format!("  {}: not all rows of {runs} are here\n", printable(stream)));
    }
    if let Some(future) = &verified.future {
        out.push_str(&format!(
            "  note: {} noted times that have not come, the latest {}: a clock ran ahead; \
             a merge does not believe these times\n",
            many(future.runs, "run"),
            short(&future.latest)
        ));
    }
    for difference in &verified.differences {
        out.push_str(&difference_line(difference));
    }
    out.push_str(match (verified.differences.is_empty(), &verified.manifest) {
        (true, Some(_)) => "whole, and as it was given\n",
        (true, None) => "whole; it has no manifest: earlier changes cannot be found\n",
        (false, Some(_)) => "NOT as it was given\n",
        (false, None) => "NOT whole\n",
    });
    out
}

/// A line of what it is, and one each of who signed it, what its manifest is, and of which part.
fn what_it_is(verified: &Verified) -> String {
    let mut out = match &verified.manifest {
        Some(manifest) => format!(
            "a hand-off of archive {}\n  made {} by windrow {}\n",
            printable(manifest.lineage.first().map_or("", |id| head(id, 8))),
            short(&manifest.made_at),
            printable(&manifest.windrow)
        ),
        None => format!("the archive {}\n", printable(head(&verified.archive_id, 8))),
    };
    out.push_str(&match (&verified.signed_by, &verified.key_id) {
        (Some(name), Some(id)) => format!("  signed by {} (key {id})", printable(name)),
        _ => "  not signed".to_owned(),
    });
    if verified.encrypted {
        out.push_str(", encrypted");
    }
    if verified.compressed {
        out.push_str(", compressed");
    }
    out.push('\n');
    if let Some(sha256) = &verified.sha256 {
        out.push_str(&format!("  its manifest is {}\n", head(sha256, NUMBER_CHARS)));
    }
    if let Some(part) = verified.manifest.as_ref().and_then(|manifest| manifest.part.as_ref()) {
        out.push_str(&format!("  {}\n", part_text(part)));
    }
    out
}

/// The first characters of a text, or all of it.
fn head(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(at, _)| &text[..at])
}

fn stream_line(stream: &ManifestStream, width: usize) -> String {
    let mut line = format!(
        "  {:width$}  {}  {}",
        printable(&stream.stream),
        many(stream.rows, "row"),
        covers_text(&stream.covers)
    );
    if stream.covers.unfinished > 0 {
        line.push_str(&format!(", {} unfinished", many(stream.covers.unfinished, "fetch")));
    }
    if stream.open_rejects > 0 {
        line.push_str(&format!(", {}", many(stream.open_rejects, "open reject")));
    }
    line.push('\n');
    line
}

fn difference_line(difference: &VerifyDifference) -> String {
    let place = printable(&difference.place);
    let what = printable(&difference.what);
    match (&difference.key, place.is_empty()) {
        (Some(key), _) => format!("  ! {place} ({}): {what}\n", printable(key)),
        (None, false) => format!("  ! {place}: {what}\n"),
        (None, true) => format!("  ! {what}\n"),
    }
}

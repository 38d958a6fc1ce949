//! What a hand-off says of itself: where it comes from, what it holds, what it covers.

use serde::{Deserialize, Serialize};

use crate::digest::{WholeDigest, digest_stream, digest_whole, digested_columns};
use crate::handoff::Part;
use crate::host::Stop;
use crate::model::sha256_of;
use crate::model::{Error, ErrorKind, Timestamp, Window, instant_from_text, instant_to_text};
use crate::store::{FORMATS, LedgerRow, Reader, StreamRow};
use crate::window::Coverage;

use super::marks::Chunks;

/// The version of the manifest's own form.
pub const MANIFEST_FORM: u32 = 1;

/// What a hand-off says of itself. Later versions may say more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this form.
    pub form: u32,
    /// The version of windrow that made it.
    pub windrow: String,
    /// The format of the archive.
    pub archive_format: i32,
    /// The hand-off's own id.
    pub handoff_id: String,
    /// The copy's id: it is an archive of its own from here on.
    pub archive_id: String,
    /// The archives that it comes from, the latest first.
    pub lineage: Vec<String>,
    /// When it was made.
    pub made_at: String,
    /// The part that it is of its archive; none for the whole.
    pub part: Option<PartMade>,
    /// The latest run in it.
    pub last_run: Option<ManifestRun>,
    /// Its streams, by name.
    pub streams: Vec<ManifestStream>,
    /// The digests of all tables, windrow's own columns among them.
    pub tables: Vec<WholeDigest>,
    /// The SHA-256 of all this without this field, which is the last one; none in older ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest_sha256: Option<String>,
}

impl Manifest {
    /// As it is written down.
    pub fn text(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(ErrorKind::Bug, format!("a manifest cannot be written: {error}"))
        })
    }
}

/// A run by its number here and its name everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRun {
    /// Its number in this archive.
    pub run: i64,
    /// Its name in every archive.
    pub uid: String,
}

/// Which part of an archive a hand-off is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartMade {
    /// Only what was written after this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<ManifestRun>,
    /// Only these streams; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<String>,
    /// Only rows that meet this condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// What a hand-off holds of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestStream {
    pub stream: String,
    /// The columns of the key, in their order.
    pub key: Vec<String>,
    /// The columns that the digest speaks of, in its order.
    pub columns: Vec<String>,
    pub rows: u64,
    /// The logical digest of its rows: hexadecimal SHA-256.
    pub sha256: String,
    pub covers: Covers,
    /// Records that could not become rows and wait for a person.
    pub open_rejects: u64,
}

/// What the ledger proves of a stream. Of a stream that is read for each parent: what it proves
/// for every one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covers {
    /// The time that was read, as spans from, to.
    pub spans: Vec<(String, String)>,
    /// What is lacking between its beginning and its end.
    pub gaps: Vec<(String, String)>,
    /// The end of the longest unbroken run from the beginning on.
    pub watermark: Option<String>,
    /// As of when a snapshot or a mark speaks.
    pub as_of: Option<String>,
    /// The parents that it was read for; 0 where it has none.
    pub parents: u64,
    /// Fetches that were begun and not completed, and those that cannot be.
    pub unfinished: u64,
}

/// What a copy holds, as found by reading all of it.
pub struct FoundContents {
    pub streams: Vec<ManifestStream>,
    pub tables: Vec<WholeDigest>,
}

/// Takes the marks of a stream's rows, a chunk at a time: the stream, the chunk's number, marks.
pub type TakeMarks<'t> = &'t mut dyn FnMut(&str, i64, &[u8]) -> Result<(), Error>;

/// Reads all of a copy, and hands on the marks of its rows.
pub fn find(reader: &Reader, stop: &Stop, take: TakeMarks<'_>) -> Result<FoundContents, Error> {
    let rejects = reader.rejects()?;
    let mut found = FoundContents { streams: Vec::new(), tables: Vec::new() };
    for stream in reader.streams()? {
        stop_here(stop)?;
        let mut marks = Chunks::default();
        let mut put = |chunk: i64, marks: &[u8]| take(&stream.stream, chunk, marks);
        let mut fault = None;
        let (logical, whole) = digest_stream(reader, &stream, &mut |line| {
            if fault.is_none() {
                fault = marks.add(line, &mut put).err();
            }
        })?;
        fault.map_or_else(|| marks.end(&mut put), Err)?;
        let open = rejects.iter().filter(|row| row.stream == stream.stream);
        found.streams.push(ManifestStream {
            stream: stream.stream.clone(),
            key: stream.key.columns(),
            columns: digested_columns(&stream),
            rows: logical.rows,
            sha256: logical.sha256,
            covers: covers(&stream, &reader.ledger_rows(&stream.stream)?),
            open_rejects: open.map(|row| row.count).sum(),
        });
        found.tables.push(whole);
    }
    for (table, order) in reader.other_tables()? {
        stop_here(stop)?;
        found.tables.push(digest_whole(reader, &table, &order)?);
    }
    found.tables.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(found)
}

pub(crate) fn stop_here(stop: &Stop) -> Result<(), Error> {
    match stop.cause() {
        None => Ok(()),
        Some(_) => Err(Error::new(ErrorKind::Interrupted, "stopped before the end")),
    }
}

/// Puts together what a copy says of itself.
pub fn manifest_of(
    reader: &Reader,
    found: &FoundContents,
    part: Option<PartMade>,
    handoff_id: &str,
    now: Timestamp,
) -> Result<Manifest, Error> {
    let last_run = last_run(reader)?;
    let mut manifest = Manifest {
        form: MANIFEST_FORM,
        windrow: env!("CARGO_PKG_VERSION").to_owned(),
        archive_format: FORMATS.newest().version(),
        handoff_id: handoff_id.to_owned(),
        archive_id: reader.archive_id()?,
        lineage: reader.lineage()?.into_iter().map(|(_, parent)| parent).collect(),
        made_at: instant_to_text(now),
        part,
        last_run,
        streams: found.streams.clone(),
        tables: found.tables.clone(),
        rest_sha256: None,
    };
    manifest.rest_sha256 = Some(sha256_of(&manifest.text()?));
    Ok(manifest)
}

/// The latest run in a copy.
pub fn last_run(reader: &Reader) -> Result<Option<ManifestRun>, Error> {
    match reader.runs(1)?.into_iter().next() {
        None => Ok(None),
        Some(row) => Ok(reader.run_uid(row.run)?.map(|uid| ManifestRun { run: row.run, uid })),
    }
}

/// The part that is asked for, by its names; none for the whole.
pub fn part_made(reader: &Reader, part: &Part) -> Result<Option<PartMade>, Error> {
    if *part == Part::default() {
        return Ok(None);
    }
    let since = match part.since {
        None => None,
        Some(run) => reader.run_uid(run)?.map(|uid| ManifestRun { run, uid }),
    };
    let mut streams: Vec<String> = Vec::new();
    for stream in &part.streams {
        if !streams.contains(stream) {
            streams.push(stream.clone());
        }
    }
    Ok(Some(PartMade { since, streams, condition: part.condition.clone() }))
}

/// What the ledger proves of a stream.
pub fn covers(stream: &StreamRow, ledger: &[LedgerRow]) -> Covers {
    let mut all = Covers::default();
    let mut common: Option<Coverage> = None;
    // The rows of a partition lie together.
    for partition in ledger.chunk_by(|one, next| one.partition == next.partition) {
        all.parents += u64::from(!partition[0].partition.is_empty());
        let complete = partition.iter().filter(|row| is_complete(row));
        let coverage = Coverage::of(complete.filter_map(window_of));
        if coverage.parts().is_empty() && stream.start_at.is_none() {
            continue;
        }
        common = Some(common.map_or(coverage.clone(), |before| before.intersection(&coverage)));
    }
    let common = common.unwrap_or_default();
    let spans = common.parts();
    let start = stream.start_at.or_else(|| spans.first().map(|first| first.start()));
    if let (Some(start), Some(last)) = (start, spans.last()) {
        all.watermark = common.watermark(start).map(instant_to_text);
        if let Some(line) = Window::new(start, last.end()) {
            all.gaps = common.gaps(line).map(texts).collect();
        }
    }
    all.spans = spans.iter().copied().map(texts).collect();
    let unbound = ledger.iter().filter(|row| row.start_at.is_empty() && is_complete(row));
    all.as_of = unbound.filter_map(|row| row.completed_at.clone()).min();
    all.unfinished = ledger.iter().filter(|row| !is_complete(row)).count() as u64;
    all
}

fn is_complete(row: &LedgerRow) -> bool {
    matches!(row.state.as_str(), "complete" | "settled")
}

/// The time that a row of the ledger proves.
fn window_of(row: &LedgerRow) -> Option<Window> {
    let end = row.read_to.as_deref().unwrap_or(&row.end_at);
    Window::new(instant_from_text(&row.start_at)?, instant_from_text(end)?)
}

fn texts(window: Window) -> (String, String) {
    (instant_to_text(window.start()), instant_to_text(window.end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyShape;

    fn row(partition: &str, from: u32, to: u32, state: &str) -> LedgerRow {
        let day = |n: u32| format!("2026-01-{n:02}T00:00:00+00:00");
        LedgerRow {
            partition: partition.to_owned(),
            start_at: day(from),
            end_at: day(to),
            read_to: Some(day(to)),
            ..LedgerRow::plain(state.parse().expect("a state"))
        }
    }

    fn stream() -> StreamRow {
        StreamRow {
            stream: "usage".to_owned(),
            key: KeyShape::Columns(vec!["id".to_owned()]),
            columns: Vec::new(),
            inferred: false,
            start_at: instant_from_text("2026-01-01T00:00:00Z"),
        }
    }

    fn days(spans: &[(String, String)]) -> Vec<(&str, &str)> {
        spans.iter().map(|(from, to)| (&from[8..10], &to[8..10])).collect()
    }

    #[test]
    fn a_gap_is_told_and_stops_the_watermark() {
        let ledger = [
            row("", 1, 3, "settled"),
            row("", 3, 4, "complete"),
            row("", 4, 6, "partial"),
            row("", 6, 9, "complete"),
        ];
        let covers = covers(&stream(), &ledger);
        assert_eq!(days(&covers.spans), [("01", "04"), ("06", "09")]);
        assert_eq!(days(&covers.gaps), [("04", "06")]);
        assert_eq!(covers.watermark.as_deref(), Some("2026-01-04T00:00:00+00:00"));
        assert_eq!((covers.unfinished, covers.parents), (1, 0));
    }

    #[test]
    fn what_is_covered_is_covered_for_every_parent() {
        let ledger =
            [row("1", 1, 9, "settled"), row("2", 2, 4, "settled"), row("2", 6, 7, "settled")];
        let covers = covers(&stream(), &ledger);
        assert_eq!(days(&covers.spans), [("02", "04"), ("06", "07")]);
        assert_eq!(days(&covers.gaps), [("01", "02"), ("04", "06")]);
        assert_eq!((covers.watermark, covers.parents), (None, 2));
    }
}

//! The act of a merge: definitions are compared, then everything is taken in one transaction, and
//! it is told what came of it. It decides nothing of its own.

use std::cmp::Ordering;

use serde::Serialize;

use crate::archive::{
    Archive, ArchiveError, Gained, Judge, LedgerOf, Merge, MergeColumns, Reader, RowCounts,
    RunStart, RunStreamRow, StreamRow, Taking,
};
use crate::definition::{Kind, OnConflict, Stream};
use crate::model::{
    Claim, Ended, Instant, Outcomes, ReadBy, RowVersion, Window, instant_from_text,
};

use super::decide::{Rules, order_marks, unite};
use super::differences::{Compared, Sides, definition_of};

/// Stretches of a stream that are told one by one.
const SPANS_TOLD_MAX: usize = 20;

/// How a merge is done.
#[derive(Clone, Copy, Debug)]
pub struct MergeOrder<'o> {
    /// When.
    pub now: Instant,
    /// windrow's version.
    pub version: &'o str,
    /// Tell what would be done, and take it back.
    pub dry_run: bool,
}

/// Why nothing was merged.
#[derive(Debug)]
pub enum MergeError {
    /// Trouble with one of the archives.
    Archive(ArchiveError),
    /// What the archives hold cannot be united: the file, and each difference in words.
    Refused(String, Vec<String>),
}

impl From<ArchiveError> for MergeError {
    fn from(error: ArchiveError) -> Self {
        MergeError::Archive(error)
    }
}

/// A stretch of time that is complete now and was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GainedSpan {
    /// The parent's key, or empty.
    pub partition: String,
    /// Its first instant.
    pub start_at: String,
    /// The first instant after it.
    pub end_at: String,
}

/// What came of one stream.
#[derive(Clone, Debug, Serialize)]
pub struct StreamMerge {
    /// The stream.
    pub stream: String,
    /// Whether it was not here before.
    pub new: bool,
    /// What became of its rows.
    #[serde(flatten)]
    pub rows: RowCounts,
    /// Earlier versions of rows that were not here.
    pub versions: u64,
    /// What is complete now.
    pub complete: Vec<GainedSpan>,
    /// How many more stretches there are than are told.
    pub complete_more: u64,
    /// Snapshots and marks that are later now.
    pub readings: u64,
}

/// What came of one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// The file, as it was named.
    pub file: String,
    /// Its archive.
    pub archive_id: String,
    /// What it says of itself, where it is a hand-off.
    #[serde(skip)]
    pub manifest: Option<String>,
    /// Runs that were not known here.
    pub runs: u64,
    /// By stream.
    pub streams: Vec<StreamMerge>,
    /// Worth knowing.
    pub warnings: Vec<String>,
    /// What was not taken, and why.
    pub left: Vec<String>,
}

/// What came of a merge.
#[derive(Clone, Debug, Serialize)]
pub struct MergeReport {
    /// Its run, where anything was changed.
    pub run: Option<i64>,
    /// Whether anything differs from before, or would.
    pub changed: bool,
    /// Whether it was taken back.
    pub dry_run: bool,
    /// By file.
    pub files: Vec<FileReport>,
}

impl Judge for Rules {
    fn order(&self, ours: &Claim, theirs: &Claim) -> Ordering {
        Rules::order(*self, ours, theirs)
    }

    fn order_readings(&self, ours: &ReadBy, theirs: &ReadBy) -> Ordering {
        Rules::order_readings(*self, ours, theirs)
    }

    fn recut(&self, versions: &[RowVersion]) -> Vec<Option<Ended>> {
        Rules::recut(*self, versions)
    }

    fn instant_of(&self, text: &str) -> Option<String> {
        // Where the first reading stays, a later one has nothing to say.
        if self.keep_first { None } else { Rules::instant_of(*self, text) }
    }
}

/// Takes the other archives into this one, all in one transaction. Where nothing changes, nothing
/// is written. A name goes with each of the others, which is told.
pub fn merge(
    archive: &Archive,
    others: &[(String, &Reader)],
    order: &MergeOrder<'_>,
) -> Result<MergeReport, MergeError> {
    let reader = Reader::open(archive.path())?;
    let ours = definition_of(&reader)?;
    let mut text = reader.definition()?;
    drop(reader);
    for (name, other) in others {
        other.hold_still()?;
        if text.is_none() {
            text = other.definition()?;
        }
        let sides = Sides { ours: ours.clone(), theirs: definition_of(other)? };
        let here = |stream: &str| archive.stream_row(stream);
        let compared = compare(&sides, other, &here)?;
        if !compared.refused.is_empty() {
            return Err(MergeError::Refused(name.clone(), compared.refused));
        }
    }
    let definition = text.unwrap_or_default();
    let start = RunStart {
        command: "merge",
        version: order.version,
        definition: &definition,
        now: order.now,
    };
    let readers: Vec<&Reader> = others.iter().map(|(_, other)| *other).collect();
    let merge = archive.begin_merge(&start, &readers)?;
    let taken = take_all(archive, &merge, ours.as_ref(), others);
    let (files, changed) = match taken {
        Ok(taken) => taken,
        Err(error) => {
            merge.roll_back();
            return Err(error);
        }
    };
    let mut report = MergeReport { run: None, changed, dry_run: order.dry_run, files };
    if !changed || order.dry_run {
        merge.roll_back();
        return Ok(report);
    }
    report.run = Some(merge.run());
    let finished = finish(archive, &merge, &report);
    if let Err(error) = finished {
        merge.roll_back();
        return Err(error.into());
    }
    merge.commit(&report.summary())?;
    Ok(report)
}

type Streams<'s> = dyn Fn(&str) -> Result<Option<StreamRow>, ArchiveError> + 's;

/// Compares all streams that both have.
fn compare(sides: &Sides, other: &Reader, ours: &Streams<'_>) -> Result<Compared, ArchiveError> {
    let mut compared = Compared::default();
    for theirs in other.streams()? {
        let Some(ours) = ours(&theirs.stream)? else { continue };
        for difference in ours.differences(&theirs) {
            compared.refused.push(format!(
                "stream `{}`: its {} is {} here and {} there",
                difference.stream, difference.what, difference.ours, difference.theirs
            ));
        }
        sides.compare(&theirs.stream, &mut compared);
    }
    Ok(compared)
}

/// Takes file after file. Gives what came of each, and whether anything changed.
fn take_all(
    archive: &Archive,
    merge: &Merge<'_>,
    ours: Option<&crate::definition::Definition>,
    others: &[(String, &Reader)],
) -> Result<(Vec<FileReport>, bool), MergeError> {
    let mut files = Vec::new();
    for (name, other) in others {
        let sides = Sides { ours: ours.cloned(), theirs: definition_of(other)? };
        // An earlier file may have brought streams that this one has otherwise.
        let here = |stream: &str| archive.stream_row(stream);
        let compared = compare(&sides, other, &here)?;
        if !compared.refused.is_empty() {
            return Err(MergeError::Refused(name.clone(), compared.refused));
        }
        let (taking, runs) = merge.take(other)?;
        let mut report = FileReport {
            file: name.clone(),
            archive_id: other.archive_id()?,
            manifest: other.manifest()?,
            runs: runs.new,
            streams: Vec::new(),
            warnings: compared.warnings,
            left: taking.left_behind()?,
        };
        for stream in other.streams()? {
            report.streams.push(take_stream(
                merge,
                &taking,
                other,
                &stream,
                &sides,
                &mut report.left,
            )?);
        }
        taking.take_lacks()?;
        taking.take_lineage()?;
        files.push(report);
    }
    Ok((files, merge.has_changed()))
}

fn take_stream(
    merge: &Merge<'_>,
    taking: &Taking<'_>,
    other: &Reader,
    row: &StreamRow,
    sides: &Sides,
    left: &mut Vec<String>,
) -> Result<StreamMerge, MergeError> {
    let name = &row.stream;
    let stream = sides.stream(name);
    let rules = rules_of(stream);
    let named = MergeColumns {
        version: stream.and_then(|stream| stream.version.as_deref()),
        field: stream.and_then(field_of),
    };
    let pair = merge.pair(other, row, named)?;
    let is_part = taking.is_part(name)?;
    let mut rows = taking.take_rows(&pair, &rules)?;
    taking.take_vanished(&pair, &rules, &mut rows)?;
    let versions = taking.take_history(&pair, &rules)?;
    if rows.inserted + rows.replaced + versions > 0 {
        taking.settle_history(&pair)?;
    }
    let gained = if is_part {
        left.push(format!(
            "what its ledger says of `{name}`: it is a part, and what it is based on is not all \
             here"
        ));
        Gained::default()
    } else {
        taking.take_ledger(name, &LedgerOf { unite: &unite, order_marks: &order_marks })?
    };
    taking.take_rest(&pair)?;
    let spans = gained.spans.len();
    let told = gained.spans.into_iter().take(SPANS_TOLD_MAX);
    Ok(StreamMerge {
        stream: name.clone(),
        new: pair.is_new(),
        rows,
        versions,
        complete: told
            .map(|(partition, start_at, end_at)| GainedSpan { partition, start_at, end_at })
            .collect(),
        complete_more: spans.saturating_sub(SPANS_TOLD_MAX) as u64,
        readings: gained.readings,
    })
}

fn rules_of(stream: Option<&Stream>) -> Rules {
    let zone = match stream.map(|stream| &stream.kind) {
        Some(Kind::Window(rules)) => rules.zone,
        _ => chrono_tz::UTC,
    };
    let keep_first = stream.is_some_and(|stream| stream.on_conflict == OnConflict::Keep);
    Rules { keep_first, zone }
}

fn field_of(stream: &Stream) -> Option<&str> {
    match &stream.kind {
        Kind::Window(rules) => Some(&rules.field),
        _ => None,
    }
}

/// Writes what the run did, and the log.
fn finish(archive: &Archive, merge: &Merge<'_>, report: &MergeReport) -> Result<(), ArchiveError> {
    for file in &report.files {
        for stream in &file.streams {
            let rows = &stream.rows;
            let outcomes = Outcomes {
                received: rows.seen(),
                inserted: rows.inserted,
                updated: rows.replaced + rows.deleted,
                unchanged: rows.equal,
                skipped: rows.kept,
                rejected: 0,
            };
            let stream = stream.stream.clone();
            let row = RunStreamRow { stream, outcomes, ..RunStreamRow::default() };
            archive.add_to_run(merge.run(), &row)?;
        }
        let path = std::path::Path::new(&file.file);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        merge.log_taken(
            &file.archive_id,
            file.manifest.as_deref(),
            &name.unwrap_or_default(),
            &file.summary(),
        )?;
    }
    Ok(())
}

impl FileReport {
    /// In one line.
    pub fn summary(&self) -> String {
        let sum = |of: &dyn Fn(&StreamMerge) -> u64| self.streams.iter().map(of).sum::<u64>();
        format!(
            "{} rows inserted, {} replaced, {} kept, {} equal",
            sum(&|s| s.rows.inserted),
            sum(&|s| s.rows.replaced),
            sum(&|s| s.rows.kept),
            sum(&|s| s.rows.equal)
        )
    }
}

impl MergeReport {
    /// In one line.
    pub fn summary(&self) -> String {
        let each: Vec<String> = self
            .files
            .iter()
            .map(|file| format!("archive {}: {}", file.archive_id, file.summary()))
            .collect();
        each.join("; ")
    }
}

impl GainedSpan {
    /// As a window.
    pub fn window(&self) -> Option<Window> {
        Window::new(instant_from_text(&self.start_at)?, instant_from_text(&self.end_at)?)
    }
}

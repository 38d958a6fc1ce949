//! The act of a merge: definitions are compared, then everything is taken in one transaction, and
//! it is told what came of it. It decides nothing of its own.

pub(crate) mod copy;
pub(crate) mod definitions;
pub(crate) mod ended;
pub(crate) mod fill;
pub(crate) mod gone;
pub(crate) mod ledger;
pub(crate) mod literal;
pub(crate) mod pages;
pub(crate) mod parts;
pub mod policy;
pub(crate) mod rest;
pub(crate) mod rows;
pub(crate) mod run_definitions;
pub(crate) mod runs;
pub(crate) mod shape;
pub(crate) mod stream_policy;
pub(crate) mod tables;
pub(crate) mod values;
pub(crate) mod versions;

use serde::Serialize;

use crate::definition::{OnConflict, Stream, StreamKind};
use crate::merge::stream_policy::MergePolicy;
use crate::model::numbers::many;
use crate::model::{Command, EntryState, Error, Outcomes, Timestamp, Window, instant_from_text};
use crate::outbox::take_entries;
use crate::store::{Archive, Reader, RunStart, RunStreamRow, StreamRow};

use crate::merge::definitions::{Compared, DefinitionHistory, Sides};
use crate::merge::policy::{Rules, order_marks, unite};

pub use ended::EndedTaken;
pub use ledger::{Gained, LedgerOf, Unite};
pub use rows::RowCounts;
pub use run_definitions::RunDefinitions;
pub use runs::RunCounts;
pub use shape::{NamedColumns as MergeColumns, Pair, TableDifference};
pub use tables::{FillBox, Filling, Merge, Taking};
pub use values::{LedgerOrigin, LedgerSpan, ReadBy, RowClaim, RowVersion, UnitedSpan, VersionEnd};

/// Stretches of a stream that are told one by one: about a screen; the others are counted.
const SPANS_TOLD_MAX: usize = 20;

/// How a merge is done.
#[derive(Clone, Copy, Debug)]
pub struct MergeOrder<'o> {
    /// The time of the merge.
    pub now: Timestamp,
    pub version: &'o str,
    /// Tell what would be done, and take it back.
    pub dry_run: bool,
}

/// What the archives hold cannot be united: the file, and each difference in words.
fn refused(file: &str, differences: &[String]) -> Error {
    Error::usage(format!("cannot take in {file}: {}", differences.join("; "))).help(
        "give streams with different definitions different names or archives; where two \
             members differ in the case of letters alone, define a column with a name of its own \
             for each (`path = \"$.Name\"`) in a stream of another name",
    )
}

/// A stretch of time that is complete now and was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GainedSpan {
    /// The parent's key, or empty.
    pub partition: String,
    /// Its first instant; empty for a snapshot or a mark.
    pub start_at: String,
    /// The first instant after it.
    pub end_at: String,
}

/// What came of one stream.
#[derive(Clone, Debug, Serialize)]
pub struct StreamMerge {
    pub stream: String,
    /// Whether it was not here before.
    pub new: bool,
    /// Columns that only the other archive had: they are here now.
    pub columns: Vec<String>,
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
    pub fetches: u64,
}

/// What came of one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// The file, as it was named.
    pub file: String,
    /// The identity of the archive that the file is, or comes from.
    pub archive_id: String,
    /// What it says of itself, where it is a hand-off.
    #[serde(skip)]
    pub manifest: Option<String>,
    /// Runs that were not known here.
    pub runs: u64,
    pub streams: Vec<StreamMerge>,
    /// What became of requests that a hand-off took along from here.
    pub results: Vec<EntryResult>,
    /// What a person should know of the merge, a line each.
    pub warnings: Vec<String>,
    /// What was not taken, and why.
    pub left: Vec<String>,
}

/// Keys of waiting requests that are named in one line.
const KEYS_SHOWN_MAX: usize = 10;

/// How a request ended that was moved with a hand-off.
#[derive(Clone, Debug, Serialize)]
pub struct EntryResult {
    pub key: String,
    pub state: EntryState,
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
    pub files: Vec<FileReport>,
}

/// Takes the other archives into this one, all in one transaction. Where nothing changes, nothing
/// is written. A name goes with each of the others, which is told.
pub fn merge(
    archive: &Archive,
    others: &[(String, &Reader)],
    order: &MergeOrder<'_>,
) -> Result<MergeReport, Error> {
    let reader = archive.reopen()?;
    let ours = reader.said()?;
    let mut text = reader.definition()?;
    drop(reader);
    let mut snapshots = Vec::new();
    for (name, other) in others {
        snapshots.push(other.begin_snapshot()?);
        if text.is_none() {
            text = other.definition()?;
        }
        let sides = Sides { ours: ours.clone(), theirs: other.said()? };
        let here = |stream: &str| archive.stream(stream);
        let compared = compare(&sides, other, &here)?;
        if !compared.refused.is_empty() {
            return Err(refused(name, &compared.refused));
        }
    }
    let definition = text.unwrap_or_default();
    let start = RunStart {
        command: Command::Merge,
        version: order.version,
        definition: &definition,
        now: order.now,
    };
    let readers: Vec<&Reader> = others.iter().map(|(_, other)| *other).collect();
    let merge = Merge::begin(archive, &start, &readers)?;
    let (files, changed) = take_all(&merge, others)?;
    let mut report = MergeReport { run: None, changed, dry_run: order.dry_run, files };
    if !changed || order.dry_run {
        return Ok(report);
    }
    report.run = Some(merge.run());
    finish(&merge, &report)?;
    merge.commit(&report.summary())?;
    Ok(report)
}

type FindStream<'s> = dyn Fn(&str) -> Result<Option<StreamRow>, Error> + 's;

/// Compares all streams that both have.
fn compare(sides: &Sides, other: &Reader, ours: &FindStream<'_>) -> Result<Compared, Error> {
    let mut compared = Compared::default();
    for theirs in other.streams()? {
        let Some(ours) = ours(&theirs.stream)? else { continue };
        for difference in ours.differences(&theirs) {
            compared.refused.push(format!(
                "stream `{}`: its {} is {} here and {} there",
                difference.stream, difference.what, difference.ours, difference.theirs
            ));
        }
        sides.compare(&theirs.stream, [&ours, &theirs], &mut compared);
    }
    Ok(compared)
}

/// Takes file after file. Gives what came of each, and whether anything changed.
fn take_all(
    merge: &Merge<'_>,
    others: &[(String, &Reader)],
) -> Result<(Vec<FileReport>, bool), Error> {
    let mut files = Vec::new();
    for (name, other) in others {
        // An earlier file may have brought streams that this one has otherwise.
        let sides = Sides { ours: merge.said()?, theirs: other.said()? };
        let here = |stream: &str| merge.tx.stream(stream);
        let compared = compare(&sides, other, &here)?;
        if !compared.refused.is_empty() {
            return Err(refused(name, &compared.refused));
        }
        let (taking, runs) = merge.take(other)?;
        let told = DefinitionHistory::new(merge.definitions()?);
        let mut warnings = compared.warnings;
        warnings.extend(future_warning(runs.own_future, "this archive"));
        warnings.extend(future_warning(runs.future, "this file"));
        let mut report = FileReport {
            file: name.clone(),
            archive_id: other.archive_id()?,
            manifest: other.manifest()?,
            runs: runs.new,
            streams: Vec::new(),
            results: Vec::new(),
            warnings,
            left: taking.left_behind()?,
        };
        take_outbox(merge, other, &mut report)?;
        for stream in other.streams()? {
            let words = Words { sides: &sides, told: &told };
            let taken = take_stream(merge, &taking, other, &stream, &words, &mut report)?;
            report.streams.push(taken);
        }
        taking.take_lacks()?;
        taking.take_lineage()?;
        files.push(report);
    }
    Ok((files, merge.has_changed()))
}

/// Readings whose time is not believed, and what becomes of them.
fn future_warning(runs: u64, of: &str) -> Option<String> {
    (runs > 0).then(|| {
        format!(
            "by a clock that ran ahead {} of {of} noted times that have not come: these readings \
             beat no others, and the windows that they read can still change",
            many(runs, "run")
        )
    })
}

/// Takes what became of requests that went along with a hand-off, and tells of those that wait
/// there.
fn take_outbox(merge: &Merge<'_>, other: &Reader, report: &mut FileReport) -> Result<(), Error> {
    let given = take_entries(&merge.tx, &other.connection)?;
    let result = |(key, state)| EntryResult { key, state };
    report.results = given.results.into_iter().map(result).collect();
    if !given.waiting.is_empty() {
        let keys = given.waiting[..given.waiting.len().min(KEYS_SHOWN_MAX)].join(", ");
        let more = if given.waiting.len() > KEYS_SHOWN_MAX { ", …" } else { "" };
        report.left.push(format!(
            "{} of its outbox {} ({keys}{more}): `windrow --archive {} outbox resolve KEY \
             --resend` takes each over, and `windrow --archive {} outbox send` sends it",
            many(given.waiting.len() as u64, "write"),
            if given.waiting.len() == 1 { "waits" } else { "wait" },
            report.file,
            report.file,
        ));
    }
    if given.others > 0 {
        report.left.push(format!("{} of its outbox", many(given.others, "write")));
    }
    Ok(())
}

/// Compares what the definitions of both archives say of a stream.
struct Words<'w> {
    sides: &'w Sides,
    told: &'w DefinitionHistory,
}

fn take_stream(
    merge: &Merge<'_>,
    taking: &Taking<'_>,
    other: &Reader,
    row: &StreamRow,
    words: &Words<'_>,
    report: &mut FileReport,
) -> Result<StreamMerge, Error> {
    let name = &row.stream;
    let Words { sides, told } = words;
    let stream = sides.stream(name);
    let judge = MergePolicy::new(rules_of(stream), told, name);
    let named = MergeColumns {
        version: stream.and_then(|stream| stream.version.as_deref()),
        field: stream.and_then(field_of),
    };
    let pair = merge.pair(other, row, named, &judge)?;
    report.warnings.extend(sides.undefined(name, pair.added()));
    let is_part = taking.is_part(name)?;
    let mut rows = taking.take_rows(&pair, &judge)?;
    taking.take_vanished(&pair, &judge, &mut rows)?;
    let versions = taking.take_history(&pair, &judge)?;
    if rows.inserted + rows.replaced + versions > 0 {
        taking.settle_history(&pair)?;
    }
    let ended = taking.take_ended(&pair)?;
    report.left.extend(ended.left);
    let gained = if is_part {
        report.left.push(format!(
            "what its ledger says of `{name}`: it is a part, and what it is based on is not all \
             here"
        ));
        Gained::default()
    } else {
        taking.take_ledger(name, &LedgerOf { unite: &unite, order_marks: &order_marks })?
    };
    taking.take_rest(&pair, &judge)?;
    let spans = gained.spans.len();
    let told = gained.spans.into_iter().take(SPANS_TOLD_MAX);
    Ok(StreamMerge {
        stream: name.clone(),
        new: pair.is_new(),
        columns: pair.added().to_vec(),
        rows,
        versions: versions + ended.versions,
        complete: told
            .map(|(partition, start_at, end_at)| GainedSpan { partition, start_at, end_at })
            .collect(),
        complete_more: spans.saturating_sub(SPANS_TOLD_MAX) as u64,
        fetches: gained.fetches,
    })
}

fn rules_of(stream: Option<&Stream>) -> Rules {
    let zone = match stream.map(|stream| &stream.kind) {
        Some(StreamKind::Window(rules)) => rules.zone,
        _ => chrono_tz::UTC,
    };
    let keep_first = stream.is_some_and(|stream| stream.on_conflict == OnConflict::Keep);
    Rules { keep_first, zone }
}

fn field_of(stream: &Stream) -> Option<&str> {
    match &stream.kind {
        StreamKind::Window(rules) => Some(&rules.field),
        _ => None,
    }
}

/// Writes what the run did, and the log.
fn finish(merge: &Merge<'_>, report: &MergeReport) -> Result<(), Error> {
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
            merge.tx.add_to_run(merge.run(), &row)?;
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
    /// The sums over all streams, in one line.
    pub fn summary(&self) -> String {
        let sum = |of: &dyn Fn(&StreamMerge) -> u64| self.streams.iter().map(of).sum::<u64>();
        format!(
            "{} inserted, {} replaced, {} kept, {} equal",
            many(sum(&|s| s.rows.inserted), "row"),
            sum(&|s| s.rows.replaced),
            sum(&|s| s.rows.kept),
            sum(&|s| s.rows.equal)
        )
    }
}

impl MergeReport {
    /// The sums of each file, in one line.
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
    /// The stretch as a window; none for a snapshot, a mark, or texts that are no instants.
    pub fn window(&self) -> Option<Window> {
        Window::new(instant_from_text(&self.start_at)?, instant_from_text(&self.end_at)?)
    }
}

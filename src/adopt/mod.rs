//! Bringing in what an older script has gathered: a table, a CSV, an NDJSON that may hold records
//! twice.
//!
//! The file's records go the way of an API's: the same types, the same rejects. They are brought
//! together by their key in a scratch database, one of each key is kept, and everything else is
//! set aside where it can be looked at. What the archive has already is never overwritten, and
//! what is adopted is never coverage: it is *adopted, unverified* until a sync has read its time.

use crate::model::numbers::many;
use crate::model::{Error, ErrorKind};

pub(crate) mod adopted;
pub(crate) mod dedupe_in_place;
pub(crate) mod file;
pub(crate) mod guard;
pub(crate) mod keep;
#[cfg(test)]
pub(crate) mod laws;
pub(crate) mod load;
pub(crate) mod matching;
pub(crate) mod scratch;
pub(crate) mod undo;
pub(crate) mod unverified;
pub(crate) mod value;
pub(crate) mod walk;

use std::path::Path;

use chrono_tz::Tz;
use serde::Serialize;

use crate::definition::{Column, Stream, StreamKind, parse_definition};
use crate::host::Stop;
use crate::model::{Outcomes, TableShape, Timestamp, instant_to_text};
use crate::record::{Filler, RecordReader, corrected, is_read_otherwise};
use crate::store::{Archive, Reader, RunStart, StreamRow, Tx};
use crate::window::grid_start;

use file::AdoptedFile;
use keep::Ranking;
use load::{Loaded, load};
use matching::ColumnMatching;
use unverified::spans_of;
use walk::{Target, Walk, Walked};

pub use adopted::{
    AdoptedSpan, AdoptedStanding, AdoptionRow, FetchSince, Removed, RemovedReason, StandingQuery,
};
pub use dedupe_in_place::{
    Deduplicated, Deduplication, Inflation, KeepRule, Restored, heal, restore, survey_in_place,
};
pub use keep::Keep;
pub use load::RejectCount;
pub use matching::FieldRules;
pub use scratch::{Member, RecordOrigin, Scratch};
pub use undo::{Undone, undo};
pub use unverified::unverified;

/// What is asked for.
pub struct AdoptRequest<'a> {
    pub path: &'a Path,
    /// The table of an SQLite file.
    pub table: Option<&'a str>,
    /// The stream that the records are of.
    pub stream: &'a Stream,
    /// What the archive knows of its table.
    pub stored: Option<&'a StreamRow>,
    /// Which record of a key is kept; none for the stream's own rule.
    pub keep: Option<Keep>,
    /// What the file calls the columns.
    pub fields: FieldRules,
}

/// What was found, and what was done about it.
#[derive(Clone, Debug, Serialize)]
pub struct AdoptReport {
    pub file: String,
    /// `sqlite`, `csv` or `ndjson`.
    pub kind: &'static str,
    /// The table in it.
    pub table: Option<String>,
    pub stream: String,
    /// The columns of its key.
    pub key: Vec<String>,
    /// The rule by which one record of a key is kept.
    pub keep: String,
    /// Records of the file.
    pub records: u64,
    /// Groups, sums, rejects, and how the archive stands to what is kept.
    #[serde(flatten)]
    pub found: Walked,
    /// Fields that the stream does not have; they stay in the file.
    pub left_out: Vec<String>,
    /// Columns that the file does not have.
    pub absent: Vec<String>,
    /// The time of the new rows: adopted, unverified.
    pub spans: Vec<String>,
    /// The run that adopted it, now or before.
    pub run: Option<i64>,
    /// Whether it had been adopted before.
    pub already: bool,
    /// The query that finds keys that stand more than once, and how many it finds.
    pub proof: Option<(String, u64)>,
}

/// A file, read into a scratch.
pub struct Prepared<'a> {
    request: AdoptRequest<'a>,
    columns: Vec<Column>,
    matching: ColumnMatching,
    reader: RecordReader,
    keep: Keep,
    scratch: Scratch,
    loaded: Loaded,
    file: AdoptedFile,
    zone: Tz,
}

/// Reads the file; nothing is changed.
pub fn prepare<'a>(request: AdoptRequest<'a>, stop: &Stop) -> Result<Prepared<'a>, Error> {
    let stream = request.stream;
    let columns = StreamRow::columns_of(stream, request.stored).ok_or_else(|| {
        let message = format!("the columns of stream `{}` are not known yet", stream.name);
        Error::usage(message).help("declare the stream's `columns`, or sync it once first")
    })?;
    let file = AdoptedFile::open(request.path, request.table, &stream.name, stop)?;
    let matching = ColumnMatching::new(&file, stream, &columns, &request.fields)?;
    let reader = RecordReader::new(matching.columns.clone(), stream.key.clone());
    let keep = request.keep.clone().unwrap_or_else(|| default_rule(stream, &matching));
    let tabular = file.kind() != "ndjson";
    let zone = request.fields.zone;
    let mut ranking = Ranking::new(&keep, &matching, &reader, tabular, zone)?;
    let scratch = Scratch::new(reader.width(), reader.key_cells(), stop)?;
    let loaded = load(&file, &matching, &reader, &mut ranking, &scratch, stop)?;
    if loaded.rows == 0 {
        let name = request.path.display();
        let Some(first) = loaded.rejects.first() else {
            return Err(Error::usage(format!("{name} has no records")));
        };
        let message = format!("no record of {name} can be a row; {}", first.example);
        let help = "`--map COLUMN=FIELD` and `--format COLUMN=FORMAT` tell how the file writes it";
        return Err(Error::usage(message).help(help));
    }
    let zone = match &stream.kind {
        StreamKind::Window(rules) => rules.zone,
        _ => Tz::UTC,
    };
    Ok(Prepared { request, columns, matching, reader, keep, scratch, loaded, file, zone })
}

/// The stream's own rule, as far as the file has what it goes by.
fn default_rule(stream: &Stream, matching: &ColumnMatching) -> Keep {
    match Keep::of(stream) {
        Keep::Highest(version) if matching.absent.contains(&version) => Keep::Last,
        rule => rule,
    }
}

impl Prepared<'_> {
    /// Shows what adopting it would do to an archive, or to a new one.
    pub fn survey(&self, archive: Option<&Reader>) -> Result<AdoptReport, Error> {
        let target = archive.map_or(Target::Nobody, Target::Reader);
        if let Some(archive) = archive
            && let Some(before) = self.adopted_before(&archive.adoptions()?)?
        {
            return Ok(self.report(Walked::default(), Some(before), true));
        }
        let found = self.walk(target)?;
        Ok(self.report(found, None, false))
    }

    /// Adopts it, all of it or nothing.
    pub fn apply(&self, archive: &Archive, start: &RunStart<'_>) -> Result<AdoptReport, Error> {
        if let Some(before) = self.adopted_before(&archive.adoptions()?)? {
            return Ok(self.report(Walked::default(), Some(before), true));
        }
        archive.transaction(|tx| self.write(tx, start))
    }

    /// Rows that are read by corrected columns do not stand beside rows that are not: the columns
    /// are carried out first.
    fn refuse_corrected(&self, tx: &Tx<'_>) -> Result<(), Error> {
        let stream = self.request.stream;
        let Some(columns) = &stream.columns else { return Ok(()) };
        let Some(text) = tx.last_definition(&stream.name)? else { return Ok(()) };
        let before = parse_definition("the archive's definition", &text).ok();
        let before = before.as_ref().and_then(|it| it.stream(&stream.name)?.columns.as_ref());
        let corrected = before.map(|before| corrected(before, columns)).unwrap_or_default();
        let mut otherwise = corrected.iter().filter(|(was, is)| is_read_otherwise(was, is));
        let Some((_, column)) = otherwise.next() else { return Ok(()) };
        if !tx.has_any_row(&stream.name)? {
            return Ok(());
        }
        let message = format!(
            "the column `{}` of stream `{}` is read otherwise than its rows were",
            column.name, stream.name
        );
        let help = format!(
            "`windrow sync --offline {}` carries it out on the rows that are there; adopt then",
            stream.name
        );
        Err(Error::new(ErrorKind::Definition, message).help(help))
    }

    fn write(&self, tx: &Tx<'_>, start: &RunStart<'_>) -> Result<AdoptReport, Error> {
        let stream = self.request.stream;
        let now = instant_to_text(start.now);
        let shape = self.shape();
        self.refuse_corrected(tx)?;
        let made_table = !tx.has_table(&stream.name)?;
        let added = tx.ensure_table(&shape, self.start_at(start.now).as_deref(), &now)?;
        let run = tx.note_run(start, &format!("adopted {}", self.source_name()))?;
        let reader = RecordReader::new(self.columns.clone(), stream.key.clone());
        if let Some(filler) = Filler::new(&reader, &added) {
            let fill = |rest: &str| filler.fill(rest);
            tx.fill_columns(&stream.name, filler.columns(), &fill, Some(run), &now)?;
        }
        tx.note_adoption(&AdoptionRow {
            run,
            stream: stream.name.clone(),
            file: self.file_name(),
            source_table: self.file.table().map(str::to_owned),
            rule: self.rule_text(),
            sha256: self.loaded.sha256.clone(),
            made_table,
        })?;
        let found = self.walk(Target::Archive { tx, run, now: &now })?;
        let rejected: u64 = found.rejects.iter().map(|reject| reject.count).sum();
        if stream.max_rejects.is_some_and(|most| rejected > most) {
            let rejected = many(rejected, "record");
            let message = format!("{rejected} cannot be rows, more than `max_rejects`");
            return Err(Error::usage(message).help("look at them without --apply"));
        }
        for (window, rows) in spans_of(&found.days, self.zone) {
            tx.mark_adopted(&stream.name, AdoptedSpan { run, window, rows })?;
        }
        tx.note_outcomes(
            run,
            &stream.name,
            Outcomes {
                received: self.loaded.records,
                inserted: found.new,
                updated: 0,
                unchanged: found.agreed,
                skipped: found.duplicates + found.archived + found.undecided,
                rejected,
            },
        )?;
        let proof = tx.prove_unique(&shape)?;
        if proof.1 > 0 {
            let message = format!("keys of `{}` stand more than once", stream.name);
            return Err(Error::new(ErrorKind::Bug, message));
        }
        let mut report = self.report(found, Some(run), false);
        report.proof = Some(proof);
        Ok(report)
    }

    fn walk(&self, target: Target<'_>) -> Result<Walked, Error> {
        let (stream, matching) = (self.request.stream, &self.matching);
        let walk = Walk::new(stream, self.shape(), matching, &self.keep, &self.reader, target);
        walk.run(&self.scratch, &self.loaded)
    }

    fn shape(&self) -> TableShape {
        let inferred = self.request.stream.columns.is_none();
        TableShape::of(self.request.stream, &self.columns, inferred)
    }

    fn start_at(&self, now: Timestamp) -> Option<String> {
        let StreamKind::Window(rules) = &self.request.stream.kind else { return None };
        let stored = self.request.stored.and_then(|row| row.start_at);
        Some(instant_to_text(grid_start(rules, stored, now)))
    }

    /// The run that adopted these very records, if one did.
    fn adopted_before(&self, adoptions: &[AdoptionRow]) -> Result<Option<i64>, Error> {
        let same = |row: &&AdoptionRow| {
            row.stream == self.request.stream.name && row.sha256 == self.loaded.sha256
        };
        let Some(before) = adoptions.iter().find(same) else { return Ok(None) };
        if before.rule == self.rule_text() {
            return Ok(Some(before.run));
        }
        let (run, rule) = (before.run, &before.rule);
        let message = format!("run {run} adopted these records by another rule, `{rule}`");
        Err(Error::usage(message)
            .help(format!("undo that first: `windrow adopt --undo --run {run}`")))
    }

    /// The rule and the fields that it was applied to.
    fn rule_text(&self) -> String {
        let mut text = self.keep.to_string();
        for (column, field) in &self.request.fields.map {
            text.push_str(&format!(" {column}={field}"));
        }
        for (column, format) in &self.request.fields.formats {
            text.push_str(&format!(" {column}:{format:?}"));
        }
        if let Some(zone) = self.request.fields.zone {
            text.push_str(&format!(" {zone}"));
        }
        text
    }

    /// The file's name without its folder, which is nobody's business who is given the archive.
    fn file_name(&self) -> String {
        let name = self.request.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn source_name(&self) -> String {
        match self.file.table() {
            Some(table) => format!("{table} of {}", self.file_name()),
            None => self.file_name(),
        }
    }

    fn report(&self, found: Walked, run: Option<i64>, already: bool) -> AdoptReport {
        let spans = spans_of(&found.days, self.zone).into_iter().filter(|(_, rows)| *rows > 0);
        let spans = spans.map(|(window, rows)| match window {
            Some(window) => format!("{window} ({})", many(rows, "row")),
            None => format!("{} without a window", many(rows, "row")),
        });
        AdoptReport {
            file: self.file_name(),
            kind: self.file.kind(),
            table: self.file.table().map(str::to_owned),
            stream: self.request.stream.name.clone(),
            key: self.shape().key.columns(),
            keep: self.keep.to_string(),
            records: self.loaded.records,
            left_out: self.matching.left_out.clone(),
            absent: self.matching.absent.clone(),
            spans: spans.collect(),
            found,
            run,
            already,
            proof: None,
        }
    }
}

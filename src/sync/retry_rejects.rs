//! Records that come late: rejects that fit by now become rows, by the path of every other record.
//!
//! They are read by the columns of today, checked for their parents, and written in a transaction
//! with their removal. They were received once and are not counted as received again.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::definition::{ColumnOrigin, Definition, OnConflict, Scalar, Stream, StreamKind};
use crate::host::Host;
use crate::model::{
    Command, Error, ExitCode, Outcomes, RecordRefusal, RejectKind, RowSet, RunState, TableShape,
    instant_to_text,
};
use crate::record::{FileFields, NotRead, RecordReader, read_kept};
use crate::store::{
    Archive, KeptReject, Orphan, RejectSelection, RejectState, RunEnd, RunStart, RunStreamRow,
    StreamRow, TableWriter, Tx,
};

use crate::sync::columns::FitTable;
use crate::sync::fetch_job::resolve_start;

/// Rejects that are named one by one in a report: about half a screen; `windrow rejects` lists all.
const NAMED_MAX: usize = 10;

/// A stream whose rejects are read again.
pub struct Late<'a> {
    tx: &'a Tx<'a>,
    stream: &'a Stream,
    reader: &'a RecordReader,
    table: TableWriter,
    /// For records that were adopted: they never beat a row.
    keeping: TableWriter,
    run: i64,
    now: &'a str,
}

/// What became of rejects that were read again.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LateReport {
    pub stream: String,
    /// `received` is the number of rejects that were read again, `rejected` of those that stay.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Some of those that stay, and why.
    pub stay: Vec<StillRejected>,
}

/// A reject that stays one.
#[derive(Clone, Debug, Serialize)]
pub struct StillRejected {
    pub reject: i64,
    /// The reason, in words for people.
    pub reason: String,
}

impl LateReport {
    /// Rejects that are none any longer.
    pub fn late_rejects(&self) -> u64 {
        self.outcomes.received - self.outcomes.rejected
    }
}

impl<'a> Late<'a> {
    /// Reads rejects of `stream` by `reader` and writes them to its table.
    pub fn new(
        tx: &'a Tx<'a>,
        stream: &'a Stream,
        reader: &'a RecordReader,
        shape: TableShape,
        run: i64,
        now: &'a str,
    ) -> Self {
        let keeping = TableShape { on_conflict: OnConflict::Keep, ..shape.clone() };
        let (table, keeping) = (TableWriter::for_late(shape), TableWriter::new(keeping));
        Self { tx, stream, reader, table, keeping, run, now }
    }

    /// Takes up what fits of the rejects that are chosen.
    pub fn take_up(&self, selection: &RejectSelection) -> Result<LateReport, Error> {
        let mut report = LateReport { stream: self.stream.name.clone(), ..LateReport::default() };
        let mut after = (i64::MAX, i64::MAX);
        let mut parents = Parents::default();
        loop {
            let batch = self.tx.next_rejects(&self.stream.name, selection, after)?;
            let Some(last) = batch.last() else { return Ok(report) };
            after = (last.last_run, last.id);
            for reject in &batch {
                report.outcomes.received += 1;
                match self.take(reject, &mut parents)? {
                    Ok(outcomes) => {
                        report.outcomes += Outcomes { received: 0, ..outcomes };
                    }
                    Err(reason) => {
                        report.outcomes.rejected += 1;
                        if report.stay.len() < NAMED_MAX {
                            report.stay.push(StillRejected { reject: reject.id, reason });
                        }
                    }
                }
            }
        }
    }

    /// Makes a row of a reject, or says why it stays one.
    fn take(
        &self,
        reject: &KeptReject,
        parents: &mut Parents,
    ) -> Result<Result<Outcomes, String>, Error> {
        let mut rows = RowSet::new(self.reader.width());
        if let Some(fields) = FileFields::of(reject.ancestors.as_deref()) {
            let reader = fields.reader(self.reader);
            let read = fields.read_kept(&reader, &reject.record, &mut rows);
            if let Some(why) = self.why_not(reject, read, &reader, &rows)? {
                return Ok(Err(why));
            }
            self.tx.remove_reject(reject.id)?;
            // It is a row of its adoption, which can be undone.
            let run = reject.run;
            return Ok(Ok(self.tx.write_rows(&self.keeping, &rows, run, self.now)?));
        }
        let Some(parent) = parents.values(self, reject)? else {
            return Ok(Err("the row of its parent is gone".to_owned()));
        };
        let (ancestors, records) = (reject.ancestors.as_deref(), self.stream.records.text());
        let read =
            match read_kept(self.reader, &reject.record, ancestors, records, parent, &mut rows) {
                Ok(()) => Ok(()),
                Err(NotRead::Refused(refusal)) => Err(refusal),
                Err(NotRead::Unknown(why)) => {
                    return Ok(Err(format!("{why}: only its source can send it again")));
                }
            };
        if let Some(why) = self.why_not(reject, read, self.reader, &rows)? {
            return Ok(Err(why));
        }
        self.tx.remove_reject(reject.id)?;
        let written =
            self.tx.write_late_rows(&self.table, &rows, reject.as_of, self.run, self.now)?;
        Ok(Ok(written))
    }

    /// Why a record that was read again is still no row, which is noted.
    fn why_not(
        &self,
        reject: &KeptReject,
        read: Result<(), RecordRefusal>,
        reader: &RecordReader,
        rows: &RowSet,
    ) -> Result<Option<String>, Error> {
        let refusal = match read {
            Err(refusal) => refusal,
            Ok(()) => match self.tx.find_orphans(self.table.shape(), rows)?.remove(&0) {
                None => return Ok(None),
                Some(Orphan { column, reason }) => reader.orphan(&column, reason),
            },
        };
        let RecordRefusal { kind, reason, pointer } = refusal;
        self.tx.explain_reject(reject.id, kind.as_str(), &reason, pointer.as_deref())?;
        Ok(Some(reason))
    }
}

/// The row of the parent that was needed last.
#[derive(Default)]
struct Parents {
    partition: String,
    values: BTreeMap<String, Scalar>,
}

impl Parents {
    /// What columns take from the parent's row; none where they need it and it is gone.
    fn values(
        &mut self,
        late: &Late<'_>,
        reject: &KeptReject,
    ) -> Result<Option<&BTreeMap<String, Scalar>>, Error> {
        let needed = |origin: &ColumnOrigin| matches!(origin, ColumnOrigin::Parent(_));
        let Some(parent) = &late.stream.for_each else { return Ok(Some(&self.values)) };
        if !late.reader.columns().iter().any(|column| needed(&column.origin)) {
            return Ok(Some(&self.values));
        }
        if self.values.is_empty() || self.partition != reject.partition {
            let Some(values) = late.tx.parent_values(parent, &reject.partition)? else {
                return Ok(None);
            };
            self.values = values;
            self.partition.clone_from(&reject.partition);
        }
        Ok(Some(&self.values))
    }
}

/// The orphans that nobody has set aside.
pub fn open_orphans() -> RejectSelection {
    RejectSelection {
        kind: Some(RejectKind::Orphan.as_str().to_owned()),
        state: Some(RejectState::Open),
        ..RejectSelection::default()
    }
}

/// All rejects that nobody has set aside.
pub fn open_rejects() -> RejectSelection {
    RejectSelection { state: Some(RejectState::Open), ..RejectSelection::default() }
}

/// What a retry did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RetryReport {
    /// The run that it is in the archive; none for a rehearsal.
    pub run: Option<i64>,
    pub streams: Vec<LateReport>,
}

/// Reads the rejects that are chosen again, by the definition as it is now; all in one transaction.
/// A rehearsal does the same and takes it back.
pub fn retry(
    archive: &Archive,
    definition: &Definition,
    host: &Host,
    selection: &RejectSelection,
    rehearse: bool,
) -> Result<RetryReport, Error> {
    let start = RunStart {
        command: Command::RejectsRetry,
        version: env!("CARGO_PKG_VERSION"),
        definition: &definition.text,
        now: host.clock.now(),
    };
    let run = if rehearse { None } else { Some(archive.transaction(|tx| tx.start_run(&start))?) };
    let result = archive.begin().and_then(|tx| {
        let streams = retry_all(&tx, definition, host, selection, run)?;
        if !rehearse {
            tx.commit()?;
        }
        Ok(streams)
    });
    for report in result.iter().flatten() {
        let (stream, tried) = (&report.stream, report.outcomes.received);
        let stay = report.outcomes.rejected;
        tracing::info!(run, stream, tried, stay, "rejects were read again");
    }
    if let Some(run) = run {
        let state = if result.is_ok() { RunState::Complete } else { RunState::Failed };
        let message = result.as_ref().err().map(|error| error.message.clone());
        let now = host.clock.now();
        let exit_code = result.as_ref().err().map_or(ExitCode::Done, |e| e.exit_code());
        let end = RunEnd { state, exit_code, message, ..RunEnd::nothing_asked(now) };
        archive.transaction(|tx| tx.end_run(run, &end))?;
    }
    Ok(RetryReport { run, streams: result? })
}

fn retry_all(
    tx: &Tx<'_>,
    definition: &Definition,
    host: &Host,
    selection: &RejectSelection,
    run: Option<i64>,
) -> Result<Vec<LateReport>, Error> {
    let known = tx.reopen()?;
    let now = host.clock.now();
    let wanted = |stream: &&Stream| selection.stream.as_ref().is_none_or(|s| *s == stream.name);
    let mut reports = Vec::new();
    for stream in definition.streams.iter().filter(wanted) {
        let chosen = RejectSelection { stream: Some(stream.name.clone()), ..selection.clone() };
        if known.count_rejects(&chosen)? == 0 {
            continue;
        }
        let stored = known.stream(&stream.name)?;
        let Some(columns) = StreamRow::columns_of(stream, stored.as_ref()) else { continue };
        let start = match &stream.kind {
            StreamKind::Window(rules) => Some(resolve_start(rules, stored.as_ref(), now)),
            _ => None,
        };
        let shape = TableShape::of(stream, &columns, stream.columns.is_none());
        let reader = RecordReader::new(columns, stream.key.clone());
        let reader = reader.with_tombstones(stream.deleted.clone());
        let start_at = start;
        FitTable { definition, stream, reader: &reader, shape: &shape, start_at, run, now }
            .fit(tx)?;
        let now = instant_to_text(now);
        // A rehearsal is taken back, and its number with it.
        let number = run.unwrap_or(i64::MAX);
        let late = Late::new(tx, stream, &reader, shape, number, &now);
        let report = late.take_up(&chosen)?;
        if let Some(run) = run {
            let late_rejects = report.late_rejects();
            let row =
                RunStreamRow { stream: stream.name.clone(), late_rejects, ..Default::default() };
            tx.add_to_run(run, &row)?;
        }
        reports.push(report);
    }
    Ok(reports)
}

//! Key by key through the scratch: what is kept, what it stands for, and what the rest would do to
//! the numbers. The same walk surveys and adopts, so that what was shown is what is done.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use crate::adopt::{
    AdoptedStanding, Inflation, Member, Removed, RemovedReason, Scratch, StandingQuery,
};
use crate::definition::{OnConflict, Stream, StreamKind};
use crate::model::{
    Cell, Error, Reject, RowSet, TableShape, WindowKey, instant_from_text, printable,
};
use crate::record::RecordReader;
use crate::store::{Orphan, Reader, TableWriter, Tx};

use super::keep::Keep;
use super::load::{Loaded, RejectCount};
use super::matching::ColumnMatching;

/// Groups that are told one by one: enough to see by what they were doubled; the counts cover all.
const WORST_MAX: usize = 10;
/// Kept rows that are settled at a time: fewer cost a look into the archive for each, more are held
/// in memory.
const BATCH_ROWS_MAX: usize = 500;
/// Bytes of the kept rows that are settled at a time, so that long records do not fill the memory.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Whom a walk asks, and whether it writes.
pub enum Target<'a> {
    /// There is no archive yet.
    Nobody,
    /// The archive is read and not written.
    Reader(&'a Reader),
    /// It is asked and written to, in a transaction of the caller's.
    Archive {
        tx: &'a Tx<'a>,
        run: i64,
        /// The time that rows are written with.
        now: &'a str,
    },
}

/// A key that stands more than once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The values of its key, as text.
    pub key: String,
    pub records: u64,
    /// The line or row of the one that is kept.
    pub kept: i64,
}

/// The counts of a walk over the records of a file, in the order of their keys.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Walked {
    /// Distinct keys among the records that can be rows.
    pub keys: u64,
    /// Keys that stand more than once.
    pub groups: u64,
    /// Records beyond the one that is kept for each key.
    pub duplicates: u64,
    /// Of those, the ones that say the same as the one that is kept.
    pub copies: u64,
    /// How many of the others differ, by column.
    pub differing: BTreeMap<String, u64>,
    /// The sums of numeric columns.
    pub inflation: Vec<Inflation>,
    /// The keys that stand most often.
    pub worst: Vec<Group>,
    /// Kept records that the archive did not have.
    pub new: u64,
    /// Kept records that the archive has alike.
    pub agreed: u64,
    /// Kept records that the archive has otherwise; its own row stays.
    pub archived: u64,
    /// Keys whose records differ and of which the API has said nothing.
    pub undecided: u64,
    /// Records that cannot become rows.
    pub rejects: Vec<RejectCount>,
    /// The days of the new rows, with their number, and of orphans; none for rows without a time.
    #[serde(skip)]
    pub days: BTreeMap<Option<NaiveDate>, u64>,
}

/// What a walk goes by.
pub struct Walk<'a> {
    shape: TableShape,
    keep: &'a Keep,
    reader: &'a RecordReader,
    /// What is kept beside a reject.
    beside: &'a str,
    /// Cells by which records of a key are compared, with their tolerance.
    compared: Vec<(usize, String, Option<f64>)>,
    /// Cells that are summed; their place in `found.inflation`.
    summed: Vec<usize>,
    /// The window's field, and the zone of its days.
    field: Option<(usize, chrono_tz::Tz)>,
    query: StandingQuery,
    writer: TableWriter,
    target: Target<'a>,
    found: Walked,
    group: Option<OpenGroup>,
    batch: RowSet,
    heads: Vec<Head>,
}

/// The group in hand.
struct OpenGroup {
    row: RowSet,
    records: u64,
    head: Head,
}

/// A record that is kept, if nothing speaks against it.
struct Head {
    place: i64,
    record: String,
    /// A record of its key says something else.
    contested: bool,
}

impl<'a> Walk<'a> {
    /// A walk that has not begun.
    pub fn new(
        stream: &Stream,
        shape: TableShape,
        matching: &'a ColumnMatching,
        keep: &'a Keep,
        reader: &'a RecordReader,
        target: Target<'a>,
    ) -> Self {
        let offset = reader.offset();
        let key = shape.key.columns();
        let there = |name: &str| !matching.absent.iter().any(|absent| absent == name);
        let others = shape.columns.iter().enumerate().filter(|(_, c)| !key.contains(&c.name));
        let others = others.filter(|(_, column)| there(&column.name));
        let summed: Vec<(usize, &str)> = others
            .clone()
            .filter(|(_, column)| column.kind.is_number())
            .map(|(at, column)| (at + offset, column.name.as_str()))
            .collect();
        let zero = |(_, name): &(usize, &str)| Inflation {
            column: (*name).to_owned(),
            with: 0.0,
            without: 0.0,
        };
        let inflation = summed.iter().map(zero).collect();
        let field = match &stream.kind {
            StreamKind::Window(rules) => {
                reader.cell_of(&rules.field).map(|cell| (cell, rules.zone))
            }
            _ => None,
        };
        let mut keeping = shape.clone();
        keeping.on_conflict = OnConflict::Keep;
        Self {
            keep,
            reader,
            beside: &matching.beside,
            compared: others.map(|(n, c)| (n + offset, c.name.clone(), c.tolerance)).collect(),
            summed: summed.iter().map(|(cell, _)| *cell).collect(),
            field,
            query: StandingQuery::new(shape.clone(), &there),
            writer: TableWriter::new(keeping),
            target,
            found: Walked { inflation, ..Walked::default() },
            group: None,
            batch: RowSet::new(reader.width()),
            heads: Vec::new(),
            shape,
        }
    }

    /// Goes through the whole scratch.
    pub fn run(mut self, scratch: &Scratch, loaded: &Loaded) -> Result<Walked, Error> {
        self.found.rejects.clone_from(&loaded.rejects);
        if let Target::Archive { .. } = self.target {
            scratch.each_reject(&mut |reject| self.write_reject(reject))?;
        }
        let first_wins = *self.keep == Keep::First;
        scratch.each_member(first_wins, &mut |member, row| self.take(member, row))?;
        self.close_group()?;
        self.settle()?;
        Ok(self.found)
    }

    fn take(&mut self, member: Member, row: &RowSet) -> Result<(), Error> {
        for (at, cell) in self.summed.iter().enumerate() {
            let number = number_of(row, row.row(0)[*cell]);
            self.found.inflation[at].with += number;
            if member.place == member.head {
                self.found.inflation[at].without += number;
            }
        }
        if member.place == member.head {
            self.close_group()?;
            self.found.keys += 1;
            let head = Head { place: member.place, record: member.record, contested: false };
            let mut own = RowSet::new(row.width);
            own.push_row(row, 0);
            self.group = Some(OpenGroup { row: own, records: 1, head });
            return Ok(());
        }
        let Some(group) = &mut self.group else { return Ok(()) };
        group.records += 1;
        self.found.duplicates += 1;
        let mut copy = true;
        for (cell, name, tolerance) in &self.compared {
            if !same(&group.row, row, *cell, *tolerance) {
                copy = false;
                *self.found.differing.entry(name.clone()).or_default() += 1;
            }
        }
        self.found.copies += u64::from(copy);
        group.head.contested |= !copy;
        let reason = if copy { RemovedReason::Copy } else { RemovedReason::Duplicate };
        let kept = Some(member.head);
        let removed = Removed { place: member.place, kept, reason, record: &member.record };
        self.write_removed(removed)
    }

    fn close_group(&mut self) -> Result<(), Error> {
        let Some(group) = self.group.take() else { return Ok(()) };
        if group.records > 1 {
            self.found.groups += 1;
            self.note_worst(&group);
        }
        self.batch.push_row(&group.row, 0);
        self.heads.push(group.head);
        if self.heads.len() >= BATCH_ROWS_MAX || self.batch.size() >= BATCH_BYTES_MAX {
            self.settle()?;
        }
        Ok(())
    }

    fn note_worst(&mut self, group: &OpenGroup) {
        let least = self.found.worst.last().map_or(0, |group| group.records);
        if self.found.worst.len() >= WORST_MAX && group.records <= least {
            return;
        }
        let cells = self.reader.key_cells();
        let cells = cells.iter().map(|cell| spoken(&group.row, group.row.row(0)[*cell]));
        let key = printable(&cells.collect::<Vec<_>>().join(", "));
        let (records, kept) = (group.records, group.head.place);
        self.found.worst.push(Group { key, records, kept });
        self.found.worst.sort_by_key(|group| std::cmp::Reverse(group.records));
        self.found.worst.truncate(WORST_MAX);
    }

    /// Asks the archive of the kept rows in hand, and writes those that it does not have.
    fn settle(&mut self) -> Result<(), Error> {
        let heads = std::mem::take(&mut self.heads);
        let mut rows = std::mem::replace(&mut self.batch, RowSet::new(self.reader.width()));
        let mut orphans = self.orphans(&rows)?;
        let standings = match &self.target {
            Target::Nobody => vec![AdoptedStanding::Absent; rows.len()],
            Target::Reader(reader) => reader.standings(&self.query, &rows)?,
            Target::Archive { tx, .. } => tx.standings(&self.query, &rows)?,
        };
        let mut fresh = vec![false; rows.len()];
        for (at, (head, standing)) in heads.into_iter().zip(standings).enumerate() {
            let Head { place, record, contested } = head;
            let undecided = contested && *self.keep == Keep::Api;
            if let Some(orphan) = orphans.remove(&at) {
                self.found.days.entry(self.day_of(&rows, at)).or_default();
                self.reject_orphan(orphan, record)?;
                continue;
            }
            let reason = match standing {
                AdoptedStanding::Equal => {
                    self.found.agreed += 1;
                    continue;
                }
                AdoptedStanding::Different => {
                    self.found.archived += 1;
                    RemovedReason::Archived
                }
                AdoptedStanding::Absent if undecided => {
                    self.found.undecided += 1;
                    RemovedReason::Undecided
                }
                AdoptedStanding::Absent => {
                    self.found.new += 1;
                    *self.found.days.entry(self.day_of(&rows, at)).or_default() += 1;
                    fresh[at] = true;
                    continue;
                }
            };
            self.write_removed(Removed { place, kept: None, reason, record: &record })?;
        }
        let Target::Archive { tx, run, now } = self.target else { return Ok(()) };
        rows.take_out(&|row| !fresh[row]);
        tx.write_rows(&self.writer, &rows, run, now)?;
        Ok(())
    }

    fn reject_orphan(&mut self, orphan: Orphan, record: String) -> Result<(), Error> {
        let Orphan { column, reason } = orphan;
        let refusal = self.reader.orphan(&column, reason);
        let reject = refusal.reject(record, Some(self.beside.to_owned()), 0);
        Loaded::count_reject(&mut self.found.rejects, reject.kind.as_str(), &reject.reason);
        self.write_reject(reject)
    }

    fn orphans(&self, rows: &RowSet) -> Result<BTreeMap<usize, Orphan>, Error> {
        if self.shape.references.is_empty() {
            return Ok(BTreeMap::new());
        }
        Ok(match &self.target {
            Target::Reader(reader) => reader.find_orphans(&self.shape, rows)?,
            Target::Archive { tx, .. } => tx.find_orphans(&self.shape, rows)?,
            // Without an archive there is no parent.
            Target::Nobody => {
                let mut orphans = BTreeMap::new();
                for (column, parent) in &self.shape.references {
                    let Some(cell) = self.reader.cell_of(column) else { continue };
                    let refers = |at: &usize| rows.row(*at)[cell] != Cell::Null;
                    for at in (0..rows.len()).filter(refers) {
                        let reason = format!("column {column}: no row of `{parent}` has this key");
                        orphans.entry(at).or_insert(Orphan { column: column.clone(), reason });
                    }
                }
                orphans
            }
        })
    }

    fn day_of(&self, rows: &RowSet, at: usize) -> Option<NaiveDate> {
        let (cell, zone) = self.field?;
        let text = rows.text_of(rows.row(at)[cell])?;
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        date.or_else(|| Some(instant_from_text(text)?.with_timezone(&zone).date_naive()))
    }

    fn write_removed(&self, removed: Removed<'_>) -> Result<(), Error> {
        match &self.target {
            Target::Archive { tx, run, .. } => tx.keep_removed(*run, removed),
            _ => Ok(()),
        }
    }

    fn write_reject(&self, reject: Reject) -> Result<(), Error> {
        if let Target::Archive { tx, run, now } = &self.target {
            let stream = self.shape.name.clone();
            let place = WindowKey { stream, partition: String::new(), window: None };
            tx.adopt_reject(&place, reject, *run, now)?;
        }
        Ok(())
    }
}

/// Whether two rows say the same in a cell.
fn same(a: &RowSet, b: &RowSet, cell: usize, tolerance: Option<f64>) -> bool {
    let (left, right) = (a.row(0)[cell], b.row(0)[cell]);
    let number = |cell| match cell {
        #[expect(clippy::cast_precision_loss, reason = "only against a double or a tolerance")]
        Cell::Integer(number) => Some(number as f64),
        Cell::Real(number) => Some(number),
        _ => None,
    };
    match (left, right) {
        (Cell::Text(..), Cell::Text(..)) => a.text_of(left) == b.text_of(right),
        (Cell::Blob(..), Cell::Blob(..)) => a.bytes_of(left) == b.bytes_of(right),
        (Cell::Integer(x), Cell::Integer(y)) if tolerance.is_none() => x == y,
        (Cell::Null, Cell::Null) => true,
        _ => match (number(left), number(right)) {
            (Some(x), Some(y)) => (x - y).abs() <= tolerance.unwrap_or(0.0),
            _ => false,
        },
    }
}

fn number_of(rows: &RowSet, cell: Cell) -> f64 {
    match cell {
        #[expect(clippy::cast_precision_loss, reason = "a sum that is shown")]
        Cell::Integer(number) => number as f64,
        Cell::Real(number) => number,
        text @ Cell::Text(..) => {
            rows.text_of(text).and_then(|text| text.parse().ok()).unwrap_or(0.0)
        }
        Cell::Null | Cell::Blob(..) => 0.0,
    }
}

fn spoken(rows: &RowSet, cell: Cell) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        text @ Cell::Text(..) => rows.text_of(text).unwrap_or_default().to_owned(),
        Cell::Blob(..) => "bytes".to_owned(),
    }
}

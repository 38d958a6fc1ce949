//! The comparison: the copy's rows looked up in the archive, the archive's rows looked up in the
//! copy, in the order of their keys, one at a time.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use crate::host::Host;
use crate::model::Error;
use crate::prove::{RowDigest, Stamp, TableView, ViewRow};
use crate::store::{Reader, Value};

use super::proof::{ColumnDifference, DifferenceKind, PlaceOutcome, Proof, ProofDifference};
use super::scope::Scopes;
use super::verdict::{RowRules, RowVerdict, judge};
use super::waiting::name_of_key;

/// The mark of rows that are gone.
const MARK: &str = "_deleted_at";

/// What is compared, and by what.
pub struct ProofComparison<'a> {
    /// The archive, which holds still.
    pub archive: &'a Reader,
    /// What was read again.
    pub copy: &'a Reader,
    pub stream: &'a str,
    /// What is read of its table.
    pub view: TableView,
    /// The same of the copy's table.
    pub copy_view: TableView,
    /// When two rows are equal.
    pub rules: RowRules,
    /// Which rows are judged.
    pub scopes: Scopes,
    /// Whether the archive's rows of a place can be told from those of others.
    pub told_apart: bool,
    /// The keys of rows that wait for their parents.
    pub waiting: HashSet<String>,
    /// Whether the rows are those of a mark: what changed since comes with the next sync.
    pub marked: bool,
    /// Asked whether to stop.
    pub host: &'a Host,
}

/// The digests of a place on their way.
#[derive(Clone, Default)]
struct Digests {
    archive: (u64, RowDigest),
    source: (u64, RowDigest),
}

/// The work in hand.
struct ComparisonWork<'c, 'p> {
    comparison: &'c ProofComparison<'c>,
    proof: &'p mut Proof,
    digests: Vec<Digests>,
}

impl ProofComparison<'_> {
    /// Compares, and writes what it finds into the proof.
    pub fn run(&self, proof: &mut Proof) -> Result<(), Error> {
        let digests = vec![Digests::default(); proof.places.len()];
        let mut work = ComparisonWork { comparison: self, proof, digests };
        let hull = self.scopes.hull();
        let field = self.scopes.field.map(|at| self.name_of(at));
        let bounds = field.zip(hull.as_ref()).map(|(field, (from, to))| (field, from, to));
        self.copy.view_rows(&self.copy_view, bounds, &mut |row| work.take_served(&row))?;
        if self.told_apart {
            self.archive.view_rows(&self.view, bounds, &mut |row| work.take_kept(&row))?;
        }
        if !self.marked {
            self.copy.refused_digests(self.stream, &mut |kind, reason, sha256| {
                work.take_reject(kind, reason, sha256)
            })?;
        }
        work.finish();
        Ok(())
    }

    fn name_of(&self, at: usize) -> &str {
        match at.checked_sub(self.view.key.len()) {
            None => &self.view.key[at],
            Some(at) => &self.view.others[at],
        }
    }
}

impl ComparisonWork<'_, '_> {
    /// Once somebody asked for the end, the rest is passed over.
    fn is_stopped(&mut self) -> bool {
        self.proof.stop = self.proof.stop.or(self.comparison.host.stop.cause());
        self.proof.stop.is_some()
    }

    /// A row that the source served.
    fn take_served(&mut self, row: &ViewRow) -> Result<(), Error> {
        let Some(place) = self.comparison.scopes.place_of(&row.values) else { return Ok(()) };
        if self.is_stopped() {
            return Ok(());
        }
        let ProofComparison { archive, view, rules, waiting, .. } = self.comparison;
        let key = &row.values[..rules.key];
        let Some(kept) = archive.look_up(view, key)? else {
            if waiting.contains(&name_of_key(key)) {
                self.proof.counts.orphans += 1;
                return Ok(());
            }
            if row.gone_at.is_some() {
                return Ok(());
            }
            self.add_source(place, &row.values);
            self.proof.counts.missing += 1;
            self.differ(DifferenceKind::Missing, Some(place), &row.values, None, |columns| {
                columns.all(None, Some(&row.values))
            });
            return Ok(());
        };
        if kept.gone_at.is_some() || row.gone_at.is_some() {
            self.take_gone(place, &kept, row);
            return Ok(());
        }
        if !self.comparison.told_apart {
            self.add_archive(place, &kept.values);
        }
        let verdict = judge(rules, &kept.values, &row.values);
        // What a sync would leave as it is counts as the archive has it.
        let changed = matches!(verdict, RowVerdict::Changed(_));
        self.add_source(place, if changed { &row.values } else { &kept.values });
        self.count(place, verdict, &kept, row);
        Ok(())
    }

    /// A row that is gone for the archive, for the source, or for both. A tombstone says no more
    /// than that it is gone: its other values are no difference.
    fn take_gone(&mut self, place: usize, kept: &ViewRow, served: &ViewRow) {
        let archive_has_it = kept.gone_at.is_none();
        if archive_has_it == served.gone_at.is_none() {
            return;
        }
        match archive_has_it {
            // The archive's rows are counted where they are told apart.
            true if self.comparison.told_apart => {}
            true => self.add_archive(place, &kept.values),
            false => self.add_source(place, &served.values),
        }
        self.proof.counts.changed += 1;
        let side = |gone_at: &Option<String>| Json::from(gone_at.clone());
        self.differ(DifferenceKind::Changed, Some(place), &kept.values, Some(&kept.stamp), |_| {
            vec![ColumnDifference {
                column: MARK.to_owned(),
                archive: side(&kept.gone_at),
                source: side(&served.gone_at),
            }]
        });
    }

    fn count(&mut self, place: usize, verdict: RowVerdict, kept: &ViewRow, served: &ViewRow) {
        match verdict {
            RowVerdict::Equal => self.proof.counts.equal += 1,
            RowVerdict::Protected => self.proof.counts.protected += 1,
            RowVerdict::Changed(values) => {
                self.proof.counts.changed += 1;
                let stamp = Some(&kept.stamp);
                let kind = DifferenceKind::Changed;
                self.differ(kind, Some(place), &kept.values, stamp, |columns| {
                    columns.some(&values, Some(&kept.values), Some(&served.values))
                });
            }
        }
    }

    /// A row of the archive that a place which was read should hold.
    fn take_kept(&mut self, row: &ViewRow) -> Result<(), Error> {
        let comparison = self.comparison;
        let Some(place) = comparison.scopes.place_of(&row.values) else { return Ok(()) };
        if self.is_stopped() {
            return Ok(());
        }
        if row.gone_at.is_some() {
            // If the source serves it, it was met among those.
            self.proof.counts.gone += 1;
            return Ok(());
        }
        let key = &row.values[..comparison.rules.key];
        match comparison.copy.look_up(&comparison.copy_view, key)? {
            // It was met among those that the source served.
            Some(served) if comparison.scopes.place_of(&served.values).is_some() => {
                self.add_archive(place, &row.values);
            }
            Some(_) if comparison.marked => self.proof.counts.newer += 1,
            Some(served) => {
                self.add_archive(place, &row.values);
                if served.gone_at.is_some() {
                    self.take_gone(place, row, &served);
                    return Ok(());
                }
                let verdict = judge(&comparison.rules, &row.values, &served.values);
                self.count(place, verdict, row, &served);
            }
            None => {
                self.add_archive(place, &row.values);
                self.proof.counts.no_longer_served += 1;
                let (kind, stamp) = (DifferenceKind::NoLongerServed, Some(&row.stamp));
                self.differ(kind, Some(place), &row.values, stamp, |columns| {
                    columns.all(Some(&row.values), None)
                });
            }
        }
        Ok(())
    }

    /// A record of the copy that is no row.
    fn take_reject(&mut self, kind: &str, reason: &str, sha256: &str) -> Result<(), Error> {
        let ProofComparison { archive, stream, .. } = self.comparison;
        if self.is_stopped() || archive.has_reject(stream, sha256)? {
            return Ok(());
        }
        self.proof.counts.rejected += 1;
        self.proof.add(|| ProofDifference {
            kind: DifferenceKind::Rejected,
            window: None,
            partition: String::new(),
            key: Map::new(),
            in_archive: None,
            columns: Vec::new(),
            reason: Some(format!("{kind}: {reason}")),
        });
        Ok(())
    }

    fn differ(
        &mut self,
        kind: DifferenceKind,
        place: Option<usize>,
        values: &[Value],
        stamp: Option<&Stamp>,
        columns: impl FnOnce(&ViewColumns<'_>) -> Vec<ColumnDifference>,
    ) {
        let view = &self.comparison.view;
        let key = view.key.iter().zip(values).map(|(name, value)| (name.clone(), json(value)));
        let (window, partition) = match place {
            Some(place) => {
                self.proof.places[place].outcome = PlaceOutcome::Differs;
                let place = &self.proof.places[place];
                (place.window.clone(), place.partition.clone())
            }
            None => (None, String::new()),
        };
        self.proof.add(|| ProofDifference {
            kind,
            window,
            partition,
            key: key.collect(),
            in_archive: stamp.cloned(),
            columns: columns(&ViewColumns(view)),
            reason: None,
        });
    }

    fn add_source(&mut self, place: usize, values: &[Value]) {
        let (rows, digest) = &mut self.digests[place].source;
        *rows += 1;
        digest.add(values);
    }

    fn add_archive(&mut self, place: usize, values: &[Value]) {
        let (rows, digest) = &mut self.digests[place].archive;
        *rows += 1;
        digest.add(values);
    }

    fn finish(self) {
        for (place, digests) in self.proof.places.iter_mut().zip(self.digests) {
            if matches!(place.outcome, PlaceOutcome::Equal | PlaceOutcome::Differs) {
                place.archive.rows = digests.archive.0;
                place.archive.sha256 = digests.archive.1.finish();
                place.source.rows = digests.source.0;
                place.source.sha256 = digests.source.1.finish();
            }
        }
    }
}

/// Names the values of rows.
struct ViewColumns<'v>(&'v TableView);

impl ViewColumns<'_> {
    fn all(&self, old: Option<&[Value]>, new: Option<&[Value]>) -> Vec<ColumnDifference> {
        let key = self.0.key.len();
        let others: Vec<usize> = (key..key + self.0.others.len()).collect();
        let mut columns = self.some(&others, old, new);
        columns.retain(|column| !column.archive.is_null() || !column.source.is_null());
        columns
    }

    fn some(
        &self,
        values: &[usize],
        old: Option<&[Value]>,
        new: Option<&[Value]>,
    ) -> Vec<ColumnDifference> {
        let side = |row: Option<&[Value]>, at: usize| row.map_or(Json::Null, |row| json(&row[at]));
        let each = values.iter().map(|at| ColumnDifference {
            column: self.0.others[at - self.0.key.len()].clone(),
            archive: side(old, *at),
            source: side(new, *at),
        });
        each.collect()
    }
}

/// A value as JSON; bytes in base64.
fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(number) => Json::from(*number),
        Value::Real(number) => Json::from(*number),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Blob(bytes) => Json::from(STANDARD.encode(bytes)),
    }
}

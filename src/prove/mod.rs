//! Reads what an archive holds a second time and compares: the idempotency test of the field, for
//! one's own archive.
//!
//! The fetches are a sync like any other, into a copy that is thrown away; the archive is opened
//! for reading alone and not locked. Which places are read, which rows may be judged and what two
//! fetches of a row mean are functions from values to values.

pub(crate) mod compare;
pub(crate) mod proof;
pub(crate) mod sample;
pub(crate) mod scope;
pub(crate) mod stored;
pub(crate) mod verdict;
pub(crate) mod waiting;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use crate::definition::{ColumnOrigin, ColumnType, Key, Stream, StreamKind};
use crate::host::{Host, PrivateFolder};
use crate::http::Budget;
use crate::model::{
    Command, Error, ErrorKind, KeyShape, State, TableColumn, Window, instant_to_text,
};
use crate::store::{Archive, Opening, Reader, StreamRow, holder_note};
use crate::sync::{Lanes, PickedFetches, SyncOptions, SyncParts, SyncReport, sync};
use crate::window::Coverage;

use compare::ProofComparison;
use scope::{Range, Scopes, mark_range, text_of_scalar, window_range};
use verdict::RowRules;
use waiting::waiting_keys;

pub use proof::{
    ColumnDifference, DIFFERENCES_MAX, DifferenceKind, PlaceOutcome, Proof, ProofDifference,
    ProvenPlace, RowsDigest, VerdictCounts,
};
pub use sample::{PLACES_MAX, Pick};
pub use stored::{DonePlace, RowDigest, Stamp, TableView, ViewRow};

/// Parents that are looked at together.
const PARENTS_AT_A_TIME: u32 = 500;

/// Which places are proved, and what the fetches may spend.
#[derive(Clone, Debug)]
pub struct ProveOptions {
    pub stream: String,
    /// How many of its places.
    pub pick: Pick,
    /// What the sample is drawn by.
    pub seed: u64,
    /// Windows that share an instant with this stretch alone.
    pub range: Option<Window>,
    /// What the fetches may spend.
    pub budget: Budget,
    /// The folder that the copy's folder is made in.
    pub temporary: PathBuf,
}

/// The stream as its definition and its table have it.
struct Proving<'a> {
    stream: &'a Stream,
    row: &'a StreamRow,
    view: TableView,
    columns: Vec<TableColumn>,
    places: Vec<DonePlace>,
    /// By partition: the parent's values of the columns that tell its rows from others'.
    parents: HashMap<String, Vec<String>>,
    links: Vec<Link>,
}

/// A column that names the parent of a row.
struct Link {
    column: String,
    parent: String,
}

/// Proves a stream. Error with its source is in the proof; an `Err` is an error of the archive,
/// or with the copy.
pub fn prove(parts: SyncParts<'_>, options: &ProveOptions) -> Result<Proof, Error> {
    let definition = parts.definition;
    let (host, now) = (parts.host, parts.host.clock.now());
    let stream = definition.stream(&options.stream).expect("the stream was checked");
    let mut proof = Proof { stream: stream.name.clone(), seed: options.seed, ..Proof::default() };
    let reader = Reader::open(&definition.archive)?;
    let Some(row) = reader.stream(&stream.name)? else {
        proof.notes.push("no record of the stream has ever come: sync it first".to_owned());
        return Ok(proof);
    };
    let (columns, whole) = columns_of(stream, &row)?;
    if !whole {
        let note = "the definition no longer names all columns of the table: `_rest` was not held \
                    against the source's";
        proof.notes.push(note.to_owned());
    }
    let mut sampler = sample::Sampler::new(options.pick, options.seed);
    reader.done_places(&stream.name, options.range, &mut |place| sampler.offer(place))?;
    let (places, candidates) = sampler.finish();
    if places.len() > PLACES_MAX {
        let message = format!("{candidates} windows are more than can be proved at once");
        let help = format!("take a --sample of at most {PLACES_MAX}, or a stretch with --from");
        return Err(Error::new(ErrorKind::Query, message).help(help));
    }
    proof.candidates = candidates;
    proof.places = places.iter().map(proven_place).collect();
    let links = links_of(stream, &definition.streams);
    let parents = parents_of(&reader, stream, &links, &places)?;
    let view = view_of(&row, &columns, whole, reader.has_marks(&row.stream)?);
    let proving = Proving { stream, row: &row, view, columns, places, parents, links };
    let picked = proving.picked(&mut proof);
    if picked.is_empty() {
        return Ok(proof);
    }
    let name = "windrow-prove";
    let folder = PrivateFolder::make(&options.temporary, name)
        .map_err(|error| Error::io(&options.temporary, "make a folder in", &error))?;
    let copy = folder.path().join("copy.db");
    let picked = PickedFetches { known: definition.archive.clone(), places: picked, now };
    let report = read_again(parts, options, picked, &copy)?;
    take_report(&mut proof, report);
    let copy = Reader::open(&copy)?;
    if copy.stream(&stream.name)?.is_none() {
        proof.places.iter_mut().for_each(|place| place.outcome = PlaceOutcome::Unread);
        return Ok(proof);
    }
    let _snapshot = reader.begin_snapshot()?;
    let scopes = proving.scopes(&reader, &copy, &mut proof, now)?;
    if !scopes.is_empty() {
        proving.comparison(&reader, &copy, scopes, host, &mut proof)?.run(&mut proof)?;
    }
    Ok(proof)
}

fn proven_place(place: &DonePlace) -> ProvenPlace {
    ProvenPlace {
        window: place.window.map(|window| window.to_string()),
        partition: place.partition.clone(),
        completed_at: place.completed_at.clone(),
        run: place.run,
        outcome: PlaceOutcome::Equal,
        archive: RowsDigest::default(),
        source: RowsDigest::default(),
    }
}

/// The fetches: a sync into a new archive.
fn read_again(
    parts: SyncParts<'_>,
    options: &ProveOptions,
    picked: PickedFetches,
    copy: &std::path::Path,
) -> Result<SyncReport, Error> {
    let now = instant_to_text(parts.host.clock.now());
    let files = parts.host.files.clone();
    let opening = Opening {
        note: &holder_note(Command::Prove, parts.host.clock.now()),
        now: &now,
        // Nobody else opens it.
        allow_network_fs: true,
        files: &*files,
    };
    let archive = Archive::open(copy, &opening)?;
    let options = SyncOptions {
        streams: vec![options.stream.clone()],
        from: None,
        picked: Some(picked),
        budget: options.budget,
        command: Command::Prove,
    };
    let report = sync(&archive, parts, &options, Lanes::Overlapped)?;
    archive.close()?;
    Ok(report)
}

fn take_report(proof: &mut Proof, report: SyncReport) {
    proof.fetch_code = report.exit_code();
    proof.stats = report.stats;
    proof.stop = report.stop;
    proof.errors = report.errors;
}

/// The columns that are compared, as the definition has them, and whether they are all of the
/// table's. A definition that the table does not follow yet is refused: every row would differ.
fn columns_of(stream: &Stream, row: &StreamRow) -> Result<(Vec<TableColumn>, bool), Error> {
    let refuse = |what: String| {
        let message =
            format!("the definition of `{}` is not what its table has: {what}", row.stream);
        let help = format!("run `windrow sync {}` first", row.stream);
        Err(Error::new(ErrorKind::Definition, message).help(help))
    };
    let key = match &stream.key {
        Key::Columns(names) => KeyShape::Columns(names.clone()),
        Key::Hash(fields) => KeyShape::Hash(fields.clone()),
    };
    if key != row.key {
        return refuse("another key".to_owned());
    }
    let defined = StreamRow::columns_of(stream, Some(row)).unwrap_or_default();
    let mut columns = Vec::new();
    for column in defined {
        let stored = row.columns.iter().find(|c| c.name == column.name);
        match stored {
            Some(stored) if stored.kind == column.kind => columns.push(TableColumn {
                name: column.name.clone(),
                kind: column.kind,
                tolerance: column.tolerance,
            }),
            Some(_) => return refuse(format!("another type of `{}`", column.name)),
            None => return refuse(format!("no column `{}`", column.name)),
        }
    }
    let whole = columns.len() == row.columns.len();
    Ok((columns, whole))
}

fn view_of(row: &StreamRow, columns: &[TableColumn], whole: bool, marks: bool) -> TableView {
    let key = row.key.columns();
    let others = columns.iter().map(|column| column.name.clone());
    let mut others: Vec<String> = others.filter(|name| !key.contains(name)).collect();
    others.extend(whole.then(|| "_rest".to_owned()));
    TableView { table: row.stream.clone(), key, others, marks }
}

/// The columns that tell which parent a row is of: those that are taken from it, and those that
/// refer to it.
fn links_of(stream: &Stream, streams: &[Stream]) -> Vec<Link> {
    let Some(parent) = &stream.for_each else { return Vec::new() };
    let columns = stream.columns.iter().flatten();
    let mut links: Vec<Link> = columns
        .filter_map(|column| match &column.origin {
            ColumnOrigin::Parent(parent) => {
                Some(Link { column: column.name.clone(), parent: parent.clone() })
            }
            _ => None,
        })
        .collect();
    let of_parent = streams.iter().find(|stream| stream.name == *parent);
    if let Some(Key::Columns(names)) = of_parent.map(|stream| &stream.key)
        && let [name] = names.as_slice()
    {
        let referring = stream.references.iter().filter(|(_, target)| *target == parent);
        links.extend(
            referring.map(|(column, _)| Link { column: column.clone(), parent: name.clone() }),
        );
    }
    links
}

/// What the picked partitions' parents hold in the columns of the links.
fn parents_of(
    reader: &Reader,
    stream: &Stream,
    links: &[Link],
    places: &[DonePlace],
) -> Result<HashMap<String, Vec<String>>, Error> {
    let mut found = HashMap::new();
    let Some(parent) = &stream.for_each else {
        found.insert(String::new(), Vec::new());
        return Ok(found);
    };
    let Some(parent) = reader.stream(parent)? else { return Ok(found) };
    let mut after = i64::MIN;
    loop {
        let rows = reader.parents(&parent, after, PARENTS_AT_A_TIME)?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = last.rowid;
        for row in rows {
            // The places are sorted by partition.
            let picked = places.binary_search_by(|place| place.partition.cmp(&row.partition));
            if picked.is_ok() {
                let values = links.iter().map(|link| text_of_scalar(row.values.get(&link.parent)));
                found.insert(row.partition, values.collect());
            }
        }
    }
}

impl<'a> Proving<'a> {
    /// The picked places by partition, without those whose parent is gone.
    fn picked(&self, proof: &mut Proof) -> BTreeMap<String, Vec<Option<Window>>> {
        let mut picked: BTreeMap<String, Vec<Option<Window>>> = BTreeMap::new();
        for (place, proven) in self.places.iter().zip(&mut proof.places) {
            if self.parents.contains_key(&place.partition) {
                picked.entry(place.partition.clone()).or_default().push(place.window);
            } else {
                proven.outcome = PlaceOutcome::ParentGone;
            }
        }
        picked
    }

    /// The places that were read to their end, and that no sync has read meanwhile.
    fn scopes(
        &self,
        archive: &Reader,
        copy: &Reader,
        proof: &mut Proof,
        now: crate::model::Timestamp,
    ) -> Result<Scopes, Error> {
        let links = self.links.iter().filter_map(|link| self.value_of(&link.column));
        let mut scopes = Scopes::new(self.field(), links.collect());
        let mut still: HashMap<(String, Option<Window>), DonePlace> = HashMap::new();
        let wanted = |place: &DonePlace| {
            let by = |have: &DonePlace| {
                (&have.partition, have.window).cmp(&(&place.partition, place.window))
            };
            self.places.binary_search_by(by).is_ok()
        };
        archive.done_places(&self.stream.name, None, &mut |place| {
            if wanted(&place) {
                still.insert((place.partition.clone(), place.window), place);
            }
        })?;
        let mut read: Option<(&str, Coverage, bool)> = None;
        for (at, place) in self.places.iter().enumerate() {
            if proof.places[at].outcome == PlaceOutcome::ParentGone {
                continue;
            }
            if read.as_ref().is_none_or(|(partition, ..)| *partition != place.partition) {
                let (coverage, whole) = coverage_of(copy, &self.stream.name, &place.partition)?;
                read = Some((&place.partition, coverage, whole));
            }
            let is_read = read.as_ref().is_some_and(|(_, coverage, whole)| match place.window {
                Some(window) => coverage.covers(window),
                None => *whole,
            });
            if !is_read {
                proof.places[at].outcome = PlaceOutcome::Unread;
            } else if still.get(&(place.partition.clone(), place.window)) != Some(place) {
                proof.places[at].outcome = PlaceOutcome::Overtaken;
            } else if let Some(range) = self.range_of(place, now) {
                let parent = self.parents.get(&place.partition).cloned().unwrap_or_default();
                scopes.add(parent, range, at);
            } else {
                proof.places[at].outcome = PlaceOutcome::Unjudged;
            }
        }
        scopes.sort();
        Ok(scopes)
    }

    /// The values that a place's rows have in the field: the outer none where there is nothing to
    /// judge, the inner one where all are judged.
    #[expect(clippy::option_option, reason = "nothing and everything are two answers")]
    fn range_of(&self, place: &DonePlace, now: crate::model::Timestamp) -> Option<Option<Range>> {
        let kind = |field: &String| {
            let column = self.columns.iter().find(|column| column.name == *field);
            column.map_or(ColumnType::Text, |column| column.kind)
        };
        match (&self.stream.kind, place.window) {
            (StreamKind::Window(rules), Some(window)) => {
                window_range(window, kind(&rules.field), rules).map(Some)
            }
            (StreamKind::Cursor(rules), _) => {
                let mark = place.cursor.as_deref()?;
                mark_range(mark, kind(&rules.field), rules, now).map(Some)
            }
            (StreamKind::Snapshot { .. }, None) => Some(None),
            // The stream was of another kind once.
            _ => None,
        }
    }

    fn field(&self) -> Option<usize> {
        match &self.stream.kind {
            StreamKind::Window(rules) => self.value_of(&rules.field),
            StreamKind::Cursor(rules) => self.value_of(&rules.field),
            StreamKind::Snapshot { .. } => None,
        }
    }

    /// Where a column is among the values of the view.
    fn value_of(&self, column: &str) -> Option<usize> {
        let names = self.view.key.iter().chain(&self.view.others);
        names.into_iter().position(|name| name == column)
    }

    fn comparison<'c>(
        &'c self,
        archive: &'c Reader,
        copy: &'c Reader,
        scopes: Scopes,
        host: &'c Host,
        proof: &mut Proof,
    ) -> Result<ProofComparison<'c>, Error> {
        let told_apart = self.stream.for_each.is_none() || !self.links.is_empty();
        if !told_apart {
            let note = "no column says which parent a row is of, so rows that are no longer served \
                        cannot be told: give the stream a column with `parent = …`";
            proof.notes.push(note.to_owned());
        }
        let tolerance =
            |name: &String| self.columns.iter().find(|column| column.name == *name)?.tolerance;
        let waiting = waiting_keys(archive, self.stream, self.row)?;
        Ok(ProofComparison {
            archive,
            copy,
            stream: &self.stream.name,
            rules: RowRules {
                key: self.view.key.len(),
                tolerances: self.view.others.iter().map(tolerance).collect(),
                version: self.stream.version.as_deref().and_then(|name| self.value_of(name)),
                on_conflict: self.stream.on_conflict,
            },
            waiting,
            view: self.view.clone(),
            copy_view: TableView { marks: copy.has_marks(&self.stream.name)?, ..self.view.clone() },
            scopes,
            told_apart,
            marked: matches!(self.stream.kind, StreamKind::Cursor(_)),
            host,
        })
    }
}

/// What the copy holds of a partition: the windows that are proven, and whether a fetch without
/// a window is.
fn coverage_of(copy: &Reader, stream: &str, partition: &str) -> Result<(Coverage, bool), Error> {
    let entries = copy.ledger(stream, partition)?;
    let done = |state| matches!(state, State::Complete | State::Settled);
    let whole = entries.iter().any(|entry| entry.window.is_none() && done(entry.state));
    let windows = entries.iter().filter(|entry| done(entry.state)).filter_map(|entry| {
        let window = entry.window?;
        Window::new(window.start(), entry.read_to.unwrap_or(window.end()).min(window.end()))
    });
    Ok((Coverage::of(windows), whole))
}

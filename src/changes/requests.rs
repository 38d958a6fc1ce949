//! By which requests the ledger's entries were fetched: the definitions of the runs that wrote
//! them, against the one at hand.
//!
//! An entry names its run, and a run its definition. Only where definitions change from one run to
//! the next is anything kept, and each is read once, however many entries there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, named_params};

use crate::definition::{Fingerprint, RecordedDefinition, RequestChange};
use crate::model::{Entry, Error, Outdated, State, sha256_of};

use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::transaction::Tx;

/// Definitions that are read, the latest ones: what was read by one before them is taken as of the
/// first of them.
const DEFINITIONS_MAX: u32 = 1_000;

/// By which definition each stream's rows are read, where that is noted.
const LAST_DEFINITIONS: &str = "SELECT stream, definition_id FROM _windrow_streams
    WHERE definition_id IS NOT NULL";

/// The definitions of an archive's runs.
#[derive(Debug, Default)]
pub struct RequestHistory {
    /// The first run of each stretch of runs by one definition.
    steps: Vec<(i64, Option<i64>)>,
    definitions: HashMap<i64, Option<RecordedDefinition>>,
    accepted: Vec<Accepted>,
    /// By which definition each stream's rows are read.
    last: HashMap<String, i64>,
}

/// Two fingerprints of which somebody has said, or windrow has seen to it, that they come to the
/// same. By their digests, both ways.
#[derive(Debug)]
struct Accepted {
    stream: String,
    /// A column; empty for the request.
    subject: String,
    digests: (String, String),
}

/// What differs between the requests of earlier runs and the one at hand, of one stream.
#[derive(Debug, Default)]
pub struct RequestChanges {
    /// From which run on, and what differs; nothing where the request is the same.
    steps: Vec<(i64, Arc<[RequestChange]>)>,
    fingerprints: Vec<Option<Arc<Fingerprint>>>,
    now: Fingerprint,
}

impl Reader {
    /// The definitions of all runs, and what was accepted.
    pub fn request_history(&self) -> Result<RequestHistory, Error> {
        RequestHistory::read(&self.connection).map_err(at(&self.path))
    }

    /// How many complete entries of the stream's ledger each run has written.
    fn complete_by_run(&self, stream: &str) -> rusqlite::Result<Vec<(i64, u64)>> {
        let sql = "SELECT run_id, count(*) AS entries FROM _windrow_ledger
            WHERE stream = :stream AND state IN ('complete', 'settled', 'absent') GROUP BY run_id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(named_params! { ":stream": stream }, |row| {
            Ok((row.get("run_id")?, row.get("entries")?))
        })?;
        rows.collect()
    }

    /// The complete entries of a stream that another request has fetched.
    pub fn outdated(&self, stream: &str, changes: &RequestChanges) -> Result<Outdated, Error> {
        let mut outdated = Outdated::default();
        if changes.is_empty() {
            return Ok(outdated);
        }
        for (run, entries) in self.complete_by_run(stream).map_err(at(&self.path))? {
            outdated.add(entries, changes.of(run));
        }
        Ok(outdated)
    }
}

impl RequestHistory {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT run_id, definition_id FROM (SELECT run_id, definition_id,
                lag(definition_id, 1, -1) OVER (ORDER BY run_id) AS before FROM _windrow_runs)
            WHERE definition_id IS NOT before ORDER BY run_id";
        let mut statement = connection.prepare(sql)?;
        let steps = statement
            .query_map([], |row| Ok((row.get("run_id")?, row.get("definition_id")?)))?
            .collect::<rusqlite::Result<_>>()?;
        let sql = "SELECT definition_id, text FROM _windrow_definitions
            ORDER BY definition_id DESC LIMIT :most";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query(named_params! { ":most": DEFINITIONS_MAX })?;
        let mut definitions = HashMap::new();
        while let Some(row) = rows.next()? {
            let text: String = row.get("text")?;
            definitions.insert(row.get("definition_id")?, RecordedDefinition::parse(&text));
        }
        let sql = "SELECT stream, subject, fingerprint, accepted_as FROM _windrow_accepted";
        let mut statement = connection.prepare(sql)?;
        let accepted = statement.query_map([], |row| {
            let digests = (row.get("fingerprint")?, row.get("accepted_as")?);
            Ok(Accepted { stream: row.get("stream")?, subject: row.get("subject")?, digests })
        })?;
        let accepted = accepted.collect::<rusqlite::Result<_>>()?;
        let last = LAST_DEFINITIONS;
        let mut statement = connection.prepare(last)?;
        let last = statement
            .query_map([], |row| Ok((row.get("stream")?, row.get("definition_id")?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self { steps, definitions, accepted, last })
    }

    /// What differs between the requests of all runs and that of a definition. Where a run's own
    /// definition cannot be read, or does not name the stream, the one before it counts, or else
    /// the one after it; without any there is nothing to compare, and nothing has changed.
    pub fn changes(&self, definition: &str, stream: &str) -> RequestChanges {
        let now = RecordedDefinition::parse(definition).and_then(|it| it.fingerprint(stream));
        let Some(now) = now else { return RequestChanges::default() };
        let mut read: HashMap<i64, Option<Arc<Fingerprint>>> = HashMap::new();
        let mut fingerprints = Vec::new();
        let mut last = None;
        for (_, id) in &self.steps {
            let own = id.and_then(|id| {
                let read = read.entry(id).or_insert_with(|| {
                    let recorded = self.definitions.get(&id)?.as_ref()?;
                    recorded.fingerprint(stream).map(Arc::new)
                });
                read.clone()
            });
            last = own.or(last);
            fingerprints.push(last.clone());
        }
        let first = fingerprints.iter().flatten().next().cloned();
        for fingerprint in fingerprints.iter_mut().take_while(|it| it.is_none()) {
            fingerprint.clone_from(&first);
        }
        let mut known: Vec<(Arc<Fingerprint>, Arc<[RequestChange]>)> = Vec::new();
        let mut steps = Vec::new();
        for ((run, _), fingerprint) in self.steps.iter().zip(&fingerprints) {
            let changes = match fingerprint {
                None => Arc::from([]),
                Some(before) => match known.iter().find(|(it, _)| Arc::ptr_eq(it, before)) {
                    Some((_, changes)) => Arc::clone(changes),
                    None => {
                        let changes: Arc<[RequestChange]> =
                            self.differ(stream, before, &now).into();
                        known.push((Arc::clone(before), Arc::clone(&changes)));
                        changes
                    }
                },
            };
            steps.push((*run, changes));
        }
        RequestChanges { steps, fingerprints, now }
    }

    /// What differs and was not accepted.
    fn differ(&self, stream: &str, before: &Fingerprint, now: &Fingerprint) -> Vec<RequestChange> {
        let mut changes = before.changes(now);
        let last = self.last.get(stream).and_then(|id| self.definitions.get(id)?.as_ref());
        let last = last.and_then(|last| last.fingerprint(stream));
        let is_request = |change: &RequestChange| matches!(change, RequestChange::Request(_));
        let request = changes.iter().any(is_request)
            && self.same(stream, "", &before.request_text(), &now.request_text());
        changes.retain(|change| match change {
            RequestChange::Request(_) => !request,
            // Before a sync has carried it out there is nothing to be fetched for it.
            RequestChange::Column(name) => {
                let text = now.column_text(name);
                last.as_ref().is_none_or(|last| last.column_text(name) == text)
                    && !self.same(stream, name, &before.column_text(name), &text)
            }
        });
        changes
    }

    /// Whether a chain of what was accepted leads from one fingerprint to the other.
    fn same(&self, stream: &str, subject: &str, one: &str, other: &str) -> bool {
        let (one, other) = (sha256_of(one), sha256_of(other));
        let pairs: Vec<&(String, String)> = (self.accepted.iter())
            .filter(|it| it.stream == stream && it.subject == subject)
            .map(|it| &it.digests)
            .collect();
        let mut reached = BTreeSet::from([one.as_str()]);
        loop {
            let more = pairs.iter().find_map(|(a, b)| {
                match (reached.contains(a.as_str()), reached.contains(b.as_str())) {
                    (true, false) => Some(b.as_str()),
                    (false, true) => Some(a.as_str()),
                    _ => None,
                }
            });
            match more {
                Some(more) => reached.insert(more),
                None => return reached.contains(other.as_str()),
            };
        }
    }
}

impl RequestChanges {
    /// Whether all runs made the request at hand.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|(_, changes)| changes.is_empty())
    }

    fn place(&self, run: i64) -> Option<usize> {
        // What is older than all runs is taken as of the first.
        (!self.steps.is_empty())
            .then(|| self.steps.partition_point(|(first, _)| *first <= run).saturating_sub(1))
    }

    /// What differs between a run's request and the one at hand.
    pub fn of(&self, run: i64) -> &[RequestChange] {
        self.place(run).map_or(&[], |at| &self.steps[at].1)
    }

    /// Notes in complete entries whether another request has fetched them. Gives their number.
    pub fn mark(&self, entries: &mut [Entry]) -> Outdated {
        let mut outdated = Outdated::default();
        for entry in entries {
            let complete = matches!(entry.state, State::Complete | State::Settled | State::Absent);
            let changes = self.of(entry.run);
            entry.outdated = complete && !changes.is_empty();
            outdated.add(u64::from(entry.outdated), changes);
        }
        outdated
    }
}

impl Tx<'_> {
    /// Keeps of a stream that the requests of entries come to the same as the one at hand, where
    /// all that differs is `acceptable`.
    pub fn accept_requests(
        &self,
        stream: &str,
        changes: &RequestChanges,
        acceptable: fn(&RequestChange) -> bool,
    ) -> Result<Outdated, Error> {
        let mut outdated = Outdated::default();
        let runs = self.complete_by_run(stream).map_err(at(&self.path))?;
        let mut pairs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (run, entries) in runs {
            let differ = changes.of(run);
            if !differ.iter().all(acceptable) {
                continue;
            }
            outdated.add(entries, differ);
            let before = changes.place(run).and_then(|at| changes.fingerprints[at].clone());
            let Some(before) = before else { continue };
            for change in differ {
                let (subject, text) = match change {
                    RequestChange::Request(_) => ("", before.request_text()),
                    RequestChange::Column(name) => (name.as_str(), before.column_text(name)),
                };
                pairs.entry(subject.to_owned()).or_default().insert(text);
            }
        }
        for (subject, texts) in pairs {
            let to = match subject.as_str() {
                "" => changes.now.request_text(),
                name => changes.now.column_text(name),
            };
            for from in texts {
                self.accept(stream, &subject, &from, &to)?;
            }
        }
        Ok(outdated)
    }

    /// Keeps that a column was carried out on all rows.
    pub fn accept_column(
        &self,
        stream: &str,
        column: &str,
        before: &Fingerprint,
        now: &Fingerprint,
    ) -> Result<(), Error> {
        self.accept(stream, column, &before.column_text(column), &now.column_text(column))
    }

    /// Keeps that two texts of fingerprints come to the same.
    fn accept(&self, stream: &str, subject: &str, from: &str, to: &str) -> Result<(), Error> {
        let sql = "INSERT OR IGNORE INTO _windrow_accepted
                (stream, subject, fingerprint, accepted_as)
            VALUES (:stream, :subject, :from, :to)";
        let values = named_params! {
            ":stream": stream,
            ":subject": subject,
            ":from": sha256_of(from),
            ":to": sha256_of(to),
        };
        self.connection.execute(sql, values).map(|_| ()).map_err(at(&self.path))
    }
}

//! What the pages of one fetch have shown so far, and what contradicts that they are all.

use std::collections::HashMap;

use crate::definition::{Key, OnConflict, Paginate, Stream, StreamKind};
use crate::evidence::{
    Came, Contradiction, FetchSigns, KeySeen, KeyTable, Signs, contradiction_of_end,
    contradiction_of_page, one_page_is_all,
};
use crate::http::{Page, SourceError, invalid_response};
use crate::model::numbers::{count, inflect, many};
use crate::model::{Entry, State, Timestamp, Window, excerpt};
use crate::record::{KeyClash, PageMark, PageRows, canonical_json, hash_text};

use super::fetch::{FetchFacts, FetchOutcome};
use super::fetch_job::FetchJob;
use super::report::RejectReasons;

/// The most distinct keys that are known of one window: 8 bytes each, 32 MiB in all. A window with
/// more records than that cannot be held against a total, and needs a shorter step.
const DISTINCT_KEYS_MAX: usize = 2_000_000;

/// The most keys of one fetch that are looked at again: one that differs again fails the window,
/// and more of them find nothing else.
const SUSPECTS_MAX: usize = 1_000;

/// A window fails where more than one in so many of its records is rejected.
const REJECTED_SHARE: u64 = 5;

/// Characters of a record in a message: a message shows two records, which should stand on a few
/// lines.
const RECORD_SHOWN_MAX: usize = 160;

/// Keys that came with two contents, and the first record of each as the repeated fetch saw it.
pub type Suspects = HashMap<u64, Option<String>>;

/// One of the fetches of a window in a run.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// Whether an earlier run's fetch is carried on.
    pub resume: bool,
    /// A hash of the keys that the attempt before has seen.
    pub confirms: Option<u64>,
    /// Attempts before this one.
    pub number: u64,
    /// Keys that earlier attempts have seen with two contents.
    pub suspects: &'a Suspects,
}

/// What the pages of a fetch have shown so far.
pub struct FetchTally {
    /// What the write lane is handed with the first page.
    pub facts: FetchFacts,
    /// Whether it was handed over.
    pub begun: bool,
    /// Pages that were asked for in this attempt.
    pub asked: u64,
    /// Those of them that held records.
    pub pages: u64,
    /// Records of all pages, also those that came twice.
    pub received: u64,
    /// Records that cannot be rows.
    pub rejects: u64,
    /// Why not, and how many of each.
    pub reasons: RejectReasons,
    pub keys: KeyTable,
    /// The sum of the keys' hashes: tells whether two fetches have seen the same.
    key_sum: u64,
    /// Whether a record of an earlier page came again.
    pub moved: bool,
    /// The first total that was said.
    pub total: Option<u64>,
    /// The total of the last page that has one.
    pub last_total: Option<u64>,
    /// The largest value of the cursor's column.
    pub mark: Option<PageMark>,
    /// What the answers say of their completeness.
    signs: FetchSigns,
    /// Whether the end is one that `paginate.end` names.
    pub ended_as_declared: bool,
    /// What contradicts a definition that says that one page is all.
    pub remark: Option<String>,
    /// Keys that an earlier attempt has seen with two contents.
    pub suspects: Suspects,
    /// Keys that this attempt has seen with two contents.
    changed: Vec<u64>,
}

/// Whether the definition explains that a key comes twice with different content: something tells
/// which is newer.
fn explains_changes(stream: &Stream) -> bool {
    stream.version.is_some()
        || takes_any_order(stream)
        || matches!(stream.kind, StreamKind::Cursor(_))
}

/// Whether it does not matter which of two records of one key is newer: the first one wins, or one
/// of them is a tombstone.
pub fn takes_any_order(stream: &Stream) -> bool {
    stream.deleted.is_some() || stream.on_conflict == OnConflict::Keep
}

/// A key that stands for different records.
fn clash_error(stream: &Stream, clash: &KeyClash) -> SourceError {
    let shown = |record: &str| excerpt(record, RECORD_SHOWN_MAX);
    let (first, later) = (shown(&clash.first), shown(&clash.later));
    let (Key::Columns(fields) | Key::Hash(fields)) = &stream.key;
    let key = fields.join(", ");
    let message = format!("two records have one key ({key}) and differ: {first} and {later}");
    invalid_response(message).help(
        "add to `key` the field that tells such records apart; if one of them is newer, name the \
         field that says so with `version`",
    )
}

fn contradicted(contradiction: Contradiction) -> SourceError {
    invalid_response(contradiction.message).help(contradiction.help)
}

impl FetchTally {
    /// Of a fetch that begins, or carries on where `resumed` broke off. `attempt` counts the
    /// fetches of the window in this run.
    pub fn new(
        job: &FetchJob,
        resumed: Option<&Entry>,
        now: Timestamp,
        attempt: u64,
        suspects: Suspects,
    ) -> Self {
        let facts = FetchFacts {
            window_key: job.window_key.clone(),
            requested_at: resumed.map_or(now, |entry| entry.requested_at),
            dated_by_source: resumed.is_some_and(|entry| entry.dated_by_source),
            asked_from: job.asked.map(Window::start),
            asked_to: match resumed {
                Some(entry) => entry.read_to,
                None => job.asked.map(Window::end),
            },
            in_one_piece: resumed.is_none(),
            skew_ms: None,
        };
        Self {
            facts,
            begun: false,
            asked: 0,
            pages: 0,
            received: 0,
            rejects: 0,
            reasons: RejectReasons::default(),
            keys: KeyTable::new(attempt),
            key_sum: 0,
            moved: false,
            total: resumed.and_then(|entry| entry.source_total),
            last_total: None,
            mark: None,
            signs: FetchSigns::default(),
            ended_as_declared: false,
            remark: None,
            suspects,
            changed: Vec::new(),
        }
    }

    /// Dates the fetch by the source's own clock: what the source has not lived through yet it
    /// cannot have told, whatever this machine's clock says.
    pub fn date_by(&mut self, page: &Page) {
        if let Some(at) = page.as_of {
            self.facts.requested_at = at;
            self.facts.dated_by_source = true;
        }
    }

    /// Counts the records of a page.
    pub fn take(
        &mut self,
        stream: &Stream,
        rows: &PageRows,
        total: Option<u64>,
        signs: Signs,
    ) -> Result<(), SourceError> {
        if let Some(contradiction) = contradiction_of_page(stream, &signs) {
            return Err(contradicted(contradiction));
        }
        if let Some(clash) = &rows.clash {
            return Err(clash_error(stream, clash));
        }
        self.asked += 1;
        self.pages += u64::from(rows.received > 0);
        self.received += rows.received;
        self.rejects += rows.rejects.len() as u64;
        self.reasons.take(&rows.rejects);
        self.mark = self.mark.take().max(rows.mark.clone());
        self.signs.take(signs);
        if let Some(total) = total {
            self.total.get_or_insert(total);
            self.last_total = Some(total).filter(|_| !stream.total_rules.of_first).or(self.total);
        }
        self.take_keys(stream, rows)
    }

    /// Takes in the keys of a page, and sees whether one came before, and with other content.
    fn take_keys(&mut self, stream: &Stream, rows: &PageRows) -> Result<(), SourceError> {
        let must_count = stream.total.is_some() || stream.paginate.is_counted();
        if self.keys.len() > DISTINCT_KEYS_MAX {
            if must_count {
                let message = format!("the window holds more than {DISTINCT_KEYS_MAX} records");
                return Err(invalid_response(message).help("give the stream a shorter `step`"));
            }
            return Ok(());
        }
        let explained = explains_changes(stream);
        for reject in &rows.rejects {
            let hash = hash_text(&reject.record);
            self.take_key(hash, hash, true);
        }
        for (index, (key, content)) in rows.rows.key_hashes.iter().zip(&rows.row_hashes).enumerate()
        {
            self.take_key(*key, *content, explained);
            if let Some(record) = rows.records.get(index)
                && let Some(first) = self.suspects.get_mut(key)
            {
                let canonical = |text: &str| canonical_json(text).ok();
                match first {
                    Some(first) if canonical(first) != canonical(&record.record) => {
                        let clash = KeyClash { first: first.clone(), later: record.record.clone() };
                        return Err(clash_error(stream, &clash));
                    }
                    Some(_) => {}
                    None => *first = Some(record.record.clone()),
                }
            }
        }
        Ok(())
    }

    fn take_key(&mut self, key: u64, content: u64, explained: bool) {
        match self.keys.take(key, content) {
            KeySeen::New => self.key_sum = self.key_sum.wrapping_add(key),
            KeySeen::Again => self.moved = true,
            KeySeen::Changed => {
                self.moved = true;
                if !explained && self.changed.len() < SUSPECTS_MAX {
                    self.changed.push(key);
                }
            }
        }
    }

    /// Whether so many records are no rows that the definition must be wrong: all of a page, unless
    /// it says how many there may be.
    pub fn rejected_page(
        &self,
        stream: &Stream,
        received: u64,
        rejected: u64,
    ) -> Result<(), SourceError> {
        if let Some(most) = stream.max_rejects {
            if self.rejects <= most {
                return Ok(());
            }
            let (records, were) = (many(most, "record"), inflect(most, "was", "were"));
            let message = format!("more than {records} of the window {were} rejected");
            return Err(self.rejects_error(message));
        }
        if received == 0 || rejected < received {
            return Ok(());
        }
        let message = match received {
            1 => "the only record of a page was rejected".to_owned(),
            received => format!("all {received} records of a page were rejected"),
        };
        Err(self.rejects_error(message))
    }

    /// The same for a whole window: more than a fifth of its records.
    fn rejected_window(&self, stream: &Stream) -> Result<(), SourceError> {
        if stream.max_rejects.is_some() || self.rejects * REJECTED_SHARE <= self.received {
            return Ok(());
        }
        let were = if self.rejects == 1 { "was" } else { "were" };
        let records = many(self.received, "record");
        let message = format!("{} of {records} of the window {were} rejected", count(self.rejects));
        Err(self.rejects_error(message))
    }

    fn rejects_error(&self, message: String) -> SourceError {
        let why = self.reasons.spoken();
        invalid_response(format!("{message}: {why}")).help(
            "`windrow rejects` shows them; mend the column's type, or name what stands for null \
             with `null_values`; `max_rejects` says how many records of a window may be rejected",
        )
    }

    /// What the answers say against the end that was found.
    pub fn contradiction(&mut self, stream: &Stream) -> Result<Option<FetchOutcome>, SourceError> {
        let came = Came {
            records: self.received,
            pages: self.asked,
            whole: self.facts.in_one_piece,
            end_is_declared: self.ended_as_declared || self.total_agrees(stream),
        };
        self.rejected_window(stream)?;
        match contradiction_of_end(stream, &self.signs, came) {
            Some(contradiction) if one_page_is_all(stream) => {
                self.remark = Some(contradiction.message);
            }
            Some(contradiction) => return Err(contradicted(contradiction)),
            None => {}
        }
        if !came.whole && self.signs.needs_whole(stream) {
            // The counts are of all pages, and an earlier run has read some of them.
            let mut error = invalid_response("the answers count more than this piece of the fetch");
            error.page_gone = true;
            return Err(error);
        }
        if self.changed.is_empty() {
            return Ok(None);
        }
        let error = invalid_response("records changed while the pages were read")
            .help("run it again; if they differ each time, the key is not unique");
        let suspects = self.changed.clone();
        Ok(Some(FetchOutcome::Unconfirmed { error, seen: None, suspects }))
    }

    fn total_agrees(&self, stream: &Stream) -> bool {
        let total = self.last_total.or(self.total);
        let capped = stream.total_rules.cap.is_some_and(|cap| total >= Some(cap));
        !capped && total == Some(self.keys.len() as u64)
    }

    /// Whether the source's total disagrees with what came, or moved meanwhile.
    pub fn disagreement(&self, stream: &Stream) -> Option<FetchOutcome> {
        stream.total.as_ref()?;
        let distinct = self.keys.len() as u64;
        let (first, last) = (self.total?, self.last_total.or(self.total)?);
        if stream.total_rules.cap.is_some_and(|cap| first >= cap && distinct >= cap) {
            return None;
        }
        if stream.paginate.is_counted() && first != last {
            let shrinks = last < first && distinct == first;
            let message = format!("the total moved from {first} to {last} while pages were read");
            let error = invalid_response(message).help(if shrinks {
                "if later pages count what is left, write `total = { path = \"…\", of = \
                 \"first\" }`"
            } else {
                "run it again; an order that ends with a unique field keeps records in their place"
            });
            return Some(FetchOutcome::Disagreement { error, total: last, distinct });
        }
        (last != distinct).then(|| {
            let twice = if self.moved { ", and a key came twice" } else { "" };
            let message = format!(
                "the source counts {}, {} came{twice}",
                many(last, "record"),
                many(distinct, "different one")
            );
            let help = help_for_count(stream, (first, last), distinct, self.received);
            let error = invalid_response(message).help(help);
            FetchOutcome::Disagreement { error, total: last, distinct }
        })
    }

    /// A record that goes while counted pages are read pulls another one over the edge between two
    /// pages, unseen, and an order that is not total does the same. No record may come twice, which
    /// gives such a move away; where no later fetch would bring the record, and there is no total,
    /// two fetches in a row must have seen the same ones. `alone`: all that there is came with one
    /// page, and the source gives longer ones.
    pub fn shifted(
        &self,
        stream: &Stream,
        state: State,
        confirms: Option<u64>,
        alone: bool,
    ) -> Option<FetchOutcome> {
        if !stream.paginate.is_counted() || stream.reconcile_attempts <= 1 {
            return None;
        }
        let seen = (self.facts.in_one_piece).then_some(self.key_sum);
        let message = match self.moved {
            true => "records moved between the pages while they were read: a key came twice",
            false => "records moved between the pages: two fetches in a row differ",
        };
        let error = invalid_response(message).help(
            "ask for an order that ends with a unique field, as `sort=created_at,id`; some APIs \
             page by a cursor instead",
        );
        let last_word = state == State::Settled || matches!(stream.kind, StreamKind::Cursor(_));
        let unconfirmed = stream.total.is_none() && (seen.is_none() || seen != confirms);
        let doubtful = self.moved || (last_word && !alone && unconfirmed);
        let suspects = Vec::new();
        doubtful.then_some(FetchOutcome::Unconfirmed { error, seen, suspects })
    }
}

/// What to do about a count that is not that of the records.
fn help_for_count(
    stream: &Stream,
    (first, last): (u64, u64),
    distinct: u64,
    received: u64,
) -> String {
    let place = "`total = { path = \"…\", ";
    if last < first && distinct == first {
        return format!("if later pages count what is left, write {place}of = \"first\" }}`");
    }
    if distinct > last && stream.paginate.is_counted() {
        return format!(
            "if the source stops counting at {last}, write {place}cap = {last} }}`; if it counts \
             something else, `total = \"none\"`"
        );
    }
    if received > distinct {
        return "records came twice: ask for an order that ends with a unique field".to_owned();
    }
    match stream.paginate {
        Paginate::None => "write how the API pages with `paginate`; if the total counts something \
                           else, `total = \"none\"`"
            .to_owned(),
        _ => "the pages end too early, or the total counts something else: then `total = \"none\"`"
            .to_owned(),
    }
}

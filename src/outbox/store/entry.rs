//! An entry of the outbox, as the archive holds it.

use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;

use crate::definition::{KeyRule, WriteMethod};
use crate::model::{EntryState, Timestamp, instant_from_text};

/// What a plan needs to know of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxBrief {
    /// Its number.
    pub entry: i64,
    /// The API.
    pub source: String,
    /// Its name.
    pub key: String,
    /// The API's address when it was queued.
    pub base_url: String,
    /// What it does.
    pub method: WriteMethod,
    /// The beginning of its path.
    pub path_start: String,
    /// Whether the API is told a key.
    pub keyed: bool,
    /// Those of one lane go one after another.
    pub lane: Option<String>,
    /// The entry whose success it waits for, and how far that is; none when that is gone.
    pub after: Option<(i64, Option<EntryState>)>,
    /// Not sent before.
    pub not_before: Option<Timestamp>,
    /// Not sent for the first time at or after.
    pub expires_at: Option<Timestamp>,
    /// The sender that queued it.
    pub owner: String,
    /// How far it is.
    pub state: EntryState,
    /// Whether an attempt may have had its effect.
    pub in_doubt: bool,
    /// When its first attempt began.
    pub first_sent_at: Option<Timestamp>,
    /// The latest time that an attempt has shown.
    pub last_seen_at: Option<Timestamp>,
    /// Not tried again before.
    pub next_at: Option<Timestamp>,
    /// The last error, in words.
    pub note: Option<String>,
}

/// An entry in full.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEntry {
    /// What a plan needs to know.
    pub brief: OutboxBrief,
    /// What the API is told as the key.
    pub sent_key: String,
    /// Where the key goes.
    pub key_rule: Option<KeyRule>,
    /// Path and query, without the key.
    pub path: String,
    /// Name and value of each header, without the key, the source's own and credentials.
    pub headers: Vec<(String, String)>,
    /// The body, without the key.
    pub body: Option<Vec<u8>>,
    /// Whether it waits to be filled from another's answer.
    pub templated: bool,
    /// SHA-256 of the request as it was given, hexadecimal.
    pub digest: String,
    /// When it was queued.
    pub created_at: Timestamp,
    /// Attempts that reached a wire.
    pub attempts: u32,
    /// Up to when the API remembers the key.
    pub valid_until: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// The answer's status.
    pub status: Option<u16>,
    /// The answer's headers, those that may be kept.
    pub answer_headers: Vec<(String, String)>,
    /// The answer's body.
    pub answer: Option<Vec<u8>>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutboxAttempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// What the API was told as the key.
    pub sent_key: String,
    /// When it began.
    pub started_at: String,
    /// When it was over; never, for one whose sender died.
    pub ended_at: Option<String>,
    /// The answer's status.
    pub status: Option<u16>,
    /// Why there was no answer, or none that counts.
    pub fault: Option<String>,
}

/// A sender of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderIdentity {
    /// Its id.
    pub sender: String,
    /// Attempts that it has begun.
    pub sends: u64,
}

/// The columns of a brief; `e` is the entry, `p` the one that it waits for.
pub(crate) const BRIEF: &str = "e.entry, e.source, e.key, e.base_url, e.method,
    e.key_rule IS NOT NULL, e.lane, e.after_entry, p.state, e.not_before, e.expires_at, e.owner,
    e.state, e.in_doubt, e.first_sent_at, e.last_seen_at, e.next_at, e.note, substr(e.path, 1, 80)";
/// Where a brief comes from.
pub(crate) const FROM: &str = "FROM _windrow_outbox AS e
    LEFT JOIN _windrow_outbox AS p ON p.entry = e.after_entry";
/// What an entry has besides.
pub(crate) const MORE: &str = "e.sent_key, e.key_rule, e.path, e.headers, e.body, e.templated,
    e.digest, e.created_at, e.attempts, e.valid_until, e.finished_at, e.status, e.answer_headers,
    e.answer";

pub(crate) fn brief(row: &Row<'_>) -> rusqlite::Result<OutboxBrief> {
    let after: Option<i64> = row.get(7)?;
    let before: Option<String> = row.get(8)?;
    Ok(OutboxBrief {
        entry: row.get(0)?,
        source: row.get(1)?,
        key: row.get(2)?,
        base_url: row.get(3)?,
        method: told(row, 4, WriteMethod::parse)?,
        path_start: row.get(18)?,
        keyed: row.get(5)?,
        lane: row.get(6)?,
        after: after.map(|after| (after, before.as_deref().and_then(EntryState::parse))),
        not_before: time(row, 9)?,
        expires_at: time(row, 10)?,
        owner: row.get(11)?,
        state: told(row, 12, EntryState::parse)?,
        in_doubt: row.get(13)?,
        first_sent_at: time(row, 14)?,
        last_seen_at: time(row, 15)?,
        next_at: time(row, 16)?,
        note: row.get(17)?,
    })
}

/// A row of [`BRIEF`] and [`MORE`].
pub(crate) fn entry(row: &Row<'_>) -> rusqlite::Result<OutboxEntry> {
    let headers: Option<String> = row.get(31)?;
    let rule: Option<String> = row.get(20)?;
    Ok(OutboxEntry {
        brief: brief(row)?,
        sent_key: row.get(19)?,
        key_rule: rule.map(|text| from_json(20, &text)).transpose()?,
        path: row.get(21)?,
        headers: from_json(22, &row.get::<_, String>(22)?)?,
        body: row.get(23)?,
        templated: row.get(24)?,
        digest: row.get(25)?,
        created_at: told(row, 26, instant_from_text)?,
        attempts: row.get(27)?,
        valid_until: time(row, 28)?,
        finished_at: time(row, 29)?,
        status: row.get(30)?,
        answer_headers: headers.map(|text| from_json(31, &text)).transpose()?.unwrap_or_default(),
        answer: row.get(32)?,
    })
}

fn from_json<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let text: Option<String> = row.get(column)?;
    Ok(text.as_deref().and_then(instant_from_text))
}

/// A text that the schema's own checks keep readable.
fn told<T>(
    row: &Row<'_>,
    column: usize,
    read: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    let malformed = || rusqlite::Error::InvalidColumnType(column, text.clone(), Type::Text);
    read(&text).ok_or_else(malformed)
}

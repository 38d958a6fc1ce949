//! An entry of the outbox, as the archive holds it.

use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;

use crate::definition::{KeyRule, WriteMethod};
use crate::model::{EntryState, Timestamp, instant_from_text};
use crate::store::row::{name_of, named, unknown};

/// What a plan needs to know of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxBrief {
    pub entry: i64,
    pub source: String,
    /// The key that tells it from all other entries.
    pub key: String,
    /// The API's address when it was queued.
    pub base_url: String,
    pub method: WriteMethod,
    /// The beginning of its path.
    pub path_start: String,
    /// Whether the API is told a key.
    pub keyed: bool,
    /// Those of one lane go one after another.
    pub lane: Option<String>,
    /// The entry whose success it waits for, and how far that is; none when that is gone.
    pub after: Option<(i64, Option<EntryState>)>,
    /// The earliest time at which it is sent.
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
    /// Where it went, where a hand-off took it along: whoever has that file sends it.
    pub moved: Option<MovedEntry>,
}

/// Where an entry went with a hand-off. Both are absent where the hand-off could not be noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedEntry {
    /// The name of the file, without its folder.
    pub file: Option<String>,
    /// When it was made.
    pub at: Option<Timestamp>,
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
    /// The status of the last answer; none where none came.
    pub status: Option<u16>,
    /// The answer's headers, those that may be kept.
    pub answer_headers: Vec<(String, String)>,
    /// The body of the answer, without secrets.
    pub answer: Option<Vec<u8>>,
}

/// One attempt to send an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutboxAttempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// What the API was told as the key.
    pub sent_key: String,
    pub started_at: String,
    /// When it was over; never, for one whose sender died.
    pub ended_at: Option<String>,
    /// The status of the answer; none where none came.
    pub status: Option<u16>,
    /// Why there was no answer, or none that counts.
    pub fault: Option<String>,
}

/// A sender of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderIdentity {
    /// A random id, the same in the record of the state folder.
    pub sender: String,
    /// Attempts that it has begun.
    pub sends: u64,
}

/// The columns of a brief; `e` is the entry, `p` the one that it waits for.
pub(crate) const BRIEF: &str = "e.entry, e.source, e.key, e.base_url, e.method,
    e.key_rule IS NOT NULL AS keyed, e.lane, e.after_entry, p.state AS after_state,
    e.not_before, e.expires_at, e.owner, e.state, e.in_doubt, e.first_sent_at, e.last_seen_at,
    e.next_at, e.note, substr(e.path, 1, 80) AS path_start,
    -- In the very file that a hand-off made it is not away: it has come.
    e.owner GLOB 'moved:*' AND e.state IN ('queued', 'sending', 'unknown')
        AND substr(e.owner, 7) IS NOT (SELECT handoff_id FROM _windrow_lineage
        WHERE archive_id = (SELECT value FROM _windrow_meta WHERE name = 'archive_id')) AS is_away,
    iif(e.owner GLOB 'moved:*', (SELECT file FROM _windrow_handoffs WHERE direction = 'given'
        AND handoff_id = substr(e.owner, 7)), NULL) AS moved_file,
    iif(e.owner GLOB 'moved:*', (SELECT at FROM _windrow_handoffs WHERE direction = 'given'
        AND handoff_id = substr(e.owner, 7)), NULL) AS moved_at";
/// Where a brief comes from.
pub(crate) const FROM: &str = "FROM _windrow_outbox AS e
    LEFT JOIN _windrow_outbox AS p ON p.entry = e.after_entry";
/// What an entry has besides.
pub(crate) const MORE: &str = "e.sent_key, e.key_rule, e.path, e.headers, e.body, e.templated,
    e.digest, e.created_at, e.attempts, e.valid_until, e.finished_at, e.status, e.answer_headers,
    e.answer";

/// Where the state of an entry stands.
const STATE: (&str, &str) = ("_windrow_outbox", "state");

pub(crate) fn brief(row: &Row<'_>) -> rusqlite::Result<OutboxBrief> {
    let after: Option<i64> = row.get("after_entry")?;
    let before: Option<String> = row.get("after_state")?;
    let before = before.map(|before| name_of(&before, STATE)).transpose()?;
    let moved = MovedEntry { file: row.get("moved_file")?, at: time(row, "moved_at")? };
    Ok(OutboxBrief {
        entry: row.get("entry")?,
        source: row.get("source")?,
        key: row.get("key")?,
        base_url: row.get("base_url")?,
        method: named(row, "method", ("_windrow_outbox", "method"))?,
        path_start: row.get("path_start")?,
        keyed: row.get("keyed")?,
        lane: row.get("lane")?,
        after: after.map(|after| (after, before)),
        not_before: time(row, "not_before")?,
        expires_at: time(row, "expires_at")?,
        owner: row.get("owner")?,
        state: named(row, "state", STATE)?,
        in_doubt: row.get("in_doubt")?,
        first_sent_at: time(row, "first_sent_at")?,
        last_seen_at: time(row, "last_seen_at")?,
        next_at: time(row, "next_at")?,
        note: row.get("note")?,
        moved: row.get::<_, bool>("is_away")?.then_some(moved),
    })
}

/// A row of [`BRIEF`] and [`MORE`].
pub(crate) fn entry(row: &Row<'_>) -> rusqlite::Result<OutboxEntry> {
    let headers: Option<String> = row.get("answer_headers")?;
    let rule: Option<String> = row.get("key_rule")?;
    Ok(OutboxEntry {
        brief: brief(row)?,
        sent_key: row.get("sent_key")?,
        key_rule: rule.map(|text| from_json(row, "key_rule", &text)).transpose()?,
        path: row.get("path")?,
        headers: from_json(row, "headers", &row.get::<_, String>("headers")?)?,
        body: row.get("body")?,
        templated: row.get("templated")?,
        digest: row.get("digest")?,
        created_at: time(row, "created_at")?.ok_or(rusqlite::Error::QueryReturnedNoRows)?,
        attempts: row.get("attempts")?,
        valid_until: time(row, "valid_until")?,
        finished_at: time(row, "finished_at")?,
        status: row.get("status")?,
        answer_headers: headers
            .map(|text| from_json(row, "answer_headers", &text))
            .transpose()?
            .unwrap_or_default(),
        answer: row.get("answer")?,
    })
}

fn from_json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: &str,
    text: &str,
) -> rusqlite::Result<T> {
    let column = row.as_ref().column_index(column)?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

/// A time of this column of the outbox, where there is one.
fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    let text: Option<String> = row.get(column)?;
    let read = |text: String| {
        instant_from_text(&text).ok_or_else(|| unknown(&text, ("_windrow_outbox", column)))
    };
    text.map(read).transpose()
}

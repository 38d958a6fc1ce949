//! Changes of the outbox, each one transaction.

use rusqlite::{Connection, OptionalExtension, params};

use crate::definition::{KeyRule, WriteMethod};
use crate::model::{EntryState, Error, Timestamp, Wait, instant_to_text};
use crate::store::waits::{lift_waits, put_wait};

use crate::outbox::store::OPEN_ENTRIES_MAX;
use crate::outbox::store::entry::OutboxEntry;
use crate::outbox::store::open::Outbox;
use crate::outbox::store::read::entry_of;

/// Attempts of one entry that are kept; the first one always is.
const ATTEMPTS_KEPT_MAX: i64 = 500;

/// An entry that is to be queued.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEntry {
    /// The API.
    pub source: String,
    /// Its name, and what the API is told.
    pub key: String,
    /// Where the key goes.
    pub key_rule: Option<KeyRule>,
    /// What it does.
    pub method: WriteMethod,
    /// The API's address.
    pub base_url: String,
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
    /// Whether it is to be filled from another's answer.
    pub templated: bool,
    /// SHA-256 of the request as it was given.
    pub digest: String,
    /// The lane.
    pub lane: Option<String>,
    /// The entry whose success it waits for.
    pub after: Option<i64>,
    /// Not sent before.
    pub not_before: Option<Timestamp>,
    /// Not sent for the first time at or after.
    pub expires_at: Option<Timestamp>,
    /// The sender that queues it.
    pub owner: String,
    /// When.
    pub created_at: Timestamp,
}

/// What became of an entry that was to be queued.
#[derive(Clone, Debug, PartialEq)]
pub enum Added {
    /// It is on the disk under this number.
    New(i64),
    /// It was there already: the same request under the same key.
    Same(Box<OutboxEntry>),
    /// The key belongs to another request; nothing was changed.
    Different(Box<OutboxEntry>),
    /// There are too many open entries; nothing was changed.
    Full,
}

/// An attempt that is about to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptClaim<'a> {
    /// The entry.
    pub entry: i64,
    /// The sender that sends it, which must be its owner.
    pub sender: &'a str,
    /// The entry with its placeholders filled, where it had some.
    pub filled: Option<&'a OutboxEntry>,
    /// From when on the API's memory of the key is counted.
    pub first_sent_at: Timestamp,
    /// Up to when it lasts.
    pub valid_until: Timestamp,
    /// When it begins.
    pub now: Timestamp,
}

/// What is kept of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its harmless headers.
    pub headers: Vec<(String, String)>,
    /// Its body, without secrets.
    pub body: Vec<u8>,
}

/// What an attempt came to, or what a person or a lookup says.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// How far the entry is now.
    pub state: EntryState,
    /// Whether it may have had its effect.
    pub in_doubt: bool,
    /// Whether it is as if it had never been sent: the API's memory of its key counts anew.
    pub afresh: bool,
    /// Whether the attempt never reached a wire and is forgotten.
    pub unsent: bool,
    /// Not tried again before.
    pub next_at: Option<Timestamp>,
    /// The error in words.
    pub note: Option<String>,
    /// The answer's status.
    pub status: Option<u16>,
    /// The answer that is kept: headers and body.
    pub answer: Option<KeptAnswer>,
    /// When.
    pub now: Timestamp,
}

impl Settlement {
    /// An end in the queue, of which nothing is known yet.
    pub fn nothing(now: Timestamp) -> Self {
        Self {
            state: EntryState::Queued,
            in_doubt: false,
            afresh: false,
            unsent: false,
            next_at: None,
            note: None,
            status: None,
            answer: None,
            now,
        }
    }
}

impl Outbox {
    /// Queues entries, all in one transaction; each is new, there already, or refused.
    pub fn add_all(&self, entries: &[NewEntry]) -> Result<Vec<Added>, Error> {
        self.write(|connection| entries.iter().map(|entry| add(connection, entry)).collect())
    }

    /// Keeps a sender that will queue entries, so that others queue for the same one.
    pub fn keep_sender(&self, sender: &str, now: Timestamp) -> Result<(), Error> {
        self.write(|connection| put_sender(connection, sender, now))
    }

    /// Begins an attempt: gives its number and the attempts that the sender has begun, or none
    /// where the entry is no longer there to be sent.
    pub fn claim(&self, claim: &AttemptClaim<'_>) -> Result<Option<(u32, u64)>, Error> {
        self.write(|connection| begin(connection, claim))
    }

    /// Ends an attempt. It changes nothing when the entry is not being sent.
    pub fn settle(&self, entry: i64, end: &Settlement) -> Result<bool, Error> {
        self.write(|connection| {
            let settled = put(connection, entry, EntryState::Sending, end)?;
            if settled {
                end_attempt(connection, entry, end)?;
            }
            Ok(settled)
        })
    }

    /// Changes an entry that is not being sent, if it is still in the state `from`.
    pub fn change(&self, entry: i64, from: EntryState, to: &Settlement) -> Result<bool, Error> {
        self.write(|connection| put(connection, entry, from, to))
    }

    /// Gives an entry another owner, and the address that its source has now.
    pub fn claim_for(
        &self,
        entry: i64,
        sender: &str,
        base_url: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.write(|connection| {
            put_sender(connection, sender, now)?;
            let sql = "UPDATE _windrow_outbox
                SET owner = ?2, base_url = coalesce(?3, base_url)
                WHERE entry = ?1 AND state IN ('queued', 'sending', 'unknown', 'rejected')";
            Ok(connection.execute(sql, params![entry, sender, base_url])? == 1)
        })
    }

    /// Queues an entry that was refused or ran out of time again, under another key, which the API
    /// cannot have an answer to yet.
    pub fn retry(
        &self,
        entry: i64,
        sent_key: &str,
        sender: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.write(|connection| {
            put_sender(connection, sender, now)?;
            let sql = "UPDATE _windrow_outbox
                SET state = 'queued', sent_key = ?2, owner = ?3, in_doubt = 0, first_sent_at = NULL,
                    last_seen_at = NULL, valid_until = NULL, next_at = NULL, finished_at = NULL,
                    expires_at = NULL, status = NULL, answer_headers = NULL, answer = NULL,
                    note = NULL
                WHERE entry = ?1 AND state IN ('rejected', 'expired')";
            Ok(connection.execute(sql, params![entry, sent_key, sender])? == 1)
        })
    }

    /// Removes entries that are over since before `before`, no longer remembered by their API, and
    /// waited for by nobody. Gives how many.
    pub fn prune(&self, before: Timestamp, now: Timestamp, done_only: bool) -> Result<u64, Error> {
        let sql = "DELETE FROM _windrow_outbox
            WHERE state IN ('done', 'rejected', 'expired', 'cancelled')
              AND (NOT ?3 OR state = 'done') AND finished_at < ?1
              AND coalesce(valid_until, '') <= ?2
              AND NOT EXISTS (SELECT 1 FROM _windrow_outbox AS f
                  WHERE f.after_entry = _windrow_outbox.entry)";
        self.write(|connection| {
            let values = params![instant_to_text(before), instant_to_text(now), done_only];
            let mut removed = 0;
            // A chain of entries that waited for each other goes from its end.
            loop {
                match connection.execute(sql, values)? {
                    0 => return Ok(removed),
                    some => removed += some as u64,
                }
            }
        })
    }

    /// Keeps a wait of a source.
    pub fn write_wait(&self, source: &str, wait: &Wait, now: Timestamp) -> Result<(), Error> {
        self.write(|connection| put_wait(connection, source, wait, now))
    }

    /// The same as [`Archive::lift_waits`](crate::store::Archive::lift_waits).
    pub fn lift_waits(&self, sources: &[String], now: Timestamp) -> Result<Vec<String>, Error> {
        self.write(|connection| lift_waits(connection, sources, now))
    }
}

fn put_sender(connection: &Connection, sender: &str, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "INSERT INTO _windrow_outbox_senders (sender, made_at) VALUES (?1, ?2)
        ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute([sender, &instant_to_text(now)]).map(|_| ())
}

fn add(connection: &Connection, new: &NewEntry) -> rusqlite::Result<Added> {
    let sql = "SELECT entry FROM _windrow_outbox WHERE source = ?1 AND key = ?2";
    let have: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row([&new.source, &new.key], |row| row.get(0))
        .optional()?;
    if let Some(entry) = have.map(|have| entry_of(connection, have)).transpose()?.flatten() {
        let same = entry.digest == new.digest;
        let entry = Box::new(entry);
        return Ok(if same { Added::Same(entry) } else { Added::Different(entry) });
    }
    let sql =
        "SELECT count(*) FROM _windrow_outbox WHERE state IN ('queued', 'sending', 'unknown')";
    let open: u64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    if open >= OPEN_ENTRIES_MAX {
        return Ok(Added::Full);
    }
    put_sender(connection, &new.owner, new.created_at)?;
    let sql = "INSERT INTO _windrow_outbox (source, key, sent_key, key_rule, method, base_url,
            path, headers, body, templated, digest, lane, after_entry, not_before, expires_at,
            owner, created_at, state)
        VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
            'queued')";
    connection.prepare_cached(sql)?.execute(params![
        new.source,
        new.key,
        new.key_rule.as_ref().map(json),
        new.method.as_str(),
        new.base_url,
        new.path,
        json(&new.headers),
        new.body,
        new.templated,
        new.digest,
        new.lane,
        new.after,
        new.not_before.map(instant_to_text),
        new.expires_at.map(instant_to_text),
        new.owner,
        instant_to_text(new.created_at),
    ])?;
    Ok(Added::New(connection.last_insert_rowid()))
}

fn begin(
    connection: &Connection,
    claim: &AttemptClaim<'_>,
) -> rusqlite::Result<Option<(u32, u64)>> {
    let now = instant_to_text(claim.now);
    let sql = "UPDATE _windrow_outbox
        SET state = 'sending', attempts = attempts + 1, next_at = NULL, note = NULL,
            last_seen_at = max(coalesce(last_seen_at, ''), ?3),
            first_sent_at = ?6, valid_until = ?4
        WHERE entry = ?1 AND state = 'queued' AND owner = ?2 AND (templated = 0 OR ?5)
        RETURNING attempts";
    let attempt: Option<u32> = connection
        .prepare_cached(sql)?
        .query_row(
            params![
                claim.entry,
                claim.sender,
                now,
                instant_to_text(claim.valid_until),
                claim.filled.is_some(),
                instant_to_text(claim.first_sent_at),
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(attempt) = attempt else { return Ok(None) };
    if let Some(filled) = claim.filled {
        let sql = "UPDATE _windrow_outbox
            SET templated = 0, path = ?2, headers = ?3, body = ?4 WHERE entry = ?1";
        let values = params![claim.entry, filled.path, json(&filled.headers), filled.body];
        connection.prepare_cached(sql)?.execute(values)?;
    }
    let sql = "INSERT INTO _windrow_outbox_attempts (entry, attempt, sent_key, started_at)
        SELECT entry, ?2, sent_key, ?3 FROM _windrow_outbox WHERE entry = ?1";
    connection.prepare_cached(sql)?.execute(params![claim.entry, attempt, now])?;
    let sql = "UPDATE _windrow_outbox_senders SET sends = sends + 1 WHERE sender = ?1
        RETURNING sends";
    let sends = connection.prepare_cached(sql)?.query_row([claim.sender], |row| row.get(0))?;
    Ok(Some((attempt, sends)))
}

fn put(
    connection: &Connection,
    entry: i64,
    from: EntryState,
    to: &Settlement,
) -> rusqlite::Result<bool> {
    let now = instant_to_text(to.now);
    let finished = !matches!(to.state, EntryState::Queued | EntryState::Unknown);
    let (headers, body) = to.answer.as_ref().map(|a| (json(&a.headers), &a.body)).unzip();
    let sql = "UPDATE _windrow_outbox
        SET state = ?3, in_doubt = ?4, next_at = ?5, note = ?6, status = coalesce(?7, status),
            answer_headers = coalesce(?8, answer_headers), answer = coalesce(?9, answer),
            finished_at = ?10,
            attempts = attempts - ?11,
            first_sent_at = CASE WHEN ?12 THEN NULL ELSE first_sent_at END,
            last_seen_at = CASE WHEN ?12 THEN NULL
                ELSE nullif(max(coalesce(last_seen_at, ''), ?13), '') END,
            valid_until = CASE WHEN ?12 THEN NULL ELSE valid_until END
        WHERE entry = ?1 AND state = ?2";
    let changed = connection.prepare_cached(sql)?.execute(params![
        entry,
        from.as_str(),
        to.state.as_str(),
        to.in_doubt,
        to.next_at.map(instant_to_text),
        to.note,
        to.status,
        headers,
        body,
        finished.then_some(&now),
        i64::from(to.unsent),
        to.afresh,
        now,
    ])?;
    Ok(changed == 1)
}

fn end_attempt(connection: &Connection, entry: i64, end: &Settlement) -> rusqlite::Result<()> {
    let last = "(SELECT max(attempt) FROM _windrow_outbox_attempts WHERE entry = ?1)";
    if end.unsent {
        let sql =
            format!("DELETE FROM _windrow_outbox_attempts WHERE entry = ?1 AND attempt = {last}");
        connection.prepare_cached(&sql)?.execute([entry])?;
        return Ok(());
    }
    let sql = format!(
        "UPDATE _windrow_outbox_attempts SET ended_at = ?2, status = ?3, error = ?4
         WHERE entry = ?1 AND attempt = {last}"
    );
    let values = params![entry, instant_to_text(end.now), end.status, end.note];
    connection.prepare_cached(&sql)?.execute(values)?;
    let sql = format!(
        "DELETE FROM _windrow_outbox_attempts
         WHERE entry = ?1 AND attempt > 1 AND attempt <= {last} - ?2"
    );
    connection.prepare_cached(&sql)?.execute(params![entry, ATTEMPTS_KEPT_MAX]).map(|_| ())
}

/// What is written here always has a JSON form.
fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

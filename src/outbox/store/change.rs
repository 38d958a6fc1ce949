//! Changes of the outbox, in transactions.

use rusqlite::{OptionalExtension, named_params};

use crate::definition::{KeyRule, WriteMethod};
use crate::model::{EntryState, Error, Timestamp, instant_to_text};
use crate::store::row::only;
use crate::store::runs::forget_manifest;
use crate::store::transaction::Tx;

use crate::outbox::store::OPEN_ENTRIES_MAX;
use crate::outbox::store::entry::OutboxEntry;
use crate::outbox::store::read::entry_of;

/// Attempts of one entry that are kept; the first one always is: an entry that is tried for weeks
/// must not fill the archive.
const ATTEMPTS_KEPT_MAX: i64 = 500;

/// An entry that is to be queued.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEntry {
    pub source: String,
    /// The key that tells it from all other entries; the API is told it.
    pub key: String,
    /// Where the key goes.
    pub key_rule: Option<KeyRule>,
    pub method: WriteMethod,
    /// The base address of the source when it is queued.
    pub base_url: String,
    /// Path and query, without the key.
    pub path: String,
    /// Name and value of each header.
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// Whether it is to be filled from another's answer.
    pub templated: bool,
    /// SHA-256 of the request as it was given.
    pub digest: String,
    /// None where it waits for no other entry.
    pub lane: Option<String>,
    /// The entry whose success it waits for.
    pub after: Option<i64>,
    /// The earliest time at which it is sent.
    pub not_before: Option<Timestamp>,
    /// Not sent for the first time at or after.
    pub expires_at: Option<Timestamp>,
    /// The sender that queues it.
    pub owner: String,
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
    pub entry: i64,
    /// The sender that sends it, which must be its owner.
    pub sender: &'a str,
    /// The entry with its placeholders filled, where it had some.
    pub filled: Option<&'a OutboxEntry>,
    /// From when on the API's memory of the key is counted.
    pub first_sent_at: Timestamp,
    /// Up to when it lasts.
    pub valid_until: Timestamp,
    pub now: Timestamp,
}

/// What is kept of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The headers that may be kept: none that could hold a credential.
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
    /// The status of the answer; none where none came.
    pub status: Option<u16>,
    /// The answer that is kept: headers and body.
    pub answer: Option<KeptAnswer>,
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

impl Tx<'_> {
    /// Queues entries; each is new, there already, or refused.
    pub fn add_all(&self, entries: &[NewEntry]) -> Result<Vec<Added>, Error> {
        self.run(|_| entries.iter().map(|entry| add(self, entry)).collect())
    }

    /// Keeps a sender that will queue entries, so that others queue for the same one.
    pub fn keep_sender(&self, sender: &str, now: Timestamp) -> Result<(), Error> {
        self.run(|_| put_sender(self, sender, now))
    }

    /// Begins an attempt: gives its number and the attempts that the sender has begun, or none
    /// where the entry is no longer there to be sent.
    pub fn claim(&self, claim: &AttemptClaim<'_>) -> Result<Option<(u32, u64)>, Error> {
        self.run(|_| begin(self, claim))
    }

    /// Ends an attempt. It changes nothing when the entry is not being sent.
    pub fn settle(&self, entry: i64, end: &Settlement) -> Result<bool, Error> {
        self.run(|_| {
            let settled = put(self, entry, EntryState::Sending, end)?;
            if settled {
                end_attempt(self, entry, end)?;
            }
            Ok(settled)
        })
    }

    /// Changes an entry that is not being sent, if it is still in the state `from`.
    pub fn change(&self, entry: i64, from: EntryState, to: &Settlement) -> Result<bool, Error> {
        self.run(|_| put(self, entry, from, to))
    }

    /// Gives an entry another owner, and the address that its source has now.
    pub fn claim_for(
        &self,
        entry: i64,
        sender: &str,
        base_url: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.run(|connection| {
            put_sender(self, sender, now)?;
            let sql = "UPDATE _windrow_outbox
                SET owner = :sender, base_url = coalesce(:base_url, base_url)
                WHERE entry = :entry AND state IN ('queued', 'sending', 'unknown', 'rejected')";
            Ok(connection.execute(
                sql,
                named_params! { ":entry": entry, ":sender": sender, ":base_url": base_url },
            )? == 1)
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
        self.run(|connection| {
            put_sender(self, sender, now)?;
            let sql = "UPDATE _windrow_outbox
                SET state = 'queued', sent_key = :sent_key, owner = :sender, in_doubt = 0,
                first_sent_at = NULL,
                    last_seen_at = NULL, valid_until = NULL, next_at = NULL, finished_at = NULL,
                    expires_at = NULL, status = NULL, answer_headers = NULL, answer = NULL,
                    note = NULL
                WHERE entry = :entry AND state IN ('rejected', 'expired')";
            Ok(connection.execute(
                sql,
                named_params! { ":entry": entry, ":sent_key": sent_key, ":sender": sender },
            )? == 1)
        })
    }

    /// Removes entries that are over since before `before`, no longer remembered by their API, and
    /// waited for by nobody. Gives how many.
    pub fn prune(&self, before: Timestamp, now: Timestamp, done_only: bool) -> Result<u64, Error> {
        let sql = "DELETE FROM _windrow_outbox
            WHERE state IN ('done', 'rejected', 'expired', 'cancelled')
              AND (NOT :done_only OR state = 'done') AND finished_at < :before
              AND coalesce(valid_until, '') <= :now
              AND NOT EXISTS (SELECT 1 FROM _windrow_outbox AS f
                  WHERE f.after_entry = _windrow_outbox.entry)";
        self.run(|connection| {
            let values = named_params! {
                ":before": instant_to_text(before),
                ":now": instant_to_text(now),
                ":done_only": done_only,
            };
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
}

fn put_sender(tx: &Tx<'_>, sender: &str, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "INSERT INTO _windrow_outbox_senders (sender, made_at) VALUES (:sender, :now)
        ON CONFLICT DO NOTHING";
    let made = tx
        .connection
        .prepare_cached(sql)?
        .execute(named_params! { ":sender": sender, ":now": &instant_to_text(now) })?;
    if made > 0 {
        // Who sends from a hand-off works in it: it is no longer what was given.
        forget_manifest(&tx.connection)?;
    }
    Ok(())
}

fn add(tx: &Tx<'_>, new: &NewEntry) -> rusqlite::Result<Added> {
    let sql = "SELECT entry FROM _windrow_outbox WHERE source = :source AND key = :key";
    let have: Option<i64> = tx
        .connection
        .prepare_cached(sql)?
        .query_row(named_params! { ":source": &new.source, ":key": &new.key }, only)
        .optional()?;
    if let Some(entry) = have.map(|have| entry_of(&tx.connection, have)).transpose()?.flatten() {
        let same = entry.digest == new.digest;
        let entry = Box::new(entry);
        return Ok(if same { Added::Same(entry) } else { Added::Different(entry) });
    }
    let sql =
        "SELECT count(*) FROM _windrow_outbox WHERE state IN ('queued', 'sending', 'unknown')";
    let open: u64 = tx.connection.prepare_cached(sql)?.query_row([], only)?;
    if open >= OPEN_ENTRIES_MAX {
        return Ok(Added::Full);
    }
    put_sender(tx, &new.owner, new.created_at)?;
    let sql = "INSERT INTO _windrow_outbox (source, key, sent_key, key_rule, method, base_url,
            path, headers, body, templated, digest, lane, after_entry, not_before, expires_at,
            owner, created_at, state)
        VALUES (:source, :key, :key, :key_rule, :method, :base_url, :path, :headers, :body,
        :templated, :digest, :lane, :after, :not_before, :expires_at, :owner, :created_at,
            'queued')";
    tx.connection.prepare_cached(sql)?.execute(named_params! {
        ":source": new.source,
        ":key": new.key,
        ":key_rule": new.key_rule.as_ref().map(json),
        ":method": new.method.as_str(),
        ":base_url": new.base_url,
        ":path": new.path,
        ":headers": json(&new.headers),
        ":body": new.body,
        ":templated": new.templated,
        ":digest": new.digest,
        ":lane": new.lane,
        ":after": new.after,
        ":not_before": new.not_before.map(instant_to_text),
        ":expires_at": new.expires_at.map(instant_to_text),
        ":owner": new.owner,
        ":created_at": instant_to_text(new.created_at),
    })?;
    Ok(Added::New(tx.connection.last_insert_rowid()))
}

fn begin(tx: &Tx<'_>, claim: &AttemptClaim<'_>) -> rusqlite::Result<Option<(u32, u64)>> {
    let now = instant_to_text(claim.now);
    let sql = "UPDATE _windrow_outbox
        SET state = 'sending', attempts = attempts + 1, next_at = NULL, note = NULL,
            last_seen_at = max(coalesce(last_seen_at, ''), :now),
            first_sent_at = :first_sent_at, valid_until = :valid_until
        WHERE entry = :entry AND state = 'queued' AND owner = :sender AND (templated = 0 OR :filled)
        RETURNING attempts";
    let attempt: Option<u32> = tx
        .connection
        .prepare_cached(sql)?
        .query_row(
            named_params! {
                ":entry": claim.entry,
                ":sender": claim.sender,
                ":now": now,
                ":valid_until": instant_to_text(claim.valid_until),
                ":filled": claim.filled.is_some(),
                ":first_sent_at": instant_to_text(claim.first_sent_at),
            },
            only,
        )
        .optional()?;
    let Some(attempt) = attempt else { return Ok(None) };
    if let Some(filled) = claim.filled {
        let sql = "UPDATE _windrow_outbox
            SET templated = 0, path = :path, headers = :headers, body = :body WHERE entry = :entry";
        let values = named_params! {
            ":entry": claim.entry,
            ":path": filled.path,
            ":headers": json(&filled.headers),
            ":body": filled.body,
        };
        tx.connection.prepare_cached(sql)?.execute(values)?;
    }
    let sql = "INSERT INTO _windrow_outbox_attempts (entry, attempt, sent_key, started_at)
        SELECT entry, :attempt, sent_key, :now FROM _windrow_outbox WHERE entry = :entry";
    tx.connection
        .prepare_cached(sql)?
        .execute(named_params! { ":entry": claim.entry, ":attempt": attempt, ":now": now })?;
    let sql = "UPDATE _windrow_outbox_senders SET sends = sends + 1 WHERE sender = :sender
        RETURNING sends";
    let sends = tx
        .connection
        .prepare_cached(sql)?
        .query_row(named_params! { ":sender": claim.sender }, only)?;
    Ok(Some((attempt, sends)))
}

fn put(tx: &Tx<'_>, entry: i64, from: EntryState, to: &Settlement) -> rusqlite::Result<bool> {
    let now = instant_to_text(to.now);
    let finished = !matches!(to.state, EntryState::Queued | EntryState::Unknown);
    let (headers, body) = to.answer.as_ref().map(|a| (json(&a.headers), &a.body)).unzip();
    let sql = "UPDATE _windrow_outbox
        SET state = :state, in_doubt = :in_doubt, next_at = :next_at, note = :note, status =
        coalesce(:status, status),
            answer_headers = coalesce(:headers, answer_headers), answer = coalesce(:body, answer),
            finished_at = :finished,
            attempts = attempts - :unsent,
            first_sent_at = CASE WHEN :afresh THEN NULL ELSE first_sent_at END,
            last_seen_at = CASE WHEN :afresh THEN NULL
                ELSE nullif(max(coalesce(last_seen_at, ''), :now), '') END,
            valid_until = CASE WHEN :afresh THEN NULL ELSE valid_until END
        WHERE entry = :entry AND state = :from";
    let changed = tx.connection.prepare_cached(sql)?.execute(named_params! {
        ":entry": entry,
        ":from": from.as_str(),
        ":state": to.state.as_str(),
        ":in_doubt": to.in_doubt,
        ":next_at": to.next_at.map(instant_to_text),
        ":note": to.note,
        ":status": to.status,
        ":headers": headers,
        ":body": body,
        ":finished": finished.then_some(&now),
        ":unsent": i64::from(to.unsent),
        ":afresh": to.afresh,
        ":now": now,
    })?;
    Ok(changed == 1)
}

fn end_attempt(tx: &Tx<'_>, entry: i64, end: &Settlement) -> rusqlite::Result<()> {
    let last = "(SELECT max(attempt) FROM _windrow_outbox_attempts WHERE entry = :entry)";
    if end.unsent {
        let sql = format!(
            "DELETE FROM _windrow_outbox_attempts WHERE entry = :entry AND attempt =
                {last}"
        );
        tx.connection.prepare_cached(&sql)?.execute(named_params! { ":entry": entry })?;
        return Ok(());
    }
    let sql = format!(
        "UPDATE _windrow_outbox_attempts SET ended_at = :now, status = :status, error = :note
         WHERE entry = :entry AND attempt = {last}"
    );
    let values = named_params! {
        ":entry": entry,
        ":now": instant_to_text(end.now),
        ":status": end.status,
        ":note": end.note,
    };
    tx.connection.prepare_cached(&sql)?.execute(values)?;
    let sql = format!(
        "DELETE FROM _windrow_outbox_attempts
         WHERE entry = :entry AND attempt > 1 AND attempt <= {last} - :kept"
    );
    tx.connection
        .prepare_cached(&sql)?
        .execute(named_params! { ":entry": entry, ":kept": ATTEMPTS_KEPT_MAX })
        .map(|_| ())
}

/// What is written here always has a JSON form.
fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

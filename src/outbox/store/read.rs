//! Looking into the outbox; changes nothing.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, named_params};
use serde::Serialize;

use crate::model::{EntryState, Error, Timestamp};
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::waits::{WaitRow, renew_waits};

use crate::outbox::store::entry::{
    BRIEF, FROM, MORE, OutboxAttempt, OutboxBrief, OutboxEntry, SenderIdentity, brief, entry,
};
use crate::outbox::store::open::Outbox;
use crate::store::row::named;

/// Entries of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OutboxCount {
    pub state: EntryState,
    /// Whether they went along with a hand-off, and are sent from there.
    pub moved: bool,
    pub entries: u64,
}

/// What changes when a request is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueMark {
    /// Requests that wait to be sent from here.
    pub queued: u64,
    /// The number of the newest entry; absent where there is none.
    pub newest: Option<i64>,
}

impl Reader {
    /// How the outbox stands, to be compared with how it stood.
    pub fn queue_mark(&self) -> Result<QueueMark, Error> {
        let sql = "SELECT count(*) FILTER (WHERE state = 'queued' AND owner NOT GLOB 'moved:*')
                AS queued, max(entry) AS newest
            FROM _windrow_outbox";
        self.run(|connection| {
            connection.query_row(sql, [], |row| {
                Ok(QueueMark { queued: row.get("queued")?, newest: row.get("newest")? })
            })
        })
    }

    /// The entries that a plan is made of: those of which something is still to come, and the
    /// rejected ones, which may hold up their lanes. The oldest first.
    pub fn outbox_open(&self) -> Result<Vec<OutboxBrief>, Error> {
        self.run(open_entries)
    }

    /// The newest entries, of one state or of all, at most `most`.
    pub fn outbox_list(
        &self,
        state: Option<EntryState>,
        most: u32,
    ) -> Result<Vec<OutboxBrief>, Error> {
        self.run(|connection| list(connection, state, most))
    }

    /// The entry of that number.
    pub fn outbox_entry(&self, number: i64) -> Result<Option<OutboxEntry>, Error> {
        self.run(|connection| entry_of(connection, number))
    }

    /// The numbers of the entries of that key, of one source or of all.
    pub fn outbox_find(&self, key: &str, source: Option<&str>) -> Result<Vec<i64>, Error> {
        self.run(|connection| find(connection, key, source))
    }

    /// The attempts of an entry, the first one first.
    pub fn outbox_attempts(&self, entry: i64) -> Result<Vec<OutboxAttempt>, Error> {
        self.run(|connection| attempts(connection, entry))
    }

    /// How many entries there are of each state that there is.
    pub fn outbox_counts(&self) -> Result<Vec<OutboxCount>, Error> {
        self.run(counts)
    }

    /// The senders in the archive, in the order in which they were made.
    pub fn outbox_senders(&self) -> Result<Vec<SenderIdentity>, Error> {
        self.run(senders)
    }

    /// Until when sources must not be asked, where that is still to come.
    pub fn waits_to_come(&self, now: Timestamp) -> Result<BTreeMap<String, Timestamp>, Error> {
        Ok(to_come(self.waits()?, now))
    }
}

impl Outbox {
    /// A number that is another one once somebody else has written to the archive.
    pub fn changes(&self) -> Result<i64, Error> {
        self.run(|connection| connection.query_row("PRAGMA data_version", [], only))
    }

    /// The same as [`Reader::waits_to_come`]. From here on, waits that were noted by a clock which
    /// has been set back since are counted by the clock as it is: else they would not end before
    /// it has caught up.
    pub fn take_waits(&self, now: Timestamp) -> Result<BTreeMap<String, Timestamp>, Error> {
        let noted = self.waits()?;
        if noted.iter().any(|wait| wait.is_of_later(now)) {
            self.transaction(|tx| tx.run(|_| renew_waits(tx, &noted, now)))?;
        }
        Ok(to_come(noted, now))
    }
}

fn to_come(noted: Vec<WaitRow>, now: Timestamp) -> BTreeMap<String, Timestamp> {
    let held = |wait: WaitRow| wait.held(now).map(|held| (wait.source, held.until));
    noted.into_iter().filter_map(held).collect()
}

fn open_entries(connection: &Connection) -> rusqlite::Result<Vec<OutboxBrief>> {
    let sql = format!(
        "SELECT {BRIEF} {FROM}
         WHERE e.state IN ('queued', 'sending', 'unknown', 'rejected') ORDER BY e.entry"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], brief)?;
    rows.collect()
}

fn list(
    connection: &Connection,
    state: Option<EntryState>,
    most: u32,
) -> rusqlite::Result<Vec<OutboxBrief>> {
    let sql = format!(
        "SELECT {BRIEF} {FROM} WHERE :state IS NULL OR e.state = :state ORDER BY e.entry DESC LIMIT
            :most"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(
        named_params! { ":state": state.map(EntryState::as_str), ":most": most },
        brief,
    )?;
    rows.collect()
}

pub(crate) fn entry_of(
    connection: &Connection,
    number: i64,
) -> rusqlite::Result<Option<OutboxEntry>> {
    let sql = format!("SELECT {BRIEF}, {MORE} {FROM} WHERE e.entry = :number");
    connection
        .prepare_cached(&sql)?
        .query_row(named_params! { ":number": number }, entry)
        .optional()
}

fn find(connection: &Connection, key: &str, source: Option<&str>) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT entry FROM _windrow_outbox
        WHERE key = :key AND (:source IS NULL OR source = :source) ORDER BY entry";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(named_params! { ":key": key, ":source": source }, only)?;
    rows.collect()
}

fn attempts(connection: &Connection, entry: i64) -> rusqlite::Result<Vec<OutboxAttempt>> {
    let sql = "SELECT attempt, sent_key, started_at, ended_at, status, error
        FROM _windrow_outbox_attempts WHERE entry = :entry ORDER BY attempt";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(named_params! { ":entry": entry }, |row| {
        Ok(OutboxAttempt {
            attempt: row.get("attempt")?,
            sent_key: row.get("sent_key")?,
            started_at: row.get("started_at")?,
            ended_at: row.get("ended_at")?,
            status: row.get("status")?,
            fault: row.get("error")?,
        })
    })?;
    rows.collect()
}

fn counts(connection: &Connection) -> rusqlite::Result<Vec<OutboxCount>> {
    let sql = format!(
        "SELECT state, is_away, count(*) AS entries FROM (SELECT {BRIEF} {FROM})
         GROUP BY state, is_away"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], |row| {
        let state = named(row, "state", ("_windrow_outbox", "state"))?;
        Ok(OutboxCount { state, moved: row.get("is_away")?, entries: row.get("entries")? })
    })?;
    rows.collect()
}

fn senders(connection: &Connection) -> rusqlite::Result<Vec<SenderIdentity>> {
    let sql = "SELECT sender, sends FROM _windrow_outbox_senders ORDER BY made_at, sender";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(SenderIdentity { sender: row.get("sender")?, sends: row.get("sends")? })
    })?;
    rows.collect()
}

//! Waits that sources imposed, as they are noted.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::Serialize;

use crate::model::{Error, Timestamp, Wait, instant_from_text, instant_to_text};

use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::transaction::Tx;

/// A source that said "not before".
#[derive(Clone, Debug, Serialize)]
pub struct WaitRow {
    pub source: String,
    /// When it may be asked again.
    pub not_before: String,
    /// The words of the source's answer, or of the rule that imposed it.
    pub reason: String,
    /// When the wait was noted, by this machine's clock.
    #[serde(skip)]
    pub set_at: String,
}

impl WaitRow {
    const SELECT: &str = "SELECT source, not_before, reason, set_at FROM _windrow_waits";

    fn of(row: &Row<'_>) -> rusqlite::Result<WaitRow> {
        let (source, not_before) = (row.get("source")?, row.get("not_before")?);
        Ok(WaitRow { source, not_before, reason: row.get("reason")?, set_at: row.get("set_at")? })
    }

    /// The wait as far as it holds, whoever noted it: see [`Wait::noted`].
    pub fn held(&self, now: Timestamp) -> Option<Wait> {
        let set_at = instant_from_text(&self.set_at);
        Wait::noted(&self.source, instant_from_text(&self.not_before)?, set_at, &self.reason, now)
    }

    /// Whether the clock has been set back since it was noted.
    pub(crate) fn is_of_later(&self, now: Timestamp) -> bool {
        instant_from_text(&self.set_at).is_some_and(|set_at| set_at > now)
    }

    /// The same for people: until when it holds, and why.
    pub fn shown(self, now: Timestamp) -> Option<WaitRow> {
        let Wait { until, reason } = self.held(now)?;
        Some(WaitRow { not_before: instant_to_text(until), reason, ..self })
    }
}

impl Tx<'_> {
    /// Keeps a wait of a source.
    pub fn write_wait(&self, source: &str, wait: &Wait, now: Timestamp) -> Result<(), Error> {
        put_wait(self, source, wait, now).map_err(at(&self.path))
    }
}

impl Reader {
    /// Sources that once must not be asked before some time, as it was noted.
    pub fn waits(&self) -> Result<Vec<WaitRow>, Error> {
        self.run(waits)
    }

    /// Sources that must not be asked at `now`.
    pub fn waits_held(&self, now: Timestamp) -> Result<Vec<WaitRow>, Error> {
        Ok(self.waits()?.into_iter().filter_map(|wait| wait.shown(now)).collect())
    }
}

pub(crate) fn waits(connection: &Connection) -> rusqlite::Result<Vec<WaitRow>> {
    let mut statement =
        connection.prepare_cached(&format!("{} ORDER BY source", WaitRow::SELECT))?;
    let rows = statement.query_map([], WaitRow::of)?;
    rows.collect()
}

/// From here on, waits that were noted by a clock which has been set back since are counted by the
/// clock as it is: else they would not end before it has caught up.
pub(crate) fn renew_waits(tx: &Tx<'_>, noted: &[WaitRow], now: Timestamp) -> rusqlite::Result<()> {
    for wait in noted.iter().filter(|wait| wait.is_of_later(now)) {
        if let Some(held) = wait.held(now) {
            put_wait(tx, &wait.source, &held, now)?;
        }
    }
    Ok(())
}

/// Keeps the later of two waits, each as far as it holds, and the newer of two clocks' words.
pub(crate) fn put_wait(
    tx: &Tx<'_>,
    source: &str,
    wait: &Wait,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = format!("{} WHERE source = :source", WaitRow::SELECT);
    let have = tx
        .connection
        .prepare_cached(&sql)?
        .query_row(named_params! { ":source": source }, WaitRow::of)
        .optional()?;
    let stays = |have: &WaitRow| {
        let held = have.held(now).is_some_and(|held| held.until >= wait.until);
        held && !have.is_of_later(now)
    };
    if have.as_ref().is_some_and(stays) {
        return Ok(());
    }
    let sql = "INSERT INTO _windrow_waits (source, not_before, reason, set_at)
        VALUES (:source, :until, :reason, :now)
        ON CONFLICT (source) DO UPDATE SET not_before = excluded.not_before,
            reason = excluded.reason, set_at = excluded.set_at";
    let values = named_params! {
        ":source": source,
        ":until": instant_to_text(wait.until),
        ":reason": wait.reason,
        ":now": instant_to_text(now),
    };
    tx.connection.prepare_cached(sql)?.execute(values).map(|_| ())
}

/// Forgets the wait of a source; tells whether it held.
pub(crate) fn lift_wait(
    connection: &Connection,
    source: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = format!("{} WHERE source = :source", WaitRow::SELECT);
    let have = connection
        .prepare_cached(&sql)?
        .query_row(named_params! { ":source": source }, WaitRow::of)
        .optional()?;
    let sql = "DELETE FROM _windrow_waits WHERE source = :source";
    connection.prepare_cached(sql)?.execute(named_params! { ":source": source })?;
    Ok(have.is_some_and(|have| have.held(now).is_some()))
}

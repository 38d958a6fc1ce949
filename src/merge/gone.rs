//! Rows that one archive has seen go: whether they are gone is decided as between two contents.

use std::cmp::Ordering;

use rusqlite::{Connection, OptionalExtension, named_params, params_from_iter};

use crate::definition::Scalar;
use crate::merge::stream_policy::MergePolicy;
use crate::merge::{ReadBy, RowClaim};

use crate::merge::copy::{Copy, number, text};
use crate::merge::fill::Fills;
use crate::merge::literal::parse_key;
use crate::merge::rows::{FoundRow, RowCounts, claim};
use crate::merge::shape::{Pair, has_column};
use crate::merge::tables::{Taking, fetch_of};
use crate::model::Error;
use crate::store::content::Content;
use crate::store::sql::{history_name, quote};
use crate::store::value::Value;

/// A row that was deleted, since two complete fetches missed it.
pub(crate) struct Deletion {
    /// It has the version of the row that was there.
    pub claim: RowClaim,
    pub changed_at: String,
    /// By that archive's numbers.
    pub run: i64,
}

impl Taking<'_> {
    /// What this archive knows of the row's deletion.
    pub(crate) fn our_deletion(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        values: &[Value],
    ) -> rusqlite::Result<Option<Deletion>> {
        let sql = "SELECT changed_at, run_id FROM _windrow_vanished
            WHERE stream = :stream AND key = :key AND state = 'deleted'";
        let key = self.key_text(pair, values)?;
        let found: Option<(String, i64)> = self
            .ours()
            .prepare_cached(sql)?
            .query_row(named_params! { ":stream": &pair.stream, ":key": &key }, |row| {
                Ok((row.get("changed_at")?, row.get("run_id")?))
            })
            .optional()?;
        let Some((changed_at, run)) = found else { return Ok(None) };
        let side = (pair.our_list(), None);
        let version = last_version(self.ours(), pair, &side, judge, values)?;
        let read = (*self.merge.fetch(run)?).clone();
        let claim = RowClaim { version, read, digest: Content::gone().digest };
        Ok(Some(Deletion { claim, changed_at, run }))
    }

    pub(crate) fn forget_deletion(&self, pair: &Pair, key: &str) -> rusqlite::Result<()> {
        let sql = "DELETE FROM _windrow_vanished WHERE stream = :stream AND key = :key";
        self.ours()
            .prepare_cached(sql)?
            .execute(named_params! { ":stream": &pair.stream, ":key": key })
            .map(|_| ())
    }

    /// Takes what the other knows of rows that are gone: deletions, marks, and rows that a person
    /// brought back. What was missed once is its own work in progress. After the rows and before
    /// the history.
    pub fn take_vanished(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        counts: &mut RowCounts,
    ) -> Result<(), Error> {
        self.each_vanished(pair, judge, counts).map_err(self.wrong())
    }

    fn each_vanished(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        counts: &mut RowCounts,
    ) -> rusqlite::Result<()> {
        let condition = "stream = :stream AND state IN ('deleted', 'marked', 'kept')";
        let copy = Copy::of(self.ours(), "_windrow_vanished", condition)?;
        let (key, state) = (copy.place("key"), copy.place("state"));
        let (changed_at, run) = (copy.place("changed_at"), copy.place("run_id"));
        let first_run = copy.place("first_missed_by");
        let side = pair.their_side(self.theirs, &history_name(&pair.stream), judge)?;
        copy.each(self.theirs, named_params! { ":stream": &pair.stream }, &mut |mut row| {
            let Some(values) = parse_key(text(&row[key])).and_then(|key| placed(pair, key)) else {
                return Ok(());
            };
            let their_run = number(&row[run]);
            row[run] = Value::Integer(self.known(their_run).run);
            row[first_run] = Value::Integer(self.known(number(&row[first_run])).run);
            if text(&row[state]) != "deleted" {
                return self.note_vanished(pair, &values, &copy, &row);
            }
            let version = last_version(self.theirs, pair, &side, judge, &values)?;
            let read = (*self.known(their_run).read).clone();
            let gone = Deletion {
                claim: RowClaim { version, read, digest: Content::gone().digest },
                changed_at: text(&row[changed_at]).to_owned(),
                run: number(&row[run]),
            };
            if self.delete(pair, judge, &values, &gone)? {
                counts.deleted += u64::from(self.put_vanished(&copy, &row)?);
            }
            Ok(())
        })
    }

    /// Whether the row is gone by the other's word and not by ours.
    fn delete(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        values: &[Value],
        gone: &Deletion,
    ) -> rusqlite::Result<bool> {
        let Some(row) = self.our_row(pair, values)? else {
            let ours = self.our_deletion(pair, judge, values)?;
            return Ok(ours.is_none_or(|ours| {
                judge.order_fetches(&ours.claim.read, &gone.claim.read) == Ordering::Less
            }));
        };
        let content = Content::of(&pair.columns, &row.values);
        let key = self.key_text(pair, values)?;
        let by = crate::merge::rows::confirmed_by(self.ours(), pair, &key, row.run)?;
        let read = (*self.merge.fetch(by.unwrap_or(row.run))?).clone();
        let ours = claim(pair, &row.values, &content, read);
        if judge.order(&ours, &gone.claim) != Ordering::Less {
            return Ok(false);
        }
        self.remove(pair, &row, gone)?;
        Ok(true)
    }

    /// The row leaves the table; its last version stays in the stream's history.
    fn remove(&self, pair: &Pair, row: &FoundRow, gone: &Deletion) -> rusqlite::Result<()> {
        let (table, history) = (quote(&pair.stream), history_name(&pair.stream));
        if !has_column(self.ours(), &history, "_replaced_at")? {
            return Ok(());
        }
        let names = format!(
            "{}, \"_first_seen_at\", \"_changed_at\", \"_revision\", \"_run\"",
            pair.names()
        );
        let keep = format!(
            "INSERT INTO main.{} ({names}, \"_replaced_at\", \"_replaced_run\")
             SELECT {names}, max(\"_changed_at\", :changed_at), max(\"_run\", :run)
             FROM main.{table}
             WHERE _rowid_ = :rowid",
            quote(&history)
        );
        let values =
            named_params! { ":rowid": row.rowid, ":changed_at": gone.changed_at, ":run": gone.run };
        self.ours().prepare_cached(&keep)?.execute(values)?;
        let delete = format!("DELETE FROM main.{table} WHERE _rowid_ = :rowid");
        self.ours()
            .prepare_cached(&delete)?
            .execute(named_params! { ":rowid": row.rowid })
            .map(|_| ())
    }

    /// A note on a row that is there and says the same as the other's.
    fn note_vanished(
        &self,
        pair: &Pair,
        values: &[Value],
        copy: &Copy,
        row: &[Value],
    ) -> rusqlite::Result<()> {
        if self.our_row(pair, values)?.is_some() {
            self.put_vanished(copy, row)?;
        }
        Ok(())
    }

    /// Of two notes on one row the later stays.
    fn put_vanished(&self, copy: &Copy, row: &[Value]) -> rusqlite::Result<bool> {
        let names: Vec<String> = copy.columns.iter().map(|name| quote(name)).collect();
        let parameters: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
        let own = ["stream", "key"];
        let changing = copy.columns.iter().filter(|name| !own.contains(&name.as_str()));
        let sets: Vec<String> = changing.map(|name| format!("{name} = excluded.{name}")).collect();
        let sql = format!(
            "INSERT INTO _windrow_vanished ({}) VALUES ({}) ON CONFLICT (stream, key)
             DO UPDATE SET {} WHERE excluded.state = 'deleted' AND state <> 'deleted'
                OR excluded.changed_at > changed_at",
            names.join(", "),
            parameters.join(", "),
            sets.join(", ")
        );
        let put = self.ours().prepare_cached(&sql)?.execute(params_from_iter(row))? > 0;
        if put {
            self.bring(number(&row[copy.place("run_id")]))?;
        }
        Ok(put)
    }
}

/// A row of nulls with this key.
pub(crate) fn placed(pair: &Pair, key: Vec<Value>) -> Option<Vec<Value>> {
    let places = pair.key_places();
    if places.len() != key.len() {
        return None;
    }
    let mut values = vec![Value::Null; pair.columns.len()];
    for (place, value) in places.into_iter().zip(key) {
        values[place] = value;
    }
    Some(values)
}

/// The version of the greatest of the versions that a key has had.
fn last_version(
    connection: &Connection,
    pair: &Pair,
    (list, fills): &(String, Option<Fills<'_>>),
    judge: &MergePolicy<'_>,
    values: &[Value],
) -> rusqlite::Result<Scalar> {
    let history = history_name(&pair.stream);
    if pair.version.is_none() || !has_column(connection, &history, "_replaced_at")? {
        return Ok(Scalar::Null);
    }
    let sql = format!("SELECT {list} FROM main.{} WHERE {}", quote(&history), pair.by_key(1));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(pair.key_values(values)))?;
    let mut last: Option<RowClaim> = None;
    while let Some(row) = rows.next()? {
        let mut found = FoundRow::of(row, pair.columns.len())?;
        if let Some(fills) = fills {
            fills.fill(&mut found.values);
        }
        let content = Content::of(&pair.columns, &found.values);
        let read: ReadBy = fetch_of(connection, found.run)?;
        let claim = claim(pair, &found.values, &content, read);
        if last.as_ref().is_none_or(|last| judge.order(last, &claim) == Ordering::Less) {
            last = Some(claim);
        }
    }
    Ok(last.map_or(Scalar::Null, |claim| claim.version))
}

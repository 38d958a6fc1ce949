//! Versions that lost: in the stream's history, with the time for which they stood, or set aside
//! where the stream has none.

use rusqlite::{named_params, params_from_iter};

use crate::merge::RowVersion;
use crate::merge::stream_policy::MergePolicy;
use crate::store::history::history_from;
use crate::store::sql::{history_name, quote};
use crate::store::value::Value;

use crate::merge::rows::{FoundRow, claim, confirmed_by};
use crate::merge::shape::{Pair, has_column};
use crate::merge::tables::Taking;
use crate::model::Error;
use crate::store::content::Content;

/// An end that is not known yet: the versions of the key are cut against each other next.
const OPEN_END: &str = "9999-12-31T23:59:59+00:00";

/// When and by which run a version was replaced.
struct Until<'u>(&'u str, i64);

impl Taking<'_> {
    /// Keeps a row of the other's that does not stand here.
    pub(crate) fn keep_their_loser(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        mut row: FoundRow,
        content: &Content,
        key: &str,
    ) -> rusqlite::Result<()> {
        row.run = self.known(row.run).run;
        self.keep_our_loser(pair, judge, row, content, key)
    }

    /// Keeps a row that does not stand any more; its run is one of this archive's.
    pub(crate) fn keep_our_loser(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        row: FoundRow,
        content: &Content,
        key: &str,
    ) -> rusqlite::Result<()> {
        if !pair.history {
            // What a deletion has put into the history is kept already.
            return match self.history_holds(pair, &row.values, &content.digest)? {
                true => Ok(()),
                false => self.set_aside(&pair.stream, key, content, row.run),
            };
        }
        if self.put_version(pair, &row, &Until(OPEN_END, i64::MAX))? {
            self.recut(pair, judge, &row.values)?;
        }
        Ok(())
    }

    /// Whether a history, be it one that only deletions write to, holds this content of a key.
    pub(crate) fn history_holds(
        &self,
        pair: &Pair,
        values: &[Value],
        digest: &str,
    ) -> rusqlite::Result<bool> {
        let history = history_name(&pair.stream);
        if !has_column(self.ours(), &history, "_replaced_at")? {
            return Ok(false);
        }
        let (list, key) = (pair.our_list(), pair.by_key(1));
        let sql = format!("SELECT {list} FROM main.{} WHERE {key}", quote(&history));
        let mut statement = self.ours().prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(pair.key_values(values)))?;
        while let Some(found) = rows.next()? {
            let found = FoundRow::of(found, pair.columns.len())?;
            if Content::of(&pair.columns, &found.values).digest == digest {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a content is kept in an archive without a history, where it matters what was said
    /// and not when: it stands, has lost, or was deleted.
    fn is_kept(&self, pair: &Pair, row: &FoundRow) -> rusqlite::Result<bool> {
        let content = Content::of(&pair.columns, &row.values);
        let ours = self.our_row(pair, &row.values)?;
        let ours = ours.map(|ours| Content::of(&pair.columns, &ours.values).digest);
        if ours.as_ref() == Some(&content.digest) {
            return Ok(true);
        }
        let sql = "SELECT 1 FROM _windrow_superseded
            WHERE stream = :stream AND key = :key AND sha256 = :digest";
        let key = self.key_text(pair, &row.values)?;
        let lost = self.ours().prepare_cached(sql)?.exists(
            named_params! { ":stream": &pair.stream, ":key": &key, ":digest": &content.digest },
        )?;
        Ok(lost || self.history_holds(pair, &row.values, &content.digest)?)
    }

    fn set_aside(
        &self,
        stream: &str,
        key: &str,
        content: &Content,
        run: i64,
    ) -> rusqlite::Result<()> {
        let sql = "INSERT INTO _windrow_superseded (stream, key, sha256, row, run_id, merged_by)
            SELECT :stream, :key, :digest, :text, :run, :merge
            WHERE EXISTS (SELECT 1 FROM _windrow_runs WHERE run_id = :run) ON CONFLICT DO NOTHING";
        let values = named_params! {
            ":stream": stream,
            ":key": key,
            ":digest": content.digest,
            ":text": content.text,
            ":run": run,
            ":merge": self.merge.run,
        };
        self.ours().prepare_cached(sql)?.execute(values).map(|_| ())
    }

    /// Puts a version into the history unless it is there, or is the one that stands now.
    fn put_version(
        &self,
        pair: &Pair,
        row: &FoundRow,
        until: &Until<'_>,
    ) -> rusqlite::Result<bool> {
        let (table, history) = (quote(&pair.stream), quote(&history_name(&pair.stream)));
        let width = pair.columns.len();
        let parameters: Vec<String> = (1..=width + 6).map(|n| format!("?{n}")).collect();
        let (changed_at, run) = (width + 2, width + 4);
        let mut same: Vec<String> = pair
            .columns
            .iter()
            .enumerate()
            .filter(|(_, name)| !pair.key.contains(name))
            .map(|(n, name)| format!("{} IS ?{}", quote(name), n + 1))
            .collect();
        let key = pair.key_places().into_iter().zip(&pair.key);
        same.extend(key.map(|(n, name)| format!("{} = ?{}", quote(name), n + 1)));
        same.push(format!("\"_changed_at\" = ?{changed_at} AND \"_run\" = ?{run}"));
        let same = same.join(" AND ");
        let sql = format!(
            "INSERT INTO main.{history} ({}, \"_first_seen_at\", \"_changed_at\", \"_revision\",
                \"_run\", \"_replaced_at\", \"_replaced_run\")
             SELECT {} WHERE NOT EXISTS (SELECT 1 FROM main.{history} WHERE {same})
                AND NOT EXISTS (SELECT 1 FROM main.{table} WHERE {same})",
            pair.names(),
            parameters.join(", ")
        );
        let own = [
            Value::Text(row.first_seen_at.clone()),
            Value::Text(row.changed_at.clone()),
            Value::Integer(row.revision),
            Value::Integer(row.run),
            Value::Text(until.0.to_owned()),
            Value::Integer(until.1),
        ];
        let mut insert = self.ours().prepare_cached(&sql)?;
        let put = insert.execute(params_from_iter(row.values.iter().chain(&own)))? > 0;
        if put {
            self.bring(row.run)?;
        }
        Ok(put)
    }

    /// Cuts the versions of a key against each other, so that no two stand at one time.
    pub(crate) fn recut(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        values: &[Value],
    ) -> rusqlite::Result<()> {
        let history = quote(&history_name(&pair.stream));
        let mut rowids = Vec::new();
        let mut versions = Vec::new();
        let width = pair.columns.len();
        let key = pair.key_values(values);
        let version = |row: &FoundRow| -> rusqlite::Result<RowVersion> {
            let content = Content::of(&pair.columns, &row.values);
            let read = (*self.merge.fetch(row.run)?).clone();
            Ok(RowVersion {
                claim: claim(pair, &row.values, &content, read),
                from: row.changed_at.clone(),
                until: None,
                from_run: row.run,
                until_run: None,
            })
        };
        let sql = format!(
            "SELECT {}, \"_replaced_at\", \"_replaced_run\" FROM main.{history} WHERE {}",
            pair.our_list(),
            pair.by_key(1)
        );
        let mut statement = self.ours().prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(&key))?;
        while let Some(row) = rows.next()? {
            let found = FoundRow::of(row, width)?;
            let (until, run): (String, i64) = (row.get(width + 5)?, row.get(width + 6)?);
            rowids.push(found.rowid);
            versions.push(RowVersion {
                until: Some(until),
                until_run: Some(run),
                ..version(&found)?
            });
        }
        drop(rows);
        if let Some(row) = self.our_row(pair, values)? {
            let mut stands = version(&row)?;
            let text = self.key_text(pair, values)?;
            if let Some(run) = confirmed_by(self.ours(), pair, &text, row.run)? {
                stands.claim.read = (*self.merge.fetch(run)?).clone();
            }
            versions.push(stands);
        } else if let Some(gone) = self.our_deletion(pair, judge, values)? {
            versions.push(RowVersion {
                claim: gone.claim,
                from: gone.changed_at,
                until: None,
                from_run: gone.run,
                until_run: None,
            });
        }
        let cut = judge.recut(&versions);
        let sql = format!(
            "UPDATE main.{history} SET \"_replaced_at\" = :at, \"_replaced_run\" = :run
             WHERE _rowid_ = :rowid AND (\"_replaced_at\" <> :at OR \"_replaced_run\" <> :run)"
        );
        let mut update = self.ours().prepare_cached(&sql)?;
        for (rowid, ended) in rowids.iter().zip(&cut) {
            if let Some(ended) = ended {
                update.execute(
                    named_params! { ":rowid": rowid, ":at": ended.at, ":run": ended.run },
                )?;
            }
        }
        Ok(())
    }

    /// This archive's row of the same key.
    pub(crate) fn our_row(
        &self,
        pair: &Pair,
        values: &[Value],
    ) -> rusqlite::Result<Option<FoundRow>> {
        let sql = format!(
            "SELECT {} FROM main.{} WHERE {}",
            pair.our_list(),
            quote(&pair.stream),
            pair.by_key(1)
        );
        let mut statement = self.ours().prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(pair.key_values(values)))?;
        rows.next()?.map(|row| FoundRow::of(row, pair.columns.len())).transpose()
    }

    /// Takes the versions that the other's history holds. Gives how many were not here.
    pub fn take_history(&self, pair: &Pair, judge: &MergePolicy<'_>) -> Result<u64, Error> {
        let (stream, history) = (&pair.stream, history_name(&pair.stream));
        if !has_column(self.theirs, &history, "_replaced_at").map_err(self.wrong())? {
            return Ok(0);
        }
        if !has_column(self.ours(), &history, "_replaced_at").map_err(self.wrong())? {
            self.merge.tx.make_history(stream)?;
            self.merge.grown.set(true);
        }
        self.each_version(pair, judge, &history).map_err(self.wrong())
    }

    fn each_version(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        history: &str,
    ) -> rusqlite::Result<u64> {
        let order: Vec<String> = pair.key.iter().map(|name| quote(name)).collect();
        let (list, fills) = pair.their_side(self.theirs, history, judge)?;
        let sql = format!(
            "SELECT {list}, \"_replaced_at\", \"_replaced_run\" FROM main.{} ORDER BY {}",
            quote(history),
            order.join(", ")
        );
        let width = pair.columns.len();
        let mut statement = self.theirs.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut taken = 0;
        // The versions of a key come one after another.
        let mut touched: Option<Vec<Value>> = None;
        while let Some(row) = rows.next()? {
            let mut found = FoundRow::of(row, width)?;
            let (until, run): (String, i64) = (row.get(width + 5)?, row.get(width + 6)?);
            found.run = self.known(found.run).run;
            if let Some(fills) = &fills {
                fills.fill(&mut found.values);
            }
            let same = touched
                .as_ref()
                .is_some_and(|values| pair.key_values(values) == pair.key_values(&found.values));
            if !same && let Some(values) = touched.take() {
                self.recut(pair, judge, &values)?;
            }
            let until_run = self.known(run).run;
            if !pair.history && self.is_kept(pair, &found)? {
                continue;
            }
            if self.put_version(pair, &found, &Until(&until, until_run))? {
                taken += 1;
                touched = Some(found.values);
            }
        }
        if let Some(values) = touched {
            self.recut(pair, judge, &values)?;
        }
        Ok(taken)
    }

    /// The history is whole since when both were; where rows of an archive came that kept none,
    /// from now on.
    pub fn settle_history(&self, pair: &Pair) -> Result<(), Error> {
        let settle = || -> rusqlite::Result<()> {
            let from = history_from(self.theirs, &pair.stream)?;
            let from = from.unwrap_or_else(|| self.merge.now.clone());
            let sql = "UPDATE _windrow_streams SET history_from = :from
                WHERE stream = :stream AND history_from < :from";
            self.ours()
                .execute(sql, named_params! { ":stream": &pair.stream, ":from": &from })
                .map(|_| ())
        };
        if pair.history && !pair.new { settle().map_err(self.wrong()) } else { Ok(()) }
    }
}

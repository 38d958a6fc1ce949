//! What is kept beside rows and ledger: rejects, fields and their changes, adoptions, contents that
//! lost elsewhere, lineage, and the log of what was taken in.

use std::cmp::Ordering;

use rusqlite::{OptionalExtension, named_params, params_from_iter};

use crate::merge::stream_policy::MergePolicy;
use crate::model::{Error, FieldUse, Kinds};
use crate::model::{HandoffDirection, sha256_of};
use crate::store::row::name_of;
use crate::store::row::only;
use crate::store::sql::quote;
use crate::store::value::Value;

use crate::merge::copy::{Copy, number, text};
use crate::merge::shape::Pair;
use crate::merge::tables::{Merge, Taking};

impl Taking<'_> {
    /// Takes everything of a stream that hangs on its rows. After them.
    pub fn take_rest(&self, pair: &Pair, judge: &MergePolicy<'_>) -> Result<(), Error> {
        let take = || -> rusqlite::Result<()> {
            self.take_superseded(pair, judge)?;
            self.take_rejects(&pair.stream)?;
            self.take_fields(&pair.stream)?;
            self.take_changes(&pair.stream)?;
            self.take_accepted(&pair.stream)?;
            self.take_seen_columns(&pair.stream)?;
            self.take_adoptions(&pair.stream)?;
            self.take_pages(&pair.stream)
        };
        take().map_err(self.wrong())
    }

    /// Contents that had lost before: those that do not stand here.
    fn take_superseded(&self, pair: &Pair, judge: &MergePolicy<'_>) -> rusqlite::Result<()> {
        let copy = Copy::of(self.ours(), "_windrow_superseded", "stream = :stream")?;
        let (key, sha256, said) = (copy.place("key"), copy.place("sha256"), copy.place("row"));
        let (_, fills) = pair.their_side(self.theirs, &pair.stream, judge)?;
        let (run, merged_by) = (copy.place("run_id"), copy.place("merged_by"));
        copy.each(self.theirs, named_params! { ":stream": &pair.stream }, &mut |mut row| {
            if let Some(filled) = fills.as_ref().and_then(|fills| fills.fill_text(text(&row[said])))
            {
                row[sha256] = Value::Text(filled.digest);
                row[said] = Value::Text(filled.text);
            }
            let values = crate::merge::literal::parse_key(text(&row[key]));
            let values = values.and_then(|values| crate::merge::gone::placed(pair, values));
            if let Some(values) = values {
                let digest = text(&row[sha256]);
                let stands = self.our_row(pair, &values)?.is_some_and(|ours| {
                    crate::store::content::Content::of(&pair.columns, &ours.values).digest == digest
                });
                if stands || self.history_holds(pair, &values, digest)? {
                    return Ok(());
                }
            }
            row[run] = Value::Integer(self.known(number(&row[run])).run);
            row[merged_by] = Value::Integer(self.merge.run);
            copy.put(self.tx(), &row).map(|_| ())
        })
    }

    /// A record is kept once; it was first seen when either saw it first, and is set aside where
    /// either did, by whoever did it first.
    fn take_rejects(&self, stream: &str) -> rusqlite::Result<()> {
        let copy =
            Copy::of(self.ours(), "_windrow_rejects", "stream = :stream ORDER BY reject_id")?;
        let place = |name: &str| copy.place(name);
        let (id, run, last_run) = (place("reject_id"), place("run_id"), place("last_run_id"));
        let known = ["stream", "partition", "record_sha256", "kind"].map(place);
        let discarded = ["discarded_at", "discarded_by", "discard_note"].map(place);
        let (first, closed) = (place("first_seen_at"), place("closed_at"));
        copy.each(self.theirs, named_params! { ":stream": stream }, &mut |mut row| {
            let their_last = self.known(number(&row[last_run]));
            row[id] = Value::Null;
            row[run] = Value::Integer(self.known(number(&row[run])).run);
            row[last_run] = Value::Integer(their_last.run);
            if copy.put(self.tx(), &row)? {
                return self.bring(their_last.run);
            }
            let sql = "SELECT reject_id, last_run_id FROM _windrow_rejects
                WHERE stream = ? AND partition = ? AND record_sha256 = ? AND kind = ?";
            let found: Option<(i64, i64)> = self
                .ours()
                .prepare_cached(sql)?
                .query_row(params_from_iter(known.map(|at| &row[at])), |row| {
                    Ok((
                        row.get("reject_id")?,
                        row.get::<_, Option<i64>>("last_run_id")?.unwrap_or_default(),
                    ))
                })
                .optional()?;
            let Some((ours, our_last)) = found else { return Ok(()) };
            let sql = "UPDATE _windrow_rejects SET first_seen_at = :first_seen_at, run_id = :run
                WHERE reject_id = :ours AND first_seen_at > :first_seen_at";
            let values = named_params! {
                ":ours": ours,
                ":first_seen_at": row[first],
                ":run": row[run],
            };
            self.ours().prepare_cached(sql)?.execute(values)?;
            let [at, by, note] = discarded.map(|at| &row[at]);
            let sql = "UPDATE _windrow_rejects
                SET discarded_at = :at, discarded_by = :by, discard_note = :note
                WHERE reject_id = :ours AND :at IS NOT NULL AND (discarded_at IS NULL
                    OR (discarded_at, coalesce(discarded_by, ''), coalesce(discard_note, ''))
                       > (:at, coalesce(:by, ''), coalesce(:note, '')))";
            self.ours()
                .prepare_cached(sql)?
                .execute(named_params! { ":ours": ours, ":at": at, ":by": by, ":note": note })?;
            // Whoever saw it last knows whether it is closed; where both did, it is since the
            // first of them has closed it.
            let our_read = self.merge.fetch(our_last)?;
            let sql = match (*our_read).cmp(&*their_last.read) {
                Ordering::Less => {
                    "UPDATE _windrow_rejects SET last_run_id = :run, closed_at = :closed_at
                    WHERE reject_id = :ours"
                }
                Ordering::Equal => {
                    "UPDATE _windrow_rejects SET closed_at = :closed_at WHERE reject_id = :ours
                    AND :run IS NOT NULL
                    AND coalesce(closed_at > :closed_at, :closed_at IS NOT NULL)"
                }
                Ordering::Greater => return Ok(()),
            };
            self.ours().prepare_cached(sql)?.execute(named_params! {
                ":ours": ours,
                ":run": their_last.run,
                ":closed_at": &row[closed],
            })?;
            if *our_read < *their_last.read {
                self.bring(their_last.run)?;
            }
            Ok(())
        })
    }

    /// A field has held what either has seen in it. It is always there where both say so.
    fn take_fields(&self, stream: &str) -> rusqlite::Result<()> {
        let read = "SELECT field, kinds, usage FROM _windrow_fields WHERE stream = :stream";
        let mut statement = self.theirs.prepare_cached(read)?;
        let mut rows = statement.query(named_params! { ":stream": stream })?;
        while let Some(row) = rows.next()? {
            let (field, kinds, usage): (String, String, String) =
                (row.get("field")?, row.get("kinds")?, row.get("usage")?);
            let known = format!("{} AND field = :field", read.replace("field, ", ""));
            let ours: Option<(String, String)> = self
                .ours()
                .prepare_cached(&known)?
                .query_row(named_params! { ":stream": stream, ":field": field }, |row| {
                    Ok((row.get("kinds")?, row.get("usage")?))
                })
                .optional()?;
            let (kinds, usage) = match &ours {
                None => (kinds, usage),
                Some((our_kinds, our_usage)) => {
                    let read = |kinds: &str| name_of::<Kinds>(kinds, ("_windrow_fields", "kinds"));
                    let both = read(our_kinds)?.and(read(&kinds)?);
                    let same = *our_usage == usage;
                    let sometimes = FieldUse::Sometimes.as_str().to_owned();
                    (both.to_string(), if same { usage } else { sometimes })
                }
            };
            if ours.as_ref() != Some(&(kinds.clone(), usage.clone())) {
                let sql = "INSERT OR REPLACE INTO _windrow_fields (stream, field, kinds, usage)
                    VALUES (:stream, :field, :kinds, :usage)";
                self.ours().prepare_cached(sql)?.execute(named_params! {
                    ":stream": stream,
                    ":field": &field,
                    ":kinds": &kinds,
                    ":usage": &usage,
                })?;
            }
        }
        Ok(())
    }

    /// The log of changes of fields: entries of runs that were here with theirs are here.
    fn take_changes(&self, stream: &str) -> rusqlite::Result<()> {
        let copy =
            Copy::of(self.ours(), "_windrow_schema_log", "stream = :stream ORDER BY log_id")?;
        let (id, run) = (copy.place("log_id"), copy.place("run_id"));
        let others: Vec<usize> = (0..copy.columns.len()).filter(|at| *at != id).collect();
        let same: Vec<String> = others
            .iter()
            .enumerate()
            .map(|(n, at)| format!("{} IS ?{}", quote(&copy.columns[*at]), n + 1))
            .collect();
        let sql = format!("SELECT 1 FROM _windrow_schema_log WHERE {}", same.join(" AND "));
        copy.each(self.theirs, named_params! { ":stream": stream }, &mut |mut row| {
            row[id] = Value::Null;
            row[run] = Value::Integer(self.known(number(&row[run])).run);
            let values = params_from_iter(others.iter().map(|at| &row[*at]));
            if !self.ours().prepare_cached(&sql)?.exists(values)? {
                copy.put(self.tx(), &row)?;
                self.bring(number(&row[run]))?;
            }
            Ok(())
        })
    }

    /// Changes of definitions that were accepted here or there.
    fn take_accepted(&self, stream: &str) -> rusqlite::Result<()> {
        let copy = Copy::of(self.ours(), "_windrow_accepted", "stream = :stream")?;
        copy.each(self.theirs, named_params! { ":stream": stream }, &mut |row| {
            copy.put(self.tx(), &row).map(|_| ())
        })
    }

    /// A column was found where either archive has found it.
    fn take_seen_columns(&self, stream: &str) -> rusqlite::Result<()> {
        let read = "SELECT \"column\", place, found, records, nearest FROM _windrow_seen_columns
            WHERE stream = :stream";
        let write = "INSERT INTO _windrow_seen_columns
                (stream, \"column\", place, found, records, nearest)
            VALUES (:stream, :column, :place, :found, :records, :nearest)
            ON CONFLICT (stream, \"column\", place) DO UPDATE SET
                found = max(found, excluded.found), records = max(records, excluded.records),
                nearest = max(nearest, excluded.nearest)
            WHERE (max(found, excluded.found), max(records, excluded.records),
                max(nearest, excluded.nearest)) IS NOT (found, records, nearest)";
        let mut statement = self.theirs.prepare_cached(read)?;
        let mut rows = statement.query(named_params! { ":stream": stream })?;
        while let Some(row) = rows.next()? {
            self.ours().prepare_cached(write)?.execute(named_params! {
                ":stream": stream,
                ":column": row.get::<_, String>("column")?,
                ":place": row.get::<_, String>("place")?,
                ":found": row.get::<_, bool>("found")?,
                ":records": row.get::<_, u64>("records")?,
                ":nearest": row.get::<_, String>("nearest")?,
            })?;
        }
        Ok(())
    }

    /// Adoptions of runs that this merge has brought: one that was undone here stays undone.
    fn take_adoptions(&self, stream: &str) -> rusqlite::Result<()> {
        let copy = Copy::of(self.ours(), "_windrow_adoptions", "stream = :stream")?;
        let run = copy.place("run_id");
        let brought = self.brought(stream)?;
        copy.each(self.theirs, named_params! { ":stream": stream }, &mut |mut row| {
            let their = number(&row[run]);
            if !brought.contains(&their) {
                return Ok(());
            }
            let ours = self.known(their).run;
            row[run] = Value::Integer(ours);
            copy.put(self.tx(), &row)?;
            for table in ["_windrow_adopted", "_windrow_adopted_removed"] {
                let part = Copy::of(self.ours(), table, "run_id = :run")?;
                let run = part.place("run_id");
                part.each(self.theirs, named_params! { ":run": their }, &mut |mut row| {
                    row[run] = Value::Integer(ours);
                    part.put(self.tx(), &row).map(|_| ())
                })?;
            }
            Ok(())
        })
    }

    /// Takes the other's lineage.
    pub fn take_lineage(&self) -> Result<(), Error> {
        let take = || -> rusqlite::Result<()> {
            let copy = Copy::of(self.ours(), "_windrow_lineage", "1")?;
            copy.each(self.theirs, [], &mut |row| copy.put(self.tx(), &row).map(|_| ()))
        };
        take().map_err(self.wrong())
    }

    /// What of the other archive is its own and was not taken, in words.
    pub fn left_behind(&self) -> Result<Vec<String>, Error> {
        let own = [
            ("_windrow_waits", "waits that sources imposed on it"),
            ("_windrow_alerts", "alerts that were told from it"),
            ("_windrow_rebuilds", "tables that it has set aside for a rebuild"),
        ];
        let broken_off = "_windrow_ledger WHERE state IN ('partial', 'truncated')";
        let own = own.into_iter().chain([(broken_off, "fetches that were broken off")]);
        let count = |table: &str| -> rusqlite::Result<u64> {
            let sql = format!("SELECT count(*) FROM {table}");
            self.theirs.query_row(&sql, [], only)
        };
        let mut left = Vec::new();
        for (table, what) in own {
            let number = count(table).map_err(self.wrong())?;
            if number > 0 {
                left.push(format!("{number} {what}"));
            }
        }
        Ok(left)
    }
}

impl Merge<'_> {
    /// Notes in the archive's log that another was taken in. `file` is its name without folder.
    pub fn log_taken(
        &self,
        archive_id: &str,
        manifest: Option<&str>,
        file: &str,
        summary: &str,
    ) -> Result<(), Error> {
        let sql = "INSERT INTO _windrow_handoffs
            (direction, handoff_id, archive_id, at, file, sha256, summary, run_id)
            VALUES (:direction, json_extract(:manifest, '$.handoff_id'), :archive_id, :now, :file,
            :sha256, :summary, :run)";
        let sha256 = manifest.map(sha256_of);
        let values = named_params! {
            ":direction": HandoffDirection::Taken.as_str(),
            ":archive_id": archive_id,
            ":now": self.now,
            ":file": file,
            ":summary": summary,
            ":run": self.run,
            ":manifest": manifest,
            ":sha256": sha256,
        };
        let write = self.ours().execute(sql, values);
        write.map(|_| ()).map_err(crate::store::error::at(&self.tx.path))
    }
}

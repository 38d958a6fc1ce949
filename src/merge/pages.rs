//! Raw pages of runs of which more comes than was here: bodies once, pages in the order in which
//! they speak, so that a rebuild from them comes to what both archives say.

use crate::store::row::only;
use crate::store::value::Value;
use rusqlite::{OptionalExtension, named_params};

use crate::merge::copy::{Copy, number, text};
use crate::merge::tables::Taking;

impl Taking<'_> {
    pub(crate) fn take_pages(&self, stream: &str) -> rusqlite::Result<()> {
        let copy =
            Copy::of(self.ours(), "_windrow_raw_pages", "stream = :stream ORDER BY page_id")?;
        let (id, run) = (copy.place("page_id"), copy.place("run_id"));
        let (body, parent) = (copy.place("body_id"), copy.place("parent_id"));
        let mut taken = false;
        // Of a run of which more comes than was here, all pages come again.
        let brought = self.brought(stream)?;
        let sql = "DELETE FROM _windrow_raw_pages WHERE stream = :stream AND run_id = :run";
        let mut clear = self.ours().prepare(sql)?;
        for (_, known) in self.runs.iter().filter(|(run, _)| brought.contains(run)) {
            clear.execute(named_params! { ":stream": stream, ":run": known.run })?;
        }
        copy.each(self.theirs, named_params! { ":stream": stream }, &mut |mut row| {
            let known = self.known(number(&row[run]));
            if !brought.contains(&number(&row[run])) {
                return Ok(());
            }
            row[id] = Value::Null;
            row[run] = Value::Integer(known.run);
            for place in [body, parent] {
                if let Value::Integer(their) = row[place] {
                    row[place] = Value::Integer(self.take_body(their)?);
                }
            }
            taken = true;
            copy.put(self.tx(), &row).map(|_| ())
        })?;
        if taken { self.number_pages() } else { Ok(()) }
    }

    fn take_body(&self, their: i64) -> rusqlite::Result<i64> {
        let copy = Copy::of(self.ours(), "_windrow_raw_bodies", "body_id = :body")?;
        let (id, sha256) = (copy.place("body_id"), copy.place("sha256"));
        let mut found = 0;
        copy.each(self.theirs, named_params! { ":body": their }, &mut |mut row| {
            let known = "SELECT body_id FROM _windrow_raw_bodies WHERE sha256 = :sha256";
            let mut known = self.ours().prepare_cached(known)?;
            let ours = known
                .query_row(named_params! { ":sha256": text(&row[sha256]) }, only)
                .optional()?;
            found = match ours {
                Some(ours) => ours,
                None => {
                    row[id] = Value::Null;
                    copy.put(self.tx(), &row)?;
                    self.ours().last_insert_rowid()
                }
            };
            Ok(())
        })?;
        Ok(found)
    }

    /// Pages are read again in the order of their numbers.
    fn number_pages(&self) -> rusqlite::Result<()> {
        self.ours().execute_batch(
            "CREATE TEMP TABLE _windrow_order (page INTEGER PRIMARY KEY, place INTEGER NOT NULL);
             INSERT INTO temp._windrow_order
                SELECT p.page_id, row_number() OVER (ORDER BY r.read_at, p.written_at, r.uid,
                    p.page_id)
                FROM main._windrow_raw_pages AS p JOIN main._windrow_runs AS r USING (run_id);",
        )?;
        let moves = "SELECT EXISTS (SELECT 1 FROM temp._windrow_order WHERE page <> place)";
        if self.ours().query_row(moves, [], only)? {
            let sql = "UPDATE main._windrow_raw_pages SET page_id =
                -(SELECT place FROM temp._windrow_order WHERE page = page_id)";
            self.ours().execute(sql, [])?;
            let sql = "UPDATE main._windrow_raw_pages SET page_id = -page_id";
            self.ours().execute(sql, [])?;
        }
        self.ours().execute_batch("DROP TABLE temp._windrow_order")
    }
}

//! The fields of a stream's records as they have been so far, and the log of their changes.

use rusqlite::named_params;

use crate::model::{Cell, Error, FieldChange, FieldChangeKind, Filled, KnownField};

use crate::store::content::Fill;
use crate::store::content::filled_content;
use crate::store::content::says_more;
use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::row::named;
use crate::store::sql::history_name;
use crate::store::sql::quote;
use crate::store::transaction::Tx;
use crate::store::write::Bound;

/// How many rows were filled, and how many hold a value that does not fit.
#[derive(Clone, Copy, Debug, Default)]
struct FilledCount {
    rows: u64,
    unfit: u64,
}

impl Reader {
    /// The fields that a stream's records have had, by name.
    pub fn fields(&self, stream: &str) -> Result<Vec<KnownField>, Error> {
        let sql =
            "SELECT field, kinds, usage FROM _windrow_fields WHERE stream = :stream ORDER BY field";
        let read = || -> rusqlite::Result<Vec<KnownField>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(named_params! { ":stream": stream }, |row| {
                Ok(KnownField {
                    name: row.get("field")?,
                    kinds: named(row, "kinds", ("_windrow_fields", "kinds"))?,
                    usage: named(row, "usage", ("_windrow_fields", "usage"))?,
                })
            })?;
            rows.collect()
        };
        read().map_err(at(&self.path))
    }

    /// The last `limit` changes of fields, newest first; of one stream or run where it is given.
    pub fn field_changes(
        &self,
        stream: Option<&str>,
        run: Option<i64>,
        limit: u32,
    ) -> Result<Vec<FieldChange>, Error> {
        let sql = "SELECT stream, change, field, detail, at, run_id FROM _windrow_schema_log
            WHERE (:stream IS NULL OR stream = :stream) AND (:run IS NULL OR run_id = :run)
            ORDER BY log_id DESC LIMIT :limit";
        let read = || -> rusqlite::Result<Vec<FieldChange>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(
                named_params! { ":stream": stream, ":run": run, ":limit": limit },
                |row| {
                    Ok(FieldChange {
                        stream: row.get("stream")?,
                        change: named(row, "change", ("_windrow_schema_log", "change"))?,
                        field: row.get("field")?,
                        detail: row.get("detail")?,
                        at: row.get("at")?,
                        run: row.get("run_id")?,
                    })
                },
            )?;
            rows.collect()
        };
        read().map_err(at(&self.path))
    }
}

impl Tx<'_> {
    /// Keeps what is known of fields now.
    pub fn write_fields(&self, stream: &str, fields: &[KnownField]) -> Result<(), Error> {
        let sql = "INSERT INTO _windrow_fields (stream, field, kinds, usage)
            VALUES (:stream, :name, :kinds, :usage) ON CONFLICT (stream, field)
            DO UPDATE SET kinds = excluded.kinds, usage = excluded.usage";
        let write = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(sql)?;
            for field in fields {
                let (kinds, usage) = (field.kinds.to_string(), field.usage.as_str());
                statement.execute(named_params! {
                    ":stream": stream,
                    ":name": field.name,
                    ":kinds": kinds,
                    ":usage": usage,
                })?;
            }
            Ok(())
        };
        write().map_err(at(&self.path))
    }

    /// Logs a change of fields, in the transaction of the page that showed it.
    pub fn log_field_change(&self, change: &FieldChange) -> Result<(), Error> {
        let sql = "INSERT INTO _windrow_schema_log (stream, change, field, detail, at, run_id)
            VALUES (:stream, :change, :field, :detail, :when, :run)";
        let FieldChange { stream, change, field, detail, at: when, run } = change;
        let values = named_params! {
            ":stream": stream,
            ":change": change.as_str(),
            ":field": field,
            ":detail": detail,
            ":when": when,
            ":run": run,
        };
        self.connection.execute(sql, values).map(|_| ()).map_err(at(&self.path))
    }

    /// Fills columns that were just added from what was left over of each row, one row at a time.
    /// When and how often a row changed stays: the source has said nothing new. It is logged as
    /// `filled` where the run has a number; replaced versions are filled as well, and contents that
    /// have lost against another archive's. In the transaction that added the columns.
    pub fn fill_columns(
        &self,
        stream: &str,
        columns: &[String],
        fill: Fill<'_>,
        run: Option<i64>,
        now: &str,
    ) -> Result<(), Error> {
        let has_history = self.has_history(stream).map_err(at(&self.path))?;
        if has_history {
            // One that has ended has not got the columns with its table.
            self.make_history(stream)?;
        }
        let write = || -> rusqlite::Result<FilledCount> {
            let older = match has_history {
                true => self.fill_rows(&history_name(stream), columns, fill)?,
                false => FilledCount::default(),
            };
            self.fill_superseded(stream, columns, fill)?;
            let rows = self.fill_rows(stream, columns, fill)?;
            Ok(FilledCount { rows: rows.rows + older.rows, unfit: rows.unfit + older.unfit })
        };
        let filled = self.beside_history(stream, write).map_err(at(&self.path))?;
        let Some(run) = run.filter(|_| filled.rows + filled.unfit > 0) else { return Ok(()) };
        let unfit = match filled.unfit {
            0 => String::new(),
            unfit => format!("; {unfit} hold a value that does not fit, which stays there"),
        };
        let rows = if filled.rows == 1 { "row" } else { "rows" };
        let detail = format!("{} {rows} from `_rest`{unfit}", filled.rows);
        let (stream, field, at) = (stream.to_owned(), columns.join(", "), now.to_owned());
        let change = FieldChangeKind::Filled;
        self.log_field_change(&FieldChange { stream, change, field, detail, at, run })
    }

    fn fill_rows(
        &self,
        table: &str,
        columns: &[String],
        fill: Fill<'_>,
    ) -> rusqlite::Result<FilledCount> {
        let table = quote(table);
        let next = format!(
            "SELECT _rowid_ AS rowid, _rest FROM {table}
             WHERE _rowid_ > :after AND _rest IS NOT NULL ORDER BY _rowid_ LIMIT 1"
        );
        let sets: Vec<String> = columns.iter().map(|name| format!("{} = ?", quote(name))).collect();
        let update = format!("UPDATE {table} SET {}, _rest = ? WHERE _rowid_ = ?", sets.join(", "));
        let mut next = self.connection.prepare(&next)?;
        let mut update = self.connection.prepare(&update)?;
        let mut count = FilledCount::default();
        let mut after = i64::MIN;
        loop {
            let mut rows = next.query(named_params! { ":after": after })?;
            let Some(row) = rows.next()? else { return Ok(count) };
            let (rowid, rest): (i64, String) = (row.get("rowid")?, row.get("_rest")?);
            drop(rows);
            after = rowid;
            let filled = fill(&rest);
            count.unfit += u64::from(filled.as_ref().is_none_or(|filled| !filled.fits));
            let Some(Filled { row, .. }) = filled.filter(|filled| says_more(filled, &rest)) else {
                continue;
            };
            let cells = row.row(0);
            for (at, cell) in cells.iter().enumerate() {
                update.raw_bind_parameter(at + 1, Bound(&row, *cell))?;
            }
            update.raw_bind_parameter(cells.len() + 1, rowid)?;
            update.raw_execute()?;
            count.rows += u64::from(cells[..columns.len()].iter().any(|cell| *cell != Cell::Null));
        }
    }

    /// What has lost says the same in the new columns; two that say the same then are one.
    fn fill_superseded(
        &self,
        stream: &str,
        columns: &[String],
        fill: Fill<'_>,
    ) -> rusqlite::Result<()> {
        let next = "SELECT key, sha256, row FROM _windrow_superseded
            WHERE stream = :stream AND (key, sha256) > (:key, :sha256) ORDER BY key, sha256 LIMIT
            1";
        let update = "UPDATE OR REPLACE _windrow_superseded SET sha256 = :digest, row = :text
            WHERE stream = :stream AND key = :key AND sha256 = :sha256";
        let mut next = self.connection.prepare(next)?;
        let mut update = self.connection.prepare(update)?;
        let (mut key, mut sha256) = (String::new(), String::new());
        loop {
            let mut rows =
                next.query(named_params! { ":stream": stream, ":key": key, ":sha256": sha256 })?;
            let Some(row) = rows.next()? else { return Ok(()) };
            let text: String;
            (key, sha256, text) = (row.get("key")?, row.get("sha256")?, row.get("row")?);
            drop(rows);
            if let Some(filled) = filled_content(&text, columns, fill) {
                update.execute(named_params! {
                    ":stream": stream,
                    ":key": key,
                    ":sha256": sha256,
                    ":digest": filled.digest,
                    ":text": filled.text,
                })?;
            }
        }
    }
}

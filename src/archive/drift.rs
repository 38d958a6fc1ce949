//! The fields of a stream's records as they have been so far, and the log of their changes.

use rusqlite::params;

use crate::model::{Cell, FieldChange, Kinds, KnownField, RowSet, Usage};

use super::error::{ArchiveError, at};
use super::history::history_name;
use super::open::Archive;
use super::read::Reader;
use super::table::quote;
use super::write::Bound;

/// What becomes of the left-over members of a row: its values for new columns, then what is still
/// left over; none where a value does not fit.
pub type Fill<'f> = &'f dyn Fn(&str) -> Option<RowSet>;

/// How many rows were filled, and how many hold a value that does not fit.
#[derive(Clone, Copy, Debug, Default)]
struct Filled {
    rows: u64,
    unfit: u64,
}

impl Reader {
    /// The fields that a stream's records have had, by name.
    pub fn fields(&self, stream: &str) -> Result<Vec<KnownField>, ArchiveError> {
        let sql =
            "SELECT field, kinds, usage FROM _windrow_fields WHERE stream = ?1 ORDER BY field";
        let read = || -> rusqlite::Result<Vec<KnownField>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map([stream], |row| {
                Ok(KnownField {
                    name: row.get(0)?,
                    kinds: Kinds::parse(&row.get::<_, String>(1)?),
                    usage: Usage::parse(&row.get::<_, String>(2)?),
                })
            })?;
            rows.collect()
        };
        if !self.knows_drift()? {
            return Ok(Vec::new());
        }
        read().map_err(at(&self.path))
    }

    /// The last `limit` changes of fields, newest first; of one stream or run where it is given.
    pub fn field_changes(
        &self,
        stream: Option<&str>,
        run: Option<i64>,
        limit: u32,
    ) -> Result<Vec<FieldChange>, ArchiveError> {
        let sql = "SELECT stream, change, field, detail, at, run_id FROM _windrow_schema_log
            WHERE (?1 IS NULL OR stream = ?1) AND (?2 IS NULL OR run_id = ?2)
            ORDER BY log_id DESC LIMIT ?3";
        let read = || -> rusqlite::Result<Vec<FieldChange>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![stream, run, limit], |row| {
                Ok(FieldChange {
                    stream: row.get(0)?,
                    change: row.get(1)?,
                    field: row.get(2)?,
                    detail: row.get(3)?,
                    at: row.get(4)?,
                    run: row.get(5)?,
                })
            })?;
            rows.collect()
        };
        if !self.knows_drift()? {
            return Ok(Vec::new());
        }
        read().map_err(at(&self.path))
    }

    /// An archive of an older format, which no sync has migrated yet, has no log.
    fn knows_drift(&self) -> Result<bool, ArchiveError> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE name = '_windrow_schema_log'";
        let found = self.connection.prepare_cached(sql).and_then(|mut s| s.exists([]));
        found.map_err(at(&self.path))
    }
}

impl Archive {
    /// Keeps what is known of fields now. In a transaction of the caller's.
    pub fn write_fields(&self, stream: &str, fields: &[KnownField]) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO _windrow_fields (stream, field, kinds, usage)
            VALUES (?1, ?2, ?3, ?4) ON CONFLICT (stream, field)
            DO UPDATE SET kinds = excluded.kinds, usage = excluded.usage";
        let write = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare_cached(sql)?;
            for field in fields {
                let (kinds, usage) = (field.kinds.to_string(), field.usage.as_str());
                statement.execute(params![stream, field.name, kinds, usage])?;
            }
            Ok(())
        };
        write().map_err(at(&self.path))
    }

    /// Logs a change of fields, in the transaction of the page that showed it.
    pub fn log_field_change(&self, change: &FieldChange) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO _windrow_schema_log (stream, change, field, detail, at, run_id)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let FieldChange { stream, change, field, detail, at: when, run } = change;
        let values = params![stream, change, field, detail, when, run];
        self.connection.execute(sql, values).map(|_| ()).map_err(at(&self.path))
    }

    /// Fills columns that were just added from what was left over of each row, one row at a time.
    /// When and how often a row changed stays: the source has said nothing new. It is logged as
    /// `filled` where the run has a number; replaced versions are filled as well. In the
    /// transaction that added the columns.
    pub fn fill_columns(
        &self,
        stream: &str,
        columns: &[String],
        fill: Fill<'_>,
        run: Option<i64>,
        now: &str,
    ) -> Result<(), ArchiveError> {
        let write = || -> rusqlite::Result<Filled> {
            let older = match self.has_history(stream)? {
                true => self.fill_rows(&history_name(stream), columns, fill)?,
                false => Filled::default(),
            };
            let rows = self.fill_rows(stream, columns, fill)?;
            Ok(Filled { rows: rows.rows + older.rows, unfit: rows.unfit + older.unfit })
        };
        let filled = self.beside_history(stream, write).map_err(at(&self.path))?;
        let Some(run) = run.filter(|_| filled.rows + filled.unfit > 0) else { return Ok(()) };
        let unfit = match filled.unfit {
            0 => String::new(),
            unfit => format!("; {unfit} hold a value that does not fit and stay as they were"),
        };
        let rows = if filled.rows == 1 { "row" } else { "rows" };
        let detail = format!("{} {rows} from `_rest`{unfit}", filled.rows);
        let (stream, field, at) = (stream.to_owned(), columns.join(", "), now.to_owned());
        let change = "filled".to_owned();
        self.log_field_change(&FieldChange { stream, change, field, detail, at, run })
    }

    fn fill_rows(
        &self,
        table: &str,
        columns: &[String],
        fill: Fill<'_>,
    ) -> rusqlite::Result<Filled> {
        let table = quote(table);
        let next = format!(
            "SELECT _rowid_, _rest FROM {table} WHERE _rowid_ > ?1 AND _rest IS NOT NULL
             ORDER BY _rowid_ LIMIT 1"
        );
        let sets: Vec<String> = columns.iter().map(|name| format!("{} = ?", quote(name))).collect();
        let update = format!("UPDATE {table} SET {}, _rest = ? WHERE _rowid_ = ?", sets.join(", "));
        let mut next = self.connection.prepare(&next)?;
        let mut update = self.connection.prepare(&update)?;
        let mut filled = Filled::default();
        let mut after = i64::MIN;
        loop {
            let mut rows = next.query([after])?;
            let Some(row) = rows.next()? else { return Ok(filled) };
            let (rowid, rest): (i64, String) = (row.get(0)?, row.get(1)?);
            drop(rows);
            after = rowid;
            let Some(values) = fill(&rest) else {
                filled.unfit += 1;
                continue;
            };
            let cells = values.row(0);
            if cells[..columns.len()].iter().all(|cell| *cell == Cell::Null) {
                continue;
            }
            for (at, cell) in cells.iter().enumerate() {
                update.raw_bind_parameter(at + 1, Bound(&values, *cell))?;
            }
            update.raw_bind_parameter(cells.len() + 1, rowid)?;
            update.raw_execute()?;
            filled.rows += 1;
        }
    }
}

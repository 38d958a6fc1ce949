//! Writing: the rows of pages and the checkpoint that covers them, in one transaction.

use crate::store::error::at;
use crate::store::row::only;
use crate::store::sql::quote;
use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, ToSql};

use crate::definition::OnConflict;
use crate::model::{Cell, Error, Outcomes, RowSet, TableColumn, TableShape};

use crate::store::transaction::Tx;

/// The statements that write to one table.
#[derive(Clone, Debug)]
pub struct TableWriter {
    pub(crate) shape: TableShape,
    upsert: String,
    /// For rows that were not touched: why not.
    probe: Option<String>,
    /// Which run wrote a row last.
    stamp: String,
}

/// Asks for the row of a key which run wrote it last.
fn stamp_statement(shape: &TableShape) -> String {
    let key = shape.key.columns();
    let places = key.iter().enumerate().map(|(n, name)| format!("{} = ?{}", quote(name), n + 1));
    let places: Vec<String> = places.collect();
    let table = quote(&shape.name);
    format!("SELECT \"_run\", \"_revision\" FROM {table} WHERE {}", places.join(" AND "))
}

impl TableWriter {
    /// Makes the statements for a table.
    pub fn new(shape: TableShape) -> Self {
        let upsert = upsert_statement(&shape, false);
        let protects = shape.version.is_some() || shape.on_conflict == OnConflict::Keep;
        let probe = protects.then(|| probe_statement(&shape));
        let stamp = stamp_statement(&shape);
        Self { shape, upsert, probe, stamp }
    }

    /// Makes the statements for records that come late: an older fetch never beats a newer one.
    pub fn for_late(shape: TableShape) -> Self {
        let upsert = upsert_statement(&shape, true);
        let probe = Some(probe_statement(&shape));
        let stamp = stamp_statement(&shape);
        Self { shape, upsert, probe, stamp }
    }

    /// The shape of the table that rows are written to.
    pub fn shape(&self) -> &TableShape {
        &self.shape
    }
}

/// The condition under which a column is not what a fetch says it is.
fn differs(column: &TableColumn, said: &str) -> String {
    let name = quote(&column.name);
    match column.tolerance {
        None => format!("{name} IS NOT {said}"),
        Some(tolerance) => format!(
            "({name} IS NULL) <> ({said} IS NULL) OR \
             abs({name} - {said}) > {tolerance:?}"
        ),
    }
}

/// What a fetch says of a column. What a tombstone does not say stays as it is.
fn said(shape: &TableShape, column: &str) -> String {
    let name = quote(column);
    if !shape.retention.tombstones {
        return format!("excluded.{name}");
    }
    let gone = if column == "_rest" {
        format!("coalesce(json_patch(coalesce({name}, '{{}}'), excluded.{name}), {name})")
    } else {
        format!("coalesce(excluded.{name}, {name})")
    };
    format!("iif(excluded.\"_deleted_at\" IS NULL, excluded.{name}, {gone})")
}

fn upsert_statement(shape: &TableShape, late: bool) -> String {
    let key = shape.key.columns();
    let columns = shape.row_columns();
    let width = shape.row_width();
    let (time, run) = (width + 1, width + 2);
    let mut own = vec!["_first_seen_at", "_changed_at", "_revision", "_run"];
    let mut marks: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
    marks.extend([format!("?{time}"), format!("?{time}"), "1".to_owned(), format!("?{run}")]);
    if shape.retention.tombstones {
        own.push("_deleted_at");
        marks.push(format!("iif(?{width}, ?{time}, NULL)"));
    }
    let names: Vec<String> = columns.iter().map(String::as_str).chain(own).map(quote).collect();
    let insert = format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({})",
        quote(&shape.name),
        names.join(", "),
        marks.join(", "),
        key.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", "),
    );
    let keeps = shape.on_conflict == OnConflict::Keep;
    if keeps && !shape.retention.marks {
        return format!("{insert} DO NOTHING RETURNING \"_revision\"");
    }
    let changing = columns.iter().filter(|name| !keeps && !key.contains(name));
    let mut sets: Vec<String> =
        changing.map(|name| format!("{} = {}", quote(name), said(shape, name))).collect();
    let mut conditions: Vec<String> = if keeps { Vec::new() } else { vec![any_difference(shape)] };
    if let Some((mark, differs)) = mark_of(shape) {
        sets.push(mark.to_owned());
        conditions.push(differs.to_owned());
    }
    let mut condition = format!("({})", conditions.join(" OR "));
    condition.push_str(&version_condition(shape));
    if late && !keeps {
        condition.push_str(&late_condition(shape, run + 1));
    }
    // The versions of a history follow each other, also when the clock was set back meanwhile.
    let changed_at = if shape.retention.history {
        "max(\"_changed_at\", excluded.\"_changed_at\")"
    } else {
        "excluded.\"_changed_at\""
    };
    format!(
        "{insert} DO UPDATE SET {}, \"_changed_at\" = {changed_at}, \"_revision\" = \
         \"_revision\" + 1, \"_run\" = excluded.\"_run\" WHERE {condition} RETURNING \"_revision\"",
        sets.join(", ")
    )
}

/// Of a table whose rows can be marked as gone: how a fetch sets the mark, and when it must.
fn mark_of(shape: &TableShape) -> Option<(&'static str, &'static str)> {
    if shape.retention.tombstones {
        return Some((
            "\"_deleted_at\" = iif(excluded.\"_deleted_at\" IS NULL, NULL, \
             coalesce(\"_deleted_at\", excluded.\"_deleted_at\"))",
            "(\"_deleted_at\" IS NULL) <> (excluded.\"_deleted_at\" IS NULL)",
        ));
    }
    let lives = ("\"_deleted_at\" = NULL", "\"_deleted_at\" IS NOT NULL");
    shape.retention.marks.then_some(lives)
}

/// Between equal versions, and without any, the later fetch wins.
fn late_condition(shape: &TableShape, as_of: usize) -> String {
    let later = format!("\"_run\" < ?{as_of}");
    match shape.version.as_ref().map(|version| quote(version)) {
        None => format!(" AND {later}"),
        Some(v) => format!(
            " AND ({later} OR excluded.{v} > {v} OR ({v} IS NULL AND excluded.{v} IS NOT NULL))"
        ),
    }
}

/// The older never beats the newer; a tombstone need not say its version.
fn version_condition(shape: &TableShape) -> String {
    let Some(version) = shape.version.as_ref().map(|version| quote(version)) else {
        return String::new();
    };
    let unsaid = if shape.retention.tombstones {
        format!(" OR excluded.\"_deleted_at\" IS NOT NULL AND excluded.{version} IS NULL")
    } else {
        String::new()
    };
    format!(" AND ({version} IS NULL OR excluded.{version} >= {version}{unsaid})")
}

/// The columns that were read, apart from the key, and the rest.
fn any_difference(shape: &TableShape) -> String {
    let key = shape.key.columns();
    let columns = shape.columns.iter().filter(|column| !key.contains(&column.name));
    let mut conditions: Vec<String> =
        columns.map(|column| differs(column, &said(shape, &column.name))).collect();
    conditions.push(format!("\"_rest\" IS NOT {}", said(shape, "_rest")));
    conditions.join(" OR ")
}

/// Asks of a row that was not touched whether it differs: then it was protected. Only a version,
/// `on_conflict = "keep"` and a later fetch protect rows.
fn probe_statement(shape: &TableShape) -> String {
    difference_statement(shape, &|_| true, true)
}

/// Asks whether the row of the same key differs in one of the columns that count, or in its rest
/// too; there is no answer where there is no such row.
pub(crate) fn difference_statement(
    shape: &TableShape,
    counts: &dyn Fn(&str) -> bool,
    rest: bool,
) -> String {
    let columns = shape.row_columns();
    let tombstone = shape.retention.tombstones.then_some("_tombstone");
    let cells = columns.iter().map(String::as_str).chain(tombstone);
    let values: Vec<String> =
        cells.enumerate().map(|(n, name)| format!("?{} AS {}", n + 1, quote(name))).collect();
    let table = quote(&shape.name);
    let key: Vec<String> = shape
        .key
        .columns()
        .iter()
        .map(|name| format!("{table}.{0} = excluded.{0}", quote(name)))
        .collect();
    // In the condition a bare name is the table's; qualify it, since `excluded` has it too.
    let key_columns = shape.key.columns();
    let others = shape.columns.iter().filter(|c| !key_columns.contains(&c.name));
    let differences = others.filter(|c| counts(&c.name)).map(|c| {
        let name = quote(&c.name);
        let bare = differs(c, &format!("excluded.{name}"));
        let marked = bare.replace(&format!("excluded.{name}"), "\u{1}");
        marked
            .replace(&name, &format!("{table}.{name}"))
            .replace('\u{1}', &format!("excluded.{name}"))
    });
    let of_rest = rest.then(|| format!("{table}.\"_rest\" IS NOT excluded.\"_rest\""));
    let differences: Vec<String> = differences.chain(of_rest).collect();
    let differences =
        if differences.is_empty() { "0".to_owned() } else { differences.join(" OR ") };
    // A tombstone says little: what it leaves out is no difference.
    let lives = match tombstone {
        Some(_) => " AND NOT coalesce(excluded.\"_tombstone\", 0)",
        None => "",
    };
    format!(
        "SELECT ({differences}){lives} FROM {table}, (SELECT {}) AS excluded WHERE {}",
        values.join(", "),
        key.join(" AND ")
    )
}

/// A cell on its way into a statement.
pub(crate) struct Bound<'r>(pub &'r RowSet, pub Cell);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        use crate::store::value::Value;
        use rusqlite::types::ValueRef;
        Ok(match self.1 {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Integer(value) => ToSqlOutput::Owned(Value::Integer(value)),
            Cell::Real(value) => ToSqlOutput::Owned(Value::Real(value)),
            cell @ Cell::Text(..) => {
                let text = self.0.text_of(cell).unwrap_or_default();
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
            }
            cell @ Cell::Blob(..) => {
                ToSqlOutput::Borrowed(ValueRef::Blob(self.0.bytes_of(cell).unwrap_or_default()))
            }
        })
    }
}

impl Tx<'_> {
    /// Writes the rows of a page. Counts what became of them; `received` is theirs alone.
    pub fn write_rows(
        &self,
        table: &TableWriter,
        rows: &RowSet,
        run: i64,
        now: &str,
    ) -> Result<Outcomes, Error> {
        self.write_all(table, rows, None, run, now).map_err(at(&self.path))
    }

    /// Writes rows that come late by a writer [`TableWriter::for_late`]: they beat rows of an older
    /// version, and of the same version those that were last changed by a run before `as_of`.
    pub fn write_late_rows(
        &self,
        table: &TableWriter,
        rows: &RowSet,
        as_of: i64,
        run: i64,
        now: &str,
    ) -> Result<Outcomes, Error> {
        self.write_all(table, rows, Some(as_of), run, now).map_err(at(&self.path))
    }

    /// Of the row with the key of `rows.row(at)`: the run that wrote it last, and its revision.
    pub fn row_stamp(
        &self,
        table: &TableWriter,
        rows: &RowSet,
        at: usize,
    ) -> Result<Option<(i64, i64)>, Error> {
        self.read_stamp(table, rows, at).map_err(crate::store::error::at(&self.path))
    }

    fn read_stamp(
        &self,
        table: &TableWriter,
        rows: &RowSet,
        at: usize,
    ) -> rusqlite::Result<Option<(i64, i64)>> {
        let mut statement = self.connection.prepare_cached(&table.stamp)?;
        let columns = table.shape.row_columns();
        for (number, name) in table.shape.key.columns().iter().enumerate() {
            let cell = columns.iter().position(|column| column == name).unwrap_or(0);
            statement.raw_bind_parameter(number + 1, Bound(rows, rows.row(at)[cell]))?;
        }
        let mut found = statement.raw_query();
        let mut stamp = None;
        while let Some(row) = found.next()? {
            stamp = Some((row.get("_run")?, row.get("_revision")?));
        }
        Ok(stamp)
    }

    fn write_all(
        &self,
        table: &TableWriter,
        rows: &RowSet,
        as_of: Option<i64>,
        run: i64,
        now: &str,
    ) -> rusqlite::Result<Outcomes> {
        let mut upsert = self.connection.prepare_cached(&table.upsert)?;
        let mut probe = match &table.probe {
            Some(sql) => Some(self.connection.prepare_cached(sql)?),
            None => None,
        };
        let width = table.shape.row_width();
        if rows.width < width {
            // Whoever cannot tell tombstones brings none.
            upsert.raw_bind_parameter(width, 0)?;
        }
        upsert.raw_bind_parameter(width + 1, now)?;
        upsert.raw_bind_parameter(width + 2, run)?;
        if let Some(as_of) = as_of.filter(|_| table.shape.on_conflict == OnConflict::Update) {
            upsert.raw_bind_parameter(width + 3, as_of)?;
        }
        let mut outcomes = Outcomes::default();
        for at in 0..rows.len() {
            outcomes.received += 1;
            bind(&mut upsert, rows, at)?;
            match revision(&mut upsert)? {
                Some(1) => outcomes.inserted += 1,
                Some(_) => outcomes.updated += 1,
                None => {
                    let protected = match &mut probe {
                        Some(probe) => is_different(probe, rows, at)?,
                        None => false,
                    };
                    *(if protected { &mut outcomes.skipped } else { &mut outcomes.unchanged }) += 1;
                }
            }
        }
        Ok(outcomes)
    }
}

pub(crate) fn bind(
    statement: &mut CachedStatement<'_>,
    rows: &RowSet,
    at: usize,
) -> rusqlite::Result<()> {
    for (number, cell) in rows.row(at).iter().enumerate() {
        statement.raw_bind_parameter(number + 1, Bound(rows, *cell))?;
    }
    Ok(())
}

/// The revision of the row that was written, or none when it was left as it was.
fn revision(upsert: &mut CachedStatement<'_>) -> rusqlite::Result<Option<i64>> {
    let mut found = upsert.raw_query();
    let mut revision = None;
    while let Some(row) = found.next()? {
        revision = Some(only(row)?);
    }
    Ok(revision)
}

fn is_different(
    probe: &mut CachedStatement<'_>,
    rows: &RowSet,
    at: usize,
) -> rusqlite::Result<bool> {
    bind(probe, rows, at)?;
    let mut found = probe.raw_query();
    let mut different = false;
    while let Some(row) = found.next()? {
        different = only::<Option<bool>>(row)?.unwrap_or(false);
    }
    Ok(different)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Archive;
    use crate::store::table::tests::{archive_with, usage_shape};

    /// Rows of id, day, gb and at.
    fn rows(of: &[(&str, &str, f64, &str)]) -> RowSet {
        let mut rows = RowSet::new(5);
        for (id, day, gb, at) in of {
            let cells = [
                rows.push_text(id),
                rows.push_text(day),
                Cell::Real(*gb),
                if at.is_empty() { Cell::Null } else { rows.push_text(at) },
                Cell::Null,
            ];
            rows.cells.extend(cells);
        }
        rows
    }

    /// inserted, updated, unchanged, skipped
    fn write(archive: &Archive, shape: &TableShape, of: &[(&str, &str, f64, &str)]) -> [u64; 4] {
        let table = TableWriter::new(shape.clone());
        let outcomes = archive
            .transaction(|tx| tx.write_rows(&table, &rows(of), 7, "2026-01-01"))
            .expect("written");
        assert!(outcomes.add_up());
        [outcomes.inserted, outcomes.updated, outcomes.unchanged, outcomes.skipped]
    }

    fn gb(archive: &Archive) -> Vec<(String, f64, i64)> {
        let sql = "SELECT id, gb, _revision FROM usage ORDER BY id, day";
        let mut statement = archive.connection.prepare(sql).expect("a statement");
        let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        found.expect("rows").collect::<rusqlite::Result<_>>().expect("rows")
    }

    #[test]
    fn rows_are_inserted_updated_or_left_untouched() {
        let shape = usage_shape();
        let (_folder, archive) = archive_with(&shape);
        let first = [("a", "1", 1.0, ""), ("b", "1", 2.0, "")];
        assert_eq!(write(&archive, &shape, &first), [2, 0, 0, 0]);
        let changes = |archive: &Archive| archive.connection.total_changes();
        let before = changes(&archive);
        assert_eq!(write(&archive, &shape, &first), [0, 0, 2, 0]);
        assert_eq!(changes(&archive), before, "an equal row is not written");
        assert_eq!(
            write(&archive, &shape, &[("a", "1", 1.5, ""), ("c", "1", 3.0, "")]),
            [1, 1, 0, 0]
        );
        assert_eq!(
            gb(&archive),
            [("a".into(), 1.5, 2), ("b".into(), 2.0, 1), ("c".into(), 3.0, 1)]
        );
    }

    #[test]
    fn an_older_version_never_beats_a_newer_one_and_between_equals_the_later_wins() {
        let mut shape = usage_shape();
        shape.version = Some("at".to_owned());
        let (_folder, archive) = archive_with(&shape);
        let day = |gb: f64, at: &'static str| [("a", "1", gb, at)];
        assert_eq!(write(&archive, &shape, &day(1.0, "2026-02")), [1, 0, 0, 0]);
        assert_eq!(write(&archive, &shape, &day(9.0, "2026-01")), [0, 0, 0, 1], "older");
        assert_eq!(write(&archive, &shape, &day(9.0, "")), [0, 0, 0, 1], "without a version");
        assert_eq!(write(&archive, &shape, &day(1.0, "2026-02")), [0, 0, 1, 0], "equal");
        assert_eq!(write(&archive, &shape, &day(2.0, "2026-02")), [0, 1, 0, 0], "a later fetch");
        assert_eq!(write(&archive, &shape, &day(3.0, "2026-03")), [0, 1, 0, 0], "newer");
        assert_eq!(gb(&archive), [("a".into(), 3.0, 3)]);
    }

    #[test]
    fn a_late_record_beats_older_rows_alone() {
        let day = |gb: f64, at: &'static str| [("a", "1", gb, at)];
        for version in [None, Some("at".to_owned())] {
            let shape = TableShape { version, ..usage_shape() };
            let (_folder, archive) = archive_with(&shape);
            let late = TableWriter::for_late(shape.clone());
            // The run that saw the record, what it says, and what becomes of it.
            let write_late = |as_of, of: &[(&str, &str, f64, &str)]| {
                let outcomes = archive
                    .transaction(|tx| tx.write_late_rows(&late, &rows(of), as_of, 9, "2026-01-02"));
                let outcomes = outcomes.expect("written");
                [outcomes.inserted, outcomes.updated, outcomes.unchanged, outcomes.skipped]
            };
            assert_eq!(write(&archive, &shape, &day(1.0, "2026-02")), [1, 0, 0, 0], "by run 7");
            assert_eq!(write_late(6, &day(2.0, "2026-02")), [0, 0, 0, 1], "an older fetch");
            assert_eq!(write_late(7, &day(2.0, "2026-02")), [0, 0, 0, 1], "who knows");
            assert_eq!(write_late(-1, &day(2.0, "2026-02")), [0, 0, 0, 1], "taken back since");
            assert_eq!(write_late(6, &day(1.0, "2026-02")), [0, 0, 1, 0], "equal");
            assert_eq!(write_late(8, &day(2.0, "2026-02")), [0, 1, 0, 0], "a later fetch");
            assert_eq!(write_late(8, &day(3.0, "2026-02")), [0, 0, 0, 1], "the latest came first");
            assert_eq!(write_late(8, &[("b", "1", 1.0, "")]), [1, 0, 0, 0], "new");
            let newer = if shape.version.is_some() { [0, 1, 0, 0] } else { [0, 0, 0, 1] };
            assert_eq!(write_late(1, &day(4.0, "2026-03")), newer, "a newer version");
            assert_eq!(write_late(1, &day(5.0, "2026-01"))[1], 0, "an older one");
        }
    }

    #[test]
    fn values_within_the_tolerance_are_equal() {
        let mut shape = usage_shape();
        shape.columns[2].tolerance = Some(0.01);
        let (_folder, archive) = archive_with(&shape);
        assert_eq!(write(&archive, &shape, &[("a", "1", 1.0, "")]), [1, 0, 0, 0]);
        assert_eq!(write(&archive, &shape, &[("a", "1", 1.009, "")]), [0, 0, 1, 0]);
        assert_eq!(write(&archive, &shape, &[("a", "1", 1.02, "")]), [0, 1, 0, 0]);
        archive.connection.execute("UPDATE usage SET gb = NULL", []).expect("an update");
        assert_eq!(
            write(&archive, &shape, &[("a", "1", 1.02, "")]),
            [0, 1, 0, 0],
            "null is not near"
        );
    }

    #[test]
    fn an_insert_only_stream_keeps_the_first_fetch() {
        let mut shape = usage_shape();
        shape.on_conflict = OnConflict::Keep;
        let (_folder, archive) = archive_with(&shape);
        assert_eq!(write(&archive, &shape, &[("a", "1", 1.0, "")]), [1, 0, 0, 0]);
        assert_eq!(write(&archive, &shape, &[("a", "1", 2.0, "")]), [0, 0, 0, 1]);
        assert_eq!(write(&archive, &shape, &[("a", "1", 1.0, "")]), [0, 0, 1, 0]);
        assert_eq!(gb(&archive), [("a".into(), 1.0, 1)]);
    }
}

//! The streams' tables: making them, growing them, and refusing what would lose data.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::definition::ColumnType;
use crate::model::{Error, ErrorKind, KeyShape, TableColumn, TableShape};

use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::row::{from_json, only};
use crate::store::sql::quote;
use crate::store::sql::sql_type;
use crate::store::transaction::Tx;

/// The statement that makes a stream's table.
pub(crate) fn create_statement(shape: &TableShape) -> String {
    let key = shape.key.columns();
    let mut lines = Vec::new();
    if matches!(shape.key, KeyShape::Hash(_)) {
        lines.push("\"_key\" TEXT NOT NULL".to_owned());
    }
    for column in &shape.columns {
        let required = if key.contains(&column.name) { " NOT NULL" } else { "" };
        lines.push(format!("{} {}{required}", quote(&column.name), sql_type(column.kind)));
    }
    lines.extend([
        "\"_rest\" TEXT".to_owned(),
        "\"_first_seen_at\" TEXT NOT NULL".to_owned(),
        "\"_changed_at\" TEXT NOT NULL".to_owned(),
        "\"_revision\" INTEGER NOT NULL".to_owned(),
        "\"_run\" INTEGER NOT NULL".to_owned(),
    ]);
    if shape.retention.marks {
        lines.push("\"_deleted_at\" TEXT".to_owned());
    }
    let key: Vec<String> = key.iter().map(|column| quote(column)).collect();
    lines.push(format!("UNIQUE ({})", key.join(", ")));
    format!("CREATE TABLE {} (\n    {}\n) STRICT", quote(&shape.name), lines.join(",\n    "))
}

impl Reader {
    /// Whether rows of the stream's table can be marked as gone.
    pub fn has_marks(&self, stream: &str) -> Result<bool, Error> {
        let columns = crate::store::sql::live_columns(&self.connection, stream);
        let columns = columns.map_err(at(&self.path))?;
        Ok(columns.iter().any(|column| column.name == "_deleted_at"))
    }

    /// Whether the table can become the shape without losing anything.
    fn fits(&self, shape: &TableShape, key: &KeyShape, stored: &[TableColumn]) -> bool {
        let same_type = |column: &TableColumn| {
            let have = stored.iter().find(|have| have.name == column.name);
            have.is_none_or(|have| have.kind == column.kind)
                && TableColumn::other_case(stored, &column.name).is_none()
        };
        *key == shape.key && shape.columns.iter().all(same_type)
    }

    fn has_rows(&self, shape: &TableShape) -> Result<bool, Error> {
        let sql = format!("SELECT 1 FROM {} LIMIT 1", quote(&shape.name));
        let found = self.connection.prepare(&sql).and_then(|mut statement| statement.exists([]));
        let found = found.and_then(|found| Ok(found || self.has_history(&shape.name)?));
        found.map_err(at(&self.path))
    }

    /// What helps where a table cannot become what its definition says now.
    pub fn help_to_remake(&self, stream: &str) -> Result<String, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM _windrow_raw_pages WHERE stream = :stream)";
        let kept = self.connection.query_row(sql, named_params! { ":stream": stream }, only);
        let kept: bool = kept.map_err(at(&self.path))?;
        Ok(match kept {
            true => format!(
                "`windrow rebuild {stream}` shows what making the table again from its kept pages \
                 changes; or give the stream another name, or go back to what it was"
            ),
            false => format!(
                "give the stream another name, or go back to what it was; no pages of it are kept \
                 (`raw = true`), of which `windrow rebuild {stream}` could make the table again"
            ),
        })
    }

    fn stored_table(&self, stream: &str) -> Result<Option<(KeyShape, Vec<TableColumn>)>, Error> {
        stored_table(&self.connection, stream).map_err(at(&self.path))
    }
}

impl Tx<'_> {
    /// Makes the stream's table, or brings the one that is there up to the definition: columns
    /// that were added are added, and named; a changed key or type is refused. In a transaction of
    /// the caller's.
    pub fn ensure_table(
        &self,
        shape: &TableShape,
        start_at: Option<&str>,
        now: &str,
    ) -> Result<Vec<String>, Error> {
        let mut added = Vec::new();
        let new = match self.stored_table(&shape.name)? {
            None => true,
            Some((key, columns)) if self.fits(shape, &key, &columns) || self.has_rows(shape)? => {
                added = self.grow_table(shape, &key, columns)?;
                false
            }
            Some(_) => {
                // A table that never held a row is made again: a misspelt key costs nothing.
                self.drop_empty_history(&shape.name).map_err(at(&self.path))?;
                let drop = format!("DROP TABLE {}", quote(&shape.name));
                self.connection.execute_batch(&drop).map_err(at(&self.path))?;
                let forget = "DELETE FROM _windrow_streams WHERE stream = :name";
                self.connection
                    .execute(forget, named_params! { ":name": &shape.name })
                    .map_err(at(&self.path))?;
                true
            }
        };
        if new {
            self.create_table(shape, start_at, now)?;
        }
        if shape.retention.marks && !self.has_marks(&shape.name)? {
            let add = format!("ALTER TABLE {} ADD COLUMN \"_deleted_at\" TEXT", quote(&shape.name));
            self.connection.execute_batch(&add).map_err(at(&self.path))?;
        }
        self.settle_history(shape, new, now)?;
        Ok(added)
    }

    fn create_table(
        &self,
        shape: &TableShape,
        start_at: Option<&str>,
        now: &str,
    ) -> Result<(), Error> {
        let taken = "SELECT type FROM sqlite_schema WHERE lower(name) = lower(:name)";
        let taken: Option<String> = self
            .connection
            .query_row(taken, named_params! { ":name": &shape.name }, only)
            .optional()
            .map_err(at(&self.path))?;
        if let Some(kind) = taken {
            let message = format!(
                "the archive already has a {kind} `{}` that windrow did not make",
                shape.name
            );
            let help = "give the stream another name, or rename the table";
            return Err(Error::new(ErrorKind::Definition, message).help(help));
        }
        let sql = create_statement(shape);
        self.connection.execute_batch(&sql).map_err(at(&self.path))?;
        let (key, columns) = stored_text(shape);
        let insert = "INSERT INTO _windrow_streams
            (stream, key, columns, inferred, start_at, created_at) VALUES (:name, :key, :columns,
            :inferred, :start_at, :now)";
        let values = named_params! {
            ":name": &shape.name,
            ":key": key,
            ":columns": columns,
            ":inferred": shape.inferred,
            ":start_at": start_at,
            ":now": now,
        };
        self.connection.execute(insert, values).map_err(at(&self.path))?;
        Ok(())
    }

    fn grow_table(
        &self,
        shape: &TableShape,
        key: &KeyShape,
        stored: Vec<TableColumn>,
    ) -> Result<Vec<String>, Error> {
        let refuse = |what: String| {
            let help = self.help_to_remake(&shape.name)?;
            Err(Error::new(ErrorKind::Definition, what).help(help))
        };
        if *key != shape.key {
            return refuse(format!(
                "the key of stream `{}` was ({}) and is now ({})",
                shape.name,
                key_text(key),
                key_text(&shape.key)
            ));
        }
        let mut all = stored.clone();
        for column in &shape.columns {
            if let Some(other) = TableColumn::other_case(&stored, &column.name) {
                return Err(other_member(&shape.name, &other.name, &column.name));
            }
            match stored.iter().find(|have| have.name == column.name) {
                Some(have) if have.kind != column.kind => {
                    return refuse(format!(
                        "the column `{}` of stream `{}` was {} and is now {}",
                        column.name,
                        shape.name,
                        type_text(have.kind),
                        type_text(column.kind)
                    ));
                }
                Some(_) => {}
                None => {
                    let name = quote(&column.name);
                    let table = quote(&shape.name);
                    let kind = sql_type(column.kind);
                    let sql = format!("ALTER TABLE {table} ADD COLUMN {name} {kind}");
                    self.connection.execute_batch(&sql).map_err(at(&self.path))?;
                    all.push(column.clone());
                }
            }
        }
        if all != stored {
            let columns = serde_json::to_string(&all).expect("columns can be written as JSON");
            let sql = "UPDATE _windrow_streams SET columns = :columns WHERE stream = :name";
            self.connection
                .execute(sql, named_params! { ":columns": &columns, ":name": &shape.name })
                .map_err(at(&self.path))?;
        }
        Ok(all.into_iter().skip(stored.len()).map(|column| column.name).collect())
    }
}

/// A column is not another one's whose name differs in the case of letters alone.
fn other_member(stream: &str, have: &str, new: &str) -> Error {
    let message = format!(
        "stream `{stream}` has a column `{have}`, and `{new}` is another member of the source, \
         whose name SQLite cannot tell from it"
    );
    let help = format!(
        "call the new column otherwise and say where it comes from, such as \
         `{new}_2 = {{ type = \"text\", path = \"$.{new}\" }}`"
    );
    Error::new(ErrorKind::Definition, message).help(help)
}

/// The key and columns that a stream's table was made with.
pub(crate) fn stored_table(
    connection: &Connection,
    stream: &str,
) -> rusqlite::Result<Option<(KeyShape, Vec<TableColumn>)>> {
    let sql = "SELECT key, columns FROM _windrow_streams WHERE stream = :stream";
    let mut statement = connection.prepare_cached(sql)?;
    let texts = statement
        .query_row(named_params! { ":stream": stream }, |row| {
            Ok((row.get::<_, String>("key")?, row.get::<_, String>("columns")?))
        })
        .optional()?;
    let Some((key, columns)) = texts else { return Ok(None) };
    Ok(Some((from_json(&key, 0)?, from_json(&columns, 1)?)))
}

pub(crate) fn stored_text(shape: &TableShape) -> (String, String) {
    let json = "the shape of a table can be written as JSON";
    (
        serde_json::to_string(&shape.key).expect(json),
        serde_json::to_string(&shape.columns).expect(json),
    )
}

pub(crate) fn key_text(key: &KeyShape) -> String {
    match key {
        KeyShape::Columns(columns) => columns.join(", "),
        KeyShape::Hash(fields) => format!("hash of {}", fields.join(", ")),
    }
}

/// The type as a definition writes it.
pub(crate) fn type_text(kind: ColumnType) -> String {
    format!("{kind:?}").to_lowercase()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use std::str::FromStr;

    use super::*;
    use crate::definition::OnConflict;
    use crate::store::Archive;
    use crate::store::row::named;

    /// The texts of a column that are read, and the last one that is not.
    fn read<T: FromStr + std::fmt::Debug>(texts: &[&str]) {
        let connection = Connection::open_in_memory().expect("memory");
        for text in texts {
            let read = connection.query_row("SELECT ?1 AS word", [text], |row| {
                named::<T>(row, "word", ("_windrow_x", "word"))
            });
            match read {
                Ok(_) => assert_ne!(*text, "odd"),
                Err(error) => {
                    let told = crate::store::error::classify(Path::new("a.db"), &error);
                    assert_eq!((*text, told.kind), ("odd", ErrorKind::Unusable), "{told}");
                    assert!(told.message.contains("`odd` is no value of `word` in `_windrow_x`"));
                }
            }
        }
    }

    #[test]
    fn a_text_that_is_no_name_of_its_enum_is_an_error_that_names_it() {
        use crate::definition::{Severity, WriteMethod};
        use crate::model::{EntryState, FieldUse, Kinds, RejectKind, RunState, State};
        read::<State>(&["partial", "complete", "settled", "truncated", "odd"]);
        read::<RunState>(&["running", "complete", "incomplete", "failed", "interrupted", "odd"]);
        read::<EntryState>(&["queued", "sending", "done", "rejected", "unknown", "odd"]);
        read::<EntryState>(&["expired", "cancelled", "odd"]);
        read::<RejectKind>(&["not_an_object", "no_key", "type", "duplicate_member", "odd"]);
        read::<RejectKind>(&["ambiguous_time", "unrepresentable", "orphan", "odd"]);
        read::<FieldUse>(&["always", "sometimes", "gone", "odd"]);
        read::<Kinds>(&["null", "boolean|number|text|array|object", "odd"]);
        read::<Severity>(&["info", "warning", "error", "odd"]);
        read::<WriteMethod>(&["POST", "PUT", "PATCH", "DELETE", "odd"]);
    }

    /// A table of id, day, gb and at, keyed by id and day.
    pub fn usage_shape() -> TableShape {
        let column =
            |name: &str, kind| TableColumn { name: name.to_owned(), kind, tolerance: None };
        TableShape {
            name: "usage".to_owned(),
            columns: vec![
                column("id", ColumnType::Text),
                column("day", ColumnType::Date),
                column("gb", ColumnType::Real),
                column("at", ColumnType::Timestamp),
            ],
            key: KeyShape::Columns(vec!["id".to_owned(), "day".to_owned()]),
            version: None,
            on_conflict: OnConflict::Update,
            references: Vec::new(),
            inferred: false,
            retention: crate::model::Retention::default(),
        }
    }

    /// A new archive in a folder of its own, with that table.
    pub fn archive_with(shape: &TableShape) -> (tempfile::TempDir, Archive) {
        let folder = tempfile::tempdir().expect("a folder");
        let files = &crate::host::SystemFiles;
        let opening =
            crate::store::Opening { note: "test", now: "now", allow_network_fs: false, files };
        let archive = Archive::open(&folder.path().join("a.db"), &opening);
        let archive = archive.expect("a new archive");
        archive.transaction(|tx| tx.ensure_table(shape, None, "now")).expect("a table");
        (folder, archive)
    }

    #[test]
    fn a_table_is_plain_typed_strict_and_unique_by_its_key() {
        let sql = create_statement(&usage_shape());
        assert_eq!(
            sql,
            "CREATE TABLE \"usage\" (\n    \"id\" TEXT NOT NULL,\n    \"day\" TEXT NOT NULL,\n    \
             \"gb\" REAL,\n    \"at\" TEXT,\n    \"_rest\" TEXT,\n    \"_first_seen_at\" TEXT NOT \
             NULL,\n    \"_changed_at\" TEXT NOT NULL,\n    \"_revision\" INTEGER NOT NULL,\n    \
             \"_run\" INTEGER NOT NULL,\n    UNIQUE (\"id\", \"day\")\n) STRICT"
        );
    }

    #[test]
    fn a_new_column_is_added_and_a_changed_key_or_type_is_refused() {
        let shape = usage_shape();
        let (_folder, archive) = archive_with(&shape);
        let mut empty = shape.clone();
        empty.columns[2].kind = ColumnType::Text;
        archive
            .transaction(|tx| tx.ensure_table(&empty, None, "now"))
            .expect("an empty table is made again");
        archive.transaction(|tx| tx.ensure_table(&shape, None, "now")).expect("and again");
        let row = "INSERT INTO usage VALUES ('a', '1', 1.0, NULL, NULL, 'now', 'now', 1, 1)";
        archive.connection.execute(row, []).expect("a row");
        let mut more = shape.clone();
        let plan = TableColumn { name: "plan".into(), kind: ColumnType::Text, tolerance: None };
        more.columns.push(plan);
        archive.transaction(|tx| tx.ensure_table(&more, None, "now")).expect("a column more");
        archive.connection.prepare("SELECT plan FROM usage").expect("the column is there");
        archive
            .transaction(|tx| tx.ensure_table(&shape, None, "now"))
            .expect("a column less in the definition");
        let mut retyped = shape.clone();
        retyped.columns[2].kind = ColumnType::Text;
        let error = archive
            .transaction(|tx| tx.ensure_table(&retyped, None, "now"))
            .expect_err("a type changed");
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Definition, "the column `gb` of stream `usage` was real and is now text")
        );
        let mut rekeyed = shape;
        rekeyed.key = KeyShape::Columns(vec!["id".into()]);
        let error = archive
            .transaction(|tx| tx.ensure_table(&rekeyed, None, "now"))
            .expect_err("a key changed");
        assert_eq!(error.kind, ErrorKind::Definition);
    }

    #[test]
    fn a_table_of_the_analyst_is_never_taken_over() {
        let (_folder, archive) = archive_with(&usage_shape());
        archive.connection.execute_batch("CREATE TABLE Mine (a)").expect("a table");
        let mut shape = usage_shape();
        shape.name = "mine".to_owned();
        let error =
            archive.transaction(|tx| tx.ensure_table(&shape, None, "now")).expect_err("taken");
        assert_eq!(error.kind, ErrorKind::Definition);
    }
}

//! The formats of an archive: the first one, and the migrations that lead from each to the next.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use refinery_core::{Runner, Target};
use rusqlite::Connection;

/// The formats that this program reads, and writes the newest of.
pub const FORMATS: Formats = Formats(&[Migration {
    name: "V1__archive",
    sql: include_str!("../../migrations/V1__archive.sql"),
}]);

/// The table in which an archive notes its migrations.
const APPLIED: &str = "_windrow_migrations";

/// What makes a format of the one before it.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// `V2__words`: the number of the format, and what it brings.
    pub name: &'static str,
    /// The SQL statements of the migration.
    pub sql: &'static str,
}

/// The formats that a program knows: one for each migration, numbered from 1.
#[derive(Clone, Copy, Debug)]
pub struct Formats(pub &'static [Migration]);

/// One of the formats that a program knows.
#[derive(Clone, Copy, Debug)]
pub struct ArchiveFormat {
    formats: Formats,
    version: i32,
}

impl Formats {
    /// The format of a new archive, to which an older one is brought before it is written.
    pub fn newest(self) -> ArchiveFormat {
        let version = i32::try_from(self.0.len()).expect("there are few formats");
        ArchiveFormat { formats: self, version }
    }

    /// The format of this version; none for one of a newer program.
    pub(crate) fn known(self, version: i32) -> Option<ArchiveFormat> {
        (version <= self.newest().version).then_some(ArchiveFormat { formats: self, version })
    }
}

impl ArchiveFormat {
    /// Its number, which `PRAGMA user_version` holds.
    pub fn version(self) -> i32 {
        self.version
    }

    /// Whether the program knows of none after it.
    pub(crate) fn is_newest(self) -> bool {
        self.version == self.formats.newest().version
    }

    /// windrow's own tables and indexes in this format, as its migrations make them.
    pub(crate) fn schema(self) -> rusqlite::Result<Vec<SchemaObject>> {
        // By the statements of the last migration, since lists of formats differ in their ends.
        type KnownSchemas = BTreeMap<(i32, &'static str), Vec<SchemaObject>>;
        static KNOWN: Mutex<KnownSchemas> = Mutex::new(BTreeMap::new());
        let last = usize::try_from(self.version).unwrap_or(0).checked_sub(1);
        let sql = last.and_then(|last| self.formats.0.get(last)).map_or("", |last| last.sql);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(objects) = known.get(&(self.version, sql)) {
            return Ok(objects.clone());
        }
        let mut connection = Connection::open_in_memory()?;
        self.run(&mut connection).map_err(|error| {
            // They run in memory, and ran when this was built.
            rusqlite::Error::ToSqlConversionFailure(Box::new(error))
        })?;
        let objects = objects(&connection)?;
        known.insert((self.version, sql), objects.clone());
        Ok(objects)
    }

    pub(super) fn run(self, connection: &mut Connection) -> Result<(), refinery_core::Error> {
        let migrations: Vec<refinery_core::Migration> = (self.formats.0.iter())
            .map(|migration| refinery_core::Migration::unapplied(migration.name, migration.sql))
            .collect::<Result<_, _>>()?;
        let mut runner =
            Runner::new(&migrations).set_grouped(true).set_target(Target::Version(self.version));
        runner.set_migration_table_name(APPLIED);
        runner.run(connection).map(|_| ())
    }
}

/// An object of a schema: its type, its name, its table's, and its statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SchemaObject {
    pub kind: String,
    pub name: String,
    pub table: String,
    pub sql: String,
}

/// The objects of a schema, without those that SQLite makes by itself.
pub(crate) fn objects(connection: &Connection) -> rusqlite::Result<Vec<SchemaObject>> {
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL
        ORDER BY type, name";
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_map([], |row| {
        Ok(SchemaObject {
            kind: row.get("type")?,
            name: row.get("name")?,
            table: row.get("tbl_name")?,
            sql: row.get("sql")?,
        })
    })?;
    found.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::Path;

    /// A later windrow's: one format more than this one's.
    pub(crate) const LATER: Formats = Formats(&[
        FORMATS.0[0],
        Migration { name: "V2__later", sql: include_str!("../../tests/sim/src/later_format.sql") },
    ]);

    #[test]
    fn the_formats_are_the_files_of_the_migrations_in_their_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut found = Vec::new();
        for file in folder.read_dir().expect("the folder") {
            let path = file.expect("a file").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            found.push((name, std::fs::read_to_string(&path).expect("a migration")));
        }
        let mut known: Vec<(String, String)> =
            FORMATS.0.iter().map(|it| (it.name.to_owned(), it.sql.to_owned())).collect();
        for (number, (name, _)) in known.iter().enumerate() {
            assert!(name.starts_with(&format!("V{}__", number + 1)), "{name}");
        }
        found.sort();
        known.sort();
        assert_eq!(found, known);
    }

    #[test]
    fn a_format_says_its_own_number() {
        for formats in [FORMATS, LATER] {
            for version in 1..=formats.newest().version() {
                let format = formats.known(version).expect("a format");
                let mut connection = Connection::open_in_memory().expect("memory");
                format.bring(&mut connection, Path::new("a.db")).expect("it is made");
                let sql = "SELECT user_version FROM pragma_user_version";
                let number: i32 = connection.query_row(sql, [], |row| row.get(0)).expect(sql);
                let sql = "SELECT value FROM _windrow_meta WHERE name = 'format'";
                let text: String = connection.query_row(sql, [], |row| row.get(0)).expect(sql);
                assert_eq!((number, text), (version, version.to_string()));
            }
        }
    }

    /// The statements of the file, one after the other, without a runner and its order.
    #[test]
    fn the_schema_of_a_new_archive_is_what_the_first_migration_says() {
        let connection = Connection::open_in_memory().expect("memory");
        connection.execute_batch(FORMATS.0[0].sql).expect("the first migration");
        let said = objects(&connection).expect("a schema");
        let (_folder, archive) =
            crate::store::table::tests::archive_with(&crate::store::table::tests::usage_shape());
        let made: Vec<SchemaObject> = objects(&archive.connection)
            .expect("a schema")
            .into_iter()
            .filter(|object| object.table != "usage" && object.name != APPLIED)
            .collect();
        assert_eq!(made, said);
        for object in &said {
            assert!(object.name.starts_with("_windrow_"), "{object:?}");
            assert!(["table", "index"].contains(&object.kind.as_str()), "{object:?}");
        }
    }

    /// What a part of an archive puts away of its ledger is copied column by column.
    #[test]
    fn the_ledger_of_a_part_has_the_columns_of_the_ledger() {
        let connection = Connection::open_in_memory().expect("memory");
        connection.execute_batch(FORMATS.0[0].sql).expect("the first migration");
        let columns = |table: &str| -> Vec<(String, String, bool)> {
            let sql = "SELECT name, type, \"notnull\" FROM pragma_table_info(?1) ORDER BY cid";
            let mut statement = connection.prepare(sql).expect(sql);
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            let rows = statement.query_map([table], row).expect("columns");
            rows.collect::<rusqlite::Result<_>>().expect("columns")
        };
        assert_eq!(columns("_windrow_part_ledger"), columns("_windrow_ledger"));
    }
}

//! Archives that no windrow has made: a real one in which one thing was changed by somebody who
//! knows SQLite. Each is one of a kind; the kinds times windrow's own tables and columns are some
//! thousands.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// A real archive, and what its own tables are made of.
pub struct Base {
    path: PathBuf,
    tables: Vec<Table>,
}

struct Table {
    name: String,
    sql: String,
    columns: Vec<(String, String)>,
}

/// One change.
pub struct Hostile {
    /// What was done, in a word.
    pub kind: String,
    /// To what.
    pub to: String,
    change: Change,
}

enum Change {
    /// Statements, with the checks and the protection of the schema off.
    Sql(Vec<String>),
    /// A column's value in every row, whatever the column's type and rules are.
    Value { table: usize, column: String, value: &'static str },
    /// The text of a table in the schema.
    Schema { table: usize, sql: String },
    /// Bytes of the file.
    Bytes(OnBytes),
}

/// What is done to the bytes of a file.
type OnBytes = Box<dyn Fn(&mut Vec<u8>)>;

/// Values that some column has no use for.
const VALUES: &[(&str, &str)] = &[
    ("NULL", "NULL"),
    ("a text", "'x'"),
    ("an empty text", "''"),
    ("-1", "-1"),
    ("the least number", "-9223372036854775808"),
    ("the greatest number", "9223372036854775807"),
    ("a real", "1.5"),
    ("a blob", "x'ff00'"),
    ("a text that is no Unicode", "CAST(x'61ff' AS TEXT)"),
    ("the year 9999", "'9999-12-31T23:59:59+00:00'"),
    ("the year -1", "'-0001-01-01T00:00:00+00:00'"),
    ("the year 262142", "'+262142-12-31T23:59:59+00:00'"),
    ("JSON that was cut off", "'{\"a\":['"),
    ("a list", "'[]'"),
    ("an object", "'{\"columns\":[1]}'"),
    ("deep JSON", "replace(hex(zeroblob(20000)), '0', '[')"),
    ("a long text", "hex(zeroblob(600000))"),
    ("a NUL", "'a' || char(0) || 'b'"),
    ("control characters", "char(27) || '[31m' || char(10) || 'q\"'';'"),
    ("2", "2"),
    ("0", "0"),
];

/// Names that no stream of a definition has.
const NAMES: &[&str] = &[
    "'a\"b'",
    "char(27) || '[31mb'",
    "'sqlite_x'",
    "'_windrow_runs'",
    "'a' || char(0) || 'b'",
    "hex(zeroblob(40000))",
    "'a b; drop'",
    "''",
    "'USAGE'",
    "'usage_history'",
];

/// Definitions that nobody would write.
const DEFINITIONS: &[&str] = &[
    "'[[['",
    "hex(zeroblob(300000))",
    "'a=' || replace(hex(zeroblob(3000)), '0', '[')",
    "'[archive]' || char(10) || 'path = \"a.db\"' || char(10) || '[streams.\"a\\u001b\\\"b\"]'",
    "''",
    "'[archive]' || char(10) || 'path = \"/etc/passwd\"'",
];

/// What may stand in the place of a table: `{t}` is its name, `{first}` its first column, `{list}`
/// its columns.
const INSTEAD: &[(&str, &[&str])] = &[
    ("no table", &["DROP TABLE {t}"]),
    ("no rows", &["DELETE FROM {t}"]),
    ("a view", &["ALTER TABLE {t} RENAME TO copied", "CREATE VIEW {t} AS SELECT * FROM copied"]),
    ("a virtual table", &["DROP TABLE {t}", "CREATE VIRTUAL TABLE {t} USING fts5(word)"]),
    ("other columns", &["DROP TABLE {t}", "CREATE TABLE {t} (x, y)"]),
    (
        "no rules and each row twice",
        &[
            "ALTER TABLE {t} RENAME TO copied",
            "CREATE TABLE {t} AS SELECT * FROM copied",
            "INSERT INTO {t} SELECT * FROM copied",
            "DROP TABLE copied",
        ],
    ),
    (
        "generated columns",
        &["DROP TABLE {t}", "CREATE TABLE {t} (zz, {generated})", "INSERT INTO {t} VALUES ('a')"],
    ),
    ("a trigger", &["CREATE TRIGGER zz BEFORE INSERT ON {t} BEGIN SELECT raise(ABORT, 'no'); END"]),
    ("a trigger", &["CREATE TRIGGER zz BEFORE UPDATE ON {t} BEGIN SELECT raise(ABORT, 'no'); END"]),
    ("a trigger", &["CREATE TRIGGER zz BEFORE DELETE ON {t} BEGIN DELETE FROM {t}; END"]),
    ("an index on an expression", &["CREATE INDEX zz ON {t} (abs({first}))"]),
];

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[expect(clippy::disallowed_methods, reason = "a stranger uses plain SQLite")]
fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("an SQLite file");
    let off = "PRAGMA writable_schema = ON; PRAGMA ignore_check_constraints = ON;
        PRAGMA foreign_keys = OFF";
    connection.execute_batch(off).expect("settings");
    connection
}

/// A table's statement without its rules.
fn loosened(sql: &str) -> String {
    let lines: Vec<&str> =
        sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    lines.join("\n").replace("NOT NULL", "").replace("STRICT, ", "").replace("STRICT", "")
}

fn write_schema(connection: &Connection, table: &str, sql: &str) -> rusqlite::Result<()> {
    let set = "UPDATE sqlite_schema SET sql = ?1 WHERE name = ?2 AND type = 'table'";
    connection.execute(set, [sql, table])?;
    let sql = "PRAGMA schema_version";
    let version: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    connection.execute_batch(&format!("PRAGMA schema_version = {}", version + 1))
}

/// A row of a table that has none, so that there is something to change.
fn fill(connection: &Connection, table: &Table) -> rusqlite::Result<()> {
    let value = |(name, kind): &(String, String)| match (name.as_str(), kind.as_str()) {
        ("stream", _) => "'usage'",
        (name, "TEXT") if name.ends_with("_at") => "'2026-01-02T00:00:00+00:00'",
        (_, "INTEGER") => "1",
        (_, "BLOB") => "x'00'",
        _ => "'x'",
    };
    let values: Vec<&str> = table.columns.iter().map(value).collect();
    let name = quoted(&table.name);
    let sql = format!(
        "INSERT INTO {name} SELECT {} WHERE NOT EXISTS (SELECT 1 FROM {name})",
        values.join(", ")
    );
    connection.execute(&sql, []).map(drop)
}

impl Base {
    /// An archive that is one file.
    pub fn of(path: &Path) -> Base {
        let connection = open(path);
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'table'
            AND name NOT LIKE 'sqlite%' ORDER BY name";
        let mut statement = connection.prepare(sql).expect(sql);
        let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect(sql);
        let found: Vec<(String, String)> = found.collect::<Result<_, _>>().expect(sql);
        let columns = |name: &str| {
            let sql = "SELECT name, type FROM pragma_table_info(?1)";
            let mut statement = connection.prepare(sql).expect(sql);
            let found = statement.query_map([name], |row| Ok((row.get(0)?, row.get(1)?)));
            found.expect(sql).collect::<Result<_, _>>().expect(sql)
        };
        let table = |(name, sql): (String, String)| {
            let columns = columns(&name);
            Table { name, sql, columns }
        };
        Base { path: path.to_owned(), tables: found.into_iter().map(table).collect() }
    }

    /// All of them.
    pub fn hostile(&self) -> Vec<Hostile> {
        let mut all = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            all.extend(INSTEAD.iter().map(|(kind, sql)| table.instead(kind, sql)));
            let first = quoted(&table.columns[0].0);
            let fewer = format!("CREATE TABLE {} ({first})", quoted(&table.name));
            for (kind, sql) in [("fewer columns in the schema", fewer.as_str()), ("no SQL", "x(")] {
                let change = Change::Schema { table: number, sql: sql.to_owned() };
                all.push(Hostile { kind: kind.to_owned(), to: table.name.clone(), change });
            }
            for (column, _) in &table.columns {
                all.extend(VALUES.iter().map(|(kind, value)| {
                    let change = Change::Value { table: number, column: column.clone(), value };
                    let to = format!("{}.{column}", table.name);
                    Hostile { kind: (*kind).to_owned(), to, change }
                }));
            }
        }
        all.extend(statements());
        all.extend(self.bytes());
        all
    }

    /// Changes of the header, of pages, and of the length.
    fn bytes(&self) -> Vec<Hostile> {
        let length = std::fs::metadata(&self.path).expect("the archive").len();
        let length = usize::try_from(length).expect("a small archive");
        let mut all = Vec::new();
        let mut add = |kind: &str, at: usize, change: OnBytes| {
            let change = Change::Bytes(change);
            all.push(Hostile { kind: kind.to_owned(), to: format!("byte {at}"), change });
        };
        for at in 0..100 {
            for byte in [0, 1, 255] {
                add("a byte of the header", at, Box::new(move |bytes| bytes[at] = byte));
            }
        }
        for page in (0..length).step_by(4096) {
            let body = page + if page == 0 { 100 } else { 0 };
            add("a page of zeros", page, Box::new(move |bytes| bytes[body..page + 4096].fill(0)));
            add("a page header", page, Box::new(move |bytes| bytes[body..body + 60].fill(255)));
            add("bytes of a page", page, Box::new(move |bytes| scatter(bytes, body, page + 4096)));
        }
        for at in [0, 1, 99, 100, 512, 4095, 4096, 5000, length / 2, length - 1] {
            add("a file that was cut off", at, Box::new(move |bytes| bytes.truncate(at)));
        }
        all
    }

    /// Writes one to `to`; false where the change cannot be made.
    pub fn make(&self, hostile: &Hostile, to: &Path) -> bool {
        std::fs::copy(&self.path, to).expect("a copy");
        let made = self.change(&hostile.change, to);
        // What cannot be made is no file that somebody could hand over.
        made.is_ok()
    }

    fn change(&self, change: &Change, to: &Path) -> rusqlite::Result<()> {
        match change {
            Change::Bytes(change) => {
                let mut bytes = std::fs::read(to).expect("the copy");
                change(&mut bytes);
                std::fs::write(to, bytes).expect("the copy");
                Ok(())
            }
            Change::Sql(statements) => open(to).execute_batch(&statements.join(";\n")),
            Change::Schema { table, sql } => {
                write_schema(&open(to), &self.tables[*table].name, sql)
            }
            Change::Value { table, column, value } => {
                let table = &self.tables[*table];
                write_schema(&open(to), &table.name, &loosened(&table.sql))?;
                let connection = open(to);
                fill(&connection, table)?;
                let (name, column) = (quoted(&table.name), quoted(column));
                let set = format!("UPDATE OR IGNORE {name} SET {column} = {value}");
                connection.execute(&set, [])?;
                write_schema(&connection, &table.name, &table.sql)
            }
        }
    }
}

impl Table {
    fn instead(&self, kind: &str, sql: &[&str]) -> Hostile {
        let generated = self.columns.iter().enumerate();
        let generated: Vec<String> =
            generated.map(|(at, (name, _))| format!("{} AS (zz || {at})", quoted(name))).collect();
        let fit = |sql: &&str| {
            sql.replace("{t}", &quoted(&self.name))
                .replace("{first}", &quoted(&self.columns[0].0))
                .replace("{generated}", &generated.join(", "))
        };
        let change = Change::Sql(sql.iter().map(fit).collect());
        Hostile { kind: kind.to_owned(), to: self.name.clone(), change }
    }
}

/// Changes that are told by a statement.
fn statements() -> Vec<Hostile> {
    let mut all = Vec::new();
    let mut add = |kind: &str, to: &str, sql: Vec<String>| {
        let change = Change::Sql(sql);
        all.push(Hostile { kind: kind.to_owned(), to: to.to_owned(), change });
    };
    for name in NAMES {
        let tables = ["_windrow_streams", "_windrow_ledger", "_windrow_rejects"];
        let sql = tables.map(|table| format!("UPDATE OR IGNORE {table} SET stream = {name}"));
        add("the name of a stream", name, sql.to_vec());
    }
    for text in DEFINITIONS {
        let set = format!("UPDATE _windrow_definitions SET text = {text} || char(10)");
        add("a definition", text, vec![set]);
    }
    for version in ["0", "-1", "5", "10", "99", "2147483647"] {
        add("a format", version, vec![format!("PRAGMA user_version = {version}")]);
    }
    add("another program's", "file", vec!["PRAGMA application_id = 1".to_owned()]);
    let index = "UPDATE sqlite_schema SET rootpage = 2 WHERE type IN ('table', 'index')";
    add("one page for all", "tables", vec![index.to_owned()]);
    let bomb = "UPDATE _windrow_raw_bodies SET bytes = 9223372036854775807";
    add("a page", "larger than all", vec![bomb.to_owned()]);
    let cut = "UPDATE _windrow_raw_bodies SET body = substr(body, 1, length(body) / 2)";
    add("a page", "that was cut off", vec![cut.to_owned()]);
    all
}

/// A few bytes between two places become others, the same each time.
fn scatter(bytes: &mut [u8], from: usize, to: usize) {
    let mut random = fastrand::Rng::with_seed(from as u64);
    for _ in 0..6 {
        bytes[random.usize(from..to)] = random.u8(..);
    }
}

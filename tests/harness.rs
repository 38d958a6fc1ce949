//! Runs the real binary in a folder of its own, with a clean environment, a fixed clock and seed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The day on which most tests happen.
pub const NOW: &str = "2026-01-10T12:00:00Z";

/// A folder with a definition, and the binary to run in it.
pub struct Workspace {
    folder: TempDir,
    now: String,
    variables: Vec<(String, String)>,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    /// Fails with everything that was printed unless the exit code is as expected.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Workspace {
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, now: NOW.to_owned(), variables: Vec::new() }
    }

    /// A workspace whose `windrow.toml` is this text.
    pub fn new(definition: &str) -> Self {
        let workspace = Self::empty();
        workspace.define(definition);
        workspace
    }

    pub fn define(&self, definition: &str) {
        std::fs::write(self.path("windrow.toml"), definition).expect("the definition is written");
    }

    pub fn at(&mut self, now: &str) -> &mut Self {
        now.clone_into(&mut self.now);
        self
    }

    pub fn variable(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windrow"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("WINDROW_TEST_NOW", &self.now)
            .env("WINDROW_TEST_SEED", "1")
            .env("TMPDIR", self.folder.path())
            .env("WINDROW_STATE_DIR", self.folder.path().join("state"))
            .env("WINDROW_KEYS_DIR", self.folder.path().join("keys"))
            .stdin(Stdio::null());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().expect("windrow starts");
        ran(&output)
    }

    /// Runs `windrow sync` and expects it to end with 0.
    pub fn sync(&self) -> Ran {
        self.run(&["sync", "--json"]).expect(0)
    }

    /// Trusts the definition that only this archive holds, as its receiver would.
    pub fn trust(&self, archive: &str) {
        let shown = self.run(&["--archive", archive, "trust", "--json"]).expect(0).json();
        let digest = shown["grant"]["digest"].as_str().expect("a digest");
        self.run(&["--archive", archive, "trust", "--accept", digest]).expect(0);
    }

    /// The rows of a query on the archive, joined by `|`, by SQLite itself and not by windrow.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.path("a.db"), sql)
    }

    /// One value.
    pub fn value(&self, sql: &str) -> String {
        self.rows(sql).into_iter().next().unwrap_or_else(|| panic!("no row: {sql}"))
    }

    /// The digest of each stream.
    pub fn digests(&self) -> serde_json::Value {
        self.run(&["status", "--digest", "--json"]).expect(0).json()["digests"].clone()
    }
}

/// What a finished process did.
pub fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The rows of a query on any SQLite file, joined by `|`.
#[expect(clippy::disallowed_methods, reason = "tests look at archives with plain SQLite")]
pub fn rows(path: &Path, sql: &str) -> Vec<String> {
    use rusqlite::types::ValueRef;
    let connection = rusqlite::Connection::open(path).expect("an SQLite file");
    let mut statement = connection.prepare(sql).expect(sql);
    let width = statement.column_count();
    let mut found = statement.query([]).expect(sql);
    let mut lines = Vec::new();
    while let Some(row) = found.next().expect(sql) {
        let cells: Vec<String> = (0..width)
            .map(|at| match row.get_ref(at).expect("a value") {
                ValueRef::Null => "NULL".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => format!("{number:?}"),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Blob(bytes) => format!("{bytes:?}"),
            })
            .collect();
        lines.push(cells.join("|"));
    }
    lines
}

/// Counts of a report as `received inserted updated unchanged skipped rejected`.
pub fn counts(report: &serde_json::Value, stream: &str) -> String {
    let streams = report["streams"].as_array().expect("streams");
    let found = streams.iter().find(|each| each["stream"] == stream).expect(stream);
    let names = ["received", "inserted", "updated", "unchanged", "skipped", "rejected"];
    names.map(|name| found[name].to_string()).join(" ")
}

/// Runs statements on any SQLite file, which is made if it is not there.
#[expect(clippy::disallowed_methods, reason = "tests make files with plain SQLite")]
pub fn execute(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).expect("an SQLite file");
    connection.execute_batch(sql).expect(sql);
}

/// Runs statements on an SQLite file, and looks at it while it is still open.
#[expect(clippy::disallowed_methods, reason = "tests make files with plain SQLite")]
pub fn execute_and_look(path: &Path, sql: &str, look: &dyn Fn()) {
    let connection = rusqlite::Connection::open(path).expect("an SQLite file");
    connection.execute_batch(sql).expect(sql);
    look();
}

/// Everything that an SQLite file says, in the order in which a dump would say it.
pub fn dump(path: &Path, without: &[&str]) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut out = String::new();
    for object in rows(path, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name") {
        out.push_str(&format!("{object}\n"));
    }
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    for table in rows(path, tables).iter().filter(|table| !without.contains(&table.as_str())) {
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns: Vec<String> = rows(path, &columns)
            .iter()
            .map(|name| format!("typeof({0}) || quote({0})", quoted(name)))
            .collect();
        let sql = format!("SELECT {} FROM {}", columns.join(", "), quoted(table));
        out.push_str(&format!("{table}\n{}\n", rows(path, &sql).join("\n")));
    }
    out
}

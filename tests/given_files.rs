//! Files that somebody gave and that are not what they should be: each is refused with its reason.

use std::path::{Path, PathBuf};

use crate::api::{Record, UsageApi, nine_days};
use crate::harness::{Workspace, execute, rows};

type Make = Box<dyn Fn(&Workspace, &Path)>;

/// A file that is not what it should be.
pub struct Bad {
    pub name: &'static str,
    /// What `verify` exits with.
    pub code: i32,
    /// What it says.
    pub told: &'static str,
    make: Make,
}

impl Bad {
    /// Makes it under `bad.db`, from the good hand-off `good.db`; more may lie beside it.
    pub fn make(&self, workspace: &Workspace) -> PathBuf {
        for entry in std::fs::read_dir(workspace.folder()).expect("the folder").flatten() {
            if entry.file_name().to_string_lossy().starts_with("bad") {
                let path = entry.path();
                let gone = if path.is_dir() {
                    std::fs::remove_dir(&path)
                } else {
                    std::fs::remove_file(&path)
                };
                gone.expect("removed");
            }
        }
        let path = workspace.path("bad.db");
        std::fs::copy(workspace.path("good.db"), &path).expect("a copy");
        (self.make)(workspace, &path);
        path
    }
}

fn bad(
    name: &'static str,
    code: i32,
    told: &'static str,
    make: impl Fn(&Workspace, &Path) + 'static,
) -> Bad {
    Bad { name, code, told, make: Box::new(make) }
}

/// A good file whose bytes were changed.
fn bytes(
    name: &'static str,
    code: i32,
    told: &'static str,
    change: impl Fn(&mut Vec<u8>) + 'static,
) -> Bad {
    bad(name, code, told, move |_, path| {
        let mut bytes = std::fs::read(path).expect("the file");
        change(&mut bytes);
        std::fs::write(path, bytes).expect("written");
    })
}

/// A good file that somebody has run SQL on.
fn sql(name: &'static str, code: i32, told: &'static str, statements: &'static str) -> Bad {
    bad(name, code, told, move |_, path| execute(path, statements))
}

/// A good file whose schema somebody has rewritten.
fn schema(
    name: &'static str,
    code: i32,
    told: &'static str,
    table: &'static str,
    from: &'static str,
    to: &'static str,
) -> Bad {
    bad(name, code, told, move |_, path| {
        let statements = format!(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, '{from}', '{to}') WHERE name = '{table}';
             PRAGMA writable_schema = RESET;"
        );
        execute(path, &statements);
        let changed = format!("SELECT sql FROM sqlite_schema WHERE name = '{table}'");
        assert!(rows(path, &changed)[0].contains(&to.replace("''", "'")), "{table}");
    })
}

/// Flips one bit in the cells of the first page of a kind: 2 and 5 lead to other pages, of an index
/// and of a table; 10 and 13 hold values; 0 is a value's overflow.
fn flipped(name: &'static str, told: &'static str, kind: u8) -> Bad {
    bytes(name, 1, told, move |bytes| {
        let size = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        // The last page of the kind that is not the schema's: the streams' tables come late.
        let pages = 1..bytes.len() / size;
        let page = pages.rev().find(|page| bytes[page * size] == kind).expect("such a page") * size;
        let at = match kind {
            0 => page + 40,
            2 | 5 => page + 12 + 1,
            _ => {
                // The middle of the first cell.
                let cell = u16::from_be_bytes([bytes[page + 8], bytes[page + 9]]);
                page + usize::from(cell) + 6
            }
        };
        bytes[at] ^= 1;
    })
}

/// What can be wrong with a plain file.
fn plain() -> Vec<Bad> {
    vec![
        bytes("empty", 6, "is empty", Vec::clear),
        bytes("one byte", 6, "no SQLite", |b| b.truncate(1)),
        bytes("a web page", 6, "no SQLite", |b| *b = b"<html><body>Log in</body>".repeat(50)),
        bytes("a zip file", 6, "no SQLite", |b| *b = b"PK\x03\x04../../etc/passwd".repeat(50)),
        bytes("its header alone", 6, "was cut off: 100 of", |b| b.truncate(100)),
        bytes("half of it", 6, "was cut off", |b| b.truncate(b.len() / 2)),
        bytes("all but one byte", 6, "was cut off", |b| b.truncate(b.len() - 1)),
        bytes("all but one page", 6, "was cut off", |b| b.truncate(b.len() - 4096)),
        bytes("more than it", 6, "1 bytes follow its last page", |b| b.push(0)),
        bytes("another magic", 6, "no SQLite", |b| b[3] ^= 0x20),
        bytes("a page size of none", 6, "its header makes no sense", |b| b[17] = 3),
        bytes("reserved bytes", 6, "its header makes no sense", |b| b[20] = 8),
        bytes("an unknown journal", 6, "its header makes no sense", |b| b[18] = 3),
        sql("another program's", 6, "another program's SQLite file", "PRAGMA application_id = 1"),
        sql("a newer format", 6, "is from a newer windrow", "PRAGMA user_version = 99"),
        sql("a format before all", 9, "did not make", "PRAGMA user_version = 0"),
    ]
}

/// What can be wrong with a schema.
fn schemas() -> Vec<Bad> {
    let not_ours = "that windrow did not make";
    vec![
        sql(
            "a view",
            9,
            "a view `usage_view` that windrow did not make",
            "CREATE VIEW usage_view AS SELECT load_extension('x')",
        ),
        sql(
            "a view in a table's place",
            9,
            not_ours,
            "ALTER TABLE usage RENAME TO other; CREATE VIEW usage AS SELECT * FROM other",
        ),
        sql(
            "a trigger",
            9,
            "a trigger `t` that windrow did not make",
            "CREATE TRIGGER t AFTER INSERT ON usage BEGIN DELETE FROM usage; END",
        ),
        sql("a virtual table", 9, not_ours, "CREATE VIRTUAL TABLE f USING fts5(a)"),
        sql("a table more", 9, "a table `mine` that windrow did not make", "CREATE TABLE mine (a)"),
        sql("an index more", 9, "an index `i` that windrow", "CREATE INDEX i ON usage (gb)"),
        sql("an index on an expression", 9, not_ours, "CREATE INDEX i ON usage (abs(gb))"),
        sql(
            "a hostile name",
            9,
            "a table `x\"; DROP TABLE usage; --`",
            "CREATE TABLE \"x\"\"; DROP TABLE usage; --\" (a)",
        ),
        sql("statistics of its own", 9, not_ours, "ANALYZE"),
        sql("no table of a stream", 6, "it has no table `usage`", "DROP TABLE usage"),
        sql(
            "no table of windrow's",
            6,
            "it has no table `_windrow_ledger`",
            "DROP TABLE _windrow_ledger",
        ),
        sql("a column more", 9, not_ours, "ALTER TABLE usage ADD COLUMN x TEXT DEFAULT 'y'"),
        sql(
            "a stream without a table",
            6,
            "it has no table `ghost`",
            "INSERT INTO _windrow_streams VALUES \
             ('ghost', '{\"columns\":[\"id\"]}', '[]', 0, NULL, '', NULL, NULL)",
        ),
        sql(
            "columns that are no columns",
            6,
            "is damaged",
            "UPDATE _windrow_streams SET columns = '{'",
        ),
    ]
}

/// What can be wrong with the words of a schema.
fn words() -> Vec<Bad> {
    let not_ours = "that windrow did not make";
    vec![
        schema(
            "a default that runs",
            9,
            not_ours,
            "usage",
            "\"gb\" REAL",
            "\"gb\" REAL DEFAULT (abs(1))",
        ),
        schema(
            "a check that runs",
            9,
            not_ours,
            "usage",
            "\"gb\" REAL",
            "\"gb\" REAL CHECK (abs(1))",
        ),
        schema(
            "a generated column",
            9,
            not_ours,
            "usage",
            "\"gb\" REAL",
            "\"gb\" REAL AS (abs(1))",
        ),
        schema(
            "another collation",
            9,
            not_ours,
            "usage",
            "\"id\" TEXT",
            "\"id\" TEXT COLLATE NOCASE",
        ),
        schema("types that are not kept", 9, not_ours, "usage", ") STRICT", ")"),
        schema(
            "an outcome that need not add up",
            9,
            not_ours,
            "_windrow_run_streams",
            "received = inserted +",
            "received >= inserted +",
        ),
    ]
}

/// What can be wrong with what is in it.
fn contents() -> Vec<Bad> {
    vec![
        flipped("a bit of a table's inner page", "! ", 5),
        flipped("a bit of a table's leaf", "! ", 13),
        flipped("a bit of an index's leaf", "! ", 10),
        flipped("a bit of an index's inner page", "! ", 2),
        flipped("a bit of an overflow page", "! ", 0),
        sql("a row less", 1, "! usage (", "DELETE FROM usage WHERE day = '2026-01-02' AND id = 'SL-1'"),
        sql("another value", 1, "! usage ('SL-1','2026-01-02')",
            "UPDATE usage SET gb = 0 WHERE day = '2026-01-02' AND id = 'SL-1'"),
        sql("windows that overlap", 1, "two complete windows overlap in the ledger",
            "INSERT INTO _windrow_ledger SELECT stream, partition, start_at,
                '2026-01-05T00:00:00+00:00', state, asked_from, read_to, requested_at, dated_by_source,
                completed_at, first_complete_at, settled_at, token, cursor, pages, received, inserted, updated,
                unchanged, skipped, rejected, out_of_window, distinct_keys, source_total, fetches, last_records,
                previous_records, error, run_id
             FROM _windrow_ledger WHERE start_at LIKE '2026-01-02%'"),
        sql("a row that no run brought", 1, "brought by no run that is known", "UPDATE usage SET _run = 77"),
        sql("a fetch that no run made", 1, "refer to rows of _windrow_runs",
            "PRAGMA foreign_keys = OFF; UPDATE _windrow_ledger SET run_id = 77"),
        sql("a manifest that is none", 6, "its manifest cannot be read",
            "UPDATE _windrow_manifest SET manifest = '{}'"),
        sql("a manifest of a later form", 6, "from a newer windrow",
            "UPDATE _windrow_manifest SET manifest = json_set(manifest, '$.form', 9)"),
        sql("another archive's id", 1, "another archive's id than its manifest",
            "UPDATE _windrow_meta SET value = 'x' WHERE name = 'archive_id'"),
    ]
}

/// What can be wrong with what lies around and beside it.
fn places() -> Vec<Bad> {
    vec![
        bad("a log beside it", 9, "bad.db-wal lies beside it", |_, path| {
            std::fs::write(path.with_file_name("bad.db-wal"), b"x").expect("written");
        }),
        bad("a journal beside it", 9, "bad.db-journal lies beside it", |_, path| {
            std::fs::write(path.with_file_name("bad.db-journal"), b"x").expect("written");
        }),
        #[cfg(unix)]
        bad("a link", 9, "is a link", |workspace, path| {
            std::fs::remove_file(path).expect("removed");
            std::os::unix::fs::symlink(workspace.path("good.db"), path).expect("a link");
        }),
        bad("a folder", 6, "is a folder", |_, path| {
            std::fs::remove_file(path).expect("removed");
            std::fs::create_dir(path).expect("a folder");
        }),
    ]
}

/// What can be wrong with what was put around it.
fn seals() -> Vec<Bad> {
    let run = |workspace: &Workspace, arguments: &[&str]| {
        workspace.run(arguments).expect(0);
    };
    let moved = |workspace: &Workspace, from: &str, path: &Path| {
        std::fs::rename(workspace.path(from), path).expect("renamed");
    };
    vec![
        bad("a signature that is none", 9, "signature", |_, path| {
            std::fs::write(path.with_file_name("bad.db.minisig"), b"signed: me").expect("written");
        }),
        bad("a file that was changed after it was signed", 9, "bad.db", move |workspace, path| {
            std::fs::remove_file(path).expect("removed");
            run(workspace, &["handoff", "bad.db", "--sign"]);
            let mut bytes = std::fs::read(path).expect("the file");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            std::fs::write(path, bytes).expect("written");
        }),
        bad("another file's signature", 9, "bad.db", move |workspace, path| {
            run(workspace, &["handoff", "bad2.db", "--sign"]);
            moved(workspace, "bad2.db.minisig", &path.with_file_name("bad.db.minisig"));
        }),
        bad("compressed and cut off", 6, "bad.db", move |workspace, path| {
            std::fs::remove_file(path).expect("removed");
            run(workspace, &["handoff", "bad.db", "--compress"]);
            let bytes = std::fs::read(path).expect("the file");
            std::fs::write(path, &bytes[..bytes.len() - 9]).expect("written");
        }),
        bad("compressed text", 6, "bad.db", |_, path| {
            let text = zstd::encode_all(&b"not an archive"[..], 3).expect("compressed");
            std::fs::write(path, text).expect("written");
        }),
        bad("a bomb", 9, "bad.db", |_, path| {
            let mut bomb = b"SQLite format 3\0".to_vec();
            bomb.resize(200 << 20, 0);
            std::fs::write(path, zstd::encode_all(&bomb[..], 3).expect("compressed"))
                .expect("written");
        }),
        bad("compressed again and again", 9, "bad.db", |_, path| {
            let mut bytes = std::fs::read(path).expect("the file");
            for _ in 0..3 {
                bytes = zstd::encode_all(&bytes[..], 3).expect("compressed");
            }
            std::fs::write(path, bytes).expect("written");
        }),
        bad("encrypted to somebody else", 9, "bad.db", move |workspace, path| {
            std::fs::remove_file(path).expect("removed");
            let other = Workspace::empty();
            other.run(&["keys", "new"]).expect(0);
            let key = other.run(&["keys", "show", "--json"]).expect(0).json();
            let recipient = key["recipient"].as_str().expect("a recipient").to_owned();
            run(workspace, &["handoff", "bad.db", "--encrypt", &recipient]);
        }),
        bad("encrypted and cut off", 6, "bad.db", move |workspace, path| {
            std::fs::remove_file(path).expect("removed");
            let key = workspace.run(&["keys", "show", "--json"]).expect(0).json();
            let recipient = key["recipient"].as_str().expect("a recipient").to_owned();
            run(workspace, &["handoff", "bad.db", "--encrypt", &recipient]);
            let bytes = std::fs::read(path).expect("the file");
            std::fs::write(path, &bytes[..bytes.len() - 5]).expect("written");
        }),
    ]
}

/// All of them.
pub fn all() -> Vec<Bad> {
    [plain(), schemas(), words(), contents(), places(), seals()].into_iter().flatten().collect()
}

/// An archive with a key, and a good hand-off of it: `good.db`.
pub fn given() -> (UsageApi, Workspace) {
    let mut records = nine_days();
    // Enough for pages that lead to others, and a value that is longer than a page.
    for number in 0..400 {
        let line = format!("X-{number}-{}", "x".repeat(150));
        records.push(Record::new(&line, "2026-01-03", 1.5, "2026-01-09T00:00:00Z"));
    }
    records.push(Record::new(&"y".repeat(6000), "2026-01-03", 1.5, "2026-01-09T00:00:00Z"));
    let api = UsageApi::start(records, 50);
    let workspace = Workspace::new(&api.definition("raw = true"));
    workspace.sync();
    workspace.run(&["keys", "new"]).expect(0);
    workspace.run(&["handoff", "good.db"]).expect(0);
    (api, workspace)
}

#[test]
fn every_file_that_is_not_what_it_should_be_is_refused_with_its_reason() {
    let (_api, workspace) = given();
    workspace.run(&["verify", "good.db"]).expect(0);
    let all = all();
    assert!(all.len() >= 40, "{}", all.len());
    let mut wrong = Vec::new();
    for case in &all {
        let path = case.make(&workspace);
        let before = path.is_file().then(|| std::fs::read(&path).expect("the file"));
        let ran = workspace.run(&["verify", "bad.db"]);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        let mut code_fits = ran.code == case.code;
        // A bit that breaks a page keeps all of it from being read.
        code_fits |= case.code == 1 && ran.code == 6 && case.name.starts_with("a bit");
        if !code_fits || !told.contains(case.told) && ran.code == case.code {
            wrong.push(format!("{}: {} {told}", case.name, ran.code));
        }
        let after = path.is_file().then(|| std::fs::read(&path).expect("the file"));
        assert!(before == after, "{} was written to", case.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same files are not taken in, and the archive stays as it is, byte for byte.
#[test]
fn no_such_file_is_taken_in_and_the_archive_stays_as_it_is_byte_for_byte() {
    let (_api, workspace) = given();
    let path = workspace.path("a.db");
    let mut wrong = Vec::new();
    for case in &all() {
        case.make(&workspace);
        let before = std::fs::read(&path).expect("the archive");
        let ran = workspace.run(&["merge", "bad.db"]);
        // What `verify` finds to differ is refused for safety.
        let fits = match case.code {
            1 => [6, 9].contains(&ran.code),
            code => ran.code == code,
        };
        if !fits {
            wrong.push(format!("{}: {} {}{}", case.name, ran.code, ran.stdout, ran.stderr));
        }
        // Making the file may have noted a hand-off; the merge itself changes nothing.
        assert!(std::fs::read(&path).expect("the archive") == before, "{}", case.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! Files that cannot be adopted, or not all of them: what is told, and that nothing is half done.

use std::fmt::Write;

use crate::api::{UsageApi, nine_days};
use crate::harness::{Ran, Workspace, dump, execute};

/// An archive with nine days in it, and a file to adopt.
fn with_file(name: &str, content: &[u8]) -> Workspace {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    std::fs::write(workspace.path(name), content).expect("a file");
    workspace
}

fn refused(workspace: &Workspace, arguments: &[&str], why: &str) -> Ran {
    let before = dump(&workspace.path("a.db"), &[]);
    let ran = workspace.run(arguments).expect(2);
    assert!(ran.stderr.contains(why), "{why}: {ran:?}");
    assert_eq!(dump(&workspace.path("a.db"), &[]), before, "{why}");
    ran
}

#[test]
fn a_file_that_is_none_is_named_and_left_alone() {
    let cases: [(&str, &[u8], &str); 12] = [
        ("f.csv", b"", "is empty"),
        ("f.csv", b"\x1f\x8b\x08abc", "packed by gzip"),
        ("f.csv", b"\xff\xfei\0d\0", "UTF-16"),
        ("f.csv", b"[{\"id\":1}]", "one JSON array"),
        ("f.csv", b"id,day,id\n1,2,3\n", "names `id` twice"),
        ("f.csv", b"id,day,gb\na,2026-01-01,1\nb,2026-01-01\n", "line 3: 2 fields"),
        ("f.csv", b"id,day\na,2026-01-01\n\xe9,2026-01-01\n", "line 3: not UTF-8"),
        ("f.csv", b"id,day\n", "has no records"),
        ("f.csv", b"id,dy,gb\na,2026-01-01,1\n", "no column `day`, which is part of the key"),
        ("f.csv", b"id,day,gb\n,2026-01-01,1\n", "no record of f.csv can be a row; line 2"),
        ("f.ndjson", b"{\"id\":\"a\",\"day\":\"2026-01-01\"}\n{\"id\":", "line 2: not JSON"),
        ("f.db", b"SQLite format 3\0 and then nothing", "f.db"),
    ];
    for (name, content, why) in cases {
        let workspace = with_file(name, content);
        let before = dump(&workspace.path("a.db"), &[]);
        let ran = workspace.run(&["adopt", name, "--apply"]);
        let expected = if name == "f.db" { 6 } else { 2 };
        assert!(ran.code == expected && ran.stderr.contains(why), "{why}: {ran:?}");
        assert!(ran.stderr.contains("help:") || why.contains("empty") || why.contains("records"));
        assert_eq!(dump(&workspace.path("a.db"), &[]), before, "{why}");
    }
    let workspace = with_file("f.csv", b"id,dy,gb\na,2026-01-01,1\n");
    let ran = refused(&workspace, &["adopt", "f.csv"], "it has: id, dy, gb");
    assert!(ran.stderr.contains("--map day=dy"), "{ran:?}");
    workspace.run(&["adopt", "f.csv", "--map", "day=dy", "--apply"]).expect(0);
    refused(&workspace, &["adopt", "f.csv", "--map", "dai=dy"], "did you mean `day`?");
    refused(&workspace, &["adopt", "f.csv", "--stream", "usge"], "there is no stream `usge`");
    workspace.run(&["adopt", "gone.csv"]).expect(8);
}

#[test]
fn a_broken_quote_in_line_1234567_is_named_and_nothing_is_half_adopted() {
    let mut csv = String::from("id,day,gb\n");
    for line in 2..1_234_567 {
        writeln!(csv, "S{line},2026-01-01,1").expect("in memory");
    }
    csv.push_str("S1234567,\"2026-01-01,1\nS1234568,2026-01-01,1\n");
    let workspace = with_file("f.csv", csv.as_bytes());
    refused(&workspace, &["adopt", "f.csv", "--apply"], "f.csv, line 1234567: a quote opens");
}

#[test]
fn records_that_cannot_be_rows_are_rejects_as_an_apis_are() {
    let workspace = with_file("f.csv", b"");
    execute(
        &workspace.path("f.db"),
        "CREATE TABLE usage (id, day, gb);
         INSERT INTO usage VALUES ('SL-9', '2025-12-30', 1), ('SL-9', '30/12/2025', 1),
            ('SL-9', 'Dec 30, 2025', 1), (NULL, '2025-12-30', 1), (9, '2025-12-30', 1),
            ('SL-9', '2025-12-31', 'much'), ('SL-9', '2025-12-31 00:00:00', 2.5),
            (x'ff', '2025-12-31', 1), (CAST(x'ff' AS TEXT), '2025-12-31', 1);",
    );
    let before = std::fs::read(workspace.path("f.db")).expect("the file");
    let shown = workspace.run(&["adopt", "f.db"]).expect(0).stdout;
    assert!(shown.contains("4 cannot be rows (type), such as row 2: column day"), "{shown}");
    let report = workspace.run(&["adopt", "f.db", "--apply", "--json"]).expect(0).json();
    let rejects = "SELECT kind, reason FROM _windrow_rejects ORDER BY reject_id";
    let rejects = workspace.rows(rejects);
    assert_eq!(report["records"], 9);
    let reason = |at: usize, text: &str| {
        assert!(rejects[at].contains(text), "{rejects:?}");
    };
    reason(0, "type|row 2: column day (date): \"30/12/2025\" is not a date");
    reason(1, "type|row 3: column day (date): \"Dec 30, 2025\" is not a date");
    reason(2, "no_key|row 4: the key's id is missing or null");
    reason(3, "type|row 5: column id (text): expected a text, found a number");
    reason(4, "type|row 6: column gb (real): expected a number");
    let kept = "SELECT id, day, gb FROM usage WHERE day < '2026' ORDER BY day, id";
    let kept = workspace.rows(kept);
    assert!(kept.contains(&"SL-9|2025-12-30|1.0".to_owned()), "{kept:?}");
    assert!(kept.contains(&"SL-9|2025-12-31|2.5".to_owned()), "{kept:?}");
    assert_eq!(std::fs::read(workspace.path("f.db")).expect("the file"), before);
}

#[test]
fn a_table_is_asked_for_where_there_are_several_and_a_view_is_not_run() {
    let workspace = with_file("f.csv", b"");
    execute(
        &workspace.path("f.db"),
        "CREATE TABLE one (id, day, gb); CREATE TABLE two (id, day, gb);
         INSERT INTO one VALUES ('SL-8', '2026-01-01', 1);
         CREATE VIEW bomb AS WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n)
            SELECT i AS id, i AS day FROM n;",
    );
    refused(&workspace, &["adopt", "f.db"], "several tables: one, two");
    refused(&workspace, &["adopt", "f.db", "--table", "bomb"], "is a view, which is not run");
    refused(&workspace, &["adopt", "f.db", "--table", "tow"], "it has: one, two");
    refused(&workspace, &["adopt", "f.db", "--table", "two"], "has no records");
    workspace.run(&["adopt", "f.db", "--table", "ONE", "--apply"]).expect(0);
    assert_eq!(workspace.rows("SELECT id FROM usage WHERE id = 'SL-8'"), ["SL-8"]);
}

#[test]
fn a_table_of_the_archive_itself_can_be_adopted() {
    let workspace = with_file("f.csv", b"");
    execute(
        &workspace.path("a.db"),
        "CREATE TABLE mine (id TEXT, day TEXT, gb REAL);
         INSERT INTO mine VALUES ('SL-7', '2025-12-31', 1), ('SL-7', '2025-12-31', 1);",
    );
    workspace.run(&["adopt", "a.db", "--table", "mine", "--apply"]).expect(0);
    assert_eq!(workspace.value("SELECT count(*) FROM usage WHERE id = 'SL-7'"), "1");
    assert_eq!(workspace.value("SELECT count(*) FROM mine"), "2");
}

/// Adopts under a limit on the size of files, which stands in for a full disk.
fn adopt_under(blocks: u32, workspace: &Workspace) -> Ran {
    let program = env!("CARGO_BIN_EXE_windrow");
    let limited = format!("ulimit -f {blocks}; exec {program} adopt f.csv --apply");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &limited]).current_dir(workspace.folder());
    shell.env("WINDROW_TEST_NOW", crate::harness::NOW).env("TMPDIR", workspace.folder());
    crate::harness::ran(&shell.output().expect("sh runs")).expect(8)
}

#[test]
fn a_disk_that_fills_up_under_the_archive_changes_nothing() {
    // Rejects take more room in the archive than in the scratch.
    let mut csv = String::from("id,day,gb\nSL-6,2025-12-01,1\n");
    for line in 0..20_000 {
        writeln!(csv, "{line},2025-12-01,much").expect("in memory");
    }
    let workspace = with_file("f.csv", csv.as_bytes());
    let before = dump(&workspace.path("a.db"), &[]);
    for blocks in [1_000, 4_000, 8_000] {
        let ran = adopt_under(blocks, &workspace);
        assert!(ran.stderr.contains("a.db") && ran.stderr.contains("help:"), "{ran:?}");
        assert_eq!(dump(&workspace.path("a.db"), &[]), before, "{blocks}");
    }
    workspace.run(&["adopt", "f.csv", "--apply"]).expect(0);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_rejects"), "20000");
    assert_eq!(workspace.value("PRAGMA integrity_check"), "ok");
}

#[test]
fn a_disk_that_fills_up_under_the_scratch_changes_nothing() {
    let mut csv = String::from("id,day,gb\n");
    let name = "a-rather-long-name".repeat(40);
    for line in 0..20_000 {
        writeln!(csv, "{name}{line},2025-12-01,1").expect("in memory");
    }
    let workspace = with_file("f.csv", csv.as_bytes());
    let before = dump(&workspace.path("a.db"), &[]);
    let ran = adopt_under(8_000, &workspace);
    assert!(ran.stderr.contains("no room for a scratch file"), "{ran:?}");
    assert!(ran.stderr.contains("set TMPDIR"), "{ran:?}");
    assert_eq!(dump(&workspace.path("a.db"), &[]), before);
    let left: Vec<_> = std::fs::read_dir(workspace.folder()).expect("the folder").collect();
    assert!(left.len() <= 6, "no scratch is left behind: {left:?}");
    workspace.run(&["adopt", "f.csv", "--apply"]).expect(0);
}

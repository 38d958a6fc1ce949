//! `windrow adopt --in-place`: a table of the analyst's own file, healed where it is.

use crate::harness::{Ran, Workspace, dump, execute, rows};

const MAKE: &str = "CREATE TABLE usage_history (history_id INTEGER PRIMARY KEY AUTOINCREMENT,
        line TEXT, day TEXT, gb REAL, note, created_at TEXT);
    CREATE INDEX by_day ON usage_history (day);
    INSERT INTO usage_history (line, day, gb, note, created_at) VALUES
        ('SL-1', '2025-10-01', 1.5, x'00ff', '2025-10-02T06:00:00Z'),
        ('SL-1', '2025-10-02', 2.5, 7, '2025-10-03T06:00:00Z'),
        ('SL-2', '2025-10-01', 4.0, NULL, '2025-10-02T06:00:00Z'),
        ('SL-1', '2025-10-01', 1.5, '7', '2025-10-04 06:00:00'),
        ('SL-1', '2025-10-02', 3.0, 7.0, '2025-10-01T06:00:00Z'),
        (NULL, '2025-10-02', 9.0, NULL, NULL), (NULL, '2025-10-02', 9.0, NULL, NULL);";

fn made(sql: &str) -> Workspace {
    let workspace = Workspace::empty();
    execute(&workspace.path("f.db"), sql);
    workspace
}

fn heal(workspace: &Workspace, more: &[&str]) -> Ran {
    let first = ["adopt", "f.db", "--in-place", "--table", "usage_history", "--key", "line,day"];
    workspace.run(&[&first, more].concat())
}

fn all(workspace: &Workspace, sql: &str) -> Vec<String> {
    rows(&workspace.path("f.db"), sql)
}

#[test]
fn a_doubled_table_is_healed_where_it_is_and_put_back_byte_for_byte() {
    let workspace = made(MAKE);
    let path = workspace.path("f.db");
    let (before, bytes) = (dump(&path, &[]), std::fs::read(&path).expect("the file"));
    let shown = heal(&workspace, &["--keep", "newest:created_at"]).expect(0);
    assert!(shown.stdout.contains("2 keys stand more than once: 2 rows too many"), "{shown:?}");
    assert!(shown.stdout.contains("2 rows have NULL in the key"), "{shown:?}");
    assert!(shown.stdout.contains("they differ from the ones that stay in gb (1), note (1)"));
    assert_eq!(std::fs::read(&path).expect("the file"), bytes, "a dry run changes no byte");

    let done = heal(&workspace, &["--keep", "newest:created_at", "--apply", "--json"]).expect(0);
    let report = done.json();
    assert_eq!([&report["duplicates"], &report["remaining"]], [&2, &0]);
    assert_eq!(all(&workspace, report["proof"].as_str().expect("a query")), [""; 0]);
    let left = all(&workspace, "SELECT history_id FROM usage_history ORDER BY 1");
    assert_eq!(left, ["2", "3", "4", "6", "7"], "the newest of each, and what has no whole key");
    let twice = "INSERT INTO usage_history (line, day) VALUES ('SL-2', '2025-10-01')";
    assert!(std::panic::catch_unwind(|| execute(&path, twice)).is_err(), "the constraint holds");

    let again = heal(&workspace, &["--keep", "newest:created_at", "--apply"]).expect(0);
    assert!(again.stderr.contains("it holds no duplicates"), "{again:?}");
    let undone = workspace.run(&["adopt", "f.db", "--in-place", "--undo"]).expect(0);
    assert_eq!(undone.stdout, "2 rows are back in usage_history, which is as it was\n");
    assert_eq!(dump(&path, &[]), before);
    workspace.run(&["adopt", "f.db", "--in-place", "--undo"]).expect(2);
}

#[test]
fn each_rule_keeps_the_row_that_it_names() {
    let cases = [
        ("first", "1,2,3,6,7"),
        ("last", "3,4,5,6,7"),
        ("newest:created_at", "2,3,4,6,7"),
        ("highest:gb", "3,4,5,6,7"),
    ];
    for (rule, expected) in cases {
        let workspace = made(MAKE);
        heal(&workspace, &["--keep", rule, "--apply"]).expect(0);
        let left = "SELECT group_concat(history_id) FROM
            (SELECT history_id FROM usage_history ORDER BY 1)";
        assert_eq!(all(&workspace, left), [expected], "{rule}");
    }
}

#[test]
fn a_key_that_is_written_in_several_ways_is_not_healed() {
    let cases = [
        (
            "UPDATE usage_history SET day = '01/10/2025' WHERE history_id = 1",
            "another form of date",
        ),
        (
            "UPDATE usage_history SET day = '2025-10-01T00:00:00' WHERE history_id = 3",
            "with a time",
        ),
        ("UPDATE usage_history SET day = 20251001 WHERE history_id = 2", "text"),
    ];
    for (change, why) in cases {
        let workspace = made(&format!("{MAKE} {change};").replace("day TEXT", "day"));
        let before = dump(&workspace.path("f.db"), &[]);
        let ran = heal(&workspace, &["--apply"]);
        if why == "text" {
            // 20251001 is a number among ISO dates.
            assert!(ran.stderr.contains("as number (such as row 2)"), "{ran:?}");
        } else {
            assert!(ran.stderr.contains(why), "{ran:?}");
        }
        assert_eq!(ran.code, 2, "{ran:?}");
        assert_eq!(dump(&workspace.path("f.db"), &[]), before);
    }
    let ran = heal(&made(MAKE), &["--keep", "newest:note", "--apply"]).expect(2);
    assert!(ran.stderr.contains("cannot be put in order"), "{ran:?}");
    let workspace = made(MAKE);
    let ran = workspace.run(&[
        "adopt",
        "f.db",
        "--in-place",
        "--table",
        "usage_history",
        "--key",
        "line,date",
    ]);
    assert!(ran.code == 2 && ran.stderr.contains("it has: history_id, line, day"), "{ran:?}");
}

#[test]
fn nothing_in_the_file_is_run() {
    let hostile = "CREATE TABLE log (what);
        CREATE TRIGGER gone AFTER DELETE ON usage_history BEGIN INSERT INTO log VALUES ('x'); END;
        CREATE VIEW all_usage AS SELECT * FROM usage_history;";
    let workspace = made(&format!("{MAKE} {hostile}"));
    heal(&workspace, &["--apply"]).expect(0);
    assert_eq!(all(&workspace, "SELECT count(*) FROM log"), ["0"], "no trigger ran");
    for table in ["all_usage", "sqlite_schema", "gone", "_windrow_removed_usage_history"] {
        let arguments = ["adopt", "f.db", "--in-place", "--table", table, "--key", "line"];
        let ran = workspace.run(&arguments).expect(2);
        assert!(ran.stderr.contains(table), "{ran:?}");
    }
}

#[test]
fn rows_that_others_refer_to_are_not_taken_from_under_them() {
    let child = "CREATE TABLE alerts (history_id INTEGER REFERENCES usage_history (history_id)
        ON DELETE CASCADE); INSERT INTO alerts VALUES (1);";
    let workspace = made(&format!("{MAKE} {child}"));
    let before = dump(&workspace.path("f.db"), &[]);
    let ran = heal(&workspace, &["--keep", "last", "--apply"]).expect(2);
    assert!(ran.stderr.contains("rows of another table refer to rows"), "{ran:?}");
    assert_eq!(dump(&workspace.path("f.db"), &[]), before);
    heal(&workspace, &["--keep", "first", "--apply"]).expect(0);
    assert_eq!(all(&workspace, "SELECT count(*) FROM alerts"), ["1"]);
}

#[test]
fn an_undo_that_would_not_give_back_what_was_there_changes_nothing() {
    let workspace = made(&MAKE.replace(" AUTOINCREMENT", ""));
    let path = workspace.path("f.db");
    execute(&path, "DELETE FROM usage_history WHERE history_id > 5");
    heal(&workspace, &["--keep", "first", "--apply"]).expect(0);
    execute(&path, "INSERT INTO usage_history (line, day) VALUES ('new', '2025-10-09')");
    let healed = dump(&path, &[]);
    let ran = workspace.run(&["adopt", "f.db", "--in-place", "--undo"]).expect(2);
    assert!(ran.stderr.contains("_windrow_removed_usage_history"), "{ran:?}");
    assert_eq!(dump(&path, &[]), healed);
}

#[test]
fn a_full_disk_changes_nothing() {
    let rows = "INSERT INTO usage_history (line, day, gb, note) WITH RECURSIVE n(i) AS
        (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        SELECT 'SL-' || (i % 10000), '2025-10-01', i, printf('%0200d', i) FROM n;";
    let workspace = made(&format!("{MAKE} {rows}"));
    let before = dump(&workspace.path("f.db"), &[]);
    let size = std::fs::metadata(workspace.path("f.db")).expect("the file").len();
    // In blocks of 512 bytes: the file may grow a little, and not by what is set aside.
    let limited = format!(
        "ulimit -f {}; exec {} adopt f.db --in-place --table usage_history --key line,day --apply",
        size / 512 + 600,
        env!("CARGO_BIN_EXE_windrow")
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &limited]).current_dir(workspace.folder());
    let ran = crate::harness::ran(&shell.output().expect("sh runs")).expect(8);
    assert!(ran.stderr.contains("nothing was changed"), "{ran:?}");
    assert_eq!(dump(&workspace.path("f.db"), &[]), before);
    heal(&workspace, &["--apply"]).expect(0);
    workspace.run(&["adopt", "f.db", "--in-place", "--undo"]).expect(0);
    assert_eq!(dump(&workspace.path("f.db"), &[]), before);
}

//! `windrow diff A B`: what two archives hold differently, and nothing of how they came to it.

use std::path::Path;

use crate::api::{Record, UsageApi, nine_days};
use crate::harness::{Ran, Workspace, execute};

/// Two laptops' archives in one folder.
struct Pair {
    folder: Workspace,
}

impl Pair {
    fn of(a: &Workspace, b: &Workspace) -> Pair {
        let folder = Workspace::empty();
        for (from, name) in [(a, "a.db"), (b, "b.db")] {
            from.run(&["eject"]).expect(0);
            std::fs::copy(from.path("a.db"), folder.path(name)).expect("a copy");
        }
        Pair { folder }
    }

    fn diff(&self, more: &[&str]) -> Ran {
        self.folder.run(&[&["diff", "a.db", "b.db"], more].concat())
    }

    fn lines(&self, more: &[&str]) -> Vec<serde_json::Value> {
        let ran = self.diff(&[&["--json"], more].concat()).expect(1);
        let lines = ran.stdout.lines();
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

#[test]
fn archives_of_the_same_rows_are_equal_however_they_came_to_them() {
    let api = UsageApi::start(nine_days(), 50);
    let a = Workspace::new(&api.definition(""));
    a.sync();
    // The other one had a wrong row in between, other pages, another order, and a history.
    let other = UsageApi::start(nine_days().into_iter().rev().collect(), 2);
    other.change(|records| records[3].gb = 1000.0);
    let b = Workspace::new(&other.definition("history = true"));
    b.sync();
    other.change(|records| records[3].gb = nine_days()[23].gb);
    b.run(&["sync", "--from", "2026-01-01"]).expect(0);
    assert_eq!(b.value("SELECT max(_revision) FROM usage"), "2");
    let pair = Pair::of(&a, &b);
    let ran = pair.diff(&[]).expect(0);
    assert_eq!(ran.stdout, "the two archives hold the same\n");
    assert_eq!(pair.diff(&["--json"]).expect(0).stdout, "");
    let files = std::fs::read_dir(pair.folder.folder()).expect("a folder").count();
    assert_eq!(files, 2, "nothing is made beside them");
}

/// The second laptop was last online on the 8th, and heard other things.
fn apart() -> Pair {
    let api = UsageApi::start(nine_days(), 50);
    let a = Workspace::new(&api.definition(""));
    a.sync();
    let other = UsageApi::start(nine_days(), 50);
    other.change(|records| {
        records[4].gb = 99.5;
        records[5].updated_at = "2026-01-09T01:00:00Z".to_owned();
        records.remove(0);
        records.push(Record::new("SL-2\\u001b", "2026-01-03", 1.0, "2026-01-09T00:00:00Z"));
    });
    let mut b = Workspace::new(&other.definition(""));
    b.at("2026-01-08T12:00:00Z").sync();
    Pair::of(&a, &b)
}

#[test]
fn rows_columns_and_coverage_that_differ_are_told_in_the_order_of_the_key() {
    let pair = apart();
    let ran = pair.diff(&[]).expect(1);
    let expected = "\
- usage SL-1 2026-01-01  gb 1.5, updated_at 2026-01-09T00:00:00+00:00
- usage SL-1 2026-01-09  gb 9.5, updated_at 2026-01-09T00:00:00+00:00
~ usage SL-2 2026-01-02  gb 2.5 -> 99.5
- usage SL-2 2026-01-09  gb 9.5, updated_at 2026-01-09T00:00:00+00:00
+ usage SL-2\\u{1b} 2026-01-03  gb 1, updated_at 2026-01-09T00:00:00+00:00
~ usage SL-3 2026-01-02  updated_at 2026-01-09T00:00:00+00:00 -> 2026-01-09T01:00:00+00:00
- usage SL-3 2026-01-09  gb 9.5, updated_at 2026-01-09T00:00:00+00:00
usage: only a.db covers 2026-01-08T12:00:00Z..2026-01-10T12:00:00Z
rows: 4 only in a.db (-), 1 only in b.db (+), 2 with other values (~); shape and coverage: 1
";
    assert_eq!(ran.stdout, expected);
    let back = pair.folder.run(&["diff", "b.db", "a.db"]).expect(1).stdout;
    assert!(back.contains("+ usage SL-1 2026-01-01  gb 1.5"), "{back}");
    assert!(back.contains("~ usage SL-2 2026-01-02  gb 99.5 -> 2.5"), "{back}");
    assert!(back.contains("usage: only a.db covers 2026-01-08T12:00:00Z"), "{back}");
}

#[test]
fn json_has_an_object_a_line() {
    let lines = apart().lines(&[]);
    assert_eq!(lines.len(), 8);
    let changed = serde_json::json!({"stream": "usage", "change": "changed",
        "key": {"id": "SL-2", "day": "2026-01-02"}, "columns": {"gb": {"a": 2.5, "b": 99.5}}});
    assert_eq!(lines[2], changed);
    assert_eq!(lines[0]["change"], "only_in_a");
    assert_eq!(lines[0]["values"]["gb"], 1.5);
    assert_eq!(lines[4]["change"], "only_in_b");
    let covered = serde_json::json!({"stream": "usage", "change": "covered_only_by_a",
        "partition": "", "start": "2026-01-08T12:00:00+00:00", "end": "2026-01-10T12:00:00+00:00"});
    assert_eq!(lines[7], covered);
}

#[test]
fn streams_columns_types_and_keys_that_differ_are_told() {
    let api = UsageApi::start(nine_days(), 50);
    let empty = |name: &str, more: &str| {
        let head = format!("\n[streams.{name}]\npath = \"/{name}\"\n");
        format!("{head}records = \"$.data[*]\"\nkey = \"id\"\n{more}")
    };
    // One has a table without rows, the other has none yet: its columns are to be inferred.
    let columns = "[streams.items.columns]\nid = \"text\"\n";
    let items = empty("items", columns) + &empty("places", "");
    let a = Workspace::new(&format!("{}{items}", api.definition("")));
    a.sync();
    let columns = api.definition("").replace("gb = \"real\"", "gb = \"decimal\"\nnote = \"text\"");
    let b = Workspace::new(&columns.replace("updated_at = \"timestamp\"\n", ""));
    b.sync();
    let lines = Pair::of(&a, &b).lines(&[]);
    let told: Vec<String> = lines[..6].iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            r#"{"stream":"items","change":"stream_only_in_a","rows":0}"#,
            r#"{"stream":"items","change":"covered_only_by_a","partition":"","start":null,"end":null}"#,
            r#"{"stream":"places","change":"covered_only_by_a","partition":"","start":null,"end":null}"#,
            r#"{"stream":"usage","change":"type","column":"gb","a":"real","b":"decimal"}"#,
            r#"{"stream":"usage","change":"column_only_in_a","column":"updated_at","type":"timestamp"}"#,
            r#"{"stream":"usage","change":"column_only_in_b","column":"note","type":"text"}"#,
        ]
    );
    // What no column claims is in `_rest`, which counts.
    assert_eq!(lines.len(), 6 + 27);
    assert!(lines[6]["columns"]["_rest"]["b"].to_string().contains("updated_at"), "{}", lines[6]);

    let c = Workspace::new(&api.definition("").replace("[\"id\", \"day\"]", "[\"day\", \"id\"]"));
    c.sync();
    let ran = Pair::of(&a, &c).diff(&["--stream", "usage"]).expect(1);
    assert_eq!(
        ran.stdout.lines().next(),
        Some("usage: its key is id, day in a.db and day, id in b.db; rows are not compared")
    );
}

#[test]
fn a_row_that_is_marked_as_gone_differs_by_that_and_not_by_its_time() {
    let api = UsageApi::start(nine_days(), 50);
    let marks = "missing = \"mark\"";
    let [a, b, c] = [marks, marks, ""].map(|more| Workspace::new(&api.definition(more)));
    for workspace in [&a, &b, &c] {
        workspace.sync();
    }
    let mark = |workspace: &Workspace, at: &str| {
        let sql = format!("UPDATE usage SET _deleted_at = '{at}' WHERE id = 'SL-2'");
        execute(&workspace.path("a.db"), &sql);
    };
    mark(&a, "2026-01-11T00:00:00+00:00");
    mark(&b, "2026-01-12T00:00:00+00:00");
    Pair::of(&a, &b).diff(&[]).expect(0);
    // Also where the other one has no such column.
    let lines = Pair::of(&a, &c).lines(&[]);
    assert_eq!(lines.len(), 9);
    assert_eq!(lines[0]["columns"]["_deleted_at"]["b"], serde_json::Value::Null);
    assert!(lines[0]["columns"].get("gb").is_none(), "{}", lines[0]);
}

#[test]
fn an_archive_of_ones_own_is_compared_as_it_is() {
    let pair = apart();
    let a = pair.folder.path("a.db");
    let before = pair.diff(&[]).expect(1).stdout;
    let own = "CREATE TABLE mine (x); CREATE VIEW seen AS SELECT gb FROM usage;
        CREATE TRIGGER told AFTER INSERT ON usage BEGIN DELETE FROM usage; END;
        CREATE INDEX usage_by_gb ON usage (gb)";
    execute(&a, own);
    assert_eq!(pair.diff(&[]).expect(1).stdout, before, "what an analyst has made is not read");
    let sql = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
        UPDATE usage SET gb = 77.5 WHERE id = 'SL-3' AND day = '2026-01-03'";
    crate::harness::execute_and_look(&a, sql, &|| {
        let changed = pair.diff(&[]).expect(1).stdout;
        assert!(changed.contains("~ usage SL-3 2026-01-03  gb 77.5 -> 3.5"), "{changed}");
    });
}

#[test]
fn a_file_that_lies_is_refused_and_nothing_of_it_is_run() {
    let pair = apart();
    let (a, bad) = (pair.folder.path("a.db"), pair.folder.path("bad.db"));
    let whole = std::fs::read(&a).expect("the file");
    let cut = whole[..whole.len() / 2].to_vec();
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..].fill(0xa5);
    let instead = |table: &str| {
        format!(
            "PRAGMA legacy_alter_table = ON; ALTER TABLE {table} RENAME TO mine;
             CREATE VIEW {table} AS SELECT * FROM mine"
        )
    };
    let cases: [(&[u8], &str, i32, &str); 6] = [
        (&cut, "", 6, "was cut off"),
        (&torn, "", 6, "damaged"),
        (&whole, &instead("usage"), 9, "holds a view `usage` that windrow did not make"),
        (&whole, &instead("_windrow_ledger"), 9, "holds a view `_windrow_ledger`"),
        (&whole, "CREATE TABLE _windrow_more (x)", 9, "holds a table `_windrow_more`"),
        (&whole, "DROP TABLE usage", 6, "it has no table `usage`"),
    ];
    for (bytes, sql, code, why) in cases {
        std::fs::write(&bad, bytes).expect("a file");
        if !sql.is_empty() {
            execute(&bad, sql);
        }
        let before = std::fs::read(&bad).expect("the file");
        for files in [["a.db", "bad.db"], ["bad.db", "a.db"]] {
            let ran = pair.folder.run(&[&["diff"], &files[..]].concat()).expect(code);
            assert!(ran.stderr.contains(why), "{why}: {ran:?}");
        }
        assert_eq!(std::fs::read(&bad).expect("the file"), before);
    }
    // A change that was broken off is not taken back by whoever only looks.
    std::fs::write(&bad, &whole).expect("a file");
    std::fs::write(pair.folder.path("bad.db-journal"), [0xa5; 600]).expect("a journal");
    let ran = pair.folder.run(&["diff", "a.db", "bad.db"]).expect(6);
    assert!(ran.stderr.contains("a change of bad.db was broken off"), "{ran:?}");
    assert!(pair.folder.path("bad.db-journal").exists());
}

#[test]
fn what_cannot_be_compared_is_refused_with_its_reason() {
    let pair = apart();
    let folder = &pair.folder;
    let path = |name: &str| folder.path(name);
    std::fs::write(path("text"), "no archive").expect("a file");
    std::fs::write(path("packed"), [0x28, 0xb5, 0x2f, 0xfd, 0, 0]).expect("a file");
    execute(&path("other.db"), "CREATE TABLE t (a)");
    std::fs::hard_link(path("a.db"), path("link.db")).expect("a link");
    let cases: [(&[&str], i32, &str); 9] = [
        (&[], 2, "name two archives"),
        (&["a.db"], 2, "name two archives"),
        (&["a.db", "b.db", "c.db"], 2, "name two archives"),
        (&["a.db", "./a.db"], 2, "are one file"),
        (&["a.db", "link.db"], 2, "are one file"),
        (&["a.db", "none.db"], 6, "there is no file none.db"),
        (&["text", "a.db"], 6, "text"),
        (&["a.db", "packed"], 6, "is packed"),
        (&["a.db", "other.db"], 6, "other.db"),
    ];
    for (files, code, why) in cases {
        let ran = folder.run(&[&["diff"], files].concat()).expect(code);
        assert!(ran.stderr.contains(why) && ran.stdout.is_empty(), "{files:?}: {ran:?}");
    }
    let wrong = pair.diff(&["--stream", "usge"]).expect(2);
    assert!(wrong.stderr.contains("did you mean `usage`?"), "{wrong:?}");
    assert!(Path::new(&path("a.db")).exists());
}

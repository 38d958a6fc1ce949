//! What a merge takes along beside rows and windows, and archives of an older format.

use std::path::Path;

use windrow::host::SystemFiles;
use windrow::merge::{MergeOrder, merge};
use windrow::store::{Archive, Opening, Reader};

use crate::api::{ItemsApi, UsageApi, nine_days};
use crate::harness::{Workspace, execute, rows};
use crate::later::{ASIDE, LATER};

/// A snapshot whose records a test can change.
struct Items(ItemsApi);

impl Items {
    fn start() -> Items {
        Items(ItemsApi::start(""))
    }

    fn sync(&self, workspace: &mut Workspace, now: &str, data: &str) {
        self.0.change(data);
        workspace.at(now).run(&["sync"]);
    }

    fn laptop(&self) -> Workspace {
        let stream = "history = true\nraw = true\n[streams.items.columns]\nid = \"integer\"\n\
                      a = \"integer\"\n";
        Workspace::new(&crate::api::items_definition(&self.0.api.address, "", stream))
    }
}

/// What is asked of both archives, by what it is called.
const TAKEN: [(&str, &str); 8] = [
    (
        "pages",
        "SELECT r.uid, p.stream, b.sha256 FROM _windrow_raw_pages AS p
        JOIN _windrow_runs AS r USING (run_id) JOIN _windrow_raw_bodies AS b USING (body_id)",
    ),
    (
        "changes",
        "SELECT change, field, detail, r.uid FROM _windrow_schema_log
        JOIN _windrow_runs AS r USING (run_id)",
    ),
    ("fields", "SELECT field FROM _windrow_fields WHERE stream = 'items'"),
    (
        "rejects",
        "SELECT kind, reason, record, r.uid FROM _windrow_rejects
        JOIN _windrow_runs AS r USING (run_id)",
    ),
    ("history", "SELECT id, a, _rest, _changed_at, _replaced_at FROM items_history"),
    (
        "adoptions",
        "SELECT stream, file, r.uid FROM _windrow_adoptions
        JOIN _windrow_runs AS r USING (run_id)",
    ),
    (
        "adopted",
        "SELECT count(*), r.uid FROM _windrow_adopted
        JOIN _windrow_runs AS r USING (run_id) GROUP BY 2",
    ),
    ("runs", "SELECT uid, archive_id FROM _windrow_runs WHERE command NOT IN ('merge')"),
];

fn name(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

#[test]
fn pages_changes_fields_rejects_versions_and_adoptions_come_along_once() {
    let items = Items::start();
    let mut b = items.laptop();
    items.sync(&mut b, "2026-01-10T12:00:00Z", r#"{"id":1,"a":1,"n":1},{"id":2,"a":"x"}"#);
    items.sync(&mut b, "2026-01-11T12:00:00Z", r#"{"id":1,"a":2,"m":true}"#);
    execute(
        &b.path("old.db"),
        "CREATE TABLE t (id INTEGER, a INTEGER); INSERT INTO t VALUES (9, 9)",
    );
    b.run(&["adopt", "old.db", "--table", "t", "--apply"]).expect(0);
    let mut a = items.laptop();
    items.sync(&mut a, "2026-01-12T12:00:00Z", r#"{"id":1,"a":3},{"id":3,"a":"y"}"#);
    let ours: Vec<Vec<String>> = TAKEN.iter().map(|(_, sql)| a.rows(sql)).collect();
    a.run(&["merge", name(&b.path("a.db"))]).expect(0);
    for ((what, sql), ours) in TAKEN.iter().zip(ours) {
        let (theirs, both) = (b.rows(sql), a.rows(sql));
        assert!(!theirs.is_empty(), "there are {what}");
        for line in theirs.iter().chain(&ours) {
            assert!(both.contains(line), "{what}: {line} of {both:#?}");
        }
    }
    // The version that lost joins those that had lost before.
    assert_eq!(a.rows("SELECT a FROM items_history ORDER BY a"), ["1", "2"]);
    assert_eq!(a.value("SELECT a FROM items WHERE id = 1"), "3");
    let bodies = "SELECT count(*) - count(DISTINCT sha256) FROM _windrow_raw_bodies";
    assert_eq!(a.value(bodies), "0", "each body is kept once");
    assert_eq!(a.value("SELECT count(*) FROM _windrow_rejects"), "2");
    let before: Vec<Vec<String>> = TAKEN.iter().map(|(_, sql)| a.rows(sql)).collect();
    let again = a.run(&["merge", name(&b.path("a.db")), "--json"]).expect(0).json();
    assert_eq!(again["changed"], false, "{again}");
    let after: Vec<Vec<String>> = TAKEN.iter().map(|(_, sql)| a.rows(sql)).collect();
    assert_eq!(after, before);
    // The other way round the same comes to be, page by page.
    b.at("2026-01-12T12:00:00Z");
    b.run(&["merge", name(&a.path("a.db"))]).expect(0);
    for (what, sql) in TAKEN {
        let sorted = |workspace: &Workspace| {
            let mut all = workspace.rows(sql);
            all.sort();
            all
        };
        if what != "history" {
            assert_eq!(sorted(&a), sorted(&b), "{what}");
        }
    }
    assert_eq!(a.digests(), b.digests());
}

fn laptop(api: &UsageApi, from: &str, to: &str) -> Workspace {
    let workspace = Workspace::new(&api.definition(""));
    workspace.run(&["sync", "--from", from, "--to", to]).expect(0);
    workspace
}

#[test]
fn an_older_archive_is_brought_up_to_date_and_a_copy_of_it_set_aside() {
    let api = UsageApi::start(nine_days(), 50);
    let a = laptop(&api, "2026-01-01", "2026-01-03");
    let b = laptop(&api, "2026-01-02", "2026-01-05");
    let (ours, theirs) = (a.path("a.db"), b.path("a.db"));
    let opening = Opening { note: "test", now: "", allow_network_fs: true, files: &SystemFiles };
    let open = |path: &Path| Archive::open_with(path, &opening, LATER).expect("an older archive");
    open(&theirs).close().expect("closed");
    let archive = open(&ours);
    let other = Reader::open_with(&theirs, LATER).expect("an archive of the later format");
    let now = "2026-01-10T12:00:00Z".parse().expect("a time");
    let order = MergeOrder { now, version: "0", dry_run: false };
    let report = merge(&archive, &[("b".to_owned(), &other)], &order);
    assert!(report.is_ok_and(|report| report.changed));
    archive.close().expect("closed");
    assert_eq!(rows(&ours, "SELECT count(*) FROM usage"), ["12"]);
    assert_eq!(rows(&ours, "PRAGMA user_version"), ["2"]);
    let later = "SELECT count(*) > 2, sum(later = requested_at) = count(*) FROM _windrow_ledger";
    assert_eq!(rows(&ours, later), ["1|1"], "what the later format adds comes along");
    let aside = ours.with_file_name(ASIDE);
    assert_eq!(rows(&aside, "PRAGMA user_version"), ["1"]);
    assert_eq!(rows(&aside, "SELECT count(*) FROM usage"), ["6"]);
    let refused = a.run(&["status"]).expect(6);
    assert!(refused.stderr.contains("its format is 2, this program knows up to 1"), "{refused:?}");
}

#[test]
fn a_history_that_ended_with_a_rebuild_comes_along_under_the_run_s_number_here() {
    let more = "raw = true\nhistory = true\nshared_key = true";
    let api = UsageApi::start(nine_days(), 2);
    let mut b = Workspace::new(&api.definition(more));
    b.sync();
    api.change(|records| records[24].gb = 99.5);
    b.at("2026-01-11T12:00:00Z").sync();
    let other_key = api.definition(more).replace("[\"id\", \"day\"]", "\"id\"");
    b.define(&other_key);
    b.at("2026-01-12T12:00:00Z").run(&["rebuild", "--apply"]).expect(0);
    b.run(&["rebuild", "--confirm"]).expect(0);
    let a = Workspace::new(&other_key);
    a.sync();
    let run = "SELECT run_id FROM _windrow_runs WHERE command LIKE 'rebuild%' AND uid =";
    let uid = b.value("SELECT uid FROM _windrow_runs WHERE run_id = 3");
    a.run(&["merge", name(&b.path("a.db"))]).expect(0);
    let run = a.value(&format!("{run} '{uid}'"));
    assert_ne!(run, "3", "it has another number here");
    let said = |workspace: &Workspace, run: &str| {
        workspace.rows(&format!(
            "SELECT id, day, gb, u._changed_at, u._replaced_at, r.uid, s.uid
             FROM usage_history_until_{run} AS u JOIN _windrow_runs AS r ON r.run_id = u._run
             JOIN _windrow_runs AS s ON s.run_id = u._replaced_run ORDER BY 1, 2, 3"
        ))
    };
    assert_eq!(said(&b, "3").len(), 28);
    assert_eq!(said(&a, &run), said(&b, "3"));
    let again = a.run(&["merge", name(&b.path("a.db")), "--json"]).expect(0).json();
    assert_eq!(again["changed"], false, "{again}");
    b.run(&["merge", name(&a.path("a.db"))]).expect(0);
    assert_eq!(said(&b, "3").len(), 28, "nothing is there twice");
    let given = a.run(&["handoff", "given.db"]);
    assert_eq!(given.code, 0, "{given:?}");
    a.run(&["verify", "given.db"]).expect(0);
    // Where a table of the analyst's has the name, that is told, and the table stays as it is.
    let c = Workspace::new(&other_key);
    c.sync();
    execute(&c.path("a.db"), &format!("CREATE TABLE usage_history_until_{run} (mine TEXT)"));
    let told = c.run(&["merge", name(&b.path("a.db"))]).expect(0).stdout;
    assert!(told.contains("not taken: `usage_history_until_3`: a table"), "{told}");
}

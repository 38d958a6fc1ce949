//! Rows that are gone (`_deleted_at`): nothing counts them unless asked, and everything that leaves
//! them out says how many they are.

use std::sync::{Arc, Mutex};

use crate::api::{Api, ItemsApi, UsageApi, items_definition, json, nine_days};
use crate::harness::{Ran, Workspace};

const HALF: &str = "missing = \"mark\"\nmissing_ratio_max = 0.5";

fn found(workspace: &Workspace) -> Vec<String> {
    let report = workspace.run(&["check", "--json", "--fail-on", "error"]).json();
    let findings = report["findings"].as_array().expect("findings").clone();
    findings.iter().map(|each| each["check"].as_str().expect("a name").to_owned()).collect()
}

/// An archive of these items.
fn items(records: &str, more: &str) -> (ItemsApi, Workspace) {
    let api = ItemsApi::start(records);
    let workspace = Workspace::new(&api.definition(more));
    workspace.sync();
    (api, workspace)
}

/// A usage archive in which SL-3 of 9 January is marked as gone.
fn marked() -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(HALF));
    workspace.sync();
    api.change(|records| drop(records.pop()));
    workspace.sync();
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM usage WHERE _deleted_at IS NOT NULL"), "1");
    (api, workspace)
}

#[test]
fn a_marked_row_is_no_finding_but_a_number() {
    let (_api, workspace) = marked();
    let check = workspace.run(&["check"]).expect(0);
    assert_eq!(found(&workspace), ["gone"], "{check:?}");
    let check = workspace.run(&["check", "--fail-on", "info"]).expect(1);
    assert!(check.stdout.contains("1 row is marked as gone: no check counts"), "{check:?}");
    let status = workspace.run(&["status"]).expect(0);
    assert!(status.stdout.contains("26 rows, 1 gone"), "{status:?}");
    let stream = workspace.run(&["status", "--json"]).json()["streams"][0].clone();
    assert_eq!((&stream["rows"], &stream["gone"]), (&26.into(), &1.into()), "{stream}");
    let page = workspace.run(&["report"]).expect(0).stdout;
    assert!(page.contains("26 rows, 1 gone") && page.contains("2 rows\""), "{page}");
}

#[test]
fn a_proof_leaves_a_row_out_that_is_gone_on_both_sides() {
    let (api, workspace) = items(r#"{"id":"a","size":1},{"id":"b","size":2}"#, HALF);
    api.change(r#"{"id":"a","size":1}"#);
    workspace.sync();
    workspace.sync();
    let proof = workspace.run(&["prove", "items", "--json"]).expect(0).json();
    assert_eq!((&proof["gone"], &proof["equal"]), (&1.into(), &1.into()), "{proof}");
    let proof = workspace.run(&["prove", "items"]).expect(0);
    assert!(proof.stdout.contains("1 gone, and left out"), "{proof:?}");
    api.change(r#"{"id":"a","size":1},{"id":"b","size":2}"#);
    let proof = workspace.run(&["prove", "items", "--json"]).expect(1).json();
    assert_eq!(proof["changed"], 1, "a row that the source has again is not gone: {proof}");
}

#[test]
fn a_tombstone_is_no_difference_and_no_drift() {
    let live = r#"{"id":"a","name":"A","size":1},{"id":"b","name":"B","size":2}"#;
    let (api, workspace) = items(live, "deleted = \"$.deleted\"");
    api.change(r#"{"id":"a","deleted":true},{"id":"b","name":"B","size":2}"#);
    workspace.sync();
    assert_eq!(workspace.value("SELECT name FROM items WHERE id = 'a'"), "A");
    assert_eq!(found(&workspace), ["gone"]);
    let proof = workspace.run(&["prove", "items", "--json"]).expect(0).json();
    assert_eq!((&proof["gone"], &proof["changed"]), (&1.into(), &0.into()), "{proof}");
    api.change(r#"{"id":"a","deleted":true},{"id":"b","deleted":true}"#);
    let proof = workspace.run(&["prove", "items", "--json"]).expect(1).json();
    assert_eq!(proof["differences"][0]["columns"][0]["column"], "_deleted_at", "{proof}");
    workspace.sync();
    assert_eq!(found(&workspace), ["gone"], "no field vanished with the last record");
    workspace.run(&["prove", "items"]).expect(0);
}

#[test]
fn tombstones_in_a_window_are_no_missing_rows() {
    let gone = Arc::new(Mutex::new(false));
    let shared = Arc::clone(&gone);
    let api = Api::start(move |asked, _| {
        let day = asked.parameter("from").unwrap_or_default();
        let row = |id: &str, more: &str| format!(r#"{{"id":"{id}","day":"{day}"{more}}}"#);
        let deleted = *shared.lock().expect("no test panics in here") && day == "2026-01-09";
        let second = row("b", if deleted { r#","deleted":true"# } else { r#","gb":2.0"# });
        let data = format!("{},{second}", row("a", r#","gb":1.0"#));
        json(&format!(r#"{{"data":[{data}],"total":2,"next":null}}"#))
    });
    let more = "deleted = \"$.deleted\"\ntotal = \"$.total\"";
    let workspace = Workspace::new(&crate::api::usage_definition(&api.address, more));
    workspace.sync();
    *gone.lock().expect("no test panics in here") = true;
    workspace.sync();
    assert_eq!(found(&workspace), ["never_found", "gone"], "no record has `updated_at`");
}

#[test]
fn an_export_leaves_them_out_says_so_and_brings_them_when_asked() {
    let (_api, workspace) = marked();
    let ran = workspace.run(&["export", "usage", "-f", "csv"]).expect(0);
    assert_eq!(ran.stdout.lines().count(), 27, "{ran:?}");
    assert!(ran.stderr.contains("1 row is gone from `usage`; `--with-gone`"), "{ran:?}");
    let ran = workspace.run(&["export", "usage", "-f", "csv", "--with-gone"]).expect(0);
    assert_eq!(ran.stdout.lines().count(), 28, "{ran:?}");
    assert!(ran.stdout.lines().next().is_some_and(|head| head.ends_with("_deleted_at")), "{ran:?}");
    assert!(!ran.stderr.contains("gone"), "{ran:?}");
    let of = ["export", "usage", "-o", "x.csv", "--json", "--where", "id = 'SL-1'"];
    let told = workspace.run(&of).expect(0).json();
    assert_eq!(told["streams"][0]["gone"], 0, "the condition holds for them too: {told}");
}

#[test]
fn a_window_of_a_few_rows_can_lose_one() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition("missing = \"mark\""));
    workspace.sync();
    api.change(|records| drop(records.pop()));
    workspace.sync();
    let report = workspace.sync().json();
    let stream = &report["streams"][0];
    assert_eq!((&stream["vanished"], &stream["held_back"]), (&1.into(), &0.into()), "{report}");
}

#[test]
fn the_floor_never_takes_all_rows_and_ends_at_its_number() {
    let five = r#"{"id":"a"},{"id":"b"},{"id":"c"},{"id":"d"},{"id":"e"}"#;
    let gone = |more: &str, left: &str| {
        let (api, workspace) = items(five, more);
        api.change(left);
        workspace.sync();
        workspace.sync();
        workspace.value("SELECT count(*) FROM items WHERE _deleted_at IS NOT NULL")
    };
    let mark = "missing = \"mark\"";
    assert_eq!(gone(mark, r#"{"id":"a"},{"id":"b"}"#), "3");
    assert_eq!(gone(mark, r#"{"id":"a"}"#), "0", "four are more than three");
    assert_eq!(gone(&format!("{mark}\nmissing_min = 9"), ""), "0", "all rows are not a few");
    assert_eq!(gone(&format!("{mark}\nmissing_min = 0"), r#"{"id":"a"},{"id":"b"}"#), "0");
}

#[test]
fn a_floor_that_means_nothing_is_refused() {
    let refused = |more: &str| -> Ran {
        let definition = items_definition("http://127.0.0.1:9", "", more);
        Workspace::new(&definition).run(&["sync", "--dry-run"]).expect(2)
    };
    let both = refused("missing_min = 2\nmissing_ratio_max = 0.1");
    assert!(both.stderr.contains("`missing_min` needs `missing"), "{both:?}");
    assert!(both.stderr.contains("`missing_ratio_max` needs `missing"), "all at once: {both:?}");
    assert!(refused("missing = \"mark\"\nmissing_min = -1").stderr.contains("missing_min"));
    assert!(refused("missing = \"mark\"\nmissing_min = \"3 rows\"").stderr.contains("missing_min"));
}

#[test]
fn the_windows_of_a_parent_that_is_gone_are_nobodys_trouble() {
    let parents = Arc::new(Mutex::new(r#"{"id":"L1"},{"id":"L2"}"#.to_owned()));
    let shared = Arc::clone(&parents);
    let api = Api::start(move |asked, _| match asked.path() {
        "/items" => json(&format!(r#"{{"data":[{}]}}"#, shared.lock().expect("no panic"))),
        "/items/L2/days" => crate::api::answer("500 Internal Server Error", &[], "no"),
        _ => json(r#"{"data":[{"day":"1","line":"L1"}]}"#),
    });
    let more = format!(
        "{}\n[streams.days]\npath = \"/items/{{{{ parent.id }}}}/days\"\nrecords = \"$.data[*]\"\n\
         key = [\"line\", \"day\"]\nfor_each = \"items\"\n",
        items_definition(&api.address, crate::api::FAST, HALF)
    );
    let workspace = Workspace::new(&more);
    workspace.run(&["sync"]).expect(3);
    assert!(found(&workspace).contains(&"partial".to_owned()));
    r#"{"id":"L1"}"#.clone_into(&mut parents.lock().expect("no test panics in here"));
    workspace.run(&["sync"]);
    workspace.run(&["sync"]);
    workspace.run(&["sync"]).expect(0);
    assert_eq!(found(&workspace), ["gone"]);
    let status = workspace.run(&["status"]).expect(0);
    assert!(!status.stdout.contains('!'), "{status:?}");
}

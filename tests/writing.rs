//! P3, P6, P7, P9, P10: what is in the file, as SQLite itself sees it.

use crate::api::{Api, FAST, UsageApi, items_definition, json, nine_days};
use crate::harness::{Workspace, counts};

#[test]
fn the_archive_is_plain_sqlite_with_typed_strict_tables_and_a_unique_key() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let sql = workspace.value("SELECT sql FROM sqlite_schema WHERE name = 'usage'");
    assert_eq!(
        sql.lines().collect::<Vec<_>>(),
        [
            "CREATE TABLE \"usage\" (",
            "    \"id\" TEXT NOT NULL,",
            "    \"day\" TEXT NOT NULL,",
            "    \"gb\" REAL,",
            "    \"updated_at\" TEXT,",
            "    \"_rest\" TEXT,",
            "    \"_first_seen_at\" TEXT NOT NULL,",
            "    \"_changed_at\" TEXT NOT NULL,",
            "    \"_revision\" INTEGER NOT NULL,",
            "    \"_run\" INTEGER NOT NULL,",
            "    UNIQUE (\"id\", \"day\")",
            ") STRICT",
        ]
    );
    assert_eq!(workspace.value("PRAGMA integrity_check"), "ok");
    assert_eq!(workspace.rows("PRAGMA foreign_key_check"), [""; 0]);
    assert_eq!(workspace.value("PRAGMA application_id"), "1465012055");
    let names: Vec<_> = std::fs::read_dir(workspace.folder())
        .expect("the folder")
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!names.iter().any(|name| name.ends_with("-wal")), "one file: {names:?}");
}

#[test]
fn every_record_is_counted_once_and_rejects_are_kept_verbatim_once() {
    let api = Api::start(|_, _| {
        json(r#"{"data":[{"id":1},{"id":1},{"id":2},{"id":null}, {"id":"x"},7,{"id":3,"id":4}]}"#)
    });
    let stream = "columns = { id = \"integer\" }\nmax_rejects = 4";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, stream));
    assert_eq!(counts(&workspace.sync().json(), "items"), "7 2 0 0 1 4");
    assert_eq!(counts(&workspace.sync().json(), "items"), "7 0 0 2 1 4");
    let kept = workspace.rows("SELECT kind, record FROM _windrow_rejects ORDER BY reject_id");
    assert_eq!(
        kept,
        [
            "no_key|{\"id\":null}",
            "type|{\"id\":\"x\"}",
            "not_an_object|7",
            "duplicate_member|{\"id\":3,\"id\":4}"
        ]
    );
    let status = workspace.run(&["status"]).expect(0);
    assert!(
        status.stdout.contains(
            "1 reject in items (type), such as: column id (integer): \
        expected an integer, found a text"
        ),
        "{}",
        status.stdout
    );
}

#[test]
fn too_many_rejects_fail_the_window() {
    let api = Api::start(|_, _| json(r#"{"data":[{"id":1},{"id":"x"},{"id":"y"}]}"#));
    let stream = "columns = { id = \"integer\" }\nmax_rejects = 1";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, stream));
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("more than 1 record of the window was rejected"), "{ran:?}");
}

#[test]
fn a_window_and_its_rows_are_there_together_or_not_at_all() {
    let api = UsageApi::start(nine_days(), 2);
    let workspace = Workspace::new(&api.definition(""));
    for requests in 1..12 {
        workspace.run(&["sync", "--max-requests", &requests.to_string()]);
        // Every complete day has its three rows.
        let short = "SELECT count(*) FROM _windrow_ledger l WHERE state <> 'partial'
            AND end_at <= '2026-01-10T00:00:00+00:00'
            AND (SELECT count(*) FROM usage WHERE day = substr(l.start_at, 1, 10)) <> 3";
        if workspace.path("a.db").exists() {
            assert_eq!(workspace.value(short), "0", "after runs of up to {requests} requests");
        }
    }
}

#[test]
fn what_runs_did_is_in_the_archive_and_adds_up() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    workspace.sync();
    let ran = workspace.run(&["runs", "--json"]).expect(0);
    let runs: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(runs.len(), 2);
    assert_eq!(
        (&runs[1]["run"], &runs[1]["inserted"], &runs[1]["state"]),
        (&1.into(), &27.into(), &"complete".into())
    );
    assert_eq!((&runs[0]["inserted"], &runs[0]["unchanged"]), (&0.into(), &9.into()));
    let one = workspace.run(&["runs", "1"]).expect(0).stdout;
    assert!(one.starts_with("run 1 (sync): complete\n"), "{one}");
    workspace.run(&["runs", "99"]).expect(2);
}

#[test]
fn an_api_that_shuffles_its_members_does_not_change_its_records() {
    let api = Api::start(|_, number| match number {
        0 => json(r#"{"data":[{"id":1,"b":{"x":1,"y":[1,2]},"a":2}]}"#),
        _ => json(r#"{"data":[{"a":2,"b":{"y":[1, 2],"x":1},"id":1}]}"#),
    });
    let stream = "columns = { id = \"integer\" }";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, stream));
    workspace.sync();
    assert_eq!(counts(&workspace.sync().json(), "items"), "1 0 0 1 0 0");
    assert_eq!(workspace.value("SELECT _rest FROM items"), r#"{"a":2,"b":{"x":1,"y":[1,2]}}"#);
}

#[test]
fn the_stored_definition_is_enough_to_carry_on() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition("# a comment with a secret: hunter2\n"));
    workspace.sync();
    let stored = workspace.value("SELECT text FROM _windrow_definitions");
    assert!(!stored.contains("hunter2"), "comments are not handed on");
    std::fs::rename(workspace.path("a.db"), workspace.path("given.db")).expect("a hand-off");
    std::fs::remove_file(workspace.path("windrow.toml")).expect("no definition");
    workspace.run(&["sync", "--archive", "given.db", "--json"]).expect(9);
    workspace.trust("given.db");
    let report = workspace.run(&["sync", "--archive", "given.db", "--json"]).expect(0).json();
    assert_eq!(counts(&report, "usage"), "9 0 0 9 0 0");
    workspace.run(&["status", "--archive", "given.db"]).expect(0);
}

//! Each exit code of docs/exit-codes.md that this version can give, provoked. Those that
//! other tests provoke too stand here once, so that the list is in one place.

use std::process::Stdio;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::api::{Api, FAST, Reply, UsageApi, answer, items_definition, json, nine_days};
use crate::harness::Workspace;

fn source_that(reply: fn() -> Reply) -> (Api, Workspace) {
    let api = Api::start(move |_, _| reply());
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    (api, workspace)
}

#[test]
fn done_is_0() {
    let (_api, workspace) = source_that(|| json(r#"{"data":[{"id":1}]}"#));
    workspace.run(&["sync"]).expect(0);
}

#[test]
fn a_wrong_command_line_or_definition_is_2() {
    Workspace::empty().run(&["no-such-command"]).expect(2);
    Workspace::new("nonsense").run(&["sync"]).expect(2);
}

#[test]
fn offline_is_3_and_says_what_waits() {
    let definition = items_definition("http://127.0.0.1:1", FAST, "");
    let workspace = Workspace::new(&definition);
    let ran = workspace.run(&["sync"]).expect(3);
    assert!(ran.stderr.contains("nobody listens"), "{ran:?}");
    assert!(ran.stderr.contains("1 fetch waits for the next sync"), "{ran:?}");
    workspace.run(&["status"]).expect(0);
}

#[test]
fn refused_credentials_are_4() {
    let (_api, workspace) = source_that(|| answer("401 Unauthorized", &[], ""));
    workspace.run(&["sync"]).expect(4);
}

#[test]
fn a_broken_word_is_5() {
    let (_api, workspace) = source_that(|| json("{}"));
    workspace.run(&["sync"]).expect(5);
}

#[test]
fn an_unusable_archive_is_6() {
    let (_api, workspace) = source_that(|| json("{}"));
    std::fs::write(workspace.path("a.db"), "text").expect("a file");
    workspace.run(&["sync"]).expect(6);
}

/// A process that holds the archive while it waits for an answer.
struct Holder {
    workspace: Workspace,
    child: std::process::Child,
    _api: Api,
}

fn holder() -> Holder {
    let (tell, asked) = channel();
    let tell = Mutex::new(tell);
    let api = Api::start(move |_, number| {
        if number == 0 {
            let _ = tell.lock().expect("one listener").send(());
            return Reply::Silence(Duration::from_millis(1500));
        }
        json(r#"{"data":[{"id":1}]}"#)
    });
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    let child = workspace.command(&["sync"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.expect("windrow starts");
    asked.recv_timeout(Duration::from_secs(10)).expect("it asks");
    Holder { workspace, child, _api: api }
}

#[test]
fn a_held_archive_is_7_and_says_by_whom_and_readers_are_not_hindered() {
    let mut holder = holder();
    let ran = holder.workspace.run(&["sync"]).expect(7);
    let who = format!("held by process {} (windrow sync) since 2026-01-10", holder.child.id());
    assert!(ran.stderr.contains(&who), "{ran:?}");
    holder.workspace.run(&["status"]).expect(0);
    holder.workspace.run(&["query", "SELECT 1"]).expect(0);
    holder.workspace.run(&["sync", "--wait", "20 seconds"]).expect(0);
    assert!(holder.child.wait().expect("it ends").success());
}

#[cfg(unix)]
#[test]
fn a_lock_of_a_dead_process_needs_no_clean_up() {
    let mut holder = holder();
    holder.child.kill().expect("killed");
    holder.child.wait().expect("gone");
    holder.workspace.run(&["sync"]).expect(0);
}

#[cfg(unix)]
#[test]
fn storage_that_cannot_be_written_is_8_before_anything_is_asked() {
    use std::os::unix::fs::PermissionsExt;
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let asked = api.api.log().len();
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(workspace.path("a.db"), permissions).expect("a mode");
    };
    mode(0o400);
    // The super-user writes whatever the mode says; then there is nothing to test.
    let is_root = std::fs::OpenOptions::new().append(true).open(workspace.path("a.db")).is_ok();
    if !is_root {
        let ran = workspace.run(&["sync"]).expect(8);
        assert!(ran.stderr.contains("read-only"), "{ran:?}");
        assert_eq!(api.api.log().len(), asked);
        workspace.run(&["status"]).expect(0);
    }
    mode(0o600);
    let elsewhere = workspace.run(&["sync", "--archive", "/proc/windrow/a.db"]).expect(8);
    assert!(elsewhere.stderr.contains("the archive's folder must exist"), "{elsewhere:?}");
    assert_eq!(api.api.log().len(), asked);
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_8_keeps_what_was_complete_and_needs_no_repair() {
    use crate::api::Record;
    let days = 1..=9;
    let records = days.flat_map(|day| {
        (0..2000).map(move |n| {
            let day = format!("2026-01-0{day}");
            Record::new(&format!("SL-{n}"), &day, 1.5, "2026-01-09T00:00:00Z")
        })
    });
    let api = UsageApi::start(records.collect(), 1000);
    let workspace = Workspace::new(&api.definition(""));
    // A limit on the size of files stands in for a full disk: 1,500 blocks of 512 bytes.
    let limited = format!("ulimit -f 1500; exec {} sync", env!("CARGO_BIN_EXE_windrow"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &limited]).current_dir(workspace.folder());
    shell.env("WINDROW_TEST_NOW", crate::harness::NOW).stdin(Stdio::null());
    let ran = crate::harness::ran(&shell.output().expect("sh runs")).expect(8);
    assert!(ran.stderr.contains("help:"), "{ran:?}");
    let short = "SELECT count(*) FROM _windrow_ledger l WHERE state IN ('complete', 'settled')
        AND end_at <= '2026-01-10T00:00:00+00:00'
        AND (SELECT count(*) FROM usage WHERE day = substr(l.start_at, 1, 10)) <> 2000";
    assert_eq!(workspace.value(short), "0");
    assert_ne!(workspace.value("SELECT count(*) FROM usage"), "18000", "the limit was met");
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "18000");
    assert_eq!(workspace.value("PRAGMA integrity_check"), "ok");
}

#[test]
fn a_refusal_for_safety_is_9() {
    let (_api, workspace) =
        source_that(|| answer("302 Found", &[("location", "http://evil.example/")], ""));
    workspace.run(&["sync"]).expect(9);
}

#[test]
fn the_gravest_cause_decides_and_the_other_streams_are_still_read() {
    let api = Api::start(|asked, _| match asked.path() {
        "/items" => json(r#"{"data":[{"id":1}]}"#),
        "/gone" => answer("404 Not Found", &[], ""),
        _ => answer("503 Service Unavailable", &[], ""),
    });
    let mut definition = items_definition(&api.address, FAST, "");
    for name in ["failing", "gone"] {
        definition.push_str(&format!(
            "\n[streams.{name}]\npath = \"/{name}\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n"
        ));
    }
    let workspace = Workspace::new(&definition);
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("HTTP 404") && ran.stderr.contains("HTTP 503"), "{ran:?}");
    assert_eq!(workspace.value("SELECT count(*) FROM items"), "1");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
        SELECT i FROM n";
    for format in ["csv", "ndjson", "json", "table"] {
        let mut child = workspace
            .command(&["query", "--format", format, sql])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("windrow starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("windrow ends");
        assert_eq!(output.status.code(), Some(0), "{format}: {output:?}");
    }
}

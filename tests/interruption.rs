//! P3, P5: whatever ends a run, what was complete stays, and the next run carries on.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::api::{Api, FAST, Reply, UsageApi, answer, items_definition, json, nine_days};
use crate::harness::{Workspace, ran};

/// An API of pages of two items that keeps silent on one page until it is let go.
fn stalling(page: usize) -> (Api, std::sync::mpsc::Receiver<()>, Arc<AtomicBool>) {
    let (tell, asked) = channel();
    let tell = Mutex::new(tell);
    let stall = Arc::new(AtomicBool::new(true));
    let stalls = Arc::clone(&stall);
    let api = Api::start(move |request, _| {
        let at: usize = request.parameter("cursor").and_then(|c| c.parse().ok()).unwrap_or(0);
        if at == page && stalls.load(Ordering::SeqCst) {
            let _ = tell.lock().expect("one listener").send(());
            return Reply::Silence(Duration::from_secs(20));
        }
        let next = if at < 5 { format!("\"{}\"", at + 1) } else { "null".to_owned() };
        let (a, b) = (at * 2, at * 2 + 1);
        json(&format!(r#"{{"data":[{{"id":{a}}},{{"id":{b}}}],"next":{next}}}"#))
    });
    (api, asked, stall)
}

const PAGED: &str = "paginate = { kind = \"cursor\", next = \"$.next\" }";

#[cfg(unix)]
fn interrupt(signal: &str, code: i32) {
    let (api, asked, stall) = stalling(3);
    let workspace = Workspace::new(&items_definition(&api.address, FAST, PAGED));
    let child = workspace
        .command(&["sync"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("windrow starts");
    asked.recv_timeout(Duration::from_secs(10)).expect("the page is asked for");
    let kill = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let output = child.wait_with_output().expect("windrow ends");
    if code >= 0 {
        let ran = ran(&output).expect(code);
        let says = "stopped: the current page was rolled back, everything before it is kept";
        assert!(ran.stderr.contains(says), "{ran:?}");
        assert_eq!(
            workspace.value("SELECT count(*) FROM items"),
            "6",
            "three whole pages are kept"
        );
        let entry = "SELECT state, token FROM _windrow_ledger";
        assert_eq!(workspace.rows(entry), [r#"partial|{"cursor":"3"}"#]);
    }
    stall.store(false, Ordering::SeqCst);
    let before = api.log().len();
    workspace.sync();
    if code >= 0 {
        let resumed = api.log()[before].parameter("cursor");
        assert_eq!(resumed.as_deref(), Some("3"), "it carries on at the page it was at");
    }
    let ids = workspace.rows("SELECT id FROM items ORDER BY id");
    assert_eq!(ids, (0..12).map(|n| n.to_string()).collect::<Vec<_>>());
    let states = workspace.rows("SELECT state FROM _windrow_runs ORDER BY run_id");
    assert_eq!(states, ["interrupted", "complete"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_whole_pages_and_says_so() {
    interrupt("-INT", 130);
}

#[cfg(unix)]
#[test]
fn a_termination_signal_keeps_whole_pages() {
    interrupt("-TERM", 143);
}

#[cfg(unix)]
#[test]
fn a_killed_process_leaves_nothing_to_repair() {
    interrupt("-KILL", -1);
}

#[test]
fn a_fetch_carries_on_at_the_page_where_the_source_failed() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let api = Api::start(move |request, _| {
        let at: usize = request.parameter("cursor").and_then(|c| c.parse().ok()).unwrap_or(0);
        if at == 2 && !is_well.load(Ordering::SeqCst) {
            return crate::api::answer("503 Service Unavailable", &[], "");
        }
        let next = if at < 3 { format!("\"{}\"", at + 1) } else { "null".to_owned() };
        json(&format!(r#"{{"data":[{{"id":{at}}}],"next":{next}}}"#))
    });
    let workspace = Workspace::new(&items_definition(&api.address, FAST, PAGED));
    workspace.run(&["sync"]).expect(3);
    let entry = workspace.rows("SELECT state, token FROM _windrow_ledger");
    assert_eq!(entry, [r#"partial|{"cursor":"2"}"#]);
    well.store(true, Ordering::SeqCst);
    let before = api.log().len();
    workspace.sync();
    let cursors: Vec<_> = api.log()[before..].iter().map(|a| a.parameter("cursor")).collect();
    assert_eq!(cursors, [Some("2".to_owned()), Some("3".to_owned())]);
    assert_eq!(workspace.value("SELECT count(*) FROM items"), "4");
}

#[test]
fn a_token_that_the_source_no_longer_knows_begins_the_window_anew() {
    let phase = Arc::new(Mutex::new(0));
    let shared = Arc::clone(&phase);
    let api = Api::start(move |request, _| {
        let phase = *shared.lock().expect("no panic");
        let cursor = request.parameter("cursor").unwrap_or_default();
        match (phase, cursor.as_str()) {
            (0, "old-1") => crate::api::answer("503 Service Unavailable", &[], ""),
            (0, _) => json(r#"{"data":[{"id":1}],"next":"old-1"}"#),
            (_, "old-1") => crate::api::answer("410 Gone", &[], r#"{"error":"cursor expired"}"#),
            (_, "new-1") => json(r#"{"data":[{"id":2}],"next":null}"#),
            _ => json(r#"{"data":[{"id":1}],"next":"new-1"}"#),
        }
    });
    let workspace = Workspace::new(&items_definition(&api.address, FAST, PAGED));
    workspace.run(&["sync"]).expect(3);
    *phase.lock().expect("no panic") = 1;
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["1", "2"]);
}

#[test]
fn a_token_of_another_definition_is_not_carried_on() {
    let api = Api::start(|request, _| {
        let number = |name: &str| request.parameter(name).and_then(|n| n.parse::<usize>().ok());
        let (page, size) = (number("page").unwrap_or(1), number("n").unwrap_or(5));
        let ids = ((page - 1) * size..(page * size).min(50)).map(|n| format!(r#"{{"id":{n}}}"#));
        json(&format!(r#"{{"data":[{}]}}"#, ids.collect::<Vec<_>>().join(",")))
    });
    let paging = "paginate = { kind = \"page\", size = 5, size_param = \"n\" }";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, paging));
    workspace.run(&["sync", "--max-requests", "2"]).expect(3);
    let longer = paging.replace("size = 5", "size = 20");
    workspace.define(&items_definition(&api.address, FAST, &longer));
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM items"), "50");
}

#[test]
fn a_bounded_run_leaves_the_rest_for_the_next_one() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    let mut runs = 0;
    while workspace.run(&["sync", "--max-requests", "4"]).code == 3 {
        runs += 1;
        assert!(runs < 10, "bounded runs get on");
    }
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
    let plain = Workspace::new(&api.definition(""));
    plain.sync();
    assert_eq!(workspace.digests(), plain.digests());
}

#[test]
fn a_connection_that_breaks_again_and_again_ends_as_if_it_had_never_broken() {
    let records = nine_days();
    let calm = UsageApi::start(records.clone(), 2);
    let expected = Workspace::new(&calm.definition(""));
    expected.sync();
    let shared = Arc::clone(&calm.records);
    let rough = Api::start(move |asked, number| {
        let records = shared.lock().expect("no panic");
        let from = asked.parameter("from").unwrap_or_default();
        let to = asked.parameter("to").unwrap_or_default();
        let inside: Vec<_> = records.iter().filter(|r| r.day >= from && r.day < to).collect();
        let start: usize = asked.parameter("cursor").and_then(|c| c.parse().ok()).unwrap_or(0);
        let end = (start + 2).min(inside.len());
        let body: Vec<String> = inside[start.min(end)..end].iter().map(|r| r.json()).collect();
        let next = if end < inside.len() { format!("\"{end}\"") } else { "null".to_owned() };
        let body = format!(r#"{{"data":[{}],"next":{next}}}"#, body.join(","));
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        match number % 7 {
            1 => Reply::Close(format!("{head}{}", &body[..body.len() / 2]).into_bytes()),
            3 => Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()),
            5 => crate::api::answer("500 Internal Server Error", &[], ""),
            _ => json(&body),
        }
    });
    let workspace = Workspace::new(&crate::api::usage_definition(&rough.address, ""));
    for _ in 0..20 {
        if workspace.run(&["sync"]).code == 0 {
            break;
        }
    }
    assert_eq!(workspace.digests(), expected.digests());
}

#[cfg(unix)]
#[test]
fn the_fetches_of_a_killed_run_are_dated_by_the_source_whose_clock_is_another() {
    let (tell, asked) = channel();
    let tell = Mutex::new(tell);
    let date = ("date", "Fri, 01 Jan 2100 12:00:00 GMT");
    let api = Api::start(move |request, _| match request.path() {
        "/items" => answer("200 OK", &[date], r#"{"data":[{"id":1}]}"#),
        _ => {
            let _ = tell.lock().expect("one listener").send(());
            Reply::Silence(Duration::from_secs(20))
        }
    });
    let more = "\n[streams.more]\npath = \"/more\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n";
    let workspace = Workspace::new(&(items_definition(&api.address, FAST, "") + more));
    let mut sync = workspace.command(&["sync"]);
    // A clock that stands still is compared with nobody's.
    let mut child = sync.env_remove("WINDROW_TEST_NOW").spawn().expect("windrow starts");
    asked.recv_timeout(Duration::from_secs(10)).expect("the other stream is asked for");
    child.kill().expect("it is killed");
    child.wait().expect("it has ended");
    assert_eq!(workspace.rows("SELECT id FROM items"), ["1"]);
    assert_eq!(workspace.rows("SELECT finished_at FROM _windrow_runs"), ["NULL"]);
    let read_at = workspace.value("SELECT read_at FROM _windrow_runs");
    assert!(read_at.starts_with("2100-01-01T1"), "{read_at}");
}

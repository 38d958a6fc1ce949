//! One writer: several processes started at once on one archive, and readers beside them.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::api::{Api, json, usage_definition};
use crate::harness::{Workspace, ran};

/// How often it is tried in an ordinary test run; `WINDROW_TEST_ROUNDS` asks for more.
const ROUNDS: usize = 12;

#[expect(clippy::disallowed_methods, reason = "a test is told how long it may take")]
fn rounds() -> usize {
    std::env::var("WINDROW_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

#[expect(clippy::disallowed_methods, reason = "a test that waits for processes")]
fn a_moment() {
    std::thread::sleep(Duration::from_millis(5));
}

/// An API of one record a day that keeps everybody waiting until it is let go.
fn gated() -> (Api, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let api = Api::start(move |asked, _| {
        while !gate.load(Ordering::Relaxed) {
            a_moment();
        }
        let day = asked.parameter("from").unwrap_or_default();
        let at = "2026-01-09T00:00:00Z";
        json(&format!(
            r#"{{"data":[{{"id":"SL-1","day":"{day}","gb":1.5,"updated_at":"{at}"}}],"next":null}}"#
        ))
    });
    (api, open)
}

fn spawn(workspace: &Workspace, arguments: &[&str]) -> Child {
    let mut command = workspace.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("windrow starts")
}

#[test]
fn of_several_writers_one_works_and_the_others_say_who_does() {
    for round in 0..rounds() {
        let (api, open) = gated();
        let workspace = Workspace::new(&usage_definition(&api.address, ""));
        let count = 2 + round % 7;
        let mut children: Vec<Child> = (0..count).map(|_| spawn(&workspace, &["sync"])).collect();
        // The one that works waits for the API; all others must be done without it.
        while children.len() > 1 {
            a_moment();
            let done = children
                .iter_mut()
                .position(|child| child.try_wait().expect("it can be waited for").is_some());
            let Some(done) = done else { continue };
            let output = children.remove(done).wait_with_output().expect("it has ended");
            let told = ran(&output).expect(7).stderr;
            assert!(told.contains("is held by process") && told.contains("since"), "{told}");
        }
        open.store(true, Ordering::Relaxed);
        let last = children.remove(0).wait_with_output().expect("it ends");
        ran(&last).expect(0);
        let mut asked: Vec<String> = api.log().into_iter().map(|asked| asked.target).collect();
        let all = asked.len();
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), all, "nothing is fetched twice");
        assert_eq!(workspace.value("SELECT count(*) FROM usage"), "10");
        assert_eq!(workspace.value("SELECT count(*) FROM _windrow_runs"), "1");
    }
}

#[test]
fn those_that_wait_work_one_after_another() {
    let (api, open) = gated();
    open.store(true, Ordering::Relaxed);
    let workspace = Workspace::new(&usage_definition(&api.address, ""));
    let children: Vec<Child> =
        (0..6).map(|_| spawn(&workspace, &["sync", "--wait", "60 seconds"])).collect();
    for child in children {
        ran(&child.wait_with_output().expect("it ends")).expect(0);
    }
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_runs WHERE state = 'complete'"), "6");
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "10");
}

#[test]
fn readers_are_never_blocked_and_never_see_half_a_window() {
    let (api, open) = gated();
    let definition = usage_definition(&api.address, "");
    let workspace = Workspace::new(&definition);
    let writer = Mutex::new(spawn(&workspace, &["sync"]));
    let ended = || {
        let mut writer = writer.lock().expect("no test panics in here");
        writer.try_wait().expect("it can be waited for").is_some()
    };
    while !workspace.path("a.db").exists() {
        a_moment();
    }
    let half = "SELECT count(*) FROM _windrow_ledger l WHERE state IN ('complete', 'settled')
        AND NOT EXISTS (SELECT 1 FROM usage WHERE day = substr(l.start_at, 1, 10))";
    workspace.run(&["status"]).expect(0);
    open.store(true, Ordering::Relaxed);
    let mut looks = 0;
    while !ended() {
        if workspace.value("SELECT count(*) FROM sqlite_schema WHERE name = 'usage'") == "1" {
            assert_eq!(workspace.value(half), "0");
        }
        workspace.run(&["query", "SELECT count(*) FROM _windrow_ledger"]).expect(0);
        looks += 1;
    }
    assert!(looks > 0);
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "10");
}

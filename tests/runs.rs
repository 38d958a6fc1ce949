//! Runs are remembered: what was due, each fetch and its cost, errors and waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::api::{
    Api, FAST, UsageApi, answer, items_definition, json, nine_days, usage_definition,
};
use crate::harness::Workspace;

fn shown(workspace: &Workspace, run: &str) -> serde_json::Value {
    workspace.run(&["runs", "show", run, "--json"]).expect(0).json()
}

#[test]
fn a_run_tells_its_plan_and_each_fetch_with_what_it_cost() {
    let api = UsageApi::start(nine_days(), 2);
    let workspace = Workspace::new(&api.definition(""));
    let report = workspace.sync().json();
    let run = shown(&workspace, "1");
    let requests = api.api.log().len() as u64;
    assert_eq!((&run["requests"], &run["requests"]), (&requests.into(), &report["requests"]));
    let stream = &run["streams"][0];
    let pending = &stream["plan"][0];
    assert_eq!((&pending["reason"], &pending["windows"]), (&"pending".into(), &9.into()));
    assert_eq!(stream["plan"][1]["reason"], "open");
    assert_eq!(
        (&pending["from"], &pending["to"]),
        (&"2026-01-01T00:00:00+00:00".into(), &"2026-01-10T00:00:00+00:00".into())
    );
    let fetches = run["fetches"].as_array().expect("fetches").clone();
    assert_eq!(fetches.len(), 10);
    let sum = |name: &str| -> u64 { fetches.iter().filter_map(|r| r[name].as_u64()).sum() };
    for (name, whole) in [("requests", &run), ("bytes", &run), ("received", &run)] {
        assert_eq!(sum(name), whole[name].as_u64().expect(name), "{name}");
        assert_eq!(sum(name), stream[name].as_u64().expect(name), "{name}");
    }
    let one = fetches.iter().find(|r| r["start_at"] == "2026-01-01T00:00:00+00:00");
    let one = one.expect("the first day");
    assert_eq!((&one["outcome"], &one["pages"]), (&"settled".into(), &2.into()));
    assert_eq!((&one["inserted"], &one["requests"]), (&3.into(), &2.into()));
    let page = workspace.run(&["runs", "show", "1"]).expect(0).stdout;
    assert!(page.contains("usage was due: 9 pending, 2026-01-01..2026-01-10; 1 open, "), "{page}");
    assert!(page.contains("2026-01-01..2026-01-02  pending  settled"), "{page}");
    assert_eq!(workspace.run(&["runs", "1"]).expect(0).stdout, page);
    workspace.run(&["runs", "show", "9"]).expect(2);
}

#[test]
fn troubles_of_a_run_are_kept_without_secrets() {
    let api = Api::start(|_, number| match number {
        0 => answer("503 Service Unavailable", &[], ""),
        1 => json(r#"{"data":[{"id":1}],"total":2}"#),
        _ => answer("400 Bad Request", &[], "the key was canary-7c1e55, said the API"),
    });
    let source = "retry = { base = \"200 ms\", attempts = 2 }\n\
        auth = { kind = \"bearer\", token = \"${env:KEY}\" }";
    let stream = "total = \"$.total\"\nreconcile_attempts = 2";
    let mut workspace = Workspace::new(&items_definition(&api.address, source, stream));
    workspace.variable("KEY", "canary-7c1e55");
    let report = workspace.run(&["sync", "--json"]).json();
    let run = shown(&workspace, "1");
    let fetch = &run["fetches"][0];
    assert_eq!(fetch["outcome"], "partial");
    assert_eq!((&fetch["requests"], &fetch["retries"]), (&3.into(), &1.into()));
    assert!(fetch["waited_ms"].as_u64() > Some(0), "{fetch}");
    assert_eq!(fetch["waited_ms"], run["waited_ms"]);
    let event = &run["events"][0];
    assert_eq!((&event["kind"], &run["errors"]), (&"error".into(), &1.into()));
    assert_eq!(event["message"], report["errors"][0]["message"]);
    assert!(event["message"].as_str().is_some_and(|text| text.contains("${env:KEY}")), "{event}");
    let page = workspace.run(&["runs", "show", "1"]).expect(0).stdout;
    assert!(page.contains("error items: ") && page.contains("waited     "), "{page}");
    let archive = std::fs::read(workspace.path("a.db")).expect("the archive");
    assert!(!String::from_utf8_lossy(&archive).contains("canary-7c1e55"));
}

#[test]
fn a_wait_that_a_source_imposed_is_an_event_of_the_run() {
    let headers = [("retry-after", "3600")];
    let api = Api::start(move |_, _| answer("429 Too Many Requests", &headers, ""));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    workspace.run(&["sync"]).expect(3);
    let events = shown(&workspace, "1")["events"].as_array().expect("events").clone();
    let waits: Vec<_> = events.iter().filter(|event| event["kind"] == "wait").collect();
    assert_eq!(waits.len(), 1);
    assert_eq!(
        (&waits[0]["source"], waits[0]["until"].as_str()),
        (&"s".into(), Some("2026-01-10T13:00:00+00:00"))
    );
    let page = workspace.run(&["runs", "show", "1"]).expect(0).stdout;
    assert!(page.contains("wait s: the source s asks not to be asked before"), "{page}");
}

#[test]
fn every_end_of_a_fetch_has_its_name() {
    let api = Api::start(|asked, _| {
        let (from, to) = (asked.parameter("from"), asked.parameter("to"));
        let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
        match (from.as_str(), to.as_str()) {
            ("2026-01-01", "2026-01-02") => {
                json(r#"{"data":[{"id":"a","day":"2026-01-01"},{"id":"b","day":"2026-01-01"}]}"#)
            }
            ("2026-01-03", _) => json("{}"),
            _ => json(r#"{"data":[],"next":null}"#),
        }
    });
    let definition = usage_definition(&api.address, "max_records = 2");
    let workspace =
        Workspace::new(&definition.replace("lateness =", "precision = \"1 day\"\nlateness ="));
    workspace.run(&["sync", "--to", "2026-01-05", "--from", "2026-01-01"]).expect(5);
    let outcomes = "SELECT start_at, outcome, reason FROM _windrow_run_fetches ORDER BY start_at";
    assert_eq!(
        workspace.rows(outcomes),
        [
            "2026-01-01T00:00:00+00:00|truncated|asked",
            "2026-01-02T00:00:00+00:00|settled|asked",
            "2026-01-03T00:00:00+00:00|partial|asked",
            "2026-01-04T00:00:00+00:00|settled|asked",
        ]
    );
    let error = "SELECT count(*) FROM _windrow_run_fetches AS r JOIN _windrow_ledger AS l
        USING (stream, partition, start_at, end_at) WHERE r.error IS l.error";
    assert_eq!(workspace.value(error), "4", "as in the ledger");
}

#[test]
fn a_killed_run_is_remembered_by_what_its_transactions_hold() {
    let api = UsageApi::start(nine_days(), 2);
    let workspace = Workspace::new(&api.definition(""));
    let limited = workspace.run(&["sync", "--max-requests", "5", "--json"]).expect(3).json();
    // As a kill leaves it.
    workspace.rows(
        "UPDATE _windrow_runs SET state = 'running', finished_at = NULL, exit_code = NULL,
            windows_planned = 0, windows_completed = 0, requests = 0, bytes = 0",
    );
    workspace.sync();
    let run = shown(&workspace, "1");
    assert_eq!(run["state"], "interrupted");
    assert_eq!(run["windows_planned"], 10);
    assert_eq!(run["windows_completed"], limited["streams"][0]["windows_completed"]);
    assert_eq!(run["requests"], limited["requests"]);
    let text = workspace.run(&["runs", "show", "1"]).expect(0).stdout;
    assert!(text.contains("never: the process was killed"), "{text}");
}

#[test]
fn a_run_with_nothing_to_do_adds_nothing_but_itself() {
    let api = Api::start(|_, _| json(r#"{"data":[{"id":1}]}"#));
    let stream = "refresh = \"1 day\"";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, stream));
    workspace.sync();
    let rows = "SELECT (SELECT count(*) FROM _windrow_run_fetches),
        (SELECT count(*) FROM _windrow_run_streams), (SELECT count(*) FROM _windrow_run_events)";
    let before = workspace.rows(rows);
    workspace.sync();
    assert_eq!(workspace.rows(rows), before);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_runs"), "2");
}

#[test]
fn what_became_of_a_fetch_that_was_not_the_last_word_is_told() {
    let broken = Arc::new(AtomicBool::new(false));
    let (records, fails) = (nine_days(), Arc::clone(&broken));
    let api = Api::start(move |asked, _| {
        let (from, to) = (asked.parameter("from"), asked.parameter("to"));
        let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
        if fails.load(Ordering::Relaxed) {
            return json("{}");
        }
        let inside = records.iter().filter(|r| r.id == "SL-1" && r.day >= from && r.day < to);
        let body: Vec<String> = inside.take(3).map(|record| record.json()).collect();
        json(&format!("{{\"data\":[{}],\"next\":null}}", body.join(",")))
    });
    let definition = usage_definition(&api.address, "max_records = 3")
        .replace("step = \"1 day\"", "step = \"4 days\"\noverlap = \"2 days\"")
        .replace("lateness =", "precision = \"1 day\"\nlateness =");
    let workspace = Workspace::new(&definition);
    workspace.sync();
    let outcomes = |run: i64| {
        let sql = format!(
            "SELECT DISTINCT outcome FROM _windrow_run_fetches WHERE run_id = {run} ORDER BY 1"
        );
        workspace.rows(&sql)
    };
    assert_eq!(outcomes(1), ["complete", "second", "settled", "split"]);
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "9");
    broken.store(true, Ordering::Relaxed);
    workspace.run(&["sync"]).expect(5);
    assert_eq!(outcomes(2), ["kept"]);
}

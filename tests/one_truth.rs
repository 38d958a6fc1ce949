//! What `sync` says of a window, `status`, `check` and `report` say too; and what answers say
//! without making a window fail is a finding.

use std::sync::{Arc, Mutex};

use crate::api::{Api, FAST, Reply, answer, items_definition, json, usage_definition};
use crate::harness::{Ran, Workspace};

/// An API that answers 404 to everything once it is told to.
fn failing(good: impl Fn(&crate::api::Asked) -> Reply + Send + Sync + 'static) -> Failing {
    let down = Arc::new(Mutex::new(false));
    let shared = Arc::clone(&down);
    let api = Api::start(move |asked, _| match *shared.lock().expect("no panic") {
        true => answer("404 Not Found", &[], "no such day"),
        false => good(asked),
    });
    Failing { api, down }
}

struct Failing {
    api: Api,
    down: Arc<Mutex<bool>>,
}

impl Failing {
    fn fail(&self) {
        *self.down.lock().expect("no panic") = true;
    }
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('\'', "&#x27;").replace('/', "&#x2f;")
}

/// The problem of a stream, which must be the same text in `status`, `check` and `report`.
fn one_problem(workspace: &Workspace, check: &str) -> String {
    let status = workspace.run(&["status", "--json"]).expect(0).json();
    let problem = status["streams"][0]["problems"][0].as_str();
    let problem = problem.unwrap_or_else(|| panic!("no problem in {status}")).to_owned();
    let text = workspace.run(&["status"]).expect(0).stdout;
    assert!(text.contains(&format!("! {problem}")), "{text}");
    let found = workspace.run(&["check", "--json"]).json();
    let findings = found["findings"].as_array().expect("findings");
    let is_it = |each: &&serde_json::Value| each["check"] == check && each["found"] == *problem;
    assert!(findings.iter().any(|each| is_it(&each)), "{problem} is not in {found}");
    let page = workspace.run(&["report"]).expect(0).stdout;
    assert_eq!(page.matches(&html(&problem)).count(), 2, "{problem} in {page}");
    assert!(!page.contains("Nothing is known to be missing"), "{page}");
    problem
}

fn said(sync: &Ran, problem: &str) {
    let why = problem.rsplit_once("read now: ").or(problem.rsplit_once("partial: "));
    let why = why.expect("a reason").1;
    let printed = format!("{}{}", sync.stdout, sync.stderr);
    assert!(printed.contains(why), "sync does not say {why:?}: {printed}");
}

#[test]
fn a_window_that_can_no_longer_be_read_is_told_in_four_places() {
    let api = failing(|_| json(r#"{"data":[],"next":null}"#));
    let workspace = Workspace::new(&usage_definition(&api.api.address, ""));
    workspace.sync();
    api.fail();
    let sync = workspace.run(&["sync"]).expect(5);
    let problem = one_problem(&workspace, "stale_window");
    assert!(problem.starts_with("2026-01-07..2026-01-08: it was complete on 2026-01-10T"));
    assert!(problem.contains("and cannot be read now: "), "{problem}");
    said(&sync, &problem);
}

#[test]
fn a_snapshot_that_can_no_longer_be_read_is_told_in_four_places() {
    let api = failing(|_| json(r#"{"data":[{"id":1}]}"#));
    let workspace = Workspace::new(&items_definition(&api.api.address, FAST, ""));
    workspace.sync();
    api.fail();
    let sync = workspace.run(&["sync"]).expect(5);
    let problem = one_problem(&workspace, "stale_window");
    assert!(problem.starts_with("it was complete on 2026-01-10T"), "{problem}");
    said(&sync, &problem);
}

#[test]
fn a_partition_that_can_no_longer_be_read_is_told_in_four_places() {
    let api = failing(|asked| match asked.path() {
        "/items" => json(r#"{"data":[{"id":"L1"}]}"#),
        _ => json(r#"{"data":[{"day":"1","line":"L1"}]}"#),
    });
    let more = format!(
        "{}\n[streams.days]\npath = \"/items/{{{{ parent.id }}}}/days\"\nrecords = \"$.data[*]\"\n\
         key = [\"line\", \"day\"]\nfor_each = \"items\"\n",
        items_definition(&api.api.address, FAST, "refresh = \"1 day\"")
    );
    let mut workspace = Workspace::new(&more);
    workspace.sync();
    api.fail();
    workspace.at("2026-01-10T13:00:00Z");
    let sync = workspace.run(&["sync"]).expect(5);
    let problem = one_problem(&workspace, "stale_window");
    assert!(problem.starts_with("\"L1\": it was complete on 2026-01-10T12"), "{problem}");
    said(&sync, &problem);
}

#[test]
fn a_stream_that_was_read_and_is_empty_is_listed() {
    let api = Api::start(|_, _| json(r#"{"data":[]}"#));
    let workspace = Workspace::new(&items_definition(&api.address, "", ""));
    workspace.sync();
    let status = workspace.run(&["status", "--json"]).expect(0).json();
    let stream = &status["streams"][0];
    assert_eq!((&stream["stream"], &stream["complete"]), (&"items".into(), &1.into()), "{status}");
    let text = workspace.run(&["status"]).expect(0).stdout;
    assert!(text.contains("items  snapshot, 0 rows"), "{text}");
    workspace.run(&["check"]).expect(0);
    let page = workspace.run(&["report"]).expect(0).stdout;
    assert!(page.contains("<h2>items</h2>"), "{page}");
}

#[test]
fn a_first_fetch_that_failed_is_told_in_four_places() {
    let api = Api::start(|_, _| answer("404 Not Found", &[], "no"));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    let sync = workspace.run(&["sync"]).expect(5);
    let problem = one_problem(&workspace, "partial");
    assert!(problem.starts_with("partial: "), "{problem}");
    said(&sync, &problem);
}

/// Days with so many records each, by the day of the month.
fn days(records: impl Fn(u32) -> u32 + Send + Sync + 'static, more: &str) -> (Api, Workspace) {
    let api = Api::start(move |asked, _| {
        let day = asked.parameter("from").unwrap_or_default();
        let number: u32 = day[8..].parse().expect("a day");
        let row = |n: u32| format!(r#"{{"id":"{day}-{n}","day":"{day}","gb":1.0}}"#);
        let data: Vec<String> = (0..records(number)).map(row).collect();
        json(&format!(r#"{{"data":[{}],"next":null}}"#, data.join(",")))
    });
    let workspace = Workspace::new(&usage_definition(&api.address, more));
    workspace.sync();
    (api, workspace)
}

fn caps(workspace: &Workspace) -> Vec<serde_json::Value> {
    let report = workspace.run(&["check", "--json", "--fail-on", "error"]).json();
    let findings = report["findings"].as_array().expect("findings").clone();
    findings.into_iter().filter(|each| each["check"] == "cap").collect()
}

#[test]
fn six_full_windows_and_none_with_more_are_a_suspected_cap() {
    let (_api, workspace) = days(|day| if day < 8 { 100 } else { 30 }, "");
    let found = caps(&workspace);
    assert_eq!(found.len(), 1, "{found:?}");
    let text = found[0].to_string();
    assert!(text.contains("7 windows have exactly 100 records"), "{text}");
    assert!(text.contains("max_records = 100") && text.contains("paginate"), "{text}");
    workspace.run(&["check"]).expect(1);
}

#[test]
fn the_number_that_the_request_asks_for_is_a_cap_too() {
    let definition = |api: &Api| {
        let text = usage_definition(&api.address, "");
        text.replace("query = { from", "query = { limit = \"60\", from")
    };
    let (api, workspace) = days(|day| if day < 8 { 60 } else { 3 }, "");
    assert!(caps(&workspace).is_empty(), "60 is no number at which APIs stop by themselves");
    workspace.define(&definition(&api));
    workspace.sync();
    assert_eq!(caps(&workspace).len(), 1);
}

#[test]
fn equal_numbers_alone_are_no_cap() {
    let quiet = |records: fn(u32) -> u32, more: &str| {
        let (_api, workspace) = days(records, more);
        assert!(caps(&workspace).is_empty());
    };
    quiet(|_| 24, "");
    quiet(|day| if day < 6 { 100 } else { 30 }, "");
    quiet(|day| if day < 8 { 100 } else { 101 }, "");
    quiet(|day| if day < 8 { 100 } else { 30 }, "max_records = 1000");
    let meters = Api::start(|asked, _| {
        let day = asked.parameter("from").unwrap_or_default();
        let row = |n: u32| format!(r#"{{"id":"M{n}","day":"{day}","gb":1.0}}"#);
        let data: Vec<String> = (0..100).map(row).collect();
        json(&format!(r#"{{"data":[{}],"next":null}}"#, data.join(",")))
    });
    let workspace = Workspace::new(&usage_definition(&meters.address, ""));
    workspace.sync();
    assert!(caps(&workspace).is_empty(), "a hundred meters, one record a day");
}

#[test]
fn an_answer_against_one_page_is_a_remark_of_check() {
    let more = Arc::new(Mutex::new(true));
    let shared = Arc::clone(&more);
    let api = Api::start(move |_, _| match *shared.lock().expect("no panic") {
        true => json(r#"{"data":[{"id":1}],"has_more":true}"#),
        false => json(r#"{"data":[{"id":1}],"has_more":false}"#),
    });
    let none = "paginate = { kind = \"none\" }";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, none));
    workspace.sync();
    workspace.run(&["check"]).expect(0);
    let check = workspace.run(&["check", "--fail-on", "info"]).expect(1);
    assert!(check.stdout.contains("has_more"), "{check:?}");
    *more.lock().expect("no panic") = false;
    workspace.sync();
    workspace.run(&["check", "--fail-on", "info"]).expect(0);
}

#[test]
fn a_reject_that_its_window_no_longer_brings_is_closed() {
    let body = Arc::new(Mutex::new(r#"{"id":1,"n":2},{"id":2,"n":"x"},{"id":3,"n":1}"#.to_owned()));
    let shared = Arc::clone(&body);
    let api = Api::start(move |_, _| {
        json(&format!(r#"{{"data":[{}]}}"#, shared.lock().expect("no panic")))
    });
    let columns = "max_rejects = 9\n[streams.items.columns]\nid = \"integer\"\nn = \"integer\"\n";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, columns));
    let say = |text: &str| text.clone_into(&mut body.lock().expect("no panic"));
    workspace.sync();
    workspace.run(&["check"]).expect(1);
    workspace.sync();
    assert!(workspace.run(&["rejects"]).expect(0).stdout.contains("type"), "it came again");
    say(r#"{"id":1,"n":2},{"id":2,"n":7},{"id":3,"n":1}"#);
    workspace.sync();
    workspace.run(&["check"]).expect(0);
    let status = workspace.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["rejects"].as_array().map(Vec::len), Some(0), "{status}");
    assert_eq!(workspace.run(&["rejects"]).expect(0).stdout, "");
    let closed = workspace.run(&["rejects", "--closed"]).expect(0).stdout;
    assert!(closed.contains("type"), "{closed}");
    let page = workspace.run(&["rejects", "show", "1"]).expect(0).stdout;
    assert!(page.contains("type, closed") && page.contains("did not bring it again"), "{page}");
    say(r#"{"id":1,"n":2},{"id":2,"n":"x"},{"id":3,"n":1}"#);
    workspace.sync();
    workspace.run(&["check"]).expect(1);
    assert_eq!(workspace.run(&["rejects", "--closed"]).expect(0).stdout, "", "it is open again");
}

#[test]
fn a_window_closes_its_own_rejects_alone() {
    let bad = Arc::new(Mutex::new(true));
    let shared = Arc::clone(&bad);
    let api = Api::start(move |asked, _| {
        let day = asked.parameter("from").unwrap_or_default();
        let row = |id: &str, gb: &str| format!(r#"{{"id":"{id}","day":"{day}","gb":{gb}}}"#);
        let bad = *shared.lock().expect("no panic");
        let gb = if bad && matches!(&*day, "2026-01-02" | "2026-01-09") { "\"x\"" } else { "1.0" };
        json(&format!(r#"{{"data":[{},{}],"next":null}}"#, row("a", gb), row("b", "2.0")))
    });
    let workspace = Workspace::new(&usage_definition(&api.address, "max_rejects = 9"));
    workspace.sync();
    *bad.lock().expect("no panic") = false;
    workspace.sync();
    let open = "SELECT start_at FROM _windrow_rejects WHERE closed_at IS NULL";
    assert_eq!(workspace.rows(open), ["2026-01-02T00:00:00+00:00"], "a settled day is not read");
    workspace.run(&["sync", "--from", "2026-01-02", "--to", "2026-01-03"]).expect(0);
    assert!(workspace.rows(open).is_empty());
}

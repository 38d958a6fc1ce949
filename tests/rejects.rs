//! Records that could not become rows: listed, shown, taken up once they fit, set aside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::api::{Api, FAST, items_definition, json};
use crate::harness::{Workspace, counts};

/// An API whose answers, by path, can be changed.
struct Served {
    api: Api,
    bodies: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Served {
    fn start(bodies: &[(&str, &str)]) -> Served {
        let owned = bodies.iter().map(|(path, body)| ((*path).to_owned(), (*body).to_owned()));
        let bodies: Arc<Mutex<BTreeMap<String, String>>> = Arc::new(Mutex::new(owned.collect()));
        let shared = Arc::clone(&bodies);
        let api = Api::start(move |asked, _| {
            let bodies = shared.lock().expect("no panic");
            json(bodies.get(asked.path()).map_or(r#"{"data":[]}"#, String::as_str))
        });
        Served { api, bodies }
    }

    fn serve(&self, path: &str, body: &str) {
        self.bodies.lock().expect("no panic").insert(path.to_owned(), body.to_owned());
    }
}

/// A definition of snapshot streams: name, path, and what else stands in their tables.
fn definition(address: &str, streams: &[(&str, &str)]) -> String {
    let mut text = format!("[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{address}\"\n");
    for (name, more) in streams {
        text.push_str(&format!("[streams.{name}]\npath = \"/{name}\"\n"));
        if !more.contains("max_rejects") {
            text.push_str("max_rejects = 1000\n");
        }
        text.push_str(&format!("{more}\n"));
    }
    text
}

const LIST: &str = "records = \"$.data[*]\"\nkey = \"id\"";
const REJECTS: &str = "SELECT reject_id, kind, pointer FROM _windrow_rejects ORDER BY reject_id";

#[test]
fn each_kind_of_fault_is_pointed_to_in_the_record() {
    let body = r#"{"data":[{"id":1},7,{"of":2},{"id":null},{"id":"x"},{"id":2,"id":3},
        {"id":4,"more":{"list":[0,{"k":1,"k":2}]}},{"id":5,"a/b":{"~":["ok","\ud800"]}},
        {"id":6,"cycle":{"start":"soon"}},{"id":7,"cycle":{"start":"2026-01-01","x":1,"x":2}},
        {"id":8,"of":9}]}"#;
    let served = Served::start(&[("/items", body)]);
    let columns = "[streams.items.columns]\nid = \"integer\"\nof = \"integer\"\n\
        start = { type = \"date\", path = \"$.cycle.start\" }\n";
    let items = format!("{LIST}\nreferences = {{ of = \"items\" }}\n{columns}");
    let workspace = Workspace::new(&definition(&served.api.address, &[("items", &items)]));
    workspace.sync();
    assert_eq!(
        workspace.rows(REJECTS),
        [
            "1|not_an_object|",
            "2|no_key|/id",
            "3|no_key|/id",
            "4|type|/id",
            "5|duplicate_member|/id",
            "6|duplicate_member|/more/list/1/k",
            "7|unrepresentable|/a~1b/~0/1",
            "8|type|/cycle/start",
            "9|duplicate_member|/cycle/x",
            "10|orphan|/of",
        ]
    );
    let listed = workspace.run(&["rejects", "--json"]).expect(0).stdout;
    let listed: Vec<serde_json::Value> =
        listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let pointers: Vec<_> = listed.iter().rev().map(|entry| entry["pointer"].clone()).collect();
    assert_eq!(pointers[6], "/a~1b/~0/1");
    let shown = workspace.run(&["rejects", "show", "8"]).expect(0).stdout;
    let expected = "reject 8 of items: type, open\n  window    all\n  seen      \
        2026-01-10T12:00:00+00:00, by run 1\n  at        /cycle/start\n  reason    column start \
        (date): \"soon\" is not a date such as 2026-01-31\n  record    33 B, verbatim with --json\n\
        \n  {\n    \"id\": 6,\n    \"cycle\": {\n>     \"start\": \"soon\"\n      \
        ^^^^^^^^^^^^^^^ column start (date): \"soon\" is not a date such as \
        2026-01-31\n    }\n  }\n";
    assert_eq!(shown, expected);
    let missing = workspace.run(&["rejects", "show", "2"]).expect(0).stdout;
    assert!(missing.ends_with("\n/id is not there\n"), "{missing}");
}

#[test]
fn rejects_are_listed_by_stream_kind_run_and_window() {
    let served = Served::start(&[
        ("/a", r#"{"data":[{"id":1,"day":"2026-01-08"},{"id":"x"}]}"#),
        ("/b", r#"{"data":[7,{"id":2}]}"#),
    ]);
    let window = "query = { f = \"{{ window.start }}\", t = \"{{ window.end }}\" }\n";
    let grid = "[streams.a.window]\nfield = \"day\"\nstart = \"2026-01-08\"\nstep = \"1 day\"\n\
        lateness = \"9 days\"\nformat = \"%Y-%m-%d\"\n[streams.a.columns]\nid = \"integer\"\n\
        day = \"date\"";
    let a = format!("{window}{LIST}\n{grid}");
    let workspace = Workspace::new(&definition(&served.api.address, &[("a", &a), ("b", LIST)]));
    workspace.sync();
    served.serve("/b", r#"{"data":[7,8,{"id":2}]}"#);
    workspace.sync();
    let listed = |arguments: &[&str]| -> Vec<String> {
        let arguments: Vec<&str> = ["rejects", "--json"].iter().chain(arguments).copied().collect();
        let ran = workspace.run(&arguments).expect(0);
        let each = |line: &str| {
            let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
            format!("{}{}", entry["stream"].as_str().unwrap_or_default(), entry["reject"])
        };
        ran.stdout.lines().map(each).collect()
    };
    // One of the three windows of `a` kept the text key: the same record is kept once.
    assert_eq!(listed(&[]), ["b3", "b2", "a1"]);
    assert_eq!(listed(&["--stream", "b"]), ["b3", "b2"]);
    assert_eq!(listed(&["--kind", "type"]), ["a1"]);
    assert_eq!(listed(&["--run", "2"]), ["b3", "b2", "a1"], "seen again by it");
    assert_eq!(listed(&["--run", "2", "--kind", "not_an_object", "-n", "1"]), ["b3"]);
    assert_eq!(listed(&["--window", "2026-01-08T13:00:00Z"]), ["a1"]);
    assert_eq!(listed(&["--window", "2026-01-09"]), [""; 0]);
    assert_eq!(listed(&["--discarded"]), [""; 0]);
    let table = workspace.run(&["rejects", "list", "--stream", "a"]).expect(0).stdout;
    assert!(table.contains("2026-01-08..2026-01-09"), "{table}");
    workspace.run(&["rejects", "--kind", "odd"]).expect(2);
    workspace.run(&["rejects", "--window", "soon"]).expect(2);
    let none = workspace.run(&["rejects", "show", "9"]).expect(2).stderr;
    assert!(none.contains("there is no reject 9") && none.contains("windrow rejects"), "{none}");
}

#[test]
fn a_record_is_safe_on_a_terminal_and_verbatim_in_json() {
    let record = "{\"id\":\"\u{202e}x\", \"no\u{9b}31m\":1.10, \"big\":12345678901234567890123,\
        \"id\":2}";
    let served = Served::start(&[("/items", &format!("{{\"data\":[{{\"id\":1}},{record}]}}"))]);
    let workspace = Workspace::new(&definition(&served.api.address, &[("items", LIST)]));
    workspace.sync();
    for arguments in [vec!["rejects"], vec!["rejects", "show", "1"]] {
        let text = workspace.run(&arguments).expect(0).stdout;
        assert!(!text.contains(['\u{202e}', '\u{9b}']), "{text}");
    }
    let shown = workspace.run(&["rejects", "show", "1"]).expect(0).stdout;
    assert!(shown.contains("\\u{202e}x") && shown.contains("12345678901234567890123"), "{shown}");
    let found = workspace.run(&["rejects", "show", "1", "--json"]).expect(0).json();
    assert_eq!(found["record"], record);
    assert_eq!(found["pointer"], "/id");
}

#[test]
fn what_fits_a_changed_definition_becomes_what_the_api_would_have_made_of_it() {
    let lines = r#"{"data":[{"id":"a/1"},{"id":"b"}]}"#;
    let days = r#"{"SL-1":{"plan":"gold","days":[{"at":"2026-01-01 08:00","gb":1.10,"z":[1]},
        {"at":"2026-01-02 08:00"}]},"SL-2":{"days":[{"at":"2026-01-03 08:00"},{"at":"x"},7]}}"#;
    let served = Served::start(&[
        ("/lines", lines),
        ("/days/a%2F1", days),
        ("/days/b", r#"{"SL-3":{"days":[]}}"#),
    ]);
    let streams = |at: &str| {
        let days = format!(
            "for_each = \"lines\"\nrecords = \"$.*.days[*]\"\nkey = [\"line\", \"sl\", \"at\"]\n\
             [streams.days.columns]\nline = {{ type = \"text\", parent = \"id\" }}\n\
             sl = {{ type = \"text\", member = \"$.*\" }}\n\
             plan = {{ type = \"text\", ancestor = \"$.*\" }}\ngb = \"real\"\nat = {at}\n"
        );
        let text = definition(&served.api.address, &[("lines", LIST), ("days", &days)]);
        text.replace("path = \"/days\"", "path = \"/days/{{ parent.id }}\"")
    };
    let before = streams("{ type = \"timestamp\", format = \"%d.%m.%Y\" }");
    let after =
        streams("{ type = \"timestamp\", format = \"%Y-%m-%d %H:%M\", timezone = \"Asia/Tokyo\" }");
    let workspace = Workspace::new(&before);
    assert_eq!(counts(&workspace.sync().json(), "days"), "5 0 0 0 0 5");
    workspace.define(&after);
    let everything = "SELECT (SELECT count(*) FROM _windrow_runs), (SELECT count(*) FROM days),
        (SELECT group_concat(reject_id || kind || reason) FROM _windrow_rejects)";
    let untouched = workspace.rows(everything);
    let rehearsed = workspace.run(&["rejects", "retry", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(workspace.rows(everything), untouched, "a rehearsal changes nothing");
    let retried = workspace.run(&["rejects", "retry", "--json"]).expect(0).json();
    for report in [&rehearsed, &retried] {
        assert_eq!(counts(report, "days"), "5 3 0 0 0 2", "{report}");
        assert_eq!(report["streams"][0]["stay"].as_array().map(Vec::len), Some(2));
    }
    assert_eq!((&rehearsed["run"], &retried["run"]), (&serde_json::Value::Null, &2.into()));
    assert_eq!(workspace.rows("SELECT DISTINCT _run FROM days"), ["2"]);
    let fresh = Workspace::new(&after);
    fresh.sync();
    let rows = "SELECT line, sl, plan, gb, at, _rest FROM days ORDER BY at";
    assert_eq!(workspace.rows(rows), fresh.rows(rows));
    assert_eq!(workspace.digests(), fresh.digests());
    let kept = "SELECT kind, reason, record FROM _windrow_rejects ORDER BY reject_id";
    assert_eq!(workspace.rows(kept), fresh.rows(kept), "with the reason of today");
    let run = workspace.run(&["runs", "2", "--json"]).expect(0).json();
    assert_eq!((&run["command"], &run["state"]), (&"rejects retry".into(), &"complete".into()));
    let days = &run["streams"][0];
    assert_eq!((&days["late_rejects"], &days["received"]), (&3.into(), &0.into()));
    let again = workspace.run(&["rejects", "retry", "--json"]).expect(0).json();
    assert_eq!(counts(&again, "days"), "2 0 0 0 0 2");
}

#[test]
fn a_late_record_wins_over_what_was_read_before_it_and_never_over_what_came_after() {
    let served = Served::start(&[("/items", r#"{"data":[{"id":1,"v":1},{"id":2,"v":1}]}"#)]);
    let items = |v: &str| {
        let more = format!("{LIST}\ncolumns = {{ id = \"integer\", v = \"{v}\" }}");
        definition(&served.api.address, &[("items", &more)])
    };
    let workspace = Workspace::new(&items("boolean"));
    // A table that never held a row is made again, so begin with one that fits both.
    let flexible = |path: &str| {
        let more = format!(
            "{LIST}\n[streams.items.columns]\nid = \"integer\"\nv = {{ type = \"integer\", \
             path = \"{path}\" }}"
        );
        definition(&served.api.address, &[("items", &more)])
    };
    workspace.define(&flexible("$.v"));
    workspace.sync();
    served.serve("/items", r#"{"data":[{"id":1,"v":"two"},{"id":2,"v":"two","w":2}]}"#);
    workspace.sync();
    served.serve("/items", r#"{"data":[{"id":1,"v":3},{"id":2,"v":"two","w":2}]}"#);
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id, v FROM items ORDER BY id"), ["1|3", "2|1"]);
    workspace.define(&flexible("$.w"));
    let report = workspace.run(&["rejects", "retry", "--json"]).expect(0).json();
    assert_eq!(counts(&report, "items"), "1 0 0 0 1 0", "the other is closed");
    // The column has another meaning now, and a sync reads what it is.
    assert_eq!(workspace.rows("SELECT id, v FROM items ORDER BY id"), ["1|NULL", "2|NULL"]);
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id, v FROM items ORDER BY id"), ["1|NULL", "2|2"]);
}

#[test]
fn a_late_record_of_an_older_version_is_stale() {
    let served = Served::start(&[("/items", r#"{"data":[{"id":1,"at":2},{"id":2,"at":2}]}"#)]);
    let items = |path: &str| {
        let more = format!(
            "{LIST}\nversion = \"at\"\n[streams.items.columns]\nid = \"integer\"\n\
             at = \"integer\"\nn = {{ type = \"integer\", path = \"{path}\" }}"
        );
        definition(&served.api.address, &[("items", &more)])
    };
    let workspace = Workspace::new(&items("$.n"));
    workspace.sync();
    served.serve("/items", r#"{"data":[{"id":1,"at":1,"n":"x"},{"id":2,"at":3,"n":"x"}]}"#);
    workspace.sync();
    workspace.define(&items("$.m"));
    let report = workspace.run(&["rejects", "retry", "--json"]).expect(0).json();
    assert_eq!(counts(&report, "items"), "2 0 1 0 1 0");
    assert_eq!(workspace.rows("SELECT id, at FROM items ORDER BY id"), ["1|2", "2|3"]);
}

#[test]
fn rejects_are_taken_up_unless_what_lay_above_them_was_not_kept() {
    let nested = r#"{"SL-1":[{"day":"1","at":"x"}],"SL-2":[{"day":"2","at":"2026-01-01"}]}"#;
    let kid = r#"{"data":[{"id":10,"of":2}]}"#;
    let served = Served::start(&[("/parents", "{\"data\":[]}"), ("/kids", kid), ("/days", nested)]);
    let days = |column: &str| {
        let days = format!(
            "records = \"$.*[*]\"\nkey = [\"line\", \"day\"]\n[streams.days.columns]\n\
             line = {{ type = \"text\", member = \"$.*\" }}\nday = \"text\"\nat = {column}\n"
        );
        let kids = format!("{LIST}\nreferences = {{ of = \"parents\" }}");
        let streams = [("parents", LIST), ("kids", &kids), ("days", &days)];
        definition(&served.api.address, &streams)
    };
    let workspace = Workspace::new(&days("\"date\""));
    workspace.sync();
    workspace.rows("UPDATE _windrow_rejects SET ancestors = NULL, pointer = NULL");
    workspace.define(&days("{ type = \"date\", format = \"%d.%m.%Y\" }"));
    let report = workspace.run(&["rejects", "retry", "--json"]).expect(0).json();
    assert_eq!(counts(&report, "days"), "1 0 0 0 0 1");
    let stays =
        report["streams"].as_array().and_then(|all| all.iter().find(|s| s["stream"] == "days"));
    let reason = stays.map(|s| s["stay"][0]["reason"].to_string()).unwrap_or_default();
    assert!(reason.contains("what lay above the record was not kept"), "{reason}");
    assert_eq!(
        workspace.value("SELECT pointer FROM _windrow_rejects WHERE kind = 'orphan'"),
        "/of"
    );
    workspace.define(&days("\"date\""));
    served.serve("/parents", r#"{"data":[{"id":2}]}"#);
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id, of FROM kids"), ["10|2"]);
}

fn kids(address: &str, more: &str) -> String {
    let kids = format!(
        "{LIST}\nreferences = {{ of = \"parents\" }}\n[streams.kids.columns]\nid = \"integer\"\n\
         of = \"integer\"\n{more}"
    );
    definition(address, &[("parents", LIST), ("kids", &kids)])
}

#[test]
fn an_orphan_is_taken_up_by_the_columns_of_today_and_is_not_received_again() {
    let kid = r#"{"data":[{"id":10,"of":2,"x":1.5,"plan":"gold"}]}"#;
    let served = Served::start(&[("/parents", r#"{"data":[{"id":1}]}"#), ("/kids", kid)]);
    let address = served.api.address.clone();
    let workspace = Workspace::new(&kids(&address, "x = \"real\""));
    assert_eq!(counts(&workspace.sync().json(), "kids"), "1 0 0 0 0 1");
    served.serve("/kids", r#"{"data":[]}"#);
    served.serve("/parents", r#"{"data":[{"id":1},{"id":2}]}"#);
    workspace.define(&kids(&address, "plan = \"text\"\nx = \"real\"\nnote = \"text\""));
    let report = workspace.sync().json();
    assert_eq!(counts(&report, "kids"), "0 0 0 0 0 0", "it came once, in the first run");
    assert_eq!(report["streams"][1]["late_rejects"], 1);
    assert_eq!(
        workspace.rows("SELECT id, of, x, plan, note, _rest, _run FROM kids"),
        ["10|2|1.5|gold|NULL|NULL|2"]
    );
    assert_eq!(workspace.rows(REJECTS), [""; 0]);
    let sum = "SELECT sum(received), sum(rejected), sum(inserted), sum(late_rejects)
        FROM _windrow_run_streams WHERE stream = 'kids'";
    assert_eq!(workspace.rows(sum), ["1|1|0|1"]);
    let said = workspace.run(&["runs", "2"]).expect(0).stdout;
    assert!(said.contains("1 reject of earlier fetches became a row of kids"), "{said}");
}

#[test]
fn a_retry_makes_an_orphan_of_what_fits_and_has_no_parent() {
    let kid = r#"{"data":[{"id":10,"of":2,"x":"a"}]}"#;
    let served = Served::start(&[("/parents", r#"{"data":[{"id":1}]}"#), ("/kids", kid)]);
    let address = served.api.address.clone();
    let workspace = Workspace::new(&kids(&address, "x = \"real\""));
    workspace.sync();
    workspace.define(&kids(&address, ""));
    workspace.run(&["rejects", "retry"]).expect(0);
    assert_eq!(workspace.rows(REJECTS), ["1|orphan|/of"]);
    served.serve("/parents", r#"{"data":[{"id":2}]}"#);
    served.serve("/kids", r#"{"data":[]}"#);
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id, _rest FROM kids"), ["10|{\"x\":\"a\"}"]);
}

#[test]
fn a_discarded_reject_stays_with_its_note_and_is_open_no_longer() {
    let kid = r#"{"data":[{"id":10,"of":2},{"id":11,"of":3},7]}"#;
    let served = Served::start(&[("/parents", r#"{"data":[{"id":1}]}"#), ("/kids", kid)]);
    let mut workspace = Workspace::new(&kids(&served.api.address, ""));
    workspace.variable("USER", "ada");
    workspace.sync();
    let choose = workspace.run(&["rejects", "discard", "--note", "n"]).expect(2).stderr;
    assert!(choose.contains("no reject to discard was named"), "{choose}");
    workspace.run(&["rejects", "discard", "1"]).expect(2);
    workspace.run(&["rejects", "discard", "1", "--note", " "]).expect(2);
    workspace.run(&["rejects", "discard", "1", "99", "--note", "n"]).expect(2);
    assert_eq!(workspace.value("SELECT count(discarded_at) FROM _windrow_rejects"), "0");
    let note = "line 3 was\u{1b}[31m sold";
    let ran = workspace.run(&["rejects", "discard", "--kind", "orphan", "--note", note]).expect(0);
    assert_eq!(ran.stdout, "2 set aside\n");
    let twice = ["rejects", "discard", "2", "--note", "other", "--by", "bob", "--json"];
    let twice = workspace.run(&twice).expect(0).json();
    assert_eq!((&twice["discarded"], &twice["before"]), (&0.into(), &1.into()));
    let kept = "SELECT DISTINCT discarded_by, discard_note, discarded_at FROM _windrow_rejects
        WHERE kind = 'orphan'";
    assert_eq!(workspace.rows(kept), [format!("ada|{note}|2026-01-10T12:00:00+00:00")]);
    let status = workspace.run(&["status"]).expect(0).stdout;
    assert!(!status.contains("orphan") && status.contains("1 reject in kids"), "{status}");
    assert_eq!(workspace.run(&["rejects", "--json"]).expect(0).stdout.lines().count(), 1);
    let listed = workspace.run(&["rejects", "--discarded", "--json"]).expect(0).stdout;
    assert_eq!(listed.lines().count(), 2);
    let shown = workspace.run(&["rejects", "show", "2"]).expect(0).stdout;
    assert!(shown.contains("by ada: line 3 was\\u{1b}[31m sold"), "{shown}");
    // The parents arrive: what was set aside stays so.
    served.serve("/parents", r#"{"data":[{"id":1},{"id":2},{"id":3}]}"#);
    served.serve("/kids", r#"{"data":[]}"#);
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id FROM kids"), [""; 0]);
    workspace.run(&["rejects", "retry"]).expect(0);
    assert_eq!(workspace.rows("SELECT id FROM kids"), [""; 0]);
    workspace.run(&["rejects", "retry", "2"]).expect(0);
    assert_eq!(workspace.rows("SELECT id FROM kids").len(), 1, "what is named is meant");
}

#[test]
fn a_retry_that_fails_has_changed_nothing() {
    let body = r#"{"data":[{"id":1},{"id":2,"v":"x"},{"id":3,"v":"x"}]}"#;
    let served = Served::start(&[("/items", body)]);
    let items = |columns: &str| {
        items_definition(&served.api.address, FAST, &format!("max_rejects = 9\n{columns}"))
    };
    let workspace = Workspace::new(&items("columns = { id = \"integer\", v = \"integer\" }"));
    workspace.sync();
    let everything = "SELECT (SELECT group_concat(id) FROM items),
        (SELECT group_concat(reject_id || reason) FROM _windrow_rejects)";
    let before = workspace.rows(everything);
    workspace.define(&items("columns = { id = \"text\", v = \"text\" }"));
    let refused = workspace.run(&["rejects", "retry"]).expect(2).stderr;
    assert!(refused.contains("`id`"), "{refused}");
    assert_eq!(workspace.rows(everything), before);
    // The latest reject is taken first; the second one fails.
    workspace.rows(
        // windrow fires no triggers; an index whose expression cannot be had fails a write too.
        "CREATE INDEX t ON items (CASE WHEN id = 2 THEN abs(-9223372036854775807 - 1) END)",
    );
    workspace.define(&items("columns = { id = \"integer\" }"));
    let ran = workspace.run(&["rejects", "retry"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert_eq!(workspace.rows(everything), before);
    let states = "SELECT state FROM _windrow_runs WHERE command = 'rejects retry'";
    assert_eq!(workspace.rows(states), ["failed", "failed"]);
    workspace.rows("DROP INDEX t");
    workspace.run(&["rejects", "retry"]).expect(0);
    assert_eq!(workspace.value("SELECT group_concat(id) FROM items"), "1,2,3");
}

#[test]
fn a_retry_says_what_it_cannot_try() {
    let served = Served::start(&[("/items", r#"{"data":[{"id":1},{"id":"x","v":1}]}"#)]);
    let columns = format!("{LIST}\ncolumns = {{ id = \"integer\" }}");
    let workspace = Workspace::new(&definition(&served.api.address, &[("items", &columns)]));
    let none = workspace.run(&["rejects", "retry"]).expect(6).stderr;
    assert!(none.contains("there is no archive") && !workspace.path("a.db").exists(), "{none}");
    workspace.sync();
    workspace.define(&definition(&served.api.address, &[("others", LIST)]));
    let ran = workspace.run(&["rejects", "retry"]).expect(0);
    assert!(ran.stderr.contains("1 were not tried"), "{}", ran.stderr);
    let empty = workspace.run(&["rejects", "retry", "--stream", "others"]).expect(0);
    assert!(empty.stderr.contains("no such open reject"), "{}", empty.stderr);
    workspace.run(&["rejects", "retry", "7"]).expect(2);
}

//! Drift: fields that appear, vanish or change their type are noticed, logged once and shown; a
//! column that is added later is filled from what was left over.

use std::sync::{Arc, Mutex};

use crate::api::{Api, json};
use crate::harness::{Ran, Workspace};

/// A snapshot whose records a test can change.
struct Items {
    api: Api,
    data: Arc<Mutex<String>>,
}

impl Items {
    fn start(data: &str) -> Items {
        let data = Arc::new(Mutex::new(data.to_owned()));
        let shared = Arc::clone(&data);
        let api = Api::start(move |_, _| {
            let data = shared.lock().expect("no test panics in here");
            json(&format!("{{\"data\":[{data}]}}"))
        });
        Items { api, data }
    }

    fn say(&self, data: &str) {
        data.clone_into(&mut self.data.lock().expect("no handler panics"));
    }

    fn definition(&self, stream: &str, columns: &str) -> String {
        let stream = format!("{stream}\n[streams.items.columns]\nid = \"integer\"\n{columns}\n");
        crate::api::items_definition(&self.api.address, "", &stream)
    }
}

fn log(workspace: &Workspace) -> Vec<String> {
    workspace.rows("SELECT change, field, detail FROM _windrow_schema_log ORDER BY log_id")
}

fn sync(workspace: &Workspace) -> Ran {
    workspace.run(&["sync"]).expect(0)
}

#[test]
fn a_field_that_appears_vanishes_returns_or_is_retyped_is_logged_once_and_shown() {
    let items = Items::start(r#"{"id":1,"a":"x","n":1,"s":1},{"id":2,"a":"y","n":null}"#);
    let workspace = Workspace::new(&items.definition("", ""));
    sync(&workspace);
    assert_eq!(log(&workspace), [""; 0], "the first page is where knowing begins");
    items.say(r#"{"id":1,"a":"x","n":1},{"id":2,"a":"y","n":null}"#);
    sync(&workspace);
    assert_eq!(log(&workspace), [""; 0], "not every record had `s`");
    items.say(r#"{"id":1,"n":"1","b\u001b":true},{"id":2,"n":2,"z":null}"#);
    let said = sync(&workspace);
    sync(&workspace);
    let expected = [
        "new|b\u{1b}|boolean",
        "retyped|n|was number, is number|text",
        "vanished|a|every record had it, none of a page has",
    ];
    assert_eq!(log(&workspace), expected, "each once");
    for line in [
        "drift in items: new `b\\u{1b}`: boolean\n",
        "drift in items: retyped `n`: was number, is number|text\n",
        "drift in items: vanished `a`: every record had it",
    ] {
        assert!(said.stderr.contains(line), "{line}: {said:?}");
        assert!(workspace.run(&["status"]).expect(0).stdout.contains(line.trim_end()), "{line}");
    }
    items.say(r#"{"id":1,"a":"x","n":1,"z":5}"#);
    let json = workspace.run(&["sync", "--json"]).expect(0).json();
    assert_eq!(json["drift"].as_array().map(Vec::len), Some(2));
    assert_eq!(log(&workspace)[3..], ["returned|a|text", "new|z|number"]);
    items.say(r#"{"id":1,"n":1}"#);
    sync(&workspace);
    assert_eq!(log(&workspace).len(), 5, "a field that went once goes again in silence");
    let run = workspace.value("SELECT run_id FROM _windrow_schema_log WHERE field = 'z'");
    assert_eq!(run, "5");
}

#[test]
fn check_tells_of_fields_that_changed_until_that_is_meant_or_no_news() {
    let items = Items::start(r#"{"id":1,"a":"x","n":1,"o":1}"#);
    let columns = "a = \"text\"\nn = \"text\"";
    let mut workspace = Workspace::new(&items.definition("", columns));
    sync(&workspace);
    assert_eq!(found(&workspace), [""; 0]);
    items.say(r#"{"id":1,"n":"1","b/\u001b":true,"o":"1"}"#);
    sync(&workspace);
    let expected = [
        "warning drift/items/vanished/a",
        "warning drift/items/retyped/n",
        "info drift/items/retyped/o",
        "info drift/items/new/b%2F%1B",
    ];
    let sorted = |mut texts: Vec<String>| {
        texts.sort();
        texts
    };
    let expected = sorted(expected.map(str::to_owned).to_vec());
    assert_eq!(sorted(found(&workspace)), expected);
    let text = workspace.run(&["check"]).expect(1).stdout;
    assert!(
        text.contains("vanished: every record had it, none of a page has (run 2, 2026-"),
        "{text}"
    );
    assert!(text.contains("take `a` out of `columns`"), "{text}");
    assert_eq!(found_since(&workspace, "2026-01-11"), ["warning drift/items/vanished/a"]);
    workspace.at("2026-02-11T12:00:00Z");
    assert_eq!(found(&workspace), ["warning drift/items/vanished/a"], "no news, but still gone");
    items.say(r#"{"id":1,"a":"y","n":"1","o":"1"}"#);
    sync(&workspace);
    assert_eq!(found(&workspace), [""; 0], "it is back");
}

/// Severity and identity of what `check` finds of drift, each shown by its own SQL.
fn found_since(workspace: &Workspace, since: &str) -> Vec<String> {
    let json = workspace.run(&["check", "--json", "--fail-on", "info", "--since", since]).json();
    let findings = json["findings"].as_array().expect("findings").iter();
    let drift = findings.filter(|finding| finding["check"] == "drift");
    let told = drift.map(|finding| {
        let sql = finding["sql"].as_str().expect("SQL");
        assert!(!workspace.rows(sql).is_empty(), "{sql}");
        assert_eq!(finding["help"].as_str().map(|text| &text[..18]), Some("windrow sync items"));
        let (severity, id) = (finding["severity"].as_str(), finding["id"].as_str());
        format!("{} {}", severity.expect("a severity"), id.expect("an identity"))
    });
    told.collect()
}

fn found(workspace: &Workspace) -> Vec<String> {
    found_since(workspace, "2000-01-01")
}

#[test]
fn drift_that_fails_the_window_writes_nothing_of_the_page() {
    let items = Items::start(r#"{"id":1,"a":"x"}"#);
    let workspace = Workspace::new(&items.definition("on_drift = \"fail\"", ""));
    sync(&workspace);
    items.say(r#"{"id":1,"a":"y","b":1}"#);
    let failed = workspace.run(&["sync"]).expect(5);
    assert!(
        failed.stderr.contains("the fields of the records have changed: `b` new (number)"),
        "{failed:?}"
    );
    assert_eq!(workspace.value("SELECT _rest FROM items"), r#"{"a":"x"}"#);
    workspace.run(&["sync"]).expect(5);
    // A column says that the field is meant.
    workspace.define(&items.definition("on_drift = \"fail\"", "b = \"integer\""));
    sync(&workspace);
    assert_eq!(workspace.value("SELECT b, _rest FROM items"), r#"1|{"a":"y"}"#);
    sync(&workspace);
}

#[test]
fn a_new_field_becomes_a_column_where_the_definition_says_so() {
    let items = Items::start(r#"{"id":1,"a":"x"}"#);
    let workspace = Workspace::new(&items.definition("on_drift = \"add_column\"", ""));
    sync(&workspace);
    items.say(r#"{"id":1,"a":"x","b":7,"not a name":1},{"id":2,"a":"x","b":8.50}"#);
    sync(&workspace);
    let rows = workspace.rows("SELECT id, b, _rest FROM items ORDER BY id");
    assert_eq!(rows[0], r#"1|7|{"a":"x","not a name":1}"#);
    assert!(rows[1].starts_with("2|8.5"), "{rows:?}");
    let digest = workspace.digests();
    sync(&workspace);
    assert_eq!(workspace.digests(), digest, "the column stays in use");
    let proof = workspace.run(&["prove", "items", "--json"]).expect(0).json();
    assert_eq!((&proof["equal"], proof["notes"].to_string().as_str()), (&2.into(), "[]"));
    assert_eq!(log(&workspace), ["new|b|number", "new|not a name|number"]);
}

#[test]
fn a_column_that_is_added_later_is_filled_from_what_was_left_over() {
    let items = Items::start(
        r#"{"id":1,"at":"2026-01-01T01:00:00+01:00","gb":0.1,"deep":{"x":1,"y":2}},
           {"id":2,"at":"soon","gb":0.5},{"id":3}"#,
    );
    let workspace = Workspace::new(&items.definition("", ""));
    sync(&workspace);
    let stamps = "SELECT _changed_at, _revision, _run FROM items ORDER BY id";
    let before = workspace.rows(stamps);
    // The source is gone: what is filled comes from the archive.
    let columns =
        "at = \"timestamp\"\ngb = \"real\"\nx = { type = \"integer\", path = \"$.deep.x\" }";
    let away = items.definition("", columns).replace(&items.api.address, "http://127.0.0.1:9");
    workspace.define(&away);
    let said = workspace.run(&["sync"]).expect(3);
    let filled = "filled `at, gb, x`: 2 rows from `_rest`; 1 hold a value that does not fit, which";
    assert!(said.stderr.contains(filled), "{said:?}");
    let sql = "SELECT id, at, gb, x, _rest FROM items ORDER BY id";
    assert_eq!(
        workspace.rows(sql),
        [
            r#"1|2026-01-01T00:00:00+00:00|0.1|1|{"deep":{"y":2}}"#,
            r#"2|NULL|0.5|NULL|{"at":"soon"}"#,
            "3|NULL|NULL|NULL|NULL",
        ]
    );
    assert_eq!(workspace.rows(stamps), before, "the source has said nothing new");
    // What was filled is what reading again gives.
    items
        .say(r#"{"id":1,"at":"2026-01-01T01:00:00+01:00","gb":0.1,"deep":{"x":1,"y":2}},{"id":3}"#);
    workspace.define(&items.definition("", columns));
    let report = workspace.run(&["sync", "--json"]).expect(0).json();
    assert_eq!(report["streams"][0]["unchanged"], 2, "{report}");
}

#[test]
fn a_history_that_has_ended_is_filled_as_well() {
    let items = Items::start(r#"{"id":1,"a":"x"}"#);
    let workspace = Workspace::new(&items.definition("history = true", ""));
    sync(&workspace);
    items.say(r#"{"id":1,"a":"y","b":null}"#);
    sync(&workspace);
    workspace.define(&items.definition("", "a = \"text\"\nb = \"text\""));
    sync(&workspace);
    assert_eq!(workspace.rows("SELECT a, b, _rest FROM items_history"), ["x|NULL|NULL"]);
    assert_eq!(workspace.rows("SELECT a, b, _rest, _revision FROM items"), ["y|NULL|NULL|2"]);
}

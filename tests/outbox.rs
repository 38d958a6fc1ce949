//! The outbox: writes that take effect once, against an API that counts effects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::api::{Api, Asked, Reply, answer};
use crate::harness::{Ran, Workspace, execute};

/// An API that does what it is told once for each key, and remembers what it said.
pub struct Counter {
    pub api: Api,
    effects: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// What an API does with one request.
pub enum Step {
    /// It has its effect, once for each key, and is answered 201.
    Take,
    /// It has its effect, and this is what comes back.
    TakeAnd(Reply),
    /// It has no effect, and this is what comes back.
    Say(Reply),
}

impl Counter {
    /// `policy` is told the request and its number.
    pub fn start(policy: impl Fn(&Asked, usize) -> Step + Send + Sync + 'static) -> Self {
        Self::start_at(0, policy)
    }

    /// The same at a port that was free a moment ago.
    pub fn start_at(
        port: u16,
        policy: impl Fn(&Asked, usize) -> Step + Send + Sync + 'static,
    ) -> Self {
        let effects: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let counted = Arc::clone(&effects);
        let api = Api::start_at(port, move |asked, number| {
            let key = asked.header("idempotency-key").unwrap_or("none").to_owned();
            let take = || {
                let mut effects = counted.lock().expect("no handler panics");
                let keyed = key != "none";
                let known = effects.len() + 1;
                let count = effects.entry(key.clone()).or_default();
                if *count == 0 || !keyed {
                    *count += 1;
                }
                format!(r#"{{"id":{known},"key":{}}}"#, serde_json::Value::from(key.as_str()))
            };
            match policy(asked, number) {
                Step::Take => {
                    let body = take();
                    answer("201 Created", &[("content-type", "application/json")], &body)
                }
                Step::TakeAnd(reply) => {
                    take();
                    reply
                }
                Step::Say(reply) => reply,
            }
        });
        Self { api, effects }
    }

    /// How often each key has had its effect; `none` stands for all requests without one.
    pub fn effects(&self) -> BTreeMap<String, usize> {
        self.effects.lock().expect("no handler panics").clone()
    }

    /// A definition with this API, more about it, and no stream.
    pub fn definition(&self, more: &str) -> String {
        definition(&self.api.address, more)
    }
}

/// A definition with an API at an address.
pub fn definition(address: &str, more: &str) -> String {
    format!(
        "[archive]\npath = \"a.db\"\n\n[sources.shop]\nbase_url = \"{address}/v1\"\n\
         read_timeout = \"1 second\"\nretry = {{ attempts = 3, base = \"1 ms\" }}\n{more}\n"
    )
}

pub fn add(workspace: &Workspace, arguments: &[&str]) -> Ran {
    workspace.run(&[&["outbox", "add", "POST", "/orders"], arguments].concat())
}

pub fn states(workspace: &Workspace) -> Vec<String> {
    workspace.rows("SELECT key || ' ' || state FROM _windrow_outbox ORDER BY entry")
}

#[test]
fn an_entry_is_queued_offline_and_has_its_effect_once() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "k1", "--body", r#"{"coffee": 1.0}"#]).expect(0);
    assert_eq!(shop.api.log().len(), 0, "add asks nobody");
    let sent = workspace.run(&["outbox", "send", "--json"]).expect(0).json();
    assert_eq!(sent["entries"][0]["state"], "done", "{sent}");
    workspace.run(&["outbox", "send"]).expect(0);
    let log = shop.api.log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].target, "/v1/orders");
    assert_eq!(log[0].body, r#"{"coffee": 1.0}"#);
    assert_eq!(log[0].header("idempotency-key"), Some("\"k1\""));
    let shown = workspace.run(&["outbox", "show", "k1", "--json"]).expect(0).json();
    assert_eq!(shown["request"]["body"], r#"{"coffee": 1.0}"#);
    assert_eq!(shown["answer"]["status"], 201);
    assert!(shown["answer"]["body"].as_str().is_some_and(|body| body.contains("\"id\":1")));
}

#[test]
fn an_outbox_without_entries_says_so_and_an_api_without_keys_knows_none() {
    let shop = Counter::start(|_, _| Step::Take);
    let said = |workspace: &Workspace, arguments: &[&str]| {
        let ran = workspace.run(&[&["outbox"], arguments].concat()).expect(0);
        ran.stdout + &ran.stderr
    };
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "k1", "--body", "{}"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    assert_eq!(
        said(&workspace, &["list", "--state", "queued"]),
        "the outbox has no entry that is queued\n"
    );
    let page = said(&workspace, &["show", "k1"]);
    assert!(page.contains("known to   the API until"), "{page}");
    let keyless = Workspace::new(&shop.definition("[sources.shop.idempotency]\nhonoured = false"));
    add(&keyless, &["--key", "k1", "--body", "{}"]).expect(0);
    keyless.run(&["outbox", "send"]).expect(0);
    let page = said(&keyless, &["show", "k1"]);
    assert!(page.contains("done") && !page.contains("known to"), "{page}");
    let json = keyless.run(&["outbox", "show", "k1", "--json"]).expect(0).json();
    assert!(json["valid_until"].is_null(), "{json}");
    execute(&keyless.path("a.db"), "PRAGMA foreign_keys = OFF; DELETE FROM _windrow_outbox");
    assert_eq!(said(&keyless, &["list"]), "the outbox is empty\n");
}

#[test]
fn a_lost_answer_is_asked_for_with_the_same_key_and_the_same_bytes() {
    let shop = Counter::start(|_, number| match number {
        0 => Step::TakeAnd(Reply::Reset(Vec::new())),
        1 => Step::TakeAnd(answer("503 Service Unavailable", &[], "")),
        _ => Step::Take,
    });
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--body", r#"{"coffee":1}"#]).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    let log = shop.api.log();
    assert_eq!(log.len(), 3);
    for asked in &log {
        assert_eq!(asked.body, log[0].body);
        assert_eq!(asked.header("idempotency-key"), log[0].header("idempotency-key"));
    }
    assert_eq!(shop.effects().values().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_outbox_attempts"), "3");
}

#[test]
fn the_same_request_under_its_key_is_the_same_entry_and_another_one_is_refused() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    let first = ["--key", "k", "--body", "{}", "--json"];
    let added = add(&workspace, &first).expect(0).json();
    assert_eq!(added["added"], true);
    workspace.run(&["outbox", "send"]).expect(0);
    let again = add(&workspace, &first).expect(0).json();
    assert_eq!((&again["added"], &again["answer"]["status"]), (&false.into(), &201.into()));
    let before = workspace.rows("SELECT * FROM _windrow_outbox");
    let refused = add(&workspace, &["--key", "k", "--body", "{ }"]).expect(2);
    assert!(refused.stderr.contains("belongs to another request"), "{}", refused.stderr);
    assert_eq!(workspace.rows("SELECT * FROM _windrow_outbox"), before);
    // Two equal coffees are two orders.
    for _ in 0..2 {
        add(&workspace, &["--body", "{}"]).expect(0);
    }
    assert_eq!(states(&workspace).len(), 3);
}

#[test]
fn a_lane_keeps_its_order_and_holds_up_no_other() {
    let shop = Counter::start(|asked, number| match (asked.body.as_str(), number) {
        ("1", 0..=1) => Step::Say(answer("503 Service Unavailable", &[], "")),
        _ => Step::Take,
    });
    let workspace = Workspace::new(&shop.definition(""));
    for (lane, body) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("b", "5")] {
        add(&workspace, &["--lane", lane, "--body", body]).expect(0);
    }
    workspace.run(&["outbox", "send"]).expect(0);
    let sent: Vec<String> = shop.api.log().into_iter().map(|asked| asked.body).collect();
    let of = |wanted: &[&str]| -> Vec<String> {
        sent.iter().filter(|body| wanted.contains(&body.as_str())).cloned().collect()
    };
    let last = |body: &str| sent.iter().rposition(|have| have == body);
    assert!(last("1") < last("2") && last("2") < last("4"), "{sent:?}");
    assert_eq!(of(&["3", "5"]), ["3", "5"]);
    assert_eq!(of(&["2", "4"]), ["2", "4"]);
}

#[test]
fn a_rejected_entry_is_kept_with_its_answer_and_stops_its_lane_only_where_that_is_said() {
    let reject = |asked: &Asked, _| match asked.body.as_str() {
        "\"bad\"" => Step::Say(answer("422 Unprocessable Content", &[], r#"{"why":"no"}"#)),
        _ => Step::Take,
    };
    for (rule, after) in [("continue", "done"), ("stop", "queued")] {
        let shop = Counter::start(reject);
        let more = format!("[sources.shop.idempotency]\non_rejected = \"{rule}\"");
        let workspace = Workspace::new(&shop.definition(&more));
        add(&workspace, &["--key", "b", "--lane", "l", "--body", "\"bad\""]).expect(0);
        add(&workspace, &["--key", "g", "--lane", "l", "--body", "1"]).expect(0);
        workspace.run(&["outbox", "send"]).expect(10);
        assert_eq!(states(&workspace), ["b rejected".to_owned(), format!("g {after}")]);
        let shown = workspace.run(&["outbox", "show", "b", "--json"]).expect(0).json();
        assert_eq!(shown["answer"]["body"], r#"{"why":"no"}"#);
        let expected = if rule == "stop" { 10 } else { 0 };
        workspace.run(&["outbox", "send"]).expect(expected);
        // The API has an answer to the old key; another attempt needs another one.
        workspace.run(&["outbox", "retry", "b"]).expect(0);
        workspace.run(&["outbox", "send"]).expect(10);
        let keys: Vec<_> = shop.api.log().into_iter().filter(|a| a.body == "\"bad\"").collect();
        assert_eq!(keys.len(), 2);
        assert_ne!(keys[0].header("idempotency-key"), keys[1].header("idempotency-key"));
    }
}

#[test]
fn an_entry_uses_the_answer_that_it_waited_for() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "o.1", "--body", "{}"]).expect(0);
    let path = "/orders/{{ result.o.1.id }}/lines?by={{ result.o.1.key }}";
    let body = r#"{"order":"{{ result.o.1.id }}","text":"for {{ result.o.1.id }}"}"#;
    let line = ["outbox", "add", "PUT", path, "--key", "l", "--after", "o.1", "--body", body];
    workspace.run(&[&line[..], &["-H", "X-Order: {{ result.o.1.id }}"]].concat()).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    let line = shop.api.log().pop().expect("a second request");
    assert_eq!(
        (line.method.as_str(), line.target.as_str()),
        ("PUT", "/v1/orders/1/lines?by=%22o%2E1%22".replace("%2E", ".").as_str(),)
    );
    assert_eq!(line.body, r#"{"order":1,"text":"for 1"}"#);
    assert_eq!(line.header("x-order"), Some("1"));
}

#[test]
fn an_entry_is_sent_in_its_time_and_in_no_other() {
    let shop = Counter::start(|_, _| Step::Take);
    let mut workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "later", "--not-before", "2 hours", "--body", "1"]).expect(0);
    add(&workspace, &["--key", "brief", "--expires", "1 hour", "--body", "2"]).expect(0);
    add(&workspace, &["--key", "then", "--after", "brief", "--body", "3"]).expect(0);
    workspace.at("2026-01-10T13:00:00Z");
    // `then` waits for what will never succeed.
    let planned = workspace.run(&["outbox", "send", "--dry-run", "--json"]).expect(0).stdout;
    assert!(planned.contains("\"now\":\"expire\""), "{planned}");
    workspace.run(&["outbox", "send"]).expect(10);
    assert_eq!(shop.api.log().len(), 0);
    assert_eq!(states(&workspace), ["later queued", "brief expired", "then queued"]);
    workspace.run(&["outbox", "cancel", "then"]).expect(0);
    workspace.at("2026-01-10T14:00:00Z").run(&["outbox", "send"]).expect(0);
    assert_eq!(states(&workspace), ["later done", "brief expired", "then cancelled"]);
    workspace.run(&["outbox", "cancel", "later"]).expect(2);
    // What an API remembers is remembered here as well.
    let prune = ["outbox", "prune", "--before", "2026-01-11", "--json"];
    assert_eq!(workspace.run(&prune).expect(0).json()["removed"], 2);
    assert_eq!(states(&workspace), ["later done"]);
    workspace.at("2026-01-12T14:00:00Z");
    assert_eq!(workspace.run(&prune).expect(0).json()["removed"], 1);
}

#[test]
fn the_key_goes_where_the_definition_says() {
    let rules = [
        ("name = \"X-Key\"\nformat = \"plain\"", "/v1/orders", "{ }", Some("k")),
        ("in = \"body\"", "/v1/orders", r#"{"idempotency_key":"k" }"#, None),
        ("in = \"query\"\nname = \"ref\"", "/v1/orders?ref=k", "{ }", None),
        ("honoured = false", "/v1/orders", "{ }", None),
    ];
    for (rule, target, body, header) in rules {
        let shop = Counter::start(|_, _| Step::Take);
        let more = format!("[sources.shop.idempotency]\n{rule}");
        let workspace = Workspace::new(&shop.definition(&more));
        add(&workspace, &["--key", "k", "--body", "{ }"]).expect(0);
        workspace.run(&["outbox", "send"]).expect(0);
        let asked = shop.api.log().remove(0);
        assert_eq!((asked.target.as_str(), asked.body.as_str()), (target, body), "{rule}");
        assert_eq!(asked.header("x-key"), header, "{rule}");
        assert_eq!(asked.header("idempotency-key"), None, "{rule}");
    }
}

#[test]
fn sync_sends_first_and_says_so() {
    let shop = Counter::start(|asked, _| match asked.method.as_str() {
        "GET" => Step::Say(crate::api::json(r#"[{"id":1}]"#)),
        _ => Step::Take,
    });
    let stream = "[streams.orders]\npath = \"/orders\"\nrecords = \"$[*]\"\nkey = \"id\"";
    let workspace = Workspace::new(&shop.definition(stream));
    assert!(workspace.sync().json()["outbox"].is_null());
    add(&workspace, &["--body", "1"]).expect(0);
    workspace.run(&["sync", "--offline"]).expect(3);
    assert_eq!(shop.effects().len(), 0);
    let report = workspace.sync().json();
    assert_eq!(report["outbox"]["entries"][0]["state"], "done", "{report}");
    let methods: Vec<String> = shop.api.log().into_iter().map(|asked| asked.method).collect();
    assert_eq!(methods, ["GET", "POST", "GET"]);
    assert!(workspace.run(&["status"]).expect(0).stdout.contains("outbox: 1 done"));
}

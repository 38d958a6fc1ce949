//! The outbox: writes that take effect once, against an API that counts effects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::api::{Api, Asked, Reply, answer};
use crate::harness::{Ran, Workspace};

/// An API that does what it is told once for each key, and remembers what it said.
pub struct Counter {
    pub api: Api,
    effects: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// What an API does with a write that came.
pub type Policy = dyn Fn(&Asked, usize) -> Step + Send + Sync;

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
        let effects: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let counted = Arc::clone(&effects);
        let api = Api::start(move |asked, number| {
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

fn add(workspace: &Workspace, arguments: &[&str]) -> Ran {
    workspace.run(&[&["outbox", "add", "POST", "/orders"], arguments].concat())
}

fn states(workspace: &Workspace) -> Vec<String> {
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

//! The gateway: the binary between raw sockets and an API that counts effects for each key.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::api::{Reply, answer};
use crate::harness::{Workspace, execute};
use crate::outbox::{Counter, Step, definition};

/// Longer than anything here takes, so that a fault ends a test and does not hang it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that runs; it is killed at the end of its test.
pub struct Gateway {
    child: Child,
    pub address: String,
    pub token: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Told {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Told {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is a whole problem document of that name, and nothing else.
    pub fn is_problem(&self, status: u16, name: &str) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!(document["type"], format!("urn:windrow:problem:{name}"), "{document}");
        assert_eq!(document["status"], status);
        for member in ["title", "detail", "instance"] {
            assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{document}");
        }
        self
    }
}

/// One connection to the gateway.
pub struct Line(BufReader<TcpStream>);

impl Line {
    pub fn send(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.get_mut().write_all(bytes).expect("the gateway listens");
        self
    }

    /// The next answer; none when the connection ended.
    pub fn hear(&mut self) -> Option<Told> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some(Told { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

impl Gateway {
    pub fn start(workspace: &Workspace) -> Self {
        Self::start_with(workspace, &[])
    }

    fn start_with(workspace: &Workspace, arguments: &[&str]) -> Self {
        let all = [&["outbox", "serve", "--json", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut child = workspace
            .command(&all)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(workspace.path("gateway.err")).expect("a file"))
            .spawn()
            .expect("windrow starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let told: serde_json::Value = serde_json::from_str(&line).expect("where it listens");
        let address = told["listening"].as_str().expect("an address").replace("http://", "");
        let file = told["token_file"].as_str().expect("a token file");
        let token = std::fs::read_to_string(workspace.path(file)).expect("the token file");
        Self { child, address, token: token.trim().to_owned() }
    }

    pub fn line(&self) -> Line {
        let stream = TcpStream::connect(&self.address).expect("the gateway listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Line(BufReader::new(stream))
    }

    /// A request in bytes; `more` are headers that end with a line end each.
    pub fn bytes(&self, method: &str, target: &str, more: &str, body: &str) -> Vec<u8> {
        let (host, token, length) = (&self.address, &self.token, body.len());
        format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
             content-length: {length}\r\n{more}\r\n{body}"
        )
        .into_bytes()
    }

    pub fn ask(&self, method: &str, target: &str, more: &str, body: &str) -> Told {
        let bytes = self.bytes(method, target, more, body);
        self.line().send(&bytes).hear().expect("an answer")
    }

    pub fn post(&self, key: &str, more: &str, body: &str) -> Told {
        self.ask("POST", "/shop/orders", &format!("idempotency-key: \"{key}\"\r\n{more}"), body)
    }

    fn entry(&self, key: &str) -> serde_json::Value {
        let told =
            self.ask("GET", &format!("/.windrow/outbox/shop/{key}"), "prefer: wait=60\r\n", "");
        assert_eq!(told.status, 200, "{told:?}");
        told.json()
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args([name, &id]).status();
        assert!(sent.expect("kill runs").success());
    }
}

/// Where the API says that it waits, and where it hears that it may go on.
type Gate = Mutex<(Sender<()>, Receiver<()>)>;

/// A gate that the API waits at until the test opens it; it tells when somebody waits.
fn gate() -> (Arc<Gate>, Receiver<()>, Sender<()>) {
    let (here, arrived) = channel();
    let (open, opened) = channel();
    (Arc::new(Mutex::new((here, opened))), arrived, open)
}

fn effects(shop: &Counter) -> Vec<(String, usize)> {
    shop.effects().into_iter().collect()
}

fn once(keys: &[&str]) -> Vec<(String, usize)> {
    keys.iter().map(|key| (format!("\"{key}\""), 1)).collect()
}

#[test]
fn the_apis_answer_is_returned_kept_and_replayed_without_asking_again() {
    let shop = Counter::start(|_, _| {
        let headers = [
            ("content-type", "application/json"),
            ("location", "/v1/orders/7"),
            ("set-cookie", "a=b"),
        ];
        Step::TakeAnd(answer("201 Created", &headers, r#"{"id": 7.00}"#))
    });
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    let first = gateway.post("k1", "x-shop: 9\r\nuser-agent: one\r\n", r#"{"coffee": 1.0}"#);
    assert_eq!((first.status, first.body.as_str()), (201, r#"{"id": 7.00}"#));
    assert_eq!(first.header("location"), Some("/v1/orders/7"));
    assert_eq!(first.header("set-cookie"), None, "a credential is not kept");
    assert_eq!(first.header("idempotency-replayed"), None);
    let sent = &shop.api.log()[0];
    assert_eq!((sent.method.as_str(), sent.target.as_str()), ("POST", "/v1/orders"));
    assert_eq!(sent.body, r#"{"coffee": 1.0}"#);
    assert_eq!(sent.header("idempotency-key"), Some("\"k1\""));
    assert_eq!(sent.header("x-shop"), Some("9"));
    assert_eq!(sent.header("authorization"), None, "the gateway's token is its own");
    // Another attempt of the same program: the plain form of the key, another tracing header.
    let plain = "idempotency-key: k1\r\nx-shop: 9\r\ntraceparent: 00-1\r\nuser-agent: two\r\n";
    let again = gateway.ask("POST", "/shop/orders", plain, r#"{"coffee": 1.0}"#);
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("location"), Some("/v1/orders/7"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(shop.api.log().len(), 1, "a replay asks nobody");
    let token = &gateway.token;
    let dumped = crate::harness::dump(&workspace.path("a.db"), &[]);
    assert!(!dumped.contains(token.as_str()), "the token is nowhere in the archive");
    let entry = gateway.entry("k1");
    assert_eq!(entry["state"], "done");
    assert_eq!(entry["answer"]["status"], 201);
    assert_eq!(entry["answer"]["body"], r#"{"id": 7.00}"#);
}

#[test]
fn a_refusal_of_the_api_is_kept_and_replayed_too() {
    let shop = Counter::start(|_, _| Step::Say(answer("422 No", &[], "no such coffee")));
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    for replayed in [None, Some("true")] {
        let told = gateway.post("k", "", "{}");
        assert_eq!((told.status, told.body.as_str()), (422, "no such coffee"));
        assert_eq!(told.header("idempotency-replayed"), replayed);
    }
    assert_eq!(shop.api.log().len(), 1);
}

#[test]
fn a_key_belongs_to_one_method_path_and_body() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    assert_eq!(gateway.post("k", "", "{}").status, 201);
    let key = "idempotency-key: k\r\n";
    let others = [
        ("POST", "/shop/orders", "{ }"),
        ("PUT", "/shop/orders", "{}"),
        ("POST", "/shop/order", "{}"),
        ("POST", "/shop/orders?x=1", "{}"),
    ];
    for (method, target, body) in others {
        let told = gateway.ask(method, target, key, body);
        told.is_problem(422, "key-reused");
        assert_eq!(told.json()["instance"], "/.windrow/outbox/shop/k");
    }
    assert_eq!(effects(&shop), once(&["k"]));
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_outbox"), "1");
}

#[test]
fn a_second_request_hears_that_the_first_one_runs_or_waits_for_its_answer() {
    let (waiting, arrived, open) = gate();
    let shop = Counter::start(move |_, _| {
        let gate = waiting.lock().expect("no handler panics");
        gate.0.send(()).expect("the test waits");
        gate.1.recv().expect("the test opens");
        Step::Take
    });
    let workspace = Workspace::new(&shop.definition("").replace("1 second", "60 seconds"));
    let gateway = Gateway::start(&workspace);
    let mut first = gateway.line();
    first.send(&gateway.bytes("POST", "/shop/orders", "idempotency-key: k\r\n", "{}"));
    arrived.recv_timeout(PATIENCE).expect("the API is asked");
    let told = gateway.post("k", "", "{}");
    told.is_problem(409, "in-progress");
    assert_eq!(told.header("retry-after"), Some("1"));
    gateway.post("k", "prefer: wait=0\r\n", "{}").is_problem(409, "in-progress");
    gateway.post("k", "", "{ }").is_problem(422, "key-reused");
    let stored = gateway.ask("GET", "/.windrow/outbox/shop/k", "", "").json();
    assert_eq!(stored["state"], "sending");
    let mut patient = gateway.line();
    let waits = "idempotency-key: k\r\nprefer: wait=60\r\n";
    patient.send(&gateway.bytes("POST", "/shop/orders", waits, "{}"));
    open.send(()).expect("the API waits");
    let (first, patient) = (first.hear().expect("an answer"), patient.hear().expect("an answer"));
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    assert_eq!((patient.status, patient.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!(first.body, patient.body);
    assert_eq!(effects(&shop), once(&["k"]));
}

#[test]
fn sixty_four_identical_requests_at_once_have_one_effect() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    let mut lines: Vec<Line> = (0..64).map(|_| gateway.line()).collect();
    let bytes = gateway.bytes("POST", "/shop/orders", "idempotency-key: k\r\n", "{}");
    for line in &mut lines {
        line.send(&bytes);
    }
    let mut answers = 0;
    for line in &mut lines {
        let told = line.hear().expect("an answer");
        match told.status {
            201 => answers += 1,
            _ => drop(told.is_problem(409, "in-progress")),
        }
    }
    assert!(answers >= 1);
    assert_eq!(effects(&shop), once(&["k"]));
    assert_eq!(shop.api.log().len(), 1, "and one request");
}

/// A port where nobody listens until somebody does.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn without_a_network_a_request_is_kept_and_its_result_appears_later() {
    let port = free_port();
    let workspace = Workspace::new(&definition(&format!("http://127.0.0.1:{port}"), ""));
    let gateway = Gateway::start(&workspace);
    let kept = gateway.post("k", "", "{}");
    assert_eq!(kept.status, 202, "{kept:?}");
    assert_eq!(kept.header("location"), Some("/.windrow/outbox/shop/k"));
    assert_eq!(kept.json()["state"], "queued");
    assert!(kept.json()["waits"].as_str().is_some_and(|why| !why.is_empty()), "{kept:?}");
    let again = gateway.post("k", "prefer: wait=0\r\n", "{}");
    assert_eq!(again.status, 202, "{again:?}");
    gateway.post("k", "", "{ }").is_problem(422, "key-reused");
    let shop = Counter::start_at(port, |_, _| Step::Take);
    let entry = gateway.entry("k");
    assert_eq!((&entry["state"], &entry["answer"]["status"]), (&"done".into(), &201.into()));
    let replay = gateway.post("k", "", "{}");
    assert_eq!((replay.status, replay.header("idempotency-replayed")), (201, Some("true")));
    // A program that waits long enough gets the answer itself.
    assert_eq!(gateway.post("k2", "prefer: wait=60\r\n", "{}").status, 201);
    assert_eq!(effects(&shop), once(&["k", "k2"]));
}

#[test]
fn a_wait_that_the_source_imposes_is_kept() {
    let shop =
        Counter::start(|_, _| Step::Say(answer("429 Slow Down", &[("retry-after", "3600")], "")));
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    assert_eq!(gateway.post("k1", "", "{}").status, 202);
    let second = gateway.post("k2", "", "{}");
    assert_eq!(second.status, 202);
    let why = second.json()["waits"].clone();
    assert!(why.as_str().is_some_and(|why| why.contains("not to be asked before")), "{why}");
    assert_eq!(shop.api.log().len(), 1);
}

#[test]
fn a_lost_answer_is_asked_for_again_under_the_same_key() {
    let shop = Counter::start(|_, number| match number {
        0 | 1 => Step::TakeAnd(Reply::Reset(Vec::new())),
        _ => Step::Take,
    });
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    assert_eq!(gateway.post("k", "", "{}").status, 202);
    assert_eq!(gateway.entry("k")["state"], "done");
    assert_eq!(gateway.post("k", "", "{}").status, 201);
    assert_eq!(effects(&shop), once(&["k"]));
    assert_eq!(shop.api.log().len(), 3);
}

#[test]
fn an_outcome_that_nobody_knows_is_said_to_be_that_and_never_sent_again() {
    let shop = Counter::start(|_, _| Step::TakeAnd(Reply::Reset(Vec::new())));
    let more = "idempotency = { honoured = false }";
    let workspace = Workspace::new(&shop.definition(more));
    let gateway = Gateway::start(&workspace);
    for _ in 0..2 {
        let told = gateway.post("k", "", "{}");
        told.is_problem(504, "outcome-unknown");
        let detail = told.json()["detail"].clone();
        assert!(detail.as_str().is_some_and(|text| text.contains("resolve")), "{detail}");
    }
    assert_eq!(shop.api.log().len(), 1);
    workspace.run(&["outbox", "resolve", "k", "--done"]).expect(0);
    assert_eq!(gateway.entry("k")["state"], "done");
    let told = gateway.post("k", "", "{}");
    assert_eq!((told.status, &told.json()["state"]), (200, &"done".into()));
}

#[test]
fn a_program_that_goes_away_does_not_stop_what_it_asked_for() {
    let (waiting, arrived, open) = gate();
    let shop = Counter::start(move |_, _| {
        let gate = waiting.lock().expect("no handler panics");
        gate.0.send(()).expect("the test waits");
        gate.1.recv().expect("the test opens");
        Step::Take
    });
    let workspace = Workspace::new(&shop.definition("").replace("1 second", "60 seconds"));
    let gateway = Gateway::start(&workspace);
    let mut line = gateway.line();
    line.send(&gateway.bytes("POST", "/shop/orders", "idempotency-key: k\r\n", "{}"));
    arrived.recv_timeout(PATIENCE).expect("the API is asked");
    line.0.get_ref().shutdown(Shutdown::Both).expect("the program goes away");
    drop(line);
    open.send(()).expect("the API waits");
    assert_eq!(gateway.entry("k")["state"], "done");
    assert_eq!(effects(&shop), once(&["k"]));
}

#[test]
fn what_another_process_queues_is_sent_too_and_its_result_is_had_here() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    let early = ["outbox", "add", "POST", "/orders", "--key", "early", "--body", "{}"];
    workspace.run(&early).expect(0);
    let gateway = Gateway::start(&workspace);
    assert_eq!(gateway.entry("early")["state"], "done");
    let late = ["outbox", "add", "POST", "/orders", "--key", "late", "--body", "{}"];
    workspace.run(&late).expect(0);
    assert_eq!(gateway.entry("late")["state"], "done");
    assert_eq!(gateway.post("late", "", "{}").status, 201);
    workspace.run(&["outbox", "send"]).expect(7);
    assert_eq!(effects(&shop), once(&["early", "late"]));
}

#[test]
fn a_gateway_that_is_killed_while_the_api_holds_the_answer_has_one_effect_in_the_end() {
    let (waiting, arrived, open) = gate();
    let shop = Counter::start(move |_, number| {
        if number == 0 {
            let gate = waiting.lock().expect("no handler panics");
            gate.0.send(()).expect("the test waits");
            gate.1.recv().expect("the test opens");
        }
        Step::Take
    });
    let workspace = Workspace::new(&shop.definition("").replace("1 second", "60 seconds"));
    let mut gateway = Gateway::start(&workspace);
    let mut line = gateway.line();
    line.send(&gateway.bytes("POST", "/shop/orders", "idempotency-key: k\r\n", "{}"));
    arrived.recv_timeout(PATIENCE).expect("the API is asked");
    gateway.child.kill().expect("it is killed");
    gateway.child.wait().expect("it is over");
    assert!(line.hear().is_none());
    open.send(()).expect("the API waits");
    let gateway = Gateway::start(&workspace);
    assert_eq!(gateway.entry("k")["state"], "done");
    assert_eq!(gateway.post("k", "", "{}").status, 201);
    assert_eq!(effects(&shop), once(&["k"]));
}

#[cfg(unix)]
#[test]
fn a_gateway_that_is_told_to_end_lets_what_is_on_the_wire_land() {
    let (waiting, arrived, open) = gate();
    let shop = Counter::start(move |_, _| {
        let gate = waiting.lock().expect("no handler panics");
        gate.0.send(()).expect("the test waits");
        gate.1.recv().expect("the test opens");
        Step::Take
    });
    let workspace = Workspace::new(&shop.definition("").replace("1 second", "60 seconds"));
    let mut gateway = Gateway::start(&workspace);
    let mut line = gateway.line();
    line.send(&gateway.bytes("POST", "/shop/orders", "idempotency-key: k\r\n", "{}"));
    arrived.recv_timeout(PATIENCE).expect("the API is asked");
    gateway.signal("-TERM");
    open.send(()).expect("the API waits");
    assert_eq!(line.hear().map(|told| told.status), Some(201));
    assert_eq!(gateway.child.wait().expect("it ends").code(), Some(143));
    assert!(TcpStream::connect(&gateway.address).is_err(), "nobody listens any more");
    assert_eq!(workspace.value("SELECT state FROM _windrow_outbox"), "done");
}

#[test]
fn a_gateway_whose_archive_fails_while_nobody_asks_ends_with_what_is_wrong() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    let mut gateway = Gateway::start(&workspace);
    assert_eq!(gateway.post("k", "", "{}").status, 201);
    execute(&workspace.path("a.db"), "ALTER TABLE _windrow_outbox RENAME TO elsewhere");
    gateway.child.wait().expect("it ends");
    let said = std::fs::read_to_string(workspace.path("gateway.err")).expect("what it said");
    assert!(said.starts_with("error: ") && said.contains("no such table"), "{said}");
}

#[test]
fn only_programs_that_know_the_token_and_no_web_pages_are_served() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    let ask = |head: &str| {
        let tail = "idempotency-key: k\r\ncontent-length: 2\r\n\r\n{}";
        let bytes = format!("POST /shop/orders HTTP/1.1\r\n{head}{tail}");
        gateway.line().send(bytes.as_bytes()).hear().expect("an answer")
    };
    let (host, token) = (format!("host: {}\r\n", gateway.address), &gateway.token);
    let token = format!("authorization: Bearer {token}\r\n");
    let told = ask(&host);
    assert_eq!(told.is_problem(401, "token-wrong").header("www-authenticate"), Some("Bearer"));
    let (first, rest) = token["authorization: Bearer ".len()..].split_at(1);
    let other = if first == "0" { "1" } else { "0" };
    let wrong = format!("{host}authorization: Bearer {other}{rest}");
    ask(&wrong).is_problem(401, "token-wrong");
    ask(&format!("{host}{token}{token}")).is_problem(401, "token-wrong");
    ask(&token).is_problem(403, "host-refused");
    ask(&format!("host: evil.example\r\n{token}")).is_problem(403, "host-refused");
    ask(&format!("{host}{host}{token}")).is_problem(403, "host-refused");
    let page = format!("{host}{token}origin: http://{}\r\n", gateway.address);
    ask(&page).is_problem(403, "origin-refused");
    assert_eq!(shop.api.log().len(), 0);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_outbox"), "0");
    assert_eq!(ask(&format!("{host}{token}")).status, 201);
}

#[test]
fn a_request_that_cannot_be_queued_is_told_why_and_changes_nothing() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    let key = "idempotency-key: k\r\n";
    let long = format!("idempotency-key: {}\r\n", "k".repeat(256));
    let cases: [(&str, &str, &str, &str, u16, &str); 19] = [
        ("POST", "/shop/a", "", "{}", 400, "key-missing"),
        ("POST", "/shop/a", "idempotency-key: a\r\nidempotency-key: a\r\n", "{}", 400, "key-twice"),
        ("POST", "/shop/a", "idempotency-key: \"a\", \"b\"\r\n", "{}", 400, "key-twice"),
        ("POST", "/shop/a", "idempotency-key: a b\r\n", "{}", 400, "key-invalid"),
        ("POST", "/shop/a", "idempotency-key: a\tb\r\n", "{}", 400, "key-invalid"),
        ("POST", "/shop/a", &long, "{}", 400, "key-invalid"),
        ("POST", "/shop/a", key, "{", 400, "request-invalid"),
        ("POST", "/shop/a", key, "{}}", 400, "request-invalid"),
        ("POST", "/shop/../a", key, "{}", 400, "request-invalid"),
        ("POST", "/shop/%2e%2e/a", key, "{}", 400, "request-invalid"),
        ("POST", "/shop//evil.example", key, "{}", 400, "request-invalid"),
        ("POST", "/shop", key, "{}", 400, "request-invalid"),
        ("POST", "http://evil.example/shop/a", key, "{}", 400, "request-invalid"),
        (
            "POST",
            "/shop/a",
            "idempotency-key: k\r\nx-api-key: s\r\n",
            "{}",
            400,
            "credential-in-request",
        ),
        ("POST", "/store/a", key, "{}", 404, "not-found"),
        ("GET", "/.windrow/outbox/shop/none", "", "", 404, "not-found"),
        ("GET", "/.windrow/", "", "", 404, "not-found"),
        ("GET", "/shop/a", key, "", 405, "method-not-allowed"),
        ("DELETE", "/.windrow/outbox/shop/k", key, "", 405, "method-not-allowed"),
    ];
    for (method, target, more, body, status, name) in cases {
        let told = gateway.ask(method, target, more, body);
        told.is_problem(status, name);
    }
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_outbox"), "0");
    assert_eq!(shop.api.log().len(), 0);
    assert_eq!(gateway.post("k", "", "{}").status, 201, "and it goes on");
}

#[test]
fn a_request_that_ends_in_two_ways_is_refused_with_its_connection() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    let smuggled = "POST /shop/b HTTP/1.1\r\nidempotency-key: b\r\n\r\n";
    let framings = [
        "content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "content-length: -1\r\n\r\n",
        "transfer-encoding: gzip\r\n\r\n",
    ];
    for framing in framings {
        let (host, token) = (&gateway.address, &gateway.token);
        let head = format!(
            "POST /shop/a HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
             idempotency-key: a\r\n{framing}{smuggled}"
        );
        let mut line = gateway.line();
        let told = line.send(head.as_bytes()).hear().expect("an answer");
        assert_eq!(told.status, 400, "{framing:?}: {told:?}");
        assert!(line.hear().is_none(), "{framing:?}");
    }
    // A body in chunks is whole and is taken.
    let (host, token) = (&gateway.address, &gateway.token);
    let chunked = format!(
        "POST /shop/a HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         idempotency-key: c\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{{\r\n1\r\n}}\r\n0\r\n\r\n"
    );
    assert_eq!(gateway.line().send(chunked.as_bytes()).hear().expect("an answer").status, 201);
    assert_eq!(effects(&shop), once(&["c"]));
    assert_eq!(shop.api.log()[0].body, "{}");
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read_and_while_it_is() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    let gateway = Gateway::start(&workspace);
    let (host, token) = (&gateway.address, &gateway.token);
    let head = |framing: &str| {
        format!(
            "POST /shop/a HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
             idempotency-key: a\r\n{framing}\r\n\r\n"
        )
    };
    let mut line = gateway.line();
    line.send(head(&format!("content-length: {}", (8 << 20) + 1)).as_bytes());
    line.hear().expect("an answer").is_problem(413, "body-too-large");
    let mut line = gateway.line();
    line.send(head("transfer-encoding: chunked").as_bytes());
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    for _ in 0..8 {
        line.send(chunk.as_bytes());
    }
    line.send(b"1\r\n \r\n");
    line.hear().expect("an answer").is_problem(413, "body-too-large");
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_outbox"), "0");
}

#[test]
fn a_port_in_use_another_machine_and_a_token_that_is_none_are_told_before_anything_is_done() {
    let workspace = Workspace::new(&definition("http://127.0.0.1:9", ""));
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ran = workspace.run(&["outbox", "serve", "--listen", &address]).expect(2);
    assert!(ran.stderr.contains(&address) && ran.stderr.contains("--listen"), "{}", ran.stderr);
    let ran = workspace.run(&["outbox", "serve", "--listen", "0.0.0.0:0"]).expect(9);
    assert!(ran.stderr.contains("--allow-remote"), "{}", ran.stderr);
    std::fs::write(workspace.path("t"), "").expect("a file");
    let serve = ["outbox", "serve", "--listen", "127.0.0.1:0", "--token-file", "t"];
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(workspace.path("t"), mode(0o644)).expect("a mode");
        let ran = workspace.run(&serve).expect(9);
        assert!(ran.stderr.contains("chmod 600"), "{}", ran.stderr);
        std::fs::set_permissions(workspace.path("t"), mode(0o600)).expect("a mode");
    }
    let ran = workspace.run(&serve).expect(2);
    assert!(ran.stderr.contains("holds no token"), "{}", ran.stderr);
    assert!(!workspace.path("a.db").exists());
}

#[cfg(unix)]
#[test]
fn the_token_is_its_owners_alone_and_stays_the_same() {
    use std::os::unix::fs::PermissionsExt;
    let workspace = Workspace::new(&definition("http://127.0.0.1:9", ""));
    let first = Gateway::start_with(&workspace, &["--token-file", "token"]);
    let metadata = std::fs::metadata(workspace.path("token")).expect("the token file");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert!(first.token.len() >= 32);
    let token = first.token.clone();
    let second = workspace.run(&["outbox", "serve", "--listen", "127.0.0.1:0", "--wait", "1 ms"]);
    assert!(second.stderr.contains("is sending this outbox"), "{}", second.stderr);
    assert_eq!(second.code, 7, "one gateway for one archive");
    drop(first);
    let third = Gateway::start_with(&workspace, &["--token-file", "token"]);
    assert_eq!(third.token, token);
}

#[test]
fn it_works_beside_a_running_sync() {
    let (waiting, arrived, open) = gate();
    let shop = Counter::start(move |asked, _| {
        if asked.method != "GET" {
            return Step::Take;
        }
        let gate = waiting.lock().expect("no handler panics");
        gate.0.send(()).expect("the test waits");
        gate.1.recv().expect("the test opens");
        Step::Say(crate::api::json(r#"{"data":[{"id":1}]}"#))
    });
    let stream = "\n[streams.items]\npath = \"/items\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n";
    let text = shop.definition(stream).replace("1 second", "60 seconds");
    let workspace = Workspace::new(&text);
    let mut sync = workspace.command(&["sync"]).stderr(Stdio::null()).spawn().expect("it starts");
    arrived.recv_timeout(PATIENCE).expect("the API is asked");
    let gateway = Gateway::start(&workspace);
    assert_eq!(gateway.post("k", "", "{}").status, 201);
    open.send(()).expect("the API waits");
    assert_eq!(sync.wait().expect("it ends").code(), Some(0));
    assert_eq!(gateway.post("k2", "", "{}").status, 201);
    assert_eq!(workspace.value("SELECT count(*) FROM items"), "1");
    assert_eq!(effects(&shop), once(&["k", "k2"]));
}

#[test]
fn a_program_waits_its_turn_where_only_others_are_before_it() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition("rate = \"50/second\""));
    let gateway = Gateway::start(&workspace);
    let mut lines: Vec<Line> = (0..8).map(|_| gateway.line()).collect();
    for (number, line) in lines.iter_mut().enumerate() {
        let key = format!("idempotency-key: k{number}\r\n");
        line.send(&gateway.bytes("POST", "/shop/orders", &key, "{}"));
    }
    for line in &mut lines {
        assert_eq!(line.hear().expect("an answer").status, 201);
    }
    assert_eq!(shop.api.log().len(), 8);
}

/// A disk that is full: the state folder, with the token and the senders, is on another one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_refuses_what_comes_and_keeps_what_was_there() {
    let shop = Counter::start(|_, _| Step::Take);
    let definition = shop.definition("").replace("\"a.db\"", "\"disk/a.db\"");
    let workspace = Workspace::new(&definition);
    let body = format!("\"{}\"", "x".repeat(60_000));
    let script = "mkdir -p disk && mount -t tmpfs -o size=1500k none disk && echo mounted
        \"$1\" outbox serve --json --listen 127.0.0.1:0 --token-file token &
        read -r _; kill -TERM $!; wait $!; cp disk/a.db* . && umount disk";
    let program = env!("CARGO_BIN_EXE_windrow");
    let started = std::process::Command::new("unshare")
        .args(["-rmpf", "--kill-child", "sh", "-c", script, "sh", program])
        .current_dir(workspace.folder())
        .env("WINDROW_STATE_DIR", workspace.path("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = started else { return };
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    if line != "mounted\n" {
        let _ = child.wait();
        return;
    }
    line.clear();
    stdout.read_line(&mut line).expect("a line");
    let told: serde_json::Value = serde_json::from_str(&line).expect("where it listens");
    let address = told["listening"].as_str().expect("an address").replace("http://", "");
    let token = std::fs::read_to_string(workspace.path("token")).expect("the token file");
    let mut gateway = Gateway { child, address, token: token.trim().to_owned() };
    let ask = |n: usize| gateway.post(&format!("k{n}"), "Prefer: wait=1\r\n", &body).status;
    let statuses: Vec<u16> = (0..100).map(ask).take_while(|status| *status != 507).collect();
    let done = statuses.iter().filter(|status| **status == 201).count();
    assert!(done > 0 && statuses.len() < 100, "{statuses:?}");
    // Where an answer no longer fits, its program is told that it is to come.
    assert!(statuses[done..].iter().all(|status| *status == 202), "{statuses:?}");
    gateway.post("last", "", &body).is_problem(507, "storage-failed");
    let replay = gateway.post("k0", "", &body);
    assert_eq!((replay.status, replay.header("idempotency-replayed")), (201, Some("true")));
    drop(gateway.child.stdin.take());
    gateway.child.wait().expect("it ends");
    let kept = workspace.rows("SELECT state FROM _windrow_outbox ORDER BY entry");
    assert_eq!(kept[..done], vec!["done"; done], "nothing is half queued");
    assert_eq!(kept[done..], vec!["sending"; statuses.len() - done]);
    assert_eq!(shop.api.log().len(), statuses.len());
}

//! What the wire does to a fetch, and what must come of it: the rows of the design's fault table
//! that are about pulling.
//!
//! Each fault is met twice: by an archive that holds an earlier fetch, which must stay as it
//! was, and by a new one, in which nothing may be called complete. Then the source is healed, and
//! both must hold the truth.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::api::{Api, Asked, FAST, Reply, answer, items_definition, json, nine_days};
use crate::harness::Workspace;

const EARLIER: &str = r#"{"data":[{"id":1}],"more":false,"total":1,"next":null}"#;
const TRUTH: &str = r#"{"data":[{"id":1},{"id":2}],"more":false,"total":2,"next":null}"#;

const WELL: usize = 0;
const ILL: usize = 1;
const HEALED: usize = 2;

/// A source that falls ill and is healed again.
pub struct Patient {
    pub api: Api,
    phase: Arc<AtomicUsize>,
    since: Arc<AtomicUsize>,
}

impl Patient {
    /// While it is ill it answers by `fault`, which is told the request and its number from 0.
    pub fn new(fault: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let (phase, since) = (Arc::new(AtomicUsize::new(WELL)), Arc::new(AtomicUsize::new(0)));
        let (now, first) = (Arc::clone(&phase), Arc::clone(&since));
        let api = Api::start(move |asked, number| match now.load(Ordering::SeqCst) {
            WELL => json(EARLIER),
            ILL => fault(asked, number - first.load(Ordering::SeqCst)),
            _ => json(TRUTH),
        });
        Self { api, phase, since }
    }

    fn turn(&self, phase: usize) {
        self.since.store(self.api.log().len(), Ordering::SeqCst);
        self.phase.store(phase, Ordering::SeqCst);
    }

    /// Two workspaces of one definition: one with an earlier fetch, one without.
    pub fn workspaces(&self, source: &str, stream: &str) -> [Workspace; 2] {
        let definition = items_definition(&self.api.address, source, stream);
        let both = [Workspace::new(&definition), Workspace::new(&definition)];
        self.turn(WELL);
        both[0].sync();
        both
    }

    /// Syncs while the source is ill; nothing is completed. Gives the number of requests.
    pub fn ail(&self, workspace: &Workspace, more: &[&str], code: i32, says: &str) -> usize {
        self.turn(ILL);
        let before = self.api.log().len();
        let ran = workspace.run(&[&["sync"][..], more].concat()).expect(code);
        assert!(ran.stderr.contains(says), "expected {says:?} in\n{}", ran.stderr);
        let last = "SELECT windows_completed FROM _windrow_runs ORDER BY run_id DESC LIMIT 1";
        assert_eq!(workspace.value(last), "0", "{says}");
        self.api.log().len() - before
    }

    /// Heals the source; then both workspaces hold the truth.
    pub fn heal(&self, both: &[Workspace; 2]) {
        self.turn(HEALED);
        for workspace in both {
            workspace.sync();
            assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["1", "2"]);
        }
        assert_eq!(both[0].digests(), both[1].digests());
    }

    /// The whole story of a fault that lets no page through.
    pub fn expect(&self, source: &str, stream: &str, code: i32, says: &str, requests: usize) {
        let both = self.workspaces(source, stream);
        let digests = both[0].digests();
        for workspace in &both {
            assert_eq!(self.ail(workspace, &[], code, says), requests, "requests: {says}");
        }
        assert_eq!(both[0].digests(), digests, "an earlier fetch stays as it was: {says}");
        let complete = "SELECT count(*) FROM _windrow_ledger WHERE state IN ('complete','settled')";
        assert_eq!(both[1].value(complete), "0", "{says}");
        self.heal(&both);
    }
}

const CURSOR: &str = "paginate = { kind = \"cursor\", next = \"$.next\" }";
const NEXT_URL: &str = "paginate = { kind = \"next_url\", next = \"$.next\" }";
const POST: &str = "method = \"POST\"\nbody = { q = 1 }";

/// The same server under another name, which is another host.
fn elsewhere(api: &Api) -> String {
    api.address.replace("127.0.0.1", "localhost")
}

#[test]
fn a_connection_that_is_reset_is_tried_again_and_given_up_after_the_budget() {
    let heads: [&'static [u8]; 3] = [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"data\":[",
    ];
    for head in heads {
        let always = Patient::new(move |_, _| Reply::Reset(head.to_vec()));
        always.expect(FAST, "", 3, "the connection broke", 3);
        let once = Api::start(move |_, number| match number {
            0 => Reply::Reset(head.to_vec()),
            _ => json(TRUTH),
        });
        let workspace = Workspace::new(&items_definition(&once.address, FAST, ""));
        assert_eq!(workspace.sync().json()["retries"], 1);
        assert_eq!(workspace.value("SELECT count(*) FROM items"), "2");
    }
}

#[test]
fn an_answer_that_stays_cut_is_given_up_and_never_complete() {
    let chunk = format!("{:x}\r\n{TRUTH}\r\n", TRUTH.len());
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let cuts = [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{TRUTH}"),
        format!("{chunked}{chunk}"),
        format!("{chunked}{}", &chunk[..chunk.len() / 2]),
        "HTTP/1.1 200 OK\r\ncontent-length: 500\r\ncontent-length: 5\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(),
    ];
    for cut in cuts {
        let patient = Patient::new(move |_, _| Reply::Close(cut.clone().into_bytes()));
        patient.expect(FAST, "", 3, "the connection broke or the answer was cut off", 3);
    }
}

#[test]
fn an_answer_without_a_length_counts_only_when_it_is_whole() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let head = format!("{version} 200 OK\r\ncontent-type: application/json\r\n\r\n");
        let unframed = move |body: &str| Reply::Close(format!("{head}{body}").into_bytes());
        let cut = unframed.clone();
        let patient = Patient::new(move |_, _| cut(&TRUTH[..TRUTH.len() / 2]));
        patient.expect(FAST, "", 3, "the answer was cut off", 3);
        let whole = Api::start(move |_, _| unframed(TRUTH));
        let workspace = Workspace::new(&items_definition(&whole.address, FAST, ""));
        workspace.sync();
        assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["1", "2"]);
    }
}

/// An answer in a content coding.
pub fn encoded(coding: &str, body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: {coding}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    Reply::Bytes([head.as_bytes(), body].concat())
}

/// RFC 1952.
pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

#[test]
fn a_damaged_gzip_is_tried_again_and_its_half_is_never_believed() {
    let whole = gzip(TRUTH.as_bytes());
    let mut bad_sum = whole.clone();
    let sum = bad_sum.len() - 6;
    bad_sum[sum] ^= 0xff;
    let cut = whole[..whole.len() - 14].to_vec();
    let without_trailer = whole[..whole.len() - 8].to_vec();
    for damaged in [cut, without_trailer, bad_sum] {
        let patient = Patient::new(move |_, _| encoded("gzip", &damaged));
        patient.expect(FAST, "", 3, "the answer was cut off", 3);
    }
}

#[test]
fn what_follows_a_gzip_is_another_member_or_a_broken_word() {
    let whole = gzip(TRUTH.as_bytes());
    let (head, tail) = TRUTH.as_bytes().split_at(9);
    let members = [gzip(head), gzip(tail)].concat();
    let api = Api::start(move |_, _| encoded("gzip", &members));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["1", "2"]);
    let junk = [&whole[..], b"<html>"].concat();
    let patient = Patient::new(move |_, _| encoded("gzip", &junk));
    patient.expect(FAST, "", 5, "bytes follow after the end", 1);
    let patient = Patient::new(move |_, _| encoded("compress", &whole));
    patient.expect(FAST, "", 5, "has the coding \"compress\", which was not asked for", 1);
}

#[test]
fn a_login_page_in_json_is_the_networks_and_other_json_is_the_sources_fault() {
    let portals = [
        r#"{"login_required":true,"url":"http://portal/"}"#,
        r#"{"captive":true,"user-portal-url":"https://portal/"}"#,
    ];
    for portal in portals {
        let patient = Patient::new(move |_, _| json(portal));
        patient.expect(FAST, "", 3, "looks like a login page", 1);
    }
    let patient = Patient::new(|_, _| json(r#"{"message":"maintenance"}"#));
    patient.expect(FAST, "", 5, "found only \"message\"", 1);
    let patient = Patient::new(|_, _| {
        let status = "511 Network Authentication Required";
        answer(status, &[("content-type", "text/html")], "<html>log in</html>")
    });
    patient.expect(FAST, "", 3, "the network wants a login first: HTTP 511", 1);
}

#[test]
fn a_redirect_to_a_login_page_is_offline_and_the_page_is_never_asked() {
    let auth = format!("{FAST}\nauth = {{ kind = \"bearer\", token = \"${{file:key}}\" }}");
    let portal = Api::start(|_, _| answer("200 OK", &[], "<html>"));
    let none: &'static [(&'static str, &'static str)] = &[];
    let html: &'static [(&'static str, &'static str)] = &[("content-type", "text/html")];
    for (path, headers) in [("/login?from=api", none), ("/start", html)] {
        let target = format!("{}{path}", elsewhere(&portal));
        let api = Api::start(move |_, _| {
            let headers = [headers, &[("Location", target.as_str())][..]].concat();
            answer("302 Found", &headers, "")
        });
        let workspace = Workspace::new(&items_definition(&api.address, &auth, ""));
        std::fs::write(workspace.path("key"), "canary-7f3a9c").expect("a secret");
        let ran = workspace.run(&["sync"]).expect(3);
        assert!(ran.stderr.contains("looks like a login page"), "{ran:?}");
        assert_eq!(api.log().len(), 1);
        assert!(portal.log().is_empty(), "nothing goes to the portal's host");
    }
    let target = elsewhere(&portal);
    let patient = Patient::new(move |_, _| {
        answer("301 Moved Permanently", &[("Location", &target)], r#"{"message":"moved"}"#)
    });
    patient.expect(FAST, "", 9, "leads to another host", 1);
    assert!(portal.log().is_empty());
}

#[test]
fn an_empty_page_where_the_source_counts_more_leaves_what_was_there() {
    let patient = Patient::new(|_, _| json(r#"{"data":[],"total":35}"#));
    patient.expect(FAST, "total = \"$.total\"", 5, "the source counts 35 records", 3);
    let paging = "paginate = { kind = \"cursor\", next = \"$.next\", more = \"$.more\" }";
    let patient = Patient::new(|_, _| json(r#"{"data":[],"more":true}"#));
    patient.expect(FAST, paging, 5, "says there is more, but gives no token", 1);
}

/// A page of one item, different each time, and where the next one is.
fn leading_to(nth: usize, next: &str) -> Reply {
    json(&format!(r#"{{"data":[{{"id":1,"n":{nth}}}],"next":"{next}"}}"#))
}

#[test]
fn pages_that_lead_in_a_circle_or_on_for_ever_are_bounded_and_never_complete() {
    let with_columns = |paging: &str| format!("{paging}\ncolumns = {{ id = \"integer\" }}");
    type Circle = (&'static str, fn(usize) -> Reply, usize);
    let circles: [Circle; 4] = [
        (NEXT_URL, |nth| leading_to(nth, "/items?p=2"), 2),
        (NEXT_URL, |nth| leading_to(nth, &format!("/items?p={}", nth % 2)), 3),
        (CURSOR, |nth| leading_to(nth, "a"), 2),
        (CURSOR, |nth| leading_to(nth, &(nth % 2).to_string()), 3),
    ];
    for (paging, reply, requests) in circles {
        let patient = Patient::new(move |_, nth| reply(nth));
        let both = patient.workspaces(FAST, &with_columns(paging));
        for workspace in &both {
            assert_eq!(patient.ail(workspace, &[], 5, "leads back to page"), requests);
        }
        patient.heal(&both);
    }
    let patient = Patient::new(|_, nth| leading_to(nth, &format!("t{nth}")));
    let both = patient.workspaces(FAST, &with_columns(CURSOR));
    for workspace in &both {
        let bound = ["--max-requests", "40"];
        assert_eq!(patient.ail(workspace, &bound, 3, "--max-requests"), 40);
    }
    patient.heal(&both);
}

#[test]
fn a_next_link_that_leads_away_is_refused_and_nobody_else_is_asked() {
    let other = Api::start(|_, _| json(TRUTH));
    let away = elsewhere(&other);
    let port = other.address.rsplit(':').next().expect("a port").to_owned();
    let addresses = [
        format!("{away}/items"),
        format!("//localhost:{port}/items"),
        format!("\\\\localhost:{port}\\items"),
        format!("{}/items", other.address),
        format!("http://user:secret@127.0.0.1:{port}/items"),
        format!("https://127.0.0.1:{port}/items"),
        "file:///etc/passwd".to_owned(),
        "ftp://127.0.0.1/items".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ];
    for address in addresses {
        let body = serde_json::json!({ "data": [{ "id": 1 }], "next": address }).to_string();
        let patient = Patient::new(move |_, _| json(&body));
        patient.expect(FAST, NEXT_URL, 9, "the API leads to", 1);
        let link = format!("<{address}>; rel=\"next\"");
        let patient = Patient::new(move |_, _| answer("200 OK", &[("Link", &link)], EARLIER));
        patient.expect(FAST, "paginate = { kind = \"link\" }", 9, "the API leads to", 1);
    }
    assert!(other.log().is_empty());
}

#[test]
fn a_redirect_is_followed_at_home_a_few_times_and_never_elsewhere() {
    let other = Api::start(|_, _| json(TRUTH));
    let to = |status: &'static str, target: String| {
        Patient::new(move |_, _| answer(status, &[("Location", &target)], ""))
    };
    for (status, stream) in [("302 Found", ""), ("307 Temporary Redirect", POST)] {
        to(status, format!("{}/items", other.address)).expect(FAST, stream, 9, "another host", 1);
        to(status, format!("{}/items", elsewhere(&other))).expect(FAST, stream, 9, "another", 1);
    }
    to("302 Found", "http://u:p@localhost/".to_owned()).expect(FAST, "", 9, "a password", 1);
    to("302 Found", "file:///etc/passwd".to_owned()).expect(FAST, "", 9, "a file address", 1);
    let post = to("302 Found", "/moved".to_owned());
    post.expect(FAST, POST, 5, "redirects a POST", 1);
    let hops = Patient::new(|_, nth| {
        answer("302 Found", &[("Location", &format!("/items?hop={nth}"))], "")
    });
    hops.expect(FAST, "", 5, "redirects in a circle", 6);
    assert!(other.log().is_empty());
    let home = Api::start(|asked, _| match asked.path() {
        "/moved" => json(TRUTH),
        _ => answer("307 Temporary Redirect", &[("Location", "/moved")], ""),
    });
    let workspace = Workspace::new(&items_definition(&home.address, FAST, POST));
    workspace.sync();
    assert_eq!(home.log()[0].body, home.log()[1].body, "the POST goes on with its body");
}

/// Nine pages of one item each; while `ill` the page at `at` is answered by `fault`.
fn nine_pages(
    ill: &Arc<AtomicBool>,
    at: usize,
    fault: impl Fn() -> Reply + Send + Sync + 'static,
) -> Api {
    let ill = Arc::clone(ill);
    Api::start(move |asked, _| {
        let page = asked.parameter("cursor").and_then(|text| text.parse().ok()).unwrap_or(0);
        if page == at && ill.load(Ordering::SeqCst) {
            return fault();
        }
        let next = if page < 8 { format!("\"{}\"", page + 1) } else { "null".to_owned() };
        json(&format!(r#"{{"data":[{{"id":{page}}}],"next":{next}}}"#))
    })
}

#[test]
fn a_page_that_is_refused_or_gone_keeps_the_pages_before_it_and_completes_nothing() {
    let cases = [("403 Forbidden", 4), ("404 Not Found", 5), ("410 Gone", 5)];
    for (status, code) in cases {
        let ill = Arc::new(AtomicBool::new(true));
        let api = nine_pages(&ill, 6, move || answer(status, &[], "{}"));
        let workspace = Workspace::new(&items_definition(&api.address, FAST, CURSOR));
        let ran = workspace.run(&["sync"]).expect(code);
        assert!(ran.stderr.contains(&status[..3]), "{ran:?}");
        assert_eq!(api.log().len(), 7, "such an answer is not tried again");
        let entry = workspace.value("SELECT state, token FROM _windrow_ledger");
        assert_eq!(entry, r#"partial|{"cursor":"6"}"#, "{status}");
        assert_eq!(workspace.value("SELECT count(*) FROM items"), "6");
        workspace.run(&["sync"]).expect(code);
        assert_eq!(workspace.value("SELECT state FROM _windrow_ledger"), "partial");
        ill.store(false, Ordering::SeqCst);
        workspace.sync();
        let ids = workspace.rows("SELECT id FROM items ORDER BY id");
        assert_eq!(ids, (0..9).map(|id| id.to_string()).collect::<Vec<_>>(), "{status}");
    }
}

#[test]
fn a_token_that_expires_in_the_middle_is_4_and_a_new_one_carries_on_at_the_same_page() {
    let ill = Arc::new(AtomicBool::new(true));
    let api = nine_pages(&ill, 3, || answer("401 Unauthorized", &[], ""));
    let auth = format!("{FAST}\nauth = {{ kind = \"bearer\", token = \"${{env:KEY}}\" }}");
    let mut workspace = Workspace::new(&items_definition(&api.address, &auth, CURSOR));
    workspace.variable("KEY", "canary-old-1");
    let ran = workspace.run(&["sync"]).expect(4);
    assert!(ran.stderr.contains("refused the credentials: HTTP 401"), "{ran:?}");
    assert_eq!(api.log().len(), 4, "a refusal is not tried again");
    let entry = workspace.value("SELECT state, token FROM _windrow_ledger");
    assert_eq!(entry, r#"partial|{"cursor":"3"}"#);
    ill.store(false, Ordering::SeqCst);
    workspace.variable("KEY", "canary-new-2");
    workspace.sync();
    let log = api.log();
    assert_eq!(log[4].parameter("cursor").as_deref(), Some("3"));
    assert_eq!(log[4].header("authorization"), Some("Bearer canary-new-2"));
    assert_eq!(workspace.value("SELECT count(*) FROM items"), "9");
}

#[test]
fn a_source_that_is_down_for_every_window_is_left_alone_after_a_few() {
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = Arc::clone(&ill);
    let api = Api::start(move |asked, _| {
        if is_ill.load(Ordering::SeqCst) {
            return answer("503 Service Unavailable", &[], "");
        }
        let from = asked.parameter("from").unwrap_or_default();
        let to = asked.parameter("to").unwrap_or_default();
        let days = nine_days().into_iter().filter(|r| r.day >= from && r.day < to);
        let body: Vec<String> = days.map(|record| record.json()).collect();
        json(&format!(r#"{{"data":[{}],"next":null}}"#, body.join(",")))
    });
    let workspace = Workspace::new(&crate::api::usage_definition(&api.address, ""));
    let ran = workspace.run(&["sync"]).expect(3);
    assert!(ran.stderr.contains("keeps failing: HTTP 503"), "{ran:?}");
    assert!(api.log().len() <= 9, "three windows, three attempts each: {}", api.log().len());
    let complete = "SELECT count(*) FROM _windrow_ledger WHERE state IN ('complete', 'settled')";
    assert_eq!(workspace.value(complete), "0");
    ill.store(false, Ordering::SeqCst);
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
}

#[test]
fn a_name_that_nobody_knows_and_a_host_that_nobody_reaches_are_offline() {
    let patient = Patient::new(|_, _| json(TRUTH));
    let source = format!("{FAST}\nconnect_timeout = \"300 ms\"");
    let both = patient.workspaces(&source, "");
    let digests = both[0].digests();
    let here = items_definition(&patient.api.address, &source, "");
    for address in ["http://no-such-host.invalid", "http://192.0.2.1", "http://[100::1]"] {
        for workspace in &both {
            workspace.define(&items_definition(address, &source, ""));
            let says = "run it again when there is a connection";
            assert_eq!(patient.ail(workspace, &[], 3, says), 0, "{address}");
        }
    }
    assert_eq!(both[0].digests(), digests);
    both.iter().for_each(|workspace| workspace.define(&here));
    patient.heal(&both);
}

#[test]
fn a_foreign_writer_is_waited_for_and_then_told_before_anything_is_asked() {
    let patient = Patient::new(|_, _| json(TRUTH));
    let both = patient.workspaces(FAST, "");
    let asked = patient.api.log().len();
    #[expect(clippy::disallowed_methods, reason = "another program that writes to the archive")]
    let foreign = rusqlite::Connection::open(both[0].path("a.db")).expect("the archive");
    foreign.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let ran = both[0].run(&["sync"]).expect(7);
    assert!(ran.stderr.contains("another program is writing to the archive"), "{ran:?}");
    assert_eq!(patient.api.log().len(), asked);
    foreign.execute_batch("ROLLBACK").expect("the lock is let go");
    patient.heal(&both);
}

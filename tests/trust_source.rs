//! What a source says is believed only when it is whole and is what was asked for; credentials
//! stay where they belong.

use std::time::Duration;

use crate::api::{Api, FAST, Reply, answer, items_definition, json};
use crate::harness::Workspace;

const KEY: &str = "canary-7f3a9c";

fn items(api: &Api, source: &str, stream: &str) -> Workspace {
    Workspace::new(&items_definition(&api.address, source, stream))
}

/// The raw bytes of every file in the workspace.
fn all_bytes(workspace: &Workspace) -> Vec<u8> {
    let (mut bytes, mut folders) = (Vec::new(), vec![workspace.folder().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder").flatten() {
            match entry.path().is_dir() {
                true => folders.push(entry.path()),
                false => bytes.extend(std::fs::read(entry.path()).unwrap_or_default()),
            }
        }
    }
    bytes
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn no_credential_is_ever_written_anywhere() {
    let auths = [
        "auth = { kind = \"bearer\", token = \"${env:KEY}\" }",
        "auth = { kind = \"basic\", username = \"u\", password = \"${env:KEY}\" }",
        "auth = { kind = \"header\", name = \"X-Api-Key\", value = \"${env:KEY}\" }",
        "auth = { kind = \"query\", name = \"api_key\", value = \"${env:KEY}\" }",
    ];
    for auth in auths {
        // The source repeats the key in its error, as some do.
        let api = Api::start(|asked, number| {
            if number == 0 {
                let path = asked.path();
                let next = format!("{path}?api_key={KEY}&echo={KEY}&page=2");
                return json(&format!(r#"{{"data":[{{"id":1}}],"next":"{next}"}}"#));
            }
            answer("400 Bad Request", &[], &format!(r#"{{"error":"bad key {KEY}"}}"#))
        });
        let source = format!("{FAST}\n{auth}");
        let mut workspace =
            items(&api, &source, "paginate = { kind = \"next_url\", next = \"$.next\" }");
        workspace.variable("KEY", KEY);
        let ran = workspace.run(&["sync", "-vv"]).expect(5);
        let sent = api.log();
        assert!(
            sent.iter().all(|asked| {
                asked.target.contains(KEY)
                    || asked
                        .headers
                        .iter()
                        .any(|(_, value)| value.contains(KEY) || value.starts_with("Basic "))
            }),
            "the key is sent: {auth}"
        );
        assert!(!ran.stdout.contains(KEY) && !ran.stderr.contains(KEY), "{auth}: {ran:?}");
        assert!(ran.stderr.contains("bad key ${env:KEY}"), "{auth}: {ran:?}");
        assert!(!contains(&all_bytes(&workspace), KEY), "{auth}");
        let stored = workspace.value("SELECT text FROM _windrow_definitions");
        assert!(stored.contains("${env:KEY}"), "{stored}");
    }
}

#[test]
fn a_token_with_a_secret_in_it_is_neither_kept_nor_sent_in_pieces() {
    let api = Api::start(|asked, number| match asked.parameter("cursor").as_deref() {
        None => json(&format!(r#"{{"data":[{{"id":1}}],"next":"{KEY}|p2"}}"#)),
        Some(token) if token == format!("{KEY}|p2") && number > 1 => {
            json(r#"{"data":[{"id":2}],"next":null}"#)
        }
        Some(token) if token == format!("{KEY}|p2") => answer("503 Service Unavailable", &[], ""),
        Some(_) => json(r#"{"data":[],"next":null}"#),
    });
    let auth = "auth = { kind = \"bearer\", token = \"${env:KEY}\" }";
    let paging = "paginate = { kind = \"cursor\", next = \"$.next\" }";
    let source = "retry = { base = \"1 ms\", attempts = 1 }";
    let mut workspace = items(&api, &format!("{source}\n{auth}"), paging);
    workspace.variable("KEY", KEY);
    workspace.run(&["sync"]).expect(3);
    assert_eq!(workspace.value("SELECT state, token FROM _windrow_ledger"), "partial|NULL");
    assert!(!contains(&all_bytes(&workspace), KEY));
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["1", "2"]);
}

#[test]
fn the_pair_of_basic_authorisation_is_taken_out_of_what_a_source_repeats() {
    let api = Api::start(|asked, _| {
        let sent = asked.header("authorization").unwrap_or_default().to_owned();
        answer("400 Bad Request", &[], &format!(r#"{{"sent":"{sent}"}}"#))
    });
    let auth = "auth = { kind = \"basic\", username = \"user\", password = \"${env:KEY}\" }";
    let mut workspace = items(&api, &format!("{FAST}\n{auth}"), "");
    workspace.variable("KEY", KEY);
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("Basic (credentials of s)"), "{ran:?}");
    // base64 of "user:" begins so, whatever the password.
    assert!(!ran.stderr.contains("dXNlcj") && !contains(&all_bytes(&workspace), "dXNlcj"));
}

#[test]
fn a_post_with_a_secret_in_its_body_goes_to_its_own_host_only() {
    let other = Api::start(|_, _| json(r#"{"data":[]}"#));
    let target = other.address.replace("127.0.0.1", "localhost");
    let host = target.split('/').nth(2).expect("a host").to_owned();
    let api = Api::start(move |_, _| {
        json(&format!(r#"{{"data":[{{"id":1}}],"next":"{target}/items"}}"#))
    });
    let stream = "method = \"POST\"\nbody = { key = \"${env:KEY}\" }\n\
        paginate = { kind = \"next_url\", next = \"$.next\" }";
    let source = format!("{FAST}\nallow_hosts = [\"{host}\"]");
    let mut workspace = items(&api, &source, stream);
    workspace.variable("KEY", KEY);
    workspace.run(&["sync"]).expect(9);
    assert!(api.log()[0].body.contains(KEY), "it is sent where it belongs");
    assert!(other.log().is_empty());
}

#[test]
fn a_drip_that_never_falls_silent_does_not_outlast_the_limit_of_the_run() {
    let api = Api::start(|_, _| Reply::Drip(Duration::from_millis(50)));
    let workspace = items(&api, FAST, "");
    let ran = workspace.run(&["sync", "--max-time", "500 ms"]).expect(3);
    assert!(ran.stderr.contains("--max-time"), "{ran:?}");
    let source = "read_timeout = \"20 ms\"\nretry = { base = \"1 ms\", attempts = 1 }";
    let api = Api::start(|_, _| Reply::Drip(Duration::from_millis(5)));
    let workspace = items(&api, source, "");
    let ran = workspace.run(&["sync"]).expect(3);
    assert!(ran.stderr.contains("not whole after"), "{ran:?}");
}

#[test]
fn a_spent_quota_holds_for_the_next_run_too() {
    let api = Api::start(|_, _| {
        answer("200 OK", &[("RateLimit", "\"d\";r=0;t=3600")], r#"{"data":[{"id":1}]}"#)
    });
    let workspace = items(&api, FAST, "");
    workspace.sync();
    workspace.run(&["sync"]).expect(3);
    assert_eq!(api.log().len(), 1);
}

#[test]
fn a_next_link_to_another_host_is_refused_before_anything_is_sent() {
    let other = Api::start(|_, _| json(r#"{"data":[{"id":2}],"next":null}"#));
    let target = other.address.replace("127.0.0.1", "localhost");
    let api = Api::start(move |_, _| {
        json(&format!(r#"{{"data":[{{"id":1}}],"next":"{target}/items"}}"#))
    });
    let workspace = items(&api, FAST, "paginate = { kind = \"next_url\", next = \"$.next\" }");
    let ran = workspace.run(&["sync"]).expect(9);
    assert!(ran.stderr.contains("leads to another host"), "{ran:?}");
    assert!(other.log().is_empty());
    assert_eq!(workspace.rows("SELECT state FROM _windrow_ledger"), ["partial"]);
}

#[test]
fn credentials_never_follow_a_redirect_to_another_host() {
    let other = Api::start(|_, _| json(r#"{"data":[{"id":2}]}"#));
    let target = format!("{}/items", other.address.replace("127.0.0.1", "localhost"));
    let host = target.split('/').nth(2).expect("a host").to_owned();
    let api = Api::start(move |_, _| answer("302 Found", &[("Location", &target)], ""));
    let auth = "auth = { kind = \"header\", name = \"X-Api-Key\", value = \"${env:KEY}\" }";
    let mut refused = items(&api, &format!("{FAST}\n{auth}"), "");
    refused.variable("KEY", KEY);
    refused.run(&["sync"]).expect(9);
    assert!(other.log().is_empty());
    let allowed = format!("{FAST}\n{auth}\nallow_hosts = [\"{host}\"]");
    let mut allowed = items(&api, &allowed, "");
    allowed.variable("KEY", KEY);
    allowed.sync();
    let asked = other.log();
    assert_eq!(asked.len(), 1);
    assert!(!format!("{asked:?}").contains(KEY), "{asked:?}");
    assert!(asked[0].header("referer").is_none());
}

#[test]
fn retry_after_is_obeyed_within_the_run_and_across_runs() {
    let api = Api::start(|_, number| match number {
        0 => answer("429 Too Many Requests", &[("Retry-After", "1")], ""),
        _ => json(r#"{"data":[{"id":1}]}"#),
    });
    let workspace = items(&api, FAST, "");
    let report = workspace.sync().json();
    assert_eq!((report["requests"].as_u64(), report["retries"].as_u64()), (Some(2), Some(1)));
    let api = Api::start(|_, _| answer("503 Service Unavailable", &[("Retry-After", "3600")], ""));
    let mut workspace = items(&api, FAST, "");
    let ran = workspace.run(&["sync"]).expect(3);
    assert!(ran.stderr.contains("not to be asked before 2026-01-10 13:00:00 UTC"), "{ran:?}");
    assert_eq!(
        workspace.value("SELECT not_before FROM _windrow_waits"),
        "2026-01-10T13:00:00+00:00"
    );
    workspace.run(&["sync"]).expect(3);
    assert_eq!(api.log().len(), 1, "a later run does not break the wait");
    let status = workspace.run(&["status"]).expect(0);
    assert!(status.stdout.contains("not to be asked before"), "{status:?}");
    workspace.at("2026-01-10T13:00:01Z");
    workspace.run(&["sync"]).expect(3);
    assert_eq!(api.log().len(), 2);
}

#[test]
fn a_cut_or_damaged_answer_is_tried_again_and_never_believed() {
    let whole = r#"{"data":[{"id":1},{"id":2}]}"#;
    let cuts: [fn(&str) -> Vec<u8>; 3] = [
        |body| format!("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{body}").into_bytes(),
        |body| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            format!("{head}{:x}\r\n{body}\r\n", body.len()).into_bytes()
        },
        |_| b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope".to_vec(),
    ];
    for cut in cuts {
        let api = Api::start(move |_, number| match number {
            0 => Reply::Close(cut(whole)),
            _ => json(whole),
        });
        let workspace = items(&api, FAST, "");
        let report = workspace.sync().json();
        assert_eq!(report["retries"], 1);
        assert_eq!(workspace.value("SELECT count(*) FROM items"), "2");
    }
}

#[test]
fn compressed_answers_are_read() {
    // printf '{"data":[{"id":1}]}' | gzip -n
    let gzip: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56, 0x4a, 0x49, 0x2c,
        0x49, 0x54, 0xb2, 0x8a, 0xae, 0x56, 0xca, 0x4c, 0x51, 0xb2, 0x32, 0xac, 0x8d, 0xad, 0x05,
        0x00, 0x53, 0xae, 0x2f, 0xaa, 0x13, 0x00, 0x00, 0x00,
    ];
    let api = Api::start(move |asked, _| {
        let accepts = asked.header("accept-encoding").unwrap_or_default().to_owned();
        assert!(["gzip", "br", "zstd"].iter().all(|kind| accepts.contains(kind)), "{accepts}");
        let length = gzip.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n"
        );
        Reply::Bytes([head.as_bytes(), gzip].concat())
    });
    let workspace = items(&api, FAST, "");
    workspace.sync();
    assert_eq!(workspace.value("SELECT id FROM items"), "1");
}

#[test]
fn one_connection_serves_many_requests() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    let threads = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let seen = Arc::clone(&threads);
    let pages = AtomicUsize::new(0);
    let api = Api::start(move |_, _| {
        seen.lock().expect("no panic").insert(std::thread::current().id());
        let n = pages.fetch_add(1, Ordering::SeqCst);
        let next = if n < 9 { format!("\"{n}\"") } else { "null".to_owned() };
        json(&format!(r#"{{"data":[{{"id":{n}}}],"next":{next}}}"#))
    });
    let workspace = items(&api, FAST, "paginate = { kind = \"cursor\", next = \"$.next\" }");
    workspace.sync();
    assert_eq!(threads.lock().expect("no panic").len(), 1, "one thread for each connection");
}

#[test]
fn an_answer_beyond_the_limit_is_refused() {
    let api = Api::start(|_, _| json(&format!(r#"{{"data":[{{"id":"{}"}}]}}"#, "x".repeat(5000))));
    let workspace = items(&api, &format!("{FAST}\nmax_body = \"1 KiB\""), "");
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("larger than 1024 bytes"), "{ran:?}");
}

#[test]
fn a_silent_source_is_given_up_after_the_read_timeout() {
    let api = Api::start(|_, _| Reply::Silence(Duration::from_secs(20)));
    let source = "read_timeout = \"200 ms\"\nretry = { base = \"1 ms\", attempts = 2 }";
    let workspace = items(&api, source, "");
    let ran = workspace.run(&["sync"]).expect(3);
    assert!(ran.stderr.contains("no answer in time"), "{ran:?}");
    assert_eq!(api.log().len(), 2);
}

#[test]
fn a_window_that_is_too_slow_again_and_again_is_halved() {
    let api = Api::start(|asked, _| {
        let (from, to) = (asked.parameter("from").unwrap(), asked.parameter("to").unwrap());
        if from == "2026-01-01" && to.as_str() > "2026-01-06" {
            return answer("504 Gateway Timeout", &[], "");
        }
        json(&format!(r#"{{"data":[{{"id":"x","day":"{from}","gb":1}}],"next":null}}"#))
    });
    let definition = crate::api::usage_definition(&api.address, "")
        .replace("step = \"1 day\"", "step = \"1 month\"");
    let workspace = Workspace::new(&definition);
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) > 1 FROM _windrow_ledger"), "1");
    let status = workspace.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["streams"][0]["watermark"], "2026-01-10T12:00:00+00:00");
}

#[test]
fn the_rate_holds_across_streams() {
    let api = Api::start(|_, _| json(r#"{"data":[{"id":1}]}"#));
    let mut definition = items_definition(&api.address, "rate = \"10/second\"", "");
    for name in ["b", "c", "d"] {
        definition.push_str(&format!(
            "\n[streams.{name}]\npath = \"/{name}\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n"
        ));
    }
    let workspace = Workspace::new(&definition);
    #[expect(clippy::disallowed_methods, reason = "the test measures a lower bound of real time")]
    let began = std::time::Instant::now();
    workspace.sync();
    assert!(began.elapsed() >= Duration::from_millis(300), "four requests, 100 ms apart");
}

#[test]
fn text_from_an_api_never_reaches_a_terminal_raw() {
    let api = Api::start(|_, _| {
        json("{\"data\":[{\"id\":\"a\\u001b[31m\\u009b\u{202e}b\",\"n\":\"\\u0007\"}]}")
    });
    let workspace = items(&api, FAST, "");
    workspace.sync();
    let ran = workspace.run(&["query", "SELECT id, n FROM items"]).expect(0);
    assert!(ran.stdout.contains("a\\u{1b}[31m\\u{9b}\\u{202e}b"), "{ran:?}");
    assert!(!ran.stdout.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']));
}

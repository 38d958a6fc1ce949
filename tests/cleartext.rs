//! Credentials do not go over a network unencrypted, and are long enough to be kept out of texts.

use crate::api::{Api, FAST, items_definition, json};
use crate::harness::Workspace;

const TRUTH: &str = r#"{"data":[{"id":1}]}"#;

/// Where a credential may stand: in the source, and in a stream.
const CREDENTIALS: &[(&str, &str)] = &[
    ("auth = { kind = \"bearer\", token = \"${env:KEY}\" }", ""),
    ("auth = { kind = \"basic\", username = \"me\", password = \"${env:KEY}\" }", ""),
    ("auth = { kind = \"header\", name = \"X-Key\", value = \"${env:KEY}\" }", ""),
    ("auth = { kind = \"query\", name = \"key\", value = \"${env:KEY}\" }", ""),
    ("auth = { kind = \"bearer\", token = \"${file:key}\" }", ""),
    ("headers = { Cookie = \"session=${env:KEY}\" }", ""),
    ("headers = { X-Own = \"a ${env:KEY}\" }", ""),
    ("idempotency = { lookup = { path = \"/x\", query = { k = \"{{ key }}${env:KEY}\" } } }", ""),
    ("", "query = { sig = \"${env:KEY}\" }"),
    ("", "headers = { X-Stream = \"${env:KEY}\" }"),
    ("", "method = \"POST\"\nbody = { a = [{ b = \"x${env:KEY}\" }] }"),
    ("", "total = { endpoint = \"/count\", value = \"$.n\", query = { k = \"${env:KEY}\" } }"),
];

#[test]
fn a_source_is_sent_no_credential_by_http_over_a_network() {
    for (source, stream) in CREDENTIALS {
        let define = |address: &str, more: &str| {
            let source = format!("{source}\n{more}");
            let mut workspace = Workspace::new(&items_definition(address, &source, stream));
            workspace.variable("KEY", "canary-7f3a9c");
            workspace
        };
        for address in ["http://api.example.com", "HTTP://10.0.0.7:8080/v1", "http://[fe80::1]"] {
            let workspace = define(address, "");
            for command in [["sync", "--dry-run"].as_slice(), &["sync"], &["outbox", "send"]] {
                let ran = workspace.run(command).expect(2);
                let says = ran.stderr.contains("unencrypted") && ran.stderr.contains("base_url");
                assert!(says && ran.stderr.contains("`insecure = true`"), "{ran:?}");
            }
            assert!(!workspace.path("a.db").exists(), "nothing was done");
            define(address, "insecure = true").run(&["sync", "--dry-run"]).expect(0);
        }
        for address in ["https://api.example.com", "http://127.0.0.1:9", "http://localhost:9"] {
            define(address, "").run(&["sync", "--dry-run"]).expect(0);
        }
    }
    let plain = Workspace::new(&items_definition("http://api.example.com", FAST, ""));
    plain.run(&["sync", "--dry-run"]).expect(0);
}

#[test]
fn a_stream_of_another_source_is_none_of_its_business() {
    let text = |of: &str| {
        format!(
            "[archive]\npath = \"a.db\"\n[sources.open]\nbase_url = \"http://api.example.com\"\n\
             [sources.safe]\nbase_url = \"https://api.example.com\"\n[streams.t]\n\
             source = \"{of}\"\npath = \"/t\"\nrecords = \"$[*]\"\nkey = \"id\"\n\
             query = {{ k = \"${{env:KEY}}\" }}\n"
        )
    };
    Workspace::new(&text("safe")).run(&["sync", "--dry-run"]).expect(0);
    Workspace::new(&text("open")).run(&["sync", "--dry-run"]).expect(2);
}

#[test]
fn what_is_on_this_machine_is_asked_without_a_proxy() {
    let (api, proxy) = (Api::start(|_, _| json(TRUTH)), Api::start(|_, _| json(TRUTH)));
    let auth = "auth = { kind = \"bearer\", token = \"${env:KEY}\" }";
    let mut workspace = Workspace::new(&items_definition(&api.address, auth, ""));
    workspace.variable("KEY", "canary-7f3a9c");
    workspace.variable("HTTP_PROXY", &proxy.address).variable("http_proxy", &proxy.address);
    workspace.variable("ALL_PROXY", &proxy.address);
    workspace.sync();
    assert_eq!((api.log().len(), proxy.log().len()), (1, 0));
}

#[test]
fn a_secret_that_is_too_short_to_be_kept_out_of_texts_is_refused() {
    let api = Api::start(|_, _| json(TRUTH));
    let bearer = "auth = { kind = \"bearer\", token = \"${env:KEY}\" }";
    let basic =
        "auth = { kind = \"basic\", username = \"${env:KEY}\", password = \"${env:LONG}\" }";
    let both = "auth = { kind = \"basic\", username = \"${env:KEY}\", password = \"${env:KEY}\" }";
    let file = "auth = { kind = \"bearer\", token = \"${file:key}\" }";
    let header = "headers = { X-Own = \"${env:KEY}\" }";
    // What the source says, the value, and whether it is taken.
    let cases = [
        (bearer, "abc", false),
        (bearer, "q7w8e9r", false),
        (bearer, "äöüäöüä", false),
        (bearer, "q7w8e9rt", true),
        (header, "q7w", false),
        (file, "q7w", false),
        (file, "q7w8e9rt", true),
        (basic, "ana", true),
        (both, "ana", false),
        ("auth = { kind = \"bearer\", token = \"${env:KEY}\" }\nshort_secrets = true", "q7w", true),
    ];
    for (source, value, taken) in cases {
        let mut workspace = Workspace::new(&items_definition(&api.address, source, ""));
        workspace.variable("KEY", value).variable("LONG", "a-longer-one");
        std::fs::write(workspace.path("key"), format!("{value}\n")).expect("a file");
        let asked = api.log().len();
        for command in [["sync"].as_slice(), &["outbox", "serve", "--listen", "0.0.0.0:0"]] {
            let ran = workspace.run(command);
            if taken {
                assert_ne!(ran.code, 2, "{source} {value}: {ran:?}");
                continue;
            }
            let ran = ran.expect(2);
            let name = if source == file { "${file:key}" } else { "${env:KEY}" };
            let says = format!("{name} for source s has fewer than 8 characters");
            assert!(ran.stderr.contains(&says), "{ran:?}");
            assert!(ran.stderr.contains("`short_secrets = true`"), "{ran:?}");
            assert!(!ran.stderr.contains(&format!("{value} ")), "{ran:?}");
        }
        assert_eq!(api.log().len() > asked, taken, "{source} {value}");
        let doctor = workspace.run(&["doctor", "--offline"]).stdout;
        assert_eq!(doctor.contains("has fewer than 8 characters"), !taken, "{doctor}");
    }
}

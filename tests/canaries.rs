//! Secrets in every place that a definition allows, sent back by a source in its records: none of
//! them is in a hand-off, by a search of its bytes.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use crate::api::{Api, json};
use crate::harness::Workspace;

/// The places: a source or a stream that has a secret there, each with a name of its own.
const DEFINITION: &str = r#"
[archive]
path = "a.db"

[sources.bearer]
base_url = "ADDRESS"
auth = { kind = "bearer", token = "${env:BEARER}" }
headers = { X-Source = "${env:SOURCE_HEADER}" }

[sources.bearer.idempotency]
lookup = { path = "/find", query = { k = "{{ key }}", t = "${env:LOOKUP}" } }

[sources.header]
base_url = "ADDRESS"
auth = { kind = "header", name = "X-Key", value = "${env:HEADER}" }

[sources.query]
base_url = "ADDRESS"
auth = { kind = "query", name = "key", value = "${env:QUERY}" }

[sources.basic]
base_url = "ADDRESS"
auth = { kind = "basic", username = "${env:USER_NAME}", password = "${env:PASSWORD}" }

[sources.file]
base_url = "ADDRESS"
auth = { kind = "bearer", token = "${file:token.txt}" }
"#;

const STREAM: &str = r#"
[streams.of_NAME]
source = "NAME"
path = "/items"
records = "$.data[*]"
key = "id"
raw = true
history = true
query = { own = "${env:STREAM_QUERY}" }
headers = { X-Stream = "${env:STREAM_HEADER}" }
"#;

const NAMES: [&str; 9] = [
    "BEARER",
    "SOURCE_HEADER",
    "LOOKUP",
    "HEADER",
    "QUERY",
    "USER_NAME",
    "PASSWORD",
    "STREAM_QUERY",
    "STREAM_HEADER",
];

fn canary(name: &str) -> String {
    format!("CANARY-{}-0123456789", name.to_lowercase())
}

/// A source that sends everything it is told back: beside its records, and in them where asked to.
fn echoing(in_records: bool) -> Api {
    Api::start(move |asked, number| {
        let mut said = format!("X-Stream {} {}", asked.target, asked.body);
        for (name, value) in &asked.headers {
            said.push_str(&format!(" {name}: {value}"));
        }
        let said = serde_json::Value::from(said);
        let told = if in_records { said.clone() } else { "X-Stream".into() };
        json(&format!(r#"{{"data":[{{"id":1,"n":{number},"said":{told}}}],"debug":{said}}}"#))
    })
}

fn workspace_of(api: &Api) -> Workspace {
    let mut definition = DEFINITION.replace("ADDRESS", &api.address);
    for source in ["bearer", "header", "query", "basic", "file"] {
        definition.push_str(&STREAM.replace("NAME", source));
    }
    let mut workspace = Workspace::new(&definition);
    for name in NAMES {
        workspace.variable(name, &canary(name));
    }
    std::fs::write(workspace.path("token.txt"), canary("FILE")).expect("a secret file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(workspace.path("token.txt"), private).expect("a mode");
    }
    for _ in 0..2 {
        workspace.run(&["sync"]).expect(0);
    }
    workspace
}

#[test]
fn no_secret_of_any_place_is_in_a_hand_off_even_where_sources_send_them_back() {
    let api = echoing(false);
    let workspace = workspace_of(&api);
    // They were sent, all but the one of a lookup that never was.
    let sent: String = api.log().iter().map(|asked| format!("{asked:?}")).collect();
    let pair = format!("{}:{}", canary("USER_NAME"), canary("PASSWORD"));
    for name in NAMES.into_iter().chain(["FILE"]) {
        let hidden = ["LOOKUP", "USER_NAME", "PASSWORD"].contains(&name);
        assert_eq!(sent.contains(&canary(name)), !hidden, "{name}");
    }
    assert!(sent.contains(&STANDARD.encode(&pair)));
    for arguments in [&["handoff", "out.db"][..], &["handoff", "part.db", "--since", "1"]] {
        workspace.run(arguments).expect(0);
        let bytes = std::fs::read(workspace.path(arguments[1])).expect("the file");
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("X-Stream"), "what was said is there, without the secrets");
        for name in NAMES.into_iter().chain(["FILE"]) {
            assert!(!holds(&canary(name)), "{name}");
            assert!(!holds(&STANDARD.encode(canary(name))), "{name}");
        }
        assert!(!holds(&STANDARD.encode(&pair)) && !holds(&URL_SAFE.encode(&pair)));
    }
    // The definition names them, so that whoever gets it knows what to bring.
    let names = workspace.run(&["--archive", "out.db", "definition"]).expect(0);
    assert!(names.stdout.contains("${env:BEARER}") && !names.stdout.contains("CANARY"));
}

#[test]
fn a_secret_that_a_source_has_sent_back_as_data_is_not_given_away() {
    let api = echoing(true);
    let workspace = workspace_of(&api);
    let refused = workspace.run(&["handoff", "out.db"]).expect(9);
    assert!(refused.stderr.contains("the value of ${"), "{refused:?}");
    assert!(refused.stderr.contains("a source has sent it back"), "{refused:?}");
    assert!(!refused.stderr.contains("CANARY"), "{refused:?}");
    assert!(!workspace.path("out.db").exists());
    workspace.run(&["handoff", "out.db", "--where", "said NOT LIKE '%X-Stream%'"]).expect(0);
    workspace.run(&["handoff", "out.db", "--force", "--allow-secrets"]).expect(0);
}

//! What the outbox refuses, before anything is on the disk.

use std::process::Command;

use crate::harness::{NOW, Workspace, rows};
use crate::outbox::{Counter, Step, add, definition};

const OFFLINE: &str = "http://127.0.0.1:1";

#[test]
fn what_cannot_be_sent_is_refused_and_nothing_is_queued() {
    let long = "k".repeat(256);
    let deep = "[".repeat(200);
    let cases: [(&[&str], &str); 24] = [
        (&["POST", "/a", "--body", "{"], "not JSON"),
        (&["POST", "/a", "--body", "{} {}"], "not JSON"),
        (&["POST", "/a", "--body", &deep], "not JSON"),
        (&["POST", "/a", "--key", ""], "1 to 255"),
        (&["POST", "/a", "--key", &long], "1 to 255"),
        (&["POST", "/a", "--key", "a b"], "visible ASCII"),
        (&["POST", "/a", "--key", "a\u{7}"], "visible ASCII"),
        (&["POST", "/a", "--key", "schl\u{fc}ssel"], "visible ASCII"),
        (&["POST", "/a", "--lane", ""], "a lane's name"),
        (&["POST", "a"], "does not begin with `/`"),
        (&["POST", "http://evil/a"], "does not begin with `/`"),
        (&["POST", "//evil/a"], "leads out"),
        (&["POST", "/../a"], "leads out"),
        (&["POST", "/b/%2e%2E/a"], "leads out"),
        (&["POST", "/a b"], "no address has"),
        (&["POST", "/a#b"], "no address has"),
        (&["GET", "/a"], "not a method that writes"),
        (&["POST", "/a", "--source", "shpo"], "no source `shpo`"),
        (&["POST", "/a", "-H", "Host: evil"], "not for a request to set"),
        (&["POST", "/a", "-H", "a b: c"], "name of a header"),
        (&["POST", "/a", "-H", "X-A: b\r\nX-B: c"], "what HTTP allows"),
        (&["POST", "/a", "-H", "Idempotency-Key: x"], "a request has one"),
        (&["POST", "/a", "-H", "X-A: ${env:HOME}"], "refers to a variable"),
        (&["POST", "/a", "--body", "\"{{ result.k.id }}\""], "waits for none"),
    ];
    let workspace = Workspace::new(&definition(OFFLINE, ""));
    for (arguments, expected) in cases {
        let ran = workspace.run(&[&["outbox", "add"], arguments].concat()).expect(2);
        assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains('\u{7}'), "{}", ran.stderr);
    }
    assert!(!workspace.path("a.db").exists(), "no archive was made for them");
    let large = workspace.path("large.json");
    std::fs::write(&large, format!("\"{}\"", "x".repeat(9 << 20))).expect("a file");
    let said = add(&workspace, &["--body-file", "large.json"]).expect(2).stderr;
    assert!(said.contains("more than 8 MiB"), "{said}");
    add(&workspace, &["--after", "nobody"]).expect(2);
    add(&workspace, &["--expires", "2026-01-01"]).expect(2);
}

#[test]
fn no_credential_is_ever_queued() {
    let auth = "auth = { kind = \"header\", name = \"X-Own\", value = \"${env:TOKEN}\" }";
    let mut workspace = Workspace::new(&definition(OFFLINE, auth));
    workspace.variable("TOKEN", "s3cr3t/+value");
    let cases: [&[&str]; 7] = [
        &["-H", "Authorization: Bearer x"],
        &["-H", "Cookie: a=b"],
        &["-H", "X-Api-Key: x"],
        &["-H", "x-own: x"],
        &["-H", "X-A: s3cr3t/+value"],
        &["--body", r#"{"a":"s3cr3t\/+value"}"#],
        &["--key", "s3cr3t/+value"],
    ];
    for arguments in cases {
        let ran = add(&workspace, arguments).expect(9);
        assert!(!ran.stderr.contains("s3cr3t"), "{}", ran.stderr);
    }
    let leaks = workspace.run(&["outbox", "add", "POST", "/a?t=s3cr3t%2F%2Bvalue"]).expect(9);
    assert!(!leaks.stderr.contains("s3cr3t"), "{}", leaks.stderr);
    assert!(!workspace.path("a.db").exists());
}

#[test]
fn a_credential_that_comes_back_is_kept_out_of_the_archive() {
    let shop = Counter::start(|asked, _| {
        let token = asked.header("authorization").unwrap_or_default().to_owned();
        Step::Say(crate::api::json(&format!(r#"{{"you":"{token}"}}"#)))
    });
    let auth = "auth = { kind = \"bearer\", token = \"${env:TOKEN}\" }";
    let mut workspace = Workspace::new(&shop.definition(auth));
    workspace.variable("TOKEN", "s3cr3t-value");
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    let shown = workspace.run(&["outbox", "show", "a", "--json"]).expect(0).stdout;
    assert!(shown.contains("${env:TOKEN}") && !shown.contains("s3cr3t"), "{shown}");
    let kept = std::fs::read(workspace.path("a.db")).expect("the archive");
    let secret = b"s3cr3t-value";
    assert!(!kept.windows(secret.len()).any(|bytes| bytes == secret));
}

#[test]
fn a_body_of_another_type_is_kept_byte_for_byte() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    std::fs::write(workspace.path("body"), b"a=1\r\n\x00b").expect("a file");
    let kind = ["--content-type", "text/plain"];
    add(&workspace, &[&["--key", "a", "--body-file", "body"], &kind[..]].concat()).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    assert_eq!(shop.api.log()[0].body, "a=1\r\n\u{0}b");
    assert_eq!(shop.api.log()[0].header("content-type"), Some("text/plain"));
}

#[test]
fn problems_of_the_definition_are_told_at_once() {
    let more = "[sources.shop.idempotency]\nhonoured = false\nlifetime = \"1 day\"\n\
        in_progress = [500]\n[sources.shop.idempotency.lookup]\npath = \"/a\"\nfound = \"data\"";
    let workspace = Workspace::new(&definition(OFFLINE, more));
    let said = add(&workspace, &["--json"]).expect(2).stderr;
    for expected in ["sends none", "write 400 to 499", "nowhere in it", "starts with `$`"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let more = "[sources.shop.idempotency]\nname = \"a b\"\nlifetme = \"1 day\"";
    let workspace = Workspace::new(&definition(OFFLINE, more));
    let said = add(&workspace, &[]).expect(2).stderr;
    assert!(said.contains("lifetime"), "{said}");
}

/// Runs a script with root's rights over mounts of its own, or says that it cannot be.
fn mounted(workspace: &Workspace, script: &str) -> Option<String> {
    let mut command = Command::new("unshare");
    let program = env!("CARGO_BIN_EXE_windrow");
    command.args(["-rm", "sh", "-c", &format!("mkdir -p disk\n{script}"), "sh", program]);
    let command = command.current_dir(workspace.folder()).env("WINDROW_TEST_NOW", NOW);
    let output = command.env("WINDROW_STATE_DIR", workspace.path("state")).output().ok()?;
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    said.starts_with("mounted").then_some(said)
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_at_add_leaves_whole_entries_and_no_halves() {
    let on_disk = definition(OFFLINE, "").replace("\"a.db\"", "\"disk/a.db\"");
    let workspace = Workspace::new(&on_disk);
    let body = format!("\"{}\"", "x".repeat(60_000));
    std::fs::write(workspace.path("body"), &body).expect("a file");
    let script = "mount -t tmpfs -o size=1m none disk && echo mounted
        for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
            \"$1\" outbox add POST /a --key k$n --body-file body >/dev/null 2>said; echo $?
        done
        cp -r disk after; umount disk";
    let Some(said) = mounted(&workspace, script) else { return };
    let codes: Vec<&str> = said.lines().skip(1).collect();
    let added = codes.iter().filter(|code| **code == "0").count();
    assert!(added > 0 && codes.iter().all(|code| matches!(*code, "0" | "8")), "{codes:?}");
    assert!(added < codes.len(), "the disk was full: {codes:?}");
    let after = workspace.path("after/a.db");
    let whole = "SELECT count(*) FROM _windrow_outbox WHERE length(body) = 60002";
    assert_eq!(rows(&after, whole), [added.to_string()]);
    assert_eq!(rows(&after, "SELECT count(*) FROM _windrow_outbox"), [added.to_string()]);
    let told = std::fs::read_to_string(workspace.path("said")).expect("what was said");
    assert!(told.contains("full") && told.contains("help:"), "{told}");
}

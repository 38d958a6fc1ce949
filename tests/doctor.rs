//! `windrow doctor`: each thing is made wrong on purpose once, found, and told with its help.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::Value;
use windrow::host::files::{lock_path, try_lock};

use crate::api::{Api, UsageApi, answer, items_definition, json, nine_days};
use crate::harness::{Ran, Workspace};

fn synced() -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    (api, workspace)
}

fn doctor(workspace: &Workspace, more: &[&str]) -> Ran {
    workspace.run(&[&["doctor", "--json"], more].concat())
}

/// State and finding of one check. What is wrong has a help.
fn check(ran: &Ran, name: &str) -> (String, String) {
    let json = ran.json();
    let checks = json["checks"].as_array().expect("checks");
    let found = checks.iter().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no check {name} in {ran:?}"));
    let state = found["state"].as_str().expect("a state").to_owned();
    let wrong = state == "warn" || state == "bad";
    assert_eq!(found["help"].is_string(), wrong, "{found}");
    (state, found["found"].as_str().expect("a finding").to_owned())
}

/// Expects one check to come out so, and the command to end with that code.
fn finds(ran: Ran, code: i32, name: &str, state: &str, part: &str) {
    let (have, found) = check(&ran, name);
    assert_eq!(have, state, "{name}: {found}");
    assert!(found.contains(part), "{part:?} in {found:?}");
    ran.expect(code);
}

fn items(reply: fn() -> crate::api::Reply) -> (Api, Workspace) {
    let api = Api::start(move |_, _| reply());
    let workspace = Workspace::new(&items_definition(&api.address, "", ""));
    (api, workspace)
}

#[test]
fn where_all_is_well_nothing_is_bad_and_every_check_is_there() {
    let (api, workspace) = synced();
    let asked = api.api.log().len();
    let ran = doctor(&workspace, &[]).expect(0);
    for name in [
        "definition",
        "secrets",
        "archive",
        "archive content",
        "archive journal",
        "clock and archive",
        "leftovers",
        "lock",
        "folder",
        "clock",
        "proxy",
        "source s",
    ] {
        assert_eq!(check(&ran, name).0, "ok", "{name}: {ran:?}");
    }
    assert_ne!(ran.json()["worst"], "bad");
    assert_eq!(api.api.log().len(), asked + 1, "each source is asked once");
    assert_eq!(api.api.log()[asked].target, "/");
    let text = workspace.run(&["doctor"]).expect(0).stdout;
    assert!(text.starts_with("ok    definition: windrow.toml: 1 source, 1 stream\n"), "{text}");
}

#[test]
fn offline_on_purpose_opens_no_socket() {
    let (api, workspace) = synced();
    let asked = api.api.log().len();
    let ran = doctor(&workspace, &["--offline"]).expect(0);
    for name in ["links", "source s", "tls s", "clock and s"] {
        assert_eq!(check(&ran, name), ("skip".to_owned(), "--offline".to_owned()));
    }
    assert_eq!(api.api.log().len(), asked);
}

#[test]
fn a_wrong_definition_is_2_and_shown_with_its_place() {
    let (_api, workspace) = synced();
    workspace.define("[archive]\npaht = \"a.db\"\n");
    finds(doctor(&workspace, &[]), 2, "definition", "bad", "line 2");
    let text = workspace.run(&["doctor"]).expect(2);
    assert!(text.stdout.contains("      help: "), "{text:?}");
    assert!(text.stderr.contains("windrow.toml:2"), "{text:?}");
    // The archive is looked at all the same where somebody names it.
    let named = doctor(&workspace, &["--archive", "a.db"]);
    assert_eq!(check(&named, "archive").0, "ok");
    finds(doctor(&Workspace::empty(), &[]), 2, "definition", "bad", "cannot read the definition");
}

#[test]
fn secrets_are_looked_for_and_never_shown() {
    let source = "auth = { kind = \"bearer\", token = \"${env:TOKEN}\" }\n\
                  headers = { x = \"${file:key.txt}\" }";
    let api = Api::start(|_, _| json("{}"));
    let mut workspace = Workspace::new(&items_definition(&api.address, source, ""));
    let secret = "secret ${env:TOKEN}";
    finds(doctor(&workspace, &[]), 2, secret, "bad", "the variable TOKEN is not set");
    finds(doctor(&workspace, &[]), 2, "secret ${file:key.txt}", "bad", "cannot read key.txt");
    workspace.variable("TOKEN", "canary-1 ");
    std::fs::write(workspace.path("key.txt"), "canary-2\n").expect("a file");
    let file = std::fs::File::open(workspace.path("key.txt")).expect("the file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o644)).expect("a mode");
        let file = "secret ${file:key.txt}";
        finds(doctor(&workspace, &[]), 0, file, "warn", "mode 644");
    }
    drop(file);
    let ran = doctor(&workspace, &[]);
    assert!(!format!("{ran:?}{:?}", api.log()).contains("canary"), "{ran:?}");
    finds(ran, 0, secret, "warn", "a blank");
}

#[test]
fn an_archive_that_is_none_or_damaged_is_6() {
    let (_api, workspace) = synced();
    let sound = std::fs::read(workspace.path("a.db")).expect("the archive");
    let write = |bytes: &[u8]| std::fs::write(workspace.path("a.db"), bytes).expect("a file");
    write(b"text");
    finds(doctor(&workspace, &["--offline"]), 6, "archive", "bad", "is not an SQLite file");
    let mut damaged = sound.clone();
    let last_page = damaged.len() - 4096;
    damaged[last_page..].fill(0xff);
    write(&damaged);
    let ran = doctor(&workspace, &["--offline"]).expect(6);
    let json = ran.json();
    let bad = |check: &&Value| check["state"] == "bad";
    let bad = json["checks"].as_array().expect("checks").iter().find(bad).expect("a bad check");
    assert!(bad["found"].as_str().is_some_and(|found| found.contains("damaged")), "{bad}");
    assert_eq!(std::fs::read(workspace.path("a.db")).expect("the archive"), damaged);
    write(&sound);
    doctor(&workspace, &["--offline"]).expect(0);
}

#[expect(clippy::disallowed_methods, reason = "stands for another program")]
fn change(workspace: &Workspace, sql: &str) {
    let connection = rusqlite::Connection::open(workspace.path("a.db")).expect("the archive");
    connection.execute_batch(sql).expect(sql);
}

#[test]
fn what_other_programs_did_to_the_archive_is_found() {
    let (_api, workspace) = synced();
    change(&workspace, "PRAGMA journal_mode = PERSIST");
    finds(doctor(&workspace, &["--offline"]), 0, "archive journal", "ok", "ejected");
    let orphan = "PRAGMA foreign_keys = OFF;
        INSERT INTO _windrow_run_streams (run_id, stream, windows_completed, received, inserted,
                updated, unchanged, skipped, rejected, out_of_window)
             VALUES (99, 's', 0, 0, 0, 0, 0, 0, 0, 0);";
    change(&workspace, orphan);
    finds(doctor(&workspace, &["--offline"]), 6, "archive content", "bad", "refer to rows");
}

#[test]
fn leftovers_and_a_holder_are_warnings() {
    let (_api, workspace) = synced();
    std::fs::write(workspace.path("a.db-new"), "half").expect("a draft");
    finds(doctor(&workspace, &["--offline"]), 0, "leftovers", "warn", "a.db-new");
    let lock = lock_path(&workspace.path("a.db"));
    let held = try_lock(&lock, "process 1 (windrow sync) since then").expect("the lock is free");
    let ran = doctor(&workspace, &["--offline"]);
    assert_eq!(check(&ran, "leftovers").0, "skip");
    finds(ran, 0, "lock", "warn", "held by process 1 (windrow sync)");
    drop(held);
    finds(doctor(&workspace, &["--offline"]), 0, "lock", "ok", "nobody");
}

#[cfg(unix)]
#[test]
fn a_folder_or_a_file_that_cannot_be_written_is_8() {
    use std::os::unix::fs::PermissionsExt;
    let (api, workspace) = synced();
    let elsewhere = Workspace::new(&api.definition("").replace("a.db", "no/such/a.db"));
    finds(doctor(&elsewhere, &["--offline"]), 8, "folder", "bad", "no file can be made");
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(workspace.path("a.db"), permissions).expect("a mode");
    };
    mode(0o400);
    // The super-user writes whatever the mode says; then there is nothing to test.
    let is_root = std::fs::OpenOptions::new().append(true).open(workspace.path("a.db")).is_ok();
    if !is_root {
        finds(doctor(&workspace, &["--offline"]), 8, "archive", "bad", "not written");
    }
    mode(0o600);
}

#[test]
fn each_way_of_not_reaching_the_source_is_told() {
    let nobody = Workspace::new(&items_definition("http://127.0.0.1:1", "", ""));
    finds(doctor(&nobody, &[]), 3, "source s", "bad", "nobody listens there");
    let (_api, page) = items(|| answer("200 OK", &[("content-type", "text/html")], "<h1>Hi</h1>"));
    finds(doctor(&page, &[]), 0, "source s", "warn", "a web page");
    let (_api, portal) = items(|| answer("511 Network Authentication Required", &[], ""));
    finds(doctor(&portal, &[]), 3, "source s", "bad", "wants a login");
    let (_api, moved) = items(|| answer("302 Found", &[("location", "http://hotel.example/")], ""));
    finds(doctor(&moved, &[]), 0, "source s", "warn", "hotel.example");
    let (_api, refusing) = items(|| answer("401 Unauthorized", &[], ""));
    finds(doctor(&refusing, &[]), 0, "source s", "ok", "HTTP 401");
}

/// A server that breaks off every handshake.
fn without_handshake() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = format!("https://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            // A fatal alert: handshake_failure (RFC 8446, section 6).
            let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 40]);
        }
    });
    address
}

#[test]
fn a_far_end_that_cannot_be_trusted_is_9() {
    let workspace = Workspace::new(&items_definition(&without_handshake(), "", ""));
    finds(doctor(&workspace, &[]), 9, "tls s", "bad", "no secure connection");
    assert_eq!(check(&doctor(&workspace, &[]), "source s").0, "skip");
    let (api, plain) = items(|| json("{}"));
    assert_eq!(check(&doctor(&plain, &[]), "tls s").0, "skip");
    plain.define(&items_definition(&api.address.replace("http:", "https:"), "", ""));
    assert_eq!(check(&doctor(&plain, &[]), "source s").0, "bad");
}

#[test]
fn clocks_that_do_not_agree_are_found() {
    let date = || answer("200 OK", &[("date", "Sat, 10 Jan 2026 14:00:00 GMT")], "{}");
    let (_api, mut workspace) = items(date);
    finds(doctor(&workspace, &[]), 0, "clock and s", "warn", "2 hours behind");
    workspace.at("2026-01-10T14:04:00Z");
    assert_eq!(check(&doctor(&workspace, &[]), "clock and s").0, "ok");
    workspace.at("1970-01-01T00:00:10Z");
    finds(doctor(&workspace, &["--offline"]), 9, "clock", "bad", "1970-01-01");
    let (_api, mut later) = synced();
    later.at("2026-01-09T12:00:00Z");
    finds(doctor(&later, &["--offline"]), 0, "clock and archive", "warn", "later than now");
}

#[test]
fn proxies_are_shown_without_their_passwords() {
    let (_api, mut workspace) = synced();
    workspace.variable("HTTPS_PROXY", "http://user:canary@proxy.example:3128");
    workspace.variable("all_proxy", "socks5://user:canary@proxy.example");
    workspace.variable("NO_PROXY", "localhost");
    let ran = doctor(&workspace, &["--offline"]);
    assert!(!ran.stdout.contains("canary"), "{ran:?}");
    let expected = ("ok".to_owned(), "http://proxy.example:3128".to_owned());
    assert_eq!(check(&ran, "proxy HTTPS_PROXY"), expected);
    assert_eq!(check(&ran, "proxy NO_PROXY").0, "ok");
    finds(ran, 0, "proxy all_proxy", "warn", "`socks5` proxy");
}

#[test]
fn where_nothing_is_yet_nothing_is_wrong() {
    let (_api, workspace) = items(|| json("{}"));
    finds(doctor(&workspace, &[]), 0, "archive", "skip", "the first sync makes it");
    let mut names = std::fs::read_dir(workspace.folder()).expect("the folder").flatten();
    assert!(names.all(|entry| entry.file_name() == "windrow.toml"), "nothing was left behind");
}

//! With nothing but the file: looking into it, and going on where its giver stopped.

use std::path::Path;

use crate::api::{UsageApi, nine_days, usage_definition};
use crate::harness::Workspace;

const TOKEN: &str = "token-of-the-giver-4711";

/// A definition with a token, and the archive of nine days that it made, alone in a folder.
fn handed_over(api: &UsageApi) -> (Workspace, Workspace) {
    let definition = with_token(&api.api.address);
    let mut giver = Workspace::new(&definition);
    giver.variable("FLEET_TOKEN", TOKEN);
    giver.sync();
    giver.run(&["eject"]).expect(0);
    let receiver = Workspace::empty();
    std::fs::copy(giver.path("a.db"), receiver.path("fleet.db")).expect("a copy");
    (giver, receiver)
}

fn with_token(address: &str) -> String {
    let auth = "auth = { kind = \"bearer\", token = \"${env:FLEET_TOKEN}\" }\nretry";
    usage_definition(address, "").replacen("retry", auth, 1)
}

/// The days that were asked from the `from`-th request on.
fn days_asked(api: &UsageApi, from: usize) -> Vec<String> {
    let log = api.api.log();
    log[from..].iter().filter_map(|asked| asked.parameter("from")).collect()
}

#[test]
fn the_receiver_writes_the_definition_out_brings_a_token_and_goes_on_from_the_ledger() {
    let api = UsageApi::start(nine_days(), 50);
    let (giver, mut receiver) = handed_over(&api);
    let written = receiver.run(&["--archive", "fleet.db", "definition"]).expect(0);
    for said in [&written.stdout, &written.stderr] {
        assert!(said.contains("${env:FLEET_TOKEN} for source s"), "{said}");
        assert!(said.contains(&format!("is sent to {}", api.api.address)), "{said}");
        assert!(!said.contains(TOKEN), "{said}");
    }
    assert!(written.stdout.contains("path = \"fleet.db\""), "{}", written.stdout);
    receiver.define(&written.stdout);

    let without = receiver.run(&["sync"]).expect(2);
    assert!(without.stderr.contains("the variable FLEET_TOKEN is not set"), "{without:?}");
    receiver.variable("FLEET_TOKEN", "the-receivers-own").at("2026-01-11T12:00:00Z");
    let before = api.api.log().len();
    receiver.run(&["sync"]).expect(0);
    // With three days of lateness, all up to the 7th was settled on the 10th.
    let asked = days_asked(&api, before);
    assert!(!asked.is_empty() && asked.iter().all(|day| day.as_str() >= "2026-01-07"), "{asked:?}");
    let log = api.api.log();
    let authorised = |at: usize| log[at].header("authorization").map(str::to_owned);
    assert_eq!(authorised(before).as_deref(), Some("Bearer the-receivers-own"));
    assert_eq!(authorised(0), Some(format!("Bearer {TOKEN}")));
    // The same rows as if the giver had gone on himself.
    let mut giver = giver;
    giver.at("2026-01-11T12:00:00Z").sync();
    let digests = receiver.run(&["status", "--digest", "--json"]).expect(0).json();
    assert_eq!(digests["digests"], giver.digests());
}

#[test]
fn what_is_written_out_means_what_the_giver_wrote() {
    let api = UsageApi::start(nine_days(), 50);
    let (giver, receiver) = handed_over(&api);
    let again = |workspace: &Workspace, archive: &str| {
        let json = workspace.run(&["--archive", archive, "definition", "--json"]).expect(0).json();
        json["definition"].as_str().expect("text").to_owned()
    };
    let theirs = again(&receiver, "fleet.db");
    let own = again(&giver, "a.db");
    assert_eq!(theirs, own.replace("\"a.db\"", "\"fleet.db\""));
    let parse = |text: &str| windrow::definition::parse_definition("x", text).expect("it parses");
    let original = parse(&with_token(&api.api.address));
    assert_eq!(parse(&own).text, original.text);
    let without_text = |mut definition: windrow::definition::Definition| {
        definition.archive = "x".into();
        definition.text.clear();
        format!("{definition:?}")
    };
    assert_eq!(without_text(parse(&theirs)), without_text(original));
}

#[test]
fn all_that_reads_works_with_nothing_but_the_file() {
    let api = UsageApi::start(nine_days(), 50);
    let (_giver, receiver) = handed_over(&api);
    let bytes = std::fs::read(receiver.path("fleet.db")).expect("a file");
    let status = receiver.run(&["--archive", "fleet.db", "status"]).expect(0).stdout;
    // What only the definition knows.
    assert!(status.contains("windows of 1 day"), "{status}");
    let cases: [(&[&str], i32, &str); 6] = [
        (&["query", "SELECT count(*) AS n FROM usage", "--format", "ndjson"], 0, "{\"n\":27}"),
        (&["runs"], 0, "complete"),
        (&["runs", "show", "1"], 0, "usage"),
        (&["rejects"], 0, ""),
        (&["diff", "--since", "0"], 1, "27 inserted"),
        (&["check", "--fail-on", "error"], 0, ""),
    ];
    for (arguments, code, shown) in cases {
        let ran = receiver.run(&[&["--archive", "fleet.db"], arguments].concat()).expect(code);
        assert!(ran.stdout.contains(shown), "{arguments:?}: {ran:?}");
    }
    assert!(!receiver.path("windrow.toml").exists());
    assert_eq!(std::fs::read(receiver.path("fleet.db")).expect("a file"), bytes);
}

#[test]
fn a_file_is_written_once_and_replaced_when_that_is_asked_for() {
    let api = UsageApi::start(nine_days(), 50);
    let (_giver, receiver) = handed_over(&api);
    let write = |more: &[&str]| {
        let arguments = [&["--archive", "fleet.db", "definition", "--out"], more].concat();
        receiver.run(&arguments)
    };
    let first = write(&["windrow.toml"]).expect(0);
    assert_eq!(first.stdout, "");
    let text = std::fs::read_to_string(receiver.path("windrow.toml")).expect("it was written");
    assert!(text.starts_with("# The definition of fleet.db as run 1 used it"), "{text}");
    let again = write(&["windrow.toml"]).expect(2);
    assert!(again.stderr.contains("windrow.toml is there already"), "{again:?}");
    std::fs::write(receiver.path("windrow.toml"), "mine").expect("a file");
    write(&["windrow.toml"]).expect(2);
    assert_eq!(std::fs::read_to_string(receiver.path("windrow.toml")).expect("text"), "mine");
    write(&["windrow.toml", "--force"]).expect(0);
    assert_eq!(std::fs::read_to_string(receiver.path("windrow.toml")).expect("text"), text);
    // In another folder the archive is still the one that was named.
    std::fs::create_dir(receiver.path("sub")).expect("a folder");
    write(&["sub/windrow.toml"]).expect(0);
    let there = receiver.run(&["-d", "sub/windrow.toml", "status", "--json"]).expect(0).json();
    assert!(Path::new(there["archive"].as_str().expect("a path")).is_absolute());
    write(&["no/such/folder.toml"]).expect(8);
}

#[test]
fn each_run_has_the_definition_that_it_used() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    workspace.define(&api.definition("history = true"));
    workspace.sync();
    let of = |arguments: &[&str]| workspace.run(&[&["definition"], arguments].concat());
    assert!(!of(&["--run", "1"]).expect(0).stdout.contains("history"));
    let latest = of(&[]).expect(0);
    assert!(latest.stdout.contains("history = true"), "{latest:?}");
    assert!(latest.stdout.contains("# It needs no credentials."), "{latest:?}");
    assert_eq!(of(&["--run", "2"]).expect(0).stdout, latest.stdout);
    let none = of(&["--run", "7"]).expect(2);
    assert!(none.stderr.contains("there is no run 7"), "{none:?}");
    Workspace::empty().run(&["--archive", "none.db", "definition"]).expect(6);
}

#[test]
fn an_archive_cannot_have_a_file_of_its_reader_sent() {
    let api = UsageApi::start(nine_days(), 50);
    let definition = with_token(&api.api.address).replace("${env:FLEET_TOKEN}", "${file:token}");
    let giver = Workspace::new(&definition);
    std::fs::write(giver.path("token"), TOKEN).expect("a file");
    giver.sync();
    giver.run(&["eject"]).expect(0);
    let receiver = Workspace::empty();
    std::fs::copy(giver.path("a.db"), receiver.path("fleet.db")).expect("a copy");
    std::fs::write(receiver.path("token"), "of the receiver").expect("a file");
    let before = api.api.log().len();
    let refused = receiver.run(&["--archive", "fleet.db", "sync"]).expect(9);
    assert!(refused.stderr.contains("${file:token}"), "{refused:?}");
    assert!(refused.stderr.contains("windrow definition --out windrow.toml"), "{refused:?}");
    assert_eq!(api.api.log().len(), before);
    let arguments = ["--archive", "fleet.db", "definition", "--out", "windrow.toml"];
    let told = receiver.run(&arguments).expect(0);
    assert!(told.stderr.contains("put it into the file token"), "{told:?}");
    receiver.run(&["sync"]).expect(0);
}

//! An outbox that a hand-off takes along: where its requests are, who sends them, and how their
//! results come back.

use crate::api::{Asked, answer};
use crate::harness::{Workspace, rows};
use crate::outbox::{Counter, Step, add, states};

/// An API with a list to read and orders to take.
pub fn shop() -> Counter {
    Counter::start(|asked: &Asked, _| match asked.target.contains("/items") {
        true => Step::Say(answer("200 OK", &[], r#"{"data":[{"id":1},{"id":2}]}"#)),
        false => Step::Take,
    })
}

pub const STREAM: &str = "[streams.items]\npath = \"/items\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n\
    columns = { id = \"integer\" }\n";

/// An archive with rows and two queued orders, which a hand-off has taken along to `out.db`, and a
/// colleague who works with that file.
fn moved() -> (Counter, Workspace, Workspace) {
    let shop = shop();
    let workspace = Workspace::new(&shop.definition(STREAM));
    workspace.run(&["sync"]).expect(0);
    for key in ["k1", "k2"] {
        add(&workspace, &["--key", key, "--body", "{}"]).expect(0);
    }
    workspace.run(&["handoff", "out.db", "--with-outbox"]).expect(0);
    let colleague = Workspace::new(&shop.definition(STREAM));
    std::fs::copy(workspace.path("out.db"), colleague.path("a.db")).expect("a stick");
    (shop, workspace, colleague)
}

/// The keys that have had their effect, each once.
fn effects(shop: &Counter) -> Vec<String> {
    let effects = shop.effects().into_iter();
    effects
        .map(|(key, times)| format!("{}{}", key.trim_matches('"'), "!".repeat(times - 1)))
        .collect()
}

#[test]
fn a_moved_request_says_where_it_went_and_stops_nobody_here() {
    let (shop, workspace, colleague) = moved();
    let list = workspace.run(&["outbox", "list"]).expect(0).stdout;
    assert_eq!(list.matches(" moved to out.db on ").count(), 2, "{list}");
    assert!(list.contains(": whoever has that file sends it"), "{list}");
    assert!(!list.contains("queued"), "{list}");
    let shown = workspace.run(&["outbox", "show", "k1"]).expect(0).stdout;
    assert!(shown.starts_with("entry 1: moved\n"), "{shown}");
    let json = workspace.run(&["outbox", "show", "k1", "--json"]).expect(0).json();
    assert_eq!((&json["state"], &json["moved"]["file"]), (&"moved".into(), &"out.db".into()));
    assert!(json["moved"]["at"].as_str().is_some_and(|at| at.starts_with("2026-01-")), "{json}");
    let status = workspace.run(&["status"]).expect(0).stdout;
    assert!(status.contains("outbox: 2 moved\n"), "{status}");
    // It is somebody else's to send: nothing is left to do here, and nothing is sent.
    let synced = workspace.run(&["sync"]).expect(0);
    assert!(!(synced.stdout.clone() + &synced.stderr).contains("waiting"), "{synced:?}");
    workspace.run(&["outbox", "send"]).expect(0);
    assert!(shop.effects().is_empty());
    // Over there it waits for a person, and says why.
    let ran = colleague.run(&["outbox", "send"]).expect(10);
    assert!(ran.stderr.contains("it came with this hand-off"), "{ran:?}");
    assert!(shop.effects().is_empty());
}

#[test]
fn a_moved_request_is_sent_from_here_only_after_the_danger_was_named() {
    let (shop, workspace, _colleague) = moved();
    let ran = workspace.run(&["outbox", "resolve", "k1", "--resend"]).expect(2);
    for part in ["moved to out.db on ", "it takes effect twice", "--even-if-moved", "merge"] {
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
    }
    workspace.run(&["outbox", "send"]).expect(0);
    assert!(shop.effects().is_empty());
    workspace.run(&["outbox", "resolve", "k1", "--resend", "--even-if-moved"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    assert_eq!(effects(&shop), ["k1"]);
    assert_eq!(states(&workspace), ["k1 done", "k2 queued"]);
    // That it is over needs no such word.
    workspace.run(&["outbox", "resolve", "k2", "--done"]).expect(0);
    assert_eq!(states(&workspace), ["k1 done", "k2 done"]);
}

#[test]
fn what_became_of_a_moved_request_comes_back_with_a_merge() {
    let (shop, workspace, colleague) = moved();
    for key in ["k1", "k2"] {
        colleague.run(&["outbox", "resolve", key, "--resend"]).expect(0);
    }
    colleague.run(&["outbox", "resolve", "k2", "--cancel"]).expect(2);
    colleague.run(&["outbox", "cancel", "k2"]).expect(0);
    colleague.run(&["outbox", "send"]).expect(0);
    assert_eq!(effects(&shop), ["k1"]);
    // Who sends from a hand-off works in it: it is an archive like any other from then on.
    colleague.run(&["eject"]).expect(0);
    colleague.run(&["verify", "a.db"]).expect(0);
    std::fs::copy(colleague.path("a.db"), workspace.path("back.db")).expect("a stick");
    let merged = workspace.run(&["merge", "back.db", "--json"]).expect(0).json();
    assert_eq!(merged["changed"], true, "{merged}");
    assert_eq!(
        merged["files"][0]["results"],
        serde_json::json!([{ "key": "k1", "state": "done" }, { "key": "k2", "state": "cancelled" }])
    );
    assert_eq!(states(&workspace), ["k1 done", "k2 cancelled"]);
    let answer = "SELECT status || ' ' || CAST(answer AS TEXT) || ' ' || attempts
        FROM _windrow_outbox WHERE key = 'k1'";
    assert_eq!(workspace.rows(answer), rows(&colleague.path("a.db"), answer));
    let attempts = "SELECT attempt, sent_key, started_at, status FROM _windrow_outbox_attempts";
    assert_eq!(workspace.rows(attempts), rows(&colleague.path("a.db"), attempts));
    let again = workspace.run(&["merge", "back.db"]).expect(0).stdout;
    assert!(again.contains("Nothing changed"), "{again}");
    let list = workspace.run(&["outbox", "list"]).expect(0).stdout;
    assert!(!list.contains("moved"), "{list}");
}

#[test]
fn a_merge_tells_how_to_send_what_waits_in_the_other_archive() {
    let (shop, workspace, _colleague) = moved();
    let third = Workspace::new(&shop.definition(STREAM));
    third.run(&["sync"]).expect(0);
    std::fs::copy(workspace.path("out.db"), third.path("out.db")).expect("a stick");
    let merged = third.run(&["merge", "out.db"]).expect(0).stdout;
    assert!(merged.contains("not taken: 2 writes of its outbox wait (k1, k2): "), "{merged}");
    let command = "`windrow --archive out.db outbox resolve KEY --resend`";
    assert!(merged.contains(command), "{merged}");
    assert_eq!(third.rows("SELECT count(*) FROM _windrow_outbox"), ["0"]);
    // The command does it, and the origin learns of it from the file.
    third.run(&["--archive", "out.db", "outbox", "resolve", "k1", "--resend"]).expect(0);
    third.run(&["--archive", "out.db", "outbox", "send"]);
    assert_eq!(effects(&shop), ["k1"]);
    third.run(&["eject", "--archive", "out.db"]).expect(0);
    std::fs::copy(third.path("out.db"), workspace.path("back.db")).expect("a stick");
    workspace.run(&["merge", "back.db"]).expect(0);
    assert_eq!(states(&workspace), ["k1 done", "k2 queued"]);
}

/// An entry of the same key is another request where it asks for something else, and an archive
/// that no hand-off of this one has made knows nothing of it.
#[test]
fn only_the_same_request_from_that_hand_off_is_a_result() {
    let (shop, workspace, _colleague) = moved();
    let stranger = Workspace::new(&shop.definition(STREAM));
    stranger.run(&["sync"]).expect(0);
    add(&stranger, &["--key", "k1", "--body", "{}"]).expect(0);
    stranger.run(&["outbox", "send"]).expect(0);
    stranger.run(&["eject"]).expect(0);
    std::fs::copy(stranger.path("a.db"), workspace.path("other.db")).expect("a stick");
    workspace.run(&["merge", "other.db"]).expect(0);
    assert_eq!(states(&workspace), ["k1 queued", "k2 queued"]);
}

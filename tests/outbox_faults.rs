//! The outbox under faults: for each key at most one effect at every moment, and one in the end.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::api::{Api, Reply, answer};
use crate::harness::{Workspace, ran};
use crate::outbox::{Counter, Step, add, definition, states};

const NO_KEYS: &str = "[sources.shop.idempotency]\nhonoured = false";

#[expect(clippy::disallowed_methods, reason = "a test that waits for processes")]
fn a_moment() {
    std::thread::sleep(Duration::from_millis(5));
}

fn spawn(workspace: &Workspace, arguments: &[&str]) -> Child {
    let mut command = workspace.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("windrow starts")
}

/// An API that holds the answer to request `held` back for ever, after its effect or before it.
fn holding(held: usize, after_effect: bool) -> (Counter, Arc<AtomicUsize>) {
    let come = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&come);
    let shop = Counter::start(move |_, number| {
        seen.fetch_add(1, Ordering::SeqCst);
        let silence = || Reply::Silence(Duration::from_secs(5));
        match (number == held, after_effect) {
            (true, true) => Step::TakeAnd(silence()),
            (true, false) => Step::Say(silence()),
            (false, _) => Step::Take,
        }
    });
    (shop, come)
}

#[test]
fn a_sender_that_is_killed_at_any_request_leaves_one_effect_for_each_key() {
    for held in 0..4 {
        for after_effect in [true, false] {
            let (shop, come) = holding(held, after_effect);
            let workspace = Workspace::new(&shop.definition(""));
            for body in ["1", "2", "3", "4"] {
                add(&workspace, &["--lane", "l", "--body", body]).expect(0);
            }
            let mut child = spawn(&workspace, &["outbox", "send"]);
            while come.load(Ordering::SeqCst) <= held {
                a_moment();
            }
            child.kill().expect("it runs");
            child.wait().expect("it has ended");
            assert!(shop.effects().values().all(|count| *count <= 1));
            workspace.run(&["outbox", "send"]).expect(0);
            assert_eq!(shop.effects().values().copied().collect::<Vec<_>>(), [1, 1, 1, 1]);
            let log = shop.api.log();
            assert_eq!(log.len(), 5, "the held one came twice");
            assert_eq!(log[held].body, log[held + 1].body);
            let key = |at: usize| log[at].header("idempotency-key").map(str::to_owned);
            assert_eq!(key(held), key(held + 1));
        }
    }
}

#[test]
fn a_sender_that_is_killed_at_any_moment_leaves_one_effect_for_each_key() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    for body in 0..30 {
        let lane = format!("l{}", body % 3);
        add(&workspace, &["--lane", &lane, "--body", &body.to_string()]).expect(0);
    }
    for moments in 0..8 {
        let mut child = spawn(&workspace, &["outbox", "send"]);
        (0..moments).for_each(|_| a_moment());
        let _ = child.kill();
        child.wait().expect("it has ended");
    }
    workspace.run(&["outbox", "send"]).expect(0);
    let effects = shop.effects();
    assert_eq!((effects.len(), effects.values().sum::<usize>()), (30, 30));
}

#[test]
fn a_source_that_ignores_keys_is_told_once_and_then_a_person_is_asked() {
    let shop = Counter::start(|_, number| match number {
        0 => Step::TakeAnd(Reply::Close(Vec::new())),
        _ => Step::Take,
    });
    let workspace = Workspace::new(&shop.definition(NO_KEYS));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(10);
    workspace.run(&["outbox", "send"]).expect(10);
    assert_eq!(states(&workspace), ["a unknown"]);
    assert_eq!(shop.api.log().len(), 1, "it is never sent blindly again");
    workspace.run(&["outbox", "cancel", "a"]).expect(2);
    workspace.run(&["outbox", "resolve", "a", "--done"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    // A clear refusal leaves no doubt, and such an entry may go again.
    let shop = Counter::start(|_, number| match number {
        0 => Step::Say(answer("429 Too Many Requests", &[], "")),
        _ => Step::Take,
    });
    let workspace = Workspace::new(&shop.definition(NO_KEYS));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    assert_eq!(shop.effects()["none"], 1);
}

#[test]
fn a_sender_that_dies_on_a_source_that_ignores_keys_leaves_an_unknown_entry() {
    let (shop, come) = holding(0, true);
    let workspace = Workspace::new(&shop.definition(NO_KEYS));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    let mut child = spawn(&workspace, &["outbox", "send"]);
    while come.load(Ordering::SeqCst) == 0 {
        a_moment();
    }
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
    workspace.run(&["outbox", "send"]).expect(10);
    assert_eq!(states(&workspace), ["a unknown"]);
    assert_eq!(shop.api.log().len(), 1);
}

#[test]
fn no_clock_brings_an_entry_in_doubt_out_after_its_keys_lifetime() {
    // 24 hours by the clock; an hour back; and a minute back, which a time server does.
    let cases = [
        ("2026-01-11T11:58:00Z", "done", 2),
        ("2026-01-11T12:00:00Z", "unknown", 1),
        ("2027-01-10T12:00:00Z", "unknown", 1),
        ("2026-01-10T11:00:00Z", "unknown", 1),
        ("2026-01-10T11:59:00Z", "done", 2),
    ];
    for (then, state, requests) in cases {
        let shop = Counter::start(|_, number| match number {
            0 => Step::TakeAnd(Reply::Close(Vec::new())),
            _ => Step::Take,
        });
        let definition = shop.definition("").replace("attempts = 3", "attempts = 1");
        let mut workspace = Workspace::new(&definition);
        add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
        workspace.run(&["outbox", "send"]).expect(3);
        assert_eq!(states(&workspace), ["a queued"]);
        let code = if state == "done" { 0 } else { 10 };
        workspace.at(then).run(&["outbox", "send"]).expect(code);
        assert_eq!(states(&workspace), [format!("a {state}")], "{then}");
        assert_eq!(shop.api.log().len(), requests, "{then}");
    }
}

#[test]
fn a_lookup_decides_what_nobody_knows() {
    for (found, effects) in [("[1]", 0), ("[]", 1)] {
        let lookup = format!(
            "{NO_KEYS}\n[sources.shop.idempotency.lookup]\npath = \"/orders\"\n\
             query = {{ ref = \"{{{{ key }}}}\" }}\nfound = \"$[*]\""
        );
        let shop = Counter::start(move |asked, number| match (asked.method.as_str(), number) {
            ("GET", _) => Step::Say(crate::api::json(found)),
            (_, 0) => Step::Say(Reply::Close(Vec::new())),
            _ => Step::Take,
        });
        let mut workspace = Workspace::new(&shop.definition(&lookup));
        add(&workspace, &["--key", "a b".replace(' ', "-").as_str(), "--body", "1"]).expect(0);
        workspace.run(&["outbox", "send"]).expect(3);
        assert_eq!(states(&workspace), ["a-b unknown"]);
        workspace.at("2026-01-10T12:01:00Z").run(&["outbox", "send"]).expect(0);
        assert_eq!(states(&workspace), ["a-b done"]);
        assert_eq!(shop.effects().values().sum::<usize>(), effects);
        let asked = shop.api.log().into_iter().find(|asked| asked.method == "GET");
        assert_eq!(asked.expect("a lookup").parameter("ref").as_deref(), Some("a-b"));
    }
}

#[test]
fn storms_of_409_end_in_one_effect() {
    let shop = Counter::start(|_, number| match number {
        0 => Step::TakeAnd(answer("409 Conflict", &[], "")),
        1 => Step::TakeAnd(answer("409 Conflict", &[("retry-after", "0")], "")),
        _ => Step::Take,
    });
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--body", "1"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    assert_eq!(shop.effects().values().copied().collect::<Vec<_>>(), [1]);
    // Where 409 does not mean that, it is a refusal.
    let shop = Counter::start(|_, _| Step::Say(answer("409 Conflict", &[], "")));
    let more = "[sources.shop.idempotency]\nin_progress = []";
    let workspace = Workspace::new(&shop.definition(more));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(10);
    assert_eq!((states(&workspace), shop.api.log().len()), (vec!["a rejected".to_owned()], 1));
}

#[test]
fn a_wait_that_a_source_asks_for_is_kept_and_not_cut_short() {
    let shop = Counter::start(|_, number| match number {
        0 => Step::Say(answer("429 Too Many Requests", &[("retry-after", "3600")], "")),
        _ => Step::Take,
    });
    let mut workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    add(&workspace, &["--key", "b", "--body", "2", "--after", "a"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(3);
    workspace.at("2026-01-10T12:59:00Z").run(&["outbox", "send"]).expect(3);
    assert_eq!(shop.api.log().len(), 1);
    workspace.at("2026-01-10T13:00:00Z").run(&["outbox", "send"]).expect(0);
    assert_eq!(shop.api.log().len(), 3);
}

#[test]
fn refused_credentials_and_missing_networks_leave_the_entry_as_it_was() {
    let shop = Counter::start(|_, _| Step::Say(answer("401 Unauthorized", &[], "{}")));
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(4);
    assert_eq!(states(&workspace), ["a queued"]);
    let workspace = Workspace::new(&definition("http://127.0.0.1:1", NO_KEYS));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    let said = workspace.run(&["outbox", "send"]).expect(3).stderr;
    assert!(said.contains("refused"), "{said}");
    let facts = "SELECT attempts, in_doubt, first_sent_at, state FROM _windrow_outbox";
    assert_eq!(workspace.rows(facts), ["0|0|NULL|queued"]);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_outbox_attempts"), "0");
}

#[test]
fn a_page_in_place_of_an_answer_and_a_redirect_are_no_success() {
    let html = [("content-type", "text/html")];
    let shop = Counter::start(move |_, number| match number {
        0 => Step::Say(answer("200 OK", &html, "<html>log in")),
        _ => Step::Take,
    });
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    assert_eq!(shop.api.log().len(), 2, "the login page was no answer of the API");
    let other = Api::start(|_, _| crate::api::json("{}"));
    let to = format!("{}/v1/orders", other.address);
    let shop = Counter::start(move |_, _| {
        Step::Say(answer("307 Temporary Redirect", &[("location", to.as_str())], ""))
    });
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(10);
    assert_eq!((states(&workspace), other.log().len()), (vec!["a unknown".to_owned()], 0));
}

#[test]
fn many_processes_add_and_send_at_once_beside_a_sync() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let shop = Counter::start(move |asked, _| {
        if asked.method != "GET" {
            return Step::Take;
        }
        while !gate.load(Ordering::SeqCst) {
            a_moment();
        }
        Step::Say(crate::api::json(r#"[{"id":1}]"#))
    });
    let stream = "[streams.orders]\npath = \"/orders\"\nrecords = \"$[*]\"\nkey = \"id\"";
    let slow = shop.definition(stream).replace("1 second", "60 seconds");
    let workspace = Workspace::new(&slow);
    let sync = spawn(&workspace, &["sync"]);
    while shop.api.log().is_empty() {
        a_moment();
    }
    let adds: Vec<Child> = (0..12)
        .map(|body| {
            let body = body.to_string();
            spawn(&workspace, &["outbox", "add", "POST", "/orders", "--body", &body])
        })
        .collect();
    for child in adds {
        ran(&child.wait_with_output().expect("it ends")).expect(0);
    }
    let sends: Vec<Child> = (0..4).map(|_| spawn(&workspace, &["outbox", "send"])).collect();
    for child in sends {
        let code = ran(&child.wait_with_output().expect("it ends")).code;
        assert!(matches!(code, 0 | 3 | 7), "{code}");
    }
    workspace.run(&["outbox", "send"]).expect(0);
    open.store(true, Ordering::SeqCst);
    ran(&sync.wait_with_output().expect("it ends")).expect(0);
    let effects = shop.effects();
    assert_eq!((effects.len(), effects.values().sum::<usize>()), (12, 12));
    assert_eq!(shop.api.log().iter().filter(|asked| asked.method == "POST").count(), 12);
}

#[test]
fn a_copy_of_an_archive_never_sends_what_the_archive_queued() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    let copy = |from: &str, to: &str| {
        std::fs::copy(workspace.path(from), workspace.path(to)).expect("a copy");
    };
    copy("a.db", "copy.db");
    copy("a.db", "before.db");
    // A copy beside it, before and after the archive has sent.
    let of_copy = |arguments: &[&str]| workspace.run(&[arguments, &["-a", "copy.db"]].concat());
    of_copy(&["outbox", "send"]).expect(10);
    assert_eq!(shop.api.log().len(), 0);
    // Renamed, it is still the archive.
    std::fs::rename(workspace.path("a.db"), workspace.path("b.db")).expect("renamed");
    workspace.run(&["outbox", "send", "-a", "b.db"]).expect(0);
    std::fs::rename(workspace.path("b.db"), workspace.path("a.db")).expect("renamed back");
    workspace.run(&["outbox", "send"]).expect(0);
    of_copy(&["outbox", "send"]).expect(10);
    assert_eq!(shop.api.log().len(), 1);
    // A copy from before the attempt in the archive's own place.
    copy("before.db", "a.db");
    let said = workspace.run(&["outbox", "send"]).expect(10).stderr;
    assert!(said.contains("copy"), "{said}");
    assert_eq!(shop.api.log().len(), 1);
    // What a copy queues itself is its own.
    of_copy(&["outbox", "add", "POST", "/orders", "--key", "c", "--body", "2"]).expect(0);
    of_copy(&["outbox", "send"]).expect(10);
    assert_eq!(shop.effects().len(), 2);
    // A person may say that it is to be sent from here.
    workspace.run(&["outbox", "resolve", "a", "--resend"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    assert_eq!(shop.effects().values().copied().collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn another_home_or_another_machine_is_not_the_archives_home() {
    let shop = Counter::start(|_, _| Step::Take);
    let mut workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    let other = workspace.path("other").display().to_string();
    workspace.variable("WINDROW_STATE_DIR", &other).run(&["outbox", "send"]).expect(10);
    workspace.variable("WINDROW_STATE_DIR", "");
    let said = add(&workspace, &["--key", "b", "--body", "1"]).expect(8).stderr;
    assert!(said.contains("WINDROW_STATE_DIR"), "{said}");
    assert_eq!(states(&workspace), ["a queued"]);
    assert_eq!(shop.api.log().len(), 0);
}

#[test]
fn an_entry_whose_definition_has_gone_waits_for_a_person() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    workspace.define(&shop.definition("").replace("sources.shop", "sources.other"));
    let said = workspace.run(&["outbox", "send"]).expect(10).stderr;
    assert!(said.contains("not in the definition"), "{said}");
    workspace.define(&shop.definition("").replace("/v1", "/v2"));
    let said = workspace.run(&["outbox", "send"]).expect(10).stderr;
    assert!(said.contains("another address"), "{said}");
    assert_eq!(shop.api.log().len(), 0);
    workspace.run(&["outbox", "resolve", "a", "--resend"]).expect(0);
    workspace.run(&["outbox", "send"]).expect(0);
    assert_eq!(shop.api.log()[0].target, "/v2/orders");
}

#[test]
fn a_rate_keeps_entries_back_before_they_are_claimed() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition("rate = \"1/hour\""));
    for body in ["1", "2", "3"] {
        add(&workspace, &["--key", body, "--body", body]).expect(0);
    }
    workspace.run(&["outbox", "send"]).expect(3);
    assert_eq!(states(&workspace), ["1 done", "2 queued", "3 queued"]);
    assert_eq!(shop.api.log().len(), 1);
}

#[test]
fn a_sender_that_is_asked_to_end_waits_for_the_answer_that_is_on_its_way() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let shop = Counter::start(move |_, _| {
        while !gate.load(Ordering::SeqCst) {
            a_moment();
        }
        Step::Take
    });
    let workspace = Workspace::new(&shop.definition(NO_KEYS).replace("1 second", "60 seconds"));
    add(&workspace, &["--key", "a", "--lane", "l", "--body", "1"]).expect(0);
    add(&workspace, &["--key", "b", "--lane", "l", "--body", "2"]).expect(0);
    let child = spawn(&workspace, &["outbox", "send"]);
    while shop.api.log().is_empty() {
        a_moment();
    }
    let ended =
        std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(ended.is_ok_and(|status| status.success()));
    a_moment();
    open.store(true, Ordering::SeqCst);
    ran(&child.wait_with_output().expect("it ends")).expect(143);
    assert_eq!(states(&workspace), ["a done", "b queued"]);
}

#[test]
fn a_watch_sends_what_was_queued_while_it_rested() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "a", "--body", "1"]).expect(0);
    let mut watch = spawn(&workspace, &["watch", "--every", "1 second"]);
    while shop.effects().is_empty() {
        a_moment();
    }
    add(&workspace, &["--key", "b", "--body", "2"]).expect(0);
    while shop.effects().len() < 2 {
        a_moment();
    }
    watch.kill().expect("it runs");
    watch.wait().expect("it has ended");
    workspace.run(&["outbox", "send"]).expect(0);
    assert_eq!(shop.effects().values().copied().collect::<Vec<_>>(), [1, 1]);
}

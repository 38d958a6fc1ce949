//! Waits that somebody else imposes: each has one bound, is quoted to the user, and can be lifted.

use crate::api::{Api, FAST, answer, items_definition, json};
use crate::harness::{Workspace, execute};
use crate::outbox::{Counter, Step, add, states};
use crate::watch::Watch;

const TRUTH: &str = r#"{"data":[{"id":1}]}"#;
/// What is said of a wait that was asked for at the harness's time and is longer than a day.
const BOUND: &str = "windrow waits at most 1 day and asks again after 2026-01-11 12:00:00 UTC";
const TEN_YEARS: &str = "315360000";

type Headers = &'static [(&'static str, &'static str)];

/// Each asks for ten years or more, and is quoted so.
const FAR: &[(Headers, &str)] = &[
    (&[("Retry-After", TEN_YEARS)], "2036-01-08 12:00:00 UTC"),
    (&[("Retry-After", "315360000.0")], "2036-01-08 12:00:00 UTC"),
    (&[("Retry-After", "99999999999999999999")], "9999-12-31 23:59:59 UTC"),
    (&[("Retry-After", "9223372036854775807")], "9999-12-31 23:59:59 UTC"),
    (&[("Retry-After", "Tue, 08 Jan 2036 12:00:00 GMT")], "2036-01-08 12:00:00 UTC"),
    (
        &[
            ("Retry-After", "Sat, 10 Jan 2026 12:00:00 GMT"),
            ("Date", "Wed, 13 Jan 2016 12:00:00 GMT"),
        ],
        "2036-01-08 12:00:00 UTC",
    ),
    (&[("RateLimit", "\"default\";r=0;t=315360000")], "2036-01-08 12:00:00 UTC"),
    (&[("RateLimit", "\"a\";r=0;t=99999999999999999999")], "9999-12-31 23:59:59 UTC"),
    (
        &[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "2083406400")],
        "2036-01-08 12:00:00 UTC",
    ),
    (
        &[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "2083406400000")],
        "2036-01-08 12:00:00 UTC",
    ),
    (&[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "31536000")], "2027-01-10 12:00:00 UTC"),
    (&[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "1e300")], "9999-12-31 23:59:59 UTC"),
    (&[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "inf")], "9999-12-31 23:59:59 UTC"),
];

/// A source that asks for a wait once.
fn once(headers: Headers) -> (Api, Workspace) {
    let api = Api::start(move |_, number| match number {
        0 => answer("429 Too Many Requests", headers, ""),
        _ => json(TRUTH),
    });
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    (api, workspace)
}

#[test]
fn a_wait_of_ten_years_in_any_spelling_is_quoted_and_over_after_a_day() {
    for (headers, asked) in FAR {
        let (api, mut workspace) = once(headers);
        let says = format!("the source s asked for a wait until {asked}; {BOUND}");
        for _ in 0..2 {
            let ran = workspace.run(&["sync"]).expect(3);
            assert!(ran.stderr.contains(&says), "{headers:?}: {ran:?}");
            assert!(ran.stderr.contains("`windrow sync --now s`"), "{ran:?}");
        }
        // Less than `max_wait` before its end it would be sat out.
        workspace.at("2026-01-11T11:58:00Z").run(&["sync"]).expect(3);
        assert_eq!(api.log().len(), 1, "nobody asks before the wait is over");
        workspace.at("2026-01-11T12:00:01Z").sync();
        assert_eq!(workspace.rows("SELECT id FROM items"), ["1"], "{headers:?}");
    }
}

#[test]
fn a_quota_that_is_spent_for_years_is_over_after_a_day() {
    let spent: [Headers; 2] = [
        &[("RateLimit", "\"default\";r=0;t=315360000")],
        &[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "2083406400")],
    ];
    for headers in spent {
        let api = Api::start(move |_, _| answer("200 OK", headers, TRUTH));
        let mut workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
        workspace.sync();
        let ran = workspace.run(&["sync"]).expect(3);
        assert!(ran.stderr.contains(BOUND) && ran.stderr.contains("2036-01-08"), "{ran:?}");
        workspace.run(&["sync", "--now", "s"]).expect(0);
        workspace.at("2026-01-12T12:00:01Z").sync();
        assert_eq!(api.log().len(), 3);
    }
}

#[test]
fn a_wait_is_lifted_by_name_and_the_source_may_impose_another() {
    let api = Api::start(move |_, number| match number {
        0 => answer("429 Too Many Requests", &[("Retry-After", TEN_YEARS)], ""),
        1 => answer("429 Too Many Requests", &[("Retry-After", "3600")], ""),
        _ => json(TRUTH),
    });
    let more = format!("{FAST}\n[sources.other]\nbase_url = \"{}\"", api.address);
    let definition = items_definition(&api.address, &more, "source = \"s\"");
    let workspace = Workspace::new(&definition);
    workspace.run(&["sync"]).expect(3);
    let status = workspace.run(&["status"]).expect(0).stdout;
    assert!(status.contains(BOUND) && status.contains("`windrow sync --now s`"), "{status}");
    let told = workspace.run(&["status", "--json"]).expect(0).json()["waits"].clone();
    assert_eq!(told[0]["not_before"], "2026-01-11T12:00:00+00:00", "{told}");
    let doctor = workspace.run(&["doctor", "--offline"]).stdout;
    assert!(doctor.contains(BOUND) && doctor.contains("`windrow sync --now s`"), "{doctor}");
    // Another source's name, one that is none, and commands that ask nobody lift nothing.
    let other = workspace.run(&["sync", "--now", "other"]).expect(3);
    assert!(other.stderr.contains("source other: it has not asked for a wait"), "{other:?}");
    let unknown = workspace.run(&["sync", "--now", "othr"]).expect(2);
    assert!(unknown.stderr.contains("no source `othr`"), "{unknown:?}");
    assert!(unknown.stderr.contains("`other`"), "the nearest name: {unknown:?}");
    workspace.run(&["sync", "--now", "s", "--offline"]).expect(2);
    workspace.run(&["sync", "--now", "s", "--dry-run"]).expect(2);
    workspace.run(&["sync"]).expect(3);
    assert_eq!(api.log().len(), 1);
    // The next wait is shorter than what is left of the one before, and counts.
    let again = workspace.run(&["sync", "--now", "other", "--now", "s"]).expect(3);
    assert!(again.stderr.contains("source s: its wait is lifted"), "{again:?}");
    assert!(again.stderr.contains("not to be asked before 2026-01-10 13:00:00 UTC"), "{again:?}");
    assert_eq!(api.log().len(), 2);
    workspace.run(&["sync", "--now", "s"]).expect(0);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_waits"), "0");
    assert!(!workspace.run(&["status"]).expect(0).stdout.contains("--now"));
}

#[test]
fn a_wait_that_an_archive_notes_holds_no_longer_than_the_bound() {
    // What stands in the archive, and whether it holds at 2026-01-10 12:00.
    let noted = [
        ("'2036-01-01T00:00:00+00:00', 'r', '2026-01-10T11:00:00+00:00'", true),
        ("'2036-01-01T00:00:00+00:00', 'r', '2026-01-09T11:00:00+00:00'", false),
        ("'2036-01-01T00:00:00+00:00', 'r', '2016-01-09T11:00:00+00:00'", false),
        ("'2036-01-01T00:00:00+00:00', 'r', 'never'", false),
        ("'2026-01-10T13:00:00+00:00', 'r', 'never'", true),
        ("'2036-01-01T00:00:00+00:00', 'r', '2035-01-01T00:00:00+00:00'", true),
        ("'for ever', 'r', '2026-01-10T11:00:00+00:00'", false),
        ("'9999-12-31T23:59:59+00:00', 'r', '9999-01-01T00:00:00+00:00'", true),
    ];
    for (values, holds) in noted {
        let api = Api::start(|_, _| json(TRUTH));
        let mut workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
        workspace.sync();
        let sql = format!("INSERT INTO _windrow_waits VALUES ('s', {values})");
        execute(&workspace.path("a.db"), &sql);
        workspace.run(&["sync"]).expect(if holds { 3 } else { 0 });
        workspace.at("2026-01-11T12:00:01Z");
        assert_eq!(workspace.run(&["sync"]).code, 0, "over after a day: {values}");
    }
}

#[test]
fn the_outbox_waits_a_day_at_most_and_is_lifted_the_same_way() {
    let start = || {
        let shop = Counter::start(|_, number| match number {
            0 => Step::Say(answer("429 Slow Down", &[("Retry-After", TEN_YEARS)], "")),
            _ => Step::Take,
        });
        let workspace = Workspace::new(&shop.definition(""));
        add(&workspace, &["--key", "a", "--lane", "l"]).expect(0);
        add(&workspace, &["--key", "b", "--lane", "l"]).expect(0);
        let sent = workspace.run(&["outbox", "send"]).expect(3);
        assert!(sent.stderr.contains(BOUND) && sent.stderr.contains("2036-01-08"), "{sent:?}");
        assert!(sent.stderr.contains("`windrow outbox send --now shop`"), "{sent:?}");
        let planned = workspace.run(&["outbox", "send", "--dry-run"]).expect(0);
        assert!(planned.stderr.contains(BOUND), "{planned:?}");
        (shop, workspace)
    };
    let (shop, mut workspace) = start();
    workspace.at("2026-01-11T11:59:59Z").run(&["outbox", "send"]).expect(3);
    assert_eq!(shop.api.log().len(), 1);
    workspace.at("2026-01-11T12:00:01Z").run(&["outbox", "send"]).expect(0);
    assert_eq!(states(&workspace), ["a done", "b done"]);
    for lifting in [["outbox", "send", "--now", "shop"].as_slice(), &["sync", "--now", "shop"]] {
        let (shop, workspace) = start();
        let unknown = workspace.run(&["outbox", "send", "--now", "shp"]).expect(2);
        assert!(unknown.stderr.contains("`shop`"), "{unknown:?}");
        let lifted = workspace.run(lifting).expect(0);
        assert!(lifted.stderr.contains("source shop: its wait is lifted"), "{lifted:?}");
        assert_eq!(states(&workspace), ["a done", "b done"]);
        assert_eq!(shop.api.log().len(), 3);
    }
}

#[test]
fn an_entry_rests_a_day_at_most_whatever_the_archive_says() {
    let shop = Counter::start(|_, _| Step::Take);
    let workspace = Workspace::new(&shop.definition(""));
    add(&workspace, &["--key", "a"]).expect(0);
    let rest = |seen: &str| {
        let sql = format!(
            "UPDATE _windrow_outbox SET next_at = '2036-01-01T00:00:00+00:00', last_seen_at = {seen}"
        );
        execute(&workspace.path("a.db"), &sql);
    };
    rest("'2026-01-10T11:00:00+00:00'");
    workspace.run(&["outbox", "send"]).expect(3);
    assert_eq!(shop.api.log().len(), 0);
    rest("'2026-01-09T11:00:00+00:00'");
    workspace.run(&["outbox", "send"]).expect(0);
    assert_eq!(states(&workspace), ["a done"]);
}

#[test]
fn a_lookup_is_asked_again_after_a_day_at_most() {
    let shop = Counter::start(|asked, number| match (asked.method.as_str(), number) {
        ("GET", 1) => Step::Say(answer("429 Slow Down", &[("Retry-After", TEN_YEARS)], "")),
        ("GET", _) => Step::Say(json(r#"{"data":[{"id":1}]}"#)),
        _ => Step::TakeAnd(crate::api::Reply::Reset(Vec::new())),
    });
    let more = "idempotency = { honoured = false, lookup = { path = \"/find\", wait = \"1 ms\", \
                query = { k = \"{{ key }}\" }, found = \"$.data[*]\" } }";
    let mut workspace = Workspace::new(&shop.definition(more));
    add(&workspace, &["--key", "a"]).expect(0);
    workspace.run(&["outbox", "send"]);
    workspace.at("2026-01-10T12:10:00Z").run(&["outbox", "send"]);
    let asked = shop.api.log().len();
    assert_eq!(asked, 2, "the write, and one lookup");
    workspace.at("2026-01-11T12:00:00Z").run(&["outbox", "send"]);
    assert_eq!(shop.api.log().len(), asked);
    workspace.at("2026-01-11T12:10:01Z").run(&["outbox", "send"]).expect(0);
    assert_eq!(states(&workspace), ["a done"]);
}

#[test]
fn a_watch_rests_until_the_bound_and_looks_again_each_round() {
    for (every, next) in [("9 days", "2026-01-11T12:00:00"), ("1 hour", "2026-01-10T13:00:00")] {
        let (_api, workspace) = once(&[("Retry-After", TEN_YEARS)]);
        let told = Watch::start(&workspace, every).until("waiting");
        let at = told["next_at"].as_str().unwrap_or_default();
        assert!(at.starts_with(next), "{every}: {told}");
        assert!(told["message"].as_str().is_some_and(|text| text.contains(BOUND)), "{told}");
    }
}

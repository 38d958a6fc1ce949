//! Readings by a clock that ran ahead: they beat no others, and are told.

use std::path::Path;

use serde_json::Value as Json;

use crate::api::{ItemsApi, items_definition};
use crate::harness::{Workspace, execute};

/// A snapshot of one item, of a source that does not give its time.
struct Items(ItemsApi);

impl Items {
    fn start() -> Items {
        Items(ItemsApi::start(""))
    }

    fn laptop(&self) -> Workspace {
        let columns = "[streams.items.columns]\nid = \"integer\"\na = \"integer\"\n";
        Workspace::new(&items_definition(&self.0.api.address, "", columns))
    }

    fn sync(&self, laptop: &mut Workspace, now: &str, value: u8) {
        self.0.change(&format!("{{\"id\":1,\"a\":{value}}}"));
        laptop.at(now).run(&["sync"]).expect(0);
    }
}

fn name(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn merge(into: &Workspace, from: &Path) -> Json {
    into.run(&["merge", "--json", name(from)]).expect(0).json()
}

fn warnings(report: &Json) -> String {
    report["files"][0]["warnings"].to_string()
}

const AHEAD: &str = "by a clock that ran ahead 1 run of this file noted times";

#[test]
fn a_reading_from_the_future_beats_no_other_and_a_second_merge_changes_nothing() {
    let items = Items::start();
    let (mut a, mut b) = (items.laptop(), items.laptop());
    // It is the 10th; the clock of b is two days ahead.
    items.sync(&mut b, "2026-01-12T11:00:00Z", 1);
    items.sync(&mut a, "2026-01-10T12:00:00Z", 2);
    let report = merge(&a, &b.path("a.db"));
    assert!(warnings(&report).contains(AHEAD), "{report}");
    assert_eq!(a.value("SELECT a FROM items"), "2", "what was read later stands");
    items.sync(&mut a, "2026-01-10T13:00:00Z", 3);
    for now in ["2026-01-10T14:00:00Z", "2026-01-11T14:00:00Z", "2026-01-20T14:00:00Z"] {
        a.at(now);
        let again = merge(&a, &b.path("a.db"));
        assert!(warnings(&again).contains(AHEAD), "never silently: {again}");
        assert_eq!(again["changed"], false, "{now}: {again}");
        assert_eq!(a.value("SELECT a FROM items"), "3");
    }
    let kept = a.value("SELECT count(*) FROM _windrow_superseded");
    assert_eq!(kept, "1", "what lost is kept");
    // The other way round the same comes to be, whatever the time is there.
    b.at("2026-01-20T15:00:00Z");
    merge(&b, &a.path("a.db"));
    assert_eq!(b.value("SELECT a FROM items"), "3");
    assert_eq!(a.digests(), b.digests());
    // A third laptop that never knew the clock was wrong is told by the second.
    let mut c = items.laptop();
    c.at("2026-01-20T16:00:00Z");
    merge(&c, &a.path("a.db"));
    assert_eq!(merge(&c, &b.path("a.db"))["changed"], false);
}

#[test]
fn an_archive_of_ones_own_that_a_clock_ran_ahead_of_gives_way_to_true_readings() {
    let items = Items::start();
    let (mut a, mut b) = (items.laptop(), items.laptop());
    items.sync(&mut a, "2026-01-12T11:00:00Z", 1);
    items.sync(&mut b, "2026-01-10T12:00:00Z", 2);
    a.at("2026-01-10T12:30:00Z");
    let report = merge(&a, &b.path("a.db"));
    assert!(warnings(&report).contains("1 run of this archive noted times"), "{report}");
    assert_eq!(a.value("SELECT a FROM items"), "2");
    assert_eq!(merge(&a, &b.path("a.db"))["changed"], false);
    // What it read then is read again: it may have been read too early.
    let asked = items.0.api.log().len();
    items.sync(&mut a, "2026-01-20T12:30:00Z", 2);
    assert!(items.0.api.log().len() > asked);
}

#[test]
fn a_source_that_gives_its_time_is_believed_whatever_the_laptops_clocks_say() {
    let items = Items::start();
    let (mut a, mut b) = (items.laptop(), items.laptop());
    items.sync(&mut b, "2026-01-10T11:00:00Z", 1);
    items.sync(&mut a, "2026-01-08T12:00:00Z", 2);
    // The source of a has said that its clock is two days behind.
    let clock = "INSERT INTO _windrow_clocks VALUES ('s', 169200000, '2026-01-08T12:00:00+00:00')";
    execute(&a.path("a.db"), clock);
    let report = merge(&a, &b.path("a.db"));
    assert_eq!(warnings(&report), "[]", "a is behind, and the source says so: {report}");
    assert_eq!(a.value("SELECT count(*) FROM _windrow_runs WHERE read_at LIKE '0001%'"), "0");
    // A difference of minutes is no future.
    let items = Items::start();
    let (mut a, mut b) = (items.laptop(), items.laptop());
    items.sync(&mut b, "2026-01-10T12:04:00Z", 1);
    items.sync(&mut a, "2026-01-10T12:00:00Z", 2);
    let report = merge(&a, &b.path("a.db"));
    assert_eq!((warnings(&report), a.value("SELECT a FROM items")), ("[]".into(), "1".into()));
}

#[test]
fn verify_and_check_tell_of_readings_whose_time_has_not_come() {
    let items = Items::start();
    let mut b = items.laptop();
    items.sync(&mut b, "2026-01-12T11:00:00Z", 1);
    let says = "1 run noted times that have not come, the latest 2026-01-12";
    // By this machine's clock.
    b.at("2026-01-10T12:00:00Z");
    let verified = b.run(&["verify", "a.db"]).expect(0);
    assert!(verified.stdout.contains(says), "{verified:?}");
    let told = b.run(&["verify", "a.db", "--json"]).expect(0).json();
    assert_eq!(told["future"]["runs"], 1, "{told}");
    let checked = b.run(&["check", "--json"]).expect(1).json();
    let found = checked["findings"].as_array().expect("findings");
    let found = found.iter().find(|finding| finding["check"] == "future").expect("a finding");
    assert!(found["found"].as_str().expect("text").contains(says), "{found}");
    let shown = b.rows(found["sql"].as_str().expect("SQL"));
    assert_eq!(shown.len(), 1, "{found}");
    // By the time at which the hand-off was made, however late it is looked at.
    b.run(&["handoff", "given.db"]).expect(0);
    b.at("2026-01-30T12:00:00Z");
    let verified = b.run(&["verify", "given.db"]).expect(0);
    assert!(verified.stdout.contains(says), "{verified:?}");
    let plain = b.run(&["verify", "a.db"]).expect(0);
    assert!(!plain.stdout.contains(says), "the archive itself has no such time: {plain:?}");
    let mut a = items.laptop();
    items.sync(&mut a, "2026-01-11T12:00:00Z", 2);
    a.at("2026-01-30T12:00:00Z");
    let report = merge(&a, &b.path("given.db"));
    assert!(warnings(&report).contains(AHEAD), "{report}");
    assert_eq!(a.value("SELECT a FROM items"), "2");
}

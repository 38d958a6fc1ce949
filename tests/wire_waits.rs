//! A source says when it wants to be asked again, in whatever spelling: it is obeyed to the
//! second, by the source's own clock, and its nonsense is not.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::api::{Api, FAST, Reply, answer, items_definition, json};
use crate::harness::Workspace;

const TRUTH: &str = r#"{"data":[{"id":1},{"id":2}],"next":null}"#;
const SENT: &str = "Sat, 10 Jan 2026 12:00:00 GMT";

type Instants = Arc<Mutex<Vec<Instant>>>;

/// A server that remembers when it was asked.
fn timed(handler: impl Fn(usize) -> Reply + Send + Sync + 'static) -> (Api, Instants) {
    let instants: Instants = Arc::default();
    let seen = Arc::clone(&instants);
    let api = Api::start(move |_, number| {
        #[expect(clippy::disallowed_methods, reason = "the server's own log")]
        let now = Instant::now();
        seen.lock().expect("no handler panics").push(now);
        handler(number)
    });
    (api, instants)
}

fn gaps(instants: &Instants) -> Vec<Duration> {
    let instants = instants.lock().expect("no handler panics");
    instants.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// A source that wants to wait once.
fn later_once(value: &'static str, date: bool) -> (Api, Instants) {
    timed(move |number| match number {
        0 if date => {
            let headers = [("Retry-After", value), ("Date", SENT)];
            answer("429 Too Many Requests", &headers, "")
        }
        0 => answer("503 Service Unavailable", &[("Retry-After", value)], ""),
        _ => json(TRUTH),
    })
}

#[test]
fn a_wait_is_obeyed_in_each_of_its_spellings_whatever_the_laptops_clock_says() {
    let cases = [
        ("1", false, "2026-01-10T12:00:00Z"),
        ("Sat, 10 Jan 2026 12:00:01 GMT", true, "2026-01-10T12:00:00Z"),
        ("Sat, 10 Jan 2026 12:00:01 GMT", true, "2026-01-11T12:00:00Z"),
        ("Saturday, 10-Jan-26 12:00:01 GMT", true, "2026-01-09T12:00:00Z"),
        ("Sat Jan 10 12:00:01 2026", true, "2026-01-11T12:00:00Z"),
        ("1.0", false, "2026-01-10T12:00:00Z"),
        ("1.5", false, "2026-01-10T12:00:00Z"),
    ];
    std::thread::scope(|scope| {
        for (value, date, now) in cases {
            scope.spawn(move || {
                let (api, instants) = later_once(value, date);
                let mut workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
                workspace.at(now).sync();
                let gap = gaps(&instants)[0];
                // The clock of the test stands still, so that the wait may be sat out twice.
                let due = Duration::from_millis(990)..Duration::from_millis(4000);
                assert!(due.contains(&gap), "{value:?} at {now}: {gap:?}");
                assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["1", "2"]);
            });
        }
    });
}

#[test]
fn a_wait_that_is_over_or_no_wait_at_all_is_not_waited_for() {
    let values = ["Sat, 10 Jan 2026 11:00:00 GMT", "soon", "-5", "1e5", "0"];
    for value in values {
        let (api, instants) = later_once(value, true);
        let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
        assert_eq!(workspace.sync().json()["retries"], 1, "{value}");
        assert!(gaps(&instants)[0] < Duration::from_millis(900), "{value}");
        assert_eq!(workspace.value("SELECT count(*) FROM _windrow_waits"), "0", "{value}");
    }
}

#[test]
fn a_wait_beyond_reason_ends_the_run_with_its_end_and_is_kept() {
    let cases = [
        ("1000000000", "asks again after 2026-01-11 12:00:00 UTC", "2026-01-11T12:00:01Z"),
        ("99999999999999999999", "asks again after 2026-01-11 12:00:00", "2026-01-11T12:00:01Z"),
        ("Sat, 10 Jan 2026 13:00:00 GMT", "before 2026-01-10 13:00:00", "2026-01-10T13:00:01Z"),
    ];
    for (value, says, after) in cases {
        let (api, _) = later_once(value, true);
        let mut workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
        for _ in 0..2 {
            let ran = workspace.run(&["sync"]).expect(3);
            assert!(ran.stderr.contains(says), "{ran:?}");
        }
        assert_eq!(api.log().len(), 1, "nobody asks before the wait is over");
        workspace.at(after).sync();
        assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["1", "2"], "{value}");
    }
}

#[test]
fn a_quota_that_is_spent_holds_the_next_page_back() {
    let spent: [&[(&str, &str)]; 3] = [
        &[("RateLimit", "\"default\";r=0;t=1")],
        &[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1")],
        &[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1768046401")],
    ];
    let paging = "paginate = { kind = \"cursor\", next = \"$.next\" }";
    std::thread::scope(|scope| {
        for headers in spent {
            scope.spawn(move || {
                let (api, instants) = timed(move |number| match number {
                    0 => answer("200 OK", headers, r#"{"data":[{"id":1}],"next":"2"}"#),
                    _ => json(TRUTH),
                });
                let workspace = Workspace::new(&items_definition(&api.address, FAST, paging));
                workspace.sync();
                assert!(gaps(&instants)[0] >= Duration::from_millis(990), "{headers:?}");
                assert_eq!(workspace.value("SELECT count(*) FROM items"), "2");
            });
        }
    });
}

#[test]
fn attempts_keep_to_the_rate_and_to_their_number() {
    let (api, instants) = timed(|_| answer("503 Service Unavailable", &[], ""));
    let source = "rate = \"20/second\"\nretry = { base = \"1 ms\", attempts = 6 }";
    let workspace = Workspace::new(&items_definition(&api.address, source, ""));
    workspace.run(&["sync"]).expect(3);
    assert_eq!(api.log().len(), 6);
    let whole: Duration = gaps(&instants).iter().sum();
    assert!(whole >= Duration::from_millis(200), "five gaps of 50 ms: {whole:?}");
}

//! Parts of archives in any order, made in the middle of runs and of runs that were killed: what is
//! called complete has all of its rows.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::api::{Api, json};
use crate::harness::{Ran, Workspace};

/// The days that the ledger calls complete and of which there is no row.
const EMPTY_DAYS: &str = "WITH RECURSIVE days(day) AS (SELECT '2026-01-01'
        UNION ALL SELECT date(day, '+1 day') FROM days WHERE day < '2026-01-09')
    SELECT day FROM days JOIN _windrow_ledger ON state IN ('complete', 'settled')
        AND start_at <= day || 'T00:00:00+00:00'
        AND coalesce(read_to, end_at) >= day || 'T23:59:59+00:00'
    WHERE day NOT IN (SELECT id FROM usage)";

const LACKS: &str = "SELECT stream, (SELECT count(*) FROM _windrow_runs AS r WHERE r.run_id
    <= l.run_id AND command = 'sync') FROM _windrow_missing_runs AS l";

/// An API of one record for each day, which answers so many requests and then keeps silent.
struct Days {
    api: Api,
    left: Arc<AtomicUsize>,
}

impl Days {
    fn start() -> Days {
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let answers = Arc::clone(&left);
        let api = Api::start(move |asked, _| {
            let take = |left: usize| left.checked_sub(1);
            while answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
                pause();
            }
            let day = asked.parameter("from").unwrap_or_default();
            json(&format!(r#"{{"data":[{{"id":"{day}","day":"{day}","gb":1.0}}]}}"#))
        });
        Days { api, left }
    }

    fn laptop(&self) -> Workspace {
        Workspace::new(&format!(
            "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n\
             [streams.usage]\npath = \"/usage\"\nquery = {{ from = \"{{{{ window.start }}}}\" }}\n\
             records = \"$.data[*]\"\nkey = \"id\"\n\
             columns = {{ id = \"text\", day = \"date\", gb = \"real\" }}\n\
             [streams.usage.window]\nfield = \"day\"\nstart = \"2026-01-01\"\n\
             step = \"1 day\"\nformat = \"%Y-%m-%d\"\n",
            self.api.address
        ))
    }

    /// A sync that has got this many answers more, has written them, and waits for the next.
    fn sync_until(&self, laptop: &Workspace, answers: usize) -> Child {
        self.left.store(0, Ordering::SeqCst);
        let mut sync = laptop.command(&["sync"]);
        let child = sync.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        self.answer(laptop, answers);
        child
    }

    /// Lets a sync that waits read this many windows more.
    fn answer(&self, laptop: &Workspace, answers: usize) {
        let before = count(laptop);
        self.left.store(answers, Ordering::SeqCst);
        while count(laptop) < before + answers {
            pause();
        }
    }

    fn go_on(&self) {
        self.left.store(usize::MAX, Ordering::SeqCst);
    }

    fn kill(&self, mut sync: Child) {
        sync.kill().expect("killed");
        sync.wait().expect("ended");
        self.go_on();
    }
}

/// The complete windows that are there.
fn count(laptop: &Workspace) -> usize {
    let made = "SELECT 1 FROM sqlite_schema WHERE name = '_windrow_missing_runs'";
    if !laptop.path("a.db").exists() || laptop.rows(made).is_empty() {
        return 0;
    }
    let sql = "SELECT count(*) FROM _windrow_ledger WHERE state IN ('complete', 'settled')";
    laptop.value(sql).parse().expect("a number")
}

#[expect(clippy::disallowed_methods, reason = "a test that waits for a process")]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

fn give(from: &Workspace, file: &str, more: &[&str]) {
    from.run(&[&["handoff", file], more].concat()).expect(0);
}

fn take(into: &Workspace, from: &Path) -> Ran {
    let ran = into.run(&["merge", from.to_str().expect("a path of text")]).expect(0);
    assert_eq!(into.rows(EMPTY_DAYS), [""; 0], "{ran:?}");
    ran
}

#[test]
fn a_base_of_the_middle_of_a_run_that_was_killed_is_no_base_for_what_comes_later() {
    let days = Days::start();
    let (a, b) = (days.laptop(), days.laptop());
    let sync = days.sync_until(&a, 3);
    give(&a, "one.db", &[]);
    days.answer(&a, 2);
    days.kill(sync);
    a.sync();
    give(&a, "two.db", &["--since", "1"]);
    take(&b, &a.path("one.db"));
    let part = take(&b, &a.path("two.db"));
    assert!(part.stdout.contains("what it is based on is not all here"), "{part:?}");
    assert_eq!(count(&b), 3, "what the base proves");
    for _ in 0..2 {
        take(&b, &a.path("one.db"));
        take(&b, &a.path("two.db"));
        assert_eq!(count(&b), 3);
    }
    // What is not proven is read; and the whole archive proves all of it, and the part then too.
    let whole = days.laptop();
    take(&whole, &a.path("two.db"));
    assert_eq!(count(&whole), 0);
    give(&a, "all.db", &[]);
    for laptop in [&b, &whole] {
        take(laptop, &a.path("all.db"));
        assert_eq!(laptop.rows(LACKS), [""; 0]);
        assert_eq!(count(laptop), count(&a));
        assert_eq!(laptop.digests(), a.digests());
    }
}

#[test]
fn a_lack_does_not_end_with_an_older_file_that_has_never_heard_of_it() {
    let days = Days::start();
    let (a, b, c) = (days.laptop(), days.laptop(), days.laptop());
    let mut sync = days.sync_until(&a, 3);
    give(&a, "one.db", &[]);
    days.go_on();
    assert!(sync.wait().expect("ended").success());
    give(&a, "two.db", &["--since", "1"]);
    let (one, two) = (a.path("one.db"), a.path("two.db"));
    take(&c, &one);
    for (first, files) in [(&one, [&one, &two]), (&two, [&c.path("a.db"), &two])] {
        let _ = std::fs::remove_file(b.path("a.db"));
        take(&b, first);
        take(&b, &two);
        for file in [files, files].concat() {
            take(&b, file);
            assert_eq!((b.rows(LACKS), count(&b)), (vec!["usage|1".to_owned()], count(&c)));
        }
        let before = std::fs::read(b.path("a.db")).expect("the archive");
        let same = take(&b, &one);
        assert!(same.stdout.ends_with("is here already.\n"), "{same:?}");
        assert_eq!(std::fs::read(b.path("a.db")).expect("the archive"), before);
    }
    // A base of a run that has ended is one.
    give(&a, "all.db", &[]);
    take(&b, &a.path("all.db"));
    assert_eq!((b.rows(LACKS), count(&b)), (Vec::new(), count(&a)));
    a.sync();
    give(&a, "three.db", &["--since", "1"]);
    take(&c, &a.path("all.db"));
    let part = take(&c, &a.path("three.db"));
    assert!(!part.stdout.contains("what it is based on is not all here"), "{part:?}");
}

#[test]
fn what_a_merge_brings_of_runs_that_were_known_goes_along_since_an_earlier_run() {
    let days = Days::start();
    let (a, b, c) = (days.laptop(), days.laptop(), days.laptop());
    for until in ["2026-01-05", "2026-01-08"] {
        a.run(&["sync", "--from", "2026-01-01", "--to", until]).expect(0);
    }
    give(&a, "some.db", &["--where", "id = '2026-01-02'"]);
    give(&a, "all.db", &[]);
    take(&b, &a.path("some.db"));
    give(&b, "one.db", &[]);
    let last = b.value("SELECT max(run_id) FROM _windrow_runs");
    take(&b, &a.path("all.db"));
    assert_eq!(count(&b), count(&a));
    give(&b, "two.db", &["--since", &last]);
    for file in ["one.db", "two.db", "one.db", "two.db"] {
        take(&c, &b.path(file));
    }
    assert_eq!((c.rows(LACKS), count(&c)), (Vec::new(), count(&a)));
    assert_eq!(c.digests(), a.digests());
    // And it is no more than that.
    give(&b, "three.db", &["--since", &b.value("SELECT max(run_id) FROM _windrow_runs")]);
    let none = "SELECT count(*) FROM usage";
    assert_eq!(crate::harness::rows(&b.path("three.db"), none), ["0"]);
}

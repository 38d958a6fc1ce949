//! `windrow merge`: two laptops that synced different days keep one truth.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::api::{
    Api, FAST, Record, UsageApi, items_definition, json, nine_days, usage_definition,
};
use crate::harness::{Workspace, dump, execute, rows};

/// The days of January that the ledger calls complete.
const COVERED: &str = "SELECT start_at || ' ' || end_at || ' ' || state FROM _windrow_ledger
    WHERE state IN ('complete', 'settled') ORDER BY start_at";

/// A laptop that has synced these days.
fn laptop(api: &UsageApi, more: &str, days: &[(&str, &str)]) -> Workspace {
    let workspace = Workspace::new(&api.definition(more));
    for (from, to) in days {
        workspace.run(&["sync", "--from", from, "--to", to]).expect(0);
    }
    workspace
}

fn name(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn take(into: &Workspace, from: &Path) -> crate::harness::Ran {
    into.run(&["merge", "--json", name(from)]).expect(0)
}

/// What one stream's line of the report says: inserted, replaced, kept, equal.
fn counts(report: &serde_json::Value) -> [u64; 4] {
    let stream = &report["files"][0]["streams"][0];
    ["inserted", "replaced", "kept", "equal"].map(|name| stream[name].as_u64().expect(name))
}

#[test]
fn two_laptops_swap_files_and_end_with_one_archive_and_nothing_left_to_ask() {
    let api = UsageApi::start(nine_days(), 4);
    let a = laptop(&api, "", &[("2026-01-01", "2026-01-05")]);
    let b = laptop(&api, "", &[("2026-01-04", "2026-01-08")]);
    std::fs::copy(b.path("a.db"), a.path("b.db")).expect("a stick");
    let before = std::fs::read(a.path("a.db")).expect("the archive");
    let page = a.run(&["merge", "b.db", "--dry-run"]).expect(0);
    assert!(page.stdout.contains("usage is complete now in 2026-01-05..2026-01-08"), "{page:?}");
    assert!(page.stdout.ends_with("Nothing was changed; without --dry-run it is done.\n"));
    assert_eq!(std::fs::read(a.path("a.db")).expect("the archive"), before, "not a byte");
    let report = take(&a, &a.path("b.db")).json();
    assert_eq!(counts(&report), [9, 0, 0, 3], "three days were not here, one was");
    assert_eq!(report["files"][0]["streams"][0]["complete"][0]["partition"], "");
    let report = take(&b, &a.path("a.db")).json();
    assert_eq!(counts(&report), [9, 0, 0, 12]);
    assert_eq!(a.digests(), b.digests());
    assert_eq!(a.rows(COVERED), b.rows(COVERED));
    assert_eq!(a.value("SELECT count(*) FROM usage"), "21");
    // What is proven is asked again by nobody: the 8th and later days are not proven yet.
    for laptop in [&a, &b] {
        let before = api.api.log().len();
        laptop.sync();
        let mut asked: Vec<String> =
            api.api.log()[before..].iter().filter_map(|asked| asked.parameter("from")).collect();
        asked.dedup();
        let settled = laptop.value("SELECT max(end_at) FROM _windrow_ledger WHERE state='settled'");
        assert!(asked.iter().all(|day| day.as_str() >= &settled[..10]), "{settled} {asked:?}");
    }
    assert_eq!(a.digests(), b.digests());
    let again = take(&a, &b.path("a.db")).json();
    assert_eq!(counts(&again)[..3], [0, 0, 0]);
    let before = std::fs::read(a.path("a.db")).expect("the archive");
    let same = a.run(&["merge", name(&b.path("a.db"))]).expect(0);
    assert!(same.stdout.ends_with("is here already.\n"), "{same:?}");
    assert_eq!(std::fs::read(a.path("a.db")).expect("the archive"), before);
}

#[test]
fn the_greater_version_stands_and_the_loser_is_kept() {
    for (more, kept) in [
        ("version = \"updated_at\"", "SELECT row->>'gb' FROM _windrow_superseded"),
        ("version = \"updated_at\"\nhistory = true", "SELECT gb FROM usage_history"),
    ] {
        let record = |gb, at: &str| vec![Record::new("SL-1", "2026-01-02", gb, at)];
        let api = UsageApi::start(record(1.0, "2026-01-03T00:00:00Z"), 4);
        let a = laptop(&api, more, &[("2026-01-01", "2026-01-04")]);
        api.change(|records| *records = record(2.0, "2026-01-04T00:00:00Z"));
        let b = laptop(&api, more, &[("2026-01-01", "2026-01-04")]);
        std::fs::copy(a.path("a.db"), b.path("old.db")).expect("a copy");
        let report = take(&a, &b.path("a.db")).json();
        assert_eq!(counts(&report), [0, 1, 0, 0]);
        let report = take(&b, &b.path("old.db")).json();
        assert_eq!(counts(&report), [0, 0, 1, 0]);
        for laptop in [&a, &b] {
            assert_eq!(laptop.value("SELECT gb FROM usage"), "2.0", "{more}");
            assert_eq!(laptop.rows(kept), ["1.0"], "{more}");
        }
        let origin = "SELECT r.archive_id = m.value FROM usage AS u JOIN _windrow_runs AS r
            ON r.run_id = u._run JOIN _windrow_meta AS m ON m.name = 'archive_id'";
        assert_eq!(a.value(origin), "0", "the row came from the other archive");
        assert_eq!(b.value(origin), "1");
    }
}

#[test]
fn a_column_that_one_side_has_is_filled_from_what_the_other_left_over() {
    let api = UsageApi::start(nine_days(), 4);
    let more = "history = true";
    let a = laptop(&api, more, &[("2026-01-01", "2026-01-05")]);
    let lacks = api.definition(more).replace("updated_at = \"timestamp\"\n", "");
    let b = Workspace::new(&lacks);
    b.run(&["sync", "--from", "2026-01-04", "--to", "2026-01-08"]).expect(0);
    assert_eq!(b.value("SELECT count(*) FROM usage WHERE _rest LIKE '%updated_at%'"), "12");
    std::fs::copy(b.path("a.db"), a.path("b.db")).expect("a stick");
    let report = take(&a, &a.path("b.db")).json();
    assert_eq!(counts(&report), [9, 0, 0, 3], "what both say is the same, column or not");
    assert_eq!(report["files"][0]["streams"][0]["columns"], serde_json::json!([]));
    let page = b.run(&["merge", name(&a.path("a.db"))]).expect(0).stdout;
    assert!(page.contains("usage has the column updated_at now\n"), "{page}");
    assert!(page.contains("the definition here lacks (updated_at)"), "{page}");
    let unfilled = "SELECT count(*) FROM usage WHERE updated_at IS NULL OR _rest IS NOT NULL";
    for laptop in [&a, &b] {
        assert_eq!(laptop.value(unfilled), "0");
        assert_eq!(laptop.value("SELECT count(*) FROM usage"), "21");
        assert_eq!(laptop.value("SELECT count(*) FROM usage_history"), "0", "nothing new is said");
    }
    assert_eq!(a.digests(), b.digests());
    for (laptop, other) in [(&a, a.path("b.db")), (&b, a.path("a.db")), (&a, b.path("a.db"))] {
        assert_eq!(take(laptop, &other).json()["changed"], false);
    }
}

/// All files of an archive, but for the lock, the index of a log, and a log that is empty.
fn files(workspace: &Workspace) -> std::collections::BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(workspace.folder()).expect("the folder").flatten();
    files
        .filter(|file| file.path().is_file())
        .map(|file| (file.file_name().to_string_lossy().into_owned(), file.path()))
        .filter(|(name, _)| !name.ends_with("-lock"))
        .filter(|(name, _)| !name.ends_with("-shm"))
        .map(|(name, path)| (name, std::fs::read(path).expect("a file")))
        .filter(|(name, bytes)| !name.ends_with("-wal") || !bytes.is_empty())
        .collect()
}

#[test]
fn a_dry_run_leaves_every_byte_of_whatever_archive_as_it_is() {
    type Make = fn(&Workspace);
    let api = UsageApi::start(nine_days(), 4);
    let b = laptop(&api, "", &[("2026-01-04", "2026-01-08")]);
    let ejected: Make = |a| drop(a.run(&["eject"]).expect(0));
    let with_a_log: Make = |a| {
        let log = |ending: &str| a.path(&format!("a.db{ending}"));
        let sql = "PRAGMA wal_autocheckpoint = 0; INSERT INTO _windrow_meta (name, value) VALUES ('x', 'y')";
        crate::harness::execute_and_look(&a.path("a.db"), sql, &|| {
            for ending in ["", "-wal"] {
                std::fs::copy(log(ending), a.path(&format!("copy{ending}"))).expect("a copy");
            }
        });
        for ending in ["", "-wal"] {
            std::fs::rename(a.path(&format!("copy{ending}")), log(ending)).expect("moved");
        }
        assert!(log("-wal").metadata().expect("a log").len() > 0);
    };
    let read_only: Make = |a| {
        let mut mode = std::fs::metadata(a.path("a.db")).expect("the file").permissions();
        mode.set_readonly(true);
        std::fs::set_permissions(a.path("a.db"), mode).expect("read-only");
    };
    let none: Make = |a| std::fs::remove_file(a.path("a.db")).expect("removed");
    let cases =
        [("ejected", ejected), ("log", with_a_log), ("read-only", read_only), ("none", none)];
    for (what, make) in cases {
        let a = laptop(&api, "", &[("2026-01-01", "2026-01-05")]);
        make(&a);
        let before = files(&a);
        let other = b.path("a.db");
        let dry = a.run(&["merge", name(&other), "--dry-run", "--json"]).expect(0).json();
        let expected = if what == "none" { [12, 0, 0, 0] } else { [9, 0, 0, 3] };
        assert_eq!(counts(&dry), expected, "{what}");
        let after = files(&a);
        assert!(after == before, "{what}: {:?} {:?}", after.keys(), before.keys());
        if let Ok(mut left) = std::fs::read_dir(a.path("state").join("unpacked")) {
            assert!(left.next().is_none(), "{what}: the copy is gone");
        }
    }
}

#[test]
fn an_archive_is_made_where_there_is_none() {
    let api = UsageApi::start(nine_days(), 50);
    let b = laptop(&api, "history = true", &[("2026-01-01", "2026-01-05")]);
    let empty = Workspace::empty();
    let from = b.path("a.db");
    let dry = empty.run(&["--archive", "new.db", "merge", name(&from), "--dry-run"]).expect(0);
    assert!(dry.stdout.contains("12 rows came"), "{dry:?}");
    assert!(!empty.path("new.db").exists());
    empty.run(&["--archive", "new.db", "merge", name(&from)]).expect(0);
    let digest = |workspace: &Workspace, archive: &str| {
        let status = workspace.run(&["--archive", archive, "status", "--digest", "--json"]);
        status.expect(0).json()["digests"].clone()
    };
    assert_eq!(digest(&empty, "new.db"), digest(&b, "a.db"));
    empty.run(&["--archive", "new.db", "sync"]).expect(9);
    empty.trust("new.db");
    empty.run(&["--archive", "new.db", "sync"]).expect(0);
    let count = rows(&empty.path("new.db"), "SELECT count(*) FROM usage");
    assert_eq!(count, ["27"], "the receiver goes on from the ledger");
}

#[test]
fn what_cannot_be_united_is_refused_with_every_difference_and_nothing_is_changed() {
    let api = UsageApi::start(nine_days(), 50);
    let a = laptop(&api, "", &[("2026-01-01", "2026-01-05")]);
    let before = dump(&a.path("a.db"), &[]);
    let text = api.definition("");
    let cases = [
        ("key = [\"id\", \"day\"]", "key = \"id\"", "its key is id, day here and id there"),
        ("gb = \"real\"", "gb = \"text\"", "its column `gb` is real here and text there"),
        ("lateness", "timezone = \"Asia/Tokyo\"\nlateness", "its time zone is UTC here and Asia"),
        (
            "\n[streams.usage.window]",
            "version = \"updated_at\"\n[streams.usage.window]",
            "its version is none here and updated_at there",
        ),
        (
            "field = \"day\"",
            "field = \"updated_at\"",
            "its field of time is day here and updated_at there",
        ),
    ];
    for (is, becomes, says) in cases {
        assert!(text.contains(is), "{is}");
        let other = Workspace::new(&text.replacen(is, becomes, 1));
        other.run(&["sync", "--from", "2026-01-01", "--to", "2026-01-05"]);
        let refused = a.run(&["merge", name(&other.path("a.db"))]).expect(2);
        assert!(refused.stderr.contains(says), "{says}: {refused:?}");
    }
    assert_eq!(dump(&a.path("a.db"), &[]), before);
}

/// A laptop whose definition has this stream and nothing else, with the days of one week.
fn other_stream(api: &UsageApi, is: &str, becomes: &str) -> Workspace {
    let text = api.definition("").replace("streams.usage", "streams.other");
    assert!(text.contains(is), "{is}");
    let workspace = Workspace::new(&text.replacen(is, becomes, 1));
    workspace.run(&["sync", "--from", "2026-01-01", "--to", "2026-01-05"]).expect(0);
    workspace
}

#[test]
fn a_stream_that_a_merge_brought_keeps_its_rules_though_the_definition_does_not_name_it() {
    let api = UsageApi::start(nine_days(), 50);
    let a = laptop(&api, "", &[("2026-01-01", "2026-01-05")]);
    let utc = other_stream(&api, "lateness", "timezone = \"UTC\"\nlateness");
    let tokyo = other_stream(&api, "lateness", "timezone = \"Asia/Tokyo\"\nlateness");
    let (from_utc, from_tokyo) = (utc.path("a.db"), tokyo.path("a.db"));
    let says = "stream `other`: its time zone is UTC here and Asia/Tokyo there";
    // Both at once: the second is held against what the first has brought.
    let before = dump(&a.path("a.db"), &[]);
    let refused = a.run(&["merge", name(&from_utc), name(&from_tokyo)]).expect(2);
    assert!(refused.stderr.contains(says), "{refused:?}");
    assert_eq!(dump(&a.path("a.db"), &[]), before);
    // One after the other.
    take(&a, &from_utc);
    a.run(&["sync", "--offline"]);
    let before = dump(&a.path("a.db"), &[]);
    let refused = a.run(&["merge", name(&from_tokyo)]).expect(2);
    assert!(refused.stderr.contains(says), "{refused:?}");
    assert_eq!(dump(&a.path("a.db"), &[]), before);
    // Whoever writes the definition out is told of the stream, and where its definition is.
    let told = a.run(&["definition", "--json"]).expect(0).json();
    assert_eq!(told["left_out"][0]["stream"], "other", "{told}");
    let run = told["left_out"][0]["run"].to_string();
    let written = a.run(&["definition"]).expect(0);
    let line = format!("holds `other`, which this does not name; `windrow definition --run {run}`");
    assert!(written.stdout.contains(&line) && written.stderr.contains(&line), "{written:?}");
    let named = a.run(&["definition", "--run", &run]).expect(0).stdout;
    assert!(named.contains("[streams.other]"), "{named}");
}

#[test]
fn an_archive_is_not_merged_into_itself_nor_into_one_that_is_held_or_cannot_be_written() {
    let api = UsageApi::start(nine_days(), 50);
    let a = laptop(&api, "", &[("2026-01-01", "2026-01-03")]);
    let b = laptop(&api, "", &[("2026-01-02", "2026-01-04")]);
    let other = b.path("a.db");
    let itself = a.run(&["merge", "a.db"]).expect(2);
    assert!(itself.stderr.contains("a.db is the archive itself"), "{itself:?}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(a.path("a.db"), a.path("soft.db")).expect("a link");
        std::fs::hard_link(a.path("a.db"), a.path("hard.db")).expect("a link");
        a.run(&["merge", "soft.db"]).expect(2);
        a.run(&["merge", "hard.db"]).expect(2);
    }
    let missing = a.run(&["merge", "nowhere.db"]).expect(6);
    assert!(missing.stderr.contains("there is no archive at nowhere.db"), "{missing:?}");
    std::fs::write(a.path("text.db"), "no archive, but more than a header's worth of text")
        .expect("a file");
    a.run(&["merge", "text.db"]).expect(6);
    execute(&b.path("a.db"), "PRAGMA user_version = 99");
    let newer = a.run(&["merge", name(&other)]).expect(6);
    assert!(newer.stderr.contains("is from a newer windrow"), "{newer:?}");
    execute(&b.path("a.db"), "PRAGMA user_version = 1");
    #[cfg(unix)]
    {
        // Whoever may write to anything is not held up by a file's mode.
        let mut mode = std::fs::metadata(a.path("a.db")).expect("the file").permissions();
        let writable = mode.clone();
        mode.set_readonly(true);
        std::fs::set_permissions(a.path("a.db"), mode).expect("read-only");
        let code = a.run(&["merge", name(&other)]).code;
        std::fs::set_permissions(a.path("a.db"), writable).expect("writable");
        assert!(code == 8 || code == 0, "{code}");
    }
}

#[test]
fn while_a_sync_runs_a_merge_says_who_does_or_waits() {
    let api = crate::api::Api::start(|_, _| crate::api::Reply::Silence(Duration::from_secs(2)));
    let a =
        Workspace::new(&usage_definition(&api.address, "").replace("attempts = 3", "attempts = 1"));
    let other = laptop(&UsageApi::start(nine_days(), 50), "", &[("2026-01-01", "2026-01-03")]);
    let mut sync = a.command(&["sync"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    while api.log().is_empty() {
        pause();
    }
    let held = a.run(&["merge", name(&other.path("a.db"))]).expect(7);
    assert!(held.stderr.contains("is held by process"), "{held:?}");
    let dry = a.run(&["merge", name(&other.path("a.db")), "--dry-run"]).expect(0);
    assert!(dry.stdout.contains("6 rows came"), "it needs nothing of the archive: {dry:?}");
    let child = sync.as_mut().expect("it runs");
    let waits = a.command(&["merge", name(&other.path("a.db")), "--wait", "1 minute"]).spawn();
    child.kill().expect("killed");
    child.wait().expect("ended");
    let waited = waits.expect("it runs").wait().expect("ended");
    assert_eq!(waited.code(), Some(0));
    assert_eq!(a.value("SELECT count(*) FROM usage"), "6");
}

#[expect(clippy::disallowed_methods, reason = "a test that waits for a process")]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// An archive of `count` rows more, put there by SQLite itself.
fn grow(workspace: &Workspace, count: u64) {
    let sql = format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
         INSERT INTO usage SELECT 'X-' || n, '2026-01-02', n, NULL, NULL, _first_seen_at,
            _changed_at, 1, _run FROM n, (SELECT * FROM usage LIMIT 1)"
    );
    execute(&workspace.path("a.db"), &sql);
}

#[test]
fn a_merge_that_is_killed_leaves_the_archive_as_it_was() {
    let api = UsageApi::start(nine_days(), 50);
    let a = laptop(&api, "", &[("2026-01-01", "2026-01-03")]);
    let b = laptop(&api, "", &[("2026-01-02", "2026-01-05")]);
    grow(&b, 60_000);
    let before = dump(&a.path("a.db"), &[]);
    let mut killed = 0;
    for after in [0, 5, 20, 40, 80] {
        let mut child = a
            .command(&["merge", name(&b.path("a.db"))])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        (0..after).for_each(|_| pause());
        if child.try_wait().expect("known").is_some() {
            break;
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        if rows(&a.path("a.db"), "SELECT count(*) FROM usage") == ["6"] {
            assert_eq!(dump(&a.path("a.db"), &[]), before);
            killed += 1;
        } else {
            break;
        }
    }
    assert!(killed >= 1);
    a.run(&["merge", name(&b.path("a.db"))]).expect(0);
    assert_eq!(a.value("SELECT count(*) FROM usage"), "60012");
    assert_eq!(a.value("PRAGMA integrity_check"), "ok");
}

#[test]
fn several_files_are_taken_at_once_and_a_name_from_a_file_cannot_drive_a_terminal() {
    let api = UsageApi::start(nine_days(), 50);
    let a = laptop(&api, "", &[("2026-01-01", "2026-01-03")]);
    let b = laptop(&api, "", &[("2026-01-02", "2026-01-05")]);
    let c = laptop(&api, "", &[("2026-01-06", "2026-01-08")]);
    std::fs::copy(c.path("a.db"), a.path("c\u{1b}[2J.db")).expect("a copy");
    let page = a.run(&["merge", name(&b.path("a.db")), "c\u{1b}[2J.db"]).expect(0);
    assert!(!page.stdout.contains('\u{1b}'), "{page:?}");
    assert_eq!(a.value("SELECT count(*) FROM usage"), "18");
    assert_eq!(a.value("SELECT count(*) FROM _windrow_handoffs WHERE direction = 'taken'"), "2");
    let run = a.value("SELECT max(run_id) FROM _windrow_runs");
    let shown = a.run(&["runs", "show", &run]).expect(0);
    assert!(shown.stdout.contains("(merge): complete"), "{shown:?}");
}

#[test]
fn a_row_that_the_losing_side_has_confirmed_since_is_read_again() {
    let record = |gb| vec![Record::new("SL-1", "2026-01-02", gb, "2026-01-03T00:00:00Z")];
    let api = UsageApi::start(record(1.0), 4);
    let days = ["sync", "--from", "2026-01-01", "--to", "2026-01-04"];
    let mut a = laptop(&api, "", &[("2026-01-01", "2026-01-04")]);
    api.change(|records| *records = record(2.0));
    let mut b = Workspace::new(&api.definition(""));
    b.at("2026-01-11T12:00:00Z").run(&days).expect(0);
    api.change(|records| *records = record(1.0));
    a.at("2026-01-12T12:00:00Z").run(&days).expect(0);
    // The source says 1 again, and the row that was read last says 2.
    take(&a, &b.path("a.db"));
    assert_eq!(a.value("SELECT gb FROM usage"), "2.0");
    let due = |a: &Workspace| a.run(&["sync", "--dry-run", "--json"]).expect(0).stdout;
    a.at("2026-01-13T12:00:00Z");
    assert!(due(&a).contains("disputed"), "{}", due(&a));
    a.sync();
    assert_eq!(a.value("SELECT gb FROM usage"), "1.0", "the next sync has asked");
    assert!(!due(&a).contains("disputed"), "{}", due(&a));
    b.at("2026-01-13T12:00:00Z");
    take(&b, &a.path("a.db"));
    assert_eq!(b.value("SELECT gb FROM usage"), "1.0");
}

/// A stream without windows has no stretch of time that could become complete.
#[test]
fn a_snapshot_that_came_is_told_of() {
    let api = Api::start(|_, _| json(r#"{"data":[{"id":1}]}"#));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    workspace.sync();
    workspace.run(&["handoff", "out.db"]).expect(0);
    let merge = || workspace.run(&["--archive", "other.db", "merge", "out.db"]).expect(0).stdout;
    let page = merge();
    assert!(page.contains("items is complete now, by its snapshot or mark\n"), "{page}");
    assert!(page.contains("\n1 snapshot or mark is new or later.\n"), "{page}");
    assert!(!page.contains("0 stretches"), "{page}");
}

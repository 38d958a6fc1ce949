//! P1, P2, P4: reading again neither loses nor doubles nor rewrites.

use crate::api::{Record, UsageApi, nine_days};
use crate::harness::{Workspace, counts};

#[test]
fn a_second_sync_over_an_unchanged_source_changes_nothing() {
    let api = UsageApi::start(nine_days(), 2);
    let workspace = Workspace::new(&api.definition(""));
    let first = workspace.sync().json();
    assert_eq!(counts(&first, "usage"), "27 27 0 0 0 0");
    let (digest, content) = (workspace.digests(), workspace.rows("SELECT * FROM usage"));
    let second = workspace.sync().json();
    assert_eq!(counts(&second, "usage"), "9 0 0 9 0 0", "unsettled days are read again");
    assert_eq!(workspace.digests(), digest);
    assert_eq!(workspace.rows("SELECT * FROM usage"), content, "not even a stamp moved");
}

#[test]
fn the_field_test_of_overlapping_ranges_loses_and_doubles_nothing() {
    let api = UsageApi::start(nine_days(), 4);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let digest = workspace.digests();
    let t1_t2 = workspace.run(&["sync", "--json", "--from", "2026-01-04", "--to", "2026-01-08"]);
    assert_eq!(counts(&t1_t2.expect(0).json(), "usage"), "12 0 0 12 0 0");
    let t0_t2 = workspace.run(&["sync", "--json", "--from", "2026-01-02", "--to", "2026-01-08"]);
    assert_eq!(counts(&t0_t2.expect(0).json(), "usage"), "18 0 0 18 0 0");
    assert_eq!(workspace.digests(), digest);
    let doubled = "SELECT count(*) FROM (SELECT 1 FROM usage GROUP BY id, day HAVING count(*) > 1)";
    assert_eq!(workspace.value(doubled), "0");
}

#[test]
fn overlap_reads_days_twice_and_keeps_them_once() {
    let api = UsageApi::start(nine_days(), 50);
    let definition = api.definition("").replace("lateness =", "overlap = \"2 days\"\nlateness =");
    let workspace = Workspace::new(&definition);
    let report = workspace.sync().json();
    assert_eq!(counts(&report, "usage"), "78 27 0 51 0 0");
    let plain = Workspace::new(&api.definition(""));
    plain.sync();
    assert_eq!(workspace.digests(), plain.digests());
}

#[test]
fn a_repeated_sync_writes_no_more_than_its_checkpoint() {
    let records = (0..5000)
        .map(|n| Record::new(&format!("SL-{n}"), "2026-01-09", 1.5, "2026-01-09T00:00:00Z"))
        .collect();
    let api = UsageApi::start(records, 1000);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    // A reader that stays keeps the log in place, so that its size can be read afterwards.
    #[expect(clippy::disallowed_methods, reason = "tests look at archives with plain SQLite")]
    let reader = rusqlite::Connection::open(workspace.path("a.db")).expect("the archive");
    let one: i64 =
        reader.query_row("SELECT count(*) FROM usage", [], |row| row.get(0)).expect("rows");
    assert_eq!(one, 5000);
    reader.execute_batch("BEGIN; SELECT 1 FROM usage LIMIT 1").expect("a snapshot");
    workspace.sync();
    let log = std::fs::metadata(workspace.path("a.db-wal")).expect("the log").len();
    assert!(log < 200_000, "{log} bytes of log for a sync that changed none of 5,000 rows");
    assert!(log > 0, "the checkpoint is written");
}

#[test]
fn corrections_and_late_days_arrive_and_equal_rows_stay_untouched() {
    let mut records = nine_days();
    let late = records.pop().expect("27 records");
    let api = UsageApi::start(records, 3);
    let workspace = Workspace::new(&api.definition("version = \"updated_at\""));
    workspace.sync();
    api.change(|records| {
        records.push(late);
        records[24].gb = 99.5;
        records[24].updated_at = "2026-01-10T01:00:00Z".to_owned();
    });
    let report = workspace.sync().json();
    assert_eq!(counts(&report, "usage"), "9 1 1 7 0 0");
    assert_eq!(workspace.value("SELECT gb, _revision FROM usage WHERE gb = 99.5"), "99.5|2");
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
}

#[test]
fn settled_windows_are_not_asked_for_again() {
    let api = UsageApi::start(nine_days(), 50);
    let mut workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let before = api.api.log().len();
    workspace.sync();
    let asked: Vec<String> =
        api.api.log()[before..].iter().filter_map(|asked| asked.parameter("from")).collect();
    assert_eq!(asked, ["2026-01-10", "2026-01-07", "2026-01-08", "2026-01-09"]);
    let states = "SELECT state, count(*) FROM _windrow_ledger GROUP BY state ORDER BY state";
    assert_eq!(workspace.rows(states), ["complete|4", "settled|6"]);
    workspace.at("2026-02-10T00:00:00Z");
    workspace.sync();
    let states =
        "SELECT state, count(*) FROM _windrow_ledger WHERE end_at < '2026-01-12' GROUP BY 1";
    assert_eq!(workspace.rows(states), ["settled|10"]);
}

#[test]
fn a_longer_step_keeps_the_coverage_that_the_ledger_proves() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let digest = workspace.digests();
    workspace.define(&api.definition("").replace("step = \"1 day\"", "step = \"1 month\""));
    let before = api.api.log().len();
    workspace.sync();
    let asked: Vec<String> =
        api.api.log()[before..].iter().filter_map(|asked| asked.parameter("from")).collect();
    assert!(!asked.contains(&"2026-01-01".to_owned()), "settled days are proven: {asked:?}");
    assert_eq!(workspace.digests(), digest);
}

#[test]
fn a_record_dated_next_year_does_not_push_the_watermark() {
    let mut records = nine_days();
    records.push(Record::new("SL-9", "2027-06-01", 1.0, "2026-01-09T00:00:00Z"));
    // An API that ignores the upper bound.
    let api = UsageApi::start(records, 50);
    let definition = api.definition("").replace("to = \"{{ window.end }}\"", "to = \"9999\"");
    let workspace = Workspace::new(&definition);
    workspace.sync();
    let status = workspace.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["streams"][0]["watermark"], "2026-01-10T12:00:00+00:00");
    assert!(status["streams"][0]["out_of_window"].as_u64() > Some(0), "{status}");
    assert_eq!(workspace.value("SELECT count(*) FROM usage WHERE id = 'SL-9'"), "1", "it is kept");
}

#[test]
fn newest_first_fills_today_before_yesterday_and_the_gap_stays_visible() {
    let api = UsageApi::start(nine_days(), 50);
    let definition = api.definition("").replace("lateness =", "order = \"newest\"\nlateness =");
    let workspace = Workspace::new(&definition);
    workspace.run(&["sync", "--max-requests", "3"]).expect(3);
    let asked: Vec<String> = api.api.log().iter().filter_map(|a| a.parameter("from")).collect();
    assert_eq!(asked, ["2026-01-10", "2026-01-09", "2026-01-08"]);
    let status = workspace.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["streams"][0]["watermark"], serde_json::Value::Null);
    assert_eq!(status["streams"][0]["due"], 10);
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
}

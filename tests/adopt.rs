//! `windrow adopt`: what an insert-only script has doubled, brought into an archive.

use crate::api::{Record, UsageApi};
use crate::harness::{Workspace, dump, execute, rows};

/// Adopting and undoing are runs; all else is as it was.
const RUN_LOG: [&str; 3] = ["_windrow_runs", "_windrow_run_streams", "_windrow_definitions"];

const NAMES: [&str; 6] =
    ["--map", "id=service_line_id", "--map", "day=usage_date", "--map", "gb=consumed_gb"];

/// October's first 28 days of four clients, as the API has them.
fn october() -> Vec<Record> {
    let mut records = Vec::new();
    for day in 1..=28 {
        for (number, line) in ["SL-1", "SL-2", "SL-3", "SL-4"].iter().enumerate() {
            let gb = f64::from(day) + number as f64 / 4.0;
            let day = format!("2025-10-{day:02}");
            records.push(Record::new(line, &day, gb, "2025-11-01T00:00:00Z"));
        }
    }
    records
}

/// The script's own table, after it ran once for all clients and again for two of them.
fn script(workspace: &Workspace) {
    let insert = |records: &[Record], at: &str| -> String {
        let row = |record: &Record| {
            let Record { id, day, gb, .. } = record;
            format!("('{id}', '{day}', {gb:?}, '{at}')")
        };
        let values: Vec<String> = records.iter().map(row).collect();
        format!(
            "INSERT INTO daily_usage_history (service_line_id, usage_date, consumed_gb, created_at)
             VALUES {};",
            values.join(", ")
        )
    };
    let all = october();
    let again: Vec<Record> =
        all.iter().filter(|r| r.id == "SL-1" || r.id == "SL-3").cloned().collect();
    execute(
        &workspace.path("script.db"),
        &format!(
            "CREATE TABLE service_lines (api_service_line_id TEXT);
             CREATE TABLE daily_usage_history (history_id INTEGER PRIMARY KEY AUTOINCREMENT,
                service_line_id TEXT, usage_date TEXT, consumed_gb REAL, created_at TEXT);
             {} {}",
            insert(&all, "2025-10-29 06:00:00"),
            insert(&again, "2025-10-30 06:00:00")
        ),
    );
}

fn october_workspace() -> (UsageApi, Workspace) {
    let api = UsageApi::start(october(), 1000);
    let mut workspace = Workspace::new(&api.definition("").replace("2026-01-01", "2025-10-01"));
    workspace.at("2025-10-29T12:00:00Z");
    script(&workspace);
    (api, workspace)
}

fn adopt(workspace: &Workspace, more: &[&str]) -> crate::harness::Ran {
    let first = ["adopt", "script.db", "--table", "daily_usage_history"];
    let arguments: Vec<&str> = first.iter().chain(&NAMES).chain(more).copied().collect();
    workspace.run(&arguments)
}

const TOTALS: &str = "SELECT id, count(*), sum(gb) FROM usage GROUP BY id ORDER BY id";

fn totals_of_the_api() -> Vec<String> {
    ["SL-1", "SL-2", "SL-3", "SL-4"]
        .map(|line| {
            let own = october().into_iter().filter(|record| record.id == line);
            let sum: f64 = own.map(|record| record.gb).sum();
            format!("{line}|28|{sum:?}")
        })
        .to_vec()
}

#[test]
fn what_a_script_has_doubled_is_halved_and_its_totals_are_the_apis() {
    let (_api, workspace) = october_workspace();
    let before = std::fs::read(workspace.path("script.db")).expect("the script's file");
    let doubled = rows(
        &workspace.path("script.db"),
        "SELECT service_line_id, count(*) FROM daily_usage_history GROUP BY 1 ORDER BY 1",
    );
    assert_eq!(doubled, ["SL-1|56", "SL-2|28", "SL-3|56", "SL-4|28"]);

    let shown = adopt(&workspace, &["--keep", "newest:created_at"]).expect(0);
    assert!(
        shown.stdout.contains("56 keys stand more than once: 56 records too many"),
        "{shown:?}"
    );
    assert!(shown.stdout.contains("gb          2492          1666       49.6 %"), "{shown:?}");
    assert!(shown.stderr.contains("nothing was changed; --apply adopts it"), "{shown:?}");
    assert!(!workspace.path("a.db").exists(), "a dry run makes nothing");

    let done = adopt(&workspace, &["--keep", "newest:created_at", "--apply", "--json"]).expect(0);
    let report = done.json();
    assert_eq!(
        ["records", "keys", "groups", "duplicates", "copies", "new"].map(|name| &report[name]),
        [168, 112, 56, 56, 56, 112].map(serde_json::Value::from).each_ref()
    );
    assert_eq!(report["left_out"], serde_json::json!(["history_id", "created_at"]));
    assert_eq!(report["inflation"][0]["with"], 2492.0);
    let proof = report["proof"][0].as_str().expect("a query");
    assert_eq!(workspace.rows(proof), [""; 0], "the query that was shown proves it");
    assert_eq!(report["proof"][1], 0);
    assert_eq!(workspace.rows(TOTALS), totals_of_the_api());
    let removed = "SELECT reason, count(*) FROM _windrow_adopted_removed GROUP BY reason";
    assert_eq!(workspace.rows(removed), ["copy|56"]);
    let kept = "SELECT record ->> 'created_at' FROM _windrow_adopted_removed";
    assert!(workspace.rows(kept).iter().all(|at| at == "2025-10-29 06:00:00"), "the older ones");
    assert_eq!(std::fs::read(workspace.path("script.db")).expect("the file"), before);
}

#[test]
fn an_adopted_span_is_never_coverage_until_a_sync_has_confirmed_it() {
    let (api, workspace) = october_workspace();
    let due = |workspace: &Workspace| {
        workspace.run(&["sync", "--dry-run", "--json"]).expect(0).stdout.lines().count()
    };
    let pending = due(&workspace);
    adopt(&workspace, &["--apply"]).expect(0);
    assert_eq!(due(&workspace), pending, "what is adopted is still due");
    let status = workspace.run(&["status", "--json"]).expect(0).json();
    let stream = &status["streams"][0];
    assert_eq!(stream["adopted_unverified"], serde_json::json!(["2025-10-01..2025-10-29"]));
    assert_eq!((&stream["watermark"], &stream["complete"]), (&serde_json::Value::Null, &0.into()));
    let page = workspace.run(&["status"]).expect(0).stdout;
    assert!(page.contains("adopted, unverified: 2025-10-01..2025-10-29"), "{page}");

    api.change(|records| records[0].gb = 99.0);
    let report = workspace.sync().json();
    let stream = &report["streams"][0];
    assert_eq!((&stream["inserted"], &stream["updated"]), (&0.into(), &112.into()), "{report}");
    assert_eq!(workspace.value("SELECT gb FROM usage ORDER BY id, day LIMIT 1"), "99.0");
    let status = workspace.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["streams"][0]["adopted_unverified"], serde_json::json!([]));
}

#[test]
fn windows_that_were_settled_are_due_again_when_rows_are_adopted_into_them() {
    let (api, mut workspace) = october_workspace();
    workspace.at("2025-12-01T12:00:00Z");
    api.change(|records| records.retain(|record| record.id != "SL-4"));
    workspace.sync();
    let settled = "SELECT count(*) FROM _windrow_ledger WHERE state = 'settled'
        AND start_at < '2025-10-29'";
    assert_eq!(workspace.value(settled), "28");
    let again = |workspace: &Workspace| {
        let plan = workspace.run(&["sync", "--dry-run", "--json"]).expect(0).stdout;
        plan.lines().filter(|line| line.contains("\"reason\":\"adopted\"")).count()
    };
    assert_eq!(again(&workspace), 0);
    let report = adopt(&workspace, &["--apply", "--json"]).expect(0).json();
    assert_eq!([&report["new"], &report["agreed"]], [&28, &84], "{report}");
    assert_eq!(again(&workspace), 28, "the days of the rows that the API did not have");
    assert_eq!(workspace.value(settled), "28", "no coverage is lost");
    workspace.sync();
    assert_eq!(again(&workspace), 0);
}

#[test]
fn an_undone_adoption_leaves_no_trace_but_its_run() {
    let (api, workspace) = october_workspace();
    api.change(|records| records.truncate(40));
    workspace.run(&["sync", "--to", "2025-10-05", "--from", "2025-10-01"]).expect(0);
    let before = dump(&workspace.path("a.db"), &RUN_LOG);
    adopt(&workspace, &["--apply"]).expect(0);
    let adopted = dump(&workspace.path("a.db"), &RUN_LOG);
    assert_ne!(before, adopted);
    let undone = workspace.run(&["adopt", "--undo", "--json"]).expect(0).json();
    assert_eq!([&undone["removed"], &undone["confirmed"]], [&96, &0], "{undone}");
    assert_eq!(dump(&workspace.path("a.db"), &RUN_LOG), before);
    workspace.run(&["adopt", "--undo"]).expect(2);
    adopt(&workspace, &["--apply"]).expect(0);
    let text = dump(&workspace.path("a.db"), &RUN_LOG);
    assert_eq!(strip_runs(&text), strip_runs(&adopted), "it can be adopted again");
    let runs = workspace.rows("SELECT command, state, message FROM _windrow_runs WHERE run_id > 1");
    assert_eq!(runs[0], "adopt|complete|adopted daily_usage_history of script.db");
    assert_eq!(runs[1], "adopt|complete|undid run 2, which had adopted script.db");
}

/// The number of the run is all in which two adoptions of one file differ.
fn strip_runs(text: &str) -> String {
    text.replace("integer4", "integerN").replace("integer2", "integerN")
}

#[test]
fn an_undo_takes_nothing_back_that_a_sync_has_confirmed() {
    let (_api, workspace) = october_workspace();
    adopt(&workspace, &["--apply"]).expect(0);
    // The definition's columns make every adopted row lack `updated_at`, so the sync rewrites the
    // rows of the days that it reads; one of them it finds as it is.
    execute(
        &workspace.path("a.db"),
        "UPDATE usage SET updated_at = '2025-11-01T00:00:00+00:00' WHERE day = '2025-10-02'",
    );
    workspace.run(&["sync", "--from", "2025-10-01", "--to", "2025-10-05"]).expect(0);
    let undone = workspace.run(&["adopt", "--undo"]).expect(0);
    assert!(undone.stdout.contains("96 rows of usage"), "{undone:?}");
    assert!(undone.stdout.contains("4 rows stay: a sync has confirmed them"), "{undone:?}");
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "16");
    assert_eq!(workspace.value("SELECT max(day) FROM usage"), "2025-10-04");
}

/// An API that is not asked, and records of one key that differ.
fn versions(records: &[&str]) -> Workspace {
    let api = UsageApi::start(Vec::new(), 10);
    let workspace = Workspace::new(&api.definition(""));
    std::fs::write(workspace.path("f.ndjson"), records.join("\n")).expect("a file");
    workspace
}

#[test]
fn each_rule_keeps_the_record_that_it_names() {
    let record = |gb: u32, at: &str, n: &str| {
        format!(
            r#"{{"id":"a","day":"2026-01-01","gb":{gb},"updated_at":"{at}","n":{n},"s":"x{gb}"}}"#
        )
    };
    let records = [
        record(1, "2026-01-05T00:00:00Z", "10"),
        record(2, "2026-01-05T00:30:00+02:00", "9.5"),
        record(3, "2026-01-04T00:00:00Z", "null"),
    ];
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let cases = [
        (vec!["--keep", "first"], "1.0"),
        (vec!["--keep", "last"], "3.0"),
        (vec![], "3.0"),
        (vec!["--keep", "newest:updated_at"], "1.0"),
        (vec!["--keep", "highest:n"], "1.0"),
        (vec!["--keep", "highest:s"], "3.0"),
    ];
    for (rule, expected) in cases {
        let workspace = versions(&records);
        let arguments = [vec!["adopt", "f.ndjson", "--apply"], rule.clone()].concat();
        workspace.run(&arguments).expect(0);
        assert_eq!(workspace.rows("SELECT gb FROM usage"), [expected], "{rule:?}");
        let removed = "SELECT reason, count(*) FROM _windrow_adopted_removed GROUP BY reason";
        assert_eq!(workspace.rows(removed), ["duplicate|2"]);
    }
    let workspace = versions(&records);
    workspace.define(&api_with_version());
    workspace.run(&["adopt", "f.ndjson", "--apply"]).expect(0);
    assert_eq!(workspace.rows("SELECT gb FROM usage"), ["1.0"], "the stream's own rule");
    for (rule, why) in [("newest:s", "cannot be put in order"), ("newest:gone", "no record")] {
        let ran = versions(&records).run(&["adopt", "f.ndjson", "--keep", rule, "--apply"]);
        let refused = ran.code == 2 && ran.stderr.contains(why);
        assert!(refused || rule == "newest:gone", "{ran:?}");
    }
    versions(&records).run(&["adopt", "f.ndjson", "--keep", "best"]).expect(2);
}

fn api_with_version() -> String {
    crate::api::usage_definition("http://127.0.0.1:9", "version = \"updated_at\"")
}

#[test]
fn the_apis_word_decides_and_where_it_has_not_said_nothing_is_kept() {
    let record = Record::new("a", "2026-01-01", 7.0, "2026-01-05T00:00:00Z");
    let api = UsageApi::start(vec![record.clone()], 10);
    let workspace = Workspace::new(&api.definition(""));
    let mut other = record.clone();
    other.gb = 14.0;
    let (mut one, mut two) = (record.clone(), record.clone());
    (one.id, two.id, two.gb) = ("b".to_owned(), "b".to_owned(), 8.0);
    let mut twice = record.clone();
    twice.id = "c".to_owned();
    let lines = [&other, &record, &one, &two, &twice, &twice].map(Record::json);
    std::fs::write(workspace.path("f.ndjson"), lines.join("\n")).expect("a file");
    workspace.sync();
    let ran = workspace.run(&["adopt", "f.ndjson", "--keep", "api", "--apply", "--json"]).expect(0);
    let report = ran.json();
    let counts = ["new", "agreed", "archived", "undecided"].map(|name| report[name].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(0), Some(1)], "{report}");
    assert_eq!(workspace.rows("SELECT id, gb FROM usage ORDER BY id"), ["a|7.0", "c|7.0"]);
    let removed = "SELECT place, reason FROM _windrow_adopted_removed ORDER BY place";
    assert_eq!(workspace.rows(removed), ["1|duplicate", "3|duplicate", "4|undecided", "5|copy"]);
}

#[test]
fn a_row_of_the_archive_is_never_overwritten() {
    let (api, workspace) = october_workspace();
    api.change(|records| records[0].gb = 5.0);
    workspace.sync();
    let digests = workspace.digests();
    let report = adopt(&workspace, &["--apply", "--json"]).expect(0).json();
    assert_eq!([&report["new"], &report["agreed"], &report["archived"]], [&0, &111, &1]);
    assert_eq!(workspace.digests(), digests);
    let removed = "SELECT record ->> 'consumed_gb' FROM _windrow_adopted_removed
        WHERE reason = 'archived'";
    assert_eq!(workspace.rows(removed), ["1.0"], "what the script had is kept");
}

#[test]
fn adopting_the_same_file_again_does_nothing() {
    let (_api, workspace) = october_workspace();
    adopt(&workspace, &["--apply"]).expect(0);
    let before = dump(&workspace.path("a.db"), &[]);
    for more in [vec!["--apply"], vec![]] {
        let again = adopt(&workspace, &more).expect(0);
        assert!(again.stdout.contains("run 1 has adopted these records already"), "{again:?}");
    }
    assert_eq!(dump(&workspace.path("a.db"), &[]), before);
    let other = adopt(&workspace, &["--apply", "--keep", "first"]).expect(2);
    assert!(other.stderr.contains("windrow adopt --undo --run 1"), "{other:?}");
    assert_eq!(dump(&workspace.path("a.db"), &[]), before);
}

#[test]
fn a_csv_is_read_by_the_columns_types_whatever_it_is_apart_by() {
    let api = UsageApi::start(Vec::new(), 10);
    let workspace = Workspace::new(&api.definition(""));
    let csv = "\u{feff}id;Day;gb;updated_at\r\n007;31.12.2025;\"1.50\";2026-01-01 08:00:00\r\n\
               007;31.12.2025;1.5;2026-01-01 08:00:00\r\n008;01.01.2026;;\r\n";
    std::fs::write(workspace.path("f.csv"), csv).expect("a file");
    let arguments = ["adopt", "f.csv", "--format", "day=%d.%m.%Y"];
    let zone = ["--timezone", "Europe/Berlin", "--apply", "--json"];
    let report = workspace.run(&[&arguments[..], &zone[..]].concat()).expect(0).json();
    assert_eq!([&report["records"], &report["copies"], &report["new"]], [&3, &1, &2], "{report}");
    assert_eq!(
        workspace.rows("SELECT id, day, gb, updated_at FROM usage ORDER BY id"),
        ["007|2025-12-31|1.5|2026-01-01T07:00:00+00:00", "008|2026-01-01|NULL|NULL"]
    );
}

#[test]
fn records_of_the_api_are_adopted_as_a_sync_would_have_read_them() {
    let mut records = crate::api::nine_days();
    records.truncate(12);
    let api = UsageApi::start(records.clone(), 50);
    let mut definition = api.definition("");
    definition =
        definition.replace("day = \"date\"", "day = { type = \"date\", path = \"$.day\" }");
    definition = definition.replace("updated_at = \"timestamp\"\n", "");
    let workspace = Workspace::new(&definition);
    let lines: Vec<String> = records.iter().map(Record::json).collect();
    std::fs::write(workspace.path("f.ndjson"), lines.join("\n")).expect("a file");
    workspace.run(&["adopt", "f.ndjson", "--apply"]).expect(0);
    let digests = workspace.digests();
    let report = workspace.sync().json();
    let stream = &report["streams"][0];
    assert_eq!([&stream["inserted"], &stream["updated"]], [&0, &0], "{report}");
    assert_eq!(workspace.digests(), digests, "also what no column claims");
}

#[test]
fn an_orphan_is_kept_and_taken_up_once_its_parent_is_there() {
    let api = UsageApi::start(Vec::new(), 10);
    let lines = "\n[streams.lines]\npath = \"/lines\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n\
                 columns = { id = \"text\" }\n";
    let own = "references = { id = \"lines\" }";
    let workspace = Workspace::new(&format!("{}{lines}", api.definition(own)));
    std::fs::write(workspace.path("l.csv"), "id\nSL-1\n").expect("a file");
    std::fs::write(workspace.path("u.csv"), "id,day,gb\nSL-1,2026-01-01,1\nSL-2,2026-01-01,2\n")
        .expect("a file");
    workspace.run(&["adopt", "l.csv"]).expect(2);
    workspace.run(&["adopt", "l.csv", "--stream", "lines", "--apply"]).expect(0);
    let shown = workspace.run(&["adopt", "u.csv", "--stream", "usage"]).expect(0).stdout;
    assert!(shown.contains("1 cannot be rows (orphan)"), "{shown}");
    workspace.run(&["adopt", "u.csv", "--stream", "usage", "--apply"]).expect(0);
    assert_eq!(workspace.rows("SELECT id FROM usage"), ["SL-1"]);
    let orphans = "SELECT kind, record ->> 'id' FROM _windrow_rejects";
    assert_eq!(workspace.rows(orphans), ["orphan|SL-2"]);
    let status = workspace.run(&["status"]).expect(0).stdout;
    assert!(status.contains("adopted, unverified: 1 row of run 1"), "a snapshot: {status}");
}

#[test]
fn an_orphan_that_was_adopted_becomes_a_row_of_its_adoption_once_its_parent_is_there() {
    let api =
        UsageApi::start(vec![Record::new("SL-3", "2026-01-01", 9.0, "2026-01-05T00:00:00Z")], 10);
    let lines = "\n[streams.lines]\npath = \"/lines\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n\
                 columns = { id = \"text\" }\n";
    let workspace = Workspace::new(&format!("{}{lines}", api.definition("")));
    workspace.run(&["sync", "usage"]).expect(0);
    workspace.define(&format!("{}{lines}", api.definition("references = { id = \"lines\" }")));
    let usage = "line;usage day;gb;n\nSL-1;01.01.2026;1;1\nSL-2;02.01.2026;2;2\nSL-3;01.01.2026;3;3\n\
                 SL-4;02.01.2026;4;4\n";
    std::fs::write(workspace.path("u.csv"), usage).expect("a file");
    std::fs::write(workspace.path("l.csv"), "id\nSL-1\n").expect("a file");
    let adopt = |more: &[&str]| workspace.run(&[&["adopt"], more].concat()).expect(0);
    adopt(&["l.csv", "--stream", "lines", "--apply"]);
    let names = ["--map", "id=line", "--map", "day=usage day", "--format", "day=%d.%m.%Y"];
    adopt(&[&["u.csv", "--stream", "usage", "--apply"], &names[..]].concat());
    let rejects = "SELECT kind, pointer, record ->> 'line' FROM _windrow_rejects ORDER BY 3";
    assert_eq!(
        workspace.rows(rejects),
        ["SL-2", "SL-3", "SL-4"].map(|l| format!("orphan|/line|{l}"))
    );

    std::fs::write(workspace.path("more.csv"), "id\nSL-2\nSL-3\n").expect("a file");
    adopt(&["more.csv", "--stream", "lines", "--apply"]);
    let report = workspace.run(&["rejects", "retry", "--json"]).expect(0).json();
    let stream = &report["streams"][0];
    let counts = ["received", "inserted", "skipped", "rejected"].map(|name| &stream[name]);
    assert_eq!(counts, [&3, &1, &1, &1], "{report}");
    assert_eq!(workspace.rows(rejects), ["orphan|/line|SL-4"]);
    let adopted = "SELECT id, day, gb, _rest, u._run = a.run_id FROM usage AS u
        LEFT JOIN _windrow_adoptions AS a ON a.stream = 'usage' ORDER BY id";
    assert_eq!(
        workspace.rows(adopted),
        ["SL-1|2026-01-01|1.0|NULL|1", "SL-2|2026-01-02|2.0|NULL|1", "SL-3|2026-01-01|9.0|NULL|0"],
        "a row of the archive is never overwritten"
    );
    let run = workspace.value("SELECT run_id FROM _windrow_adoptions WHERE stream = 'usage'");
    workspace.run(&["adopt", "--undo", "--run", &run]).expect(0);
    assert_eq!(workspace.rows("SELECT id FROM usage"), ["SL-3"]);
    assert_eq!(workspace.rows(rejects), [""; 0]);
}

#[test]
#[cfg(target_os = "linux")]
fn an_adoption_that_is_interrupted_changes_nothing() {
    let workspace = versions(&[]);
    let lines = (0..200_000).map(|n| format!("S{n},2026-01-01,1\n")).collect::<String>();
    std::fs::write(workspace.path("f.csv"), format!("id,day,gb\n{lines}")).expect("a file");
    workspace.sync();
    let before = dump(&workspace.path("a.db"), &[]);
    let mut command = workspace.command(&["adopt", "f.csv", "--apply"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("windrow starts");
    // It listens for signals and has opened the file; reading it takes far longer than this look.
    let process = std::path::PathBuf::from(format!("/proc/{}", child.id()));
    while child.try_wait().expect("it can be waited for").is_none() {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
        let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut files = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        // SIGINT is 2, and the mask begins with 1.
        if caught & 0b10 != 0 && files.any(|file| file.ends_with("f.csv")) {
            break;
        }
    }
    let interrupt = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(interrupt.success());
    crate::harness::ran(&child.wait_with_output().expect("it ends")).expect(130);
    assert_eq!(dump(&workspace.path("a.db"), &[]), before);
}

//! `windrow query`, `status` and `sync --dry-run`, as a person or a script sees them.

use crate::api::{UsageApi, nine_days};
use crate::harness::Workspace;

fn synced() -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    (api, workspace)
}

#[test]
fn an_answer_comes_in_each_format() {
    let (_api, workspace) = synced();
    let sql = "SELECT id, gb, NULL AS n FROM usage WHERE day = '2026-01-01' ORDER BY id LIMIT 2";
    let query = |format: &str| workspace.run(&["query", "-f", format, sql]).expect(0).stdout;
    assert_eq!(query("table"), "id     gb  n\n────  ───  ─\nSL-1  1.5\nSL-2  1.5\n");
    assert_eq!(query("csv"), "id,gb,n\nSL-1,1.5,\nSL-2,1.5,\n");
    assert_eq!(
        query("ndjson"),
        "{\"id\":\"SL-1\",\"gb\":1.5,\"n\":null}\n{\"id\":\"SL-2\",\"gb\":1.5,\"n\":null}\n"
    );
    assert_eq!(
        query("json"),
        "[\n{\"id\":\"SL-1\",\"gb\":1.5,\"n\":null},\n{\"id\":\"SL-2\",\"gb\":1.5,\"n\":null}\n]\n"
    );
    assert_eq!(
        query("markdown"),
        "| id | gb | n |\n| --- | --- | --- |\n| SL-1 | 1.5 |  |\n| SL-2 | 1.5 |  |\n"
    );
    let twice = workspace.run(&["query", "-f", "ndjson", "SELECT 1 AS a, 2 AS a"]).expect(0);
    assert_eq!(twice.stdout, "{\"a\":1,\"a_2\":2}\n", "no column is lost");
    let none = workspace.run(&["query", "--json", "SELECT 1 WHERE 0"]).expect(0);
    assert_eq!(none.stdout, "[]\n");
}

#[test]
fn a_query_reads_and_never_writes() {
    let (_api, workspace) = synced();
    let digest = workspace.digests();
    for sql in [
        "DELETE FROM usage",
        "DROP TABLE usage",
        "PRAGMA user_version = 6",
        "ATTACH 'x.db' AS x",
        "CREATE TABLE t (a)",
        "VACUUM INTO 'copy.db'",
    ] {
        let ran = workspace.run(&["query", sql]);
        assert!(ran.code == 2 || ran.code == 8, "{sql}: {ran:?}");
    }
    assert_eq!(workspace.digests(), digest);
    assert!(!workspace.path("x.db").exists() && !workspace.path("copy.db").exists());
    let wrong = workspace.run(&["query", "SELEC 1"]).expect(2);
    assert!(wrong.stderr.contains("syntax error"), "{wrong:?}");
    let several = workspace.run(&["query", "SELECT 1; SELECT 2"]).expect(2);
    assert!(several.stderr.contains("several statements"), "{several:?}");
    workspace.run(&["query", ""]).expect(2);
}

/// What SQLite itself finds too much is the query's fault, not windrow's.
#[test]
fn a_query_that_fails_as_it_runs_is_wrong_and_no_bug() {
    let (_api, workspace) = synced();
    for sql in [
        "SELECT abs(-9223372036854775807 - 1)",
        "SELECT zeroblob(2000000000)",
        "SELECT load_extension('x')",
        "SELECT json('{')",
    ] {
        let wrong = workspace.run(&["query", sql]).expect(2);
        assert!(wrong.stderr.contains("the query is wrong"), "{sql}: {wrong:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_query_that_is_interrupted_ends_at_once() {
    let (_api, workspace) = synced();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT i FROM n WHERE i = 1 OR i < 0";
    for (name, code, sql) in [("-INT", 130, endless), ("-TERM", 143, endless), ("-INT", 130, "-")] {
        let mut command = workspace.command(&["query", "-f", "csv", sql]);
        command.stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let child = command.spawn().expect("it starts");
        let id = child.id();
        // Whoever listens for a signal says so here; before that it would die of it.
        while !listens(id) {
            std::thread::yield_now();
        }
        let kill = std::process::Command::new("kill").args([name, &id.to_string()]).status();
        assert!(kill.expect("kill runs").success());
        ended(child).expect(code);
    }
}

/// Whether a process has its own way of meeting SIGTERM.
#[cfg(target_os = "linux")]
fn listens(id: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("signals");
    u64::from_str_radix(caught.trim(), 16).expect("bits") & (1 << 14) != 0
}

/// Waits with its standard input open.
#[cfg(target_os = "linux")]
fn ended(mut child: std::process::Child) -> crate::harness::Ran {
    let stdin = child.stdin.take();
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    crate::harness::ran(&output)
}

#[test]
fn a_dry_run_prints_the_plan_and_asks_nothing() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    let plan = workspace.run(&["sync", "--dry-run", "--json"]).expect(0);
    let jobs: Vec<serde_json::Value> =
        plan.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(jobs.len(), 10);
    assert_eq!(jobs[0]["window"], "2026-01-01..2026-01-02");
    let request = format!("GET {}/usage?from=2026-01-01&to=2026-01-02", api.api.address);
    assert_eq!(jobs[0]["request"], request);
    assert_eq!((&jobs[0]["reason"], &jobs[9]["reason"]), (&"pending".into(), &"open".into()));
    assert!(api.api.log().is_empty() && !workspace.path("a.db").exists());
    workspace.sync();
    let plan = workspace.run(&["sync", "--dry-run"]).expect(0);
    assert!(plan.stderr.contains("4 fetches are due; nothing was asked"), "{plan:?}");
}

#[test]
fn status_tells_coverage_watermark_and_what_is_due() {
    let (_api, workspace) = synced();
    let page = workspace.run(&["status"]).expect(0).stdout;
    assert_eq!(
        page,
        "\
a.db: 1 stream, 27 rows, last run 1 complete (just now)

usage  windows of 1 day, 27 rows
  2026-01-01 ███████████████████████████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓ 2026-01-10
  watermark 2026-01-10T12:00:00+00:00, 6 settled, 4 may still change
  last complete just now
  4 due at the next sync
"
    );
    let status = workspace.run(&["status", "--json"]).expect(0).json();
    let stream = &status["streams"][0];
    assert_eq!(
        (&stream["settled"], &stream["complete"], &stream["due"]),
        (&6.into(), &4.into(), &4.into())
    );
    assert_eq!(status["last_run"]["state"], "complete");
    let without = Workspace::new(&UsageApi::start(nine_days(), 5).definition(""));
    let ran = without.run(&["status"]).expect(6);
    assert!(ran.stderr.contains("there is no archive at"), "{ran:?}");
}

/// The shortest text that is the number again, in every format that has text.
#[test]
fn numbers_come_short_and_exact() {
    let (_api, workspace) = synced();
    let numbers =
        ["1e308", "-2.5e-300", "1e16", "123456789012345.6", "0.1", "0.00001", "3", "5e-324"];
    for number in numbers {
        let exact = if number == "3" { "3.0" } else { number };
        let sql = format!("SELECT {exact} AS n");
        for format in ["csv", "table", "markdown"] {
            let said = workspace.run(&["query", "-f", format, &sql]).expect(0).stdout;
            let last = said.lines().last().unwrap_or_default().trim_matches(['|', ' ']).to_owned();
            assert_eq!(last, number, "{format}");
        }
        let json = workspace.run(&["query", "--json", &sql]).expect(0).json();
        assert_eq!(json[0]["n"].as_f64(), number.parse().ok());
    }
}

#[test]
fn runs_fit_on_a_terminal() {
    let (_api, workspace) = synced();
    workspace.rows("UPDATE _windrow_runs SET state = 'interrupted', windows_planned = 10000");
    let page = workspace.run(&["runs"]).expect(0).stdout;
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    assert!(page.contains("  1  2026-01-10 12:00Z  interrupted  10/10000        27"), "{page}");
}

#[test]
fn results_are_plain_in_a_pipe_and_completions_exist() {
    let (_api, workspace) = synced();
    for command in [vec!["status"], vec!["runs"], vec!["sync"]] {
        let ran = workspace.run(&command).expect(0);
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{ran:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = workspace.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("windrow"), "{shell}");
    }
    let help = workspace.run(&["--help"]).expect(0).stdout;
    for command in ["demo", "sync", "status", "runs", "query", "schema"] {
        assert!(help.contains(command), "{help}");
    }
}

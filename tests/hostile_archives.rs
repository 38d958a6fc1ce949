//! Whatever stands in an archive, no command calls it a bug, panics or hangs: it reads it, or says
//! what is wrong with the archive.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::api::{UsageApi, nine_days};
use crate::harness::{Ran, Workspace, execute, ran};
use crate::hostile::archives::{Base, Hostile};

/// Files that an ordinary test run tries, each with one command. `WINDROW_TEST_ROUNDS` asks for so
/// many times as many; from some 60 on it is each file with each command.
const FILES: usize = 240;
/// How long a command may take: the promise is that it ends, and the machine may be busy.
const COMMAND_MAX: Duration = Duration::from_secs(30);
/// Processes at once.
const LANES: usize = 3;

/// Commands that are given an archive, as `a.db` beside a definition. `good.db` is another one.
const COMMANDS: &[&[&str]] = &[
    &["status"],
    &["status", "--json"],
    &["status", "--digest"],
    &["check", "--json"],
    &["report", "--out", "page.html"],
    &["runs"],
    &["runs", "show", "1"],
    &["rejects"],
    &["rejects", "show", "1"],
    &["rejects", "retry"],
    &["query", "SELECT * FROM usage"],
    &["query", "--as-of", "2026-01-10T11:00:00Z", "SELECT * FROM usage"],
    &["export", "usage", "--out", "rows.csv"],
    &["export", "usage", "--out", "rows.parquet", "--as-of", "2026-01-10T11:00:00Z"],
    &["verify", "a.db"],
    &["-a", "fresh.db", "merge", "a.db"],
    &["merge", "good.db"],
    &["diff", "a.db", "good.db"],
    &["diff", "--since", "1"],
    &["definition"],
    &["handoff", "given.db"],
    &["handoff", "part.db", "--since", "1"],
    &["outbox", "list"],
    &["outbox", "show", "k1"],
    &["outbox", "send"],
    &["outbox", "cancel", "k3"],
    &["outbox", "prune"],
    &["vanished"],
    &["prove", "usage"],
    &["eject"],
    &["sync"],
    &["sync", "--offline"],
    &["rebuild"],
    &["rebuild", "--apply"],
    &["doctor", "--offline"],
    &["adopt", "more.ndjson", "--apply"],
    &["adopt", "--undo", "2"],
    &["publish", "postgresql://u@127.0.0.1:9/d", "--dry-run"],
    &["-d", "none.toml", "-a", "a.db", "status"],
    &["-d", "none.toml", "-a", "a.db", "check"],
];

const MORE: &str = "{\"id\":\"SL-9\",\"day\":\"2026-01-02\",\"gb\":1}\n";

/// An archive with rows in most of its own tables, as one file; and the definition, whose API is
/// gone.
fn base() -> (Workspace, String) {
    let mut records = nine_days();
    records.push(crate::api::Record::new("SL-4", "2026-01-03", 1.0, "no time at all"));
    let api = UsageApi::start(records, 50);
    let definition = api.definition("raw = true\nhistory = true\nmax_rejects = 9");
    let workspace = Workspace::new(&definition);
    workspace.sync();
    std::fs::write(workspace.path("more.ndjson"), MORE).expect("a file");
    workspace.run(&["adopt", "more.ndjson", "--apply"]).expect(0);
    for key in ["k1", "k2", "k3"] {
        let add = ["outbox", "add", "POST", "/x", "--body", "{}", "--key", key];
        workspace.run(&add).expect(0);
    }
    workspace.run(&["-a", "good.db", "sync"]).expect(0);
    workspace.run(&["-a", "good.db", "eject"]).expect(0);
    workspace.run(&["merge", "good.db"]).expect(0);
    workspace.run(&["handoff", "given.db"]).expect(0);
    workspace.run(&["eject"]).expect(0);
    (workspace, definition.replace(&api.api.address, "http://127.0.0.1:9"))
}

/// Runs a command to its end, or kills it after [`COMMAND_MAX`].
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn run(workspace: &Workspace, arguments: &[&str]) -> Option<Ran> {
    let mut command = workspace.command(arguments);
    let output = workspace.path("output");
    let [out, error] = ["stdout", "stderr"].map(|name| {
        let path = output.with_extension(name);
        (std::fs::File::create(&path).expect("a file"), path)
    });
    command.stdout(Stdio::from(out.0)).stderr(Stdio::from(error.0));
    let mut child = command.spawn().expect("windrow starts");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a process") {
            break status;
        }
        if began.elapsed() > COMMAND_MAX {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let read = |path: &Path| std::fs::read(path).expect("what was printed");
    let (stdout, stderr) = (read(&out.1), read(&error.1));
    Some(ran(&std::process::Output { status, stdout, stderr }))
}

/// What is wrong with how a command took the archive; nothing where all is well.
fn fault(ran: Option<&Ran>) -> Option<String> {
    let Some(ran) = ran else { return Some("it did not end".to_owned()) };
    let known = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].contains(&ran.code);
    let panicked = ran.stderr.contains("panicked") || ran.stderr.contains("this is a bug");
    let helped = ran.code != 6 || !ran.stderr.contains("error:") || ran.stderr.contains("help:");
    (!known || panicked || !helped).then(|| format!("{ran:?}"))
}

/// Tries one file with some commands, in a workspace of its own.
fn try_one(base: &Base, from: &Workspace, definition: &str, hostile: &Hostile, commands: &[usize]) {
    let made = from.path(&format!("hostile-{:?}.db", std::thread::current().id()));
    if !base.make(hostile, &made) {
        return;
    }
    for &command in commands {
        let workspace = Workspace::new(definition);
        for (from, to) in [(made.clone(), "a.db"), (from.path("good.db"), "good.db")] {
            std::fs::copy(from, workspace.path(to)).expect("a copy");
        }
        std::fs::write(workspace.path("more.ndjson"), MORE).expect("a file");
        let arguments = COMMANDS[command % COMMANDS.len()];
        if let Some(fault) = fault(run(&workspace, arguments).as_ref()) {
            panic!("{arguments:?} with {} in {}: {fault}", hostile.kind, hostile.to);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how much is tried is told by a variable")]
fn rounds() -> usize {
    std::env::var("WINDROW_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Every kind comes before any kind comes again, on tables and columns in an order of chance that
/// is the same each time.
fn in_turn(mut all: Vec<Hostile>) -> Vec<Hostile> {
    fastrand::Rng::with_seed(12).shuffle(&mut all);
    let mut seen = std::collections::BTreeMap::new();
    let mut turns: Vec<(usize, Hostile)> = Vec::new();
    for hostile in all {
        let turn = seen.entry(hostile.kind.clone()).or_insert(0);
        turns.push((*turn, hostile));
        *turn += 1;
    }
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, hostile)| hostile).collect()
}

#[test]
fn no_archive_whatever_is_in_it_ends_a_command_as_a_bug() {
    let (workspace, definition) = base();
    let path = workspace.path("a.db");
    let hostile = in_turn(Base::of(&path).hostile());
    let tries = FILES * rounds();
    let (files, each) = (tries.min(hostile.len()), tries.div_ceil(hostile.len()));
    let next = AtomicUsize::new(0);
    // A change can be of bytes and holds a closure, so that each lane makes its own list.
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let base = Base::of(&path);
                let hostile = in_turn(base.hostile());
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    if at >= files {
                        break;
                    }
                    let commands: Vec<usize> =
                        (0..each.min(COMMANDS.len())).map(|more| at * 7 + more).collect();
                    try_one(&base, &workspace, &definition, &hostile[at], &commands);
                }
            });
        }
    });
}

/// SQL that changes the archive, a command, and words of what it says with exit 6.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

#[test]
fn what_windrow_did_not_make_is_named_by_its_table_and_its_column() {
    let (workspace, definition) = base();
    let loose = "PRAGMA writable_schema = ON; PRAGMA ignore_check_constraints = ON;";
    let strict = |table: &str, set: &str| {
        format!(
            "{loose} CREATE TABLE kept AS SELECT sql FROM sqlite_schema WHERE name = '{table}';
             UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT', ''), 'NOT NULL', '')
                WHERE name = '{table}'; PRAGMA writable_schema = RESET;
             {loose} UPDATE {table} SET {set};
             UPDATE sqlite_schema SET sql = (SELECT sql FROM kept) WHERE name = '{table}';
             PRAGMA writable_schema = RESET; DROP TABLE kept;"
        )
    };
    let blob = strict("_windrow_runs", "command = x'00'");
    let null = strict("_windrow_runs", "started_at = NULL");
    let text = strict("_windrow_runs", "requests = 'many'");
    let cases: &[Case<'_>] = &[
        ("DROP TABLE _windrow_runs", &["runs"], &["no table `_windrow_runs`"]),
        (
            "DROP TABLE _windrow_runs; CREATE TABLE _windrow_runs (x)",
            &["runs"],
            &["the table `_windrow_runs` has other columns"],
        ),
        ("UPDATE _windrow_streams SET columns = '{'", &["status"], &["columns", "is no JSON"]),
        ("UPDATE _windrow_streams SET key = '[]'", &["status"], &["_windrow_streams"]),
        ("UPDATE _windrow_runs SET requests = -1", &["runs"], &["requests", "below zero"]),
        (
            "UPDATE _windrow_runs SET command = CAST(x'61ff' AS TEXT)",
            &["runs"],
            &["command", "no Unicode text"],
        ),
        (&blob, &["runs"], &["`command` in `_windrow_runs`", "no text"]),
        (&null, &["runs"], &["_windrow_runs.started_at"]),
        (&text, &["runs"], &["`requests` in `_windrow_runs`", "no whole number"]),
        (
            "CREATE UNIQUE INDEX mine ON _windrow_runs (command) WHERE run_id > 2",
            &["sync", "--offline"],
            &["the index `mine` on `_windrow_runs` is not windrow's"],
        ),
        ("DROP TABLE usage", &["export", "usage", "--out", "x.csv"], &["no table `usage`"]),
        (
            "DROP TABLE _windrow_ledger; CREATE TABLE _windrow_ledger (stream, x)",
            &["merge", "good.db"],
            &["the table `_windrow_ledger` has other columns"],
        ),
    ];
    try_cases(&workspace, &definition, cases);
}

#[test]
fn a_text_that_is_no_name_of_its_enum_is_named_by_its_table_and_its_column() {
    let (workspace, definition) = base();
    let cases: &[Case<'_>] = &[
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE _windrow_ledger SET state = 'odd'",
            &["status"],
            &["`odd` is no value of `state` in `_windrow_ledger`"],
        ),
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE _windrow_runs SET state = 'odd'",
            &["runs"],
            &["`odd` is no value of `state` in `_windrow_runs`"],
        ),
        (
            "UPDATE _windrow_runs SET command = 'odd'",
            &["runs"],
            &["`odd` is no value of `command` in `_windrow_runs`"],
        ),
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE _windrow_run_fetches SET outcome = 'odd'",
            &["runs", "1"],
            &["`odd` is no value of `outcome` in `_windrow_run_fetches`"],
        ),
        (
            "PRAGMA ignore_check_constraints = ON;
            INSERT INTO _windrow_run_events (run_id, number, at, kind, message)
                VALUES (1, 99, 'now', 'odd', 'x')",
            &["runs", "1"],
            &["`odd` is no value of `kind` in `_windrow_run_events`"],
        ),
        (
            "PRAGMA ignore_check_constraints = ON; INSERT INTO _windrow_vanished
                VALUES ('usage', '1', '', '', '', 'odd', 'now', 1, 'now', 1)",
            &["vanished"],
            &["`odd` is no value of `state` in `_windrow_vanished`"],
        ),
        (
            "INSERT INTO _windrow_schema_log (stream, change, field, detail, at, run_id)
                VALUES ('usage', 'odd', 'f', 'd', 'now', 1)",
            &["status"],
            &["`odd` is no value of `change` in `_windrow_schema_log`"],
        ),
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE _windrow_outbox SET state = 'odd'",
            &["outbox"],
            &["`odd` is no value of `state` in `_windrow_outbox`"],
        ),
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE _windrow_outbox SET method = 'GET'",
            &["outbox"],
            &["`GET` is no value of `method` in `_windrow_outbox`"],
        ),
        (
            "UPDATE _windrow_outbox SET created_at = 'soon'",
            &["outbox", "show", "k1"],
            &["`soon` is no value of `created_at` in `_windrow_outbox`"],
        ),
        (
            "PRAGMA ignore_check_constraints = ON; UPDATE _windrow_fields SET usage = 'odd'",
            &["sync"],
            &["`odd` is no value of `usage` in `_windrow_fields`"],
        ),
        (
            "UPDATE _windrow_fields SET kinds = 'number|odd'",
            &["sync"],
            &["`number|odd` is no value of `kinds` in `_windrow_fields`"],
        ),
        (
            "UPDATE _windrow_ledger SET read_to = 'soon'",
            &["sync", "--offline"],
            &["`soon` is no value of `read_to`"],
        ),
    ];
    try_cases(&workspace, &definition, cases);
}

/// Each command ends with exit 6 and says the words, the archive and a help.
fn try_cases(workspace: &Workspace, definition: &str, cases: &[Case<'_>]) {
    for (sql, arguments, words) in cases {
        let here = Workspace::new(definition);
        for name in ["a.db", "good.db"] {
            std::fs::copy(workspace.path(name), here.path(name)).expect("a copy");
        }
        execute(&here.path("a.db"), &format!("PRAGMA foreign_keys = OFF; {sql}"));
        let ran = here.run(arguments);
        assert_eq!(ran.code, 6, "{sql}: {ran:?}");
        for word in words.iter().chain(&["a.db", "help:"]) {
            assert!(ran.stderr.contains(word), "{sql}: {word:?} in {ran:?}");
        }
    }
}

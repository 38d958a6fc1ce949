//! What `windrow handoff` refuses, what it never touches, and how it ends when it is told to.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::api::{UsageApi, nine_days};
use crate::harness::{Ran, Workspace, execute, ran, rows};

fn synced() -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    (api, workspace)
}

/// Streams of these names, each with its rows and its versions.
fn with_streams(names: &[&str]) -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let mut definition = api.definition("history = true");
    let (_, first) = api.definition("history = true").split_once("[streams").map_or_else(
        || panic!("a stream"),
        |(head, rest)| (head.to_owned(), format!("[streams{rest}")),
    );
    for name in names {
        definition.push_str(&format!(
            "\n{}",
            first.replace("[streams.usage", &format!("[streams.{name}"))
        ));
    }
    let workspace = Workspace::new(&definition);
    workspace.sync();
    (api, workspace)
}

fn give(workspace: &Workspace, more: &[&str]) -> Ran {
    workspace.run(&[&["handoff", "out.db"], more].concat())
}

/// What lies in the folder under names that begin like the target's.
fn made(workspace: &Workspace) -> Vec<String> {
    let entries = std::fs::read_dir(workspace.folder()).expect("the folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("out")).collect();
    names.sort();
    names
}

/// Never true, and never done.
const ENDLESS: &str = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
    SELECT max(i) FROM n) < 0";

fn start(workspace: &Workspace, arguments: &[&str]) -> Child {
    let mut command = workspace.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// A hand-off that does not end by itself, once it has begun. The copying, which ends by itself,
/// takes less of the processor than what is waited for here.
fn endless(workspace: &Workspace) -> Child {
    let mut child = start(workspace, &["handoff", "out.db", "--where", ENDLESS]);
    while made(workspace).is_empty() || ticks(child.id()) < 20 {
        let ended = child.try_wait().expect("a process");
        assert!(ended.is_none(), "nothing was begun: {ended:?}");
        std::thread::yield_now();
    }
    child
}

/// Hundredths of a second of the processor that a process has had; enough where nobody tells.
fn ticks(id: u32) -> u64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { return u64::MAX };
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    fields.split_whitespace().nth(11).and_then(|field| field.parse().ok()).expect("user time")
}

#[cfg(unix)]
fn signal(child: &Child, signal: &str) {
    let kill = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
}

#[cfg(unix)]
#[test]
fn whoever_is_interrupted_ends_at_once_and_leaves_nothing() {
    let (_api, workspace) = synced();
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let child = endless(&workspace);
        signal(&child, name);
        let ended = ran(&child.wait_with_output().expect("it ends")).expect(code);
        assert!(ended.stderr.contains("stopped: no file was made"), "{ended:?}");
        assert_eq!(made(&workspace), [""; 0]);
    }
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_handoffs"), "0");
}

#[test]
fn two_hand_offs_to_one_name_do_not_touch_each_other() {
    let (_api, workspace) = synced();
    let mut child = endless(&workspace);
    let before = made(&workspace);
    let second = give(&workspace, &[]).expect(7);
    let told = format!("another hand-off is making out.db: process {} (windrow", child.id());
    assert!(second.stderr.contains(&told), "{second:?}");
    assert_eq!(made(&workspace), before);
    workspace.run(&["handoff", "other.db"]).expect(0);
    child.kill().expect("killed");
    child.wait().expect("ended");
    give(&workspace, &[]).expect(0);
    assert_eq!(made(&workspace), ["out.db"], "what the killed one left is gone");
}

/// `--force` is for an older hand-off, and for nothing else that lies about.
#[test]
fn what_belongs_to_the_archive_is_never_replaced() {
    let (_api, workspace) = synced();
    let lock = windrow::host::files::lock_path(&workspace.path("a.db"));
    std::fs::write(&lock, b"").expect("a lock");
    let text = std::fs::read(workspace.path("windrow.toml")).expect("the definition");
    let whole = workspace.digests();
    // Names that SQLite would take for its own are refused where nothing is there, too.
    for name in ["a.db-wal", "a.db-shm", "a.db-journal", "a.db-lock", "windrow.toml", "a.db"] {
        let there = workspace.path(name).exists();
        for force in [&["--force"][..], &[]] {
            let refused = workspace.run(&[&["handoff", name], force].concat()).expect(2);
            assert!(refused.stderr.contains(name), "{refused:?}");
            let export = ["export", "usage", "-f", "csv", "-o", name];
            workspace.run(&[&export[..], force].concat()).expect(2);
            assert_eq!(workspace.path(name).exists(), there, "{name}");
        }
    }
    let roundabout = format!(
        "./../{}/a.db-wal",
        Path::new(workspace.folder()).file_name().expect("a name").to_string_lossy()
    );
    let refused = workspace.run(&["handoff", &roundabout, "--force"]).expect(2);
    assert!(refused.stderr.contains("belongs to the archive"), "{refused:?}");
    assert_eq!(std::fs::read(workspace.path("windrow.toml")).expect("the definition"), text);
    assert_eq!(workspace.digests(), whole);
}

#[test]
fn an_export_into_the_archives_folder_does_not_replace_the_archive() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition("").replace("a.db", "usage.csv"));
    workspace.sync();
    let before = std::fs::read(workspace.path("usage.csv")).expect("the archive");
    for out in [".", "usage.csv"] {
        let export = ["export", "usage", "-f", "csv", "--force", "-o", out];
        let refused = workspace.run(&export).expect(2);
        assert!(refused.stderr.contains("is the archive itself"), "{refused:?}");
    }
    assert_eq!(std::fs::read(workspace.path("usage.csv")).expect("the archive"), before);
}

#[cfg(unix)]
#[test]
fn only_a_plain_file_is_replaced() {
    let (_api, workspace) = synced();
    let fifo = workspace.path("out.csv");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
    assert!(made.success());
    std::fs::write(workspace.path("real.db"), b"mine").expect("a file");
    std::os::unix::fs::symlink("real.db", workspace.path("link.db")).expect("a link");
    for name in ["out.csv", "link.db", "/dev/null"] {
        let refused = workspace.run(&["handoff", name, "--force"]).expect(2);
        assert!(refused.stderr.contains("is no plain file"), "{refused:?}");
        assert!(refused.stderr.contains("help: name another file"), "{refused:?}");
    }
    let refused = workspace.run(&["export", "usage", "--force", "-o", "out.csv"]).expect(2);
    assert!(refused.stderr.contains("is no plain file"), "{refused:?}");
    use std::os::unix::fs::FileTypeExt;
    assert!(fifo.symlink_metadata().expect("the FIFO").file_type().is_fifo());
    assert_eq!(std::fs::read(workspace.path("real.db")).expect("a file"), b"mine");
    assert!(workspace.path("link.db").symlink_metadata().expect("the link").is_symlink());
}

/// A condition is one expression, whoever takes it.
#[test]
fn a_condition_is_one_expression_and_nothing_else() {
    let (_api, workspace) = synced();
    for condition in [
        "1) or (1",
        "1 -- )\n) or (1",
        "1 /* ",
        "1 limit 1",
        "1 union select 1",
        "select 1",
        "values (1)",
        "1, 2",
        "",
        " ",
        "-- 1",
        "1; select 1",
        "1)) or ((1",
        "?1",
        ":a",
        "id = $b",
        "count(*) > 1",
        "nothing = 1",
        "load_extension('x')",
        "id = 'SL-1",
        "1 order by 1",
        "id = 'SL-1') or (id = 'SL-2'",
        "abs(-9223372036854775807 - 1) > 0",
        "length(zeroblob(2000000000)) > 0",
    ] {
        for command in [&["handoff", "out.db"][..], &["export", "-o", "out.csv", "usage"]] {
            let refused = {
                let given = format!("--where={condition}");
                workspace.run(&[command, &[given.as_str()]].concat())
            };
            let refused = refused.expect(2);
            assert!(refused.stderr.contains("the condition"), "{condition}: {refused:?}");
            assert_eq!(made(&workspace), [""; 0], "{condition}");
        }
    }
    for condition in ["id = 'SL-1' -- only", "(id = 'SL-1') or (id = 'SL-1')", "id = 'SL-1' /**/"] {
        give(&workspace, &["--force", "--where", condition]).expect(0);
        let got = rows(&workspace.path("out.db"), "SELECT DISTINCT id FROM usage");
        assert_eq!(got, ["SL-1"], "{condition}");
        let export = ["export", "usage", "-f", "csv", "--where", condition];
        assert_eq!(workspace.run(&export).expect(0).stdout.lines().count(), 10, "{condition}");
    }
}

/// A condition that looks at other tables sees them as they are in the archive, not as they are
/// left by what was taken out already.
#[test]
fn a_condition_sees_the_archive_as_it_was() {
    let (_api, workspace) = with_streams(&["lines"]);
    let archive = workspace.path("a.db");
    execute(&archive, "INSERT INTO usage_history SELECT *, 'then', 1 FROM usage");
    let ids = |table: &str| {
        rows(&workspace.path("out.db"), &format!("SELECT DISTINCT id FROM {table} ORDER BY 1"))
    };
    let both = ["--force", "--streams", "lines,usage", "--where"];
    // Each stream asks the other, and each is cut.
    for condition in [
        "id NOT IN (SELECT id FROM usage)",
        "id NOT IN (SELECT id FROM lines)",
        "(SELECT count(*) FROM usage_history) = 0",
    ] {
        give(&workspace, &[&both[..], &[condition]].concat()).expect(0);
        for table in ["usage", "lines", "usage_history"] {
            assert_eq!(ids(table), [""; 0], "{table}: {condition}");
        }
    }
    let other = "id = (SELECT max(id) FROM lines WHERE day < '2026-01-03')";
    give(&workspace, &[&both[..], &[other]].concat()).expect(0);
    assert_eq!((ids("usage"), ids("usage_history")), (vec!["SL-3".into()], vec!["SL-3".into()]));
    // A stream that is left out can be asked as well, and so can a table of one's own.
    execute(&archive, "CREATE TABLE mine (id TEXT); INSERT INTO mine VALUES ('SL-2')");
    for condition in ["id IN (SELECT id FROM lines WHERE id = 'SL-2')", "id IN mine"] {
        let part = ["--force", "--streams", "usage", "--where", condition];
        give(&workspace, &part).expect(0);
        assert_eq!(
            (ids("usage"), ids("usage_history")),
            (vec!["SL-2".into()], vec!["SL-2".into()])
        );
        let left = rows(
            &workspace.path("out.db"),
            "SELECT name FROM sqlite_schema WHERE name IN ('lines', 'mine')",
        );
        assert_eq!(left, [""; 0]);
        workspace.run(&["verify", "out.db"]).expect(0);
    }
}

#[test]
fn a_streams_own_table_that_was_altered_is_not_dropped_as_somebody_elses() {
    let (_api, workspace) = with_streams(&["lines"]);
    execute(&workspace.path("a.db"), "ALTER TABLE lines ADD COLUMN mycol TEXT");
    let refused = give(&workspace, &[]).expect(6);
    assert!(
        refused.stderr.contains("`lines` has the column `mycol`, which windrow did not make"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("help: "), "{refused:?}");
    assert_eq!(made(&workspace), [""; 0]);
    give(&workspace, &["--streams", "usage"]).expect(0);
    execute(&workspace.path("a.db"), "ALTER TABLE lines DROP COLUMN mycol");
    give(&workspace, &["--force"]).expect(0);
    execute(&workspace.path("a.db"), "ALTER TABLE _windrow_meta ADD COLUMN mycol TEXT");
    let refused = give(&workspace, &["--force"]).expect(6);
    assert!(refused.stderr.contains("_windrow_meta"), "{refused:?}");
}

/// What has gone along once is not ours to give again.
#[test]
fn a_request_that_was_moved_is_moved_once() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let add = |key: &str, more: &[&str]| {
        let add = ["outbox", "add", "POST", "/orders", "--key", key, "--body", "{}"];
        workspace.run(&[&add[..], more].concat()).expect(0);
    };
    add("k1", &[]);
    let first = give(&workspace, &["--with-outbox"]).expect(0);
    assert!(first.stderr.contains("moved 1 request that waits"), "{first:?}");
    // One that hangs on what has gone waits at home with it: its answer comes nowhere else.
    add("k2", &["--after", "k1"]);
    add("k3", &[]);
    add("k4", &["--after", "k3"]);
    let second = workspace.run(&["handoff", "two.db", "--with-outbox", "--json"]).expect(0);
    assert_eq!(second.json()["moved"], 2);
    let keys =
        |file: &str| rows(&workspace.path(file), "SELECT key FROM _windrow_outbox ORDER BY key");
    assert_eq!(
        (keys("out.db"), keys("two.db")),
        (vec!["k1".into()], vec!["k3".into(), "k4".into()])
    );
    let owner = |key: &str| {
        workspace.value(&format!("SELECT owner FROM _windrow_outbox WHERE key = '{key}'"))
    };
    assert!(owner("k1").starts_with("moved:") && owner("k3").starts_with("moved:"));
    assert_ne!(owner("k1"), owner("k3"), "each is where it went first");
    assert!(!owner("k2").starts_with("moved:"));
    let third = workspace.run(&["handoff", "three.db", "--with-outbox", "--json"]).expect(0);
    assert_eq!((third.json()["moved"].clone(), keys("three.db")), (0.into(), vec![]));
}

/// The copy is searched for the values that are set here: for whose it is not, is told.
#[test]
fn a_secret_that_is_not_looked_for_is_named() {
    let api = UsageApi::start(nine_days(), 50);
    let source = "[sources.s]\nauth = { kind = \"bearer\", token = \"${env:MYKEY}\" }\n";
    let definition = api.definition("").replace("[sources.s]\n", source);
    let mut workspace = Workspace::new(&definition);
    let told = |ran: &Ran| ran.stderr.matches("was not looked for").count();
    workspace.variable("MYKEY", "long-enough").sync();
    assert_eq!(told(&give(&workspace, &[]).expect(0)), 0);
    workspace.variable("MYKEY", "short");
    let gave = give(&workspace, &["--force"]).expect(0);
    assert!(gave.stderr.contains("${env:MYKEY} has fewer than 8 characters"), "{gave:?}");
    workspace.variable("MYKEY", "");
    let gave = give(&workspace, &["--force", "--json"]).expect(0);
    assert!(gave.stderr.contains("the variable MYKEY is not set"), "{gave:?}");
    assert_eq!(told(&gave), 1, "{gave:?}");
    assert_eq!(told(&give(&workspace, &["--force", "--allow-secrets"]).expect(0)), 0);
    // Whoever has the archive alone has its definition too.
    std::fs::remove_file(workspace.path("windrow.toml")).expect("removed");
    let gave = workspace.run(&["-a", "a.db", "handoff", "out.db", "--force"]).expect(0);
    assert_eq!(told(&gave), 1, "{gave:?}");
}

#[test]
fn a_place_that_cannot_be_is_told_with_its_help() {
    let (_api, workspace) = synced();
    let nowhere = workspace.run(&["handoff", "no/such/place.db"]).expect(8);
    assert!(nowhere.stderr.contains("there is no folder no/such"), "{nowhere:?}");
    assert!(nowhere.stderr.contains("help: make it first"), "{nowhere:?}");
    let dash = workspace.run(&["handoff", "-"]).expect(2);
    assert!(dash.stderr.contains("`-` is no name for a hand-off"), "{dash:?}");
    assert!(!workspace.path("-").exists());
    let long = format!("out{}.db", "x".repeat(237));
    workspace.run(&["handoff", &long]).expect(0);
    assert_eq!(made(&workspace), [long]);
    let longer = format!("out{}.db", "y".repeat(300));
    let refused = workspace.run(&["handoff", &longer]).expect(2);
    assert!(refused.stderr.contains("help: name another file"), "{refused:?}");
    let definition = workspace.run(&["definition", "--out", "no/such.toml"]).expect(8);
    assert!(definition.stderr.contains("help: "), "{definition:?}");
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let mut command = workspace.command(&["handoff"]);
        let odd = std::ffi::OsStr::from_bytes(b"out\xff.db");
        let refused = ran(&command.arg(odd).output().expect("it starts")).expect(2);
        assert!(refused.stderr.contains("is not Unicode text"), "{refused:?}");
        assert!(refused.stderr.contains("help: "), "{refused:?}");
    }
}

/// What is printed fits a terminal, and a command in it can be pasted.
#[test]
fn what_is_said_fits_a_terminal_of_80_columns() {
    let (_api, workspace) = with_streams(&["a_stream_with_a_long_name", "clients"]);
    workspace.run(&["keys", "new"]).expect(0);
    std::fs::create_dir(workspace.path("my ünï 日本")).expect("a folder");
    let out = "my ünï 日本/it's.db";
    let gave = workspace.run(&["handoff", out, "--sign", "--compress"]).expect(0);
    assert!(gave.stdout.lines().all(|line| line.chars().count() <= 80), "{}", gave.stdout);
    assert!(gave.stdout.contains("windrow verify 'my ünï 日本/it'\\''s.db'"), "{gave:?}");
    assert!(gave.stdout.contains("it covers\n  a_stream_with_a_long_name"), "{gave:?}");
    let part = ["--streams", "clients,clients", "--where", "id = 'SL-1'"];
    let gave = give(&workspace, &part).expect(0);
    assert!(gave.stdout.contains("a part: the stream clients; rows where id"), "{gave:?}");
    let summary = workspace.value("SELECT summary FROM _windrow_handoffs WHERE file = 'out.db'");
    assert_eq!(summary, "1 stream, 9 rows, a part");
    let manifest = rows(
        &workspace.path("out.db"),
        "SELECT manifest ->> '$.part.streams' FROM _windrow_manifest",
    );
    assert_eq!(manifest, ["[\"clients\"]"]);
    let unnamed = give(&workspace, &["--force", "--sign="]).expect(2);
    assert!(unnamed.stderr.contains("--sign= names no key"), "{unnamed:?}");
}

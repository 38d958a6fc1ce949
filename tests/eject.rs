//! `windrow eject`: one file, on the disk, and an archive like any other afterwards.

use std::process::Stdio;

use windrow::host::files::{lock_path, try_lock};

use crate::api::{UsageApi, nine_days};
use crate::harness::{Workspace, ran};

fn synced() -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    (api, workspace)
}

/// Another program that has the archive open and has read in it.
#[expect(clippy::disallowed_methods, reason = "stands for another program")]
fn viewer(workspace: &Workspace) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(workspace.path("a.db")).expect("the archive");
    let sql = "BEGIN; SELECT count(*) FROM usage;";
    connection.execute_batch(sql).expect(sql);
    connection
}

fn is_alone(workspace: &Workspace) -> bool {
    ["a.db-wal", "a.db-shm", "a.db-journal"].iter().all(|name| !workspace.path(name).exists())
}

/// The format versions for writing and reading in the header: 1 is a rollback journal, 2 a log.
fn header(workspace: &Workspace) -> [u8; 2] {
    let bytes = std::fs::read(workspace.path("a.db")).expect("the archive");
    [bytes[18], bytes[19]]
}

#[test]
fn an_ejected_archive_is_one_file_and_the_next_sync_begins_a_new_log() {
    let (_api, workspace) = synced();
    let digests = workspace.digests();
    assert_eq!(header(&workspace), [2, 2]);
    let ejected = workspace.run(&["eject"]).expect(0);
    let expected = "a.db is one file now and safe to unplug (27 rows in 1 stream, ";
    assert!(ejected.stdout.starts_with(expected), "{ejected:?}");
    assert!(is_alone(&workspace));
    assert_eq!(header(&workspace), [1, 1]);
    assert_eq!(workspace.digests(), digests);
    let json = workspace.run(&["eject", "--json"]).expect(0).json();
    assert_eq!((json["rows"].as_u64(), json["streams"].as_u64()), (Some(27), Some(1)));
    let bytes = std::fs::metadata(workspace.path("a.db")).expect("the archive").len();
    assert_eq!(json["bytes"].as_u64(), Some(bytes));
    workspace.sync();
    assert_eq!(header(&workspace), [2, 2]);
    assert_eq!(workspace.digests(), digests);
}

#[test]
fn a_program_that_has_the_archive_open_is_told_and_waited_for() {
    let (_api, workspace) = synced();
    let viewer = viewer(&workspace);
    let ran_now = workspace.run(&["eject"]).expect(7);
    assert!(ran_now.stderr.contains("another program has the archive a.db open"), "{ran_now:?}");
    assert!(ran_now.stderr.contains("help: close it"), "{ran_now:?}");
    viewer.execute_batch("COMMIT").expect("it has read");
    // It reads no more, and would still write into a log that is gone.
    workspace.run(&["eject"]).expect(7);
    let mut waiting = workspace.command(&["eject", "--wait", "30 seconds"]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let waiting = waiting.expect("windrow starts");
    viewer.close().expect("closed");
    let waited = waiting.wait_with_output().expect("windrow ends");
    ran(&waited).expect(0);
    assert!(is_alone(&workspace));
}

#[test]
fn a_writer_is_not_interrupted() {
    let (_api, workspace) = synced();
    let lock = lock_path(&workspace.path("a.db"));
    let held = try_lock(&lock, "process 1 (windrow sync) since then").expect("the lock is free");
    let refused = workspace.run(&["eject"]).expect(7);
    assert!(refused.stderr.contains("held by process 1 (windrow sync)"), "{refused:?}");
    drop(held);
    workspace.run(&["eject"]).expect(0);
}

#[test]
fn what_is_no_archive_stays_what_it_is() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    let missing = workspace.run(&["eject"]).expect(6);
    assert!(missing.stderr.contains("there is no archive at a.db"), "{missing:?}");
    assert!(!workspace.path("a.db").exists() && !workspace.path("a.db-lock").exists());
    std::fs::write(workspace.path("a.db"), "text").expect("a file");
    workspace.run(&["eject"]).expect(6);
    assert_eq!(std::fs::read(workspace.path("a.db")).expect("the file"), b"text");
    workspace.run(&["eject", "--wait", "soon"]).expect(2);
}

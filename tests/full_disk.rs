//! Disks that fill up or cannot be written, as real file systems of the kernel: a `tmpfs` in a
//! namespace of its own. Where the system gives no such namespaces there is nothing to see here;
//! the simulator's disk, and a limit on the size of files, show the rest.

use std::path::Path;
use std::process::Command;

use crate::api::{Record, UsageApi, usage_definition};
use crate::harness::{NOW, Workspace, rows};

/// Runs a script with root's rights over mounts of its own, or says that it cannot be.
fn mounted(workspace: &Workspace, script: &str) -> Option<String> {
    let mut command = Command::new("unshare");
    let program = env!("CARGO_BIN_EXE_windrow");
    command.args(["-rm", "sh", "-c", &format!("mkdir -p disk\n{script}"), "sh", program]);
    let output = command.current_dir(workspace.folder()).env("WINDROW_TEST_NOW", NOW).output();
    let output = output.ok()?;
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    said.starts_with("mounted").then_some(said)
}

fn days_of(lines: usize) -> Vec<Record> {
    let of_day = |day: i32| {
        let day = format!("2026-01-0{day}");
        (0..lines).map(move |n| Record::new(&format!("SL-{n}"), &day, 1.5, "2026-01-09T00:00:00Z"))
    };
    (1..=9).flat_map(of_day).collect()
}

fn count(archive: &Path) -> String {
    rows(archive, "SELECT count(*) FROM usage").remove(0)
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_of_any_size_that_fills_up_is_8_and_goes_on_once_there_is_space() {
    let api = UsageApi::start(days_of(1_500), 500);
    let definition = usage_definition(&api.api.address, "").replace("\"a.db\"", "\"disk/a.db\"");
    let workspace = Workspace::new(&definition);
    let mut full = 0;
    for kilobytes in [40, 150, 260, 400, 700, 1_000, 1_500, 2_200, 3_000, 64_000] {
        let script = format!(
            "mount -t tmpfs -o size={kilobytes}k none disk && echo mounted
            \"$1\" sync >/dev/null 2>said; echo $?
            mount -o remount,size=64m disk
            [ -e disk/a.db ] && cp -r disk before
            \"$1\" sync >/dev/null; echo $?
            cp disk/a.db after.db; umount disk"
        );
        let Some(said) = mounted(&workspace, &script) else { return };
        let codes: Vec<&str> = said.lines().skip(1).collect();
        assert!(matches!(codes[..], ["0" | "8", "0"]), "{kilobytes} kB: {codes:?}");
        let told = std::fs::read_to_string(workspace.path("said")).expect("what was said");
        if codes[0] == "8" {
            full += 1;
            assert!(told.contains("full") && told.contains("help:"), "{kilobytes} kB: {told}");
        }
        // What was there when the disk was full: whole days or none.
        let before = workspace.path("before");
        if before.join("a.db").exists() {
            let torn = "SELECT l.start_at FROM _windrow_ledger l JOIN pragma_table_info('usage') c
                ON c.name = 'day' WHERE l.state IN ('complete', 'settled')
                AND l.end_at <= '2026-01-10T00:00:00+00:00'
                AND (SELECT count(*) FROM usage u WHERE u.day = substr(l.start_at, 1, 10)) <> 1500";
            let has = "SELECT count(*) FROM sqlite_schema WHERE name = 'usage'";
            if rows(&before.join("a.db"), has) == ["1"] {
                assert_eq!(rows(&before.join("a.db"), torn), [""; 0], "{kilobytes} kB");
            }
        }
        let after = workspace.path("after.db");
        assert_eq!(count(&after), "13500", "{kilobytes} kB");
        assert_eq!(rows(&after, "PRAGMA integrity_check"), ["ok"], "{kilobytes} kB");
        let _ = std::fs::remove_dir_all(&before);
        std::fs::remove_file(&after).expect("the copy is removed");
    }
    assert!(full >= 5, "the disk was full {full} times");
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_read_only_disk_nothing_is_asked_and_everything_can_be_read() {
    let api = UsageApi::start(days_of(3), 500);
    let definition = usage_definition(&api.api.address, "").replace("\"a.db\"", "\"disk/a.db\"");
    let workspace = Workspace::new(&definition);
    let script = "mount -t tmpfs -o size=8m none disk && echo mounted
        \"$1\" sync >/dev/null; echo $?
        mount -o remount,ro disk
        echo; \"$1\" sync >/dev/null 2>said; echo $?
        \"$1\" query 'SELECT count(*) FROM usage'; echo $?
        \"$1\" status >shown; echo $?
        umount disk";
    let Some(said) = mounted(&workspace, script) else { return };
    let asked = api.api.log().len();
    let (first, rest) = said.split_once("\n\n").expect("a pause");
    assert_eq!(first, "mounted\n0");
    assert!(rest.starts_with("8\n") && rest.contains("27") && rest.ends_with("0\n0\n"), "{rest}");
    let told = std::fs::read_to_string(workspace.path("said")).expect("what was said");
    assert!(told.to_lowercase().contains("read-only"), "{told}");
    assert!(std::fs::read_to_string(workspace.path("shown")).expect("a file").contains("usage"));
    assert_eq!(asked, 10, "nine days and the open one, once each");
}

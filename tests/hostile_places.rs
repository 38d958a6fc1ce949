//! What lies under a name that windrow opens: links, FIFOs, devices, sockets, folders, files with
//! two names and files of another user. Each is refused at once, and nothing is written through it.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::api::{Api, FAST, answer, items_definition, json};
use crate::harness::{Ran, Workspace};
use crate::hostile::places::{NOBODY, Trap, Victim, clear, ends, ends_as, is_root, make_fifo};

/// A workspace with an archive that is one file, and a file of ours that a link could lead to.
struct Place {
    workspace: Workspace,
    victim: Victim,
    api: Api,
}

fn place() -> Place {
    let api = Api::start(|asked, _| match asked.method.as_str() {
        "GET" => json(r#"{"data":[{"id":1}]}"#),
        _ => answer("201 Created", &[], "{}"),
    });
    let stream = "columns = { id = \"integer\" }";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, stream));
    workspace.sync();
    workspace.run(&["eject"]).expect(0);
    workspace.run(&["handoff", "given.db"]).expect(0);
    std::fs::copy(workspace.path("a.db"), workspace.path("pristine.db")).expect("a copy");
    let victim = Victim::make(workspace.path("victim"));
    Place { workspace, victim, api }
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.workspace.path(name)
    }

    /// Sets a trap under a name and runs each command; all are to be refused with this code, and
    /// the message is to name the file.
    fn refuses(&self, name: &str, trap: Trap, code: i32, commands: &[&[&str]]) {
        let path = self.path(name);
        clear(&path);
        if !trap.set(&path, &self.victim) {
            return;
        }
        for command in commands {
            let case = format!("{trap:?} at {name}: {command:?}");
            let ended = ends(&self.workspace, command);
            assert_eq!(ended.code, code, "{case}: {ended:?}");
            let last = Path::new(name).file_name().expect("a name").to_string_lossy().into_owned();
            assert!(ended.stderr.contains(&last), "{case}: {ended:?}");
            self.victim.check(&case);
        }
        clear(&path);
    }
}

const READING: [&[&str]; 6] = [
    &["status"],
    &["check"],
    &["query", "SELECT 1"],
    &["diff", "a.db", "given.db"],
    &["export", "items", "-f", "csv"],
    &["handoff", "out.db"],
];
const WRITING: [&[&str]; 7] = [
    &["sync"],
    &["watch", "--every", "1 day"],
    &["eject"],
    &["rebuild", "--apply"],
    &["merge", "given.db"],
    &["outbox", "add", "POST", "/a", "--body", "{}"],
    &["rejects", "retry"],
];

#[test]
fn a_lock_that_is_no_file_of_ours_is_refused_and_what_a_link_leads_to_stays() {
    let place = place();
    for trap in Trap::ALL {
        place.refuses("a.db-lock", trap, 9, &WRITING);
    }
    for trap in Trap::of_any_owner() {
        place.refuses("a.db-lock", trap, 9, &READING);
        place.refuses("given.db-lock", trap, 9, &[&["verify", "given.db"], &["merge", "given.db"]]);
    }
    // With the names taken away again everything goes on.
    place.workspace.sync();
}

#[test]
fn what_sqlite_would_open_beside_an_archive_is_looked_at_first() {
    let place = place();
    for name in ["a.db-wal", "a.db-shm", "a.db-journal"] {
        for trap in Trap::of_any_owner() {
            place.refuses(
                name,
                trap,
                9,
                &[&["sync"], &["eject"], &["status"], &["merge", "given.db"]],
            );
            let of_the_given = name.replace("a.db", "given.db");
            let fetch: [&[&str]; 3] =
                [&["verify", "given.db"], &["diff", "a.db", "given.db"], &["merge", "given.db"]];
            place.refuses(&of_the_given, trap, 9, &fetch);
        }
    }
    for name in ["foreign.db-wal", "foreign.db-shm", "foreign.db-journal"] {
        let foreign = place.path("foreign.db");
        if !foreign.exists() {
            crate::harness::execute(
                &foreign,
                "CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (2)",
            );
        }
        for trap in [Trap::Link, Trap::HardLink, Trap::Fifo, Trap::Folder] {
            place.refuses(name, trap, 9, &[&["adopt", "foreign.db"]]);
        }
    }
    let bytes = |name: &str| std::fs::read(place.path(name)).expect("a file");
    assert_eq!(bytes("a.db"), bytes("pristine.db"), "nothing was written");
}

#[test]
fn an_archive_behind_a_link_stays_usable_and_its_real_neighbours_are_looked_at() {
    let place = place();
    std::fs::create_dir(place.path("far")).expect("a folder");
    std::fs::rename(place.path("a.db"), place.path("far/real.db")).expect("renamed");
    std::os::unix::fs::symlink("far/real.db", place.path("a.db")).expect("a link");
    place.workspace.sync();
    place.workspace.run(&["status"]).expect(0);
    place.workspace.run(&["eject"]).expect(0);
    for trap in [Trap::Link, Trap::HardLink, Trap::Fifo, Trap::Folder] {
        place.refuses("far/real.db-wal", trap, 9, &[&["sync"], &["status"], &["eject"]]);
    }
    assert!(place.path("a.db").symlink_metadata().expect("the link").is_symlink());
}

#[test]
fn an_archive_that_is_no_file_is_refused_at_once() {
    let place = place();
    let commands: [&[&str]; 10] = [
        &["-a", "odd", "sync"],
        &["-a", "odd", "watch", "--every", "1 day"],
        &["-a", "odd", "eject"],
        &["-a", "odd", "status"],
        &["-a", "odd", "check"],
        &["-a", "odd", "export", "items", "-f", "csv"],
        &["-a", "odd", "handoff", "out.db"],
        &["-a", "odd", "outbox", "add", "POST", "/a", "--body", "{}"],
        &["verify", "odd"],
        &["diff", "a.db", "odd"],
    ];
    for trap in [Trap::Fifo, Trap::Socket, Trap::Device, Trap::LinkToDevice] {
        place.refuses("odd", trap, 9, &commands);
        place.refuses("odd", trap, 9, &[&["merge", "odd"]]);
    }
    place.refuses("odd", Trap::Folder, 6, &commands);
    for device in ["/dev/zero", "/dev/full"] {
        let commands: [&[&str]; 3] =
            [&["-a", device, "status"], &["verify", device], &["merge", device]];
        for command in commands {
            let ended = ends(&place.workspace, command).expect(9);
            assert!(ended.stderr.contains(device), "{ended:?}");
        }
    }
    assert!(!place.path("odd-lock").exists(), "nothing is made beside it");
}

#[test]
fn a_definition_is_a_regular_file_or_a_link_to_one() {
    let place = place();
    let commands: [&[&str]; 4] = [
        &["-d", "odd.toml", "sync"],
        &["-d", "odd.toml", "status"],
        &["-d", "odd.toml", "check"],
        &["-d", "odd.toml", "adopt", "rows.csv"],
    ];
    for trap in [Trap::Fifo, Trap::Socket, Trap::Device, Trap::LinkToDevice] {
        place.refuses("odd.toml", trap, 9, &commands);
    }
    place.refuses("odd.toml", Trap::Folder, 2, &commands);
    std::os::unix::fs::symlink("windrow.toml", place.path("linked.toml")).expect("a link");
    place.workspace.run(&["-d", "linked.toml", "sync"]).expect(0);
    make_fifo(&place.path("pipe.toml"));
    let refused = ends(&place.workspace, &["-d", "pipe.toml", "status"]).expect(9);
    assert!(refused.stderr.contains("pipe.toml is a FIFO, not a regular file"), "{refused:?}");
    assert!(refused.stderr.contains("help: write what comes out of the pipe"), "{refused:?}");
    std::fs::write(place.path("long.toml"), vec![b'#'; 17 << 20]).expect("a file");
    let long = ends(&place.workspace, &["-d", "long.toml", "status"]).expect(2);
    assert!(long.stderr.contains("longer than"), "{long:?}");
}

#[test]
fn files_that_a_person_names_are_looked_at_and_never_waited_for() {
    let place = place();
    std::fs::write(place.path("secret"), "s3cret-value\n").expect("a file");
    let add = ["outbox", "add", "POST", "/a", "--body-file", "odd"];
    place.workspace.run(&["handoff", "packed.db", "--compress"]).expect(0);
    for trap in [Trap::Fifo, Trap::Socket, Trap::Device, Trap::LinkToDevice] {
        place.refuses("odd", trap, 9, &[&["adopt", "odd"], &add]);
        place.refuses("odd", trap, 9, &[&["verify", "packed.db", "--identity", "odd"]]);
        place.refuses("given.db.minisig", trap, 9, &[&["verify", "given.db"]]);
    }
    place.refuses("odd", Trap::Folder, 2, &[&["adopt", "odd"], &add]);
    let pipe = ends(&place.workspace, &{
        make_fifo(&place.path("odd"));
        add
    });
    assert!(pipe.expect(9).stderr.contains("--body-file -"));
    // A secret file that cannot be read is a secret that is missing.
    let with_secret = "auth = { kind = \"bearer\", token = \"${file:odd}\" }";
    let text = items_definition(&place.api.address, &format!("{FAST}\n{with_secret}"), "");
    place.workspace.define(&text);
    let missing = ends(&place.workspace, &["sync"]).expect(2);
    assert!(missing.stderr.contains("odd is a FIFO, not a regular file"), "{missing:?}");
    clear(&place.path("odd"));
    std::os::unix::fs::symlink("secret", place.path("odd")).expect("a link");
    ends(&place.workspace, &["sync"]).expect(0);
}

#[test]
fn a_log_that_is_a_link_or_another_thing_is_refused_and_not_written_to() {
    let place = place();
    let commands: [&[&str]; 3] = [&["sync"], &["eject"], &["rejects", "retry"]];
    for trap in Trap::ALL {
        place.refuses("state/windrow.log", trap, 9, &commands);
    }
    place.workspace.sync();
}

fn only(place: &Place, ending: &str) -> String {
    let entries = std::fs::read_dir(place.path("state/outbox")).expect("the state").flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let name = names.find(|name| name.ends_with(ending)).expect(ending);
    format!("state/outbox/{name}")
}

#[test]
fn what_is_kept_of_an_outbox_is_its_owners_alone_and_read_through_no_link() {
    let place = place();
    let add = |key: &str| {
        let arguments = ["outbox", "add", "POST", "/a", "--body", "{}", "--key", key];
        place.workspace.run(&arguments).expect(0);
    };
    add("one");
    place.workspace.run(&["outbox", "send"]).expect(0);
    for entry in std::fs::read_dir(place.path("state/outbox")).expect("the state").flatten() {
        let mode = entry.metadata().expect("it").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{entry:?}");
        assert!(!entry.file_name().to_string_lossy().contains("-new"), "{entry:?}");
    }
    add("two");
    for ending in [".json", ".sends", ".lock"] {
        let name = only(&place, ending);
        let kept = std::fs::read(place.path(&name)).expect("a file");
        for trap in Trap::ALL {
            place.refuses(&name, trap, 9, &[&["outbox", "send"]]);
        }
        std::fs::write(place.path(&name), kept).expect("put back");
    }
    place.workspace.run(&["outbox", "send"]).expect(0);
    for trap in Trap::ALL {
        place.refuses("state/outbox/gateway.token", trap, 9, &[&["outbox", "serve"]]);
    }
}

#[test]
fn the_claim_of_a_handoff_is_opened_like_a_lock_and_its_drafts_have_names_nobody_knows() {
    let place = place();
    let before = names(place.workspace.folder());
    // It is known by the target's name, as another hand-off finds it.
    let claim = claim_of(&place, "out.db");
    for trap in Trap::ALL {
        place.refuses(&claim, trap, 9, &[&["handoff", "out.db"]]);
    }
    let draft = claim.replace("-claim", "");
    for ending in ["", "-journal", "-wal", "-packed"] {
        // The names of an earlier version: nothing is written through them.
        std::os::unix::fs::symlink("victim", place.path(&format!("{draft}{ending}")))
            .expect("link");
    }
    place.workspace.run(&["handoff", "out.db"]).expect(0);
    place.victim.check("old drafts");
    place.workspace.run(&["verify", "out.db"]).expect(0);
    for ending in ["", "-journal", "-wal", "-packed"] {
        clear(&place.path(&format!("{draft}{ending}")));
    }
    // What a killed one has left goes when the next one comes.
    std::fs::write(place.path(&format!("{draft}-draft-0123456789abcdef")), "half").expect("a file");
    place.workspace.run(&["handoff", "out.db", "--force"]).expect(0);
    let mut after = names(place.workspace.folder());
    after.retain(|name| name != "out.db");
    assert_eq!(after, before);
}

/// The name of the claim, as it is seen while a hand-off cannot have it.
fn claim_of(place: &Place, target: &str) -> String {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(target.as_bytes());
    let mark: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let claim = format!("{target}-part-{mark}-claim");
    clear(&place.path(&claim));
    claim
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_drafts_of_an_export_are_opened_like_a_lock() {
    let place = place();
    let export: &[&str] = &["export", "items", "-f", "csv", "-o", "items.csv"];
    for trap in Trap::ALL {
        place.refuses(".items.csv.partial", trap, 9, &[export]);
    }
    let parts = ["export", "items", "-o", "out", "--partition-by", "id"];
    std::fs::create_dir(place.path("out")).expect("a folder");
    std::fs::create_dir(place.path("elsewhere")).expect("a folder");
    std::os::unix::fs::symlink("../elsewhere", place.path("out/.items.parts")).expect("a link");
    ends(&place.workspace, &parts);
    assert!(names(&place.path("elsewhere")).is_empty());
    place.victim.check("export");
    ends(&place.workspace, export).expect(0);
}

/// A note is what somebody else has written.
#[test]
fn the_note_of_a_lock_is_read_to_a_bound_and_escaped() {
    let place = place();
    let path = place.path("a.db-lock");
    let file = std::fs::File::create(&path).expect("a lock");
    file.lock().expect("locked");
    let told = |note: &[u8]| -> Ran {
        std::fs::write(&path, note).expect("a note");
        ends(&place.workspace, &["sync"]).expect(7)
    };
    let plain = told(b"process 7 (windrow sync)\n");
    assert!(plain.stderr.contains("held by process 7 (windrow sync)"), "{plain:?}");
    let hostile = told("\u{1b}[2Jprocess\u{202e} 8\u{9b}\n".as_bytes());
    assert!(hostile.stderr.contains("\\u{1b}[2Jprocess\\u{202e} 8"), "{hostile:?}");
    assert!(!hostile.stderr.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{hostile:?}");
    let mut huge = vec![b'x'; 64 << 20];
    huge.push(b'\n');
    let huge = told(&huge);
    assert!(huge.stderr.len() < 1000 && huge.stderr.contains("another process"), "{huge:?}");
    let binary = told(&[0xff, 0xfe, 0x00, b'\n']);
    assert!(binary.stderr.contains("held by"), "{binary:?}");
}

#[test]
fn a_new_archive_is_made_through_no_link_and_takes_in_no_log_that_lies_ready() {
    let place = place();
    let (draft, log) = (place.path("new.db-new"), place.path("new.db-wal"));
    for trap in Trap::of_any_owner().filter(|trap| *trap != Trap::Folder) {
        clear(&draft);
        if trap.set(&draft, &place.victim) {
            ends(&place.workspace, &["-a", "new.db", "sync"]).expect(0);
            place.victim.check(&format!("{trap:?}"));
            std::fs::remove_file(place.path("new.db")).expect("removed");
            for ending in ["-wal", "-shm"] {
                clear(&place.path(&format!("new.db{ending}")));
            }
        }
    }
    place.refuses("new.db-new", Trap::Folder, 9, &[&["-a", "new.db", "sync"]]);
    std::fs::write(&log, "a log of another archive").expect("a file");
    let refused = ends(&place.workspace, &["-a", "new.db", "sync"]).expect(9);
    assert!(refused.stderr.contains("new.db-wal is the log of an archive"), "{refused:?}");
    assert!(!place.path("new.db").exists());
}

#[test]
fn what_is_replaced_by_force_is_the_link_and_not_its_target() {
    let place = place();
    std::os::unix::fs::symlink("victim", place.path("page.html")).expect("a link");
    ends(&place.workspace, &["report", "--out", "page.html", "--force"]).expect(0);
    place.victim.check("report");
    assert!(place.path("page.html").symlink_metadata().expect("a page").is_file());
    assert!(!names(place.workspace.folder()).iter().any(|name| name.contains("-new-")));
    std::os::unix::fs::symlink("victim", place.path("windrow.html")).expect("a link");
    ends(&place.workspace, &["report", "--out", "windrow.html"]).expect(2);
    place.victim.check("report");
}

/// Others may write to such a folder, and may not take away what is not theirs: `/tmp`.
#[test]
fn in_a_sticky_folder_files_of_another_user_are_refused() {
    let place = place();
    let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok();
    if !is_root(&place.workspace) || !has_setpriv {
        return;
    }
    // The program, where anybody can run it.
    let shared = tempfile::tempdir().expect("a folder");
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    mode(shared.path(), 0o1777);
    let program = shared.path().join("windrow");
    std::fs::copy(env!("CARGO_BIN_EXE_windrow"), &program).expect("a copy");
    mode(&program, 0o755);
    std::fs::copy(place.path("windrow.toml"), shared.path().join("windrow.toml")).expect("a copy");
    mode(&shared.path().join("windrow.toml"), 0o644);
    let as_nobody = |arguments: &[&str]| -> Ran {
        let mut command = Command::new("setpriv");
        let user = format!("--reuid={NOBODY}");
        command.args([&user, "--clear-groups", "--"]).arg(&program).args(arguments);
        command.current_dir(shared.path()).env_clear();
        command.env("WINDROW_STATE_DIR", shared.path().join("state-of-nobody"));
        ends_as(command)
    };
    // Root's lock file, which everybody may write to.
    let lock = shared.path().join("a.db-lock");
    std::fs::write(&lock, "root's").expect("a file");
    mode(&lock, 0o666);
    let refused = as_nobody(&["sync"]);
    assert_eq!(refused.code, 9, "{refused:?}");
    assert!(refused.stderr.contains("belongs to another user (uid 0)"), "{refused:?}");
    assert_eq!(std::fs::read(&lock).expect("the lock"), b"root's");
    std::fs::remove_file(&lock).expect("removed");
    as_nobody(&["sync"]).expect(0);
    // And the other way round: root is not led to write into what another user has laid ready.
    let mut command = place.workspace.command(&["-a", "a.db", "sync"]);
    command.current_dir(shared.path());
    let refused = ends_as(command).expect(9);
    assert!(refused.stderr.contains(&format!("(uid {NOBODY})")), "{refused:?}");
}

#[test]
fn a_lock_of_another_user_does_not_hinder_fetch() {
    let place = place();
    let path = place.path("a.db-lock");
    clear(&path);
    if Trap::OtherOwner.set(&path, &place.victim) {
        place.workspace.run(&["status"]).expect(0);
        place.workspace.run(&["diff", "a.db", "given.db"]).expect(0);
    }
}

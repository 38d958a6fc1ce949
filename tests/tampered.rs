//! Hand-offs that somebody changed since they were given, as far as the file itself can tell.

use std::path::Path;

use crate::api::{UsageApi, nine_days};
use crate::harness::{Ran, Workspace, execute, rows};

/// An archive, and a hand-off of it: `good.db`.
fn given(more: &[&str]) -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    workspace.run(&[&["handoff", "good.db"], more].concat()).expect(0);
    (api, workspace)
}

/// What `verify` says of a copy that somebody has run SQL on.
fn after(workspace: &Workspace, sql: &str) -> Ran {
    std::fs::copy(workspace.path("good.db"), workspace.path("bad.db")).expect("a copy");
    execute(&workspace.path("bad.db"), sql);
    workspace.run(&["verify", "bad.db"])
}

/// Runs statements after each of which the file must not be as it was given, and says so.
fn each_is_told(workspace: &Workspace, cases: &[(&str, &str)]) {
    workspace.run(&["verify", "good.db"]).expect(0);
    for (sql, told) in cases {
        let ran = after(workspace, sql);
        assert!(ran.code == 1 && ran.stdout.contains(told), "{sql}: {ran:?}");
        let taken = workspace.run(&["--archive", "other.db", "merge", "bad.db"]);
        assert_eq!(taken.code, 9, "{sql}: {taken:?}");
        assert!(!workspace.path("other.db").exists(), "{sql}");
    }
}

#[test]
fn a_manifest_that_was_removed_is_missed() {
    let (api, workspace) = given(&[]);
    let removed = "its manifest was removed";
    let marks = "DELETE FROM _windrow_manifest; DELETE FROM _windrow_manifest_marks;";
    let lineage = format!("{marks} DELETE FROM _windrow_lineage");
    each_is_told(
        &workspace,
        &[("DELETE FROM _windrow_manifest", removed), (marks, removed), (&lineage, removed)],
    );
    // Once a run has written there, it is an archive like any other.
    std::fs::copy(workspace.path("good.db"), workspace.path("on.db")).expect("a copy");
    workspace.run(&["--archive", "on.db", "sync"]).expect(0);
    workspace.run(&["--archive", "on.db", "eject"]).expect(0);
    let told = workspace.run(&["verify", "on.db"]).expect(0).stdout;
    assert!(told.contains("whole; it has no manifest"), "{told}");
    workspace.run(&["eject"]).expect(0);
    workspace.run(&["verify", "a.db"]).expect(0);
    drop(api);
}

/// The manifest says of itself what it is; and the file says most of it again.
#[test]
fn a_manifest_that_was_changed_is_told() {
    let (_api, workspace) = given(&[]);
    let set =
        |what: &str| format!("UPDATE _windrow_manifest SET manifest = json_set(manifest, {what})");
    let silent = [
        set("'$.windrow', '9.9.9'"),
        set("'$.more', 'a secret message'"),
        "UPDATE _windrow_manifest SET manifest = manifest || '   '".to_owned(),
        "UPDATE _windrow_manifest SET manifest = json_remove(manifest, '$.rest_sha256', '$.part')"
            .to_owned()
            + "; UPDATE _windrow_manifest SET manifest = ' ' || manifest",
    ];
    for sql in &silent {
        each_is_told(&workspace, &[(sql, "_windrow_manifest: it was changed since")]);
    }
    // Whoever takes away its own digest as well is contradicted by what else is in the file.
    let told = [
        ("'$.made_at', '2020-01-01T00:00:00+00:00'", "`made_at`"),
        ("'$.handoff_id', 'x'", "`handoff_id`"),
        ("'$.lineage', json_array('x')", "`lineage`"),
        ("'$.lineage', json_array()", "`lineage`"),
        ("'$.last_run.run', 7", "`last_run`"),
        ("'$.last_run.uid', 'x'", "`last_run`"),
        ("'$.last_run', NULL", "`last_run`"),
        ("'$.archive_format', 3", "`archive_format`"),
        ("'$.streams[#]', json_extract(manifest, '$.streams[0]')", "usage: it is told of twice"),
        (
            "'$.streams[#]', json_set(json_extract(manifest, '$.streams[0]'), '$.stream', 'more')",
            "more: it is not there",
        ),
        ("'$.streams', json_array()", "usage: it was not given"),
        ("'$.tables[#]', json_extract(manifest, '$.tables[0]')", "it is told of twice"),
        ("'$.part', json('{\"streams\":[\"usage\",\"more\"]}')", "`part`"),
        ("'$.part', json('{\"condition\":\"gb > 1\"}')", "`part`"),
    ];
    for (what, told) in told {
        let sql = format!(
            "UPDATE _windrow_manifest SET manifest = json_remove(json_set(manifest, {what}),
                '$.rest_sha256')"
        );
        each_is_told(&workspace, &[(&sql, told)]);
    }
}

#[test]
fn a_part_that_says_that_it_is_none_or_another_one_is_told() {
    for more in [&["--since", "1"][..], &["--where", "id = 'SL-1'"]] {
        let (_api, workspace) = given(more);
        for change in
            ["json_remove(manifest, '$.part')", "json_set(manifest, '$.part', json('null'))"]
        {
            let sql = format!(
                "UPDATE _windrow_manifest SET manifest = json_remove({change}, '$.rest_sha256')"
            );
            each_is_told(&workspace, &[(&sql, "`part`")]);
        }
    }
    let (_api, mut workspace) = given(&[]);
    workspace.at("2026-01-11T12:00:00Z").sync();
    workspace.run(&["handoff", "good.db", "--force", "--since", "1"]).expect(0);
    let second = rows(&workspace.path("good.db"), "SELECT uid FROM _windrow_runs WHERE run_id = 2");
    for (run, uid) in [("1", "'x'"), ("2", &format!("'{}'", second[0])), ("9", "'x'")] {
        let sql = format!(
            "UPDATE _windrow_manifest SET manifest = json_remove(json_set(manifest,
                '$.part.since.run', {run}, '$.part.since.uid', {uid}), '$.rest_sha256')"
        );
        each_is_told(&workspace, &[(&sql, "`part`")]);
    }
}

#[test]
fn nothing_more_lies_in_a_hand_off_than_was_given() {
    let (_api, workspace) = given(&[]);
    let marks = "_windrow_manifest_marks: ";
    each_is_told(
        &workspace,
        &[
            (
                "INSERT INTO _windrow_manifest VALUES ('{\"a\":\"message\"}')",
                "_windrow_manifest: 2 rows are there, 1 was given",
            ),
            ("DELETE FROM _windrow_manifest_marks", marks),
            ("UPDATE _windrow_manifest_marks SET marks = x''", marks),
            ("UPDATE _windrow_manifest_marks SET marks = zeroblob(100000)", marks),
            ("UPDATE _windrow_manifest_marks SET marks = randomblob(length(marks))", marks),
            ("UPDATE _windrow_manifest_marks SET chunk = 7", marks),
            ("INSERT INTO _windrow_manifest_marks VALUES ('usage', 1, x'01020304')", marks),
            ("INSERT INTO _windrow_manifest_marks VALUES ('', 0, zeroblob(100000))", marks),
            (
                "CREATE TABLE hidden (a); INSERT INTO hidden VALUES (zeroblob(500000));
                 DROP TABLE hidden",
                "! it has free pages (",
            ),
        ],
    );
    // A row that was changed is named only by marks that can be its own.
    let ran = after(&workspace, "UPDATE usage SET gb = 9; DELETE FROM _windrow_manifest_marks");
    let json = ran.expect(1).stdout;
    assert!(json.contains("usage: rows were changed") && json.contains(marks), "{json}");
    reserved_bytes(&workspace);
}

/// The header has room that SQLite leaves empty.
fn reserved_bytes(workspace: &Workspace) {
    let mut bytes = std::fs::read(workspace.path("good.db")).expect("the file");
    bytes[72..80].copy_from_slice(b"a secret");
    std::fs::write(workspace.path("bad.db"), bytes).expect("written");
    let ran = workspace.run(&["verify", "bad.db"]).expect(6);
    assert!(ran.stderr.contains("its header makes no sense"), "{ran:?}");
}

/// What two people read to each other on the telephone.
#[test]
fn the_number_of_the_manifest_is_told_by_both_sides() {
    let (_api, workspace) = given(&[]);
    let gave = workspace.run(&["handoff", "out.db", "--json"]).expect(0).json();
    let sha256 = gave["sha256"].as_str().expect("a digest").to_owned();
    let verified = workspace.run(&["verify", "out.db", "--json"]).expect(0).json();
    assert_eq!(verified["sha256"], sha256.as_str());
    let page = workspace.run(&["verify", "out.db"]).expect(0).stdout;
    assert!(page.contains(&format!("its manifest is {}\n", &sha256[..16])), "{page}");
    let gave = workspace.run(&["handoff", "out.db", "--force"]).expect(0).stdout;
    let page = workspace.run(&["verify", "out.db"]).expect(0).stdout;
    let number = gave.split("its manifest is ").nth(1).and_then(|rest| rest.get(..16));
    assert!(page.contains(number.expect("a number")), "{gave}{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    // A stranger computes the manifest's digest over itself.
    let sql = "SELECT json_remove(manifest, '$.rest_sha256') FROM _windrow_manifest";
    let rest = rows(&workspace.path("out.db"), sql).remove(0);
    let own = "SELECT json_extract(manifest, '$.rest_sha256') FROM _windrow_manifest";
    let own = rows(&workspace.path("out.db"), own).remove(0);
    assert_eq!(own, windrow_digest(&rest));
    // Without a manifest there is none.
    workspace.run(&["eject"]).expect(0);
    let own = workspace.run(&["verify", "a.db", "--json"]).expect(0).json();
    assert!(own["sha256"].is_null(), "{own}");
}

fn windrow_digest(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hand-off of before has no digest over its manifest, and is as it was given all the same.
#[test]
fn a_manifest_without_a_digest_over_itself_is_taken() {
    let (_api, workspace) = given(&[]);
    let sql = "UPDATE _windrow_manifest SET manifest = json_remove(manifest, '$.rest_sha256');
        VACUUM";
    let ran = after(&workspace, sql).expect(0);
    assert!(ran.stdout.ends_with("whole, and as it was given\n"), "{ran:?}");
}

/// A process that is killed cannot clear up after itself; the next one does, and leaves those alone
/// that live.
#[test]
#[cfg(unix)]
fn what_a_killed_process_has_unpacked_goes_at_the_next_start() {
    let (_api, mut workspace) = given(&[]);
    workspace.run(&["handoff", "packed.db", "--compress"]).expect(0);
    workspace.variable("WINDROW_KEY_PASSWORD", "a long one");
    workspace.run(&["keys", "new"]).expect(0);
    // Each time the password is tried takes a tenth of a second: more than a minute in all.
    let identities = ["--identity", "keys/own.age"].repeat(1000);
    let mut busy = workspace.command(&[&["verify", "packed.db"][..], &identities].concat());
    let mut child = busy.spawn().expect("windrow starts");
    let unpacked = workspace.path("state").join("unpacked");
    let folders = || -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(&unpacked).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    while folders().is_empty() {
        pause();
    }
    let room = folders().remove(0);
    std::fs::write(room.join("archive.db"), "all the customers").expect("written");
    workspace.run(&["verify", "packed.db"]).expect(0);
    assert_eq!(folders(), [room.as_path()], "whoever lives keeps what is theirs");
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert_eq!(folders(), [room.as_path()]);
    // A file that nothing is around clears up just as well.
    workspace.run(&["verify", "good.db"]).expect(0);
    assert_eq!(std::fs::read_dir(&unpacked).expect("the folder").count(), 0);
}

#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(5));
}

#[test]
fn the_statements_of_a_file_are_printed_as_json_too() {
    let (_api, workspace) = given(&[]);
    let text = workspace.run(&["verify", "good.db", "--print-sql"]).expect(0).stdout;
    let json = workspace.run(&["verify", "good.db", "--print-sql", "--json"]).expect(0).json();
    assert_eq!((&json["file"], &json["sql"][0]["stream"]), (&"good.db".into(), &"usage".into()));
    let sql = json["sql"][0]["sql"].as_str().expect("a statement");
    assert_eq!(text, format!("-- usage\n{sql}\n"));
}

#[test]
#[cfg(unix)]
fn a_signature_that_is_no_file_and_an_identity_that_is_not_there_have_their_help() {
    let (_api, workspace) = given(&[]);
    let signature = workspace.path("good.db.minisig");
    std::fs::create_dir(&signature).expect("a folder");
    let refused = |told: &str, code: i32, more: &[&str]| {
        let ran = workspace.run(&[&["verify"], more].concat()).expect(code);
        assert!(ran.stderr.contains(told) && ran.stderr.contains("help:"), "{ran:?}");
    };
    refused("is no signature of minisign: it is no plain file", 9, &["good.db"]);
    std::fs::remove_dir(&signature).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(&signature).status().expect("mkfifo");
    assert!(made.success());
    refused("is no signature of minisign: it is no plain file", 9, &["good.db"]);
    std::fs::remove_file(&signature).expect("removed");
    workspace.run(&["handoff", "packed.db", "--compress"]).expect(0);
    refused("there is no identity at no.age", 2, &["packed.db", "--identity", "no.age"]);
    refused("holds no age identity", 2, &["packed.db", "--identity", "state"]);
    let ran = workspace.run(&["handoff", "two.db", "--sign="]).expect(2);
    assert!(ran.stderr.contains("--sign= names no key"), "{ran:?}");
}

/// As of a password file: what others can read is no secret.
#[test]
#[cfg(unix)]
fn a_key_that_others_can_read_is_refused_unless_a_password_protects_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_api, mut workspace) = given(&[]);
    workspace.run(&["keys", "new"]).expect(0);
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let sign = ["handoff", "signed.db", "--sign", "--force"];
    workspace.run(&["handoff", "packed.db", "--encrypt", "own"]).expect(0);
    for (file, command) in [("own.key", &sign[..]), ("own.age", &["verify", "packed.db"])] {
        let path = workspace.path("keys").join(file);
        for mode in [0o644, 0o640, 0o660] {
            open(&path, mode);
            let ran = workspace.run(command).expect(2);
            let told = format!("others can read {}", path.display());
            let help = format!("chmod 600 {}", path.display());
            assert!(ran.stderr.contains(&told) && ran.stderr.contains(&help), "{ran:?}");
        }
        open(&path, 0o400);
        workspace.run(command).expect(0);
    }
    let moved = workspace.path("id.age");
    std::fs::rename(workspace.path("keys/own.age"), &moved).expect("moved");
    open(&moved, 0o604);
    workspace.run(&["verify", "packed.db", "--identity", "id.age"]).expect(2);
    // With a password the mode is not all that protects it.
    workspace.variable("WINDROW_KEY_PASSWORD", "a long one");
    workspace.run(&["keys", "new", "--name", "locked"]).expect(0);
    open(&workspace.path("keys/locked.key"), 0o644);
    workspace.run(&["handoff", "signed.db", "--sign=locked", "--force"]).expect(0);
}

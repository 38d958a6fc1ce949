//! `windrow handoff` and `windrow verify`: one plain file that proves itself.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::api::{Record, UsageApi, nine_days};
use crate::harness::{Ran, Workspace, execute, rows};

fn synced() -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    (api, workspace)
}

fn give(workspace: &Workspace, more: &[&str]) -> Ran {
    workspace.run(&[&["handoff", "out.db"], more].concat())
}

fn verify(workspace: &Workspace) -> Ran {
    workspace.run(&["verify", "out.db"])
}

/// What lies in the folder under names that begin like the target's.
fn made(workspace: &Workspace) -> Vec<String> {
    let entries = std::fs::read_dir(workspace.folder()).expect("the folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("out")).collect();
    names.sort();
    names
}

#[test]
fn an_archive_is_given_as_one_plain_file_that_says_what_it_holds() {
    let (_api, workspace) = synced();
    let gave = give(&workspace, &[]).expect(0);
    let lines: Vec<&str> = gave.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{gave:?}");
    assert!(lines[0].starts_with("gave 27 rows of 1 stream to out.db ("), "{gave:?}");
    assert_eq!(lines[1], "it covers usage 2026-01-01..2026-01-10T12:00:00Z without a gap");
    assert!(lines[2].ends_with(": `windrow verify out.db`"), "{gave:?}");
    assert_eq!(made(&workspace), ["out.db"], "no log, no draft");
    let out = workspace.path("out.db");
    let header = std::fs::read(&out).expect("the file");
    assert_eq!(header[18..20], [1, 1], "no log belongs to it");
    assert_eq!(rows(&out, "PRAGMA integrity_check"), ["ok"]);
    let same = "SELECT * FROM usage ORDER BY 1, 2";
    assert_eq!(rows(&out, same), workspace.rows(same));
    let ledger = "SELECT * FROM _windrow_ledger ORDER BY 1, 2, 3";
    assert_eq!(rows(&out, ledger), workspace.rows(ledger));
    let proved = verify(&workspace).expect(0);
    assert!(proved.stdout.ends_with("whole, and as it was given\n"), "{proved:?}");
    assert!(
        proved.stdout.contains("usage  27 rows  2026-01-01..2026-01-10T12:00:00Z"),
        "{proved:?}"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&out).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "others read it once they are given it");
    }
}

#[test]
fn the_copy_has_an_id_of_its_own_and_the_archive_remembers_giving_it() {
    let (_api, workspace) = synced();
    let json = give(&workspace, &["--json"]).expect(0).json();
    let id = "SELECT value FROM _windrow_meta WHERE name = 'archive_id'";
    let (own, copys) = (workspace.value(id), rows(&workspace.path("out.db"), id).remove(0));
    assert_ne!(own, copys);
    assert_eq!(json["manifest"]["archive_id"], copys.as_str());
    assert_eq!(json["manifest"]["lineage"], serde_json::json!([own]));
    let log = "SELECT direction, archive_id, file, sha256, summary, at FROM _windrow_handoffs";
    let sha256 = json["sha256"].as_str().expect("a digest");
    let line = format!("given|{copys}|out.db|{sha256}|1 stream, 27 rows|2026-01-10T12:00:00+00:00");
    assert_eq!(workspace.rows(log), [line]);
    assert_eq!(rows(&workspace.path("out.db"), log), [""; 0], "that stays at home");
    let manifest = rows(&workspace.path("out.db"), "SELECT manifest FROM _windrow_manifest");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&manifest[0]).ok(),
        Some(json["manifest"].clone())
    );
}

/// The digest that the `sqlite3` statement of `--print-sql` leads to, hashed by hand.
#[test]
fn a_stranger_computes_the_digest_from_the_statement_that_is_printed() {
    use sha2::Digest;
    let (_api, workspace) = synced();
    let json = give(&workspace, &["--json"]).expect(0).json();
    let sql = workspace.run(&["verify", "out.db", "--print-sql"]).expect(0).stdout;
    let (head, select) = sql.split_once(";\n").expect("two statements");
    assert!(head.starts_with("-- usage\nSELECT 'id|day|gb|updated_at|_rest'"), "{head}");
    // The shell has this function built in; here the bytes come from the value itself.
    let bits = |value: f64| format!("{:016X}", value.to_bits());
    let mut text = "id|day|gb|updated_at|_rest\n".to_owned();
    let plain = "SELECT hex(id), hex(day), gb, hex(updated_at), typeof(_rest) FROM usage
        ORDER BY id, day";
    for row in rows(&workspace.path("out.db"), plain) {
        let cells: Vec<&str> = row.split('|').collect();
        let gb: f64 = cells[2].parse().expect("a number");
        assert_eq!(cells[4], "null");
        text.push_str(&format!("t{}|t{}|r{}|t{}|n\n", cells[0], cells[1], bits(gb), cells[3]));
    }
    let sha256: String =
        sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(json["manifest"]["streams"][0]["sha256"], sha256.as_str());
    assert!(select.contains("'r' || hex(ieee754_to_blob(\"gb\"))"), "{select}");
}

#[test]
fn the_digest_is_of_what_is_said_and_not_of_how_it_lies_in_the_file() {
    let (_api, workspace) = synced();
    let digests = workspace.digests();
    // Other row numbers, another page size, other times and runs.
    execute(
        &workspace.path("a.db"),
        "CREATE TABLE copy AS SELECT * FROM usage ORDER BY random();
         DELETE FROM usage; INSERT INTO usage SELECT * FROM copy; DROP TABLE copy;
         UPDATE usage SET _revision = 7, _first_seen_at = 'x';
         PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM;",
    );
    assert_eq!(workspace.digests(), digests);
    execute(
        &workspace.path("a.db"),
        "UPDATE usage SET gb = gb + 1e-9 WHERE id = 'SL-1' AND day = '2026-01-03'",
    );
    assert_ne!(workspace.digests(), digests);
}

#[test]
fn what_was_changed_since_is_named_down_to_the_stream_and_the_key() {
    let (_api, workspace) = synced();
    give(&workspace, &[]).expect(0);
    let cases = [
        (
            "UPDATE usage SET gb = 99 WHERE id = 'SL-2' AND day = '2026-01-04'",
            "! usage ('SL-2','2026-01-04'): this row is not as it was given",
        ),
        (
            "DELETE FROM usage WHERE id = 'SL-1' AND day = '2026-01-05'",
            "! usage ('SL-1','2026-01-06'): rows are missing before this one",
        ),
        (
            "INSERT INTO usage SELECT 'SL-9', day, gb, updated_at, _rest, _first_seen_at,
             _changed_at, _revision, _run FROM usage LIMIT 1",
            "! usage ('SL-9','2026-01-01'): this row is not as it was given",
        ),
        (
            "UPDATE usage SET _run = 1, _revision = 5 WHERE id = 'SL-3'",
            "! usage ('SL-3','2026-01-01')",
        ),
        ("UPDATE _windrow_ledger SET received = 4", "! _windrow_ledger: rows were changed"),
        (
            "DELETE FROM _windrow_ledger WHERE start_at LIKE '2026-01-03%'",
            "! usage: what it covers",
        ),
        ("DELETE FROM _windrow_ledger", "! _windrow_ledger: 0 rows are there, 10 were given"),
        ("UPDATE _windrow_runs SET message = 'x'", "! _windrow_runs: rows were changed"),
    ];
    let whole = std::fs::read(workspace.path("out.db")).expect("the file");
    for (sql, told) in cases {
        std::fs::write(workspace.path("out.db"), &whole).expect("written");
        execute(&workspace.path("out.db"), sql);
        let proved = verify(&workspace).expect(1);
        assert!(proved.stdout.contains(told), "{sql}\n{}", proved.stdout);
        assert!(proved.stdout.ends_with("NOT as it was given\n"), "{sql}\n{}", proved.stdout);
        let json = workspace.run(&["verify", "out.db", "--json"]).expect(1).json();
        assert_ne!(json["differences"], serde_json::json!([]));
    }
}

#[test]
fn a_hand_off_holds_no_secret_wherever_a_definition_allows_one() {
    let api = UsageApi::start(nine_days(), 50);
    let canaries = ["CANARYheader", "CANARYquery", "CANARYtoken", "CANARYbody", "CANARYwebhook"];
    let definition = api.definition("source = \"s\"\nraw = true\nhistory = true").replacen(
        "[sources.s]",
        "[sources.s]\nauth = { kind = \"bearer\", token = \"${env:TOKEN}\" }\n\
         headers = { X-Own = \"${env:OWN}\" }",
        1,
    );
    let definition = format!(
        "{definition}\n[sources.t]\nbase_url = \"http://127.0.0.1:1\"\n\
         auth = {{ kind = \"query\", name = \"k\", value = \"${{env:QUERY}}\" }}\n"
    );
    let mut workspace = Workspace::new(&definition);
    for (name, value) in [("TOKEN", canaries[2]), ("OWN", canaries[0]), ("QUERY", canaries[1])] {
        workspace.variable(name, value);
    }
    workspace.sync();
    assert!(api.api.log().iter().any(|asked| asked.header("x-own") == Some("CANARYheader")));
    // What was once in a row and is gone, and what waits to be sent, is not given away either.
    execute(
        &workspace.path("a.db"),
        "INSERT INTO _windrow_waits VALUES ('s', '2026-01-01', 'CANARYbody', '');
         INSERT INTO _windrow_alerts VALUES ('a', 'f', 'c', 's', 'info', 'CANARYwebhook', '', '', 1, '', NULL, 1);
         CREATE TABLE notes (text); INSERT INTO notes VALUES ('CANARYnotes'); DROP TABLE notes;
         CREATE TABLE own (text); INSERT INTO own VALUES ('CANARYown');",
    );
    let gave = give(&workspace, &[]).expect(0);
    assert!(
        gave.stderr.contains("left out, since windrow did not make it: table `own`"),
        "{gave:?}"
    );
    let bytes = std::fs::read(workspace.path("out.db")).expect("the file");
    let found = bytes.windows(6).filter(|window| *window == b"CANARY").count();
    assert_eq!(found, 0);
    verify(&workspace).expect(0);
}

#[test]
fn a_copy_is_made_beside_a_running_sync() {
    let (_api, workspace) = synced();
    let lock = windrow::host::files::lock_path(&workspace.path("a.db"));
    let held = windrow::host::files::try_lock(&lock, "process 1 (windrow sync)");
    let held = held.unwrap_or_else(|_| panic!("the lock is free"));
    give(&workspace, &[]).expect(0);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_handoffs"), "1");
    drop(held);
    verify(&workspace).expect(0);
}

#[test]
fn a_part_says_that_it_is_one_and_proves_nothing_by_itself() {
    let api = UsageApi::start(nine_days(), 50);
    let mut workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    api.change(|records| {
        records.push(Record::new("SL-1", "2026-01-10", 7.5, "2026-01-10T13:00:00Z"))
    });
    workspace.at("2026-01-10T14:00:00Z").sync();
    let gave = give(&workspace, &["--since", "1"]).expect(0);
    assert!(gave.stdout.starts_with("gave 1 row of 1 stream"), "{gave:?}");
    assert!(gave.stdout.contains("a part: what was written after run 1"), "{gave:?}");
    assert!(gave.stdout.contains("covers nothing by itself"), "{gave:?}");
    let proved = verify(&workspace).expect(0).stdout;
    assert!(proved.contains("a part: what was written after run 1"), "{proved}");
    assert!(proved.contains("usage  1 row  nothing yet"), "{proved}");
    assert!(proved.contains("usage: not all rows of 1 run are here"), "{proved}");
    let out = workspace.path("out.db");
    assert_eq!(rows(&out, "SELECT count(*) FROM _windrow_ledger"), ["0"]);
    assert_ne!(rows(&out, "SELECT count(*) FROM _windrow_part_ledger"), ["0"]);

    let gave = give(&workspace, &["--force", "--where", "id = 'SL-2' AND gb > 0"]).expect(0);
    assert!(gave.stdout.contains("a part: rows where id = 'SL-2' AND gb > 0"), "{gave:?}");
    assert_eq!(rows(&out, "SELECT DISTINCT id FROM usage"), ["SL-2"]);
    verify(&workspace).expect(0);
    give(&workspace, &["--force", "--where", "nothing = 1"]).expect(2);
    give(&workspace, &["--force", "--where", "1); DROP TABLE usage; --"]).expect(2);
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "28");
    give(&workspace, &["--force", "--since", "99"]).expect(2);
    let unknown = give(&workspace, &["--force", "--streams", "nope"]).expect(2);
    assert!(unknown.stderr.contains("the archive has no stream `nope`"), "{unknown:?}");
}

#[test]
fn streams_that_are_not_given_leave_nothing_behind() {
    let api = UsageApi::start(nine_days(), 50);
    let second =
        api.definition("history = true").replace("[streams.usage", "[streams.secret_usage");
    let (_, second) = second.split_once("[streams").expect("a stream");
    let definition = format!("{}\n[streams{second}", api.definition(""));
    let workspace = Workspace::new(&definition);
    workspace.sync();
    give(&workspace, &["--streams", "usage"]).expect(0);
    let out = workspace.path("out.db");
    let tables = rows(&out, "SELECT name FROM sqlite_schema WHERE name LIKE '%secret%'");
    assert_eq!(tables, [""; 0]);
    assert_eq!(rows(&out, "SELECT DISTINCT stream FROM _windrow_ledger"), ["usage"]);
    let covers = verify(&workspace).expect(0).stdout;
    assert!(covers.contains("usage  27 rows  2026-01-01..2026-01-10T12:00:00Z"), "{covers}");
    assert!(covers.contains("secret_usage: not all rows of 1 run are here"), "{covers}");
}

#[test]
fn a_target_that_is_there_is_refused_unless_it_is_meant() {
    let (_api, workspace) = synced();
    std::fs::write(workspace.path("out.db"), b"mine").expect("a file");
    let refused = give(&workspace, &[]).expect(2);
    assert!(refused.stderr.contains("out.db is there already"), "{refused:?}");
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!(std::fs::read(workspace.path("out.db")).expect("a file"), b"mine");
    give(&workspace, &["--force"]).expect(0);
    verify(&workspace).expect(0);
    let own = workspace.run(&["handoff", "a.db", "--force"]).expect(2);
    assert!(own.stderr.contains("a.db is the archive itself"), "{own:?}");
    std::fs::create_dir(workspace.path("folder")).expect("a folder");
    workspace.run(&["handoff", "folder"]).expect(2);
    workspace.run(&["handoff", "no/such/place.db"]).expect(8);
    workspace.run(&["--archive", "none.db", "handoff", "out2.db"]).expect(6);
}

#[test]
fn an_archive_that_is_not_whole_is_not_given_away() {
    let (_api, workspace) = synced();
    execute(&workspace.path("a.db"), "DELETE FROM usage WHERE id <> 'SL-1'");
    execute(&workspace.path("a.db"), "UPDATE _windrow_ledger SET distinct_keys = 27");
    let refused = give(&workspace, &[]).expect(6);
    let told = "not whole, and was not given away: usage: 9 rows are there, and one fetch alone \
                found 27";
    assert!(refused.stderr.contains(told), "{refused:?}");
    assert_eq!(made(&workspace), [""; 0]);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_handoffs"), "0");
}

/// A stick that is full in the middle: the file size limit of the process stands for it.
#[test]
#[cfg(target_os = "linux")]
fn a_full_stick_leaves_no_file_with_the_final_name() {
    let (_api, workspace) = synced();
    let size = std::fs::metadata(workspace.path("a.db")).expect("the archive").len() / 512;
    for blocks in [8, size / 2] {
        let mut shell = Command::new("sh");
        let windrow = env!("CARGO_BIN_EXE_windrow");
        let line = format!("trap '' XFSZ; ulimit -f {blocks}; exec {windrow} handoff out.db");
        shell.args(["-c", &line]).current_dir(workspace.folder()).env_clear();
        shell.env("WINDROW_STATE_DIR", workspace.folder().join("state")).stdin(Stdio::null());
        let ran = crate::harness::ran(&shell.output().expect("a shell")).expect(8);
        assert_eq!(made(&workspace), [""; 0], "{ran:?}");
    }
    give(&workspace, &[]).expect(0);
}

#[expect(clippy::disallowed_methods, reason = "another process is killed at some instant")]
fn pause(millis: u64) {
    std::thread::sleep(std::time::Duration::from_millis(millis));
}

#[test]
fn a_killed_hand_off_leaves_nothing_that_could_be_taken_for_one() {
    let (_api, workspace) = synced();
    for millis in [0, 5, 10, 20, 40, 60, 80] {
        let mut child = workspace.command(&["handoff", "out.db"]).stdout(Stdio::null()).spawn();
        let child = child.as_mut().expect("windrow starts");
        pause(millis);
        let _ = child.kill();
        child.wait().expect("it has ended");
        if workspace.path("out.db").exists() {
            verify(&workspace).expect(0);
            std::fs::remove_file(workspace.path("out.db")).expect("removed");
        }
    }
    give(&workspace, &[]).expect(0);
    assert_eq!(made(&workspace), ["out.db"], "what the killed ones left is gone");
}

#[test]
fn a_hand_off_is_signed_compressed_and_encrypted_as_one_asks() {
    let (_api, mut workspace) = synced();
    workspace.run(&["keys", "new"]).expect(0);
    let own = workspace.run(&["keys", "list", "--json"]).expect(0).json()["name"].clone();
    let own = own.as_str().expect("a name").to_owned();
    let gave = give(&workspace, &["--sign", "--compress", "--encrypt", &own]).expect(0);
    assert!(gave.stdout.contains("signed by the key "), "{gave:?}");
    assert_eq!(made(&workspace), ["out.db", "out.db.minisig"]);
    let first = std::fs::read(workspace.path("out.db")).expect("the file");
    assert!(first.starts_with(b"age-encryption.org/v1"));
    let proved = verify(&workspace).expect(0).stdout;
    assert!(proved.contains(&format!("signed by {own} (key ")), "{proved}");
    assert!(proved.contains(", encrypted, compressed\n"), "{proved}");
    let left = std::fs::read_dir(workspace.path("state").join("unpacked")).expect("a folder");
    assert_eq!(left.count(), 0, "nothing that was unpacked stays");
    // Whoever has neither key nor trust.
    let other = workspace.path("other_keys").display().to_string();
    workspace.variable("WINDROW_KEYS_DIR", &other);
    let unknown = verify(&workspace).expect(9);
    assert!(unknown.stderr.contains("is signed by the unknown key"), "{unknown:?}");
    std::fs::remove_file(workspace.path("out.db.minisig")).expect("removed");
    verify(&workspace).expect(9);
}

#[test]
fn a_signature_is_looked_at_before_anything_else() {
    let (_api, workspace) = synced();
    workspace.run(&["keys", "new"]).expect(0);
    give(&workspace, &["--sign"]).expect(0);
    let out = workspace.path("out.db");
    let mut bytes = std::fs::read(&out).expect("the file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&out, &bytes).expect("written");
    verify(&workspace).expect(9);
    std::fs::remove_file(workspace.path("out.db.minisig")).expect("removed");
    let name = workspace.run(&["keys", "list", "--json"]).expect(0).json()["name"].clone();
    let required = ["verify", "out.db", "--signer", name.as_str().expect("a name")];
    workspace.run(&required).expect(9);
    // A file that is replaced does not keep the old one's signature.
    give(&workspace, &["--sign", "--force"]).expect(0);
    give(&workspace, &["--force"]).expect(0);
    assert_eq!(made(&workspace), ["out.db"]);
}

#[test]
fn the_outbox_stays_at_home() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    workspace.run(&["outbox", "add", "POST", "/orders", "--body", "{\"CANARY\":1}"]).expect(0);
    give(&workspace, &[]).expect(0);
    let bytes = std::fs::read(workspace.path("out.db")).expect("the file");
    assert!(!bytes.windows(6).any(|window| window == b"CANARY"));
    assert_eq!(rows(&workspace.path("out.db"), "SELECT count(*) FROM _windrow_outbox"), ["0"]);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_outbox"), "1");
}

/// Moved, never copied: what went along is not sent from here, and there only by a person's word.
#[test]
fn an_outbox_that_goes_along_is_sent_from_one_place() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let add = ["outbox", "add", "POST", "/orders", "--key", "k1", "--body", "{}"];
    workspace.run(&add).expect(0);
    let gave = give(&workspace, &["--with-outbox"]).expect(0);
    assert!(gave.stderr.contains("moved 1 request that waits: there,"), "{gave:?}");
    assert!(gave.stderr.contains("`windrow outbox resolve KEY --resend`"), "{gave:?}");
    let posts = || api.api.log().iter().filter(|asked| asked.target.contains("/orders")).count();
    workspace.run(&["outbox", "send"]);
    assert_eq!(posts(), 0, "it is no longer ours");
    let colleague = Workspace::new(&api.definition(""));
    std::fs::copy(workspace.path("out.db"), colleague.path("a.db")).expect("a stick");
    colleague.run(&["outbox", "send"]);
    assert_eq!(posts(), 0, "and not yet theirs");
    colleague.run(&["outbox", "resolve", "k1", "--resend"]).expect(0);
    colleague.run(&["outbox", "send"]);
    assert_eq!(posts(), 1);
    workspace.run(&["outbox", "send"]);
    assert_eq!(posts(), 1);
    verify(&workspace).expect(0);
}

/// With nothing but the file, a colleague goes on from the ledger: nothing settled is asked again.
#[test]
fn a_colleague_goes_on_from_the_file_alone() {
    let (api, workspace) = synced();
    give(&workspace, &[]).expect(0);
    let colleague = Workspace::empty();
    std::fs::copy(workspace.path("out.db"), colleague.path("got.db")).expect("a stick");
    let with = |more: &[&str]| colleague.run(&[&["--archive", "got.db"], more].concat());
    with(&["status"]).expect(0);
    with(&["query", "SELECT count(*) FROM usage"]).expect(0);
    with(&["check"]).expect(0);
    with(&["sync"]).expect(9);
    colleague.trust("got.db");
    let before = api.api.log().len();
    with(&["sync"]).expect(0);
    let asked = api.api.log().len() - before;
    let again = workspace.sync().json();
    assert_eq!(asked as u64, again["requests"].as_u64().unwrap_or(asked as u64));
    assert!(asked < before, "{asked} of {before} requests: what is settled is not asked again");
    let proved = colleague.run(&["verify", "got.db"]);
    let beside = Path::new("got.db-wal");
    assert!(
        proved.code == 0 || proved.stderr.contains(&beside.display().to_string()),
        "{proved:?}"
    );
    let first = rows(&colleague.path("got.db"), "SELECT count(*) FROM _windrow_manifest");
    assert_eq!(first, ["0"], "what it was given as is no longer what it is");
}

/// Parts in a row count like the whole, where they stand on each other; with one lacking they bring
/// rows and prove nothing.
#[test]
fn parts_that_stand_on_each_other_count_like_the_whole() {
    let api = UsageApi::start(nine_days(), 50);
    let mut workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    give(&workspace, &[]).expect(0);
    let record = |day: &str| Record::new("SL-1", day, 7.5, "2026-01-12T01:00:00Z");
    api.change(|records| records.push(record("2026-01-10")));
    workspace.at("2026-01-11T14:00:00Z").sync();
    workspace.run(&["handoff", "two.db", "--since", "1"]).expect(0);
    api.change(|records| records.push(record("2026-01-11")));
    workspace.at("2026-01-12T14:00:00Z").sync();
    workspace.run(&["handoff", "three.db", "--since", "2"]).expect(0);

    let mut colleague = Workspace::empty();
    colleague.at("2026-01-12T14:00:00Z");
    for name in ["out.db", "two.db", "three.db"] {
        std::fs::copy(workspace.path(name), colleague.path(name)).expect("a stick");
    }
    let merge = |file: &str| colleague.run(&["--archive", "a.db", "merge", file]).expect(0);
    let end = || colleague.value("SELECT max(end_at) FROM _windrow_ledger");
    merge("out.db");
    assert_eq!(end(), "2026-01-11T00:00:00+00:00");
    let odd = merge("three.db");
    assert!(odd.stdout.contains("what it is based on is not all here"), "{odd:?}");
    assert_eq!(end(), "2026-01-11T00:00:00+00:00", "its rows are here, and prove nothing");
    assert_eq!(colleague.value("SELECT count(*) FROM usage"), "28");
    assert_ne!(colleague.value("SELECT count(*) FROM _windrow_missing_runs"), "0");
    merge("two.db");
    merge("three.db");
    assert_eq!(end(), "2026-01-13T00:00:00+00:00");
    assert_eq!(colleague.value("SELECT count(*) FROM _windrow_missing_runs"), "0");
    let digests = |workspace: &Workspace| {
        let status = ["--archive", "a.db", "status", "--digest", "--json"];
        workspace.run(&status).expect(0).json()["digests"].clone()
    };
    assert_eq!(digests(&colleague), digests(&workspace));
    let spans = "SELECT min(start_at), max(end_at), count(*) FROM _windrow_ledger
        WHERE state IN ('complete', 'settled')";
    assert_eq!(colleague.rows(spans), workspace.rows(spans));
}

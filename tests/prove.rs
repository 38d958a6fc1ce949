//! `windrow prove`: what differs is found where it is and nowhere else, and the archive is only
//! read.

use std::time::Duration;

use serde_json::Value;

use crate::api::{Api, Record, Reply, UsageApi, answer, json, nine_days};
use crate::harness::{Ran, Workspace, rows};

/// Three lines over nine days, synced on the tenth: six days are settled.
fn synced(more: &str) -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 2);
    let workspace = Workspace::new(&api.definition(more));
    workspace.sync();
    (api, workspace)
}

fn prove(workspace: &Workspace, more: &[&str], code: i32) -> Value {
    prove_stream(workspace, "usage", more, code).json()
}

fn prove_stream(workspace: &Workspace, stream: &str, more: &[&str], code: i32) -> Ran {
    let arguments = [&["prove", stream, "--json"], more].concat();
    workspace.run(&arguments).expect(code)
}

/// `kind key` of each difference.
fn differences(proof: &Value) -> Vec<String> {
    let each = proof["differences"].as_array().expect("differences").iter();
    let line = |each: &Value| format!("{} {}", each["kind"].as_str().unwrap_or("?"), each["key"]);
    each.map(line).collect()
}

/// equal changed missing no_longer_served rejected
fn counts(proof: &Value) -> String {
    let names = ["equal", "changed", "missing", "no_longer_served", "rejected"];
    names.map(|name| proof[name].to_string()).join(" ")
}

fn outcomes(proof: &Value) -> Vec<String> {
    let places = proof["places"].as_array().expect("places").iter();
    places.map(|place| format!("{} {}", place["window"], place["outcome"])).collect()
}

fn files(workspace: &Workspace) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(workspace.folder())
        .expect("the folder")
        .flatten()
        // The index of the log in shared memory is made by every reader.
        .filter(|entry| !entry.file_name().to_string_lossy().ends_with("-shm"))
        // The log's folder is no part of the archive.
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).expect("a file"))
        })
        .filter(|(name, bytes)| !(name.ends_with("-wal") && bytes.is_empty()))
        .collect();
    files.sort();
    files
}

#[test]
fn an_archive_that_says_what_the_source_says_is_proved_and_not_touched() {
    let (_api, workspace) = synced("");
    let before = files(&workspace);
    let proof = prove(&workspace, &["--all"], 0);
    assert_eq!(counts(&proof), "18 0 0 0 0");
    assert_eq!(proof["candidates"], 6);
    assert_eq!(outcomes(&proof).len(), 6);
    for place in proof["places"].as_array().expect("places") {
        assert_eq!(place["outcome"], "equal");
        assert_eq!(place["archive"], place["source"]);
        assert_eq!(place["archive"]["rows"], 3);
        assert_eq!(place["archive"]["sha256"].as_str().map(str::len), Some(64));
    }
    assert_eq!(files(&workspace), before, "nothing is left, nothing is changed");
    let text = workspace.run(&["prove", "usage", "--all"]).expect(0).stdout;
    assert!(text.starts_with("usage: 6 of 6 settled windows (seed "), "{text}");
    assert!(text.contains("\nthe same: 18 equal rows\n"), "{text}");
}

#[test]
fn a_sample_is_of_its_size_and_repeats_with_its_seed() {
    let (_api, workspace) = synced("");
    let proof = prove(&workspace, &["--sample", "2", "--seed", "7"], 0);
    assert_eq!((proof["seed"].as_u64(), outcomes(&proof).len()), (Some(7), 2));
    let again = prove(&workspace, &["--sample", "2", "--seed", "7"], 0);
    assert_eq!(outcomes(&again), outcomes(&proof));
    let others = (0..20).map(|seed| {
        let proof = prove(&workspace, &["--sample", "2", "--seed", &seed.to_string()], 0);
        outcomes(&proof)
    });
    assert!(others.into_iter().any(|other| other != outcomes(&proof)), "another seed, others");
    let stretch = prove(&workspace, &["--all", "--from", "2026-01-02", "--to", "2026-01-04"], 0);
    assert_eq!(
        outcomes(&stretch),
        ["\"2026-01-02..2026-01-03\" \"equal\"", "\"2026-01-03..2026-01-04\" \"equal\""]
    );
}

#[test]
fn what_differs_is_told_with_old_new_and_since_when() {
    let (api, workspace) = synced("");
    api.change(|records| {
        records[3].gb = 99.0; // SL-1 on the 2nd
        records.retain(|r| !(r.id == "SL-2" && r.day == "2026-01-04"));
        records.push(Record::new("SL-9", "2026-01-05", 1.0, "2026-01-09T00:00:00Z"));
        // Outside of what is settled: the next sync brings it.
        records.push(Record::new("SL-9", "2026-01-09", 1.0, "2026-01-09T00:00:00Z"));
    });
    let before = files(&workspace);
    let proof = prove(&workspace, &["--all"], 1);
    assert_eq!(counts(&proof), "16 1 1 1 0");
    assert_eq!(
        differences(&proof),
        [
            r#"changed {"id":"SL-1","day":"2026-01-02"}"#,
            r#"missing {"id":"SL-9","day":"2026-01-05"}"#,
            r#"no_longer_served {"id":"SL-2","day":"2026-01-04"}"#,
        ]
    );
    let changed = &proof["differences"][0];
    assert_eq!(changed["window"], "2026-01-02..2026-01-03");
    assert_eq!(changed["in_archive"]["changed_at"], "2026-01-10T12:00:00+00:00");
    assert_eq!(changed["in_archive"]["run"], 1);
    let columns = r#"[{"column":"gb","archive":2.5,"source":99.0}]"#;
    assert_eq!(changed["columns"].to_string(), columns);
    for (at, place) in proof["places"].as_array().expect("places").iter().enumerate() {
        let same = place["archive"]["sha256"] == place["source"]["sha256"];
        assert_eq!(same, ![1, 3, 4].contains(&at), "day {}", at + 1);
        assert_eq!(place["outcome"] == "equal", same);
    }
    assert_eq!(files(&workspace), before);
    let text = workspace.run(&["prove", "usage", "--all"]).expect(1).stdout;
    for line in [
        "changed           2026-01-02..2026-01-03  id SL-1, day 2026-01-02: in the archive since \
         2026-01-10T12:00:00+00:00 (run 1)\n  gb: 2.5, the source has 99.0\n",
        "missing           2026-01-05..2026-01-06  id SL-9, day 2026-01-05: the source has it, the \
         archive does not\n",
        "no longer served  2026-01-04..2026-01-05  id SL-2, day 2026-01-04: in the archive since",
        "\nnot the same: 1 missing, 1 changed, 1 no longer served, 16 equal rows\n",
        "`windrow sync usage --from 2026-01-02T00:00:00Z --to 2026-01-03T00:00:00Z` reads it again",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    workspace.run(&["sync", "--from", "2026-01-01"]).expect(0);
    assert_eq!(counts(&prove(&workspace, &["--all"], 1)), "18 0 0 1 0", "the rest is kept");
}

#[test]
fn a_value_within_its_tolerance_is_the_same() {
    let api = UsageApi::start(nine_days(), 50);
    let definition =
        api.definition("").replace("gb = \"real\"", "gb = {type=\"real\",tolerance=0.1}");
    let workspace = Workspace::new(&definition);
    workspace.sync();
    api.change(|records| records[0].gb += 0.09);
    let proof = prove(&workspace, &["--all"], 0);
    assert_eq!(proof["places"][0]["archive"], proof["places"][0]["source"]);
    api.change(|records| records[0].gb += 0.09);
    assert_eq!(counts(&prove(&workspace, &["--all"], 1)), "17 1 0 0 0");
}

#[test]
fn overlap_and_strays_prove_nothing() {
    let api = UsageApi::start(nine_days(), 50);
    let definition = api.definition("").replace("lateness =", "overlap = \"2 days\"\nlateness =");
    let workspace = Workspace::new(&definition);
    workspace.sync();
    // The 1st and 2nd come with the overlap of the 3rd and are not asked about.
    api.change(|records| {
        records.remove(0);
        records[4].gb = 99.0;
        records.push(Record::new("SL-9", "2026-01-01", 1.0, "2026-01-09T00:00:00Z"));
    });
    let proof = prove(&workspace, &["--all", "--from", "2026-01-03", "--to", "2026-01-04"], 0);
    assert_eq!(counts(&proof), "3 0 0 0 0");
    assert_eq!(counts(&prove(&workspace, &["--all"], 1)), "16 1 1 1 0");
}

#[test]
fn what_a_sync_would_leave_as_it_is_is_no_difference() {
    for more in ["version = \"updated_at\"", "on_conflict = \"keep\""] {
        let (api, workspace) = synced(more);
        api.change(|records| {
            records[0].gb = 99.0;
            records[0].updated_at = "2026-01-01T00:00:00Z".to_owned();
        });
        let proof = prove(&workspace, &["--all"], 0);
        assert_eq!((counts(&proof).as_str(), &proof["protected"]), ("17 0 0 0 0", &1.into()));
    }
}

#[test]
fn a_record_that_cannot_be_a_row_is_told_unless_the_archive_keeps_it() {
    let record = |gb: &str| {
        format!("{{\"id\":\"a\",\"day\":\"2026-01-01\",\"gb\":{gb}}},{{\"day\":\"2026-01-01\"}}")
    };
    let body = std::sync::Arc::new(std::sync::Mutex::new(record("1")));
    let shared = std::sync::Arc::clone(&body);
    let api = Api::start(move |asked, _| {
        let day = asked.parameter("from").unwrap_or_default();
        let data = shared.lock().expect("no test panics in here").clone();
        let data = if day == "2026-01-01" { data } else { String::new() };
        json(&format!("{{\"data\":[{data}],\"next\":null}}"))
    });
    let definition = crate::api::usage_definition(&api.address, "max_rejects = 9");
    let workspace = Workspace::new(&definition);
    workspace.sync();
    assert_eq!(counts(&prove(&workspace, &["--all"], 0)), "1 0 0 0 0", "the reject is kept");
    *body.lock().expect("no handler panics") = record("\"much\"");
    let proof = prove(&workspace, &["--all"], 1);
    assert_eq!(counts(&proof), "0 0 0 1 1");
    let reason = proof["differences"][1]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("type: column gb (real)"), "{reason}");
}

#[test]
fn what_cannot_be_read_is_not_proved() {
    let (api, workspace) = synced("");
    let proof = prove(&workspace, &["--all", "--max-requests", "3"], 3);
    let unread = outcomes(&proof).iter().filter(|line| line.contains("unread")).count();
    assert_eq!((unread, counts(&proof).as_str()), (5, "3 0 0 0 0"));
    let text = workspace.run(&["prove", "usage", "--all", "--max-requests", "3"]).expect(3);
    assert!(text.stdout.contains("not proven: 3 equal rows\n"), "{text:?}");
    assert!(text.stdout.contains("5 could not be read to the end\n"), "{text:?}");
    api.change(|records| records[0].gb = 99.0);
    let proof = prove(&workspace, &["--all", "--max-requests", "3"], 1);
    assert_eq!(counts(&proof), "2 1 0 0 0", "what was read differs");
    // Nobody listens where the definition leads.
    let definition = crate::api::usage_definition("http://127.0.0.1:9", "");
    workspace.define(&definition);
    let offline = prove_stream(&workspace, "usage", &[], 3);
    assert!(offline.stderr.contains("error: stream usage"), "{offline:?}");
}

#[test]
fn what_is_not_settled_or_not_there_is_said() {
    let api = UsageApi::start(nine_days(), 50);
    let mut workspace = Workspace::new(&api.definition(""));
    let missing = workspace.run(&["prove", "usage"]).expect(6);
    assert!(missing.stderr.contains("there is no archive at"), "{missing:?}");
    workspace.at("2026-01-02T12:00:00Z");
    workspace.sync();
    let asked = api.api.log().len();
    let early = workspace.run(&["prove", "usage"]).expect(3);
    assert!(early.stdout.contains("usage: there are no settled windows"), "{early:?}");
    assert_eq!(api.api.log().len(), asked, "nothing is asked");
    let wrong = workspace.run(&["prove", "usge"]).expect(2);
    assert!(wrong.stderr.contains("did you mean `usage`"), "{wrong:?}");
    workspace.run(&["prove", "usage", "--sample", "0"]).expect(2);
    workspace.run(&["prove", "usage", "--sample", "3", "--all"]).expect(2);
}

#[test]
fn a_definition_that_the_table_does_not_follow_yet_is_refused() {
    let (api, workspace) = synced("");
    let more = api.definition("").replace("gb = \"real\"", "gb = \"real\"\nplan = \"text\"");
    workspace.define(&more);
    let refused = workspace.run(&["prove", "usage"]).expect(2);
    assert!(refused.stderr.contains("`usage` is not what its table has: no column `plan`"));
    assert!(refused.stderr.contains("help: run `windrow sync usage` first"), "{refused:?}");
    workspace.define(&api.definition("").replace("gb = \"real\"\n", ""));
    let proof = prove(&workspace, &["--all"], 0);
    assert!(proof["notes"][0].as_str().expect("a note").contains("`_rest` was not"), "{proof}");
}

#[test]
fn a_wait_that_an_earlier_run_was_given_is_obeyed() {
    let api = UsageApi::start(nine_days(), 50);
    let mut workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let shut = Api::start(|_, _| answer("429 Too Many Requests", &[("retry-after", "3600")], ""));
    workspace.define(&crate::api::usage_definition(&shut.address, ""));
    workspace.run(&["sync"]).expect(3);
    workspace.define(&api.definition(""));
    workspace.at("2026-01-10T12:30:00Z");
    let asked = api.api.log().len();
    let proof = prove(&workspace, &["--all"], 3);
    assert_eq!(api.api.log().len(), asked, "{proof}");
    workspace.at("2026-01-10T13:30:00Z");
    prove(&workspace, &["--all"], 0);
}

#[test]
fn a_sync_may_run_meanwhile_and_what_it_reads_is_left_out() {
    let (api, workspace) = synced("");
    let folder = workspace.folder().to_owned();
    let definition = api.definition("").replace(&api.api.address, "OTHER");
    // While the proof reads the 3rd, a sync reads the 3rd again, and gets through.
    let address = api.api.address.clone();
    let between = Api::start(move |asked, number| {
        if number == 0 {
            let windrow = env!("CARGO_BIN_EXE_windrow");
            let definition = definition.replace("OTHER", &address);
            std::fs::write(folder.join("other.toml"), definition).expect("a definition");
            let synced = std::process::Command::new(windrow)
                .args(["-d", "other.toml", "sync", "--from", "2026-01-03", "--to", "2026-01-04"])
                .current_dir(&folder)
                .env_clear()
                .env("WINDROW_TEST_NOW", "2026-01-10T13:00:00Z")
                .output()
                .expect("windrow starts");
            assert_eq!(synced.status.code(), Some(0), "{synced:?}");
        }
        let day = asked.parameter("from").unwrap_or_default();
        let records: Vec<String> =
            nine_days().iter().filter(|r| r.day == day).map(Record::json).collect();
        json(&format!("{{\"data\":[{}],\"next\":null}}", records.join(",")))
    });
    workspace.define(&crate::api::usage_definition(&between.address, ""));
    let proof = prove(&workspace, &["--all"], 3);
    assert_eq!(counts(&proof), "15 0 0 0 0");
    let overtaken = "\"2026-01-03..2026-01-04\" \"overtaken\"";
    assert!(outcomes(&proof).iter().any(|line| line == overtaken), "{proof}");
}

#[cfg(unix)]
#[test]
fn the_copy_lies_in_a_folder_of_its_owners_alone_which_goes_also_when_interrupted() {
    use std::os::unix::fs::PermissionsExt;
    let (api, workspace) = synced("");
    let temporary = workspace.path("temporary");
    std::fs::create_dir(&temporary).expect("a folder");
    let silent = Api::start(|_, _| Reply::Silence(Duration::from_secs(60)));
    workspace.define(&crate::api::usage_definition(&silent.address, ""));
    let mut command = workspace.command(&["prove", "usage"]);
    let mut child = command.env("TMPDIR", &temporary).spawn().expect("windrow starts");
    while silent.log().is_empty() {
        assert!(child.try_wait().expect("a child").is_none(), "it has ended");
        std::thread::yield_now();
    }
    let inside = || std::fs::read_dir(&temporary).expect("the folder").flatten().next();
    let folder = inside().expect("the copy's folder");
    assert!(folder.file_name().to_string_lossy().starts_with("windrow-prove-"));
    assert_eq!(folder.metadata().expect("a folder").permissions().mode() & 0o777, 0o700);
    let id = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &id]).status().expect("kill");
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert!(inside().is_none(), "the folder is gone");
    workspace.define(&api.definition(""));
    let mut command = workspace.command(&["prove", "usage"]);
    let nowhere = command.env("TMPDIR", workspace.path("nowhere")).output().expect("an end");
    assert_eq!(nowhere.status.code(), Some(8));
}

/// A snapshot of parents, and a stream of days for each.
fn family(address: &str, child: &str) -> String {
    format!(
        r#"[archive]
path = "a.db"

[sources.s]
base_url = "{address}"
retry = {{ base = "1 ms", attempts = 1 }}

[streams.lines]
path = "/lines"
records = "$[*]"
key = "id"

[streams.days]
for_each = "lines"
path = "/days/{{{{ parent.id }}}}"
query = {{ from = "{{{{ window.start }}}}" }}
records = "$[*]"
key = ["line", "day"]
window = {{ field = "day", start = "2026-01-01", step = "1 day", format = "%Y-%m-%d" }}

[streams.days.columns]
{child}
day = "date"
gb = "integer"
"#
    )
}

#[test]
fn a_stream_for_each_parent_is_proved_by_pairs_of_parent_and_window() {
    let gb = std::sync::Arc::new(std::sync::Mutex::new((1, true)));
    let shared = std::sync::Arc::clone(&gb);
    let api = Api::start(move |asked, _| {
        let (gb, served) = *shared.lock().expect("no test panics in here");
        let day = asked.parameter("from").unwrap_or_default();
        match asked.path() {
            "/lines" => json(r#"[{"id":1},{"id":2},{"id":3}]"#),
            "/days/2" if !served && day == "2026-01-04" => json("[]"),
            path => {
                let line = path.trim_start_matches("/days/");
                let gb = if line == "3" { gb } else { 1 };
                json(&format!(r#"[{{"line":"{line}","day":"{day}","gb":{gb}}}]"#))
            }
        }
    });
    let linked = "line = { type = \"integer\", parent = \"id\" }";
    for (child, told) in [(linked, 1), ("line = \"text\"", 0)] {
        *gb.lock().expect("no handler panics") = (1, true);
        let workspace = Workspace::new(&family(&api.address, child));
        workspace.sync();
        let proof = prove_stream(&workspace, "days", &["--all"], 0).json();
        assert_eq!(
            (proof["candidates"].as_u64(), counts(&proof).as_str()),
            (Some(27), "27 0 0 0 0")
        );
        let sample = prove_stream(&workspace, "days", &["--sample", "4", "--seed", "3"], 0).json();
        assert_eq!(counts(&sample), "4 0 0 0 0", "rows of other parents and days are not judged");
        *gb.lock().expect("no handler panics") = (2, false);
        let proof = prove_stream(&workspace, "days", &["--all"], 1).json();
        assert_eq!(counts(&proof), format!("17 9 0 {told} 0"), "{child}");
        assert_eq!(proof["notes"].as_array().map(Vec::len), Some(1 - told), "{proof}");
        if told == 1 {
            let vanished = proof["differences"].as_array().expect("differences").last();
            assert_eq!(vanished.expect("one")["partition"], "2");
        }
        rows(&workspace.path("a.db"), "DELETE FROM lines WHERE id = 2");
        let proof = prove_stream(&workspace, "days", &["--all"], 1).json();
        let gone = outcomes(&proof).iter().filter(|line| line.contains("parent_gone")).count();
        assert_eq!(gone, 9);
    }
}

#[test]
fn a_row_that_waits_for_its_parent_is_not_missing() {
    let api = Api::start(|asked, _| match asked.path() {
        "/lines" => json(r#"{"data":[{"id":"SL-1"}]}"#),
        _ => json(r#"{"data":[{"id":"a","line":"SL-1"},{"id":"b","line":"SL-7"}]}"#),
    });
    let definition = crate::api::items_definition(
        &api.address,
        "",
        "references = { line = \"lines\" }\n[streams.lines]\npath = \"/lines\"\nrecords = \
         \"$.data[*]\"\nkey = \"id\"\n",
    );
    let workspace = Workspace::new(&definition);
    workspace.sync();
    let proof = prove_stream(&workspace, "items", &[], 0).json();
    assert_eq!((counts(&proof).as_str(), &proof["orphans"]), ("1 0 0 0 0", &1.into()));
    rows(&workspace.path("a.db"), "DELETE FROM _windrow_rejects");
    let proof = prove_stream(&workspace, "items", &[], 1).json();
    assert_eq!(differences(&proof), [r#"missing {"id":"b"}"#]);
}

#[test]
fn a_snapshot_is_its_one_window() {
    let body =
        std::sync::Arc::new(std::sync::Mutex::new(r#"[{"id":1,"n":5},{"id":2}]"#.to_owned()));
    let shared = std::sync::Arc::clone(&body);
    let api = Api::start(move |_, _| {
        let data = shared.lock().expect("no test panics in here").clone();
        json(&format!("{{\"data\":{data}}}"))
    });
    let workspace = Workspace::new(&crate::api::items_definition(&api.address, "", ""));
    workspace.sync();
    let proof = prove_stream(&workspace, "items", &[], 0).json();
    assert_eq!((counts(&proof).as_str(), &proof["candidates"]), ("2 0 0 0 0", &1.into()));
    *body.lock().expect("no handler panics") = r#"[{"id":1,"n":6},{"id":3,"new":true}]"#.to_owned();
    let proof = prove_stream(&workspace, "items", &[], 1).json();
    assert_eq!(counts(&proof), "0 1 1 1 0");
    let refused = workspace.run(&["prove", "items", "--from", "2026-01-01"]).expect(2);
    assert!(refused.stderr.contains("--from is for window streams"), "{refused:?}");
}

#[test]
fn a_mark_is_proved_from_its_start_up_to_where_the_next_sync_begins() {
    let all = std::sync::Arc::new(std::sync::Mutex::new((1..=9).map(|n| (n, n * 10)).collect()));
    let shared: std::sync::Arc<std::sync::Mutex<Vec<(i64, i64)>>> = std::sync::Arc::clone(&all);
    let api = Api::start(move |asked, _| {
        let since: i64 = asked.parameter("since").and_then(|s| s.parse().ok()).unwrap_or(0);
        let all = shared.lock().expect("no test panics in here");
        let records = all.iter().filter(|(_, changed)| *changed >= since);
        let records: Vec<String> =
            records.map(|(id, changed)| format!("{{\"id\":{id},\"changed\":{changed}}}")).collect();
        json(&format!("{{\"data\":[{}]}}", records.join(",")))
    });
    let definition = crate::api::items_definition(
        &api.address,
        "",
        "query = { since = \"{{ cursor }}\" }\ncursor = { field = \"changed\", start = 0, overlap \
         = 20 }\n[streams.items.columns]\nid = \"integer\"\nchanged = \"integer\"\n",
    );
    let workspace = Workspace::new(&definition);
    workspace.sync();
    // 70, 80 and 90 will be asked for again; 10 to 60 will not.
    let proof = prove_stream(&workspace, "items", &[], 0).json();
    assert_eq!((counts(&proof).as_str(), &proof["newer"]), ("6 0 0 0 0", &0.into()));
    all.lock().expect("no handler panics").retain(|(id, _)| *id != 8);
    all.lock().expect("no handler panics")[0].1 = 100;
    all.lock().expect("no handler panics").push((10, 110));
    let proof = prove_stream(&workspace, "items", &[], 0).json();
    assert_eq!((counts(&proof).as_str(), &proof["newer"]), ("5 0 0 0 0", &1.into()));
    all.lock().expect("no handler panics").retain(|(id, _)| *id != 2);
    all.lock().expect("no handler panics").push((11, 15));
    let proof = prove_stream(&workspace, "items", &[], 1).json();
    assert_eq!(differences(&proof), [r#"missing {"id":11}"#, r#"no_longer_served {"id":2}"#]);
}

#[test]
fn a_window_that_the_source_cuts_is_halved_as_in_a_sync() {
    let api = UsageApi::start(nine_days(), 50);
    let definition =
        api.definition("max_records = 9").replace("step = \"1 day\"", "step = \"4 days\"");
    let workspace = Workspace::new(&definition);
    workspace.sync();
    let proof = prove(&workspace, &["--all"], 0);
    assert_eq!(counts(&proof), "12 0 0 0 0");
}

//! Raw pages and `windrow rebuild`: a table made again from what the source said, no network.

use std::process::Stdio;

use proptest::prelude::*;

use crate::api::{Api, FAST, Record, UsageApi, items_definition, json, nine_days};
use crate::harness::{Ran, Workspace, rows};

/// All that a stream's part of the archive says, line by line.
fn content(workspace: &Workspace, stream: &str) -> Vec<String> {
    let mut lines = workspace.rows(&format!("SELECT rowid, * FROM {stream}"));
    for table in ["_windrow_rejects", "_windrow_ledger", "_windrow_streams"] {
        lines.extend(
            workspace.rows(&format!(
                "SELECT * FROM {table} WHERE stream = '{stream}' ORDER BY 1, 2, 3, 4"
            )),
        );
    }
    let schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema
        WHERE name NOT LIKE '%before%' ORDER BY type, name";
    lines.extend(workspace.rows(schema));
    lines
}

fn preview(workspace: &Workspace) -> serde_json::Value {
    workspace.run(&["rebuild", "--json"]).expect(0).json()["streams"][0].clone()
}

fn apply(workspace: &Workspace) -> Ran {
    workspace.run(&["rebuild", "--apply", "--json"]).expect(0)
}

fn apply_plainly(workspace: &Workspace) -> Ran {
    workspace.run(&["rebuild", "--apply"]).expect(0)
}

/// Nine days of three lines, kept raw.
fn kept() -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 2);
    let workspace = Workspace::new(&api.definition("raw = true"));
    workspace.sync();
    (api, workspace)
}

fn redefine(api: &UsageApi, workspace: &Workspace, from: &str, to: &str) {
    let definition = api.definition("raw = true");
    assert!(definition.contains(from), "{from}");
    workspace.define(&definition.replace(from, to));
}

#[test]
fn pages_are_kept_once_in_the_transaction_of_their_rows_and_only_where_asked_for() {
    let (_api, workspace) = kept();
    let pages = workspace.value("SELECT count(*) FROM _windrow_raw_pages");
    assert_eq!(pages, "19", "nine days of two pages, and the open one");
    workspace.sync();
    let twice = "SELECT count(*), count(DISTINCT body_id) FROM _windrow_raw_pages";
    assert_eq!(workspace.value(twice), "26|19", "three days and the open one again, none new");
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_raw_bodies"), "19");
    let shown = workspace.run(&["status"]).expect(0).stdout;
    assert!(shown.contains("26 pages kept as they came, "), "{shown}");

    let api = UsageApi::start(nine_days(), 2);
    let plain = Workspace::new(&api.definition(""));
    plain.sync();
    assert_eq!(plain.value("SELECT count(*) FROM _windrow_raw_pages"), "0");
    let refused = plain.run(&["rebuild", "usage"]).expect(2);
    assert!(refused.stderr.contains("no page of stream `usage` was kept"), "{refused:?}");
    assert!(refused.stderr.contains("raw = true"), "{refused:?}");
    plain.run(&["rebuild"]).expect(2);
}

#[test]
fn a_kept_page_holds_no_secret_even_where_the_source_repeats_it() {
    let api = Api::start(|asked, _| {
        let token = asked.header("authorization").unwrap_or_default().to_owned();
        json(&format!(r#"{{"data":[{{"id":1}}],"debug":"you sent {token}"}}"#))
    });
    let auth = "auth = { kind = \"bearer\", token = \"${env:TOKEN}\" }";
    let mut workspace = Workspace::new(&items_definition(&api.address, auth, "raw = true"));
    workspace.variable("TOKEN", "s3cr3t-of-many-letters");
    workspace.sync();
    let packed = "SELECT hex(body) FROM _windrow_raw_bodies";
    let packed = workspace.value(packed);
    let bytes: Vec<u8> = (0..packed.len() / 2)
        .map(|at| u8::from_str_radix(&packed[at * 2..at * 2 + 2], 16).expect("hexadecimal"))
        .collect();
    let body = zstd::decode_all(&bytes[..]).expect("zstd");
    let body = String::from_utf8(body).expect("UTF-8");
    assert!(body.contains("you sent Bearer ${env:TOKEN}"), "{body}");
    let shown = workspace.run(&["rebuild"]).expect(0).stdout;
    assert!(!shown.contains("secret"), "it stood in no record: {shown}");

    // A value that is part of the records too.
    let api = Api::start(|_, _| json(r#"{"data":[{"id":"fleet-one"}]}"#));
    let mut workspace = Workspace::new(&items_definition(&api.address, auth, "raw = true"));
    workspace.variable("TOKEN", "fleet-one");
    workspace.sync();
    let shown = workspace.run(&["rebuild"]).expect(0).stdout;
    assert!(
        shown.contains("! a secret stood in the records of 1 kept page and was taken out"),
        "{shown}"
    );
}

#[test]
fn with_an_unchanged_definition_nothing_changes() {
    let api = UsageApi::start(nine_days(), 2);
    let mut workspace =
        Workspace::new(&api.definition("raw = true\nmax_rejects = 9\nversion = \"updated_at\""));
    workspace.sync();
    api.change(|records| {
        records[24].gb = 99.5;
        records[24].updated_at = "2026-01-10T01:00:00Z".to_owned();
        records[25].updated_at = "2026-01-08T01:00:00Z".to_owned();
        records.push(Record::new("SL-4", "2026-01-09", 1.0, "2026-01-09T00:00:00Z"));
        records.push(Record::new("SL-5", "2026-01-09", 1.0, "no time"));
    });
    workspace.at("2026-01-10T18:00:00Z").sync();
    workspace.at("2026-01-11T18:00:00Z").sync();
    let before = content(&workspace, "usage");
    let shown = workspace.run(&["rebuild"]).expect(0);
    assert!(shown.stdout.contains("28 rows -> 28") && shown.stdout.contains("nothing changes"));
    assert!(shown.stderr.contains("nothing was changed"), "{shown:?}");
    assert_eq!(content(&workspace, "usage"), before, "a dry run");
    apply(&workspace);
    assert_eq!(content(&workspace, "usage"), before);
    workspace.run(&["rebuild", "--confirm"]).expect(0);
    assert_eq!(content(&workspace, "usage"), before);
    assert_eq!(
        workspace.rows("SELECT name FROM sqlite_schema WHERE name LIKE '%before%'"),
        [""; 0]
    );
}

#[test]
fn columns_are_added_dropped_and_retyped_with_what_the_source_had_said() {
    let (api, workspace) = kept();
    let more = "gb = \"text\"\nbytes = { type = \"integer\", path = \"$.gb\" }\n#";
    redefine(&api, &workspace, "gb = \"real\"", more);
    let asked = api.api.log().len();
    let shown = workspace.run(&["rebuild"]).expect(0).stdout;
    for line in [
        "usage: 27 rows -> 0, from 19 kept pages",
        "  ~ gb real -> text",
        "  + bytes integer",
        "  rows: 0 change, 0 come, 27 go",
        "  rejects: 0 -> 27",
        "    27 new (type), such as: column bytes (integer)",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let more = "gb = \"text\"\nat = { type = \"timestamp\", path = \"$.updated_at\" }\n#";
    redefine(&api, &workspace, "gb = \"real\"", more);
    let changes = preview(&workspace);
    assert_eq!(changes["rows_after"], 27);
    assert_eq!(workspace.value("SELECT typeof(gb) FROM usage"), "real", "nothing is changed yet");
    apply(&workspace);
    let row = "SELECT id, day, gb, at, _rest FROM usage WHERE id = 'SL-2' AND day = '2026-01-03'";
    assert_eq!(workspace.value(row), "SL-2|2026-01-03|3.5|2026-01-09T00:00:00+00:00|NULL");
    assert_eq!(api.api.log().len(), asked, "no network");
    workspace.sync();
    let windows = "SELECT DISTINCT state FROM _windrow_ledger ORDER BY state";
    assert_eq!(workspace.rows(windows), ["complete", "settled"]);
    let told = workspace.value("SELECT command FROM _windrow_runs WHERE run_id = 2");
    assert_eq!(told, "rebuild");
}

#[test]
fn a_new_key_merges_and_splits_rows_and_says_so_first() {
    let (api, workspace) = kept();
    redefine(&api, &workspace, "[\"id\", \"day\"]", "\"id\"");
    let changes = preview(&workspace);
    assert_eq!((&changes["key_before"], &changes["key_after"]), (&"id, day".into(), &"id".into()));
    assert_eq!(changes["merged"], serde_json::json!({ "were": 27, "are": 3 }));
    assert_eq!((&changes["rows_before"], &changes["rows_after"]), (&27.into(), &3.into()));
    apply(&workspace);
    let last = "SELECT id, day, gb, _revision FROM usage ORDER BY id";
    assert_eq!(
        workspace.rows(last),
        ["SL-1|2026-01-09|9.5|1", "SL-2|2026-01-09|9.5|1", "SL-3|2026-01-09|9.5|1"],
        "the later fetch wins"
    );
    workspace.run(&["rebuild", "--confirm"]).expect(0);
    let hash = "{ hash = [\"id\", \"gb\"] }";
    redefine(&api, &workspace, "[\"id\", \"day\"]", hash);
    let changes = preview(&workspace);
    assert_eq!(changes["split"], serde_json::json!({ "were": 3, "are": 27 }));
    apply(&workspace);
    assert_eq!(workspace.value("SELECT count(DISTINCT _key) FROM usage"), "27");
    let digest = workspace.digests();
    let again = UsageApi::start(nine_days(), 50);
    let fresh = Workspace::new(&again.definition("").replace("[\"id\", \"day\"]", hash));
    fresh.sync();
    assert_eq!(digest, fresh.digests(), "as if it had been so from the beginning");
}

#[test]
fn another_records_path_reads_the_same_pages_anew() {
    let body = r#"{"data":[{"id":1,"parts":[{"id":"a"},{"id":"b"}]},{"id":2,"parts":[]}]}"#;
    let api = Api::start(move |_, _| json(body));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, "raw = true"));
    workspace.sync();
    let definition = items_definition(&api.address, FAST, "raw = true");
    workspace.define(&definition.replace("$.data[*]", "$.data[*].parts[*]"));
    apply(&workspace);
    assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["a", "b"]);
    workspace.run(&["rebuild", "--undo"]).expect(0);
    workspace.define(&definition.replace("$.data[*]", "$.wrong[*]"));
    let refused = workspace.run(&["rebuild", "--apply"]).expect(2);
    assert!(refused.stderr.contains("page 1 of stream `items` (run 1) cannot be read"));
    workspace.define(&definition.replace("key = \"id\"", "key = \"idd\""));
    let refused = workspace.run(&["rebuild", "--apply"]).expect(2);
    assert!(refused.stderr.contains("`idd`"), "{refused:?}");
    assert_eq!(workspace.value("SELECT count(*) FROM items"), "2");
}

#[test]
fn the_old_table_comes_back_as_it_was_until_it_is_let_go() {
    let (api, workspace) = kept();
    sqlite(&workspace, "CREATE INDEX mine ON usage (gb); CREATE VIEW seen AS SELECT gb FROM usage");
    let before = content(&workspace, "usage");
    redefine(&api, &workspace, "gb = \"real\"", "gb = \"decimal\"");
    apply(&workspace);
    assert_ne!(content(&workspace, "usage"), before);
    let types = "SELECT typeof(gb) FROM seen LIMIT 1";
    assert_eq!(workspace.value(types), "text", "a view sees the new table");
    let index = "SELECT tbl_name FROM sqlite_schema WHERE name = 'mine'";
    assert_eq!(workspace.value(index), "usage", "an index is on the new table");
    let refused = workspace.run(&["rebuild", "--apply"]).expect(2);
    assert!(refused.stderr.contains("is not confirmed"), "{refused:?}");
    let undone = workspace.run(&["rebuild", "--undo"]).expect(0);
    assert_eq!(undone.stdout, "usage: the old table of 27 rows is back\n");
    assert_eq!(content(&workspace, "usage"), before);
    workspace.run(&["rebuild", "--undo", "usage"]).expect(2);

    apply(&workspace);
    workspace.sync();
    let refused = workspace.run(&["rebuild", "--undo"]).expect(2);
    assert!(refused.stderr.contains("was written to since"), "{refused:?}");
    let let_go = workspace.run(&["rebuild", "--confirm"]).expect(0);
    assert_eq!(let_go.stdout, "usage: the old table of 27 rows is let go\n");
    assert_eq!(workspace.value("PRAGMA integrity_check"), "ok");
}

#[test]
fn an_index_that_does_not_fit_is_named_and_comes_back_with_the_old_table() {
    let (api, workspace) = kept();
    sqlite(&workspace, "CREATE INDEX mine ON usage (gb)");
    redefine(&api, &workspace, "gb = \"real\"\n", "");
    let ran = workspace.run(&["rebuild", "--apply"]).expect(0);
    assert!(ran.stdout.contains("! your index `mine` does not fit the new table"), "{ran:?}");
    assert!(ran.stdout.contains("- gb real (goes into `_rest`)"), "{ran:?}");
    workspace.run(&["rebuild", "--undo"]).expect(0);
    assert_eq!(workspace.value("SELECT count(*) FROM sqlite_schema WHERE name = 'mine'"), "1");
}

#[expect(clippy::disallowed_methods, reason = "an analyst's own changes")]
fn sqlite(workspace: &Workspace, sql: &str) {
    let connection = rusqlite::Connection::open(workspace.path("a.db")).expect("the archive");
    connection.execute_batch(sql).expect(sql);
}

#[test]
fn rows_from_before_pages_were_kept_stay_and_are_told_and_can_be_read_again() {
    let api = UsageApi::start(nine_days(), 2);
    let mut workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    workspace.define(&api.definition("raw = true"));
    workspace.sync();
    let before = content(&workspace, "usage");
    let shown = apply_plainly(&workspace).stdout;
    let told = "18 rows are in no kept page and stay as they are: 18 of run 1 (sync)";
    assert!(shown.contains(told) && shown.contains("nothing changes"), "{shown}");
    let by_key = |lines: &[String]| {
        let mut lines: Vec<_> = lines
            .iter()
            .map(|line| match line.split_once('|') {
                // The rows' own numbers are no part of what they say.
                Some((_, rest)) if rest.starts_with("SL-") => rest.to_owned(),
                _ => line.clone(),
            })
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(by_key(&content(&workspace, "usage")), by_key(&before));
    workspace.run(&["rebuild", "--confirm"]).expect(0);
    redefine(&api, &workspace, "[\"id\", \"day\"]", "\"id\"");
    let refused = workspace.run(&["rebuild"]).expect(2);
    let gap = "18 rows of stream `usage` are in no kept page (18 of run 1 (sync)) and cannot be \
               carried over under another key";
    assert!(refused.stderr.contains(gap), "{refused:?}");
    assert!(refused.stderr.contains("windrow sync --from START"), "{refused:?}");
    workspace.define(&api.definition("raw = true"));
    workspace.run(&["sync", "--from", "2026-01-01"]).expect(0);
    let before = workspace.rows("SELECT * FROM usage ORDER BY id, day");
    assert!(!apply_plainly(&workspace).stdout.contains("no kept page"));
    let rows = workspace.rows("SELECT * FROM usage ORDER BY id, day");
    assert_eq!(rows, before, "stamps too");
    workspace.run(&["rebuild", "--confirm"]).expect(0);
    redefine(&api, &workspace, "[\"id\", \"day\"]", "\"id\"");
    assert_eq!(preview(&workspace)["rows_after"], 3, "under another key as well");
    // A row that no page holds, as another program may have brought it.
    sqlite(
        &workspace,
        "INSERT INTO usage SELECT 'SL-9', day, gb, updated_at, _rest, _first_seen_at, _changed_at,
            _revision, 77 FROM usage LIMIT 1",
    );
    workspace.run(&["rebuild"]).expect(2);
    redefine(&api, &workspace, "\"real\"", "\"text\"");
    let refused = workspace.at("2026-01-10T13:00:00Z").run(&["rebuild"]).expect(2);
    assert!(refused.stderr.contains("1 of run 77 (unknown)"), "{refused:?}");
}

#[test]
fn a_newer_row_from_a_run_that_kept_no_page_is_never_replaced_by_an_older_page() {
    let api = UsageApi::start(nine_days(), 2);
    let mut workspace = Workspace::new(&api.definition("raw = true"));
    workspace.sync();
    api.change(|records| records[24].gb = 99.5);
    workspace.define(&api.definition(""));
    workspace.at("2026-01-10T13:00:00Z").sync();
    let row = "SELECT gb, _revision, _run FROM usage WHERE id = 'SL-1' AND day = '2026-01-09'";
    assert_eq!(workspace.value(row), "99.5|2|2");
    let shown = apply_plainly(&workspace).stdout;
    assert!(shown.contains("1 row is in no kept page and stays as it is: 1 of run 2 (sync)"));
    assert_eq!(workspace.value(row), "99.5|2|2");
}

/// Lines of a fleet and what they used; a line may be missing at first.
fn fleet(lines_at_first: usize) -> (Api, Workspace) {
    let api = Api::start(move |asked, number| match asked.path() {
        "/lines" => {
            let lines = if number == 0 { lines_at_first } else { 3 };
            let lines: Vec<String> =
                (0..lines).map(|n| format!(r#"{{"id":"SL-{n}","plan":{n}.5}}"#)).collect();
            json(&format!(r#"{{"data":[{}]}}"#, lines.join(",")))
        }
        "/empty/SL-1" => crate::api::answer("204 No Content", &[], ""),
        path if path.starts_with("/empty") => json(r#"{"data":[{"n":7}]}"#),
        _ => {
            json(r#"{"data":[{"u":1,"line":"SL-0"},{"u":2,"line":"SL-1"},{"u":3,"line":"SL-2"}]}"#)
        }
    });
    let stream = |name: &str, path: &str, key: &str, more: &str| {
        format!(
            "[streams.{name}]\npath = \"{path}\"\nrecords = \"$.data[*]\"\nkey = {key}\n\
             raw = true\n{more}\n\n"
        )
    };
    let definition = format!(
        "[archive]\npath = \"a.db\"\n\n[sources.s]\nbase_url = \"{}\"\n{FAST}\n\n{}{}{}",
        api.address,
        stream("lines", "/lines", "\"id\"", ""),
        stream("used", "/used", "\"u\"", "references = { line = \"lines\" }"),
        stream(
            "each",
            "/empty/{{ parent.id }}",
            "[\"line\", \"n\"]",
            "for_each = \"lines\"\n[streams.each.columns]\nn = \"integer\"\n\
             line = { type = \"text\", parent = \"id\" }",
        ),
    );
    (api, Workspace::new(&definition))
}

#[test]
fn children_orphans_and_answers_without_content_come_out_as_they_were() {
    let (_api, mut workspace) = fleet(2);
    workspace.sync();
    assert_eq!(workspace.value("SELECT kind FROM _windrow_rejects"), "orphan");
    let before: Vec<_> = ["lines", "used", "each"].map(|name| content(&workspace, name)).into();
    apply(&workspace);
    for (name, before) in ["lines", "used", "each"].iter().zip(&before) {
        assert_eq!(content(&workspace, name), *before, "{name}");
    }
    workspace.run(&["rebuild", "--confirm"]).expect(0);
    workspace.at("2026-01-11T12:00:00Z").sync();
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_rejects"), "0");
    let rows = |name: &str| workspace.rows(&format!("SELECT * FROM {name} ORDER BY 1, 2"));
    let before = ["lines", "used", "each"].map(rows);
    apply(&workspace);
    assert_eq!(["lines", "used", "each"].map(rows), before, "stamps of what was an orphan too");
    let definition = std::fs::read_to_string(workspace.path("windrow.toml")).expect("a definition");
    workspace.run(&["rebuild", "--confirm"]).expect(0);
    let plan = "n = \"integer\"\nplan = { type = \"real\", parent = \"plan\" }";
    workspace.define(&definition.replace("n = \"integer\"", plan));
    workspace.run(&["rebuild", "each", "--apply"]).expect(0);
    let plans = workspace.rows("SELECT line, n, plan FROM each ORDER BY line");
    assert_eq!(plans, ["SL-0|7|0.5", "SL-2|7|2.5"]);
}

#[test]
fn a_window_that_no_longer_holds_what_the_source_counts_is_read_again() {
    let api = UsageApi::start(nine_days(), 50);
    let definition = api.definition("raw = true\ntotal = \"$.total\"");
    let workspace = Workspace::new(&definition);
    workspace.sync();
    workspace.define(&definition.replace("[\"id\", \"day\"]", "\"day\""));
    let shown = workspace.run(&["rebuild", "--apply"]).expect(0).stdout;
    assert!(shown.contains("9 windows no longer agree with the source's count"), "{shown}");
    let doubted = "SELECT state, source_total, distinct_keys, error FROM _windrow_ledger
        WHERE error IS NOT NULL";
    let line = "partial|3|1|the source counts 3 records, 1 different ones are there since the \
                rebuild";
    assert_eq!(workspace.rows(doubted), [line; 9]);
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_during_a_rebuild_changes_nothing() {
    let days = 1..=9;
    let records = days.flat_map(|day| {
        (0..1000).map(move |n| {
            let day = format!("2026-01-0{day}");
            Record::new(&format!("SL-{n}"), &day, 1.5, "2026-01-09T00:00:00Z")
        })
    });
    let api = UsageApi::start(records.collect(), 500);
    let workspace = Workspace::new(&api.definition("raw = true"));
    workspace.sync();
    let before = content(&workspace, "usage");
    redefine(&api, &workspace, "\"real\"", "\"text\"");
    // Room for the archive as it is and a little of the log.
    let length = std::fs::metadata(workspace.path("a.db")).expect("the archive").len();
    let blocks = 200 + length / 2 / 512;
    let program = env!("CARGO_BIN_EXE_windrow");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("ulimit -f {blocks}; exec {program} rebuild --apply")]);
    shell.current_dir(workspace.folder()).env("WINDROW_TEST_NOW", crate::harness::NOW);
    let ran = crate::harness::ran(&shell.stdin(Stdio::null()).output().expect("sh runs"));
    let ran = ran.expect(8);
    assert!(ran.stderr.contains("help:"), "{ran:?}");
    assert_eq!(content(&workspace, "usage"), before);
    let left = rows(&workspace.path("a.db"), "SELECT count(*) FROM _windrow_rebuilds");
    assert_eq!(left, ["0"]);
    apply(&workspace);
    assert_eq!(workspace.value("SELECT DISTINCT typeof(gb) FROM usage"), "text");
    assert_eq!(workspace.value("PRAGMA integrity_check"), "ok");
}

/// A source's life: what each sync finds. Values repeat, go back, go bad, and vanish.
type Found = Vec<(u8, u8, Option<u8>)>;

fn life() -> impl Strategy<Value = Vec<(Found, Option<u8>)>> {
    let record = (0_u8..4, 1_u8..5, proptest::option::weighted(0.9, 0_u8..4));
    let found = proptest::collection::vec(record, 0..8);
    // Some runs end early, and the next one carries on.
    proptest::collection::vec((found, proptest::option::of(1_u8..9)), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_rebuild_by_the_same_definition_is_the_identity(
        life in life(),
        version in any::<bool>(),
        keep in any::<bool>(),
        page in 1_usize..4,
    ) {
        let api = UsageApi::start(Vec::new(), page);
        let mut more = "raw = true\n".to_owned();
        more.push_str(if version { "version = \"updated_at\"\n" } else { "" });
        more.push_str(if keep { "on_conflict = \"keep\"\n" } else { "" });
        let overlap = "overlap = \"1 day\"\nlateness =";
        let definition = api.definition(&more).replace("lateness =", overlap);
        let mut workspace = Workspace::new(&definition.replace("2026-01-01", "2026-01-07"));
        for (sync, (found, requests)) in life.iter().enumerate() {
            api.change(|records| {
                *records = found
                    .iter()
                    .map(|(id, day, gb)| {
                        let at = gb.map_or("no time".to_owned(), |gb| {
                            format!("2026-01-0{}T00:00:00Z", 1 + gb % 3)
                        });
                        let day = format!("2026-01-{:02}", 6 + day);
                        Record::new(&format!("SL-{id}"), &day, f64::from(gb.unwrap_or(9)), &at)
                    })
                    .collect();
            });
            workspace.at(&format!("2026-01-10T{:02}:00:00Z", 12 + sync));
            let requests = requests.unwrap_or(200).to_string();
            workspace.run(&["sync", "--json", "--max-requests", &requests]);
        }
        let before = content(&workspace, "usage");
        apply(&workspace);
        prop_assert_eq!(content(&workspace, "usage"), before);
    }
}

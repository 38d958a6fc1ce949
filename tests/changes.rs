//! A definition that changes: what was read by an earlier request is read again, and a corrected
//! column is carried out on the rows that are there.

use crate::api::{Api, Asked, FAST, UsageApi, items_definition, json, nine_days};
use crate::harness::{Ran, Workspace, counts};

/// The reasons of the windows that a dry run lists, in its order, with the start of each.
fn due(workspace: &Workspace) -> Vec<String> {
    let ran = workspace.run(&["sync", "--dry-run", "--json"]).expect(0);
    let lines = ran.stdout.lines().map(|line| {
        let job: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let window = job["window"].as_str().unwrap_or("all").get(..10).unwrap_or("all").to_owned();
        format!("{window} {}", job["reason"].as_str().expect("a reason"))
    });
    lines.collect()
}

fn outdated(workspace: &Workspace) -> usize {
    due(workspace).iter().filter(|line| line.ends_with(" outdated")).count()
}

/// A workspace with a usage archive of nine days that is read whole; the days up to the 6th are
/// settled.
fn read_usage(definition: &str) -> Workspace {
    let workspace = Workspace::new(definition);
    workspace.sync();
    assert_eq!(outdated(&workspace), 0, "nothing has changed");
    workspace
}

#[test]
fn settled_windows_of_a_corrected_request_are_due_again_newest_first() {
    let api = UsageApi::start(nine_days(), 100);
    let before = api.definition("").replace("path = \"/usage\"", "path = \"/use\"");
    let workspace = read_usage(&before);
    workspace.define(&api.definition(""));
    let due = due(&workspace);
    let again: Vec<&String> = due.iter().filter(|line| line.ends_with(" outdated")).collect();
    assert_eq!(again.first().map(|line| line.as_str()), Some("2026-01-09 outdated"), "{due:?}");
    assert_eq!(again.last().map(|line| line.as_str()), Some("2026-01-01 outdated"), "{due:?}");
    assert_eq!(again.len(), 9, "{due:?}");
    let report = workspace.run(&["sync"]).expect(0);
    assert!(
        report.stdout.contains("usage: 10 windows are outdated (`path` changed)"),
        "{report:?}"
    );
    assert_eq!(outdated(&workspace), 0);
}

#[test]
fn paging_that_was_added_makes_what_was_read_without_it_outdated() {
    let api = UsageApi::start(nine_days(), 2);
    let whole = api.definition("total = \"none\"");
    let none = whole.replace("kind = \"cursor\"\nnext = \"$.next\"", "kind = \"none\"");
    assert_ne!(none, whole);
    let workspace = read_usage(&none);
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "18");
    workspace.define(&whole);
    let status = workspace.run(&["status"]).expect(0);
    assert!(status.stdout.contains("10 windows are outdated (`paginate` changed)"), "{status:?}");
    let json = workspace.run(&["status", "--json"]).expect(0).json();
    assert_eq!(json["streams"][0]["outdated"], 10, "{json}");
    assert_eq!(json["streams"][0]["changed"], serde_json::json!(["`paginate`"]));
    let check = workspace.run(&["check", "--json"]);
    assert!(check.stdout.contains("\"outdated\""), "{check:?}");
    assert!(check.stdout.contains("10 windows are outdated (`paginate` changed)"), "{check:?}");
    let json = workspace.run(&["sync", "--json"]).expect(0).json();
    assert_eq!(json["streams"][0]["outdated"], 10, "{json}");
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
    assert!(!workspace.run(&["check"]).stdout.contains("outdated"));
}

#[test]
fn defaults_that_are_spelled_out_are_the_same_request() {
    let api = UsageApi::start(nine_days(), 100);
    let workspace = read_usage(&api.definition(""));
    let spelled = api
        .definition("method = \"GET\"\nsource = \"s\"")
        .replace("id = \"text\"", "id = { type = \"text\", path = \"$['id']\" }")
        .replace("next = \"$.next\"", "next = \"$['next']\"\nparam = \"cursor\"")
        .replace("step = \"1 day\"", "step = \"1 day\"\nbounds = \"[)\"\ntimezone = \"UTC\"")
        .replace("path = \"/usage\"", "path = \"usage\"");
    workspace.define(&spelled.replace("path = \"usage\"", "path = \"/usage\""));
    assert_eq!(outdated(&workspace), 0, "{:?}", due(&workspace));
}

#[test]
fn a_definition_that_is_corrected_back_leaves_nothing_outdated() {
    let api = UsageApi::start(nine_days(), 100);
    let first = api.definition("");
    let other = first.replace("query = { ", "query = { kind = \"a\", ");
    let workspace = read_usage(&first);
    workspace.define(&other);
    assert_eq!(outdated(&workspace), 9);
    workspace.run(&["sync", "--max-requests", "4"]).expect(3);
    assert_eq!(outdated(&workspace), 6, "three settled or refreshed windows are of the other now");
    workspace.define(&first);
    let back = outdated(&workspace);
    assert!(back > 0 && back <= 4, "{:?}", due(&workspace));
}

#[test]
fn what_is_pending_comes_before_what_is_outdated_and_coverage_stays_until_then() {
    let api = UsageApi::start(nine_days(), 100);
    let mut workspace = read_usage(&api.definition(""));
    let covered = "SELECT count(*) FROM _windrow_ledger WHERE state IN ('complete', 'settled')";
    let before = workspace.value(covered);
    workspace.define(&api.definition("").replace("query = { ", "query = { kind = \"a\", "));
    workspace.at("2026-01-12T12:00:00Z");
    let due = due(&workspace);
    let at = |reason: &str| due.iter().position(|line| line.ends_with(reason)).expect(reason);
    assert!(at(" pending") < at(" outdated"), "{due:?}");
    assert_eq!(workspace.value(covered), before);
}

#[test]
fn a_secret_is_no_part_of_a_fingerprint_and_a_rate_is_no_part_of_a_request() {
    let api = UsageApi::start(nine_days(), 100);
    let secret = |name: &str| {
        let auth = format!(
            "auth = {{ kind = \"bearer\", token = \"${{env:{name}}}\" }}\nrate = \"9/second\""
        );
        api.definition("").replace("retry = {", &format!("{auth}\nretry = {{"))
    };
    let mut workspace = read_usage(&api.definition(""));
    workspace.variable("FLEET_TOKEN", "a-secret-of-some-length");
    workspace.define(&secret("FLEET_TOKEN"));
    assert_eq!(outdated(&workspace), 0);
}

#[test]
fn a_snapshot_of_another_address_is_due_whatever_its_age() {
    let api = Api::start(|_, _| json(r#"{"data":[{"id":1}],"more":[{"id":2}]}"#));
    let fresh = |records: &str| {
        items_definition(&api.address, FAST, "refresh = \"30 days\"").replace("$.data[*]", records)
    };
    let workspace = Workspace::new(&fresh("$.data[*]"));
    workspace.sync();
    assert_eq!(due(&workspace), [""; 0]);
    workspace.define(&fresh("$.more[*]"));
    assert_eq!(due(&workspace), ["all outdated"]);
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["1", "2"]);
    assert_eq!(due(&workspace), [""; 0]);
}

fn events(asked: &Asked) -> String {
    let since: i64 = asked.parameter("since").and_then(|text| text.parse().ok()).unwrap_or(0);
    let kind = asked.parameter("kind").unwrap_or_default();
    let all = (1..=9).filter(|n| *n >= since && (kind.is_empty() || n % 2 == 0));
    let all: Vec<String> = all.map(|n| format!(r#"{{"id":{n}}}"#)).collect();
    format!(r#"{{"data":[{}]}}"#, all.join(","))
}

fn events_definition(address: &str, query: &str) -> String {
    format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{address}\"\n{FAST}\n\
         [streams.events]\npath = \"/e\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n\
         query = {{ since = \"{{{{ cursor }}}}\"{query} }}\n\
         columns = {{ id = \"integer\" }}\n\
         cursor = {{ field = \"id\", start = 1, refresh = \"30 days\" }}\n"
    )
}

#[test]
fn a_cursor_stream_whose_filter_was_removed_starts_from_its_start_again() {
    let api = Api::start(|asked, _| json(&events(asked)));
    let workspace = Workspace::new(&events_definition(&api.address, ", kind = \"even\""));
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM events"), "4");
    workspace.define(&events_definition(&api.address, ""));
    assert_eq!(due(&workspace), ["all outdated"]);
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM events"), "9");
    assert_eq!(api.log().last().and_then(|asked| asked.parameter("since")).as_deref(), Some("1"));
    assert_eq!(workspace.value("SELECT cursor FROM _windrow_ledger"), "9");
    assert_eq!(due(&workspace), [""; 0]);
}

#[test]
fn from_reads_a_cursor_stream_again_and_never_moves_its_mark_back() {
    let api = Api::start(|asked, _| json(&events(asked)));
    let workspace = Workspace::new(&events_definition(&api.address, ""));
    workspace.sync();
    workspace.run(&["sync", "--from", "4"]).expect(0);
    let since = |api: &Api| api.log().last().and_then(|asked| asked.parameter("since"));
    assert_eq!(since(&api).as_deref(), Some("4"));
    assert_eq!(workspace.value("SELECT cursor FROM _windrow_ledger"), "9");
    // Beyond the mark there is nothing that may be left out.
    workspace.run(&["sync", "--from", "12"]).expect(0);
    assert_eq!(since(&api).as_deref(), Some("9"));
    let ran = workspace.run(&["sync", "--from", "2026-01-01"]).expect(2);
    assert!(ran.stderr.contains("a whole number"), "{ran:?}");
    let ran = workspace.run(&["sync", "--from", "4", "--to", "7"]).expect(2);
    assert!(ran.stderr.contains("--to"), "{ran:?}");
}

#[test]
fn from_reads_a_time_cursor_and_a_snapshot_again_whatever_their_age() {
    let api = Api::start(|_, _| json(r#"{"data":[{"id":1,"at":"2026-01-08T00:00:00Z"}]}"#));
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n{FAST}\n\
         [streams.changes]\npath = \"/c\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n\
         query = {{ since = \"{{{{ cursor }}}}\" }}\n\
         columns = {{ id = \"integer\", at = \"timestamp\" }}\n\
         cursor = {{ field = \"at\", start = \"2026-01-01\", refresh = \"30 days\" }}\n\
         [streams.lines]\npath = \"/l\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n\
         refresh = \"30 days\"\n",
        api.address
    );
    let workspace = Workspace::new(&definition);
    workspace.sync();
    assert_eq!(due(&workspace), [""; 0]);
    let before = api.log().len();
    workspace.run(&["sync", "--from", "2026-01-05"]).expect(0);
    let log = api.log();
    let targets: Vec<&str> = log[before..].iter().map(|asked| asked.target.as_str()).collect();
    assert_eq!(targets, ["/c?since=2026-01-05T00%3A00%3A00Z", "/l"]);
    let mark = workspace.value("SELECT cursor FROM _windrow_ledger WHERE stream = 'changes'");
    assert_eq!(mark, "2026-01-08T00:00:00+00:00");
}

#[test]
fn a_change_that_is_accepted_does_not_matter_both_ways() {
    let api = UsageApi::start(nine_days(), 100);
    let first = api.definition("");
    let other = first.replace("query = { ", "query = { kind = \"a\", ");
    let workspace = read_usage(&first);
    workspace.define(&other);
    assert_eq!(outdated(&workspace), 9);
    let unknown = workspace.run(&["sync", "--accept-definition", "nothing"]).expect(2);
    assert!(unknown.stderr.contains("nothing"), "{unknown:?}");
    let ran = workspace.run(&["sync", "--accept-definition", "usage"]).expect(0);
    assert!(ran.stderr.contains("usage: the change of `query` does not matter"), "{ran:?}");
    assert_eq!(outdated(&workspace), 0);
    workspace.define(&first);
    assert_eq!(outdated(&workspace), 0);
    workspace.define(&first.replace("query = { ", "query = { kind = \"b\", "));
    assert!(outdated(&workspace) > 0, "another change was not accepted");
}

#[test]
fn an_accepted_change_survives_a_hand_off_and_a_merge() {
    let api = UsageApi::start(nine_days(), 100);
    let first = api.definition("");
    let other = first.replace("query = { ", "query = { kind = \"a\", ");
    let workspace = read_usage(&first);
    std::fs::copy(workspace.path("a.db"), workspace.path("b.db")).expect("a copy");
    workspace.define(&other);
    workspace.run(&["sync", "--accept-definition"]).expect(0);
    workspace.run(&["handoff", "given.windrow"]).expect(0);
    workspace.define(&other.replace("a.db", "b.db"));
    assert_eq!(outdated(&workspace), 9);
    workspace.run(&["merge", "given.windrow"]).expect(0);
    assert_eq!(outdated(&workspace), 0, "{:?}", due(&workspace));
}

#[test]
fn a_definition_that_cannot_be_read_any_more_is_taken_for_the_one_before_or_after_it() {
    let api = UsageApi::start(nine_days(), 100);
    let workspace = read_usage(&api.definition(""));
    let spoil = "UPDATE _windrow_definitions SET text = text || 'nonsense = [', sha256 = 'x'";
    crate::harness::execute(&workspace.path("a.db"), spoil);
    let other = api.definition("").replace("query = { ", "query = { kind = \"a\", ");
    workspace.define(&other);
    assert_eq!(outdated(&workspace), 0, "there is nothing to compare with");
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
    workspace.define(&api.definition(""));
    assert!(outdated(&workspace) > 0, "it was taken for the definition after it");
}

/// Forty records whose title is nested.
fn titles() -> Api {
    Api::start(|_, _| {
        let all: Vec<String> = (1..=40)
            .map(|n| {
                let title = format!(r#""title":{{"raw":"t{n}","html":"h"}}"#);
                format!(r#"{{"id":{n},{title},"at":"2026-01-05 10:00:00","n":"5.00"}}"#)
            })
            .collect();
        json(&format!(r#"{{"data":[{}]}}"#, all.join(",")))
    })
}

fn titles_definition(api: &Api, columns: &str) -> String {
    let more = format!("refresh = \"30 days\"\ncolumns = {{ id = \"integer\", {columns} }}");
    items_definition(&api.address, FAST, &more)
}

fn sync_told(workspace: &Workspace, told: &str) -> Ran {
    let ran = workspace.run(&["sync"]).expect(0);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains(told), "{told}: {ran:?}");
    ran
}

#[test]
fn a_corrected_path_is_carried_out_on_the_rows_that_are_there() {
    let api = titles();
    let title = |path: &str| {
        titles_definition(&api, &format!("title = {{ type = \"text\", path = \"{path}\" }}"))
    };
    let workspace = Workspace::new(&title("$.title.rwa"));
    workspace.sync();
    let rows = "SELECT count(*), count(title), count(DISTINCT title) FROM items";
    assert_eq!(workspace.value(rows), "40|0|0");
    workspace.define(&title("$.title.raw"));
    sync_told(&workspace, "column `title`: 40 of 40 rows filled from what was kept");
    assert_eq!(workspace.value(rows), "40|40|40");
    assert_eq!(
        workspace.value("SELECT title || _rest || _revision FROM items WHERE id = 7"),
        r#"t7{"at":"2026-01-05 10:00:00","n":"5.00","title":{"html":"h"}}2"#
    );
    assert_eq!(api.log().len(), 1, "nothing had to be asked again");
    // And to another member: what was there goes back to where it came from.
    workspace.define(&title("$.title.html"));
    workspace.sync();
    assert_eq!(
        workspace.value("SELECT title || _rest FROM items WHERE id = 7"),
        r#"h{"at":"2026-01-05 10:00:00","n":"5.00","title":{"raw":"t7"}}"#
    );
}

#[test]
fn a_corrected_timezone_is_recomputed_from_the_old_one() {
    let api = titles();
    let zone = |zone: &str| {
        titles_definition(
            &api,
            &format!(
                "at = {{ type = \"timestamp\", timezone = \"{zone}\", \
                 format = \"%Y-%m-%d %H:%M:%S\" }}"
            ),
        )
    };
    let workspace = Workspace::new(&zone("UTC"));
    workspace.sync();
    workspace.define(&zone("America/New_York"));
    sync_told(&workspace, "column `at`: 40 of 40 rows filled from what was kept");
    assert_eq!(
        workspace.rows("SELECT DISTINCT at FROM items"),
        ["2026-01-05T15:00:00+00:00"],
        "one column never holds two meanings"
    );
    assert_eq!(due(&workspace), [""; 0]);
}

#[test]
fn a_corrected_type_is_carried_out_and_what_was_rejected_for_it_becomes_rows() {
    let api = titles();
    let kind = |kind: &str| titles_definition(&api, &format!("n = \"{kind}\""));
    let workspace = Workspace::new(&kind("text"));
    workspace.sync();
    workspace.define(&kind("decimal"));
    sync_told(&workspace, "column `n`: 40 of 40 rows filled from what was kept");
    assert_eq!(workspace.rows("SELECT DISTINCT n FROM items"), ["5.00"]);
    workspace.define(&kind("real"));
    sync_told(&workspace, "column `n`: 40 of 40 rows filled from what was kept");
    assert_eq!(workspace.rows("SELECT DISTINCT n FROM items"), ["5.0"]);
    assert_eq!(
        workspace.rows("SELECT type FROM pragma_table_info('items') WHERE name = 'n'"),
        ["REAL"]
    );
}

#[test]
fn where_the_value_is_not_kept_the_window_is_due_again_and_the_old_value_does_not_stay() {
    // The time has no offset in one record and one in the other: which, nobody knows any more.
    let api = Api::start(|_, _| {
        json(
            r#"{"data":[{"id":1,"at":"2026-01-05T10:00:00"},
                {"id":2,"at":"2026-01-05T10:00:00Z"}]}"#,
        )
    });
    let zone = |zone: &str| {
        let columns = format!("at = {{ type = \"timestamp\", timezone = \"{zone}\" }}");
        let more = format!("refresh = \"30 days\"\ncolumns = {{ id = \"integer\", {columns} }}");
        items_definition(&api.address, FAST, &more)
    };
    let workspace = Workspace::new(&zone("UTC"));
    workspace.sync();
    workspace.define(&zone("Europe/Berlin"));
    sync_told(&workspace, "column `at`: 0 of 2 rows filled from what was kept");
    assert_eq!(
        workspace.rows("SELECT id, at FROM items ORDER BY id"),
        ["1|2026-01-05T09:00:00+00:00", "2|2026-01-05T10:00:00+00:00"]
    );
    assert_eq!(api.log().len(), 2, "it was read again");
    assert_eq!(due(&workspace), [""; 0]);
}

#[test]
fn a_column_of_the_key_that_is_read_otherwise_is_refused_where_rows_would_get_another_key() {
    let api = titles();
    let at = |zone: &str| {
        let format = "format = \"%Y-%m-%d %H:%M:%S\"";
        let column = format!("at = {{ type = \"timestamp\", {format}, timezone = \"{zone}\" }}");
        titles_definition(&api, &column).replace("key = \"id\"", "key = [\"id\", \"at\"]")
    };
    let workspace = Workspace::new(&at("UTC"));
    workspace.sync();
    let digests = workspace.digests();
    workspace.define(&at("Europe/Berlin"));
    let ran = workspace.run(&["sync"]).expect(2);
    let told = "the column `at`, of which the key of stream `items` is made, is read otherwise";
    assert!(ran.stderr.contains(told) && ran.stderr.contains("windrow rebuild items"), "{ran:?}");
    assert!(ran.stderr.contains("no pages of it are kept"), "a rebuild cannot help: {ran:?}");
    assert_eq!(workspace.digests(), digests);
    // Another way to say the same.
    workspace.define(&at("Etc/UTC"));
    workspace.sync();
    assert_eq!(workspace.digests(), digests);
}

#[test]
fn history_and_digest_follow_a_corrected_column() {
    let api = titles();
    let title = |path: &str| {
        let columns = format!("title = {{ type = \"text\", path = \"{path}\" }}");
        titles_definition(&api, &columns).replace("refresh =", "history = true\nrefresh =")
    };
    let workspace = Workspace::new(&title("$.title.rwa"));
    workspace.sync();
    workspace.define(&title("$.title.raw"));
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*), count(title) FROM items_history"), "40|0");
    let fresh = Workspace::new(&title("$.title.raw"));
    fresh.sync();
    assert_eq!(workspace.digests(), fresh.digests());
    assert_eq!(workspace.run(&["check"]).code, fresh.run(&["check"]).code);
}

#[test]
fn a_column_that_no_record_ever_had_is_told_by_sync_and_by_check_in_the_same_words() {
    let api = titles();
    let of = |column: &str| titles_definition(&api, column);
    let workspace = Workspace::new(&of("title = { type = \"text\", path = \"$.title.rwa\" }"));
    let told = "column `title`: `$.title.rwa` was in none of the records so far";
    sync_told(&workspace, told);
    let check = workspace.run(&["check"]);
    assert!(check.stdout.contains(told), "{check:?}");
    assert!(check.stdout.contains("`raw`"), "the nearest member: {check:?}");
    let json = workspace.run(&["check", "--json"]);
    assert!(json.stdout.contains("never_found"), "{json:?}");
    workspace.define(&of("title = { type = \"text\", path = \"$.title.raw\" }"));
    workspace.sync();
    assert!(!workspace.run(&["check"]).stdout.contains("none of the records"));
}

#[test]
fn a_column_that_is_optional_or_was_null_is_no_column_that_never_came() {
    let api = Api::start(|_, _| json(r#"{"data":[{"id":1,"gone_at":null}]}"#));
    let columns = "columns = { id = \"integer\", gone_at = \"timestamp\", \
                   note = { type = \"text\", optional = true } }";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, columns));
    let ran = workspace.run(&["sync"]).expect(0);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("none of the records"), "{ran:?}");
    let check = workspace.run(&["check", "--json"]).stdout;
    assert!(!check.contains("none of the records"), "{check}");
    assert!(check.contains("`gone_at` is NULL in every row"), "{check}");
    assert!(!check.contains("`note` is NULL"), "{check}");
}

#[test]
fn a_misspelt_column_of_an_empty_answer_is_not_told() {
    let api = Api::start(|_, _| json(r#"{"data":[]}"#));
    let columns = "columns = { id = \"integer\", titel = \"text\" }";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, columns));
    let ran = workspace.run(&["sync"]).expect(0);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("none of the records"), "{ran:?}");
    assert_eq!(
        counts(&workspace.run(&["sync", "--json"]).expect(0).json(), "items"),
        "0 0 0 0 0 0"
    );
}

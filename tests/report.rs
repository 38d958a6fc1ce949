//! `windrow report`: one page that needs nothing but itself.

use crate::api::{Api, UsageApi, answer, items_definition, json, nine_days, usage_definition};
use crate::harness::{Workspace, execute};

/// What `windrow report --json` says of the days of the first stream.
fn days(workspace: &Workspace, more: &[&str]) -> Vec<(String, String, Option<u64>)> {
    let facts = workspace.run(&[&["report", "--json"], more].concat()).expect(0).json();
    let days = facts["streams"][0]["calendar"]["days"].as_array().expect("days").clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    days.iter().map(|day| (text(&day["date"]), text(&day["state"]), day["rows"].as_u64())).collect()
}

#[test]
fn a_page_shows_each_day_whether_it_was_read_and_how_many_rows_it_has() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let found = days(&workspace, &[]);
    let states: Vec<&str> = found.iter().map(|day| day.1.as_str()).collect();
    let settled = ["settled"; 6];
    let expected = [&settled[..], &["complete", "complete", "complete", "today"]].concat();
    assert_eq!(states, expected, "{found:?}");
    assert!(found[..9].iter().all(|day| day.2 == Some(3)), "{found:?}");
    assert_eq!(found[9], ("2026-01-10".to_owned(), "today".to_owned(), Some(0)));

    let page = workspace.run(&["report"]).expect(0).stdout;
    assert!(page.contains("Nothing is known to be missing, doubled or odd"), "{page}");
    assert!(page.contains(r#"title="2026-01-03, Saturday: read, settled, 3 rows""#), "{page}");
    assert!(page.contains(r#"title="2026-01-08, Thursday: read, may still change, 3 rows""#));
    assert!(page.contains("the most are 3"), "the chart: {page}");
    assert!(page.contains("27 rows"), "{page}");
    assert_eq!(
        page,
        workspace.run(&["report"]).expect(0).stdout,
        "the same archive, the same page"
    );
}

#[test]
fn a_page_needs_nothing_but_itself_and_runs_nothing() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let page = workspace.run(&["report"]).expect(0).stdout;
    assert!(page.starts_with("<!doctype html>"), "{page}");
    assert!(page.contains("default-src 'none'; style-src 'unsafe-inline'"), "{page}");
    for outside in ["<script", "<link", "<img", "src=", "href=\"http", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} in {page}");
    }
}

#[test]
fn a_day_that_quietly_was_never_there_is_on_the_page() {
    let api = Api::start(|asked, _| match asked.parameter("from").as_deref() {
        Some("2026-01-05") => answer("500 Internal Server Error", &[], "no"),
        Some(day) => {
            json(&format!(r#"{{"data":[{{"id":"SL-1","day":"{day}","gb":1.5}}],"next":null}}"#))
        }
        None => json("{}"),
    });
    let workspace = Workspace::new(&usage_definition(&api.address, ""));
    workspace.run(&["sync"]).expect(3);
    let found = days(&workspace, &[]);
    assert_eq!(found[3], ("2026-01-04".to_owned(), "settled".to_owned(), Some(1)));
    assert!(matches!(found[4].1.as_str(), "pending" | "broken"), "{found:?}");
    assert_eq!(found[4].2, Some(0));
    let facts = workspace.run(&["report", "--json"]).expect(0).json();
    assert_eq!(facts["verdict"]["standing"], "open", "{facts}");
    let page = workspace.run(&["report"]).expect(0).stdout;
    assert!(page.contains("To be looked at: "), "{page}");
    assert!(page.contains("windrow sync usage"), "the help: {page}");
    // Where the page does not reach so far back, it says so.
    let page = workspace.run(&["report", "--days", "3"]).expect(0).stdout;
    assert!(page.contains("Before these days 24 h 0 min were not read."), "{page}");
    assert!(page.contains("6 rows before them"), "{page}");
}

#[test]
fn a_parent_that_was_never_read_leaves_its_days_open() {
    let api = Api::start(|asked, _| match asked.path() {
        "/lines" => json(r#"{"data":[{"id":"A"},{"id":"B"}],"next":null}"#),
        "/usage/B" => answer("500 Internal Server Error", &[], "no"),
        _ => {
            let day = asked.parameter("from").unwrap_or_default();
            json(&format!(r#"{{"data":[{{"id":"A","day":"{day}","gb":1.5}}],"next":null}}"#))
        }
    });
    let parent = "\n[streams.lines]\nsource = \"s\"\npath = \"/lines\"\nrecords = \"$.data[*]\"\n\
                  key = \"id\"\ncolumns = { id = \"text\" }\n";
    let definition = usage_definition(&api.address, "for_each = \"lines\"")
        .replace("path = \"/usage\"", "path = \"/usage/{{ parent.id }}\"");
    let workspace = Workspace::new(&format!("{definition}{parent}"));
    workspace.run(&["sync"]).expect(3);
    let facts = workspace.run(&["report", "usage", "--json"]).expect(0).json();
    let states = facts["streams"][0]["calendar"]["days"].as_array().expect("days").clone();
    assert_eq!(facts["streams"][0]["rows"], 10, "{facts}");
    assert!(states.iter().all(|day| day["state"] != "settled"), "{facts}");
    assert_eq!(facts["streams"].as_array().map(Vec::len), Some(1), "only what was asked for");
}

#[test]
fn what_an_api_says_is_text_on_the_page() {
    let evil = r#"<script>alert(1)</script>\u001b[31m\u202e"#;
    let api = Api::start(move |_, _| {
        json(&format!(r#"{{"data":[{{"id":"a"}},{{"no":"{evil}"}},["{evil}"]]}}"#))
    });
    let workspace = Workspace::new(&items_definition(&api.address, "", ""));
    workspace.run(&["sync"]);
    workspace.define(&asked_definition(&api.address, evil));
    let page = workspace.run(&["report"]).expect(0).stdout;
    assert!(page.contains("Records that could not become rows"), "{page}");
    assert!(page.contains("&lt;script&gt;"), "it is there as text: {page}");
    assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");
    assert!(!page.contains('\u{202e}'), "{page}");
}

/// Text that would end an attribute, an element or the style, begin a tag, or be a template.
const MARKUP: &str = "</title></style></script><img src=x onerror=alert(1)>\" onmouseover=\"x\" \
                      ' onclick='x' `<svg/onload=x>` <!-- {{ 7 * 7 }} &lt;b&gt; javascript:x";

#[test]
fn no_text_of_an_archive_is_markup_wherever_it_stands_on_the_page() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let tags = |page: &str| -> Vec<String> {
        let tags = page.split('<').skip(1);
        tags.map(|tag| tag.split('>').next().unwrap_or_default().to_owned()).collect()
    };
    let sql = "PRAGMA foreign_keys = OFF;
        UPDATE _windrow_runs SET message = 'M';
        UPDATE _windrow_ledger SET error = 'M', state = 'truncated' WHERE start_at < '2026-01-03';
        INSERT INTO _windrow_waits VALUES ('M', '2027-01-01T00:00:00+00:00', 'M', 'M');
        INSERT INTO _windrow_schema_log (stream, change, field, detail, at, run_id)
            VALUES ('M', 'new', 'M', 'M', 'M', 1);
        INSERT INTO _windrow_rejects (stream, partition, start_at, end_at, kind, reason, record,
                record_sha256, first_seen_at, run_id, last_run_id)
            VALUES ('usage', '', '', '', 'M', 'M', 'M', 'x', 'M', 1, 1);
        UPDATE _windrow_meta SET value = 'M' WHERE name = 'archive_id';";
    let harmless = sql.replace("'M'", "'m'");
    let hostile = sql.replace("'M'", &format!("'{}'", MARKUP.replace('\'', "''")));
    std::fs::copy(workspace.path("a.db"), workspace.path("m.db")).expect("a copy");
    std::fs::copy(workspace.path("a.db"), workspace.path("n.db")).expect("a copy");
    execute(&workspace.path("m.db"), &harmless);
    execute(&workspace.path("n.db"), &hostile);
    let page = |file: &str| workspace.run(&["-a", file, "report"]).expect(0).stdout;
    let (harmless, hostile) = (page("m.db"), page("n.db"));
    let blank = |tags: Vec<String>| -> Vec<String> {
        let title = |tag: String| tag.split(" title=").next().unwrap_or_default().to_owned();
        tags.into_iter().map(title).collect()
    };
    assert!(hostile.contains("&lt;img src"), "{hostile}");
    for raw in ["<img", "<svg/", "onerror=alert(1)>", "\" onmouseover=\"", "' onclick='", "<!-- "] {
        assert!(!hostile.contains(raw), "{raw} in {hostile}");
    }
    assert!(hostile.contains("{{ 7 * 7 }}"), "no template: {hostile}");
    assert_eq!(blank(tags(&hostile)), blank(tags(&harmless)), "the same elements and attributes");
}

/// The same stream; a question of the analyst's finds what an attacker has put in.
fn asked_definition(address: &str, evil: &str) -> String {
    let literal = evil.replace('\\', "\\\\").replace('"', "\\\"");
    let question = format!("\n[checks.odd]\nsql = \"SELECT '{literal}' AS found\"\n");
    items_definition(address, "", "") + &question
}

#[test]
fn with_nothing_but_the_file_there_is_a_page() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    workspace.run(&["handoff", "given.db"]).expect(0);
    let receiver = Workspace::empty();
    std::fs::copy(workspace.path("given.db"), receiver.path("given.db")).expect("a copy");
    let before = std::fs::read(receiver.path("given.db")).expect("bytes");
    let page = receiver.run(&["--archive", "given.db", "report"]).expect(0).stdout;
    assert!(page.contains("2026-01-03, Saturday: read, settled, 3 rows"), "{page}");
    assert_eq!(before, std::fs::read(receiver.path("given.db")).expect("bytes"), "only read");
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let said = workspace.run(&["report", "--out", "r.html"]).expect(0);
    assert_eq!(said.stdout, "");
    assert_eq!(said.stderr, "r.html: Nothing is known to be missing, doubled or odd\n");
    let page = std::fs::read_to_string(workspace.path("r.html")).expect("the page");
    assert_eq!(page, workspace.run(&["report"]).expect(0).stdout);
    std::fs::write(workspace.path("r.html"), "mine").expect("written");
    let refused = workspace.run(&["report", "--out", "r.html"]).expect(2);
    assert!(refused.stderr.contains("replace it with --force"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(workspace.path("r.html")).expect("a file"), "mine");
    workspace.run(&["report", "--out", "r.html", "--force"]).expect(0);
    assert_eq!(std::fs::read_to_string(workspace.path("r.html")).expect("a file"), page);
    for own in ["a.db", "a.db-wal", "windrow.toml"] {
        let before = std::fs::read(workspace.path(own)).ok();
        workspace.run(&["report", "--out", own, "--force"]).expect(2);
        assert_eq!(std::fs::read(workspace.path(own)).ok(), before, "{own}");
    }
    workspace.run(&["report", "--out", "no/such/folder/r.html"]).expect(8);
    let names = std::fs::read_dir(workspace.folder()).expect("a folder").flatten();
    let left = names.filter(|name| name.file_name().to_string_lossy().contains("-new-")).count();
    assert_eq!(left, 0);
}

#[test]
fn what_is_asked_for_wrongly_is_said() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let ran = workspace.run(&["report", "usages"]).expect(2);
    assert!(ran.stderr.contains("`usage`"), "{ran:?}");
    workspace.run(&["report", "--days", "0"]).expect(2);
    workspace.run(&["report", "--days", "4000"]).expect(2);
    workspace.run(&["report", "--force"]).expect(2);
}

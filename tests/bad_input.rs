//! Bad input gets a clear error, and nothing is lost.

use crate::api::{Api, FAST, UsageApi, answer, items_definition, json, nine_days};
use crate::harness::Workspace;

/// Syncs a source that answers so, after it has answered well once; nothing may be lost.
fn answers(status: &str, kind: &str, body: &str, code: i32, message: &str) {
    let (status, kind, body) = (status.to_owned(), kind.to_owned(), body.to_owned());
    let api = Api::start(move |_, number| match number {
        0 => json(r#"{"data":[{"id":1}]}"#),
        _ => answer(&status, &[("content-type", &kind)], &body),
    });
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    workspace.sync();
    let digest = workspace.digests();
    let ran = workspace.run(&["sync"]).expect(code);
    assert!(ran.stderr.contains(message), "expected {message:?} in\n{}", ran.stderr);
    assert!(ran.stderr.contains("help:"), "each error has a help: {}", ran.stderr);
    assert_eq!(workspace.digests(), digest);
    let state = workspace.value("SELECT state FROM _windrow_ledger");
    assert_eq!(state, "complete", "what an earlier fetch proved stays proven");
}

#[test]
fn a_source_that_does_not_answer_with_data_is_told_apart() {
    let kind = "application/json";
    answers("401 Unauthorized", kind, "{}", 4, "refused the credentials: HTTP 401");
    answers("403 Forbidden", kind, "{}", 4, "HTTP 403");
    answers("404 Not Found", kind, r#"{"e":"x"}"#, 5, "HTTP 404 {\"e\":\"x\"}");
    answers("500 Internal Server Error", kind, "{}", 3, "keeps failing: HTTP 500");
    answers("200 OK", "text/html", "<h1>Log in</h1>", 3, "looks like a login page");
    answers("200 OK", kind, "<html>", 3, "looks like a login page");
    answers("511 Network Authentication Required", kind, "{}", 3, "wants a login");
    answers("200 OK", kind, r#"{"data":[{"id":1}"#, 5, "not JSON");
    answers("200 OK", kind, "42", 5, "expected an object at $, found a number");
    answers("200 OK", kind, "", 5, "not JSON");
    answers("200 OK", kind, r#"{"login_required":true}"#, 3, "looks like a login page");
    answers("200 OK", kind, r#"{"data":null}"#, 5, "found null");
    answers(
        "200 OK",
        kind,
        r#"{"data":{}, "x":1}"#.replace("{}", "7").as_str(),
        5,
        "found a number",
    );
    answers(
        "200 OK",
        kind,
        r#"{"error":{"message":"backend timeout"},"data":[]}"#,
        5,
        "the answer says that it failed",
    );
    answers("206 Partial Content", kind, r#"{"data":[]}"#, 5, "HTTP 206");
}

#[test]
fn a_key_that_no_record_has_is_a_mistake_and_not_a_page_of_rejects() {
    let api = Api::start(|_, _| json(r#"{"data":[{"item_id":1},{"item_id":2}]}"#));
    let definition =
        items_definition(&api.address, FAST, "").replace("key = \"id\"", "key = \"itemid\"");
    let ran = Workspace::new(&definition).run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("the records have no `itemid`"), "{ran:?}");
    assert!(ran.stderr.contains("did you mean `item_id`?"), "{ran:?}");
    let declared = items_definition(&api.address, FAST, "columns = { id = \"integer\" }");
    let workspace = Workspace::new(&declared);
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("none of the page's 2 records has the key (id)"), "{ran:?}");
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_rejects"), "0");
}

/// Syncs an API that answers so, and expects an invalid response.
fn first_answer(body: &'static str, stream: &str, message: &str) {
    let api = Api::start(move |_, _| json(body));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, stream));
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains(message), "expected {message:?} in\n{}", ran.stderr);
    let complete = "SELECT count(*) FROM _windrow_ledger WHERE state = 'complete'";
    assert_eq!(workspace.value(complete), "0");
}

#[test]
fn records_that_are_no_objects_or_lack_what_the_stream_needs_are_a_broken_word() {
    first_answer(r#"{"data":{"error":"internal","code":7}}"#, "", "the records have no `id`");
    first_answer(r#"{"data":[1,2]}"#, "", "no record is an object; the first is 1");
    first_answer(r#"{"data":[{"a":null}]}"#, "", "the records have no `id`");
    first_answer(r#"{"data":[{"id":null}]}"#, "", "`id`, the key, has no value");
    first_answer(
        r#"{"data":[{"id":1,"at":"x"}]}"#,
        "version = \"att\"",
        "no `att`, which is the version",
    );
    let cursor =
        "query = { s = \"{{ cursor }}\" }\ncursor = { field = \"at\", start = \"2026-01-01\" }";
    first_answer(r#"{"data":[{"id":1,"at":"x"}]}"#, cursor, "have the wrong type");
}

#[test]
fn a_hash_key_with_a_misspelt_field_does_not_merge_different_records() {
    let api = Api::start(|_, _| json(r#"{"data":[{"s":"a","at":1},{"s":"a","at":2}]}"#));
    let definition = items_definition(&api.address, FAST, "")
        .replace("key = \"id\"", "key = { hash = [\"s\", \"att\"] }");
    let workspace = Workspace::new(&definition);
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("no record has the key's field `att`"), "{ran:?}");
    assert!(ran.stderr.contains("did you mean `at`?"), "{ran:?}");
    workspace.define(&definition.replace("\"att\"", "\"at\""));
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM items"), "2");
}

#[test]
fn an_answer_that_says_later_is_no_data_even_with_status_200() {
    let api = Api::start(|_, _| json(r#"{"status":"try later","data":[]}"#));
    let source = "retry = { base = \"1 ms\", attempts = 2, body_contains = [\"try later\"] }";
    let workspace = Workspace::new(&items_definition(&api.address, source, ""));
    let ran = workspace.run(&["sync"]).expect(3);
    assert!(ran.stderr.contains("keeps saying later"), "{ran:?}");
    assert_eq!(api.log().len(), 2);
}

/// Puts something at the archive's path and expects that it is refused and left as it is.
fn refused(content: &[u8], code: i32, message: &str) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    std::fs::write(workspace.path("a.db"), content).expect("a file");
    for command in [vec!["sync"], vec!["status"], vec!["query", "SELECT 1"], vec!["runs"]] {
        let ran = workspace.run(&command).expect(code);
        assert!(ran.stderr.contains(message), "{command:?}: {}", ran.stderr);
    }
    assert_eq!(std::fs::read(workspace.path("a.db")).expect("the file"), content);
    assert!(api.api.log().is_empty(), "nothing is asked before the archive is open");
}

#[test]
fn an_archive_that_is_none_is_refused_and_left_as_it_is() {
    refused(b"", 6, "is empty");
    refused(b"<html>not a database</html>", 6, "is not an SQLite file");
    refused(b"SQLite format 3\0 and then nothing", 6, "a.db");
}

#[expect(clippy::disallowed_methods, reason = "tests make files that windrow must refuse")]
fn sqlite_file(workspace: &Workspace, sql: &str) {
    let connection = rusqlite::Connection::open(workspace.path("a.db")).expect("a file");
    connection.execute_batch(sql).expect(sql);
}

#[test]
fn another_programs_database_and_a_newer_archive_are_refused() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    sqlite_file(&workspace, "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let ran = workspace.run(&["sync"]).expect(6);
    assert!(ran.stderr.contains("another program's SQLite file"), "{ran:?}");
    assert_eq!(workspace.rows("SELECT name FROM sqlite_schema"), ["t"]);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    sqlite_file(&workspace, "PRAGMA user_version = 99");
    for command in [vec!["sync"], vec!["status"], vec!["query", "SELECT 1"]] {
        let ran = workspace.run(&command).expect(6);
        assert!(ran.stderr.contains("from a newer windrow"), "{ran:?}");
    }
}

#[test]
fn a_directory_and_a_missing_folder_are_told_apart() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    std::fs::create_dir(workspace.path("a.db")).expect("a directory");
    let ran = workspace.run(&["sync"]).expect(6);
    assert!(ran.stderr.contains("is a directory"), "{ran:?}");
    let workspace = Workspace::new(&api.definition("").replace("a.db", "no/such/a.db"));
    let ran = workspace.run(&["sync"]).expect(8);
    assert!(ran.stderr.contains("the archive's folder must exist"), "{ran:?}");
    assert!(api.api.log().is_empty());
}

#[test]
fn a_damaged_archive_is_named_and_kept() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let mut bytes = std::fs::read(workspace.path("a.db")).expect("the archive");
    let half = bytes.len() / 2;
    bytes.truncate(half);
    for byte in &mut bytes[100..half] {
        *byte ^= 0x5a;
    }
    std::fs::write(workspace.path("a.db"), &bytes).expect("damage");
    let ran = workspace.run(&["sync"]).expect(6);
    assert!(ran.stderr.contains("damaged") && ran.stderr.contains("a.db"), "{ran:?}");
    assert_eq!(std::fs::read(workspace.path("a.db")).expect("the archive"), bytes);
}

#[test]
fn a_changed_key_is_refused_before_anything_is_lost_and_a_changed_type_is_carried_out() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let digest = workspace.digests();
    workspace.define(&api.definition("").replace("gb = \"real\"", "gb = \"text\""));
    workspace.sync();
    let kinds = "SELECT DISTINCT typeof(gb) FROM usage";
    assert_eq!(workspace.rows(kinds), ["text"]);
    workspace.define(&api.definition(""));
    workspace.sync();
    assert_eq!(
        (workspace.rows(kinds), workspace.digests()),
        (vec!["real".to_owned()], digest.clone())
    );
    workspace.define(&api.definition("").replace("[\"id\", \"day\"]", "\"id\""));
    let ran = workspace.run(&["sync"]).expect(2);
    assert!(
        ran.stderr.contains("the key of stream `usage` was (id, day) and is now (id)"),
        "{ran:?}"
    );
    workspace.define(&api.definition(""));
    assert_eq!(workspace.digests(), digest);
}

#[test]
fn a_stream_that_is_misspelt_on_the_command_line_is_told() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    let ran = workspace.run(&["sync", "usgae"]).expect(2);
    assert!(ran.stderr.contains("there is no stream `usgae`"), "{ran:?}");
    assert!(ran.stderr.contains("did you mean `usage`?"), "{ran:?}");
    workspace.run(&["sync", "--from", "yesterday"]).expect(2);
    workspace.run(&["sync", "--from", "2026-01-05", "--to", "2026-01-01"]).expect(2);
    workspace.run(&["sync", "--nonsense"]).expect(2);
    Workspace::empty().run(&["sync"]).expect(2);
}

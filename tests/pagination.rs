//! Every kind of paging against a server, and what must never be taken for the end of the data.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::api::{Api, Asked, FAST, Reply, answer, items_definition, json};
use crate::harness::Workspace;

const ITEMS: usize = 23;

fn number(asked: &Asked, name: &str) -> usize {
    asked.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn page_of(start: usize, size: usize) -> Vec<String> {
    (start.min(ITEMS)..(start + size).min(ITEMS)).map(|n| format!(r#"{{"id":{n}}}"#)).collect()
}

/// Syncs items paged as `paginate` says and expects all of them.
fn expect_all(paginate: &str, handler: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) {
    let api = Api::start(handler);
    let workspace = Workspace::new(&items_definition(&api.address, FAST, paginate));
    workspace.sync();
    let ids = workspace.rows("SELECT id FROM items ORDER BY id");
    assert_eq!(ids, (0..ITEMS).map(|n| n.to_string()).collect::<Vec<_>>(), "{paginate}");
}

#[test]
fn pages_by_number_with_and_without_a_size() {
    expect_all(
        "paginate = { kind = \"page\", size = 5, size_param = \"n\", first = 0 }",
        |asked, _| {
            assert_eq!(asked.parameter("n").as_deref(), Some("5"));
            let items = page_of(number(asked, "page") * 5, 5);
            json(&format!(r#"{{"data":[{}]}}"#, items.join(",")))
        },
    );
    // The source gives 4 to a page where 10 are asked for.
    expect_all("paginate = { kind = \"page\", size = 10, size_param = \"n\" }", |asked, _| {
        let items = page_of((number(asked, "page") - 1) * 4, 4);
        json(&format!(r#"{{"data":[{}]}}"#, items.join(",")))
    });
    expect_all("paginate = { kind = \"page\", pages = \"$.pages\" }", |asked, _| {
        let items = page_of((number(asked, "page") - 1) * 6, 6);
        json(&format!(r#"{{"data":[{}],"pages":4}}"#, items.join(",")))
    });
}

#[test]
fn pages_by_offset_even_when_the_source_caps_them() {
    expect_all("paginate = { kind = \"offset\", size = 10 }", |asked, _| {
        assert_eq!(asked.parameter("limit").as_deref(), Some("10"));
        let items = page_of(number(asked, "offset"), 7);
        json(&format!(r#"{{"data":[{}]}}"#, items.join(",")))
    });
}

#[test]
fn pages_by_token_from_body_header_or_last_record() {
    let next = |at: usize| if at < ITEMS { format!("\"t{at}\"") } else { "null".to_owned() };
    let start = |asked: &Asked, name: &str| {
        asked.parameter(name).map_or(0, |t| t[1..].parse::<usize>().expect("a token"))
    };
    expect_all(
        "paginate = { kind = \"cursor\", next = \"$.meta.next\", param = \"after\" }",
        move |asked, _| {
            let at = start(asked, "after");
            let body = page_of(at, 5).join(",");
            json(&format!(r#"{{"data":[{body}],"meta":{{"next":{}}}}}"#, next(at + 5)))
        },
    );
    expect_all("paginate = { kind = \"cursor\", header = \"X-Next\" }", move |asked, _| {
        let at = start(asked, "cursor");
        let token = if at + 5 < ITEMS { format!("t{}", at + 5) } else { String::new() };
        let body = format!(r#"{{"data":[{}]}}"#, page_of(at, 5).join(","));
        answer("200 OK", &[("X-Next", &token)], &body)
    });
    expect_all(
        "paginate = { kind = \"cursor\", field = \"id\", param = \"after_id\" }",
        |asked, _| {
            let at =
                asked.parameter("after_id").map_or(0, |id| id.parse::<usize>().unwrap_or(0) + 1);
            json(&format!(r#"{{"data":[{}]}}"#, page_of(at, 5).join(",")))
        },
    );
}

#[test]
fn pages_by_token_in_a_json_body() {
    expect_all(
        "method = \"POST\"\nbody = { filter = { active = true } }\n\
         paginate = { kind = \"cursor\", next = \"$.next\", body = \"cursor\" }",
        |asked, _| {
            assert_eq!(asked.method, "POST");
            let body: serde_json::Value = serde_json::from_str(&asked.body).expect("JSON");
            assert_eq!(body["filter"]["active"], true);
            let at = body["cursor"].as_str().and_then(|c| c.parse::<usize>().ok()).unwrap_or(0);
            let next = if at + 5 < ITEMS { format!("\"{}\"", at + 5) } else { "null".to_owned() };
            json(&format!(r#"{{"data":[{}],"next":{next}}}"#, page_of(at, 5).join(",")))
        },
    );
}

#[test]
fn pages_by_link_header_and_by_address() {
    expect_all("paginate = { kind = \"link\" }", |asked, _| {
        let at = number(asked, "at");
        let body = format!(r#"{{"data":[{}]}}"#, page_of(at, 5).join(","));
        let link = format!("</other>; rel=\"prev\", </items?at={}>; rel=\"next\"", at + 5);
        let headers: &[(&str, &str)] = if at + 5 < ITEMS { &[("Link", &link)] } else { &[] };
        answer("200 OK", headers, &body)
    });
    expect_all("paginate = { kind = \"next_url\", next = \"$.next\" }", |asked, _| {
        let at = number(asked, "at");
        let next = if at + 5 < ITEMS { format!("\"?at={}\"", at + 5) } else { "null".to_owned() };
        json(&format!(r#"{{"data":[{}],"next":{next}}}"#, page_of(at, 5).join(",")))
    });
}

/// Syncs and expects that the stream is not complete, and why.
fn expect_broken(
    paginate: &str,
    message: &str,
    handler: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
) {
    let api = Api::start(handler);
    let workspace = Workspace::new(&items_definition(&api.address, FAST, paginate));
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains(message), "{}", ran.stderr);
    let states = workspace.rows("SELECT state FROM _windrow_ledger");
    assert!(!states.contains(&"complete".to_owned()), "{states:?}");
}

#[test]
fn a_loop_of_pages_is_never_the_end() {
    let one = r#"{"data":[{"id":1}],"next":"a"}"#;
    expect_broken(
        "paginate = { kind = \"cursor\", next = \"$.next\" }",
        "repeats the records",
        move |_, _| json(one),
    );
    let counter = Arc::new(AtomicUsize::new(0));
    expect_broken(
        "paginate = { kind = \"cursor\", next = \"$.next\" }",
        "leads back to page",
        move |_, _| {
            let n = counter.fetch_add(1, Ordering::SeqCst);
            json(&format!(r#"{{"data":[{{"id":{n}}}],"next":"{}"}}"#, n % 3))
        },
    );
    // A page number that the source ignores.
    expect_broken("paginate = { kind = \"page\" }", "repeats the records", move |_, _| json(one));
}

#[test]
fn an_empty_page_where_there_should_be_more_is_not_the_end() {
    expect_broken(
        "paginate = { kind = \"page\", more = \"$.more\" }",
        "the page is empty",
        |_, _| json(r#"{"data":[],"more":true}"#),
    );
    expect_broken(
        "paginate = { kind = \"page\", pages = \"$.pages\" }",
        "the page is empty",
        |_, _| json(r#"{"data":[],"pages":7}"#),
    );
    expect_broken("total = \"$.total\"", "the source counts 35 records", |_, _| {
        json(r#"{"data":[],"total":35}"#)
    });
}

#[test]
fn a_page_that_is_gone_in_the_middle_is_not_the_end() {
    expect_broken("paginate = { kind = \"page\" }", "HTTP 404", |asked, _| {
        if number(asked, "page") > 2 {
            return answer("404 Not Found", &[], "{}");
        }
        let n = number(asked, "page");
        json(&format!(r#"{{"data":[{{"id":{n}}}]}}"#))
    });
}

/// One key on both pages with different content, and nothing that counts: what the first fetch has
/// seen of the first page the next run must see again.
#[test]
fn a_fetch_that_was_refused_is_not_carried_on_behind_the_page_that_contradicts() {
    let api = Api::start(|asked, _| match number(asked, "cursor") {
        0 => json(r#"{"data":[{"id":1,"n":1}],"next":"1"}"#),
        _ => json(r#"{"data":[{"id":1,"n":2}],"next":null}"#),
    });
    let paginate = "paginate = { kind = \"cursor\", next = \"$.next\", param = \"cursor\" }";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, paginate));
    for _ in 0..2 {
        let ran = workspace.run(&["sync"]).expect(5);
        assert!(ran.stderr.contains("two records have one key (id) and differ"), "{ran:?}");
    }
    assert_eq!(workspace.rows("SELECT state, token FROM _windrow_ledger"), ["partial|NULL"]);
}

/// The records of the first page are rejects, and a status ends the pages: there would be nothing
/// left to object to behind them.
#[test]
fn a_fetch_whose_end_was_refused_is_not_carried_on_at_its_end() {
    let api = Api::start(|asked, _| match number(asked, "page") {
        1 => json(r#"{"data":[{"id":1,"n":"a"},{"id":2,"n":"b"},{"id":3,"n":3}]}"#),
        _ => answer("404 Not Found", &[], "no such page"),
    });
    let paginate = "paginate = { kind = \"page\", end = { status = [404] } }\n\
                    columns = { id = \"integer\", n = \"integer\" }";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, paginate));
    for _ in 0..2 {
        let ran = workspace.run(&["sync"]).expect(5);
        assert!(ran.stderr.contains("2 of 3 records of the window were rejected"), "{ran:?}");
    }
}

//! The table of cases: an answer, the definition, and what contradicts the end of its data.

use url::Url;

use super::*;
use crate::definition::{Definition, parse_definition};
use crate::record::{BodyFormat, PageContext, RecordReader, read_page};

const BASE: &str = r#"
[archive]
path = "a.db"
[sources.api]
base_url = "https://api.example.com"
[streams.items]
path = "/items"
records = "$.data[*]"
key = "id"
"#;

fn definition(more: &str) -> Definition {
    let text = format!("{BASE}{more}\n");
    parse_definition("windrow.toml", &text).expect(more)
}

/// What contradicts an answer that is the only one of its fetch.
fn judged(headers: &[(&str, &str)], body: &str, more: &str) -> Option<Contradiction> {
    let definition = definition(more);
    let stream = &definition.streams[0];
    let headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect();
    let body = BodyFormat::default().decode(body);
    let reader = RecordReader::new(Vec::new(), stream.key.clone());
    let rows = read_page(&body, &stream.records, &reader, &PageContext::default());
    let rows = rows.expect("records");
    let signs = signs_of(&Answer {
        headers: &headers,
        url: &Url::parse("https://api.example.com/items?limit=3").expect("an address"),
        beside: body.beside_records(rows.span).as_deref(),
        records: stream.records.prefix(),
        received: rows.received,
        error_is_declared: stream.error.is_some(),
    });
    let of_page = contradiction_of_page(stream, &signs);
    let mut fetch = FetchSigns::default();
    fetch.take(signs);
    let came =
        Came { records: rows.received, pages: 1, whole: true, end_is_declared: false };
    of_page.or_else(|| contradiction_of_end(stream, &fetch, came))
}

type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

#[test]
fn honest_answers_are_not_contradicted() {
    const ONE: &str = r#"{"data":[{"id":1}]}"#;
    let cases: [Case; 24] = [
        ("nothing is said", &[], ONE, ""),
        ("a flag that says no", &[], r#"{"data":[{"id":1}],"has_more":false,"next_cursor":"x"}"#, ""),
        ("next is null", &[], r#"{"next":null,"data":[{"id":1}],"links":{"next":null}}"#, ""),
        ("next is empty", &[], r#"{"data":[{"id":1}],"response_metadata":{"next_cursor":""}}"#, ""),
        ("next is this page", &[], r#"{"data":[{"id":1}],"next":"/items?limit=3"}"#, ""),
        ("counts agree", &[("X-Total-Count", "1")], r#"{"data":[{"id":1}],"total":1,"count":1}"#, ""),
        ("the count is the page size that was asked for", &[], r#"{"data":[{"id":1}],"count":3}"#, ""),
        ("a count beside a total", &[], r#"{"data":[{"id":1}],"paging":{"count":10,"total":1}}"#, ""),
        ("counts of something else", &[], r#"{"data":[{"id":1}],"unread_count":9,"total_amount":5411}"#, ""),
        ("a total of money", &[], r#"{"data":[{"id":1}],"total":5411.50}"#, ""),
        ("what a filter leaves", &[], r#"{"recordsTotal":9,"recordsFiltered":1,"data":[{"id":1}]}"#, ""),
        ("names inside of records", &[], r#"{"data":[{"id":1,"next":"/x?y=1","total":9,"errors":["x"]}]}"#, ""),
        ("no errors", &[], r#"{"data":[{"id":1}],"errors":[],"error":null,"partial":false}"#, ""),
        ("an error that is none", &[], r#"{"data":[{"id":1}],"error":{"code":0,"message":""}}"#, ""),
        ("failed shards: none", &[], r#"{"_shards":{"total":5,"failed":0},"data":[{"id":1}]}"#, ""),
        ("one page of one", &[], r#"{"data":[{"id":1}],"page":1,"pages":1,"last_page":1}"#, ""),
        ("other links", &[("Link", r#"</items?p=1>; rel="first", </a.css>; rel=preload"#)], ONE, ""),
        ("the next run is no next page", &[], r#"{"data":[{"id":1}],"next_run_at":"2026-01-01"}"#, ""),
        ("a token for later", &[], r#"{"data":[{"id":1}],"nextSyncToken":"abc"}"#, ""),
        ("a count that is declared as another one", &[], r#"{"data":[{"id":1}],"total":9}"#, "total = \"none\""),
        ("an error member that is declared", &[], r#"{"data":[{"id":1}],"errors":["x"]}"#, "error = \"$.fault\""),
        ("links without a next", &[], r#"{"link":[{"relation":"self","url":"/x"}],"data":[{"id":1}]}"#, ""),
        ("bytes are no records", &[("Content-Range", "bytes 0-99/5411")], ONE, ""),
        ("a part that is all", &[("Content-Range", "items 0-0/1")], ONE, ""),
    ];
    for (name, headers, body, more) in cases {
        assert_eq!(judged(headers, body, more), None, "{name}");
    }
}

#[test]
fn what_contradicts_is_named_with_the_key_to_write() {
    const ONE: &str = r#"{"data":[{"id":1}]}"#;
    let cases: [(Case, [&str; 2]); 22] = [
        (("a link", &[("Link", r#"</items?p=2>; rel="next""#)], ONE, ""), ["Link", "link"]),
        (("a flag", &[], r#"{"data":[{"id":1}],"has_more":true}"#, ""), ["$.has_more", "more"]),
        (("not the last", &[], r#"{"data":[{"id":1}],"last":false}"#, ""), ["$.last", "paginate"]),
        (("an address", &[], r#"{"data":[{"id":1}],"links":{"next":"/items?p=2"}}"#, ""), ["$.links.next", "next_url"]),
        (("HAL", &[], r#"{"_links":{"next":{"href":"/items?p=2"}},"data":[{"id":1}]}"#, ""), ["$._links.next.href", "next_url"]),
        (("a token", &[], r#"{"data":[{"id":1}],"paging":{"next":{"after":"abc"}}}"#, ""), ["after", "cursor"]),
        (("OData", &[], r#"{"data":[{"id":1}],"@odata.nextLink":"https://api.example.com/items?s=2"}"#, ""), ["nextLink", "next_url"]),
        (("Airtable", &[], r#"{"data":[{"id":1}],"offset":"itr1/rec2"}"#, ""), ["$.offset", "cursor"]),
        (("a place that is not where the definition says", &[], r#"{"data":[{"id":1}],"more_data":{"next_cursor":"c"},"additional_data":{"next_cursor":"c"}}"#, "paginate = { kind = \"cursor\", next = \"$.pagination.next_cursor\" }"), ["additional_data", "cursor"]),
        (("a header with a token", &[("X-Next-Cursor", "abc")], ONE, ""), ["X-Next-Cursor", "header"]),
        (("a total", &[], r#"{"data":[{"id":1}],"total_count":5411}"#, ""), ["$.total_count", "total = \"none\""]),
        (("a total in a header", &[("X-Total-Count", "556")], ONE, ""), ["X-Total-Count", "paginate"]),
        (("a range", &[("Content-Range", "0-99/5411")], ONE, ""), ["Content-Range", "paginate"]),
        (("Elasticsearch", &[], r#"{"hits":{"total":{"value":9}},"data":[{"id":1}]}"#, ""), ["total", "paginate"]),
        (("pages", &[], r#"{"data":[{"id":1}],"total_pages":3}"#, ""), ["$.total_pages", "pages"]),
        (("pages of Spring", &[], r#"{"page":{"number":0,"totalPages":3},"data":[{"id":1}]}"#, ""), ["totalPages", "pages"]),
        (("GraphQL", &[], r#"{"data":[{"id":1}],"errors":[{"message":"boom"}]}"#, ""), ["boom", "error"]),
        (("partial", &[], r#"{"data":[{"id":1}],"partial":true}"#, ""), ["$.partial", "error"]),
        (("a failed shard", &[], r#"{"_shards":{"failed":2},"data":[{"id":1}]}"#, ""), ["_shards.failed", "error"]),
        (("no success", &[], r#"{"success":false,"data":[]}"#, ""), ["$.success", "error"]),
        (("an unreadable link", &[("Link", "</items?p=2; rel=next")], ONE, "paginate = { kind = \"link\" }"), ["Link", "rel"]),
        (("what is left", &[], r#"{"metadata":{"remainingItemCount":253},"data":[{"id":1}]}"#, ""), ["remainingItemCount", "paginate"]),
    ];
    for ((name, headers, body, more), [seen, key]) in cases {
        let found = judged(headers, body, more).unwrap_or_else(|| panic!("{name}: not seen"));
        assert!(found.message.contains(seen), "{name}: {}", found.message);
        assert!(found.help.contains(key), "{name}: {}", found.help);
    }
}

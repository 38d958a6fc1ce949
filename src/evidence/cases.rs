//! The table of cases: an answer, the definition, and what contradicts the end of its data.

use std::collections::BTreeMap;

use url::Url;

use super::*;
use crate::definition::{BodyFormat, Definition, parse_definition};
use crate::record::{PageContext, RecordReader, read_page};

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

/// A case of `cases.toml`.
#[derive(serde::Deserialize)]
struct AnswerCase {
    name: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: String,
    #[serde(default)]
    definition: String,
    /// What the message names.
    #[serde(default)]
    seen: String,
    /// What the help names.
    #[serde(default)]
    key: String,
}

#[derive(serde::Deserialize)]
struct Cases {
    honest: Vec<AnswerCase>,
    contradicting: Vec<AnswerCase>,
}

fn cases() -> Cases {
    toml::from_str(include_str!("cases.toml")).expect("the table")
}

/// What contradicts an answer that is the only one of its fetch.
fn judged(case: &AnswerCase) -> Option<Contradiction> {
    let definition = definition(&case.definition);
    let stream = &definition.streams[0];
    let headers = case.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
    let headers: Vec<(String, String)> = headers.collect();
    let body = BodyFormat::default().decode(&case.body);
    let reader = RecordReader::new(Vec::new(), stream.key.clone());
    let rows = read_page(&body, &stream.records, &reader, &PageContext::default());
    let rows = rows.expect("records");
    let signs = signs_of(&JudgedAnswer {
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
    let came = Came { records: rows.received, pages: 1, whole: true, end_is_declared: false };
    of_page.or_else(|| contradiction_of_end(stream, &fetch, came))
}

#[test]
fn honest_answers_are_not_contradicted() {
    let cases = cases().honest;
    assert!(cases.len() >= 24, "{}", cases.len());
    for case in cases {
        assert_eq!(judged(&case), None, "{}", case.name);
    }
}

#[test]
fn what_contradicts_is_named_with_the_key_to_write() {
    let cases = cases().contradicting;
    assert!(cases.len() >= 22, "{}", cases.len());
    for case in cases {
        let name = &case.name;
        let found = judged(&case).unwrap_or_else(|| panic!("{name}: not seen"));
        assert!(found.message.contains(&case.seen), "{name}: {}", found.message);
        assert!(found.help.contains(&case.key), "{name}: {}", found.help);
    }
}

//! The bytes that go out: an entry and its key, always put together in the same way.

use crate::definition::{KeyFormat, KeyPlace, KeyRule, WriteMethod};
use crate::outbox::OutboxEntry;

/// What is sent, without the source's own headers and credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    pub method: WriteMethod,
    /// Path and query, appended to the source's address.
    pub path: String,
    /// Name and value of each header.
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

/// The request of an entry. It depends on nothing but the entry, so that each attempt is the same.
pub fn wire_of(entry: &OutboxEntry) -> Wire {
    let mut wire = Wire {
        method: entry.brief.method,
        path: entry.path.clone(),
        headers: entry.headers.clone(),
        body: entry.body.clone(),
    };
    if let Some(rule) = &entry.key_rule {
        put_key(&mut wire, rule, &entry.sent_key);
    }
    wire
}

fn put_key(wire: &mut Wire, rule: &KeyRule, key: &str) {
    match rule.place {
        KeyPlace::Header => {
            let value = match rule.format {
                KeyFormat::Structured => quoted(key),
                KeyFormat::Plain => key.to_owned(),
            };
            wire.headers.push((rule.name.to_ascii_lowercase(), value));
        }
        KeyPlace::Query => {
            let mut pair = url::form_urlencoded::Serializer::new(String::new());
            pair.append_pair(&rule.name, key);
            wire.path.push(if wire.path.contains('?') { '&' } else { '?' });
            wire.path.push_str(&pair.finish());
        }
        KeyPlace::Body => wire.body = wire.body.take().map(|body| with_member(body, rule, key)),
    }
}

/// A string of RFC 9651, section 3.3.3. Keys are visible ASCII.
fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A JSON object with one member more, before all others; every other byte stays as it is.
fn with_member(body: Vec<u8>, rule: &KeyRule, key: &str) -> Vec<u8> {
    let Some(at) = body.iter().position(|byte| *byte == b'{') else { return body };
    let (before, rest) = body.split_at(at + 1);
    let is_empty = rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}');
    let name = serde_json::Value::from(rule.name.as_str());
    let member = format!("{name}:{}", serde_json::Value::from(key));
    let comma = if is_empty { "" } else { "," };
    [before, member.as_bytes(), comma.as_bytes(), rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(place: KeyPlace, format: KeyFormat, path: &str, body: &str, key: &str) -> Wire {
        let mut wire = Wire {
            method: WriteMethod::Post,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Some(body.as_bytes().to_vec()),
        };
        put_key(&mut wire, &KeyRule { place, name: "Key".to_owned(), format }, key);
        wire
    }

    #[test]
    fn the_key_stands_where_the_api_wants_it_and_all_other_bytes_stay() {
        use KeyFormat::{Plain, Structured};
        let header = |format, key| wire(KeyPlace::Header, format, "/a", "{}", key).headers;
        assert_eq!(header(Structured, r#"a"b\c"#), [("key".into(), r#""a\"b\\c""#.into())]);
        assert_eq!(header(Plain, "a-b"), [("key".into(), "a-b".into())]);
        let path = |path| wire(KeyPlace::Query, Plain, path, "{}", "a b&c").path;
        assert_eq!(path("/a"), "/a?Key=a+b%26c");
        assert_eq!(path("/a?x=1"), "/a?x=1&Key=a+b%26c");
        let bodies = [
            (" { } ", r#" {"Key":"k" } "#),
            ("{}", r#"{"Key":"k"}"#),
            (r#"{ "a" : 1.00 }"#, r#"{"Key":"k", "a" : 1.00 }"#),
        ];
        for (body, expected) in bodies {
            let sent = wire(KeyPlace::Body, Plain, "/a", body, "k").body.expect("a body");
            assert_eq!(String::from_utf8_lossy(&sent), expected);
            assert!(serde_json::from_slice::<serde_json::Value>(&sent).is_ok());
        }
    }
}

//! `{{ result.KEY.id }}`: values of the answer that an entry waited for.
//!
//! Only the text between the braces changes; every other byte of the request stays as it was given.

use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

use crate::outbox::OutboxEntry;

use super::placeholder::placeholders;
use super::request::{check_header_value, is_json};
use super::target::leads_out;

/// RFC 3986, section 2.3: unreserved characters need no escape.
const PATH_ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a text stands in a request, which decides how values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// In the path or the query.
    Path,
    /// In a header, or in a body that is no JSON.
    Plain,
    /// In a JSON text.
    Json,
}

/// The text with every placeholder filled from the answer to the entry `key`. In JSON a placeholder
/// that is a whole string becomes the value as it came, a number for a number; inside a longer
/// string it is text.
pub fn fill(text: &[u8], key: &str, answer: &[u8], stands: Stands) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for placeholder in placeholders(text) {
        let value = value_of(&placeholder.name, key, answer)?;
        let (mut start, mut end) = (placeholder.start, placeholder.end);
        let opens = start > 0 && text[start - 1] == b'"' && (start < 2 || text[start - 2] != b'\\');
        let whole = stands == Stands::Json && opens && text.get(end) == Some(&b'"');
        let written = match stands {
            Stands::Json if whole => {
                (start, end) = (start - 1, end + 1);
                value.get().to_owned()
            }
            Stands::Json => {
                let json = serde_json::Value::from(text_of(value, &placeholder.name)?).to_string();
                json[1..json.len() - 1].to_owned()
            }
            Stands::Plain => text_of(value, &placeholder.name)?,
            Stands::Path => path_part(&text_of(value, &placeholder.name)?, &placeholder.name)?,
        };
        out.extend_from_slice(&text[from..start]);
        out.extend_from_slice(written.as_bytes());
        from = end;
    }
    out.extend_from_slice(&text[from..]);
    Ok(out)
}

/// An entry with every placeholder filled from the answer to `before`, or why that cannot be.
pub fn filled(entry: &OutboxEntry, before: &OutboxEntry) -> Result<OutboxEntry, String> {
    let key = &before.brief.key;
    let answer = before.answer.as_deref().unwrap_or_default();
    let text = |text: &str, stands| -> Result<String, String> {
        let bytes = fill(text.as_bytes(), key, answer, stands)?;
        String::from_utf8(bytes).map_err(|_| "the answer is not UTF-8".to_owned())
    };
    let mut whole = entry.clone();
    whole.path = text(&entry.path, Stands::Path)?;
    if leads_out(whole.path.split('?').next().unwrap_or_default()) {
        return Err("the path would lead out of the source's address".to_owned());
    }
    for (name, value) in &mut whole.headers {
        *value = text(value, Stands::Plain)?;
        check_header_value(name, value).map_err(|refusal| refusal.message)?;
    }
    let stands = if is_json(&entry.headers) { Stands::Json } else { Stands::Plain };
    let body = entry.body.as_deref().map(|body| fill(body, key, answer, stands));
    whole.body = body.transpose()?;
    Ok(whole)
}

/// A dot segment would climb to another endpoint, an empty one would name the collection.
fn path_part(text: &str, name: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err(format!("`result.{name}` is {text:?}, which cannot be in a path")),
        text => Ok(utf8_percent_encode(text, PATH_ESCAPED).to_string()),
    }
}

fn value_of<'a>(name: &str, key: &str, answer: &'a [u8]) -> Result<&'a RawValue, String> {
    let path = name.strip_prefix(key).and_then(|rest| rest.strip_prefix('.'));
    let path = path.filter(|path| !path.is_empty()).ok_or_else(|| {
        format!("`result.{name}` is not of the entry that is waited for: write `result.{key}.…`")
    })?;
    let missing = || format!("the answer to {key} has no `{path}`");
    let mut value: &RawValue =
        serde_json::from_slice(answer).map_err(|_| format!("the answer to {key} is not JSON"))?;
    for part in path.split('.') {
        value = match value.get().as_bytes().first() {
            Some(b'{') => {
                let members: HashMap<String, &RawValue> =
                    serde_json::from_str(value.get()).map_err(|_| missing())?;
                members.get(part).copied().ok_or_else(missing)?
            }
            Some(b'[') => {
                let items: Vec<&RawValue> =
                    serde_json::from_str(value.get()).map_err(|_| missing())?;
                let index: usize = part.parse().map_err(|_| missing())?;
                items.get(index).copied().ok_or_else(missing)?
            }
            _ => return Err(missing()),
        };
    }
    Ok(value)
}

/// A value that can stand in a text: digits as they came, a text without its quotes.
fn text_of(value: &RawValue, name: &str) -> Result<String, String> {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).map_err(|error| error.to_string()),
        Some(b'{' | b'[' | b'n') | None => {
            Err(format!("`result.{name}` is no text or number, which alone can stand here"))
        }
        _ => Ok(json.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] =
        br#"{"id":12345678901234567890,"name":"a \"b\"/c","rows":[{"id":"x"}],"none":null}"#;

    fn filled(text: &str, stands: Stands) -> Result<String, String> {
        let bytes = fill(text.as_bytes(), "k.1", ANSWER, stands)?;
        Ok(String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn holes_are_filled_with_what_came_and_everything_else_stays() {
        use Stands::{Json, Path, Plain};
        let cases = [
            (r#"{"a": "{{ result.k.1.id }}" }"#, Json, r#"{"a": 12345678901234567890 }"#),
            (r#"{"a":"x {{result.k.1.name}}"}"#, Json, r#"{"a":"x a \"b\"/c"}"#),
            (r#"{"a":"{{ result.k.1.rows.0 }}"}"#, Json, r#"{"a":{"id":"x"}}"#),
            (r#"{"a":"\"{{ result.k.1.id }}\""}"#, Json, r#"{"a":"\"12345678901234567890\""}"#),
            ("/o/{{ result.k.1.name }}", Path, "/o/a%20%22b%22%2Fc"),
            ("n {{ result.k.1.rows.0.id }} {{ other }}", Plain, "n x {{ other }}"),
        ];
        for (text, stands, expected) in cases {
            assert_eq!(filled(text, stands).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_the_answer_does_not_hold_is_an_error_and_never_an_empty_place() {
        let wrong = ["missing", "rows.1.id", "rows.x", "id.x", "none"];
        for name in wrong {
            let text = format!("/o/{{{{ result.k.1.{name} }}}}");
            assert!(filled(&text, Stands::Path).is_err(), "{name}");
        }
        assert!(filled("{{ result.other.id }}", Stands::Plain).is_err());
        assert!(fill(b"{{ result.k.id }}", "k", b"<html>", Stands::Plain).is_err());
        for value in ["", ".", ".."] {
            let answer = format!(r#"{{"id":"{value}"}}"#);
            let path = fill(b"/o/{{ result.k.id }}", "k", answer.as_bytes(), Stands::Path);
            assert!(path.is_err(), "{value:?}");
        }
    }
}

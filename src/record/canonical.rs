//! Canonical JSON, and keys made of it.
//!
//! RFC 8785's order of members and its strings, but numbers as their digits came: RFC 8785 would
//! bend 64-bit ids through a double.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::model::hexadecimal;

use super::json::{DEPTH_MAX, DeepFault, Elements, JsonKind, Members, string_text};

/// The canonical text of a JSON value; fails on a duplicated member name, a lone surrogate or
/// nesting beyond the limit.
pub fn canonical_json(raw: &str) -> Result<String, DeepFault> {
    let mut out = String::with_capacity(raw.len());
    write_canonical(raw, &mut out)?;
    Ok(out)
}

/// Appends the canonical text of a JSON value.
pub fn write_canonical(raw: &str, out: &mut String) -> Result<(), DeepFault> {
    write_value(raw, out, 0)
}

/// The hexadecimal SHA-256 of the canonical object of these fields. A field that is not there
/// counts as null.
pub fn hash_key(fields: &[(&str, Option<&str>)]) -> Result<String, DeepFault> {
    let member = |(name, raw): &(_, Option<_>)| (Cow::Borrowed(*name), raw.unwrap_or("null"));
    let mut out = String::new();
    write_members(fields.iter().map(member).collect(), &mut out, 0)?;
    Ok(hexadecimal(&Sha256::digest(out.as_bytes())))
}

fn write_value(raw: &str, out: &mut String, depth: usize) -> Result<(), DeepFault> {
    let unrepresentable = |error: serde_json::Error| DeepFault::unrepresentable(error.to_string());
    if depth > DEPTH_MAX {
        return Err(DeepFault::unrepresentable(format!("nesting deeper than {DEPTH_MAX}")));
    }
    match JsonKind::of(raw) {
        JsonKind::String => {
            let text = string_text(raw).ok_or_else(|| {
                DeepFault::unrepresentable("a lone surrogate, which no text can hold")
            })?;
            write_string(&text, out);
        }
        JsonKind::Array => {
            let elements = Elements::parse(raw).map_err(unrepresentable)?;
            out.push('[');
            for (at, element) in elements.0.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(element, out, depth + 1)
                    .map_err(|fault| fault.inside(&at.to_string()))?;
            }
            out.push(']');
        }
        JsonKind::Object => {
            let members = Members::parse(raw).map_err(unrepresentable)?;
            if let Some(name) = members.duplicate() {
                return Err(DeepFault::duplicate(name));
            }
            write_members(members.0, out, depth + 1)?;
        }
        JsonKind::Null | JsonKind::Boolean | JsonKind::Number => out.push_str(raw),
    }
    Ok(())
}

fn write_members(
    mut members: Vec<(Cow<'_, str>, &str)>,
    out: &mut String,
    depth: usize,
) -> Result<(), DeepFault> {
    // RFC 8785, section 3.2.3: by UTF-16 code units.
    members.sort_by(|(a, _), (b, _)| utf16_order(a, b));
    out.push('{');
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_string(name, out);
        out.push(':');
        write_value(value, out, depth).map_err(|fault| fault.inside(name))?;
    }
    out.push('}');
    Ok(())
}

/// The order of RFC 8785, section 3.2.3. Bytes give the same for ASCII, and faster.
pub fn utf16_order(a: &str, b: &str) -> std::cmp::Ordering {
    if a.is_ascii() && b.is_ascii() {
        return a.cmp(b);
    }
    a.encode_utf16().cmp(b.encode_utf16())
}

/// RFC 8785, section 3.2.2.2: only what must be escaped is, and in the shortest way. That is how
/// `serde_json` writes strings too.
pub fn write_string(text: &str, out: &mut String) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    out.push_str(&serde_json::to_string(text).expect("text can always be written as JSON"));
}

#[cfg(test)]
mod tests {
    use super::super::json::JsonFault as Fault;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_no_text_can_hold_is_refused_at_every_depth() {
        let duplicate = canonical_json(r#"{"x":[{"k":1,"k":2}]}"#);
        assert_eq!(duplicate, Err(DeepFault::duplicate("k").inside("0").inside("x")));
        assert_eq!(DeepFault::duplicate("k").inside("0").inside("x/").at, "/x~1/0/k");
        for (raw, at) in [(r#"["\ud800"]"#, "/0"), (r#""a\udc00b""#, "")] {
            let why = "a lone surrogate, which no text can hold";
            let fault = Fault::Unrepresentable(why.to_owned());
            assert_eq!(canonical_json(raw), Err(DeepFault { at: at.to_owned(), fault }), "{raw}");
        }
        assert!(canonical_json(r#"{"a":"\ud83d\ude00"}"#).is_ok());
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let fault = canonical_json(&deep).expect_err("too deep").fault;
        assert!(matches!(fault, Fault::Unrepresentable(_)));
    }

    #[test]
    fn members_are_sorted_by_utf16_and_digits_stay_as_they_came() {
        let cases = [
            (
                r#"{ "b" : 1.10 , "a" : [ -0 , 1e400, 12345678901234567890123 ] }"#,
                r#"{"a":[-0,1e400,12345678901234567890123],"b":1.10}"#,
            ),
            // U+FB33 sorts after U+1F600, whose UTF-16 begins with a surrogate.
            ("{\"\u{fb33}\":1,\"\u{1f600}\":2}", "{\"\u{1f600}\":2,\"\u{fb33}\":1}"),
            (r#""\u0041\u000a\u20ac\/""#, "\"A\\n\u{20ac}/\""),
            (r#"{"a":"\u0000"}"#, r#"{"a":"\u0000"}"#),
        ];
        for (raw, expected) in cases {
            assert_eq!(canonical_json(raw).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_hash_key_is_the_sha256_of_the_canonical_object() {
        // printf '{"a":1,"b":"x"}' | sha256sum
        let expected = "ecf9e98ec0641e23113ff3ce8bdc78d0ddd249886517fd4a7f68cc83d4e65667";
        let found = hash_key(&[("b", Some("\"x\"")), ("a", Some("1"))]).expect("a key");
        assert_eq!(found, expected);
        let escaped = hash_key(&[("a", Some("1")), ("b", Some("\"\\u0078\""))]);
        assert_eq!(escaped.as_deref(), Ok(found.as_str()));
        assert_ne!(hash_key(&[("a", Some("1.0")), ("b", Some("\"x\""))]), Ok(found));
    }

    proptest! {
        #[test]
        fn order_and_spacing_of_members_do_not_change_the_canonical_text(
            names in prop::collection::btree_set("[a-z\u{e9}\u{1f600}]{1,4}", 1..6),
            seed in any::<u64>(),
        ) {
            let mut shuffled: Vec<_> = names.iter().enumerate().collect();
            let member = |(n, name): &(usize, &String)| format!("\"{name}\":{n}");
            let sorted: Vec<String> = shuffled.iter().map(member).collect();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            let mixed: Vec<String> =
                shuffled.iter().map(|(n, name)| format!(" \"{name}\" : {n}")).collect();
            let first = canonical_json(&format!("{{{}}}", sorted.join(","))).expect("JSON");
            let second = canonical_json(&format!("{{{} }}", mixed.join(","))).expect("JSON");
            prop_assert_eq!(&first, &second);
            prop_assert_eq!(canonical_json(&first).expect("JSON"), second);
        }
    }
}

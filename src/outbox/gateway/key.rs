//! The `Idempotency-Key` of a request: one, quoted or plain
//! (draft-ietf-httpapi-idempotency-key-header-07, section 2.1).

use super::super::KEY_CHARS_MAX;
use super::problem::{GatewayProblem, GatewayProblemKind};

/// The key of a request with these `Idempotency-Key` headers.
///
/// The draft wants a structured-field string; what most programs send is the bare characters, and
/// both are the same key. A list is two keys, whichever of them was meant.
pub(crate) fn key_of<'a>(
    mut headers: impl Iterator<Item = &'a [u8]>,
) -> Result<String, GatewayProblem> {
    let Some(value) = headers.next() else {
        let detail = "say which request this is, for example `Idempotency-Key: \"<a new UUID>\"`";
        return Err(GatewayProblem::new(GatewayProblemKind::KeyMissing, detail));
    };
    if headers.next().is_some() {
        return Err(twice());
    }
    let value = std::str::from_utf8(value).map(str::trim);
    let value = value.map_err(|_| invalid("a key has ASCII characters only"))?;
    let key = match value.strip_prefix('"') {
        Some(rest) => quoted(rest)?,
        None if value.contains(',') => return Err(twice()),
        None if value.contains('"') => return Err(invalid("there is a quote in the middle of it")),
        None => value.to_owned(),
    };
    if key.is_empty() || key.len() > KEY_CHARS_MAX {
        return Err(invalid(&format!("a key has 1 to {KEY_CHARS_MAX} characters")));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid("a key has visible ASCII characters only, and no spaces"));
    }
    Ok(key)
}

/// What stands in a structured-field string (RFC 9651, section 4.2.5) whose first quote was read.
fn quoted(text: &str) -> Result<String, GatewayProblem> {
    let mut key = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next() {
            None => return Err(invalid("its closing quote is missing")),
            Some('"') => break,
            Some('\\') => match letters.next() {
                Some(letter @ ('"' | '\\')) => key.push(letter),
                _ => return Err(invalid("a backslash stands before a quote or a backslash only")),
            },
            Some(letter) => key.push(letter),
        }
    }
    match letters.as_str().trim() {
        "" => Ok(key),
        rest if rest.starts_with(',') => Err(twice()),
        _ => Err(invalid("something stands behind its closing quote")),
    }
}

pub(crate) fn twice() -> GatewayProblem {
    let detail = "it is not clear which of them applies; nothing was kept or sent";
    GatewayProblem::new(GatewayProblemKind::KeyTwice, detail)
}

fn invalid(why: &str) -> GatewayProblem {
    GatewayProblem::new(GatewayProblemKind::KeyInvalid, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(headers: &[&str]) -> Result<String, GatewayProblemKind> {
        key_of(headers.iter().map(|value| value.as_bytes())).map_err(|problem| problem.kind)
    }

    #[test]
    fn a_key_is_one_string_quoted_or_plain() {
        let long = "k".repeat(256);
        let cases: [(&[&str], Result<&str, GatewayProblemKind>); 20] = [
            (&["abc"], Ok("abc")),
            (&[" abc "], Ok("abc")),
            (&["\"abc\""], Ok("abc")),
            (&[r#""a\"b\\c""#], Ok(r#"a"b\c"#)),
            (&["\"a,b\""], Ok("a,b")),
            (&[&long[..255]], Ok(&long[..255])),
            (&[], Err(GatewayProblemKind::KeyMissing)),
            (&["a", "a"], Err(GatewayProblemKind::KeyTwice)),
            (&["\"a\"", "\"b\""], Err(GatewayProblemKind::KeyTwice)),
            (&["a, b"], Err(GatewayProblemKind::KeyTwice)),
            (&["\"a\", \"b\""], Err(GatewayProblemKind::KeyTwice)),
            (&[""], Err(GatewayProblemKind::KeyInvalid)),
            (&["\"\""], Err(GatewayProblemKind::KeyInvalid)),
            (&["\"a"], Err(GatewayProblemKind::KeyInvalid)),
            (&["\"a\\x\""], Err(GatewayProblemKind::KeyInvalid)),
            (&["\"a\";p=1"], Err(GatewayProblemKind::KeyInvalid)),
            (&["a\"b"], Err(GatewayProblemKind::KeyInvalid)),
            (&["a b"], Err(GatewayProblemKind::KeyInvalid)),
            (&["a\u{1}b"], Err(GatewayProblemKind::KeyInvalid)),
            (&[&long], Err(GatewayProblemKind::KeyInvalid)),
        ];
        for (headers, expected) in cases {
            assert_eq!(key(headers), expected.map(str::to_owned), "{headers:?}");
        }
    }
}

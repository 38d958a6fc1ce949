//! Where a path leads, however it is written.
//!
//! Servers, caches and frameworks differ in what they make of `%2e%2e`, `..;x`, `..\` or `%252e`:
//! a path that one of them may read as a way out of the source's address is not sent.

use percent_encoding::percent_decode_str;

/// How often a path is decoded: what is escaped more often is refused by the last look.
const DECODINGS_MAX: usize = 4;
/// Characters that some servers make a dot of (Unicode's compatibility forms).
const DOTS: [char; 3] = ['.', '\u{ff0e}', '\u{2024}'];
/// Characters that some servers make a slash of.
const SLASHES: [char; 6] = ['/', '\\', '\u{ff0f}', '\u{ff3c}', '\u{2215}', '\u{2044}'];
/// Characters that some servers end a segment at.
const ENDS: [char; 4] = [';', '?', '#', '\0'];

/// Whether a path leads out of where it begins, in one of the ways in which some server reads it.
pub fn leads_out(path: &str) -> bool {
    let mut text = path.to_owned();
    for _ in 0..DECODINGS_MAX {
        if has_dot_segment(&text) {
            return true;
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            return false;
        }
        text = decoded;
    }
    true
}

/// A segment of nothing but dots and blanks, whatever follows in it.
fn has_dot_segment(text: &str) -> bool {
    text.split(SLASHES).any(|segment| {
        let segment = segment.split(ENDS).next().unwrap_or_default();
        let only = |letter: char| DOTS.contains(&letter) || letter.is_whitespace();
        segment.contains(DOTS) && segment.chars().all(only)
    })
}

/// What keeps a path that another program gave from being sent on: whatever two servers may read
/// in two ways. The query is no part of it.
pub fn ambiguity(path: &str) -> Option<&'static str> {
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let digits = rest.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Some("a `%` without two hexadecimal digits");
        }
        rest = &rest[at + 3..];
    }
    let Ok(decoded) = percent_decode_str(path).decode_utf8() else {
        return Some("escapes that are not UTF-8");
    };
    let slashes = |text: &str| text.matches('/').count();
    if decoded.contains('\\') || slashes(&decoded) != slashes(path) {
        return Some("a backslash or an escaped slash");
    }
    if decoded.chars().any(char::is_control) {
        return Some("control characters");
    }
    let twice = percent_decode_str(&decoded).collect::<Vec<u8>>();
    if twice != decoded.as_bytes() {
        return Some("text that is escaped twice");
    }
    if path.contains("//") {
        return Some("an empty segment");
    }
    leads_out(path).then_some("a segment that leads out of the source's address")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reaches a parent folder on some server.
    const OUT: &[&str] = &[
        "/..",
        "/.",
        "/a/../b",
        "/a/./b",
        "/a/..",
        "/%2e%2e/a",
        "/%2E./a",
        "/.%2e/a",
        "/..%2fa",
        "/..%2Fa",
        "/a%2f..%2fb",
        "/a%2f..",
        "/..%5ca",
        "/..\\a",
        "/a\\..\\b",
        "/..;/a",
        "/..;x=1/a",
        "/.;/a",
        "/..%3b/a",
        "/..%3bx/a",
        "/%2e%2e;/a",
        "/..%3f/a",
        "/..%23/a",
        "/..%00/a",
        "/..%20/a",
        "/..%09/a",
        "/%252e%252e/a",
        "/..%252fa",
        "/%25252e%25252e/a",
        "/%2525252525252e/a",
        "/%ef%bc%8e%ef%bc%8e/a",
        "/..%ef%bc%8fa",
        "/.../a",
    ];
    const IN: &[&str] = &[
        "/a",
        "/a/",
        "/a.b/..c/d..",
        "/.well-known/x",
        "/a;b=1/c",
        "/a%20b/%C3%A9",
        "/orders:cancel",
        "/a,b/@me/~x",
        "/a%25",
    ];

    #[test]
    fn no_spelling_of_a_dot_segment_leads_out() {
        for path in OUT {
            assert!(leads_out(path), "{path}");
            assert!(ambiguity(path).is_some(), "{path}");
        }
        for path in IN {
            assert!(!leads_out(path), "{path}");
            assert_eq!(ambiguity(path), None, "{path}");
        }
    }

    #[test]
    fn what_two_servers_read_in_two_ways_is_not_sent_on() {
        let ambiguous = [
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "//a",
            "/a//b",
            "/a%00",
            "/a%0d%0ab",
            "/a%1b",
            "/a%7f",
            "/a%c2%85",
            "/%c0%ae%c0%ae/a",
            "/%e0%80%ae/a",
            "/%ff",
            "/a%2",
            "/a%",
            "/a%zz",
            "/%u002e%u002e/a",
            "/a%252fb",
            "/a%2541",
        ];
        for path in ambiguous {
            assert!(ambiguity(path).is_some(), "{path}");
        }
    }
}

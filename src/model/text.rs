//! Text that a terminal, a log or a table can be given, whatever an API put into it.

use sha2::{Digest, Sha256};

use crate::definition::is_unsafe_letter;

/// Escapes everything that could move a cursor, ring a bell or turn the direction of reading:
/// C0 and C1 controls, DEL, bidirectional and zero-width characters.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            letter if is_unsafe_letter(letter) => {
                out.push_str(&format!("\\u{{{:x}}}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
    out
}

/// Text of several lines for a terminal: ends of lines and tabs stay, all else is escaped as by
/// [`printable`].
pub fn printable_page(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\n' | '\t' => out.push(letter),
            // The end of a line of CSV.
            '\r' if rest.peek() == Some(&'\n') => out.push(letter),
            letter => out.push_str(&printable(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    out
}

/// The same for a JSON text, which stays one: the characters are escaped as JSON does.
pub fn printable_json(text: &str) -> String {
    escaped_json(text, false)
}

/// JSON of several lines for a terminal: ends of lines and tabs, which stand between its values
/// and never in one, stay.
pub fn printable_json_page(text: &str) -> String {
    escaped_json(text, true)
}

fn escaped_json(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units = [0_u16; 2];
    for letter in text.chars() {
        if is_unsafe_letter(letter) && !(lines && matches!(letter, '\n' | '\t')) {
            let units = letter.encode_utf16(&mut units).iter();
            out.extend(units.map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(letter);
        }
    }
    out
}

/// The beginning of a text, printable, at most `most` characters.
pub fn excerpt(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    printable(&short)
}

/// The hexadecimal SHA-256 of a text.
pub fn sha256_of(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

/// The bytes as hexadecimal digits in lower case.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_survives() {
        assert_eq!(printable("a\u{1b}[31mred\u{7}\u{9b}x"), "a\\u{1b}[31mred\\u{7}\\u{9b}x");
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{200b}"), "a\\u{202e}b\\u{2066}c\\u{200b}");
        assert_eq!(printable("two\nlines\tand é 😀"), "two\\nlines\\tand é 😀");
        assert_eq!(excerpt("abcdef", 3), "abc…");
        let json = printable_json("[\"a\u{9b}\u{202e}\u{e0001}\u{e9}\"]");
        assert_eq!(json, "[\"a\\u009b\\u202e\\udb40\\udc01\u{e9}\"]");
        let back: Vec<String> = serde_json::from_str(&json).expect("still JSON");
        assert_eq!(back, ["a\u{9b}\u{202e}\u{e0001}\u{e9}"]);
    }
}

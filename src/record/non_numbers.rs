//! `NaN` and `Infinity`: JSON has no such values, and some sources send them. They are marked
//! before a body is read, so that it is JSON, and the records that hold them are refused one by
//! one.

/// Stands at the beginning of a text in place of such a value; no source sends it.
const MARK: &str = "\u{e000}windrow\u{e000}";

const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The text with such values as marked texts; none where it holds none, or is no JSON either way.
pub fn mark_non_numbers(text: &str) -> Option<String> {
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let may_hold_some = text.contains("NaN") || text.contains("Infinity");
    if !may_hold_some || is_json(text) || text.contains(MARK) {
        return None;
    }
    let mut marked = String::with_capacity(text.len() + 64);
    let (mut rest, mut in_text) = (text, false);
    while let Some(letter) = rest.chars().next() {
        if in_text {
            let end = match letter {
                '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
                letter => letter.len_utf8(),
            };
            in_text = letter != '"';
            marked.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        if let Some(word) = WORDS.iter().find(|word| rest.starts_with(**word)) {
            marked.push_str(&format!("\"{MARK}{word}\""));
            rest = &rest[word.len()..];
            continue;
        }
        in_text = letter == '"';
        marked.push(letter);
        rest = &rest[letter.len_utf8()..];
    }
    is_json(&marked).then_some(marked)
}

/// Whether a body holds marks.
pub fn has_mark(text: &str) -> bool {
    text.contains(MARK)
}

/// The first such value of a record.
pub fn non_number(record: &str) -> Option<&'static str> {
    let after = &record[record.find(MARK)? + MARK.len()..];
    WORDS.into_iter().find(|word| after.starts_with(word))
}

/// The record as it came.
pub fn unmark(record: &str) -> String {
    WORDS
        .iter()
        .fold(record.to_owned(), |record, word| record.replace(&format!("\"{MARK}{word}\""), word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_marked_outside_of_texts_and_comes_back_as_it_was() {
        let text = r#"[{"a":NaN,"b":"NaN \\\" NaN"},{"a":-Infinity},{"a":1}]"#;
        let marked = mark_non_numbers(text).expect("it holds some");
        assert!(serde_json::from_str::<serde_json::Value>(&marked).is_ok(), "{marked}");
        assert!(has_mark(&marked));
        assert_eq!(unmark(&marked), text);
        assert_eq!(non_number(&marked), Some("NaN"));
        for text in [r#"[{"a":"NaN"}]"#, "[1, NaN", "<html>NaN</html>", "NaNs"] {
            assert_eq!(mark_non_numbers(text), None, "{text}");
        }
    }
}

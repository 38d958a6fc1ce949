//! A record for people: a line for each value, the member at fault marked.
//!
//! The text is walked as it came, so that two members of one name, digits beyond a double and any
//! depth are shown as they are. What is shown is bounded, whatever the record holds.

use std::ops::Range;

use crate::model::excerpt;

use super::json::string_text;

/// The longest name or value that is shown, characters: two lines of a terminal.
const PIECE_CHARS_MAX: usize = 160;
/// The deepest indentation, levels: nesting may be as deep as a body is long.
const INDENT_MAX: usize = 24;

/// A line of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrettyLine {
    /// Safe on a terminal.
    pub text: String,
    /// The characters of it that are at fault.
    pub marked: Option<Range<usize>>,
}

/// A record, line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pretty {
    /// The lines around the first mark, or the first ones where nothing is marked.
    pub lines: Vec<PrettyLine>,
    /// Lines before them that are not shown.
    pub before: usize,
    /// Lines after them that are not shown.
    pub after: usize,
    /// Whether what `pointer` names is in the record.
    pub found: bool,
}

/// Shows at most `lines_max` lines of a record, around the place that `pointer` names.
pub fn pretty(record: &str, pointer: Option<&str>, lines_max: usize) -> Pretty {
    let unescape = |name: &str| name.replace("~1", "/").replace("~0", "~");
    let target: Option<Vec<String>> =
        pointer.map(|pointer| pointer.split('/').skip(1).map(unescape).collect());
    let (mut total, mut first_mark) = (0_usize, None);
    walk(record, target.as_deref(), &mut |line| {
        if line.marked.is_some() {
            first_mark.get_or_insert(total);
        }
        total += 1;
    });
    let most = total.saturating_sub(lines_max);
    let start = first_mark.map_or(0, |at: usize| at.saturating_sub(lines_max / 2)).min(most);
    let shown = start..(start + lines_max).min(total);
    let (mut lines, mut number) = (Vec::new(), 0);
    walk(record, target.as_deref(), &mut |line| {
        if shown.contains(&number) {
            lines.push(line);
        }
        number += 1;
    });
    Pretty { lines, before: shown.start, after: total - shown.end, found: first_mark.is_some() }
}

/// An array or an object that is open.
struct OpenContainer {
    object: bool,
    index: usize,
    /// Whether the target is it or lies in it.
    on_the_way: bool,
}

struct PrettyWalk<'r, 'f> {
    rest: &'r str,
    target: Option<&'r [String]>,
    open: Vec<OpenContainer>,
    name: Option<&'r str>,
    on: &'f mut dyn FnMut(PrettyLine),
}

fn walk(record: &str, target: Option<&[String]>, on: &mut dyn FnMut(PrettyLine)) {
    let mut walk = PrettyWalk { rest: record, target, open: Vec::new(), name: None, on };
    while let Some(first) = walk.next_byte() {
        match first {
            b'}' | b']' => {
                walk.take(1);
                walk.open.pop();
                walk.emit(&(first as char).to_string(), false);
            }
            b',' | b':' => {
                walk.take(1);
            }
            b'"' if walk.open.last().is_some_and(|o| o.object) && walk.name.is_none() => {
                walk.name = Some(walk.take(string_length(walk.rest)));
            }
            _ => walk.value(first),
        }
    }
}

impl<'r> PrettyWalk<'r, '_> {
    fn next_byte(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start();
        self.rest.bytes().next()
    }

    fn take(&mut self, length: usize) -> &'r str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn value(&mut self, first: u8) {
        let on_the_way = self.is_on_the_way();
        let marked = on_the_way && self.target.is_some_and(|t| t.len() == self.open.len());
        if let Some(open) = self.open.last_mut() {
            open.index += 1;
        }
        match first {
            b'{' | b'[' => {
                self.take(1);
                let close = if first == b'{' { b'}' } else { b']' };
                if self.next_byte() == Some(close) {
                    self.take(1);
                    self.emit(if first == b'{' { "{}" } else { "[]" }, marked);
                } else {
                    self.emit(if first == b'{' { "{" } else { "[" }, marked);
                    self.open.push(OpenContainer { object: first == b'{', index: 0, on_the_way });
                }
            }
            b'"' => {
                let text = self.take(string_length(self.rest));
                self.emit(text, marked);
            }
            _ => {
                let ends = |letter: char| ",]}".contains(letter) || letter.is_ascii_whitespace();
                let length = self.rest.find(ends).unwrap_or(self.rest.len());
                let text = self.take(length);
                self.emit(text, marked);
            }
        }
    }

    /// Whether the value that comes is the target or holds it.
    fn is_on_the_way(&self) -> bool {
        let Some(target) = self.target else { return false };
        let Some(open) = self.open.last() else { return true };
        let Some(wanted) = target.get(self.open.len() - 1) else { return false };
        open.on_the_way
            && match self.name {
                Some(name) => string_text(name).is_some_and(|name| name == wanted.as_str()),
                None => !open.object && open.index.to_string() == *wanted,
            }
    }

    fn emit(&mut self, value: &str, marked: bool) {
        let mut text = "  ".repeat(self.open.len().min(INDENT_MAX));
        let from = text.chars().count();
        if let Some(name) = self.name.take() {
            text.push_str(&excerpt(name, PIECE_CHARS_MAX));
            text.push_str(": ");
        }
        text.push_str(&excerpt(value, PIECE_CHARS_MAX));
        let marked = marked.then(|| from..text.chars().count());
        if !value.ends_with(['{', '[']) && self.next_byte() == Some(b',') {
            self.take(1);
            text.push(',');
        }
        (self.on)(PrettyLine { text, marked });
    }
}

/// The bytes of a JSON string at the beginning of a text, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = true;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(record: &str, pointer: Option<&str>, lines_max: usize) -> String {
        let pretty = pretty(record, pointer, lines_max);
        let mut out = format!("{} {} {}\n", pretty.before, pretty.after, pretty.found);
        for line in pretty.lines {
            let mark = line.marked.map(|marked| {
                let cut: String = line.text.chars().skip(marked.start).take(marked.len()).collect();
                format!("   <{cut}>")
            });
            out.push_str(&format!("{}{}\n", line.text, mark.unwrap_or_default()));
        }
        out
    }

    #[test]
    fn the_member_at_fault_is_marked_and_everything_is_as_it_came() {
        let record = r#"{"id":1.10, "a/b":{"x":[1,{"k":"v","k":"w"}],"e":[ ]},"o":{}}"#;
        assert_eq!(
            shown(record, Some("/a~1b/x/1/k"), 100),
            "0 0 true\n{\n  \"id\": 1.10,\n  \"a/b\": {\n    \"x\": [\n      1,\n      {\n        \
             \"k\": \"v\",   <\"k\": \"v\">\n        \"k\": \"w\"   <\"k\": \"w\">\n      }\n    \
             ],\n    \"e\": []\n  },\n  \"o\": {}\n}\n"
        );
        assert!(shown(record, Some("/id"), 100).contains("\"id\": 1.10,   <\"id\": 1.10>"));
        assert!(shown(record, Some("/a~1b/x"), 100).contains("\"x\": [   <\"x\": [>"));
        assert!(shown(record, Some(""), 100).starts_with("0 0 true\n{   <{>"));
        assert!(shown(record, Some("/none"), 100).starts_with("0 0 false"));
        assert!(shown(record, None, 100).starts_with("0 0 false"));
        assert_eq!(shown("7", Some(""), 100), "0 0 true\n7   <7>\n");
    }

    #[test]
    fn what_is_shown_is_bounded_and_safe_whatever_the_record_holds() {
        let elements: Vec<String> = (0..1000).map(|n| format!("\"{n}\u{202e}\"")).collect();
        let record = format!("{{\"l\":[{}]}}", elements.join(","));
        let text = shown(&record, Some("/l/500"), 5);
        assert!(text.starts_with("500 499 true\n"), "{text}");
        assert_eq!(text.lines().count(), 6);
        assert!(text.contains("\"500\\u{202e}\",   <"), "{text}");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(shown(&deep, Some(""), 10).len() < 1000);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
        assert!(shown(&long, Some("/a"), 10).len() < 1000);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_walked_to_its_end(text in "[\\[\\]{}\",:a1\\\\ \u{e9}]{0,40}") {
            let pretty = pretty(&text, Some("/a/1"), 10);
            proptest::prop_assert!(pretty.lines.len() <= 10);
        }

        #[test]
        fn every_value_of_a_record_is_shown_once(
            names in proptest::collection::vec("[a-c/~\u{e9}]{1,3}", 1..6),
        ) {
            let members: Vec<String> = names
                .iter()
                .enumerate()
                .map(|(n, name)| format!("\"{name}\":[{n},{{\"{name}\":{n}}}]"))
                .collect();
            let record = format!("{{{}}}", members.join(","));
            let pretty = pretty(&record, None, 1000);
            let text: String = pretty.lines.iter().map(|line| line.text.as_str()).collect();
            let bare = |text: &str| text.replace(' ', "");
            proptest::prop_assert_eq!(bare(&text), bare(&record));
        }
    }
}

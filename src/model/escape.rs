//! What stands between text and a terminal: whatever could steer it is escaped.

use std::io::Write;

use crate::model::text::{printable_json_page, printable_page};

/// How what is written is made safe to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Not at all: a file or a pipe takes it byte by byte.
    Nothing,
    /// As text: a control character becomes `\u{1b}`.
    Text,
    /// As JSON, which keeps its value: `\u001b`.
    Json,
    /// As text in which colours stay, for text that was escaped before it got its colours.
    Coloured,
}

/// A writer that escapes. What comes in pieces is put together first, so that no letter is cut.
#[derive(Debug)]
pub struct Escaping<W> {
    inner: W,
    escape: Escape,
    /// The beginning of a letter, or a carriage return of which the next byte tells what it is.
    pending: Vec<u8>,
}

impl<W: Write> Escaping<W> {
    /// Takes the writer that receives the escaped bytes.
    pub fn new(inner: W, escape: Escape) -> Self {
        Self { inner, escape, pending: Vec::new() }
    }

    fn pass(&mut self, text: &str) -> std::io::Result<()> {
        let text = match self.escape {
            Escape::Nothing => return self.inner.write_all(text.as_bytes()),
            Escape::Text => printable_page(text),
            Escape::Json => printable_json_page(text),
            Escape::Coloured => with_colours(text),
        };
        self.inner.write_all(text.as_bytes())
    }

    /// Bytes that are no text.
    fn pass_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.escape == Escape::Json {
            return self.inner.write_all("\u{fffd}".as_bytes());
        }
        bytes.iter().try_for_each(|byte| write!(self.inner, "\\x{{{byte:x}}}"))
    }

    /// Writes what is there; with `end` also what looks as if more were to come.
    fn pass_pending(&mut self, end: bool) -> std::io::Result<()> {
        let bytes = std::mem::take(&mut self.pending);
        let mut rest = bytes.as_slice();
        loop {
            let (good, bad) = match std::str::from_utf8(rest) {
                Ok(text) => (text, None),
                Err(error) => {
                    let (good, after) = rest.split_at(error.valid_up_to());
                    let good = std::str::from_utf8(good).unwrap_or_default();
                    (good, Some(error.error_len().map(|length| after.split_at(length))))
                }
            };
            let open = bad.is_none() && !end && self.escape != Escape::Nothing;
            let held = usize::from(open && good.ends_with('\r'));
            self.pass(&good[..good.len() - held])?;
            match bad {
                None => {
                    self.pending = good.as_bytes()[good.len() - held..].to_vec();
                    return Ok(());
                }
                Some(Some((bad, after))) => {
                    self.pass_bytes(bad)?;
                    rest = after;
                }
                // The beginning of a letter.
                Some(None) if end => return self.pass_bytes(&rest[good.len()..]),
                Some(None) => {
                    self.pending = rest[good.len()..].to_vec();
                    return Ok(());
                }
            }
        }
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.escape == Escape::Nothing {
            return self.inner.write(bytes);
        }
        self.pending.extend_from_slice(bytes);
        self.pass_pending(false)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.pass_pending(true)?;
        self.inner.flush()
    }
}

/// Escapes all but sequences that choose a colour or a weight.
fn with_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&printable_page(&rest[..at]));
        let length = colour_length(&rest[at..]).unwrap_or(0);
        out.push_str(&rest[at..at + length]);
        let left = at + length.max(1);
        if length == 0 {
            out.push_str(&printable_page(&rest[at..left]));
        }
        rest = &rest[left..];
    }
    out + &printable_page(rest)
}

/// The length of `ESC [ numbers m`, where a text begins with that.
fn colour_length(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|letter: char| !letter.is_ascii_digit() && letter != ';')?;
    numbers[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(pieces: &[&[u8]], escape: Escape) -> String {
        let mut out = Vec::new();
        let mut writer = Escaping::new(&mut out, escape);
        pieces.iter().for_each(|piece| writer.write_all(piece).expect("memory"));
        writer.flush().expect("memory");
        String::from_utf8_lossy(&out).into_owned()
    }

    const ROWS: [(&str, &str, &str); 10] = [
        ("a\tb\r\nc\n", "a\tb\r\nc\n", ""),
        ("\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m", "\\u001b[31mred\\u001b[0m"),
        ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}", "\\u001b]0;title\\u0007"),
        ("over\rwritten", "over\\rwritten", "over\\u000dwritten"),
        ("back\u{8}\u{7f}", "back\\u{8}\\u{7f}", "back\\u0008\\u007f"),
        ("\u{9b}2J\u{85}", "\\u{9b}2J\\u{85}", "\\u009b2J\\u0085"),
        ("\u{202e}gpj.exe\u{202c}", "\\u{202e}gpj.exe\\u{202c}", "\\u202egpj.exe\\u202c"),
        ("\u{2066}\u{2069}\u{2028}", "\\u{2066}\\u{2069}\\u{2028}", "\\u2066\\u2069\\u2028"),
        ("in\u{200b}visible\u{e0041}", "in\\u{200b}visible\\u{e0041}", ""),
        ("plain é 漢 😀\n", "plain é 漢 😀\n", "plain é 漢 😀\n"),
    ];

    #[test]
    fn what_steers_is_escaped_wherever_it_is_cut() {
        for (raw, text, json) in ROWS {
            assert_eq!(escaped(&[raw.as_bytes()], Escape::Text), text, "{raw:?}");
            assert_eq!(escaped(&[raw.as_bytes()], Escape::Nothing), raw, "{raw:?}");
            if !json.is_empty() {
                assert_eq!(escaped(&[raw.as_bytes()], Escape::Json), json, "{raw:?}");
            }
            for at in 0..raw.len() {
                let (one, two) = raw.as_bytes().split_at(at);
                assert_eq!(escaped(&[one, two], Escape::Text), text, "{raw:?} cut at {at}");
                assert_eq!(escaped(&[one, two], Escape::Nothing), raw, "{raw:?} cut at {at}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped_too() {
        assert_eq!(escaped(&[b"a\x9b2J\xff"], Escape::Text), "a\\x{9b}2J\\x{ff}");
        assert_eq!(escaped(&[b"a\xe2\x80"], Escape::Text), "a\\x{e2}\\x{80}");
        assert_eq!(escaped(&[b"\"\x9b\""], Escape::Json), "\"\u{fffd}\"");
    }

    #[test]
    fn only_colours_pass_in_text_that_has_them() {
        let rows = [
            ("\u{1b}[1;31merror:\u{1b}[0m a\n", "\u{1b}[1;31merror:\u{1b}[0m a\n"),
            ("\u{1b}[m", "\u{1b}[m"),
            ("\u{1b}[2J\u{1b}", "\\u{1b}[2J\\u{1b}"),
            ("\u{1b}\u{1b}[31m", "\\u{1b}\u{1b}[31m"),
            ("\u{1b}[31\u{1b}]0;x\u{7}", "\\u{1b}[31\\u{1b}]0;x\\u{7}"),
            ("\u{1b}[?25l\u{9b}31m\u{202e}", "\\u{1b}[?25l\\u{9b}31m\\u{202e}"),
        ];
        for (raw, text) in rows {
            assert_eq!(escaped(&[raw.as_bytes()], Escape::Coloured), text, "{raw:?}");
        }
    }
}

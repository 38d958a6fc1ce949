//! JSON bodies: whether one is whole, and where its records stand in it.

use std::borrow::Cow;

/// Whether a body is the beginning of a JSON text and no more. `framed` is as
/// [`BodyFormat::is_cut_off`](crate::definition::BodyFormat::is_cut_off) has it.
pub(super) fn is_cut_off(body: &[u8], framed: bool) -> bool {
    let ends = matches!(body.trim_ascii_end().last(), None | Some(b'}' | b']'));
    // Only lists and objects: a number or a text that is cut off is one all the same.
    if framed && ends || !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return false;
    }
    let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) else { return false };
    // A number that is cut off after its point or its sign is told as a wrong number at the end.
    let lines = body.split(|byte| *byte == b'\n');
    let (line, column) = lines.enumerate().last().map_or((0, 0), |(at, text)| (at + 1, text.len()));
    error.is_eof() || (error.line(), error.column()) >= (line, column)
}

/// The text with `null` in place of its records; `span` is where they are, bytes.
pub(super) fn beside_records(text: &str, span: Option<(usize, usize)>) -> Option<Cow<'_, str>> {
    Some(match span {
        None => Cow::Borrowed(text),
        Some((from, to)) => {
            let (before, after) = (text.get(..from)?, text.get(to..)?);
            Cow::Owned([before, "null", after].concat())
        }
    })
}

/// Where a text is in the one that it was taken from, bytes from its beginning.
pub(super) fn place_of(text: &str, part: &str) -> Option<(usize, usize)> {
    let from = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    (from + part.len() <= text.len()).then_some((from, from + part.len()))
}

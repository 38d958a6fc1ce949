//! Formats of bodies. A format is one variant of [`BodyFormat`] and of [`Body`] here, with a file
//! of this room for its decoder.

use std::borrow::Cow;

use crate::definition::{Column, Path};

use super::extract::{ExtractError, RecordStep, body_value, extract};
use super::infer::{infer_columns, member_names};
use super::non_numbers::has_mark;

/// A format of the bodies that a source is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// JSON (RFC 8259): that of a definition, which names none.
    #[default]
    Json,
}

impl BodyFormat {
    /// Its media type, as `Accept` and `Content-Type` have it.
    pub const fn media_type(self) -> &'static str {
        match self {
            BodyFormat::Json => "application/json",
        }
    }

    /// Whether a body is the beginning of one and no more. An answer without a length (`framed` is
    /// false) tells only so that it was cut off; of others only those are looked at that do not end
    /// as a whole one does, since their reader sees the rest.
    pub fn is_cut_off(self, body: &[u8], framed: bool) -> bool {
        match self {
            BodyFormat::Json => {
                let ends = matches!(body.trim_ascii_end().last(), None | Some(b'}' | b']'));
                (!framed || !ends) && json_is_cut_off(body)
            }
        }
    }

    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            BodyFormat::Json => "JSON",
        }
    }

    /// A body in it, of an answer that has content.
    pub fn decode(self, text: &str) -> Body<'_> {
        match self {
            BodyFormat::Json => Body::Json(text),
        }
    }
}

/// Whether a body is the beginning of a JSON text and no more.
fn json_is_cut_off(body: &[u8]) -> bool {
    // Only lists and objects: a number or a text that is cut off is one all the same.
    if !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return false;
    }
    let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) else { return false };
    // A number that is cut off after its point or its sign is told as a wrong number at the end.
    let lines = body.split(|byte| *byte == b'\n');
    let (line, column) = lines.enumerate().last().map_or((0, 0), |(at, text)| (at + 1, text.len()));
    error.is_eof() || (error.line(), error.column()) >= (line, column)
}

/// A body, by its format.
#[derive(Clone, Copy, Debug)]
pub enum Body<'b> {
    /// No content (HTTP 204): no records, and nothing that a path could lead to.
    Empty,
    /// JSON, as it came (`extract.rs`).
    Json(&'b str),
}

impl<'b> Body<'b> {
    /// The body of a page that was kept, which was judged when it came: an empty text stands for
    /// an answer without content.
    pub fn of_kept(text: &'b str) -> Self {
        if text.is_empty() { Body::Empty } else { BodyFormat::default().decode(text) }
    }

    /// Whether the answer had no content.
    pub fn is_without_content(&self) -> bool {
        matches!(self, Body::Empty)
    }

    /// The body without its records, in whose place `null` stands: what the answer says beside
    /// them. `span` is where the records are, as [`PageRows::span`](super::PageRows) has it.
    pub fn beside_records(&self, span: Option<(usize, usize)>) -> Option<Cow<'b, str>> {
        match self {
            Body::Empty => None,
            Body::Json(text) => Some(match span {
                None => Cow::Borrowed(*text),
                Some((from, to)) => {
                    let (before, after) = (text.get(..from)?, text.get(to..)?);
                    Cow::Owned([before, "null", after].concat())
                }
            }),
        }
    }

    /// Where a text is in the body that it was taken from, bytes from its beginning.
    pub fn place_of(&self, part: &str) -> Option<(usize, usize)> {
        let Body::Json(text) = self else { return None };
        let from = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
        (from + part.len() <= text.len()).then_some((from, from + part.len()))
    }

    /// Whether it holds values such as `NaN`, which are no JSON and were marked.
    pub fn has_non_numbers(&self) -> bool {
        match self {
            Body::Empty => false,
            Body::Json(text) => has_mark(text),
        }
    }

    /// Bytes of the body.
    pub fn size(&self) -> usize {
        match self {
            Body::Empty => 0,
            Body::Json(text) => text.len(),
        }
    }

    /// Calls `on` for each record at `path` in order, with the steps that led to it: the root
    /// first, the record last.
    pub fn records(
        &self,
        path: &Path,
        on: &mut dyn FnMut(&[RecordStep<'b>]),
    ) -> Result<(), ExtractError> {
        match self {
            Body::Empty => Ok(()),
            Body::Json(text) => extract(text, path, on),
        }
    }

    /// The JSON text of the value at a path beside the records, such as a token or a total.
    pub fn value_at(&self, path: &Path) -> Option<String> {
        match self {
            Body::Empty => None,
            Body::Json(text) => body_value(text, path),
        }
    }

    /// The names of the members that the records have, at most
    /// [`MEMBER_NAMES_MAX`](super::MEMBER_NAMES_MAX).
    pub fn member_names(&self, path: &Path) -> Vec<String> {
        match self {
            Body::Empty => Vec::new(),
            Body::Json(text) => member_names(text, path),
        }
    }

    /// The columns that fit the records; `times` names the fields that must be times.
    pub fn infer_columns(
        &self,
        path: &Path,
        times: &[&str],
        needed: &[&str],
    ) -> Result<Vec<Column>, ExtractError> {
        match self {
            Body::Empty => Ok(Vec::new()),
            Body::Json(text) => infer_columns(text, path, times, needed),
        }
    }
}

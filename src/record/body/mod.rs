//! How the body of each format is read. A format is a variant of [`BodyFormat`], one of [`Body`]
//! with its arms here, and a file of this folder for its decoder.

mod json;

use std::borrow::Cow;

use crate::definition::{BodyFormat, Column, Path};

use super::extract::{ExtractError, RecordStep, body_value, extract};
use super::infer::{infer_columns, member_names};
use super::non_numbers::{has_mark, mark_non_numbers};

impl BodyFormat {
    /// Whether a body is the beginning of one and no more. An answer without a length (`framed` is
    /// false) tells only so that it was cut off; of others only those are looked at that do not end
    /// as a whole one does, since their reader sees the rest.
    pub fn is_cut_off(self, body: &[u8], framed: bool) -> bool {
        match self {
            BodyFormat::Json => json::is_cut_off(body, framed),
        }
    }

    /// The body as its decoder takes it, where that differs: values that the format does not have
    /// and that some sources send are marked, so that only their records are refused.
    pub fn prepared(self, text: &str) -> Option<String> {
        match self {
            BodyFormat::Json => mark_non_numbers(text),
        }
    }

    /// A body in it, of an answer that has content.
    pub fn decode(self, text: &str) -> Body<'_> {
        match self {
            BodyFormat::Json => Body::Json(text),
        }
    }
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
    pub fn of_kept(text: &'b str, format: BodyFormat) -> Self {
        if text.is_empty() { Body::Empty } else { format.decode(text) }
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
            Body::Json(text) => json::beside_records(text, span),
        }
    }

    /// Where a text is in the body that it was taken from, bytes from its beginning.
    pub fn place_of(&self, part: &str) -> Option<(usize, usize)> {
        match self {
            Body::Empty => None,
            Body::Json(text) => json::place_of(text, part),
        }
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

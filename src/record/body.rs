//! Formats of bodies. A format is one variant of [`BodyFormat`] and of [`Body`] here, with a file
//! of this room for its decoder.

use crate::definition::{Column, Path};

use super::extract::{ExtractError, RecordStep, body_value, extract};
use super::infer::{infer_columns, member_names};

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

    /// Whether a body is the beginning of one and no more: an answer without a length tells only
    /// so that it was cut off.
    pub fn ends_early(self, body: &[u8]) -> bool {
        match self {
            BodyFormat::Json => serde_json::from_slice::<serde::de::IgnoredAny>(body)
                .is_err_and(|error| error.is_eof()),
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
    pub fn infer_columns(&self, path: &Path, times: &[&str]) -> Result<Vec<Column>, ExtractError> {
        match self {
            Body::Empty => Ok(Vec::new()),
            Body::Json(text) => infer_columns(text, path, times),
        }
    }
}

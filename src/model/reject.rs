//! Records that cannot become rows, and the reasons.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// Why a record is not a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RejectKind {
    /// It is not an object.
    NotAnObject,
    /// A field of the key is missing or null.
    NoKey,
    /// A value does not fit its column's type.
    Type,
    /// A local time that comes twice, or that the clocks skip.
    AmbiguousTime,
    /// A member name stands twice.
    DuplicateMember,
    /// A text that no Unicode text can hold, or nesting beyond the limit.
    Unrepresentable,
    /// The row that it refers to is not there.
    Orphan,
}

impl RejectKind {
    /// As it stands in the archive.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why a record cannot become a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRefusal {
    /// Which kind of fault.
    pub kind: RejectKind,
    /// The fault in words.
    pub reason: String,
    /// Where in the record it is, as a JSON Pointer (RFC 6901); none where the value comes from
    /// elsewhere. What is missing is pointed to where it should be.
    pub pointer: Option<String>,
}

impl RecordRefusal {
    /// A fault at a place of the record, a JSON Pointer.
    pub fn new(kind: RejectKind, reason: impl Into<String>, at: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), pointer: Some(at.into()) }
    }

    /// The reject of a record that is refused.
    pub fn reject(self, record: String, ancestors: Option<String>, position: usize) -> Reject {
        let RecordRefusal { kind, reason, pointer } = self;
        Reject { kind, reason, pointer, record, ancestors, position }
    }
}

/// A record that cannot become a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub kind: RejectKind,
    /// The reason in words, with the place in the record.
    pub reason: String,
    /// Where in the record, as a JSON Pointer (RFC 6901); none where the fault lies outside.
    pub pointer: Option<String>,
    /// The record verbatim, as it came.
    pub record: String,
    /// What its columns take from above it, as JSON.
    pub ancestors: Option<String>,
    /// Its place among the page's records, from 0.
    pub position: usize,
}

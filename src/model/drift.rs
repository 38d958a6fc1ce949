//! The fields of records: what a page has, what is known of a stream, what has changed.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use strum::{Display, EnumString, IntoStaticStr};

/// The kinds of JSON values that a field has had, null apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

/// In the order of their bits.
const KIND_NAMES: [&str; 5] = ["boolean", "number", "text", "array", "object"];

impl Kinds {
    /// No value but null.
    pub const NONE: Kinds = Kinds(0);
    /// A field of which a value was `true` or `false`.
    pub const BOOLEAN: Kinds = Kinds(1);
    /// A field of which a value was a number.
    pub const NUMBER: Kinds = Kinds(2);
    /// A field of which a value was a string.
    pub const TEXT: Kinds = Kinds(4);
    /// A field of which a value was an array.
    pub const ARRAY: Kinds = Kinds(8);
    /// A field of which a value was an object.
    pub const OBJECT: Kinds = Kinds(16);

    /// The kinds of both together.
    #[must_use]
    pub fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    /// Whether all of these are among the others.
    pub fn within(self, others: Kinds) -> bool {
        self.0 & !others.0 == 0
    }
}

impl FromStr for Kinds {
    type Err = strum::ParseError;

    fn from_str(text: &str) -> Result<Kinds, Self::Err> {
        let bit = |word: &str| match KIND_NAMES.iter().position(|name| *name == word) {
            Some(at) => Ok(1 << at),
            None => Err(strum::ParseError::VariantNotFound),
        };
        if text == "null" {
            return Ok(Kinds::NONE);
        }
        text.split('|').try_fold(Kinds::NONE, |kinds, word| Ok(kinds.and(Kinds(bit(word)?))))
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Kinds::NONE {
            return out.write_str("null");
        }
        let bits = KIND_NAMES.iter().enumerate();
        let names: Vec<&str> =
            bits.filter(|(at, _)| self.0 & (1 << at) != 0).map(|(_, name)| *name).collect();
        out.write_str(&names.join("|"))
    }
}

/// A field of a page's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageField {
    pub name: String,
    pub kinds: Kinds,
    /// Whether every record of the page has it.
    pub in_all: bool,
}

/// The fields of a page's records, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageFields {
    pub fields: Vec<PageField>,
    /// Whether all records were looked at: the members of records that are used as maps are no
    /// fields.
    pub whole: bool,
}

/// How a known field is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum FieldUse {
    /// Every record has had it.
    Always,
    /// Some records have had it, others have not.
    Sometimes,
    /// Every record had it, until a page of which none did.
    Gone,
}

impl FieldUse {
    /// As it stands in the archive.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A field of a stream, as it has been so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownField {
    pub name: String,
    /// What it has held.
    pub kinds: Kinds,
    /// How it is used.
    pub usage: FieldUse,
}

/// What happened to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum FieldChangeKind {
    /// No record had it before.
    New,
    /// Every record had it, and none of a page has.
    Vanished,
    /// It had vanished and came again.
    Returned,
    /// It holds another kind of value.
    Retyped,
    /// Its new column got values from `_rest`.
    Filled,
    /// Its column was corrected, and carried out on the rows that were there.
    Corrected,
}

impl FieldChangeKind {
    /// As it stands in the archive.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What is written of a change of fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    pub stream: String,
    /// What happened to it.
    pub change: FieldChangeKind,
    pub field: String,
    /// What changed, in words for people.
    pub detail: String,
    /// When it was noticed.
    pub at: String,
    /// The run that noticed it.
    pub run: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_written_and_read_and_form_sets() {
        for bits in 0..32 {
            let kinds = Kinds(bits);
            assert_eq!(kinds.to_string().parse(), Ok(kinds), "{kinds}");
        }
        assert_eq!(Kinds::TEXT.and(Kinds::NUMBER).to_string(), "number|text");
        assert!(Kinds::NONE.within(Kinds::TEXT) && !Kinds::TEXT.within(Kinds::NUMBER));
    }
}

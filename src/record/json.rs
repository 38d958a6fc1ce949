//! JSON as text: the members and elements of a value, each still as it came.
//!
//! `serde_json` finds where values begin and end; numbers are never turned into floats on the
//! way, and a member name that stands twice is seen.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::pointer::under;

/// The members of an object in their order, values as they came.
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a str)>);

/// The elements of an array, as they came.
pub struct Elements<'a>(pub Vec<&'a str>);

impl<'a> Members<'a> {
    /// Takes an object apart.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// The value of the first member of that name.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| *value)
    }

    /// The value of a name that stands once.
    pub fn only(&self, name: &str) -> Option<&'a str> {
        let mut found = self.0.iter().filter(|(have, _)| have == name);
        let first = found.next().map(|(_, value)| *value);
        first.filter(|_| found.next().is_none())
    }

    /// A name that stands twice.
    pub fn duplicate(&self) -> Option<&str> {
        // Most records have few members, and comparing those beats hashing them.
        if self.0.len() <= 24 {
            let mut names = self.0.iter().enumerate();
            return names.find_map(|(at, (name, _))| {
                self.0[..at].iter().any(|(other, _)| other == name).then_some(name.as_ref())
            });
        }
        let mut seen = HashSet::new();
        self.0.iter().map(|(name, _)| name.as_ref()).find(|name| !seen.insert(*name))
    }
}

impl<'a> Elements<'a> {
    /// Takes an array apart.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value::<&'de RawValue>()?.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element::<&'de RawValue>()? {
                    elements.push(element.get());
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

/// Calls `on` for each element of an array, as it came, until it says no; keeps none of them, since
/// a small body can hold millions.
pub fn each_element<'a>(
    text: &'a str,
    on: &mut dyn FnMut(&'a str) -> bool,
) -> serde_json::Result<()> {
    struct EachElement<'f, 'a>(&'f mut dyn FnMut(&'a str) -> bool);
    impl<'de: 'a, 'a> Visitor<'de> for EachElement<'_, 'a> {
        type Value = ();

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            while let Some(element) = seq.next_element::<&'de RawValue>()? {
                if !(self.0)(element.get()) {
                    return Err(A::Error::custom("stopped"));
                }
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_seq(EachElement(on))
}

/// A member's name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// What a JSON text is, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonKind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl JsonKind {
    /// The kind of a text that is known to be JSON without surrounding space.
    pub fn of(text: &str) -> JsonKind {
        match text.as_bytes().first() {
            Some(b'n') => JsonKind::Null,
            Some(b't' | b'f') => JsonKind::Boolean,
            Some(b'"') => JsonKind::String,
            Some(b'[') => JsonKind::Array,
            Some(b'{') => JsonKind::Object,
            _ => JsonKind::Number,
        }
    }

    /// With its article, for messages.
    pub fn spoken(self) -> &'static str {
        match self {
            JsonKind::Null => "null",
            JsonKind::Boolean => "a boolean",
            JsonKind::Number => "a number",
            JsonKind::String => "a text",
            JsonKind::Array => "an array",
            JsonKind::Object => "an object",
        }
    }
}

/// The text of a JSON string, borrowed where it has no escapes. `None` when no Unicode text can
/// hold it: a lone surrogate.
pub fn string_text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.get(1..raw.len().checked_sub(1)?)?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

/// Why a value cannot be kept, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub struct DeepFault {
    /// The place, as a JSON Pointer.
    pub at: String,
    /// What is wrong there.
    pub fault: JsonFault,
}

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// This member name stands twice.
    Duplicate(String),
    /// A lone surrogate, or nesting deeper than 127.
    Unrepresentable(String),
}

impl DeepFault {
    /// A name that stands twice.
    pub fn duplicate(name: &str) -> Self {
        Self { at: under("", name), fault: JsonFault::Duplicate(name.to_owned()) }
    }

    /// What no text can hold.
    pub fn unrepresentable(why: impl Into<String>) -> Self {
        Self { at: String::new(), fault: JsonFault::Unrepresentable(why.into()) }
    }

    /// The same, seen from the value around it.
    pub fn inside(mut self, name: &str) -> Self {
        self.at.insert_str(0, &under("", name));
        self
    }
}

/// The deepest nesting that is kept; deeper is no record but an attack or a mistake. The same
/// limit as `serde_json`'s own.
pub const DEPTH_MAX: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_their_digits() {
        let text = r#"{"b":1.10,"a\u0041":[1, 2],"c":12345678901234567890123}"#;
        let members = Members::parse(text).expect("an object");
        let shown: Vec<_> = members.0.iter().map(|(name, raw)| format!("{name}={raw}")).collect();
        assert_eq!(shown, ["b=1.10", "aA=[1, 2]", "c=12345678901234567890123"]);
        assert_eq!(members.duplicate(), None);
    }

    #[test]
    fn a_member_that_stands_twice_is_seen_at_every_depth() {
        assert_eq!(Members::parse(r#"{"a":1,"a":2}"#).expect("JSON").duplicate(), Some("a"));
    }

    #[test]
    fn a_text_is_decoded_and_a_lone_surrogate_is_none() {
        assert_eq!(string_text(r#""a\u0000b""#).as_deref(), Some("a\0b"));
        assert_eq!(string_text(r#""\ud83d\ude00""#).as_deref(), Some("\u{1f600}"));
        assert_eq!(string_text(r#""\ud800""#), None);
    }
}

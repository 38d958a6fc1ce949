//! What a row says, as one text: the same in every archive, whatever the order of its columns.
//!
//! A JSON object of the columns that are not null, their names in lower case and in order, `_rest`
//! among them; `"_deleted_at": true` where the row is marked as gone. A double has a point or an
//! exponent, as its shortest decimal that gives it back; bytes and text that is not Unicode are
//! objects of one member.

use rusqlite::types::{Value, ValueRef};
use serde_json::{Map, Value as Json, json};

use crate::archive::digest::sha256_of;
use crate::model::hexadecimal;

/// The name under which a row says that it is marked as gone.
pub(super) const MARK: &str = "_deleted_at";

/// What a row says.
pub(super) struct Content {
    pub text: String,
    pub digest: String,
}

impl Content {
    /// Of a row's columns, the mark among them.
    pub fn of(columns: &[String], values: &[Value]) -> Content {
        let mut members: Vec<(String, Json)> = Vec::with_capacity(columns.len());
        for (name, value) in columns.iter().zip(values) {
            let said = match value {
                Value::Null => continue,
                _ if name == MARK => Json::Bool(true),
                value => json_of(ValueRef::from(value)),
            };
            members.push((name.to_ascii_lowercase(), said));
        }
        members.sort_by(|one, other| one.0.cmp(&other.0));
        let text = Json::Object(Map::from_iter(members)).to_string();
        let digest = sha256_of(&text);
        Content { text, digest }
    }

    /// Of a row that is not there any more.
    pub fn gone() -> Content {
        let text = r#"{"_gone":true}"#.to_owned();
        let digest = sha256_of(&text);
        Content { text, digest }
    }
}

fn json_of(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(number) => Json::from(number),
        // Both zeros are equal, and must say the same.
        ValueRef::Real(0.0) => Json::from(0.0),
        ValueRef::Real(number) if number.is_finite() => Json::from(number),
        ValueRef::Real(number) => json!({ "real": number.to_string() }),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Json::from(text),
            Err(_) => json!({ "text": hexadecimal(text) }),
        },
        ValueRef::Blob(bytes) => json!({ "blob": hexadecimal(bytes) }),
    }
}

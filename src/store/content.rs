//! What a row says, as one text: the same in every archive, whatever the order of its columns.
//!
//! A JSON object of the columns that are not null, their names in lower case and in order, `_rest`
//! among them (no table has two columns whose names differ in case alone, and no merge takes one
//! for the other); `"_deleted_at": true` where the row is marked as gone. A double has a point or
//! an exponent, as its shortest decimal that gives it back; bytes and text that is not Unicode are
//! objects of one member.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value as Json, json};

use crate::model::sha256_of;
use crate::model::{Cell, Filled, RowSet, hexadecimal};
use crate::store::value::Value;

/// The name under which a row says that it is marked as gone.
pub(crate) const MARK: &str = "_deleted_at";

/// What a row says.
pub(crate) struct Content {
    pub text: String,
    pub digest: String,
}

/// What becomes of the left-over members of a row: its values for new columns, then what is still
/// left over; none where nothing of it can be read.
pub type Fill<'f> = &'f dyn Fn(&str) -> Option<Filled>;

/// What a text says once columns have taken their values from `_rest`; none where that is the same.
pub(crate) fn filled_content(text: &str, columns: &[String], fill: Fill<'_>) -> Option<Content> {
    // Members that are not filled keep their digits.
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
    let rest: String = serde_json::from_str(members.get("_rest")?.get()).ok()?;
    let filled = fill(&rest).filter(|filled| says_more(filled, &rest))?;
    members.remove("_rest");
    let names = columns.iter().map(String::as_str).chain(["_rest"]);
    for (name, cell) in names.zip(filled.row.row(0)) {
        if *cell != Cell::Null {
            let said = json_of(ValueRef::from(&value_of(&filled.row, *cell)));
            members.insert(name.to_ascii_lowercase(), to_raw_value(&said).ok()?);
        }
    }
    let text = serde_json::to_string(&members).ok()?;
    let digest = sha256_of(&text);
    Some(Content { text, digest })
}

/// A cell as SQLite has it.
pub(crate) fn value_of(rows: &RowSet, cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => Value::Integer(number),
        Cell::Real(number) => Value::Real(number),
        Cell::Text(..) => Value::Text(rows.text_of(cell).unwrap_or_default().to_owned()),
        Cell::Blob(..) => Value::Blob(rows.bytes_of(cell).unwrap_or_default().to_owned()),
    }
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

/// Whether filling changes anything: a null is a member too.
pub(crate) fn says_more(filled: &Filled, rest: &str) -> bool {
    let (left, cells) = filled.row.row(0).split_last().expect("what is left over is a cell");
    filled.row.text_of(*left) != Some(rest) || cells.iter().any(|cell| *cell != Cell::Null)
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

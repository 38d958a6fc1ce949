//! A value of a table or of a CSV field as JSON, so that it goes the way of an API's values.
//!
//! A table knows no booleans and a CSV no types at all: what a column's type tells is put back.
//! Digits stay as they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use crate::definition::{ColumnType, TypeFamily};
use crate::record::is_json_number;
use crate::store::Value;

/// The JSON of a value on its way to a column of this type. `typed` says that the file tells texts
/// from numbers.
pub fn json_of(value: &Value, kind: Option<ColumnType>, typed: bool) -> String {
    let is_boolean = kind.is_some_and(|kind| kind.family() == TypeFamily::Boolean);
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(number @ (0 | 1)) if is_boolean => (*number == 1).to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => real(*number, kind),
        Value::Text(text) => of_text(text, kind, typed),
        Value::Blob(bytes) => text_json(&STANDARD.encode(bytes)),
    }
}

fn text_json(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written as JSON")
}

/// SQLite may keep a whole number as a double where a column says REAL.
fn real(number: f64, kind: Option<ColumnType>) -> String {
    let whole = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    if kind == Some(ColumnType::Integer) && whole {
        return format!("{number:.0}");
    }
    if number.is_finite() {
        return serde_json::to_string(&number).expect("a finite double can be written as JSON");
    }
    text_json(&number.to_string())
}

fn of_text(text: &str, kind: Option<ColumnType>, typed: bool) -> String {
    match kind.map(ColumnType::family) {
        Some(TypeFamily::Boolean) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => "true".to_owned(),
            "false" | "0" => "false".to_owned(),
            _ => text_json(text),
        },
        Some(TypeFamily::Json) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            text.trim().to_owned()
        }
        Some(TypeFamily::Number) if !typed && is_json_number(text) => text.to_owned(),
        _ => text_json(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_becomes_the_json_that_an_api_would_have_sent() {
        use ColumnType::*;
        let text = |text: &str| Value::Text(text.to_owned());
        let cases = [
            (Value::Integer(1), Some(Boolean), true, "true"),
            (Value::Integer(7), Some(Boolean), true, "7"),
            (Value::Real(3.0), Some(Integer), true, "3"),
            (Value::Real(3.5), Some(Integer), true, "3.5"),
            (Value::Real(3.0), Some(Real), true, "3.0"),
            (Value::Real(f64::INFINITY), Some(Real), true, "\"inf\""),
            (text("42"), Some(Integer), true, "\"42\""),
            (text("42"), Some(Integer), false, "42"),
            (text("1.10"), Some(Decimal), false, "1.10"),
            (text("1,10"), Some(Decimal), false, "\"1,10\""),
            (text("42"), Some(Text), false, "\"42\""),
            (text("True"), Some(Boolean), false, "true"),
            (text("{\"a\": 1}"), Some(Json), true, "{\"a\": 1}"),
            (text("{a"), Some(Json), true, "\"{a\""),
            (text("a\"b"), None, false, "\"a\\\"b\""),
            (Value::Blob(vec![1, 2]), Some(Blob), true, "\"AQI=\""),
            (Value::Null, Some(Text), true, "null"),
        ];
        for (value, kind, typed, expected) in cases {
            assert_eq!(json_of(&value, kind, typed), expected, "{value:?} {kind:?}");
        }
    }
}

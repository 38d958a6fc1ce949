//! Which type a column has over there, and how each value is written for it. Decides, and does
//! nothing.
//!
//! What PostgreSQL cannot hold as it came (a NUL in a text, more than six digits of a second, a
//! number of more digits than `numeric` has) is kept exactly, beside the row, under `_exact` in its
//! `_rest`. Nothing is altered without that.

use crate::definition::{ColumnStorage, ColumnType, TypeFamily};
use crate::model::hexadecimal;
use crate::store::Value;

/// Digits before the point that `numeric` holds.
const NUMERIC_WHOLE_MAX: i64 = 131_072;
/// Digits after the point that `numeric` holds.
const NUMERIC_FRACTION_MAX: i64 = 16_383;
/// Stands for a NUL in a text: the symbol for it, U+2400.
const NUL_SHOWN: &str = "\u{2400}";

/// A column's type over there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PgType {
    /// Unicode text without NUL.
    Text,
    /// A signed integer of 64 bits.
    Bigint,
    /// A double (IEEE 754, 64 bits).
    Double,
    /// An exact number, up to [`NUMERIC_WHOLE_MAX`] and [`NUMERIC_FRACTION_MAX`] digits.
    Numeric,
    Boolean,
    Date,
    /// An instant to the microsecond.
    Timestamp,
    /// JSON as its text came: `jsonb` would alter digits and order.
    Json,
    Bytes,
}

impl PgType {
    /// The type for a column of the archive. In a key, numbers that are told apart by their digits
    /// and JSON are text: `numeric` takes 1.0 and 1.00 for one, and `json` has no equality.
    pub fn of(kind: ColumnType, in_key: bool) -> PgType {
        match (kind.family(), kind.storage()) {
            (TypeFamily::Text, _) => PgType::Text,
            (TypeFamily::Number, ColumnStorage::Integer) => PgType::Bigint,
            (TypeFamily::Number, ColumnStorage::Real) => PgType::Double,
            (TypeFamily::Number | TypeFamily::Json, _) if in_key => PgType::Text,
            (TypeFamily::Number, _) => PgType::Numeric,
            (TypeFamily::Boolean, _) => PgType::Boolean,
            (TypeFamily::Date, _) => PgType::Date,
            (TypeFamily::Timestamp, _) => PgType::Timestamp,
            (TypeFamily::Json, _) => PgType::Json,
            (TypeFamily::Bytes, _) => PgType::Bytes,
        }
    }

    /// As SQL has it.
    pub fn as_str(self) -> &'static str {
        match self {
            PgType::Text => "text",
            PgType::Bigint => "bigint",
            PgType::Double => "double precision",
            PgType::Numeric => "numeric",
            PgType::Boolean => "boolean",
            PgType::Date => "date",
            PgType::Timestamp => "timestamptz",
            PgType::Json => "json",
            PgType::Bytes => "bytea",
        }
    }
}

/// A value on its way into a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Fit {
    Null,
    /// As its type writes it.
    Exact(String),
    /// As near as its type comes, and the value itself as JSON.
    Beside(Option<String>, String),
    /// It cannot be kept there at all.
    Refused(&'static str),
}

/// How a value is written for a column.
pub fn fit(kind: PgType, in_key: bool, value: &Value) -> Fit {
    let fit = match (kind, value) {
        (_, Value::Null) => Fit::Null,
        (PgType::Text, Value::Text(text)) if text.contains('\0') => {
            Fit::Beside(Some(text.replace('\0', NUL_SHOWN)), json_text(text))
        }
        (PgType::Text | PgType::Json, Value::Text(text)) => Fit::Exact(text.clone()),
        (PgType::Bigint | PgType::Numeric | PgType::Text, Value::Integer(number)) => {
            Fit::Exact(number.to_string())
        }
        (PgType::Double | PgType::Numeric, Value::Real(number)) => Fit::Exact(real(*number)),
        (PgType::Text, Value::Real(number)) => Fit::Exact(format!("{number:?}")),
        (PgType::Numeric, Value::Text(digits)) if fits_numeric(digits) => {
            Fit::Exact(digits.clone())
        }
        (PgType::Numeric, Value::Text(digits)) => Fit::Beside(None, json_text(digits)),
        (PgType::Boolean, Value::Integer(0)) => Fit::Exact("f".to_owned()),
        (PgType::Boolean, Value::Integer(1)) => Fit::Exact("t".to_owned()),
        (PgType::Date, Value::Text(day)) => Fit::Exact(before_christ(day.clone())),
        (PgType::Timestamp, Value::Text(at)) => match cut(at) {
            (cell, true) => Fit::Exact(cell),
            (cell, false) => Fit::Beside(Some(cell), json_text(at)),
        },
        (PgType::Bytes, Value::Blob(bytes)) => Fit::Exact(format!("\\x{}", hexadecimal(bytes))),
        _ => Fit::Refused("is of another type than its column"),
    };
    match fit {
        Fit::Beside(..) if in_key => Fit::Refused(
            "is of the key, and cannot be told from others there: PostgreSQL has no NUL in texts, \
             and six digits of a second",
        ),
        fit => fit,
    }
}

/// An instant of windrow's own; cut to microseconds.
pub fn own_instant(text: &str) -> String {
    cut(text).0
}

/// `_rest` with the exact values of columns that cannot hold them.
pub fn rest_with(rest: Option<&str>, exact: &[(&str, String)]) -> Option<String> {
    if exact.is_empty() {
        return rest.map(str::to_owned);
    }
    let members = exact.iter().map(|(name, json)| format!("{}:{json}", json_text(name)));
    let exact = format!("\"_exact\":{{{}}}", members.collect::<Vec<_>>().join(","));
    // Its digits must stay as they came: it is not read and written anew.
    let inside = rest.and_then(|rest| rest.trim_end().strip_suffix('}'));
    Some(match inside {
        Some(inside) if inside.trim() != "{" => format!("{inside},{exact}}}"),
        _ => format!("{{{exact}}}"),
    })
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The shortest digits that lead back to it.
fn real(number: f64) -> String {
    match number {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        number => format!("{number:e}"),
    }
}

/// Whether `numeric` holds all digits.
fn fits_numeric(digits: &str) -> bool {
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let mantissa = mantissa.trim_start_matches(['-', '+']);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let whole = length(whole.trim_start_matches('0')).saturating_add(exponent);
    let fraction = length(fraction).saturating_sub(exponent);
    whole <= NUMERIC_WHOLE_MAX && fraction <= NUMERIC_FRACTION_MAX
}

/// Cuts an RFC 3339 text to six digits of the second, never up; tells whether that left it whole.
/// PostgreSQL itself would round.
fn cut(text: &str) -> (String, bool) {
    let Some(point) = text.find('.') else { return (before_christ(text.to_owned()), true) };
    let digits = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
    let end = point + 1 + digits;
    let keep = point + 1 + digits.min(6);
    let whole = text[keep..end].bytes().all(|digit| digit == b'0');
    (before_christ(format!("{}{}", &text[..keep], &text[end..])), whole)
}

/// The year 0 of ISO 8601 is the year 1 before Christ.
fn before_christ(text: String) -> String {
    match text.strip_prefix("0000-") {
        Some(rest) => format!("0001-{rest} BC"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Fit {
        Fit::Exact(text.to_owned())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn each_type_has_one_over_there_and_keys_are_told_apart_as_here() {
        use ColumnType::*;
        let cases = [
            (Text, "text", "text"),
            (Integer, "bigint", "bigint"),
            (Real, "double precision", "double precision"),
            (Decimal, "numeric", "text"),
            (Number, "numeric", "text"),
            (Boolean, "boolean", "boolean"),
            (Date, "date", "date"),
            (Timestamp, "timestamptz", "timestamptz"),
            (Json, "json", "text"),
            (Blob, "bytea", "bytea"),
        ];
        for (kind, plain, in_key) in cases {
            assert_eq!(PgType::of(kind, false).as_str(), plain, "{kind:?}");
            assert_eq!(PgType::of(kind, true).as_str(), in_key, "{kind:?} in a key");
        }
    }

    #[test]
    fn values_are_written_exactly_or_kept_beside_the_row() {
        let cases = [
            (PgType::Text, text("é\n"), exact("é\n")),
            (PgType::Text, text("a\0b"), Fit::Beside(Some("a␀b".into()), "\"a\\u0000b\"".into())),
            (PgType::Bigint, Value::Integer(i64::MIN), exact("-9223372036854775808")),
            (PgType::Double, Value::Real(0.1), exact("1e-1")),
            (PgType::Double, Value::Real(-0.0), exact("-0e0")),
            (PgType::Numeric, text("1.10"), exact("1.10")),
            (PgType::Numeric, text("1e400"), exact("1e400")),
            (PgType::Numeric, text("1e200000"), Fit::Beside(None, "\"1e200000\"".into())),
            (PgType::Numeric, text("1e-16384"), Fit::Beside(None, "\"1e-16384\"".into())),
            (PgType::Numeric, Value::Integer(7), exact("7")),
            (PgType::Numeric, Value::Real(0.5), exact("5e-1")),
            (PgType::Text, Value::Real(374.375), exact("374.375")),
            (PgType::Boolean, Value::Integer(1), exact("t")),
            (
                PgType::Boolean,
                Value::Integer(2),
                Fit::Refused("is of another type than its column"),
            ),
            (PgType::Date, text("2026-02-28"), exact("2026-02-28")),
            (PgType::Date, text("0000-02-29"), exact("0001-02-29 BC")),
            (PgType::Json, text("{\"a\":1.10}"), exact("{\"a\":1.10}")),
            (PgType::Bytes, Value::Blob(vec![0, 255]), exact("\\x00ff")),
            (PgType::Text, Value::Null, Fit::Null),
        ];
        for (kind, value, expected) in cases {
            assert_eq!(fit(kind, false, &value), expected, "{kind:?} {value:?}");
        }
    }

    #[test]
    fn a_second_has_six_digits_over_there_and_the_rest_is_kept() {
        let at = |text: &str| fit(PgType::Timestamp, false, &Value::Text(text.to_owned()));
        assert_eq!(at("2026-01-01T00:00:00+00:00"), exact("2026-01-01T00:00:00+00:00"));
        assert_eq!(
            at("2026-01-01T00:00:00.123456+00:00"),
            exact("2026-01-01T00:00:00.123456+00:00")
        );
        let long = "2026-01-01T00:00:00.9999999+00:00";
        let near = "2026-01-01T00:00:00.999999+00:00";
        assert_eq!(at(long), Fit::Beside(Some(near.into()), format!("\"{long}\"")));
        assert_eq!(own_instant(long), near);
        assert!(matches!(fit(PgType::Timestamp, true, &text(long)), Fit::Refused(_)), "in a key");
        assert!(matches!(fit(PgType::Text, true, &text("a\0")), Fit::Refused(_)), "in a key");
    }

    #[test]
    fn what_is_beside_a_row_joins_its_rest_whose_digits_stay() {
        let exact = [("at", "\"x\"".to_owned()), ("b", "1".to_owned())];
        let with = |rest| rest_with(rest, &exact).expect("something");
        assert_eq!(with(None), r#"{"_exact":{"at":"x","b":1}}"#);
        assert_eq!(with(Some("{}")), r#"{"_exact":{"at":"x","b":1}}"#);
        assert_eq!(with(Some(r#"{"n":1.10}"#)), r#"{"n":1.10,"_exact":{"at":"x","b":1}}"#);
        assert_eq!(rest_with(Some("{\"n\":1}"), &[]).as_deref(), Some("{\"n\":1}"));
        assert_eq!(rest_with(None, &[]), None);
    }
}

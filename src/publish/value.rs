//! Which type a column has over there, and how each value is written for it. Decides, and does
//! nothing.
//!
//! What PostgreSQL cannot hold as it came (a NUL in a text, more than six digits of a second, a
//! leap second, a number of more digits than `numeric` has) is kept exactly, beside the row, under
//! `_exact` in its `_rest`. Nothing is altered without that.

use chrono::{DateTime, NaiveDate, Timelike};

use crate::definition::{ColumnStorage, ColumnType, TypeFamily};
use crate::model::{hexadecimal, instant_to_text};
use crate::store::Value;

/// Digits before the point that `numeric` holds.
const NUMERIC_WHOLE_MAX: i64 = 131_072;
/// Digits after the point that `numeric` holds.
const NUMERIC_FRACTION_MAX: i64 = 16_383;
/// A second in nanoseconds; chrono counts on from here within a leap second.
const NANOS: u32 = 1_000_000_000;
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

/// What a column is for, beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A part of the key.
    Key,
    /// It tells older from newer.
    Version,
    Plain,
}

/// How a value is written for a column.
pub fn fit(kind: PgType, role: Role, value: &Value) -> Fit {
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
        // SQLite sorts digits that it holds as text behind all numbers: the text must stay there.
        (PgType::Numeric, Value::Text(digits)) if role == Role::Version && fits_numeric(digits) => {
            Fit::Beside(Some(digits.clone()), json_text(digits))
        }
        (PgType::Numeric, Value::Text(digits)) if fits_numeric(digits) => {
            Fit::Exact(digits.clone())
        }
        (PgType::Numeric, Value::Text(digits)) => Fit::Beside(None, json_text(digits)),
        (PgType::Boolean, Value::Integer(0)) => Fit::Exact("f".to_owned()),
        (PgType::Boolean, Value::Integer(1)) => Fit::Exact("t".to_owned()),
        (PgType::Date, Value::Text(day)) if is_day(day) => Fit::Exact(before_christ(day.clone())),
        (PgType::Timestamp, Value::Text(at)) => match cell_of(at) {
            Some((cell, true)) => Fit::Exact(cell),
            Some((cell, false)) => Fit::Beside(Some(cell), json_text(at)),
            None => Fit::Beside(None, json_text(at)),
        },
        (PgType::Date, Value::Text(day)) => Fit::Beside(None, json_text(day)),
        (PgType::Bytes, Value::Blob(bytes)) => Fit::Exact(format!("\\x{}", hexadecimal(bytes))),
        _ => Fit::Refused("is of another type than its column"),
    };
    match (fit, role, kind) {
        (Fit::Beside(..), Role::Key, _) => Fit::Refused(
            "is of the key, and cannot be told from others there: PostgreSQL has no NUL in texts, \
             six digits of a second and no leap second",
        ),
        (Fit::Beside(..), Role::Version, PgType::Text) => Fit::Refused(
            "is the version, and cannot be ordered there: PostgreSQL has no NUL in texts",
        ),
        (fit, ..) => fit,
    }
}

/// An instant of windrow's own; cut to microseconds.
pub fn own_instant(text: &str) -> String {
    cell_of(text).map_or_else(|| text.to_owned(), |(cell, _)| cell)
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

/// An instant of the archive as PostgreSQL has it, and whether that is all of it: six digits of the
/// second, never up (PostgreSQL itself would round), and the last microsecond before a leap second
/// instead of one within it. None for a text that is no instant of the years 0 to 9999.
fn cell_of(text: &str) -> Option<(String, bool)> {
    let at = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    let is_leap = at.nanosecond() >= NANOS;
    let nanos = if is_leap { NANOS - 1 } else { at.nanosecond() };
    let cell = instant_to_text(at.with_nanosecond(nanos / 1_000 * 1_000)?);
    // A year of another length has a sign, and does not sort.
    let is_year = cell.as_bytes().get(..5)?.iter().all(|byte| b"0123456789-".contains(byte))
        && cell.as_bytes()[4] == b'-'
        && cell.as_bytes()[0] != b'-';
    is_year.then(|| (before_christ(cell), nanos % 1_000 == 0))
}

/// Whether it is a day as the archive writes one.
fn is_day(text: &str) -> bool {
    text.len() == 10
        && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok_and(|day| day.to_string() == text)
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
            assert_eq!(fit(kind, Role::Plain, &value), expected, "{kind:?} {value:?}");
        }
    }

    #[test]
    fn a_second_has_six_digits_over_there_and_the_rest_is_kept() {
        let at = |text: &str| fit(PgType::Timestamp, Role::Plain, &Value::Text(text.to_owned()));
        assert_eq!(at("2026-01-01T00:00:00+00:00"), exact("2026-01-01T00:00:00+00:00"));
        assert_eq!(
            at("2026-01-01T00:00:00.123456+00:00"),
            exact("2026-01-01T00:00:00.123456+00:00")
        );
        let long = "2026-01-01T00:00:00.9999999+00:00";
        let near = "2026-01-01T00:00:00.999999+00:00";
        assert_eq!(at(long), Fit::Beside(Some(near.into()), format!("\"{long}\"")));
        assert_eq!(own_instant(long), near);
        assert!(
            matches!(fit(PgType::Timestamp, Role::Key, &text(long)), Fit::Refused(_)),
            "in a key"
        );
        assert!(matches!(fit(PgType::Text, Role::Key, &text("a\0")), Fit::Refused(_)), "in a key");
    }

    #[test]
    fn a_leap_second_is_the_last_microsecond_before_it_and_kept_exactly() {
        let at = |text: &str| fit(PgType::Timestamp, Role::Plain, &Value::Text(text.to_owned()));
        let before = "2016-12-31T23:59:59.999999+00:00";
        for leap in ["2016-12-31T23:59:60+00:00", "2016-12-31T23:59:60.5+00:00"] {
            assert_eq!(at(leap), Fit::Beside(Some(before.into()), format!("\"{leap}\"")));
            assert!(matches!(fit(PgType::Timestamp, Role::Key, &text(leap)), Fit::Refused(_)));
            assert_eq!(own_instant(leap), before);
        }
        assert_eq!(at(before), exact(before), "an instant that PostgreSQL has stays as it is");
        // An offset of the source's, and one of whole hours.
        let east = at("2017-01-01T05:29:60+05:30");
        assert!(matches!(east, Fit::Beside(Some(cell), _) if cell == before));
        assert_eq!(at("2026-01-01T05:30:00+05:30"), exact("2026-01-01T00:00:00+00:00"));
    }

    #[test]
    fn a_time_that_postgresql_would_read_otherwise_or_refuse_is_kept_exactly() {
        let at = |text: &str| fit(PgType::Timestamp, Role::Plain, &Value::Text(text.to_owned()));
        assert_eq!(at("0000-02-29T00:00:00+00:00"), exact("0001-02-29T00:00:00+00:00 BC"));
        assert_eq!(at("9999-12-31T23:59:59+00:00"), exact("9999-12-31T23:59:59+00:00"));
        for odd in [
            "2026-01-01T24:00:00+00:00",
            "2026-01-01T00:00:00+00:00:30",
            "+10000-01-01T00:00:00+00:00",
            "-0001-12-31T23:00:00+00:00",
            "9999-12-31T23:59:59-01:00",
            "infinity",
            "yesterday",
            "",
        ] {
            assert_eq!(at(odd), Fit::Beside(None, format!("\"{odd}\"")), "{odd}");
        }
        for odd in ["+10000-01-01", "-4713-01-01", "2026-1-1", "2026-02-30", "today", "infinity"] {
            let day = fit(PgType::Date, Role::Plain, &text(odd));
            assert_eq!(day, Fit::Beside(None, format!("\"{odd}\"")), "{odd}");
        }
    }

    #[test]
    fn a_version_is_kept_so_that_it_sorts_there_as_here() {
        let version = |kind, value: &Value| fit(kind, Role::Version, value);
        let digits = "12345678901234567890";
        let beside = Fit::Beside(Some(digits.into()), format!("\"{digits}\""));
        assert_eq!(version(PgType::Numeric, &text(digits)), beside, "a text sorts behind numbers");
        assert_eq!(version(PgType::Numeric, &Value::Integer(7)), exact("7"));
        assert_eq!(fit(PgType::Numeric, Role::Plain, &text(digits)), exact(digits));
        assert!(matches!(version(PgType::Text, &text("a\0")), Fit::Refused(_)));
        assert_eq!(version(PgType::Text, &text("a")), exact("a"));
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

//! From a JSON value to a column's value: exactly, or not at all.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;

use crate::definition::{
    Ambiguous, Column, ColumnType, LocalTime, TimeFormat, WrittenTime, local_time,
};
use crate::model::{Cell, RecordRefusal, RejectKind, RowSet, instant_to_text};

use super::canonical::canonical_json;
use super::json::{DeepFault, JsonFault, JsonKind, string_text};

/// A value, and whether it says all that came. Where it does not (a double that cannot hold all
/// digits), the caller keeps the text that came in `_rest`.
pub type Coerced = (Cell, bool);

/// Why a value does not fit its column's type, without the place in the record.
impl From<String> for RecordRefusal {
    fn from(reason: String) -> Self {
        Self { kind: RejectKind::Type, reason, pointer: None }
    }
}

/// Makes the value of `column` out of a JSON text. Values of a key are taken strictly: 1 and "1"
/// are two keys, and no column type makes them one.
pub fn coerce(
    raw: &str,
    column: &Column,
    strict: bool,
    out: &mut RowSet,
) -> Result<Coerced, RecordRefusal> {
    let kind = JsonKind::of(raw);
    if kind == JsonKind::Null {
        return Ok((Cell::Null, true));
    }
    let coerced = match column.kind {
        ColumnType::Text => text(raw, kind, strict, out),
        ColumnType::Integer => integer(&number_text(raw, kind, strict, "an integer")?),
        ColumnType::Real => real(&number_text(raw, kind, strict, "a number")?),
        ColumnType::Number => number(&number_text(raw, kind, strict, "a number")?, out),
        ColumnType::Decimal => {
            let digits = number_text(raw, kind, strict, "a number")?;
            Ok((out.push_text(&digits), true))
        }
        ColumnType::Boolean => match raw {
            "true" => Ok((Cell::Integer(1), true)),
            "false" => Ok((Cell::Integer(0), true)),
            _ => Err(mismatch("true or false", kind)),
        },
        ColumnType::Date => date(raw, kind, column, out),
        ColumnType::Timestamp => return timestamp(raw, kind, column, out),
        ColumnType::Json => match canonical_json(raw) {
            Ok(text) => Ok((out.push_text(&text), true)),
            Err(DeepFault { fault: JsonFault::Duplicate(name), .. }) => {
                Err(format!("the member {name:?} stands twice"))
            }
            Err(DeepFault { fault: JsonFault::Unrepresentable(why), .. }) => Err(why),
        },
        ColumnType::Blob => blob(raw, kind, out),
    };
    coerced.map_err(RecordRefusal::from)
}

fn mismatch(expected: &str, found: JsonKind) -> String {
    format!("expected {expected}, found {}", found.spoken())
}

fn decoded(raw: &str) -> Result<std::borrow::Cow<'_, str>, String> {
    string_text(raw).ok_or_else(|| "a lone surrogate, which no text can hold".to_owned())
}

fn text(raw: &str, kind: JsonKind, strict: bool, out: &mut RowSet) -> Result<Coerced, String> {
    match kind {
        JsonKind::String => Ok((out.push_text(&decoded(raw)?), true)),
        JsonKind::Number | JsonKind::Boolean if !strict => Ok((out.push_text(raw), true)),
        _ => Err(mismatch("a text", kind)),
    }
}

/// The digits of a number, also of one that came as a string.
fn number_text<'a>(
    raw: &'a str,
    kind: JsonKind,
    strict: bool,
    expected: &str,
) -> Result<std::borrow::Cow<'a, str>, String> {
    match kind {
        JsonKind::Number => Ok(raw.into()),
        JsonKind::String if !strict => {
            let text = decoded(raw)?;
            if is_json_number(&text) {
                return Ok(text);
            }
            Err(format!("expected {expected}, found the text {}", shorten(&text)))
        }
        _ => Err(mismatch(expected, kind)),
    }
}

/// Whether a text is a number of JSON: RFC 8259, section 6.
pub fn is_json_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-')
        && bytes.last().is_some_and(u8::is_ascii_digit)
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn integer(digits: &str) -> Result<Coerced, String> {
    if let Ok(value) = digits.parse::<i64>() {
        // "-0" is an integer whose digits an integer cannot hold.
        return Ok((Cell::Integer(value), digits != "-0"));
    }
    if !digits.contains(['.', 'e', 'E']) {
        return Err(format!("{} does not fit 64 bits; declare `decimal`", shorten(digits)));
    }
    // 5.0 and 5e3 are integers too, written another way.
    match digits.parse::<f64>() {
        Ok(value) if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => {
            if !exact(digits, value) {
                return Err(format!("{} is not an integer", shorten(digits)));
            }
            #[expect(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
            let value = value as i64;
            Ok((Cell::Integer(value), false))
        }
        _ => Err(format!("{} is not an integer; declare `real` or `decimal`", shorten(digits))),
    }
}

fn real(digits: &str) -> Result<Coerced, String> {
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((Cell::Real(value), exact(digits, value))),
        _ => Err(format!("{} is beyond a double; declare `decimal`", shorten(digits))),
    }
}

fn number(digits: &str, out: &mut RowSet) -> Result<Coerced, String> {
    if digits != "-0"
        && let Ok(value) = digits.parse::<i64>()
    {
        return Ok((Cell::Integer(value), true));
    }
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() && exact(digits, value) => Ok((Cell::Real(value), true)),
        _ => Ok((out.push_text(digits), true)),
    }
}

/// Whether a double, printed in the shortest way that leads back to it, is the number that came.
fn exact(digits: &str, value: f64) -> bool {
    let significant = digits.bytes().take_while(|b| !matches!(b, b'e' | b'E'));
    let count = significant.filter(u8::is_ascii_digit).count();
    let exponent = digits.bytes().any(|b| matches!(b, b'e' | b'E'));
    // Every decimal of up to 15 digits survives a double (IEEE 754, DBL_DIG).
    (count <= 15 && !exponent) || decimal_parts(digits) == decimal_parts(&format!("{value:e}"))
}

/// Sign, digits without outer zeros, and the exponent of the last of them.
fn decimal_parts(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let negative = mantissa.starts_with('-');
    let (whole, fraction) = mantissa
        .trim_start_matches('-')
        .split_once('.')
        .unwrap_or_else(|| (mantissa.trim_start_matches('-'), ""));
    let digits = format!("{whole}{fraction}");
    let fraction_length = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let mut last = exponent.parse::<i64>().unwrap_or(i64::MAX).saturating_sub(fraction_length);
    let digits = digits.trim_start_matches('0');
    let trimmed = digits.trim_end_matches('0');
    last = last.saturating_add(i64::try_from(digits.len() - trimmed.len()).unwrap_or(0));
    if trimmed.is_empty() {
        return (negative, "0".to_owned(), 0);
    }
    (negative, trimmed.to_owned(), last)
}

fn date(raw: &str, kind: JsonKind, column: &Column, out: &mut RowSet) -> Result<Coerced, String> {
    let zone = column.zone.unwrap_or(Tz::UTC);
    if let Some(format) = &column.format {
        let text = time_text(raw, kind, format)?;
        let day = match format.read_written(&text) {
            Some(WrittenTime::Local(local)) => Some(local.date()),
            Some(WrittenTime::Instant(at)) if in_four_digit_years(at) => {
                Some(at.with_timezone(&zone).date_naive())
            }
            Some(WrittenTime::Instant(_)) => None,
            None => return Err(format!("{} does not match the format", shorten(&text))),
        };
        // Beyond four digits of the year a date is no date of ISO 8601, and does not sort.
        let day = day.filter(|day| (0..=9999).contains(&day.year()));
        let day = day.ok_or_else(|| format!("{} is not a date of four digits", shorten(&text)))?;
        return Ok((out.push_text(&day.to_string()), true));
    }
    if kind != JsonKind::String {
        return Err(mismatch("a date", kind));
    }
    let text = decoded(raw)?;
    let day = text.get(..10).unwrap_or_default();
    let midnight = ["", "T00:00:00", "T00:00:00Z", "T00:00:00.000Z", " 00:00:00"];
    let rest = text.get(10..).unwrap_or_default();
    // chrono takes blanks and signs, and the text is kept as it came.
    let parsed = NaiveDate::parse_from_str(day, "%Y-%m-%d");
    if !parsed.is_ok_and(|parsed| parsed.to_string() == day) {
        return Err(format!("{} is not a date such as 2026-01-31", shorten(&text)));
    }
    if !midnight.contains(&rest) {
        return Err(format!("{} is more than a date; declare `timestamp`", shorten(&text)));
    }
    Ok((out.push_text(day), true))
}

fn time_text<'a>(
    raw: &'a str,
    kind: JsonKind,
    format: &TimeFormat,
) -> Result<std::borrow::Cow<'a, str>, String> {
    let numeric = matches!(format, TimeFormat::Unix | TimeFormat::UnixMillis);
    match kind {
        JsonKind::String => decoded(raw),
        JsonKind::Number if numeric => Ok(raw.into()),
        JsonKind::Number => Err("found a number; declare `format = \"unix\"` or \
            `\"unix_ms\"`"
            .to_owned()),
        _ => Err(mismatch("a time", kind)),
    }
}

fn timestamp(
    raw: &str,
    kind: JsonKind,
    column: &Column,
    out: &mut RowSet,
) -> Result<Coerced, RecordRefusal> {
    let format = column.format.as_ref().unwrap_or(&TimeFormat::Rfc3339);
    let text = time_text(raw, kind, format)?;
    if *format == TimeFormat::Rfc3339
        && let Some(sortable) = plain_utc(&text)
    {
        let from = out.text.len();
        out.text.push_str(sortable);
        out.text.push_str("+00:00");
        let place = |at: usize| u32::try_from(at).expect("a page is smaller than 4 GiB");
        return Ok((Cell::Text(place(from), place(out.text.len())), true));
    }
    let at = match (format.read_written(&text), column.zone) {
        (Some(WrittenTime::Instant(at)), _) => at,
        (Some(WrittenTime::Local(local)), Some(zone)) => match local_time(local, zone) {
            Some(found) => instant_of(found, column.ambiguous, &text, zone)?,
            None => return Err(beyond_years(&text).into()),
        },
        (Some(WrittenTime::Local(_)), None) => {
            let text = shorten(&text);
            return Err(format!("{text} has no offset; declare the column's `timezone`").into());
        }
        (None, _) => {
            let text = shorten(&text);
            return Err(format!("{text} is not a timestamp of the declared format").into());
        }
    };
    if !in_four_digit_years(at) {
        return Err(beyond_years(&text).into());
    }
    Ok((out.push_text(&instant_to_text(at)), true))
}

fn beyond_years(text: &str) -> String {
    format!("{} is beyond the years 0 to 9999", shorten(text))
}

/// The instant that a local time means; where the definition does not say which of two, none.
fn instant_of(
    found: LocalTime,
    ambiguous: Ambiguous,
    text: &str,
    zone: Tz,
) -> Result<DateTime<Utc>, RecordRefusal> {
    let (first, second, what) = match found {
        LocalTime::Once(at) => return Ok(at),
        LocalTime::Twice { first, second } => (first, second, "comes twice"),
        LocalTime::Never { first, second } => (first, second, "is skipped by the clocks"),
    };
    match ambiguous {
        Ambiguous::First => Ok(first),
        Ambiguous::Second => Ok(second),
        Ambiguous::Reject => Err(RecordRefusal {
            kind: RejectKind::AmbiguousTime,
            pointer: None,
            reason: format!(
                "{} {what} in {zone}: it is {} (`ambiguous = \"first\"`) or {} (`ambiguous = \
                 \"second\"`)",
                shorten(text),
                instant_to_text(first),
                instant_to_text(second)
            ),
        }),
    }
}

fn in_four_digit_years(at: DateTime<Utc>) -> bool {
    use chrono::Datelike;
    (0..=9999).contains(&at.year())
}

/// The part before the `Z` of the most common form of all, `2026-01-31T08:00:00Z`, once each of
/// its digits is seen to be in range. A short cut: everything else goes the long way.
fn plain_utc(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    if bytes.len() != 20 || bytes[19] != b'Z' {
        return None;
    }
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = shape.iter().zip(bytes).all(|(shape, byte)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => other == byte,
    });
    let two = |at: usize| (bytes[at] - b'0') * 10 + (bytes[at + 1] - b'0');
    let in_range = fits
        && (1..=12).contains(&two(5))
        && (1..=28).contains(&two(8))
        && two(11) < 24
        && two(14) < 60
        && two(17) < 60;
    in_range.then(|| &text[..19])
}

fn blob(raw: &str, kind: JsonKind, out: &mut RowSet) -> Result<Coerced, String> {
    if kind != JsonKind::String {
        return Err(mismatch("base64 text", kind));
    }
    let text = decoded(raw)?;
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|error| format!("not base64: {error}"))?;
    Ok((out.push_bytes(&bytes), true))
}

/// A value short enough for a message.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}").replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value as a text that shows its type, `!` after it where digits are kept beside it.
    fn show(kind: ColumnType, raw: &str, strict: bool) -> String {
        show_column(&Column::plain("c", kind), raw, strict)
    }

    fn show_column(column: &Column, raw: &str, strict: bool) -> String {
        let mut out = RowSet::new(1);
        match coerce(raw, column, strict, &mut out) {
            Err(_) => "refused".to_owned(),
            Ok((cell, exact)) => {
                let shown = match cell {
                    Cell::Null => "null".to_owned(),
                    Cell::Integer(value) => format!("int {value}"),
                    Cell::Real(value) => format!("real {value:?}"),
                    Cell::Text(..) => format!("text {}", out.text_of(cell).expect("text")),
                    Cell::Blob(..) => format!("blob {:?}", out.bytes_of(cell).expect("bytes")),
                };
                format!("{shown}{}", if exact { "" } else { "!" })
            }
        }
    }

    #[test]
    fn every_type_takes_what_it_can_hold_and_refuses_the_rest() {
        use ColumnType::*;
        let cases = [
            (Text, r#""a""#, "text a"),
            (Text, r#""a\u0000b""#, "text a\0b"),
            (Text, "12345678901234567890123", "text 12345678901234567890123"),
            (Text, r#""\ud800""#, "refused"),
            (Text, "{}", "refused"),
            (Integer, "9007199254740993", "int 9007199254740993"),
            (Integer, "9223372036854775807", "int 9223372036854775807"),
            (Integer, "9223372036854775808", "refused"),
            (Integer, "18446744073709551615", "refused"),
            (Integer, "-0", "int 0!"),
            (Integer, "5.0", "int 5!"),
            (Integer, "5e3", "int 5000!"),
            (Integer, "5.5", "refused"),
            (Integer, r#""42""#, "int 42"),
            (Integer, r#"" 42""#, "refused"),
            (Integer, "true", "refused"),
            (Real, "1.10", "real 1.1"),
            (Real, "0.12345678901234567890", "real 0.12345678901234568!"),
            (Real, "17.100000000000001", "real 17.1!"),
            (Real, "1e400", "refused"),
            (Real, "-0", "real -0.0"),
            (Real, "-0.0", "real -0.0"),
            (Real, "1e-7", "real 1e-7"),
            (Decimal, "0.12345678901234567890", "text 0.12345678901234567890"),
            (Decimal, "1.10", "text 1.10"),
            (Decimal, "1e400", "text 1e400"),
            (Decimal, r#""1.10""#, "text 1.10"),
            (Decimal, r#""1.1x""#, "refused"),
            (Number, "7", "int 7"),
            (Number, "0.5", "real 0.5"),
            (Number, "12345678901234567890123", "text 12345678901234567890123"),
            (Number, "0.12345678901234567890123", "text 0.12345678901234567890123"),
            (Number, "1e400", "text 1e400"),
            (Number, "-0", "real -0.0"),
            (Boolean, "true", "int 1"),
            (Boolean, "false", "int 0"),
            (Boolean, "1", "refused"),
            (Date, r#""2026-02-28""#, "text 2026-02-28"),
            (Date, r#""2026-02-30""#, "refused"),
            (Date, r#""2026-02-28T00:00:00Z""#, "text 2026-02-28"),
            (Date, r#""2026-02-28T10:00:00Z""#, "refused"),
            (Date, "20260228", "refused"),
            (Timestamp, r#""2026-02-28T10:00:00Z""#, "text 2026-02-28T10:00:00+00:00"),
            (Timestamp, r#""2026-02-28T10:00:00.500Z""#, "text 2026-02-28T10:00:00.5+00:00"),
            (Timestamp, r#""2026-02-28T10:00:00+05:30""#, "text 2026-02-28T04:30:00+00:00"),
            (Timestamp, r#""2026-02-31T10:00:00Z""#, "refused"),
            (Timestamp, r#""2026-02-28T10:00:00""#, "refused"),
            (Timestamp, r#""2026-02-28T25:00:00Z""#, "refused"),
            (Timestamp, "1772272800", "refused"),
            (Json, r#"{"a": [1.10]}"#, r#"text {"a":[1.10]}"#),
            (Json, r#"{"a":1,"a":2}"#, "refused"),
            (Blob, r#""aGk=""#, "blob [104, 105]"),
            (Blob, r#""a""#, "refused"),
        ];
        for (kind, raw, expected) in cases {
            assert_eq!(show(kind, raw, false), expected, "{kind:?} {raw}");
        }
        for kind in [Text, Integer, Real, Decimal, Number, Boolean, Date, Timestamp, Json, Blob] {
            assert_eq!(show(kind, "null", false), "null");
        }
    }

    #[test]
    fn a_date_is_ten_characters_of_digits_and_dashes() {
        for raw in [r#""2026- 1-31""#, r#""+12345-1-1""#, r#""2026-1-031""#, r#""2026-02-30""#] {
            assert_eq!(show(ColumnType::Date, raw, false), "refused", "{raw}");
        }
        let format = Some(TimeFormat::Unix);
        let zone = Some(chrono_tz::Asia::Tokyo);
        let column = Column { format, zone, ..Column::plain("c", ColumnType::Date) };
        assert_eq!(show_column(&column, "0", false), "text 1970-01-01");
        for raw in ["253402300800", "8210266876799", "-8334601228800"] {
            assert_eq!(show_column(&column, raw, false), "refused", "{raw}");
        }
    }

    #[test]
    fn a_key_never_makes_a_number_and_its_text_one() {
        assert_eq!(show(ColumnType::Text, "1", true), "refused");
        assert_eq!(show(ColumnType::Integer, "\"1\"", true), "refused");
        assert_eq!(show(ColumnType::Text, "\"1\"", true), "text 1");
        assert_eq!(show(ColumnType::Integer, "1", true), "int 1");
    }

    #[test]
    fn times_are_read_in_their_declared_format_and_zone() {
        let mut column = Column::plain("at", ColumnType::Timestamp);
        column.format = Some(TimeFormat::Unix);
        assert_eq!(show_column(&column, "1772272800", false), "text 2026-02-28T10:00:00+00:00");
        assert_eq!(
            show_column(&column, "1772272800.25", false),
            "text 2026-02-28T10:00:00.25+00:00"
        );
        column.format = TimeFormat::parse("%d/%m/%Y %H:%M").ok();
        assert_eq!(show_column(&column, "\"28/02/2026 10:00\"", false), "refused");
        column.zone = Some(chrono_tz::Europe::Berlin);
        assert_eq!(
            show_column(&column, "\"28/02/2026 10:00\"", false),
            "text 2026-02-28T09:00:00+00:00"
        );
        let mut day = Column::plain("day", ColumnType::Date);
        day.format = TimeFormat::parse("%Y%m%d").ok();
        assert_eq!(show_column(&day, "\"20260228\"", false), "text 2026-02-28");
    }

    proptest::proptest! {
        #[test]
        fn a_number_column_gives_back_the_number_that_came(
            whole in "-?(0|[1-9][0-9]{0,25})", fraction in "(\\.[0-9]{1,25})?",
            exponent in "([eE][+-]?[0-9]{1,3})?",
        ) {
            let raw = format!("{whole}{fraction}{exponent}");
            let mut out = RowSet::new(1);
            let column = Column::plain("c", ColumnType::Number);
            let (cell, exact) = coerce(&raw, &column, false, &mut out).expect("a number is taken");
            proptest::prop_assert!(exact);
            let text = match cell {
                Cell::Integer(value) => value.to_string(),
                Cell::Real(value) => format!("{value:e}"),
                other => out.text_of(other).expect("text").to_owned(),
            };
            proptest::prop_assert_eq!(decimal_parts(&text), decimal_parts(&raw));
        }
    }
}

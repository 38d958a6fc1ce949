//! Whether records that are equal in every column but the key are one record under two keys, or
//! alike by chance. Pure.
//!
//! Zeros, flags and round numbers are equal all the time; a long text or a number with many digits
//! is not. What the columns tell is counted in bits, as far as the column varies at all, and held
//! against the number of pairs in which chance could make two rows alike.

use crate::store::Value;

/// Bits by which what rows share must go beyond the number of pairs: of thirty tables full of
/// chance, one makes an alarm.
const BITS_BEYOND_CHANCE: f64 = 5.0;
/// Bits of a decimal digit.
const BITS_OF_DIGIT: f64 = 3.32;
/// Bits of a letter: languages and identifiers are far from random.
const BITS_OF_LETTER: f64 = 2.0;
/// The most that one value tells, bits: without it one long text would decide alone.
const BITS_MAX: f64 = 60.0;
/// A column varies freely when at least one in so many rows has a value of its own: each record
/// may stand there several times.
const ONE_VALUE_IN: u64 = 8;

/// Whether rows that share this content are too much alike for chance. `distinct` holds the number
/// of different values of each column among all `rows` of the table.
pub fn are_one_record(content: &[Value], distinct: &[u64], rows: u64) -> bool {
    let told: f64 = content.iter().zip(distinct).map(|(value, of)| bits(value, *of, rows)).sum();
    told >= 2.0 * log2(rows) + BITS_BEYOND_CHANCE
}

fn bits(value: &Value, distinct: u64, rows: u64) -> f64 {
    let own = match value {
        Value::Null => 0.0,
        Value::Integer(number) => BITS_OF_DIGIT * digits(&number.to_string()),
        Value::Real(number) => BITS_OF_DIGIT * digits(&format!("{number:e}")),
        Value::Text(text) if text.parse::<f64>().is_ok() => BITS_OF_DIGIT * digits(text),
        Value::Text(text) => BITS_OF_LETTER * length(text.chars().count()),
        Value::Blob(bytes) => 8.0 * length(bytes.len()),
    };
    let own = own.min(BITS_MAX);
    if distinct.saturating_mul(ONE_VALUE_IN) >= rows { own } else { own.min(log2(distinct)) }
}

/// The significant digits: without an exponent, and without zeros at either end.
fn digits(text: &str) -> f64 {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    length(digits.trim_matches('0').len())
}

#[expect(clippy::cast_precision_loss, reason = "a length is far below 2^52")]
fn length(of: usize) -> f64 {
    of as f64
}

#[expect(clippy::cast_precision_loss, reason = "a logarithm is not told by the 17th digit")]
fn log2(number: u64) -> f64 {
    (number.max(1) as f64).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    /// A name, what the columns hold, how many distinct values each has, rows, and the answer.
    type Case = (&'static str, Vec<Value>, &'static [u64], u64, bool);

    #[test]
    fn what_tells_much_is_one_record_and_what_tells_little_is_chance() {
        let cases: [Case; 8] = [
            ("a measure with all its digits", vec![Value::Real(12.345_678)], &[80], 84, true),
            ("one with two of them", vec![Value::Real(1.5)], &[80], 84, false),
            ("zeros", vec![Value::Integer(0), Value::Real(0.0)], &[9, 50], 84, false),
            ("a flag and a plan", vec![Value::Integer(1), text("1 TB plan")], &[2, 3], 84, false),
            ("a name", vec![text("Depot north, Rotterdam")], &[300], 300, true),
            ("nothing", vec![Value::Null], &[0], 84, false),
            ("four digits in a big table", vec![Value::Real(412.3)], &[9_000], 14_600, false),
            (
                "a date, a line and a measure",
                vec![text("2025-10-10"), text("SL-1"), Value::Real(12.34), text("Client A")],
                &[28, 10, 280, 5],
                560,
                true,
            ),
        ];
        for (name, content, distinct, rows, one) in cases {
            assert_eq!(are_one_record(&content, distinct, rows), one, "{name}");
        }
    }

    #[test]
    fn digits_are_those_that_tell_something() {
        let told = |text: &str| digits(text);
        let expected = [("100", 1.0), ("0.0012", 2.0), ("12.50", 3.0), ("1e9", 1.0), ("0", 0.0)];
        for (text, number) in expected {
            assert!((told(text) - number).abs() < 1e-9, "{text}");
        }
    }
}

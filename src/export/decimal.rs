//! Decimal numbers as digits and an exponent, so that none of them goes through a double.

/// The most digits that a decimal of Parquet, DuckDB, Polars and Spark holds.
pub const DIGITS_MAX: i64 = 38;
/// The most digits of a decimal that is kept in 64 bits.
pub const DIGITS_OF_LONG: i64 = 18;

/// A number: its digits times ten to the power of `exponent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    negative: bool,
    /// Without leading zeros; empty for zero.
    digits: String,
    exponent: i64,
}

impl Number {
    /// Reads a number as JSON writes it (RFC 8259, section 6).
    pub fn parse(text: &str) -> Option<Number> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let leads_with_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leads_with_zero || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').to_owned();
        let exponent = exponent.saturating_sub(length(fraction));
        Some(Number { negative, digits, exponent })
    }

    /// Digits before the point.
    pub fn whole_digits(&self) -> i64 {
        if self.digits.is_empty() {
            return 0;
        }
        length(&self.digits).saturating_add(self.exponent).max(0)
    }

    /// Digits after the point, as it was written.
    pub fn scale(&self) -> i64 {
        self.exponent.saturating_neg().max(0)
    }

    /// Digits after the point, without zeros at the end.
    pub fn scale_least(&self) -> i64 {
        let zeros = self.digits.len() - self.digits.trim_end_matches('0').len();
        if self.digits.is_empty() {
            return 0;
        }
        let exponent = self.exponent.saturating_add(i64::try_from(zeros).unwrap_or(i64::MAX));
        exponent.saturating_neg().max(0)
    }

    /// The number times ten to the power of `scale`, where that is whole and has no more than
    /// [`DIGITS_MAX`] digits.
    pub fn unscaled(&self, scale: i64) -> Option<i128> {
        let shift = self.exponent.checked_add(scale)?;
        if self.digits.is_empty() {
            return Some(0);
        }
        if length(&self.digits).checked_add(shift)? > DIGITS_MAX {
            return None;
        }
        let shifted = match usize::try_from(shift) {
            Ok(zeros) => format!("{}{}", self.digits, "0".repeat(zeros)),
            Err(_) => {
                let cut = usize::try_from(shift.unsigned_abs()).ok()?;
                let keep = self.digits.len().checked_sub(cut)?;
                let (kept, lost) = self.digits.split_at(keep);
                if lost.bytes().any(|digit| digit != b'0') {
                    return None;
                }
                kept.to_owned()
            }
        };
        let value: i128 = shifted.parse().ok()?;
        Some(if self.negative { -value } else { value })
    }
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// An exponent; one beyond 64 bits is as good as endless.
fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let most = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(text.parse().unwrap_or(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_json_does_not_call_a_number_is_none() {
        for text in ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "NaN", "1_0", "0x1", " 1", "1é"]
        {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn digits_before_and_after_the_point_are_counted_as_written() {
        let cases = [
            // text, whole, scale, least scale, at scale 2
            ("0", 0, 0, 0, Some(0)),
            ("-0.00", 0, 2, 0, Some(0)),
            ("0e-400", 0, 400, 0, Some(0)),
            ("12.50", 2, 2, 1, Some(1250)),
            ("-12.5", 2, 1, 1, Some(-1250)),
            ("1e3", 4, 0, 0, Some(100_000)),
            ("1.5e1", 2, 0, 0, Some(1500)),
            ("15e-1", 1, 1, 1, Some(150)),
            ("0.001", 0, 3, 3, None),
            ("1e999999999999999999999", i64::MAX, 0, 0, None),
            ("1e-999999999999999999999", 0, i64::MAX, i64::MAX, None),
        ];
        for (text, whole, scale, least, at_two) in cases {
            let number = Number::parse(text).expect(text);
            let counted = (number.whole_digits(), number.scale(), number.scale_least());
            assert_eq!(counted, (whole, scale, least), "{text}");
            assert_eq!(number.unscaled(2), at_two, "{text}");
        }
        let most = "9".repeat(38);
        let number = Number::parse(&most).expect("a number");
        assert_eq!(number.unscaled(0), most.parse().ok());
        assert_eq!(number.unscaled(1), None);
    }

    proptest! {
        #[test]
        fn any_way_to_write_a_number_leads_to_the_same_digits(
            value in -1_000_000_000_000_i64..1_000_000_000_000, scale in 0_usize..10,
            zeros in 0_usize..5,
        ) {
            let negative = if value < 0 { "-" } else { "" };
            let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let zeros = "0".repeat(zeros);
            let plain = match fraction {
                "" => format!("{negative}{whole}"),
                _ => format!("{negative}{whole}.{fraction}{zeros}"),
            };
            let power = format!("{value}{zeros}e-{}", scale + zeros.len());
            for text in [plain, power] {
                let number = Number::parse(&text).expect("a number");
                let scale = i64::try_from(scale).expect("small");
                prop_assert_eq!(number.unscaled(scale), Some(i128::from(value)), "{}", text);
            }
        }
    }
}

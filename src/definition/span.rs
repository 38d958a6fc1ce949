//! Durations with a unit, counted on a calendar where the unit is a day or longer.
//!
//! `15 minutes`, `2 weeks`, `1 month`, `PT15M`, `P1DT12H`. A bare number is refused: whether 7
//! means days or seconds is how data goes missing.

use std::fmt;

use chrono::{DateTime, Days, Months, TimeDelta, Utc};
use chrono_tz::Tz;

use super::local_time::resolve_local;

/// A length of time on a calendar: months and days are what the zone's calendar says, the rest
/// is elapsed time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub months: u32,
    /// Calendar days; a day on which the clocks change has 23 or 25 hours.
    pub days: u32,
    /// Elapsed time beside months and days, milliseconds.
    pub millis: i64,
}

const MILLIS_PER_SECOND: i64 = 1_000;
const MILLIS_PER_MINUTE: i64 = 60 * MILLIS_PER_SECOND;
const MILLIS_PER_HOUR: i64 = 60 * MILLIS_PER_MINUTE;
/// The longest span that is believed: 200 years. Anything longer is a typing error, and would
/// overflow the calendar.
const SPAN_YEARS_MAX: i64 = 200;

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span { months: 0, days: 0, millis: 0 };

    /// Reads `2 days`, `1 hour 30 minutes` or ISO 8601 (`P1M`, `PT15M`).
    pub fn parse(text: &str) -> Result<Span, String> {
        let text = text.trim();
        let span = match text.strip_prefix('P') {
            Some(iso) => parse_iso(iso),
            None => parse_words(text),
        };
        let span = span.map_err(|why| format!("`{text}` is not a duration: {why}"))?;
        span.checked().ok_or_else(|| format!("`{text}` is longer than {SPAN_YEARS_MAX} years"))
    }

    fn checked(self) -> Option<Span> {
        let years = i64::from(self.months) / 12
            + i64::from(self.days) / 365
            + self.millis / (MILLIS_PER_HOUR * 24 * 365);
        (years <= SPAN_YEARS_MAX).then_some(self)
    }

    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self == Span::ZERO
    }

    /// The elapsed milliseconds, when no calendar is needed to tell.
    pub fn exact_millis(self) -> Option<i64> {
        (self.months == 0 && self.days == 0).then_some(self.millis)
    }

    /// About how long it is, for comparing two spans: a month counts as 30 days.
    pub fn approximate_millis(self) -> i64 {
        (i64::from(self.months) * 30 + i64::from(self.days)) * 24 * MILLIS_PER_HOUR + self.millis
    }

    /// As elapsed time, days as 24 hours; for waits and ages.
    pub fn to_delta(self) -> TimeDelta {
        TimeDelta::milliseconds(self.approximate_millis())
    }

    /// `at` plus `times` spans, counted on the zone's calendar.
    ///
    /// A local time that the clocks skip moves forward to the first one that exists; one that
    /// comes twice is the earlier of the two.
    pub fn add_times(self, at: DateTime<Utc>, zone: Tz, times: i64) -> Option<DateTime<Utc>> {
        let elapsed = TimeDelta::try_milliseconds(self.millis.checked_mul(times)?)?;
        if self.months == 0 && self.days == 0 {
            return at.checked_add_signed(elapsed);
        }
        let count = u32::try_from(times.unsigned_abs()).ok()?;
        let (months, days) = (self.months.checked_mul(count)?, self.days.checked_mul(count)?);
        let local = at.with_timezone(&zone).naive_local();
        let moved = if times < 0 {
            local
                .checked_sub_months(Months::new(months))?
                .checked_sub_days(Days::new(days.into()))?
        } else {
            local
                .checked_add_months(Months::new(months))?
                .checked_add_days(Days::new(days.into()))?
        };
        resolve_local(moved, zone)?.checked_add_signed(elapsed)
    }

    /// `at` plus this span.
    pub fn after(self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        self.add_times(at, zone, 1)
    }

    /// `at` minus this span.
    pub fn before(self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        self.add_times(at, zone, -1)
    }
}

fn parse_words(text: &str) -> Result<Span, String> {
    let mut span = Span::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err("it is empty".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Err("expected a whole number and a unit, such as `2 days`".to_owned());
        }
        let number = &rest[..digits];
        rest = rest[digits..].trim_start();
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        if letters == 0 {
            return Err(format!("{number} has no unit. Write one: `{number} days`"));
        }
        span.add_unit(number, &rest[..letters])?;
        rest = rest[letters..].trim_start();
    }
    Ok(span)
}

fn parse_iso(text: &str) -> Result<Span, String> {
    let (date, time) = match text.split_once('T') {
        Some((_, "")) => return Err("nothing follows the T".to_owned()),
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err("nothing follows the P".to_owned());
    }
    let mut span = Span::ZERO;
    for (part, is_time) in [(date, false), (time, true)] {
        let mut number = String::new();
        for letter in part.chars() {
            if letter.is_ascii_digit() {
                number.push(letter);
                continue;
            }
            let unit = match (letter, is_time) {
                ('Y', false) => "years",
                ('M', false) => "months",
                ('W', false) => "weeks",
                ('D', false) => "days",
                ('H', true) => "hours",
                ('M', true) => "minutes",
                ('S', true) => "seconds",
                _ => return Err(format!("`{letter}` is not a unit here")),
            };
            if number.is_empty() {
                return Err(format!("a whole number is missing before `{letter}`"));
            }
            span.add_unit(&std::mem::take(&mut number), unit)?;
        }
        if !number.is_empty() {
            return Err(format!("{number} has no unit"));
        }
    }
    Ok(span)
}

impl Span {
    fn add_unit(&mut self, number: &str, unit: &str) -> Result<(), String> {
        let too_long = || format!("{number} is too large");
        let count: u32 = number.parse().map_err(|_| too_long())?;
        let (months, days, millis) = match unit {
            "year" | "years" | "y" => (12, 0, 0),
            "month" | "months" | "mo" => (1, 0, 0),
            "week" | "weeks" | "w" => (0, 7, 0),
            "day" | "days" | "d" => (0, 1, 0),
            "hour" | "hours" | "h" => (0, 0, MILLIS_PER_HOUR),
            "minute" | "minutes" | "min" | "mins" => (0, 0, MILLIS_PER_MINUTE),
            "second" | "seconds" | "sec" | "secs" | "s" => (0, 0, MILLIS_PER_SECOND),
            "millisecond" | "milliseconds" | "ms" => (0, 0, 1),
            "m" => return Err("`m` may mean minutes or months: write it out".to_owned()),
            _ => {
                return Err(format!(
                    "`{unit}` is not a unit; known are years, months, weeks, days, hours, \
                     minutes, seconds, milliseconds"
                ));
            }
        };
        let add = |have: u32, each: u32| {
            count.checked_mul(each).and_then(|more| have.checked_add(more)).ok_or_else(too_long)
        };
        self.months = add(self.months, months)?;
        self.days = add(self.days, days)?;
        self.millis = self.millis.checked_add(i64::from(count) * millis).ok_or_else(too_long)?;
        Ok(())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut part = |count: i64, unit: &str| {
            if count != 0 {
                parts.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
            }
        };
        match self.months % 12 {
            0 => part(i64::from(self.months / 12), "year"),
            _ => part(i64::from(self.months), "month"),
        }
        part(i64::from(self.days), "day");
        part(self.millis / MILLIS_PER_HOUR, "hour");
        part(self.millis % MILLIS_PER_HOUR / MILLIS_PER_MINUTE, "minute");
        part(self.millis % MILLIS_PER_MINUTE / MILLIS_PER_SECOND, "second");
        part(self.millis % MILLIS_PER_SECOND, "millisecond");
        if parts.is_empty() {
            return out.write_str("0 seconds");
        }
        out.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("a test instant").to_utc()
    }

    #[test]
    fn durations_are_read_in_words_and_in_iso() {
        let cases = [
            ("15 minutes", 0, 0, 900_000),
            ("1 day", 0, 1, 0),
            ("2weeks", 0, 14, 0),
            ("1 hour 30 minutes", 0, 0, 5_400_000),
            ("1 year", 12, 0, 0),
            ("250 ms", 0, 0, 250),
            ("PT15M", 0, 0, 900_000),
            ("P1M", 1, 0, 0),
            ("P1Y2M3DT4H5M6S", 14, 3, 14_706_000),
            ("P2W", 0, 14, 0),
        ];
        for (text, months, days, millis) in cases {
            assert_eq!(Span::parse(text), Ok(Span { months, days, millis }), "{text}");
        }
    }

    #[test]
    fn a_duration_without_a_unit_or_sense_is_refused() {
        for text in [
            "7",
            "",
            "days",
            "1 fortnight",
            "5 m",
            "P",
            "PT",
            "P1H",
            "-1 day",
            "1.5 days",
            "P5",
            "99999999999 days",
            "300 years",
        ] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for text in ["1 day", "14 months 3 days 4 hours 5 minutes 6 seconds", "0 seconds", "1 hour"]
        {
            assert_eq!(Span::parse(text).map(|span| span.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn days_and_months_follow_the_calendar_of_the_zone() {
        let berlin = chrono_tz::Europe::Berlin;
        let day = Span { days: 1, ..Span::ZERO };
        // The clocks go forward on 30 March 2025: that day has 23 hours.
        let before = instant("2025-03-29T23:00:00Z");
        assert_eq!(day.after(before, berlin), Some(instant("2025-03-30T22:00:00Z")));
        // And back on 26 October: 25 hours.
        let before = instant("2025-10-25T22:00:00Z");
        assert_eq!(day.after(before, berlin), Some(instant("2025-10-26T23:00:00Z")));
        let month = Span { months: 1, ..Span::ZERO };
        let january = instant("2025-01-31T00:00:00Z");
        assert_eq!(month.after(january, chrono_tz::UTC), Some(instant("2025-02-28T00:00:00Z")));
    }
}

//! How an API writes an instant: the text of a bound, the text in a column.

use std::fmt::Write;

use chrono::format::{Fixed, Item, Numeric, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::span::{Span, resolve_local};

/// A way to write an instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// RFC 3339 with the zone's offset.
    Rfc3339,
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMillis,
    /// A strftime pattern, read and written in the zone of its definition.
    Strftime(String),
}

impl TimeFormat {
    /// Reads `rfc3339`, `unix`, `unix_ms` or a strftime pattern.
    pub fn parse(text: &str) -> Result<TimeFormat, String> {
        match text {
            "rfc3339" => Ok(TimeFormat::Rfc3339),
            "unix" => Ok(TimeFormat::Unix),
            "unix_ms" => Ok(TimeFormat::UnixMillis),
            pattern if !pattern.contains('%') => Err(format!(
                "`{pattern}` is neither `rfc3339`, `unix`, `unix_ms` nor a strftime pattern such \
                 as `%Y-%m-%d`"
            )),
            pattern => {
                let sample = DateTime::<Utc>::UNIX_EPOCH.with_timezone(&Tz::UTC);
                // Some items can be read and not written; chrono tells when it is asked to.
                let writes = write!(String::new(), "{}", sample.format(pattern)).is_ok();
                if !writes || StrftimeItems::new(pattern).any(|item| matches!(item, Item::Error)) {
                    return Err(format!("`{pattern}` is not a strftime pattern"));
                }
                Ok(TimeFormat::Strftime(pattern.to_owned()))
            }
        }
    }

    /// The text of an instant, in `zone`.
    pub fn render(&self, at: DateTime<Utc>, zone: Tz) -> String {
        let local = at.with_timezone(&zone);
        match self {
            TimeFormat::Unix => at.timestamp().to_string(),
            TimeFormat::UnixMillis => at.timestamp_millis().to_string(),
            TimeFormat::Strftime(pattern) => local.format(pattern).to_string(),
            TimeFormat::Rfc3339 => {
                let form = if at.timestamp_subsec_millis() == 0 {
                    SecondsFormat::Secs
                } else {
                    SecondsFormat::Millis
                };
                local.to_rfc3339_opts(form, true)
            }
        }
    }

    /// The instant of a text. `None` when it does not match, or names no zone and `zone` is none.
    pub fn read(&self, text: &str, zone: Option<Tz>) -> Option<DateTime<Utc>> {
        match self {
            TimeFormat::Rfc3339 => match DateTime::parse_from_rfc3339(text) {
                Ok(at) => Some(at.to_utc()),
                Err(_) => resolve_local(naive_iso(text)?, zone?),
            },
            TimeFormat::Unix => read_epoch(text, 1_000_000_000),
            TimeFormat::UnixMillis => read_epoch(text, 1_000_000),
            TimeFormat::Strftime(pattern) => {
                if let Ok(at) = DateTime::parse_from_str(text, pattern) {
                    return Some(at.to_utc());
                }
                resolve_local(read_local(text, pattern)?, zone?)
            }
        }
    }

    /// The smallest step between two instants that the text can tell apart.
    pub fn precision(&self) -> Span {
        let second = Span { millis: 1000, ..Span::ZERO };
        match self {
            TimeFormat::Rfc3339 | TimeFormat::Unix => second,
            TimeFormat::UnixMillis => Span { millis: 1, ..Span::ZERO },
            TimeFormat::Strftime(pattern) => finest_item(pattern),
        }
    }
}

/// An ISO 8601 local time without an offset, with `T` or a space between date and time.
fn naive_iso(text: &str) -> Option<NaiveDateTime> {
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|pattern| NaiveDateTime::parse_from_str(text, pattern).ok())
}

/// A local time of a pattern that may leave out the minute, the time, the day or the month: the
/// first moment of what it names.
fn read_local(text: &str, pattern: &str) -> Option<NaiveDateTime> {
    let complete =
        |more: (&str, &str)| (format!("{text}{}", more.1), format!("{pattern}{}", more.0));
    let time = [("", ""), (" %M", " 00")].into_iter().map(complete);
    let mut times = time.map(|(text, pattern)| NaiveDateTime::parse_from_str(&text, &pattern).ok());
    if let Some(time) = times.find_map(|time| time) {
        return Some(time);
    }
    // Only a pattern without an hour names a whole day: else 18:00 would be read as midnight.
    if finest_item(pattern).exact_millis().is_some() {
        return None;
    }
    let date = [("", ""), (" %d", " 01"), (" %m %d", " 01 01")].into_iter().map(complete);
    let mut dates = date.map(|(text, pattern)| NaiveDate::parse_from_str(&text, &pattern).ok());
    dates.find_map(|date| date).map(|date| date.and_time(NaiveTime::MIN))
}

fn read_epoch(text: &str, nanos_per_unit: i128) -> Option<DateTime<Utc>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let negative = whole.starts_with('-');
    let mut nanos = whole.parse::<i64>().map(i128::from).ok()? * nanos_per_unit;
    if !fraction.is_empty() {
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        let part = fraction.parse::<i128>().ok()? * nanos_per_unit / scale;
        nanos += if negative { -part } else { part };
    }
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let rest = u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    DateTime::from_timestamp(seconds, rest)
}

/// What the finest part of a strftime pattern tells apart.
fn finest_item(pattern: &str) -> Span {
    let mut finest = Span { months: 12, ..Span::ZERO };
    for item in StrftimeItems::new(pattern) {
        let step = match item {
            Item::Numeric(numeric, _) => match numeric {
                Numeric::Month | Numeric::Quarter => Span { months: 1, ..Span::ZERO },
                Numeric::Day
                | Numeric::Ordinal
                | Numeric::NumDaysFromSun
                | Numeric::WeekdayFromMon => Span { days: 1, ..Span::ZERO },
                Numeric::Hour | Numeric::Hour12 => Span { millis: 3_600_000, ..Span::ZERO },
                Numeric::Minute => Span { millis: 60_000, ..Span::ZERO },
                Numeric::Second | Numeric::Timestamp => Span { millis: 1_000, ..Span::ZERO },
                Numeric::Nanosecond => Span { millis: 1, ..Span::ZERO },
                _ => continue,
            },
            Item::Fixed(fixed) => match fixed {
                Fixed::ShortMonthName | Fixed::LongMonthName => Span { months: 1, ..Span::ZERO },
                Fixed::RFC2822 | Fixed::RFC3339 => Span { millis: 1_000, ..Span::ZERO },
                Fixed::Nanosecond
                | Fixed::Nanosecond3
                | Fixed::Nanosecond6
                | Fixed::Nanosecond9 => Span { millis: 1, ..Span::ZERO },
                _ => continue,
            },
            _ => continue,
        };
        if step.approximate_millis() < finest.approximate_millis() {
            finest = step;
        }
    }
    finest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_precision_of_a_format_is_its_finest_part() {
        let cases = [
            ("%Y-%m-%d", "1 day"),
            ("%Y-%m", "1 month"),
            ("%Y-%m-%dT%H:%M:%SZ", "1 second"),
            ("%Y%m%d%H", "1 hour"),
            ("%Y-%m-%dT%H:%M:%S%.3fZ", "1 millisecond"),
            ("rfc3339", "1 second"),
            ("unix_ms", "1 millisecond"),
            ("unix", "1 second"),
        ];
        for (text, precision) in cases {
            let format = TimeFormat::parse(text).expect(text);
            assert_eq!(format.precision().to_string(), precision, "{text}");
        }
        assert!(TimeFormat::parse("yyyy-mm-dd").is_err());
        assert!(TimeFormat::parse("%Q-%!").is_err());
        assert!(TimeFormat::parse("%Y-%m-%dT%H:%M:%S%#z").is_err(), "can be read, not written");
    }

    #[test]
    fn what_is_rendered_is_read_back_in_every_format() {
        let at = DateTime::from_timestamp(1_772_323_200, 0).expect("an instant");
        let zone = chrono_tz::Europe::Berlin;
        for text in ["rfc3339", "unix", "unix_ms", "%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M"] {
            let format = TimeFormat::parse(text).expect(text);
            let rendered = format.render(at, zone);
            assert_eq!(format.read(&rendered, Some(zone)), Some(at), "{text}: {rendered}");
        }
    }

    #[test]
    fn a_local_time_needs_a_zone() {
        assert_eq!(TimeFormat::Rfc3339.read("2026-03-01T00:00:00", None), None);
        let zone = Some(chrono_tz::Europe::Berlin);
        let at = TimeFormat::Rfc3339.read("2026-03-01T00:00:00", zone).expect("an instant");
        assert_eq!(at.to_rfc3339(), "2026-02-28T23:00:00+00:00");
        assert!(TimeFormat::Unix.read("1e5", None).is_none());
        let at = TimeFormat::UnixMillis.read("-1500", None).expect("an instant");
        assert_eq!(at.to_rfc3339(), "1969-12-31T23:59:58.500+00:00");
    }
}

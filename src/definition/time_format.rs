//! How an API writes an instant: the text of a bound, the text in a column.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::local_time::resolve_local;
use super::span::Span;
use super::strftime::{OffsetShown, Pattern, WrittenTime};

/// A way to write an instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// RFC 3339 with the zone's offset.
    Rfc3339,
    /// Seconds since 1970, without leap seconds.
    Unix,
    /// Milliseconds since 1970, without leap seconds.
    UnixMillis,
    /// A strftime pattern, read and written in the zone of its definition.
    Strftime(Pattern),
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
            pattern => Pattern::parse(pattern).map(TimeFormat::Strftime),
        }
    }

    /// The text of an instant, in `zone`.
    pub fn render(&self, at: DateTime<Utc>, zone: Tz) -> String {
        match self {
            TimeFormat::Unix => at.timestamp().to_string(),
            TimeFormat::UnixMillis => at.timestamp_millis().to_string(),
            TimeFormat::Strftime(pattern) => pattern.render(at, zone),
            TimeFormat::Rfc3339 => {
                let form = if at.timestamp_subsec_millis() == 0 {
                    SecondsFormat::Secs
                } else {
                    SecondsFormat::Millis
                };
                at.with_timezone(&zone).to_rfc3339_opts(form, true)
            }
        }
    }

    /// What a text says of a time. `None` when it does not match.
    pub fn read_written(&self, text: &str) -> Option<WrittenTime> {
        match self {
            TimeFormat::Rfc3339 => match DateTime::parse_from_rfc3339(text) {
                Ok(at) => Some(WrittenTime::Instant(at.to_utc())),
                Err(_) => naive_iso(text).map(WrittenTime::Local),
            },
            TimeFormat::Unix => read_epoch(text, 1_000_000_000).map(WrittenTime::Instant),
            TimeFormat::UnixMillis => read_epoch(text, 1_000_000).map(WrittenTime::Instant),
            TimeFormat::Strftime(pattern) => pattern.read(text),
        }
    }

    /// The instant of a text. `None` when it does not match, or names no zone and `zone` is none.
    pub fn read(&self, text: &str, zone: Option<Tz>) -> Option<DateTime<Utc>> {
        match self.read_written(text)? {
            WrittenTime::Instant(at) => Some(at),
            WrittenTime::Local(local) => resolve_local(local, zone?),
        }
    }

    /// The smallest step between two instants that the API is taken to tell apart, where nothing
    /// else is said.
    pub fn precision(&self) -> Span {
        let second = Span { millis: 1000, ..Span::ZERO };
        match self {
            TimeFormat::Rfc3339 | TimeFormat::Unix => second,
            TimeFormat::UnixMillis => Span { millis: 1, ..Span::ZERO },
            TimeFormat::Strftime(pattern) => pattern.precision(),
        }
    }

    /// The smallest step between two instants that the text can show.
    pub fn finest(&self) -> Span {
        match self {
            // The fraction is written where there is one.
            TimeFormat::Rfc3339 => Span { millis: 1, ..Span::ZERO },
            _ => self.precision(),
        }
    }

    /// Whether it shows hours or less, and not at which offset.
    pub fn is_local(&self) -> bool {
        matches!(self, TimeFormat::Strftime(pattern)
            if pattern.shows_hours() && pattern.offset() == OffsetShown::Missing)
    }

    /// Whether letters after the time say that it is in UTC.
    pub fn says_utc(&self) -> bool {
        matches!(self, TimeFormat::Strftime(pattern) if pattern.offset() == OffsetShown::Utc)
    }

    /// Why no text can be read by it, where that is so.
    pub fn fault_of_reading(&self) -> Option<String> {
        match self {
            TimeFormat::Strftime(pattern) => pattern.fault_of_reading(),
            _ => None,
        }
    }

    /// Why no bound can be written by it in `zone`, where that is so.
    pub fn fault_of_bounds(&self, zone: Tz) -> Option<String> {
        match self {
            TimeFormat::Strftime(pattern) => pattern.fault_of_bounds(zone),
            _ => None,
        }
    }
}

/// An ISO 8601 local time without an offset, with `T` or a space between date and time.
fn naive_iso(text: &str) -> Option<NaiveDateTime> {
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|pattern| NaiveDateTime::parse_from_str(text, pattern).ok())
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
        let only_read = TimeFormat::parse("%Y-%m-%dT%H:%M:%S%#z").expect("a format");
        assert!(only_read.fault_of_bounds(Tz::UTC).is_some(), "can be read, not written");
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

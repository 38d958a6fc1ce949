//! The dialect of strftime patterns: every specifier, what it shows, and how fine that is.
//!
//! `docs/formats.md` has the same table; a test compares them.

use std::fmt::Write;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// The smallest difference that a part of a pattern shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fineness {
    /// A billionth of a second.
    Nanosecond,
    /// A millionth of a second.
    Microsecond,
    /// A thousandth of a second.
    Millisecond,
    Second,
    Minute,
    Hour,
    HalfDay,
    Day,
    Week,
    Month,
    /// A quarter of a year.
    Quarter,
    Year,
    Century,
    /// It shows no time.
    Nothing,
}

use Fineness::{
    Century, Day, HalfDay, Hour, Microsecond, Millisecond, Minute, Month, Nanosecond, Nothing,
    Quarter, Second, Week, Year,
};

impl Fineness {
    /// As the documentation writes it.
    pub fn text(self) -> &'static str {
        match self {
            Nanosecond => "1 nanosecond",
            Microsecond => "1 microsecond",
            Millisecond => "1 millisecond",
            Second => "1 second",
            Minute => "1 minute",
            Hour => "1 hour",
            HalfDay => "12 hours",
            Day => "1 day",
            Week => "1 week",
            Month => "1 month",
            Quarter => "3 months",
            Year => "1 year",
            Century => "100 years",
            Nothing => "none",
        }
    }

    /// As a length of time. Windows are counted in milliseconds: nothing is finer.
    fn span(self) -> Span {
        let millis = |millis| Span { millis, ..Span::ZERO };
        let months = |months| Span { months, ..Span::ZERO };
        match self {
            Nanosecond | Microsecond | Millisecond => millis(1),
            Second => millis(1_000),
            Minute => millis(60_000),
            Hour => millis(3_600_000),
            HalfDay => millis(12 * 3_600_000),
            Day => Span { days: 1, ..Span::ZERO },
            Week => Span { days: 7, ..Span::ZERO },
            Month => months(1),
            Quarter => months(3),
            Year => months(12),
            Century | Nothing => months(1_200),
        }
    }
}

/// A specifier that a pattern may hold, such as `%Y`.
pub struct Specifier {
    /// As a pattern has it.
    pub text: &'static str,
    /// The smallest difference that it shows.
    pub fineness: Fineness,
    /// What it shows, in words for messages.
    pub shows: &'static str,
    /// Whether `-`, `_` or `0` may stand after the `%`.
    pads: bool,
}

const fn number(text: &'static str, fineness: Fineness, shows: &'static str) -> Specifier {
    Specifier { text, fineness, shows, pads: true }
}

const fn fixed(text: &'static str, fineness: Fineness, shows: &'static str) -> Specifier {
    Specifier { text, fineness, shows, pads: false }
}

/// The dialect. A specifier that is not here is refused.
pub const SPECIFIERS: [Specifier; 56] = [
    number("%Y", Year, "the year, four digits"),
    number("%C", Century, "the century, two digits"),
    number("%y", Year, "the last two digits of the year: 70 to 99 are 1970 to 1999"),
    number("%q", Quarter, "the quarter, 1 to 4"),
    number("%m", Month, "the month, two digits"),
    fixed("%b", Month, "the month's English name, three letters"),
    fixed("%h", Month, "as `%b`"),
    fixed("%B", Month, "the month's English name"),
    number("%d", Day, "the day of the month, two digits"),
    number("%e", Day, "the day of the month, a space before one digit"),
    number("%j", Day, "the day of the year, three digits"),
    fixed("%a", Day, "the weekday's English name, three letters"),
    fixed("%A", Day, "the weekday's English name"),
    number("%u", Day, "the weekday, Monday is 1 and Sunday is 7"),
    number("%w", Day, "the weekday, Sunday is 0 and Saturday is 6"),
    number("%U", Week, "the week of the year from its first Sunday on"),
    number("%W", Week, "the week of the year from its first Monday on"),
    number("%V", Week, "the week of ISO 8601; belongs to `%G`"),
    number("%G", Year, "the year of the week of ISO 8601"),
    number("%g", Year, "the last two digits of `%G`"),
    fixed("%F", Day, "`%Y-%m-%d`"),
    fixed("%D", Day, "`%m/%d/%y`"),
    fixed("%x", Day, "`%m/%d/%y`"),
    fixed("%v", Day, "`%e-%b-%Y`"),
    number("%H", Hour, "the hour, 00 to 23"),
    number("%k", Hour, "the hour, a space before one digit"),
    number("%I", Hour, "the hour, 01 to 12; belongs to `%p` or `%P`"),
    number("%l", Hour, "as `%I`, a space before one digit"),
    fixed("%p", HalfDay, "`AM` or `PM`"),
    fixed("%P", HalfDay, "`am` or `pm`"),
    number("%M", Minute, "the minute, two digits"),
    number("%S", Second, "the second, two digits"),
    fixed("%R", Minute, "`%H:%M`"),
    fixed("%T", Second, "`%H:%M:%S`"),
    fixed("%X", Second, "`%H:%M:%S`"),
    fixed("%r", Second, "`%I:%M:%S %p`"),
    fixed("%f", Nanosecond, "the fraction, nine digits; after a point any number is read"),
    fixed("%3f", Millisecond, "the fraction of the second, three digits"),
    fixed("%6f", Microsecond, "the fraction of the second, six digits"),
    fixed("%9f", Nanosecond, "the fraction of the second, nine digits"),
    fixed("%.f", Nanosecond, "a point and as many digits as are needed, or nothing"),
    fixed("%.3f", Millisecond, "a point and three digits"),
    fixed("%.6f", Microsecond, "a point and six digits"),
    fixed("%.9f", Nanosecond, "a point and nine digits"),
    number("%s", Second, "seconds since 1970, which say the offset"),
    fixed("%c", Second, "`%a %b %e %H:%M:%S %Y`"),
    fixed("%+", Nanosecond, "`%Y-%m-%dT%H:%M:%S%.f%:z`"),
    fixed("%z", Nothing, "the offset, as `+0200`"),
    fixed("%:z", Nothing, "the offset, as `+02:00`"),
    fixed("%::z", Nothing, "the offset, as `+02:00:00`"),
    fixed("%:::z", Nothing, "the offset, as `+02`; it cannot be read back, and is refused"),
    fixed("%#z", Nothing, "the offset with or without minutes; for reading only"),
    fixed("%Z", Nothing, "the zone's name; passed over in reading, and not for bounds"),
    fixed("%n", Nothing, "a line feed"),
    fixed("%t", Nothing, "a tab"),
    fixed("%%", Nothing, "a percent sign"),
];

/// A strftime pattern of which each specifier is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    /// The pattern by which a text is read.
    reads: String,
    fineness: Fineness,
    offset: OffsetShown,
    /// A specifier that is not for bounds.
    only_read: Option<OnlyRead>,
}

/// How a pattern tells the offset of its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetShown {
    /// The pattern shows no offset.
    Missing,
    /// By a specifier, such as `%z`.
    Written,
    /// By letters after the time, such as `Z`.
    Utc,
}

/// A specifier that is not for bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnlyRead {
    /// `%Z`: a name does not say the offset.
    ZoneName,
    /// `%#z`, which can be read in several forms and written in none.
    AnyOffset,
}

impl OnlyRead {
    fn reason(self) -> &'static str {
        match self {
            OnlyRead::ZoneName => {
                "`%Z` writes the zone's name, which does not say the offset: write `%z` or `%:z`"
            }
            OnlyRead::AnyOffset => "`%#z` is for reading only: write `%z` or `%:z`",
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.text
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Pattern, String> {
        Pattern::parse(&text)
    }
}

/// What a text says of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenTime {
    Instant(DateTime<Utc>),
    Local(NaiveDateTime),
}

/// What may stand right after a time and says that it is in UTC.
const UTC_SUFFIXES: [&str; 6] = ["Z", "UTC", "GMT", "+00:00", "+0000", "+00"];

impl Pattern {
    /// Reads a pattern. Each of its specifiers must be one of [`SPECIFIERS`].
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let mut pattern = Pattern {
            text: text.to_owned(),
            reads: String::new(),
            fineness: Nothing,
            offset: OffsetShown::Missing,
            only_read: None,
        };
        let (mut rest, mut after_time) = (text, false);
        while let Some(at) = rest.find('%') {
            pattern.take_literal(&rest[..at], after_time);
            rest = &rest[at..];
            let (specifier, length) = specifier_of(rest).ok_or_else(|| unknown(rest))?;
            pattern.take(specifier, &rest[..length]);
            after_time = specifier.fineness < Day;
            rest = &rest[length..];
        }
        pattern.take_literal(rest, after_time);
        let refused = StrftimeItems::new(text).any(|item| matches!(item, Item::Error));
        if refused || pattern.fineness == Nothing {
            return Err(format!("`{text}` is not a strftime pattern"));
        }
        Ok(pattern)
    }

    fn take(&mut self, specifier: &Specifier, written: &str) {
        self.fineness = self.fineness.min(specifier.fineness);
        match specifier.text {
            "%z" | "%:z" | "%::z" | "%:::z" | "%+" | "%s" => self.offset = OffsetShown::Written,
            "%#z" => {
                self.offset = OffsetShown::Written;
                self.only_read = Some(OnlyRead::AnyOffset);
            }
            "%Z" => self.only_read = Some(OnlyRead::ZoneName),
            _ => {}
        }
        if specifier.text != "%f" {
            return self.reads.push_str(written);
        }
        // As a number it would be nanoseconds: `.5` is half a second.
        if self.reads.pop_if_point() {
            self.reads.push_str("%.f");
        } else {
            self.reads.push_str("%9f");
        }
    }

    fn take_literal(&mut self, literal: &str, after_time: bool) {
        self.reads.push_str(literal);
        let letters = literal.trim_start();
        let says_utc = UTC_SUFFIXES.iter().any(|suffix| letters.starts_with(suffix));
        if after_time && says_utc && self.offset == OffsetShown::Missing {
            self.offset = OffsetShown::Utc;
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How it tells the offset.
    pub fn offset(&self) -> OffsetShown {
        self.offset
    }

    /// The smallest step between two instants that the text can tell apart.
    pub fn precision(&self) -> Span {
        self.fineness.span()
    }

    /// Whether it shows hours or less.
    pub fn shows_hours(&self) -> bool {
        self.fineness < Day
    }

    /// The text of an instant in `zone`.
    pub fn render(&self, at: DateTime<Utc>, zone: Tz) -> String {
        let mut text = String::new();
        // Only a specifier that is for reading alone cannot be written; bounds have none.
        let _ = write!(text, "{}", at.with_timezone(&zone).format(&self.text));
        text
    }

    /// What a text says; none where it does not match.
    pub fn read(&self, text: &str) -> Option<WrittenTime> {
        if self.offset == OffsetShown::Written {
            let at = DateTime::parse_from_str(text, &self.reads).ok()?;
            return Some(WrittenTime::Instant(at.to_utc()));
        }
        let local = self.read_local(text)?;
        Some(match self.offset {
            OffsetShown::Utc => WrittenTime::Instant(local.and_utc()),
            _ => WrittenTime::Local(local),
        })
    }

    /// A local time of a pattern that may leave out the minute, the time, the day or the month:
    /// the first moment of what it names.
    fn read_local(&self, text: &str) -> Option<NaiveDateTime> {
        let pattern = &self.reads;
        let complete =
            |more: (&str, &str)| (format!("{text}{}", more.1), format!("{pattern}{}", more.0));
        let time = [("", ""), (" %M", " 00")].into_iter().map(complete);
        let mut times =
            time.map(|(text, pattern)| NaiveDateTime::parse_from_str(&text, &pattern).ok());
        if let Some(time) = times.find_map(|time| time) {
            return Some(time);
        }
        // Only a pattern without an hour names a whole day: else 18:00 would be read as midnight.
        if self.shows_hours() {
            return None;
        }
        let date = [("", ""), (" %d", " 01"), (" %m %d", " 01 01")].into_iter().map(complete);
        let mut dates = date.map(|(text, pattern)| NaiveDate::parse_from_str(&text, &pattern).ok());
        dates.find_map(|date| date).map(|date| date.and_time(NaiveTime::MIN))
    }

    /// Why no bound can be written by it in `zone`, where that is so.
    pub fn fault_of_bounds(&self, zone: Tz) -> Option<String> {
        if let Some(why) = self.only_read {
            return Some(why.reason().to_owned());
        }
        SAMPLES.iter().find_map(|sample| self.fault_of_sample(*sample, zone))
    }

    /// Why no text can be read by it, where that is so.
    pub fn fault_of_reading(&self) -> Option<String> {
        let writes = self.only_read != Some(OnlyRead::AnyOffset);
        let mut samples = SAMPLES.iter().filter(|_| writes);
        samples.find_map(|sample| self.fault_of_sample(*sample, Tz::UTC))
    }

    /// A time that is written and read again is the same one, down to what the pattern shows.
    fn fault_of_sample(&self, millis: i64, zone: Tz) -> Option<String> {
        let at = DateTime::from_timestamp_millis(millis)?;
        let text = self.render(at, zone);
        let shown = at.format("%Y-%m-%dT%H:%M:%S%.3fZ");
        let pattern = &self.text;
        let read = match self.read(&text) {
            Some(WrittenTime::Instant(read)) => read.with_timezone(&zone).naive_local(),
            Some(WrittenTime::Local(read)) => read,
            None => {
                return Some(format!(
                    "`{pattern}` cannot be read back: {shown} is written {text:?}, which does not \
                     say the time"
                ));
            }
        };
        let local = at.with_timezone(&zone).naive_local();
        let until = self.precision().after(read.and_utc(), Tz::UTC)?;
        (read > local || until <= local.and_utc()).then(|| {
            format!(
                "`{pattern}` cannot be read back: {shown} is written {text:?}, which reads as \
                 {read}"
            )
        })
    }
}

/// Instants by which a pattern is tried, milliseconds: the last of a leap day; days and months of
/// one digit beside each other; an afternoon; a day whose week is of the next year.
const SAMPLES: [i64; 6] = [
    1_709_251_199_999,
    1_768_093_323_004,
    1_796_130_309_120,
    1_767_009_600_000,
    1_786_974_356_789,
    1_775_001_600_000,
];

/// The specifier at the beginning of `rest`, and its length in bytes.
fn specifier_of(rest: &str) -> Option<(&'static Specifier, usize)> {
    let exact = SPECIFIERS.iter().find(|known| rest.starts_with(known.text));
    if let Some(found) = exact {
        return Some((found, found.text.len()));
    }
    let padding = rest[1..].chars().next().filter(|letter| matches!(letter, '-' | '_' | '0'))?;
    let letter = &rest[1 + padding.len_utf8()..];
    let known = SPECIFIERS.iter().filter(|known| known.pads);
    let found = known.into_iter().find(|known| letter.starts_with(&known.text[1..]))?;
    Some((found, found.text.len() + padding.len_utf8()))
}

fn unknown(rest: &str) -> String {
    let letters: String = rest.chars().take(2).collect();
    format!("`{letters}` is not a specifier; docs/formats.md has all of them")
}

trait PopPoint {
    /// Takes the point from the end, where there is one.
    fn pop_if_point(&mut self) -> bool;
}

impl PopPoint for String {
    fn pop_if_point(&mut self) -> bool {
        let point = self.ends_with('.');
        if point {
            self.pop();
        }
        point
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    const PAGE: &str = include_str!("../../docs/formats.md");

    #[test]
    fn the_documentation_has_each_specifier_with_its_fineness() {
        let table = PAGE.split("| specifier | shows | fineness |\n|---|---|---|\n").nth(1);
        let documented = table.expect("the table").lines().take_while(|line| line.starts_with('|'));
        let documented: Vec<&str> = documented.collect();
        let known = SPECIFIERS
            .iter()
            .map(|it| format!("| `{}` | {} | {} |", it.text, it.shows, it.fineness.text()));
        assert_eq!(documented, known.collect::<Vec<_>>());
    }

    #[test]
    fn every_specifier_of_the_library_is_known() {
        let prefixes = ["", ".", ".3", ".6", ".9", "3", "6", "9", ":", "::", ":::", "#", "E", "O"];
        let letters = ('!'..='~').filter(|letter| !"-_0".contains(*letter));
        for letter in letters {
            for prefix in prefixes {
                let text = format!("%{prefix}{letter}");
                let taken = !StrftimeItems::new(&text).any(|item| matches!(item, Item::Error));
                let known = specifier_of(&text).is_some_and(|(_, length)| length == text.len());
                // `%3` and `%%` followed by anything are other things.
                if taken && !text.starts_with("%%") {
                    assert!(known, "{text}");
                }
            }
        }
    }

    #[test]
    fn each_specifier_shows_its_fineness_and_nothing_finer() {
        // A Monday, the first of a year.
        let base = DateTime::parse_from_rfc3339("2024-01-01T00:00:00Z").expect("an instant");
        let base = base.to_utc();
        for specifier in SPECIFIERS.iter().filter(|it| it.fineness != Nothing) {
            let text = |at: DateTime<Utc>| at.format(specifier.text).to_string();
            let unit = match specifier.fineness {
                Nanosecond => TimeDelta::nanoseconds(1),
                Microsecond => TimeDelta::microseconds(1),
                Century => TimeDelta::days(36_525),
                fineness => fineness.span().after(base, Tz::UTC).expect("in range") - base,
            };
            assert_ne!(text(base), text(base + unit), "{}", specifier.text);
            if specifier.fineness != Nanosecond {
                assert_eq!(text(base), text(base + unit / 2), "{}", specifier.text);
            }
        }
    }

    #[test]
    fn the_precision_of_a_pattern_is_its_finest_specifier() {
        let cases = [
            ("%Y-%m-%d", "1 day"),
            ("%Y-%m", "1 month"),
            ("%Y", "1 year"),
            ("%Y%j", "1 day"),
            ("%G-W%V-%u", "1 day"),
            ("%Y-%m-%dT%H:%M:%SZ", "1 second"),
            ("%Y%m%d%H", "1 hour"),
            ("%F %R", "1 minute"),
            ("%D %T", "1 second"),
            ("%c", "1 second"),
            ("%F %I %p", "1 hour"),
            ("%-d.%-m.%Y %k:%M", "1 minute"),
            ("%e %b %Y %l:%M %P", "1 minute"),
            ("%Y-%m-%dT%H:%M:%S%.3fZ", "1 millisecond"),
            ("%Y-%m-%dT%H:%M:%S.%fZ", "1 millisecond"),
            ("%s.%3f", "1 millisecond"),
            ("%s", "1 second"),
            ("%+", "1 millisecond"),
        ];
        for (text, precision) in cases {
            let pattern = Pattern::parse(text).expect(text);
            assert_eq!(pattern.precision().to_string(), precision, "{text}");
            assert_eq!(pattern.fault_of_bounds(Tz::UTC), None, "{text}");
            assert_eq!(pattern.fault_of_reading(), None, "{text}");
        }
    }

    #[test]
    fn a_pattern_that_does_not_say_the_time_is_no_format_of_a_bound() {
        for text in [
            "%A",
            "%H:%M",
            "%d.%m.",
            "%Y-%m-%d %I:%M",
            "%G-W%V",
            "%Y week %U",
            "%Y-%m-%d %M",
            "%Y-Q%q",
            "%-d%-m%Y",
            "%s%3f",
            "%C-%m-%d",
            "%F %T %Z",
            "%FT%T%#z",
            "%F %T%:::z",
        ] {
            let pattern = Pattern::parse(text).expect(text);
            assert!(pattern.fault_of_bounds(Tz::UTC).is_some(), "{text}");
        }
        for text in ["%Q", "%E", "%Y-%!", "%-T", "%_f", "%", "%.f%", "Z%n"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_fraction_is_read_by_its_digits() {
        let read = |text: &str, pattern: &str| {
            let pattern = Pattern::parse(pattern).expect("a pattern");
            match pattern.read(text) {
                Some(WrittenTime::Local(at)) => at.format("local %H:%M:%S%.f").to_string(),
                Some(WrittenTime::Instant(at)) => at.format("%H:%M:%S%.f").to_string(),
                None => "none".to_owned(),
            }
        };
        let cases = [
            ("2026-01-01 08:00:00.5", "%F %T.%f", "local 08:00:00.500"),
            ("2026-01-01 08:00:00.500000", "%F %T.%f", "local 08:00:00.500"),
            ("2026-01-01 08:00:00,500", "%F %T,%f", "none"),
            ("2026-01-01 08:00:00,500", "%F %T,%3f", "local 08:00:00.500"),
            ("2026-01-01T08:00:00.25Z", "%FT%T%.3fZ", "none"),
            ("2026-01-01T08:00:00.250Z", "%FT%T%.3fZ", "08:00:00.250"),
            ("2026-01-01T08:00:00.25Z", "%FT%T%.fZ", "08:00:00.250"),
            ("2026-01-01T08:00:00 UTC", "%FT%T UTC", "08:00:00"),
            ("2026-01-01T08:00:00+0200", "%FT%T%z", "06:00:00"),
            ("2026-01-01T08:00:00+02", "%FT%T%#z", "06:00:00"),
            ("2026-01-01T08:00:00 CET", "%FT%T %Z", "local 08:00:00"),
            ("1767254400.125", "%s.%3f", "08:00:00.125"),
        ];
        for (text, pattern, expected) in cases {
            assert_eq!(read(text, pattern), expected, "{text} {pattern}");
        }
    }
}

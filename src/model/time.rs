//! Instants and windows.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Timelike, Utc};

/// A point in time, UTC.
pub type Timestamp = DateTime<Utc>;

/// The one way in which windrow writes an instant: RFC 3339, UTC, `+00:00`, as many digits of
/// the second as there are.
///
/// `+` sorts before `.` and before every digit, so these texts sort as the instants do whatever
/// their number of digits; with `Z`, `…00.5Z` would sort before `…00Z`.
pub fn instant_to_text(at: Timestamp) -> String {
    let nanos = at.nanosecond() % 1_000_000_000;
    if nanos == 0 {
        return at.to_rfc3339_opts(SecondsFormat::Secs, false);
    }
    let text = at.to_rfc3339_opts(SecondsFormat::Nanos, false);
    let digits = text.trim_end_matches("+00:00").trim_end_matches('0');
    format!("{digits}+00:00")
}

/// Reads what [`instant_to_text`] wrote, or any RFC 3339 text.
pub fn instant_from_text(text: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// A half-open stretch of time `[start, end)` that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    start: Timestamp,
    end: Timestamp,
}

impl Window {
    /// `None` unless `start` is before `end`.
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Window> {
        (start < end).then_some(Window { start, end })
    }

    /// The first instant inside.
    pub fn start(self) -> Timestamp {
        self.start
    }

    /// The first instant after it.
    pub fn end(self) -> Timestamp {
        self.end
    }

    /// Whether the instant is inside.
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether the two share an instant.
    pub fn overlaps(self, other: Window) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What the two share.
    pub fn intersection(self, other: Window) -> Option<Window> {
        Window::new(self.start.max(other.start), self.end.min(other.end))
    }
}

impl fmt::Display for Window {
    /// `2026-01-01..2026-01-02`, with times only where they are not midnight UTC.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let midnight = |at: Timestamp| at.num_seconds_from_midnight() == 0 && at.nanosecond() == 0;
        if midnight(self.start) && midnight(self.end) {
            return write!(out, "{}..{}", self.start.date_naive(), self.end.date_naive());
        }
        let text = |at: Timestamp| instant_to_text(at).replace("+00:00", "Z");
        write!(out, "{}..{}", text(self.start), text(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Fractions of a second with few and many digits.
    const NANOS: [u32; 6] = [0, 1, 500_000_000, 550_000_000, 120_000, 999_999_999];

    proptest! {
        #[test]
        fn texts_of_instants_sort_as_the_instants_do(
            a in 0_i64..4_000_000_000, b in 0_i64..4_000_000_000,
            c in prop::sample::select(NANOS.to_vec()),
            d in prop::sample::select(NANOS.to_vec()),
            same in any::<bool>(),
        ) {
            let first = DateTime::from_timestamp(a, c).expect("in range");
            let second = DateTime::from_timestamp(if same { a } else { b }, d).expect("in range");
            let texts = (instant_to_text(first), instant_to_text(second));
            prop_assert_eq!(first.cmp(&second), texts.0.cmp(&texts.1));
            prop_assert_eq!(instant_from_text(&texts.0), Some(first));
        }
    }

    #[test]
    fn an_empty_window_does_not_exist() {
        let at = DateTime::from_timestamp(0, 0).expect("in range");
        assert_eq!(Window::new(at, at), None);
        let day = Window::new(at, DateTime::from_timestamp(86_400, 0).expect("in range"));
        assert_eq!(day.map(|day| day.to_string()).as_deref(), Some("1970-01-01..1970-01-02"));
    }
}

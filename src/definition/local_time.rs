//! Local times of a zone: the instant of one, and what to do where there are two or none.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

/// The instants that a local time may mean. Where there are two, `first` goes by the offset before
/// the clocks changed, and `second` by the one after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalTime {
    /// The local time is exactly one instant.
    Once(DateTime<Utc>),
    /// The clocks went back over it.
    Twice {
        /// By the offset before.
        first: DateTime<Utc>,
        /// By the offset after: the later one.
        second: DateTime<Utc>,
    },
    /// The clocks skipped it.
    Never {
        /// By the offset before: after the gap.
        first: DateTime<Utc>,
        /// By the offset after: before the gap.
        second: DateTime<Utc>,
    },
}

/// The instants of a local time. None beyond the calendar.
pub fn local_time(local: NaiveDateTime, zone: Tz) -> Option<LocalTime> {
    let found = zone.from_local_datetime(&local);
    match (found.earliest(), found.latest()) {
        (Some(a), Some(b)) if a != b => {
            let (first, second) = (a.min(b).to_utc(), a.max(b).to_utc());
            Some(LocalTime::Twice { first, second })
        }
        (Some(at), _) => Some(LocalTime::Once(at.to_utc())),
        _ => {
            let after = first_after_gap(local, zone)?;
            let before = after.checked_sub_signed(TimeDelta::seconds(1))?;
            let by = |at: DateTime<Utc>| {
                let offset = zone.offset_from_utc_datetime(&at.naive_utc()).fix();
                local.checked_sub_offset(offset).map(|at| at.and_utc())
            };
            Some(LocalTime::Never { first: by(before)?, second: by(after)? })
        }
    }
}

/// The instant of a local time. In a gap, the first instant after it; of two, the earlier one.
pub fn resolve_local(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&local).earliest() {
        Some(found) => Some(found.to_utc()),
        None => first_after_gap(local, zone),
    }
}

/// The first instant after the gap in which a local time lies.
fn first_after_gap(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    // No zone in the database skips more than a day, and offsets are whole seconds; search for
    // the first local time that exists, then back to the exact edge.
    let mut step = TimeDelta::minutes(15);
    let mut at = local;
    for _ in 0..(24 * 4 + 1) {
        at = at.checked_add_signed(step)?;
        if zone.from_local_datetime(&at).earliest().is_some() {
            break;
        }
    }
    let mut low = at.checked_sub_signed(step)?;
    while step > TimeDelta::seconds(1) {
        step = at.signed_duration_since(low) / 2;
        let middle = low.checked_add_signed(step)?;
        if zone.from_local_datetime(&middle).earliest().is_some() {
            at = middle;
        } else {
            low = middle;
        }
    }
    let edge = at.with_nanosecond(0).unwrap_or(at);
    Some(
        zone.from_local_datetime(&edge)
            .earliest()
            .or(zone.from_local_datetime(&at).earliest())?
            .to_utc(),
    )
}

/// The stretch of instants around `at` whose local times come twice: from the first of them to the
/// first after them. None where the local time of `at` comes once.
pub fn doubled_stretch(at: DateTime<Utc>, zone: Tz) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let local = at.with_timezone(&zone).naive_local();
    let LocalTime::Twice { first, second } = local_time(local, zone)? else { return None };
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    // The clocks went back between the two: search for that second.
    let (mut low, mut high) = (first, second);
    while high - low > TimeDelta::seconds(1) {
        let middle = low + TimeDelta::seconds((high - low).num_seconds() / 2);
        if offset(middle) == offset(first) {
            low = middle;
        } else {
            high = middle;
        }
    }
    let change = high.with_nanosecond(0).unwrap_or(high);
    let length = second - first;
    Some((change.checked_sub_signed(length)?, change.checked_add_signed(length)?))
}

/// Whether the clocks of a zone change after an instant.
pub fn has_clock_changes(zone: Tz, since: DateTime<Utc>) -> bool {
    // A change that is undone within a week is in no zone of the database.
    let week = TimeDelta::days(7);
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let began = offset(since);
    let until = DateTime::from_timestamp(CHANGES_KNOWN_UNTIL, 0).unwrap_or(since);
    let mut at = since;
    while at < until {
        let Some(next) = at.checked_add_signed(week) else { return false };
        at = next;
        if offset(at) != began {
            return true;
        }
    }
    false
}

/// 2037-01-01: up to there the database of zones has the rules that are known today.
const CHANGES_KNOWN_UNTIL: i64 = 2_114_380_800;

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).expect("a test instant").to_utc()
    }

    #[test]
    fn a_local_time_that_the_clocks_skip_is_the_first_one_after_the_gap() {
        let local = instant("2025-03-30T02:30:00Z").naive_utc();
        let found = resolve_local(local, chrono_tz::Europe::Berlin);
        assert_eq!(found, Some(instant("2025-03-30T01:00:00Z")));
        // Samoa skipped the whole of 30 December 2011.
        let local = instant("2011-12-30T00:00:00Z").naive_utc();
        let found = resolve_local(local, chrono_tz::Pacific::Apia);
        assert_eq!(found, Some(instant("2011-12-30T10:00:00Z")));
    }

    #[test]
    fn a_local_time_is_one_instant_or_two_or_none() {
        use chrono_tz::{America, Australia, Europe, Pacific};
        let cases = [
            (Europe::London, "2026-10-25T00:59:59Z", "once 2026-10-24T23:59:59Z"),
            (Europe::London, "2026-10-25T01:00:00Z", "twice 00:00:00 01:00:00"),
            (Europe::London, "2026-10-25T01:59:59Z", "twice 00:59:59 01:59:59"),
            (Europe::London, "2026-10-25T02:00:00Z", "once 2026-10-25T02:00:00Z"),
            (Europe::London, "2026-03-29T01:00:00Z", "never 01:00:00 00:00:00"),
            (America::New_York, "2026-03-08T02:59:59Z", "never 07:59:59 06:59:59"),
            (America::New_York, "2026-03-08T03:00:00Z", "once 2026-03-08T07:00:00Z"),
            (Australia::Lord_Howe, "2026-04-05T01:45:00Z", "twice 14:45:00 15:15:00"),
            (Pacific::Apia, "2011-12-30T12:00:00Z", "never 22:00:00 22:00:00"),
        ];
        for (zone, local, expected) in cases {
            let time = |at: DateTime<Utc>| at.format("%H:%M:%S").to_string();
            let found = match local_time(instant(local).naive_utc(), zone).expect("in range") {
                LocalTime::Once(at) => format!("once {}", at.format("%Y-%m-%dT%H:%M:%SZ")),
                LocalTime::Twice { first, second } => {
                    format!("twice {} {}", time(first), time(second))
                }
                LocalTime::Never { first, second } => {
                    format!("never {} {}", time(first), time(second))
                }
            };
            assert_eq!(found, expected, "{zone} {local}");
        }
    }

    #[test]
    fn the_stretch_that_comes_twice_lies_around_the_change() {
        let berlin = chrono_tz::Europe::Berlin;
        let stretch = Some((instant("2026-10-25T00:00:00Z"), instant("2026-10-25T02:00:00Z")));
        for inside in ["2026-10-25T00:00:00Z", "2026-10-25T00:59:59.999Z", "2026-10-25T01:30:00Z"] {
            assert_eq!(doubled_stretch(instant(inside), berlin), stretch, "{inside}");
        }
        for outside in ["2026-10-24T23:59:59.999Z", "2026-10-25T02:00:00Z", "2026-03-29T01:00:00Z"]
        {
            assert_eq!(doubled_stretch(instant(outside), berlin), None, "{outside}");
        }
    }

    #[test]
    fn the_zones_whose_clocks_change_are_known() {
        let since = instant("2026-01-01T00:00:00Z");
        for zone in [chrono_tz::Europe::Berlin, chrono_tz::America::Santiago] {
            assert!(has_clock_changes(zone, since), "{zone}");
        }
        for zone in [Tz::UTC, chrono_tz::Asia::Kolkata, chrono_tz::Europe::Moscow] {
            assert!(!has_clock_changes(zone, since), "{zone}");
        }
        assert!(has_clock_changes(chrono_tz::Europe::Moscow, instant("2010-01-01T00:00:00Z")));
    }
}

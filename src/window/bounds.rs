//! How a half-open window is written for an API that reads its bounds another way.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike};
use chrono_tz::Tz;

use crate::definition::{Bounds, Span, Start, WindowRules, doubled_stretch, resolve_local};
use crate::model::{Timestamp, Window};

/// The range of a request as texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedRange {
    /// The lower bound, as the API reads it.
    pub start: String,
    /// The upper bound, as the API reads it.
    pub end: String,
}

/// Writes `[start, end)` for the API. An excluded lower bound is one precision step earlier. An
/// included upper bound is one step earlier too, where records have no times in between; else it
/// is the end itself, and a record at the end comes twice.
pub fn render_bounds(asked: Window, rules: &WindowRules) -> Option<AskedRange> {
    let start =
        if lower_is_excluded(rules) { tick_before(asked.start(), rules)? } else { asked.start() };
    let end = if ends_before(rules) { tick_before(asked.end(), rules)? } else { asked.end() };
    let text = |at| rules.format.render(at, rules.zone);
    Some(AskedRange { start: text(start), end: text(end) })
}

fn tick_before(at: Timestamp, rules: &WindowRules) -> Option<Timestamp> {
    rules.precision.before(at, rules.zone)
}

/// Whether a lower bound is written one tick earlier.
pub fn lower_is_excluded(rules: &WindowRules) -> bool {
    matches!(rules.bounds, Bounds::OpenClosed | Bounds::OpenOpen)
}

/// Whether a record at the upper bound is returned.
pub fn upper_is_included(rules: &WindowRules) -> bool {
    matches!(rules.bounds, Bounds::ClosedClosed | Bounds::OpenClosed)
}

/// Whether an upper bound is written one tick earlier.
fn ends_before(rules: &WindowRules) -> bool {
    upper_is_included(rules) && !rules.asks_for_end
}

/// A lower bound that is not in an hour which comes twice and has no offset to tell which: else the
/// last tick before that hour. What comes twice is harmless.
pub fn before_doubled(lower: Timestamp, rules: &WindowRules) -> Timestamp {
    let written = match lower_is_excluded(rules) {
        true => tick_before(lower, rules).unwrap_or(lower),
        false => lower,
    };
    let doubled = rules.format.is_local().then(|| doubled_stretch(written, rules.zone)).flatten();
    doubled.map_or(lower, |(from, _)| {
        floor_to(from - TimeDelta::milliseconds(1), rules.precision, rules.zone)
    })
}

/// An upper bound that is not in an hour which comes twice: else the first tick after that hour.
pub fn after_doubled(upper: Timestamp, rules: &WindowRules) -> Timestamp {
    let back = |at: Timestamp| match ends_before(rules) {
        true => tick_before(at, rules).unwrap_or(at),
        false => at,
    };
    let doubled = |at| rules.format.is_local().then(|| doubled_stretch(at, rules.zone)).flatten();
    let Some((_, to)) = doubled(back(upper)) else { return upper };
    let after = ceil_to(to, rules.precision, rules.zone);
    if doubled(back(after)).is_none() {
        return after;
    }
    rules.precision.after(after, rules.zone).unwrap_or(after)
}

/// The instants whose records the request for `asked` may bring: what comes from outside of
/// `asked` is no fault of the source.
pub fn reach_of(asked: Window, rules: &WindowRules) -> Window {
    let start = match lower_is_excluded(rules) && rules.asks_for_end {
        true => tick_before(asked.start(), rules),
        false => Some(asked.start()),
    };
    // Up to and with the end.
    let comes_twice = upper_is_included(rules) && rules.asks_for_end;
    let after = TimeDelta::milliseconds(i64::from(comes_twice));
    let end = asked.end().checked_add_signed(after);
    start.zip(end).and_then(|(start, end)| Window::new(start, end)).unwrap_or(asked)
}

/// The last tick of `precision` that is not after `at`, on the calendar of `zone`.
pub fn floor_to(at: Timestamp, precision: Span, zone: Tz) -> Timestamp {
    let local = at.with_timezone(&zone).naive_local();
    if let Some(step) = precision.exact_millis() {
        let of_day = i64::from(local.num_seconds_from_midnight()) * 1000
            + i64::from(local.nanosecond() % 1_000_000_000) / 1_000_000;
        let nanos = i64::from(at.timestamp_subsec_nanos() % 1_000_000);
        return at - TimeDelta::milliseconds(of_day % step.max(1)) - TimeDelta::nanoseconds(nanos);
    }
    let date = if precision.months > 0 {
        let months = local.year() * 12 + i32::try_from(local.month0()).unwrap_or(0);
        let step = i32::try_from(precision.months).unwrap_or(1).max(1);
        let first = months.div_euclid(step) * step;
        let month = u32::try_from(first.rem_euclid(12)).unwrap_or(0) + 1;
        NaiveDate::from_ymd_opt(first.div_euclid(12), month, 1)
    } else {
        Some(local.date())
    };
    let midnight = date.and_then(|date| resolve_local(date.and_time(NaiveTime::MIN), zone));
    midnight.unwrap_or(at)
}

/// Where a stream's grid starts: what the definition says, or what was `stored` of "90 days ago"
/// when the stream's table was made. On a tick that the API can tell.
pub fn grid_start(rules: &WindowRules, stored: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let start = match rules.start {
        Start::At(at) => at,
        Start::Ago(span) => {
            return stored.unwrap_or_else(|| {
                let day = Span { days: 1, ..Span::ZERO };
                let ago = span.before(now, rules.zone).unwrap_or(now);
                let midnight = floor_to(ago, day, rules.zone);
                floor_to(midnight, rules.precision, rules.zone)
            });
        }
    };
    floor_to(start, rules.precision, rules.zone)
}

/// The first tick of `precision` that is not before `at`.
pub fn ceil_to(at: Timestamp, precision: Span, zone: Tz) -> Timestamp {
    let floor = floor_to(at, precision, zone);
    if floor == at {
        return at;
    }
    let next = precision.after(floor, zone).unwrap_or(DateTime::<chrono::Utc>::MAX_UTC);
    // A tick that falls into skipped local time lands after the gap; it is still a tick.
    floor_to(next, precision, zone).max(at.min(next))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::definition::{Order, Start, TimeFormat};
    use crate::window::Grid;
    use proptest::prelude::*;

    /// Rules with everything plain but what is given.
    pub fn rules(step: &str, bounds: Bounds, format: &str, zone: Tz) -> WindowRules {
        let format = TimeFormat::parse(format).expect("a format");
        WindowRules {
            field: "at".to_owned(),
            start: Start::At(DateTime::from_timestamp(0, 0).expect("in range")),
            step: Span::parse(step).expect("a step"),
            overlap: Span::ZERO,
            lateness: Span::ZERO,
            refresh: None,
            zone,
            precision: format.precision(),
            asks_for_end: false,
            format,
            bounds,
            ahead: false,
            order: Order::Oldest,
            max_span: None,
        }
    }

    /// How an API of these bounds would judge a tick.
    fn api_returns(rules: &WindowRules, asked: &AskedRange, tick: Timestamp) -> bool {
        let read = |text: &str| rules.format.read(text, Some(rules.zone)).expect("readable");
        let (start, end) = (read(&asked.start), read(&asked.end));
        match rules.bounds {
            Bounds::ClosedOpen => start <= tick && tick < end,
            Bounds::ClosedClosed => start <= tick && tick <= end,
            Bounds::OpenClosed => start < tick && tick <= end,
            Bounds::OpenOpen => start < tick && tick < end,
        }
    }

    const ALL_BOUNDS: [Bounds; 4] =
        [Bounds::ClosedOpen, Bounds::ClosedClosed, Bounds::OpenClosed, Bounds::OpenOpen];

    proptest! {
        #[test]
        fn rendered_windows_cover_every_tick_exactly_once(
            bounds in prop::sample::select(ALL_BOUNDS.to_vec()),
            (step, format) in prop::sample::select(vec![
                ("1 day", "%Y-%m-%d"), ("7 days", "%Y-%m-%d"), ("1 month", "%Y-%m-%d"),
                ("1 month", "%Y-%m"), ("1 hour", "unix"), ("15 minutes", "rfc3339"),
                ("1 hour", "unix_ms"), ("1 day", "rfc3339"), ("6 hours", "%Y-%m-%d %H:00"),
            ]),
            zone in prop::sample::select(vec![
                Tz::UTC, chrono_tz::Europe::Berlin, chrono_tz::America::New_York,
            ]),
            from in 1_700_000_000_i64..1_800_000_000,
            ticks in prop::collection::vec(0_i64..5_000_000, 30),
        ) {
            // A local clock text is ambiguous in the hour that comes twice; days are not.
            let zone = if format.contains("%H") { Tz::UTC } else { zone };
            let rules = rules(step, bounds, format, zone);
            let start = DateTime::from_timestamp(from, 0).expect("in range");
            let start = floor_to(start, rules.precision, zone);
            let grid = Grid::new(start, rules.step, zone);
            let range = Window::new(start, start + TimeDelta::seconds(6_000_000)).expect("a range");
            let cells: Vec<_> = grid.cells(range).collect();
            let asked: Vec<_> =
                cells.iter().map(|cell| render_bounds(*cell, &rules).expect("in range")).collect();
            for offset in ticks {
                let tick = floor_to(start + TimeDelta::seconds(offset), rules.precision, zone);
                let found = asked.iter().filter(|asked| api_returns(&rules, asked, tick)).count();
                prop_assert_eq!(found, 1, "tick {} in {:?}", tick, bounds);
            }
        }

        #[test]
        fn instants_between_the_ticks_come_at_least_once_and_are_expected(
            bounds in prop::sample::select(ALL_BOUNDS.to_vec()),
            (step, format) in prop::sample::select(vec![
                ("1 day", "%Y-%m-%d"), ("1 month", "%Y-%m"), ("1 hour", "unix"),
                ("15 minutes", "rfc3339"), ("1 day", "rfc3339"), ("6 hours", "%Y-%m-%d %H:00"),
            ]),
            from in 1_700_000_000_i64..1_800_000_000,
            instants in prop::collection::vec((0_i64..3_000_000, 0_i64..1_000), 30),
            on_the_edge in any::<bool>(),
        ) {
            let mut rules = rules(step, bounds, format, Tz::UTC);
            rules.asks_for_end = true;
            let start = DateTime::from_timestamp(from, 0).expect("in range");
            let start = floor_to(start, rules.precision, Tz::UTC);
            let grid = Grid::new(start, rules.step, Tz::UTC);
            let range = Window::new(start, start + TimeDelta::seconds(6_000_000)).expect("a range");
            let cells: Vec<_> = grid.cells(range).collect();
            for (seconds, millis) in instants {
                let at = start + TimeDelta::seconds(seconds) + TimeDelta::milliseconds(millis);
                let cell = grid.cell_at(at).expect("a cell");
                let at = if on_the_edge { cell.start() } else { at };
                let found: Vec<_> = cells.iter().filter(|cell| {
                    api_returns(&rules, &render_bounds(**cell, &rules).expect("in range"), at)
                }).collect();
                prop_assert!(!found.is_empty(), "{} in {:?}", at, bounds);
                prop_assert!(bounds != Bounds::ClosedOpen || found.len() == 1, "{} twice", at);
                for cell in found {
                    prop_assert!(reach_of(*cell, &rules).contains(at), "{} from {}", at, cell);
                }
            }
        }

        #[test]
        fn floor_and_ceiling_enclose_an_instant_by_at_most_one_tick(
            seconds in 1_000_000_000_i64..2_000_000_000,
            millis in 0_u32..1000,
            precision in prop::sample::select(vec![
                "1 day", "1 month", "1 second", "1 ms", "15 minutes", "1 hour", "3 months",
            ]),
            zone in prop::sample::select(vec![
                Tz::UTC, chrono_tz::Europe::Berlin, chrono_tz::Asia::Kathmandu,
            ]),
        ) {
            let at = DateTime::from_timestamp(seconds, millis * 1_000_000).expect("in range");
            let precision = Span::parse(precision).expect("a precision");
            let (floor, ceil) = (floor_to(at, precision, zone), ceil_to(at, precision, zone));
            prop_assert!(floor <= at && at <= ceil);
            prop_assert_eq!(floor_to(floor, precision, zone), floor);
            prop_assert_eq!(ceil_to(ceil, precision, zone), ceil);
            prop_assert!(ceil <= precision.after(floor, zone).expect("in range"));
        }
    }
}

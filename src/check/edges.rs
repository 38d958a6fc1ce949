//! Edges of windows at which records are always missing: the API means a bound in another way than
//! the definition says.
//!
//! A tick is compared with the five before it and the five after it, in every window. In a stream
//! whose records do not know where windows begin, each of the eleven ticks is as likely to be the
//! empty one as any other: where `held` of them hold records, this one is empty by chance with
//! `1 - held / 11`. The product over all windows is the chance of the whole picture, and only one
//! below [`CHANCE_MAX`] is told. All ten neighbours must hold records in a quarter of these
//! windows: a source with a rhythm of its own (each second minute, office hours) is
//! silent at some of them.
//! Records at random times hold no exact tick, or all alike.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::check::evidence::sql_of_times;
use crate::check::help_commands::HelpCommands;
use crate::definition::{Bounds, Severity, Span, WindowRules};
use crate::model::numbers::many;
use crate::model::{Error, Timestamp, Window, instant_from_text, instant_to_text};
use crate::store::Reader;

use super::finding::{Collector, Finding, identity};

/// Ticks before and after the one that is judged.
const NEIGHBOURS: i64 = 5;
/// Ticks that are compared.
const GROUP: i64 = 2 * NEIGHBOURS + 1;
const GROUP_SIZE: f64 = 11.0;
/// Of so many honest streams one would be told of: five windows with records at all neighbours.
const CHANCE_MAX: f64 = 1e-5;
/// The part of the windows in which each neighbour must hold records.
const HELD_PART: usize = 4;
/// Steps at which records may stand exactly, milliseconds: a day, six hours, one, a quarter, five
/// minutes, one, a second.
const EXACT_TICKS: [i64; 7] = [86_400_000, 21_600_000, 3_600_000, 900_000, 300_000, 60_000, 1_000];

/// Which records a tick holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Those between it and the next one; the judged tick is the last before an edge.
    Between,
    /// Those that stand exactly at it; the judged tick is an edge.
    Exact,
}

/// The ticks around the edges of windows.
#[derive(Clone, Debug)]
struct Ticks {
    holds: Holds,
    nanos: i64,
    /// Edges in their order, nanoseconds.
    edges: Vec<i64>,
    /// For each edge, which of the ticks around it hold records: bit 5 is the judged one.
    held: Vec<u16>,
}

impl Ticks {
    /// None where a window has not room for the ticks, so that groups would overlap.
    fn new(holds: Holds, tick_ms: i64, windows: &[Window], edges: &[Timestamp]) -> Option<Self> {
        let least = windows.iter().map(|window| window.end() - window.start()).min()?;
        let fits = tick_ms > 0 && least >= TimeDelta::milliseconds(tick_ms.checked_mul(GROUP)?);
        let edges: Option<Vec<i64>> = edges.iter().map(Timestamp::timestamp_nanos_opt).collect();
        let edges = edges.filter(|edges| fits && !edges.is_empty())?;
        let held = vec![0; edges.len()];
        Some(Self { holds, nanos: tick_ms * 1_000_000, edges, held })
    }

    fn take(&mut self, at: i64) {
        // The first edge whose ticks may reach so far.
        let index = self.edges.partition_point(|edge| edge + NEIGHBOURS * self.nanos < at);
        let Some(edge) = self.edges.get(index) else { return };
        let from = at - edge;
        let exact = from.rem_euclid(self.nanos) == 0;
        let tick = from.div_euclid(self.nanos);
        let place = match self.holds {
            Holds::Between if !exact => tick + NEIGHBOURS + 1,
            Holds::Exact if exact => tick + NEIGHBOURS,
            _ => return,
        };
        if (0..GROUP).contains(&place) {
            self.held[index] |= 1 << place;
        }
    }

    /// In how many windows the judged tick is empty and its neighbours are not, where that is no
    /// chance.
    fn missing(&self) -> Option<u64> {
        let judged = 1 << NEIGHBOURS;
        let groups: Vec<u16> = self.held.iter().copied().filter(|held| *held != 0).collect();
        if groups.iter().any(|held| held & judged != 0) {
            return None;
        }
        let neighbours = (0..GROUP).filter(|place| *place != NEIGHBOURS);
        let all_held = |place: i64| {
            let times = groups.iter().filter(|held| *held & (1 << place) != 0).count();
            times * HELD_PART >= groups.len() && times > 0
        };
        if !neighbours.into_iter().all(all_held) {
            return None;
        }
        let chance: f64 =
            groups.iter().map(|held| 1.0 - f64::from(held.count_ones()) / GROUP_SIZE).product();
        (chance < CHANCE_MAX).then_some(groups.len() as u64)
    }
}

/// What a stream's edges are judged by.
pub struct EdgeRules<'a> {
    /// Its name and its table's.
    pub stream: &'a str,
    /// The grid of the stream's windows.
    pub window: &'a WindowRules,
    /// The windows that were read to their ends.
    pub complete: &'a BTreeSet<Window>,
    pub help_commands: &'a HelpCommands,
}

/// Looks for ticks at the edges of windows at which records are missing.
pub fn check_edges(
    reader: &Reader,
    rules: &EdgeRules<'_>,
    collector: &mut Collector,
) -> Result<(), Error> {
    let windows: Vec<Window> = rules.complete.iter().copied().collect();
    let mut last_tick = last_ticks(rules.window, &windows);
    let mut starts = start_ticks(rules.window, &windows);
    if last_tick.is_none() && starts.is_empty() {
        return Ok(());
    }
    reader.dates(rules.stream, &rules.window.field, &mut |date| {
        let at = instant_from_text(date).and_then(|at| at.timestamp_nanos_opt());
        if let Some(at) = at {
            last_tick.iter_mut().chain(&mut starts).for_each(|ticks| ticks.take(at));
        }
    })?;
    if let Some(ticks) = last_tick {
        let times = ticks.missing();
        times.into_iter().for_each(|times| collector.add(last_tick_finding(rules, &ticks, times)));
    }
    let found = starts.iter().find_map(|ticks| Some((ticks, ticks.missing()?)));
    if let Some((ticks, times)) = found {
        collector.add(start_finding(rules, ticks, times));
    }
    Ok(())
}

/// Where an included upper bound is written one precision before the end of its window.
fn last_ticks(rules: &WindowRules, windows: &[Window]) -> Option<Ticks> {
    let included = matches!(rules.bounds, Bounds::ClosedClosed | Bounds::OpenClosed);
    if !included || rules.asks_for_end || !rules.overlap.is_zero() {
        return None;
    }
    let ends: Vec<Timestamp> = windows.iter().map(|window| window.end()).collect();
    Ticks::new(Holds::Between, rules.precision.exact_millis()?, windows, &ends)
}

/// Starts of windows, but for the first one, which nothing lies before.
fn start_ticks(rules: &WindowRules, windows: &[Window]) -> Vec<Ticks> {
    if !rules.overlap.is_zero() {
        return Vec::new();
    }
    let starts: Vec<Timestamp> = windows.iter().skip(1).map(|window| window.start()).collect();
    let ticks = EXACT_TICKS.iter();
    ticks.filter_map(|tick| Ticks::new(Holds::Exact, *tick, windows, &starts)).collect()
}

fn last_tick_finding(rules: &EdgeRules<'_>, ticks: &Ticks, times: u64) -> Finding {
    let precision = rules.window.precision;
    Finding {
        expected: format!("records in the last {precision} of a window as in the others"),
        found: format!(
            "{} with records in each {precision} before and after it, and never one in it: the \
             API seems to compare more finely than `precision`",
            many(times, "window")
        ),
        first: Some(format!(
            "take `precision` out of the `window` of `{}`, or give a finer one with a `format` \
             that shows it",
            rules.stream
        )),
        ..finding("last_tick", rules, ticks)
    }
}

fn start_finding(rules: &EdgeRules<'_>, ticks: &Ticks, times: u64) -> Finding {
    let tick = Span { millis: ticks.nanos / 1_000_000, ..Span::ZERO };
    Finding {
        expected: format!("records at the start of a window as at each {tick} around it"),
        found: format!(
            "{} with records at each {tick} before and after the start, and never one at it: the \
             API seems to compare bounds as texts, or to leave the lower bound out",
            many(times, "window")
        ),
        first: Some(format!(
            "in the `window` of `{}`, write a `format` that shows what the records show (their \
             fraction, their `Z` or `+00:00`), or set an `overlap`",
            rules.stream
        )),
        ..finding("window_start", rules, ticks)
    }
}

/// What both findings share, with the times around the last edge.
fn finding(check: &'static str, rules: &EdgeRules<'_>, ticks: &Ticks) -> Finding {
    let around = |ticks_away: i64| {
        let edge = ticks.edges.last().copied().unwrap_or_default();
        Timestamp::from_timestamp_nanos(edge + ticks_away * ticks.nanos)
    };
    let (from, to) = (around(-NEIGHBOURS - 1), around(NEIGHBOURS + 1));
    let first = rules.complete.first().map_or(from, |window| window.start());
    let last = rules.complete.last().map_or(to, |window| window.end());
    let field = rules.window.field.as_str();
    Finding {
        id: identity(&[check, rules.stream]),
        check,
        severity: Severity::Warning,
        stream: rules.stream.to_owned(),
        expected: String::new(),
        found: String::new(),
        sql: sql_of_times(rules.stream, field, &instant_to_text(from), &instant_to_text(to)),
        help: rules.help_commands.sync(rules.stream, rules.window.zone, first, last),
        first: None,
        until: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 86_400;

    fn at(seconds: i64, millis: i64) -> Timestamp {
        Timestamp::from_timestamp_millis(seconds * 1000 + millis).expect("in range")
    }

    fn days(count: i64) -> Vec<Window> {
        let window = |day| Window::new(at(day * DAY, 0), at((day + 1) * DAY, 0));
        (0..count).filter_map(window).collect()
    }

    /// What is missing at the ends (`Between`) or starts of so many days.
    fn missing(holds: Holds, tick: i64, count: i64, times: &[Timestamp]) -> Option<u64> {
        let windows = days(count);
        let edges: Vec<Timestamp> = match holds {
            Holds::Between => windows.iter().map(|window| window.end()).collect(),
            Holds::Exact => windows.iter().skip(1).map(|window| window.start()).collect(),
        };
        let mut ticks = Ticks::new(holds, tick, &windows, &edges).expect("room");
        times.iter().for_each(|at| ticks.take(at.timestamp_nanos_opt().expect("in range")));
        ticks.missing()
    }

    /// Each second around the ends of these days but those that `lost` names.
    fn around(count: i64, step: i64, lost: impl Fn(i64) -> bool) -> Vec<Timestamp> {
        let all = (1..=count).flat_map(|day| (-30..30).map(move |tick| (day, tick * step)));
        let kept = all.filter(|(_, second)| !lost(*second));
        kept.map(|(day, second)| at(day * DAY + second, 400)).collect()
    }

    #[test]
    fn a_last_second_that_is_always_empty_is_told_and_a_rhythm_is_not() {
        let lost = |second| second == -1;
        assert_eq!(missing(Holds::Between, 1_000, 8, &around(8, 1, lost)), Some(8));
        assert_eq!(missing(Holds::Between, 1_000, 4, &around(4, 1, lost)), None, "too few");
        assert_eq!(missing(Holds::Between, 1_000, 8, &around(8, 1, |_| false)), None);
        // Each second second; a shop that closes an hour before midnight and opens at eight.
        assert_eq!(missing(Holds::Between, 1_000, 60, &around(60, 2, |_| false)), None);
        let closed = |second: i64| (-3600..8 * 3600).contains(&second);
        assert_eq!(missing(Holds::Between, 3_600_000, 60, &around(60, 3_600, closed)), None);
    }

    #[test]
    fn a_start_at_which_nothing_ever_stands_is_told() {
        let hours = |lost: i64| -> Vec<Timestamp> {
            let all = (0..24 * 9).filter(|hour| hour % 24 != lost);
            all.map(|hour| at(hour * 3600, 0)).collect()
        };
        assert_eq!(missing(Holds::Exact, 3_600_000, 9, &hours(0)), Some(8));
        assert_eq!(missing(Holds::Exact, 3_600_000, 9, &hours(1)), None);
        assert_eq!(missing(Holds::Exact, 3_600_000, 9, &hours(99)), None);
    }

    proptest! {
        #[test]
        fn records_at_random_times_are_never_told_of(
            times in prop::collection::vec(0_i64..20 * DAY, 0..4_000),
            by_minute in any::<bool>(),
            millis in 0_i64..1000,
        ) {
            let unit = if by_minute { 60 } else { 1 };
            let times: Vec<Timestamp> =
                times.into_iter().map(|second| at(second / unit * unit, millis)).collect();
            for tick in [1_000, 60_000, 3_600_000] {
                for holds in [Holds::Between, Holds::Exact] {
                    prop_assert_eq!(missing(holds, tick, 20, &times), None);
                }
            }
        }
    }
}

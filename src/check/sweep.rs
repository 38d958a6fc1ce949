//! Rows of the archive against what the source gave, window by window, and how late records came:
//! one pass over the dates of a table beside its ledger. Pure.

use std::collections::BTreeMap;

use chrono::{NaiveTime, TimeDelta};
use chrono_tz::Tz;

use crate::check::facts::Arrivals;
use crate::definition::{Span, resolve_local};
use crate::model::{Timestamp, Window, instant_from_text, instant_to_text};
use crate::store::LedgerRow;

/// How the dates of a table stand in it.
#[derive(Clone, Copy, Debug)]
pub struct Dates {
    /// Whether they are dates and not timestamps.
    pub whole_days: bool,
    /// Whose days they are.
    pub zone: Tz,
}

impl Dates {
    /// The first text that is not before an instant: texts of a column sort as what they mean, and
    /// a date stands for its midnight.
    pub fn edge(self, at: Timestamp) -> String {
        if !self.whole_days {
            return instant_to_text(at);
        }
        let local = at.with_timezone(&self.zone).naive_local();
        let next = local.time() > NaiveTime::MIN && !self.is_first_of_day(at);
        let date = if next { local.date().succ_opt() } else { Some(local.date()) };
        date.unwrap_or(local.date()).to_string()
    }

    /// Where the clocks skip midnight, a day begins later.
    fn is_first_of_day(self, at: Timestamp) -> bool {
        let date = at.with_timezone(&self.zone).date_naive();
        resolve_local(date.and_time(NaiveTime::MIN), self.zone) == Some(at)
    }
}

/// A complete window and the rows that lie in it.
#[derive(Clone, Debug)]
pub struct Counted {
    pub window: Window,
    /// What the ledger says of it.
    pub fact: LedgerRow,
    /// Where the dates of the window begin, as the column has them.
    pub from: String,
    /// The first date after them.
    pub to: String,
    /// Where the dates begin that the last fetch asked for.
    pub asked_from: String,
    /// The first date after those that it may have brought.
    pub asked_to: String,
    /// Up to where the fetch is sure to have asked.
    read_to: String,
    /// Rows that the range holds which was asked for, without those that are gone.
    pub rows: u64,
    /// Those that are gone.
    pub gone: u64,
    /// Those of them that were there when it was read.
    pub rows_then: u64,
}

/// How late records came, of which it is known: they were not there when their window had been
/// read to its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lateness {
    /// Records by hours after the end of their window, rounded up.
    hours: BTreeMap<i64, u64>,
    /// How many came after their window was settled, by the lateness that is declared, and were
    /// the last that came there: a window that was read once more since is mended.
    pub missed: u64,
    /// From the first to the last window of those.
    pub missed_in: Option<Window>,
    /// The window of the latest of those, or else of the latest of all, and the time after which
    /// it came.
    pub worst: Option<(Window, String)>,
    worst_rank: (bool, i64),
}

impl Lateness {
    /// How many records came late.
    pub fn records(&self) -> u64 {
        self.hours.values().sum()
    }

    /// The lateness that would have caught 999 of 1,000 of them.
    pub fn would_catch(&self) -> TimeDelta {
        let all = self.records();
        let mut seen = 0;
        for (hours, count) in &self.hours {
            seen += count;
            if seen * 1000 >= all * 999 {
                return TimeDelta::hours(*hours);
            }
        }
        TimeDelta::zero()
    }
}

impl Lateness {
    /// Takes rows of a window that were first seen at some time. `until` is when the window is
    /// settled by the lateness that is declared.
    fn note(&mut self, window: &Counted, seen: &str, rows: u64, until: Option<Timestamp>) {
        let first_complete_at = window.fact.first_complete_at.as_deref();
        if first_complete_at.is_none_or(|first_complete_at| seen <= first_complete_at) {
            return;
        }
        let Some(at) = instant_from_text(seen) else { return };
        let late = (at - window.window.end()).max(TimeDelta::zero());
        let hours = (late.num_seconds() + 3599) / 3600;
        *self.hours.entry(hours).or_default() += rows;
        // Settled by a shorter lateness than is declared now: that has been mended already.
        let is_read_since = window.fact.requested_at.as_str() > seen;
        let settled = window.fact.settled_at.as_deref().filter(|settled| {
            !is_read_since
                && seen > *settled
                && instant_from_text(settled).zip(until).is_some_and(|(at, to)| at >= to)
        });
        if settled.is_some() {
            self.missed += rows;
            let so_far = self.missed_in.unwrap_or(window.window);
            let start = so_far.start().min(window.window.start());
            self.missed_in = Window::new(start, so_far.end().max(window.window.end()));
        }
        let rank = (settled.is_some(), hours);
        if self.worst.is_none() || rank > self.worst_rank {
            self.worst =
                settled.or(first_complete_at).map(|after| (window.window, after.to_owned()));
            self.worst_rank = rank;
        }
    }
}

/// A length of time as a definition writes it, rounded up.
pub fn as_span(delta: TimeDelta) -> Span {
    let hours = delta.num_hours().max(1);
    let days = (hours + 23) / 24;
    match hours {
        ..24 => Span { millis: hours * 3_600_000, ..Span::ZERO },
        _ => Span { days: u32::try_from(days).unwrap_or(u32::MAX), ..Span::ZERO },
    }
}

/// Takes the dates of a table in their order.
pub struct Sweep {
    windows: Vec<Counted>,
    head: usize,
    lateness: Lateness,
    declared: Span,
    zone: Tz,
    since: String,
}

impl Sweep {
    /// A sweep over the complete windows among these rows of the ledger, oldest first.
    /// `reach` tells the instants whose records a request for a range may bring.
    pub fn new(
        facts: Vec<LedgerRow>,
        dates: Dates,
        declared: Span,
        since: &str,
        reach: &dyn Fn(Window) -> Window,
    ) -> Self {
        let complete = facts.into_iter().filter_map(|fact| {
            let start = instant_from_text(&fact.start_at)?;
            let window = Window::new(start, instant_from_text(&fact.end_at)?)?;
            let read_to = fact.read_to.as_deref().and_then(instant_from_text)?;
            let asked = fact.asked_from.as_deref().and_then(instant_from_text);
            let complete = matches!(fact.state.as_str(), "complete" | "settled");
            let asked = Window::new(asked.unwrap_or(start).min(start), window.end())?;
            let reach = reach(asked);
            complete.then(|| Counted {
                window,
                from: dates.edge(start),
                to: dates.edge(window.end()),
                asked_from: dates.edge(reach.start()),
                asked_to: dates.edge(reach.end()),
                read_to: dates.edge(read_to.min(window.end())),
                fact,
                rows: 0,
                gone: 0,
                rows_then: 0,
            })
        });
        Self {
            windows: complete.collect(),
            head: 0,
            lateness: Lateness::default(),
            declared,
            zone: dates.zone,
            since: since.to_owned(),
        }
    }

    /// Takes the rows of one date that first came at one time.
    pub fn take(&mut self, arrivals: &Arrivals) {
        let Arrivals { date, first_seen_at: seen, rows, gone } = arrivals;
        let (date, seen, rows, gone) = (date.as_str(), seen.as_str(), *rows, *gone);
        while self.windows.get(self.head).is_some_and(|window| window.asked_to.as_str() <= date) {
            self.head += 1;
        }
        for window in &mut self.windows[self.head..] {
            if window.asked_from.as_str() > date {
                break;
            }
            if date >= window.asked_to.as_str() {
                continue;
            }
            window.rows += rows - gone;
            window.gone += gone;
            let then = window.fact.completed_at.as_deref().is_some_and(|at| seen <= at);
            if then && date < window.read_to.as_str() {
                window.rows_then += rows - gone;
            }
            let own = window.from.as_str() <= date && date < window.to.as_str();
            if own && seen >= self.since.as_str() {
                let until = self.declared.after(window.window.end(), self.zone);
                self.lateness.note(window, seen, rows, until);
            }
        }
    }

    /// The windows with their rows, and how late records came.
    pub fn done(self) -> (Vec<Counted>, Lateness) {
        (self.windows, self.lateness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::State;

    fn at(text: &str) -> Timestamp {
        instant_from_text(text).expect("an instant")
    }

    fn arrivals(date: &str, seen: &str, rows: u64) -> Arrivals {
        Arrivals { date: date.to_owned(), first_seen_at: seen.to_owned(), rows, gone: 0 }
    }

    const DAYS: Dates = Dates { whole_days: true, zone: Tz::UTC };

    fn fact(day: u32, completed: &str) -> LedgerRow {
        LedgerRow {
            start_at: format!("2026-01-{day:02}T00:00:00+00:00"),
            end_at: format!("2026-01-{:02}T00:00:00+00:00", day + 1),
            read_to: Some(format!("2026-01-{:02}T00:00:00+00:00", day + 1)),
            completed_at: Some(completed.to_owned()),
            first_complete_at: Some(completed.to_owned()),
            settled_at: Some(completed.to_owned()),
            ..LedgerRow::plain(State::Settled)
        }
    }

    #[test]
    fn a_date_stands_for_its_midnight_in_its_zone() {
        let berlin = Dates { whole_days: true, zone: chrono_tz::Europe::Berlin };
        assert_eq!(DAYS.edge(at("2026-01-02T00:00:00Z")), "2026-01-02");
        assert_eq!(DAYS.edge(at("2026-01-02T00:00:01Z")), "2026-01-03");
        assert_eq!(berlin.edge(at("2026-01-01T23:00:00Z")), "2026-01-02");
        // In Sao Paulo 15 October 2017 began at one o'clock.
        let paulo = Dates { whole_days: true, zone: chrono_tz::America::Sao_Paulo };
        assert_eq!(paulo.edge(at("2017-10-15T03:00:00Z")), "2017-10-15");
        let exact = Dates { whole_days: false, zone: Tz::UTC };
        assert_eq!(exact.edge(at("2026-01-02T00:00:01Z")), "2026-01-02T00:00:01+00:00");
    }

    #[test]
    fn rows_are_counted_in_each_range_that_was_asked_for() {
        let mut second = fact(2, "2026-01-05T00:00:00+00:00");
        second.asked_from = Some("2026-01-01T00:00:00+00:00".to_owned());
        let facts = vec![fact(1, "2026-01-05T00:00:00+00:00"), second];
        let mut sweep = Sweep::new(facts, DAYS, Span::ZERO, "", &|asked| asked);
        for (date, seen, rows) in [
            ("2025-12-31", "2026-01-04", 9),
            ("2026-01-01", "2026-01-04T00:00:00+00:00", 3),
            ("2026-01-01", "2026-01-06T00:00:00+00:00", 1),
            ("2026-01-02", "2026-01-04T00:00:00+00:00", 5),
            ("2026-01-03", "2026-01-04T00:00:00+00:00", 7),
        ] {
            sweep.take(&arrivals(date, seen, rows));
        }
        let (windows, lateness) = sweep.done();
        let counts: Vec<_> = windows.iter().map(|it| (it.rows, it.rows_then)).collect();
        assert_eq!(counts, [(4, 3), (9, 8)]);
        assert_eq!((lateness.records(), lateness.missed), (1, 1));
        assert_eq!(lateness.would_catch(), TimeDelta::days(4));
    }

    #[test]
    fn what_a_longer_lateness_caught_is_no_alarm() {
        let declared = Span::parse("10 days").expect("a span");
        let mut sweep =
            Sweep::new(vec![fact(1, "2026-01-05T00:00:00+00:00")], DAYS, declared, "", &|asked| {
                asked
            });
        sweep.take(&arrivals("2026-01-01", "2026-01-06T00:00:00+00:00", 1));
        assert_eq!(sweep.done().1.missed, 0, "settled by a lateness that was shorter");
    }

    #[test]
    fn a_window_that_was_read_once_more_since_is_mended() {
        let read_at = |day: u32, at: &str| LedgerRow {
            requested_at: at.to_owned(),
            ..fact(day, "2026-01-05T00:00:00+00:00")
        };
        let came = "2026-01-06T00:00:00+00:00";
        let missed = |facts: Vec<LedgerRow>| {
            let mut sweep = Sweep::new(facts, DAYS, Span::ZERO, "", &|asked| asked);
            for day in ["2026-01-01", "2026-01-02", "2026-01-03"] {
                sweep.take(&arrivals(day, came, 1));
            }
            let lateness = sweep.done().1;
            (lateness.records(), lateness.missed, lateness.missed_in.map(|it| it.to_string()))
        };
        let all = missed((1..=3).map(|day| read_at(day, came)).collect());
        assert_eq!(all, (3, 3, Some("2026-01-01..2026-01-04".to_owned())));
        let (by, after) = (came, "2026-01-06T00:00:01+00:00");
        let one = missed(vec![read_at(1, after), read_at(2, by), read_at(3, after)]);
        assert_eq!(one, (3, 1, Some("2026-01-02..2026-01-03".to_owned())));
        let none = missed((1..=3).map(|day| read_at(day, after)).collect());
        assert_eq!(none, (3, 0, None));
    }

    #[test]
    fn the_lateness_that_catches_nearly_all_leaves_the_one_in_a_thousand_out() {
        let mut lateness = Lateness::default();
        lateness.hours.extend([(5, 9_990), (48, 9), (2_000, 1)]);
        assert_eq!(lateness.would_catch(), TimeDelta::hours(5));
        lateness.hours.insert(5, 9_000);
        assert_eq!(lateness.would_catch(), TimeDelta::hours(48));
        assert_eq!(as_span(TimeDelta::hours(48)).to_string(), "2 days");
        assert_eq!(as_span(TimeDelta::hours(49)).to_string(), "3 days");
        assert_eq!(as_span(TimeDelta::hours(5)).to_string(), "5 hours");
    }
}

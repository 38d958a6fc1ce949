//! The grid: where one window ends and the next begins, on the calendar of a zone.

use chrono_tz::Tz;

use crate::definition::Span;
use crate::model::{Timestamp, Window};

/// Cells of one step each, from a start on.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    start: Timestamp,
    step: Span,
    zone: Tz,
}

impl Grid {
    /// A grid; `step` is longer than nothing.
    pub fn new(start: Timestamp, step: Span, zone: Tz) -> Self {
        Self { start, step, zone }
    }

    /// Boundary number `n`: `n` steps after the start, counted from the start and not from the
    /// boundary before, so that 31 January plus two months is 31 March.
    pub fn boundary(&self, n: i64) -> Option<Timestamp> {
        self.step.add_times(self.start, self.zone, n)
    }

    /// The number of the cell that holds `at`; none before the start or beyond the calendar.
    pub fn cell_number(&self, at: Timestamp) -> Option<i64> {
        if at < self.start {
            return None;
        }
        let elapsed = at.signed_duration_since(self.start).num_milliseconds();
        let mut n = (elapsed / self.step.approximate_millis().max(1)).max(0);
        while n > 0 && self.boundary(n).is_none_or(|edge| edge > at) {
            n -= 1 + n / 64;
        }
        n = n.max(0);
        while self.boundary(n + 1)? <= at {
            n += 1;
        }
        Some(n)
    }

    /// The cell that holds `at`.
    pub fn cell_at(&self, at: Timestamp) -> Option<Window> {
        let n = self.cell_number(at)?;
        Window::new(self.boundary(n)?, self.boundary(n + 1)?)
    }

    /// The cells that overlap `range`, oldest first.
    pub fn cells(self, range: Window) -> impl Iterator<Item = Window> {
        let first = self.cell_number(range.start().max(self.start));
        let numbers = first.into_iter().flat_map(|n| n..);
        numbers
            .map_while(move |n| Some((self.boundary(n)?, self.boundary(n + 1)?)))
            .take_while(move |(start, _)| *start < range.end())
            // Clocks that skip a whole day leave an empty cell: there is no such day to ask for.
            .filter_map(|(start, end)| Window::new(start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        DateTime::parse_from_rfc3339(text).expect("a test instant").with_timezone(&Utc)
    }

    fn grid(start: &str, step: &str, zone: Tz) -> Grid {
        Grid::new(at(start), Span::parse(step).expect("a test step"), zone)
    }

    #[test]
    fn months_are_months_and_days_are_days() {
        let berlin = chrono_tz::Europe::Berlin;
        let cases = [
            (
                "2025-01-01T00:00:00Z",
                "1 month",
                Tz::UTC,
                "2025-02-28T23:59:59Z",
                "2025-02-01..2025-03-01",
            ),
            (
                "2025-01-01T00:00:00Z",
                "1 day",
                Tz::UTC,
                "2025-12-31T12:00:00Z",
                "2025-12-31..2026-01-01",
            ),
            (
                "2024-12-31T23:00:00Z",
                "1 day",
                berlin,
                "2025-03-30T12:00:00Z",
                "2025-03-29T23:00:00Z..2025-03-30T22:00:00Z",
            ),
            (
                "2025-01-31T00:00:00Z",
                "1 month",
                Tz::UTC,
                "2025-03-30T00:00:00Z",
                "2025-02-28..2025-03-31",
            ),
            (
                "2025-01-01T00:00:00Z",
                "6 hours",
                Tz::UTC,
                "2025-01-01T13:00:00Z",
                "2025-01-01T12:00:00Z..2025-01-01T18:00:00Z",
            ),
        ];
        for (start, step, zone, now, expected) in cases {
            let cell = grid(start, step, zone).cell_at(at(now)).expect("inside the grid");
            assert_eq!(cell.to_string(), expected, "{start} {step}");
        }
        assert_eq!(
            grid("2025-01-01T00:00:00Z", "1 day", Tz::UTC).cell_at(at("2024-12-31T00:00:00Z")),
            None
        );
    }

    #[test]
    fn a_day_that_a_zone_skipped_is_no_window() {
        let apia = chrono_tz::Pacific::Apia;
        let grid = grid("2011-12-28T10:00:00Z", "1 day", apia);
        let range = Window::new(at("2011-12-28T10:00:00Z"), at("2012-01-02T10:00:00Z"));
        let cells: Vec<_> = grid.cells(range.expect("a range")).collect();
        for pair in cells.windows(2) {
            assert_eq!(pair[0].end(), pair[1].start());
        }
        assert_eq!(cells.len(), 5);
    }

    proptest! {
        #[test]
        fn cells_follow_each_other_without_gap_or_overlap(
            start in 0_i64..2_000_000_000,
            zone in prop::sample::select(vec![
                Tz::UTC, chrono_tz::Europe::Berlin, chrono_tz::America::New_York,
                chrono_tz::Australia::Lord_Howe, chrono_tz::Asia::Kathmandu,
                chrono_tz::Pacific::Apia, chrono_tz::America::Sao_Paulo,
            ]),
            step in prop::sample::select(vec![
                "1 day", "7 days", "1 month", "3 months", "1 year", "1 hour", "15 minutes",
                "36 hours",
            ]),
            offset in 0_i64..40_000_000,
        ) {
            let start = DateTime::from_timestamp(start, 0).expect("in range");
            let grid = Grid::new(start, Span::parse(step).expect("a step"), zone);
            let probe = start + chrono::TimeDelta::seconds(offset);
            let cell = grid.cell_at(probe).expect("inside the grid");
            prop_assert!(cell.contains(probe));
            let end = cell.end() + chrono::TimeDelta::days(3);
            let range = Window::new(cell.start(), end).expect("a range");
            let cells: Vec<_> = grid.cells(range).take(50).collect();
            prop_assert_eq!(cells[0], cell);
            for pair in cells.windows(2) {
                prop_assert_eq!(pair[0].end(), pair[1].start());
            }
        }
    }
}

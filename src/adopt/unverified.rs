//! PURE. Which of the adopted time no later fetch has confirmed.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;

use crate::adopt::{AdoptedSpan, FetchSince};
use crate::definition::resolve_local;
use crate::model::Window;
use crate::window::Coverage;

/// Runs of days, with the number of rows in each; rows without a time come first, without a window.
pub fn spans_of(days: &BTreeMap<Option<NaiveDate>, u64>, zone: Tz) -> Vec<(Option<Window>, u64)> {
    let midnight = |day: NaiveDate| resolve_local(day.and_hms_opt(0, 0, 0)?, zone);
    let mut spans: Vec<(Option<Window>, u64)> = Vec::new();
    for (day, rows) in days {
        let bounds = day.and_then(|day| midnight(day).zip(day.succ_opt().and_then(midnight)));
        let window = bounds.and_then(|(start, end)| Window::new(start, end));
        match (spans.last_mut(), window) {
            (Some((Some(last), sum)), Some(next)) if last.end() == next.start() => {
                *last = Window::new(last.start(), next.end()).unwrap_or(*last);
                *sum += rows;
            }
            (Some((None, sum)), None) => *sum += rows,
            _ => spans.push((window, *rows)),
        }
    }
    spans
}

/// What of a span no fetch since has confirmed. A span without a time is confirmed by a whole
/// reading of every partition; `None` in the answer stands for it.
pub fn unverified(span: &AdoptedSpan, fetches: &[FetchSince]) -> Vec<Option<Window>> {
    let mut partitions: BTreeMap<&str, Vec<&FetchSince>> = BTreeMap::new();
    for fetch in fetches {
        partitions.entry(&fetch.partition).or_default().push(fetch);
    }
    let Some(window) = span.window else {
        let whole = |fetches: &Vec<&FetchSince>| {
            fetches.iter().any(|fetch| fetch.complete && fetch.window.is_none())
        };
        let confirmed = !partitions.is_empty() && partitions.values().all(whole);
        return if confirmed { Vec::new() } else { vec![None] };
    };
    if partitions.is_empty() {
        return vec![Some(window)];
    }
    let gaps = partitions.values().flat_map(|fetches| {
        let complete = fetches.iter().filter(|fetch| fetch.complete);
        let covered = Coverage::of(complete.filter_map(|fetch| fetch.window));
        covered.gaps(window).collect::<Vec<_>>()
    });
    let gaps = Coverage::of(gaps);
    gaps.parts().iter().copied().map(Some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instant_from_text;

    fn window(from: u32, to: u32) -> Window {
        let at = |day| instant_from_text(&format!("2026-01-{day:02}T00:00:00Z")).expect("a day");
        Window::new(at(from), at(to)).expect("a window")
    }

    fn fetch(partition: &str, complete: bool, window: Option<Window>) -> FetchSince {
        FetchSince { partition: partition.to_owned(), complete, window }
    }

    #[test]
    fn days_that_follow_each_other_are_one_span() {
        let day = |day| NaiveDate::from_ymd_opt(2026, 1, day);
        let days = BTreeMap::from([(day(1), 2), (day(2), 2), (day(5), 1), (None, 3)]);
        assert_eq!(
            spans_of(&days, Tz::UTC),
            [(None, 3), (Some(window(1, 3)), 4), (Some(window(5, 6)), 1)]
        );
    }

    #[test]
    fn a_span_is_confirmed_by_what_every_partition_has_completed_since() {
        let span = AdoptedSpan { run: 1, window: Some(window(1, 10)), rows: 9 };
        assert_eq!(unverified(&span, &[]), [Some(window(1, 10))]);
        let fetches = [
            fetch("a", true, Some(window(1, 10))),
            fetch("b", true, Some(window(1, 4))),
            fetch("b", false, Some(window(4, 10))),
        ];
        assert_eq!(unverified(&span, &fetches), [Some(window(4, 10))]);
        let whole = AdoptedSpan { run: 1, window: None, rows: 9 };
        assert_eq!(unverified(&whole, &[]), [None]);
        assert_eq!(unverified(&whole, &[fetch("", false, None)]), [None]);
        assert_eq!(unverified(&whole, &[fetch("", true, None)]), []);
    }
}

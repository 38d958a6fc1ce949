//! Which dates a group should have, and which of them it lacks. Pure.

use chrono::{Datelike, Days, NaiveDate, Weekday};

use crate::definition::ExpectedDates;

/// Dates that a group has at least before its calendar is inferred from days: two weeks.
const DAYS_TO_INFER: usize = 14;
/// Months that a group has at least before its calendar is inferred from them.
const MONTHS_TO_INFER: usize = 6;
/// Of a hundred steps from one date to the next, how many are regular where there is a calendar.
const REGULAR_PERCENT: usize = 90;
/// The same for months, of which there are few.
const REGULAR_MONTHS_PERCENT: usize = 80;

/// Dates in a row that a group lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The first of them: of a month, its first day.
    pub first: NaiveDate,
    /// The last of them.
    pub last: NaiveDate,
    /// The first day after them.
    pub after: NaiveDate,
    /// How many periods of the calendar that is.
    pub periods: u64,
}

/// The number of the calendar's period that a date lies in; none where no record is expected.
fn period_of(calendar: ExpectedDates, date: NaiveDate) -> Option<i64> {
    let days = i64::from(date.num_days_from_ce());
    match calendar {
        ExpectedDates::Daily => Some(days),
        ExpectedDates::Weekdays => {
            // Day 1 of the common era is a Monday.
            let (week, day) = ((days - 1).div_euclid(7), (days - 1).rem_euclid(7));
            (day < 5).then_some(week * 5 + day)
        }
        ExpectedDates::Monthly(_) => {
            let month = i64::from(date.year()) * 12 + i64::from(date.month0());
            let begins = first_day(calendar, month)?;
            Some(if date >= begins { month } else { month - 1 })
        }
    }
}

/// The first day of a period.
fn first_day(calendar: ExpectedDates, period: i64) -> Option<NaiveDate> {
    match calendar {
        ExpectedDates::Daily => NaiveDate::from_num_days_from_ce_opt(i32::try_from(period).ok()?),
        ExpectedDates::Weekdays => {
            let days = period.div_euclid(5) * 7 + period.rem_euclid(5) + 1;
            NaiveDate::from_num_days_from_ce_opt(i32::try_from(days).ok()?)
        }
        ExpectedDates::Monthly(from) => {
            let year = i32::try_from(period.div_euclid(12)).ok()?;
            let month = u32::try_from(period.rem_euclid(12)).ok()? + 1;
            // A shorter month ends a cycle on its last day.
            let mut days = (1..=from).rev().take(4);
            days.find_map(|day| NaiveDate::from_ymd_opt(year, month, day))
        }
    }
}

/// The first day after a period.
fn day_after(calendar: ExpectedDates, period: i64) -> Option<NaiveDate> {
    match calendar {
        ExpectedDates::Monthly(_) => first_day(calendar, period + 1),
        ExpectedDates::Daily | ExpectedDates::Weekdays => {
            first_day(calendar, period)?.checked_add_days(Days::new(1))
        }
    }
}

/// What a sorted series lacks between its own first and last date, as far as `is_known` says that
/// the archive would have it: it is asked with a first day and the first one after.
pub fn missing_dates(
    calendar: ExpectedDates,
    dates: &[NaiveDate],
    is_known: &dyn Fn(NaiveDate, NaiveDate) -> bool,
) -> Vec<Missing> {
    let mut found: Vec<Missing> = Vec::new();
    let mut have: Vec<i64> = dates.iter().filter_map(|at| period_of(calendar, *at)).collect();
    have.dedup();
    for pair in have.windows(2) {
        let mut run: Option<Missing> = None;
        for period in pair[0] + 1..pair[1] {
            let days = first_day(calendar, period).zip(day_after(calendar, period));
            let known = days.filter(|(first, after)| is_known(*first, *after));
            match (known, &mut run) {
                (Some((first, after)), Some(run)) => {
                    (run.last, run.after, run.periods) = (first, after, run.periods + 1);
                }
                (Some((first, after)), None) => {
                    run = Some(Missing { first, last: first, after, periods: 1 });
                }
                (None, _) => found.extend(run.take()),
            }
        }
        found.extend(run);
    }
    found
}

/// The calendar that a sorted series of different dates keeps, and how many of a hundred steps
/// keep it.
pub fn infer_calendar(dates: &[NaiveDate]) -> Option<(ExpectedDates, usize)> {
    let regular = |calendar: ExpectedDates| {
        let periods: Vec<i64> = dates.iter().filter_map(|at| period_of(calendar, *at)).collect();
        let steps = periods.len().saturating_sub(1);
        let next = periods.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
        (next * 100).checked_div(steps).unwrap_or(0)
    };
    if dates.len() >= DAYS_TO_INFER {
        let daily = regular(ExpectedDates::Daily);
        if daily >= REGULAR_PERCENT {
            return Some((ExpectedDates::Daily, daily));
        }
        let weekend = |at: &NaiveDate| matches!(at.weekday(), Weekday::Sat | Weekday::Sun);
        let weekdays = regular(ExpectedDates::Weekdays);
        if weekdays >= REGULAR_PERCENT && !dates.iter().any(weekend) {
            return Some((ExpectedDates::Weekdays, weekdays));
        }
    }
    let day = dates.iter().map(NaiveDate::day).max().filter(|_| dates.len() >= MONTHS_TO_INFER)?;
    let monthly = ExpectedDates::Monthly(day);
    let same_day = dates.iter().all(|at| {
        period_of(monthly, *at).and_then(|period| first_day(monthly, period)) == Some(*at)
    });
    let share = regular(monthly);
    (same_day && share >= REGULAR_MONTHS_PERCENT).then_some((monthly, share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn days(from: &str, count: u64) -> Vec<NaiveDate> {
        (0..count).map(|n| date(from) + Days::new(n)).collect()
    }

    fn shown(calendar: ExpectedDates, dates: &[NaiveDate]) -> Vec<String> {
        let all = missing_dates(calendar, dates, &|_, _| true);
        let each = all.iter().map(|m| format!("{}..{} {}", m.first, m.after, m.periods));
        each.collect()
    }

    #[test]
    fn a_day_a_weekday_a_month_and_a_billing_cycle_are_missed() {
        let mut october = days("2025-10-01", 30);
        october.remove(9);
        assert_eq!(shown(ExpectedDates::Daily, &october), ["2025-10-10..2025-10-11 1"]);
        // 10 October 2025 is a Friday, the days after it a weekend.
        assert_eq!(shown(ExpectedDates::Weekdays, &october), ["2025-10-10..2025-10-11 1"]);
        let workdays: Vec<_> = days("2025-10-01", 30)
            .into_iter()
            .filter(|at| !matches!(at.weekday(), Weekday::Sat | Weekday::Sun))
            .collect();
        assert_eq!(shown(ExpectedDates::Weekdays, &workdays), [""; 0]);
        let months = ["2025-01-31", "2025-02-03", "2025-05-20"].map(date);
        assert_eq!(shown(ExpectedDates::Monthly(1), &months), ["2025-03-01..2025-05-01 2"]);
        let cycles = ["2025-01-15", "2025-02-14", "2025-03-16", "2025-04-01"].map(date);
        // The cycle from 15 February on has no record.
        assert_eq!(shown(ExpectedDates::Monthly(15), &cycles), ["2025-02-15..2025-03-15 1"]);
        let last = ["2025-01-31", "2025-03-31"].map(date);
        assert_eq!(shown(ExpectedDates::Monthly(31), &last), ["2025-02-28..2025-03-31 1"]);
    }

    #[test]
    fn what_the_archive_does_not_know_is_not_missing() {
        let dates = ["2025-10-01", "2025-10-08"].map(date);
        let known = |first: NaiveDate, _| ![3, 4].contains(&first.day());
        let found = missing_dates(ExpectedDates::Daily, &dates, &known);
        let shown: Vec<_> = found.iter().map(|m| (m.first.day(), m.last.day())).collect();
        assert_eq!(shown, [(2, 2), (5, 7)]);
    }

    #[test]
    fn a_calendar_is_inferred_from_regular_dates_and_from_no_others() {
        let mut october = days("2025-10-01", 30);
        october.remove(9);
        assert_eq!(infer_calendar(&october), Some((ExpectedDates::Daily, 96)));
        assert_eq!(infer_calendar(&october[..9]), None, "too short");
        let all = days("2025-10-01", 60);
        let weekend = |at: &NaiveDate| matches!(at.weekday(), Weekday::Sat | Weekday::Sun);
        let workdays: Vec<_> = all.iter().copied().filter(|at| !weekend(at)).collect();
        assert_eq!(infer_calendar(&workdays), Some((ExpectedDates::Weekdays, 100)));
        let thirds: Vec<_> = all.iter().copied().step_by(3).collect();
        assert_eq!(infer_calendar(&thirds), None);
        let ends = (0..8).filter_map(|n| first_day(ExpectedDates::Monthly(31), n + 24_300));
        let ends = ends.collect::<Vec<_>>();
        assert_eq!(infer_calendar(&ends), Some((ExpectedDates::Monthly(31), 100)));
    }

    proptest! {
        #[test]
        fn the_dates_and_what_they_lack_are_every_period_once(
            mut days in prop::collection::vec(730_000_i32..730_400, 2..60),
            calendar in prop::sample::select(vec![
                ExpectedDates::Daily, ExpectedDates::Weekdays, ExpectedDates::Monthly(1),
                ExpectedDates::Monthly(30),
            ]),
        ) {
            days.sort_unstable();
            days.dedup();
            let dates: Vec<_> =
                days.iter().filter_map(|n| NaiveDate::from_num_days_from_ce_opt(*n)).collect();
            let mut have: Vec<i64> =
                dates.iter().filter_map(|at| period_of(calendar, *at)).collect();
            have.dedup();
            let missing = missing_dates(calendar, &dates, &|_, _| true);
            let lacking: u64 = missing.iter().map(|m| m.periods).sum();
            if let (Some(first), Some(last)) = (have.first(), have.last()) {
                let all = u64::try_from(last - first + 1).expect("sorted");
                prop_assert_eq!(have.len() as u64 + lacking, all);
            }
            for run in missing {
                prop_assert!(!dates.iter().any(|at| run.first <= *at && *at < run.after
                    && period_of(calendar, *at).is_some()));
            }
        }
    }
}

//! Which values of a series are spikes or drops against its own history. Pure.
//!
//! A value is held against its neighbours in time: the median of those on the same day of the
//! week where there are enough of them, and the median absolute deviation of all from theirs.
//! Both hold still when a few values are wrong, which a mean and a standard deviation do not.
//! A series that is always positive must stand out by its ratio too, not only by its difference:
//! what grows by factors has a long tail that is no spike.

use chrono::{Datelike, NaiveDate};

/// Neighbours on either side: four weeks of days, eight in all.
const NEIGHBOURS: usize = 28;
/// A series shorter than this has no history to be held against: three weeks of days.
const HISTORY_MIN: usize = 20;
/// Neighbours on the same day of the week from which on there is a season: the median of fewer
/// follows a single unusual value.
const SEASON_MIN: usize = 4;
/// What each day of the week takes from its neighbours to make a median of: so few of them look
/// more alike than they are.
const SEASON_COST: f64 = 1.0;
/// From one zero in so many values on a series is intermittent: its zeros are as usual as the rest.
const ZEROS_ONE_IN: usize = 5;
/// The standard deviation of a normal distribution, in median absolute deviations.
const MAD_TO_SIGMA: f64 = 1.4826;
/// The same in mean absolute deviations, which stand in where most values are equal.
const MEAN_TO_SIGMA: f64 = 1.2533;
/// The least deviation of numbers that come in steps, as counts do, in such steps: rounding to a
/// step moves a value by up to half of one.
const STEPS_MIN: f64 = 0.5;
/// The least deviation that is believed, as a part of the median: a series that hardly moves at
/// all would make a spike of every rounding.
const DEVIATION_MIN: f64 = 0.03;

/// A value that stands out.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    /// Its place in the series.
    pub at: usize,
    pub value: f64,
    /// What was to be expected.
    pub median: f64,
    /// How far from it a value may lie.
    pub reach: f64,
    /// Whether the neighbours on the same day of the week made the median.
    pub seasonal: bool,
}

#[derive(Clone, Copy)]
struct Point {
    value: f64,
    weekday: u32,
}

/// What neighbours say of a value.
struct Expectation {
    median: f64,
    deviation: f64,
    seasonal: bool,
}

/// The values that lie more than `tolerance` robust deviations from what their neighbours say.
/// `days` are sorted; a value may be missing.
pub fn outliers(days: &[NaiveDate], values: &[Option<f64>], tolerance: f64) -> Vec<Outlier> {
    let places: Vec<usize> = (0..days.len()).filter(|at| values[*at].is_some()).collect();
    let point = |at: &usize| Point {
        value: values[*at].unwrap_or_default(),
        weekday: days[*at].weekday().num_days_from_monday(),
    };
    let points: Vec<Point> = places.iter().map(point).collect();
    let judged = (0..points.len()).filter_map(|at| judge(&points, at, tolerance));
    judged.map(|odd| Outlier { at: places[odd.at], ..odd }).collect()
}

fn judge(points: &[Point], at: usize, tolerance: f64) -> Option<Outlier> {
    let point = points[at];
    let mut others = neighbours(points, at);
    let zeros = others.iter().filter(|other| other.value == 0.0).count();
    if zeros > 0 && zeros * ZEROS_ONE_IN >= others.len() {
        if point.value == 0.0 {
            return None;
        }
        others.retain(|other| other.value != 0.0);
    }
    if others.len() < HISTORY_MIN {
        return None;
    }
    let expected = expect(&others, point, |median| DEVIATION_MIN * median.abs());
    let apart = (point.value - expected.median).abs() / expected.deviation;
    if others.iter().all(|other| other.value > 0.0) && point.value >= 0.0 {
        let logs: Vec<Point> = others.iter().map(logarithm).collect();
        let own = logarithm(&point);
        let ratio = expect(&logs, own, |_| DEVIATION_MIN);
        // Zero has no logarithm, but is all of a value away; it was never seen before. Of small
        // counts it is just the next one.
        let vanished = zeros == 0 && point.value == 0.0;
        let half = tolerance / 2.0;
        let stands_out = match vanished {
            true => ratio.deviation * half < 1.0 && smallest_step(&others) * half < expected.median,
            false => {
                apart > tolerance && (own.value - ratio.median).abs() > tolerance * ratio.deviation
            }
        };
        if !stands_out {
            return None;
        }
    } else if apart <= tolerance {
        return None;
    }
    if !expected.seasonal && has_its_like(&others, point, tolerance * expected.deviation) {
        return None;
    }
    Some(Outlier {
        at,
        value: point.value,
        median: expected.median,
        reach: tolerance * expected.deviation,
        seasonal: expected.seasonal,
    })
}

fn logarithm(point: &Point) -> Point {
    Point { value: point.value.ln(), ..*point }
}

/// The points around one, without it: as many on each side, and near an end of the series more on
/// the other.
fn neighbours(points: &[Point], at: usize) -> Vec<Point> {
    let from = at.saturating_sub(NEIGHBOURS);
    let to = (from + 2 * NEIGHBOURS + 1).min(points.len());
    let from = to.saturating_sub(2 * NEIGHBOURS + 1);
    let others = points[from..at].iter().chain(&points[at + 1..to]);
    others.copied().collect()
}

/// Where the weeks are too few to make a season of: whether another one of the same day of the
/// week is alike. A day that has no other to be held against is let pass.
fn has_its_like(others: &[Point], point: Point, reach: f64) -> bool {
    let same: Vec<&Point> = others.iter().filter(|it| it.weekday == point.weekday).collect();
    same.len() < 2 || same.iter().any(|other| (other.value - point.value).abs() <= reach)
}

/// The median and the deviation from it; `least` tells from the median how small that may be.
fn expect(others: &[Point], point: Point, least: impl Fn(f64) -> f64) -> Expectation {
    let all = median(others.iter().map(|other| other.value).collect());
    let mut medians = [all; 7];
    let mut same_day = 0;
    for weekday in 0..7 {
        let same: Vec<f64> =
            others.iter().filter(|it| it.weekday == weekday).map(|it| it.value).collect();
        if weekday == point.weekday {
            same_day = same.len();
        }
        if same.len() >= SEASON_MIN {
            medians[weekday as usize] = median(same);
        }
    }
    let seasonal = same_day >= SEASON_MIN;
    let centre = |weekday: u32| if seasonal { medians[weekday as usize] } else { all };
    let apart = others.iter().map(|other| (other.value - centre(other.weekday)).abs());
    let apart: Vec<f64> = apart.collect();
    let own = centre(point.weekday);
    let mean = apart.iter().sum::<f64>() / f64::from(u32::try_from(apart.len()).unwrap_or(1));
    let mut deviation = MAD_TO_SIGMA * median(apart);
    if deviation == 0.0 {
        deviation = MEAN_TO_SIGMA * mean;
    }
    if seasonal {
        let count = f64::from(u32::try_from(same_day).unwrap_or(u32::MAX));
        deviation *= count / (count - SEASON_COST);
    }
    // A series that is always zero has no scale at all: any other value is beyond it.
    let deviation = deviation.max(least(own)).max(STEPS_MIN * smallest_step(others));
    let deviation = deviation.max(f64::MIN_POSITIVE);
    Expectation { median: own, deviation, seasonal }
}

/// The smallest difference between two different values; 0 when all are equal.
fn smallest_step(others: &[Point]) -> f64 {
    let mut values: Vec<f64> = others.iter().map(|other| other.value).collect();
    values.sort_by(f64::total_cmp);
    let steps = values.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0.0);
    steps.min_by(f64::total_cmp).unwrap_or(0.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, at, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *at;
    if odd {
        return upper;
    }
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
    lower + (upper - lower) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Days;
    use proptest::prelude::*;

    const TOLERANCE: f64 = crate::definition::TOLERANCE;

    /// Numbers that are the same in every run.
    struct Numbers(fastrand::Rng);

    impl Numbers {
        /// Normal, by the sum of twelve.
        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.0.f64()).sum::<f64>() - 6.0
        }

        fn laplace(&mut self) -> f64 {
            let u = self.0.f64() - 0.5;
            -u.signum() * (1.0 - 2.0 * u.abs()).max(1e-300).ln()
        }

        fn poisson(&mut self, mean: f64) -> f64 {
            let (limit, mut product, mut count) = ((-mean).exp(), self.0.f64(), 0.0);
            while product > limit {
                product *= self.0.f64();
                count += 1.0;
            }
            count
        }
    }

    fn dates(count: usize) -> Vec<NaiveDate> {
        let first: NaiveDate = "2025-01-01".parse().expect("a date");
        (0..count).map(|n| first + Days::new(n as u64)).collect()
    }

    /// A week of a business: little on weekends.
    fn season(day: usize) -> f64 {
        [100.0, 110.0, 105.0, 108.0, 95.0, 30.0, 20.0][day % 7]
    }

    fn year(day: usize) -> f64 {
        1.0 + 0.5 * (day as f64 / 365.0 * std::f64::consts::TAU).sin()
    }

    type Model = fn(usize, &mut Numbers) -> f64;

    /// Series without anything wrong, as they come.
    const CLEAN: [(&str, Model); 10] = [
        ("constant", |_, _| 42.0),
        ("normal", |day, it| season(day) * (1.0 + 0.1 * it.normal())),
        ("wide", |day, it| (season(day) * (1.0 + 0.3 * it.normal())).max(0.0)),
        ("factors", |day, it| season(day) * (0.5 * it.normal()).exp()),
        ("heavy tails", |day, it| season(day) + 5.0 * it.laplace()),
        ("a year", |day, it| season(day) * year(day) * (1.0 + 0.1 * it.normal())),
        ("growth", |day, it| season(day) * (day as f64 / 200.0).exp() * (1.0 + 0.1 * it.normal())),
        ("rounded", |day, it| (season(day) / 30.0 * (1.0 + 0.2 * it.normal())).round()),
        ("counts", |_, it| it.poisson(3.0)),
        ("intermittent", |day, it| match it.poisson(0.4) {
            0.0 => 0.0,
            _ => season(day) * (0.4 * it.normal()).exp(),
        }),
    ];

    #[test]
    fn clean_series_make_fewer_than_one_false_alarm_in_a_thousand_group_days() {
        let (groups, days) = (30, 365);
        let dates = dates(days);
        let mut all = (0, 0);
        for (name, model) in CLEAN {
            let mut numbers = Numbers(fastrand::Rng::with_seed(7));
            let mut alarms = 0;
            for _ in 0..groups {
                let values: Vec<_> = (0..days).map(|day| Some(model(day, &mut numbers))).collect();
                alarms += outliers(&dates, &values, TOLERANCE).len();
                // And with the shorter histories that an archive begins with.
                for length in [21, 30, 45] {
                    alarms += outliers(&dates[..length], &values[..length], TOLERANCE).len();
                    all.1 += length;
                }
            }
            assert!(alarms * 1000 < groups * days, "{name}: {alarms} in {}", groups * days);
            all = (all.0 + alarms, all.1 + groups * days);
        }
        // Over all of them it is an order of magnitude better.
        assert!(all.0 * 4000 < all.1, "{all:?}");
    }

    fn week_by_week(count: usize) -> Vec<Option<f64>> {
        let mut numbers = Numbers(fastrand::Rng::with_seed(3));
        (0..count).map(|day| Some(season(day) * (1.0 + 0.05 * numbers.normal()))).collect()
    }

    fn places(values: &[Option<f64>]) -> Vec<usize> {
        let found = outliers(&dates(values.len()), values, TOLERANCE);
        found.into_iter().map(|odd| odd.at).collect()
    }

    #[test]
    fn a_doubled_day_a_busy_sunday_and_a_day_of_nothing_stand_out() {
        for length in [35, 60, 200] {
            let mut values = week_by_week(length);
            assert_eq!(places(&values), [0; 0]);
            values[9] = values[9].map(|value| value * 2.0);
            assert_eq!(places(&values), [9], "doubled in {length}");
            let mut values = week_by_week(length);
            // As much as on any Monday: only the season tells.
            values[13] = Some(100.0);
            assert_eq!(places(&values), [13], "a busy Sunday in {length}");
            let mut values = week_by_week(length);
            values[length - 3] = Some(0.0);
            assert_eq!(places(&values), [length - 3], "nothing in {length}");
        }
    }

    #[test]
    fn a_series_without_deviation_history_or_regular_values_is_treated_with_care() {
        let mut constant = vec![Some(10.0); 60];
        constant[30] = Some(10.2);
        assert_eq!(places(&constant), [0; 0], "a rounding");
        constant[30] = Some(20.0);
        assert_eq!(places(&constant), [30]);
        assert_eq!(places(&constant[20..40]), [0; 0], "too short");
        let mut zeros = vec![Some(0.0); 60];
        zeros[30] = Some(500.0);
        assert_eq!(places(&zeros), [0; 0], "nothing to hold it against");
        let gaps: Vec<_> = (0..60).map(|n| (n % 2 == 0).then_some(10.0)).collect();
        assert_eq!(places(&gaps), [0; 0], "missing values are not zeros");
        // On some days nothing, and once a hundred times as much as on the others.
        let mut some: Vec<_> = (0..90).map(|n| Some([0.0, 5.0, 5.5][n % 3])).collect();
        some[40] = Some(500.0);
        assert_eq!(places(&some), [40]);
    }

    proptest! {
        #[test]
        fn no_series_of_numbers_is_too_strange(
            values in prop::collection::vec(prop::option::of(any::<f64>()), 0..80),
        ) {
            let finite: Vec<_> =
                values.into_iter().map(|it| it.filter(|it| it.is_finite())).collect();
            for odd in outliers(&dates(finite.len()), &finite, TOLERANCE) {
                prop_assert_eq!(Some(odd.value), finite[odd.at]);
            }
        }

        #[test]
        fn a_series_in_other_units_has_the_same_spikes(seed in any::<u64>(), power in -20_i32..20) {
            let mut numbers = Numbers(fastrand::Rng::with_seed(seed));
            let values: Vec<_> =
                (0..60).map(|day| Some(season(day) * (1.0 + 0.2 * numbers.laplace()))).collect();
            let unit = 2_f64.powi(power);
            let scaled: Vec<_> = values.iter().map(|it| it.map(|it| it * unit)).collect();
            prop_assert_eq!(places(&values), places(&scaled));
        }
    }
}

//! One group's dates and values: what it lacks, and what stands out. The judges are `calendar` and
//! `odd`; here rows become series, and judgements become findings.

use std::ops::ControlFlow;

use chrono::{Days, NaiveDate, NaiveTime};
use chrono_tz::Tz;

use crate::check::SeriesRow;
use crate::check::evidence::sql_of_stretch;
use crate::definition::{ExpectedDates, Severity, resolve_local};
use crate::model::{Error, Timestamp, Window, instant_from_text};
use crate::store::{Reader, Value};
use crate::window::Coverage;

use super::calendar::{Missing, infer_calendar, missing_dates};
use super::finding::{Collector, Finding, identity};
use super::sweep::Dates;
use super::tables::show;
use crate::check::help_commands::HelpCommands;
use crate::check::outliers::{Outlier, outliers};

/// What the series of a stream are judged by.
pub struct SeriesRules<'a> {
    /// The stream and its table.
    pub stream: &'a str,
    /// The columns that tell one series from another.
    pub group: Vec<String>,
    /// The column with the date.
    pub date: String,
    /// How that column has its dates.
    pub dates: Dates,
    /// The columns that are looked through for spikes.
    pub values: Vec<String>,
    /// When each group has a record, if that is declared.
    pub calendar: Option<ExpectedDates>,
    /// What the archive does not know.
    pub unknown: &'a Coverage,
    /// What may still change.
    pub unsettled: &'a Coverage,
    /// Robust deviations that make a spike.
    pub tolerance: f64,
    /// Whether a stretch of the stream can be read again.
    pub is_window: bool,
    pub help_commands: &'a HelpCommands,
}

/// One group, a day at a time: what a day's rows have is added up.
#[derive(Debug, Default)]
struct Series {
    group: Vec<Value>,
    days: Vec<NaiveDate>,
    values: Vec<Vec<Option<f64>>>,
}

impl Series {
    fn take(&mut self, day: NaiveDate, values: &[Option<f64>]) {
        self.values.resize(values.len(), Vec::new());
        if self.days.last() != Some(&day) {
            self.days.push(day);
            self.values.iter_mut().for_each(|column| column.push(None));
        }
        for (column, more) in self.values.iter_mut().zip(values) {
            let Some(sofar) = column.last_mut() else { continue };
            *sofar = match (*sofar, *more) {
                (Some(sofar), Some(more)) => Some(sofar + more),
                (sofar, more) => sofar.or(more),
            };
        }
    }
}

/// Goes through the series of a stream's table.
pub fn check_series(
    reader: &Reader,
    rules: &SeriesRules<'_>,
    collector: &mut Collector,
) -> Result<(), Error> {
    let mut series = Series::default();
    let mut take = |row: SeriesRow| {
        if row.group != series.group {
            let done = std::mem::take(&mut series);
            judge(rules, &done, collector);
            series.group = row.group;
        }
        if let Some(day) = day_of(rules.dates, &row.date) {
            series.take(day, &row.values);
        }
        ControlFlow::Continue(())
    };
    reader.series(rules.stream, &rules.group, &rules.date, &rules.values, &mut take)?;
    judge(rules, &series, collector);
    Ok(())
}

/// The day that a text of the column stands for.
pub fn day_of(dates: Dates, text: &str) -> Option<NaiveDate> {
    if dates.whole_days {
        return text.parse().ok();
    }
    instant_from_text(text).map(|at| at.with_timezone(&dates.zone).date_naive())
}

fn midnight(day: NaiveDate, zone: Tz) -> Option<Timestamp> {
    resolve_local(day.and_time(NaiveTime::MIN), zone)
}

fn judge(rules: &SeriesRules<'_>, series: &Series, collector: &mut Collector) {
    if series.days.len() < 2 {
        return;
    }
    let declared = rules.calendar.map(|calendar| (calendar, "declared".to_owned()));
    let calendar = declared.or_else(|| {
        let (calendar, share) = infer_calendar(&series.days)?;
        Some((calendar, format!("inferred: {share} % of this group's steps are")))
    });
    if let Some((calendar, why)) = calendar {
        let zone = rules.dates.zone;
        let is_known = |first, after| is_apart(rules.unknown, zone, first, after);
        for missing in missing_dates(calendar, &series.days, &is_known) {
            let finding = missing_finding(rules, series, &missing, calendar, &why);
            collector.add(finding);
        }
    }
    for (column, values) in rules.values.iter().zip(&series.values) {
        for outlier in outliers(&series.days, values, rules.tolerance) {
            collector.add(outlier_finding(rules, series, column, &outlier));
        }
    }
}

/// Whether none of these days is in a set.
fn is_apart(set: &Coverage, zone: Tz, first: NaiveDate, after: NaiveDate) -> bool {
    let bounds = midnight(first, zone).zip(midnight(after, zone));
    let Some(days) = bounds.and_then(|(from, to)| Window::new(from, to)) else { return false };
    set.gaps(days).next() == Some(days)
}

fn places<'a>(rules: &'a SeriesRules<'_>, series: &'a Series) -> Vec<(&'a str, &'a Value)> {
    rules.group.iter().map(String::as_str).zip(&series.group).collect()
}

/// `SL-1` or `SL-1, north`; nothing for a stream of one series.
fn name(series: &Series) -> String {
    series.group.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn id_of(check: &str, rules: &SeriesRules<'_>, series: &Series, more: &[&str]) -> String {
    let group: Vec<String> = series.group.iter().map(show).collect();
    let parts = [check, rules.stream].into_iter().chain(group.iter().map(String::as_str));
    identity(&parts.chain(more.iter().copied()).collect::<Vec<_>>())
}

fn stretch_sql(
    rules: &SeriesRules<'_>,
    series: &Series,
    shown: &[String],
    from: NaiveDate,
    to: NaiveDate,
) -> String {
    let zone = rules.dates.zone;
    let edge = |day| midnight(day, zone).map(|at| rules.dates.edge(at)).unwrap_or_default();
    let group = places(rules, series);
    sql_of_stretch(rules.stream, &group, &rules.date, shown, (&edge(from), &edge(to)))
}

fn read_again(rules: &SeriesRules<'_>, from: NaiveDate, to: NaiveDate) -> String {
    let zone = rules.dates.zone;
    match midnight(from, zone).zip(midnight(to, zone)).filter(|_| rules.is_window) {
        Some((from, to)) => rules.help_commands.sync(rules.stream, zone, from, to),
        None => rules.help_commands.sync_due(rules.stream),
    }
}

fn missing_finding(
    rules: &SeriesRules<'_>,
    series: &Series,
    missing: &Missing,
    calendar: ExpectedDates,
    why: &str,
) -> Finding {
    let first = missing.first.to_string();
    let dates = match missing.periods {
        1 => format!("{first} is missing"),
        many => format!("{many} are missing, {first} to {}", missing.last),
    };
    let group = name(series);
    let place = if group.is_empty() { String::new() } else { format!("{group}: ") };
    let first_ends = missing.first.checked_add_days(Days::new(1)).unwrap_or(missing.after);
    let settled = is_apart(rules.unsettled, rules.dates.zone, missing.first, first_ends);
    let before = series.days.iter().rev().find(|day| **day < missing.first);
    let behind = series.days.iter().find(|day| **day >= missing.after);
    let next = behind.and_then(|day| day.checked_add_days(Days::new(1)));
    Finding {
        id: id_of("missing_dates", rules, series, &[&first]),
        check: "missing_dates",
        // What may still come is not missing yet.
        severity: if settled { Severity::Warning } else { Severity::Info },
        stream: rules.stream.to_owned(),
        expected: format!("a record for each date of the calendar {calendar} ({why})"),
        found: format!("{place}{dates}"),
        sql: stretch_sql(
            rules,
            series,
            &[],
            before.copied().unwrap_or(missing.first),
            next.unwrap_or(missing.after),
        ),
        help: read_again(rules, missing.first, missing.after),
        first: None,
        until: midnight(missing.after, rules.dates.zone),
    }
}

fn outlier_finding(
    rules: &SeriesRules<'_>,
    series: &Series,
    column: &str,
    outlier: &Outlier,
) -> Finding {
    let day = series.days[outlier.at];
    let check = if outlier.value > outlier.median { "spike" } else { "drop" };
    let group = name(series);
    let place = if group.is_empty() { String::new() } else { format!("{group}, ") };
    let like = if outlier.seasonal { day.format("%As").to_string() } else { "days".to_owned() };
    let ends = day.checked_add_days(Days::new(1)).unwrap_or(day);
    let around = Days::new(28);
    Finding {
        id: id_of(check, rules, series, &[column, &day.to_string()]),
        check,
        severity: Severity::Warning,
        stream: rules.stream.to_owned(),
        expected: format!(
            "{column} of {}, give or take {}, as on the {like} around it",
            rounded(outlier.median),
            rounded(outlier.reach)
        ),
        found: format!("{place}{day}: {}", rounded(outlier.value)),
        sql: stretch_sql(
            rules,
            series,
            &[column.to_owned()],
            day.checked_sub_days(around).unwrap_or(day),
            ends.checked_add_days(around).unwrap_or(ends),
        ),
        help: read_again(rules, day, ends),
        first: None,
        until: midnight(ends, rules.dates.zone),
    }
}

/// Four digits that count, and no more than the number has.
fn rounded(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    #[expect(clippy::cast_possible_truncation, reason = "an exponent is below 400")]
    let power = value.abs().log10().floor() as i32;
    let digits = usize::try_from(3 - power).unwrap_or(0);
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_four_digits() {
        for (value, shown) in [
            (0.0, "0"),
            (10.0, "10"),
            (12.3456, "12.35"),
            (-0.000_123_456, "-0.0001235"),
            (123_456.7, "123457"),
        ] {
            assert_eq!(rounded(value), shown);
        }
    }

    #[test]
    fn rows_of_one_day_are_added_up_and_nothing_is_not_zero() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        let mut series = Series::default();
        series.take(day("2026-01-01"), &[Some(1.0), None]);
        series.take(day("2026-01-01"), &[Some(2.0), None]);
        series.take(day("2026-01-02"), &[None, Some(0.0)]);
        assert_eq!(series.days.len(), 2);
        assert_eq!(series.values, [[Some(3.0), None], [None, Some(0.0)]]);
    }
}

//! The days of a stream as a person looks at them: a calendar of what was read, and how many rows
//! each day has. Pure.

use chrono::{Datelike, Days, NaiveDate, NaiveTime};
use serde::Serialize;

use crate::check::StreamDays;
use crate::definition::resolve_local;
use crate::model::{Timestamp, Window};
use crate::window::Coverage;

use crate::model::numbers::many;

/// What the ledger says of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DayState {
    /// Read as a whole, and settled.
    Settled,
    /// Read as a whole; it may still change.
    Complete,
    /// Not over yet: read from its beginning on.
    Today,
    /// Begun and not finished, or the source cannot give it as a whole.
    Broken,
    /// Not read, or not all of it.
    Pending,
    /// No window begins or ends there: before the start of the stream, or a stream without windows.
    NoWindow,
}

impl DayState {
    /// What stands in the calendar: colours alone are not seen by all, and not in print.
    fn mark(self) -> &'static str {
        match self {
            DayState::Settled | DayState::NoWindow => "",
            DayState::Complete => "~",
            DayState::Today => "…",
            DayState::Broken => "!",
            DayState::Pending => "?",
        }
    }

    fn words(self) -> &'static str {
        match self {
            DayState::Settled => "read, settled",
            DayState::Complete => "read, may still change",
            DayState::Today => "read so far",
            DayState::Broken => "begun and not finished",
            DayState::Pending => "not read",
            DayState::NoWindow => "no window",
        }
    }
}

/// A day of a stream's calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Day {
    /// In the stream's zone.
    pub date: NaiveDate,
    /// Whether it was read.
    pub state: DayState,
    /// Its rows; none where no column tells the day of a row.
    pub rows: Option<u64>,
}

/// The days that are shown, and what lies before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DayCalendar {
    /// IANA name of the zone of the days.
    pub zone: String,
    /// The column that tells the day of a row.
    pub date_column: Option<String>,
    /// Oldest first, without a gap.
    pub days: Vec<Day>,
    /// Milliseconds before these days, since the stream's start, that were not read.
    pub unread_before_ms: i64,
    /// Rows before these days.
    pub rows_before: u64,
    /// Rows after these days.
    pub rows_after: u64,
    /// Rows whose day cannot be told.
    pub rows_elsewhere: u64,
}

/// The last `most` days of a stream.
pub fn calendar_of(view: &StreamDays, now: Timestamp, most: u32) -> DayCalendar {
    let mut calendar = DayCalendar {
        zone: view.zone.name().to_owned(),
        date_column: view.date.clone(),
        rows_elsewhere: view.elsewhere,
        ..DayCalendar::default()
    };
    let local = |at: Timestamp| at.with_timezone(&view.zone).date_naive();
    let ends = match view.start {
        Some(start) => Some((local(start), local(now))),
        None => view.rows.keys().next().copied().zip(view.rows.keys().next_back().copied()),
    };
    let Some((first, last)) = ends.filter(|(first, last)| first <= last) else { return calendar };
    let back = Days::new(u64::from(most.max(1)) - 1);
    let from = last.checked_sub_days(back).map_or(first, |from| from.max(first));
    for date in from.iter_days().take_while(|date| *date <= last) {
        let rows = view.date.is_some().then(|| view.rows.get(&date).copied().unwrap_or_default());
        calendar.days.push(Day { date, state: state_of(view, date, now), rows });
    }
    calendar.rows_before = view.rows.range(..from).map(|(_, rows)| rows).sum();
    calendar.rows_after = view.rows.iter().filter(|(day, _)| **day > last).map(|it| it.1).sum();
    let before = view.start.zip(midnight(view, from)).and_then(|(a, b)| Window::new(a, b));
    let unread = before.map(|before| view.unknown.intersection(&Coverage::of([before])));
    calendar.unread_before_ms = unread.iter().flat_map(|unread| unread.parts()).map(length).sum();
    calendar
}

fn length(window: &Window) -> i64 {
    (window.end() - window.start()).num_milliseconds()
}

fn midnight(view: &StreamDays, day: NaiveDate) -> Option<Timestamp> {
    resolve_local(day.and_time(NaiveTime::MIN), view.zone)
}

fn state_of(view: &StreamDays, day: NaiveDate, now: Timestamp) -> DayState {
    let next = day.succ_opt().and_then(|next| midnight(view, next));
    let (Some(start), Some(from), Some(to)) = (view.start, midnight(view, day), next) else {
        return DayState::NoWindow;
    };
    let Some(window) = Window::new(from.max(start), to.min(now)) else {
        return DayState::NoWindow;
    };
    let touches = |set: &Coverage| set.gaps(window).next() != Some(window);
    if touches(&view.broken) {
        return DayState::Broken;
    }
    let read = view.unknown.gaps(window).next();
    if to > now && read.is_some_and(|read| read.start() == window.start()) {
        return DayState::Today;
    }
    if touches(&view.unknown) {
        return DayState::Pending;
    }
    if touches(&view.unsettled) { DayState::Complete } else { DayState::Settled }
}

/// A month of a calendar.
#[derive(Debug, Serialize)]
pub struct Month {
    name: String,
    /// One for each of 31 days.
    cells: Vec<Option<DayCell>>,
    rows: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct DayCell {
    state: DayState,
    mark: &'static str,
    title: String,
}

/// The months of a calendar, oldest first.
pub fn months_of(days: &[Day]) -> Vec<Month> {
    let mut months: Vec<Month> = Vec::new();
    for day in days {
        let name = day.date.format("%Y-%m").to_string();
        if months.last().is_none_or(|month| month.name != name) {
            months.push(Month { name, cells: vec![None; 31], rows: None });
        }
        let Some(month) = months.last_mut() else { continue };
        month.rows = match (month.rows, day.rows) {
            (Some(sofar), Some(more)) => Some(sofar + more),
            (sofar, more) => sofar.or(more),
        };
        if let Some(cell) = month.cells.get_mut(day.date.day0() as usize) {
            let (state, mark) = (day.state, day.state.mark());
            *cell = Some(DayCell { state, mark, title: title_of(day) });
        }
    }
    months
}

fn title_of(day: &Day) -> String {
    let rows = day.rows.map(|rows| format!(", {}", many(rows, "row"))).unwrap_or_default();
    match day.state {
        DayState::NoWindow => format!("{}{rows}", day.date.format("%F, %A")),
        state => format!("{}: {}{rows}", day.date.format("%F, %A"), state.words()),
    }
}

/// Days that a chart shows one by one: a year and a month, in a chart of 1,000 units; more of them
/// are put together by month.
const BARS_MAX: usize = 400;
/// Units of the chart's own, across and upwards.
const CHART: (usize, usize) = (1000, 100);

/// Rows by day or by month, as bars.
#[derive(Debug, Serialize)]
pub struct Chart {
    width: usize,
    height: usize,
    /// The most that a bar stands for.
    most: u64,
    unit: &'static str,
    first: String,
    last: String,
    bars: Vec<ChartBar>,
}

#[derive(Debug, Serialize)]
struct ChartBar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    title: String,
    /// Not read as a whole.
    open: bool,
}

/// The chart of a calendar; none where no column tells the day of a row.
pub fn chart_of(days: &[Day]) -> Option<Chart> {
    let mut heaps: Vec<(String, u64, bool)> = Vec::new();
    let by_month = days.len() > BARS_MAX;
    for day in days {
        let name = day.date.format(if by_month { "%Y-%m" } else { "%F, %A" }).to_string();
        let open = matches!(day.state, DayState::Pending | DayState::Broken);
        match heaps.last_mut().filter(|heap| heap.0 == name) {
            Some(heap) => (heap.1, heap.2) = (heap.1 + day.rows?, heap.2 || open),
            None => heaps.push((name, day.rows?, open)),
        }
    }
    let most = heaps.iter().map(|heap| heap.1).max().filter(|most| *most > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "a bar is drawn to a hundredth of a unit")]
    let share = |part: u64, all: u64, units: usize| {
        (part as f64 / all as f64 * units as f64 * 100.0).round() / 100.0
    };
    let number = heaps.len() as u64;
    let bars = heaps.iter().zip(0..).map(|((name, rows, open), at)| {
        let (x, after) = (share(at, number, CHART.0), share(at + 1, number, CHART.0));
        let height = share(*rows, most, CHART.1);
        let not = if *open { " (not read as a whole)" } else { "" };
        ChartBar {
            x,
            y: CHART.1 as f64 - height,
            width: ((after - x) * 85.0).round() / 100.0,
            height,
            title: format!("{name}: {}{not}", many(*rows, "row")),
            open: *open,
        }
    });
    Some(Chart {
        width: CHART.0,
        height: CHART.1,
        most,
        unit: if by_month { "month" } else { "day" },
        first: days.first()?.date.to_string(),
        last: days.last()?.date.to_string(),
        bars: bars.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instant_from_text;
    use std::collections::BTreeMap;

    fn at(text: &str) -> Timestamp {
        instant_from_text(text).expect("an instant")
    }

    fn coverage(windows: &[(&str, &str)]) -> Coverage {
        Coverage::of(windows.iter().filter_map(|(from, to)| Window::new(at(from), at(to))))
    }

    /// Read from the first of January to noon of the sixth, but for the third.
    fn view(zone: chrono_tz::Tz) -> StreamDays {
        let (never, ever) = ("1900-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
        let rows = [("2026-01-01", 2), ("2026-01-02", 4), ("2026-01-06", 1), ("2025-12-31", 7)];
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        StreamDays {
            zone,
            start: Some(at("2026-01-01T00:00:00Z")),
            unknown: coverage(&[
                (never, "2026-01-01T00:00:00Z"),
                ("2026-01-03T06:00:00Z", "2026-01-04T00:00:00Z"),
                ("2026-01-06T12:00:00Z", ever),
            ]),
            unsettled: coverage(&[
                (never, "2026-01-01T00:00:00Z"),
                ("2026-01-03T06:00:00Z", "2026-01-04T00:00:00Z"),
                ("2026-01-05T00:00:00Z", ever),
            ]),
            broken: coverage(&[]),
            date: Some("day".to_owned()),
            rows: rows.into_iter().map(|(name, rows)| (day(name), rows)).collect(),
            elsewhere: 3,
        }
    }

    fn states(calendar: &DayCalendar) -> Vec<DayState> {
        calendar.days.iter().map(|day| day.state).collect()
    }

    #[test]
    fn a_day_is_what_its_worst_part_is() {
        use DayState::{Broken, Complete, Pending, Settled, Today};
        let mut view = view(chrono_tz::UTC);
        let calendar = calendar_of(&view, at("2026-01-06T15:00:00Z"), 30);
        assert_eq!(states(&calendar), [Settled, Settled, Pending, Settled, Complete, Today]);
        let rows: Vec<u64> = calendar.days.iter().filter_map(|day| day.rows).collect();
        assert_eq!(rows, [2, 4, 0, 0, 0, 1]);
        assert_eq!((calendar.rows_before, calendar.rows_elsewhere), (7, 3));
        view.broken = coverage(&[("2026-01-03T06:00:00Z", "2026-01-04T00:00:00Z")]);
        assert_eq!(states(&calendar_of(&view, at("2026-01-06T15:00:00Z"), 30))[2], Broken);
        // A day later the day that was read to noon is one that is missing a part.
        let later = calendar_of(&view, at("2026-01-07T15:00:00Z"), 30);
        assert_eq!(states(&later)[5..], [Pending, Pending]);
    }

    #[test]
    fn the_days_are_those_of_the_zone() {
        let view = view(chrono_tz::Asia::Tokyo);
        let calendar = calendar_of(&view, at("2026-01-06T11:00:00Z"), 30);
        // Tokyo's third of January ends at 15:00 UTC, and its fourth begins in what is not read.
        assert_eq!(states(&calendar)[2..4], [DayState::Pending, DayState::Pending]);
        assert_eq!(calendar.days.len(), 6);
        assert_eq!(calendar.zone, "Asia/Tokyo");
    }

    #[test]
    fn what_is_older_than_the_days_shown_is_told_and_not_left_out() {
        let view = view(chrono_tz::UTC);
        let calendar = calendar_of(&view, at("2026-01-06T15:00:00Z"), 2);
        assert_eq!(calendar.days.len(), 2);
        assert_eq!(calendar.unread_before_ms, 18 * 3_600_000);
        assert_eq!(calendar.rows_before, 13);
    }

    #[test]
    fn a_stream_without_windows_has_the_days_of_its_rows() {
        let mut view = view(chrono_tz::UTC);
        view.start = None;
        let calendar = calendar_of(&view, at("2027-01-06T15:00:00Z"), 30);
        assert_eq!(calendar.days.len(), 7);
        assert!(states(&calendar).iter().all(|state| *state == DayState::NoWindow));
        view.rows = BTreeMap::new();
        assert_eq!(calendar_of(&view, at("2027-01-06T15:00:00Z"), 30).days, []);
    }

    #[test]
    fn the_tallest_bar_fills_the_chart() {
        let calendar = calendar_of(&view(chrono_tz::UTC), at("2026-01-06T15:00:00Z"), 30);
        let chart = chart_of(&calendar.days).expect("a chart");
        assert_eq!((chart.most, chart.bars.len(), chart.unit), (4, 6, "day"));
        let heights: Vec<f64> = chart.bars.iter().map(|bar| bar.height).collect();
        assert_eq!(heights, [50.0, 100.0, 0.0, 0.0, 0.0, 25.0]);
        assert!(chart.bars[2].open && !chart.bars[3].open);
        let long = calendar_of(&view(chrono_tz::UTC), at("2027-12-31T15:00:00Z"), 3_000);
        let chart = chart_of(&long.days).expect("a chart");
        assert_eq!((chart.unit, chart.bars.len(), chart.most), ("month", 24, 7));
    }

    #[test]
    fn a_month_has_a_cell_for_each_day_and_the_sum_of_its_rows() {
        let calendar = calendar_of(&view(chrono_tz::UTC), at("2026-02-02T15:00:00Z"), 400);
        let months = months_of(&calendar.days);
        assert_eq!(months.len(), 2);
        assert_eq!(months[0].rows, Some(7));
        assert_eq!(months[0].cells.iter().flatten().count(), 31);
        assert_eq!(months[1].cells.iter().flatten().count(), 2);
        let cell = months[0].cells[1].as_ref().expect("a day");
        assert_eq!(cell.title, "2026-01-02, Friday: read, settled, 4 rows");
    }
}

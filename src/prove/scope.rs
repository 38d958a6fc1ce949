//! Which rows a proof may judge: those whose own time, and whose parent, is of a place that was
//! read. A request reaches further than its window, and what came that way proves nothing.

use std::collections::HashMap;

use chrono_tz::Tz;

use crate::definition::{ColumnType, CursorMark, CursorRules, Scalar, Span, Start, WindowRules};
use crate::model::{Timestamp, Window, instant_to_text};
use crate::store::Value;
use crate::sync::time_mark;
use crate::window::floor_to;

/// A half-open range of a column's values.
pub type Range = (Value, Value);

/// Finds the place (parent and window) that a row belongs to.
#[derive(Debug)]
pub struct Scopes {
    /// The value of a row that holds its own time, where it has one.
    pub field: Option<usize>,
    /// The values of a row that name its parent.
    pub links: Vec<usize>,
    /// By the parent's values: the ranges, sorted, and the numbers of their places.
    by_parent: HashMap<Vec<String>, Vec<(Option<Range>, usize)>>,
}

impl Scopes {
    /// No places yet, of rows with such a field and such links.
    pub fn new(field: Option<usize>, links: Vec<usize>) -> Self {
        Self { field, links, by_parent: HashMap::new() }
    }

    /// Adds a place that was read: no range stands for all values.
    pub fn add(&mut self, parent: Vec<String>, range: Option<Range>, place: usize) {
        let ranges = self.by_parent.entry(parent).or_default();
        // Where nothing tells the parents' rows apart, the first of them stands for all.
        if !ranges.iter().any(|(have, _)| *have == range) {
            ranges.push((range, place));
        }
    }

    /// Puts the ranges in order; to be called once, after the last place.
    pub fn sort(&mut self) {
        for ranges in self.by_parent.values_mut() {
            ranges.sort_by(|(a, _), (b, _)| from_of(a).cmp(&from_of(b)));
        }
    }

    /// The place that a row belongs to, if it is one that was read.
    pub fn place_of(&self, values: &[Value]) -> Option<usize> {
        let parent: Vec<String> = self.links.iter().map(|at| text_of_value(&values[*at])).collect();
        let ranges = self.by_parent.get(&parent)?;
        let Some(field) = self.field else { return ranges.first().map(|(_, place)| *place) };
        let own = sort_key(&values[field]);
        let starts_before =
            |range: &Option<Range>| range.as_ref().is_none_or(|(from, _)| sort_key(from) <= own);
        let after = ranges.partition_point(|(range, _)| starts_before(range));
        let (range, place) = ranges.get(after.checked_sub(1)?)?;
        let inside = range.as_ref().is_none_or(|(_, to)| own < sort_key(to));
        inside.then_some(*place)
    }

    /// The smallest range that holds all.
    pub fn hull(&self) -> Option<Range> {
        let ranges = || self.by_parent.values().flatten().filter_map(|(range, _)| range.as_ref());
        let from = ranges().map(|(from, _)| from).min_by_key(|from| sort_key(from))?;
        let to = ranges().map(|(_, to)| to).max_by_key(|to| sort_key(to))?;
        Some((from.clone(), to.clone()))
    }

    /// Whether there is no place at all.
    pub fn is_empty(&self) -> bool {
        self.by_parent.is_empty()
    }
}

fn from_of(range: &Option<Range>) -> Option<(u8, i64, &str)> {
    range.as_ref().map(|(from, _)| sort_key(from))
}

/// Orders the values that times and marks have; everything else comes first, and so before every
/// range.
fn sort_key(value: &Value) -> (u8, i64, &str) {
    match value {
        Value::Integer(number) => (1, *number, ""),
        Value::Text(text) => (2, 0, text),
        _ => (0, 0, ""),
    }
}

/// A parent's value as text: a child may hold it under another type.
pub fn text_of_scalar(scalar: Option<&Scalar>) -> String {
    match scalar {
        Some(Scalar::Text(text)) => text.clone(),
        Some(Scalar::Integer(number)) => number.to_string(),
        Some(Scalar::Real(number)) => number.to_string(),
        Some(Scalar::Null) | None => String::new(),
    }
}

fn text_of_value(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Null | Value::Blob(_) => String::new(),
    }
}

/// The values that a window's rows have in its field. A date is of a window that holds the whole
/// of its day; none where there is no such day.
pub fn window_range(window: Window, kind: ColumnType, rules: &WindowRules) -> Option<Range> {
    let range = match kind {
        ColumnType::Timestamp => (instant_to_text(window.start()), instant_to_text(window.end())),
        ColumnType::Date => {
            let start = window.start().with_timezone(&rules.zone).date_naive();
            let whole = is_midnight(window.start(), rules.zone);
            let first = if whole { start } else { start.succ_opt()? };
            let after = window.end().with_timezone(&rules.zone).date_naive();
            (first.to_string(), after.to_string())
        }
        _ => return None,
    };
    (range.0 < range.1).then_some((Value::Text(range.0), Value::Text(range.1)))
}

fn is_midnight(at: Timestamp, zone: Tz) -> bool {
    floor_to(at, Span { days: 1, ..Span::ZERO }, zone) == at
}

/// The values of a mark's field that a next sync would not ask for again: from the first mark up
/// to without the last one, moved back by the overlap.
pub fn mark_range(
    mark: &str,
    kind: ColumnType,
    rules: &CursorRules,
    now: Timestamp,
) -> Option<Range> {
    let range = match &rules.mark {
        CursorMark::Integer { start, overlap } => {
            let last = mark.parse::<i64>().ok()?.saturating_sub(*overlap);
            return (*start < last).then_some((Value::Integer(*start), Value::Integer(last)));
        }
        CursorMark::Time { start, overlap } => {
            let first = match start {
                Start::At(at) => *at,
                Start::Ago(span) => span.before(now, rules.zone)?,
            };
            (first, overlap.before(time_mark(mark)?, rules.zone)?)
        }
    };
    let text = match kind {
        ColumnType::Date => {
            // The day in which the first mark lies may have been asked for in part.
            let first = range.0.date_naive();
            let whole = is_midnight(range.0, chrono_tz::UTC);
            let first = if whole { first } else { first.succ_opt()? };
            (first.to_string(), range.1.date_naive().to_string())
        }
        _ => (instant_to_text(range.0), instant_to_text(range.1)),
    };
    (text.0 < text.1).then_some((Value::Text(text.0), Value::Text(text.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        crate::model::instant_from_text(text).expect("an instant")
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn days(from: &str, to: &str) -> Option<Range> {
        Some((text(from), text(to)))
    }

    #[test]
    fn a_row_belongs_to_the_window_of_its_own_time_and_to_its_parent() {
        let mut scopes = Scopes::new(Some(1), vec![0]);
        scopes.add(vec!["7".to_owned()], days("2026-01-05", "2026-01-06"), 1);
        scopes.add(vec!["7".to_owned()], days("2026-01-01", "2026-01-03"), 0);
        scopes.add(vec!["8".to_owned()], days("2026-01-01", "2026-01-02"), 2);
        scopes.sort();
        let cases = [
            (Value::Integer(7), text("2026-01-01"), Some(0)),
            (Value::Integer(7), text("2026-01-02"), Some(0)),
            (Value::Integer(7), text("2026-01-03"), None),
            (text("7"), text("2026-01-05"), Some(1)),
            (text("7"), text("2026-01-06"), None),
            (text("7"), text("2025-12-31"), None),
            (text("7"), Value::Null, None),
            (text("8"), text("2026-01-01"), Some(2)),
            (text("9"), text("2026-01-01"), None),
        ];
        for (parent, day, expected) in cases {
            let row = [parent, day];
            assert_eq!(scopes.place_of(&row), expected, "{row:?}");
        }
        assert_eq!(scopes.hull(), days("2026-01-01", "2026-01-06"));
    }

    #[test]
    fn a_date_is_only_judged_where_its_whole_day_was_read() {
        let berlin = chrono_tz::Europe::Berlin;
        let format = crate::definition::TimeFormat::parse("rfc3339").expect("a format");
        let rules = WindowRules {
            field: "day".to_owned(),
            start: Start::Ago(Span::ZERO),
            step: Span { days: 1, ..Span::ZERO },
            overlap: Span::ZERO,
            lateness: Span::ZERO,
            refresh: None,
            zone: berlin,
            precision: format.precision(),
            asks_for_end: false,
            format,
            bounds: crate::definition::Bounds::ClosedOpen,
            ahead: false,
            order: crate::definition::Order::Oldest,
            max_span: None,
        };
        let cases = [
            ("2026-01-01T23:00:00Z", "2026-01-02T23:00:00Z", days("2026-01-02", "2026-01-03")),
            ("2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z", days("2026-01-03", "2026-01-04")),
            ("2026-01-01T23:00:00Z", "2026-01-02T11:00:00Z", None),
        ];
        for (from, to, expected) in cases {
            let window = Window::new(at(from), at(to)).expect("a window");
            assert_eq!(window_range(window, ColumnType::Date, &rules), expected, "{from}");
        }
    }

    #[test]
    fn a_mark_is_judged_up_to_where_the_next_sync_begins() {
        let rules = |mark| CursorRules {
            field: "at".to_owned(),
            mark,
            format: crate::definition::TimeFormat::parse("rfc3339").expect("a format"),
            zone: Tz::UTC,
            refresh: None,
        };
        let now = at("2026-01-10T12:00:00Z");
        let whole = rules(CursorMark::Integer { start: 0, overlap: 5 });
        let expected = Some((Value::Integer(0), Value::Integer(95)));
        assert_eq!(mark_range("100", ColumnType::Integer, &whole, now), expected);
        assert_eq!(mark_range("3", ColumnType::Integer, &whole, now), None);
        let span = |text| Span::parse(text).expect("a span");
        let time =
            rules(CursorMark::Time { start: Start::Ago(span("2 days")), overlap: span("1 hour") });
        let mark = "2026-01-10T11:00:00+00:00";
        let expected = days("2026-01-08T12:00:00+00:00", "2026-01-10T10:00:00+00:00");
        assert_eq!(mark_range(mark, ColumnType::Timestamp, &time, now), expected);
        assert_eq!(
            mark_range(mark, ColumnType::Date, &time, now),
            days("2026-01-09", "2026-01-10")
        );
    }
}

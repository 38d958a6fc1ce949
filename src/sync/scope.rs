//! The rows of which a complete fetch can tell that they are gone.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;

use crate::definition::{Column, ColumnType, Scalar, Stream, StreamKind, resolve_local};
use crate::model::{GoneScope, Timestamp, Window, WindowKey, instant_to_text};

/// The rows that a fetch of `place` must have returned if they were there, as far as it counts:
/// those whose own time lies in the window, and not in its overlap, which is no coverage; those of
/// its parent. None where that cannot be told, or nothing would be done about it.
pub fn scope_of(
    stream: &Stream,
    columns: &[Column],
    window_key: &WindowKey,
    parent: &BTreeMap<String, Scalar>,
    read_to: Option<Timestamp>,
) -> Option<GoneScope> {
    let rules = stream.missing.as_ref()?;
    let field = match &stream.kind {
        StreamKind::Cursor(_) => return None,
        StreamKind::Snapshot { .. } => None,
        StreamKind::Window(window) => {
            let window_key = window_key.window?;
            let known = Window::new(window_key.start(), window_key.end().min(read_to?))?;
            let kind = columns.iter().find(|column| column.name == window.field)?.kind;
            let (first, after) = bounds_inside(kind, known, window.zone)?;
            Some((window.field.clone(), first, after))
        }
    };
    let of_parent = |(column, part): &(String, String)| {
        parent.get(part).map(|value| (column.clone(), value.clone()))
    };
    let parent = rules.parent.iter().map(of_parent).collect::<Option<Vec<_>>>()?;
    Some(GoneScope {
        field,
        parent,
        delete: rules.delete,
        ratio_max: rules.ratio_max,
        min: rules.min,
    })
}

/// The first value that lies inside and the first one after, as the column stores them. A day
/// lies inside when all of it does.
fn bounds_inside(kind: ColumnType, known: Window, zone: Tz) -> Option<(String, String)> {
    match kind {
        ColumnType::Timestamp => {
            Some((instant_to_text(known.start()), instant_to_text(known.end())))
        }
        ColumnType::Date => {
            let day = known.start().with_timezone(&zone).date_naive();
            let begun = begins(day, zone)? < known.start();
            let first = if begun { day.succ_opt()? } else { day };
            let after = known.end().with_timezone(&zone).date_naive();
            (first < after).then(|| (first.to_string(), after.to_string()))
        }
        _ => None,
    }
}

fn begins(day: NaiveDate, zone: Tz) -> Option<Timestamp> {
    resolve_local(day.and_time(NaiveTime::MIN), zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(kind: ColumnType, start: &str, end: &str, zone: Tz) -> Option<(String, String)> {
        let at = |text| crate::model::instant_from_text(text).expect("an instant");
        bounds_inside(kind, Window::new(at(start), at(end)).expect("a window"), zone)
    }

    #[test]
    fn a_day_is_only_judged_by_a_fetch_that_covers_all_of_it() {
        let days = |start, end, zone| {
            inside(ColumnType::Date, start, end, zone).map(|(a, b)| format!("{a}..{b}"))
        };
        let utc = Tz::UTC;
        let whole = days("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z", utc);
        assert_eq!(whole.as_deref(), Some("2026-01-01..2026-01-03"));
        let cut = days("2026-01-01T06:00:00Z", "2026-01-03T12:00:00Z", utc);
        assert_eq!(cut.as_deref(), Some("2026-01-02..2026-01-03"));
        assert_eq!(days("2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z", utc), None);
        let berlin = days("2025-12-31T23:00:00Z", "2026-01-01T23:00:00Z", Tz::Europe__Berlin);
        assert_eq!(berlin.as_deref(), Some("2026-01-01..2026-01-02"));
    }

    #[test]
    fn an_instant_is_judged_up_to_where_the_fetch_counts() {
        let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-01T12:00:00.5Z");
        assert_eq!(
            inside(ColumnType::Timestamp, start, end, Tz::UTC),
            Some(("2026-01-01T00:00:00+00:00".into(), "2026-01-01T12:00:00.5+00:00".into()))
        );
        assert_eq!(inside(ColumnType::Text, start, end, Tz::UTC), None);
    }
}

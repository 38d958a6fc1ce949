//! What a grid in time, a mark or a snapshot means.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;

use super::bounds::BoundFormat;
use crate::definition::context::Context;
use crate::definition::raw::{
    RawBounds, RawCursor, RawCursorStart, RawOrder, RawStream, RawWindow,
};
use crate::definition::{
    Column, ColumnType, CursorMark, CursorRules, Span, Start, StreamKind, WindowRules,
    resolve_local,
};

pub(super) fn resolve_kind(
    stream: &str,
    raw: &RawStream,
    columns: Option<&[Column]>,
    context: &mut Context<'_>,
) -> Option<StreamKind> {
    let place = ["streams", stream, "refresh"];
    match (&raw.window, &raw.cursor) {
        (Some(_), Some(_)) => {
            let message = "a stream has a `window` or a `cursor`, not both";
            context.report(&["streams", stream, "cursor"], message);
            None
        }
        (None, None) => {
            Some(StreamKind::Snapshot { refresh: context.duration(&place, raw.refresh.as_deref()) })
        }
        _ if raw.refresh.is_some() => {
            let message = "`refresh` belongs into `window` or `cursor` here";
            context.report(&place, message);
            None
        }
        (Some(window), None) => {
            check_field(
                &["streams", stream, "window", "field"],
                &window.field,
                columns,
                &[ColumnType::Date, ColumnType::Timestamp],
                context,
            );
            let rules = resolve_window(stream, window, columns, context)?;
            Some(StreamKind::Window(Box::new(rules)))
        }
        (None, Some(cursor)) => {
            let integer = matches!(cursor.start, RawCursorStart::Integer(_));
            let types: &[ColumnType] = if integer {
                &[ColumnType::Integer]
            } else {
                &[ColumnType::Date, ColumnType::Timestamp]
            };
            let place = ["streams", stream, "cursor", "field"];
            check_field(&place, &cursor.field, columns, types, context);
            resolve_cursor(stream, cursor, context).map(|rules| StreamKind::Cursor(Box::new(rules)))
        }
    }
}

/// The field must be a column, and of a type that can be compared with a bound.
fn check_field(
    place: &[&str],
    field: &str,
    columns: Option<&[Column]>,
    types: &[ColumnType],
    context: &mut Context<'_>,
) {
    let Some(columns) = columns else { return };
    match columns.iter().find(|column| column.name == field) {
        None => {
            let known = columns.iter().map(|column| column.name.clone()).collect();
            context.unknown(place, "the column", field, &known);
        }
        Some(column) if !types.contains(&column.kind) => {
            let names: Vec<String> = types
                .iter()
                .map(|kind| format!("`{}`", format!("{kind:?}").to_lowercase()))
                .collect();
            let message = format!("the column `{field}` must be of type {}", names.join(" or "));
            context.report(place, message);
        }
        Some(_) => {}
    }
}

fn resolve_window(
    stream: &str,
    raw: &RawWindow,
    columns: Option<&[Column]>,
    context: &mut Context<'_>,
) -> Option<WindowRules> {
    let at = |key: &'static str| ["streams", stream, "window", key];
    let zone = context.zone(&at("timezone"), raw.timezone.as_deref());
    let start = parse_start(&raw.start, zone, raw.timezone.is_some());
    let start = context.take(&at("start"), start);
    let step = context.take(&at("step"), Span::parse(&raw.step));
    if step.is_some_and(Span::is_zero) {
        context.report(&at("step"), "a window must be longer than nothing");
    }
    let mixed = step.is_some_and(|s| {
        (s.months > 0 || s.days > 0) && s.millis > 0 || s.months > 0 && s.days > 0
    });
    if mixed {
        context.report(&at("step"), "a step is in months, in days or in hours, not in a mixture");
    }
    let overlap = context.duration(&at("overlap"), raw.overlap.as_deref());
    let lateness = context.duration(&at("lateness"), raw.lateness.as_deref());
    let refresh = context.duration(&at("refresh"), raw.refresh.as_deref());
    let format = context.time_format(&at("format"), raw.format.as_deref());
    let bounds = BoundFormat {
        stream,
        table: "window",
        format: &format,
        zone,
        zone_is_said: raw.timezone.is_some(),
    };
    let precision = context.duration(&at("precision"), raw.precision.as_deref());
    let precision = precision.unwrap_or_else(|| format.precision());
    if bounds.check(context) {
        check_precision(stream, step, precision, &format, raw, context);
        if let Some(step) = step {
            bounds.check_step(step, start.as_ref(), context);
        }
    }
    let overlap = overlap.unwrap_or_default();
    let max_span = context.duration(&at("max_span"), raw.max_span.as_deref());
    // A lower bound that is excluded is written one step earlier.
    let excluded = matches!(raw.bounds, Some(RawBounds::OpenClosed | RawBounds::OpenOpen));
    let written = if excluded { precision.approximate_millis() } else { 0 };
    let taken = overlap.approximate_millis() + written;
    if let Some(most) = max_span
        && most.approximate_millis() <= taken
    {
        let message = "`max_span` must be longer than `overlap`, and than `precision` on top of \
                       it where the lower bound is excluded";
        context.report(&at("max_span"), message);
    }
    Some(WindowRules {
        field: raw.field.clone(),
        start: start?,
        step: step?,
        overlap,
        lateness: lateness.unwrap_or_default(),
        refresh,
        zone,
        format,
        bounds: raw.bounds.unwrap_or(RawBounds::ClosedOpen),
        precision,
        asks_for_end: raw.precision.is_none() && !is_date(columns, &raw.field),
        ahead: raw.ahead,
        order: raw.order.unwrap_or(RawOrder::Oldest),
        max_span,
    })
}

/// Whether the records' own times are days.
fn is_date(columns: Option<&[Column]>, field: &str) -> bool {
    let mut columns = columns.into_iter().flatten();
    columns.any(|column| column.name == field && column.kind == ColumnType::Date)
}

/// A bound that the format cannot show, or a step that the API cannot tell apart, would lose
/// records at every seam.
fn check_precision(
    stream: &str,
    step: Option<Span>,
    precision: Span,
    format: &crate::definition::TimeFormat,
    raw: &RawWindow,
    context: &mut Context<'_>,
) {
    let at = |key: &'static str| ["streams", stream, "window", key];
    let parts = [precision.months > 0, precision.days > 0, precision.millis > 0];
    let single = parts.iter().filter(|part| **part).count() == 1;
    let divides_day = precision.millis == 0 || 86_400_000 % precision.millis == 0;
    if !single
        || precision.months > 1 && 12 % precision.months != 0
        || precision.days > 1
        || !divides_day
    {
        let message = "a precision is one unit, such as `1 day`, `1 second` or `15 minutes`";
        return context.report(&at("precision"), message);
    }
    if precision.approximate_millis() < format.finest().approximate_millis() {
        let message = format!(
            "the format shows {} at its finest, but `precision` says that the API tells \
             {precision} apart",
            format.finest()
        );
        context.report(&at("precision"), message);
    }
    let Some(step) = step else { return };
    if step.approximate_millis() < precision.approximate_millis() {
        let place = if raw.precision.is_some() { at("precision") } else { at("step") };
        let message = format!("a step of {step} is shorter than the API's precision: {precision}");
        let help = "give a finer `format` or a longer `step`".to_owned();
        context.report_help(&place, message, Some(help));
    }
}

fn resolve_cursor(stream: &str, raw: &RawCursor, context: &mut Context<'_>) -> Option<CursorRules> {
    let at = |key: &'static str| ["streams", stream, "cursor", key];
    let zone = context.zone(&at("timezone"), raw.timezone.as_deref());
    let mark = match &raw.start {
        RawCursorStart::Integer(start) => match raw.overlap {
            None => CursorMark::Integer { start: *start, overlap: 0 },
            Some(RawCursorStart::Integer(overlap)) if overlap >= 0 => {
                CursorMark::Integer { start: *start, overlap }
            }
            Some(_) => {
                let message = "the overlap of an integer cursor is a number, 0 or more";
                context.report(&at("overlap"), message);
                return None;
            }
        },
        RawCursorStart::Text(start) => {
            let start = parse_start(start, zone, raw.timezone.is_some());
            let start = context.take(&at("start"), start);
            let overlap = match &raw.overlap {
                None => Some(Span::ZERO),
                Some(RawCursorStart::Text(text)) => context.take(&at("overlap"), Span::parse(text)),
                Some(RawCursorStart::Integer(number)) => {
                    let message = format!("{number} has no unit. Write one: `{number} days`");
                    context.report(&at("overlap"), message);
                    None
                }
            };
            CursorMark::Time { start: start?, overlap: overlap? }
        }
    };
    let format = context.time_format(&at("format"), raw.format.as_deref());
    if matches!(mark, CursorMark::Time { .. }) {
        let zone_is_said = raw.timezone.is_some();
        BoundFormat { stream, table: "cursor", format: &format, zone, zone_is_said }.check(context);
    }
    Some(CursorRules {
        field: raw.field.clone(),
        mark,
        format,
        zone,
        refresh: context.duration(&at("refresh"), raw.refresh.as_deref()),
    })
}

/// A date, a timestamp or `-90 days`.
pub fn parse_start(text: &str, zone: Tz, zone_is_said: bool) -> Result<Start, String> {
    if let Some(ago) = text.strip_prefix('-') {
        return Span::parse(ago).map(Start::Ago);
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        let local = date.and_time(NaiveTime::MIN);
        return local_start(local, zone).ok_or_else(|| format!("`{text}` is out of range"));
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return whole_millis(at.to_utc()).ok_or_else(|| format!("`{text}` is out of range"));
    }
    let local = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|pattern| NaiveDateTime::parse_from_str(text, pattern).ok());
    match local {
        Some(local) if zone_is_said => {
            local_start(local, zone).ok_or_else(|| format!("`{text}` is out of range"))
        }
        Some(_) => Err(format!(
            "`{text}` has no offset: write `{text}Z`, or say which zone it is in with `timezone`"
        )),
        None => Err(format!(
            "`{text}` is neither a date (`2025-01-01`), a timestamp (`2025-01-01T00:00:00Z`) nor a \
             time back from the first sync (`-90 days`)"
        )),
    }
}

fn local_start(local: NaiveDateTime, zone: Tz) -> Option<Start> {
    whole_millis(resolve_local(local, zone)?)
}

fn whole_millis(at: DateTime<Utc>) -> Option<Start> {
    DateTime::from_timestamp_millis(at.timestamp_millis()).map(Start::At)
}

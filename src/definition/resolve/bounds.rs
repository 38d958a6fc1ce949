//! Whether a format can write the bounds that a stream asks for, and in which zone.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::definition::context::Context;
use crate::definition::local_time::has_clock_changes;
use crate::definition::{Span, Start, TimeFormat};

/// The format of a window's or a cursor's bounds, and the zone that they are in.
pub(super) struct BoundFormat<'a> {
    pub stream: &'a str,
    /// The table of the definition that has the bounds: `window` or `cursor`.
    pub table: &'static str,
    pub format: &'a TimeFormat,
    pub zone: Tz,
    /// Whether the definition says the zone.
    pub zone_is_said: bool,
}

impl BoundFormat<'_> {
    /// Reports why no bound can be written so. Tells whether all is well.
    pub(super) fn check(&self, context: &mut Context<'_>) -> bool {
        let place = ["streams", self.stream, self.table, "format"];
        if !check_utc(&place, self.format, self.zone, context) {
            return false;
        }
        if let Some(fault) = self.format.fault_of_bounds(self.zone) {
            let help = "a bound needs year, month and day, and a time of day in 24 hours or with \
                        `%p`, for example `%Y-%m-%d %H:%M:%S%z`; docs/formats.md has all of them";
            context.report_help(&place, fault, Some(help.to_owned()));
            return false;
        }
        if self.format.is_local() && !self.zone_is_said {
            let message = "the format shows hours and no offset: nothing says which zone its times \
                           are in";
            let help = "write `timezone = \"UTC\"`, or the zone of the account, such as \
                        `timezone = \"America/New_York\"`";
            context.report_help(&place, message.to_owned(), Some(help.to_owned()));
            return false;
        }
        true
    }

    /// Reports a step that would ask for the hour that comes twice as for an empty one.
    pub(super) fn check_step(&self, step: Span, start: Option<&Start>, context: &mut Context<'_>) {
        let under_a_day = step.exact_millis().is_some();
        if !under_a_day || !self.format.is_local() {
            return;
        }
        let since = match start {
            Some(Start::At(at)) => *at,
            Some(Start::Ago(span)) => span.before(epoch(), self.zone).unwrap_or(epoch()),
            None => epoch(),
        };
        if has_clock_changes(self.zone, since) {
            let message = format!(
                "in {} an hour comes twice when the clocks go back, and the format has no offset: \
                 a window of {step} in it would be asked for as an empty one",
                self.zone
            );
            let help = "show the offset with `%z` in `format`, write `format = \"unix\"`, or \
                        `timezone = \"UTC\"` if the API takes that; a `step` of days is safe too";
            let place = ["streams", self.stream, self.table, "step"];
            context.report_help(&place, message, Some(help.to_owned()));
        }
    }
}

/// 2025-01-01: a definition is checked without a clock, and a start that counts back from now lies
/// after a start that counts back from then.
fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_735_689_600, 0).unwrap_or_default()
}

/// Letters such as `Z` after the time say UTC: then it is no other zone's. Tells whether all is
/// well.
pub(super) fn check_utc(
    place: &[&str],
    format: &TimeFormat,
    zone: Tz,
    context: &mut Context<'_>,
) -> bool {
    let is_utc = |at: &DateTime<Utc>| {
        zone.from_utc_datetime(&at.naive_utc()).naive_local() == at.naive_utc()
    };
    let half_a_year = epoch() + TimeDelta::days(181);
    if !format.says_utc() || is_utc(&epoch()) && is_utc(&half_a_year) {
        return true;
    }
    let message = format!("the format says UTC after the time, and `timezone` says {zone}");
    let help = "write `%:z` for these letters, or `timezone = \"UTC\"`";
    context.report_help(place, message, Some(help.to_owned()));
    false
}

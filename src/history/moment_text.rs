//! A moment of the past, as a person writes it: a run's number, a date, a time, a time back.

use chrono::{Days, NaiveDate, NaiveTime};

use crate::definition::{Start, parse_start};
use crate::history::moment::Moment;
use crate::model::{Error, Timestamp, instant_from_text};
use crate::store::Reader;

/// Later than anything that an archive can say.
const END_OF_TIME: &str = "9999-12-31T23:59:59+00:00";

/// What the archive said on a day (at its end, UTC), at an instant, or once a run had ended. What
/// is not past yet is now, whatever clocks an archive has seen.
pub fn as_of(text: &str, reader: &Reader, now: Timestamp) -> Result<Moment, Error> {
    if let Some(run) = run_of(text, reader)? {
        return Ok(run);
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let next_day = date.and_then(|date| date.checked_add_days(Days::new(1)));
    let moment = match next_day {
        Some(next) => Moment::Before(next.and_time(NaiveTime::MIN).and_utc()),
        None => Moment::After(instant(text, now)?),
    };
    let end = instant_from_text(END_OF_TIME).expect("a constant of the right form");
    Ok(match moment {
        Moment::Before(at) | Moment::After(at) if at >= now => Moment::After(end),
        moment => moment,
    })
}

/// Where changes begin to count: after a run, or from the beginning of a day or an instant on.
pub fn since(text: &str, reader: &Reader, now: Timestamp) -> Result<Moment, Error> {
    match run_of(text, reader)? {
        Some(run) => Ok(run),
        None => Ok(Moment::Before(instant(text, now)?)),
    }
}

fn run_of(text: &str, reader: &Reader) -> Result<Option<Moment>, Error> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let none = || {
        let help = "`windrow runs` lists them; a time is written as `2026-03-03` or `-7 days`";
        Error::usage(format!("there is no run {text}")).help(help)
    };
    let run: i64 = text.parse().map_err(|_| none())?;
    if run > 0 && reader.run_row(run)?.is_none() {
        return Err(none());
    }
    Ok(Some(Moment::Run(run)))
}

fn instant(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let start = parse_start(text, chrono_tz::UTC, false).map_err(|message| {
        let help = "write a date (`2026-03-03`), a time (`2026-03-03T12:00:00Z`), a time back \
            (`-7 days`), or the number of a run";
        Error::usage(message).help(help)
    })?;
    match start {
        Start::At(at) => Ok(at),
        Start::Ago(span) => span
            .before(now, chrono_tz::UTC)
            .ok_or_else(|| Error::usage(format!("`{text}` is out of range"))),
    }
}

//! What a person asks of each day of a stream: was it read, and how many rows does it have.

use std::collections::BTreeMap;

use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;

use crate::definition::Stream;
use crate::model::{Error, Timestamp};
use crate::store::{Reader, StreamRow};
use crate::window::Coverage;

use super::finding::Collector;
use super::options::CheckOptions;
use super::series::day_of;
use super::stream::{check_ledger, date_column, zone_of};

/// Days before and after now whose rows are counted one by one: a hundred years. Dates of garbage
/// cannot fill the memory.
const DAYS_APART_MAX: i64 = 36_525;

/// The days of a stream.
#[derive(Debug)]
pub struct StreamDays {
    /// Whose days they are.
    pub zone: Tz,
    /// Where its grid starts; none for a stream without windows.
    pub start: Option<Timestamp>,
    /// What not every partition has read.
    pub unknown: Coverage,
    /// What in some partition may still change.
    pub unsettled: Coverage,
    /// What in some partition was begun and not finished, or cannot be read.
    pub broken: Coverage,
    /// The column that tells the day of a row.
    pub date: Option<String>,
    /// Rows by their day; empty without such a column.
    pub rows: BTreeMap<NaiveDate, u64>,
    /// Rows whose day is more than a hundred years from now, or cannot be told.
    pub elsewhere: u64,
}

/// Looks at the ledger of a stream and at the dates of its rows.
pub fn days_of(
    reader: &Reader,
    options: &CheckOptions<'_>,
    stream: &Stream,
    row: Option<&StreamRow>,
) -> Result<StreamDays, Error> {
    // What is wrong is told by a check.
    let sum = check_ledger(reader, options, stream, &mut Collector::default())?;
    let zone = zone_of(stream);
    let today = options.now.with_timezone(&zone).date_naive();
    let mut days = StreamDays {
        zone,
        start: options.starts.get(&stream.name).copied(),
        unknown: Coverage::of(sum.unknown),
        unsettled: Coverage::of(sum.unsettled),
        broken: Coverage::of(sum.broken),
        date: None,
        rows: BTreeMap::new(),
        elsewhere: 0,
    };
    let found = row.and_then(|row| date_column(stream, row));
    let Some((column, dates)) = found else { return Ok(days) };
    let apart = TimeDelta::days(DAYS_APART_MAX);
    let near = |day: &NaiveDate| (*day - today).abs() <= apart;
    reader.dates(&stream.name, &column, &mut |text| match day_of(dates, text).filter(near) {
        Some(day) => *days.rows.entry(day).or_default() += 1,
        None => days.elsewhere += 1,
    })?;
    days.date = Some(column);
    Ok(days)
}

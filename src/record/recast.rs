//! A column that was corrected: its values for the rows that are there, from what is kept of each.
//!
//! The old value goes back to where it came from in the record, as far as it is known what stood
//! there, and the new column takes its value from there.

use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::canonical::write_string;
use super::coerce::{coerce, is_json_number};
use super::filler::Filler;
use super::reader::{RecordReader, names_only};
use crate::definition::{Column, ColumnOrigin, TimeFormat, TypeFamily};
use crate::model::{Cell, RowSet, hexadecimal, instant_from_text};

/// Whether two definitions of a column read the same record otherwise.
pub fn is_read_otherwise(before: &Column, now: &Column) -> bool {
    // What is written out is the default of a timestamp, and not of a date.
    let format = |column: &Column| {
        let default = column.kind.family() == TypeFamily::Timestamp;
        column.format.clone().filter(|format| !default || *format != TimeFormat::Rfc3339)
    };
    let meaning =
        |column: &Column| (column.kind, column.origin.clone(), format(column), column.zone);
    meaning(before) != meaning(now)
        || before.null_values != now.null_values
        || before.ambiguous != now.ambiguous
}

/// The columns that another definition reads otherwise, or within another tolerance, each as it was
/// and as it is. A column that only one of the two has is none.
pub fn corrected<'c>(before: &'c [Column], now: &'c [Column]) -> Vec<(&'c Column, &'c Column)> {
    let pairs = now.iter().filter_map(|now| {
        let before = before.iter().find(|it| it.name == now.name)?;
        let differs = is_read_otherwise(before, now) || before.tolerance != now.tolerance;
        differs.then_some((before, now))
    });
    pairs.collect()
}

/// Reads what is kept of a row by corrected columns.
pub struct Recast<'c> {
    columns: Vec<(&'c Column, &'c Column)>,
    filler: Option<Filler>,
    /// Of each column: whether another one takes what stands at its new place.
    shadowed: Vec<bool>,
}

/// What a row says by corrected columns.
#[derive(Clone, Debug)]
pub struct Recasted {
    /// One row: the columns' values, then what is left over.
    pub row: RowSet,
    /// Of each column: whether what is kept does not tell its value.
    pub unknown: Vec<bool>,
}

impl<'c> Recast<'c> {
    /// For these columns, before and now, of a reader of the new ones. `all` are all columns as
    /// they were before.
    pub fn new(
        columns: Vec<(&'c Column, &'c Column)>,
        reader: &RecordReader,
        all: &[Column],
    ) -> Self {
        let names: Vec<String> = columns.iter().map(|(_, now)| now.name.clone()).collect();
        let is_corrected = |column: &Column| names.contains(&column.name);
        let others: Vec<&Column> = all.iter().filter(|column| !is_corrected(column)).collect();
        let shadowed = columns.iter().map(|(_, now)| is_shadowed(now, &others)).collect();
        Self { filler: Filler::new(reader, &names), columns, shadowed }
    }

    /// The columns as they were, in order.
    pub fn before(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().map(|(before, _)| *before)
    }

    /// The columns as they are, in order.
    pub fn now(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().map(|(_, now)| *now)
    }

    /// What a row says, of which `rest` was left over, and whose cells in the columns were these.
    pub fn read(&self, rest: Option<&str>, cells: &RowSet) -> Recasted {
        let mut record = rest.unwrap_or("{}").to_owned();
        let mut unknown = vec![false; self.columns.len()];
        let mut values = RowSet::new(self.columns.len() + 1);
        let mut taken = vec![Cell::Null; self.columns.len()];
        for (at, (before, now)) in self.columns.iter().enumerate() {
            let cell = cells.row(0)[at];
            if cell == Cell::Null {
                continue;
            }
            let raw = raw_of(before, now, cell, cells);
            let place = record_place(before);
            match (raw, place) {
                (None, _) => {
                    unknown[at] = true;
                    let kept = said(cell, cells);
                    put(&mut record, &[&format!("{} (before)", now.name)], &kept);
                }
                (Some(raw), Some(place)) => put(&mut record, &place, &raw),
                // It comes from around the record: only its reading may have changed.
                (Some(raw), None) if before.origin == now.origin => {
                    match coerce(&raw, now, false, &mut values) {
                        Ok((cell, true)) => taken[at] = cell,
                        Ok((cell, false)) => {
                            taken[at] = cell;
                            put(&mut record, &[&now.name], &raw);
                        }
                        Err(_) => put(&mut record, &[&now.name], &raw),
                    }
                }
                (Some(_), None) => unknown[at] = true,
            }
        }
        let filled = self.filler.as_ref().and_then(|filler| Some((filler, filler.fill(&record)?)));
        if let Some((filler, filled)) = &filled {
            let row = filled.row.row(0);
            for (name, cell) in filler.columns().iter().zip(row) {
                let at = self.columns.iter().position(|(_, now)| now.name == *name);
                if let Some(at) = at.filter(|at| !unknown[*at] && !self.shadowed[*at]) {
                    taken[at] = copy(&filled.row, *cell, &mut values);
                }
            }
        }
        for (at, (before, now)) in self.columns.iter().enumerate() {
            let elsewhere =
                before.origin != now.origin && !matches!(now.origin, ColumnOrigin::Record(_));
            unknown[at] |= taken[at] == Cell::Null && (self.shadowed[at] || elsewhere);
        }
        let left = match &filled {
            Some((_, filled)) => filled.row.row(0).last().and_then(|it| filled.row.text_of(*it)),
            None => Some(record.as_str()).filter(|record| *record != "{}"),
        };
        let left = left.map_or(Cell::Null, |left| values.push_text(left));
        values.cells = taken;
        values.cells.push(left);
        Recasted { row: values, unknown }
    }
}

fn copy(from: &RowSet, cell: Cell, into: &mut RowSet) -> Cell {
    match cell {
        Cell::Text(..) => into.push_text(from.text_of(cell).unwrap_or_default()),
        Cell::Blob(..) => into.push_bytes(from.bytes_of(cell).unwrap_or_default()),
        plain => plain,
    }
}

/// Whether another column has taken what stands at the column's place, or around it.
fn is_shadowed(now: &Column, others: &[&Column]) -> bool {
    let Some(place) = record_place(now) else { return false };
    others.iter().filter_map(|other| record_place(other)).any(|other| {
        let both = place.len().min(other.len());
        place[..both] == other[..both] && other.len() <= place.len()
    })
}

/// The names that lead to a column's value in the record; none where it comes from elsewhere, or
/// where its value is in the rest all the same.
fn record_place(column: &Column) -> Option<Vec<&str>> {
    match &column.origin {
        ColumnOrigin::Record(path) => names_only(path).filter(|names| !names.is_empty()),
        _ => None,
    }
}

/// A cell as JSON, as it is stored.
fn said(cell: Cell, rows: &RowSet) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => format!("{number:?}"),
        Cell::Text(..) => quoted(rows.text_of(cell).unwrap_or_default()),
        Cell::Blob(..) => quoted(&hexadecimal(rows.bytes_of(cell).unwrap_or_default())),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_string(text, &mut out);
    out
}

/// What the record had where a column's value comes from, as JSON; none where that is not known.
fn raw_of(before: &Column, now: &Column, cell: Cell, rows: &RowSet) -> Option<String> {
    let text = || rows.text_of(cell).unwrap_or_default();
    let raw = match before.kind.family() {
        TypeFamily::Boolean => (cell == Cell::Integer(1)).to_string(),
        TypeFamily::Json => text().to_owned(),
        TypeFamily::Text => quoted(text()),
        TypeFamily::Number => {
            let digits = match cell {
                Cell::Text(..) => text().to_owned(),
                other => said(other, rows),
            };
            if is_json_number(&digits) { digits } else { quoted(&digits) }
        }
        TypeFamily::Bytes => return None,
        TypeFamily::Date | TypeFamily::Timestamp => time_of(before, now, text())?,
    };
    // Only what leads back to the value that is there is what came.
    let mut again = RowSet::new(1);
    let (back, _) = coerce(&raw, before, false, &mut again).ok()?;
    (said(back, &again) == said(cell, rows)).then_some(raw)
}

/// The text of a time as the record had it.
fn time_of(before: &Column, now: &Column, stored: &str) -> Option<String> {
    let zone = before.zone.unwrap_or(chrono_tz::UTC);
    let format = before.format.clone();
    let family = before.kind.family();
    if family == TypeFamily::Date && format.is_none() {
        return Some(quoted(stored));
    }
    let format = format.unwrap_or(TimeFormat::Rfc3339);
    let at = match family {
        TypeFamily::Date => {
            let day = stored.parse::<chrono::NaiveDate>().ok()?;
            crate::definition::resolve_local(day.and_time(chrono::NaiveTime::MIN), zone)?
        }
        _ => instant_from_text(stored)?,
    };
    let raw = match format {
        // With a zone, a text without an offset was taken as well: which it was is not known.
        TimeFormat::Rfc3339 if before.zone.is_some() && before.zone != now.zone => return None,
        TimeFormat::Rfc3339 => quoted(stored),
        TimeFormat::Unix | TimeFormat::UnixMillis => format.render(at, zone),
        TimeFormat::Strftime(_) => quoted(&format.render(at, zone)),
    };
    Some(raw)
}

/// Puts a value at a place of an object, unless something stands there that came as it is.
fn put(record: &mut String, place: &[&str], raw: &str) {
    if let Some(with) = with_value(record, place, raw) {
        *record = with;
    }
}

fn with_value(object: &str, place: &[&str], raw: &str) -> Option<String> {
    let (first, rest) = place.split_first()?;
    let mut members: IndexMap<String, Box<RawValue>> = serde_json::from_str(object).ok()?;
    let value = match (rest, members.get(*first)) {
        ([], Some(_)) => return None,
        ([], None) => raw.to_owned(),
        (rest, inner) => with_value(inner.map_or("{}", |inner| inner.get()), rest, raw)?,
    };
    members.insert((*first).to_owned(), RawValue::from_string(value).ok()?);
    serde_json::to_string(&members).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{ColumnType, Key, Segment};

    fn at(name: &str, kind: ColumnType, path: &[&str]) -> Column {
        let path = path.iter().map(|name| Segment::Name((*name).to_owned())).collect();
        Column { origin: ColumnOrigin::Record(path), ..Column::plain(name, kind) }
    }

    /// The new value and the rest, or that it is not known.
    fn recast(before: &Column, now: &Column, rest: &str, value: &str) -> (String, String, bool) {
        let reader = RecordReader::new(vec![now.clone()], Key::Columns(Vec::new()));
        let all = [before.clone()];
        let recast = Recast::new(corrected(&all, std::slice::from_ref(now)), &reader, &all);
        assert_eq!(recast.now().count(), 1, "{now:?}");
        let mut cells = RowSet::new(1);
        let cell = match (value, before.kind) {
            ("NULL", _) => Cell::Null,
            (_, ColumnType::Integer) => Cell::Integer(value.parse().expect("digits")),
            _ => cells.push_text(value),
        };
        cells.cells.push(cell);
        let done = recast.read((!rest.is_empty()).then_some(rest), &cells);
        let show = |cell: Cell| match cell {
            Cell::Text(..) => done.row.text_of(cell).expect("text").to_owned(),
            Cell::Null => "NULL".to_owned(),
            other => said(other, &done.row),
        };
        (show(done.row.row(0)[0]), show(done.row.row(0)[1]), done.unknown[0])
    }

    #[test]
    fn another_place_takes_its_value_and_gives_the_old_one_back() {
        let (raw, html) = (
            at("t", ColumnType::Text, &["title", "raw"]),
            at("t", ColumnType::Text, &["title", "html"]),
        );
        let rest = r#"{"title":{"html":"h"}}"#;
        let done = recast(&raw, &html, rest, "r");
        assert_eq!(done, ("h".into(), r#"{"title":{"raw":"r"}}"#.into(), false));
        assert_eq!(recast(&raw, &html, "", "r").0, "NULL");
    }

    #[test]
    fn another_type_reads_what_came() {
        let n = |kind| at("n", kind, &["n"]);
        use ColumnType::{Decimal, Integer, Real, Text};
        assert_eq!(recast(&n(Text), &n(Decimal), "", "5.00").0, "5.00");
        assert_eq!(recast(&n(Decimal), &n(Real), "", "5.00").0, "5.0");
        assert_eq!(recast(&n(Integer), &n(Text), "", "5").0, "5");
        // What came as 5.0 was kept beside the integer.
        assert_eq!(recast(&n(Integer), &n(Text), r#"{"n":5.0}"#, "5").0, "5.0");
        let done = recast(&n(Text), &n(Integer), "", "x");
        assert_eq!(done, ("NULL".into(), r#"{"n":"x"}"#.into(), false), "it does not fit");
    }

    #[test]
    fn another_zone_is_computed_where_the_text_is_known() {
        let time = |format: Option<&str>, zone: Option<chrono_tz::Tz>| Column {
            format: format.map(|format| TimeFormat::parse(format).expect("a format")),
            zone,
            ..at("at", ColumnType::Timestamp, &["at"])
        };
        let (utc, berlin) = (Some(chrono_tz::UTC), Some(chrono_tz::Europe::Berlin));
        let local = Some("%Y-%m-%d %H:%M");
        let stored = "2026-01-05T10:00:00+00:00";
        let done = recast(&time(local, utc), &time(local, berlin), "", stored);
        assert_eq!(done, ("2026-01-05T09:00:00+00:00".into(), "NULL".into(), false));
        let done = recast(&time(None, utc), &time(None, berlin), "", stored);
        let kept = format!(r#"{{"at (before)":"{stored}"}}"#);
        assert_eq!(done, ("NULL".into(), kept, true), "with an offset or without?");
        let done = recast(&time(None, None), &time(None, berlin), "", stored);
        assert_eq!((done.0.as_str(), done.2), (stored, false), "it had an offset");
        let day = Some("%d/%m/%Y");
        let done =
            recast(&time(day, utc), &time(Some("%m/%d/%Y"), utc), "", "2026-05-01T00:00:00+00:00");
        assert_eq!(done.0, "2026-01-05T00:00:00+00:00");
    }

    #[test]
    fn what_another_column_has_taken_is_not_known() {
        let (before, now) = (at("a", ColumnType::Text, &["x"]), at("a", ColumnType::Text, &["y"]));
        let other = at("b", ColumnType::Text, &["y"]);
        let reader = RecordReader::new(vec![now.clone(), other.clone()], Key::Columns(Vec::new()));
        let (all, new) = ([before, other.clone()], [now, other]);
        let recast = Recast::new(corrected(&all, &new), &reader, &all);
        let mut cells = RowSet::new(1);
        let cell = cells.push_text("old");
        cells.cells.push(cell);
        let done = recast.read(None, &cells);
        assert_eq!((done.unknown, done.row.row(0)[0]), (vec![true], Cell::Null));
    }
}

//! Declared columns whose place was in no record so far: a misspelt path makes every row NULL.

use std::collections::BTreeMap;

use crate::definition::{Column, ColumnOrigin, Segment, Stream, nearest};
use crate::http::Page;
use crate::model::{Cell, SeenColumn};
use crate::record::{Members, PageRows, RecordReader, spoken_origin};

/// What a run has seen of the columns of a stream that were not found before it.
#[derive(Clone, Debug, Default)]
pub struct Unseen {
    /// What was seen of each column, by its name.
    columns: BTreeMap<String, Unfound>,
    /// Columns that were found meanwhile.
    found: Vec<SeenColumn>,
}

#[derive(Clone, Debug)]
struct Unfound {
    path: Vec<Segment>,
    seen: SeenColumn,
}

impl Unseen {
    /// The declared columns of a stream that nobody calls optional, without those that were found
    /// at their place before.
    pub fn new(stream: &Stream, known: &[SeenColumn]) -> Self {
        let mut columns = BTreeMap::new();
        for column in stream.columns.iter().flatten() {
            let Some((path, place)) = wanted(column) else { continue };
            let is_known =
                |it: &SeenColumn| it.found && it.column == column.name && it.place == place;
            if known.iter().any(is_known) {
                continue;
            }
            let seen = SeenColumn {
                column: column.name.clone(),
                place,
                found: false,
                records: 0,
                nearest: String::new(),
            };
            columns.insert(column.name.clone(), Unfound { path: path.to_vec(), seen });
        }
        Self { columns, found: Vec::new() }
    }

    /// Looks for the columns in the records of a page. Costs nothing once all were found, and
    /// little where they have values.
    pub fn look(&mut self, stream: &Stream, reader: &RecordReader, rows: &PageRows, page: &Page) {
        if self.columns.is_empty() || rows.received == 0 {
            return;
        }
        let set = &rows.rows;
        let names: Vec<String> = self.columns.keys().cloned().collect();
        for name in names {
            let has_value = reader.cell_of(&name).is_some_and(|cell| {
                (0..set.len()).any(|at| set.row(at).get(cell).is_some_and(|it| *it != Cell::Null))
            });
            if has_value {
                self.take(&name, rows.received);
            }
        }
        if self.columns.is_empty() {
            return;
        }
        let Ok(body) = page.body() else { return };
        let mut there: Vec<String> = Vec::new();
        let looked = body.records(&stream.records, &mut |steps| {
            let Some(record) = steps.last() else { return };
            for (name, unfound) in &mut self.columns {
                match at(record.raw, &unfound.path) {
                    Ok(()) if !there.contains(name) => there.push(name.clone()),
                    Err(Some(near)) if unfound.seen.nearest.is_empty() => {
                        unfound.seen.nearest = near;
                    }
                    _ => {}
                }
            }
        });
        // The page was read a moment ago: what cannot be looked through says nothing.
        if looked.is_err() {
            return;
        }
        for name in there {
            self.take(&name, rows.received);
        }
        for unfound in self.columns.values_mut() {
            unfound.seen.records += rows.received;
        }
    }

    fn take(&mut self, name: &str, records: u64) {
        if let Some(Unfound { seen, .. }) = self.columns.remove(name) {
            let records = seen.records + records;
            let found = SeenColumn { found: true, nearest: String::new(), records, ..seen };
            self.found.push(found);
        }
    }

    /// What the archive is to keep: found, or looked for in at least one record.
    pub fn finish(self) -> Vec<SeenColumn> {
        let unfound = self.columns.into_values().map(|it| it.seen).filter(|it| it.records > 0);
        self.found.into_iter().chain(unfound).collect()
    }
}

/// The place of a column that must be in some record; none where it may be in none.
fn wanted(column: &Column) -> Option<(&[Segment], String)> {
    let ColumnOrigin::Record(path) = &column.origin else { return None };
    let place = spoken_origin(&column.origin)?;
    (!column.optional).then_some((path.as_slice(), place))
}

/// The columns of a stream that were looked for and never found, as the definition has them now.
pub fn never_found(stream: &Stream, known: Vec<SeenColumn>) -> Vec<SeenColumn> {
    let columns = stream.columns.iter().flatten().filter_map(|column| {
        let (_, place) = wanted(column)?;
        Some((column.name.clone(), place))
    });
    let wanted: Vec<(String, String)> = columns.collect();
    let is_wanted = |it: &SeenColumn| {
        !it.found && wanted.iter().any(|(name, place)| *name == it.column && *place == it.place)
    };
    known.into_iter().filter(is_wanted).collect()
}

/// Whether a record has something at a path; else the member nearest to the one that is missing.
fn at(record: &str, path: &[Segment]) -> Result<(), Option<String>> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    match first {
        Segment::Name(name) => {
            let members = Members::parse(record).map_err(|_| None)?;
            match members.get(name) {
                Some("null") => Ok(()),
                Some(inner) => at(inner, rest),
                None => {
                    let names = members.0.iter().map(|(name, _)| name.as_ref());
                    Err(nearest(name, names).map(str::to_owned))
                }
            }
        }
        // An element that is not there says nothing of the list.
        Segment::Index(_) | Segment::Wildcard => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_there_even_as_null_and_else_the_nearest_member_is_named() {
        let path = |names: &[&str]| -> Vec<Segment> {
            names.iter().map(|name| Segment::Name((*name).to_owned())).collect()
        };
        let record = r#"{"title":{"raw":"x"},"gone":null}"#;
        assert_eq!(at(record, &path(&["title", "raw"])), Ok(()));
        assert_eq!(at(record, &path(&["gone"])), Ok(()));
        assert_eq!(at(record, &path(&["gone", "at"])), Ok(()), "nothing is said of its inside");
        assert_eq!(at(record, &path(&["title", "rwa"])), Err(Some("raw".to_owned())));
        assert_eq!(at(record, &path(&["titel"])), Err(Some("title".to_owned())));
        assert_eq!(at(record, &path(&["elsewhere"])), Err(None));
    }
}

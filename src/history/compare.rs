//! What two archives hold differently: streams, keys, columns, rows, coverage.

use std::collections::BTreeMap;

use serde_json::json;

use crate::definition::{ColumnType, suggest};
use crate::history::diff::RowDifference;
use crate::history::two_archives::PartitionCoverage;
use crate::model::{Error, KeyShape, Window};
use crate::store::{Reader, StreamRow};
use crate::window::Coverage;

/// The one of two archives that has what the other lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    A,
    B,
}

/// One thing that two archives hold differently.
#[derive(Clone, Debug, PartialEq)]
pub enum Unlike {
    /// Only one has the stream, with so many rows.
    Stream(Owner, u64),
    /// The keys differ, so that rows cannot be held against each other.
    Key(String, String),
    /// Only one has a column of this name and type.
    Column(Owner, String, String),
    /// The types of a column differ.
    Type(String, String, String),
    /// A row: vanished where only the first has it, inserted where only the second has.
    Row(RowDifference),
    /// Only one has read this partition there: a window, or, with none, the whole.
    Covered(Owner, String, Option<Window>),
    /// The marks of a partition differ.
    Mark(String, Option<String>, Option<String>),
}

/// Takes each difference, with its stream; gives an error to stop.
pub type TakeUnlike<'t> = dyn FnMut(&str, &Unlike) -> std::io::Result<()> + 't;

/// A stream as each of the two has it.
type StreamPair<'s> = (Option<&'s StreamRow>, Option<&'s StreamRow>);

/// Hands on what differs in all streams, or in those that are named, by the name of the stream.
pub fn compare_archives(
    readers: &[Reader; 2],
    only: &[String],
    take: &mut TakeUnlike<'_>,
) -> Result<(), Error> {
    let rows = [readers[0].streams()?, readers[1].streams()?];
    let read = [readers[0].read_streams()?, readers[1].read_streams()?];
    for (stream, pair) in pairs(&rows, &read, only)? {
        compare(readers, stream, pair, take)?;
    }
    Ok(())
}

/// The streams of both by name, or those that were asked for.
fn pairs<'s>(
    rows: &'s [Vec<StreamRow>; 2],
    read: &'s [Vec<String>; 2],
    only: &[String],
) -> Result<BTreeMap<&'s str, StreamPair<'s>>, Error> {
    let mut pairs: BTreeMap<&str, StreamPair<'_>> = BTreeMap::new();
    for row in &rows[0] {
        pairs.entry(&row.stream).or_default().0 = Some(row);
    }
    for row in &rows[1] {
        pairs.entry(&row.stream).or_default().1 = Some(row);
    }
    // A stream whose columns are to be inferred has no table before its first record.
    for stream in read.iter().flatten() {
        pairs.entry(stream).or_default();
    }
    for name in only {
        if !pairs.contains_key(name.as_str()) {
            let message = format!("neither archive has a stream `{name}`");
            let mut failure = Error::usage(message);
            failure.help = suggest(name, pairs.keys().copied());
            return Err(failure);
        }
    }
    pairs.retain(|name, _| only.is_empty() || only.iter().any(|have| have == name));
    Ok(pairs)
}

fn compare(
    readers: &[Reader; 2],
    stream: &str,
    pair: StreamPair<'_>,
    take: &mut TakeUnlike<'_>,
) -> Result<(), Error> {
    let [first, second] = readers;
    match pair {
        (Some(a), Some(b)) => {
            for unlike in shapes(a, b) {
                put(take, stream, &unlike)?;
            }
            if a.key == b.key {
                first.diff_rows(second, stream, &a.key.columns(), &mut |difference| {
                    take(stream, &Unlike::Row(difference))
                })?;
            }
        }
        (Some(_), None) => {
            let rows = first.count(stream)?.all();
            put(take, stream, &Unlike::Stream(Owner::A, rows))?;
        }
        (None, Some(_)) => {
            let rows = second.count(stream)?.all();
            put(take, stream, &Unlike::Stream(Owner::B, rows))?;
        }
        (None, None) => {}
    }
    first.diff_coverage(second, stream, &mut |a, b| {
        coverage_differences(a, b).iter().try_for_each(|unlike| take(stream, unlike))
    })
}

fn put(take: &mut TakeUnlike<'_>, stream: &str, unlike: &Unlike) -> Result<(), Error> {
    take(stream, unlike).map_err(|error| Error::output("write the answer", &error))
}

/// What of the tables themselves differs.
fn shapes(a: &StreamRow, b: &StreamRow) -> Vec<Unlike> {
    let mut found = Vec::new();
    if a.key != b.key {
        found.push(Unlike::Key(key_text(&a.key), key_text(&b.key)));
    }
    let in_b = |name: &str| b.columns.iter().find(|column| column.name == name);
    for column in &a.columns {
        match in_b(&column.name) {
            None => found.push(only(Owner::A, &column.name, column.kind)),
            Some(other) if other.kind != column.kind => {
                let (a, b) = (type_text(column.kind), type_text(other.kind));
                found.push(Unlike::Type(column.name.clone(), a, b));
            }
            Some(_) => {}
        }
    }
    let new = b.columns.iter().filter(|c| !a.columns.iter().any(|have| have.name == c.name));
    found.extend(new.map(|column| only(Owner::B, &column.name, column.kind)));
    found
}

fn only(owner: Owner, column: &str, kind: ColumnType) -> Unlike {
    Unlike::Column(owner, column.to_owned(), type_text(kind))
}

fn type_text(kind: ColumnType) -> String {
    json!(kind).as_str().unwrap_or_default().to_owned()
}

fn key_text(key: &KeyShape) -> String {
    match key {
        KeyShape::Columns(columns) => columns.join(", "),
        KeyShape::Hash(fields) => format!("the hash of {}", fields.join(", ")),
    }
}

/// What of a partition only one side covers.
pub fn coverage_differences(
    a: Option<&PartitionCoverage>,
    b: Option<&PartitionCoverage>,
) -> Vec<Unlike> {
    let nothing = PartitionCoverage::default();
    let partition = a.or(b).map(|side| side.partition.clone()).unwrap_or_default();
    let (a, b) = (a.unwrap_or(&nothing), b.unwrap_or(&nothing));
    let mut found = Vec::new();
    for (owner, mine, other) in [(Owner::A, a, b), (Owner::B, b, a)] {
        if mine.whole && !other.whole {
            found.push(Unlike::Covered(owner, partition.clone(), None));
        }
        let known = Coverage::of(other.windows.iter().copied());
        let own = mine.windows.iter().flat_map(|window| known.gaps(*window));
        found.extend(own.map(|gap| Unlike::Covered(owner, partition.clone(), Some(gap))));
    }
    if a.whole && b.whole && a.mark != b.mark {
        found.push(Unlike::Mark(partition, a.mark.clone(), b.mark.clone()));
    }
    found
}

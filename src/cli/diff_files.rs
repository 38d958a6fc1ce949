//! `windrow diff A B`: what two archives hold differently.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use crate::cli::text::{BetweenCounts, Owner, Unlike};
use crate::definition::{ColumnType, suggest};
use crate::handoff::envelope::{EnvelopeKind, kind};
use crate::history::{Change, NamedValues, PartitionCoverage, RowDifference};
use crate::host::Host;
use crate::host::files::whereabouts;
use crate::model::{Error, ErrorKind, ExitCode, KeyShape, Window, instant_to_text, printable};
use crate::store::{Reader, StreamRow, open_compared};
use crate::window::Coverage;

use super::output::{Output, Rows, taken};
use super::query::json_value;

/// A stream as each of the two has it.
type Pair<'s> = (Option<&'s StreamRow>, Option<&'s StreamRow>);

pub fn run(
    files: [&Path; 2],
    only: &[String],
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    files.iter().try_for_each(|file| check_file(file))?;
    let [a, b] = files;
    if let (Ok(a), Ok(b)) = (whereabouts(a), whereabouts(b))
        && (a.path == b.path || (a.file.is_some() && a.file == b.file))
    {
        let message = format!("{} and {} are one file", files[0].display(), files[1].display());
        return Err(Error::usage(message).help("name two archives"));
    }
    let readers = [open_compared(a, &host.stop)?, open_compared(b, &host.stop)?];
    let _snapshots = [readers[0].begin_snapshot()?, readers[1].begin_snapshot()?];
    let rows = [readers[0].streams()?, readers[1].streams()?];
    let read = [readers[0].read_streams()?, readers[1].read_streams()?];
    let streams = pairs(&rows, &read, only)?;
    let mut telling = Telling {
        out: output.rows(output.written()),
        json: output.json(),
        names: files.map(|file| printable(&file.display().to_string())),
        counts: BetweenCounts::default(),
    };
    for (stream, pair) in streams {
        match compare(&readers, stream, pair, &mut telling) {
            // Whoever has gone away, as `| head` does, has seen that something differs.
            Err(error) if error.kind == ErrorKind::Gone => return Ok(ExitCode::Found),
            other => other?,
        }
    }
    telling.end()
}

/// A file that is there and is not packed; what else is wrong with it shows when it is opened.
fn check_file(file: &Path) -> Result<(), Error> {
    if !file.exists() {
        let message = format!("there is no file {}", file.display());
        return Err(Error::new(ErrorKind::Unusable, message).help("name two archives"));
    }
    if file.is_file() && matches!(kind(file)?, EnvelopeKind::Zstd | EnvelopeKind::Age) {
        let message = format!("{} is packed", file.display());
        return Err(Error::new(ErrorKind::Unusable, message)
            .help("unpack it first: `age -d -i KEY` for one that is encrypted, then `zstd -d`"));
    }
    Ok(())
}

/// The streams of both by name, or those that were asked for.
fn pairs<'s>(
    rows: &'s [Vec<StreamRow>; 2],
    read: &'s [Vec<String>; 2],
    only: &[String],
) -> Result<BTreeMap<&'s str, Pair<'s>>, Error> {
    let mut pairs: BTreeMap<&str, Pair<'_>> = BTreeMap::new();
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
    pair: Pair<'_>,
    telling: &mut Telling,
) -> Result<(), Error> {
    let [first, second] = readers;
    match pair {
        (Some(a), Some(b)) => {
            for unlike in shapes(a, b) {
                telling.tell_or_fail(stream, unlike)?;
            }
            if a.key == b.key {
                first.diff_rows(second, stream, &a.key.columns(), &mut |difference| {
                    telling.tell(stream, &Unlike::Row(difference))
                })?;
            }
        }
        (Some(_), None) => {
            let rows = first.count(stream)?;
            telling.tell_or_fail(stream, Unlike::Stream(Owner::A, rows))?;
        }
        (None, Some(_)) => {
            let rows = second.count(stream)?;
            telling.tell_or_fail(stream, Unlike::Stream(Owner::B, rows))?;
        }
        (None, None) => {}
    }
    first.diff_coverage(second, stream, &mut |a, b| {
        coverage(a, b).iter().try_for_each(|unlike| telling.tell(stream, unlike))
    })
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
fn coverage(a: Option<&PartitionCoverage>, b: Option<&PartitionCoverage>) -> Vec<Unlike> {
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

/// What has been told so far, and where it goes.
struct Telling {
    out: Rows,
    json: bool,
    names: [String; 2],
    counts: BetweenCounts,
}

impl Telling {
    fn tell(&mut self, stream: &str, unlike: &Unlike) -> std::io::Result<()> {
        self.counts.add(unlike);
        if self.json {
            serde_json::to_writer(&mut self.out, &as_json(stream, unlike))?;
            return self.out.write_all(b"\n");
        }
        self.out.write_all(unlike.line(&printable(stream), &self.names).as_bytes())
    }

    fn tell_or_fail(&mut self, stream: &str, unlike: Unlike) -> Result<(), Error> {
        self.tell(stream, &unlike).map_err(|error| Error::output("write the answer", &error))
    }

    fn end(mut self) -> Result<ExitCode, Error> {
        if !self.json {
            let line = self.counts.line(&self.names);
            taken(self.out.write_all(line.as_bytes()))?;
        }
        taken(self.out.flush())?;
        Ok(if self.counts.any() { ExitCode::Found } else { ExitCode::Done })
    }
}

fn as_json(stream: &str, unlike: &Unlike) -> Json {
    let named = |what: &str, owner: &Owner| match owner {
        Owner::A => format!("{what}_a"),
        Owner::B => format!("{what}_b"),
    };
    match unlike {
        Unlike::Row(difference) => row_json(stream, difference),
        Unlike::Stream(owner, rows) => {
            json!({"stream": stream, "change": named("stream_only_in", owner), "rows": rows})
        }
        Unlike::Key(a, b) => json!({"stream": stream, "change": "key", "a": a, "b": b}),
        Unlike::Column(owner, column, kind) => {
            let change = named("column_only_in", owner);
            json!({"stream": stream, "change": change, "column": column, "type": kind})
        }
        Unlike::Type(column, a, b) => {
            json!({"stream": stream, "change": "type", "column": column, "a": a, "b": b})
        }
        Unlike::Covered(owner, partition, window) => {
            let start = window.map(Window::start).map(instant_to_text);
            let end = window.map(Window::end).map(instant_to_text);
            let change = named("covered_only_by", owner);
            json!({"stream": stream, "change": change, "partition": partition,
                "start": start, "end": end})
        }
        Unlike::Mark(partition, a, b) => {
            json!({"stream": stream, "change": "mark", "partition": partition, "a": a, "b": b})
        }
    }
}

fn row_json(stream: &str, difference: &RowDifference) -> Json {
    let object = |named: &NamedValues| -> Map<String, Json> {
        named.iter().map(|(name, value)| (name.clone(), json_value(value))).collect()
    };
    let key = object(&difference.key);
    match &difference.change {
        Change::Vanished(values) => {
            json!({"stream": stream, "change": "only_in_a", "key": key, "values": object(values)})
        }
        Change::Inserted(values) => {
            json!({"stream": stream, "change": "only_in_b", "key": key, "values": object(values)})
        }
        Change::Changed(columns) => {
            let columns = columns.iter().flatten().map(|(name, a, b)| {
                (name.clone(), json!({"a": json_value(a), "b": json_value(b)}))
            });
            let columns = columns.collect::<Map<_, _>>();
            json!({"stream": stream, "change": "changed", "key": key, "columns": columns})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(windows: &[(i64, i64)], mark: Option<&str>) -> PartitionCoverage {
        let at = |hour: &i64| chrono::DateTime::from_timestamp(hour * 3600, 0).expect("in range");
        let windows = windows.iter().filter_map(|(start, end)| Window::new(at(start), at(end)));
        PartitionCoverage {
            partition: "\"SL-1\"".to_owned(),
            windows: windows.collect(),
            whole: mark.is_some(),
            mark: mark.map(str::to_owned),
        }
    }

    #[test]
    fn what_only_one_side_has_read_is_told_and_what_both_have_is_not() {
        let told = |a: Option<&PartitionCoverage>, b: Option<&PartitionCoverage>| {
            let names = ["a".to_owned(), "b".to_owned()];
            let lines = coverage(a, b);
            lines.iter().map(|unlike| unlike.line("s", &names)).collect::<String>()
        };
        let (a, b) = (covered(&[(0, 24), (48, 72)], None), covered(&[(0, 48)], None));
        assert_eq!(told(Some(&a), Some(&a)), "");
        assert_eq!(
            told(Some(&a), Some(&b)),
            "s \"SL-1\": only a covers 1970-01-03..1970-01-04\n\
             s \"SL-1\": only b covers 1970-01-02..1970-01-03\n"
        );
        assert_eq!(told(None, Some(&b)), "s \"SL-1\": only b covers 1970-01-01..1970-01-03\n");
        let (five, six) = (covered(&[], Some("5")), covered(&[], Some("6")));
        assert_eq!(told(Some(&five), Some(&six)), "s \"SL-1\": a is at 5, b at 6\n");
        assert_eq!(told(Some(&five), None), "s \"SL-1\": only a covers all\n");
        assert_eq!(told(Some(&five), Some(&five)), "");
    }
}

//! `windrow diff A B`: what two archives hold differently.

use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use crate::cli::text::{BetweenCounts, unlike_line};
use crate::export::json_value;
use crate::handoff::envelope::{EnvelopeKind, kind};
use crate::history::{Change, NamedValues, Owner, RowDifference, Unlike, compare_archives};
use crate::host::Host;
use crate::host::files::whereabouts;
use crate::model::{Error, ErrorKind, ExitCode, Window, instant_to_text, printable};
use crate::store::open_compared;

use super::output::{Output, Rows, taken};

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
    let mut telling = Telling {
        out: output.rows(output.written()),
        json: output.json(),
        names: files.map(|file| printable(&file.display().to_string())),
        counts: BetweenCounts::default(),
    };
    match compare_archives(&readers, only, &mut |stream, unlike| telling.tell(stream, unlike)) {
        // Whoever has gone away, as `| head` does, has seen that something differs.
        Err(error) if error.kind == ErrorKind::Gone => return Ok(ExitCode::Found),
        other => other?,
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
        self.out.write_all(unlike_line(unlike, &printable(stream), &self.names).as_bytes())
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

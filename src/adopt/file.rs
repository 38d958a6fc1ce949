//! The file that is adopted: what it is, which fields it has, and its records one after another.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::definition;
use crate::host::Stop;
use crate::host::files::open_named;
use crate::model::{Error, ErrorKind};
use crate::record::{MEMBER_NAMES_MAX, member_names};
use crate::store::{Foreign, ForeignTable, Value};

use super::guard::{CsvFault, Guard};

/// The longest line of an NDJSON file, bytes: as long as the largest answer.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Lines that are looked at to learn which members records have.
const LINES_LOOKED_AT: usize = 100;
/// Bytes that tell what a file is: the header line of a CSV must lie within them.
const HEAD_BYTES: u64 = 64 * 1024;

/// A file that can be adopted.
pub enum AdoptedFile {
    /// A table of an SQLite file.
    Table(Foreign, ForeignTable),
    Csv {
        path: PathBuf,
        /// What its fields are apart by.
        delimiter: u8,
        /// The names in its first line.
        header: Vec<String>,
    },
    /// A JSON value a line.
    Ndjson {
        path: PathBuf,
        /// Members of its first records.
        members: Vec<String>,
    },
}

/// A record as the file has it.
pub enum FileRecord<'a> {
    /// The values of the fields, in their order.
    Fields(&'a [Value]),
    Json(&'a str),
}

/// What is handed on of a record: its line or row, and itself.
pub type OnRecord<'f> = &'f mut dyn FnMut(i64, FileRecord<'_>) -> Result<(), Error>;

impl AdoptedFile {
    /// Looks what the file is. `table` names one of an SQLite file; `stream` is taken where several
    /// are there and one has its name.
    pub fn open(
        path: &Path,
        table: Option<&str>,
        stream: &str,
        stop: &Stop,
    ) -> Result<Self, Error> {
        let name = path.display();
        if path.is_dir() {
            return Err(Error::usage(format!("{name} is a folder")).help("name a file in it"));
        }
        let mut head = Vec::new();
        let file = open_named(path).map_err(|error| Error::io(path, "read", &error))?;
        let read = file.take(HEAD_BYTES).read_to_end(&mut head);
        read.map_err(|error| Error::io(path, "read", &error))?;
        if head.is_empty() {
            return Err(Error::usage(format!("{name} is empty")));
        }
        if head.starts_with(b"SQLite format 3\0") {
            let foreign = Foreign::open(path, stop)?;
            let table = pick_table(&foreign, &name.to_string(), table, stream)?;
            return Ok(AdoptedFile::Table(foreign, table));
        }
        if table.is_some() {
            let message = format!("{name} is no SQLite file and has no tables");
            return Err(Error::usage(message).help("leave out --table"));
        }
        let refusals: [(&[u8], &str, &str); 4] = [
            (b"\x1f\x8b", "is packed by gzip", "unpack it first: `gunzip -k FILE`"),
            (b"PK\x03\x04", "is a ZIP or a spreadsheet", "export it as CSV (UTF-8)"),
            (b"\xff\xfe", "is in UTF-16", "save it as UTF-8"),
            (b"\xfe\xff", "is in UTF-16", "save it as UTF-8"),
        ];
        if let Some((_, what, help)) = refusals.iter().find(|(mark, ..)| head.starts_with(mark)) {
            return Err(Error::usage(format!("{name} {what}")).help(*help));
        }
        match head.trim_ascii_start().first() {
            Some(b'[') => {
                let message = format!("{name} is one JSON array");
                Err(Error::usage(message).help("make it a record a line: `jq -c '.[]' FILE`"))
            }
            Some(b'{') => ndjson(path),
            _ => csv_file(path, &head, stop),
        }
    }

    /// The names of the fields; of NDJSON, those of its first records.
    pub fn fields(&self) -> &[String] {
        match self {
            AdoptedFile::Table(_, table) => &table.columns,
            AdoptedFile::Csv { header, .. } => header,
            AdoptedFile::Ndjson { members, .. } => members,
        }
    }

    /// What its parts are called.
    pub fn unit(&self) -> &'static str {
        if matches!(self, AdoptedFile::Table(..)) { "row" } else { "line" }
    }

    /// `sqlite`, `csv` or `ndjson`.
    pub fn kind(&self) -> &'static str {
        match self {
            AdoptedFile::Table(..) => "sqlite",
            AdoptedFile::Csv { .. } => "csv",
            AdoptedFile::Ndjson { .. } => "ndjson",
        }
    }

    /// The table, of an SQLite file.
    pub fn table(&self) -> Option<&str> {
        match self {
            AdoptedFile::Table(_, table) => Some(&table.name),
            _ => None,
        }
    }

    /// Hands on each record in order; ends at the first fault of the file.
    pub fn each_record(&self, on: OnRecord<'_>) -> Result<(), Error> {
        match self {
            AdoptedFile::Table(foreign, table) => {
                foreign.each_row(table, &mut |row, values| on(row, FileRecord::Fields(values)))
            }
            AdoptedFile::Csv { path, delimiter, .. } => each_csv(path, *delimiter, on),
            AdoptedFile::Ndjson { path, .. } => {
                let mut all = |line, text: &str| on(line, FileRecord::Json(text)).map(|()| true);
                each_line(path, &mut all)
            }
        }
    }
}

fn pick_table(
    foreign: &Foreign,
    file: &str,
    named: Option<&str>,
    stream: &str,
) -> Result<ForeignTable, Error> {
    if let Some(named) = named {
        return foreign.table(named);
    }
    let names = foreign.tables()?;
    let own = names.iter().find(|name| name.eq_ignore_ascii_case(stream));
    match (own, names.as_slice()) {
        (Some(name), _) => Ok(foreign.table(name)?),
        (None, [one]) => Ok(foreign.table(one)?),
        (None, []) => Err(Error::usage(format!("{file} has no tables"))),
        (None, several) => {
            let message = format!("{file} has several tables: {}", several.join(", "));
            Err(Error::usage(message).help("name one with --table"))
        }
    }
}

fn csv_file(path: &Path, head: &[u8], stop: &Stop) -> Result<AdoptedFile, Error> {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or(head);
    let count = |mark: u8| first.iter().filter(|byte| **byte == mark).count();
    // The first one wins where several are as frequent.
    let delimiter = [b'\t', b';', b','].into_iter().max_by_key(|mark| count(*mark)).unwrap_or(b',');
    let mut reader = csv_reader(path, delimiter)?;
    let mut record = csv::ByteRecord::new();
    if !reader.read_byte_record(&mut record).map_err(|error| csv_error(path, &error))? {
        return Err(Error::usage(format!("{} has no first line", path.display())));
    }
    let mut header = Vec::new();
    for field in &record {
        let name = unicode(path, 1, field)?.trim().to_owned();
        if header.contains(&name) {
            let message = format!("the first line of {} names `{name}` twice", path.display());
            return Err(Error::usage(message).help("give each column a name of its own"));
        }
        header.push(name);
    }
    // A fault at the end of a large file is told before any of the work is done.
    let mut look = |_, _: FileRecord<'_>| stop.cause().map_or(Ok(()), |c| Err(c.into()));
    each_csv(path, delimiter, &mut look)?;
    Ok(AdoptedFile::Csv { path: path.to_owned(), delimiter, header })
}

type CsvReader = csv::Reader<Guard<BufReader<File>>>;

fn csv_reader(path: &Path, delimiter: u8) -> Result<CsvReader, Error> {
    let file = BufReader::new(open(path)?);
    let mut builder = csv::ReaderBuilder::new();
    let reader = builder.delimiter(delimiter).has_headers(false);
    Ok(reader.from_reader(Guard::new(file, delimiter)))
}

/// Opens a file behind its byte order mark.
fn open(path: &Path) -> Result<File, Error> {
    let read_error = |error| Error::io(path, "read", &error);
    let mut file = open_named(path).map_err(read_error)?;
    let mut mark = [0; 3];
    let whole = file.read(&mut mark).map_err(read_error)? == 3 && mark == *b"\xef\xbb\xbf";
    if whole { Ok(file) } else { open_named(path).map_err(read_error) }
}

fn csv_error(path: &Path, error: &csv::Error) -> Error {
    let file = path.display();
    match error.kind() {
        csv::ErrorKind::Io(io) => match io.get_ref().and_then(|e| e.downcast_ref::<CsvFault>()) {
            Some(fault) => {
                Error::usage(format!("{file}, {fault}")).help("mend that line; nothing was adopted")
            }
            None => Error::new(ErrorKind::Storage, format!("cannot read {file}: {io}")),
        },
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            let message =
                format!("{file}, line {line}: {len} fields, the first line has {expected_len}");
            Error::usage(message).help("mend that line; nothing was adopted")
        }
        _ => Error::usage(format!("{file} is no CSV: {error}")),
    }
}

fn unicode<'a>(path: &Path, line: i64, bytes: &'a [u8]) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes).map_err(|_| {
        let message = format!("{}, line {line}: not UTF-8", path.display());
        Error::usage(message).help("save the file as UTF-8; nothing was adopted")
    })
}

fn each_csv(path: &Path, delimiter: u8, on: OnRecord<'_>) -> Result<(), Error> {
    let mut reader = csv_reader(path, delimiter)?;
    let mut record = csv::ByteRecord::new();
    let mut header = true;
    let mut values = Vec::new();
    while reader.read_byte_record(&mut record).map_err(|error| csv_error(path, &error))? {
        if std::mem::replace(&mut header, false) {
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        let line = i64::try_from(line).unwrap_or(i64::MAX);
        values.clear();
        for field in &record {
            // A CSV has no other way to say "nothing".
            values.push(match unicode(path, line, field)? {
                "" => Value::Null,
                text => Value::Text(text.to_owned()),
            });
        }
        on(line, FileRecord::Fields(&values))?;
    }
    Ok(())
}

fn ndjson(path: &Path) -> Result<AdoptedFile, Error> {
    let whole = definition::Path::parse("$").expect("the root is a path");
    let mut members: Vec<String> = Vec::new();
    let mut lines = 0;
    let mut look = |_, text: &str| {
        lines += 1;
        for name in member_names(text, &whole) {
            if members.len() < MEMBER_NAMES_MAX && !members.contains(&name) {
                members.push(name);
            }
        }
        Ok(lines < LINES_LOOKED_AT)
    };
    each_line(path, &mut look)?;
    Ok(AdoptedFile::Ndjson { path: path.to_owned(), members })
}

/// Hands on each line that is not blank, once it is seen to be JSON, until it is told to end.
fn each_line(
    path: &Path,
    on: &mut dyn FnMut(i64, &str) -> Result<bool, Error>,
) -> Result<(), Error> {
    let file = path.display();
    let mut reader = BufReader::new(open(path)?);
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let mut limited = (&mut reader).take(LINE_BYTES_MAX + 1);
        let count = limited.read_until(b'\n', &mut bytes);
        let count = count.map_err(|error| {
            Error::new(ErrorKind::Storage, format!("cannot read {file}: {error}"))
        })?;
        if count == 0 {
            break;
        }
        if count as u64 > LINE_BYTES_MAX {
            return Err(Error::usage(format!("{file}, line {line}: longer than 64 MiB")));
        }
        let text = unicode(path, line, &bytes)?.trim();
        if text.is_empty() {
            continue;
        }
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| {
            let message = format!("{file}, line {line}: not JSON: {error}");
            Error::usage(message).help("mend that line; nothing was adopted")
        })?;
        if !on(line, raw.get())? {
            break;
        }
    }
    Ok(())
}

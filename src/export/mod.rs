//! Rows written to files that other programs read: CSV, NDJSON, Parquet.
//!
//! What a column becomes is decided by all its values; a value is written exactly or the export
//! ends. Rows stream: memory does not grow with their number. A file has its final name once it is
//! whole and on the disk.

mod answer;
mod column;
mod decimal;
mod error;
mod facts;
mod formula;
mod parquet_file;
mod partition;
mod target;
mod text;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::history::{RowSource, Selection, Stored};
use crate::host::Files;
use crate::model::{Error, ErrorKind};
use crate::store::StreamRow;

pub use answer::{AnswerCsv, AnswerJson, json_value, value_text};
pub use column::{ExactType, ExportColumn, export_columns};
pub use error::RowFault;
use error::{not_taken, not_written};
pub use facts::{ExportOrigin, StreamCoverage, TimeSpan, covered};
pub use partition::{PartitionBy, Unit};
pub use target::ENDINGS;
pub use text::TextRules;

use column::{Survey, shown, type_name};
use parquet_file::{About, ParquetRows};
use target::{TargetClaim, make_folder};
use text::{Csv, Ndjson, RowWriter};

/// The kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Csv,
    /// One JSON object a line.
    Ndjson,
    Parquet,
}

impl FileFormat {
    /// The ending of its files.
    pub fn ending(self) -> &'static str {
        match self {
            FileFormat::Csv => "csv",
            FileFormat::Ndjson => "ndjson",
            FileFormat::Parquet => "parquet",
        }
    }

    /// The kind of file that a name tells.
    pub fn of(path: &Path) -> Option<FileFormat> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(FileFormat::Csv),
            "ndjson" | "jsonl" => Some(FileFormat::Ndjson),
            "parquet" => Some(FileFormat::Parquet),
            _ => None,
        }
    }
}

/// Where rows are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output, for one stream.
    Output,
    /// This file, for one stream.
    File(PathBuf),
    /// In this folder, a file or a folder of partitions for each stream.
    Folder(PathBuf),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Export {
    /// The kind of file.
    pub format: FileFormat,
    pub place: Destination,
    /// Whether, and by what, a stream is cut into several files.
    pub partition: Option<PartitionBy>,
    /// How text is written.
    pub text: TextRules,
    /// Whether what is there may be replaced.
    pub force: bool,
    /// What all files say of themselves.
    pub origin: ExportOrigin,
}

/// A stream that is to be written.
#[derive(Clone, Debug)]
pub struct Share {
    pub stream: StreamRow,
    pub columns: Vec<ExportColumn>,
    /// Whether rows that are marked as gone are left out.
    pub alive: bool,
    /// What the ledger says; none for an export of the past.
    pub covered: Option<StreamCoverage>,
}

/// A column as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrittenColumn {
    pub name: String,
    /// The type in the file.
    #[serde(rename = "type")]
    pub kind: String,
    /// Why it is not what the definition says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A stream that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    pub stream: String,
    /// Where it lies; none for standard output.
    pub path: Option<PathBuf>,
    pub rows: u64,
    /// Rows that are marked as gone, and were left out.
    pub gone: u64,
    /// The files that they are in.
    pub files: u64,
    /// The size of all its files, bytes; 0 for standard output.
    pub bytes: u64,
    pub columns: Vec<WrittenColumn>,
}

/// What takes the bytes of a file.
pub type Out = Box<dyn Write + Send>;

/// Where files go, and rows that go into none.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    pub files: &'a dyn Files,
    pub standard: &'a dyn Fn() -> Out,
}

impl Export {
    /// Writes the streams. Files get their final names when all of them are whole.
    pub fn write(
        &self,
        rows: &RowSource,
        shares: &[Share],
        outside: Outside<'_>,
    ) -> Result<Vec<Exported>, Error> {
        let files = outside.files;
        let mut claims = Vec::new();
        for share in shares {
            if let Some(by) = &self.partition {
                by.find(&share.stream.stream, &share.columns)?;
            }
            claims.push(self.claim(share, files)?);
        }
        let mut done = Vec::new();
        for (share, claim) in shares.iter().zip(&claims) {
            done.push(Writing::begin(self, rows, share, claim.as_ref(), outside)?.run()?);
        }
        for (claim, done) in claims.into_iter().zip(&mut done) {
            done.path = claim.map(|claim| claim.publish(files)).transpose()?;
        }
        Ok(done)
    }

    fn claim(&self, share: &Share, files: &dyn Files) -> Result<Option<TargetClaim>, Error> {
        let name = &share.stream.stream;
        match (&self.place, &self.partition) {
            (Destination::Output, _) => Ok(None),
            (Destination::File(path), _) => TargetClaim::file(path, self.force).map(Some),
            (Destination::Folder(folder), partition) => {
                refuse_name(name)?;
                make_folder(folder)?;
                // A folder that is new is as lasting as what it will hold.
                files.keep_name(folder).map_err(|error| not_written("make", folder, &error))?;
                match partition {
                    Some(_) => TargetClaim::folder(&folder.join(name), self.force),
                    None => {
                        let file = format!("{name}.{}", self.format.ending());
                        TargetClaim::file(&folder.join(file), self.force)
                    }
                }
                .map(Some)
            }
        }
    }
}

/// Refuses a stream whose name would lead elsewhere: an archive may come from anybody.
fn refuse_name(name: &str) -> Result<(), Error> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if !name.is_empty() && name.chars().all(plain) {
        return Ok(());
    }
    let message = format!("the stream `{name}` has a name that no file should have");
    Err(Error::usage(message).help("export it by itself, with a file's name after --out"))
}

/// One stream on its way.
struct Writing<'a> {
    export: &'a Export,
    rows: &'a RowSource,
    share: &'a Share,
    claim: Option<&'a TargetClaim>,
    outside: Outside<'a>,
    names: Vec<String>,
    key: Vec<String>,
    types: Vec<ExactType>,
    done: Exported,
}

/// The file in hand.
struct OpenFile {
    writer: Box<dyn RowWriter>,
    /// The folder of its partition.
    part: Option<String>,
    /// Where it is, if not on standard output.
    path: Option<PathBuf>,
}

impl<'a> Writing<'a> {
    fn begin(
        export: &'a Export,
        rows: &'a RowSource,
        share: &'a Share,
        claim: Option<&'a TargetClaim>,
        outside: Outside<'a>,
    ) -> Result<Self, Error> {
        let stream = share.stream.stream.clone();
        let done = Exported {
            stream,
            path: None,
            rows: 0,
            gone: 0,
            files: 0,
            bytes: 0,
            columns: Vec::new(),
        };
        let names = share.columns.iter().map(|column| column.name.clone()).collect();
        let key = share.stream.key.columns();
        let types = Vec::new();
        let mut new = Self { export, rows, share, claim, outside, names, key, types, done };
        new.survey()?;
        new.done.gone = new.rows.count_gone(&new.selection())?;
        Ok(new)
    }

    /// The rows of the share; which of their columns, and in which order, is said by the caller.
    fn selection(&self) -> Selection<'a> {
        Selection {
            stream: &self.share.stream.stream,
            columns: &[],
            condition: self.export.origin.condition.as_deref(),
            alive: self.share.alive,
            prefix: None,
            order: &[],
        }
    }

    /// Decides the types of Parquet by all values; text formats write each value as it is.
    fn survey(&mut self) -> Result<(), Error> {
        let columns = &self.share.columns;
        let mut surveys: Vec<Survey> =
            columns.iter().map(|column| Survey::of(column.kind)).collect();
        let needed = |column: &&ExportColumn| Survey::is_needed(column.kind);
        let wanted: Vec<String> =
            columns.iter().filter(needed).map(|column| column.name.clone()).collect();
        if self.export.format == FileFormat::Parquet && !wanted.is_empty() {
            let looked = columns.iter().zip(&mut surveys).filter(|(column, _)| needed(column));
            let mut looked: Vec<&mut Survey> = looked.map(|(_, survey)| survey).collect();
            let selection = Selection { columns: &wanted, ..self.selection() };
            self.rows.scan::<Error>(&selection, |row| {
                looked.iter_mut().zip(row).for_each(|(survey, value)| survey.add(*value));
                Ok(())
            })?;
        }
        let parquet = self.export.format == FileFormat::Parquet;
        for (column, survey) in columns.iter().zip(&surveys) {
            let (exact, because) = survey.decide();
            let kind = if parquet { exact.spoken() } else { type_name(column.kind) };
            self.types.push(exact);
            self.done.columns.push(WrittenColumn { name: column.name.clone(), kind, because });
        }
        Ok(())
    }

    fn run(mut self) -> Result<Exported, Error> {
        let by = self.export.partition.clone();
        let (stream, columns) = (&self.share.stream.stream, &self.share.columns);
        let place = by.as_ref().map(|by| by.find(stream, columns)).transpose()?;
        let mut open = match place {
            None => Some(self.open(None)?),
            Some(_) => None,
        };
        let (rows, names, key) = (self.rows, self.names.clone(), self.key.clone());
        let prefix = by.as_ref().map(|by| (by.column.as_str(), by.unit.letters()));
        let selection = Selection { columns: &names, prefix, order: &key, ..self.selection() };
        rows.scan::<Error>(&selection, |row| {
            if let (Some(by), Some(place)) = (&by, place) {
                let folder = by.folder(row[place]);
                let folder = folder.ok_or_else(|| {
                    self.misfit(row, place, &format!("{}, which is no time", shown(row[place])))
                })?;
                if open.as_ref().and_then(|open| open.part.as_ref()) != Some(&folder) {
                    self.close(open.take())?;
                    open = Some(self.open(Some(folder))?);
                }
            }
            let Some(open) = open.as_mut() else { return Ok(()) };
            self.done.rows += 1;
            open.writer.row(row).map_err(|fault| match fault {
                RowFault::Io(error) => self.io(open.path.as_deref(), error),
                RowFault::Value { column, what } => self.misfit(row, column, &what),
            })
        })?;
        self.close(open)?;
        Ok(self.done)
    }

    fn open(&mut self, part: Option<String>) -> Result<OpenFile, Error> {
        let (out, path): (Out, _) = match (self.claim, &part) {
            (None, _) => ((self.outside.standard)(), None),
            (Some(claim), None) => {
                (Box::new(BufWriter::new(claim.writer()?)), Some(claim.target().to_owned()))
            }
            (Some(claim), Some(part)) => {
                let (file, path) = claim.part(part, self.export.format.ending())?;
                (Box::new(BufWriter::new(file)), Some(path))
            }
        };
        let writer = self.writer(out).map_err(|error| self.io(path.as_deref(), error))?;
        self.done.files += 1;
        Ok(OpenFile { writer, part, path })
    }

    fn writer(&self, out: Out) -> std::io::Result<Box<dyn RowWriter>> {
        let (columns, rules) = (&self.share.columns, self.export.text);
        Ok(match self.export.format {
            FileFormat::Csv => Box::new(Csv::new(out, columns, rules)?),
            FileFormat::Ndjson => Box::new(Ndjson::new(out, columns, rules)),
            FileFormat::Parquet => {
                let by = self.export.partition.as_ref().map(PartitionBy::name);
                let origin = &self.export.origin;
                let covered = self.share.covered.as_ref();
                let facts = facts::metadata(origin, &self.share.stream, covered, by.as_deref());
                let sorted_by = self.sorted_by();
                let stream = &self.share.stream.stream;
                let about = About { stream, facts: &facts, sorted_by: &sorted_by };
                Box::new(ParquetRows::new(out, columns, &self.types, &about)?)
            }
        })
    }

    /// The columns of the key, as far as their order here is that of every reader.
    fn sorted_by(&self) -> Vec<usize> {
        let place = |name: &String| self.names.iter().position(|have| have == name);
        let alike = |at: &usize| self.types[*at].sorts_alike(self.share.columns[*at].kind);
        self.key.iter().map_while(place).take_while(alike).collect()
    }

    fn close(&mut self, open: Option<OpenFile>) -> Result<(), Error> {
        let Some(OpenFile { mut writer, part, path }) = open else { return Ok(()) };
        writer.finish().map_err(|error| self.io(path.as_deref(), error))?;
        drop(writer);
        if let Some(claim) = self.claim {
            let written = match (&part, &path) {
                // A file by itself is made durable when it gets its name.
                (Some(_), Some(path)) => self.keep(path).and_then(|()| path.metadata()),
                _ => claim.writer()?.metadata(),
            };
            self.done.bytes += written.map_err(|error| self.io(path.as_deref(), error))?.len();
        }
        Ok(())
    }

    /// Makes the file of a partition durable, and the names of both.
    fn keep(&self, path: &Path) -> std::io::Result<()> {
        self.outside.files.make_durable(path)?;
        path.parent().map_or(Ok(()), |folder| self.outside.files.keep_name(folder))
    }

    fn io(&self, path: Option<&Path>, error: std::io::Error) -> Error {
        match path {
            Some(path) => not_written("write", path, &error),
            None => not_taken(&error),
        }
    }

    /// A value that cannot be written, by stream, key and column.
    fn misfit(&self, row: &[Stored<'_>], column: usize, what: &str) -> Error {
        let value = |name: &String| {
            let at = self.names.iter().position(|have| have == name)?;
            Some(format!("{name} = {}", shown(row[at])))
        };
        let key: Vec<String> = self.key.iter().filter_map(value).collect();
        let (stream, column) = (&self.share.stream.stream, &self.names[column]);
        let message =
            format!("`{stream}` ({}): the column `{column}` holds {what}", key.join(", "));
        Error::new(ErrorKind::Unusable, message)
            .help("correct it in the archive, or leave the row out with --where")
    }
}

//! What the kept pages gave as they were read then: by the definition of each page's time, into a
//! table that is looked at and dropped. Rows that do not come out of it came another way.

use crate::definition::{BodyFormat, Column, Stream, parse_definition};
use crate::host::Host;
use crate::kept_pages::KeptPage;
use crate::model::{Error, TableShape};
use crate::record::{Body, RecordReader};
use crate::store::{StreamRow, TableWriter, Tx};

use crate::sync::fetch_window::page_context;
use crate::sync::page::read_kept;

/// The pages of a stream on their way into a trial table.
pub(crate) struct Trial<'a> {
    tx: &'a Tx<'a>,
    old: &'a TableShape,
    /// The trial table's name.
    table: String,
    /// The run of the rebuild: only pages of earlier runs are read.
    before: i64,
    /// By what the pages of a run were read.
    known: Option<(i64, Option<TrialRules>)>,
}

struct TrialRules {
    stream: Stream,
    /// The format of its pages.
    format: BodyFormat,
    reader: RecordReader,
    writer: TableWriter,
}

impl<'a> Trial<'a> {
    /// A trial of the pages that came before run `before`; `old` is the table that they gave.
    pub(crate) fn new(tx: &'a Tx<'a>, old: &'a TableShape, before: i64) -> Result<Self, Error> {
        let table = tx.make_trial(old)?;
        Ok(Self { tx, old, table, before, known: None })
    }

    /// Reads all pages. False when somebody asked for the end.
    pub(crate) fn run(mut self, host: &Host) -> Result<bool, Error> {
        let mut after = 0;
        while let Some(page) = self.tx.kept_page_after(&self.old.name, after)? {
            if host.stop.cause().is_some() {
                return Ok(false);
            }
            after = page.page;
            self.take(&page)?;
        }
        Ok(true)
    }

    /// A page that cannot be read as it was gives nothing: what it gave then is carried over.
    fn take(&mut self, page: &KeptPage) -> Result<(), Error> {
        if page.body.is_empty() {
            return Ok(());
        }
        if self.known.as_ref().is_none_or(|(run, _)| *run != page.run) {
            self.known = Some((page.run, self.rules_of(page.run)?));
        }
        let Some((_, Some(rules))) = &self.known else { return Ok(()) };
        let context = page_context(&rules.stream, page.asked, &page.parent);
        let body = Body::of_kept(&page.body, rules.format);
        if let Ok(rows) = read_kept(&rules.stream, &rules.reader, &context, &body) {
            let (run, now) = (page.run, &page.written_at);
            self.tx.write_rows(&rules.writer, &rows.rows, run, now)?;
        }
        Ok(())
    }

    /// What the pages of a run were read by; none where that is not known, or made another table.
    fn rules_of(&self, run: i64) -> Result<Option<TrialRules>, Error> {
        let text = self.tx.definition_of_page(&self.old.name, run, self.before)?;
        let definition = text.and_then(|text| parse_definition("the archive", &text).ok());
        let Some(definition) = definition else { return Ok(None) };
        let Some(stream) = definition.stream(&self.old.name).cloned() else { return Ok(None) };
        let format = definition.sources[&stream.source].format();
        let stored = || {
            let columns = self.old.columns.iter();
            columns.map(|column| Column::plain(&column.name, column.kind)).collect()
        };
        let columns = StreamRow::columns_of(&stream, None).unwrap_or_else(stored);
        let shape = TableShape::of(&stream, &columns, stream.columns.is_none());
        let have = |name: &str, kind| {
            self.old.columns.iter().any(|column| column.name == name && column.kind == kind)
        };
        let fits = shape.columns.iter().all(|column| have(&column.name, column.kind));
        if shape.key != self.old.key || !fits {
            return Ok(None);
        }
        let mut shape = TableShape { name: self.table.clone(), references: Vec::new(), ..shape };
        shape.retention.history = false;
        shape.retention.marks = true;
        let reader = RecordReader::new(columns, stream.key.clone());
        let reader = reader.with_tombstones(stream.deleted.clone());
        Ok(Some(TrialRules { stream, format, reader, writer: TableWriter::new(shape) }))
    }
}

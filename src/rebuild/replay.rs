//! The kept pages of a stream on their way back into rows, by the rules of a sync.
//!
//! Pages are read one at a time in the order in which they were written, so that versions,
//! duplicates and "the later fetch wins" come out as they did.

use std::collections::HashSet;
use std::sync::Arc;

use crate::definition::{BodyFormat, Column, Stream};
use crate::host::Host;
use crate::http::SourceError;
use crate::kept_pages::KeptPage;
use crate::model::{Error, TableShape, WindowKey};
use crate::rebuild::Recount;
use crate::record::{Body, PageRows, RecordReader, hash_text};
use crate::store::{TableWriter, Tx};

use crate::http::invalid_response;
use crate::rebuild::table_swap::refuse;
use crate::sync::fetch_window::page_context;
use crate::sync::page::{check_hash_fields, infer_from, read_kept};
use crate::sync::records::{Records, write_records};
use crate::sync::retry_rejects::{Late, open_orphans};

/// The pages of a stream on their way back into rows.
pub(crate) struct Replay<'a> {
    tx: &'a Tx<'a>,
    stream: &'a Stream,
    /// The format of its pages.
    format: BodyFormat,
    /// Whether the table that was set aside can mark rows as gone.
    marks: bool,
    reader: Option<RecordReader>,
    pub(crate) table: Option<TableWriter>,
    /// The fetch in hand.
    fetch: Option<ReplayedFetch>,
    pub(crate) pages: u64,
    /// Pages whose records held a secret that was taken out.
    pub(crate) altered: u64,
    /// Windows that no longer hold what the source counts.
    pub(crate) reopened: u64,
}

/// A fetch on its way.
struct ReplayedFetch {
    window_key: WindowKey,
    run: i64,
    written_at: String,
    counts: Recount,
    keys: HashSet<u64>,
}

impl<'a> Replay<'a> {
    /// A replay that has not begun.
    pub(crate) fn new(tx: &'a Tx<'a>, stream: &'a Stream, format: BodyFormat, marks: bool) -> Self {
        let (reader, table, fetch) = (None, None, None);
        Self { tx, stream, format, marks, reader, table, fetch, pages: 0, altered: 0, reopened: 0 }
    }

    /// Reads all pages. False when somebody asked for the end.
    pub(crate) fn run(&mut self, host: &Host) -> Result<bool, Error> {
        if let Some(columns) = &self.stream.columns {
            self.use_columns(columns.clone(), false)?;
        }
        let mut after = 0;
        while let Some(page) = self.tx.kept_page_after(&self.stream.name, after)? {
            if host.stop.cause().is_some() {
                return Ok(false);
            }
            after = page.page;
            self.take(page)?;
        }
        self.finish_fetch()?;
        Ok(true)
    }

    fn use_columns(&mut self, columns: Vec<Column>, inferred: bool) -> Result<(), Error> {
        let mut shape = TableShape::of(self.stream, &columns, inferred);
        shape.retention.marks |= self.marks;
        self.tx.remake_table(&shape)?;
        let reader = RecordReader::new(columns, self.stream.key.clone());
        self.reader = Some(reader.with_tombstones(self.stream.deleted.clone()));
        self.table = Some(TableWriter::new(shape));
        Ok(())
    }

    fn take(&mut self, page: KeptPage) -> Result<(), Error> {
        let same = self.fetch.as_ref().is_some_and(|fetch| {
            !page.first && fetch.run == page.run && fetch.window_key == page.window_key
        });
        if !same {
            let later = self.fetch.as_ref().is_some_and(|fetch| fetch.run != page.run);
            self.close_fetch()?;
            if later {
                self.take_up_orphans(page.run, &page.written_at)?;
            }
            self.fetch = Some(ReplayedFetch {
                window_key: page.window_key.clone(),
                run: page.run,
                written_at: page.written_at.clone(),
                counts: Recount::default(),
                keys: HashSet::new(),
            });
        }
        let mut rows = match page.body.as_str() {
            "" => None,
            _ => Some(self.read(&page).map_err(|error| {
                let (number, run) = (page.page, page.run);
                let stream = &self.stream.name;
                let message = format!(
                    "page {number} of stream `{stream}` (run {run}) cannot be read by the \
                     definition: {}",
                    error.message
                );
                let help = error.help.clone();
                let help = help.unwrap_or_else(|| "check the definition".to_owned());
                Error { source: Some(Arc::new(error)), ..refuse(message, help) }
            })?),
        };
        self.write(&page, rows.as_mut())
    }

    fn read(&mut self, page: &KeptPage) -> Result<PageRows, SourceError> {
        let body = Body::of_kept(&page.body, self.format);
        if self.reader.is_none()
            && let Some(columns) = infer_from(self.stream, &body)?
        {
            self.use_columns(columns, true).map_err(|error| {
                let message = error.message.clone();
                invalid_response(message).from_error(error)
            })?;
        }
        let none;
        let reader = match &self.reader {
            Some(reader) => reader,
            None => {
                none = RecordReader::new(Vec::new(), self.stream.key.clone());
                &none
            }
        };
        let context = page_context(self.stream, page.asked, &page.parent);
        let rows = read_kept(self.stream, reader, &context, &body)?;
        if self.fetch.as_ref().is_some_and(|fetch| fetch.counts.outcomes.received == 0) {
            check_hash_fields(self.stream, &rows, &body)?;
        }
        Ok(rows)
    }

    fn write(&mut self, page: &KeptPage, rows: Option<&mut PageRows>) -> Result<(), Error> {
        self.pages += 1;
        self.altered += u64::from(page.altered);
        let fetch = self.fetch.as_mut().expect("a page belongs to a fetch");
        fetch.counts.pages += 1;
        fetch.written_at.clone_from(&page.written_at);
        let Some(rows) = rows else { return Ok(()) };
        if self.stream.total.is_some() {
            let rejects = rows.rejects.iter().map(|reject| hash_text(&reject.record));
            fetch.keys.extend(rows.rows.key_hashes.iter().copied().chain(rejects));
        }
        let records = Records {
            rows: &mut rows.rows,
            rejects: &mut rows.rejects,
            records: &mut rows.records,
            duplicates: rows.duplicates,
        };
        let (run, now) = (page.run, &page.written_at);
        let table = self.table.as_ref().zip(self.reader.as_ref());
        let outcomes = write_records(self.tx, table, &page.window_key, records, run, now)?;
        fetch.counts.outcomes += outcomes;
        fetch.counts.out_of_window += rows.out_of_window;
        Ok(())
    }

    /// The end of a fetch: the ledger counts what it counts now.
    fn close_fetch(&mut self) -> Result<(), Error> {
        let Some(mut fetch) = self.fetch.take() else { return Ok(()) };
        let counted = self.stream.total.is_some();
        fetch.counts.refers = !self.stream.references.is_empty();
        fetch.counts.distinct_keys = counted.then_some(fetch.keys.len() as u64);
        let reopened = self.tx.recount(&fetch.window_key, fetch.run, &fetch.counts)?;
        self.reopened += u64::from(reopened);
        Ok(())
    }

    fn finish_fetch(&mut self) -> Result<(), Error> {
        let last = self.fetch.as_ref().map(|fetch| (fetch.run, fetch.written_at.clone()));
        self.close_fetch()?;
        last.map_or(Ok(()), |(run, now)| self.take_up_orphans(run, &now))
    }

    /// Orphans whose parents have come meanwhile are rows, as a sync would have it.
    fn take_up_orphans(&self, run: i64, now: &str) -> Result<(), Error> {
        let known = self.table.as_ref().zip(self.reader.as_ref());
        let Some((table, reader)) = known.filter(|(table, _)| !table.shape().references.is_empty())
        else {
            return Ok(());
        };
        let (tx, shape) = (self.tx, table.shape().clone());
        Late::new(tx, self.stream, reader, shape, run, now).take_up(&open_orphans())?;
        Ok(())
    }
}

//! Schema drift that the fetching lane meets: recorded, given a column, or a failure.

use crate::definition::{Column, ColumnType, OnDrift, Segment, Source, Stream, is_column_name};
use crate::drift::{Drift, Noticed};
use crate::http::{Page, SourceError, invalid_response};
use crate::model::{FieldChangeKind, Kinds};
use crate::record::PageContext;

use super::fetch_lane::FetchLane;
use super::page::{ReadPage, read_answer};

impl FetchLane<'_> {
    /// Does what the definition says of drift: records it, gives new fields a column and reads the
    /// page again, or fails the window.
    pub(super) async fn heed_drift(
        &mut self,
        stream: &Stream,
        source: &Source,
        page: ReadPage,
        answer: &Page,
        context: &PageContext,
    ) -> Result<(ReadPage, Noticed), SourceError> {
        let claimed = |name: &str| stream.columns.iter().flatten().any(|c| c.takes(name));
        let mut noticed = self.fields.notice(&page.rows.fields, &claimed);
        if let Some([Segment::Name(tombstone)]) = stream.deleted.as_deref() {
            // The member that makes a record a tombstone comes and goes as records do.
            noticed.drift.retain(|drift| drift.field != *tombstone);
        }
        if noticed.drift.is_empty() || stream.on_drift == OnDrift::Record {
            self.fields.learn(&noticed);
            return Ok((page, noticed));
        }
        if stream.on_drift == OnDrift::Fail {
            let first = &noticed.drift[0];
            let message = format!(
                "the fields of the records have changed: `{}` {} ({})",
                first.field, first.change, first.detail
            );
            let help = "look at them; a sync with `on_drift = \"record\"` takes them as they are";
            return Err(invalid_response(message).help(help));
        }
        let reader = self.record_reader.clone();
        let mut columns = reader.map(|reader| reader.columns().to_vec()).unwrap_or_default();
        let before = columns.len();
        let is_new = |drift: &&Drift| drift.change == FieldChangeKind::New;
        for drift in noticed.drift.iter().filter(is_new) {
            let same = |name: &str| name.eq_ignore_ascii_case(&drift.field);
            // Of names that SQLite cannot tell apart the last by its bytes is a column, in
            // whatever order the page has them.
            let before = |other: &Drift| same(&other.field) && other.field > drift.field;
            let taken = columns.iter().any(|column| same(&column.name))
                || noticed.drift.iter().filter(is_new).any(before);
            if !taken && is_column_name(&drift.field) {
                columns.push(Column::plain(&drift.field, type_of(drift.kinds)));
            }
        }
        self.fields.learn(&noticed);
        if columns.len() == before || before == 0 {
            return Ok((page, noticed));
        }
        let reader = self.use_columns(stream, columns, stream.columns.is_none()).await?;
        let redact = |text: &str| self.fetcher.redact(text);
        let page = read_answer(stream, source, &reader, context, answer, &redact)?;
        Ok((page, noticed))
    }
}

fn type_of(kinds: Kinds) -> ColumnType {
    match kinds {
        Kinds::TEXT => ColumnType::Text,
        Kinds::NUMBER => ColumnType::Number,
        Kinds::BOOLEAN => ColumnType::Boolean,
        _ => ColumnType::Json,
    }
}

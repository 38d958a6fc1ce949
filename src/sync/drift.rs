//! Drift: fields of records that appear, vanish or change their type, noticed page by page.

use std::collections::BTreeMap;

use crate::definition::{Column, ColumnType, OnDrift, Source, Stream, is_column_name};
use crate::http::{Page, SourceError, invalid_response};
use crate::model::{FieldChangeKind, FieldUse, Kinds, KnownField, PageFields};
use crate::record::PageContext;

use super::fetch_lane::FetchLane;
use super::page::{ReadPage, read_answer};

/// Fields that are known of a stream: beyond that its records are maps, and their members data.
const FIELDS_MAX: usize = 1_000;

/// A change that is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What happened to it.
    pub change: FieldChangeKind,
    /// The field.
    pub field: String,
    /// In words.
    pub detail: String,
    /// Of a new field: what it holds.
    pub kinds: Kinds,
}

/// What a page changes in what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// What is known of these fields from now on.
    pub fields: Vec<KnownField>,
    /// What is logged.
    pub drift: Vec<Drift>,
}

/// The fields of a stream so far.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    known: BTreeMap<String, (Kinds, FieldUse)>,
}

impl Fields {
    /// What the archive knows.
    pub fn new(known: Vec<KnownField>) -> Self {
        let known = known.into_iter().map(|field| (field.name, (field.kinds, field.usage)));
        Self { known: known.collect() }
    }

    /// Holds a page's fields against what is known. The first page is where knowing begins, and a
    /// field that the definition gives a column to is nothing new.
    pub fn notice(&self, page: &PageFields, is_claimed: &dyn Fn(&str) -> bool) -> Noticed {
        let mut noticed = Noticed::default();
        if page.fields.is_empty() {
            return noticed;
        }
        let first = self.known.is_empty();
        for field in &page.fields {
            let Some((kinds, usage)) = self.known.get(&field.name).copied() else {
                let full = self.known.len() + noticed.fields.len() >= FIELDS_MAX;
                // Of a field that has been null so far nothing is known.
                if full || field.kinds == Kinds::NONE && !first {
                    continue;
                }
                let usage =
                    if first && field.in_all { FieldUse::Always } else { FieldUse::Sometimes };
                noticed.know(&field.name, field.kinds, usage);
                if !first && !is_claimed(&field.name) {
                    noticed.log(
                        FieldChangeKind::New,
                        &field.name,
                        field.kinds.to_string(),
                        field.kinds,
                    );
                }
                continue;
            };
            let retyped = kinds != Kinds::NONE && !field.kinds.within(kinds);
            if retyped {
                let detail = format!("was {kinds}, is {}", field.kinds);
                noticed.log(FieldChangeKind::Retyped, &field.name, detail, field.kinds);
            }
            if usage == FieldUse::Gone {
                noticed.log(
                    FieldChangeKind::Returned,
                    &field.name,
                    field.kinds.to_string(),
                    field.kinds,
                );
            }
            let still = usage == FieldUse::Always && field.in_all;
            let now = if still { FieldUse::Always } else { FieldUse::Sometimes };
            if now != usage || !field.kinds.within(kinds) {
                noticed.know(&field.name, kinds.and(field.kinds), now);
            }
        }
        for (name, (kinds, usage)) in &self.known {
            let absent = page.whole && !page.fields.iter().any(|field| field.name == *name);
            if absent && *usage == FieldUse::Always {
                noticed.know(name, *kinds, FieldUse::Gone);
                let detail = "every record had it, none of a page has".to_owned();
                noticed.log(FieldChangeKind::Vanished, name, detail, *kinds);
            }
        }
        noticed
    }

    /// From here on this is known.
    pub fn learn(&mut self, noticed: &Noticed) {
        let fields = noticed.fields.iter().cloned();
        self.known.extend(fields.map(|field| (field.name, (field.kinds, field.usage))));
    }
}

impl Noticed {
    fn know(&mut self, name: &str, kinds: Kinds, usage: FieldUse) {
        self.fields.push(KnownField { name: name.to_owned(), kinds, usage });
    }

    fn log(&mut self, change: FieldChangeKind, field: &str, detail: String, kinds: Kinds) {
        self.drift.push(Drift { change, field: field.to_owned(), detail, kinds });
    }
}

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
        let noticed = self.fields.notice(&page.rows.fields, &claimed);
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
        for drift in noticed.drift.iter().filter(|drift| drift.change == FieldChangeKind::New) {
            let taken = columns.iter().any(|c| c.name.eq_ignore_ascii_case(&drift.field));
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

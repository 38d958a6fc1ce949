//! What a page changes in what is known of a stream's fields.

use std::collections::BTreeMap;

use crate::model::{FieldChangeKind, FieldUse, Kinds, KnownField, PageFields};

/// Fields that are known of a stream: beyond that its records are maps, and their members data.
const FIELDS_MAX: usize = 1_000;

/// A change that is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What happened to it.
    pub change: FieldChangeKind,
    pub field: String,
    /// What changed, in words for people.
    pub detail: String,
    /// Of a new field: what it holds.
    pub kinds: Kinds,
}

/// What a page changes in what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// What is known of these fields from now on.
    pub fields: Vec<KnownField>,
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

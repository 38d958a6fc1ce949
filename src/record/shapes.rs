//! Which fields the records of a page have, told cheaply: records mostly have the shape of an
//! earlier one, and then a hash of their names and kinds is all that is made.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::{Kinds, PageField, PageFields};

use super::json::{JsonKind, Members};

/// Shapes that are told apart in a page; records with more are maps, whose members are data. Each
/// shape is held in memory with its members.
const SHAPES_MAX: usize = 256;
/// Members of a record that is no map: a table cannot have many more columns, and the fields that
/// are known of a stream have the same limit.
const MEMBERS_MAX: usize = 1_000;

/// The shapes that have been seen.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    by_hash: HashMap<u64, Shape>,
    crowded: bool,
}

#[derive(Clone, Debug)]
struct Shape {
    members: Vec<(String, Kinds)>,
}

impl Shapes {
    /// Takes note of a record.
    pub fn note(&mut self, members: &Members<'_>) {
        let mut hasher = DefaultHasher::new();
        for (name, raw) in &members.0 {
            name.hash(&mut hasher);
            (JsonKind::of(raw) as u8).hash(&mut hasher);
        }
        let hash = hasher.finish();
        if self.crowded || self.by_hash.contains_key(&hash) {
            return;
        }
        if self.by_hash.len() >= SHAPES_MAX || members.0.len() > MEMBERS_MAX {
            self.crowded = true;
            return;
        }
        let members = members.0.iter().map(|(name, raw)| (name.clone().into_owned(), kinds(raw)));
        self.by_hash.insert(hash, Shape { members: members.collect() });
    }

    /// The fields of all records, by name.
    pub fn finish(self) -> PageFields {
        let all = self.by_hash.len();
        let mut found: BTreeMap<String, (Kinds, usize)> = BTreeMap::new();
        for (name, kinds) in self.by_hash.into_values().flat_map(|shape| shape.members) {
            let (have, shapes) = found.entry(name).or_default();
            *have = have.and(kinds);
            *shapes += 1;
        }
        let fields = found.into_iter().map(|(name, (kinds, shapes))| PageField {
            name,
            kinds,
            in_all: shapes == all,
        });
        PageFields { fields: fields.collect(), whole: !self.crowded }
    }
}

fn kinds(raw: &str) -> Kinds {
    match JsonKind::of(raw) {
        JsonKind::Null => Kinds::NONE,
        JsonKind::Boolean => Kinds::BOOLEAN,
        JsonKind::Number => Kinds::NUMBER,
        JsonKind::String => Kinds::TEXT,
        JsonKind::Array => Kinds::ARRAY,
        JsonKind::Object => Kinds::OBJECT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(records: &[&str]) -> PageFields {
        let mut shapes = Shapes::default();
        for record in records {
            shapes.note(&Members::parse(record).expect("an object"));
        }
        shapes.finish()
    }

    #[test]
    fn the_fields_of_a_page_have_names_kinds_and_whether_all_records_have_them() {
        let page = fields(&[
            r#"{"id":1,"a":null}"#,
            r#"{"id":2,"a":"x","b":[]}"#,
            r#"{"id":"3","a":"y"}"#,
            r#"{"id":1,"a":null}"#,
        ]);
        let shown: Vec<String> = page
            .fields
            .iter()
            .map(|field| format!("{} {} {}", field.name, field.kinds, field.in_all))
            .collect();
        assert_eq!(shown, ["a text true", "b array false", "id number|text true"]);
        assert!(page.whole);
    }

    #[test]
    fn records_that_are_maps_are_not_taken_for_fields_without_end() {
        let records: Vec<String> = (0..1000).map(|n| format!("{{\"k{n}\":1}}")).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let page = fields(&records);
        assert!(!page.whole && page.fields.len() <= SHAPES_MAX);
    }
}

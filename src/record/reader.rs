//! One record to one row: which member becomes which column, and what is left over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::definition::{Column, ColumnOrigin, Key, Scalar, Segment};
use crate::model::{Cell, RecordRefusal, RejectKind, RowSet};

use super::canonical::{hash_key, utf16_order, write_canonical, write_string};
use super::coerce::coerce;
use super::extract::{RecordStep, text_at};
use super::json::{DeepFault, JsonFault, JsonKind, Members};
use super::pointer::{of_origin, spoken, under};
use super::shapes::Shapes;

/// A stream's columns, made ready for reading many records.
#[derive(Clone, Debug)]
pub struct RecordReader {
    columns: Vec<Column>,
    key: Key,
    /// Columns that are members of the record, by name, in the order of the columns.
    tree: Vec<Node>,
    /// Columns that come from elsewhere.
    others: Vec<usize>,
    is_key: Vec<bool>,
    /// Where a record says that it is a tombstone.
    tombstone: Option<Vec<Segment>>,
}

/// Whether a flag or a time says that something is so.
fn is_said(raw: &str) -> bool {
    !matches!(raw, "null" | "false" | "0" | "\"\"" | "[]" | "{}")
}

/// Whether a value is one of the texts that stand for null, or a number that is written so.
fn stands_for_null(raw: &str, null_values: &[String]) -> bool {
    let text: Option<String> = serde_json::from_str(raw).ok();
    null_values.iter().any(|value| text.as_deref().unwrap_or(raw) == value)
}

/// A member that columns take their values from.
#[derive(Clone, Debug, Default)]
struct Node {
    name: String,
    columns: Vec<usize>,
    children: Vec<Node>,
}

impl RecordReader {
    /// Makes a reader of these columns and this key.
    pub fn new(columns: Vec<Column>, key: Key) -> Self {
        let mut tree = Vec::new();
        let mut others = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            let names = match &column.origin {
                ColumnOrigin::Record(path) => names_only(path),
                _ => None,
            };
            match names {
                Some(names) if !names.is_empty() => claim(&mut tree, &names, at),
                _ => others.push(at),
            }
        }
        let in_key = |column: &Column| matches!(&key, Key::Columns(k) if k.contains(&column.name));
        let is_key = columns.iter().map(in_key).collect();
        Self { columns, key, tree, others, is_key, tombstone: None }
    }

    /// Rows get one cell more: 1 where the member at `path` says that the record is a tombstone.
    #[must_use]
    pub fn with_tombstones(mut self, path: Option<Vec<Segment>>) -> Self {
        self.tombstone = path;
        self
    }

    /// A reader of the same key, whose columns come from elsewhere.
    pub fn with_columns(&self, columns: Vec<Column>) -> Self {
        Self::new(columns, self.key.clone())
    }

    /// The columns, in the order of the row's cells.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Cells before the columns: one for a hashed key.
    pub fn offset(&self) -> usize {
        usize::from(matches!(self.key, Key::Hash(_)))
    }

    /// Cells of a row: a hashed key, the columns, `_rest`, and whether it is a tombstone.
    pub fn width(&self) -> usize {
        self.rest_cell() + 1 + usize::from(self.tombstone.is_some())
    }

    fn rest_cell(&self) -> usize {
        self.offset() + self.columns.len()
    }

    /// The cell of a column.
    pub fn cell_of(&self, column: &str) -> Option<usize> {
        let at = self.columns.iter().position(|have| have.name == column)?;
        Some(at + self.offset())
    }

    /// Where in a record the value of a column is; none where it comes from elsewhere.
    pub(super) fn pointer_of(&self, column: &str) -> Option<String> {
        of_origin(&self.columns.iter().find(|have| have.name == column)?.origin)
    }

    /// The refusal of a record that refers, by a column, to a row that is not there.
    pub fn orphan(&self, column: &str, reason: String) -> RecordRefusal {
        RecordRefusal { kind: RejectKind::Orphan, reason, pointer: self.pointer_of(column) }
    }

    /// The cells of the key.
    pub fn key_cells(&self) -> Vec<usize> {
        match &self.key {
            Key::Hash(_) => vec![0],
            Key::Columns(names) => names.iter().filter_map(|name| self.cell_of(name)).collect(),
        }
    }

    /// Appends the record's row, or says why there is none and leaves `out` as it was.
    pub fn read(
        &self,
        steps: &[RecordStep<'_>],
        parent: &BTreeMap<String, Scalar>,
        out: &mut RowSet,
    ) -> Result<(), RecordRefusal> {
        self.read_noting(steps, parent, out, None)
    }

    /// The same, and notes which members the record has.
    pub fn read_noting(
        &self,
        steps: &[RecordStep<'_>],
        parent: &BTreeMap<String, Scalar>,
        out: &mut RowSet,
        shapes: Option<&mut Shapes>,
    ) -> Result<(), RecordRefusal> {
        let before = (out.cells.len(), out.text.len(), out.bytes.len());
        let result = self.read_cells(steps, parent, before.0, out, shapes);
        if result.is_err() {
            out.cells.truncate(before.0);
            out.text.truncate(before.1);
            out.bytes.truncate(before.2);
        }
        result
    }

    fn read_cells(
        &self,
        steps: &[RecordStep<'_>],
        parent: &BTreeMap<String, Scalar>,
        row: usize,
        out: &mut RowSet,
        shapes: Option<&mut Shapes>,
    ) -> Result<(), RecordRefusal> {
        let record = steps.last().expect("an extracted record has at least its root").raw;
        if JsonKind::of(record) != JsonKind::Object {
            let found = JsonKind::of(record).spoken();
            let reason = format!("expected an object, found {found}");
            return Err(RecordRefusal::new(RejectKind::NotAnObject, reason, ""));
        }
        let members = parse_members(record, "")?;
        let gone = self.tombstone.as_ref().map(|path| text_at(record, path).is_some_and(is_said));
        // A tombstone tells nothing of the fields that records have.
        if let Some(shapes) = shapes.filter(|_| gone != Some(true)) {
            shapes.note(&members);
        }
        out.cells.resize(row + self.width(), Cell::Null);
        let mut rest = RestMembers::default();
        self.read_members(&self.tree, members, row, "", &mut rest, out)?;
        for at in &self.others {
            self.read_other(*at, steps, parent, row, &mut rest, out)?;
        }
        if let Some(text) = rest.finish() {
            out.cells[row + self.rest_cell()] = out.push_text(&text);
        }
        if let Some(gone) = gone {
            out.cells[row + self.rest_cell() + 1] = Cell::Integer(i64::from(gone));
        }
        self.finish_key(steps, parent, row, out)
    }

    /// Gives each member to its column, or to the rest.
    fn read_members<'a>(
        &self,
        nodes: &[Node],
        members: Members<'a>,
        row: usize,
        at: &str,
        rest: &mut RestMembers<'a>,
        out: &mut RowSet,
    ) -> Result<(), RecordRefusal> {
        if let Some(name) = members.duplicate() {
            let reason = format!("the member {name:?} of {} stands twice", spoken(at));
            return Err(RecordRefusal::new(RejectKind::DuplicateMember, reason, under(at, name)));
        }
        // Records name their members in one order, as the definition often does too.
        let mut hint = 0;
        for (name, raw) in members.0 {
            let position = find_node(nodes, hint, &name);
            let Some(node) = position.map(|at| &nodes[at]) else {
                rest.keep(name, raw).map_err(|fault| refusal_of(fault, at))?;
                continue;
            };
            hint = position.map_or(hint, |at| at + 1);
            let mut exact = true;
            for column in &node.columns {
                exact &= self.put(*column, raw, row, out).map_err(|refusal| RecordRefusal {
                    pointer: Some(under(at, &name)),
                    ..refusal
                })?;
            }
            if !exact || node.columns.is_empty() && !is_open(raw) {
                rest.keep(name, raw).map_err(|fault| refusal_of(fault, at))?;
            } else if !node.children.is_empty() && JsonKind::of(raw) == JsonKind::Object {
                let place = under(at, &name);
                let inner = parse_members(raw, &place)?;
                let mut inner_rest = RestMembers::default();
                self.read_members(&node.children, inner, row, &place, &mut inner_rest, out)?;
                if let Some(text) = inner_rest.finish()
                    && node.columns.is_empty()
                {
                    rest.members.push((name, text.into()));
                }
            }
        }
        Ok(())
    }

    /// Puts a value into its cell; tells whether the cell says all that came.
    fn put(
        &self,
        at: usize,
        raw: &str,
        row: usize,
        out: &mut RowSet,
    ) -> Result<bool, RecordRefusal> {
        let column = &self.columns[at];
        if !column.null_values.is_empty() && stands_for_null(raw, &column.null_values) {
            return Ok(true);
        }
        match coerce(raw, column, self.is_key[at], out) {
            Ok((cell, exact)) => {
                out.cells[row + self.offset() + at] = cell;
                Ok(exact)
            }
            Err(RecordRefusal { kind, reason, .. }) => {
                let typed = format!("{:?}", column.kind).to_lowercase();
                let reason = format!("column {} ({typed}): {reason}", column.name);
                Err(RecordRefusal { kind, reason, pointer: of_origin(&column.origin) })
            }
        }
    }

    fn read_other<'a>(
        &self,
        at: usize,
        steps: &[RecordStep<'a>],
        parent: &BTreeMap<String, Scalar>,
        row: usize,
        rest: &mut RestMembers<'a>,
        out: &mut RowSet,
    ) -> Result<(), RecordRefusal> {
        let column = &self.columns[at];
        let Some(raw) = raw_of_origin(&column.origin, steps, parent) else { return Ok(()) };
        if !self.put(at, &raw, row, out)? {
            let name = Cow::Owned(column.name.clone());
            rest.members.push((name, raw.into_owned().into()));
        }
        Ok(())
    }

    /// What a field of a hash key holds: its column's value, or the record's member of that name.
    fn raw_of_field<'a>(
        &self,
        name: &str,
        steps: &[RecordStep<'a>],
        parent: &BTreeMap<String, Scalar>,
    ) -> Option<Cow<'a, str>> {
        match self.columns.iter().find(|column| column.name == name) {
            Some(column) => raw_of_origin(&column.origin, steps, parent),
            None => {
                let path = [Segment::Name(name.to_owned())];
                text_at(steps.last()?.raw, &path).map(Cow::Borrowed)
            }
        }
    }

    fn finish_key(
        &self,
        steps: &[RecordStep<'_>],
        parent: &BTreeMap<String, Scalar>,
        row: usize,
        out: &mut RowSet,
    ) -> Result<(), RecordRefusal> {
        if let Key::Hash(names) = &self.key {
            let values: Vec<(&str, Option<Cow<'_, str>>)> = names
                .iter()
                .map(|name| (name.as_str(), self.raw_of_field(name, steps, parent)))
                .collect();
            let values: Vec<_> = values.iter().map(|(name, raw)| (*name, raw.as_deref())).collect();
            if values.iter().all(|(_, raw)| raw.is_none_or(|raw| raw == "null")) {
                let reason = format!("none of the key's fields is there: {}", names.join(", "));
                return Err(RecordRefusal::new(RejectKind::NoKey, reason, ""));
            }
            let text = hash_key(&values).map_err(|fault| refusal_of(fault, ""))?;
            out.cells[row] = out.push_text(&text);
        }
        let mut hasher = DefaultHasher::new();
        for at in self.key_cells() {
            match out.cells[row + at] {
                Cell::Null => {
                    let column = &self.columns[at - self.offset()];
                    let reason = format!("the key's {} is missing or null", column.name);
                    let pointer = of_origin(&column.origin);
                    return Err(RecordRefusal { kind: RejectKind::NoKey, reason, pointer });
                }
                Cell::Integer(number) => (0_u8, number).hash(&mut hasher),
                Cell::Real(number) => (1_u8, number.to_bits()).hash(&mut hasher),
                cell @ Cell::Text(..) => (2_u8, out.text_of(cell)).hash(&mut hasher),
                cell @ Cell::Blob(..) => (3_u8, out.bytes_of(cell)).hash(&mut hasher),
            }
        }
        out.key_hashes.push(hasher.finish());
        Ok(())
    }
}

/// Objects and null are looked into; anything else where an object was expected is kept.
fn is_open(raw: &str) -> bool {
    matches!(JsonKind::of(raw), JsonKind::Object | JsonKind::Null)
}

fn json_string(text: &str) -> Cow<'static, str> {
    let mut raw = String::with_capacity(text.len() + 2);
    write_string(text, &mut raw);
    raw.into()
}

fn parse_members<'a>(raw: &'a str, at: &str) -> Result<Members<'a>, RecordRefusal> {
    let refuse = |error: serde_json::Error| {
        RecordRefusal::new(RejectKind::Unrepresentable, error.to_string(), at)
    };
    Members::parse(raw).map_err(refuse)
}

fn refusal_of(fault: DeepFault, at: &str) -> RecordRefusal {
    let place = format!("{at}{}", fault.at);
    match fault.fault {
        JsonFault::Duplicate(name) => {
            let reason = format!("a member {name:?} somewhere in {} stands twice", spoken(at));
            RecordRefusal::new(RejectKind::DuplicateMember, reason, place)
        }
        JsonFault::Unrepresentable(why) => {
            RecordRefusal::new(RejectKind::Unrepresentable, why, place)
        }
    }
}

pub(super) fn names_only(path: &[Segment]) -> Option<Vec<&str>> {
    path.iter()
        .map(|segment| match segment {
            Segment::Name(name) => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

fn claim(nodes: &mut Vec<Node>, names: &[&str], column: usize) {
    let Some((first, rest)) = names.split_first() else { return };
    let at = nodes.iter().position(|node| node.name == *first).unwrap_or_else(|| {
        nodes.push(Node { name: (*first).to_owned(), ..Node::default() });
        nodes.len() - 1
    });
    if rest.is_empty() {
        nodes[at].columns.push(column);
    } else {
        claim(&mut nodes[at].children, rest, column);
    }
}

fn find_node(nodes: &[Node], hint: usize, name: &str) -> Option<usize> {
    if nodes.get(hint).is_some_and(|node| node.name == name) {
        return Some(hint);
    }
    nodes.iter().position(|node| node.name == name)
}

/// The value that a column takes, as JSON; none where it is not there.
fn raw_of_origin<'a>(
    origin: &ColumnOrigin,
    steps: &[RecordStep<'a>],
    parent: &BTreeMap<String, Scalar>,
) -> Option<Cow<'a, str>> {
    match origin {
        ColumnOrigin::Parent(name) => match parent.get(name)? {
            Scalar::Text(text) => Some(json_string(text)),
            Scalar::Integer(number) => Some(number.to_string().into()),
            Scalar::Real(number) => Some(number.to_string().into()),
            Scalar::Null => None,
        },
        ColumnOrigin::Member { depth } => {
            steps.get(*depth)?.name.as_ref().map(|name| json_string(name))
        }
        ColumnOrigin::Ancestor { depth, path } => {
            steps.get(*depth)?.value_at(path).map(Cow::Borrowed)
        }
        ColumnOrigin::Record(path) => text_at(steps.last()?.raw, path).map(Cow::Borrowed),
    }
}

/// Members that no column claims.
#[derive(Default)]
struct RestMembers<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> RestMembers<'a> {
    /// Keeps a member, its value in canonical form.
    fn keep(&mut self, name: Cow<'a, str>, raw: &'a str) -> Result<(), DeepFault> {
        let plain = match JsonKind::of(raw) {
            JsonKind::Null | JsonKind::Boolean | JsonKind::Number => true,
            JsonKind::String => !raw.contains('\\'),
            JsonKind::Array | JsonKind::Object => false,
        };
        let value = if plain {
            Cow::Borrowed(raw)
        } else {
            let mut out = String::with_capacity(raw.len());
            write_canonical(raw, &mut out).map_err(|fault| fault.inside(&name))?;
            Cow::Owned(out)
        };
        self.members.push((name, value));
        Ok(())
    }

    /// The object of what was kept, if anything was: sorted, so that a source that shuffles its
    /// members does not seem to change its records.
    fn finish(mut self) -> Option<String> {
        if self.members.is_empty() {
            return None;
        }
        self.members.sort_by(|(a, _), (b, _)| utf16_order(a, b));
        let mut out = String::from("{");
        for (at, (name, value)) in self.members.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_string(name, &mut out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Some(out)
    }
}

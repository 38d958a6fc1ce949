//! What two archives' definitions of one stream must agree on for their rows to be rows of one
//! stream. All that cannot be united is told at once.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::definition::{Column, Definition, OnConflict, Stream, StreamKind, parse_definition};
use crate::merge::RunDefinitions;
use crate::model::TableColumn;
use crate::record::{corrected, is_read_otherwise};
use crate::store::StreamRow;

/// What each side says of a stream beside its table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sides {
    pub ours: RunDefinitions,
    pub theirs: RunDefinitions,
}

/// The definitions that archives were ever made by, newest first.
#[derive(Debug, Default)]
pub(crate) struct DefinitionHistory {
    texts: Vec<String>,
    /// Read where a column is to be filled, which is seldom.
    read: OnceCell<Vec<Definition>>,
}

/// What the comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Each keeps the archives apart.
    pub refused: Vec<String>,
    /// Differences that do not keep the archives apart, a line each.
    pub warnings: Vec<String>,
}

impl DefinitionHistory {
    /// Definitions as texts, the newest first; they are parsed when first asked for.
    pub fn new(texts: Vec<String>) -> Self {
        Self { texts, read: OnceCell::new() }
    }

    /// Where a column's values come from: by the newest definition that says so, else by its name.
    pub fn column(&self, stream: &str, column: &TableColumn) -> Column {
        let parse = |text: &String| parse_definition("the archive's definition", text).ok();
        let definitions = self.read.get_or_init(|| self.texts.iter().filter_map(parse).collect());
        let same = |have: &&Column| have.name == column.name && have.kind == column.kind;
        let said = definitions
            .iter()
            .find_map(|definition| definition.stream(stream)?.columns.as_ref()?.iter().find(same));
        let plain = || Column::plain(&column.name, column.kind);
        let said = said.cloned().map(|said| Column { name: column.name.clone(), ..said });
        said.unwrap_or_else(plain)
    }
}

impl Sides {
    /// What is said of a stream: this archive's word, or the other's where it says nothing.
    pub fn stream(&self, name: &str) -> Option<&Stream> {
        let said = self.ours.of(name).or_else(|| self.theirs.of(name));
        said.map(|(_, stream, _)| stream)
    }

    /// Columns that came with the other archive, and that this one's definition does not have.
    pub fn undefined(&self, name: &str, added: &[String]) -> Option<String> {
        let columns = self.ours.of(name)?.1.columns.as_ref()?;
        let known = |new: &&String| columns.iter().any(|have| have.name == **new);
        let new: Vec<&str> = added.iter().filter(|new| !known(new)).map(String::as_str).collect();
        let new = (!new.is_empty()).then(|| new.join(", "))?;
        Some(format!(
            "stream `{name}` has got columns that the definition here lacks ({new}): add them to \
             it, or syncs go on to keep their fields in `_rest`"
        ))
    }

    /// Compares one stream's rules, and where its columns come from; `rows` are what the archives
    /// know of its tables, this one's first.
    pub fn compare(&self, name: &str, rows: [&StreamRow; 2], compared: &mut Compared) {
        let (Some((ours, our, _)), Some((theirs, their, _))) =
            (self.ours.of(name), self.theirs.of(name))
        else {
            return;
        };
        for (what, here, there) in rules(our).into_iter().zip(rules(their)).map(|(a, b)| {
            let ((what, here), (_, there)) = (a, b);
            (what, here, there)
        }) {
            if here != there {
                compared
                    .refused
                    .push(format!("stream `{name}`: its {what} is {here} here and {there} there"));
            }
        }
        let inferred = our.columns.is_none() || their.columns.is_none();
        let (here, there) = (columns_of(our, rows[0]), columns_of(their, rows[1]));
        let columns = here.as_ref().zip(there.as_ref());
        let otherwise = columns.map(|(our, their)| corrected(our, their)).unwrap_or_default();
        // Another type is told where the tables are compared. A column that was inferred is of the
        // member of its name; how its text is read, only a definition says.
        let otherwise = otherwise.iter().filter(|(our, their)| match inferred {
            true => our.origin != their.origin,
            false => our.kind == their.kind && is_read_otherwise(our, their),
        });
        for (column, _) in otherwise {
            compared.refused.push(format!(
                "stream `{name}`: its column `{}` is read otherwise here than there: sync both by \
                 one definition first",
                column.name
            ));
        }
        let address = |definition: &Definition, stream: &Stream| {
            let source = definition.sources.get(&stream.source);
            source.map(|source| source.base_url.to_string()).unwrap_or_default()
        };
        let (here, there) = (address(ours, our), address(theirs, their));
        if here != there {
            compared
                .warnings
                .push(format!("stream `{name}` was read from {there}, here {here} is"));
        }
    }
}

/// The columns that a definition says, or that were inferred from the source's first answer; none
/// where neither is known.
fn columns_of<'s>(stream: &'s Stream, row: &StreamRow) -> Option<Cow<'s, [Column]>> {
    if let Some(columns) = &stream.columns {
        return Some(Cow::Borrowed(columns));
    }
    let plain = |column: &TableColumn| Column::plain(&column.name, column.kind);
    row.inferred.then(|| row.columns.iter().map(plain).collect())
}

/// What must be the same, by name.
fn rules(stream: &Stream) -> Vec<(&'static str, String)> {
    let none = || "none".to_owned();
    let (kind, field, zone) = match &stream.kind {
        StreamKind::Window(rules) => ("windows", rules.field.clone(), rules.zone.name().to_owned()),
        StreamKind::Snapshot { .. } => ("a snapshot", none(), none()),
        StreamKind::Cursor(rules) => {
            ("a cursor", rules.field.clone(), rules.zone.name().to_owned())
        }
    };
    let conflict = match stream.on_conflict {
        OnConflict::Update => "update",
        OnConflict::Keep => "keep",
    };
    let parent = stream.for_each.as_ref().map_or_else(none, |name| name.to_string());
    vec![
        ("kind", kind.to_owned()),
        ("field of time", field),
        ("time zone", zone),
        ("version", stream.version.clone().unwrap_or_else(none)),
        ("`on_conflict`", conflict.to_owned()),
        ("`for_each`", parent),
    ]
}

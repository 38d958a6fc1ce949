//! What two archives' definitions of one stream must agree on for their rows to be rows of one
//! stream. All that cannot be united is told at once.

use crate::archive::Said;
use crate::definition::{Definition, Kind, OnConflict, Stream};

/// What each side says of a stream beside its table.
#[derive(Clone, Debug, Default)]
pub(super) struct Sides {
    pub ours: Said,
    pub theirs: Said,
}

/// What the comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// Each keeps the archives apart.
    pub refused: Vec<String>,
    /// Worth knowing.
    pub warnings: Vec<String>,
}

impl Sides {
    /// What is said of a stream: this archive's word, or the other's where it says nothing.
    pub fn stream(&self, name: &str) -> Option<&Stream> {
        let said = self.ours.of(name).or_else(|| self.theirs.of(name));
        said.map(|(_, stream, _)| stream)
    }

    /// Compares one stream's rules.
    pub fn compare(&self, name: &str, compared: &mut Compared) {
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

/// What must be the same, by name.
fn rules(stream: &Stream) -> Vec<(&'static str, String)> {
    let none = || "none".to_owned();
    let (kind, field, zone) = match &stream.kind {
        Kind::Window(rules) => ("windows", rules.field.clone(), rules.zone.name().to_owned()),
        Kind::Snapshot { .. } => ("a snapshot", none(), none()),
        Kind::Cursor(rules) => ("a cursor", rules.field.clone(), rules.zone.name().to_owned()),
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

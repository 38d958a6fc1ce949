//! What a definition means: from the shape of `raw.rs` to the checked types of this room.
//!
//! Every check reports and goes on, so that one pass finds all problems.

mod alerts;
mod bounds;
mod check;
mod cleartext;
mod columns;
mod outbox;
mod parts;
mod retention;
mod source;
mod stream;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::de::DeTable;

use super::context::Context;
use super::problem::{Problem, Problems};
use super::raw::RawDefinition;
use super::shape::problems_of_shape;
use super::{Definition, DefinitionOrigin, Stream};
pub use cleartext::is_loopback;
pub use parts::{is_header_name, sounds_secret};
pub use stream::{is_column_name, is_given_name};
pub use window::parse_start;

/// The JSON Schema of `windrow.toml`, for editors.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RawDefinition).to_value()
}

/// Reads a definition. `file` is only used to name the place of a problem.
pub fn parse_definition(file: &str, text: &str) -> Result<Definition, Problems> {
    let fail = |problems: Vec<Problem>| Err(Problems::new(file, text, problems));
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problems = errors.iter().map(|error| {
            Problem::new(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()))
        });
        return fail(problems.collect());
    }
    let problems = problems_of_shape(&json_schema(), &table);
    if !problems.is_empty() {
        return fail(problems);
    }
    let raw = match read_raw(text) {
        Ok(raw) => raw,
        Err(problem) => return fail(vec![problem]),
    };
    let mut context = Context { table: &table, text, problems: Vec::new() };
    let definition = resolve(&raw, &mut context);
    match definition {
        Some(definition) if context.problems.is_empty() => Ok(definition),
        _ => fail(context.problems),
    }
}

fn read_raw(text: &str) -> Result<RawDefinition, Problem> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        Problem::new(error.span().unwrap_or(0..0), error.message())
    })
}

/// A definition's text for the archive at `archive`, which is all that is changed in it; without
/// comments. `file` is only used to name the place of a problem.
pub fn definition_text(file: &str, text: &str, archive: &str) -> Result<String, Problems> {
    let written = read_raw(text).and_then(|mut raw| {
        archive.clone_into(&mut raw.archive.path);
        toml::to_string(&raw).map_err(|error| Problem::new(0..0, error.to_string()))
    });
    written.map_err(|problem| Problems::new(file, text, vec![problem]))
}

fn resolve(raw: &RawDefinition, context: &mut Context<'_>) -> Option<Definition> {
    if raw.archive.path.is_empty() {
        context.report(&["archive", "path"], "the archive needs a path".to_owned());
    }
    if raw.sources.is_empty() {
        context.report(&["sources"], "there is no source".to_owned());
    }
    let mut sources = BTreeMap::new();
    for (name, source) in &raw.sources {
        context.check_name(&["sources", name], name, "a source");
        if let Some(source) = source::resolve_source(name, source, context) {
            sources.insert(name.clone(), source);
        }
    }
    let mut streams = Vec::new();
    for (name, stream) in &raw.streams {
        context.check_name(&["streams", name], name, "a stream");
        streams.extend(stream::resolve_stream(name, stream, raw, context));
    }
    let streams = parents_first(streams, context);
    let mut checks = Vec::new();
    for (name, check) in &raw.checks {
        context.check_name(&["checks", name], name, "a check");
        checks.extend(check::resolve_check(name, check, context));
    }
    let alerts = alerts::resolve_alerts(raw, &sources, context);
    cleartext::check_cleartext(raw, &sources, context);
    let text = match toml::to_string(raw) {
        Ok(text) => text,
        // Only `nan` and `inf` in a body can be read and not be sent as JSON.
        Err(error) => {
            context.report(&["streams"], format!("a value has no JSON: {error}"));
            return None;
        }
    };
    Some(Definition {
        archive: PathBuf::from(&raw.archive.path),
        allow_network_fs: raw.archive.allow_network_fs,
        sources,
        streams,
        checks,
        alerts,
        text,
        origin: DefinitionOrigin::File,
    })
}

/// Orders streams so that each comes after the ones it hangs off; a ring is a problem.
fn parents_first(mut streams: Vec<Stream>, context: &mut Context<'_>) -> Vec<Stream> {
    let mut sorted: Vec<Stream> = Vec::new();
    let names: BTreeSet<String> = streams.iter().map(|stream| stream.name.clone()).collect();
    while !streams.is_empty() {
        let ready = streams.iter().position(|stream| {
            let mut needs = stream.for_each.iter().chain(stream.references.values());
            needs.all(|need| {
                need == &stream.name && stream.for_each.as_ref() != Some(need)
                    || !names.contains(need)
                    || sorted.iter().any(|done| &done.name == need)
            })
        });
        match ready {
            Some(at) => sorted.push(streams.remove(at)),
            None => {
                let ring: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
                let message = format!("these streams wait for each other: {}", ring.join(", "));
                context.report(&["streams", ring[0]], message);
                sorted.append(&mut streams);
            }
        }
    }
    sorted
}

impl Context<'_> {
    /// Reports a name that cannot be an SQL identifier without surprises.
    fn check_name(&mut self, place: &[&str], name: &str, what: &str) {
        if !is_given_name(name) {
            let message = format!(
                "`{name}` cannot name {what}: use a lower-case letter, then letters, digits and \
                 underscores"
            );
            self.report_name(place, message);
        }
    }
}

//! Which secrets a definition refers to, and which source each is sent to.

use crate::definition::{
    Definition, RequestTemplate, SecretReference, Source, Stream, Template, Total,
};

/// The fewest characters of a secret. A shorter one is found by chance in what is no secret, so
/// that it cannot be taken out of logs, answers and records.
pub const SECRET_CHARS_MIN: usize = 8;

/// A secret, and one source whose requests hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// The first place of the definition that refers to it: `source NAME` or `stream NAME`.
    pub place: String,
    /// The source that it is sent to.
    pub source: String,
    pub reference: SecretReference,
}

/// The templates in the texts of a JSON body.
fn body_templates(body: Option<&serde_json::Value>) -> Vec<Template> {
    let mut found = Vec::new();
    let mut stack: Vec<&serde_json::Value> = body.into_iter().collect();
    while let Some(value) = stack.pop() {
        match value {
            serde_json::Value::String(text) => found.extend(Template::parse(text)),
            serde_json::Value::Array(items) => stack.extend(items),
            serde_json::Value::Object(members) => stack.extend(members.values()),
            _ => {}
        }
    }
    found
}

/// The secrets of a definition, each once for each source that it is sent to.
pub fn secret_uses(definition: &Definition) -> Vec<SecretUse> {
    let mut found: Vec<SecretUse> = Vec::new();
    let mut add = |place: String, source: &str, templates: Vec<Template>| {
        for reference in templates.iter().flat_map(Template::secrets) {
            if !found.iter().any(|have| have.source == source && have.reference == *reference) {
                let (place, source) = (place.clone(), source.to_owned());
                found.push(SecretUse { place, source, reference: reference.clone() });
            }
        }
    };
    for source in definition.sources.values() {
        add(format!("source {}", source.name), &source.name, templates_of_source(source));
    }
    for stream in &definition.streams {
        add(format!("stream {}", stream.name), &stream.source, templates_of_stream(stream));
    }
    found
}

/// The secrets of a definition, each once, with the first place that refers to it.
pub fn secrets_of(definition: &Definition) -> Vec<(String, SecretReference)> {
    let mut found: Vec<(String, SecretReference)> = Vec::new();
    for SecretUse { place, reference, .. } in secret_uses(definition) {
        if !found.iter().any(|(_, have)| *have == reference) {
            found.push((place, reference));
        }
    }
    found
}

/// Whether a value is too short for what its reference is used for: a user name is no secret, and
/// a source may say that its secrets are short.
pub fn is_too_short(definition: &Definition, reference: &SecretReference, value: &str) -> bool {
    let holds = |templates: Vec<Template>| {
        templates.iter().flat_map(Template::secrets).any(|have| have == reference)
    };
    let needs = |source: &Source| {
        let mut streams = definition.streams.iter().filter(|stream| stream.source == source.name);
        holds(secrets_of_source(source)) || streams.any(|stream| holds(templates_of_stream(stream)))
    };
    let mut sources = definition.sources.values().filter(|source| !source.short_secrets);
    value.chars().count() < SECRET_CHARS_MIN && sources.any(needs)
}

fn templates_of_source(source: &Source) -> Vec<Template> {
    let mut templates: Vec<Template> = source.auth.names().into_iter().cloned().collect();
    templates.extend(secrets_of_source(source));
    templates
}

/// What of a source holds nothing but secrets: not its user name.
fn secrets_of_source(source: &Source) -> Vec<Template> {
    let mut templates: Vec<Template> = source.auth.secrets().into_iter().cloned().collect();
    templates.extend(source.headers.iter().map(|(_, template)| template.clone()));
    if let Some(lookup) = &source.idempotency.lookup {
        templates.extend(templates_of_request(&lookup.request));
    }
    templates
}

fn templates_of_stream(stream: &Stream) -> Vec<Template> {
    let mut templates = templates_of_request(&stream.request);
    if let Some(Total::Endpoint { request, .. }) = &stream.total {
        templates.extend(templates_of_request(request));
    }
    templates
}

fn templates_of_request(request: &RequestTemplate) -> Vec<Template> {
    let named = request.query.iter().chain(&request.headers).map(|(_, template)| template.clone());
    let mut templates = vec![request.path.clone()];
    templates.extend(named);
    templates.extend(body_templates(request.body.as_ref()));
    templates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::parse_definition;

    #[test]
    fn a_secret_is_named_for_each_source_that_it_is_sent_to() {
        let text = r#"
            [archive]
            path = "a.db"
            [sources.own]
            base_url = "https://api.example.com"
            auth = { kind = "bearer", token = "${env:TOKEN}" }
            [sources.other]
            base_url = "https://other.example.net"
            [streams.things]
            source = "own"
            path = "/things"
            records = "$.data[*]"
            key = "id"
            [streams.more]
            source = "other"
            path = "/more"
            query = { k = "${env:TOKEN}" }
            records = "$.data[*]"
            key = "id"
        "#;
        let definition = parse_definition("windrow.toml", text).expect("it parses");
        let uses = secret_uses(&definition).into_iter();
        let uses: Vec<_> = uses.map(|used| (used.place, used.source)).collect();
        let expected = [("source own", "own"), ("stream more", "other")];
        assert_eq!(uses, expected.map(|(place, source)| (place.to_owned(), source.to_owned())));
        let once = secrets_of(&definition);
        assert_eq!(once, [("source own".to_owned(), SecretReference::Environment("TOKEN".into()))]);
    }
}

//! Texts with placeholders: `{{ window.start }}`, `{{ parent.id }}`, `{{ cursor }}`, `${env:NAME}`.
//!
//! A template is checked when the definition is read, so that a misspelt name is a problem with
//! a place and not a failure at three in the morning. Rendering is pure: values in, text out.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A reference to a secret that is kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretReference {
    /// The value of this environment variable.
    Environment(String),
    /// The text of the file at this path.
    File(String),
}

impl std::fmt::Display for SecretReference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Environment(name) => write!(out, "${{env:{name}}}"),
            Self::File(path) => write!(out, "${{file:{path}}}"),
        }
    }
}

/// The longest text with placeholders, bytes: the template library calls itself for each nested
/// part of an expression, and a much longer one overflows the stack.
const TEMPLATE_BYTES_MAX: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Secret(SecretReference),
}

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    /// The names that it uses, dotted.
    names: Vec<String>,
}

/// What the placeholders are filled with.
#[derive(Clone, Debug, Default)]
pub struct TemplateValues {
    /// `window.start` and `window.end`, as the API wants them.
    pub window: Option<(String, String)>,
    /// The mark of a cursor stream, as the API wants it; none for other streams.
    pub cursor: Option<String>,
    /// `parent.COLUMN`: the columns of the parent's row; empty without `for_each`.
    pub parent: BTreeMap<String, Scalar>,
    /// `key`: that of an entry of the outbox.
    pub key: Option<String>,
    /// `alert.…`: what is told of a finding.
    pub alert: BTreeMap<String, String>,
}

/// A value that a template can write and a partition can be named after: of a parent's row, or a
/// row's version. Unlike a value of a column it is never bytes, which stand for null there.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
}

/// Where the rendered text goes, which decides how values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscapeContext {
    /// One part of a URL's path: everything but unreserved characters is escaped.
    Path,
    /// Anything that is escaped as a whole afterwards.
    Plain,
}

/// RFC 3986, section 2.3: unreserved characters need no escape.
const PATH_ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Template {
    /// Checks the syntax and notes the names that are used.
    pub fn parse(text: &str) -> Result<Template, String> {
        // The library nests calls as deep as an expression.
        if text.contains("{{") && text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("a template may have {TEMPLATE_BYTES_MAX} bytes"));
        }
        let pieces = split_secrets(text)?;
        let environment = environment(EscapeContext::Plain);
        let mut names = Vec::new();
        for piece in &pieces {
            let Piece::Text(text) = piece else { continue };
            let template = environment.template_from_str(text).map_err(|error| {
                format!("the template is malformed: {}", error.detail().unwrap_or("syntax error"))
            })?;
            names.extend(template.undeclared_variables(true));
        }
        names.sort();
        names.dedup();
        Ok(Template { pieces, names })
    }

    /// The names that it uses, dotted: `window.start`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The secrets that it refers to.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretReference> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Secret(reference) => Some(reference),
            Piece::Text(_) => None,
        })
    }

    /// Fills the placeholders. `secret` gives the value of a reference, or the reference itself
    /// where the text is only shown.
    pub fn render(
        &self,
        values: &TemplateValues,
        place: EscapeContext,
        secret: &dyn Fn(&SecretReference) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Secret(reference) => out.push_str(&secret(reference)?),
                Piece::Text(text) if !text.contains(['{', '}']) => out.push_str(text),
                Piece::Text(text) => out.push_str(&render_text(text, values, place)?),
            }
        }
        Ok(out)
    }
}

fn render_text(
    text: &str,
    values: &TemplateValues,
    place: EscapeContext,
) -> Result<String, String> {
    let environment = environment(place);
    let rendered = environment.render_str(text, values.to_value());
    rendered.map_err(|error| error.detail().unwrap_or("the template cannot be filled").to_owned())
}

fn environment<'a>(place: EscapeContext) -> Environment<'a> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    if place == EscapeContext::Path {
        environment.set_formatter(|out, _state, value| {
            let text = value.to_string();
            // A dot segment would climb to another endpoint, an empty one would name the list.
            if value.is_none() || matches!(text.as_str(), "" | "." | "..") {
                let detail = format!("the value {text:?} cannot stand in a path");
                return Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, detail));
            }
            let escaped = utf8_percent_encode(&text, PATH_ESCAPED).to_string();
            out.write_str(&escaped).map_err(minijinja::Error::from)
        });
    }
    environment
}

impl TemplateValues {
    fn to_value(&self) -> Value {
        let mut all: BTreeMap<String, Value> = BTreeMap::new();
        if let Some((start, end)) = &self.window {
            let bounds = [("start", start), ("end", end)];
            let bounds = bounds.map(|(name, at)| (name.to_owned(), Value::from(at.as_str())));
            all.insert("window".to_owned(), Value::from(BTreeMap::from(bounds)));
        }
        if let Some(cursor) = &self.cursor {
            all.insert("cursor".to_owned(), Value::from(cursor.as_str()));
        }
        if let Some(key) = &self.key {
            all.insert("key".to_owned(), Value::from(key.as_str()));
        }
        if !self.alert.is_empty() {
            all.insert("alert".to_owned(), Value::from(self.alert.clone()));
        }
        let parent: BTreeMap<String, Value> =
            self.parent.iter().map(|(name, value)| (name.clone(), value.to_value())).collect();
        all.insert("parent".to_owned(), Value::from(parent));
        Value::from(all)
    }
}

impl Scalar {
    fn to_value(&self) -> Value {
        match self {
            Scalar::Null => Value::from(()),
            Scalar::Integer(number) => Value::from(*number),
            Scalar::Real(number) => Value::from(*number),
            Scalar::Text(text) => Value::from(text.as_str()),
        }
    }
}

fn split_secrets(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].to_owned()));
        }
        let inner = &rest[at + 2..];
        let end = inner.find('}').ok_or("`${` is not closed by `}`")?;
        pieces.push(Piece::Secret(parse_reference(&inner[..end])?));
        rest = &inner[end + 1..];
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn parse_reference(text: &str) -> Result<SecretReference, String> {
    match text.split_once(':') {
        Some(("env", name)) if is_variable_name(name) => {
            Ok(SecretReference::Environment(name.to_owned()))
        }
        Some(("env", name)) => Err(format!("`{name}` is not the name of a variable")),
        Some(("file", path)) if !path.is_empty() => Ok(SecretReference::File(path.to_owned())),
        _ => Err(format!("`${{{text}}}` is neither `${{env:NAME}}` nor `${{file:PATH}}`")),
    }
}

fn is_variable_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A rendering for people: references stay references.
pub fn show_reference(reference: &SecretReference) -> Result<String, String> {
    Ok(reference.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> TemplateValues {
        TemplateValues {
            window: Some(("2026-01-01".into(), "2026-01-02".into())),
            cursor: None,
            parent: BTreeMap::from([("id".into(), Scalar::Text("a/b ?".into()))]),
            key: None,
            alert: BTreeMap::new(),
        }
    }

    fn render(text: &str, place: EscapeContext) -> Result<String, String> {
        let secret = |reference: &SecretReference| Ok(format!("<{reference}>"));
        Template::parse(text)?.render(&values(), place, &secret)
    }

    #[test]
    fn holes_are_filled_and_a_path_is_escaped() {
        assert_eq!(
            render("{{ window.start }}..{{ window.end }}", EscapeContext::Plain).as_deref(),
            Ok("2026-01-01..2026-01-02")
        );
        assert_eq!(
            render("/x/{{ parent.id }}/y", EscapeContext::Path).as_deref(),
            Ok("/x/a%2Fb%20%3F/y")
        );
        assert_eq!(render("k ${env:KEY}!", EscapeContext::Plain).as_deref(), Ok("k <${env:KEY}>!"));
    }

    #[test]
    fn a_dot_segment_from_the_api_cannot_climb_to_another_endpoint() {
        let template = Template::parse("/x/{{ parent.id }}").expect("a template");
        for id in ["..", ".", ""] {
            let parent = BTreeMap::from([("id".to_owned(), Scalar::Text(id.into()))]);
            let values = TemplateValues { parent, ..TemplateValues::default() };
            assert!(
                template.render(&values, EscapeContext::Path, &show_reference).is_err(),
                "{id:?}"
            );
        }
    }

    #[test]
    fn names_are_known_before_anything_is_rendered() {
        let template = Template::parse("{{ window.start }} {{ parent.id }}").expect("a template");
        assert_eq!(template.names(), ["parent.id", "window.start"]);
        assert!(Template::parse("{{ window.start").is_err());
        assert!(Template::parse("${env:A B}").is_err());
        assert!(Template::parse("${home}").is_err());
        assert!(render("{{ nothing }}", EscapeContext::Plain).is_err());
    }
}

//! The fingerprint of a stream's request: what of a definition decides which records come, and
//! what its columns mean. Pure.
//!
//! It is made of the definition as it is written, and not of its checked form: a definition that
//! an older windrow took and this one refuses still says what was asked. A default that is spelled
//! out is the default. Secrets never enter: references to them are left out.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::paging::{RawPaginate, RawTotal};
use super::raw::{
    RawBounds, RawColumn, RawCursorStart, RawDefinition, RawKey, RawSource, RawStream,
};
use super::raw_parameter::RawParameter;
use super::{Path, Segment, Span, TimeFormat};

/// A definition that an archive holds, as it is written.
#[derive(Clone, Debug)]
pub struct RecordedDefinition(RawDefinition);

/// What a stream's request and columns were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// The parts of the request, by the key of the definition.
    request: BTreeMap<String, Value>,
    /// Where the values of each declared column come from, and how they are read; by its name.
    columns: BTreeMap<String, Value>,
    /// The columns that the request depends on: key, version, and field of the window or cursor.
    roles: BTreeSet<String>,
}

/// Something that differs between two fingerprints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestChange {
    /// A part of the request, by the key of the definition.
    Request(String),
    /// The column of this name, which no part of the request depends on.
    Column(String),
}

impl RequestChange {
    /// Whether the same is asked, and only the answers are read otherwise.
    pub fn is_reading(&self) -> bool {
        match self {
            RequestChange::Request(key) => {
                matches!(key.as_str(), "key" | "version" | "records") || key.starts_with("columns.")
            }
            RequestChange::Column(_) => true,
        }
    }

    /// The key of the definition that has changed, in backticks.
    pub fn spoken(&self) -> String {
        match self {
            RequestChange::Request(key) => format!("`{key}`"),
            RequestChange::Column(name) => format!("`columns.{name}`"),
        }
    }
}

impl RecordedDefinition {
    /// Reads a definition. None where it is none, or has keys that are not known.
    pub fn parse(text: &str) -> Option<RecordedDefinition> {
        toml::from_str(text).ok().map(RecordedDefinition)
    }

    /// The fingerprint of a stream; none where the definition does not name it.
    pub fn fingerprint(&self, stream: &str) -> Option<Fingerprint> {
        let raw = self.0.streams.get(stream)?;
        let source = match &raw.source {
            Some(name) => self.0.sources.get(name),
            None => self.0.sources.values().next(),
        };
        Some(fingerprint_of(source?, raw))
    }
}

impl Fingerprint {
    /// What differs between two fingerprints, in order. A column that only one of them declares is
    /// no difference: where columns are inferred, nothing is said of it.
    pub fn changes(&self, other: &Fingerprint) -> Vec<RequestChange> {
        let keys: BTreeSet<&String> = self.request.keys().chain(other.request.keys()).collect();
        let keys = keys.into_iter().filter(|key| self.request.get(*key) != other.request.get(*key));
        let mut changes: Vec<RequestChange> =
            keys.map(|key| RequestChange::Request(key.clone())).collect();
        for (name, meaning) in &self.columns {
            if other.columns.get(name).is_none_or(|there| there == meaning) {
                continue;
            }
            changes.push(match self.roles.contains(name) || other.roles.contains(name) {
                true => RequestChange::Request(format!("columns.{name}")),
                false => RequestChange::Column(name.clone()),
            });
        }
        changes
    }

    /// The request as one text, which two equal ones share: its parts, and the columns that it
    /// depends on.
    pub fn request_text(&self) -> String {
        let columns = self.columns.iter().filter(|(name, _)| self.roles.contains(*name));
        let columns: BTreeMap<&String, &Value> = columns.collect();
        json!({ "request": self.request, "columns": columns }).to_string()
    }

    /// A column's meaning as one text; empty where it is not declared.
    pub fn column_text(&self, name: &str) -> String {
        self.columns.get(name).map(Value::to_string).unwrap_or_default()
    }
}

fn fingerprint_of(source: &RawSource, raw: &RawStream) -> Fingerprint {
    let mut request = BTreeMap::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            request.insert(key.to_owned(), value);
        }
    };
    let base_url = Url::parse(&source.base_url).map(String::from);
    let base_url = base_url.unwrap_or_else(|_| source.base_url.clone());
    put("base_url", base_url.trim_end_matches('/').into());
    put("method", written(&raw.method.unwrap_or(super::raw::RawMethod::Get)));
    put("path", template(raw.path.trim_start_matches('/')).into());
    put("query", parameters(&raw.query));
    put("headers", headers(&source.headers, &raw.headers));
    put("body", raw.body.as_ref().map_or(Value::Null, templates_in));
    put("records", place(&raw.records));
    put("for_each", written(&raw.for_each));
    put("paginate", raw.paginate.as_ref().map_or(Value::Null, paginate));
    put("total", raw.total.as_ref().map_or(Value::Null, |it| total(it, raw)));
    put("key", key(&raw.key));
    put("version", written(&raw.version));
    for (key, value) in window(raw).into_iter().chain(cursor(raw)) {
        put(key, value);
    }
    let mut roles = BTreeSet::new();
    roles.extend(raw.version.clone());
    roles.extend(raw.window.as_ref().map(|window| window.field.clone()));
    roles.extend(raw.cursor.as_ref().map(|cursor| cursor.field.clone()));
    match &raw.key {
        RawKey::Column(name) => roles.extend([name.clone()]),
        RawKey::Columns(names) => roles.extend(names.iter().cloned()),
        RawKey::Hash(hash) => roles.extend(hash.hash.iter().cloned()),
    }
    let columns = raw.columns.iter().flatten();
    let columns = columns.map(|(name, raw)| (name.clone(), column(name, raw))).collect();
    Fingerprint { request, columns, roles }
}

fn written<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// A text with placeholders: blanks inside of them say nothing, and a secret's name is no secret's
/// value.
fn template(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, open, close)) = [("{{", "}}"), ("${", "}")]
        .iter()
        .filter_map(|(open, close)| Some((rest.find(open)?, *open, *close)))
        .min()
    {
        out.push_str(&rest[..at]);
        let inner = &rest[at + open.len()..];
        let Some(end) = inner.find(close) else { break };
        match open {
            "{{" => out.push_str(&format!("{{{{{}}}}}", inner[..end].trim())),
            _ => out.push_str("${}"),
        }
        rest = &inner[end + close.len()..];
    }
    out.push_str(rest);
    out
}

/// The same in every text of a JSON value, its members in order.
fn templates_in(value: &Value) -> Value {
    match value {
        Value::String(text) => template(text).into(),
        Value::Array(items) => items.iter().map(templates_in).collect(),
        Value::Object(members) => {
            let members: BTreeMap<&String, &Value> = members.iter().collect();
            let members = members.into_iter().map(|(name, it)| (name.clone(), templates_in(it)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        plain => plain.clone(),
    }
}

/// Parameters by name; what is sent is text, however it is written.
fn parameters(query: &IndexMap<String, RawParameter>) -> Value {
    let texts = |parameter: &RawParameter| match parameter {
        RawParameter::Text(text) => vec![template(text)],
        RawParameter::Integer(number) => vec![number.to_string()],
        RawParameter::Number(number) => vec![number.to_string()],
        RawParameter::Boolean(flag) => vec![flag.to_string()],
        RawParameter::List(texts) => texts.iter().map(|text| template(text)).collect(),
    };
    let sorted: BTreeMap<&String, Vec<String>> =
        query.iter().map(|(name, parameter)| (name, texts(parameter))).collect();
    if sorted.is_empty() { Value::Null } else { written(&sorted) }
}

/// The headers of source and stream, by their names, which have no case.
fn headers(source: &IndexMap<String, String>, stream: &IndexMap<String, String>) -> Value {
    let mut sorted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in source.iter().chain(stream) {
        sorted.entry(name.to_ascii_lowercase()).or_default().push(template(value));
    }
    if sorted.is_empty() { Value::Null } else { written(&sorted) }
}

/// A JSONPath by its steps; one that is richer, or none, by its text.
fn place(text: &str) -> Value {
    let path = Path::parse(text).ok();
    let Some(steps) = path.as_ref().and_then(Path::plain) else { return text.trim().into() };
    let step = |step: &Segment| match step {
        Segment::Name(name) => name.as_str().into(),
        Segment::Index(index) => (*index).into(),
        // No name and no index.
        Segment::Wildcard => json!(["*"]),
    };
    steps.iter().map(step).collect()
}

fn key(raw: &RawKey) -> Value {
    match raw {
        RawKey::Column(name) => json!([name]),
        RawKey::Columns(names) => json!(names),
        RawKey::Hash(hash) => json!({ "hash": hash.hash }),
    }
}

/// A table as it is written, its paths by their steps, with the defaults that are left out.
fn table(value: Value, paths: &[&str], defaults: &[(&str, Value)]) -> Map<String, Value> {
    let Value::Object(mut members) = value else { return Map::new() };
    for name in paths {
        if let Some(Value::String(text)) = members.get(*name) {
            let steps = place(text);
            members.insert((*name).to_owned(), steps);
        }
    }
    for (name, default) in defaults {
        members.entry(*name).or_insert_with(|| default.clone());
    }
    members.sort_keys();
    members
}

fn paginate(raw: &RawPaginate) -> Value {
    if matches!(raw, RawPaginate::None {}) {
        return Value::Null;
    }
    let mut members = table(written(raw), &RawPaginate::PATHS, &raw.defaults());
    if let Some(end) = members.get("end").cloned() {
        members.insert("end".to_owned(), end_rules(end));
    }
    Value::Object(members)
}

/// One rule and a list of one are the same.
fn end_rules(end: Value) -> Value {
    let rules = match end {
        Value::Array(rules) => rules,
        one => vec![one],
    };
    let rule = |rule: Value| match rule {
        word @ Value::String(_) => word,
        other => {
            let mut members = table(other, &["at"], &[]);
            if let Some(is) = members.get("is").filter(|is| !is.is_array()).cloned() {
                members.insert("is".to_owned(), json!([is]));
            }
            Value::Object(members)
        }
    };
    rules.into_iter().map(rule).collect()
}

fn total(raw: &RawTotal, stream: &RawStream) -> Value {
    match raw {
        RawTotal::Path(text) if text == "none" => Value::Null,
        RawTotal::Path(text) => json!({ "path": place(text) }),
        RawTotal::Elsewhere(it) => {
            let mut members = table(written(it), &["path", "value"], &[]);
            members.retain(|name, value| name != "of" || value != "each");
            if let Some(endpoint) = &it.endpoint {
                let query = it.query.as_ref().unwrap_or(&stream.query);
                members.insert("endpoint".to_owned(), template(endpoint).into());
                members.insert("query".to_owned(), parameters(query));
            }
            Value::Object(members)
        }
    }
}

/// How a bound is written: its form, and the zone where the form does not say it.
fn bound(format: Option<&str>, timezone: Option<&str>) -> (Value, Value) {
    let format = format.unwrap_or("rfc3339");
    let is_local = TimeFormat::parse(format).map_or(true, |format| format.is_local());
    let zone = if is_local { timezone.unwrap_or("UTC").into() } else { Value::Null };
    (format.into(), zone)
}

fn window(raw: &RawStream) -> Vec<(&'static str, Value)> {
    let Some(window) = &raw.window else { return Vec::new() };
    let (format, zone) = bound(window.format.as_deref(), window.timezone.as_deref());
    let bounds = window.bounds.unwrap_or(RawBounds::ClosedOpen);
    // An included end and an excluded start are written one step of the precision away.
    let precision = match (&window.precision, bounds) {
        (_, RawBounds::ClosedOpen) => Value::Null,
        (Some(text), _) => span(text),
        (None, _) => {
            let format = TimeFormat::parse(window.format.as_deref().unwrap_or("rfc3339"));
            format.map_or(Value::Null, |format| format.precision().to_string().into())
        }
    };
    vec![
        ("window.field", window.field.as_str().into()),
        ("window.format", format),
        ("window.timezone", zone),
        ("window.bounds", written(&bounds)),
        ("window.precision", precision),
    ]
}

fn span(text: &str) -> Value {
    Span::parse(text).map_or_else(|_| text.into(), |span| span.to_string().into())
}

fn cursor(raw: &RawStream) -> Vec<(&'static str, Value)> {
    let Some(cursor) = &raw.cursor else { return Vec::new() };
    let field = ("cursor.field", cursor.field.as_str().into());
    match &cursor.start {
        RawCursorStart::Integer(start) => vec![field, ("cursor.start", (*start).into())],
        RawCursorStart::Text(start) => {
            let (format, zone) = bound(cursor.format.as_deref(), cursor.timezone.as_deref());
            let start = start.trim().into();
            vec![
                field,
                ("cursor.start", start),
                ("cursor.format", format),
                ("cursor.timezone", zone),
            ]
        }
    }
}

/// Where a column's values come from and how they are read.
fn column(name: &str, raw: &RawColumn) -> Value {
    let RawColumn::Full(it) = raw else {
        let RawColumn::Type(kind) = raw else { return Value::Null };
        return json!({ "type": kind, "path": [name] });
    };
    let own = it.member.is_none() && it.parent.is_none();
    let path = match &it.path {
        Some(path) => place(path),
        None if own => json!([name]),
        None => Value::Null,
    };
    let members = json!({
        "type": it.kind,
        "path": path,
        "ancestor": it.ancestor.as_deref().map(place),
        "member": it.member.as_deref().map(place),
        "parent": it.parent,
        "format": it.format.as_deref().filter(|format| *format != "rfc3339"),
        "timezone": it.timezone,
        "tolerance": it.tolerance,
        "null_values": written(&it.null_values),
        "ambiguous": written(&it.ambiguous),
    });
    let Value::Object(mut members) = members else { return Value::Null };
    members.retain(|_, value| !value.is_null() && *value != json!([]));
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#"
[archive]
path = "a.db"
[sources.s]
base_url = "https://api.example.com/v1"
[streams.u]
path = "/u"
query = { from = "{{ window.start }}", size = 5 }
records = "$.data[*]"
key = ["id", "day"]
[streams.u.window]
field = "day"
start = "2026-01-01"
step = "1 day"
[streams.u.paginate]
kind = "cursor"
next = "$.next"
[streams.u.columns]
id = "text"
day = "timestamp"
gb = "real"
"#;

    fn fingerprint(text: &str) -> Fingerprint {
        let definition = RecordedDefinition::parse(text).unwrap_or_else(|| panic!("{text}"));
        definition.fingerprint("u").expect("the stream")
    }

    /// What changes where `from` is `to`.
    fn changes(from: &str, to: &str) -> Vec<String> {
        let after = PLAIN.replace(from, to);
        assert_ne!(after, PLAIN, "{from}");
        let (before, after) = (fingerprint(PLAIN), fingerprint(&after));
        assert_eq!(before.changes(&after), after.changes(&before));
        before.changes(&after).iter().map(RequestChange::spoken).collect()
    }

    #[test]
    fn what_is_the_same_request_has_the_same_fingerprint() {
        for (from, to) in [
            ("path = \"/u\"", "path = \"/u\"\nmethod = \"GET\"\nsource = \"s\""),
            ("$.data[*]", "$['data'][*]"),
            ("com/v1", "com:443/v1/"),
            ("{{ window.start }}", "{{window.start}}"),
            ("size = 5", "size = \"5\""),
            ("from = \"{{ window.start }}\", size = 5", "size = 5, from = \"{{ window.start }}\""),
            ("next = \"$.next\"", "next = \"$.next\"\nparam = \"cursor\""),
            ("step = \"1 day\"", "step = \"1 month\"\nlateness = \"3 days\"\norder = \"newest\""),
            ("step = \"1 day\"", "step = \"1 day\"\nbounds = \"[)\"\nformat = \"rfc3339\""),
            ("step = \"1 day\"", "step = \"1 day\"\ntimezone = \"Europe/Berlin\""),
            ("gb = \"real\"", "gb = { type = \"real\", path = \"$.gb\" }"),
            ("gb = \"real\"", "gb = \"real\"\nmore = \"text\""),
            ("[sources.s]", "[sources.s]\nrate = \"9/second\"\nread_timeout = \"9 seconds\""),
            ("path = \"/u\"", "path = \"/u\"\nraw = true\nhistory = true\nmissing = \"mark\""),
        ] {
            assert_eq!(changes(from, to), [""; 0], "{from} and {to}");
        }
    }

    #[test]
    fn a_default_of_paging_that_is_written_out_is_the_same_request() {
        for (kind, defaults) in [
            ("\"page\"", "param = \"page\"\nfirst = 1"),
            ("\"offset\"", "param = \"offset\""),
            ("\"offset\"\nsize = 5", "param = \"offset\"\nsize_param = \"limit\""),
        ] {
            let of = |more: &str| {
                let paginate = format!("kind = {kind}\n{more}");
                fingerprint(&PLAIN.replace("kind = \"cursor\"\nnext = \"$.next\"", &paginate))
            };
            assert_eq!(of("").changes(&of(defaults)).len(), 0, "{kind}");
            assert_eq!(of("").changes(&of("param = \"other\"")).len(), 1, "{kind}");
        }
    }

    #[test]
    fn what_is_another_request_says_which_key_has_changed() {
        for (from, to, key) in [
            ("path = \"/u\"", "path = \"/v\"", "`path`"),
            ("path = \"/u\"", "path = \"/u\"\nmethod = \"POST\"", "`method`"),
            ("com/v1", "com/v2", "`base_url`"),
            ("size = 5", "size = 6", "`query`"),
            ("$.data[*]", "$.rows[*]", "`records`"),
            ("next = \"$.next\"", "next = \"$.after\"", "`paginate`"),
            ("next = \"$.next\"", "next = \"$.next\"\nend = \"empty_page\"", "`paginate`"),
            ("path = \"/u\"", "path = \"/u\"\ntotal = \"$.n\"", "`total`"),
            ("path = \"/u\"", "path = \"/u\"\nheaders = { A = \"b\" }", "`headers`"),
            ("[sources.s]", "[sources.s]\nheaders = { A = \"b\" }", "`headers`"),
            ("path = \"/u\"", "path = \"/u\"\nversion = \"gb\"", "`version`"),
            ("step = \"1 day\"", "step = \"1 day\"\nbounds = \"[]\"", "`window.bounds`"),
            ("day = \"timestamp\"", "day = \"date\"", "`columns.day`"),
            ("gb = \"real\"", "gb = \"text\"", "`columns.gb`"),
            ("gb = \"real\"", "gb = { type = \"real\", tolerance = 0.1 }", "`columns.gb`"),
            ("gb = \"real\"", "gb = { type = \"real\", path = \"$.a.gb\" }", "`columns.gb`"),
        ] {
            let found = changes(from, to);
            assert!(found.contains(&key.to_owned()), "{from} and {to}: {found:?}");
        }
    }

    #[test]
    fn a_secret_never_enters_not_even_by_its_name() {
        let header = |value: &str| {
            PLAIN.replace("[sources.s]", &format!("[sources.s]\nheaders = {{ K = \"{value}\" }}"))
        };
        let (one, other) = (header("a ${env:ONE}"), header("a ${file:other.txt}"));
        assert_eq!(fingerprint(&one), fingerprint(&other));
        assert!(!fingerprint(&one).request_text().contains("ONE"));
    }

    #[test]
    fn an_inferred_column_that_is_declared_later_is_no_change() {
        let inferred = PLAIN.split("[streams.u.columns]").next().expect("a part");
        assert_eq!(fingerprint(PLAIN).changes(&fingerprint(inferred)), []);
        assert_eq!(fingerprint(inferred).changes(&fingerprint(PLAIN)), []);
    }

    #[test]
    fn what_cannot_be_read_has_none() {
        assert!(RecordedDefinition::parse("nonsense = [").is_none());
        let later = PLAIN.replace("path = \"/u\"", "path = \"/u\"\nlater = 1");
        assert!(RecordedDefinition::parse(&later).is_none());
        let definition = RecordedDefinition::parse(PLAIN).expect("a definition");
        assert_eq!(definition.fingerprint("other"), None);
    }
}

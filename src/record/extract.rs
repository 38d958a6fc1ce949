//! Where the records of a page are: walks a JSONPath over the text of a body.
//!
//! "Nothing there" and "not where the definition says" are two answers: an empty list is no
//! data, a missing list is a source that broke its word.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde_json::value::RawValue;
use serde_json_path::PathElement;

use crate::definition::{Path, Segment};

use super::json::{Elements, JsonKind, Members, each_element};

/// One step on the way to a record.
#[derive(Clone, Debug)]
pub struct RecordStep<'a> {
    /// The member's name, where the step went through an object.
    pub name: Option<Cow<'a, str>>,
    /// What the step led to, as it came.
    pub raw: &'a str,
    /// What has been looked up in it, by where the path is kept: an ancestor holds the whole list,
    /// and reading it again for each record would take the square of the body's length.
    found: RefCell<Vec<(*const Segment, Option<&'a str>)>>,
}

impl<'a> RecordStep<'a> {
    pub(super) fn new(name: Option<Cow<'a, str>>, raw: &'a str) -> Self {
        Self { name, raw, found: RefCell::new(Vec::new()) }
    }

    /// From here on this is the value at a path inside of it.
    pub(super) fn know(&self, path: &[Segment], value: Option<&'a str>) {
        self.found.borrow_mut().push((path.as_ptr(), value));
    }

    /// The value at a path inside of it, looked up once for each path.
    pub fn value_at(&self, path: &[Segment]) -> Option<&'a str> {
        let mut found = self.found.borrow_mut();
        if let Some((_, value)) = found.iter().find(|(known, _)| *known == path.as_ptr()) {
            return *value;
        }
        let value = text_at(self.raw, path);
        found.push((path.as_ptr(), value));
        value
    }
}

/// Why no records could be taken from a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtractError {
    /// The body is not JSON.
    NotJson(String),
    /// The body is the beginning of a JSON text.
    CutOff(String),
    /// Something is not there.
    Absent {
        /// The path up to it.
        at: String,
        /// The names that are there instead.
        known: Vec<String>,
    },
    /// Something is of another kind.
    WrongKind {
        /// The path up to it.
        at: String,
        /// What the path needs there.
        expected: &'static str,
        /// The kind of value that is there.
        found: &'static str,
    },
}

impl std::error::Error for ExtractError {}

impl fmt::Display for ExtractError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExtractError::NotJson(why) => write!(out, "the answer is not JSON: {why}"),
            ExtractError::CutOff(why) => write!(out, "the answer is not JSON, but cut off: {why}"),
            ExtractError::Absent { at, known } if known.is_empty() => {
                write!(out, "expected {at}, found nothing there")
            }
            ExtractError::Absent { at, known } => {
                write!(out, "expected {at}, found only {}", known.join(", "))
            }
            ExtractError::WrongKind { at, expected, found } => {
                write!(out, "expected {expected} at {at}, found {found}")
            }
        }
    }
}

impl ExtractError {
    /// Whether the list of records is not there, or null.
    pub fn is_absent_list(&self) -> bool {
        match self {
            ExtractError::Absent { .. } => true,
            ExtractError::WrongKind { found, .. } => *found == JsonKind::Null.spoken(),
            ExtractError::NotJson(_) | ExtractError::CutOff(_) => false,
        }
    }
}

/// Calls `on` for each record in order, with the steps that led to it: the root first, the record
/// last.
pub fn extract<'a>(
    body: &'a str,
    path: &Path,
    on: &mut dyn FnMut(&[RecordStep<'a>]),
) -> Result<(), ExtractError> {
    // RFC 8259, section 8.1: a byte order mark must not be sent and may be ignored.
    let body = body.strip_prefix('\u{feff}').unwrap_or(body);
    let root: &RawValue = serde_json::from_str(body).map_err(|error| no_json(body, &error))?;
    let Some(segments) = path.plain() else { return extract_rich(root.get(), path, on) };
    let one = path.object_is_element();
    let mut walk = RecordWalk { steps: Vec::new(), present: 0, skipped: None, one, on };
    walk.steps.push(RecordStep::new(None, root.get()));
    walk.descend(segments, false)?;
    match walk.skipped {
        Some(absent) if walk.present == 0 => Err(absent),
        _ => Ok(()),
    }
}

/// Why a whole body is no JSON, with what stands in its place.
fn no_json(body: &str, error: &serde_json::Error) -> ExtractError {
    if body.trim().is_empty() {
        return ExtractError::NotJson("it is empty".to_owned());
    }
    if error.is_eof() {
        return ExtractError::CutOff(error.to_string());
    }
    let is_json = |line: &str| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
    let mut lines = body.lines().filter(|line| !line.trim().is_empty());
    if lines.next().is_some_and(is_json) && lines.next().is_some_and(is_json) {
        let why = "it is JSON Lines, a JSON text in each line, which windrow does not read";
        return ExtractError::NotJson(why.to_owned());
    }
    // From the byte where it ceases to be JSON.
    let line = body.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let mut from = error.column().saturating_sub(1).min(line.len());
    while !line.is_char_boundary(from) {
        from -= 1;
    }
    let found = crate::model::excerpt(&line[from..], 40);
    ExtractError::NotJson(format!("{error}: {found}"))
}

fn not_json(error: serde_json::Error) -> ExtractError {
    match error.is_eof() {
        true => ExtractError::CutOff(error.to_string()),
        false => ExtractError::NotJson(error.to_string()),
    }
}

struct RecordWalk<'a, 'f> {
    steps: Vec<RecordStep<'a>>,
    /// How often the end of the path, or the list at its end, was there.
    present: usize,
    /// The first thing that was not there under a wildcard: an error if it was nowhere.
    skipped: Option<ExtractError>,
    /// Whether an object at the end of the path is one element of a list.
    one: bool,
    on: &'f mut dyn FnMut(&[RecordStep<'a>]),
}

impl<'a> RecordWalk<'a, '_> {
    fn descend(&mut self, segments: &[Segment], under_wildcard: bool) -> Result<(), ExtractError> {
        let Some((segment, rest)) = segments.split_first() else {
            self.present += 1;
            (self.on)(&self.steps);
            return Ok(());
        };
        let raw = self.steps.last().expect("the root is always there").raw;
        match segment {
            Segment::Name(name) => self.step_into(raw, name, rest, under_wildcard),
            Segment::Index(index) => {
                let elements = self.elements(raw)?;
                let at = usize::try_from(*index)
                    .unwrap_or_else(|_| elements.len().wrapping_add_signed(*index as isize));
                match elements.get(at) {
                    Some(element) => self.go(None, element, rest, under_wildcard),
                    None => {
                        self.absent(format!("{}[{index}]", self.place()), vec![], under_wildcard)
                    }
                }
            }
            Segment::Wildcard => match JsonKind::of(raw) {
                JsonKind::Array => {
                    self.present += usize::from(rest.is_empty());
                    let mut failed = None;
                    let whole = each_element(raw, &mut |each| {
                        failed = self.go(None, each, rest, true).err();
                        failed.is_none()
                    });
                    failed.map_or(whole.map_err(not_json), Err)
                }
                JsonKind::Object if self.one && rest.is_empty() => self.go(None, raw, rest, true),
                JsonKind::Object => {
                    self.present += usize::from(rest.is_empty());
                    let mut members = Members::parse(raw).map_err(not_json)?.0.into_iter();
                    members.try_for_each(|(n, each)| self.go(Some(n), each, rest, true))
                }
                JsonKind::Null if under_wildcard => {
                    self.skip(self.wrong("an array or an object", raw));
                    Ok(())
                }
                _ => Err(self.wrong("an array or an object", raw)),
            },
        }
    }

    fn step_into(
        &mut self,
        raw: &'a str,
        name: &str,
        rest: &[Segment],
        under_wildcard: bool,
    ) -> Result<(), ExtractError> {
        if JsonKind::of(raw) != JsonKind::Object {
            return Err(self.wrong("an object", raw));
        }
        let members = Members::parse(raw).map_err(not_json)?;
        let mut same = members.0.iter().filter(|(have, _)| have == name);
        match (same.next(), same.next()) {
            (Some((name, value)), None) => self.go(Some(name.clone()), value, rest, under_wildcard),
            (Some(_), Some(_)) => {
                let at = format!("{}.{name}", self.place());
                Err(ExtractError::WrongKind {
                    at,
                    expected: "one member",
                    found: "two of that name",
                })
            }
            (None, _) => {
                let known = members.0.iter().take(8).map(|(name, _)| format!("{name:?}")).collect();
                self.absent(format!("{}.{name}", self.place()), known, under_wildcard)
            }
        }
    }

    fn go(
        &mut self,
        name: Option<Cow<'a, str>>,
        raw: &'a str,
        rest: &[Segment],
        under_wildcard: bool,
    ) -> Result<(), ExtractError> {
        self.steps.push(RecordStep::new(name, raw));
        let result = self.descend(rest, under_wildcard);
        self.steps.pop();
        result
    }

    fn elements(&self, raw: &'a str) -> Result<Vec<&'a str>, ExtractError> {
        if JsonKind::of(raw) != JsonKind::Array {
            return Err(self.wrong("an array", raw));
        }
        Ok(Elements::parse(raw).map_err(not_json)?.0)
    }

    /// Under a wildcard one of many may lack the member; nowhere else.
    fn absent(
        &mut self,
        at: String,
        known: Vec<String>,
        under_wildcard: bool,
    ) -> Result<(), ExtractError> {
        let error = ExtractError::Absent { at, known };
        if !under_wildcard {
            return Err(error);
        }
        self.skip(error);
        Ok(())
    }

    fn skip(&mut self, error: ExtractError) {
        self.skipped.get_or_insert(error);
    }

    fn wrong(&self, expected: &'static str, raw: &str) -> ExtractError {
        let found = JsonKind::of(raw).spoken();
        ExtractError::WrongKind { at: self.place(), expected, found }
    }

    fn place(&self) -> String {
        let names = self.steps.iter().skip(1).map(|step| match &step.name {
            Some(name) => format!(".{name}"),
            None => "[*]".to_owned(),
        });
        format!("${}", names.collect::<String>())
    }
}

/// Filters, slices and descendants: the library finds the places, the text gives the values.
fn extract_rich<'a>(
    root: &'a str,
    path: &Path,
    on: &mut dyn FnMut(&[RecordStep<'a>]),
) -> Result<(), ExtractError> {
    let value: serde_json::Value = serde_json::from_str(root).map_err(not_json)?;
    // What the path names before its first filter must be there, or nothing is known.
    let mut ignore = |_: &[RecordStep<'a>]| {};
    let mut walk =
        RecordWalk { steps: Vec::new(), present: 0, skipped: None, one: false, on: &mut ignore };
    walk.steps.push(RecordStep::new(None, root));
    walk.descend(path.prefix(), false)?;
    if let Some(absent) = walk.skipped.filter(|_| walk.present == 0) {
        return Err(absent);
    }
    let mut places = Places { root, parent: None };
    for node in path.library().query_located(&value).iter() {
        let elements: Vec<&PathElement<'_>> = node.location().iter().collect();
        let raw = places.find(&elements).ok_or_else(|| {
            ExtractError::NotJson("a member name stands twice on the way to a record".to_owned())
        })?;
        on(&[RecordStep::new(None, root), RecordStep::new(None, raw)]);
    }
    Ok(())
}

/// Remembers the last container, since records usually lie side by side.
struct Places<'a> {
    root: &'a str,
    parent: Option<(String, Container<'a>)>,
}

enum Container<'a> {
    Array(Vec<&'a str>),
    Object(Members<'a>),
}

impl<'a> Container<'a> {
    fn open(raw: &'a str) -> Option<Self> {
        match JsonKind::of(raw) {
            JsonKind::Array => Elements::parse(raw).ok().map(|elements| Self::Array(elements.0)),
            JsonKind::Object => Members::parse(raw).ok().map(Self::Object),
            _ => None,
        }
    }

    fn get(&self, element: &PathElement<'_>) -> Option<&'a str> {
        match (self, element) {
            (Self::Array(elements), PathElement::Index(index)) => elements.get(*index).copied(),
            // Of two members of one name the library has looked at the last: which one is meant?
            (Self::Object(members), PathElement::Name(name)) => members.only(name),
            _ => None,
        }
    }
}

impl<'a> Places<'a> {
    fn find(&mut self, elements: &[&PathElement<'_>]) -> Option<&'a str> {
        let Some((last, before)) = elements.split_last() else { return Some(self.root) };
        let key: String = before.iter().map(|element| format!("/{element}")).collect();
        if self.parent.as_ref().is_none_or(|(have, _)| *have != key) {
            let mut raw = self.root;
            for element in before {
                raw = Container::open(raw)?.get(element)?;
            }
            self.parent = Some((key, Container::open(raw)?));
        }
        self.parent.as_ref()?.1.get(last)
    }
}

/// The text at a path that leads to one place; `None` when it is not there.
pub fn text_at<'a>(raw: &'a str, segments: &[Segment]) -> Option<&'a str> {
    let mut raw = raw;
    for segment in segments {
        raw = match segment {
            Segment::Name(name) => Members::parse(raw).ok()?.get(name)?,
            Segment::Index(index) => {
                let elements = Elements::parse(raw).ok()?.0;
                let at = usize::try_from(*index)
                    .unwrap_or_else(|_| elements.len().wrapping_add_signed(*index as isize));
                elements.get(at).copied()?
            }
            Segment::Wildcard => return None,
        };
    }
    Some(raw)
}

/// The value at a path of an answer, as it came; the first one where the path leads to several.
pub fn body_value(body: &str, path: &Path) -> Option<String> {
    let body = body.strip_prefix('\u{feff}').unwrap_or(body).trim();
    if let Some(segments) = path.singular() {
        return text_at(body, segments).map(str::to_owned);
    }
    let mut first = None;
    let found = extract(body, path, &mut |steps| {
        first.get_or_insert_with(|| steps.last().map_or("", |step| step.raw).to_owned());
    });
    found.ok().and(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(body: &str, path: &str) -> Result<Vec<String>, String> {
        let path = Path::parse(path).expect("a path");
        let mut found = Vec::new();
        let mut on = |steps: &[RecordStep<'_>]| {
            let names: Vec<_> = steps.iter().filter_map(|step| step.name.as_deref()).collect();
            let raw = steps.last().expect("a record").raw;
            found.push(format!("{}:{raw}", names.join("/")));
        };
        extract(body, &path, &mut on).map_err(|error| error.to_string())?;
        Ok(found)
    }

    #[test]
    fn records_are_found_through_arrays_and_through_objects_used_as_maps() {
        let usage = r#"{"SL-1":{"daily_usage":[{"a":1.10},{"a":2}]},"SL-2":{"daily_usage":[]}}"#;
        let cases = [
            (r#"[1, 2]"#, "$[*]", vec![":1", ":2"]),
            (r#"{"data":[{"a": 1}]}"#, "$.data[*]", vec![r#"data:{"a": 1}"#]),
            (
                usage,
                "$.*.daily_usage[*]",
                vec![r#"SL-1/daily_usage:{"a":1.10}"#, r#"SL-1/daily_usage:{"a":2}"#],
            ),
            (r#"{"a":{"x":1,"y":2}}"#, "$.a.*", vec!["a/x:1", "a/y:2"]),
            (r#"{"a":[[1,2],[3]]}"#, "$.a[-1][0]", vec!["a:3"]),
            (r#"{"a":1}"#, "$", vec![r#":{"a":1}"#]),
            ("\u{feff}[1]", "$[*]", vec![":1"]),
            (
                r#"{"a":[{"k":1.10,"on":true},{"k":2,"on":false}]}"#,
                "$.a[?@.on == true]",
                vec![r#":{"k":1.10,"on":true}"#],
            ),
            (
                r#"{"a":{"b":[{"k":1}]},"c":[{"k":2}]}"#,
                "$..[?@.k]",
                vec![":{\"k\":1}", ":{\"k\":2}"],
            ),
            (r#"{"data":[]}"#, "$.data[*]", vec![]),
            ("{}", "$.*.daily_usage[*]", vec![]),
        ];
        for (body, path, expected) in cases {
            let expected = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(records(body, path), Ok(expected), "{path} in {body}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_and_not_an_empty_page() {
        let cases = [
            (
                r#"{"login_required":true}"#,
                "$.data[*]",
                "expected $.data, found only \"login_required\"",
            ),
            (
                r#"{"data":null}"#,
                "$.data[*]",
                "expected an array or an object at $.data, found null",
            ),
            (
                r#"{"data":5}"#,
                "$.data[*]",
                "expected an array or an object at $.data, found a number",
            ),
            (r#"[1]"#, "$.data[*]", "expected an object at $, found an array"),
            (r#"{"a":{"x":1},"b":{}}"#, "$.*.daily[*]", "expected $.a.daily, found only \"x\""),
            (
                r#"{"data":[],"data":[]}"#,
                "$.data[*]",
                "expected one member at $.data, found two of that name",
            ),
            (r#"{"status":"down"}"#, "$.data[?@.id]", "expected $.data, found only \"status\""),
            ("5", "$[*]", "expected an array or an object at $, found a number"),
        ];
        for (body, path, expected) in cases {
            assert_eq!(records(body, path), Err(expected.to_owned()), "{path} in {body}");
        }
        for body in ["<html>", "", "{\"data\":[1", "[1] trailing", "{\"a\":\"\u{1}\"}"] {
            let error = records(body, "$.data[*]").expect_err(body);
            assert!(error.starts_with("the answer is not JSON"), "{body}: {error}");
        }
    }

    #[test]
    fn one_of_many_may_lack_the_list_as_long_as_another_has_it() {
        let body = r#"{"a":{"daily":[1]},"b":{},"c":{"daily":null}}"#;
        assert_eq!(records(body, "$.*.daily[*]"), Ok(vec!["a/daily:1".to_owned()]));
        assert_eq!(records(r#"{"a":{"daily":[]},"b":{}}"#, "$.*.daily[*]"), Ok(vec![]));
    }
}

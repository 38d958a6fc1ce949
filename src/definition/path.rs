//! Where things are in an answer: JSONPath (RFC 9535), checked when the definition is read.
//!
//! Paths of names, indexes and wildcards are walked over the text itself, so that every digit
//! stays as it came; anything richer (filters, slices, descendants) is left to the library.

use serde_json_path::JsonPath;

/// The longest path, bytes: the JSONPath library calls itself for each nested part of a text, and a
/// much longer one overflows the stack.
const PATH_BYTES_MAX: usize = 1024;
/// The most filters in a path: the JSONPath library reads a filter within a filter twice, so that
/// each level doubles the time.
const FILTERS_MAX: usize = 8;

/// One step of a plain path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A member of an object.
    Name(String),
    /// An element of an array; counted from the end when negative.
    Index(i64),
    /// Every member or element.
    Wildcard,
}

/// A JSONPath (RFC 9535) that was checked, with the plain steps that it begins with.
#[derive(Clone, Debug)]
pub struct Path {
    text: String,
    plain: Option<Vec<Segment>>,
    prefix: Vec<Segment>,
    library: JsonPath,
    /// Whether an object where a list is expected is one element.
    object_is_element: bool,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Why a path was refused, and where in its text.
#[derive(Debug, PartialEq, Eq)]
pub struct PathError {
    /// Bytes from the start of the path's text.
    pub position: usize,
    /// What is wrong there.
    pub message: String,
}

impl Path {
    /// Checks the text against RFC 9535.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        // The library nests calls as deep as the text, and reads a filter in a filter twice.
        let refused = |message: String| Err(PathError { position: 0, message });
        if text.len() > PATH_BYTES_MAX {
            return refused(format!("a JSONPath may have {PATH_BYTES_MAX} bytes"));
        }
        if text.matches('?').count() > FILTERS_MAX {
            return refused(format!("a JSONPath may have {FILTERS_MAX} filters"));
        }
        // The library panics where a path ends there, which no whole path does.
        if ["\\u", "\\uD", "\\ud"].iter().any(|end| text.ends_with(end)) {
            return refused("this is not a JSONPath: it ends in a piece of an escape".to_owned());
        }
        let library = JsonPath::parse(text).map_err(|error| PathError {
            position: error.position().min(text.len()),
            message: describe(text, error.message()),
        })?;
        let (prefix, whole) = plain_segments(text);
        let plain = whole.then(|| prefix.clone());
        Ok(Path { text: text.to_owned(), plain, prefix, library, object_is_element: false })
    }

    /// The steps, if they are names, indexes and wildcards only.
    pub fn plain(&self) -> Option<&[Segment]> {
        self.plain.as_deref()
    }

    /// The same path, at whose end an object stands for a list of one: some sources write a list
    /// of one as the element alone. Only where the path ends in `[*]`; `.*` is for the members of
    /// an object.
    #[must_use]
    pub fn taking_an_object_for_an_element(mut self) -> Self {
        self.object_is_element = self.text.trim_end().ends_with("[*]");
        self
    }

    /// Whether an object where the path's last step expects a list is one element.
    pub fn object_is_element(&self) -> bool {
        self.object_is_element
    }

    /// The steps before the first one that is not plain.
    pub fn prefix(&self) -> &[Segment] {
        &self.prefix
    }

    /// The steps, if they lead to one place: names and indexes only.
    pub fn singular(&self) -> Option<&[Segment]> {
        self.plain().filter(|segments| !segments.contains(&Segment::Wildcard))
    }

    /// For everything that is not plain.
    pub fn library(&self) -> &JsonPath {
        &self.library
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn describe(text: &str, message: &str) -> String {
    if text.starts_with('$') {
        format!("this is not a JSONPath: {message}")
    } else {
        "a JSONPath starts with `$`".to_owned()
    }
}

/// The plain steps at the beginning of a text that is known to be a valid JSONPath, and whether
/// they are all of it.
fn plain_segments(text: &str) -> (Vec<Segment>, bool) {
    let mut rest = text.trim_start_matches('$').trim_start();
    let mut segments = Vec::new();
    while !rest.is_empty() {
        let Some((segment, after)) = plain_segment(rest) else { return (segments, false) };
        segments.push(segment);
        rest = after.trim_start();
    }
    (segments, true)
}

fn plain_segment(text: &str) -> Option<(Segment, &str)> {
    if let Some(after) = text.strip_prefix('[') {
        return bracket(after.trim_start());
    }
    let after = text.strip_prefix('.')?;
    let end = after.find(['.', '[', ' ', '\t', '\n', '\r']).unwrap_or(after.len());
    let segment = match &after[..end] {
        "" => return None,
        "*" => Segment::Wildcard,
        name => Segment::Name(name.to_owned()),
    };
    Some((segment, &after[end..]))
}

fn bracket(after: &str) -> Option<(Segment, &str)> {
    let first = after.chars().next()?;
    let (segment, rest) = if first == '\'' || first == '"' {
        let inner = &after[1..];
        let end = inner.find(first)?;
        let name = &inner[..end];
        if name.contains('\\') {
            return None;
        }
        (Segment::Name(name.to_owned()), &inner[end + 1..])
    } else {
        let end = after.find([']', ' '])?;
        let segment = match &after[..end] {
            "*" => Segment::Wildcard,
            number => Segment::Index(number.parse().ok()?),
        };
        (segment, &after[end..])
    };
    Some((segment, rest.trim_start().strip_prefix(']')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Segment {
        Segment::Name(text.to_owned())
    }

    #[test]
    fn plain_paths_are_taken_apart() {
        let cases = [
            ("$", vec![]),
            ("$.data[*]", vec![name("data"), Segment::Wildcard]),
            ("$.*.daily_usage[*]", vec![Segment::Wildcard, name("daily_usage"), Segment::Wildcard]),
            (
                "$['a b'][\"c\"][0][-1]",
                vec![name("a b"), name("c"), Segment::Index(0), Segment::Index(-1)],
            ),
        ];
        for (text, expected) in cases {
            let path = Path::parse(text).expect(text);
            assert_eq!(path.plain(), Some(expected.as_slice()), "{text}");
        }
    }

    #[test]
    fn rich_paths_are_left_to_the_library() {
        for text in ["$..data", "$.a[?@.b == 1]", "$.a[1:3]", "$.a['x','y']", "$['it\\'s']"] {
            let path = Path::parse(text).expect(text);
            assert_eq!(path.plain(), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for text in ["", "data", "$.", "$[", "$.a[?]", "$.a b"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
        for escape in ["\\u", "\\uD", "\\uD83D\\u", "\\uD83D\\uD", "\\uD83D\\ud"] {
            let text = format!("$['a{escape}");
            assert!(Path::parse(&text).is_err(), "{text}");
        }
    }
}

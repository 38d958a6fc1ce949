//! Places in a record: JSON Pointers (RFC 6901).

use std::borrow::Cow;

use crate::definition::{ColumnOrigin, Segment};

/// A name as a token of a pointer.
pub fn token(name: &str) -> Cow<'_, str> {
    match name.contains(['~', '/']) {
        true => name.replace('~', "~0").replace('/', "~1").into(),
        false => name.into(),
    }
}

/// The place of a member.
pub fn under(at: &str, name: &str) -> String {
    format!("{at}/{}", token(name))
}

/// A place as messages name it: `$.cycle.start`.
pub fn spoken(at: &str) -> String {
    let names = at.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~"));
    names.fold("$".to_owned(), |place, name| format!("{place}.{name}"))
}

/// Where in the record a column's value is, as messages name it; none where it comes from
/// elsewhere.
pub fn spoken_origin(origin: &ColumnOrigin) -> Option<String> {
    of_origin(origin).map(|at| spoken(&at))
}

/// Where in the record a column's value is; none where it comes from elsewhere.
pub fn of_origin(origin: &ColumnOrigin) -> Option<String> {
    let ColumnOrigin::Record(path) = origin else { return None };
    Some(of_path(path))
}

/// A path that leads to one place. An index from the end is as far as a pointer can go.
pub fn of_path(path: &[Segment]) -> String {
    let mut at = String::new();
    for segment in path {
        match segment {
            Segment::Name(name) => at = under(&at, name),
            Segment::Index(index) if *index >= 0 => at = format!("{at}/{index}"),
            _ => break,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_what_it_is_made_of() {
        let path = [Segment::Name("a/b".into()), Segment::Index(0), Segment::Name("~".into())];
        assert_eq!(of_path(&path), "/a~1b/0/~0");
        assert_eq!(spoken("/a~1b/0/~0"), "$.a/b.0.~");
        assert_eq!(of_path(&[Segment::Name("a".into()), Segment::Index(-1)]), "/a");
        assert_eq!((of_path(&[]), spoken("")), (String::new(), "$".to_owned()));
    }
}

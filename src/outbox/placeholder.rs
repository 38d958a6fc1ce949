//! Placeholders in a text of a request: `{{ result.KEY.id }}`.

/// A placeholder in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placeholder {
    /// Where it begins and ends, bytes.
    pub start: usize,
    pub end: usize,
    /// What stands in it, from `result.` on.
    pub name: String,
}

/// The names in the placeholders of a text: `KEY.id` for each `{{ result.KEY.id }}`.
pub fn placeholders_of(text: &[u8]) -> Vec<String> {
    placeholders(text).into_iter().map(|placeholder| placeholder.name).collect()
}

pub(super) fn placeholders(text: &[u8]) -> Vec<Placeholder> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = find(text, b"{{", at) {
        at = start + 2;
        let Some(end) = find(text, b"}}", at) else { break };
        let inner = String::from_utf8_lossy(&text[start + 2..end]);
        if let Some(name) = inner.trim().strip_prefix("result.") {
            found.push(Placeholder { start, end: end + 2, name: name.to_owned() });
            at = end + 2;
        }
    }
    found
}

fn find(text: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.windows(what.len()).position(|window| window == what).map(|at| at + from)
}

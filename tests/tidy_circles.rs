//! No circle of files inside a room: whoever reads one file of it need not have read all of them.
//!
//! An edge leads from a file to the file that defines what it names by `use` or by a path; names
//! that a `mod.rs` re-exports are followed to where they are defined.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

type Path = Vec<String>;

/// The sources: name under `src/`, and the code without comments and tests.
fn sources() -> BTreeMap<String, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                let code = text.split("#[cfg(test)]").next().unwrap_or_default().lines();
                let code = code.filter(|line| !line.trim_start().starts_with("//"));
                let name = path.strip_prefix(&root).expect("inside").to_string_lossy();
                found.insert(name.replace('\\', "/"), code.collect::<Vec<_>>().join("\n"));
            }
        }
    }
    found
}

/// The module that a file is: `store/sql.rs` is `store::sql`, `store/mod.rs` is `store`.
fn module(file: &str) -> Path {
    let mut parts: Path = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    parts.pop_if(|last| last == "mod");
    parts
}

/// The paths of a use tree, each whole.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let (mut all, mut depth, mut part) = (Vec::new(), 0, String::new());
    for letter in inner.chars().chain([',']) {
        match letter {
            ',' if depth == 0 => {
                let paths = expand(&std::mem::take(&mut part));
                all.extend(paths.into_iter().filter(|path| !path.is_empty()).map(|path| {
                    match path.as_str() {
                        "self" => before.trim_end_matches(':').to_owned(),
                        _ => format!("{before}{path}"),
                    }
                }));
                continue;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        part.push(letter);
    }
    all
}

/// A path from the root of the crate; none for one that leads into another crate.
fn absolute(path: &str, file: &str) -> Option<Path> {
    let parts: Path = path.split("::").map(|part| part.trim().to_owned()).collect();
    let mut here = module(file);
    match parts.first()?.as_str() {
        "crate" => Some(parts[1..].to_vec()),
        "self" => Some(here.into_iter().chain(parts[1..].to_vec()).collect()),
        "super" => {
            let up = parts.iter().take_while(|part| *part == "super").count();
            here.truncate(here.len().saturating_sub(up));
            Some(here.into_iter().chain(parts[up..].to_vec()).collect())
        }
        _ => None,
    }
}

/// The use trees of a file, and whether each is made public.
fn uses(code: &str) -> Vec<(bool, String)> {
    let mut all = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let line = rest[..at].rsplit('\n').next().unwrap_or_default().trim();
        let begins = line.is_empty() || line == "pub" || line.starts_with("pub(");
        let tail = &rest[at + 4..];
        let Some(end) = tail.find(';') else { break };
        if begins {
            all.push((
                !line.is_empty(),
                tail[..end].split_whitespace().collect::<Vec<_>>().join(" "),
            ));
        }
        rest = &tail[if begins { end } else { 0 }..];
    }
    all
}

/// The paths that stand in code besides its `use` statements.
fn inline_paths(code: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                let path: String = code[at..].chars().take_while(|c| word(*c)).collect();
                all.insert(path.trim_end_matches(':').to_owned());
            }
        }
    }
    all
}

struct Tree {
    sources: BTreeMap<String, String>,
    files: BTreeMap<Path, String>,
    /// Names that a module makes public of another one's.
    re_exports: BTreeMap<(Path, String), Path>,
}

impl Tree {
    fn read() -> Tree {
        let sources = sources();
        let files = sources.keys().map(|file| (module(file), file.clone())).collect();
        let mut re_exports = BTreeMap::new();
        for (file, code) in &sources {
            for (_, tree) in uses(code).into_iter().filter(|(public, _)| *public) {
                for path in expand(&tree) {
                    let own = || -> Path {
                        let parts = path.split("::").map(str::to_owned);
                        module(file).into_iter().chain(parts).collect()
                    };
                    let path = absolute(&path, file).unwrap_or_else(own);
                    let name = path.last().cloned().unwrap_or_default();
                    re_exports.insert((module(file), name), path);
                }
            }
        }
        Tree { sources, files, re_exports }
    }

    /// The file that defines what a path names.
    fn resolve(&self, path: &[String], depth: usize) -> Option<&String> {
        let known = (1..=path.len()).rev().find(|n| self.files.contains_key(&path[..*n]))?;
        let of = (path[..known].to_vec(), path.get(known).cloned().unwrap_or_default());
        match self.re_exports.get(&of).filter(|to| depth < 8 && **to != path) {
            Some(to) => self.resolve(to, depth + 1),
            None => self.files.get(&path[..known]),
        }
    }

    /// The files of its own room that a file needs, each with a path that says so.
    fn edges(&self, file: &str) -> BTreeMap<String, String> {
        let code = &self.sources[file];
        let room = module(file).first().cloned();
        // What a `mod.rs` hands on it does not need.
        let hands_on = |public: bool| public && file.ends_with("/mod.rs");
        let named = uses(code).into_iter().filter(|(public, _)| !hands_on(*public));
        let mut paths: BTreeSet<String> = named.flat_map(|(_, tree)| expand(&tree)).collect();
        let bodies: Vec<&str> = code.split(';').filter(|part| !part.contains("use ")).collect();
        paths.extend(inline_paths(&bodies.join(";")));
        let mut edges = BTreeMap::new();
        for path in paths {
            let Some(parts) = absolute(&path, file) else { continue };
            if parts.first() == room.as_ref()
                && let Some(other) = self.resolve(&parts, 0).filter(|other| *other != file)
            {
                edges.entry(other.clone()).or_insert(path);
            }
        }
        edges
    }
}

/// A circle of a graph, if there is one.
fn circle(graph: &BTreeMap<String, BTreeMap<String, String>>) -> Option<Vec<String>> {
    fn walk<'g>(
        at: &'g str,
        graph: &'g BTreeMap<String, BTreeMap<String, String>>,
        way: &mut Vec<&'g str>,
        done: &mut BTreeSet<&'g str>,
    ) -> Option<Vec<String>> {
        if let Some(from) = way.iter().position(|file| *file == at) {
            return Some(way[from..].iter().map(|file| (*file).to_owned()).collect());
        }
        if !done.insert(at) {
            return None;
        }
        way.push(at);
        let next = graph.get(at).into_iter().flat_map(BTreeMap::keys);
        let found = next.into_iter().find_map(|next| walk(next, graph, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|file| walk(file, graph, &mut Vec::new(), &mut done))
}

#[test]
fn no_room_has_a_circle_of_files() {
    let tree = Tree::read();
    let mut rooms: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>> = BTreeMap::new();
    for file in tree.sources.keys() {
        if let Some((room, _)) = file.split_once('/') {
            rooms.entry(room.to_owned()).or_default().insert(file.clone(), tree.edges(file));
        }
    }
    assert!(rooms["store"]["store/table.rs"].contains_key("store/sql.rs"));
    let mut faults = Vec::new();
    for (room, graph) in &rooms {
        if let Some(circle) = circle(graph) {
            let named = circle.iter().zip(circle.iter().cycle().skip(1));
            let told = named.map(|(one, other)| format!("{one} by `{}`", graph[one][other]));
            faults.push(format!("{room}: {}", told.collect::<Vec<_>>().join(", ")));
        }
    }
    assert_eq!(faults, [""; 0]);
}

#[test]
fn the_circle_rule_sees_what_it_must_see() {
    assert_eq!(
        expand("crate::a::{b, c::{self, D}}"),
        ["crate::a::b", "crate::a::c", "crate::a::c::D"]
    );
    assert_eq!(absolute("super::x::Y", "a/b.rs"), Some(vec!["a".into(), "x".into(), "Y".into()]));
    let edge = |to: &str| BTreeMap::from([(to.to_owned(), String::new())]);
    let mut graph = BTreeMap::from([("a".to_owned(), edge("b")), ("b".to_owned(), edge("c"))]);
    assert_eq!(circle(&graph), None);
    graph.insert("c".to_owned(), edge("b"));
    assert_eq!(circle(&graph), Some(vec!["b".to_owned(), "c".to_owned()]));
}

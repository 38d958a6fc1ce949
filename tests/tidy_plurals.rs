//! A number and its noun: `1 row`, `2 rows`. What is printed goes through `many` and `inflect`.

use std::path::Path;

/// Nouns that a number of things may have.
const NOUNS: [&str; 12] = [
    "rows", "keys", "windows", "records", "runs", "requests", "pages", "columns", "parents",
    "fetches", "entries", "rejects",
];

/// What stands before a plural and is never one, or no number, and why.
const ALLOWED: [(&str, &str); 10] = [
    ("src/cli/publish.rs", "{human_len} rows"), // the template of a bar
    ("src/cli/progress.rs", "{} records"),      // what a bar tells while it moves
    ("src/cli/demo.rs", "{windows} fetches"),   // the demonstration has many
    ("src/cli/demo.rs", "{windrow} runs"),      // the name of a command
    ("src/cli/demo.rs", "({settled} windows"),  // the demonstration has many
    ("src/prove/mod.rs", "{candidates} windows are more"), // more than a limit
    ("src/sync/fetch_lane.rs", "of {parents} parents"), // a share of several
    ("src/sync/tally.rs", "all {received} records"), // one has its own sentence
    ("src/check/weak.rs", "{windows} windows have exactly"), // at least three
    ("src/evidence/judge.rs", "counts {pages} pages"), // more than one
];

fn look(folder: &Path, faults: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            look(&path, faults);
            continue;
        }
        let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("a source").display();
        let name = name.to_string().replace('\\', "/");
        let text = std::fs::read_to_string(&path).expect("a text");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let allowed = |(file, part): &(&str, &str)| *file == name && line.contains(part);
            let is_comment = line.trim_start().starts_with("//");
            if is_comment || name.starts_with("src/demo/") || ALLOWED.iter().any(allowed) {
                continue;
            }
            for (at, _) in line.match_indices("} ") {
                let word = line[at + 2..].split(|c: char| !c.is_ascii_alphabetic()).next();
                let before = line[..at].rsplit('{').next().unwrap_or_default();
                // A limit of the code's own is more than one.
                let is_limit = before.starts_with(|c: char| c.is_ascii_uppercase());
                if !is_limit && word.is_some_and(|word| NOUNS.contains(&word)) {
                    faults.push(format!("{name}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
}

#[test]
fn a_number_of_things_is_written_by_many() {
    let mut faults = Vec::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut faults);
    assert_eq!(faults, [""; 0]);
}

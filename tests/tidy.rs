//! The rules of the house, read from the sources: floors, bans, sizes.

use std::path::{Path, PathBuf};

/// Layers from top to bottom. A room imports only from layers below its own, so that a layer is the
/// list of what may not know each other.
const FLOORS: [&[&str]; 13] = [
    &["cli"],
    &["demo", "report"],
    // Takes in what `handoff` has opened and proven.
    &["merge"],
    // `rebuild` and `prove` read by the path of `sync`; `handoff` moves an outbox and cuts rows by
    // the conditions of `history`; `watch` rests by what a sync has reported.
    &["rebuild", "prove", "handoff", "watch"],
    // `check` queues alerts in the outbox; `export` writes rows as they are or as they were.
    &["sync", "trust", "doctor", "check", "adopt", "export", "publish"],
    &["outbox", "history"],
    // What an answer says of its own completeness is read from pages.
    &["evidence"],
    // The next page is read from the decoded body.
    &["http"],
    // Tables of features that `sync` writes: the core knows none of them.
    &["digest", "kept_pages", "vanished", "drift", "changes", "waits"],
    &["window", "record", "store"],
    &["model"],
    &["definition"],
    &["host"],
];

/// Rooms with SQL: the core's, and each feature that owns tables or reads them in ways of its own.
/// `store` alone opens connections to archives.
const SQL_ROOMS: [&str; 17] = [
    "src/store/",
    "src/digest/",
    "src/kept_pages/",
    "src/vanished/",
    "src/drift/",
    "src/changes/",
    "src/waits/",
    "src/adopt/",
    "src/check/",
    "src/doctor/",
    "src/handoff/",
    "src/history/",
    "src/merge/",
    "src/outbox/store/",
    "src/prove/",
    "src/publish/",
    "src/rebuild/",
];

/// Who may speak of these.
const ONLY_IN: [(&str, &[&str]); 21] = [
    ("reqwest", &["src/http/client.rs"]),
    ("rusqlite", &SQL_ROOMS),
    (" age::", &["src/handoff/envelope/"]),
    ("minisign::", &["src/handoff/envelope/"]),
    ("use parquet::", &["src/export/parquet_file.rs"]),
    ("tokio_postgres", &["src/publish/"]),
    ("Utc::now", &["src/host/clock.rs"]),
    ("std::env::var", &["src/host/environment.rs"]),
    ("unsafe ", &[]),
    ("println!", &[]),
    // Whatever goes to a terminal is escaped in one place.
    ("stdout()", &["src/cli/output.rs"]),
    ("stderr()", &["src/cli/output.rs"]),
    ("indicatif", &["src/cli/output.rs", "src/cli/progress.rs"]),
    ("anstream", &["src/cli/output.rs"]),
    ("set_hook", &["src/cli/output.rs"]),
    // Transactions and snapshots begin and end in one place.
    ("\"BEGIN", &["src/store/transaction.rs"]),
    ("\"COMMIT", &["src/store/transaction.rs"]),
    ("\"ROLLBACK", &["src/store/transaction.rs"]),
    ("TransactionBehavior", &[]),
    ("unchecked_transaction", &[]),
    ("Transaction::new", &[]),
];

const LINE_CHARS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 100;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let text = std::fs::read_to_string(&path).expect("text");
                let name = path.strip_prefix(root()).expect("inside").to_string_lossy();
                found.push((name.replace('\\', "/"), text));
            }
        }
    }
    found.sort();
    found
}

/// The part of a file before its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms that a line of code imports.
fn rooms_of(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        .map(|(at, word)| {
            let rest = &line[at + word.len()..];
            rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()
        })
        .collect()
}

#[test]
fn a_room_imports_only_from_floors_below_its_own() {
    let mut faults = Vec::new();
    for (name, text) in files("src", ".rs") {
        let room = name.trim_start_matches("src/").split('/').next().unwrap_or_default();
        let Some(own) = floor(room) else {
            assert!(["main.rs", "lib.rs"].contains(&room), "a room without a floor: {name}");
            continue;
        };
        for (number, line) in code(&text).lines().enumerate() {
            for other in rooms_of(line) {
                let same = other == room;
                if !same && floor(&other).is_none_or(|floor| floor <= own) {
                    faults.push(format!("{name}:{}: {room} imports {other}", number + 1));
                }
            }
        }
    }
    assert_eq!(faults, [""; 0]);
}

#[test]
fn the_floor_rule_sees_what_it_must_see() {
    assert_eq!(rooms_of("use crate::sync::{a, b};"), ["sync"]);
    assert_eq!(rooms_of("let x = crate::cli::run(crate::host::Host);"), ["cli", "host"]);
    assert!(floor("window") < floor("model") && floor("cli") < floor("demo"));
}

#[test]
fn each_outside_thing_has_one_place() {
    let mut faults = Vec::new();
    for (name, text) in files("src", ".rs") {
        for (number, line) in code(&text).lines().enumerate() {
            let comment = line.trim_start().starts_with("//");
            for (word, places) in ONLY_IN {
                let allowed = places.iter().any(|place| name.starts_with(place));
                if line.contains(word) && !allowed && !comment && !line.contains("reqwest=debug") {
                    faults.push(format!("{name}:{}: {word}", number + 1));
                }
            }
        }
    }
    assert_eq!(faults, [""; 0]);
}

/// Files with positions in SQL: what is bound there is made at run time, or is bound row by row.
const POSITIONS_IN: [&str; 2] = [
    // The one place that reads a row of one column.
    "src/store/row.rs",
    // The values of a key of as many columns as a stream's table has, behind the run.
    "src/publish/changed_rows.rs",
];

/// Whether a line reads a column, or binds a parameter, by a number that stands in the source.
fn has_position(line: &str) -> bool {
    let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let reads = |word: &str| {
        line.match_indices(word).any(|(at, _)| {
            let rest = &line[at + word.len()..];
            let rest = match rest.strip_prefix("::<") {
                Some(rest) => rest.split_once(">(").map_or("", |(_, rest)| rest),
                None => rest.strip_prefix('(').unwrap_or_default(),
            };
            digit(rest)
        })
    };
    let binds = line.match_indices('?').any(|(at, _)| digit(&line[at + 1..]));
    (reads("row.get") || reads("row.get_ref") || binds) && !line.trim_start().starts_with("//")
}

#[test]
fn sql_names_its_parameters_and_columns() {
    let mut faults = Vec::new();
    for (name, text) in files("src", ".rs") {
        let sql = SQL_ROOMS.iter().any(|room| name.starts_with(room));
        // PostgreSQL's rows have their positions in `publish`.
        if !sql || POSITIONS_IN.contains(&name.as_str()) || text.contains("tokio_postgres") {
            continue;
        }
        let lines = code(&text).lines().enumerate().filter(|(_, line)| has_position(line));
        faults.extend(
            lines.map(|(number, line)| format!("{name}:{}: name it: {}", number + 1, line.trim())),
        );
    }
    assert_eq!(faults, [""; 0]);
    assert!(has_position("a = ?1 AND b") && has_position("row.get(0)?"));
    assert!(has_position("row.get::<_, Option<i64>>(12)?") && has_position("row.get_ref(3)"));
    assert!(!has_position("row.get(at)?") && !has_position("format!(\"?{}\", n)"));
}

/// Opening a file by its name: `host/files` looks first, follows no link and waits for nothing.
const OPENERS: [&str; 7] = [
    "File::open(",
    "File::create",
    "OpenOptions",
    "fs::write(",
    "fs::read(",
    "fs::read_to_string(",
    "fs::copy(",
];
/// Modules of tests alone.
const OF_TESTS: [&str; 4] = [
    "src/adopt/laws.rs",
    "src/handoff/part_laws.rs",
    "src/handoff/world.rs",
    "src/handoff/envelope/tests.rs",
];

/// Whether a line opens a file by itself; `AdoptedFile::open(` does not.
fn opens_by_name(line: &str) -> bool {
    let begins_a_word = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric());
    let mut found = OPENERS.iter().flat_map(|word| line.match_indices(word));
    found.any(|(at, _)| begins_a_word(at)) && !line.trim_start().starts_with("//")
}

#[test]
fn files_are_opened_in_one_place() {
    let mut faults = Vec::new();
    for (name, text) in files("src", ".rs") {
        if name.starts_with("src/host/") || OF_TESTS.contains(&name.as_str()) {
            continue;
        }
        let lines = code(&text).lines().enumerate().filter(|(_, line)| opens_by_name(line));
        faults.extend(lines.map(|(number, _)| {
            format!("{name}:{}: open it by one of the functions of host::files", number + 1)
        }));
    }
    assert_eq!(faults, [""; 0]);
    assert!(opens_by_name("let file = std::fs::File::open(path)?;"));
    assert!(opens_by_name("File::open(path)") && opens_by_name("fs::write(&path, text)"));
    assert!(!opens_by_name("let file = AdoptedFile::open(path)?;"));
}

#[test]
fn files_functions_and_lines_have_their_sizes() {
    let mut faults = Vec::new();
    for (name, text) in files("src", ".rs") {
        let code = code(&text);
        if !text.starts_with("//!") {
            faults.push(format!("{name}: does not say what it is for"));
        }
        if code.lines().count() > FILE_LINES_MAX {
            faults.push(format!("{name}: {} lines", code.lines().count()));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > LINE_CHARS_MAX {
                faults.push(format!("{name}:{}: a long line", number + 1));
            }
        }
        faults.extend(long_functions(&name, code));
    }
    let main = std::fs::read_to_string(root().join("src/main.rs")).expect("main.rs");
    assert!(main.lines().count() < 30);
    assert_eq!(faults, [""; 0]);
}

/// The core is small enough that it can be read; a feature is a room of its own.
const STORE_LINES_MAX: usize = 7_000;
/// No room is the second half of everything.
const ROOM_PERCENT_MAX: usize = 12;

#[test]
fn no_room_holds_too_much_of_the_code() {
    let mut rooms: std::collections::BTreeMap<String, usize> = Default::default();
    for (name, text) in files("src", ".rs") {
        let room = name.trim_start_matches("src/").split('/').next().unwrap_or_default();
        *rooms.entry(room.to_owned()).or_default() += text.lines().count();
    }
    let all: usize = rooms.values().sum();
    assert!(rooms["store"] <= STORE_LINES_MAX, "store has {} lines", rooms["store"]);
    rooms.retain(|_, lines| *lines * 100 > all * ROOM_PERCENT_MAX);
    assert_eq!(rooms, Default::default(), "of {all} lines");
}

/// Functions begin with `fn` and end with a brace of the same indentation: rustfmt sees to it.
fn long_functions(name: &str, code: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    for (number, line) in code.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start();
        let begins = [
            "fn ",
            "pub fn ",
            "async fn ",
            "pub async fn ",
            "pub(super) fn ",
            "pub(super) async fn ",
            "pub(crate) fn ",
        ];
        if open.is_none() && begins.iter().any(|begin| words.starts_with(begin)) {
            open = (!words.ends_with('}') && !words.ends_with(';')).then_some((number, indent));
        } else if let Some((start, at)) = open
            && indent == at
            && words.starts_with('}')
        {
            if number - start >= FUNCTION_LINES_MAX {
                faults.push(format!("{name}:{}: {} lines", start + 1, number - start + 1));
            }
            open = None;
        }
    }
    faults
}

#[test]
fn migrations_open_with_their_reason() {
    for (name, text) in files("migrations", ".sql") {
        assert!(text.starts_with("-- "), "{name}");
    }
}

#[test]
fn nothing_in_the_project_holds_a_path_of_one_machine() {
    let own = root();
    let own = own.to_string_lossy().into_owned();
    for folder in ["src", "tests", "docs", "migrations"] {
        for (name, text) in files(folder, "") {
            assert!(!text.contains(&own), "{name}");
        }
    }
    assert!(Path::new(&own).is_absolute());
}

#[test]
fn the_readme_is_short_and_shows_the_two_commands() {
    let readme = include_str!("../README.md");
    assert!(readme.lines().count() < 200);
    assert!(readme.contains("cargo run --release -- demo") && readme.contains("cargo test"));
}

const ARCHITECTURE: &str = include_str!("../ARCHITECTURE.md");

/// The texts between backticks.
fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_map_names_each_room_once_and_in_the_order_of_the_floors() {
    let mut parts = ARCHITECTURE.split("\n## ");
    let map = parts.find(|part| part.starts_with("The map")).expect("the map");
    let rows = map.lines().filter(|line| line.starts_with("| `"));
    let mut named: Vec<&str> =
        rows.filter_map(|row| row.split('|').nth(1)).flat_map(in_backticks).collect();
    let floors: Vec<Option<usize>> = named.iter().map(|room| floor(room)).collect();
    assert!(floors.is_sorted(), "{named:?}");
    let mut rooms = FLOORS.concat();
    named.sort_unstable();
    rooms.sort_unstable();
    assert_eq!(named, rooms);
}

/// Whoever looks for a place starts with this page, and believes it.
#[test]
fn the_paths_that_the_architecture_names_are_there() {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let is_path = |word: &&str| word.contains('/') && word.chars().all(is_letter);
    let paths: Vec<&str> = in_backticks(ARCHITECTURE).filter(is_path).collect();
    assert!(paths.len() > 80, "{} paths were found", paths.len());
    let (root, sources) = (root(), root().join("src"));
    let is_there = |path: &&str| root.join(path).exists() || sources.join(path).exists();
    let missing: Vec<&str> = paths.into_iter().filter(|path| !is_there(path)).collect();
    assert_eq!(missing, [""; 0]);
}

/// The name that a line of code defines a type by, private ones as well. An associated type has the
/// name that its trait gives it.
fn defined_type(line: &str) -> Option<String> {
    let words = line.trim_start();
    let words = match words.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ").map_or(words, |(_, of)| of),
        Some(rest) => rest.strip_prefix(' ').unwrap_or(words),
        None => words,
    };
    let indented = line.starts_with(' ');
    let kinds: [&str; 4] = ["struct ", "enum ", "trait ", "type "];
    let kinds = kinds.iter().filter(|kind| !indented || **kind != "type ");
    let rest = kinds.into_iter().find_map(|kind| words.strip_prefix(kind))?;
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
    word.starts_with(|c: char| c.is_ascii_uppercase()).then_some(word)
}

/// A type name that two files define means two things to whoever searches for it. The names that
/// each module may have for itself are fine.
#[test]
fn no_type_name_is_defined_twice() {
    const OF_EACH_MODULE: [&str; 4] = ["Error", "Result", "Args", "Options"];
    let mut places: std::collections::BTreeMap<String, Vec<String>> = Default::default();
    for (name, text) in files("src", ".rs") {
        for word in code(&text).lines().filter_map(defined_type) {
            if !OF_EACH_MODULE.contains(&word.as_str()) {
                places.entry(word).or_default().push(name.clone());
            }
        }
    }
    assert!(places.len() > 700, "{} types were found", places.len());
    places.retain(|_, places| places.len() > 1);
    assert_eq!(places, Default::default());
    assert_eq!(defined_type("pub(crate) enum Work {").as_deref(), Some("Work"));
    assert_eq!(defined_type("    struct Rows(Vec<u8>);").as_deref(), Some("Rows"));
    assert_eq!(defined_type("    type Target = Reader;"), None);
}

/// A doc comment of fewer words repeats the name that it stands above, as a rule.
const DOC_WORDS_MIN: usize = 4;

/// What stands above a line of code: the first line of a doc comment, its words, and attributes.
struct DocComment<'t> {
    line: usize,
    words: usize,
    attributes: String,
    item: &'t str,
}

/// The doc comments of a file, and its public items without one (as comments of no words).
fn doc_comments(text: &str) -> Vec<DocComment<'_>> {
    let (mut found, mut words, mut first) = (Vec::new(), 0, None);
    let (mut attributes, mut open) = (String::new(), 0_i32);
    for (number, line) in text.lines().enumerate() {
        let code = line.trim();
        if open == 0
            && let Some(text) = code.strip_prefix("///")
        {
            words += text.split_whitespace().count();
            first = first.or(Some(number + 1));
        } else if open > 0 || code.starts_with("#[") {
            // rustfmt breaks long attributes into lines.
            let count = |letter| i32::try_from(code.matches(letter).count()).unwrap_or(i32::MAX);
            open += count('[') + count('(') - count(']') - count(')');
            attributes.push_str(code);
        } else {
            let (line, attributes) = (first.unwrap_or(number + 1), std::mem::take(&mut attributes));
            if first.take().is_some() || is_public_item(code) {
                found.push(DocComment { line, words, attributes, item: code });
            }
            words = 0;
        }
    }
    found
}

/// Whether a line begins an item of which a reader of the documentation wants to know more than
/// its name. Modules have `//!` in their files; fields and variants may go without.
fn is_public_item(code: &str) -> bool {
    let Some(item) = code.strip_prefix("pub ") else { return false };
    let item = item.strip_prefix("const fn ").map_or(item, |_| "fn ");
    let module = item.strip_prefix("mod ").is_some_and(|name| name.ends_with('{'));
    let kinds = ["fn ", "async fn ", "struct ", "enum ", "trait ", "type ", "const ", "static "];
    module || kinds.iter().any(|kind| item.starts_with(kind))
}

/// Whether an item is a command's own, which its help text describes: its arguments, by which clap
/// would take a doc comment for the help, and its entry.
fn is_of_a_command(name: &str, doc: &DocComment<'_>) -> bool {
    let of_clap = ["Args", "Subcommand"].iter().any(|kind| doc.attributes.contains(kind));
    name.starts_with("src/cli/") && (of_clap || doc.item.starts_with("pub fn run("))
}

#[test]
fn a_doc_comment_says_something_or_is_not_there() {
    let mut faults = Vec::new();
    for (name, text) in files("src", ".rs") {
        let end = code(&text).lines().count();
        for doc in doc_comments(&text) {
            let DocComment { line, words, item, .. } = &doc;
            if *words == 0 && *line <= end && !is_of_a_command(&name, &doc) {
                faults.push(format!("{name}:{line}: has no doc comment: {item}"));
            } else if (1..DOC_WORDS_MIN).contains(words) {
                faults.push(format!("{name}:{line}: a doc comment of {words} words: {item}"));
            }
        }
    }
    assert_eq!(faults, [""; 0]);
}

#[test]
fn the_rule_of_doc_comments_sees_what_it_must_see() {
    let words = |text| doc_comments(text).iter().map(|doc| doc.words).collect::<Vec<_>>();
    assert_eq!(words("/// The stream.\npub stream: String,\npub rows: u64,"), [2]);
    assert_eq!(words("/// One two\n/// three.\n#[derive(\n    Clone,\n)]\npub struct Row {"), [3]);
    assert_eq!(words("pub fn a() {}\npub async fn b() {}\npub mod c {\npub mod d;"), [0; 3]);
    assert_eq!(words("fn a() {}\npub(crate) fn b() {}\npub use c::d;"), [0; 0]);
}

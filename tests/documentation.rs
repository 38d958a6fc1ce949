//! Every example of the documentation is run: definitions (in `definition.rs`), SQL, commands.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Api, UsageApi, json, nine_days};
use crate::harness::Workspace;

const README: &str = include_str!("../README.md");
const ARCHIVE_PAGE: &str = include_str!("../docs/archive.md");

const PAGES: [(&str, &str); 34] = [
    ("README.md", README),
    ("definition.md", include_str!("../docs/definition.md")),
    ("completeness.md", include_str!("../docs/completeness.md")),
    ("recipes.md", include_str!("../docs/recipes.md")),
    ("ledger.md", include_str!("../docs/ledger.md")),
    ("exit-codes.md", include_str!("../docs/exit-codes.md")),
    ("logs.md", include_str!("../docs/logs.md")),
    ("reliability.md", include_str!("../docs/reliability.md")),
    ("demo.md", include_str!("../docs/commands/demo.md")),
    ("sync.md", include_str!("../docs/commands/sync.md")),
    ("status.md", include_str!("../docs/commands/status.md")),
    ("runs.md", include_str!("../docs/commands/runs.md")),
    ("rejects.md", include_str!("../docs/commands/rejects.md")),
    ("query.md", include_str!("../docs/commands/query.md")),
    ("export.md", include_str!("../docs/commands/export.md")),
    ("report.md", include_str!("../docs/commands/report.md")),
    ("check.md", include_str!("../docs/commands/check.md")),
    ("diff.md", include_str!("../docs/commands/diff.md")),
    ("vanished.md", include_str!("../docs/commands/vanished.md")),
    ("rebuild.md", include_str!("../docs/commands/rebuild.md")),
    ("doctor.md", include_str!("../docs/commands/doctor.md")),
    ("outbox.md", include_str!("../docs/commands/outbox.md")),
    ("outbox-serve.md", include_str!("../docs/commands/outbox-serve.md")),
    ("definition-command.md", include_str!("../docs/commands/definition.md")),
    ("keys.md", include_str!("../docs/commands/keys.md")),
    ("handoff.md", include_str!("../docs/commands/handoff.md")),
    ("verify.md", include_str!("../docs/commands/verify.md")),
    ("prove.md", include_str!("../docs/commands/prove.md")),
    ("publish.md", include_str!("../docs/commands/publish.md")),
    ("merge.md", include_str!("../docs/commands/merge.md")),
    ("eject.md", include_str!("../docs/commands/eject.md")),
    ("adopt.md", include_str!("../docs/commands/adopt.md")),
    ("watch.md", include_str!("../docs/commands/watch.md")),
    ("schema.md", include_str!("../docs/commands/schema.md")),
];

#[test]
fn the_sql_of_the_documentation_runs_on_an_archive() {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let mut statements = 0;
    for (page, text) in PAGES {
        for block in blocks(text, "sql") {
            for statement in block.split(";\n").filter(|statement| !statement.trim().is_empty()) {
                statements += 1;
                let ran = workspace.run(&["query", statement]);
                assert_eq!(ran.code, 0, "{page}: {statement}: {ran:?}");
            }
        }
    }
    assert!(statements >= 2);
}

/// The words of a command line, as a shell would take them apart.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            letter => words.last_mut().expect("there is always one").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a command has a command of this name inside.
fn is_inner(command: &str, word: &str) -> bool {
    let all = windrow::cli::command();
    let outer = all.find_subcommand(command);
    outer.is_some_and(|outer| outer.find_subcommand(word).is_some())
}

#[test]
fn the_commands_of_the_documentation_are_commands() {
    let mut commands = 0;
    for (page, text) in PAGES {
        for line in text.lines().filter_map(|line| line.strip_prefix("    windrow ")) {
            let line = line.split(['#', '>']).next().unwrap_or_default();
            if line.contains('[') || line.contains("SQL") {
                // A synopsis; each option in it must exist.
                let mut words = line.split(' ');
                let name = words.next().expect("a command");
                let inner = words.next().filter(|word| is_inner(name, word));
                let arguments: Vec<&str> =
                    [name].into_iter().chain(inner).chain(["--help"]).collect();
                let help = Workspace::empty().run(&arguments).expect(0).stdout;
                for word in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
                    let option = word.starts_with("--");
                    assert!(!option || help.contains(word), "{page}: {word} in {help}");
                }
            } else {
                let arguments = [vec!["windrow".to_owned()], words(line)].concat();
                let parsed = windrow::cli::command().try_get_matches_from(arguments);
                assert!(parsed.is_ok(), "{page}: {line}: {parsed:?}");
            }
            commands += 1;
        }
    }
    assert!(commands >= 10, "{commands}");
}

#[test]
fn every_command_has_a_page() {
    for command in windrow::cli::command().get_subcommands() {
        let name = command.get_name();
        let heading = format!("`windrow {name}`");
        assert!(PAGES.iter().any(|(_, text)| text.contains(&heading)), "{name}");
    }
}

/// A text without spaces at the ends of its lines, which an editor may take away.
fn trimmed(text: &str) -> String {
    text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The fenced blocks of a page in a language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    let opened: Vec<&str> = page.split(fence.as_str()).skip(1).collect();
    opened.into_iter().map(|rest| rest.split("```").next().expect("a block")).collect()
}

/// The API of the README: two service lines, a record for each until 9 January 2026.
fn readme_api() -> Api {
    Api::start(|asked, _| {
        let day = |name: &str| {
            let bound = asked.parameter(name).expect("a bound");
            bound.strip_prefix("2026-01-").and_then(|day| day.parse::<u32>().ok()).expect("a day")
        };
        let mut records = Vec::new();
        for day in day("from")..=day("to").min(9) {
            let date = format!("2026-01-{day:02}");
            for (line, gb) in [("SL-1", 10.5), ("SL-2", 2.25)] {
                records.push(format!(
                    "{{\"service_line_id\":\"{line}\",\"date\":\"{date}\",\"consumed_gb\":{},\
                     \"updated_at\":\"{date}T23:00:00Z\",\"plan\":\"standard\"}}",
                    gb + f64::from(day)
                ));
            }
        }
        json(&format!("{{\"data\":[{}],\"next_cursor\":null}}", records.join(",")))
    })
}

#[test]
fn the_example_of_the_readme_prints_what_the_readme_shows() {
    let api = readme_api();
    let definition = blocks(README, "toml")[0];
    assert!(definition.contains("https://api.example.com/v1"));
    let definition = definition.replace("https://api.example.com/v1", &api.address);
    let mut workspace = Workspace::new(&definition);
    workspace.variable("FLEET_TOKEN", "a-token-of-the-fleet");
    let mut commands = 0;
    for session in blocks(README, "console") {
        for step in format!("\n{session}").split("\n$ windrow ").skip(1) {
            let (line, shown) = step.split_once('\n').expect("a command and what it prints");
            let arguments = words(line);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let ran = workspace.run(&arguments).expect(0);
            assert_eq!(trimmed(&ran.stdout), trimmed(shown), "windrow {line}");
            commands += 1;
        }
    }
    assert_eq!(commands, 4);
}

#[test]
fn the_outputs_of_the_demo_and_its_archive_are_what_the_pages_show() {
    let workspace = Workspace::empty();
    let demo = workspace.run(&["demo", "--fast", "--keep", "demo"]).expect(0);
    let demo = trimmed(&demo.stdout);
    for block in blocks(README, "text") {
        assert!(demo.contains(&trimmed(block)), "{block}\nis not in\n{demo}");
    }
    let (queries, results) = (blocks(ARCHIVE_PAGE, "sql"), blocks(ARCHIVE_PAGE, "text"));
    assert_eq!((queries.len(), results.len()), (5, 5));
    for (query, result) in queries.into_iter().zip(results) {
        let ran = workspace.run(&["query", "-d", "demo/windrow.toml", query]).expect(0);
        assert_eq!(trimmed(&ran.stdout), trimmed(result), "{query}");
    }
}

/// Tables to columns to types, as the page of the archive has them: a heading of the third level
/// is a table, and a row names columns of one type.
fn documented_tables() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut tables = BTreeMap::new();
    for section in ARCHIVE_PAGE.split("\n### `").skip(1) {
        let (table, rest) = section.split_once('`').expect("a table's name");
        let rest = rest.split("\n## ").next().unwrap_or_default();
        let mut columns = BTreeMap::new();
        for row in rest.lines().filter(|line| line.starts_with("| `")) {
            let mut cells = row.split(" | ");
            let names = cells.next().expect("names");
            let kind = cells.next().expect("a type");
            for name in names.split('`').skip(1).step_by(2) {
                let again = columns.insert(name.to_owned(), kind.to_owned());
                assert_eq!(again, None, "{table}: {name} stands twice");
            }
        }
        let again = tables.insert(table.to_owned(), columns);
        assert_eq!(again, None, "{table} stands twice");
    }
    tables
}

#[test]
fn every_own_table_and_column_of_an_archive_stands_in_its_page_and_no_other() {
    let api = UsageApi::start(nine_days(), 50);
    let definition = api.definition("history = true\nmissing = \"mark\"");
    let key = "[\"id\", \"day\"]";
    let hashed = definition.replace(key, &format!("{{ hash = {key} }}"));
    assert_ne!(hashed, definition);
    let workspace = Workspace::new(&hashed);
    workspace.sync();
    let mut documented = documented_tables();
    let columns = |table: &str| -> BTreeMap<String, String> {
        let sql = format!("SELECT name || ' ' || type FROM pragma_table_info('{table}')");
        let found = workspace.rows(&sql);
        let split = |column: &String| {
            let (name, kind) = column.split_once(' ').expect("a name and a type");
            (name.to_owned(), kind.to_owned())
        };
        found.iter().map(split).collect()
    };
    let (mut stream, mut history) = (columns("usage"), columns("usage_history"));
    history.retain(|name, _| !stream.contains_key(name));
    stream.retain(|name, _| name.starts_with('_'));
    assert_eq!(documented.remove("STREAM"), Some(stream));
    assert_eq!(documented.remove("STREAM_history"), Some(history));
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '_windrow_*'";
    let tables: BTreeSet<String> = workspace.rows(sql).into_iter().collect();
    assert!(tables.len() > 30, "{tables:?}");
    assert_eq!(documented.keys().cloned().collect::<BTreeSet<_>>(), tables);
    for table in tables {
        assert_eq!(documented.get(&table), Some(&columns(&table)), "{table}");
    }
}

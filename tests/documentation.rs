//! Every example of the documentation is run: definitions (in `definition.rs`), SQL, commands.

use crate::api::{UsageApi, nine_days};
use crate::harness::Workspace;

const PAGES: [(&str, &str); 33] = [
    ("README.md", include_str!("../README.md")),
    ("definition.md", include_str!("../docs/definition.md")),
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
        for block in text.split("```sql\n").skip(1) {
            let block = block.split("```").next().expect("a block");
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

//! `windrow watch --print-unit`: whatever a path holds, each system takes it for that path.

#[cfg(unix)]
use std::path::PathBuf;

use crate::harness::{Ran, Workspace};

const SYSTEMS: [&str; 3] = ["systemd", "launchd", "task-scheduler"];

/// Names of folders, each with letters that mean something to one of the systems.
#[cfg(unix)]
const FOLDERS: [&str; 22] = [
    "plain",
    "a space",
    " leading",
    "trailing ",
    "quo\"te",
    "apos'trophe",
    "back\\slash",
    "back\\nslash",
    "trailing\\",
    "100%h",
    "$HOME",
    "${HOME}",
    "$$",
    "a ; b",
    ";",
    "-dash",
    "@at",
    "!bang",
    "+plus",
    ":colon",
    "<Exec> & ]]> -->",
    "é 漢 😀",
];

#[cfg(unix)]
fn in_folder(name: &str) -> (Workspace, PathBuf) {
    let workspace = Workspace::empty();
    let folder = workspace.path(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let folder = folder.canonicalize().expect("a folder");
    let definition = folder.join("windrow.toml");
    std::fs::write(&definition, "").expect("a file");
    (workspace, definition)
}

fn print_unit(workspace: &Workspace, system: &str, definition: &str) -> Ran {
    workspace.run(&["-d", definition, "watch", &format!("--print-unit={system}")])
}

fn program() -> String {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_windrow"));
    program.canonicalize().expect("the program").display().to_string()
}

/// What systemd.syntax(7) makes of a file: the settings of each section, by its rules of lines,
/// comments and continuations.
fn settings(unit: &str) -> Vec<(String, String)> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in unit.lines() {
        let line = if open { line.to_owned() } else { line.trim_start().to_owned() };
        if line.starts_with(['#', ';']) && !open {
            continue;
        }
        let (text, goes_on) = match line.strip_suffix('\\') {
            Some(text) => (format!("{text} "), true),
            None => (line, false),
        };
        match lines.last_mut().filter(|_| open) {
            Some(last) => last.push_str(&text),
            None => lines.push(text),
        }
        open = goes_on;
    }
    let pair = |line: &String| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    lines.iter().filter_map(pair).collect()
}

/// `%` and a letter is a specifier; only `%%` is a letter.
fn without_specifiers(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        if letter == '%' {
            assert_eq!(rest.next(), Some('%'), "a specifier in {text}");
        }
        out.push(letter);
    }
    out
}

/// The words of `ExecStart` by systemd.service(5): quotes, escapes, specifiers; in all but the
/// program `$` begins a variable, unless it is doubled.
fn words_of_systemd(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', _) => {
                let escaped = letters.next().expect("no backslash at the end");
                assert!("\\\"'".contains(escaped), "an escape \\{escaped} in {line}");
                word.get_or_insert_default().push(escaped);
            }
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, Some(open)) if letter == open => quote = None,
            (' ', None) => words.extend(word.take()),
            (letter, None) => {
                assert_ne!((letter, &word), (';', &None), "a second command in {line}");
                word.get_or_insert_default().push(letter);
            }
            (letter, Some(_)) => word.get_or_insert_default().push(letter),
        }
    }
    assert_eq!(quote, None, "an open quote in {line}");
    words.extend(word);
    let words = words.iter().enumerate().map(|(at, word)| {
        let word = without_specifiers(word);
        if at == 0 {
            return word;
        }
        assert!(!word.replace("$$", "").contains('$'), "a variable in {line}");
        word.replace("$$", "$")
    });
    words.collect()
}

/// The words of a command line of Windows (CommandLineToArgvW), once variables were looked for.
fn words_of_windows(line: &str) -> Vec<String> {
    for (at, _) in line.match_indices('%') {
        let name = line[at + 1..].split('%').next().unwrap_or_default();
        let is_name = !name.is_empty() && !name.contains(['"', '\\', '/']);
        assert!(!is_name || !line[at + 1..].contains('%'), "a variable {name} in {line}");
    }
    assert!(!line.contains("$("), "a variable in {line}");
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let (mut quoted, mut backslashes) = (false, 0);
    for letter in line.chars() {
        if letter == '\\' {
            backslashes += 1;
            continue;
        }
        let held = if letter == '"' { backslashes / 2 } else { backslashes };
        if held > 0 {
            word.get_or_insert_default().push_str(&"\\".repeat(held));
        }
        match letter {
            '"' if backslashes % 2 == 1 => word.get_or_insert_default().push('"'),
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
        backslashes = 0;
    }
    assert!(!quoted && backslashes == 0, "{line}");
    words.extend(word);
    words
}

/// The texts of the elements of this name, which hold nothing but text.
fn texts(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find(&open) {
        let after = &rest[at + open.len()..];
        let end = after.find(&close).expect("an end");
        let text = &after[..end];
        assert!(!text.contains(['<', '>']), "{text} in {xml}");
        let plain = text.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "");
        assert!(!plain.contains('&'), "an entity in {text}");
        found.push(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"));
        rest = &after[end..];
    }
    found
}

#[cfg(unix)]
#[test]
fn systemd_reads_each_path_as_it_is_and_no_directive_more() {
    let (workspace, plain) = in_folder("plain");
    let plain = print_unit(&workspace, "systemd", &plain.display().to_string()).expect(0).stdout;
    let names = |unit: &str| settings(unit).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    for folder in FOLDERS {
        let (workspace, definition) = in_folder(folder);
        let definition = definition.display().to_string();
        let unit = print_unit(&workspace, "systemd", &definition).expect(0).stdout;
        assert_eq!(names(&unit), names(&plain), "{folder:?}: {unit}");
        let settings = settings(&unit);
        let of = |wanted: &str| {
            let found = settings.iter().find(|(name, _)| name == wanted);
            found.unwrap_or_else(|| panic!("no {wanted} in {unit}")).1.clone()
        };
        let words = [&program(), "--definition", &definition, "watch"];
        assert_eq!(words_of_systemd(&of("ExecStart")), words, "{folder:?}");
        let place = without_specifiers(&of("WorkingDirectory"));
        // No quotes there: a slash at its end changes no path.
        let own = definition.strip_suffix("/windrow.toml").expect("a folder");
        assert_eq!(place.strip_suffix('/').unwrap_or(&place), own, "{folder:?}");
        let told = format!("windrow keeps {definition} up to date");
        assert_eq!(without_specifiers(&of("Description")), told, "{folder:?}");
    }
}

/// systemd itself, where it is there, has nothing to say against them.
#[cfg(target_os = "linux")]
#[test]
fn systemd_itself_takes_each_unit() {
    let there = std::process::Command::new("systemd-analyze").arg("--version").output();
    if there.is_err() {
        return;
    }
    for folder in FOLDERS {
        let (workspace, definition) = in_folder(folder);
        let unit = print_unit(&workspace, "systemd", &definition.display().to_string()).expect(0);
        std::fs::write(workspace.path("windrow.service"), &unit.stdout).expect("a file");
        let mut verify = std::process::Command::new("systemd-analyze");
        verify.args(["verify", "--user", "--man=no", "windrow.service"]);
        verify.current_dir(workspace.folder()).env("XDG_RUNTIME_DIR", workspace.folder());
        let told = verify.output().expect("systemd-analyze runs");
        let said = String::from_utf8_lossy(&told.stderr);
        // Without a user's session it can say nothing at all.
        let about = said.lines().filter(|line| line.contains("windrow.service"));
        assert_eq!(about.collect::<Vec<_>>(), [""; 0], "{folder:?}: {}", unit.stdout);
    }
}

#[cfg(unix)]
#[test]
fn launchd_reads_each_path_as_it_is() {
    for folder in FOLDERS {
        let (workspace, definition) = in_folder(folder);
        let definition = definition.display().to_string();
        let unit = print_unit(&workspace, "launchd", &definition).expect(0).stdout;
        let own = definition.strip_suffix("/windrow.toml").expect("a folder");
        let expected = [
            "org.windrow.watch",
            &program(),
            "--definition",
            &definition,
            "watch",
            own,
            "Background",
        ];
        assert_eq!(texts(&unit, "string"), expected, "{folder:?}: {unit}");
    }
}

#[cfg(unix)]
#[test]
fn the_task_scheduler_reads_each_path_as_it_is() {
    for folder in FOLDERS {
        let (workspace, definition) = in_folder(folder);
        let definition = definition.display().to_string();
        let unit = print_unit(&workspace, "task-scheduler", &definition).expect(0).stdout;
        let arguments = texts(&unit, "Arguments");
        assert_eq!(arguments.len(), 1, "{folder:?}: {unit}");
        let words = words_of_windows(&arguments[0]);
        assert_eq!(words, ["--definition", &definition, "watch"], "{folder:?}: {unit}");
        assert_eq!(texts(&unit, "Command"), [program()], "{folder:?}");
        let own = definition.strip_suffix("/windrow.toml").expect("a folder");
        assert_eq!(texts(&unit, "WorkingDirectory"), [own], "{folder:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_a_unit_cannot_hold_is_refused_by_name() {
    let controls =
        ["a\nExecStartPre=/bin/sh", "a\rb", "tab\tbed", "esc\u{1b}[2J", "c1\u{85}x", "\u{2028}"];
    for folder in controls {
        let (workspace, definition) = in_folder(folder);
        for system in SYSTEMS {
            let refused = print_unit(&workspace, system, &definition.display().to_string());
            let refused = refused.expect(2);
            assert_eq!(refused.stdout, "", "{folder:?}");
            assert!(refused.stderr.contains("control character U+"), "{refused:?}");
            assert!(refused.stderr.contains("help: give the file or its folder another name"));
        }
    }
    // The Task Scheduler has no letter that keeps these from being variables.
    for folder in ["%PATH%", "$(Arg0)"] {
        let (workspace, definition) = in_folder(folder);
        let definition = definition.display().to_string();
        print_unit(&workspace, "systemd", &definition).expect(0);
        print_unit(&workspace, "launchd", &definition).expect(0);
        let refused = print_unit(&workspace, "task-scheduler", &definition).expect(2);
        assert!(refused.stderr.contains("a variable"), "{refused:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let workspace = Workspace::empty();
    let folder = workspace.path("").join(std::ffi::OsStr::from_bytes(b"a\xffb"));
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("windrow.toml"), "").expect("a file");
    for system in SYSTEMS {
        let mut command = workspace.command(&["watch", &format!("--print-unit={system}")]);
        let output = command.current_dir(&folder).output().expect("windrow starts");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("is no text"), "{output:?}");
    }
}

//! The bugs on purpose in `tests/mutants`: each patch still applies, and says what it must. That
//! each is found is shown by `.ci/mutants kill`.

use std::collections::BTreeMap;
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of one hunk: those that must be there, and those that come to stand there.
#[derive(Default)]
struct Hunk<'p> {
    before: Vec<&'p str>,
    after: Vec<&'p str>,
}

/// What a patch says.
#[derive(Default)]
struct Patch<'p> {
    head: BTreeMap<&'p str, Vec<&'p str>>,
    files: Vec<(&'p str, Vec<Hunk<'p>>)>,
    faults: Vec<String>,
}

impl<'p> Patch<'p> {
    fn parse(text: &'p str) -> Patch<'p> {
        let mut patch = Patch::default();
        let (head, diff) = text.split_once("\ndiff --git ").unwrap_or((text, ""));
        for line in head.lines().filter(|line| !line.is_empty()) {
            match line.split_once(": ") {
                Some((key, value)) => patch.head.entry(key).or_default().push(value),
                None => patch.faults.push(format!("no `key: value`: {line}")),
            }
        }
        let mut inside = false;
        for line in diff.lines() {
            if let Some(file) = line.strip_prefix("+++ b/").filter(|_| !inside) {
                patch.files.push((file, Vec::new()));
            }
            let Some((_, hunks)) = patch.files.last_mut() else { continue };
            match line.split_at_checked(1) {
                Some(("@", _)) => {
                    inside = true;
                    hunks.push(Hunk::default());
                }
                Some(("d", _)) => inside = false,
                Some((mark, line)) if inside => {
                    let hunk = hunks.last_mut().expect("a hunk is open");
                    if mark != "+" {
                        hunk.before.push(line);
                    }
                    if mark != "-" {
                        hunk.after.push(line);
                    }
                }
                _ => {}
            }
        }
        patch
    }

    fn values(&self, key: &str) -> &[&'p str] {
        self.head.get(key).map_or(&[], Vec::as_slice)
    }
}

/// What is wrong with a patch of the tree that `read` reads.
fn faults(text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let patch = Patch::parse(text);
    let mut faults = patch.faults.clone();
    let keys = ["bug", "killed-by", "room", "run"];
    faults.extend(
        keys.iter()
            .filter(|key| patch.values(key).is_empty())
            .map(|key| format!("its head lacks `{key}`")),
    );
    let others = patch.head.keys().filter(|key| !keys.contains(key));
    faults.extend(others.map(|key| format!("its head has `{key}`")));
    for run in patch.values("run") {
        let known = match run.split_once(' ') {
            Some(("sim", options)) => options.starts_with("--"),
            Some(("test", name)) => name.split_once("::").is_some_and(|(module, name)| {
                read(&format!("tests/{module}.rs"))
                    .is_some_and(|text| text.contains(&format!("fn {name}(")))
            }),
            _ => false,
        };
        if !known {
            faults.push(format!("nothing can run `{run}`"));
        }
    }
    if patch.files.is_empty() {
        faults.push("it changes nothing".to_owned());
    }
    for (file, hunks) in &patch.files {
        let inside =
            patch.values("room").iter().all(|room| file.starts_with(&format!("src/{room}/")));
        if !inside {
            faults.push(format!("{file} is not in its room"));
        }
        let Some(text) = read(file) else {
            faults.push(format!("{file} is not there"));
            continue;
        };
        let lines: Vec<&str> = text.lines().collect();
        for Hunk { before, after } in hunks {
            if before == after || !lines.windows(before.len()).any(|lines| lines == *before) {
                faults.push(format!("a hunk does not apply to {file}: {}", before.join("\n")));
            }
        }
    }
    faults
}

#[test]
fn every_mutant_applies_and_says_how_it_is_killed() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).ok();
    let (mut all, mut bugs) = (Vec::new(), BTreeMap::new());
    for entry in std::fs::read_dir(root().join("tests/mutants")).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(entry.path()).expect("text").replace('\r', "");
        all.extend(faults(&text, &read).iter().map(|fault| format!("{name}: {fault}")));
        let stem = name.strip_suffix(".patch").unwrap_or_default();
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if stem.is_empty() || !stem.chars().all(kebab) {
            all.push(format!("{name}: no `some-bug.patch`"));
        }
        for bug in Patch::parse(&text).values("bug") {
            if let Some(other) = bugs.insert((*bug).to_owned(), name.clone()) {
                all.push(format!("{name}: the bug of {other}"));
            }
        }
    }
    assert_eq!(all, [""; 0]);
    assert!(bugs.len() >= 33, "{}", bugs.len());
}

#[test]
fn a_mutant_that_does_not_apply_is_seen() {
    let good = "bug: It waits.\nroom: sync\nrun: sim --seeds 9\nkilled-by: S1\n\n\
        diff --git a/src/sync/a.rs b/src/sync/a.rs\nindex 1..2 100644\n--- a/src/sync/a.rs\n\
        +++ b/src/sync/a.rs\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n";
    let read = |file: &str| match file {
        "src/sync/a.rs" => Some("one\ntwo\nthree\n".to_owned()),
        "tests/laws.rs" => Some("#[test]\nfn it_holds() {}\n".to_owned()),
        _ => None,
    };
    let cases = [
        ("", "", true),
        ("sim --seeds 9", "test laws::it_holds", true),
        ("sim --seeds 9", "test laws::it_held", false),
        ("sim --seeds 9", "shell true", false),
        ("-two", "-zwei", false),
        (" three", " four", false),
        ("+2", "+two", false),
        ("bug: It waits.\n", "", false),
        ("room: sync\n", "", false),
        ("room: sync\n", "room: pull\n", false),
        ("run: sim --seeds 9\n", "", false),
        ("killed-by: S1\n", "", false),
        ("killed-by: S1\n", "killed-by: S1\nseed: 5\n", false),
        ("killed-by: S1\n", "killed-by: S1\nand more\n", false),
        ("+++ b/src/sync/a.rs", "+++ b/src/sync/b.rs", false),
    ];
    for (from, to, holds) in cases {
        let text = good.replace(from, to);
        let found = faults(&text, &read);
        assert_eq!(found.is_empty(), holds, "{from:?} -> {to:?}: {found:?}");
    }
}

/// A feature would build windrow in two ways, and the tests would test the one that nobody ships.
#[test]
fn the_tests_test_the_program_that_ships() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).expect("text");
    let manifest = read("Cargo.toml");
    assert!(!manifest.contains("\n[features]"), "windrow has cargo features");
    let sim = read("tests/sim/Cargo.toml");
    let uses: Vec<&str> = sim.lines().filter(|line| line.starts_with("windrow = ")).collect();
    assert_eq!(
        uses,
        ["windrow = { path = \"../..\" }"],
        "the simulator lives with another windrow"
    );
}

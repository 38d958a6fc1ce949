//! Keys: made once, shown in their public parts alone, trusted by name.

use std::path::Path;

use crate::harness::Workspace;

/// The public key of minisign's own manual.
const MANUAL: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The secret line of an own key.
fn secret_line(workspace: &Workspace, file: &str) -> String {
    text(&workspace.path("keys").join(file)).lines().nth(1).expect("two lines").to_owned()
}

#[test]
fn new_keys_are_their_owners_alone_and_never_overwritten() {
    let workspace = Workspace::empty();
    let made = workspace.run(&["keys", "new"]).expect(0);
    assert!(made.stderr.contains("own.key") && made.stderr.contains("not encrypted"), "{made:?}");
    let folder = workspace.path("keys");
    let before: Vec<String> =
        ["own.key", "own.age", "own.pub"].map(|name| text(&folder.join(name))).into();
    #[cfg(unix)]
    for name in ["own.key", "own.age", "own.pub", ""] {
        use std::os::unix::fs::PermissionsExt;
        let mode = folder.join(name).metadata().expect(name).permissions().mode() & 0o777;
        assert_eq!(mode, if name.is_empty() { 0o700 } else { 0o600 }, "{name}");
    }
    let again = workspace.run(&["keys", "new"]).expect(2);
    assert!(again.stderr.contains("there is a key named own already"), "{again:?}");
    // Also where the public part is gone, so that nothing is listed.
    std::fs::remove_file(folder.join("own.pub")).expect("it is there");
    let again = workspace.run(&["keys", "new"]).expect(2);
    assert!(again.stderr.contains("own.key is there already"), "{again:?}");
    let after: Vec<String> = ["own.key", "own.age"].map(|name| text(&folder.join(name))).into();
    assert_eq!(before[..2], after);
}

#[test]
fn what_is_shown_is_public_short_and_what_trust_takes() {
    let workspace = Workspace::empty();
    let nobody = workspace.run(&["keys", "show"]).expect(2);
    assert!(nobody.stderr.contains("`windrow keys new` makes one"), "{nobody:?}");
    let made = workspace.run(&["keys", "new", "--name", "ana"]).expect(0);
    let shown = workspace.run(&["keys", "show"]).expect(0).stdout;
    assert_eq!(made.stdout, shown);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() == 2 && lines[0].len() == 56 && lines[0].starts_with("RW"), "{shown}");
    assert!(lines[1].len() == 62 && lines[1].starts_with("age1"), "{shown}");
    for file in ["ana.key", "ana.age"] {
        let secret = secret_line(&workspace, file);
        for ran in [&made, &workspace.run(&["keys", "--json"]), &workspace.run(&["keys"])] {
            assert!(!format!("{ran:?}").contains(&secret), "{file}: {ran:?}");
        }
    }
    // The lines, their file and their file with the comment all say the same to a colleague.
    let other = Workspace::empty();
    std::fs::write(other.path("lines"), &shown).expect("a file");
    std::fs::write(other.path("ana.pub"), text(&workspace.path("keys/ana.pub"))).expect("a file");
    let object = workspace.run(&["keys", "show", "--json"]).expect(0).json();
    for given in [vec![lines[0], lines[1]], vec!["lines"], vec!["ana.pub"], vec![shown.as_str()]] {
        let command = [vec!["keys", "trust", "ana"], given].concat();
        let trusted = other.run(&command).expect(0).stdout;
        assert!(trusted.starts_with("ana (") && trusted.contains("is trusted"), "{trusted}");
        let listed = other.run(&["keys", "--json"]).expect(0).json();
        assert_eq!((&listed["own"], &listed["name"]), (&false.into(), &"ana".into()));
        for name in ["key_id", "public_key", "recipient"] {
            assert_eq!(listed[name], object[name], "{name}");
        }
    }
    let shown_there = other.run(&["keys", "show", "ana"]).expect(0).stdout;
    assert_eq!(shown_there, shown);
}

#[test]
fn a_key_of_minisign_is_trusted_listed_by_its_number_and_forgotten() {
    let workspace = Workspace::empty();
    let empty = workspace.run(&["keys"]).expect(0);
    assert!(empty.stdout.is_empty() && empty.stderr.contains("windrow keys new"), "{empty:?}");
    workspace.run(&["keys", "trust", "frank", MANUAL]).expect(0);
    let again = workspace.run(&["keys", "trust", "frank", MANUAL, "--json"]).expect(0).json();
    assert_eq!((&again["added"], &again["recipient"]), (&false.into(), &serde_json::Value::Null));
    let listed = workspace.run(&["keys", "list"]).expect(0).stdout;
    // The number that minisign prints for this key.
    assert_eq!(listed, "frank  trusted  E7620F1842B4E81F  -\n");
    workspace.run(&["keys", "forget", "frank"]).expect(0);
    assert_eq!(workspace.run(&["keys"]).expect(0).stdout, "");
    let unknown = workspace.run(&["keys", "forget", "frank"]).expect(2);
    assert!(unknown.stderr.contains("there is no key named frank"), "{unknown:?}");
}

#[test]
fn one_key_has_one_name_and_own_keys_are_not_forgotten() {
    let workspace = Workspace::empty();
    workspace.run(&["keys", "new"]).expect(0);
    workspace.run(&["keys", "trust", "frank", MANUAL]).expect(0);
    let own = workspace.run(&["keys", "show", "own"]).expect(0).stdout;
    let own_key = own.lines().next().expect("a line").to_owned();
    let cases = [
        (vec!["trust", "hans", MANUAL], "known already, as frank"),
        (vec!["trust", "me", own_key.as_str()], "known already, as own"),
        (vec!["trust", "own", MANUAL], "a key named own already"),
        (vec!["new", "--name", "Frank"], "a key named frank already"),
        (vec!["forget", "own"], "is your own key"),
        (vec!["new", "--name", "../x"], "no name for a key"),
        (vec!["trust", "a/b", MANUAL], "no name for a key"),
        (vec!["trust", "x", "nonsense"], "no minisign public key"),
        (vec!["trust", "x", "age1nonsense"], "no age recipient"),
    ];
    for (arguments, why) in cases {
        let ran = workspace.run(&[vec!["keys"], arguments.clone()].concat()).expect(2);
        assert!(ran.stderr.contains(why), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_secret_that_is_given_as_a_public_key_is_refused_and_not_repeated() {
    let workspace = Workspace::empty();
    workspace.run(&["keys", "new"]).expect(0);
    for file in ["own.key", "own.age"] {
        let secret = secret_line(&workspace, file);
        let path = workspace.path("keys").join(file);
        let path = path.to_str().expect("a path");
        for given in [secret.as_str(), path] {
            let ran = workspace.run(&["keys", "trust", "x", given]).expect(2);
            assert!(ran.stderr.contains("this is a secret key"), "{ran:?}");
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(!said.contains(&secret), "{ran:?}");
        }
    }
}

#[test]
fn with_a_password_no_secret_lies_open() {
    let mut workspace = Workspace::empty();
    workspace.variable("WINDROW_KEY_PASSWORD", "a long one");
    let made = workspace.run(&["keys", "new"]).expect(0);
    assert!(made.stderr.contains("encrypted with the password"), "{made:?}");
    assert!(!format!("{made:?}").contains("a long one"));
    let identity = std::fs::read(workspace.path("keys/own.age")).expect("a file");
    assert!(identity.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    // minisign's own mark of a key that scrypt protects: "EdSc", and then "B2".
    assert!(secret_line(&workspace, "own.key").starts_with("RWRTY0Iy"));
    assert_eq!(workspace.run(&["keys", "show"]).expect(0).stdout, made.stdout);
}

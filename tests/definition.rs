//! The definition: all problems at once, each with its place and the nearest name.

use crate::harness::Workspace;

const GOOD: &str = r#"[archive]
path = "a.db"

[sources.fleet]
base_url = "http://127.0.0.1:9/v1"

[streams.usage]
path = "/usage"
query = { from = "{{ window.start }}" }
records = "$.data[*]"
key = "id"

[streams.usage.window]
field = "day"
start = "2026-01-01"
step = "1 day"
format = "%Y-%m-%d"

[streams.usage.columns]
id = "text"
day = "date"
"#;

/// Every problem of a definition as `line: message (help)`.
fn problems(definition: &str) -> Vec<String> {
    let workspace = Workspace::new(definition);
    let ran = workspace.run(&["sync", "--dry-run", "--json"]);
    if ran.code == 0 {
        return Vec::new();
    }
    assert_eq!(ran.code, 2, "{ran:?}");
    let found: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    let each = found["problems"].as_array().expect("problems").iter().map(|problem| {
        let help = problem["help"].as_str().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}: {}{help}", problem["line"], problem["message"].as_str().expect("a message"))
    });
    each.collect()
}

/// The one problem after replacing a piece of the good definition.
fn problem_with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let found = problems(&GOOD.replacen(from, to, 1));
    assert_eq!(found.len(), 1, "{from} -> {to}: {found:?}");
    found.into_iter().next().expect("one")
}

#[test]
fn a_good_definition_has_no_problem() {
    assert_eq!(problems(GOOD), [""; 0]);
}

/// A piece of the good definition, what stands there instead, and the problems of that.
type Mistake = (&'static str, &'static str, &'static [&'static str]);

const MISTAKES: [Mistake; 11] = [
    (
        "base_url =",
        "base_ulr =",
        &[
            "4: `base_url` is missing from `fleet`",
            "5: unknown key `base_ulr` (did you mean `base_url`?)",
        ],
    ),
    (
        "key = \"id\"",
        "key = \"idd\"",
        &["11: the column `idd` is not defined (did you mean `id`?)"],
    ),
    ("step = \"1 day\"", "step = 1", &["16: `step` must be text, not a whole number"]),
    (
        "step = \"1 day\"",
        "step = \"7\"",
        &["16: `7` is not a duration: 7 has no unit. Write one: `7 days`"],
    ),
    (
        "records = \"$.data[*]\"",
        "records = \"data\"",
        &["10: a JSONPath starts with `$` (for example `$.data[*]`; see RFC 9535)"],
    ),
    (
        "{{ window.start }}",
        "{{ window.strat }}",
        &[
            "9: the template uses `window.strat`, which does not exist here \
                (did you mean `{{ window.start }}`?)",
            "13: nothing in the request uses `{{ window.start }}` or `{{ window.end }}` \
                (for example `query = { from = \"{{ window.start }}\", to = \"{{ window.end }}\" }`)",
        ],
    ),
    (
        "day = \"date\"",
        "day = \"dat\"",
        &["21: `dat` is not a value of `day` (did you mean `date`?)"],
    ),
    (
        "start = \"2026-01-01\"",
        "start = \"2026-01-01T00:00:00\"",
        &["15: `2026-01-01T00:00:00` has no offset: write `2026-01-01T00:00:00Z`, or say which \
                zone it is in with `timezone`"],
    ),
    (
        "format = \"%Y-%m-%d\"",
        "format = \"%Y-%m-%d\"\ntimezone = \"Europe/Berlim\"",
        &["18: `Europe/Berlim` is not an IANA time zone such as `Europe/Berlin` \
                (did you mean `Europe/Berlin`?)"],
    ),
    (
        "step = \"1 day\"",
        "step = \"1 hour\"",
        &["16: a step of 1 hour is shorter than the API's precision: 1 day \
                (give a finer `format` or a longer `step`)"],
    ),
    (
        "http://127.0.0.1:9/v1",
        "http://u:p@127.0.0.1:9/v1",
        &["5: the address holds a user name or password \
                (use `auth = { kind = \"basic\", … }` with `${env:NAME}`)"],
    ),
];

#[test]
fn each_mistake_is_named_with_its_place_and_its_help() {
    for (from, to, expected) in MISTAKES {
        assert_eq!(problems(&GOOD.replacen(from, to, 1)), expected, "{from} -> {to}");
    }
}

#[test]
fn credentials_in_plain_text_are_refused() {
    let literal = "\"http://127.0.0.1:9/v1\"\nauth = { kind = \"bearer\", token = \"abc123\" }";
    assert!(problem_with("\"http://127.0.0.1:9/v1\"", literal).contains("`token` is written out"));
    let header = "\"http://127.0.0.1:9/v1\"\nheaders = { X-API-Key = \"abc123\" }";
    assert!(problem_with("\"http://127.0.0.1:9/v1\"", header).contains("looks like a credential"));
    let unknown = "\"http://127.0.0.1:9/v1\"\nauth = { kind = \"beerer\", token = \"x\" }";
    assert!(problem_with("\"http://127.0.0.1:9/v1\"", unknown).contains("did you mean `bearer`?"));
}

#[test]
fn texts_that_would_nest_for_ever_are_refused() {
    let sum = format!("{{{{ {}1 }}}}", "1 + ".repeat(50_000));
    assert!(problem_with("/usage\"", &format!("/usage{sum}\"")).contains("4096 bytes"));
    let long = format!("$[?({}@.a{})]", "(".repeat(50_000), ")".repeat(50_000));
    assert!(problem_with("$.data[*]", &long).contains("1024 bytes"));
    let deep = format!("${}@.a{}", "[?@".repeat(30), "]".repeat(30));
    assert!(problem_with("$.data[*]", &deep).contains("8 filters"));
    let large = "\"http://127.0.0.1:9/v1\"\nmax_body = \"2 GiB\"";
    assert!(problem_with("\"http://127.0.0.1:9/v1\"", large).contains("at most `1 GiB`"));
    let shrunk = "\"http://127.0.0.1:9/v1\"\nmax_ratio = 0";
    assert!(problem_with("\"http://127.0.0.1:9/v1\"", shrunk).contains("as large as it came"));
}

#[test]
fn contradictions_are_told() {
    let at = "key = \"id\"";
    let cases = [
        ("key = \"id\"\nversion = \"gb\"", "does not sort from older to newer"),
        ("key = \"id\"\npaginate = { kind = \"offset\" }", "hides how many records came"),
        (
            "key = \"id\"\nmethod = \"POST\"\nbody = { password = \"abc123\" }",
            "looks like a credential",
        ),
        (
            "key = \"id\"\nmethod = \"POST\"\nbody = [\"x\"]\n\
                paginate = { kind = \"cursor\", next = \"$.n\", body = \"after\" }",
            "the token cannot go into a `body` that is not a table",
        ),
        (
            "key = \"id\"\nmethod = \"POST\"\nbody = { a = [{ since = 2026-01-01 }] }",
            "`since` holds a bare date (put it in quotes)",
        ),
    ];
    let base = GOOD.replace("day = \"date\"", "day = \"date\"\ngb = \"decimal\"");
    for (to, message) in cases {
        let definition = base.replacen(at, to, 1);
        let definition = if to.contains("offset") {
            definition.replace("$.data[*]", "$.data[?@.on]")
        } else {
            definition
        };
        let found = problems(&definition);
        assert!(found.len() == 1 && found[0].contains(message), "{to}: {found:?}");
    }
    let child = format!(
        "{GOOD}\n[streams.kids]\nfor_each = \"usage\"\npath = \"/k\"\n\
        records = \"$[*]\"\nkey = \"id\"\n"
    );
    assert!(problems(&child)[0].contains("nothing in the request uses a column of the parent"));
}

#[test]
fn all_problems_are_told_at_once_with_file_line_and_caret() {
    let broken = GOOD
        .replace("key = \"id\"", "key = \"idd\"")
        .replace("step = \"1 day\"", "step = \"1 fortnight\"")
        .replace("\"$.data[*]\"", "\"$.data[\"");
    let workspace = Workspace::new(&broken);
    let ran = workspace.run(&["sync"]).expect(2);
    let expected = "\
error: the column `idd` is not defined
  --> windrow.toml:11:7
   |
11 | key = \"idd\"
   |       ^^^^^
   |
   = help: did you mean `id`?
";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("error:").count(), 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("1 fortnight") && ran.stderr.contains("$.data["));
    assert!(!workspace.path("a.db").exists(), "nothing was changed");
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    let found = problems("[archive\npath = 1\n");
    assert!(found[0].starts_with("1: not TOML:"), "{found:?}");
}

#[test]
fn streams_that_wait_for_each_other_are_refused() {
    let ring = GOOD.replace("key = \"id\"", "key = \"id\"\nfor_each = \"usage\"");
    let found = problems(&ring);
    assert!(found.iter().any(|p| p.contains("wait for each other")), "{found:?}");
}

#[test]
fn the_schema_knows_every_key_and_so_does_the_reference() {
    let workspace = Workspace::empty();
    let schema = workspace.run(&["schema"]).expect(0).json();
    let reference = include_str!("../docs/definition.md");
    let mut missing = Vec::new();
    let mut stack = vec![&schema];
    while let Some(value) = stack.pop() {
        if let Some(properties) = value.get("properties").and_then(|p| p.as_object()) {
            missing
                .extend(properties.keys().filter(|key| !reference.contains(&format!("`{key}`"))));
        }
        match value {
            serde_json::Value::Object(members) => stack.extend(members.values()),
            serde_json::Value::Array(items) => stack.extend(items),
            _ => {}
        }
    }
    assert_eq!(missing, Vec::<&String>::new(), "keys that docs/definition.md does not explain");
    assert!(schema["properties"]["streams"].is_object());
}

#[test]
fn a_missing_variable_is_told_before_anything_is_asked() {
    let auth = "\"http://127.0.0.1:9/v1\"\n\
        auth = { kind = \"basic\", username = \"${env:WHO}\", password = \"${env:PASS}\" }";
    let workspace = Workspace::new(&GOOD.replace("\"http://127.0.0.1:9/v1\"", auth));
    let ran = workspace.run(&["sync"]).expect(2);
    assert!(
        ran.stderr.contains("the variable WHO is not set, which source fleet needs"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("PASS"), "all at once: {ran:?}");
    assert!(!workspace.path("a.db").exists());
    workspace.run(&["sync", "--dry-run"]).expect(0);
}

/// Every TOML example of the documentation that is a whole definition is one that windrow takes.
#[test]
fn the_examples_of_the_documentation_are_definitions() {
    let pages = [
        include_str!("../README.md"),
        include_str!("../docs/definition.md"),
        include_str!("../docs/recipes.md"),
    ];
    let mut whole = 0;
    for page in pages {
        for block in page.split("```toml\n").skip(1) {
            let block = block.split("```").next().expect("a block");
            if block.contains("[archive]") {
                whole += 1;
                assert_eq!(problems(block), [""; 0], "{block}");
            }
        }
    }
    assert!(whole >= 6, "only {whole} whole examples");
}

//! What is shown on a terminal: whatever a source, a file, a name or a variable says, nothing of it
//! steers the terminal; in a pipe or a file, rows stay as they are.

use crate::api::{Api, answer, items_definition, json};
use crate::harness::{Workspace, execute};

/// A letter of each class that a terminal obeys or hides, around a word to look for.
const EVIL: &str = "EVIL\u{1b}[31m\u{1b}]0;x\u{7}\u{9b}2J\u{85}\u{202e}\u{2066}\u{2028}\u{200b}\
                    \u{e0041}\u{8}\u{7f}\rEND";

/// The same in TOML.
fn evil_toml() -> String {
    EVIL.chars().map(|letter| format!("\\U{:08x}", u32::from(letter))).collect()
}

/// The same in JSON.
fn evil_json() -> String {
    let mut units = [0; 2];
    let mut escaped = |letter: char| match letter {
        'A'..='Z' => letter.to_string(),
        letter => letter.encode_utf16(&mut units).iter().map(|u| format!("\\u{u:04x}")).collect(),
    };
    EVIL.chars().map(&mut escaped).collect()
}

/// The letters of it that may never reach a terminal as they are.
fn steering(shown: &str) -> Vec<char> {
    let odd = |letter: &char| EVIL.contains(*letter) && !letter.is_ascii_graphic();
    // A terminal's own driver puts a carriage return before the end of each line; colours are
    // windrow's own where they do not follow what somebody else said.
    let shown =
        shown.replace("\r\r\n", "\n").replace("\r\n", "\n").replace("EVIL\u{1b}", "EVIL\u{7}");
    let mut left = String::new();
    let mut rest = shown.as_str();
    while let Some(at) = rest.find("\u{1b}[") {
        left.push_str(&rest[..at]);
        let after = rest[at + 2..].trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        match after.strip_prefix('m') {
            Some(after) => rest = after,
            None => {
                left.push('\u{1b}');
                rest = &rest[at + 1..];
            }
        }
    }
    left.push_str(rest);
    left.chars().filter(odd).collect()
}

/// A workspace in which everything that a source says is hostile, and an archive with its rows,
/// rejects, waits, drift, runs and queued writes.
fn hostile() -> (Api, Workspace) {
    let evil = evil_json();
    let body = format!(
        r#"{{"data":[{{"id":1,"name":"{evil}","{evil}":"{evil}"}},{{"name":"{evil}"}},["{evil}"]]}}"#
    );
    let api = Api::start(move |_, _| json(&body));
    let workspace = Workspace::new(&definition(&api.address));
    let synced = workspace.run(&["sync"]);
    assert!(workspace.path("a.db").exists(), "{synced:?}");
    let run = "UPDATE _windrow_runs SET message = 'EVIL_', state = 'failed', exit_code = 5;
        UPDATE _windrow_rejects SET reason = 'EVIL_';
        INSERT INTO _windrow_run_events (run_id, number, at, kind, source, stream, message, help)
            VALUES (1, 99, 'EVIL_', 'error', 'EVIL_', 'EVIL_', 'EVIL_', 'EVIL_');
        INSERT INTO _windrow_waits VALUES ('EVIL_', '2027-01-01T00:00:00+00:00', 'EVIL_',
            '2026-01-01T00:00:00+00:00');
        INSERT INTO _windrow_vanished VALUES ('items', 'EVIL_', 'EVIL_', '', '', 'marked', 'EVIL_',
            1, 'EVIL_', 1);
        INSERT INTO _windrow_schema_log (stream, change, field, detail, at, run_id)
            VALUES ('EVIL_', 'new', 'EVIL_', 'EVIL_', 'EVIL_', 1);
        INSERT INTO _windrow_streams (stream, key, columns, inferred, created_at)
            VALUES ('EVIL_', '{\"columns\":[\"id\"]}', '[]', 0, 'EVIL_');
        CREATE TABLE \"EVIL_\" (id TEXT NOT NULL, \"_rest\" TEXT, \"_first_seen_at\" TEXT NOT NULL,
            \"_changed_at\" TEXT NOT NULL, \"_revision\" INTEGER NOT NULL,
            \"_run\" INTEGER NOT NULL, UNIQUE (id)) STRICT;";
    execute(&workspace.path("a.db"), "PRAGMA foreign_keys = OFF");
    execute(&workspace.path("a.db"), &run.replace("EVIL_", EVIL));
    (api, workspace)
}

fn definition(address: &str) -> String {
    let check = format!("\n[checks.odd]\nsql = \"SELECT '{}' AS found\"\n", evil_toml());
    items_definition(address, "", "columns = { id = \"integer\", name = \"text\" }") + &check
}

/// The commands that print, and whether the hostile text is among what they print.
const COMMANDS: [(&[&str], bool); 35] = [
    (&["status"], true),
    (&["status", "--digest"], true),
    (&["status", "--digest", "--json"], true),
    (&["runs"], false),
    (&["runs", "--json"], true),
    (&["runs", "show", "1"], true),
    (&["runs", "show", "1", "--json"], true),
    (&["rejects"], true),
    (&["rejects", "--json"], true),
    (&["rejects", "show", "1"], true),
    (&["rejects", "show", "1", "--json"], true),
    (&["check"], true),
    (&["check", "--json"], true),
    (&["diff", "--since", "0", "items"], true),
    (&["diff", "--since", "0", "items", "--json"], true),
    (&["vanished"], true),
    (&["vanished", "--json"], true),
    (&["query", "SELECT * FROM items"], true),
    (&["query", "-f", "csv", "SELECT * FROM items"], true),
    (&["query", "-f", "csv", "--excel-safe", "SELECT * FROM items"], true),
    (&["query", "-f", "json", "SELECT * FROM items"], true),
    (&["query", "-f", "ndjson", "SELECT * FROM items"], true),
    (&["query", "-f", "markdown", "SELECT * FROM items"], true),
    (&["export", "items", "-f", "csv"], true),
    (&["export", "items", "-f", "ndjson"], true),
    (&["definition"], true),
    (&["definition", "--json"], true),
    (&["report", "--json"], true),
    (&["sync", "--dry-run"], false),
    (&["doctor", "--offline"], false),
    (&["prove", "items"], false),
    (&["outbox"], false),
    (&["schema"], false),
    (&["completions", "bash"], false),
    (&["--help"], false),
];

/// Commands to whose arguments, files and messages a hostile text is given.
fn asked() -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| word.replace("EVIL_", EVIL)).collect();
    [
        &["EVIL_"][..],
        &["status", "--EVIL_"],
        &["status", "EVIL_"],
        &["--color", "EVIL_", "status"],
        &["--color", "always", "--EVIL_"],
        &["runs", "show", "EVIL_"],
        &["-d", "EVIL_", "status"],
        &["-a", "EVIL_", "-d", "no", "status"],
        &["verify", "EVIL_"],
        &["merge", "EVIL_"],
        &["merge", "EVIL_", "--json"],
        &["diff", "EVIL_", "a.db"],
        &["diff", "--since", "EVIL_"],
        &["query", "SELECT 'EVIL_"],
        &["query", "SELECT 1 AS 'EVIL_'"],
        &["query", "-f", "csv", "SELECT 1 AS 'EVIL_'"],
        &["query", "-f", "markdown", "SELECT 1 AS 'EVIL_'"],
        &["query", "--json", "SELECT 1 AS 'EVIL_'"],
        &["query", "--as-of", "EVIL_", "SELECT 1"],
        &["export", "items", "-o", "EVIL_.csv"],
        &["export", "items", "-o", "EVIL_.csv", "--json", "--force"],
        &["export", "items", "-f", "csv", "--where", "EVIL_"],
        &["report", "--out", "EVIL_.html"],
        &["report", "--out", "EVIL_.html"],
        &["handoff", "EVIL_.db"],
        &["verify", "EVIL_.db"],
        &["adopt", "EVIL_.csv"],
        &["rejects", "show", "EVIL_"],
        &["check", "--table", "EVIL_", "--key", "EVIL_"],
        &["outbox", "add", "EVIL_"],
        &["outbox", "show", "EVIL_"],
        &["keys", "trust", "EVIL_"],
        &["prove", "EVIL_"],
        &["publish", "EVIL_"],
        &["publish", "postgres://EVIL_@127.0.0.1:1/x"],
        &["watch", "EVIL_"],
        &["sync", "--max-time", "EVIL_"],
        &["demo", "--fast", "--keep", "EVIL_/no/EVIL_"],
    ]
    .into_iter()
    .map(words)
    .collect()
}

#[cfg(unix)]
mod pty {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    /// What a command shows on a terminal of 80 columns, stdout and stderr together.
    pub fn shown(mut command: Command) -> (i32, String) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let main = openpt(flags).expect("a terminal");
        grantpt(&main).expect("its other side");
        unlockpt(&main).expect("its other side");
        let name = ptsname(&main, Vec::new()).expect("its name");
        let name = std::path::PathBuf::from(name.to_str().expect("a path"));
        // Not as the terminal of this process: where it leads a session, the end of the terminal
        // would be the end of the tests.
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let side = rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).expect("a terminal");
        let side = std::fs::File::from(side);
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&side, size).expect("a size");
        let side = OwnedFd::from(side);
        command.stdout(Stdio::from(side.try_clone().expect("a handle")));
        command.stderr(Stdio::from(side));
        let mut child = command.spawn().expect("windrow starts");
        // The terminal ends when nobody holds its other side.
        drop(command);
        let mut bytes = Vec::new();
        let mut main = std::fs::File::from(main);
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = main.read(&mut piece) {
            bytes.extend_from_slice(&piece[..length]);
        }
        let code = child.wait().expect("windrow ends").code().unwrap_or(-1);
        (code, String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(unix)]
#[test]
fn no_command_lets_what_it_shows_steer_a_terminal() {
    let (_api, workspace) = hostile();
    let mut others = Vec::new();
    for (arguments, has) in COMMANDS {
        let (code, shown) = pty::shown(workspace.command(arguments));
        assert_ne!(code, 70, "{arguments:?}: {shown}");
        assert_eq!(steering(&shown), [' '; 0], "{arguments:?}: {shown:?}");
        if shown.contains("EVIL") != has {
            others.push(arguments);
        }
    }
    assert_eq!(others, [&[""; 0][..]; 0], "the table does not say what these show");
}

/// Whoever made an archive chose its names; those that no definition takes are refused with it.
#[test]
fn names_that_no_definition_makes_are_refused_with_the_archive() {
    let api = crate::api::UsageApi::start(crate::api::nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    workspace.run(&["handoff", "good.db"]).expect(0);
    workspace.run(&["verify", "good.db"]).expect(0);
    for (what, sql) in [
        (
            "a stream",
            "UPDATE _windrow_streams SET stream = 'EVIL_';
            ALTER TABLE usage RENAME TO \"EVIL_\"",
        ),
        (
            "a stream",
            "UPDATE _windrow_streams SET stream = 'Us age';
            ALTER TABLE usage RENAME TO \"Us age\"",
        ),
        ("a stream", "INSERT INTO _windrow_fields VALUES ('EVIL_', 'f', 'text', 'always')"),
        ("a stream", "INSERT INTO _windrow_disputed VALUES ('../x', '', '', '', '')"),
        ("a source", "INSERT INTO _windrow_waits VALUES ('EVIL_', 'now', 'x', 'now')"),
        ("a source", "INSERT INTO _windrow_clocks VALUES ('a;b', 1, 'now')"),
        ("a command", "UPDATE _windrow_runs SET command = 'EVIL_'"),
        ("a command", "UPDATE _windrow_runs SET command = 'sync; rm -rf ~'"),
        ("a version", "UPDATE _windrow_runs SET windrow_version = 'EVIL_'"),
        ("a time", "UPDATE _windrow_runs SET started_at = 'EVIL_'"),
        ("a run", "UPDATE _windrow_runs SET uid = 'EVIL_'"),
        ("an archive", "UPDATE _windrow_lineage SET parent_id = 'EVIL_'"),
        (
            "a column of the stream usage",
            "ALTER TABLE usage RENAME COLUMN gb TO \"g b\";
            UPDATE _windrow_streams SET columns = replace(columns, '\"gb\"', '\"g b\"')",
        ),
        (
            "a column of the stream usage",
            "ALTER TABLE usage RENAME COLUMN gb TO \"=gb\";
            UPDATE _windrow_streams SET columns = replace(columns, '\"gb\"', '\"=gb\"')",
        ),
    ] {
        let sql = format!("PRAGMA foreign_keys = OFF; {}", sql.replace("EVIL_", EVIL));
        std::fs::copy(workspace.path("good.db"), workspace.path("bad.db")).expect("a copy");
        execute(&workspace.path("bad.db"), &sql);
        for command in [
            &["verify", "bad.db"][..],
            &["verify", "--print-sql", "bad.db"],
            &["verify", "--json", "bad.db"],
            &["merge", "bad.db"],
            &["-a", "new.db", "merge", "bad.db"],
            &["diff", "a.db", "bad.db"],
        ] {
            let refused = workspace.run(command).expect(9);
            assert!(refused.stderr.contains(&format!("bad.db calls {what} `")), "{refused:?}");
            assert!(refused.stdout.is_empty() && steering(&refused.stderr).is_empty());
        }
        assert!(!workspace.path("new.db").exists(), "{sql}");
    }
}

#[cfg(unix)]
#[test]
fn what_a_command_is_given_steers_no_terminal_and_no_pipe() {
    let (_api, workspace) = hostile();
    std::fs::write(workspace.path(&format!("{EVIL}.csv")), "id,name\n1,x\n").expect("a file");
    for arguments in asked() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, shown) = pty::shown(workspace.command(&arguments));
        assert_ne!(code, 70, "{arguments:?}: {shown}");
        assert_eq!(steering(&shown), [' '; 0], "{arguments:?}: {shown:?}");
        // What is told is often read through `2>&1 | less -R`.
        let told = workspace.run(&arguments).stderr;
        assert_eq!(steering(&told), [' '; 0], "{arguments:?}: {told:?}");
    }
}

#[cfg(unix)]
#[test]
fn neither_the_program_s_name_nor_a_variable_steers_a_terminal() {
    use std::os::unix::process::CommandExt;
    let (_api, mut workspace) = hostile();
    for arguments in [&["--help"][..], &["status", "--no"], &["no"], &[]] {
        let mut command = workspace.command(arguments);
        command.arg0(format!("/bin/{EVIL}")).env("TERM", "xterm");
        let (_, shown) = pty::shown(command);
        assert_eq!(steering(&shown), [' '; 0], "{arguments:?}: {shown:?}");
    }
    workspace.variable("WINDROW_STATE_DIR", &format!("no/{EVIL}\0").replace('\0', ""));
    workspace.variable("WINDROW_KEYS_DIR", &format!("keys-{EVIL}"));
    workspace.variable("WINDROW_LOG", "trace");
    workspace.variable("TMPDIR", EVIL);
    std::fs::write(workspace.path("no"), "").expect("a file in the way");
    for arguments in [
        &["sync"][..],
        &["sync", "--log-format", "json"],
        &["sync", "--json"],
        &["keys"],
        &["doctor", "--offline"],
        &["demo", "--fast"],
        &["outbox", "add", "--source", "s", "POST", "/x"],
    ] {
        let (code, shown) = pty::shown(workspace.command(arguments));
        assert_ne!(code, 70, "{arguments:?}: {shown}");
        // A bar moves its own cursor.
        let shown = shown.replace("\u{1b}[2K", "").replace("\u{1b}[1A", "").replace("\r", "");
        assert_eq!(steering(&shown), [' '; 0], "{arguments:?}: {shown:?}");
    }
}

#[cfg(unix)]
#[test]
fn what_a_source_answers_in_an_error_steers_no_terminal() {
    let headers = [("retry-after", "0"), ("content-type", "text/\u{9b}EVIL")];
    let api = Api::start(move |_, _| answer("500 EVIL\u{9b}2J\u{202e}", &headers, EVIL));
    let workspace = Workspace::new(&items_definition(&api.address, crate::api::FAST, ""));
    for arguments in [&["sync", "-vv"][..], &["sync", "--json"], &["runs", "show", "1"]] {
        let (_, shown) = pty::shown(workspace.command(arguments));
        let shown = shown.replace("\u{1b}[2K", "").replace("\u{1b}[1A", "").replace("\r", "");
        assert_eq!(steering(&shown), [' '; 0], "{arguments:?}: {shown:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_definition_that_is_wrong_is_shown_harmless() {
    let definition = format!("[archive]\npath = 1 # {EVIL}\n\n[sources.\"{}\"]\n", evil_toml());
    let workspace = Workspace::new(&definition);
    let name = format!("{EVIL}.toml");
    workspace.define(&definition);
    std::fs::copy(workspace.path("windrow.toml"), workspace.path(&name)).expect("a copy");
    for arguments in [&["status"][..], &["status", "--json"], &["-d", &name, "status"]] {
        for colour in ["always", "never"] {
            let arguments = [arguments, &["--color", colour]].concat();
            let (code, shown) = pty::shown(workspace.command(&arguments));
            assert_eq!((code, steering(&shown)), (2, vec![]), "{arguments:?}: {shown:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn colours_of_its_own_are_still_there() {
    let workspace = Workspace::empty();
    let (_, shown) = pty::shown(workspace.command(&["status"]));
    assert!(shown.contains("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m "), "{shown:?}");
    let mut command = workspace.command(&["status", "--no"]);
    command.env("TERM", "xterm");
    let (_, shown) = pty::shown(command);
    assert!(shown.contains("\u{1b}[") && shown.contains("error:"), "{shown:?}");
    let mut command = workspace.command(&["status"]);
    command.env("NO_COLOR", "1");
    assert!(!pty::shown(command).1.contains('\u{1b}'));
}

/// JSON on a terminal is the same JSON.
#[cfg(unix)]
#[test]
fn json_on_a_terminal_has_the_same_values() {
    let (_api, workspace) = hostile();
    let sql = "SELECT name, _rest FROM items";
    let (_, shown) = pty::shown(workspace.command(&["query", "--json", sql]));
    let piped = workspace.run(&["query", "--json", sql]).expect(0);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown, piped.json());
    assert_eq!(shown[0]["name"], EVIL);
}

#[test]
fn in_a_pipe_and_in_a_file_rows_are_as_they_are() {
    let (_api, workspace) = hostile();
    let csv = workspace.run(&["query", "-f", "csv", "SELECT name FROM items"]).expect(0).stdout;
    assert_eq!(csv, format!("name\n\"{EVIL}\"\n"));
    let exported = workspace.run(&["export", "items", "-f", "csv"]).expect(0).stdout;
    assert!(exported.contains(EVIL), "{exported:?}");
    let json = workspace.run(&["query", "-f", "ndjson", "SELECT name FROM items"]).expect(0);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(value["name"], EVIL);
    assert!(json.stdout.contains('\u{9b}') && json.stdout.contains('\u{202e}'), "as it is");
    workspace.run(&["export", "items", "-o", "items.csv"]).expect(0);
    let file = std::fs::read_to_string(workspace.path("items.csv")).expect("a file");
    assert_eq!(file, exported);
    let page = workspace.run(&["status"]).expect(0).stdout;
    assert_eq!(steering(&page), [' '; 0], "a page for people: {page:?}");
}

/// Formulas, and what they are in a file that is made for spreadsheets.
const FORMULAS: [(&str, &str); 13] = [
    ("=1+1", "'=1+1"),
    ("+1+1", "'+1+1"),
    ("-1+1", "'-1+1"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "'\t'=1"),
    (" =1", "' =1"),
    ("\"=1", "'\"=1"),
    ("\u{ff1d}1", "'\u{ff1d}1"),
    ("a;=1", "a;'=1"),
    ("a\n=1", "a\n'=1"),
    ("-5", "-5"),
    ("a=1", "a=1"),
    ("x@example.com", "x@example.com"),
];

#[test]
fn a_spreadsheet_is_given_no_formula_where_that_is_asked_for() {
    let records = FORMULAS.iter().enumerate().map(
        |(at, (text, _))| serde_json::json!({"id": format!("{at:02}"), "name": text, "n": -5}),
    );
    let body = serde_json::json!({"data": records.collect::<Vec<_>>()}).to_string();
    let api = Api::start(move |_, _| json(&body));
    let columns = "columns = { id = \"text\", name = \"text\", n = \"integer\" }";
    let workspace = Workspace::new(&items_definition(&api.address, "", columns));
    workspace.sync();
    let sql = "SELECT name, n AS '=n' FROM items ORDER BY id";
    let quoted = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let file = |head: &str, end: &str, safe: bool| {
        let cells = FORMULAS.map(|(text, guarded)| quoted(if safe { guarded } else { text }));
        let lines = cells.map(|cell| format!("{cell},-5{end}"));
        format!("{head}{end}{}", lines.concat())
    };
    let query = |more: &[&str]| {
        workspace.run(&[&["query", "-f", "csv", sql], more].concat()).expect(0).stdout
    };
    assert_eq!(query(&[]), file("name,=n", "\n", false));
    assert_eq!(query(&["--excel-safe"]), file("name,'=n", "\n", true));
    let refused = workspace.run(&["query", "--excel-safe", sql]).expect(2);
    assert!(refused.stderr.contains("--excel-safe is for CSV"), "{refused:?}");
    workspace.run(&["query", "--json", "--excel-safe", sql]).expect(2);
    // An export has all columns, and ends its lines as RFC 4180 does.
    let export = |more: &[&str]| {
        let export = ["export", "items", "-f", "csv"];
        workspace.run(&[&export[..], more].concat()).expect(0).stdout
    };
    let exported = |safe: bool| -> String {
        let cells = FORMULAS.iter().enumerate().map(|(at, (text, guarded))| {
            format!("{at:02},{},-5,\r\n", quoted(if safe { guarded } else { text }))
        });
        "id,name,n,_rest\r\n".to_owned() + &cells.collect::<String>()
    };
    assert_eq!(export(&[]), exported(false));
    assert_eq!(export(&["--excel-safe"]), exported(true));
}

#[test]
fn markdown_shows_what_a_source_says_and_makes_nothing_of_it() {
    let workspace = {
        let api = Api::start(|_, _| json(r#"{"data":[{"id":1}]}"#));
        let workspace = Workspace::new(&items_definition(&api.address, "", ""));
        workspace.sync();
        workspace
    };
    for (text, cell) in [
        ("<script>alert(1)</script>", "&lt;script&gt;alert\\(1\\)&lt;/script&gt;"),
        ("[x](javascript:alert(1))", "\\[x\\]\\(javascript&#58;alert\\(1\\)\\)"),
        ("<javascript:alert(1)>", "&lt;javascript&#58;alert\\(1\\)&gt;"),
        ("![x](http://a.example/y)", "\\!\\[x\\]\\(http&#58;//a.example/y\\)"),
        ("a|b", "a\\|b"),
        ("a\\|b", "a\\\\\\|b"),
        ("`x`", "\\`x\\`"),
        ("two\nlines", "two\\\\nlines"),
        ("---", "\\---"),
        ("a_b *c*", "a_b \\*c\\*"),
        ("-1.5", "-1.5"),
    ] {
        let sql = format!("SELECT '{text}' AS \"{text}\"");
        let table = workspace.run(&["query", "-f", "markdown", &sql]).expect(0).stdout;
        assert_eq!(table, format!("| {cell} |\n| --- |\n| {cell} |\n"), "{text:?}");
    }
}

//! The log: structured, bounded, without secrets, and never in the way.

use std::path::PathBuf;

use crate::api::{Api, FAST, UsageApi, answer, items_definition, json, nine_days};
use crate::harness::{Workspace, ran};

fn log_of(workspace: &Workspace) -> PathBuf {
    workspace.path("state").join("windrow.log")
}

fn lines(text: &str) -> Vec<serde_json::Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(parse).collect()
}

#[test]
fn what_a_sync_does_is_in_the_log_one_json_object_a_line() {
    let api = UsageApi::start(nine_days(), 2);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    let text = std::fs::read_to_string(log_of(&workspace)).expect("a log");
    let lines = lines(&text);
    let of = |message: &str| -> Vec<&serde_json::Value> {
        lines.iter().filter(|line| line["message"] == message).collect()
    };
    assert!(lines.iter().all(|line| line["timestamp"] == "2026-01-10T12:00:00+00:00"));
    assert_eq!(lines[0]["message"], "run begins");
    assert_eq!(of("asking").len(), api.api.log().len());
    assert_eq!(of("answered").len(), api.api.log().len());
    let fetches = of("fetch ended");
    assert_eq!(fetches.len(), 10);
    assert_eq!((&fetches[0]["stream"], &fetches[0]["level"]), (&"usage".into(), &"INFO".into()));
    let end = of("run ended");
    assert_eq!((&end[0]["state"], &end[0]["run"]), (&"complete".into(), &1.into()));
    workspace.run(&["rejects", "retry"]).expect(0);
    workspace.sync();
    let more = std::fs::read_to_string(log_of(&workspace)).expect("a log");
    assert!(more.starts_with(&text) && more.len() > text.len(), "it is added to");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(log_of(&workspace)).expect("a log").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_command_that_changes_nothing_leaves_no_log() {
    let api = Api::start(|_, _| json(r#"{"data":[]}"#));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    workspace.sync();
    std::fs::remove_dir_all(workspace.path("state")).expect("the state");
    for command in [vec!["status"], vec!["runs"], vec!["query", "SELECT 1"], vec!["schema"]] {
        workspace.run(&command).expect(0);
    }
    assert!(!workspace.path("state").exists());
}

#[test]
fn no_secret_gets_into_a_log_in_any_form() {
    let secret = "cän\"ary/7f+3 z";
    let echo = serde_json::to_string(secret).expect("JSON");
    let api = Api::start(move |asked, number| match number {
        0 => {
            let next = format!(
                "{}?{}&page=2",
                asked.path(),
                asked.target.split_once('?').expect("a key").1
            );
            json(&format!(r#"{{"data":[{{"id":1,"k":{echo}}}],"next":"{next}"}}"#))
        }
        1 => answer("503 Service Unavailable", &[("retry-after", "0")], &echo),
        _ => answer("400 Bad Request", &[], &format!("no {echo}, no {secret}")),
    });
    let source =
        format!("{FAST}\nauth = {{ kind = \"query\", name = \"key\", value = \"${{env:KEY}}\" }}");
    let stream = "paginate = { kind = \"next_url\", next = \"$.next\" }\n\
        columns = { id = \"integer\" }";
    for format in ["text", "json"] {
        let mut workspace = Workspace::new(&items_definition(&api.address, &source, stream));
        workspace.variable("KEY", secret).variable("WINDROW_LOG", "trace");
        let ran = workspace.run(&["sync", "-vv", "--log-format", format]);
        assert!(ran.code != 0 && ran.stderr.contains("${env:KEY}"), "{ran:?}");
        let log = std::fs::read_to_string(log_of(&workspace)).expect("a log");
        assert!(log.contains("${env:KEY}"), "the error is told: {log}");
        let forms = ["ary/7f", "ary\\/7f", "ary%2F7f", "7f+3", "7f%2B3"];
        for form in forms {
            for text in [&ran.stdout, &ran.stderr, &log] {
                assert!(!text.contains(form), "{form}: {text}");
            }
        }
    }
}

#[test]
fn a_log_that_cannot_be_kept_is_a_notice_and_no_failure() {
    let api = Api::start(|_, _| json(r#"{"data":[{"id":1}]}"#));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    let kept = workspace.sync();
    std::fs::write(workspace.path("file"), "").expect("a file");
    let mut command = workspace.command(&["sync", "--json"]);
    command.env("WINDROW_STATE_DIR", workspace.path("file").join("state"));
    let lost = ran(&command.output().expect("windrow starts")).expect(0);
    assert_eq!(lost.json()["state"], kept.json()["state"]);
    assert_eq!(lost.stderr.matches("note: no log is kept").count(), 1, "{}", lost.stderr);
    assert_eq!(lost.stderr.lines().count(), 1, "{}", lost.stderr);
    assert_eq!(kept.stderr, "");
}

#[test]
fn the_log_lies_in_the_state_directory_of_the_system_or_nowhere() {
    let api = Api::start(|_, _| json(r#"{"data":[{"id":1}]}"#));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    let mut nowhere = workspace.command(&["sync"]);
    nowhere.env("WINDROW_STATE_DIR", "").env("XDG_STATE_HOME", workspace.path("xdg"));
    ran(&nowhere.output().expect("windrow starts")).expect(0);
    assert!(!workspace.path("xdg").exists() && !workspace.path("state").exists());
    if cfg!(target_os = "linux") {
        let mut system = workspace.command(&["sync"]);
        system.env_remove("WINDROW_STATE_DIR").env("XDG_STATE_HOME", workspace.path("xdg"));
        ran(&system.output().expect("windrow starts")).expect(0);
        assert!(workspace.path("xdg/windrow/windrow.log").exists());
    }
}

#[test]
fn stderr_is_json_or_text_and_safe_on_a_terminal_either_way() {
    let api = Api::start(|_, _| answer("400 Bad Request", &[], "\u{9b}31m\u{202e} bad \u{1b}[2J"));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    let told = |format: &str| workspace.run(&["sync", "-v", "--json", "--log-format", format]);
    let text = told("text");
    assert!(text.stderr.contains("DEBUG") && text.stderr.contains("asking"), "{text:?}");
    let json = told("json");
    let logged: String = json
        .stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| format!("{line}\n"))
        .collect();
    let events = lines(&logged);
    assert!(events.iter().any(|event| event["message"] == "error" && event["stream"] == "items"));
    for ran in [text, json] {
        assert!(!ran.stderr.contains(['\u{9b}', '\u{202e}', '\u{1b}']), "{ran:?}");
    }
    let quiet = workspace.run(&["sync", "--log-format", "json"]).stderr;
    assert!(!quiet.lines().any(|line| line.starts_with('{')), "{quiet}");
    workspace.run(&["sync", "--log-format", "xml"]).expect(2);
}

#[test]
fn a_secret_that_comes_back_as_data_stays_out_of_the_log() {
    let secret = "canary-5d0c7e";
    let lines = format!(r#"{{"data":[{{"id":"{secret}"}}]}}"#);
    let api = Api::start(move |asked, _| match asked.path() {
        "/lines" => json(&lines),
        _ => json(r#"{"data":[{"id":1}]}"#),
    });
    let source = format!("{FAST}\nauth = {{ kind = \"bearer\", token = \"${{env:KEY}}\" }}");
    let streams = "for_each = \"lines\"\nquery = { of = \"{{ parent.id }}\" }\n[streams.lines]\npath = \"/lines\"\n\
        records = \"$.data[*]\"\nkey = \"id\"";
    let mut workspace = Workspace::new(&items_definition(&api.address, &source, streams));
    workspace.variable("KEY", secret);
    let ran = workspace.run(&["sync", "-v", "--log-format", "json"]).expect(0);
    let log = std::fs::read_to_string(log_of(&workspace)).expect("a log");
    for text in [log, ran.stderr] {
        assert!(text.contains("${env:KEY}") && !text.contains(secret), "{text}");
    }
}

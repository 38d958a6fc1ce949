//! The corpus of answers: honest ones of many APIs, which must pass without a word, and ones that
//! contradict the definition, which must fail the window. Each file of `tests/evidence/` is one
//! case, described in `tests/evidence/README.md`; the scripted server answers as the file says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use crate::api::{Api, Asked, Reply, answer};
use crate::harness::{Ran, Workspace};

const HONEST_MIN: usize = 70;
const CONTRADICTING_MIN: usize = 60;
/// Cases that run side by side: each is a few processes, one after another.
const SIDE_BY_SIDE: usize = 4;
/// Stands in bodies and headers for the address of the scripted server.
const ADDRESS: &str = "{api}";

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Honest,
    Contradicting,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    documented: String,
    definition: String,
    /// More lines of `[sources.api]`.
    #[serde(default)]
    source: String,
    /// The stream whose window fails, where the definition has several.
    fails: Option<String>,
    /// Rows of each table after the sync.
    #[serde(default)]
    rows: BTreeMap<String, u64>,
    exit: i32,
    #[serde(default)]
    says: Vec<String>,
    answers: Vec<Answer>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// `[METHOD ]/path?query`; without it the answer fits any request.
    request: Option<String>,
    /// A part of the request's body.
    sent: Option<String>,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, HeaderValues>,
    #[serde(default)]
    body: String,
    /// Whether the case may end before this is asked for.
    #[serde(default)]
    optional: bool,
}

fn ok() -> u16 {
    200
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum HeaderValues {
    One(String),
    Several(Vec<String>),
}

/// The answers of a case, and what was asked of them.
struct Script {
    kind: Kind,
    answers: Vec<Answer>,
    used: Vec<bool>,
    /// Requests that no answer fits.
    strays: Vec<String>,
}

impl Script {
    /// The first answer that fits and was not given yet. A window that fails may be read again:
    /// contradicting answers are repeated.
    fn answer(&mut self, asked: &Asked) -> Reply {
        let mut fitting = (0..self.answers.len()).filter(|at| fits(&self.answers[*at], asked));
        let fitting: Vec<usize> = fitting.by_ref().collect();
        let fresh = fitting.iter().find(|at| !self.used[**at]);
        let again = fitting.last().filter(|_| self.kind == Kind::Contradicting);
        let Some(at) = fresh.or(again).copied() else {
            self.strays.push(format!("{} {} {}", asked.method, asked.target, asked.body));
            return answer("404 Not Found", &[], "the script has no answer");
        };
        self.used[at] = true;
        reply(&self.answers[at], asked.header("host").expect("a host"))
    }
}

fn fits(answer: &Answer, asked: &Asked) -> bool {
    let request = answer.request.as_ref().is_none_or(|text| {
        let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
        let wanted = Asked { target: target.to_owned(), ..asked.clone() };
        method == asked.method && wanted.path() == asked.path() && query(&wanted) == query(asked)
    });
    request && answer.sent.as_ref().is_none_or(|part| asked.body.contains(part))
}

fn query(asked: &Asked) -> Vec<(String, String)> {
    let url = url::Url::parse("http://api").and_then(|base| base.join(&asked.target));
    let mut pairs: Vec<_> = url.expect("a target").query_pairs().into_owned().collect();
    pairs.sort();
    pairs
}

fn reply(given: &Answer, host: &str) -> Reply {
    let address = format!("http://{host}");
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    for (name, values) in &given.headers {
        let values = match values {
            HeaderValues::One(value) => std::slice::from_ref(value),
            HeaderValues::Several(values) => values,
        };
        if name.eq_ignore_ascii_case("content-type") {
            headers.clear();
        }
        headers.extend(values.iter().map(|value| (name.clone(), value.replace(ADDRESS, &address))));
    }
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    answer(&format!("{} Scripted", given.status), &headers, &given.body.replace(ADDRESS, &address))
}

fn folder(kind: Kind) -> PathBuf {
    let name = if kind == Kind::Honest { "honest" } else { "contradicting" };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence").join(name)
}

/// The cases of a folder by the names of their files.
fn cases(kind: Kind) -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder(kind)).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(entry.path()).expect("text");
        let case = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        cases.push((name, case));
    }
    cases.sort_by(|one, other| one.0.cmp(&other.0));
    cases
}

fn streams(case: &Case) -> Vec<String> {
    let definition: toml::Table = toml::from_str(&case.definition).expect("a definition");
    let streams = definition["streams"].as_table().expect("streams");
    streams.keys().cloned().collect()
}

/// What of a finished case is not as it must be.
struct Faults<'c> {
    name: &'c str,
    case: &'c Case,
    workspace: &'c Workspace,
    found: Vec<String>,
}

impl Faults<'_> {
    fn expect(&mut self, holds: bool, fault: &str, ran: &Ran) {
        if !holds {
            let shown = format!("exit {}\n{}{}", ran.code, ran.stdout, ran.stderr);
            self.found.push(format!("{}: {fault}\n{shown}", self.name));
        }
    }

    fn expect_rows(&mut self, sync: &Ran) {
        for (table, wanted) in &self.case.rows {
            let there = format!("SELECT 1 FROM sqlite_schema WHERE name = '{table}'");
            let count = match self.workspace.rows(&there).is_empty() {
                true => "0".to_owned(),
                false => self.workspace.value(&format!("SELECT count(*) FROM \"{table}\"")),
            };
            let fault = format!("{table} has {count} rows instead of {wanted}");
            self.expect(count == wanted.to_string(), &fault, sync);
        }
    }

    /// Every window of the stream is complete, and nothing is said about it.
    fn expect_complete(&mut self, stream: &str) {
        let status = self.workspace.run(&["status", "--json"]);
        let entry = entry(&status, stream);
        let count = |name: &str| entry[name].as_u64().unwrap_or(0);
        let whole = count("complete") + count("settled") > 0;
        let nothing_left = count("partial") + count("truncated") == 0;
        let silent = entry["problems"].as_array().is_some_and(Vec::is_empty);
        let fault = format!("{stream} is not complete in status");
        self.expect(whole && nothing_left && silent, &fault, &status);
    }

    fn expect_partial(&mut self, stream: &str) {
        let status = self.workspace.run(&["status", "--json"]);
        let partial = entry(&status, stream)["partial"].as_u64().unwrap_or(0) > 0;
        self.expect(partial, &format!("{stream} is not partial in status"), &status);
    }

    fn expect_honest(&mut self, sync: &Ran) {
        self.expect(sync.code == self.case.exit, "a false alarm of sync", sync);
        if sync.code != self.case.exit {
            return;
        }
        self.expect(sync.stderr.is_empty(), "sync says something", sync);
        self.expect_rows(sync);
        for stream in streams(self.case) {
            self.expect_complete(&stream);
        }
        let check = self.workspace.run(&["check"]);
        self.expect(check.code == 0, "a false alarm of check", &check);
    }

    fn expect_failed(&mut self, sync: &Ran) {
        self.expect(sync.code == self.case.exit, "sync does not fail as it must", sync);
        if sync.code != self.case.exit {
            return;
        }
        for part in &self.case.says {
            self.expect(says(sync, part), &format!("sync does not say {part:?}"), sync);
        }
        self.expect_rows(sync);
        let all = streams(self.case);
        let stream = self.case.fails.clone().unwrap_or_else(|| all[0].clone());
        self.expect_partial(&stream);
        let check = self.workspace.run(&["check"]);
        self.expect(check.code == 1, "check finds nothing", &check);
        // One truth: the other commands name what was seen, too.
        let seen = &self.case.says[0];
        for ran in [check, self.workspace.run(&["status"])] {
            self.expect(says(&ran, seen), &format!("it does not say {seen:?}"), &ran);
        }
    }

    /// The definition says that one answer is everything: then it is a finding.
    fn expect_finding(&mut self, sync: &Ran) {
        self.expect(sync.code == 0, "sync fails although the definition allows it", sync);
        if sync.code != 0 {
            return;
        }
        self.expect_rows(sync);
        let check = self.workspace.run(&["check", "--fail-on", "info"]);
        self.expect(check.code == 1, "check finds nothing", &check);
        for part in &self.case.says {
            self.expect(says(&check, part), &format!("check does not say {part:?}"), &check);
        }
    }
}

/// Whether a command prints one of the texts between `|`, in whatever case: names of headers have
/// none.
fn says(ran: &Ran, texts: &str) -> bool {
    let printed = format!("{}{}", ran.stdout, ran.stderr).to_lowercase();
    texts.to_lowercase().split('|').any(|text| printed.contains(text))
}

fn entry(status: &Ran, stream: &str) -> serde_json::Value {
    let value: serde_json::Value = serde_json::from_str(&status.stdout).unwrap_or_default();
    let streams = value["streams"].as_array().cloned().unwrap_or_default();
    streams.into_iter().find(|entry| entry["stream"] == stream).unwrap_or_default()
}

/// Runs one case and returns what is not as it must be.
fn faults_of(name: &str, case: &Case, kind: Kind) -> Vec<String> {
    let answers = case.answers.clone();
    let used = vec![false; answers.len()];
    let script = Script { kind, answers, used, strays: Vec::new() };
    let script = Arc::new(Mutex::new(script));
    let shared = Arc::clone(&script);
    let api = Api::start(move |asked, _| shared.lock().expect("no panic").answer(asked));
    let definition = format!(
        "[archive]\npath = \"a.db\"\n\n[sources.api]\nbase_url = \"{}\"\n\
         retry = {{ base = \"1 ms\", attempts = 2 }}\n{}\n{}",
        api.address, case.source, case.definition
    );
    let workspace = Workspace::new(&definition);
    let sync = workspace.run(&["sync"]);
    let mut faults = Faults { name, case, workspace: &workspace, found: Vec::new() };
    match (kind, case.exit) {
        (Kind::Honest, _) => faults.expect_honest(&sync),
        (Kind::Contradicting, 0) => faults.expect_finding(&sync),
        (Kind::Contradicting, _) => faults.expect_failed(&sync),
    }
    let script = script.lock().expect("no panic");
    let strays = script.strays.join(", ");
    faults.expect(strays.is_empty(), &format!("it asked for {strays}"), &sync);
    let mut given = script.used.iter().zip(&case.answers);
    let unused = given.position(|(used, answer)| !used && !answer.optional).map(|at| at + 1);
    let asked = unused.is_none() || sync.code != case.exit;
    faults.expect(asked, &format!("it never asked for answer {unused:?}"), &sync);
    faults.found
}

/// Runs all cases of a kind, a few side by side, and fails with the faults of all of them.
fn expect_all(kind: Kind) {
    let cases = cases(kind);
    let mut faults: Vec<String> = std::thread::scope(|scope| {
        let lanes = (0..SIDE_BY_SIDE).map(|lane| {
            let own = cases.iter().skip(lane).step_by(SIDE_BY_SIDE);
            scope.spawn(move || own.flat_map(|(name, case)| faults_of(name, case, kind)).collect())
        });
        let lanes: Vec<std::thread::ScopedJoinHandle<'_, Vec<String>>> = lanes.collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("no case panics")).collect()
    });
    faults.sort();
    let number = cases.len();
    assert!(faults.is_empty(), "{} faults in {number}\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn honest_answers_pass_without_a_word() {
    expect_all(Kind::Honest);
}

#[test]
fn contradicting_answers_fail_the_window() {
    expect_all(Kind::Contradicting);
}

#[test]
fn the_corpus_is_large_and_each_case_says_what_it_is_about() {
    let (honest, contradicting) = (cases(Kind::Honest), cases(Kind::Contradicting));
    assert!(honest.len() >= HONEST_MIN, "{}", honest.len());
    assert!(contradicting.len() >= CONTRADICTING_MIN, "{}", contradicting.len());
    let mut abouts = BTreeSet::new();
    for (name, case) in honest.iter().chain(&contradicting) {
        let documented = ["https://", "made up: "].iter().any(|it| case.documented.starts_with(it));
        assert!(documented, "{name}");
        assert!(abouts.insert(&case.about), "{name}: {}", case.about);
        let streams = streams(case);
        assert!(streams.len() == 1 || case.fails.is_some() || case.says.is_empty(), "{name}");
        for answer in case.answers.iter().filter(|answer| !answer.body.is_empty()) {
            let body: Result<serde_json::Value, _> = serde_json::from_str(&answer.body);
            assert!(body.is_ok(), "{name}: {body:?}");
        }
    }
    for (name, case) in &honest {
        let counted: BTreeSet<String> = case.rows.keys().cloned().collect();
        assert_eq!(counted, streams(case).into_iter().collect(), "{name}");
        assert!(case.exit == 0 && case.says.is_empty(), "{name}");
    }
    for (name, case) in &contradicting {
        assert!([0, 5].contains(&case.exit) && !case.says.is_empty(), "{name}");
    }
}

//! `windrow check`: archives made wrong on purpose, one for each finding, and one that is not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use windrow::check::{CheckOptions, HelpCommands, Limit, check};
use windrow::definition::{Severity, parse_definition};
use windrow::host::files::{lock_path, try_lock};
use windrow::host::{Host, Stop};
use windrow::store::Reader;

use crate::api::{Api, Asked, Record, Reply, answer, json};
use crate::harness::{Ran, Workspace, rows};
use crate::later::LATER;

/// The days that the API knows: the first and how many.
const FIRST: &str = "2025-11-01";
const DAYS: u64 = 70;

/// What the API says.
#[derive(Clone, Default)]
struct World {
    records: Vec<Record>,
    lines: Vec<String>,
    /// By how much the total of a day is wrong.
    wrong_total: BTreeMap<String, usize>,
    /// Records that come with a day whatever their own.
    extra: BTreeMap<String, String>,
}

fn date(number: u64) -> String {
    let first: chrono::NaiveDate = FIRST.parse().expect("a date");
    (first + chrono::Days::new(number)).to_string()
}

/// A business: much on weekdays, little on weekends, never the same.
fn gb(line: u64, day: u64) -> f64 {
    let mut noise = fastrand::Rng::with_seed(line * 10_000 + day);
    let season = [40.0, 50.0, 52.0, 51.0, 48.0, 20.0, 12.0][(day % 7) as usize];
    let value = season * (1.0 + 0.2 * (noise.f64() + noise.f64() + noise.f64() - 1.5));
    (value * 1e6).round() / 1e6
}

impl World {
    /// Three lines over ten weeks, and nothing wrong.
    fn clean() -> World {
        let mut world =
            World { lines: (1..=3).map(|n| format!("SL-{n}")).collect(), ..World::default() };
        for day in 0..DAYS {
            for line in 1..=3 {
                let id = format!("SL-{line}");
                let at = "2026-01-01T00:00:00Z";
                world.records.push(Record::new(&id, &date(day), gb(line, day), at));
            }
        }
        world
    }

    fn record(&mut self, id: &str, day: &str) -> &mut Record {
        let found = self.records.iter_mut().find(|it| it.id == id && it.day == day);
        found.expect("a record of the clean world")
    }

    fn forget(&mut self, id: &str, day: &str) {
        self.records.retain(|it| it.id != id || it.day != day);
    }

    fn answer(&self, asked: &Asked) -> Reply {
        if asked.path() == "/lines" {
            let lines: Vec<String> =
                self.lines.iter().map(|id| format!("{{\"id\":\"{id}\"}}")).collect();
            return json(&format!("{{\"data\":[{}]}}", lines.join(",")));
        }
        let from = asked.parameter("from").unwrap_or_default();
        let to = asked.parameter("to").unwrap_or_default();
        let inside = self.records.iter().filter(|it| it.day >= from && it.day < to);
        let extra = self.extra.iter().filter(|(day, _)| **day >= from && **day < to);
        let body: Vec<String> =
            inside.map(Record::json).chain(extra.map(|(_, record)| record.clone())).collect();
        let total = body.len() + self.wrong_total.get(&from).unwrap_or(&0);
        json(&format!("{{\"data\":[{}],\"total\":{total}}}", body.join(",")))
    }
}

/// The API, its archive, and what the definition says besides.
struct Case {
    _api: Api,
    address: String,
    world: Arc<Mutex<World>>,
    workspace: Workspace,
}

fn definition(address: &str, check: &str, more: &str) -> String {
    format!(
        r#"[archive]
path = "a.db"

[sources.s]
base_url = "{address}"
retry = {{ base = "1 ms", attempts = 2 }}

[streams.lines]
path = "/lines"
records = "$.data[*]"
key = "id"
columns = {{ id = "text" }}

[streams.usage]
path = "/usage"
query = {{ from = "{{{{ window.start }}}}", to = "{{{{ window.end }}}}" }}
records = "$.data[*]"
key = ["id", "day"]
total = "$.total"
references = {{ id = "lines" }}
max_rejects = 1000
{check}

[streams.usage.window]
field = "day"
start = "{FIRST}"
step = "1 day"
format = "%Y-%m-%d"
lateness = "3 days"

[streams.usage.columns]
id = "text"
day = "date"
gb = "real"
updated_at = "timestamp"
{more}
"#
    )
}

impl Case {
    fn new(change: impl FnOnce(&mut World)) -> Case {
        let mut world = World::clean();
        change(&mut world);
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        let api = Api::start(move |asked, _| shared.lock().expect("no test panics").answer(asked));
        let address = api.address.clone();
        let workspace = Workspace::new(&definition(&address, "", ""));
        Case { _api: api, address, world, workspace }
    }

    fn synced(change: impl FnOnce(&mut World)) -> Case {
        let case = Case::new(change);
        case.workspace.run(&["sync"]);
        case
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world.lock().expect("no test panics"));
    }

    fn define(&self, check: &str, more: &str) {
        self.workspace.define(&definition(&self.address, check, more));
    }

    /// Changes the archive behind windrow's back.
    #[expect(clippy::disallowed_methods, reason = "a hand that does what none should")]
    fn meddle(&self, sql: &str) {
        let archive = rusqlite::Connection::open(self.workspace.path("a.db")).expect("the archive");
        archive.execute_batch(sql).expect(sql);
    }

    fn check(&self, more: &[&str]) -> Ran {
        self.workspace.run(&[&["check", "--json"], more].concat())
    }

    /// The identities of what is found, infos apart. Each shows itself, and its command is one.
    fn found(&self) -> Vec<String> {
        let ran = self.check(&[]);
        let json = ran.json();
        let mut ids = Vec::new();
        for finding in json["findings"].as_array().expect("findings") {
            self.shows_itself(finding);
            if finding["severity"] != "info" {
                ids.push(finding["id"].as_str().expect("an identity").to_owned());
            }
        }
        assert_eq!(ran.code, i32::from(!ids.is_empty()), "{ran:?}");
        ids
    }

    fn shows_itself(&self, finding: &Value) {
        let text = |key: &str| finding[key].as_str().unwrap_or_else(|| panic!("{key}: {finding}"));
        let sql = text("sql");
        assert!(!rows(&self.workspace.path("a.db"), sql).is_empty(), "{sql} shows nothing");
        assert!(!text("expected").is_empty() && !text("found").is_empty());
        assert!(text("id").starts_with(text("check")), "{finding}");
        let words: Vec<&str> = text("help").split(' ').collect();
        assert_eq!(words[0], "windrow");
        let known = windrow::cli::command();
        if !text("help").contains('\'') && known.find_subcommand(words[1]).is_some() {
            let parsed = known.try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{}: {parsed:?}", text("help"));
        }
    }

    /// One finding in full.
    fn finding(&self, id: &str) -> Value {
        let json = self.check(&[]).json();
        let all = json["findings"].as_array().expect("findings");
        let found = all.iter().find(|finding| finding["id"] == id);
        found.unwrap_or_else(|| panic!("no {id} in {json}")).clone()
    }
}

#[test]
fn a_clean_archive_is_quiet_and_left_as_it_was() {
    let case = Case::synced(|_| {});
    let file = case.workspace.path("a.db");
    let before = std::fs::read(&file).expect("the archive");
    let ran = case.workspace.run(&["check"]).expect(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    assert_eq!(case.found(), [""; 0]);
    assert_eq!(case.check(&[]).json()["worst"], Value::Null);
    assert_eq!(std::fs::read(&file).expect("the archive"), before);
}

type Change = fn(&mut World);

/// What the API does wrong, and what is found.
const WRONG_AT_THE_SOURCE: [(&str, Change, &[&str]); 9] = [
    (
        "a day that a line lacks",
        |world| world.forget("SL-2", "2025-12-10"),
        &["missing_dates/usage/SL-2/2025-12-10"],
    ),
    (
        "ten times as much as ever",
        |world| world.record("SL-3", "2025-12-10").gb *= 10.0,
        &["spike/usage/SL-3/gb/2025-12-10"],
    ),
    (
        "as much on a quiet day as on a busy one",
        |world| world.record("SL-3", "2025-12-12").gb = 72.123_456,
        &["spike/usage/SL-3/gb/2025-12-12"],
    ),
    (
        "a day of nothing",
        |world| world.record("SL-1", "2025-12-12").gb = 0.0,
        &["drop/usage/SL-1/gb/2025-12-12"],
    ),
    (
        "a record under two keys",
        |world| {
            let copy = world.record("SL-1", "2025-12-01").clone();
            world.lines.push("SL-1b".to_owned());
            world.records.push(Record { id: "SL-1b".to_owned(), ..copy });
        },
        &["near_duplicates/usage/SL-1/2025-12-01"],
    ),
    (
        "a total that is wrong",
        |world| {
            world.wrong_total.insert("2025-12-03".to_owned(), 1);
        },
        &["count_mismatch/usage/2025-12-03..2025-12-04"],
    ),
    (
        "a record of another time",
        |world| {
            let record = Record::new("SL-1", "2027-01-01", 12.5, "2026-01-01T00:00:00Z");
            world.extra.insert("2025-12-01".to_owned(), record.json());
        },
        &["out_of_window/usage"],
    ),
    (
        "a number that is none",
        |world| {
            let record = r#"{"id":"SL-1","day":"2025-12-01","gb":"much"}"#;
            world.extra.insert("2025-12-01".to_owned(), record.to_owned());
        },
        &["drift/usage/retyped/gb", "rejects/usage/type"],
    ),
    (
        "a line that nobody knows",
        |world| {
            let at = "2026-01-01T00:00:00Z";
            world.records.push(Record::new("SL-7", "2025-12-01", 40.5, at));
        },
        &["orphans/usage/orphan"],
    ),
];

#[test]
fn what_the_source_does_wrong_is_found_where_it_is_and_nowhere_else() {
    for (name, change, expected) in WRONG_AT_THE_SOURCE {
        let found = Case::synced(change).found();
        assert_eq!(found, expected, "{name}");
    }
}

/// What happens to the archive, and what is found.
const WRONG_IN_THE_ARCHIVE: [(&str, &str, &[&str]); 7] = [
    (
        "doubled rows in a table that lost its constraint",
        "CREATE TABLE t AS SELECT * FROM usage;
         INSERT INTO t SELECT * FROM usage WHERE id = 'SL-2' AND day < '2025-11-29';
         DROP TABLE usage;
         ALTER TABLE t RENAME TO usage",
        &["duplicates/usage"],
    ),
    (
        "a window that was never read",
        "DELETE FROM _windrow_ledger WHERE start_at LIKE '2025-12-05%'",
        &["pending/usage/2025-12-05..2025-12-06"],
    ),
    (
        "a fetch that was broken off",
        "UPDATE _windrow_ledger SET state = 'partial', error = 'the source went away',
            source_total = NULL, distinct_keys = NULL WHERE start_at LIKE '2025-12-05%'",
        &["partial/usage/2025-12-05..2025-12-06"],
    ),
    (
        "a window that cannot be read",
        "UPDATE _windrow_ledger SET state = 'truncated', error = 'the source cuts results at 2 records'
            WHERE start_at LIKE '2025-12-05%'",
        &["truncated/usage/2025-12-05..2025-12-06"],
    ),
    (
        "a row that somebody deleted",
        "DELETE FROM usage WHERE id = 'SL-1' AND day = '2025-11-01'",
        &["fewer_rows/usage/2025-11-01..2025-11-02"],
    ),
    (
        "a clock that is wrong",
        "INSERT INTO _windrow_clocks VALUES ('s', -7200000, '2026-01-10T12:00:00+00:00')",
        &["clock/s"],
    ),
    (
        "missing days that were never read are no missing dates",
        "DELETE FROM _windrow_ledger WHERE start_at LIKE '2025-12-05%';
         DELETE FROM usage WHERE day = '2025-12-05'",
        &["pending/usage/2025-12-05..2025-12-06"],
    ),
];

#[test]
fn what_became_of_the_archive_is_found_where_it_is_and_nowhere_else() {
    for (name, sql, expected) in WRONG_IN_THE_ARCHIVE {
        let case = Case::synced(|_| {});
        case.meddle(sql);
        assert_eq!(case.found(), expected, "{name}");
    }
}

#[test]
fn the_story_of_the_doubled_days_is_told_in_a_line() {
    let case = Case::synced(|_| {});
    // A table of an old script: no constraint, and 28 days twice for one client.
    case.meddle(
        "CREATE TABLE history (line TEXT, day TEXT, gb REAL);
         INSERT INTO history SELECT id, day, gb FROM usage WHERE day < '2025-11-29';
         INSERT INTO history SELECT id, day, gb FROM usage WHERE day < '2025-11-29' AND id = 'SL-2'",
    );
    assert_eq!(case.found(), [""; 0], "nobody has said what its key is");
    let ran = case.check(&["--table", "history", "--key", "line,day"]).expect(1);
    let found = &ran.json()["findings"][0];
    assert_eq!(found["id"], "duplicates/history");
    let text = found["found"].as_str().expect("a text");
    assert!(
        text.starts_with("28 keys more than once, 28 rows too many: SL-2, 2025-11-01"),
        "{text}"
    );
    let listed = rows(&case.workspace.path("a.db"), found["sql"].as_str().expect("SQL"));
    assert_eq!(listed.len(), 28);
    assert!(listed.iter().all(|row| row.starts_with("SL-2|") && row.ends_with("|2")), "{listed:?}");
    case.define("", "\n[checks.old]\ntable = \"history\"\nkey = [\"line\", \"day\"]");
    assert_eq!(case.found(), ["duplicates/history"]);
    let wrong = case.check(&["--table", "history", "--key", "lime,day"]).expect(2);
    assert!(wrong.stderr.contains("did you mean `line`?"), "{wrong:?}");
    case.check(&["--table", "nothing", "--key", "id"]).expect(2);
}

#[test]
fn more_rows_than_the_source_has_is_the_alarm_of_the_field() {
    let case = Case::synced(|_| {});
    // The source gives a record another key, and has no more records than before.
    case.change(|world| {
        world.lines.push("SL-1x".to_owned());
        let record = world.record("SL-1", "2026-01-08");
        record.id = "SL-1x".to_owned();
        record.gb += 0.5;
    });
    case.workspace.run(&["sync"]).expect(0);
    assert_eq!(case.found(), ["more_rows/usage/2026-01-08..2026-01-09"]);
    let finding = case.finding("more_rows/usage/2026-01-08..2026-01-09");
    assert_eq!(finding["found"], "2026-01-08..2026-01-09: 4 rows");
    let expected = finding["expected"].as_str().expect("a text");
    assert!(expected.contains("3 came at the last fetch and 3 at the one before"), "{expected}");
}

#[test]
fn a_record_that_came_after_its_window_was_settled_is_too_late() {
    let mut case = Case::synced(|_| {});
    // On its way: within the lateness, a late record is nothing to be alarmed at.
    case.change(|world| {
        world.lines.push("SL-4".to_owned());
        let at = "2026-01-01T00:00:00Z";
        world.records.push(Record::new("SL-4", "2026-01-08", 40.25, at));
    });
    case.workspace.at("2026-01-11T12:00:00Z").run(&["sync"]).expect(0);
    assert_eq!(case.found(), [""; 0]);
    let info = case.finding("lateness/usage");
    assert_eq!(info["severity"], "info");
    assert!(info["found"].as_str().expect("a text").contains("a lateness of 3 days"), "{info}");
    // That its window is settled since changes nothing: it had come before.
    case.workspace.at("2026-01-14T12:00:00Z").run(&["sync"]).expect(0);
    assert_eq!(case.found(), [""; 0]);
    case.change(|world| {
        let at = "2026-01-01T00:00:00Z";
        world.records.push(Record::new("SL-4", "2025-12-30", 41.75, at));
    });
    let again = ["sync", "--from", "2025-12-30", "--to", "2025-12-31"];
    case.workspace.run(&again).expect(0);
    assert_eq!(case.found(), ["lateness/usage"]);
    let warning = case.finding("lateness/usage");
    let found = warning["found"].as_str().expect("a text");
    assert!(found.contains("1 of them after it was settled"), "{found}");
    assert!(found.contains("a lateness of 15 days"), "{found}");
    assert_eq!(warning["first"], "set `lateness = \"15 days\"` in the `window` of `usage`");
    // Once its window is read again and brings no more, it is mended, as the finding says.
    assert_eq!(warning["help"], "windrow sync usage --from 2025-12-30 --to 2025-12-31");
    case.workspace.at("2026-01-14T13:00:00Z").run(&again).expect(0);
    assert_eq!(case.found(), [""; 0]);
    assert_eq!(case.finding("lateness/usage")["severity"], "info");
}

#[test]
fn what_is_read_too_rarely_is_stale_and_since_when_is_a_choice() {
    let mut case = Case::synced(|world| world.forget("SL-2", "2025-12-10"));
    case.workspace.at("2026-01-14T12:00:00Z");
    assert_eq!(case.found(), ["stale/lines", "stale/usage", "missing_dates/usage/SL-2/2025-12-10"]);
    case.define("check = { max_age = \"5 days\" }", "");
    assert_eq!(case.found(), ["stale/lines", "missing_dates/usage/SL-2/2025-12-10"]);
    let only = |arguments: &[&str]| {
        let json = case.check(arguments).json();
        let all = json["findings"].as_array().expect("findings").iter();
        all.map(|it| it["id"].as_str().expect("an identity").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(only(&["usage"]), ["missing_dates/usage/SL-2/2025-12-10"]);
    assert_eq!(only(&["usage", "--since", "2025-12-10"]), ["missing_dates/usage/SL-2/2025-12-10"]);
    assert_eq!(only(&["usage", "--since", "2025-12-11"]), [""; 0]);
    assert_eq!(only(&["usage", "--since", "-20 days"]), [""; 0]);
    case.check(&["--since", "lately"]).expect(2);
    case.check(&["nothing"]).expect(2);
}

#[test]
fn the_exit_code_and_what_is_printed_go_by_severity() {
    let mut case = Case::synced(|world| world.forget("SL-2", "2025-12-10"));
    let ran = case.workspace.run(&["check"]).expect(1);
    let expected = "warning  missing_dates/usage/SL-2/2025-12-10
  expected a record for each date of the calendar daily (inferred: 98 % of this group's steps are)
  found    SL-2: 2025-12-10 is missing
  see      SELECT \"day\" FROM \"usage\" WHERE \"id\" IS 'SL-2' AND \"day\" >= '2025-12-09' AND \
        \"day\" < '2025-12-12' ORDER BY \"day\"
  help     windrow sync usage --from 2025-12-10 --to 2025-12-11
";
    assert_eq!(ran.stdout, expected);
    assert_eq!(case.workspace.run(&["check", "--fail-on", "error"]).expect(0).stdout, "");
    // The command that is told does mend it.
    case.change(|world| {
        world.records.push(Record::new("SL-2", "2025-12-10", gb(2, 39), "2026-01-01T00:00:00Z"));
    });
    let again = ["sync", "usage", "--from", "2025-12-10", "--to", "2025-12-11"];
    case.workspace.at("2026-01-10T13:00:00Z").run(&again).expect(0);
    case.workspace.run(&["check", "--fail-on", "error"]).expect(0);
    let left = case.check(&[]).json();
    assert_eq!(left["findings"][0]["check"], "lateness", "{left}");
}

#[test]
fn a_question_of_ones_own_is_asked_and_each_row_is_a_finding() {
    let case = Case::synced(|_| {});
    let plan = "\n[checks.plan]\nsql = \"\"\"\nSELECT id, round(sum(gb)) AS used -- of 1,000
FROM usage GROUP BY id HAVING used > %\"\"\"\nseverity = \"error\"\nhelp = \"windrow runs\"";
    case.define("", &plan.replace('%', "999999"));
    assert_eq!(case.found(), [""; 0]);
    case.define("", &plan.replace('%', "10"));
    assert_eq!(case.found(), ["sql/plan/SL-1", "sql/plan/SL-2", "sql/plan/SL-3"]);
    let finding = case.finding("sql/plan/SL-2");
    assert_eq!((&finding["severity"], &finding["help"]), (&"error".into(), &"windrow runs".into()));
    assert!(finding["found"].as_str().expect("a text").starts_with("id SL-2, used "), "{finding}");
    let text = case.workspace.run(&["check"]).expect(1).stdout;
    let shown =
        "  see      SELECT id, round(sum(gb)) AS used FROM usage GROUP BY id HAVING used > 10\n";
    assert!(text.contains(shown), "{text}");
    // Of the streams alone, nothing else is asked.
    case.check(&["usage"]).expect(0);
}

#[test]
fn a_question_that_would_write_is_refused_and_one_that_never_ends_is_interrupted() {
    let case = Case::synced(|world| world.forget("SL-2", "2025-12-10"));
    let before = case.workspace.digests();
    let ask = |sql: &str| {
        let text = toml::Value::String(sql.to_owned());
        case.define("", &format!("\n[checks.q]\nsql = {text}\nmax_time = \"200 ms\""));
        case.check(&[])
    };
    for (sql, why) in [
        ("DELETE FROM usage RETURNING id", "would change the archive"),
        ("DROP TABLE usage", "would change the archive"),
        ("PRAGMA user_version = 9", "would change the archive"),
        ("WITH t AS (SELECT 1) INSERT INTO usage SELECT * FROM usage", "would change the archive"),
        ("ATTACH 'x.db' AS x", "the check `q`"),
        ("VACUUM INTO 'copy.db'", "the check `q`"),
        ("SELECT 1; DELETE FROM usage", "several statements"),
        ("SELEC 1", "syntax error"),
        ("", "there is no query"),
    ] {
        let ran = ask(sql).expect(2);
        assert!(ran.stderr.contains(why) && ran.stdout.is_empty(), "{sql}: {ran:?}");
    }
    assert_eq!(case.workspace.digests(), before);
    assert!(!case.workspace.path("x.db").exists() && !case.workspace.path("copy.db").exists());
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) ";
    let ran = ask(&format!("{endless}SELECT i FROM n WHERE i < 0")).expect(1);
    let json = ran.json();
    let ids: Vec<&str> = json["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|it| it["id"].as_str())
        .collect();
    // What else there is to tell is told all the same.
    assert_eq!(ids, ["sql/q", "missing_dates/usage/SL-2/2025-12-10"]);
    let found = json["findings"][0]["found"].as_str().expect("a text");
    assert_eq!(found, "it did not end within 0.2 seconds and was interrupted");
    // And one that never stops answering is heard so far.
    let json = ask(&format!("{endless}SELECT i FROM n")).expect(1).json();
    assert_eq!(json["more"]["sql/q"], 900, "{}", json["more"]);
}

#[test]
fn a_declared_calendar_is_kept_to_and_a_wrong_one_told() {
    let every_tenth = |world: &mut World| {
        world.records.retain(|it| it.id == "SL-1" && it.day.ends_with('5'));
        world.forget("SL-1", "2025-12-15");
    };
    let case = Case::synced(every_tenth);
    assert_eq!(case.found(), [""; 0], "nothing regular to infer from");
    case.define("check = { calendar = \"monthly from day 15\" }", "");
    assert_eq!(case.found(), [""; 0]);
    case.change(|world| {
        world.records.retain(|it| it.day.as_str() < "2025-12-01" || it.day.as_str() > "2026-01-01")
    });
    let workspace = &case.workspace;
    std::fs::remove_file(workspace.path("a.db")).expect("the archive");
    workspace.run(&["sync"]).expect(0);
    // From 15 November to 14 December there are 15 and 25 November; then nothing up to 5 January.
    case.define("check = { calendar = \"monthly from day 1\" }", "");
    assert_eq!(case.found(), ["missing_dates/usage/SL-1/2025-12-01"]);
    case.define("check = { calendar = \"weekdays\", group = [] }", "");
    let ids = case.found();
    assert_eq!(ids[0], "missing_dates/usage/2025-11-06", "{ids:?}");
    case.define("check = { calendar = \"weekly\", values = [\"day\"], group = [\"idd\"] }", "");
    let told = case.check(&[]).expect(2).stderr;
    for part in ["`weekly` is not a calendar", "`day` is not a number", "did you mean `id`?"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn hostile_values_are_shown_harmless_and_their_sql_still_runs() {
    // As JSON writes it.
    let name = "x'; DROP TABLE usage; --\\u001b[31m\\n/%";
    let case = Case::synced(|world| {
        world.lines.push(name.to_owned());
        for day in (0..40).filter(|day| *day != 20) {
            let record = Record::new(name, &date(day), gb(9, day), "2026-01-01T00:00:00Z");
            world.records.push(record);
        }
    });
    let found = case.found();
    let id = "missing_dates/usage/x';%20DROP%20TABLE%20usage;%20--\\u{1b}[31m\\n%2F%25/2025-11-21";
    assert_eq!(found, [id]);
    let ran = case.workspace.run(&["check"]).expect(1);
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
    let sql = ran.stdout.lines().find_map(|line| line.strip_prefix("  see      ")).expect("SQL");
    assert_eq!(rows(&case.workspace.path("a.db"), sql), ["2025-11-20", "2025-11-22"]);
}

#[test]
fn a_check_waits_for_nobody_and_nobody_for_it() {
    let case = Case::synced(|world| world.forget("SL-2", "2025-12-10"));
    let file = case.workspace.path("a.db");
    let _lock = try_lock(&lock_path(&file), "a sync").expect("the lock");
    #[expect(clippy::disallowed_methods, reason = "stands for a sync in the middle of its work")]
    let writer = rusqlite::Connection::open(&file).expect("the archive");
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM usage").expect("a transaction");
    // What is not committed is not there.
    assert_eq!(case.found(), ["missing_dates/usage/SL-2/2025-12-10"]);
    writer.execute_batch("ROLLBACK").expect("nothing is in the way");
}

#[test]
fn the_clock_of_a_source_is_noted_by_a_sync() {
    let ahead = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_102_444_800);
    let date = httpdate::fmt_http_date(ahead);
    let api = Api::start(move |_, _| {
        answer("200 OK", &[("content-type", "application/json"), ("date", &date)], "{\"data\":[]}")
    });
    let workspace = Workspace::new(&crate::api::items_definition(&api.address, "", ""));
    let mut sync = workspace.command(&["sync"]);
    sync.env_remove("WINDROW_TEST_NOW");
    assert!(sync.output().expect("windrow starts").status.success());
    let skew: i64 =
        workspace.value("SELECT skew_ms FROM _windrow_clocks").parse().expect("a number");
    assert!(skew > 86_400_000, "{skew}");
    let json = workspace.run(&["check", "--json"]).expect(1).json();
    let clock =
        json["findings"].as_array().expect("findings").iter().find(|it| it["id"] == "clock/s");
    let found = clock.expect("a finding")["found"].as_str().expect("a text");
    assert!(found.contains("seconds behind the source's"), "{found}");
}

#[test]
fn a_child_stream_is_looked_at_parent_by_parent() {
    let api = Api::start(|asked, _| match asked.path() {
        "/lines" => json(r#"{"data":[{"id":"SL-1"},{"id":"SL-2"}]}"#),
        _ => json(r#"{"data":[{"n":1}]}"#),
    });
    let definition = format!(
        "{}\n[streams.notes]\nfor_each = \"items\"\npath = \"/notes/{{{{ parent.id }}}}\"\n\
         records = \"$.data[*]\"\nkey = [\"line\", \"n\"]\n\
         columns = {{ line = {{ type = \"text\", parent = \"id\" }}, n = \"integer\" }}\n",
        crate::api::items_definition(&api.address, "", "columns = { id = \"text\" }")
            .replace("/items", "/lines")
    );
    let workspace = Workspace::new(&definition);
    workspace.run(&["sync"]).expect(0);
    workspace.run(&["check"]).expect(0);
    let forget = "DELETE FROM _windrow_ledger WHERE partition = '\"SL-2\"' RETURNING stream";
    assert_eq!(rows(&workspace.path("a.db"), forget), ["notes"]);
    let json = workspace.run(&["check", "--json"]).expect(1).json();
    assert_eq!(json["findings"][0]["id"], "pending/notes/\"SL-2\"", "{json}");
}

#[test]
fn a_year_of_many_clean_series_makes_fewer_than_one_alarm_in_a_thousand_group_days() {
    let (lines, days) = (12, 400);
    let api = Api::start(move |asked, _| {
        let from = asked.parameter("from").unwrap_or_default();
        let to = asked.parameter("to").unwrap_or_default();
        let mut body = Vec::new();
        for day in (0..days).filter(|day| date(*day) >= from && date(*day) < to) {
            for line in 0..lines {
                // To two digits after the point, so that some are equal by chance.
                let gb = (gb(line, day) * 100.0).round() / 100.0;
                let id = format!("SL-{line}");
                body.push(Record::new(&id, &date(day), gb, "2026-01-01T00:00:00Z").json());
            }
        }
        json(&format!("{{\"data\":[{}],\"total\":{}}}", body.join(","), body.len()))
    });
    let text = definition(&api.address, "check = { max_age = \"70 days\" }", "")
        .replace("step = \"1 day\"", "step = \"1 month\"")
        .replace("references = { id = \"lines\" }\n", "");
    let mut workspace = Workspace::new(&text);
    workspace.at("2026-12-10T00:00:00Z").run(&["sync", "usage"]).expect(0);
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), (lines * days).to_string());
    let json = workspace.run(&["check", "usage", "--json"]).json();
    let alarms = json["findings"].as_array().expect("findings").len() as u64;
    assert!(alarms * 1000 < lines * days, "{alarms}: {json}");
}

#[test]
fn an_older_archive_is_looked_at_as_it_is() {
    let case = Case::synced(|world| world.forget("SL-2", "2025-12-10"));
    let archive = case.workspace.path("a.db");
    let before = std::fs::read(&archive).expect("the file");
    let mut reader = Reader::open_with(&archive, LATER).expect("an older archive");
    let host = Host::system(Stop::never());
    let limit = Limit::on(&mut reader, host.clock.clone(), Stop::never()).expect("a limit");
    let text = definition(&case.address, "", "");
    let definition = parse_definition("windrow.toml", &text).expect("a definition");
    let help_commands = HelpCommands::new(Vec::new(), "a.db".to_owned());
    let at = |day: &str| format!("{day}T00:00:00Z").parse().expect("a time");
    let options = CheckOptions {
        definition: Some(&definition),
        streams: &[],
        starts: BTreeMap::from([("usage".to_owned(), at(FIRST))]),
        since: None,
        tolerance: None,
        now: crate::harness::NOW.parse().expect("a time"),
        help_commands: &help_commands,
    };
    let report = check(&reader, &options, &limit).expect("it is looked through");
    let grave = report.findings.iter().filter(|finding| finding.severity != Severity::Info);
    let found: Vec<&str> = grave.map(|finding| finding.id.as_str()).collect();
    assert_eq!(found, ["missing_dates/usage/SL-2/2025-12-10"]);
    drop(reader);
    assert_eq!(std::fs::read(&archive).expect("the file"), before);
}

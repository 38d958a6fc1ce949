//! `history = true`, `windrow query --as-of` and `windrow diff`: what an archive said then, and
//! what became of it.

use crate::api::{Record, UsageApi, nine_days, usage_definition};
use crate::harness::Workspace;

const LATER: &str = "2026-01-11T12:00:00Z";

/// Two days of an API: on the second one SL-1 is corrected and a tenth day is there.
fn corrected(more: &str) -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let mut workspace = Workspace::new(&api.definition(more));
    workspace.sync();
    api.change(|records| {
        records[24].gb = 99.5;
        records.push(Record::new("SL-1", "2026-01-10", 10.5, "2026-01-11T00:00:00Z"));
    });
    workspace.at(LATER).sync();
    (api, workspace)
}

fn ask(workspace: &Workspace, sql: &str, when: &str) -> String {
    let ran = workspace.run(&["query", "-f", "csv", sql, "--as-of", when]).expect(0);
    ran.stdout.lines().nth(1).unwrap_or_default().to_owned()
}

#[test]
fn every_replaced_version_is_kept_with_the_time_it_was_true() {
    let (_api, workspace) = corrected("history = true");
    let columns = "id, day, gb, _revision, _run, _changed_at, _replaced_at, _replaced_run";
    assert_eq!(
        workspace.rows(&format!("SELECT {columns} FROM usage_history")),
        ["SL-1|2026-01-09|9.5|1|1|2026-01-10T12:00:00+00:00|2026-01-11T12:00:00+00:00|2"]
    );
    let sql = "SELECT strict FROM pragma_table_list WHERE name = 'usage_history'";
    assert_eq!(workspace.value(sql), "1");
    let (digest, history) = (workspace.digests(), workspace.rows("SELECT * FROM usage_history"));
    workspace.sync();
    assert_eq!(workspace.digests(), digest);
    assert_eq!(workspace.rows("SELECT * FROM usage_history"), history, "nothing was replaced");
    let triggers = "SELECT count(*) FROM sqlite_schema WHERE type IN ('trigger', 'view')";
    assert_eq!(workspace.value(triggers), "0", "a plain file");
}

#[test]
fn a_query_is_answered_from_what_the_archive_said_then() {
    let (_api, workspace) = corrected("history = true");
    let sum = "SELECT count(*), sum(gb), max(_changed_at) FROM usage";
    let first = "27,148.5,2026-01-10T12:00:00+00:00";
    let second = "28,249,2026-01-11T12:00:00+00:00";
    for (when, said) in [
        ("2026-01-09", "0,,"),
        ("0", "0,,"),
        ("2026-01-10T11:59:59Z", "0,,"),
        ("2026-01-10T12:00:00Z", first),
        ("2026-01-10", first),
        ("1", first),
        ("-1 hour", first),
        ("2026-01-11T12:00:00Z", second),
        ("2026-01-11", second),
        ("2", second),
        ("2036-01-01", second),
    ] {
        assert_eq!(ask(&workspace, sum, when), said, "{when}");
    }
    let join =
        "SELECT n.gb FROM usage n JOIN usage_history h USING (id, day) WHERE h._revision = 1";
    assert_eq!(ask(&workspace, join, "1"), "9.5", "a history can be asked for by name");
    let plan = workspace.run(&["query", "SELECT * FROM usage", "--as-of", "1", "--json"]).expect(0);
    assert_eq!(plan.json().as_array().map(Vec::len), Some(27));
}

#[test]
fn what_only_tells_of_now_is_refused_and_never_answered_wrongly() {
    let (_api, workspace) = corrected("history = true");
    #[expect(clippy::disallowed_methods, reason = "an analyst at work")]
    let analyst = rusqlite::Connection::open(workspace.path("a.db")).expect("the archive");
    let own = "CREATE VIEW days AS SELECT day FROM usage;
        CREATE VIEW counted AS SELECT count(*) FROM usage;
        CREATE TABLE plan (id, gb); INSERT INTO plan VALUES ('SL-1', 1)";
    analyst.execute_batch(own).expect("views and tables of the analyst's own");
    drop(analyst);
    for (sql, why) in [
        ("SELECT count(*) FROM main.usage", "`main.usage` is the table as it is now"),
        ("SELECT count(*) FROM days", "the view `days` reads `usage` as it is now"),
        ("SELECT * FROM counted", "the view `counted` reads `usage` as it is now"),
        ("SELECT count(*) FROM _windrow_runs", "`_windrow_runs` says only what is known now"),
        ("SELECT state FROM _windrow_ledger", "`_windrow_ledger` says only what is known now"),
    ] {
        let ran = workspace.run(&["query", sql, "--as-of", "1"]).expect(2);
        assert!(ran.stderr.contains(why), "{sql}: {ran:?}");
        assert_eq!(ran.stdout, "", "{sql}");
    }
    let join = "SELECT usage.gb FROM usage JOIN plan USING (id) WHERE day = '2026-01-09'";
    assert_eq!(ask(&workspace, join, "1"), "9.5", "tables of the analyst's own are at hand");
    for (when, why) in [
        ("3", "there is no run 3"),
        ("99999999999999999999", "there is no run"),
        ("soon", "neither a date"),
        ("2026-01-10T12:00:00", "has no offset"),
    ] {
        let ran = workspace.run(&["query", "SELECT 1", "--as-of", when]).expect(2);
        assert!(ran.stderr.contains(why), "{when}: {ran:?}");
        workspace.run(&["diff", "--since", when]).expect(2);
    }
}

#[test]
fn a_stream_without_a_history_is_refused() {
    let (_api, workspace) = corrected("");
    let ran = workspace.run(&["query", "SELECT count(*) FROM usage", "--as-of", "1"]).expect(2);
    assert_eq!(
        ran.stderr,
        "error: the stream `usage` has no history: only what it says now is known\n  help: ask \
         without `--as-of`, or about streams with `history = true`\n"
    );
    assert_eq!(workspace.value("SELECT count(*) FROM pragma_table_info('usage_history')"), "0");
}

#[test]
fn a_history_that_was_begun_later_answers_from_then_on_and_one_that_was_ended_no_more() {
    let (api, mut workspace) = corrected("");
    workspace.define(&api.definition("history = true"));
    workspace.at("2026-01-12T01:00:00Z").sync();
    api.change(|records| records[25].gb = 77.5);
    workspace.at("2026-01-12T12:00:00Z").sync();
    let sum = "SELECT sum(gb) FROM usage";
    assert_eq!(ask(&workspace, sum, "3"), "249");
    assert_eq!(ask(&workspace, sum, "2"), "249", "no row was written before it was begun");
    assert_eq!(ask(&workspace, sum, "2026-01-12T01:00:00Z"), "249");
    assert_eq!(ask(&workspace, sum, "2026-01-12"), "317");
    for when in ["1", "2026-01-11"] {
        let ran = workspace.run(&["query", sum, "--as-of", when]).expect(2);
        let why = "the history of the stream `usage` begins at 2026-01-12T01:00:00+00:00";
        assert!(ran.stderr.contains(why), "{when}: {ran:?}");
    }
    let ran = workspace.run(&["diff", "--since", "1"]).expect(1);
    assert!(ran.stderr.contains("the history of `usage` begins at"), "{ran:?}");
    workspace.define(&api.definition(""));
    workspace.sync();
    workspace.run(&["query", sum, "--as-of", "3"]).expect(2);
    assert_eq!(workspace.value("SELECT count(*) FROM usage_history"), "1", "nothing is lost");
}

#[test]
fn a_diff_lists_new_and_changed_rows_column_by_column() {
    let (_api, workspace) = corrected("history = true");
    let ran = workspace.run(&["diff", "--since", "1"]).expect(1);
    assert_eq!(
        ran.stdout,
        "~ usage SL-1 2026-01-09  gb 9.5 -> 99.5\n\
         + usage SL-1 2026-01-10  gb 10.5, updated_at 2026-01-11T00:00:00+00:00\n\
         1 inserted, 1 changed, 0 vanished\n"
    );
    assert_eq!(ran.stderr, "");
    let lines = workspace.run(&["diff", "--since", "1", "--json", "usage"]).expect(1).stdout;
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let key = serde_json::json!({"id": "SL-1", "day": "2026-01-09"});
    let gb = serde_json::json!({"gb": {"old": 9.5, "new": 99.5}});
    let first = serde_json::json!(
        {"stream": "usage", "change": "changed", "key": key, "columns": gb});
    assert_eq!(lines[0], first);
    assert_eq!(lines[1]["change"], "inserted");
    assert_eq!(lines[1]["values"]["gb"], 10.5);
    for since in ["2026-01-11", "2026-01-11T12:00:00Z", "-23 hours"] {
        assert_eq!(workspace.run(&["diff", "--since", since]).expect(1).stdout, ran.stdout);
    }
    for since in ["2", "2026-01-12", "2026-01-11T12:00:01Z"] {
        let none = workspace.run(&["diff", "--since", since]).expect(0);
        assert_eq!(none.stdout, "0 inserted, 0 changed, 0 vanished\n", "{since}");
    }
    let all = workspace.run(&["diff", "--since", "0"]).expect(1).stdout;
    assert!(all.ends_with("28 inserted, 0 changed, 0 vanished\n"), "{all}");
    let wrong = workspace.run(&["diff", "--since", "1", "usge"]).expect(2);
    assert!(wrong.stderr.contains("did you mean `usage`?"), "{wrong:?}");
}

#[test]
fn without_a_history_a_diff_says_what_it_can_and_what_it_cannot() {
    let (_api, workspace) = corrected("");
    let ran = workspace.run(&["diff", "--since", "1"]).expect(1);
    assert_eq!(
        ran.stdout,
        "~ usage SL-1 2026-01-09\n\
         + usage SL-1 2026-01-10  gb 10.5, updated_at 2026-01-11T00:00:00+00:00\n\
         1 inserted, 1 changed, 0 vanished\n"
    );
    assert!(ran.stderr.contains("`usage` has no history: its changed rows"), "{ran:?}");
    let lines = workspace.run(&["diff", "--since", "1", "--json"]).expect(1).stdout;
    assert!(lines.contains(r#""change":"changed""#) && lines.contains(r#""columns":null"#));
}

#[test]
fn a_column_that_is_added_is_filled_in_replaced_versions_too_and_makes_none() {
    let api = UsageApi::start(nine_days(), 50);
    let short = api.definition("history = true").replace("gb = \"real\"\n", "");
    let mut workspace = Workspace::new(&short);
    workspace.sync();
    api.change(|records| records[24].gb = 99.5);
    workspace.at(LATER).sync();
    let versions = "SELECT id, day, _rest, _replaced_at, _replaced_run FROM usage_history";
    assert_eq!(workspace.rows(versions).len(), 1);
    workspace.define(&api.definition("history = true"));
    workspace.at("2026-01-11T13:00:00Z").sync();
    assert_eq!(
        workspace.rows("SELECT id, day, gb, _rest FROM usage_history"),
        ["SL-1|2026-01-09|9.5|NULL"]
    );
    let sum = "SELECT count(*), sum(gb) FROM usage";
    assert_eq!(ask(&workspace, sum, "1"), "27,148.5");
    assert_eq!(ask(&workspace, sum, "2"), "27,238.5");
    // What comes next is kept as ever.
    api.change(|records| records[24].gb = 1.5);
    workspace.at("2026-01-11T14:00:00Z").sync();
    assert_eq!(workspace.rows(versions).len(), 2);
}

#[test]
fn a_history_grows_with_its_table_and_takes_no_table_of_the_analysts() {
    let api = UsageApi::start(nine_days(), 50);
    let short = api.definition("history = true").replace("gb = \"real\"\n", "");
    let mut workspace = Workspace::new(&short);
    workspace.sync();
    workspace.define(&api.definition("history = true"));
    workspace.at(LATER).run(&["sync", "--from", "2026-01-01"]).expect(0);
    let filled = "SELECT count(*), count(gb), count(_rest) FROM usage_history";
    assert_eq!(workspace.rows(filled), ["0|0|0"], "the source has said nothing new");
    assert_eq!(
        ask(&workspace, "SELECT count(*), count(gb), count(_rest) FROM usage", "1"),
        "27,27,0",
        "what was left over is filled in"
    );
    let taken = Workspace::new(&usage_definition(&api.api.address, ""));
    taken.sync();
    #[expect(clippy::disallowed_methods, reason = "an analyst at work")]
    let analyst = rusqlite::Connection::open(taken.path("a.db")).expect("the archive");
    analyst.execute_batch("CREATE TABLE usage_history (note)").expect("a table");
    drop(analyst);
    taken.define(&api.definition("history = true"));
    let ran = taken.run(&["sync"]).expect(2);
    assert!(ran.stderr.contains("a table `usage_history` that windrow did not make"), "{ran:?}");
    let both = api.definition("history = true")
        + "\n[streams.usage_history]\npath = \"/x\"\n\
        records = \"$[*]\"\nkey = \"id\"\n";
    let both = Workspace::new(&both).run(&["sync", "--dry-run"]).expect(2);
    assert!(both.stderr.contains("would be kept in the table of `usage_history`"), "{both:?}");
}

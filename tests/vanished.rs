//! `missing`, `deleted` and `windrow vanished`: rows that their source no longer returns.

use std::sync::{Arc, Mutex};

use crate::api::{Api, ItemsApi, Record, UsageApi, items_definition, json, nine_days};
use crate::harness::Workspace;

const HALF: &str = "missing = \"mark\"\nmissing_ratio_max = 0.5";
const GONE: &str = "SELECT id, day, _revision, _run, _deleted_at IS NOT NULL FROM usage
    WHERE id = 'SL-3' AND day = '2026-01-09'";

fn synced(more: &str) -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(more));
    workspace.sync();
    (api, workspace)
}

/// Takes SL-3 of 9 January away, and gives it back.
fn take_away(api: &UsageApi) -> Record {
    let mut taken = None;
    api.change(|records| taken = records.pop());
    taken.expect("27 records")
}

fn listed(workspace: &Workspace) -> Vec<String> {
    let ran = workspace.run(&["vanished"]).expect(0);
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn a_row_is_marked_once_two_fetches_in_a_row_have_missed_it_and_lives_when_it_comes_back() {
    let (api, workspace) = synced(HALF);
    let record = take_away(&api);
    workspace.sync();
    assert_eq!(workspace.rows(GONE), ["SL-3|2026-01-09|1|1|0"], "one fetch is not enough");
    let line = "missed  usage 'SL-3','2026-01-09'  first missed 2026-01-10, run 2";
    assert_eq!(listed(&workspace), [line]);
    let report = workspace.sync().json();
    assert_eq!(report["streams"][0]["vanished"], 1, "{report}");
    assert_eq!(workspace.rows(GONE), ["SL-3|2026-01-09|2|3|1"]);
    assert!(listed(&workspace)[0].starts_with("marked  usage 'SL-3'"));
    let before = workspace.rows("SELECT * FROM usage");
    workspace.sync();
    assert_eq!(workspace.rows("SELECT * FROM usage"), before, "nothing is done twice");
    api.change(|records| records.push(record));
    workspace.sync();
    assert_eq!(workspace.rows(GONE), ["SL-3|2026-01-09|3|5|0"]);
    assert_eq!(listed(&workspace), [""; 0]);
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
}

#[test]
fn a_fetch_that_returns_the_row_in_between_begins_the_count_anew() {
    let (api, workspace) = synced(HALF);
    for _ in 0..3 {
        let record = take_away(&api);
        workspace.sync();
        assert!(listed(&workspace)[0].starts_with("missed"));
        api.change(|records| records.push(record));
        workspace.sync();
        assert_eq!(listed(&workspace), [""; 0]);
    }
    assert_eq!(workspace.rows(GONE), ["SL-3|2026-01-09|1|1|0"]);
}

#[test]
fn more_than_the_ratio_of_a_window_is_left_alone_and_reported() {
    let (api, mut workspace) = synced("missing = \"mark\"\nmissing_min = 0");
    take_away(&api);
    workspace.sync();
    let report = workspace.sync().json();
    let stream = &report["streams"][0];
    assert_eq!((&stream["vanished"], &stream["held_back"]), (&0.into(), &1.into()), "{report}");
    assert!(listed(&workspace)[0].starts_with("held "));
    assert_eq!(workspace.rows(GONE), ["SL-3|2026-01-09|1|1|0"]);
    let page = workspace.run(&["sync"]).expect(0).stdout;
    assert!(page.contains("1 row of usage is missing at the source, more than"), "{page}");
    let page = workspace.run(&["status"]).expect(0).stdout;
    assert!(page.contains("! 1 row is missing at the source, too many at once"), "{page}");
    workspace.define(&api.definition(HALF));
    workspace.at("2026-01-10T13:00:00Z").sync();
    assert!(listed(&workspace)[0].starts_with("marked"));
}

#[test]
fn an_empty_answer_takes_nothing_away() {
    let (api, workspace) = synced("missing = \"delete\"\nmissing_ratio_max = 0.9");
    api.change(Vec::clear);
    for _ in 0..3 {
        workspace.sync();
    }
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_vanished WHERE state = 'held'"), "9");
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_vanished"), "9", "settled ones rest");
}

#[test]
fn a_deleted_row_is_in_the_history_and_comes_back_by_an_undo_for_good() {
    let (api, mut workspace) =
        synced("history = true\nmissing = \"delete\"\nmissing_ratio_max = 0.5");
    take_away(&api);
    workspace.at("2026-01-10T13:00:00Z").sync();
    workspace.at("2026-01-10T14:00:00Z").sync();
    assert_eq!(workspace.rows(GONE.replace("_deleted_at IS NOT NULL", "1").as_str()), [""; 0]);
    let version = "SELECT gb, _run, _changed_at, _replaced_at, _replaced_run FROM usage_history";
    let kept = "9.5|1|2026-01-10T12:00:00+00:00|2026-01-10T14:00:00+00:00|3";
    assert_eq!(workspace.rows(version), [kept]);
    let ran = workspace.run(&["diff", "--since", "2"]).expect(1);
    assert!(ran.stdout.starts_with("- usage SL-3 2026-01-09  gb 9.5"), "{ran:?}");
    let count = "SELECT count(*) AS n FROM usage";
    for (run, rows) in [("1", 27), ("2", 27), ("3", 26)] {
        let ran = workspace.run(&["query", "--json", count, "--as-of", run]).expect(0);
        assert_eq!(ran.json()[0]["n"], rows, "{run}");
    }
    let undo = workspace.at("2026-01-10T15:00:00Z").run(&["vanished", "--undo", "3"]).expect(0);
    assert_eq!(undo.stdout, "1 rows of usage brought back (run 4)\n".replace("rows", "row"));
    let row = "SELECT gb, _revision, _run, _first_seen_at FROM usage WHERE _run = 4";
    assert_eq!(workspace.rows(row), ["9.5|2|4|2026-01-10T12:00:00+00:00"]);
    let ran = workspace.run(&["diff", "--since", "1"]).expect(0);
    assert_eq!(ran.stdout, "0 inserted, 0 changed, 0 vanished\n");
    let ran = workspace.run(&["query", "--json", count, "--as-of", "3"]).expect(0);
    assert_eq!(ran.json()[0]["n"], 26, "what was gone then stays gone then");
    workspace.run(&["vanished", "--undo", "3"]).expect(2);
    workspace.run(&["vanished", "--undo", "99"]).expect(2);
    for _ in 0..3 {
        workspace.sync();
    }
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27", "a person has spoken");
    assert!(listed(&workspace)[0].starts_with("kept "));
}

#[test]
fn without_a_history_a_diff_still_knows_what_was_taken_away() {
    for action in ["mark", "delete"] {
        let more = format!("missing = \"{action}\"\nmissing_ratio_max = 0.5");
        let (api, mut workspace) = synced(&more);
        take_away(&api);
        workspace.at("2026-01-10T13:00:00Z").sync();
        workspace.at("2026-01-10T14:00:00Z").sync();
        let ran = workspace.run(&["diff", "--since", "1"]).expect(1);
        assert!(ran.stdout.starts_with("- usage SL-3 2026-01-09  gb 9.5"), "{action}: {ran:?}");
        assert!(ran.stdout.ends_with("\n0 inserted, 0 changed, 1 vanished\n"), "{action}: {ran:?}");
        workspace.run(&["diff", "--since", "3"]).expect(0);
    }
}

#[test]
fn a_mark_is_undone_too() {
    let (api, workspace) = synced(HALF);
    take_away(&api);
    workspace.sync();
    workspace.sync();
    let undo = workspace.run(&["vanished", "--undo", "3", "--json"]).expect(0).json();
    assert_eq!((&undo["stream"], &undo["rows"]), (&"usage".into(), &1.into()));
    assert_eq!(workspace.rows(GONE), ["SL-3|2026-01-09|3|4|0"]);
    workspace.sync();
    assert_eq!(workspace.rows(GONE), ["SL-3|2026-01-09|3|4|0"]);
}

#[test]
fn a_fetch_that_was_carried_on_saw_only_its_later_pages_and_judges_nothing() {
    let api = UsageApi::start(nine_days(), 2);
    // An answer's count is of all pages, and would be held against all of them.
    let more = "missing = \"mark\"\nmissing_ratio_max = 1.0\ntotal = \"none\"";
    let definition = api.definition(more);
    let workspace = Workspace::new(&definition.replace("2026-01-01", "2026-01-09"));
    workspace.run(&["sync", "--max-requests", "1"]).expect(3);
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "3");
    let of_the_9th =
        |asked: &crate::api::Asked| asked.parameter("from") == Some("2026-01-09".into());
    let cursors = api
        .api
        .log()
        .iter()
        .filter(|a| of_the_9th(a))
        .map(|a| a.parameter("cursor"))
        .collect::<Vec<_>>();
    assert_eq!(cursors, [None, Some("2".to_owned())], "the fetch was carried on");
    assert_eq!(listed(&workspace), [""; 0]);
}

/// An archive of these items.
fn items(records: &str, more: &str) -> (ItemsApi, Workspace) {
    let api = ItemsApi::start(records);
    let workspace = Workspace::new(&api.definition(more));
    workspace.sync();
    (api, workspace)
}

#[test]
fn a_record_that_came_as_a_reject_is_not_missing() {
    let whole = r#"{"id":"a","size":1},{"id":"b","size":2}"#;
    let (api, workspace) = items(whole, &format!("{HALF}\nmax_rejects = 9"));
    api.change(r#"{"id":"a","size":1},{"id":"b","size":"big"}"#);
    for _ in 0..3 {
        workspace.sync();
    }
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_rejects"), "1");
    assert_eq!(listed(&workspace), [""; 0]);
    api.change(r#"{"id":"a","size":1}"#);
    workspace.sync();
    workspace.sync();
    assert!(listed(&workspace)[0].starts_with("marked  items 'b'"));
}

#[test]
fn where_strays_come_the_field_does_not_tell_which_fetch_would_return_a_row() {
    let out_of_window = Arc::new(Mutex::new(true));
    let shared = Arc::clone(&out_of_window);
    let api = Api::start(move |asked, number| {
        let from = asked.parameter("from").unwrap_or_default();
        let row = |id: &str, day: &str| format!(r#"{{"id":"{id}","day":"{day}","gb":1.0}}"#);
        // What the fetch of the 8th returns is dated the 9th: the API goes by a time of its own.
        let out_of_window = *shared.lock().expect("no test panics in here");
        let data = match from.as_str() {
            "2026-01-08" if out_of_window => {
                format!("{},{}", row("x", "2026-01-09"), row("a", &from))
            }
            "2026-01-09" if number < 10 => format!("{},{}", row("a", &from), row("b", &from)),
            _ => row("a", &from),
        };
        json(&format!(r#"{{"data":[{data}],"next":null}}"#))
    });
    let definition =
        crate::api::usage_definition(&api.address, &format!("{HALF}\nmissing_min = 0"));
    let workspace = Workspace::new(&definition);
    for _ in 0..3 {
        workspace.sync();
    }
    assert_eq!(workspace.value("SELECT sum(out_of_window) FROM _windrow_ledger"), "1");
    assert_eq!(listed(&workspace), [""; 0]);
    *out_of_window.lock().expect("no test panics in here") = false;
    workspace.sync();
    workspace.sync();
    assert_eq!(listed(&workspace).len(), 2, "b and x of the 9th are more than half of it");
    assert!(listed(&workspace).iter().all(|line| line.starts_with("held")));
}

#[test]
fn a_tombstone_marks_its_row_and_leaves_what_it_does_not_say() {
    let live = r#"{"id":"a","name":"A","size":1,"x":1,"deleted":false},{"id":"b","size":2}"#;
    let (api, workspace) = items(live, "deleted = \"$.deleted\"\nhistory = true");
    let shown = "SELECT id, name, size, _rest, _revision, _deleted_at IS NOT NULL FROM items";
    let first = [r#"a|A|1|{"deleted":false,"x":1}|1|0"#.to_owned(), "b|NULL|2|NULL|1|0".to_owned()];
    assert_eq!(workspace.rows(shown), first);
    api.change(
        r#"{"id":"a","deleted":true},{"id":"b","size":2},{"id":"c","deleted":"2026-01-01"}"#,
    );
    let told = workspace.sync().json();
    assert_eq!(crate::harness::counts(&told, "items"), "3 1 1 1 0 0");
    let marked = [
        r#"a|A|1|{"deleted":true,"x":1}|2|1"#.to_owned(),
        "b|NULL|2|NULL|1|0".to_owned(),
        r#"c|NULL|NULL|{"deleted":"2026-01-01"}|1|1"#.to_owned(),
    ];
    assert_eq!(workspace.rows(shown), marked);
    let told = workspace.sync().json();
    assert_eq!(crate::harness::counts(&told, "items"), "3 0 0 3 0 0", "the same again is nothing");
    assert_eq!(workspace.rows(shown), marked);
    let ran = workspace.run(&["diff", "--since", "1"]).expect(1);
    assert!(ran.stdout.starts_with("- items a  name A"), "{ran:?}");
    assert!(ran.stdout.ends_with("0 inserted, 0 changed, 1 vanished\n"), "{ran:?}");
    api.change(live);
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id, _deleted_at FROM items WHERE id = 'a'"), ["a|NULL"]);
    assert_eq!(workspace.rows("SELECT name FROM items_history ORDER BY _revision"), ["A", "A"]);
}

#[test]
fn a_child_is_only_missed_by_a_fetch_for_its_own_parent() {
    let gone = Arc::new(Mutex::new(false));
    let shared = Arc::clone(&gone);
    let api = Api::start(move |asked, _| match asked.path() {
        "/lines" => json(r#"[{"id":"L1"},{"id":"L2"}]"#),
        "/lines/L1/days" if *shared.lock().expect("no test panics in here") => {
            json(r#"[{"day":"1"}]"#)
        }
        _ => json(r#"[{"day":"1"},{"day":"2"}]"#),
    });
    let definition = |columns: &str| {
        format!(
            "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n[streams.lines]\n\
             path = \"/lines\"\nrecords = \"$[*]\"\nkey = \"id\"\n[streams.days]\n\
             path = \"/lines/{{{{ parent.id }}}}/days\"\nrecords = \"$[*]\"\n\
             key = [\"line\", \"day\"]\nfor_each = \"lines\"\n{HALF}\n\
             [streams.days.columns]\n{columns}\nday = \"text\"\n",
            api.address
        )
    };
    let wrong = definition("line = { type = \"text\", path = \"$.l\" }");
    let ran = Workspace::new(&wrong).run(&["sync", "--dry-run"]).expect(2);
    assert!(ran.stderr.contains("no column holds its `id`"), "{ran:?}");
    let workspace = Workspace::new(&definition("line = { type = \"text\", parent = \"id\" }"));
    workspace.sync();
    *gone.lock().expect("no test panics in here") = true;
    workspace.sync();
    workspace.sync();
    assert_eq!(
        workspace.rows("SELECT line, day FROM days WHERE _deleted_at IS NOT NULL"),
        ["L1|2"]
    );
    assert_eq!(listed(&workspace).len(), 1);
}

#[test]
fn what_cannot_tell_of_missing_rows_is_refused() {
    let items = |more: &str| {
        let definition = items_definition("http://127.0.0.1:9", "", more);
        Workspace::new(&definition).run(&["sync", "--dry-run"]).expect(2).stderr
    };
    let cursor = "query = { since = \"{{ cursor }}\" }\nmissing = \"mark\"\n\
        [streams.items.cursor]\nfield = \"at\"\nstart = \"2026-01-01\"";
    assert!(items(cursor).contains("is told what changed and not what is there"));
    let ratio = items("missing = \"mark\"\nmissing_ratio_max = 5");
    assert!(ratio.contains("a share lies between 0 and 1"), "{ratio}");
    assert!(items("missing_ratio_max = 0.5").contains("needs `missing"));
    assert!(items("missing = \"remove\"").contains("is not a value of `missing`"));
    assert!(items("deleted = \"$.x[*]\"").contains("leads to one member"));
}

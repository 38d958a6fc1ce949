//! Snapshots, marks, parents, totals, caps: what each kind of stream promises.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::api::{Api, FAST, UsageApi, items_definition, json, nine_days, usage_definition};
use crate::harness::{Workspace, counts};

#[test]
fn a_usage_api_that_answers_a_map_is_one_definition() {
    let api = Api::start(|_, _| {
        json(
            r#"{"SL-1":{"plan":1000,"daily_usage":[{"date":"2026-01-01","gb":1.10},
            {"date":"2026-01-02","gb":2}]},"SL-2":{"plan":50,"daily_usage":[]}}"#,
        )
    });
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n[streams.usage]\npath = \"/u\"\n\
         records = \"$.*.daily_usage[*]\"\nkey = [\"line\", \"day\"]\n[streams.usage.columns]\n\
         line = {{ type = \"text\", member = \"$.*\" }}\n\
         day = {{ type = \"date\", path = \"$.date\" }}\n\
         plan = {{ type = \"integer\", ancestor = \"$.*\" }}\ngb = \"decimal\"\n",
        api.address
    );
    let workspace = Workspace::new(&definition);
    workspace.sync();
    assert_eq!(
        workspace.rows("SELECT line, day, plan, gb FROM usage ORDER BY day"),
        ["SL-1|2026-01-01|1000|1.10", "SL-1|2026-01-02|1000|2"]
    );
}

#[test]
fn a_hash_key_may_be_made_of_member_names() {
    let api = Api::start(|_, _| json(r#"{"SL-1":[{"d":"x"}],"SL-2":[{"d":"x"}]}"#));
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n[streams.usage]\n\
         path = \"/u\"\nrecords = \"$.*[*]\"\nkey = {{ hash = [\"line\", \"d\"] }}\n\
         columns = {{ line = {{ type = \"text\", member = \"$.*\" }}, d = \"text\" }}\n",
        api.address
    );
    let workspace = Workspace::new(&definition);
    workspace.sync();
    assert_eq!(workspace.rows("SELECT line FROM usage ORDER BY line"), ["SL-1", "SL-2"]);
}

#[test]
fn windows_that_cannot_be_read_never_keep_others_from_being_read() {
    let api = Api::start(|asked, _| {
        let day = asked.parameter("from").unwrap_or_default();
        if day.as_str() < "2026-02-01" {
            return crate::api::answer("404 Not Found", &[], "");
        }
        json(&format!(r#"{{"data":[{{"id":"x","day":"{day}","gb":1}}],"next":null}}"#))
    });
    let mut workspace = Workspace::new(&usage_definition(&api.address, ""));
    workspace.at("2026-02-10T12:00:00Z");
    for _ in 0..4 {
        workspace.run(&["sync"]).expect(5);
    }
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("left for the next sync: usage"), "{ran:?}");
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "10", "all days that can be read");
}

#[test]
fn parents_that_are_gone_never_keep_others_from_being_read() {
    let api = Api::start(|request, _| match request.path() {
        "/lines" => {
            let ids: Vec<String> = (0..30).map(|n| format!(r#"{{"id":{n}}}"#)).collect();
            json(&format!(r#"{{"data":[{}]}}"#, ids.join(",")))
        }
        "/lines/29" => json(r#"[{"id":1}]"#),
        _ => crate::api::answer("404 Not Found", &[], ""),
    });
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n{FAST}\n[streams.lines]\n\
         path = \"/lines\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n[streams.days]\n\
         for_each = \"lines\"\npath = \"/lines/{{{{ parent.id }}}}\"\nrecords = \"$[*]\"\n\
         key = \"id\"\n",
        api.address
    );
    let workspace = Workspace::new(&definition);
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("stream days 0 and 28 more: "), "{ran:?}");
    assert_eq!(workspace.value("SELECT count(*) FROM days"), "1");
}

#[test]
fn a_source_that_is_down_is_not_stormed_by_the_children_of_many_parents() {
    let api = Api::start(|request, _| match request.path() {
        "/lines" => {
            let ids: Vec<String> = (0..40).map(|n| format!(r#"{{"id":{n}}}"#)).collect();
            json(&format!(r#"{{"data":[{}]}}"#, ids.join(",")))
        }
        _ => crate::api::answer("503 Service Unavailable", &[], ""),
    });
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n{FAST}\n[streams.lines]\n\
         path = \"/lines\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n[streams.days]\n\
         for_each = \"lines\"\npath = \"/lines/{{{{ parent.id }}}}\"\nrecords = \"$[*]\"\n\
         key = \"id\"\n",
        api.address
    );
    let workspace = Workspace::new(&definition);
    let ran = workspace.run(&["sync"]).expect(3);
    assert!(ran.stderr.contains("left for the next sync: days"), "{ran:?}");
    assert_eq!(api.log().len(), 1 + 3 * 3, "three fetches of three attempts each");
}

#[test]
fn columns_are_inferred_once_and_every_digit_is_kept() {
    let api = Api::start(|_, _| {
        json(
            r#"{"data":[{"id":9007199254740993,"big":12345678901234567890123,"ok":true,"n":1.10,
            "when":"2026-01-01","tags":["a"],"na-me":7,"nothing":null}]}"#,
        )
    });
    let workspace = Workspace::new(&items_definition(&api.address, FAST, ""));
    workspace.sync();
    assert_eq!(
        workspace.value("SELECT id, big, ok, n, \"when\", tags, _rest FROM items"),
        "9007199254740993|12345678901234567890123|1|1.1|2026-01-01|[\"a\"]|{\"na-me\":7,\"nothing\":null}"
    );
    let stored = workspace.value("SELECT inferred, columns FROM _windrow_streams");
    assert!(stored.starts_with("1|[{\"name\":\"id\",\"type\":\"number\"}"), "{stored}");
    let digest = workspace.digests();
    workspace.sync();
    assert_eq!(workspace.digests(), digest);
}

#[test]
fn a_mark_moves_with_what_was_committed_and_never_into_the_future() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let api = Api::start(move |request, number| {
        log.lock().expect("no panic").push(request.parameter("since").unwrap_or_default());
        let at = ["2026-01-08T00:00:00Z", "2026-01-09T00:00:00Z", "2030-01-01T00:00:00Z"];
        let at = at[number.min(2)];
        json(&format!(r#"{{"data":[{{"id":{number},"at":"{at}"}}]}}"#))
    });
    let definition = items_definition(
        &api.address,
        FAST,
        "query = { since = \"{{ cursor }}\" }\n\
         cursor = { field = \"at\", start = \"2026-01-01\", overlap = \"1 hour\" }\n\
         columns = { id = \"integer\", at = \"timestamp\" }",
    );
    let workspace = Workspace::new(&definition);
    for _ in 0..4 {
        workspace.sync();
    }
    assert_eq!(
        *asked.lock().expect("no panic"),
        [
            "2026-01-01T00:00:00Z",
            "2026-01-07T23:00:00Z",
            "2026-01-08T23:00:00Z",
            "2026-01-10T11:00:00Z",
        ]
    );
}

#[test]
fn an_integer_mark_is_read_again_with_its_overlap() {
    let api = Api::start(|request, _| {
        let since: i64 = request.parameter("since").and_then(|s| s.parse().ok()).unwrap_or(0);
        let items: Vec<String> =
            (since..since + 5).map(|n| format!(r#"{{"id":{n},"seq":{n}}}"#)).collect();
        json(&format!(r#"{{"data":[{}]}}"#, items.join(",")))
    });
    let definition = items_definition(
        &api.address,
        FAST,
        "query = { since = \"{{ cursor }}\" }\ncursor = { field = \"seq\", start = 10, overlap = 2 }\n\
         columns = { id = \"integer\", seq = \"integer\" }",
    );
    let workspace = Workspace::new(&definition);
    assert_eq!(counts(&workspace.sync().json(), "items"), "5 5 0 0 0 0");
    assert_eq!(counts(&workspace.sync().json(), "items"), "5 2 0 3 0 0");
    let asked: Vec<_> = api.log().iter().filter_map(|a| a.parameter("since")).collect();
    assert_eq!(asked, ["10", "12"]);
}

#[test]
fn a_child_runs_once_for_each_row_of_its_parent() {
    let api = Api::start(|request, _| match request.path() {
        "/lines" => json(r#"{"data":[{"id":"a/1"},{"id":"b 2"}]}"#),
        "/lines/a%2F1/days" => json(r#"{"data":[{"day":"2026-01-01","gb":1}]}"#),
        "/lines/b%202/days" => json(r#"{"data":[{"day":"2026-01-01","gb":2}]}"#),
        other => panic!("{other}"),
    });
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n[streams.days]\n\
         for_each = \"lines\"\npath = \"/lines/{{{{ parent.id }}}}/days\"\nrecords = \"$.data[*]\"\n\
         key = [\"line\", \"day\"]\ncolumns = {{ line = {{ type = \"text\", parent = \"id\" }}, \
         day = \"date\", gb = \"real\" }}\n[streams.lines]\npath = \"/lines\"\n\
         records = \"$.data[*]\"\nkey = \"id\"\n",
        api.address
    );
    let workspace = Workspace::new(&definition);
    workspace.sync();
    assert_eq!(
        workspace.rows("SELECT line, day, gb FROM days ORDER BY line"),
        ["a/1|2026-01-01|1.0", "b 2|2026-01-01|2.0"]
    );
    assert_eq!(
        workspace.rows("SELECT partition FROM _windrow_ledger WHERE stream = 'days' ORDER BY 1"),
        ["\"a/1\"", "\"b 2\""]
    );
}

#[test]
fn an_orphan_is_kept_and_taken_up_once_its_parent_has_arrived() {
    let parents = Arc::new(Mutex::new(r#"{"data":[{"id":1}]}"#.to_owned()));
    let shared = Arc::clone(&parents);
    let api = Api::start(move |request, number| match request.path() {
        "/parents" => json(&shared.lock().expect("no panic")),
        _ if number > 2 => json(r#"{"data":[]}"#),
        _ => json(r#"{"data":[{"id":10,"of":1,"x":0.1},{"id":20,"of":2,"x":1.5}]}"#),
    });
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n[streams.parents]\n\
         path = \"/parents\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n[streams.kids]\npath = \"/kids\"\n\
         records = \"$.data[*]\"\nkey = \"id\"\nreferences = {{ of = \"parents\" }}\n\
         columns = {{ id = \"integer\", of = \"integer\", x = \"real\" }}\n",
        api.address
    );
    let workspace = Workspace::new(&definition);
    assert_eq!(counts(&workspace.sync().json(), "kids"), "2 1 0 0 0 1");
    let reject = workspace.value("SELECT kind, reason, record FROM _windrow_rejects");
    assert_eq!(
        reject,
        "orphan|column of: no row of `parents` has this key|{\"id\":20,\"of\":2,\"x\":1.5}"
    );
    *parents.lock().expect("no panic") = r#"{"data":[{"id":1},{"id":2}]}"#.to_owned();
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id, of, x FROM kids ORDER BY id"), ["10|1|0.1", "20|2|1.5"]);
    assert_eq!(workspace.value("SELECT count(*) FROM _windrow_rejects"), "0");
}

#[test]
fn of_several_orphans_of_one_key_the_newest_becomes_the_row() {
    let answers = [
        r#"{"data":[{"id":1,"of":2,"v":1}]}"#,
        r#"{"data":[{"id":1,"of":2,"v":3}]}"#,
        r#"{"data":[{"id":1,"of":2,"v":2}]}"#,
        r#"{"data":[]}"#,
    ];
    let kids = Arc::new(Mutex::new(answers.into_iter()));
    let parents = Arc::new(Mutex::new(r#"{"data":[{"id":1}]}"#.to_owned()));
    let shared = Arc::clone(&parents);
    let api = Api::start(move |request, _| match request.path() {
        "/parents" => json(&shared.lock().expect("no panic")),
        _ => json(kids.lock().expect("no panic").next().expect("an answer")),
    });
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n[streams.parents]\n\
         path = \"/parents\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n[streams.kids]\npath = \"/kids\"\n\
         records = \"$.data[*]\"\nkey = \"id\"\nversion = \"v\"\nreferences = {{ of = \"parents\" }}\n\
         columns = {{ id = \"integer\", of = \"integer\", v = \"integer\" }}\n",
        api.address
    );
    let workspace = Workspace::new(&definition);
    for _ in 0..3 {
        workspace.sync();
    }
    *parents.lock().expect("no panic") = r#"{"data":[{"id":1},{"id":2}]}"#.to_owned();
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id, v FROM kids"), ["1|3"]);
}

#[test]
fn one_parent_that_fails_does_not_keep_the_others_from_being_read() {
    let api = Api::start(|request, _| match request.path() {
        "/lines" => json(r#"{"data":[{"id":"a"},{"id":"b"}]}"#),
        "/lines/a" => crate::api::answer("500 Internal Server Error", &[], ""),
        _ => json(r#"[{"id":1}]"#),
    });
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n{FAST}\n[streams.lines]\n\
         path = \"/lines\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n[streams.days]\n\
         for_each = \"lines\"\npath = \"/lines/{{{{ parent.id }}}}\"\n\
         query = {{ from = \"{{{{ window.start }}}}\" }}\nrecords = \"$[*]\"\nkey = \"id\"\n\
         window = {{ field = \"id\", start = \"2026-01-01\", step = \"1 day\" }}\n",
        api.address
    );
    let definition = definition
        .replace(
            "\"id\"\nwindow",
            "\"id\"\ncolumns = { id = \"integer\", \
        at = \"date\" }\nwindow",
        )
        .replace("field = \"id\"", "field = \"at\"");
    let workspace = Workspace::new(&definition);
    workspace.run(&["sync"]).expect(3);
    let done = "SELECT count(*) FROM _windrow_ledger WHERE partition = '\"b\"' AND error IS NULL";
    assert_eq!(workspace.value(done), "10");
}

#[test]
fn one_parent_that_is_refused_keeps_neither_the_others_nor_the_next_stream_from_being_read() {
    let api = Api::start(|request, _| match request.path() {
        "/lines" => json(r#"{"data":[{"id":"a"},{"id":"b"}]}"#),
        "/lines/a" => crate::api::answer("403 Forbidden", &[], ""),
        _ => json(r#"[{"id":1}]"#),
    });
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n{FAST}\n[streams.lines]\n\
         path = \"/lines\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n[streams.days]\n\
         for_each = \"lines\"\npath = \"/lines/{{{{ parent.id }}}}\"\nrecords = \"$[*]\"\n\
         key = \"id\"\n[streams.last]\npath = \"/last\"\nrecords = \"$[*]\"\nkey = \"id\"\n",
        api.address
    );
    let workspace = Workspace::new(&definition);
    workspace.run(&["sync"]).expect(4);
    assert_eq!(workspace.value("SELECT count(*) FROM days"), "1");
    assert_eq!(workspace.value("SELECT count(*) FROM last"), "1");
}

#[test]
fn a_total_that_disagrees_keeps_the_window_partial_with_both_numbers() {
    let api = Api::start(|_, _| json(r#"{"data":[{"id":1},{"id":1},{"id":2}],"total":3}"#));
    let definition =
        items_definition(&api.address, FAST, "total = \"$.total\"\nreconcile_attempts = 2");
    let workspace = Workspace::new(&definition);
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("the source counts 3 records, 2 different ones came"), "{ran:?}");
    assert_eq!(api.log().len(), 2, "as often as reconcile_attempts says");
    assert_eq!(
        workspace.value("SELECT state, distinct_keys, source_total FROM _windrow_ledger"),
        "partial|2|3"
    );
}

#[test]
fn a_total_may_come_from_a_header_or_an_endpoint_and_counts_rejects() {
    let api = Api::start(|_, _| {
        crate::api::answer("200 OK", &[("X-Total", "2")], r#"{"data":[{"id":1},{"id":null}]}"#)
    });
    let definition =
        items_definition(&api.address, FAST, "max_rejects = 1\ntotal = { header = \"X-Total\" }");
    let workspace = Workspace::new(&definition);
    assert_eq!(counts(&workspace.sync().json(), "items"), "2 1 0 0 0 1");
    let api = Api::start(|request, _| match request.path() {
        "/count" => json(r#"{"n":1}"#),
        _ => json(r#"{"data":[{"id":1}]}"#),
    });
    let total = "total = { endpoint = \"/count\", value = \"$.n\" }";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, total));
    workspace.sync();
    assert_eq!(workspace.value("SELECT state, source_total FROM _windrow_ledger"), "complete|1");
}

#[test]
fn a_row_that_is_deleted_between_counted_pages_is_noticed_by_the_total_that_moves() {
    // 6 items; after the first page one of it is deleted, so that the third slips to page one.
    let api = Api::start(|request, number| {
        let gone = number > 0;
        let all: Vec<usize> = (0..6).filter(|n| !gone || *n != 0).collect();
        let at: usize = request.parameter("offset").and_then(|o| o.parse().ok()).unwrap_or(0);
        let page = &all[at.min(all.len())..(at + 2).min(all.len())];
        let items: Vec<String> = page.iter().map(|n| format!(r#"{{"id":{n}}}"#)).collect();
        json(&format!(r#"{{"data":[{}],"total":{}}}"#, items.join(","), all.len()))
    });
    let definition = items_definition(
        &api.address,
        FAST,
        "paginate = { kind = \"offset\", size = 2 }\ntotal = \"$.total\"",
    );
    let workspace = Workspace::new(&definition);
    workspace.sync();
    let ids = workspace.rows("SELECT id FROM items ORDER BY id");
    assert_eq!(ids, ["0", "1", "2", "3", "4", "5"], "no live row is missing");
}

#[test]
fn a_window_that_meets_the_cap_is_halved_until_it_does_not() {
    let records = nine_days();
    let api = Api::start(move |asked, _| {
        let from = asked.parameter("from").unwrap_or_default();
        let to = asked.parameter("to").unwrap_or_default();
        // Silently no more than ten records.
        let inside = records.iter().filter(|r| r.day >= from && r.day < to).take(10);
        let body: Vec<String> = inside.map(|record| record.json()).collect();
        json(&format!(r#"{{"data":[{}],"next":null}}"#, body.join(",")))
    });
    let definition = usage_definition(&api.address, "max_records = 10")
        .replace("step = \"1 day\"", "step = \"1 month\"");
    let workspace = Workspace::new(&definition);
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
    let most = "SELECT max(received) < 10, count(*) > 3 FROM _windrow_ledger";
    assert_eq!(workspace.value(most), "1|1");
}

#[test]
fn a_cap_is_met_also_by_a_fetch_that_was_broken_off() {
    let records: Vec<_> = (0..9)
        .map(|n| crate::api::Record::new(&format!("{n}"), "2026-01-02", 1.0, ""))
        .map(|record| crate::api::Record { updated_at: "2026-01-09T00:00:00Z".into(), ..record })
        .collect();
    let api = UsageApi::start(records, 2);
    let definition =
        api.definition("max_records = 9").replace("step = \"1 day\"", "step = \"1 month\"");
    let workspace = Workspace::new(&definition);
    workspace.run(&["sync", "--max-requests", "3"]).expect(3);
    workspace.run(&["sync"]).expect(5);
    let truncated = "SELECT start_at FROM _windrow_ledger WHERE state = 'truncated'";
    assert_eq!(workspace.rows(truncated), ["2026-01-02T00:00:00+00:00"]);
}

#[test]
fn a_window_that_cannot_be_halved_is_a_hole_and_never_done() {
    let api = Api::start(|asked, _| {
        let day = asked.parameter("from").unwrap_or_default();
        let items: Vec<String> = (0..10)
            .map(|n| format!(r#"{{"id":"{n}","day":"{day}","gb":1,"updated_at":null}}"#))
            .collect();
        json(&format!(r#"{{"data":[{}],"next":null}}"#, items.join(",")))
    });
    let definition = usage_definition(&api.address, "max_records = 10");
    let workspace = Workspace::new(&definition);
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("cuts results at 10 records"), "{}", ran.stderr);
    let help = "the smallest window that can be asked for is 1 day, and it reaches `max_records`;";
    assert!(ran.stderr.contains(help), "{}", ran.stderr);
    assert_eq!(workspace.rows("SELECT DISTINCT state FROM _windrow_ledger"), ["truncated"]);
    assert_eq!(workspace.value("SELECT count(*) > 0 FROM usage"), "1", "what came is kept");
}

/// An included end is asked for too: the records at it count towards the cap, and may hide one of
/// the window.
#[test]
fn a_cap_that_is_met_with_the_records_at_an_included_end_is_a_hole_with_the_way_out() {
    let api = Api::start(|asked, _| {
        let bound = |name: &str| asked.parameter(name).and_then(|text| text.parse::<i64>().ok());
        let (from, to) = (bound("from").unwrap_or(0), bound("to").unwrap_or(0));
        // Four records in each of two seconds, which a window parts.
        let seconds = [1_767_225_599_i64, 1_767_225_600];
        let inside = seconds.iter().filter(|at| from < **at && **at <= to);
        let rows =
            inside.flat_map(|at| (0..4).map(move |n| format!(r#"{{"id":"{at}-{n}","at":{at}}}"#)));
        let rows: Vec<String> = rows.take(6).collect();
        json(&format!(r#"{{"data":[{}]}}"#, rows.join(",")))
    });
    let definition = |more: &str| {
        format!(
            "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n{FAST}\n[streams.items]\n\
             path = \"/items\"\nrecords = \"$.data[*]\"\nkey = \"id\"\nmax_records = 6\n\
             query = {{ from = \"{{{{ window.start }}}}\", to = \"{{{{ window.end }}}}\" }}\n\
             [streams.items.window]\nfield = \"at\"\nstart = \"2025-12-31T00:00:00Z\"\n\
             step = \"1 day\"\nformat = \"unix\"\nbounds = \"(]\"\nlateness = \"0 days\"\n{more}\n\
             [streams.items.columns]\nid = \"text\"\nat = {{ type = \"timestamp\", format = \
             \"unix\" }}\n",
            api.address
        )
    };
    let workspace = Workspace::new(&definition(""));
    let ran = workspace.run(&["sync"]).expect(5);
    let help = "write `precision = \"1 second\"`";
    assert!(ran.stderr.contains(help), "{}", ran.stderr);
    assert_eq!(
        workspace.rows("SELECT start_at, end_at FROM _windrow_ledger WHERE state = 'truncated'"),
        ["2025-12-31T23:59:59+00:00|2026-01-01T00:00:00+00:00"]
    );
    let workspace = Workspace::new(&definition("precision = \"1 second\""));
    workspace.sync();
    assert_eq!(workspace.value("SELECT count(*) FROM items"), "8");
}

#[test]
fn bounds_are_rendered_as_the_api_reads_them() {
    let records = nine_days();
    let api = Api::start(move |asked, _| {
        let from = asked.parameter("from").unwrap_or_default();
        let to = asked.parameter("to").unwrap_or_default();
        let inside = records.iter().filter(|r| r.day >= from && r.day <= to);
        let body: Vec<String> = inside.map(|record| record.json()).collect();
        json(&format!(r#"{{"data":[{}],"next":null}}"#, body.join(",")))
    });
    let closed = usage_definition(&api.address, "")
        .replace("lateness =", "bounds = \"[]\"\nlateness =")
        .replace("step = \"1 day\"", "step = \"3 days\"");
    let workspace = Workspace::new(&closed);
    let report = workspace.sync().json();
    assert_eq!(counts(&report, "usage"), "27 27 0 0 0 0", "each day is asked for exactly once");
    let asked: Vec<String> = api
        .log()
        .iter()
        .map(|a| format!("{}..{}", a.parameter("from").unwrap(), a.parameter("to").unwrap()))
        .collect();
    assert_eq!(
        asked,
        [
            "2026-01-01..2026-01-03",
            "2026-01-04..2026-01-06",
            "2026-01-07..2026-01-09",
            "2026-01-10..2026-01-10"
        ]
    );
}

#[test]
fn a_start_that_counts_back_is_resolved_once() {
    let api = UsageApi::start(nine_days(), 50);
    let definition = api.definition("").replace("start = \"2026-01-01\"", "start = \"-3 days\"");
    let mut workspace = Workspace::new(&definition);
    workspace.sync();
    assert_eq!(
        workspace.value("SELECT start_at FROM _windrow_streams"),
        "2026-01-07T00:00:00+00:00"
    );
    workspace.at("2026-02-20T00:00:00Z");
    workspace.sync();
    let first = workspace.value("SELECT min(start_at) FROM _windrow_ledger");
    assert_eq!(first, "2026-01-07T00:00:00+00:00", "a later sync does not move it");
}

#[test]
fn both_ways_of_running_the_lanes_give_the_same_archive() {
    use windrow::digest::digest_tables;
    use windrow::host::{Host, Stop};
    use windrow::http::{HttpTransport, SecretValues, Transport};
    use windrow::store::{Archive, Opening, Reader};
    use windrow::sync::{Lanes, Silent, SyncOptions, SyncParts, sync, transports};
    let api = UsageApi::start(nine_days(), 2);
    let digest = |lanes: Lanes| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let definition = windrow::definition::parse_definition("w.toml", &api.definition(""));
        let definition = definition.expect("a definition");
        let host = Host {
            clock: Arc::new(windrow::host::SteadyClock::new(
                crate::harness::NOW.parse().expect("an instant"),
            )),
            ..Host::system(Stop::never())
        };
        let opening =
            Opening { note: "test", now: "now", allow_network_fs: false, files: &*host.files };
        let archive = Archive::open(&path, &opening).expect("an archive");
        let transports = transports(&definition, |source| {
            let http = HttpTransport::new(source.connect_timeout_ms, source.read_timeout_ms);
            http.map(|transport| Arc::new(transport) as Arc<dyn Transport>)
        });
        let parts = SyncParts {
            definition: &definition,
            host: &host,
            transports: transports.expect("transports"),
            secrets: SecretValues::default(),
            observer: &Silent,
        };
        sync(&archive, parts, &SyncOptions::default(), lanes).expect("synced");
        digest_tables(&Reader::open(&path).expect("a reader")).expect("digests")
    };
    assert_eq!(digest(Lanes::Overlapped), digest(Lanes::Interleaved));
}

#[test]
fn one_page_is_read_without_an_archive() {
    use windrow::host::{Host, Stop};
    use windrow::http::{Budget, HttpFetcher, HttpTransport, SecretValues, Transport};
    use windrow::sync::{pull_one_page, transports};
    let api = UsageApi::start(nine_days(), 1);
    let definition = windrow::definition::parse_definition("w.toml", &api.definition(""));
    let definition = definition.expect("a definition");
    let transports = transports(&definition, |source| {
        let http = HttpTransport::new(source.connect_timeout_ms, source.read_timeout_ms);
        http.map(|transport| Arc::new(transport) as Arc<dyn Transport>)
    });
    let (secrets, budget) = (SecretValues::default(), Budget::default());
    let host = Host::system(Stop::never());
    let mut fetcher =
        HttpFetcher::new(host, &definition, transports.expect("transports"), secrets, budget);
    let stream = definition.stream("usage").expect("a stream");
    let source = &definition.sources[&stream.source];
    let at = |text: &str| text.parse().expect("an instant");
    let range = windrow::model::Window::new(at("2026-01-03T00:00:00Z"), at("2026-01-04T00:00:00Z"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let now = at("2026-01-10T12:00:00Z");
    let pull = pull_one_page(&mut fetcher, (stream, source), None, range, now);
    let page = runtime.block_on(pull).expect("a page");
    assert!(page.request.contains("/usage?from=2026-01-03&to=2026-01-04"), "{}", page.request);
    assert_eq!(page.page.response.status, 200);
    assert_eq!((page.rows.received, page.rows.rows.len(), page.rows.rejects.len()), (1, 1, 0));
    assert!(!page.columns.is_empty());
    assert_eq!(api.api.log().len(), 1, "one request, and no more");
    let later = windrow::model::Window::new(at("2030-01-03T00:00:00Z"), at("2030-01-04T00:00:00Z"));
    let pull = pull_one_page(&mut fetcher, (stream, source), None, later, now);
    let error = runtime.block_on(pull).expect_err("nothing is due there");
    assert!(error.message.contains("no window of the stream"), "{}", error.message);
}

#[test]
fn an_orphan_before_rows_that_another_parent_gave_too_confuses_none_of_them() {
    let later = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&later);
    let api = Api::start(move |request, _| {
        // In the second run one row is changed and one is new: their revisions differ.
        let kids = match shared.load(Ordering::Relaxed) {
            false => r#"{"id":1,"of":1,"n":1}"#,
            true => r#"{"id":1,"of":1,"n":2},{"id":2,"of":1,"n":1}"#,
        };
        match request.path() {
            "/lines" => json(r#"{"data":[{"id":1},{"id":2}]}"#),
            "/lines/1" => json(&format!("[{kids}]")),
            _ => json(&format!(r#"[{{"id":9,"of":7,"n":1}},{kids}]"#)),
        }
    });
    let definition = format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{}\"\n{FAST}\n[streams.lines]\n\
         path = \"/lines\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n[streams.kids]\n\
         for_each = \"lines\"\npath = \"/lines/{{{{ parent.id }}}}\"\nrecords = \"$[*]\"\n\
         key = \"id\"\nreferences = {{ of = \"lines\" }}\nmax_rejects = 1\n\
         columns = {{ id = \"integer\", of = \"integer\", n = \"integer\" }}\n",
        api.address
    );
    let workspace = Workspace::new(&definition);
    assert_eq!(counts(&workspace.sync().json(), "kids"), "3 1 0 1 0 1");
    later.store(true, Ordering::Relaxed);
    assert_eq!(counts(&workspace.sync().json(), "kids"), "5 1 1 2 0 1");
    assert_eq!(workspace.rows("SELECT id, of, n FROM kids ORDER BY id"), ["1|1|2", "2|1|1"]);
}

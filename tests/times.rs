//! Times: of records, of bounds, of clocks. What an API means by a time is said, or nothing is lost
//! by it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::{Api, Reply, answer, items_definition, json};
use crate::harness::Workspace;

/// The instant of an RFC 3339 text.
fn instant(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap_or_else(|_| panic!("{text}")).to_utc()
}

fn written(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The records of these instants as a body, each with its place among them as its `id`.
fn body(records: &[(usize, DateTime<Utc>)]) -> String {
    let each: Vec<String> = records
        .iter()
        .map(|(id, at)| format!(r#"{{"id":{id},"at":"{}"}}"#, written(*at)))
        .collect();
    format!(r#"{{"total":{},"data":[{}]}}"#, records.len(), each.join(","))
}

/// An API of records at these instants, which picks them by the texts of the two bounds.
fn feed(
    instants: Vec<DateTime<Utc>>,
    picks: impl Fn(&str, &str, DateTime<Utc>) -> bool + Send + Sync + 'static,
) -> Api {
    Api::start(move |asked, _| {
        let bound = |name| asked.parameter(name).unwrap_or_default();
        let (from, to) = (bound("from"), bound("to"));
        let all = instants.iter().copied().enumerate();
        let picked: Vec<_> = all.filter(|(_, at)| picks(&from, &to, *at)).collect();
        json(&body(&picked))
    })
}

/// A stream of windows that begin on 1 January 2026; `window` goes into its table.
fn windowed(address: &str, window: &str, more: &str) -> String {
    let stream = format!(
        "query = {{ from = \"{{{{ window.start }}}}\", to = \"{{{{ window.end }}}}\" }}\n\
         window = {{ field = \"at\", start = \"2026-01-01\", {window} }}\n\
         columns = {{ id = \"integer\", at = \"timestamp\" }}\n{more}"
    );
    items_definition(address, "", &stream)
}

/// The problems of a definition as `message (help)`.
fn problems(definition: &str) -> Vec<String> {
    let ran = Workspace::new(definition).run(&["sync", "--dry-run", "--json"]);
    if ran.code == 0 {
        return Vec::new();
    }
    let found: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    let each = found["problems"].as_array().expect("problems").iter().map(|problem| {
        let help = problem["help"].as_str().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}{help}", problem["message"].as_str().expect("a message"))
    });
    each.collect()
}

fn one_problem(definition: &str) -> String {
    let found = problems(definition);
    assert_eq!(found.len(), 1, "{definition}: {found:?}");
    found.into_iter().next().expect("one")
}

/// The findings of `check` by these names, as `found` and `first`.
fn findings(workspace: &Workspace, check: &str) -> Vec<String> {
    let report = workspace.run(&["check", "--json"]).json();
    let all = report["findings"].as_array().expect("findings").iter();
    all.filter(|it| it["check"] == check)
        .map(|it| format!("{} {}", it["found"], it["first"]))
        .collect()
}

// --- Local times of records ---

/// A snapshot of records with local times; `column` is how the definition reads them.
fn local_times(times: &[&str], column: &str) -> (Api, Workspace) {
    let records: Vec<String> = times
        .iter()
        .enumerate()
        .map(|(id, at)| format!(r#"{{"id":{id},"at":"{at}"}}"#))
        .chain((100..130).map(|id| format!(r#"{{"id":{id},"at":null}}"#)))
        .collect();
    let all = format!(r#"{{"data":[{}]}}"#, records.join(","));
    let api = Api::start(move |_, _| json(&all));
    let workspace = Workspace::new(&local_definition(&api.address, column));
    (api, workspace)
}

fn local_definition(address: &str, column: &str) -> String {
    let columns =
        format!("columns = {{ id = \"integer\", at = {{ type = \"timestamp\", {column} }} }}");
    items_definition(address, "", &columns)
}

const KEPT: &str = "SELECT id, at FROM items WHERE at IS NOT NULL ORDER BY id";
const REASONS: &str = "SELECT kind, pointer, reason FROM _windrow_rejects ORDER BY reject_id";

#[test]
fn a_local_time_that_comes_twice_is_a_reject_that_names_both_instants() {
    let times = ["2026-10-25 00:59:59", "2026-10-25 01:30:00", "2026-10-25 02:00:00"];
    let (_api, workspace) = local_times(&times, "timezone = \"Europe/London\"");
    workspace.sync();
    let kept = ["0|2026-10-24T23:59:59+00:00", "2|2026-10-25T02:00:00+00:00"];
    assert_eq!(workspace.rows(KEPT), kept);
    let reasons = workspace.rows(REASONS);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].starts_with("ambiguous_time|/at|"), "{reasons:?}");
    for instant in ["2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"] {
        assert!(reasons[0].contains(instant), "{reasons:?}");
    }
    assert!(reasons[0].contains("`ambiguous = \"first\"`"), "{reasons:?}");
}

#[test]
fn a_local_time_that_never_is_is_a_reject_that_names_the_instants_around_the_gap() {
    let column = "timezone = \"America/New_York\", format = \"%d/%m/%Y %H:%M\"";
    let (_api, workspace) = local_times(&["08/03/2026 02:30", "08/03/2026 03:00"], column);
    workspace.sync();
    assert_eq!(workspace.rows(KEPT), ["1|2026-03-08T07:00:00+00:00"]);
    let reasons = workspace.rows(REASONS);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].starts_with("ambiguous_time|/at|"), "{reasons:?}");
    for instant in ["2026-03-08T06:30:00+00:00", "2026-03-08T07:30:00+00:00"] {
        assert!(reasons[0].contains(instant), "{reasons:?}");
    }
}

#[test]
fn a_column_says_which_of_two_instants_a_local_time_means() {
    let fold = "2026-10-25T02:30:00";
    let gap = "2026-03-29T02:30:00";
    for (which, instants) in [
        ("first", ["2026-10-25T00:30:00+00:00", "2026-03-29T01:30:00+00:00"]),
        ("second", ["2026-10-25T01:30:00+00:00", "2026-03-29T00:30:00+00:00"]),
    ] {
        let column = format!("timezone = \"Europe/Berlin\", ambiguous = \"{which}\"");
        let (_api, workspace) = local_times(&[fold, gap], &column);
        workspace.sync();
        let expected = [format!("0|{}", instants[0]), format!("1|{}", instants[1])];
        assert_eq!(workspace.rows(KEPT), expected, "{which}");
    }
}

#[test]
fn a_rejected_local_time_becomes_a_row_once_the_column_says_what_it_means() {
    let (api, workspace) = local_times(&["2026-10-25 01:30:00"], "timezone = \"Europe/London\"");
    workspace.sync();
    assert_eq!(workspace.rows(KEPT), [""; 0]);
    let column = "timezone = \"Europe/London\", ambiguous = \"second\"";
    workspace.define(&local_definition(&api.address, column));
    workspace.run(&["rejects", "retry"]).expect(0);
    assert_eq!(workspace.rows(KEPT), ["0|2026-10-25T01:30:00+00:00"]);
}

#[test]
fn a_key_that_says_which_instant_is_meant_is_for_local_times_only() {
    let plain = |column: &str| {
        let columns = format!("columns = {{ id = \"integer\", at = {{ {column} }} }}");
        one_problem(&items_definition("http://127.0.0.1:9", "", &columns))
    };
    assert_eq!(
        plain("type = \"date\", ambiguous = \"first\""),
        "only a timestamp has an `ambiguous`"
    );
    assert_eq!(
        plain("type = \"timestamp\", ambiguous = \"first\""),
        "`ambiguous` is about local times: it needs the column's `timezone`"
    );
    let found = plain("type = \"timestamp\", timezone = \"Europe/London\", ambiguous = \"frist\"");
    assert_eq!(found, "`frist` is not a value of `ambiguous` (did you mean `first`?)");
}

// --- Included upper bounds ---

/// Records of three days: some of each hour, and each day's last second.
fn days_with_a_last_second() -> Vec<DateTime<Utc>> {
    let first = instant("2026-01-01T00:00:00.400Z");
    let hours = (0..72).map(|hour| first + TimeDelta::hours(hour));
    let last = (1..=3).map(|day| first + TimeDelta::days(day) - TimeDelta::seconds(1));
    hours.chain(last).chain([instant("2026-01-02T00:00:00Z")]).collect()
}

fn all_of(instants: &[DateTime<Utc>]) -> String {
    instants.len().to_string()
}

/// Syncs a stream of three days and expects all records, and nothing to find.
fn expect_all(
    window: &str,
    picks: impl Fn(&str, &str, DateTime<Utc>) -> bool + Send + Sync + 'static,
) {
    let instants = days_with_a_last_second();
    let expected = all_of(&instants);
    let api = feed(instants, picks);
    let mut workspace = Workspace::new(&windowed(&api.address, window, "total = \"$.total\""));
    workspace.at("2026-01-04T00:00:00Z").sync();
    assert_eq!(workspace.value("SELECT count(*) FROM items"), expected, "{window}");
    assert_eq!(workspace.value("SELECT sum(out_of_window) FROM _windrow_ledger"), "0", "{window}");
    let checked = workspace.run(&["check"]);
    assert!(!checked.stdout.contains("out_of_window"), "{checked:?}");
    assert!(!checked.stdout.contains("_rows"), "{checked:?}");
    workspace.run(&["prove", "items"]).expect(0);
}

#[test]
fn an_included_upper_bound_that_is_coarser_than_the_records_loses_none() {
    expect_all("step = \"1 day\", bounds = \"[]\"", |from, to, at| {
        instant(from) <= at && at <= instant(to)
    });
    expect_all("step = \"1 day\", bounds = \"(]\"", |from, to, at| {
        instant(from) < at && at <= instant(to)
    });
    let seconds = |text: &str| text.parse::<i64>().expect("seconds") * 1000;
    expect_all("step = \"1 day\", bounds = \"[]\", format = \"unix\"", move |from, to, at| {
        (seconds(from)..=seconds(to)).contains(&at.timestamp_millis())
    });
}

#[test]
fn a_precision_that_is_written_out_and_a_date_are_asked_for_to_the_last_tick() {
    let asked = |window: &str, columns: &str| {
        let api = Api::start(|_, _| json(r#"{"data":[]}"#));
        let definition = windowed(&api.address, window, "")
            .replace("at = \"timestamp\"", &format!("at = \"{columns}\""));
        let mut workspace = Workspace::new(&definition);
        workspace.at("2026-01-02T00:00:00Z").sync();
        api.log()[0].parameter("to").expect("a bound")
    };
    let days = "step = \"1 day\", bounds = \"[]\", format = \"%Y-%m-%d\"";
    assert_eq!(asked(days, "date"), "2026-01-01");
    assert_eq!(asked(days, "timestamp"), "2026-01-02");
    let seconds = "step = \"1 day\", bounds = \"[]\", precision = \"1 second\"";
    assert_eq!(asked(seconds, "timestamp"), "2026-01-01T23:59:59Z");
    let millis = "step = \"1 day\", bounds = \"[]\", precision = \"1 ms\"";
    assert_eq!(asked(millis, "timestamp"), "2026-01-01T23:59:59.999Z");
}

/// Records of each 17 seconds of eight days, ten seconds around each midnight every 400 ms.
fn dense_days() -> Vec<DateTime<Utc>> {
    let first = instant("2026-01-01T00:00:00Z");
    let spread = (0..8 * 24).map(|hour| first + TimeDelta::minutes(60 * hour + 7));
    let around = (1..=8).flat_map(|day| {
        let midnight = first + TimeDelta::days(day);
        (-25..25).map(move |n| midnight + TimeDelta::milliseconds(400 * n + 150))
    });
    spread.chain(around).collect()
}

#[test]
fn a_last_tick_that_is_always_empty_is_a_finding() {
    let precise = "step = \"1 day\", bounds = \"[]\", precision = \"1 second\"";
    let api = feed(dense_days(), |from, to, at| instant(from) <= at && at <= instant(to));
    let mut workspace = Workspace::new(&windowed(&api.address, precise, ""));
    workspace.at("2026-01-10T00:00:00Z").sync();
    let found = findings(&workspace, "last_tick");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("precision"), "{found:?}");
    // An API that means the whole of the last second leaves nothing out, and nothing is said.
    let second = TimeDelta::seconds(1);
    let api =
        feed(dense_days(), move |from, to, at| instant(from) <= at && at < instant(to) + second);
    let mut workspace = Workspace::new(&windowed(&api.address, precise, ""));
    workspace.at("2026-01-10T00:00:00Z").sync();
    assert_eq!(findings(&workspace, "last_tick"), [""; 0]);
}

// --- Bounds that are compared as text ---

#[test]
fn records_that_are_missing_at_each_window_start_are_a_finding() {
    let hourly = || {
        let first = instant("2026-01-01T00:00:00Z");
        (0..24 * 9).map(move |hour| first + TimeDelta::hours(hour)).collect::<Vec<_>>()
    };
    let text = |from: &str, to: &str, at: DateTime<Utc>| {
        let at = written(at);
        from <= at.as_str() && at.as_str() <= to
    };
    let closed = "step = \"1 day\", bounds = \"[]\", precision = \"1 second\"";
    let check = |window: &str, spelling: &'static str| {
        let api = feed(hourly(), move |from, to, at| {
            let spelled = |bound: &str| bound.replace("+00:00", spelling);
            text(&spelled(from), &spelled(to), at)
        });
        let mut workspace = Workspace::new(&windowed(&api.address, window, ""));
        workspace.at("2026-01-10T00:00:00Z").sync();
        (workspace.value("SELECT count(*) FROM items"), findings(&workspace, "window_start"))
    };
    let (rows, found) = check(closed, "Z");
    assert_eq!(rows, (24 * 9 - 9).to_string());
    assert_eq!(found.len(), 1, "{found:?}");
    for word in ["overlap", "format"] {
        assert!(found[0].contains(word), "{found:?}");
    }
    // With a fraction in the bounds, as with an overlap, nothing is lost.
    let finer = "step = \"1 day\", bounds = \"[]\", precision = \"1 ms\", \
        format = \"%Y-%m-%dT%H:%M:%S%.3fZ\"";
    assert_eq!(check(finer, "Z"), ((24 * 9).to_string(), Vec::new()));
    let overlap = "step = \"1 day\", bounds = \"[]\", precision = \"1 second\", \
        overlap = \"1 minute\"";
    let (rows, found) = check(overlap, "Z");
    assert_eq!((rows, found), ((24 * 9 - 1).to_string(), Vec::new()));
}

// --- Formats ---

#[test]
fn a_format_is_known_by_its_finest_part() {
    let asked = |window: &str| {
        let api = Api::start(|_, _| json(r#"{"data":[]}"#));
        let mut workspace = Workspace::new(&windowed(&api.address, window, ""));
        workspace.at("2026-01-02T00:00:00Z").sync();
        api.log()[0].parameter("to").expect("a bound")
    };
    for (format, to) in [
        ("%s.%3f", "1767311999.999"),
        ("%Y-%m-%dT%H:%M:%S.%6fZ", "2026-01-01T23:59:59.999000Z"),
        ("%FT%T.%fZ", "2026-01-01T23:59:59.999000000Z"),
        ("%+", "2026-01-01T23:59:59.999+00:00"),
    ] {
        let window = format!(
            "step = \"1 day\", bounds = \"[]\", precision = \"1 ms\", format = \"{format}\""
        );
        assert_eq!(asked(&window), to, "{format}");
    }
}

#[test]
fn a_format_that_does_not_say_the_time_is_refused_with_the_reason() {
    let found = |format: &str| {
        let window = format!("step = \"1 day\", timezone = \"UTC\", format = \"{format}\"");
        one_problem(&windowed("http://127.0.0.1:9", &window, ""))
    };
    for (format, reason) in [
        ("%A", "cannot be read back"),
        ("%Y-%m-%d %I:%M", "cannot be read back"),
        ("%G-W%V", "cannot be read back"),
        ("%d.%m.", "cannot be read back"),
        ("%Y-%m-%dT%H:%M:%S %Z", "`%Z` writes the zone's name"),
        ("%Y-%m-%dT%H:%M:%S%#z", "`%#z` is for reading only"),
        ("%Y-%m-%dT%H:%M:%E", "`%E` is not a specifier"),
    ] {
        let found = found(format);
        assert!(found.contains(reason), "{format}: {found}");
    }
}

// --- Bounds without an offset ---

#[test]
fn bounds_without_an_offset_need_a_timezone() {
    let refused = "shows hours and no offset";
    for format in ["%Y-%m-%d %H:%M", "%Y%m%dT%H%M%S", "%c"] {
        let window = format!("step = \"1 day\", format = \"{format}\"");
        let found = one_problem(&windowed("http://127.0.0.1:9", &window, ""));
        assert!(found.contains(refused) && found.contains("timezone = \"UTC\""), "{found}");
        let said = format!("{window}, timezone = \"UTC\"");
        assert_eq!(problems(&windowed("http://127.0.0.1:9", &said, "")), [""; 0]);
    }
    let cursor = |more: &str| {
        let stream = format!(
            "query = {{ since = \"{{{{ cursor }}}}\" }}\n\
             cursor = {{ field = \"at\", start = \"2026-01-01\", {more} }}\n\
             columns = {{ id = \"integer\", at = \"timestamp\" }}"
        );
        items_definition("http://127.0.0.1:9", "", &stream)
    };
    let found = one_problem(&cursor("format = \"%Y-%m-%d %H:%M\""));
    assert!(found.contains(refused), "{found}");
    for good in [
        "format = \"%Y-%m-%d\"",
        "format = \"%Y-%m-%dT%H:%M:%SZ\"",
        "format = \"%Y-%m-%d %H:%M:%S %z\"",
        "format = \"unix\"",
    ] {
        assert_eq!(problems(&cursor(good)), [""; 0], "{good}");
    }
}

#[test]
fn a_format_that_says_utc_does_not_go_with_another_timezone() {
    let window = "step = \"1 day\", timezone = \"Europe/Berlin\", format = \"%Y-%m-%dT%H:%M:%SZ\"";
    let found = one_problem(&windowed("http://127.0.0.1:9", window, ""));
    assert!(found.contains("says UTC") && found.contains("Europe/Berlin"), "{found}");
}

#[test]
fn hours_of_a_zone_with_clock_changes_need_an_offset() {
    let window = |step: &str, format: &str, zone: &str| {
        let window = format!("step = \"{step}\", timezone = \"{zone}\", format = \"{format}\"");
        windowed("http://127.0.0.1:9", &window, "")
    };
    let local = "%Y-%m-%d %H:%M:%S";
    for (step, format, zone) in [
        ("1 hour", local, "Europe/Berlin"),
        ("15 minutes", "%Y%m%d%H%M", "America/New_York"),
        ("6 hours", local, "Australia/Lord_Howe"),
    ] {
        let found = one_problem(&window(step, format, zone));
        assert!(found.contains("comes twice") && found.contains("%z"), "{found}");
    }
    for (step, format, zone) in [
        ("1 hour", local, "Asia/Kolkata"),
        ("1 hour", local, "UTC"),
        ("1 hour", "%Y-%m-%d %H:%M:%S%z", "Europe/Berlin"),
        ("1 hour", "unix", "Europe/Berlin"),
        ("1 day", local, "Europe/Berlin"),
    ] {
        assert_eq!(problems(&window(step, format, zone)), [""; 0], "{step} {format} {zone}");
    }
}

#[test]
fn a_bound_in_an_hour_that_comes_twice_is_asked_for_beyond_it() {
    // Half past two on 25 October in Berlin, the second time: the open window ends in it.
    let api = Api::start(|_, _| json(r#"{"data":[]}"#));
    let window = "step = \"1 day\", timezone = \"Europe/Berlin\", format = \"%Y-%m-%d %H:%M:%S\"";
    let definition = windowed(&api.address, window, "").replace("2026-01-01", "2026-10-25");
    let mut workspace = Workspace::new(&definition);
    workspace.at("2026-10-25T01:30:00Z").sync();
    let log = api.log();
    let asked = log.last().expect("a request");
    assert_eq!(asked.parameter("from").as_deref(), Some("2026-10-25 00:00:00"));
    assert_eq!(asked.parameter("to").as_deref(), Some("2026-10-25 03:00:00"));
}

// --- Clocks ---

#[test]
#[expect(clippy::disallowed_methods, reason = "the source's clock is ahead of the real one")]
fn a_source_whose_clock_is_ahead_settles_nothing_that_has_not_ended_here() {
    let ahead = |hours: u64| -> (Workspace, Api) {
        let api = Api::start(move |_, _| -> Reply {
            let wait = std::time::Duration::from_secs(hours * 3600);
            let date = httpdate::fmt_http_date(std::time::SystemTime::now() + wait);
            let headers = [("content-type", "application/json"), ("date", date.as_str())];
            answer("200 OK", &headers, r#"{"data":[]}"#)
        });
        let window = "step = \"10 minutes\"";
        let definition =
            windowed(&api.address, window, "").replace("\"2026-01-01\"", "\"-1 hour\"");
        (Workspace::new(&definition), api)
    };
    for hours in [2, 14] {
        let (workspace, _api) = ahead(hours);
        let mut sync = workspace.command(&["sync"]);
        sync.env_remove("WINDROW_TEST_NOW");
        assert!(sync.output().expect("windrow starts").status.success());
        let mut again = workspace.command(&["sync"]);
        again.env_remove("WINDROW_TEST_NOW");
        assert!(again.output().expect("windrow starts").status.success());
        let now = written(Utc::now()).replace('Z', "+00:00");
        let early = format!(
            "SELECT start_at, end_at, requested_at FROM _windrow_ledger
             WHERE state = 'settled' AND end_at > '{now}' OR read_to > '{now}'"
        );
        assert_eq!(workspace.rows(&early), [""; 0], "{hours} hours");
        let settled = "SELECT count(*) > 0 FROM _windrow_ledger WHERE state = 'settled'";
        assert_eq!(workspace.value(settled), "1", "what has ended settles");
        let told = findings(&workspace, "clock");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("labelled GMT"), "{told:?}");
    }
}

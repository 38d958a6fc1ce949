//! `windrow demo`: the story ends well, and says so in figures.

use crate::harness::{Workspace, rows};

#[test]
fn the_demo_ends_with_an_archive_that_equals_the_api() {
    let workspace = Workspace::empty();
    let ran = workspace.run(&["demo", "--keep", "d", "--fast"]).expect(0);
    assert_eq!(ran.stdout.matches(" equal   ").count(), 4, "{}", ran.stdout);
    assert!(!ran.stdout.contains("DIFFERENT") && !ran.stdout.contains('\u{1b}'));
    assert!(ran.stdout.contains("kill -9 while a page was on its way"));
    assert!(ran.stdout.contains("an unchanged source: 0 rows written"));
    let archive = workspace.path("d/fleet.db");
    let doubled = "SELECT count(*) FROM
        (SELECT 1 FROM daily_usage GROUP BY service_line_id, usage_date HAVING count(*) > 1)";
    assert_eq!(rows(&archive, doubled), ["0"]);
    // Four clients, three lines each, 31 days.
    let october = "SELECT count(*) FROM daily_usage WHERE usage_date LIKE '2025-10-%'";
    assert_eq!(rows(&archive, october), ["372"]);
    // One run was killed, and everything it had made complete stayed.
    let killed = "SELECT state, message FROM _windrow_runs WHERE exit_code IS NULL";
    assert_eq!(rows(&archive, killed), ["interrupted|the process was killed"]);
    let status = workspace.run(&["status", "-d", "d/windrow.toml"]).expect(0);
    assert!(status.stdout.contains("daily_usage  windows of 7 days"), "{}", status.stdout);
    workspace.run(&["demo", "--keep", "d", "--fast"]).expect(8);
}

#[test]
fn the_demo_in_json_is_one_object() {
    let workspace = Workspace::empty();
    let end = workspace.run(&["demo", "--keep", "d", "--json"]).expect(0).json();
    assert_eq!(end["holds"], true);
    assert_eq!(end["days"], serde_json::json!([372, 372]));
    for total in end["totals"].as_array().expect("totals") {
        assert_eq!(total["truth_gb"], total["windrow_gb"]);
        let number = |name: &str| total[name].as_str().and_then(|t| t.parse::<f64>().ok());
        let script = number("script_gb").expect("a number") / number("truth_gb").expect("a number");
        assert!((1.8..2.2).contains(&script), "about double: {total}");
    }
}

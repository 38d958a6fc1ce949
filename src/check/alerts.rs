//! Which findings somebody is to be told of, and which are solved. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::Alert;
use crate::outbox::AlertRow;

use super::finding::{CheckReport, Finding, identity};

/// What a look can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertScope {
    /// Whether it looked at everything: only then is what it did not find not there.
    pub whole: bool,
    /// The count of changes when it began: what has changed since, it knows nothing of.
    pub as_of: i64,
}

/// What changes in what an alert knows, the gravest first, then what is solved. `rows` is what it
/// knows of the report's findings, and all that is not solved.
pub fn plan_alerts(
    alert: &Alert,
    report: &CheckReport,
    rows: &[AlertRow],
    scope: AlertScope,
) -> Vec<AlertRow> {
    let known: BTreeMap<&str, &AlertRow> =
        rows.iter().map(|row| (row.finding.as_str(), row)).collect();
    let overflow = report.overflow();
    let mut there = BTreeSet::new();
    let mut changed = Vec::new();
    for finding in report.findings.iter().chain(&overflow) {
        let told = finding.severity >= alert.severity
            && alert.covers(finding.check, &finding.stream)
            && there.insert(finding.id.as_str());
        let row = known.get(finding.id.as_str());
        if told && row.is_none_or(|row| row.solved && row.change <= scope.as_of) {
            let before = row.map_or(0, |row| row.episode);
            changed.push(opened(alert, finding, before.saturating_add(1)));
        }
    }
    let found: BTreeSet<&str> = report.findings.iter().map(|it| it.id.as_str()).collect();
    let is_solved = |row: &&AlertRow| {
        // Of what is only counted, or was not looked at to the end, nobody can say that it is gone.
        let whole = identity(&[&row.check, &row.stream]);
        let unsure = report.more.contains_key(&whole) || found.contains(whole.as_str());
        !row.solved
            && row.change <= scope.as_of
            && alert.covers(&row.check, &row.stream)
            && !there.contains(row.finding.as_str())
            && !unsure
    };
    let solved = rows.iter().filter(|row| scope.whole && is_solved(row));
    changed.extend(solved.map(|row| AlertRow { solved: true, ..row.clone() }));
    changed
}

fn opened(alert: &Alert, finding: &Finding, episode: u32) -> AlertRow {
    AlertRow {
        alert: alert.name.clone(),
        finding: finding.id.clone(),
        check: finding.check.to_owned(),
        stream: finding.stream.clone(),
        severity: finding.severity,
        expected: finding.expected.clone(),
        found: finding.found.clone(),
        help: finding.help.clone(),
        episode,
        solved: false,
        change: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Severity, WriteMethod};

    fn alert() -> Alert {
        Alert {
            name: "hook".to_owned(),
            source: "s".to_owned(),
            path: "/hook".to_owned(),
            method: WriteMethod::Post,
            severity: Severity::Warning,
            streams: Vec::new(),
            checks: Vec::new(),
            body: None,
            lane: None,
        }
    }

    fn finding(id: &str, severity: Severity) -> Finding {
        Finding {
            id: id.to_owned(),
            check: "spike",
            severity,
            stream: "usage".to_owned(),
            expected: String::new(),
            found: String::new(),
            sql: String::new(),
            help: String::new(),
            first: None,
            until: None,
        }
    }

    fn row(id: &str, episode: u32, solved: bool, change: i64) -> AlertRow {
        let new = opened(&alert(), &finding(id, Severity::Warning), episode);
        AlertRow { solved, change, ..new }
    }

    fn planned(alert: &Alert, ids: &[&str], rows: &[AlertRow], whole: bool) -> Vec<String> {
        let findings = ids.iter().map(|id| finding(id, Severity::Warning)).collect();
        let report = CheckReport { findings, more: BTreeMap::new() };
        let changed = plan_alerts(alert, &report, rows, AlertScope { whole, as_of: 5 });
        let state = |row: &AlertRow| if row.solved { "solved" } else { "found" };
        changed
            .iter()
            .map(|row| format!("{} {} {}", row.finding, row.episode, state(row)))
            .collect()
    }

    #[test]
    fn each_finding_is_told_once_and_again_when_it_is_solved() {
        let none = [""; 0];
        let alert = alert();
        assert_eq!(planned(&alert, &["a"], &[], true), ["a 1 found"]);
        assert_eq!(planned(&alert, &["a", "a"], &[], true), ["a 1 found"], "one identity");
        assert_eq!(planned(&alert, &["a"], &[row("a", 1, false, 1)], true), none);
        assert_eq!(planned(&alert, &[], &[row("a", 1, false, 1)], true), ["a 1 solved"]);
        assert_eq!(planned(&alert, &[], &[row("a", 1, false, 1)], false), none, "half a look");
        assert_eq!(planned(&alert, &[], &[row("a", 1, true, 1)], true), none);
        assert_eq!(planned(&alert, &["a"], &[row("a", 1, true, 1)], true), ["a 2 found"]);
    }

    #[test]
    fn a_look_that_began_before_a_change_does_not_undo_it() {
        assert_eq!(planned(&alert(), &["a"], &[row("a", 1, true, 6)], true), [""; 0]);
        assert_eq!(planned(&alert(), &[], &[row("a", 1, false, 6)], true), [""; 0]);
    }

    #[test]
    fn what_the_alert_is_not_about_is_neither_found_nor_solved() {
        let narrow = Alert { checks: vec!["drop".to_owned()], ..alert() };
        assert_eq!(planned(&narrow, &["a"], &[row("b", 1, false, 1)], true), [""; 0]);
        let grave = Alert { severity: Severity::Error, ..alert() };
        assert_eq!(planned(&grave, &["a"], &[], true), [""; 0]);
    }

    #[test]
    fn of_a_question_that_was_interrupted_nothing_is_solved() {
        let rows = [row("spike/usage/a", 1, false, 1)];
        assert_eq!(planned(&alert(), &["spike/usage"], &rows, true), ["spike/usage 1 found"]);
    }

    #[test]
    fn what_is_only_counted_is_one_finding_and_nothing_of_it_is_solved() {
        let findings = vec![finding("a", Severity::Warning)];
        let report =
            CheckReport { findings, more: BTreeMap::from([("spike/usage".to_owned(), 7)]) };
        let rows = [row("b", 1, false, 1)];
        let changed = plan_alerts(&alert(), &report, &rows, AlertScope { whole: true, as_of: 5 });
        let ids: Vec<&str> = changed.iter().map(|row| row.finding.as_str()).collect();
        assert_eq!(ids, ["a", "more/spike/usage"]);
        assert!(changed[1].found.starts_with("7 more"), "{changed:?}");
    }
}

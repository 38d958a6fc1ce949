//! What a check found: where, how grave, what was expected, and what mends it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::definition::Severity;
use crate::model::{Timestamp, instant_to_text, printable};

/// Findings of one check and stream that are kept: a person reads none of the later ones, and
/// memory must not grow with what is wrong. The rest is counted.
const KEPT_MAX: usize = 100;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The same for the same thing in every run: check, stream and place.
    pub id: String,
    /// Which check found it.
    pub check: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// The stream, table or source.
    pub stream: String,
    /// What should be there.
    pub expected: String,
    pub found: String,
    /// One SQL statement that shows it.
    pub sql: String,
    /// The command that mends it.
    pub help: String,
    /// What to do before the command is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The end of the time that it is about; none where it is not about a time.
    #[serde(skip)]
    pub until: Option<Timestamp>,
}

/// The identity of a finding: readable, on one line, with `/` between the parts alone.
pub fn identity(parts: &[&str]) -> String {
    parts.iter().map(|part| escaped(part)).collect::<Vec<_>>().join("/")
}

fn escaped(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for letter in part.chars() {
        let mut bytes = [0; 4];
        let text = letter.encode_utf8(&mut bytes);
        if matches!(letter, '/' | '%') || letter.is_whitespace() || printable(text) != *text {
            text.bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
        } else {
            out.push(letter);
        }
    }
    out
}

/// All that was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckReport {
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
    /// More of the same check and stream than are kept, by their names.
    pub more: BTreeMap<String, u64>,
}

impl CheckReport {
    /// The gravest of all.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// A finding for each check and stream of which more was found than is kept.
    pub fn overflow(&self) -> Vec<Finding> {
        let more = self.more.iter().filter_map(|(name, more)| {
            // The gravest come first.
            let kept = self.findings.iter().find(|finding| name_of(finding) == *name)?;
            Some(Finding {
                id: identity(&["more", kept.check, &kept.stream]),
                expected: format!("at most {KEPT_MAX} findings of {name}"),
                found: format!("{more} more than these"),
                first: None,
                until: None,
                ..kept.clone()
            })
        });
        more.collect()
    }

    /// How many there are of a severity, those that were not kept included.
    pub fn count(&self, severity: Severity) -> u64 {
        let of = |finding: &&Finding| finding.severity == severity;
        let kept = self.findings.iter().filter(of).count() as u64;
        let more = self.more.iter().filter(|(name, _)| {
            let mut kept = self.findings.iter().filter(of);
            kept.any(|finding| name_of(finding) == **name)
        });
        kept + more.map(|(_, count)| count).sum::<u64>()
    }
}

fn name_of(finding: &Finding) -> String {
    identity(&[finding.check, &finding.stream])
}

/// Takes findings as they come.
#[derive(Debug, Default)]
pub struct Collector {
    report: CheckReport,
    kept: BTreeMap<String, usize>,
    since: Option<Timestamp>,
}

impl Collector {
    /// Leaves out what lies wholly before `since`.
    pub fn new(since: Option<Timestamp>) -> Self {
        Self { since, ..Self::default() }
    }

    /// Takes a finding that does not end before `since`; beyond `KEPT_MAX` of a check and stream it
    /// is only counted.
    pub fn add(&mut self, finding: Finding) {
        if finding.until.zip(self.since).is_some_and(|(until, since)| until <= since) {
            return;
        }
        let name = name_of(&finding);
        let kept = self.kept.entry(name.clone()).or_default();
        if *kept == KEPT_MAX {
            *self.report.more.entry(name).or_default() += 1;
            return;
        }
        *kept += 1;
        self.report.findings.push(finding);
    }

    /// Where rows and rejects begin to count.
    pub fn since_text(&self) -> String {
        self.since.map(instant_to_text).unwrap_or_default()
    }

    /// All that was found, the gravest first.
    pub fn report(mut self) -> CheckReport {
        self.report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &str, severity: Severity, until: Option<&str>) -> Finding {
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
            until: until.and_then(crate::model::instant_from_text),
        }
    }

    #[test]
    fn an_identity_is_one_readable_line() {
        assert_eq!(identity(&["gap", "usage", "SL-1", "2025-10-10"]), "gap/usage/SL-1/2025-10-10");
        assert_eq!(identity(&["a/b", "c d", "\u{1b}[1m", "é"]), "a%2Fb/c%20d/%1B[1m/é");
    }

    #[test]
    fn what_is_too_much_is_counted_and_what_is_too_old_is_left_out() {
        let since = crate::model::instant_from_text("2026-01-05T00:00:00Z");
        let mut collector = Collector::new(since);
        collector.add(finding("old", Severity::Error, Some("2026-01-05T00:00:00Z")));
        collector.add(finding("new", Severity::Info, Some("2026-01-05T00:00:01Z")));
        for n in 0..KEPT_MAX + 5 {
            collector.add(finding(&n.to_string(), Severity::Warning, None));
        }
        let report = collector.report();
        assert_eq!(report.findings.len(), KEPT_MAX);
        assert_eq!(report.worst(), Some(Severity::Warning));
        assert_eq!(report.findings.last().map(|it| it.id.as_str()), Some("new"));
        assert_eq!(report.more.get("spike/usage"), Some(&6));
    }
}

//! What is told of findings, and under which keys. Pure.
//!
//! A key is made of the archive, the alert, the finding's identity, how often it has come, and
//! whether it has come or gone: whoever looks at the same time makes the same one.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::definition::{ALERT_VALUES, Alert, Severity, Source, TemplateValues, show_reference};
use crate::http::{SecretValues, fill_body};
use crate::model::{Timestamp, hexadecimal};
use crate::outbox::{AlertRow, NewEntry};

use super::request::{GivenRequest, QueueRefusal, prepare};

/// Findings that one look tells an alert of one by one: nobody reads more messages at once. The
/// rest is told in one.
pub const ALERTS_PER_CHECK_MAX: usize = 50;
/// How much is told of a value, characters: chats and pagers cut at a few thousand.
const VALUE_CHARS_MAX: usize = 2_000;
/// Hexadecimal digits of a hash that tell lanes apart.
const LANE_DIGITS: usize = 32;

/// A message of an alert about one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertNotice {
    pub key: String,
    /// Its lane: what is solved is told after what was found.
    pub lane: String,
    /// The values of the names in [`ALERT_VALUES`].
    pub values: BTreeMap<String, String>,
}

/// What is told of these changes; `archive` tells this archive from others.
pub fn alert_notices(alert: &Alert, archive: &str, changed: &[AlertRow]) -> Vec<AlertNotice> {
    let mut told = Vec::new();
    for solved in [false, true] {
        let rows: Vec<&AlertRow> = changed.iter().filter(|row| row.solved == solved).collect();
        let (each, rest) = rows.split_at(rows.len().min(ALERTS_PER_CHECK_MAX));
        told.extend(each.iter().map(|row| one(alert, archive, row)));
        told.extend(summary(alert, archive, solved, rest));
    }
    told
}

fn state_of(solved: bool) -> &'static str {
    if solved { "solved" } else { "found" }
}

fn key_of(alert: &Alert, archive: &str, row: &AlertRow) -> String {
    let (state, episode) = (state_of(row.solved), row.episode.to_string());
    let hash = hash(&[archive, &alert.name, &row.finding, &episode, state]);
    format!("alert-{state}-{hash}")
}

fn lane_of(alert: &Alert, archive: &str, about: &str) -> String {
    let own = || format!("alert-{}", &hash(&[archive, &alert.name, about])[..LANE_DIGITS]);
    alert.lane.clone().unwrap_or_else(own)
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hexadecimal(&hash.finalize())
}

fn values(state: &str, all: [&str; 7]) -> BTreeMap<String, String> {
    let all = [state].into_iter().chain(all);
    ALERT_VALUES.iter().zip(all).map(|(name, value)| ((*name).to_owned(), cut(value))).collect()
}

fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn one(alert: &Alert, archive: &str, row: &AlertRow) -> AlertNotice {
    let AlertRow { finding, check, stream, expected, found, help, .. } = row;
    let severity = row.severity.as_str();
    AlertNotice {
        key: key_of(alert, archive, row),
        lane: lane_of(alert, archive, finding),
        values: values(
            state_of(row.solved),
            [finding, check, severity, stream, expected, found, help],
        ),
    }
}

fn summary(alert: &Alert, archive: &str, solved: bool, rest: &[&AlertRow]) -> Option<AlertNotice> {
    let gravest: Severity = rest.iter().map(|row| row.severity).max()?;
    let keys: Vec<String> = rest.iter().map(|row| key_of(alert, archive, row)).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (state, most, more) = (state_of(solved), ALERTS_PER_CHECK_MAX, rest.len());
    let hash = hash(&keys);
    let all = [
        &format!("rest/{hash}"),
        "rest",
        gravest.as_str(),
        "",
        &format!("at most {most} findings at once, which are reported one by one"),
        &format!("{more} more are {state}"),
        "windrow check",
    ];
    Some(AlertNotice {
        key: format!("alert-{state}-{hash}"),
        lane: lane_of(alert, archive, "rest"),
        values: values(state, all),
    })
}

/// The entry that tells it. Secrets that an archive may hold are not told.
pub fn alert_entry(
    alert: &Alert,
    source: &Source,
    notice: &AlertNotice,
    secrets: &SecretValues,
    (owner, now): (&str, Timestamp),
) -> Result<NewEntry, QueueRefusal> {
    let clean = notice.values.iter().map(|(name, value)| (name.clone(), secrets.redact(value)));
    let values = TemplateValues { alert: clean.collect(), ..TemplateValues::default() };
    let body = match &alert.body {
        Some(body) => fill_body(body, &values, &show_reference).map_err(QueueRefusal::new)?,
        None => values.alert.iter().map(|(name, value)| (name.clone(), value.as_str())).collect(),
    };
    let given = GivenRequest {
        source,
        method: alert.method,
        path: &alert.path,
        headers: &[],
        body: Some(without_placeholders(&body)),
        key: &notice.key,
        lane: Some(&notice.lane),
        after: None,
        not_before: None,
        expires_at: None,
    };
    prepare(given, secrets, owner, now)
}

/// The JSON text in which no value can pass for a placeholder that the outbox would fill: two
/// braces in a row open nothing in JSON, so they stand in texts alone.
fn without_placeholders(body: &Value) -> Vec<u8> {
    body.to_string().replace("{{", "\\u007b\\u007b").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::parse_definition;

    const DEFINITION: &str = "[archive]\npath = \"a.db\"\n[sources.s]\n\
        base_url = \"https://a.example/\"\n[[alerts]]\npath = \"/hook\"\n";

    fn row(finding: &str, found: &str, solved: bool) -> AlertRow {
        AlertRow {
            alert: "/hook".to_owned(),
            finding: finding.to_owned(),
            check: "spike".to_owned(),
            stream: "usage".to_owned(),
            severity: Severity::Warning,
            expected: "less".to_owned(),
            found: found.to_owned(),
            help: "windrow sync".to_owned(),
            episode: 1,
            solved,
            change: 0,
        }
    }

    fn entry(more: &str, row: &AlertRow) -> Value {
        let definition = parse_definition("w", &format!("{DEFINITION}{more}")).expect("good");
        let (alert, source) = (&definition.alerts[0], &definition.sources["s"]);
        let notice = &alert_notices(alert, "2026", std::slice::from_ref(row))[0];
        let now = chrono::DateTime::from_timestamp(0, 0).expect("in range");
        let new = alert_entry(alert, source, notice, &SecretValues::default(), ("me", now));
        let new = new.expect("an entry");
        assert!(!new.templated, "{new:?}");
        serde_json::from_slice(&new.body.expect("a body")).expect("JSON")
    }

    #[test]
    fn whatever_a_finding_says_stays_text() {
        for wild in
            ["{{ result.k.id }}", "{{{{", "\"}, {\"a\": \"${env:HOME}", "{% for %}", "\u{1b}"]
        {
            assert_eq!(entry("", &row("a", wild, false))["found"], wild);
            let body = "body = { text = \"see {{ alert.found }}\" }\n";
            assert_eq!(entry(body, &row("a", wild, false))["text"], format!("see {wild}"));
        }
        let long = entry("", &row("a", &"é".repeat(9_000), false));
        let told = long["found"].as_str().map(|text| text.chars().count());
        assert_eq!(told, Some(VALUE_CHARS_MAX + 1));
    }

    #[test]
    fn the_default_body_has_exactly_what_can_be_told() {
        let body = entry("", &row("spike/usage/a", "much", true));
        let mut names: Vec<&str> = ALERT_VALUES.to_vec();
        names.sort_unstable();
        let have: Vec<&String> = body.as_object().expect("an object").keys().collect();
        assert_eq!(have, names);
        assert_eq!(body["state"], "solved");
        assert_eq!(body["id"], "spike/usage/a");
    }

    #[test]
    fn keys_differ_by_finding_episode_and_state_and_what_is_too_much_is_one_message() {
        let definition = parse_definition("w", DEFINITION).expect("good");
        let alert = &definition.alerts[0];
        let again = AlertRow { episode: 2, ..row("a", "", false) };
        let rows = [row("a", "", false), row("b", "", false), row("a", "", true), again];
        let mut keys: Vec<String> = rows.iter().map(|row| key_of(alert, "1", row)).collect();
        keys.push(key_of(alert, "2", &rows[0]));
        assert!(keys.iter().all(|key| key.len() < 100));
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
        let many: Vec<AlertRow> = (0..60).map(|n| row(&n.to_string(), "", false)).collect();
        let told = alert_notices(alert, "1", &many);
        assert_eq!(told.len(), ALERTS_PER_CHECK_MAX + 1);
        assert_eq!(told[ALERTS_PER_CHECK_MAX].values["found"], "10 more are found");
    }
}

//! What the words about alerts mean.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::stream::check_body;
use crate::definition::alert::{ALERT_VALUES, CHECK_NAMES};
use crate::definition::context::Context;
use crate::definition::raw::RawDefinition;
use crate::definition::raw_alerts::RawAlert;
use crate::definition::{Alert, KeyPlace, Severity, Source, Template, WriteMethod};

/// The longest name of a lane, characters: what the outbox takes (`outbox/request.rs`).
const LANE_CHARS_MAX: usize = 255;

pub(super) fn resolve_alerts(
    raw: &RawDefinition,
    sources: &BTreeMap<String, Source>,
    context: &mut Context<'_>,
) -> Vec<Alert> {
    let known = KnownNames::of(raw);
    let mut alerts: Vec<Alert> = Vec::new();
    for (number, alert) in raw.alerts.iter().enumerate() {
        let number = number.to_string();
        let resolved = resolve_alert(&number, alert, &known, context);
        let Some(resolved) = resolved else { continue };
        if let Some(source) = sources.get(&resolved.source) {
            check_key(&number, &resolved, source, context);
        }
        if alerts.iter().any(|have| have.name == resolved.name) {
            let key = if alert.name.is_some() { "name" } else { "path" };
            let message = format!("two alerts are remembered as `{}`", resolved.name);
            let help = "give each a `name` of its own".to_owned();
            context.report_help(&["alerts", &number, key], message, Some(help));
        }
        alerts.push(resolved);
    }
    alerts
}

/// What an alert may name.
struct KnownNames {
    sources: BTreeSet<String>,
    /// Whatever a finding can be about.
    about: BTreeSet<String>,
    checks: BTreeSet<String>,
}

impl KnownNames {
    fn of(raw: &RawDefinition) -> Self {
        let sources: BTreeSet<String> = raw.sources.keys().cloned().collect();
        let tables = raw.checks.values().filter_map(|check| check.table.clone());
        let about = raw.streams.keys().chain(raw.checks.keys()).cloned().chain(tables);
        let about = about.chain(sources.iter().cloned()).collect();
        let checks = CHECK_NAMES.iter().map(|name| (*name).to_owned()).collect();
        Self { sources, about, checks }
    }
}

fn resolve_alert(
    number: &str,
    raw: &RawAlert,
    known: &KnownNames,
    context: &mut Context<'_>,
) -> Option<Alert> {
    let at = |key: &'static str| ["alerts", number, key];
    if let Some(name) = &raw.name {
        context.check_name(&at("name"), name, "an alert");
    }
    let source = match (&raw.source, known.sources.len()) {
        (Some(name), _) if known.sources.contains(name) => Some(name.clone()),
        (Some(name), _) => {
            context.unknown(&at("source"), "the source", name, &known.sources);
            None
        }
        (None, 1) => known.sources.first().cloned(),
        (None, _) => {
            context.report(&at("source"), "the alert needs a `source`: there is more than one");
            None
        }
    };
    check_path(&at("path"), &raw.path, context);
    for name in raw.streams.iter().filter(|name| !known.about.contains(*name)) {
        context.unknown(&at("streams"), "the stream", name, &known.about);
    }
    for name in raw.checks.iter().filter(|name| !known.checks.contains(*name)) {
        context.unknown(&at("checks"), "the check", name, &known.checks);
    }
    if let Some(body) = &raw.body {
        check_texts(number, body, context);
    }
    if let Some(lane) = &raw.lane {
        let long = lane.chars().count() > LANE_CHARS_MAX;
        if lane.is_empty() || long || lane.chars().any(char::is_control) {
            let message = format!(
                "a lane's name has 1 to {LANE_CHARS_MAX} characters, and no control characters"
            );
            context.report(&at("lane"), message);
        }
    }
    Some(Alert {
        name: raw.name.clone().unwrap_or_else(|| raw.path.clone()),
        source: source?,
        path: raw.path.clone(),
        method: raw.method.unwrap_or(WriteMethod::Post),
        severity: raw.severity.unwrap_or(Severity::Warning),
        streams: raw.streams.clone(),
        checks: raw.checks.clone(),
        body: raw.body.clone(),
        lane: raw.lane.clone(),
    })
}

/// What the outbox would refuse later.
fn check_path(place: &[&str], path: &str, context: &mut Context<'_>) {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(&byte);
    let only_path = path.split('?').next().unwrap_or_default();
    let dots =
        |part: &str| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if !path.starts_with('/') {
        let message = format!("the path `{path}` does not begin with `/`");
        let help = "name the path alone: the source's `base_url` stands before it".to_owned();
        context.report_help(place, message, Some(help));
    } else if path.contains("{{") || path.contains("${") {
        context.report(place, "the path of an alert is the same for all findings: no placeholders");
    } else if !path.bytes().all(allowed) {
        context.report(place, format!("the path `{path}` has characters that no address has"));
    } else if only_path.starts_with("//") || only_path.split('/').any(dots) {
        context.report(place, format!("the path `{path}` leads out of the source's address"));
    }
}

fn check_texts(number: &str, body: &Value, context: &mut Context<'_>) {
    let place = ["alerts", number, "body"];
    let names = ALERT_VALUES.map(|name| format!("alert.{name}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    check_body(&place, body, &names, context);
    if has_secret(body) {
        let message = "a secret cannot stand in the body of an alert: the outbox keeps it";
        let help = "put it into the source's `auth` or `headers`".to_owned();
        context.report_help(&place, message.to_owned(), Some(help));
    }
}

fn has_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            Template::parse(text).is_ok_and(|template| template.secrets().next().is_some())
        }
        Value::Array(items) => items.iter().any(has_secret),
        Value::Object(members) => members.values().any(has_secret),
        _ => false,
    }
}

/// Whether the key finds its place.
fn check_key(number: &str, alert: &Alert, source: &Source, context: &mut Context<'_>) {
    let Some(rule) = &source.idempotency.key else { return };
    let taken = match (rule.place, &alert.body) {
        (KeyPlace::Body, Some(Value::Object(members))) => members.contains_key(&rule.name),
        (KeyPlace::Body, Some(_)) => {
            let message = "the source's key goes into the body, which is no JSON object";
            return context.report(&["alerts", number, "body"], message);
        }
        (KeyPlace::Body, None) => ALERT_VALUES.contains(&rule.name.as_str()),
        _ => false,
    };
    if taken {
        let message = format!("the body holds `{}`, which is where the key goes", rule.name);
        context.report(&["alerts", number, "body"], message);
    }
}

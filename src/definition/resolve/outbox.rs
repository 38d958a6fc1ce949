//! What the words about writes mean.

use crate::definition::context::Context;
use crate::definition::outbox::{KEY_LIFETIME_MS, LOOKUP_WAIT_MS};
use crate::definition::raw_outbox::{RawIdempotency, RawLookup};
use crate::definition::{
    Idempotency, KeyFormat, KeyPlace, KeyRule, Lookup, OnRejected, RequestTemplate, is_header_name,
};

/// Headers that say what a request is or who sends it, and never which write it is.
const NEVER_A_KEY: [&str; 7] = [
    "authorization",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "proxy-authorization",
    "transfer-encoding",
];

pub(super) fn resolve_idempotency(
    source: &str,
    raw: Option<&RawIdempotency>,
    context: &mut Context<'_>,
) -> Idempotency {
    let Some(raw) = raw else { return Idempotency::default() };
    let at = |key: &'static str| ["sources", source, "idempotency", key];
    let honoured = raw.honoured.unwrap_or(true);
    if !honoured {
        let said = [
            ("in", raw.place.is_some()),
            ("name", raw.name.is_some()),
            ("format", raw.format.is_some()),
            ("lifetime", raw.lifetime.is_some()),
            ("in_progress", raw.in_progress.is_some()),
        ];
        for (key, _) in said.into_iter().filter(|(_, said)| *said) {
            let message = format!("`{key}` is about keys, and `honoured = false` sends none");
            context.report(&at(key), message);
        }
    }
    for status in raw.in_progress.iter().flatten() {
        if !(400..500).contains(status) {
            let message = format!("{status} is not a status such as 409: write 400 to 499");
            context.report(&at("in_progress"), message);
        }
    }
    Idempotency {
        key: honoured.then(|| key_rule(source, raw, context)),
        lifetime_ms: context.millis(&at("lifetime"), raw.lifetime.as_deref(), KEY_LIFETIME_MS),
        in_progress: raw.in_progress.clone().unwrap_or_else(|| vec![409]),
        repeatable: raw.repeatable.clone(),
        on_rejected: raw.on_rejected.unwrap_or(OnRejected::Continue),
        lookup: raw.lookup.as_ref().and_then(|lookup| resolve_lookup(source, lookup, context)),
    }
}

fn key_rule(source: &str, raw: &RawIdempotency, context: &mut Context<'_>) -> KeyRule {
    let at = |key: &'static str| ["sources", source, "idempotency", key];
    let place = raw.place.unwrap_or(KeyPlace::Header);
    let usual = if place == KeyPlace::Header { "Idempotency-Key" } else { "idempotency_key" };
    let name = raw.name.clone().unwrap_or_else(|| usual.to_owned());
    if name.is_empty() {
        context.report(&at("name"), "the key needs a name");
    } else if place == KeyPlace::Header && !is_header_name(&name) {
        context.report(&at("name"), format!("`{name}` cannot be the name of a header"));
    } else if place == KeyPlace::Header && NEVER_A_KEY.contains(&name.to_ascii_lowercase().as_str())
    {
        context.report(&at("name"), format!("the header `{name}` cannot hold a key"));
    }
    if place != KeyPlace::Header && raw.format.is_some() {
        context.report(&at("format"), "`format` is for a header: elsewhere a key is plain");
    }
    let format = if place == KeyPlace::Header { raw.format } else { Some(KeyFormat::Plain) };
    KeyRule { place, name, format: format.unwrap_or(KeyFormat::Structured) }
}

fn resolve_lookup(source: &str, raw: &RawLookup, context: &mut Context<'_>) -> Option<Lookup> {
    let at = |key: &'static str| ["sources", source, "idempotency", "lookup", key];
    let path = context.template(&at("path"), &raw.path, &["key"]);
    let query = context.parameters(&at("query"), &raw.query, &["key"]);
    let uses_key = |template: &crate::definition::Template| !template.names().is_empty();
    if path.as_ref().is_some_and(|path| !uses_key(path)) && !query.iter().any(|(_, t)| uses_key(t))
    {
        let message = "the lookup does not ask for the entry: `{{ key }}` is nowhere in it";
        context.report(&at("path"), message);
    }
    let found = raw.found.as_deref().map(|text| context.path(&at("found"), text));
    let wait_ms = context.millis(&at("wait"), raw.wait.as_deref(), LOOKUP_WAIT_MS);
    let request =
        RequestTemplate { post: false, path: path?, query, headers: Vec::new(), body: None };
    Some(Lookup { request, found: found.flatten(), wait_ms })
}

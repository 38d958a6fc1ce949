//! What a source means.

use url::Url;

use super::outbox::resolve_idempotency;
use super::parts::{parse_rate, parse_size};
use crate::definition::auth::resolve_auth;
use crate::definition::context::Context;
use crate::definition::raw::{RawRetry, RawSource};
use crate::definition::{
    ATTEMPTS_MAX, Auth, BODY_BYTES_LIMIT, BODY_BYTES_MAX, BODY_RATIO_MAX, CONNECT_TIMEOUT_MS,
    READ_TIMEOUT_MS, RetryPolicy, Source,
};

/// The default of `retry.base`, milliseconds: a shorter one adds load to a source that is
/// overloaded, a longer one delays the fetch after a lost packet.
const RETRY_BASE_MS: i64 = 1_000;
/// The default of `retry.max_wait`, milliseconds: a person still believes in the command.
const RETRY_WAIT_MS_MAX: i64 = 60_000;

pub(super) fn resolve_source(
    name: &str,
    raw: &RawSource,
    context: &mut Context<'_>,
) -> Option<Source> {
    let at = |key: &'static str| ["sources", name, key];
    let base_url = base_url(&at("base_url"), &raw.base_url, context);
    let auth = raw.auth.as_ref().map_or(Auth::None, |auth| resolve_auth(name, auth, context));
    let mut headers = Vec::new();
    for (header, value) in &raw.headers {
        let place = ["sources", name, "headers", header];
        context.check_credential(&place, header, value);
        headers.extend(context.template(&place, value, &[]).map(|t| (header.clone(), t)));
    }
    let rate = raw.rate.as_deref().and_then(|text| context.take(&at("rate"), parse_rate(text)));
    let size = raw.max_body.as_deref();
    let size = size.and_then(|text| context.take(&at("max_body"), parse_size(text)));
    if size.is_some_and(|size| size > BODY_BYTES_LIMIT) {
        context.report(&at("max_body"), "an answer is kept in memory: at most `1 GiB`");
    }
    if raw.max_ratio == Some(0) {
        context.report(&at("max_ratio"), "an answer is at least as large as it came");
    }
    let timeouts = (
        context.millis(&at("connect_timeout"), raw.connect_timeout.as_deref(), CONNECT_TIMEOUT_MS),
        context.millis(&at("read_timeout"), raw.read_timeout.as_deref(), READ_TIMEOUT_MS),
    );
    let retry = resolve_retry(name, raw.retry.as_ref(), context);
    let idempotency = resolve_idempotency(name, raw.idempotency.as_ref(), context);
    Some(Source {
        name: name.to_owned(),
        base_url: base_url?,
        auth,
        headers,
        rate,
        short_secrets: raw.short_secrets,
        allow_hosts: raw.allow_hosts.iter().map(|host| host.to_lowercase()).collect(),
        connect_timeout_ms: timeouts.0,
        read_timeout_ms: timeouts.1,
        body_bytes_max: size.unwrap_or(BODY_BYTES_MAX),
        body_ratio_max: raw.max_ratio.unwrap_or(BODY_RATIO_MAX),
        declared_format: raw.content_type,
        retry,
        idempotency,
    })
}

fn base_url(place: &[&str], text: &str, context: &mut Context<'_>) -> Option<Url> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not an address: {error}"));
    let url = context.take(place, url)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        context.report(place, "an address starts with `https://` or `http://` and has a host");
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        let message = "the address holds a user name or password".to_owned();
        let help = "use `auth = { kind = \"basic\", … }` with `${env:NAME}`".to_owned();
        context.report_help(place, message, Some(help));
    }
    if url.query().is_some() || url.fragment().is_some() {
        context
            .report(place, "the base address cannot have a query: put it in the stream's `query`");
    }
    Some(url)
}

fn resolve_retry(source: &str, raw: Option<&RawRetry>, context: &mut Context<'_>) -> RetryPolicy {
    let none = RawRetry::default();
    let raw = raw.unwrap_or(&none);
    let at = |key: &'static str| ["sources", source, "retry", key];
    RetryPolicy {
        attempts: raw.attempts.unwrap_or(ATTEMPTS_MAX),
        base_ms: context.millis(&at("base"), raw.base.as_deref(), RETRY_BASE_MS),
        wait_ms_max: context.millis(&at("max_wait"), raw.max_wait.as_deref(), RETRY_WAIT_MS_MAX),
        also: raw.also.clone(),
        never: raw.never.clone(),
        body_contains: raw.body_contains.clone(),
    }
}

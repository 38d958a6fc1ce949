//! What may be queued: the request that a person or a program gives, checked whole before it is on
//! the disk, so that nothing is refused later that could have been refused now.

use std::collections::HashMap;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use url::Url;

use crate::definition::{KeyPlace, KeyRule, Source, WriteMethod, is_header_name, sounds_secret};
use crate::http::SecretValues;
use crate::model::{Timestamp, hexadecimal};
use crate::outbox::NewEntry;

use super::placeholder::placeholders_of;
use super::target::leads_out;

/// The longest key, characters: what Stripe takes, and the largest round number that others do.
pub const KEY_CHARS_MAX: usize = 255;
/// The longest name of a lane, characters: as long as a key may be.
pub const LANE_CHARS_MAX: usize = 255;
/// The largest body, bytes: a write that is larger is a file, and belongs into an upload.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The longest path with its query, bytes: what common servers take at most.
const PATH_BYTES_MAX: usize = 8 * 1024;
/// The most headers, and the longest value of one, bytes: what common servers take at most.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// Headers that HTTP itself or the source's definition sets.
const NOT_GIVEN: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// A request as it was given.
#[derive(Clone, Debug)]
pub struct GivenRequest<'a> {
    pub source: &'a Source,
    pub method: WriteMethod,
    /// Path and query, appended to the source's address.
    pub path: &'a str,
    /// Name and value of each header.
    pub headers: &'a [(String, String)],
    pub body: Option<Vec<u8>>,
    pub key: &'a str,
    /// None where it waits for no other entry.
    pub lane: Option<&'a str>,
    /// Number and key of the entry whose success it waits for.
    pub after: Option<(i64, &'a str)>,
    /// The earliest time at which it is sent.
    pub not_before: Option<Timestamp>,
    /// Not sent for the first time at or after.
    pub expires_at: Option<Timestamp>,
}

/// Why a request is not queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRefusal {
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether a credential would have gone where it does not belong.
    pub is_secret: bool,
}

impl QueueRefusal {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, is_secret: false }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn secret(what: &str) -> Self {
        let message = format!("{what} holds a credential, which is never kept in an archive");
        let help = "credentials belong into the source's `auth` or `headers`, as `${env:NAME}`";
        Self { is_secret: true, ..Self::new(message).help(help) }
    }
}

/// A key for somebody who chose none: a random UUID (RFC 9562, version 4).
pub fn fresh_key(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// What makes two requests the same: API, method, path, headers in any order, body.
pub fn digest_of(
    source: &str,
    method: WriteMethod,
    path: &str,
    headers: &[(String, String)],
    body: Option<&[u8]>,
) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    let mut sorted = headers.to_vec();
    sorted.sort();
    [source, method.as_str(), path].iter().for_each(|text| part(text.as_bytes()));
    part(&(sorted.len() as u64).to_be_bytes());
    for (name, value) in &sorted {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    body.iter().for_each(|body| part(body));
    hexadecimal(&hash.finalize())
}

/// Checks a request and makes the entry that is queued.
pub fn prepare(
    given: GivenRequest<'_>,
    secrets: &SecretValues,
    owner: &str,
    now: Timestamp,
) -> Result<NewEntry, QueueRefusal> {
    let rule = given.source.idempotency.key.as_ref();
    check_key(given.key)?;
    check_lane(given.lane)?;
    check_times(given.not_before, given.expires_at, now)?;
    check_path(given.path, given.source, rule)?;
    let headers = check_headers(&given, rule)?;
    check_body(given.body.as_deref(), &headers, rule)?;
    let texts = headers.iter().map(|(_, value)| value.as_bytes());
    let texts = texts.chain([given.path.as_bytes()]).chain(given.body.as_deref());
    let texts: Vec<&[u8]> = texts.collect();
    if texts.iter().any(|text| secrets.are_in(text)) || secrets.are_in(given.key.as_bytes()) {
        return Err(QueueRefusal::secret("the request"));
    }
    let templated = check_placeholders(&texts, given.after)?;
    let GivenRequest { source, method, path, body, .. } = given;
    let digest = digest_of(&source.name, method, path, &headers, body.as_deref());
    Ok(NewEntry {
        source: source.name.clone(),
        key: given.key.to_owned(),
        key_rule: rule.cloned(),
        method,
        base_url: source.base_url.to_string(),
        path: path.to_owned(),
        headers,
        body,
        templated,
        digest,
        lane: given.lane.map(str::to_owned),
        after: given.after.map(|(entry, _)| entry),
        not_before: given.not_before,
        expires_at: given.expires_at,
        owner: owner.to_owned(),
        created_at: now,
    })
}

fn check_key(key: &str) -> Result<(), QueueRefusal> {
    if key.is_empty() || key.len() > KEY_CHARS_MAX {
        return Err(QueueRefusal::new(format!("a key has 1 to {KEY_CHARS_MAX} characters")));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(QueueRefusal::new("a key has visible ASCII characters only, and no spaces")
            .help("leave `--key` out to be given a UUID"));
    }
    Ok(())
}

fn check_lane(lane: Option<&str>) -> Result<(), QueueRefusal> {
    let Some(lane) = lane else { return Ok(()) };
    if lane.is_empty() || lane.chars().count() > LANE_CHARS_MAX {
        return Err(QueueRefusal::new(format!(
            "a lane's name has 1 to {LANE_CHARS_MAX} characters"
        )));
    }
    if lane.chars().any(char::is_control) {
        return Err(QueueRefusal::new("a lane's name has no control characters"));
    }
    Ok(())
}

fn check_times(
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), QueueRefusal> {
    let Some(expires) = expires_at else { return Ok(()) };
    if expires <= not_before.unwrap_or(now).max(now) {
        let when = if not_before.is_some_and(|at| at > now) { "--not-before" } else { "now" };
        return Err(QueueRefusal::new(format!("--expires must be after {when}")));
    }
    Ok(())
}

fn check_path(path: &str, source: &Source, rule: Option<&KeyRule>) -> Result<(), QueueRefusal> {
    if !path.starts_with('/') {
        return Err(QueueRefusal::new(format!("the path {path:?} does not begin with `/`"))
            .help("name the path alone: the source's `base_url` stands before it"));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(QueueRefusal::new(format!("the path is longer than {PATH_BYTES_MAX} bytes")));
    }
    let bare = without_placeholders(path);
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(&byte);
    if !bare.bytes().all(allowed) {
        return Err(QueueRefusal::new(format!(
            "the path {path:?} has characters that no address has"
        ))
        .help("escape them as bytes of UTF-8: a space is `%20`"));
    }
    let (only_path, _) = bare.split_once('?').unwrap_or((&bare, ""));
    if leads_out(only_path) || only_path.starts_with("//") {
        return Err(QueueRefusal::new(format!(
            "the path {path:?} leads out of the source's address"
        )));
    }
    let base = source.base_url.as_str().trim_end_matches('/');
    let url = Url::parse(&format!("{base}{bare}")).map_err(|error| {
        QueueRefusal::new(format!("the path {path:?} makes no address: {error}"))
    })?;
    let has = |name: &str| url.query_pairs().any(|(have, _)| have == name);
    if source.auth.query_parameter().is_some_and(has) {
        return Err(QueueRefusal::secret("the query"));
    }
    match rule {
        Some(rule) if rule.place == KeyPlace::Query && has(&rule.name) => Err(two_keys(rule)),
        _ => Ok(()),
    }
}

fn two_keys(rule: &KeyRule) -> QueueRefusal {
    QueueRefusal::new(format!(
        "the request already holds `{}`, which is where its key goes",
        rule.name
    ))
    .help("leave it out and name the key with `--key`: a request has one")
}

/// A path with a letter for each placeholder.
fn without_placeholders(path: &str) -> String {
    let mut bare = String::new();
    let mut rest = path;
    while let Some((before, inner)) = rest.split_once("{{") {
        let Some((_, after)) = inner.split_once("}}") else { break };
        bare.push_str(before);
        bare.push('x');
        rest = after;
    }
    bare + rest
}

/// The headers with names in lower case and a content type where there is a body.
fn check_headers(
    given: &GivenRequest<'_>,
    rule: Option<&KeyRule>,
) -> Result<Vec<(String, String)>, QueueRefusal> {
    let mut headers: Vec<(String, String)> = Vec::new();
    if given.headers.len() > HEADERS_MAX {
        return Err(QueueRefusal::new(format!("a request has at most {HEADERS_MAX} headers")));
    }
    let own = given.source.auth.own_header().unwrap_or_default().to_ascii_lowercase();
    for (name, value) in given.headers {
        let lower = name.to_ascii_lowercase();
        if !is_header_name(name) {
            return Err(QueueRefusal::new(format!("{name:?} cannot be the name of a header")));
        }
        if NOT_GIVEN.contains(&lower.as_str()) {
            return Err(QueueRefusal::new(format!(
                "the header {name} is not for a request to set"
            )));
        }
        if sounds_secret(name) || lower == own {
            return Err(QueueRefusal::secret(&format!("the header {name}")));
        }
        if rule.is_some_and(|rule| {
            rule.place == KeyPlace::Header && rule.name.eq_ignore_ascii_case(name)
        }) || lower == "idempotency-key"
        {
            return Err(two_keys(rule.unwrap_or(&KeyRule::default())));
        }
        if headers.iter().any(|(have, _)| *have == lower) {
            return Err(QueueRefusal::new(format!("the header {name} is given twice")));
        }
        check_header_value(name, value)?;
        headers.push((lower, value.clone()));
    }
    if given.body.is_some() && !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    Ok(headers)
}

/// Checks a header's value, also once its placeholders are filled.
pub fn check_header_value(name: &str, value: &str) -> Result<(), QueueRefusal> {
    let allowed = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t';
    if value.len() > HEADER_BYTES_MAX || !value.bytes().all(allowed) || value.trim() != value {
        let most = HEADER_BYTES_MAX;
        return Err(QueueRefusal::new(format!(
            "the value of the header {name} is not what HTTP allows"
        ))
        .help(format!("use visible ASCII, at most {most} bytes, no space at the ends")));
    }
    if value.contains("${") {
        return Err(QueueRefusal::new(format!("the header {name} refers to a variable"))
            .help("references are read in the definition: put it in the source's `headers`"));
    }
    Ok(())
}

/// Whether these headers say that the body is JSON.
pub(crate) fn is_json(headers: &[(String, String)]) -> bool {
    let kind = headers.iter().find(|(name, _)| name == "content-type");
    let kind = kind.map(|(_, value)| value.split(';').next().unwrap_or_default().trim());
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

fn check_body(
    body: Option<&[u8]>,
    headers: &[(String, String)],
    rule: Option<&KeyRule>,
) -> Result<(), QueueRefusal> {
    let in_body = rule.filter(|rule| rule.place == KeyPlace::Body);
    let Some(body) = body else {
        return match in_body {
            Some(_) => {
                Err(QueueRefusal::new("the source's key goes into the body, and there is none"))
            }
            None => Ok(()),
        };
    };
    if body.len() > BODY_BYTES_MAX {
        let most = BODY_BYTES_MAX >> 20;
        return Err(QueueRefusal::new(format!("the body has more than {most} MiB"))
            .help("the outbox is for requests: bring a file where it belongs by an upload"));
    }
    let is_json = is_json(headers);
    if is_json && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        return Err(QueueRefusal::new(format!("the body is not JSON: {error}"))
            .help("correct it, or name its type with `--content-type`"));
    }
    let Some(rule) = in_body else { return Ok(()) };
    let members: Option<HashMap<String, &RawValue>> =
        serde_json::from_slice(body).ok().filter(|_| is_json);
    match members {
        None => {
            Err(QueueRefusal::new("the source's key goes into the body, which is no JSON object"))
        }
        Some(members) if members.contains_key(&rule.name) => Err(two_keys(rule)),
        Some(_) => Ok(()),
    }
}

fn check_placeholders(texts: &[&[u8]], after: Option<(i64, &str)>) -> Result<bool, QueueRefusal> {
    let names: Vec<String> = texts.iter().flat_map(|text| placeholders_of(text)).collect();
    for name in &names {
        let Some((_, key)) = after else {
            return Err(QueueRefusal::new(format!(
                "the request uses `result.{name}`, and waits for none"
            ))
            .help("name the entry whose answer it is with `--after KEY`"));
        };
        let path = name.strip_prefix(key).and_then(|rest| rest.strip_prefix('.'));
        if path.is_none_or(str::is_empty) {
            let message = format!("`result.{name}` is not of the entry that --after names");
            return Err(
                QueueRefusal::new(message).help(format!("write `{{{{ result.{key}.… }}}}`"))
            );
        }
    }
    Ok(!names.is_empty())
}

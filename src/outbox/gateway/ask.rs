//! What a request to the gateway means: from its head to a write, a question, or a problem.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Uri};
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use strum::VariantArray;
use subtle::ConstantTimeEq;

use crate::definition::WriteMethod;

use super::super::target::ambiguity;
use super::key::key_of;
use super::prefer::preferences;
use super::problem::{GatewayProblem, GatewayProblemKind};
use super::reply::{ENTRY_PREFIX, OWN_PREFIX};

/// Headers that stay here: HTTP's own of this one connection, windrow's, and those that name an
/// attempt and not the request, which would make two attempts two requests.
const KEPT_BACK: [&str; 30] = [
    "accept-encoding",
    "authorization",
    "baggage",
    "connection",
    "content-length",
    "date",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "keep-alive",
    "prefer",
    "proxy-authorization",
    "proxy-connection",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-correlation-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// Who is let in.
pub(crate) struct Gate {
    address: SocketAddr,
    token: [u8; 32],
}

impl Gate {
    /// The gate of a gateway that listens at `address`.
    pub(crate) fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: Sha256::digest(token).into() }
    }

    /// Lets a program in that knows the token, and no web page: neither one that says where it is
    /// from, nor one that had its own name lead here.
    pub(crate) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), GatewayProblem> {
        if uri.authority().is_some() || !uri.path().starts_with('/') {
            let detail = "the gateway is no proxy: ask it for a path alone";
            return Err(GatewayProblem::new(GatewayProblemKind::RequestInvalid, detail));
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        if hosts.next().is_some() || !host.is_some_and(|host| self.is_own_name(host)) {
            let detail = format!("`Host` must name the gateway: {}", self.address);
            return Err(GatewayProblem::new(GatewayProblemKind::HostRefused, detail));
        }
        if headers.contains_key(header::ORIGIN) {
            let detail = "the request has an `Origin`, as only those of web pages have";
            return Err(GatewayProblem::new(GatewayProblemKind::OriginRefused, detail));
        }
        if self.knows_token(headers) {
            return Ok(());
        }
        let detail = "send `Authorization: Bearer TOKEN`; the token file holds the token";
        Err(GatewayProblem::new(GatewayProblemKind::TokenWrong, detail))
    }

    /// A name that an attacker's DNS could point here is none of ours; an address is nobody's.
    fn is_own_name(&self, host: &str) -> bool {
        let own = self.address;
        // A port is compared as text: a sign, a zero or a space makes another name for somebody.
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.to_owned()),
            _ => (host, "80".to_owned()),
        };
        let in_brackets = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let address = match in_brackets {
            Some(name) => name.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            None => name.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        };
        let fits = match address {
            Some(address) => address == own.ip() || own.ip().is_unspecified(),
            None => {
                let local = own.ip().is_loopback() || own.ip().is_unspecified();
                local && name.eq_ignore_ascii_case("localhost")
            }
        };
        fits && port == own.port().to_string()
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return false };
        let Some((scheme, token)) = value.to_str().ok().and_then(|value| value.split_once(' '))
        else {
            return false;
        };
        // Digests have one length, so that the time tells nothing, not even how long the token is.
        let digest: [u8; 32] = Sha256::digest(token.trim()).into();
        scheme.eq_ignore_ascii_case("bearer") && bool::from(digest.ct_eq(&self.token))
    }
}

/// What a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It is to be kept and sent.
    Write(Write),
    /// It asks how an entry stands.
    Entry { source: String, key: String, wait: Option<Duration> },
}

/// A write without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub source: String,
    pub method: WriteMethod,
    /// Path and query behind the source's name.
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// What `Idempotency-Key` says; the source may have another place for its key.
    pub key: Option<String>,
    /// How long the program waits for an answer that is not there yet.
    pub wait: Option<Duration>,
}

/// What a request means that was let in.
pub(crate) fn read(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Meaning, GatewayProblem> {
    let preferred = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let (wait, preferences) = preferences(preferred);
    if uri.path().starts_with(OWN_PREFIX) {
        return own(method, uri, wait);
    }
    let write =
        WriteMethod::VARIANTS.iter().copied().find(|write| write.as_str() == method.as_str());
    let Some(method) = write else {
        let detail = format!("{method} is no write: ask the API itself, or the archive");
        return Err(GatewayProblem::new(GatewayProblemKind::MethodNotAllowed, detail));
    };
    if let Some(what) = ambiguity(uri.path()) {
        let detail = format!("the path has {what}; nothing was kept or sent");
        return Err(GatewayProblem::new(GatewayProblemKind::RequestInvalid, detail));
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let rest = &target[1..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (source, path) = rest.split_at(end);
    let keys = headers.get_all("idempotency-key").iter().map(|value| value.as_bytes());
    let key = match headers.contains_key("idempotency-key") {
        true => Some(key_of(keys)?),
        false => None,
    };
    let mut kept = kept_headers(headers)?;
    if !preferences.is_empty() {
        kept.push(("prefer".to_owned(), preferences.join(", ")));
    }
    let (source, path) = (source.to_owned(), path.to_owned());
    Ok(Meaning::Write(Write { source, method, path, headers: kept, key, wait }))
}

fn own(method: &Method, uri: &Uri, wait: Option<Duration>) -> Result<Meaning, GatewayProblem> {
    let Some((source, key)) =
        uri.path().strip_prefix(ENTRY_PREFIX).and_then(|rest| rest.split_once('/'))
    else {
        let detail = format!("entries are at {ENTRY_PREFIX}SOURCE/KEY");
        return Err(GatewayProblem::new(GatewayProblemKind::NotFound, detail));
    };
    if method != Method::GET {
        let detail = "entries are looked at here; `windrow outbox` changes them";
        return Err(GatewayProblem::new(GatewayProblemKind::MethodNotAllowed, detail));
    }
    let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
    Ok(Meaning::Entry { source: source.to_owned(), key, wait })
}

/// The headers that are a part of the request. Lines of one name are one header.
fn kept_headers(headers: &HeaderMap) -> Result<Vec<(String, String)>, GatewayProblem> {
    let of_connection = headers.get_all(header::CONNECTION).iter();
    let of_connection: Vec<String> = of_connection
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut kept = Vec::new();
    for name in headers.keys() {
        let text = name.as_str();
        if KEPT_BACK.contains(&text) || of_connection.iter().any(|own| own == text) {
            continue;
        }
        let value = joined(headers, name)?;
        if !(name == header::ACCEPT && value == "*/*") {
            kept.push((text.to_owned(), value));
        }
    }
    Ok(kept)
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Result<String, GatewayProblem> {
    let values = headers.get_all(name).iter().map(|value| value.to_str());
    let values: Result<Vec<&str>, _> = values.collect();
    let values = values.map_err(|_| {
        let detail = format!("the value of the header {name} is not visible ASCII");
        GatewayProblem::new(GatewayProblemKind::RequestInvalid, detail)
    })?;
    Ok(values.join(", ").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        map
    }

    fn means(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Meaning, GatewayProblemKind> {
        let uri: Uri = target.parse().expect("a target");
        let method: Method = method.parse().expect("a method");
        read(&method, &uri, &map(headers)).map_err(|problem| problem.kind)
    }

    #[test]
    fn only_programs_that_know_the_token_and_the_gateways_name_are_let_in() {
        let gate = Gate::new("127.0.0.1:8347".parse().expect("an address"), "secret");
        let admit = |target: &str, headers: &[(&str, &str)]| {
            let uri: Uri = target.parse().expect("a target");
            gate.admit(&uri, &map(headers)).map_err(|problem| problem.kind)
        };
        let (host, token) = (("host", "127.0.0.1:8347"), ("authorization", "Bearer secret"));
        assert_eq!(admit("/s/a", &[host, token]), Ok(()));
        assert_eq!(admit("/s/a", &[("host", "LocalHost:8347"), token]), Ok(()));
        assert_eq!(admit("/s/a", &[host, ("authorization", "bearer  secret")]), Ok(()));
        let names =
            ["evil.example:8347", "127.0.0.1", "127.0.0.1:80", "127.0.0.2:8347", "", ":8347"];
        let odd = [
            "127.0.0.1:+8347",
            "127.0.0.1:-8347",
            "127.0.0.1: 8347",
            "127.0.0.1:8347 ",
            "127.0.0.1:08347",
            "127.0.0.1:",
            "127.0.0.1::8347",
            "127.0.0.1:8347:8347",
            "127.0.0.1:8347,evil.example",
            "me@127.0.0.1:8347",
            "me:me@127.0.0.1:8347",
            "evil.example/@127.0.0.1:8347",
            "[127.0.0.1]:8347",
            "localhost.:8347",
        ];
        for name in names.into_iter().chain(odd) {
            assert_eq!(
                admit("/", &[("host", name), token]),
                Err(GatewayProblemKind::HostRefused),
                "{name}"
            );
        }
        assert_eq!(admit("/", &[host, host, token]), Err(GatewayProblemKind::HostRefused));
        assert_eq!(admit("/", &[token]), Err(GatewayProblemKind::HostRefused));
        let origin = admit("/", &[host, token, ("origin", "null")]);
        assert_eq!(origin, Err(GatewayProblemKind::OriginRefused));
        let tokens = ["Bearer secre", "Bearer secrets", "Basic secret", "secret", "Bearer", ""];
        for wrong in tokens {
            let answer = admit("/", &[host, ("authorization", wrong)]);
            assert_eq!(answer, Err(GatewayProblemKind::TokenWrong), "{wrong:?}");
        }
        assert_eq!(admit("/", &[host]), Err(GatewayProblemKind::TokenWrong));
        assert_eq!(admit("/", &[host, token, token]), Err(GatewayProblemKind::TokenWrong));
        assert_eq!(
            admit("http://127.0.0.1:8347/", &[host, token]),
            Err(GatewayProblemKind::RequestInvalid)
        );
        let open = Gate::new("[::]:8347".parse().expect("an address"), "secret");
        for (name, own) in [("10.0.0.7:8347", true), ("[::1]:8347", true), ("a.b:8347", false)] {
            assert_eq!(open.is_own_name(name), own, "{name}");
        }
    }

    #[test]
    fn a_request_means_a_write_to_a_source_or_a_question_about_an_entry() {
        let key = ("idempotency-key", "\"k\"");
        let write = |path: &str, headers: &[(&str, &str)], wait: Option<u64>| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            Ok(Meaning::Write(Write {
                source: "shop".to_owned(),
                method: WriteMethod::Post,
                path: path.to_owned(),
                headers: headers.iter().map(owned).collect(),
                key: Some("k".to_owned()),
                wait: wait.map(Duration::from_secs),
            }))
        };
        assert_eq!(means("POST", "/shop/a/b?c=d%20e", &[key]), write("/a/b?c=d%20e", &[], None));
        assert_eq!(means("POST", "/shop", &[key]), write("", &[], None));
        assert_eq!(means("POST", "/shop?a", &[key]), write("?a", &[], None));
        for out in ["/shop/../x", "/shop/..%2fx", "/shop/..;/x", "/shop/%252e%252e/x", "/shop//x"] {
            assert_eq!(
                means("POST", out, &[key]),
                Err(GatewayProblemKind::RequestInvalid),
                "{out}"
            );
        }
        let headers = [
            key,
            ("authorization", "Bearer secret"),
            ("connection", "x-hop, close"),
            ("x-hop", "1"),
            ("accept", "*/*"),
            ("user-agent", "u"),
            ("stripe-version", "1"),
            ("x-list", "a"),
            ("x-list", "b"),
            ("prefer", "wait=3, return=minimal"),
        ];
        let kept = [("stripe-version", "1"), ("x-list", "a, b"), ("prefer", "return=minimal")];
        assert_eq!(means("POST", "/shop/a", &headers), write("/a", &kept, Some(3)));
        let keyless = means("POST", "/shop/a", &[]).expect("the body may hold its key");
        assert!(matches!(keyless, Meaning::Write(Write { key: None, .. })));
        let twice = means("POST", "/shop/a", &[key, key]);
        assert_eq!(twice, Err(GatewayProblemKind::KeyTwice));
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "post"] {
            assert_eq!(
                means(method, "/shop/a", &[key]),
                Err(GatewayProblemKind::MethodNotAllowed),
                "{method}"
            );
        }
        let entry = means("GET", "/.windrow/outbox/shop/a%2Fb/c", &[]);
        let key = "a/b/c".to_owned();
        assert_eq!(entry, Ok(Meaning::Entry { source: "shop".to_owned(), key, wait: None }));
        assert_eq!(means("GET", "/.windrow/outbox/shop", &[]), Err(GatewayProblemKind::NotFound));
        assert_eq!(
            means("POST", "/.windrow/outbox/s/k", &[]),
            Err(GatewayProblemKind::MethodNotAllowed)
        );
    }
}

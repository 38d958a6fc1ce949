//! The one HTTP client.
//!
//! reqwest's defaults are not enough here: it would follow redirects with custom headers, send a
//! Referer that holds the query, and print whole addresses in its errors.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};
use reqwest::redirect::Policy;

use crate::definition::{Source, is_loopback};

use crate::http::decode::{CODINGS, Growth, decode, too_large};
use crate::http::transport::{
    HttpRequest, HttpResponse, Method, NetError, NetKind, ResponseFuture, Transport,
};

/// The network, by way of reqwest: keep-alive, HTTP/2, rustls.
pub struct HttpTransport {
    client: reqwest::Client,
}

impl HttpTransport {
    /// A client with these timeouts, milliseconds.
    pub fn new(connect_timeout_ms: i64, read_timeout_ms: i64) -> Result<Self, NetError> {
        Self::build(connect_timeout_ms, read_timeout_ms, false)
    }

    /// The way to a source. What is on this machine is asked without a proxy: the credentials
    /// would go to that over the network, and unencrypted.
    pub fn to(source: &Source) -> Result<Self, NetError> {
        let direct = is_loopback(&source.base_url);
        Self::build(source.connect_timeout_ms, source.read_timeout_ms, direct)
    }

    fn build(
        connect_timeout_ms: i64,
        read_timeout_ms: i64,
        direct: bool,
    ) -> Result<Self, NetError> {
        // Which cryptography TLS uses is set once for the process. A second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let millis = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(1).max(1));
        let builder = reqwest::Client::builder();
        let builder = if direct { builder.no_proxy() } else { builder };
        let client = builder
            .user_agent(concat!("windrow/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(millis(connect_timeout_ms))
            .read_timeout(millis(read_timeout_ms))
            .redirect(Policy::none())
            .referer(false)
            .build()
            .map_err(|error| net_error(&error))?;
        Ok(Self { client })
    }

    async fn exchange(&self, request: &HttpRequest) -> Result<HttpResponse, NetError> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder =
            self.client.request(method, request.url.clone()).headers(header_map(request)?);
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let mut answer = builder.send().await.map_err(|error| net_error(&error))?;
        let status = answer.status().as_u16();
        let framed = answer.version() >= reqwest::Version::HTTP_2
            || answer.headers().contains_key(CONTENT_LENGTH)
            || answer.headers().contains_key(TRANSFER_ENCODING);
        let headers = answer.headers().iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers: Vec<(String, String)> = headers.collect();
        let expected = answer.content_length().unwrap_or(0).min(request.body_bytes_max);
        let mut body = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
        while let Some(chunk) = answer.chunk().await.map_err(|error| net_error(&error))? {
            if (body.len() + chunk.len()) as u64 > request.body_bytes_max {
                return Err(too_large(request.body_bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        let codings = headers.iter().filter(|(name, _)| name == CONTENT_ENCODING.as_str());
        let codings: Vec<String> = codings.map(|(_, value)| value.clone()).collect();
        let body = decode(&codings, body, Growth::of(request))?;
        if status == 200 && request.format.is_cut_off(&body, framed) {
            let name = request.format.name();
            let detail = format!("the answer was cut off: its {name} has no end");
            return Err(NetError { kind: NetKind::Cut, detail });
        }
        Ok(HttpResponse { status, headers, body })
    }
}

impl Transport for HttpTransport {
    fn send<'a>(&'a self, request: &'a HttpRequest) -> ResponseFuture<'a> {
        Box::pin(self.exchange(request))
    }
}

fn header_map(request: &HttpRequest) -> Result<HeaderMap, NetError> {
    let mut map = HeaderMap::new();
    for (name, value) in &request.headers {
        // The value is not shown: it may be a credential with a line end in it.
        let malformed = || NetError {
            kind: NetKind::Malformed,
            detail: format!("the header {name:?} or its value is not what HTTP allows"),
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| malformed())?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    if !map.contains_key(ACCEPT_ENCODING) {
        map.insert(ACCEPT_ENCODING, HeaderValue::from_static(CODINGS));
    }
    Ok(map)
}

/// Sorts reqwest's errors by what a person does about them; their texts hold addresses and are
/// not used.
fn net_error(error: &reqwest::Error) -> NetError {
    let cause = root_cause(error);
    let lower = cause.to_lowercase();
    let is_certificate = lower.contains("certificate");
    // A connection that ends in the handshake is a broken connection; only what the far end says
    // of itself is told apart from that.
    let is_tls = lower.contains("fatal alert") || lower.contains("peer is incompatible");
    // No connection in time is the network's error; no answer in time may be the window's.
    let (kind, what) = if error.is_timeout() && error.is_connect() {
        (NetKind::Unreachable, "no connection in time")
    } else if error.is_timeout() {
        (NetKind::Timeout, "no answer in time")
    } else if error.is_connect() && is_certificate {
        (NetKind::Tls, "the server's certificate is not trusted")
    } else if error.is_connect() && is_tls {
        (NetKind::Tls, "no secure connection")
    } else if error.is_connect() {
        (NetKind::Unreachable, no_connection(&lower))
    } else if error.is_builder() {
        (NetKind::Malformed, "the request cannot be built")
    } else {
        (NetKind::Cut, "the connection broke or the answer was cut off")
    };
    NetError { kind, detail: format!("{what}: {cause}") }
}

/// Which part of the way is missing: the help is another one each time.
fn no_connection(cause: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    if says(&["lookup", "dns", "name or service", "nodename", "no such host"]) {
        "nobody knows this name, or no name server is reached"
    } else if says(&["refused"]) {
        "the host is there, and nobody listens: the API is down, the network is not"
    } else if says(&["unreachable", "no route"]) {
        "there is no way to the host"
    } else {
        "no connection"
    }
}

/// The innermost error, which speaks of sockets and names and never of addresses with queries.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, std::ptr::from_ref(error)) {
        return "no further cause is known".to_owned();
    }
    cause.to_string()
}

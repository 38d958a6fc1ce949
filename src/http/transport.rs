//! The seam to the network: one request out, one whole answer in, or why not.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use url::Url;

use crate::definition::{BodyFormat, WriteMethod};

/// What is done with what the address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads and changes nothing.
    Get,
    /// Writes, or reads by a query in the body.
    Post,
    /// Puts something in a place.
    Put,
    /// Changes a part of something.
    Patch,
    /// Removes what the address names.
    Delete,
}

impl Method {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

impl From<WriteMethod> for Method {
    fn from(method: WriteMethod) -> Self {
        match method {
            WriteMethod::Post => Method::Post,
            WriteMethod::Put => Method::Put,
            WriteMethod::Patch => Method::Patch,
            WriteMethod::Delete => Method::Delete,
        }
    }
}

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: Method,
    pub url: Url,
    /// Name and value of each header.
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// The format of the answer that is asked for.
    pub format: BodyFormat,
    /// The largest answer, decoded bytes.
    pub body_bytes_max: u64,
    /// How many bytes may come out of each byte of a compressed answer.
    pub body_ratio_max: u64,
}

impl HttpRequest {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// Sets a header in place of the one that has its name.
    pub fn set_header(&mut self, name: &str, value: String) {
        let name = name.to_lowercase();
        self.headers.retain(|(have, _)| *have != name);
        self.headers.push((name, value));
    }
}

/// An answer, received to its end.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    pub status: u16,
    /// Name (lower case) and value of each header, in order.
    pub headers: Vec<(String, String)>,
    /// The body after decoding, whole.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// All headers of that (lower-case) name.
    pub fn headers_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

impl HttpResponse {
    /// Takes the body for what the definition says, unless it is a page of a web site all the same.
    pub fn declare(&mut self, format: BodyFormat) {
        if self.body.trim_ascii_start().first() == Some(&b'<') {
            return;
        }
        self.headers.retain(|(name, _)| name != "content-type");
        self.headers.push(("content-type".to_owned(), format.media_type().to_owned()));
    }

    /// Puts the body of an answer into the form that its decoder takes.
    pub fn prepare(&mut self, format: BodyFormat) {
        if self.status < 400
            && let Ok(text) = std::str::from_utf8(&self.body)
            && let Some(prepared) = format.prepared(text)
        {
            self.body = prepared.into_bytes();
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetKind {
    /// No connection: refused, no such name, no route.
    Unreachable,
    /// The network must not be used.
    Forbidden,
    /// Nothing came in time.
    Timeout,
    /// The connection broke, or the body was cut off or damaged.
    Cut,
    /// The far end is not who it says it is.
    Tls,
    /// The answer is larger than the limit.
    TooLarge,
    /// The answer is small and unpacks to far more than data does.
    Swollen,
    /// The answer is coded in a way that was not asked for, or has bytes behind its end.
    Undecodable,
    /// The request cannot be sent as it is: a header that HTTP does not allow.
    Malformed,
}

/// Why there is no answer, in words without any address or secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetError {
    pub kind: NetKind,
    pub detail: String,
}

impl fmt::Display for NetError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.detail)
    }
}

impl std::error::Error for NetError {}

/// No network, because somebody said so: opens no socket.
pub struct NoTransport;

impl Transport for NoTransport {
    fn send<'a>(&'a self, _request: &'a HttpRequest) -> ResponseFuture<'a> {
        let detail = "the network is not used, as --offline says".to_owned();
        Box::pin(async { Err(NetError { kind: NetKind::Forbidden, detail }) })
    }
}

/// A request on its way.
pub type ResponseFuture<'a> =
    Pin<Box<dyn Future<Output = Result<HttpResponse, NetError>> + Send + 'a>>;

/// Whatever carries requests: the network, or a model of it.
pub trait Transport: Send + Sync {
    /// Sends one request and receives its whole answer. Follows no redirect and retries nothing.
    fn send<'a>(&'a self, request: &'a HttpRequest) -> ResponseFuture<'a>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_format_counts_more_than_the_header_and_less_than_a_web_page() {
        let cases = [("[1]", "application/json"), (" <!doctype html>", "text/html")];
        for (body, expected) in cases {
            let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
            let mut response = HttpResponse { status: 200, headers, body: body.into() };
            response.declare(BodyFormat::Json);
            assert_eq!(response.header("content-type"), Some(expected), "{body}");
        }
    }

    #[test]
    fn what_a_format_does_not_have_is_marked_in_data_and_left_in_an_error() {
        for (status, altered) in [(200, true), (500, false)] {
            let body = b"[NaN]".to_vec();
            let mut response = HttpResponse { status, headers: Vec::new(), body: body.clone() };
            response.prepare(BodyFormat::Json);
            assert_eq!(response.body != body, altered, "{status}");
        }
    }
}

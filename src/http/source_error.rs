//! Is an answer what was asked for? And if not: whose error is it?

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::definition::BodyFormat;
use crate::model::excerpt;

use crate::http::transport::{HttpResponse, NetError, NetKind};

/// Whose error it is, which decides what a person does and which exit code a command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// There is no network, or not the one that leads to the source.
    Offline,
    /// The source asked to be left alone until some time.
    Waiting,
    /// The source answers, but with errors of its own, again and again.
    Failing,
    /// The source refused the credentials.
    Credentials,
    /// The source refused one request: the credentials hold, and not for this.
    Forbidden,
    /// The source broke its word: not JSON, not where the definition says, a page loop.
    InvalidResponse,
    /// Going on would send credentials or data where they do not belong.
    Unsafe,
    /// The definition cannot be asked as it is.
    Definition,
    /// A limit of this run is reached.
    Budget,
    /// A person or the system asked for the end.
    Stopped,
}

/// Why a window could not be read.
#[derive(Clone, Debug)]
pub struct SourceError {
    /// Whose error it is.
    pub kind: SourceErrorKind,
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether the source took too long: a smaller window may help.
    pub too_slow: bool,
    /// Whether a page that was there has gone: the window begins anew.
    pub page_gone: bool,
    /// Whether the answer is the beginning of one: the same request may be answered whole.
    pub cut: bool,
    /// The error that it came from. No secret was taken out of it: it is not shown.
    pub source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl SourceError {
    /// An error of a kind.
    pub fn new(kind: SourceErrorKind, message: impl Into<String>) -> Self {
        let (message, help, source) = (message.into(), None, None);
        Self { kind, message, help, too_slow: false, page_gone: false, cut: false, source }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Keeps the error that it came from.
    #[must_use]
    pub fn from_error(mut self, error: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(error));
        self
    }

    /// Whether the next window of the same source would meet the same error.
    pub fn ends_source(&self) -> bool {
        !matches!(
            self.kind,
            SourceErrorKind::InvalidResponse
                | SourceErrorKind::Forbidden
                | SourceErrorKind::Failing
                | SourceErrorKind::Definition
        )
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl StdError for SourceError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// An answer that is not what was asked for, or contradicts itself.
pub fn invalid_response(message: impl Into<String>) -> SourceError {
    SourceError::new(SourceErrorKind::InvalidResponse, message)
}

/// The error of an exchange that gave no answer.
pub fn error_of_exchange(error: &NetError, link_is_up: Option<bool>) -> SourceError {
    judge_exchange(error, link_is_up).from_error(error.clone())
}

fn judge_exchange(error: &NetError, link_is_up: Option<bool>) -> SourceError {
    match error.kind {
        NetKind::Unreachable | NetKind::Timeout | NetKind::Cut if link_is_up == Some(false) => {
            SourceError::new(SourceErrorKind::Offline, "no network interface is up")
                .help("run it again when there is a connection")
        }
        NetKind::Unreachable => SourceError::new(SourceErrorKind::Offline, error.detail.clone())
            .help("run it again when there is a connection"),
        NetKind::Forbidden => SourceError::new(SourceErrorKind::Offline, error.detail.clone())
            .help("leave --offline out to bring the archive up to date"),
        NetKind::Timeout | NetKind::Cut => {
            let mut source_error = SourceError::new(SourceErrorKind::Offline, error.detail.clone())
                .help("run it again: it carries on where it was");
            source_error.too_slow = error.kind == NetKind::Timeout;
            source_error
        }
        NetKind::Tls => SourceError::new(SourceErrorKind::Unsafe, error.detail.clone()).help(
            "check the laptop's clock and the address; a login page of a hotel does this too",
        ),
        NetKind::TooLarge => {
            SourceError::new(SourceErrorKind::InvalidResponse, error.detail.clone())
                .help("ask for smaller pages or windows, or raise the source's `max_body`")
        }
        NetKind::Swollen => {
            SourceError::new(SourceErrorKind::InvalidResponse, error.detail.clone())
                .help("if this is honest data, raise the source's `max_ratio`")
        }
        NetKind::Undecodable => {
            SourceError::new(SourceErrorKind::InvalidResponse, error.detail.clone())
                .help("ask for the same address with another tool, and tell whoever runs the API")
        }
        NetKind::Malformed => SourceError::new(SourceErrorKind::Definition, error.detail.clone())
            .help("check the source's headers and its secrets: a line end does not belong there"),
    }
}

/// The body of an answer that holds data, or the error. An answer without content is `""`.
pub fn data_of(response: &HttpResponse, format: BodyFormat) -> Result<&str, SourceError> {
    check_status(response)?;
    if response.status == 204 {
        return Ok("");
    }
    if looks_like_html(response) {
        return Err(login_page("the answer is a web page, not data"));
    }
    std::str::from_utf8(&response.body).map_err(|error| {
        let message = format!("the answer is not UTF-8, as {} must be", format.name());
        invalid_response(message).from_error(error)
    })
}

/// An error of a network that wants a person to log in first.
pub fn login_page(what: &str) -> SourceError {
    SourceError::new(SourceErrorKind::Offline, format!("{what}: this looks like a login page"))
        .help("log in to the network in a browser, then run it again")
}

/// Whether a redirect is what an access point says in place of the source: for now, and to a page.
/// It is not followed either way.
pub fn leads_to_login(response: &HttpResponse) -> bool {
    const WORDS: [&str; 7] = ["login", "logon", "signin", "portal", "captive", "hotspot", "splash"];
    let target = response.header("location").unwrap_or_default().to_lowercase();
    matches!(response.status, 302 | 303 | 307)
        && (looks_like_html(response) || WORDS.iter().any(|word| target.contains(word)))
}

/// The largest answer that is looked through for the marks of a login page, bytes: one in JSON is
/// short, and a page of records is not parsed twice.
const PORTAL_BYTES_MAX: usize = 16 * 1024;

/// Whether an answer is what an access point says in place of an API, in JSON (RFC 8908 and the
/// usual ones).
pub fn looks_like_portal(response: &HttpResponse) -> bool {
    const NAMES: [&str; 5] =
        ["captive", "captive_portal", "login_required", "user-portal-url", "portal_url"];
    if response.body.len() > PORTAL_BYTES_MAX {
        return false;
    }
    let kind = response.header("content-type").unwrap_or_default();
    let members: Result<serde_json::Map<String, serde_json::Value>, _> =
        serde_json::from_slice(&response.body);
    kind.starts_with("application/captive+json")
        || members.is_ok_and(|members| NAMES.iter().any(|name| members.contains_key(*name)))
}

fn check_status(response: &HttpResponse) -> Result<(), SourceError> {
    let status = response.status;
    let says = body_excerpt(response);
    match status {
        200 | 203 | 204 => Ok(()),
        // RFC 9110, section 15.3.7: a part is data where records were counted, not bytes.
        206 if counts_records(response) => Ok(()),
        401 => {
            let message = format!("the source refused the credentials: HTTP {status}{says}");
            Err(SourceError::new(SourceErrorKind::Credentials, message)
                .help("check the source's `auth` and the variables that it names"))
        }
        403 => {
            let message = format!("the source refused the request: HTTP {status}{says}");
            Err(SourceError::new(SourceErrorKind::Forbidden, message).help(
                "if the source refuses everything, check its `auth`; if the account may not see \
                 this, ask for a right to it, or `absent = { status = [403] }` says that it counts \
                 as nothing",
            ))
        }
        407 | 511 => {
            let message = format!("the network wants a login first: HTTP {status}");
            Err(SourceError::new(SourceErrorKind::Offline, message)
                .help("log in to the network in a browser, then run it again"))
        }
        429 | 500.. => {
            let message = format!("the source keeps failing: HTTP {status}{says}");
            let mut error = SourceError::new(SourceErrorKind::Failing, message)
                .help("run it again later: it carries on where it was");
            error.too_slow = status == 504;
            Err(error)
        }
        _ => {
            let message = format!("the source answered HTTP {status}{says}");
            let help = match status {
                404 | 410 => {
                    "check `base_url` and the stream's `path`; if it means that there is no data, \
                     write `empty = { status = [404] }`, for a page past the end `paginate.end = \
                     { status = [404] }`, for a parent without a part `absent = { status = [404] }`"
                }
                206 => "windrow takes a part for data where a `Content-Range` counts records",
                400..=499 => "check the stream's request: `windrow sync --dry-run` shows it",
                _ => "windrow expects 200 with data",
            };
            let mut error = SourceError::new(SourceErrorKind::InvalidResponse, message).help(help);
            error.page_gone = matches!(status, 400 | 404 | 410 | 422);
            Err(error)
        }
    }
}

/// Whether a `Content-Range` counts records.
fn counts_records(response: &HttpResponse) -> bool {
    response
        .header("content-range")
        .is_some_and(|range| !range.trim_start().to_ascii_lowercase().starts_with("bytes"))
}

/// The beginning of a body that is text, for a message.
fn body_excerpt(response: &HttpResponse) -> String {
    if response.body.is_empty() || looks_like_html(response) {
        return String::new();
    }
    format!(" {}", excerpt(&String::from_utf8_lossy(&response.body), 200))
}

/// Whether an answer is a web page, whatever it says it is.
pub fn looks_like_html(response: &HttpResponse) -> bool {
    let kind = response.header("content-type").unwrap_or_default().to_lowercase();
    let start = response.body.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    kind.starts_with("text/html")
        || kind.starts_with("application/xhtml")
        || response.body.get(start) == Some(&b'<')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, kind: &str, body: &str) -> Result<String, SourceErrorKind> {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        let response = HttpResponse { status, headers, body: body.as_bytes().to_vec() };
        data_of(&response, BodyFormat::Json).map(str::to_owned).map_err(|error| error.kind)
    }

    #[test]
    fn each_answer_is_the_error_of_the_right_kind() {
        use SourceErrorKind::*;
        let json = "application/json";
        let cases = [
            (200, json, "[1]", Ok("[1]".to_owned())),
            (200, "text/plain", "[1]", Ok("[1]".to_owned())),
            (204, json, "", Ok(String::new())),
            (200, "text/html; charset=utf-8", "[1]", Err(Offline)),
            (200, json, " <!doctype html>", Err(Offline)),
            (511, json, "{}", Err(Offline)),
            (401, json, "{}", Err(Credentials)),
            (403, json, "{}", Err(Forbidden)),
            (404, json, "{}", Err(InvalidResponse)),
            (206, json, "[1]", Err(InvalidResponse)),
            (503, json, "{}", Err(Failing)),
            (429, json, "{}", Err(Failing)),
        ];
        for (status, kind, body, expected) in cases {
            assert_eq!(judge(status, kind, body), expected, "{status} {kind} {body}");
        }
    }

    #[test]
    fn an_error_keeps_the_one_that_it_came_from() {
        let cut = NetError { kind: NetKind::Cut, detail: "the connection was cut".to_owned() };
        let error = error_of_exchange(&cut, Some(false));
        assert_eq!(error.to_string(), "no network interface is up");
        let source = StdError::source(&error).expect("its source");
        assert_eq!(source.downcast_ref(), Some(&cut));
    }
}

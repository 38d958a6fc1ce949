//! What is wrong, as RFC 9457 has it: a problem document with a type that
//! docs/commands/outbox-serve.md explains.

use serde_json::json;

use super::reply::{GatewayAnswer, OWN_PREFIX};

/// What stands before a problem's name in its type.
const TYPE_PREFIX: &str = "urn:windrow:problem:";

/// Which problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GatewayProblemKind {
    RequestInvalid,
    FramingAmbiguous,
    KeyMissing,
    KeyTwice,
    KeyInvalid,
    CredentialInRequest,
    TokenWrong,
    OriginRefused,
    HostRefused,
    NotFound,
    MethodNotAllowed,
    BodyTooSlow,
    InProgress,
    TakenBack,
    BodyTooLarge,
    KeyReused,
    OutcomeUnknown,
    AnswerLost,
    OutboxFull,
    Busy,
    StorageFailed,
}

impl GatewayProblemKind {
    /// The name in its type, its status and its title.
    fn facts(self) -> (&'static str, u16, &'static str) {
        match self {
            GatewayProblemKind::RequestInvalid => {
                ("request-invalid", 400, "This request cannot be queued")
            }
            GatewayProblemKind::FramingAmbiguous => {
                ("framing-ambiguous", 400, "Nobody can tell where this request ends")
            }
            GatewayProblemKind::KeyMissing => ("key-missing", 400, "Idempotency-Key is missing"),
            GatewayProblemKind::KeyTwice => ("key-twice", 400, "The request has more than one key"),
            GatewayProblemKind::KeyInvalid => {
                ("key-invalid", 400, "Idempotency-Key cannot be a key")
            }
            GatewayProblemKind::CredentialInRequest => {
                ("credential-in-request", 400, "The request holds a credential")
            }
            GatewayProblemKind::TokenWrong => {
                ("token-wrong", 401, "The gateway's token is missing or wrong")
            }
            GatewayProblemKind::OriginRefused => {
                ("origin-refused", 403, "Web pages are not served")
            }
            GatewayProblemKind::HostRefused => {
                ("host-refused", 403, "The gateway has another name")
            }
            GatewayProblemKind::NotFound => ("not-found", 404, "There is nothing of this name"),
            GatewayProblemKind::MethodNotAllowed => {
                ("method-not-allowed", 405, "This method is not taken here")
            }
            GatewayProblemKind::BodyTooSlow => {
                ("body-too-slow", 408, "The body did not come in time")
            }
            GatewayProblemKind::InProgress => {
                ("in-progress", 409, "A request of this key is being worked on")
            }
            GatewayProblemKind::TakenBack => {
                ("taken-back", 410, "The request of this key is not sent any more")
            }
            GatewayProblemKind::BodyTooLarge => ("body-too-large", 413, "The body is too large"),
            GatewayProblemKind::KeyReused => {
                ("key-reused", 422, "The key belongs to another request")
            }
            GatewayProblemKind::OutcomeUnknown => {
                ("outcome-unknown", 504, "Nobody knows whether it has taken effect")
            }
            GatewayProblemKind::AnswerLost => {
                ("answer-lost", 502, "It is decided without an answer of the API")
            }
            GatewayProblemKind::OutboxFull => {
                ("outbox-full", 503, "The outbox has no room for another request")
            }
            GatewayProblemKind::Busy => ("busy", 503, "The gateway takes no more at the moment"),
            GatewayProblemKind::StorageFailed => {
                ("storage-failed", 507, "The request could not be kept")
            }
        }
    }
}

/// A problem with its particulars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewayProblem {
    pub kind: GatewayProblemKind,
    /// What is wrong with this very request, and the help.
    pub detail: String,
    /// The address of the entry that it is about.
    pub instance: Option<String>,
    /// When to come again, seconds.
    pub retry_after_s: Option<u64>,
    /// Whether the connection ends with it, since its rest cannot be read.
    pub closes: bool,
}

impl GatewayProblem {
    pub(crate) fn new(kind: GatewayProblemKind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, detail, instance: None, retry_after_s: None, closes: false }
    }

    pub(crate) fn about(mut self, address: impl Into<String>) -> Self {
        self.instance = Some(address.into());
        self
    }

    pub(crate) fn again_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub(crate) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The document. `path` is what was asked for, which is what the problem is about unless that
    /// is an entry.
    pub(crate) fn answer(&self, path: &str) -> GatewayAnswer {
        let (name, status, title) = self.kind.facts();
        let document = json!({
            "type": format!("{TYPE_PREFIX}{name}"), "title": title, "status": status,
            "detail": self.detail, "instance": self.instance.as_deref().unwrap_or(path),
        });
        let mut headers = vec![("content-type", "application/problem+json".to_owned())];
        headers.extend(self.retry_after_s.map(|seconds| ("retry-after", seconds.to_string())));
        match self.kind {
            GatewayProblemKind::TokenWrong => {
                headers.push(("www-authenticate", "Bearer".to_owned()))
            }
            GatewayProblemKind::MethodNotAllowed => {
                headers.push(("allow", allowed(path).to_owned()))
            }
            _ => {}
        }
        if self.closes {
            headers.push(("connection", "close".to_owned()));
        }
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        GatewayAnswer { status, headers, body: document.to_string().into_bytes() }
    }
}

/// The methods of an address.
fn allowed(path: &str) -> &'static str {
    if path.starts_with(OWN_PREFIX) { "GET" } else { "POST, PUT, PATCH, DELETE" }
}

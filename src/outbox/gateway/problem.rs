//! What is wrong, as RFC 9457 has it: a problem document with a type that
//! docs/commands/outbox-serve.md explains.

use serde_json::json;

use super::answer::Answer;

/// What stands before a problem's name in its type.
const TYPE_PREFIX: &str = "urn:windrow:problem:";

/// Which problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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

impl Kind {
    /// Name, status, title.
    fn facts(self) -> (&'static str, u16, &'static str) {
        match self {
            Kind::RequestInvalid => ("request-invalid", 400, "This request cannot be queued"),
            Kind::FramingAmbiguous => {
                ("framing-ambiguous", 400, "Nobody can tell where this request ends")
            }
            Kind::KeyMissing => ("key-missing", 400, "Idempotency-Key is missing"),
            Kind::KeyTwice => ("key-twice", 400, "The request has more than one key"),
            Kind::KeyInvalid => ("key-invalid", 400, "Idempotency-Key cannot be a key"),
            Kind::CredentialInRequest => {
                ("credential-in-request", 400, "The request holds a credential")
            }
            Kind::TokenWrong => ("token-wrong", 401, "The gateway's token is missing or wrong"),
            Kind::OriginRefused => ("origin-refused", 403, "Web pages are not served"),
            Kind::HostRefused => ("host-refused", 403, "The gateway has another name"),
            Kind::NotFound => ("not-found", 404, "There is nothing of this name"),
            Kind::MethodNotAllowed => ("method-not-allowed", 405, "This method is not taken here"),
            Kind::BodyTooSlow => ("body-too-slow", 408, "The body did not come in time"),
            Kind::InProgress => ("in-progress", 409, "A request of this key is being worked on"),
            Kind::TakenBack => ("taken-back", 410, "The request of this key is not sent any more"),
            Kind::BodyTooLarge => ("body-too-large", 413, "The body is too large"),
            Kind::KeyReused => ("key-reused", 422, "The key belongs to another request"),
            Kind::OutcomeUnknown => {
                ("outcome-unknown", 504, "Nobody knows whether it has taken effect")
            }
            Kind::AnswerLost => ("answer-lost", 502, "It is decided without an answer of the API"),
            Kind::OutboxFull => ("outbox-full", 503, "The outbox has no room for another request"),
            Kind::Busy => ("busy", 503, "The gateway takes no more at the moment"),
            Kind::StorageFailed => ("storage-failed", 507, "The request could not be kept"),
        }
    }
}

/// A problem with its particulars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub kind: Kind,
    /// What is wrong with this very request, and the cure.
    pub detail: String,
    /// The address of the entry that it is about.
    pub instance: Option<String>,
    /// When to come again, seconds.
    pub retry_after_s: Option<u64>,
    /// Whether the connection ends with it, since its rest cannot be read.
    pub closes: bool,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, detail, instance: None, retry_after_s: None, closes: false }
    }

    pub(super) fn about(mut self, address: impl Into<String>) -> Self {
        self.instance = Some(address.into());
        self
    }

    pub(super) fn again_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub(super) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The document. `path` is what was asked for, which is what the problem is about unless that
    /// is an entry.
    pub(super) fn answer(&self, path: &str) -> Answer {
        let (name, status, title) = self.kind.facts();
        let document = json!({
            "type": format!("{TYPE_PREFIX}{name}"), "title": title, "status": status,
            "detail": self.detail, "instance": self.instance.as_deref().unwrap_or(path),
        });
        let mut headers = vec![("content-type", "application/problem+json".to_owned())];
        headers.extend(self.retry_after_s.map(|seconds| ("retry-after", seconds.to_string())));
        match self.kind {
            Kind::TokenWrong => headers.push(("www-authenticate", "Bearer".to_owned())),
            Kind::MethodNotAllowed => headers.push(("allow", allowed(path).to_owned())),
            _ => {}
        }
        if self.closes {
            headers.push(("connection", "close".to_owned()));
        }
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Answer { status, headers, body: document.to_string().into_bytes() }
    }
}

/// The methods of an address.
fn allowed(path: &str) -> &'static str {
    if path.starts_with(super::ask::OWN_PREFIX) { "GET" } else { "POST, PUT, PATCH, DELETE" }
}

//! Asking the API: requests, authorisation, next page, retry, rate limit.
//!
//! The only room that knows the HTTP client. What to do next is decided by functions from values
//! to values (`retry`, `paginate`, `source_error`, `rate`); `fetcher` is the thin shell that acts.

mod address;
mod auth;
mod client;
mod decode;
mod fetcher;
mod link;
mod page;
mod paginate;
mod rate;
mod redact;
mod request;
mod retry;
mod secrets;
mod source_error;
mod transport;
mod write_client;

pub use auth::{AuthContext, Authorize, Authorizers, Preparing};
pub use client::HttpTransport;
pub use fetcher::{Budget, HttpFetcher, KeepingWait, WaitKeeper, waiting};
pub use link::{LinkNext, next_link};
pub use page::Page;
pub use paginate::{
    Next, PageFacts, PageToken, Pager, help_for_walk, is_address, no_total, number_at,
};
pub use redact::{SEARCHED_BYTES_MIN, SecretValues};
pub use request::{RequestPlan, WriteRequest, fill_body, show_request};
pub use retry::{asked_wait_ms, backoff_ms, is_retried};
pub use secrets::{SECRET_CHARS_MIN, SecretUse, is_too_short, secret_uses, secrets_of};
pub use source_error::{
    SourceError, SourceErrorKind, data_of, error_of_exchange, invalid_response, leads_to_login,
    login_page, looks_like_html, looks_like_portal,
};
pub use transport::{
    HttpRequest, HttpResponse, Method, NetError, NetKind, NoTransport, ResponseFuture, Transport,
};
pub use write_client::WriteClient;

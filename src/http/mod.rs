//! Asking the API: requests, authorisation, next page, retry, rate limit.
//!
//! The only room that knows the HTTP client. What to do next is decided by functions from values
//! to values (`retry`, `paginate`, `judge`, `rate`); `fetcher` is the thin shell that acts.

mod client;
mod decode;
mod fetcher;
mod link;
mod paginate;
mod rate;
mod request;
mod retry;
mod secrets;
mod source_error;
mod transport;
mod write_client;

pub use client::HttpTransport;
pub use fetcher::{Budget, Fetched, HttpFetcher, KeepingWait, WaitKeeper, waiting};
pub use paginate::{Next, PageFacts, PageToken, Pager};
pub use request::{
    RequestPlan, SEARCHED_BYTES_MIN, SecretValues, fill_body, plan_request, show_request,
};
pub use retry::{asked_wait_ms, backoff_ms, is_retried};
pub use secrets::{SECRET_CHARS_MIN, SecretUse, is_too_short, secret_uses, secrets_of};
pub use source_error::{
    SourceError, SourceErrorKind, judge_content, judge_error, leads_to_login, login_page,
    looks_like_html, looks_like_portal,
};
pub use transport::{
    HttpRequest, HttpResponse, Method, NetError, NetKind, NoTransport, ResponseFuture, Transport,
};
pub use write_client::{WriteClient, WriteRequest};

//! Asking the API: requests, authorisation, next page, retry, rate limit.
//!
//! The only room that knows the HTTP client. What to do next is decided by functions from values
//! to values (`retry`, `paginate`, `judge`, `rate`); `puller` is the thin shell that acts.

mod client;
mod decode;
mod judge;
mod link;
mod paginate;
mod puller;
mod rate;
mod request;
mod retry;
mod transport;

pub use client::HttpTransport;
pub use judge::{
    Trouble, TroubleKind, judge_content, login_page, looks_like_html, looks_like_portal,
};
pub use paginate::{Next, PageFacts, PageToken, Pager};
pub use puller::{Budget, Fetched, Noting, Puller, WaitKeeper, secrets_of, waiting};
pub use request::{RequestPlan, SecretValues, plan_request, show_request};
pub use transport::{NetError, NetKind, NoTransport, Request, Response, Sending, Transport};

//! Carrying writes: each request once, as it is, to the source's own origin and nowhere else.
//!
//! Nothing is retried and no redirect is followed here: whether a write goes out a second time is
//! decided by whoever knows what became of it.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::definition::{EscapeContext, SecretReference, Source, TemplateValues};
use crate::host::Host;

use crate::http::fetcher::REQUEST_TIMEOUTS_MAX;
use crate::http::rate::Pace;
use crate::http::request::{SecretValues, authorise, same_origin};
use crate::http::source_error::{SourceError, SourceErrorKind};
use crate::http::transport::{HttpRequest, HttpResponse, Method, NetError, NetKind, Transport};

/// A write, without the source's own headers and credentials.
#[derive(Clone, Copy, Debug)]
pub struct WriteRequest<'a> {
    /// What is done.
    pub method: Method,
    /// Path and query, appended to the source's address byte for byte.
    pub path: &'a str,
    /// Name (lower case) and value of each header.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: Option<&'a [u8]>,
}

/// Carries writes to the sources of a definition.
pub struct WriteClient {
    host: Host,
    transports: BTreeMap<String, Arc<dyn Transport>>,
    secrets: SecretValues,
    paces: HashMap<String, Pace>,
}

impl WriteClient {
    /// A client over these transports, one for each source.
    pub fn new(
        host: Host,
        transports: BTreeMap<String, Arc<dyn Transport>>,
        secrets: SecretValues,
    ) -> Self {
        Self { host, transports, secrets, paces: HashMap::new() }
    }

    /// The values that requests hold.
    pub fn secrets(&self) -> &SecretValues {
        &self.secrets
    }

    /// A text without any secret in it.
    pub fn redact(&self, text: &str) -> String {
        self.secrets.redact(text)
    }

    /// How long the source's rate keeps the next request back.
    pub fn turn_in(&self, source: &Source) -> Duration {
        let now = self.host.clock.monotonic();
        // A pace that is taken in vain is only a copy.
        let pace = self.paces.get(&source.name).cloned();
        pace.map_or(Duration::ZERO, |mut pace| pace.take(source.rate, now))
    }

    /// Takes the source's next turn.
    pub fn take_turn(&mut self, source: &Source) {
        let now = self.host.clock.monotonic();
        self.paces.entry(source.name.clone()).or_default().take(source.rate, now);
    }

    /// The request of a write, with the source's headers and credentials.
    pub fn address(
        &self,
        source: &Source,
        write: &WriteRequest<'_>,
    ) -> Result<HttpRequest, SourceError> {
        self.build(source, write)
            .map_err(|message| SourceError::new(SourceErrorKind::Definition, message))
    }

    fn build(&self, source: &Source, write: &WriteRequest<'_>) -> Result<HttpRequest, String> {
        let secret = |reference: &SecretReference| self.secrets.value(reference);
        let base = source.base_url.as_str().trim_end_matches('/');
        let address = format!("{base}{}", write.path);
        let mut url = Url::parse(&address).map_err(|error| error.to_string())?;
        if !same_origin(&url, &source.base_url) {
            return Err("the path leads to another host than base_url".to_owned());
        }
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        let values = TemplateValues::default();
        for (name, template) in &source.headers {
            let value = template.render(&values, EscapeContext::Plain, &secret)?;
            put(&mut headers, &name.to_lowercase(), value);
        }
        for (name, value) in write.headers {
            put(&mut headers, name, value.clone());
        }
        authorise(&source.auth, &mut url, &mut headers, &secret)?;
        let body = write.body.map(<[u8]>::to_vec);
        let Source { body_bytes_max, body_ratio_max, .. } = *source;
        Ok(HttpRequest { method: write.method, url, headers, body, body_bytes_max, body_ratio_max })
    }

    /// Sends a request once and receives its whole answer.
    pub fn carry(
        &self,
        source: &Source,
        request: HttpRequest,
    ) -> impl Future<Output = Result<HttpResponse, NetError>> + Send + 'static {
        let transport = self.transports.get(&source.name).cloned();
        let clock = Arc::clone(&self.host.clock);
        let millis = u64::try_from(source.read_timeout_ms).unwrap_or(0);
        let limit = Duration::from_millis(millis.saturating_mul(REQUEST_TIMEOUTS_MAX));
        tracing::debug!(source = source.name, method = request.method.as_str(), "sending");
        async move {
            let transport = transport.expect("each source has a transport");
            tokio::select! {
                biased;
                outcome = transport.send(&request) => outcome,
                () = clock.pause(limit) => {
                    let detail = format!("the answer was not whole after {} s", limit.as_secs());
                    Err(NetError { kind: NetKind::Timeout, detail })
                }
            }
        }
    }
}

fn put(headers: &mut Vec<(String, String)>, name: &str, value: String) {
    headers.retain(|(have, _)| have != name);
    headers.push((name.to_owned(), value));
}

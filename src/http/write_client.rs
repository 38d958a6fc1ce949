//! Carrying writes: each request once, as it is, to the source's own origin and nowhere else.
//!
//! Nothing is retried and no redirect is followed here: whether a write goes out a second time is
//! decided by whoever knows what became of it.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::definition::{Definition, Source};
use crate::host::Host;

use crate::http::auth::Authorizers;
use crate::http::fetcher::REQUEST_TIMEOUTS_MAX;
use crate::http::rate::Pace;
use crate::http::redact::SecretValues;
use crate::http::request::{RequestPlan, WriteRequest, read_request, write_request};
use crate::http::source_error::SourceError;
use crate::http::transport::{HttpRequest, HttpResponse, NetError, NetKind, Transport};

/// Carries writes to the sources of a definition.
pub struct WriteClient {
    host: Host,
    transports: BTreeMap<String, Arc<dyn Transport>>,
    secrets: SecretValues,
    authorizers: Authorizers,
    paces: HashMap<String, Pace>,
}

impl WriteClient {
    /// A client over these transports, one for each source.
    pub fn new(
        host: Host,
        definition: &Definition,
        transports: BTreeMap<String, Arc<dyn Transport>>,
        secrets: SecretValues,
    ) -> Self {
        let authorizers = Authorizers::new(definition.sources.values());
        Self { host, transports, secrets, authorizers, paces: HashMap::new() }
    }

    /// The same with other authorizers, shared with whoever has them.
    #[must_use]
    pub fn with_authorizers(mut self, authorizers: Authorizers) -> Self {
        self.authorizers = authorizers;
        self
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

    /// Gets the credentials that writes to the source need; before the attempt is on the disk.
    pub async fn prepare(&self, source: &Source) -> Result<(), SourceError> {
        let Some(transport) = self.transports.get(&source.name) else { return Ok(()) };
        self.authorizers.prepare(source, transport.as_ref(), &self.host, &self.secrets).await
    }

    /// The source has refused the credentials; true where others can be had.
    pub fn renew(&self, source: &Source) -> bool {
        self.authorizers.renew(source)
    }

    /// The request of a write, with the source's headers and credentials.
    pub fn write(
        &self,
        source: &Source,
        write: &WriteRequest<'_>,
    ) -> Result<HttpRequest, SourceError> {
        let mut request = write_request(source, write, &self.secrets)?;
        self.authorizers.authorize(source, &mut request, &self.secrets)?;
        Ok(request)
    }

    /// The request of a read that belongs to a write: a lookup.
    pub fn read(&self, plan: &RequestPlan<'_>) -> Result<HttpRequest, SourceError> {
        let mut request = read_request(plan, &self.secrets)?;
        self.authorizers.authorize(plan.source, &mut request, &self.secrets)?;
        Ok(request)
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

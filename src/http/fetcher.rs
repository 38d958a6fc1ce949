//! The shell that acts: sends, waits, follows, tries again, and stops when it is told to.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::definition::{Definition, Source};
use crate::host::Host;
use crate::http::address::{resolve_address, same_origin};
use crate::model::{Spent, Timestamp, Wait};

use crate::http::auth::Authorizers;
use crate::http::page::Page;
use crate::http::rate::{Pace, quota_wait_ms};
use crate::http::redact::SecretValues;
use crate::http::request::{RequestPlan, read_request};
use crate::http::retry::{Decision, asked_wait_ms, decide, is_retried, is_retried_error};
use crate::http::source_error::{
    SourceError, SourceErrorKind, error_of_exchange, invalid_response, leads_to_login, login_page,
};
use crate::http::transport::{HttpRequest, HttpResponse, Method, NetError, NetKind, Transport};

/// The most redirects that one request follows: fewer refuse a source that leads to `https`, to
/// another host and to another path, more only prolong a circle.
const REDIRECTS_MAX: u32 = 5;

/// How many times `read_timeout` a whole answer may take: a drip that never falls silent is cut
/// off too (ten minutes by default).
pub(super) const REQUEST_TIMEOUTS_MAX: u64 = 20;

/// What a run may spend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    /// Requests, repetitions included; none for no limit.
    pub requests_max: Option<u64>,
    /// Bytes of decoded bodies.
    pub bytes_max: Option<u64>,
    /// Time that the run may take; none for no limit.
    pub time_max: Option<Duration>,
}

/// A wait that is being written down.
pub type KeepingWait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Whoever keeps the waits that sources impose, so that a run that is killed while it waits leaves
/// them to the next one.
pub trait WaitKeeper: Send + Sync {
    /// The source must not be asked before the wait is over.
    fn keep<'a>(&'a self, source: &'a Source, wait: Wait) -> KeepingWait<'a>;
}

/// A wait shorter than this is over before a killed run is started again, milliseconds.
const KEPT_WAIT_MS_MIN: i64 = 1_000;

#[derive(Default)]
struct SourceState {
    pace: Pace,
    wait: Option<Wait>,
    /// As of when its last answer speaks, by the earlier of its clock and this machine's.
    as_of: Option<Timestamp>,
    /// How far its clock is ahead of this machine's.
    skew: Option<chrono::TimeDelta>,
}

/// The source's own time, by the `Date` header (RFC 9110, section 6.6.1), which is that of the
/// data also where a cache answered. Whole seconds.
fn source_time(response: &HttpResponse) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(response.header("date")?).ok()?;
    Some(chrono::DateTime::<chrono::Utc>::from(date))
}

/// Pulls from all sources of a definition.
pub struct HttpFetcher {
    host: Host,
    transports: BTreeMap<String, Arc<dyn Transport>>,
    secrets: SecretValues,
    authorizers: Authorizers,
    states: HashMap<String, SourceState>,
    keeper: Option<Arc<dyn WaitKeeper>>,
    budget: Budget,
    began: Duration,
    /// What has been spent.
    pub stats: Spent,
}

impl HttpFetcher {
    /// A fetcher over these transports, one for each source.
    pub fn new(
        host: Host,
        definition: &Definition,
        transports: BTreeMap<String, Arc<dyn Transport>>,
        secrets: SecretValues,
        budget: Budget,
    ) -> Self {
        let authorizers = Authorizers::new(definition.sources.values());
        let began = host.clock.monotonic();
        let (states, stats) = (HashMap::new(), Spent::default());
        Self { host, transports, secrets, authorizers, states, keeper: None, budget, began, stats }
    }

    /// The same with other authorizers, shared with whoever has them.
    #[must_use]
    pub fn with_authorizers(mut self, authorizers: Authorizers) -> Self {
        self.authorizers = authorizers;
        self
    }

    /// From here on waits are told to `keeper` as soon as they are known.
    pub fn keep_waits_with(&mut self, keeper: Arc<dyn WaitKeeper>) {
        self.keeper = Some(keeper);
    }

    /// Obeys a wait that an earlier run was told.
    pub fn hold(&mut self, source: &str, wait: Wait) {
        let state = self.states.entry(source.to_owned()).or_default();
        if state.wait.as_ref().is_none_or(|have| have.until < wait.until) {
            state.wait = Some(wait);
        }
    }

    /// The wait of a source, if its end is still to come.
    pub fn held(&self, source: &str) -> Option<&Wait> {
        let wait = self.states.get(source)?.wait.as_ref()?;
        (wait.until > self.host.clock.now()).then_some(wait)
    }

    /// A text without any secret in it.
    pub fn redact(&self, text: &str) -> String {
        self.secrets.redact(text)
    }

    /// Sends the request of a plan and gives its answer, of whatever status, once no later
    /// attempt can better it.
    pub async fn fetch(&mut self, plan: &RequestPlan<'_>) -> Result<Page, SourceError> {
        let source = plan.source;
        let mut request = read_request(plan, &self.secrets)?;
        let mut redirects = 0;
        let mut attempt = 0;
        let mut renewed = false;
        loop {
            attempt += 1;
            self.clear_to_send(source).await?;
            self.prepare(source).await?;
            self.authorizers.authorize(source, &mut request, &self.secrets)?;
            let outcome = self.send(source, &request).await?;
            let now = self.host.clock.now();
            let (asked_ms, source_error) = match &outcome {
                Ok(response) if is_retried(response, &source.retry) => {
                    (asked_wait_ms(response, now), None)
                }
                Ok(response) if is_redirect(response) => {
                    redirects += 1;
                    attempt = 0;
                    self.follow(source, &mut request, response, redirects)?;
                    continue;
                }
                Ok(response)
                    if response.status == 401
                        && !std::mem::replace(&mut renewed, true)
                        && self.authorizers.renew(source) =>
                {
                    attempt = 0;
                    continue;
                }
                Ok(_) => return self.accept(source, request, outcome, now),
                Err(error) => {
                    let source_error = error_of_exchange(error, self.host.network.link_is_up());
                    if !is_retried_error(error.kind) {
                        return Err(source_error);
                    }
                    (None, Some(source_error))
                }
            };
            match decide(attempt, &source.retry, asked_ms, now, self.host.random.unit()) {
                Decision::RetryAfter(wait_ms) => {
                    self.stats.retries += 1;
                    tracing::debug!(source = source.name, attempt, wait_ms, "trying again");
                    if let Some(asked) = asked_ms.filter(|asked| *asked > 0) {
                        let wait = Wait::imposed(&source.name, asked, now);
                        self.hold(&source.name, wait.clone());
                        if let Some(keeper) = self.keeper.clone()
                            && asked >= KEPT_WAIT_MS_MIN
                        {
                            keeper.keep(source, wait).await;
                        }
                    }
                    self.pause(wait_ms).await?;
                }
                Decision::NotBefore(_) => {
                    let wait = Wait::imposed(&source.name, asked_ms.unwrap_or(0), now);
                    self.hold(&source.name, wait.clone());
                    return Err(waiting(source, &wait));
                }
                Decision::GiveUp => {
                    return self.give_up(source, request, outcome, source_error, now);
                }
            }
        }
    }

    /// The last attempt was no better. An answer that the definition calls "later" is no data,
    /// whatever its status.
    fn give_up(
        &mut self,
        source: &Source,
        request: HttpRequest,
        outcome: Result<HttpResponse, NetError>,
        error: Option<SourceError>,
        now: Timestamp,
    ) -> Result<Page, SourceError> {
        if let Some(error) = error {
            return Err(error);
        }
        match outcome {
            Ok(response) if response.status < 400 => {
                let message = format!("the source keeps saying later: HTTP {}", response.status);
                Err(SourceError::new(SourceErrorKind::Failing, message)
                    .help("run it again later: it carries on where it was"))
            }
            outcome => self.accept(source, request, outcome, now),
        }
    }

    fn accept(
        &mut self,
        source: &Source,
        request: HttpRequest,
        outcome: Result<HttpResponse, NetError>,
        now: Timestamp,
    ) -> Result<Page, SourceError> {
        let mut response = outcome.map_err(|error| error_of_exchange(&error, None))?;
        if response.status >= 400 {
            // Its beginning may be shown; a source may repeat a credential in it.
            let clean = self.secrets.redact(&String::from_utf8_lossy(&response.body));
            response.body = clean.into_bytes();
        }
        let format = request.format;
        if let Some(declared) = source.declared_format {
            response.declare(declared);
        }
        response.prepare(format);
        if let Some(asked_ms) = quota_wait_ms(&response, now) {
            self.hold(&source.name, Wait::imposed(&source.name, asked_ms, now));
        }
        let as_of = self.states.get(&source.name).and_then(|state| state.as_of);
        Ok(Page { response, url: request.url, as_of, format, means_nothing: false })
    }

    /// Waits until a request may be sent, within the limits of the run.
    async fn clear_to_send(&mut self, source: &Source) -> Result<(), SourceError> {
        self.check_budget()?;
        if let Some(wait) = self.held(&source.name) {
            let wait_ms = (wait.until - self.host.clock.now()).num_milliseconds();
            if wait_ms > source.retry.wait_ms_max {
                return Err(waiting(source, wait));
            }
            self.pause(wait_ms).await?;
        }
        let now = self.host.clock.monotonic();
        let state = self.states.entry(source.name.clone()).or_default();
        let wait = state.pace.take(source.rate, now);
        self.pause(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)).await
    }

    fn check_budget(&self) -> Result<(), SourceError> {
        let reached = |what: &str| Err(budget_reached(what));
        if self.budget.requests_max.is_some_and(|most| self.stats.requests >= most) {
            return reached("--max-requests");
        }
        if self.budget.bytes_max.is_some_and(|most| self.stats.bytes >= most) {
            return reached("--max-bytes");
        }
        if self.remaining_time().is_some_and(|remaining| remaining.is_zero()) {
            return reached("--max-time");
        }
        Ok(())
    }

    /// What is left of `--max-time`.
    fn remaining_time(&self) -> Option<Duration> {
        let spent = self.host.clock.monotonic().saturating_sub(self.began);
        Some(self.budget.time_max?.saturating_sub(spent))
    }

    /// Gets credentials, where the source has to be asked for some.
    async fn prepare(&self, source: &Source) -> Result<(), SourceError> {
        let transport = self.transports.get(&source.name).expect("each source has a transport");
        self.authorizers.prepare(source, transport.as_ref(), &self.host, &self.secrets).await
    }

    async fn send(
        &mut self,
        source: &Source,
        request: &HttpRequest,
    ) -> Result<Result<HttpResponse, NetError>, SourceError> {
        let transport = self.transports.get(&source.name).expect("each source has a transport");
        self.stats.requests += 1;
        let path = self.secrets.redact(request.url.path());
        tracing::debug!(source = source.name, path, "asking");
        let millis = u64::try_from(source.read_timeout_ms).unwrap_or(0);
        let limit = Duration::from_millis(millis.saturating_mul(REQUEST_TIMEOUTS_MAX));
        let remaining = self.remaining_time();
        let began = self.host.clock.monotonic();
        let outcome = tokio::select! {
            biased;
            _ = self.host.stop.requested() => return Err(stopped()),
            outcome = transport.send(request) => outcome,
            () = self.host.clock.pause(remaining.unwrap_or(limit).min(limit)) => {
                if remaining.is_some_and(|remaining| remaining < limit) {
                    return Err(budget_reached("--max-time"));
                }
                let detail = format!("the answer was not whole after {} s", limit.as_secs());
                Err(NetError { kind: NetKind::Timeout, detail })
            }
        };
        if let Ok(response) = &outcome {
            self.stats.bytes += response.body.len() as u64;
            let took = self.host.clock.monotonic().saturating_sub(began);
            let (status, bytes, took_ms) =
                (response.status, response.body.len(), took.as_millis() as u64);
            tracing::debug!(source = source.name, status, bytes, took_ms, "answered");
            self.compare_clocks(source, response, took);
        }
        Ok(outcome)
    }

    /// Notes what the source's clock says. The answer may have been made at any moment since the
    /// request was sent, so the earliest of them counts; and a clock that is ahead, or that labels
    /// local time as GMT, does not make the answer later than this machine's clock has it.
    fn compare_clocks(&mut self, source: &Source, response: &HttpResponse, took: Duration) {
        let said = source_time(response).filter(|_| self.host.clock.runs());
        let took = chrono::TimeDelta::from_std(took).unwrap_or_default();
        let now = self.host.clock.now();
        let state = self.states.entry(source.name.clone()).or_default();
        state.as_of = said.map(|said| said.min(now) - took);
        state.skew = said.map(|said| said.signed_duration_since(now)).or(state.skew);
    }

    /// How far the source's clock is ahead of this machine's, as of its last answer.
    pub fn skew_of(&self, source: &str) -> Option<chrono::TimeDelta> {
        self.states.get(source)?.skew
    }

    async fn pause(&mut self, millis: i64) -> Result<(), SourceError> {
        if self.host.stop.cause().is_some() {
            return Err(stopped());
        }
        if millis <= 0 {
            return Ok(());
        }
        let wait = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        let remaining = self.remaining_time();
        let too_long = remaining.is_some_and(|remaining| remaining < wait);
        let began = self.host.clock.monotonic();
        let paused = tokio::select! {
            biased;
            _ = self.host.stop.requested() => Err(stopped()),
            () = self.host.clock.pause(remaining.unwrap_or(wait).min(wait)) => {
                if too_long { Err(budget_reached("--max-time")) } else { Ok(()) }
            }
        };
        let waited = self.host.clock.monotonic().saturating_sub(began);
        self.stats.waited_ms += u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        paused
    }

    /// Turns the request to where the answer points, credentials only to their own origin.
    fn follow(
        &self,
        source: &Source,
        request: &mut HttpRequest,
        response: &HttpResponse,
        redirects: u32,
    ) -> Result<(), SourceError> {
        if redirects > REDIRECTS_MAX {
            return Err(invalid_response("the source redirects in a circle"));
        }
        let target = response.header("location");
        let target = target.ok_or_else(|| invalid_response("the source redirects to nowhere"))?;
        let target = match resolve_address(target, &request.url, source) {
            Err(error) if error.kind == SourceErrorKind::Unsafe && leads_to_login(response) => {
                return Err(login_page("the network leads to another host"));
            }
            target => target?,
        };
        let home = same_origin(&target, &source.base_url);
        if request.method != Method::Get && (!home || !matches!(response.status, 307 | 308)) {
            return Err(invalid_response(
                "the source redirects a POST, which is not sent anywhere else",
            ));
        }
        if !home {
            request.headers.retain(|(name, _)| name == "accept");
        }
        request.url = target;
        Ok(())
    }
}

fn is_redirect(response: &HttpResponse) -> bool {
    matches!(response.status, 301 | 302 | 303 | 307 | 308)
}

fn budget_reached(what: &str) -> SourceError {
    SourceError::new(SourceErrorKind::Budget, format!("this run's limit is reached: {what}"))
        .help("run it again: it carries on where it was")
}

fn stopped() -> SourceError {
    SourceError::new(SourceErrorKind::Stopped, "the run was asked to stop")
}

/// The source asked not to be asked before some time.
pub fn waiting(source: &Source, wait: &Wait) -> SourceError {
    SourceError::new(SourceErrorKind::Waiting, &wait.reason).help(format!(
        "run it again then: it carries on where it was; `windrow sync --now {}` asks at once",
        source.name
    ))
}

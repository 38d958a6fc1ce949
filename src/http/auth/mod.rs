//! Who asks: credentials on requests. A kind that asks for something has a file of its own here.
//!
//! A kind implements [`Authorize`]. Reads and writes use it alike: [`Authorizers::prepare`] before
//! the first request, [`Authorizers::authorize`] on each, [`Authorizers::renew`] after a 401. The
//! redactor learns what a kind gets from a source before anything else sees it.

mod from_definition;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::definition::{Auth, Source};
use crate::host::Host;
use crate::http::address::same_origin;
use crate::http::redact::SecretValues;
use crate::http::source_error::SourceError;
use crate::http::transport::{HttpRequest, Transport};

use from_definition::FixedCredentials;

/// What an authorizer may use while it gets credentials.
pub struct AuthContext<'a> {
    pub source: &'a Source,
    /// The way to it.
    pub transport: &'a dyn Transport,
    pub host: &'a Host,
    /// The definition's secrets; [`SecretValues::learn`] takes what the source gives.
    pub secrets: &'a SecretValues,
}

/// Credentials that are being got.
pub type Preparing<'a> = Pin<Box<dyn Future<Output = Result<(), SourceError>> + Send + 'a>>;

/// One kind of credentials, for one source.
pub trait Authorize: Send + Sync {
    /// Gets what requests need: asks for a token where none is kept, or where the kept one is about
    /// to expire. Does nothing for credentials that the definition names.
    ///
    /// Whoever implements it tells [`SecretValues::learn`] what came before it returns.
    fn prepare<'a>(&'a self, _context: &'a AuthContext<'a>) -> Preparing<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Puts the credentials on a finished request to the source's own origin.
    fn authorize(
        &self,
        request: &mut HttpRequest,
        secrets: &SecretValues,
    ) -> Result<(), SourceError>;

    /// The source has refused the credentials (HTTP 401). True where others can be had: the next
    /// [`Authorize::prepare`] gets them, and the request may be sent once more.
    fn renew(&self) -> bool {
        false
    }
}

/// The authorizers of a definition's sources, shared by all of its requests.
#[derive(Clone, Default)]
pub struct Authorizers {
    by_source: Arc<BTreeMap<String, Box<dyn Authorize>>>,
}

impl Authorizers {
    /// One for each source that has credentials.
    pub fn new<'d>(sources: impl IntoIterator<Item = &'d Source>) -> Self {
        let by_source = sources
            .into_iter()
            .filter_map(|source| Some((source.name.clone(), authorizer(&source.auth)?)));
        Self { by_source: Arc::new(by_source.collect()) }
    }

    /// The same with another authorizer for one source.
    #[cfg(test)]
    pub fn with(source: &str, authorizer: Box<dyn Authorize>) -> Self {
        Self { by_source: Arc::new(BTreeMap::from([(source.to_owned(), authorizer)])) }
    }

    /// Gets what the source's requests need.
    pub async fn prepare(
        &self,
        source: &Source,
        transport: &dyn Transport,
        host: &Host,
        secrets: &SecretValues,
    ) -> Result<(), SourceError> {
        let context = AuthContext { source, transport, host, secrets };
        match self.by_source.get(&source.name) {
            Some(authorizer) => authorizer.prepare(&context).await,
            None => Ok(()),
        }
    }

    /// Puts the source's credentials on a request, if it goes to the source's own origin.
    pub fn authorize(
        &self,
        source: &Source,
        request: &mut HttpRequest,
        secrets: &SecretValues,
    ) -> Result<(), SourceError> {
        match self.by_source.get(&source.name) {
            Some(authorizer) if same_origin(&request.url, &source.base_url) => {
                authorizer.authorize(request, secrets)
            }
            _ => Ok(()),
        }
    }

    /// Forgets credentials that the source refused; true where others can be had.
    pub fn renew(&self, source: &Source) -> bool {
        self.by_source.get(&source.name).is_some_and(|authorizer| authorizer.renew())
    }
}

/// The authorizer of a kind; none where requests carry no credentials.
fn authorizer(auth: &Auth) -> Option<Box<dyn Authorize>> {
    match auth {
        Auth::None => None,
        Auth::Fixed(fixed) => Some(Box::new(FixedCredentials::new(fixed.clone()))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;
    use crate::definition::{BodyFormat, Paginate, TemplateValues, parse_definition};
    use crate::host::Stop;
    use crate::http::paginate::PageToken;
    use crate::http::request::RequestPlan;
    use crate::http::source_error::SourceErrorKind;
    use crate::http::transport::{HttpResponse, Method, NetError, ResponseFuture};
    use crate::http::{Budget, HttpFetcher, WriteClient, WriteRequest};

    const TEXT: &str = "[archive]\npath = 'a.db'\n[sources.s]\n\
        base_url = 'https://api.example.com'\nretry = { attempts = 1 }\n\
        [streams.t]\npath = '/t'\nrecords = '$[*]'\nkey = 'id'\n";

    /// An API that gives tokens at `/token`, and takes the newest one alone.
    #[derive(Default)]
    struct TokenApi {
        given: AtomicU32,
        asked: AtomicU32,
        /// Tokens that it has given are refused from here on.
        revoked: AtomicU32,
    }

    impl Transport for TokenApi {
        fn send<'a>(&'a self, request: &'a HttpRequest) -> ResponseFuture<'a> {
            let (status, body) = if request.url.path() == "/token" {
                (200, format!("token-number-{}", self.given.fetch_add(1, SeqCst) + 1))
            } else {
                self.asked.fetch_add(1, SeqCst);
                let sent = request.header("authorization").unwrap_or_default();
                let number = sent.rsplit('-').next().and_then(|number| number.parse().ok());
                match number.filter(|number: &u32| *number > self.revoked.load(SeqCst)) {
                    Some(_) => (200, "[]".to_owned()),
                    None => (401, format!("{{\"wrong\":\"{sent}\"}}")),
                }
            };
            let response = HttpResponse { status, headers: Vec::new(), body: body.into_bytes() };
            Box::pin(std::future::ready(Ok::<_, NetError>(response)))
        }
    }

    /// A kind that has to ask for its token.
    #[derive(Default)]
    struct Asked {
        token: std::sync::Mutex<Option<String>>,
    }

    impl Authorize for Asked {
        fn prepare<'a>(&'a self, context: &'a AuthContext<'a>) -> Preparing<'a> {
            Box::pin(async move {
                if self.token.lock().expect("a lock").is_some() {
                    return Ok(());
                }
                let request = HttpRequest {
                    method: Method::Post,
                    url: context.source.base_url.join("/token").expect("an address"),
                    headers: Vec::new(),
                    body: None,
                    format: BodyFormat::default(),
                    body_bytes_max: 1_000,
                    body_ratio_max: 10,
                };
                let answer = context.transport.send(&request).await.expect("an answer");
                let token = String::from_utf8(answer.body).expect("a token");
                context.secrets.learn(&token, "(token of s)");
                *self.token.lock().expect("a lock") = Some(token);
                Ok(())
            })
        }

        fn authorize(
            &self,
            request: &mut HttpRequest,
            _secrets: &SecretValues,
        ) -> Result<(), SourceError> {
            let token = self.token.lock().expect("a lock").clone().unwrap_or_default();
            request.set_header("authorization", format!("Bearer {token}"));
            Ok(())
        }

        fn renew(&self) -> bool {
            self.token.lock().expect("a lock").take().is_some()
        }
    }

    struct Case {
        definition: crate::definition::Definition,
        api: Arc<TokenApi>,
        secrets: SecretValues,
        authorizers: Authorizers,
    }

    impl Case {
        fn new() -> Self {
            Self {
                definition: parse_definition("w.toml", TEXT).expect("a definition"),
                api: Arc::default(),
                secrets: SecretValues::default(),
                authorizers: Authorizers::with("s", Box::new(Asked::default())),
            }
        }

        fn transports(&self) -> BTreeMap<String, Arc<dyn Transport>> {
            BTreeMap::from([("s".to_owned(), Arc::clone(&self.api) as Arc<dyn Transport>)])
        }

        fn fetcher(&self) -> HttpFetcher {
            let host = Host::system(Stop::never());
            let (secrets, budget) = (self.secrets.clone(), Budget::default());
            HttpFetcher::new(host, &self.definition, self.transports(), secrets, budget)
                .with_authorizers(self.authorizers.clone())
        }

        fn fetch(&self, fetcher: &mut HttpFetcher) -> Result<u16, SourceError> {
            let stream = &self.definition.streams[0];
            let plan = RequestPlan {
                source: &self.definition.sources["s"],
                template: &stream.request,
                paginate: &Paginate::None,
                values: &TemplateValues::default(),
                token: &PageToken::Start,
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let fetched = runtime.expect("a runtime").block_on(fetcher.fetch(&plan));
            fetched.map(|page| page.response.status)
        }
    }

    #[test]
    fn a_token_is_asked_for_once_kept_and_renewed_once_when_it_is_refused() {
        let case = Case::new();
        let mut fetcher = case.fetcher();
        assert_eq!(case.fetch(&mut fetcher).expect("an answer"), 200);
        assert_eq!(case.fetch(&mut fetcher).expect("an answer"), 200);
        assert_eq!(case.api.given.load(SeqCst), 1, "the token is kept");
        case.api.revoked.store(1, SeqCst);
        assert_eq!(case.fetch(&mut fetcher).expect("an answer"), 200);
        assert_eq!(case.api.given.load(SeqCst), 2, "a refused token is renewed");
        case.api.revoked.store(u32::MAX, SeqCst);
        let before = case.api.asked.load(SeqCst);
        assert_eq!(case.fetch(&mut fetcher).expect("an answer"), 401);
        assert_eq!(case.api.asked.load(SeqCst) - before, 2, "once more, and then no more");
    }

    #[test]
    fn what_a_kind_is_given_is_taken_out_of_texts_before_anything_else_sees_it() {
        let case = Case::new();
        case.fetch(&mut case.fetcher()).expect("fetched");
        assert_eq!(case.secrets.redact("Bearer token-number-1"), "Bearer (token of s)");
    }

    #[test]
    fn writes_use_the_same_authorizers_as_reads() {
        let case = Case::new();
        case.fetch(&mut case.fetcher()).expect("fetched");
        let host = Host::system(Stop::never());
        let secrets = case.secrets.clone();
        let client = WriteClient::new(host, &case.definition, case.transports(), secrets)
            .with_authorizers(case.authorizers.clone());
        let source = &case.definition.sources["s"];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(client.prepare(source)).expect("prepared");
        let write = WriteRequest { method: Method::Post, path: "/t", headers: &[], body: None };
        let request = client.write(source, &write).expect("a request");
        assert_eq!(request.header("authorization"), Some("Bearer token-number-1"));
        assert_eq!(case.api.given.load(SeqCst), 1, "the token of the reads");
    }

    #[test]
    fn a_secret_that_is_not_set_is_an_error_of_the_definition() {
        let text = TEXT.replace("retry", "auth = { kind = 'bearer', token = '${env:NO}' }\nretry");
        let case =
            Case { definition: parse_definition("w.toml", &text).expect("one"), ..Case::new() };
        let host = Host::system(Stop::never());
        let (secrets, budget) = (SecretValues::default(), Budget::default());
        let mut fetcher =
            HttpFetcher::new(host, &case.definition, case.transports(), secrets, budget);
        let error = case.fetch(&mut fetcher).expect_err("nothing is asked");
        assert_eq!(error.kind, SourceErrorKind::Definition);
        assert_eq!(case.api.asked.load(SeqCst), 0);
    }
}

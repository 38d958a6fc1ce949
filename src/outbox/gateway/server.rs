//! The server: connections and their limits, and the way of one request through the gateway.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::definition::Definition;
use crate::host::Host;
use crate::http::SecretValues;
use crate::outbox::{NewEntry, OutboxEntry};

use super::super::report::is_over;
use super::super::request::{BODY_BYTES_MAX, GivenRequest, QueueRefusal, prepare};
use super::answer::{
    ASK_AGAIN_S, GatewayStep, How, Patience, accepted, address_of, document, step, tell,
};
use super::ask::{Gate, Meaning, Write, read};
use super::connections::{Connections, Ticket, told_to_go};
use super::framing::{Guarded, HEAD_BYTES_MAX, HEADERS_MAX, HeadRefusal};
use super::lane::{EntryNews, Order, Work};
use super::lookup::EntryLookup;
use super::own_key::{refuse_keyless, take_key};
use super::problem::{GatewayProblem, GatewayProblemKind};
use super::reply::GatewayAnswer;

/// Connections at once: eight for each request that may be on the wire. At most half of them are
/// of programs that have not shown the token ([`super::connections`]).
const CONNECTIONS_MAX: usize = 512;
/// How long a whole head may take, and a connection may be without one, milliseconds: a program on
/// this machine or its network sends it at once.
const HEAD_MS_MAX: u64 = 5_000;
/// How long a body may take, milliseconds: 8 MiB at 2 Mbit/s; a slower one would hold its memory
/// for minutes.
const BODY_MS_MAX: u64 = 30_000;
/// Bytes of all bodies that are in the gateway at once: eight of the largest; 64 requests with such
/// bodies would take 512 MiB.
const BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What bodies are counted in, bytes.
const BODY_UNIT: usize = 1024;
/// How long a program that did not say how long it waits is kept waiting for the attempt on the
/// wire, milliseconds; after that it is told where the result appears.
const ANSWER_MS_MAX: u64 = 60_000;
/// How long a connection lasts, milliseconds: one whose other end reads nothing ends some time.
const CONNECTION_MS_MAX: u64 = 600_000;
/// How long no connection is taken after one could not be, milliseconds: without a pause a process
/// that has no file descriptor left would spin.
const ACCEPT_AGAIN_MS: u64 = 50;
/// How long connections are given to end once the lane has ended, milliseconds; with the lane's own
/// grace it is less than the two seconds that a command has.
const LAST_WORDS_MS: u64 = 400;

/// What all connections share.
pub(crate) struct Gateway {
    pub gate: Gate,
    pub definition: Definition,
    pub secrets: SecretValues,
    /// The sender that queues.
    pub sender: String,
    pub host: Host,
    pub orders: mpsc::Sender<Order>,
    pub questions: mpsc::Sender<EntryLookup>,
    bodies: Arc<Semaphore>,
}

impl Gateway {
    pub(crate) fn new(
        gate: Gate,
        definition: Definition,
        secrets: SecretValues,
        sender: String,
        host: Host,
        (orders, questions): (mpsc::Sender<Order>, mpsc::Sender<EntryLookup>),
    ) -> Self {
        let bodies = Arc::new(Semaphore::new(BODIES_BYTES_MAX / BODY_UNIT));
        Self { gate, definition, secrets, sender, host, orders, questions, bodies }
    }

    async fn millis(&self, millis: u64) {
        self.host.clock.pause(Duration::from_millis(millis)).await;
    }

    /// What is said to a request.
    async fn answer(
        &self,
        request: Request<Incoming>,
        refused: Option<GatewayProblem>,
        ticket: &Ticket,
    ) -> GatewayAnswer {
        let path = request.uri().path().to_owned();
        // A body without a length ends the connection: what follows it is not followed.
        let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        let mut answer = match self.serve(request, refused, ticket).await {
            Ok(answer) => answer,
            Err(problem) => problem.answer(&path),
        };
        if chunked && !answer.headers.iter().any(|(name, _)| name == "connection") {
            answer.headers.push(("connection".to_owned(), "close".to_owned()));
        }
        answer
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
        refused: Option<GatewayProblem>,
        ticket: &Ticket,
    ) -> Result<GatewayAnswer, GatewayProblem> {
        if let Some(problem) = refused {
            return Err(problem);
        }
        self.gate.admit(request.uri(), request.headers()).map_err(GatewayProblem::closing)?;
        ticket.is_known();
        match read(request.method(), request.uri(), request.headers()) {
            Ok(Meaning::Entry { source, key, wait }) => self.entry(&source, &key, wait).await,
            Ok(Meaning::Write(write)) => {
                let (head, body) = request.into_parts();
                self.write(write, &head.headers, body).await
            }
            Err(problem) => Err(problem.closing()),
        }
    }

    async fn write(
        &self,
        mut write: Write,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<GatewayAnswer, GatewayProblem> {
        let Some(source) = self.definition.sources.get(&write.source) else {
            let known: Vec<&str> = self.definition.sources.keys().map(String::as_str).collect();
            let detail = format!(
                "there is no source {:?}; an address is /SOURCE/PATH, with one of: {}",
                write.source,
                known.join(", ")
            );
            return Err(GatewayProblem::new(GatewayProblemKind::NotFound, detail).closing());
        };
        let rule = source.idempotency.key.as_ref();
        refuse_keyless(&write, headers, rule).map_err(GatewayProblem::closing)?;
        let (body, _room) = self.body(body).await?;
        let mut body = body.to_vec();
        let key = take_key(&mut write, headers, &mut body, rule)?;
        let given = GivenRequest {
            source,
            method: write.method,
            path: &write.path,
            headers: &write.headers,
            body: (!body.is_empty()).then_some(body),
            key: &key,
            lane: None,
            after: None,
            not_before: None,
            expires_at: None,
        };
        let now = self.host.clock.now();
        let new = prepare(given, &self.secrets, &self.sender, now).map_err(refused)?;
        if let Some(entry) = self.find(&write.source, &key).await?
            && (entry.digest != new.digest || is_over(entry.brief.state))
        {
            return match entry.digest == new.digest {
                true => tell(&entry, How::Known),
                false => Err(reused(&new)),
            };
        }
        self.keep(new, write.wait).await
    }

    /// The whole body, and the room that it takes.
    async fn body(&self, body: Incoming) -> Result<(Bytes, OwnedSemaphorePermit), GatewayProblem> {
        use hyper::body::Body;
        let too_large = || {
            let most = BODY_BYTES_MAX >> 20;
            let detail = format!("a body has at most {most} MiB: the outbox is for requests");
            GatewayProblem::new(GatewayProblemKind::BodyTooLarge, detail).closing()
        };
        let hint = body.size_hint();
        let most = hint.exact().unwrap_or(BODY_BYTES_MAX as u64);
        if most > BODY_BYTES_MAX as u64 {
            return Err(too_large());
        }
        let units = usize::try_from(most).unwrap_or(BODY_BYTES_MAX).div_ceil(BODY_UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.bodies).try_acquire_many_owned(units);
        let room = room.map_err(|_| busy("too many large bodies are in it").closing())?;
        let collected = tokio::select! {
            biased;
            collected = Limited::new(body, BODY_BYTES_MAX).collect() => collected,
            () = self.millis(BODY_MS_MAX) => {
                let detail = format!("it took longer than {} s", BODY_MS_MAX / 1000);
                return Err(GatewayProblem::new(GatewayProblemKind::BodyTooSlow, detail).closing());
            }
        };
        match collected {
            Ok(collected) => Ok((collected.to_bytes(), room)),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(error) => {
                let detail = format!("the body is not whole: {error}");
                Err(GatewayProblem::new(GatewayProblemKind::RequestInvalid, detail).closing())
            }
        }
    }

    /// The entry of a key, as it stands on the disk.
    async fn find(&self, source: &str, key: &str) -> Result<Option<OutboxEntry>, GatewayProblem> {
        let (reply, found) = oneshot::channel();
        let question = EntryLookup { source: source.to_owned(), key: key.to_owned(), reply };
        let asked = self.questions.send(question).await.is_ok();
        match found.await {
            Ok(found) if asked => found.map_err(|error| {
                GatewayProblem::new(GatewayProblemKind::StorageFailed, error.message)
            }),
            _ => Err(busy("it is ending")),
        }
    }

    /// How an entry stands, at once or when something has come of it.
    async fn entry(
        &self,
        source: &str,
        key: &str,
        wait: Option<Duration>,
    ) -> Result<GatewayAnswer, GatewayProblem> {
        let gone = || {
            let detail = format!("source {source:?} has no entry of the key {key:?}");
            GatewayProblem::new(GatewayProblemKind::NotFound, detail)
        };
        let entry = self.find(source, key).await?.ok_or_else(gone)?;
        let Some(wait) = wait.filter(|_| !is_over(entry.brief.state)) else {
            return Ok(document(&entry));
        };
        let mut heard = self.order(Work::Follow(entry.brief.entry)).await?;
        let mut over = pin!(self.host.clock.pause(wait));
        loop {
            match &*heard.borrow_and_update() {
                EntryNews::Over { entry, .. } => return Ok(document(entry)),
                EntryNews::Gone => return Err(gone()),
                _ => {}
            }
            tokio::select! {
                biased;
                more = heard.changed() => if more.is_err() { break },
                () = &mut over => break,
            }
        }
        let entry = self.find(source, key).await?.ok_or_else(gone)?;
        Ok(document(&entry))
    }

    async fn order(&self, work: Work) -> Result<watch::Receiver<EntryNews>, GatewayProblem> {
        let (teller, heard) = watch::channel(EntryNews::Waiting);
        let sent = self.orders.send(Order { work, teller }).await;
        sent.map(|()| heard).map_err(|_| busy("it is ending"))
    }

    /// Has a request kept, and waits for what comes of it as long as the program does.
    async fn keep(
        &self,
        new: NewEntry,
        wait: Option<Duration>,
    ) -> Result<GatewayAnswer, GatewayProblem> {
        let (source, key) = (new.source.clone(), new.key.clone());
        let other = reused(&new);
        let mut heard = self.order(Work::Keep(Box::new(new))).await?;
        let limit = wait.unwrap_or(Duration::from_millis(ANSWER_MS_MAX));
        let mut over = pin!(self.host.clock.pause(limit));
        let mut patience = if wait.is_some() { Patience::Asked } else { Patience::Attempt };
        loop {
            match heard.borrow_and_update().clone() {
                EntryNews::Waiting => {}
                EntryNews::Open { how, state, why } => {
                    let waits = why.as_deref();
                    match step(state, how, patience) {
                        GatewayStep::Wait | GatewayStep::Tell => {}
                        GatewayStep::Accepted => return Ok(accepted(&source, &key, state, waits)),
                        GatewayStep::InProgress => return Err(in_progress(&source, &key)),
                    }
                }
                EntryNews::Over { how, entry } => return tell(&entry, how),
                EntryNews::Different => return Err(other),
                EntryNews::Full => return Err(full()),
                EntryNews::Failed(message) => {
                    let detail = format!("{message}; nothing was kept or sent");
                    return Err(GatewayProblem::new(GatewayProblemKind::StorageFailed, detail));
                }
                EntryNews::Gone => return Err(busy("the entry was removed meanwhile")),
            }
            tokio::select! {
                biased;
                more = heard.changed() => if more.is_err() {
                    return self.last(&heard, &source, &key);
                },
                () = &mut over, if patience != Patience::Over => patience = Patience::Over,
            }
        }
    }

    /// What a program is told when the lane has ended.
    fn last(
        &self,
        heard: &watch::Receiver<EntryNews>,
        source: &str,
        key: &str,
    ) -> Result<GatewayAnswer, GatewayProblem> {
        match &*heard.borrow() {
            EntryNews::Open { state, .. } => {
                Ok(accepted(source, key, *state, Some("the gateway is ending")))
            }
            _ => Err(busy("it is ending")),
        }
    }
}

fn refused(refusal: QueueRefusal) -> GatewayProblem {
    let kind = if refusal.is_secret {
        GatewayProblemKind::CredentialInRequest
    } else {
        GatewayProblemKind::RequestInvalid
    };
    let help = refusal.help.map(|help| format!("; {help}")).unwrap_or_default();
    GatewayProblem::new(kind, format!("{}{help}", refusal.message))
}

fn reused(new: &NewEntry) -> GatewayProblem {
    let detail = "its method, path, headers or body are others; a new request needs a new key";
    GatewayProblem::new(GatewayProblemKind::KeyReused, detail)
        .about(address_of(&new.source, &new.key))
}

fn in_progress(source: &str, key: &str) -> GatewayProblem {
    let detail = "its answer is not there yet; send the same again later, or look at the instance";
    GatewayProblem::new(GatewayProblemKind::InProgress, detail)
        .about(address_of(source, key))
        .again_after(ASK_AGAIN_S)
}

fn full() -> GatewayProblem {
    let detail = "too many requests wait in it already; nothing was kept or sent";
    GatewayProblem::new(GatewayProblemKind::OutboxFull, detail).again_after(60)
}

fn busy(why: &str) -> GatewayProblem {
    GatewayProblem::new(GatewayProblemKind::Busy, format!("{why}; nothing was kept or sent"))
        .again_after(ASK_AGAIN_S)
}

/// Serves until somebody asks for the end, then until `ended`, and a moment longer.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    ended: impl Future<Output = ()>,
) {
    let open = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = Connections::default();
    let graceful = GracefulShutdown::new();
    let stop = gateway.host.stop.clone();
    let mut ended = pin!(ended);
    let mut has_ended = loop {
        if open.available_permits() == 0 {
            connections.drop_oldest();
        }
        let permit = Arc::clone(&open).acquire_owned();
        let accepted = tokio::select! {
            biased;
            _ = stop.requested() => break false,
            () = &mut ended => break true,
            accepted = async { (permit.await, listener.accept().await) } => accepted,
        };
        match accepted {
            (Ok(permit), Ok((stream, from))) => {
                let ticket = connections.admit(from.ip());
                connect(Arc::clone(&gateway), (stream, from), ticket, permit, &graceful);
                // Those that have come show who they are before more are let in.
                tokio::task::yield_now().await;
            }
            // Out of file handles, say: one that has shown no token makes room.
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection was not taken");
                connections.drop_oldest();
                gateway.millis(ACCEPT_AGAIN_MS).await;
            }
            (Err(_), _) => break false,
        }
    };
    drop(listener);
    let mut quiet = pin!(graceful.shutdown());
    let mut is_quiet = false;
    while !has_ended {
        tokio::select! {
            biased;
            () = &mut ended => has_ended = true,
            () = &mut quiet, if !is_quiet => is_quiet = true,
        }
    }
    if !is_quiet {
        tokio::select! {
            () = &mut quiet => {}
            () = gateway.millis(LAST_WORDS_MS) => {}
        }
    }
}

fn connect(
    gateway: Arc<Gateway>,
    (stream, from): (TcpStream, SocketAddr),
    (ticket, left): (Ticket, oneshot::Receiver<()>),
    permit: OwnedSemaphorePermit,
    graceful: &GracefulShutdown,
) {
    // Answers are small and whole: waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let (stream, refusal): (_, HeadRefusal) = Guarded::new(stream);
    let (own, ticket) = (Arc::clone(&gateway), Arc::new(ticket));
    let service = service_fn(move |request| {
        let (gateway, ticket) = (Arc::clone(&own), Arc::clone(&ticket));
        let refused = refusal.problem();
        async move {
            let answer = gateway.answer(request, refused, &ticket).await;
            Ok::<_, std::convert::Infallible>(response(answer))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS_MAX))
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%from, %error, "a connection ended");
            },
            () = told_to_go(left) => {
                tracing::debug!(%from, "a connection without a token had to go");
            }
            () = gateway.millis(CONNECTION_MS_MAX) => {}
        }
        drop(permit);
    });
}

fn response(answer: GatewayAnswer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        // A header that came from an API and is none is left out.
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

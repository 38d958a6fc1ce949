//! An API that takes orders, with a count of the effects of each, and the faults on the way to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use url::Url;
use windrow::host::StopSwitch;
use windrow::http::{HttpRequest, HttpResponse, NetError, NetKind, ResponseFuture, Transport};

use crate::net::EventLog;
use crate::scenario::{CANARY, SECOND, instant, once_in};
use crate::seams::SimClock;
use crate::vfs::SharedDisk;

/// How long the slowest order is worked on after its client has given up, milliseconds.
const WORK_MS_MAX: i64 = 50 * SECOND;
/// Requests that a sender has on the wire at once.
const ON_THE_WIRE_MAX: u32 = 4;
/// More requests than any life needs.
const REQUESTS_MAX: u64 = 5_000;

/// What the API knows of a key.
struct Known {
    since: i64,
    /// Until when it is worked on.
    busy_until: i64,
    answer: (u16, String),
}

/// Both ends of the wire.
pub struct Orders {
    /// Whether keys are honoured.
    pub honours: bool,
    /// How long a key is remembered, milliseconds.
    pub lifetime_ms: i64,
    /// Faults of the network and of the API.
    pub faulty: bool,
    /// Draws faults.
    pub random: fastrand::Rng,
    /// Effects by order.
    pub effects: BTreeMap<u64, u32>,
    /// When the last effect is there for all to see.
    pub busy_until: i64,
    /// Requests so far.
    pub requests: u64,
    /// The API asked not to be asked before this.
    pub not_before: i64,
    /// Requests that came before that all the same.
    early: u32,
    /// What must not have happened.
    pub violations: Vec<String>,
    /// What happened.
    pub log: EventLog,
    /// Ends the run in hand.
    pub switch: Option<StopSwitch>,
    /// The laptop's disk.
    pub disk: SharedDisk,
    /// The next answer is cut off by the end of the sender, so many changes of its disk later.
    pub kill_after: Option<u64>,
    /// From when on a lookup finds each order.
    seen_from: BTreeMap<u64, i64>,
    keys: HashMap<String, Known>,
    /// The bytes that each key came with first.
    sent: HashMap<String, (String, Vec<u8>)>,
    /// The last order of each lane.
    lanes: HashMap<String, u64>,
}

impl Orders {
    /// An API that has no orders yet.
    pub fn new(seed: u64, honours: bool, lifetime_ms: i64, disk: SharedDisk) -> Self {
        Self {
            honours,
            lifetime_ms,
            faulty: false,
            random: fastrand::Rng::with_seed(seed ^ 0x000f_de45),
            effects: BTreeMap::new(),
            busy_until: i64::MIN,
            requests: 0,
            not_before: i64::MIN,
            early: 0,
            violations: Vec::new(),
            log: EventLog::default(),
            switch: None,
            disk,
            kill_after: None,
            seen_from: BTreeMap::new(),
            keys: HashMap::new(),
            sent: HashMap::new(),
            lanes: HashMap::new(),
        }
    }

    /// Notes that something happened that must not.
    pub fn violated(&mut self, invariant: &str, what: &str) {
        self.log.note(format!("VIOLATION {invariant}: {what}"));
        self.violations.push(format!("{invariant}: {what}"));
    }

    fn exchange(
        &mut self,
        request: &HttpRequest,
        clock: &SimClock,
    ) -> Result<HttpResponse, NetError> {
        clock.pass(self.random.i64(20..400));
        let error = |kind: NetKind| NetError { kind, detail: format!("simulated {kind:?}") };
        if self.disk.lock().expect("no holder panics").is_cut() {
            // The laptop is off: nothing leaves it.
            return Err(error(NetKind::Unreachable));
        }
        self.requests += 1;
        if self.requests > REQUESTS_MAX {
            self.violated("S17", "a life of too many requests: it does not come to an end");
            return Err(error(NetKind::Unreachable));
        }
        let now = clock.truth();
        if now < self.not_before {
            self.early += 1;
            // Those that were on the wire already cannot be called back.
            if self.early >= ON_THE_WIRE_MAX {
                let early = self.not_before - now;
                self.violated("S13", &format!("asked {early} ms before the API allowed it"));
            }
        }
        if !request.headers.iter().any(|(_, value)| value.contains(CANARY)) {
            self.violated("S14", "a request without its credentials");
        }
        let outcome = self.carry(request, clock);
        if let Some(changes) = self.kill_after.take() {
            self.disk.lock().expect("no holder panics").cut_after(changes);
        }
        let said = match &outcome {
            Ok(response) => format!("{} {}", response.status, text_of(&response.body)),
            Err(error) => format!("{:?}", error.kind),
        };
        let (path, body) = (request.url.path(), request.body.as_deref().unwrap_or_default());
        let asked = format!("{} {path} {}", request.method.as_str(), text_of(body));
        self.log.note(format!("{} {asked} -> {said}", instant(now).format("%F %T%.3f")));
        outcome
    }

    fn carry(&mut self, request: &HttpRequest, clock: &SimClock) -> Result<HttpResponse, NetError> {
        let lost = |kind: NetKind| Err(NetError { kind, detail: format!("simulated {kind:?}") });
        let now = clock.truth();
        if !self.faulty {
            return Ok(self.answer(request, now, 0));
        }
        match self.random.u32(..100) {
            0..6 => {
                clock.pass(self.random.i64(0..10 * SECOND));
                lost(NetKind::Unreachable)
            }
            6..14 => {
                // It never arrives, and nobody can tell.
                clock.pass(self.random.i64(0..30 * SECOND));
                lost(if self.random.bool() { NetKind::Timeout } else { NetKind::Cut })
            }
            14..26 => {
                // It arrives, and the answer does not.
                let work = self.random.i64(0..WORK_MS_MAX);
                self.answer(request, now, work);
                clock.pass(self.random.i64(0..30 * SECOND));
                lost(if self.random.bool() { NetKind::Timeout } else { NetKind::Cut })
            }
            26..32 => {
                let seconds = self.random.i64(1..300);
                self.not_before = self.not_before.max(now + seconds * SECOND);
                self.early = 0;
                let wait = ("retry-after".to_owned(), seconds.to_string());
                Ok(response(429, vec![wait], "{}"))
            }
            32..38 => Ok(response([500, 502, 503][self.random.usize(..3)], Vec::new(), "{}")),
            38..43 => {
                // It has had its effect, and a proxy in front gave up.
                self.answer(request, now, WORK_MS_MAX / 2);
                Ok(response([500, 502, 504][self.random.usize(..3)], Vec::new(), "{}"))
            }
            43..45 => Ok(response(401, Vec::new(), "{}")),
            45..48 => {
                let html = ("content-type".to_owned(), "text/html".to_owned());
                Ok(response(200, vec![html], "<html><body>Log in to HotelWiFi</body></html>"))
            }
            48..51 => {
                if let Some(switch) = &self.switch {
                    switch.ask(windrow::host::StopCause::Interrupt);
                }
                Ok(self.answer(request, now, 0))
            }
            51..57 => {
                self.kill_after = Some(self.random.u64(1..12));
                Ok(self.answer(request, now, 0))
            }
            _ => Ok(self.answer(request, now, 0)),
        }
    }

    /// What a healthy API says; an order is worked on for `work` milliseconds.
    fn answer(&mut self, request: &HttpRequest, now: i64, work: i64) -> HttpResponse {
        if request.method.as_str() == "GET" {
            return self.look_up(&request.url, now);
        }
        let body = request.body.clone().unwrap_or_default();
        let Ok(order) = serde_json::from_slice::<serde_json::Value>(&body) else {
            self.violated("S16", "a body that is no JSON");
            return response(400, Vec::new(), "{}");
        };
        let number = order["ref"].as_u64().unwrap_or_default();
        if !self.honours {
            return self.take(&order, number, now, work);
        }
        let Some(key) = key_of(request, &order) else {
            self.violated("S16", &format!("order {number} came without a key"));
            return response(400, Vec::new(), "{}");
        };
        let bytes = (request.url.to_string(), body);
        let first = self.sent.entry(key.clone()).or_insert_with(|| bytes.clone());
        if *first != bytes {
            self.violated("S16", &format!("the key {key} came with other bytes"));
            return response(422, Vec::new(), "{}");
        }
        if let Some(known) = self.keys.get(&key).filter(|it| now - it.since < self.lifetime_ms) {
            if now < known.busy_until {
                return response(409, Vec::new(), "{}");
            }
            let replayed = ("idempotency-replayed".to_owned(), "true".to_owned());
            return response(known.answer.0, vec![replayed], &known.answer.1);
        }
        let taken = self.take(&order, number, now, work);
        let answer = (taken.status, text_of(&taken.body));
        self.keys.insert(key, Known { since: now, busy_until: now + work, answer });
        taken
    }

    /// An order takes effect, or is refused for good.
    fn take(
        &mut self,
        order: &serde_json::Value,
        number: u64,
        now: i64,
        work: i64,
    ) -> HttpResponse {
        if order["bad"] == true {
            return response(422, Vec::new(), r#"{"error":"no such thing"}"#);
        }
        let effects = self.effects.entry(number).or_default();
        *effects += 1;
        if *effects > 1 {
            let times = *effects;
            self.violated("S16", &format!("order {number} took effect {times} times"));
        }
        self.busy_until = self.busy_until.max(now + work);
        self.seen_from.entry(number).or_insert(now + work);
        if let Some(lane) = order["lane"].as_str() {
            let last = self.lanes.insert(lane.to_owned(), number).unwrap_or_default();
            if last > number {
                self.violated("S16", &format!("order {number} came after {last} of lane {lane}"));
            }
        }
        let parent = &order["parent"];
        let parent = parent.as_u64().or_else(|| parent.as_str()?.parse().ok());
        if let Some(parent) = parent
            && !self.effects.contains_key(&(parent - 1_000))
        {
            self.violated("S16", &format!("order {number} came before {parent}, which it names"));
        }
        response(201, Vec::new(), &format!("{{\"id\":{}}}", number + 1_000))
    }

    /// By its reference, which is the key that its entry was queued under. Of what is still worked
    /// on nothing is known.
    fn look_up(&mut self, url: &Url, now: i64) -> HttpResponse {
        let asked = url.query_pairs().find(|(name, _)| name == "reference");
        let number = asked.and_then(|(_, key)| key.strip_prefix("order-")?.parse::<u64>().ok());
        let Some(number) = number else { return response(400, Vec::new(), "{}") };
        let seen = self.seen_from.get(&number).is_some_and(|from| now >= *from);
        let data = if seen { format!("{{\"id\":{}}}", number + 1_000) } else { String::new() };
        response(200, Vec::new(), &format!("{{\"data\":[{data}]}}"))
    }
}

/// The key, wherever the definition puts it.
fn key_of(request: &HttpRequest, order: &serde_json::Value) -> Option<String> {
    let header = request.headers.iter().find(|(name, _)| name == "idempotency-key");
    let header = header.map(|(_, value)| value.trim_matches('"').to_owned());
    let query = request.url.query_pairs().find(|(name, _)| name == "idempotency_key");
    let query = query.map(|(_, value)| value.into_owned());
    header.or(query).or_else(|| order["idempotency_key"].as_str().map(str::to_owned))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn response(status: u16, mut headers: Vec<(String, String)>, body: &str) -> HttpResponse {
    if !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    HttpResponse { status, headers, body: body.as_bytes().to_vec() }
}

/// The transport that the sender is given.
pub struct OrdersTransport {
    /// Both ends.
    pub orders: Arc<Mutex<Orders>>,
    /// The clock.
    pub clock: Arc<SimClock>,
    /// What another process does in the middle; it says what must not have happened.
    pub beside: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl Transport for OrdersTransport {
    fn send<'a>(&'a self, request: &'a HttpRequest) -> ResponseFuture<'a> {
        Box::pin(async move {
            let meddles = {
                let mut orders = self.orders.lock().expect("no holder panics");
                orders.faulty && once_in(&mut orders.random, 20)
            };
            let wrong = if meddles { (self.beside)() } else { None };
            let mut orders = self.orders.lock().expect("no holder panics");
            if let Some(wrong) = wrong {
                orders.violated("one sender", &wrong);
            }
            orders.exchange(request, &self.clock)
        })
    }
}

//! The way to the model API, and everything that happens on it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use url::Url;
use windrow::host::{StopCause, StopSwitch};
use windrow::http::{HttpRequest, HttpResponse, NetError, NetKind, ResponseFuture, Transport};
use windrow::model::ErrorKind;
use windrow::store::{Archive, Opening};

use crate::check::{check_ledger, open};
use crate::scenario::{CANARY, Classes, SECOND, instant, once_in};
use crate::seams::{SimClock, SimFiles, rest};
use crate::vfs::SharedDisk;
use crate::world::World;

/// More requests than any life needs.
const REQUESTS_MAX: u64 = 10_000;

/// One request of so many waits for its answer; not drawn, so that lives stay what they were.
const STALL_EVERY: u64 = 3;

/// How long another program tries to write, in real time: none passes for the sync meanwhile, so
/// that a lock which it holds is there at the end too. SQLite itself asks to be tried twice.
const WRITER_PATIENCE: Duration = Duration::from_millis(500);

/// Everything that the two ends of the wire share.
pub struct Shared {
    /// The API.
    pub world: World,
    /// Faults that are on just now.
    pub faults: Classes,
    /// Draws faults.
    pub random: fastrand::Rng,
    /// What must not have happened.
    pub violations: Vec<String>,
    /// The API asked not to be asked before this.
    pub not_before: i64,
    /// Requests so far.
    pub requests: u64,
    /// What happened, for the hash of the run and for whoever looks at a failing seed.
    pub log: EventLog,
    /// Whether the archive is looked at in the middle of runs.
    pub watched: bool,
    /// Whether there is no network at all.
    pub offline: bool,
    /// Switches the run off.
    pub switch: Option<StopSwitch>,
    /// The archive.
    pub archive: PathBuf,
    /// The disk.
    pub disk: SharedDisk,
}

/// A log as a hash, and as text where it is wanted.
#[derive(Default)]
pub struct EventLog {
    hash: Sha256,
    /// The lines, if anybody wants them.
    pub lines: Option<Vec<String>>,
}

impl EventLog {
    /// Notes something.
    pub fn note(&mut self, line: String) {
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        if let Some(lines) = &mut self.lines {
            // Told at once: a life that never ends is to be seen too.
            #[allow(clippy::disallowed_macros)]
            {
                println!("{line}");
            }
            lines.push(line);
        }
    }

    /// The hash of everything so far.
    pub fn digest(&self) -> String {
        self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The transport that the engine is given.
pub struct SimTransport {
    /// Both ends.
    pub shared: Arc<Mutex<Shared>>,
    /// The clock.
    pub clock: Arc<SimClock>,
}

impl Transport for SimTransport {
    fn send<'a>(&'a self, request: &'a HttpRequest) -> ResponseFuture<'a> {
        Box::pin(async move {
            let stalls = self.shared.lock().expect("no holder panics").stalls();
            if stalls {
                rest().await;
                self.shared.lock().expect("no holder panics").let_writer_in();
            }
            let mut shared = self.shared.lock().expect("no holder panics");
            shared.exchange(request, &self.clock)
        })
    }
}

impl Shared {
    /// Notes that something happened that must not.
    pub fn violated(&mut self, invariant: &str, what: &str) {
        self.log.note(format!("VIOLATION {invariant}: {what}"));
        self.violations.push(format!("{invariant}: {what}"));
    }

    /// Whether the source lets this request wait for its answer.
    fn stalls(&self) -> bool {
        self.requests.is_multiple_of(STALL_EVERY)
    }

    /// S27: no transaction is open while the source or a timer is waited for, so that another
    /// program can write.
    pub fn let_writer_in(&mut self) {
        let hurt = self.disk.lock().expect("no holder panics").is_at_risk();
        if !self.watched || hurt || !self.archive.exists() {
            return;
        }
        let written = open(&self.archive).and_then(|connection| {
            connection.busy_timeout(WRITER_PATIENCE)?;
            connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
        });
        if let Err(error) = written {
            self.violated("S27", &format!("nobody else can write while a sync waits: {error}"));
        }
    }

    fn exchange(
        &mut self,
        request: &HttpRequest,
        clock: &SimClock,
    ) -> Result<HttpResponse, NetError> {
        clock.pass(self.random.i64(20..400));
        self.requests += 1;
        if self.requests == REQUESTS_MAX {
            self.violated("S18", "a life of too many requests: it does not come to an end");
        }
        if self.requests >= REQUESTS_MAX {
            if let Some(switch) = &self.switch {
                switch.ask(StopCause::Interrupt);
            }
            let detail = "the end of the simulation".to_owned();
            return Err(NetError { kind: NetKind::Unreachable, detail });
        }
        let now = clock.truth();
        self.guard(request, now);
        self.interfere(clock);
        self.world.churn(now);
        let outcome = self.carry(request, clock);
        let said = match &outcome {
            Ok(response) => format!("{} {}", response.status, response.body.len()),
            Err(error) => format!("{:?}", error.kind),
        };
        let asked = asked_of(request);
        let (path, query) = (asked.path(), asked.query().unwrap_or_default());
        self.log.note(format!("{} {path}?{query} -> {said}", instant(now).format("%F %T%.3f")));
        outcome
    }

    /// S13 and S14: what a request must never be.
    fn guard(&mut self, request: &HttpRequest, now: i64) {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        if host != "api.example.com" || request.url.scheme() != "https" {
            self.violated("S14", &format!("a request to {}", request.url));
        }
        if now < self.not_before {
            let early = self.not_before - now;
            self.violated("S13", &format!("asked {early} ms before the source allowed it"));
        }
        let sent = request.headers.iter().any(|(_, value)| value.contains(CANARY))
            || request.url.query().is_some_and(|query| query.contains(CANARY));
        if !sent {
            self.violated("S14", "a request without its credentials");
        }
    }

    /// What other programs and people do in the middle of a run.
    fn interfere(&mut self, clock: &SimClock) {
        let cut = self.disk.lock().expect("no holder panics").is_cut();
        if self.watched && !cut && once_in(&mut self.random, 25) {
            let seen = check_ledger(&self.archive, &self.world, clock.truth());
            for what in seen.unwrap_or_default() {
                self.violated("S1/S23", &format!("in the middle of a run: {what}"));
            }
        }
        if self.watched && !cut && once_in(&mut self.random, 40) {
            let files = SimFiles { disk: Arc::clone(&self.disk) };
            let opening =
                Opening { note: "a second", now: "now", allow_network_fs: true, files: &files };
            match Archive::open(&self.archive, &opening) {
                Err(error) if error.kind == ErrorKind::Held => {}
                Err(error) => self.violated("one writer", &format!("not held but {error}")),
                Ok(_) => self.violated("one writer", "a second writer was let in"),
            }
        }
        if self.faults.stops
            && once_in(&mut self.random, 15)
            && let Some(switch) = &self.switch
        {
            switch.ask(StopCause::Interrupt);
            self.log.note("Ctrl-C".to_owned());
        }
    }

    fn carry(&mut self, request: &HttpRequest, clock: &SimClock) -> Result<HttpResponse, NetError> {
        let faults = self.faults;
        if self.offline {
            clock.pass(SECOND);
            let detail = "no network".to_owned();
            return Err(NetError { kind: NetKind::Unreachable, detail });
        }
        if faults.network && once_in(&mut self.random, 12) {
            let (kind, millis) = match self.random.u32(..3) {
                0 => (NetKind::Unreachable, 10_000),
                1 => (NetKind::Timeout, 30_000),
                _ => (NetKind::Cut, 2_000),
            };
            clock.pass(self.random.i64(0..millis));
            if self.random.bool() {
                // The answer was made, and lost on its way.
                self.world.answer(&asked_of(request), clock.truth());
            }
            return Err(NetError { kind, detail: format!("simulated {kind:?}") });
        }
        let now = clock.truth();
        if faults.throttling && once_in(&mut self.random, 12) {
            return Ok(self.throttle(now));
        }
        if faults.portals && once_in(&mut self.random, 15) {
            return Ok(self.portal(now));
        }
        if faults.strangers && once_in(&mut self.random, 20) {
            let location = ("location".to_owned(), "https://evil.example/v1/records".to_owned());
            return Ok(self.response(302, vec![location], "", now));
        }
        let answer = self.world.answer(&asked_of(request), now);
        let mut response = self.response(answer.status, answer.headers, &answer.body, now);
        if faults.strangers && answer.status == 200 && once_in(&mut self.random, 10) {
            // A link of a source that was taken over.
            let text = String::from_utf8_lossy(&response.body);
            let text = text.replace("\"next\":\"https://api.", "\"next\":\"https://evil.");
            response.body = text.into_bytes();
            for (name, value) in &mut response.headers {
                if name == "link" {
                    *value = value.replace("https://api.", "https://evil.");
                }
            }
        }
        Ok(response)
    }

    fn response(
        &mut self,
        status: u16,
        mut headers: Vec<(String, String)>,
        body: &str,
        now: i64,
    ) -> HttpResponse {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        if self.world.scenario.dated {
            let ahead = self.world.scenario.clock_ahead();
            headers.push(("date".to_owned(), http_date(now + ahead)));
        }
        HttpResponse { status, headers, body: body.as_bytes().to_vec() }
    }

    fn throttle(&mut self, now: i64) -> HttpResponse {
        let status = [429, 429, 500, 503][self.random.usize(..4)];
        let mut headers = Vec::new();
        let dated = self.world.scenario.dated;
        match self.random.u32(..4) {
            0 => {}
            1 if dated => {
                let seconds = self.random.i64(1..40);
                let until = now + seconds * SECOND + self.world.scenario.clock_ahead();
                headers.push(("retry-after".to_owned(), http_date(until)));
                // A date has whole seconds, and so has the one that it is held against.
                self.not_before = self.not_before.max(now + (seconds - 1) * SECOND);
            }
            2 => {
                let seconds = self.random.i64(100..4_000);
                headers.push(("retry-after".to_owned(), seconds.to_string()));
                self.not_before = self.not_before.max(now + seconds * SECOND);
            }
            _ => {
                let seconds = self.random.i64(1..50);
                headers.push(("retry-after".to_owned(), seconds.to_string()));
                self.not_before = self.not_before.max(now + seconds * SECOND);
            }
        }
        self.log.note(format!("throttled until {}", self.not_before));
        self.response(status, headers, "{}", now)
    }

    fn portal(&mut self, now: i64) -> HttpResponse {
        let html = "<html><body>Log in to HotelWiFi</body></html>";
        match self.random.u32(..7) {
            0 => {
                let mut page = self.response(200, Vec::new(), html, now);
                page.headers.insert(0, ("content-type".to_owned(), "text/html".to_owned()));
                page
            }
            1 => self.response(200, Vec::new(), html, now),
            2 => self.response(511, Vec::new(), "{}", now),
            3 => self.response(200, Vec::new(), r#"{"login_required":true}"#, now),
            4 => {
                self.response(200, Vec::new(), r#"{"error":{"message":"backend"},"data":[]}"#, now)
            }
            5 => self.response(200, Vec::new(), r#"{"data":[{"id":1,"at":"2026-"#, now),
            _ => self.response(200, Vec::new(), "", now),
        }
    }
}

fn http_date(at: i64) -> String {
    instant(at).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// What is asked, wherever it stands: the members of a body count as parameters.
fn asked_of(request: &HttpRequest) -> Url {
    let mut url = request.url.clone();
    let body = request.body.as_deref().unwrap_or(b"{}");
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).expect("windrow sends a JSON object");
    for (name, value) in &members {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        url.query_pairs_mut().append_pair(name, &text);
    }
    url
}

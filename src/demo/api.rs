//! The demo's API: HTTP/1.1 on loopback, and as unreliable as the ones outside.
//!
//! Raw sockets, because a well-behaved server library cannot cut a body in the middle.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use url::Url;

use super::world::{CLIENTS, DemoUsage, cycle_start, gb, lines, usage};

/// What goes wrong with a request for a page of usage.
#[derive(Clone, Debug)]
pub enum DemoFault {
    /// 429 with `Retry-After` seconds.
    TooMany(u32),
    /// An answer with status 500.
    ServerError,
    /// The connection is cut in the middle of the body.
    Cut,
    /// A row leaves the first page while the second one is asked for.
    Shift,
    /// No answer; whoever waits on the other end is told that it is asked for.
    Stall(Sender<()>),
}

/// How often a stalled answer looks whether the server is to end, milliseconds: nobody notices that
/// delay at the end of the demonstration.
const STALL_POLL_MS: u64 = 20;

/// Loopback addresses to listen on, the first one that works: one that no other program uses, so
/// that its port is still free when the server comes back (Linux), or the usual one.
const ADDRESSES: [&str; 2] = ["127.83.79.1", "127.0.0.1"];
/// How often the server tries to come back to its port: five seconds in all, after which another
/// program is there to stay.
const REBINDS_MAX: u32 = 250;

struct ApiState {
    now: DateTime<Utc>,
    /// What goes wrong next; `None` is a request that goes well.
    faults: VecDeque<Option<DemoFault>>,
    /// A hotel's login page instead of every answer.
    login_page: bool,
    /// Rows at the front that are hidden until a page is shifted.
    hidden: usize,
}

/// The demonstration's API: a server on loopback whose data follows a clock of its own.
pub struct Api {
    state: Arc<Mutex<ApiState>>,
    address: SocketAddr,
    listening: Option<Listening>,
}

struct Listening {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Api {
    /// Starts on a free port of the loopback interface.
    pub fn start(now: DateTime<Utc>) -> std::io::Result<Api> {
        let faults = VecDeque::new();
        let state = ApiState { now, faults, login_page: false, hidden: 0 };
        let listener = ADDRESSES.iter().find_map(|host| TcpListener::bind((*host, 0)).ok());
        let listener = match listener {
            Some(listener) => listener,
            None => TcpListener::bind(("127.0.0.1", 0))?,
        };
        let address = listener.local_addr()?;
        let mut api = Api { state: Arc::new(Mutex::new(state)), address, listening: None };
        api.listen(listener)?;
        Ok(api)
    }

    /// The base address, as `http://127.0.0.1:8080`.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Moves the world's clock.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.lock().now = now;
    }

    /// What goes wrong with the next requests for usage, in order.
    pub fn plan_faults(&self, faults: Vec<Option<DemoFault>>) {
        let mut state = self.lock();
        state.hidden =
            usize::from(faults.iter().any(|fault| matches!(fault, Some(DemoFault::Shift))));
        state.faults = faults.into();
    }

    /// Puts a login page before everything, or takes it away.
    pub fn set_login_page(&self, on: bool) {
        self.lock().login_page = on;
    }

    /// Nobody listens any more: connections are refused.
    pub fn go_offline(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.stop.store(true, Ordering::SeqCst);
            // The accepting thread wakes up for one last connection.
            let _ = TcpStream::connect(self.address);
            let _ = listening.thread.join();
        }
    }

    /// Listens again, at the same address.
    pub fn come_back(&mut self) -> std::io::Result<()> {
        // Somebody may have borrowed the port for a moment.
        let mut listener = TcpListener::bind(self.address);
        for _ in 0..REBINDS_MAX {
            if listener.is_ok() {
                break;
            }
            #[expect(clippy::disallowed_methods, reason = "the server has no clock seam")]
            std::thread::sleep(Duration::from_millis(STALL_POLL_MS));
            listener = TcpListener::bind(self.address);
        }
        self.listen(listener?)
    }

    fn lock(&self) -> MutexGuard<'_, ApiState> {
        self.state.lock().expect("no handler panics")
    }

    fn listen(&mut self, listener: TcpListener) -> std::io::Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let (state, stopped) = (Arc::clone(&self.state), Arc::clone(&stop));
        let accept = move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (state, stopped) = (Arc::clone(&state), Arc::clone(&stopped));
                std::thread::spawn(move || serve(&stream, &state, &stopped));
            }
        };
        let thread = std::thread::Builder::new().name("demo-api".to_owned()).spawn(accept)?;
        self.listening = Some(Listening { stop, thread });
        Ok(())
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.go_offline();
    }
}

/// Answers requests on one connection until it ends.
fn serve(stream: &TcpStream, state: &Mutex<ApiState>, stopped: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let mut reader = BufReader::new(stream);
    while let Some(path) = read_request(&mut reader) {
        if stopped.load(Ordering::SeqCst) {
            return;
        }
        let answer = answer(&path, state);
        match answer {
            Answer::Whole(text) => {
                if (&mut &*stream).write_all(text.as_bytes()).is_err() {
                    return;
                }
            }
            Answer::Cut(text) => {
                let _ = (&mut &*stream).write_all(&text.as_bytes()[..text.len() / 2]);
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
            Answer::Never => {
                while !stopped.load(Ordering::SeqCst) && is_open(stream) {
                    #[expect(clippy::disallowed_methods, reason = "the server has no clock seam")]
                    std::thread::sleep(Duration::from_millis(STALL_POLL_MS));
                }
                return;
            }
        }
    }
}

fn is_open(stream: &TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    let mut byte = [0];
    let open = match stream.peek(&mut byte) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    };
    let _ = stream.set_nonblocking(false);
    open
}

/// The path and query of the next request, once its head has come.
fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line.trim().is_empty() {
            break;
        }
    }
    first.split(' ').nth(1).map(str::to_owned)
}

enum Answer {
    Whole(String),
    Cut(String),
    Never,
}

fn http(status: &str, kind: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{more}\r\n{body}"
    )
}

fn json(body: &str) -> Answer {
    Answer::Whole(http("200 OK", "application/json", "", body))
}

fn answer(path: &str, state: &Mutex<ApiState>) -> Answer {
    let mut state = state.lock().expect("no handler panics");
    if state.login_page {
        let page = "<!doctype html><title>Hotel WiFi</title><h1>Welcome! Please log in.</h1>";
        return Answer::Whole(http("200 OK", "text/html", "", page));
    }
    let Ok(url) = Url::parse("http://api").and_then(|base| base.join(path)) else {
        return not_found();
    };
    let parameter = |name: &str| {
        url.query_pairs().find(|(have, _)| have == name).map(|(_, value)| value.into_owned())
    };
    let date = |name: &str| parameter(name).and_then(|text| text.parse::<NaiveDate>().ok());
    let number = |name: &str| parameter(name).and_then(|text| text.parse::<usize>().ok());
    match url.path() {
        "/v1/clients" => json(&clients()),
        "/v1/service-lines" => json(&service_lines()),
        "/v1/usage" => {
            let (Some(from), Some(to)) = (date("from"), date("to")) else { return not_found() };
            let page = number("page").unwrap_or(1);
            let per_page = number("per_page").unwrap_or(50).max(1);
            faulty_page(&mut state, (from, to), page, per_page)
        }
        // The last N billing cycles of every client, as the API offers them to everybody else.
        "/v1/usage/last-cycles" => {
            let cycles = number("n").unwrap_or(2).max(1);
            let today = state.now.date_naive();
            let back = u32::try_from(cycles - 1).unwrap_or(0);
            let rows = CLIENTS.iter().flat_map(|client| {
                let start = cycle_start(client, today, back);
                let rows = usage(start, today, state.now).into_iter();
                rows.filter(|row| row.client == client.id).collect::<Vec<_>>()
            });
            let rows: Vec<DemoUsage> = rows.collect();
            json(&usage_body(&rows, rows.len()))
        }
        _ => not_found(),
    }
}

fn not_found() -> Answer {
    Answer::Whole(http("404 Not Found", "application/json", "", r#"{"error":"not found"}"#))
}

fn faulty_page(
    state: &mut ApiState,
    (from, to): (NaiveDate, NaiveDate),
    page: usize,
    per_page: usize,
) -> Answer {
    let fault = state.faults.pop_front().flatten();
    if matches!(fault, Some(DemoFault::Shift)) {
        state.hidden = 0;
    }
    let until = to.succ_opt().unwrap_or(to);
    let rows = usage(from, until, state.now);
    let hidden = state.hidden.min(rows.len());
    let rows = &rows[hidden..];
    let start = ((page - 1) * per_page).min(rows.len());
    let end = (start + per_page).min(rows.len());
    let body = usage_body(&rows[start..end], rows.len());
    match fault {
        None | Some(DemoFault::Shift) => json(&body),
        Some(DemoFault::TooMany(seconds)) => {
            let more = format!("retry-after: {seconds}\r\n");
            let body = r#"{"error":"slow down"}"#;
            Answer::Whole(http("429 Too Many Requests", "application/json", &more, body))
        }
        Some(DemoFault::ServerError) => {
            let body = r#"{"error":"backend timeout"}"#;
            Answer::Whole(http("500 Internal Server Error", "application/json", "", body))
        }
        Some(DemoFault::Cut) => Answer::Cut(http("200 OK", "application/json", "", &body)),
        Some(DemoFault::Stall(tell)) => {
            let _ = tell.send(());
            Answer::Never
        }
    }
}

fn clients() -> String {
    let each = CLIENTS.iter().map(|client| {
        let (id, name, plan) = (client.id, client.name, client.plan_gb);
        format!(r#"{{"client_id":"{id}","name":"{name}","plan_gb":{plan}}}"#)
    });
    format!(r#"{{"data":[{}]}}"#, each.collect::<Vec<_>>().join(","))
}

fn service_lines() -> String {
    let each = lines().map(|(line, client)| {
        format!(r#"{{"service_line_id":"{line}","client_id":"{}"}}"#, client.id)
    });
    format!(r#"{{"data":[{}]}}"#, each.collect::<Vec<_>>().join(","))
}

/// Usage by service line, as such an API likes to answer.
fn usage_body(rows: &[DemoUsage], total: usize) -> String {
    let mut by_line: Vec<(&str, Vec<&DemoUsage>)> = Vec::new();
    for row in rows {
        match by_line.iter_mut().find(|(line, _)| *line == row.line) {
            Some((_, days)) => days.push(row),
            None => by_line.push((&row.line, vec![row])),
        }
    }
    let mut body = format!(r#"{{"total":{total},"lines":{{"#);
    for (at, (line, days)) in by_line.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let days = days.iter().map(|row| {
            let (date, used) = (row.date, gb(row.milli_gb));
            let updated = row.updated_at.format("%Y-%m-%dT%H:%M:%SZ");
            format!(r#"{{"date":"{date}","consumed_gb":{used},"updated_at":"{updated}"}}"#)
        });
        let days = days.collect::<Vec<_>>().join(",");
        let _ = write!(body, r#"{comma}"{line}":{{"daily_usage":[{days}]}}"#);
    }
    body.push_str("}}");
    body
}

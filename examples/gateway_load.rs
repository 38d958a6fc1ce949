//! How fast is `windrow outbox serve`, and is anything doubled?
//!
//! An embedded API counts the effects of each key and ignores that keys are there: whatever
//! reaches it twice shows. The same load goes to it directly and through the gateway, which runs
//! as a process of its own; the difference is what the gateway costs.
//!
//!     cargo run --release --example gateway_load -- --rate 1000 --seconds 20
//!
//! `--rate 0` asks as fast as answers come. `--connections` (64), `--repeats` (10, percent of
//! requests that repeat an earlier key), `--api-ms` (0, how long the API thinks) and `--folder`
//! (where the archive lies: the disk decides) change the rest.
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "it measures and prints")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Effects = Arc<Mutex<HashMap<String, u64>>>;

struct Plan {
    rate: u64,
    seconds: u64,
    connections: u64,
    repeats: u64,
    api_ms: u64,
    folder: PathBuf,
}

impl Plan {
    fn read() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let text = |name: &str| {
            let at = arguments.iter().position(|have| have == name)?;
            arguments.get(at + 1).cloned()
        };
        let number = |name: &str, default: u64| {
            text(name).map_or(default, |text| text.parse().expect("a whole number"))
        };
        let folder = format!("windrow-gateway-load-{}", std::process::id());
        Self {
            rate: number("--rate", 1000),
            seconds: number("--seconds", 20),
            connections: number("--connections", 64),
            repeats: number("--repeats", 10),
            api_ms: number("--api-ms", 0),
            folder: text("--folder").map_or(std::env::temp_dir(), PathBuf::from).join(folder),
        }
    }
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    /// Microseconds of each request.
    times: Vec<u64>,
    replays: u64,
    /// Answers other than 201, by status.
    others: HashMap<u16, u64>,
}

fn main() -> ExitCode {
    // The gateway is this very program, started once more.
    if std::env::args().nth(1).as_deref() == Some("outbox") {
        return windrow::cli::run(std::env::args_os().collect()).number().into();
    }
    let plan = Plan::read();
    std::fs::create_dir_all(&plan.folder).expect("the folder is made");
    let effects = Effects::default();
    let api = start_api(Arc::clone(&effects), plan.api_ms);
    let direct = load(&plan, &api, "/v1/orders", "", "direct");
    effects.lock().expect("no handler panics").clear();
    let (gateway, address, token) = start_gateway(&plan, &api);
    let header = format!("authorization: Bearer {token}\r\n");
    load(&Plan { seconds: 2, ..Plan::read() }, &address, "/shop/orders", &header, "warm");
    let through = load(&plan, &address, "/shop/orders", &header, "gateway");
    stop(gateway);
    let _ = std::fs::remove_dir_all(&plan.folder);
    tell(&plan, &direct, &through, &effects)
}

fn tell(plan: &Plan, direct: &[Seen], through: &[Seen], effects: &Effects) -> ExitCode {
    let at = |seen: &[Seen], share: f64| {
        let mut times: Vec<u64> = seen.iter().flat_map(|seen| seen.times.iter().copied()).collect();
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        times.get((last as f64 * share) as usize).map_or(0.0, |micros| *micros as f64 / 1000.0)
    };
    let answers = |seen: &[Seen]| seen.iter().map(|seen| seen.times.len()).sum::<usize>();
    for (name, seen) in [("direct", direct), ("gateway", through)] {
        println!(
            "{name:8} {:8.0} answers/s   p50 {:7.2} ms   p99 {:7.2} ms   max {:7.2} ms",
            answers(seen) as f64 / plan.seconds as f64,
            at(seen, 0.5),
            at(seen, 0.99),
            at(seen, 1.0),
        );
    }
    println!(
        "added             p50 {:.2} ms   p99 {:.2} ms",
        at(through, 0.5) - at(direct, 0.5),
        at(through, 0.99) - at(direct, 0.99)
    );
    let mut others: HashMap<u16, u64> = HashMap::new();
    for (status, count) in through.iter().flat_map(|seen| &seen.others) {
        *others.entry(*status).or_default() += count;
    }
    let effects = effects.lock().expect("no handler panics");
    let doubled = effects.values().filter(|count| **count > 1).count();
    let replays: u64 = through.iter().map(|seen| seen.replays).sum();
    println!("replays {replays}, other answers {others:?}");
    println!("keys with an effect {}, with more than one {doubled}", effects.len());
    if doubled == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// An API that does what it is told each time it is told.
fn start_api(effects: Effects, think_ms: u64) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let effects = Arc::clone(&effects);
            std::thread::spawn(move || answer_all(&stream, &effects, think_ms));
        }
    });
    address
}

fn answer_all(stream: &TcpStream, effects: &Effects, think_ms: u64) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    while let Some((_, headers, _)) = read_message(&mut reader) {
        let key = headers.iter().find(|(name, _)| name == "idempotency-key");
        let key = key.map(|(_, key)| key.clone()).unwrap_or_default();
        if think_ms > 0 {
            std::thread::sleep(Duration::from_millis(think_ms));
        }
        *effects.lock().expect("no handler panics").entry(key).or_default() += 1;
        let body = r#"{"id":1}"#;
        let text = format!(
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut out = stream;
        if out.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

type Message = (String, Vec<(String, String)>, Vec<u8>);

/// First line, headers in lower case, body.
fn read_message(reader: &mut BufReader<&TcpStream>) -> Option<Message> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, headers, body))
}

fn start_gateway(plan: &Plan, api: &str) -> (Child, String, String) {
    let definition =
        format!("[archive]\npath = \"a.db\"\n\n[sources.shop]\nbase_url = \"http://{api}/v1\"\n");
    std::fs::write(plan.folder.join("windrow.toml"), definition).expect("the definition");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["outbox", "serve", "--listen", "127.0.0.1:0", "--token-file", "token", "--json"])
        .env("WINDROW_STATE_DIR", plan.folder.join("state"))
        .current_dir(&plan.folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the gateway starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let (_, rest) = line.split_once("http://").expect("where it listens");
    let address = rest.split('"').next().expect("an address").to_owned();
    let token = std::fs::read_to_string(plan.folder.join("token")).expect("the token");
    (child, address, token.trim().to_owned())
}

fn stop(mut gateway: Child) {
    let _ = gateway.kill();
    let _ = gateway.wait();
}

/// Asks on all connections for as long as the plan says.
fn load(plan: &Plan, address: &str, target: &str, header: &str, name: &str) -> Vec<Seen> {
    let until = Instant::now() + Duration::from_secs(plan.seconds);
    let pace = match plan.rate {
        0 => Duration::ZERO,
        rate => Duration::from_secs_f64(plan.connections as f64 / rate as f64),
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..plan.connections)
            .map(|number| {
                let first = Instant::now() + pace.mul_f64(number as f64 / plan.connections as f64);
                scope.spawn(move || {
                    let keys = format!("{name}-{number}");
                    ask_all(address, target, header, &keys, (first, pace, until), plan.repeats)
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().expect("no connection panics")).collect()
    })
}

fn ask_all(
    address: &str,
    target: &str,
    header: &str,
    keys: &str,
    (first, pace, until): (Instant, Duration, Instant),
    repeats: u64,
) -> Seen {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_nodelay(true).expect("a socket");
    let mut reader = BufReader::new(&stream);
    let mut seen = Seen::default();
    let (mut next, mut count) = (first, 0_u64);
    loop {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        if Instant::now() >= until {
            return seen;
        }
        // Every so many requests, the one before comes again.
        let again = count > 0 && (count * repeats) / 100 != ((count - 1) * repeats) / 100;
        let key = if again { count - 1 } else { count };
        let body = format!(r#"{{"order":"{keys}-{key}","coffee":1}}"#);
        let text = format!(
            "POST {target} HTTP/1.1\r\nhost: {address}\r\n{header}idempotency-key: \"{keys}-{key}\"\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        // A late request is late by its plan: what waits for the one before counts.
        let begun = if pace.is_zero() { Instant::now() } else { next };
        let mut out = &stream;
        out.write_all(text.as_bytes()).expect("somebody listens");
        let (line, headers, _) = read_message(&mut reader).expect("an answer");
        seen.times.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        match line.split(' ').nth(1).and_then(|status| status.parse().ok()) {
            Some(201) => {}
            status => *seen.others.entry(status.unwrap_or(0)).or_default() += 1,
        }
        seen.replays += u64::from(headers.iter().any(|(name, _)| name == "idempotency-replayed"));
        (next, count) = (next + pace, count + 1);
    }
}

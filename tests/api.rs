//! A loopback server of raw sockets: what a test tells it is what goes over the wire, byte for
//! byte, also when that is no HTTP that a library would send.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use url::Url;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn parameter(&self, name: &str) -> Option<String> {
        let base = Url::parse("http://api").expect("an address");
        let url = base.join(&self.target).expect("a target");
        url.query_pairs().find(|(have, _)| have == name).map(|(_, value)| value.into_owned())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What goes back.
pub enum Reply {
    /// Bytes, and then the connection stays open.
    Bytes(Vec<u8>),
    /// Bytes, and then the connection ends.
    Close(Vec<u8>),
    /// Nothing for so long, then the end.
    Silence(Duration),
    /// Bytes, and then the connection is reset and not ended.
    Reset(Vec<u8>),
    /// The first bytes, and then the others again and again until nobody listens.
    Endless(Vec<u8>, Vec<u8>),
    /// The head, and then a byte of the body each time this has passed.
    Drip(Duration),
}

/// An answer with a length, headers and a body.
pub fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    Reply::Bytes(format!("{head}\r\n{body}").into_bytes())
}

/// 200 with JSON.
pub fn json(body: &str) -> Reply {
    answer("200 OK", &[("content-type", "application/json")], body)
}

type Handler = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

/// The server; ends with the test.
pub struct Api {
    pub address: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl Api {
    /// Answers each request by `handler`, which is told the request and its number from 0.
    pub fn start(handler: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Api {
        Self::start_at(0, handler)
    }

    /// The same at a port that was free a moment ago.
    pub fn start_at(
        port: u16,
        handler: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
    ) -> Api {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        let seen = Arc::clone(&log);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                std::thread::spawn(move || serve(&stream, &*handler, &seen));
            }
        });
        Api { address, log }
    }

    /// All requests so far.
    pub fn log(&self) -> Vec<Asked> {
        self.log.lock().expect("no handler panics").clone()
    }
}

fn serve(stream: &TcpStream, handler: &Handler, log: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader) {
        let number = {
            let mut log = log.lock().expect("no handler panics");
            log.push(asked.clone());
            log.len() - 1
        };
        let mut out = stream;
        match handler(&asked, number) {
            Reply::Bytes(bytes) => {
                if out.write_all(&bytes).is_err() {
                    return;
                }
            }
            Reply::Close(bytes) => {
                let _ = out.write_all(&bytes);
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "what was sent is read before the reset")]
            Reply::Reset(bytes) => {
                let _ = out.write_all(&bytes);
                std::thread::sleep(Duration::from_millis(20));
                // Closing without lingering sends RST.
                let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
                return;
            }
            Reply::Endless(head, again) => {
                let _ = out.write_all(&head);
                while out.write_all(&again).is_ok() {}
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "a server that drips")]
            Reply::Drip(pause) => {
                let _ = out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
                while out.write_all(b" ").is_ok() {
                    std::thread::sleep(pause);
                }
                return;
            }
            #[expect(clippy::disallowed_methods, reason = "a server that keeps silent")]
            Reply::Silence(time) => {
                std::thread::sleep(time);
                return;
            }
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let asked = Asked { method, target, headers, body: String::new() };
    let length = asked.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { body: String::from_utf8_lossy(&body).into_owned(), ..asked })
}

/// A record of the model API.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: String,
    pub day: String,
    pub gb: f64,
    pub updated_at: String,
}

impl Record {
    pub fn new(id: &str, day: &str, gb: f64, updated_at: &str) -> Record {
        let text = str::to_owned;
        Record { id: text(id), day: text(day), gb, updated_at: text(updated_at) }
    }

    pub fn json(&self) -> String {
        format!(
            r#"{{"id":"{}","day":"{}","gb":{:?},"updated_at":"{}"}}"#,
            self.id, self.day, self.gb, self.updated_at
        )
    }
}

/// A usage API that behaves: days from `from` up to without `to`, paged by cursor.
pub struct UsageApi {
    pub api: Api,
    pub records: Arc<Mutex<Vec<Record>>>,
}

impl UsageApi {
    pub fn start(records: Vec<Record>, page: usize) -> UsageApi {
        let records = Arc::new(Mutex::new(records));
        let shared = Arc::clone(&records);
        let api = Api::start(move |asked, _| {
            let records = shared.lock().expect("no test panics in here");
            let from = asked.parameter("from").unwrap_or_default();
            let to = asked.parameter("to").unwrap_or_default();
            let inside: Vec<&Record> =
                records.iter().filter(|r| r.day >= from && r.day < to).collect();
            let start = asked.parameter("cursor").and_then(|c| c.parse().ok()).unwrap_or(0);
            let end = (start + page).min(inside.len());
            let body: Vec<String> =
                inside[start.min(end)..end].iter().map(|record| record.json()).collect();
            let next = if end < inside.len() { format!("\"{end}\"") } else { "null".to_owned() };
            let total = inside.len();
            let body = body.join(",");
            json(&format!(r#"{{"data":[{body}],"total":{total},"next":{next}}}"#))
        });
        UsageApi { api, records }
    }

    /// Changes what the API knows.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Record>)) {
        change(&mut self.records.lock().expect("no test panics in here"));
    }

    pub fn definition(&self, more: &str) -> String {
        usage_definition(&self.api.address, more)
    }
}

/// Three service lines over nine days: 27 records.
pub fn nine_days() -> Vec<Record> {
    let mut records = Vec::new();
    for day in 1..=9 {
        for line in ["SL-1", "SL-2", "SL-3"] {
            let gb = f64::from(day) + 0.5;
            records.push(Record::new(line, &format!("2026-01-0{day}"), gb, "2026-01-09T00:00:00Z"));
        }
    }
    records
}

/// The definition of a usage stream; `more` goes into the stream's own table.
pub fn usage_definition(address: &str, more: &str) -> String {
    format!(
        r#"[archive]
path = "a.db"

[sources.s]
base_url = "{address}"
retry = {{ base = "1 ms", attempts = 3 }}

[streams.usage]
path = "/usage"
query = {{ from = "{{{{ window.start }}}}", to = "{{{{ window.end }}}}" }}
records = "$.data[*]"
key = ["id", "day"]
{more}

[streams.usage.window]
field = "day"
start = "2026-01-01"
step = "1 day"
format = "%Y-%m-%d"
lateness = "3 days"

[streams.usage.paginate]
kind = "cursor"
next = "$.next"

[streams.usage.columns]
id = "text"
day = "date"
gb = "real"
updated_at = "timestamp"
"#
    )
}

/// A snapshot of items that a test changes.
pub struct ItemsApi {
    pub api: Api,
    records: Arc<Mutex<String>>,
}

impl ItemsApi {
    /// Serves these records, JSON objects with commas between them.
    pub fn start(records: &str) -> ItemsApi {
        let records = Arc::new(Mutex::new(records.to_owned()));
        let shared = Arc::clone(&records);
        let api = Api::start(move |_, _| {
            let records = shared.lock().expect("no test panics in here");
            json(&format!(r#"{{"data":[{records}]}}"#))
        });
        ItemsApi { api, records }
    }

    /// Serves these from now on.
    pub fn change(&self, records: &str) {
        records.clone_into(&mut self.records.lock().expect("no test panics in here"));
    }

    /// `more` goes into the stream's table.
    pub fn definition(&self, more: &str) -> String {
        let columns =
            "\n[streams.items.columns]\nid = \"text\"\nname = \"text\"\nsize = \"integer\"\n";
        items_definition(&self.api.address, "", more) + columns
    }
}

/// A definition of one snapshot stream `items`; `source` and `stream` go into their tables.
pub fn items_definition(address: &str, source: &str, stream: &str) -> String {
    format!(
        "[archive]\npath = \"a.db\"\n\n[sources.s]\nbase_url = \"{address}\"\n{source}\n\n\
         [streams.items]\npath = \"/items\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n{stream}\n"
    )
}

/// Retries without waiting.
pub const FAST: &str = "retry = { base = \"1 ms\", attempts = 3 }";

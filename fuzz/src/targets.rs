//! What must hold whatever bytes come. Each target takes any input and panics when a promise is
//! broken, not only when windrow itself panics.
//!
//! Included by `fuzz/src/lib.rs` for cargo-fuzz and by `tests/fuzzing.rs` for `cargo test`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use serde_json::value::RawValue;
use windrow::definition::{
    BodyFormat, Column, ColumnType, Definition, Key, Paginate, Path, SecretReference, Span, Stream,
    TemplateValues, TimeFormat, parse_definition,
};
use windrow::digest::digest_tables;
use windrow::host::{Host, SteadyClock, Stop, SystemFiles};
use windrow::http::{
    Budget, HttpFetcher, HttpRequest, HttpResponse, Next, Page, PageFacts, PageToken, Pager,
    RequestPlan, ResponseFuture, SecretValues, Transport,
};
use windrow::model::{
    Cell, Command, Error, ErrorKind, RowSet, TableShape, Timestamp, excerpt, instant_from_text,
    instant_to_text, printable,
};
use windrow::record::{
    Body, PageContext, PageRows, RecordReader, RecordStep, canonical_json as canonical, extract,
    hash_key, infer_columns, member_names, read_page,
};
use windrow::store::{Archive, Opening, Reader, RunStart};

/// A definition of one source that is never tried twice and waits for nothing.
const DEFINITION: &str = r#"
[archive]
path = "a.db"
[sources.api]
base_url = "https://api.example.com/v1"
retry = { attempts = 1, max_wait = "1 millisecond" }
[streams.items]
path = "/items"
records = "$[*]"
key = "id"
"#;

/// Longer definitions show nothing new, and templates nested thousands deep are another matter.
const DEFINITION_BYTES_MAX: usize = 4096;

/// The longest wait that a source may impose.
const WAIT_MS_MAX: i64 = 86_400_000;

fn definition() -> Definition {
    thread_local! {
        static PARSED: Definition =
            parse_definition("windrow.toml", DEFINITION).expect("the definition of the targets");
    }
    PARSED.with(Clone::clone)
}

fn now() -> Timestamp {
    instant_from_text("2026-01-01T00:00:00Z").expect("an instant")
}

/// The text of a JSON string.
fn decoded(raw: &str) -> String {
    serde_json::from_str(raw).expect("a JSON string that became a cell")
}

// ---- pages ----------------------------------------------------------------------------------

/// A body becomes rows and rejects: every record is counted once, and nothing is altered.
pub fn page_to_rows(data: &[u8]) {
    let Ok(body) = std::str::from_utf8(data) else { return };
    let path = Path::parse("$[*]").expect("a path");
    let context = PageContext { keep_records: true, ..PageContext::default() };
    let reader = RecordReader::new(columns(), Key::Columns(vec!["id".to_owned()]));
    let read = read_page(&Body::Json(body), &path, &reader, &context);
    let _ = (infer_columns(body, &path, &["at"], &["id"]), member_names(body, &path));
    let text = body.strip_prefix('\u{feff}').unwrap_or(body);
    let root: Option<&RawValue> = serde_json::from_str(text).ok();
    let Some(root) = root.map(RawValue::get).filter(|root| root.starts_with(['[', '{'])) else {
        assert!(read.is_err(), "a page that is neither a list nor an object was read");
        return;
    };
    let page = read.expect("a list or an object is a page of `$[*]`");
    if root.starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(root).expect("a list");
        check_counts(&page, &elements);
    }
    let rows = &page.rows;
    let told = rows.len() as u64 + page.rejects.len() as u64 + page.duplicates;
    assert_eq!(page.received, told, "the outcomes do not add up");
    assert_eq!(rows.cells.len(), rows.len() * rows.width);
    assert_eq!((rows.key_hashes.len(), page.records.len()), (rows.len(), rows.len()));
    for at in 0..rows.len() {
        check_row(rows, at, &page.records[at].record);
    }
}

fn columns() -> Vec<Column> {
    let kinds = [
        ("id", ColumnType::Text),
        ("n", ColumnType::Number),
        ("d", ColumnType::Decimal),
        ("t", ColumnType::Text),
        ("i", ColumnType::Integer),
        ("r", ColumnType::Real),
        ("j", ColumnType::Json),
        ("y", ColumnType::Boolean),
        ("b", ColumnType::Blob),
        ("day", ColumnType::Date),
        ("at", ColumnType::Timestamp),
        ("u", ColumnType::Date),
    ];
    let mut columns: Vec<Column> =
        kinds.iter().map(|(name, kind)| Column::plain(name, *kind)).collect();
    if let Some(last) = columns.last_mut() {
        last.format = Some(TimeFormat::Unix);
        last.zone = Some(chrono_tz::Asia::Tokyo);
    }
    columns
}

fn check_counts(page: &PageRows, elements: &[&RawValue]) {
    assert_eq!(page.received, elements.len() as u64);
    let mut before = None;
    for reject in &page.rejects {
        assert!(before.is_none_or(|before| before < reject.position), "rejects are in order");
        before = Some(reject.position);
        assert_eq!(reject.record, elements[reject.position].get(), "a reject is kept verbatim");
    }
    assert_eq!(page.last_record.as_deref(), elements.last().map(|last| last.get()));
}

fn check_row(rows: &RowSet, at: usize, record: &str) {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(record).expect("an object");
    let columns = columns();
    let row = rows.row(at);
    let rest = rows.text_of(row[columns.len()]).unwrap_or("{}");
    assert_eq!(canonical(rest).ok().as_deref(), Some(rest), "the rest is canonical");
    let rest: BTreeMap<String, &RawValue> = serde_json::from_str(rest).expect("an object");
    for (name, raw) in &rest {
        let came = members.get(name).expect("nothing is made up").get();
        assert_eq!(canonical(came).ok().as_deref(), Some(raw.get()), "{name} was altered");
    }
    for (column, cell) in columns.iter().zip(row) {
        let raw = members.get(&column.name).map(|raw| raw.get());
        let exact = check_cell(rows, column, raw, *cell);
        let kept = rest.contains_key(&column.name);
        assert!(exact || kept, "{}: {raw:?} became {cell:?}, no digits kept", column.name);
    }
    for name in members.keys() {
        let claimed = columns.iter().any(|column| column.name == *name);
        assert!(claimed || rest.contains_key(name), "the member {name:?} is lost");
    }
}

/// Whether the cell says all that came.
fn check_cell(rows: &RowSet, column: &Column, raw: Option<&str>, cell: Cell) -> bool {
    let Some(raw) = raw.filter(|raw| *raw != "null") else {
        assert_eq!(cell, Cell::Null, "{}: a value out of nothing", column.name);
        return true;
    };
    let lexeme = if raw.starts_with('"') { decoded(raw) } else { raw.to_owned() };
    let text = rows.text_of(cell);
    match (column.kind, cell) {
        (ColumnType::Text | ColumnType::Decimal, _) => text == Some(lexeme.as_str()),
        (ColumnType::Number, Cell::Text(..)) => text == Some(lexeme.as_str()),
        (ColumnType::Number | ColumnType::Integer, Cell::Integer(value)) => {
            assert_eq!(decimal(&lexeme), decimal(&value.to_string()), "{lexeme}");
            value.to_string() == lexeme
        }
        (ColumnType::Number | ColumnType::Real, Cell::Real(value)) => {
            decimal(&lexeme) == decimal(&format!("{value:e}"))
        }
        (ColumnType::Json, _) => text == canonical(raw).ok().as_deref(),
        (ColumnType::Boolean, Cell::Integer(value)) => (value == 1) == (raw == "true"),
        (ColumnType::Blob, _) => {
            let bytes = rows.bytes_of(cell).expect("bytes");
            STANDARD.encode(bytes) == lexeme
        }
        (ColumnType::Date, _) => {
            let text = text.expect("the text of a date");
            let shape = text.bytes().map(|byte| if byte.is_ascii_digit() { b'd' } else { byte });
            assert!(shape.eq(*b"dddd-dd-dd"), "{lexeme:?} became the date {text:?}");
            true
        }
        (ColumnType::Timestamp, _) => {
            let text = text.expect("the text of a timestamp");
            let again = instant_from_text(text).map(instant_to_text);
            assert_eq!(again.as_deref(), Some(text), "{lexeme:?}");
            true
        }
        (kind, cell) => panic!("{raw} of {kind:?} became {cell:?}"),
    }
}

/// Sign, digits without outer zeros, and the exponent of the last of them. Zero has no sign here.
fn decimal(text: &str) -> (bool, String, i128) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let unsigned = mantissa.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    let shorter = digits.trim_end_matches('0');
    if shorter.is_empty() {
        return (false, "0".to_owned(), 0);
    }
    let places = digits.len() as i128 - shorter.len() as i128 - fraction.len() as i128;
    let exponent = exponent.parse::<i128>().map_or(i128::MAX, |e| e.saturating_add(places));
    (mantissa.starts_with('-'), shorter.trim_start_matches('0').to_owned(), exponent)
}

/// Paths to walk when the input brings none of its own.
const PATHS: [&str; 12] = [
    "$",
    "$[*]",
    "$.*",
    "$.a",
    "$.a[*]",
    "$.*.a[*]",
    "$[-1]",
    "$..a",
    "$..*",
    "$.a[?@.a]",
    "$..a[?@.b == 1]",
    "$.a[0:2]",
];

/// The first line is a path, or its first byte chooses one; the rest is a body. What the text
/// gives is what the library finds.
pub fn jsonpath_on_hostile_bodies(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (line, body) = text.split_once('\n').unwrap_or((text, ""));
    let chosen = PATHS[usize::from(data.first().copied().unwrap_or(0)) % PATHS.len()];
    let own = line.starts_with('$') && line.len() <= 40 && line.matches('?').count() <= 3;
    let Ok(path) = Path::parse(if own { line } else { chosen }) else { return };
    let mut found: Vec<String> = Vec::new();
    let result = extract(body, &path, &mut |steps: &[RecordStep<'_>]| {
        let raw = steps.last().expect("a record has at least its root").raw;
        assert_eq!(raw, raw.trim(), "a record comes without surrounding space");
        let first = (raw.as_ptr() as usize).wrapping_sub(body.as_ptr() as usize);
        assert_eq!(
            body.get(first..first + raw.len()),
            Some(raw),
            "a record is a piece of the body"
        );
        found.push(raw.to_owned());
    });
    let body = body.strip_prefix('\u{feff}').unwrap_or(body).trim();
    if serde_json::from_str::<&RawValue>(body).is_err() {
        assert!(result.is_err() && found.is_empty(), "records out of what is no JSON");
    }
    let Ok(value) = serde_json::from_str::<Value>(body) else { return };
    // With a name that stands twice a plain path gives both; a rich one must refuse.
    if result.is_err() || path.plain().is_some() && canonical(body).is_err() {
        return;
    }
    let expected: Vec<Value> = path.library().query(&value).all().into_iter().cloned().collect();
    let texts = found.iter().map(|raw| serde_json::from_str(raw).expect("JSON"));
    assert_eq!(texts.collect::<Vec<Value>>(), expected, "{} in {body}", path.text());
}

/// Canonical twice is canonical once, and however a value is spelt, its bytes are the same.
pub fn canonical_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(raw) = serde_json::from_str::<&RawValue>(text).map(RawValue::get) else { return };
    let Ok(once) = canonical(raw) else { return };
    assert_eq!(canonical(&once).ok().as_deref(), Some(once.as_str()), "not stable");
    let respelt = respell(&once);
    assert_eq!(canonical(&respelt).ok().as_deref(), Some(once.as_str()), "{respelt}");
    if let Ok(value) = serde_json::from_str::<Value>(raw) {
        assert_eq!(serde_json::from_str::<Value>(&once).ok(), Some(value), "another value");
    }
    if let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(&once) {
        let member = |(name, raw): (&String, &&RawValue)| {
            format!("{}:{}", Value::from(name.as_str()), raw.get())
        };
        let backwards: Vec<String> = members.iter().rev().map(member).collect();
        let backwards = format!("{{{}}}", backwards.join(","));
        assert_eq!(canonical(&backwards).ok().as_deref(), Some(once.as_str()), "order");
    }
    let key = hash_key(&[("k", Some(raw))]).ok();
    assert_eq!(key, hash_key(&[("k", Some(respelt.as_str()))]).ok(), "two keys of one value");
    assert!(key.is_some_and(|key| key.len() == 64));
}

/// The same JSON with space where space may be and escapes where none are needed.
fn respell(canonical: &str) -> String {
    let mut out = String::with_capacity(canonical.len() * 2);
    let (mut inside, mut verbatim) = (false, 0);
    for (at, letter) in canonical.chars().enumerate() {
        if verbatim > 0 {
            // What follows a backslash; `u` brings four digits along.
            verbatim = if letter == 'u' && verbatim == 5 { 4 } else { (verbatim - 1) % 4 };
            out.push(letter);
            continue;
        }
        match letter {
            '"' => {
                inside = !inside;
                out.push('"');
            }
            '\\' => {
                verbatim = 5;
                out.push('\\');
            }
            '/' if inside => out.push_str("\\/"),
            letter if inside && letter.is_ascii_alphanumeric() && at % 3 == 1 => {
                out.push_str(&format!("\\u{:04X}", u32::from(letter)));
            }
            ',' | ':' | '[' | '{' if !inside => {
                out.push(letter);
                out.push_str(" \n\t");
            }
            ']' | '}' if !inside => {
                out.push_str("\r ");
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
    out
}

// ---- answers --------------------------------------------------------------------------------

/// Gives the same answer to every request.
struct Canned(HttpResponse);

impl Transport for Canned {
    fn send<'a>(&'a self, _request: &'a HttpRequest) -> ResponseFuture<'a> {
        let response = self.0.clone();
        Box::pin(async move { Ok(response) })
    }
}

fn fetcher(response: Option<HttpResponse>) -> HttpFetcher {
    let mut host = Host::system(Stop::never());
    host.clock = Arc::new(SteadyClock::new(now()));
    let canned = response.map(|response| Arc::new(Canned(response)) as Arc<dyn Transport>);
    let transports = canned.map(|canned| ("api".to_owned(), canned)).into_iter().collect();
    HttpFetcher::new(host, &definition(), transports, SecretValues::default(), Budget::default())
}

/// How long a source that answers 429 with these headers is left alone, milliseconds.
fn wait_after(headers: Vec<(String, String)>) -> Option<i64> {
    let definition = definition();
    let stream = definition.stream("items").expect("the stream");
    let plan = RequestPlan {
        source: &definition.sources["api"],
        template: &stream.request,
        paginate: &stream.paginate,
        values: &TemplateValues::default(),
        token: &PageToken::Start,
    };
    let mut fetcher = fetcher(Some(HttpResponse { status: 429, headers, body: Vec::new() }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let fetched = runtime.expect("a runtime").block_on(fetcher.fetch(&plan));
    let wait = fetcher.held("api").map(|wait| (wait.until - now()).num_milliseconds());
    assert_eq!(fetched.is_err(), wait.is_some(), "a wait is told, and only a wait: {fetched:?}");
    wait
}

/// What may stand in a header.
fn header_text(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

/// The first line is a `Retry-After`, the second the answer's `Date`.
pub fn retry_after(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines().map(header_text);
    let value = lines.next().unwrap_or_default();
    let mut headers = vec![("retry-after".to_owned(), value.clone())];
    headers.extend(lines.next().map(|date| ("date".to_owned(), date)));
    let wait = wait_after(headers);
    assert!(wait.is_none_or(|wait| wait > 0), "{value:?}: {wait:?}");
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = value.parse::<i64>().unwrap_or(i64::MAX).min(WAIT_MS_MAX / 1000);
        assert_eq!(wait, (seconds > 0).then_some(seconds * 1000), "{value:?}");
    } else if !value.contains([':', '.']) {
        assert_eq!(wait, None, "{value:?} is neither seconds nor a date");
    }
    assert!(wait.is_none_or(|wait| wait <= WAIT_MS_MAX), "{value:?}: {wait:?}");
}

/// Each line is `name: value`. A wait is at most a day, and only where a quota is spent.
pub fn rate_limit(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let name = header_text(name).trim().to_ascii_lowercase();
        (!name.contains("retry-after")).then(|| (name, header_text(value).trim().to_owned()))
    };
    let headers: Vec<(String, String)> = text.lines().filter_map(header).collect();
    let values = |wanted: &str| {
        let of_name = headers.iter().filter(|(name, _)| name == wanted);
        of_name.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let spent = |part: &str| {
        let left = part.trim().strip_prefix("r=").and_then(|left| left.parse::<f64>().ok());
        left.is_some_and(|left| left <= 0.0)
    };
    let structured = values("ratelimit").iter().any(|value| value.split([',', ';']).any(spent));
    let is_quota = |name: &str| {
        let plain = name.replace(['-', '_'], "");
        plain.contains("ratelimit") && plain.ends_with("remaining")
    };
    let quotas = headers.iter().filter(|(name, _)| is_quota(name));
    let mut left = quotas.filter_map(|(_, value)| value.trim().parse::<f64>().ok());
    let none_left = left.any(|left| left.is_nan() || left <= 0.0);
    if let Some(wait) = wait_after(headers.clone()) {
        assert!((1..=WAIT_MS_MAX).contains(&wait), "{headers:?}: {wait}");
        assert!(structured || none_left, "a wait, though there is quota: {headers:?}");
    }
}

fn next_page(definition: &windrow::definition::Definition, links: &[String]) -> Fate {
    let headers = links.iter().map(|link| ("link".to_owned(), link.clone())).collect();
    let url = url::Url::parse("https://api.example.com/v1/items?page=1").expect("an address");
    let response = HttpResponse { status: 200, headers, body: Vec::new() };
    let format = BodyFormat::default();
    let page = Page { response, url, as_of: None, format, means_nothing: false };
    let stream = Stream { paginate: Paginate::Link, total: None, ..definition.streams[0].clone() };
    let source = &definition.sources["api"];
    match PageFacts::of(&stream, source, &page, &format.decode("[]"), &PageRows::default()) {
        Ok(PageFacts { next: Some(next), .. }) => Fate::Next(next),
        Ok(_) => Fate::End,
        Err(_) => Fate::Refused,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Next(String),
    End,
    Refused,
}

/// Each line is a `Link` header. A next page lies at the source's own origin and was called next;
/// what stands in a quoted title is never a link.
pub fn link_header(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let links: Vec<String> = text.lines().map(header_text).collect();
    let definition = definition();
    let source = &definition.sources["api"];
    if let Fate::Next(next) = next_page(&definition, &links) {
        let url = url::Url::parse(&next).expect("a next page has an address");
        assert_eq!(url.origin(), source.base_url.origin(), "{next}");
        assert!(url.username().is_empty() && url.password().is_none(), "{next}");
        assert_eq!(url.fragment(), None, "{next}");
        let called = |link: &String| link.to_lowercase().contains("next");
        assert!(links.iter().any(called), "{links:?} has no next page");
    }
    let title = header_text(&text).replace('\\', "\\\\").replace('"', "\\\"");
    let with = |relation: &str| vec![format!("</2>; title=\"{title}\"; rel=\"{relation}\"")];
    assert_eq!(next_page(&definition, &with("prev")), Fate::End, "{title}");
    let second = Fate::Next("https://api.example.com/2".to_owned());
    assert_eq!(next_page(&definition, &with("next")), second, "{title}");
}

/// A token is kept in the ledger and read back as it was; counting pages never overflows.
pub fn next_page_token(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let number = |at: usize| {
        let mut bytes = [0; 8];
        data.iter().skip(at).zip(&mut bytes).for_each(|(byte, place)| *place = *byte);
        u64::from_be_bytes(bytes)
    };
    let mut tokens = vec![
        PageToken::Start,
        PageToken::Page(number(0)),
        PageToken::Offset(number(0)),
        PageToken::Cursor(text.clone()),
        PageToken::Url(text.clone()),
    ];
    tokens.extend(PageToken::from_text(&text));
    let next = (!text.is_empty()).then(|| text.clone());
    let facts = PageFacts {
        received: number(8) % 1_000_000,
        next,
        more: [None, Some(true), Some(false)][data.len() % 3],
        pages: [None, Some(number(16))][data.len() % 2],
        total: [None, Some(number(24)), None][data.len() % 3],
        content_hash: number(32),
        total_is_capped: data.len().is_multiple_of(17),
        ends: data.len().is_multiple_of(11),
        without_content: data.len().is_multiple_of(13),
    };
    for token in &tokens {
        assert_eq!(PageToken::from_text(&token.to_text()).as_ref(), Some(token));
        for paginate in pagings() {
            let mut pager = Pager::new(&paginate, &[], data.len() % 7 > 3);
            if let Next::Page(next) = pager.next(token, &facts) {
                assert_ne!(next, *token, "the next page is the same page");
            }
        }
    }
}

fn pagings() -> [Paginate; 4] {
    let page = |first| Paginate::Page {
        param: "page".to_owned(),
        first,
        size: Some(10),
        size_param: None,
        pages: None,
        more: None,
    };
    let offset = Paginate::Offset {
        param: "offset".to_owned(),
        size: Some(10),
        size_param: None,
        more: None,
    };
    [page(0), page(2), offset, Paginate::Link]
}

// ---- definitions and times ------------------------------------------------------------------

/// A definition is taken, and its stored text says the same; or it is refused, each problem with
/// its line, and nothing that steers a terminal is printed.
pub fn definition_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > DEFINITION_BYTES_MAX {
        return;
    }
    let problems = match parse_definition("fuzz.toml", text) {
        Ok(definition) => {
            let again = parse_definition("stored.toml", &definition.text);
            let again = again.expect("the stored definition can be read");
            assert_eq!(again.text, definition.text, "the stored text is stable");
            assert_eq!(again.streams.len(), definition.streams.len());
            return;
        }
        Err(problems) => problems,
    };
    assert!(!problems.problems.is_empty(), "refused without a reason");
    let lines = text.matches('\n').count() + 1;
    for problem in &problems.problems {
        let (line, column) = problems.place(problem);
        assert!((1..=lines).contains(&line) && column >= 1, "{problem:?}");
    }
    let shown = problems.render(false);
    let place = shown.split("fuzz.toml:").nth(1);
    let named = place.is_some_and(|place| place.starts_with(|c: char| c.is_ascii_digit()));
    assert!(named, "no line is named: {shown:?}");
    let steers = shown.chars().find(|letter| *letter != '\n' && letter.is_control());
    assert_eq!(steers, None, "{shown:?}");
}

/// Ways to write an instant that name all that they need to be read back.
const FORMATS: [&str; 8] = [
    "rfc3339",
    "unix",
    "unix_ms",
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%Y%m%d%H",
    "%Y-%m-%dT%H:%M:%S%.3f",
];

/// 1973 to 9998: offsets of whole minutes, and years of four digits.
const PLAIN_SECONDS: std::ops::Range<i64> = 94_694_400..253_339_228_800;

/// The first line is a format, the rest a time. What is read, rendered and read again is stable.
pub fn time_format(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, time) = text.split_once('\n').unwrap_or(("", text));
    let choice = usize::from(data.first().copied().unwrap_or(0)) + data.len();
    let zone = chrono_tz::TZ_VARIANTS[choice % chrono_tz::TZ_VARIANTS.len()];
    let own = TimeFormat::parse(pattern);
    for text in FORMATS {
        let format = TimeFormat::parse(text).expect("a format");
        let Some(at) = format.read(time, Some(zone)) else { continue };
        let shown = format.render(at, zone);
        if let Ok(own) = &own {
            let _ = own.read(&own.render(at, zone), Some(zone));
        }
        if PLAIN_SECONDS.contains(&at.timestamp()) {
            let again = format.read(&shown, Some(zone)).expect("what was written is read");
            assert_eq!(format.render(again, zone), shown, "{text} in {zone}");
            let stored = instant_to_text(at);
            assert_eq!(instant_from_text(&stored), Some(at), "{stored}");
        }
    }
    if let Ok(own) = own {
        let _ = (own.read(time, None), own.read(time, Some(zone)), own.precision());
        let _ = own.render(now(), zone);
    }
}

/// A duration that is read is written so that it is read as the same; adding it never panics.
pub fn span(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(span) = Span::parse(text) else { return };
    let shown = span.to_string();
    assert_eq!(Span::parse(&shown).as_ref(), Ok(&span), "{shown}");
    assert_eq!(span.is_zero(), span.approximate_millis() == 0, "{shown}");
    let zone = chrono_tz::TZ_VARIANTS[data.len() % chrono_tz::TZ_VARIANTS.len()];
    let times = [1, -1, 1000, -1000, i64::MAX, i64::MIN, i64::from(u32::MAX)];
    for at in ["0001-01-02T00:00:00Z", "2025-10-26T00:30:00Z", "9999-12-30T00:00:00Z"] {
        let at = instant_from_text(at).expect("an instant");
        for times in times {
            let Some(moved) = span.add_times(at, zone, times) else { continue };
            let expected = if span.is_zero() { std::cmp::Ordering::Equal } else { times.cmp(&0) };
            assert_eq!(moved.cmp(&at), expected, "{times} times {shown} in {zone}");
        }
    }
}

// ---- archives, terminals, secrets -----------------------------------------------------------

/// What an input begins with that is no file but changes of a real archive, one a line.
const CHANGES: &[u8] = b"changes\n";
/// Lines of such an input that are followed.
const CHANGES_MAX: usize = 8;
/// Looks of SQLite at whether a statement should end, thousands of instructions apart: a view of a
/// stranger's may never end.
const LOOKS_MAX: u32 = 5;

/// Bytes are opened as an archive and read, or a real archive is once its schema and its values
/// were changed as the input says: an error or an answer, and the file stays as it was.
pub fn archive_opener(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    match data.strip_prefix(CHANGES) {
        None => std::fs::write(&path, data).expect("the bytes are written"),
        Some(changes) => {
            std::fs::write(&path, real_archive()).expect("the archive is written");
            change(&path, &String::from_utf8_lossy(changes));
        }
    }
    let before = std::fs::read(&path).expect("the file is there");
    match Reader::open(&path) {
        Err(error) => assert!(!error.message.is_empty()),
        Ok(reader) => look_through(reader),
    }
    let after = std::fs::read(&path).expect("the file is still there");
    assert_eq!(after, before, "reading changed the archive");
}

/// The bytes of an archive with one stream, a run and a definition.
fn real_archive() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let text = "2026-01-01T00:00:00+00:00";
        let opening =
            Opening { note: "fuzz", now: text, allow_network_fs: true, files: &SystemFiles };
        let archive = Archive::open(&path, &opening).expect("an archive");
        let stream = &definition().streams[0];
        let shape = TableShape::of(stream, &columns(), false);
        archive.transaction(|tx| tx.ensure_table(&shape, None, text)).expect("a table");
        let start =
            RunStart { command: Command::Sync, version: "0", definition: DEFINITION, now: now() };
        archive.transaction(|tx| tx.start_run(&start)).expect("a run");
        archive.close().expect("one file");
        let journal = "PRAGMA journal_mode = DELETE";
        plain(&path).query_row(journal, [], |_| Ok(())).expect("one file");
        std::fs::read(&path).expect("the archive")
    })
}

/// The file as a stranger opens it, who may write what SQLite protects.
#[allow(clippy::disallowed_methods, reason = "a stranger uses plain SQLite")]
fn plain(path: &std::path::Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).expect("an SQLite file");
    let off = "PRAGMA writable_schema = ON; PRAGMA ignore_check_constraints = ON;
        PRAGMA foreign_keys = OFF; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF";
    connection.execute_batch(off).expect("settings");
    connection
}

/// Makes the changes that SQLite takes; those that it does not take are no file. A line is a word
/// that says what is made, the name of a table, and the rest of the statement.
fn change(path: &std::path::Path, changes: &str) {
    for line in changes.lines().take(CHANGES_MAX) {
        let mut connection = plain(path);
        let mut looks = 0;
        let enough = move || {
            looks += 1;
            looks > LOOKS_MAX
        };
        let _ = connection.progress_handler(10_000, Some(enough));
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (what, name, rest) = (word(), word(), word());
        let table = format!("\"{}\"", name.replace('"', "\"\""));
        let _ = match what {
            "drop" => connection.execute_batch(&format!("DROP TABLE {table}")),
            "view" => connection.execute_batch(&format!(
                "DROP TABLE IF EXISTS {table}; CREATE VIEW {table} AS {rest}"
            )),
            "virtual" => connection.execute_batch(&format!(
                "DROP TABLE IF EXISTS {table}; CREATE VIRTUAL TABLE {table} USING {rest}"
            )),
            "table" => connection.execute_batch(&format!(
                "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} {rest}"
            )),
            "trigger" => connection
                .execute_batch(&format!("CREATE TRIGGER zz BEFORE INSERT ON {table} {rest}")),
            "index" => connection.execute_batch(&format!("CREATE INDEX zi ON {table} {rest}")),
            "set" => connection.execute_batch(&format!("UPDATE OR IGNORE {table} SET {rest}")),
            "row" => connection.execute_batch(&format!("INSERT INTO {table} {rest}")),
            // Any text at all in the schema, also one that SQLite would not take as a statement.
            _ => connection
                .execute("UPDATE sqlite_schema SET sql = ?1 WHERE name = ?2", [rest, name])
                .map(drop),
        };
    }
}

fn look_through(mut reader: Reader) {
    let mut looks = 0;
    let enough = move || {
        looks += 1;
        looks > LOOKS_MAX
    };
    reader.end_when(enough).expect("a handler");
    // What is wrong with an archive is never called a bug of windrow's.
    fn fair<T>(read: Result<T, Error>) -> Option<T> {
        read.map_err(|error| assert_ne!(error.kind, ErrorKind::Bug, "{error}")).ok()
    }
    fair(reader.runs(10));
    fair(reader.run_row(1));
    fair(reader.rejects());
    fair(reader.waits());
    if let Some(Some(text)) = fair(reader.definition()) {
        definition_file(text.as_bytes());
    }
    for stream in fair(reader.streams()).unwrap_or_default() {
        let name = &stream.stream;
        fair(reader.ledger(name, ""));
        fair(reader.ledger_rows(name));
        fair(reader.count(name));
        fair(reader.stream(name));
        fair(reader.parents(&stream, 0, 10));
    }
    fair(digest_tables(&reader));
}

/// Characters that steer a terminal, turn the direction of reading or take up no room.
fn is_hostile(letter: char) -> bool {
    let turning = matches!(letter, '\u{61c}' | '\u{200e}'..='\u{200f}')
        || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let unseen = matches!(letter, '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{3164}')
        || matches!(letter, '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{ffa0}')
        || matches!(letter, '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}')
        || matches!(letter, '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}')
        || matches!(letter, '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(letter, '\u{e0000}'..='\u{e0fff}');
    (letter.is_control() && letter != '\n' && letter != '\t') || turning || unseen
}

/// No text, whatever is in it, reaches a terminal with a character that could harm.
pub fn terminal_escaper(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let shown = printable(&text);
    assert_eq!(shown.chars().find(|letter| is_hostile(*letter)), None, "{shown:?}");
    assert_eq!(printable(&shown), shown, "escaping twice is escaping once");
    if !text.chars().any(|letter| is_hostile(letter) || letter.is_control()) {
        assert_eq!(shown, text, "harmless text stays as it is");
    }
    for most in [0, 1, 7, 60, 10_000] {
        let short = excerpt(&text, most);
        assert_eq!(short.chars().find(|letter| is_hostile(*letter)), None, "{short:?}");
        let whole = text.chars().count() <= most;
        assert!(!whole || short == shown, "an excerpt of a short text is all of it");
    }
}

/// Secrets as people have them; the last one holds the first.
const CANARIES: [(&str, &str); 4] = [
    ("SLASHED", "s3cret/+"),
    ("QUOTED", "ab_c-d/\"e"),
    ("WIDE", "t\u{f6}k\u{20ac}n-\u{c4}9"),
    ("LONGER", "s3cret/+Qz7longer"),
];
const TAIL: &str = "Qz7longer";

const UNRESERVED_KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The forms in which an API gives a secret back.
fn forms(secret: &str) -> Vec<String> {
    let json = Value::from(secret).to_string();
    let json = json.trim_matches('"').to_owned();
    let ascii = json.chars().map(|letter| match letter {
        letter if letter.is_ascii() => letter.to_string(),
        letter => {
            let mut room = [0; 2];
            let units = letter.encode_utf16(&mut room).iter();
            units.map(|unit| format!("\\u{unit:04x}")).collect()
        }
    });
    let ascii: String = ascii.collect();
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    vec![
        secret.to_owned(),
        lower_escapes(&percent),
        percent,
        utf8_percent_encode(secret, UNRESERVED_KEPT).to_string(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        json.replace('/', "\\/"),
        json,
        ascii,
    ]
}

/// `%2F` as `%2f`.
fn lower_escapes(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (digits, more) = piece.split_at(2);
        out.push('%');
        out.push_str(&digits.to_ascii_lowercase());
        out.push_str(more);
    }
    out
}

/// Secrets are planted in any text, in each of their forms, and none of them survives.
pub fn redactor(data: &[u8]) {
    let around = String::from_utf8_lossy(data);
    let mut secrets = SecretValues::default();
    for (name, value) in CANARIES {
        let reference = SecretReference::Environment(name.to_owned());
        secrets.insert(reference, value.to_owned());
    }
    let planted: Vec<String> = CANARIES.iter().flat_map(|(_, value)| forms(value)).collect();
    let size = around.chars().count() / planted.len() + 1;
    let mut letters = around.chars();
    let mut text = String::new();
    for form in &planted {
        text.extend(letters.by_ref().take(size));
        text.push_str(form);
        text.push('|');
    }
    let clean = secrets.redact(&text);
    for form in &planted {
        assert!(!clean.contains(form.as_str()), "{form} survived in {clean}");
    }
    assert!(around.contains(TAIL) || !clean.contains(TAIL), "half a secret survived in {clean}");
    assert_eq!(secrets.redact(&clean), clean, "what is clean stays as it is");
    assert_eq!(secrets.redact(&text), clean);
}

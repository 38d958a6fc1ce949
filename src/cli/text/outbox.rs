//! The outbox, for people and as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::model::{Timestamp, excerpt, instant_to_text, printable};
use crate::outbox::{Doing, Planned, wire_of};
use crate::outbox::{MovedEntry, OutboxAttempt, OutboxBrief, OutboxEntry};

use crate::cli::text::table::plain_table;
use crate::model::numbers::{bytes, count};

/// The longest note in a table, characters: longer ones would wrap each row; JSON has all of it.
const NOTE_CHARS_MAX: usize = 100;
/// The longest path in a table, characters: longer ones would wrap each row.
const PATH_CHARS_MAX: usize = 40;
/// How much of a body is shown, characters: some screens; `--json` has all of it.
const BODY_CHARS_MAX: usize = 4_000;

fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(instant_to_text)
}

/// A line for each entry.
pub fn outbox_table(rows: &[OutboxBrief]) -> String {
    let names = ["entry", "state", "source", "request", "key", "lane", "note"];
    let row = |row: &OutboxBrief| {
        let in_doubt = if row.in_doubt { "?" } else { "" };
        vec![
            row.entry.to_string(),
            format!("{}{in_doubt}", state_of(row)),
            printable(&row.source),
            format!("{} {}", row.method.as_str(), excerpt(&row.path_start, PATH_CHARS_MAX)),
            printable(&row.key),
            printable(row.lane.as_deref().unwrap_or_default()),
            excerpt(&note_of(row).unwrap_or_default(), NOTE_CHARS_MAX),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    plain_table(&names.map(str::to_owned), &rows, &[true])
}

/// The state; what went along with a hand-off is neither queued nor sent here.
fn state_of(row: &OutboxBrief) -> &'static str {
    if row.moved.is_some() { "moved" } else { row.state.as_str() }
}

fn note_of(row: &OutboxBrief) -> Option<String> {
    row.moved.as_ref().map(MovedEntry::text).or_else(|| row.note.clone())
}

/// A line for each entry of a plan.
pub fn outbox_plan_table(planned: &[Planned]) -> String {
    let names = ["entry", "key", "source", "lane", "now", "why"];
    let row = |planned: &Planned| {
        let (now, why) = words(&planned.doing);
        vec![
            planned.entry.to_string(),
            printable(&planned.key),
            printable(&planned.source),
            printable(planned.lane.as_deref().unwrap_or_default()),
            now.to_owned(),
            printable(&why),
        ]
    };
    let rows: Vec<Vec<String>> = planned.iter().map(row).collect();
    plain_table(&names.map(str::to_owned), &rows, &[true])
}

fn words(doing: &Doing) -> (&'static str, String) {
    match doing {
        Doing::Send => ("send", String::new()),
        Doing::Look => ("look", "its source is asked whether it has taken effect".to_owned()),
        Doing::Expire => ("expire", "its time ran out before it was sent".to_owned()),
        Doing::GiveUp(_) => ("unknown", "it cannot be sent again automatically".to_owned()),
        Doing::Wait(why) => ("wait", why.text()),
        Doing::Person(why) => ("person", why.text()),
    }
}

/// An entry of a plan as JSON.
pub fn planned_json(planned: &Planned) -> Value {
    let (now, why) = words(&planned.doing);
    json!({
        "entry": planned.entry, "source": planned.source, "key": planned.key,
        "lane": planned.lane, "now": now, "why": why,
    })
}

/// A row of a list as JSON.
pub fn outbox_row_json(row: &OutboxBrief) -> Value {
    json!({
        "entry": row.entry, "source": row.source, "key": row.key, "state": state_of(row),
        "in_doubt": row.in_doubt, "method": row.method.as_str(), "lane": row.lane,
        "after": row.after.map(|(entry, _)| entry), "not_before": text(row.not_before),
        "expires_at": text(row.expires_at), "next_at": text(row.next_at), "note": row.note,
        "moved": row.moved.as_ref().map(moved_json),
    })
}

fn moved_json(moved: &MovedEntry) -> Value {
    json!({ "file": moved.file, "at": text(moved.at) })
}

/// An entry in full as JSON; `request` holds the bytes that are sent, without the source's own
/// headers and credentials.
pub fn outbox_json(entry: &OutboxEntry, attempts: &[OutboxAttempt]) -> Value {
    let wire = wire_of(entry);
    let mut value = outbox_row_json(&entry.brief);
    let mut request = json!({
        "method": wire.method.as_str(), "base_url": entry.brief.base_url, "path": wire.path,
        "headers": wire.headers,
    });
    put_body(&mut request, wire.body.as_deref());
    value["sent_key"] = entry.sent_key.as_str().into();
    value["owner"] = entry.brief.owner.as_str().into();
    value["templated"] = entry.templated.into();
    value["created_at"] = instant_to_text(entry.created_at).into();
    value["first_sent_at"] = text(entry.brief.first_sent_at).into();
    value["valid_until"] = text(entry.valid_until).filter(|_| entry.brief.keyed).into();
    value["finished_at"] = text(entry.finished_at).into();
    value["request"] = request;
    value["attempts"] = serde_json::to_value(attempts).unwrap_or_default();
    value["answer"] = Value::Null;
    if let Some(status) = entry.status {
        let mut answer = json!({ "status": status, "headers": entry.answer_headers });
        put_body(&mut answer, entry.answer.as_deref());
        value["answer"] = answer;
    }
    value
}

/// A body as text, or in base64 where it is none.
fn put_body(value: &mut Value, body: Option<&[u8]>) {
    match body.map(std::str::from_utf8) {
        None => value["body"] = Value::Null,
        Some(Ok(text)) => value["body"] = text.into(),
        Some(Err(_)) => value["body_base64"] = STANDARD.encode(body.unwrap_or_default()).into(),
    }
}

/// An entry in full for people.
pub fn outbox_page(entry: &OutboxEntry, attempts: &[OutboxAttempt]) -> String {
    let brief = &entry.brief;
    let in_doubt = if brief.in_doubt { ", may have taken effect" } else { "" };
    let mut out = format!("entry {}: {}{in_doubt}\n", brief.entry, state_of(brief));
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            out.push_str(&format!("  {name:<10} {}\n", printable(&value)));
        }
    };
    line("key", Some(brief.key.clone()));
    line("sent as", (entry.sent_key != brief.key).then(|| entry.sent_key.clone()));
    line("source", Some(format!("{} ({})", brief.source, brief.base_url)));
    line("lane", brief.lane.clone());
    line("after", brief.after.map(|(entry, _)| format!("entry {entry}")));
    line("queued", text(Some(entry.created_at)));
    line("not before", text(brief.not_before));
    line("expires", text(brief.expires_at));
    line("next", text(brief.next_at));
    let known = text(entry.valid_until).filter(|_| brief.keyed);
    line("known to", known.map(|at| format!("the API until {at}")));
    line("ended", text(entry.finished_at));
    line("note", note_of(brief));
    let wire = wire_of(entry);
    out.push_str(&format!("\n{} {}\n", wire.method.as_str(), printable(&wire.path)));
    out.push_str(&headers_and_body(&wire.headers, wire.body.as_deref()));
    for attempt in attempts {
        let ended = attempt.ended_at.as_deref().unwrap_or("never");
        let came = match (attempt.status, &attempt.fault) {
            (_, Some(fault)) => excerpt(fault, NOTE_CHARS_MAX),
            (Some(status), None) => format!("HTTP {status}"),
            (None, None) => "no answer".to_owned(),
        };
        let (number, began) = (attempt.attempt, &attempt.started_at);
        out.push_str(&format!("\nattempt {number}: {began} to {ended}: {came}"));
    }
    if !attempts.is_empty() {
        out.push('\n');
    }
    if let (Some(status), Some(_)) = (entry.status, &entry.answer) {
        out.push_str(&format!("\nHTTP {status}\n"));
        out.push_str(&headers_and_body(&entry.answer_headers, entry.answer.as_deref()));
    }
    out
}

fn headers_and_body(headers: &[(String, String)], body: Option<&[u8]>) -> String {
    let mut out = String::new();
    for (name, value) in headers {
        out.push_str(&format!("{}: {}\n", printable(name), printable(value)));
    }
    let Some(body) = body.filter(|body| !body.is_empty()) else { return out };
    let shown = excerpt(&String::from_utf8_lossy(body), BODY_CHARS_MAX);
    out.push_str(&format!("\n{shown}\n"));
    if body.len() > BODY_CHARS_MAX {
        out.push_str(&format!("({}, whole with --json)\n", bytes(body.len() as u64)));
    }
    out
}

/// The states of an outbox and how many entries each has, in one line.
pub fn outbox_line(counts: &[crate::outbox::OutboxCount]) -> String {
    let here = counts.iter().filter(|c| !c.moved);
    let here = here.map(|c| format!("{} {}", count(c.entries), c.state.as_str()));
    let moved: u64 = counts.iter().filter(|c| c.moved).map(|c| c.entries).sum();
    let moved = (moved > 0).then(|| format!("{} moved", count(moved)));
    here.chain(moved).collect::<Vec<_>>().join(", ")
}

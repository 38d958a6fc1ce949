//! One answer, judged and read: what it says about paging, totals and errors, and its rows.

use crate::definition::{
    Column, ColumnType, CursorMark, Key, Path, Source, Stream, StreamKind, nearest,
};
use crate::evidence::{JudgedAnswer, Signs, signs_of};
use crate::http::{Page, PageFacts, SourceError, invalid_response, login_page};
use crate::model::numbers::many;
use crate::model::{RejectKind, excerpt};
use crate::record::{
    Body, ExtractError, MEMBER_NAMES_MAX, PageContext, PageRows, RecordReader, read_page,
};

/// Members that a message names: enough to recognise the place, and a message stays readable.
const MEMBERS_SHOWN_MAX: usize = 8;

/// A page that can be written.
pub struct ReadPage {
    pub rows: PageRows,
    /// What it says about paging.
    pub facts: PageFacts,
    /// What it says of its completeness.
    pub signs: Signs,
}

/// Judges and reads an answer. `redact` takes secrets out of what a message repeats of it.
pub fn read_answer(
    stream: &Stream,
    source: &Source,
    reader: &RecordReader,
    context: &PageContext,
    page: &Page,
    redact: &dyn Fn(&str) -> String,
) -> Result<ReadPage, SourceError> {
    let body = page.body()?;
    check_error_member(stream.error.as_ref(), &body, redact)?;
    let read = read_page(&body, &stream.records, reader, context);
    let rows = match read {
        Err(_) if page.looks_like_portal() => {
            return Err(login_page("the answer is not the source's"));
        }
        Err(error) if error.is_absent_list() && may_lack_list(stream) => PageRows::default(),
        read => read.map_err(|error| no_records(stream, &error))?,
    };
    check_keys(stream, &rows, &body)?;
    let facts = PageFacts::of(stream, source, page, &body, &rows)?;
    let beside = body.beside_records(rows.span);
    let signs = signs_of(&JudgedAnswer {
        headers: &page.response.headers,
        url: &page.url,
        beside: beside.as_deref(),
        records: stream.records.prefix(),
        received: rows.received,
        error_is_declared: stream.error.is_some(),
    });
    Ok(ReadPage { rows, facts, signs: signs.redacted(redact) })
}

/// Reads a page that was kept: it was judged when it came.
pub fn read_kept(
    stream: &Stream,
    reader: &RecordReader,
    context: &PageContext,
    body: &Body<'_>,
) -> Result<PageRows, SourceError> {
    let rows = read_page(body, &stream.records, reader, context);
    let rows = rows.map_err(|error| no_records(stream, &error))?;
    check_keys(stream, &rows, body)?;
    Ok(rows)
}

/// Whether an answer without a list of records means that there are none.
fn may_lack_list(stream: &Stream) -> bool {
    stream.empty.as_ref().is_some_and(|empty| empty.list_absent)
}

fn no_records(stream: &Stream, error: &ExtractError) -> SourceError {
    let path = stream.records.text();
    let mut help = format!("look at the answer, and at the stream's `records = {path:?}`");
    if error.is_absent_list() {
        help.push_str(
            "; if this means that there is no data, write `empty = { records = \"absent\" }`",
        );
    }
    let mut fault = invalid_response(error.to_string()).from_error(error.clone()).help(help);
    fault.cut = matches!(error, ExtractError::CutOff(_));
    fault
}

/// An answer that carries an error is no data, whatever its status.
fn check_error_member(
    path: Option<&Path>,
    body: &Body<'_>,
    redact: &dyn Fn(&str) -> String,
) -> Result<(), SourceError> {
    let Some(path) = path else { return Ok(()) };
    match body.value_at(path) {
        Some(raw) if !matches!(raw.as_str(), "null" | "false" | "\"\"" | "[]" | "{}" | "0") => {
            let raw = excerpt(&redact(&raw), 200);
            let message = format!("the answer is an error at {}: {raw}", path.text());
            Err(invalid_response(message)
                .help("if this member is no error, name another with `error`"))
        }
        _ => Ok(()),
    }
}

/// A key that no record has is a mistake in the definition, not a page of bad records.
fn check_keys(stream: &Stream, rows: &PageRows, body: &Body<'_>) -> Result<(), SourceError> {
    let all = |kind| rows.rejects.iter().all(|reject| reject.kind == kind);
    let none_is_a_row = rows.received > 0 && rows.rows.is_empty();
    if none_is_a_row && !rows.rejects.is_empty() && all(RejectKind::NotAnObject) {
        let first = rows.rejects.first().map(|reject| excerpt(&reject.record, 60));
        let message = format!("no record is an object; the first is {}", first.unwrap_or_default());
        let help = format!(
            "the stream's `records` is {:?}: does it lead to the elements of a list of objects, as \
             `$.data[*]` does?",
            stream.records.text()
        );
        return Err(invalid_response(message).help(help));
    }
    if rows.overgrown {
        let message = "the rows of one page need many times the memory of its body".to_owned();
        let help = "take no long texts from an ancestor into `columns`, or ask for smaller pages";
        return Err(invalid_response(message).help(help));
    }
    if rows.unkept > 0 {
        let reason = rows.rejects.first().map_or("", |reject| reject.reason.as_str());
        let kept = rows.rejects.len();
        let kept = many(kept as u64, "record");
        let message = format!("more than {kept} of one page cannot be rows: {reason}");
        return Err(invalid_response(message)
            .help("look at the answer, and at the stream's `records` and `columns`"));
    }
    let without = rows.rejects.iter().filter(|reject| reject.kind == RejectKind::NoKey).count();
    if rows.received == 0 || without as u64 != rows.received {
        return Ok(());
    }
    let fields = match &stream.key {
        Key::Columns(fields) | Key::Hash(fields) => fields.clone(),
    };
    let records = many(rows.received, "record");
    let message = format!("none of the page's {records} has the key ({})", fields.join(", "));
    let members = body.member_names(&stream.records);
    let missing = fields.iter().find(|field| !members.contains(field)).unwrap_or(&fields[0]);
    Err(invalid_response(message).help(help_for(missing, &members)))
}

/// A field of a hash key that no record of the first page has is a mistake: without it, different
/// records would become one.
pub fn check_hash_fields(
    stream: &Stream,
    rows: &PageRows,
    body: &Body<'_>,
) -> Result<(), SourceError> {
    let Key::Hash(fields) = &stream.key else { return Ok(()) };
    if rows.received == 0 {
        return Ok(());
    }
    let members = body.member_names(&stream.records);
    let columns = stream.columns.as_deref().unwrap_or_default();
    for field in fields {
        let elsewhere = columns.iter().any(|column| {
            column.name == *field && column.origin != Column::plain(field, column.kind).origin
        });
        if !elsewhere && !members.contains(field) {
            let message = format!("no record has the key's field `{field}`");
            return Err(invalid_response(message).help(help_for(field, &members)));
        }
    }
    Ok(())
}

/// What was probably meant by a name that no record has.
fn help_for(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let shown: Vec<String> = known.iter().take(MEMBERS_SHOWN_MAX).cloned().collect();
            let more = if known.len() > MEMBERS_SHOWN_MAX { ", …" } else { "" };
            format!("the records have: {}{more}", excerpt(&shown.join(", "), 400))
        }
    }
}

/// The columns of a stream whose definition does not say, from its first page with records.
pub fn infer_from(stream: &Stream, body: &Body<'_>) -> Result<Option<Vec<Column>>, SourceError> {
    let mut times = Vec::new();
    match &stream.kind {
        StreamKind::Window(rules) => times.push(rules.field.as_str()),
        StreamKind::Cursor(rules) => times.push(rules.field.as_str()),
        StreamKind::Snapshot { .. } => {}
    }
    times.extend(stream.version.as_deref());
    let members = body.member_names(&stream.records);
    if members.is_empty() {
        return Ok(None);
    }
    if members.len() >= MEMBER_NAMES_MAX {
        let most = MEMBER_NAMES_MAX - 1;
        let message = format!("the records have more than {most} different members");
        let help = "declare the stream's `columns`; all other members are kept in `_rest`";
        return Err(invalid_response(message).help(help));
    }
    let needed: Vec<&str> = needed_columns(stream).into_iter().map(|(field, _)| field).collect();
    let mut columns = body
        .infer_columns(&stream.records, &times, &needed)
        .map_err(|error| invalid_response(error.to_string()).from_error(error))?;
    for (field, role) in needed_columns(stream) {
        if columns.iter().any(|column| column.name == field) {
            continue;
        }
        if members.iter().any(|member| member == field) {
            let message = format!("`{field}`, {role}, has no value on the first page");
            return Err(invalid_response(message).help("declare the stream's `columns`"));
        }
        let message = format!("the records have no `{field}`, which is {role}");
        return Err(invalid_response(message).help(help_for(field, &members)));
    }
    check_inferred_times(stream, &mut columns)?;
    Ok(Some(columns))
}

/// The columns that the stream cannot do without, and what for.
fn needed_columns(stream: &Stream) -> Vec<(&str, &'static str)> {
    let mut needed = Vec::new();
    if let Key::Columns(fields) = &stream.key {
        needed.extend(fields.iter().map(|field| (field.as_str(), "the key")));
    }
    match &stream.kind {
        StreamKind::Window(rules) => needed.push((rules.field.as_str(), "the window's field")),
        StreamKind::Cursor(rules) => needed.push((rules.field.as_str(), "the cursor's field")),
        StreamKind::Snapshot { .. } => {}
    }
    needed.extend(stream.version.iter().map(|version| (version.as_str(), "the version")));
    needed.extend(stream.references.keys().map(|column| (column.as_str(), "a reference")));
    needed
}

/// A field that is compared with bounds or moves a mark must be a time, or a number for a mark
/// that is one.
fn check_inferred_times(stream: &Stream, columns: &mut [Column]) -> Result<(), SourceError> {
    let (field, number) = match &stream.kind {
        StreamKind::Window(rules) => (&rules.field, false),
        StreamKind::Cursor(rules) => {
            (&rules.field, matches!(rules.mark, CursorMark::Integer { .. }))
        }
        StreamKind::Snapshot { .. } => return Ok(()),
    };
    let Some(column) = columns.iter_mut().find(|column| column.name == *field) else {
        return Ok(());
    };
    match (column.kind, number) {
        (ColumnType::Number, true) => column.kind = ColumnType::Integer,
        (kind, false) if kind.is_time() => {}
        _ => {
            let message = format!("the values of `{field}` have the wrong type");
            return Err(
                invalid_response(message).help("declare the stream's `columns`, with its `format`")
            );
        }
    }
    Ok(())
}

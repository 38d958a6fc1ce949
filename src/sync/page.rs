//! One answer, judged and read: what it says about paging, totals and errors, and its rows.

use crate::definition::{
    Column, ColumnType, CursorMark, Key, Paginate, Path, Stream, StreamKind, TokenAt, Total,
    nearest,
};
use crate::http::{
    Fetched, HttpFetcher, PageFacts, SourceError, SourceErrorKind, judge_content, login_page,
    looks_like_portal,
};
use crate::model::{RejectKind, excerpt};
use crate::record::{
    ExtractError, MEMBER_NAMES_MAX, PageContext, PageRows, RecordReader, body_value, infer_columns,
    member_names, read_page,
};

/// Members that a message names.
const MEMBERS_SHOWN_MAX: usize = 8;

/// A page that can be written.
pub struct ReadPage {
    /// Rows and rejects.
    pub rows: PageRows,
    /// What it says about paging.
    pub facts: PageFacts,
}

/// An error of what the source said.
pub fn broken(message: impl Into<String>) -> SourceError {
    SourceError::new(SourceErrorKind::InvalidResponse, message)
}

/// Judges and reads an answer.
pub fn read_answer(
    stream: &Stream,
    reader: &RecordReader,
    context: &PageContext,
    fetched: &Fetched,
    fetcher: &HttpFetcher,
    source: &crate::definition::Source,
) -> Result<ReadPage, SourceError> {
    let body = judge_content(&fetched.response)?;
    if body.is_empty() && fetched.response.status == 204 {
        let rows = read_page("[]", &Path::parse("$[*]").expect("a path"), reader, context);
        return Ok(ReadPage { rows: rows.expect("an empty page"), facts: PageFacts::default() });
    }
    check_error_member(stream.error.as_ref(), body, fetcher)?;
    let rows = read_page(body, &stream.records, reader, context).map_err(|error| {
        if looks_like_portal(&fetched.response) {
            return login_page("the answer is not the source's");
        }
        no_records(stream, &error)
    })?;
    if stream.error.is_none() && rows.received == 0 {
        for member in ["$.error", "$.errors"] {
            check_error_member(Path::parse(member).ok().as_ref(), body, fetcher)?;
        }
    }
    check_keys(stream, &rows, body)?;
    let facts = facts_of(stream, body, fetched, &rows, fetcher, source)?;
    Ok(ReadPage { rows, facts })
}

/// Reads a page that was kept: it was judged when it came.
pub fn read_kept(
    stream: &Stream,
    reader: &RecordReader,
    context: &PageContext,
    body: &str,
) -> Result<PageRows, SourceError> {
    let rows = read_page(body, &stream.records, reader, context);
    let rows = rows.map_err(|error| no_records(stream, &error))?;
    check_keys(stream, &rows, body)?;
    Ok(rows)
}

fn no_records(stream: &Stream, error: &ExtractError) -> SourceError {
    let path = stream.records.text();
    broken(error.to_string())
        .help(format!("look at the answer, and at the stream's `records = {path:?}`"))
}

/// An answer that carries an error is no data, whatever its status.
fn check_error_member(
    path: Option<&Path>,
    body: &str,
    fetcher: &HttpFetcher,
) -> Result<(), SourceError> {
    let Some(path) = path else { return Ok(()) };
    match body_value(body, path) {
        Some(raw) if !matches!(raw.as_str(), "null" | "false" | "\"\"" | "[]" | "{}" | "0") => {
            let raw = excerpt(&fetcher.redact(&raw), 200);
            let message = format!("the answer is an error at {}: {raw}", path.text());
            Err(broken(message).help("if this member is no error, name another with `error`"))
        }
        _ => Ok(()),
    }
}

/// A key that no record has is a mistake in the definition, not a page of bad records.
fn check_keys(stream: &Stream, rows: &PageRows, body: &str) -> Result<(), SourceError> {
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
        return Err(broken(message).help(help));
    }
    if rows.overgrown {
        let message = "the rows of one page take up many times what came".to_owned();
        let help = "take no long texts from an ancestor into `columns`, or ask for smaller pages";
        return Err(broken(message).help(help));
    }
    if rows.unkept > 0 {
        let reason = rows.rejects.first().map_or("", |reject| reject.reason.as_str());
        let kept = rows.rejects.len();
        let message = format!("more than {kept} records of one page cannot be rows: {reason}");
        return Err(
            broken(message).help("look at the answer, and at the stream's `records` and `columns`")
        );
    }
    let without = rows.rejects.iter().filter(|reject| reject.kind == RejectKind::NoKey).count();
    if rows.received == 0 || without as u64 != rows.received {
        return Ok(());
    }
    let fields = match &stream.key {
        Key::Columns(fields) | Key::Hash(fields) => fields.clone(),
    };
    let records = rows.received;
    let message =
        format!("none of the page's {records} records has the key ({})", fields.join(", "));
    let members = member_names(body, &stream.records);
    let missing = fields.iter().find(|field| !members.contains(field)).unwrap_or(&fields[0]);
    Err(broken(message).help(help_for(missing, &members)))
}

/// A field of a hash key that no record of the first page has is a mistake: without it, different
/// records would become one.
pub fn check_hash_fields(stream: &Stream, rows: &PageRows, body: &str) -> Result<(), SourceError> {
    let Key::Hash(fields) = &stream.key else { return Ok(()) };
    if rows.received == 0 {
        return Ok(());
    }
    let members = member_names(body, &stream.records);
    let columns = stream.columns.as_deref().unwrap_or_default();
    for field in fields {
        let elsewhere = columns.iter().any(|column| {
            column.name == *field && column.origin != Column::plain(field, column.kind).origin
        });
        if !elsewhere && !members.contains(field) {
            let message = format!("no record has the key's field `{field}`");
            return Err(broken(message).help(help_for(field, &members)));
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
pub fn infer_from(stream: &Stream, body: &str) -> Result<Option<Vec<Column>>, SourceError> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut times = Vec::new();
    match &stream.kind {
        StreamKind::Window(rules) => times.push(rules.field.as_str()),
        StreamKind::Cursor(rules) => times.push(rules.field.as_str()),
        StreamKind::Snapshot { .. } => {}
    }
    times.extend(stream.version.as_deref());
    let members = member_names(body, &stream.records);
    if members.is_empty() {
        return Ok(None);
    }
    if members.len() >= MEMBER_NAMES_MAX {
        let most = MEMBER_NAMES_MAX - 1;
        let message = format!("the records have more than {most} different members");
        let help = "declare the stream's `columns`; all other members are kept in `_rest`";
        return Err(broken(message).help(help));
    }
    let mut columns =
        infer_columns(body, &stream.records, &times).map_err(|error| broken(error.to_string()))?;
    for (field, role) in needed_columns(stream) {
        if columns.iter().any(|column| column.name == field) {
            continue;
        }
        if members.iter().any(|member| member == field) {
            let message = format!("`{field}`, {role}, has no value on the first page");
            return Err(broken(message).help("declare the stream's `columns`"));
        }
        let message = format!("the records have no `{field}`, which is {role}");
        return Err(broken(message).help(help_for(field, &members)));
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
        (ColumnType::Date | ColumnType::Timestamp, false) => {}
        _ => {
            let message = format!("the values of `{field}` are not of the kind that is needed");
            return Err(broken(message).help("declare the stream's `columns`, with its `format`"));
        }
    }
    Ok(())
}

fn facts_of(
    stream: &Stream,
    body: &str,
    fetched: &Fetched,
    rows: &PageRows,
    fetcher: &HttpFetcher,
    source: &crate::definition::Source,
) -> Result<PageFacts, SourceError> {
    let mut facts = PageFacts {
        received: rows.received,
        content_hash: rows.content_hash,
        total: page_total(stream, body, fetched)?,
        ..PageFacts::default()
    };
    let more_at = match &stream.paginate {
        Paginate::Page { more, .. }
        | Paginate::Offset { more, .. }
        | Paginate::Cursor { more, .. } => more.as_ref(),
        _ => None,
    };
    if let Some(path) = more_at {
        facts.more = match body_value(body, path).as_deref() {
            Some("true") => Some(true),
            Some("false" | "null") => Some(false),
            _ => {
                let message = format!("expected true or false at {}", path.text());
                return Err(broken(message).help("check the stream's `paginate.more`"));
            }
        };
    }
    match &stream.paginate {
        Paginate::None | Paginate::Offset { .. } => {}
        Paginate::Page { pages, .. } => {
            let count = pages.as_ref().map(|path| number_at(body, path)).transpose()?;
            facts.pages = count;
        }
        Paginate::Cursor { token, .. } => facts.next = token_of(token, body, fetched, rows),
        Paginate::Link => facts.next = fetcher.link_of(source, fetched)?,
        Paginate::NextUrl(path) => {
            if let Some(address) = body_value(body, path).as_deref().and_then(token_text) {
                facts.next = Some(fetcher.address_of(source, fetched, &address)?);
            }
        }
    }
    Ok(facts)
}

fn token_of(token: &TokenAt, body: &str, fetched: &Fetched, rows: &PageRows) -> Option<String> {
    match token {
        TokenAt::Body(path) => body_value(body, path).as_deref().and_then(token_text),
        TokenAt::Header(name) => {
            let value = fetched.response.header(&name.to_lowercase())?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        }
        TokenAt::LastRecord(field) => {
            let record = rows.last_record.as_deref()?;
            let segments = [crate::definition::Segment::Name(field.clone())];
            crate::record::text_at(record, &segments).and_then(token_text)
        }
    }
}

/// A token as text; null, false and an empty text are none.
fn token_text(raw: &str) -> Option<String> {
    match raw {
        "null" | "false" | "\"\"" => None,
        raw if raw.starts_with('"') => serde_json::from_str(raw).ok(),
        raw => Some(raw.to_owned()),
    }
}

fn page_total(stream: &Stream, body: &str, fetched: &Fetched) -> Result<Option<u64>, SourceError> {
    match &stream.total {
        None | Some(Total::Endpoint { .. }) => Ok(None),
        Some(Total::Body(path)) => number_at(body, path).map(Some),
        Some(Total::Header(name)) => {
            let value = fetched.response.header(&name.to_lowercase());
            let number = value.and_then(|value| value.trim().parse().ok());
            number.map(Some).ok_or_else(|| {
                broken(format!("expected a total in the header {name}"))
                    .help("check the stream's `total`")
            })
        }
    }
}

/// The count at a path, which must be there.
pub fn number_at(body: &str, path: &Path) -> Result<u64, SourceError> {
    let raw = body_value(body, path);
    let number = raw.as_deref().and_then(|raw| raw.trim_matches('"').parse().ok());
    number.ok_or_else(|| {
        let found = raw.map_or_else(|| "nothing".to_owned(), |raw| excerpt(&raw, 60));
        broken(format!("expected a count at {}, found {found}", path.text()))
            .help("check `total` and `paginate.pages`")
    })
}

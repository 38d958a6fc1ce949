//! What a stream means.

use std::collections::{BTreeMap, BTreeSet};

use super::bounds::check_utc;
use super::check::resolve_stream_check;
use super::columns::{check_column, check_references};
use super::retention::{deleted_of, history_of, missing_of};
use super::window::resolve_kind;
use crate::definition::context::Context;
use crate::definition::nothing::{absent_of, empty_of};
use crate::definition::paging::{OwnRequest, ends_of, paginate_of, total_of, total_rules_of};
use crate::definition::raw::{
    RawColumn, RawColumnTable, RawDefinition, RawKey, RawMethod, RawOnConflict, RawOnDrift,
    RawStream,
};
use crate::definition::{
    Ambiguous, Column, ColumnOrigin, Key, Paginate, Path, RECONCILE_ATTEMPTS, RequestTemplate,
    Segment, Stream, StreamKind, Template, TimeFormat, TypeFamily,
};
use chrono_tz::Tz;

pub(super) fn resolve_stream(
    name: &str,
    raw: &RawStream,
    all: &RawDefinition,
    context: &mut Context<'_>,
) -> Option<Stream> {
    let at = |key: &'static str| ["streams", name, key];
    let source = source_of(name, raw, all, context);
    let records = context.path(&at("records"), &raw.records);
    let columns = columns_of(name, raw, records.as_ref(), context);
    // The members of an object are records only where a column takes their names.
    let depth = records.as_ref().and_then(|path| Some(path.plain()?.len()));
    let names_members = columns.iter().flatten().any(
        |column| matches!(column.origin, ColumnOrigin::Member { depth: at } if Some(at) == depth),
    );
    let records = match names_members {
        true => records,
        false => records.map(Path::taking_an_object_for_an_element),
    };
    let kind = resolve_kind(name, raw, columns.as_deref(), context);
    check_parent(name, raw, all, context);
    let known = names_for_templates(raw, all);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let request = resolve_request(name, raw, &known, context);
    if let (Some(kind), Some(request)) = (&kind, &request) {
        check_bounds_are_used(name, kind, request, raw.for_each.is_some(), context);
    }
    let key = key_of(name, raw, columns.as_deref(), context);
    check_column(&at("version"), raw.version.as_deref(), columns.as_deref(), context);
    check_version_kind(name, raw, columns.as_deref(), context);
    check_references(name, raw, all, columns.as_deref(), context);
    let paginate = paginate_of(name, raw.paginate.as_ref(), raw.body.as_ref(), context);
    check_rich_path(name, raw, (records.as_ref(), paginate.as_ref()), context);
    let ends = ends_of(name, raw.paginate.as_ref(), context);
    let own = OwnRequest { query: &raw.query, headers: &raw.headers };
    let total = raw.total.as_ref();
    let total = total.and_then(|total| total_of(name, total, own, &known, context));
    let error = raw.error.as_deref().and_then(|text| context.path(&at("error"), text));
    let check = resolve_stream_check(name, raw, columns.as_deref(), context);
    Some(Stream {
        name: name.to_owned(),
        source: source?,
        request: request?,
        records: records?,
        key: key?,
        version: raw.version.clone(),
        columns,
        kind: kind?,
        for_each: raw.for_each.clone(),
        paginate: paginate?,
        paginate_is_written: raw.paginate.is_some(),
        ends,
        total,
        total_rules: total_rules_of(raw.total.as_ref()),
        empty: empty_of(name, raw.empty.as_ref(), context),
        absent: absent_of(
            name,
            raw.absent.as_ref(),
            raw.absent_ratio_max,
            raw.for_each.is_some(),
            context,
        ),
        shared_key: raw.shared_key,
        reconcile_attempts: raw.reconcile_attempts.unwrap_or(RECONCILE_ATTEMPTS),
        max_records: raw.max_records,
        on_conflict: raw.on_conflict.unwrap_or(RawOnConflict::Update),
        history: history_of(name, raw, all, context),
        missing: missing_of(name, raw, all, context),
        deleted: deleted_of(name, raw, context),
        on_drift: raw.on_drift.unwrap_or(RawOnDrift::Record),
        max_rejects: raw.max_rejects,
        error,
        references: raw.references.iter().map(|(c, s)| (c.clone(), s.clone())).collect(),
        check,
        raw: raw.raw,
    })
}

fn source_of(
    name: &str,
    raw: &RawStream,
    all: &RawDefinition,
    context: &mut Context<'_>,
) -> Option<String> {
    let known: BTreeSet<String> = all.sources.keys().cloned().collect();
    match &raw.source {
        Some(source) if known.contains(source) => Some(source.clone()),
        Some(source) => {
            context.unknown(&["streams", name, "source"], "the source", source, &known);
            None
        }
        None if known.len() == 1 => known.into_iter().next(),
        None => {
            let message = format!("`{name}` must say its `source`: there are {}", known.len());
            context.report(&["streams", name], message);
            None
        }
    }
}

/// What a template of this stream may use. `parent.*` stands for any column when the parent's
/// columns are inferred.
fn names_for_templates(raw: &RawStream, all: &RawDefinition) -> Vec<String> {
    let mut known = Vec::new();
    if raw.window.is_some() {
        known.extend(["window.start".to_owned(), "window.end".to_owned()]);
    }
    if raw.cursor.is_some() {
        known.push("cursor".to_owned());
    }
    if let Some(parent) = raw.for_each.as_ref().and_then(|name| all.streams.get(name)) {
        match &parent.columns {
            Some(columns) => known.extend(columns.keys().map(|column| format!("parent.{column}"))),
            None => known.push("parent.*".to_owned()),
        }
    }
    known
}

fn check_parent(name: &str, raw: &RawStream, all: &RawDefinition, context: &mut Context<'_>) {
    let Some(parent) = &raw.for_each else { return };
    if !all.streams.contains_key(parent) {
        let known = all.streams.keys().filter(|stream| *stream != name).cloned().collect();
        context.unknown(&["streams", name, "for_each"], "the stream", parent, &known);
    }
}

fn resolve_request(
    name: &str,
    raw: &RawStream,
    known: &[&str],
    context: &mut Context<'_>,
) -> Option<RequestTemplate> {
    let path = context.template(&["streams", name, "path"], &raw.path, known);
    if path.as_ref().is_some_and(|path| path.secrets().next().is_some()) {
        context.report(&["streams", name, "path"], "a secret cannot stand in a path");
    }
    let query = context.parameters(&["streams", name, "query"], &raw.query, known);
    let mut headers = Vec::new();
    for (header, value) in &raw.headers {
        let place = ["streams", name, "headers", header];
        context.check_credential(&place, header, value);
        headers.extend(context.template(&place, value, known).map(|t| (header.clone(), t)));
    }
    if let Some(body) = &raw.body {
        check_body(&["streams", name, "body"], body, known, context);
    }
    let post = matches!(raw.method, Some(RawMethod::Post));
    if raw.body.is_some() && !post {
        context.report(&["streams", name, "body"], "a body needs `method = \"POST\"`");
    }
    Some(RequestTemplate { post, path: path?, query, headers, body: raw.body.clone() })
}

pub(super) fn check_body(
    place: &[&str],
    body: &serde_json::Value,
    known: &[&str],
    context: &mut Context<'_>,
) {
    match body {
        serde_json::Value::String(text) => {
            context.template(place, text, known);
        }
        serde_json::Value::Array(items) => {
            for item in items {
                check_body(place, item, known, context);
            }
        }
        serde_json::Value::Object(members) => {
            for (member, value) in members {
                let place: Vec<&str> = place.iter().copied().chain([member.as_str()]).collect();
                if let Some(text) = value.as_str() {
                    context.check_credential(&place, member, text);
                }
                check_body(&place, value, known, context);
            }
        }
        _ => {}
    }
}

/// All the names that a request's templates use.
fn names_used(request: &RequestTemplate) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut add = |template: &Template| names.extend(template.names().iter().cloned());
    add(&request.path);
    request.query.iter().chain(&request.headers).for_each(|(_, template)| add(template));
    let mut stack: Vec<&serde_json::Value> = request.body.iter().collect();
    while let Some(value) = stack.pop() {
        match value {
            serde_json::Value::String(text) => {
                if let Ok(template) = Template::parse(text) {
                    names.extend(template.names().iter().cloned());
                }
            }
            serde_json::Value::Array(items) => stack.extend(items),
            serde_json::Value::Object(members) => stack.extend(members.values()),
            _ => {}
        }
    }
    names
}

/// A version is compared by SQLite.
fn check_version_kind(
    stream: &str,
    raw: &RawStream,
    columns: Option<&[Column]>,
    context: &mut Context<'_>,
) {
    let column = raw.version.as_ref().zip(columns);
    let column = column.and_then(|(name, all)| all.iter().find(|column| column.name == *name));
    if let Some(column) = column.filter(|column| !column.kind.sorts_by_meaning()) {
        let message = format!("`{}` does not sort from older to newer by its type", column.name);
        let help = "a version is a timestamp, date, integer, real, number or text".to_owned();
        context.report_help(&["streams", stream, "version"], message, Some(help));
    }
}

/// Paging that counts records must count all that came, not those that a filter let through.
fn check_rich_path(
    stream: &str,
    raw: &RawStream,
    (records, paginate): (Option<&Path>, Option<&Paginate>),
    context: &mut Context<'_>,
) {
    let rich = records.is_some_and(|records| records.plain().is_none());
    let paging = paginate.is_some_and(Paginate::needs_all_records);
    if rich && (paging || raw.max_records.is_some() || raw.total.is_some()) {
        let message = "a `records` path with filters, slices or `..` hides how many records came, \
            which this stream's paging, `total` or `max_records` must know";
        let help = "take all records, and filter with SQL".to_owned();
        context.report_help(&["streams", stream, "records"], message.to_owned(), Some(help));
    }
}

/// A window that is never asked for would read everything each time and call it one day.
fn check_bounds_are_used(
    name: &str,
    kind: &StreamKind,
    request: &RequestTemplate,
    is_child: bool,
    context: &mut Context<'_>,
) {
    let used = names_used(request);
    let uses = |wanted: &str| used.contains(wanted);
    if is_child && !used.iter().any(|name| name.starts_with("parent.")) {
        let message = "nothing in the request uses a column of the parent: each of its rows would \
            ask the same";
        let help = "for example `path = \"/lines/{{ parent.id }}/days\"`".to_owned();
        context.report_help(&["streams", name, "for_each"], message.to_owned(), Some(help));
    }
    let (message, example) = match kind {
        StreamKind::Window(_) if !uses("window.start") && !uses("window.end") => (
            "nothing in the request uses `{{ window.start }}` or `{{ window.end }}`",
            "for example `query = { from = \"{{ window.start }}\", to = \"{{ window.end }}\" }`",
        ),
        StreamKind::Cursor(_) if !uses("cursor") => (
            "nothing in the request uses `{{ cursor }}`",
            "for example `query = { since = \"{{ cursor }}\" }`",
        ),
        _ => return,
    };
    let key = if matches!(kind, StreamKind::Window(_)) { "window" } else { "cursor" };
    let help = Some(example.to_owned());
    context.report_help(&["streams", name, key], message.to_owned(), help);
}

fn columns_of(
    stream: &str,
    raw: &RawStream,
    records: Option<&Path>,
    context: &mut Context<'_>,
) -> Option<Vec<Column>> {
    let raw_columns = raw.columns.as_ref()?;
    let mut seen = BTreeMap::new();
    let mut columns = Vec::new();
    for (name, column) in raw_columns {
        let place = ["streams", stream, "columns", name.as_str()];
        check_column_name(&place, name, context);
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            let message = format!("`{other}` and `{name}` are one column to SQLite");
            context.report(&place, message);
        }
        columns.extend(column_of(stream, name, column, raw, records, context));
    }
    if columns.is_empty() {
        context.report(&["streams", stream, "columns"], "there is no column");
    }
    // The key's columns come first: that is how a person reads a table.
    if let RawKey::Column(key) = &raw.key {
        columns.sort_by_key(|column| column.name != *key);
    } else if let RawKey::Columns(keys) = &raw.key {
        let place = |column: &Column| keys.iter().position(|key| *key == column.name);
        columns.sort_by_key(|column| place(column).unwrap_or(keys.len()));
    }
    Some(columns)
}

fn check_column_name(place: &[&str], name: &str, context: &mut Context<'_>) {
    if name.starts_with('_') {
        let message = format!("`{name}`: columns that begin with `_` are windrow's own");
        context.report(place, message);
    } else if !is_column_name(name) {
        let message = format!("`{name}` cannot name a column: use letters, digits and underscores");
        context.report(place, message);
    }
}

/// Whether a definition may give this name to a source, a stream, a check or an alert.
pub fn is_given_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= 63
        && !name.starts_with("sqlite_")
}

/// Whether SQL takes the name as it is.
pub fn is_column_name(name: &str) -> bool {
    let mut letters = name.chars();
    name.len() <= 63
        && letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn column_of(
    stream: &str,
    name: &str,
    raw: &RawColumn,
    raw_stream: &RawStream,
    records: Option<&Path>,
    context: &mut Context<'_>,
) -> Option<Column> {
    let table = match raw {
        RawColumn::Type(kind) => {
            let null_values = raw_stream.null_values.clone();
            return Some(Column { null_values, ..Column::plain(name, *kind) });
        }
        RawColumn::Full(table) => table,
    };
    let at = |key: &'static str| ["streams", stream, "columns", name, key];
    let origin = origin_of(stream, name, table, raw_stream, records, context);
    if let Some(tolerance) = table.tolerance {
        if !table.kind.is_number() {
            context.report(&at("tolerance"), "only a number has a tolerance");
        } else if !tolerance.is_finite() || tolerance < 0.0 {
            context.report(&at("tolerance"), "a tolerance is 0 or more");
        }
    }
    for (key, given) in [("format", &table.format), ("timezone", &table.timezone)] {
        if given.is_some() && !table.kind.is_time() {
            context.report(&at(key), format!("only a date or timestamp has a `{key}`"));
        }
    }
    let format = table.format.as_deref().map(|text| context.time_format(&at("format"), Some(text)));
    let zone = table.timezone.as_deref().map(|text| context.zone(&at("timezone"), Some(text)));
    if let Some(format) = &format {
        check_read(&at("format"), format, zone, context);
    }
    check_ambiguous(&at("ambiguous"), table, context);
    Some(Column {
        name: name.to_owned(),
        kind: table.kind,
        origin: origin?,
        optional: table.optional,
        tolerance: table.tolerance,
        format,
        zone,
        null_values: [&raw_stream.null_values[..], &table.null_values].concat(),
        ambiguous: table.ambiguous.unwrap_or(Ambiguous::Reject),
    })
}

/// A format by which no text can be read would reject every record.
fn check_read(place: &[&str], format: &TimeFormat, zone: Option<Tz>, context: &mut Context<'_>) {
    match format.fault_of_reading() {
        Some(fault) => {
            let help = "docs/formats.md has all specifiers".to_owned();
            context.report_help(place, fault, Some(help));
        }
        None => {
            check_utc(place, format, zone.unwrap_or(Tz::UTC), context);
        }
    }
}

fn check_ambiguous(place: &[&str], table: &RawColumnTable, context: &mut Context<'_>) {
    if table.ambiguous.is_none() {
        return;
    }
    if table.kind.family() != TypeFamily::Timestamp {
        context.report(place, "only a timestamp has an `ambiguous`");
    } else if table.timezone.is_none() {
        let message = "`ambiguous` is about local times: it needs the column's `timezone`";
        context.report(place, message);
    }
}

fn origin_of(
    stream: &str,
    name: &str,
    table: &RawColumnTable,
    raw_stream: &RawStream,
    records: Option<&Path>,
    context: &mut Context<'_>,
) -> Option<ColumnOrigin> {
    let at = |key: &'static str| ["streams", stream, "columns", name, key];
    let given =
        [("ancestor", &table.ancestor), ("member", &table.member), ("parent", &table.parent)];
    let given: Vec<&str> = given.iter().filter(|(_, v)| v.is_some()).map(|(k, _)| *k).collect();
    if given.len() > 1 || given.len() == 1 && given[0] != "ancestor" && table.path.is_some() {
        let message =
            "`path` (with or without `ancestor`), `member` and `parent` exclude each other";
        context.report(&["streams", stream, "columns", name], message);
        return None;
    }
    if let Some(parent) = &table.parent {
        if raw_stream.for_each.is_none() {
            context.report(&at("parent"), "only a stream with `for_each` has a parent");
        }
        return Some(ColumnOrigin::Parent(parent.clone()));
    }
    if let Some(prefix) = &table.member {
        let depth = prefix_depth(&at("member"), prefix, records, context)?;
        if depth == 0 {
            context.report(&at("member"), "`$` has no name: go at least one step further");
        }
        return Some(ColumnOrigin::Member { depth });
    }
    let segments = match &table.path {
        None => vec![Segment::Name(name.to_owned())],
        Some(text) => {
            let path = context.path(&at("path"), text)?;
            match path.singular() {
                Some(segments) => segments.to_vec(),
                None => {
                    let message = "a column's path leads to one place: names and indexes only";
                    context.report(&at("path"), message);
                    return None;
                }
            }
        }
    };
    let Some(prefix) = &table.ancestor else { return Some(ColumnOrigin::Record(segments)) };
    let depth = prefix_depth(&at("ancestor"), prefix, records, context)?;
    Some(ColumnOrigin::Ancestor { depth, path: segments })
}

/// How many steps of `records` the prefix takes.
fn prefix_depth(
    place: &[&str],
    prefix: &str,
    records: Option<&Path>,
    context: &mut Context<'_>,
) -> Option<usize> {
    let prefix_path = context.path(place, prefix)?;
    let records = records?;
    let Some(steps) = records.plain() else {
        let message = "this needs a `records` path of names, indexes and wildcards only";
        context.report(place, message);
        return None;
    };
    match prefix_path.plain() {
        Some(start) if steps.starts_with(start) => Some(start.len()),
        _ => {
            let message = format!("`{prefix}` is not the beginning of `{}`", records.text());
            context.report(place, message);
            None
        }
    }
}

fn key_of(
    stream: &str,
    raw: &RawStream,
    columns: Option<&[Column]>,
    context: &mut Context<'_>,
) -> Option<Key> {
    let place = ["streams", stream, "key"];
    let (fields, key) = match &raw.key {
        RawKey::Column(field) => (vec![field.clone()], Key::Columns(vec![field.clone()])),
        RawKey::Columns(fields) => (fields.clone(), Key::Columns(fields.clone())),
        RawKey::Hash(hash) => (hash.hash.clone(), Key::Hash(hash.hash.clone())),
    };
    if fields.is_empty() {
        context.report(&place, "a key needs at least one field");
        return None;
    }
    let unique: BTreeSet<String> = fields.iter().map(|field| field.to_lowercase()).collect();
    if unique.len() != fields.len() {
        context.report(&place, "a field stands twice in the key");
    }
    if let Key::Columns(fields) = &key {
        for field in fields {
            match columns {
                Some(_) => check_column(&place, Some(field), columns, context),
                None if is_column_name(field) => {}
                None => context.report(&place, format!("`{field}` cannot name a column")),
            }
            let of_field = columns.and_then(|all| all.iter().find(|c| c.name == *field));
            if let Some(column) = of_field
                && column.tolerance.is_some()
            {
                context.report(&place, format!("`{field}` has a tolerance: a key is exact"));
            }
        }
    }
    Some(key)
}

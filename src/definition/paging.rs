//! Kinds of paging and of totals: how they are written in `windrow.toml`, and what they mean. What
//! they put on a request and read from an answer stands in `http/paginate.rs`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::raw_parameter::RawParameter;
use super::{Path, RequestTemplate, Segment, Stream, Template};

/// The default of `param` of pages.
const PAGE_PARAM: &str = "page";
/// The default of `first`.
const FIRST_PAGE: u64 = 1;
/// The default of `param` of offsets.
const OFFSET_PARAM: &str = "offset";
/// The default of `size_param` of offsets, where there is a `size`.
const SIZE_PARAM: &str = "limit";
/// The default of `param` of cursors.
const TOKEN_PARAM: &str = "cursor";

/// How the API pages.
#[derive(Clone, Debug)]
pub enum Paginate {
    /// One answer holds everything.
    None,
    Page {
        param: String,
        /// The first page's number.
        first: u64,
        /// Records on a page.
        size: Option<u64>,
        /// The parameter that asks for the size.
        size_param: Option<String>,
        /// Where the number of pages is.
        pages: Option<Path>,
        /// Where "there is more" is.
        more: Option<Path>,
    },
    Offset {
        param: String,
        /// Records on a page.
        size: Option<u64>,
        /// The parameter that asks for the size.
        size_param: Option<String>,
        /// Where "there is more" is.
        more: Option<Path>,
    },
    Cursor {
        /// Where the token is.
        token: TokenAt,
        /// Where the token goes.
        into: TokenInto,
        /// Where "there is more" is.
        more: Option<Path>,
    },
    /// The address in a `Link` header with `rel="next"`.
    Link,
    /// The address that the body or a header holds.
    NextUrl(AddressAt),
}

/// Where the address of the next page is.
#[derive(Clone, Debug)]
pub enum AddressAt {
    Body(Path),
    Header(String),
}

/// A rule by which the data ends, besides those of a kind of paging.
#[derive(Clone, Debug)]
pub enum EndRule {
    /// With the first page that is shorter than a full one.
    ShortPage,
    /// With the first page without a record; a token may come again until then.
    EmptyPage,
    /// With the first page that is the one before again.
    RepeatedPage,
    /// With the first page after the first that has one of these statuses.
    Status(Vec<u16>),
    /// With the page whose value at a path is one of these, as JSON.
    Value {
        at: Path,
        /// JSON values; the first one that is equal ends the data.
        is: Vec<serde_json::Value>,
    },
    /// With the page that has nothing at a path.
    Absent(Path),
}

/// How a declared total is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TotalRules {
    /// Only the first page counts all of the data: later ones count what is left.
    pub of_first: bool,
    /// The number at which the source stops counting.
    pub cap: Option<u64>,
    /// What the answers count is something else than the records of a request.
    pub unrelated: bool,
}

impl Paginate {
    /// Whether pages are found by counting, so that they shift when a record comes or goes.
    pub fn is_counted(&self) -> bool {
        match self {
            Paginate::Page { .. } | Paginate::Offset { .. } => true,
            Paginate::None | Paginate::Cursor { .. } | Paginate::Link | Paginate::NextUrl(_) => {
                false
            }
        }
    }

    /// Whether the next page is found by the records of this one: by their number, or by the last.
    pub fn needs_all_records(&self) -> bool {
        match self {
            Paginate::Page { .. } | Paginate::Offset { .. } => true,
            Paginate::Cursor { token, .. } => matches!(token, TokenAt::LastRecord(_)),
            Paginate::None | Paginate::Link | Paginate::NextUrl(_) => false,
        }
    }
}

/// Where a token is.
#[derive(Clone, Debug)]
pub enum TokenAt {
    Body(Path),
    Header(String),
    /// A member of the last record.
    LastRecord(String),
}

/// Where a token goes.
#[derive(Clone, Debug)]
pub enum TokenInto {
    Query(String),
    /// A member of the JSON body.
    Body(String),
}

/// Where the API says how many records a request has.
#[derive(Clone, Debug)]
pub enum Total {
    /// In every page's body.
    Body(Path),
    Header(String),
    /// At an endpoint of its own.
    Endpoint {
        /// The request for the number, with the window's placeholders.
        request: RequestTemplate,
        /// Where its answer holds the number.
        value: Path,
    },
}

impl Stream {
    /// Whether the definition reads the end of the data, or the next page, at this place: a
    /// JSONPath, or `the header NAME`.
    pub fn end_is_declared_at(&self, place: &str) -> bool {
        let mut paths: Vec<&Path> = self.ends.iter().filter_map(EndRule::place).collect();
        let mut header = None;
        match &self.paginate {
            Paginate::None | Paginate::Link => {}
            Paginate::Page { more, pages, .. } => paths.extend(more.iter().chain(pages)),
            Paginate::Offset { more, .. } => paths.extend(more),
            Paginate::Cursor { token, more, .. } => {
                paths.extend(more);
                match token {
                    TokenAt::Body(path) => paths.push(path),
                    TokenAt::Header(name) => header = Some(name),
                    TokenAt::LastRecord(_) => {}
                }
            }
            Paginate::NextUrl(AddressAt::Body(path)) => paths.push(path),
            Paginate::NextUrl(AddressAt::Header(name)) => header = Some(name),
        }
        if let Some(named) = place.strip_prefix("the header ") {
            return header.is_some_and(|header| header.eq_ignore_ascii_case(named));
        }
        let Ok(place) = Path::parse(place) else { return false };
        paths.into_iter().any(|path| path == &place || path.plain() == place.plain())
    }

    /// Whether the records are the elements of one list, so that a count may count them.
    pub fn records_are_one_list(&self) -> bool {
        self.records.plain().is_some_and(|path| {
            let wildcards = path.iter().filter(|step| **step == Segment::Wildcard).count();
            wildcards == 1 && path.last() == Some(&Segment::Wildcard)
        })
    }
}

impl EndRule {
    /// Where an answer has the value that tells the end.
    pub fn place(&self) -> Option<&Path> {
        match self {
            EndRule::Value { at, .. } | EndRule::Absent(at) => Some(at),
            EndRule::ShortPage
            | EndRule::EmptyPage
            | EndRule::RepeatedPage
            | EndRule::Status(_) => None,
        }
    }
}

/// How the API pages, as it is written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RawPaginate {
    /// One answer holds everything, whatever it says of more.
    None {},
    /// Pages are asked for by their numbers.
    Page {
        /// The parameter. Default `page`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        param: Option<String>,
        /// The first page's number. Default 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first: Option<u64>,
        /// How many records a page holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        size: Option<u64>,
        /// The parameter that asks for that size. Default: none is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size_param: Option<String>,
        /// Where the answer says how many pages there are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pages: Option<String>,
        /// Where the answer says whether there is more (`true` or `false`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        more: Option<String>,
        /// When the data ends, besides the rules of this kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<RawEnd>,
    },
    /// Pages are asked for by the number of records before them.
    Offset {
        /// The parameter. Default `offset`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        param: Option<String>,
        /// How many records a page holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        size: Option<u64>,
        /// The parameter that asks for that size. Default `limit` where `size` is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size_param: Option<String>,
        /// Where the answer says whether there is more (`true` or `false`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        more: Option<String>,
        /// When the data ends, besides the rules of this kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<RawEnd>,
    },
    /// A token that leads to the next page.
    Cursor {
        /// Where the body holds the token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        /// The header that holds the token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<String>,
        /// The member of the page's last record that is the token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        field: Option<String>,
        /// The query parameter that takes the token. Default `cursor`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        param: Option<String>,
        /// The member of the JSON body that takes the token instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        /// Where the answer says whether there is more (`true` or `false`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        more: Option<String>,
        /// When the data ends, besides the rules of this kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<RawEnd>,
    },
    /// A `Link` header with `rel="next"` (RFC 8288).
    Link {
        /// When the data ends, besides the rules of this kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<RawEnd>,
    },
    /// An address in the body or in a header.
    NextUrl {
        /// Where the body holds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        /// The header that holds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<String>,
        /// When the data ends, besides the rules of this kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<RawEnd>,
    },
}

/// One rule by which the data ends, or several of which the first one that holds counts.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RawEnd {
    /// One of the named rules.
    Word(RawEndWord),
    /// A status or a value.
    Table(RawEndTable),
    /// Several rules; the first one that holds ends the data.
    List(Vec<RawEndRule>),
}

/// One rule of a list.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RawEndRule {
    /// One of the named rules.
    Word(RawEndWord),
    /// A status or a value.
    Table(RawEndTable),
}

/// A named rule by which the data ends.
#[expect(clippy::enum_variant_names, reason = "the words of the definition end so")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawEndWord {
    /// With the first page that is shorter than a full one.
    ShortPage,
    /// With the first page without a record; a token may come again until then.
    EmptyPage,
    /// With the first page that is the one before again, or leads to itself.
    RepeatedPage,
}

/// A status or a value by which the data ends.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawEndTable {
    /// The statuses of a page past the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Vec<u16>>,
    /// Where an answer has the value that tells the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The value there that tells the end, or a list of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<serde_json::Value>,
    /// `true`: the end is where nothing, or null, stands there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

/// Where the API says how many records a request has in all, as it is written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RawTotal {
    /// A JSONPath into every page's body, or `none`: what the answers count is something else.
    Path(String),
    /// A header, an endpoint, or a path with more to say.
    Elsewhere(RawTotalTable),
}

/// A total in full.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTotalTable {
    /// A JSONPath into a page's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The number at which the source stops counting: a total of that is "at least".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub cap: Option<u64>,
    /// `first`: only the first page counts all of the data, later ones count what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<RawTotalOf>,
    /// The header that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The path of a count endpoint. A template; asked once a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The count endpoint's query. Default: the stream's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<IndexMap<String, RawParameter>>,
    /// Where the count endpoint's answer holds the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Which pages count all of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawTotalOf {
    /// Every page that has a count.
    Each,
    /// The first page of a fetch alone.
    First,
}

/// The parts of a stream's own request that its count endpoint takes over.
#[derive(Clone, Copy)]
pub(in crate::definition) struct OwnRequest<'r> {
    pub query: &'r IndexMap<String, RawParameter>,
    pub headers: &'r IndexMap<String, String>,
}

pub(in crate::definition) fn paginate_of(
    stream: &str,
    raw: Option<&RawPaginate>,
    own_body: Option<&serde_json::Value>,
    context: &mut Context<'_>,
) -> Option<Paginate> {
    let at = |key: &'static str| ["streams", stream, "paginate", key];
    let mut path = |key: &'static str, text: &Option<String>| match text {
        None => Some(None),
        Some(text) => context.path(&at(key), text).map(Some),
    };
    Some(match raw {
        None | Some(RawPaginate::None {}) => Paginate::None,
        Some(RawPaginate::Link { .. }) => Paginate::Link,
        Some(RawPaginate::NextUrl { next, header, .. }) => match (path("next", next)?, header) {
            (Some(next), None) => Paginate::NextUrl(AddressAt::Body(next)),
            (None, Some(header)) => Paginate::NextUrl(AddressAt::Header(header.clone())),
            _ => {
                let message = "a next address has exactly one of `next` and `header`";
                context.report(&["streams", stream, "paginate"], message);
                return None;
            }
        },
        Some(RawPaginate::Page { param, first, size, size_param, pages, more, .. }) => {
            Paginate::Page {
                param: param.clone().unwrap_or_else(|| PAGE_PARAM.to_owned()),
                first: first.unwrap_or(FIRST_PAGE),
                size: *size,
                size_param: size_param.clone(),
                pages: path("pages", pages)?,
                more: path("more", more)?,
            }
        }
        Some(RawPaginate::Offset { param, size, size_param, more, .. }) => Paginate::Offset {
            param: param.clone().unwrap_or_else(|| OFFSET_PARAM.to_owned()),
            size: *size,
            size_param: size_param.clone().or_else(|| size.map(|_| SIZE_PARAM.to_owned())),
            more: path("more", more)?,
        },
        Some(RawPaginate::Cursor { next, header, field, param, body, more, .. }) => {
            let next = path("next", next)?;
            let more = path("more", more)?;
            let token = match (next, header, field) {
                (Some(next), None, None) => TokenAt::Body(next),
                (None, Some(header), None) => TokenAt::Header(header.clone()),
                (None, None, Some(field)) => TokenAt::LastRecord(field.clone()),
                _ => {
                    let message = "a cursor has exactly one of `next`, `header` and `field`";
                    context.report(&["streams", stream, "paginate"], message);
                    return None;
                }
            };
            let into = match (param, body) {
                (Some(_), Some(_)) => {
                    context.report(&at("body"), "the token goes into `param` or `body`, not both");
                    return None;
                }
                (None, Some(member)) => {
                    if own_body.is_some_and(|body| !body.is_object()) {
                        let message = "the token cannot go into a `body` that is not a table";
                        context.report(&at("body"), message);
                        return None;
                    }
                    TokenInto::Body(member.clone())
                }
                (param, None) => {
                    TokenInto::Query(param.clone().unwrap_or_else(|| TOKEN_PARAM.to_owned()))
                }
            };
            Paginate::Cursor { token, into, more }
        }
    })
}

impl RawPaginate {
    /// The keys that hold paths into a body.
    pub(in crate::definition) const PATHS: [&str; 3] = ["next", "more", "pages"];

    /// The values of the keys that may be left out, of which a request is made all the same.
    pub(in crate::definition) fn defaults(&self) -> Vec<(&'static str, serde_json::Value)> {
        match self {
            RawPaginate::Page { .. } => {
                vec![("param", PAGE_PARAM.into()), ("first", FIRST_PAGE.into())]
            }
            RawPaginate::Offset { size: Some(_), .. } => {
                vec![("param", OFFSET_PARAM.into()), ("size_param", SIZE_PARAM.into())]
            }
            RawPaginate::Offset { .. } => vec![("param", OFFSET_PARAM.into())],
            RawPaginate::Cursor { body: None, .. } => vec![("param", TOKEN_PARAM.into())],
            RawPaginate::None {}
            | RawPaginate::Cursor { .. }
            | RawPaginate::Link { .. }
            | RawPaginate::NextUrl { .. } => Vec::new(),
        }
    }

    fn end(&self) -> Option<&RawEnd> {
        match self {
            RawPaginate::None {} => None,
            RawPaginate::Page { end, .. }
            | RawPaginate::Offset { end, .. }
            | RawPaginate::Cursor { end, .. }
            | RawPaginate::Link { end }
            | RawPaginate::NextUrl { end, .. } => end.as_ref(),
        }
    }

    fn size(&self) -> Option<u64> {
        match self {
            RawPaginate::Page { size, .. } | RawPaginate::Offset { size, .. } => *size,
            _ => None,
        }
    }
}

/// The rules by which the data ends, besides those of its kind of paging.
pub(in crate::definition) fn ends_of(
    stream: &str,
    raw: Option<&RawPaginate>,
    context: &mut Context<'_>,
) -> Vec<EndRule> {
    let Some((paginate, end)) = raw.and_then(|it| Some((it, it.end()?))) else {
        return Vec::new();
    };
    let rules = match end {
        RawEnd::Word(word) => vec![RawEndRule::Word(*word)],
        RawEnd::Table(table) => vec![RawEndRule::Table(table.clone())],
        RawEnd::List(rules) => rules.clone(),
    };
    let place = ["streams", stream, "paginate", "end"];
    let mut ends = Vec::new();
    for rule in rules {
        match rule {
            RawEndRule::Word(RawEndWord::ShortPage) => {
                if paginate.size().is_none() {
                    let message = "a short page can only be told where `size` says how many \
                                   records a full one has";
                    context.report(&place, message);
                }
                ends.push(EndRule::ShortPage);
            }
            RawEndRule::Word(RawEndWord::EmptyPage) => ends.push(EndRule::EmptyPage),
            RawEndRule::Word(RawEndWord::RepeatedPage) => ends.push(EndRule::RepeatedPage),
            RawEndRule::Table(table) => ends.extend(end_of_table(&place, &table, context)),
        }
    }
    ends
}

fn end_of_table(place: &[&str], table: &RawEndTable, context: &mut Context<'_>) -> Option<EndRule> {
    match (&table.status, &table.at, &table.is, table.absent) {
        (Some(status), None, None, false) => {
            if status.is_empty() || status.iter().any(|status| matches!(status, 401 | 429)) {
                let message = "`status` needs at least one status that can mean that a page is \
                               not there; 401 and 429 never do";
                context.report(place, message);
            }
            Some(EndRule::Status(status.clone()))
        }
        (None, Some(at), Some(is), false) => {
            let is = match is {
                serde_json::Value::Array(values) => values.clone(),
                value => vec![value.clone()],
            };
            if is.is_empty() || is.iter().any(|value| value.is_object() || value.is_array()) {
                context.report(place, "`is` is a text, a number, true, false, or a list of them");
            }
            Some(EndRule::Value { at: context.path(place, at)?, is })
        }
        (None, Some(at), None, true) => Some(EndRule::Absent(context.path(place, at)?)),
        _ => {
            let message = "an end has a `status`, or `at` with one of `is` and `absent = true`";
            context.report(place, message);
            None
        }
    }
}

/// How the total is read.
pub(in crate::definition) fn total_rules_of(raw: Option<&RawTotal>) -> TotalRules {
    match raw {
        None => TotalRules::default(),
        Some(RawTotal::Path(text)) => {
            TotalRules { unrelated: text == "none", ..TotalRules::default() }
        }
        Some(RawTotal::Elsewhere(table)) => TotalRules {
            of_first: table.of == Some(RawTotalOf::First),
            cap: table.cap,
            unrelated: false,
        },
    }
}

pub(in crate::definition) fn total_of(
    stream: &str,
    raw: &RawTotal,
    own: OwnRequest<'_>,
    known: &[&str],
    context: &mut Context<'_>,
) -> Option<Total> {
    let place = ["streams", stream, "total"];
    match raw {
        RawTotal::Path(text) if text == "none" => None,
        RawTotal::Path(text) => context.path(&place, text).map(Total::Body),
        RawTotal::Elsewhere(table) => {
            match (&table.path, &table.header, &table.endpoint, &table.value) {
                (Some(path), None, None, None) => context.path(&place, path).map(Total::Body),
                (None, Some(header), None, None) => Some(Total::Header(header.clone())),
                (None, None, Some(endpoint), Some(value)) => {
                    if table.of.is_some() {
                        context.report(&place, "`of` is about pages, and an `endpoint` has none");
                    }
                    endpoint_of(stream, own, table, (endpoint, value), known, context)
                }
                _ => {
                    let message =
                        "a total has a `path`, a `header`, or an `endpoint` with a `value`";
                    context.report(&place, message);
                    None
                }
            }
        }
    }
}

fn endpoint_of(
    stream: &str,
    own: OwnRequest<'_>,
    table: &RawTotalTable,
    (endpoint, value): (&str, &str),
    known: &[&str],
    context: &mut Context<'_>,
) -> Option<Total> {
    let at = |key: &'static str| ["streams", stream, "total", key];
    let path = context.template(&at("endpoint"), endpoint, known);
    let query = table.query.as_ref().unwrap_or(own.query);
    let query = context.parameters(&at("query"), query, known);
    let value = context.path(&at("value"), value)?;
    let headers = own.headers.iter();
    let headers = headers.filter_map(|(n, v)| Some((n.clone(), Template::parse(v).ok()?)));
    let headers = headers.collect();
    let request = RequestTemplate { post: false, path: path?, query, headers, body: None };
    Some(Total::Endpoint { request, value })
}

//! Kinds of paging and of totals: how they are written in `windrow.toml`, and what they mean. What
//! they put on a request and read from an answer stands in `http/paginate.rs`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::raw_parameter::RawParameter;
use super::{Path, RequestTemplate, Template};

/// How the API pages.
#[derive(Clone, Debug)]
pub enum Paginate {
    /// Not at all.
    None,
    /// By page number.
    Page {
        /// The parameter.
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
    /// By offset.
    Offset {
        /// The parameter.
        param: String,
        /// Records on a page.
        size: Option<u64>,
        /// The parameter that asks for the size.
        size_param: Option<String>,
        /// Where "there is more" is.
        more: Option<Path>,
    },
    /// By token.
    Cursor {
        /// Where the token is.
        token: TokenAt,
        /// Where the token goes.
        into: TokenInto,
        /// Where "there is more" is.
        more: Option<Path>,
    },
    /// By `Link` header.
    Link,
    /// By an address in the body.
    NextUrl(Path),
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
    /// In the body.
    Body(Path),
    /// In a header.
    Header(String),
    /// A member of the last record.
    LastRecord(String),
}

/// Where a token goes.
#[derive(Clone, Debug)]
pub enum TokenInto {
    /// A query parameter.
    Query(String),
    /// A member of the JSON body.
    Body(String),
}

/// Where the API says how many records a request has.
#[derive(Clone, Debug)]
pub enum Total {
    /// In every page's body.
    Body(Path),
    /// In a header.
    Header(String),
    /// At an endpoint of its own.
    Endpoint {
        /// Its request.
        request: RequestTemplate,
        /// Where its answer holds the number.
        value: Path,
    },
}

/// How the API pages, as it is written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RawPaginate {
    /// One answer holds everything.
    None {},
    /// A page number.
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
    },
    /// An offset.
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
    },
    /// A `Link` header with `rel="next"` (RFC 8288).
    Link {},
    /// An address in the body.
    NextUrl {
        /// Where the body holds it.
        next: String,
    },
}

/// Where the API says how many records a request has in all, as it is written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RawTotal {
    /// A JSONPath into every page's body.
    Path(String),
    /// A header or an endpoint.
    Elsewhere(RawTotalTable),
}

/// A total that is not in the page's body.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTotalTable {
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
        Some(RawPaginate::Link {}) => Paginate::Link,
        Some(RawPaginate::NextUrl { next }) => {
            Paginate::NextUrl(path("next", &Some(next.clone()))??)
        }
        Some(RawPaginate::Page { param, first, size, size_param, pages, more }) => Paginate::Page {
            param: param.clone().unwrap_or_else(|| "page".to_owned()),
            first: first.unwrap_or(1),
            size: *size,
            size_param: size_param.clone(),
            pages: path("pages", pages)?,
            more: path("more", more)?,
        },
        Some(RawPaginate::Offset { param, size, size_param, more }) => Paginate::Offset {
            param: param.clone().unwrap_or_else(|| "offset".to_owned()),
            size: *size,
            size_param: size_param.clone().or_else(|| size.map(|_| "limit".to_owned())),
            more: path("more", more)?,
        },
        Some(RawPaginate::Cursor { next, header, field, param, body, more }) => {
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
                    TokenInto::Query(param.clone().unwrap_or_else(|| "cursor".to_owned()))
                }
            };
            Paginate::Cursor { token, into, more }
        }
    })
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
        RawTotal::Path(text) => context.path(&place, text).map(Total::Body),
        RawTotal::Elsewhere(table) => match (&table.header, &table.endpoint, &table.value) {
            (Some(header), None, None) => Some(Total::Header(header.clone())),
            (None, Some(endpoint), Some(value)) => {
                endpoint_of(stream, own, table, (endpoint, value), known, context)
            }
            _ => {
                let message = "a total has a `header`, or an `endpoint` with a `value`";
                context.report(&place, message);
                None
            }
        },
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

//! What `paginate` and `total` mean.

use super::Context;
use crate::definition::raw::{RawParameter, RawStream};
use crate::definition::raw_paging::{RawPaginate, RawTotal, RawTotalTable};
use crate::definition::{Paginate, RequestTemplate, Template, TokenAt, TokenInto, Total};

pub(super) fn paginate_of(
    stream: &str,
    raw: &RawStream,
    context: &mut Context<'_>,
) -> Option<Paginate> {
    let at = |key: &'static str| ["streams", stream, "paginate", key];
    let mut path = |key: &'static str, text: &Option<String>| match text {
        None => Some(None),
        Some(text) => context.path(&at(key), text).map(Some),
    };
    Some(match raw.paginate.as_ref() {
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
                    if raw.body.as_ref().is_some_and(|body| !body.is_object()) {
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

pub(super) fn total_of(
    stream: &str,
    raw: &RawStream,
    known: &[&str],
    context: &mut Context<'_>,
) -> Option<Total> {
    let place = ["streams", stream, "total"];
    match raw.total.as_ref()? {
        RawTotal::Path(text) => context.path(&place, text).map(Total::Body),
        RawTotal::Elsewhere(table) => match (&table.header, &table.endpoint, &table.value) {
            (Some(header), None, None) => Some(Total::Header(header.clone())),
            (None, Some(endpoint), Some(value)) => {
                endpoint_of(stream, raw, table, (endpoint, value), known, context)
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
    raw: &RawStream,
    table: &RawTotalTable,
    (endpoint, value): (&str, &str),
    known: &[&str],
    context: &mut Context<'_>,
) -> Option<Total> {
    let at = |key: &'static str| ["streams", stream, "total", key];
    let path = context.template(&at("endpoint"), endpoint, known);
    let query: &indexmap::IndexMap<String, RawParameter> =
        table.query.as_ref().unwrap_or(&raw.query);
    let query = context.parameters(&at("query"), query, known);
    let value = context.path(&at("value"), value)?;
    let headers = raw.headers.iter();
    let headers = headers.filter_map(|(n, v)| Some((n.clone(), Template::parse(v).ok()?)));
    let headers = headers.collect();
    let request = RequestTemplate { post: false, path: path?, query, headers, body: None };
    Some(Total::Endpoint { request, value })
}

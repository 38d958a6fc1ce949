//! The shape of `paginate` and `total` in `windrow.toml`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawParameter;

/// How the API pages.
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

/// Where the API says how many records a request has in all.
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

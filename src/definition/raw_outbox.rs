//! What may be written about writes: how an API keeps a write that comes twice from counting twice.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::raw_parameter::RawParameter;

/// How the API tells a write that comes again from a new one.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawIdempotency {
    /// Whether the API honours keys. Default `true`; with `false` no key is sent, and a write whose
    /// answer was lost is never sent again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub honoured: Option<bool>,
    /// Where the key goes. Default `header`.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub place: Option<RawKeyPlace>,
    /// The header's, member's or parameter's name. Default `Idempotency-Key` for a header,
    /// `idempotency_key` otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How a header holds the key. Default `structured`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<RawKeyFormat>,
    /// How long the API remembers a key, from the first attempt on. Default `24 hours`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<String>,
    /// Statuses that say that the first request is still being worked on. Default 409; an empty
    /// list makes 409 a rejection like any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<Vec<u16>>,
    /// Methods that may be sent again without a key, because the API gives them their usual
    /// meaning: `PUT`, `DELETE`. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repeatable: Vec<RawWriteMethod>,
    /// What a rejected entry does to its lane. Default `continue`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_rejected: Option<RawOnRejected>,
    /// The request that tells whether a write of unknown outcome has taken effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup: Option<RawLookup>,
}

/// Where a key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawKeyPlace {
    /// The key goes into a header.
    Header,
    /// A member of the JSON body, which must be an object.
    Body,
    /// The key goes into a parameter of the query.
    Query,
}

/// How a header holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawKeyFormat {
    /// As a string of RFC 9651, in quotes, as the IETF's draft has it.
    Structured,
    /// The characters of the key as they are.
    Plain,
}

/// The method of a write.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Deserialize,
    Serialize,
    JsonSchema,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "UPPERCASE", ascii_case_insensitive)]
pub enum RawWriteMethod {
    /// Makes something new, as a rule.
    #[serde(rename = "POST")]
    Post,
    /// Puts something in a place.
    #[serde(rename = "PUT")]
    Put,
    /// Changes a part of something.
    #[serde(rename = "PATCH")]
    Patch,
    /// Removes what the path names.
    #[serde(rename = "DELETE")]
    Delete,
}

/// What a rejected entry does to its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawOnRejected {
    /// The next entry is sent.
    Continue,
    /// The lane waits for a person.
    Stop,
}

/// The request that tells whether a write has taken effect. `{{ key }}` is the entry's key.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLookup {
    /// The path, appended to the source's `base_url`. A template.
    pub path: String,
    /// Query parameters. Texts are templates.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub query: IndexMap<String, RawParameter>,
    /// Where an answer holds what was written: it has taken effect when this finds something.
    /// Left out, 200 says that it has, and 404 that it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// How long after the last attempt the API is believed when it finds nothing. Default
    /// `1 minute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
}

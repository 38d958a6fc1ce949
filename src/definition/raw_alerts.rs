//! What may be written about alerts: whom to tell of what `windrow check` finds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw_check::Severity;
use super::raw_outbox::RawWriteMethod;

/// A request that goes out once for each finding, and once more when it is solved.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAlert {
    /// What its findings are remembered by. Default: the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The API that is told. May be left out when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The path, appended to the source's `base_url`.
    pub path: String,
    /// The method of the request. Default `POST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<RawWriteMethod>,
    /// From which severity on. Default `warning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Findings about these streams, tables or sources only. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<String>,
    /// Findings of these checks only. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// The JSON body. Texts in it are templates. Default: an object of all that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Value>,
    /// The lane of the outbox. Default: one for each finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
}

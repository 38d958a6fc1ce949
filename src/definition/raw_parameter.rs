//! What may be written for a query parameter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A query parameter's value.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RawParameter {
    /// A text, which is a template.
    Text(String),
    /// A whole number, sent as it is.
    Integer(i64),
    /// A number, sent as it is.
    Number(f64),
    /// Sent as `true` or `false`.
    Boolean(bool),
    /// Sends the parameter once for each text.
    List(Vec<String>),
}

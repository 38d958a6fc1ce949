//! What may be written for a query parameter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A query parameter's value.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RawParameter {
    /// A template.
    Text(String),
    /// A whole number, sent as it is.
    Integer(i64),
    /// A number, sent as it is.
    Number(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// Repeats the parameter.
    List(Vec<String>),
}

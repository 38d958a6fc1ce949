//! The formats of bodies, as a definition names them. How each is read: `record/body`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What answers are, whatever they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    /// JSON as in RFC 8259; a source sends it whose definition names no format.
    #[default]
    Json,
}

impl BodyFormat {
    /// Its media type, as `Accept` and `Content-Type` have it.
    pub const fn media_type(self) -> &'static str {
        match self {
            BodyFormat::Json => "application/json",
        }
    }

    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            BodyFormat::Json => "JSON",
        }
    }
}

//! How an API keeps a write that comes twice from counting twice.

use super::{Path, RequestTemplate};

pub use super::raw_outbox::{
    RawKeyFormat as KeyFormat, RawKeyPlace as KeyPlace, RawOnRejected as OnRejected,
    RawWriteMethod as WriteMethod,
};

/// The default of `lifetime`, milliseconds: what Stripe and the IETF draft's other users keep.
pub const KEY_LIFETIME_MS: i64 = 86_400_000;
/// The default of `lookup.wait`, milliseconds: a request that timed out is over by then.
pub const LOOKUP_WAIT_MS: i64 = 60_000;

/// How an API tells a write that comes again from a new one.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// Where the key goes; none when the API does not honour keys.
    pub key: Option<KeyRule>,
    /// How long the API remembers a key, milliseconds from the first attempt.
    pub lifetime_ms: i64,
    /// Statuses that say "still being worked on".
    pub in_progress: Vec<u16>,
    /// Methods that may be sent again without a key.
    pub repeatable: Vec<WriteMethod>,
    /// What a rejected entry does to its lane.
    pub on_rejected: OnRejected,
    /// Tells whether a write has taken effect.
    pub lookup: Option<Lookup>,
}

/// Where a key goes, and how it is written there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeyRule {
    #[serde(rename = "in")]
    pub place: KeyPlace,
    /// The header's, member's or parameter's name.
    pub name: String,
    /// How a header holds it.
    pub format: KeyFormat,
}

impl Default for KeyRule {
    /// As the IETF's draft has it.
    fn default() -> Self {
        let (place, format) = (KeyPlace::Header, KeyFormat::Structured);
        Self { place, name: "Idempotency-Key".to_owned(), format }
    }
}

impl Default for Idempotency {
    fn default() -> Self {
        Self {
            key: Some(KeyRule::default()),
            lifetime_ms: KEY_LIFETIME_MS,
            in_progress: vec![409],
            repeatable: Vec::new(),
            on_rejected: OnRejected::Continue,
            lookup: None,
        }
    }
}

/// The request that tells whether a write has taken effect.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// What is asked; `key` is the one name in it.
    pub request: RequestTemplate,
    /// Where an answer holds what was written; none when the status says it.
    pub found: Option<Path>,
    /// How long after the last attempt "nothing" is believed, milliseconds.
    pub wait_ms: i64,
}

impl WriteMethod {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

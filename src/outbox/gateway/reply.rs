//! An answer of the gateway, and its own addresses.

/// What the gateway's own addresses begin with; no source can be called so.
pub(crate) const OWN_PREFIX: &str = "/.windrow/";
/// The addresses of entries: `/.windrow/outbox/SOURCE/KEY`.
pub(crate) const ENTRY_PREFIX: &str = "/.windrow/outbox/";

/// An answer of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewayAnswer {
    pub status: u16,
    /// Name (lower case) and value.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

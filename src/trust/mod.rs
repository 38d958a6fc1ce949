//! Trusting a definition that only an archive holds: what it asks for, and whether its receiver
//! has granted that.
//!
//! Whoever makes an archive writes the definition in it, and so chooses which variable of its
//! receiver would be read and where it would be sent. The receiver looks at the grant, and accepts
//! it by its digest; another definition has another digest.

mod archived;
mod grant;
mod secrets;
mod store;

pub use archived::archived_definition;
pub use grant::{Grant, SourceGrant, digest_of};
pub use secrets::{FoundSecrets, refuse_untrusted};
pub use store::{DIGEST_CHARS_MIN, TrustStore};

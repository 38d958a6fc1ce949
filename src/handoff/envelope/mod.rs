//! What is put around a plain file before it is given away, and how it is taken off again: zstd,
//! age, minisign signatures, and the keys for them.
//!
//! This room knows files and bytes. It never looks into a database and decides nothing about what
//! may be given to whom. All that it reads from a sealed file is untrusted: everything is streamed,
//! everything has a limit, and nothing is made under a name that is there already.

mod error;
mod identity;
mod keyring;
mod kind;
mod pack;
mod public;
mod sign;
mod unpack;

use crate::host::files::{mode_for_others, read_named_text};

pub use error::{EnvelopeError, EnvelopeFault};
pub use identity::{Identity, read_identities};
pub use keyring::{Keyring, OWN_NAME, check_name};
pub use kind::{EnvelopeKind, kind, kind_of};
pub use pack::{Packing, pack};
pub use public::{KnownKey, PublicKeys};
pub use sign::{Signer, SigningKey, sign, signature_path, verify_signature};
pub use unpack::{Limits, Unpacked, unpack};

/// Bytes that go through at once: two chunks of age (64 KiB each); memory does not grow with the
/// file.
const CHUNK_BYTES: usize = 128 * 1024;
/// The most bytes of a file that holds keys or a signature: ten times what any of them has.
const TEXT_BYTES_MAX: u64 = 64 * 1024;

/// The text of a file that a person names as a key; at most 64 KiB.
pub fn read_key_text(path: &std::path::Path) -> Result<String, EnvelopeError> {
    read_text(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::FileTooLarge => {
            EnvelopeError::new(EnvelopeFault::Key, format!("{} holds no key", path.display()))
        }
        _ => EnvelopeError::io(path, "read", &error),
    })
}

/// A secret without a password is one by its file's mode alone.
fn refuse_open(path: &std::path::Path) -> Result<(), EnvelopeError> {
    match mode_for_others(path) {
        Some(mode) => {
            let name = path.display();
            let message = format!("others can read {name} (mode {mode:03o}), and it is secret");
            Err(EnvelopeError::new(EnvelopeFault::Key, message).help(format!(
                "`chmod 600 {name}`; if somebody may have read it, make a new key (`windrow keys \
                 new --name NAME`) and tell those who trust this one"
            )))
        }
        None => Ok(()),
    }
}

/// The text of a small file.
fn read_text(path: &std::path::Path) -> std::io::Result<String> {
    read_named_text(path, TEXT_BYTES_MAX)
}

#[cfg(test)]
mod tests;

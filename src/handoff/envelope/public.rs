//! Public parts of keys: what a colleague is given, and how it is read again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::handoff::envelope::error::{EnvelopeError, EnvelopeFault};

/// The length of a minisign public key: 42 bytes in base64.
const PUBLIC_CHARS: usize = 56;
/// From this length on base64 is taken for a secret key of minisign, which has 212.
const SECRET_CHARS_MIN: usize = 100;

/// The public parts of somebody's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys {
    /// The minisign public key, its line of base64.
    pub signing: String,
    /// The age recipient (`age1…`), where one is known.
    pub recipient: Option<String>,
}

impl PublicKeys {
    /// Reads what `windrow keys show` prints, a `.pub` file of minisign, or the bare key; an age
    /// recipient may stand beside it.
    ///
    /// # Errors
    ///
    /// `Key`: no key, two keys, a secret one, or something else. The text is never repeated.
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let (mut signing, mut recipient) = (None, None);
        for line in text.lines() {
            let line = line.trim();
            if line.starts_with("untrusted comment:") || line.starts_with('#') {
                continue;
            }
            for word in line.split_whitespace() {
                let place = if looks_secret(word) {
                    return Err(EnvelopeError::new(EnvelopeFault::Key, "this is a secret key")
                        .help("give it to nobody; `windrow keys show` prints the public parts"));
                } else if word.starts_with("age1") {
                    parse_recipient(word)?;
                    &mut recipient
                } else {
                    public_key(word)?;
                    &mut signing
                };
                if place.replace(word.to_owned()).is_some_and(|before| before != word) {
                    return Err(EnvelopeError::new(
                        EnvelopeFault::Key,
                        "these are the keys of two people",
                    )
                    .help("trust them one by one, each under a name"));
                }
            }
        }
        let signing = signing.ok_or_else(not_a_key)?;
        Ok(Self { signing, recipient })
    }

    /// The key's number, as minisign writes it: 16 hexadecimal digits.
    pub fn key_id(&self) -> String {
        self.minisign().map(|key| id_text(key.keynum())).unwrap_or_default()
    }

    /// A file that minisign reads too: it looks at two lines and no more.
    pub(crate) fn file(&self, name: &str) -> String {
        let recipient = self.recipient.iter().map(|text| format!("{text}\n")).collect::<String>();
        let id = self.key_id();
        format!(
            "untrusted comment: minisign public key {id} of {name}\n{}\n{recipient}",
            self.signing
        )
    }

    pub(crate) fn minisign(&self) -> Result<minisign::PublicKey, EnvelopeError> {
        public_key(&self.signing)
    }
}

/// A key's number as minisign writes it.
pub(crate) fn id_text(number: &[u8]) -> String {
    number.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

/// Reads an age recipient (`age1…`); an identity is refused, because it is secret.
pub(crate) fn parse_recipient(text: &str) -> Result<age::x25519::Recipient, EnvelopeError> {
    text.parse().map_err(|_| {
        if looks_secret(text) {
            return EnvelopeError::new(EnvelopeFault::Key, "this is an identity, which is secret")
                .help("name the recipient, which begins with `age1`");
        }
        EnvelopeError::new(EnvelopeFault::Key, "this is no age recipient")
            .help("it begins with `age1` and has 62 letters and digits; `windrow keys` lists them")
    })
}

fn public_key(text: &str) -> Result<minisign::PublicKey, EnvelopeError> {
    let bytes = STANDARD.decode(text).map_err(|_| not_a_key())?;
    if text.len() != PUBLIC_CHARS || !bytes.starts_with(b"Ed") {
        return Err(not_a_key());
    }
    minisign::PublicKey::from_bytes(&bytes).map_err(|_| not_a_key())
}

fn not_a_key() -> EnvelopeError {
    EnvelopeError::new(EnvelopeFault::Key, "this is no minisign public key")
        .help("it begins with `RW` and has 56 characters; `windrow keys show` prints it")
}

/// Whether it seems to be what nobody else may see.
pub(crate) fn looks_secret(word: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    upper.starts_with("AGE-SECRET-KEY-")
        || upper.starts_with("AGE-PLUGIN-")
        || (word.len() >= SECRET_CHARS_MIN && word.starts_with("RW"))
}

/// A key that is believed, under the name that it has here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    pub name: String,
    /// Whether it is our own.
    pub own: bool,
    pub public: PublicKeys,
}

/// A key as it is listed and handed on.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    own: bool,
    key_id: String,
    public_key: &'a str,
    recipient: Option<&'a str>,
}

impl Serialize for KnownKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let listed = Listed {
            name: &self.name,
            own: self.own,
            key_id: self.public.key_id(),
            public_key: &self.public.signing,
            recipient: self.public.recipient.as_deref(),
        };
        listed.serialize(serializer)
    }
}

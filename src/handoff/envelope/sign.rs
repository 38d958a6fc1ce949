//! Signatures beside a file, as minisign makes and checks them.
//!
//! Always prehashed (BLAKE2b-512, then Ed25519), so that a file of any size is read in pieces.
//! `minisign -Vm FILE -p KEY.pub` accepts what is made here, and the other way round.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minisign::{SecretKey, SecretKeyBox, SignatureBox};

use crate::host::files::{make_private_file, open_given};

use crate::handoff::envelope::error::{EnvelopeError, EnvelopeFault};
use crate::handoff::envelope::identity::{locked, wrong_password};
use crate::handoff::envelope::public::{KnownKey, PublicKeys, id_text};
use crate::handoff::envelope::{CHUNK_BYTES, read_text, refuse_open};

/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;
/// The letters that begin a minisign signature over a hash.
const PREHASHED: &[u8] = b"ED";
/// The letters that begin a minisign signature over the file itself, which is the old way.
const LEGACY: &[u8] = b"Ed";
/// How a secret key's file says that it is encrypted: scrypt.
const LOCKED: &[u8] = b"Sc";

/// A secret key that signs. Shows itself to nobody.
pub struct SigningKey {
    secret: SecretKey,
    public: minisign::PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.key_id())
    }
}

impl SigningKey {
    /// A new key, and the text of the file that keeps it; encrypted where there is a password.
    pub(crate) fn generate(password: Option<&str>) -> Result<(PublicKeys, String), EnvelopeError> {
        let fault =
            |_| EnvelopeError::new(EnvelopeFault::Storage, "the system gives no random numbers");
        let pair = match password {
            None => minisign::KeyPair::generate_unencrypted_keypair(),
            Some(password) => {
                minisign::KeyPair::generate_encrypted_keypair(Some(password.to_owned()))
            }
        };
        let pair = pair.map_err(fault)?;
        let comment = format!("minisign secret key {}", id_text(pair.pk.keynum()));
        let secret = pair.sk.to_box(Some(&comment)).map_err(fault)?.into_string();
        let public = PublicKeys { signing: pair.pk.to_base64(), recipient: None };
        Ok((public, secret))
    }

    /// Reads a secret key that minisign or `windrow keys new` wrote.
    ///
    /// # Errors
    ///
    /// `Key` for a file that is none or needs another password; `Storage`.
    pub fn read(path: &Path, password: Option<&str>) -> Result<Self, EnvelopeError> {
        let no_key = || {
            let message = format!("{} holds no minisign secret key", path.display());
            EnvelopeError::new(EnvelopeFault::Key, message).help("`windrow keys new` makes one")
        };
        let text = read_text(path).map_err(|error| EnvelopeError::io(path, "read", &error))?;
        let line = text.lines().nth(1).ok_or_else(no_key)?;
        let bytes = STANDARD.decode(line.trim()).map_err(|_| no_key())?;
        let text = SecretKeyBox::from_string(&text).map_err(|_| no_key())?;
        let secret = if bytes.get(2..4) == Some(LOCKED) {
            let password = password.ok_or_else(|| locked(path))?;
            let opened = text.into_secret_key(Some(password.to_owned()));
            opened.map_err(|_| wrong_password(path))?
        } else {
            refuse_open(path)?;
            text.into_unencrypted_secret_key().map_err(|_| no_key())?
        };
        let public = minisign::PublicKey::from_secret_key(&secret).map_err(|_| no_key())?;
        Ok(Self { secret, public })
    }

    /// The key's number, as minisign writes it.
    pub fn key_id(&self) -> String {
        id_text(self.public.keynum())
    }
}

/// Where minisign looks for the signature of a file: the same name with `.minisig` after it.
pub fn signature_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    PathBuf::from(name)
}

/// Signs the file at `path` and writes the signature to `signature`, which must not be there yet.
/// `comment` is one line that the signature covers and everybody can read.
pub fn sign(
    path: &Path,
    signature: &Path,
    key: &SigningKey,
    comment: &str,
) -> Result<(), EnvelopeError> {
    let file = open_given(path).map_err(|error| EnvelopeError::io(path, "read", &error))?;
    let comment: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let untrusted = format!("signature from minisign secret key {}", key.key_id());
    let made = minisign::sign(
        Some(&key.public),
        &key.secret,
        BufReader::with_capacity(CHUNK_BYTES, file),
        Some(comment.trim()),
        Some(&untrusted),
    );
    let made = made.map_err(|error| {
        EnvelopeError::new(
            EnvelopeFault::Storage,
            format!("cannot sign {}: {error}", path.display()),
        )
    })?;
    make_private_file(signature, &made.into_string())
        .map_err(|error| EnvelopeError::io(signature, "write", &error))
}

/// Who signed a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The name that the key is trusted under.
    pub name: String,
    /// The key's number, as minisign writes it.
    pub key_id: String,
    /// The line that the signature covers; from outside, like the file itself.
    pub comment: String,
}

/// Checks that `file`, from its first byte on, is what one of the trusted keys has signed. Reads it
/// once, in pieces. `name` is what errors call it.
///
/// # Errors
///
/// `NoSignature`, `Malformed`, `UnknownSigner`, `Changed`, `Storage`.
pub fn verify_signature(
    file: &File,
    name: &Path,
    signature: &Path,
    trusted: &[KnownKey],
) -> Result<Signer, EnvelopeError> {
    let made = read_signature(signature)?;
    let key_id = id_text(made.keynum());
    let with_id: Vec<&KnownKey> =
        trusted.iter().filter(|key| key.public.key_id() == key_id).collect();
    if with_id.is_empty() {
        let message = format!("{} is signed by the unknown key {key_id}", name.display());
        return Err(EnvelopeError::new(EnvelopeFault::UnknownSigner, message).help(
            "ask its owner for the public key, by a way that you trust, and run \
             `windrow keys trust NAME KEY`",
        ));
    }
    for key in with_id {
        let mut handle = file;
        handle.seek(SeekFrom::Start(0)).map_err(|error| EnvelopeError::io(name, "read", &error))?;
        let reader = BufReader::with_capacity(CHUNK_BYTES, handle);
        match minisign::verify(&key.public.minisign()?, &made, reader, true, false, false) {
            Ok(()) => {
                let comment = made.trusted_comment().unwrap_or_default();
                return Ok(Signer { name: key.name.clone(), key_id, comment });
            }
            Err(error) if matches!(error.kind(), minisign::ErrorKind::Io) => {
                let message = format!("cannot read {}: {error}", name.display());
                return Err(EnvelopeError::new(EnvelopeFault::Storage, message));
            }
            Err(_) => {}
        }
    }
    let message = format!(
        "{} is not what the key {key_id} has signed: one of the two was changed since",
        name.display()
    );
    Err(EnvelopeError::new(EnvelopeFault::Changed, message).help("do not use it; ask for it again"))
}

fn read_signature(path: &Path) -> Result<SignatureBox, EnvelopeError> {
    let malformed = |what: &str| {
        let message = format!("{} is no signature of minisign: {what}", path.display());
        EnvelopeError::new(EnvelopeFault::Malformed, message)
            .help("ask for the file and its signature")
    };
    let text = read_text(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let message = format!("there is no signature: {} is missing", path.display());
            EnvelopeError::new(EnvelopeFault::NoSignature, message)
                .help("ask for it; it lies beside the file and ends in `.minisig`")
        }
        std::io::ErrorKind::InvalidData => malformed("it is not text"),
        std::io::ErrorKind::FileTooLarge => malformed("it is too long"),
        // A folder or a pipe.
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::IsADirectory => {
            malformed("it is no plain file")
        }
        _ => EnvelopeError::io(path, "read", &error),
    })?;
    let bytes =
        |line: usize| text.lines().nth(line).and_then(|line| STANDARD.decode(line.trim()).ok());
    let first = bytes(1).ok_or_else(|| malformed("its second line is not base64"))?;
    if first.starts_with(LEGACY) {
        return Err(malformed("it is of the old kind, over the file and not its hash"));
    }
    if !first.starts_with(PREHASHED) || first.len() != 2 + 8 + SIGNATURE_BYTES {
        return Err(malformed("its second line is not of a kind that is known"));
    }
    // The library takes any length here, and slices it.
    if bytes(3).is_none_or(|last| last.len() != SIGNATURE_BYTES) {
        return Err(malformed("the signature of its comment is missing or cut short"));
    }
    SignatureBox::from_string(&text).map_err(|_| malformed("its comments are missing"))
}

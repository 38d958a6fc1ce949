//! Secret parts of age keys: what opens a file that was encrypted to us.

use std::fmt;
use std::path::{Path, PathBuf};

use age::secrecy::{ExposeSecret, SecretString};
use age::{scrypt, x25519};

use crate::host::files::read_named;

use crate::handoff::envelope::error::{EnvelopeError, EnvelopeFault};
use crate::handoff::envelope::kind::{EnvelopeKind, kind_of};
use crate::handoff::envelope::refuse_open;

/// The work of guessing one password: 2 to this power, with 32 MiB of memory, as for minisign's.
const WORK_LOG: u8 = 15;
/// The most bytes of an identity file: an identity has some hundreds, and a wrong file is refused
/// before it fills the memory.
const IDENTITY_BYTES_MAX: u64 = 64 * 1024;

/// What opens a file. Shows itself to nobody.
#[derive(Clone)]
pub struct Identity(x25519::Identity);

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Identity({})", self.recipient())
    }
}

impl Identity {
    /// An identity of new random bytes.
    pub fn generate() -> Self {
        Self(x25519::Identity::generate())
    }

    /// Who is to be named as recipient, so that this opens the file.
    pub fn recipient(&self) -> String {
        self.0.to_public().to_string()
    }

    pub(crate) fn as_age(&self) -> &dyn age::Identity {
        &self.0
    }

    /// The file that keeps this, as `age -i` reads it; encrypted where there is a password.
    pub(crate) fn file(&self, password: Option<&str>) -> std::io::Result<Vec<u8>> {
        let secret = self.0.to_string();
        let text = format!("# public key: {}\n{}\n", self.recipient(), secret.expose_secret());
        let Some(password) = password else { return Ok(text.into_bytes()) };
        let mut recipient = scrypt::Recipient::new(SecretString::from(password.to_owned()));
        recipient.set_work_factor(WORK_LOG);
        age::encrypt(&recipient, text.as_bytes()).map_err(std::io::Error::other)
    }
}

/// The identities in these files, as `age-keygen` makes them or `windrow keys new`. Each may be
/// encrypted with a password.
///
/// # Errors
///
/// `Key` for a file that holds no identity or needs another password; `Storage`.
pub fn read_identities(
    files: &[PathBuf],
    password: Option<&str>,
) -> Result<Vec<Identity>, EnvelopeError> {
    let mut all = Vec::new();
    for file in files {
        all.extend(read_file(file, password)?);
    }
    Ok(all)
}

fn read_file(path: &Path, password: Option<&str>) -> Result<Vec<Identity>, EnvelopeError> {
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => no_file(path),
        std::io::ErrorKind::IsADirectory | std::io::ErrorKind::FileTooLarge => no_identity(path),
        _ => EnvelopeError::io(path, "read", &error).help("name a file that you may read"),
    };
    let mut bytes = read_named(path, IDENTITY_BYTES_MAX).map_err(io)?;
    if kind_of(&bytes) == EnvelopeKind::Age {
        bytes = unlock(path, &bytes, password)?;
    } else {
        refuse_open(path)?;
    }
    let text = String::from_utf8(bytes).map_err(|_| no_identity(path))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parsed = lines.map(|line| line.parse().map(Identity).map_err(|_| no_identity(path)));
    let identities: Vec<Identity> = parsed.collect::<Result<_, _>>()?;
    if identities.is_empty() { Err(no_identity(path)) } else { Ok(identities) }
}

fn unlock(path: &Path, bytes: &[u8], password: Option<&str>) -> Result<Vec<u8>, EnvelopeError> {
    let password = password.ok_or_else(|| locked(path))?;
    let identity = scrypt::Identity::new(SecretString::from(password.to_owned()));
    age::decrypt(&identity, bytes).map_err(|_| wrong_password(path))
}

fn no_file(path: &Path) -> EnvelopeError {
    EnvelopeError::new(EnvelopeFault::Key, format!("there is no identity at {}", path.display()))
        .help("name a file that is there; those in the folder of keys are tried without")
}

fn no_identity(path: &Path) -> EnvelopeError {
    EnvelopeError::new(EnvelopeFault::Key, format!("{} holds no age identity", path.display()))
        .help("`windrow keys new` makes one, and so does `age-keygen`")
}

pub(crate) fn locked(path: &Path) -> EnvelopeError {
    EnvelopeError::new(
        EnvelopeFault::Key,
        format!("{} is encrypted with a password", path.display()),
    )
    .help("put the password into the variable WINDROW_KEY_PASSWORD")
}

pub(crate) fn wrong_password(path: &Path) -> EnvelopeError {
    EnvelopeError::new(EnvelopeFault::Key, format!("the password does not open {}", path.display()))
        .help("look at the variable WINDROW_KEY_PASSWORD")
}

//! The folder of keys: our own, and those of the people whose files we believe.
//!
//! `NAME.key` (minisign's secret key), `NAME.age` (an age identity) and `NAME.pub` (both public
//! parts) are our own; `trusted/NAME.pub` are others'. All are plain files of minisign and age.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::host::files::{make_private_bytes, make_private_folder};

use crate::handoff::envelope::error::{EnvelopeError, EnvelopeFault};
use crate::handoff::envelope::identity::Identity;
use crate::handoff::envelope::public::{KnownKey, PublicKeys, looks_secret, parse_recipient};
use crate::handoff::envelope::read_text;
use crate::handoff::envelope::sign::SigningKey;

/// What own keys are called where no name was given.
pub const OWN_NAME: &str = "own";
/// The folder of others' keys.
const TRUSTED: &str = "trusted";
/// The most letters of a name: with its ending it is the name of a file, and it stands in lines of
/// text.
const NAME_CHARS_MAX: usize = 64;

/// The keys in one folder, which may not be there yet.
#[derive(Clone, Debug)]
pub struct Keyring {
    folder: PathBuf,
}

impl Keyring {
    /// The keys in this folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder of the key files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All keys that are believed, our own first, then by name.
    pub fn list(&self) -> Result<Vec<KnownKey>, EnvelopeError> {
        let mut keys = self.list_in(&self.folder, true)?;
        keys.extend(self.list_in(&self.folder.join(TRUSTED), false)?);
        Ok(keys)
    }

    /// Makes a key that signs and an identity that opens what is encrypted to us; both files are
    /// encrypted where there is a password. Nothing is ever overwritten.
    pub fn make(&self, name: &str, password: Option<&str>) -> Result<KnownKey, EnvelopeError> {
        check_name(name)?;
        if let Some(known) = self.find(name)? {
            return Err(self.taken(&known));
        }
        let paths = ["key", "age", "pub"].map(|ending| self.own_path(name, ending));
        if let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
            let message = format!("{} is there already", path.display());
            return Err(
                EnvelopeError::new(EnvelopeFault::Key, message).help("choose another --name")
            );
        }
        make_private_folder(&self.folder)
            .map_err(|error| EnvelopeError::io(&self.folder, "make the folder", &error))?;
        let (mut public, secret) = SigningKey::generate(password)?;
        let identity = Identity::generate();
        public.recipient = Some(identity.recipient());
        let identity = identity
            .file(password)
            .map_err(|error| EnvelopeError::io(&paths[1], "encrypt", &error))?;
        let texts = [secret.into_bytes(), identity, public.file(name).into_bytes()];
        for (path, text) in paths.iter().zip(texts) {
            make_private_bytes(path, &text)
                .map_err(|error| EnvelopeError::io(path, "write", &error))?;
        }
        Ok(KnownKey { name: name.to_owned(), own: true, public })
    }

    /// Believes somebody's key from now on. The second value is false where that was so already.
    pub fn trust(&self, name: &str, public: PublicKeys) -> Result<(KnownKey, bool), EnvelopeError> {
        check_name(name)?;
        for known in self.list()? {
            let same = known.public.signing == public.signing;
            if same && known.name == name && known.public == public {
                return Ok((known, false));
            }
            if known.name == name {
                return Err(self.taken(&known));
            }
            if same {
                let message = format!("this key is known already, as {}", known.name);
                return Err(EnvelopeError::new(EnvelopeFault::Key, message));
            }
        }
        let path = self.trusted_path(name);
        make_private_folder(&self.folder.join(TRUSTED))
            .map_err(|error| EnvelopeError::io(&self.folder, "make the folder", &error))?;
        make_private_bytes(&path, public.file(name).as_bytes())
            .map_err(|error| EnvelopeError::io(&path, "write", &error))?;
        Ok((KnownKey { name: name.to_owned(), own: false, public }, true))
    }

    /// Believes somebody's key no longer.
    pub fn forget(&self, name: &str) -> Result<KnownKey, EnvelopeError> {
        let known = self.named(name)?;
        if known.own {
            let message = format!("{name} is your own key");
            return Err(EnvelopeError::new(EnvelopeFault::Key, message).help(format!(
                "without it nobody opens what was encrypted to it; if that is meant, remove \
                 {name}.key, {name}.age and {name}.pub from {}",
                self.folder.display()
            )));
        }
        let path = self.trusted_path(name);
        std::fs::remove_file(&path).map_err(|error| EnvelopeError::io(&path, "remove", &error))?;
        Ok(known)
    }

    /// The key that signs: the one of this name, or the only one of our own.
    pub fn signing_key(
        &self,
        name: Option<&str>,
        password: Option<&str>,
    ) -> Result<SigningKey, EnvelopeError> {
        let own = self.own(name)?;
        SigningKey::read(&self.own_path(&own.name, "key"), password)
    }

    /// Our own key of this name, or the only one.
    pub fn own(&self, name: Option<&str>) -> Result<KnownKey, EnvelopeError> {
        let mut own = self.list()?;
        own.retain(|key| key.own && name.is_none_or(|name| name == key.name));
        match (own.len(), name) {
            (0, None) => Err(EnvelopeError::new(EnvelopeFault::Key, "you have no key of your own")
                .help("`windrow keys new` makes one")),
            (0, Some(name)) => Err(self.unknown(name)),
            (1, _) => Ok(own.remove(0)),
            _ => {
                let names: Vec<&str> = own.iter().map(|key| key.name.as_str()).collect();
                let message = format!("you have more than one key: {}", names.join(", "));
                Err(EnvelopeError::new(EnvelopeFault::Key, message)
                    .help("name the one that is meant"))
            }
        }
    }

    /// The files with our identities.
    pub fn identities(&self) -> Result<Vec<PathBuf>, EnvelopeError> {
        let own = self.list()?.into_iter().filter(|key| key.own);
        let paths = own.map(|key| self.own_path(&key.name, "age"));
        Ok(paths.filter(|path| path.exists()).collect())
    }

    /// The recipient that a person names: a key's name, or the recipient itself (`age1…`).
    pub fn recipient(&self, named: &str) -> Result<String, EnvelopeError> {
        if check_name(named).is_ok()
            && let Some(known) = self.find(named)?
        {
            return known.public.recipient.ok_or_else(|| {
                let message = format!("no age recipient of {named} is known");
                EnvelopeError::new(EnvelopeFault::Key, message).help(
                    "ask for what `windrow keys show` prints there, then `windrow keys forget` \
                     and `windrow keys trust`",
                )
            });
        }
        if !named.starts_with("age1") && !looks_secret(named) && check_name(named).is_ok() {
            return Err(self.unknown(named));
        }
        parse_recipient(named).map(|recipient| recipient.to_string())
    }

    /// The key of this name, own or trusted.
    pub fn named(&self, name: &str) -> Result<KnownKey, EnvelopeError> {
        self.find(name)?.ok_or_else(|| self.unknown(name))
    }

    fn find(&self, name: &str) -> Result<Option<KnownKey>, EnvelopeError> {
        // Names that differ in case alone are one file on many disks, and one person to most eyes.
        Ok(self.list()?.into_iter().find(|key| key.name.eq_ignore_ascii_case(name)))
    }

    fn list_in(&self, folder: &Path, own: bool) -> Result<Vec<KnownKey>, EnvelopeError> {
        let io = |error: std::io::Error| EnvelopeError::io(folder, "read the folder", &error);
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io)?,
        };
        let mut keys = Vec::new();
        for entry in entries {
            let path = entry.map_err(io)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.and_then(|name| name.strip_suffix(".pub"));
            // What others have put there is none of ours.
            let Some(name) = name.filter(|name| check_name(name).is_ok()) else { continue };
            let text =
                read_text(&path).map_err(|error| EnvelopeError::io(&path, "read", &error))?;
            let public = PublicKeys::parse(&text).map_err(|error| {
                let message = format!("{}: {}", path.display(), error.message);
                EnvelopeError::new(error.fault, message).help("mend the file or take it away")
            })?;
            keys.push(KnownKey { name: name.to_owned(), own, public });
        }
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    fn own_path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }

    fn trusted_path(&self, name: &str) -> PathBuf {
        self.folder.join(TRUSTED).join(format!("{name}.pub"))
    }

    fn taken(&self, known: &KnownKey) -> EnvelopeError {
        let message = format!("there is a key named {} already", known.name);
        EnvelopeError::new(EnvelopeFault::Key, message)
            .help("choose another name; `windrow keys` lists them")
    }

    fn unknown(&self, name: &str) -> EnvelopeError {
        if name.is_empty() {
            return EnvelopeError::new(EnvelopeFault::Key, "a key without a name was asked for")
                .help("name it; `windrow keys` lists them");
        }
        EnvelopeError::new(EnvelopeFault::Key, format!("there is no key named {name}"))
            .help("`windrow keys` lists them")
    }
}

/// Refuses names that could not be those of files on every system.
pub fn check_name(name: &str) -> Result<(), EnvelopeError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && name.len() <= NAME_CHARS_MAX && name.chars().all(fits) {
        return Ok(());
    }
    Err(EnvelopeError::new(EnvelopeFault::Key, "this is no name for a key")
        .help("up to 64 letters, digits, `_`, `-` and `.` of ASCII, with a letter or digit first"))
}

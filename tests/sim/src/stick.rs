//! The memory stick that laptops share: the files on it, what is around them, and whose keys open
//! and believe them. Everything is sealed and opened by windrow's own code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windrow::handoff::Part;
use windrow::handoff::envelope::{Keyring, KnownKey, Limits, Packing, sign, signature_path};
use windrow::handoff::{Gave, GivenOpening, Giving, Opened, give, open_given};
use windrow::host::{Environment, Host};
use windrow::model::Error;

use crate::scenario::once_in;
use crate::seams::SimEnvironment;

/// A file on the stick.
#[derive(Clone, Debug)]
pub(crate) struct OnStick {
    /// Where.
    pub path: PathBuf,
    /// Whether it was made by a hand-off; else it is the archive's own file.
    pub made: bool,
    /// Who has signed it.
    pub signer: Option<usize>,
    /// Whether zstd is around it.
    pub compressed: bool,
    /// Whether it is encrypted to all laptops, but for this one.
    pub encrypted: bool,
    /// The laptop that it is not encrypted to.
    pub shut_out: Option<usize>,
}

impl OnStick {
    /// A copy of an archive's own file.
    pub(crate) fn copied(path: PathBuf) -> OnStick {
        OnStick {
            path,
            made: false,
            signer: None,
            compressed: false,
            encrypted: false,
            shut_out: None,
        }
    }

    /// A hand-off that laptop `at` of so many makes, with anything around it.
    pub(crate) fn drawn(path: PathBuf, at: usize, of: usize, r: &mut fastrand::Rng) -> OnStick {
        let plain = OnStick { made: true, ..OnStick::copied(path) };
        if r.bool() {
            return plain;
        }
        let encrypted = r.bool();
        let other = (at + r.usize(1..of)) % of;
        OnStick {
            signer: r.bool().then_some(at),
            compressed: r.bool(),
            encrypted,
            shut_out: (once_in(r, 4) && encrypted).then_some(other),
            ..plain
        }
    }

    /// Whether whatever becomes of a byte of it must be seen.
    pub(crate) fn is_sealed(&self) -> bool {
        self.signer.is_some() || self.encrypted
    }

    /// What it is, for the log.
    pub(crate) fn told(&self) -> String {
        let OnStick { path, made, signer, compressed, encrypted, shut_out } = self;
        let name = path.file_name().unwrap_or_default().display();
        format!("{name} {made} {signer:?} {compressed} {encrypted} {shut_out:?}")
    }

    /// Takes it from the stick.
    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(signature_path(&self.path));
    }
}

/// The keys of all laptops, each of which trusts all others, and those of a stranger.
pub(crate) struct Keys {
    rings: Vec<Keyring>,
    recipients: Vec<String>,
    state: PathBuf,
}

impl Keys {
    /// Makes keys for so many laptops.
    pub(crate) fn make(folder: &Path, laptops: usize) -> Keys {
        let rings: Vec<Keyring> =
            (0..=laptops).map(|n| Keyring::at(folder.join(format!("keys-{n}")))).collect();
        let own: Vec<KnownKey> =
            rings.iter().map(|ring| ring.make("own", None).expect("a new key")).collect();
        for (n, ring) in rings[..laptops].iter().enumerate() {
            for m in (0..laptops).filter(|m| *m != n) {
                ring.trust(&name_of(m), own[m].public.clone()).expect("it can be trusted");
            }
        }
        let recipients = own.into_iter().filter_map(|key| key.public.recipient).collect();
        Keys { rings, recipients, state: folder.join("state") }
    }

    /// Surroundings in which sealed files can be unpacked.
    pub(crate) fn environment(&self) -> Arc<dyn Environment> {
        Arc::new(SimEnvironment { state: self.state.clone() })
    }

    /// Whether anything that was unpacked is left.
    pub(crate) fn leaves_anything(&self) -> bool {
        let entries = std::fs::read_dir(self.state.join("unpacked"));
        entries.is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Makes a hand-off as laptop `at`.
    pub(crate) fn give(
        &self,
        archive: &Path,
        file: &OnStick,
        part: Part,
        host: &Host,
    ) -> Result<Gave, Error> {
        let laptops = self.rings.len() - 1;
        let readers = (0..laptops).filter(|n| file.encrypted && file.shut_out != Some(*n));
        let recipients = readers.map(|n| self.recipients[n].clone()).collect();
        let signing = file.signer.map(|at| {
            self.rings[at].signing_key(None, None).expect("it has a key without a password")
        });
        let giving = Giving {
            archive,
            out: &file.path,
            part,
            packing: Packing { compress: file.compressed, recipients },
            with_outbox: false,
            secrets: Vec::new(),
            signing,
            force: false,
            note: "the first",
        };
        give(&giving, host)
    }

    /// Whether laptop `at` says by whom a file must be signed. Without that a file that is not
    /// signed is taken too, and one that is by any key that is trusted.
    pub(crate) fn names_signers(at: usize) -> bool {
        at != 1
    }

    /// Opens a file as laptop `at`.
    pub(crate) fn open(&self, file: &OnStick, at: usize, host: &Host) -> Result<Opened, Error> {
        let ring = &self.rings[at];
        let key_of = |by: usize| match by == at {
            true => ring.own(None),
            false => ring.named(&name_of(by)),
        };
        let named = file.signer.filter(|_| Keys::names_signers(at));
        open_with(&file.path, ring, named.map(|by| key_of(by).expect("it is trusted")), host)
    }

    /// Signs a file as somebody whom nobody trusts.
    pub(crate) fn sign_as_stranger(&self, path: &Path) {
        let stranger = self.rings.last().expect("there is one");
        let key = stranger.signing_key(None, None).expect("it has a key without a password");
        sign(path, &signature_path(path), &key, "trust me").expect("the stick has room");
    }
}

fn name_of(laptop: usize) -> String {
    format!("laptop-{laptop}")
}

/// Opens a given file with these keys.
pub(crate) fn open_with(
    file: &Path,
    keyring: &Keyring,
    signer: Option<KnownKey>,
    host: &Host,
) -> Result<Opened, Error> {
    let opening = GivenOpening {
        file,
        keyring,
        signer,
        identities: Vec::new(),
        password: None,
        limits: Limits::default(),
    };
    open_given(&opening, host)
}

/// Does something to a file's bytes. Gives whether they are others now.
pub(crate) fn damage(path: &Path, random: &mut fastrand::Rng) -> bool {
    let whole = std::fs::read(path).expect("it was given");
    let mut bytes = whole.clone();
    let at = random.usize(..bytes.len());
    match random.u32(..3) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << random.u32(..8),
        _ => {
            let end = (at + 512).min(bytes.len());
            bytes[at..end].fill(0);
        }
    }
    std::fs::write(path, &bytes).expect("the stick has room");
    bytes != whole
}

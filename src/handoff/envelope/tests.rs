//! Laws of packing, and what is refused.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::handoff::envelope::*;

/// An SQLite file as far as its head and length go: pages of 512 bytes that do not compress.
fn image(pages: u32, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes: Vec<u8> =
        std::iter::repeat_with(|| random.u8(..)).take(pages as usize * 512).collect();
    bytes[..16].copy_from_slice(b"SQLite format 3\0");
    bytes[16..18].copy_from_slice(&512_u16.to_be_bytes());
    bytes[24..28].copy_from_slice(&7_u32.to_be_bytes());
    bytes[28..32].copy_from_slice(&pages.to_be_bytes());
    bytes[92..96].copy_from_slice(&7_u32.to_be_bytes());
    bytes
}

struct Bench {
    folder: tempfile::TempDir,
    ours: Identity,
    others: Identity,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, ours: Identity::generate(), others: Identity::generate() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn packing(&self, compress: bool, encrypt: bool) -> Packing {
        let both = [&self.others, &self.ours].map(Identity::recipient).to_vec();
        Packing { compress, recipients: if encrypt { both } else { Vec::new() } }
    }

    /// The bytes of a packed file.
    fn packed(&self, plain: &[u8], packing: &Packing) -> Vec<u8> {
        let (from, to) = (self.path("plain"), self.path("packed"));
        std::fs::write(&from, plain).expect("a file");
        pack(&from, &to, packing).expect("it can be packed");
        let bytes = std::fs::read(&to).expect("a file");
        std::fs::remove_file(to).expect("a file");
        bytes
    }

    /// What is in a file of these bytes, or why it is refused. Of a refused one nothing is left.
    fn opened(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, EnvelopeError> {
        let (from, into) = (self.path("sealed"), self.path("into"));
        std::fs::write(&from, bytes).expect("a file");
        let file = File::open(&from).expect("a file");
        let identities = std::slice::from_ref(&self.ours);
        let unpacked = unpack(&file, Path::new("sealed"), &into, identities, limits);
        let left = std::fs::read(&into);
        let _ = std::fs::remove_file(&into);
        match unpacked {
            Ok(unpacked) => {
                let left = left.expect("it was unpacked");
                assert_eq!(unpacked.bytes, left.len() as u64);
                Ok(left)
            }
            Err(error) => {
                assert!(left.is_err(), "something is left of what was refused: {error}");
                Err(error)
            }
        }
    }

    fn fault(&self, bytes: &[u8]) -> EnvelopeFault {
        match self.opened(bytes, &Limits::default()) {
            Ok(_) => panic!("it was not refused"),
            Err(error) => {
                let text = format!("{error} {:?}", error.help);
                assert!(text.contains("sealed") && !text.contains("SECRET"), "{text}");
                error.fault
            }
        }
    }
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("it can be compressed")
}

const PACKINGS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

fn few_cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) }
}

proptest! {
    #![proptest_config(few_cases())]

    #[test]
    fn what_was_packed_comes_out_again_for_each_recipient(
        pages in 1_u32..600, seed: u64, compress: bool, encrypt: bool,
    ) {
        let mut bench = Bench::new();
        let plain = image(pages, seed);
        let packed = bench.packed(&plain, &bench.packing(compress, encrypt));
        let expected = match (encrypt, compress) {
            (true, _) => EnvelopeKind::Age,
            (false, true) => EnvelopeKind::Zstd,
            (false, false) => EnvelopeKind::Sqlite,
        };
        prop_assert_eq!(kind_of(&packed), expected);
        for _ in 0..2 {
            prop_assert_eq!(&bench.opened(&packed, &Limits::default()).expect("whole"), &plain);
            std::mem::swap(&mut bench.ours, &mut bench.others);
        }
    }

    #[test]
    fn one_changed_byte_is_noticed_or_changes_nothing(
        at: prop::sample::Index, bit in 0_u8..8, compress: bool, seed: u64,
    ) {
        let bench = Bench::new();
        let plain = image(3, seed);
        for encrypt in [false, true] {
            if !encrypt && !compress {
                continue;
            }
            let mut packed = bench.packed(&plain, &bench.packing(compress, encrypt));
            let at = at.index(packed.len());
            packed[at] ^= 1 << bit;
            if let Ok(opened) = bench.opened(&packed, &Limits::default()) {
                prop_assert_eq!(&opened, &plain);
            }
        }
    }
}

#[test]
fn what_was_cut_short_or_goes_on_behind_its_end_is_refused() {
    let bench = Bench::new();
    let plain = image(300, 1);
    for (compress, encrypt) in PACKINGS {
        let packed = bench.packed(&plain, &bench.packing(compress, encrypt));
        for cut in [20, 90, 500, 65_536 + 300, packed.len() - 1] {
            let fault = bench.fault(&packed[..cut]);
            assert_eq!(fault, EnvelopeFault::Damaged, "{compress} {encrypt} {cut}");
        }
        for junk in [&b"x"[..], &[0; 600], &zstd_of(b"more")] {
            let longer = [&packed, junk].concat();
            assert_eq!(bench.fault(&longer), EnvelopeFault::Damaged, "{compress} {encrypt}");
        }
    }
    // A last chunk of age that is full, and then more.
    let full = bench.packed(&image(256, 2), &bench.packing(false, true));
    assert_eq!(bench.fault(&[&full[..], b"x"].concat()), EnvelopeFault::Damaged);
}

#[test]
fn what_windrow_would_not_make_is_refused_each_with_its_reason() {
    let bench = Bench::new();
    let plain = image(4, 3);
    let age = |bytes: &[u8]| {
        let path = bench.path("inner");
        std::fs::write(&path, bytes).expect("a file");
        bench.packed(bytes, &bench.packing(false, true))
    };
    let cases = [
        ("nothing", Vec::new(), EnvelopeFault::NotAnArchive),
        ("text", b"hello, this is text".to_vec(), EnvelopeFault::NotAnArchive),
        ("compressed text", zstd_of(b"hello"), EnvelopeFault::NotAnArchive),
        ("compressed nothing", zstd_of(b""), EnvelopeFault::NotAnArchive),
        ("encrypted nothing", age(b""), EnvelopeFault::NotAnArchive),
        ("twice compressed", zstd_of(&zstd_of(&plain)), EnvelopeFault::Nested),
        ("twice encrypted", age(&age(&plain)), EnvelopeFault::Nested),
        ("encrypted, then compressed", zstd_of(&age(&plain)), EnvelopeFault::Nested),
        ("three layers", age(&zstd_of(&zstd_of(&plain))), EnvelopeFault::Nested),
        (
            "a version to come",
            b"age-encryption.org/v9\nx\n--- y\n".to_vec(),
            EnvelopeFault::Damaged,
        ),
    ];
    for (what, bytes, fault) in cases {
        assert_eq!(bench.fault(&bytes), fault, "{what}");
    }
    let endless = [b"age-encryption.org/v1\n".to_vec(), b"-> X a\nQUFB\n".repeat(9000)].concat();
    let error = bench.opened(&endless, &Limits::default()).expect_err("no header");
    assert!(error.message.contains("its encryption has no header"), "{error}");
    let password = age::scrypt::Recipient::new("secret".to_owned().into());
    let locked = age::encrypt(&password, &plain).expect("encrypted");
    let error = bench.opened(&locked, &Limits::default()).expect_err("no password is taken");
    assert_eq!(error.fault, EnvelopeFault::NotForUs);
    assert!(error.message.contains("with a password"), "{error}");
    let stranger = Packing { compress: true, recipients: vec![bench.others.recipient()] };
    let error = bench.opened(&bench.packed(&plain, &stranger), &Limits::default());
    let error = error.expect_err("it is for somebody else");
    assert_eq!(error.fault, EnvelopeFault::NotForUs);
    assert!(error.help.expect("a help").contains("windrow keys show"));
    let path = bench.path("sealed");
    let file = File::open(&path).expect("a file");
    let error = unpack(&file, &path, &bench.path("into"), &[], &Limits::default());
    let error = error.expect_err("nobody opens it");
    assert_eq!(error.fault, EnvelopeFault::NotForUs);
    assert!(error.message.contains("there is no identity here"), "{error}");
}

#[test]
fn a_bomb_is_refused_and_an_empty_archive_is_none() {
    let bench = Bench::new();
    let zeros = |pages: u32| {
        let mut bytes = image(1, 4);
        bytes[28..32].copy_from_slice(&pages.to_be_bytes());
        bytes.resize(pages as usize * 512, 0);
        bytes
    };
    // 80 MiB of 5 KiB, alone and under encryption.
    let bomb = zeros(160 * 1024);
    for (compress, encrypt) in [(true, false), (true, true)] {
        let packed = bench.packed(&bomb, &bench.packing(compress, encrypt));
        assert!(packed.len() < 20_000);
        assert_eq!(bench.fault(&packed), EnvelopeFault::TooBig);
    }
    let packed = bench.packed(&bomb, &bench.packing(true, false));
    let wider = Limits { ratio_max: u64::MAX, ..Limits::default() };
    assert_eq!(bench.opened(&packed, &wider).expect("asked for"), bomb);
    // Two MiB of empty pages are what a new archive may have.
    let small = zeros(4096);
    let packed = bench.packed(&small, &bench.packing(true, false));
    assert_eq!(bench.opened(&packed, &Limits::default()).expect("no bomb"), small);
    let narrow = Limits { bytes_max: 2 * 1024 * 1024 - 1, ..Limits::default() };
    let error = bench.opened(&packed, &narrow).expect_err("too many bytes");
    assert_eq!(error.fault, EnvelopeFault::TooBig);
}

#[test]
fn a_window_that_needs_too_much_memory_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.window_log(27).expect("a window");
    encoder.write_all(&image(8, 5)).expect("written");
    let bench = Bench::new();
    assert_eq!(bench.fault(&encoder.finish().expect("a frame")), EnvelopeFault::TooBig);
}

#[test]
fn nothing_is_written_over_what_is_there() {
    let bench = Bench::new();
    let (plain, there) = (bench.path("plain"), bench.path("there"));
    std::fs::write(&plain, image(2, 6)).expect("a file");
    std::fs::write(&there, "mine").expect("a file");
    let fault = |result: Result<(), EnvelopeError>| result.expect_err("it is there").fault;
    assert_eq!(fault(pack(&plain, &there, &Packing::default())), EnvelopeFault::Storage);
    let file = File::open(&plain).expect("a file");
    let unpacked = unpack(&file, &plain, &there, &[], &Limits::default()).map(drop);
    assert_eq!(fault(unpacked), EnvelopeFault::Storage);
    assert_eq!(std::fs::read(&there).expect("a file"), b"mine");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| path.metadata().expect("a file").permissions().mode() & 0o777;
        pack(&plain, &bench.path("out"), &Packing::default()).expect("packed");
        unpack(&file, &plain, &bench.path("in"), &[], &Limits::default()).expect("unpacked");
        assert_eq!((mode(&bench.path("out")), mode(&bench.path("in"))), (0o600, 0o600));
    }
    let nobody = Packing { compress: false, recipients: vec!["age1nobody".to_owned()] };
    assert_eq!(fault(pack(&plain, &bench.path("new"), &nobody)), EnvelopeFault::Key);
    assert!(!bench.path("new").exists());
}

/// The key and a signature over the word `test`, of minisign's own documentation.
const MANUAL_KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
const MANUAL_SIGNATURE: &str = concat!(
    "untrusted comment: signature from minisign secret key\n",
    "RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/",
    "z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n",
    "trusted comment: timestamp:1633700835\tfile:test\tprehashed\n",
    "wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJ",
    "pIidRJnp94ABQkJAgAooBQ==\n",
);
/// The same of the old kind, which signs the file and not its hash.
const LEGACY_SIGNATURE: &str = concat!(
    "untrusted comment: signature from minisign secret key\n",
    "RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73Y",
    "iIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n",
    "trusted comment: timestamp:1555779966\tfile:test\n",
    "QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/V",
    "qE81QFuMKI5k/SfNQUaOAA==\n",
);

/// Holds a signature against a file of these bytes.
fn verified(bytes: &[u8], signature: &str, keyring: &Keyring) -> Result<Signer, EnvelopeError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).expect("a file");
    std::fs::write(signature_path(&path), signature).expect("a file");
    let file = File::open(&path).expect("a file");
    verify_signature(&file, &path, &signature_path(&path), &keyring.list().expect("keys"))
}

#[test]
fn a_signature_that_minisign_made_is_believed_and_each_wrong_one_has_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let keyring = Keyring::at(folder.path().join("keys"));
    let fault =
        |bytes: &[u8], text: &str| verified(bytes, text, &keyring).expect_err("it is wrong").fault;
    assert_eq!(fault(b"test", MANUAL_SIGNATURE), EnvelopeFault::UnknownSigner);
    let error = verified(b"test", MANUAL_SIGNATURE, &keyring).expect_err("unknown");
    assert!(error.message.contains("E7620F1842B4E81F"), "{error}");
    assert!(error.help.expect("a help").contains("windrow keys trust NAME KEY"));

    keyring.trust("frank", PublicKeys::parse(MANUAL_KEY).expect("a key")).expect("trusted");
    let signer = verified(b"test", MANUAL_SIGNATURE, &keyring).expect("it is right");
    assert_eq!(signer.name, "frank");
    assert_eq!(signer.key_id, "E7620F1842B4E81F");
    assert_eq!(signer.comment, "timestamp:1633700835\tfile:test\tprehashed");

    assert_eq!(fault(b"tesu", MANUAL_SIGNATURE), EnvelopeFault::Changed);
    assert_eq!(fault(b"", MANUAL_SIGNATURE), EnvelopeFault::Changed);
    assert_eq!(fault(b"test", LEGACY_SIGNATURE), EnvelopeFault::Malformed);
    let changed = |from: &str, to: &str| MANUAL_SIGNATURE.replace(from, to);
    assert_eq!(fault(b"test", &changed("1633700835", "1633700836")), EnvelopeFault::Changed);
    let lines: Vec<&str> = MANUAL_SIGNATURE.lines().collect();
    let cases = [
        String::new(),
        "text".to_owned(),
        lines[..3].join("\n"),
        changed("trusted comment: timestamp", "timestamp"),
        changed("RUQf6", "RUXf6"),
        changed("RUQf6", "R"),
        // The signature of the comment, cut short: the library would slice beyond its end.
        changed(lines[3], "wLMDjw=="),
        changed(lines[3], ""),
        "x".repeat(100_000),
    ];
    for case in cases {
        let fault = fault(b"test", &case);
        let expected = [EnvelopeFault::Malformed, EnvelopeFault::UnknownSigner];
        assert!(expected.contains(&fault), "{fault:?}: {case:.300}");
    }
    let file = File::open(folder.path().join("keys/trusted/frank.pub")).expect("a file");
    let missing = folder.path().join("none.minisig");
    let error = verify_signature(&file, Path::new("x"), &missing, &[]).expect_err("none");
    assert_eq!(error.fault, EnvelopeFault::NoSignature);
}

#[test]
fn what_we_sign_is_verified_by_the_public_part_and_by_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Keyring::at(folder.path().join("ours"));
    let theirs = Keyring::at(folder.path().join("theirs"));
    let made = ours.make("ana", None).expect("keys");
    theirs.make("bob", None).expect("keys");
    let path = folder.path().join("out.db");
    std::fs::write(&path, image(900, 7)).expect("a file");
    let key = ours.signing_key(None, None).expect("a key");
    assert!(!format!("{key:?}").is_empty() && format!("{key:?}").len() < 40, "{key:?}");
    sign(&path, &signature_path(&path), &key, "windrow\nhand-off").expect("signed");
    let again = sign(&path, &signature_path(&path), &key, "x").expect_err("it is there");
    assert_eq!(again.fault, EnvelopeFault::Storage);

    let file = File::open(&path).expect("a file");
    let verify = |keyring: &Keyring| {
        let trusted = keyring.list().expect("keys");
        verify_signature(&file, &path, &signature_path(&path), &trusted)
    };
    let signer = verify(&ours).expect("our own key is trusted");
    assert_eq!((signer.name.as_str(), signer.comment.as_str()), ("ana", "windrow hand-off"));
    assert_eq!(verify(&theirs).expect_err("unknown").fault, EnvelopeFault::UnknownSigner);
    theirs.trust("ana", made.public.clone()).expect("trusted");
    assert_eq!(verify(&theirs).expect("known now").key_id, made.public.key_id());
    let mut other = std::fs::OpenOptions::new().append(true).open(&path).expect("a file");
    other.write_all(b"x").expect("a byte more");
    assert_eq!(verify(&theirs).expect_err("changed").fault, EnvelopeFault::Changed);
    // A key that only says that it has this number.
    let bob = theirs.own(None).expect("a key").public.signing;
    let number = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    };
    let (real, bob) = (number(&made.public.signing), number(&bob));
    let forged = [&real[..10], &bob[10..]].concat();
    let forged = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(forged)
    };
    let keyring = Keyring::at(folder.path().join("fooled"));
    keyring.trust("ana", PublicKeys::parse(&forged).expect("a key")).expect("trusted");
    assert_eq!(verify(&keyring).expect_err("not hers").fault, EnvelopeFault::Changed);
}

#[test]
fn keys_with_a_password_need_it_and_no_error_tells_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let keyring = Keyring::at(folder.path());
    let made = keyring.make("own", Some("open sesame")).expect("keys");
    let files = keyring.identities().expect("a file");
    for (password, message) in [(None, "encrypted with a password"), (Some("no"), "does not open")]
    {
        let one = keyring.signing_key(None, password).expect_err("locked");
        let two = read_identities(&files, password).expect_err("locked");
        for error in [one, two] {
            assert_eq!(error.fault, EnvelopeFault::Key);
            assert!(error.message.contains(message), "{error}");
            assert!(error.help.expect("a help").contains("WINDROW_KEY_PASSWORD"));
        }
    }
    let key = keyring.signing_key(None, Some("open sesame")).expect("open");
    assert_eq!(key.key_id(), made.public.key_id());
    let identities = read_identities(&files, Some("open sesame")).expect("open");
    assert_eq!(Some(identities[0].recipient()), made.public.recipient);
    assert_eq!(keyring.recipient("own").expect("known"), identities[0].recipient());
    assert!(!format!("{identities:?}").contains("SECRET"));
}

#[test]
fn a_file_that_holds_no_key_is_named_and_its_text_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let keyring = Keyring::at(folder.path());
    keyring.make("own", None).expect("keys");
    for text in ["SECRET-TEXT\nSECRET-LINE\n", "", "AGE-SECRET-KEY-1WRONG\n"] {
        for name in ["own.key", "own.age"] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let files = keyring.identities().expect("a file");
        let one = keyring.signing_key(None, None).expect_err("no key");
        let two = read_identities(&files, None).expect_err("no identity");
        assert!(one.message.contains("own.key holds no minisign secret key"), "{one}");
        assert!(two.message.contains("own.age holds no age identity"), "{two}");
        assert!(!format!("{one:?}{two:?}").contains("SECRET"));
    }
}

#[test]
fn a_recipient_is_a_name_or_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let keyring = Keyring::at(folder.path());
    let other = Identity::generate().recipient();
    assert_eq!(keyring.recipient(&other).expect("a recipient"), other);
    keyring.trust("frank", PublicKeys::parse(MANUAL_KEY).expect("a key")).expect("trusted");
    let cases = [
        ("frank", "no age recipient of frank is known"),
        ("hans", "there is no key named hans"),
        ("age1x", "no age recipient"),
        ("AGE-SECRET-KEY-1QQQQ", "this is an identity, which is secret"),
    ];
    for (named, why) in cases {
        let error = keyring.recipient(named).expect_err("no recipient");
        assert!(error.message.contains(why), "{named}: {error}");
        assert!(!error.message.contains("SECRET"), "{error}");
    }
}

//! Takes encryption and compression off a file that nobody vouches for.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;

use crate::host::files::{create_private, free_bytes};

use crate::handoff::envelope::CHUNK_BYTES;
use crate::handoff::envelope::error::{EnvelopeError, EnvelopeFault};
use crate::handoff::envelope::identity::Identity;
use crate::handoff::envelope::kind::{AGE, EnvelopeKind, first_bytes, kind_of};

/// The most bytes before the encrypted part of an age file: some 600 recipients.
const AGE_HEADER_BYTES_MAX: usize = 64 * 1024;
/// The most that a decompressor keeps in memory: 32 MiB, as a power of two. `zstd -19` asks for 8.
const WINDOW_LOG_MAX: u32 = 25;
/// So much may come out before the ratio counts: an archive that is new is mostly empty pages.
const RATIO_FROM_BYTES: u64 = 64 * 1024 * 1024;
/// Left free on the disk, whatever comes out: what a sync needs to write (`windrow doctor` has the
/// same limit).
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// How often the disk is asked, in bytes written: no more than [`FREE_BYTES_MIN`], so that it is
/// never filled between two looks.
const FREE_EVERY_BYTES: u64 = 64 * 1024 * 1024;

/// What of a file is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes that may come out.
    pub bytes_max: u64,
    /// The most bytes that may come out of one that went in, from 64 MiB on.
    pub ratio_max: u64,
}

impl Default for Limits {
    /// 1 TiB, and 1,000 to 1. zstd makes some 30,000 bytes of one; rows that differ in their key
    /// alone give some hundreds, ordinary ones 3 to 20, and a hand-off has no empty pages.
    fn default() -> Self {
        Self { bytes_max: 1 << 40, ratio_max: 1000 }
    }
}

/// What was in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Whether it was encrypted.
    pub encrypted: bool,
    /// Whether it was compressed.
    pub compressed: bool,
    /// Bytes of the SQLite file.
    pub bytes: u64,
}

/// Writes the SQLite file that is in `file`, from its first byte on, to `into`, which must not be
/// there yet: one layer of age over one layer of zstd is taken off, either may be missing, and
/// anything else is refused. `into` is its owner's alone; of what is refused nothing is left.
///
/// The handle is read and not a path, so that what was verified is what is unpacked; `name` is
/// what errors call it. Memory is bounded: 32 MiB for zstd, some chunks else.
///
/// # Errors
///
/// See [`EnvelopeFault`]: `TooBig`, `Damaged`, `NotForUs`, `Nested`, `NotAnArchive`, `Storage`.
pub fn unpack(
    file: &File,
    name: &Path,
    into: &Path,
    identities: &[Identity],
    limits: &Limits,
) -> Result<Unpacked, EnvelopeError> {
    let mut handle = file;
    handle.seek(SeekFrom::Start(0)).map_err(|error| EnvelopeError::io(name, "read", &error))?;
    let taken = Rc::new(Cell::new(0));
    let input = CountedFile { inner: file, taken: Rc::clone(&taken) };
    let mut layers = Peeling { name, reader: Box::new(input), encrypted: false, compressed: false };
    layers.peel(identities)?;
    let out = create_private(into).map_err(|error| EnvelopeError::io(into, "make", &error))?;
    let mut spill = Spill { name, into, out, limits, taken, written: 0, head: Vec::new() };
    let poured = spill.pour(&mut *layers.reader).and_then(|()| spill.finish());
    if let Err(error) = poured {
        // It is ours: nobody else could make it under this name.
        let _ = std::fs::remove_file(into);
        return Err(error);
    }
    let (encrypted, compressed) = (layers.encrypted, layers.compressed);
    Ok(Unpacked { encrypted, compressed, bytes: spill.written })
}

/// Counts what is taken from the file itself.
struct CountedFile<'a> {
    inner: &'a File,
    taken: Rc<Cell<u64>>,
}

impl Read for CountedFile<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(into)?;
        self.taken.set(self.taken.get() + read as u64);
        Ok(read)
    }
}

/// The layers on their way off.
struct Peeling<'a> {
    name: &'a Path,
    reader: Box<dyn Read + 'a>,
    encrypted: bool,
    compressed: bool,
}

impl<'a> Peeling<'a> {
    fn peel(&mut self, identities: &[Identity]) -> Result<(), EnvelopeError> {
        loop {
            let first = self.peek(AGE.len())?;
            match kind_of(&first) {
                EnvelopeKind::Sqlite => return Ok(()),
                EnvelopeKind::Age if self.encrypted || self.compressed => return Err(self.nested()),
                EnvelopeKind::Zstd if self.compressed => return Err(self.nested()),
                EnvelopeKind::Age => self.decrypt(identities)?,
                EnvelopeKind::Zstd => self.decompress()?,
                EnvelopeKind::Empty => return Err(self.not_an_archive("nothing")),
                EnvelopeKind::Unknown => return Err(self.not_an_archive("something else")),
            }
        }
    }

    /// Up to so many bytes from the front, which stay there.
    fn peek(&mut self, most: usize) -> Result<Vec<u8>, EnvelopeError> {
        let reader = &mut self.reader;
        let (first, short) = match first_bytes(reader, most) {
            Ok(read) => read,
            Err(error) => return Err(broken(self.name, &error)),
        };
        let rest = std::mem::replace(&mut self.reader, Box::new(std::io::empty()));
        let front = Cursor::new(first.clone());
        // A reader that has come to its end is not asked again.
        self.reader = if short { Box::new(front) } else { Box::new(front.chain(rest)) };
        Ok(first)
    }

    fn decrypt(&mut self, identities: &[Identity]) -> Result<(), EnvelopeError> {
        let header = self.peek(AGE_HEADER_BYTES_MAX)?;
        // The parser would read on for as long as there is something that looks like a header.
        if !header.windows(5).any(|bytes| bytes == b"\n--- ") {
            return Err(self.damaged("its encryption has no header"));
        }
        let reader = std::mem::replace(&mut self.reader, Box::new(std::io::empty()));
        let decryptor = age::Decryptor::new_buffered(BufReader::with_capacity(CHUNK_BYTES, reader))
            .map_err(|_| self.damaged("the header of its encryption is wrong"))?;
        if decryptor.is_scrypt() {
            let message = format!("{} is encrypted with a password", self.name());
            return Err(EnvelopeError::new(EnvelopeFault::NotForUs, message)
                .help("decrypt it by hand (`age -d`), or have it encrypted to your key"));
        }
        let ours = identities.iter().map(Identity::as_age);
        let stream = decryptor.decrypt(ours).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => self.not_for_us(identities.is_empty()),
            _ => self.damaged("the header of its encryption is wrong"),
        })?;
        self.reader = Box::new(stream);
        self.encrypted = true;
        Ok(())
    }

    fn decompress(&mut self) -> Result<(), EnvelopeError> {
        let reader = std::mem::replace(&mut self.reader, Box::new(std::io::empty()));
        let mut decoder = zstd::stream::read::Decoder::new(reader)
            .and_then(|mut decoder| decoder.window_log_max(WINDOW_LOG_MAX).map(|()| decoder))
            .map_err(|error| broken(self.name, &error))?;
        // A window that is too large shows at the first byte, and its help is not that of damage.
        let mut first = [0];
        let read = decoder.read(&mut first).map_err(|error| {
            if error.raw_os_error().is_none() && error.to_string().contains("memory") {
                let message =
                    format!("{} needs more memory to decompress than it may have", self.name());
                return EnvelopeError::new(EnvelopeFault::TooBig, message)
                    .help("compress it without `--long` or `--ultra`");
            }
            broken(self.name, &error)
        })?;
        let first = first[..read].to_vec();
        self.reader = Box::new(Cursor::new(first).chain(decoder));
        self.compressed = true;
        Ok(())
    }

    fn name(&self) -> std::path::Display<'_> {
        self.name.display()
    }

    fn damaged(&self, what: &str) -> EnvelopeError {
        damaged(self.name, what)
    }

    fn nested(&self) -> EnvelopeError {
        let message = format!("{} is packed more often than windrow packs", self.name());
        EnvelopeError::new(EnvelopeFault::Nested, message)
            .help("unpack it by hand to one encryption over one compression, or ask for it plain")
    }

    fn not_for_us(&self, none: bool) -> EnvelopeError {
        if none {
            let message = format!("{} is encrypted, and there is no identity here", self.name());
            return EnvelopeError::new(EnvelopeFault::NotForUs, message)
                .help("name one, or put it into the folder of keys; `windrow keys new` makes one");
        }
        let message = format!("{} is encrypted to somebody else", self.name());
        EnvelopeError::new(EnvelopeFault::NotForUs, message).help(
            "`windrow keys show` prints what its sender needs to encrypt it to you; if it is to \
             you, the identity is not in the folder of keys",
        )
    }

    fn not_an_archive(&self, what: &str) -> EnvelopeError {
        let inside = if self.encrypted || self.compressed { "holds" } else { "is" };
        let message = format!("{} {inside} {what}, and no SQLite file", self.name());
        EnvelopeError::new(EnvelopeFault::NotAnArchive, message)
    }
}

fn damaged(name: &Path, what: &str) -> EnvelopeError {
    EnvelopeError::new(EnvelopeFault::Damaged, format!("{} is damaged: {what}", name.display()))
        .help("ask for it again; it may not have been copied whole")
}

/// An error of a reader: the disk's, or that of a layer which is not as it was made.
fn broken(name: &Path, error: &std::io::Error) -> EnvelopeError {
    if error.raw_os_error().is_some() {
        return EnvelopeError::io(name, "read", error);
    }
    match error.kind() {
        ErrorKind::UnexpectedEof => damaged(name, "it ends too early"),
        _ => damaged(name, "what is in it was altered, or something stands behind its end"),
    }
}

/// What comes out, on its way to the disk.
struct Spill<'a> {
    name: &'a Path,
    into: &'a Path,
    out: File,
    limits: &'a Limits,
    taken: Rc<Cell<u64>>,
    written: u64,
    head: Vec<u8>,
}

impl Spill<'_> {
    fn pour(&mut self, reader: &mut dyn Read) -> Result<(), EnvelopeError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut free_asked_at = 0;
        loop {
            let read = match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(self.name, &error)),
            };
            let missing = HEAD_BYTES.saturating_sub(self.head.len()).min(read);
            self.head.extend_from_slice(&chunk[..missing]);
            self.check(self.written + read as u64)?;
            if self.written >= free_asked_at {
                self.check_disk()?;
                free_asked_at = self.written + FREE_EVERY_BYTES;
            }
            let wrote = self.out.write_all(&chunk[..read]);
            wrote.map_err(|error| EnvelopeError::io(self.into, "write", &error))?;
            self.written += read as u64;
        }
    }

    fn check(&self, bytes: u64) -> Result<(), EnvelopeError> {
        let most = self.limits.bytes_max;
        if bytes > most {
            let message = format!("{} unpacks to more than {most} bytes", self.name.display());
            return Err(EnvelopeError::new(EnvelopeFault::TooBig, message));
        }
        let ratio = self.limits.ratio_max;
        if bytes > RATIO_FROM_BYTES && bytes / self.taken.get().max(1) >= ratio {
            let message =
                format!("{} unpacks to more than {ratio} times its size", self.name.display());
            return Err(EnvelopeError::new(EnvelopeFault::TooBig, message));
        }
        Ok(())
    }

    fn check_disk(&self) -> Result<(), EnvelopeError> {
        // Where nobody can tell, a full disk will.
        let free = free_bytes(self.into).unwrap_or(u64::MAX);
        if free < FREE_BYTES_MIN {
            let message = format!("no room left to unpack {}", self.name.display());
            return Err(EnvelopeError::new(EnvelopeFault::Storage, message)
                .help("free some space, or unpack it elsewhere"));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), EnvelopeError> {
        if self.head.len() < HEAD_BYTES {
            return Err(damaged(self.name, "it ends too early"));
        }
        if let Some(told) = told_bytes(&self.head)
            && told != self.written
        {
            let way = if told > self.written { "too short" } else { "too long" };
            let what = format!("it is {way} ({} bytes, and its head says {told})", self.written);
            return Err(damaged(self.name, &what));
        }
        self.out.sync_all().map_err(|error| EnvelopeError::io(self.into, "write", &error))
    }
}

/// The length of an SQLite file's head.
const HEAD_BYTES: usize = 100;

/// How long an SQLite file says that it is ("Database File Format", sections 1.3.2 and 1.3.7);
/// none where its head is too short or does not vouch for the number.
fn told_bytes(head: &[u8]) -> Option<u64> {
    let number = |at: usize| {
        let bytes = head.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let page = u64::from(u16::from_be_bytes(head.get(16..18)?.try_into().ok()?));
    let page = if page == 1 { 65_536 } else { page };
    let valid = number(24)? == number(92)?;
    valid.then(|| number(28).map(|pages| u64::from(pages) * page)).flatten()
}

//! Puts compression and encryption around a plain file.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use age::x25519;

use crate::host::files::{create_private, open_given};

use crate::handoff::envelope::CHUNK_BYTES;
use crate::handoff::envelope::error::{EnvelopeError, EnvelopeFault};

/// zstd's own default: a third of the size of most archives, at the speed of a stick.
const LEVEL: i32 = 3;
/// The most recipients of one file, so that its header stays short enough to be believed.
pub(crate) const RECIPIENTS_MAX: usize = 256;

/// What goes around the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packing {
    /// zstd, with its checksum.
    pub compress: bool,
    /// age recipients (`age1…`), each of whom can open the file; none for no encryption.
    pub recipients: Vec<String>,
}

/// Writes `plain` to `out`, which must not be there yet: as it is, compressed, encrypted, or
/// compressed and then encrypted. `out` is its owner's alone and on the disk when this returns, but
/// not its name: it is meant to be renamed. What could not be finished is taken away again.
pub fn pack(plain: &Path, out: &Path, packing: &Packing) -> Result<(), EnvelopeError> {
    let recipients = parse_recipients(&packing.recipients)?;
    let mut input = open_given(plain).map_err(|e| EnvelopeError::io(plain, "read", &e))?;
    let length = input.metadata().map_err(|e| EnvelopeError::io(plain, "read", &e))?.len();
    let file = create_private(out).map_err(|e| EnvelopeError::io(out, "make", &e))?;
    let written = if recipients.is_empty() {
        squeeze(&mut input, length, BufWriter::new(file), packing.compress)
    } else {
        encrypt(&mut input, length, BufWriter::new(file), packing.compress, &recipients)
    };
    let kept = written.and_then(|buffered| {
        buffered.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    });
    kept.map_err(|error| {
        // It is ours: nobody else could make it under this name.
        let _ = std::fs::remove_file(out);
        EnvelopeError::io(out, "write", &error)
    })
}

fn parse_recipients(texts: &[String]) -> Result<Vec<x25519::Recipient>, EnvelopeError> {
    if texts.len() > RECIPIENTS_MAX {
        let message = format!("{} recipients are too many", texts.len());
        return Err(EnvelopeError::new(EnvelopeFault::Key, message)
            .help(format!("one file can be encrypted to {RECIPIENTS_MAX}")));
    }
    texts.iter().map(|text| crate::handoff::envelope::public::parse_recipient(text)).collect()
}

type PackedFile = BufWriter<File>;

fn encrypt(
    input: &mut File,
    length: u64,
    out: PackedFile,
    compress: bool,
    recipients: &[x25519::Recipient],
) -> std::io::Result<PackedFile> {
    let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients)
        .map_err(|_| std::io::Error::other("these recipients cannot share a file"))?;
    squeeze(input, length, encryptor.wrap_output(out)?, compress)?.finish()
}

fn squeeze<W: Write>(
    input: &mut File,
    length: u64,
    mut out: W,
    compress: bool,
) -> std::io::Result<W> {
    if !compress {
        copy(input, &mut out)?;
        return Ok(out);
    }
    let mut encoder = zstd::stream::write::Encoder::new(out, LEVEL)?;
    encoder.include_checksum(true)?;
    // With this the frame says how much is in it, and a file that grew meanwhile is an error.
    encoder.set_pledged_src_size(Some(length))?;
    copy(input, &mut encoder)?;
    encoder.finish()
}

fn copy(input: &mut File, out: &mut impl Write) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match input.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => out.write_all(&chunk[..read])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

//! What a file is, by its first bytes.

use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::host::files::open_named;

use crate::handoff::envelope::error::EnvelopeError;

/// The first bytes of an SQLite file.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// The first bytes of a zstd frame (RFC 8878, section 3.1.1).
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The first bytes of an age file, of any version.
pub(super) const AGE: &[u8] = b"age-encryption.org/";

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeKind {
    /// A plain SQLite file.
    Sqlite,
    Zstd,
    Age,
    Empty,
    Unknown,
}

/// What the file at `path` is.
pub fn kind(path: &Path) -> Result<EnvelopeKind, EnvelopeError> {
    let mut file = open_named(path).map_err(|error| EnvelopeError::io(path, "read", &error))?;
    let (first, _) = first_bytes(&mut file, AGE.len())
        .map_err(|error| EnvelopeError::io(path, "read", &error))?;
    Ok(kind_of(&first))
}

/// What a file is that begins with these bytes; 19 are enough.
pub fn kind_of(first: &[u8]) -> EnvelopeKind {
    match first {
        [] => EnvelopeKind::Empty,
        first if first.starts_with(SQLITE) => EnvelopeKind::Sqlite,
        first if first.starts_with(ZSTD) => EnvelopeKind::Zstd,
        first if first.starts_with(AGE) => EnvelopeKind::Age,
        _ => EnvelopeKind::Unknown,
    }
}

/// The first bytes of a reader, and whether that was all.
pub(super) fn first_bytes(reader: &mut impl Read, most: usize) -> std::io::Result<(Vec<u8>, bool)> {
    let mut first = vec![0; most];
    let mut have = 0;
    while have < most {
        match reader.read(&mut first[have..]) {
            Ok(0) => break,
            Ok(read) => have += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    first.truncate(have);
    Ok((first, have < most))
}

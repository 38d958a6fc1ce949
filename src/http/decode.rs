//! Undoing content codings (RFC 9110, section 8.4.1): gzip, brotli, zstd.
//!
//! A coded body is unpacked whole or not at all. The HTTP client's own decoding drops what follows
//! the first member of a gzip in silence and knows no limit on growth.

use std::io::{self, Read};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::bufread::GzDecoder;

use crate::http::transport::{HttpRequest, NetError, NetKind};

/// What [`decode`] can undo, as a request says it.
pub const CODINGS: &str = "gzip, br, zstd";
/// Codings that may lie over one another: with each of them a small body can unpack to many times
/// more.
const CODINGS_MAX: usize = 2;
/// Decoded bytes up to which nothing is said about growth: small answers of blanks are harmless.
const RATIO_FREE_BYTES: u64 = 1 << 20;
/// The largest window of a zstd frame in HTTP, as a power of two (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bytes that are unpacked at a time.
const PIECE: usize = 64 * 1024;

/// How far an answer may grow.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// The largest body, decoded bytes.
    pub bytes_max: u64,
    /// Decoded bytes for one that came.
    pub ratio_max: u64,
}

impl Growth {
    /// The limits of a request.
    pub fn of(request: &HttpRequest) -> Growth {
        Growth { bytes_max: request.body_bytes_max, ratio_max: request.body_ratio_max }
    }

    /// The most bytes that so many coded ones may become.
    fn room(self, coded: usize) -> u64 {
        let by_ratio = (coded as u64).saturating_mul(self.ratio_max).max(RATIO_FREE_BYTES);
        by_ratio.min(self.bytes_max)
    }

    fn exceeded(self, coded: usize) -> NetError {
        if self.room(coded) == self.bytes_max {
            return too_large(self.bytes_max);
        }
        let detail = format!(
            "the answer of {coded} bytes unpacks to more than {} times that",
            self.ratio_max
        );
        NetError { kind: NetKind::Swollen, detail }
    }
}

/// An answer beyond the limit.
pub fn too_large(bytes_max: u64) -> NetError {
    let detail = format!("the answer is larger than {bytes_max} bytes");
    NetError { kind: NetKind::TooLarge, detail }
}

/// Undoes the codings that the values of `content-encoding` name, the last one first.
pub fn decode(named: &[String], body: Vec<u8>, growth: Growth) -> Result<Vec<u8>, NetError> {
    let codings = named.iter().flat_map(|value| value.split(',')).map(str::trim);
    let codings: Vec<String> = codings
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity"))
        .map(str::to_ascii_lowercase)
        .collect();
    if codings.len() > CODINGS_MAX {
        return Err(undecodable(format!("the answer is coded {} times over", codings.len())));
    }
    // An answer without content has nothing to unpack: 204, or a coding named by habit.
    if body.is_empty() {
        return Ok(body);
    }
    let came = body.len();
    codings.iter().rev().try_fold(body, |body, coding| match coding.as_str() {
        "gzip" | "x-gzip" => gunzip(&body, came, growth),
        "zstd" => unzstd(&body, came, growth),
        "br" => unbrotli(&body, came, growth),
        _ => {
            let shown: String = coding.chars().take(40).collect();
            Err(undecodable(format!(
                "the answer has the coding {shown:?}, which was not asked for"
            )))
        }
    })
}

fn undecodable(detail: String) -> NetError {
    NetError { kind: NetKind::Undecodable, detail }
}

fn damaged(error: &io::Error) -> NetError {
    let detail = format!("the answer was cut off or damaged: {error}");
    NetError { kind: NetKind::Cut, detail }
}

fn junk() -> NetError {
    undecodable("bytes follow after the end of the compressed answer".to_owned())
}

/// Appends all that comes out of `from`, up to the limit.
fn unpack(
    from: &mut dyn Read,
    out: &mut Vec<u8>,
    came: usize,
    growth: Growth,
) -> Result<(), NetError> {
    let room = (growth.room(came) + 1).saturating_sub(out.len() as u64);
    from.take(room).read_to_end(out).map_err(|error| damaged(&error))?;
    if out.len() as u64 > growth.room(came) { Err(growth.exceeded(came)) } else { Ok(()) }
}

/// RFC 1952: one member or several, and nothing else.
fn gunzip(body: &[u8], came: usize, growth: Growth) -> Result<Vec<u8>, NetError> {
    let (mut rest, mut out) = (body, Vec::new());
    while !rest.is_empty() {
        if !out.is_empty() && !rest.starts_with(&[0x1f, 0x8b]) {
            return Err(junk());
        }
        let mut member = GzDecoder::new(rest);
        unpack(&mut member, &mut out, came, growth)?;
        rest = member.into_inner();
    }
    Ok(out)
}

/// RFC 8878: one frame or several, and nothing else.
fn unzstd(body: &[u8], came: usize, growth: Growth) -> Result<Vec<u8>, NetError> {
    let mut out = Vec::new();
    let mut frames = zstd::stream::read::Decoder::with_buffer(body).map_err(|e| damaged(&e))?;
    frames.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| damaged(&error))?;
    unpack(&mut frames, &mut out, came, growth)?;
    Ok(out)
}

/// RFC 7932, by its stream interface: the reader that the crate offers does not say what is left.
fn unbrotli(body: &[u8], came: usize, growth: Growth) -> Result<Vec<u8>, NetError> {
    let memory = StandardAlloc::default;
    let mut state = BrotliState::new(memory(), memory(), memory());
    let (mut left, mut at, mut written) = (body.len(), 0, 0);
    let (mut out, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        let (mut free, mut filled) = (piece.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut at,
            body,
            &mut free,
            &mut filled,
            &mut piece,
            &mut written,
            &mut state,
        );
        out.extend_from_slice(&piece[..filled]);
        if out.len() as u64 > growth.room(came) {
            return Err(growth.exceeded(came));
        }
        match result {
            BrotliResult::ResultSuccess if left == 0 => return Ok(out),
            BrotliResult::ResultSuccess => return Err(junk()),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput => {
                return Err(damaged(&io::ErrorKind::UnexpectedEof.into()));
            }
            BrotliResult::ResultFailure => {
                return Err(damaged(&io::ErrorKind::InvalidData.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &[u8] = br#"{"data":[{"id":1,"note":"the first of several"}]}"#;
    const WIDE: Growth = Growth { bytes_max: 64 << 20, ratio_max: 200 };

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(text).expect("memory takes all");
        out.finish().expect("memory takes all")
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 3).expect("memory takes all")
    }

    /// A brotli stream of uncompressed pieces (RFC 7932, section 9.2), written by hand: the crate
    /// that compresses is not needed otherwise.
    fn brotli(text: &[u8]) -> Vec<u8> {
        assert!(text.len() <= 1 << 16, "one piece");
        // WBITS 16 is one bit 0; then ISLAST 0, MNIBBLES 0 (4), MLEN - 1, ISUNCOMPRESSED 1.
        let head = ((text.len() as u32 - 1) << 4) | (1 << 20);
        let mut out = head.to_le_bytes()[..3].to_vec();
        out.extend_from_slice(text);
        // ISLAST 1, ISLASTEMPTY 1.
        out.push(0b11);
        out
    }

    fn decoded(named: &str, body: Vec<u8>) -> Result<Vec<u8>, NetKind> {
        decode(&[named.to_owned()], body, WIDE).map_err(|error| error.kind)
    }

    type Coder = fn(&[u8]) -> Vec<u8>;
    const CODERS: [(&str, Coder); 3] = [("gzip", gzip), ("zstd", zstd), ("br", brotli)];

    #[test]
    fn each_coding_gives_what_was_put_in() {
        for (name, coder) in CODERS {
            assert_eq!(decoded(name, coder(TEXT)).as_deref(), Ok(TEXT), "{name}");
        }
        assert_eq!(decoded("identity", TEXT.to_vec()).as_deref(), Ok(TEXT));
        assert_eq!(decoded("X-GZIP", gzip(TEXT)).as_deref(), Ok(TEXT));
        assert_eq!(decoded("br, gzip", gzip(&brotli(TEXT))).as_deref(), Ok(TEXT));
        assert_eq!(decoded("gzip", Vec::new()).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn every_cut_is_noticed_and_what_follows_the_end_too() {
        for (name, coder) in CODERS {
            let whole = coder(TEXT);
            for length in 1..whole.len() {
                let cut = decoded(name, whole[..length].to_vec());
                assert_eq!(cut, Err(NetKind::Cut), "{name} cut at {length}");
            }
            let long = decoded(name, [&whole[..], b"junk"].concat());
            assert!(long.is_err(), "{name}: {long:?}");
        }
    }

    #[test]
    fn several_members_are_one_text() {
        let (head, tail) = TEXT.split_at(20);
        for (name, coder) in [CODERS[0], CODERS[1]] {
            let body = [coder(head), coder(tail)].concat();
            assert_eq!(decoded(name, body).as_deref(), Ok(TEXT), "{name}");
        }
    }

    #[test]
    fn growth_is_bounded_by_size_and_by_ratio() {
        let blanks = vec![b' '; 8 << 20];
        for (name, coder) in [CODERS[0], CODERS[1]] {
            assert_eq!(decoded(name, coder(&blanks)), Err(NetKind::Swollen), "{name}");
            assert!(
                decoded(name, coder(&blanks[..1 << 20])).is_ok(),
                "{name}: small ones are free"
            );
            let small = Growth { bytes_max: 1_000, ratio_max: u64::MAX };
            let small = decode(&[name.to_owned()], coder(&blanks), small);
            assert_eq!(small.map_err(|error| error.kind), Err(NetKind::TooLarge), "{name}");
            let patient = Growth { bytes_max: 8 << 20, ratio_max: 100_000 };
            assert!(decode(&[name.to_owned()], coder(&blanks), patient).is_ok(), "{name}");
        }
    }

    #[test]
    fn codings_that_were_not_asked_for_are_refused() {
        assert_eq!(decoded("compress", TEXT.to_vec()), Err(NetKind::Undecodable));
        assert_eq!(decoded("gzip, gzip, gzip", gzip(TEXT)), Err(NetKind::Undecodable));
    }
}

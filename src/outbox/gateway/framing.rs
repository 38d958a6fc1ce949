//! Where requests end: a second look at the bytes that come in.
//!
//! The server library takes a `Content-Length` that stands there twice for one, and lets
//! `Transfer-Encoding` win over it, as RFC 9112 allows (sections 6.1 and 6.3). Whoever stands in
//! front may read it the other way, and see another request in the same bytes. So the heads are
//! looked at once more as they pass; no byte is changed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest head of a request, bytes: a path and the headers that an entry may have.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most headers of a request: those that an entry may have, and HTTP's own.
pub(super) const HEADERS_MAX: usize = 96;

/// Follows the requests of one connection.
struct Follower {
    state: State,
    ambiguous: Arc<AtomicBool>,
}

enum State {
    /// In a head, of which this came.
    Head(Vec<u8>),
    /// In a body of which so many bytes are missing.
    Body(u64),
    /// Nothing more is followed: the connection ends with this request.
    Last,
}

impl Follower {
    fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Last => return,
                State::Body(missing) => {
                    let part = (*missing).min(bytes.len() as u64);
                    *missing -= part;
                    bytes = &bytes[usize::try_from(part).unwrap_or(bytes.len())..];
                    if *missing == 0 {
                        self.state = State::Head(Vec::new());
                    }
                }
                State::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(bytes);
                    let Some((length, framing)) = framing_of(head) else { return };
                    bytes = &bytes[length.saturating_sub(before).min(bytes.len())..];
                    self.state = match framing {
                        Framing::Length(0) => State::Head(Vec::new()),
                        Framing::Length(length) => State::Body(length),
                        Framing::Chunked | Framing::Unreadable => State::Last,
                        Framing::Ambiguous => {
                            self.ambiguous.store(true, Ordering::Relaxed);
                            State::Last
                        }
                    };
                }
            }
        }
    }
}

/// How a request says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// After so many bytes of a body.
    Length(u64),
    /// By chunks.
    Chunked,
    /// In two ways.
    Ambiguous,
    /// It is no request; the server says so itself.
    Unreadable,
}

/// The length of a whole head and what it says, or none where some of it is missing.
fn framing_of(head: &[u8]) -> Option<(usize, Framing)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(head) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if head.len() <= HEAD_BYTES_MAX => return None,
        _ => return Some((head.len(), Framing::Unreadable)),
    };
    let of = |name: &str| {
        let headers = request.headers.iter();
        let of: Vec<&[u8]> = headers
            .filter(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
            .collect();
        of
    };
    let framing = match (of("content-length").as_slice(), of("transfer-encoding").as_slice()) {
        ([], []) => Framing::Length(0),
        ([], [_]) => Framing::Chunked,
        ([value], []) => match std::str::from_utf8(value).ok().filter(|text| is_digits(text)) {
            Some(text) => text.parse().map_or(Framing::Unreadable, Framing::Length),
            None => Framing::Ambiguous,
        },
        _ => Framing::Ambiguous,
    };
    Some((length, framing))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A connection whose requests are followed.
pub(super) struct Followed<S> {
    stream: S,
    follower: Follower,
}

impl<S> Followed<S> {
    /// Follows `stream`; the switch turns once a request of it ends in two ways.
    pub(super) fn new(stream: S) -> (Self, Arc<AtomicBool>) {
        let ambiguous = Arc::new(AtomicBool::new(false));
        let state = State::Head(Vec::new());
        let follower = Follower { state, ambiguous: Arc::clone(&ambiguous) };
        (Self { stream, follower }, ambiguous)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Followed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.follower.see(&buffer.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Followed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a request in these bytes ends in two ways, however they are cut up.
    fn ambiguous(text: &str) -> bool {
        let seen = |pieces: Vec<&[u8]>| {
            let ambiguous = Arc::new(AtomicBool::new(false));
            let mut follower =
                Follower { state: State::Head(Vec::new()), ambiguous: Arc::clone(&ambiguous) };
            pieces.into_iter().for_each(|piece| follower.see(piece));
            ambiguous.load(Ordering::Relaxed)
        };
        let whole = seen(vec![text.as_bytes()]);
        for size in [1, 3, 7] {
            assert_eq!(seen(text.as_bytes().chunks(size).collect()), whole, "{text:?}");
        }
        whole
    }

    #[test]
    fn a_request_ends_in_one_way() {
        let head = "POST / HTTP/1.1\r\nhost: a\r\n";
        let cases = [
            ("\r\n", false),
            ("content-length: 2\r\n\r\n{}", false),
            ("transfer-encoding: chunked\r\n\r\n", false),
            ("content-length: 2\r\ncontent-length: 2\r\n\r\n{}", true),
            ("Content-Length: 2\r\nCONTENT-LENGTH: 3\r\n\r\n{}", true),
            ("content-length: 2, 2\r\n\r\n{}", true),
            ("content-length: +2\r\n\r\n{}", true),
            ("content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", true),
            ("transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n", true),
            ("transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n", true),
        ];
        for (rest, expected) in cases {
            let text = format!("{head}{rest}");
            assert_eq!(ambiguous(&text), expected, "{rest:?}");
            // The same as the second request of a connection.
            let second = format!("{head}content-length: 2\r\n\r\n{{}}{text}");
            assert_eq!(ambiguous(&second), expected, "{rest:?}");
        }
        // What stands in a body is no head.
        let body = "content-length: 2\r\ncontent-length: 2\r\n\r\n";
        assert!(!ambiguous(&format!("{head}content-length: {}\r\n\r\n{body}", body.len())));
    }
}

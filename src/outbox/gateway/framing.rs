//! Where requests end: the heads that come in are checked before the server library has them.
//!
//! The library is lenient, as RFC 9112 allows: it takes lines that end with a bare LF, a
//! `Content-Length` that stands there twice, codings besides `chunked`. Whoever stands in front may
//! read the same bytes in another way, and see another request in them. So each head of a
//! connection can be read in one way only, or is refused: then the library gets a request of our
//! own in its place, which is answered with what is wrong, and the connection ends.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::problem::{GatewayProblem, GatewayProblemKind};

/// The longest head of a request, bytes: a path and the headers that an entry may have.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most headers of a request: those that an entry may have, and HTTP's own.
pub(crate) const HEADERS_MAX: usize = 96;
/// The most digits of a length: as many as a `u64` holds for certain.
const LENGTH_DIGITS_MAX: usize = 19;
/// How much is read at once, bytes: each connection has such a buffer, and a smaller one costs more
/// calls for a body.
const READ_BYTES: usize = 16 * 1024;
/// What the library is given in the place of a request that is refused.
const IN_ITS_PLACE: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// What is wrong with a head.
type Refused = (GatewayProblemKind, &'static str);

const fn invalid(detail: &'static str) -> Refused {
    (GatewayProblemKind::RequestInvalid, detail)
}

const fn ambiguous(detail: &'static str) -> Refused {
    (GatewayProblemKind::FramingAmbiguous, detail)
}

/// How a request says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// After so many bytes of a body.
    Length(u64),
    /// By chunks. The connection ends with it.
    Chunked,
}

/// The length of the whole head at the beginning of `bytes`; none where some of it is missing.
/// `seen` bytes of it were looked at before.
fn end_of_head(bytes: &[u8], seen: usize) -> Result<Option<usize>, Refused> {
    for at in seen.saturating_sub(1)..bytes.len() {
        match bytes[at] {
            b'\n' if at == 0 || bytes[at - 1] != b'\r' => {
                return Err(invalid("a line of the head ends without a carriage return"));
            }
            b'\n' if bytes[..=at].ends_with(b"\r\n\r\n") => return Ok(Some(at + 1)),
            b'\r' if bytes.get(at + 1).is_some_and(|next| *next != b'\n') => {
                return Err(invalid("a line of the head holds a carriage return"));
            }
            _ if at >= HEAD_BYTES_MAX => return Err(invalid("the head is too long")),
            _ => {}
        }
    }
    Ok(None)
}

/// Checks a whole head, which ends with an empty line.
fn check(head: &[u8]) -> Result<Framing, Refused> {
    let text = &head[..head.len() - 4];
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| {
        // Each line but the last has its carriage return still.
        line.strip_suffix(b"\r").unwrap_or(line)
    });
    let is_old = check_request_line(lines.next().unwrap_or_default())?;
    let (mut lengths, mut codings, mut count) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        let (name, value) = header(line)?;
        count += 1;
        if count > HEADERS_MAX {
            return Err(invalid("the request has too many headers"));
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths.push(value);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings.push(value);
        }
    }
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Framing::Length(0)),
        ([length], []) => length_of(length).map(Framing::Length),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && !is_old => {
            Ok(Framing::Chunked)
        }
        ([], [_]) => Err(ambiguous("its body has an unsupported coding: use `chunked` alone")),
        _ => Err(ambiguous("it has more than one length; nothing was kept or sent")),
    }
}

/// Whether the request is of HTTP/1.0.
fn check_request_line(line: &[u8]) -> Result<bool, Refused> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(invalid("the first line is not METHOD TARGET VERSION with one space between"));
    };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(invalid("the method is none"));
    }
    let visible = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
    if target.is_empty() || !target.iter().all(visible) {
        return Err(invalid("the target has characters that no address has"));
    }
    if target[0] != b'/' {
        return Err(invalid("the gateway is no proxy: ask it for a path alone"));
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(invalid("the version is not HTTP/1.1")),
    }
}

fn header(line: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(invalid("a header is folded over two lines"));
    }
    let colon = line.iter().position(|byte| *byte == b':');
    let colon = colon.ok_or(invalid("a header has no colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(invalid("the name of a header is none, or a space stands before its colon"));
    }
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(invalid("a header holds a control character"));
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |at| at + 1);
    Ok((name, &value[start..end]))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn length_of(value: &[u8]) -> Result<u64, Refused> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let plain = value.len() == 1 || value.first() != Some(&b'0');
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= LENGTH_DIGITS_MAX);
    let length = text.filter(|_| digits && plain).and_then(|text| text.parse().ok());
    length.ok_or(ambiguous("its length is not one number in plain digits"))
}

/// What the bytes that come next belong to.
enum FrameState {
    /// A head, of which so many bytes were looked at, and whether an empty line came before it.
    Head(usize, bool),
    /// A body of which so many bytes are missing.
    Body(u64),
    /// A body that ends by itself; the connection ends with it.
    Last,
    /// Nothing: a request was refused.
    Refused,
}

/// Takes bytes as they come and gives those that the library may have.
struct HeadGuard {
    state: FrameState,
    /// What came and was not given yet.
    came: Vec<u8>,
    /// What may be given, from `given` on.
    good: Vec<u8>,
    given: usize,
    refusal: HeadRefusal,
}

/// Where it is said what is wrong with the request that was refused.
#[derive(Clone, Default)]
pub(crate) struct HeadRefusal(Arc<Mutex<Option<Refused>>>);

impl HeadRefusal {
    /// What is wrong, once a request of the connection was refused.
    pub(crate) fn problem(&self) -> Option<GatewayProblem> {
        let refused = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.map(|(kind, detail)| GatewayProblem::new(kind, detail).closing())
    }
}

impl HeadGuard {
    fn new(refusal: HeadRefusal) -> Self {
        let (came, good) = (Vec::new(), Vec::new());
        Self { state: FrameState::Head(0, false), came, good, given: 0, refusal }
    }

    /// Looks at what came; gives whether there is something to give.
    fn advance(&mut self) -> bool {
        while self.given == self.good.len() {
            self.good.clear();
            self.given = 0;
            if self.came.is_empty() {
                return false;
            }
            match self.state {
                FrameState::Refused => {
                    self.came.clear();
                    return false;
                }
                FrameState::Last => std::mem::swap(&mut self.good, &mut self.came),
                FrameState::Body(missing) => {
                    let part = usize::try_from(missing).unwrap_or(usize::MAX);
                    let part = part.min(self.came.len());
                    self.good.extend(self.came.drain(..part));
                    self.state = match missing - part as u64 {
                        0 => FrameState::Head(0, false),
                        missing => FrameState::Body(missing),
                    };
                }
                FrameState::Head(seen, blank) => match self.head(seen, blank) {
                    Ok(true) => {}
                    Ok(false) => return false,
                    Err(refused) => self.refuse(refused),
                },
            }
        }
        true
    }

    /// Whether the head that is coming is whole.
    fn head(&mut self, seen: usize, mut blank: bool) -> Result<bool, Refused> {
        // RFC 9112, section 2.2: an empty line before a request is passed over.
        if seen == 0 && !blank && self.came == b"\r" {
            return Ok(false);
        }
        if seen == 0 && !blank && self.came.starts_with(b"\r\n") {
            self.came.drain(..2);
            blank = true;
        }
        let Some(length) = end_of_head(&self.came, seen)? else {
            self.state = FrameState::Head(self.came.len(), blank);
            return Ok(false);
        };
        self.state = match check(&self.came[..length])? {
            Framing::Length(0) => FrameState::Head(0, false),
            Framing::Length(length) => FrameState::Body(length),
            Framing::Chunked => FrameState::Last,
        };
        self.good.extend(self.came.drain(..length));
        Ok(true)
    }

    fn refuse(&mut self, refused: Refused) {
        *self.refusal.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
        self.came.clear();
        self.good.extend(IN_ITS_PLACE);
        self.state = FrameState::Refused;
    }

    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let part = (self.good.len() - self.given).min(buffer.remaining());
        buffer.put_slice(&self.good[self.given..self.given + part]);
        self.given += part;
    }
}

/// A connection whose heads are checked.
pub(crate) struct Guarded<S> {
    stream: S,
    guard: HeadGuard,
}

impl<S> Guarded<S> {
    /// Guards `stream`, and where it is said what was refused.
    pub(crate) fn new(stream: S) -> (Self, HeadRefusal) {
        let refusal = HeadRefusal::default();
        (Self { stream, guard: HeadGuard::new(refusal.clone()) }, refusal)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.guard.advance() {
                self.guard.give(buffer);
                return Poll::Ready(Ok(()));
            }
            let mut room = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            let is_over = read.filled().is_empty();
            match (is_over, &self.guard.state) {
                // What is said of a refused request is on its way still.
                (true, FrameState::Refused) => return Poll::Pending,
                (true, _) => return Poll::Ready(Ok(())),
                (false, _) => self.guard.came.extend(read.filled()),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
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

    /// What the library gets of these bytes, and what was refused, however they are cut up.
    fn passed(text: &[u8]) -> (Vec<u8>, Option<GatewayProblemKind>) {
        let seen = |pieces: Vec<&[u8]>| {
            let mut guard = HeadGuard::new(HeadRefusal::default());
            let mut all = Vec::new();
            for piece in pieces {
                guard.came.extend(piece);
                while guard.advance() {
                    let mut room = [0; 7];
                    let mut buffer = ReadBuf::new(&mut room);
                    guard.give(&mut buffer);
                    all.extend(buffer.filled());
                }
            }
            (all, guard.refusal.problem().map(|problem| problem.kind))
        };
        let whole = seen(vec![text]);
        for size in [1, 3, 7] {
            assert_eq!(seen(text.chunks(size).collect()), whole, "{:?}", text.escape_ascii());
        }
        whole
    }

    fn kind(text: &[u8]) -> Option<GatewayProblemKind> {
        passed(text).1
    }

    #[test]
    fn a_request_ends_in_one_way() {
        let head = "POST / HTTP/1.1\r\nhost: a\r\n";
        let cases = [
            ("\r\n", false),
            ("content-length: 2\r\n\r\n{}", false),
            ("content-length: 0\r\n\r\n", false),
            ("transfer-encoding: chunked\r\n\r\n", false),
            ("transfer-encoding:Chunked \r\n\r\n", false),
            ("content-length: 2\r\ncontent-length: 2\r\n\r\n{}", true),
            ("Content-Length: 2\r\nCONTENT-LENGTH: 3\r\n\r\n{}", true),
            ("content-length: 2, 2\r\n\r\n{}", true),
            ("content-length: +2\r\n\r\n{}", true),
            ("content-length: -2\r\n\r\n{}", true),
            ("content-length: 02\r\n\r\n{}", true),
            ("content-length: 0x2\r\n\r\n{}", true),
            ("content-length: 2 2\r\n\r\n{}", true),
            ("content-length: \r\n\r\n{}", true),
            ("content-length: 99999999999999999999\r\n\r\n{}", true),
            ("content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", true),
            ("transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n", true),
            ("transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n", true),
            ("transfer-encoding: gzip, chunked\r\n\r\n", true),
            ("transfer-encoding: chunked, chunked\r\n\r\n", true),
            ("transfer-encoding: chunked, identity\r\n\r\n", true),
            ("transfer-encoding: identity\r\n\r\n", true),
            ("transfer-encoding: \"chunked\"\r\n\r\n", true),
            ("transfer-encoding: chunked;q=1\r\n\r\n", true),
            ("transfer-encoding: x\x0bchunked\r\n\r\n", true),
            ("transfer-encoding: \r\n\r\n", true),
        ];
        for (rest, expected) in cases {
            let text = format!("{head}{rest}");
            assert_eq!(kind(text.as_bytes()).is_some(), expected, "{rest:?}");
            // The same as the second request of a connection.
            let second = format!("{head}content-length: 2\r\n\r\n{{}}{text}");
            assert_eq!(kind(second.as_bytes()).is_some(), expected, "{rest:?}");
        }
        let old = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(kind(old.as_bytes()), Some(GatewayProblemKind::FramingAmbiguous));
        // What stands in a body is no head.
        let body = "content-length: 2\ncontent-length: 2\r\n\r\n";
        let text = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        assert_eq!(passed(text.as_bytes()), (text.clone().into_bytes(), None));
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
        assert_eq!(passed(chunked.as_bytes()), (chunked.clone().into_bytes(), None));
    }

    #[test]
    fn a_head_has_one_fetch_or_none() {
        let good: [&[u8]; 5] = [
            b"GET /a?b=%20 HTTP/1.1\r\nhost: a\r\nx:\r\ny: \xc3\xa9\tb \r\n\r\n",
            b"GET / HTTP/1.0\r\nhost: a\r\n\r\n",
            b"M-SEARCH / HTTP/1.1\r\n\r\n",
            b"\r\nGET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ];
        for text in good {
            assert_eq!(kind(text), None, "{:?}", text.escape_ascii());
        }
        let bad: [&[u8]; 30] = [
            b"\nGET / HTTP/1.1\r\n\r\n",
            b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\n\n",
            b"GET / HTTP/1.1\nhost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\r\n\n",
            b"GET / HTTP/1.1\r\nhost: a\rb: c\r\n\r\n",
            b"GET / HTTP/1.1\r\r\nhost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\r\n\tb\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost\t: a\r\n\r\n",
            b"GET / HTTP/1.1\r\n: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nh\xc3\xb6st: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\0\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\x0b\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: a\x7f\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET /  HTTP/1.1\r\n\r\n",
            b"GET\t/ HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1 \r\n\r\n",
            b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
            b"GET /a#b HTTP/1.1\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET / http/1.1\r\n\r\n",
            b"GET /\r\n\r\n",
        ];
        for text in bad {
            assert_eq!(
                kind(text),
                Some(GatewayProblemKind::RequestInvalid),
                "{:?}",
                text.escape_ascii()
            );
        }
        // Nothing of what is refused gets through, and nothing after it.
        let smuggled = b"GET /a HTTP/1.1\nhost: a\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
        assert_eq!(
            passed(smuggled),
            (IN_ITS_PLACE.to_vec(), Some(GatewayProblemKind::RequestInvalid))
        );
    }

    #[test]
    fn a_head_has_its_limits() {
        let head = |headers: usize, bytes: usize| {
            let each: String = (0..headers).map(|_| "a: b\r\n").collect();
            format!("GET / HTTP/1.1\r\n{each}x: {}\r\n\r\n", "y".repeat(bytes))
        };
        assert_eq!(kind(head(HEADERS_MAX - 1, 0).as_bytes()), None);
        assert_eq!(kind(head(HEADERS_MAX, 0).as_bytes()), Some(GatewayProblemKind::RequestInvalid));
        assert_eq!(kind(head(0, HEAD_BYTES_MAX - 100).as_bytes()), None);
        assert_eq!(
            kind(head(0, HEAD_BYTES_MAX).as_bytes()),
            Some(GatewayProblemKind::RequestInvalid)
        );
        assert_eq!(
            kind("x".repeat(HEAD_BYTES_MAX + 1).as_bytes()),
            Some(GatewayProblemKind::RequestInvalid)
        );
    }
}

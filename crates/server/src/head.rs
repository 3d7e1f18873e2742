//! Heads that are not taken: too large, or no HTTP.
//!
//! One that can be read and is too large is refused in the shape of its path, as everything else is. What hyper cannot read,
//! or will not hold, it answers by itself with a status and no more; [`Answered`] puts a whole answer in its place, so that
//! this client too has a reason and a request id.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use bytes::{Buf, Bytes};
use pin_project_lite::pin_project;
use steelyard_core::{ApiError, ErrorCode, RequestId};
use steelyard_dialect::Dialect;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::dialect::call::count_error;

/// A head of so many bytes is taken: its line and its headers.
const MOST: usize = 64 << 10;
/// So much of a head is read, so that one that is too large can be refused in the shape of its path.
pub(crate) const READ: usize = 2 * MOST;

/// Refuses a head that is too large.
pub(crate) fn check(request: &Request) -> Result<(), ApiError> {
    let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    // A colon, a space and the end of the line.
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    if line + headers.sum::<usize>() <= MOST { Ok(()) } else { Err(too_large()) }
}

fn too_large() -> ApiError {
    let text = format!(
        "the request line and the headers are larger than {MOST} bytes, or more than 100: what is long belongs into the body"
    );
    ApiError::new(ErrorCode::HeadTooLarge, text)
}

pin_project! {
    /// The stream of a connection, on which what hyper says before any request could be read becomes a whole answer.
    pub(crate) struct Answered<S> {
        #[pin]
        stream: S,
        heard: Arc<AtomicBool>,
        // What is still to be written in place of hyper's own.
        instead: Option<Bytes>,
    }
}

impl<S> Answered<S> {
    /// `heard` is set as soon as a request could be read on this connection.
    pub(crate) fn new(stream: S, heard: Arc<AtomicBool>) -> Self {
        Self { stream, heard, instead: None }
    }
}

/// The whole answer that belongs in the place of a bare one; none for what is no refusal, as the first frames of HTTP/2.
fn whole(bare: &[u8]) -> Option<Bytes> {
    let error = match bare.get(..13)? {
        b"HTTP/1.1 400 " => {
            let text = "this is no HTTP: the request line or a header cannot be read";
            ApiError::new(ErrorCode::MalformedHead, text)
        }
        b"HTTP/1.1 414 " | b"HTTP/1.1 431 " => too_large(),
        _ => return None,
    };
    // Whose path it is cannot be said, so it is nobody's, as an unknown one.
    let (dialect, id) = (Dialect::OpenAiChat, RequestId::new());
    count_error(dialect, &error);
    let (_, body) = dialect.error_body(&error, &id);
    let head = std::str::from_utf8(bare).ok()?;
    let kept = head.lines().filter(|line| !line.is_empty() && !line.starts_with("content-length"));
    let kept = kept.flat_map(|line| [line, "\r\n"]).collect::<String>();
    let length = body.len();
    let answer = format!(
        "{kept}content-type: application/json\r\ncontent-length: {length}\r\nx-request-id: {id}\r\n\
         x-steelyard-request-id: {id}\r\n\r\n"
    );
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(&body);
    Some(answer.into())
}

impl<S: AsyncRead> AsyncRead for Answered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_read(cx, buf)
    }
}

impl<S: AsyncWrite> AsyncWrite for Answered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut this = self.project();
        if this.instead.is_none() && !this.heard.load(Ordering::Relaxed) {
            *this.instead = whole(bytes);
        }
        let Some(rest) = this.instead else { return this.stream.poll_write(cx, bytes) };
        while rest.has_remaining() {
            match ready!(this.stream.as_mut().poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => rest.advance(count),
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.heard.load(Ordering::Relaxed) {
            return self.project().stream.poll_write_vectored(cx, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }
}

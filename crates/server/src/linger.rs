//! A connection that is closed after its last answer has arrived.
//!
//! A server that closes while the client still sends makes the client's machine throw away what it has received: the
//! answer "too large" is lost with it. So the end of sending is told first, and what still comes is read and dropped,
//! within limits, until the client closes too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// So long is waited for the client to close.
const LIMIT: Duration = Duration::from_secs(2);
/// So much of what it still sends is read.
const MOST: usize = 32 << 20;

pin_project! {
    /// A stream whose shutdown waits for the other side. What was read of it before is read again first.
    pub(crate) struct Lingering<S> {
        begun: Bytes,
        #[pin]
        stream: S,
        closing: Option<Pin<Box<Sleep>>>,
        unread: usize,
    }
}

impl<S> Lingering<S> {
    pub(crate) fn new(begun: Bytes, stream: S) -> Self {
        Self { begun, stream, closing: None, unread: 0 }
    }
}

impl<S: AsyncRead> AsyncRead for Lingering<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        if !this.begun.is_empty() {
            let count = this.begun.len().min(buf.remaining());
            buf.put_slice(&this.begun.split_to(count));
            return Poll::Ready(Ok(()));
        }
        this.stream.poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncWrite for Lingering<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        if this.closing.is_none() {
            ready!(this.stream.as_mut().poll_shutdown(cx))?;
        }
        let limit = this.closing.get_or_insert_with(|| Box::pin(tokio::time::sleep(LIMIT)));
        let mut scratch = [0; 8 << 10];
        while *this.unread < MOST && limit.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(this.stream.as_mut().poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => *this.unread += buf.filled().len(),
                // The client has closed, or is gone: either way the answer is out.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steelyard_gateway::Tasks;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn closing_reads_on_until_the_other_side_closes_or_the_limit_is_reached() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let closing = Tasks::default().spawn(async move {
            let mut ours = Lingering::new(Bytes::new(), ours);
            ours.write_all(b"too large").await?;
            ours.shutdown().await
        });
        let mut answer = [0; 9];
        theirs.read_exact(&mut answer).await.unwrap();
        theirs.write_all(&[b'x'; 1000]).await.unwrap();
        assert!(!closing.is_finished(), "what still comes is read");
        drop(theirs);
        closing.await.unwrap().unwrap().unwrap();

        let (ours, _theirs) = tokio::io::duplex(64);
        let begun = tokio::time::Instant::now();
        Lingering::new(Bytes::new(), ours).shutdown().await.unwrap();
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test]
    async fn what_was_read_before_comes_first() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b" / HTTP/1.1").await.unwrap();
        drop(theirs);
        let mut text = String::new();
        let mut stream = Lingering::new(Bytes::from_static(b"GET"), ours);
        assert_eq!(stream.read(&mut [0; 2]).await.unwrap(), 2);
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "T / HTTP/1.1");
    }
}

//! The scripted upstream: answers every call at once with the same bytes, so that what is measured is the proxy.
//!
//! One thread, no framework: a request is found by its head and its length, and never parsed as JSON. A whole call
//! gets 1 KB; a stream gets its content chunks in one write each, giving way to other connections in between.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::wire;

/// The path that tells how many calls were answered.
pub(crate) const COUNT_PATH: &str = "/count";

/// How long the upstream rests after the first chunk, when asked to.
const REST: Duration = Duration::from_millis(2);

/// Serves until it is killed; prints its address first.
#[expect(clippy::print_stdout, reason = "the parent reads the address from there")]
#[expect(clippy::disallowed_methods, reason = "the process is killed, and waits for nothing")]
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("the upstream has no port")?;
    println!("{}", listener.local_addr()?);
    let script = Arc::new(Script::new());
    loop {
        let (socket, _) = listener.accept().await?;
        let script = Arc::clone(&script);
        // A connection that breaks is the proxy's affair; what it lost shows at the client.
        tokio::spawn(async move { script.converse(socket).await });
    }
}

struct Script {
    whole: Vec<u8>,
    stream: Vec<Vec<u8>>,
    stream_with_usage: Vec<Vec<u8>>,
    answered: AtomicU64,
}

impl Script {
    fn new() -> Self {
        let answer = wire::whole_answer();
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req-bench\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        let framed = |usage| {
            let mut events: Vec<_> = wire::stream_answer(usage)
                .iter()
                .map(|event| format!("{:x}\r\n{event}\r\n", event.len()).into_bytes())
                .collect();
            if let Some(last) = events.last_mut() {
                last.extend_from_slice(b"0\r\n\r\n");
            }
            events
        };
        Self {
            whole: whole.into_bytes(),
            stream: framed(false),
            stream_with_usage: framed(true),
            answered: AtomicU64::new(0),
        }
    }

    async fn converse(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(64 * 1024);
        loop {
            let request = loop {
                if let Some(request) = Request::find(&buffer)? {
                    break request;
                }
                if socket.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            };
            self.answer(&mut socket, request.ask(&buffer)).await?;
            buffer.drain(..request.end);
        }
    }

    async fn answer(&self, socket: &mut TcpStream, ask: Ask) -> io::Result<()> {
        match ask {
            Ask::Count => {
                let count = self.answered.load(Ordering::Relaxed).to_string();
                let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{count}", count.len());
                return socket.write_all(text.as_bytes()).await;
            }
            Ask::Whole => socket.write_all(&self.whole).await?,
            Ask::Stream { usage, rest } => {
                const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req-bench\r\ntransfer-encoding: chunked\r\n\r\n";
                socket.write_all(HEAD).await?;
                let events = if usage { &self.stream_with_usage } else { &self.stream };
                for (number, event) in events.iter().enumerate() {
                    socket.write_all(event).await?;
                    if rest && number == 0 {
                        tokio::time::sleep(REST).await;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Count,
    Whole,
    Stream { usage: bool, rest: bool },
}

/// Where a complete request lies in the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// Where its body begins.
    pub(crate) body: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

impl Request {
    /// The first request in the buffer, once it is there to its last byte.
    pub(crate) fn find(buffer: &[u8]) -> io::Result<Option<Self>> {
        let Some(body) = memmem::find(buffer, b"\r\n\r\n").map(|head| head + 4) else { return Ok(None) };
        let length = content_length(&buffer[..body])
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a request without content-length"))?;
        let end = body + length;
        Ok((end <= buffer.len()).then_some(Self { body, end }))
    }

    fn ask(self, buffer: &[u8]) -> Ask {
        if buffer.starts_with(b"GET ") {
            return Ask::Count;
        }
        let body = &buffer[self.body..self.end];
        // The options stand at the end of the body, behind the messages.
        let options = &body[body.len().saturating_sub(256)..];
        if !holds(options, b"\"stream\":true") {
            return Ask::Whole;
        }
        Ask::Stream {
            usage: holds(body, b"\"include_usage\":true"),
            rest: holds(options, wire::REST.as_bytes()),
        }
    }
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    memmem::find(text, part).is_some()
}

/// The body length a head declares; a GET has none. `None`: a body whose length cannot be told.
fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let value = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))
        .map(|line| &line[NAME.len()..]);
    match value {
        Some(value) => std::str::from_utf8(value).ok()?.trim().parse().ok(),
        None => head.starts_with(b"GET ").then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &str) -> Ask {
        let request = wire::request("h", "k", body);
        assert!(Request::find(&request[..request.len() - 1]).unwrap().is_none());
        Request::find(&request).unwrap().unwrap().ask(&request)
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(ask(&wire::small_call()), Ask::Whole);
        assert_eq!(ask(&wire::large_call()), Ask::Whole);
        assert_eq!(ask(&wire::stream_call(true, false)), Ask::Stream { usage: true, rest: false });
        assert_eq!(ask(&wire::stream_call(false, true)), Ask::Stream { usage: false, rest: true });
    }

    #[test]
    fn a_body_without_a_length_is_refused() {
        let chunked = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        assert!(Request::find(chunked).is_err());
        let count = b"GET /count HTTP/1.1\r\nhost: h\r\n\r\n";
        assert_eq!(Request::find(count).unwrap().unwrap().ask(count), Ask::Count);
    }
}

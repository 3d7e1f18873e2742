//! The upstream of the kill test, of two wires: takes its time, misbehaves when told to, and remembers what it saw.
//!
//! A call's first message is its [`Order`], which every translation keeps; its marker comes back as the vendor's own
//! request id.

mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::history::{Seen, Tokens};
use crate::bench::upstream::Request;
use wire::Wire;

/// How the upstream is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// Milliseconds before the answer begins.
    pub(crate) wait_ms: u64,
    /// Content chunks, if it is a stream.
    pub(crate) chunks: u32,
    /// Milliseconds between two chunks.
    pub(crate) pause_ms: u64,
    /// What goes wrong.
    pub(crate) fault: Fault,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It answers 500.
    Refuse,
    /// It hangs up halfway.
    Cut,
}

/// What the text of a call's first message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Which call it is.
    pub(crate) marker: String,
    /// How it is to be answered.
    pub(crate) script: Script,
}

#[derive(Deserialize)]
struct Body {
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<Options>,
}

impl Body {
    fn order(&self) -> io::Result<Order> {
        let text = match self.messages.first().map(|message| &message.content) {
            Some(Content::Text(text)) => text.as_str(),
            Some(Content::Parts(parts)) => parts.first().map_or("", |part| part.text.as_str()),
            None => "",
        };
        Ok(serde_json::from_str(text)?)
    }
}

#[derive(Deserialize)]
struct Message {
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: String,
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    include_usage: bool,
}

/// A running upstream; it ends with the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<BTreeMap<String, Seen>>>,
}

impl Upstream {
    /// Starts it on a port of its own.
    #[expect(clippy::disallowed_methods, reason = "it ends with the process, which waits for nothing")]
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("the upstream has no port")?;
        let upstream = Self { address: listener.local_addr()?, seen: Arc::default() };
        let serving = upstream.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let upstream = serving.clone();
                // A connection ends when the server is killed: that is what the test is for.
                tokio::spawn(async move { upstream.converse(socket).await });
            }
        });
        Ok(upstream)
    }

    /// What it saw so far, by marker.
    pub(crate) fn seen(&self) -> BTreeMap<String, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, marker: &str, change: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        change(seen.entry(marker.to_owned()).or_default());
    }

    async fn converse(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = Vec::new();
        loop {
            let request = loop {
                if let Some(request) = Request::find(&buffer)? {
                    break request;
                }
                if socket.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            };
            let wire = Wire::of(&buffer);
            let body: Body = serde_json::from_slice(&buffer[request.body..request.end])?;
            buffer.drain(..request.end);
            self.answer(&mut socket, wire, &body).await?;
        }
    }

    async fn answer(&self, socket: &mut TcpStream, wire: Wire, body: &Body) -> io::Result<()> {
        let Order { marker, script } = &body.order()?;
        self.note(marker, |seen| seen.attempts += 1);
        tokio::time::sleep(Duration::from_millis(script.wait_ms)).await;
        match (script.fault, body.stream) {
            (Fault::Refuse, _) => {
                let text = wire.failure();
                socket.write_all(whole("500 Internal Server Error", marker, text).as_bytes()).await
            }
            (Fault::Cut, false) => {
                let text = whole("200 OK", marker, &wire.answer(marker, usage(marker)));
                socket.write_all(&text.as_bytes()[..text.len() / 2]).await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            (Fault::None, false) => {
                let tokens = usage(marker);
                self.note(marker, |seen| seen.reported = Some(tokens));
                socket.write_all(whole("200 OK", marker, &wire.answer(marker, tokens)).as_bytes()).await
            }
            (fault, true) => {
                let usage = wire == Wire::Messages
                    || body.stream_options.as_ref().is_some_and(|options| options.include_usage);
                let stream = Stream { marker, script, fault, usage };
                self.stream(socket, wire, stream).await
            }
        }
    }

    async fn stream(&self, socket: &mut TcpStream, wire: Wire, stream: Stream<'_>) -> io::Result<()> {
        let Stream { marker, script, fault, usage: asked } = stream;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: {marker}\r\nrequest-id: {marker}\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await?;
        let tokens = usage(marker);
        if let Some(start) = wire.start(marker, tokens) {
            socket.write_all(chunk(&start).as_bytes()).await?;
        }
        for number in 0..script.chunks {
            if fault == Fault::Cut && number == script.chunks / 2 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            socket.write_all(chunk(&wire.piece(marker, number, asked)).as_bytes()).await?;
            tokio::time::sleep(Duration::from_millis(script.pause_ms)).await;
        }
        socket.write_all(chunk(&wire.finish(marker, asked)).as_bytes()).await?;
        if asked {
            self.note(marker, |seen| seen.reported = Some(tokens));
            socket.write_all(chunk(&wire.usage(marker, tokens)).as_bytes()).await?;
        }
        socket.write_all(format!("{}0\r\n\r\n", chunk(wire.end())).as_bytes()).await
    }
}

/// A streamed answer to give.
struct Stream<'a> {
    marker: &'a str,
    script: &'a Script,
    fault: Fault,
    /// Whether it tells its usage.
    usage: bool,
}

fn whole(status: &str, marker: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-request-id: {marker}\r\nrequest-id: {marker}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// The usage of a call, which follows from its marker, in disjoint classes.
fn usage(marker: &str) -> Tokens {
    let mix = marker
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |mix, byte| (mix ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Tokens {
        input: 1 + mix % 900,
        cache_read: (mix >> 16) % 300,
        output: 1 + (mix >> 32) % 700,
        reasoning: (mix >> 48) % 200,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kill::client::{Lane, Plan};
    use crate::kill::dialect::Dialect;

    #[test]
    fn usage_on_the_wire_is_the_usage_in_classes() {
        assert_ne!(usage("a"), usage("b"));
        let script = Script { wait_ms: 0, chunks: 1, pause_ms: 0, fault: Fault::None };
        for marker in ["r1-c2-n3", "r1-c2-n4", ""] {
            let tokens = usage(marker);
            for (wire, dialect) in [(Wire::Chat, Dialect::Chat), (Wire::Messages, Dialect::Messages)] {
                let plan = |stream| Plan {
                    dialect,
                    lane: Lane::Upstream,
                    stream,
                    usage: true,
                    script,
                    hang_up: None,
                };
                let whole = wire.answer(marker, tokens);
                assert_eq!(dialect.told(whole.as_bytes(), &plan(false)).unwrap(), Some(tokens));
                let stream = [
                    wire.start(marker, tokens).unwrap_or_default(),
                    wire.piece(marker, 0, true),
                    wire.finish(marker, true),
                    wire.usage(marker, tokens),
                    wire.end().to_owned(),
                ];
                for cut in 0..stream.len() {
                    assert!(!dialect.has_ended(stream[..cut].concat().as_bytes()).unwrap());
                }
                let stream = stream.concat();
                assert!(dialect.has_ended(stream.as_bytes()).unwrap());
                assert!(!dialect.has_ended(&stream.as_bytes()[..stream.len() - 1]).unwrap());
                assert_eq!(dialect.told(stream.as_bytes(), &plan(true)).unwrap(), Some(tokens));
            }
        }
    }
}

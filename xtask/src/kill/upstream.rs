//! The upstream of the kill test: takes its time, misbehaves when told to, and remembers what it saw.
//!
//! A call's first message is its script; `user` is its marker, which comes back as `x-request-id`.

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

#[derive(Deserialize)]
struct Body {
    user: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<Options>,
}

#[derive(Deserialize)]
struct Message {
    content: String,
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
            let body: Body = serde_json::from_slice(&buffer[request.body..request.end])?;
            buffer.drain(..request.end);
            self.answer(&mut socket, &body).await?;
        }
    }

    async fn answer(&self, socket: &mut TcpStream, body: &Body) -> io::Result<()> {
        let script: Script =
            serde_json::from_str(body.messages.first().map_or("", |message| &message.content))?;
        let marker = body.user.as_str();
        self.note(marker, |seen| seen.attempts += 1);
        tokio::time::sleep(Duration::from_millis(script.wait_ms)).await;
        match (script.fault, body.stream) {
            (Fault::Refuse, _) => {
                let text =
                    r#"{"error":{"message":"scripted","type":"server_error","code":null,"param":null}}"#;
                socket.write_all(whole("500 Internal Server Error", marker, text).as_bytes()).await
            }
            (Fault::Cut, false) => {
                let text = whole("200 OK", marker, &Self::completion(marker));
                socket.write_all(&text.as_bytes()[..text.len() / 2]).await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            (Fault::None, false) => {
                let text = Self::completion(marker);
                self.note(marker, |seen| seen.reported = Some(usage(marker).0));
                socket.write_all(whole("200 OK", marker, &text).as_bytes()).await
            }
            (fault, true) => {
                let asked = body.stream_options.as_ref().is_some_and(|options| options.include_usage);
                self.stream(socket, marker, script, fault, asked).await
            }
        }
    }

    fn completion(marker: &str) -> String {
        let usage = usage(marker).1;
        format!(
            r#"{{"id":"chatcmpl-{marker}","object":"chat.completion","created":1790000000,"model":"kill-model","choices":[{{"index":0,"message":{{"role":"assistant","content":"the answer to {marker}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{usage}}}"#
        )
    }

    async fn stream(
        &self,
        socket: &mut TcpStream,
        marker: &str,
        script: Script,
        fault: Fault,
        asked: bool,
    ) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: {marker}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await?;
        let null_usage = if asked { r#","usage":null"# } else { "" };
        let event = |choices: &str, usage: &str| {
            let event = format!(
                "data: {{\"id\":\"chatcmpl-{marker}\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
                 \"model\":\"kill-model\",\"choices\":[{choices}]{usage}}}\n\n"
            );
            format!("{:x}\r\n{event}\r\n", event.len())
        };
        for number in 0..script.chunks {
            if fault == Fault::Cut && number == script.chunks / 2 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let choice = format!(r#"{{"index":0,"delta":{{"content":"{number} "}},"finish_reason":null}}"#);
            socket.write_all(event(&choice, null_usage).as_bytes()).await?;
            tokio::time::sleep(Duration::from_millis(script.pause_ms)).await;
        }
        let finish = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
        socket.write_all(event(finish, null_usage).as_bytes()).await?;
        let (tokens, counts) = usage(marker);
        if asked {
            self.note(marker, |seen| seen.reported = Some(tokens));
            socket.write_all(event("", &format!(r#","usage":{counts}"#)).as_bytes()).await?;
        }
        socket.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await
    }
}

fn whole(status: &str, marker: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-request-id: {marker}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The usage of a call, which follows from its marker: in disjoint classes, and as the wire tells it.
fn usage(marker: &str) -> (Tokens, String) {
    let mix = marker
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |mix, byte| (mix ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let tokens = Tokens {
        input: 1 + mix % 900,
        cache_read: (mix >> 16) % 300,
        output: 1 + (mix >> 32) % 700,
        reasoning: (mix >> 48) % 200,
    };
    let (prompt, completion) = (tokens.input + tokens.cache_read, tokens.output + tokens.reasoning);
    let text = format!(
        r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}},"completion_tokens_details":{{"reasoning_tokens":{}}}}}"#,
        prompt + completion,
        tokens.cache_read,
        tokens.reasoning
    );
    (tokens, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kill::history::Reported;

    #[test]
    fn usage_on_the_wire_is_the_usage_in_classes() {
        for marker in ["r1-c2-n3", "r1-c2-n4", ""] {
            let (tokens, text) = usage(marker);
            assert_eq!(serde_json::from_str::<Reported>(&text).unwrap().tokens(), tokens);
        }
        assert_ne!(usage("a").0, usage("b").0);
    }
}

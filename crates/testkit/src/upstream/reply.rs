//! What an upstream does with one request: a list of steps, each one write or one misdeed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::chat::{Chat, chat};
use super::embeddings::{Embeddings, embeddings};
use super::request::Request;
use super::sse::Sse;
use super::wire::Wire;

/// One thing to do on the connection.
#[derive(Debug, Clone)]
pub enum Step {
    /// Send these bytes, in one write.
    Write(Bytes),
    /// Do nothing for a while.
    Pause(Duration),
    /// Do nothing until the test opens the gate.
    Wait(Gate),
    /// Do nothing for ever.
    Hang,
    /// End the connection in order (FIN).
    Close,
    /// Break the connection off (RST).
    Reset,
}

impl Step {
    /// A write.
    pub fn write(bytes: impl Into<Bytes>) -> Self {
        Self::Write(bytes.into())
    }
}

/// Holds an answer back until a test lets it go on. Clones share one gate.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everything through, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn opened(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// What an upstream answers.
#[derive(Clone)]
pub enum Reply {
    /// A completion, whole or streamed as the request asks.
    Chat(Box<Chat>),
    /// Vectors.
    Embeddings(Embeddings),
    /// Events exactly as written down.
    Sse(Sse),
    /// A status with headers and a body.
    Status(Status),
    /// Bytes and misdeeds exactly as written down.
    Steps(Vec<Step>),
    /// Whatever the function says to this request.
    By(Arc<dyn Fn(&Request) -> Reply + Send + Sync>),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chat(chat) => fmt::Debug::fmt(chat, f),
            Self::Embeddings(embeddings) => fmt::Debug::fmt(embeddings, f),
            Self::Sse(sse) => fmt::Debug::fmt(sse, f),
            Self::Status(status) => fmt::Debug::fmt(status, f),
            Self::Steps(steps) => fmt::Debug::fmt(steps, f),
            Self::By(_) => f.write_str("By(..)"),
        }
    }
}

impl Reply {
    /// An answer that depends on the request.
    pub fn by(answer: impl Fn(&Request) -> Self + Send + Sync + 'static) -> Self {
        Self::By(Arc::new(answer))
    }

    /// A JSON body.
    pub fn json(code: u16, body: &Value) -> Self {
        status(code).body("application/json", body.to_string()).into()
    }

    /// What an upstream answers that was not told anything.
    pub fn usual(request: &Request) -> Self {
        match (request.wire, request.method.as_str(), request.operation()) {
            (Wire::OpenAi, "POST", "/chat/completions" | "/responses")
            | (Wire::Anthropic, "POST", "/messages" | "/messages/count_tokens") => {
                chat().text("hello").into()
            }
            (Wire::OpenAi, "POST", "/embeddings") => embeddings().into(),
            (Wire::OpenAi, "GET", "/models") => Self::json(200, &json!({ "object": "list", "data": [] })),
            (Wire::Anthropic, "GET", "/models") => Self::json(
                200,
                &json!({
                    "data": [{ "type": "model", "id": "m", "display_name": "M", "created_at": "2026-01-01T00:00:00Z" }],
                    "has_more": false,
                    "first_id": "m",
                    "last_id": "m",
                }),
            ),
            (Wire::Bedrock, "POST", path)
                if path.starts_with("/model/")
                    && (path.ends_with("/converse") || path.ends_with("/converse-stream")) =>
            {
                chat().text("hello").into()
            }
            (Wire::Gemini, "POST", path) if path.starts_with("beta/models/") => chat().text("hello").into(),
            _ => status(404).into(),
        }
    }

    pub(super) fn steps(&self, request: &Request) -> Vec<Step> {
        match self {
            Self::Chat(chat) => chat.steps(request),
            Self::Embeddings(embeddings) => embeddings.steps(request),
            Self::Sse(sse) => sse.steps(request.wire),
            Self::Status(status) => status.steps(request.wire),
            Self::Steps(steps) => steps.clone(),
            Self::By(answer) => answer(request).steps(request),
        }
    }
}

impl From<Chat> for Reply {
    fn from(chat: Chat) -> Self {
        Self::Chat(Box::new(chat))
    }
}

impl From<Embeddings> for Reply {
    fn from(embeddings: Embeddings) -> Self {
        Self::Embeddings(embeddings)
    }
}

impl From<Sse> for Reply {
    fn from(sse: Sse) -> Self {
        Self::Sse(sse)
    }
}

impl From<Status> for Reply {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Vec<Step>> for Reply {
    fn from(steps: Vec<Step>) -> Self {
        Self::Steps(steps)
    }
}

/// A whole answer with a status; the wire's own error for that status unless given a body.
#[derive(Debug, Clone)]
pub struct Status {
    code: u16,
    headers: Vec<(String, String)>,
    body: Option<(String, Bytes)>,
    message: Option<String>,
    delay: Duration,
}

/// An answer with that status, at once.
pub fn status(code: u16) -> Status {
    Status { code, headers: Vec::new(), body: None, message: None, delay: Duration::ZERO }
}

impl Status {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = Some((content_type.to_owned(), body.into()));
        self
    }

    /// Sets the message of the wire's own error.
    #[must_use]
    pub fn message(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }

    /// Waits before answering.
    #[must_use]
    pub fn late(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn steps(&self, wire: Wire) -> Vec<Step> {
        let (content_type, body) = self.body.clone().unwrap_or_else(|| {
            (
                "application/json".to_owned(),
                error_object(wire, self.code, self.message.as_deref()).to_string().into(),
            )
        });
        let length = body.len().to_string();
        let mut headers = vec![("content-type", content_type.as_str()), ("content-length", length.as_str())];
        headers.extend(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let named = wire.error_header(self.code).filter(|_| self.code >= 400);
        headers.extend(named.filter(|(name, _)| !headers.iter().any(|(header, _)| header == name)));
        let mut bytes = BytesMut::from(&head(wire, self.code, &headers)[..]);
        bytes.put(body);
        let mut steps = Vec::new();
        if !self.delay.is_zero() {
            steps.push(Step::Pause(self.delay));
        }
        steps.push(Step::Write(bytes.freeze()));
        steps
    }
}

fn error_object(wire: Wire, code: u16, message: Option<&str>) -> Value {
    let message = message.map_or_else(|| format!("the vendor's own words for {code}"), str::to_owned);
    wire.error_body(code, &message)
}

/// A response head, with the request id that the vendor sends.
pub(super) fn head(wire: Wire, code: u16, headers: &[(&str, &str)]) -> Bytes {
    let mut text = format!("HTTP/1.1 {code} Scripted\r\n");
    for (name, value) in headers {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    let (id_header, id) = wire.request_id();
    if !headers.iter().any(|(name, _)| *name == id_header) {
        for piece in [id_header, ": ", id, "\r\n"] {
            text.push_str(piece);
        }
    }
    text.push_str("\r\n");
    text.into()
}

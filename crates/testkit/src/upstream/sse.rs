//! An event stream, event by event as written down.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use super::reply::{Gate, Step, head};
use super::wire::Wire;

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In order: the last chunk of the transfer encoding, and the connection stays.
    Whole,
    /// The connection is closed without the last chunk.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing more comes, and the connection stays.
    Hang,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    /// The bytes of one event or comment, sent in one write.
    Bytes(Bytes),
    Pause(Duration),
    Wait(Gate),
    /// Nothing behind it is sent.
    End(End),
}

/// A scripted event stream, of server-sent events or of AWS's frames.
#[derive(Debug, Clone)]
pub struct Sse {
    pub(super) content_type: &'static str,
    pub(super) items: Vec<Item>,
    pub(super) before_head: Vec<Step>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) newline: &'static str,
    pub(super) pace: Duration,
    pub(super) drip: Option<(usize, Duration)>,
    pub(super) end: End,
    pub(super) cut_after: Option<(usize, End)>,
}

/// A stream of AWS's frames without a frame; they go in by [`Sse::raw`].
pub fn frames() -> Sse {
    Sse { content_type: "application/vnd.amazon.eventstream", ..sse() }
}

/// A stream without an event.
pub fn sse() -> Sse {
    Sse {
        content_type: "text/event-stream; charset=utf-8",
        items: Vec::new(),
        before_head: Vec::new(),
        headers: Vec::new(),
        newline: "\n",
        pace: Duration::ZERO,
        drip: None,
        end: End::Whole,
        cut_after: None,
    }
}

impl Sse {
    /// Adds an event with this data.
    #[must_use]
    pub fn data(self, data: &str) -> Self {
        let newline = self.newline;
        self.raw(format!("data: {data}{newline}{newline}"))
    }

    /// Adds an event with a name, as Anthropic's have, and this JSON.
    #[must_use]
    pub fn event(self, name: &str, data: &Value) -> Self {
        let newline = self.newline;
        self.raw(format!("event: {name}{newline}data: {data}{newline}{newline}"))
    }

    /// Adds an event with this JSON.
    #[must_use]
    pub fn json(self, data: &Value) -> Self {
        self.data(&data.to_string())
    }

    /// Adds `data: [DONE]`.
    #[must_use]
    pub fn done(self) -> Self {
        self.data("[DONE]")
    }

    /// Adds a comment.
    #[must_use]
    pub fn comment(self, text: &str) -> Self {
        let newline = self.newline;
        self.raw(format!(": {text}{newline}{newline}"))
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: impl Into<Bytes>) -> Self {
        self.items.push(Item::Bytes(bytes.into()));
        self
    }

    /// Waits between the events before and behind.
    #[must_use]
    pub fn pause(mut self, time: Duration) -> Self {
        self.items.push(Item::Pause(time));
        self
    }

    /// Waits until the test opens the gate.
    #[must_use]
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.items.push(Item::Wait(gate.clone()));
        self
    }

    /// Ends lines with CR and LF from here on.
    #[must_use]
    pub fn crlf(mut self) -> Self {
        self.newline = "\r\n";
        self
    }

    /// Sends every event in pieces of `bytes`, `every` so often.
    #[must_use]
    pub fn drip(mut self, bytes: usize, every: Duration) -> Self {
        self.drip = Some((bytes, every));
        self
    }

    /// Ends it here, whatever is added behind.
    #[must_use]
    pub fn ends_here(mut self, end: End) -> Self {
        self.items.push(Item::End(end));
        self
    }

    /// Says how it ends.
    #[must_use]
    pub fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// Without what comes after the first `events` events.
    pub(super) fn truncated(mut self, events: usize) -> Self {
        let mut seen = 0;
        self.items.retain(|item| {
            seen += usize::from(matches!(item, Item::Bytes(_)));
            seen <= events
        });
        self
    }

    pub(super) fn steps(&self, wire: Wire) -> Vec<Step> {
        let mut headers = vec![("content-type", self.content_type), ("transfer-encoding", "chunked")];
        headers.extend(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let mut steps = self.before_head.clone();
        steps.push(Step::Write(head(wire, 200, &headers)));

        let mut end = self.end;
        let mut events = 0;
        for item in &self.items {
            match item {
                Item::Bytes(bytes) => {
                    if let Some((limit, cut)) = self.cut_after
                        && events == limit
                    {
                        end = cut;
                        break;
                    }
                    if events > 0 && !self.pace.is_zero() {
                        steps.push(Step::Pause(self.pace));
                    }
                    events += 1;
                    match self.drip {
                        None => steps.push(Step::Write(chunk(bytes))),
                        Some((size, every)) => {
                            for piece in bytes.chunks(size) {
                                steps.push(Step::Write(chunk(piece)));
                                steps.push(Step::Pause(every));
                            }
                        }
                    }
                }
                Item::Pause(time) => steps.push(Step::Pause(*time)),
                Item::Wait(gate) => steps.push(Step::Wait(gate.clone())),
                Item::End(here) => {
                    end = *here;
                    break;
                }
            }
        }
        steps.push(match end {
            End::Whole => Step::write("0\r\n\r\n"),
            End::Close => Step::Close,
            End::Reset => Step::Reset,
            End::Hang => Step::Hang,
        });
        steps
    }
}

/// One chunk of HTTP/1.1's transfer encoding (RFC 9112, section 7.1).
fn chunk(bytes: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(bytes.len() + 16);
    framed.put_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    framed.put_slice(bytes);
    framed.put_slice(b"\r\n");
    framed.freeze()
}

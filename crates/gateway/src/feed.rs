//! Where a stream's bytes come from: an upstream whose frames are relayed untouched, or this process.
//! A feed knows the wire; it knows nothing of the ledger.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use hyper::body::Incoming;
use steelyard_dialect::{StreamTap, WireError};

use crate::account::Passed;
use crate::provider::sandbox::SandboxStream;
use crate::relay::Queue;

/// How a stream ended, as far as the wire shows.
#[derive(Debug)]
pub(crate) enum End {
    /// With its terminal frame, which has not been sent on yet.
    Complete(Bytes),
    /// With an error event of the vendor's own, which has been sent on.
    VendorError,
    /// Without its terminal frame.
    Cut(String),
    /// With something that is not the dialect.
    Garbage(WireError),
}

/// One step of a stream.
#[derive(Debug)]
pub(crate) enum Step {
    /// Bytes may have been added to the queue.
    More,
    /// It is over.
    Over(End),
}

/// A source of a stream.
pub(crate) enum Feed {
    /// An upstream that speaks the client's dialect.
    Relay(Box<RelayFeed>),
    /// The stand-in model.
    Sandbox(Box<SandboxStream>),
}

impl Feed {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Queue) -> Poll<Step> {
        match self {
            Self::Relay(feed) => feed.poll(cx, out),
            Self::Sandbox(stream) => stream.poll(cx, out),
        }
    }

    /// Reads what follows the terminal frame, so that the connection can be used again. Ready when there is no more.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Relay(feed) => feed.poll_rest(cx),
            Self::Sandbox(_) => Poll::Ready(()),
        }
    }

    /// The terminal frame, if all but its blank line has come.
    pub(crate) fn unfinished_terminal(&mut self) -> Option<Bytes> {
        match self {
            Self::Relay(feed) => feed.unfinished_terminal(),
            Self::Sandbox(_) => None,
        }
    }

    /// Whether the client has half an event, so that a frame of our own must first end it.
    pub(crate) fn mid_event(&self) -> bool {
        match self {
            Self::Relay(feed) => feed.half || feed.tap.mid_event(),
            Self::Sandbox(_) => false,
        }
    }

    /// What has passed so far.
    pub(crate) fn passed(&self) -> Passed {
        match self {
            Self::Relay(feed) => feed.passed(),
            Self::Sandbox(stream) => stream.passed(),
        }
    }
}

/// Frames of an upstream, forwarded as they come, with a tap that reads along.
pub(crate) struct RelayFeed {
    upstream: Incoming,
    tap: StreamTap,
    /// The terminal frame, as far as it has come.
    terminal: BytesMut,
    /// The upstream closed in the middle of an event, of which the client has a part.
    half: bool,
    at_end: bool,
}

const DONE: &[u8] = b"data: [DONE]\n\n";
const BLANK_LINE: &[u8] = b"\n\n";

impl RelayFeed {
    pub(crate) fn new(upstream: Incoming, hide_usage: bool) -> Self {
        let tap = StreamTap::new(hide_usage);
        Self { upstream, tap, terminal: BytesMut::new(), half: false, at_end: false }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Queue) -> Poll<Step> {
        let frame = ready!(Pin::new(&mut self.upstream).poll_frame(cx));
        let step = match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => match self.tap.push(data, out) {
                    Ok(()) => self.look_for_terminal(),
                    Err(error) => Step::Over(End::Garbage(error)),
                },
                Err(_trailers) => Step::More,
            },
            Some(Err(error)) => Step::Over(End::Cut(error.to_string())),
            None => {
                self.at_end = true;
                Step::Over(self.end(out))
            }
        };
        Poll::Ready(step)
    }

    /// The terminal frame is complete with its blank line, which may come in a piece of its own.
    fn look_for_terminal(&mut self) -> Step {
        let Some(more) = self.tap.take_terminal() else { return Step::More };
        self.terminal.extend_from_slice(&more);
        let ends = [BLANK_LINE, b"\r\n\r\n", b"\r\r"];
        if ends.iter().any(|end| self.terminal.ends_with(end)) {
            Step::Over(End::Complete(self.terminal.split().freeze()))
        } else {
            Step::More
        }
    }

    /// The terminal frame without its blank line, which does not come.
    fn unfinished_terminal(&mut self) -> Option<Bytes> {
        (!self.terminal.is_empty()).then(|| {
            self.terminal.extend_from_slice(BLANK_LINE);
            self.terminal.split().freeze()
        })
    }

    /// The upstream closed cleanly. Some servers never send `[DONE]`: a stream in which every choice has its finish
    /// reason is complete all the same.
    fn end(&mut self, out: &mut Queue) -> End {
        if let Some(terminal) = self.unfinished_terminal() {
            return End::Complete(terminal);
        }
        let before = out.len();
        self.half = self.tap.mid_event();
        self.tap.finish(out);
        self.half |= out.len() > before;
        let facts = self.tap.facts();
        if facts.upstream_error.is_some() {
            End::VendorError
        } else if facts.finished && self.half {
            End::Complete([BLANK_LINE, DONE].concat().into())
        } else if facts.finished {
            End::Complete(Bytes::from_static(DONE))
        } else {
            End::Cut("the vendor closed the stream before its end".to_owned())
        }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.at_end {
            match ready!(Pin::new(&mut self.upstream).poll_frame(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => self.at_end = true,
            }
        }
        Poll::Ready(())
    }

    /// The vendor's own error event, if one has passed.
    pub(crate) fn vendor_error(&self) -> Option<String> {
        self.tap.facts().upstream_error
    }

    pub(crate) fn passed(&self) -> Passed {
        let facts = self.tap.facts();
        Passed {
            usage: facts.usage,
            tier: facts.service_tier,
            content_bytes: facts.content_bytes,
            content_events: facts.content_events,
        }
    }
}

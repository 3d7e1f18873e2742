//! Where a stream's bytes come from: an upstream whose frames are relayed untouched, or this process.
//! A feed knows the wire; it knows nothing of the ledger.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use steelyard_dialect::{StreamTap, TapEnd, UpstreamFault, WireError};

use crate::account::Passed;
use crate::provider::sandbox::SandboxStream;
use crate::relay::Queue;
use crate::translate::TranslateFeed;

/// How a stream ended, as far as the wire shows.
#[derive(Debug)]
pub(crate) enum End {
    /// With its terminal frame, which has not been sent on yet.
    Complete(Bytes),
    /// With an error event of the vendor's own, which has been sent on.
    VendorError,
    /// With an error of the vendor's own, of which the client has heard nothing yet.
    Upstream(UpstreamFault),
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
    /// An upstream that speaks another dialect.
    Translate(Box<TranslateFeed>),
    /// The stand-in model.
    Sandbox(Box<SandboxStream>),
}

impl Feed {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Queue) -> Poll<Step> {
        match self {
            Self::Relay(feed) => feed.poll(cx, out),
            Self::Translate(feed) => feed.poll(cx, out),
            Self::Sandbox(stream) => stream.poll(cx, out),
        }
    }

    /// Reads what follows the terminal frame, so that the connection can be used again. Ready when there is no more.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Relay(feed) => feed.poll_rest(cx),
            Self::Translate(feed) => feed.poll_rest(cx),
            Self::Sandbox(_) => Poll::Ready(()),
        }
    }

    /// The terminal frame, if all but its blank line has come.
    pub(crate) fn unfinished_terminal(&mut self) -> Option<Bytes> {
        match self {
            Self::Relay(feed) => feed.tap.unfinished_terminal(),
            Self::Translate(_) | Self::Sandbox(_) => None,
        }
    }

    /// Whether the client has half an event, so that a frame of our own must first end it.
    pub(crate) fn mid_event(&self) -> bool {
        match self {
            Self::Relay(feed) => feed.tap.mid_event(),
            Self::Translate(_) | Self::Sandbox(_) => false,
        }
    }

    /// The vendor's own error, if one has come.
    pub(crate) fn vendor_error(&self) -> Option<String> {
        match self {
            Self::Relay(feed) => feed.tap.facts().upstream_error,
            Self::Translate(feed) => feed.vendor_error(),
            Self::Sandbox(_) => None,
        }
    }

    /// What has passed so far.
    pub(crate) fn passed(&self) -> Passed {
        match self {
            Self::Relay(feed) => feed.passed(),
            Self::Translate(feed) => feed.passed(),
            Self::Sandbox(stream) => stream.passed(),
        }
    }
}

/// Frames of an upstream, forwarded as they come, with a tap that reads along.
pub(crate) struct RelayFeed {
    upstream: Incoming,
    tap: StreamTap,
    at_end: bool,
}

impl RelayFeed {
    pub(crate) fn new(upstream: Incoming, tap: StreamTap) -> Self {
        Self { upstream, tap, at_end: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Queue) -> Poll<Step> {
        let step = match ready!(Pin::new(&mut self.upstream).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => match self.tap.push(data, out) {
                    Ok(None) => Step::More,
                    Ok(Some(terminal)) => Step::Over(End::Complete(terminal)),
                    Err(error) => Step::Over(End::Garbage(error)),
                },
                Err(_trailers) => Step::More,
            },
            Some(Err(error)) => Step::Over(End::Cut(error.to_string())),
            None => {
                self.at_end = true;
                Step::Over(match self.tap.finish(out) {
                    TapEnd::Complete(terminal) => End::Complete(terminal),
                    TapEnd::VendorError => End::VendorError,
                    TapEnd::Cut => End::Cut("the vendor closed the stream before its end".to_owned()),
                })
            }
        };
        Poll::Ready(step)
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

    fn passed(&self) -> Passed {
        let facts = self.tap.facts();
        Passed {
            usage: facts.usage,
            usage_is_early: facts.usage_is_early,
            tier: facts.service_tier,
            geo: facts.geo,
            model: facts.model,
            content_bytes: facts.content_bytes,
            content_events: facts.content_events,
        }
    }
}

//! Where a stream's bytes come from: an upstream whose frames are relayed untouched, or this process.
//! A feed knows the wire; it knows nothing of the ledger.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use steelyard_core::ErrorCode;
use steelyard_dialect::{StreamTap, TapEnd, UpstreamFault, WireError};

use crate::account::Passed;
use crate::answer::Upstream;
use crate::mask::Mask;
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
    /// With an error of the vendor's own, of which the client has heard nothing yet; what it amounts to.
    Upstream(ErrorCode, UpstreamFault),
    /// Without its terminal frame.
    Cut(String),
    /// With something that is not the dialect.
    Garbage(String),
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

    /// The vendor's own error, if one has come.
    pub(crate) fn vendor_error(&self) -> Option<&UpstreamFault> {
        match self {
            Self::Relay(feed) => feed.tap.fault(),
            Self::Translate(feed) => feed.vendor_error(),
            Self::Sandbox(_) => None,
        }
    }

    /// Whether the vendor has begun to answer: more has come than comments, pings, or an error.
    pub(crate) fn begun(&self) -> bool {
        match self {
            Self::Relay(feed) => feed.tap.begun(),
            Self::Translate(feed) => feed.begun(),
            Self::Sandbox(_) => true,
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
    upstream: Upstream,
    tap: StreamTap,
    /// What an error event of the vendor's must not quote.
    secrets: Mask,
    at_end: bool,
}

impl RelayFeed {
    pub(crate) fn new(upstream: Upstream, tap: StreamTap, secrets: Mask) -> Self {
        Self { upstream, tap, secrets, at_end: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Queue) -> Poll<Step> {
        let before = out.len();
        let step = match ready!(self.upstream.poll_data(cx)) {
            Some(Ok(data)) => match self.tap.push(data, out) {
                // Nothing of worth follows it, and some vendors then leave the connection open.
                Ok(None) if self.tap.fault().is_some() => Step::Over(End::VendorError),
                Ok(None) => Step::More,
                Ok(Some(terminal)) => Step::Over(End::Complete(terminal)),
                Err(WireError::Cut) => {
                    Step::Over(End::Cut("the vendor ended the stream too early".to_owned()))
                }
                Err(error) => Step::Over(End::Garbage(self.secrets.text(error.to_string()))),
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
        // The one event that is not handed on untouched. Frames of AWS's have checksums, and stay as they are.
        if self.tap.fault().is_some() && !matches!(self.tap, StreamTap::Bedrock(_)) {
            let said = out.drain(before..).collect::<Vec<_>>().concat();
            out.push(self.secrets.bytes(said.into()));
        }
        Poll::Ready(step)
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.at_end {
            ready!(self.upstream.poll_away(cx));
            self.at_end = true;
        }
        Poll::Ready(())
    }

    fn passed(&self) -> Passed {
        self.tap.facts().into()
    }
}

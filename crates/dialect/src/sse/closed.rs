//! The tap of a wire whose streams nothing but their terminal event completes: Anthropic Messages, `OpenAI` Responses.

use bytes::Bytes;

use crate::error::{UpstreamFault, WireError};
use crate::facts::StreamFacts;
use crate::sse::relay::{Reader, Relay};
use crate::tap::TapEnd;

/// The tap of one stream.
#[derive(Debug)]
pub struct ClosedTap<R> {
    relay: Relay<R>,
}

impl<R: Reader + AsRef<StreamFacts> + Default> ClosedTap<R> {
    pub(crate) fn new() -> Self {
        Self { relay: Relay::new(R::default()) }
    }

    pub(crate) fn push(&mut self, frame: Bytes, out: &mut Vec<Bytes>) -> Result<Option<Bytes>, WireError> {
        self.relay.push(frame, out)
    }

    pub(crate) fn unfinished_terminal(&mut self) -> Option<Bytes> {
        self.relay.unfinished_terminal()
    }

    /// Without the terminal event a stream is cut, whatever came before.
    pub(crate) fn finish(&mut self, out: &mut Vec<Bytes>) -> TapEnd {
        if let Some(terminal) = self.unfinished_terminal() {
            return TapEnd::Complete(terminal);
        }
        // The vendor may end its last event without a blank line; half an event is lost either way.
        let _ = self.relay.finish(out);
        if self.fault().is_some() { TapEnd::VendorError } else { TapEnd::Cut }
    }

    pub(crate) fn facts(&self) -> StreamFacts {
        self.read().clone()
    }

    pub(crate) fn begun(&self) -> bool {
        self.read().begun
    }

    pub(crate) fn fault(&self) -> Option<&UpstreamFault> {
        self.read().upstream_error.as_ref()
    }

    fn read(&self) -> &StreamFacts {
        self.relay.reader.as_ref()
    }
}

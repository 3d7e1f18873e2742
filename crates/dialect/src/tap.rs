//! The tap of a relayed stream: the vendor's bytes go on untouched while the ledger's facts are read, and the
//! terminal part is withheld until the call is settled. One tap for each dialect, behind one interface.

use bytes::Bytes;

use crate::error::WireError;
use crate::facts::StreamFacts;
use crate::{anthropic, bedrock, openai_chat};

/// How a relayed stream ended when its upstream closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TapEnd {
    /// It was complete; this is its terminal part, withheld so far.
    Complete(Bytes),
    /// With an error of the vendor's own, which has been passed on.
    VendorError,
    /// Before its end.
    Cut,
}

/// The tap of one stream.
#[derive(Debug)]
pub enum StreamTap {
    /// OpenAI Chat Completions.
    OpenAiChat(Box<openai_chat::tap::Relay>),
    /// Anthropic Messages.
    AnthropicMessages(Box<anthropic::tap::Tap>),
    /// Amazon Bedrock's `ConverseStream` and `InvokeModelWithResponseStream`.
    Bedrock(Box<bedrock::tap::Tap>),
}

impl StreamTap {
    /// Takes the vendor's next frame and adds to `out` what may go to the client now. Some: the stream is complete,
    /// and these bytes are its terminal part.
    ///
    /// # Errors
    /// [`WireError::TooLong`] if the vendor goes on and on after its end; whatever else makes the stream unusable.
    pub fn push(&mut self, frame: Bytes, out: &mut Vec<Bytes>) -> Result<Option<Bytes>, WireError> {
        match self {
            Self::OpenAiChat(tap) => tap.push(frame, out),
            Self::AnthropicMessages(tap) => tap.push(frame, out),
            Self::Bedrock(tap) => tap.push(&frame, out),
        }
    }

    /// The terminal part, if enough of it has come for the stream to be complete; what is missing is put in.
    pub fn unfinished_terminal(&mut self) -> Option<Bytes> {
        match self {
            Self::OpenAiChat(tap) => tap.unfinished_terminal(),
            Self::AnthropicMessages(tap) => tap.unfinished_terminal(),
            Self::Bedrock(tap) => tap.unfinished_terminal(),
        }
    }

    /// The upstream closed: adds to `out` what still waits, and says how the stream ended.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> TapEnd {
        match self {
            Self::OpenAiChat(tap) => tap.finish(out),
            Self::AnthropicMessages(tap) => tap.finish(out),
            Self::Bedrock(tap) => tap.finish(out),
        }
    }

    /// The facts so far.
    pub fn facts(&self) -> StreamFacts {
        match self {
            Self::OpenAiChat(tap) => tap.facts(),
            Self::AnthropicMessages(tap) => tap.facts(),
            Self::Bedrock(tap) => tap.facts(),
        }
    }

    /// Whether the client has half an event. A frame of our own must then first end it, where the wire allows that.
    pub fn mid_event(&self) -> bool {
        match self {
            Self::OpenAiChat(tap) => tap.mid_event(),
            Self::AnthropicMessages(tap) => tap.mid_event(),
            // Only whole frames are passed.
            Self::Bedrock(_) => false,
        }
    }
}

//! The tap of a relayed stream: the vendor's bytes go on untouched while the ledger's facts are read, and the
//! terminal part is withheld until the call is settled. One tap for each dialect, behind one interface.

use bytes::Bytes;

use crate::error::{UpstreamFault, WireError};
use crate::facts::StreamFacts;
use crate::{anthropic, bedrock, gemini, openai_chat, openai_responses};

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
    OpenAiChat(Box<openai_chat::tap::Tap>),
    /// OpenAI Responses.
    OpenAiResponses(Box<openai_responses::tap::Tap>),
    /// Anthropic Messages.
    AnthropicMessages(Box<anthropic::tap::Tap>),
    /// Amazon Bedrock's `ConverseStream` and `InvokeModelWithResponseStream`.
    Bedrock(Box<bedrock::tap::Tap>),
    /// Gemini's `streamGenerateContent`.
    Gemini(Box<gemini::tap::Tap>),
}

impl StreamTap {
    /// Takes the vendor's next frame and adds to `out` what may go to the client now. Some: the stream is complete,
    /// and these bytes are its terminal part.
    ///
    /// # Errors
    /// [`WireError::Garbage`] at an event that is no object of JSON or no UTF-8, which is not passed on, nor is anything behind it;
    /// [`WireError::Cut`] at a terminal event that ends nothing; [`WireError::TooLong`] at one without end, or if the vendor goes on and on after its own end.
    pub fn push(&mut self, frame: Bytes, out: &mut Vec<Bytes>) -> Result<Option<Bytes>, WireError> {
        match self {
            Self::OpenAiChat(tap) => tap.push(frame, out),
            Self::OpenAiResponses(tap) => tap.push(frame, out),
            Self::AnthropicMessages(tap) => tap.push(frame, out),
            Self::Bedrock(tap) => tap.push(&frame, out),
            Self::Gemini(tap) => tap.push(frame, out),
        }
    }

    /// The terminal part, if enough of it has come for the stream to be complete; what is missing is put in.
    pub fn unfinished_terminal(&mut self) -> Option<Bytes> {
        match self {
            Self::OpenAiChat(tap) => tap.unfinished_terminal(),
            Self::OpenAiResponses(tap) => tap.unfinished_terminal(),
            Self::AnthropicMessages(tap) => tap.unfinished_terminal(),
            Self::Bedrock(tap) => tap.unfinished_terminal(),
            Self::Gemini(tap) => tap.unfinished_terminal(),
        }
    }

    /// The upstream closed: adds to `out` what still waits, and says how the stream ended.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> TapEnd {
        match self {
            Self::OpenAiChat(tap) => tap.finish(out),
            Self::OpenAiResponses(tap) => tap.finish(out),
            Self::AnthropicMessages(tap) => tap.finish(out),
            Self::Bedrock(tap) => tap.finish(out),
            Self::Gemini(tap) => tap.finish(out),
        }
    }

    /// The facts so far.
    pub fn facts(&self) -> StreamFacts {
        match self {
            Self::OpenAiChat(tap) => tap.facts(),
            Self::OpenAiResponses(tap) => tap.facts(),
            Self::AnthropicMessages(tap) => tap.facts(),
            Self::Bedrock(tap) => tap.facts(),
            Self::Gemini(tap) => tap.facts(),
        }
    }

    /// Whether an event has come that is more than a sign of life, and no error.
    pub fn begun(&self) -> bool {
        match self {
            Self::OpenAiChat(tap) => tap.begun(),
            Self::OpenAiResponses(tap) => tap.begun(),
            Self::AnthropicMessages(tap) => tap.begun(),
            Self::Bedrock(tap) => tap.begun(),
            Self::Gemini(tap) => tap.begun(),
        }
    }

    /// The vendor's own error, if one has come. It has been passed on, and nothing of worth follows it.
    pub fn fault(&self) -> Option<&UpstreamFault> {
        match self {
            Self::OpenAiChat(tap) => tap.fault(),
            Self::OpenAiResponses(tap) => tap.fault(),
            Self::AnthropicMessages(tap) => tap.fault(),
            Self::Bedrock(tap) => tap.fault(),
            Self::Gemini(tap) => tap.fault(),
        }
    }
}

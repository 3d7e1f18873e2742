//! Streams of every dialect: events out of a vendor's bytes, a client's bytes out of events.

use bytes::BytesMut;

use crate::error::WireError;
use crate::event::StreamEvent;
use crate::{anthropic, bedrock, bedrock_invoke, gemini, openai_chat, openai_responses};

/// Turns the bytes of a vendor's stream, in any chunking, into canonical events.
#[derive(Debug)]
pub enum StreamDecoder {
    /// OpenAI Chat Completions.
    OpenAiChat(Box<openai_chat::stream_decode::Decoder>),
    /// OpenAI Responses.
    OpenAiResponses(Box<openai_responses::stream_decode::Decoder>),
    /// Anthropic Messages.
    AnthropicMessages(Box<anthropic::stream_decode::Decoder>),
    /// Amazon Bedrock's `ConverseStream`.
    BedrockConverse(Box<bedrock::stream_decode::Decoder>),
    /// Amazon Bedrock's `InvokeModelWithResponseStream`.
    BedrockInvokeAnthropic(Box<bedrock_invoke::stream::Decoder>),
    /// Gemini's `streamGenerateContent`.
    Gemini(Box<gemini::stream_decode::Decoder>),
}

impl StreamDecoder {
    /// Takes the next bytes and adds the events they complete. After an error the stream is lost.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        match self {
            Self::OpenAiChat(decoder) => decoder.push(bytes, out),
            Self::OpenAiResponses(decoder) => decoder.push(bytes, out),
            Self::AnthropicMessages(decoder) => decoder.push(bytes, out),
            Self::BedrockConverse(decoder) => decoder.push(bytes, out),
            Self::BedrockInvokeAnthropic(decoder) => decoder.push(bytes, out),
            Self::Gemini(decoder) => decoder.push(bytes, out),
        }
    }

    /// Whether the terminal frame has come, so that nothing more is to be waited for.
    pub fn is_done(&self) -> bool {
        match self {
            Self::OpenAiChat(decoder) => decoder.is_done(),
            Self::OpenAiResponses(decoder) => decoder.is_done(),
            Self::AnthropicMessages(decoder) => decoder.is_done(),
            Self::BedrockConverse(decoder) => decoder.is_done(),
            Self::BedrockInvokeAnthropic(decoder) => decoder.is_done(),
            Self::Gemini(decoder) => decoder.is_done(),
        }
    }

    /// Whether the vendor has said of each answer that was seen why it is over: its figures are then the last ones.
    pub fn is_over(&self) -> bool {
        match self {
            Self::OpenAiChat(decoder) => decoder.is_over(),
            // The last event tells why it is over, and the figures.
            Self::OpenAiResponses(decoder) => decoder.is_done(),
            Self::AnthropicMessages(decoder) => decoder.is_over(),
            Self::BedrockConverse(decoder) => decoder.is_over(),
            Self::BedrockInvokeAnthropic(decoder) => decoder.is_over(),
            Self::Gemini(decoder) => decoder.is_over(),
        }
    }

    /// The vendor closed the stream. Adds what was still pending; [`WireError::Cut`] if the stream was not
    /// complete.
    pub fn finish(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        match self {
            Self::OpenAiChat(decoder) => decoder.finish(out),
            Self::OpenAiResponses(decoder) => decoder.finish(out),
            Self::AnthropicMessages(decoder) => decoder.finish(out),
            Self::BedrockConverse(decoder) => decoder.finish(out),
            Self::BedrockInvokeAnthropic(decoder) => decoder.finish(out),
            Self::Gemini(decoder) => decoder.finish(out),
        }
    }
}

/// Turns canonical events into the bytes of a client's stream.
#[derive(Debug)]
pub enum StreamEncoder {
    /// OpenAI Chat Completions.
    OpenAiChat(Box<openai_chat::stream_encode::Encoder>),
    /// OpenAI Responses.
    OpenAiResponses(Box<openai_responses::stream_encode::Encoder>),
    /// Anthropic's events, as its API or Bedrock carries them.
    Anthropic(Box<anthropic::stream_encode::Encoder>),
    /// Amazon Bedrock's `ConverseStream`.
    BedrockConverse(Box<bedrock::stream_encode::Encoder>),
    /// Gemini's `streamGenerateContent`, in events or as an array.
    Gemini(Box<gemini::stream_encode::Encoder>),
}

impl StreamEncoder {
    /// Writes the frames of one event, none if the client must not see it.
    pub fn push(&mut self, event: &StreamEvent, out: &mut BytesMut) {
        match self {
            Self::OpenAiChat(encoder) => encoder.push(event, out),
            Self::OpenAiResponses(encoder) => encoder.push(event, out),
            Self::Anthropic(encoder) => encoder.push(event, out),
            Self::BedrockConverse(encoder) => encoder.push(event, out),
            Self::Gemini(encoder) => encoder.push(event, out),
        }
    }

    /// The first event came so many milliseconds after the request was sent. Only some wires say so at their end.
    pub fn began(&mut self, elapsed_ms: u64) {
        match self {
            Self::Anthropic(encoder) => encoder.began(elapsed_ms),
            Self::OpenAiChat(_) | Self::OpenAiResponses(_) | Self::BedrockConverse(_) | Self::Gemini(_) => {}
        }
    }

    /// Writes the terminal part, which waits for the settlement. `elapsed_ms`: since the request was sent.
    pub fn finish(&mut self, elapsed_ms: u64, out: &mut BytesMut) {
        match self {
            Self::OpenAiChat(encoder) => encoder.finish(out),
            Self::OpenAiResponses(encoder) => encoder.finish(elapsed_ms, out),
            Self::Anthropic(encoder) => encoder.finish(elapsed_ms, out),
            Self::BedrockConverse(encoder) => encoder.finish(elapsed_ms, out),
            Self::Gemini(encoder) => encoder.finish(out),
        }
    }
}

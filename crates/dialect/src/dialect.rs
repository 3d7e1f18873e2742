//! The closed set of dialects. Every method is one `match`, so a new dialect is found by compile errors.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use steelyard_core::{ApiError, RequestId};

use crate::chat::{ChatRequest, ChatResponse};
use crate::error::{Loss, WireError};
use crate::event::StreamEvent;
use crate::facts::ReplyFacts;
use crate::openai_chat;
use crate::peek::Peek;

/// A wire that clients and vendors speak.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI Chat Completions.
    OpenAiChat,
}

/// What a reply must say that the vendor's answer does not know: the client's own view of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyContext {
    /// The id of the reply, in the form of the client's dialect (`chatcmpl-…`).
    pub id: String,
    /// The model as the client called it.
    pub model: String,
    /// Seconds since the epoch.
    pub created: i64,
    /// Whether the client of a stream asked for usage.
    pub include_usage: bool,
}

impl Dialect {
    /// The name in the ledger, in logs and in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai_chat",
        }
    }

    /// One borrowed pass over a request for what the relay must know; the messages are not decoded.
    ///
    /// Errors are the caller's: `SY0001` not JSON, `SY0002` a wrong or repeated field, `SY0003` one is missing.
    pub fn peek(self, body: &[u8]) -> Result<Peek<'_>, ApiError> {
        match self {
            Self::OpenAiChat => openai_chat::peek::peek(body),
        }
    }

    /// A client's request in the canonical model. Errors are the caller's and name the field at fault.
    pub fn decode_request(self, body: &[u8]) -> Result<ChatRequest, ApiError> {
        match self {
            Self::OpenAiChat => openai_chat::request::decode::decode(body),
        }
    }

    /// A request for a vendor that speaks this dialect, and what could not be expressed in it.
    pub fn encode_request(self, request: &ChatRequest) -> (Bytes, Vec<Loss>) {
        match self {
            Self::OpenAiChat => openai_chat::request::encode::encode(request),
        }
    }

    /// A vendor's whole answer in the canonical model.
    pub fn decode_response(self, body: &[u8]) -> Result<ChatResponse, WireError> {
        match self {
            Self::OpenAiChat => openai_chat::reply::decode(body),
        }
    }

    /// A whole answer for a client of this dialect.
    pub fn encode_response(self, response: &ChatResponse, context: &ReplyContext) -> Bytes {
        match self {
            Self::OpenAiChat => openai_chat::reply::encode(response, context),
        }
    }

    /// Reads a vendor's stream.
    pub fn stream_decoder(self) -> StreamDecoder {
        match self {
            Self::OpenAiChat => StreamDecoder::OpenAiChat(Box::default()),
        }
    }

    /// Writes a stream for a client.
    pub fn stream_encoder(self, context: ReplyContext) -> StreamEncoder {
        match self {
            Self::OpenAiChat => {
                StreamEncoder::OpenAiChat(Box::new(openai_chat::stream_encode::Encoder::new(context)))
            }
        }
    }

    /// What the ledger needs of a vendor's whole answer, in one borrowed pass. An answer without usage is good;
    /// one that is no completion is an error.
    pub fn usage_of_reply(self, body: &[u8]) -> Result<ReplyFacts, WireError> {
        match self {
            Self::OpenAiChat => openai_chat::facts::of_reply(body),
        }
    }

    /// An error as a client of this dialect expects it: the status, and a JSON body.
    pub fn error_body(self, error: &ApiError, request_id: &RequestId) -> (StatusCode, Bytes) {
        match self {
            Self::OpenAiChat => openai_chat::error::body(error, request_id),
        }
    }

    /// A comment that keeps a quiet stream open, where the dialect's clients bear one; none where they do not.
    pub const fn keep_alive(self) -> Option<&'static [u8]> {
        match self {
            Self::OpenAiChat => Some(b": keep-alive\n\n"),
        }
    }

    /// A vendor's own refusal of a request that is at fault, as a client of this dialect expects it.
    pub fn vendor_error_body(self, vendor: &[u8], error: &ApiError, request_id: &RequestId) -> Bytes {
        match self {
            Self::OpenAiChat => openai_chat::error::vendor_body(vendor, error, request_id),
        }
    }

    /// An error inside a stream that has begun. The stream then closes without its terminal frame.
    pub fn error_event(self, error: &ApiError, request_id: &RequestId) -> Bytes {
        match self {
            Self::OpenAiChat => openai_chat::error::event(error, request_id),
        }
    }
}

/// Turns the bytes of a vendor's stream, in any chunking, into canonical events.
#[derive(Debug)]
pub enum StreamDecoder {
    /// OpenAI Chat Completions.
    OpenAiChat(Box<openai_chat::stream_decode::Decoder>),
}

impl StreamDecoder {
    /// Takes the next bytes and adds the events they complete. After an error the stream is lost.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        match self {
            Self::OpenAiChat(decoder) => decoder.push(bytes, out),
        }
    }

    /// The vendor closed the stream. Adds what was still pending; [`WireError::Cut`] if the stream was not
    /// complete.
    pub fn finish(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        match self {
            Self::OpenAiChat(decoder) => decoder.finish(out),
        }
    }
}

/// Turns canonical events into the bytes of a client's stream.
#[derive(Debug)]
pub enum StreamEncoder {
    /// OpenAI Chat Completions.
    OpenAiChat(Box<openai_chat::stream_encode::Encoder>),
}

impl StreamEncoder {
    /// Writes the frames of one event, none if the client must not see it.
    pub fn push(&mut self, event: &StreamEvent, out: &mut BytesMut) {
        match self {
            Self::OpenAiChat(encoder) => encoder.push(event, out),
        }
    }

    /// Writes the terminal frame, which waits for the settlement.
    pub fn finish(&mut self, out: &mut BytesMut) {
        match self {
            Self::OpenAiChat(encoder) => encoder.finish(out),
        }
    }
}

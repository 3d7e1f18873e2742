//! Streamed answers: Anthropic's events, one in each frame.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use serde::Deserialize;
use steelyard_core::Usage;

use crate::anthropic;
use crate::bedrock::Sort;
use crate::bedrock::usage::Sums;
use crate::error::WireError;
use crate::event::StreamEvent;
use crate::event_stream::{self, Frames};
use crate::json::{At, Fault, Object};

/// The event that carries another.
pub(crate) const CHUNK: &str = "chunk";

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    frames: Frames,
    events: anthropic::stream_decode::Decoder,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let events = &mut self.events;
        self.frames.push(bytes, |frame| match Sort::of(&frame) {
            Sort::Event(CHUNK) => events.event(&read_chunk(frame.payload)?, out),
            // What may be invented later.
            Sort::Event(_) | Sort::Unknown => Ok(()),
            Sort::Fault(fault) => Err(WireError::Upstream(fault)),
        })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.events.is_done()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.events.is_over()
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        self.events.finish(out)
    }
}

/// The event in a chunk's payload.
pub(crate) fn read_chunk(payload: &[u8]) -> Result<Vec<u8>, Fault> {
    #[derive(Deserialize)]
    struct Chunk {
        bytes: String,
    }
    let unreadable = |why: String| Fault::invalid(&At::Root, format!("a chunk of the stream is none: {why}"));
    let chunk: Chunk = serde_json::from_slice(payload).map_err(|error| unreadable(error.to_string()))?;
    STANDARD.decode(chunk.bytes).map_err(|error| unreadable(error.to_string()))
}

/// Writes an event as a frame.
pub(crate) fn write_chunk(event: &[u8], out: &mut BytesMut) {
    let mut payload = Vec::with_capacity(event.len() / 3 * 4 + 64);
    Object::write(&mut payload, |chunk| {
        chunk.field("bytes", &STANDARD.encode(event));
        chunk.field("p", padding(event.len()));
    });
    let headers = [(":event-type", CHUNK), (":content-type", "application/json"), (":message-type", "event")];
    event_stream::write(out, &headers, &payload);
}

/// What makes the length of a frame say less about its words: with it an event fills a multiple of 64 bytes.
fn padding(length: usize) -> &'static str {
    const STEP: usize = 64;
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ab";
    &LETTERS[..length.div_ceil(STEP) * STEP - length]
}

/// Writes what Bedrock adds to the last event.
pub(crate) fn write_metrics(event: &mut Object<'_>, used: &Usage, first_ms: u64, elapsed_ms: u64) {
    let sums = Sums::of(used);
    event.object("amazon-bedrock-invocationMetrics", |metrics| {
        metrics.field("inputTokenCount", &sums.input);
        metrics.field("outputTokenCount", &sums.output);
        metrics.field("invocationLatency", &elapsed_ms);
        metrics.field("firstByteLatency", &first_ms);
        metrics.field("cacheReadInputTokenCount", &sums.read);
        metrics.field("cacheWriteInputTokenCount", &sums.written());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_fills_up_to_the_next_step() {
        for (length, padded) in [(0, 0), (1, 63), (63, 1), (64, 0), (65, 63), (128, 0)] {
            assert_eq!(padding(length).len(), padded, "{length}");
        }
    }
}

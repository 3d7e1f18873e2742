//! What the tap reads of an event: a glance at a plain delta, a parse of anything else.

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::anthropic::facts::{generated_bytes, text};
use crate::anthropic::usage::{self, Figures};
use crate::chat::FinishReason;
use crate::error::WireError;
use crate::facts::StreamFacts;
use crate::json::{Mapped, one_value, string, utf8};
use crate::openai_chat::facts::{fault, text_bytes};
use crate::sse::relay::{is_object, unreadable};

/// What has been read.
#[derive(Debug)]
pub struct Reading {
    pub(crate) facts: StreamFacts,
    /// The terminal event was read.
    pub(crate) stopped: bool,
    figures: Figures,
    delta: memmem::Finder<'static>,
}

/// An event, by its spans.
#[derive(Deserialize)]
struct Sighting<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<SightedMessage<'a>>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<SightedDelta<'a>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SightedMessage<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SightedDelta<'a> {
    #[serde(borrow, default)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow, default)]
    partial_json: Option<&'a RawValue>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            facts: StreamFacts::default(),
            stopped: false,
            figures: Figures::default(),
            delta: memmem::Finder::new(b"\"delta\":"),
        }
    }
}

impl Reading {
    /// Reads what an event carries. Errors: it is no JSON, or no object.
    pub(crate) fn data(&mut self, data: &[u8]) -> Result<(), WireError> {
        let data = data.trim_ascii();
        utf8(data).and_then(one_value).map_err(|fault| unreadable(&fault))?;
        if self.glance(data) {
            return Ok(());
        }
        if let Ok(Mapped(seen)) = serde_json::from_slice::<Mapped<Sighting<'_>>>(data) {
            self.event(&seen);
        } else {
            is_object(data)?;
            self.facts.begun = true;
            self.facts.unreadable_events += 1;
        }
        Ok(())
    }

    /// Reads a plain delta of a block without parsing it. False if the event needs a closer look.
    fn glance(&mut self, data: &[u8]) -> bool {
        if !data.starts_with(b"{\"type\":\"content_block_delta\"") || !data.ends_with(b"}}") {
            return false;
        }
        let Some(start) = self.delta.find(data) else { return false };
        let delta = data[start + self.delta.needle().len()..].trim_ascii_start();
        let (bytes, end) = text_bytes(delta);
        // Nothing may follow the delta but the brace that closes the event.
        if !delta.starts_with(b"{") || &delta[end.min(delta.len())..] != b"}" {
            return false;
        }
        self.facts.begun = true;
        self.count(bytes);
        true
    }

    fn event(&mut self, seen: &Sighting<'_>) {
        let kind = seen.kind.and_then(string);
        match seen.error.and_then(fault) {
            Some(fault) => self.facts.upstream_error = Some(fault),
            None => self.facts.begun |= kind.as_deref() != Some("ping"),
        }
        if let Some(message) = &seen.message {
            self.facts.id = text(message.id).or_else(|| self.facts.id.take());
            self.facts.model = text(message.model).or_else(|| self.facts.model.take());
            self.used(message.usage);
        }
        self.used(seen.usage);
        if let Some(block) = seen.content_block {
            self.count(generated_bytes(block));
        }
        if let Some(delta) = &seen.delta {
            let bytes = |raw: Option<&RawValue>| raw.and_then(string).map_or(0, |text| text.len() as u64);
            self.count(bytes(delta.text) + bytes(delta.thinking) + bytes(delta.partial_json));
            if let Some(word) = text(delta.stop_reason) {
                self.facts.finished = true;
                self.facts.finish = vec![FinishReason::from_anthropic(&word, None)];
            }
        }
        self.stopped |= kind.as_deref() == Some("message_stop");
    }

    fn used(&mut self, raw: Option<&RawValue>) {
        let Some(raw) = raw else { return };
        if self.figures.take(raw.get()) {
            self.facts.tell(self.figures.usage());
        }
        let served = usage::served(raw.get());
        self.facts.service_tier = served.tier.or_else(|| self.facts.service_tier.take());
        self.facts.geo = served.geo.or_else(|| self.facts.geo.take());
    }

    fn count(&mut self, bytes: u64) {
        self.facts.content_bytes += bytes;
        self.facts.content_events += u64::from(bytes > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_delta_reads_the_same_at_a_glance_and_parsed() {
        for (data, bytes) in [
            (r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ä\n}"}}"#, 4),
            (
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
                5,
            ),
            (
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"thinking_delta","thinking":"abc"}}"#,
                3,
            ),
            (
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"signature_delta","signature":"abc"}}"#,
                0,
            ),
        ] {
            let mut glanced = Reading::default();
            assert!(glanced.glance(data.as_bytes()), "{data}");
            assert_eq!(glanced.facts.content_bytes, bytes, "{data}");
            let mut parsed = Reading::default();
            parsed.event(&serde_json::from_str(data).unwrap());
            assert_eq!(parsed.facts, glanced.facts, "{data}");
        }
        for odd in [
            r#"{"index":0,"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"},"usage":{"output_tokens":1}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"#,
            r#"{"type":"message_stop"}"#,
        ] {
            assert!(!Reading::default().glance(odd.as_bytes()), "{odd}");
        }
    }
}

//! A scripted completion on Anthropic's wire.

use serde_json::{Value, json};

use super::blocks::{Act, Block, Kind, Refusal, Say};
use super::{Chat, Choice, Piece, Report};
use crate::upstream::request::Request;
use crate::upstream::sse::Sse;
use crate::upstream::wire::Wire;

impl Chat {
    /// The figures of a `usage` object.
    fn anthropic_usage(&self, output: u64) -> Value {
        let mut usage = json!({
            "input_tokens": self.uncached(),
            "cache_creation_input_tokens": self.written().unwrap_or(0),
            "cache_read_input_tokens": self.cached.unwrap_or(0),
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.cache_write.unwrap_or(0),
                "ephemeral_1h_input_tokens": self.cache_write_1h.unwrap_or(0),
            },
            "output_tokens": output,
            "service_tier": self.tier.as_deref().unwrap_or("standard"),
        });
        if let Some(geo) = &self.geo {
            usage["inference_geo"] = json!(geo);
        }
        if let Some(tokens) = self.reasoning {
            usage["output_tokens_details"] = json!({ "thinking_tokens": tokens.min(output) });
        }
        usage
    }

    fn anthropic_message(&self, request: &Request) -> Value {
        json!({
            "id": "msg_scripted",
            "type": "message",
            "role": "assistant",
            "model": self.model.clone().or_else(|| request.model()).unwrap_or_default(),
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
        })
    }

    pub(super) fn anthropic(&self, request: &Request) -> Value {
        let choice = &self.choices[0];
        let mut message = self.anthropic_message(request);
        message["content"] = choice.blocks(Refusal::IsNoText).iter().map(whole).collect();
        let (Value::Object(message_fields), Value::Object(stop)) = (&mut message, stop(choice)) else {
            unreachable!("both are written as objects");
        };
        message_fields.extend(stop);
        if self.report != Report::Never {
            message["usage"] = self.anthropic_usage(self.completion);
        }
        message
    }

    pub(super) fn anthropic_stream(&self, request: &Request) -> Sse {
        let event = |stream: Sse, mut data: Value, kind: &str| {
            data["type"] = json!(kind);
            stream.event(kind, &data)
        };
        let mut message = self.anthropic_message(request);
        match self.report {
            Report::WhenAsked | Report::EveryChunk => {
                message["usage"] = self.anthropic_usage(self.completion.min(1));
            }
            // Servers that know the prompt's tokens only at the end.
            Report::WithFinish => message["usage"] = json!({ "input_tokens": 0, "output_tokens": 0 }),
            Report::Never => {}
        }
        let mut stream = event(self.stream.clone(), json!({ "message": message }), "message_start");
        let choice = &self.choices[0];
        for act in choice.acts(Refusal::IsNoText) {
            match act {
                Act::Open(index, kind) => {
                    let start = json!({ "index": index, "content_block": opening(kind) });
                    stream = event(stream, start, "content_block_start");
                    if index == 0 {
                        stream = event(stream, json!({}), "ping");
                    }
                    if let Kind::Tool { .. } = kind {
                        // The service begins every input with an empty piece.
                        stream = event(
                            stream,
                            delta(index, &Say::Arguments(String::new())),
                            "content_block_delta",
                        );
                    }
                }
                // The input of a call without arguments never comes.
                Act::Say(_, Say::Arguments(text)) if text == "{}" => {}
                Act::Say(index, say) => stream = event(stream, delta(index, &say), "content_block_delta"),
                Act::Close(index) => stream = event(stream, json!({ "index": index }), "content_block_stop"),
                Act::Between(Piece::Pause(time)) => stream = stream.pause(*time),
                Act::Between(Piece::Wait(gate)) => stream = stream.wait(gate),
                Act::Between(Piece::Comment(text)) => stream = stream.comment(text),
                Act::Between(Piece::Raw(bytes)) => stream = stream.raw(bytes.clone()),
                Act::Between(Piece::Cut(end)) => stream = stream.ends_here(*end),
                Act::Between(Piece::Fail(message)) => {
                    return stream.event("error", &Wire::Anthropic.error_body(500, message));
                }
                Act::Between(other) => panic!("{other:?}: Anthropic's wire has no word for it"),
            }
        }
        let mut last = json!({ "delta": stop(choice) });
        if self.report != Report::Never {
            last["usage"] = self.anthropic_usage(self.completion);
        }
        stream = event(stream, last, "message_delta");
        if let Some((events, error)) = &self.error {
            return stream.truncated(*events).event("error", error);
        }
        if self.done { event(stream, json!({}), "message_stop") } else { stream }
    }
}

fn stop(choice: &Choice) -> Value {
    let word = match choice.finish.as_deref() {
        None if choice.stop_sequence.is_some() => "stop_sequence",
        None if choice.refused().is_some() => "refusal",
        None if choice.calls() => "tool_use",
        None | Some("stop") => "end_turn",
        Some("length") => "max_tokens",
        Some("tool_calls") => "tool_use",
        Some("content_filter") => "refusal",
        Some(own) => own,
    };
    let mut stop = json!({ "stop_reason": word, "stop_sequence": choice.stop_sequence });
    if let Some(text) = choice.refused() {
        stop["stop_details"] = json!({ "type": "refusal", "category": null, "explanation": text });
    }
    stop
}

fn opening(kind: Kind<'_>) -> Value {
    match kind {
        Kind::Text => json!({ "type": "text", "text": "" }),
        Kind::Thinking => json!({ "type": "thinking", "thinking": "", "signature": "" }),
        Kind::Redacted(data) => json!({ "type": "redacted_thinking", "data": data }),
        Kind::Tool { id, name } => json!({ "type": "tool_use", "id": id, "name": name, "input": {} }),
    }
}

fn whole(block: &Block<'_>) -> Value {
    let mut value = opening(block.kind);
    match block.kind {
        Kind::Text => value["text"] = json!(block.text),
        Kind::Thinking => {
            value["thinking"] = json!(block.text);
            value["signature"] = json!(block.signature);
        }
        Kind::Redacted(_) => {}
        Kind::Tool { .. } => {
            value["input"] = serde_json::from_str(&block.text).expect("arguments are written as JSON");
        }
    }
    value
}

fn delta(index: usize, say: &Say<'_>) -> Value {
    let delta = match say {
        Say::Text(text) => json!({ "type": "text_delta", "text": text }),
        Say::Thinking(text) => json!({ "type": "thinking_delta", "thinking": text }),
        Say::Signature(text) => json!({ "type": "signature_delta", "signature": text }),
        Say::Arguments(text) => json!({ "type": "input_json_delta", "partial_json": text }),
    };
    json!({ "index": index, "delta": delta })
}

//! A scripted completion on Bedrock's wire.

use serde_json::{Value, json};

use super::blocks::{Act, Block, Kind, Refusal, Say};
use super::{Chat, Choice, Piece, Report};
use crate::upstream::frames::{event_frame, exception_frame};
use crate::upstream::request::Request;
use crate::upstream::sse::{End, Sse, frames};

impl Chat {
    fn bedrock_usage(&self) -> Value {
        let mut usage = json!({
            "inputTokens": self.uncached(),
            "outputTokens": self.completion,
            "totalTokens": self.prompt + self.completion,
        });
        if let Some(tokens) = self.cached {
            usage["cacheReadInputTokens"] = json!(tokens);
        }
        if let Some(tokens) = self.written() {
            usage["cacheWriteInputTokens"] = json!(tokens);
            let split = [("5m", self.cache_write), ("1h", self.cache_write_1h)];
            let details = split.into_iter().filter_map(|(ttl, tokens)| Some((ttl, tokens?)));
            usage["cacheDetails"] =
                details.map(|(ttl, tokens)| json!({ "ttl": ttl, "inputTokens": tokens })).collect();
        }
        usage
    }

    /// What `metadata` has, which a whole answer has beside the message.
    fn bedrock_metadata(&self) -> Value {
        let mut metadata = json!({ "metrics": { "latencyMs": 42 } });
        if self.report != Report::Never {
            metadata["usage"] = self.bedrock_usage();
        }
        match self.tier.as_deref().map(|tier| (tier, tier.strip_prefix("latency_"))) {
            Some((_, Some(latency))) => metadata["performanceConfig"] = json!({ "latency": latency }),
            Some((tier, None)) => metadata["serviceTier"] = json!({ "type": tier }),
            None => {}
        }
        metadata
    }

    pub(super) fn bedrock(&self, request: &Request) -> Value {
        let choice = &self.choices[0];
        let content: Vec<_> = choice.blocks(Refusal::IsText).iter().map(whole).collect();
        let mut body = self.bedrock_metadata();
        body["output"] = json!({ "message": { "role": "assistant", "content": content } });
        body["stopReason"] = json!(stop_reason(choice));
        if let Some(fields) = response_fields(choice, request) {
            body["additionalModelResponseFields"] = fields;
        }
        body
    }

    pub(super) fn bedrock_stream(&self, request: &Request) -> Sse {
        let event = |stream: Sse, kind: &str, mut payload: Value| {
            // The service pads what it sends, against those who read lengths.
            payload["p"] = json!("abcdefghijklmnop");
            stream.raw(event_frame(kind, &payload))
        };
        let choice = &self.choices[0];
        let mut stream = Sse { content_type: frames().content_type, ..self.stream.clone() };
        stream = event(stream, "messageStart", json!({ "role": "assistant" }));
        for act in choice.acts(Refusal::IsText) {
            match act {
                Act::Open(index, kind) => match kind {
                    // Texts and reasoning begin without a word.
                    Kind::Text | Kind::Thinking => {}
                    Kind::Redacted(data) => {
                        let delta = json!({ "reasoningContent": { "redactedContent": data } });
                        let delta = json!({ "contentBlockIndex": index, "delta": delta });
                        stream = event(stream, "contentBlockDelta", delta);
                    }
                    Kind::Tool { id, name } => {
                        let start = json!({ "toolUse": { "toolUseId": id, "name": name } });
                        let start = json!({ "contentBlockIndex": index, "start": start });
                        stream = event(stream, "contentBlockStart", start);
                    }
                },
                Act::Say(index, say) => {
                    let delta = json!({ "contentBlockIndex": index, "delta": delta(&say) });
                    stream = event(stream, "contentBlockDelta", delta);
                }
                Act::Close(index) => {
                    stream = event(stream, "contentBlockStop", json!({ "contentBlockIndex": index }));
                }
                Act::Between(Piece::Pause(time)) => stream = stream.pause(*time),
                Act::Between(Piece::Wait(gate)) => stream = stream.wait(gate),
                Act::Between(Piece::Raw(bytes)) => stream = stream.raw(bytes.clone()),
                Act::Between(Piece::Cut(end)) => stream = stream.ends_here(*end),
                Act::Between(Piece::Fail(message)) => {
                    let payload = json!({ "message": message });
                    return stream.raw(exception_frame("internalServerException", &payload));
                }
                Act::Between(Piece::Bad(bad)) => {
                    let delta = json!({ "contentBlockIndex": 0, "delta": { "text": "never to be seen" } });
                    stream = stream.raw(bad.spoil(&event_frame("contentBlockDelta", &delta)));
                    if bad.is_last() {
                        stream = stream.ends_here(End::Whole);
                    }
                }
                Act::Between(other) => panic!("{other:?}: Bedrock's wire has no word for it"),
            }
        }
        let mut stop = json!({ "stopReason": stop_reason(choice) });
        if let Some(fields) = response_fields(choice, request) {
            stop["additionalModelResponseFields"] = fields;
        }
        if let Some((events, error)) = &self.error {
            let (kind, payload) =
                error.as_object().and_then(|error| error.iter().next()).expect("one exception");
            return stream.truncated(*events).raw(exception_frame(kind, payload));
        }
        if !self.done {
            return stream;
        }
        stream = event(stream, "messageStop", stop);
        event(stream, "metadata", self.bedrock_metadata())
    }
}

fn stop_reason(choice: &Choice) -> &str {
    match choice.finish.as_deref() {
        None if choice.stop_sequence.is_some() => "stop_sequence",
        None if choice.refused().is_some() => "content_filtered",
        None if choice.calls() => "tool_use",
        None | Some("stop") => "end_turn",
        Some("length") => "max_tokens",
        Some("tool_calls") => "tool_use",
        Some("content_filter") => "content_filtered",
        Some(own) => own,
    }
}

/// The model's own fields, of which a request names those that it wants.
fn response_fields(choice: &Choice, request: &Request) -> Option<Value> {
    let asked = request.json();
    let asked = asked["additionalModelResponseFieldPaths"].as_array()?;
    let sequence = choice.stop_sequence.as_ref()?;
    asked.iter().any(|path| path == "/stop_sequence").then(|| json!({ "stop_sequence": sequence }))
}

fn whole(block: &Block<'_>) -> Value {
    match block.kind {
        Kind::Text => json!({ "text": block.text }),
        Kind::Thinking => {
            let mut text = json!({ "text": block.text });
            if !block.signature.is_empty() {
                text["signature"] = json!(block.signature);
            }
            json!({ "reasoningContent": { "reasoningText": text } })
        }
        Kind::Redacted(data) => json!({ "reasoningContent": { "redactedContent": data } }),
        Kind::Tool { id, name } => {
            let input: Value = serde_json::from_str(&block.text).expect("arguments are written as JSON");
            json!({ "toolUse": { "toolUseId": id, "name": name, "input": input } })
        }
    }
}

fn delta(say: &Say<'_>) -> Value {
    match say {
        Say::Text(text) => json!({ "text": text }),
        Say::Thinking(text) => json!({ "reasoningContent": { "text": text } }),
        Say::Signature(text) => json!({ "reasoningContent": { "signature": text } }),
        Say::Arguments(text) => json!({ "toolUse": { "input": text } }),
    }
}

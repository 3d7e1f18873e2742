//! What the upstream writes, on each of its wires.

use serde_json::{Value, json};

use crate::kill::history::Tokens;

/// A wire that the upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// `OpenAI` Chat Completions.
    Chat,
    /// Anthropic Messages.
    Messages,
}

impl Wire {
    /// That of the request at the beginning of the buffer, by its path.
    pub(super) fn of(buffer: &[u8]) -> Self {
        if buffer.starts_with(b"POST /v1/messages ") { Self::Messages } else { Self::Chat }
    }

    /// A body of an error.
    pub(super) fn failure(self) -> &'static str {
        match self {
            Self::Chat => {
                r#"{"error":{"message":"scripted","type":"server_error","code":null,"param":null}}"#
            }
            Self::Messages => r#"{"type":"error","error":{"type":"api_error","message":"scripted"}}"#,
        }
    }

    /// A whole answer.
    pub(super) fn answer(self, marker: &str, tokens: Tokens) -> String {
        let text = format!("the answer to {marker}");
        let usage = self.counts(tokens);
        let body = match self {
            Self::Chat => json!({
                "id": format!("chatcmpl-{marker}"), "object": "chat.completion", "created": 1_790_000_000,
                "model": "kill-model",
                "choices": [{
                    "index": 0, "logprobs": null, "finish_reason": "stop",
                    "message": { "role": "assistant", "content": text, "refusal": null },
                }],
                "usage": usage,
            }),
            Self::Messages => json!({
                "id": format!("msg_{marker}"), "type": "message", "role": "assistant", "model": "kill-model",
                "content": [{ "type": "text", "text": text }],
                "stop_reason": "end_turn", "stop_sequence": null, "usage": usage,
            }),
        };
        body.to_string()
    }

    /// What comes before the first piece of a stream.
    pub(super) fn start(self, marker: &str, tokens: Tokens) -> Option<String> {
        match self {
            Self::Chat => None,
            Self::Messages => {
                let usage = json!({
                    "input_tokens": tokens.input, "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": tokens.cache_read, "output_tokens": 1,
                });
                let message = json!({
                    "id": format!("msg_{marker}"), "type": "message", "role": "assistant", "model": "kill-model",
                    "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage,
                });
                let start = named(&json!({ "type": "message_start", "message": message }));
                let block = json!({
                    "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" },
                });
                Some(start + &named(&block))
            }
        }
    }

    /// One piece of the text; `asked` is whether usage was asked for.
    pub(super) fn piece(self, marker: &str, number: u32, asked: bool) -> String {
        match self {
            Self::Chat => {
                let delta = json!({ "content": format!("{number} ") });
                chat(
                    marker,
                    &json!([{ "index": 0, "delta": delta, "finish_reason": null }]),
                    asked.then_some(Value::Null),
                )
            }
            Self::Messages => named(&json!({
                "type": "content_block_delta", "index": 0,
                "delta": { "type": "text_delta", "text": format!("{number} ") },
            })),
        }
    }

    /// The end of the text.
    pub(super) fn finish(self, marker: &str, asked: bool) -> String {
        match self {
            Self::Chat => chat(
                marker,
                &json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]),
                asked.then_some(Value::Null),
            ),
            Self::Messages => named(&json!({ "type": "content_block_stop", "index": 0 })),
        }
    }

    /// The usage of a stream.
    pub(super) fn usage(self, marker: &str, tokens: Tokens) -> String {
        let usage = self.counts(tokens);
        match self {
            Self::Chat => chat(marker, &json!([]), Some(usage)),
            Self::Messages => named(&json!({
                "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
                "usage": usage,
            })),
        }
    }

    /// The end mark of a stream.
    pub(super) fn end(self) -> &'static str {
        match self {
            Self::Chat => "data: [DONE]\n\n",
            Self::Messages => "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        }
    }

    fn counts(self, tokens: Tokens) -> Value {
        let (prompt, output) = (tokens.input + tokens.cache_read, tokens.output + tokens.reasoning);
        match self {
            Self::Chat => json!({
                "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
                "prompt_tokens_details": { "cached_tokens": tokens.cache_read },
                "completion_tokens_details": { "reasoning_tokens": tokens.reasoning },
            }),
            Self::Messages => json!({
                "input_tokens": tokens.input, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": tokens.cache_read, "output_tokens": output,
                "output_tokens_details": { "thinking_tokens": tokens.reasoning },
            }),
        }
    }
}

fn chat(marker: &str, choices: &Value, usage: Option<Value>) -> String {
    let mut event = json!({
        "id": format!("chatcmpl-{marker}"), "object": "chat.completion.chunk", "created": 1_790_000_000,
        "model": "kill-model", "choices": choices,
    });
    if let Some(usage) = usage {
        event["usage"] = usage;
    }
    format!("data: {event}\n\n")
}

fn named(event: &Value) -> String {
    let name = event["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {event}\n\n")
}

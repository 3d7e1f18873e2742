//! A scripted completion on OpenAI's other wire, Responses, as in its API reference ("Responses", "Streaming events").

use serde_json::{Value, json};

use super::blocks::{Act, Block, Kind, Refusal, Say};
use super::{Chat, Choice, Piece, Report};
use crate::upstream::request::Request;
use crate::upstream::sse::Sse;

impl Chat {
    fn responses_usage(&self) -> Value {
        json!({
            "input_tokens": self.prompt,
            "input_tokens_details": { "cached_tokens": self.cached.unwrap_or(0), "cache_write_tokens": self.written().unwrap_or(0) },
            "output_tokens": self.completion,
            "output_tokens_details": { "reasoning_tokens": self.reasoning.unwrap_or(0) },
            "total_tokens": self.prompt + self.completion,
        })
    }

    /// The answer as far as it is.
    fn response(&self, request: &Request, status: &str, output: &[Value]) -> Value {
        let mut response = json!({
            "id": "resp_scripted",
            "object": "response",
            "created_at": 1_790_000_000,
            "status": status,
            "error": null,
            "incomplete_details": null,
            "model": self.model.clone().or_else(|| request.model()).unwrap_or_default(),
            "output": output,
            "store": request.json()["store"] != false,
            "service_tier": self.tier.as_deref().unwrap_or("default"),
            "usage": null,
        });
        if status == "incomplete" {
            response["incomplete_details"] = json!({ "reason": self.choices[0].incomplete() });
        }
        if !matches!(status, "in_progress" | "failed") && self.report != Report::Never {
            response["usage"] = self.responses_usage();
        }
        response
    }

    pub(super) fn responses(&self, request: &Request) -> Value {
        let choice = &self.choices[0];
        let blocks = choice.blocks(Refusal::IsText);
        let items: Vec<Value> = blocks.iter().enumerate().map(|(index, block)| item(index, block)).collect();
        self.response(request, choice.status(), &items)
    }

    pub(super) fn responses_stream(&self, request: &Request) -> Sse {
        let choice = &self.choices[0];
        let mut stream = self.stream.clone();
        let mut number = 0;
        let mut send = |stream: Sse, name: &str, more: Value| {
            let mut event = json!({ "type": name, "sequence_number": number });
            number += 1;
            let members = more.as_object().expect("an event is an object").clone();
            event.as_object_mut().expect("an event is an object").extend(members);
            stream.event(name, &event)
        };
        for name in ["response.created", "response.in_progress"] {
            stream = send(stream, name, json!({ "response": self.response(request, "in_progress", &[]) }));
        }
        let mut open: Vec<Block<'_>> = Vec::new();
        for act in choice.acts(Refusal::IsText) {
            match act {
                Act::Open(index, kind) => {
                    let block = Block { kind, text: String::new(), signature: String::new() };
                    let mut begun = item(index, &block);
                    if matches!(kind, Kind::Text) {
                        begun["content"] = json!([]);
                    }
                    let added = json!({ "output_index": index, "item": begun });
                    stream = send(stream, "response.output_item.added", added);
                    if matches!(kind, Kind::Text) {
                        let part = json!({ "type": "output_text", "text": "", "annotations": [] });
                        stream = send(
                            stream,
                            "response.content_part.added",
                            place(index, &block, json!({ "part": part })),
                        );
                    }
                    open.push(block);
                }
                Act::Say(index, Say::Signature(proof)) => open[index].signature.push_str(proof),
                Act::Say(index, say) => {
                    let (name, text) = match &say {
                        Say::Text(text) => ("response.output_text.delta", *text),
                        Say::Thinking(text) => ("response.reasoning_summary_text.delta", *text),
                        Say::Arguments(text) => ("response.function_call_arguments.delta", text.as_str()),
                        Say::Signature(_) => continue,
                    };
                    open[index].text.push_str(text);
                    stream = send(stream, name, place(index, &open[index], json!({ "delta": text })));
                }
                Act::Close(index) => {
                    let block = &open[index];
                    if matches!(block.kind, Kind::Text) {
                        let text = json!({ "text": block.text, "logprobs": [] });
                        stream = send(stream, "response.output_text.done", place(index, block, text));
                    }
                    stream = send(
                        stream,
                        "response.output_item.done",
                        json!({ "output_index": index, "item": item(index, block) }),
                    );
                }
                Act::Between(Piece::Pause(time)) => stream = stream.pause(*time),
                Act::Between(Piece::Wait(gate)) => stream = stream.wait(gate),
                Act::Between(Piece::Comment(text)) => stream = stream.comment(text),
                Act::Between(Piece::Raw(bytes)) => stream = stream.raw(bytes.clone()),
                Act::Between(Piece::Cut(end)) => stream = stream.ends_here(*end),
                Act::Between(Piece::Fail(message)) => {
                    let mut failed = self.response(request, "failed", &[]);
                    failed["error"] = json!({ "code": "server_error", "message": message });
                    return send(stream, "response.failed", json!({ "response": failed }));
                }
                Act::Between(Piece::Bad(bad)) => panic!("{bad:?}: only Bedrock has frames"),
                Act::Between(other) => panic!("{other:?}: the wire has no word for it"),
            }
        }
        if let Some((events, error)) = &self.error {
            return stream.truncated(*events).event("error", error);
        }
        if !self.done {
            return stream;
        }
        let items: Vec<Value> = open.iter().enumerate().map(|(index, block)| item(index, block)).collect();
        let status = choice.status();
        let last = json!({ "response": self.response(request, status, &items) });
        send(stream, &format!("response.{status}"), last)
    }
}

impl Choice {
    fn status(&self) -> &'static str {
        match self.finish.as_deref() {
            Some("length" | "content_filter") => "incomplete",
            _ => "completed",
        }
    }

    fn incomplete(&self) -> &'static str {
        if self.finish.as_deref() == Some("length") { "max_output_tokens" } else { "content_filter" }
    }
}

/// An event of an item.
fn place(index: usize, block: &Block<'_>, mut event: Value) -> Value {
    event["output_index"] = json!(index);
    event["item_id"] = item(index, block)["id"].clone();
    match block.kind {
        Kind::Text => event["content_index"] = json!(0),
        Kind::Thinking | Kind::Redacted(_) => event["summary_index"] = json!(0),
        Kind::Tool { .. } => {}
    }
    event
}

fn item(index: usize, block: &Block<'_>) -> Value {
    match block.kind {
        Kind::Text => json!({
            "id": format!("msg_{index}"),
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{ "type": "output_text", "text": block.text, "annotations": [], "logprobs": [] }],
        }),
        Kind::Thinking => json!({
            "id": format!("rs_{index}"),
            "type": "reasoning",
            "summary": [{ "type": "summary_text", "text": block.text }],
            "encrypted_content": block.signature,
        }),
        Kind::Redacted(data) => json!({
            "id": format!("rs_{index}"), "type": "reasoning", "summary": [], "encrypted_content": data,
        }),
        Kind::Tool { id, name } => json!({
            "id": format!("fc_{index}"),
            "type": "function_call",
            "status": "completed",
            "call_id": id,
            "name": name,
            "arguments": block.text,
        }),
    }
}

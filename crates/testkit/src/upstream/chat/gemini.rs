//! A scripted completion on Gemini's wire.

use serde_json::{Value, json};

use super::blocks::{Act, Block, Kind, Refusal, Say};
use super::{Chat, Choice, Piece, Report};
use crate::upstream::request::Request;
use crate::upstream::sse::Sse;
use crate::upstream::wire::Wire;

impl Chat {
    /// The figures; of a stream's earlier events, without all that is not known yet.
    fn gemini_usage(&self, done: bool) -> Value {
        let thoughts = self.reasoning.unwrap_or(0).min(self.completion);
        let said = if done { self.completion - thoughts } else { 0 };
        let mut usage = json!({
            "promptTokenCount": self.prompt,
            "totalTokenCount": self.prompt + said + if done { thoughts } else { 0 },
        });
        if done {
            usage["candidatesTokenCount"] = json!(said);
        }
        if done && thoughts > 0 {
            usage["thoughtsTokenCount"] = json!(thoughts);
        }
        if let Some(tokens) = self.cached {
            usage["cachedContentTokenCount"] = json!(tokens);
        }
        usage
    }

    fn gemini_answer(&self, request: &Request, candidate: &Value, done: bool) -> Value {
        let mut answer = json!({
            "candidates": [candidate],
            "modelVersion": self.model.clone().or_else(|| request.model()).unwrap_or_default(),
            "responseId": "scripted",
        });
        if self.report != Report::Never {
            answer["usageMetadata"] = self.gemini_usage(done);
        }
        answer
    }

    pub(super) fn gemini(&self, request: &Request) -> Value {
        let choice = &self.choices[0];
        let parts: Vec<Value> = choice.blocks(Refusal::IsText).iter().map(part).collect();
        let content = json!({ "parts": parts, "role": "model" });
        let candidate = json!({ "content": content, "finishReason": finish(choice), "index": 0 });
        self.gemini_answer(request, &candidate, true)
    }

    pub(super) fn gemini_stream(&self, request: &Request) -> Sse {
        let choice = &self.choices[0];
        let mut stream = self.stream.clone();
        let send = |stream: Sse, part: Value| {
            let candidate = json!({ "content": { "parts": [part], "role": "model" }, "index": 0 });
            stream.json(&self.gemini_answer(request, &candidate, false))
        };
        // Calls come whole.
        let mut call: Option<Block<'_>> = None;
        for act in choice.acts(Refusal::IsText) {
            match act {
                Act::Open(_, kind @ Kind::Tool { .. }) => {
                    call = Some(Block { kind, text: String::new(), signature: String::new() });
                }
                Act::Open(..) => {}
                Act::Say(_, Say::Text(text)) => stream = send(stream, json!({ "text": text })),
                Act::Say(_, Say::Thinking(text)) => {
                    stream = send(stream, json!({ "text": text, "thought": true }));
                }
                Act::Say(_, Say::Signature(proof)) => {
                    stream = send(stream, json!({ "text": "", "thought": true, "thoughtSignature": proof }));
                }
                Act::Say(_, Say::Arguments(text)) => {
                    if let Some(call) = &mut call {
                        call.text.push_str(&text);
                    }
                }
                Act::Close(_) => {
                    if let Some(call) = call.take() {
                        stream = send(stream, part(&call));
                    }
                }
                Act::Between(Piece::Pause(time)) => stream = stream.pause(*time),
                Act::Between(Piece::Wait(gate)) => stream = stream.wait(gate),
                Act::Between(Piece::Raw(bytes)) => stream = stream.raw(bytes.clone()),
                Act::Between(Piece::Cut(end)) => stream = stream.ends_here(*end),
                Act::Between(Piece::Fail(message)) => {
                    return stream.json(&Wire::Gemini.error_body(500, message));
                }
                Act::Between(other) => panic!("{other:?}: Gemini's wire has no word for it"),
            }
        }
        if let Some((events, error)) = &self.error {
            return stream.truncated(*events).json(error);
        }
        if !self.done {
            return stream;
        }
        let content = json!({ "parts": [{ "text": "" }], "role": "model" });
        let last = json!({ "content": content, "finishReason": finish(choice), "index": 0 });
        stream.json(&self.gemini_answer(request, &last, true))
    }
}

fn finish(choice: &Choice) -> &str {
    match choice.finish.as_deref() {
        None if choice.refused().is_some() => "SAFETY",
        None | Some("stop" | "tool_calls") => "STOP",
        Some("length") => "MAX_TOKENS",
        Some("content_filter") => "SAFETY",
        Some(own) => own,
    }
}

fn part(block: &Block<'_>) -> Value {
    let mut part = match block.kind {
        Kind::Text => json!({ "text": block.text }),
        Kind::Thinking => json!({ "text": block.text, "thought": true }),
        Kind::Redacted(_) => panic!("Gemini's wire has no word for hidden reasoning"),
        // The vendor names no ids.
        Kind::Tool { name, .. } => {
            let args: Value = serde_json::from_str(&block.text).expect("arguments are written as JSON");
            json!({ "functionCall": { "name": name, "args": args } })
        }
    };
    if !block.signature.is_empty() {
        part["thoughtSignature"] = json!(block.signature);
    }
    part
}

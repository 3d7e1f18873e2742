//! A scripted completion on OpenAI's wire, and what whole answers of every wire have in common.

use serde_json::{Value, json};

use super::{Chat, Choice, Piece, Report};
use crate::upstream::reply::{Reply, Step, status};
use crate::upstream::request::Request;
use crate::upstream::sse::{End, Sse};
use crate::upstream::wire::Wire;

/// `created` of every completion, so that answers can be compared byte by byte.
const CREATED: i64 = 1_790_000_000;

impl Chat {
    fn counts(&self, completion: u64) -> Value {
        let mut usage = json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": completion,
            "total_tokens": self.prompt + completion,
        });
        if self.cached.is_some() || self.written().is_some() {
            usage["prompt_tokens_details"] = json!({ "cached_tokens": self.cached.unwrap_or(0) });
            if let Some(tokens) = self.written() {
                usage["prompt_tokens_details"]["cache_write_tokens"] = json!(tokens);
            }
        }
        if let Some(tokens) = self.reasoning {
            usage["completion_tokens_details"] = json!({ "reasoning_tokens": tokens });
        }
        usage
    }

    fn envelope(&self, request: &Request, object: &str) -> Value {
        let model = self.model.clone().or_else(|| request.model()).unwrap_or_default();
        let mut envelope = json!({
            "id": "chatcmpl-scripted",
            "object": object,
            "created": CREATED,
            "model": model,
            "system_fingerprint": "fp_scripted",
        });
        if let Some(tier) = &self.tier {
            envelope["service_tier"] = json!(tier);
        }
        envelope
    }

    pub(super) fn openai(&self, request: &Request) -> Value {
        let logprobs = request.json()["logprobs"] == true;
        let mut body = self.envelope(request, "chat.completion");
        body["choices"] =
            self.choices.iter().enumerate().map(|(index, choice)| choice.whole(index, logprobs)).collect();
        if self.report != Report::Never {
            body["usage"] = self.counts(self.completion);
        }
        body
    }

    /// An answer in one piece.
    pub(super) fn whole(&self, request: &Request, body: &Value) -> Vec<Step> {
        let mut steps = self.stream.before_head.clone();
        let mut cut = self.stream.cut_after.map(|(_, end)| end);
        for piece in self.choices.iter().flat_map(|choice| &choice.pieces) {
            match piece {
                Piece::Pause(time) => steps.push(Step::Pause(*time)),
                Piece::Wait(gate) => steps.push(Step::Wait(gate.clone())),
                Piece::Cut(end) => cut = Some(*end),
                Piece::Fail(message) => {
                    steps.extend(Reply::from(status(500).message(message)).steps(request));
                    return steps;
                }
                _ => {}
            }
        }
        let body = body.to_string();
        let mut answer = status(200).body("application/json", body.clone());
        for (name, value) in &self.stream.headers {
            answer = answer.header(name, value);
        }
        let mut answer = Reply::from(answer).steps(request);
        if let (Some(end), Some(Step::Write(bytes))) = (cut, answer.last_mut()) {
            bytes.truncate(bytes.len() - body.len() / 2);
            answer.push(match end {
                End::Whole | End::Close => Step::Close,
                End::Reset => Step::Reset,
                End::Hang => Step::Hang,
            });
        }
        steps.extend(answer);
        steps
    }

    pub(super) fn streamed(&self, request: &Request) -> Sse {
        let asked = request.json();
        let logprobs = asked["logprobs"] == true;
        let usage_asked = request.wants_usage();
        let envelope = self.envelope(request, "chat.completion.chunk");
        let mut said = 0;
        let mut chunk = |choices: Value, finished: bool| {
            let mut chunk = envelope.clone();
            chunk["choices"] = choices;
            said += 1;
            match self.report {
                Report::WhenAsked if usage_asked => chunk["usage"] = Value::Null,
                Report::EveryChunk => chunk["usage"] = self.counts(self.completion.min(said)),
                Report::WithFinish if finished => chunk["usage"] = self.counts(self.completion),
                _ => {}
            }
            chunk
        };

        let mut stream = self.stream.clone();
        for index in 0..self.choices.len() {
            let delta = json!({ "role": "assistant", "content": "", "refusal": null });
            stream = stream.json(&chunk(delta_choice(index, &delta, &Value::Null, None), false));
        }
        // Choices interleave, as they do when a vendor samples them side by side.
        let rounds = self.choices.iter().map(|choice| choice.pieces.len()).max().unwrap_or(0);
        let mut tools = vec![0; self.choices.len()];
        for round in 0..rounds {
            for (index, choice) in self.choices.iter().enumerate() {
                let Some(piece) = choice.pieces.get(round) else { continue };
                match piece {
                    Piece::Pause(time) => stream = stream.pause(*time),
                    Piece::Wait(gate) => stream = stream.wait(gate),
                    Piece::Comment(text) => stream = stream.comment(text),
                    Piece::Raw(bytes) => stream = stream.raw(bytes.clone()),
                    Piece::Cut(end) => stream = stream.ends_here(*end),
                    Piece::Fail(message) => {
                        return stream.json(&Wire::OpenAi.error_body(500, message));
                    }
                    Piece::Bad(bad) => panic!("{bad:?}: OpenAI's wire has no frames"),
                    // Nobody has a word for them here.
                    Piece::Signature(_) | Piece::Redacted(_) => {}
                    Piece::Text(_) | Piece::Reasoning(_) | Piece::Refusal(_) | Piece::Tool { .. } => {
                        for (delta, shown) in piece.deltas(&mut tools[index], logprobs) {
                            stream = stream.json(&chunk(delta_choice(index, &delta, &shown, None), false));
                        }
                    }
                }
            }
        }
        for (index, choice) in self.choices.iter().enumerate() {
            let last = index + 1 == self.choices.len();
            let choices = delta_choice(index, &json!({}), &Value::Null, Some(choice.finish_reason()));
            stream = stream.json(&chunk(choices, last));
        }
        if self.report == Report::WhenAsked && usage_asked {
            let mut last = envelope.clone();
            last["choices"] = json!([]);
            last["usage"] = self.counts(self.completion);
            stream = stream.json(&last);
        }
        if let Some((events, error)) = &self.error {
            return stream.truncated(*events).json(error);
        }
        if self.done { stream.done() } else { stream }
    }
}

fn delta_choice(index: usize, delta: &Value, logprobs: &Value, finish: Option<&str>) -> Value {
    json!([{ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish }])
}

impl Choice {
    fn finish_reason(&self) -> &str {
        let calls = self.pieces.iter().any(|piece| matches!(piece, Piece::Tool { .. }));
        self.finish.as_deref().unwrap_or(if calls { "tool_calls" } else { "stop" })
    }

    fn whole(&self, index: usize, logprobs: bool) -> Value {
        let (mut text, mut reasoning, mut refusal) = (String::new(), String::new(), String::new());
        let (mut tools, mut shown) = (Vec::new(), Vec::new());
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => {
                    text.push_str(piece);
                    shown.push(logprob(piece));
                }
                Piece::Reasoning(piece) => reasoning.push_str(piece),
                Piece::Refusal(piece) => refusal.push_str(piece),
                Piece::Tool { id, name, arguments } => tools.push(json!({
                    "id": id, "type": "function", "function": { "name": name, "arguments": arguments },
                })),
                _ => {}
            }
        }
        let or_null = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        let mut message = json!({
            "role": "assistant",
            "content": or_null(&text),
            "refusal": or_null(&refusal),
            "annotations": [],
        });
        if !reasoning.is_empty() {
            message["reasoning_content"] = json!(reasoning);
        }
        if !tools.is_empty() {
            message["tool_calls"] = json!(tools);
        }
        let logprobs = if logprobs { json!({ "content": shown, "refusal": null }) } else { Value::Null };
        json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": self.finish_reason() })
    }
}

impl Piece {
    /// The deltas that carry it, each with its log probabilities.
    fn deltas(&self, tools: &mut usize, logprobs: bool) -> Vec<(Value, Value)> {
        match self {
            Self::Text(text) => {
                let shown = if logprobs {
                    json!({ "content": [logprob(text)], "refusal": null })
                } else {
                    Value::Null
                };
                vec![(json!({ "content": text }), shown)]
            }
            Self::Reasoning(text) => vec![(json!({ "reasoning_content": text }), Value::Null)],
            Self::Refusal(text) => vec![(json!({ "refusal": text }), Value::Null)],
            Self::Tool { id, name, arguments } => {
                let index = *tools;
                *tools += 1;
                let function = json!({ "name": name, "arguments": "" });
                let first = json!({ "index": index, "id": id, "type": "function", "function": function });
                let characters: Vec<char> = arguments.chars().collect();
                let pieces = characters.chunks(8).map(|piece| {
                    let piece: String = piece.iter().collect();
                    json!({ "index": index, "function": { "arguments": piece } })
                });
                std::iter::once(first)
                    .chain(pieces)
                    .map(|call| (json!({ "tool_calls": [call] }), Value::Null))
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

fn logprob(token: &str) -> Value {
    json!({ "token": token, "logprob": -0.25, "bytes": token.as_bytes(), "top_logprobs": [] })
}

//! A vendor's whole answer as the stream in which it would have come, piece by piece as its wire has them.

use bytes::BytesMut;
use serde_json::{Value, json};
use steelyard_dialect::{Dialect, event_stream};

/// The bytes of the stream.
pub(crate) fn of(dialect: Dialect, answer: &Value) -> Vec<u8> {
    match dialect.name() {
        "openai_chat" => chunks(answer),
        "anthropic_messages" => events(answer),
        "bedrock_converse" => frames(answer),
        "gemini_generate" => answers(answer),
        other => panic!("{other} streams in a way that nobody wrote down here"),
    }
}

/// A text in two pieces.
fn halves(text: &str) -> [&str; 2] {
    let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
    let (head, tail) = text.split_at(middle);
    [head, tail]
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a client reads: the JSON of each event of its stream, of Bedrock's under the event's name.
pub(crate) fn data(client: Dialect, stream: &[u8]) -> Vec<Value> {
    if client == Dialect::BedrockConverse {
        let shown = crate::bedrock::streams::shown(stream);
        let events = shown.lines().map(|line| line.split_once(' ').unwrap());
        return events
            .map(|(name, data)| json!({ name: serde_json::from_str::<Value>(data).unwrap() }))
            .collect();
    }
    let text = std::str::from_utf8(stream).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|line| *line != "[DONE]");
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn chunks(answer: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chunk = |choices: Value, more: Value| {
        let mut chunk = json!({"id": answer["id"], "object": "chat.completion.chunk", "created": answer["created"],
            "model": answer["model"], "choices": choices});
        for name in ["service_tier", "system_fingerprint"] {
            if !answer[name].is_null() {
                chunk[name] = answer[name].clone();
            }
        }
        super::rows::lay(&mut chunk, &more);
        out.extend(format!("data: {chunk}\n\n").into_bytes());
    };
    for choice in list(&answer["choices"]) {
        let index = &choice["index"];
        let mut delta =
            |delta: Value| chunk(json!([{"index": index, "delta": delta, "finish_reason": null}]), json!({}));
        delta(json!({"role": "assistant", "content": ""}));
        let message = &choice["message"];
        if !message["reasoning_details"].is_null() {
            delta(json!({"reasoning_details": message["reasoning_details"]}));
        }
        for name in ["reasoning_content", "content", "refusal"] {
            for half in halves(text(&message[name])).into_iter().filter(|half| !half.is_empty()) {
                delta(json!({name: half}));
            }
        }
        for name in ["annotations", "audio"] {
            if !message[name].is_null() {
                delta(json!({name: message[name]}));
            }
        }
        for (number, call) in list(&message["tool_calls"]).enumerate() {
            let kind = text(&call["type"]);
            let member = if kind == "custom" { "input" } else { "arguments" };
            let inner = &call[kind];
            delta(
                json!({"tool_calls": [{"index": number, "id": call["id"], "type": kind, kind: {"name": inner["name"], member: ""}}]}),
            );
            for half in halves(text(&inner[member])) {
                delta(json!({"tool_calls": [{"index": number, kind: {member: half}}]}));
            }
        }
        let mut last = json!({"index": index, "delta": {}, "finish_reason": choice["finish_reason"]});
        if !choice["logprobs"].is_null() {
            last["logprobs"] = choice["logprobs"].clone();
        }
        chunk(json!([last]), json!({}));
    }
    chunk(json!([]), json!({"usage": answer["usage"]}));
    out.extend(b"data: [DONE]\n\n");
    out
}

fn events(answer: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let mut event = |name: &str, data: Value| {
        let mut all = json!({"type": name});
        super::rows::lay(&mut all, &data);
        out.extend(format!("event: {name}\ndata: {all}\n\n").into_bytes());
    };
    let mut start = answer.clone();
    start["content"] = json!([]);
    start["usage"]["output_tokens"] = json!(1);
    for name in ["stop_reason", "stop_sequence", "stop_details"] {
        start.as_object_mut().unwrap().remove(name);
    }
    event("message_start", json!({"message": start}));
    for (index, block) in list(&answer["content"]).enumerate() {
        let mut begun = block.clone();
        let mut deltas = Vec::new();
        match text(&block["type"]) {
            "text" => {
                begun = json!({"type": "text", "text": ""});
                let halves = halves(text(&block["text"]));
                deltas.extend(halves.map(|half| json!({"type": "text_delta", "text": half})));
                deltas.extend(
                    list(&block["citations"])
                        .map(|citation| json!({"type": "citations_delta", "citation": citation})),
                );
            }
            "thinking" => {
                begun = json!({"type": "thinking", "thinking": "", "signature": ""});
                let halves = halves(text(&block["thinking"]));
                deltas.extend(halves.map(|half| json!({"type": "thinking_delta", "thinking": half})));
                deltas.push(json!({"type": "signature_delta", "signature": block["signature"]}));
            }
            "tool_use" | "server_tool_use" => {
                begun["input"] = json!({});
                let input = block["input"].to_string();
                deltas.extend(
                    halves(&input).map(|half| json!({"type": "input_json_delta", "partial_json": half})),
                );
            }
            _ => {}
        }
        event("content_block_start", json!({"index": index, "content_block": begun}));
        for delta in deltas {
            event("content_block_delta", json!({"index": index, "delta": delta}));
        }
        event("content_block_stop", json!({"index": index}));
    }
    let mut delta = json!({});
    for name in ["stop_reason", "stop_sequence", "stop_details"] {
        if !answer[name].is_null() {
            delta[name] = answer[name].clone();
        }
    }
    event("message_delta", json!({"delta": delta, "usage": answer["usage"]}));
    event("message_stop", json!({}));
    out
}

fn frames(answer: &Value) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut event = |name: &str, data: Value| {
        let headers =
            [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
        event_stream::write(&mut out, &headers, data.to_string().as_bytes());
    };
    event("messageStart", json!({"role": "assistant"}));
    for (index, block) in list(&answer["output"]["message"]["content"]).enumerate() {
        let mut deltas = Vec::new();
        let said = if block["citationsContent"].is_null() {
            &block["text"]
        } else {
            &block["citationsContent"]["content"][0]["text"]
        };
        deltas.extend(
            halves(text(said)).into_iter().filter(|half| !half.is_empty()).map(|half| json!({"text": half})),
        );
        deltas.extend(
            list(&block["citationsContent"]["citations"]).map(|citation| json!({"citation": citation})),
        );
        let thought = &block["reasoningContent"];
        if let Some(thought) = thought["reasoningText"].as_object() {
            deltas.extend(
                halves(text(&thought["text"])).map(|half| json!({"reasoningContent": {"text": half}})),
            );
            deltas.push(json!({"reasoningContent": {"signature": thought["signature"]}}));
        }
        if !thought["redactedContent"].is_null() {
            deltas.push(json!({"reasoningContent": {"redactedContent": thought["redactedContent"]}}));
        }
        if let Some(image) = block["image"].as_object() {
            let start = json!({"image": {"format": image["format"]}});
            event("contentBlockStart", json!({"contentBlockIndex": index, "start": start}));
            deltas.push(json!({"image": {"source": image["source"]}}));
        }
        if let Some(call) = block["toolUse"].as_object() {
            let mut start = call.clone();
            let input = start.remove("input").unwrap_or_default().to_string();
            event("contentBlockStart", json!({"contentBlockIndex": index, "start": {"toolUse": start}}));
            deltas.extend(halves(&input).map(|half| json!({"toolUse": {"input": half}})));
        }
        for delta in deltas {
            event("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}));
        }
        event("contentBlockStop", json!({"contentBlockIndex": index}));
    }
    let mut stop = json!({"stopReason": answer["stopReason"]});
    let mut metadata = json!({"usage": answer["usage"], "metrics": answer["metrics"]});
    let name = "additionalModelResponseFields";
    if !answer[name].is_null() {
        stop[name] = answer[name].clone();
    }
    for name in ["trace", "performanceConfig", "serviceTier"] {
        if !answer[name].is_null() {
            metadata[name] = answer[name].clone();
        }
    }
    event("messageStop", stop);
    event("metadata", metadata);
    out.to_vec()
}

/// Each event is an answer with the next piece; what stands beside the content comes with the last.
fn answers(answer: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let mut event = |more: Value| {
        let mut event = json!({"modelVersion": answer["modelVersion"], "responseId": answer["responseId"]});
        super::rows::lay(&mut event, &more);
        out.extend(format!("data: {event}\r\n\r\n").into_bytes());
    };
    if !answer["promptFeedback"].is_null() {
        event(json!({"promptFeedback": answer["promptFeedback"]}));
    }
    for candidate in list(&answer["candidates"]) {
        let mut piece = |part: Value| {
            let content = json!({"role": "model", "parts": [part]});
            event(json!({"candidates": [{"content": content, "index": candidate["index"]}]}));
        };
        for part in list(&candidate["content"]["parts"]) {
            match part["text"].as_str() {
                Some(said) => {
                    for half in halves(said) {
                        let mut half_part = part.clone();
                        half_part["text"] = json!(half);
                        piece(half_part);
                    }
                }
                None => piece(part.clone()),
            }
        }
    }
    let mut last = json!({"usageMetadata": answer["usageMetadata"]});
    if !answer["candidates"].is_null() {
        last["candidates"] = answer["candidates"].clone();
        for candidate in last["candidates"].as_array_mut().unwrap() {
            candidate["content"] = json!({"role": "model", "parts": [{"text": ""}]});
        }
    }
    event(last);
    out
}

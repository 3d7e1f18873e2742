//! Answers as a strict client of each wire reads them: what breaks the rules of the wire fails the test.

use serde_json::{Value, json};
use steelyard_testkit::{Answer, Wire, unframe};

use super::{Mode, Pair};

/// What an answer says.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) thinking: String,
    pub(crate) signature: String,
    pub(crate) redacted: Vec<String>,
    pub(crate) refusal: String,
    /// Id, name, input.
    pub(crate) calls: Vec<(String, String, Value)>,
    /// In the client's words.
    pub(crate) stop: String,
    pub(crate) stop_sequence: Option<String>,
    /// As the client's wire has it.
    pub(crate) usage: Value,
    /// What a client would put into the next request's history.
    pub(crate) message: Value,
    /// The error that ended a stream.
    pub(crate) error: Option<Value>,
}

/// An answer that went well.
#[track_caller]
pub(crate) fn said(pair: Pair, answer: &Answer) -> Said {
    assert_eq!(answer.status, 200, "{pair:?}: {}", answer.text());
    assert!(answer.complete, "{pair:?}: the answer broke off: {}", answer.text());
    let said = read(pair, answer);
    assert_eq!(said.error, None, "{pair:?}");
    said
}

/// An answer, or as much of it as came before an error in the stream.
#[track_caller]
pub(crate) fn read(pair: Pair, answer: &Answer) -> Said {
    let kind = answer.header("content-type").unwrap_or_default();
    let expected = match (pair.mode, pair.client) {
        (Mode::Whole, _) => "application/json",
        (Mode::Streamed, Wire::OpenAi | Wire::Anthropic | Wire::Gemini) => "text/event-stream; charset=utf-8",
        (Mode::Streamed, Wire::Bedrock) => "application/vnd.amazon.eventstream",
    };
    assert_eq!(kind, expected, "{pair:?}: {}", answer.text());
    match (pair.client, pair.mode) {
        (Wire::OpenAi, Mode::Whole) => openai(&answer.json()),
        (Wire::OpenAi, Mode::Streamed) => openai_stream(answer),
        (Wire::Anthropic, Mode::Whole) => anthropic(&answer.json()),
        (Wire::Anthropic, Mode::Streamed) => anthropic_stream(answer),
        (Wire::Bedrock, Mode::Whole) => bedrock(&answer.json()),
        (Wire::Gemini, Mode::Whole) => gemini(&[answer.json()]),
        (Wire::Gemini, Mode::Streamed) => gemini(&gemini_events(answer)),
        (Wire::Bedrock, Mode::Streamed) => bedrock_stream(answer),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn parsed(input: &str) -> Value {
    serde_json::from_str(input)
        .unwrap_or_else(|error| panic!("the input of a call is no JSON ({error}): {input}"))
}

fn details(said: &mut Said, details: &Value) {
    for detail in list(details) {
        said.signature += &text(&detail["signature"]);
        said.redacted.extend(detail["data"].as_str().map(str::to_owned));
    }
}

fn openai(body: &Value) -> Said {
    assert_eq!(body["object"], "chat.completion", "{body}");
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")), "{body}");
    let choice = &body["choices"][0];
    let message = &choice["message"];
    assert_eq!(message["role"], "assistant", "{body}");
    let calls = list(&message["tool_calls"]).iter().map(|call| {
        assert_eq!(call["type"], "function", "{call}");
        let function = &call["function"];
        (text(&call["id"]), text(&function["name"]), parsed(function["arguments"].as_str().unwrap()))
    });
    let mut said = Said {
        text: text(&message["content"]),
        thinking: text(&message["reasoning_content"]),
        refusal: text(&message["refusal"]),
        calls: calls.collect(),
        stop: text(&choice["finish_reason"]),
        usage: body["usage"].clone(),
        message: message.clone(),
        ..Said::default()
    };
    details(&mut said, &message["reasoning_details"]);
    said
}

fn openai_stream(answer: &Answer) -> Said {
    let mut said = Said::default();
    let mut events = answer.events();
    let done = events.last().is_some_and(|event| event == "[DONE]");
    if done {
        events.pop();
    }
    let (mut calls, mut more): (Vec<(String, String, String)>, _) = (Vec::new(), Vec::new());
    for (number, event) in events.iter().enumerate() {
        let event: Value = serde_json::from_str(event).unwrap_or_else(|_| panic!("not JSON: {event}"));
        if !event["error"].is_null() {
            assert_eq!(number + 1, events.len(), "events after an error: {}", answer.text());
            said.error = Some(event);
            break;
        }
        assert_eq!(event["object"], "chat.completion.chunk", "{event}");
        let Some(choice) = event["choices"].get(0) else {
            said.usage = event["usage"].clone();
            continue;
        };
        let delta = &choice["delta"];
        said.text += &text(&delta["content"]);
        said.thinking += &text(&delta["reasoning_content"]);
        said.refusal += &text(&delta["refusal"]);
        details(&mut said, &delta["reasoning_details"]);
        more.extend(list(&delta["reasoning_details"]).iter().cloned());
        for call in list(&delta["tool_calls"]) {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            if index == calls.len() {
                calls.push((text(&call["id"]), text(&call["function"]["name"]), String::new()));
                assert!(!calls[index].0.is_empty() && !calls[index].1.is_empty(), "{call}");
            } else {
                assert!(call.get("id").is_none() && call["function"].get("name").is_none(), "twice: {call}");
            }
            calls[index].2 += &text(&call["function"]["arguments"]);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            assert!(said.stop.is_empty(), "two finish reasons: {}", answer.text());
            reason.clone_into(&mut said.stop);
        }
    }
    assert_eq!(done, said.error.is_none(), "[DONE] and only without an error: {}", answer.text());
    said.calls = calls
        .iter()
        .map(|(id, name, input)| (id.clone(), name.clone(), if done { parsed(input) } else { json!(input) }))
        .collect();
    let tool_calls: Vec<Value> = calls
        .iter()
        .map(|(id, name, input)| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": input } }))
        .collect();
    said.message = json!({ "role": "assistant", "content": said.text, "reasoning_content": said.thinking });
    if !more.is_empty() {
        said.message["reasoning_details"] = json!(gathered(&more));
    }
    if !tool_calls.is_empty() {
        said.message["tool_calls"] = json!(tool_calls);
    }
    said
}

/// Details of a stream as agents gather them: by `index`, texts one behind the other.
fn gathered(pieces: &[Value]) -> Vec<Value> {
    let mut whole: Vec<Value> = Vec::new();
    for piece in pieces {
        match whole
            .iter_mut()
            .find(|known| known["index"] == piece["index"] && known["type"] == piece["type"])
        {
            Some(known) => {
                if let Some(more) = piece["text"].as_str() {
                    known["text"] = json!(text(&known["text"]) + more);
                }
                if !piece["signature"].is_null() {
                    known["signature"] = piece["signature"].clone();
                    known["format"] = piece["format"].clone();
                }
            }
            None => whole.push(piece.clone()),
        }
    }
    whole
}

fn anthropic(body: &Value) -> Said {
    assert_eq!((&body["type"], &body["role"]), (&json!("message"), &json!("assistant")), "{body}");
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("msg_")), "{body}");
    let mut said = Said {
        stop: text(&body["stop_reason"]),
        stop_sequence: body["stop_sequence"].as_str().map(str::to_owned),
        refusal: text(&body["stop_details"]["explanation"]),
        usage: body["usage"].clone(),
        message: json!({ "role": "assistant", "content": body["content"] }),
        ..Said::default()
    };
    for block in list(&body["content"]) {
        match block["type"].as_str().unwrap() {
            "text" => said.text += block["text"].as_str().unwrap(),
            "thinking" => {
                said.thinking += block["thinking"].as_str().unwrap();
                said.signature += block["signature"].as_str().expect("every thinking block has one");
            }
            "redacted_thinking" => said.redacted.push(text(&block["data"])),
            "tool_use" => said.calls.push((text(&block["id"]), text(&block["name"]), block["input"].clone())),
            other => panic!("a block of type {other}"),
        }
    }
    said
}

fn anthropic_stream(answer: &Answer) -> Said {
    let whole = answer.text();
    let (mut message, mut open, mut inputs) = (Value::Null, None, Vec::new());
    let (mut delta, mut stopped, mut error) = (false, false, None);
    for event in whole.split_terminator("\n\n") {
        let (name, data) = event.split_once('\n').unwrap_or_else(|| panic!("no name: {event}"));
        let name = name.strip_prefix("event: ").unwrap_or_else(|| panic!("no name: {event}"));
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["type"], name, "{event}");
        assert!(!stopped && error.is_none(), "an event after the end: {whole}");
        let index = data["index"].as_u64().and_then(|index| usize::try_from(index).ok());
        match name {
            "message_start" => {
                assert!(message.is_null(), "{whole}");
                message = data["message"].clone();
                assert_eq!(message["content"], json!([]), "{event}");
                assert!(message["usage"]["input_tokens"].is_u64(), "{event}");
                assert!(message["usage"]["output_tokens"].is_u64(), "{event}");
            }
            "ping" => {}
            "content_block_start" => {
                assert_eq!(open, None, "blocks overlap: {whole}");
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(index, Some(content.len()), "{whole}");
                content.push(data["content_block"].clone());
                inputs.push(String::new());
                open = index;
            }
            "content_block_delta" => {
                assert_eq!(index, open, "a delta of no open block: {whole}");
                let (block, delta) = (&mut message["content"][index.unwrap()], &data["delta"]);
                let (member, piece) = match delta["type"].as_str().unwrap() {
                    "text_delta" => ("text", "text"),
                    "thinking_delta" => ("thinking", "thinking"),
                    "signature_delta" => ("signature", "signature"),
                    "input_json_delta" => {
                        inputs[index.unwrap()] += delta["partial_json"].as_str().unwrap();
                        continue;
                    }
                    other => panic!("a delta of type {other}"),
                };
                block[member] = json!(text(&block[member]) + delta[piece].as_str().unwrap());
            }
            "content_block_stop" => {
                assert_eq!(index, open, "{whole}");
                let input = &inputs[open.unwrap()];
                if !input.is_empty() {
                    message["content"][open.unwrap()]["input"] = parsed(input);
                }
                open = None;
            }
            "message_delta" => {
                assert_eq!(open, None, "{whole}");
                for (member, value) in data["delta"].as_object().unwrap() {
                    message[member] = value.clone();
                }
                for (member, value) in data["usage"].as_object().unwrap() {
                    message["usage"][member] = value.clone();
                }
                delta = true;
            }
            "message_stop" => {
                assert!(delta, "{whole}");
                stopped = true;
            }
            "error" => error = Some(data),
            other => panic!("an event {other}"),
        }
    }
    assert_eq!(stopped, error.is_none(), "message_stop and only without an error: {whole}");
    let mut said = anthropic(&message);
    said.error = error;
    said
}

fn bedrock(body: &Value) -> Said {
    assert!(body["metrics"]["latencyMs"].is_u64(), "{body}");
    let message = &body["output"]["message"];
    assert_eq!(message["role"], "assistant", "{body}");
    let mut said = Said {
        stop: text(&body["stopReason"]),
        stop_sequence: body["additionalModelResponseFields"]["stop_sequence"].as_str().map(str::to_owned),
        usage: body["usage"].clone(),
        message: message.clone(),
        ..Said::default()
    };
    for block in list(&message["content"]) {
        assert_eq!(block.as_object().map(serde_json::Map::len), Some(1), "a union has one member: {block}");
        if let Some(text) = block["text"].as_str() {
            said.text += text;
        } else if let Some(call) = block.get("toolUse") {
            said.calls.push((text(&call["toolUseId"]), text(&call["name"]), call["input"].clone()));
        } else if let Some(reasoning) = block.get("reasoningContent") {
            said.thinking += &text(&reasoning["reasoningText"]["text"]);
            said.signature += &text(&reasoning["reasoningText"]["signature"]);
            said.redacted.extend(reasoning["redactedContent"].as_str().map(str::to_owned));
        } else {
            panic!("a block {block}");
        }
    }
    said
}

fn bedrock_stream(answer: &Answer) -> Said {
    let (frames, left) = unframe(&answer.body);
    assert_eq!(left, 0, "half a frame is left");
    let names: Vec<_> =
        frames.iter().map(|frame| frame.header(":event-type").unwrap_or("exception")).collect();
    let mut body = json!({ "output": { "message": { "role": "assistant", "content": [] } }, "metrics": { "latencyMs": 0 } });
    let mut inputs: Vec<String> = Vec::new();
    let mut error = None;
    for (number, frame) in frames.iter().enumerate() {
        let data = frame.json();
        if let Some(name) = frame.header(":exception-type") {
            assert_eq!(frame.header(":message-type"), Some("exception"));
            assert_eq!(number + 1, frames.len(), "a frame after an exception: {names:?}");
            assert!(data["message"].as_str().is_some_and(|text| !text.is_empty()), "{data}");
            error = Some(json!({ "name": name, "message": data["message"], "steelyard": data["steelyard"] }));
            continue;
        }
        assert_eq!(frame.header(":message-type"), Some("event"));
        assert_eq!(frame.header(":content-type"), Some("application/json"));
        let index = data["contentBlockIndex"].as_u64().and_then(|index| usize::try_from(index).ok());
        let content = body["output"]["message"]["content"].as_array_mut().unwrap();
        match names[number] {
            "messageStart" => assert_eq!((number, &data["role"]), (0, &json!("assistant"))),
            "contentBlockStart" => {
                assert_eq!(index, Some(content.len()), "{names:?}");
                content.push(data["start"].clone());
                inputs.push(String::new());
            }
            "contentBlockDelta" => {
                let index = index.unwrap();
                if index == content.len() {
                    content.push(json!({}));
                    inputs.push(String::new());
                }
                assert_eq!(index + 1, content.len(), "blocks overlap: {names:?}");
                let (block, delta) = (&mut content[index], &data["delta"]);
                if let Some(piece) = delta["text"].as_str() {
                    block["text"] = json!(text(&block["text"]) + piece);
                } else if let Some(piece) = delta["toolUse"]["input"].as_str() {
                    inputs[index] += piece;
                } else if let Some(data) = delta["reasoningContent"].get("redactedContent") {
                    block["reasoningContent"]["redactedContent"] = data.clone();
                } else {
                    for member in ["text", "signature"] {
                        let Some(piece) = delta["reasoningContent"][member].as_str() else { continue };
                        let known = &mut block["reasoningContent"]["reasoningText"][member];
                        *known = json!(text(known) + piece);
                    }
                }
            }
            "contentBlockStop" => {
                assert_eq!(index.map(|index| index + 1), Some(content.len()), "{names:?}");
                let block = &mut content[index.unwrap()];
                if block.get("toolUse").is_some() {
                    let input = &inputs[index.unwrap()];
                    block["toolUse"]["input"] = if input.is_empty() { json!({}) } else { parsed(input) };
                }
            }
            "messageStop" => {
                body["stopReason"] = data["stopReason"].clone();
                body["additionalModelResponseFields"] = data["additionalModelResponseFields"].clone();
            }
            "metadata" => {
                assert_eq!(names[number - 1], "messageStop", "{names:?}");
                assert!(data["metrics"]["latencyMs"].is_u64(), "{data}");
                body["usage"] = data["usage"].clone();
            }
            other => panic!("an event {other}"),
        }
    }
    assert_eq!(names.contains(&"metadata"), error.is_none(), "{names:?}");
    let mut said = bedrock(&body);
    said.error = error;
    said
}

fn gemini_events(answer: &Answer) -> Vec<Value> {
    let whole = answer.text().replace("\r\n", "\n");
    let events = whole.split("\n\n").filter(|event| !event.is_empty());
    // Google's SDKs take nothing but data.
    let data = events.map(|event| event.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {whole}")));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| panic!("not JSON: {data}"))).collect()
}

/// A whole answer, or the pieces of one.
fn gemini(pieces: &[Value]) -> Said {
    let mut said = Said::default();
    let mut parts = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        if !piece["error"].is_null() {
            assert_eq!(number + 1, pieces.len(), "pieces after an error: {pieces:?}");
            assert!(piece["candidates"].is_null(), "{piece}");
            said.error = Some(piece.clone());
            break;
        }
        assert!(said.stop.is_empty(), "a piece after the end: {pieces:?}");
        let candidate = &piece["candidates"][0];
        assert_eq!(candidate["index"].as_u64().unwrap_or_default(), 0, "{piece}");
        said.usage = piece["usageMetadata"].clone();
        said.stop = text(&candidate["finishReason"]);
        parts.extend(list(&candidate["content"]["parts"]).iter().cloned());
    }
    assert_eq!(said.stop.is_empty(), said.error.is_some(), "a reason, and only without an error: {pieces:?}");
    for part in &parts {
        said.signature += &text(&part["thoughtSignature"]);
        if let Some(call) = part.get("functionCall") {
            said.calls.push((text(&call["id"]), text(&call["name"]), call["args"].clone()));
        } else if part["thought"] == true {
            said.thinking += &text(&part["text"]);
        } else {
            said.text += part["text"].as_str().unwrap_or_else(|| panic!("a part {part}"));
        }
    }
    said.message = json!({ "role": "model", "parts": parts });
    said
}

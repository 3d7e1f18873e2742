//! Signed thoughts amid what a turn says and calls: through a client of Chat Completions, which has one text and a list of
//! calls, they come back to their vendor in the order in which they were thought.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use steelyard_dialect::chat::{ChatResponse, Choice, FinishReason, Message, Part, Role, ToolCall, ToolInput};
use steelyard_dialect::{ChatRequest, Dialect, Outside, StreamEvent, Target};

use crate::wire::{context, decoded, encoded};

fn said(text: &str) -> Part {
    Part::text(text)
}

fn thought(text: &str) -> Part {
    Part::Reasoning { text: text.into(), signature: Some(format!("proof of {text}")) }
}

fn hidden(data: &str) -> Part {
    Part::RedactedReasoning { data: data.into() }
}

fn call(id: &str) -> Part {
    let input = ToolInput::Arguments("{}".into());
    Part::ToolCall(ToolCall { id: id.into(), name: "find".into(), input })
}

/// The message of a whole answer, as the client gets it.
fn whole(turn: &[Part]) -> Value {
    let message = Message { role: Role::Assistant, content: turn.to_vec(), ..Message::default() };
    let choice = Choice { index: 0, message, finish: FinishReason::Stop, logprobs: None };
    let response = ChatResponse {
        id: None,
        model: "m".into(),
        created: None,
        choices: vec![choice],
        usage: None,
        service_tier: None,
        geo: None,
        system_fingerprint: None,
    };
    let body = Dialect::OpenAiChat.encode_response(&response, &context());
    serde_json::from_slice::<Value>(&body).unwrap()["choices"][0]["message"].take()
}

/// The message that a client puts together of a stream: texts are joined, and what has an index goes to what has it.
fn streamed(turn: &[Part]) -> Value {
    let mut events =
        vec![StreamEvent::Start { id: None, model: None, service_tier: None, system_fingerprint: None }];
    let (choice, mut calls) = (0, 0);
    for part in turn {
        match part.clone() {
            Part::Text { text, .. } => {
                // In pieces, the letters of more than one byte among them.
                events.extend(text.chars().map(|letter| StreamEvent::Text { choice, text: letter.into() }));
            }
            Part::Reasoning { text, signature } => {
                events.extend(
                    text.split_inclusive(' ')
                        .map(|text| StreamEvent::Reasoning { choice, text: text.into() }),
                );
                events
                    .extend(signature.map(|signature| StreamEvent::ReasoningSignature { choice, signature }));
            }
            Part::RedactedReasoning { data } => events.push(StreamEvent::RedactedReasoning { choice, data }),
            Part::ToolCall(ToolCall { id, name, input }) => {
                let ToolInput::Arguments(text) = input else { panic!("a function is called") };
                events.push(StreamEvent::ToolCallStart { choice, call: calls, id, name, custom: false });
                events.push(StreamEvent::ToolCallArguments { choice, call: calls, text });
                calls += 1;
            }
            other => panic!("no piece of an answer: {other:?}"),
        }
        events.push(StreamEvent::PartEnd { choice });
    }
    events.push(StreamEvent::Finish { choice, reason: FinishReason::Stop });
    let stream = encoded(Dialect::OpenAiChat, &events);
    assert_eq!(decoded(Dialect::OpenAiChat, &[&stream]).1, "complete");
    let mut message = Map::new();
    for line in std::str::from_utf8(&stream).unwrap().lines().filter_map(|line| line.strip_prefix("data: {"))
    {
        let mut chunk: Value = serde_json::from_str(&format!("{{{line}")).unwrap();
        if let Value::Object(delta) = chunk["choices"][0]["delta"].take() {
            delta
                .into_iter()
                .for_each(|(name, value)| add(message.entry(name).or_insert(Value::Null), value));
        }
    }
    message.into()
}

/// As the SDKs accumulate deltas.
fn add(sum: &mut Value, more: Value) {
    match (sum, more) {
        (Value::String(sum), Value::String(more)) => sum.push_str(&more),
        (Value::Object(sum), Value::Object(more)) => {
            for (name, value) in more {
                match name.as_str() {
                    "index" | "type" => drop(sum.insert(name, value)),
                    _ => add(sum.entry(name).or_insert(Value::Null), value),
                }
            }
        }
        (Value::Array(sum), Value::Array(more)) => {
            for value in more {
                match sum.iter_mut().find(|known| known["index"] == value["index"]) {
                    Some(known) => add(known, value),
                    None => sum.push(value),
                }
            }
        }
        (_, Value::Null) => {}
        (sum, more) => *sum = more,
    }
}

/// The client sends the message back.
fn replay(message: Value) -> ChatRequest {
    let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
    let mut messages = vec![json!({"role": "user", "content": "Go."}), message];
    messages
        .extend(calls.iter().map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "4"})));
    messages.push(json!({"role": "user", "content": "And?"}));
    let body = json!({"model": "m", "messages": messages}).to_string();
    let outside = Outside { model: None, stream: false, version: None, headers: None };
    Dialect::OpenAiChat.decode_request(body.as_bytes(), &outside).unwrap()
}

/// What the wire can tell of a turn: texts in a row are one, and between two thoughts what is said comes before what is
/// called.
fn tellable(turn: &[Part]) -> Vec<Part> {
    let mut told: Vec<Part> = Vec::new();
    let (mut text, mut calls) = (String::new(), Vec::new());
    let end = |text: &mut String, calls: &mut Vec<Part>, told: &mut Vec<Part>| {
        if !text.is_empty() {
            told.push(Part::text(std::mem::take(text)));
        }
        told.append(calls);
    };
    for part in turn {
        match part {
            Part::Text { text: more, .. } => text.push_str(more),
            Part::ToolCall(_) => calls.push(part.clone()),
            thought => {
                end(&mut text, &mut calls, &mut told);
                told.push(thought.clone());
            }
        }
    }
    end(&mut text, &mut calls, &mut told);
    told
}

fn come_back(turn: &[Part]) {
    for (how, message) in [("whole", whole(turn)), ("streamed", streamed(turn))] {
        let again = replay(message.clone());
        assert_eq!(again.messages[1].content, tellable(turn), "{how}: {message}");
    }
}

#[test]
fn a_turn_comes_back_in_the_order_in_which_it_was_said() {
    let orders = [
        vec![thought("a"), said("Kiel.")],
        vec![said("Let me see. "), thought("a"), said("Kiel.")],
        vec![said("Ich prüfe. "), thought("a b"), call("c1")],
        vec![thought("a"), said("One. "), thought("b"), call("c1"), call("c2")],
        vec![thought("a"), call("c1"), thought("b"), call("c2"), thought("c")],
        vec![
            call("c1"),
            hidden("x"),
            said("Kiel 🚢. "),
            hidden("y"),
            thought("b"),
            said("There."),
            call("c2"),
        ],
        vec![said("Only said."), thought("last")],
    ];
    for turn in &orders {
        assert_eq!(tellable(turn), *turn, "the wire can tell it");
        come_back(turn);
        for (vendor, model, kinds) in [
            (Dialect::AnthropicMessages, "claude-opus-4-6", anthropics as fn(&Value) -> Vec<String>),
            (Dialect::BedrockConverse, "us.anthropic.claude-opus-4-6-v1", bedrocks),
        ] {
            let target = Target { model, max_output: None, compatible: false };
            let (body, _) = vendor.encode_request(&replay(whole(turn)), &target);
            let body: Value = serde_json::from_slice(&body).unwrap();
            let expected: Vec<&str> = turn.iter().map(|part| kind(part)).collect();
            assert_eq!(kinds(&body["messages"][1]["content"]), expected, "{}: {body}", vendor.name());
        }
    }
}

fn kind(part: &Part) -> &'static str {
    match part {
        Part::Text { .. } => "text",
        Part::Reasoning { .. } => "thought",
        Part::RedactedReasoning { .. } => "hidden",
        Part::ToolCall(_) => "call",
        other => panic!("no piece of an answer: {other:?}"),
    }
}

fn anthropics(content: &Value) -> Vec<String> {
    let kind = |block: &Value| match block["type"].as_str().unwrap() {
        "thinking" => "thought",
        "redacted_thinking" => "hidden",
        "tool_use" => "call",
        _ => "text",
    };
    content.as_array().unwrap().iter().map(|block| kind(block).to_owned()).collect()
}

fn bedrocks(content: &Value) -> Vec<String> {
    let kind = |block: &Value| match block.as_object().unwrap().keys().next().unwrap().as_str() {
        "reasoningContent" if block.pointer("/reasoningContent/redactedContent").is_some() => "hidden",
        "reasoningContent" => "thought",
        "toolUse" => "call",
        _ => "text",
    };
    content.as_array().unwrap().iter().map(|block| kind(block).to_owned()).collect()
}

#[test]
fn a_thought_comes_first_if_nobody_knows_where_it_stood() {
    let turn = [said("One. "), thought("a"), said("Two."), call("c1")];
    let first = [thought("a"), said("One. Two."), call("c1")];
    let mut message = whole(&turn);
    assert_eq!(message["reasoning_details"][0]["id"], "steelyard.5.0");
    let with = |message: &Value, id: Value| {
        let mut message = message.clone();
        message["reasoning_details"][0]["id"] = id;
        replay(message).messages.remove(1).content
    };
    // What others write there, and places that are not in this turn.
    for id in [
        json!(null),
        json!("rs_1"),
        json!(7),
        json!("steelyard.x.0"),
        json!("steelyard.99.0"),
        json!("steelyard.0.2"),
    ] {
        assert_eq!(with(&message, id.clone()), first, "{id}");
    }
    message["content"] = json!([{"type": "text", "text": "One. Two."}]);
    assert_eq!(with(&message, json!("steelyard.5.0")), turn, "a client that makes parts of the text");
    message.as_object_mut().unwrap().remove("reasoning_details");
    let bare = [Part::reasoning("a"), said("One. Two."), call("c1")];
    assert_eq!(replay(message).messages[1].content, bare, "a client that drops the details");
}

/// The proof of a thought is of its own text alone.
#[test]
fn a_thought_without_a_proof_is_no_part_of_the_next_one() {
    let unproved = Part::reasoning("guess");
    let message = streamed(&[unproved, said("One. "), thought("a")]);
    assert_eq!(message["reasoning_details"][0]["text"], "a", "{message}");
}

proptest! {
    #[test]
    fn any_turn_with_proved_thoughts_comes_back(kinds in vec(0..4_u8, 1..9)) {
        let mut turn: Vec<Part> = kinds
            .iter()
            .enumerate()
            .map(|(number, kind)| match kind {
                0 => said(&format!("wört {number} ")),
                1 => thought(&format!("t{number}")),
                2 => hidden(&format!("h{number}")),
                _ => call(&format!("c{number}")),
            })
            .collect();
        // A turn without any thought has no order to keep.
        turn.push(thought("end"));
        come_back(&turn);
    }
}

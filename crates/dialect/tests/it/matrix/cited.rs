//! Where the sources of an answer stand: a stream tells it as the whole answer does.

use std::fmt::Write as _;

use bytes::BytesMut;
use serde_json::{Value, json};
use steelyard_dialect::{Dialect, StreamEvent};

use super::streams::{data, list};
use super::{CLIENTS, DIALECTS, streams};
use crate::wire::{context, decoded, encoded};

/// An answer of which a later text is cited, with letters of several bytes before it.
fn answer(vendor: Dialect) -> Value {
    match vendor.name() {
        "openai_chat" => {
            json!({"id": "c", "model": "m", "created": 1, "choices": [{"index": 0, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": "Grüße. On the Baltic.", "annotations": [{"type": "url_citation",
                "url_citation": {"start_index": 7, "end_index": 21, "title": "Kiel", "url": "https://example.com"}}],
                "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "find", "arguments": "{}"}}]}}]})
        }
        "anthropic_messages" => {
            json!({"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1}, "content": [
                {"type": "text", "text": "Grüße. "},
                {"type": "text", "text": "Äther.", "citations": [page("web_search_result_location", "https://example.com/a")]},
                {"type": "text", "text": " Und: "},
                {"type": "tool_use", "id": "t1", "name": "find", "input": {}},
                {"type": "text", "text": "On the Baltic.", "citations": [page("web_search_result_location", "https://example.com/b"),
                    page("web_search_result_location", "https://example.com/c")]}]})
        }
        "bedrock_converse" => {
            let cited = |text: &str, urls: &[&str]| {
                let citations: Vec<Value> = urls
                    .iter()
                    .map(|url| json!({"title": "Kiel", "location": {"web": {"url": url}}}))
                    .collect();
                json!({"citationsContent": {"content": [{"text": text}], "citations": citations}})
            };
            json!({"output": {"message": {"role": "assistant", "content": [
                {"text": "Grüße. "},
                cited("Äther.", &["https://example.com/a"]),
                {"toolUse": {"toolUseId": "t1", "name": "find", "input": {}}},
                cited("On the Baltic.", &["https://example.com/b", "https://example.com/c"]),
                {"text": " Und."}]}}, "stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 1}})
        }
        "gemini_generate" => {
            json!({"responseId": "r", "modelVersion": "m", "candidates": [{"index": 0, "finishReason": "STOP",
            "content": {"role": "model", "parts": [{"text": "Hm.", "thought": true}, {"text": "Grüße. "}, {"text": "On the Baltic."}]},
            "citationMetadata": {"citationSources": [{"startIndex": 9, "endIndex": 23, "uri": "https://example.com"}]}}]})
        }
        other => panic!("{other} has no answer with sources here"),
    }
}

fn page(kind: &str, url: &str) -> Value {
    json!({"type": kind, "cited_text": "x", "url": url, "title": "Kiel", "encrypted_index": "e"})
}

fn whole(vendor: Dialect, client: Dialect) -> Value {
    let answer = vendor.decode_response(answer(vendor).to_string().as_bytes()).unwrap();
    serde_json::from_slice(&client.encode_response(&answer, &context())).unwrap()
}

fn events(vendor: Dialect) -> Vec<StreamEvent> {
    let (events, end) = decoded(vendor, &[&streams::of(vendor, &answer(vendor))]);
    assert_eq!(end, "complete");
    events
}

/// What is said of the sources of a whole answer. Where they stand inside of the blocks of text: the blocks.
fn told(client: Dialect, answer: &Value) -> Vec<Value> {
    match client.name() {
        "openai_chat" => list(&answer["choices"][0]["message"]["annotations"]).cloned().collect(),
        "openai_responses" => list(&answer["output"])
            .flat_map(|item| list(&item["content"]))
            .map(|part| json!([part["text"], part["annotations"]]))
            .collect(),
        "anthropic_messages" => list(&answer["content"])
            .filter(|block| block["type"] == "text")
            .map(|block| json!([block["text"], list(&block["citations"]).collect::<Vec<_>>()]))
            .collect(),
        "bedrock_converse" => list(&answer["output"]["message"]["content"])
            .filter_map(|block| {
                let cited = &block["citationsContent"];
                let text = block["text"].as_str().or_else(|| cited["content"][0]["text"].as_str())?;
                Some(json!([text, list(&cited["citations"]).collect::<Vec<_>>()]))
            })
            .collect(),
        "gemini_generate" => {
            list(&answer["candidates"][0]["citationMetadata"]["citationSources"]).cloned().collect()
        }
        other => panic!("{other} tells sources in a way that nobody wrote down here"),
    }
}

/// The number of the block that an event belongs to, and the text and the source that it brings.
type Place = fn(&Value) -> (&Value, Option<&str>, Option<&Value>);

/// The same of a stream, put together as the client's SDK does.
fn told_in_stream(client: Dialect, stream: &[u8]) -> Vec<Value> {
    let data = data(client, stream);
    let blocks = |place: Place| {
        let mut blocks = std::collections::BTreeMap::<u64, (String, Vec<Value>)>::new();
        for event in &data {
            let (index, text, citation) = place(event);
            if let Some(index) = index.as_u64().filter(|_| text.is_some() || citation.is_some()) {
                let block = blocks.entry(index).or_default();
                block.0.push_str(text.unwrap_or_default());
                block.1.extend(citation.cloned());
            }
        }
        blocks.into_values().map(|(text, citations)| json!([text, citations])).collect()
    };
    match client.name() {
        "openai_chat" => data
            .iter()
            .flat_map(|chunk| list(&chunk["choices"][0]["delta"]["annotations"]))
            .cloned()
            .collect(),
        "openai_responses" => {
            let last = told(client, &data.last().unwrap()["response"]);
            let added: Vec<&Value> = data
                .iter()
                .filter(|event| !event["annotation"].is_null())
                .map(|event| &event["annotation"])
                .collect();
            let all: Vec<&Value> = last.iter().flat_map(|part| list(&part[1])).collect();
            assert_eq!(added, all, "what was added is what is there in the end");
            last
        }
        "anthropic_messages" => blocks(|event| {
            let delta = &event["delta"];
            (&event["index"], delta["text"].as_str(), Some(&delta["citation"]).filter(|one| one.is_object()))
        }),
        "bedrock_converse" => blocks(|event| {
            let event = &event["contentBlockDelta"];
            let delta = &event["delta"];
            (
                &event["contentBlockIndex"],
                delta["text"].as_str(),
                Some(&delta["citation"]).filter(|one| one.is_object()),
            )
        }),
        "gemini_generate" => data.iter().flat_map(|event| told(client, event)).collect(),
        other => panic!("{other} tells sources in a way that nobody wrote down here"),
    }
}

#[test]
fn a_stream_cites_what_the_whole_answer_cites() {
    for vendor in DIALECTS {
        let events = events(vendor);
        for client in CLIENTS {
            let pair = format!("{} → {}", vendor.name(), client.name());
            let of_whole = told(client, &whole(vendor, client));
            let of_stream = told_in_stream(client, &encoded(client, &events));
            assert!(
                of_whole.iter().any(|one| one.to_string().contains("example.com")),
                "{pair}: {of_whole:?}"
            );
            assert_eq!(of_whole, of_stream, "{pair}");
        }
    }
}

/// The places themselves, as each wire counts them: characters of the whole text, of the part, bytes of the whole text.
#[test]
fn a_source_stands_at_the_part_that_it_came_with() {
    let of = |client: Dialect| {
        let mut out = BytesMut::new();
        let mut encoder = client.stream_encoder(context());
        for event in events(Dialect::AnthropicMessages) {
            encoder.push(&event, &mut out);
        }
        encoder.finish(7, &mut out);
        told_in_stream(client, &out)
    };
    let places = |all: &[Value], from: &str, to: &str| {
        all.iter().map(|one| (one[from].as_u64().unwrap(), one[to].as_u64().unwrap())).collect::<Vec<_>>()
    };
    let chat: Vec<Value> = of(Dialect::OpenAiChat).iter().map(|one| one["url_citation"].clone()).collect();
    assert_eq!(places(&chat, "start_index", "end_index"), [(7, 13), (19, 33), (19, 33)]);
    let gemini = of(Dialect::GeminiGenerate);
    assert_eq!(places(&gemini, "startIndex", "endIndex"), [(9, 16), (22, 36), (22, 36)]);
    let responses: Vec<Value> =
        of(Dialect::OpenAiResponses).iter().flat_map(|part| list(&part[1])).cloned().collect();
    assert_eq!(places(&responses, "start_index", "end_index"), [(0, 6), (0, 14), (0, 14)]);
}

/// Sources that come before their text, or amid it, are of all of it.
#[test]
fn a_source_that_comes_early_is_of_its_whole_part() {
    let stream = |deltas: [Value; 3]| {
        let mut out = String::from("data: {\"type\":\"message_start\",\"message\":{}}\n\n");
        let mut event = |value: Value| writeln!(out, "data: {value}\n").unwrap();
        for (index, deltas) in
            [vec![json!({"type": "text_delta", "text": "So: "})], deltas.to_vec()].into_iter().enumerate()
        {
            event(
                json!({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}),
            );
            for delta in deltas {
                event(json!({"type": "content_block_delta", "index": index, "delta": delta}));
            }
            event(json!({"type": "content_block_stop", "index": index}));
        }
        event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}));
        event(json!({"type": "message_stop"}));
        out
    };
    let text = |text: &str| json!({"type": "text_delta", "text": text});
    let cited = json!({"type": "citations_delta", "citation": page("web_search_result_location", "https://example.com")});
    let orders = [
        [cited.clone(), text("On the "), text("Baltic.")],
        [text("On the "), cited.clone(), text("Baltic.")],
        [text("On the "), text("Baltic."), cited],
    ];
    for order in orders {
        let (events, end) = decoded(Dialect::AnthropicMessages, &[stream(order.clone()).as_bytes()]);
        assert_eq!(end, "complete");
        let annotations = told_in_stream(Dialect::OpenAiChat, &encoded(Dialect::OpenAiChat, &events));
        let place = &annotations[0]["url_citation"];
        assert_eq!((&place["start_index"], &place["end_index"]), (&json!(4), &json!(18)), "{order:?}");
    }
}

//! Every stream fixture, whole, at every split point and byte by byte; and what clients rely on in those that are written.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use serde_json::Value;
use steelyard_dialect::{Dialect, StreamEvent, TapEnd};

use super::DIALECT;
use crate::fixtures;
use crate::wire::{check_every_split, decoded, encoded, is_untouched, tapped};

#[test]
fn every_split_point_gives_the_same() {
    for (name, body) in fixtures::all("openai_responses/streams") {
        check_every_split(DIALECT, &name, &body);
        let (events, end) = decoded(DIALECT, &[&body]);
        let tap = tapped(DIALECT, &[&body]);
        assert!(is_untouched(&tap, &body), "{name}");
        let mut report = String::new();
        for event in &events {
            writeln!(report, "{event:?}").unwrap();
        }
        write!(report, "=> {end}\n\n{:?}\n{:#?}", tap.end, tap.facts).unwrap();
        insta::assert_snapshot!(format!("stream_{name}"), report);
    }
}

/// The events of a stream: names, and data.
fn events(stream: &[u8]) -> Vec<(String, Value)> {
    let text = std::str::from_utf8(stream).unwrap();
    let read = |event: &str| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        (name.to_owned(), serde_json::from_str(data).unwrap())
    };
    text.split("\n\n").filter(|event| !event.is_empty()).map(read).collect()
}

/// Holds a stream to what the reference says of its order, and to what SDKs build of it.
fn check_stream(stream: &[u8], head: &str) {
    let all = events(stream);
    let mut items: BTreeMap<u64, Value> = BTreeMap::new();
    let mut said: BTreeMap<(u64, String), String> = BTreeMap::new();
    let mut done = Vec::new();
    for (number, (name, event)) in all.iter().enumerate() {
        assert_eq!(
            (&event["type"], &event["sequence_number"]),
            (&Value::from(name.as_str()), &Value::from(number)),
            "{head}"
        );
        let index = event["output_index"].as_u64();
        if let Some(index) = index.filter(|_| !name.starts_with("response.output_item")) {
            assert_eq!(items[&index]["id"], event["item_id"], "{head}: {event}");
            assert!(!done.contains(&index), "{head}: {event}");
        }
        match name.as_str() {
            "response.output_item.added" => {
                assert_eq!(index, Some(items.len() as u64), "{head}");
                items.insert(index.unwrap(), event["item"].clone());
            }
            "response.output_item.done" => {
                let index = index.unwrap();
                done.push(index);
                assert_eq!(items[&index]["id"], event["item"]["id"], "{head}");
                items.insert(index, event["item"].clone());
            }
            name => {
                let kind = name.rsplit_once('.').unwrap();
                let key = (index.unwrap_or_default(), format!("{} {}", kind.0, event["content_index"]));
                if kind.1 == "delta" {
                    said.entry(key).or_default().push_str(event["delta"].as_str().unwrap());
                } else if kind.1 == "done" && !name.ends_with("part.done") {
                    let whole = ["text", "refusal", "arguments", "input"]
                        .iter()
                        .find_map(|name| event[name].as_str());
                    assert_eq!(whole.unwrap(), said.remove(&key).unwrap_or_default(), "{head}: {event}");
                }
            }
        }
    }
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["response.created", "response.in_progress"], "{head}");
    let (last, event) = all.last().unwrap();
    assert!(matches!(last.as_str(), "response.completed" | "response.incomplete"), "{head}");
    let output: Vec<Value> = items.into_values().collect();
    assert_eq!(event["response"]["output"], Value::from(output), "{head}");
    assert!(said.is_empty(), "{head}: {said:?}");
}

#[test]
fn every_vendors_stream_reads_like_openais() {
    let vendors = [
        (Dialect::OpenAiChat, "openai_chat"),
        (Dialect::OpenAiResponses, "openai_responses"),
        (Dialect::AnthropicMessages, "anthropic"),
        (Dialect::BedrockConverse, "bedrock"),
        (Dialect::GeminiGenerate, "gemini"),
    ];
    for (vendor, folder) in vendors {
        for (name, body) in fixtures::all(&format!("{folder}/streams")) {
            let (events, end) = decoded(vendor, &[&body]);
            if end == "complete" {
                let stream = encoded(DIALECT, &events);
                check_stream(&stream, &format!("{folder} {name}"));
                let shown = String::from_utf8(stream.to_vec()).unwrap();
                insta::assert_snapshot!(format!("{folder}_stream_{name}"), shown);
            }
        }
    }
}

/// Two calls whose pieces come in turns.
#[test]
fn calls_side_by_side_keep_their_pieces_apart() {
    let start = |call, id: &str| StreamEvent::ToolCallStart {
        choice: 0,
        call,
        id: id.into(),
        name: "f".into(),
        custom: false,
    };
    let more = |call, text: &str| StreamEvent::ToolCallArguments { choice: 0, call, text: text.into() };
    let stream = encoded(
        DIALECT,
        &[start(0, "a"), more(0, "{\"x\""), start(1, "b"), more(1, "{\"y\":"), more(0, ":1}"), more(1, "2}")],
    );
    check_stream(&stream, "side by side");
    let all = events(&stream);
    let output = &all.last().unwrap().1["response"]["output"];
    assert_eq!(
        (&output[0]["arguments"], &output[1]["arguments"]),
        (&"{\"x\":1}".into(), &"{\"y\":2}".into())
    );
}

#[test]
fn events_pass_when_they_are_complete_and_the_last_one_waits() {
    let mut tap = DIALECT.tap(false);
    let mut out = Vec::new();
    let delta = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n";
    let end =
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[]}}\n\n";
    let (head, tail) = delta.split_at(40);
    assert_eq!(tap.push(Bytes::from_static(head.as_bytes()), &mut out).unwrap(), None);
    assert!(out.is_empty());
    assert_eq!(tap.push(Bytes::from_static(tail.as_bytes()), &mut out).unwrap(), None);
    assert_eq!(out.concat(), delta.as_bytes());
    let terminal = tap.push(Bytes::from_static(end.as_bytes()), &mut out).unwrap();
    assert_eq!(terminal.as_deref(), Some(end.as_bytes()));
    assert_eq!(out.concat(), delta.as_bytes());
    assert!(matches!(tap.finish(&mut out), TapEnd::Cut), "nothing is left");
}

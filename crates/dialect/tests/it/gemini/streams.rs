//! Every stream fixture, whole, at every split point and byte by byte.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::Value;
use steelyard_dialect::sse::Scanner;
use steelyard_dialect::{Dialect, StreamEvent, TapEnd};

use super::{ARRAY, DIALECT};
use crate::fixtures;
use crate::wire::{check_every_split, decoded, encoded, tapped};

/// Checks one fixture and reports what was read.
fn replay(name: &str, body: &[u8]) -> String {
    check_every_split(DIALECT, name, body);
    let (events, end) = decoded(DIALECT, &[body]);
    let tap = tapped(DIALECT, &[body]);
    match &tap.end {
        // A blank line is put in where the vendor left it out.
        Ok(TapEnd::Complete(terminal)) => {
            let all = [&tap.passed, terminal.as_ref()].concat();
            assert!(all == body || all == [body, b"\n\n"].concat(), "{name}");
        }
        Ok(TapEnd::VendorError) => assert_eq!(tap.passed, body, "{name}"),
        Ok(TapEnd::Cut) | Err(_) => assert!(body.starts_with(&tap.passed), "{name}"),
    }
    let mut report = String::new();
    for event in &events {
        writeln!(report, "{event:?}").unwrap();
    }
    write!(report, "=> {end}\n\n{:?}\n{:#?}", tap.end, tap.facts).unwrap();
    report
}

#[test]
fn every_split_point_gives_the_same() {
    let all = fixtures::all("gemini/streams");
    let reports: Vec<String> = std::thread::scope(|scope| {
        let replays: Vec<_> =
            all.iter().map(|(name, body)| scope.spawn(move || replay(name, body))).collect();
        replays.into_iter().map(|replay| replay.join().unwrap()).collect()
    });
    for ((name, _), report) in all.iter().zip(reports) {
        insta::assert_snapshot!(format!("stream_{name}"), report);
    }
}

/// The data of each event.
fn data(body: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    let mut scanner = Scanner::default();
    let mut keep = |event: steelyard_dialect::sse::Event<'_>| {
        found.push(serde_json::from_slice(&event.data).unwrap());
        Ok(())
    };
    scanner.push(body, &mut keep).unwrap();
    scanner.finish(&mut keep).unwrap();
    found
}

#[test]
fn a_client_that_asks_for_an_array_gets_the_same_answers_in_one() {
    for (name, body) in fixtures::all("gemini/streams") {
        let events = tapped(DIALECT, &[&body]);
        if matches!(events.end, Ok(TapEnd::Cut) | Err(_)) || events.facts.unreadable_events > 0 {
            continue;
        }
        for size in [1, 7, body.len()] {
            let chunks: Vec<&[u8]> = body.chunks(size).collect();
            let array = tapped_array(&chunks);
            assert_eq!(array.1, events.facts, "{name}");
            let read: Vec<Value> =
                serde_json::from_slice(&array.0).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(read, data(&body), "{name} in pieces of {size}");
        }
    }
}

/// What a client of the array gets of the vendor's events, and what was read.
fn tapped_array(chunks: &[&[u8]]) -> (Vec<u8>, steelyard_dialect::StreamFacts) {
    let mut tap = ARRAY.tap(false);
    let mut out = Vec::new();
    for chunk in chunks {
        assert_eq!(tap.push(Bytes::copy_from_slice(chunk), &mut out).unwrap(), None);
    }
    let end = tap.finish(&mut out);
    let mut passed: Vec<u8> = out.into_iter().flatten().collect();
    if let TapEnd::Complete(terminal) = end {
        passed.extend(terminal);
    }
    (passed, tap.facts())
}

#[test]
fn an_array_ends_with_the_vendors_error_wherever_frames_are_cut() {
    let say = |index: u32, text: &str| {
        format!(
            "data: {{\"candidates\":[{{\"index\":{index},\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}},\"finishReason\":\"STOP\"}}]}}\n\n"
        )
    };
    let error = "data: {\"error\":{\"code\":500,\"message\":\"on fire\",\"status\":\"INTERNAL\"}}\n\n";
    let body = [&say(0, "a"), error, &say(1, "never")].concat();
    for size in [1, 7, body.len()] {
        let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
        let (array, _) = tapped_array(&chunks);
        let read: Vec<Value> = serde_json::from_slice(&array).unwrap();
        assert_eq!(read.len(), 2, "in pieces of {size}: {read:?}");
        assert_eq!(read[1]["error"]["message"], "on fire", "in pieces of {size}");
    }
}

#[test]
fn events_pass_when_they_are_complete_and_the_last_one_waits() {
    let mut tap = DIALECT.tap(false);
    let mut out = Vec::new();
    let mut push = |text: &'static str| {
        let end = tap.push(Bytes::from_static(text.as_bytes()), &mut out).unwrap();
        assert_eq!(end, None);
        String::from_utf8(out.drain(..).flatten().collect()).unwrap()
    };
    let first = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n";
    assert_eq!(push("data: {\"candidates\":[{\"con"), "");
    assert_eq!(push("tent\":{\"parts\":[{\"text\":\"a\"}]}}]}\n"), "");
    assert_eq!(push("\ndata: {\"cand"), format!("{first}\n"));
    assert_eq!(push("idates\":[{\"finishReason\":\"STOP\"}]}\n\n"), "");
    // Another answer begins after all.
    let passed = push("data: {\"candidates\":[{\"index\":1}]}\n\n");
    assert_eq!(
        passed,
        "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\ndata: {\"candidates\":[{\"index\":1}]}\n\n"
    );
    assert_eq!(push("data: {\"candidates\":[{\"index\":1,\"finishReason\":\"STOP\"}]}\n\n"), "");
    let last = tap.unfinished_terminal().unwrap();
    assert_eq!(last, "data: {\"candidates\":[{\"index\":1,\"finishReason\":\"STOP\"}]}\n\n");
}

#[test]
fn a_frame_is_passed_without_a_copy() {
    let frame = Bytes::from(fixtures::one("gemini/streams/text.sse"));
    let mut out = Vec::new();
    DIALECT.tap(false).push(frame.clone(), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), frame.as_ptr());
}

/// Checks what every client of this wire relies on.
pub(super) fn well_formed(body: &[u8]) {
    let text = std::str::from_utf8(body).unwrap();
    assert!(text.split_terminator("\n\n").all(|event| event.starts_with("data: {") && !event.contains('\n')));
    let events = data(body);
    let last = events.len() - 1;
    for (number, event) in events.iter().enumerate() {
        assert!(event["responseId"].is_string() && event["modelVersion"].is_string());
        for candidate in event["candidates"].as_array().unwrap() {
            assert_eq!(candidate["finishReason"].is_string(), number == last, "{event}");
            for part in candidate["content"]["parts"].as_array().unwrap() {
                let call = &part["functionCall"];
                assert!(call.is_null() || call["args"].is_object(), "{event}");
            }
        }
        assert!(event["usageMetadata"].is_null() || number == last);
    }
}

#[test]
fn a_translated_stream_reads_like_geminis() {
    for (name, body) in fixtures::all("gemini/streams") {
        let (events, end) = decoded(DIALECT, &[&body]);
        if end != "complete" {
            continue;
        }
        let out = encoded(DIALECT, &events);
        well_formed(&out);
        let (again, end) = decoded(DIALECT, &[&out]);
        assert_eq!(end, "complete", "{name}");
        let last = |events: &[StreamEvent]| {
            events.iter().rev().find(|event| matches!(event, StreamEvent::Usage(_))).cloned()
        };
        assert_eq!(last(&again), last(&events), "{name}");
        // Figures, tiers and sources are told at the end; the rest is the same.
        let said = |events: &[StreamEvent]| {
            let all = events.iter().skip(1).filter(|event| {
                !matches!(
                    event,
                    StreamEvent::Usage(_) | StreamEvent::ServiceTier(_) | StreamEvent::Citation { .. }
                ) && !matches!(event, StreamEvent::Text { text, .. } if text.is_empty())
            });
            all.cloned().collect::<Vec<_>>()
        };
        assert_eq!(said(&again), said(&events), "{name}");
        insta::assert_snapshot!(format!("encoded_{name}"), std::str::from_utf8(&out).unwrap());
        // And as an array.
        let array = encoded(ARRAY, &events);
        let (as_array, end) = decoded(ARRAY, &[&array]);
        assert_eq!((as_array, end.as_str()), (again, "complete"), "{name}");
    }
}

#[test]
fn another_vendors_stream_reads_like_geminis() {
    let vendors = [
        (Dialect::OpenAiChat, "openai_chat"),
        (Dialect::AnthropicMessages, "anthropic"),
        (Dialect::BedrockConverse, "bedrock"),
    ];
    for (vendor, folder) in vendors {
        for (name, body) in fixtures::all(&format!("{folder}/streams")) {
            let (events, end) = decoded(vendor, &[&body]);
            if end != "complete" {
                continue;
            }
            let out = encoded(DIALECT, &events);
            well_formed(&out);
            insta::assert_snapshot!(format!("{folder}_stream_{name}"), std::str::from_utf8(&out).unwrap());
        }
    }
}

#[test]
fn a_vendor_that_never_ends_is_refused() {
    let mut tap = DIALECT.tap(false);
    let mut out = Vec::new();
    let last = Bytes::from_static(b"data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n");
    assert!(tap.push(last, &mut out).unwrap().is_none());
    let comment = Bytes::from([vec![b':'; 12 << 20], b"\n\n".to_vec()].concat());
    assert!(tap.push(comment.clone(), &mut out).unwrap().is_none());
    assert!(tap.push(comment, &mut out).is_err());
    assert!(out.is_empty());
}

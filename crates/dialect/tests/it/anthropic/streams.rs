//! Every stream fixture, whole, at every split point and byte by byte.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::Value;
use steelyard_dialect::sse::Scanner;
use steelyard_dialect::{Dialect, StreamEvent, TapEnd};

use super::DIALECT;
use crate::fixtures;
use crate::wire::{check_every_split, decoded, encoded, tapped};

/// Checks one fixture and reports what was read.
fn replay(name: &str, body: &[u8]) -> String {
    check_every_split(DIALECT, name, body);
    let (events, end) = decoded(DIALECT, &[body]);
    let tap = tapped(DIALECT, &[body]);
    match &tap.end {
        // A blank line is put in where the vendor left it out.
        TapEnd::Complete(terminal) => {
            let all = [&tap.passed, terminal.as_ref()].concat();
            assert!(
                all == body || all == [body, b"\n"].concat() || all == [body, b"\n\n"].concat(),
                "{name}"
            );
        }
        TapEnd::VendorError => assert_eq!(tap.passed, body, "{name}"),
        // What may be the beginning of the terminal event has been withheld.
        TapEnd::Cut => assert!(body.starts_with(&tap.passed), "{name}"),
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
    let all = fixtures::all("anthropic/streams");
    let reports: Vec<String> = std::thread::scope(|scope| {
        let replays: Vec<_> =
            all.iter().map(|(name, body)| scope.spawn(move || replay(name, body))).collect();
        replays.into_iter().map(|replay| replay.join().unwrap()).collect()
    });
    for ((name, _), report) in all.iter().zip(reports) {
        insta::assert_snapshot!(format!("stream_{name}"), report);
    }
}

#[test]
fn bytes_pass_at_once_and_only_the_terminal_event_waits() {
    let mut tap = DIALECT.tap(false);
    let mut out = Vec::new();
    let mut push = |text: &'static str| {
        let end = tap.push(Bytes::from_static(text.as_bytes()), &mut out).unwrap();
        (String::from_utf8(out.drain(..).flatten().collect()).unwrap(), end, tap.mid_event())
    };
    let passes = |text: &str, mid_event| (text.to_owned(), None, mid_event);
    assert_eq!(push("ev"), passes("", false));
    assert_eq!(push("ent: mess"), passes("", false));
    assert_eq!(push("age_start\ndata: {\"ty"), passes("event: message_start\ndata: {\"ty", true));
    assert_eq!(push("pe\":\"message_start\"}\n"), passes("pe\":\"message_start\"}\n", true));
    assert_eq!(push("\nevent: message_s"), passes("\n", false));
    assert_eq!(push("top\ndata: {\"type\":\"message_stop\"}\n"), passes("", false));
    let (passed, end, _) = push("\n");
    assert_eq!(passed, "");
    assert_eq!(
        end.as_deref(),
        Some(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".as_slice())
    );
}

#[test]
fn a_frame_is_passed_without_a_copy() {
    let frame = Bytes::from(fixtures::one("anthropic/streams/text.sse"));
    let mut out = Vec::new();
    DIALECT.tap(false).push(frame.clone(), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), frame.as_ptr());
}

#[test]
fn a_vendor_that_never_ends_is_refused() {
    let mut tap = DIALECT.tap(false);
    let mut out = Vec::new();
    assert!(tap.push(Bytes::from_static(b"event: message_stop\n"), &mut out).unwrap().is_none());
    let flood = Bytes::from(vec![b'x'; 40 << 10]);
    assert!(tap.push(flood.clone(), &mut out).unwrap().is_none());
    assert!(tap.push(flood, &mut out).is_err());
    assert!(out.is_empty());
}

/// Checks what every client of this wire relies on, and gives the events.
pub(super) fn well_formed(body: &[u8]) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    let mut scanner = Scanner::default();
    scanner
        .push(body, |event| {
            let data: Value = serde_json::from_slice(&event.data).unwrap();
            assert_eq!(event.name.unwrap(), data["type"].as_str().unwrap().as_bytes());
            events.push(data);
            Ok(())
        })
        .unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"message_start"));
    assert_eq!(kinds[kinds.len() - 2..], ["message_delta", "message_stop"]);
    let (mut next, mut open) = (0, None);
    let mut pings = 0;
    for event in &events[1..events.len() - 2] {
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(next)));
                open = index;
                next += 1;
            }
            "content_block_delta" => assert_eq!(open, index),
            "content_block_stop" => {
                assert_eq!(open, index);
                open = None;
            }
            "ping" => pings += 1,
            other => panic!("{other} within a message"),
        }
    }
    assert_eq!(open, None);
    assert_eq!(pings, u32::from(next > 0));
    events
}

#[test]
fn a_translated_stream_reads_like_anthropics() {
    for (name, body) in fixtures::all("anthropic/streams") {
        let (events, end) = decoded(DIALECT, &[&body]);
        if end != "complete" {
            continue;
        }
        let out = encoded(DIALECT, &events);
        well_formed(&out);
        let (again, end) = decoded(DIALECT, &[&out]);
        assert_eq!(end, "complete");
        // Figures are told once more, and where the vendor had told none yet, as zero.
        let said = |events: &[StreamEvent]| {
            let all = events.iter().skip(1).filter(|event| !matches!(event, StreamEvent::Usage(_)));
            all.cloned().collect::<Vec<_>>()
        };
        assert_eq!(said(&again), said(&events), "{name}");
        let last = |events: &[StreamEvent]| {
            events.iter().rev().find(|event| matches!(event, StreamEvent::Usage(_))).cloned()
        };
        assert_eq!(last(&again), last(&events), "{name}");
        insta::assert_snapshot!(format!("encoded_{name}"), std::str::from_utf8(&out).unwrap());
    }
}

#[test]
fn another_vendors_stream_reads_like_anthropics() {
    for (name, body) in fixtures::all("openai_chat/streams") {
        let (events, end) = decoded(Dialect::OpenAiChat, &[&body]);
        if end != "complete" {
            continue;
        }
        let out = encoded(DIALECT, &events);
        well_formed(&out);
        insta::assert_snapshot!(format!("openai_stream_{name}"), std::str::from_utf8(&out).unwrap());
    }
}

//! Every stream fixture, whole, at every split point and byte by byte.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::Value;
use steelyard_dialect::sse::Scanner;
use steelyard_dialect::{Dialect, StreamEvent, WireError};

use super::DIALECT;
use crate::fixtures;
use crate::wire::{check_every_split, decoded, encoded, is_untouched, tapped};

/// Checks one fixture and reports what was read.
fn replay(name: &str, body: &[u8]) -> String {
    check_every_split(DIALECT, name, body);
    let (events, end) = decoded(DIALECT, &[body]);
    let tap = tapped(DIALECT, &[body]);
    assert!(is_untouched(&tap, body), "{name}: the tap must not change a byte");
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
fn events_pass_when_they_are_whole_and_the_terminal_one_waits() {
    let mut tap = DIALECT.tap(false);
    let mut out = Vec::new();
    let mut push = |text: &'static str| {
        let end = tap.push(Bytes::from_static(text.as_bytes()), &mut out).unwrap();
        (String::from_utf8(out.drain(..).flatten().collect()).unwrap(), end, tap.begun())
    };
    let passes = |text: &str, begun| (text.to_owned(), None, begun);
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    assert_eq!(push(ping), passes(ping, false));
    assert_eq!(push("event: mess"), passes("", false));
    assert_eq!(push("age_start\ndata: {\"type\":\"message_start\"}\n"), passes("", false));
    let start = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
    assert_eq!(push("\nevent: message_s"), passes(start, true));
    assert_eq!(push("top\ndata: {\"type\":\"message_stop\"}\n"), passes("", true));
    let (passed, end, _) = push("\n");
    assert_eq!(passed, "");
    assert_eq!(
        end.as_deref(),
        Some(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".as_slice())
    );
}

#[test]
fn what_is_no_json_ends_the_stream_and_does_not_pass() {
    let good = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"abc\"}}\n\n";
    let delta = good.trim_end().as_bytes();
    let spoilt = |from: &[u8], to: &[u8]| {
        let at = memchr::memmem::find(delta, from).unwrap();
        [&delta[..at], to, &delta[at + from.len()..]].concat()
    };
    for bad in [
        spoilt(b"abc", b"a\xFFc"),
        spoilt(b"abc", b"a\\xc"),
        spoilt(b"abc\"", b"abc"),
        spoilt(b"}}", b"}}}"),
        spoilt(b"\"index\":0", b"\"index\":"),
        spoilt(b"}}", b""),
        b"event: message_stop\ndata: {\"ty".to_vec(),
    ] {
        let body = [good.as_bytes(), &bad, b"\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"]
            .concat();
        let whole = tapped(DIALECT, &[&body]);
        assert!(matches!(whole.end, Err(WireError::Garbage(_))), "{whole:?}");
        assert_eq!((whole.passed.as_slice(), whole.facts.content_bytes), (good.as_bytes(), 3), "{whole:?}");
        for at in 0..body.len() {
            let (head, tail) = body.split_at(at);
            assert_eq!(tapped(DIALECT, &[head, tail]), whole, "split at {at}");
        }
    }
}

#[test]
fn a_frame_is_passed_without_a_copy() {
    let frame = Bytes::from(fixtures::one("anthropic/streams/text.sse"));
    let mut out = Vec::new();
    DIALECT.tap(false).push(frame.clone(), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), frame.as_ptr());
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

//! Every stream fixture, whole, at every split point and byte by byte.

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use steelyard_dialect::openai_chat::tap::Tap;
use steelyard_dialect::sse::Scanner;
use steelyard_dialect::{Dialect, ReplyContext, StreamEvent, StreamFacts};

use crate::{fixtures, wire};

const DIALECT: Dialect = Dialect::OpenAiChat;

/// What a decoder makes of the chunks, and how it ended.
pub(crate) fn decoded(chunks: &[&[u8]]) -> (Vec<StreamEvent>, String) {
    wire::decoded(DIALECT, chunks)
}

/// What a tap lets through, what it withholds, and what it read.
#[derive(Debug, PartialEq)]
pub(crate) struct Tapped {
    pub(crate) passed: Vec<u8>,
    pub(crate) terminal: Option<Bytes>,
    pub(crate) facts: StreamFacts,
}

pub(crate) fn tapped(chunks: &[&[u8]], hide_usage: bool) -> Tapped {
    let mut tap = Tap::new(hide_usage);
    let mut passed = Vec::new();
    let mut out = Vec::new();
    for chunk in chunks {
        tap.push(Bytes::copy_from_slice(chunk), &mut out).unwrap();
        assert!(out.len() <= 1, "one slice for a frame");
        passed.extend(out.drain(..).flatten());
    }
    tap.finish(&mut out);
    passed.extend(out.drain(..).flatten());
    let terminal = tap.take_terminal();
    assert_eq!(tap.take_terminal(), None);
    Tapped { passed, terminal, facts: tap.facts() }
}

fn scanned(chunks: &[&[u8]]) -> Vec<(Option<Vec<u8>>, Vec<u8>)> {
    let mut scanner = Scanner::default();
    let mut events = Vec::new();
    let mut keep = |event: steelyard_dialect::sse::Event<'_>| {
        events.push((event.name.map(<[u8]>::to_vec), event.data.into_owned()));
        Ok(())
    };
    for chunk in chunks {
        scanner.push(chunk, &mut keep).unwrap();
    }
    scanner.finish(&mut keep).unwrap();
    events
}

/// Checks one fixture and reports what was read.
fn replay(name: &str, body: &[u8]) -> String {
    let whole = [body];
    let (events, end) = decoded(&whole);
    let open = tapped(&whole, false);
    let hidden = tapped(&whole, true);
    let found = scanned(&whole);
    let identical = [open.passed.as_slice(), open.terminal.as_deref().unwrap_or_default()].concat();
    assert_eq!(identical, body, "{name}: the tap must not change a byte");

    let check = |chunks: &[&[u8]], how: &dyn Fn() -> String| {
        let (again, over) = decoded(chunks);
        assert!(again == events && over == end, "{name} {}: {again:?} {over}", how());
        assert_eq!(tapped(chunks, false), open, "{name} {}", how());
        assert_eq!(tapped(chunks, true), hidden, "{name} {}, hidden usage", how());
        assert_eq!(scanned(chunks), found, "{name} {}", how());
    };
    for at in 0..=body.len() {
        let (head, tail) = body.split_at(at);
        check(&[head, tail], &|| format!("split at {at}"));
    }
    for size in [1, 3, 64] {
        check(&body.chunks(size).collect::<Vec<_>>(), &|| format!("{size} bytes at a time"));
    }

    let mut report = String::new();
    for event in &events {
        writeln!(report, "{event:?}").unwrap();
    }
    let shown = String::from_utf8_lossy(&hidden.passed);
    let hidden = if hidden.passed == open.passed { "nothing hidden" } else { &shown };
    write!(report, "=> {end}\n\n{:#?}\n\n{hidden}", open.facts).unwrap();
    report
}

#[test]
fn every_split_point_gives_the_same() {
    let all = fixtures::all("openai_chat/streams");
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
    let mut tap = Tap::new(false);
    let mut out = Vec::new();
    let push = |tap: &mut Tap, text: &'static str, out: &mut Vec<Bytes>| {
        tap.push(Bytes::from_static(text.as_bytes()), out).unwrap();
        String::from_utf8(out.drain(..).flatten().collect()).unwrap()
    };
    assert_eq!(push(&mut tap, "da", &mut out), "");
    assert!(!tap.mid_event());
    assert_eq!(push(&mut tap, "ta: {\"id\":", &mut out), "data: {\"id\":");
    assert!(tap.mid_event());
    assert_eq!(push(&mut tap, "\"x\"}\n", &mut out), "\"x\"}\n");
    assert_eq!(push(&mut tap, "\n: hi\n", &mut out), "\n: hi\n");
    assert_eq!(push(&mut tap, "\ndata: [DO", &mut out), "\n");
    assert!(!tap.facts().terminated);
    assert_eq!(push(&mut tap, "NE]", &mut out), "");
    assert!(tap.facts().terminated);
    assert_eq!(push(&mut tap, "\n\n", &mut out), "");
    assert_eq!(tap.take_terminal().as_deref(), Some(b"data: [DONE]\n\n".as_slice()));
}

#[test]
fn a_frame_without_cuts_is_passed_without_a_copy() {
    for hide_usage in [false, true] {
        let frame = Bytes::from(fixtures::one("openai_chat/streams/text.sse"));
        let mut out = Vec::new();
        Tap::new(hide_usage).push(frame.clone(), &mut out).unwrap();
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].as_ptr(), frame.as_ptr());
    }
}

#[test]
fn a_vendor_that_never_ends_is_refused() {
    let mut tap = Tap::new(false);
    let mut out = Vec::new();
    tap.push(Bytes::from_static(b"data: [DONE]\n\n"), &mut out).unwrap();
    let flood = Bytes::from(vec![b'x'; 40 << 10]);
    tap.push(flood.clone(), &mut out).unwrap();
    assert!(tap.push(flood, &mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn a_translated_stream_reads_like_openais() {
    let context = |include_usage| ReplyContext {
        id: "chatcmpl-ours".into(),
        model: "smart".into(),
        created: 1_795_000_002,
        include_usage,
        elapsed_ms: 7,
    };
    for name in ["tools_parallel", "usage", "two_choices_logprobs", "reasoning", "refusal"] {
        let body = fixtures::one(&format!("openai_chat/streams/{name}.sse"));
        let (events, _) = decoded(&[&body]);
        for include_usage in [true, false] {
            let mut encoder = DIALECT.stream_encoder(context(include_usage));
            let mut out = BytesMut::new();
            for event in &events {
                encoder.push(event, &mut out);
            }
            encoder.finish(7, &mut out);
            let (again, end) = decoded(&[&out]);
            assert_eq!(end, "complete");
            let kept: Vec<_> = events
                .iter()
                .filter(|event| include_usage || !matches!(event, StreamEvent::Usage(_)))
                .skip(1)
                .collect();
            assert_eq!(again.iter().skip(1).collect::<Vec<_>>(), kept, "{name}");
            let text = std::str::from_utf8(&out).unwrap();
            assert_eq!(text.contains("\"usage\""), include_usage, "{name}");
            if include_usage {
                insta::assert_snapshot!(format!("encoded_{name}"), text);
            }
        }
    }
}

//! Every stream fixture, whole, at every split point and byte by byte.

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use steelyard_dialect::event_stream;
use steelyard_dialect::sse::Scanner;
use steelyard_dialect::{Dialect, ReplyContext, StreamEvent, StreamTap, TapEnd, WireError};

use crate::wire::Tapped;
use crate::{fixtures, wire};

const DIALECT: Dialect = Dialect::OpenAiChat;

/// What a decoder makes of the chunks, and how it ended.
pub(crate) fn decoded(chunks: &[&[u8]]) -> (Vec<StreamEvent>, String) {
    wire::decoded(DIALECT, chunks)
}

pub(crate) fn tapped(chunks: &[&[u8]], hide_usage: bool) -> Tapped {
    wire::tapped_by(DIALECT.tap(hide_usage), chunks)
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
    assert!(wire::is_untouched(&open, body), "{name}: the tap must not change a byte");

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
    write!(report, "=> {end}\n\n{:?}\n{:#?}\n\n{hidden}", open.end, open.facts).unwrap();
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
fn events_pass_when_they_are_whole_and_the_terminal_one_waits() {
    let mut tap = DIALECT.tap(false);
    let mut out = Vec::new();
    let mut push = |tap: &mut StreamTap, text: &'static str| {
        let end = tap.push(Bytes::from_static(text.as_bytes()), &mut out).unwrap();
        (String::from_utf8(out.drain(..).flatten().collect()).unwrap(), end)
    };
    let passes = |text: &str| (text.to_owned(), None);
    assert_eq!(push(&mut tap, "data: {\"id\":"), passes(""));
    assert_eq!(push(&mut tap, "\"x\"}\n"), passes(""));
    assert_eq!(push(&mut tap, "\n: hi\n"), passes("data: {\"id\":\"x\"}\n\n"));
    assert_eq!(push(&mut tap, "\ndata: [DO"), passes(": hi\n\n"));
    assert_eq!(tap.unfinished_terminal(), None);
    assert_eq!(push(&mut tap, "NE]"), passes(""));
    assert!(!tap.facts().terminated);
    let (passed, end) = push(&mut tap, "\n\n");
    assert_eq!((passed.as_str(), end.as_deref()), ("", Some(b"data: [DONE]\n\n".as_slice())));
    assert!(tap.facts().terminated);
}

#[test]
fn a_stream_is_text_throughout_and_no_event_is_empty() {
    let good =
        r#"data: {"model":"m","choices":[{"index":0,"delta":{"content":"abc"},"finish_reason":null}]}"#;
    for wire in [DIALECT, steelyard_dialect::Dialect::AnthropicMessages] {
        for bad in [
            &b": \xFF"[..],
            b"event: \xFF\ndata: {}",
            b"\x00\xFF",
            b"data:",
            b"data: ",
            b"data",
            b": hi\ndata:",
            b"event: x\ndata: ",
        ] {
            let tap = wire::tapped(wire, &[good.as_bytes(), b"\n\n: hi\n\n", bad, b"\n\ndata: {}\n\n"]);
            assert!(matches!(tap.end, Err(WireError::Garbage(_))), "{tap:?}");
            assert_eq!(String::from_utf8_lossy(&tap.passed), format!("{good}\n\n: hi\n\n"), "{bad:?}");
        }
    }
}

#[test]
fn what_is_no_json_ends_the_stream_and_does_not_pass() {
    let good =
        r#"data: {"model":"m","choices":[{"index":0,"delta":{"content":"abc"},"finish_reason":null}]}"#;
    for bad in [
        &b"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a"[..],
        b"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]} {}",
        b"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\xFF\"},\"finish_reason\":null}]}",
        b"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}},\"finish_reason\":null}]}",
        b"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\x\"},\"finish_reason\":null}]}",
        b"<html>",
        b"{}\ndata: {}",
        b"NaN",
        b"7",
        b"[]",
        b"null",
        b"{\"choices\":7}",
        b"{\"choices\":[7]}",
        b"{\"choices\":[[]]}",
    ] {
        let body = [good.as_bytes(), b"\n\ndata: ", bad, b"\n\ndata: [DONE]\n\n"].concat();
        for hide_usage in [false, true] {
            let whole = tapped(&[&body], hide_usage);
            assert!(matches!(whole.end, Err(WireError::Garbage(_))), "{whole:?}");
            assert_eq!(String::from_utf8_lossy(&whole.passed), format!("{good}\n\n"));
            assert_eq!((whole.facts.content_bytes, whole.facts.terminated), (3, false), "{whole:?}");
            for at in 0..body.len() {
                let (head, tail) = body.split_at(at);
                assert_eq!(tapped(&[head, tail], hide_usage), whole, "split at {at}");
            }
        }
    }
    // With members of another shape, or half a character in an escape: some readers take it.
    for odd in [
        "{}",
        r#"{"choices":null}"#,
        r#"{"choices":[{"index":"0"}]}"#,
        r#"{"id":7,"choices":[{"delta":{"content":"\ud83e"}}]}"#,
    ] {
        let body = format!("data: {odd}\n\ndata: [DONE]\n\n");
        let tap = tapped(&[body.as_bytes()], false);
        assert!(wire::is_untouched(&tap, body.as_bytes()) && tap.end.is_ok(), "{tap:?}");
    }
}

#[test]
fn done_alone_and_a_call_without_its_end_complete_nothing() {
    let begun = r#"data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
    let delta = |delta: &str| {
        format!(
            "{begun}\n\ndata: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n"
        )
    };
    let call = |calls: &str| delta(&format!("{{\"tool_calls\":{calls}}}"));
    // As OpenAI had it before: one call, and no list.
    let function = |call: &str| delta(&format!("{{\"content\":null,\"function_call\" : {call}}}"));
    let ended = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n";
    let some = r#"[ {"index":0,"function":{"arguments":"{\"a"}}]"#;
    for (body, whole) in [
        (String::new(), false),
        (": hi\n\n".to_owned(), false),
        (call(some), false),
        (call(some) + ended, true),
        (call("[]"), true),
        (call("null"), true),
        (function(r#"{"name":"f","arguments":""}"#), false),
        (function(r#" { "arguments":"{\"a"}"#), false),
        (function(r#"{"arguments":"{\"a"}"#) + ended, true),
        (function("null"), true),
        (function("{}"), true),
        (delta(r#"{"content":"say \"function_call\": {\"name\": or \"tool_calls\":[{"}"#), true),
    ] {
        let tap = tapped(&[format!("{body}data: [DONE]\n\n").as_bytes()], false);
        let cut = matches!(tap.end, Err(WireError::Cut));
        assert_eq!((cut, tap.facts.terminated), (!whole, whole), "{body}: {tap:?}");
    }
}

#[test]
fn after_a_vendors_error_no_stream_is_complete() {
    let body = b"data: {\"error\":{\"message\":\"on fire\",\"code\":503}}\n\ndata: [DONE]\n\n";
    let tap = tapped(&[body], false);
    assert!(matches!(tap.end, Ok(TapEnd::VendorError)) && tap.passed == body, "{tap:?}");
    assert!(!tap.facts.begun);
}

#[test]
fn a_frame_without_cuts_is_passed_without_a_copy() {
    for hide_usage in [false, true] {
        let frame = Bytes::from(fixtures::one("openai_chat/streams/text.sse"));
        let mut out = Vec::new();
        DIALECT.tap(hide_usage).push(frame.clone(), &mut out).unwrap();
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].as_ptr(), frame.as_ptr());
    }
}

#[test]
fn a_translated_stream_reads_like_openais() {
    let context = |include_usage| ReplyContext {
        id: "chatcmpl-ours".into(),
        model: "smart".into(),
        created: 1_795_000_002,
        include_usage,
        elapsed_ms: 7,
        echo: None,
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

/// The input of the first call, as a client puts it together.
fn arguments(events: &[StreamEvent]) -> String {
    let pieces = events.iter().filter_map(|event| match event {
        StreamEvent::ToolCallArguments { call: 0, text, .. } => Some(text.as_str()),
        _ => None,
    });
    pieces.collect()
}

#[test]
fn a_call_without_arguments_is_one_of_an_empty_object() {
    let frames = |piece: Option<&str>, stop: bool| {
        let call = r#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"t1","name":"now"}}}"#;
        let mut events = vec![("messageStart", r#"{"role":"assistant"}"#), ("contentBlockStart", call)];
        events.extend(piece.map(|piece| ("contentBlockDelta", piece)));
        events.extend(stop.then_some(("contentBlockStop", r#"{"contentBlockIndex":0}"#)));
        events.push(("messageStop", r#"{"stopReason":"tool_use"}"#));
        let mut body = BytesMut::new();
        for (kind, payload) in events {
            let headers = [(":event-type", kind), (":message-type", "event")];
            event_stream::write(&mut body, &headers, payload.as_bytes());
        }
        body.to_vec()
    };
    let empty = r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":""}}}"#;
    let openai = concat!(
        r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t1","function":{"name":"now","arguments":""}}]}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        "\n\ndata: [DONE]\n\n",
    );
    let item = r#""item":{"type":"function_call","id":"fc","call_id":"t1","name":"now","arguments":""}"#;
    let responses = [
        r#"data: {"type":"response.created","response":{"id":"r"}}"#,
        &format!(r#"data: {{"type":"response.output_item.added","output_index":0,{item}}}"#),
        &format!(r#"data: {{"type":"response.output_item.done","output_index":0,{item}}}"#),
        r#"data: {"type":"response.completed","response":{"id":"r","status":"completed"}}"#,
        "",
    ]
    .join("\n\n");
    let streams = [
        (Dialect::BedrockConverse, frames(None, true)),
        (Dialect::BedrockConverse, frames(Some(empty), true)),
        (Dialect::BedrockConverse, frames(None, false)),
        (Dialect::OpenAiChat, openai.into()),
        (Dialect::OpenAiResponses, responses.into()),
    ];
    for (vendor, body) in streams {
        let (events, end) = wire::decoded(vendor, &[&body]);
        assert_eq!(end, "complete", "{}", vendor.name());
        assert_eq!(arguments(&events), "{}", "{}", vendor.name());
        for client in [Dialect::OpenAiChat, Dialect::OpenAiResponses] {
            let mut encoder = client.stream_encoder(wire::context());
            let mut out = BytesMut::new();
            for event in &events {
                encoder.push(event, &mut out);
            }
            encoder.finish(1, &mut out);
            let (again, _) = wire::decoded(client, &[&out]);
            assert_eq!(arguments(&again), "{}", "{} to {}", vendor.name(), client.name());
        }
    }
}

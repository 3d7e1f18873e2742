//! Bedrock's `InvokeModel` with Anthropic's bodies: what of it is not already Anthropic's wire or Bedrock's.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use steelyard_core::{ApiError, ErrorCode, RequestId, Usage, UsageClass};
use steelyard_dialect::event_stream::{self, Frames};
use steelyard_dialect::{Dialect, Outside, StreamEvent, TapEnd, WireError};

use crate::fixtures;
use crate::replay::{every_cut, relayed};
use crate::wire::{context, decoded, target};

const DIALECT: Dialect = Dialect::BedrockInvokeAnthropic;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

fn path(stream: bool) -> Outside<'static> {
    Outside { model: Some(MODEL), stream, version: None, headers: None }
}

/// One of Anthropic's bodies as its Bedrock clients send it, and whether it asks for a stream.
fn carried(body: &[u8]) -> (Vec<u8>, bool) {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    let members = body.as_object_mut().unwrap();
    members.remove("model");
    let stream = members.remove("stream") == Some(json!(true));
    members.insert("anthropic_version".into(), json!("bedrock-2023-05-31"));
    (body.to_string().into_bytes(), stream)
}

#[test]
fn a_request_means_what_it_means_on_anthropics_wire() {
    for (name, body) in fixtures::all("anthropic/requests") {
        // Members in one order, so that what is kept as it was written compares.
        let body = serde_json::from_slice::<Value>(&body).unwrap().to_string().into_bytes();
        let (invoked, stream) = carried(&body);
        let outside = path(stream);
        let mut expected = ANTHROPIC.decode_request(&body, &Outside::default()).unwrap();
        MODEL.clone_into(&mut expected.model);
        assert_eq!(DIALECT.decode_request(&invoked, &outside).unwrap(), expected, "{name}");

        let peek = DIALECT.peek(&invoked, &outside).unwrap();
        let plain = ANTHROPIC.peek(&body, &Outside::default()).unwrap();
        assert_eq!((&*peek.model, peek.stream), (MODEL, plain.stream), "{name}");
        assert_eq!((peek.output_cap, peek.bound.media), (plain.output_cap, plain.bound.media), "{name}");
        assert_eq!(peek.bound.unknowable, plain.bound.unknowable, "{name}");

        let (encoded, _) = DIALECT.encode_request(&expected, &target(MODEL));
        let (plain, _) = ANTHROPIC.encode_request(&expected, &target(MODEL));
        let (again, stream) = carried(&plain);
        assert_eq!(stream, expected.stream, "{name}");
        let [encoded, again] =
            [&*encoded, &*again].map(|body| serde_json::from_slice::<Value>(body).unwrap());
        assert_eq!(encoded, again, "{name}");
    }
}

#[test]
fn a_body_must_be_anthropics_as_bedrock_takes_it() {
    let cases = [
        json!({ "inputText": "hi", "textGenerationConfig": { "maxTokenCount": 5 } }),
        json!({ "schemaVersion": "messages-v1", "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] }),
        json!({ "prompt": "hi", "max_gen_len": 5 }),
        json!({ "anthropic_version": null, "max_tokens": 1, "messages": [] }),
        json!({ "anthropic_version": 7, "max_tokens": 1, "messages": [] }),
        json!({ "anthropic_version": "x", "max_tokens": 1, "messages": [], "model": "m" }),
        json!({ "anthropic_version": "x", "max_tokens": 1, "messages": [], "stream": false }),
        json!({ "anthropic_version": "x", "max_tokens": 1 }),
        json!({ "anthropic_version": "2026-10-21", "max_tokens": 1, "messages": [{ "role": "user", "content": "hi" }], "temperature": 0.5 }),
    ];
    let mut report = String::new();
    for body in cases {
        let text = body.to_string();
        let decoded = DIALECT.decode_request(text.as_bytes(), &path(false)).unwrap_err();
        match DIALECT.peek(text.as_bytes(), &path(false)) {
            Ok(_) => writeln!(report, "{text}\n    peeked").unwrap(),
            Err(peeked) => assert_eq!(peeked.public, decoded.public),
        }
        writeln!(report, "{text}\n    {} {}", decoded.code.code(), decoded.public).unwrap();
    }
    for text in ["", "[]", r#"{"anthropic_version":"a","anthropic_version":"b"}"#] {
        let error = DIALECT.peek(text.as_bytes(), &path(false)).unwrap_err();
        writeln!(report, "{text}\n    {} {}", error.code.code(), error.public).unwrap();
    }
    insta::assert_snapshot!(report);
}

/// The frames of a stream: kind, then the event that a chunk carries.
fn shown(body: &[u8]) -> String {
    let mut text = String::new();
    let mut frames = Frames::default();
    frames
        .push(body, |frame| {
            assert_eq!(frame.header(":content-type"), Some("application/json"));
            let kind = frame.header(":event-type").unwrap();
            let payload: Value = serde_json::from_slice(frame.payload).unwrap();
            let event = STANDARD.decode(payload["bytes"].as_str().unwrap()).unwrap();
            assert_eq!((event.len() + payload["p"].as_str().unwrap().len()) % 64, 0);
            writeln!(text, "{kind} {}", String::from_utf8(event).unwrap()).unwrap();
            Ok(())
        })
        .unwrap();
    assert!(!frames.is_mid_frame());
    text
}

/// The stream for a client. What comes before the end is apart from the end.
fn encoded(events: &[StreamEvent]) -> (Bytes, Bytes) {
    let mut encoder = DIALECT.stream_encoder(context());
    let mut out = BytesMut::new();
    encoder.began(3);
    for event in events {
        encoder.push(event, &mut out);
    }
    let before = out.split().freeze();
    encoder.finish(812, &mut out);
    (before, out.freeze())
}

/// What has been said, and the last figures.
fn meaning(events: &[StreamEvent]) -> (Vec<StreamEvent>, Option<StreamEvent>) {
    let (figures, said): (Vec<_>, Vec<_>) = events
        .iter()
        .filter(|event| !matches!(event, StreamEvent::Start { .. }))
        .cloned()
        .partition(|event| matches!(event, StreamEvent::Usage(_)));
    (said, figures.last().cloned())
}

#[test]
fn every_stream_is_anthropics_events_in_chunks_and_reads_the_same_however_it_is_cut() {
    for (name, body) in fixtures::all("anthropic/streams") {
        let (events, end) = decoded(ANTHROPIC, &[&body]);
        if end != "complete" {
            continue;
        }
        let (before, terminal) = encoded(&events);
        let out = [&*before, &*terminal].concat();
        insta::assert_snapshot!(format!("stream_{name}"), shown(&out));
        assert!(shown(&terminal).ends_with("}}\n"), "{name}");

        let whole = decoded(DIALECT, &[&out]);
        assert_eq!(whole.1, "complete", "{name}");
        assert_eq!(meaning(&whole.0), meaning(&events), "{name}");
        let tap = relayed(DIALECT, &[&out]);
        assert_eq!(tap.end, "complete", "{name}");
        assert_eq!([&tap.passed, tap.terminal.as_deref().unwrap()].concat(), out, "{name}");
        assert!(shown(tap.terminal.as_deref().unwrap()).contains("message_stop"), "{name}");
        assert!(tap.facts.terminated && tap.facts.finished, "{name}: {:?}", tap.facts);
        let last = meaning(&events).1.map(|event| match event {
            StreamEvent::Usage(usage) => usage,
            other => panic!("{other:?}"),
        });
        assert_eq!(tap.facts.usage, last.filter(|usage| *usage != Usage::ZERO), "{name}");
        every_cut(&out, |chunks, how| {
            assert!(decoded(DIALECT, chunks) == whole, "{name} {how}");
            assert_eq!(relayed(DIALECT, chunks), tap, "{name} {how}");
        });
        // Without its last frame it is cut.
        let cut = &out[..out.len() - 1];
        assert_eq!(decoded(DIALECT, &[cut]).1, "Cut", "{name}");
        assert_eq!(relayed(DIALECT, &[cut]).end, "cut", "{name}");
    }
}

#[test]
fn streams_of_other_vendors_become_anthropics_events() {
    for (folder, dialect) in
        [("openai_chat/streams", Dialect::OpenAiChat), ("bedrock/streams", Dialect::BedrockConverse)]
    {
        for (name, body) in fixtures::all(folder) {
            let (events, end) = decoded(dialect, &[&body]);
            if end != "complete" {
                continue;
            }
            let (before, terminal) = encoded(&events);
            let out = [&*before, &*terminal].concat();
            let mut plain = ANTHROPIC.stream_encoder(context());
            let mut sse = BytesMut::new();
            for event in &events {
                plain.push(event, &mut sse);
            }
            plain.finish(812, &mut sse);
            let (expected, _) = decoded(ANTHROPIC, &[&sse]);
            assert_eq!(decoded(DIALECT, &[&out]), (expected, "complete".into()), "{folder} {name}");
        }
    }
}

fn exception(kind: &str, payload: &str) -> BytesMut {
    let mut out = BytesMut::new();
    let headers =
        [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    event_stream::write(&mut out, &headers, payload.as_bytes());
    out
}

fn chunk(payload: &str) -> BytesMut {
    let mut out = BytesMut::new();
    let headers =
        [(":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")];
    event_stream::write(&mut out, &headers, payload.as_bytes());
    out
}

#[test]
fn a_vendors_failure_amid_a_stream_is_its_own_and_what_is_no_chunk_ends_it() {
    let (before, _) = encoded(&[StreamEvent::Text { choice: 0, text: "one ".into() }]);
    let failed = [&*before, &exception("throttlingException", r#"{"message":"slow down"}"#)].concat();
    let (events, end) = decoded(DIALECT, &[&failed]);
    assert!(matches!(&events[..], [.., StreamEvent::Text { text, .. }] if text == "one "), "{events:?}");
    assert!(end.contains("slow down") && end.contains("throttlingException"), "{end}");
    let tap = relayed(DIALECT, &[&failed]);
    assert_eq!((tap.end.as_str(), tap.passed.as_slice()), ("the vendor's error", failed.as_slice()));
    assert_eq!(tap.facts.upstream_error.unwrap().message, "slow down");
    assert_eq!(tap.facts.content_bytes, 4);

    let told = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let told = [&*before, &chunk(&json!({ "bytes": STANDARD.encode(told) }).to_string())].concat();
    assert!(decoded(DIALECT, &[&told]).1.contains("Overloaded"));
    assert_eq!(relayed(DIALECT, &[&told]).end, "the vendor's error");

    // The last is `{"type":` in base64.
    for garbage in ["", "{}", r#"{"bytes":"*"}"#, r#"{"bytes":"aGk="}"#, r#"{"bytes":"eyJ0eXBlIjo="}"#] {
        let odd = [&*before, &chunk(garbage)].concat();
        let (_, end) = decoded(DIALECT, &[&odd]);
        assert!(end.starts_with("Garbage"), "{garbage}: {end}");
        let tap = relayed(DIALECT, &[&odd]);
        assert!(tap.end.starts_with("Garbage"), "{garbage}: {tap:?}");
        assert_eq!(tap.passed, *before, "{garbage}");
    }
}

#[test]
fn a_whole_answer_is_anthropics_with_bedrocks_headers() {
    for (name, body) in fixtures::all("anthropic/replies") {
        let facts = DIALECT.usage_of_reply(&body);
        let Ok(response) = DIALECT.decode_response(&body) else {
            assert!(facts.is_err(), "{name}");
            continue;
        };
        assert_eq!(facts.unwrap().usage, response.usage, "{name}");
        let encoded = DIALECT.encode_response(&response, &context());
        assert_eq!(encoded, ANTHROPIC.encode_response(&response, &context()), "{name}");
    }
    let usage: Usage = UsageClass::ALL.iter().map(|class| (*class, 1)).collect();
    let headers = DIALECT.reply_headers(&usage, 812);
    let figure = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(figure("x-amzn-bedrock-invocation-latency"), "812");
    assert_eq!(figure("x-amzn-bedrock-input-token-count"), "4");
    assert_eq!(figure("x-amzn-bedrock-output-token-count"), "4");
    assert_eq!(figure("x-amzn-bedrock-cache-read-input-token-count"), "3");
    assert_eq!(figure("x-amzn-bedrock-cache-write-input-token-count"), "3");
    for dialect in [Dialect::OpenAiChat, ANTHROPIC, Dialect::BedrockConverse] {
        assert!(dialect.reply_headers(&usage, 812).is_empty());
    }
}

#[test]
fn an_error_in_an_answer_is_bedrocks() {
    for body in [r#"{"message":"no"}"#, r#"{"Message":"no","__type":"AccessDeniedException"}"#] {
        let errors = [
            DIALECT.usage_of_reply(body.as_bytes()).unwrap_err(),
            DIALECT.decode_response(body.as_bytes()).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(&error, WireError::Upstream(fault) if fault.message == "no"), "{error:?}");
        }
    }
    let garbage = DIALECT.decode_response(b"<html>").unwrap_err();
    assert!(matches!(garbage, WireError::Garbage(_)), "{garbage:?}");
}

#[test]
fn errors_are_those_of_bedrocks_other_operations() {
    let id = RequestId::from_bytes([7; 16]);
    for code in ErrorCode::ALL {
        let error = ApiError::new(*code, "what went wrong");
        let converse = Dialect::BedrockConverse;
        assert_eq!(DIALECT.error_body(&error, &id), converse.error_body(&error, &id));
        assert_eq!(DIALECT.error_header(&error), converse.error_header(&error));
        assert_eq!(DIALECT.error_event(&error, &id), converse.error_event(&error, &id));
    }
    assert_eq!(DIALECT.name(), "bedrock_invoke_anthropic");
    assert_eq!(DIALECT.keep_alive(), None);
    assert_eq!(DIALECT.stream_type(), "application/vnd.amazon.eventstream");
    assert!(DIALECT.reply_id(&id).starts_with("msg_bdrk_"));
}

#[test]
fn a_tap_that_was_never_fed_is_cut() {
    let mut tap = DIALECT.tap(true);
    assert_eq!(tap.unfinished_terminal(), None);
    assert_eq!(tap.finish(&mut Vec::new()), TapEnd::Cut);
}

#[test]
fn betas_go_where_each_wire_asks_for_them() {
    let ask = |betas: Value| {
        let body = json!({ "anthropic_version": "bedrock-2023-05-31", "anthropic_beta": betas, "max_tokens": 5,
            "messages": [{ "role": "user", "content": "hi" }] });
        DIALECT.decode_request(body.to_string().as_bytes(), &path(false)).unwrap()
    };
    let request = ask(json!(["a-2025-01-01", "b-2025-01-01"]));
    let (body, losses) = ANTHROPIC.encode_request(&request, &target("claude"));
    assert_eq!(losses, []);
    assert!(!std::str::from_utf8(&body).unwrap().contains("anthropic_beta"));
    let headers = ANTHROPIC.request_headers(&request);
    assert_eq!(headers.len(), 1);
    assert_eq!(headers["anthropic-beta"], "a-2025-01-01,b-2025-01-01");
    let (body, losses) = DIALECT.encode_request(&request, &target(MODEL));
    assert_eq!((losses.len(), DIALECT.request_headers(&request).len()), (0, 0));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["anthropic_beta"], json!(["a-2025-01-01", "b-2025-01-01"]));
    let converse = |model| Dialect::BedrockConverse.encode_request(&request, &target(model));
    let (body, losses) = converse(MODEL);
    assert_eq!(losses, []);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let beyond = json!({ "anthropic_beta": ["a-2025-01-01", "b-2025-01-01"] });
    assert_eq!(body["additionalModelRequestFields"], beyond);
    let others =
        [Dialect::OpenAiChat.encode_request(&request, &target("m")), converse("amazon.nova-pro-v1:0")];
    for (body, losses) in others {
        assert!(losses.iter().any(|loss| loss.field == "anthropic_beta"), "{losses:?}");
        assert!(!std::str::from_utf8(&body).unwrap().contains("a-2025-01-01"));
    }

    let (_, losses) = ANTHROPIC.encode_request(&ask(json!([])), &target("claude"));
    assert_eq!(losses, [], "of no betas none is lost");
    for odd in [json!("a"), json!([7])] {
        let request = ask(odd.clone());
        let (_, losses) = ANTHROPIC.encode_request(&request, &target("claude"));
        assert_eq!(losses.iter().map(|loss| &*loss.field).collect::<Vec<_>>(), ["anthropic_beta"], "{odd}");
        assert!(ANTHROPIC.request_headers(&request).is_empty(), "{odd}");
    }
}

//! Pictures that a model makes: whole and in streams, from Bedrock and for its clients.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use serde_json::{Value, json};
use steelyard_dialect::{Dialect, StreamEvent, event_stream};

use super::streams::shown;
use crate::wire::{decoded, encoded};

const DIALECT: Dialect = Dialect::BedrockConverse;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and what follows";

fn stream(events: &[(&str, Value)]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for (name, data) in events {
        let headers =
            [(":event-type", *name), (":content-type", "application/json"), (":message-type", "event")];
        event_stream::write(&mut out, &headers, data.to_string().as_bytes());
    }
    out.to_vec()
}

/// A stream with a picture in those deltas.
fn shows(deltas: &[Value]) -> Vec<u8> {
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    events
        .push(("contentBlockStart", json!({"contentBlockIndex": 0, "start": {"image": {"format": "png"}}})));
    events.extend(
        deltas
            .iter()
            .map(|delta| ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"image": delta}}))),
    );
    events.push(("contentBlockStop", json!({"contentBlockIndex": 0})));
    events.push(("messageStop", json!({"stopReason": "end_turn"})));
    stream(&events)
}

fn pictures(events: &[StreamEvent]) -> Vec<(String, Vec<u8>)> {
    let picture = |event: &StreamEvent| match event {
        StreamEvent::Image { choice: 0, media_type, data } => {
            Some((media_type.clone(), STANDARD.decode(data).unwrap()))
        }
        _ => None,
    };
    events.iter().filter_map(picture).collect()
}

#[test]
fn a_picture_comes_in_pieces_and_is_told_whole() {
    let (head, tail) = PNG.split_at(7);
    let piece = |bytes: &[u8]| json!({"source": {"bytes": STANDARD.encode(bytes)}});
    for deltas in [vec![piece(PNG)], vec![piece(head), piece(tail)]] {
        let (events, end) = decoded(DIALECT, &[&shows(&deltas)]);
        assert_eq!(end, "complete");
        assert_eq!(pictures(&events), [("image/png".to_owned(), PNG.to_vec())]);
    }
}

#[test]
fn what_is_no_picture_ends_no_stream() {
    let lies = json!({"source": {"s3Location": {"uri": "s3://b/k"}}});
    let failed = json!({"error": {"message": "no"}});
    for odd in
        [lies, failed, json!(null), json!(7), json!({"source": null}), json!({"source": {"bytes": null}})]
    {
        let (events, end) = decoded(DIALECT, &[&shows(std::slice::from_ref(&odd))]);
        assert_eq!((pictures(&events).len(), end.as_str()), (0, "complete"), "{odd}");
    }
}

#[test]
fn a_picture_that_never_ends_is_refused() {
    let piece = json!({"source": {"bytes": STANDARD.encode(vec![0; 9 << 20])}});
    let (_, end) = decoded(DIALECT, &[&shows(&[piece.clone(), piece.clone(), piece])]);
    assert!(end.contains("TooLong"), "{end}");
}

#[test]
fn a_picture_of_geminis_is_a_block_whole_and_streamed() {
    let data = STANDARD.encode(PNG);
    let parts = json!([{"text": "See. "}, {"inlineData": {"mimeType": "image/png", "data": data}}, {"text": "So."},
        {"inlineData": {"mimeType": "image/heic", "data": data}},
        {"thought": true, "inlineData": {"mimeType": "image/png", "data": data}}]);
    let answer = json!({"responseId": "r", "candidates": [{"index": 0, "finishReason": "STOP",
        "content": {"role": "model", "parts": parts}}]});
    let whole = Dialect::GeminiGenerate.decode_response(answer.to_string().as_bytes()).unwrap();
    let whole = DIALECT.encode_response(&whole, &crate::wire::context());
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(
        whole["output"]["message"]["content"],
        json!([{"text": "See. "}, {"image": {"format": "png", "source": {"bytes": data}}}, {"text": "So."}])
    );
    let (events, _) = decoded(Dialect::GeminiGenerate, &[format!("data: {answer}\n\n").as_bytes()]);
    let streamed = encoded(DIALECT, &events);
    insta::assert_snapshot!("a_picture_of_geminis", shown(&streamed));
    let (again, end) = decoded(DIALECT, &[&streamed]);
    assert_eq!(end, "complete");
    assert_eq!(pictures(&again), [("image/png".to_owned(), PNG.to_vec())]);
}

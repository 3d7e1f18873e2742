//! No bytes make the reader of event-stream frames, Bedrock's decoder or its tap panic; the tap changes no byte, and any
//! cut of a stream reads the same. The first byte says how the rest is cut. Checksums would keep nearly all bytes out, so
//! they are also taken as the payloads of good frames, divided by 0xff, the first byte of each its event.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use steelyard_dialect::event_stream::{Frames, write};
use steelyard_dialect::{Dialect, StreamEvent, StreamFacts, TapEnd};

const KINDS: [(&str, &str, &str); 9] = [
    (":event-type", "messageStart", "event"),
    (":event-type", "contentBlockStart", "event"),
    (":event-type", "contentBlockDelta", "event"),
    (":event-type", "contentBlockStop", "event"),
    (":event-type", "messageStop", "event"),
    (":event-type", "metadata", "event"),
    (":event-type", "unheard", "event"),
    (":exception-type", "throttlingException", "exception"),
    (":error-code", "InternalError", "error"),
];

type Relayed = (Vec<u8>, Vec<u8>, String, StreamFacts);

fn relayed(body: &[u8], size: usize) -> Relayed {
    let mut tap = Dialect::BedrockConverse.tap(false);
    let (mut out, mut terminal, mut end) = (Vec::new(), Bytes::new(), String::new());
    for chunk in body.chunks(size) {
        match tap.push(Bytes::copy_from_slice(chunk), &mut out) {
            Ok(None) => {}
            Ok(Some(more)) => {
                (terminal, end) = (more, "complete".into());
                break;
            }
            Err(error) => {
                end = format!("{error:?}");
                break;
            }
        }
    }
    if end.is_empty() {
        end = match tap.finish(&mut out) {
            TapEnd::Complete(rest) => {
                terminal = rest;
                "closed".into()
            }
            other => format!("{other:?}"),
        };
    }
    (out.concat(), terminal.to_vec(), end, tap.facts())
}

fn decoded(body: &[u8], size: usize) -> (Vec<StreamEvent>, String) {
    let mut decoder = Dialect::BedrockConverse.stream_decoder();
    let mut events = Vec::new();
    for chunk in body.chunks(size) {
        if let Err(error) = decoder.push(chunk, &mut events) {
            return (events, format!("{error:?}"));
        }
    }
    let end = format!("{:?}", decoder.finish(&mut events));
    (events, end)
}

fn check(body: &[u8], size: usize) {
    let whole = body.len().max(1);
    let relay = relayed(body, whole);
    assert!(body.starts_with(&[relay.0.as_slice(), &relay.1].concat()));
    assert_eq!(relayed(body, size), relay);
    assert_eq!(decoded(body, size), decoded(body, whole));
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, body)) = bytes.split_first() else { return };
    let size = usize::from(*first).max(1);
    check(body, size);
    let _ = Frames::with_limit(64).push(body, |_| Ok(()));
    let mut stream = BytesMut::new();
    for piece in body.split(|byte| *byte == 0xff) {
        let Some((kind, payload)) = piece.split_first() else { continue };
        let (name, value, message) = KINDS[usize::from(*kind) % KINDS.len()];
        write(&mut stream, &[(name, value), (":content-type", "application/json"), (":message-type", message)], payload);
    }
    check(&stream, size);
});

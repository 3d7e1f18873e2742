//! No bytes make the reader of event-stream frames, Bedrock's decoder or its tap panic; the tap changes no byte, and any
//! cut of a stream reads the same. The first byte says how the rest is cut. Checksums would keep nearly all bytes out, so
//! they are also taken as the payloads of good frames, divided by 0xff, the first byte of each its event.
use bytes::BytesMut;
use steelyard_dialect::event_stream::{Frames, write};
use steelyard_dialect::Dialect;

use crate::stream::{check_clients, decoded, relayed};

const WIRE: Dialect = Dialect::BedrockConverse;

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

fn check(body: &[u8], size: usize) {
    let whole = body.len().max(1);
    let relay = relayed(WIRE, body, whole, false);
    assert!(body.starts_with(&[relay.0.as_slice(), &relay.1].concat()));
    assert_eq!(relayed(WIRE, body, size, false), relay);
    let events = decoded(WIRE, body, whole);
    assert_eq!(decoded(WIRE, body, size), events);
    if events.1 == "Ok(())" {
        check_clients(&events.0);
    }
}

/// Frames, and what is in them.
pub fn event_stream(bytes: &[u8]) {
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
}

//! Server-sent events: no bytes make scanner, decoder or tap panic; the tap changes no byte; any cut of a stream reads the
//! same, and is the same to the clients of every wire. The first byte says how the rest is cut.

use bytes::{Bytes, BytesMut};
use steelyard_dialect::{Dialect, ReplyContext, StreamEvent, StreamFacts, TapEnd};

use crate::request::CLIENTS;

/// OpenAI's streams.
pub fn sse(bytes: &[u8]) {
    check(Dialect::OpenAiChat, bytes);
}

/// OpenAI's streams of Responses.
pub fn responses_stream(bytes: &[u8]) {
    check(Dialect::OpenAiResponses, bytes);
}

/// Anthropic's streams.
pub fn anthropic_stream(bytes: &[u8]) {
    check(Dialect::AnthropicMessages, bytes);
}

/// Gemini's streams, and the same as an array: what is read is the same, whatever the client gets.
pub fn gemini_stream(bytes: &[u8]) {
    check(Dialect::GeminiGenerate, bytes);
    let Some((first, body)) = bytes.split_first() else { return };
    let (size, whole) = (usize::from(*first).max(1), body.len().max(1));
    let array = relayed(Dialect::GeminiArray, body, size, false);
    assert_eq!(array, relayed(Dialect::GeminiArray, body, whole, false));
    assert_eq!(array.3, relayed(Dialect::GeminiGenerate, body, whole, false).3);
    let _ = decoded(Dialect::GeminiArray, body, size);
}

/// What passed, the terminal part, how it ended, and what was read.
type Relayed = (Vec<u8>, Vec<u8>, String, StreamFacts);

pub(crate) fn relayed(dialect: Dialect, body: &[u8], size: usize, hide_usage: bool) -> Relayed {
    let mut tap = dialect.tap(hide_usage);
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

pub(crate) fn decoded(dialect: Dialect, body: &[u8], size: usize) -> (Vec<StreamEvent>, String) {
    let mut decoder = dialect.stream_decoder();
    let mut events = Vec::new();
    for chunk in body.chunks(size) {
        if let Err(error) = decoder.push(chunk, &mut events) {
            return (events, format!("{error:?}"));
        }
    }
    let end = format!("{:?}", decoder.finish(&mut events));
    (events, end)
}

/// The stream that a client gets for the events.
pub(crate) fn encoded(client: Dialect, events: &[StreamEvent]) -> Vec<u8> {
    let context = ReplyContext {
        id: "id".into(),
        model: "m".into(),
        created: 7,
        include_usage: true,
        elapsed_ms: 7,
        echo: None,
    };
    let mut encoder = client.stream_encoder(context);
    let mut out = BytesMut::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    encoder.finish(7, &mut out);
    out.to_vec()
}

/// The events can be written for the clients of every wire, and what is written makes no reader panic. A vendor's nonsense,
/// such as a call without an id, may be nonsense there too.
pub(crate) fn check_clients(events: &[StreamEvent]) {
    for client in CLIENTS {
        let stream = encoded(client, events);
        let _ = decoded(client, &stream, stream.len().max(1));
    }
}

fn check(dialect: Dialect, bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let (size, whole) = (usize::from(*first).max(1), body.len().max(1));
    let open = relayed(dialect, body, whole, false);
    // What passed is what came. An end that lacks its line breaks, or its last event, gets them.
    assert!(body.starts_with(&open.0) || open.0.starts_with(body));
    let cut = relayed(dialect, body, size, false);
    // What follows the terminal part comes with it, or is never read.
    assert_eq!((&cut.0, &cut.3), (&open.0, &open.3));
    let events = decoded(dialect, body, whole);
    assert_eq!(decoded(dialect, body, size), events);
    if events.1 == "Ok(())" {
        check_clients(&events.0);
    }
}

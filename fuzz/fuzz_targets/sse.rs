//! No bytes make the scanner, the decoder or the tap panic, and any cut of a stream reads the same.
//! The first byte says how the rest is cut.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use steelyard_dialect::{Dialect, StreamEvent, StreamFacts, StreamTap};

fn tapped(body: &[u8], size: usize, hide_usage: bool) -> Option<(Vec<u8>, Vec<u8>, StreamFacts)> {
    let mut tap = StreamTap::new(hide_usage);
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        tap.push(Bytes::copy_from_slice(chunk), &mut out).ok()?;
    }
    tap.finish(&mut out);
    Some((out.concat(), tap.take_terminal().unwrap_or_default().to_vec(), tap.facts()))
}

fn decoded(body: &[u8], size: usize) -> (Vec<StreamEvent>, String) {
    let mut decoder = Dialect::OpenAiChat.stream_decoder();
    let mut events = Vec::new();
    for chunk in body.chunks(size) {
        if let Err(error) = decoder.push(chunk, &mut events) {
            return (events, format!("{error:?}"));
        }
    }
    let end = format!("{:?}", decoder.finish(&mut events));
    (events, end)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, body)) = bytes.split_first() else { return };
    let (size, whole) = (usize::from(*first).max(1), body.len().max(1));
    let open = tapped(body, whole, false);
    if let Some((passed, terminal, _)) = &open {
        assert_eq!([passed.as_slice(), terminal].concat(), body);
    }
    assert_eq!(tapped(body, size, false), open);
    assert_eq!(tapped(body, size, true), tapped(body, whole, true));
    assert_eq!(decoded(body, size), decoded(body, whole));
});

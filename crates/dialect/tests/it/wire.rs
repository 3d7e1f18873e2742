//! What the tests of every streamed dialect need, over the dialect.

use bytes::{Bytes, BytesMut};
use proptest::prelude::prop;
use steelyard_dialect::{
    Dialect, ReplyContext, StreamEvent, StreamFacts, StreamTap, TapEnd, Target, WireError,
};

/// A model of the vendor whose wire it is.
pub(crate) fn target(model: &str) -> Target<'_> {
    Target { model, max_output: None, compatible: false }
}

pub(crate) fn context() -> ReplyContext {
    ReplyContext {
        id: "msg_ours".into(),
        model: "smart".into(),
        created: 1_795_000_002,
        include_usage: true,
        elapsed_ms: 7,
        echo: None,
    }
}

/// What a decoder makes of the chunks, and how it ended.
pub(crate) fn decoded(dialect: Dialect, chunks: &[&[u8]]) -> (Vec<StreamEvent>, String) {
    let mut decoder = dialect.stream_decoder();
    let mut events = Vec::new();
    for chunk in chunks {
        if let Err(error) = decoder.push(chunk, &mut events) {
            return (events, format!("{error:?}"));
        }
    }
    let end = match decoder.finish(&mut events) {
        Ok(()) => "complete".into(),
        Err(error) => format!("{error:?}"),
    };
    (events, end)
}

/// What a tap lets through, how the stream ended, and what was read.
#[derive(Debug)]
pub(crate) struct Tapped {
    pub(crate) passed: Vec<u8>,
    pub(crate) end: Result<TapEnd, WireError>,
    pub(crate) facts: StreamFacts,
}

impl PartialEq for Tapped {
    fn eq(&self, other: &Self) -> bool {
        let end = |tapped: &Self| format!("{:?}", tapped.end);
        self.passed == other.passed && self.facts == other.facts && end(self) == end(other)
    }
}

/// Taps the chunks as the relay does: until the terminal part is complete.
pub(crate) fn tapped(dialect: Dialect, chunks: &[&[u8]]) -> Tapped {
    tapped_by(dialect.tap(false), chunks)
}

pub(crate) fn tapped_by(mut tap: StreamTap, chunks: &[&[u8]]) -> Tapped {
    let mut passed = Vec::new();
    let mut out = Vec::new();
    let mut end = None;
    for chunk in chunks {
        let pushed = tap.push(Bytes::copy_from_slice(chunk), &mut out);
        assert!(out.len() <= 1, "one slice for a frame");
        passed.extend(out.drain(..).flatten());
        end = pushed.map(|terminal| terminal.map(TapEnd::Complete)).transpose();
        if end.is_some() {
            break;
        }
    }
    let end = end.unwrap_or_else(|| Ok(tap.finish(&mut out)));
    passed.extend(out.drain(..).flatten());
    Tapped { passed, end, facts: tap.facts() }
}

/// Whether what passed is what came, as far as it passed. Line ends that the vendor left out are put in, and a terminal
/// event where only that was missing.
pub(crate) fn is_untouched(tap: &Tapped, body: &[u8]) -> bool {
    let terminal = match &tap.end {
        Ok(TapEnd::Complete(terminal)) => terminal.as_ref(),
        Ok(TapEnd::VendorError | TapEnd::Cut) | Err(_) => &[],
    };
    let client = [&tap.passed, terminal].concat();
    body.starts_with(&client) || client.starts_with(body)
}

/// Checks that a stream is read and passed the same however it is cut.
pub(crate) fn check_every_split(dialect: Dialect, name: &str, body: &[u8]) {
    let (events, end) = decoded(dialect, &[body]);
    let tap = tapped(dialect, &[body]);
    let check = |chunks: &[&[u8]], how: &dyn Fn() -> String| {
        let (again, over) = decoded(dialect, chunks);
        assert!(again == events && over == end, "{name} {}: {again:?} {over}", how());
        assert_eq!(tapped(dialect, chunks), tap, "{name} {}", how());
    };
    for at in 0..=body.len() {
        let (head, tail) = body.split_at(at);
        check(&[head, tail], &|| format!("split at {at}"));
    }
    for size in [1, 3, 64] {
        check(&body.chunks(size).collect::<Vec<_>>(), &|| format!("{size} bytes at a time"));
    }
}

/// The stream that a client gets for the events.
pub(crate) fn encoded(dialect: Dialect, events: &[StreamEvent]) -> Bytes {
    let mut encoder = dialect.stream_encoder(context());
    let mut out = BytesMut::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    encoder.finish(7, &mut out);
    out.freeze()
}

/// Cuts bytes at arbitrary places.
pub(crate) fn cut<'a>(body: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = at.iter().map(|index| index.index(body.len() + 1)).collect();
    places.sort_unstable();
    let mut chunks = Vec::new();
    let mut from = 0;
    for place in places {
        chunks.push(&body[from..place]);
        from = place;
    }
    chunks.push(&body[from..]);
    chunks
}

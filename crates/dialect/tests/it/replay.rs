//! Streams of any dialect, in any chunks.

use bytes::Bytes;
use steelyard_dialect::{Dialect, StreamEvent, StreamFacts, TapEnd};

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

/// What a tap lets through, what it withholds, how it ended, and what it read.
#[derive(Debug, PartialEq)]
pub(crate) struct Relayed {
    pub(crate) passed: Vec<u8>,
    pub(crate) terminal: Option<Bytes>,
    pub(crate) end: String,
    pub(crate) facts: StreamFacts,
}

pub(crate) fn relayed(dialect: Dialect, chunks: &[&[u8]]) -> Relayed {
    let mut tap = dialect.tap(false);
    let (mut passed, mut out, mut terminal) = (Vec::new(), Vec::new(), None);
    let mut end = None;
    for chunk in chunks {
        match tap.push(Bytes::copy_from_slice(chunk), &mut out) {
            Ok(None) => {}
            Ok(more) => {
                assert_eq!(terminal, None, "the terminal part comes once");
                terminal = more;
            }
            Err(error) => end = Some(format!("{error:?}")),
        }
        passed.extend(out.drain(..).flatten());
        if end.is_some() {
            break;
        }
    }
    let end = end.unwrap_or_else(|| {
        if terminal.is_some() {
            return "complete".into();
        }
        let end = match tap.finish(&mut out) {
            TapEnd::Complete(rest) => {
                terminal = Some(rest);
                "complete when closed".into()
            }
            TapEnd::VendorError => "the vendor's error".into(),
            TapEnd::Cut => "cut".into(),
        };
        passed.extend(out.drain(..).flatten());
        end
    });
    Relayed { passed, terminal, end, facts: tap.facts() }
}

/// Cuts a body at each of these places.
pub(crate) fn cut_at(body: &[u8], mut places: Vec<usize>) -> Vec<&[u8]> {
    places.sort_unstable();
    let mut chunks = Vec::with_capacity(places.len() + 1);
    let mut from = 0;
    for place in places {
        chunks.push(&body[from..place]);
        from = place;
    }
    chunks.push(&body[from..]);
    chunks
}

/// Calls `check` with the body cut in two at every place, and in equal pieces of some sizes.
pub(crate) fn every_cut(body: &[u8], check: impl Fn(&[&[u8]], &str)) {
    for at in 0..=body.len() {
        check(&cut_at(body, vec![at]), &format!("cut at {at}"));
    }
    for size in [1, 3, 64] {
        check(&body.chunks(size).collect::<Vec<_>>(), &format!("{size} bytes at a time"));
    }
}

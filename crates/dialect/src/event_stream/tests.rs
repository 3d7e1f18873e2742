use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: &str = "000000760000005296d5fade0b3a6576656e742d7479706507000c6d65737361676553746172740d3a636f6e74656e74\
    2d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b22726f6c65223a2261\
    7373697374616e74227d6fa8c599";
const THROTTLED: &str = "0000008900000061e3615c440f3a657863657074696f6e2d747970650700137468726f74746c696e674578636570\
    74696f6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700096578\
    63657074696f6e7b226d657373616765223a2022736c6f7720646f776e227da1eca625";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn written(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out, headers, payload);
    out.to_vec()
}

/// A message type and a payload.
type Found = (Option<String>, Vec<u8>);

/// The message types and payloads of the frames in the chunks.
fn found(chunks: &[&[u8]], limit: usize) -> Result<Vec<Found>, WireError> {
    let mut frames = Frames::with_limit(limit);
    let mut found = Vec::new();
    for chunk in chunks {
        frames.push(chunk, |frame| {
            found.push((frame.header(":message-type").map(str::to_owned), frame.payload.to_vec()));
            Ok(())
        })?;
    }
    if frames.is_mid_frame() { Err(WireError::Cut) } else { Ok(found) }
}

#[test]
fn botocores_frames_are_read_and_written() {
    let start = bytes(START);
    let (frame, length) = take(&start, MAX_FRAME).unwrap().unwrap();
    assert_eq!((length, frame.header(":event-type")), (118, Some("messageStart")));
    assert_eq!(frame.payload, br#"{"role":"assistant"}"#);
    let headers =
        [(":event-type", "messageStart"), (":content-type", "application/json"), (":message-type", "event")];
    assert_eq!(written(&headers, frame.payload), start);

    let throttled = bytes(THROTTLED);
    let (frame, length) = take(&throttled, MAX_FRAME).unwrap().unwrap();
    assert_eq!((length, frame.header(":exception-type")), (137, Some("throttlingException")));
    assert_eq!(frame.header(":event-type"), None);
    let headers = [
        (":exception-type", "throttlingException"),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    assert_eq!(written(&headers, br#"{"message": "slow down"}"#), throttled);
}

#[test]
fn headers_of_every_type_are_skipped_and_the_last_of_a_name_counts() {
    let mut headers = Vec::new();
    for (kind, value) in [
        (0, &b""[..]),
        (1, b""),
        (2, b"\x01"),
        (3, b"\0\x01"),
        (4, b"\0\0\0\x01"),
        (5, b"\0\0\0\0\0\0\0\x01"),
        (6, b"\0\x02ab"),
        (8, b"\0\0\0\0\0\0\0\x01"),
        (9, b"0123456789abcdef"),
        (7, b"\0\x01x"),
        (7, b"\0\x01y"),
    ] {
        headers.extend_from_slice(b"\x01n");
        headers.push(kind);
        headers.extend_from_slice(value);
    }
    let frame = Frame { headers: &headers, payload: b"" };
    assert_eq!(frame.header("n"), Some("y"));
    assert_eq!(frame.header("m"), None);
    assert_eq!(Headers(&headers).flatten().count(), 11);
    for broken in [&b"\x05n"[..], b"\x01n\x0a", b"\x01n\x07\0\x09x", b"\x01n\x05\0", b"\x01n"] {
        assert!(Headers(broken).any(|header| header.is_none()), "{broken:?}");
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let good = bytes(START);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(matches!(take(&bad, MAX_FRAME), Err(WireError::Garbage(_))), "byte {at}, bit {bit}");
        }
        assert!(take(&good[..at], MAX_FRAME).unwrap().is_none(), "cut at {at}");
        assert!(matches!(found(&[&good[..at.max(1)]], MAX_FRAME), Err(WireError::Cut)));
    }
}

#[test]
fn a_length_without_bound_is_refused_before_anybody_waits_for_it() {
    let claim = |total: u32, headers: u32| {
        let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        bytes.extend_from_slice(&crc32(&bytes).to_be_bytes());
        bytes
    };
    assert!(matches!(take(&claim(u32::MAX, 0), MAX_FRAME), Err(WireError::TooLong { limit: MAX_FRAME })));
    assert!(matches!(found(&[&written(&[], &[0; 100])], 64), Err(WireError::TooLong { limit: 64 })));
    for (total, headers) in [(0, 0), (15, 0), (16, 1), (100, 85), (1 << 20, (128 << 10) + 1)] {
        assert!(
            matches!(take(&claim(total, headers), MAX_FRAME), Err(WireError::Garbage(_))),
            "{total} {headers}"
        );
    }
    assert!(take(&claim(1 << 24, 0), MAX_FRAME).unwrap().is_none());
}

#[test]
fn a_header_that_is_too_long_is_cut_between_characters() {
    let long = "ä".repeat(20_000);
    let frame = written(&[("n", &long)], b"");
    let (frame, _) = take(&frame, MAX_FRAME).unwrap().unwrap();
    assert_eq!(frame.header("n").unwrap().len(), 0x7ffe);
}

proptest! {
    #[test]
    fn any_frames_in_any_chunks_read_the_same(
        frames in vec((vec(("[a-z:-]{0,9}", "[ -~ä秤]{0,9}"), 0..4), vec(any::<u8>(), 0..40)), 0..5),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut body = Vec::new();
        let mut expected = Vec::new();
        for (headers, payload) in frames {
            let headers: Vec<(&str, &str)> = std::iter::once((":message-type", "event"))
                .chain(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())))
                .collect();
            body.extend_from_slice(&written(&headers, &payload));
            let kind = headers.iter().rfind(|(name, _)| *name == ":message-type").map(|(_, value)| (*value).to_owned());
            expected.push((kind, payload));
        }
        let mut places: Vec<usize> = cuts.iter().map(|index| index.index(body.len() + 1)).collect();
        places.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for place in places {
            chunks.push(&body[from..place]);
            from = place;
        }
        chunks.push(&body[from..]);
        prop_assert_eq!(found(&chunks, MAX_FRAME).unwrap(), expected.clone());
        let bytewise: Vec<&[u8]> = body.chunks(1).collect();
        prop_assert_eq!(found(&bytewise, MAX_FRAME).unwrap(), expected);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..64), total in 0..80_u32, headers in 0..80_u32) {
        let mut frame = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        frame.extend_from_slice(&crc32(&frame).to_be_bytes());
        frame.extend_from_slice(&bytes);
        let _ = found(&[&frame], MAX_FRAME);
        let _ = found(&[&bytes], MAX_FRAME);
    }
}

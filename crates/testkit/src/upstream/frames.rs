//! AWS's event-stream encoding (smithy.io, "Amazon Event Stream Specification"), written apart from the code it tests.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

/// A frame with headers of type string.
pub fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut block = BytesMut::new();
    for (name, value) in headers {
        block.put_u8(u8::try_from(name.len()).expect("names are short"));
        block.put_slice(name.as_bytes());
        block.put_u8(7);
        block.put_u16(u16::try_from(value.len()).expect("values are short"));
        block.put_slice(value.as_bytes());
    }
    let mut frame = prelude(16 + block.len() + payload.len(), block.len());
    frame.put_slice(&block);
    frame.put_slice(payload);
    let sum = crc32fast::hash(&frame);
    frame.put_u32(sum);
    frame.freeze()
}

/// The lengths with their checksum.
fn prelude(total: usize, headers: usize) -> BytesMut {
    let mut prelude = BytesMut::new();
    for length in [total, headers] {
        prelude.put_u32(u32::try_from(length).expect("a frame is shorter than 4 GiB"));
    }
    let sum = crc32fast::hash(&prelude);
    prelude.put_u32(sum);
    prelude
}

/// A frame of an event, such as `contentBlockDelta`.
pub fn event_frame(kind: &str, payload: &Value) -> Bytes {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    frame(&headers, payload.to_string().as_bytes())
}

/// A frame of an exception, by the name of its member in the service model, such as `throttlingException`.
pub fn exception_frame(kind: &str, payload: &Value) -> Bytes {
    let headers =
        [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    frame(&headers, payload.to_string().as_bytes())
}

/// A frame as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// What it carries.
    pub payload: Bytes,
}

impl Frame {
    /// The value of a header, such as `:event-type`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The payload as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).expect("the payload of a frame is JSON")
    }
}

/// The whole frames at the start of `bytes`, and how many bytes are left behind them. Panics on a frame that a
/// client would refuse.
pub fn unframe(bytes: &[u8]) -> (Vec<Frame>, usize) {
    let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    let length = |bytes: &[u8]| usize::try_from(number(bytes)).expect("a length fits");
    let (mut rest, mut frames) = (bytes, Vec::new());
    while rest.len() >= 12 {
        assert_eq!(crc32fast::hash(&rest[..8]), number(&rest[8..12]), "the prelude's checksum");
        let (total, headers) = (length(&rest[..4]), length(&rest[4..8]));
        if rest.len() < total {
            break;
        }
        let end = total - 4;
        assert_eq!(crc32fast::hash(&rest[..end]), number(&rest[end..total]), "the frame's checksum");
        let mut block = &rest[12..12 + headers];
        let mut read = Vec::new();
        while !block.is_empty() {
            let (name, value) = block[1..].split_at(usize::from(block[0]));
            assert_eq!(value[0], 7, "headers are of type string");
            let (value, more) = value[3..].split_at(length(&value[1..3]));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("headers are UTF-8");
            read.push((text(name), text(value)));
            block = more;
        }
        frames.push(Frame { headers: read, payload: Bytes::copy_from_slice(&rest[12 + headers..end]) });
        rest = &rest[total..];
    }
    (frames, rest.len())
}

/// What can be wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadFrame {
    /// The checksum at its end does not hold.
    Checksum,
    /// The checksum of its lengths does not hold.
    Prelude,
    /// Half of it comes, then the stream ends in order.
    Truncated,
    /// It says that it has 1 GiB, rightly summed up, and begins.
    Oversized,
    /// Its lengths contradict each other.
    Lengths,
}

impl BadFrame {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Checksum, Self::Prelude, Self::Truncated, Self::Oversized, Self::Lengths];

    /// `good`, spoilt.
    pub(super) fn spoil(self, good: &Bytes) -> Bytes {
        let mut bytes = BytesMut::from(&good[..]);
        match self {
            Self::Checksum => *bytes.last_mut().expect("a frame has 16 bytes") ^= 1,
            Self::Prelude => bytes[8] ^= 1,
            Self::Truncated => bytes.truncate(good.len() / 2),
            Self::Oversized => {
                let mut huge = prelude(1 << 30, 80);
                huge.put_slice(&good[12..]);
                return huge.freeze();
            }
            Self::Lengths => return prelude(20, 4000).freeze(),
        }
        bytes.freeze()
    }

    /// Whether the stream ends behind it.
    pub(super) fn is_last(self) -> bool {
        match self {
            Self::Truncated | Self::Oversized | Self::Lengths => true,
            Self::Checksum | Self::Prelude => false,
        }
    }
}

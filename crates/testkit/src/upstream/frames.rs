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

//! The tap of a relayed stream: the vendor's bytes go on untouched while the ledger's facts are read.
//!
//! Constraints:
//! - Whole events pass ([`relay`](crate::sse::relay)), each one JSON value; the terminal event (`message_stop`) waits
//!   until the call is settled. The official SDKs die on what is no JSON, so it ends the stream. Nothing is hidden:
//!   every stream of this wire reports usage.
//! - An event is an object: the SDKs die on others. What is in it belongs to client and vendor: it is passed on and
//!   counted, never an error.
//! - One event costs a look at its bytes and a few searches. JSON is read of the events that begin a message or a block,
//!   hold usage, or look unlike any vendor's.
//! - At most one allocation for a frame.

mod reading;

pub use crate::anthropic::tap::reading::Reading;
use crate::error::WireError;
use crate::facts::StreamFacts;
use crate::json::{one_value, utf8};
use crate::sse::Event;
use crate::sse::closed::ClosedTap;
use crate::sse::relay::{Reader, Verdict};

/// The name and the type of the terminal event.
const STOP: &str = "message_stop";

/// The tap of one stream.
pub type Tap = ClosedTap<Reading>;

impl AsRef<StreamFacts> for Reading {
    fn as_ref(&self) -> &StreamFacts {
        &self.facts
    }
}

impl Reader for Reading {
    fn read(&mut self, block: &[u8]) -> Result<Verdict, WireError> {
        let Some(event) = Event::read(block) else { return Ok(Verdict::Pass) };
        self.data(&event.data)?;
        self.stopped |= event.name == Some(STOP.as_bytes()) && !event.data.is_empty();
        // After an error nothing makes a stream complete.
        let ends = self.stopped && self.facts.upstream_error.is_none();
        self.facts.terminated |= ends;
        Ok(if ends { Verdict::End } else { Verdict::Pass })
    }

    fn ends(&self, block: &[u8]) -> bool {
        let Some(event) = Event::read(block) else { return false };
        let whole = event.data.starts_with(b"{") && utf8(&event.data).and_then(one_value).is_ok();
        let mut read = Self::default();
        whole
            && self.facts.upstream_error.is_none()
            && (event.name == Some(STOP.as_bytes()) || (read.data(&event.data).is_ok() && read.stopped))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::sse::relay::Relay;

    #[test]
    fn the_terminal_event_is_known_by_its_name_or_its_type() {
        for (block, ends) in [
            ("event: content_block_stop\n", false),
            ("event: message_delta\ndata: {\"type\":\"message_delta\"}\n\n", false),
            ("event: message_stop\n", false),
            ("event: message_stop\ndata: {}\n\n", true),
            (": hi\nid: 7\nevent:message_stop\ndata:{}", true),
            ("data: {\"index\":0,\"type\":\"message_stop\"}\n\n", true),
            ("event: message_stopped\ndata: {\"type\":\"ping\"}\n\n", false),
        ] {
            assert_eq!(Reading::default().ends(block.as_bytes()), ends, "{block}");
            let verdict = Reading::default().read(block.as_bytes()).unwrap();
            assert_eq!(verdict == Verdict::End, ends, "{block}");
        }
        let half = b"event: message_stop\ndata: {\"ty";
        assert!(!Reading::default().ends(half) && Reading::default().read(half).is_err());
    }

    #[test]
    fn an_event_too_long_to_carry_ends_the_stream() {
        let mut relay = Relay::with_limit(Reading::default(), 24);
        let mut out = Vec::new();
        for frame in ["data: {\"a\":\"0123456789\"}   \n\n", "data: {\"a\":", "\"0123456789"] {
            relay.push(Bytes::from_static(frame.as_bytes()), &mut out).unwrap();
        }
        let more = relay.push(Bytes::from_static(b"012"), &mut out);
        assert!(matches!(more, Err(WireError::TooLong { limit: 24 })), "{more:?}");
        assert_eq!(out.concat(), b"data: {\"a\":\"0123456789\"}   \n\n");
    }

    #[test]
    fn a_name_alone_ends_no_stream() {
        let mut tap = Tap::new();
        let mut out = Vec::new();
        let begun = Bytes::from_static(b"event: message_stop\ndata: {\"ty");
        assert_eq!(tap.push(begun, &mut out).unwrap(), None);
        assert_eq!(tap.unfinished_terminal(), None);
        assert_eq!(tap.push(Bytes::from_static(b"pe\":\"message_stop\"}"), &mut out).unwrap(), None);
        let whole = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".as_slice();
        assert_eq!(tap.unfinished_terminal().as_deref(), Some(whole));
        assert!(out.is_empty());
    }
}

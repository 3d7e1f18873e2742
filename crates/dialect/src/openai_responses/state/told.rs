//! Answers that tell of the state: who they are here, what they went on from, and that they are kept.
//!
//! Whatever their target, they come with an id that nobody can ask for, a vendor's or none of ours, and say that nothing is
//! kept. Only objects of the whole answer are changed; the pieces of a stream pass as they are.

use bytes::Bytes;
use memchr::memmem;

use crate::json::{Object, compact, members, string};
use crate::sse::{Event, Lines};

/// What an answer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The id by which it can be asked for.
    pub id: String,
    /// The answer it went on from, as the client named it.
    pub previous: Option<String>,
    /// The conversation it belongs to.
    pub conversation: Option<String>,
    /// Whether it is kept.
    pub store: bool,
}

/// A part of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// It goes on to the client.
    Pass(Bytes),
    /// The end of an answer that is complete, and the answer: it is to be kept before its end goes out.
    End {
        /// The event.
        event: Bytes,
        /// The answer.
        response: Bytes,
    },
}

impl Told {
    /// A whole answer. One that is no JSON object stays as it is.
    pub fn whole(&self, response: &[u8]) -> Bytes {
        let Ok(text) = std::str::from_utf8(response) else { return Bytes::copy_from_slice(response) };
        let mut out = Vec::with_capacity(response.len() + 128);
        let mut read = Ok(());
        Object::write(&mut out, |object| {
            let mut seen = [false; 4];
            read = members(text, |key, value| match place_of(&key) {
                Some(place) => {
                    if !std::mem::replace(&mut seen[place], true) {
                        self.write(place, object);
                    }
                }
                None => object.field(&key, value),
            });
            for place in (0..seen.len()).filter(|place| !seen[*place]) {
                self.write(place, object);
            }
        });
        if read.is_ok() { Bytes::from(out) } else { Bytes::copy_from_slice(response) }
    }

    fn write(&self, place: usize, object: &mut Object<'_>) {
        let name = MEMBERS[place];
        match place {
            0 => object.field(name, &self.id),
            1 => object.field(name, &self.store),
            2 => object.field(name, &self.previous),
            _ => match &self.conversation {
                Some(id) => object.object(name, |conversation| conversation.field("id", id)),
                None => object.null(name),
            },
        }
    }

    /// Whole events of a stream, as they go out together.
    pub fn stream(&self, events: &Bytes) -> Vec<Piece> {
        // A piece of an answer does not hold the member: quotes inside of a string are escaped.
        if memmem::find(events, MEMBER).is_none() {
            return vec![Piece::Pass(events.clone())];
        }
        let mut pieces = Vec::new();
        let mut lines = Lines::default();
        let (mut from, mut passed) = (0, 0);
        while let Some(length) = lines.event_end(&events[from..]) {
            let block = from..from + length;
            from = block.end;
            let Some((event, end)) = self.event(&events[block.clone()]) else { continue };
            if passed < block.start {
                pieces.push(Piece::Pass(events.slice(passed..block.start)));
            }
            passed = block.end;
            pieces.push(match end {
                Some(response) => Piece::End { event, response },
                None => Piece::Pass(event),
            });
        }
        if passed < events.len() {
            pieces.push(Piece::Pass(events.slice(passed..)));
        }
        pieces
    }

    /// An event that holds an answer, and the answer if it is complete. None: it holds none.
    fn event(&self, block: &[u8]) -> Option<(Bytes, Option<Bytes>)> {
        memmem::find(block, MEMBER)?;
        let event = Event::read(block)?;
        let text = std::str::from_utf8(&event.data).ok()?;
        let (mut kind, mut response) = (None, None);
        members(text, |key, value| match &*key {
            "type" => kind = string(value),
            "response" if value.get().starts_with('{') => response = Some(value),
            _ => {}
        })
        .ok()?;
        let (kind, response) = (kind?, response?);
        let told = self.whole(response.get().as_bytes());
        let told_text = std::str::from_utf8(&told).ok()?;
        let mut out = Vec::with_capacity(block.len() + 128);
        for piece in ["event: ", &kind, "\ndata: "] {
            out.extend_from_slice(piece.as_bytes());
        }
        let mut written = Vec::with_capacity(block.len() + 128);
        written.push(b'{');
        members(text, |key, value| {
            if written.len() > 1 {
                written.push(b',');
            }
            written.extend_from_slice(serde_json::to_string(&key).expect("a string serialises").as_bytes());
            written.push(b':');
            let value = if key == "response" { told_text } else { value.get() };
            written.extend_from_slice(value.as_bytes());
        })
        .ok()?;
        written.push(b'}');
        // Data of several lines is joined by line ends, which JSON has between its tokens alone.
        out.extend_from_slice(compact(std::str::from_utf8(&written).ok()?).as_bytes());
        out.extend_from_slice(b"\n\n");
        let ends = matches!(&*kind, "response.completed" | "response.incomplete");
        Some((Bytes::from(out), ends.then_some(told)))
    }
}

/// Where a member stands among those that are told.
fn place_of(member: &str) -> Option<usize> {
    MEMBERS.iter().position(|known| *known == member)
}

const MEMBERS: [&str; 4] = ["id", "store", "previous_response_id", "conversation"];
/// The member of an event that has the answer.
const MEMBER: &[u8] = b"\"response\"";

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        let (id, previous) = ("resp_ours".to_owned(), Some("resp_before".to_owned()));
        Told { id, previous, conversation: None, store: true }
    }

    #[test]
    fn an_answer_tells_who_it_is_here() {
        let vendors = br#"{"id":"resp_theirs", "object":"response","store":false,"previous_response_id":null,"output":[ ]}"#;
        assert_eq!(
            told().whole(vendors),
            br#"{"id":"resp_ours","object":"response","store":true,"previous_response_id":"resp_before","output":[ ],"conversation":null}"#.as_slice()
        );
        let in_conversation = Told { conversation: Some("conv_1".to_owned()), previous: None, ..told() };
        let whole = in_conversation.whole(b"{}");
        assert_eq!(
            whole,
            br#"{"id":"resp_ours","store":true,"previous_response_id":null,"conversation":{"id":"conv_1"}}"#
                .as_slice()
        );
        assert_eq!(told().whole(b"no JSON"), b"no JSON".as_slice());
    }

    #[test]
    fn only_events_with_the_answer_are_changed() {
        let delta = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a \\\"response\\\"\"}\n\n";
        let only = Bytes::from_static(delta.as_bytes());
        assert_eq!(told().stream(&only), [Piece::Pass(only.clone())]);
        let created = "event: response.created\r\ndata: {\"type\":\"response.created\",\r\ndata: \"response\":{\"id\":\"a\"},\"sequence_number\":0}\r\n\r\n";
        let last =
            "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"a\",\"output\":[]},\"n\":1}\n\n";
        let all = Bytes::from(format!("{created}{delta}: beat\n\n{last}"));
        let pieces = told().stream(&all);
        let tail = r#""store":true,"previous_response_id":"resp_before","conversation":null}"#;
        let text = |piece: &Piece| match piece {
            Piece::Pass(bytes) | Piece::End { event: bytes, .. } => {
                String::from_utf8(bytes.to_vec()).unwrap()
            }
        };
        assert_eq!(
            pieces.iter().map(text).collect::<Vec<_>>(),
            [
                format!(
                    "event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{\"id\":\"resp_ours\",{tail},\"sequence_number\":0}}\n\n"
                ),
                format!("{delta}: beat\n\n"),
                format!(
                    "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"id\":\"resp_ours\",\"output\":[],{tail},\"n\":1}}\n\n"
                ),
            ]
        );
        let Piece::End { response, .. } = &pieces[2] else { panic!("{pieces:?}") };
        let expected = format!("{{\"id\":\"resp_ours\",\"output\":[],{tail}");
        assert_eq!(response, expected.as_bytes());
    }
}

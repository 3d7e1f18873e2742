//! The messages of an answer: their parts, as they grow.

use bytes::BytesMut;

use crate::chat::{Citation, TokenLogprob};
use crate::json::Object;
use crate::openai_responses::output::{Body, Cited, Piece, write_logprobs};
use crate::openai_responses::stream_encode::Encoder;

impl Encoder {
    /// The message that goes on, with a part of the kind that is wanted last; begun where there is none.
    fn piece(&mut self, wanted: Piece, out: &mut BytesMut) -> usize {
        let open =
            self.items.last().is_some_and(|item| item.is_open() && matches!(item.body, Body::Message(_)));
        if !open {
            self.begin(Body::Message(Vec::new()), out);
        }
        let index = self.items.len() - 1;
        self.touched = Some(index);
        let goes_on = !self.part_ended
            && matches!(&self.items[index].body, Body::Message(pieces) if pieces.last().is_some_and(|last| {
                std::mem::discriminant(last) == std::mem::discriminant(&wanted)
            }));
        if !goes_on {
            self.close_part(index, out);
            self.part_ended = false;
            if let Body::Message(pieces) = &mut self.items[index].body {
                pieces.push(wanted);
            }
            self.part_event("response.content_part.added", index, out, |event, piece| {
                event.object("part", |object| piece.write_empty(object));
            });
        }
        index
    }

    /// An event of the last part of a message.
    fn part_event(
        &mut self,
        name: &str,
        index: usize,
        out: &mut BytesMut,
        fill: impl FnOnce(&mut Object<'_>, &Piece),
    ) {
        self.event(name, index, out, |event, item| {
            if let Body::Message(pieces) = &item.body
                && let Some(last) = pieces.last()
            {
                event.field("content_index", &(pieces.len() - 1));
                fill(event, last);
            }
        });
    }

    pub(super) fn text(&mut self, more: &str, out: &mut BytesMut) {
        let wanted = Piece::Text { text: String::new(), cited: Vec::new(), logprobs: Vec::new() };
        let index = self.piece(wanted, out);
        if let Some(Piece::Text { text, .. }) = self.last_piece(index) {
            text.push_str(more);
        }
        self.part_event("response.output_text.delta", index, out, |event, _| {
            event.field("delta", more);
            write_logprobs(event, &[]);
        });
    }

    pub(super) fn refusal(&mut self, more: &str, out: &mut BytesMut) {
        self.refused = true;
        let index = self.piece(Piece::Refusal(String::new()), out);
        if let Some(Piece::Refusal(text)) = self.last_piece(index) {
            text.push_str(more);
        }
        self.part_event("response.refusal.delta", index, out, |event, _| event.field("delta", more));
    }

    fn last_piece(&mut self, index: usize) -> Option<&mut Piece> {
        match &mut self.items[index].body {
            Body::Message(pieces) => pieces.last_mut(),
            _ => None,
        }
    }

    /// The text that was said last, if the message with it is open.
    fn last_text(&mut self) -> Option<(usize, &mut Piece)> {
        let index = self.items.iter().rposition(|item| matches!(item.body, Body::Message(_)))?;
        if !self.items[index].is_open() {
            return None;
        }
        let piece = self.last_piece(index).filter(|piece| matches!(piece, Piece::Text { .. }))?;
        Some((index, piece))
    }

    pub(super) fn cite(&mut self, citations: &[Citation], out: &mut BytesMut) {
        for citation in citations {
            // A source of what was not said before stands beside an empty text.
            if self.last_text().is_none() {
                let wanted = Piece::Text { text: String::new(), cited: Vec::new(), logprobs: Vec::new() };
                self.piece(wanted, out);
            }
            let Some((index, Piece::Text { text, cited, .. })) = self.last_text() else { continue };
            let Some(found) = Cited::of(citation, text) else { continue };
            cited.push(found);
            self.part_event("response.output_text.annotation.added", index, out, |event, piece| {
                if let Piece::Text { cited, .. } = piece
                    && let Some(last) = cited.last()
                {
                    event.field("annotation_index", &(cited.len() - 1));
                    event.object("annotation", |object| last.write(object));
                }
            });
        }
    }

    /// Probabilities come after the text that they are of: as an empty piece of it.
    pub(super) fn certain(&mut self, tokens: &[TokenLogprob], out: &mut BytesMut) {
        if tokens.is_empty() {
            return;
        }
        let Some((index, Piece::Text { logprobs, .. })) = self.last_text() else { return };
        logprobs.extend(tokens.iter().cloned());
        self.part_event("response.output_text.delta", index, out, |event, _| {
            event.field("delta", "");
            write_logprobs(event, tokens);
        });
    }

    /// Ends the last part of a message.
    pub(super) fn close_part(&mut self, index: usize, out: &mut BytesMut) {
        let Body::Message(pieces) = &self.items[index].body else { return };
        let name = match pieces.last() {
            None => return,
            Some(Piece::Text { .. }) => "response.output_text.done",
            Some(Piece::Refusal(_)) => "response.refusal.done",
        };
        self.part_event(name, index, out, |event, piece| match piece {
            Piece::Text { text, logprobs, .. } => {
                event.field("text", text);
                write_logprobs(event, logprobs);
            }
            Piece::Refusal(text) => event.field("refusal", text),
        });
        self.part_event("response.content_part.done", index, out, |event, piece| {
            event.object("part", |object| piece.write(object));
        });
    }
}

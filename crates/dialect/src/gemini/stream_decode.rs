//! A vendor's stream into canonical events.
//!
//! Each event is an answer of its own with the next pieces; calls come whole. Figures are in every event, each more than
//! the one before. Nothing marks the end, and after a finish reason there may still come a piece or a source: so the
//! reasons are told when the stream closes.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use steelyard_core::Usage;

use crate::chat::{Citation, Part, ToolInput};
use crate::error::WireError;
use crate::event::StreamEvent;
use crate::gemini::elements::Elements;
use crate::gemini::members::Members;
use crate::gemini::reply::{Numbered, finish_reason, said};
use crate::gemini::{Framing, candidate, facts, usage};
use crate::json::{At, Fault, elements, string, utf8};
use crate::sse::Scanner;

/// Reads one stream.
#[derive(Debug)]
pub struct Decoder {
    frames: Frames,
    state: State,
}

#[derive(Debug)]
enum Frames {
    Events(Scanner),
    Array(Elements),
}

impl Decoder {
    pub(crate) fn new(framing: Framing) -> Self {
        let frames = match framing {
            Framing::Events => Frames::Events(Scanner::default()),
            Framing::Array => Frames::Array(Elements::default()),
        };
        Self { frames, state: State::default() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let state = &mut self.state;
        match &mut self.frames {
            Frames::Events(scanner) => scanner.push(bytes, |event| state.take(&event.data, out)),
            Frames::Array(elements) => elements.push(bytes, |element| state.take(element, out)),
        }
    }

    /// Never before the stream closes: what follows a finish reason is part of the answer.
    pub(crate) fn is_done(&self) -> bool {
        match &self.frames {
            Frames::Events(_) => false,
            Frames::Array(elements) => elements.is_complete(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.is_over()
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let state = &mut self.state;
        match &mut self.frames {
            // An unfinished event that cannot be read is the sign of a stream that broke off inside it.
            Frames::Events(scanner) => {
                scanner.finish(|event| state.take(&event.data, out)).map_err(|error| match error {
                    WireError::Garbage(_) => WireError::Cut,
                    other => other,
                })?;
            }
            Frames::Array(elements) if !elements.is_complete() => return Err(WireError::Cut),
            Frames::Array(_) => {}
        }
        state.end(out)
    }
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    ids: Numbered,
    usage: Option<Usage>,
    tier: Option<String>,
    choices: BTreeMap<u32, Choice>,
}

#[derive(Debug, Default)]
struct Choice {
    calls: u32,
    finish: Option<String>,
    /// Sources of the text that comes, told when it is over.
    citations: Vec<Citation>,
}

impl State {
    fn take(&mut self, data: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        if data.trim_ascii().is_empty() {
            return Ok(());
        }
        let mut fields = Members::of_text(utf8(data)?, &At::Root)?;
        if let Some(fault) = fields.take("error")?.and_then(facts::fault) {
            return Err(WireError::Upstream(fault));
        }
        let id = facts::word(fields.take("responseId")?);
        let model = facts::word(fields.take("modelVersion")?);
        let used = fields.take("usageMetadata")?;
        if !std::mem::replace(&mut self.started, true) {
            self.ids = Numbered::of(id.as_deref());
            out.push(StreamEvent::Start { id, model, service_tier: None, system_fingerprint: None });
        }
        if fields.take("promptFeedback")?.and_then(facts::block_reason).is_some() {
            self.choices.entry(0).or_default().finish = Some("SAFETY".to_owned());
        }
        let list = At::Root.field("candidates");
        if let Some(raw) = fields.take("candidates")? {
            for (number, raw) in elements(raw, &list)?.into_iter().enumerate() {
                self.candidate(raw, &list.index(number), number, out)?;
            }
        }
        self.used(used, out);
        Ok(())
    }

    fn used(&mut self, raw: Option<&RawValue>, out: &mut Vec<StreamEvent>) {
        let Some(raw) = raw else { return };
        let usage = usage::decode(raw.get());
        if usage.is_some() && usage != self.usage {
            self.usage = usage;
            out.extend(usage.map(StreamEvent::Usage));
        }
        let tier = usage::tier(raw.get());
        if tier.is_some() && tier != self.tier {
            self.tier.clone_from(&tier);
            out.extend(tier.map(StreamEvent::ServiceTier));
        }
    }

    fn candidate(
        &mut self,
        raw: &RawValue,
        at: &At<'_>,
        number: usize,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), Fault> {
        let mut fields = Members::of(raw, at)?;
        let index = fields.count("index", 0, u32::MAX)?.and_then(|index| u32::try_from(index).ok());
        let choice = index.unwrap_or_else(|| u32::try_from(number).unwrap_or(u32::MAX));
        let state = self.choices.entry(choice).or_default();
        if let Some(raw) = fields.take("content")? {
            for part in said(raw, &at.field("content"), &mut self.ids)? {
                state.part(choice, part, out);
            }
        }
        state
            .citations
            .extend(fields.take("citationMetadata")?.map(candidate::citations).unwrap_or_default());
        let word = fields.take("finishReason")?.and_then(string).filter(|word| !word.is_empty());
        state.finish = word.map(std::borrow::Cow::into_owned).or_else(|| state.finish.take());
        if state.finish.is_some() {
            state.cite(choice, out);
        }
        if let Some(logprobs) = fields.take("logprobsResult")?.and_then(candidate::logprobs) {
            out.push(StreamEvent::Logprobs { choice, logprobs });
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        if !self.is_over() {
            return Err(WireError::Cut);
        }
        for (number, choice) in &mut self.choices {
            choice.cite(*number, out);
            let reason = finish_reason(choice.finish.as_deref().unwrap_or("STOP"), choice.calls > 0);
            out.push(StreamEvent::Finish { choice: *number, reason });
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.finish.is_some())
    }
}

impl Choice {
    /// Tells the sources of the text that came.
    fn cite(&mut self, choice: u32, out: &mut Vec<StreamEvent>) {
        let citations = std::mem::take(&mut self.citations);
        out.extend(citations.into_iter().map(|citation| StreamEvent::Citation { choice, citation }));
    }

    fn part(&mut self, choice: u32, part: Part, out: &mut Vec<StreamEvent>) {
        if !matches!(part, Part::Text { .. }) {
            self.cite(choice, out);
        }
        match part {
            Part::Text { text, .. } => out.push(StreamEvent::Text { choice, text }),
            Part::Reasoning { text, .. } => out.push(StreamEvent::Reasoning { choice, text }),
            Part::ToolCall(call) => {
                let number = self.calls;
                self.calls += 1;
                let (ToolInput::Arguments(text) | ToolInput::Text(text)) = call.input;
                let (id, name) = (call.id, call.name);
                out.push(StreamEvent::ToolCallStart { choice, call: number, id, name, custom: false });
                out.push(StreamEvent::ToolCallArguments { choice, call: number, text });
                out.push(StreamEvent::PartEnd { choice });
            }
            Part::Foreign { dialect, kind, block } => {
                out.push(StreamEvent::Foreign { choice, dialect, kind, block });
            }
            // An answer is read into none of these.
            Part::Image { .. }
            | Part::Audio { .. }
            | Part::AudioRef { .. }
            | Part::File { .. }
            | Part::SearchResult { .. }
            | Part::Refusal { .. }
            | Part::RedactedReasoning { .. }
            | Part::ToolResult(_)
            | Part::Json(_)
            | Part::CacheMark(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::FinishReason;

    #[test]
    fn a_blocked_prompt_is_a_filtered_answer() {
        let mut out = Vec::new();
        let mut decoder = Decoder::new(Framing::Events);
        decoder.push(b"data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n", &mut out).unwrap();
        decoder.finish(&mut out).unwrap();
        let last = StreamEvent::Finish { choice: 0, reason: FinishReason::ContentFilter };
        assert_eq!(out.last(), Some(&last));
    }
}

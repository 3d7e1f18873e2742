//! What an answer says, whole or streamed, as named texts that can be compared.
//!
//! Pieces of text that follow each other are one text, whatever blocks they came in; who served it under which name and
//! when is not a part of it.

use std::collections::BTreeMap;

use steelyard_core::Usage;
use steelyard_dialect::chat::{
    ChatResponse, Choice, Citation, FinishReason, Json, Logprobs, Media, Message, Part, Role, ToolCall,
    ToolInput,
};
use steelyard_dialect::{ChatResponse as Response, StreamEvent};

use super::meaning::{self, Meaning};

/// What the answer says.
pub(crate) fn of(response: &ChatResponse) -> Meaning {
    let ChatResponse {
        id: _,
        model: _,
        created: _,
        choices,
        usage,
        service_tier,
        geo: _,
        system_fingerprint,
    } = response;
    let mut all = Meaning::new();
    for Choice { index, message, finish, logprobs } in choices {
        let Message { role: _, name: _, content, extra } = message;
        let mut put = |name: &str, value: String| all.insert(format!("choice {index}: {name}"), value);
        let mut said: Vec<String> = Vec::new();
        let mut text = String::new();
        let mut citations: Vec<String> = Vec::new();
        for part in content {
            if let Part::Text { text: more, citations: more_citations, .. } = part {
                text.push_str(more);
                citations.extend(more_citations.iter().map(|citation| format!("{citation:?}")));
                continue;
            }
            if !text.is_empty() {
                said.push(format!("text {:?}", std::mem::take(&mut text)));
            }
            said.push(meaning::part(part));
        }
        if !text.is_empty() {
            said.push(format!("text {text:?}"));
        }
        put("said", said.join("\n"));
        put("finish", format!("{finish:?}"));
        if !citations.is_empty() {
            put("citations", citations.join("\n"));
        }
        if let Some(logprobs) = logprobs {
            put("logprobs", format!("{logprobs:?}"));
        }
        for (name, value) in extra {
            put(name, value.get().to_owned());
        }
    }
    for (class, count) in usage.iter().flat_map(Usage::counted) {
        all.insert(format!("usage {}", class.name()), count.to_string());
    }
    let tier = service_tier.as_deref().filter(|tier| !matches!(*tier, "standard" | "default"));
    all.extend(tier.map(|tier| ("service_tier".to_owned(), tier.to_owned())));
    all.extend(system_fingerprint.clone().map(|print| ("system_fingerprint".to_owned(), print)));
    all
}

/// A choice of a streamed answer as it grows.
#[derive(Default)]
struct Growing {
    parts: Vec<Part>,
    /// Where the calls stand among the parts.
    calls: BTreeMap<u32, usize>,
    ended: bool,
    finish: Option<FinishReason>,
    logprobs: Option<Logprobs>,
    annotations: Option<Json>,
}

impl Growing {
    fn text(&mut self, more: &str) {
        match self.parts.last_mut() {
            Some(Part::Text { text, .. }) if !self.ended => text.push_str(more),
            _ => self.push(Part::text(more)),
        }
    }

    fn thought(&mut self, more: &str) {
        match self.parts.last_mut() {
            Some(Part::Reasoning { text, signature: None }) if !self.ended => text.push_str(more),
            _ => self.push(Part::reasoning(more)),
        }
    }

    fn refusal(&mut self, more: &str) {
        match self.parts.last_mut() {
            Some(Part::Refusal { text }) if !self.ended => text.push_str(more),
            _ => self.push(Part::Refusal { text: more.to_owned() }),
        }
    }

    fn signature(&mut self, proof: &str) {
        match self.parts.last_mut() {
            Some(Part::Reasoning { signature: signature @ None, .. }) if !self.ended => {
                *signature = Some(proof.to_owned());
            }
            _ => self.push(Part::Reasoning { text: String::new(), signature: Some(proof.to_owned()) }),
        }
    }

    fn cite(&mut self, citation: &Citation) {
        if !matches!(self.parts.last(), Some(Part::Text { .. })) {
            self.push(Part::text(""));
        }
        if let Some(Part::Text { citations, .. }) = self.parts.last_mut() {
            citations.push(citation.clone());
        }
    }

    fn push(&mut self, part: Part) {
        self.parts.push(part);
        self.ended = false;
    }
}

/// The answer that the events of a stream come to.
pub(crate) fn gathered(events: &[StreamEvent]) -> Response {
    let mut response = Response::default();
    let mut choices: BTreeMap<u32, Growing> = BTreeMap::new();
    for event in events {
        let number = match event {
            StreamEvent::Start { service_tier, system_fingerprint, .. } => {
                response.service_tier.clone_from(service_tier);
                response.system_fingerprint.clone_from(system_fingerprint);
                continue;
            }
            StreamEvent::Usage(usage) => {
                response.usage = Some(*usage);
                continue;
            }
            StreamEvent::ServiceTier(tier) => {
                response.service_tier = Some(tier.clone());
                continue;
            }
            StreamEvent::Geo(_) => continue,
            StreamEvent::Text { choice, .. }
            | StreamEvent::Reasoning { choice, .. }
            | StreamEvent::ReasoningSignature { choice, .. }
            | StreamEvent::RedactedReasoning { choice, .. }
            | StreamEvent::Citation { choice, .. }
            | StreamEvent::PartEnd { choice }
            | StreamEvent::Image { choice, .. }
            | StreamEvent::Foreign { choice, .. }
            | StreamEvent::Refusal { choice, .. }
            | StreamEvent::ToolCallStart { choice, .. }
            | StreamEvent::ToolCallArguments { choice, .. }
            | StreamEvent::Logprobs { choice, .. }
            | StreamEvent::Annotations { choice, .. }
            | StreamEvent::Finish { choice, .. } => *choice,
        };
        take(choices.entry(number).or_default(), event);
    }
    for (index, grown) in choices {
        let mut message = Message { role: Role::Assistant, content: grown.parts, ..Message::default() };
        message.extra.extend(grown.annotations.map(|annotations| ("annotations".to_owned(), annotations)));
        let finish = grown.finish.unwrap_or(FinishReason::Stop);
        response.choices.push(Choice { index, message, finish, logprobs: grown.logprobs });
    }
    response
}

fn take(choice: &mut Growing, event: &StreamEvent) {
    match event {
        StreamEvent::Text { text, .. } => choice.text(text),
        StreamEvent::Reasoning { text, .. } => choice.thought(text),
        StreamEvent::Refusal { text, .. } => choice.refusal(text),
        StreamEvent::ReasoningSignature { signature, .. } => choice.signature(signature),
        StreamEvent::RedactedReasoning { data, .. } => {
            choice.push(Part::RedactedReasoning { data: data.clone() });
        }
        StreamEvent::Citation { citation, .. } => choice.cite(citation),
        StreamEvent::PartEnd { .. } => choice.ended = true,
        StreamEvent::Image { media_type, data, .. } => {
            let source = Media::Inline { media_type: media_type.clone(), data: data.clone() };
            choice.push(Part::Image { source, detail: None });
        }
        StreamEvent::Foreign { dialect, kind, block, .. } => {
            choice.push(Part::Foreign { dialect: *dialect, kind: kind.clone(), block: block.clone() });
        }
        StreamEvent::ToolCallStart { call, id, name, custom, .. } => {
            choice.calls.insert(*call, choice.parts.len());
            let input =
                if *custom { ToolInput::Text(String::new()) } else { ToolInput::Arguments(String::new()) };
            choice.push(Part::ToolCall(ToolCall { id: id.clone(), name: name.clone(), input }));
        }
        StreamEvent::ToolCallArguments { call, text, .. } => {
            if let Some(Part::ToolCall(call)) =
                choice.calls.get(call).and_then(|at| choice.parts.get_mut(*at))
            {
                let (ToolInput::Arguments(input) | ToolInput::Text(input)) = &mut call.input;
                input.push_str(text);
            }
        }
        StreamEvent::Logprobs { logprobs, .. } => {
            let all = choice.logprobs.get_or_insert_default();
            if let Some(more) = &logprobs.content {
                all.content.get_or_insert_default().extend(more.iter().cloned());
            }
            if let Some(more) = &logprobs.refusal {
                all.refusal.get_or_insert_default().extend(more.iter().cloned());
            }
        }
        StreamEvent::Annotations { annotations, .. } => choice.annotations = Some(annotations.clone()),
        StreamEvent::Finish { reason, .. } => choice.finish = Some(reason.clone()),
        StreamEvent::Start { .. }
        | StreamEvent::Usage(_)
        | StreamEvent::ServiceTier(_)
        | StreamEvent::Geo(_) => {}
    }
}

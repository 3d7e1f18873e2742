//! Whole answers, both ways.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::anthropic::citation::of_annotations;
use crate::chat::{ChatResponse, Choice, Citation, FinishReason, Message, Part, Role};
use crate::dialect::ReplyContext;
use crate::error::WireError;
use crate::gemini::candidate::{self, Cited};
use crate::gemini::content::{Block, Blocks, Ids, Purpose, Speaker, parts};
use crate::gemini::members::Members;
use crate::gemini::{facts, usage};
use crate::json::{At, Fault, Object, elements, string, utf8};

/// Ids of calls whose vendor gives none: of the answer's own id, so that no two answers of a conversation share one.
#[derive(Debug, Default)]
pub(crate) struct Numbered {
    prefix: String,
    next: usize,
}

impl Numbered {
    pub(crate) fn of(response_id: Option<&str>) -> Self {
        let good = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        let id: String = response_id.unwrap_or_default().chars().filter(good).take(40).collect();
        let prefix = if id.is_empty() { "call".to_owned() } else { format!("call_{id}") };
        Self { prefix, next: 0 }
    }
}

impl Ids for Numbered {
    fn call(&mut self, given: Option<String>, _name: &str, _at: &At<'_>) -> Result<String, Fault> {
        let number = self.next;
        self.next += 1;
        Ok(given.unwrap_or_else(|| format!("{}_{number}", self.prefix)))
    }

    fn result(&mut self, given: Option<String>, name: &str, _at: &At<'_>) -> Result<String, Fault> {
        Ok(given.unwrap_or_else(|| name.to_owned()))
    }
}

pub(crate) fn decode(body: &[u8]) -> Result<ChatResponse, WireError> {
    let mut fields = Members::of_text(utf8(body)?, &At::Root)?;
    if let Some(fault) = fields.take("error")?.and_then(facts::fault) {
        return Err(WireError::Upstream(fault));
    }
    let id = facts::word(fields.take("responseId")?);
    let mut ids = Numbered::of(id.as_deref());
    let blocked = fields.take("promptFeedback")?.and_then(facts::block_reason).is_some();
    let choices = match fields.take("candidates")? {
        Some(raw) => {
            let list = At::Root.field("candidates");
            let raws = elements(raw, &list)?.into_iter().enumerate();
            raws.map(|(number, raw)| choice(raw, &list.index(number), number, &mut ids))
                .collect::<Result<Vec<_>, Fault>>()?
        }
        None if blocked => vec![Choice {
            index: 0,
            message: Message { role: Role::Assistant, ..Message::default() },
            finish: FinishReason::ContentFilter,
            logprobs: None,
        }],
        None => return Err(facts::no_answer()),
    };
    let used = fields.take("usageMetadata")?;
    Ok(ChatResponse {
        id,
        model: facts::word(fields.take("modelVersion")?).unwrap_or_default(),
        choices,
        usage: used.and_then(|raw| usage::decode(raw.get())),
        service_tier: used.and_then(|raw| usage::tier(raw.get())),
        ..ChatResponse::default()
    })
}

fn choice(raw: &RawValue, at: &At<'_>, number: usize, ids: &mut Numbered) -> Result<Choice, Fault> {
    let mut fields = Members::of(raw, at)?;
    let mut content = match fields.take("content")? {
        Some(raw) => joined(said(raw, &at.field("content"), ids)?),
        None => Vec::new(),
    };
    let citations = fields.take("citationMetadata")?.map(candidate::citations).unwrap_or_default();
    if !citations.is_empty() {
        if !content.iter().any(|part| matches!(part, Part::Text { .. })) {
            content.push(Part::text(""));
        }
        let last = content.iter_mut().rev().find_map(|part| match part {
            Part::Text { citations, .. } => Some(citations),
            _ => None,
        });
        if let Some(last) = last {
            last.extend(citations);
        }
    }
    let calls = content.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let word = fields.take("finishReason")?.and_then(string);
    Ok(Choice {
        index: fields
            .count("index", 0, u32::MAX)?
            .and_then(|index| u32::try_from(index).ok())
            .unwrap_or_else(|| u32::try_from(number).unwrap_or(u32::MAX)),
        message: Message { role: Role::Assistant, content, ..Message::default() },
        finish: finish_reason(word.as_deref().unwrap_or("STOP"), calls),
        logprobs: fields.take("logprobsResult")?.and_then(candidate::logprobs),
    })
}

/// The parts of an answer. It may have none: then all its tokens were thoughts.
pub(crate) fn said(raw: &RawValue, at: &At<'_>, ids: &mut Numbered) -> Result<Vec<Part>, Fault> {
    let mut content = Members::of(raw, at)?;
    match content.take("parts")? {
        Some(raw) => parts(raw, &at.field("parts"), Speaker::Answer, ids),
        None => Ok(Vec::new()),
    }
}

/// Texts that follow each other are one, as in a stream, whose events are cut anywhere.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        match (out.last_mut(), part) {
            (Some(Part::Text { text, .. }), Part::Text { text: more, .. })
            | (Some(Part::Reasoning { text, .. }), Part::Reasoning { text: more, .. }) => {
                text.push_str(&more);
            }
            (_, part) => out.push(part),
        }
    }
    out
}

/// A turn that calls tools waits for them, though the wire says that it stopped.
pub(crate) fn finish_reason(word: &str, calls: bool) -> FinishReason {
    match FinishReason::from_gemini(word) {
        FinishReason::Stop if calls => FinishReason::ToolCalls,
        reason => reason,
    }
}

pub(crate) fn encode(response: &ChatResponse, context: &ReplyContext) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    Object::write(&mut out, |body| {
        body.objects("candidates", &response.choices, write_choice);
        if let Some(used) = &response.usage {
            body.object("usageMetadata", |object| {
                usage::encode(used, object);
                write_tier(object, response.service_tier.as_deref());
            });
        }
        body.field("modelVersion", &context.model);
        body.field("responseId", &context.id);
    });
    Bytes::from(out)
}

pub(crate) fn write_tier(usage: &mut Object<'_>, tier: Option<&str>) {
    if let Some(tier) = tier.and_then(super::service_tier) {
        usage.field("serviceTier", tier);
    }
}

fn write_choice(object: &mut Object<'_>, choice: &Choice) {
    let mut blocks = Blocks::new(Purpose::Answer);
    let mut content: Vec<Block<'_>> = Vec::new();
    for part in &choice.message.content {
        blocks.add(part, &String::new, &mut content);
    }
    object.object("content", |message| {
        message.objects("parts", &content, |object, block| block.write(object));
        message.field("role", "model");
    });
    object.field("finishReason", choice.finish.to_gemini());
    object.field("index", &choice.index);
    candidate::write_citations(object, &cited(&choice.message));
    if let Some(logprobs) = &choice.logprobs {
        candidate::write_logprobs(object, logprobs);
    }
}

/// The pages that an answer cites. Chat Completions names them beside the text.
fn cited(message: &Message) -> Vec<Cited> {
    let mut found = Vec::new();
    let mut length = 0;
    for part in &message.content {
        // A refusal is said like anything else.
        let (text, citations): (&str, &[Citation]) = match part {
            Part::Text { text, citations, .. } => (text, citations),
            Part::Refusal { text } => (text, &[]),
            _ => continue,
        };
        let start = length;
        length += text.len();
        found.extend(citations.iter().filter_map(|citation| Cited::of(citation, start, length)));
    }
    let more = message.extra.get("annotations").map(of_annotations).unwrap_or_default();
    found.extend(more.iter().filter_map(|citation| Cited::of(citation, 0, length)));
    found
}

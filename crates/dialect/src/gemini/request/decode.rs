//! A client's request into the canonical model. Every fault names its field as the client wrote it.
//!
//! Members that nobody knows are carried in `extra`, under the name of the top-level member they stand in, so that they
//! go back to this wire and are a named loss on any other.

use serde_json::value::RawValue;
use steelyard_core::ApiError;

use crate::chat::{ChatRequest, Extra, Message, Part, Role};
use crate::dialect::Dialect;
use crate::gemini::content::{Speaker, placed};
use crate::gemini::members::Members;
use crate::gemini::request::order::Order;
use crate::gemini::request::{config, tools};
use crate::gemini::{peek, service_tier};
use crate::json::{At, Fault, Json, Object, elements, utf8};
use crate::peek::Outside;
use crate::places::{Place, Places, Word};

pub(crate) fn decode(body: &[u8], outside: &Outside<'_>) -> Result<ChatRequest, ApiError> {
    Ok(ChatRequest::read(utf8(body)?, |fields| read(fields.into(), outside))?)
}

/// What the wire calls otherwise than the canonical model.
const WORDS: &[Word] = &[
    ("max_output_tokens", "generationConfig.maxOutputTokens"),
    ("stop", "generationConfig.stopSequences"),
    ("temperature", "generationConfig.temperature"),
    ("top_p", "generationConfig.topP"),
    ("top_k", "generationConfig.topK"),
    ("n", "generationConfig.candidateCount"),
    ("seed", "generationConfig.seed"),
    ("presence_penalty", "generationConfig.presencePenalty"),
    ("frequency_penalty", "generationConfig.frequencyPenalty"),
    ("logprobs", "generationConfig.responseLogprobs"),
    ("top_logprobs", "generationConfig.logprobs"),
    ("response_format", "generationConfig.responseFormat"),
    ("modalities", "generationConfig.responseModalities"),
    ("thinking", "generationConfig.thinkingConfig"),
    ("reasoning_effort", "generationConfig.thinkingConfig.thinkingLevel"),
    ("tool_choice", "toolConfig.functionCallingConfig"),
    ("metadata", "labels"),
    ("service_tier", "serviceTier"),
];

fn read(mut members: Members<'_, '_>, outside: &Outside<'_>) -> Result<ChatRequest, Fault> {
    // The path names the model, also for those who repeat it here.
    members.take("model")?;
    let mut places = Places::new(WORDS);
    let mut request = ChatRequest {
        model: peek::model(outside)?.to_owned(),
        messages: conversation(&mut members, &mut places)?,
        places,
        stream: outside.stream,
        // Every stream of this wire tells its usage.
        include_usage: outside.stream,
        origin: Some(Dialect::GeminiGenerate),
        ..ChatRequest::default()
    };
    if let Some(tier) = members.text("serviceTier")? {
        request.service_tier = Some(service_tier(&tier).map_or(tier, str::to_owned));
    }
    let mut carried = Extra::new();
    tools::decode(&mut members, &mut request, &mut carried)?;
    config::decode(&mut members, &mut request, &mut carried)?;
    request.extra = members.rest();
    request.extra.extend(carried);
    Ok(request)
}

/// Carries what is left of a member under the member's own name.
pub(super) fn carry(carried: &mut Extra, name: &str, rest: &Extra) {
    if rest.is_empty() {
        return;
    }
    let mut out = Vec::new();
    Object::write(&mut out, |object| object.extra(rest));
    let json = String::from_utf8(out).ok().and_then(|text| Json::parse(text).ok());
    carried.extend(json.map(|json| (name.to_owned(), json)));
}

/// The standing instructions and the turns.
fn conversation(members: &mut Members<'_, '_>, places: &mut Places) -> Result<Vec<Message>, Fault> {
    let mut messages = Vec::new();
    let mut order = Order::default();
    let name = members.name("systemInstruction")?.into_owned();
    if let Some(raw) = members.take("systemInstruction")? {
        let at = members.at.field(&name);
        let mut content = Members::of(raw, &at)?;
        // Some clients call it a user's.
        content.take("role")?;
        let list = at.field("parts");
        let (said, stood) = placed(content.need("parts")?, &list, Speaker::System, &mut order)?;
        if !said.is_empty() {
            places.message(&at, stood);
            messages.push(Message {
                role: Role::System,
                content: said,
                extra: content.rest(),
                ..Message::default()
            });
        }
    }
    let at = members.at.field("contents");
    let raws = elements(members.need("contents")?, &at)?;
    if raws.is_empty() {
        return Err(Fault::invalid(&at, "`contents` is empty: send at least one turn"));
    }
    for (index, raw) in raws.into_iter().enumerate() {
        let at = at.index(index);
        let (message, stood) = turn(raw, &at, index, &mut order)?;
        split(message, stood, &at, &mut messages, places);
    }
    order.end()?;
    Ok(messages)
}

fn turn(
    raw: &RawValue,
    at: &At<'_>,
    index: usize,
    order: &mut Order,
) -> Result<(Message, Vec<Place>), Fault> {
    let mut content = Members::of(raw, at)?;
    let (role, speaker) = match content.text("role")?.as_deref() {
        // Older clients give the results of functions a role of their own.
        None | Some("" | "user" | "function") => (Role::User, Speaker::User),
        Some("model") => (Role::Assistant, Speaker::Model),
        Some(other) => {
            let at = at.field("role");
            return Err(Fault::invalid(&at, format!("`{at}` is `{other}`: expected user or model")));
        }
    };
    order.turn(index, role)?;
    let (said, stood) = placed(content.need("parts")?, &at.field("parts"), speaker, order)?;
    Ok((Message { role, name: None, content: said, extra: content.rest() }, stood))
}

/// A user's turn that answers calls becomes two messages: the results, and the rest. What stands beside a result goes
/// with it.
fn split(message: Message, stood: Vec<Place>, at: &At<'_>, messages: &mut Vec<Message>, places: &mut Places) {
    if !message.content.iter().any(|part| matches!(part, Part::ToolResult(_))) {
        places.message(at, stood);
        messages.push(message);
        return;
    }
    let (mut results, mut rest) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    let mut after_result = false;
    for (part, place) in message.content.into_iter().zip(stood) {
        after_result = match &part {
            Part::ToolResult(_) => true,
            Part::Foreign { kind, .. } if is_beside(kind) => after_result,
            _ => false,
        };
        let (parts, stood) = if after_result { &mut results } else { &mut rest };
        parts.push(part);
        stood.push(place);
    }
    places.message(at, results.1);
    messages.push(Message { role: Role::Tool, name: None, content: results.0, extra: message.extra });
    if !rest.0.is_empty() {
        places.message(at, rest.1);
        messages.push(Message { role: Role::User, content: rest.0, ..Message::default() });
    }
}

fn is_beside(kind: &str) -> bool {
    use crate::gemini::content::{BESIDE, SIGNATURE};
    kind == BESIDE || kind == SIGNATURE
}

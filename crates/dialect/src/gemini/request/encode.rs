//! The canonical model into a request for Gemini.

use bytes::Bytes;

use crate::chat::{ChatRequest, Extra, Json, ResponseFormat};
use crate::dialect::{Dialect, Target};
use crate::gemini::content::{Block, Blocks, Purpose};
use crate::gemini::quirks::Quirks;
use crate::gemini::request::definitions::Offer;
use crate::gemini::request::thinking::Plan;
use crate::gemini::request::turns::{Turn, conversation};
use crate::gemini::request::{config, losses};
use crate::gemini::service_tier;
use crate::json::{At, Fields, Object};
use crate::loss::Loss;

/// Members that are written beside what was carried of them.
const CONFIGS: [&str; 2] = [config::NAME, "toolConfig"];

pub(crate) fn encode(request: &ChatRequest, target: &Target<'_>) -> (Bytes, Vec<Loss>) {
    let own = request.origin == Some(Dialect::GeminiGenerate);
    let quirks = Quirks::of(target.model);
    let mut blocks = Blocks::new(Purpose::Request { own, quirks });
    blocks.losses = losses::of(request, own);
    let continues = request.origin.is_some_and(|origin| origin != Dialect::OpenAiChat);
    let said = conversation(&request.messages, own, continues, &mut blocks);
    let mut losses = blocks.losses;
    let offer = Offer::of(request, own, &mut losses);
    let cap = cap(request, target, &mut losses);
    let plan = Plan::of(request, quirks.thinking, own, &mut losses);
    let held = own || quirks.form_beside_tools || !offer.calls();
    let mut system = said.system;
    system.extend(instruction(request, held, &mut losses).map(Block::text));
    let carried = |name: &str| request.extra.get(name).filter(|_| own);

    let mut out = Vec::with_capacity(1024);
    Object::write(&mut out, |body| {
        body.objects("contents", &said.turns, |object, turn: &Turn<'_>| turn.write(object));
        if !system.is_empty() {
            body.object("systemInstruction", |object| {
                object.objects("parts", &system, |object, block| block.write(object));
                if let Some(extra) = said.system_extra {
                    object.extra(extra);
                }
            });
        }
        offer.write(body, carried("toolConfig"));
        write_config(body, request, cap, &plan, held, carried(config::NAME));
        if let Some(tier) = request.service_tier.as_deref().and_then(service_tier) {
            body.field("serviceTier", tier);
        }
        if own {
            for (name, value) in request.extra.iter().filter(|(name, _)| !CONFIGS.contains(&name.as_str())) {
                body.field(name, value);
            }
        }
    });
    (Bytes::from(out), losses)
}

/// The cap on generated tokens within what the model can do. None: Google takes the model's own.
fn cap(request: &ChatRequest, target: &Target<'_>, losses: &mut Vec<Loss>) -> Option<u64> {
    let asked = request.max_output_tokens?;
    let most = target.max_output.unwrap_or(u64::MAX);
    if asked == 0 {
        losses.push(Loss::emulated("max_output_tokens", "the least cap of the wire is 1"));
    } else if asked > most {
        losses.push(Loss::emulated("max_output_tokens", "it was cut to the largest answer of the model"));
    }
    Some(asked.min(most).max(1))
}

/// What the model can only be told in words. `held`: it can be held to a form of answer beside its tools.
fn instruction(request: &ChatRequest, held: bool, losses: &mut Vec<Loss>) -> Option<String> {
    let mut lose = |asked: bool, field: &'static str, why: &'static str| {
        if asked {
            losses.push(Loss::dropped(field, why));
        }
    };
    match &request.response_format {
        Some(ResponseFormat::JsonObject) if !held => {
            losses.push(Loss::emulated("response_format", "an instruction asks for a JSON object"));
            Some("Answer with one JSON object and nothing else: no text around it, no code fence.".to_owned())
        }
        Some(ResponseFormat::JsonSchema { schema, description, .. }) => {
            lose(
                description.is_some(),
                "response_format.description",
                "the wire has no words about a schema",
            );
            if held {
                return None;
            }
            losses.push(Loss::emulated("response_format", "an instruction shows the schema to the model"));
            let schema = schema.as_ref().map_or(r#"{"type":"object"}"#, Json::get);
            let text = "Answer with JSON by this schema and nothing else, no text around it, no code fence: ";
            Some(format!("{text}{schema}"))
        }
        Some(ResponseFormat::JsonObject | ResponseFormat::Text) | None => None,
    }
}

fn write_config(
    body: &mut Object<'_>,
    request: &ChatRequest,
    cap: Option<u64>,
    plan: &Plan,
    held: bool,
    carried: Option<&Json>,
) {
    let mut rest: Extra = carried
        .and_then(|carried| Fields::of(carried.raw(), &At::Root).ok().map(Fields::rest))
        .unwrap_or_default();
    let thinking = rest.remove("thinkingConfig");
    let mut out = Vec::new();
    Object::write(&mut out, |config| {
        config.opt("maxOutputTokens", cap.as_ref());
        config.opt("temperature", request.temperature.as_ref());
        config.opt("topP", request.top_p.as_ref());
        config.opt("topK", request.top_k.as_ref());
        let stop: Vec<&String> =
            request.stop.iter().filter(|text| !text.is_empty()).take(losses::MAX_STOPS).collect();
        if !stop.is_empty() {
            config.field("stopSequences", &stop);
        }
        config.opt("candidateCount", request.choices.as_ref());
        config.opt("seed", losses::seed(request).as_ref());
        config.opt("presencePenalty", request.presence_penalty.as_ref());
        config.opt("frequencyPenalty", request.frequency_penalty.as_ref());
        config.opt("responseLogprobs", request.logprobs.as_ref());
        config.opt("logprobs", request.top_logprobs.as_ref());
        if !request.modalities.is_empty() {
            let words: Vec<String> =
                request.modalities.iter().map(|kind| kind.to_ascii_uppercase()).collect();
            config.field("responseModalities", &words);
        }
        if held {
            write_format(config, request.response_format.as_ref());
        }
        if !plan.is_empty() || thinking.is_some() {
            plan.write(config, thinking.as_ref());
        }
        config.extra(&rest);
    });
    if out != b"{}" {
        let written = String::from_utf8(out).ok().and_then(|text| Json::parse(text).ok());
        body.opt(config::NAME, written.as_ref());
    }
}

fn write_format(config: &mut Object<'_>, format: Option<&ResponseFormat>) {
    match format {
        Some(ResponseFormat::Text) => config.field("responseMimeType", "text/plain"),
        Some(ResponseFormat::JsonObject) => config.field("responseMimeType", "application/json"),
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            config.field("responseMimeType", "application/json");
            match schema {
                Some(schema) => config.field("responseJsonSchema", schema),
                None => config.object("responseJsonSchema", |schema| schema.field("type", "object")),
            }
        }
        None => {}
    }
}

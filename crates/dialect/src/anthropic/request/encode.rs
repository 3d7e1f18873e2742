//! The canonical model into a request for a vendor that speaks Messages, by the rules of version `2023-06-01`.

use std::borrow::Cow;

use bytes::Bytes;

use crate::anthropic::Carrier;
use crate::anthropic::quirks::Quirks;
use crate::anthropic::request::calls;
use crate::anthropic::request::definitions::{self, Offer};
use crate::anthropic::request::headers;
use crate::anthropic::request::parts::{self, Block};
use crate::anthropic::request::thinking::{self, Tuning};
use crate::anthropic::request::turns::{self, Conversation, Turn};
use crate::chat::{ChatRequest, Json, ResponseFormat, ThinkingMode};
use crate::dialect::{Dialect, Target};
use crate::json::Object;
use crate::loss::{Loss, Losses, options};

/// The version that a body says where Bedrock carries it.
const BEDROCK_VERSION: &str = "bedrock-2023-05-31";

/// The member of a body in which clients of Bedrock ask for betas.
const BETAS: &str = "anthropic_beta";

/// What clients of Bedrock write of Claude's among the model's own fields, and what goes over as it is.
const MANAGEMENT: &str = "context_management";

/// Whether the request speaks this wire's own words in its `extra` members and its file ids.
pub(super) fn is_own(request: &ChatRequest) -> bool {
    request.origin.is_none_or(|origin| origin == Dialect::AnthropicMessages)
}

pub(crate) fn encode(request: &ChatRequest, target: &Target<'_>, carrier: Carrier) -> (Bytes, Vec<Loss>) {
    let apart = if is_own(request) { Cow::Borrowed(request) } else { calls::told_apart(request) };
    let request = &*apart;
    let mut losses = Losses::default();
    let quirks = Quirks::of(target.model);
    parameters(request, &mut losses);
    let mut conversation = turns::gather(request, target, &mut losses);
    let answers = request.origin == Some(Dialect::OpenAiChat);
    if answers || (!quirks.prefill && !is_own(request)) {
        conversation.give_the_user_the_last_word(&request.messages, &mut losses);
    }
    if !is_own(request) {
        conversation.trim(&request.messages, &mut losses);
    }
    let format = answer_format(request, quirks, &mut conversation, &mut losses);
    let offer = definitions::offer(request, quirks, &conversation, &mut losses);
    let tuning = thinking::settle(request, target, quirks, &conversation, &offer, &mut losses);
    let mut out = Vec::with_capacity(1024);
    Object::write(&mut out, |body| {
        match carrier {
            Carrier::Api => body.field("model", target.model),
            Carrier::Bedrock => body.field("anthropic_version", BEDROCK_VERSION),
        }
        write(body, request, carrier, &conversation, &offer, &tuning, format);
    });
    (Bytes::from(out), losses.into_vec())
}

fn write(
    body: &mut Object<'_>,
    request: &ChatRequest,
    carrier: Carrier,
    conversation: &Conversation<'_>,
    offer: &Offer<'_>,
    tuning: &Tuning,
    format: Option<&Json>,
) {
    let own = is_own(request);
    body.field("max_tokens", &tuning.max_tokens);
    if !conversation.system.is_empty() {
        parts::write_blocks(body, "system", &conversation.system, &conversation.ids);
    }
    body.objects("messages", &conversation.turns, |object, turn| write_turn(object, turn, conversation));
    definitions::write(body, request, offer);
    write_thinking(body, tuning);
    let more = request.extra.get("output_config").filter(|more| own && more.get().starts_with('{'));
    if tuning.effort.is_some() || format.is_some() || more.is_some() {
        body.object("output_config", |config| {
            config.opt("effort", tuning.effort.as_ref());
            if let Some(schema) = format {
                config.object("format", |format| {
                    format.field("type", "json_schema");
                    format.field("schema", schema);
                });
            }
            if let Some(more) = more {
                config.members(more);
            }
        });
    }
    body.opt("temperature", tuning.sampling.temperature.as_ref());
    body.opt("top_p", tuning.sampling.top_p.as_ref());
    body.opt("top_k", tuning.sampling.top_k.as_ref());
    let stops: Vec<&String> = request.stop.iter().filter(|stop| !stop.trim().is_empty()).collect();
    if !stops.is_empty() {
        body.field("stop_sequences", &stops);
    }
    let user = request.user.as_ref().or(request.safety_identifier.as_ref());
    let labels = request.metadata.as_ref().filter(|_| own);
    if user.is_some() || labels.is_some() {
        body.object("metadata", |metadata| {
            metadata.opt("user_id", user);
            if let Some(labels) = labels {
                metadata.members(labels);
            }
        });
    }
    body.opt("service_tier", service_tier(request));
    if request.stream && carrier == Carrier::Api {
        body.field("stream", &true);
    }
    if own {
        for (name, value) in request.extra.iter().filter(|(name, _)| !is_apart(name)) {
            body.field(name, value);
        }
        if carrier == Carrier::Bedrock {
            body.opt(BETAS, request.extra.get(BETAS));
        }
    } else {
        if carrier == Carrier::Bedrock {
            body.opt(BETAS, headers::converses(request, BETAS).as_ref());
        }
        body.opt(MANAGEMENT, headers::converses(request, MANAGEMENT).as_ref());
    }
}

/// Members of `extra` that are not written as they are.
fn is_apart(name: &str) -> bool {
    matches!(name, "output_config" | BETAS) || headers::is_header(name)
}

/// The betas that a call asks for, as the value of the API's header. None if there are none, or they are no names.
pub(crate) fn betas(request: &ChatRequest) -> Option<String> {
    let own = Some(&request.extra).filter(|_| is_own(request));
    let asked = own.map_or_else(|| headers::converses(request, BETAS), |own| own.get(BETAS).cloned());
    let mut names = asked.as_ref().and_then(headers::list).unwrap_or_default();
    names.extend(own.map(headers::betas).unwrap_or_default());
    Some(names.join(",")).filter(|names| !names.is_empty())
}

fn write_turn(object: &mut Object<'_>, turn: &Turn<'_>, conversation: &Conversation<'_>) {
    object.field("role", if turn.assistant { "assistant" } else { "user" });
    match turn.blocks.as_slice() {
        [only] if only.plain_text().is_some() => object.opt("content", only.plain_text()),
        blocks => parts::write_blocks(object, "content", blocks, &conversation.ids),
    }
    object.extra(&turn.extra);
}

fn write_thinking(body: &mut Object<'_>, tuning: &Tuning) {
    let Some(thinking) = &tuning.thinking else { return };
    let (kind, budget) = match thinking.mode {
        ThinkingMode::Disabled => ("disabled", None),
        ThinkingMode::Adaptive => ("adaptive", None),
        ThinkingMode::BetweenTools => ("between_tools", None),
        ThinkingMode::Budget(tokens) => ("enabled", Some(tokens)),
    };
    body.object("thinking", |object| {
        object.field("type", kind);
        object.opt("budget_tokens", budget.as_ref());
        if matches!(thinking.mode, ThinkingMode::Adaptive | ThinkingMode::Budget(_)) {
            object.opt("display", thinking.display.as_ref());
        }
    });
}

/// The tier in the wire's words: the vendor's spare capacity may be used, or must not.
fn service_tier(request: &ChatRequest) -> Option<&str> {
    match request.service_tier.as_deref()? {
        word @ ("auto" | "standard_only") => Some(word),
        "default" | "standard" => Some("standard_only"),
        _ => None,
    }
}

/// The schema the vendor holds the answer to. Where it takes none, the system prompt asks for the form.
fn answer_format<'a>(
    request: &'a ChatRequest,
    quirks: Quirks,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Option<&'a Json> {
    const ASK: &str = "Answer with a single JSON object and nothing else: no prose around it, no code fence.";
    let (schema, description) = match request.response_format.as_ref()? {
        ResponseFormat::Text => return None,
        ResponseFormat::JsonObject => (None, None),
        ResponseFormat::JsonSchema { schema, description, .. } => (schema.as_ref(), description.as_ref()),
    };
    if description.is_some() {
        losses.push(Loss::dropped("response_format.description", "the wire has no description of a format"));
    }
    if let Some(schema) = schema.filter(|_| quirks.formats) {
        return Some(schema);
    }
    let text = match schema {
        None => ASK.to_owned(),
        Some(schema) => format!("{ASK} It must conform to this JSON schema: {}", schema.get()),
    };
    conversation.system.push(Block::text(text));
    losses.push(Loss::emulated("response_format", "an instruction in the system prompt asks for it"));
    None
}

/// What a parameter loses by itself.
fn parameters(request: &ChatRequest, losses: &mut Losses) {
    let own = is_own(request);
    let mut drop = |asked: bool, field: &str, why: &'static str| {
        if asked {
            losses.push(Loss::dropped(field, why));
        }
    };
    drop(request.seed.is_some(), "seed", "the vendor does not sample repeatably");
    drop(request.presence_penalty.is_some(), "presence_penalty", "the vendor has no penalties");
    drop(request.frequency_penalty.is_some(), "frequency_penalty", "the vendor has no penalties");
    drop(request.logit_bias.is_some(), "logit_bias", "the vendor biases no tokens");
    drop(request.verbosity.is_some(), "verbosity", "the wire has no such field");
    drop(request.store == Some(true), "store", "the vendor keeps no answers");
    drop(request.prediction.is_some(), "prediction", "the vendor takes no prediction");
    drop(request.prompt_cache_key.is_some(), "prompt_cache_key", "the vendor caches by marks");
    drop(request.prompt_cache_retention.is_some(), "prompt_cache_retention", "the vendor caches by marks");
    drop(!own && request.metadata.is_some(), "metadata", "the vendor stores no labels");
    drop(
        request.user.is_some() && request.safety_identifier.is_some(),
        "safety_identifier",
        "the wire has one field for the end user",
    );
    drop(
        request.service_tier.is_some() && service_tier(request).is_none(),
        "service_tier",
        "the vendor has no such tier",
    );
    drop(
        request.stop.iter().any(|stop| stop.trim().is_empty()),
        "stop",
        "the vendor takes no stop text of white space",
    );
    for name in options(&request.stream_extra) {
        drop(true, &format!("stream_options.{name}"), "the wire has no such field");
    }
    let betas = request.extra.get(BETAS).filter(|betas| own && headers::list(betas).is_none());
    drop(betas.is_some(), BETAS, "betas are a list of names");
    for name in request.extra.keys().filter(|name| own && headers::is_bedrocks(name)) {
        drop(true, name, "another wire's own field");
    }
    if !own {
        let carried = |name: &str| match name.strip_prefix(headers::OWN_FIELDS) {
            Some(".anthropic_beta") => {
                headers::converses(request, BETAS).as_ref().and_then(headers::list).is_some()
            }
            Some(".context_management") => true,
            _ => false,
        };
        losses.extend(Loss::foreign(&request.extra).into_iter().filter(|loss| !carried(&loss.field)));
    }
    let mut refuse = |asked: bool, field: &str, why: &'static str| {
        if asked {
            losses.push(Loss::refused(field, why));
        }
    };
    refuse(request.choices.is_some_and(|choices| choices > 1), "n", "the vendor gives one answer for a call");
    refuse(request.logprobs == Some(true), "logprobs", "the vendor reports no probabilities");
    refuse(request.top_logprobs.is_some(), "top_logprobs", "the vendor reports no probabilities");
    let spoken = request.modalities.iter().any(|kind| kind != "text");
    refuse(spoken, "modalities", "the vendor answers in text alone");
    refuse(request.audio.is_some(), "audio", "the vendor answers in text alone");
    refuse(
        request.web_search_options.is_some(),
        "web_search_options",
        "the vendor's web search is a tool of its own wire: call it there",
    );
}

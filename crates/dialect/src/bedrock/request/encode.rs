//! The canonical model into a request for Bedrock.

use std::borrow::Cow;

use bytes::Bytes;

use crate::anthropic::quirks::Quirks;
use crate::anthropic::thinking::Sampling;
use crate::bedrock::content::{Block, Blocks, Purpose};
use crate::bedrock::request::additional::Beyond;
use crate::bedrock::request::thinking::Plan;
use crate::bedrock::request::tools::Tools;
use crate::bedrock::request::turns::{Turn, conversation};
use crate::bedrock::request::{additional, losses};
use crate::bedrock::{is_claude, service_tier};
use crate::chat::{ChatRequest, Json, ResponseFormat};
use crate::dialect::{Dialect, Target};
use crate::json::Object;
use crate::loss::{Loss, Losses};

/// Members that are written beside what was carried of them.
const CONFIGS: [&str; 4] = ["inferenceConfig", "toolConfig", "outputConfig", additional::NAME];

pub(crate) fn encode(request: &ChatRequest, target: &Target<'_>) -> (Bytes, Vec<Loss>) {
    let own = request.origin == Some(Dialect::BedrockConverse);
    let claude = is_claude(target.model);
    let mut blocks = Blocks::new(Purpose::Request { own, claude });
    let beyond = Beyond::of(request, claude);
    blocks.losses = losses::of(request, own, claude, &beyond);
    let continues =
        request.origin == Some(Dialect::AnthropicMessages) && (!claude || Quirks::of(target.model).prefill);
    let said = conversation(&request.messages, own, continues, &mut blocks);
    let mut losses = blocks.losses;
    let tools = Tools::of(request, claude, &mut losses);
    let cap = cap(request, target, &mut losses);
    let nova = !own && target.model.contains("amazon.nova");
    let mut sampling = sampling(request, target.model, own, nova, &mut losses);
    let most = cap.or(target.max_output);
    let plan = Plan::of(request, target.model, most, &sampling, &tools, &mut losses);
    if plan.is_on() && !own {
        sampling.beside_thinking(&mut losses);
    }
    let held = own || !claude || Quirks::of(target.model).formats;
    let mut system = said.system;
    instructions(request, &tools, held, &mut system, &mut losses);
    let labels = losses::labels(request, own, &mut losses);
    let carried = |name: &str| request.extra.get(name).filter(|_| own);

    let mut out = Vec::with_capacity(1024);
    Object::write(&mut out, |body| {
        body.objects("messages", &said.turns, |object, turn: &Turn<'_>| turn.write(object));
        if !system.is_empty() {
            body.objects("system", &system, |object, block| block.write(object));
        }
        inference(body, request, cap, &sampling, claude && !own, carried("inferenceConfig"));
        tools.write(body, carried("toolConfig"));
        output(body, request, held, &plan, carried("outputConfig"));
        model_fields(body, &plan, &tools, &sampling, nova, &beyond, carried(additional::NAME));
        if claude && !own && !request.stop.is_empty() {
            // Only so does Claude say which stop text it met.
            body.field("additionalModelResponseFieldPaths", &["/stop_sequence"]);
        }
        labels.write(body);
        if let Some(latency) = beyond.latency {
            body.object("performanceConfig", |object| object.field("latency", latency));
        }
        if let Some(tier) = request.service_tier.as_deref().and_then(service_tier) {
            body.object("serviceTier", |object| object.field("type", tier));
        }
        if own {
            for (name, value) in request.extra.iter().filter(|(name, _)| !CONFIGS.contains(&name.as_str())) {
                body.field(name, value);
            }
        }
    });
    (Bytes::from(out), losses.into_vec())
}

/// The cap on generated tokens within what the model can do. None: AWS takes the model's own.
fn cap(request: &ChatRequest, target: &Target<'_>, losses: &mut Losses) -> Option<u64> {
    let asked = request.max_output_tokens?;
    let most = target.max_output.unwrap_or(u64::MAX);
    if asked == 0 {
        losses.push(Loss::emulated("max_output_tokens", "the least cap of the wire is 1"));
    } else if asked > most {
        losses.push(Loss::emulated("max_output_tokens", "it was cut to the largest answer of the model"));
    }
    Some(asked.min(most).max(1))
}

/// What the caller asks for, within what the wire and the model take. `own`: the request came in this dialect, and its
/// client says for itself what its model takes. `nova`: the model has a place of its own for `top_k`.
fn sampling(request: &ChatRequest, model: &str, own: bool, nova: bool, losses: &mut Losses) -> Sampling {
    let mut sampling = Sampling::of(request);
    if is_claude(model) && !own {
        sampling.suit(Quirks::of(model), losses);
    }
    sampling.cool(losses);
    let takes = own || nova || is_claude(model) || model.contains("mistral.");
    if !takes && sampling.top_k.take().is_some() {
        losses.push(Loss::dropped("top_k", "the wire has no word for it that this model knows"));
    }
    sampling
}

fn inference(
    body: &mut Object<'_>,
    request: &ChatRequest,
    cap: Option<u64>,
    sampling: &Sampling,
    claude: bool,
    carried: Option<&Json>,
) {
    let stop: Vec<&String> = request.stop.iter().filter(|text| losses::is_stop(text, claude)).collect();
    let empty =
        cap.is_none() && sampling.temperature.is_none() && sampling.top_p.is_none() && stop.is_empty();
    if empty && carried.is_none() {
        return;
    }
    body.object("inferenceConfig", |config| {
        config.opt("maxTokens", cap.as_ref());
        config.opt("temperature", sampling.temperature.as_ref());
        config.opt("topP", sampling.top_p.as_ref());
        if !stop.is_empty() {
            config.field("stopSequences", &stop);
        }
        if let Some(carried) = carried {
            config.members(carried);
        }
    });
}

/// What the wire can only be told in words. `held`: the model can be held to a schema.
fn instructions(
    request: &ChatRequest,
    tools: &Tools<'_>,
    held: bool,
    system: &mut Vec<Block<'_>>,
    losses: &mut Losses,
) {
    let mut tell = |text: Cow<'static, str>| system.push(Block::Text { text, extra: None });
    if tools.forbidden {
        tell("Do not call any tool now. Answer in text.".into());
    }
    match &request.response_format {
        Some(ResponseFormat::JsonObject) => {
            losses.push(Loss::emulated("response_format", "an instruction asks for a JSON object"));
            tell("Answer with one JSON object and nothing else: no text around it, no code fence.".into());
        }
        Some(ResponseFormat::JsonSchema { schema, .. }) if !held => {
            losses.push(Loss::emulated("response_format", "an instruction shows the schema to the model"));
            let schema = schema_text(schema.as_ref());
            let text = "Answer with JSON by this schema and nothing else, no text around it, no code fence: ";
            tell(format!("{text}{schema}").into());
        }
        Some(ResponseFormat::JsonSchema { .. } | ResponseFormat::Text) | None => {}
    }
}

fn schema_text(schema: Option<&Json>) -> &str {
    schema.map_or(r#"{"type":"object"}"#, Json::get)
}

fn output(body: &mut Object<'_>, request: &ChatRequest, held: bool, plan: &Plan, carried: Option<&Json>) {
    let format = match &request.response_format {
        Some(ResponseFormat::JsonSchema { name, schema, description, .. }) if held => {
            Some((name, schema, description))
        }
        Some(ResponseFormat::JsonSchema { .. } | ResponseFormat::Text | ResponseFormat::JsonObject)
        | None => None,
    };
    if format.is_none() && plan.effort.is_none() && carried.is_none() {
        return;
    }
    body.object("outputConfig", |config| {
        if let Some((name, schema, description)) = format {
            config.object("textFormat", |format| {
                format.field("type", "json_schema");
                format.object("structure", |structure| {
                    structure.object("jsonSchema", |definition| {
                        // JSON inside a string.
                        definition.field("schema", schema_text(schema.as_ref()));
                        definition.field("name", name);
                        definition.opt("description", description.as_ref());
                    });
                });
            });
        }
        config.opt("effort", plan.effort.as_ref());
        if let Some(carried) = carried {
            config.members(carried);
        }
    });
}

fn model_fields(
    body: &mut Object<'_>,
    plan: &Plan,
    tools: &Tools<'_>,
    sampling: &Sampling,
    nova: bool,
    beyond: &Beyond<'_>,
    carried: Option<&Json>,
) {
    if plan.is_empty() && tools.single.is_none() && sampling.top_k.is_none() && beyond.is_empty() {
        body.opt(additional::NAME, carried);
        return;
    }
    body.object(additional::NAME, |fields| {
        match sampling.top_k {
            Some(top_k) if nova => {
                fields.object("inferenceConfig", |config| config.field("topK", &top_k));
            }
            Some(top_k) => fields.field("top_k", &top_k),
            None => {}
        }
        plan.write(fields);
        tools.write_single(fields);
        beyond.write(fields);
        if let Some(carried) = carried {
            fields.members(carried);
        }
    });
}

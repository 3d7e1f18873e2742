//! The canonical model into a request. No vendor is asked in this wire but by relay, so it is read here what a request
//! comes to after it was decoded: what goes in comes out again, and what other wires alone have is named.

use bytes::Bytes;

use crate::chat::{
    ChatRequest, Extra, FileSource, Media, Message, Part, ResponseFormat, Role, Tool, ToolChoice, ToolInput,
    ToolKind,
};
use crate::dialect::{Dialect, Target};
use crate::json::Object;
use crate::loss::{Loss, Losses, strangers};
use crate::openai_chat::request::encode::as_text;
use crate::openai_responses::opaque;
use crate::openai_responses::request::tools::own_format;

const OWN: Dialect = Dialect::OpenAiResponses;

pub(crate) fn encode(request: &ChatRequest, target: &Target<'_>) -> (Bytes, Vec<Loss>) {
    let own = request.origin.is_none_or(|origin| origin == OWN);
    let mut losses = Losses::default();
    parameters_lost(request, own, &mut losses);
    let mut items = Vec::new();
    for (index, message) in request.messages.iter().enumerate() {
        message_items(message, index, own, &mut items, &mut losses);
    }
    let mut out = Vec::with_capacity(1024);
    Object::write(&mut out, |body| {
        body.field("model", target.model);
        body.objects("input", &items, |object, item| item.write(object));
        parameters(body, request);
        if own {
            body.extra(&request.extra);
        }
    });
    (Bytes::from(out), losses.into_vec())
}

fn parameters_lost(request: &ChatRequest, own: bool, losses: &mut Losses) {
    let why = "the wire has no such field";
    for (asked, field) in [
        (request.top_k.is_some(), "top_k"),
        (!request.stop.is_empty(), "stop"),
        (request.seed.is_some(), "seed"),
        (request.presence_penalty.is_some(), "presence_penalty"),
        (request.frequency_penalty.is_some(), "frequency_penalty"),
        (request.logit_bias.is_some(), "logit_bias"),
        (request.prediction.is_some(), "prediction"),
        (request.thinking.is_some(), "thinking"),
    ] {
        if asked {
            losses.push(Loss::dropped(field, why));
        }
    }
    for (asked, field) in [
        (request.choices.is_some_and(|choices| choices > 1), "n"),
        (request.modalities.iter().any(|kind| kind != "text"), "modalities"),
        (request.audio.is_some(), "audio"),
        (request.web_search_options.is_some(), "web_search_options"),
    ] {
        if asked {
            losses.push(Loss::refused(field, why));
        }
    }
    if request.max_output_tokens == Some(0) {
        losses.push(Loss::emulated("max_output_tokens", "the least cap of the wire is 1"));
    }
    for (index, tool) in request.tools.iter().enumerate() {
        if let ToolKind::Foreign { dialect, .. } = &tool.kind
            && *dialect != OWN
        {
            losses.push(Loss::vendors_tool(request, index, OWN));
        }
    }
    if !own {
        losses.extend(Loss::foreign(&request.extra));
    }
}

fn parameters(body: &mut Object<'_>, request: &ChatRequest) {
    let tools: Vec<&Tool> = request.tools.iter().filter(|tool| is_expressible(tool)).collect();
    if !tools.is_empty() {
        if let Some(choice) = &request.tool_choice {
            tool_choice(body, choice, &request.tools);
        }
        body.opt("parallel_tool_calls", request.parallel_tool_calls.as_ref());
        body.objects("tools", tools, tool);
    }
    if request.response_format.is_some() || request.verbosity.is_some() {
        body.object("text", |text| {
            if let Some(format) = &request.response_format {
                text.object("format", |object| write_format(object, format));
            }
            text.opt("verbosity", request.verbosity.as_ref());
        });
    }
    if let Some(effort) = &request.reasoning_effort {
        body.object("reasoning", |reasoning| reasoning.field("effort", effort));
    }
    if request.logprobs == Some(true) {
        body.field("include", &["message.output_text.logprobs", "reasoning.encrypted_content"]);
    } else {
        body.field("include", &["reasoning.encrypted_content"]);
    }
    body.opt("top_logprobs", request.top_logprobs.as_ref());
    body.opt("max_output_tokens", request.max_output_tokens.map(|cap| cap.max(1)).as_ref());
    body.opt("temperature", request.temperature.as_ref());
    body.opt("top_p", request.top_p.as_ref());
    body.opt("user", request.user.as_ref());
    body.opt("safety_identifier", request.safety_identifier.as_ref());
    body.opt("metadata", request.metadata.as_ref());
    body.opt("service_tier", request.service_tier.as_ref());
    body.opt("prompt_cache_key", request.prompt_cache_key.as_ref());
    body.opt("prompt_cache_retention", request.prompt_cache_retention.as_ref());
    if request.stream {
        body.field("stream", &true);
        if !request.stream_extra.is_empty() {
            body.object("stream_options", |options| options.extra(&request.stream_extra));
        }
    }
    // Nothing is left with a vendor that the caller did not ask it to keep.
    if !request.extra.contains_key("store") {
        body.field("store", &false);
    }
}

fn is_expressible(tool: &Tool) -> bool {
    match &tool.kind {
        ToolKind::Function { .. } | ToolKind::Custom { .. } => true,
        ToolKind::Foreign { dialect, .. } => *dialect == OWN,
    }
}

fn tool(object: &mut Object<'_>, tool: &Tool) {
    let (kind, format) = match &tool.kind {
        ToolKind::Function { .. } => ("function", None),
        ToolKind::Custom { format } => ("custom", format.as_ref()),
        ToolKind::Foreign { definition, .. } => return object.members(definition),
    };
    object.field("type", kind);
    object.field("name", &tool.name);
    object.opt("description", tool.description.as_ref());
    if let ToolKind::Function { parameters, strict } = &tool.kind {
        object.opt("parameters", parameters.as_ref());
        object.opt("strict", strict.as_ref());
    }
    object.opt("format", format.map(own_format).as_ref());
    object.extra(&tool.extra);
}

fn tool_choice(body: &mut Object<'_>, choice: &ToolChoice, tools: &[Tool]) {
    let named = |object: &mut Object<'_>, name: &String| {
        let found = tools.iter().find(|tool| tool.name == *name).map(|tool| &tool.kind);
        match found {
            Some(ToolKind::Foreign { kind, .. }) => object.field("type", kind),
            Some(ToolKind::Custom { .. }) => {
                object.field("type", "custom");
                object.field("name", name);
            }
            Some(ToolKind::Function { .. }) | None => {
                object.field("type", "function");
                object.field("name", name);
            }
        }
    };
    match choice {
        ToolChoice::None => body.field("tool_choice", "none"),
        ToolChoice::Auto => body.field("tool_choice", "auto"),
        ToolChoice::Required => body.field("tool_choice", "required"),
        ToolChoice::Tool(name) => body.object("tool_choice", |object| named(object, name)),
        ToolChoice::Allowed { required, names } => body.object("tool_choice", |object| {
            object.field("type", "allowed_tools");
            object.field("mode", if *required { "required" } else { "auto" });
            object.objects("tools", names, named);
        }),
    }
}

fn write_format(object: &mut Object<'_>, format: &ResponseFormat) {
    match format {
        ResponseFormat::Text => object.field("type", "text"),
        ResponseFormat::JsonObject => object.field("type", "json_object"),
        ResponseFormat::JsonSchema { name, schema, strict, description } => {
            object.field("type", "json_schema");
            object.field("name", name);
            object.opt("description", description.as_ref());
            object.opt("schema", schema.as_ref());
            object.opt("strict", strict.as_ref());
        }
    }
}

/// One item.
enum Item<'a> {
    /// Parts that a message says in a row.
    Message(Role, Vec<&'a Part>),
    /// Something that is an item by itself.
    Part(&'a Part),
}

fn message_items<'a>(
    message: &'a Message,
    index: usize,
    own: bool,
    items: &mut Vec<Item<'a>>,
    losses: &mut Losses,
) {
    let mut said: Vec<&Part> = Vec::new();
    for (number, part) in message.content.iter().enumerate() {
        let field = || format!("messages[{index}].content[{number}]");
        let alone = match part {
            Part::Text { extra, .. } => {
                if !own {
                    losses.extend(strangers(extra).map(|name| {
                        Loss::dropped(format!("{}.{name}", field()), "another wire's own field")
                    }));
                }
                false
            }
            Part::Image { .. } | Part::Audio { .. } | Part::File { .. } | Part::Refusal { .. } => false,
            Part::SearchResult { .. } | Part::Json(_) => {
                losses.push(Loss::emulated(field(), "it became text"));
                false
            }
            Part::Reasoning { .. }
            | Part::RedactedReasoning { .. }
            | Part::ToolCall(_)
            | Part::ToolResult(_) => true,
            Part::Foreign { dialect, .. } if *dialect == OWN => true,
            Part::Foreign { dialect: Dialect::GeminiGenerate, .. } if own => true,
            Part::Foreign { kind, .. } => {
                losses.push(Loss::foreign_part(field(), kind));
                continue;
            }
            Part::AudioRef { .. } => {
                losses.push(Loss::refused(field(), "the wire has no sound of earlier answers"));
                continue;
            }
            Part::CacheMark(_) => {
                losses.push(Loss::dropped(field(), "the vendor caches by itself"));
                continue;
            }
        };
        if !alone {
            said.push(part);
            continue;
        }
        if !said.is_empty() {
            items.push(Item::Message(message.role, std::mem::take(&mut said)));
        }
        items.push(Item::Part(part));
    }
    if !said.is_empty() || message.content.is_empty() {
        items.push(Item::Message(message.role, said));
    }
}

impl Item<'_> {
    fn write(&self, object: &mut Object<'_>) {
        match self {
            Self::Message(role, parts) => {
                object.field("type", "message");
                let role = match role {
                    Role::System => "system",
                    Role::Developer => "developer",
                    Role::User | Role::Tool => "user",
                    Role::Assistant => "assistant",
                };
                object.field("role", role);
                let text = if role == "assistant" { "output_text" } else { "input_text" };
                object.objects("content", parts, |object, part| content(object, part, text));
            }
            Self::Part(part) => item(object, part),
        }
    }
}

fn item(object: &mut Object<'_>, part: &Part) {
    let reasoning = |object: &mut Object<'_>, text: &str, encrypted: Option<String>| {
        object.field("type", "reasoning");
        object.objects("summary", Some(text).filter(|text| !text.is_empty()), |part, text| {
            part.field("type", "summary_text");
            part.field("text", text);
        });
        object.opt("encrypted_content", encrypted.as_ref());
    };
    match part {
        Part::Reasoning { text, signature } => {
            reasoning(object, text, signature.as_deref().map(opaque::signature));
        }
        Part::RedactedReasoning { data } => reasoning(object, "", Some(opaque::hidden(data))),
        Part::Foreign { dialect: Dialect::GeminiGenerate, kind, block } => {
            reasoning(object, "", Some(opaque::gemini(kind, block)));
        }
        Part::Foreign { block, .. } => object.members(block),
        Part::ToolCall(call) => {
            let (kind, member, input) = match &call.input {
                ToolInput::Arguments(arguments) => ("function_call", "arguments", arguments),
                ToolInput::Text(text) => ("custom_tool_call", "input", text),
            };
            object.field("type", kind);
            object.field("call_id", &call.id);
            object.field("name", &call.name);
            object.field(member, input);
        }
        Part::ToolResult(result) => {
            object.field("type", "function_call_output");
            object.field("call_id", &result.call_id);
            match result.content.as_slice() {
                [] => object.field("output", if result.is_error { "Error" } else { "" }),
                parts => {
                    let error = result.is_error.then(|| Part::text("Error: "));
                    object.objects("output", error.iter().chain(parts), |object, part| {
                        content(object, part, "input_text");
                    });
                }
            }
        }
        _ => {}
    }
}

/// A part of a message, `text` being what its text is called.
fn content(object: &mut Object<'_>, part: &Part, text: &str) {
    match part {
        Part::Refusal { text } => {
            object.field("type", "refusal");
            object.field("refusal", text);
        }
        Part::Image { source, detail } => {
            object.field("type", "input_image");
            match source {
                Media::Url(url) => object.field("image_url", url),
                Media::Inline { media_type, data } => {
                    object.text("image_url", &["data:", media_type, ";base64,", data]);
                }
                Media::Id(id) => object.field("file_id", id),
            }
            object.opt("detail", detail.as_ref());
        }
        Part::Audio { format, data } => {
            object.field("type", "input_audio");
            object.object("input_audio", |audio| {
                audio.text("data", &[data]);
                audio.field("format", format);
            });
        }
        Part::File { source: FileSource::Id(id), filename, .. } => {
            object.field("type", "input_file");
            object.field("file_id", id);
            object.opt("filename", filename.as_ref());
        }
        Part::File { source: FileSource::Url(url), filename, .. } => {
            object.field("type", "input_file");
            object.field("file_url", url);
            object.opt("filename", filename.as_ref());
        }
        Part::File { source: FileSource::Inline { media_type, data }, filename, .. } => {
            object.field("type", "input_file");
            match media_type {
                Some(media_type) => object.text("file_data", &["data:", media_type, ";base64,", data]),
                None => object.text("file_data", &[data]),
            }
            object.opt("filename", filename.as_ref());
        }
        part => {
            object.field("type", text);
            object.field("text", &as_text(part));
            if let Part::Text { extra, .. } = part {
                object.extra(extra);
            } else {
                object.extra(&Extra::new());
            }
        }
    }
}

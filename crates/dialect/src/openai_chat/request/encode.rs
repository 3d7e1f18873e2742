//! The canonical model into a request for a vendor that speaks Chat Completions.

use bytes::Bytes;

use crate::chat::{
    ChatRequest, FileSource, Media, Message, Part, ResponseFormat, Role, Tool, ToolCall, ToolChoice,
    ToolInput, ToolKind, ToolResult,
};
use crate::error::Loss;
use crate::json::Object;

pub(crate) fn encode(request: &ChatRequest) -> (Bytes, Vec<Loss>) {
    let mut out = Vec::with_capacity(1024);
    let mut losses = Vec::new();
    Object::write(&mut out, |body| {
        body.field("model", &request.model);
        body.objects("messages", wire_messages(&request.messages, &mut losses), |object, message| {
            message.write(object);
        });
        parameters(body, request);
    });
    (Bytes::from(out), losses)
}

fn parameters(body: &mut Object<'_>, request: &ChatRequest) {
    if !request.tools.is_empty() {
        body.objects("tools", &request.tools, tool);
    }
    if let Some(choice) = &request.tool_choice {
        tool_choice(body, choice, &request.tools);
    }
    body.opt("parallel_tool_calls", request.parallel_tool_calls.as_ref());
    if let Some(format) = &request.response_format {
        body.object("response_format", |object| response_format(object, format));
    }
    body.opt("max_completion_tokens", request.max_output_tokens.as_ref());
    body.opt("temperature", request.temperature.as_ref());
    body.opt("top_p", request.top_p.as_ref());
    if !request.stop.is_empty() {
        body.field("stop", &request.stop);
    }
    body.opt("n", request.choices.as_ref());
    body.opt("logprobs", request.logprobs.as_ref());
    body.opt("top_logprobs", request.top_logprobs.as_ref());
    body.opt("seed", request.seed.as_ref());
    body.opt("presence_penalty", request.presence_penalty.as_ref());
    body.opt("frequency_penalty", request.frequency_penalty.as_ref());
    body.opt("logit_bias", request.logit_bias.as_ref());
    body.opt("user", request.user.as_ref());
    body.opt("safety_identifier", request.safety_identifier.as_ref());
    body.opt("metadata", request.metadata.as_ref());
    body.opt("reasoning_effort", request.reasoning_effort.as_ref());
    body.opt("verbosity", request.verbosity.as_ref());
    body.opt("service_tier", request.service_tier.as_ref());
    body.opt("store", request.store.as_ref());
    if request.stream {
        body.field("stream", &true);
    }
    if request.include_usage || !request.stream_extra.is_empty() {
        body.object("stream_options", |options| {
            if request.include_usage {
                options.field("include_usage", &true);
            }
            options.extra(&request.stream_extra);
        });
    }
    if !request.modalities.is_empty() {
        body.field("modalities", &request.modalities);
    }
    body.opt("audio", request.audio.as_ref());
    body.opt("prediction", request.prediction.as_ref());
    body.opt("web_search_options", request.web_search_options.as_ref());
    body.opt("prompt_cache_key", request.prompt_cache_key.as_ref());
    body.opt("prompt_cache_retention", request.prompt_cache_retention.as_ref());
    body.extra(&request.extra);
}

/// What becomes one message on the wire.
enum WireMessage<'a> {
    /// A message as it is.
    Plain(&'a Message),
    /// One result; the wire has a message for each.
    Result(&'a Message, &'a ToolResult),
    /// Media of tool results, which the wire takes from users only.
    Media(Vec<&'a Part>),
}

fn wire_messages<'a>(messages: &'a [Message], losses: &mut Vec<Loss>) -> Vec<WireMessage<'a>> {
    let mut wire = Vec::with_capacity(messages.len());
    let mut media: Vec<&Part> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let mut results = message.content.iter().enumerate().filter_map(|(part, content)| match content {
            Part::ToolResult(result) => Some((part, result)),
            _ => None,
        });
        let first = results.next();
        // Media wait until all results of the turn are out: nothing may stand between them.
        if first.is_none() && !media.is_empty() {
            wire.push(WireMessage::Media(std::mem::take(&mut media)));
        }
        for (part, result) in first.into_iter().chain(results) {
            wire.push(WireMessage::Result(message, result));
            let before = media.len();
            media.extend(result.content.iter().filter(|part| is_content(part) && !is_text(part)));
            let field = || format!("messages[{index}].content[{part}]");
            if media.len() > before {
                losses.push(Loss { field: field(), why: "media of a tool result became a user message" });
            }
            if result.is_error {
                losses.push(Loss { field: field(), why: "the error mark of a tool result became a prefix" });
            }
        }
        if first.is_none() || message.content.iter().any(|part| !matches!(part, Part::ToolResult(_))) {
            wire.push(WireMessage::Plain(message));
        }
    }
    if !media.is_empty() {
        wire.push(WireMessage::Media(media));
    }
    wire
}

impl WireMessage<'_> {
    fn write(&self, object: &mut Object<'_>) {
        match self {
            Self::Plain(message) => plain(object, message),
            Self::Result(message, result) => {
                object.field("role", "tool");
                object.field("tool_call_id", &result.call_id);
                tool_text(object, result);
                object.opt("name", message.name.as_ref());
                object.extra(&message.extra);
            }
            Self::Media(parts) => {
                object.field("role", "user");
                object.objects("content", parts, |object, part| content_part(object, part));
            }
        }
    }
}

fn plain(object: &mut Object<'_>, message: &Message) {
    let role = match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User | Role::Tool => "user",
        Role::Assistant => "assistant",
    };
    object.field("role", role);
    object.opt("name", message.name.as_ref());
    said(object, message);
    object.extra(&message.extra);
}

/// The members of a message that hold what is said. Shared with whole answers.
pub(crate) fn said(object: &mut Object<'_>, message: &Message) {
    let content: Vec<&Part> = message.content.iter().filter(|part| is_content(part)).collect();
    let calls: Vec<&ToolCall> = message.content.iter().filter_map(as_call).collect();
    match content.as_slice() {
        [] if message.role == Role::Assistant => object.null("content"),
        [] => object.field("content", ""),
        [Part::Text { text, extra }] if extra.is_empty() => object.field("content", text),
        parts => object.objects("content", parts, |object, part| content_part(object, part)),
    }
    let refusal = joined(message, |part| match part {
        Part::Refusal { text } => Some(text),
        _ => None,
    });
    object.opt("refusal", refusal.as_ref());
    let reasoning = joined(message, |part| match part {
        Part::Reasoning { text } => Some(text),
        _ => None,
    });
    object.opt("reasoning_content", reasoning.as_ref());
    if let Some(id) = message.content.iter().find_map(|part| match part {
        Part::AudioRef { id } => Some(id),
        _ => None,
    }) {
        object.object("audio", |audio| audio.field("id", id));
    }
    if !calls.is_empty() {
        object.objects("tool_calls", calls, tool_call);
    }
}

fn as_call(part: &Part) -> Option<&ToolCall> {
    match part {
        Part::ToolCall(call) => Some(call),
        _ => None,
    }
}

fn is_content(part: &Part) -> bool {
    matches!(part, Part::Text { .. } | Part::Image { .. } | Part::Audio { .. } | Part::File { .. })
}

fn is_text(part: &Part) -> bool {
    matches!(part, Part::Text { .. })
}

fn joined(message: &Message, pick: impl Fn(&Part) -> Option<&String>) -> Option<String> {
    let texts: Vec<&str> = message.content.iter().filter_map(|part| pick(part).map(String::as_str)).collect();
    (!texts.is_empty()).then(|| texts.concat())
}

fn tool_text(object: &mut Object<'_>, result: &ToolResult) {
    let texts: Vec<&Part> = result.content.iter().filter(|part| is_text(part)).collect();
    let prefix = if result.is_error { "Error: " } else { "" };
    match texts.as_slice() {
        [] => object.field("content", prefix),
        [Part::Text { text, extra }] if extra.is_empty() => {
            object.field("content", &format!("{prefix}{text}"));
        }
        parts => {
            let prefix = result.is_error.then(|| Part::text(prefix));
            object.objects("content", prefix.iter().chain(parts.iter().copied()), content_part);
        }
    }
}

fn content_part(object: &mut Object<'_>, part: &Part) {
    match part {
        Part::Text { text, extra } => {
            object.field("type", "text");
            object.field("text", text);
            object.extra(extra);
        }
        Part::Image { source, detail } => {
            object.field("type", "image_url");
            object.object("image_url", |image| {
                match source {
                    Media::Url(url) => image.field("url", url),
                    Media::Inline { media_type, data } => {
                        image.field("url", &format!("data:{media_type};base64,{data}"));
                    }
                }
                image.opt("detail", detail.as_ref());
            });
        }
        Part::Audio { format, data } => {
            object.field("type", "input_audio");
            object.object("input_audio", |audio| {
                audio.field("data", data);
                audio.field("format", format);
            });
        }
        Part::File { source, filename } => {
            object.field("type", "file");
            object.object("file", |file| {
                match source {
                    FileSource::Id(id) => file.field("file_id", id),
                    FileSource::Inline { media_type: Some(media_type), data } => {
                        file.field("file_data", &format!("data:{media_type};base64,{data}"));
                    }
                    FileSource::Inline { media_type: None, data } => file.field("file_data", data),
                }
                file.opt("filename", filename.as_ref());
            });
        }
        // Not content on this wire: `said` and `wire_messages` give these members or messages of their own.
        Part::Refusal { .. }
        | Part::Reasoning { .. }
        | Part::AudioRef { .. }
        | Part::ToolCall(_)
        | Part::ToolResult(_) => {}
    }
}

/// One element of `tool_calls`. Shared with whole answers.
pub(crate) fn tool_call(object: &mut Object<'_>, call: &ToolCall) {
    object.field("id", &call.id);
    let (kind, member, input) = match &call.input {
        ToolInput::Arguments(arguments) => ("function", "arguments", arguments),
        ToolInput::Text(text) => ("custom", "input", text),
    };
    object.field("type", kind);
    object.object(kind, |inner| {
        inner.field("name", &call.name);
        inner.field(member, input);
    });
}

fn tool(object: &mut Object<'_>, tool: &Tool) {
    let (kind, members) = match &tool.kind {
        ToolKind::Function { parameters, strict } => ("function", (parameters, strict.as_ref(), None)),
        ToolKind::Custom { format } => ("custom", (&None, None, format.as_ref())),
    };
    let (parameters, strict, format) = members;
    object.field("type", kind);
    object.object(kind, |inner| {
        inner.field("name", &tool.name);
        inner.opt("description", tool.description.as_ref());
        inner.opt("parameters", parameters.as_ref());
        inner.opt("strict", strict);
        inner.opt("format", format);
    });
}

fn tool_choice(body: &mut Object<'_>, choice: &ToolChoice, tools: &[Tool]) {
    let named = |object: &mut Object<'_>, name: &String| {
        let custom =
            tools.iter().any(|tool| tool.name == *name && matches!(tool.kind, ToolKind::Custom { .. }));
        let kind = if custom { "custom" } else { "function" };
        object.field("type", kind);
        object.object(kind, |inner| inner.field("name", name));
    };
    match choice {
        ToolChoice::None => body.field("tool_choice", "none"),
        ToolChoice::Auto => body.field("tool_choice", "auto"),
        ToolChoice::Required => body.field("tool_choice", "required"),
        ToolChoice::Tool(name) => body.object("tool_choice", |object| named(object, name)),
        ToolChoice::Allowed { required, names } => body.object("tool_choice", |object| {
            object.field("type", "allowed_tools");
            object.object("allowed_tools", |allowed| {
                allowed.field("mode", if *required { "required" } else { "auto" });
                allowed.objects("tools", names, named);
            });
        }),
    }
}

fn response_format(object: &mut Object<'_>, format: &ResponseFormat) {
    match format {
        ResponseFormat::Text => object.field("type", "text"),
        ResponseFormat::JsonObject => object.field("type", "json_object"),
        ResponseFormat::JsonSchema { name, schema, strict, description } => {
            object.field("type", "json_schema");
            object.object("json_schema", |inner| {
                inner.field("name", name);
                inner.opt("description", description.as_ref());
                inner.opt("schema", schema.as_ref());
                inner.opt("strict", strict.as_ref());
            });
        }
    }
}

//! The canonical model into a request for a vendor that speaks Chat Completions.

use bytes::Bytes;

use crate::chat::{
    ChatRequest, FileSource, Media, Message, Part, ResponseFormat, Role, Tool, ToolCall, ToolChoice,
    ToolInput, ToolKind, ToolResult,
};
use crate::dialect::{Dialect, Target};
use crate::json::Object;
use crate::loss::{Loss, Losses};
use crate::openai_chat::request::losses;

pub(crate) fn encode(request: &ChatRequest, target: &Target<'_>) -> (Bytes, Vec<Loss>) {
    let mut out = Vec::with_capacity(1024);
    let mut losses = losses::of(request, target);
    Object::write(&mut out, |body| {
        body.field("model", target.model);
        let own = is_own(request);
        body.objects("messages", wire_messages(&request.messages, &mut losses), |object, message| {
            message.write(object, target, own);
        });
        parameters(body, request, target);
    });
    (Bytes::from(out), losses.into_vec())
}

/// Whether the members without a name are in this wire's own words.
fn is_own(request: &ChatRequest) -> bool {
    request.origin.is_none_or(|origin| origin == Dialect::OpenAiChat)
}

fn parameters(body: &mut Object<'_>, request: &ChatRequest, target: &Target<'_>) {
    let own = is_own(request);
    let tools: Vec<&Tool> = request.tools.iter().filter(|tool| is_expressible(tool)).collect();
    if !tools.is_empty() {
        if let Some(choice) = &request.tool_choice {
            tool_choice(body, choice, &request.tools);
        }
        body.opt("parallel_tool_calls", request.parallel_tool_calls.as_ref());
        body.objects("tools", tools, tool);
    }
    if let Some(format) = &request.response_format {
        body.object("response_format", |object| response_format(object, format));
    }
    // The older name is the one that every server knows; OpenAI's own newer models take only the newer one.
    let cap = if target.compatible { "max_tokens" } else { "max_completion_tokens" };
    body.opt(cap, request.max_output_tokens.map(|cap| cap.max(1)).as_ref());
    let quirks = losses::quirks(request, target);
    let effort = losses::effort(request);
    let samples = quirks.sampling.is_taken(effort.as_deref());
    body.opt("temperature", request.temperature.as_ref().filter(|_| samples));
    body.opt("top_p", request.top_p.as_ref().filter(|_| samples));
    if quirks.stop && !request.stop.is_empty() {
        body.field("stop", &request.stop[..request.stop.len().min(MAX_STOPS)]);
    }
    body.opt("n", request.choices.as_ref());
    body.opt("logprobs", request.logprobs.as_ref());
    body.opt("top_logprobs", request.top_logprobs.as_ref());
    body.opt("seed", request.seed.as_ref());
    body.opt("presence_penalty", request.presence_penalty.as_ref().filter(|_| samples));
    body.opt("frequency_penalty", request.frequency_penalty.as_ref().filter(|_| samples));
    body.opt("logit_bias", request.logit_bias.as_ref());
    body.opt("user", request.user.as_ref().filter(|user| user.len() <= MAX_USER));
    body.opt("safety_identifier", request.safety_identifier.as_ref());
    body.opt("metadata", request.metadata.as_ref().filter(|_| own));
    body.opt("reasoning_effort", effort.as_ref().filter(|_| quirks.effort));
    body.opt("verbosity", request.verbosity.as_ref());
    body.opt("service_tier", losses::service_tier(request).as_ref());
    body.opt("store", request.store.as_ref());
    if request.stream {
        body.field("stream", &true);
        // The bill needs the figures, whether the client does or not.
        body.object("stream_options", |options| {
            options.field("include_usage", &true);
            let taken = |name: &str| own || losses::is_own_option(name);
            for (name, value) in request.stream_extra.iter().filter(|(name, _)| taken(name)) {
                options.field(name, value);
            }
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
    if own {
        body.extra(&request.extra);
    }
}

/// The wire takes so many stop texts.
pub(super) const MAX_STOPS: usize = 4;
/// The wire takes end users' ids of so many bytes.
pub(super) const MAX_USER: usize = 64;

/// Whether the wire has a word for the tool.
pub(super) fn is_expressible(tool: &Tool) -> bool {
    match &tool.kind {
        ToolKind::Function { .. } | ToolKind::Custom { .. } => true,
        ToolKind::Foreign { dialect, .. } => *dialect == Dialect::OpenAiChat,
    }
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

fn wire_messages<'a>(messages: &'a [Message], losses: &mut Losses) -> Vec<WireMessage<'a>> {
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
                losses.push(Loss::emulated(field(), "media of a tool result became a user message"));
            }
            if result.is_error {
                losses.push(Loss::emulated(field(), "the error mark of a tool result became a prefix"));
            }
        }
        // A mark says nothing by itself, beside results or alone.
        let beside = |part: &Part| !matches!(part, Part::ToolResult(_) | Part::CacheMark(_));
        if message.content.is_empty() || message.content.iter().any(beside) {
            wire.push(WireMessage::Plain(message));
        }
    }
    if !media.is_empty() {
        wire.push(WireMessage::Media(media));
    }
    wire
}

impl WireMessage<'_> {
    fn write(&self, object: &mut Object<'_>, target: &Target<'_>, own: bool) {
        match self {
            Self::Plain(message) => plain(object, message, target, own),
            Self::Result(message, result) => {
                object.field("role", "tool");
                object.field("tool_call_id", &result.call_id);
                tool_text(object, result, own);
                object.opt("name", message.name.as_ref());
                if own {
                    object.extra(&message.extra);
                }
            }
            Self::Media(parts) => {
                object.field("role", "user");
                object.objects("content", parts, |object, part| content_part(object, part, own));
            }
        }
    }
}

fn plain(object: &mut Object<'_>, message: &Message, target: &Target<'_>, own: bool) {
    let role = match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User | Role::Tool => "user",
        Role::Assistant => "assistant",
    };
    object.field("role", role);
    object.opt("name", message.name.as_ref());
    said(object, message, own);
    // Servers that think in the open take their thoughts back under this name; OpenAI takes none.
    if target.compatible {
        reasoning(object, message);
    }
    if own {
        object.extra(&message.extra);
    }
}

/// What the model thought, as text.
pub(crate) fn reasoning(object: &mut Object<'_>, message: &Message) {
    let reasoning = joined(message, |part| match part {
        Part::Reasoning { text, .. } => Some(text).filter(|text| !text.is_empty()),
        _ => None,
    });
    object.opt("reasoning_content", reasoning.as_ref());
}

/// The members of a message that hold what is said. Shared with whole answers. `own`: texts keep their further members.
pub(crate) fn said(object: &mut Object<'_>, message: &Message, own: bool) {
    let content: Vec<&Part> = message.content.iter().filter(|part| is_content(part)).collect();
    let calls: Vec<&ToolCall> = message.content.iter().filter_map(as_call).collect();
    match content.as_slice() {
        [] if message.role == Role::Assistant => object.null("content"),
        [] => object.field("content", ""),
        [Part::Text { text, extra, .. }] if extra.is_empty() || !own => object.field("content", text),
        parts => object.objects("content", parts, |object, part| content_part(object, part, own)),
    }
    let refusal = joined(message, |part| match part {
        Part::Refusal { text } => Some(text),
        _ => None,
    });
    object.opt("refusal", refusal.as_ref());
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

/// Whether a part is said in `content`: as it is, or as text.
fn is_content(part: &Part) -> bool {
    match part {
        Part::Text { .. }
        | Part::Image { .. }
        | Part::Audio { .. }
        | Part::File { .. }
        | Part::SearchResult { .. }
        | Part::Json(_) => true,
        Part::Foreign { dialect, .. } => *dialect == Dialect::OpenAiChat,
        Part::Refusal { .. }
        | Part::Reasoning { .. }
        | Part::RedactedReasoning { .. }
        | Part::AudioRef { .. }
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::CacheMark(_) => false,
    }
}

/// Whether a part of content becomes text.
fn is_text(part: &Part) -> bool {
    matches!(
        part,
        Part::Text { .. }
            | Part::SearchResult { .. }
            | Part::Json(_)
            | Part::File { source: FileSource::Text(_) | FileSource::Parts(_), .. }
    )
}

/// What the wire has no part for, as the text that says the same.
pub(crate) fn as_text(part: &Part) -> String {
    match part {
        Part::Text { text, .. } => text.clone(),
        Part::Json(json) => json.get().to_owned(),
        Part::SearchResult { source, title, content, .. } => {
            let texts: Vec<String> = content.iter().map(as_text).collect();
            format!("{title}\n{source}\n\n{}", texts.join("\n"))
        }
        Part::File { source, filename, context, .. } => {
            let text = match source {
                FileSource::Text(text) => text.clone(),
                FileSource::Parts(parts) => parts.iter().map(as_text).collect::<Vec<_>>().join("\n"),
                FileSource::Id(_) | FileSource::Url(_) | FileSource::Inline { .. } => String::new(),
            };
            let head: Vec<&str> = [filename, context].into_iter().flatten().map(String::as_str).collect();
            if head.is_empty() { text } else { format!("{}\n\n{text}", head.join("\n")) }
        }
        _ => String::new(),
    }
}

fn joined(message: &Message, pick: impl Fn(&Part) -> Option<&String>) -> Option<String> {
    let texts: Vec<&str> = message.content.iter().filter_map(|part| pick(part).map(String::as_str)).collect();
    (!texts.is_empty()).then(|| texts.concat())
}

fn tool_text(object: &mut Object<'_>, result: &ToolResult, own: bool) {
    let texts: Vec<&Part> = result.content.iter().filter(|part| is_text(part)).collect();
    let prefix = if result.is_error { "Error: " } else { "" };
    match texts.as_slice() {
        [] => object.field("content", prefix),
        [only] if !own || !matches!(only, Part::Text { extra, .. } if !extra.is_empty()) => {
            object.field("content", &format!("{prefix}{}", as_text(only)));
        }
        parts => {
            let prefix = result.is_error.then(|| Part::text(prefix));
            let parts = prefix.iter().chain(parts.iter().copied());
            object.objects("content", parts, |object, part| content_part(object, part, own));
        }
    }
}

fn content_part(object: &mut Object<'_>, part: &Part, own: bool) {
    match part {
        Part::Text { text, extra, .. } => {
            object.field("type", "text");
            object.field("text", text);
            if own {
                object.extra(extra);
            }
        }
        Part::Image { source, detail } => {
            object.field("type", "image_url");
            object.object("image_url", |image| {
                match source {
                    Media::Url(url) => image.field("url", url),
                    Media::Inline { media_type, data } => {
                        image.text("url", &["data:", media_type, ";base64,", data]);
                    }
                    Media::Id(id) => image.field("file_id", id),
                }
                image.opt("detail", detail.as_ref());
            });
        }
        Part::Audio { format, data } => {
            object.field("type", "input_audio");
            object.object("input_audio", |audio| {
                audio.text("data", &[data]);
                audio.field("format", format);
            });
        }
        Part::File { source, filename, .. } => file(object, part, source, filename.as_ref()),
        Part::SearchResult { .. } | Part::Json(_) => {
            object.field("type", "text");
            object.field("text", &as_text(part));
        }
        Part::Foreign { block, .. } => object.members(block),
        // Not content on this wire: `said` and `wire_messages` give these members or messages of their own.
        Part::Refusal { .. }
        | Part::Reasoning { .. }
        | Part::RedactedReasoning { .. }
        | Part::AudioRef { .. }
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::CacheMark(_) => {}
    }
}

fn file(object: &mut Object<'_>, part: &Part, source: &FileSource, filename: Option<&String>) {
    if is_text(part) {
        object.field("type", "text");
        object.field("text", &as_text(part));
        return;
    }
    object.field("type", "file");
    object.object("file", |file| {
        match source {
            FileSource::Id(id) => file.field("file_id", id),
            FileSource::Url(url) => file.field("file_url", url),
            FileSource::Inline { media_type: Some(media_type), data } => {
                file.text("file_data", &["data:", media_type, ";base64,", data]);
            }
            FileSource::Inline { media_type: None, data } => file.text("file_data", &[data]),
            FileSource::Text(_) | FileSource::Parts(_) => {}
        }
        file.opt("filename", filename);
    });
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
    let (kind, parameters, strict, format) = match &tool.kind {
        ToolKind::Function { parameters, strict } => ("function", parameters.as_ref(), strict.as_ref(), None),
        ToolKind::Custom { format } => ("custom", None, None, format.as_ref()),
        ToolKind::Foreign { definition, .. } => return object.members(definition),
    };
    object.field("type", kind);
    object.object(kind, |inner| {
        inner.field("name", &tool.name);
        inner.opt("description", tool.description.as_ref());
        inner.opt("parameters", parameters);
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

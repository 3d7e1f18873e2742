//! What a request means, whichever wire it is written in, as named texts that can be compared.
//!
//! The wires say some things in different ways that nobody can tell apart in the answer. Those are evened out here, and
//! only those: a developer is a system; turns of one speaker that follow each other are one, with the results of tools
//! first; what is the default of every wire is as good as not said; JSON is the same in any order of its members and
//! with any white space; the names of the usual tier are one; what AWS hands on is said to the model's vendor; the figures of a stream are always asked for.

use std::collections::BTreeMap;

use serde_json::Value;
use steelyard_dialect::Dialect;
use steelyard_dialect::chat::{
    ChatRequest, Citation, Extra, FileSource, Message, Part, ResponseFormat, Role, Tool, ToolCall,
    ToolChoice, ToolInput, ToolKind,
};

/// Named texts. What a request does not say has no name.
pub(crate) type Meaning = BTreeMap<String, String>;

/// What the request means.
pub(crate) fn of(request: &ChatRequest) -> Meaning {
    let ChatRequest {
        model: _,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        max_output_tokens,
        temperature,
        top_p,
        top_k,
        stop,
        choices,
        logprobs,
        top_logprobs,
        seed,
        presence_penalty,
        frequency_penalty,
        logit_bias,
        user,
        safety_identifier,
        metadata,
        reasoning_effort,
        thinking,
        verbosity,
        service_tier,
        store,
        stream,
        include_usage: _,
        stream_extra,
        modalities,
        audio,
        prediction,
        web_search_options,
        prompt_cache_key,
        prompt_cache_retention,
        origin,
        places: _,
        extra,
    } = request;
    let mut all = Meaning::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    };
    let json = |json: &Option<steelyard_dialect::Json>| json.as_ref().map(|json| value(json.get()));
    put("messages", Some(conversation(messages)).filter(|said| !said.is_empty()));
    // Chat Completions has the model answer its own last words, the other wires have it go on from them.
    let ends = messages.last().is_some_and(|last| last.role == Role::Assistant);
    put("goes on", Some(String::new()).filter(|_| ends && *origin != Some(Dialect::OpenAiChat)));
    put("tools", Some(tools.iter().map(tool).collect::<Vec<_>>().join("\n")).filter(|all| !all.is_empty()));
    put("tool_choice", tool_choice.as_ref().filter(|choice| **choice != ToolChoice::Auto).map(debug));
    put("parallel_tool_calls", parallel_tool_calls.filter(|parallel| !parallel).map(debug));
    put("response_format", response_format.as_ref().and_then(format));
    put("max_output_tokens", max_output_tokens.map(debug));
    // One is every wire's own setting.
    let moved = |value: &f64| (value - 1.0).abs() > f64::EPSILON;
    put("temperature", temperature.filter(moved).map(debug));
    put("top_p", top_p.filter(moved).map(debug));
    put("top_k", top_k.map(debug));
    put("stop", Some(debug(stop)).filter(|_| !stop.is_empty()));
    put("n", choices.filter(|choices| *choices != 1).map(debug));
    put("logprobs", logprobs.filter(|asked| *asked).map(debug));
    put("top_logprobs", top_logprobs.map(debug));
    put("seed", seed.map(debug));
    put("presence_penalty", presence_penalty.map(debug));
    put("frequency_penalty", frequency_penalty.map(debug));
    put("logit_bias", json(logit_bias));
    put("user", user.clone());
    put("safety_identifier", safety_identifier.clone());
    put("metadata", json(metadata));
    put("reasoning_effort", reasoning_effort.clone());
    put("thinking", thinking.as_ref().map(|thinking| debug(thinking.mode)));
    put("thinking.display", thinking.as_ref().and_then(|thinking| thinking.display.clone()));
    put("verbosity", verbosity.clone());
    put("service_tier", service_tier.as_deref().and_then(tier).map(str::to_owned));
    put("store", store.filter(|store| *store).map(debug));
    put("stream", Some(debug(stream)).filter(|_| *stream));
    put("modalities", Some(debug(modalities)).filter(|_| modalities.iter().any(|kind| kind != "text")));
    put("audio", json(audio));
    put("prediction", json(prediction));
    put("web_search_options", json(web_search_options));
    put("prompt_cache_key", prompt_cache_key.clone());
    put("prompt_cache_retention", prompt_cache_retention.clone());
    for (name, said) in stream_extra.iter().filter(|(_, said)| said.get() != "false") {
        put(&format!("stream_options.{name}"), Some(value(said.get())));
    }
    for (name, said) in extra.iter().filter(|(_, said)| !said.is_empty()) {
        // What AWS hands on to the model's vendor is a member of that vendor's.
        if name == "additionalModelRequestFields"
            && let Ok(Value::Object(members)) = serde_json::from_str(said.get())
        {
            for (name, said) in members {
                put(&format!("extra.{name}"), Some(value(&said.to_string())));
            }
            continue;
        }
        put(&format!("extra.{name}"), Some(value(said.get())));
    }
    all
}

/// The names under which two requests differ.
pub(crate) fn differences(one: &Meaning, other: &Meaning) -> Vec<String> {
    let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}

fn debug(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

/// A JSON text in one spelling.
fn value(text: &str) -> String {
    serde_json::from_str::<Value>(text).map_or_else(|_| text.to_owned(), |value| value.to_string())
}

fn tier(word: &str) -> Option<&str> {
    match word {
        "auto" => None,
        "standard" | "standard_only" => Some("default"),
        word => Some(word),
    }
}

fn format(format: &ResponseFormat) -> Option<String> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some("an object".into()),
        ResponseFormat::JsonSchema { name, schema, strict, description } => {
            let schema = schema.as_ref().map(|schema| value(schema.get()));
            Some(format!("{name} {description:?} {:?} {schema:?}", strict.filter(|strict| *strict)))
        }
    }
}

fn tool(tool: &Tool) -> String {
    let Tool { name, description, kind, cache, extra } = tool;
    let kind = match kind {
        ToolKind::Function { parameters, strict } => {
            let parameters = parameters.as_ref().map(|schema| value(schema.get()));
            format!("function {parameters:?} {:?}", strict.filter(|strict| *strict))
        }
        ToolKind::Custom { format } => format!("custom {format:?}"),
        ToolKind::Foreign { dialect, kind, definition } => format!("{dialect:?} {kind} {definition:?}"),
    };
    format!("{name} {description:?} {kind} {cache:?} {}", members(extra))
}

fn members(extra: &Extra) -> String {
    let members: Vec<String> = extra
        .iter()
        .filter(|(_, said)| !said.is_empty())
        .map(|(name, said)| format!("{name}={}", value(said.get())))
        .collect();
    members.join(",")
}

/// Who says what. The results of a turn come before what else its user says.
fn conversation(messages: &[Message]) -> String {
    let mut turns: Vec<(&str, Vec<String>, Vec<String>)> = Vec::new();
    for message in messages {
        let Message { role, name, content, extra } = message;
        let speaker = match role {
            Role::System | Role::Developer => "system",
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        if turns.last().is_none_or(|(last, ..)| *last != speaker) {
            turns.push((speaker, Vec::new(), Vec::new()));
        }
        let Some((_, results, rest)) = turns.last_mut() else { continue };
        rest.extend(name.as_ref().map(|name| format!("by the name of {name}")));
        rest.extend(Some(members(extra)).filter(|extra| !extra.is_empty()));
        for (number, said) in content.iter().enumerate() {
            let of_result = matches!(said, Part::CacheMark(_))
                && matches!(content.get(number.wrapping_sub(1)), Some(Part::ToolResult(_)));
            let list =
                if matches!(said, Part::ToolResult(_)) || of_result { &mut *results } else { &mut *rest };
            list.push(part(said));
        }
    }
    let lines = turns.into_iter().flat_map(|(speaker, results, rest)| {
        results.into_iter().chain(rest).map(move |said| format!("{speaker}: {said}"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A source. One wire always has all of its members, if only empty.
fn citation(citation: &Citation) -> String {
    let Citation { title, cited_text, place } = citation;
    let words = cited_text.as_deref().filter(|words| !words.is_empty());
    let place = debug(place).replace("Some(\"\")", "None");
    format!("{title:?} {words:?} {place}")
}

/// What one part says.
pub(crate) fn part(part: &Part) -> String {
    match part {
        Part::Text { text, citations, extra } => {
            let citations: Vec<String> = citations.iter().map(citation).collect();
            let citations = citations.join(", ");
            format!("text {text:?} {citations} {}", members(extra))
        }
        Part::ToolCall(ToolCall { id, name, input }) => match input {
            ToolInput::Arguments(text) if text.trim().is_empty() => format!("call {id} {name} {{}}"),
            ToolInput::Arguments(text) => format!("call {id} {name} {}", value(text)),
            ToolInput::Text(text) => format!("call {id} {name} text {text:?}"),
        },
        Part::ToolResult(result) => {
            let content: Vec<String> = result.content.iter().map(self::part).collect();
            format!("result {} {} {content:?}", result.call_id, result.is_error)
        }
        Part::Image { source, detail } => {
            format!("image {source:?} {:?}", detail.as_deref().filter(|detail| *detail != "auto"))
        }
        Part::File { source, filename, context, citations } => {
            let source = match source {
                FileSource::Parts(parts) => debug(parts.iter().map(self::part).collect::<Vec<_>>()),
                source => debug(source),
            };
            format!("file {source} {filename:?} {context:?} {citations}")
        }
        Part::SearchResult { source, title, content, citations } => {
            let content: Vec<String> = content.iter().map(self::part).collect();
            format!("found {source} {title} {content:?} {citations}")
        }
        Part::Json(json) => format!("json {}", value(json.get())),
        Part::Foreign { dialect, kind, block } => format!("{dialect:?} {kind} {}", value(block.get())),
        Part::Audio { .. }
        | Part::AudioRef { .. }
        | Part::Refusal { .. }
        | Part::Reasoning { .. }
        | Part::RedactedReasoning { .. }
        | Part::CacheMark(_) => debug(part),
    }
}

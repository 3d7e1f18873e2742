//! What must hold of any request and any stream between two wires, not only of the rows.

use proptest::collection::vec;
use proptest::prelude::*;
use steelyard_dialect::chat::{ChatRequest, Part, ToolChoice, ToolKind};
use steelyard_dialect::{Dialect, Loss, LossKind, StreamEvent};

use super::meaning::{self, differences};
use super::rows::outside;
use super::{CLIENTS, WIRES, Wire, said};
use crate::wire::{cut, decoded, encoded};
use crate::{anthropic, bedrock, gemini, openai_responses, properties};

/// What the wires may say in another way without a loss; the rows tell how.
const MAPPED: [&str; 6] =
    ["user", "safety_identifier", "metadata", "thinking", "thinking.display", "reasoning_effort"];

/// Whether a difference is one that a loss names, or one that the rows tell of.
fn is_told(name: &str, losses: &[Loss], request: &ChatRequest, wire: &Wire) -> bool {
    let about = |what: &str| losses.iter().any(|loss| loss.field.starts_with(what));
    let own = name.strip_prefix("extra.").unwrap_or(name);
    if about(own) || MAPPED.contains(&own) {
        return true;
    }
    match name {
        // An instruction that stands for something else stands among the messages.
        "messages" => {
            about("cache_marks") || about("response_format") || about("tool_choice") || about("tools")
        }
        "tools" => {
            about("tool_choice") || about("cache_marks") || request.tool_choice == Some(ToolChoice::None)
        }
        "tool_choice" => about("tools") || request.tool_choice == Some(ToolChoice::None),
        // Of nothing that is called, nothing is called side by side.
        "parallel_tool_calls" if request.tool_choice == Some(ToolChoice::None) => true,
        "parallel_tool_calls" => about("tools") || about("tool_choice") || request.tools.is_empty(),
        // It has a place of its own there.
        "top_k" => wire.title == "Amazon Nova",
        "goes on" => about("messages"),
        // The name of a schema, and its strictness.
        "response_format" => true,
        _ => false,
    }
}

/// A request of one wire on another one: every difference is told.
fn check(request: &ChatRequest, wire: &Wire) -> Result<(), TestCaseError> {
    let (body, losses) = wire.dialect.encode_request(request, &wire.target);
    if losses.iter().any(|loss| loss.kind == LossKind::Refused) {
        return Ok(());
    }
    let again = wire.dialect.decode_request(&body, &outside(wire.dialect, request.stream));
    let again = again.map_err(|error| TestCaseError::fail(format!("{}: {error}: {body:?}", wire.title)))?;
    let (meant, mut read) = (meaning::of(&plain(request)), meaning::of(&plain(&again)));
    read.retain(|name, _| !name.starts_with("extra.") || meant.contains_key(name));
    for name in differences(&meant, &read) {
        prop_assert!(
            is_told(&name, &losses, request, wire),
            "{}: {name} differs and nothing says so\n{:?}\n{:?}\n{losses:?}",
            wire.title,
            meant.get(&name),
            read.get(&name)
        );
    }
    Ok(())
}

/// The request without what the rows say is written in another way: names of documents, ids of calls, and schemas of
/// nothing.
fn plain(request: &ChatRequest) -> ChatRequest {
    fn even(parts: &mut Vec<Part>) {
        // Blank texts say nothing, and some wires refuse them.
        parts.retain(|part| !matches!(part, Part::Text { text, .. } if matches!(text.trim(), "" | "Here is a document.")));
        for part in parts {
            match part {
                Part::File { filename, .. } => *filename = None,
                Part::ToolCall(call) => call.id.clear(),
                Part::ToolResult(result) => {
                    result.call_id.clear();
                    even(&mut result.content);
                }
                // Structure goes over as its text where the wire has no word for it.
                Part::Json(json) => *part = Part::text(json.get()),
                _ => {}
            }
        }
    }
    let mut plain = request.clone();
    // One tool that is allowed and must be called is that tool.
    if let Some(ToolChoice::Allowed { required: true, names }) = &plain.tool_choice
        && let [name] = names.as_slice()
    {
        plain.tool_choice = Some(ToolChoice::Tool(name.clone()));
    }
    for message in &mut plain.messages {
        even(&mut message.content);
    }
    plain.messages.retain(|message| !message.content.is_empty());
    for tool in &mut plain.tools {
        if let ToolKind::Function { parameters, .. } = &mut tool.kind {
            *parameters = None;
        }
        tool.description = tool.description.take().filter(|text| !text.is_empty());
    }
    plain
}

/// What a stream comes to, as far as every wire has a word for it.
fn sum(events: &[StreamEvent]) -> Vec<(String, String)> {
    let said = said::of(&said::gathered(events));
    said.into_iter()
        .filter(|(name, _)| name.starts_with("usage input") || name.starts_with("usage output"))
        .collect()
}

/// A stream cut anywhere becomes the same stream of every other wire.
fn check_stream(
    vendor: Dialect,
    events: &[StreamEvent],
    at: &[prop::sample::Index],
) -> Result<(), TestCaseError> {
    let stream = encoded(vendor, events);
    let (whole, end) = decoded(vendor, &[&stream]);
    prop_assert_eq!(end, "complete");
    let (again, end) = decoded(vendor, &cut(&stream, at));
    prop_assert_eq!(end, "complete");
    for client in CLIENTS {
        let (wanted, written) = (encoded(client, &whole), encoded(client, &again));
        prop_assert!(wanted == written, "{} → {}", vendor.name(), client.name());
        let (read, end) = decoded(client, &[&written]);
        prop_assert_eq!(end, "complete");
        prop_assert_eq!(sum(&read).is_empty(), sum(&whole).is_empty());
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_request_of_openais_clients_loses_in_silence(request in properties::request(), wire in 0..WIRES.len()) {
        check(&request, &WIRES[wire])?;
    }

    #[test]
    fn no_request_of_responses_clients_loses_in_silence(request in openai_responses::properties::request(), wire in 0..WIRES.len()) {
        check(&request, &WIRES[wire])?;
    }

    #[test]
    fn no_request_of_anthropics_clients_loses_in_silence(request in anthropic::properties::request(), wire in 0..WIRES.len()) {
        check(&request, &WIRES[wire])?;
    }

    #[test]
    fn no_request_of_bedrocks_clients_loses_in_silence(request in bedrock::properties::request(), wire in 0..WIRES.len()) {
        check(&request, &WIRES[wire])?;
    }

    #[test]
    fn no_request_of_geminis_clients_loses_in_silence(request in gemini::properties::request(), wire in 0..WIRES.len()) {
        check(&request, &WIRES[wire])?;
    }

    #[test]
    fn a_stream_of_openais_is_the_same_on_every_wire_however_it_is_cut(
        events in properties::events(), at in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        check_stream(Dialect::OpenAiChat, &events, &at)?;
    }

    #[test]
    fn a_stream_of_anthropics_is_the_same_on_every_wire_however_it_is_cut(
        events in anthropic::properties::events(), at in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        check_stream(Dialect::AnthropicMessages, &events, &at)?;
    }

    #[test]
    fn a_stream_of_bedrocks_is_the_same_on_every_wire_however_it_is_cut(
        events in bedrock::properties::events(), at in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        check_stream(Dialect::BedrockConverse, &events, &at)?;
    }

    #[test]
    fn a_stream_of_geminis_is_the_same_on_every_wire_however_it_is_cut(
        events in gemini::properties::events(), at in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        check_stream(Dialect::GeminiGenerate, &events, &at)?;
    }
}

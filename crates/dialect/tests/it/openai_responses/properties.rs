//! What must hold for anything, not only for the fixtures.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use steelyard_dialect::chat::{
    ChatRequest, FileSource, Json, Media, Message, Part, ResponseFormat, Role, Tool, ToolCall, ToolChoice,
    ToolInput, ToolKind, ToolResult,
};
use steelyard_dialect::{Dialect, Outside};

use super::DIALECT;
use crate::fixtures;
use crate::properties::events;
use crate::wire::{cut, decoded, encoded, tapped, target};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[!-~][ -~]{0,11}",
        "[a-zäöü秤⚖\\\\\"\u{1}]{1,8}",
        Just("\"type\":\"response.completed\"".to_owned())
    ]
}

fn base64() -> impl Strategy<Value = String> {
    "([A-Za-z0-9+/]{4}){1,6}"
}

/// What stands in a user's message.
fn shown() -> impl Strategy<Value = Part> {
    let detail = option::of(Just("low".to_owned()));
    prop_oneof![
        text().prop_map(Part::text),
        (base64(), detail).prop_map(|(data, detail)| Part::Image {
            source: Media::Inline { media_type: "image/png".into(), data },
            detail
        }),
        (base64(), option::of("[a-z]{1,6}")).prop_map(|(data, filename)| Part::File {
            source: FileSource::Inline { media_type: Some("application/pdf".into()), data },
            filename,
            context: None,
            citations: false
        }),
    ]
}

/// What the model says: thoughts with their proofs, words, calls.
fn said() -> impl Strategy<Value = Vec<Part>> {
    let gemini = |proof: String| {
        let block = Json::parse(serde_json::json!({"thoughtSignature": proof}).to_string()).unwrap();
        Part::Foreign { dialect: Dialect::GeminiGenerate, kind: "thoughtSignature".into(), block }
    };
    let thought = prop_oneof![
        (text(), option::of(base64())).prop_map(|(text, signature)| Part::Reasoning { text, signature }),
        base64().prop_map(|data| Part::RedactedReasoning { data }),
    ];
    let input = prop_oneof![
        text().prop_map(|text| ToolInput::Arguments(serde_json::json!({ "q": text }).to_string())),
        text().prop_map(ToolInput::Text),
    ];
    (vec(thought, 0..2), option::of(text()), vec(("[a-z]{1,6}", input, option::of(base64())), 0..3)).prop_map(
        move |(mut parts, words, calls)| {
            parts.extend(words.map(Part::text));
            for (name, input, proof) in calls {
                parts.push(Part::ToolCall(ToolCall { id: String::new(), name, input }));
                // Gemini's, of the call before it.
                parts.extend(proof.map(gemini));
            }
            parts
        },
    )
}

/// A conversation as this dialect decodes it: every call has its own id and its result right behind the turn.
fn conversation(turns: Vec<(Vec<Part>, Vec<Part>, String)>) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut ids = 0;
    for (user, mut said, result) in turns {
        messages.push(Message { role: Role::User, content: user, ..Message::default() });
        let mut results = Vec::new();
        for part in &mut said {
            if let Part::ToolCall(call) = part {
                ids += 1;
                call.id = format!("call_{ids}");
                let content = vec![Part::text(result.clone())];
                results.push(Part::ToolResult(ToolResult {
                    call_id: call.id.clone(),
                    content,
                    is_error: false,
                }));
            }
        }
        if !said.is_empty() {
            messages.push(Message { role: Role::Assistant, content: said, ..Message::default() });
        }
        if !results.is_empty() {
            messages.push(Message { role: Role::Tool, content: results, ..Message::default() });
        }
    }
    // Nobody asks with the model's own last words.
    messages.push(Message { role: Role::User, content: vec![Part::text("And now?")], ..Message::default() });
    messages
}

fn tool() -> impl Strategy<Value = Tool> {
    let schema = option::of(Just(Json::parse(r#"{"type":"object"}"#).unwrap()));
    let kind = (schema, option::of(any::<bool>()))
        .prop_map(|(parameters, strict)| ToolKind::Function { parameters, strict });
    ("[a-z]{1,8}", option::of(text()), kind).prop_map(|(name, description, kind)| Tool {
        name,
        description,
        kind,
        cache: None,
        extra: std::collections::BTreeMap::new(),
    })
}

/// A request as this dialect decodes it.
pub(crate) fn request() -> impl Strategy<Value = ChatRequest> {
    let turns = vec((vec(shown(), 1..3), said(), text()), 1..4);
    let format = option::of(prop_oneof![
        Just(ResponseFormat::JsonObject),
        option::of(any::<bool>()).prop_map(|strict| ResponseFormat::JsonSchema {
            name: "port".into(),
            schema: Some(Json::parse(r#"{"type":"object"}"#).unwrap()),
            strict,
            description: None,
        }),
    ]);
    let effort = option::of(prop_oneof![Just("none"), Just("low"), Just("high"), Just("xhigh")]);
    let tools = (vec(tool(), 0..3), 0..5_usize, option::of(any::<bool>()));
    let numbers = (option::of(1..9_000_u64), option::of(0..=20_u8), any::<bool>(), any::<bool>());
    (turns, format, effort, tools, numbers, option::of("[a-z]{1,6}")).prop_map(
        |(turns, response_format, effort, (tools, choice, parallel_tool_calls), numbers, user)| {
            let (max_output_tokens, temperature, logprobs, stream) = numbers;
            let tool_choice = match (choice, tools.first()) {
                (_, None) | (0, _) => None,
                (1, _) => Some(ToolChoice::Auto),
                (2, _) => Some(ToolChoice::None),
                (3, _) => Some(ToolChoice::Required),
                (_, Some(first)) => Some(ToolChoice::Tool(first.name.clone())),
            };
            let parallel_tool_calls = parallel_tool_calls.filter(|_| !tools.is_empty());
            ChatRequest {
                model: "smart".into(),
                messages: conversation(turns),
                tools,
                tool_choice,
                parallel_tool_calls,
                response_format,
                max_output_tokens,
                temperature: temperature.map(|tenths| f64::from(tenths) / 10.0),
                logprobs: logprobs.then_some(true),
                reasoning_effort: effort.map(str::to_owned),
                user,
                stream,
                include_usage: true,
                origin: Some(DIALECT),
                ..ChatRequest::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn a_request_survives_its_own_wire(request in request()) {
        let (body, losses) = DIALECT.encode_request(&request, &target("smart"));
        prop_assert_eq!(losses, vec![]);
        let again = DIALECT.decode_request(&body, &Outside::default()).unwrap();
        prop_assert_eq!(again, request);
    }

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut(events in events(), at in vec(any::<prop::sample::Index>(), 0..6)) {
        let stream = encoded(DIALECT, &events);
        let (whole, end) = decoded(DIALECT, &[&stream]);
        prop_assert_eq!(end, "complete");
        let chunks = cut(&stream, &at);
        prop_assert_eq!(decoded(DIALECT, &chunks).0, whole);
        prop_assert_eq!(tapped(DIALECT, &chunks), tapped(DIALECT, &[&stream]));
    }

    #[test]
    fn nothing_that_is_sent_breaks_a_reader(fixture in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut all = fixtures::all("openai_responses/requests");
        all.extend(fixtures::all("openai_responses/replies"));
        all.extend(fixtures::all("openai_responses/streams"));
        let (_, body) = &mut all[fixture.index(17)];
        let place = at.index(body.len());
        body[place] = byte;
        let _ = DIALECT.peek(body, &Outside::default());
        let _ = DIALECT.decode_request(body, &Outside::default());
        let _ = DIALECT.decode_response(body);
        let _ = DIALECT.usage_of_reply(body);
        let _ = decoded(DIALECT, &[body]);
        let _ = tapped(DIALECT, &[body]);
    }
}

//! What must hold for anything, not only for the fixtures.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use steelyard_core::{Usage, UsageClass};
use steelyard_dialect::chat::{
    ChatRequest, ChatResponse, Choice, Citation, CitationPlace, FileSource, FinishReason, Json, Media,
    Message, Part, ResponseFormat, Role, Thinking, ThinkingMode, Tool, ToolCall, ToolChoice, ToolInput,
    ToolKind, ToolResult,
};
use steelyard_dialect::{Dialect, LossKind, StreamEvent};

use super::{ARRAY, DIALECT, GEMINI, GEMINI_2_5, PATH};
use crate::fixtures;
use crate::wire::{context, cut, decoded, encoded, tapped, target};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[!-~][ -~]{0,11}",
        "[a-zäöü秤⚖\\\\\"\u{1}]{1,8}",
        Just("\"finishReason\":\"STOP\"".to_owned())
    ]
}

fn base64() -> impl Strategy<Value = String> {
    "([A-Za-z0-9+/]{4}){1,6}"
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn object() -> impl Strategy<Value = Json> {
    proptest::collection::btree_map("[a-z]{1,4}", text(), 0..3)
        .prop_map(|map| json(&serde_json::to_string(&map).unwrap()))
}

/// The proof that stands beside what came before it.
fn signature(proof: &str) -> Part {
    let block = json(&serde_json::json!({"thoughtSignature": proof}).to_string());
    Part::Foreign { dialect: DIALECT, kind: "thoughtSignature".into(), block }
}

/// What stands in a user's turn.
fn shown() -> impl Strategy<Value = Part> {
    prop_oneof![
        text().prop_map(Part::text),
        base64().prop_map(|data| Part::Image {
            source: Media::Inline { media_type: "image/png".into(), data },
            detail: None
        }),
        base64().prop_map(|data| Part::Audio { format: "wav".into(), data }),
        (base64(), option::of("[a-z]{1,6}")).prop_map(|(data, filename)| Part::File {
            source: FileSource::Inline { media_type: Some("application/pdf".into()), data },
            filename,
            context: None,
            citations: false
        }),
    ]
}

/// What the model says: thoughts, words, calls, and their proofs.
fn said() -> impl Strategy<Value = Vec<Part>> {
    let call = ("[a-z]{1,6}", object(), option::of(base64()));
    let thought = option::of((text(), option::of(base64())));
    (thought, option::of(text()), vec(call, 0..3)).prop_map(|(thought, words, calls)| {
        let mut parts = Vec::new();
        if let Some((text, proof)) = thought {
            parts.push(Part::reasoning(text));
            parts.extend(proof.as_deref().map(signature));
        }
        parts.extend(words.map(Part::text));
        for (name, input, proof) in calls {
            let input = ToolInput::Arguments(input.get().to_owned());
            parts.push(Part::ToolCall(ToolCall { id: String::new(), name, input }));
            parts.extend(proof.as_deref().map(signature));
        }
        parts
    })
}

type Exchange = (Vec<Part>, Vec<Part>, Part, bool);

fn exchange() -> impl Strategy<Value = Exchange> {
    // An object of these members alone is told from the result as a whole.
    let structure =
        prop_oneof![object(), Just(json("7")), Just(json("[1,{}]")), Just(json(r#"{"error":1}"#))];
    let result = prop_oneof![text().prop_map(Part::text), structure.prop_map(Part::Json)];
    (vec(shown(), 1..3), said(), result, any::<bool>())
}

/// A conversation as this dialect decodes it: every id is its own.
fn conversation(exchanges: Vec<Exchange>) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    let mut ids = 0;
    let message = |role, content| Message { role, name: None, content, extra: BTreeMap::new() };
    for (user, mut said, result, is_error) in exchanges {
        messages.push(message(Role::User, user));
        let mut results = Vec::new();
        for part in &mut said {
            if let Part::ToolCall(call) = part {
                ids += 1;
                call.id = format!("c{ids}");
                let content = vec![result.clone()];
                results.push(Part::ToolResult(ToolResult { call_id: call.id.clone(), content, is_error }));
            }
        }
        if said.is_empty() {
            said.push(Part::text("."));
        }
        messages.push(message(Role::Assistant, said));
        if !results.is_empty() {
            messages.push(message(Role::Tool, results));
            messages.push(message(Role::Assistant, vec![Part::text("so")]));
        }
    }
    messages
}

pub(crate) fn request() -> impl Strategy<Value = ChatRequest> {
    let numbers = (
        option::of(1..99_999_u64),
        option::of(0.0..=2.0_f64),
        option::of(0.0..=1.0_f64),
        option::of(1..500_u64),
        option::of(-9..9_i64),
    );
    let display = option::of(prop_oneof![Just("summarized".to_owned()), Just("omitted".to_owned())]);
    let mode = prop_oneof![Just(ThinkingMode::Adaptive), (1024..9999_u64).prop_map(ThinkingMode::Budget)];
    let thinking = prop_oneof![
        Just((None, None)),
        (mode, display).prop_map(|(mode, display)| (Some(Thinking { mode, display }), None)),
        prop_oneof![Just("low"), Just("high")].prop_map(|level| (None, Some(level.to_owned()))),
    ];
    let format = prop_oneof![
        Just(None),
        Just(Some(ResponseFormat::JsonObject)),
        object().prop_map(|schema| Some(ResponseFormat::JsonSchema {
            name: "output".into(),
            schema: Some(schema),
            strict: None,
            description: None
        })),
    ];
    (vec(exchange(), 1..3), numbers, thinking, format, vec(text(), 0..4), 0..5_u8).prop_map(
        |(exchanges, numbers, (thinking, reasoning_effort), response_format, stop, choice)| {
            let messages = conversation(exchanges);
            let mut tools: Vec<Tool> = Vec::new();
            for part in messages.iter().flat_map(|message| &message.content) {
                let Part::ToolCall(call) = part else { continue };
                if tools.iter().all(|tool| tool.name != call.name) {
                    let kind =
                        ToolKind::Function { parameters: Some(json(r#"{"type":"object"}"#)), strict: None };
                    let extra = BTreeMap::new();
                    tools.push(Tool { name: call.name.clone(), description: None, kind, cache: None, extra });
                }
            }
            let tool_choice = tools.first().and_then(|tool| match choice {
                0 => Some(ToolChoice::Auto),
                1 => Some(ToolChoice::Required),
                2 => Some(ToolChoice::Tool(tool.name.clone())),
                3 => Some(ToolChoice::None),
                _ => None,
            });
            ChatRequest {
                model: GEMINI.into(),
                messages,
                tools,
                tool_choice,
                response_format,
                max_output_tokens: numbers.0,
                temperature: numbers.1,
                top_p: numbers.2,
                top_k: numbers.3,
                seed: numbers.4,
                stop,
                thinking,
                reasoning_effort,
                origin: Some(DIALECT),
                ..ChatRequest::default()
            }
        },
    )
}

/// Usage as this wire can say it.
fn usage() -> impl Strategy<Value = Usage> {
    vec(1..1_000_000_u64, 5).prop_map(|counts| {
        use UsageClass::{AudioIn, CacheRead, Input, Output, Reasoning};
        [Input, CacheRead, AudioIn, Output, Reasoning].into_iter().zip(counts).collect()
    })
}

fn citation() -> impl Strategy<Value = Citation> {
    ("https://[a-z]{1,5}", option::of(text())).prop_map(|(url, title)| Citation {
        title,
        cited_text: None,
        place: CitationPlace::Web { url, encrypted_index: None },
    })
}

/// The events of a well-formed stream, its parts one after the other.
pub(crate) fn events() -> impl Strategy<Value = Vec<StreamEvent>> {
    let choice = 0;
    let block = prop_oneof![
        vec(text(), 1..3).prop_map(move |texts| texts
            .into_iter()
            .map(|text| StreamEvent::Text { choice, text })
            .collect::<Vec<_>>()),
        vec(text(), 1..3).prop_map(move |texts| texts
            .into_iter()
            .map(|text| StreamEvent::Reasoning { choice, text })
            .collect()),
        ("[a-z]{1,5}", object(), option::of(base64())).prop_map(move |(name, input, proof)| {
            let id = String::new();
            let mut events = vec![
                StreamEvent::ToolCallStart { choice, call: 0, id, name, custom: false },
                StreamEvent::ToolCallArguments { choice, call: 0, text: input.get().to_owned() },
                StreamEvent::PartEnd { choice },
            ];
            if let Some(Part::Foreign { dialect, kind, block }) = proof.as_deref().map(signature) {
                events.push(StreamEvent::Foreign { choice, dialect, kind, block });
            }
            events
        }),
    ];
    (vec(block, 0..5), option::of(citation()), usage(), any::<bool>()).prop_map(
        move |(blocks, citation, usage, cut_short)| {
            let mut events = vec![StreamEvent::Start {
                id: Some("msg_ours".into()),
                model: Some("smart".into()),
                service_tier: None,
                system_fingerprint: None,
            }];
            let mut next = 0;
            for mut event in blocks.into_iter().flatten() {
                match &mut event {
                    StreamEvent::ToolCallStart { call, id, .. } => {
                        *call = next;
                        *id = format!("c{next}");
                        next += 1;
                    }
                    StreamEvent::ToolCallArguments { call, .. } => *call = next - 1,
                    _ => {}
                }
                events.push(event);
            }
            events.extend(citation.map(|citation| StreamEvent::Citation { choice, citation }));
            let reason = match (cut_short, next) {
                (true, _) => FinishReason::Length,
                (false, 0) => FinishReason::Stop,
                (false, _) => FinishReason::ToolCalls,
            };
            events.extend([StreamEvent::Usage(usage), StreamEvent::Finish { choice, reason }]);
            events
        },
    )
}

proptest! {
    #[test]
    fn a_request_keeps_its_meaning(request in request()) {
        let (body, losses) = DIALECT.encode_request(&request, &target(GEMINI));
        prop_assert_eq!(&losses, &[]);
        let again = DIALECT
            .decode_request(&body, &PATH)
            .map_err(|error| TestCaseError::fail(format!("{error}: {body:?}")))?;
        prop_assert_eq!(again, request);
    }

    #[test]
    fn whatever_becomes_of_a_request_gemini_can_read_it(
        request in request(),
        model in prop_oneof![Just(GEMINI), Just(GEMINI_2_5), Just("gemini-2.0-flash"), Just("gemma-3-27b-it")],
    ) {
        let request = ChatRequest { origin: Some(Dialect::OpenAiChat), ..request };
        let (body, losses) = DIALECT.encode_request(&request, &target(model));
        let refused = losses.iter().any(|loss| loss.kind == LossKind::Refused);
        let again = DIALECT
            .decode_request(&body, &PATH)
            .map_err(|error| TestCaseError::fail(format!("{error}: {body:?}")))?;
        prop_assert!(!refused && again.tools.len() == request.tools.len(), "{losses:?}");
    }

    #[test]
    fn an_answer_keeps_its_meaning(content in said(), usage in usage()) {
        let calls = content.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let content = content.into_iter().enumerate().map(|(number, part)| match part {
            Part::ToolCall(call) => Part::ToolCall(ToolCall { id: format!("c{number}"), ..call }),
            part => part,
        });
        let response = ChatResponse {
            id: Some("msg_ours".into()),
            model: "smart".into(),
            choices: vec![Choice {
                index: 0,
                finish: if calls { FinishReason::ToolCalls } else { FinishReason::Length },
                message: Message { role: Role::Assistant, content: content.collect(), ..Message::default() },
                logprobs: None,
            }],
            usage: Some(usage),
            service_tier: Some("flex".into()),
            ..ChatResponse::default()
        };
        let body = DIALECT.encode_response(&response, &context());
        let again = DIALECT.decode_response(&body).map_err(|error| TestCaseError::fail(format!("{error}")))?;
        prop_assert_eq!(&again, &response);
        prop_assert_eq!(DIALECT.usage_of_reply(&body).unwrap().usage, response.usage);
    }

    #[test]
    fn a_stream_keeps_its_meaning_however_it_is_cut(
        events in events(),
        at in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let body = encoded(DIALECT, &events);
        let chunks = cut(&body, &at);
        let (again, end) = decoded(DIALECT, &chunks);
        prop_assert_eq!(end, "complete");
        // The last event has an empty text.
        let again: Vec<StreamEvent> = again
            .into_iter()
            .filter(|event| !matches!(event, StreamEvent::Text { text, .. } if text.is_empty()))
            .collect();
        prop_assert_eq!(&again, &events);
        let relay = tapped(DIALECT, &chunks);
        prop_assert_eq!(&relay, &tapped(DIALECT, &[&body]));
        let used = events.iter().find(|event| matches!(event, StreamEvent::Usage(_))).cloned();
        prop_assert_eq!(relay.facts.usage.map(StreamEvent::Usage), used);
        let array = encoded(ARRAY, &events);
        let (as_array, end) = decoded(ARRAY, &cut(&array, &at));
        prop_assert_eq!(end, "complete");
        prop_assert_eq!(as_array, decoded(DIALECT, &[&body]).0);
    }

    #[test]
    fn any_bytes_are_passed_unchanged_and_read_the_same_however_they_are_cut(
        fixture in any::<prop::sample::Index>(),
        change in option::of((any::<prop::sample::Index>(), any::<u8>())),
        at in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let all = fixtures::all("gemini/streams");
        let mut body = all[fixture.index(all.len())].1.clone();
        if let Some((at, byte)) = change {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let chunks = cut(&body, &at);
        let relay = tapped(DIALECT, &chunks);
        prop_assert_eq!(&relay, &tapped(DIALECT, &[&body]));
        prop_assert!(body.starts_with(&relay.passed));
        prop_assert_eq!(decoded(DIALECT, &chunks), decoded(DIALECT, &[&body]));
    }

    #[test]
    fn no_bytes_make_a_peek_or_a_decoder_panic(
        fixture in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let all = fixtures::all("gemini/requests");
        let mut body = all[fixture.index(all.len())].1.clone();
        let last = body.trim_ascii_end().len() - 1;
        let at = at.index(body.len());
        body[at] = byte;
        let _ = DIALECT.peek(&body, &PATH);
        if let Ok(request) = DIALECT.decode_request(&body, &PATH) {
            let (encoded, _) = DIALECT.encode_request(&request, &target(GEMINI));
            let again = DIALECT.decode_request(&encoded, &PATH).unwrap();
            prop_assert_eq!(DIALECT.encode_request(&again, &target(GEMINI)).0, encoded, "one pass evens out all there is");
            let _ = Dialect::AnthropicMessages.encode_request(&request, &target("m"));
            let _ = Dialect::OpenAiChat.encode_request(&request, &target("m"));
            let _ = Dialect::BedrockConverse.encode_request(&request, &target("m"));
        }
        body.truncate(at.min(last));
        prop_assert!(DIALECT.peek(&body, &PATH).is_err());
        prop_assert!(DIALECT.decode_request(&body, &PATH).is_err());
    }
}

//! What must hold for anything, not only for the fixtures.

use std::collections::BTreeMap;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use steelyard_core::{Usage, UsageClass};
use steelyard_dialect::chat::{
    CacheTtl, ChatRequest, ChatResponse, Choice, Citation, CitationPlace, FileSource, FinishReason, Json,
    Media, Message, Part, ResponseFormat, Role, Thinking, ThinkingMode, Tool, ToolCall, ToolChoice,
    ToolInput, ToolKind, ToolResult,
};
use steelyard_dialect::{Dialect, LossKind, StreamEvent};

use crate::bedrock::{CLAUDE, DIALECT, context, path, target};
use crate::fixtures;
use crate::replay::{cut_at, decoded, relayed};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[!-~][ -~]{0,11}",
        "[a-zäöü秤⚖\\\\\"\u{1}]{1,8}",
        Just("\"citation\":{\"text\":\"x\"}".to_owned())
    ]
}

fn base64() -> impl Strategy<Value = String> {
    "([A-Za-z0-9+/]{4}){1,6}"
}

fn object() -> impl Strategy<Value = Json> {
    proptest::collection::btree_map("[a-z]{1,4}", text(), 0..3)
        .prop_map(|map| Json::parse(serde_json::to_string(&map).unwrap()).unwrap())
}

fn place() -> impl Strategy<Value = CitationPlace> {
    let range = (0..9_u64, 0..9_u64, 9..99_u64);
    prop_oneof![
        "https://[a-z]{1,5}".prop_map(|url| CitationPlace::Web { url, encrypted_index: None }),
        range.clone().prop_map(|(document, start, end)| CitationPlace::Characters { document, start, end }),
        range.clone().prop_map(|(document, start, end)| CitationPlace::Pages { document, start, end }),
        range.clone().prop_map(|(document, start, end)| CitationPlace::Blocks { document, start, end }),
        (option::of(text()), range).prop_map(|(source, (result, start, end))| CitationPlace::SearchResult {
            source,
            result,
            start,
            end
        }),
    ]
}

fn citation() -> impl Strategy<Value = Citation> {
    (option::of(text()), option::of(text()), place()).prop_map(|(title, cited_text, place)| Citation {
        title,
        cited_text,
        place,
    })
}

fn mark() -> impl Strategy<Value = Part> {
    prop_oneof![Just(CacheTtl::FiveMinutes), Just(CacheTtl::OneHour)].prop_map(Part::CacheMark)
}

/// What stands in a user's turn and in a tool's result.
fn shown() -> impl Strategy<Value = Part> {
    let source = prop_oneof![
        base64().prop_map(|data| FileSource::Inline { media_type: Some("application/pdf".into()), data }),
        text().prop_map(FileSource::Text),
        vec(text().prop_map(Part::text), 0..3).prop_map(FileSource::Parts),
    ];
    prop_oneof![
        text().prop_map(Part::text),
        base64().prop_map(|data| Part::Image {
            source: Media::Inline { media_type: "image/png".into(), data },
            detail: None
        }),
        (source, option::of(text()), any::<bool>()).prop_map(|(source, context, citations)| Part::File {
            source,
            filename: Some(String::new()),
            context,
            citations
        }),
        (text(), text(), vec(text().prop_map(Part::text), 0..3), any::<bool>()).prop_map(
            |(source, title, content, citations)| Part::SearchResult { source, title, content, citations }
        ),
    ]
}

/// What a model of Anthropic's says.
fn said() -> impl Strategy<Value = Vec<Part>> {
    let thought = prop_oneof![
        (text(), base64()).prop_map(|(text, signature)| Part::Reasoning { text, signature: Some(signature) }),
        base64().prop_map(|data| Part::RedactedReasoning { data }),
    ];
    let words = prop_oneof![
        text().prop_map(Part::text),
        (text(), vec(citation(), 1..3)).prop_map(|(text, citations)| Part::Text {
            text,
            citations,
            extra: BTreeMap::new()
        }),
    ];
    (option::of(thought), option::of(words), vec(("[a-z]{1,6}", object()), 0..3)).prop_map(
        |(thought, words, calls)| {
            thought.into_iter().chain(words).chain(calls.into_iter().map(call)).collect()
        },
    )
}

fn call((name, input): (String, Json)) -> Part {
    Part::ToolCall(ToolCall { id: String::new(), name, input: ToolInput::Arguments(input.get().to_owned()) })
}

type Exchange = (Vec<Part>, Option<Part>, Vec<Part>, Vec<Part>, bool);

fn exchange() -> impl Strategy<Value = Exchange> {
    let result = prop_oneof![shown(), object().prop_map(Part::Json)];
    (vec(shown(), 1..3), option::of(mark()), said(), vec(result, 0..3), any::<bool>())
}

/// A conversation as this dialect decodes it: every id and every document's name is its own.
fn conversation(exchanges: Vec<Exchange>) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    let (mut ids, mut names) = (0, 0);
    let mut name = |part: &mut Part| {
        if let Part::File { filename, .. } = part {
            names += 1;
            *filename = Some(format!("document {names}"));
        }
    };
    let message = |role, content| Message { role, name: None, content, extra: BTreeMap::new() };
    for (mut user, mark, mut said, result, is_error) in exchanges {
        user.iter_mut().for_each(&mut name);
        user.extend(mark);
        messages.push(message(Role::User, user));
        let mut results = Vec::new();
        for part in &mut said {
            if let Part::ToolCall(call) = part {
                ids += 1;
                call.id = format!("tooluse_{ids}");
                let mut content = result.clone();
                content.iter_mut().for_each(&mut name);
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
        option::of(0.0..=1.0_f64),
        option::of(0.0..=1.0_f64),
        option::of(1..500_u64),
    );
    let thinking = option::of(prop_oneof![
        Just(ThinkingMode::Disabled),
        Just(ThinkingMode::Adaptive),
        Just(ThinkingMode::BetweenTools),
        (1024..9999_u64).prop_map(ThinkingMode::Budget),
    ]);
    let format = option::of((object(), option::of(text())));
    let words = (option::of("[a-z]{1,9}"), vec(text(), 0..4), option::of(mark()), option::of(any::<bool>()));
    (vec(exchange(), 1..3), numbers, thinking, format, words, 0..4_u8, any::<bool>()).prop_map(
        |(exchanges, numbers, thinking, format, words, choice, parallel)| {
            let messages = conversation(exchanges);
            let mut tools: Vec<Tool> = Vec::new();
            for part in messages.iter().flat_map(|message| &message.content) {
                let Part::ToolCall(call) = part else { continue };
                if tools.iter().all(|tool| tool.name != call.name) {
                    let parameters = Some(Json::parse(r#"{"type":"object"}"#).unwrap());
                    let kind = ToolKind::Function { parameters, strict: words.3 };
                    let cache = None;
                    let extra = BTreeMap::new();
                    tools.push(Tool { name: call.name.clone(), description: None, kind, cache, extra });
                }
            }
            if let (Some(tool), Some(Part::CacheMark(ttl))) = (tools.last_mut(), words.2) {
                tool.cache = Some(ttl);
            }
            let tool_choice = tools.first().and_then(|tool| match choice {
                0 => Some(ToolChoice::Auto),
                1 => Some(ToolChoice::Required),
                2 => Some(ToolChoice::Tool(tool.name.clone())),
                _ => None,
            });
            let parallel_tool_calls = (parallel && tool_choice.is_some()).then_some(false);
            ChatRequest {
                model: CLAUDE.into(),
                messages,
                tools,
                tool_choice,
                parallel_tool_calls,
                response_format: format.map(|(schema, description)| ResponseFormat::JsonSchema {
                    name: "shape".into(),
                    schema: Some(schema),
                    strict: None,
                    description,
                }),
                max_output_tokens: numbers.0,
                temperature: numbers.1,
                top_p: numbers.2,
                top_k: numbers.3,
                stop: words.1,
                thinking: thinking.map(|mode| Thinking { mode, display: None }),
                reasoning_effort: words.0,
                origin: Some(DIALECT),
                ..ChatRequest::default()
            }
        },
    )
}

/// Usage as this wire can say it.
fn usage() -> impl Strategy<Value = Usage> {
    vec(1..1_000_000_u64, 5).prop_map(|counts| {
        use UsageClass::{CacheRead, CacheWrite1h, CacheWrite5m, Input, Output};
        [Input, CacheRead, CacheWrite5m, CacheWrite1h, Output].into_iter().zip(counts).collect()
    })
}

fn finish(parts: &[Part]) -> FinishReason {
    let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    if calls { FinishReason::ToolCalls } else { FinishReason::StopSequence(Some("x".into())) }
}

/// The events of a well-formed stream, its parts one after the other.
pub(crate) fn events() -> impl Strategy<Value = Vec<StreamEvent>> {
    let choice = 0;
    let block = prop_oneof![
        vec(text(), 1..3).prop_map(move |texts| texts
            .into_iter()
            .map(|text| StreamEvent::Text { choice, text })
            .collect::<Vec<_>>()),
        (vec(text(), 1..3), base64()).prop_map(move |(texts, signature)| {
            let texts = texts.into_iter().map(|text| StreamEvent::Reasoning { choice, text });
            texts.chain([StreamEvent::ReasoningSignature { choice, signature }]).collect()
        }),
        base64().prop_map(move |data| vec![StreamEvent::RedactedReasoning { choice, data }]),
        ("[a-z]{1,5}", vec(text(), 1..4)).prop_map(move |(name, texts)| {
            let start =
                StreamEvent::ToolCallStart { choice, call: 0, id: String::new(), name, custom: false };
            let texts =
                texts.into_iter().map(|text| StreamEvent::ToolCallArguments { choice, call: 0, text });
            std::iter::once(start).chain(texts).collect()
        }),
        (text(), citation()).prop_map(move |(text, citation)| {
            vec![StreamEvent::Text { choice, text }, StreamEvent::Citation { choice, citation }]
        }),
    ];
    (vec(block, 0..5), usage()).prop_map(move |(blocks, usage)| {
        let start =
            StreamEvent::Start { id: None, model: None, service_tier: None, system_fingerprint: None };
        let mut events = vec![start];
        let mut next = 0;
        for block in blocks {
            for mut event in block {
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
            events.push(StreamEvent::PartEnd { choice });
        }
        let reason = if next > 0 { FinishReason::ToolCalls } else { FinishReason::Length };
        events.extend([StreamEvent::Finish { choice, reason }, StreamEvent::Usage(usage)]);
        events
    })
}

fn places(body: &[u8], cuts: &[prop::sample::Index]) -> Vec<usize> {
    cuts.iter().map(|index| index.index(body.len() + 1)).collect()
}

proptest! {
    #[test]
    fn a_request_keeps_its_meaning(request in request()) {
        let (body, losses) = DIALECT.encode_request(&request, &target(CLAUDE));
        let again = DIALECT
            .decode_request(&body, &path(CLAUDE))
            .map_err(|error| TestCaseError::fail(format!("{error}: {body:?}")))?;
        // White space at the very end is the one thing that AWS does not take.
        let last = request.messages.len().saturating_sub(1);
        let at_the_end = format!("messages[{last}].content[");
        prop_assert!(
            losses.iter().all(|loss| loss.kind == LossKind::Emulated && loss.field.starts_with(&at_the_end)),
            "{losses:?}"
        );
        let mut request = request;
        if let (false, Some(Part::Text { text, .. })) =
            (losses.is_empty(), request.messages.last_mut().and_then(|message| message.content.last_mut()))
        {
            text.truncate(text.trim_end().len());
        }
        prop_assert_eq!(again, request);
    }

    #[test]
    fn whatever_becomes_of_a_request_bedrock_can_read_it(request in request(), model in prop_oneof![
        Just(CLAUDE), Just("us.amazon.nova-pro-v1:0"), Just("openai.gpt-oss-120b-1:0"), Just("meta.llama3-3-70b-instruct-v1:0")
    ]) {
        let request = ChatRequest { origin: Some(Dialect::OpenAiChat), ..request };
        let (body, losses) = DIALECT.encode_request(&request, &target(model));
        let again = DIALECT
            .decode_request(&body, &path(model))
            .map_err(|error| TestCaseError::fail(format!("{error}: {body:?}")))?;
        prop_assert_eq!(again.tools.len(), request.tools.len());
        prop_assert!(losses.iter().all(|loss| loss.kind != LossKind::Refused), "{losses:?}");
    }

    #[test]
    fn an_answer_keeps_its_meaning(content in said(), usage in usage()) {
        let response = ChatResponse {
            choices: vec![Choice {
                index: 0,
                finish: finish(&content),
                message: Message {
                    role: Role::Assistant,
                    name: None,
                    content: content.into_iter().enumerate().map(|(number, part)| match part {
                        Part::ToolCall(call) => Part::ToolCall(ToolCall { id: format!("c{number}"), ..call }),
                        part => part,
                    }).collect(),
                    extra: BTreeMap::new(),
                },
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
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut encoder = DIALECT.stream_encoder(context());
        let mut body = BytesMut::new();
        for event in &events {
            encoder.push(event, &mut body);
        }
        encoder.finish(7, &mut body);
        let chunks = cut_at(&body, places(&body, &cuts));
        let (again, end) = decoded(DIALECT, &chunks);
        prop_assert_eq!(end, "complete");
        prop_assert_eq!(&again, &events);
        let relay = relayed(DIALECT, &chunks);
        prop_assert_eq!(&relay, &relayed(DIALECT, &[&body]));
        prop_assert_eq!([relay.passed.as_slice(), relay.terminal.as_deref().unwrap_or_default()].concat(), body.to_vec());
        prop_assert_eq!(relay.facts.usage.map(StreamEvent::Usage), events.last().cloned());
        let said: usize = events.iter().map(|event| match event {
            StreamEvent::Text { text, .. } | StreamEvent::Reasoning { text, .. } | StreamEvent::ToolCallArguments { text, .. } => text.len(),
            StreamEvent::ToolCallStart { name, .. } => name.len(),
            _ => 0,
        }).sum();
        prop_assert_eq!(relay.facts.content_bytes, said as u64);
    }

    #[test]
    fn any_bytes_are_passed_unchanged_or_refused_and_read_the_same_however_they_are_cut(
        fixture in any::<prop::sample::Index>(),
        change in option::of((any::<prop::sample::Index>(), any::<u8>())),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let all = fixtures::all("bedrock/streams");
        let mut body = all[fixture.index(all.len())].1.clone();
        if let Some((at, byte)) = change {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let chunks = cut_at(&body, places(&body, &cuts));
        let relay = relayed(DIALECT, &chunks);
        prop_assert_eq!(&relay, &relayed(DIALECT, &[&body]));
        prop_assert!(body.starts_with(&[relay.passed.as_slice(), relay.terminal.as_deref().unwrap_or_default()].concat()));
        prop_assert_eq!(decoded(DIALECT, &chunks), decoded(DIALECT, &[&body]));
    }

    #[test]
    fn no_bytes_make_a_peek_or_a_decoder_panic(
        fixture in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let all = fixtures::all("bedrock/requests");
        let mut body = all[fixture.index(all.len())].1.clone();
        let last = body.trim_ascii_end().len() - 1;
        let at = at.index(body.len());
        body[at] = byte;
        let _ = DIALECT.peek(&body, &path("m"));
        if let Ok(request) = DIALECT.decode_request(&body, &path("m")) {
            let (encoded, _) = DIALECT.encode_request(&request, &target(CLAUDE));
            let again = DIALECT.decode_request(&encoded, &path("m")).unwrap();
            prop_assert_eq!(DIALECT.encode_request(&again, &target(CLAUDE)).0, encoded, "one pass evens out all there is");
            let _ = Dialect::AnthropicMessages.encode_request(&request, &target("m"));
            let _ = Dialect::OpenAiChat.encode_request(&request, &target("m"));
        }
        body.truncate(at.min(last));
        prop_assert!(DIALECT.peek(&body, &path("m")).is_err());
        prop_assert!(DIALECT.decode_request(&body, &path("m")).is_err());
    }
}

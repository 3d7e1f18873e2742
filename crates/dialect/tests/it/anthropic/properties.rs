//! What must hold for anything, not only for the fixtures.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;
use steelyard_core::{Usage, UsageClass};
use steelyard_dialect::chat::{
    CacheTtl, ChatRequest, ChatResponse, Choice, Citation, CitationPlace, FileSource, FinishReason, Json,
    Media, Message, Part, Role, Tool, ToolCall, ToolChoice, ToolInput, ToolKind, ToolResult,
};
use steelyard_dialect::{Dialect, StreamEvent, TapEnd, relay_body};

use super::streams::well_formed;
use super::{DIALECT, NOWHERE};
use crate::fixtures;
use crate::wire::{context, cut, decoded, encoded, is_untouched, tapped, target};

/// Takes everything that the wire can say.
const MODEL: &str = "glm-5";

/// Text that is not only white space.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[!-~]{1,3}[ -~]{0,9}",
        "[a-zäöü秤⚖\\\\\"\n\t\u{1}]{1,8}x",
        Just("event: message_stop\n\n".to_owned())
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
        Just(Value::from("tool_use")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("type|content|source|[a-z_]{1,6}", inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

fn object() -> impl Strategy<Value = Json> {
    btree_map("[a-z_]{1,6}", json(), 0..4)
        .prop_map(|map| Json::parse(serde_json::to_string(&map).unwrap()).unwrap())
}

fn schema() -> impl Strategy<Value = Json> {
    object()
        .prop_map(|object| {
            let rest = object.get()[1..].trim_start_matches(',');
            let comma = if rest == "}" { "" } else { "," };
            Json::parse(format!("{{\"type\":\"object\"{comma}{rest}")).unwrap()
        })
        .prop_filter("a key twice", |schema| schema.get().matches("\"type\":").count() == 1)
}

fn citation() -> impl Strategy<Value = Citation> {
    let place = prop_oneof![
        (0..9_u64, 0..9_u64, 9..99_u64).prop_map(|(document, start, end)| CitationPlace::Characters {
            document,
            start,
            end
        }),
        (0..9_u64, 1..9_u64, 9..99_u64).prop_map(|(document, start, end)| CitationPlace::Pages {
            document,
            start,
            end
        }),
        (0..9_u64, 0..9_u64, 9..99_u64).prop_map(|(document, start, end)| CitationPlace::Blocks {
            document,
            start,
            end
        }),
        (text(), 0..9_u64, 0..9_u64, 9..99_u64).prop_map(|(source, result, start, end)| {
            CitationPlace::SearchResult { source: Some(source), result, start, end }
        }),
        text().prop_map(|url| CitationPlace::Web { url, encrypted_index: Some("Eo8B".into()) }),
    ];
    (option::of(text()), text(), place).prop_map(|(title, cited_text, place)| Citation {
        title,
        cited_text: Some(cited_text),
        place,
    })
}

fn plain() -> impl Strategy<Value = Part> {
    text().prop_map(Part::text)
}

fn image() -> impl Strategy<Value = Part> {
    let source = prop_oneof![
        "https://[a-z]{1,9}".prop_map(Media::Url),
        "file_[a-z]{1,9}".prop_map(Media::Id),
        "([A-Za-z0-9+/]{4}){1,6}".prop_map(|data| Media::Inline { media_type: "image/webp".into(), data }),
    ];
    source.prop_map(|source| Part::Image { source, detail: None })
}

fn file() -> impl Strategy<Value = Part> {
    let source = prop_oneof![
        "file_[a-z]{1,9}".prop_map(FileSource::Id),
        "https://[a-z]{1,9}".prop_map(FileSource::Url),
        text().prop_map(FileSource::Text),
        "([A-Za-z0-9+/]{4}){1,6}"
            .prop_map(|data| FileSource::Inline { media_type: Some("application/pdf".into()), data }),
        vec(prop_oneof![plain(), image()], 1..3).prop_map(FileSource::Parts),
    ];
    (source, option::of(text()), option::of(text()), any::<bool>()).prop_map(
        |(source, filename, context, citations)| Part::File { source, filename, context, citations },
    )
}

fn content() -> impl Strategy<Value = Part> {
    let found = (text(), text(), vec(plain(), 1..3), any::<bool>()).prop_map(
        |(source, title, content, citations)| Part::SearchResult { source, title, content, citations },
    );
    prop_oneof![3 => plain(), 1 => image(), 1 => file(), 1 => found]
}

/// Parts, some with a mark behind them.
fn marked(part: impl Strategy<Value = Part>, most: usize) -> impl Strategy<Value = Vec<Part>> {
    let ttl = prop_oneof![Just(CacheTtl::FiveMinutes), Just(CacheTtl::OneHour)];
    vec((part, option::weighted(0.2, ttl)), 1..=most).prop_map(|parts| {
        parts.into_iter().flat_map(|(part, mark)| [Some(part), mark.map(Part::CacheMark)]).flatten().collect()
    })
}

fn arguments() -> impl Strategy<Value = ToolInput> {
    object().prop_map(|object| ToolInput::Arguments(object.get().to_owned()))
}

/// What a model says: thoughts, text, calls.
fn said() -> impl Strategy<Value = Vec<Part>> {
    let thought = prop_oneof![
        (prop_oneof![text(), Just(String::new())], "[A-Za-z]{1,9}")
            .prop_map(|(text, signature)| Part::Reasoning { text, signature: Some(signature) }),
        "[A-Za-z]{1,9}".prop_map(|data| Part::RedactedReasoning { data }),
    ];
    let words = (text(), vec(citation(), 0..2)).prop_map(|(text, citations)| Part::Text {
        text,
        citations,
        extra: BTreeMap::new(),
    });
    let calls = vec(("[a-zA-Z_]{1,6}", arguments()), 0..3).prop_map(|calls| {
        let numbered = calls.into_iter().enumerate();
        numbered
            .map(|(number, (name, input))| {
                Part::ToolCall(ToolCall { id: format!("toolu_{number}"), name, input })
            })
            .collect::<Vec<_>>()
    });
    (vec(thought, 0..3), vec(words, 1..3), calls)
        .prop_map(|(thoughts, words, calls)| [thoughts, words, calls].concat())
}

/// An exchange: the user's turn, the model's, and the results of its calls.
fn exchange() -> impl Strategy<Value = Vec<Message>> {
    (marked(content(), 3), said(), vec(content(), 1..3), any::<bool>()).prop_map(
        |(asked, said, found, is_error)| {
            let results: Vec<Part> = said
                .iter()
                .filter_map(|part| match part {
                    Part::ToolCall(call) => Some(call.id.clone()),
                    _ => None,
                })
                .map(|call_id| Part::ToolResult(ToolResult { call_id, content: found.clone(), is_error }))
                .collect();
            let message = |role, content| Message { role, content, ..Message::default() };
            let mut messages = vec![message(Role::User, asked), message(Role::Assistant, said)];
            if !results.is_empty() {
                messages.push(message(Role::Tool, results));
            }
            messages
        },
    )
}

pub(crate) fn request() -> impl Strategy<Value = ChatRequest> {
    let system = option::of(marked(plain(), 2));
    let tools = vec((option::of(text()), schema(), option::of(any::<bool>()), any::<bool>()), 1..3);
    let numbers = (0..99_999_u64, option::of(0.0..=1.0_f64), option::of(0..99_u64));
    let words = (option::of(text()), vec(text(), 0..4));
    (system, vec(exchange(), 1..3), tools, numbers, words, 0..5_u8, any::<bool>()).prop_map(
        |(system, exchanges, tools, (cap, temperature, top_k), (user, stop), choice, stream)| {
            let mut messages: Vec<Message> = Vec::new();
            messages.extend(system.map(|content| Message {
                role: Role::System,
                content,
                ..Message::default()
            }));
            messages.extend(exchanges.concat());
            let named = |(number, (description, schema, strict, cached)): (usize, (_, _, _, bool))| Tool {
                name: format!("tool_{number}"),
                description,
                kind: ToolKind::Function { parameters: Some(schema), strict },
                cache: cached.then_some(CacheTtl::OneHour),
                extra: BTreeMap::new(),
            };
            let tool_choice = match choice {
                0 => Some(ToolChoice::None),
                1 => Some(ToolChoice::Auto),
                2 => Some(ToolChoice::Required),
                3 => Some(ToolChoice::Tool("tool_0".into())),
                _ => None,
            };
            let parallel = matches!(choice, 1..=3).then_some(stream);
            ChatRequest {
                model: MODEL.into(),
                messages,
                tools: tools.into_iter().enumerate().map(named).collect(),
                tool_choice,
                parallel_tool_calls: parallel,
                max_output_tokens: Some(cap),
                temperature,
                top_k,
                stop,
                user,
                stream,
                include_usage: true,
                origin: Some(DIALECT),
                ..ChatRequest::default()
            }
        },
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    vec(1..1_000_000_u64, 7).prop_map(|counts| {
        use UsageClass::{CacheRead, CacheWrite1h, CacheWrite5m, Input, Output, Reasoning, WebSearch};
        [Input, CacheRead, CacheWrite5m, CacheWrite1h, Output, Reasoning, WebSearch]
            .into_iter()
            .zip(counts)
            .collect()
    })
}

/// The events of a stream in which calls may go on beside each other, as on other wires.
pub(crate) fn events() -> impl Strategy<Value = Vec<StreamEvent>> {
    let choice = 0;
    let step = prop_oneof![
        text().prop_map(move |text| StreamEvent::Text { choice, text }),
        text().prop_map(move |text| StreamEvent::Reasoning { choice, text }),
        "[A-Z]{4}".prop_map(move |signature| StreamEvent::ReasoningSignature { choice, signature }),
        "[A-Z]{4}".prop_map(move |data| StreamEvent::RedactedReasoning { choice, data }),
        Just(StreamEvent::PartEnd { choice }),
        usage().prop_map(StreamEvent::Usage),
    ];
    let pieces = vec((0..3_u32, any::<prop::sample::Index>()), 0..12);
    (vec(step, 0..8), vec(arguments(), 3), pieces, vec(text(), 0..2), option::of(usage())).prop_map(
        move |(mut events, inputs, pieces, after, used)| {
            let inputs: Vec<String> = inputs
                .into_iter()
                .map(|input| match input {
                    ToolInput::Arguments(text) | ToolInput::Text(text) => text,
                })
                .collect();
            for call in 0..3_u32 {
                let (id, name) = (format!("c{call}"), format!("tool_{call}"));
                events.push(StreamEvent::ToolCallStart { choice, call, id, name, custom: false });
            }
            let mut told = [0; 3];
            let mut tell = |call: u32, to: usize, events: &mut Vec<StreamEvent>| {
                let input = &inputs[call as usize];
                let from = std::mem::replace(&mut told[call as usize], to);
                let text = input[from..to].to_owned();
                events.push(StreamEvent::ToolCallArguments { choice, call, text });
                to
            };
            let mut at = [0; 3];
            for (call, index) in pieces {
                let input = &inputs[call as usize];
                let mut to = at[call as usize] + index.index(input.len() - at[call as usize] + 1);
                while !input.is_char_boundary(to) {
                    to += 1;
                }
                at[call as usize] = tell(call, to, &mut events);
            }
            for call in 0..3_u32 {
                tell(call, inputs[call as usize].len(), &mut events);
            }
            events.extend(after.into_iter().map(|text| StreamEvent::Text { choice, text }));
            events.push(StreamEvent::Finish { choice, reason: FinishReason::ToolCalls });
            events.extend(used.map(StreamEvent::Usage));
            events
        },
    )
}

/// What a stream comes to, whatever its pieces were.
#[derive(Debug, Default, PartialEq)]
struct Sum {
    text: String,
    thoughts: String,
    hidden: Vec<String>,
    calls: BTreeMap<u32, (String, String, String)>,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
}

fn sum(events: &[StreamEvent]) -> Sum {
    let mut sum = Sum::default();
    for event in events {
        match event {
            StreamEvent::Text { text, .. } => sum.text.push_str(text),
            StreamEvent::Reasoning { text, .. } => sum.thoughts.push_str(text),
            StreamEvent::ReasoningSignature { signature, .. } => sum.thoughts.push_str(signature),
            StreamEvent::RedactedReasoning { data, .. } => sum.hidden.push(data.clone()),
            StreamEvent::ToolCallStart { call, id, name, .. } => {
                sum.calls.insert(*call, (id.clone(), name.clone(), String::new()));
            }
            StreamEvent::ToolCallArguments { call, text, .. } => {
                sum.calls.get_mut(call).unwrap().2.push_str(text);
            }
            StreamEvent::Finish { reason, .. } => sum.finish = Some(reason.clone()),
            StreamEvent::Usage(used) => sum.usage = Some(*used),
            _ => {}
        }
    }
    sum
}

/// Bytes that look like events, so that the interesting cases are met.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"data: ".to_vec()),
        Just(b"event: message_stop".to_vec()),
        Just(b"event: mess".to_vec()),
        Just(b"event:".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(b": c".to_vec()),
        Just(b"\xEF\xBB\xBF".to_vec()),
        Just(br#"{"type":"message_stop"}"#.to_vec()),
        Just(
            br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#.to_vec()
        ),
        Just(
            br#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#
                .to_vec()
        ),
        Just(br#"{"type":"content_block_start","index":0,"content_block":{"type":"text","te"#.to_vec()),
        vec(any::<u8>(), 0..5),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Puts `new` in place of a value inside of `value`.
fn replace(value: &mut Value, path: &[prop::sample::Index], new: Value) {
    let next = match (value, path) {
        (Value::Array(list), [at, rest @ ..]) if !list.is_empty() => {
            let index = at.index(list.len());
            Some((&mut list[index], rest))
        }
        (Value::Object(members), [at, rest @ ..]) if !members.is_empty() => {
            let index = at.index(members.len());
            members.values_mut().nth(index).map(|member| (member, rest))
        }
        (place, _) => {
            *place = new;
            return;
        }
    };
    if let Some((inner, rest)) = next {
        replace(inner, rest, new);
    }
}

proptest! {
    #[test]
    fn a_request_keeps_its_meaning(request in request()) {
        let (body, losses) = DIALECT.encode_request(&request, &target(MODEL));
        prop_assert_eq!(losses, []);
        let again = DIALECT.decode_request(&body, &NOWHERE)
            .map_err(|error| TestCaseError::fail(format!("{error}: {body:?}")))?;
        prop_assert_eq!(again, request);
        prop_assert_eq!(&DIALECT.peek(&body, &NOWHERE).unwrap().model, MODEL);
    }

    #[test]
    fn an_answer_keeps_its_meaning(content in said(), used in option::of(usage())) {
        let calls = content.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let finish = if calls { FinishReason::ToolCalls } else { FinishReason::Stop };
        let message = Message { role: Role::Assistant, content, ..Message::default() };
        let response = ChatResponse {
            id: Some("msg_ours".into()),
            model: "smart".into(),
            choices: vec![Choice { index: 0, message, finish, logprobs: None }],
            usage: used,
            service_tier: Some("priority".into()),
            ..ChatResponse::default()
        };
        let body = DIALECT.encode_response(&response, &context());
        prop_assert_eq!(DIALECT.usage_of_reply(&body).unwrap().usage, used);
        prop_assert_eq!(DIALECT.decode_response(&body).unwrap(), response);
    }

    #[test]
    fn a_stream_keeps_its_meaning_however_it_is_cut(
        events in events(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let body = encoded(DIALECT, &events);
        well_formed(&body);
        let chunks = cut(&body, &cuts);
        let (again, end) = decoded(DIALECT, &chunks);
        prop_assert_eq!(end, "complete");
        let (before, after) = (sum(&events), sum(&again));
        prop_assert_eq!(&after, &before);

        let tap = tapped(DIALECT, &chunks);
        let Ok(TapEnd::Complete(terminal)) = &tap.end else { panic!("{:?}", tap.end) };
        prop_assert_eq!([tap.passed.as_slice(), terminal].concat(), body.to_vec());
        let said: usize = again.iter().map(|event| match event {
            StreamEvent::Text { text, .. } | StreamEvent::Reasoning { text, .. }
            | StreamEvent::ToolCallArguments { text, .. } => text.len(),
            StreamEvent::ToolCallStart { name, .. } => name.len(),
            _ => 0,
        }).sum();
        prop_assert_eq!(tap.facts.content_bytes, said as u64);
        prop_assert!(tap.facts.terminated && tap.facts.finished);
        prop_assert_eq!(tap.facts.unreadable_events, 0);
        prop_assert_eq!(tap.facts.usage, before.usage);
    }

    #[test]
    fn any_bytes_pass_the_tap_unchanged_and_read_the_same_however_they_are_cut(
        body in noise(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let chunks = cut(&body, &cuts);
        let tap = tapped(DIALECT, &chunks);
        prop_assert_eq!(&tap, &tapped(DIALECT, &[&body]));
        prop_assert!(is_untouched(&tap, &body), "{tap:?}");
        prop_assert_eq!(decoded(DIALECT, &chunks), decoded(DIALECT, &[&body]));
    }

    #[test]
    fn no_bytes_make_a_peek_or_a_decoder_panic(
        fixture in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let all = fixtures::all("anthropic/requests");
        let mut body = all[fixture.index(all.len())].1.clone();
        let last = body.trim_ascii_end().len() - 1;
        let at = at.index(body.len());
        body[at] = byte;
        let _ = DIALECT.decode_request(&body, &NOWHERE);
        if let Ok(peek) = DIALECT.peek(&body, &NOWHERE) {
            let body = Bytes::from(body.clone());
            let relayed = relay_body(&body, &peek.model_at, "other", peek.inject_usage());
            prop_assert_eq!(DIALECT.peek(&relayed, &NOWHERE).unwrap().model, "other");
        }
        body.truncate(at.min(last));
        prop_assert!(DIALECT.peek(&body, &NOWHERE).is_err());
        prop_assert!(DIALECT.decode_request(&body, &NOWHERE).is_err());
    }

    /// Whatever stands anywhere in a request or an answer, it is decoded or refused, and what is decoded can be
    /// written for any wire.
    #[test]
    fn no_value_in_any_place_makes_anything_panic(
        fixture in any::<prop::sample::Index>(),
        path in vec(any::<prop::sample::Index>(), 0..7),
        new in json(),
        model in prop_oneof![Just("claude-3-opus"), Just("claude-sonnet-4-5"), Just("claude-opus-5"), Just(MODEL)],
    ) {
        for (folder, dialect) in [("anthropic", DIALECT), ("openai_chat", Dialect::OpenAiChat)] {
            let all = fixtures::all(&format!("{folder}/requests"));
            let mut body: Value = serde_json::from_slice(&all[fixture.index(all.len())].1).unwrap();
            replace(&mut body, &path, new.clone());
            let body = body.to_string();
            if let Ok(request) = dialect.decode_request(body.as_bytes(), &NOWHERE) {
                for wire in [DIALECT, Dialect::OpenAiChat] {
                    let (encoded, _) = wire.encode_request(&request, &target(model));
                    prop_assert!(serde_json::from_slice::<Value>(&encoded).is_ok(), "{}", body);
                }
            }
            let all = fixtures::all(&format!("{folder}/replies"));
            let mut body: Value = serde_json::from_slice(&all[fixture.index(all.len())].1).unwrap();
            replace(&mut body, &path, new.clone());
            let body = body.to_string();
            let _ = dialect.usage_of_reply(body.as_bytes());
            if let Ok(response) = dialect.decode_response(body.as_bytes()) {
                for wire in [DIALECT, Dialect::OpenAiChat] {
                    let encoded = wire.encode_response(&response, &context());
                    prop_assert!(serde_json::from_slice::<Value>(&encoded).is_ok(), "{}", body);
                }
            }
        }
    }
}

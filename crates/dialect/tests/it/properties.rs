//! What must hold for anything, not only for the fixtures.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;
use steelyard_core::{Usage, UsageClass};
use steelyard_dialect::chat::{
    ChatRequest, ChatResponse, Choice, FileSource, FinishReason, Json, Media, Message, Part, ResponseFormat,
    Role, Tool, ToolCall, ToolChoice, ToolInput, ToolKind, ToolResult,
};
use steelyard_dialect::{Dialect, ModelAt, ReplyContext, StreamEvent, TapEnd, relay_body};

use crate::fixtures;
use crate::requests::{NOWHERE, SERVER};
use crate::streams::{decoded, tapped};
use crate::wire::{Tapped, cut, is_untouched};

const DIALECT: Dialect = Dialect::OpenAiChat;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,12}", "[a-zäöü秤⚖\\\\\"\n\t\u{1}]{1,8}", Just("\"usage\":null, [DONE]".to_owned())]
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[a-z_]{1,6}", inner, 0..4).prop_map(Value::from_iter),
        ]
    })
    .prop_map(|value| Json::parse(value.to_string()).unwrap())
}

fn json_object() -> impl Strategy<Value = Json> {
    btree_map("[a-z_]{1,6}", json(), 0..4)
        .prop_map(|map| Json::parse(serde_json::to_string(&map).unwrap()).unwrap())
}

/// Members no dialect knows. Null is the same as absent, so it is none of them.
fn extra() -> impl Strategy<Value = BTreeMap<String, Json>> {
    btree_map("x_[a-z]{1,4}", json().prop_filter("null is absent", |json| json.get() != "null"), 0..3)
}

fn base64() -> impl Strategy<Value = String> {
    "([A-Za-z0-9+/]{4}){1,6}"
}

fn user_part() -> impl Strategy<Value = Part> {
    let image = prop_oneof![
        "https://[a-z]{1,9}".prop_map(Media::Url),
        base64().prop_map(|data| Media::Inline { media_type: "image/png".into(), data }),
    ];
    let file = prop_oneof![
        "file-[a-z]{1,5}".prop_map(FileSource::Id),
        (option::of(Just("application/pdf".to_owned())), base64())
            .prop_map(|(media_type, data)| FileSource::Inline { media_type, data }),
    ];
    prop_oneof![
        (text(), extra()).prop_map(|(text, extra)| Part::Text { text, citations: Vec::new(), extra }),
        (image, option::of(Just("high".to_owned())))
            .prop_map(|(source, detail)| Part::Image { source, detail }),
        base64().prop_map(|data| Part::Audio { format: "mp3".into(), data }),
        (file, option::of(text())).prop_map(|(source, filename)| {
            Part::File { source, filename, context: None, citations: false }
        }),
    ]
}

fn input() -> impl Strategy<Value = ToolInput> {
    prop_oneof![text().prop_map(ToolInput::Arguments), text().prop_map(ToolInput::Text)]
}

/// What a model says, in the order of the wire: reasoning, content, refusal, calls.
fn said() -> impl Strategy<Value = Vec<Part>> {
    let calls = vec(("[a-z]{1,6}", input()), 0..3).prop_map(|calls| {
        calls
            .into_iter()
            .enumerate()
            .map(|(number, (name, input))| {
                Part::ToolCall(ToolCall { id: format!("call_{number}"), name, input })
            })
            .collect::<Vec<_>>()
    });
    (option::of(text()), option::of(text()), option::of(text()), calls).prop_map(
        |(reasoning, content, refusal, calls)| {
            let mut parts = Vec::new();
            parts.extend(reasoning.map(Part::reasoning));
            parts.extend(content.map(Part::text));
            parts.extend(refusal.map(|text| Part::Refusal { text }));
            parts.extend(calls);
            parts
        },
    )
}

/// One exchange: a turn of the user, one of the model, and a result for each of its calls.
fn exchange() -> impl Strategy<Value = Vec<Message>> {
    let user = (
        prop_oneof![Just(Role::User), Just(Role::System), Just(Role::Developer)],
        option::of("[a-z]{1,5}"),
        vec(user_part(), 0..3),
        extra(),
    )
        .prop_map(|(role, name, mut content, extra)| {
            if role != Role::User {
                content.retain(|part| matches!(part, Part::Text { .. }));
            }
            Message { role, name, content, extra }
        });
    (user, said(), extra(), vec(text(), 0..3)).prop_map(|(user, said, extra, results)| {
        let calls: Vec<String> = said
            .iter()
            .filter_map(|part| match part {
                Part::ToolCall(call) => Some(call.id.clone()),
                _ => None,
            })
            .collect();
        let mut messages = vec![user, Message { role: Role::Assistant, name: None, content: said, extra }];
        for call_id in calls {
            let content = results.iter().cloned().map(Part::text).collect();
            let result = ToolResult { call_id, content, is_error: false };
            messages.push(Message {
                role: Role::Tool,
                name: None,
                content: vec![Part::ToolResult(result)],
                extra: BTreeMap::new(),
            });
        }
        messages
    })
}

fn tool() -> impl Strategy<Value = ToolKind> {
    prop_oneof![
        (option::of(json_object()), option::of(any::<bool>()))
            .prop_map(|(parameters, strict)| ToolKind::Function { parameters, strict }),
        option::of(json_object()).prop_map(|format| ToolKind::Custom { format }),
    ]
}

fn response_format() -> impl Strategy<Value = ResponseFormat> {
    prop_oneof![
        Just(ResponseFormat::Text),
        Just(ResponseFormat::JsonObject),
        (option::of(json_object()), option::of(any::<bool>()), option::of(text())).prop_map(
            |(schema, strict, description)| ResponseFormat::JsonSchema {
                name: "shape".into(),
                schema,
                strict,
                description
            }
        ),
    ]
}

pub(crate) fn request() -> impl Strategy<Value = ChatRequest> {
    let tools = vec((option::of(text()), tool()), 0..3).prop_map(|tools| {
        tools
            .into_iter()
            .enumerate()
            .map(|(number, (description, kind))| Tool {
                name: format!("tool_{number}"),
                description,
                kind,
                cache: None,
                extra: BTreeMap::new(),
            })
            .collect::<Vec<_>>()
    });
    let numbers = (
        option::of(1..9_999_u64),
        option::of(0.0..=2.0_f64),
        option::of(0.0..=1.0_f64),
        option::of(1..=128_u64),
        option::of(any::<i64>()),
        option::of(-2.0..=2.0_f64),
    );
    let words = (option::of(text()), option::of(text()), option::of(text()), vec(text(), 0..=4));
    let flags = (any::<bool>(), any::<bool>(), option::of(any::<bool>()), option::of(any::<bool>()));
    (
        vec(exchange(), 1..3),
        tools,
        0..6_u8,
        option::of(response_format()),
        numbers,
        words,
        flags,
        extra(),
        extra(),
    )
        .prop_map(
            |(messages, tools, choice, response_format, numbers, words, flags, stream_extra, extra)| {
                let names: Vec<String> = tools.iter().map(|tool| tool.name.clone()).collect();
                let has_tools = !names.is_empty();
                let tool_choice = match (choice, names.first()) {
                    (0, Some(_)) => Some(ToolChoice::None),
                    (1, Some(_)) => Some(ToolChoice::Auto),
                    (2, Some(_)) => Some(ToolChoice::Required),
                    (3, Some(name)) => Some(ToolChoice::Tool(name.clone())),
                    (4, Some(_)) => Some(ToolChoice::Allowed { required: flags.0, names }),
                    _ => None,
                };
                ChatRequest {
                    model: "m".into(),
                    messages: messages.concat(),
                    tools,
                    tool_choice,
                    response_format,
                    max_output_tokens: numbers.0,
                    temperature: numbers.1,
                    top_p: numbers.2,
                    choices: numbers.3,
                    seed: numbers.4,
                    presence_penalty: numbers.5,
                    user: words.0,
                    reasoning_effort: words.1,
                    prompt_cache_key: words.2,
                    stop: words.3,
                    stream: flags.0,
                    include_usage: flags.0,
                    store: flags.2,
                    parallel_tool_calls: flags.3.filter(|_| has_tools),
                    stream_extra: if flags.0 { stream_extra } else { BTreeMap::new() },
                    origin: Some(DIALECT),
                    extra,
                    ..ChatRequest::default()
                }
            },
        )
}

/// Usage as this wire can say it.
fn usage() -> impl Strategy<Value = Usage> {
    vec(0..1_000_000_u64, 7).prop_map(|counts| {
        use UsageClass::{AudioIn, AudioOut, CacheRead, CacheWrite5m, Input, Output, Reasoning};
        [Input, CacheRead, CacheWrite5m, AudioIn, Output, Reasoning, AudioOut]
            .into_iter()
            .zip(counts)
            .collect()
    })
}

fn response() -> impl Strategy<Value = ChatResponse> {
    let choices = vec((said(), extra()), 1..3).prop_map(|choices| {
        choices
            .into_iter()
            .enumerate()
            .map(|(index, (content, extra))| {
                let calls = content.iter().any(|part| matches!(part, Part::ToolCall(_)));
                Choice {
                    index: u32::try_from(index).unwrap(),
                    message: Message { role: Role::Assistant, name: None, content, extra },
                    finish: if calls { FinishReason::ToolCalls } else { FinishReason::Stop },
                    logprobs: None,
                }
            })
            .collect()
    });
    (choices, option::of(usage()), option::of(text())).prop_map(|(choices, usage, service_tier)| {
        ChatResponse {
            id: Some("chatcmpl-1".into()),
            model: "m".into(),
            created: Some(7),
            choices,
            usage,
            service_tier,
            geo: None,
            system_fingerprint: None,
        }
    })
}

/// The events of a well-formed stream.
pub(crate) fn events() -> impl Strategy<Value = Vec<StreamEvent>> {
    let step = prop_oneof![
        (0..2_u32, text()).prop_map(|(choice, text)| StreamEvent::Text { choice, text }),
        (0..2_u32, text()).prop_map(|(choice, text)| StreamEvent::Reasoning { choice, text }),
        (0..2_u32, text()).prop_map(|(choice, text)| StreamEvent::Refusal { choice, text }),
    ];
    let calls = vec(("[a-z]{1,5}", any::<bool>(), vec(text(), 0..3)), 0..3);
    (vec(step, 0..8), calls, option::of(usage())).prop_map(|(mut events, calls, usage)| {
        let called = !calls.is_empty();
        for (call, (name, custom, mut texts)) in (0_u32..).zip(calls) {
            // A call's JSON is never nothing.
            if !custom && texts.is_empty() {
                texts.push("{}".into());
            }
            events.push(StreamEvent::ToolCallStart { choice: 0, call, id: format!("c{call}"), name, custom });
            events.extend(texts.into_iter().map(|text| StreamEvent::ToolCallArguments {
                choice: 0,
                call,
                text,
            }));
        }
        let reason = if called { FinishReason::ToolCalls } else { FinishReason::Length };
        events.push(StreamEvent::Finish { choice: 0, reason });
        events.push(StreamEvent::Finish { choice: 1, reason: FinishReason::Stop });
        events.extend(usage.map(StreamEvent::Usage));
        events
    })
}

fn context() -> ReplyContext {
    ReplyContext {
        id: "chatcmpl-1".into(),
        model: "m".into(),
        created: 7,
        include_usage: true,
        elapsed_ms: 7,
        echo: None,
    }
}

/// What a client gets of a stream that is complete.
fn client(tap: &Tapped) -> Vec<u8> {
    let Ok(TapEnd::Complete(terminal)) = &tap.end else { panic!("{tap:?}") };
    [&tap.passed, terminal.as_ref()].concat()
}

/// Bytes that look like events, so that the interesting cases are met.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"data: ".to_vec()),
        Just(b"data:".to_vec()),
        Just(b"[DONE]".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(b": c".to_vec()),
        Just(b"\xEF\xBB\xBF".to_vec()),
        Just(br#"{"choices":[],"usage":{"prompt_tokens":1}}"#.to_vec()),
        Just(br#"{"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}"#.to_vec()),
        Just(br#"{"choices":[{"index":0,"delta":{"content":"a"#.to_vec()),
        vec(any::<u8>(), 0..5),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_request_keeps_its_meaning(request in request()) {
        let (body, losses) = DIALECT.encode_request(&request, &SERVER);
        prop_assert_eq!(losses, []);
        let again = DIALECT.decode_request(&body, &NOWHERE).map_err(|error| TestCaseError::fail(format!("{error}: {body:?}")))?;
        prop_assert_eq!(again, request);
    }

    #[test]
    fn an_answer_keeps_its_meaning(response in response()) {
        let body = DIALECT.encode_response(&response, &context());
        let facts = DIALECT.usage_of_reply(&body).unwrap();
        prop_assert_eq!(facts.usage, response.usage);
        prop_assert_eq!(DIALECT.decode_response(&body).unwrap(), response);
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
        let chunks = cut(&body, &cuts);
        let (again, end) = decoded(&chunks);
        prop_assert_eq!(end, "complete");
        prop_assert_eq!(&again[1..], events.as_slice());

        let tap = tapped(&chunks, false);
        prop_assert_eq!(client(&tap), body.to_vec());
        let said: usize = events.iter().map(|event| match event {
            StreamEvent::Text { text, .. } | StreamEvent::Reasoning { text, .. } | StreamEvent::Refusal { text, .. }
            | StreamEvent::ToolCallArguments { text, .. } => text.len(),
            StreamEvent::ToolCallStart { name, .. } => name.len(),
            _ => 0,
        }).sum();
        prop_assert_eq!(tap.facts.content_bytes, said as u64);
        prop_assert!(tap.facts.terminated && tap.facts.finished);
        prop_assert_eq!(tap.facts.unreadable_events, 0);
        prop_assert_eq!(tap.facts.usage, events.iter().find_map(|event| match event {
            StreamEvent::Usage(usage) => Some(*usage),
            _ => None,
        }));
    }

    /// With usage hidden, the client reads exactly what it would have read had it not been asked for.
    #[test]
    fn hidden_usage_leaves_no_trace(events in events(), cuts in vec(any::<prop::sample::Index>(), 0..6)) {
        let write = |include_usage| {
            let mut encoder = DIALECT.stream_encoder(ReplyContext { include_usage, ..context() });
            let mut body = BytesMut::new();
            for event in &events {
                encoder.push(event, &mut body);
            }
            encoder.finish(7, &mut body);
            body.freeze()
        };
        let asked = write(true);
        let tap = tapped(&cut(&asked, &cuts), true);
        prop_assert_eq!(client(&tap), write(false).to_vec());
    }

    #[test]
    fn a_splice_changes_only_what_it_must(
        members in btree_map("[a-z_]{1,8}", json(), 0..5),
        options in option::of(prop_oneof![
            Just("null".to_owned()),
            Just("{}".to_owned()),
            Just("{ }".to_owned()),
            Just(r#"{ "include_obfuscation" : true }"#.to_owned()),
            Just(r#"{"include_usage" : false,"x":1}"#.to_owned()),
            Just(r#"{"x":{"include_usage":false},"include_\u0075sage":null}"#.to_owned()),
            Just(r#"{"include_usage":true}"#.to_owned()),
        ]),
        client in text(),
        vendor in text(),
        stream in any::<bool>(),
        order in any::<prop::sample::Index>(),
        gap in prop_oneof![Just(""), Just(" "), Just("\n\t")],
    ) {
        let mut parts: Vec<String> = members
            .iter()
            .filter(|(key, _)| !["n", "model", "messages", "stream", "store"].contains(&key.as_str()))
            .map(|(key, value)| format!("\"{key}\"{gap}:{}", value.get()))
            .collect();
        parts.push(format!("{gap}\"model\":{gap}{}{gap}", serde_json::to_string(&client).unwrap()));
        parts.push(r#""messages":[{"role":"user","content":"model"}]"#.into());
        parts.push(format!("\"stream\":{stream}"));
        parts.extend(options.map(|options| format!("\"stream_options\":{gap}{options}")));
        let turn = order.index(parts.len());
        parts.rotate_left(turn);
        let body = Bytes::from(format!("{gap}{{{}}}{gap}", parts.join(",")));

        let peek = DIALECT.peek(&body, &NOWHERE).unwrap();
        prop_assert_eq!(&peek.model, client.as_str());
        let inject = peek.inject_usage();
        let relayed = relay_body(&body, &peek.model_at, &vendor, inject.clone());
        let mut expected: Value = serde_json::from_slice(&body).unwrap();
        expected["model"] = vendor.clone().into();
        if stream {
            if !expected["stream_options"].is_object() {
                expected["stream_options"] = Value::Object(serde_json::Map::default());
            }
            expected["stream_options"]["include_usage"] = true.into();
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&relayed).unwrap(), expected);
        // What stands before the first and after the last edit is untouched.
        let ModelAt::Body(model_at) = peek.model_at.clone() else { panic!("{peek:?}") };
        let (head, tail) = (model_at.start, body.len() - model_at.end);
        let options = peek.stream_options_at.clone().unwrap_or(model_at);
        let head = if stream { head.min(options.start) } else { head };
        let tail = if stream { tail.min(body.len() - options.end) } else { tail };
        prop_assert_eq!(&relayed[..head], &body[..head]);
        prop_assert_eq!(&relayed[relayed.len() - tail..], &body[body.len() - tail..]);
        let same = relay_body(&body, &peek.model_at, &client, steelyard_dialect::InjectUsage::No);
        let again = DIALECT.peek(&same, &NOWHERE).unwrap();
        prop_assert_eq!(&again.model, client.as_str());
    }

    #[test]
    fn any_bytes_pass_the_tap_unchanged_and_read_the_same_however_they_are_cut(
        body in noise(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let chunks = cut(&body, &cuts);
        let tap = tapped(&chunks, false);
        prop_assert!(is_untouched(&tap, &body), "{tap:?}");
        prop_assert_eq!(&tap, &tapped(&[&body], false));
        prop_assert_eq!(tapped(&chunks, true), tapped(&[&body], true));
        prop_assert_eq!(decoded(&chunks), decoded(&[&body]));
    }

    #[test]
    fn no_bytes_make_a_peek_or_a_decoder_panic(
        fixture in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let all = fixtures::all("openai_chat/requests");
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
}

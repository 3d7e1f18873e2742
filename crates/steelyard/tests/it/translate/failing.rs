//! Vendors that fail, in each client's words: before an answer, in the middle of one, and with another target behind.

use std::time::Duration;

use serde_json::{Value, json};
use steelyard_testkit::{Answer, BadFrame, Chat, End, Gate, Reply, Wire, chat, fault, status};

use super::read::read;
use super::{Mode, Pair, World, hi, hi_with_tools, world, world_with};

/// The status and the name of an error in the client's wire; its shape is checked on the way.
#[track_caller]
pub(crate) fn error(wire: Wire, answer: &Answer) -> (u16, String) {
    let body = answer.json();
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert!(answer.request_id().starts_with("req_"), "{answer:?}");
    let name = match wire {
        Wire::OpenAi => {
            crate::app::is_openai_error(&body["error"]);
            body["error"]["type"].clone()
        }
        Wire::Anthropic => {
            assert_eq!(body["type"], "error", "{body}");
            assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
            assert_eq!(body["request_id"], answer.request_id(), "{body}");
            assert_eq!(answer.header("request-id"), Some(answer.request_id()), "{answer:?}");
            body["error"]["type"].clone()
        }
        Wire::Gemini => {
            assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
            assert_eq!(body["error"]["code"], answer.status, "{body}");
            body["error"]["status"].clone()
        }
        Wire::Bedrock => {
            assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
            let id = answer.header("x-amzn-requestid").unwrap_or_else(|| panic!("{answer:?}"));
            assert_eq!((id.len(), id.matches('-').count()), (36, 4), "a bare UUID: {id}");
            json!(answer.header("x-amzn-errortype").unwrap_or_else(|| panic!("no error type: {answer:?}")))
        }
    };
    (answer.status, name.as_str().unwrap_or_default().to_owned())
}

/// What clients of OpenAI's, Anthropic's, Bedrock's and Gemini's wire read of a vendor's error.
type Told = [(u16, &'static str); 4];

const REFUSED: Told = [
    (400, "invalid_request_error"),
    (400, "invalid_request_error"),
    (400, "ValidationException"),
    (400, "INVALID_ARGUMENT"),
];
const CREDENTIALS: Told =
    [(502, "server_error"), (500, "api_error"), (424, "ModelErrorException"), (502, "INTERNAL")];
const NO_MODEL: Told = [
    (404, "invalid_request_error"),
    (404, "not_found_error"),
    (404, "ResourceNotFoundException"),
    (404, "NOT_FOUND"),
];
const LIMITED: Told = [
    (429, "rate_limit_exceeded"),
    (429, "rate_limit_error"),
    (429, "ThrottlingException"),
    (429, "RESOURCE_EXHAUSTED"),
];
const OVERLOADED: Told = [
    (503, "server_error"),
    (529, "overloaded_error"),
    (503, "ServiceUnavailableException"),
    (503, "UNAVAILABLE"),
];
const TIMED_OUT: Told = [
    (504, "server_error"),
    (504, "timeout_error"),
    (408, "ModelTimeoutException"),
    (504, "DEADLINE_EXCEEDED"),
];
const FAILED: Told =
    [(502, "server_error"), (500, "api_error"), (500, "InternalServerException"), (502, "INTERNAL")];

fn told(told: Told, client: Wire) -> (u16, String) {
    let place = Wire::ALL.iter().position(|wire| *wire == client).unwrap();
    (told[place].0, told[place].1.to_owned())
}

/// A result of a tool that nobody called.
fn result_of_no_call(client: Wire) -> Value {
    let mut body = hi_with_tools(client);
    body[super::conversation(client)] = match client {
        Wire::OpenAi => json!([
            { "role": "user", "content": "hi" },
            { "role": "tool", "tool_call_id": "call_9", "content": "rain" },
        ]),
        Wire::Anthropic => json!([{
            "role": "user",
            "content": [{ "type": "tool_result", "tool_use_id": "call_9", "content": "rain" }],
        }]),
        Wire::Bedrock => json!([{
            "role": "user",
            "content": [{ "toolResult": { "toolUseId": "call_9", "content": [{ "text": "rain" }] } }],
        }]),
        Wire::Gemini => json!([{
            "role": "user",
            "parts": [{ "functionResponse": { "id": "call_9", "name": "f", "response": { "output": "rain" } } }],
        }]),
    };
    body
}

/// Of its own wire, the vendor says so; before a translation, Steelyard.
#[tokio::test]
async fn a_tool_result_without_its_call_is_refused_in_the_clients_words_and_is_free() {
    let world = world().await;
    for pair in Pair::all() {
        let sent = world.vendor(pair.vendor).count();
        let relayed = pair.client == pair.vendor;
        if relayed && pair.vendor == Wire::OpenAi {
            // The others insist on it by themselves.
            world.vendor(Wire::OpenAi).next(status(400).message("`call_9` is the result of no call"));
        }
        let answer = world.ask(pair, &result_of_no_call(pair.client)).await;
        assert_eq!(error(pair.client, &answer), told(REFUSED, pair.client), "{pair:?}: {}", answer.text());
        // On Google's wire calls are known by the names of what they call.
        let named = match (pair.client, relayed) {
            (Wire::Gemini, true) => "the number of function response parts",
            (Wire::Gemini, false) => "contents[0].parts[0].functionResponse",
            _ => "call_9",
        };
        assert!(answer.text().contains(named), "{pair:?}: {}", answer.text());
        assert_eq!(world.vendor(pair.vendor).count(), sent + usize::from(relayed), "{pair:?}");
        if relayed {
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!((&*entry.outcome, entry.pico()), ("upstream_error", Some(0)), "{pair:?}: {entry:#?}");
        }
    }
    let relayed = 2 * Wire::ALL.len();
    assert_eq!(world.server.settled_entries().await.len(), relayed, "what was not sent is not booked");
}

/// A call that goes well, so that five failures in a row do not put the target to rest.
async fn well(world: &World, pair: Pair) {
    let answer = world.ask(pair, &hi(pair.client)).await;
    assert_eq!(answer.status, 200, "{pair:?}: {}", answer.text());
}

#[tokio::test]
async fn vendors_errors_have_the_clients_shape_status_and_name() {
    let world = world().await;
    let cases = [
        (400, REFUSED),
        (401, CREDENTIALS),
        (403, CREDENTIALS),
        (404, NO_MODEL),
        (429, LIMITED),
        (500, FAILED),
        (503, OVERLOADED),
        (504, TIMED_OUT),
    ];
    for pair in Pair::translated() {
        for (code, expected) in cases {
            world.vendor(pair.vendor).next(status(code).message("the vendor's own words"));
            let answer = world.ask(pair, &hi(pair.client)).await;
            assert_eq!(
                error(pair.client, &answer),
                told(expected, pair.client),
                "{pair:?} {code}: {}",
                answer.text()
            );
            well(&world, pair).await;
            let shown = answer.text().contains("the vendor's own words");
            assert_eq!(shown, code == 400 || code >= 500, "{pair:?} {code}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_vendors_refusal_reaches_a_client_of_its_own_wire_in_its_own_words() {
    let world = world().await;
    for pair in Pair::all().filter(|pair| pair.client == pair.vendor) {
        for code in [400, 404, 429] {
            world.vendor(pair.vendor).next(status(code).message("the vendor's own words"));
            let answer = world.ask(pair, &hi(pair.client)).await;
            assert_eq!(error(pair.client, &answer).0, code, "{pair:?}: {}", answer.text());
            assert!(answer.text().contains("the vendor's own words"), "{pair:?}: {}", answer.text());
            well(&world, pair).await;
        }
        world.vendor(pair.vendor).next(status(401));
        let answer = world.ask(pair, &hi(pair.client)).await;
        assert_eq!(error(pair.client, &answer), told(CREDENTIALS, pair.client), "{pair:?}");
        well(&world, pair).await;
    }
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_told_in_words_that_agents_know() {
    let world = world().await;
    for pair in Pair::all() {
        let message = match pair.vendor {
            Wire::OpenAi => {
                "This model's maximum context length is 1000 tokens. However, your messages resulted in 2000 tokens."
            }
            Wire::Anthropic => "prompt is too long: 2000 tokens > 1000 maximum",
            Wire::Gemini => {
                "The input token count (2000) exceeds the maximum number of tokens allowed (1000)."
            }
            Wire::Bedrock => "Input is too long for requested model.",
        };
        let mut body = pair.vendor.error_body(400, message);
        if pair.vendor == Wire::OpenAi {
            body["error"]["code"] = json!("context_length_exceeded");
        }
        world.vendor(pair.vendor).next(status(400).body("application/json", body.to_string()));
        let answer = world.ask(pair, &hi(pair.client)).await;
        assert_eq!(answer.status, 400, "{pair:?}: {}", answer.text());
        let known = match pair.client {
            Wire::OpenAi => "context_length_exceeded",
            Wire::Anthropic => "prompt is too long",
            Wire::Gemini => "exceeds the maximum number of tokens",
            Wire::Bedrock => "nput is too long",
        };
        assert!(answer.text().contains(known), "{pair:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_vendors_wish_to_wait_is_passed_on() {
    let world = world().await;
    for pair in Pair::all() {
        for code in [429, 503] {
            world.vendor(pair.vendor).next(status(code).header("retry-after", "7"));
            let answer = world.ask(pair, &hi(pair.client)).await;
            assert_eq!(answer.header("retry-after"), Some("7"), "{pair:?} {code}: {answer:?}");
            assert_eq!(answer.header("retry-after-ms"), Some("7000"), "{pair:?} {code}: {answer:?}");
            well(&world, pair).await;
        }
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_or_break_off_are_the_vendors_failure() {
    let world = world().await;
    let broken: [(&str, Reply); 6] = [
        ("html", fault::html()),
        ("cut JSON", fault::invalid_json()),
        ("closed in the body", fault::close_in_body()),
        ("closed before the head", fault::close_before_head()),
        ("not HTTP", fault::garbage()),
        ("JSON of another shape", Reply::json(200, &json!({ "hello": [1] }))),
    ];
    for pair in Pair::all() {
        for (name, reply) in &broken {
            world.vendor(pair.vendor).next(reply.clone());
            let answer = world.ask(pair, &hi(pair.client)).await;
            let (status, kind) = error(pair.client, &answer);
            let expected = told(CREDENTIALS, pair.client);
            assert_eq!((status, kind), expected, "{pair:?} {name}: {}", answer.text());
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!(entry.outcome, "upstream_error", "{pair:?} {name}: {entry:#?}");
            well(&world, pair).await;
        }
    }
}

#[tokio::test]
async fn silence_is_a_time_out_in_the_clients_words() {
    let world =
        super::world_of("timeouts = { first_byte = \"400ms\", idle = \"400ms\" }", |config| config).await;
    for pair in Pair::all() {
        world.vendor(pair.vendor).next(fault::hang_before_head());
        let answer = world.ask(pair, &hi(pair.client)).await;
        assert_eq!(error(pair.client, &answer), told(TIMED_OUT, pair.client), "{pair:?}: {}", answer.text());
        let entry = world.server.entry(answer.request_id()).await;
        assert_eq!(entry.outcome, "timeout", "{pair:?}: {entry:#?}");
        well(&world, pair).await;
        if pair.mode == Mode::Streamed {
            world.vendor(pair.vendor).next(chat().texts(["some ", "words"]).wait(&Gate::new()).text("never"));
            let answer = world.ask(pair, &hi(pair.client)).await;
            let said = read(pair, &answer);
            assert_eq!(said.text, "some words", "{pair:?}");
            assert!(
                said.error.is_some_and(|error| error.to_string().contains("SY0302")),
                "{pair:?}: {}",
                answer.text()
            );
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!(entry.outcome, "timeout", "{pair:?}: {entry:#?}");
            well(&world, pair).await;
        }
    }
}

/// How a stream goes wrong after two pieces of text.
fn broken_streams(vendor: Wire) -> Vec<(String, Chat)> {
    let begun = || chat().texts(["some ", "words"]).usage(10, 5);
    let mut all = vec![
        ("the vendor's error".to_owned(), begun().fail("on fire")),
        ("closed".to_owned(), begun().cut(End::Close).text("never")),
        ("reset".to_owned(), begun().cut(End::Reset).text("never")),
        ("ended in order".to_owned(), begun().cut(End::Whole).text("never")),
    ];
    match vendor {
        Wire::OpenAi | Wire::Anthropic | Wire::Gemini => {
            all.push(("no JSON".to_owned(), begun().raw("event: x\ndata: {nonsense\n\n").text("never")));
            all.push((
                "half an event".to_owned(),
                begun().raw("data: {\"half").cut(End::Whole).text("never"),
            ));
        }
        Wire::Bedrock => {
            let bad = BadFrame::ALL.map(|bad| (format!("{bad:?}"), begun().bad_frame(bad).text("never")));
            all.extend(bad);
        }
    }
    all
}

#[tokio::test]
async fn streams_that_break_end_as_the_clients_wire_says_and_never_look_complete() {
    let world = world().await;
    for pair in Pair::streamed() {
        for (name, script) in broken_streams(pair.vendor) {
            world.vendor(pair.vendor).next(script);
            let answer = world.ask(pair, &hi(pair.client)).await;
            let said = read(pair, &answer);
            assert_eq!(said.text, "some words", "{pair:?} {name}: {}", answer.text());
            let error = said.error.unwrap_or_else(|| panic!("{pair:?} {name}: {}", answer.text()));
            let told = match pair.client {
                Wire::OpenAi | Wire::Anthropic => &error["error"]["type"],
                Wire::Gemini => &error["error"]["status"],
                Wire::Bedrock => &error["name"],
            };
            if pair.client != pair.vendor || name != "the vendor's error" {
                let expected = match pair.client {
                    Wire::OpenAi => "server_error",
                    Wire::Anthropic => "api_error",
                    Wire::Gemini => "INTERNAL",
                    Wire::Bedrock => "modelStreamErrorException",
                };
                assert_eq!(told, expected, "{pair:?} {name}: {error}");
                assert!(error.to_string().contains("SY03"), "{pair:?} {name}: {error}");
            }
            if name == "the vendor's error" {
                assert!(error.to_string().contains("on fire"), "{pair:?}: {error}");
            }
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!(entry.outcome, "upstream_error", "{pair:?} {name}: {entry:#?}");
            assert_eq!(entry.statuses(), ["cut"], "{pair:?} {name}: {entry:#?}");
            assert!(entry.used("output") > 0, "{pair:?} {name}: what passed is counted: {entry:#?}");
            well(&world, pair).await;
        }
    }
    for wire in Wire::ALL {
        world.vendor(wire).is_idle(4).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_translated_stream_ends_it_upstream_too() {
    let world = world().await;
    for pair in Pair::streamed() {
        let before = world.vendor(pair.vendor).aborted();
        world.vendor(pair.vendor).next(chat().texts(["some ", "words"]).wait(&Gate::new()).text("never"));
        let mut stream = world.open(pair, &hi(pair.client), &[]).await;
        stream.until_bytes("words").await;
        let id = stream.request_id();
        drop(stream);
        world.vendor(pair.vendor).is_aborted(before + 1).await;
        let entry = world.server.entry(&id).await;
        assert_eq!(
            (entry.outcome.as_str(), entry.basis.as_deref()),
            ("client_gone", Some("counted")),
            "{pair:?}: {entry:#?}"
        );
        assert!(
            entry.used("output") > 0 && entry.pico().is_some_and(|pico| pico > 0),
            "{pair:?}: {entry:#?}"
        );
    }
}

#[tokio::test]
async fn another_target_on_another_wire_takes_over() {
    let world = world_with(|config| {
        let config =
            config.route("anthropic-first", &["anthropic/m", "openai/m", "bedrock/m"], "retries = 0");
        let config = config.route("gemini-first", &["gemini/m", "bedrock/m"], "retries = 0");
        let config = config.route("openai-first", &["openai/m", "gemini/m"], "retries = 0");
        config.route("bedrock-first", &["bedrock/m", "anthropic/m"], "retries = 0")
    })
    .await;
    let client = world.server.admin();
    for wire in Wire::ALL {
        for mode in [Mode::Whole, Mode::Streamed] {
            // What was sent and not refused may have been billed.
            let cases: [(&str, Wire, Reply, Wire, bool); 7] = [
                ("anthropic-first", Wire::Anthropic, status(529).into(), Wire::OpenAi, true),
                ("anthropic-first", Wire::Anthropic, fault::close_before_head(), Wire::OpenAi, false),
                ("bedrock-first", Wire::Bedrock, status(424).into(), Wire::Anthropic, true),
                ("bedrock-first", Wire::Bedrock, status(403).into(), Wire::Anthropic, true),
                ("gemini-first", Wire::Gemini, status(503).into(), Wire::Bedrock, true),
                ("gemini-first", Wire::Gemini, fault::close_before_head(), Wire::Bedrock, false),
                ("openai-first", Wire::OpenAi, status(500).into(), Wire::Gemini, true),
            ];
            for (route, first, reply, second, free) in cases {
                let pair = Pair { client: wire, vendor: second, mode };
                world.vendor(first).next(reply);
                world.vendor(second).next(chat().text("from the second").usage(10, 5));
                let answer = client.send(super::request(&client, wire, route, mode, &hi(wire))).await;
                assert_eq!(super::read::said(pair, &answer).text, "from the second", "{pair:?} {route}");
                assert_eq!(answer.header("x-steelyard-attempts"), Some("2"), "{pair:?}");
                let entry = world.server.entry(answer.request_id()).await;
                assert_eq!(entry.outcome, "ok", "{entry:#?}");
                assert_eq!(
                    (entry.attempts.len(), entry.attempts[1].status.as_str()),
                    (2, "ok"),
                    "{entry:#?}"
                );
                let second_alone = 10 * 1_000_000 + 5 * 2_000_000;
                assert_eq!(entry.pico() == Some(second_alone), free, "{pair:?}: {entry:#?}");
                well(&world, Pair { client: wire, vendor: first, mode }).await;
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_word_is_taken_over_too() {
    let world = world_with(|config| {
        let config = config.route("anthropic-first", &["anthropic/m", "bedrock/m"], "retries = 0");
        config.route("gemini-first", &["gemini/m", "bedrock/m"], "retries = 0")
    })
    .await;
    let client = world.server.admin();
    for (wire, first, route) in Wire::ALL.into_iter().flat_map(|wire| {
        [(Wire::Anthropic, "anthropic-first"), (Wire::Gemini, "gemini-first")]
            .map(|(first, route)| (wire, first, route))
    }) {
        let overloaded: Value =
            first.error_body(if first == Wire::Anthropic { 529 } else { 503 }, "Overloaded");
        world.vendor(first).next(chat().error_after(0, overloaded));
        world.vendor(Wire::Bedrock).next(chat().text("from the second"));
        let pair = Pair { client: wire, vendor: Wire::Bedrock, mode: Mode::Streamed };
        let answer = client.send(super::request(&client, wire, route, Mode::Streamed, &hi(wire))).await;
        assert_eq!(super::read::said(pair, &answer).text, "from the second", "{wire:?} {route}");
        well(&world, Pair { vendor: first, ..pair }).await;
    }
}

#[tokio::test]
async fn quiet_streams_are_kept_open_where_the_wire_has_a_way() {
    let world = world().await;
    let pairs = Wire::ALL.map(|client| {
        let vendor = if client == Wire::Bedrock { Wire::Anthropic } else { Wire::Bedrock };
        Pair { client, vendor, mode: Mode::Streamed }
    });
    for pair in pairs {
        world
            .vendor(pair.vendor)
            .on("m", chat().text("before").pause(Duration::from_secs(17)).text(" after"));
    }
    let [one, two, three, four] = pairs.map(|pair| {
        let world = &world;
        async move { (pair, world.ask(pair, &hi(pair.client)).await) }
    });
    let (one, two, three, four) = tokio::join!(one, two, three, four);
    for (pair, answer) in [one, two, three, four] {
        assert_eq!(super::read::said(pair, &answer).text, "before after", "{pair:?}");
        let beats = match pair.client {
            Wire::OpenAi => answer.text().matches(": keep-alive").count(),
            Wire::Anthropic => answer.text().matches("event: ping").count(),
            // Google's SDKs break on anything but data.
            Wire::Gemini | Wire::Bedrock => 1,
        };
        assert!(beats >= 1, "{pair:?}: {}", answer.text());
    }
}

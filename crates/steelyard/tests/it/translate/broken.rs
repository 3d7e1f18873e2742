//! Vendors whose streams and errors are not as they should be: what their clients get, and what is charged.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use steelyard_testkit::{Answer, End, Gate, Reply, Sse, Wire, chat, fault, frame, frames, sse, status};

use super::failing::error;
use super::read::{read, said};
use super::{Mode, Pair, World, hi, route, world, world_of, world_with};

/// A vendor's event; `name` is that of Anthropic's and Bedrock's wires.
fn event(wire: Wire, name: &str, data: &[u8]) -> Vec<u8> {
    match wire {
        Wire::OpenAi | Wire::Gemini => [b"data: ", data, b"\n\n"].concat(),
        Wire::Anthropic => [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"].concat(),
        Wire::Bedrock => {
            let headers =
                [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
            frame(&headers, data).to_vec()
        }
    }
}

/// An exception of Bedrock's, or an error event of the other wires.
fn failure(wire: Wire, kind: &str, data: &Value) -> Vec<u8> {
    match wire {
        Wire::OpenAi | Wire::Anthropic | Wire::Gemini => event(wire, "error", data.to_string().as_bytes()),
        Wire::Bedrock => {
            let headers = [
                (":exception-type", kind),
                (":content-type", "application/json"),
                (":message-type", "exception"),
            ];
            frame(&headers, data.to_string().as_bytes()).to_vec()
        }
    }
}

fn stream(wire: Wire) -> Sse {
    if wire == Wire::Bedrock { frames() } else { sse() }
}

/// A stream of these events and nothing more.
pub(super) fn told(wire: Wire, events: &[(&str, Value)]) -> Reply {
    let add = |stream: Sse, (name, data): &(&str, Value)| {
        stream.raw(event(wire, name, data.to_string().as_bytes()))
    };
    events.iter().fold(stream(wire), add).into()
}

/// Deltas that say "never", each broken in another way.
fn broken_deltas(wire: Wire) -> Vec<Vec<u8>> {
    let (name, good): (_, &[u8]) = match wire {
        Wire::OpenAi => {
            ("", br#"{"model":"m","choices":[{"index":0,"delta":{"content":"never"},"finish_reason":null}]}"#)
        }
        Wire::Anthropic => (
            "content_block_delta",
            br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"never"}}"#,
        ),
        Wire::Bedrock => ("contentBlockDelta", br#"{"contentBlockIndex":0,"delta":{"text":"never"}}"#),
        Wire::Gemini => {
            ("", br#"{"candidates":[{"content":{"parts":[{"text":"never"}],"role":"model"},"index":0}]}"#)
        }
    };
    let at = good.windows(5).position(|word| word == b"never").unwrap();
    let spoilt = |word: &[u8]| [&good[..at], word, &good[at + 5..]].concat();
    let mut all =
        [good[..good.len() - 1].to_vec(), spoilt(b"ne\xFFer"), spoilt(b"never\""), b"<html>never".to_vec()]
            .map(|data| event(wire, name, &data))
            .to_vec();
    if wire != Wire::Bedrock {
        // What is no data is text, too.
        all.extend([b": never \xFF\n\n".to_vec(), [b"id: \xFF\ndata: ", good, b"\n\n"].concat()]);
    }
    all
}

fn pair(wire: Wire) -> Pair {
    Pair { client: wire, vendor: wire, mode: Mode::Streamed }
}

/// Routes `WIRE-first` over the vendor of a wire and then another one.
async fn two_targets() -> World {
    world_with(|config| {
        let config = config.route("openai-first", &["openai/m", "anthropic/m"], "retries = 0");
        let config = config.route("anthropic-first", &["anthropic/m", "bedrock/m"], "retries = 0");
        let config = config.route("gemini-first", &["gemini/m", "openai/m"], "retries = 0");
        config.route("bedrock-first", &["bedrock/m", "gemini/m"], "retries = 0")
    })
    .await
}

fn first_then(wire: Wire) -> (&'static str, Wire) {
    match wire {
        Wire::OpenAi => ("openai-first", Wire::Anthropic),
        Wire::Anthropic => ("anthropic-first", Wire::Bedrock),
        Wire::Bedrock => ("bedrock-first", Wire::Gemini),
        Wire::Gemini => ("gemini-first", Wire::OpenAi),
    }
}

async fn ask_route(world: &World, client: Wire, route: &str) -> Answer {
    let admin = world.server.admin();
    admin.send(super::request(&admin, client, route, Mode::Streamed, &hi(client))).await
}

#[tokio::test]
async fn a_relayed_event_that_is_no_json_is_kept_back_and_ends_the_stream() {
    let world = world().await;
    for wire in Wire::ALL {
        for (number, bad) in broken_deltas(wire).into_iter().enumerate() {
            let before = world.vendor(wire).aborted();
            // The vendor would go on for ever: only its connection's end ends it.
            let script = chat().texts(["some ", "words"]).raw(bad).wait(&Gate::new()).text("never");
            world.vendor(wire).next(script);
            let answer = world.ask(pair(wire), &hi(wire)).await;
            let said = read(pair(wire), &answer);
            assert_eq!(said.text, "some words", "{wire:?} {number}");
            let shown = answer.text();
            assert!(!shown.contains("never") && shown.contains("SY0305"), "{wire:?} {number}: {shown}");
            assert!(shown.contains(answer.request_id()), "{wire:?} {number}: {shown}");
            world.vendor(wire).is_aborted(before + 1).await;
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!(
                (entry.outcome.as_str(), entry.statuses()[0]),
                ("upstream_error", "cut"),
                "{entry:#?}"
            );
            assert_eq!(entry.basis.as_deref(), Some("counted"), "{wire:?} {number}: {entry:#?}");
            assert!((2..=3).contains(&entry.used("output")), "{wire:?} {number}: {entry:#?}");
            // Five failures in a row would put the target to rest.
            assert_eq!(world.ask(pair(wire), &hi(wire)).await.status, 200, "{wire:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_what_is_no_json_goes_to_the_next_target() {
    let world = two_targets().await;
    for wire in Wire::ALL {
        let (route, next) = first_then(wire);
        let bad = broken_deltas(wire).swap_remove(0);
        world.vendor(wire).next(stream(wire).raw(bad));
        world.vendor(next).next(chat().text("from the second"));
        let answer = ask_route(&world, wire, route).await;
        assert_eq!(said(pair(wire), &answer).text, "from the second", "{wire:?}");
        let entry = world.server.entry(answer.request_id()).await;
        assert_eq!(entry.statuses(), ["cut", "ok"], "{wire:?}: {entry:#?}");
    }
}

/// A vendor's error as the first event of its stream, and the status that it would have had.
fn first_errors(wire: Wire) -> Vec<(u16, Vec<u8>)> {
    let words = "the vendor's own words";
    match wire {
        Wire::OpenAi => {
            let told = |kind: &str, code: Value| {
                failure(
                    wire,
                    "",
                    &json!({ "error": { "message": words, "type": kind, "param": null, "code": code } }),
                )
            };
            vec![
                (400, told("invalid_request_error", json!("unsupported_value"))),
                (401, told("invalid_request_error", json!("invalid_api_key"))),
                (404, told("invalid_request_error", json!("model_not_found"))),
                (429, told("requests", json!("rate_limit_exceeded"))),
                (500, told("server_error", Value::Null)),
                (503, told("server_error", json!(503))),
                (504, told("timeout", json!(504))),
            ]
        }
        Wire::Anthropic => [400, 401, 403, 404, 413, 429, 500, 504, 529]
            .map(|code| (code, failure(wire, "", &wire.error_body(code, words))))
            .to_vec(),
        Wire::Bedrock => [
            (400, "validationException"),
            (408, "modelTimeoutException"),
            (424, "modelStreamErrorException"),
            (429, "throttlingException"),
            (500, "internalServerException"),
            (503, "serviceUnavailableException"),
        ]
        .map(|(code, kind)| (code, failure(wire, kind, &json!({ "message": words }))))
        .to_vec(),
        Wire::Gemini => [400, 401, 403, 404, 429, 500, 503, 504]
            .map(|code| (code, failure(wire, "", &wire.error_body(code, words))))
            .to_vec(),
    }
}

#[tokio::test]
async fn an_error_that_begins_a_stream_is_the_error_of_its_status() {
    let world = world().await;
    for vendor in Wire::ALL {
        for client in Wire::ALL {
            let pair = Pair { client, vendor, mode: Mode::Streamed };
            for (code, first) in first_errors(vendor) {
                let status = status(code).message("the vendor's own words").header("retry-after", "7");
                world.vendor(vendor).next(status);
                let expected = world.ask(pair, &hi(client)).await;
                assert_eq!(world.ask(pair, &hi(client)).await.status, 200, "{pair:?}");
                let begun = stream(vendor).header("retry-after", "7").raw(first);
                // Some leave the connection open behind it, and some send their end.
                let begun = if code == 429 { begun.ends_here(End::Hang) } else { begun };
                world.vendor(vendor).next(if vendor == Wire::OpenAi { begun.done() } else { begun });
                let answer = world.ask(pair, &hi(client)).await;
                let name = format!("{pair:?} {code}: {} not {}", answer.text(), expected.text());
                assert_eq!(error(client, &answer), error(client, &expected), "{name}");
                assert_eq!(answer.header("retry-after"), expected.header("retry-after"), "{name}");
                let quoted = |answer: &Answer| answer.text().contains("the vendor's own words");
                assert_eq!(quoted(&answer), quoted(&expected), "{name}");
                let entry = world.server.entry(answer.request_id()).await;
                assert_eq!((entry.statuses(), entry.pico()), (vec!["http_error"], Some(0)), "{entry:#?}");
                assert_eq!(world.ask(pair, &hi(client)).await.status, 200, "{pair:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_error_in_a_whole_answer_of_status_200_is_the_error_of_its_status_too() {
    let world = world().await;
    for (client, mode) in
        Wire::ALL.into_iter().flat_map(|client| [(client, Mode::Whole), (client, Mode::Streamed)])
    {
        for (vendor, code, body) in [
            (Wire::OpenAi, 429, Wire::OpenAi.error_body(429, "slow down")),
            (Wire::Anthropic, 529, Wire::Anthropic.error_body(529, "slow down")),
            (Wire::Gemini, 503, Wire::Gemini.error_body(503, "slow down")),
            (Wire::Bedrock, 503, json!({ "__type": "ServiceUnavailableException", "message": "slow down" })),
        ] {
            let pair = Pair { client, vendor, mode };
            world.vendor(vendor).next(status(code).message("slow down"));
            let expected = world.ask(pair, &hi(client)).await;
            assert_eq!(world.ask(pair, &hi(client)).await.status, 200, "{pair:?}");
            world.vendor(vendor).next(Reply::json(200, &body));
            let answer = world.ask(pair, &hi(client)).await;
            assert_eq!(error(client, &answer), error(client, &expected), "{pair:?}: {}", answer.text());
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!((entry.statuses(), entry.pico()), (vec!["http_error"], Some(0)), "{entry:#?}");
            assert_eq!(world.ask(pair, &hi(client)).await.status, 200, "{pair:?}");
        }
    }
}

#[tokio::test]
async fn signs_of_life_do_not_commit_a_call_to_a_target() {
    let world = two_targets().await;
    for wire in [Wire::OpenAi, Wire::Anthropic] {
        let (route, next) = first_then(wire);
        let overloaded = wire.error_body(529, "Overloaded");
        let alive = stream(wire).comment("ping").pause(Duration::from_millis(200));
        let alive = match wire {
            Wire::Anthropic => {
                alive.event("ping", &json!({ "type": "ping" })).pause(Duration::from_millis(200))
            }
            Wire::OpenAi | Wire::Bedrock | Wire::Gemini => alive,
        };
        world.vendor(wire).next(alive.clone().raw(failure(wire, "", &overloaded)));
        world.vendor(next).next(chat().text("from the second"));
        let answer = ask_route(&world, wire, route).await;
        assert_eq!(said(pair(wire), &answer).text, "from the second", "{wire:?}: {}", answer.text());
        let entry = world.server.entry(answer.request_id()).await;
        assert_eq!(entry.statuses(), ["http_error", "ok"], "{wire:?}: {entry:#?}");

        // One that only breaks off behind them does not either.
        world.vendor(wire).next(alive.ends_here(End::Close));
        world.vendor(next).next(chat().text("from the second"));
        let answer = ask_route(&world, wire, route).await;
        assert_eq!(said(pair(wire), &answer).text, "from the second", "{wire:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn signs_of_life_are_held_back_for_a_while_only() {
    let world = world().await;
    let gate = Gate::new();
    world.vendor(Wire::OpenAi).next(sse().comment("first sign").wait(&gate).done());
    let begun = Instant::now();
    let mut stream = world.open(pair(Wire::OpenAi), &hi(Wire::OpenAi), &[]).await;
    stream.until_bytes(": first sign").await;
    assert!(begun.elapsed() >= Duration::from_secs(10), "passed on after {:?}", begun.elapsed());
    gate.open();
    assert_eq!(stream.finish().await.status, 200);
}

#[tokio::test]
async fn a_bedrock_stream_that_closes_within_a_frame_is_cut_wherever_that_is() {
    let world = world().await;
    let metadata = json!({ "usage": { "inputTokens": 10, "outputTokens": 5, "totalTokens": 15 } });
    let metadata = event(Wire::Bedrock, "metadata", metadata.to_string().as_bytes());
    for client in Wire::ALL {
        let pair = Pair { client, vendor: Wire::Bedrock, mode: Mode::Streamed };
        for length in [3, 40, metadata.len() - 1] {
            let begun = [
                ("messageStart", json!({ "role": "assistant" })),
                ("contentBlockDelta", json!({ "contentBlockIndex": 0, "delta": { "text": "some words" } })),
                ("messageStop", json!({ "stopReason": "end_turn" })),
            ];
            let add = |stream: Sse, (name, data): (&str, Value)| {
                stream.raw(event(Wire::Bedrock, name, data.to_string().as_bytes()))
            };
            let cut = begun.into_iter().fold(frames(), add).raw(metadata[..length].to_vec());
            world.vendor(Wire::Bedrock).next(cut);
            let answer = world.ask(pair, &hi(client)).await;
            let said = read(pair, &answer);
            assert_eq!(said.text, "some words", "{pair:?} {length}");
            let told = said.error.unwrap_or_else(|| panic!("{pair:?} {length}: {}", answer.text()));
            assert!(told.to_string().contains("SY0306"), "{pair:?} {length}: {told}");
            assert!(!answer.text().contains("[DONE]") && !answer.text().contains("messageStop"));
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!(
                (entry.outcome.as_str(), entry.statuses()[0]),
                ("upstream_error", "cut"),
                "{entry:#?}"
            );
            assert_eq!(world.ask(pair, &hi(client)).await.status, 200, "{pair:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_charged_by_its_text_alone() {
    let world = world().await;
    let half = |text: &str| status(200).body("application/json", text.to_owned());
    for pair in Pair::all().filter(|pair| pair.mode == Mode::Whole) {
        let begun = match pair.vendor {
            Wire::OpenAi => {
                r#"{"id":"chatcmpl-0123456789","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"some words"#
            }
            Wire::Anthropic => {
                r#"{"id":"msg_0123456789","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"some words"#
            }
            Wire::Bedrock => {
                r#"{"metrics":{"latencyMs":1},"output":{"message":{"role":"assistant","content":[{"text":"some words"#
            }
            Wire::Gemini => {
                r#"{"responseId":"a0123456789","candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"some words"#
            }
        };
        for (reply, output) in [
            (half(begun).into(), 3),
            (fault::invalid_json(), 0),
            (fault::html(), 0),
            (fault::close_in_body(), 0),
            (Reply::json(200, &json!({ "hello": ["a long text that is none of a model's"] })), 0),
        ] {
            world.vendor(pair.vendor).next(reply.clone());
            let answer = world.ask(pair, &hi(pair.client)).await;
            assert!(answer.status >= 424, "{pair:?} {reply:?}: {}", answer.text());
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!(entry.used("output"), output, "{pair:?} {reply:?}: {entry:#?}");
            assert!(entry.used("input") > 0, "the prompt was sent: {pair:?} {reply:?}: {entry:#?}");
            assert_eq!(world.ask(pair, &hi(pair.client)).await.status, 200, "{pair:?}");
        }
    }
}

#[tokio::test]
async fn a_vendors_error_amid_a_stream_is_its_own_in_its_wire_and_ours_in_others() {
    let world = world().await;
    let kinds: [(Wire, u16, &str); 4] = [
        (Wire::OpenAi, 500, ""),
        (Wire::Anthropic, 529, ""),
        (Wire::Gemini, 503, ""),
        (Wire::Bedrock, 503, "serviceUnavailableException"),
    ];
    for (vendor, code, kind) in kinds {
        let words = "the vendor's own words";
        let data = vendor.error_body(code, words);
        for client in Wire::ALL {
            let pair = Pair { client, vendor, mode: Mode::Streamed };
            let failed = failure(vendor, kind, &data);
            world.vendor(vendor).next(chat().texts(["some ", "words"]).raw(failed.clone()).cut(End::Whole));
            let answer = world.ask(pair, &hi(client)).await;
            let shown = answer.text();
            assert_eq!(read(pair, &answer).text, "some words", "{pair:?}: {shown}");
            if client == vendor {
                assert!(answer.body.ends_with(&failed), "untouched, and the last: {pair:?}: {shown}");
                assert!(!shown.contains("SY03"), "{pair:?}: {shown}");
            } else {
                let ours = if code == 500 { "SY0304" } else { "SY0311" };
                assert!(shown.contains(ours) && shown.contains(answer.request_id()), "{pair:?}: {shown}");
                assert!(shown.contains(words), "{pair:?}: {shown}");
            }
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!(
                (entry.outcome.as_str(), entry.statuses()[0]),
                ("upstream_error", "cut"),
                "{entry:#?}"
            );
            assert_eq!(world.ask(pair, &hi(client)).await.status, 200, "{pair:?}");
        }
    }
}

#[tokio::test]
async fn an_error_before_a_done_is_no_success() {
    let world = world().await;
    let failed = Wire::OpenAi.error_body(500, "on fire").to_string();
    world.vendor(Wire::OpenAi).next(chat().texts(["some ", "words"]).raw(format!("data: {failed}\n\n")));
    let answer = world.ask(pair(Wire::OpenAi), &hi(Wire::OpenAi)).await;
    assert!(answer.text().contains("on fire"), "{}", answer.text());
    let entry = world.server.entry(answer.request_id()).await;
    assert_eq!(entry.outcome, "upstream_error", "{entry:#?}");
}

#[tokio::test]
async fn a_status_is_shown_as_its_number() {
    let world = world().await;
    for code in [529, 502] {
        world.vendor(Wire::OpenAi).next(status(code));
        let answer = world.ask(Pair { mode: Mode::Whole, ..pair(Wire::OpenAi) }, &hi(Wire::OpenAi)).await;
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains(&format!("status {code}: ")) || message.contains(&format!("(status {code}): ")),
            "{message}"
        );
    }
    assert!(!world.server.log().contains("unknown status code"), "{}", world.server.log());
}

#[tokio::test]
async fn a_failure_inside_a_stream_is_told_without_secrets() {
    let own = "proxy-word-7";
    let world = world_of(&format!("headers = {{ x-proxy = \"{own}\" }}"), |config| config).await;
    for vendor in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini] {
        let key = format!("vendor-key-{}", route(vendor).trim_start_matches("to-"));
        let words = format!("no worker for {key} and {own} left");
        let plain = json!({"error": {"message": words, "code": 500, "status": "INTERNAL"}});
        // So many events begin the answer before it.
        let (events, error) = match vendor {
            Wire::Anthropic => {
                (4, json!({"type": "error", "error": {"type": "api_error", "message": words}}))
            }
            Wire::Gemini => (2, plain),
            Wire::OpenAi | Wire::Bedrock => (3, plain),
        };
        for client in Wire::ALL {
            let slow = chat().texts(["some ", "words"]).pace(Duration::from_millis(20));
            world.vendor(vendor).next(slow.error_after(events, error.clone()));
            let text = world.ask(Pair { client, vendor, mode: Mode::Streamed }, &hi(client)).await.text();
            assert!(text.contains("no worker for *** and *** left"), "{client:?} {vendor:?}: {text}");
            assert!(text.contains("some "), "{client:?} {vendor:?}: {text}");
        }
        let log = world.server.log();
        assert!(log.contains("stream broke off") && !log.contains(&key) && !log.contains(own), "{log}");
        let at = route(vendor);
        let told = format!(r#""route":"{at}","channel":"{}","model":"m""#, at.trim_start_matches("to-"));
        assert!(log.contains(&told), "{told}: {log}");
    }
}

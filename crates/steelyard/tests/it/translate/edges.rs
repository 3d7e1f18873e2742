//! Answers of vendors at the edges of their wires: errors that come as answers, answers that are none, and what looks
//! strange but is good.

use std::time::Duration;

use serde_json::{Value, json};
use steelyard_testkit::{
    Answer, Config, Gate, Reply, Steelyard, Step, Upstream, Wire, chat, embeddings, frame, frames, sse,
    status,
};

use super::failing::error;
use super::read::read;
use super::{Mode, Pair, World, hi, route, world};
use crate::app::{App, app, ask, ask_stream, charged, refused, serve};

const fn whole(client: Wire, vendor: Wire) -> Pair {
    Pair { client, vendor, mode: Mode::Whole }
}

const fn streamed(client: Wire, vendor: Wire) -> Pair {
    Pair { client, vendor, mode: Mode::Streamed }
}

/// The call failed as the vendor's failure; whether it cost something.
async fn failed(server: &Steelyard, answer: &Answer, costs: bool) {
    let entry = server.entry(answer.request_id()).await;
    assert_eq!(entry.outcome, "upstream_error", "{}: {entry:#?}", answer.text());
    assert_eq!(entry.pico() > Some(0), costs, "{}: {entry:#?}", answer.text());
}

fn body(text: &str) -> Reply {
    status(200).body("application/json", text.to_owned()).into()
}

/// A good call, so that the vendor's circuit stays closed.
async fn well(world: &World, vendor: Wire) {
    assert_eq!(world.ask(whole(vendor, vendor), &hi(vendor)).await.status, 200);
}

/// A server with two vendors, of which the second is asked when the first one fails.
async fn pair_of_vendors() -> (Steelyard, Upstream, Upstream) {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let config = Config::new()
        .channel("first", &first, "")
        .channel("second", &second, "")
        .price("first", "m", "1.00", "2.00", "")
        .price("second", "m", "1.00", "2.00", "")
        .route("smart", &["first/m", "second/m"], "retries = 0");
    (serve(&config).await, first, second)
}

#[tokio::test]
async fn json_of_another_shape_is_no_answer_on_any_wire() {
    let world = world().await;
    let usual = [r#"{"data":null}"#, "5", "[1,2]", "null", "[]", "{}", r#"[{"choices":[]}]"#];
    for wire in Wire::ALL {
        let own: &[&str] = match wire {
            Wire::OpenAi => &[
                r#"{"choices":"no"}"#,
                r#"{"choices":null}"#,
                r#"{"choices":[5]}"#,
                r#"{"choices":[[1]]}"#,
                r#"{"choices":{}}"#,
            ],
            Wire::Anthropic => {
                &[r#"{"content":"no"}"#, r#"{"content":null}"#, r#"{"content":[5]}"#, r#"{"content":[[]]}"#]
            }
            Wire::Bedrock => &[r#"{"output":"no"}"#, r#"{"output":[]}"#, r#"{"output":[null]}"#],
            Wire::Gemini => &[
                r#"{"candidates":"no"}"#,
                r#"{"candidates":null}"#,
                r#"{"candidates":[5]}"#,
                r#"{"candidates":[[1]]}"#,
                r#"{"candidates":{}}"#,
            ],
        };
        for text in usual.iter().chain(own) {
            for client in Wire::ALL {
                world.vendor(wire).next(body(text));
                let answer = world.ask(whole(client, wire), &hi(client)).await;
                assert!(answer.status >= 400, "{client:?} {wire:?} {text}: {answer:?}");
                assert!(answer.text().contains("SY0305"), "{client:?} {wire:?} {text}: {}", answer.text());
                failed(&world.server, &answer, true).await;
                well(&world, wire).await;
            }
        }
    }
}

#[tokio::test]
async fn embeddings_and_counts_of_another_shape_are_none_either() {
    let app = app().await;
    let input = json!({"model": "up/e", "input": "a"});
    for text in [r#"{"data":null}"#, "5", "[1,2]", r#"{"data":[5]}"#, r#"{"data":[[]]}"#, r#"[[{}],"m"]"#] {
        app.up.next(body(text));
        let answer = app.server.admin().post("/v1/embeddings", &input).await;
        refused(&answer, 502, "SY0305");
        app.up.next(embeddings());
        assert_eq!(app.server.admin().post("/v1/embeddings", &input).await.status, 200);
    }

    let world = world().await;
    let mut count = hi(Wire::Anthropic);
    count["model"] = json!(route(Wire::Anthropic));
    for (text, good) in
        [("5", false), ("{}", false), (r#"{"input_tokens":"x"}"#, false), (r#"{"input_tokens":3}"#, true)]
    {
        world.vendor(Wire::Anthropic).next(body(text));
        let answer = world.server.admin().post("/v1/messages/count_tokens", &count).await;
        assert_eq!(answer.status == 200, good, "{text}: {answer:?}");
    }
}

#[tokio::test]
async fn gemini_answers_of_another_shape_are_none_either() {
    let vendor = Upstream::speaking(Wire::Gemini).await;
    let server = serve(&Config::new().channel("g", &vendor, "").route("r", &["g/m"], "retries = 0")).await;
    let hi = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let ask = |operation: &str| format!("/v1beta/models/r:{operation}");
    for (text, good) in [
        ("5", false),
        ("[1,2]", false),
        ("{}", false),
        (r#"{"candidates":"no"}"#, false),
        (r#"{"candidates":[5]}"#, false),
        (r#"{"candidates":[[]]}"#, false),
        (r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, true),
        (r#"{"promptFeedback":{},"usageMetadata":{"promptTokenCount":2}}"#, true),
        (r#"{"candidates":[],"unheard":1}"#, true),
    ] {
        vendor.next(body(text));
        let answer = server.admin().post(&ask("generateContent"), &hi).await;
        assert_eq!(answer.status == 200, good, "{text}: {answer:?}");
        assert_eq!(server.admin().post(&ask("generateContent"), &hi).await.status, 200);
    }
    for event in ["5", "[1]", r#"{"candidates":"no"}"#, r#"{"candidates":[5]}"#] {
        vendor.next(sse().data(event));
        let answer = server.admin().post(&ask("streamGenerateContent?alt=sse"), &hi).await;
        assert_eq!(answer.status, 502, "{event}: {answer:?}");
        assert!(answer.text().contains("SY0305"), "{event}: {}", answer.text());
    }
}

#[tokio::test]
async fn an_event_of_another_shape_ends_a_relayed_stream() {
    let world = world().await;
    let begun = || chat().texts(["some ", "words"]);
    for text in ["5", "[1,2]", "null", "\"text\""] {
        for wire in [Wire::OpenAi, Wire::Anthropic] {
            let pair = streamed(wire, wire);
            let event = format!("data: {text}\n\n");
            world.vendor(wire).next(begun().raw(event.clone()).text("never"));
            let answer = world.ask(pair, &hi(wire)).await;
            let said = read(pair, &answer);
            assert_eq!(said.text, "some words", "{pair:?} {text}: {}", answer.text());
            let error = said.error.unwrap_or_else(|| panic!("{pair:?} {text}: {}", answer.text()));
            assert!(error.to_string().contains("SY0305"), "{pair:?} {text}: {error}");
            // As the first event it is no answer at all.
            world.vendor(wire).next(sse().raw(event));
            let answer = world.ask(pair, &hi(wire)).await;
            assert!(answer.status >= 500 && answer.text().contains("SY0305"), "{pair:?}: {answer:?}");
            failed(&world.server, &answer, true).await;
            well(&world, wire).await;
        }
        let odd = frame(
            &[
                (":event-type", "contentBlockDelta"),
                (":content-type", "application/json"),
                (":message-type", "event"),
            ],
            text.as_bytes(),
        );
        world.vendor(Wire::Bedrock).next(frames().raw(odd));
        let answer = world.ask(streamed(Wire::Bedrock, Wire::Bedrock), &hi(Wire::Bedrock)).await;
        assert!(answer.status >= 400 && answer.text().contains("SY0305"), "{text}: {answer:?}");
        well(&world, Wire::Bedrock).await;
    }
    let (server, first, _second) = pair_of_vendors().await;
    for text in [r#"{"choices":"no"}"#, r#"{"choices":[5]}"#, "5"] {
        first.next(sse().data(text).done());
        let answer = server.admin().chat(&ask_stream("smart")).await;
        assert_eq!((answer.status, answer.content().as_str()), (200, "hello"), "{text}: {answer:?}");
        assert_eq!(server.entry(answer.request_id()).await.channels(), ["first", "second"]);
    }
}

/// What official SDKs bear, or what vendors are known to send.
#[tokio::test]
async fn what_is_strange_but_good_passes() {
    let app = app().await;
    let delta = json!({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": null}]});
    let end =
        json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    for odd in [
        json!({"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}),
        json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
        json!({"id": "c", "choices": null}),
        json!({"event": "progress", "percent": 5}),
        json!({"id": "c", "model": "m", "unheard": [1], "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": null, "unheard": {}}]}),
        json!({"id": "c", "choices": [{"index": "0", "delta": {"content": ""}}]}),
        json!({"error": null, "choices": []}),
    ] {
        app.up.next(sse().json(&odd).json(&delta).json(&odd).json(&end).done());
        let answer = app.server.admin().chat(&ask_stream("smart")).await;
        assert_eq!((answer.status, answer.content().as_str()), (200, "hi"), "{odd}: {answer:?}");
        assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"), "{odd}: {}", answer.text());
        assert_eq!(app.server.entry(answer.request_id()).await.outcome, "ok", "{odd}");
    }
    for good in [
        r#"{"choices":[]}"#,
        r#"{"choices":[{}],"unheard":5,"object":"strange"}"#,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":null}}],"error":null}"#,
    ] {
        app.up.next(body(good));
        let answer = app.server.admin().chat(&ask("smart")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, good), "{answer:?}");
    }
    let world = world().await;
    let pair = streamed(Wire::Anthropic, Wire::Anthropic);
    world.vendor(Wire::Anthropic).next(
        chat().text("some ").raw("event: unheard\ndata: {\"type\":\"unheard\",\"x\":[]}\n\n").text("words"),
    );
    let text = world.ask(pair, &hi(Wire::Anthropic)).await.text();
    assert!(text.contains("unheard") && text.contains("words") && text.contains("message_stop"), "{text}");
}

#[tokio::test]
async fn an_exception_with_status_200_is_the_exception() {
    let world = world().await;
    for mode in [Mode::Whole, Mode::Streamed] {
        for text in [r#"{"message":"Too many requests, please wait."}"#, "{}", ""] {
            let pair = Pair { client: Wire::Bedrock, vendor: Wire::Bedrock, mode };
            let reply = status(200)
                .header("x-amzn-errortype", "ThrottlingException")
                .body("application/json", text.to_owned());
            world.vendor(Wire::Bedrock).next(reply);
            let answer = world.ask(pair, &hi(Wire::Bedrock)).await;
            assert_eq!(error(Wire::Bedrock, &answer), (429, "ThrottlingException".into()), "{pair:?} {text}");
            failed(&world.server, &answer, false).await;
            // What is limited is left alone for a second.
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
    }
    // Also where its body has the type of a stream.
    let reply = status(200)
        .header("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/")
        .body("application/vnd.amazon.eventstream", r#"{"message":"slow"}"#);
    world.vendor(Wire::Bedrock).next(reply);
    let answer = world.ask(streamed(Wire::Bedrock, Wire::Bedrock), &hi(Wire::Bedrock)).await;
    assert_eq!(error(Wire::Bedrock, &answer), (429, "ThrottlingException".into()), "{}", answer.text());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // Other clients are told so in their words.
    let reply = status(200).header("x-amzn-errortype", "ThrottlingException").body("application/json", "{}");
    world.vendor(Wire::Bedrock).next(reply);
    let answer = world.ask(whole(Wire::OpenAi, Wire::Bedrock), &hi(Wire::OpenAi)).await;
    refused(&answer, 429, "SY0307");
}

#[tokio::test]
async fn what_awss_front_answers_with_200_is_an_error() {
    let world = world().await;
    for text in [
        r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#,
        r#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#,
    ] {
        for client in Wire::ALL {
            for mode in [Mode::Whole, Mode::Streamed] {
                world.vendor(Wire::Bedrock).next(body(text));
                let answer = world.ask(Pair { client, vendor: Wire::Bedrock, mode }, &hi(client)).await;
                assert!(answer.status >= 500, "{client:?} {mode:?} {text}: {answer:?}");
                assert!(answer.text().contains("SY0304"), "{client:?} {mode:?} {text}: {}", answer.text());
                assert!(answer.text().contains("UnknownOperationException"), "{}", answer.text());
                failed(&world.server, &answer, false).await;
                well(&world, Wire::Bedrock).await;
            }
        }
    }
}

#[tokio::test]
async fn a_bare_error_in_place_of_a_streams_events_is_that_error() {
    let world = world().await;
    for client in Wire::ALL {
        for vendor in [Wire::OpenAi, Wire::Anthropic] {
            for end in ["", "\n", "\n\n"] {
                let text = match vendor {
                    Wire::OpenAi => r#"{"error":{"message":"too busy","type":"overloaded","code":null}}"#,
                    _ => r#"{"type":"error","error":{"type":"overloaded_error","message":"too busy"}}"#,
                };
                world.vendor(vendor).next(sse().raw(format!("{text}{end}")));
                let answer = world.ask(streamed(client, vendor), &hi(client)).await;
                let status = if client == Wire::Anthropic { 529 } else { 503 };
                assert_eq!(error(client, &answer).0, status, "{client:?} {vendor:?}: {answer:?}");
                assert!(answer.text().contains("SY0311"), "{client:?} {vendor:?}: {answer:?}");
                failed(&world.server, &answer, false).await;
                well(&world, vendor).await;
            }
        }
    }
    let (server, first, _second) = pair_of_vendors().await;
    // In pieces, as it may come, and not an error: neither is an answer.
    for text in [r#"{"error":{"message":"oops"}}"#, r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#] {
        first.next(sse().raw(text).drip(5, Duration::from_millis(5)));
        let answer = server.admin().chat(&ask_stream("smart")).await;
        assert_eq!((answer.status, answer.content().as_str()), (200, "hello"), "{text}: {answer:?}");
        let entry = server.entry(answer.request_id()).await;
        let free = entry.attempts[0].amount.as_deref() == Some("0");
        assert_eq!(free, text.contains("error"), "{text}: {entry:#?}");
    }
}

#[tokio::test]
async fn an_error_in_vllms_shape_is_an_error() {
    let world = world().await;
    let text = r#"{"object":"error","message":"The model is too busy.","type":"ServiceUnavailable","param":null,"code":503}"#;
    for client in Wire::ALL {
        for mode in [Mode::Whole, Mode::Streamed] {
            let pair = Pair { client, vendor: Wire::OpenAi, mode };
            let reply: Reply = if mode == Mode::Whole { body(text) } else { sse().data(text).done().into() };
            world.vendor(Wire::OpenAi).next(reply);
            let answer = world.ask(pair, &hi(client)).await;
            assert!([503, 529].contains(&answer.status), "{pair:?}: {answer:?}");
            assert!(answer.text().contains("SY0311"), "{pair:?}: {}", answer.text());
            assert!(answer.text().contains("The model is too busy."), "{pair:?}: {}", answer.text());
            failed(&world.server, &answer, false).await;
            well(&world, Wire::OpenAi).await;
        }
    }
}

#[tokio::test]
async fn a_stream_of_its_end_alone_is_no_answer() {
    let world = world().await;
    for client in Wire::ALL {
        world.vendor(Wire::OpenAi).next(sse().comment("hi").done());
        let answer = world.ask(streamed(client, Wire::OpenAi), &hi(client)).await;
        assert!(answer.status >= 400 && answer.text().contains("SY0306"), "{client:?}: {answer:?}");
        failed(&world.server, &answer, true).await;
    }
    let (server, first, _second) = pair_of_vendors().await;
    first.next(sse().done());
    assert_eq!(server.admin().chat(&ask_stream("smart")).await.content(), "hello");
}

#[tokio::test]
async fn a_tool_call_that_breaks_off_before_done_is_not_complete() {
    let world = world().await;
    let piece = |delta: Value| json!({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    let begun = || {
        sse()
            .json(&piece(json!({"role": "assistant", "content": null})))
            .json(&piece(json!({"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}]})))
            .json(&piece(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"city\":\"Bo"}}]})))
    };
    // Arguments that look whole may lack another call behind them.
    let looks_whole =
        || begun().json(&piece(json!({"tool_calls": [{"index": 0, "function": {"arguments": "nn\"}"}}]})));
    // As OpenAI had it before.
    let legacy = || {
        sse()
            .json(&piece(json!({"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": ""}})))
            .json(&piece(json!({"function_call": {"arguments": "{\"city\":\"Bo"}})))
    };
    for client in Wire::ALL {
        for script in [begun(), looks_whole(), legacy()] {
            world.vendor(Wire::OpenAi).next(script.done());
            let answer = world.ask(streamed(client, Wire::OpenAi), &super::hi_with_tools(client)).await;
            assert!(answer.text().contains("SY0306"), "{client:?}: {}", answer.text());
            assert!(
                !answer.text().contains("[DONE]") && !answer.text().contains("message_stop"),
                "{client:?}"
            );
            failed(&world.server, &answer, true).await;
        }
    }
    // Text without a reason is as good as ever: some servers never give one.
    world.vendor(Wire::OpenAi).next(sse().json(&piece(json!({"content": "hello"}))).done());
    let pair = streamed(Wire::OpenAi, Wire::OpenAi);
    assert_eq!(read(pair, &world.ask(pair, &hi(Wire::OpenAi)).await).text, "hello");
}

#[tokio::test]
async fn a_request_too_large_for_the_vendor_is_told_as_such() {
    let world = world().await;
    for vendor in Wire::ALL {
        for (client, told) in [
            (Wire::OpenAi, (413, "invalid_request_error")),
            (Wire::Anthropic, (413, "request_too_large")),
            (Wire::Bedrock, (400, "ValidationException")),
        ] {
            let pair = whole(client, vendor);
            world.vendor(vendor).next(status(413));
            let answer = world.ask(pair, &hi(client)).await;
            if client == vendor && client == Wire::Bedrock {
                assert_eq!(answer.status, 413, "the vendor's own status: {answer:?}");
                continue;
            }
            assert_eq!(error(client, &answer), (told.0, told.1.to_owned()), "{pair:?}: {}", answer.text());
            assert!(answer.text().contains("SY0312"), "{pair:?}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_vendors_failure_is_told_in_its_own_words_without_secrets_and_within_bounds() {
    let world = world().await;
    for vendor in Wire::ALL {
        for client in Wire::ALL {
            for code in [500, 503, 504] {
                let words = format!("disk 7 is on fire {}", "x".repeat(5000));
                world.vendor(vendor).next(status(code).message(&words));
                let answer = world.ask(whole(client, vendor), &hi(client)).await;
                let text = answer.text();
                assert!(text.contains("disk 7 is on fire"), "{client:?} {vendor:?} {code}: {text}");
                assert!(text.len() < 3000, "{client:?} {vendor:?} {code}: {} bytes", text.len());
                well(&world, vendor).await;
            }
            let key = format!("vendor-key-{}", route(vendor).trim_start_matches("to-"));
            world.vendor(vendor).next(status(500).message(&format!("no worker for key {key} left")));
            let text = world.ask(whole(client, vendor), &hi(client)).await.text();
            if vendor != Wire::Bedrock {
                assert!(!text.contains(&key), "{client:?} {vendor:?}: {text}");
            }
            assert!(text.contains("no worker for key"), "{client:?} {vendor:?}: {text}");
            well(&world, vendor).await;
        }
    }
}

#[tokio::test]
async fn a_byte_order_mark_before_an_answer_does_no_harm() {
    let app = app().await;
    let text = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":1}}"#;
    app.up.next(body(&format!("\u{feff}{text}")));
    let answer = app.server.admin().chat(&ask("smart")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, text), "{answer:?}");
    charged(&app.server.entry(answer.request_id()).await, 2, 1);
    let error = "\u{feff}{\"error\":{\"message\":\"no\",\"type\":\"requests\",\"param\":null,\"code\":null}}";
    app.up.next(status(429).body("application/json", error));
    refused(&app.server.admin().chat(&ask("smart")).await, 429, "SY0307");
}

/// Answers without end, `size` MiB of them.
fn endless(size: usize) -> Reply {
    let mut steps = vec![Step::write(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    )];
    let block = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    steps.extend(std::iter::repeat_n(Step::write(block), size));
    steps.push(Step::Hang);
    steps.into()
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_its_limit_and_held_once() {
    let app = app().await;
    assert_eq!(app.server.admin().chat(&ask("smart")).await.status, 200);
    let before = app.server.peak_resident_kib();
    app.up.next(endless(300));
    let answer = app.server.admin().chat(&ask("smart")).await;
    refused(&answer, 502, "SY0305");
    let held = app.server.peak_resident_kib() - before;
    assert!(held < 100 << 10, "{held} KiB for an answer of at most 64 MiB");

    let app = small().await;
    app.up.next(endless(3));
    let answer = app.server.admin().chat(&ask("smart")).await;
    refused(&answer, 502, "SY0305");
    app.up.next(chat().text(&"x".repeat(1 << 20)));
    assert_eq!(app.server.admin().chat(&ask("smart")).await.status, 200);
}

async fn small() -> App {
    let up = Upstream::start().await;
    let config =
        Config::new().channel("up", &up, "max_answer = \"2MiB\"").route("smart", &["up/m"], "retries = 0");
    App { server: serve(&config).await, up }
}

#[tokio::test]
async fn an_answer_that_is_charged_but_withheld_is_not_to_be_asked_for_again() {
    let app = app().await;
    let client = app.server.admin();
    let gate = Gate::new();
    app.up.otherwise(chat().wait(&gate).text("end").usage(10, 5));
    let call = tokio::spawn(async move { client.chat(&ask("smart")).await });
    app.up.has_requests(1).await;
    app.server.limit_file_size(Some(100));
    gate.open();
    let answer = call.await.unwrap();
    refused(&answer, 503, "SY0401");
    assert_eq!(answer.header("x-should-retry"), Some("false"), "{answer:?}");
    // Nothing has been sent for the next one, so it may come again.
    let answer = app.server.admin().chat(&ask("smart")).await;
    refused(&answer, 503, "SY0401");
    assert_eq!(
        (answer.header("x-should-retry"), answer.header("retry-after")),
        (None, Some("1")),
        "{answer:?}"
    );
}
